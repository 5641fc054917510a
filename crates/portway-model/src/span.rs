//! Where in which text a value came from.
//!
//! Decides: how positions are held (byte ranges) and shown (1-based line and column). Two values are equal
//! whatever their spans: a configuration means the same wherever it stands in a file.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// One text among the [`Sources`] of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A byte range of one source text. `Span::NONE` for what no text made (defaults, generated objects).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span of what no text made.
    pub const NONE: Span = Span {
        file: FileId(u32::MAX),
        start: 0,
        end: 0,
    };

    /// A span over `range` of `file`; offsets past 4 GiB are cut (inputs are limited far below).
    pub fn new(file: FileId, range: Range<usize>) -> Self {
        let cut = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            file,
            start: cut(range.start),
            end: cut(range.end),
        }
    }

    /// True where no text made the value.
    pub fn is_none(self) -> bool {
        self.file == Self::NONE.file
    }

    /// The byte range within its file.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The smallest span that covers both; `self` where they are of different files.
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return self;
        }
        Span {
            file: self.file,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// A value and the text that made it. Equality looks at the value alone.
#[derive(Debug, Clone, Copy)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value written at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// A value that no text made.
    pub fn bare(value: T) -> Self {
        Self {
            value,
            span: Span::NONE,
        }
    }

    /// The same place, another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned {
            value: change(self.value),
            span: self.span,
        }
    }

    /// Borrows the value, keeps the place.
    pub fn as_ref(&self) -> Spanned<&T> {
        Spanned {
            value: &self.value,
            span: self.span,
        }
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// The text that made an object, remembered for `explain` and messages. All origins are equal.
#[derive(Debug, Clone, Copy)]
pub struct Origin(pub Span);

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Origin {}

/// A source text with the name that messages call it by.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// Path or other name, as the user gave it.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
    /// Where relative paths in it begin; `None`: in its own folder.
    pub folder: Option<Arc<str>>,
}

/// All texts of one run, by [`FileId`].
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceText>,
    /// Where texts name files, and which.
    paths: Vec<(Span, Arc<str>)>,
}

/// A 1-based line and column; the column counts characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// 1-based line.
    pub line: u32,
    /// 1-based column in characters.
    pub column: u32,
}

impl Sources {
    /// Adds a text and gives its id.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX - 1));
        self.files.push(SourceText {
            name: name.into(),
            text: text.into(),
            folder: None,
        });
        id
    }

    /// Relative paths in this text begin here; in the working directory where `folder` is empty.
    pub fn begin_paths_at(&mut self, id: FileId, folder: impl Into<Arc<str>>) {
        if let Some(file) = self.files.get_mut(id.0 as usize) {
            file.folder = Some(folder.into());
        }
    }

    /// A text names this file at this place.
    pub fn note_path(&mut self, place: Span, path: impl Into<Arc<str>>) {
        if !place.is_none() {
            self.paths.push((place, path.into()));
        }
    }

    /// Where the text around `near` names this file, for messages: the first place behind the start of `near`, else the
    /// first before it, else `near`. Folders before the name in the text do not count.
    pub fn place_of_path(&self, path: &Path, near: Span) -> Span {
        let here = self.paths.iter().filter(|(place, named)| {
            place.file == near.file && !named.is_empty() && path.ends_with(&**named)
        });
        let places = here.map(|(place, _)| *place);
        let first = places.min_by_key(|place| (place.start < near.start, place.start));
        first.unwrap_or(near)
    }

    /// The text with this id.
    pub fn get(&self, id: FileId) -> Option<&SourceText> {
        self.files.get(id.0 as usize)
    }

    /// Every text in the order of adding.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceText)> {
        self.files
            .iter()
            .enumerate()
            .map(|(i, file)| (FileId(u32::try_from(i).unwrap_or(u32::MAX)), file))
    }

    /// Line and column of the start of `span`; `None` for a span that no text made.
    pub fn position(&self, span: Span) -> Option<Position> {
        let text = &self.get(span.file)?.text;
        let mut before = text.get(..span.start as usize);
        if before.is_none() {
            // An offset inside a character or past the end: fall back to the last boundary before it.
            let end = (0..=(span.start as usize).min(text.len()))
                .rev()
                .find(|&i| text.is_char_boundary(i))?;
            before = text.get(..end);
        }
        let before = before?;
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |tail| tail.chars().count())
            + 1;
        let cut = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Some(Position {
            line: cut(line),
            column: cut(column),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let mut sources = Sources::default();
        let id = sources.add("a.toml", "ab\ncé = 1\n");
        for (offset, line, column) in [(0, 1, 1), (2, 1, 3), (3, 2, 1), (6, 2, 3), (99, 3, 1)] {
            let position = sources.position(Span::new(id, offset..offset)).unwrap();
            assert_eq!(
                (position.line, position.column),
                (line, column),
                "offset {offset}"
            );
        }
        assert!(sources.position(Span::NONE).is_none());
    }

    #[test]
    fn places_of_paths() {
        let mut sources = Sources::default();
        let (one, other) = (sources.add("a", "x"), sources.add("b", "y"));
        let at = |start: usize| Span::new(one, start..start + 1);
        for (start, path) in [(10, "a.pem"), (30, "a.pem"), (40, "dir/b.pem"), (50, "")] {
            sources.note_path(at(start), path);
        }
        sources.note_path(Span::NONE, "none.pem");
        let check = |path: &str, near: Span, expected: Span| {
            assert_eq!(
                sources.place_of_path(Path::new(path), near),
                expected,
                "{path}"
            );
        };
        check("/etc/a.pem", at(5), at(10));
        check("/etc/a.pem", at(20), at(30));
        check("/etc/a.pem", at(35), at(10));
        check("/etc/dir/b.pem", at(5), at(40));
        check("/etc/b.pem", at(5), at(5));
        check("/etc/xa.pem", at(5), at(5));
        check("none.pem", at(5), at(5));
        let elsewhere = Span::new(other, 0..1);
        check("/etc/a.pem", elsewhere, elsewhere);
    }

    #[test]
    fn equality_ignores_the_place() {
        assert_eq!(
            Spanned::new(1, Span::new(FileId(0), 3..4)),
            Spanned::bare(1)
        );
        assert_ne!(Spanned::bare(1), Spanned::bare(2));
    }
}
