//! Listeners of application and network load balancers.

use super::text::{always, holds, on_request, only, written};
use super::{
    BALANCER, Found, LISTENER, LISTENER_CERTIFICATE, Lowering, RULE, Resource, bare, group_cookie,
    tags,
};
use crate::cloudformation::object::Object;
use portway_model::action::{Action, AnswerBody, FixedResponse, Phase, Places, Rule};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::ListenerDraft;
use portway_model::expression::{Template, Value};
use portway_model::name::Name;
use portway_model::settings::{ForwardedMode, Protocol};
use portway_model::span::{Origin, Span, Spanned};
use portway_model::stage::Named;
use std::time::Duration;

/// How long an application load balancer bears silence.
const IDLE: Duration = Duration::from_secs(60);
/// Requests that a client may have under way on a connection of HTTP/2 to it.
const STREAMS: u32 = 128;
/// How often clients commonly say over a WebSocket that they are there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long an application load balancer uses a connection of a client.
const CLIENT_KEEP_ALIVE: Duration = Duration::from_secs(3600);
/// Attributes that only application load balancers have, beside `routing.*`.
const OF_APPLICATION: [&str; 2] = ["idle_timeout.timeout_seconds", "client_keep_alive.seconds"];
/// The same for a network load balancer.
const IDLE_TCP: Duration = Duration::from_secs(350);
/// Which protocols belong to which load balancer.
pub(super) const FAMILIES: &str =
    "application load balancers speak HTTP and HTTPS, network load balancers TCP and TLS";
/// The policy of a listener that names none.
const SSL_POLICY: &str = "ELBSecurityPolicy-2016-08";
/// Addresses that X-Forwarded-For may have.
const MAX_FORWARDED: usize = 30;
/// From bytes of X-Amzn-Trace-Id on, what came is thrown away.
const MAX_TRACE: usize = 7 * 1024;
/// The header that follows a request through AWS.
const TRACE: &str = "X-Amzn-Trace-Id";
/// An id for it: the time, and something by chance.
const TRACE_ID: &str = "1-${now.hexadecimal().lower()}-${uuid.replace_all(`-`, ``).bytes(0, 24)}";

/// Attributes of listeners that set a header of responses.
const RESPONSE_HEADERS: [(&str, &str); 10] = [
    ("strict_transport_security", "Strict-Transport-Security"),
    ("access_control_allow_origin", "Access-Control-Allow-Origin"),
    (
        "access_control_allow_methods",
        "Access-Control-Allow-Methods",
    ),
    (
        "access_control_allow_headers",
        "Access-Control-Allow-Headers",
    ),
    (
        "access_control_allow_credentials",
        "Access-Control-Allow-Credentials",
    ),
    (
        "access_control_expose_headers",
        "Access-Control-Expose-Headers",
    ),
    ("access_control_max_age", "Access-Control-Max-Age"),
    ("content_security_policy", "Content-Security-Policy"),
    ("x_content_type_options", "X-Content-Type-Options"),
    ("x_frame_options", "X-Frame-Options"),
];

/// What a listener is about, while it is lowered.
pub(super) struct Front<'r> {
    pub(super) id: &'r str,
    pub(super) protocol: Spanned<Protocol>,
    pub(super) port: u16,
    /// How long it bears silence.
    pub(super) idle: Duration,
}

/// What an application load balancer offers over TLS: HTTP/2 with 128 streams at a time, unless an attribute says no.
fn http2(attributes: Option<&Object>, listener: &mut ListenerDraft) {
    let said = attributes.and_then(|it| it.truth("routing.http2.enabled"));
    if said.is_some_and(|it| !it.value) {
        return;
    }
    let span = said.map_or(Span::NONE, |it| it.span);
    let offered = ["h2", "http/1.1"].map(str::to_owned).to_vec();
    listener.tls.alpn = Some(Spanned::new(offered, span));
    listener.http2.max_streams = Some(Spanned::new(STREAMS, span));
}

