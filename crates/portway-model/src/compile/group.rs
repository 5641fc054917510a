//! Target groups: targets, who is chosen, health checks.

use super::expressions::{Moment, Place, Side};
use super::limits::{self, MAX_POOL_SIZE, MAX_RETRIES, MAX_THRESHOLD, given_within};
use super::rules::Owner;
use super::text::{
    Use, check_dns_name, check_header_name, check_path, check_status, check_text, check_token,
};
use super::{Compiler, Reported};
use crate::action::Phase;
use crate::address::{Host, TargetAddress};
use crate::convert;
use crate::defaults;
use crate::diagnostic::{Code, Diagnostic};
use crate::draft::{
    Algorithm, CheckKind, CheckStep, GroupDraft, GroupTimeoutsDraft, HealthCheckDraft, HttpCheck,
    Stickiness, StickyCookie, TargetDraft,
};
use crate::name::Name;
use crate::settings::{GroupTimeouts, Protocol, ProxyProtocol, SameSite, SendProxy};
use crate::snapshot::{HealthCheck, Target, TargetGroup};
use crate::span::{Origin, Span, Spanned};
use crate::stage::{Named, Resolved};
use std::collections::HashMap;
use std::time::Duration;

/// Time for one check where a group does not say: never longer than the time between two.
pub(crate) fn default_check_timeout(interval: Duration) -> Duration {
    defaults::CHECK_TIMEOUT.min(interval)
}

/// The name of a target that has none.
pub(crate) fn default_target_name(address: &TargetAddress) -> Name {
    Name::from(address.to_string())
}

