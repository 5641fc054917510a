//! The middleware `forwardAuth`: another service is asked whether a request may go on.

use super::super::model::Object;
use super::super::schema::Section;
use super::chain::Chain;
use super::middleware::canonical;
use super::service::Server;
use super::{Lowering, NO_LIMIT};
use portway_model::action::Action;
use portway_model::authorize::{Authorize, Trust};
use portway_model::compile::limits::{MAX_KEPT_ANSWER, MAX_KEPT_BODY};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{GroupDraft, Verify};
use portway_model::expression::Template;
use portway_model::name::Name;
use portway_model::settings::Protocol;
use portway_model::span::{Span, Spanned};
use std::sync::Arc;
use std::time::Duration;

/// How long Traefik waits for the service.
const PATIENCE: Duration = Duration::from_secs(30);
/// What Traefik answers where it has no answer of the service.
const ON_FAILURE: u16 = 500;

impl Lowering<'_> {
    pub(super) fn forward_auth(
        &mut self,
        object: &Object,
        section: &Section,
        chain: &mut Chain,
        at: Span,
    ) {
        let Some(address) = self.required(section, "address", at) else {
            return;
        };
        let (scheme, behind) = address.value.split_once("://").unwrap_or_default();
        let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
        let (authority, rest) = behind.split_at(end);
        let origin = format!("{scheme}://{authority}");
        let said = match scheme {
            "" => address,
            _ => Spanned::new(origin.as_str(), address.span),
        };
        let Some(server) = self.server(said, None, false) else {
            return;
        };
        let name = format!(
            "{} (forwardAuth)",
            self.model.middlewares.short_name(object)
        );
        self.asked_group(&name, server, section, at);
        let path = rest.split('#').next().unwrap_or_default();
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{path}"),
        };
        let asked = Authorize {
            target: Template::text(path),
            keep_method: section.is_on("preserveRequestMethod"),
            request_headers: Some(section.list("authRequestHeaders"))
                .filter(|names| !names.is_empty())
                .map(|names| names.iter().map(|it| canonical(&it.value)).collect()),
            headers: vec![("Host".to_owned(), Template::text(authority))],
            trust: match section.is_on("trustForwardHeader") {
                // The entry point has taken away what nobody is to believe.
                true => Trust::Everybody,
                false => Trust::Nobody,
            },
            body_bytes: self.kept_body(section),
            copy_headers: names(section.list("authResponseHeaders")),
            copy_matching: section
                .some_text("authResponseHeadersRegex")
                .map(|it| it.map(str::to_owned)),
            copy_cookies: section
                .list("addAuthCookiesToResponse")
                .iter()
                .map(|it| it.value.trim().to_owned())
                .collect(),
            answer_bytes: self.kept_answer(section),
            location_base: match section.is_on("preserveLocationHeader") {
                true => None,
                false => Some(address.value.to_owned()),
            },
            on_failure: Some(ON_FAILURE),
            ..Authorize::new(Spanned::new(Name::new(name.as_str()), address.span))
        };
        chain.always(Action::Authorize(Arc::new(asked)), at);
    }

    /// The group of the one server that is asked, made where it is not there yet.
    fn asked_group(&mut self, name: &str, server: Server, section: &Section, at: Span) {
        let mut known = self.draft.groups.iter();
        if known.any(|group| group.name.value.as_str() == name) {
            return;
        }
        let mut group = GroupDraft::new(Spanned::new(Name::new(name), at));
        let protocol = match server.https {
            true => Protocol::Https,
            false => Protocol::Http,
        };
        group.protocol = Some(Spanned::new(protocol, at));
        group.targets.extend(self.target(&server, server.https));
        group.timeouts.response = Some(Spanned::new(PATIENCE, at));
        group.timeouts.connect = Some(Spanned::new(PATIENCE, at));
        group.timeouts.tunnel = Some(Spanned::new(NO_LIMIT, at));
        if server.https {
            self.upstream_tls(None, std::slice::from_ref(&server), &mut group);
            if let Some(tls) = section.section("tls") {
                if tls.is_on("insecureSkipVerify") {
                    group.tls.verify = Some(Spanned::new(Verify::Off, tls.span));
                } else if let Some(ca) = tls.some_text("ca").and_then(|it| self.file(it)) {
                    group.tls.verify = Some(ca.map(|ca| Verify::Ca(vec![ca])));
                }
                if let Some(file) = tls.some_text("cert") {
                    let key = tls.some_text("key");
                    group.tls.certificate = self.certificate_of(file, key, tls.span);
                }
            }
        }
        self.draft.groups.push(group);
    }

    /// Bytes of the body that go along.
    fn kept_body(&mut self, section: &Section) -> Option<u32> {
        let most = section.number("maxBodySize").filter(|it| it.value >= 0);
        if !section.is_on("forwardBody") {
            return None;
        }
        let Some(most) = most else {
            return Some(MAX_KEPT_BODY);
        };
        Some(
            self.at_most(most, MAX_KEPT_BODY, "the body of a request goes along")
                .max(1),
        )
    }

    /// Bytes of an answer that are passed on.
    fn kept_answer(&mut self, section: &Section) -> u32 {
        let most = section.number("maxResponseBodySize");
        match most.filter(|it| it.value >= 0) {
            Some(most) => self.at_most(
                most,
                MAX_KEPT_ANSWER,
                "an answer of the service is passed on",
            ),
            None => MAX_KEPT_ANSWER,
        }
    }

    fn at_most(&mut self, said: Spanned<i64>, most: u32, what: &str) -> u32 {
        let bytes = u32::try_from(said.value).unwrap_or(u32::MAX);
        if bytes > most {
            let message = format!("{what} up to {most} bytes; a longer one is refused");
            let one = Diagnostic::warning(Code::Unused, said.span, message);
            self.refused(one.help(format!("write {most}, or less")));
        }
        bytes.min(most)
    }
}

fn names(list: &[Spanned<String>]) -> Vec<String> {
    list.iter().map(|it| canonical(&it.value)).collect()
}
