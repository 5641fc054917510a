//! A frontend as listeners: one for all binds that agree, each with all of the frontend's rules.

use super::group::cacheable_cookies;
use super::rules::{always, before_requests, forward, rule, test};
use super::{Lowering, limit};
use crate::haproxy::log_format;
use crate::haproxy::place::Step as Moment;
use crate::haproxy::proxy::{
    Bind, Capture, CaptureSlot, Closing, List, Mode, Proxy, RuleLine, place,
};
use portway_model::action::{Action, FixedResponse, Phase, Rule};
use portway_model::address::BindAddress;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{ForwardedDraft, ListenerDraft, ListenerTimeoutsDraft, RequestIdDraft};
use portway_model::expression::{Condition, Expression, Matcher, Template, TextMatch, Value};
use portway_model::name::Name;
use portway_model::settings::{ForwardedMode, OwnAnswers, Protocol};
use portway_model::span::Spanned;
use portway_model::stage::Named;
use std::time::Duration;

impl Lowering<'_, '_, '_> {
    /// The listeners of a proxy that accepts.
    pub(super) fn listeners(&mut self, proxy: &Proxy) {
        if proxy.binds.is_empty() && !proxy.bind_failed {
            let message = format!("{} has no `bind`: nothing comes to it", proxy.words());
            let help = "write `bind :80` in it, or make it a `backend`";
            self.reader
                .push(Diagnostic::warning(Code::Missing, proxy.name.span, message).help(help));
        }
        if proxy.mode() == Mode::Tcp {
            self.warn_http_only(proxy);
            if let Some(stats) = &proxy.stats {
                let message = format!("`stats` is ignored: {} is not `mode http`", proxy.words());
                self.reader.warn(Code::WrongPhase, stats.span, message);
            }
        }
        let common = self.common(proxy);
        if proxy.is_disabled() {
            return;
        }
        let mut groups: Vec<Vec<&Bind>> = Vec::new();
        for bind in &proxy.binds {
            match groups
                .iter_mut()
                .find(|group| group.first().is_some_and(|first| agree(first, bind)))
            {
                Some(group) => group.push(bind),
                None => groups.push(vec![bind]),
            }
        }
        let several = groups.len() > 1;
        for (index, binds) in groups.iter().enumerate() {
            let mut listener = common.clone();
            if several {
                listener.known_as = Some(listener.name.clone());
            }
            if index > 0 {
                let name = format!("{}#{}", proxy.name.value, index + 1);
                listener.name.value = Name::from(name);
            }
            self.binds(&mut listener, proxy, binds);
            self.draft.listeners.push(listener);
        }
    }

    /// Addresses, sockets and TLS of binds that agree.
    fn binds(&mut self, listener: &mut ListenerDraft, proxy: &Proxy, binds: &[&Bind]) {
        let Some(first) = binds.first() else {
            return;
        };
        for bind in binds {
            for address in &bind.addresses {
                let address = address.clone().map(|address| owned(address, bind));
                if let Some(first) = listener.binds.iter().find(|first| **first == address) {
                    let message = "this address is said twice: once is enough";
                    let wrong = Diagnostic::warning(Code::Duplicate, address.span, message);
                    self.reader
                        .push(wrong.label(first.span, "the first is here"));
                } else {
                    listener.binds.push(address);
                }
            }
        }
        listener.accept_proxy = first.accept_proxy.map(|span| Spanned::new(true, span));
        let tls = first.tls.enabled;
        listener.protocol = Some(Spanned::new(protocol(proxy.mode(), tls), first.span));
        if let Some(span) = first.v6only.or(first.v4v6) {
            listener.socket.v6_only = Some(Spanned::new(first.v6only.is_some(), span));
        }
        listener.socket.interface.clone_from(&first.interface);
        listener.socket.transparent = first.transparent.map(|span| Spanned::new(true, span));
        listener.socket.backlog = first.backlog.or(proxy.backlog);
        listener.socket.tcp = proxy.client_watch(first.user_timeout);
        if tls {
            self.listener_tls(listener, proxy, first);
        } else if let Some(certificate) = first.tls.certificates.first() {
            let message = format!(
                "a certificate without `ssl`: this `bind` of {} is in clear",
                proxy.words()
            );
            let help = "write `ssl` before `crt`";
            self.reader
                .push(Diagnostic::warning(Code::Conflict, certificate.span, message).help(help));
            self.unused_certificates(first);
        }
        self.prior_knowledge(listener, proxy, first);
        // The smaller of the limits of a bind and of its frontend.
        let limits = [first.maxconn, proxy.maxconn];
        let limits = limits.into_iter().flatten().filter(|limit| limit.value > 0);
        listener.max_connections = limits.min_by_key(|limit| limit.value);
    }

    /// What every listener of the proxy has.
    fn common(&mut self, proxy: &Proxy) -> ListenerDraft {
        let name = proxy.name.clone().map(Name::from);
        let mut listener = ListenerDraft::new(name);
        listener.number = proxy.number;
        listener.max_session_rate = proxy.session_rate.filter(|rate| rate.value > 0);
        listener.timeouts = timeouts(proxy);
        listener.rules = match proxy.mode() {
            Mode::Http => self.http_rules(proxy),
            Mode::Tcp => self.tcp_rules(proxy),
        };
        listener.forwarded = untouched();
        listener.own_answers = Some(Spanned::bare(OwnAnswers::Haproxy));
        listener.lenient_heads = Some(Spanned::bare(true));
        listener.error_pages = self.error_pages(proxy);
        listener.access_log = self.access_log(proxy);
        listener.log = self.destinations(proxy);
        listener.capture_cookie = Self::captured_cookie(proxy);
        listener.request_id = self.request_id(proxy);
        listener.close = proxy
            .closing
            .filter(|closing| closing.value == Closing::Both)
            .map(|closing| closing.map(|_| true));
        listener.close_targets = proxy
            .closing
            .filter(|closing| closing.value == Closing::Server)
            .map(|closing| closing.map(|_| true));
        listener.ignore_probes = proxy
            .flags
            .on("http-ignore-probes")
            .map(|span| Spanned::new(true, span));
        listener
    }

    fn request_id(&mut self, proxy: &Proxy) -> Option<Spanned<RequestIdDraft>> {
        let format = proxy.unique_id_format.as_ref()?;
        let template = log_format::template(format, place(Moment::Id, proxy.kind), self.reader)?;
        let id = RequestIdDraft {
            header: proxy.unique_id_header.clone(),
            format: Some(format.spanned(template)),
        };
        Some(format.spanned(id))
    }

    /// The rules of an HTTP frontend in the order in which HAProxy runs its lists.
    fn http_rules(&mut self, proxy: &Proxy) -> Vec<Rule<Named>> {
        let mut rules = self.connection_rules(proxy);
        rules.extend(self.list(proxy, List::Content, Phase::ClientHello, true));
        rules.extend(captures(&proxy.request_captures, Phase::Request));
        rules.extend(monitor(proxy));
        rules.extend(before_requests(proxy));
        let stats = self.stats(proxy);
        let redirects = self.list(proxy, List::Redirect, Phase::Request, true);
        let last = stats.is_empty() && redirects.is_empty();
        rules.extend(self.list(proxy, List::HttpRequest, Phase::Request, last));
        rules.extend(stats);
        rules.extend(redirects);
        rules.extend(self.list(proxy, List::UseBackend, Phase::Request, true));
        rules.push(match self.default_group(proxy) {
            Some(name) => rule(Phase::Request, always(), vec![forward(&name)], name.span),
            None => {
                // There is no group without a name: answered with 503, as the fault that it is.
                let nowhere = Action::ForwardByName {
                    name: Template::text(""),
                    fallback: None,
                };
                rule(Phase::Request, always(), vec![nowhere], proxy.name.span)
            }
        });
        rules.extend(captures(&proxy.response_captures, Phase::Response));
        // A `listen` checks as a backend what comes of its own servers.
        let check = proxy
            .kind
            .serves()
            .then(|| cacheable_cookies(proxy))
            .flatten();
        rules.extend(self.list(proxy, List::HttpResponse, Phase::Response, check.is_none()));
        rules.extend(check);
        rules.extend(self.list(proxy, List::AfterResponse, Phase::AfterResponse, true));
        rules
    }

    /// The rules of a TCP frontend.
    fn tcp_rules(&mut self, proxy: &Proxy) -> Vec<Rule<Named>> {
        let mut rules = self.connection_rules(proxy);
        let mut content = self.list(proxy, List::Content, Phase::ClientHello, true);
        content.extend(self.list(proxy, List::UseBackend, Phase::ClientHello, true));
        // Where nothing is looked at, nothing is waited for.
        let phase = if content.is_empty() {
            Phase::Connection
        } else {
            Phase::ClientHello
        };
        rules.extend(content);
        rules.push(match self.default_group(proxy) {
            Some(name) => rule(phase, always(), vec![forward(&name)], name.span),
            None => {
                let reject = Action::Reject { silent: false };
                rule(phase, always(), vec![reject], proxy.name.span)
            }
        });
        rules
    }

    fn connection_rules(&mut self, proxy: &Proxy) -> Vec<Rule<Named>> {
        let mut rules = Vec::new();
        if let Some(net) = proxy.monitor_net.filter(|_| proxy.mode() == Mode::Tcp) {
            let within = Matcher::Address {
                any_of: vec![net.value],
            };
            let actions = vec![Action::SetLog(None), Action::Reject { silent: false }];
            rules.push(rule(
                Phase::Connection,
                test(Value::Source, within, net.span),
                actions,
                net.span,
            ));
        }
        rules.extend(self.list(proxy, List::Connection, Phase::Connection, true));
        rules.extend(self.list(proxy, List::Session, Phase::Session, true));
        rules
    }

    /// Where requests go that no rule sends elsewhere: the named backend, a `listen`'s own servers, or nowhere.
    pub(super) fn default_group(&self, proxy: &Proxy) -> Option<Spanned<String>> {
        match &proxy.default_backend {
            Some(name) => Some(name.clone()).filter(|name| self.fitting(proxy, &name.value)),
            None => proxy.kind.serves().then(|| proxy.name.clone()),
        }
    }
}

