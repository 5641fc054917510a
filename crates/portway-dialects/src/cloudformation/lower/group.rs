//! Target groups: targets, health checks, attributes.

use super::grpc::is_grpc;
use super::{Lowering, Resource, bare, tags};
use crate::cloudformation::given::Kind;
use crate::cloudformation::object::Object;
use portway_model::address::{Host, TargetAddress};
use portway_model::check::{CheckKind, HealthCheckDraft, HttpCheck};
use portway_model::choice::{Algorithm, CookieValues, HashMethod, StickyCookie};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{GroupDraft, TargetDraft, Verify};
use portway_model::expression::NumberRange;
use portway_model::settings::{NoneHealthy, Protocol, ProxyProtocol, ServerName};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::net::IpAddr;
use std::time::Duration;

/// Time to connect to a target.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// How health checks say who they are; those of Classic load balancers are the older ones.
pub(super) const USER_AGENT: &str = "ELB-HealthChecker/2.0";
pub(super) const CLASSIC_USER_AGENT: &str = "ELB-HealthChecker/1.0";
/// Statuses that a matcher may have.
const STATUSES: (i64, i64) = (200, 599);
/// How long browsers keep the cookie of stickiness.
const COOKIE_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// The health check path of the API server and the broadcaster of CodeStream, which refuse HTTP behind HTTPS.
const CODESTREAM_PATH: &str = "/no-auth/status";

/// Numbers of a health check where nothing is said.
struct Usual {
    interval: u64,
    timeout: u64,
    healthy: u16,
    unhealthy: u16,
    expect: (i64, i64),
}

const OF_APPLICATION: Usual = Usual {
    interval: 30,
    timeout: 5,
    healthy: 5,
    unhealthy: 2,
    expect: (200, 200),
};
const OF_NETWORK: Usual = Usual {
    interval: 30,
    timeout: 10,
    healthy: 5,
    unhealthy: 2,
    expect: (200, 399),
};

impl<'r> Lowering<'r, '_, '_> {
    /// Lowers a target group.
    pub(super) fn group(&mut self, resource: &'r Resource) {
        let object = &resource.object;
        if let Some(kind) = object.text("TargetType")
            && matches!(kind.value, "lambda" | "alb")
        {
            let message = format!("targets of the type `{}` are not run here", kind.value);
            self.error(Code::NotRun, kind.span, message);
            return;
        }
        if !self.version(object) {
            return;
        }
        let Some(protocol) = self.protocol(object, "Protocol", resource) else {
            return;
        };
        let Some(port) = object.number::<u16>("Port") else {
            let message = format!("target group `{}` has no `Port`", resource.id);
            self.error(Code::Missing, resource.span, message);
            return;
        };
        let mut group = GroupDraft::new(resource.name());
        group.tags = tags([object]);
        group.protocol = Some(protocol);
        group.none_healthy = bare(NoneHealthy::FailOpen);
        group.timeouts.connect = bare(CONNECT);
        if self.sharing.contains(resource.id.as_str()) {
            // Weights of AWS hold whatever the health: a group all of whose targets are down fails open, an empty one answers 503.
            group.keep_share = bare(true);
        }
        if let Some(idle) = self.idle.get(resource.id.as_str()).copied()
            && protocol.value.is_http()
        {
            group.timeouts.response = bare(idle);
        }
        if protocol.value.is_tls() {
            // As at AWS: anybody's certificate will do.
            group.tls.verify = bare(Verify::Off);
            group.tls.server_name = bare(ServerName::None);
        }
        self.targets(resource, port.value, &mut group);
        group.health_check = self.health_check(object, protocol.value, resource.span);
        if let Some(attributes) = object.object("TargetGroupAttributes") {
            self.contradictions(attributes, protocol.value);
            self.attributes(attributes, protocol.value, &mut group);
        }
        self.mixed_schemes(resource, protocol);
        self.draft.groups.push(group);
    }

