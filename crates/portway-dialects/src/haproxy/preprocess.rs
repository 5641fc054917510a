//! `.if`, `.elif`, `.else`, `.endif`, and `.notice`, `.warning`, `.alert`, `.diag`: which lines count.
//!
//! ```text
//! .if A     ──▶ A holds: this branch is read, those after it are not looked at
//! .elif B   ──▶ else B decides (evaluated only where no branch before it was taken)
//! .else     ──▶ else this
//! .endif
//! ```
//!
//! Also the conditions themselves, which the command line can ask for (`-cc`).

use super::environment::Environment;
use super::lex::{self, Surroundings};
use super::reader::Reader;
use super::word::Word;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::{FileId, Span};

/// The version of HAProxy that conditions and the program answer with: the one whose manual holds here.
pub const VERSION: &str = "2.6.12";

/// The version of OpenSSL that conditions answer with. No OpenSSL is in here; files ask for one before they use what
/// it can do, and what 3.0 can is what they may ask for.
pub const OPENSSL_VERSION: &str = "3.0.0";

/// What HAProxy 2.6 may be built with, and whether Portway does it: `feature()` and the list that `-vv` prints.
pub const FEATURES: [(&str, bool); 42] = [
    ("51DEGREES", false),
    ("ACCEPT4", true),
    ("BACKTRACE", true),
    ("CLOSEFROM", false),
    ("CPU_AFFINITY", false),
    ("CRYPT_H", true),
    ("DEVICEATLAS", false),
    ("DL", false),
    ("ENGINE", false),
    ("EPOLL", true),
    ("EVPORTS", false),
    ("GETADDRINFO", true),
    ("KQUEUE", false),
    ("LIBCRYPT", true),
    ("LINUX_SPLICE", false),
    ("LINUX_TPROXY", false),
    ("LUA", false),
    ("MEMORY_PROFILING", false),
    ("NETFILTER", false),
    ("NS", false),
    ("OBSOLETE_LINKER", false),
    ("OPENSSL", true),
    ("OT", false),
    ("PCRE", false),
    ("PCRE2", true),
    ("PCRE2_JIT", false),
    ("PCRE_JIT", false),
    ("POLL", true),
    ("PRCTL", true),
    ("PROCCTL", false),
    ("PROMEX", true),
    ("QUIC", false),
    ("RT", true),
    ("SLZ", false),
    ("STATIC_PCRE", false),
    ("STATIC_PCRE2", false),
    ("SYSTEMD", true),
    ("TFO", false),
    ("THREAD", true),
    ("TPROXY", false),
    ("WURFL", false),
    ("ZLIB", false),
];

/// Parentheses within each other in one condition.
const MAX_DEPTH: usize = 32;

/// The directives.
const DIRECTIVES: [&str; 8] = [
    ".if", ".elif", ".else", ".endif", ".notice", ".warning", ".alert", ".diag",
];

/// Whether a condition holds, as `haproxy -cc` answers.
///
/// # Errors
/// In words, what cannot be read.
pub fn condition_holds(
    condition: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<bool, String> {
    let environment = Environment::new(environment);
    let surroundings = Surroundings {
        environment: &environment,
        file_name: "",
        line: 0,
        section: "",
    };
    let words = lex::words(condition, FileId(0), 0, surroundings).map_err(|it| it.message)?;
    holds(&words, &environment)
}

fn holds(words: &[Word], environment: &Environment<'_>) -> Result<bool, String> {
    let texts: Vec<&str> = words.iter().map(Word::as_str).collect();
    let text = texts.join(" ");
    if text.is_empty() {
        return Ok(false);
    }
    let mut parser = Parser {
        rest: &text,
        environment,
        depth: 0,
    };
    let holds = parser.any()?;
    parser.skip_blanks();
    match parser.rest {
        "" => Ok(holds),
        rest => Err(format!("`{rest}` is too much at the end of this condition")),
    }
}

/// The blocks around a line.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    open: Vec<Block>,
}

/// One `.if` with its branches so far.
#[derive(Debug)]
struct Block {
    /// The `.if`.
    span: Span,
    /// The branch that is read now counts.
    counts: bool,
    /// No further branch counts: one did, or the whole block stands in one that does not.
    decided: bool,
    /// `.else` was there.
    last: bool,
}

impl Blocks {
    /// True where the line of these words is not for anybody else: a directive, or in a branch that does not count.
    pub(crate) fn take(&mut self, words: &[Word], reader: &mut Reader<'_>) -> bool {
        let Some(first) = words.first() else {
            return true;
        };
        let rest = words.get(1..).unwrap_or_default();
        match first.as_str() {
            ".if" => self.begin(first, rest, reader),
            ".elif" => self.otherwise_if(first, rest, reader),
            ".else" => self.otherwise(first, rest, reader),
            ".endif" => {
                no_argument(first, rest, reader);
                if self.open.pop().is_none() {
                    lone(first, reader);
                }
            }
            _ if !self.counts() => {}
            ".notice" | ".warning" | ".alert" | ".diag" => say(first, rest, reader),
            word if word.starts_with('.') => {
                let found = format!("unknown directive `{word}`");
                let found = Diagnostic::error(Code::Unknown, first.span, found);
                reader.push(found.nearest(word, DIRECTIVES));
            }
            _ => return false,
        }
        true
    }

