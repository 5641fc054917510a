//! What is wrong with a configuration, where, and what to write instead.
//!
//! A diagnostic has a stable code, a severity, labels (both places of a conflict) and help. This module holds
//! them; the binary renders them. Everything found in one run is in one [`Diagnostics`].

use crate::span::Span;
use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It runs, but probably not as meant.
    Warning,
    /// It does not run.
    Error,
}

impl Severity {
    /// The word in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// The stable code of a kind of diagnostic. `docs/diagnostics.md` is generated from this list.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The code as printed, `P` and four digits.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code,)+ }
            }

            /// What it means, one or more sentences.
            pub fn explanation(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc, "\n"),+),)+ }
            }
        }
    };
}

codes! {
    /// The text is not well-formed in its language (TOML, a condition, a template).
    Syntax = "P0001",
    /// A file that the configuration names cannot be read.
    Unreadable = "P0002",
    /// The text is larger, longer or deeper than any sensible configuration.
    TooLarge = "P0003",
    /// A key, word or function that does not exist here.
    Unknown = "P0101",
    /// A value of the wrong type.
    WrongType = "P0102",
    /// A value outside of what is allowed.
    OutOfRange = "P0103",
    /// Something required is not there.
    Missing = "P0104",
    /// Two settings that exclude each other.
    Conflict = "P0105",
    /// The same name, key or address twice.
    Duplicate = "P0106",
    /// A name that nothing has.
    UnknownReference = "P0201",
    /// Two listeners accept on the same address.
    AddressInUse = "P0202",
    /// A rule that can never run, because one before it always ends the phase.
    Unreachable = "P0203",
    /// A target group without targets.
    NoTargets = "P0204",
    /// An object that nothing refers to.
    Unused = "P0205",
    /// A value or action that is not known or not possible in this phase or protocol.
    WrongPhase = "P0206",
    /// A comparison of a value with something of another type.
    WrongComparison = "P0207",
    /// A listener and its target group do not fit together.
    ProtocolMismatch = "P0208",
    /// A regular expression that does not compile.
    BadPattern = "P0209",
    /// A comparison that never holds, because no request and no response has such a value.
    NeverMatches = "P0210",
    /// A timeout that ends connections between the heartbeats of what runs over them.
    ShortTimeout = "P0211",
    /// An address where everybody who reaches it may change things.
    Unprotected = "P0212",
    /// Something that is taken, and can never do what it says.
    NeverWorks = "P0213",
    /// A setting that does nothing without another one.
    NoEffect = "P0214",
    /// A certificate or key that cannot be used.
    Certificate = "P0301",
    /// A certificate that can be used but should be looked at (expired, expiring, name not covered).
    CertificateWarning = "P0302",
    /// A TLS policy asks for what Portway does not speak; it is left out.
    PolicyReduced = "P0303",
    /// Portway understands it but does not run it.
    NotRun = "P0901",
    /// An address could not be bound or a resource could not be had when the configuration was installed.
    Install = "P0902",
    /// The configuration itself says this (`.notice`, `.warning` and `.alert` of a haproxy.cfg).
    Stated = "P0903",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place with what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What, a phrase without a full stop; may be empty.
    pub text: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its kind.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: one line, lower case, no full stop.
    pub message: String,
    /// Where: the first is the primary place. Empty where no text made it.
    pub labels: Vec<Label>,
    /// What to write instead, or why.
    pub help: Option<String>,
}

impl Diagnostic {
    fn new(severity: Severity, code: Code, span: Span, message: impl Into<String>) -> Self {
        let labels = if span.is_none() {
            Vec::new()
        } else {
            vec![Label {
                span,
                text: String::new(),
            }]
        };
        Self {
            code,
            severity,
            message: one_line(message.into()),
            labels,
            help: None,
        }
    }

    /// An error at `span`.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span, message)
    }

    /// A warning at `span`.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span, message)
    }

    /// A note at `span`.
    pub fn note(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, span, message)
    }

    /// Says something about the primary place.
    pub fn at(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.text = text.into();
        }
        self
    }

    /// Adds a place.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        if !span.is_none() {
            self.labels.push(Label {
                span,
                text: text.into(),
            });
        }
        self
    }

    /// Says what to write instead.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Suggests the nearest of `known` to `written`, where one is near.
    pub fn nearest<'a>(self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(written, known) {
            Some(word) => {
                let text = format!("did you mean `{word}`?");
                self.help(text)
            }
            None => self,
        }
    }
}

