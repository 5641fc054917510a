//! Variables that rules set: names and values of one scope, with a limit of what they may hold together.

use portway_core::evaluate::Fetched;
use portway_model::expression::{Scope, Variable};
use portway_model::name::Name;
use std::cell::RefCell;

/// Bytes of all names and values of one scope of one exchange or connection, or of the process: what a client sends
/// may become a value, and a connection may live for days.
pub(crate) const VARIABLE_BYTES: usize = 64 * 1024;

/// Variables with their values.
#[derive(Debug, Default, Clone)]
pub(crate) struct Variables {
    set: Vec<(Variable, Fetched<'static>)>,
    bytes: usize,
    /// Those of the request have ended, and those of the response begun.
    request_ended: bool,
    /// What those that have changed since were then.
    before: Vec<(Variable, Fetched<'static>)>,
    /// What was set, or unset, while expressions were evaluated, in its order.
    kept: RefCell<Vec<(Variable, Fetched<'static>)>>,
}

impl Variables {
    /// Forgets all and keeps some memory.
    pub(crate) fn clear(&mut self) {
        self.set.clear();
        self.kept.get_mut().clear();
        self.before.clear();
        self.bytes = 0;
        self.request_ended = false;
    }

    /// Sets a variable, or unsets it where the value is absent. False where there is no room: then it is unset.
    pub(crate) fn set(&mut self, variable: &Variable, value: Fetched<'static>) -> bool {
        self.settle();
        self.replace(variable, value)
    }

    /// The same while expressions look at variables; false also where it is too much together with what was kept before.
    pub(crate) fn keep(&self, variable: &Variable, value: Fetched<'static>) -> bool {
        let mut kept = self.kept.borrow_mut();
        let sizes = kept.iter().map(|(variable, value)| size(variable, value));
        let bytes = self.bytes + sizes.sum::<usize>() + size(variable, &value);
        if bytes > VARIABLE_BYTES {
            return false;
        }
        kept.retain(|(known, _)| known != variable);
        kept.push((variable.clone(), value));
        true
    }

    /// Puts what was kept with the rest.
    fn settle(&mut self) {
        if self.kept.get_mut().is_empty() {
            return;
        }
        for (variable, value) in std::mem::take(self.kept.get_mut()) {
            self.replace(&variable, value);
        }
    }

    fn replace(&mut self, variable: &Variable, value: Fetched<'static>) -> bool {
        let at = self.set.iter().position(|(known, _)| known == variable);
        let old = at.map(|at| self.set.swap_remove(at));
        if let Some((known, old)) = &old {
            self.bytes -= size(known, old);
        }
        if self.request_ended && !self.before.iter().any(|(known, _)| known == variable) {
            let old = old.unwrap_or_else(|| (variable.clone(), Fetched::Absent));
            self.before.push(old);
        }
        if !value.is_present() {
            return true;
        }
        let size = size(variable, &value);
        if self.bytes + size > VARIABLE_BYTES {
            return false;
        }
        self.bytes += size;
        self.set.push((variable.clone(), value));
        true
    }

    /// The value of a variable.
    pub(crate) fn value(&self, variable: &Variable) -> Fetched<'_> {
        let kept = self.kept.borrow();
        if let Some((_, value)) = kept.iter().find(|(known, _)| known == variable) {
            return value.lent().into_owned();
        }
        let found = self.set.iter().find(|(known, _)| known == variable);
        found.map_or(Fetched::Absent, |(_, value)| value.lent())
    }

    /// Every variable with its value.
    pub(crate) fn all(&self) -> Vec<(Name, Fetched<'static>)> {
        let mut all: Vec<(Name, Fetched<'static>)> = self.set.iter().map(own).collect();
        for (variable, value) in self.kept.borrow().iter() {
            all.retain(|(name, _)| *name != variable.name);
            if value.is_present() {
                all.push((variable.name.clone(), value.lent().into_owned()));
            }
        }
        all
    }

    /// Whether variables of this scope live now, in an exchange: one that does not is not set.
    pub(crate) fn live(&self, scope: Scope) -> bool {
        match scope {
            Scope::Request => !self.request_ended,
            Scope::Response => self.request_ended,
            _ => true,
        }
    }

    /// Forgets those of the request; those of the response begin.
    pub(crate) fn end_request(&mut self) {
        self.settle();
        self.request_ended = true;
        if self.set.is_empty() {
            return;
        }
        let of_request = |it: &mut (Variable, Fetched<'_>)| it.0.scope == Scope::Request;
        self.before.extend(self.set.extract_if(.., of_request));
        let sizes = self
            .set
            .iter()
            .map(|(variable, value)| size(variable, value));
        self.bytes = sizes.sum();
    }

    /// Another response is to come: all is as it was when those of the request ended, and those live again.
    pub(crate) fn forget_response(&mut self) {
        if !self.request_ended {
            return;
        }
        self.request_ended = false;
        self.kept.get_mut().clear();
        let before = std::mem::take(&mut self.before);
        // First what makes room.
        for (variable, _) in &before {
            self.replace(variable, Fetched::Absent);
        }
        for (variable, value) in before {
            self.replace(&variable, value);
        }
    }
}

fn own((variable, value): &(Variable, Fetched<'static>)) -> (Name, Fetched<'static>) {
    (variable.name.clone(), value.lent().into_owned())
}

fn size(variable: &Variable, value: &Fetched<'_>) -> usize {
    let of_value = match value {
        Fetched::Bytes(bytes) => bytes.len(),
        _ => size_of::<Fetched<'_>>(),
    };
    variable.name.as_str().len() + of_value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_that_another_follows() {
        let variable = |scope, name: &str| Variable {
            scope,
            name: Name::from(name),
        };
        let of_request = variable(Scope::Request, "r");
        let (old, new) = (
            variable(Scope::Exchange, "old"),
            variable(Scope::Exchange, "new"),
        );
        let of_response = variable(Scope::Response, "s");
        let large = vec![b'x'; VARIABLE_BYTES / 2];
        let mut variables = Variables::default();
        variables.set(&of_request, large.clone().into());
        variables.set(&old, b"1".to_vec().into());
        for _ in 0..2 {
            variables.end_request();
            assert_eq!(variables.value(&of_request), Fetched::Absent);
            for value in [b"2", b"3"] {
                variables.set(&old, value.to_vec().into());
                variables.set(&of_response, large.clone().into());
            }
            assert!(variables.keep(&new, b"4".to_vec().into()));
            variables.forget_response();
            let large: Fetched<'_> = large.clone().into();
            assert_eq!(variables.value(&of_request), large);
            assert_eq!(variables.value(&old), "1".into());
            assert_eq!(variables.value(&new), Fetched::Absent);
            assert_eq!(variables.value(&of_response), Fetched::Absent);
            assert_eq!(variables.bytes, VARIABLE_BYTES / 2 + 1 + 4);
        }
    }

    #[test]
    fn set_unset_and_full() {
        let variable = |scope, name: &str| Variable {
            scope,
            name: Name::from(name),
        };
        let (a, b) = (
            variable(Scope::Exchange, "a"),
            variable(Scope::Request, "a"),
        );
        let mut variables = Variables::default();
        assert!(variables.set(&a, b"1".to_vec().into()) && variables.set(&b, b"2".to_vec().into()));
        assert_eq!(variables.value(&a), "1".into());
        assert!(variables.set(&a, b"3".to_vec().into()));
        assert_eq!(variables.value(&a), "3".into());
        assert!(
            !variables.set(&a, vec![0; VARIABLE_BYTES].into()),
            "too large"
        );
        assert_eq!(
            variables.value(&a),
            Fetched::Absent,
            "what did not fit is not there"
        );
        assert_eq!(variables.value(&b), "2".into());
        assert!(
            variables.set(&a, vec![0; VARIABLE_BYTES - 3].into()),
            "room for the rest"
        );
        variables.end_request();
        assert_eq!(variables.value(&b), Fetched::Absent);
        assert!(variables.set(&a, Fetched::Absent) && !variables.value(&a).is_present());
        assert_eq!(variables.bytes, 0);
    }
}
