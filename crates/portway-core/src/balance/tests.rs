//! Tables, properties and a simulation of the choice of targets.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use proptest::prelude::*;

use super::hash::mix;
use super::*;

mod bounds;
mod members;

/// Live state by lists; `in_flight` may be changed between choices.
struct State {
    usable: Vec<bool>,
    full: Vec<bool>,
    in_flight: RefCell<Vec<u32>>,
}

impl Live for State {
    /// Who is up says all that may change here.
    fn epoch(&self) -> u64 {
        let bit = |(index, up): (usize, &bool)| u64::from(*up) << index;
        self.usable.iter().enumerate().map(bit).sum()
    }
    fn up(&self, index: usize) -> bool {
        self.usable[index]
    }
    fn full(&self, index: usize) -> bool {
        self.full.get(index).is_some_and(|full| *full)
    }
    fn in_flight(&self, index: usize) -> u32 {
        self.in_flight.borrow()[index]
    }
}

fn state(usable: &[bool]) -> State {
    State {
        usable: usable.to_vec(),
        full: Vec::new(),
        in_flight: RefCell::new(vec![0; usable.len()]),
    }
}

fn candidates(weights: &[u32]) -> Vec<Candidate> {
    weights
        .iter()
        .enumerate()
        .map(|(index, &weight)| Candidate {
            weight,
            backup: false,
            identity: hash_bytes(format!("web{index}").as_bytes()),
            id: index as u32 + 1,
            near: false,
        })
        .collect()
}

fn balancer(algorithm: Algorithm, weights: &[u32]) -> Balancer {
    of(algorithm, WhenNoneUsable::None, candidates(weights))
}

fn of(algorithm: Algorithm, policy: WhenNoneUsable, all: Vec<Candidate>) -> Balancer {
    let candidates = Arc::new(Candidates::new(all));
    let policy = Policy {
        when_none_usable: policy,
        backups_together: true,
        ..Policy::from(algorithm)
    };
    Balancer::new(policy, candidates, Arc::default())
}

static UNTRIED: Tried = Tried::new();

fn address(n: u64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000_u32.wrapping_add(n as u32)))
}

fn ask(n: u64) -> Ask<'static> {
    Ask {
        key: Key::Hash(hash_address(address(n))),
        chance: mix(n.wrapping_add(1)),
        tried: &UNTRIED,
    }
}

fn counts(balancer: &Balancer, live: &State, choices: u64) -> Vec<u64> {
    let mut counts = vec![0; live.usable.len()];
    for n in 0..choices {
        let choice = balancer.choose(live, ask(n)).expect("a target");
        counts[choice.index] += 1;
    }
    counts
}

const BY_SOURCE: Algorithm = Algorithm::Hash(Lookup::Rendezvous);

const ALL: [Algorithm; 10] = [
    Algorithm::RoundRobin,
    Algorithm::StaticRoundRobin,
    Algorithm::LeastOutstanding,
    Algorithm::LeastTime,
    BY_SOURCE,
    Algorithm::Hash(Lookup::Table),
    Algorithm::Hash(Lookup::Ring),
    Algorithm::Random { draws: 2 },
    Algorithm::Random { draws: 1 },
    Algorithm::FirstAvailable,
];

#[test]
fn round_robin_turns() {
    let check = |weights: &[u32], usable: &[bool], expected: &str| {
        let balancer = balancer(Algorithm::RoundRobin, weights);
        let live = state(usable);
        let turns: String = (0..expected.len() as u64)
            .map(|n| {
                let index = balancer.choose(&live, ask(n)).expect("a target").index;
                char::from(b'a' + index as u8)
            })
            .collect();
        assert_eq!(turns, expected, "{weights:?} {usable:?}");
    };
    check(&[1], &[true], "aaa");
    check(&[1, 1, 1], &[true; 3], "abcabc");
    check(&[7, 7, 7], &[true; 3], "abcabc");
    check(&[5, 1, 1], &[true; 3], "aaabaacaaabaac");
    check(&[1, 2, 3], &[true; 3], "cbcacbcbcacb");
    check(&[1, 0, 1], &[true; 3], "acacac");
    check(&[1, 1, 1], &[true, false, true], "acacac");
    check(&[2, 1, 1], &[false, true, true], "bcbc");
}

