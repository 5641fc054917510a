//! Listeners: what they speak, their limits, headers and logs.

use super::expressions::{Moment, Place, Side};
use super::limits::{
    self, MAX_BACKLOG, MAX_HEAD_BYTES, MAX_HEAD_FIELDS, MAX_INTERFACE, MIN_HEAD_BYTES,
    MIN_HEAD_FIELDS, MIN_TARGET_BYTES, given_within,
};
use super::rules::Owner;
use super::text::{
    Use, check_file, check_header_written, check_redirect, check_status, check_text,
};
use super::{Compiler, Reported, names};
use crate::action::{Action, Phase};
use crate::convert;
use crate::defaults;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::{
    ErrorPageDraft, ForwardedDraft, ListenerDraft, ListenerTimeoutsDraft, SocketDraft,
};
use crate::min_rate::MinRate;
use crate::name::Name;
use crate::settings::{
    ErrorPageSource, ForwardedMode, ListenerTimeouts, OwnAnswers, Protocol, SocketOptions,
};
use crate::snapshot::{ErrorPage, Forwarded, Listener};
use crate::span::{Origin, Span, Spanned};

/// The listeners that one hands over to.
fn handed_over_to(draft: &ListenerDraft) -> impl Iterator<Item = &Spanned<Name>> {
    let actions = draft.rules.iter().flat_map(|rule| &rule.actions);
    actions.filter_map(|action| match action {
        Action::HandOver(listener) => Some(listener),
        _ => None,
    })
}