    /// At the end of a text.
    pub(crate) fn end(self, reader: &mut Reader<'_>) {
        for block in self.open {
            let message = "this `.if` has no `.endif`";
            reader.error(Code::Syntax, block.span, message);
        }
    }

    /// True where the lines here are read.
    fn counts(&self) -> bool {
        self.open.last().is_none_or(|block| block.counts)
    }

    fn begin(&mut self, word: &Word, rest: &[Word], reader: &mut Reader<'_>) {
        let counts = self.counts() && condition(word, rest, reader);
        self.open.push(Block {
            span: word.span,
            counts,
            decided: counts || !self.counts(),
            last: false,
        });
    }

    fn otherwise_if(&mut self, word: &Word, rest: &[Word], reader: &mut Reader<'_>) {
        let Some(block) = self.open.last_mut() else {
            return lone(word, reader);
        };
        if block.last {
            return after_else(word, block.span, reader);
        }
        block.counts = !block.decided && condition(word, rest, reader);
        block.decided |= block.counts;
    }

    fn otherwise(&mut self, word: &Word, rest: &[Word], reader: &mut Reader<'_>) {
        no_argument(word, rest, reader);
        let Some(block) = self.open.last_mut() else {
            return lone(word, reader);
        };
        if block.last {
            return after_else(word, block.span, reader);
        }
        block.last = true;
        block.counts = !block.decided;
        block.decided = true;
    }
}

fn condition(word: &Word, rest: &[Word], reader: &mut Reader<'_>) -> bool {
    match holds(rest, &reader.environment) {
        Ok(holds) => holds,
        Err(message) => {
            let span = rest.first().map_or(word.span, |first| first.span);
            let span = rest.last().map_or(span, |last| span.to(last.span));
            reader.error(Code::Syntax, span, message);
            false
        }
    }
}

fn say(word: &Word, rest: &[Word], reader: &mut Reader<'_>) {
    if let Some(second) = rest.get(1) {
        let message = format!("`{}` takes one word", word.text);
        let help = "put the message in quotes";
        reader.push(Diagnostic::error(Code::Syntax, second.span, message).help(help));
        return;
    }
    let (span, text) = rest
        .first()
        .map_or((word.span, ""), |message| (message.span, message.as_str()));
    match word.as_str() {
        ".alert" => reader.push(Diagnostic::error(Code::Stated, span, text)),
        ".warning" => reader.push(Diagnostic::warning(Code::Stated, span, text)),
        ".notice" => reader.push(Diagnostic::note(Code::Stated, span, text)),
        // `.diag` speaks in HAProxy's diagnostic mode only.
        _ => {}
    }
}

fn no_argument(word: &Word, rest: &[Word], reader: &mut Reader<'_>) {
    if let Some(extra) = rest.first() {
        let message = format!("`{}` stands alone on its line", word.text);
        reader.error(Code::Syntax, extra.span, message);
    }
}

fn lone(word: &Word, reader: &mut Reader<'_>) {
    let message = format!("there is no `.if` for this `{}`", word.text);
    reader.error(Code::Syntax, word.span, message);
}

fn after_else(word: &Word, begun: Span, reader: &mut Reader<'_>) {
    let message = format!("`{}` cannot follow `.else`", word.text);
    let found = Diagnostic::error(Code::Syntax, word.span, message);
    reader.push(found.label(begun, "the block begins here"));
}

/// A condition, read and evaluated in one go; both sides of `&&` and `||` are read whatever the other says.
struct Parser<'t> {
    rest: &'t str,
    environment: &'t Environment<'t>,
    depth: usize,
}

impl<'t> Parser<'t> {
    /// `A || B`.
    fn any(&mut self) -> Result<bool, String> {
        let mut holds = self.all()?;
        while self.eat("||") {
            holds |= self.all()?;
        }
        Ok(holds)
    }

    /// `A && B`.
    fn all(&mut self) -> Result<bool, String> {
        let mut holds = self.term()?;
        while self.eat("&&") {
            holds &= self.term()?;
        }
        Ok(holds)
    }