impl<'r> Lowering<'r, '_, '_> {
    /// Lowers a listener with its rules.
    pub(super) fn listener(&mut self, resource: &'r Resource) {
        let object = &resource.object;
        let Some(owner) = self.balancer(object) else {
            return;
        };
        let balancer = owner.map(|it| &it.object);
        let (Some(protocol), Some(port)) = (
            self.protocol(object, "Protocol", resource),
            self.port(object, resource),
        ) else {
            return;
        };
        if let Some(balancer) = balancer
            && !self.is_of(balancer, protocol)
        {
            return;
        }
        let empty = &[][..];
        let attributes = balancer.map_or(empty, |it| it.objects("LoadBalancerAttributes"));
        let attributes = attributes.first();
        let own = object.object("ListenerAttributes");
        let idle = match protocol.value.is_http() {
            true => seconds(attributes, "idle_timeout.timeout_seconds").unwrap_or(IDLE),
            false => seconds(own, "tcp.idle_timeout.seconds").unwrap_or(IDLE_TCP),
        };
        let key = "idle_timeout.timeout_seconds";
        if let Some(place) = attributes
            .and_then(|it| it.place(key))
            .filter(|_| protocol.value.is_http())
        {
            self.short_idle(idle, place, key);
        }
        let front = Front {
            id: &resource.id,
            protocol,
            port: port.value,
            idle,
        };
        let mut listener = ListenerDraft::new(resource.name());
        listener.tags = tags(balancer.into_iter().chain([object]));
        let both = balancer.is_some_and(by_both);
        listener.binds.push(self.bind(owner, both, port));
        listener.protocol = Some(protocol);
        listener.timeouts.tunnel = bare(idle);
        if protocol.value.is_http() {
            let age = seconds(attributes, "client_keep_alive.seconds").unwrap_or(CLIENT_KEEP_ALIVE);
            listener.life.max_age = bare(age);
        }
        let complete = self.tls(object, resource, protocol.value, &mut listener);
        if protocol.value == Protocol::Https {
            http2(attributes, &mut listener);
        }
        if let Some(balancer) = balancer {
            let groups = balancer.texts("SecurityGroups");
            let place = balancer.place("SecurityGroups").or(Some(balancer.span));
            let subject = format!("port {} of listener `{}`", port.value, resource.id);
            let strict = protocol.value.is_http();
            let filter = self.filter(groups, place, port, (strict, both), &subject);
            if let Some(filter) = filter {
                filter.put(&mut listener);
            }
        }
        if protocol.value.is_http() {
            listener.timeouts.keep_alive = bare(idle);
            listener.timeouts.client = bare(idle);
            forwarded(attributes, &mut listener);
            listener
                .rules
                .extend(requests(&front, attributes, own, resource.span));
            let rules = self.listener_rules(resource, &front);
            listener.rules.extend(rules);
            if protocol.value.is_tls() {
                self.expect_hosts(resource, &mut listener);
            }
        }
        if let Some(balancer) = balancer {
            self.of_its_kind(balancer, resource, protocol.value);
        }
        let defaults = object.objects("DefaultActions");
        let Some(routed) = self.actions(defaults, &front, object.span) else {
            return;
        };
        let phase = match protocol.value.is_http() {
            true => Phase::Request,
            false => Phase::Connection,
        };
        let span = object.place("DefaultActions").unwrap_or(resource.span);
        let rules = routed.rules(always(), Vec::new(), (phase, span));
        listener.rules.extend(rules);
        if protocol.value.is_http() {
            let cookies = group_cookie::set(&listener.rules, resource.span);
            listener.rules.extend(cookies);
            listener.rules.extend(responses(own, resource.span));
        }
        match complete {
            true => self.draft.listeners.push(listener),
            false => self.draft.unfinished = true,
        }
    }

