//! An entry point with its routers: a listener and its rules.

use super::super::entry_point::{EntryPoint, syntax_of};
use super::super::matcher::{Place, condition, is_catch_all, named_hosts};
use super::super::model::{Object, Objects, Provider};
use super::super::rule;
use super::super::schema::Section;
use super::chain::{Chain, rule as rule_of};
use super::middleware::{at_scheme, redirect_scheme, text_answer};
use super::mixed::is_mixed;
use super::terms::Said;
use super::{Lowering, NO_LIMIT, Speech, forwarded, over_tls};
use crate::expression::Written;
use portway_model::action::{Action, Phase, Rule};
use portway_model::defaults::TARGET_BYTES;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::{AccessLogDraft, ListenerDraft, LogFormat};
use portway_model::expression::Condition;
use portway_model::log::LogDestination;
use portway_model::name::Name;
use portway_model::settings::{Protocol, ProxyHeader};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::collections::HashMap;
use std::time::Duration;

/// How long Traefik keeps an idle connection of a client.
const IDLE: Duration = Duration::from_secs(180);

/// How long Traefik 3 waits for a request.
const READ: Duration = Duration::from_secs(60);

/// Those above it are of Traefik itself.
const MAX_PRIORITY: i64 = i64::MAX - 1000;

/// How often the user interface of Hazelcast Flow, like many others, says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A router on an entry point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attached<'o> {
    pub(super) object: &'o Object,
    pub(super) tls: bool,
    pub(super) rule: Spanned<&'o str>,
    pub(super) priority: i64,
}

/// The priority of a rule of connections that holds for all of them, where none is stated.
const CATCH_ALL: i64 = -1;