/// What HAProxy writes of itself: nothing. `option forwardfor` is a rule of its own.
fn untouched() -> ForwardedDraft {
    let preserve = Some(Spanned::bare(ForwardedMode::Preserve));
    ForwardedDraft {
        x_forwarded_for: preserve,
        x_forwarded_proto: preserve,
        x_forwarded_port: preserve,
        x_forwarded_host: preserve,
        forwarded: preserve,
        ..ForwardedDraft::default()
    }
}

/// Whether two binds can be one listener.
fn agree(a: &Bind, b: &Bind) -> bool {
    a.tls == b.tls
        && a.accept_proxy.is_some() == b.accept_proxy.is_some()
        && a.v6only.is_some() == b.v6only.is_some()
        && a.v4v6.is_some() == b.v4v6.is_some()
        && a.transparent.is_some() == b.transparent.is_some()
        && a.interface == b.interface
        && a.backlog == b.backlog
        && a.user_timeout == b.user_timeout
        && a.mux == b.mux
        && a.maxconn == b.maxconn
}

fn protocol(mode: Mode, tls: bool) -> Protocol {
    match (mode, tls) {
        (Mode::Http, false) => Protocol::Http,
        (Mode::Http, true) => Protocol::Https,
        (Mode::Tcp, false) => Protocol::Tcp,
        (Mode::Tcp, true) => Protocol::Tls,
    }
}