    /// The load balancer of a listener; `Some(None)`: no template has it. `None`: it is incomplete.
    fn balancer(&mut self, listener: &Object) -> Option<Option<&'r Resource>> {
        let arn = listener.text("LoadBalancerArn")?;
        let balancer = match self.find(BALANCER, arn) {
            Some(Found::Resource(balancer)) => Some(balancer),
            Some(Found::Lost) => return None,
            None => {
                let message = format!("no template has the load balancer `{}`", arn.value);
                let warning = Diagnostic::warning(Code::Missing, arn.span, message);
                self.found.push(warning.help(
                    "its attributes and security groups are not known: clients are not filtered",
                ));
                None
            }
        };
        if let Some(kind) = balancer.and_then(|it| it.object.text("Type"))
            && kind.value == "gateway"
        {
            self.error(
                Code::NotRun,
                kind.span,
                "gateway load balancers are not run here: they pass on packets",
            );
            return None;
        }
        Some(balancer)
    }

    /// WebSockets commonly say every 5 seconds that they are there.
    pub(super) fn short_idle(&mut self, idle: Duration, place: Span, key: &str) {
        if idle <= HEARTBEAT {
            let message = format!(
                "WebSockets that are silent for {} seconds are closed",
                idle.as_secs()
            );
            let help = format!(
                "their heartbeats commonly come every 5 seconds: let `{key}` be above that"
            );
            self.say_once(Diagnostic::warning(Code::ShortTimeout, place, message).help(help));
        }
    }

    /// Whether a load balancer of this type speaks the protocol; says so where not.
    fn is_of(&mut self, balancer: &Object, protocol: Spanned<Protocol>) -> bool {
        let kind = balancer.text("Type");
        let word = kind.map_or("application", |it| it.value);
        if (word == "application") == protocol.value.is_http() {
            return true;
        }
        let spoken = protocol.value.as_str().to_ascii_uppercase();
        let article = if word == "application" { "an" } else { "a" };
        let message = format!("{article} {word} load balancer does not speak {spoken}");
        let wrong = Diagnostic::error(Code::ProtocolMismatch, protocol.span, message);
        let wrong = match kind {
            Some(kind) => wrong.label(kind.span, "its type"),
            None => wrong.label(balancer.span, "it has no `Type`: `application`"),
        };
        self.found.push(wrong.help(FAMILIES));
        false
    }

    /// Says which attributes and rules are of the other kind of load balancer.
    fn of_its_kind(&mut self, balancer: &Object, resource: &Resource, protocol: Protocol) {
        let http = protocol.is_http();
        let own = resource.object.object("ListenerAttributes");
        let both = [balancer.object("LoadBalancerAttributes"), own];
        for attributes in both.into_iter().flatten() {
            for (key, place) in attributes.places() {
                let of_application = key.starts_with("routing.") || OF_APPLICATION.contains(&key);
                let of_network = key == "tcp.idle_timeout.seconds";
                if (of_application && !http) || (of_network && http) {
                    let kind = if of_application {
                        "application"
                    } else {
                        "network"
                    };
                    let message = format!("`{key}` is of {kind} load balancers");
                    self.error(Code::ProtocolMismatch, place, message);
                }
            }
        }
        if let Some(place) = resource
            .object
            .place("AlpnPolicy")
            .filter(|_| protocol != Protocol::Tls)
        {
            let message = "`AlpnPolicy` is of listeners that speak TLS";
            self.error(Code::ProtocolMismatch, place, message);
        }
        if http {
            return;
        }
        for rule in self.of_kind(RULE) {
            let listener = rule.object.text("ListenerArn");
            let listener = listener.and_then(|arn| self.referred(arn.value));
            if listener.is_some_and(|it| std::ptr::eq(it, resource)) {
                let message = "rules of network load balancers are not done yet";
                self.error(Code::NotRun, rule.span, message);
            }
        }
    }

    fn port(&mut self, object: &Object, resource: &Resource) -> Option<Spanned<u16>> {
        let port = object.number("Port");
        if port.is_none() {
            let message = format!("listener `{}` has no `Port`", resource.id);
            self.error(Code::Missing, resource.span, message);
        }
        port
    }

    /// A protocol that a property names.
    pub(super) fn protocol(
        &mut self,
        object: &Object,
        property: &str,
        resource: &Resource,
    ) -> Option<Spanned<Protocol>> {
        let Some(text) = object.text(property) else {
            let message = format!("`{}` has no `{property}`", resource.id);
            self.error(Code::Missing, resource.span, message);
            return None;
        };
        let protocol = match text.value {
            "HTTP" => Protocol::Http,
            "HTTPS" => Protocol::Https,
            "TCP" => Protocol::Tcp,
            "TLS" => Protocol::Tls,
            other => {
                let message = format!("the protocol {other} is not run here");
                let refused = Diagnostic::error(Code::NotRun, text.span, message);
                self.found
                    .push(refused.help("HTTP, HTTPS, TCP and TLS are"));
                return None;
            }
        };
        Some(Spanned::new(protocol, text.span))
    }

    /// Fills in certificates and policy; false where a certificate is missing, which was said.
    fn tls(
        &mut self,
        object: &Object,
        resource: &Resource,
        protocol: Protocol,
        listener: &mut ListenerDraft,
    ) -> bool {
        let mut arns: Vec<Spanned<&str>> = Vec::new();
        for certificate in object.objects("Certificates") {
            arns.extend(certificate.text("CertificateArn"));
        }
        for more in self.of_kind(LISTENER_CERTIFICATE) {
            let listener = more.object.text("ListenerArn");
            if listener
                .and_then(|arn| self.referred(arn.value))
                .map(|it| &it.id)
                == Some(&resource.id)
            {
                for certificate in more.object.objects("Certificates") {
                    arns.extend(certificate.text("CertificateArn"));
                }
            }
        }
        let policy = object.text("SslPolicy");
        if !protocol.is_tls() {
            let place = arns.first().map(|it| it.span).or(policy.map(|it| it.span));
            if let Some(span) = place {
                let word = object.text("Protocol").map_or("", |it| it.value);
                let message =
                    format!("certificates and `SslPolicy` on a listener that speaks {word}");
                self.error(Code::Conflict, span, message);
            }
            return true;
        }
        if arns.is_empty() {
            let message = format!("listener `{}` has no `Certificates`", resource.id);
            self.error(Code::Missing, resource.span, message);
        }
        for arn in &arns {
            self.expect_names(*arn, listener);
        }
        let names: Vec<Option<Spanned<Name>>> =
            arns.into_iter().map(|arn| self.certificate(arn)).collect();
        let complete = !names.contains(&None) && !names.is_empty();
        for name in names.into_iter().flatten() {
            if !listener.certificates.contains(&name) {
                listener.certificates.push(name);
            }
        }
        let span = policy.map_or(resource.span, |it| it.span);
        let policy = policy.map_or(SSL_POLICY, |it| it.value).to_owned();
        listener.tls.policy.name = Some(Spanned::new(policy, span));
        let alpn = object.texts("AlpnPolicy").first();
        if let Some(alpn) = alpn.filter(|it| it.value != "None") {
            let http = vec!["http/1.1".to_owned()];
            listener.tls.alpn = Some(Spanned::new(http, alpn.span));
        }
        let mode = object
            .object("MutualAuthentication")
            .and_then(|it| it.text("Mode"));
        if let Some(mode) = mode.filter(|it| it.value != "off") {
            let message = format!("`Mode` {} is not done yet", mode.value);
            self.error(Code::NotRun, mode.span, message);
        }
        complete
    }

    /// The rules of a listener by priority.
    fn listener_rules(&mut self, resource: &Resource, front: &Front<'r>) -> Vec<Rule<Named>> {
        let mut mine: Vec<(Spanned<u32>, &'r Resource)> = Vec::new();
        for rule in self.of_kind(RULE) {
            let listener = rule.object.text("ListenerArn");
            let listener = listener.and_then(|arn| self.referred(arn.value));
            if listener.is_some_and(|it| std::ptr::eq(it, resource)) {
                mine.extend(rule.object.number("Priority").map(|it| (it, rule)));
            }
        }
        mine.sort_by_key(|(priority, _)| priority.value);
        for pair in mine.windows(2) {
            if let [(first, _), (second, _)] = pair
                && first.value == second.value
            {
                let message = format!(
                    "two rules of one listener have the priority {}",
                    first.value
                );
                let twice = Diagnostic::error(Code::Duplicate, second.span, message);
                self.found
                    .push(twice.label(first.span, "the other is here"));
            }
        }
        let mut rules = Vec::new();
        for (_, rule) in mine {
            let object = &rule.object;
            let condition = self.condition(object.objects("Conditions"), object.span);
            let transforms = self.transforms(object.objects("Transforms"));
            let routed = self.actions(object.objects("Actions"), front, object.span);
            if let (Some(condition), Some(routed)) = (condition, routed) {
                let place = (Phase::Request, rule.span);
                rules.extend(routed.rules(condition, transforms, place));
            }
        }
        rules
    }

    /// Says which rules belong to no listener.
    pub(super) fn rules_without_listener(&mut self) {
        for kind in [RULE, LISTENER_CERTIFICATE] {
            for rule in self.of_kind(kind) {
                match rule.object.text("ListenerArn") {
                    Some(arn) => {
                        self.needed(LISTENER, arn, "listener");
                    }
                    None => {
                        let message = format!("`{}` has no `ListenerArn`", rule.id);
                        self.error(Code::Missing, rule.span, message);
                    }
                }
            }
        }
    }
}

