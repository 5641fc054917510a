//! The words of a line from one on, taken one after the other.

use crate::haproxy::{Line, Word};
use portway_model::span::Span;

/// What is left of a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Args<'l> {
    words: &'l [Word],
    /// The whole line, for messages about what is not there.
    line: Span,
}

impl<'l> Args<'l> {
    /// The words of this line from the one at `index` on.
    pub(crate) fn new(line: &'l Line, index: usize) -> Self {
        Self {
            words: line.from(index),
            line: line.span,
        }
    }

    /// The next word, which is taken.
    pub(crate) fn next(&mut self) -> Option<&'l Word> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    /// Takes the next word where it is this one.
    pub(crate) fn take(&mut self, text: &str) -> bool {
        let found = self.text() == text && !self.is_empty();
        if found {
            self.next();
        }
        found
    }

    /// The next word, which stays.
    pub(crate) fn peek(&self) -> Option<&'l Word> {
        self.words.first()
    }

    /// What the next word says; empty where there is none.
    pub(crate) fn text(&self) -> &'l str {
        self.words.first().map_or("", Word::as_str)
    }

    /// The next word as an argument: not where a condition begins.
    pub(crate) fn argument(&mut self) -> Option<&'l Word> {
        if self.at_condition() {
            return None;
        }
        self.next()
    }

    /// True at `if` and `unless`.
    pub(crate) fn at_condition(&self) -> bool {
        matches!(self.text(), "if" | "unless")
    }

    /// Everything that is left; nothing stays.
    pub(crate) fn rest(&mut self) -> &'l [Word] {
        std::mem::take(&mut self.words)
    }

    /// True where nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The place of the next word, or of the line.
    pub(crate) fn span(&self) -> Span {
        self.words.first().map_or(self.line, |word| word.span)
    }

    /// The place of the line.
    pub(crate) fn line(&self) -> Span {
        self.line
    }
}