/// A message with its control characters, which come from names and texts of a configuration, written out.
fn one_line(message: String) -> String {
    if !message.chars().any(char::is_control) {
        return message;
    }
    let mut line = String::with_capacity(message.len() + 8);
    for character in message.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Everything found in one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

/// More than this many are cut: nobody reads them, and hostile input must not fill memory.
pub const MAX_DIAGNOSTICS: usize = 1_000;

impl Diagnostics {
    /// Adds one. Beyond [`MAX_DIAGNOSTICS`] only errors that are the first of their run are kept.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let first_error = diagnostic.severity == Severity::Error && !self.has_errors();
        if self.list.len() < MAX_DIAGNOSTICS || first_error {
            self.list.push(diagnostic);
        }
    }

    /// Adds all of another run.
    pub fn extend(&mut self, other: Diagnostics) {
        for diagnostic in other.list {
            self.push(diagnostic);
        }
    }

    /// True where the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// True where nothing more is kept: what is costly to find out need not be.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_DIAGNOSTICS && self.has_errors()
    }

    /// How many of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|d| d.severity == severity).count()
    }

    /// True where nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them in the order of finding.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Sorts by place: file, then offset; what has no place comes first. What is said twice of one place is left out once.
    pub fn sort(&mut self) {
        let place = |d: &Diagnostic| {
            let label = d.labels.first();
            label.map(|label| (label.span.file, label.span.start, label.span.end))
        };
        self.list.sort_by_key(place);
        let mut once: Vec<Diagnostic> = Vec::with_capacity(self.list.len());
        for diagnostic in self.list.drain(..) {
            let here = place(&diagnostic);
            let mut same = once.iter().rev().take_while(|it| place(it) == here);
            if here.is_none() || !same.any(|it| *it == diagnostic) {
                once.push(diagnostic);
            }
        }
        self.list = once;
    }
}

impl From<Diagnostic> for Diagnostics {
    /// It alone.
    fn from(one: Diagnostic) -> Self {
        let mut found = Self::default();
        found.push(one);
        found
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

/// The word of `known` that a person who wrote `written` most likely meant: at most a third of its letters
/// (and at least one) differ, counting a swap of neighbours as one. Case does not count.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written: Vec<char> = written.to_lowercase().chars().take(64).collect();
    known
        .into_iter()
        .filter_map(|word| {
            let letters: Vec<char> = word.to_lowercase().chars().take(64).collect();
            let allowed = (written.len().max(letters.len()) / 3).max(1);
            let distance = edit_distance(&written, &letters);
            (distance <= allowed && distance < written.len().max(1)).then_some((distance, word))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Optimal string alignment distance, three rows.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, &y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, j) + usize::from(x != y))
                .min(at(&last, j + 1) + 1)
                .min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_words() {
        let known = ["target_group", "listener", "certificate", "bind", "forward"];
        for (written, expected) in [
            ("listner", Some("listener")),
            ("Listener", Some("listener")),
            ("targetgroup", Some("target_group")),
            ("foward", Some("forward")),
            ("bnid", Some("bind")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), expected, "{written}");
        }
    }

    #[test]
    fn codes_are_unique_and_explained() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code} twice");
            assert!(code.as_str().len() == 5 && code.as_str().starts_with('P'));
            assert!(code.explanation().trim().len() > 10);
        }
    }

    #[test]
    fn the_first_error_is_never_cut() {
        let mut found = Diagnostics::default();
        for _ in 0..MAX_DIAGNOSTICS + 5 {
            found.push(Diagnostic::warning(Code::Unused, Span::NONE, "x"));
        }
        assert!(!found.is_full());
        found.push(Diagnostic::error(Code::Syntax, Span::NONE, "y"));
        assert!(found.has_errors() && found.is_full());
        assert_eq!(found.iter().count(), MAX_DIAGNOSTICS + 1);
    }

    #[test]
    fn a_message_is_one_line() {
        for (given, expected) in [
            ("plain ä", "plain ä"),
            ("a\nb\0", "a\\nb\\u{0}"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
        ] {
            let found = Diagnostic::error(Code::Syntax, Span::NONE, given);
            assert_eq!(found.message, expected);
        }
    }
}
