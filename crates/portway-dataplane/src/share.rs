//! Which of several groups takes what comes: of those that are best able to serve the first in order, by weight, or by
//! the hash of a value and weight.
//!
//! A group that has too few targets gives its share to the others. Where none has enough, those are asked that have some;
//! where none has any, those that then try all of their targets; and where nobody has anybody to ask, it is as if all
//! were able: the first answers for it. So health never turns a configured share into nothing as long as somebody can
//! serve. What a group is able to do is known from its balancer, which works it out once for each change of health.

use crate::group::Generation;
use portway_core::balance::{Ability, hash_address, hash_bytes, rendezvous_score};
use portway_core::evaluate::{Facts, Fetched, evaluate};
use portway_model::action::Weighted;
use portway_model::expression::Expression;
use portway_model::snapshot::GroupId;
use portway_model::stage::Resolved;

/// Groups are not told apart as targets are: a target that is called as its group would get all of what comes there, or nothing.
const GROUPS: u64 = 0x9E37_79B9_7F4A_7C15;

/// What one choice depends on besides the groups.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Draw {
    /// 64 bits, spread evenly over choices: each group gets its weight of them.
    Chance(u64),
    /// The hash of a value: it always leads to the same group of those that are able.
    Key(u64),
}

impl Draw {
    /// By this value, or by chance where it is absent.
    pub(crate) fn of(
        value: &Expression<Resolved>,
        facts: &impl Facts,
        chance: impl FnOnce() -> u64,
    ) -> Self {
        match Self::key(value, facts) {
            Some(key) => Self::Key(key),
            None => Self::Chance(chance()),
        }
    }

    /// The hash of this value; `None`: it is absent.
    pub(crate) fn key(value: &Expression<Resolved>, facts: &impl Facts) -> Option<u64> {
        match evaluate(value, facts) {
            Fetched::Address(address) => Some(hash_address(address)),
            other => other.into_text().map(|text| hash_bytes(&text)),
        }
    }
}

/// Draws one of the groups; `None` where none has any weight.
#[inline]
pub(crate) fn draw(
    generation: &Generation,
    groups: &[Weighted<Resolved>],
    draw: Draw,
) -> Option<GroupId> {
    let ability = |id| generation.ability(id);
    match (groups, draw) {
        ([only], _) => Some(only.group),
        (several, Draw::Chance(chance)) => draw_of(several, chance, ability),
        (several, Draw::Key(key)) => {
            // By its name, which stays where groups come and go.
            let identity = |id| {
                let group = generation.group(id);
                let hash =
                    group.map_or(0, |(group, ..)| hash_bytes(group.name.as_str().as_bytes()));
                hash ^ GROUPS
            };
            keyed(several, key, ability, identity)
        }
    }
}

fn keyed(
    groups: &[Weighted<Resolved>],
    key: u64,
    ability: impl Fn(GroupId) -> Ability + Copy,
    identity: impl Fn(GroupId) -> u64,
) -> Option<GroupId> {
    let score = |it: &Weighted<Resolved>| {
        let score = rendezvous_score(key, identity(it.group), it.weight.into());
        (score, it.group)
    };
    let best = sharing(groups, ability).map(score);
    let best = best.reduce(|one, other| if other.0 > one.0 { other } else { one });
    // Health may change between two looks.
    let any = || groups.iter().find(|it| it.weight > 0).map(|it| it.group);
    best.map(|it| it.1).or_else(any)
}

/// The groups that share what comes now.
pub(crate) fn able<'g>(
    generation: &'g Generation,
    groups: &'g [Weighted<Resolved>],
) -> impl Iterator<Item = &'g Weighted<Resolved>> {
    sharing(groups, |id| generation.ability(id))
}

fn draw_of(
    groups: &[Weighted<Resolved>],
    chance: u64,
    ability: impl Fn(GroupId) -> Ability + Copy,
) -> Option<GroupId> {
    let weight = |it: &Weighted<Resolved>| u64::from(it.weight);
    let sum: u64 = sharing(groups, ability).map(weight).sum();
    let mut drawn = u64::try_from((u128::from(chance) * u128::from(sum)) >> 64).ok()?;
    let found = sharing(groups, ability).find(|it| {
        let taken = drawn < weight(it);
        drawn = drawn.wrapping_sub(weight(it));
        taken
    });
    // Health may change between two looks.
    found
        .or_else(|| groups.iter().find(|it| it.weight > 0))
        .map(|it| it.group)
}