/// True where clients come by IPv4 and IPv6.
fn by_both(balancer: &Object) -> bool {
    let kind = balancer.text("IpAddressType");
    kind.is_some_and(|it| it.value.starts_with("dualstack"))
}

fn seconds(attributes: Option<&Object>, key: &str) -> Option<Duration> {
    let seconds = attributes?.number(key)?;
    Some(Duration::from_secs(seconds.value))
}

fn on(attributes: Option<&Object>, key: &str) -> bool {
    let truth = attributes.and_then(|it| it.truth(key));
    truth.is_some_and(|it| it.value)
}

/// What targets are told about the client. There is no X-Forwarded-Host.
fn forwarded(attributes: Option<&Object>, listener: &mut ListenerDraft) {
    let mode = attributes.and_then(|it| it.text("routing.http.xff_header_processing.mode"));
    let mode = mode.map(|mode| {
        mode.map(|word| match word {
            "preserve" => ForwardedMode::Preserve,
            "remove" => ForwardedMode::Remove,
            _ => ForwardedMode::Append,
        })
    });
    let forwarded = &mut listener.forwarded;
    forwarded.x_forwarded_for = mode.or(bare(ForwardedMode::Append));
    forwarded.x_forwarded_host = bare(ForwardedMode::Preserve);
    forwarded.forwarded = bare(ForwardedMode::Preserve);
    let key = "routing.http.xff_client_port.enabled";
    forwarded.client_port = attributes.and_then(|it| it.truth(key));
}

