//! Finds the next rule that holds, without trying every rule.
//!
//! Decides nothing that the rules do not say: the answer is always that of trying each rule in order, and a
//! property test holds it against exactly that. The index only leaves out rules that cannot hold. Each rule is
//! filed under the hosts and paths without which it cannot hold (`keys.rs`); a rule without such a key is a
//! candidate always. A look-up finds the lists of candidates for one host and path (`index.rs`) and tests them in
//! order, so ten thousand rules for as many hosts cost what ten do.
//!
//! The one hard thing: rules between the routing ones may change the host or the path that later rules see.
//! Nothing is therefore kept from one step to the next; every step asks the facts again.

mod index;
mod keys;

use crate::evaluate::{Facts, holds};
use index::Index;
use portway_model::action::Rule;
use portway_model::expression::{Condition, Touch, Value};
use portway_model::stage::Resolved;

/// Rules up to which trying each costs no more than a look-up: a hash and a binary search cost about as much as
/// four comparisons of short texts.
const LINEAR_MAX: usize = 4;

/// The index of one list of rules: those of a listener or target group in one phase.
#[derive(Debug, Clone)]
pub struct Router {
    /// `None`: every rule is tried.
    index: Option<Box<Index>>,
}

/// True where asking changes a counter.
fn changes(condition: &Condition<Resolved>) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(changes),
        Condition::Not(inner) => changes(inner),
        Condition::Test(test) => matches!(
            test.value.expression.value,
            Value::Counter {
                touch: Touch::Raise | Touch::Clear,
                ..
            }
        ),
    }
}

impl Router {
    /// The index of `rules`. Takes time in proportion to their text.
    pub fn build(rules: &[Rule<Resolved>]) -> Self {
        let index = Index::build(rules);
        // A condition that changes something is tried where it stands, and once.
        let changing = rules.iter().any(|rule| changes(&rule.condition));
        let worthwhile = index.keyed_rules() > LINEAR_MAX && !changing;
        Self {
            index: worthwhile.then(|| Box::new(index)),
        }
    }

    /// The first rule whose condition holds. `rules` are those that the router was built from.
    pub fn first_match<F: Facts>(&self, rules: &[Rule<Resolved>], facts: &F) -> Option<usize> {
        self.next_match(rules, facts, 0)
    }

    /// The first rule from index `from` on whose condition holds. Allocates nothing.
    pub fn next_match<F: Facts>(
        &self,
        rules: &[Rule<Resolved>],
        facts: &F,
        from: usize,
    ) -> Option<usize> {
        let is_match = |rule: usize| {
            rules
                .get(rule)
                .is_some_and(|rule| holds(&rule.condition, facts))
        };
        self.search(rules.len(), from, is_match, facts)
    }

    /// [`Router::next_match`] of `count` rules with the test of one rule as an argument.
    fn search<F: Facts>(
        &self,
        count: usize,
        from: usize,
        mut is_match: impl FnMut(usize) -> bool,
        facts: &F,
    ) -> Option<usize> {
        let Some(index) = &self.index else {
            return (from..count).find(|&rule| is_match(rule));
        };
        // Rules without a key come first in many lists (headers set for all): no look-up for them.
        let mut from = from;
        while from < count && (count - from <= LINEAR_MAX || !index.is_keyed(from)) {
            if is_match(from) {
                return Some(from);
            }
            from += 1;
        }
        if from >= count {
            return None;
        }
        let mut best = count;
        index.lists(facts.host(), facts.path(), &mut |list| {
            let start = list.partition_point(|&rule| (rule as usize) < from);
            let candidates = list.get(start..).unwrap_or_default().iter();
            let better = candidates
                .map(|&rule| rule as usize)
                .take_while(|&rule| rule < best)
                .find(|&rule| is_match(rule));
            best = better.unwrap_or(best);
        });
        (best < count).then_some(best)
    }
}

#[cfg(test)]
mod tests;
