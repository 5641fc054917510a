//! Classic load balancers.

use super::group::{CLASSIC_USER_AGENT, CONNECT, address, http_check};
use super::text::always;
use super::{Lowering, Resource, bare, tags};
use crate::cloudformation::given::Kind;
use crate::cloudformation::object::Object;
use portway_model::action::{Action, Phase, Places, Rule, Weighted};
use portway_model::check::{CheckKind, HealthCheckDraft};
use portway_model::choice::StickyCookie;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{GroupDraft, ListenerDraft, TargetDraft, Verify};
use portway_model::expression::NumberRange;
use portway_model::name::Name;
use portway_model::settings::{ForwardedMode, Protocol, ProxyProtocol, ServerName};
use portway_model::span::{Origin, Span, Spanned};
use portway_model::stage::Named;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long silence is borne.
const IDLE: u64 = 60;
/// The policy of a listener that names none.
const SSL_POLICY: &str = "ELBSecurityPolicy-2016-08";
/// The cookie of stickiness.
const COOKIE: &str = "AWSELB";

/// What a policy does.
#[derive(Debug, Clone)]
enum Policy {
    /// The cookie of stickiness, kept for so long.
    Cookie(Option<Duration>),
    /// A cookie of the application.
    AppCookie(Spanned<String>),
    /// Versions and suites.
    Ssl {
        reference: Option<Spanned<String>>,
        suites: Vec<Spanned<String>>,
    },
    /// The PROXY protocol for these instance ports.
    Proxy(Vec<u16>),
}

/// A listener with what is derived of it.
struct Line {
    front: Spanned<Protocol>,
    back: Protocol,
    port: Spanned<u16>,
    instance_port: u16,
}