/// What is done with every request: its trace, its Host, what is told of TLS.
fn requests(
    front: &Front<'_>,
    attributes: Option<&Object>,
    own: Option<&Object>,
    span: Span,
) -> Vec<Rule<Named>> {
    let set = |name: &str, value: Template<Named>| {
        vec![Action::SetHeader {
            name: name.to_owned(),
            value,
        }]
    };
    let mut rules = refused(span);
    rules.extend(trace(span));
    if !on(attributes, "routing.http.preserve_host_header.enabled") {
        let port = front.port;
        rules.push(match port {
            80 | 443 => on_request(
                holds(r"header(`Host`) =~ `:[0-9]+$`"),
                vec![Action::ReplaceHeader {
                    name: "Host".to_owned(),
                    pattern: Spanned::bare(":[0-9]+$".to_owned()),
                    with: Template(Vec::new()),
                    elements: false,
                }],
                span,
            ),
            _ => on_request(
                holds(r"header(`Host`) present && !(header(`Host`) =~ `:[0-9]+$`)"),
                set("Host", written("${header(`Host`)}:${destination_port}")),
                span,
            ),
        });
    }
    let name = |key: &str, usual: &str| {
        let named = own.and_then(|it| it.text(key));
        named.map_or(usual, |it| it.value).to_owned()
    };
    let told = on(
        attributes,
        "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
    );
    if told && front.protocol.value.is_tls() {
        let version = name(
            "routing.http.request.x_amzn_tls_version.header_name",
            "X-Amzn-Tls-Version",
        );
        let cipher = name(
            "routing.http.request.x_amzn_tls_cipher_suite.header_name",
            "X-Amzn-Tls-Cipher-Suite",
        );
        let mut actions = set(&version, only(Value::TlsVersion));
        actions.extend(set(&cipher, only(Value::TlsCipherOpenssl)));
        rules.push(on_request(always(), actions, span));
    }
    rules
}

