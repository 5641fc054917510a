//! Diagnostics for people (as rustc prints them), for editors (one line each) and for programs (JSON).

use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use portway_model::diagnostic::{Diagnostic, Diagnostics, Label, MAX_DIAGNOSTICS, Severity};
use portway_model::span::{FileId, Sources, Span};
use serde::Serialize;

use crate::system::colour;

/// Lines of the source shown around the marked ones are cut from windows of so many; the renderer folds what is between.
const LINES_AROUND: usize = 1;

/// Prints everything, or errors only, to standard error.
pub(crate) fn to_stderr(sources: &Sources, diagnostics: &Diagnostics, errors_only: bool) {
    let renderer = if colour(&std::io::stderr()) {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut out = std::io::stderr().lock();
    for diagnostic in diagnostics {
        if !errors_only || diagnostic.severity == Severity::Error {
            let text = long(&renderer, sources, diagnostic);
            // There is nobody to tell that nobody listens.
            drop(writeln!(out, "{text}\n"));
        }
    }
    if may_be_cut(diagnostics) {
        drop(writeln!(
            out,
            "These are the first {MAX_DIAGNOSTICS} findings; there may be more.\n"
        ));
    }
}

/// True where so much was found that the rest was left out.
pub(crate) fn may_be_cut(diagnostics: &Diagnostics) -> bool {
    diagnostics.iter().len() >= MAX_DIAGNOSTICS
}

fn long(renderer: &Renderer, sources: &Sources, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.as_str());
    let mut group = Group::with_title(title);
    let mut files: Vec<FileId> = Vec::new();
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    for file in files {
        if let Some(snippet) = snippet(sources, file, &diagnostic.labels) {
            group = group.element(snippet);
        }
    }
    let placed = !diagnostic.labels.is_empty();
    match &diagnostic.help {
        // Without a place the renderer would draw the margin of lines that are not there.
        Some(help) if !placed => format!("{}\n  = help: {help}", renderer.render(&[group])),
        Some(help) => renderer.render(&[group.element(Level::HELP.message(help.as_str()))]),
        None => renderer.render(&[group]),
    }
}

/// The lines of one file with its labels.
fn snippet<'a>(
    sources: &'a Sources,
    file: FileId,
    labels: &'a [Label],
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let source = sources.get(file)?;
    let of_file = || {
        labels
            .iter()
            .enumerate()
            .filter(|(_, label)| label.span.file == file)
    };
    let ranges: Vec<Range<usize>> = of_file()
        .map(|(_, label)| within(&source.text, label.span))
        .collect();
    let first = ranges.iter().map(|it| it.start).min()?;
    let last = ranges.iter().map(|it| it.end).max()?;
    let window = window(&source.text, first..last);
    let line_start = source.text.get(..window.start)?.matches('\n').count() + 1;
    let mut snippet = Snippet::source(source.text.get(window.clone())?)
        .line_start(line_start)
        .path(source.name.as_ref());
    for ((index, label), range) in of_file().zip(ranges) {
        let kind = if index == 0 {
            AnnotationKind::Primary
        } else {
            AnnotationKind::Context
        };
        let mut annotation = kind.span(range.start - window.start..range.end - window.start);
        if !label.text.is_empty() {
            annotation = annotation.label(label.text.as_str());
        }
        snippet = snippet.annotation(annotation);
    }
    Some(snippet)
}

/// The range of `span` cut to the text and to whole characters.
fn within(text: &str, span: Span) -> Range<usize> {
    let start = text.floor_char_boundary(span.range().start);
    let end = text.floor_char_boundary(span.range().end);
    start..end.max(start)
}

/// Whole lines around `range`, so that a large file is not looked through for each finding.
fn window(text: &str, range: Range<usize>) -> Range<usize> {
    let line_start = |at: usize| {
        text.get(..at)
            .and_then(|it| it.rfind('\n'))
            .map_or(0, |it| it + 1)
    };
    let line_end = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        rest.find('\n').map_or(text.len(), |it| at + it)
    };
    let mut start = line_start(range.start);
    let mut end = line_end(range.end);
    for _ in 0..LINES_AROUND {
        start = line_start(start.saturating_sub(1));
        end = line_end((end + 1).min(text.len()));
    }
    start..end
}

