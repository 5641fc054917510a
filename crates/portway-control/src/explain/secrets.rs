//! What the running Portway does not tell: what the configuration may keep secret, and what rules made of it.

use portway_dataplane::explain::{Done, Reason};
use portway_dialects::{expression, native};
use portway_model::action::{Action, AnswerBody, Phase, Rule};
use portway_model::expression::{
    Condition, Expression, Matched, Matcher, Template, TemplatePart, Value, Variable,
};
use portway_model::lift::lift_expression;
use portway_model::snapshot::Snapshot;
use portway_model::stage::Resolved;

/// In place of what may be a secret.
pub(super) const HIDDEN: &str = "(not shown: it may be a secret)";

/// Knows what may be a secret.
pub(super) struct Discretion<'s> {
    snapshot: &'s Snapshot,
    /// Nothing is said that may be one; else all is.
    is_on: bool,
    copies: Copies,
}

/// What rules make of secrets under other names, in however many steps.
#[derive(Default)]
struct Copies {
    variables: Vec<Variable>,
    /// In lower case.
    headers: Vec<String>,
    /// Path or query.
    target: bool,
}

impl<'s> Discretion<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, is_on: bool) -> Self {
        let mut discretion = Self {
            snapshot,
            is_on,
            copies: Copies::default(),
        };
        // A copy of a copy is found once the first is known.
        while is_on && discretion.finds_more() {}
        discretion
    }

    /// Looks for names under which rules keep what may be a secret. False where all are known.
    fn finds_more(&mut self) -> bool {
        let snapshot = self.snapshot;
        let of_listeners = snapshot.listeners.iter().map(|it| &it.rules);
        let of_groups = snapshot.groups.iter().map(|it| &it.rules);
        let lists = of_listeners
            .chain(of_groups)
            .flat_map(|rules| Phase::ALL.map(|phase| rules.of(phase)));
        let mut found = false;
        for action in lists.flatten().flat_map(|it| &it.actions) {
            found |= self.notes_copy(action);
        }
        found
    }

    /// True where an action makes a copy that was not known.
    fn notes_copy(&mut self, action: &Action<Resolved>) -> bool {
        match action {
            Action::SetVariable { variable, value } => {
                let is_new = !self.copies.variables.contains(variable) && self.is_made_of(value);
                if is_new {
                    self.copies.variables.push(variable.clone());
                }
                is_new
            }
            Action::SetHeader { name, value }
            | Action::AddHeader { name, value }
            | Action::ReplaceHeader {
                name, with: value, ..
            } => {
                let name = name.to_ascii_lowercase();
                let is_new = !self.copies.headers.contains(&name) && self.is_made_of(value);
                if is_new {
                    self.copies.headers.push(name);
                }
                is_new
            }
            other => {
                let is_new = !self.copies.target && self.makes_target(other);
                self.copies.target |= is_new;
                is_new
            }
        }
    }

    /// What of an answer may not be told where these actions made it: its body, and the headers of these names.
    pub(super) fn hides_answer(&self, rule: &Rule<Resolved>) -> (bool, Vec<String>) {
        let mut hidden = (false, Vec::new());
        for action in rule.actions.iter().filter(|_| self.is_on) {
            match action {
                Action::Redirect { location, .. } if self.is_made_of(location) => {
                    hidden.1.push("location".to_owned());
                }
                Action::Respond(response)
                | Action::Deny(response)
                | Action::Tarpit { response, .. } => {
                    let body = &response.body;
                    hidden.0 |= matches!(body, AnswerBody::Text(it) if self.is_made_of(it));
                    let made = response.headers.iter().filter(|it| self.is_made_of(&it.1));
                    hidden.1.extend(made.map(|it| it.0.to_ascii_lowercase()));
                }
                _ => {}
            }
        }
        hidden
    }

    /// A text, without the values of arguments that are secret by their names.
    pub(super) fn kept(&self, text: String) -> String {
        match self.is_on {
            true => native::without_arguments(&text),
            false => text,
        }
    }

    /// The value of a header as it is shown.
    pub(super) fn header(&self, name: &str, value: &str) -> String {
        let is_copy = || self.copies.headers.contains(&name.to_ascii_lowercase());
        match self.is_on && (is_secret_name(name) || is_copy()) {
            true => HIDDEN.to_owned(),
            false => self.kept(value.to_owned()),
        }
    }

    /// True where the text of a rule may hold a secret.
    pub(super) fn hides_rule(&self, rule: &Rule<Resolved>) -> bool {
        let sets = |action: &Action<Resolved>| match action {
            Action::SetHeader { name, .. }
            | Action::AddHeader { name, .. }
            | Action::ReplaceHeader { name, .. } => is_secret_name(name),
            Action::SetVariable { variable, .. } => is_secret_name(variable.name.as_str()),
            Action::Respond(response)
            | Action::Deny(response)
            | Action::Tarpit { response, .. } => response
                .headers
                .iter()
                .any(|(name, _)| is_secret_name(name)),
            _ => false,
        };
        self.is_on && (rule.actions.iter().any(sets) || self.asks(&rule.condition))
    }

    /// True where a condition asks for a secret.
    fn asks(&self, condition: &Condition<Resolved>) -> bool {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().any(|it| self.asks(it)),
            Condition::Not(part) => self.asks(part),
            Condition::Test(test) => self.is_secret(&test.value.expression),
        }
    }

    /// What is told of a test in place of what it compares.
    pub(super) fn test(&self, reason: &Reason, subject: &str) -> Option<String> {
        if !self.is_on || !self.is_secret(&reason.test.expression) {
            return None;
        }
        let is = |text: &[u8]| reason.values.iter().all(|it| it == text);
        Some(match &reason.test.matcher {
            Matcher::Present => format!("{subject} is there"),
            Matcher::True if is(b"1") => format!("{subject} is true"),
            Matcher::True if is(b"0") => format!("{subject} is not true"),
            Matcher::True => format!("{subject} is {HIDDEN}"),
            _ if reason.passed => format!("{subject} is what is asked for {HIDDEN}"),
            _ => format!("{subject} is not what is asked for {HIDDEN}"),
        })
    }

    /// True where what a rule did may not be told: a secret is in it, by its name or by what it was made of.
    pub(super) fn hides_done(&self, done: &Done, rule: Option<&Rule<Resolved>>) -> bool {
        let any = |made: &dyn Fn(&Action<Resolved>) -> bool| {
            rule.is_some_and(|it| it.actions.iter().any(made))
        };
        self.is_on
            && match done {
                Done::Found { matched, .. } => self.is_found_in_secret(matched),
                Done::Header { name, .. } => {
                    is_secret_name(name) || any(&|it| self.makes_header(it, name))
                }
                Done::Variable { variable, .. } => {
                    let name = variable.name.as_str();
                    is_secret_name(name)
                        || any(&|it| {
                            matches!(it, Action::SetVariable { variable: set, value }
                            if set == variable && self.is_made_of(value))
                        })
                }
                Done::Target { .. } => any(&|it| self.makes_target(it)),
                Done::Captured(_) => {
                    any(&|it| matches!(it, Action::Capture { value, .. } if self.is_secret(value)))
                }
                Done::Tracked { .. } => {
                    any(&|it| matches!(it, Action::Track { key, .. } if self.is_secret(key)))
                }
                Done::Stuck { .. } => {
                    any(&|it| matches!(it, Action::Stick { key, .. } if self.is_secret(key)))
                }
                _ => false,
            }
    }

    /// True where what is found may be a part of a secret.
    fn is_found_in_secret(&self, matched: &Matched<Resolved>) -> bool {
        let within = matched.within.as_ref();
        within.is_some_and(|within| self.is_secret(&within.expression))
    }

    fn makes_header(&self, action: &Action<Resolved>, header: &str) -> bool {
        match action {
            Action::SetHeader { name, value }
            | Action::AddHeader { name, value }
            | Action::ReplaceHeader {
                name, with: value, ..
            } => name.eq_ignore_ascii_case(header) && self.is_made_of(value),
            _ => false,
        }
    }

    /// True where path or query are made of a secret.
    pub(super) fn makes_target(&self, action: &Action<Resolved>) -> bool {
        match action {
            Action::SetPath(made)
            | Action::SetQuery(made)
            | Action::SetTarget(made)
            | Action::SetUrl(made)
            | Action::ReplacePath { with: made, .. }
            | Action::ReplaceTarget { with: made, .. }
            | Action::ReplaceUrl { with: made, .. } => self.is_on && self.is_made_of(made),
            _ => false,
        }
    }

    fn is_made_of(&self, template: &Template<Resolved>) -> bool {
        template
            .0
            .iter()
            .any(|it| matches!(it, TemplatePart::Expression(it) if self.is_secret(&it.value)))
    }

    /// True where an expression gives what may be a secret: whatever is done to it, and by the names of all in it.
    fn is_secret(&self, expression: &Expression<Resolved>) -> bool {
        let by_value = match &expression.value {
            Value::Cookie(_) | Value::BasicUser | Value::BasicPassword | Value::Bearer(_) => true,
            Value::Variable(variable) => self.copies.variables.contains(variable),
            Value::Header(name) => self.copies.headers.contains(&name.to_ascii_lowercase()),
            Value::Path | Value::Query | Value::Target | Value::Url | Value::Base => {
                self.copies.target
            }
            Value::WithSource(of) => self.is_secret(of),
            Value::Matched(matched) => self.is_found_in_secret(matched),
            _ => false,
        };
        by_value
            || is_secret_name(&expression::print(&lift_expression(
                self.snapshot,
                expression,
            )))
    }
}

/// True for the name of what mostly holds a secret, cookies among it.
fn is_secret_name(name: &str) -> bool {
    native::is_secret_name(name) || name.to_ascii_lowercase().contains("cookie")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(is_secret_name("Proxy-Authorization") && is_secret_name("X-Api-Key"));
        assert!(!is_secret_name("x-forwarded-for"));
    }
}
