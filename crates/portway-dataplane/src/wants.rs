//! What logs want to know that costs something to find out: looked for once, when a configuration is installed.

use portway_core::password::takes_long;
use portway_model::action::{Action, AnswerBody, FixedResponse, NewTimeout, Phase, Rule, Service};
use portway_model::choice::Algorithm;
use portway_model::draft::LogFormat;
use portway_model::expression::{Condition, LogValue, Template, TemplatePart, Value};
use portway_model::limit::Limit;
use portway_model::settings::ErrorPageSource;
use portway_model::snapshot::{ErrorPage, Listener, Snapshot, TargetGroup, UserlistId};
use portway_model::stage::Resolved;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the records of one listener want.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// Our address towards the target: a question to the kernel for each connection.
    pub(crate) upstream_address: bool,
    /// The size of heads as HAProxy counts it.
    pub(crate) sizes: bool,
    /// Slots that rules capture into from requests; a group's rules fill the slots that the listener has.
    pub(crate) request_captures: u16,
    /// Slots that rules capture into from responses.
    pub(crate) response_captures: u16,
}

impl Wants {
    /// What a listener wants that may forward to these groups.
    pub fn of(listener: &Listener, groups: &[Arc<TargetGroup>]) -> Self {
        let mut wants = Self::default();
        let mut want = |value: &Value<Resolved>| match value {
            Value::Log(LogValue::UpstreamAddress | LogValue::UpstreamPort) => {
                wants.upstream_address = true;
            }
            Value::Log(LogValue::BytesRead) => wants.sizes = true,
            _ => {}
        };
        each_value(listener, &mut want);
        // A group does not know its listeners.
        for rule in groups.iter().flat_map(|group| group.rules.iter()) {
            of_rule(rule, &mut want);
        }
        let slots = |phases: &[Phase]| {
            let rules = phases.iter().flat_map(|phase| listener.rules.of(*phase));
            let actions = rules.flat_map(|rule| &rule.actions);
            let slots = actions.filter_map(|action| match action {
                Action::Capture { slot, .. } => slot.map(|slot| slot.saturating_add(1)),
                _ => None,
            });
            slots.max().unwrap_or(0)
        };
        wants.request_captures = slots(&[Phase::Request]);
        wants.response_captures = slots(&[Phase::Response, Phase::AfterResponse]);
        wants
    }
}

/// Whether some log, rule or id wants each request to have a number.
pub fn numbers_requests(snapshot: &Snapshot) -> bool {
    let mut wanted = false;
    let mut look = |value: &Value<Resolved>| {
        wanted |= matches!(value, Value::Log(LogValue::RequestCounter));
    };
    for listener in &snapshot.listeners {
        each_value(listener, &mut look);
    }
    for group in &snapshot.groups {
        each_value_of_group(group, &mut look);
    }
    wanted
}

/// The lists of users with slow hashes that something asks which cannot wait for an answer: all but the conditions of
/// rules for requests, and what asks for authorization.
pub fn late_users(snapshot: &Snapshot) -> Vec<UserlistId> {
    let mut asked = BTreeSet::new();
    let mut look = |value: &Value<Resolved>| match value {
        Value::Authenticated(users)
        | Value::AuthenticatedUser(users)
        | Value::InUserGroup { users, .. } => {
            asked.insert(users.0);
        }
        _ => {}
    };
    for listener in &snapshot.listeners {
        of_settings(listener, &mut look);
        listener.rules.iter().for_each(|it| of_late(it, &mut look));
    }
    for group in &snapshot.groups {
        of_settings_of_group(group, &mut look);
        group.rules.iter().for_each(|it| of_late(it, &mut look));
    }
    let slow = |id: &UserlistId| {
        let list = snapshot.userlists.get(id.index());
        let mut users = list.into_iter().flat_map(|list| &list.users);
        users.any(|user| takes_long(&user.password))
    };
    asked.into_iter().map(UserlistId).filter(slow).collect()
}

/// What of a rule is asked when nobody can wait.
fn of_late(rule: &Rule<Resolved>, visit: &mut impl FnMut(&Value<Resolved>)) {
    match rule.phase {
        Phase::ClientHello | Phase::Request => {
            rule.actions.iter().for_each(|it| of_action(it, visit))
        }
        _ => of_rule(rule, visit),
    }
}

/// Visits every value of a group.
fn each_value_of_group(group: &TargetGroup, visit: &mut impl FnMut(&Value<Resolved>)) {
    of_settings_of_group(group, visit);
    group.rules.iter().for_each(|rule| of_rule(rule, visit));
}

/// All of them but those of its rules.
fn of_settings_of_group(group: &TargetGroup, visit: &mut impl FnMut(&Value<Resolved>)) {
    if let Algorithm::Hash { value, .. } = &group.algorithm {
        of_value(&value.value, visit);
    }
    for page in &group.error_pages {
        of_page(page, visit);
    }
}

/// Visits every value of a listener's logs, ids and rules.
fn each_value(listener: &Listener, visit: &mut impl FnMut(&Value<Resolved>)) {
    of_settings(listener, visit);
    listener.rules.iter().for_each(|rule| of_rule(rule, visit));
}

/// All of them but those of its rules.
fn of_settings(listener: &Listener, visit: &mut impl FnMut(&Value<Resolved>)) {
    if let Some(log) = &listener.access_log {
        if let LogFormat::Template(template) = &log.format {
            of_template(template, visit);
        }
        if let Some(condition) = &log.when {
            of_condition(condition, visit);
        }
        for template in [&log.error_format, &log.structured_data] {
            template.iter().for_each(|it| of_template(it, visit));
        }
    }
    let id = listener.request_id.as_ref();
    if let Some(template) = id.and_then(|id| id.format.as_ref()) {
        of_template(template, visit);
    }
    for page in &listener.error_pages {
        of_page(page, visit);
    }
}

