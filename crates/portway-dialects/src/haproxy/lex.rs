//! One line of text to words, exactly as HAProxy 2.6 splits it (its manual, sections 2.2 and 2.3, and what it does).
//!
//! ```text
//!                blank       #        '        "      \x        $VAR
//! unquoted       ends word   comment  opens    opens  escape    as it is
//! "weak"         as it is    as it is as it is closes escape    filled in
//! 'strong'       as it is    as it is closes   as is  as it is  as it is
//! ```
//!
//! The hard thing is that some escapes (`\$`) count in weak quotes only, that an unknown one keeps its backslash, and
//! that what a variable holds is never looked at again, except that `${VAR[*]}` makes words of it.

use super::environment::Environment;
use super::word::Word;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::{FileId, Span};

/// Words of one line. HAProxy takes no more either (`MAX_LINE_ARGS`); it has no setting for it.
pub(crate) const MAX_WORDS: usize = 64;

/// Bytes of all words of one line with variables filled in: a variable of 128 KiB is the most that Linux hands to a
/// program, and no line has more than a few.
pub(crate) const MAX_LINE_BYTES: usize = 1024 * 1024;

/// What variables and pseudo-variables stand for at one line.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// `$NAME`.
    pub(crate) environment: &'a Environment<'a>,
    /// `$.FILE`.
    pub(crate) file_name: &'a str,
    /// `$.LINE`, from 1.
    pub(crate) line: usize,
    /// `$.SECTION`.
    pub(crate) section: &'a str,
}

/// The words of one line, which has no line feed. `start` is where it begins in the text.
pub(crate) fn words(
    line: &str,
    file: FileId,
    start: usize,
    surroundings: Surroundings<'_>,
) -> Result<Vec<Word>, Diagnostic> {
    let mut lexer = Lexer {
        line,
        file,
        start,
        surroundings,
        at: 0,
        quote: None,
        word: Vec::new(),
        begun: 0,
        total: 0,
        words: Vec::new(),
    };
    lexer.run()?;
    Ok(lexer.words)
}

/// An open quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    /// `"`.
    Weak,
    /// `'`.
    Strong,
}

