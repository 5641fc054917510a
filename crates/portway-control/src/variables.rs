//! Variables of the process that people look at and set while it runs.

use portway_core::evaluate::Fetched;
use portway_dialects::{Dialect, haproxy};
use portway_model::diagnostic::{Code, Diagnostic, Severity};
use portway_model::expression::{Scope, Variable};
use portway_model::name::Name;

use crate::install::Running;
use crate::sources::{Reading, compile_text_with};

/// Why a variable stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSet {
    /// It is not one of the process.
    Scope,
    /// What the value is wrong with, in words.
    Wrong(String),
    /// All variables of the process together would take too much.
    TooMuch,
}

impl Running {
    /// The variable of the process of this name, without `proc.`; absent where there is none.
    pub fn process_variable(&self, name: &str) -> Fetched<'static> {
        let variable = Variable {
            scope: Scope::Process,
            name: Name::new(name),
        };
        self.statistics()
            .installed()
            .plane
            .process
            .variable(&variable)
    }

    /// Sets a variable of the process as `set-var` or `set-var-fmt` of a section `global` would. `variable` has its `proc.`.
    ///
    /// # Errors
    /// Why that cannot be.
    pub fn set_process_variable(
        &self,
        variable: &str,
        is_format: bool,
        value: &str,
    ) -> Result<(), NotSet> {
        let reading = Reading {
            dialect: Some(Dialect::Haproxy),
            ..Reading::default()
        };
        let text = haproxy::assigned(variable, is_format, value);
        let compiled = compile_text_with("CLI", &text, &reading);
        let is_wrong = |found: &&Diagnostic| found.severity == Severity::Error;
        if let Some(first) = compiled.diagnostics.iter().find(is_wrong) {
            return Err(match first.code {
                Code::WrongPhase if !variable.starts_with("proc.") => NotSet::Scope,
                _ => NotSet::Wrong(first.message.clone()),
            });
        }
        let snapshot = compiled.snapshot;
        let set = snapshot.as_ref().filter(|it| it.maps.is_empty());
        let set = set.and_then(|it| it.process.variables.first());
        let (name, value) =
            set.ok_or_else(|| NotSet::Wrong("what is set here looks into no file".to_owned()))?;
        let plane = &self.statistics().installed().plane;
        match plane.set_process_variable(name, value) {
            true => Ok(()),
            false => Err(NotSet::TooMuch),
        }
    }
}
