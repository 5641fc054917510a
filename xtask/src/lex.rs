//! Splits Rust source into what the compiler runs and what people read, so that rules about code do not fire on
//! comments and strings.
//!
//! It knows just enough of the language for that: comments (nested), strings of all kinds, characters and lifetimes.

/// A source file twice, each line for line: once without comments and the contents of strings, once without all but
/// comments. What is taken out is spaces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) code: String,
    pub(crate) comments: String,
}

/// Splits `source`. Never fails: what is not closed reaches to the end of the file.
pub(crate) fn split(source: &str) -> Split {
    let mut lexer = Lexer {
        source: source.chars().collect(),
        at: 0,
        split: Split::default(),
    };
    while lexer.at < lexer.source.len() {
        lexer.step();
    }
    lexer.split
}

/// Which of the two texts a character belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Code,
    Comment,
    Neither,
}

struct Lexer {
    source: Vec<char>,
    at: usize,
    split: Split,
}

impl Lexer {
    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('\'', _) => self.character_or_lifetime(),
            (first, _) if first.is_alphabetic() || first == '_' => self.word(),
            _ => self.take(1, Side::Code),
        }
    }

    /// The character `ahead` of the current one; NUL behind the end.
    fn peek(&self, ahead: usize) -> char {
        self.source.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn take(&mut self, count: usize, side: Side) {
        for _ in 0..count {
            let Some(&c) = self.source.get(self.at) else {
                return;
            };
            self.at += 1;
            let blank = if c == '\n' { '\n' } else { ' ' };
            self.split
                .code
                .push(if side == Side::Code { c } else { blank });
            self.split
                .comments
                .push(if side == Side::Comment { c } else { blank });
        }
    }

    fn ended(&self) -> bool {
        self.at >= self.source.len()
    }

    fn line_comment(&mut self) {
        while !self.ended() && self.peek(0) != '\n' {
            self.take(1, Side::Comment);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while !self.ended() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.take(2, Side::Comment);
                }
                ('*', '/') => {
                    depth = depth.saturating_sub(1);
                    self.take(2, Side::Comment);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.take(1, Side::Comment),
            }
        }
    }

    fn string(&mut self) {
        self.take(1, Side::Code);
        while !self.ended() {
            match self.peek(0) {
                '\\' => self.take(2, Side::Neither),
                '"' => return self.take(1, Side::Code),
                _ => self.take(1, Side::Neither),
            }
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        self.take(hashes + 1, Side::Code);
        while !self.ended() {
            if self.peek(0) == '"' && (1..=hashes).all(|n| self.peek(n) == '#') {
                return self.take(hashes + 1, Side::Code);
            }
            self.take(1, Side::Neither);
        }
    }

    /// `'a'` and `'\''` are characters, `'a` is a lifetime.
    fn character_or_lifetime(&mut self) {
        if self.peek(1) == '\\' {
            self.take(1, Side::Code);
            self.take(2, Side::Neither);
            while !self.ended() && self.peek(0) != '\'' {
                self.take(1, Side::Neither);
            }
            self.take(1, Side::Code);
        } else if self.peek(2) == '\'' {
            self.take(1, Side::Code);
            self.take(1, Side::Neither);
            self.take(1, Side::Code);
        } else {
            self.take(1, Side::Code);
        }
    }

    /// A word, which may turn out to be the prefix of a raw string.
    fn word(&mut self) {
        let mut length = 0;
        let mut word = String::new();
        while self.peek(length).is_alphanumeric() || self.peek(length) == '_' {
            word.push(self.peek(length));
            length += 1;
        }
        self.take(length, Side::Code);
        if matches!(word.as_str(), "r" | "br" | "cr") {
            let mut hashes = 0;
            while self.peek(hashes) == '#' {
                hashes += 1;
            }
            if self.peek(hashes) == '"' {
                self.raw_string(hashes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with runs of spaces made one.
    fn check(source: &str, code: &str, comments: &str) {
        let split = split(source);
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            (squeeze(&split.code), squeeze(&split.comments)),
            (code.to_owned(), comments.to_owned()),
            "{source}"
        );
        for text in [&split.code, &split.comments] {
            assert_eq!(text.lines().count(), source.lines().count(), "{source}");
        }
    }

    #[test]
    fn code_and_comments() {
        check("let a = 1; // why", "let a = 1;", "// why");
        check("//! doc\nfn a() {}", "fn a() {}", "//! doc");
        check("a /* b /* c */ d */ e", "a e", "/* b /* c */ d */");
        check("a /* never closed", "a", "/* never closed");
        check(r#"f("// no", b"x") // yes"#, r#"f(" ", b" ")"#, "// yes");
        check(r#"f("a\"b // no");"#, r#"f(" ");"#, "");
        check("f(\"a\n// b\n\") // c", "f(\" \")", "// c");
        check(
            r##"f(r#"a " // b"#, br"c\") // d"##,
            r##"f(r#" "#, br" ")"##,
            "// d",
        );
        check("let r#type = r; // x", "let r#type = r;", "// x");
        check(
            r"f('/', '\'', '\u{2f}', b'\\') // x",
            "f(' ', ' ', ' ', b' ')",
            "// x",
        );
        check(
            "fn f<'a>(x: &'a str, y: &'static str) {} // x",
            "fn f<'a>(x: &'a str, y: &'static str) {}",
            "// x",
        );
        check("f('\"'); // x", "f(' ');", "// x");
        check("", "", "");
    }
}