fn sharing<'g>(
    groups: &'g [Weighted<Resolved>],
    ability: impl Fn(GroupId) -> Ability + Copy + 'g,
) -> impl Iterator<Item = &'g Weighted<Resolved>> {
    let weighted = || groups.iter().filter(|it| it.weight > 0);
    let best = weighted().map(|it| ability(it.group)).max();
    let is_best = move |it: &&Weighted<Resolved>| Some(ability(it.group)) == best;
    let rank = weighted().filter(is_best).map(|it| it.rank).min();
    weighted().filter(move |it| Some(it.rank) == rank && is_best(it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Groups as `name weight rank`, in order.
    fn groups(all: &[(u16, u16)]) -> Vec<Weighted<Resolved>> {
        let group = |(index, (weight, rank)): (u32, &(u16, u16))| Weighted {
            rank: *rank,
            ..Weighted::new(GroupId(index), *weight)
        };
        (0..).zip(all).map(group).collect()
    }

    /// Shares of a hundred draws that are spread evenly.
    fn shares(all: &[(u16, u16)], abilities: &[Ability]) -> BTreeMap<u32, u32> {
        let mut shares = BTreeMap::new();
        for step in 0..100 {
            let chance = u64::MAX / 100 * step + u64::MAX / 200;
            let ability = |id: GroupId| abilities[id.index()];
            if let Some(GroupId(index)) = draw_of(&groups(all), chance, ability) {
                *shares.entry(index).or_default() += 1;
            }
        }
        shares
    }

    #[test]
    fn shares_go_to_those_that_can_serve() {
        use Ability::{Enough, FailOpen, None, Some};
        let check = |all: &[(u16, u16)], abilities: &[Ability], expected: &[(u32, u32)]| {
            let expected: BTreeMap<u32, u32> = expected.iter().copied().collect();
            assert_eq!(shares(all, abilities), expected, "{all:?} {abilities:?}");
        };
        let three = [(60, 0), (30, 0), (10, 0)];
        check(&three, &[Enough; 3], &[(0, 60), (1, 30), (2, 10)]);
        // The rest is shared in proportion.
        check(&three, &[None, Enough, Enough], &[(1, 75), (2, 25)]);
        check(&three, &[Enough, FailOpen, Enough], &[(0, 86), (2, 14)]);
        check(&three, &[None, Some, FailOpen], &[(1, 100)]);
        check(&three, &[None, None, FailOpen], &[(2, 100)]);
        // Nobody can: as configured.
        check(&three, &[None; 3], &[(0, 60), (1, 30), (2, 10)]);
        // No weight is no share, whoever else is gone.
        check(&[(1, 0), (0, 0)], &[None, Enough], &[(0, 100)]);
        check(&[(0, 0), (0, 0)], &[Enough; 2], &[]);
        // The first rank that can takes all.
        let ranks = [(3, 0), (1, 0), (1, 1), (1, 2)];
        check(&ranks, &[Enough; 4], &[(0, 75), (1, 25)]);
        check(&ranks, &[None, Enough, Enough, Enough], &[(1, 100)]);
        check(&ranks, &[None, None, Enough, Enough], &[(2, 100)]);
        check(&ranks, &[Some, None, Some, Enough], &[(3, 100)]);
        check(&ranks, &[Some, None, Some, FailOpen], &[(0, 100)]);
        check(&ranks, &[None, None, FailOpen, None], &[(2, 100)]);
        check(&ranks, &[None; 4], &[(0, 75), (1, 25)]);
    }

    /// Keys stay with their groups: where one comes, goes or is not able, those that it has or had move and no others.
    #[test]
    fn keys_stay_with_their_groups() {
        use Ability::{Enough, None};
        let taken = |all: &[(u16, u16)], abilities: [Ability; 3]| -> Vec<u32> {
            let ability = |id: GroupId| abilities[id.index()];
            let identity = |id: GroupId| hash_bytes(&id.0.to_be_bytes());
            let one = |key: u64| {
                keyed(
                    &groups(all),
                    hash_bytes(&key.to_be_bytes()),
                    ability,
                    identity,
                )
            };
            (0..10_000).map(|key| one(key).unwrap().0).collect()
        };
        let count = |of: &[u32], group: u32| of.iter().filter(|it| **it == group).count();
        let weighted = [(60, 0), (30, 0), (10, 0)];
        let all = taken(&weighted, [Enough; 3]);
        for (group, share) in [(0, 6000_usize), (1, 3000), (2, 1000)] {
            assert!(count(&all, group).abs_diff(share) < 200, "{group}");
        }
        for gone in 0..3_u32 {
            let mut fewer = weighted;
            fewer[gone as usize].0 = 0;
            let mut abilities = [Enough; 3];
            abilities[gone as usize] = None;
            let without = taken(&fewer, [Enough; 3]);
            assert_eq!(without, taken(&weighted, abilities));
            assert_eq!(count(&without, gone), 0);
            let mut pairs = all.iter().zip(&without);
            assert!(pairs.all(|(before, now)| before == now || *before == gone));
        }
        // The first rank alone, while it is able.
        let ranks = [(1, 0), (1, 0), (1, 1)];
        assert_eq!(count(&taken(&ranks, [Enough; 3]), 2), 0);
        assert_eq!(count(&taken(&ranks, [None, None, Enough]), 2), 10_000);
        // Nobody can: as configured.
        assert_eq!(taken(&weighted, [None; 3]), all);
    }

    /// Of all groups of three, with every weight, rank and ability: whoever takes it has weight, nobody is better able, and
    /// nobody as able has a lower rank.
    #[test]
    fn nobody_better_is_passed_over() {
        const ABILITIES: [Ability; 4] = [
            Ability::None,
            Ability::FailOpen,
            Ability::Some,
            Ability::Enough,
        ];
        let one = |number: u16| {
            (
                number % 2,
                number / 2 % 3,
                ABILITIES[usize::from(number / 6)],
            )
        };
        for number in 0..24_u16.pow(3) {
            let all = [number % 24, number / 24 % 24, number / 576].map(one);
            let groups = groups(&all.map(|it| (it.0, it.1)));
            let ability = |id: GroupId| all[id.index()].2;
            let order = |it: &Weighted<Resolved>| (ability(it.group), std::cmp::Reverse(it.rank));
            let may = || groups.iter().filter(|it| it.weight > 0);
            for chance in [0, u64::MAX / 2, u64::MAX] {
                let taken = draw_of(&groups, chance, ability);
                assert_eq!(taken.is_none(), may().count() == 0, "{all:?}");
                let taken = taken.map(|id| &groups[id.index()]);
                assert!(taken.is_none_or(|it| it.weight > 0), "{all:?}");
                assert_eq!(taken.map(order), may().map(order).max(), "{all:?}");
            }
        }
    }
}
