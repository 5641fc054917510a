//! What is sent in place of our own answers: error pages, and files that rules answer with.

use std::path::Path;

use portway_dataplane::{Answers, Page};
use portway_model::action::{Action, AnswerBody, FixedResponse};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::settings::ErrorPageSource;
use portway_model::snapshot::{ErrorPage, GroupId, ListenerId, Rules, Snapshot};
use portway_model::span::{Sources, Span};
use portway_model::stage::Resolved;

use crate::files::{self, read_limited};
use crate::sources::folder_of;

/// Bytes of one page or file. They are held in memory once.
pub const MAX_PAGE_BYTES: u64 = 256 * 1024;

/// Reads the pages of every listener and target group, and the files of every rule.
pub fn load(snapshot: &Snapshot, sources: &Sources) -> (Answers, Diagnostics) {
    let mut load = Load {
        sources,
        answers: Answers::default(),
        found: Diagnostics::default(),
    };
    for (index, listener) in (0..).zip(&snapshot.listeners) {
        files::of("listener", &listener.name, || {
            for page in &listener.error_pages {
                if let Some(content) = load.page_of(page) {
                    let id = ListenerId(index);
                    load.answers.add_to_listener(id, page.status, content);
                }
            }
            load.rules(&listener.rules);
        });
    }
    for (index, group) in (0..).zip(&snapshot.groups) {
        files::of("target_group", &group.name, || {
            for page in &group.error_pages {
                if let Some(content) = load.page_of(page) {
                    let id = GroupId(index);
                    load.answers.add_to_group(id, page.status, content);
                }
            }
            load.rules(&group.rules);
        });
    }
    (load.answers, load.found)
}

/// A run of [`load`].
struct Load<'a> {
    sources: &'a Sources,
    answers: Answers,
    found: Diagnostics,
}

impl Load<'_> {
    fn page_of(&mut self, page: &ErrorPage) -> Option<Page> {
        match &page.page {
            ErrorPageSource::File(file) => self.page(page.status, file, page.origin.0),
            ErrorPageSource::Redirect { location, status } => {
                Some(Page::redirect(location, *status))
            }
            ErrorPageSource::Answer(answer) => Some(Page::answer(page.status, answer)),
        }
    }

    fn rules(&mut self, rules: &Rules) {
        for rule in rules.iter() {
            for (index, action) in rule.actions.iter().enumerate() {
                if let Action::Respond(response)
                | Action::Deny(response)
                | Action::Tarpit { response, .. } = action
                {
                    self.response(response, rule.place_of(index));
                }
            }
        }
    }

    fn response(&mut self, response: &FixedResponse<Resolved>, span: Span) {
        match &response.body {
            AnswerBody::File(file) => {
                if let Some(contents) = self.read(file, span) {
                    self.answers.add_file(span.file, file, contents);
                }
            }
            AnswerBody::ErrorPageFile(file) => {
                if let Some(page) = self.page(response.status, file, span) {
                    self.answers.add_page(span.file, file, page);
                }
            }
            AnswerBody::Text(_) | AnswerBody::ErrorPage => {}
        }
    }

    fn page(&mut self, status: u16, file: &str, span: Span) -> Option<Page> {
        let bytes = self.read(file, span)?;
        match Page::parse(status, &bytes) {
            Ok(page) => Some(page),
            Err(reason) => {
                let message = format!("`{file}` is no HTTP response: {reason}");
                self.found
                    .push(Diagnostic::error(Code::Unreadable, span, message));
                None
            }
        }
    }

    fn read(&mut self, file: &str, span: Span) -> Option<Vec<u8>> {
        let path = match file {
            // What HAProxy's users write for an empty page.
            "/dev/null" => return Some(Vec::new()),
            file => folder_of(self.sources, span).join(Path::new(file)),
        };
        match read_limited(&path, MAX_PAGE_BYTES) {
            Ok(bytes) => Some(bytes),
            Err(reason) => {
                let message = format!("cannot read `{}`: {reason}", path.display());
                self.found
                    .push(Diagnostic::error(Code::Unreadable, span, message));
                None
            }
        }
    }
}