impl Compiler<'_> {
    /// Some listener hands over to this one.
    fn is_handed_over_to(&self, draft: &ListenerDraft) -> bool {
        let mut all = self.draft.listeners.iter().flat_map(handed_over_to);
        all.any(|name| name.value == draft.name.value)
    }

    /// What is handed over goes no further, and what comes before it is over.
    pub(super) fn check_hand_over(&mut self, name: &Spanned<Name>) {
        let index = self.names.index(names::Kind::Listener, name.value.as_str());
        let Some(to) = index.and_then(|index| self.draft.listeners.get(index)) else {
            return;
        };
        let mut wrong = |place: Span, what: &str| {
            let message = format!("listener `{}` is handed over to, {what}", name.value);
            let one = Diagnostic::error(Code::Conflict, name.span, message);
            self.found.push(one.label(place, "this one"));
        };
        if let Some(further) = handed_over_to(to).next() {
            wrong(further.span, "and hands over itself");
        }
        if let Some(proxy) = to.accept_proxy.filter(|it| it.value) {
            wrong(proxy.span, "where it is too late for the PROXY protocol");
        }
        let mut rules = to.rules.iter();
        if let Some(rule) = rules.find(|rule| rule.phase == Phase::Connection) {
            wrong(
                rule.origin.0,
                "where its rules of the connection phase do not run",
            );
        }
    }

    pub(super) fn listener(
        &mut self,
        index: usize,
        draft: &ListenerDraft,
    ) -> Result<Listener, Reported> {
        let protocol = self.protocols.listeners.get(index).copied();
        let protocol = protocol.unwrap_or(Protocol::Http);
        let handed_over_to = self.is_handed_over_to(draft);
        if draft.binds.is_empty() && !handed_over_to {
            self.found.push(
                Diagnostic::error(
                    Code::Missing,
                    draft.name.span,
                    format!("listener `{}` has no address", draft.name.value),
                )
                .help("say where it accepts, such as `bind = \":80\"`"),
            );
        }
        self.wanted.begin(draft, handed_over_to);
        let tls = self.listener_tls(draft, protocol);
        let rules = self.rules(&Owner::listener(draft, protocol), &draft.rules);
        let access_log = draft.access_log.as_ref();
        let access_log = access_log.map(|log| self.access_log(log, protocol));
        self.check_head_limits(draft);
        let request_id = draft.request_id.as_ref();
        let request_id = request_id.map(|id| self.request_id(id, protocol));
        self.check_log_destinations(&draft.log);
        self.check_capture_cookie(draft.capture_cookie.as_ref());
        self.check_min_rate(draft.min_rate, protocol);
        let error_pages = self.error_pages(&draft.error_pages, Side::Listener(protocol));
        self.wanted.end();
        Ok(Listener {
            name: draft.name.value.clone(),
            known_as: self.known_as(draft),
            number: self.number(draft.number),
            tags: draft.tags.clone().map(|x| x.value).unwrap_or_default(),
            binds: draft.binds.clone(),
            socket: self.socket(&draft.socket, protocol),
            protocol,
            tls: tls?,
            rules: rules?,
            timeouts: self.listener_timeouts(&draft.timeouts),
            forwarded: forwarded(&draft.forwarded),
            request_id: request_id.transpose()?,
            accept_proxy: draft.accept_proxy.is_some_and(|x| x.value),
            max_connections: draft
                .max_connections
                .map_or(defaults::MAX_CONNECTIONS, |x| x.value),
            max_session_rate: draft.max_session_rate.map_or(0, |x| x.value),
            life: super::life::life(&mut self.found, &draft.life, protocol),
            http2: super::http2::http2(&mut self.found, &draft.http2, protocol),
            head_bytes: draft.head_bytes.map_or(defaults::HEAD_BYTES, |x| x.value),
            head_fields: draft.head_fields.map_or(defaults::HEAD_FIELDS, |x| x.value),
            target_bytes: draft
                .target_bytes
                .map_or(defaults::TARGET_BYTES, |x| x.value),
            access_log: access_log.transpose()?,
            log: super::log::destinations(&draft.log),
            capture_cookie: draft.capture_cookie.as_ref().map(|it| it.value.clone()),
            min_rate: draft.min_rate.map(|it| it.value),
            error_pages: error_pages?,
            lenient_heads: draft.lenient_heads.is_some_and(|x| x.value),
            own_answers: draft
                .own_answers
                .map_or(OwnAnswers::Portway, |form| form.value),
            close: draft.close.is_some_and(|x| x.value),
            close_targets: draft.close_targets.is_some_and(|x| x.value),
            ignore_probes: draft.ignore_probes.is_some_and(|x| x.value),
            origin: Origin(draft.name.span),
        })
    }

    fn check_head_limits(&mut self, draft: &ListenerDraft) {
        let found = &mut self.found;
        let bytes = (MIN_HEAD_BYTES, MAX_HEAD_BYTES);
        given_within(found, "a request head", draft.head_bytes, bytes);
        let fields = (MIN_HEAD_FIELDS, MAX_HEAD_FIELDS);
        given_within(found, "the fields of a head", draft.head_fields, fields);
        let Some(target) = draft.target_bytes else {
            return;
        };
        if draft
            .head_bytes
            .is_some_and(|head| head.span == target.span)
        {
            // One number says both.
            return;
        }
        let head = draft.head_bytes.map_or(defaults::HEAD_BYTES, |x| x.value);
        if target.value > head && target.value <= MAX_HEAD_BYTES {
            let wrong = format!(
                "a request target of {} bytes is longer than a whole head may be",
                target.value
            );
            let help = format!("a head has {head} bytes at most: `head_bytes` says how many");
            let one = Diagnostic::error(Code::Conflict, target.span, wrong).help(help);
            found.push(match draft.head_bytes {
                Some(said) => one.label(said.span, "said here"),
                None => one,
            });
            return;
        }
        let bytes = (MIN_TARGET_BYTES, MAX_HEAD_BYTES);
        given_within(found, "a request target", Some(target), bytes);
    }

    fn socket(&mut self, draft: &SocketDraft, protocol: Protocol) -> SocketOptions {
        if let Some(interface) = &draft.interface {
            check_interface(&mut self.found, &interface.value, interface.span);
        }
        let range = (1, MAX_BACKLOG);
        given_within(&mut self.found, "a backlog", draft.backlog, range);
        SocketOptions {
            interface: draft.interface.as_ref().map(|x| x.value.clone()),
            v6_only: draft.v6_only.is_none_or(|x| x.value),
            backlog: draft.backlog.map(|x| x.value),
            transparent: draft.transparent.is_some_and(|x| x.value),
            shared: draft.shared.is_some_and(|x| x.value),
            packets_from: draft.packets_from.as_ref().map(|x| x.value.clone()),
            tcp: super::tcp::watch(&mut self.found, &draft.tcp, protocol),
        }
    }

    fn listener_timeouts(&mut self, draft: &ListenerTimeoutsDraft) -> ListenerTimeouts {
        let tunnel_ending = limits::optional_duration(
            &mut self.found,
            "the timeout of ending tunnels",
            draft.tunnel_ending,
        );
        let inspect = limits::duration_or_zero(
            &mut self.found,
            "the inspection timeout",
            draft.inspect,
            defaults::INSPECT,
        );
        let mut time =
            |what, given, default| limits::duration(&mut self.found, what, given, default);
        ListenerTimeouts {
            request_head: time(
                "the timeout of request heads",
                draft.request_head,
                defaults::REQUEST_HEAD,
            ),
            request_head_renews: draft.request_head_renews.is_some_and(|x| x.value),
            keep_alive: time(
                "the keep-alive timeout",
                draft.keep_alive,
                defaults::KEEP_ALIVE,
            ),
            client: time("the client timeout", draft.client, defaults::CLIENT),
            tunnel: time("the tunnel timeout", draft.tunnel, defaults::TUNNEL),
            inspect,
            tunnel_ending,
        }
    }

    fn check_min_rate(&mut self, given: Option<Spanned<MinRate>>, protocol: Protocol) {
        let Some(Spanned { value: rate, span }) = given else {
            return;
        };
        limits::check_duration(&mut self.found, "the grace of `min_rate`", rate.grace, span);
        let (wrong, help) = match () {
            () if !protocol.is_http() => (
                "a TCP listener knows no bodies",
                "`timeouts.tunnel` says how long a connection may be silent",
            ),
            () if rate.request == 0 && rate.response == 0 => (
                "this demands no rate",
                "give `request`, `response` or both in bytes a second, or leave `min_rate` out",
            ),
            () => return,
        };
        let diagnostic = Diagnostic::error(Code::OutOfRange, span, wrong);
        self.found.push(diagnostic.help(help));
    }

    pub(super) fn error_pages(
        &mut self,
        drafts: &[ErrorPageDraft],
        side: Side,
    ) -> Result<Vec<ErrorPage>, Reported> {
        self.check_pages_used(drafts);
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
                ErrorPageSource::Answer(answer) => {
                    let kind = &answer.content_type;
                    check_text(&mut self.found, "a type", kind, Use::HeaderValue, span);
                    // A fault may come once the request is known, and before any response is.
                    let moment = Moment::Phase(Phase::Request);
                    let place = Place { moment, side, span };
                    self.check_template(place, &answer.body);
                    for (name, value) in &answer.headers {
                        check_header_written(&mut self.found, name, span);
                        self.check_written(place, "a header", value, Use::HeaderValue);
                    }
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
        convert::each(self, drafts, |to, page| {
            Ok(ErrorPage {
                status: page.status.value,
                page: convert::error_page(to, &page.page.value)?,
                origin: Origin(page.status.span),
            })
        })
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
        forwarded: draft
            .forwarded
            .map_or(ForwardedMode::Remove, |mode| mode.value),
        client_port: draft.client_port.is_some_and(|x| x.value),
        trusted_proxies: draft.trusted_proxies.iter().map(|net| net.value).collect(),
    }
}

/// Reports a name that no network interface can have.
pub(super) fn check_interface(found: &mut Diagnostics, name: &str, span: Span) {
    let possible = (1..=MAX_INTERFACE).contains(&name.len())
        && !name.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '\0'));
    if !possible {
        let message = format!("`{}` names no network interface", name.escape_debug());
        found.push(
            Diagnostic::error(Code::OutOfRange, span, message)
                .help("`ip link` lists those of this machine"),
        );
    }
}
