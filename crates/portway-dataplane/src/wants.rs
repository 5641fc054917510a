//! What logs want to know that costs something to find out: looked for once, when a configuration is installed.

use portway_model::action::{Action, AnswerBody, FixedResponse, Phase, Rule};
use portway_model::draft::LogFormat;
use portway_model::expression::{LogValue, Template, TemplatePart, Value};
use portway_model::settings::ErrorPageSource;
use portway_model::snapshot::{ErrorPage, Listener, Snapshot, TargetGroup};
use portway_model::stage::Resolved;
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
        let mut want = |value| match value {
            LogValue::UpstreamAddress | LogValue::UpstreamPort => wants.upstream_address = true,
            LogValue::BytesRead => wants.sizes = true,
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
    let mut look = |value| wanted |= value == LogValue::RequestCounter;
    for listener in &snapshot.listeners {
        each_value(listener, &mut look);
    }
    for group in &snapshot.groups {
        group.rules.iter().for_each(|rule| of_rule(rule, &mut look));
        group
            .error_pages
            .iter()
            .for_each(|page| of_page(page, &mut look));
    }
    wanted
}

/// Visits every log value that a listener's logs, ids and rules write.
fn each_value(listener: &Listener, visit: &mut impl FnMut(LogValue)) {
    if let Some(log) = &listener.access_log {
        if let LogFormat::Template(template) = &log.format {
            of_template(template, visit);
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
    listener.rules.iter().for_each(|rule| of_rule(rule, visit));
}

fn of_rule(rule: &Rule<Resolved>, visit: &mut impl FnMut(LogValue)) {
    for action in &rule.actions {
        match action {
            Action::SetHeader { value, .. }
            | Action::AddHeader { value, .. }
            | Action::SetVariable { value, .. }
            | Action::SetPath(value)
            | Action::SetQuery(value)
            | Action::SetTarget(value)
            | Action::SetUrl(value)
            | Action::SetMethod(value)
            | Action::Redirect {
                location: value, ..
            } => of_template(value, visit),
            Action::Respond(response) => of_response(response, visit),
            Action::Capture { value, .. } => of_value(&value.value, visit),
            _ => {}
        }
    }
}

fn of_page(page: &ErrorPage, visit: &mut impl FnMut(LogValue)) {
    if let ErrorPageSource::Answer(answer) = &page.page {
        of_template(&answer.body, visit);
        for (_, template) in &answer.headers {
            of_template(template, visit);
        }
    }
}

fn of_response(response: &FixedResponse<Resolved>, visit: &mut impl FnMut(LogValue)) {
    if let AnswerBody::Text(template) = &response.body {
        of_template(template, visit);
    }
    for (_, template) in &response.headers {
        of_template(template, visit);
    }
}

fn of_template(template: &Template<Resolved>, visit: &mut impl FnMut(LogValue)) {
    for part in &template.0 {
        if let TemplatePart::Expression(expression) = part {
            of_value(&expression.value.value, visit);
        }
    }
}

fn of_value(value: &Value<Resolved>, visit: &mut impl FnMut(LogValue)) {
    if let Value::Log(value) = value {
        visit(*value);
    }
}
