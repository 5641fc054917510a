//! TCP routers and services: a listener that passes bytes on, or ends TLS and passes on what is within.

use super::super::entry_point::EntryPoint;
use super::super::matcher::{Place, is_for_any_name};
use super::super::model::{Object, Provider};
use super::super::rule;
use super::super::schema::{Section, Value as Stated};
use super::chain::rule as rule_of;
use super::entry::Attached;
use super::service::{Server, host, host_and_port};
use super::terms::{Said, ends_tls};
use super::{Lowering, NO_LIMIT, forwarded};
use portway_model::action::{Action, Phase, Weighted};
use portway_model::address::TargetAddress;
use portway_model::compile::tcp::MAX_KEEP_ALIVE;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{GroupDraft, ListenerDraft, TargetDraft, TargetTlsDraft};
use portway_model::expression::{Condition, Value};
use portway_model::limit::Limit;
use portway_model::name::Name;
use portway_model::settings::{Protocol, ProxyProtocol, SendProxy};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use portway_model::tcp::{KeepAliveTimes, TcpKeepAlive};
use std::time::Duration;

/// What a middleware does to a connection.
enum Step {
    /// Refuses it where this holds.
    Refuse(Condition<Named>),
    Limit(Limit<Named>),
}

impl Lowering<'_> {
    /// An entry point of TCP routers that all end TLS here, or none of them.
    pub(super) fn tcp_entry_point(
        &mut self,
        entry: &EntryPoint,
        routers: &[Attached<'_>],
        options: Said<'_>,
    ) {
        let name = entry.name.value.clone();
        let listener = match routers.iter().any(ends_tls) {
            true => self.tls_listener(entry, &name, routers, options),
            false => {
                let mut listener = self.listener(entry, &name, Protocol::Tcp);
                for router in routers {
                    self.tcp_router(
                        router,
                        None,
                        (Place::Hello, Phase::ClientHello),
                        &mut listener,
                    );
                }
                listener
            }
        };
        self.draft.listeners.push(listener);
    }

    /// A listener that ends TLS and passes on what is within.
    pub(super) fn tls_listener(
        &mut self,
        entry: &EntryPoint,
        name: &str,
        routers: &[Attached<'_>],
        options: Said<'_>,
    ) -> ListenerDraft {
        let mut listener = self.listener(entry, name, Protocol::Tls);
        self.terminate(entry, routers, options, &mut listener);
        for router in routers {
            self.tcp_router(
                router,
                None,
                (Place::Session, Phase::Session),
                &mut listener,
            );
        }
        listener
    }

    /// The rules of a router that passes on. `only`: what has to hold beside its rule.
    pub(super) fn tcp_router(
        &mut self,
        router: &Attached<'_>,
        only: Option<&Condition<Named>>,
        (place, phase): (Place, Phase),
        listener: &mut ListenerDraft,
    ) {
        let object = router.object;
        self.check_sni(router);
        let mut condition = self.condition_of(router, place);
        if let Some(only) = only {
            condition = Condition::All(vec![only.clone(), condition]);
        }
        for step in self.tcp_middlewares(object) {
            let (condition, action) = match step {
                Step::Refuse(refused) => {
                    let both = Condition::All(vec![condition.clone(), refused]);
                    (both, Action::Reject { silent: false })
                }
                Step::Limit(limit) => (condition.clone(), Action::Limit(limit)),
            };
            let actions = vec![action];
            listener
                .rules
                .push(rule_of(phase, condition, actions, object.key));
        }
        let Some(service) = self.service_of(object) else {
            let message = format!("the router `{}` names no service", object.name);
            self.error(Code::Missing, object.key, message);
            return;
        };
        let groups = self.tcp_groups(service.as_ref().map(String::as_str), object.provider);
        if !groups.is_empty() {
            let actions = vec![Action::Forward(groups)];
            listener
                .rules
                .push(rule_of(phase, condition, actions, object.key));
        }
    }

    /// Without TLS there is no server name to look at.
    fn check_sni(&mut self, router: &Attached<'_>) {
        if router.tls {
            return;
        }
        let written = self.written(router.rule);
        let mut ignored = portway_model::diagnostic::Diagnostics::default();
        if rule::parse(written, &mut ignored).is_some_and(|rule| !is_for_any_name(&rule)) {
            let message = "a router without TLS sees no server name";
            let one = Diagnostic::error(Code::Conflict, router.rule.span, message);
            self.found
                .push(one.help("write HostSNI(`*`), or give the router `tls`"));
        }
    }

    /// What middlewares do to connections, in their order.
    fn tcp_middlewares(&mut self, object: &Object) -> Vec<Step> {
        let model = self.model;
        let mut steps = Vec::new();
        for name in object.section.list("middlewares") {
            let name = name.as_ref().map(String::as_str);
            let found = model
                .tcp_middlewares
                .find(name, object.provider, self.found);
            let Some(middleware) = found else {
                continue;
            };
            for entry in &middleware.section.entries {
                let Stated::Section(section) = &entry.value else {
                    continue;
                };
                if entry.name == "inFlightConn" {
                    let of = (object.name.as_str(), middleware.name.as_str());
                    steps.extend(self.in_flight_connections(of, section, entry.key));
                    continue;
                }
                let list = section.list("sourceRange");
                if let Some(allowed) = forwarded::from(list, entry.key, self.found) {
                    steps.push(Step::Refuse(Condition::Not(Box::new(allowed))));
                }
            }
        }
        steps
    }

    /// So many connections of a client at once.
    fn in_flight_connections(
        &mut self,
        (router, middleware): (&str, &str),
        section: &Section,
        at: Span,
    ) -> Option<Step> {
        let amount = self.amount(section, "amount").filter(|it| *it > 0);
        let Some(amount) = amount else {
            self.error(Code::Missing, at, "a limit without `amount`, 1 or more");
            return None;
        };
        Some(Step::Limit(Limit::Concurrency {
            name: Name::from(format!("{router}/{middleware}")),
            key: Value::Source.into(),
            amount,
        }))
    }

    fn tcp_groups(&mut self, name: Spanned<&str>, from: Provider) -> Vec<Weighted<Named>> {
        let model = self.model;
        let Some(service) = model.tcp_services.find(name, from, self.found) else {
            return Vec::new();
        };
        let of = |name: String, weight: u16| {
            Weighted::new(Spanned::new(Name::new(name), service.key), weight)
        };
        if let Some(balancer) = service.section.section("loadBalancer") {
            let group = self.tcp_group(service, balancer);
            return group.map(|name| of(name, 1)).into_iter().collect();
        }
        let Some(section) = service.section.section("weighted") else {
            self.error(
                Code::Missing,
                service.key,
                "a service without servers: `loadBalancer` is missing",
            );
            return Vec::new();
        };
        let mut groups = Vec::new();
        for part in section.objects("services") {
            let Some(name) = part.some_text("name") else {
                self.error(
                    Code::Missing,
                    part.span,
                    "a part of a weighted service without `name`",
                );
                continue;
            };
            let weight = part.number("weight").map_or(1, |it| it.value);
            let weight = u16::try_from(weight).unwrap_or(1);
            let Some(inner) = model.tcp_services.find(name, service.provider, self.found) else {
                continue;
            };
            let Some(balancer) = inner.section.section("loadBalancer") else {
                let message = "a weighted TCP service of another one is not done yet";
                self.error(Code::NotRun, name.span, message);
                continue;
            };
            groups.extend(self.tcp_group(inner, balancer).map(|name| of(name, weight)));
        }
        groups
    }

    fn tcp_group(&mut self, service: &Object, balancer: &Section) -> Option<String> {
        let model = self.model;
        let mut name = model.tcp_services.short_name(service);
        if model.services.list.iter().any(|it| it.name == name) {
            name = format!("{name} (tcp)");
        }
        if self
            .draft
            .groups
            .iter()
            .any(|group| group.name.value.as_str() == name)
        {
            return Some(name);
        }
        let servers = balancer.objects("servers");
        if servers.is_empty() {
            let message = format!("the service `{}` has no servers", service.name);
            let one = Diagnostic::error(Code::NoTargets, service.key, message);
            self.found.push(one.help("add `servers: [{ address: \"10.0.0.1:5432\" }]`; in labels, `….loadbalancer.server.port=5432`"));
            return None;
        }
        let tls = servers.iter().any(|server| server.is_on("tls"));
        let mut group = GroupDraft::new(Spanned::new(Name::new(name.as_str()), service.key));
        let protocol = if tls { Protocol::Tls } else { Protocol::Tcp };
        group.protocol = Some(Spanned::new(protocol, service.key));
        group.timeouts.tunnel = Some(Spanned::bare(NO_LIMIT));
        let mut spoken_to = Vec::new();
        for server in servers {
            let Some(address) = server.some_text("address") else {
                self.error(Code::Missing, server.span, "a server without `address`");
                continue;
            };
            let Some((name, port)) = host_and_port(address.value, None) else {
                let message = format!("`{}` is no address of a server", address.value);
                let one = Diagnostic::error(Code::OutOfRange, address.span, message);
                self.found.push(one.help("such as `10.0.0.1:5432`"));
                continue;
            };
            spoken_to.push(Server {
                path: String::new(),
                https: server.is_on("tls"),
                host: name.clone(),
                port,
                weight: None,
                span: address.span,
            });
            let host = host(&name);
            let address = Spanned::new(TargetAddress::Tcp { host, port }, address.span);
            let mut target = TargetDraft::new(address);
            if tls && !server.is_on("tls") {
                target.tls = Some(Spanned::new(TargetTlsDraft::Group(false), server.span));
            }
            group.targets.push(target);
        }
        let named = balancer.some_text("serversTransport");
        let transport = named.and_then(|name| {
            let model = self.model;
            model
                .tcp_transports
                .find(name, service.provider, self.found)
        });
        let transport = transport.map(|it| &it.section);
        group.timeouts.connect = transport
            .and_then(|it| it.duration("dialTimeout"))
            .filter(|it| !it.value.is_zero());
        let probed = transport.and_then(|it| it.duration("dialKeepAlive"));
        group.tcp.keep_alive = probed
            .filter(|it| !it.value.is_zero())
            .map(|it| it.map(probes_after));
        let proxy = transport.and_then(|it| it.section("proxyProtocol"));
        if let Some(section) = balancer.section("proxyProtocol").or(proxy) {
            let version = match section.number("version").map_or(2, |it| it.value) {
                1 => ProxyProtocol::V1,
                2 => ProxyProtocol::V2,
                other => {
                    let message = format!("the PROXY protocol has no version {other}");
                    self.error(Code::OutOfRange, section.span, message);
                    ProxyProtocol::V2
                }
            };
            group.send_proxy = Some(Spanned::new(SendProxy::from(version), section.span));
        }
        group.health_check = self.tcp_check(balancer, tls);
        if tls {
            let section = transport.and_then(|it| it.section("tls"));
            self.upstream_tls(section, &spoken_to, &mut group);
        }
        self.draft.groups.push(group);
        Some(name)
    }
}

/// Probes as Traefik's language makes them: the time is that before the first, the others come every 15 seconds, and nine
/// of them are waited for. The system counts in whole seconds.
fn probes_after(idle: Duration) -> TcpKeepAlive {
    let most = MAX_KEEP_ALIVE.as_secs();
    let seconds = idle.as_secs() + u64::from(idle.subsec_nanos() > 0);
    TcpKeepAlive::All(KeepAliveTimes {
        idle: Some(Duration::from_secs(seconds.min(most))),
        interval: Some(Duration::from_secs(15)),
        count: Some(9),
    })
}
