//! Health checks: that of a group, and what a target has of its own.

use super::expressions::{Moment, Place, Side, reversed};
use super::futile::check_head_only;
use super::limits::{self, MAX_JITTER, MAX_THRESHOLD, given_within};
use super::text::{
    Use, check_dns_name, check_header_name, check_path, check_status, check_text, check_token,
};
use super::{Compiler, Reported};
use crate::check::{
    AgentDraft, CheckConnect, CheckExpect, CheckKind, CheckStep, CheckText, CheckedService,
    Expectation, HealthCheckDraft, HttpCheck, TargetCheckDraft,
};
use crate::convert;
use crate::defaults;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::TargetDraft;
use crate::expression::{NumberRange, Scope, Variable};
use crate::settings::Protocol;
use crate::snapshot::{Agent, HealthCheck, TargetCheck};
use crate::span::{Origin, Span, Spanned};
use crate::stage::Named;
use std::time::Duration;

/// Time for one check where a group does not say: never longer than the time between two.
pub(crate) fn default_check_timeout(interval: Duration) -> Duration {
    defaults::CHECK_TIMEOUT.min(interval)
}

/// Where the expressions of a check stand.
fn place(span: Span) -> Place {
    Place {
        moment: Moment::Check,
        side: Side::Group(Protocol::Http),
        span,
    }
}

