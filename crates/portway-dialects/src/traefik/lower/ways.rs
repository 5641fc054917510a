//! Where the requests of a router go: services of services become rules.
//!
//! A service without servers of its own is resolved to ways: groups with shares, each way under conditions on the health
//! of other groups. The first way whose conditions hold is taken, and the last one has none. A failover has the ways of
//! its service while that is healthy, then those of its fallback; a weighted service has one for each combination of the
//! ways of its parts, and so has one of highest random weight, whose groups share clients and not requests.

use super::super::matcher::{one_of, test};
use super::super::model::Object;
use super::super::schema::Section;
use super::Lowering;
use super::chain::Chain;
use super::retry::Attempts;
use super::service::{set_cookie, weighted};
use portway_model::action::Action;
use portway_model::choice::StickyCookie;
use portway_model::diagnostic::Code;
use portway_model::expression::{Condition, Matcher, NumberRange, Template, Value};
use portway_model::name::Name;
use portway_model::page::PageFrom;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::sync::Arc;

/// How deep services of services may go.
const MAX_DEPTH: usize = 8;

/// The most ways of one service: each is a rule of every router that uses it.
const MAX_WAYS: usize = 64;

type Groups = Vec<(String, f64)>;

/// Each group once, with all of its shares: a hash leads to it by its name.
fn once(groups: Groups) -> Groups {
    let mut all = Groups::new();
    for (name, share) in groups {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known += share,
            None => all.push((name, share)),
        }
    }
    all
}

/// Conditions, and the groups of each part with its weight.
type Combination<'a> = (Vec<Condition<Named>>, Vec<(&'a Groups, i64)>);

/// Groups with their shares, and when they are asked.
#[derive(Debug, Clone, Default)]
struct Way {
    conditions: Vec<Condition<Named>>,
    groups: Groups,
    /// The client's address says which of them, in place of chance.
    by_hash: bool,
}

impl Way {
    /// The groups, where a request may go to any of them.
    fn plain(&self) -> Option<&Groups> {
        let plain = self.conditions.is_empty() && !self.chooses_by_hash();
        plain.then_some(&self.groups)
    }

    fn chooses_by_hash(&self) -> bool {
        self.by_hash && self.groups.len() > 1
    }

    fn forward(self, at: Span) -> Action<Named> {
        match self.chooses_by_hash() {
            true => Action::ForwardByHash {
                hash: Value::Source.into(),
                groups: weighted(once(self.groups), at),
            },
            false => Action::Forward(weighted(self.groups, at)),
        }
    }
}

/// A service whose clients a cookie may keep: one with servers, or a failover.
#[derive(Debug)]
struct Part {
    /// What the cookie's value is made of.
    name: String,
    ways: Vec<Way>,
    healthy: Condition<Named>,
}

/// A service, resolved.
#[derive(Debug)]
pub(super) struct Reach {
    ways: Vec<Way>,
    parts: Vec<Part>,
    /// Some server of it may take traffic.
    healthy: Condition<Named>,
    /// Where requests that went the first so many ways go again, by the status of the answer.
    again: Option<(usize, PageFrom<Named>)>,
}

impl Reach {
    /// The groups, where neither health nor the client chooses among them.
    pub(super) fn only(self) -> Option<Groups> {
        match self.ways.as_slice() {
            [way] => way.plain().cloned(),
            _ => None,
        }
    }
}

/// What a service is resolved for.
#[derive(Debug, Clone, Copy)]
struct For<'a> {
    attempts: Option<&'a Attempts>,
    depth: usize,
}

impl For<'_> {
    fn below(self) -> Self {
        let depth = self.depth + 1;
        Self { depth, ..self }
    }
}

