//! Findings in HAProxy's form, which service scripts, editors and people who know it look for:
//! `[ALERT]    (42) : config : parsing [haproxy.cfg:7] : …`.

use portway_model::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use portway_model::span::{FileId, Sources, Span};

use super::version;
use crate::commands::tell;

/// What is said, and to whom.
pub(super) struct Voice {
    /// Nothing but the exit code tells.
    pub(super) quiet: bool,
    /// Warnings and notes were said by the parent already.
    pub(super) errors_only: bool,
    /// Also what is only worth a look, which HAProxy says with `-dD` alone.
    pub(super) all_notes: bool,
}

/// True for notes about the words of the file: those of HAProxy 1.5, and `.notice`.
fn is_of_haproxy(code: Code) -> bool {
    code == Code::Stated
}

impl Voice {
    /// Says everything that was found.
    pub(super) fn say(&self, sources: &Sources, found: &Diagnostics) {
        if self.quiet {
            return;
        }
        let wanted: Vec<&Diagnostic> = found
            .iter()
            .filter(|it| match it.severity {
                Severity::Error => true,
                Severity::Warning => !self.errors_only,
                Severity::Note => !self.errors_only && (self.all_notes || is_of_haproxy(it.code)),
            })
            .collect();
        if wanted.is_empty() {
            return;
        }
        self.introduce();
        for one in wanted {
            tell(&format!("{}\n", line(sources, one)));
        }
    }

    /// Says whose messages follow, as HAProxy does before its first.
    pub(super) fn introduce(&self) {
        if self.quiet {
            return;
        }
        self.tell(
            Severity::Note,
            &format!("haproxy version is {}", version::version()),
        );
        if let Ok(path) = std::env::current_exe() {
            let text = format!("path to executable is {}", path.display());
            self.tell(Severity::Note, &text);
        }
    }

    /// Says something without a place.
    pub(super) fn tell(&self, severity: Severity, text: &str) {
        if !self.quiet {
            tell(&format!("{} : {text}\n", beginning(severity)));
        }
    }

    /// Says in HAProxy's words which files have errors, and that they are fatal.
    pub(super) fn fatal(&self, sources: &Sources, found: &Diagnostics) {
        let mut files: Vec<FileId> = Vec::new();
        let errors = found.iter().filter(|it| it.severity == Severity::Error);
        for file in errors.filter_map(|it| Some(it.labels.first()?.span.file)) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        for source in files.into_iter().filter_map(|file| sources.get(file)) {
            let text = format!(
                "config : Error(s) found in configuration file : {}",
                source.name
            );
            self.tell(Severity::Error, &text);
        }
        self.tell(
            Severity::Error,
            "config : Fatal errors found in configuration.",
        );
    }
}

fn beginning(severity: Severity) -> String {
    let word = match severity {
        Severity::Note => "[NOTICE]  ",
        Severity::Warning => "[WARNING] ",
        Severity::Error => "[ALERT]   ",
    };
    format!("{word} ({})", std::process::id())
}

/// One finding: a line, and one more for each further place and for the help.
fn line(sources: &Sources, one: &Diagnostic) -> String {
    let place = |span: Span| {
        let file = sources.get(span.file)?;
        let line = sources.position(span)?.line;
        Some(format!("[{}:{line}]", file.name))
    };
    let first = one.labels.first().and_then(|label| place(label.span));
    let mut text = beginning(one.severity);
    text.push_str(" : config : ");
    if let Some(first) = first {
        text.push_str(&format!("parsing {first} : "));
    }
    text.push_str(&one.message);
    for label in one.labels.iter().skip(1) {
        let at = place(label.span).unwrap_or_default();
        text.push_str(&format!("\n   | {at} : {}", label.text));
    }
    if let Some(help) = &one.help {
        text.push_str(&format!("\n   | {help}"));
    }
    text
}
