//! A backend as a target group.

use super::client_header::from_listener;
use super::rules::{always, before_requests, both, rule, test, wait_for_body};
use super::{Lowering, check, limit, rdp};
use crate::haproxy::proxy::{
    Balance, Closing, List, Mode, Proxy, RuleLine, Server, ServerOptions, Step,
};
use crate::haproxy::resolvers;
use portway_model::action::{Action, FixedResponse, Phase, Rule};
use portway_model::address::TargetAddress;
use portway_model::choice::{Algorithm, CookieValues, RetryOn, RetryTo, StickyCookie};
use portway_model::defaults;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{
    GroupDraft, GroupTimeoutsDraft, TargetDraft, TargetTlsDraft, UpstreamTlsDraft,
};
use portway_model::expression::{
    Condition, Matcher, NumberRange, Scope, Template, TemplatePart, TextMatch, Value, Variable,
};
use portway_model::name::Name;
use portway_model::resolution::{ResolutionDraft, Take};
use portway_model::settings::{
    ConnectionReuse, Protocol, SendProxy, SourceAddress, TargetSendProxy,
};
use portway_model::span::Spanned;
use portway_model::stage::Named;
use std::collections::HashSet;
use std::time::Duration;

/// Attempts beyond the first where nothing is said, HAProxy's.
const RETRIES: u32 = 3;
/// Statuses whose responses caches may keep (manual, `option checkcache`).
const CACHEABLE: [i64; 11] = [200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501];
/// The most retries of the model.
const MAX_RETRIES: u32 = 100;