#[test]
fn workers_share_their_turns() {
    for weights in [[1, 1, 1], [1, 2, 3]] {
        let alone = balancer(Algorithm::RoundRobin, &weights);
        let (all, turns) = (
            Arc::new(Candidates::new(candidates(&weights))),
            Arc::default(),
        );
        let worker = || {
            let (all, turns) = (Arc::clone(&all), Arc::clone(&turns));
            Balancer::new(Algorithm::RoundRobin.into(), all, turns)
        };
        let workers = [worker(), worker()];
        let live = state(&[true; 3]);
        for n in 0..20 {
            let one = workers[n % 2].choose(&live, ask(0));
            assert_eq!(one, alone.choose(&live, ask(0)), "{weights:?} {n}");
        }
    }
}

#[test]
fn who_is_full_is_passed_over() {
    let full = |algorithm, full: [bool; 3]| {
        let mut live = state(&[true; 3]);
        live.full = full.to_vec();
        let balancer = balancer(algorithm, &[1, 1, 1]);
        let choices: Vec<_> = (0..20).map(|n| balancer.choose(&live, ask(n))).collect();
        choices
    };
    for algorithm in ALL {
        let bound = matches!(algorithm, Algorithm::Hash(Lookup::Table | Lookup::Ring));
        for choice in full(algorithm, [true, false, true]) {
            match choice {
                Ok(choice) => assert_eq!(choice.index, 1, "{algorithm:?}"),
                // Whoever belongs to a target waits for it.
                Err(NoTarget::Full(Some(0 | 2))) if bound => {}
                other => panic!("{algorithm:?}: {other:?}"),
            }
        }
        for choice in full(algorithm, [true; 3]) {
            let expected = matches!(choice, Err(NoTarget::Full(of)) if of.is_some() == bound);
            assert!(expected, "{algorithm:?}: {choice:?}");
        }
    }
}

#[test]
fn backups_one_at_a_time_or_together() {
    for (together, expected) in [(false, "bbbb"), (true, "bcbc")] {
        let mut all = candidates(&[1, 1, 1]);
        all[1].backup = true;
        all[2].backup = true;
        let all = Arc::new(Candidates::new(all));
        let policy = Policy {
            backups_together: together,
            ..Algorithm::RoundRobin.into()
        };
        let balancer = Balancer::new(policy, all, Arc::default());
        let live = state(&[false, true, true]);
        let order: String = (0..4)
            .map(|n| balancer.choose(&live, ask(n)).expect("one").index)
            .map(|index| char::from(b'a' + index as u8))
            .collect();
        assert_eq!(order, expected, "{together}");
    }
}

/// Values whose targets HAProxy 2.6 was asked for.
const VALUES: [&str; 12] = [
    "/",
    "/a",
    "/a/b/c.html?x=1",
    "/index.php?id=12&u=joe",
    "/images/logo.png",
    "/qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
    "/%7Ejoe/",
    "/b",
    "/c",
    "/d",
    "/e",
    "/f",
];

#[test]
fn hashes_find_the_targets_that_haproxy_finds() {
    let order = |lookup, weights: &[u32], keys: &mut dyn Iterator<Item = Key>| -> String {
        let balancer = balancer(Algorithm::Hash(lookup), weights);
        let live = state(&vec![true; weights.len()]);
        let asked = |key| Ask { key, ..ask(0) };
        keys.map(|key| balancer.choose(&live, asked(key)).expect("one").index)
            .map(|index| char::from(b'a' + index as u8))
            .collect()
    };
    let check = |lookup, how, avalanche, equal: &str, unequal: &str| {
        for (weights, expected) in [([1, 1, 1], equal), ([1, 2, 3], unequal)] {
            let key = |value: &&str| Key::Hash(digest(value.as_bytes(), how, avalanche).into());
            let found = order(lookup, &weights, &mut VALUES.iter().map(key));
            assert_eq!(
                found, expected,
                "{lookup:?} {how:?} {avalanche} {weights:?}"
            );
        }
    };
    use Digest::{Crc32, Djb2, Sdbm, Wt6};
    use Lookup::{Ring, Table};
    check(Table, Sdbm, false, "caccaabbcabc", "caccacccbcbc");
    check(Table, Djb2, false, "cbbbabbcabca", "bcbbcbbbcbca");
    check(Table, Wt6, false, "baabccacbcac", "ccccccaccccc");
    check(Table, Crc32, false, "baabbbaaaaab", "baacbccaaccc");
    check(Table, Sdbm, true, "abacbaaccabb", "abcbcacbcacc");
    check(Ring, Sdbm, false, "cccbaaaccccc", "cccccbaccccc");
    check(Ring, Djb2, true, "aaaccaabcaac", "caaccbaccacc");
    check(Ring, Wt6, false, "acbabcccaaaa", "acbabcccaaaa");
    check(Ring, Crc32, true, "abababbaacba", "cbababbaacba");
    let check = |lookup, avalanche, equal: &str, unequal: &str| {
        for (weights, expected) in [([1, 1, 1], equal), ([1, 2, 3], unequal)] {
            let key = |n: u8| {
                let address = IpAddr::V4(Ipv4Addr::new(127, 0, n, n + 1));
                Key::Hash(digest_address(address, avalanche).into())
            };
            let found = order(lookup, &weights, &mut (0..12).map(key));
            assert_eq!(found, expected, "{lookup:?} {avalanche} {weights:?}");
        }
    };
    check(Table, false, "cbacbacbacba", "cbcbcacbcbca");
    check(Table, true, "bbcbcababbcb", "cbcbbababcbb");
    check(Ring, true, "babbcabbacba", "cabbcccbacba");
    let absent = || (0..8).map(|_| Key::None);
    assert_eq!(order(Table, &[1, 2, 1], &mut absent()), "abbcabbc");
    assert_eq!(order(Ring, &[1, 2, 1], &mut absent()), "ccbacaab");
}