impl Compiler<'_> {
    /// How a target is checked; `None` where it is not.
    pub(super) fn target_check(
        &mut self,
        draft: &TargetDraft,
        group: Option<&HealthCheck>,
    ) -> Option<TargetCheck> {
        let own = draft.check.as_ref().map(|check| &check.value);
        if let (Some(check), None) = (&draft.check, group)
            && check.value.enabled.is_none_or(|enabled| enabled.value)
        {
            self.found.push(
                Diagnostic::error(
                    Code::Missing,
                    check.span,
                    "a target with a check in a group without one",
                )
                .help("say `health_check` in the group"),
            );
        }
        let enabled = own.and_then(|own| own.enabled).is_none_or(|x| x.value);
        let group = group.filter(|_| enabled && draft.track.is_none())?;
        let defaults = group.of_target();
        let Some(own) = own else {
            return Some(defaults);
        };
        Some(self.own_check(own, defaults))
    }

    /// An agent; `None` where it has no port, which is said.
    pub(super) fn agent(&mut self, draft: &Spanned<AgentDraft>) -> Option<Agent> {
        let agent = &draft.value;
        let found = &mut self.found;
        given_within(found, "a port", agent.port, (1, u16::MAX));
        let jitter_percent = jitter(found, agent.jitter_percent);
        let what = "the interval of an agent";
        let interval = limits::duration(found, what, agent.interval, defaults::AGENT_INTERVAL);
        let what = "the timeout of an agent";
        let timeout = limits::duration(found, what, agent.timeout, interval);
        if agent.port.is_none() {
            let message = "an agent without a port";
            self.found.push(
                Diagnostic::error(Code::Missing, draft.span, message)
                    .help("say the `port` that it listens on (haproxy.cfg: `agent-port`)"),
            );
        }
        Some(Agent {
            port: agent.port?.value,
            address: agent.address.map(|x| x.value),
            interval,
            jitter_percent,
            timeout,
            send: agent
                .send
                .as_ref()
                .map_or_else(String::new, |x| x.value.clone()),
        })
    }

    fn own_check(&mut self, own: &TargetCheckDraft, group: TargetCheck) -> TargetCheck {
        let found = &mut self.found;
        let mut time = |what, given, default| limits::duration(found, what, given, default);
        let of_interval = "the interval of checks";
        let interval = time(of_interval, own.interval, group.interval);
        // An interval of its own is also that of the two beside it, unless the group or the target says them.
        let beside = |of_group: Duration| match of_group == group.interval {
            true => interval,
            false => of_group,
        };
        let fast_interval = time(of_interval, own.fast_interval, beside(group.fast_interval));
        let unhealthy = beside(group.unhealthy_interval);
        let unhealthy_interval = time(of_interval, own.unhealthy_interval, unhealthy);
        let timeout = time("the timeout of checks", own.timeout, group.timeout);
        for threshold in [own.healthy_threshold, own.unhealthy_threshold] {
            given_within(found, "a threshold", threshold, (1, MAX_THRESHOLD));
        }
        given_within(found, "a port", own.port, (1, u16::MAX));
        let errors = own.observe.map(|x| Spanned::new(x.value.errors, x.span));
        given_within(found, "a number of errors", errors, (1, u16::MAX));
        if let Some(name) = &own.server_name {
            check_dns_name(found, &name.value, name.span);
        }
        TargetCheck {
            interval,
            fast_interval,
            unhealthy_interval,
            timeout,
            healthy_threshold: own
                .healthy_threshold
                .map_or(group.healthy_threshold, |x| x.value),
            unhealthy_threshold: own
                .unhealthy_threshold
                .map_or(group.unhealthy_threshold, |x| x.value),
            port: own.port.map(|x| x.value).or(group.port),
            address: own.address.map(|x| x.value),
            tls: own.tls.map(|x| x.value),
            send_proxy: own.send_proxy.is_some_and(|x| x.value),
            server_name: own.server_name.as_ref().map(|x| x.value.clone()),
            alpn: own.alpn.as_ref().map_or_else(Vec::new, |x| x.value.clone()),
            observe: own.observe.map(|x| x.value),
        }
    }

    pub(super) fn health_check(
        &mut self,
        draft: &Spanned<HealthCheckDraft>,
    ) -> Result<HealthCheck, Reported> {
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
        let mut of_interval =
            |given| limits::duration(found, "the interval of checks", given, interval);
        let fast_interval = of_interval(check.fast_interval);
        let unhealthy_interval = of_interval(check.unhealthy_interval);
        let connect_timeout = limits::duration(
            found,
            "the timeout of checks",
            check.connect_timeout,
            timeout,
        );
        let jitter_percent = jitter(found, check.jitter_percent);
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
            fast_interval,
            unhealthy_interval,
            jitter_percent,
            timeout,
            connect_timeout,
            healthy_threshold: check
                .healthy_threshold
                .map_or(defaults::HEALTHY_THRESHOLD, |x| x.value),
            unhealthy_threshold: check
                .unhealthy_threshold
                .map_or(defaults::UNHEALTHY_THRESHOLD, |x| x.value),
            port: check.port.map(|x| x.value),
            first_failure_is_down: check
                .first_failure_is_down
                .map_or(defaults::FIRST_FAILURE_IS_DOWN, |x| x.value),
            wait_for_first_check: check.wait_for_first_check.is_some_and(|x| x.value),
            drain_on_404: check.drain_on_404.is_some_and(|x| x.value),
            origin: Origin(draft.span),
        })
    }

    fn check_check_kind(&mut self, kind: &Spanned<CheckKind<Named>>) {
        let span = kind.span;
        check_head_only(&mut self.found, &kind.value, span);
        match &kind.value {
            CheckKind::Tcp | CheckKind::Tls => {}
            CheckKind::Http(http) | CheckKind::Https(http) => self.check_http_check(http, span),
            CheckKind::Grpc(call) | CheckKind::Grpcs(call) => self.check_grpc(call, span),
            CheckKind::Script(steps) => {
                if steps.is_empty() {
                    self.found.push(Diagnostic::error(
                        Code::Missing,
                        span,
                        "a scripted check without steps",
                    ));
                }
                steps
                    .iter()
                    .for_each(|step| self.check_script_step(step, span));
            }
            CheckKind::Service(service) => self.check_known_service(service, span),
        }
    }

    fn check_known_service(&mut self, service: &CheckedService, span: Span) {
        let found = &mut self.found;
        let mut word = |text: &String| check_token(found, "a word of a check", text, span);
        match service {
            CheckedService::Smtp { hello, domain } => {
                word(hello);
                check_dns_name(&mut self.found, domain, span);
            }
            CheckedService::Mysql {
                user: Some(user), ..
            }
            | CheckedService::Postgres { user } => {
                check_text(found, "a user", user, Use::HeaderValue, span);
            }
            CheckedService::SslHello
            | CheckedService::Mysql { user: None, .. }
            | CheckedService::Redis
            | CheckedService::Ldap => {}
        }
    }

    fn check_script_step(&mut self, step: &CheckStep<Named>, span: Span) {
        match step {
            CheckStep::Connect(CheckConnect { port: Some(0), .. }) => {
                let message = "a check cannot connect to port 0";
                self.found
                    .push(Diagnostic::error(Code::OutOfRange, span, message));
            }
            CheckStep::Connect(_) | CheckStep::Send(_) | CheckStep::Comment(_) => {}
            CheckStep::SendText { text, .. } => self.check_template(place(span), text),
            CheckStep::Set { variable, value } => {
                self.check_variable_of_check(variable, span);
                self.check_template(place(span), value);
            }
            CheckStep::Unset(variable) => self.check_variable_of_check(variable, span),
            CheckStep::Request(request) => {
                check_token(&mut self.found, "a method", &request.method, span);
                let what = "a request's path";
                self.check_written(place(span), what, &request.target, Use::Target);
                for (name, value) in &request.headers {
                    check_header_name(&mut self.found, name, span);
                    let what = "a header's value";
                    self.check_written(place(span), what, value, Use::HeaderValue);
                }
                self.check_template(place(span), &request.body);
            }
            CheckStep::Expect(expect) => self.check_script_expect(expect, span),
            CheckStep::Http(http) => self.check_http_check(http, span),
        }
    }

    fn check_script_expect(&mut self, expect: &CheckExpect<Named>, span: Span) {
        match &expect.that {
            Expectation::Status(ranges) => self.check_ranges(ranges, span),
            Expectation::Computed { text, .. } => self.check_template(place(span), text),
            Expectation::Header { name, value, .. } => {
                for text in [Some(name), value.as_ref()].into_iter().flatten() {
                    if let CheckText::Text { text, .. } = text {
                        self.check_template(place(span), text);
                    }
                }
            }
            _ => {}
        }
        for text in [&expect.on_success, &expect.on_error].into_iter().flatten() {
            self.check_template(place(span), text);
        }
        if let Some(code) = &expect.code {
            self.check_expression(place(span), code);
        }
    }

    fn check_variable_of_check(&mut self, variable: &Variable, span: Span) {
        if variable.scope != Scope::Check {
            self.found.push(
                Diagnostic::error(
                    Code::WrongPhase,
                    span,
                    "a check sets its own variables only",
                )
                .help("give the variable the scope of the check"),
            );
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
        self.check_ranges(&http.expect, span);
    }

    fn check_ranges(&mut self, ranges: &[NumberRange], span: Span) {
        let found = &mut self.found;
        for range in ranges {
            let bound = |value: i64| u16::try_from(value).unwrap_or(0);
            check_status(found, bound(range.min), (100, 599), span);
            check_status(found, bound(range.max), (100, 599), span);
            if range.min > range.max {
                found.push(reversed(range, span));
            }
        }
    }
}

fn jitter(found: &mut Diagnostics, given: Option<Spanned<u16>>) -> u16 {
    given_within(
        found,
        "the jitter of checks, in percent",
        given,
        (0, MAX_JITTER),
    );
    given.map_or(defaults::JITTER_PERCENT, |x| x.value)
}