impl Lowering<'_, '_, '_> {
    /// The group of a proxy with servers. A `listen` that only shows a page has none.
    pub(super) fn group(&mut self, proxy: &Proxy) {
        let mut servers = self.servers(proxy);
        self.check_names(&mut servers);
        if matches!(
            proxy.balance.as_ref().map(|it| &it.value),
            Some(Balance::First)
        ) {
            sort_by_id(&mut servers);
        }
        let mut group = GroupDraft::new(proxy.name.clone().map(Name::from));
        group.number = proxy.number;
        let tls = self.group_tls(proxy, &servers);
        group.protocol = Some(Spanned::new(
            match (proxy.mode(), tls.is_some()) {
                (Mode::Http, false) => Protocol::Http,
                (Mode::Http, true) => Protocol::Https,
                (Mode::Tcp, false) => Protocol::Tcp,
                (Mode::Tcp, true) => Protocol::Tls,
            },
            proxy.mode.map_or(proxy.name.span, |mode| mode.span),
        ));
        let own;
        (group.tls, own) = tls.unwrap_or_default();
        group.targets = servers
            .iter()
            .map(|server| self.target(proxy, server))
            .collect();
        for (target, tls) in group.targets.iter_mut().zip(own) {
            target.tls = tls;
        }
        group.algorithm = algorithm(proxy);
        group.hash_balance_factor = proxy.hash_balance_factor;
        group.stickiness = self.stickiness(proxy);
        self.health_check(proxy, &servers, &mut group);
        group.timeouts = timeouts(proxy);
        self.retries(proxy, &mut group);
        // The first request of a connection is no reuse.
        let reuse = self.of_all(&servers, "max-reuse", |it| it.max_reuse);
        group.life.max_requests = reuse.map(|it| it.map(|times| times.saturating_add(1)));
        group.pool_size = self.of_all(&servers, "pool-max-conn", |it| it.pool_max);
        if group.protocol.is_some_and(|it| it.value.is_http()) {
            let safe = Spanned::new(ConnectionReuse::Safe, proxy.name.span);
            group.connection_reuse = Some(proxy.http_reuse.unwrap_or(safe));
        }
        group.timeouts.idle = self.of_all(&servers, "pool-purge-delay", |it| it.pool_idle);
        group.send_proxy = servers.iter().find_map(sent);
        own_send_proxy(&servers, &mut group);
        group.log = self.destinations(proxy);
        let on = |name: &str| proxy.flags.on(name).map(|span| Spanned::new(true, span));
        group.log_health_checks = on("log-health-checks");
        group.backups_together = on("allbackups");
        group.keep_when_down = on("persist");
        group.full_connections = proxy.fullconn;
        group.abort_on_close = on("abortonclose");
        group.tcp = proxy.server_watch();
        group.error_pages = self.error_pages(proxy);
        group.target_name_header.clone_from(&proxy.send_name_header);
        group.close = proxy
            .closing
            .filter(|closing| closing.value != Closing::KeepAlive)
            .map(|closing| closing.map(|_| true));
        if proxy.mode() == Mode::Http {
            group.rules = self.group_rules(proxy);
        } else {
            group.rules = self.stream_rules(proxy);
            group.rules.extend(self.choice_of_server(proxy));
            group.rules.extend(self.answered_stream(proxy));
            group.rules.extend(self.rdp_persistence(proxy, &servers));
            if !proxy.kind.accepts() {
                self.warn_http_only(proxy);
            }
        }
        let empty = group.targets.is_empty();
        if empty && proxy.kind.accepts() && !self.is_reached(proxy) {
            return;
        }
        self.draft.groups.push(group);
    }

    /// Whether a `listen` without servers is some frontend's backend, its own included.
    fn is_reached(&self, proxy: &Proxy) -> bool {
        let answers = proxy.default_backend.is_none() && !proxy.binds.is_empty();
        answers || self.other_frontends(proxy)
    }

    /// Whether a frontend other than a `listen` itself leads to it.
    fn other_frontends(&self, proxy: &Proxy) -> bool {
        let named = |name: &Spanned<String>| name.value == proxy.name.value;
        self.proxies
            .iter()
            .filter(|front| front.kind.accepts() && front.name.span != proxy.name.span)
            .any(|front| {
                front.default_backend.as_ref().is_some_and(named)
                    || front
                        .rules
                        .iter()
                        .any(|rule| match (&rule.step, rule.list) {
                            (Step::Backend(name), List::UseBackend) => named(name),
                            (Step::BackendByName(_), _) => true,
                            _ => false,
                        })
            })
    }

    /// The servers, or what stands for one: `dispatch`, `option transparent`.
    fn servers(&self, proxy: &Proxy) -> Vec<Server> {
        let mut servers = proxy.servers.clone();
        if !servers.is_empty() {
            return servers;
        }
        let transparent = proxy.flags.on("transparent").map(|span| {
            let address = TargetAddress::ClientDestination { port: None };
            Spanned::new(address, span)
        });
        if let Some(address) = proxy.dispatch.clone().or(transparent) {
            let span = address.span;
            servers.push(Server {
                // The name in logs.
                name: Spanned::new("<NOSRV>".to_owned(), span),
                address,
                options: ServerOptions::default(),
                span,
            });
        }
        servers
    }

    /// Says which servers have the name of one before them, and takes them out.
    fn check_names(&mut self, servers: &mut Vec<Server>) {
        let all = std::mem::take(servers);
        for server in all {
            let mut before = servers.iter();
            let Some(first) = before.find(|first| first.name.value == server.name.value) else {
                servers.push(server);
                continue;
            };
            let message = format!("two servers are called `{}`", server.name.value);
            self.reader.push(
                Diagnostic::error(Code::Duplicate, server.name.span, message)
                    .label(first.name.span, "the first is here")
                    .help("give one of them another name"),
            );
        }
    }

    /// TLS where servers, or their checks, speak it: that of the first that does, and what the others have in its place.
    fn group_tls(
        &mut self,
        proxy: &Proxy,
        servers: &[Server],
    ) -> Option<(UpstreamTlsDraft, Vec<Option<Spanned<TargetTlsDraft>>>)> {
        let speaks = |server: &&Server| server.options.tls.enabled.is_some();
        let trusted = self.base.verify_none;
        let checks =
            |server: &&Server| !speaks(server) && check::has_own_tls(proxy, server, trusted);
        let first = servers.iter().find(speaks);
        let first = first.or_else(|| servers.iter().find(checks))?;
        let mut own = Vec::new();
        for server in servers {
            own.push(if !speaks(&server) {
                if checks(&server) && !same_tls(server, first) {
                    self.differs_in_checks(server, first);
                }
                Some(Spanned::new(TargetTlsDraft::Group(false), server.span))
            } else if same_tls(server, first) {
                None
            } else {
                let tls = self.upstream_tls(proxy, &server.options.tls, &server.name);
                Some(Spanned::new(
                    TargetTlsDraft::Own(Box::new(tls)),
                    server.span,
                ))
            });
        }
        let mut tls = first.options.tls.clone();
        if !speaks(&first) {
            (tls.sni, tls.alpn) = (None, None);
        }
        Some((self.upstream_tls(proxy, &tls, &first.name), own))
    }

    /// Checks of servers that are served in clear have the settings of TLS of the backend.
    fn differs_in_checks(&mut self, server: &Server, first: &Server) {
        let message = format!(
            "the check of server `{}` has other settings of TLS than server `{}`",
            server.name.value, first.name.value
        );
        let found = Diagnostic::error(Code::NotRun, server.span, message);
        self.reader.push(
            found
                .label(first.name.span, "this one's are the backend's")
                .help("give both the same (`default-server`), or put this server into a backend of its own"),
        );
    }

    fn target(&mut self, proxy: &Proxy, server: &Server) -> TargetDraft {
        let own = &server.options;
        let mut target = TargetDraft::new(server.address.clone());
        target.name = Some(server.name.clone().map(Name::from));
        target.weight = own.weight;
        target.backup = own.backup.map(|span| Spanned::new(true, span));
        target.disabled = own.disabled.map(|span| Spanned::new(true, span));
        let some = |limit: Option<Spanned<u32>>| limit.filter(|limit| limit.value > 0);
        let (least, most) = (some(own.minconn), some(own.maxconn));
        // One that is no smaller, or stands alone, is the limit itself.
        let is_limit = least.is_some_and(|least| most.is_none_or(|most| least.value >= most.value));
        target.max_connections = if is_limit { least } else { most };
        target.min_connections = least.filter(|_| !is_limit);
        target.max_queue = some(own.maxqueue);
        target.cookie.clone_from(&own.cookie);
        target.stick = own.stick.filter(|stick| !stick.value);
        target.number = own.id;
        target.agent = check::agent(server, proxy, self.base);
        target.slow_start = own.slowstart;
        // HAProxy's servers rise only after they were down.
        let rises = own.slowstart.filter(|it| !it.value.is_zero());
        target.slow_start_when_new = rises.map(|it| Spanned::new(false, it.span));
        target.shutdown_on_down = own.shutdown_on_down;
        target.shutdown_backups_on_up = own.shutdown_backups_on_up;
        target.first_address.clone_from(&own.first_address);
        let named = target.address.value.is_named();
        if let TargetAddress::Service(name) = &target.address.value
            && own.resolvers.is_none()
        {
            let message =
                format!("`{name}` is the name of a service, and no `resolvers` says who knows it");
            let found = Diagnostic::error(Code::Missing, target.address.span, message);
            self.reader
                .push(found.help("name a section `resolvers`, or `resolvers default`"));
        }
        if let Some(asked) = own.resolvers.as_ref().filter(|_| named) {
            let settings = resolvers::named(asked, self.reader);
            let take = match own.shares_addresses {
                true => Take::First,
                false => Take::Distinct,
            };
            target.resolve = settings.map(|settings| {
                let mut settings = ResolutionDraft {
                    take: Some(Spanned::new(take, asked.span)),
                    ..settings
                };
                settings.prefer = own.resolve_prefer.or(settings.prefer);
                settings.networks.clone_from(&own.resolve_net);
                Spanned::new(settings, asked.span)
            });
            let waits = || Spanned::bare(defaults::FIRST_ADDRESS.to_vec());
            target.first_address.get_or_insert_with(waits);
        }
        target.redirect.clone_from(&own.redirect);
        let source = own.source.as_ref().or(proxy.source.as_ref());
        let says = |it: &&Spanned<SourceAddress>| it.value != SourceAddress::default();
        target.source = source.filter(says).cloned();
        target.tcp_user_timeout = own.user_timeout;
        target.track = self.tracked(proxy, server);
        if own.cookie.is_some() && proxy.mode() == Mode::Tcp {
            let message = format!(
                "the cookie of server `{}` is not used: {} is not `mode http`",
                server.name.value,
                proxy.words()
            );
            let span = own
                .cookie
                .as_ref()
                .map_or(server.span, |cookie| cookie.span);
            self.reader.warn(Code::WrongPhase, span, message);
        }
        target
    }

    fn stickiness(&mut self, proxy: &Proxy) -> Option<Spanned<StickyCookie>> {
        let settings = proxy.cookie.as_ref()?;
        if proxy.mode() != Mode::Http {
            let message = format!("`cookie` is ignored: {} is not `mode http`", proxy.words());
            self.reader.warn(Code::WrongPhase, settings.span, message);
            return None;
        }
        let mut cookie = settings.value.cookie.clone();
        if settings.value.dynamic {
            match &proxy.dynamic_cookie_key {
                Some(key) => {
                    cookie.values = CookieValues::Dynamic {
                        key: key.value.clone(),
                    };
                }
                None => {
                    let message = "a `dynamic` cookie needs a key";
                    let found = Diagnostic::error(Code::Missing, settings.span, message);
                    self.reader
                        .push(found.help("write `dynamic-cookie-key TEXT` in this backend"));
                }
            }
        }
        Some(Spanned::new(cookie, settings.span))
    }

    fn retries(&mut self, proxy: &Proxy, group: &mut GroupDraft) {
        let given = proxy.retries.unwrap_or(Spanned::bare(RETRIES));
        group.retries = Some(given.map(|retries| retries.min(MAX_RETRIES)));
        let to = match proxy.redispatch {
            Some(redispatch) => redispatch.map(|every| RetryTo::SameThenAnother {
                every: i16::try_from(every).unwrap_or(-1),
            }),
            None => Spanned::bare(RetryTo::Same),
        };
        group.retry_to = Some(to);
        let on = match &proxy.retry_on {
            Some(words) => {
                let list = words.value.iter().flat_map(|word| self.retry_on(word));
                let list: Vec<Spanned<RetryOn>> = list.collect();
                Spanned::new(list, words.span)
            }
            // HAProxy tries again what never reached a server, and nothing else.
            None => Spanned::bare(vec![Spanned::bare(RetryOn::ConnectFailure)]),
        };
        if proxy.mode() == Mode::Http {
            // HAProxy has no budget; connections that fail spend none.
            let spends = |it: &Spanned<RetryOn>| it.value != RetryOn::ConnectFailure;
            if on.value.iter().any(spends) {
                group.retry_budget = Some(Spanned::new(0, on.span));
            }
            group.retry_on = Some(on);
        }
    }

    fn retry_on(&mut self, word: &Spanned<String>) -> Vec<Spanned<RetryOn>> {
        let one = |on| vec![Spanned::new(on, word.span)];
        match word.value.as_str() {
            "none" => Vec::new(),
            "conn-failure" => one(RetryOn::ConnectFailure),
            "empty-response" => one(RetryOn::EmptyResponse),
            "junk-response" => one(RetryOn::JunkResponse),
            "response-timeout" => one(RetryOn::ResponseTimeout),
            "0rtt-rejected" => one(RetryOn::EarlyDataRejected),
            "all-retryable-errors" => {
                let all = [
                    RetryOn::ConnectFailure,
                    RetryOn::EmptyResponse,
                    RetryOn::JunkResponse,
                    RetryOn::ResponseTimeout,
                    RetryOn::EarlyDataRejected,
                    RetryOn::Status(500),
                    RetryOn::Status(502),
                    RetryOn::Status(503),
                    RetryOn::Status(504),
                ];
                all.map(|on| Spanned::new(on, word.span)).to_vec()
            }
            text => match text.parse::<u16>() {
                Ok(status @ (401 | 403 | 404 | 408 | 421 | 425 | 429 | 500..=504)) => {
                    one(RetryOn::Status(status))
                }
                _ => {
                    let known = [
                        "none",
                        "conn-failure",
                        "empty-response",
                        "junk-response",
                        "response-timeout",
                        "0rtt-rejected",
                        "all-retryable-errors",
                    ];
                    self.reader.push(crate::unknown_word(
                        word.span,
                        "word of `retry-on`",
                        text,
                        known,
                    ));
                    Vec::new()
                }
            },
        }
    }

    /// What counts for all servers of a backend: what the first one says that says it. Told where others differ.
    fn of_all<T: Copy + PartialEq>(
        &mut self,
        servers: &[Server],
        word: &str,
        of: impl Fn(&ServerOptions) -> Option<Spanned<T>>,
    ) -> Option<Spanned<T>> {
        let counts = servers.iter().find_map(|it| of(&it.options))?;
        let differs = |it: &&Server| of(&it.options).is_none_or(|own| own.value != counts.value);
        if let Some(other) = servers.iter().find(differs) {
            let at = of(&other.options).map_or(other.span, |own| own.span);
            let message =
                format!("`{word}` is one for all servers of a backend, and this one's differs");
            self.reader.push(
                Diagnostic::warning(Code::Unused, at, message)
                    .label(counts.span, "this counts for all")
                    .help("say it once, in `default-server`, or put the server into a backend of its own"),
            );
        }
        Some(counts)
    }

    /// The rules of a TCP backend that choose a server: they wait for nothing.
    fn choice_of_server(&mut self, proxy: &Proxy) -> Vec<Rule<Named>> {
        let mut rules = self.list(proxy, List::UseServer, Phase::ClientHello, true);
        let stick = self.list(proxy, List::StickRequest, Phase::ClientHello, true);
        if let Some(first) = stick.first().filter(|_| proxy.inspect_delay.is_some()) {
            let accept = vec![Action::Accept];
            let span = first.origin.0;
            rules.push(rule(Phase::ClientHello, always(), accept, span));
        }
        rules.extend(stick);
        rules
    }

    /// What is looked at once the server of a TCP backend has sent something. What stores servers waits for nothing.
    fn answered_stream(&mut self, proxy: &Proxy) -> Vec<Rule<Named>> {
        let mut rules = self.list(proxy, List::TcpResponse, Phase::Response, true);
        let stick = self.list(proxy, List::StickResponse, Phase::Response, true);
        if let Some(first) = stick.first() {
            let accept = vec![Action::Accept];
            let span = first.origin.0;
            rules.push(rule(Phase::Response, always(), accept, span));
        }
        rules.extend(stick);
        rules
    }

    /// The content rules of a TCP backend. Those of a `listen` are its listener's, as with HTTP.
    fn stream_rules(&mut self, proxy: &Proxy) -> Vec<Rule<Named>> {
        if proxy.kind.accepts() && !self.other_frontends(proxy) {
            return Vec::new();
        }
        let mut rules = self.list(proxy, List::Content, Phase::ClientHello, true);
        of_others(proxy, rules.iter_mut());
        rules
    }

    /// The rules of an HTTP backend. Those of a `listen` are its listener's; here they run for what other frontends send.
    fn group_rules(&mut self, proxy: &Proxy) -> Vec<Rule<Named>> {
        let mut rules = self.list(proxy, List::StickResponse, Phase::Response, true);
        let stick = rules.len();
        if !proxy.kind.accepts() || self.other_frontends(proxy) {
            rules.extend(self.list(proxy, List::Content, Phase::ClientHello, true));
            rules.extend(before_requests(proxy));
            rules.extend(self.list(proxy, List::HttpRequest, Phase::Request, false));
            rules.extend(self.stats(proxy));
            rules.extend(self.list(proxy, List::Redirect, Phase::Request, true));
            rules.extend(self.list(proxy, List::TcpResponse, Phase::Response, false));
            let check = cacheable_cookies(proxy);
            rules.extend(self.list(proxy, List::HttpResponse, Phase::Response, check.is_none()));
            rules.extend(check);
            rules.extend(self.list(proxy, List::AfterResponse, Phase::AfterResponse, true));
            of_others(proxy, rules.iter_mut().skip(stick));
        }
        rules.extend(self.list(proxy, List::ForcePersist, Phase::Request, true));
        rules.extend(self.list(proxy, List::IgnorePersist, Phase::Request, true));
        rules.extend(self.list(proxy, List::UseServer, Phase::Request, true));
        rules.extend(self.list(proxy, List::StickRequest, Phase::Request, true));
        rules.extend(url_or_body_rules(proxy));
        rules.extend(self.client_headers(proxy));
        rules
    }
}

