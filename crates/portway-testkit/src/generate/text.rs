//! Names and texts, many of them odd.

use super::Choices;
use portway_model::name::Name;

/// Texts that are hard to write in some language: quotes, escapes, openings of expressions, line ends.
const ODD: [&str; 20] = [
    "",
    " ",
    "a b",
    "\"",
    "'",
    "`",
    "``",
    "\\",
    "\\n",
    "${",
    "${path}",
    "$1",
    "$",
    "}",
    "%[src]",
    "#",
    "ä€😀",
    "&& || !",
    "a,b",
    ")",
];
/// Those that cannot stand on one line, or not at all in some places.
const CONTROLS: [&str; 6] = ["\n", "\r\n", "\t", "\0", "\u{1}", "\u{7f}"];
/// Letters and such.
const PLAIN: [&str; 10] = ["a", "b", "example", "x-1", "A", "0", "10", ".", "/", "-"];
/// Parts of names.
const NAMES: [&str; 16] = [
    "web", "api", "a", "b", "-", "_", ".", " ", "\"", "'", "`", "\\", "ü", "@docker", "${", "/",
];
/// Patterns that compile.
const PATTERNS: [&str; 12] = [
    "",
    "a+",
    "^/api/(.*)$",
    "\\d{2,3}",
    "[\"'`]",
    "\\\\",
    "(?i)x|y",
    "\\$\\{",
    "ä",
    "\n",
    "[^/]+\\.php$",
    "#",
];

impl Choices {
    /// A name that nothing else of its kind has: it ends in `index`.
    pub(super) fn name(&mut self, index: usize) -> Name {
        let mut name: String = (0..self.count(4)).map(|_| self.one("n", &NAMES)).collect();
        name.push_str(&index.to_string());
        Name::from(name)
    }

    /// A name of letters that cannot be mistaken.
    pub(super) fn variable_name(&mut self) -> Name {
        Name::from(self.one("v", &["user", "a_b", "x1", "max-age", "a.b", "ä"]))
    }

    /// Any text.
    pub(super) fn text(&mut self) -> String {
        self.pieces(3)
    }

    /// A text without control characters.
    pub(super) fn line(&mut self) -> String {
        self.pieces(2)
    }

    /// A text of the first `sorts` sorts of pieces.
    fn pieces(&mut self, sorts: u32) -> String {
        let pieces = self.count(4);
        (0..pieces)
            .map(|_| match self.below(sorts) {
                0 => self.one("text", &PLAIN),
                1 => self.one("t", &ODD),
                _ => self.one("t", &CONTROLS),
            })
            .collect()
    }

    /// A text without white space and control characters, for paths and queries.
    pub(super) fn word(&mut self) -> String {
        let text = self.line();
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

    /// A word with a slash before it.
    pub(super) fn path(&mut self) -> String {
        format!("/{}", self.word())
    }

    /// A name of a file.
    pub(super) fn file(&mut self) -> String {
        format!("file{}", self.line())
    }

    /// A token of RFC 9110.
    pub(super) fn token(&mut self) -> String {
        self.one("GET", &["a", "x_y", "!#$%&'*+-.^_`|~", "Z9"])
            .to_owned()
    }

    /// A header that a rule may write.
    pub(super) fn header(&mut self) -> String {
        let names = [
            "host",
            "User-Agent",
            "x_y",
            "X-Forwarded-For",
            "!#$%&'*+-.^_`|~",
        ];
        self.one("X-A", &names).to_owned()
    }

    /// A DNS name.
    pub(super) fn host_name(&mut self) -> String {
        self.one("a.example", &["localhost", "my_app", "x-1.example.com"])
            .to_owned()
    }

    /// A regular expression.
    pub(super) fn pattern(&mut self) -> String {
        self.one("a", &PATTERNS).to_owned()
    }
}
