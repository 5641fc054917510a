//! Hashes with a bound on what a target has in flight, and the one that answers soonest.

use super::*;

const HASHES: [Algorithm; 2] = [BY_SOURCE, Algorithm::Hash(Lookup::Ring)];

fn bounded(algorithm: Algorithm, bound: u32, weights: &[u32]) -> Balancer {
    let policy = Policy {
        bound,
        ..algorithm.into()
    };
    let candidates = Arc::new(Candidates::new(candidates(weights)));
    Balancer::new(policy, candidates, Arc::default())
}

/// What a target may have in flight when the last request came: its share of the factor, rounded up, at least 1.
fn most(bound: u32, weights: &[u32], index: usize, in_flight: u32) -> u32 {
    let (weight, total) = (weights[index], weights.iter().sum::<u32>());
    let places = (in_flight * bound).div_ceil(100);
    (places * weight).div_ceil(total).max(1)
}

#[test]
fn a_key_that_everybody_has_fills_targets_up_to_the_bound() {
    // Nobody ends: each of four gets 125 % of a quarter, and then the next.
    let balancer = bounded(BY_SOURCE, 125, &[1; 4]);
    let live = state(&[true; 4]);
    let mut order = Vec::new();
    for _ in 0..100 {
        let index = balancer.choose(&live, ask(7)).expect("one").index;
        live.in_flight.borrow_mut()[index] += 1;
        order.push(index);
    }
    let mut counts = live.in_flight.borrow().clone();
    counts.sort_unstable();
    assert!(counts.iter().all(|it| *it <= 32), "{counts:?}");
    assert!(counts[3] >= 31 && counts[0] > 0, "{counts:?}");
    // Without the bound one has all of it.
    let first = order[0];
    let free = bounded(BY_SOURCE, 0, &[1; 4]);
    assert_eq!(free.choose(&live, ask(7)).expect("one").index, first);
}

#[test]
fn one_that_is_full_by_its_own_limit_is_passed_over_too() {
    for algorithm in HASHES {
        let balancer = bounded(algorithm, 200, &[1, 1]);
        let mut live = state(&[true; 2]);
        let at = balancer.choose(&live, ask(3)).expect("one").index;
        live.full = vec![at == 0, at == 1];
        let other = balancer.choose(&live, ask(3)).expect("one").index;
        assert_ne!(at, other, "{algorithm:?}");
    }
}

#[test]
fn the_one_that_answers_soonest() {
    struct Timed(State, Vec<u32>);
    impl Live for Timed {
        fn epoch(&self) -> u64 {
            self.0.epoch()
        }
        fn up(&self, index: usize) -> bool {
            self.0.up(index)
        }
        fn full(&self, index: usize) -> bool {
            self.0.full(index)
        }
        fn in_flight(&self, index: usize) -> u32 {
            self.0.in_flight(index)
        }
        fn time(&self, index: usize) -> u32 {
            self.1[index]
        }
    }
    let check = |weights: &[u32], times: &[u32], in_flight: &[u32], expected: &str| {
        let live = Timed(state(&vec![true; weights.len()]), times.to_vec());
        *live.0.in_flight.borrow_mut() = in_flight.to_vec();
        let balancer = balancer(Algorithm::LeastTime, weights);
        let chosen: String = (0..expected.len() as u64)
            .map(|n| balancer.choose(&live, ask(n)).expect("one").index)
            .map(|index| char::from(b'a' + index as u8))
            .collect();
        assert_eq!(chosen, expected, "{weights:?} {times:?} {in_flight:?}");
    };
    check(&[1, 1, 1], &[900, 100, 500], &[0, 0, 0], "bbb");
    // What it has in flight makes it slower.
    check(&[1, 1, 1], &[900, 100, 500], &[0, 9, 0], "ccc");
    check(&[1, 1], &[100, 300], &[3, 0], "bb");
    // Weight makes it wanted.
    check(&[1, 4], &[100, 300], &[0, 0], "bb");
    // Those that are equal take turns.
    check(&[1, 1], &[100, 100], &[0, 0], "abab");
    // One of which nothing is known is asked once; then it counts as the slowest until it has answered.
    check(&[1, 1, 1], &[100, 0, 0], &[5, 0, 0], "bcbc");
    check(&[1, 1, 1], &[100, 0, 0], &[0, 1, 0], "ccc");
    check(&[1, 1, 1], &[100, 0, 0], &[0, 1, 1], "aaa");
    check(&[1, 1, 1], &[100, 0, 0], &[9, 1, 2], "bbb");
    // Where nothing at all is known, the less busy by their weights.
    check(&[1, 1, 2], &[0, 0, 0], &[2, 1, 2], "ccc");
}

proptest! {
    /// Requests come and go with any keys: nobody ever has more than its bound when one comes, there is always room, and
    /// a key keeps its target while that has room.
    #[test]
    fn nobody_has_more_than_the_bound(
        weights in prop::collection::vec(1_u32..5, 1..8),
        bound in 101_u32..300,
        steps in prop::collection::vec((0_u64..5, any::<bool>(), any::<prop::sample::Index>()), 1..200),
    ) {
        for algorithm in HASHES {
            let balancer = bounded(algorithm, bound, &weights);
            let free = bounded(algorithm, 0, &weights);
            let live = state(&vec![true; weights.len()]);
            let mut open: Vec<usize> = Vec::new();
            for (key, ends, which) in &steps {
                if *ends && !open.is_empty() {
                    let gone = open.swap_remove(which.index(open.len()));
                    live.in_flight.borrow_mut()[gone] -= 1;
                    continue;
                }
                let index = balancer.choose(&live, ask(*key)).expect("room").index;
                let wanted = free.choose(&live, ask(*key)).expect("one").index;
                let requests = open.len() as u32 + 1;
                let before = live.in_flight.borrow()[index];
                prop_assert!(before < most(bound, &weights, index, requests));
                // The share of one is at least the whole part of what it is due.
                let whole = (requests * bound).div_ceil(100) * weights[wanted] / weights.iter().sum::<u32>();
                if live.in_flight.borrow()[wanted] < whole.max(1) {
                    prop_assert_eq!(index, wanted);
                }
                live.in_flight.borrow_mut()[index] += 1;
                open.push(index);
            }
        }
    }

    /// Losing a target moves only the keys it had, as long as nobody is at the bound.
    #[test]
    fn a_bound_that_nobody_reaches_changes_nothing(
        weights in prop::collection::vec(1_u32..5, 2..8),
        lost in any::<prop::sample::Index>(),
        keys in prop::collection::vec(any::<u32>(), 1..100),
    ) {
        for algorithm in HASHES {
            let (with, without) = (bounded(algorithm, 150, &weights), bounded(algorithm, 0, &weights));
            let mut usable = vec![true; weights.len()];
            for gone in [None, Some(lost.index(weights.len()))] {
                if let Some(gone) = gone {
                    usable[gone] = false;
                }
                let live = state(&usable);
                for key in &keys {
                    let key = u64::from(*key);
                    prop_assert_eq!(with.choose(&live, ask(key)), without.choose(&live, ask(key)));
                }
            }
        }
    }
}