impl Lowering<'_> {
    /// Ends a router's chain: its requests go to this service.
    pub(super) fn serve_by(&mut self, service: &Object, name: Spanned<&str>, chain: &mut Chain) {
        if let Some(section) = service.section.section("mirroring") {
            self.one_type(service);
            self.mirroring(service, section, name.span, chain);
            return;
        }
        let Some(reach) = self.reach(service, name, chain.attempts.as_ref()) else {
            return;
        };
        let sticky = service.section.section("weighted").and_then(|section| {
            let short = self.model.services.short_name(service);
            self.sticky(section, &short)
        });
        if let Some(cookie) = sticky.filter(|_| reach.parts.len() > 1) {
            kept(&reach.parts, &cookie.value, chain, cookie.span);
        }
        let again = reach.again;
        let again = again.map(|(ways, page)| (ways, Action::PageFrom(Arc::new(vec![page]))));
        for (index, mut way) in reach.ways.into_iter().enumerate() {
            let conditions = std::mem::take(&mut way.conditions);
            let forward = way.forward(name.span);
            match all(conditions) {
                Some(condition) => {
                    let again = again.as_ref().filter(|(ways, _)| index < *ways);
                    let again = again.map(|(_, action)| action.clone());
                    let actions = again.into_iter().chain([forward]).collect();
                    chain.when(condition, actions, name.span);
                }
                None => chain.always(forward, chain.origin()),
            }
        }
    }

    /// Resolves a service.
    pub(super) fn reach(
        &mut self,
        service: &Object,
        name: Spanned<&str>,
        attempts: Option<&Attempts>,
    ) -> Option<Reach> {
        self.resolve(service, name, For { attempts, depth: 0 })
    }

    fn resolve(&mut self, service: &Object, name: Spanned<&str>, of: For<'_>) -> Option<Reach> {
        self.one_type(service);
        if of.depth > MAX_DEPTH {
            let message = format!("the service `{}` goes in a circle, or too deep", name.value);
            self.error(Code::TooLarge, name.span, message);
            return None;
        }
        if let Some(balancer) = service.section.section("loadBalancer") {
            let group = self.group(service, balancer, of.attempts)?;
            return Some(one_group(group, name.span));
        }
        if let Some(section) = service.section.section("failover") {
            return self.failover(service, section, of);
        }
        if let Some(section) = service.section.section("weighted") {
            let watched = section.get("healthCheck").is_some();
            return self.shared(service, section, name, Share::Requests { watched }, of);
        }
        if let Some(section) = service.section.section("highestRandomWeight") {
            return self.shared(service, section, name, Share::Clients, of);
        }
        if service.section.section("mirroring").is_some() {
            let message = "`mirroring` within another service is not done yet";
            self.error(Code::NotRun, name.span, message);
            return None;
        }
        if !self.found.has_errors() {
            let message = "a service without servers: `loadBalancer` is missing";
            self.error(Code::Missing, name.span, message);
        }
        None
    }

    /// Reports a part whose own parts share something else.
    fn mixed(&mut self, part: &Reach, share: Share, at: Span) {
        let hashes = part.ways.iter().any(Way::chooses_by_hash);
        let of_part = match hashes {
            true => Share::Clients,
            false => Share::Requests { watched: false },
        };
        let message = format!(
            "{} within {} is not done yet",
            of_part.words(),
            share.words()
        );
        self.error(Code::NotRun, at, message);
    }

    fn failover(&mut self, service: &Object, section: &Section, of: For<'_>) -> Option<Reach> {
        let short = self.model.services.short_name(service);
        let errors = section.section("errors");
        let main = self.side(service, section, "service", of);
        let fallback = self.side(service, section, "fallback", of);
        let again = errors.and_then(|errors| self.on_errors(errors, fallback.as_ref(), of));
        let ((main, _), (fallback, at)) = (main?, fallback?);
        let again = again.map(|(status, groups)| {
            let page = PageFrom {
                status,
                forward: weighted(groups, at),
                target: None,
                headers: None,
                answer_as: None,
            };
            (main.ways.len(), page)
        });
        let mut ways = main.ways;
        for way in &mut ways {
            way.conditions.push(main.healthy.clone());
        }
        ways.extend(fallback.ways);
        let healthy = Condition::Any(vec![main.healthy, fallback.healthy]);
        let part = Part {
            name: short,
            ways: ways.clone(),
            healthy: healthy.clone(),
        };
        Some(Reach {
            ways,
            parts: vec![part],
            healthy,
            again,
        })
    }

    /// The service or the fallback of a failover, and where it is named.
    fn side(
        &mut self,
        service: &Object,
        section: &Section,
        key: &str,
        of: For<'_>,
    ) -> Option<(Reach, Span)> {
        let Some(said) = section.some_text(key) else {
            let message = format!("a failover without `{key}`");
            self.error(Code::Missing, section.span, message);
            return None;
        };
        let model = self.model;
        let inner = model.services.find(said, service.provider, self.found)?;
        if key == "service" && section.get("errors").is_none() {
            self.unchecked(inner, said);
        }
        let reach = self.resolve(inner, said, of.below())?;
        Some((reach, said.span))
    }

    /// `errors` of a failover: the statuses, and the groups of the fallback.
    fn on_errors(
        &mut self,
        errors: &Section,
        fallback: Option<&(Reach, Span)>,
        of: For<'_>,
    ) -> Option<(Vec<NumberRange>, Groups)> {
        let status = self.statuses(errors.list("status"));
        if status.is_empty() {
            let message = "`status` is missing, such as `500-599`";
            self.error(Code::Missing, errors.span, message);
            return None;
        }
        if of.depth > 0 {
            let message = "`errors` of a failover within another service is not done yet";
            self.error(Code::NotRun, errors.span, message);
            return None;
        }
        let (fallback, at) = fallback?;
        let ways = fallback.ways.as_slice();
        match <&[Way; 1]>::try_from(ways)
            .ok()
            .and_then(|[way]| way.plain())
        {
            Some(groups) => Some((status, groups.clone())),
            None => {
                let message = "`errors` where health or the client chooses among the services of the fallback is not done yet";
                self.error(Code::NotRun, *at, message);
                None
            }
        }
    }

    /// A service of several that have weights.
    fn shared(
        &mut self,
        service: &Object,
        section: &Section,
        name: Spanned<&str>,
        share: Share,
        of: For<'_>,
    ) -> Option<Reach> {
        if let Some(sticky) = section.section("sticky").filter(|_| of.depth > 0) {
            let message = "`sticky` of a weighted service within another is not done yet";
            self.error(Code::NotRun, sticky.span, message);
        }
        let mut children = Vec::new();
        for part in section.objects("services") {
            let weight = part.number("weight");
            if let Some(weight) = weight.filter(|it| it.value < 0) {
                self.error(Code::OutOfRange, weight.span, "a weight is below 0");
            }
            let Some(inner_name) = part.some_text("name") else {
                let message = format!("a part of {} without `name`", share.words());
                self.error(Code::Missing, part.span, message);
                continue;
            };
            let model = self.model;
            let inner = model
                .services
                .find(inner_name, service.provider, self.found);
            if let Some(inner) = inner {
                let weight = weight.map_or(1, |it| it.value.max(0));
                let reach = self.resolve(inner, inner_name, of.below());
                if let Some(reach) = reach.as_ref().filter(|it| !share.may_have(it)) {
                    self.mixed(reach, share, inner_name.span);
                    continue;
                }
                children.extend(reach.map(|reach| (reach, weight)));
            }
        }
        if children.is_empty() {
            if !self.found.has_errors() {
                let message = format!("{} without `services`", share.words());
                self.error(Code::Missing, section.span, message);
            }
            return None;
        }
        let Some(ways) = combined(&children, share) else {
            let message = format!(
                "the health of the parts of `{}` makes too many combinations: {MAX_WAYS} are the most",
                name.value
            );
            self.error(Code::TooLarge, name.span, message);
            return None;
        };
        let healthy = children.iter().map(|(child, _)| child.healthy.clone());
        let healthy = Condition::Any(healthy.collect());
        let parts = children.into_iter().flat_map(|(child, _)| child.parts);
        Some(Reach {
            ways,
            parts: parts.collect(),
            healthy,
            again: None,
        })
    }
}