    fn targets(&mut self, resource: &Resource, port: u16, group: &mut GroupDraft) {
        let is_zonal = is_zonal(&resource.object);
        if is_zonal {
            group.min_zone_healthy = bare(0);
        }
        let name = resource.object.text("Name");
        let mut given = self.book.all(Kind::Target, &resource.id);
        if let Some(name) = name.filter(|name| name.value != resource.id) {
            given.extend(self.book.all(Kind::Target, name.value));
        }
        for text in given {
            self.target(text, port, resource.span, group);
        }
        for target in resource.object.objects("Targets") {
            let Some(id) = target.text("Id") else {
                continue;
            };
            let port = target.number("Port").map_or(port, |it| it.value);
            let before = group.targets.len();
            self.instance(id, port, group);
            let zone = target.text("AvailabilityZone");
            if let Some(zone) = zone.filter(|it| it.value != "all" && is_zonal) {
                let added = group.targets.iter_mut().skip(before);
                added.for_each(|it| it.zone = Some(zone.map(str::to_owned)));
            }
        }
    }

    /// A target by an address, or by an instance's id whose address is given.
    pub(super) fn instance(&mut self, id: Spanned<&str>, port: u16, group: &mut GroupDraft) {
        if id.value.parse::<IpAddr>().is_ok() {
            self.target(id.value, port, id.span, group);
            return;
        }
        let given = self.book.all(Kind::Target, id.value);
        if given.is_empty() {
            let message = format!("the address of the instance `{}` is not known", id.value);
            let help = format!("say it: --target {}=ADDRESS", id.value);
            self.missing(id.span, message, &help);
        }
        for text in given {
            self.target(text, port, id.span, group);
        }
    }

    fn target(&mut self, text: &str, port: u16, span: Span, group: &mut GroupDraft) {
        match address(text, port) {
            Some(address) => group
                .targets
                .push(TargetDraft::new(Spanned::new(address, span))),
            None => {
                let message = format!("`{text}` is no address of a target");
                let wrong = Diagnostic::error(Code::WrongType, span, message);
                self.found.push(
                    wrong.help("write for example 10.0.0.5, 10.0.0.5:8080 or app.internal:80"),
                );
            }
        }
    }

    fn health_check(
        &mut self,
        object: &Object,
        protocol: Protocol,
        span: Span,
    ) -> Option<Spanned<HealthCheckDraft>> {
        let usual = match protocol.is_http() {
            true => OF_APPLICATION,
            false => OF_NETWORK,
        };
        if let Some(enabled) = object.truth("HealthCheckEnabled")
            && !enabled.value
        {
            let message = "only functions may be without health checks";
            self.error(Code::Conflict, enabled.span, message);
        }
        let kind = self.check_kind(object, protocol, &usual)?;
        let port = object
            .text("HealthCheckPort")
            .filter(|port| port.value != "traffic-port");
        let port = match port {
            None => None,
            Some(port) => match port.value.parse::<u16>() {
                Ok(number) if number > 0 => Some(Spanned::new(number, port.span)),
                _ => {
                    let message = format!(
                        "`HealthCheckPort` is a port or `traffic-port`, not `{}`",
                        port.value
                    );
                    self.error(Code::OutOfRange, port.span, message);
                    None
                }
            },
        };
        let seconds = |name: &str, usual: u64| {
            let given = object.number(name).unwrap_or(Spanned::bare(usual));
            Some(given.map(Duration::from_secs))
        };
        let count = |name: &str, usual| object.number(name).or(bare(usual));
        let check = HealthCheckDraft {
            kind: Some(kind),
            interval: seconds("HealthCheckIntervalSeconds", usual.interval),
            timeout: seconds("HealthCheckTimeoutSeconds", usual.timeout),
            healthy_threshold: count("HealthyThresholdCount", usual.healthy),
            unhealthy_threshold: count("UnhealthyThresholdCount", usual.unhealthy),
            port,
            wait_for_first_check: bare(true),
            ..HealthCheckDraft::default()
        };
        if let (Some(interval), Some(timeout)) = (check.interval, check.timeout)
            && timeout.value > interval.value
        {
            let message = "`HealthCheckTimeoutSeconds` is above `HealthCheckIntervalSeconds`";
            self.error(Code::Conflict, timeout.span, message);
            return None;
        }
        Some(Spanned::new(check, span))
    }