fn of_rule(rule: &Rule<Resolved>, visit: &mut impl FnMut(&Value<Resolved>)) {
    of_condition(&rule.condition, visit);
    for action in &rule.actions {
        of_action(action, visit);
    }
}

fn of_condition(condition: &Condition<Resolved>, visit: &mut impl FnMut(&Value<Resolved>)) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| of_condition(part, visit));
        }
        Condition::Not(part) => of_condition(part, visit),
        Condition::Test(test) => of_value(&test.value.expression.value, visit),
    }
}

/// Visits the values of an action, and what they are made of.
pub(crate) fn of_action(action: &Action<Resolved>, visit: &mut impl FnMut(&Value<Resolved>)) {
    match action {
        Action::ForwardByName { name: template, .. }
        | Action::Redirect {
            location: template, ..
        }
        | Action::SetHeader {
            value: template, ..
        }
        | Action::SetArgument {
            value: template, ..
        }
        | Action::AddHeader {
            value: template, ..
        }
        | Action::SetVariable {
            value: template, ..
        }
        | Action::RemoveEntry { key: template, .. }
        | Action::ReplaceHeader { with: template, .. }
        | Action::ReplacePath { with: template, .. }
        | Action::ReplaceTarget { with: template, .. }
        | Action::ReplaceUrl { with: template, .. }
        | Action::SetPath(template)
        | Action::SetQuery(template)
        | Action::SetTarget(template)
        | Action::SetUrl(template)
        | Action::SetMethod(template)
        | Action::UseTarget(template) => of_template(template, visit),
        Action::PutEntry { key, value, .. } => {
            of_template(key, visit);
            if let Some(value) = value {
                of_template(value, visit);
            }
        }
        Action::Respond(response) | Action::Deny(response) | Action::Tarpit { response, .. } => {
            of_response(response, visit);
        }
        Action::Capture { value, .. }
        | Action::SetEnd { to: value, .. }
        | Action::SetPriority { to: value, .. }
        | Action::SetMark { to: value, .. }
        | Action::Track { key: value, .. }
        | Action::Stick { key: value, .. }
        | Action::Limit(Limit::Rate { key: value, .. } | Limit::Concurrency { key: value, .. })
        | Action::SetTimeout {
            to: NewTimeout::Milliseconds(value),
            ..
        } => of_value(&value.value, visit),
        Action::Authorize(asked) => {
            of_template(&asked.target, visit);
            for (_, value) in &asked.headers {
                of_template(value, visit);
            }
        }
        Action::PageFrom(pages) => {
            for target in pages.iter().filter_map(|page| page.target.as_ref()) {
                of_template(target, visit);
            }
        }
        Action::Service(Service::Stats(page)) => {
            if let Some(condition) = &page.admin {
                of_condition(condition, visit);
            }
        }
        Action::ForwardByHash { hash: value, .. } => of_value(&value.value, visit),
        Action::Forward(_)
        | Action::HandOver(_)
        | Action::Limit(Limit::Body { .. } | Limit::Circuit(_))
        | Action::Compress(_)
        | Action::Mirror(_)
        | Action::TraceContext(_)
        | Action::DigestAuth(_)
        | Action::Jwt(_)
        | Action::Cors(_)
        | Action::SecurityHeaders(_)
        | Action::RemoveArgument(_)
        | Action::Authenticate { .. }
        | Action::Accept
        | Action::DisableL7Retry
        | Action::ExpectProxy(_)
        | Action::Reject { .. }
        | Action::Service(Service::Metrics)
        | Action::RemoveHeader { .. }
        | Action::RemoveHeaders(_)
        | Action::StripPrefix(_)
        | Action::AddPrefix(_)
        | Action::Normalize(_)
        | Action::SetStatus { .. }
        | Action::UnsetVariable(_)
        | Action::Increment { .. }
        | Action::SetTimeout { .. }
        | Action::WaitForBody { .. }
        | Action::SetLog(_)
        | Action::SetStickiness(_) => {}
    }
}

fn of_page(page: &ErrorPage, visit: &mut impl FnMut(&Value<Resolved>)) {
    if let ErrorPageSource::Answer(answer) = &page.page {
        of_template(&answer.body, visit);
        for (_, template) in &answer.headers {
            of_template(template, visit);
        }
    }
}

fn of_response(response: &FixedResponse<Resolved>, visit: &mut impl FnMut(&Value<Resolved>)) {
    if let AnswerBody::Text(template) = &response.body {
        of_template(template, visit);
    }
    for (_, template) in &response.headers {
        of_template(template, visit);
    }
}

fn of_template(template: &Template<Resolved>, visit: &mut impl FnMut(&Value<Resolved>)) {
    for part in &template.0 {
        if let TemplatePart::Expression(expression) = part {
            of_value(&expression.value.value, visit);
        }
    }
}

/// Visits a value and what it is made of.
fn of_value(value: &Value<Resolved>, visit: &mut impl FnMut(&Value<Resolved>)) {
    visit(value);
    match value {
        Value::WithSource(of) => of_value(&of.value, visit),
        Value::Matched(matched) => {
            matched
                .within
                .iter()
                .for_each(|it| of_value(&it.expression.value, visit));
        }
        _ => {}
    }
}