/// What the parts of a service share by their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Requests, each for itself. `watched`: parts that are not healthy are left out.
    Requests { watched: bool },
    /// Clients, by their addresses.
    Clients,
}

impl Share {
    fn words(self) -> &'static str {
        match self {
            Share::Requests { .. } => "a weighted service",
            Share::Clients => "a service of highest random weight",
        }
    }

    /// Whether what is shared in this service can be shared on by that part of it.
    fn may_have(self, part: &Reach) -> bool {
        let by_hash = self == Share::Clients;
        let mut ways = part.ways.iter();
        ways.all(|way| way.groups.len() < 2 || way.by_hash == by_hash)
    }
}

/// Every combination of the ways of these services with their weights; `None`: too many. `watched`: one that is not healthy
/// has no share.
fn combined(children: &[(Reach, i64)], share: Share) -> Option<Vec<Way>> {
    // The last way of a child that is watched is none.
    let watched = share == Share::Requests { watched: true };
    let mut all: Vec<Combination<'_>> = vec![Default::default()];
    for (child, weight) in children {
        let mut next = Vec::new();
        for (conditions, groups) in &all {
            for way in &child.ways {
                let mut conditions = conditions.clone();
                conditions.extend(watched.then(|| child.healthy.clone()));
                conditions.extend(way.conditions.iter().cloned());
                let mut groups = groups.clone();
                groups.push((&way.groups, *weight));
                next.push((conditions, groups));
            }
            if watched {
                next.push((conditions.clone(), groups.clone()));
            }
        }
        if next.len() > MAX_WAYS {
            return None;
        }
        all = next;
    }
    let last = children.iter().filter_map(|(child, weight)| {
        let way = child.ways.last()?;
        Some((&way.groups, *weight))
    });
    let last: Vec<_> = last.collect();
    let ways = all.into_iter().map(|(conditions, groups)| {
        // Where none is healthy, their own groups say so.
        let groups = match groups.is_empty() {
            true => &last,
            false => &groups,
        };
        let sum: i64 = groups.iter().map(|(_, weight)| weight).sum();
        let shares = groups.iter().flat_map(|(groups, weight)| {
            let part = *weight as f64 / sum.max(1) as f64;
            let each = groups.iter();
            each.map(move |(name, share)| (name.clone(), share * part))
        });
        Way {
            conditions,
            groups: shares.collect(),
            by_hash: share == Share::Clients,
        }
    });
    Some(ways.collect())
}

