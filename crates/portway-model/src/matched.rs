//! What a group of a regular expression has found: captures.

use crate::convert::{self, Convert, Outcome};
use crate::expression::{Expression, Value};
use crate::stage::Stage;

/// Which part of what a regular expression found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MatchGroup {
    /// The group with this number, counted by its parenthesis from 1; 0: all of it.
    Number(u16),
    /// The group with this name, `(?<name>…)`.
    Name(String),
}

/// What a group of a regular expression finds in a value; absent where nothing is found, or the group is no part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched<S: Stage> {
    /// Which part.
    pub group: MatchGroup,
    /// Who looks, and where. `None`: the condition of the rule, before its actions changed anything; a rule that is compiled
    /// says it.
    pub within: Option<Within<S>>,
}

/// A value, and what is looked for in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Within<S: Stage> {
    /// Of several occurrences the first counts in which something is found.
    pub expression: Expression<S>,
    /// The first counts that is found.
    pub any_of: Vec<S::Pattern>,
}

impl<S: Stage> Matched<S> {
    pub(crate) fn convert<C: Convert<Before = S>>(
        &self,
        to: &mut C,
    ) -> Outcome<C, Value<C::After>> {
        let within = match &self.within {
            Some(Within { expression, any_of }) => {
                let expression = convert::expression(to, expression);
                let any_of = convert::each(to, any_of, C::pattern);
                Some(Within {
                    expression: expression?,
                    any_of: any_of?,
                })
            }
            None => None,
        };
        let group = self.group.clone();
        Ok(Value::Matched(Box::new(Matched { group, within })))
    }
}
