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
    /// What was set, or unset, while expressions were evaluated, in its order.
    kept: RefCell<Vec<(Variable, Fetched<'static>)>>,
}

impl Variables {
    /// Forgets all and keeps some memory.
    pub(crate) fn clear(&mut self) {
        self.set.clear();
        self.kept.get_mut().clear();
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
        if let Some(at) = self.set.iter().position(|(known, _)| known == variable) {
            let (known, old) = self.set.swap_remove(at);
            self.bytes -= size(&known, &old);
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
        let mut bytes = 0;
        self.set.retain(|(variable, value)| {
            let kept = variable.scope != Scope::Request;
            bytes += if kept { size(variable, value) } else { 0 };
            kept
        });
        self.bytes = bytes;
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
