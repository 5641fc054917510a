//! HAProxy's regular expressions (PCRE) in the syntax of the regex crate.
//!
//! Most texts mean the same in both. What is only written otherwise is rewritten; what needs backtracking
//! (back-references, most look-around, atomic groups) is refused by name, because matching takes linear time here.

use super::Reader;
use super::look_around::{self, Parts};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::pattern::group_end;
use portway_model::replacement::without_missing;
use portway_model::span::Spanned;
use std::fmt::Write;
use std::iter::Peekable;
use std::str::CharIndices;

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is wrong for PCRE too.
    Wrong(&'static str),
    /// It uses what there is not here.
    Missing(String),
}

impl Refused {
    /// For people.
    pub(super) fn says(&self, pattern: &str) -> String {
        match self {
            Refused::Wrong(what) => format!("the regular expression '{pattern}' has {what}"),
            Refused::Missing(what) => format!(
                "the regular expression '{pattern}' uses {what}, which does not exist here: matching takes linear time"
            ),
        }
    }
}

/// The same expression for our engine.
pub(super) fn translate(pattern: &str, ignore_case: bool) -> Result<String, Refused> {
    let Some(parts) = look_around::take_apart(pattern) else {
        return plain(pattern, ignore_case);
    };
    let Parts { flags, looks, rest } = parts?;
    let mut out = "^".to_owned();
    for (negative, look) in looks {
        let sign = if negative { '!' } else { '=' };
        let look = plain(&format!("{flags}{look}"), ignore_case)?;
        // Writing to a string cannot fail.
        let _ = write!(out, "(?{sign}{look})");
    }
    out.push_str(&plain(&format!("{flags}{rest}"), ignore_case)?);
    Ok(out)
}

/// The same expression as a part of one: what takes the place of a whole value in which it is found.
pub(super) fn whole(pattern: &str) -> Result<String, Refused> {
    let translated = translate(pattern, false)?;
    if translated.starts_with('^') && translated.ends_with('$') {
        return Ok(translated);
    }
    let mut rest = translated.as_str();
    let mut looks = String::new();
    if let Some(mut after) = rest.strip_prefix('^') {
        while after.starts_with("(?=") || after.starts_with("(?!") {
            let end = group_end(after).map_or(after.len(), |end| end + 1);
            let (look, behind) = after.split_at_checked(end).unwrap_or((after, ""));
            looks.push_str(look);
            after = behind;
        }
        if !looks.is_empty() {
            rest = after;
        }
    }
    Ok(match looks.is_empty() {
        true => format!("(?s-u)^.*?(?:{rest}).*$"),
        false => format!("(?s-u)^{looks}(?:{rest}).*$"),
    })
}

/// One without look-around.
fn plain(pattern: &str, ignore_case: bool) -> Result<String, Refused> {
    let mut translation = Translation {
        out: String::with_capacity(pattern.len() + 8),
        bytes: false,
        chars: pattern.char_indices().peekable(),
        pattern,
    };
    translation.run()?;
    // Bytes that are no UTF-8 are characters to PCRE as HAProxy uses it.
    let flags = match (ignore_case, translation.bytes) {
        (true, true) => "(?i-u)",
        (true, false) => "(?i)",
        (false, true) => "(?-u)",
        (false, false) => "",
    };
    Ok(format!("{flags}{}", translation.out))
}

/// The replacement text of `regsub` or `replace-header`: `\1` becomes `${1}`, a dollar stays one.
pub(super) fn replacement(with: &str) -> String {
    let mut out = String::with_capacity(with.len());
    let mut chars = with.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "${{{digit}}}");
                }
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

/// As [`replacement`], without groups that the regular expression does not have: for HAProxy they are empty texts.
pub(super) fn replacement_for(
    pattern: &Spanned<String>,
    with: &str,
    reader: &mut Reader<'_>,
) -> String {
    let (kept, left_out) = without_missing(&pattern.value, &replacement(with));
    for group in left_out {
        let number = group.trim_matches(|c: char| !c.is_ascii_digit());
        let message = format!(
            "`\\{number}`: the regular expression has no such group, so nothing stands there"
        );
        // HAProxy itself says nothing of it.
        let note = Diagnostic::note(Code::NeverWorks, pattern.span, message);
        reader.push(note.help("groups are counted from 1 by their parentheses"));
    }
    kept
}

