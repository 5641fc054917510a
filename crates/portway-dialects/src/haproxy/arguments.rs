//! `name(argument,argument)` within an expression: the second level of quotes and escapes.

use super::sample::Refusal;

/// A fetch or converter as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call<'t> {
    pub(super) name: &'t str,
    /// What stands between the parentheses; `None` without any.
    pub(super) arguments: Option<Vec<String>>,
    /// What comes behind it.
    pub(super) rest: &'t str,
}

impl Call<'_> {
    /// The argument at this place, from 0, where it is there and not empty.
    pub(super) fn given(&self, index: usize) -> Option<&str> {
        let argument = self.arguments.as_ref()?.get(index)?;
        Some(argument.as_str()).filter(|argument| !argument.is_empty())
    }

    /// The argument at this place, from 0; empty where it is not there.
    pub(super) fn text(&self, index: usize) -> &str {
        self.given(index).unwrap_or("")
    }

    /// Refuses more than so many arguments.
    pub(super) fn at_most(&self, most: usize) -> Result<(), Refusal> {
        match self.count() {
            given if given <= most => Ok(()),
            _ if most == 0 => Err(Refusal::wrong("it takes no arguments")),
            given => Err(Refusal::wrong(format!(
                "it takes {most} arguments, not {given}; a comma within one stands in quotes"
            ))),
        }
    }

    /// How many arguments there are. `()` is none.
    pub(super) fn count(&self) -> usize {
        match self.arguments.as_deref() {
            None => 0,
            Some([only]) if only.is_empty() => 0,
            Some(arguments) => arguments.len(),
        }
    }
}

/// Reads the call at the start of `text`. The error says what is wrong.
pub(super) fn call(text: &str) -> Result<Call<'_>, String> {
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    match rest.strip_prefix('(') {
        None => Ok(Call {
            name,
            arguments: None,
            rest,
        }),
        Some(inner) => {
            let (arguments, rest) = list(inner)
                .ok_or_else(|| format!("the parenthesis after '{name}' is not closed"))?;
            Ok(Call {
                name,
                arguments: Some(arguments),
                rest,
            })
        }
    }
}

/// What the name of a fetch or converter is made of.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | ':')
}

/// The arguments up to the closing parenthesis, and what comes behind it.
fn list(inner: &str) -> Option<(Vec<String>, &str)> {
    let mut arguments = Vec::new();
    let mut argument = String::new();
    let mut quote = None;
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, ')') => {
                arguments.push(argument);
                return Some((arguments, inner.get(at + 1..)?));
            }
            (None, ',') => arguments.push(std::mem::take(&mut argument)),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None | Some('"'), '\\') => {
                let next = inner.get(at + 1..).and_then(|rest| rest.chars().next());
                let stands_for = match next {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some(next @ ('\\' | '\'' | '"' | ' ')) => next,
                    // A backslash before anything else is one.
                    _ => {
                        argument.push(c);
                        continue;
                    }
                };
                argument.push(stands_for);
                chars.next();
            }
            _ => argument.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: &str, arguments: Option<&[&str]>, rest: &str) {
        let call = call(text).unwrap();
        let given = call.arguments.map(|list| list.join("|"));
        let wanted = arguments.map(|list| list.join("|"));
        assert_eq!(
            (call.name, given, call.rest),
            (name, wanted, rest),
            "{text}"
        );
    }

    #[test]
    fn calls() {
        check("path", "path", None, "");
        check("path,lower", "path", None, ",lower");
        check("hdr(host),lower", "hdr", Some(&["host"]), ",lower");
        check("req.hdr()", "req.hdr", Some(&[""]), "");
        check("field(1,:)", "field", Some(&["1", ":"]), "");
        check(r#"field(1,",")"#, "field", Some(&["1", ","]), "");
        check("str('a)b')", "str", Some(&["a)b"]), "");
        check(r"str(a\,b)", "str", Some(&[r"a\", "b"]), "");
        check(r"regsub('\.','')", "regsub", Some(&[r"\.", ""]), "");
        check(r"regsub(\d,x)", "regsub", Some(&[r"\d", "x"]), "");
        assert!(call("hdr(host").is_err());
        assert!(call("str('a)").is_err());
    }
}
