//! Environment variables as a text sees them: those of the process, and what the text itself changes.

use std::collections::HashMap;

/// The environment at one line of a text.
pub(crate) struct Environment<'a> {
    /// The process's own.
    outer: &'a dyn Fn(&str) -> Option<String>,
    /// What the text set (`Some`) and took away (`None`).
    changed: HashMap<String, Option<String>>,
    /// Only these of the process's own are left, after `resetenv`.
    kept: Option<Vec<String>>,
}

impl<'a> Environment<'a> {
    /// The process's own.
    pub(crate) fn new(outer: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            outer,
            changed: HashMap::new(),
            kept: None,
        }
    }

    /// The value of a variable; empty is a value too.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        if let Some(changed) = self.changed.get(name) {
            return changed.clone();
        }
        match &self.kept {
            Some(kept) if !kept.iter().any(|one| one == name) => None,
            _ => (self.outer)(name),
        }
    }

    /// `setenv`.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.changed.insert(name.to_owned(), Some(value.to_owned()));
    }

    /// `unsetenv`.
    pub(crate) fn unset(&mut self, name: &str) {
        self.changed.insert(name.to_owned(), None);
    }

    /// `resetenv`: all but these are gone.
    pub(crate) fn reset(&mut self, kept: &[String]) {
        self.changed.retain(|name, _| kept.contains(name));
        let still = |one: &String| self.kept.as_ref().is_none_or(|before| before.contains(one));
        self.kept = Some(kept.iter().filter(|one| still(one)).cloned().collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_does_to_its_environment() {
        let outer = |name: &str| (name != "NONE").then(|| format!("outer {name}"));
        let mut environment = Environment::new(&outer);
        assert_eq!(environment.value("A").as_deref(), Some("outer A"));
        assert_eq!(environment.value("NONE"), None);
        environment.set("A", "1");
        environment.set("B", "2");
        environment.unset("C");
        assert_eq!(environment.value("A").as_deref(), Some("1"));
        assert_eq!(environment.value("C"), None);
        environment.reset(&["A".to_owned(), "D".to_owned()]);
        assert_eq!(environment.value("A").as_deref(), Some("1"));
        assert_eq!(environment.value("B"), None);
        assert_eq!(environment.value("D").as_deref(), Some("outer D"));
        environment.reset(&["E".to_owned()]);
        assert_eq!(environment.value("A"), None);
        assert_eq!(environment.value("E"), None);
    }
}