    fn check_kind(
        &mut self,
        object: &Object,
        protocol: Protocol,
        usual: &Usual,
    ) -> Option<Spanned<CheckKind<Named>>> {
        let word = object.text("HealthCheckProtocol");
        let span = word.map_or(Span::NONE, |it| it.span);
        let word = word.map_or(if protocol.is_http() { "HTTP" } else { "TCP" }, |it| {
            it.value
        });
        if protocol.is_http() && !matches!(word, "HTTP" | "HTTPS") {
            let message = format!("a target group for HTTP is not checked by {word}");
            self.error(Code::ProtocolMismatch, span, message);
            return None;
        }
        if !matches!(word, "HTTP" | "HTTPS") {
            for name in ["HealthCheckPath", "Matcher"] {
                if let Some(place) = object.place(name) {
                    let message = format!(
                        "`{name}` is of health checks by HTTP and HTTPS, and this is one by {word}"
                    );
                    self.error(Code::ProtocolMismatch, place, message);
                }
            }
        }
        if is_grpc(object) && protocol.is_http() {
            let call = self.grpc_check(object)?;
            let kind = match word {
                "HTTPS" => CheckKind::Grpcs(call),
                _ => CheckKind::Grpc(call),
            };
            return Some(Spanned::new(kind, span));
        }
        let matcher = object.object("Matcher");
        if let Some(place) = matcher.and_then(|it| it.place("GrpcCode")) {
            let message = "`GrpcCode` is of target groups whose `ProtocolVersion` is GRPC";
            self.error(Code::ProtocolMismatch, place, message);
        }
        let kind = match word {
            "HTTP" => CheckKind::Http(self.http_check(object, usual)?),
            "HTTPS" => CheckKind::Https(self.http_check(object, usual)?),
            "TCP" => CheckKind::Tcp,
            "TLS" => CheckKind::Tls,
            other => {
                let message = format!("health checks by {other} are not run here");
                self.error(Code::NotRun, span, message);
                return None;
            }
        };
        Some(Spanned::new(kind, span))
    }

    fn http_check(&mut self, object: &Object, usual: &Usual) -> Option<HttpCheck<Named>> {
        let matcher = object.object("Matcher");
        let expect = match matcher.and_then(|it| it.text("HttpCode")) {
            None => {
                let (min, max) = usual.expect;
                vec![NumberRange { min, max }]
            }
            Some(codes) => match numbers(codes.value, STATUSES) {
                Some(expect) => expect,
                None => {
                    let message = format!("`{}` is no list of statuses", codes.value);
                    let wrong = Diagnostic::error(Code::OutOfRange, codes.span, message);
                    self.found
                        .push(wrong.help("write for example 200, 200,302 or 200-299"));
                    return None;
                }
            },
        };
        let path = object.text("HealthCheckPath");
        if let Some(path) = path.filter(|it| !it.value.starts_with('/')) {
            let message = format!(
                "`HealthCheckPath` begins with a slash, and `{}` does not",
                path.value
            );
            self.error(Code::OutOfRange, path.span, message);
            return None;
        }
        let path = path.map_or("/", |it| it.value);
        Some(http_check(path, expect, USER_AGENT))
    }

