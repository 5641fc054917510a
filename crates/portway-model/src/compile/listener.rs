//! Listeners: what they speak, their limits, headers and logs.

use super::expressions::{Moment, Place, Side};
use super::limits::{self, MAX_HEAD_BYTES, MIN_HEAD_BYTES, given_within};
use super::rules::Owner;
use super::text::{Use, check_file, check_redirect, check_status, check_text};
use super::{Compiler, Reported};
use crate::convert;
use crate::defaults;
use crate::diagnostic::{Code, Diagnostic};
use crate::draft::{
    AccessLogDraft, ErrorPageDraft, ForwardedDraft, ListenerDraft, ListenerTimeoutsDraft, LogFormat,
};
use crate::settings::{
    ErrorPageSource, ForwardedMode, ListenerTimeouts, LogDestination, OwnAnswers, Protocol,
};
use crate::snapshot::{AccessLog, ErrorPage, Forwarded, Listener};
use crate::span::{Origin, Spanned};

/// Facilities of syslog, RFC 5424 section 6.2.1, by their customary names.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2",
    "ftp", "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

impl Compiler<'_> {
    pub(super) fn listener(
        &mut self,
        index: usize,
        draft: &ListenerDraft,
    ) -> Result<Listener, Reported> {
        let protocol = self.protocols.listeners.get(index).copied();
        let protocol = protocol.unwrap_or(Protocol::Http);
        if draft.binds.is_empty() {
            self.found.push(
                Diagnostic::error(
                    Code::Missing,
                    draft.name.span,
                    format!("listener `{}` has no address", draft.name.value),
                )
                .help("say where it accepts, such as `bind = \":80\"`"),
            );
        }
        let tls = self.listener_tls(draft, protocol);
        let rules = self.rules(&Owner::listener(draft, protocol), &draft.rules);
        let access_log = draft.access_log.as_ref();
        let access_log = access_log.map(|log| self.access_log(log, protocol));
        given_within(
            &mut self.found,
            "a request head",
            draft.head_bytes,
            (MIN_HEAD_BYTES, MAX_HEAD_BYTES),
        );
        if let Some(name) = &draft.request_id {
            super::text::check_header_written(&mut self.found, &name.value, name.span);
        }
        let error_pages = self.error_pages(&draft.error_pages);
        Ok(Listener {
            name: draft.name.value.clone(),
            known_as: self.known_as(draft),
            number: self.number(draft.number),
            binds: draft.binds.clone(),
            protocol,
            tls: tls?,
            rules: rules?,
            timeouts: self.listener_timeouts(&draft.timeouts),
            forwarded: forwarded(&draft.forwarded),
            request_id: draft
                .request_id
                .as_ref()
                .map(|name| name.value.to_ascii_lowercase()),
            accept_proxy: draft.accept_proxy.is_some_and(|x| x.value),
            max_connections: draft
                .max_connections
                .map_or(defaults::MAX_CONNECTIONS, |x| x.value),
            head_bytes: draft.head_bytes.map_or(defaults::HEAD_BYTES, |x| x.value),
            access_log: access_log.transpose()?,
            error_pages,
            own_answers: draft
                .own_answers
                .map_or(OwnAnswers::Portway, |form| form.value),
            close: draft.close.is_some_and(|x| x.value),
            origin: Origin(draft.name.span),
        })
    }

    fn listener_timeouts(&mut self, draft: &ListenerTimeoutsDraft) -> ListenerTimeouts {
        let mut time =
            |what, given, default| limits::duration(&mut self.found, what, given, default);
        ListenerTimeouts {
            request_head: time(
                "the timeout of request heads",
                draft.request_head,
                defaults::REQUEST_HEAD,
            ),
            keep_alive: time(
                "the keep-alive timeout",
                draft.keep_alive,
                defaults::KEEP_ALIVE,
            ),
            client: time("the client timeout", draft.client, defaults::CLIENT),
            tunnel: time("the tunnel timeout", draft.tunnel, defaults::TUNNEL),
            inspect: time("the inspection timeout", draft.inspect, defaults::INSPECT),
        }
    }

    fn access_log(
        &mut self,
        draft: &Spanned<AccessLogDraft>,
        protocol: Protocol,
    ) -> Result<AccessLog, Reported> {
        let form = draft.value.format.as_ref();
        let place = Place {
            moment: Moment::Log,
            side: Side::Listener(protocol),
            span: form.map_or(draft.span, |form| form.span),
        };
        let form = form.map_or(&LogFormat::Json, |form| &form.value);
        if let LogFormat::Template(template) = form {
            self.check_template(place, template);
        }
        let to = draft.value.to.as_ref();
        if let Some(to) = to {
            self.check_log_destination(to);
        }
        Ok(AccessLog {
            format: convert::log_format(self, form)?,
            to: to.map_or(LogDestination::Stdout, |to| to.value.clone()),
        })
    }

    fn check_log_destination(&mut self, to: &Spanned<LogDestination>) {
        match &to.value {
            LogDestination::Stdout => {}
            LogDestination::File(file) => check_file(&mut self.found, "the log", file, to.span),
            LogDestination::Syslog { address, facility } => {
                check_file(&mut self.found, "the syslog server", address, to.span);
                if !FACILITIES.contains(&facility.as_str()) {
                    self.found.push(
                        Diagnostic::error(
                            Code::Unknown,
                            to.span,
                            format!("syslog has no facility `{facility}`"),
                        )
                        .help("known: `daemon`, `user`, `local0` to `local7` and others")
                        .nearest(facility, FACILITIES),
                    );
                }
            }
        }
    }

    pub(super) fn error_pages(&mut self, drafts: &[ErrorPageDraft]) -> Vec<ErrorPage> {
        for (index, page) in drafts.iter().enumerate() {
            check_status(
                &mut self.found,
                page.status.value,
                (200, 599),
                page.status.span,
            );
            let span = page.page.span;
            match &page.page.value {
                ErrorPageSource::File(file) => {
                    check_file(&mut self.found, "the error page", file, span);
                }
                ErrorPageSource::Redirect { location, status } => {
                    let found = &mut self.found;
                    check_text(found, "a location", location, Use::HeaderValue, span);
                    check_redirect(found, *status, span);
                }
            }
            let mut before = drafts.iter().take(index);
            if let Some(first) = before.find(|first| first.status == page.status) {
                self.found.push(
                    Diagnostic::error(
                        Code::Duplicate,
                        page.status.span,
                        format!("status {} has two error pages", page.status.value),
                    )
                    .label(first.status.span, "the first is here"),
                );
            }
        }
        let pages = drafts.iter().map(|page| ErrorPage {
            status: page.status.value,
            page: page.page.value.clone(),
            origin: Origin(page.status.span),
        });
        pages.collect()
    }
}

/// What targets are told.
fn forwarded(draft: &ForwardedDraft) -> Forwarded {
    let mode = |given: Option<Spanned<ForwardedMode>>| {
        given.map_or(defaults::FORWARDED, |given| given.value)
    };
    Forwarded {
        x_forwarded_for: mode(draft.x_forwarded_for),
        x_forwarded_proto: mode(draft.x_forwarded_proto),
        x_forwarded_port: mode(draft.x_forwarded_port),
        x_forwarded_host: mode(draft.x_forwarded_host),
        forwarded: draft.forwarded.is_some_and(|x| x.value),
        client_port: draft.client_port.is_some_and(|x| x.value),
        trusted_proxies: draft.trusted_proxies.iter().map(|net| net.value).collect(),
    }
}
