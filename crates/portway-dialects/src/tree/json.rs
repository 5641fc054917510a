//! Whether a text is JSON and no more (RFC 8259). Our trees are read as YAML, which takes more than that.

/// What is wrong and where, in bytes.
type Wrong = (usize, &'static str);

/// The first place at which a text is no JSON; `None`: it is. The text was read as YAML before, so it is not deeper than
/// that allows.
pub(crate) fn first_fault(text: &str) -> Option<Wrong> {
    let mut reader = Reader {
        bytes: text.as_bytes(),
        at: if text.starts_with('\u{feff}') { 3 } else { 0 },
    };
    let whole = reader.value().and_then(|()| {
        reader.blanks();
        match reader.peek() {
            None => Ok(()),
            Some(_) => Err((reader.at, "something stands behind the end")),
        }
    });
    whole.err()
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<(), Wrong> {
        self.blanks();
        match self.peek() {
            Some(b'{') => self.members(b'}', true),
            Some(b'[') => self.members(b']', false),
            Some(b'"') => self.text(),
            Some(b'\'') => Err((self.at, "texts stand between double quotes")),
            Some(b'#' | b'/') => Err((self.at, "there are no comments in JSON")),
            Some(b'}' | b']' | b',') => Err((self.at, "a value is missing before this")),
            Some(_) => self.word(),
            None => Err((self.at, "the text ends within a value")),
        }
    }

    /// An object or a list, from its opening bracket to its closing one.
    fn members(&mut self, end: u8, named: bool) -> Result<(), Wrong> {
        self.at += 1;
        self.blanks();
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            if named {
                match self.peek() {
                    Some(b'"') => self.text()?,
                    Some(byte) if byte == end => {
                        return Err((self.at, "a comma stands before this"));
                    }
                    _ => return Err((self.at, "a name between double quotes is expected")),
                }
                self.blanks();
                if self.peek() != Some(b':') {
                    return Err((self.at, "a colon is expected"));
                }
                self.at += 1;
            } else if self.peek() == Some(end) {
                return Err((self.at, "a comma stands before this"));
            }
            self.value()?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == end => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err((self.at, "a comma or the closing bracket is expected")),
            }
        }
    }

    fn text(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let known = b"\"\\/bfnrtu";
                    let next = self.bytes.get(self.at + 1);
                    if !next.is_some_and(|next| known.contains(next)) {
                        return Err((self.at, "JSON does not know this escape"));
                    }
                    self.at += 2;
                }
                Some(0..0x20) => {
                    return Err((
                        self.at,
                        "a text goes on in the next line, or has a tab in it",
                    ));
                }
                Some(_) => self.at += 1,
                None => return Err((start, "this text does not end")),
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        while self.peek().is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || b"+-._".contains(&byte) || byte > 0x7f
        }) {
            self.at += 1;
        }
        let word = self.bytes.get(start..self.at).unwrap_or_default();
        let word = std::str::from_utf8(word).unwrap_or_default();
        let number = word.parse::<f64>().is_ok()
            && word.ends_with(|it: char| it.is_ascii_digit())
            && word.starts_with(|it: char| it == '-' || it.is_ascii_digit());
        match word {
            "true" | "false" | "null" => Ok(()),
            _ if number => Ok(()),
            _ => Err((start, "texts stand between double quotes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found() {
        for (text, expected) in [
            (r#"{"a": [1, -2.5e3, true, null, "x\n"], "b": {}}"#, None),
            ("\u{feff}{}\n", None),
            (r#"{"a": 1,}"#, Some((8, "a comma stands before this"))),
            (r#"["a",]"#, Some((5, "a comma stands before this"))),
            (r#"["a",,"b"]"#, Some((5, "a value is missing before this"))),
            (
                "{'a': 1}",
                Some((1, "a name between double quotes is expected")),
            ),
            (
                r#"{"a": 'b'}"#,
                Some((6, "texts stand between double quotes")),
            ),
            (
                r#"{"a": b}"#,
                Some((6, "texts stand between double quotes")),
            ),
            (r#"{"a" 1}"#, Some((5, "a colon is expected"))),
            (
                r#"{"a": 1 "b": 2}"#,
                Some((8, "a comma or the closing bracket is expected")),
            ),
            (
                "{\"a\": # x\n1}",
                Some((6, "there are no comments in JSON")),
            ),
            (
                r#"{"a": "\x"}"#,
                Some((7, "JSON does not know this escape")),
            ),
            (
                "{\"a\": \"b\nc\"}",
                Some((8, "a text goes on in the next line, or has a tab in it")),
            ),
            (r#"{"a": "b"#, Some((6, "this text does not end"))),
            (r#"{"a":"#, Some((5, "the text ends within a value"))),
            ("{} {}", Some((3, "something stands behind the end"))),
            ("", Some((0, "the text ends within a value"))),
        ] {
            assert_eq!(first_fault(text), expected, "{text}");
        }
    }
}