/// Makes these rules of a `listen` hold only for what its own listener does not send, which has had them already.
fn of_others<'r>(proxy: &Proxy, rules: impl Iterator<Item = &'r mut Rule<Named>>) {
    if !proxy.kind.accepts() {
        return;
    }
    for rule in rules {
        let own = from_listener(proxy, rule.origin.0);
        let condition = std::mem::replace(&mut rule.condition, Condition::All(Vec::new()));
        rule.condition = both(Condition::Not(Box::new(own)), condition);
    }
}

/// `option checkcache`: a response that sets a cookie and that a cache may keep for others is denied. As the program of 2.6
/// has it, and not its manual, only what says how long it is fresh, or can be validated, may be kept.
pub(super) fn cacheable_cookies(proxy: &Proxy) -> Option<Rule<Named>> {
    let span = proxy.flags.on("checkcache")?;
    let header = |name: &str| Value::ResponseHeader(name.to_owned());
    let says = |name: &str, texts: &[&str]| {
        let any_of = texts.iter().map(|text| (*text).to_owned()).collect();
        let matcher = Matcher::Text {
            how: TextMatch::Contains,
            any_of,
            ignore_case: true,
        };
        test(header(name), matcher, span)
    };
    let not = |condition| Condition::Not(Box::new(condition));
    let any_of = CACHEABLE.map(|status| NumberRange {
        min: status,
        max: status,
    });
    let cacheable = Matcher::Number {
        any_of: any_of.to_vec(),
    };
    let safe = Matcher::Text {
        how: TextMatch::Exact,
        any_of: ["GET", "HEAD", "OPTIONS", "TRACE"]
            .map(str::to_owned)
            .into(),
        ignore_case: false,
    };
    let is_there = |name: &str| test(header(name), Matcher::Present, span);
    let condition = Condition::All(vec![
        is_there("set-cookie"),
        test(Value::Status, cacheable, span),
        Condition::Any(vec![
            test(Value::Method, safe, span),
            says("cache-control", &["public"]),
        ]),
        Condition::Any(vec![
            says("cache-control", &["max-age", "s-maxage"]),
            is_there("expires"),
            is_there("etag"),
            is_there("last-modified"),
        ]),
        not(says("pragma", &["no-cache"])),
        not(says(
            "cache-control",
            &["private", "no-store", "max-age=0", "s-maxage=0", "no-cache"],
        )),
    ]);
    let deny = Action::Deny(FixedResponse::error(502));
    Some(rule(Phase::Response, condition, vec![deny], span))
}

