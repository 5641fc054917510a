//! Counters of the rules of listeners and of target groups, by what the rules are called.
//!
//! A configuration may have tens of thousands of rules: the first hundred of each owner have a counter each, the rest has one
//! together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::cell::Counter;
use super::shard::Shard;
use super::{Names, Registry};

/// What rules beyond the first are called.
const OTHERS: &str = "others";

/// Counters by the name of an owner and what a rule is called.
pub(super) type Kept<'a> = HashMap<(&'a str, &'a str), &'a Arc<Counter>>;

/// The counters of one owner's rules.
#[derive(Debug, Default)]
pub(super) struct RuleCounters {
    first: Box<[Arc<Counter>]>,
    others: Arc<Counter>,
}

/// The name of an owner, and what its rules are called.
type Owner<'n> = (&'n str, &'n [String]);

impl Names {
    /// Each listener with its rules; there may be fewer lists of rules than listeners.
    pub(super) fn rules_of_listeners(&self) -> impl Iterator<Item = Owner<'_>> {
        let rules = self.rules.iter().map(Vec::as_slice);
        let rules = rules.chain(std::iter::repeat(&[][..]));
        self.listeners.iter().map(String::as_str).zip(rules)
    }

    /// Each target group with its rules.
    pub(super) fn rules_of_groups(&self) -> impl Iterator<Item = Owner<'_>> {
        let groups = self.groups.iter();
        groups.map(|it| (it.name.as_str(), it.rules.as_slice()))
    }
}

impl RuleCounters {
    /// Those of all these owners; rules of one name of owners of one name count together.
    pub(super) fn all<'n>(owners: impl Iterator<Item = Owner<'n>>, kept: &Kept<'_>) -> Box<[Self]> {
        let mut made: HashMap<(&str, &str), Arc<Counter>> = HashMap::new();
        let counters = owners.map(|(owner, called)| {
            let mut counter = |rule| {
                let key = (owner, rule);
                let new = || kept.get(&key).map_or_else(Arc::default, |&it| it.clone());
                made.entry(key).or_insert_with(new).clone()
            };
            Self {
                first: called.iter().map(|it| counter(it)).collect(),
                others: counter(OTHERS),
            }
        });
        counters.collect()
    }

    /// The counter of a rule by its place in the list, from 0.
    pub(super) fn of(&self, rule: usize) -> &Counter {
        self.first.get(rule).unwrap_or(&self.others)
    }

    /// Notes those of this owner.
    pub(super) fn keep<'a>(&'a self, (owner, called): Owner<'a>, kept: &mut Kept<'a>) {
        for (rule, counter) in self.named(called) {
            kept.insert((owner, rule), counter);
        }
    }

    fn named<'a>(
        &'a self,
        called: &'a [String],
    ) -> impl Iterator<Item = (&'a str, &'a Arc<Counter>)> {
        let first = called.iter().map(String::as_str).zip(&self.first);
        first.chain(std::iter::once((OTHERS, &self.others)))
    }
}

impl Registry {
    /// How many requests each rule of a listener took: listener, rule, requests.
    pub(super) fn rule_requests(&self) -> Vec<(&str, &str, u64)> {
        self.of_rules(self.names.rules_of_listeners(), |shard| &shard.rules)
    }

    /// How many requests each rule of a target group decided: group, rule, requests.
    pub(super) fn group_rule_requests(&self) -> Vec<(&str, &str, u64)> {
        self.of_rules(self.names.rules_of_groups(), |shard| &shard.group_rules)
    }

    fn of_rules<'a>(
        &'a self,
        owners: impl Iterator<Item = Owner<'a>>,
        counters: fn(&Shard) -> &[RuleCounters],
    ) -> Vec<(&'a str, &'a str, u64)> {
        let (mut seen, mut all) = (HashSet::new(), Vec::new());
        for (at, (owner, called)) in owners.enumerate() {
            let shards = self.shards.iter();
            let blocks = shards.filter_map(|shard| counters(shard).get(at));
            let rules = called.iter().map(String::as_str).enumerate();
            for (place, rule) in rules.chain([(usize::MAX, OTHERS)]) {
                if seen.insert((owner, rule)) {
                    let sum = blocks.clone().map(|it| it.of(place).value()).sum();
                    all.push((owner, rule, sum));
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{GroupNames, Past};

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
    fn rules_of_groups_are_counted_apart() {
        let names = |rules: &[&str]| Names {
            groups: vec![GroupNames {
                name: "a".to_owned(),
                rules: rules.iter().map(|it| (*it).to_owned()).collect(),
                ..GroupNames::default()
            }],
            ..super::tests::names(&[("a", &["f:1"])])
        };
        let first = Registry::new(1, names(&["f:1", "f:2"]));
        let count = |registry: &Registry, rule| {
            let shard = registry.shard(0).unwrap();
            shard.group_rule(0, rule).add(1);
        };
        for rule in [0, 1, 1, 7] {
            count(&first, rule);
        }
        assert_eq!(first.rule_requests()[0], ("a", "f:1", 0));
        let expected = vec![("a", "f:1", 1), ("a", "f:2", 2), ("a", "others", 1)];
        assert_eq!(first.group_rule_requests(), expected);
        let second = first.renewed(names(&["f:2"]), &Past::default());
        count(&second, 0);
        let expected = vec![("a", "f:2", 3), ("a", "others", 1)];
        assert_eq!(second.group_rule_requests(), expected);
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