/// The address with the permissions and the owner of its socket.
fn owned(mut address: BindAddress, bind: &Bind) -> BindAddress {
    if let BindAddress::Unix(socket) = &mut address {
        let text =
            |given: &Option<Spanned<String>>| given.as_ref().map(|given| given.value.clone());
        socket.mode = bind.socket_mode.map(|mode| mode.value);
        socket.user = text(&bind.socket_user);
        socket.group = text(&bind.socket_group);
    }
    address
}

fn timeouts(proxy: &Proxy) -> ListenerTimeoutsDraft {
    let given = &proxy.timeouts;
    let request = given.http_request.or(given.client);
    ListenerTimeoutsDraft {
        request_head: limit(request),
        // That of the client is one of silence.
        request_head_renews: match given.http_request {
            None => given.client.map(|client| client.map(|_| true)),
            Some(_) => None,
        },
        keep_alive: limit(given.http_keep_alive.or(request)),
        client: limit(given.client),
        tunnel: limit(given.client),
        inspect: inspect(proxy),
        tunnel_ending: given.client_fin,
    }
}

/// How long first bytes are waited for. Without a delay nothing is; where nothing is looked at, it does not matter.
fn inspect(proxy: &Proxy) -> Option<Spanned<Duration>> {
    let least = Duration::from_millis(1);
    let looks = |rule: &RuleLine| matches!(rule.list, List::Content | List::UseBackend);
    match proxy.inspect_delay {
        Some(delay) => Some(delay.map(|delay| delay.max(least))),
        None if proxy.mode() == Mode::Tcp && proxy.rules.iter().any(looks) => {
            Some(Spanned::bare(least))
        }
        None => None,
    }
}