/// The PROXY protocol that a server gets.
fn sent(server: &Server) -> Option<Spanned<SendProxy>> {
    let sent = server.options.sent.as_ref()?;
    let sent_as = SendProxy {
        version: sent.version,
        parts: sent.parts.clone(),
        ..sent.version.into()
    };
    Some(Spanned::new(sent_as, sent.span))
}

/// Marks the targets that get no PROXY protocol where others do, or another one.
fn own_send_proxy(servers: &[Server], group: &mut GroupDraft) {
    let Some(of_group) = &group.send_proxy else {
        return;
    };
    for (server, target) in servers.iter().zip(&mut group.targets) {
        target.send_proxy = match sent(server) {
            None => Some(Spanned::new(TargetSendProxy::Off, server.span)),
            Some(own) if own.value == of_group.value => None,
            Some(own) => Some(own.map(|own| TargetSendProxy::Own(Box::new(own)))),
        };
    }
}

fn same_tls(a: &Server, b: &Server) -> bool {
    let is_served = a.options.tls.enabled.is_some() && b.options.tls.enabled.is_some();
    let [a, b] = [a, b].map(|server| {
        let mut tls = server.options.tls.clone();
        tls.enabled = None;
        // Checks have names and protocols of their own.
        if !is_served {
            (tls.sni, tls.alpn) = (None, None);
        }
        tls
    });
    a == b
}

