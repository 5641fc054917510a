//! What every part of the reader shares: the world, the findings, and what is gathered on the way.

use super::environment::Environment;
use super::proxy::ErrorSection;
use super::resolvers::Resolvers;
use super::ring::Ring;
use super::sample::Type;
use super::sections::SectionKind;
use crate::inputs::Inputs;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::{MapDraft, UserlistDraft};
use portway_model::span::{FileId, Span, Spanned};
use std::collections::HashMap;

/// The state of reading one configuration, which may be in several texts.
pub(crate) struct Reader<'a> {
    /// The text that is read.
    pub(crate) file: FileId,
    /// The folders in which relative paths begin, by text; the working directory for the others.
    pub(crate) folders: HashMap<FileId, String>,
    /// What may be asked of the world.
    pub(crate) inputs: &'a Inputs<'a>,
    /// The variables at the line that is read; after the last one, those that values seen at run time have (`env()`).
    pub(crate) environment: Environment<'a>,
    /// Everything found so far.
    pub(crate) diagnostics: Diagnostics,
    /// The proxy that is read, which a fetch without an argument means; empty in a defaults section, whose rules are read
    /// again in each proxy that begins with it.
    pub(crate) proxy: Option<String>,
    /// Pattern files and maps that were named so far.
    pub(crate) maps: Vec<MapDraft>,
    /// Userlists: those of the text, and those that other keywords need.
    pub(crate) userlists: Vec<UserlistDraft>,
    /// The groups of each userlist of the text.
    pub(crate) user_groups: HashMap<String, Vec<String>>,
    /// Groups that tests ask for, and of which userlist: both may stand below the test.
    pub(crate) asked_groups: Vec<(String, Spanned<String>)>,
    /// Servers that values ask for, and of which backend.
    pub(crate) asked_servers: Vec<(String, Spanned<String>)>,
    /// Sections that lines name, and of which kind.
    pub(crate) asked_sections: Vec<(SectionKind, Spanned<String>)>,
    /// The sections that lines name, by name.
    pub(crate) unread_sections: Vec<(SectionKind, String)>,
    /// The sections `resolvers`.
    pub(crate) resolvers: Vec<Resolvers>,
    /// The sections `ring`.
    pub(crate) rings: Vec<Ring>,
    /// The ids that proxies were given, and where.
    pub(crate) proxy_numbers: Vec<(u32, Span)>,
    /// Names that the nameservers of the section that is read have.
    pub(crate) nameservers: Vec<String>,
    /// Keys of rules that track, and the tables that they go to.
    pub(crate) asked_keys: Vec<(String, Spanned<Type>)>,
    /// `expose-experimental-directives`.
    pub(crate) experimental: bool,
    /// The `http-errors` sections of the text, which rules may name.
    pub(crate) error_sections: Vec<ErrorSection>,
}

impl<'a> Reader<'a> {
    /// Nothing was read yet.
    pub(crate) fn new(file: FileId, inputs: &'a Inputs<'a>) -> Self {
        Self {
            file,
            folders: HashMap::new(),
            inputs,
            environment: Environment::new(inputs.environment),
            diagnostics: Diagnostics::default(),
            proxy: None,
            maps: Vec::new(),
            userlists: Vec::new(),
            user_groups: HashMap::new(),
            asked_groups: Vec::new(),
            asked_servers: Vec::new(),
            asked_sections: Vec::new(),
            unread_sections: Vec::new(),
            resolvers: Vec::new(),
            rings: Vec::new(),
            proxy_numbers: Vec::new(),
            nameservers: Vec::new(),
            asked_keys: Vec::new(),
            experimental: false,
            error_sections: Vec::new(),
        }
    }

    /// Where a file is that a text calls `path` at `span`, from the working directory on (`default-path`).
    pub(crate) fn path(&self, path: &str, span: Span) -> String {
        match self.folders.get(&span.file) {
            Some(folder) if !folder.is_empty() && !path.starts_with('/') => {
                format!("{}/{path}", folder.trim_end_matches('/'))
            }
            _ => path.to_owned(),
        }
    }

    /// It does not run.
    pub(crate) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(code, span, message));
    }

    /// It runs, but not as one may think.
    pub(crate) fn warn(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::warning(code, span, message));
    }

    /// For what has help or several places.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}
