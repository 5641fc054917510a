//! From objects to a draft: an entry point becomes a listener, a router rules of it, a service a target group.
//!
//! Services that no router uses are left out. Names of groups, users and certificates are those of the objects, with
//! their provider only where two providers have one name, so that labels and files that say the same give the same draft.

mod access_log;
mod authorize;
mod chain;
mod client_certificate;
mod compress;
mod digest_auth;
mod entry;
mod errors;
mod forwarded;
mod headers;
mod health_check;
mod limits;
mod middleware;
mod mirror;
mod mixed;
mod retry;
mod retry_expression;
mod service;
mod tcp;
mod terms;
mod tls;
mod tracing;
mod ways;

use super::entry_point::Settings;
use super::matcher;
use super::model::Model;
use super::{File, beside};
use crate::inputs::Inputs;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::Draft;
use portway_model::expression::{Condition, Matcher, Value};
use portway_model::name::Name;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::time::Duration;

/// Traefik has no limit on the silence of servers and tunnels; a day bounds what is forgotten.
const NO_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// How long Traefik lets requests finish when it is stopped.
const GRACE: Duration = Duration::from_secs(10);

/// The world around a configuration.
#[derive(Clone, Copy)]
pub(super) struct Given<'g> {
    pub(super) files: &'g [File<'g>],
    pub(super) inputs: &'g Inputs<'g>,
    /// The path on the host of one in a container.
    pub(super) mounted: &'g dyn Fn(&str) -> Option<String>,
}

/// Makes the draft.
pub(super) fn lower(
    model: &Model,
    settings: &Settings,
    given: Given<'_>,
    found: &mut Diagnostics,
) -> Draft {
    let mut lowering = Lowering {
        model,
        settings,
        files: given.files,
        inputs: given.inputs,
        mounted: given.mounted,
        found,
        draft: Draft::default(),
        certificates: None,
        speech: Speech::Clear,
    };
    lowering.process();
    lowering.resolvers();
    for entry in &settings.entry_points {
        lowering.entry_point(entry);
    }
    lowering.lost_routers();
    let draft = lowering.draft;
    if !found.has_errors() {
        for objects in [
            &model.middlewares,
            &model.services,
            &model.tcp_middlewares,
            &model.tcp_services,
        ] {
            objects.report_unused(found);
        }
    }
    draft
}

pub(super) struct Lowering<'l> {
    model: &'l Model,
    settings: &'l Settings,
    files: &'l [File<'l>],
    inputs: &'l Inputs<'l>,
    mounted: &'l dyn Fn(&str) -> Option<String>,
    found: &'l mut Diagnostics,
    draft: Draft,
    /// Those of the configuration, once they were asked for.
    certificates: Option<Vec<Spanned<Name>>>,
    /// What clients speak at the entry point that is being lowered.
    speech: Speech,
}

/// What clients speak at an entry point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Clear,
    Tls,
    /// Some of its routers have TLS.
    Both,
}

impl Speech {
    fn has_tls(self) -> bool {
        self != Speech::Clear
    }
}

/// The client speaks TLS.
fn over_tls(at: Span) -> Condition<Named> {
    matcher::test(Value::Tls, Matcher::True, at)
}

impl Lowering<'_> {
    fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.found.push(Diagnostic::error(code, span, message));
    }

    /// A path that is said at `span`.
    fn beside(&self, span: Span, path: &str) -> String {
        if let Some(path) = (self.mounted)(path) {
            return path;
        }
        let file = self.files.iter().find(|file| file.id == span.file);
        beside(file.map_or("", |file| file.name), path)
    }

    fn process(&mut self) {
        let life = "transport.lifeCycle";
        self.draft.process.ready_delay = self.settings.longest(life, "requestAcceptGraceTimeout");
        let grace = self.settings.longest(life, "graceTimeOut");
        self.draft.process.shutdown_deadline = grace.or(Some(Spanned::bare(GRACE)));
        self.collector();
    }

    /// Says what is to be said of a resolver of certificates.
    fn resolver(&mut self, span: Span, what: &str) {
        let one = if self.model.has_certificates() {
            let message =
                format!("{what} has no effect: the certificates of `tls.certificates` are shown");
            Diagnostic::warning(Code::NotRun, span, message)
        } else {
            let message = format!("{what}: certificates by ACME are not done yet");
            Diagnostic::error(Code::NotRun, span, message).help(
                "give certificates, then it has no effect: a dynamic file with \
                 `tls: { certificates: [{ certFile: a.crt, keyFile: a.key }] }`; `portway cert self-signed` makes one to try",
            )
        };
        self.refused(one);
    }

    fn resolvers(&mut self) {
        if let Some(span) = self.settings.resolvers {
            self.resolver(span, "`certificatesResolvers`");
        }
    }
}