/// `balance first` takes servers by their ids. Those without one have the lowest that is free behind the one before, from 1 on.
fn sort_by_id(servers: &mut [Server]) {
    let taken: HashSet<u32> = servers
        .iter()
        .filter_map(|it| Some(it.options.id?.value))
        .collect();
    let mut free = (1..).filter(|id| !taken.contains(id));
    for server in servers.iter_mut() {
        let span = server.span;
        let next = || free.next().map(|id| Spanned::new(id, span));
        server.options.id = server.options.id.or_else(next);
    }
    servers.sort_by_key(|it| it.options.id.map(|id| id.value));
}

fn algorithm(proxy: &Proxy) -> Option<Spanned<Algorithm<Named>>> {
    let balance = proxy.balance.as_ref()?;
    let method = proxy
        .hash_type
        .map_or_else(Default::default, |kind| kind.value)
        .0;
    let algorithm = match &balance.value {
        Balance::RoundRobin => Algorithm::RoundRobin,
        Balance::StaticRoundRobin => Algorithm::StaticRoundRobin,
        Balance::LeastConnections => Algorithm::LeastOutstanding,
        Balance::First => Algorithm::First,
        Balance::Source => Algorithm::SourceHash(method),
        Balance::Random { draws } => Algorithm::Random { draws: *draws },
        Balance::UrlOrBody(_) => Algorithm::Hash {
            value: Value::Variable(url_or_body()).into(),
            method,
        },
        Balance::RdpCookie(name) => Algorithm::Hash {
            value: rdp::cookie(name),
            method,
        },
        Balance::Hash(value) => Algorithm::Hash {
            value: value.clone(),
            method,
        },
    };
    Some(Spanned::new(algorithm, balance.span))
}

