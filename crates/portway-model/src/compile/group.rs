//! Target groups: targets, who is chosen, who is kept, what is tried again. Their checks are in `check`.

use super::expressions::{Moment, Place, Side};
use super::limits::{self, MAX_POOL_SIZE, MAX_RETRIES, MAX_RETRY_BUDGET, given_within};
use super::listener::check_interface;
use super::resolution::resolution;
use super::rules::Owner;
use super::text::{
    Use, check_dns_name, check_header_written, check_path, check_status, check_text, check_token,
};
use super::{Compiler, Reported};
use crate::action::Action;
use crate::action::Phase;
use crate::address::{Host, TargetAddress, domain_of_service};
use crate::choice::{
    Algorithm, CookieMode, CookieValues, RetryOn, RetryTo, StickyCookie, TrackedDraft,
};
use crate::convert::{self, Convert as _};
use crate::defaults;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::{GroupDraft, GroupTimeoutsDraft, TargetDraft, TargetTlsDraft};
use crate::members::may_be_named;
use crate::name::Name;
use crate::proxied::{OWN_TYPES, PassOn};
use crate::resolution::Take;
use crate::settings::{
    Borrowed, GroupTimeouts, Protocol, ProxyPart, ProxyProtocol, SameSite, SendProxy,
    SourceAddress, TargetSendProxy,
};
use crate::snapshot::{GroupId, HealthCheck, Target, TargetGroup, TargetRef, TargetTls};
use crate::span::{Origin, Span, Spanned};
use crate::stage::{Named, Resolved};
use std::collections::HashMap;
use std::time::Duration;

/// The name of a target that has none.
pub(crate) fn default_target_name(address: &TargetAddress) -> Name {
    Name::from(address.to_string())
}

/// Longest chain of targets that are like another: longer ones are a circle.
const MAX_TRACK: usize = 64;