struct Lexer<'a> {
    line: &'a str,
    file: FileId,
    start: usize,
    surroundings: Surroundings<'a>,
    /// The byte that is looked at.
    at: usize,
    /// The open quote and where it was opened.
    quote: Option<(Quote, usize)>,
    /// The bytes of the word so far.
    word: Vec<u8>,
    /// Where the word began.
    begun: usize,
    /// Bytes of all words so far.
    total: usize,
    words: Vec<Word>,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Result<(), Diagnostic> {
        self.skip_blanks();
        self.begun = self.at;
        while let Some(byte) = self.byte(0) {
            let quote = self.quote.map(|(quote, _)| quote);
            match (byte, quote) {
                (b'\r' | b'\n', _) | (b'#', None) => break,
                (b'"', None | Some(Quote::Weak)) => self.toggle(Quote::Weak),
                (b'\'', None | Some(Quote::Strong)) => self.toggle(Quote::Strong),
                (b'\\', None | Some(Quote::Weak)) => self.escape()?,
                (b'$', Some(Quote::Weak)) => self.variable()?,
                (byte, None) if is_blank(byte) => {
                    self.end_word(self.at)?;
                    self.skip_blanks();
                    self.begun = self.at;
                }
                (byte, _) => {
                    self.emit(byte)?;
                    self.at += 1;
                }
            }
        }
        if let Some((_, opened)) = self.quote {
            let message = "this quote is not closed on its line";
            return Err(self
                .error(opened..opened + 1, message)
                .help("close it with the same quote, or write a backslash before it"));
        }
        if self.begun < self.at {
            self.end_word(self.at)?;
        }
        Ok(())
    }

    /// The byte `ahead` of the one that is looked at.
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.line.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_blanks(&mut self) {
        // A carriage return ends the line, blank or not.
        while self.byte(0).is_some_and(is_blank) {
            self.at += 1;
        }
    }

    fn toggle(&mut self, quote: Quote) {
        self.quote = match self.quote {
            Some(_) => None,
            None => Some((quote, self.at)),
        };
        self.at += 1;
    }

    fn emit(&mut self, byte: u8) -> Result<(), Diagnostic> {
        self.total += 1;
        if self.total > MAX_LINE_BYTES {
            let message = format!("this line has more than {MAX_LINE_BYTES} bytes");
            let found = Diagnostic::error(Code::TooLarge, self.span(self.begun..self.at), message);
            return Err(found);
        }
        self.word.push(byte);
        Ok(())
    }

    fn end_word(&mut self, end: usize) -> Result<(), Diagnostic> {
        let span = self.span(self.begun..end);
        if self.words.len() >= MAX_WORDS {
            let message = format!("this line has more than {MAX_WORDS} words");
            let help = "HAProxy takes no more either; write several lines, or a file of patterns";
            return Err(Diagnostic::error(Code::TooLarge, span, message).help(help));
        }
        let mut bytes = std::mem::take(&mut self.word);
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            // As in HAProxy, whose words are strings of C.
            bytes.truncate(end);
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            let message = "this word is not valid UTF-8 after its escapes";
            let help = "Portway's configuration is text; bytes that are none cannot stand in it";
            Diagnostic::error(Code::NotRun, span, message).help(help)
        })?;
        self.words.push(Word { text, span });
        Ok(())
    }

    /// At a backslash outside of strong quotes.
    fn escape(&mut self) -> Result<(), Diagnostic> {
        let weak = self.quote.is_some();
        let (byte, length) = match self.byte(1) {
            Some(byte @ (b' ' | b'\\' | b'#' | b'\'' | b'"')) => (byte, 2),
            Some(b'$') if weak => (b'$', 2),
            Some(b't') => (b'\t', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'x') => match (self.byte(2).and_then(hex), self.byte(3).and_then(hex)) {
                (Some(high), Some(low)) => (high * 16 + low, 4),
                _ => {
                    let message = "`\\x` must be followed by two hexadecimal digits";
                    let found = self.error(self.at..self.at + 2, message);
                    return Err(found.help("for the backslash itself write `\\\\`"));
                }
            },
            _ => (b'\\', 1),
        };
        self.emit(byte)?;
        self.at += length;
        Ok(())
    }

    /// At a `$` in weak quotes.
    fn variable(&mut self) -> Result<(), Diagnostic> {
        let dollar = self.at;
        self.at += 1;
        let braced = self.byte(0) == Some(b'{');
        self.at += usize::from(braced);
        let name = self.variable_name(dollar)?;
        let mut value = self.value_of(name, dollar)?;
        let mut splits = false;
        if braced && self.byte(0) == Some(b'[') {
            if self.byte(1) != Some(b'*') || self.byte(2) != Some(b']') {
                let message = "only `[*]` may stand here: it makes words of a variable";
                return Err(self.error(self.at..self.at + 1, message));
            }
            splits = true;
            self.at += 3;
        }
        if braced {
            let rest = self.line.get(self.at..).unwrap_or_default();
            let close = match rest.as_bytes().first() {
                Some(b'}') => Some(0),
                Some(b'-') => rest.find('}'),
                _ => None,
            };
            let Some(close) = close else {
                let message = "the brace of this variable is not closed";
                let help = "write `${NAME}`, `${NAME-default}` or `${NAME[*]}`";
                return Err(self.error(dollar..self.at, message).help(help));
            };
            if close > 0 && value.is_none() {
                value = rest.get(1..close).map(str::to_owned);
            }
            self.at += close + 1;
        }
        self.fill_in(&value.unwrap_or_default(), splits)
    }

    /// The name at this place: letters, digits and `_`, a letter or `_` first; a dot before a pseudo-variable's.
    fn variable_name(&mut self, dollar: usize) -> Result<&'a str, Diagnostic> {
        let begin = self.at;
        let first = self
            .byte(0)
            .filter(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.'));
        if first.is_none() {
            let message = "the name of a variable must follow `$`: a letter or `_` first";
            let help = "for the dollar itself write `\\$`, or use single quotes";
            return Err(self.error(dollar..dollar + 1, message).help(help));
        }
        self.at += usize::from(first == Some(b'.'));
        while self
            .byte(0)
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            self.at += 1;
        }
        Ok(self.line.get(begin..self.at).unwrap_or_default())
    }

    fn value_of(&self, name: &str, dollar: usize) -> Result<Option<String>, Diagnostic> {
        let here = self.surroundings;
        if !name.starts_with('.') {
            return Ok(here.environment.value(name));
        }
        match name {
            ".FILE" => Ok(Some(here.file_name.to_owned())),
            ".LINE" => Ok(Some(here.line.to_string())),
            ".SECTION" => Ok(Some(here.section.to_owned())),
            _ => {
                let message = format!("there is no pseudo-variable `{name}`");
                let end = dollar + 1 + name.len();
                let found = self.error(dollar..end.min(self.line.len()), message);
                Err(found.help("one of: .FILE, .LINE, .SECTION"))
            }
        }
    }

    fn fill_in(&mut self, value: &str, splits: bool) -> Result<(), Diagnostic> {
        let mut bytes = value.bytes().peekable();
        while let Some(byte) = bytes.next() {
            if splits && (is_blank(byte) || matches!(byte, b'\r' | b'\n')) {
                while bytes.peek().copied().is_some_and(is_blank) {
                    bytes.next();
                }
                self.end_word(self.at)?;
            } else {
                self.emit(byte)?;
            }
        }
        Ok(())
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        let end = self.line.floor_char_boundary(range.end);
        let start = self.line.floor_char_boundary(range.start.min(end));
        Span::new(self.file, self.start + start..self.start + end)
    }

    fn error(&self, range: std::ops::Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(Code::Syntax, self.span(range), message)
    }
}

