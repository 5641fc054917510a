//! Tables, properties and a simulation of the choice of targets.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use proptest::prelude::*;

use super::hash::mix;
use super::*;

/// Live state by lists; `in_flight` may be changed between choices.
struct State {
    usable: Vec<bool>,
    in_flight: RefCell<Vec<u32>>,
}

impl Live for State {
    fn usable(&self, index: usize) -> bool {
        self.usable[index]
    }
    fn in_flight(&self, index: usize) -> u32 {
        self.in_flight.borrow()[index]
    }
}

fn state(usable: &[bool]) -> State {
    State {
        usable: usable.to_vec(),
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
        })
        .collect()
}

fn balancer(algorithm: Algorithm, weights: &[u32]) -> Balancer {
    let candidates = Arc::new(Candidates::new(candidates(weights)));
    Balancer::new(algorithm, WhenNoneUsable::None, candidates, 0)
}

static UNTRIED: Tried = Tried::new();

fn ask(n: u64) -> Ask<'static> {
    Ask {
        source: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000_u32.wrapping_add(n as u32))),
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

const ALL: [Algorithm; 6] = [
    Algorithm::RoundRobin,
    Algorithm::LeastOutstanding,
    Algorithm::SourceHash,
    Algorithm::RandomTwo,
    Algorithm::Random,
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
    check(&[5, 1, 1], &[true; 3], "aabacaaaabacaa");
    check(&[1, 2, 3], &[true; 3], "cbacbccbacbc");
    check(&[1, 0, 1], &[true; 3], "acacac");
    // A dead one's turns are shared by all others.
    check(&[1, 1, 1], &[true, false, true], "aacaccaac");
    check(&[2, 1, 1], &[false, true, true], "bcbc");
}

#[test]
fn workers_start_at_different_places() {
    for weights in [[1, 1, 1], [1, 2, 4]] {
        let candidates = Arc::new(Candidates::new(candidates(&weights)));
        let first = |seed| {
            let balancer = Balancer::new(
                Algorithm::RoundRobin,
                WhenNoneUsable::None,
                candidates.clone(),
                seed,
            );
            let choice = balancer.choose(&state(&[true; 3]), ask(0));
            choice.expect("a target").index
        };
        assert_ne!(first(0), first(1), "{weights:?}");
    }
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
    check(&[2, 1], &[2, 1], &[0, 1, 0, 0, 1, 0]);
    check(&[u32::MAX, 1], &[u32::MAX, 2], &[0]);
    check(&[0, 1], &[0, 9], &[1]);
}

#[test]
fn tiers() {
    let check = |usable: [bool; 4], policy, expected: Result<Tier, NoTarget>| {
        let mut all = candidates(&[1, 1, 1, 0]);
        all[2].backup = true;
        let all = Arc::new(Candidates::new(all));
        for algorithm in ALL {
            let balancer = Balancer::new(algorithm, policy, all.clone(), 0);
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
            let all = Arc::new(Candidates::new(candidates(weights)));
            let balancer = Balancer::new(algorithm, WhenNoneUsable::FailOpen, all, 5);
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
    for algorithm in [Algorithm::Random, Algorithm::SourceHash] {
        check(algorithm, &[1, 1, 1], &[true; 3]);
        check(algorithm, &[1, 1, 1, 1], &[true, false, true, true]);
        check(algorithm, &[1, 2, 5, 0], &[true; 4]);
        check(algorithm, &[1, 2, 5], &[true, true, false]);
    }
    check(Algorithm::RandomTwo, &[1, 1, 1], &[true; 3]);
    check(Algorithm::RandomTwo, &[1, 1, 1], &[true, false, true]);
}

#[test]
fn the_less_loaded_of_two_wins() {
    let balancer = balancer(Algorithm::RandomTwo, &[1, 1, 1]);
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
        let algorithm = ALL[next(6) as usize];
        let shared = Arc::new(Candidates::new(all.clone()));
        let balancer = Balancer::new(algorithm, policy, shared, next(8));
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
        let bound = 1 + all.iter().map(|c| i64::from(c.weight)).sum::<i64>();
        assert!(balancer.stays_bounded(bound * 2), "seed {seed}");
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

impl Balancer {
    fn stays_bounded(&self, bound: i64) -> bool {
        self.owed_values().all(|owed| owed.abs() <= bound)
    }
}

proptest! {
    #[test]
    fn a_full_cycle_gives_exactly_the_weights(
        weights in prop::collection::vec(0_u32..20, 1..8),
        dead in prop::collection::vec(prop::bool::weighted(0.2), 8),
        seed in any::<u64>(),
    ) {
        let usable: Vec<bool> = weights.iter().zip(&dead).map(|(_, dead)| !dead).collect();
        let active: Vec<u32> = weights.iter().zip(&usable).map(|(&w, &u)| if u { w } else { 0 }).collect();
        let total: u32 = active.iter().sum();
        prop_assume!(total > 0);
        let all = Arc::new(Candidates::new(candidates(&weights)));
        let equal = all.primary.equal;
        let unmoved = usable.iter().all(|&u| u) || equal;
        // A worker's seed moves the start within the cycle of all targets; with some of them down it is another cycle.
        let seed = if unmoved { seed } else { 0 };
        let balancer = Balancer::new(Algorithm::RoundRobin, WhenNoneUsable::None, all.clone(), seed);
        let members = active.iter().filter(|&&w| w > 0).count() as u64;
        // Equal weights: as many turns as it takes for the spare turns to come round as well.
        let (cycle, unit) = if equal {
            (all.primary.indices.len() as u64 * members, all.primary.indices.len() as u64)
        } else {
            (u64::from(total), 0)
        };
        for _ in 0..2 {
            let got = counts(&balancer, &state(&usable), cycle);
            let expected: Vec<u64> = active
                .iter()
                .map(|&w| if equal { if w > 0 { unit } else { 0 } } else { u64::from(w) })
                .collect();
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn losing_a_target_moves_only_its_sources(
        weights in prop::collection::vec(1_u32..5, 2..8),
        lost in any::<prop::sample::Index>(),
        sources in prop::collection::vec(any::<u32>(), 1..200),
    ) {
        let lost = lost.index(weights.len());
        let balancer = balancer(Algorithm::SourceHash, &weights);
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
            let shared = Arc::new(Candidates::new(all.clone()));
            let balancer = Balancer::new(Algorithm::SourceHash, WhenNoneUsable::None, shared, 0);
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