impl Lowering<'_, '_, '_> {
    /// Lowers a Classic load balancer: a listener for each of its listeners, a target group for each instance port.
    pub(super) fn classic(&mut self, resource: &Resource) {
        let object = &resource.object;
        let policies = self.policies(object);
        let idle = object.object("ConnectionSettings");
        let idle = idle.and_then(|it| it.number("IdleTimeout"));
        let place = idle.map(|it| it.span);
        let idle = Duration::from_secs(idle.map_or(IDLE, |it| it.value));
        if let Some(place) = place {
            self.short_idle(idle, place, "IdleTimeout");
        }
        let mut groups: Vec<(String, GroupDraft)> = Vec::new();
        let mut named: BTreeSet<&str> = BTreeSet::new();
        self.mixed_security(object.objects("Listeners"));
        for listener in object.objects("Listeners") {
            let Some(line) = self.line(listener) else {
                continue;
            };
            let mut used = Vec::new();
            let mut kept = None;
            for name in listener.texts("PolicyNames") {
                match policies.iter().find(|(known, _)| *known == name.value) {
                    Some((known, policy)) => {
                        used.push(policy);
                        named.insert(known.as_str());
                        if matches!(policy, Policy::Cookie(_) | Policy::AppCookie(_)) {
                            self.one_cookie(name, &line, kept.is_some());
                            kept = Some((known.as_str(), policy));
                        }
                    }
                    None => {
                        let message = format!("there is no policy `{}`", name.value);
                        let unknown = Diagnostic::error(Code::UnknownReference, name.span, message);
                        let known = policies.iter().map(|(name, _)| name.as_str());
                        self.found.push(unknown.nearest(&name.value, known));
                    }
                }
            }
            let group = group_name(resource, &line, kept.map(|(name, _)| name));
            if !groups.iter().any(|(name, _)| *name == group) {
                let kept = kept.map(|(_, policy)| policy);
                let draft = self.classic_group(resource, &group, &line, idle, kept, &policies);
                groups.push((group.clone(), draft));
            }
            self.classic_listener(resource, listener, &line, idle, &group, &used);
        }
        for (name, policy) in &policies {
            if !named.contains(name.as_str()) && !matches!(policy, Policy::Proxy(_)) {
                let message = format!("no listener names the policy `{name}`: it does nothing");
                self.found
                    .push(Diagnostic::warning(Code::Unused, resource.span, message));
            }
        }
        self.draft
            .groups
            .extend(groups.into_iter().map(|(_, group)| group));
    }

    /// Cookies are of HTTP, and a listener has one policy about them.
    fn one_cookie(&mut self, name: &Spanned<String>, line: &Line, another: bool) {
        if another {
            let message = "a listener has one policy that keeps clients, and this is another";
            self.error(Code::Conflict, name.span, message);
        }
        if !line.front.value.is_http() {
            let message = format!(
                "policy `{}` keeps clients by cookies, which only HTTP and HTTPS have",
                name.value
            );
            self.error(Code::ProtocolMismatch, name.span, message);
        }
    }

    /// Listeners with one instance port all speak with TLS to it, or none does.
    fn mixed_security(&mut self, listeners: &[Object]) {
        let spoken = |it: &Object| {
            let back = it.text("InstanceProtocol").or(it.text("Protocol"))?;
            let stated = it.place("InstanceProtocol").is_some();
            let secure = matches!(back.value.to_ascii_uppercase().as_str(), "HTTPS" | "SSL");
            Some((
                it.number::<u16>("InstancePort")?.value,
                secure && stated,
                back.span,
            ))
        };
        let lines: Vec<(u16, bool, Span)> = listeners.iter().filter_map(spoken).collect();
        for (index, (port, secure, span)) in lines.iter().enumerate() {
            let mut before = lines.iter().take(index);
            let other = before.find(|it| it.0 == *port && it.1 != *secure);
            if let Some((_, _, first)) = other {
                let message = format!(
                    "one listener speaks with TLS to instance port {port}, another does not"
                );
                let mixed = Diagnostic::error(Code::ProtocolMismatch, *span, message);
                self.found.push(mixed.label(*first, "the other is here"));
                return;
            }
        }
    }

    /// The protocols and ports of a listener.
    fn line(&mut self, listener: &Object) -> Option<Line> {
        let front = listener.text("Protocol")?;
        let back = listener.text("InstanceProtocol");
        let protocol = |word: &str| match word.to_ascii_uppercase().as_str() {
            "HTTP" => Protocol::Http,
            "HTTPS" => Protocol::Https,
            "TCP" => Protocol::Tcp,
            _ => Protocol::Tls,
        };
        let spoken = protocol(front.value);
        // What is not said is of the same family, in clear.
        let usual = if spoken.is_http() {
            Protocol::Http
        } else {
            Protocol::Tcp
        };
        let behind = back.map_or(usual, |it| protocol(it.value));
        if spoken.is_http() != behind.is_http() {
            let back = back.unwrap_or(front);
            let message = format!(
                "a listener that speaks {} cannot speak {} to instances",
                front.value, back.value
            );
            let help = "HTTP and HTTPS go together, and TCP and SSL do";
            let conflict = Diagnostic::error(Code::ProtocolMismatch, back.span, message);
            self.found.push(conflict.help(help));
            return None;
        }
        let port = listener.number("LoadBalancerPort")?;
        let instance_port: Spanned<u16> = listener.number("InstancePort")?;
        Some(Line {
            front: Spanned::new(spoken, front.span),
            back: behind,
            port,
            instance_port: instance_port.value,
        })
    }

    fn classic_listener(
        &mut self,
        resource: &Resource,
        listener: &Object,
        line: &Line,
        idle: Duration,
        group: &str,
        policies: &[&Policy],
    ) {
        let name = Name::new(format!("{}-{}", resource.id, line.port.value));
        let mut draft = ListenerDraft::new(Spanned::new(name, listener.span));
        draft
            .binds
            .push(self.bind(Some(resource), false, line.port));
        draft.protocol = Some(line.front);
        draft.tags = tags([&resource.object]);
        draft.timeouts.tunnel = bare(idle);
        let http = line.front.value.is_http();
        if http {
            draft.timeouts.keep_alive = bare(idle);
            draft.timeouts.client = bare(idle);
            draft.forwarded.x_forwarded_host = bare(ForwardedMode::Preserve);
            draft.forwarded.forwarded = bare(ForwardedMode::Preserve);
        }
        if !self.classic_tls(listener, line, policies, &mut draft) {
            self.draft.unfinished = true;
            return;
        }
        let groups = resource.object.texts("SecurityGroups");
        let subject = format!("port {} of `{}`", line.port.value, resource.id);
        let place = resource.object.place("SecurityGroups");
        if let Some(filter) = self.filter(groups, place, line.port, (false, false), &subject) {
            filter.put(&mut draft);
        }
        let group = Spanned::new(Name::new(group), listener.span);
        draft.rules.push(Rule {
            phase: if http {
                Phase::Request
            } else {
                Phase::Connection
            },
            condition: always(),
            actions: vec![Action::Forward(vec![Weighted::new(group, 1)])],
            origin: Origin(listener.span),
            places: Places::default(),
        });
        self.draft.listeners.push(draft);
    }

    /// Fills in certificate and policy; false where the certificate is missing, which was said.
    fn classic_tls(
        &mut self,
        listener: &Object,
        line: &Line,
        policies: &[&Policy],
        draft: &mut ListenerDraft,
    ) -> bool {
        let certificate = listener.text("SSLCertificateId");
        if !line.front.value.is_tls() {
            if let Some(certificate) = certificate {
                let message = "`SSLCertificateId` on a listener that speaks neither HTTPS nor SSL";
                self.error(Code::Conflict, certificate.span, message);
            }
            return true;
        }
        match certificate {
            Some(certificate) => {
                self.expect_names(certificate, draft);
                draft.certificates.extend(self.certificate(certificate));
            }
            None => self.error(
                Code::Missing,
                listener.span,
                "a listener that speaks HTTPS or SSL has an `SSLCertificateId`",
            ),
        }
        let usual = Spanned::new(SSL_POLICY.to_owned(), listener.span);
        draft.tls.policy.name = Some(usual);
        for policy in policies {
            let Policy::Ssl { reference, suites } = policy else {
                continue;
            };
            if let Some(reference) = reference {
                draft.tls.policy.name = Some(reference.clone());
            } else if let Some(first) = suites.first() {
                draft.tls.policy.name = None;
                draft.tls.policy.suites = Some(Spanned::new(suites.clone(), first.span));
            }
        }
        !draft.certificates.is_empty()
    }

    fn classic_group(
        &mut self,
        resource: &Resource,
        name: &str,
        line: &Line,
        idle: Duration,
        kept: Option<&Policy>,
        policies: &[(String, Policy)],
    ) -> GroupDraft {
        let mut group = GroupDraft::new(Spanned::new(Name::new(name), resource.span));
        group.protocol = Some(Spanned::new(line.back, line.front.span));
        group.timeouts.connect = bare(CONNECT);
        if line.back.is_http() {
            group.timeouts.response = bare(idle);
        }
        if line.back.is_tls() {
            group.tls.verify = bare(Verify::Off);
            group.tls.server_name = bare(ServerName::None);
        }
        self.classic_targets(resource, line.instance_port, &mut group);
        group.health_check = self.classic_check(&resource.object, line);
        match kept {
            Some(Policy::Cookie(life)) => {
                let cookie = StickyCookie {
                    max_age: *life,
                    cross_site: Some(format!("{COOKIE}CORS")),
                    ..self.sealed_cookie(COOKIE)
                };
                group.stickiness = bare(cookie);
            }
            Some(Policy::AppCookie(cookie)) => {
                self.keep_by_app_cookie(&mut group, cookie.as_ref().map(String::as_str), None);
            }
            _ => {}
        }
        let sent = policies.iter().any(|(_, policy)| match policy {
            Policy::Proxy(ports) => ports.contains(&line.instance_port),
            _ => false,
        });
        if sent {
            group.send_proxy = bare(ProxyProtocol::V1.into());
        }
        group
    }

    /// Instances of the template, and those that are given for the load balancer.
    fn classic_targets(&mut self, resource: &Resource, port: u16, group: &mut GroupDraft) {
        for text in self.book.all(Kind::Target, &resource.id) {
            match address(text, port) {
                Some(address) => {
                    let address = Spanned::new(address, resource.span);
                    group.targets.push(TargetDraft::new(address));
                }
                None => {
                    let message = format!("`{text}` is no address of an instance");
                    self.error(Code::WrongType, resource.span, message);
                }
            }
        }
        for id in resource.object.texts("Instances") {
            self.instance(id.as_ref().map(String::as_str), port, group);
        }
    }

    /// The health check; by TCP to the instance port where none is stated.
    fn classic_check(&mut self, object: &Object, line: &Line) -> Option<Spanned<HealthCheckDraft>> {
        let seconds = |number: Option<Spanned<u64>>, usual| {
            let given = number.unwrap_or(Spanned::bare(usual));
            Some(given.map(Duration::from_secs))
        };
        let stated = object.object("HealthCheck");
        let number = |name: &str| stated.and_then(|it| it.number::<u64>(name));
        let count = |name: &str, usual: u16| stated.and_then(|it| it.number(name)).or(bare(usual));
        let (kind, port, span) = match stated.and_then(|it| it.text("Target")) {
            None => (CheckKind::Tcp, line.instance_port, Span::NONE),
            Some(target) => match checked(target.value) {
                Some((kind, port)) => (kind, port, target.span),
                None => {
                    let message = format!("`{}` is no target of a health check", target.value);
                    let wrong = Diagnostic::error(Code::Syntax, target.span, message);
                    self.found
                        .push(wrong.help("write for example TCP:80 or HTTP:80/status"));
                    return None;
                }
            },
        };
        let limits = (number("Interval"), number("Timeout"));
        if let (Some(interval), Some(timeout)) = limits
            && timeout.value >= interval.value
        {
            let message = "`Timeout` of a health check is below `Interval`";
            let conflict = Diagnostic::error(Code::Conflict, timeout.span, message);
            self.say_once(conflict.label(interval.span, "this is `Interval`"));
            return None;
        }
        let check = HealthCheckDraft {
            kind: Some(Spanned::new(kind, span)),
            interval: seconds(number("Interval"), 30),
            timeout: seconds(number("Timeout"), 5),
            healthy_threshold: count("HealthyThreshold", 10),
            unhealthy_threshold: count("UnhealthyThreshold", 2),
            port: (port != line.instance_port).then(|| Spanned::new(port, span)),
            ..HealthCheckDraft::default()
        };
        Some(Spanned::new(check, object.span))
    }

    /// The policies of a load balancer by name.
    fn policies(&mut self, object: &Object) -> Vec<(String, Policy)> {
        let mut policies = Vec::new();
        for policy in object.objects("LBCookieStickinessPolicy") {
            let life: Option<Spanned<u64>> = policy.number("CookieExpirationPeriod");
            let life = life.filter(|it| it.value > 0);
            let life = life.map(|it| Duration::from_secs(it.value));
            if let Some(name) = policy.text("PolicyName") {
                policies.push((name.value.to_owned(), Policy::Cookie(life)));
            }
        }
        for policy in object.objects("AppCookieStickinessPolicy") {
            if let (Some(name), Some(cookie)) =
                (policy.text("PolicyName"), policy.text("CookieName"))
            {
                let cookie = cookie.map(str::to_owned);
                policies.push((name.value.to_owned(), Policy::AppCookie(cookie)));
            }
        }
        for policy in object.objects("Policies") {
            let (Some(name), Some(kind)) = (policy.text("PolicyName"), policy.text("PolicyType"))
            else {
                continue;
            };
            if let Some(read) = self.policy(policy, kind) {
                policies.push((name.value.to_owned(), read));
            }
        }
        policies
    }

    fn policy(&mut self, policy: &Object, kind: Spanned<&str>) -> Option<Policy> {
        let items: Vec<(Spanned<&str>, &str)> = policy
            .objects("Attributes")
            .iter()
            .filter_map(|item| Some((item.text("Name")?, item.text("Value")?.value)))
            .collect();
        let value = |wanted: &str| {
            let item = items.iter().find(|(name, _)| name.value == wanted);
            item.map(|(name, value)| Spanned::new(*value, name.span))
        };
        let policy = match kind.value {
            "LBCookieStickinessPolicyType" => {
                let life = value("CookieExpirationPeriod").and_then(|it| it.value.parse().ok());
                Policy::Cookie(life.filter(|life| *life > 0).map(Duration::from_secs))
            }
            "ProxyProtocolPolicyType" => {
                if policy.texts("InstancePorts").is_empty() {
                    let message = "the policy has no `InstancePorts`, so it does nothing";
                    let idle = Diagnostic::warning(Code::Unused, policy.span, message);
                    self.found.push(idle);
                }
                let on = value("ProxyProtocol").is_some_and(|it| it.value == "true");
                let ports = policy.texts("InstancePorts").iter();
                let ports = ports.filter_map(|port| port.value.parse().ok());
                Policy::Proxy(if on { ports.collect() } else { Vec::new() })
            }
            "SSLNegotiationPolicyType" => {
                let suites = items.iter().filter(|(name, value)| {
                    *value == "true"
                        && !name.value.starts_with("Protocol-")
                        && !matches!(
                            name.value,
                            "Server-Defined-Cipher-Order" | "Reference-Security-Policy"
                        )
                });
                Policy::Ssl {
                    reference: value("Reference-Security-Policy").map(|it| it.map(str::to_owned)),
                    suites: suites.map(|(name, _)| name.map(str::to_owned)).collect(),
                }
            }
            "AppCookieStickinessPolicyType" => match value("CookieName") {
                Some(cookie) => Policy::AppCookie(cookie.map(str::to_owned)),
                None => {
                    self.error(Code::Missing, policy.span, "the policy has no `CookieName`");
                    return None;
                }
            },
            "BackendServerAuthenticationPolicyType" | "PublicKeyPolicyType" => {
                let message = format!("policies of the type `{}` are not done yet", kind.value);
                self.error(Code::NotRun, kind.span, message);
                return None;
            }
            other => {
                let known = [
                    "AppCookieStickinessPolicyType",
                    "LBCookieStickinessPolicyType",
                    "ProxyProtocolPolicyType",
                    "SSLNegotiationPolicyType",
                ];
                let unknown = crate::unknown_word(kind.span, "type of a policy", other, known);
                self.found.push(unknown);
                return None;
            }
        };
        Some(policy)
    }
}