    /// What AWS refuses about attributes that are good one by one.
    fn contradictions(&mut self, attributes: &Object, protocol: Protocol) {
        if let Some(ramp) = attributes.number::<u64>("slow_start.duration_seconds") {
            if (1..30).contains(&ramp.value) {
                let message = "`slow_start.duration_seconds` is 0 or from 30 to 900";
                self.error(Code::OutOfRange, ramp.span, message);
            }
            let algorithm = attributes.text("load_balancing.algorithm.type");
            let algorithm = algorithm.filter(|it| it.value == "least_outstanding_requests");
            if let Some(algorithm) = algorithm.filter(|_| ramp.value > 0) {
                let message = "slow start and `least_outstanding_requests` exclude each other";
                self.error(Code::Conflict, algorithm.span, message);
            }
        }
        if let Some(cookie) = attributes.text("stickiness.app_cookie.cookie_name")
            && cookie.value.starts_with("AWSALB")
        {
            let message = format!(
                "a cookie of an application is not called `{}`: names that begin with AWSALB are the load balancer's",
                cookie.value
            );
            self.error(Code::Conflict, cookie.span, message);
        }
        let of_network = [
            "proxy_protocol_v2.enabled",
            "preserve_client_ip.enabled",
            "target_health_state.unhealthy.connection_termination.enabled",
        ];
        for name in of_network {
            if let Some(place) = attributes.place(name).filter(|_| protocol.is_http()) {
                let message =
                    format!("`{name}` is of network load balancers, and this group speaks HTTP");
                self.error(Code::ProtocolMismatch, place, message);
            }
        }
        let of_application = [
            "slow_start.duration_seconds",
            "load_balancing.algorithm.type",
        ];
        for name in of_application {
            if let Some(place) = attributes.place(name).filter(|_| !protocol.is_http()) {
                let message = format!(
                    "`{name}` is of application load balancers, and this group does not speak HTTP"
                );
                self.error(Code::ProtocolMismatch, place, message);
            }
        }
    }

    fn attributes(&mut self, attributes: &Object, protocol: Protocol, group: &mut GroupDraft) {
        if let Some(kind) = attributes.text("load_balancing.algorithm.type") {
            let algorithm = match kind.value {
                "least_outstanding_requests" => Algorithm::LeastOutstanding,
                "weighted_random" => Algorithm::Random { draws: 1 },
                _ => Algorithm::RoundRobin,
            };
            group.algorithm = Some(Spanned::new(algorithm, kind.span));
        }
        if let Some(ramp) = attributes.number::<u64>("slow_start.duration_seconds")
            && ramp.value > 0
        {
            let ramp = ramp.map(Duration::from_secs);
            for target in &mut group.targets {
                target.slow_start = Some(ramp);
            }
        }
        if let Some(sent) = attributes.truth("proxy_protocol_v2.enabled")
            && sent.value
        {
            group.send_proxy = Some(Spanned::new(ProxyProtocol::V2.into(), sent.span));
        }
        let ends = "target_health_state.unhealthy.connection_termination.enabled";
        if !protocol.is_http() && attributes.truth(ends).is_none_or(|it| it.value) {
            for target in &mut group.targets {
                target.shutdown_on_down = bare(true);
            }
        }
        group.min_healthy = self.min_healthy(attributes);
        let delay = attributes.number::<u64>("deregistration_delay.timeout_seconds");
        group.deregistration_delay = delay.map(|it| it.map(Duration::from_secs));
        self.stickiness(attributes, protocol, group);
    }

    fn stickiness(&mut self, attributes: &Object, protocol: Protocol, group: &mut GroupDraft) {
        let enabled = attributes.truth("stickiness.enabled");
        let Some(enabled) = enabled.filter(|it| it.value) else {
            let mut stated = attributes.places();
            let idle = stated
                .find(|(key, _)| key.starts_with("stickiness.") && *key != "stickiness.enabled");
            if let Some((key, place)) = idle.filter(|_| enabled.is_none()) {
                let message = format!("`{key}` does nothing without `stickiness.enabled`");
                let warning = Diagnostic::warning(Code::Unused, place, message);
                self.found.push(warning);
            }
            return;
        };
        let kind = attributes.text("stickiness.type");
        let usual = if protocol.is_http() {
            "lb_cookie"
        } else {
            "source_ip"
        };
        let span = kind.map_or(enabled.span, |it| it.span);
        match kind.map_or(usual, |it| it.value) {
            "lb_cookie" if protocol.is_http() => {
                let lasts = attributes.number("stickiness.lb_cookie.duration_seconds");
                let lasts = Duration::from_secs(lasts.map_or(86_400, |it| it.value));
                let cookie = StickyCookie {
                    max_age: Some(COOKIE_LIFE),
                    expires: true,
                    max_idle: Some(lasts),
                    cross_site: Some("AWSALBCORS".to_owned()),
                    ..self.sealed_cookie("AWSALB")
                };
                group.stickiness = Some(Spanned::new(cookie, span));
            }
            "source_ip" if !protocol.is_http() => {
                let hash = Algorithm::SourceHash(HashMethod::Consistent);
                group.algorithm = Some(Spanned::new(hash, span));
            }
            "app_cookie" if protocol.is_http() => {
                let Some(cookie) = attributes.text("stickiness.app_cookie.cookie_name") else {
                    let message = "`stickiness.app_cookie.cookie_name` is missing";
                    self.error(Code::Missing, span, message);
                    return;
                };
                let lasts = attributes.number("stickiness.app_cookie.duration_seconds");
                let lasts = Duration::from_secs(lasts.map_or(86_400, |it| it.value));
                self.keep_by_app_cookie(group, cookie, Some(lasts));
            }
            other => {
                let message =
                    format!("stickiness of the type `{other}` is not of this load balancer");
                self.error(Code::ProtocolMismatch, span, message);
            }
        }
    }

