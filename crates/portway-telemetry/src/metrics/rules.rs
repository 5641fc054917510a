//! Counters of the rules of listeners, by what the rules are called.
//!
//! A configuration may have tens of thousands of rules: the first hundred of each listener have a counter each, the rest has one
//! together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::cell::Counter;
use super::{Names, Registry};

/// What rules beyond the first are called.
const OTHERS: &str = "others";

/// Counters by the name of a listener and what a rule is called.
pub(super) type Kept<'a> = HashMap<(&'a str, &'a str), &'a Arc<Counter>>;

/// The counters of one listener's rules.
#[derive(Debug, Default)]
pub(super) struct RuleCounters {
    first: Box<[Arc<Counter>]>,
    others: Arc<Counter>,
}

/// What the rules of a listener are called.
fn called(names: &Names, listener: usize) -> &[String] {
    names.rules.get(listener).map_or(&[], Vec::as_slice)
}

impl RuleCounters {
    /// Those of all listeners; rules of one name of listeners of one name count together.
    pub(super) fn all(names: &Names, kept: &Kept<'_>) -> Box<[Self]> {
        let mut made: HashMap<(&str, &str), Arc<Counter>> = HashMap::new();
        let listeners = names.listeners.iter().enumerate();
        let counters = listeners.map(|(at, listener)| {
            let mut counter = |rule| {
                let key = (listener.as_str(), rule);
                let new = || kept.get(&key).map_or_else(Arc::default, |&it| it.clone());
                made.entry(key).or_insert_with(new).clone()
            };
            Self {
                first: called(names, at).iter().map(|it| counter(it)).collect(),
                others: counter(OTHERS),
            }
        });
        counters.collect()
    }

    /// The counter of a rule by its place in the list, from 0.
    pub(super) fn of(&self, rule: usize) -> &Counter {
        self.first.get(rule).unwrap_or(&self.others)
    }

    /// Notes those of the listener with this number.
    pub(super) fn keep<'a>(&'a self, names: &'a Names, at: usize, kept: &mut Kept<'a>) {
        let Some(listener) = names.listeners.get(at) else {
            return;
        };
        for (rule, counter) in self.named(names, at) {
            kept.insert((listener, rule), counter);
        }
    }

    fn named<'a>(
        &'a self,
        names: &'a Names,
        at: usize,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<Counter>)> {
        let called = called(names, at).iter().map(String::as_str);
        let first = called.zip(&self.first);
        first.chain(std::iter::once((OTHERS, &self.others)))
    }
}

impl Registry {
    /// How many requests each rule took: listener, rule, requests.
    pub(super) fn rule_requests(&self) -> Vec<(&str, &str, u64)> {
        let (mut seen, mut all) = (HashSet::new(), Vec::new());
        for (at, listener) in self.names.listeners.iter().enumerate() {
            let blocks = self.shards.iter().filter_map(|shard| shard.rules.get(at));
            let Some(first) = blocks.clone().next() else {
                continue;
            };
            for (place, (rule, _)) in first.named(&self.names, at).enumerate() {
                if seen.insert((listener, rule)) {
                    let last = called(&self.names, at).len() <= place;
                    let place = if last { usize::MAX } else { place };
                    let sum = blocks.clone().map(|it| it.of(place).value()).sum();
                    all.push((listener.as_str(), rule, sum));
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Past;

    fn names(rules: &[(&str, &[&str])]) -> Names {
        Names {
            listeners: rules.iter().map(|(name, _)| (*name).to_owned()).collect(),
            rules: rules
                .iter()
                .map(|(_, rules)| rules.iter().map(|it| (*it).to_owned()).collect())
                .collect(),
            ..Names::default()
        }
    }

    fn count(registry: &Registry, listener: usize, rule: usize) {
        for worker in 0..2 {
            registry.shard(worker).unwrap().rule(listener, rule).add(1);
        }
    }

    #[test]
    fn rules_are_counted_by_what_they_are_called() {
        // Two listeners of one name, and two rules of one place.
        let first = Registry::new(
            2,
            names(&[
                ("a", &["f:1", "f:2"]),
                ("b", &["f:9", "f:9"]),
                ("a", &["f:2"]),
            ]),
        );
        for (listener, rule) in [
            (0, 0),
            (0, 1),
            (2, 0),
            (1, 0),
            (1, 1),
            (0, 2),
            (0, 500),
            (2, 1),
        ] {
            count(&first, listener, rule);
        }
        let expected = vec![
            ("a", "f:1", 2),
            ("a", "f:2", 4),
            ("a", "others", 6),
            ("b", "f:9", 4),
            ("b", "others", 0),
        ];
        assert_eq!(first.rule_requests(), expected);
        // One that stays counts on, wherever it stands; of those that leave nothing is shown.
        let past = Past {
            leaving: names(&[("b", &["f:9"])]),
            ..Past::default()
        };
        let second = first.renewed(names(&[("c", &["f:1"]), ("a", &["f:0", "f:2"])]), &past);
        count(&second, 1, 1);
        let expected = vec![
            ("c", "f:1", 0),
            ("c", "others", 0),
            ("a", "f:0", 0),
            ("a", "f:2", 6),
            ("a", "others", 6),
        ];
        assert_eq!(second.rule_requests(), expected);
        let third = second.renewed(names(&[("b", &["f:9"])]), &Past::default());
        assert_eq!(third.rule_requests()[0], ("b", "f:9", 4));
    }
}
