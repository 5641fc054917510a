//! Runs rules on an exchange and says where it goes.
//!
//! Decides nothing of its own: conditions are judged by `portway_core::evaluate`, the order of rules by the
//! listener's index. What a rule changes is seen by the rules after it.

use crate::exchange::Exchange;
use crate::service::Asked;
use portway_core::evaluate::rewrite::{
    add_prefix, replace_header_value, replace_path, replace_target, split_target, strip_prefix,
};
use portway_core::evaluate::{
    self, write_header_value, write_location, write_path, write_query, write_replacement,
    write_target, write_template,
};
use portway_core::route::Router;
use portway_model::action::{Action, AnswerBody, FixedResponse, Rule, Weighted};
use portway_model::snapshot::GroupId;
use portway_model::stage::Resolved;
use std::ops::ControlFlow;

/// Which side's head rules work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The request, on its way to the target.
    Request,
    /// The response, on its way to the client.
    Response,
}

/// Where an exchange goes.
#[derive(Debug)]
pub(crate) enum Decision {
    /// To this group.
    Forward(GroupId),
    /// Answered by us.
    Answer(Answer),
    /// Answered by control.
    Service(Box<Asked>),
    /// The connection is closed without an answer.
    Close,
    /// No rule says.
    Undecided,
}

/// An answer of our own.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whole header lines, each with its CRLF.
    pub(crate) fields: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// Runs the rules of one list until one ends the phase.
pub(crate) fn run(
    x: &mut Exchange<'_>,
    rules: &[Rule<Resolved>],
    router: Option<&Router>,
    side: Side,
) -> Decision {
    let mut from = 0;
    let mut accepted = false;
    loop {
        let next = match router {
            Some(router) => router.next_match(rules, &*x, from),
            None => rules
                .iter()
                .enumerate()
                .skip(from)
                .find(|(_, rule)| evaluate::holds(&rule.condition, &*x))
                .map(|(index, _)| index),
        };
        let Some((index, rule)) = next.and_then(|index| Some((index, rules.get(index)?))) else {
            return Decision::Undecided;
        };
        for action in &rule.actions {
            if accepted && !action.forwards() {
                continue;
            }
            if matches!(action, Action::Accept) {
                accepted = true;
                break;
            }
            if let Some(decision) = perform(x, action, side) {
                return decision;
            }
        }
        from = index + 1;
    }
}

/// Performs one action; gives a decision where it ends the phase.
fn perform(x: &mut Exchange<'_>, action: &Action<Resolved>, side: Side) -> Option<Decision> {
    match action {
        Action::Forward(groups) => {
            let group = draw(groups, x.connection.worker.random());
            return Some(group.map_or(Decision::Undecided, Decision::Forward));
        }
        Action::Redirect { location, status } => {
            let mut answer = Answer {
                status: *status,
                ..Answer::default()
            };
            answer.fields.extend_from_slice(b"Location: ");
            write_location(location, &*x, &mut answer.fields);
            answer.fields.extend_from_slice(b"\r\n");
            return Some(Decision::Answer(answer));
        }
        Action::Respond(response) => return Some(Decision::Answer(fixed(x, response))),
        Action::Service(service) => {
            return Some(Decision::Service(Box::new(Asked::of(service, x))));
        }
        Action::Reject { .. } => return Some(Decision::Close),
        Action::SetStatus { status, .. } => x.response_status = Some(*status),
        Action::SetMethod(method) => x.line.method = Some(method.clone()),
        Action::SetVariable { variable, value } => {
            let mut bytes = Vec::new();
            write_template(value, &*x, &mut bytes);
            x.scratch.variables.retain(|(name, _)| name != variable);
            x.scratch.variables.push((variable.clone(), bytes));
        }
        Action::UnsetVariable(variable) => x.scratch.variables.retain(|(name, _)| name != variable),
        Action::SetHeader { .. }
        | Action::AddHeader { .. }
        | Action::RemoveHeader { .. }
        | Action::ReplaceHeader { .. } => edit_fields(x, action, side),
        Action::SetPath(_)
        | Action::ReplacePath { .. }
        | Action::ReplaceTarget { .. }
        | Action::StripPrefix(_)
        | Action::AddPrefix(_)
        | Action::SetQuery(_)
        | Action::SetTarget(_) => edit_target(x, action),
        // Seen by `run`, done when the connection came, or refused by `support` before a plane is made.
        Action::Accept
        | Action::ExpectProxy
        | Action::ForwardByName { .. }
        | Action::Authenticate { .. }
        | Action::Tarpit { .. }
        | Action::Track { .. }
        | Action::Increment { .. }
        | Action::Capture { .. }
        | Action::Deny(_)
        | Action::RemoveHeaders(_)
        | Action::WaitForBody { .. }
        | Action::SetTimeout { .. }
        | Action::SetLog(_)
        | Action::SetStickiness(_) => {}
    }
    None
}