    /// `!`, parentheses, a number or a predicate.
    fn term(&mut self) -> Result<bool, String> {
        let mut negated = false;
        while self.eat("!") {
            negated = !negated;
        }
        let holds = if self.eat("(") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(format!(
                    "more than {MAX_DEPTH} parentheses within each other"
                ));
            }
            let holds = self.any()?;
            if !self.eat(")") {
                return Err("a parenthesis of this condition is not closed".to_owned());
            }
            self.depth -= 1;
            holds
        } else {
            self.leaf()?
        };
        Ok(holds != negated)
    }

    fn leaf(&mut self) -> Result<bool, String> {
        self.skip_blanks();
        let digits = self.rest.strip_prefix('-').unwrap_or(self.rest);
        if digits.starts_with(|it: char| it.is_ascii_digit()) {
            let end = digits.find(|it: char| !it.is_ascii_digit());
            let (number, rest) = digits.split_at(end.unwrap_or(digits.len()));
            self.rest = rest;
            return Ok(number.bytes().any(|digit| digit != b'0'));
        }
        let end = self
            .rest
            .find(|it: char| !it.is_ascii_alphanumeric() && it != '_')
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        match rest.strip_prefix('(') {
            Some(rest) if !name.is_empty() => {
                self.rest = rest;
                let arguments = self.arguments(name)?;
                self.predicate(name, &arguments)
            }
            _ => Err(match self.rest {
                "" => "this condition ends too early".to_owned(),
                rest => format!(
                    "`{rest}` is no condition: write a number or one of {}",
                    PREDICATES.map(|(name, _)| name).join(", ")
                ),
            }),
        }
    }

    /// After the parenthesis that opens them.
    fn arguments(&mut self, name: &str) -> Result<Vec<String>, String> {
        let mut arguments = vec![String::new()];
        let mut quote = None;
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match (character, quote) {
                (')', None) => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(arguments);
                }
                (',', None) => arguments.push(String::new()),
                ('"' | '\'', None) => quote = Some(character),
                (_, Some(open)) if open == character => quote = None,
                _ => {
                    let escaped = character == '\\' && quote != Some('\'');
                    let next = escaped.then(|| characters.next()).flatten();
                    let character = next.map_or(character, |(_, character)| character);
                    if let Some(last) = arguments.last_mut() {
                        last.push(character);
                    }
                }
            }
        }
        Err(format!("the parenthesis of `{name}` is not closed"))
    }

    fn predicate(&self, name: &str, arguments: &[String]) -> Result<bool, String> {
        let known = PREDICATES.iter().find(|(known, _)| *known == name);
        let Some((_, count)) = known else {
            if ["strstr", "enabled"].contains(&name) {
                return Err(format!(
                    "`{name}` came with HAProxy 2.8: 2.6 does not know it"
                ));
            }
            let names = PREDICATES.map(|(name, _)| name).join(", ");
            return Err(format!("there is no predicate `{name}`; there are {names}"));
        };
        if arguments.len() != *count {
            let given = arguments.len();
            return Err(format!("`{name}` takes {count} arguments, not {given}"));
        }
        let first = arguments.first().map_or("", String::as_str);
        let second = arguments.get(1).map_or("", String::as_str);
        if name.starts_with("openssl_version_") && !is_openssl_version(first) {
            let message =
                format!("`{first}` is no version of OpenSSL, such as `3.0.0` or `1.1.1k`");
            return Err(message);
        }
        Ok(match name {
            "defined" => self.environment.value(first).is_some(),
            "feature" => FEATURES.contains(&(first, true)),
            "streq" => first == second,
            "strneq" => first != second,
            "version_atleast" => Version::of(VERSION) >= Version::of(first),
            "version_before" => Version::of(VERSION) < Version::of(first),
            "openssl_version_atleast" => Version::of(OPENSSL_VERSION) >= Version::of(first),
            "openssl_version_before" => Version::of(OPENSSL_VERSION) < Version::of(first),
            "ssllib_name_startswith" => "OpenSSL".starts_with(first),
            _ => false,
        })
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn eat(&mut self, word: &str) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// Three numbers at least begin a version of OpenSSL.
fn is_openssl_version(text: &str) -> bool {
    let mut parts = text.splitn(3, '.');
    let whole = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit()))
    };
    let fix = |part: &str| part.starts_with(|letter: char| letter.is_ascii_digit());
    whole(parts.next()) && whole(parts.next()) && parts.next().is_some_and(fix)
}

/// The predicates and how many arguments they take.
const PREDICATES: [(&str, usize); 9] = [
    ("defined", 1),
    ("feature", 1),
    ("openssl_version_atleast", 1),
    ("openssl_version_before", 1),
    ("ssllib_name_startswith", 1),
    ("streq", 2),
    ("strneq", 2),
    ("version_atleast", 1),
    ("version_before", 1),
];

/// A version as HAProxy compares them: numbers, and `-dev` and `-rc` before what they lead to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    numbers: [u64; 3],
    /// 0: `-dev`, 1: `-rc`, 2: released.
    stage: u8,
    of_stage: u64,
}