/// What an application load balancer refuses of requests that are in order.
fn refused(span: Span) -> Vec<Rule<Named>> {
    let refuse = |condition: &str, status| {
        let answer = FixedResponse {
            status,
            content_type: None,
            body: AnswerBody::ErrorPage,
            headers: Vec::new(),
        };
        on_request(holds(condition), vec![Action::Deny(answer)], span)
    };
    vec![
        refuse("method == `TRACE`", 405),
        refuse(
            &format!("header_item_count(`X-Forwarded-For`) > {MAX_FORWARDED}"),
            463,
        ),
    ]
}

/// X-Amzn-Trace-Id: the own part is made anew, a root gets an own part, and who has neither gets a root.
fn trace(span: Span) -> Vec<Rule<Named>> {
    let set = |text: String| {
        vec![Action::SetHeader {
            name: TRACE.to_owned(),
            value: written(&text),
        }]
    };
    let header = format!("header(`{TRACE}`)");
    vec![
        on_request(
            holds(&format!("{header} contains `Self=`")),
            vec![Action::ReplaceHeader {
                name: TRACE.to_owned(),
                pattern: Spanned::bare("Self=[^;]*".to_owned()),
                with: written(&format!("Self={TRACE_ID}")),
                elements: false,
            }],
            span,
        ),
        on_request(
            holds(&format!(
                "{header} contains `Root=` && !({header} contains `Self=`)"
            )),
            set(format!("Self={TRACE_ID};${{{header}}}")),
            span,
        ),
        on_request(
            holds(&format!(
                "!({header} contains `Root=`) || {header}.length() > {MAX_TRACE}"
            )),
            set(format!("Root={TRACE_ID}")),
            span,
        ),
    ]
}

/// Headers of responses that attributes of the listener set.
fn responses(own: Option<&Object>, span: Span) -> Vec<Rule<Named>> {
    let mut actions = Vec::new();
    for (key, name) in RESPONSE_HEADERS {
        let key = format!("routing.http.response.{key}.header_value");
        if let Some(value) = own.and_then(|it| it.text(&key)) {
            actions.push(Action::SetHeader {
                name: name.to_owned(),
                value: Template::text(value.value),
            });
        }
    }
    let server = own.and_then(|it| it.truth("routing.http.response.server.enabled"));
    if server.is_some_and(|it| !it.value) {
        actions.push(Action::RemoveHeader {
            name: "Server".to_owned(),
        });
    }
    if actions.is_empty() {
        return Vec::new();
    }
    vec![Rule {
        phase: Phase::Response,
        condition: always(),
        actions,
        origin: Origin(span),
        places: Places::default(),
    }]
}
