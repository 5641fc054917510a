//! What the target of a stream sends first: rules of its group look at it before the client gets it.
//!
//! Meanwhile what the client sends flows, and nothing is held back for longer than the group's rules wait.

use crate::connection::Connection;
use crate::policy::Side;
use crate::record::Passed;
use crate::rules::{FirstAnswer, answered, set_variable};
use crate::stick::{StickRule, Sticks};
use crate::track;
use portway_core::evaluate::{Facts, evaluate, holds, settled, variable_value};
use portway_core::server_hello::{Answered, look};
use portway_model::action::{Action, Rule};
use portway_model::snapshot::GroupId;
use portway_model::stage::Resolved;

/// A run of the rules of the response phase of a stream.
pub(crate) struct AnswerRules<'r> {
    rules: &'r [Rule<Resolved>],
    group: GroupId,
    looked: Answered,
    /// What is to remember the target.
    pub(crate) sticks: Sticks,
}

/// What rules say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It goes on to the client.
    PassOn,
    /// The connection is closed; `silent`: without the client being told.
    Reject { silent: bool },
}

impl<'r> AnswerRules<'r> {
    pub(crate) fn new(rules: &'r [Rule<Resolved>], group: GroupId) -> Self {
        Self {
            rules,
            group,
            looked: Answered::Partial,
            sticks: Sticks::default(),
        }
    }

    /// Runs them on what has come; `None`: they depend on more, and run again then, as rules on what clients send do. Not
    /// `None` where it has `ended`.
    pub(crate) fn run(
        &mut self,
        connection: &Connection,
        passed: &Passed,
        (bytes, ended): (&[u8], bool),
    ) -> Option<Said> {
        if !self.looked.is_settled() {
            self.looked = look(bytes);
        }
        let looked = self.looked;
        let answer = FirstAnswer {
            bytes,
            looked: &looked,
            ended,
        };
        let facts = answered(connection, passed, &answer);
        self.sticks = Sticks::default();
        let mut accepted = false;
        for rule in self.rules {
            let applies = if accepted {
                // Nothing is waited for any more.
                rule.actions.iter().any(Action::forwards) && holds(&rule.condition, &facts)
            } else {
                settled(&rule.condition, &facts)?
            };
            for action in rule.actions.iter().filter(|_| applies) {
                match action {
                    action if accepted && !rule.still_does(action) => {}
                    Action::Accept => accepted = true,
                    Action::Reject { silent } => {
                        return Some(Said::Reject { silent: *silent });
                    }
                    action => self.perform(action, connection, &facts),
                }
            }
        }
        Some(Said::PassOn)
    }

    fn perform(&mut self, action: &Action<Resolved>, connection: &Connection, facts: &impl Facts) {
        match action {
            Action::Stick { to, key, table } => {
                let (to, table, side) = (*to, *table, Side::Response);
                let rule = StickRule { to, table, side };
                if self.sticks.asks(rule) {
                    let of = (&*connection.generation, self.group);
                    self.sticks.follow(rule, &evaluate(key, facts), of, false);
                }
            }
            Action::SetVariable { variable, value } => {
                let value = variable_value(value, facts);
                if value.is_present() {
                    set_variable(connection, variable, value);
                }
            }
            Action::UnsetVariable(variable) => {
                set_variable(
                    connection,
                    variable,
                    portway_core::evaluate::Fetched::Absent,
                );
            }
            Action::Increment { slot, counter } => {
                if let Some(held) = facts.tracked(*slot) {
                    track::raise(held, *counter);
                }
            }
            Action::SetMark { slot, mark, to } => {
                if let Some(held) = facts.tracked(*slot) {
                    track::set_mark(held, *mark, &evaluate(to, facts));
                }
            }
            // Compile allows no other in this phase.
            _ => {}
        }
    }
}
