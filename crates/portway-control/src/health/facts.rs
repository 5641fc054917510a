//! What the expressions of a check may look at: the target, the latest response, the variables of the check.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::time::{SystemTime, UNIX_EPOCH};

use portway_core::evaluate::{Facts, Visitor, variable_text, write_template};
use portway_model::expression::{Message, Scope, Template, Variable};
use portway_model::stage::Resolved;

use super::probe::Attempt;
use super::talk::Response;

/// Variables of one check at most: a script sets a few.
const MAX_VARIABLES: usize = 64;

/// Values that steps have set.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<(Variable, Vec<u8>)>);

impl Variables {
    /// Gives a variable a value, or none. Where there is no room for another, it stays unset.
    pub(super) fn set(&mut self, variable: &Variable, value: Option<Vec<u8>>) {
        self.0.retain(|(known, _)| known != variable);
        if let Some(value) = value.filter(|_| self.0.len() < MAX_VARIABLES) {
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

    /// The value of a variable; `None` where there is none.
    pub(super) fn value(&self, template: &Template<Resolved>) -> Option<Vec<u8>> {
        variable_text(template, self)
    }
}

impl Facts for Known<'_> {
    fn variable(&self, variable: &Variable) -> Option<Cow<'_, [u8]>> {
        let of_process = || self.attempt.process_variable(variable).map(Cow::Owned);
        match variable.scope {
            Scope::Process => of_process(),
            _ => {
                let mut known = self.variables.0.iter();
                let (_, value) = known.find(|(known, _)| known == variable)?;
                Some(Cow::Borrowed(value))
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
