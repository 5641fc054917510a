//! Variables that rules set: names and values of one scope, with a limit of what they may hold together.

use portway_model::expression::Variable;

/// Bytes of all names and values of one scope of one exchange or connection, or of the process: what a client sends
/// may become a value, and a connection may live for days.
pub(crate) const VARIABLE_BYTES: usize = 64 * 1024;

/// Variables with their values.
#[derive(Debug, Default, Clone)]
pub(crate) struct Variables {
    set: Vec<(Variable, Vec<u8>)>,
    bytes: usize,
}

impl Variables {
    /// Forgets all and keeps some memory.
    pub(crate) fn clear(&mut self) {
        self.set.clear();
        self.bytes = 0;
    }

    /// Sets a variable, or unsets it. False where there is no room: then it is unset.
    pub(crate) fn set(&mut self, variable: &Variable, value: Option<Vec<u8>>) -> bool {
        if let Some(at) = self.set.iter().position(|(known, _)| known == variable) {
            let (known, old) = self.set.swap_remove(at);
            self.bytes -= size(&known, &old);
        }
        let Some(value) = value else {
            return true;
        };
        let size = size(variable, &value);
        if self.bytes + size > VARIABLE_BYTES {
            return false;
        }
        self.bytes += size;
        self.set.push((variable.clone(), value));
        true
    }

    /// The value of a variable.
    pub(crate) fn value(&self, variable: &Variable) -> Option<&[u8]> {
        let (_, value) = self.set.iter().find(|(known, _)| known == variable)?;
        Some(value)
    }

    /// Forgets those of a scope.
    pub(crate) fn end(&mut self, scope: portway_model::expression::Scope) {
        let mut bytes = 0;
        self.set.retain(|(variable, value)| {
            let kept = variable.scope != scope;
            bytes += if kept { size(variable, value) } else { 0 };
            kept
        });
        self.bytes = bytes;
    }
}

fn size(variable: &Variable, value: &[u8]) -> usize {
    variable.name.as_str().len() + value.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::expression::Scope;
    use portway_model::name::Name;

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
        assert!(variables.set(&a, Some(b"1".to_vec())) && variables.set(&b, Some(b"2".to_vec())));
        assert_eq!(variables.value(&a), Some(&b"1"[..]));
        assert!(variables.set(&a, Some(b"3".to_vec())));
        assert_eq!(variables.value(&a), Some(&b"3"[..]));
        assert!(
            !variables.set(&a, Some(vec![0; VARIABLE_BYTES])),
            "too large"
        );
        assert_eq!(variables.value(&a), None, "what did not fit is not there");
        assert_eq!(variables.value(&b), Some(&b"2"[..]));
        assert!(
            variables.set(&a, Some(vec![0; VARIABLE_BYTES - 3])),
            "room for the rest"
        );
        variables.end(Scope::Request);
        assert_eq!(variables.value(&b), None);
        assert!(variables.set(&a, None) && variables.value(&a).is_none());
        assert_eq!(variables.bytes, 0);
    }
}