/// `capture request header` and `capture response header`: into slots, in order.
fn captures(slots: &[Capture], phase: Phase) -> Vec<Rule<Named>> {
    let mut rules = Vec::new();
    for (index, slot) in slots.iter().enumerate() {
        let CaptureSlot::Header(name) = &slot.slot else {
            continue;
        };
        let value = match phase {
            Phase::Response => Value::ResponseHeader(name.clone()),
            _ => Value::Header(name.clone()),
        };
        let action = Action::Capture {
            value: Expression::from(value),
            length: slot.length,
            slot: u16::try_from(index).ok(),
        };
        rules.push(rule(phase, always(), vec![action], slot.span));
    }
    rules
}

/// `monitor-uri`, `monitor fail` and `monitor-net`: answered before any rule, and not logged.
fn monitor(proxy: &Proxy) -> Vec<Rule<Named>> {
    let answer = |status| {
        vec![
            Action::SetLog(None),
            Action::Respond(FixedResponse::error(status)),
        ]
    };
    let mut rules = Vec::new();
    if let Some(net) = proxy.monitor_net {
        let within = Matcher::Address {
            any_of: vec![net.value],
        };
        rules.push(rule(
            Phase::Request,
            test(Value::Source, within, net.span),
            answer(200),
            net.span,
        ));
    }
    let Some(uri) = &proxy.monitor_uri else {
        return rules;
    };
    let is = || {
        let matcher = Matcher::Text {
            how: TextMatch::Exact,
            any_of: vec![uri.value.clone()],
            ignore_case: false,
        };
        // A path means requests in either form, a whole URL those that are sent so.
        let value = match uri.value.starts_with('/') {
            true => Value::Target,
            false => Value::Url,
        };
        test(value, matcher, uri.span)
    };
    if !proxy.monitor_fail.is_empty() {
        let fail = match proxy.monitor_fail.as_slice() {
            [only] => only.clone(),
            several => Condition::Any(several.to_vec()),
        };
        rules.push(rule(
            Phase::Request,
            super::rules::both(is(), fail),
            answer(503),
            uri.span,
        ));
    }
    rules.push(rule(Phase::Request, is(), answer(200), uri.span));
    rules
}
