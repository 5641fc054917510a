//! Health checks: what the backend does, and what each server has of its own.

use super::{Base, Lowering};
use crate::haproxy::proxy::{
    CheckMethod, CheckPlan, CheckRule, HttpCheckRequest, Proxy, Server, ServerTls,
    completed_request,
};
use portway_model::address::TargetAddress;
use portway_model::check::{
    AgentDraft, CheckExpect, CheckKind, CheckRequest, CheckStep, Expectation, HealthCheckDraft,
    Observation, OnErrors, TargetCheckDraft,
};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::GroupDraft;
use portway_model::expression::NumberRange;
use portway_model::span::Spanned;
use portway_model::stage::Named;
use std::time::Duration;

/// Time between two checks, HAProxy's.
const INTERVAL: Duration = Duration::from_secs(2);
/// Passing checks until a server is up, HAProxy's.
const RISE: u16 = 2;
/// Errors in a row of what it serves that count, HAProxy's.
const ERRORS: u16 = 10;
/// Failing checks until it is down, HAProxy's.
const FALL: u16 = 3;

impl Lowering<'_, '_, '_> {
    /// The check of the group, and what differs for its targets.
    pub(super) fn health_check(
        &mut self,
        proxy: &Proxy,
        servers: &[Server],
        group: &mut GroupDraft,
    ) {
        let Some(first) = servers.iter().find(|server| checked(server)) else {
            self.warn_unchecked(servers);
            self.verified_checks(proxy, servers);
            return;
        };
        let span = first.options.check.enabled.unwrap_or(first.span);
        let mut check = HealthCheckDraft {
            kind: Some(self.kind(proxy)),
            first_failure_is_down: Some(Spanned::bare(true)),
            drain_on_404: proxy.check.disable_on_404,
            jitter_percent: self.base.jitter_percent,
            ..HealthCheckDraft::default()
        };
        times(&mut check, &first.options.check, proxy);
        check.port = common_port(servers);
        for (server, target) in servers.iter().zip(&mut group.targets) {
            target.check = own(server, &first.options.check, check.port);
        }
        group.health_check = Some(Spanned::new(check, span));
        self.warn_unchecked(servers);
        self.verified_checks(proxy, servers);
    }

    /// Checks over TLS ask servers for certificates that something must verify, also where the servers are not served so.
    fn verified_checks(&mut self, proxy: &Proxy, servers: &[Server]) {
        let verifies = |server: &Server| match (&server.options.tls.verify, self.base.verify_none) {
            (Some(verify), _) => verify.value,
            (None, none) => !none,
        };
        let without = servers.iter().filter(|server| {
            let own = &server.options.tls;
            let alone = own.enabled.is_none() && own.ca_file.is_none();
            alone && over_tls(proxy, server) && verifies(server)
        });
        for server in without {
            let message = format!(
                "the check of server `{}` verifies its certificate, and there are no CAs to verify it by",
                server.name.value
            );
            let help =
                "write `ca-file FILE`, or `verify none` where the network between is trusted";
            self.reader
                .push(Diagnostic::error(Code::Missing, server.span, message).help(help));
        }
    }

    /// Servers without an address of their own cannot be checked.
    fn warn_unchecked(&mut self, servers: &[Server]) {
        for server in servers {
            let wanted = server.options.check.enabled;
            if let Some(span) = wanted.filter(|_| !checked(server)) {
                let message = format!(
                    "server `{}` is not checked: it has no address of its own",
                    server.name.value
                );
                self.reader.push(
                    Diagnostic::warning(Code::Missing, span, message)
                        .help("it is always taken for up"),
                );
            }
        }
    }

    fn kind(&mut self, proxy: &Proxy) -> Spanned<CheckKind<Named>> {
        let Some(method) = &proxy.check.method else {
            return Spanned::bare(CheckKind::Tcp);
        };
        let kind = match &method.value {
            CheckMethod::Service(service) => CheckKind::Service(service.clone()),
            CheckMethod::Tcp if proxy.check.tcp_rules.is_empty() => CheckKind::Tcp,
            CheckMethod::Tcp => CheckKind::Script(tcp_steps(&proxy.check.tcp_rules)),
            CheckMethod::Http(request) => CheckKind::Script(http_steps(proxy, request)),
        };
        Spanned::new(kind, method.span)
    }
}

