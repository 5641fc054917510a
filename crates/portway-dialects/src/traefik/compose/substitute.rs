//! Variables in the texts of a compose file: `$X`, `${X}`, `${X:-default}`, `${X:?message}`, `${X:+other}`, and `$$`.

/// What came of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Substituted {
    pub(super) text: String,
    /// Variables without a value and without a default.
    pub(super) unset: Vec<String>,
    /// What a `?` of a variable without a value says, or that a text is wrong.
    pub(super) errors: Vec<String>,
}

/// Puts the values of variables in.
pub(super) fn substitute(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Substituted {
    let mut out = Substituted::default();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.text.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            out.text.push('$');
            after
        } else if let Some(inner) = after.strip_prefix('{') {
            braced(inner, value, &mut out)
        } else {
            let end = after
                .find(|it: char| !it.is_ascii_alphanumeric() && it != '_')
                .unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            if name.is_empty() || name.starts_with(|it: char| it.is_ascii_digit()) {
                out.errors
                    .push("a `$` that is no variable is written `$$`".to_owned());
                out.text.push('$');
                out.text.push_str(name);
            } else {
                plain(name, value, &mut out);
            }
            after
        };
    }
    out.text.push_str(rest);
    out
}

fn plain(name: &str, value: &dyn Fn(&str) -> Option<String>, out: &mut Substituted) {
    match value(name) {
        Some(value) => out.text.push_str(&value),
        None => out.unset.push(name.to_owned()),
    }
}

/// What stands behind `${`; gives what follows the brace that closes it.
fn braced<'t>(
    inner: &'t str,
    value: &dyn Fn(&str) -> Option<String>,
    out: &mut Substituted,
) -> &'t str {
    let Some(end) = closing(inner) else {
        out.errors.push("a `${` without `}`".to_owned());
        return "";
    };
    let (inside, after) = inner.split_at(end);
    let after = after.get(1..).unwrap_or_default();
    let name_end = inside
        .find(|it: char| !it.is_ascii_alphanumeric() && it != '_')
        .unwrap_or(inside.len());
    let (name, rest) = inside.split_at(name_end);
    if name.is_empty() {
        out.errors
            .push(format!("`${{{inside}}}` names no variable"));
        return after;
    }
    let (not_empty, rest) = match rest.strip_prefix(':') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let is_set = value(name).filter(|it| !not_empty || !it.is_empty());
    let nested = |text: &str, out: &mut Substituted| {
        let more = substitute(text, value);
        out.text.push_str(&more.text);
        out.unset.extend(more.unset);
        out.errors.extend(more.errors);
    };
    if rest.is_empty() && !not_empty {
        plain(name, value, out);
    } else if let Some(default) = rest.strip_prefix('-') {
        match is_set {
            Some(value) => out.text.push_str(&value),
            None => nested(default, out),
        }
    } else if let Some(other) = rest.strip_prefix('+') {
        if is_set.is_some() {
            nested(other, out);
        }
    } else if let Some(message) = rest.strip_prefix('?') {
        match is_set {
            Some(value) => out.text.push_str(&value),
            None if message.is_empty() => out.errors.push(format!("`{name}` has no value")),
            None => out.errors.push(format!("`{name}` has no value: {message}")),
        }
    } else {
        out.errors
            .push(format!("`${{{inside}}}` is not understood"));
    }
    after
}

/// Where the brace stands that closes one.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        match character {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        before = character;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let value = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("x", "x"),
            ("$A-${A}", "a-a"),
            ("$$A", "$A"),
            ("${B:-b}${B-c}", "bc"),
            ("${EMPTY:-b}|${EMPTY-c}|", "b||"),
            ("${B:-${A}}", "a"),
            ("${A:+x}${B:+y}", "x"),
            ("$$apr1$$H6$$I", "$apr1$H6$I"),
        ] {
            let out = substitute(text, &value);
            assert_eq!(out.text, expected, "{text}");
            assert!(out.errors.is_empty() && out.unset.is_empty(), "{text}");
        }
        assert_eq!(substitute("${B}$B", &value).unset, ["B", "B"]);
        for (text, expected) in [
            ("${B:?not set}", "`B` has no value: not set"),
            ("${B", "a `${` without `}`"),
            ("$1", "a `$` that is no variable is written `$$`"),
            ("${A!}", "`${A!}` is not understood"),
        ] {
            assert_eq!(substitute(text, &value).errors, [expected], "{text}");
        }
    }
}
