//! HAProxy's regular expressions (PCRE) in the syntax of the regex crate.
//!
//! Most texts mean the same in both. What is only written otherwise is rewritten; what needs backtracking
//! (back-references, look-around, atomic groups) is refused by name, because matching takes linear time here.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::CharIndices;

/// The same expression for the regex crate. The error says what of it does not exist here.
pub(super) fn translate(pattern: &str, ignore_case: bool) -> Result<String, String> {
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

struct Translation<'p> {
    out: String,
    /// It has something that can match a byte beyond ASCII.
    bytes: bool,
    chars: Peekable<CharIndices<'p>>,
    pattern: &'p str,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), String> {
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
                    return Err("possessive repetition ('++', '*+', '?+')".to_owned());
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

    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some((_, c)) = self.chars.next() else {
            return Err("a backslash at the end".to_owned());
        };
        match c {
            '1'..='9' if !in_class => return Err(format!("back-references ('\\{c}')")),
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
                return Err(format!("'\\{c}'"));
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

    fn group(&mut self, at: usize) -> Result<(), String> {
        self.out.push('(');
        let rest = self.pattern.get(at + 1..).unwrap_or("");
        if let Some(named) = rest.strip_prefix('*') {
            let verb = named.split(')').next().unwrap_or("");
            return Err(format!("'(*{verb})'"));
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
            return Err(format!("{what} ('(?{sign}')"));
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
    fn class(&mut self) -> Result<(), String> {
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
        Err("a '[' that is not closed".to_owned())
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
            r"(a)\1", "(?=a)", "(?<!a)b", "a++", "(?>a)", r"\Ka", "[a", "a\\", "(*UTF8)a",
        ] {
            assert!(translate(pcre, false).is_err(), "{pcre}");
        }
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