impl Compiler<'_> {
    pub(super) fn target_group(
        &mut self,
        index: usize,
        draft: &GroupDraft,
    ) -> Result<TargetGroup, Reported> {
        let protocol = self.protocols.groups.get(index).copied();
        let protocol = protocol.unwrap_or(Protocol::Http);
        let targets = self.targets(draft);
        let algorithm = self.algorithm(draft.algorithm.as_ref(), protocol);
        let stickiness = draft.stickiness.as_ref();
        let stickiness = stickiness.map(|kind| self.stickiness(kind, protocol));
        let health_check = draft.health_check.as_ref();
        let health_check = health_check.map(|check| self.health_check(check));
        let tls = self.upstream_tls(draft, protocol);
        let rules = self.rules(&Owner::group(draft, protocol), &draft.rules);
        self.check_log_destinations(&draft.log);
        let error_pages = self.error_pages(&draft.error_pages);
        let found = &mut self.found;
        given_within(found, "retries", draft.retries, (0, MAX_RETRIES));
        given_within(found, "a pool size", draft.pool_size, (0, MAX_POOL_SIZE));
        Ok(TargetGroup {
            name: draft.name.value.clone(),
            number: self.number(draft.number),
            protocol,
            targets,
            algorithm: algorithm?,
            stickiness: stickiness.transpose()?,
            health_check: health_check.transpose()?,
            timeouts: self.group_timeouts(&draft.timeouts),
            tls: tls?,
            rules: rules?,
            none_healthy: draft
                .none_healthy
                .map_or(defaults::NONE_HEALTHY, |x| x.value),
            retries: draft.retries.map_or(defaults::RETRIES, |x| x.value),
            pool_size: draft.pool_size.map_or(defaults::POOL_SIZE, |x| x.value),
            log: super::log::destinations(&draft.log),
            log_health_checks: draft.log_health_checks.is_some_and(|x| x.value),
            error_pages,
            close: draft.close.is_some_and(|x| x.value),
            send_proxy: self.send_proxy(draft.send_proxy.as_ref()),
            origin: Origin(draft.name.span),
        })
    }

    fn send_proxy(&mut self, draft: Option<&Spanned<SendProxy>>) -> Option<SendProxy> {
        let Spanned { value, span } = draft?;
        let parts = value.parts.as_slice();
        let wrong = if value.version == ProxyProtocol::V1 && !parts.is_empty() {
            Some("version 1 of the PROXY protocol tells the addresses alone")
        } else if parts
            .iter()
            .enumerate()
            .any(|(index, part)| parts.iter().take(index).any(|before| before == part))
        {
            Some("a part of the PROXY protocol is named twice")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            let wrong = Diagnostic::error(Code::Conflict, *span, wrong);
            self.found.push(wrong);
        }
        Some(value.clone())
    }

    fn group_timeouts(&mut self, draft: &GroupTimeoutsDraft) -> GroupTimeouts {
        let found = &mut self.found;
        let mut optional = |what, given| limits::optional_duration(found, what, given);
        let tunnel = optional("the tunnel timeout", draft.tunnel);
        let tunnel_target = optional("the tunnel timeout", draft.tunnel_target);
        let tunnel_ending = optional("the timeout of ending tunnels", draft.tunnel_ending);
        let inspect = limits::duration_or_zero(
            found,
            "the inspection timeout",
            draft.inspect,
            defaults::INSPECT,
        );
        let mut time =
            |what, given, default| limits::duration(&mut self.found, what, given, default);
        GroupTimeouts {
            connect: time("the connect timeout", draft.connect, defaults::CONNECT),
            response: time("the response timeout", draft.response, defaults::RESPONSE),
            queue: time("the queue timeout", draft.queue, defaults::QUEUE),
            idle: time("the idle timeout", draft.idle, defaults::POOL_IDLE),
            tunnel,
            tunnel_target,
            tunnel_ending,
            inspect,
        }
    }

    fn targets(&mut self, group: &GroupDraft) -> Vec<Target> {
        if group.targets.is_empty() {
            self.found.push(
                Diagnostic::warning(
                    Code::NoTargets,
                    group.name.span,
                    format!("target group `{}` has no targets", group.name.value),
                )
                .help("requests that come to it are answered with 503"),
            );
        }
        let mut names: HashMap<Name, Span> = HashMap::new();
        let mut addresses: HashMap<&TargetAddress, Span> = HashMap::new();
        let mut targets = Vec::with_capacity(group.targets.len());
        for draft in &group.targets {
            let target = self.target(draft);
            let span = target.origin.0;
            if let Some(first) = names.get(&target.name) {
                self.found.push(
                    Diagnostic::error(
                        Code::Duplicate,
                        span,
                        format!("two targets are called `{}`", target.name),
                    )
                    .label(*first, "the first is here")
                    .help("give one of them another `name`"),
                );
            } else if let Some(first) = addresses.get(&draft.address.value) {
                self.found.push(
                    Diagnostic::warning(
                        Code::Duplicate,
                        draft.address.span,
                        format!("two targets live at `{}`", draft.address.value),
                    )
                    .label(*first, "the first is here"),
                );
            }
            names.entry(target.name.clone()).or_insert(span);
            let address = &draft.address;
            addresses.entry(&address.value).or_insert(address.span);
            targets.push(target);
        }
        targets
    }

    fn target(&mut self, draft: &TargetDraft) -> Target {
        let address = &draft.address;
        let port = match &address.value {
            TargetAddress::Tcp { host, port } => {
                if let Host::Name(name) = host {
                    check_dns_name(&mut self.found, name, address.span);
                }
                Some(*port)
            }
            TargetAddress::Unix(path) => {
                super::text::check_file(&mut self.found, "the socket", path, address.span);
                None
            }
            TargetAddress::ClientDestination { port } => *port,
        };
        if port == Some(0) {
            self.found.push(Diagnostic::error(
                Code::OutOfRange,
                address.span,
                "a target cannot have port 0",
            ));
        }
        Target {
            number: self.number(draft.number),
            name: match &draft.name {
                Some(name) => name.value.clone(),
                None => default_target_name(&address.value),
            },
            address: address.value.clone(),
            weight: draft.weight.map_or(defaults::WEIGHT, |x| x.value),
            backup: draft.backup.is_some_and(|x| x.value),
            disabled: draft.disabled.is_some_and(|x| x.value),
            max_connections: draft
                .max_connections
                .map_or(defaults::MAX_CONNECTIONS, |x| x.value),
            origin: Origin(draft.name.as_ref().map_or(address.span, |name| name.span)),
        }
    }

    /// Where the keys of a group are read: before a target is chosen.
    fn key_place(protocol: Protocol, span: Span) -> Place {
        let phase = if protocol.is_http() {
            Phase::Request
        } else {
            Phase::ClientHello
        };
        Place {
            moment: Moment::Phase(phase),
            side: Side::Group(protocol),
            span,
        }
    }

    fn algorithm(
        &mut self,
        draft: Option<&Spanned<Algorithm<Named>>>,
        protocol: Protocol,
    ) -> Result<Algorithm<Resolved>, Reported> {
        let Some(draft) = draft else {
            return Ok(Algorithm::RoundRobin);
        };
        if let Algorithm::Hash(key) = &draft.value {
            self.check_expression(Self::key_place(protocol, draft.span), key);
        }
        convert::algorithm(self, &draft.value)
    }

    fn stickiness(
        &mut self,
        draft: &Spanned<Stickiness<Named>>,
        protocol: Protocol,
    ) -> Result<Stickiness<Resolved>, Reported> {
        match &draft.value {
            Stickiness::Cookie(cookie) => {
                if !protocol.is_http() {
                    self.found.push(
                        Diagnostic::error(
                            Code::ProtocolMismatch,
                            draft.span,
                            format!(
                                "a target group that speaks {} has no cookies",
                                protocol.as_str()
                            ),
                        )
                        .help("keep clients by the algorithm `source_hash` or a stick table"),
                    );
                }
                self.check_cookie(cookie, draft.span);
            }
            Stickiness::Table { table, key } => {
                self.check_key(Self::key_place(protocol, draft.span), key, table);
            }
        }
        convert::stickiness(self, &draft.value)
    }

    fn check_cookie(&mut self, cookie: &StickyCookie, span: Span) {
        let found = &mut self.found;
        check_token(found, "the name of a cookie", &cookie.name, span);
        check_path(found, "the path of a cookie", &cookie.path, span);
        if let Some(domain) = &cookie.domain {
            check_dns_name(found, domain.strip_prefix('.').unwrap_or(domain), span);
        }
        if cookie.path.contains(';') {
            found.push(Diagnostic::error(
                Code::OutOfRange,
                span,
                "the path of a cookie may not hold `;`",
            ));
        }
        if let Some(age) = cookie.max_age {
            let range = (Duration::from_secs(1), limits::MAX_COOKIE_AGE);
            if age < range.0 || age > range.1 || age.subsec_nanos() != 0 {
                found.push(
                    Diagnostic::error(Code::OutOfRange, span, "a cookie cannot live so long")
                        .help("whole seconds, from a second to 400 days"),
                );
            }
        }
        if cookie.same_site == Some(SameSite::None) && !cookie.secure {
            found.push(
                Diagnostic::warning(
                    Code::Conflict,
                    span,
                    "browsers drop a cookie with SameSite=None and without Secure",
                )
                .help("set `secure`"),
            );
        }
    }

    fn health_check(&mut self, draft: &Spanned<HealthCheckDraft>) -> Result<HealthCheck, Reported> {
        let check = &draft.value;
        let found = &mut self.found;
        let interval = limits::duration(
            found,
            "the interval of checks",
            check.interval,
            defaults::CHECK_INTERVAL,
        );
        let timeout = limits::duration(
            found,
            "the timeout of checks",
            check.timeout,
            default_check_timeout(interval),
        );
        if let Some(given) = check.timeout.filter(|_| timeout > interval) {
            let place = check.interval.map_or(Span::NONE, |interval| interval.span);
            found.push(
                Diagnostic::warning(
                    Code::Conflict,
                    given.span,
                    "a check may last longer than the time between two checks",
                )
                .label(place, "the interval is here"),
            );
        }
        let unhealthy_interval = limits::duration(
            found,
            "the interval of checks",
            check.unhealthy_interval,
            interval,
        );
        for threshold in [check.healthy_threshold, check.unhealthy_threshold] {
            given_within(found, "a threshold", threshold, (1, MAX_THRESHOLD));
        }
        given_within(found, "a port", check.port, (1, u16::MAX));
        let kind = match &check.kind {
            Some(kind) => {
                self.check_check_kind(kind);
                convert::check_kind(self, &kind.value)?
            }
            None => CheckKind::Tcp,
        };
        Ok(HealthCheck {
            kind,
            interval,
            unhealthy_interval,
            timeout,
            healthy_threshold: check
                .healthy_threshold
                .map_or(defaults::HEALTHY_THRESHOLD, |x| x.value),
            unhealthy_threshold: check
                .unhealthy_threshold
                .map_or(defaults::UNHEALTHY_THRESHOLD, |x| x.value),
            port: check.port.map(|x| x.value),
            origin: Origin(draft.span),
        })
    }

    fn check_check_kind(&mut self, kind: &Spanned<CheckKind<Named>>) {
        let span = kind.span;
        match &kind.value {
            CheckKind::Tcp | CheckKind::Tls => {}
            CheckKind::Http(http) | CheckKind::Https(http) => self.check_http_check(http, span),
            CheckKind::Script(steps) => {
                if steps.is_empty() {
                    self.found.push(Diagnostic::error(
                        Code::Missing,
                        span,
                        "a scripted check without steps",
                    ));
                }
                for step in steps {
                    match step {
                        CheckStep::Connect { port: Some(0), .. } => {
                            self.found.push(Diagnostic::error(
                                Code::OutOfRange,
                                span,
                                "a check cannot connect to port 0",
                            ));
                        }
                        CheckStep::Connect { .. } | CheckStep::Send(_) | CheckStep::Expect(_) => {}
                        CheckStep::Http(http) => self.check_http_check(http, span),
                    }
                }
            }
        }
    }

    fn check_http_check(&mut self, http: &HttpCheck<Named>, span: Span) {
        let found = &mut self.found;
        check_token(found, "a method", &http.method, span);
        check_path(found, "the path of a check", &http.path, span);
        if let Some(host) = &http.host {
            check_text(found, "the host of a check", host, Use::Target, span);
        }
        for (name, value) in &http.headers {
            check_header_name(found, name, span);
            check_text(found, "a header's value", value, Use::HeaderValue, span);
        }
        if http.expect.is_empty() {
            found.push(
                Diagnostic::error(Code::Missing, span, "a check that no status passes")
                    .help("say which statuses pass, such as `200-399`"),
            );
        }
        for range in &http.expect {
            let bound = |value: i64| u16::try_from(value).unwrap_or(0);
            check_status(found, bound(range.min), (100, 599), span);
            check_status(found, bound(range.max), (100, 599), span);
            if range.min > range.max {
                found.push(super::expressions::reversed(range, span));
            }
        }
    }
}