/// The reach of a service with servers.
fn one_group(group: String, at: Span) -> Reach {
    let healthy = has_healthy(&group, at);
    let way = Way {
        conditions: Vec::new(),
        groups: vec![(group.clone(), 1.0)],
        by_hash: false,
    };
    Reach {
        ways: vec![way.clone()],
        parts: vec![Part {
            name: group,
            ways: vec![way],
            healthy: healthy.clone(),
        }],
        healthy,
        again: None,
    }
}

fn all(mut conditions: Vec<Condition<Named>>) -> Option<Condition<Named>> {
    match conditions.len() {
        0 => None,
        1 => conditions.pop(),
        _ => Some(Condition::All(conditions)),
    }
}

/// A server of the group may take traffic.
fn has_healthy(group: &str, at: Span) -> Condition<Named> {
    let some = NumberRange {
        min: 1,
        max: i64::MAX,
    };
    let group = Spanned::new(Name::new(group), at);
    let how = Matcher::Number { any_of: vec![some] };
    test(Value::HealthyTargets(group), how, at)
}

/// Keeps clients with one of several services: a cookie names it, and is set where it does not.
fn kept(parts: &[Part], cookie: &StickyCookie, chain: &mut Chain, at: Span) {
    for part in parts {
        let value = cookie_value(&part.name);
        let of_client = Value::Cookie(cookie.name.clone());
        let is_named = one_of(of_client, vec![value.clone()], false, at);
        for way in &part.ways {
            let mut stays = vec![is_named.clone(), part.healthy.clone()];
            stays.extend(way.conditions.iter().cloned());
            let to = way.clone().forward(at);
            chain.when(Condition::All(stays), vec![to], at);
        }
        let groups = part.ways.iter().flat_map(|way| &way.groups);
        let groups = groups.map(|(name, _)| name.clone()).collect();
        let chosen = one_of(Value::GroupName, groups, false, at);
        let is_new = Condition::All(vec![chosen, Condition::Not(Box::new(is_named))]);
        let set = Action::AddHeader {
            name: "Set-Cookie".to_owned(),
            value: Template::text(set_cookie(cookie, &value)),
        };
        chain.response(Some(is_new), vec![set], at);
    }
}

/// What stands in a cookie for a service, the same at every start.
fn cookie_value(service: &str) -> String {
    // FNV-1a.
    let hash = service
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{hash:016x}")
}