/// The agent of a server.
pub(super) fn agent(server: &Server, proxy: &Proxy, base: &Base) -> Option<Spanned<AgentDraft>> {
    let plan = &server.options.agent;
    let interval = plan.inter.unwrap_or(Spanned::bare(INTERVAL));
    let timeout = proxy.timeouts.check.filter(|time| !time.value.is_zero());
    let draft = AgentDraft {
        port: plan.port,
        address: plan.address,
        interval: Some(interval),
        jitter_percent: base.jitter_percent,
        timeout,
        send: plan.send.clone(),
    };
    plan.enabled.map(|span| Spanned::new(draft, span))
}

/// Whether a server is checked: it says so, and there is an address to go to.
fn checked(server: &Server) -> bool {
    let own = &server.options.check;
    let nowhere = matches!(
        server.address.value,
        TargetAddress::ClientDestination { .. }
    );
    own.enabled.is_some() && !(nowhere && own.address.is_none())
}

fn times(check: &mut HealthCheckDraft, plan: &CheckPlan, proxy: &Proxy) {
    let inter = plan.inter.unwrap_or(Spanned::bare(INTERVAL));
    check.interval = Some(inter);
    check.fast_interval = plan.fastinter;
    check.unhealthy_interval = plan.downinter;
    check.healthy_threshold = Some(plan.rise.unwrap_or(Spanned::bare(RISE)));
    check.unhealthy_threshold = Some(plan.fall.unwrap_or(Spanned::bare(FALL)));
    let given = &proxy.timeouts;
    let some = |time: Option<Spanned<Duration>>| time.filter(|time| !time.value.is_zero());
    match some(given.check) {
        // A check has `timeout check` to answer, and to connect no longer than the interval.
        Some(timeout) => {
            check.timeout = Some(timeout);
            let connect = some(given.connect).filter(|connect| connect.value < inter.value);
            check.connect_timeout = Some(connect.unwrap_or(inter));
        }
        None => check.timeout = Some(inter),
    }
}

/// The port of every check, where they have one in common.
fn common_port(servers: &[Server]) -> Option<Spanned<u16>> {
    let mut ports = servers
        .iter()
        .filter(|server| checked(server))
        .map(|server| server.options.check.port);
    let first = ports.next()??;
    ports.all(|port| port == Some(first)).then_some(first)
}

/// True where the check of a server speaks TLS, whatever is spoken when it is served.
fn over_tls(proxy: &Proxy, server: &Server) -> bool {
    let mut rules = proxy.check.http_rules.iter().chain(&proxy.check.tcp_rules);
    let scripted = rules.any(|rule| matches!(rule, CheckRule::Connect(connect) if connect.tls));
    scripted || server.options.check.tls.is_some_and(|tls| tls.value)
}

/// True where a check over TLS does more than to take any certificate. `trusted`: it takes any where nothing is said.
pub(super) fn has_own_tls(proxy: &Proxy, server: &Server, trusted: bool) -> bool {
    let own = &server.options.tls;
    let verifies = own.verify.map_or(!trusted, |verify| verify.value);
    if verifies && own.ca_file.is_none() {
        // An error of its own.
        return false;
    }
    let trusts = ServerTls {
        enabled: own.enabled,
        verify: own.verify.filter(|verify| !verify.value),
        sni: own.sni.clone(),
        alpn: own.alpn.clone(),
        ..ServerTls::default()
    };
    checked(server) && over_tls(proxy, server) && *own != trusts
}