#[test]
fn least_outstanding_counts_per_weight() {
    let check = |weights: &[u32], in_flight: &[u32], expected: &[usize]| {
        let balancer = balancer(Algorithm::LeastOutstanding, weights);
        let live = state(&vec![true; weights.len()]);
        *live.in_flight.borrow_mut() = in_flight.to_vec();
        for (n, &expected) in expected.iter().enumerate() {
            let index = balancer.choose(&live, ask(n as u64)).expect("one").index;
            assert_eq!(index, expected, "{weights:?} {in_flight:?} choice {n}");
        }
    };
    check(&[1, 1, 1], &[3, 1, 2], &[1, 1]);
    check(&[1, 1, 1], &[1, 1, 2], &[0, 1, 0, 1]);
    check(&[4, 1], &[4, 2], &[0]);
    check(&[4, 1], &[8, 1], &[1]);
    check(&[2, 1], &[2, 1], &[0, 0]);
    check(&[2, 1], &[3, 1], &[0, 1, 0, 1]);
    check(&[2, 1], &[0, 0], &[0, 1, 0, 1]);
    check(&[65_535, 1], &[65_535, 2], &[0]);
    check(&[0, 1], &[0, 9], &[1]);
}

#[test]
fn tiers() {
    let check = |usable: [bool; 4], policy, expected: Result<Tier, NoTarget>| {
        let mut all = candidates(&[1, 1, 1, 0]);
        all[2].backup = true;
        for algorithm in ALL {
            let balancer = of(algorithm, policy, all.clone());
            for n in 0..20 {
                let choice = balancer.choose(&state(&usable), ask(n));
                assert_eq!(
                    choice.map(|c| c.tier),
                    expected,
                    "{algorithm:?} {usable:?} {policy:?}"
                );
                if let Ok(choice) = choice {
                    assert_ne!(choice.index, 3, "weight 0 takes nothing");
                    assert_eq!(choice.tier == Tier::Backup, {
                        choice.index == 2 && choice.tier != Tier::FailOpen
                    });
                }
            }
        }
    };
    use WhenNoneUsable::{FailOpen, None};
    check([true, true, true, true], None, Ok(Tier::Primary));
    check([false, true, true, true], FailOpen, Ok(Tier::Primary));
    check([false, false, true, true], None, Ok(Tier::Backup));
    check([false, false, true, true], FailOpen, Ok(Tier::Backup));
    check([false, false, false, true], None, Err(NoTarget::NoneUsable));
    check([false, false, false, true], FailOpen, Ok(Tier::FailOpen));
}

#[test]
fn without_weights_there_is_no_target() {
    for weights in [&[][..], &[0], &[0, 0]] {
        for algorithm in ALL {
            let all = candidates(weights);
            let balancer = of(algorithm, WhenNoneUsable::FailOpen, all);
            let choice = balancer.choose(&state(&vec![true; weights.len()]), ask(0));
            assert_eq!(choice, Err(NoTarget::Empty), "{algorithm:?}");
        }
    }
}