struct Translation<'p> {
    out: String,
    /// It has something that can match a byte beyond ASCII.
    bytes: bool,
    chars: Peekable<CharIndices<'p>>,
    pattern: &'p str,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), Refused> {
        while let Some((at, c)) = self.chars.next() {
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '(' => self.group(at)?,
                '.' => {
                    self.bytes = true;
                    self.out.push('.');
                }
                '{' if !self.is_repetition(at) => self.out.push_str("\\{"),
                '}' if !self.closes_repetition() => self.out.push_str("\\}"),
                '+' if self.is_possessive() => {
                    let what = "possessive repetition ('++', '*+', '?+')";
                    return Err(Refused::Missing(what.to_owned()));
                }
                c => self.out.push(c),
            }
        }
        Ok(())
    }

    /// Whether the brace at `at` opens `{2}`, `{2,}` or `{2,3}`.
    fn is_repetition(&self, at: usize) -> bool {
        let inner = self
            .pattern
            .get(at + 1..)
            .and_then(|rest| rest.split_once('}'));
        inner.is_some_and(|(counts, _)| {
            let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
            let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
            !least.is_empty() && digits(least) && digits(most)
        })
    }

    fn closes_repetition(&self) -> bool {
        let open = self.out.rfind('{');
        open.is_some_and(|open| {
            let escaped = self
                .out
                .get(..open)
                .is_some_and(|before| before.ends_with('\\'));
            let counts = self.out.get(open + 1..).unwrap_or("");
            !escaped
                && !counts.is_empty()
                && counts.bytes().all(|b| b.is_ascii_digit() || b == b',')
        })
    }

    /// Whether a plus here follows a repetition, which it would make possessive.
    fn is_possessive(&self) -> bool {
        let mut before = self.out.chars().rev();
        let last = before.next();
        let escapes = before.take_while(|c| *c == '\\').count();
        escapes % 2 == 0 && matches!(last, Some('+' | '*' | '?')) && !self.out.ends_with("(?")
    }

    fn escape(&mut self, in_class: bool) -> Result<(), Refused> {
        let Some((_, c)) = self.chars.next() else {
            return Err(Refused::Wrong("a backslash at the end"));
        };
        match c {
            '1'..='9' if !in_class => {
                return Err(Refused::Missing(format!("back-references ('\\{c}')")));
            }
            'd' | 'w' | 's' | 'D' | 'W' | 'S' | 'b' | 'B' => {
                self.bytes = true;
                self.out.push('\\');
                self.out.push(c);
            }
            'h' if in_class => self.out.push_str("\\t "),
            'h' => self.out.push_str("[\\t ]"),
            'R' if !in_class => self.out.push_str("(?:\\r\\n|[\\n-\\r])"),
            'N' if !in_class => {
                self.bytes = true;
                self.out.push_str("[^\\n]");
            }
            'Z' if !in_class => self.out.push_str("\\z"),
            'A' | 'z' if !in_class => {
                self.out.push('\\');
                self.out.push(c);
            }
            'e' => self.out.push_str("\\x1b"),
            '0' => self.out.push_str("\\x00"),
            'n' | 'r' | 't' | 'f' | 'v' | 'a' | 'x' => {
                self.out.push('\\');
                self.out.push(c);
            }
            'Q' => self.quoted(in_class),
            'E' => {}
            'K' | 'G' | 'C' | 'X' | 'g' | 'k' | 'p' | 'P' | 'u' | 'U' | 'c' | 'o' | 'H' | 'V' => {
                return Err(Refused::Missing(format!("'\\{c}'")));
            }
            // An escaped letter or sign that has no meaning of its own is itself.
            c => self.literal(c),
        }
        Ok(())
    }

    /// Everything up to `\E`, as it is.
    fn quoted(&mut self, _in_class: bool) {
        while let Some((at, c)) = self.chars.next() {
            if self
                .pattern
                .get(at..)
                .is_some_and(|rest| rest.starts_with("\\E"))
            {
                self.chars.next();
                return;
            }
            self.literal(c);
        }
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii_punctuation()
            && !matches!(
                c,
                '<' | '>' | '_' | '/' | '"' | '\'' | '%' | ',' | ':' | ';' | '=' | '!' | '@' | '`'
            )
        {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn group(&mut self, at: usize) -> Result<(), Refused> {
        self.out.push('(');
        let rest = self.pattern.get(at + 1..).unwrap_or("");
        if let Some(named) = rest.strip_prefix('*') {
            let verb = named.split(')').next().unwrap_or("");
            return Err(Refused::Missing(format!("'(*{verb})'")));
        }
        let Some(special) = rest.strip_prefix('?') else {
            return Ok(());
        };
        let refused = [
            ("=", "look-ahead"),
            ("!", "look-ahead"),
            ("<=", "look-behind"),
            ("<!", "look-behind"),
            (">", "atomic groups"),
            ("|", "branch reset"),
            ("(", "conditional groups"),
            ("&", "recursion"),
            ("R", "recursion"),
        ];
        if let Some((sign, what)) = refused.iter().find(|(sign, _)| special.starts_with(sign)) {
            return Err(Refused::Missing(format!("{what} ('(?{sign}')")));
        }
        if special.starts_with('#') {
            self.out.pop();
            for (_, c) in self.chars.by_ref() {
                if c == ')' {
                    return Ok(());
                }
            }
            return Ok(());
        }
        self.chars.next();
        self.out.push('?');
        if let Some(name) = special.strip_prefix('\'') {
            self.chars.next();
            self.out.push_str("P<");
            for _ in 0..name.split('\'').next().unwrap_or("").chars().count() {
                if let Some((_, c)) = self.chars.next() {
                    self.out.push(c);
                }
            }
            self.chars.next();
            self.out.push('>');
        }
        Ok(())
    }

    /// A class in brackets; within it the regex crate has more signs with a meaning.
    fn class(&mut self) -> Result<(), Refused> {
        self.out.push('[');
        if self.chars.next_if(|(_, c)| *c == '^').is_some() {
            self.bytes = true;
            self.out.push('^');
        }
        if self.chars.next_if(|(_, c)| *c == ']').is_some() {
            self.out.push_str("\\]");
        }
        while let Some((at, c)) = self.chars.next() {
            match c {
                ']' => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => self.escape(true)?,
                '[' => match self.posix(at) {
                    Some(length) => {
                        for _ in 0..length {
                            self.chars.next();
                        }
                    }
                    None => self.out.push_str("\\["),
                },
                '&' | '~' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                '-' if self.out.ends_with('-') => self.out.push_str("\\-"),
                c => {
                    self.bytes |= !c.is_ascii();
                    self.out.push(c);
                }
            }
        }
        Err(Refused::Wrong("a '[' that is not closed"))
    }

    /// Writes `[:alpha:]` and the like; gives how many characters it has beyond its first.
    fn posix(&mut self, at: usize) -> Option<usize> {
        let rest = self.pattern.get(at..)?.strip_prefix("[:")?;
        let (name, _) = rest.split_once(":]")?;
        if !name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'^') {
            return None;
        }
        let _ = write!(self.out, "[:{name}:]");
        Some(name.len() + 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::stage::Pattern;

    #[test]
    fn what_is_written_otherwise() {
        for (pcre, ours) in [
            ("^/api/", "^/api/"),
            (r"^\/api\/v\d+", r"(?-u)^/api/v\d+"),
            (r"a\<b\>", "a<b>"),
            (r"\_\-\.", r"_\-\."),
            ("a{2,3}b{c}", r"a{2,3}b\{c\}"),
            ("[a[b]", r"[a\[b]"),
            ("[]a]", r"[\]a]"),
            ("[^]a]", r"(?-u)[^\]a]"),
            ("[[:alpha:]_]", "[[:alpha:]_]"),
            ("[a&&b~~]", r"[a\&\&b\~\~]"),
            (r"\Qa.b\E+", r"a\.b+"),
            ("(?<n>a)(?'m'b)", "(?<n>a)(?P<m>b)"),
            ("a(?#nothing)b", "ab"),
            (".*", "(?-u).*"),
            ("a+?b*?", "a+?b*?"),
            (r"\++", r"\++"),
            ("(?:a|b)(?i)c", "(?:a|b)(?i)c"),
        ] {
            let translated = translate(pcre, false).unwrap();
            assert_eq!(translated, ours, "{pcre}");
            assert!(Pattern::new(&translated).is_ok(), "{translated}");
        }
        assert_eq!(translate("a", true).unwrap(), "(?i)a");
    }

    #[test]
    fn what_does_not_exist() {
        for pcre in [
            r"(a)\1",
            "(?=a)",
            "^a+(?!b)",
            "^/(?!a)b|c",
            "^/(?!a(?!b))",
            "(?<!a)b",
            "a++",
            "(?>a)",
            r"\Ka",
            "[a",
            "a\\",
            "(*UTF8)a",
        ] {
            assert!(translate(pcre, false).is_err(), "{pcre}");
        }
    }

    #[test]
    fn look_around_of_the_whole_text() {
        let check = |pcre: &str, found: &[&str], not_found: &[&str]| {
            for (ignore_case, texts, expected) in [(false, found, true), (false, not_found, false)]
            {
                let translated = translate(pcre, ignore_case).unwrap();
                let pattern = Pattern::new(&translated).unwrap();
                for text in texts {
                    assert_eq!(pattern.is_match(text.as_bytes()), expected, "{pcre} {text}");
                }
            }
        };
        check("^/(?!api)", &["/", "/ap", "/x/api"], &["/api", "x/"]);
        check("^/(?!api/|static/).*", &["/apis"], &["/api/x", "/static/"]);
        check("(?i)^/foo(?=bar)", &["/fooBAR"], &["/foo"]);
        check(r"^(?!.*\.(js|css)$).*$", &["/a.jsx", "/"], &["/a.js"]);
        check(r"^/[a-z]\d(?!x)(?=.y)", &["/a1zy"], &["/a1xy", "/a1zz"]);
        check("^((?!foo).)*$", &["/bar"], &["/a/foo/b"]);
        check(r"^/.*(?<!\.php)$", &["/a.html"], &["/a.php"]);
        check(r"a(?<!ba|ca)$", &["da", "a"], &["ba", "xca"]);
        let whole = whole("^/(?!api)(.*)").unwrap();
        let pattern = Pattern::new(&whole).unwrap();
        assert_eq!(&*pattern.replacen(b"/x", 1, &b"/new/$1"[..]), b"/new/x");
        assert_eq!(&*pattern.replacen(b"/api", 1, &b"/new/$1"[..]), b"/api");
    }

    #[test]
    fn replacements() {
        for (theirs, ours) in [
            (r"\1-\2", "${1}-${2}"),
            ("$1", "$$1"),
            (r"a\\b", r"a\b"),
            (r"\0x", "${0}x"),
        ] {
            assert_eq!(replacement(theirs), ours, "{theirs}");
        }
    }
}