/// `file:line:column: error[P0312]: message`
pub(crate) fn short(sources: &Sources, diagnostic: &Diagnostic) -> String {
    let place = diagnostic.labels.first().and_then(|label| {
        let file = sources.get(label.span.file)?;
        let at = sources.position(label.span)?;
        Some(format!("{}:{}:{}: ", file.name, at.line, at.column))
    });
    format!(
        "{}{}[{}]: {}",
        place.unwrap_or_default(),
        diagnostic.severity.as_str(),
        diagnostic.code,
        diagnostic.message
    )
}

/// All of them as one JSON object, see `portway check --help`.
pub(crate) fn json(sources: &Sources, diagnostics: &Diagnostics) -> String {
    let report = Report {
        files: sources.iter().map(|(_, it)| it.name.as_ref()).collect(),
        errors: diagnostics.count(Severity::Error),
        warnings: diagnostics.count(Severity::Warning),
        notes: diagnostics.count(Severity::Note),
        diagnostics: diagnostics
            .iter()
            .map(|it| Finding::of(sources, it))
            .collect(),
    };
    // Texts and numbers always serialise.
    serde_json::to_string_pretty(&report).unwrap_or_default()
}

#[derive(Serialize)]
struct Report<'a> {
    files: Vec<&'a str>,
    errors: usize,
    warnings: usize,
    notes: usize,
    diagnostics: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    code: &'static str,
    severity: &'static str,
    message: &'a str,
    labels: Vec<Place<'a>>,
    help: Option<&'a str>,
}

#[derive(Serialize)]
struct Place<'a> {
    file: Cow<'a, str>,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    text: &'a str,
}

impl<'a> Finding<'a> {
    fn of(sources: &'a Sources, diagnostic: &'a Diagnostic) -> Self {
        let place = |label: &'a Label| {
            let end = Span {
                start: label.span.end,
                ..label.span
            };
            let (at, end) = (sources.position(label.span)?, sources.position(end)?);
            Some(Place {
                file: Cow::Borrowed(&sources.get(label.span.file)?.name),
                line: at.line,
                column: at.column,
                end_line: end.line,
                end_column: end.column,
                text: &label.text,
            })
        };
        Self {
            code: diagnostic.code.as_str(),
            severity: diagnostic.severity.as_str(),
            message: &diagnostic.message,
            labels: diagnostic.labels.iter().filter_map(place).collect(),
            help: diagnostic.help.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::diagnostic::Code;

    const TEXT: &str = "# é\n[listener.web]\nbnid = ':80'\n\n[listener.web]\n";

    fn sample(first: Range<usize>, second: Range<usize>) -> (Sources, Diagnostic) {
        let mut sources = Sources::default();
        let file = sources.add("web.toml", TEXT);
        let diagnostic = Diagnostic::error(Code::Duplicate, Span::new(file, first), "twice")
            .at("again here")
            .label(Span::new(file, second), "first here")
            .help("choose another name");
        (sources, diagnostic)
    }

    #[test]
    fn long_form() {
        let (sources, diagnostic) = sample(34..48, 5..19);
        let text = long(&Renderer::plain(), &sources, &diagnostic);
        for part in [
            "error[P0106]: twice",
            "--> web.toml:5:1",
            "again here",
            "first here",
            "help: choose",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn any_span_is_printed() {
        for (first, second) in [
            (0..0, 0..0),
            (3..4, 2..3),
            (40..999, 999..1000),
            (49..49, 48..49),
        ] {
            let (sources, diagnostic) = sample(first.clone(), second);
            let text = long(&Renderer::plain(), &sources, &diagnostic);
            assert!(text.contains("twice"), "{first:?}: {text}");
        }
    }

    #[test]
    fn short_form_and_json() {
        let (sources, diagnostic) = sample(34..48, 5..19);
        assert_eq!(
            short(&sources, &diagnostic),
            "web.toml:5:1: error[P0106]: twice"
        );
        let mut all = Diagnostics::default();
        all.push(diagnostic);
        let json: serde_json::Value = serde_json::from_str(&json(&sources, &all)).unwrap();
        assert_eq!(json["errors"], 1);
        let label = &json["diagnostics"][0]["labels"][1];
        assert_eq!(
            (&label["line"], &label["end_column"], &label["text"]),
            (&2.into(), &15.into(), &"first here".into())
        );
    }
}