/// Draws one of the groups in proportion to their weights; `None` where none has any.
pub(crate) fn draw(groups: &[Weighted<Resolved>], chance: u64) -> Option<GroupId> {
    if let [only] = groups {
        return Some(only.group);
    }
    let sum: u64 = groups
        .iter()
        .map(|weighted| u64::from(weighted.weight))
        .sum();
    let mut drawn = chance.checked_rem(sum)?;
    groups
        .iter()
        .find(|weighted| {
            let weight = u64::from(weighted.weight);
            let taken = drawn < weight;
            drawn = drawn.wrapping_sub(weight);
            taken
        })
        .map(|weighted| weighted.group)
}

fn fixed(x: &Exchange<'_>, response: &FixedResponse<Resolved>) -> Answer {
    let mut answer = Answer {
        status: response.status,
        ..Answer::default()
    };
    if let AnswerBody::Text(text) = &response.body {
        write_template(text, x, &mut answer.body);
    }
    if let Some(content_type) = &response.content_type {
        portway_core::http1::write_field(
            &mut answer.fields,
            b"Content-Type",
            content_type.as_bytes(),
        );
    }
    for (name, value) in &response.headers {
        answer.fields.extend_from_slice(name.as_bytes());
        answer.fields.extend_from_slice(b": ");
        write_header_value(value, x, &mut answer.fields);
        answer.fields.extend_from_slice(b"\r\n");
    }
    answer
}

fn edit_fields(x: &mut Exchange<'_>, action: &Action<Resolved>, side: Side) {
    // Taken out so that the value can be computed from the exchange as it is now.
    let mut value = std::mem::take(&mut x.scratch.head);
    value.clear();
    match action {
        Action::SetHeader {
            name,
            value: template,
        }
        | Action::AddHeader {
            name,
            value: template,
        } => {
            write_header_value(template, &*x, &mut value);
            let edits = edits(x, side);
            if matches!(action, Action::SetHeader { .. }) {
                edits.remove(name.as_bytes());
            }
            edits.add(name.as_bytes(), |out| out.extend_from_slice(&value));
        }
        Action::RemoveHeader { name } => edits(x, side).remove(name.as_bytes()),
        Action::ReplaceHeader {
            name,
            pattern,
            with,
            ..
        } => {
            write_replacement(with, &*x, &mut value);
            let mut values: Vec<Vec<u8>> = Vec::new();
            let mut visit = |old: &[u8]| {
                values.push(replace_header_value(pattern, &value, old).into_owned());
                ControlFlow::Continue(())
            };
            match side {
                Side::Request => evaluate::Facts::header(&*x, name, &mut visit),
                Side::Response => evaluate::Facts::response_header(&*x, name, &mut visit),
            }
            let edits = edits(x, side);
            edits.remove(name.as_bytes());
            for new in &values {
                edits.add(name.as_bytes(), |out| out.extend_from_slice(new));
            }
        }
        _ => {}
    }
    x.scratch.head = value;
}

fn edits<'a>(x: &'a mut Exchange<'_>, side: Side) -> &'a mut crate::fields::FieldEdits {
    match side {
        Side::Request => &mut x.scratch.request_edits,
        Side::Response => &mut x.scratch.response_edits,
    }
}

fn edit_target(x: &mut Exchange<'_>, action: &Action<Resolved>) {
    let mut out = Vec::new();
    match action {
        Action::SetPath(template) => {
            write_path(template, &*x, &mut out);
            x.line.path = Some(out);
        }
        Action::ReplacePath { pattern, with } => {
            let mut replacement = Vec::new();
            write_replacement(with, &*x, &mut replacement);
            if replace_path(pattern, &replacement, x.current_path(), &mut out) {
                x.line.path = Some(out);
            }
        }
        Action::ReplaceTarget { pattern, with } => {
            let mut replacement = Vec::new();
            write_replacement(with, &*x, &mut replacement);
            let mut target = x.current_path().to_vec();
            if let Some(query) = x.current_query() {
                target.push(b'?');
                target.extend_from_slice(query);
            }
            if replace_target(pattern, &replacement, &target, &mut out) {
                let (path, query) = split_target(&out);
                x.line.query = Some(query.map(<[u8]>::to_vec));
                x.line.path = Some(path.to_vec());
            }
        }
        Action::StripPrefix(prefixes) => {
            if let Some(prefix) = strip_prefix(prefixes, x.current_path(), &mut out) {
                x.scratch.request_edits.remove(b"X-Forwarded-Prefix");
                x.scratch.request_edits.add(b"X-Forwarded-Prefix", |value| {
                    value.extend_from_slice(prefix.as_bytes())
                });
                x.line.path = Some(out);
            }
        }
        Action::AddPrefix(prefix) => {
            add_prefix(prefix, x.current_path(), &mut out);
            x.line.path = Some(out);
        }
        Action::SetQuery(template) => {
            write_query(template, &*x, &mut out);
            x.line.query = Some((!out.is_empty()).then_some(out));
        }
        Action::SetTarget(template) => {
            write_target(template, &*x, &mut out);
            let (path, query) = split_target(&out);
            x.line.query = Some(query.map(<[u8]>::to_vec));
            x.line.path = Some(path.to_vec());
        }
        _ => {}
    }
}