/// Routers by priority; of one priority, by name.
fn in_order(routers: &mut [Attached<'_>]) {
    routers.sort_by(|a, b| {
        let names = || a.object.name.cmp(&b.object.name);
        b.priority.cmp(&a.priority).then_with(names)
    });
}

impl<'l> Lowering<'l> {
    pub(super) fn entry_point(&mut self, entry: &EntryPoint) {
        let model = self.model;
        let mut routers = self.attached(entry, &model.routers.list);
        let mut tcp = self.attached(entry, &model.tcp_routers.list);
        let unused = routers.is_empty() && tcp.is_empty();
        let redirects = entry.section.section("http.redirections").is_some();
        if unused && !redirects && (entry.implied || entry.name.value == "traefik") {
            return;
        }
        in_order(&mut routers);
        in_order(&mut tcp);
        self.shadowed(&routers);
        self.in_the_clear(entry, &routers);
        let terms = self.terms(entry, &routers);
        let of_tcp = self.terms(entry, &tcp);
        let splits = terms.sets.len() > 1 || of_tcp.sets.len() > 1;
        if splits
            || (tcp.is_empty(), routers.is_empty() && !redirects) == (false, false)
            || is_mixed(&tcp)
        {
            return self.mixed_entry_point(entry, (&routers, &terms), (&tcp, &of_tcp));
        }
        if !tcp.is_empty() {
            return self.tcp_entry_point(entry, &tcp, of_tcp.only());
        }
        let plain = routers.iter().any(|it| !it.tls);
        let tls = routers.iter().any(|it| it.tls) || entry.section.section("http.tls").is_some();
        let speech = match (plain, tls) {
            (_, false) => Speech::Clear,
            (false, true) => Speech::Tls,
            (true, true) => Speech::Both,
        };
        let name = entry.name.value.clone();
        let listener = self.http_listener(entry, &name, &routers, speech, terms.only(), None);
        self.draft.listeners.push(listener);
    }

    /// Routers that are on this entry point.
    fn attached(&mut self, entry: &EntryPoint, all: &'l [Object]) -> Vec<Attached<'l>> {
        let mut attached = Vec::new();
        let entry_tls = entry.section.section("http.tls").is_some();
        let is_tcp = |object: &Object| {
            self.model
                .tcp_routers
                .list
                .iter()
                .any(|it| std::ptr::eq(it, object))
        };
        for object in all {
            let section = &object.section;
            let tls = section.section("tls").is_some() || (entry_tls && !is_tcp(object));
            let named = section.list("entryPoints");
            let here = match named {
                [] if self.settings.are_implied() => {
                    entry.name.value == if tls { "websecure" } else { "web" }
                }
                [] => entry.is_default,
                named => named
                    .iter()
                    .any(|it| it.value.eq_ignore_ascii_case(&entry.name.value)),
            };
            if !here {
                continue;
            }
            let Some(rule) = section.some_text("rule") else {
                self.error(
                    Code::Missing,
                    object.key,
                    format!("the router `{}` has no rule", object.name),
                );
                continue;
            };
            let stated = section.number("priority").filter(|it| it.value != 0);
            if let Some(high) = stated.filter(|it| it.value > MAX_PRIORITY) {
                let message = format!("{MAX_PRIORITY} is the highest priority");
                self.error(Code::OutOfRange, high.span, message);
            }
            let length = match self.takes_all(rule) {
                true => CATCH_ALL,
                false => i64::try_from(rule.value.len()).unwrap_or(i64::MAX),
            };
            attached.push(Attached {
                object,
                tls,
                rule,
                priority: stated.map_or(length, |it| it.value),
            });
        }
        attached
    }

    /// True where a rule takes every connection.
    pub(super) fn takes_all(&self, text: Spanned<&str>) -> bool {
        let mut unsaid = Diagnostics::default();
        let parsed = rule::parse(self.written(text), &mut unsaid);
        parsed.is_some_and(|rule| is_catch_all(&rule))
    }

    /// Says which routers name entry points that are not there.
    pub(super) fn lost_routers(&mut self) {
        let model = self.model;
        for object in model.routers.list.iter().chain(&model.tcp_routers.list) {
            for name in object.section.list("entryPoints") {
                if self.settings.find(&name.value).is_none() {
                    let message = format!("there is no entry point `{}`", name.value);
                    let known = self
                        .settings
                        .entry_points
                        .iter()
                        .map(|it| it.name.value.as_str());
                    let known: Vec<&str> = known.collect();
                    let one = Diagnostic::error(Code::UnknownReference, name.span, message);
                    self.found.push(one.help(format!(
                        "there are: {}. Others are stated by a static file, or by the flags of a Traefik in the compose file",
                        known.join(", ")
                    )));
                }
            }
        }
    }

    /// The listener of an entry point, without rules.
    pub(super) fn listener(
        &mut self,
        entry: &EntryPoint,
        name: &str,
        protocol: Protocol,
    ) -> ListenerDraft {
        let is_first = name == entry.name.value;
        let name = Name::new(name);
        let mut listener = ListenerDraft::new(Spanned::new(name, entry.name.span));
        listener.protocol = Some(Spanned::new(protocol, entry.name.span));
        listener.timeouts.tunnel = Some(Spanned::bare(NO_LIMIT));
        listener.access_log = self.access_log();
        if protocol.is_http() {
            self.traced(&mut listener);
        }
        // What others hand over to is behind all this.
        if is_first {
            listener.binds.push(entry.bind.clone());
            if let Some(proxy) = entry.section.section("proxyProtocol") {
                self.accept_proxy(proxy, &mut listener);
            }
        }
        listener
    }

    fn access_log(&mut self) -> Option<Spanned<AccessLogDraft>> {
        let section = self.settings.access_log.as_ref()?;
        let format = section.some_text("format");
        let format = match format.map_or("common", |it| it.value) {
            "json" => LogFormat::Json,
            "common" => LogFormat::Combined,
            other => {
                let span = format.map_or(section.span, |it| it.span);
                let one = Diagnostic::error(
                    Code::OutOfRange,
                    span,
                    format!("`{other}` is no format of access logs"),
                );
                self.refused(one.help("one of: common, json"));
                LogFormat::Combined
            }
        };
        let file = section.some_text("filePath");
        let to = file.map(|it| it.map(|path| LogDestination::File(path.to_owned())));
        let log = AccessLogDraft {
            format: Some(Spanned::new(format, section.span)),
            to: to.into_iter().collect(),
            when: self.filters(section),
            without: self.left_out(section),
            ..AccessLogDraft::default()
        };
        Some(Spanned::new(log, section.span))
    }

    /// Says something once, though several entry points come upon it.
    pub(super) fn refused(&mut self, one: Diagnostic) {
        if !self.found.iter().any(|earlier| *earlier == one) {
            self.found.push(one);
        }
    }

    fn accept_proxy(&mut self, section: &Section, listener: &mut ListenerDraft) {
        let mut rule = |condition, header| {
            let actions = vec![Action::ExpectProxy(header)];
            let rule = rule_of(Phase::Connection, condition, actions, section.span);
            listener.rules.push(rule);
        };
        if section.is_on("insecure") {
            return rule(Condition::All(Vec::new()), ProxyHeader::Optional);
        }
        rule(Condition::All(Vec::new()), ProxyHeader::Ignored);
        let trusted = section.list("trustedIPs");
        if let Some(condition) = forwarded::from(trusted, section.span, self.found) {
            rule(condition, ProxyHeader::Optional);
        }
    }

    /// Certificates and options of TLS. `routers`: those that have TLS here.
    pub(super) fn terminate(
        &mut self,
        entry: &EntryPoint,
        routers: &[Attached<'_>],
        options: Said<'_>,
        listener: &mut ListenerDraft,
    ) {
        let mut by_acme = false;
        let entry_tls = entry.section.section("http.tls");
        let of_routers = routers
            .iter()
            .filter_map(|router| router.object.section.section("tls"));
        for section in entry_tls.into_iter().chain(of_routers) {
            if let Some(resolver) = section.some_text("certResolver") {
                by_acme = true;
                self.resolver(resolver.span, "`certResolver`");
            }
        }
        listener.tls = self.tls_options(options);
        listener.certificates = self.certificates();
        listener.tls.expected_names = self.expected_names(routers);
        if listener.certificates.is_empty() && !(by_acme && self.found.has_errors()) {
            let first = routers.iter().find(|router| router.tls);
            let place = first.map_or(entry.name.span, |router| {
                let tls = router.object.section.get("tls");
                tls.map_or(router.object.key, |it| it.key)
            });
            let message = format!(
                "there is no certificate for the entry point `{}`",
                entry.name.value
            );
            let one = Diagnostic::error(Code::Missing, place, message);
            self.refused(one.help(
                "give one: a dynamic file with `tls: { certificates: [{ certFile: a.crt, keyFile: a.key }] }`; \
                 `portway cert self-signed` makes one to try",
            ));
        }
    }

    /// The names that routers with TLS are for, sorted: of labels and files the order differs.
    fn expected_names(&self, routers: &[Attached<'_>]) -> Vec<Spanned<String>> {
        let mut names: Vec<Spanned<String>> = Vec::new();
        for router in routers.iter().filter(|router| router.tls) {
            // What is wrong with it is said elsewhere.
            let mut unsaid = Diagnostics::default();
            let rule = rule::parse(self.written(router.rule), &mut unsaid);
            for name in rule.iter().flat_map(named_hosts) {
                let name = name.as_ref().map(|it| it.to_ascii_lowercase());
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names.sort_by(|a, b| a.value.cmp(&b.value));
        names
    }

    /// A listener of an entry point that speaks HTTP. `first`: a rule before those of its routers.
    pub(super) fn http_listener(
        &mut self,
        entry: &EntryPoint,
        name: &str,
        routers: &[Attached<'_>],
        speech: Speech,
        options: Said<'_>,
        first: Option<Rule<Named>>,
    ) -> ListenerDraft {
        self.speech = speech;
        let protocol = match self.speech.has_tls() {
            true => Protocol::Https,
            false => Protocol::Http,
        };
        let mut listener = self.listener(entry, name, protocol);
        if self.speech.has_tls() {
            self.terminate(entry, routers, options, &mut listener);
        }
        if self.speech == Speech::Both {
            listener.tls.accept_clear = Some(Spanned::new(true, entry.name.span));
        }
        self.http2(entry, &mut listener);
        self.timeouts(entry, &mut listener);
        if let Some(bytes) = entry
            .section
            .section("http")
            .and_then(|it| it.number("maxHeaderBytes"))
        {
            let value = u32::try_from(bytes.value).unwrap_or(u32::MAX);
            listener.head_bytes = Some(Spanned::new(value, bytes.span));
            // All of it may be the URI.
            if value > TARGET_BYTES {
                listener.target_bytes = listener.head_bytes;
            }
        }
        forwarded::lower(entry, self.speech, &mut listener, self.found);
        listener.rules.extend(first);
        let redirect = self.redirection(entry);
        let mut responses: Vec<Rule<Named>> = Vec::new();
        let mut ended = false;
        for router in routers {
            if let Some((priority, rules)) = &redirect
                && !ended
                && router.priority < *priority
            {
                listener.rules.extend(rules.iter().cloned());
                ended = !self.speech.has_tls();
            }
            if ended {
                // Everything is redirected before it.
                self.mark_used(router.object);
                continue;
            }
            let rules = self.router(entry, router);
            listener.rules.extend(rules.request);
            responses.extend(rules.response);
        }
        if let Some((_, rules)) = redirect
            && !ended
        {
            listener.rules.extend(rules);
            ended = !self.speech.has_tls();
        }
        if !ended {
            let answer = Action::Respond(text_answer(404, "404 page not found\n"));
            let always = Condition::All(Vec::new());
            listener.rules.push(rule_of(
                Phase::Request,
                always,
                vec![answer],
                entry.name.span,
            ));
        }
        listener.rules.extend(responses);
        listener
    }

    fn timeouts(&mut self, entry: &EntryPoint, listener: &mut ListenerDraft) {
        let section = entry.section.section("transport.respondingTimeouts");
        // No limit is said by 0.
        let said = |name: &str| {
            let said = section.and_then(|it| it.duration(name))?;
            let unlimited = said.value.is_zero();
            Some(said.map(|it| if unlimited { NO_LIMIT } else { it }))
        };
        let read = said("readTimeout").or(Some(Spanned::bare(READ)));
        listener.timeouts.request_head = read;
        listener.timeouts.client = read.max_by(said("writeTimeout"));
        let transport = entry.section.section("transport");
        let requests = transport.and_then(|it| it.number("keepAliveMaxRequests"));
        listener.life.max_requests = requests
            .filter(|it| it.value > 0)
            .map(|it| it.map(|most| u32::try_from(most).unwrap_or(u32::MAX)));
        let age = transport.and_then(|it| it.duration("keepAliveMaxTime"));
        listener.life.max_age = age.filter(|it| !it.value.is_zero());
        let idle = said("idleTimeout");
        listener.timeouts.keep_alive = idle.or(Some(Spanned::bare(IDLE)));
        if let Some(idle) = idle.filter(|it| it.value <= HEARTBEAT) {
            let message = format!(
                "connections that are silent for {:?} are closed",
                idle.value
            );
            let one = Diagnostic::warning(Code::ShortTimeout, idle.span, message);
            self.found.push(one.help(
                "heartbeats of clients commonly come every 5 seconds: let `idleTimeout` be longer",
            ));
        }
    }

    /// The redirection of a whole entry point, with its priority.
    fn redirection(&mut self, entry: &EntryPoint) -> Option<(i64, Vec<Rule<Named>>)> {
        let section = entry.section.section("http.redirections.entryPoint")?;
        let Some(to) = section.some_text("to") else {
            self.error(Code::Missing, section.span, "a redirection without `to`");
            return None;
        };
        let scheme = section.some_text("scheme").map_or("https", |it| it.value);
        let port = match to.value.strip_prefix(':') {
            Some(port) => port.parse().ok(),
            None => self.settings.find(to.value).map(EntryPoint::port),
        };
        let Some(port) = port else {
            let message = format!("there is no entry point `{}`", to.value);
            let known = self
                .settings
                .entry_points
                .iter()
                .map(|it| it.name.value.as_str());
            let one = Diagnostic::error(Code::UnknownReference, to.span, message);
            self.found.push(one.nearest(to.value, known));
            return None;
        };
        let permanent = section.flag("permanent").is_none_or(|it| it.value);
        let priority = section.number("priority").map_or(i64::MAX, |it| it.value);
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = (port != usual).then(|| port.to_string());
        if self.speech.has_tls() {
            let name = format!("redirection of {}", entry.name.value);
            let mut chain = Chain::new(&name, Condition::All(Vec::new()), to.span);
            redirect_scheme(&mut chain, scheme, port.as_deref(), permanent, to.span);
            return Some((priority, chain.finish().request));
        }
        let (get, other) = if permanent { (301, 308) } else { (302, 307) };
        let location = at_scheme(scheme, port.as_deref());
        let is_get = super::super::matcher::one_of(
            portway_model::expression::Value::Method,
            vec!["GET".to_owned()],
            false,
            to.span,
        );
        let rules = [(get, is_get), (other, Condition::All(Vec::new()))];
        let rules = rules.into_iter().map(|(status, condition)| {
            let location = location.clone();
            rule_of(
                Phase::Request,
                condition,
                vec![Action::Redirect { location, status }],
                to.span,
            )
        });
        Some((priority, rules.collect()))
    }

    /// The rules of one router.
    fn router(&mut self, entry: &EntryPoint, router: &Attached<'_>) -> super::chain::Rules {
        let object = router.object;
        let section = &object.section;
        let mut condition = self.condition_of(router, Place::Http);
        if self.speech == Speech::Both {
            let tls = over_tls(object.key);
            let tls = match router.tls {
                true => tls,
                false => Condition::Not(Box::new(tls)),
            };
            condition = match condition {
                Condition::All(mut parts) => {
                    parts.insert(0, tls);
                    Condition::All(parts)
                }
                other => Condition::All(vec![tls, other]),
            };
        }
        let name = self.model.routers.short_name(object);
        let mut chain = Chain::new(&name, condition, object.key);
        let own = entry
            .section
            .section("http")
            .map(|it| it.list("middlewares").to_vec());
        self.middlewares(&own.unwrap_or_default(), Provider::File, &mut chain, 0);
        self.middlewares(section.list("middlewares"), object.provider, &mut chain, 0);
        match self.service_of(object) {
            Some(service) => self.forward(
                service.as_ref().map(String::as_str),
                object.provider,
                &mut chain,
            ),
            None => {
                let message = format!("the router `{}` names no service", object.name);
                self.error(Code::Missing, object.key, message);
            }
        }
        chain.finish()
    }

    /// Counts what a router refers to as used, though it is never asked.
    fn mark_used(&mut self, router: &Object) {
        let mut unsaid = Diagnostics::default();
        let (section, from) = (&router.section, router.provider);
        let refer = |objects: &Objects, name: Spanned<&str>, unsaid: &mut Diagnostics| {
            objects.find(name, from, unsaid);
        };
        for name in section.list("middlewares") {
            let name = name.as_ref().map(String::as_str);
            refer(&self.model.middlewares, name, &mut unsaid);
        }
        if let Some(service) = section.some_text("service") {
            refer(&self.model.services, service, &mut unsaid);
        }
    }

    /// Says which routers are never asked, because another one has their rule.
    fn shadowed(&mut self, routers: &[Attached<'_>]) {
        let mut known: HashMap<(&str, bool), &Attached<'_>> = HashMap::new();
        for router in routers {
            let Some(first) = known.get(&(router.rule.value, router.tls)) else {
                known.insert((router.rule.value, router.tls), router);
                continue;
            };
            let (name, other) = (&router.object.name, &first.object.name);
            let message =
                format!("the router `{name}` is never asked: `{other}` has the same rule");
            let one = Diagnostic::warning(Code::Unreachable, router.rule.span, message);
            self.refused(one.label(first.rule.span, "it is asked first"));
        }
    }

    /// Says where an entry point for TLS has none.
    fn in_the_clear(&mut self, entry: &EntryPoint, routers: &[Attached<'_>]) {
        let meant = entry.port() == 443 || entry.name.value.eq_ignore_ascii_case("websecure");
        let Some(first) = routers.first().filter(|_| meant) else {
            return;
        };
        if routers.iter().all(|it| !it.tls) && entry.section.section("http.tls").is_none() {
            let message = format!(
                "the entry point `{}` speaks HTTP in the clear: no router has `tls`",
                entry.name.value
            );
            let one = Diagnostic::warning(Code::Unused, first.object.key, message);
            self.found
                .push(one.help("add `tls: {}`, in labels `….tls=true`"));
        }
    }

    /// The service that a router names.
    pub(super) fn service_of(&self, object: &Object) -> Option<Spanned<String>> {
        object
            .section
            .some_text("service")
            .map(|it| it.map(str::to_owned))
    }

    /// When a router takes what comes.
    pub(super) fn condition_of(&mut self, router: &Attached<'_>, place: Place) -> Condition<Named> {
        let section = &router.object.section;
        let syntax = match section.some_text("ruleSyntax") {
            Some(said) => syntax_of(said, self.found),
            None => self.settings.syntax,
        };
        let written = self.written(router.rule);
        match rule::parse(written, self.found) {
            Some(rule) => condition(&rule, syntax, place, self.found),
            None => Condition::Any(Vec::new()),
        }
    }

    /// A rule with its place, exact where its bytes stand there as they are.
    pub(super) fn written<'t>(&self, text: Spanned<&'t str>) -> Written<'t> {
        let file = self.files.iter().find(|file| file.id == text.span.file);
        let there = file.and_then(|file| file.text.get(text.span.range()));
        let range = text.span.range();
        let exact = match there {
            Some(there) if there == text.value => Some(range),
            // In quotes.
            Some(there) if there.get(1..there.len().saturating_sub(1)) == Some(text.value) => {
                Some(range.start + 1..range.end - 1)
            }
            _ => None,
        };
        Written {
            text: text.value,
            exact: exact.is_some(),
            span: exact.map_or(text.span, |range| Span::new(text.span.file, range)),
        }
    }
}

/// The longer of two durations that may not be said.
trait Longer {
    fn max_by(self, other: Self) -> Self;
}

impl Longer for Option<Spanned<Duration>> {
    fn max_by(self, other: Self) -> Self {
        match (self, other) {
            (Some(a), Some(b)) if b.value > a.value => Some(b),
            (None, b) => b,
            (a, _) => a,
        }
    }
}