impl Compiler<'_> {
    pub(super) fn target_group(
        &mut self,
        index: usize,
        draft: &GroupDraft,
    ) -> Result<TargetGroup, Reported> {
        let protocol = self.protocols.groups.get(index).copied();
        let protocol = protocol.unwrap_or(Protocol::Http);
        let algorithm = self.algorithm(draft.algorithm.as_ref(), protocol);
        let stickiness = draft.stickiness.as_ref();
        let stickiness = stickiness.map(|kind| self.stickiness(kind, protocol));
        let health_check = draft.health_check.as_ref();
        let health_check = health_check
            .map(|check| self.health_check(check))
            .transpose();
        let check = health_check.as_ref().ok().and_then(Option::as_ref);
        let targets = self.targets(draft, protocol, check);
        self.check_retries(draft);
        self.check_choice(draft);
        self.check_futile(draft);
        let tls = self.upstream_tls(draft, protocol);
        let rules = self.rules(&Owner::group(draft, protocol), &draft.rules);
        self.check_log_destinations(&draft.log);
        let error_pages = self.error_pages(&draft.error_pages, Side::Group(protocol));
        let found = &mut self.found;
        given_within(found, "retries", draft.retries, (0, MAX_RETRIES));
        given_within(
            found,
            "a budget of retries",
            draft.retry_budget,
            (0, MAX_RETRY_BUDGET),
        );
        let kept = (0, limits::MAX_KEPT_BODY);
        given_within(found, "a body's bytes", draft.retry_body_bytes, kept);
        super::life::of_other_protocol(found, draft, protocol);
        let backoff = draft.retry_backoff;
        let retry_backoff =
            limits::duration_or_zero(found, "the wait before a retry", backoff, Duration::ZERO);
        let within = draft.retry_within;
        let retry_within = limits::optional_duration(found, "the time for retries", within);
        given_within(found, "a pool size", draft.pool_size, (0, MAX_POOL_SIZE));
        Ok(TargetGroup {
            name: draft.name.value.clone(),
            number: self.number(draft.number),
            tags: draft.tags.clone().map(|x| x.value).unwrap_or_default(),
            protocol,
            targets: targets?,
            algorithm: algorithm?,
            stickiness,
            health_check: health_check?,
            timeouts: self.group_timeouts(&draft.timeouts, protocol),
            tls: tls?,
            rules: rules?,
            none_healthy: draft
                .none_healthy
                .map_or(defaults::NONE_HEALTHY, |x| x.value),
            min_healthy: draft.min_healthy.map_or(defaults::MIN_HEALTHY, |x| x.value),
            keep_share: draft.keep_share.is_some_and(|x| x.value),
            hash_balance_factor: draft.hash_balance_factor.map_or(0, |x| x.value),
            min_zone_healthy: draft
                .min_zone_healthy
                .map_or(defaults::MIN_ZONE_HEALTHY, |x| x.value),
            deregistration_delay: self.deregistration_delay(draft),
            retries: draft.retries.map_or(defaults::RETRIES, |x| x.value),
            retry_budget: draft
                .retry_budget
                .map_or(defaults::RETRY_BUDGET, |x| x.value),
            retry_body_bytes: draft.retry_body_bytes.map_or(0, |x| x.value),
            retry_backoff,
            retry_within,
            retry_idempotent_only: draft.retry_idempotent_only.is_some_and(|x| x.value),
            max_connections: draft.max_connections.map_or(0, |x| x.value),
            max_pending: draft.max_pending.map_or(0, |x| x.value),
            retry_to: draft.retry_to.map_or(defaults::RETRY_TO, |x| x.value),
            retry_on: draft
                .retry_on
                .as_ref()
                .map(|all| all.value.iter().map(|on| on.value).collect()),
            backups_together: draft.backups_together.is_some_and(|x| x.value),
            keep_when_down: draft.keep_when_down.is_some_and(|x| x.value),
            full_connections: draft.full_connections.map_or(0, |x| x.value),
            pool_size: draft.pool_size.map_or(defaults::POOL_SIZE, |x| x.value),
            life: super::life::life(&mut self.found, &draft.life, protocol),
            connection_reuse: draft
                .connection_reuse
                .map_or(defaults::CONNECTION_REUSE, |x| x.value),
            log: super::log::destinations(&draft.log),
            log_health_checks: draft.log_health_checks.is_some_and(|x| x.value),
            error_pages: error_pages?,
            close: draft.close.is_some_and(|x| x.value),
            abort_on_close: draft.abort_on_close.is_some_and(|x| x.value),
            target_name_header: draft.target_name_header.as_ref().map(|name| {
                check_header_written(&mut self.found, &name.value, name.span);
                name.value.clone()
            }),
            tcp: super::tcp::watch(&mut self.found, &draft.tcp, protocol),
            send_proxy: self.send_proxy(draft.send_proxy.as_ref()),
            passive_health: self.passive_health(draft.passive_health.as_ref(), protocol),
            origin: Origin(draft.name.span),
        })
    }

    fn send_proxy(&mut self, draft: Option<&Spanned<SendProxy>>) -> Option<SendProxy> {
        let Spanned { value, span } = draft?;
        let parts = value.parts.as_slice();
        let bare = parts.is_empty() && value.pass_on.is_nothing();
        let own = |of: &u8| OWN_TYPES.contains(of);
        let wrong = if value.version == ProxyProtocol::V1 && !bare {
            Some("version 1 of the PROXY protocol tells the addresses alone")
        } else if parts
            .iter()
            .enumerate()
            .any(|(index, part)| parts.iter().take(index).any(|before| before == part))
        {
            Some("a part of the PROXY protocol is named twice")
        } else if matches!(&value.pass_on, PassOn::Types(types) if types.iter().any(own)) {
            Some("a checksum (3) and padding (4) belong to the header that they stand in")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            let wrong = Diagnostic::error(Code::Conflict, *span, wrong);
            self.found.push(wrong);
        }
        let of_tls = |part: &ProxyPart| {
            use ProxyPart::{Cipher, CommonName, Key, Signature};
            matches!(part, Cipher | CommonName | Key | Signature)
        };
        if parts.iter().any(of_tls) && !parts.contains(&ProxyPart::Tls) {
            let message = "what is told of the client's TLS is part of `tls`, which is not told";
            let unused = Diagnostic::warning(Code::Unused, *span, message);
            self.found
                .push(unused.help("name `tls` among the parts too"));
        }
        Some(value.clone())
    }

    fn target_send_proxy(&mut self, draft: Option<&Spanned<TargetSendProxy>>) -> TargetSendProxy {
        let Some(Spanned { value, span }) = draft else {
            return TargetSendProxy::default();
        };
        if let TargetSendProxy::Own(own) = value {
            let own = Spanned::new(SendProxy::clone(own), *span);
            self.send_proxy(Some(&own));
        }
        value.clone()
    }

    fn group_timeouts(&mut self, draft: &GroupTimeoutsDraft, protocol: Protocol) -> GroupTimeouts {
        let found = &mut self.found;
        for given in [draft.attempt, draft.total].into_iter().flatten() {
            if !protocol.is_http() {
                let message = format!(
                    "a target group that speaks {} has no requests to be timed",
                    protocol.as_str()
                );
                let one = Diagnostic::error(Code::ProtocolMismatch, given.span, message);
                found.push(one.help("`connect` and `tunnel` are the times of its connections"));
            }
        }
        let mut optional = |what, given| limits::optional_duration(found, what, given);
        let tunnel = optional("the tunnel timeout", draft.tunnel);
        let tunnel_target = optional("the tunnel timeout", draft.tunnel_target);
        let tunnel_ending = optional("the timeout of ending tunnels", draft.tunnel_ending);
        let attempt = optional("the timeout of an attempt", draft.attempt);
        let total = optional("the timeout of a whole exchange", draft.total);
        let inspect = limits::duration_or_zero(
            found,
            "the inspection timeout",
            draft.inspect,
            defaults::INSPECT,
        );
        let inspect_response = limits::duration_or_zero(
            found,
            "the inspection timeout of responses",
            draft.inspect_response,
            defaults::INSPECT,
        );
        let mut time =
            |what, given, default| limits::duration(&mut self.found, what, given, default);
        GroupTimeouts {
            connect: time("the connect timeout", draft.connect, defaults::CONNECT),
            response: time("the response timeout", draft.response, defaults::RESPONSE),
            queue: time("the queue timeout", draft.queue, defaults::QUEUE),
            attempt,
            total,
            idle: time("the idle timeout", draft.idle, defaults::POOL_IDLE),
            tunnel,
            tunnel_target,
            tunnel_ending,
            inspect,
            inspect_response,
        }
    }

    fn targets(
        &mut self,
        group: &GroupDraft,
        protocol: Protocol,
        check: Option<&HealthCheck>,
    ) -> Result<Vec<Target>, Reported> {
        // One that is named as a table stands for the table.
        let has_table = || {
            let tables = &self.draft.stick_tables;
            tables.iter().any(|it| it.name.value == group.name.value)
        };
        if group.targets.is_empty() && !has_table() {
            self.found.push(
                Diagnostic::warning(
                    Code::NoTargets,
                    group.name.span,
                    format!("target group `{}` has no targets", group.name.value),
                )
                .help(match group.protocol.is_none_or(|it| it.value.is_http()) {
                    true => "requests that come to it are answered with 503",
                    false => "connections that come to it are closed",
                }),
            );
        }
        let mut names: HashMap<Name, Span> = HashMap::new();
        let mut addresses: HashMap<&TargetAddress, Span> = HashMap::new();
        let mut targets = Vec::with_capacity(group.targets.len());
        self.check_numbers(group);
        let mut failure = None;
        for draft in &group.targets {
            let track = draft
                .track
                .as_ref()
                .map(|it| self.tracked(group, &it.value));
            let track = track.transpose().unwrap_or_else(|reported| {
                failure = Some(reported);
                None
            });
            let tls = self.target_tls(draft, protocol).unwrap_or_else(|reported| {
                failure = Some(reported);
                TargetTls::Group
            });
            let target = Target {
                track,
                tls,
                path_prefix: self.path_prefix(draft, protocol),
                ..self.target(draft, check)
            };
            self.check_way(group, draft);
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
        self.check_uses(group, &targets);
        failure.map_or(Ok(targets), Err)
    }

    /// Targets that rules name must be there, as far as their names are known.
    fn check_uses(&mut self, group: &GroupDraft, targets: &[Target]) {
        for rule in &group.rules {
            for action in &rule.actions {
                let Action::UseTarget(name) = action else {
                    continue;
                };
                let Some(name) = name.as_text() else { continue };
                let is_named = |it: &Target| it.name.as_str() == name || may_be_named(it, name);
                if targets.iter().any(is_named) {
                    continue;
                }
                let group = &group.name.value;
                let message = format!("there is no target `{name}` in target group `{group}`");
                let known = targets.iter().map(|target| target.name.as_str());
                self.found.push(
                    Diagnostic::error(Code::UnknownReference, rule.origin.0, message)
                        .nearest(name, known),
                );
            }
        }
    }

    fn target_tls(
        &mut self,
        draft: &TargetDraft,
        protocol: Protocol,
    ) -> Result<TargetTls, Reported> {
        let Some(tls) = &draft.tls else {
            return Ok(TargetTls::Group);
        };
        Ok(match &tls.value {
            TargetTlsDraft::Group(true) => TargetTls::Group,
            TargetTlsDraft::Group(false) => TargetTls::Off,
            TargetTlsDraft::Own(own) => {
                TargetTls::Own(Box::new(self.upstream(own, protocol, tls.span)?))
            }
        })
    }

    /// A target can do without what its group has, and have nothing that its group does not have.
    fn check_way(&mut self, group: &GroupDraft, draft: &TargetDraft) {
        let is_tls = group
            .protocol
            .is_some_and(|protocol| protocol.value.is_tls());
        let tls = draft.tls.as_ref();
        let more = [
            (
                tls.map(|tls| tls.as_ref().map(|tls| *tls != TargetTlsDraft::Group(false))),
                is_tls,
                "TLS",
                "let the group speak `https` or `tls`, and give the others `tls = false`",
            ),
            (
                draft.send_proxy.as_ref().map(|sent| {
                    let of_group = sent.value == TargetSendProxy::Group;
                    Spanned::new(of_group, sent.span)
                }),
                group.send_proxy.is_some(),
                "the PROXY protocol",
                "give the group `send_proxy`, and the others `send_proxy = false`",
            ),
        ];
        for (given, there, what, help) in more {
            if let Some(given) = given.filter(|given| given.value && !there) {
                let message = format!("a target with {what} in a target group without it");
                self.found
                    .push(Diagnostic::error(Code::Conflict, given.span, message).help(help));
            }
        }
    }

    /// The target that another one is to be like.
    fn tracked(&mut self, own: &GroupDraft, tracked: &TrackedDraft) -> Result<TargetRef, Reported> {
        let name = tracked.group.as_ref().unwrap_or(&own.name);
        let group = self.group(name)?;
        let Some(target) = self.place_of(group, &tracked.target.value) else {
            self.found.push(
                Diagnostic::error(
                    Code::UnknownReference,
                    tracked.target.span,
                    format!(
                        "target group `{}` has no target `{}`",
                        name.value, tracked.target.value
                    ),
                )
                .label(name.span, "the group is here"),
            );
            return Err(Reported);
        };
        if self.stands_for_many(group, target) {
            self.found.push(
                Diagnostic::error(
                    Code::Conflict,
                    tracked.target.span,
                    format!(
                        "every address of `{}` is a target: which one it is to be like is not said",
                        tracked.target.value
                    ),
                )
                .help("give it a health check of its own"),
            );
        }
        let found = TargetRef { group, target };
        if !self.leads_to_a_check(found) {
            self.found.push(
                Diagnostic::error(
                    Code::Conflict,
                    tracked.target.span,
                    "targets are like each other in a circle",
                )
                .help("one of them must be checked itself"),
            );
        }
        Ok(found)
    }

    fn stands_for_many(&self, group: GroupId, target: u32) -> bool {
        let group = self.draft.groups.get(group.index());
        let target = usize::try_from(target)
            .ok()
            .and_then(|at| group?.targets.get(at));
        let said = target.and_then(|it| it.resolve.as_ref()?.value.take);
        let is_service = |it: &TargetDraft| matches!(it.address.value, TargetAddress::Service(_));
        match said {
            Some(take) => take.value == Take::All,
            None => target.is_some_and(is_service),
        }
    }

    fn place_of(&self, group: GroupId, name: &Name) -> Option<u32> {
        let targets = &self.draft.groups.get(group.index())?.targets;
        let place = targets.iter().position(|target| match &target.name {
            Some(own) => own.value == *name,
            None => default_target_name(&target.address.value) == *name,
        });
        u32::try_from(place?).ok()
    }

    /// True where the chain of targets that are like others ends.
    fn leads_to_a_check(&mut self, mut at: TargetRef) -> bool {
        for _ in 0..MAX_TRACK {
            let draft = self.draft;
            let group = draft.groups.get(at.group.index());
            let target = group.and_then(|group| group.targets.get(at.target as usize));
            let (Some(group), Some(next)) = (group, target.and_then(|it| it.track.as_ref())) else {
                return true;
            };
            let name = next.value.group.as_ref().unwrap_or(&group.name);
            let Ok(id) = self.group(name) else {
                return true;
            };
            let Some(target) = self.place_of(id, &next.value.target.value) else {
                return true;
            };
            at = TargetRef { group: id, target };
        }
        false
    }

    fn check_numbers(&mut self, group: &GroupDraft) {
        let mut given: HashMap<u32, Span> = HashMap::new();
        for number in group.targets.iter().filter_map(|target| target.number) {
            if let Some(first) = given.insert(number.value, number.span) {
                let message = format!("two targets have the number {}", number.value);
                self.found.push(
                    Diagnostic::error(Code::Duplicate, number.span, message)
                        .label(first, "the first is here"),
                );
            }
        }
    }

    fn check_retries(&mut self, draft: &GroupDraft) {
        if let Some(Spanned {
            value: RetryTo::SameThenAnother { every: 0 },
            span,
        }) = draft.retry_to
        {
            self.found.push(
                Diagnostic::error(Code::OutOfRange, span, "retries go to another target never")
                    .help("above 0: each so many-th; below 0: counted from the last"),
            );
        }
        for on in draft.retry_on.iter().flat_map(|all| &all.value) {
            match on.value {
                RetryOn::Status(status) => {
                    check_status(&mut self.found, status, (400, 599), on.span);
                }
                RetryOn::Statuses(from, to) => {
                    check_status(&mut self.found, from, (400, 599), on.span);
                    check_status(&mut self.found, to, (from.clamp(400, 599), 599), on.span);
                }
                _ => {}
            }
        }
    }

    fn target(&mut self, draft: &TargetDraft, check: Option<&HealthCheck>) -> Target {
        let address = &draft.address;
        let port = match &address.value {
            TargetAddress::Tcp { host, port } => {
                if let Host::Name(name) = host {
                    check_dns_name(&mut self.found, name, address.span);
                }
                Some(*port)
            }
            TargetAddress::Service(name) => {
                let domain = domain_of_service(name).unwrap_or(name);
                check_dns_name(&mut self.found, domain, address.span);
                None
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
        if let Some(cookie) = &draft.cookie {
            check_cookie_value(&mut self.found, cookie);
        }
        Target {
            number: self.number(draft.number),
            check: self.target_check(draft, check),
            agent: draft.agent.as_ref().and_then(|agent| self.agent(agent)),
            min_connections: draft.min_connections.map_or(0, |x| x.value),
            max_queue: draft.max_queue.map_or(0, |x| x.value),
            cookie: draft.cookie.as_ref().map(|x| x.value.clone()),
            stick: draft.stick.is_none_or(|x| x.value),
            slow_start: limits::duration_or_zero(
                &mut self.found,
                "the slow start",
                draft.slow_start,
                Duration::ZERO,
            ),
            slow_start_when_new: draft.slow_start_when_new.is_none_or(|x| x.value),
            shutdown_on_down: draft.shutdown_on_down.is_some_and(|x| x.value),
            shutdown_backups_on_up: draft.shutdown_backups_on_up.is_some_and(|x| x.value),
            tls: TargetTls::Group,
            send_proxy: self.target_send_proxy(draft.send_proxy.as_ref()),
            track: None,
            redirect: draft.redirect.as_ref().map(|x| x.value.clone()),
            path_prefix: None,
            source: draft.source.as_ref().map(|source| self.source(source)),
            tcp_user_timeout: super::tcp::user_timeout(&mut self.found, draft.tcp_user_timeout),
            first_address: match &draft.first_address {
                Some(sources) => sources.value.clone(),
                None => defaults::FIRST_ADDRESS.to_vec(),
            },
            resolve: resolution(&mut self.found, draft),
            member_of: None,
            name: match &draft.name {
                Some(name) => name.value.clone(),
                None => default_target_name(&address.value),
            },
            address: address.value.clone(),
            weight: draft.weight.map_or(defaults::WEIGHT, |x| x.value),
            near: draft.zone.is_some() && self.draft.process.zone_is(draft.zone.as_ref()),
            zone: draft.zone.as_ref().map(|x| x.value.clone()),
            backup: draft.backup.is_some_and(|x| x.value),
            disabled: draft.disabled.is_some_and(|x| x.value),
            max_connections: draft
                .max_connections
                .map_or(defaults::MAX_CONNECTIONS, |x| x.value),
            origin: Origin(draft.name.as_ref().map_or(address.span, |name| name.span)),
        }
    }

    fn path_prefix(&mut self, draft: &TargetDraft, protocol: Protocol) -> Option<String> {
        let Spanned { value, span } = draft.path_prefix.as_ref()?;
        if !protocol.is_http() {
            let message = format!(
                "a target group that speaks {} has no requests, whose paths could have a prefix",
                protocol.as_str()
            );
            let wrong = Diagnostic::error(Code::ProtocolMismatch, *span, message);
            self.found.push(wrong);
        }
        super::text::check_path(&mut self.found, "a prefix", value, *span);
        Some(value.clone())
    }

    /// Where connections to a target come from.
    fn source(&mut self, source: &Spanned<SourceAddress>) -> SourceAddress {
        if let Some(interface) = &source.value.interface {
            check_interface(&mut self.found, interface, source.span);
        }
        if let Some(Borrowed::Header { name, occurrence }) = &source.value.borrowed {
            check_header_written(&mut self.found, name, source.span);
            if *occurrence == 0 {
                let message = "there is no occurrence 0";
                let wrong = Diagnostic::error(Code::OutOfRange, source.span, message);
                self.found.push(wrong.help("1 is the first, -1 the last"));
            }
        }
        source.value.clone()
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
        if let Algorithm::Hash { value, .. } = &draft.value {
            self.check_expression(Self::key_place(protocol, draft.span), value);
        }
        if let Algorithm::Random { draws: 0 } = &draft.value {
            let message = "at least one target must be drawn";
            self.found
                .push(Diagnostic::error(Code::OutOfRange, draft.span, message));
        }
        convert::algorithm(self, &draft.value)
    }

    fn stickiness(&mut self, draft: &Spanned<StickyCookie>, protocol: Protocol) -> StickyCookie {
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
                .help("keep clients by the algorithm `source_hash` or a `stick` rule"),
            );
        }
        self.check_cookie(&draft.value, draft.span);
        draft.value.clone()
    }

    fn check_cookie(&mut self, cookie: &StickyCookie, span: Span) {
        let found = &mut self.found;
        for name in [Some(&cookie.name), cookie.cross_site.as_ref()]
            .into_iter()
            .flatten()
        {
            check_token(found, "the name of a cookie", name, span);
        }
        check_path(found, "the path of a cookie", &cookie.path, span);
        for domain in &cookie.domains {
            check_dns_name(found, domain.strip_prefix('.').unwrap_or(domain), span);
        }
        for attribute in &cookie.attributes {
            check_text(found, "an attribute", attribute, Use::HeaderValue, span);
            if attribute.contains(';') {
                let message = "an attribute of a cookie may not hold `;`";
                found.push(Diagnostic::error(Code::OutOfRange, span, message));
            }
        }
        for age in [cookie.max_idle, cookie.max_life].into_iter().flatten() {
            if age < Duration::from_secs(1) || age.subsec_nanos() != 0 {
                let message = "a cookie's age is told in whole seconds";
                found.push(Diagnostic::error(Code::OutOfRange, span, message));
            }
        }
        self.check_cookie_keys(cookie, span);
        self.check_cookie_mode(cookie, span);
        let found = &mut self.found;
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

    fn check_cookie_mode(&mut self, cookie: &StickyCookie, span: Span) {
        let (wrong, help) = match cookie.mode {
            CookieMode::Insert if cookie.cross_site.as_ref() == Some(&cookie.name) => (
                "two cookies of one name",
                "`cross_site` is the name of a second cookie",
            ),
            CookieMode::Insert => return,
            _ if matches!(cookie.values, CookieValues::Sealed { .. }) => (
                "a sealed value in a cookie of the target",
                "`sealed` goes with `mode = \"insert\"`",
            ),
            _ if cookie.cross_site.is_some() => (
                "`cross_site` without a cookie of Portway's",
                "`cross_site` goes with `mode = \"insert\"`",
            ),
            CookieMode::Rewrite if cookie.indirect => (
                "a cookie of the target that the target does not see",
                "`indirect` goes with `mode = \"insert\"`",
            ),
            _ if cookie.preserve && !cookie.indirect => (
                "`preserve` without a cookie of Portway's",
                "`preserve` goes with `mode = \"insert\"` or with `indirect`",
            ),
            CookieMode::Rewrite | CookieMode::Prefix | CookieMode::Passive => return,
        };
        self.found
            .push(Diagnostic::error(Code::Conflict, span, wrong).help(help));
    }
}

/// What HAProxy takes, but for what would end the cookie.
fn check_cookie_value(found: &mut Diagnostics, cookie: &Spanned<String>) {
    let wrong = |c: char| !c.is_ascii_graphic() || c == ';';
    if cookie.value.contains(wrong) {
        found.push(
            Diagnostic::error(
                Code::OutOfRange,
                cookie.span,
                format!("`{}` cannot stand in a cookie", cookie.value),
            )
            .help("printable ASCII without blanks and without `;`"),
        );
    }
}