impl Version {
    fn of(text: &str) -> Self {
        let (numbers, suffix) = text.split_once('-').unwrap_or((text, ""));
        let mut parts = numbers.split('.').map(leading_number);
        let mut next = || parts.next().unwrap_or(0);
        let numbers = [next(), next(), next()];
        let (stage, rest) = match (suffix.strip_prefix("dev"), suffix.strip_prefix("rc")) {
            (Some(rest), _) => (0, rest),
            (_, Some(rest)) => (1, rest),
            _ => (2, ""),
        };
        Self {
            numbers,
            stage,
            of_stage: leading_number(rest),
        }
    }
}

fn leading_number(text: &str) -> u64 {
    let end = text.find(|it: char| !it.is_ascii_digit());
    let digits = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "V" => Some("val".to_owned()),
            "P" => Some("a b".to_owned()),
            "Z" => Some("0".to_owned()),
            "C" => Some("streq(a,a)".to_owned()),
            _ => None,
        }
    }

    /// What HAProxy 2.6.12 answers, but for what it does not have yet.
    #[test]
    fn conditions() {
        let check = |condition: &str, expected: Result<bool, &str>| {
            let found = condition_holds(condition, &environment);
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(*found, expected, "{condition}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{condition}: {found}"),
                _ => panic!("{condition}: {found:?}, expected {expected:?}"),
            }
        };
        for holds in [
            "1",
            "-1",
            "10",
            "1 ",
            "  1",
            "!0",
            "!!1",
            "(1)",
            "( 1 )",
            "((1))",
            "1&&1",
            "1||0",
            "0 || 1",
            "1 && 0 || 1",
            "1 || 1 && 0",
            "!1 || 1",
            "!(1&&0)",
            "defined(V)",
            "defined(V) && 1",
            "feature(OPENSSL)",
            "streq(a,a)",
            "streq(\"a\",'a')",
            "streq(,)",
            "strneq(a,b)",
            "streq(a  b,a b)",
            "streq(\"$V\",val)",
            "\"$C\"",
            "streq(\"$P\",a b)",
            "streq(\"\\\"a,b\\\"\",\"\\\"a,b\\\"\")",
            "version_atleast(2.6)",
            "version_atleast(2.6.12)",
            "version_atleast(2.6-dev1)",
            "version_atleast()",
            "version_atleast(x)",
            "version_before(2.7)",
            "version_before(2.7-dev3)",
            "openssl_version_atleast(3.0.0)",
            "openssl_version_atleast(1.1.1a)",
            "ssllib_name_startswith(OpenSSL)",
            "1 # x",
        ] {
            check(holds, Ok(true));
        }
        for fails in [
            "",
            "0",
            "00",
            "!1",
            "! 1",
            "1 && 0",
            "0||0",
            "(1)&&(0)",
            "defined(NO)",
            "defined()",
            "defined( V )",
            "feature(openssl)",
            "feature(QUIC)",
            "streq(a,b)",
            "streq(a, a)",
            "streq($V,val)",
            "version_atleast(2.6.13)",
            "version_atleast(2.7-dev1)",
            "version_before(2.6)",
            "openssl_version_before(1.1.1)",
            "\"$Z\"",
            "\"${NO}\"",
            "ssllib_name_startswith(LibreSSL)",
        ] {
            check(fails, Ok(false));
        }
        for (wrong, part) in [
            ("1x", "`x` is too much"),
            ("1 a", "`a` is too much"),
            ("1)", "`)` is too much"),
            ("1 & 1", "`& 1` is too much"),
            ("(1", "not closed"),
            ("1 && ", "ends too early"),
            ("&& 1", "`&& 1` is no condition"),
            ("true", "is no condition"),
            ("foo(x)", "no predicate `foo`"),
            ("strstr(abc,b)", "came with HAProxy 2.8"),
            ("enabled(POLL)", "came with HAProxy 2.8"),
            ("openssl_version_atleast(1.1)", "no version of OpenSSL"),
            ("openssl_version_before(3)", "no version of OpenSSL"),
            ("defined(V", "not closed"),
            ("defined(V)x", "too much"),
            ("defined (V)", "is no condition"),
            ("streq(a)", "takes 2 arguments, not 1"),
            ("streq(a,a,a)", "not 3"),
            ("streq(\"a,b\",\"a,b\")", "not 4"),
            ("1 || nonsense", "no condition"),
            ("\" \"", "ends too early"),
            ("\"x", "not closed"),
        ] {
            check(wrong, Err(part));
        }
        check(&"(".repeat(10_000), Err("more than 32"));
        check(&"!".repeat(10_001), Err("ends too early"));
    }

    #[test]
    fn features_are_sorted() {
        assert!(FEATURES.is_sorted());
    }
}