/// What a target has of its own.
fn own(
    server: &Server,
    group: &CheckPlan,
    port: Option<Spanned<u16>>,
) -> Option<Spanned<TargetCheckDraft>> {
    let plan = &server.options.check;
    let span = plan.enabled.unwrap_or(server.span);
    if !checked(server) {
        let off = TargetCheckDraft {
            enabled: Some(Spanned::bare(false)),
            ..TargetCheckDraft::default()
        };
        return Some(Spanned::new(off, span));
    }
    let elsewhere = plan.port.is_some() || plan.address.is_some();
    let tls = plan.tls.or_else(|| {
        let span = server.options.tls.enabled?;
        Some(Spanned::new(!elsewhere, span))
    });
    let sent = plan.send_proxy.or_else(|| {
        let sent = server.options.sent.as_ref()?;
        (!elsewhere).then(|| Spanned::new(true, sent.span))
    });
    let interval = |time: Option<Spanned<Duration>>| time.unwrap_or(Spanned::bare(INTERVAL));
    let differs =
        |mine: Spanned<Duration>, theirs: Spanned<Duration>| (mine != theirs).then_some(mine);
    let (inter, theirs) = (interval(plan.inter), interval(group.inter));
    let check = TargetCheckDraft {
        enabled: None,
        interval: differs(inter, theirs),
        fast_interval: differs(
            plan.fastinter.unwrap_or(inter),
            group.fastinter.unwrap_or(theirs),
        ),
        unhealthy_interval: differs(
            plan.downinter.unwrap_or(inter),
            group.downinter.unwrap_or(theirs),
        ),
        timeout: None,
        healthy_threshold: other(plan.rise, group.rise, RISE),
        unhealthy_threshold: other(plan.fall, group.fall, FALL),
        port: plan.port.filter(|_| port.is_none()),
        address: plan.address,
        tls: tls.filter(|tls| tls.value || server.options.tls.enabled.is_some()),
        send_proxy: sent,
        server_name: plan.sni.clone(),
        alpn: plan.alpn.clone(),
        observe: plan.observe.map(|layer| {
            let observation = Observation {
                layer: layer.value,
                errors: plan.error_limit.map_or(ERRORS, |limit| limit.value),
                then: plan.on_error.unwrap_or(OnErrors::FailCheck),
            };
            Spanned::new(observation, layer.span)
        }),
    };
    (check != TargetCheckDraft::default()).then(|| Spanned::new(check, span))
}

fn other(
    mine: Option<Spanned<u16>>,
    theirs: Option<Spanned<u16>>,
    default: u16,
) -> Option<Spanned<u16>> {
    let mine = mine.unwrap_or(Spanned::bare(default));
    (mine != theirs.unwrap_or(Spanned::bare(default))).then_some(mine)
}

fn tcp_steps(rules: &[CheckRule]) -> Vec<CheckStep<Named>> {
    rules.iter().filter_map(plain_step).collect()
}

/// The step of a rule that needs nothing from elsewhere.
fn plain_step(rule: &CheckRule) -> Option<CheckStep<Named>> {
    Some(match rule {
        CheckRule::Comment(text) => CheckStep::Comment(text.clone()),
        CheckRule::Connect(connect) => CheckStep::Connect(connect.clone()),
        CheckRule::Step(step) => step.clone(),
        CheckRule::Expect(expect) => CheckStep::Expect(expect.clone()),
        CheckRule::Request { .. } => return None,
    })
}

/// Any 2xx or 3xx.
fn good_status() -> CheckStep<Named> {
    let range = NumberRange { min: 200, max: 399 };
    CheckStep::Expect(CheckExpect::new(Expectation::Status(vec![range])))
}

/// The steps of an HTTP check: a connection, requests, and what is expected after the last of them.
fn http_steps(proxy: &Proxy, option: &HttpCheckRequest) -> Vec<CheckStep<Named>> {
    let mut steps = Vec::new();
    let (mut sent, mut judged, mut asked) = (false, false, false);
    for rule in &proxy.check.http_rules {
        match rule {
            CheckRule::Connect(_) => {
                if sent && !judged {
                    steps.push(good_status());
                }
                (sent, judged) = (false, false);
            }
            CheckRule::Request { comment, .. } => {
                if sent && !judged {
                    steps.push(good_status());
                }
                // The first takes over what it does not say; later ones stand for themselves.
                let usual = HttpCheckRequest::default();
                let base = if asked { &usual } else { option };
                if let Some(request) = completed_request(rule, base) {
                    steps.push(request_step(proxy, &request, comment.clone()));
                }
                (sent, judged, asked) = (true, false, true);
            }
            CheckRule::Expect(_) => {
                if !sent {
                    steps.push(request_step(proxy, option, None));
                    (sent, asked) = (true, true);
                }
                judged = true;
            }
            CheckRule::Comment(_) | CheckRule::Step(_) => {}
        }
        steps.extend(plain_step(rule));
    }
    if !sent {
        steps.push(request_step(proxy, option, None));
    }
    if !judged {
        steps.push(good_status());
    }
    steps
}

fn request_step(
    proxy: &Proxy,
    request: &HttpCheckRequest,
    comment: Option<String>,
) -> CheckStep<Named> {
    CheckStep::Request(CheckRequest {
        method: request.method.clone(),
        target: request.target.clone(),
        version: request.version.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
        send_state: proxy.check.send_state,
        comment,
    })
}
