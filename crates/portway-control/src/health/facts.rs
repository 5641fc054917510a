//! What the expressions of a check may look at: the target, the latest response, the variables of the check.

use std::ops::ControlFlow;
use std::time::{SystemTime, UNIX_EPOCH};

use portway_core::evaluate::{Facts, Fetched, Visitor, variable_value, write_template};
use portway_model::expression::{Message, Scope, Template, Variable};
use portway_model::stage::Resolved;

use super::probe::Attempt;
use super::talk::Response;

/// Variables of one check at most: a script sets a few.
const MAX_VARIABLES: usize = 64;

/// Values that steps have set.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<(Variable, Fetched<'static>)>);

impl Variables {
    /// Gives a variable a value, or none where it is absent. Where there is no room for another, it stays unset.
    pub(super) fn set(&mut self, variable: &Variable, value: Fetched<'static>) {
        self.0.retain(|(known, _)| known != variable);
        if value.is_present() && self.0.len() < MAX_VARIABLES {
            self.0.push((variable.clone(), value));
        }
    }
}

/// What is known at one step.
pub(super) struct Known<'a> {
    pub(super) attempt: &'a Attempt<'a>,
    pub(super) variables: &'a Variables,
    pub(super) response: Option<&'a Response>,
}

impl Known<'_> {
    /// What a template says now.
    pub(super) fn bytes(&self, template: &Template<Resolved>) -> Vec<u8> {
        let mut out = Vec::new();
        write_template(template, self, &mut out);
        out
    }

    /// The same as text.
    pub(super) fn text(&self, template: &Template<Resolved>) -> String {
        String::from_utf8_lossy(&self.bytes(template)).into_owned()
    }

    /// What a variable is set to.
    pub(super) fn value(&self, template: &Template<Resolved>) -> Fetched<'static> {
        variable_value(template, self)
    }
}

impl Facts for Known<'_> {
    fn variable(&self, variable: &Variable) -> Fetched<'_> {
        match variable.scope {
            Scope::Process => self.attempt.process_variable(variable),
            _ => {
                let mut known = self.variables.0.iter();
                let found = known.find(|(known, _)| known == variable);
                found.map_or(Fetched::Absent, |(_, value)| value.lent())
            }
        }
    }

    fn status(&self) -> Option<u16> {
        self.response.map(|it| it.status)
    }

    fn response_header<'a>(&'a self, name: &str, visit: &mut Visitor<'_, 'a>) {
        let fields = self.response.into_iter().flat_map(|it| &it.fields);
        for (found, value) in fields {
            if found.eq_ignore_ascii_case(name) && visit(value).is_break() {
                return;
            }
        }
    }

    fn fields<'a>(
        &'a self,
        of: Message,
        visit: &mut dyn FnMut(&'a [u8], &'a [u8]) -> ControlFlow<()>,
    ) {
        let response = self.response.filter(|_| of == Message::Response);
        for (name, value) in response.into_iter().flat_map(|it| &it.fields) {
            if visit(name.as_bytes(), value).is_break() {
                return;
            }
        }
    }

    fn group_name(&self) -> Option<&str> {
        Some(self.attempt.group_name())
    }

    fn target_name(&self) -> Option<&str> {
        Some(self.attempt.target_name())
    }

    fn random(&self) -> Option<u64> {
        Some(super::chance())
    }

    fn now(&self) -> Option<i64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok()
    }
}