    /// A cookie that tells clients nothing.
    pub(super) fn sealed_cookie(&self, name: &str) -> StickyCookie {
        let keys = self.book.cookie_key().map(str::to_owned);
        let keys = keys.into_iter().collect();
        StickyCookie {
            values: CookieValues::Sealed { keys },
            http_only: false,
            ..StickyCookie::new(name)
        }
    }

    /// CodeStream refuses HTTP between balancer and host where clients speak HTTPS.
    fn mixed_schemes(&mut self, resource: &Resource, protocol: Spanned<Protocol>) {
        let path = resource.object.text("HealthCheckPath");
        let Some(front) = self.secured.get(resource.id.as_str()).copied() else {
            return;
        };
        if protocol.value != Protocol::Http || path.is_none_or(|it| it.value != CODESTREAM_PATH) {
            return;
        }
        let message = format!(
            "clients speak HTTPS and `{}` speaks HTTP, which CodeStream does not allow",
            resource.id
        );
        self.found.push(
            Diagnostic::warning(Code::ProtocolMismatch, protocol.span, message)
                .label(front, "the listener speaks HTTPS")
                .help(
                    "let the host speak HTTPS with a self-signed certificate, and write HTTPS here",
                ),
        );
    }
}

/// Nodes send only to targets of their own zone.
fn is_zonal(group: &Object) -> bool {
    let attributes = group.object("TargetGroupAttributes");
    let crosses = attributes.and_then(|it| it.text("load_balancing.cross_zone.enabled"));
    crosses.is_some_and(|it| it.value == "false")
}

/// The request of a health check.
pub(super) fn http_check(path: &str, expect: Vec<NumberRange>, agent: &str) -> HttpCheck<Named> {
    HttpCheck {
        method: "GET".to_owned(),
        path: path.to_owned(),
        host: None,
        headers: vec![("User-Agent".to_owned(), agent.to_owned())],
        expect,
        body: None,
    }
}

/// A matcher such as `200,302` or `200-299`, of numbers within these.
pub(super) fn numbers(text: &str, (least, most): (i64, i64)) -> Option<Vec<NumberRange>> {
    let one = |text: &str| {
        let number = text.trim().parse::<i64>().ok()?;
        (least..=most).contains(&number).then_some(number)
    };
    text.split(',')
        .map(|part| {
            let (min, max) = match part.split_once('-') {
                Some((min, max)) => (one(min)?, one(max)?),
                None => (one(part)?, one(part)?),
            };
            (min <= max).then_some(NumberRange { min, max })
        })
        .collect()
}

/// An address with a port, or one with this port.
pub(super) fn address(text: &str, port: u16) -> Option<TargetAddress> {
    let of = |host: &str, port| {
        let host = match host.parse::<IpAddr>() {
            Ok(ip) => Host::Ip(ip),
            Err(_) if is_name(host) => Host::Name(host.to_owned()),
            Err(_) => return None,
        };
        Some(TargetAddress::Tcp { host, port })
    };
    if let Ok(ip) = text.parse::<IpAddr>() {
        return of(&ip.to_string(), port);
    }
    match text.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse().ok().filter(|port| *port > 0)?;
            let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            of(bare.unwrap_or(host), port)
        }
        None => of(text, port),
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !text.is_empty() && text.bytes().all(allowed)
}