/// A group for each instance port and protocol, and each way to keep clients.
fn group_name(resource: &Resource, line: &Line, kept: Option<&str>) -> String {
    let mut name = format!(
        "{}-{}-{}",
        resource.id,
        line.back.as_str(),
        line.instance_port
    );
    if let Some(policy) = kept {
        name.push('-');
        name.push_str(policy);
    }
    name
}

/// A health check's target, such as `HTTP:80/status`.
fn checked(text: &str) -> Option<(CheckKind<Named>, u16)> {
    let (word, rest) = text.split_once(':')?;
    let slash = rest.find('/').unwrap_or(rest.len());
    let (port, path) = rest.split_at_checked(slash)?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let expect = vec![NumberRange { min: 200, max: 200 }];
    let kind = match (word.to_ascii_uppercase().as_str(), path) {
        ("TCP", "") => CheckKind::Tcp,
        ("SSL", "") => CheckKind::Tls,
        ("HTTP", path) if !path.is_empty() => {
            CheckKind::Http(http_check(path, expect, CLASSIC_USER_AGENT))
        }
        ("HTTPS", path) if !path.is_empty() => {
            CheckKind::Https(http_check(path, expect, CLASSIC_USER_AGENT))
        }
        _ => return None,
    };
    Some((kind, port))
}
