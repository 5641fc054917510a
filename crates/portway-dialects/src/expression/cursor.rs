//! The reading position in a written text: tokens, the limits, and what is said where something else was expected.

use super::{MAX_DEPTH, MAX_LENGTH, Written};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::Span;
use std::ops::Range;

/// The reading stopped; the diagnostic is already there.
pub(crate) struct Stopped;

/// What a reading function gives.
pub(crate) type Parsed<T> = Result<T, Stopped>;

/// Symbols, longest first where one begins another.
const SYMBOLS: [&str; 18] = [
    "&&", "||", "!=", "==", "=~", "<=", ">=", "..", "!", "<", ">", "(", ")", "[", "]", ",", ".",
    "}",
];

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'t> {
    /// Letters, digits and underscores; begins with a letter or underscore.
    Word(&'t str),
    /// A whole number.
    Number(i64),
    /// A text in backticks or double quotes.
    Text(String),
    /// One of [`SYMBOLS`].
    Symbol(&'static str),
    /// The text is over.
    End,
}

/// The reading position.
pub(crate) struct Cursor<'t, 'd> {
    written: Written<'t>,
    token: Token<'t>,
    /// Where `token` stands.
    range: Range<usize>,
    /// Where the token before it ended.
    before: usize,
    depth: usize,
    /// Something was wrong, and what comes after it is read all the same.
    pub(crate) failed: bool,
    /// Nothing is said: what is wrong was said before.
    quiet: bool,
    pub(crate) found: &'d mut Diagnostics,
}

impl<'t, 'd> Cursor<'t, 'd> {
    /// A cursor on the first token; `None` where the text is too long or its first token is wrong.
    pub(crate) fn new(written: Written<'t>, found: &'d mut Diagnostics) -> Option<Self> {
        if written.text.len() > MAX_LENGTH {
            let message = format!("this text is longer than {MAX_LENGTH} bytes");
            found.push(Diagnostic::error(Code::TooLarge, written.span, message));
            return None;
        }
        let mut cursor = Self {
            written,
            token: Token::End,
            range: 0..0,
            before: 0,
            depth: 0,
            failed: false,
            quiet: false,
            found,
        };
        cursor.advance().ok()?;
        Some(cursor)
    }

    /// A cursor on the first token at `offset`, for an expression within a template.
    pub(crate) fn starting(
        written: Written<'t>,
        offset: usize,
        found: &'d mut Diagnostics,
    ) -> Parsed<Self> {
        let mut cursor = Self {
            written,
            token: Token::End,
            range: offset..offset,
            before: offset,
            depth: 0,
            failed: false,
            quiet: false,
            found,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    /// Goes to the next token.
    pub(crate) fn advance(&mut self) -> Parsed<()> {
        self.before = self.range.end;
        let rest = self.rest(self.range.end);
        let blank = rest.len() - rest.trim_start().len();
        let start = self.range.end + blank;
        let rest = self.rest(start);
        let (token, length) = self.token_at(start, rest)?;
        self.token = token;
        self.range = start..start + length;
        Ok(())
    }

    /// Runs `read` one level deeper.
    pub(crate) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            let message = format!("this is nested deeper than {MAX_DEPTH} levels");
            return self.stop(Diagnostic::error(Code::TooLarge, self.span(), message));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// How deep the reading is.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Gives up what was begun below this depth.
    pub(crate) fn return_to(&mut self, depth: usize) {
        self.depth = depth;
    }

    /// The token here.
    pub(crate) fn token(&self) -> &Token<'t> {
        &self.token
    }

    /// The word here.
    pub(crate) fn word(&self) -> Option<&'t str> {
        match self.token {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    /// True where this symbol is here.
    pub(crate) fn is(&self, symbol: &str) -> bool {
        matches!(self.token, Token::Symbol(here) if here == symbol)
    }

    /// Goes past this symbol where it is here.
    pub(crate) fn takes(&mut self, symbol: &str) -> Parsed<bool> {
        let here = self.is(symbol);
        if here {
            self.advance()?;
        }
        Ok(here)
    }

    /// Goes past this word where it is here.
    pub(crate) fn takes_word(&mut self, word: &str) -> Parsed<bool> {
        let here = self.word() == Some(word);
        if here {
            self.advance()?;
        }
        Ok(here)
    }

    /// Goes past this symbol, which must be here.
    pub(crate) fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.is(symbol) {
            self.advance()
        } else {
            self.unexpected(&format!("`{symbol}`"))
        }
    }

    /// The text must be over.
    pub(crate) fn end(&mut self, expected: &str) -> Parsed<()> {
        if self.token == Token::End {
            Ok(())
        } else {
            self.unexpected(expected)
        }
    }

    /// A text literal with its place.
    pub(crate) fn text(&mut self, what: &str) -> Parsed<(String, Span)> {
        if let Token::Text(text) = &self.token {
            let text = text.clone();
            let span = self.span();
            self.advance()?;
            return Ok((text, span));
        }
        self.unexpected(&format!("{what} in backticks"))
    }

    /// A whole number within the type's range.
    pub(crate) fn number<N: TryFrom<i64>>(&mut self, what: &str) -> Parsed<N> {
        let Token::Number(number) = self.token else {
            return self.unexpected(what);
        };
        let Ok(number) = N::try_from(number) else {
            let message = format!("{number} is out of range for {what}");
            return self.stop(Diagnostic::error(Code::OutOfRange, self.span(), message));
        };
        self.advance()?;
        Ok(number)
    }

    /// One of the words of a table.
    pub(crate) fn one_of<T: Clone>(&mut self, what: &str, table: &[(&str, T)]) -> Parsed<T> {
        let Some(word) = self.word() else {
            return self.unexpected(what);
        };
        match table.iter().find(|(known, _)| *known == word) {
            Some((_, value)) => {
                let value = value.clone();
                self.advance()?;
                Ok(value)
            }
            None => self.unknown(what, word, table.iter().map(|(known, _)| *known)),
        }
    }

    /// Says that this word is not known.
    pub(crate) fn unknown<'k, T>(
        &mut self,
        what: &str,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Parsed<T> {
        let diagnostic = crate::unknown_word(self.span(), what, word, known);
        self.stop(diagnostic)
    }

    /// Says what was expected here and what is here.
    pub(crate) fn unexpected<T>(&mut self, expected: &str) -> Parsed<T> {
        let here = match &self.token {
            Token::Word(word) => format!("`{word}`"),
            Token::Number(number) => format!("the number {number}"),
            Token::Text(_) => "a text".to_owned(),
            Token::Symbol(symbol) => format!("`{symbol}`"),
            Token::End => "the end".to_owned(),
        };
        let message = format!("expected {expected}, found {here}");
        let mut diagnostic = Diagnostic::error(Code::Syntax, self.span(), message);
        if let Some(help) = self.habit() {
            diagnostic = diagnostic.help(help);
        }
        self.stop(diagnostic)
    }

    /// Pushes the diagnostic that ends the reading.
    pub(crate) fn stop<T>(&mut self, diagnostic: Diagnostic) -> Parsed<T> {
        if !self.quiet {
            self.found.push(diagnostic);
        }
        Err(Stopped)
    }

    /// After something that was wrong in what began at `start`: goes behind it, to one of these symbols that is not within
    /// parentheses, or to the end, so that what follows is looked at too.
    ///
    /// # Errors
    /// There is no such place: what follows cannot be told apart.
    pub(crate) fn skip_from(&mut self, start: usize, until: &[&str]) -> Parsed<()> {
        self.failed = true;
        self.quiet = true;
        self.range = start..start;
        let skipped = self.skip(until);
        self.quiet = false;
        skipped
    }

    fn skip(&mut self, until: &[&str]) -> Parsed<()> {
        let mut open = 0_usize;
        self.advance()?;
        loop {
            match self.token {
                Token::End => return if open == 0 { Ok(()) } else { Err(Stopped) },
                Token::Symbol(symbol) if open == 0 && until.contains(&symbol) => return Ok(()),
                Token::Symbol("(" | "[") => open += 1,
                Token::Symbol(")" | "]") => open = open.checked_sub(1).ok_or(Stopped)?,
                _ => {}
            }
            self.advance()?;
        }
    }

    /// Where the token here stands.
    pub(crate) fn span(&self) -> Span {
        self.written.part(self.range.clone())
    }

    /// First byte of the token here.
    pub(crate) fn start(&self) -> usize {
        self.range.start
    }

    /// From `start` to the end of the last token that was taken.
    pub(crate) fn since(&self, start: usize) -> Span {
        self.written.part(start..self.before.max(start))
    }

    /// One past the last byte of the token here.
    pub(crate) fn after(&self) -> usize {
        self.range.end
    }

    /// What people write who come from other languages.
    fn habit(&self) -> Option<&'static str> {
        match self.word()? {
            "and" | "AND" => Some("write `&&`"),
            "or" | "OR" => Some("write `||`"),
            "not" | "NOT" => Some("write `!` before what is negated"),
            _ => None,
        }
    }

    fn rest(&self, from: usize) -> &'t str {
        self.written.text.get(from..).unwrap_or("")
    }

    fn token_at(&mut self, start: usize, rest: &'t str) -> Parsed<(Token<'t>, usize)> {
        let Some(first) = rest.chars().next() else {
            return Ok((Token::End, 0));
        };
        if first == '`' {
            return self.raw_text(start, rest);
        }
        if first == '"' {
            return self.escaped_text(start, rest);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let length = run(rest, |c| c.is_ascii_alphanumeric() || c == '_');
            return Ok((Token::Word(rest.get(..length).unwrap_or(rest)), length));
        }
        let negative = usize::from(first == '-');
        let digits = run(rest.get(negative..).unwrap_or(""), |c| c.is_ascii_digit());
        if digits > 0 {
            return self.number_token(start, rest, negative + digits);
        }
        match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => Ok((Token::Symbol(symbol), symbol.len())),
            None => self.strange(start, first),
        }
    }

    fn number_token(
        &mut self,
        start: usize,
        rest: &'t str,
        length: usize,
    ) -> Parsed<(Token<'t>, usize)> {
        let digits = rest.get(..length).unwrap_or("");
        if let Ok(number) = digits.parse() {
            return Ok((Token::Number(number), length));
        }
        let span = self.written.part(start..start + length);
        let message = format!("{digits} is too large: numbers have 64 bits");
        self.stop(Diagnostic::error(Code::OutOfRange, span, message))
    }

    fn raw_text(&mut self, start: usize, rest: &'t str) -> Parsed<(Token<'t>, usize)> {
        let body = rest.get(1..).unwrap_or("");
        match body.split_once('`') {
            Some((text, _)) => Ok((Token::Text(text.to_owned()), text.len() + 2)),
            None => self.unclosed(start, rest.len(), '`'),
        }
    }

    fn escaped_text(&mut self, start: usize, rest: &'t str) -> Parsed<(Token<'t>, usize)> {
        let mut text = String::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Ok((Token::Text(text), at + 1)),
                '\\' => {
                    let body = rest.get(at + 1..).unwrap_or("");
                    let Some((escaped, length)) = escape(body) else {
                        return self.bad_escape(start + at, body);
                    };
                    text.push(escaped);
                    let letters = body.get(..length).unwrap_or("").chars().count();
                    for _ in 0..letters {
                        chars.next();
                    }
                }
                c => text.push(c),
            }
        }
        self.unclosed(start, rest.len(), '"')
    }

    fn unclosed<T>(&mut self, start: usize, length: usize, quote: char) -> Parsed<T> {
        let span = self.written.part(start..start + length);
        let message = format!("this text is not closed with {quote}");
        self.stop(Diagnostic::error(Code::Syntax, span, message))
    }

    fn bad_escape<T>(&mut self, at: usize, body: &str) -> Parsed<T> {
        let length = 1 + body.chars().next().map_or(0, char::len_utf8);
        let span = self.written.part(at..at + length);
        let diagnostic = Diagnostic::error(Code::Syntax, span, "unknown escape").help(
            "in double quotes: \\\" \\\\ \\n \\r \\t \\u{41}; in backticks nothing is escaped",
        );
        self.stop(diagnostic)
    }

    fn strange<T>(&mut self, start: usize, first: char) -> Parsed<T> {
        let span = self.written.part(start..start + first.len_utf8());
        let diagnostic =
            Diagnostic::error(Code::Syntax, span, format!("unexpected {first:?} here"));
        self.stop(match first {
            '=' => diagnostic.help("write `==`"),
            '&' => diagnostic.help("write `&&`"),
            '|' => diagnostic.help("write `||`"),
            '\'' => diagnostic.help("texts stand in backticks or double quotes"),
            _ => diagnostic,
        })
    }
}

/// How many bytes from the start are of this kind.
fn run(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of(c)).unwrap_or(text.len())
}

/// The character that the escape at the start of `body` (after the backslash) stands for, and its length.
fn escape(body: &str) -> Option<(char, usize)> {
    let first = body.chars().next()?;
    let plain = match first {
        '"' | '\\' => first,
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let hex = body.strip_prefix("u{")?.split_once('}')?.0;
            let short = hex.len() <= 6 && hex.bytes().all(|b| b.is_ascii_hexdigit());
            let code = short.then(|| u32::from_str_radix(hex, 16).ok()).flatten()?;
            return Some((char::from_u32(code)?, hex.len() + 3));
        }
        _ => return None,
    };
    Some((plain, 1))
}