/// What `balance url_param NAME check_post` goes by.
fn url_or_body() -> Variable {
    Variable {
        scope: Scope::Exchange,
        name: Name::from("balance.url_param"),
    }
}

/// Looks for what `balance url_param NAME check_post` goes by: in the URL, then in a form that is posted.
fn url_or_body_rules(proxy: &Proxy) -> Vec<Rule<Named>> {
    let Some((name, span)) = proxy
        .balance
        .as_ref()
        .and_then(|balance| match &balance.value {
            Balance::UrlOrBody(name) => Some((name, balance.span)),
            _ => None,
        })
    else {
        return Vec::new();
    };
    let set = |value: Value<Named>| Action::SetVariable {
        variable: url_or_body(),
        value: Template(vec![TemplatePart::Expression(Spanned::new(
            value.into(),
            span,
        ))]),
    };
    let known = test(Value::Variable(url_or_body()), Matcher::Present, span);
    let post = Matcher::Text {
        how: TextMatch::Exact,
        any_of: vec!["POST".to_owned()],
        ignore_case: false,
    };
    let posted = both(
        Condition::Not(Box::new(known)),
        test(Value::Method, post, span),
    );
    let of_url = set(Value::QueryParameter(name.clone()));
    let of_body = vec![wait_for_body(proxy), set(Value::BodyArgument(name.clone()))];
    vec![
        rule(Phase::Request, always(), vec![of_url], span),
        rule(Phase::Request, posted, of_body, span),
    ]
}

/// Without a delay nothing is waited for; where nothing is looked at, or in HTTP, it does not matter.
fn inspect_response(proxy: &Proxy) -> Option<Spanned<Duration>> {
    let looks = |rule: &RuleLine| matches!(rule.list, List::TcpResponse | List::StickResponse);
    let matters = proxy.mode() == Mode::Tcp && proxy.rules.iter().any(looks);
    let none = Spanned::bare(Duration::ZERO);
    matters.then(|| proxy.response_inspect_delay.unwrap_or(none))
}

fn timeouts(proxy: &Proxy) -> GroupTimeoutsDraft {
    let given = &proxy.timeouts;
    GroupTimeoutsDraft {
        connect: limit(given.connect),
        response: limit(given.server),
        queue: limit(given.queue.or(given.connect)),
        attempt: None,
        total: None,
        idle: None,
        tunnel: given.tunnel.and_then(|tunnel| limit(Some(tunnel))),
        tunnel_target: limit(given.server),
        tunnel_ending: given.server_fin,
        inspect: proxy.inspect_delay.filter(|delay| !delay.value.is_zero()),
        inspect_response: inspect_response(proxy),
    }
}