#[test]
fn every_retry_is_another_target_until_all_were_tried() {
    for algorithm in ALL {
        for weights in [[1, 1, 1, 1], [1, 2, 3, 4]] {
            for n in 0..50 {
                let balancer = balancer(algorithm, &weights);
                let live = state(&[true, true, false, true]);
                let mut tried = Tried::new();
                for _ in 0..3 {
                    let asked = Ask {
                        tried: &tried,
                        ..ask(n)
                    };
                    let index = balancer.choose(&live, asked).expect("one").index;
                    assert!(!tried.contains(index) && index != 2, "{algorithm:?}");
                    tried.insert(index);
                }
                let asked = Ask {
                    tried: &tried,
                    ..ask(n)
                };
                assert_eq!(balancer.choose(&live, asked), Err(NoTarget::AllTried));
            }
        }
    }
}

#[test]
fn random_algorithms_keep_to_weights() {
    // 5 standard deviations of a binomial distribution: one false alarm in two million.
    let check = |algorithm, weights: &[u32], usable: &[bool]| {
        let choices = 20_000;
        let shares = counts(&balancer(algorithm, weights), &state(usable), choices);
        let weight = |i: usize| if usable[i] { weights[i] } else { 0 };
        let total: u32 = (0..weights.len()).map(weight).sum();
        for (index, &count) in shares.iter().enumerate() {
            let share = f64::from(weight(index)) / f64::from(total);
            let expected = share * choices as f64;
            let slack = 5.0 * (expected * (1.0 - share)).sqrt();
            assert!(
                (count as f64 - expected).abs() <= slack,
                "{algorithm:?} {weights:?} {usable:?}: {shares:?}"
            );
        }
    };
    for algorithm in [Algorithm::Random { draws: 1 }, BY_SOURCE] {
        check(algorithm, &[1, 1, 1], &[true; 3]);
        check(algorithm, &[1, 1, 1, 1], &[true, false, true, true]);
        check(algorithm, &[1, 2, 5, 0], &[true; 4]);
        check(algorithm, &[1, 2, 5], &[true, true, false]);
    }
    check(Algorithm::Random { draws: 2 }, &[1, 1, 1], &[true; 3]);
    check(
        Algorithm::Random { draws: 2 },
        &[1, 1, 1],
        &[true, false, true],
    );
}

#[test]
fn the_less_loaded_of_two_wins() {
    let balancer = balancer(Algorithm::Random { draws: 2 }, &[1, 1, 1]);
    let live = state(&[true; 3]);
    *live.in_flight.borrow_mut() = vec![5, 0, 9];
    let shares = counts(&balancer, &live, 6_000);
    assert_eq!(shares[2], 0, "the most loaded loses against anybody");
    assert!(shares[1] > 3_700 && shares[1] < 4_300, "{shares:?}");
}

/// Exchanges come and go, targets fail and recover, for thousands of seeds; every choice is held against the rules.
#[test]
fn simulated_groups_keep_the_rules() {
    for seed in 0..10_000_u64 {
        let mut random = seed;
        let mut next = move |bound: u64| {
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            hash::draw(mix(random), bound)
        };
        let targets = 1 + next(6) as usize;
        let mut all: Vec<Candidate> = (0..targets)
            .map(|_| next(4) as u32)
            .map(|weight| candidates(&[weight])[0])
            .collect();
        for (index, candidate) in all.iter_mut().enumerate() {
            candidate.backup = next(4) == 0;
            candidate.identity = index as u64;
        }
        let fail_open = next(2) == 0;
        let policy = if fail_open {
            WhenNoneUsable::FailOpen
        } else {
            WhenNoneUsable::None
        };
        let algorithm = ALL[next(9) as usize];
        let balancer = of(algorithm, policy, all.clone());
        let mut live = state(&vec![true; targets]);
        for step in 0..30 {
            let changed = next(targets as u64) as usize;
            live.usable[changed] = next(3) != 0;
            let finished = next(targets as u64) as usize;
            live.in_flight.borrow_mut()[finished] = 0;
            let mut tried = Tried::new();
            if next(4) == 0 {
                tried.insert(next(targets as u64) as usize);
            }
            let asked = Ask {
                tried: &tried,
                ..ask(next(1 << 20))
            };
            let choice = balancer.choose(&live, asked);
            check_choice(&all, &live, &tried, fail_open, choice)
                .unwrap_or_else(|why| panic!("seed {seed} step {step}: {why}: {choice:?}"));
            if let Ok(choice) = choice {
                live.in_flight.borrow_mut()[choice.index] += 1;
            }
        }
    }
}

