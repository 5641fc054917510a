//! Words and lines: what is left of a text when quotes, escapes, comments and variables are done.

use portway_model::span::{Span, Spanned};

/// One word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// What it says, without quotes and escapes and with variables filled in.
    pub(crate) text: String,
    /// How it was written, quotes included.
    pub(crate) span: Span,
}

impl Word {
    /// What it says.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// This value, made of this word.
    pub(crate) fn spanned<T>(&self, value: T) -> Spanned<T> {
        Spanned::new(value, self.span)
    }
}

/// The word before a keyword that takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Modifier {
    /// There is none.
    #[default]
    None,
    /// `no option httplog`: off, also where the defaults say on.
    No,
    /// `default option httplog`: as if it were not said, here and in the defaults.
    Default,
}

/// One line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// `no` or `default` before the keyword; it is not among the words.
    pub(crate) modifier: Modifier,
    /// At least one word, the keyword first.
    pub(crate) words: Vec<Word>,
    /// From the first word to the last.
    pub(crate) span: Span,
}

impl Line {
    /// The word at this place, from 0.
    pub(crate) fn word(&self, index: usize) -> Option<&Word> {
        self.words.get(index)
    }

    /// What the word at this place says, from 0; empty where there is none, as no word is unless it was quoted.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.word(index).map_or("", Word::as_str)
    }

    /// The words from this place on.
    pub(crate) fn from(&self, index: usize) -> &[Word] {
        self.words.get(index..).unwrap_or_default()
    }
}