/// What C calls space, without what ends a line.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::environment::Environment;

    fn lexed(line: &str) -> Result<Vec<Word>, Diagnostic> {
        let outer = |name: &str| match name {
            "V" => Some("val".to_owned()),
            "L" => Some("a b  c".to_owned()),
            "EMPTY" => Some(String::new()),
            "QUOTED" => Some("\"x\" #y\\".to_owned()),
            _ => None,
        };
        let environment = Environment::new(&outer);
        let surroundings = Surroundings {
            environment: &environment,
            file_name: "/etc/h.cfg",
            line: 7,
            section: "web",
        };
        words(line, FileId(0), 0, surroundings)
    }

    /// Every expectation was seen in HAProxy 2.6.12.
    #[test]
    fn words_of_a_line() {
        let check = |line: &str, expected: &[&str]| {
            let words = lexed(line).unwrap();
            let texts: Vec<&str> = words.iter().map(Word::as_str).collect();
            assert_eq!(texts, expected, "{line}");
        };
        check("", &[]);
        check("  \t ", &[]);
        check("# x", &[]);
        check(
            "  bind *:80   ssl\tcrt x # note",
            &["bind", "*:80", "ssl", "crt", "x"],
        );
        check("a#b c", &["a"]);
        check("a \u{b}b\u{c}c", &["a", "b", "c"]);
        check("ab\rcd", &["ab"]);
        check(r"k\ x z", &["k x", "z"]);
        check(r"k\#x", &["k#x"]);
        check(r"k\'x", &["k'x"]);
        check(r#"k\"x"#, &["k\"x"]);
        check(r"k\qx", &[r"k\qx"]);
        check(r"k\x41b", &["kAb"]);
        check(r"k\nx\ry\tz", &["k\nx\ry\tz"]);
        check(r"k\\x", &[r"k\x"]);
        check(r"k\", &[r"k\"]);
        check(r"k\xc3\xa4", &["kä"]);
        check(r"a\x00b c", &["a", "c"]);
        check(r#"k"a b"'c d'e"#, &["ka bc de"]);
        check(r#""" x"#, &["", "x"]);
        check("x ''", &["x", ""]);
        check(r#""k\nx\x41\q\ \#\'\"""#, &["k\nxA\\q #'\""]);
        check(r"'k$V\x41\\'", &[r"k$V\x41\\"]);
        check(r#""it's # here""#, &["it's # here"]);
        check("'say \"x\"'", &["say \"x\""]);
    }

    #[test]
    fn variables() {
        let check = |line: &str, expected: &[&str]| {
            let words = lexed(line).unwrap();
            let texts: Vec<&str> = words.iter().map(Word::as_str).collect();
            assert_eq!(texts, expected, "{line}");
        };
        check("k$V k${V}", &["k$V", "k${V}"]);
        check(r#""k$V" "${V}x" "$V-x""#, &["kval", "valx", "val-x"]);
        check(r#""$V":"$V""#, &["val:val"]);
        check(r#""k\$V" k\$V"#, &["k$V", r"k\$V"]);
        check(r#""k${NO-def}" "k${NO}x" "$NO""#, &["kdef", "kx", ""]);
        check(r#""k${EMPTY-def}" "k${NO-}x""#, &["k", "kx"]);
        check(r#""k${NO- a "b}x""#, &["k a \"bx"]);
        check(r#"d "${L}""#, &["d", "a b  c"]);
        check(r#"d "k${L[*]}x" y"#, &["d", "ka", "b", "cx", "y"]);
        check(r#""k${V[*]-x}" "k${NO[*]-x y}""#, &["kval", "kx", "y"]);
        check(r#""$V[*]""#, &["val[*]"]);
        check(r#""$QUOTED""#, &["\"x\" #y\\"]);
        check(r#""$.LINE ${.FILE} $.SECTION""#, &["7 /etc/h.cfg web"]);
    }

    #[test]
    fn what_is_wrong_with_a_line() {
        let check = |line: &str, range: std::ops::Range<usize>, expected: &str| {
            let found = lexed(line).unwrap_err();
            assert!(found.message.contains(expected), "{line}: {found:?}");
            assert_eq!(found.labels[0].span.range(), range, "{line}: {found:?}");
        };
        check("abc 'def", 4..5, "not closed");
        check("\"a\rb\"", 0..1, "not closed");
        check(r"'k\'b'", 5..6, "not closed");
        check(r"k\x4", 1..3, "hexadecimal");
        check(r"k\xé", 1..3, "hexadecimal");
        check(r#""k$""#, 2..3, "must follow");
        check(r#""k$1""#, 2..3, "must follow");
        check(r#""k${""#, 2..3, "must follow");
        check(r#""k$.NO""#, 2..6, "pseudo-variable");
        check(r#""k${V"#, 2..5, "not closed");
        check(r#""k${V:-x}""#, 2..5, "not closed");
        check(r#""k${V[*""#, 5..6, "only `[*]`");
        check(r"k\xff", 0..5, "not valid UTF-8");
        let many = "a ".repeat(MAX_WORDS + 1);
        check(&many, 128..129, "more than 64 words");
        assert_eq!(lexed(&"a ".repeat(MAX_WORDS)).unwrap().len(), MAX_WORDS);
        let long = "é".repeat(MAX_LINE_BYTES);
        check(&long, 0..MAX_LINE_BYTES, "bytes");
    }

    #[test]
    fn spans_hold_how_a_word_was_written() {
        let line = r#"a "b c"d é # x"#;
        let words = lexed(line).unwrap();
        let written: Vec<&str> = words
            .iter()
            .map(|it| line.get(it.span.range()).unwrap())
            .collect();
        assert_eq!(written, ["a", "\"b c\"d", "é"]);
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_taken_apart(line in r#"[ \t#'"\\$x{}*\[\].VL4aé\r\n\x00-]{0,40}"#) {
            if let Ok(words) = lexed(&line) {
                for word in words {
                    proptest::prop_assert!(line.get(word.span.range()).is_some());
                }
            }
        }
    }
}