/// The rules, written again without any cleverness.
fn check_choice(
    all: &[Candidate],
    live: &State,
    tried: &Tried,
    fail_open: bool,
    choice: Result<Choice, NoTarget>,
) -> Result<(), &'static str> {
    let weighted = |i: &usize| all[*i].weight > 0;
    let usable = |i: &usize| live.usable[*i];
    let indices = || (0..all.len()).filter(weighted);
    let primary: Vec<usize> = indices().filter(|i| !all[*i].backup && usable(i)).collect();
    let backup: Vec<usize> = indices().filter(|i| all[*i].backup && usable(i)).collect();
    let (tier, members) = if indices().count() == 0 {
        return (choice == Err(NoTarget::Empty))
            .then_some(())
            .ok_or("not empty");
    } else if !primary.is_empty() {
        (Tier::Primary, primary)
    } else if !backup.is_empty() {
        (Tier::Backup, backup)
    } else if fail_open {
        (Tier::FailOpen, indices().collect())
    } else {
        return (choice == Err(NoTarget::NoneUsable))
            .then_some(())
            .ok_or("something usable");
    };
    let members: Vec<usize> = members
        .into_iter()
        .filter(|&i| !tried.contains(i))
        .collect();
    match choice {
        Err(NoTarget::AllTried) if members.is_empty() => Ok(()),
        Ok(choice) if choice.tier != tier => Err("wrong tier"),
        Ok(choice) if members.contains(&choice.index) => Ok(()),
        _ => Err("not a member"),
    }
}

proptest! {
    #[test]
    fn a_full_cycle_gives_the_weights(
        weights in prop::collection::vec(0_u32..20, 1..8),
        dead in prop::collection::vec(prop::bool::weighted(0.2), 8),
    ) {
        let usable: Vec<bool> = weights.iter().zip(&dead).map(|(_, dead)| !dead).collect();
        let active: Vec<u32> = weights.iter().zip(&usable).map(|(&w, &u)| if u { w } else { 0 }).collect();
        let total: u32 = active.iter().sum();
        prop_assume!(total > 0);
        for (algorithm, slack) in [(Algorithm::StaticRoundRobin, 0), (Algorithm::RoundRobin, 1)] {
            let balancer = balancer(algorithm, &weights);
            for _ in 0..3 {
                let got = counts(&balancer, &state(&usable), u64::from(total));
                for (got, expected) in got.iter().zip(&active) {
                    prop_assert!(got.abs_diff(u64::from(*expected)) <= slack, "{algorithm:?} {got:?} {active:?}");
                }
            }
        }
    }

    #[test]
    fn losing_a_target_moves_only_its_sources(
        weights in prop::collection::vec(1_u32..5, 2..8),
        lost in any::<prop::sample::Index>(),
        sources in prop::collection::vec(any::<u32>(), 1..200),
    ) {
        let lost = lost.index(weights.len());
        let balancer = balancer(BY_SOURCE, &weights);
        let mut usable = vec![true; weights.len()];
        let whole = state(&usable);
        usable[lost] = false;
        let without = state(&usable);
        for source in sources {
            let before = balancer.choose(&whole, ask(u64::from(source))).expect("one").index;
            let after = balancer.choose(&without, ask(u64::from(source))).expect("one").index;
            prop_assert_eq!(before == lost, before != after);
        }
    }

    #[test]
    fn removing_or_reordering_targets_moves_only_what_it_must(
        weights in prop::collection::vec(1_u32..5, 2..8),
        source in any::<u64>(),
    ) {
        let pick = |all: Vec<Candidate>| {
            let live = state(&vec![true; all.len()]);
            let balancer = of(BY_SOURCE, WhenNoneUsable::None, all.clone());
            all[balancer.choose(&live, ask(source)).expect("one").index].identity
        };
        let all = candidates(&weights);
        let before = pick(all.clone());
        let reversed: Vec<Candidate> = all.iter().rev().copied().collect();
        prop_assert_eq!(pick(reversed), before);
        let gone = all[0].identity;
        let after = pick(all[1..].to_vec());
        prop_assert!(before == gone || after == before);
    }
}
