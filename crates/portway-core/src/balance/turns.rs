//! Whose turn it is among targets of different weights, in the order that HAProxy's `roundrobin` has.
//!
//! Time is counted in positions, a position a choice. A target of weight w wants to be chosen every total / w positions;
//! it waits in `now` for its place within this round, or in `later` for the next round, where it starts by its weight.
//! Among those whose place has come the one with the lowest key is chosen, and a target that cannot be chosen loses its
//! place. The hard thing is that the order must be HAProxy's to the last choice, since people compare: keys and
//! remainders are kept as it keeps them (`fwrr`), whatever their rounding does.

/// HAProxy's range of weights and the steps that each has.
const WEIGHT_RANGE: i64 = 256;
/// See [`WEIGHT_RANGE`].
const STEPS: i64 = 16;
/// The heaviest that HAProxy knows.
const HEAVIEST: i64 = WEIGHT_RANGE * STEPS;

/// The state of the turns of one group, for all of its workers.
#[derive(Debug, Default)]
pub(super) struct Turns {
    places: Vec<Place>,
    /// Who starts in this round, who waits within it, who starts in the next one: key and index, lowest first.
    first: Vec<(i64, usize)>,
    now: Vec<(i64, usize)>,
    later: Vec<(i64, usize)>,
    position: i64,
    round_weight: i64,
    next_weight: i64,
    /// The epoch of the targets that it knows.
    epoch: Option<u64>,
}

/// One target.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// In sixteenths; 0: it is not among the targets.
    weight: i64,
    next: i64,
    remainder: i64,
}

impl Turns {
    /// Takes over who is there and with which weight, in sixteenths. Does nothing in an epoch that it knows.
    pub(super) fn know(&mut self, epoch: u64, members: impl Iterator<Item = (usize, u32)>) {
        if self.epoch.replace(epoch) == Some(epoch) {
            return;
        }
        let fresh = self.places.is_empty();
        let mut wanted: Vec<i64> = vec![0; self.places.len()];
        for (index, weight) in members {
            if wanted.len() <= index {
                wanted.resize(index + 1, 0);
            }
            if let Some(slot) = wanted.get_mut(index) {
                *slot = i64::from(weight);
            }
        }
        self.places.resize(wanted.len(), Place::default());
        for (index, weight) in wanted.into_iter().enumerate() {
            match self.places.get(index).map(|place| place.weight) {
                Some(now) if now == weight => {}
                Some(0) if fresh => self.start(index, weight),
                Some(0) => self.join(index, weight),
                _ if weight == 0 => self.leave(index),
                _ => {
                    self.leave(index);
                    self.join(index, weight);
                }
            }
        }
    }

    /// The same turns where targets stand at other places; those that `place` gives none are gone.
    pub(super) fn moved(&self, place: impl Fn(usize) -> Option<usize>) -> Turns {
        let list = |list: &[(i64, usize)]| {
            let moved = list.iter();
            let moved = moved.filter_map(|(key, index)| Some((*key, place(*index)?)));
            moved.collect()
        };
        let mut turns = Turns {
            places: Vec::new(),
            first: list(&self.first),
            now: list(&self.now),
            later: list(&self.later),
            position: self.position,
            round_weight: self.round_weight,
            next_weight: self.next_weight,
            epoch: None,
        };
        for (index, old) in self.places.iter().enumerate() {
            let Some(to) = place(index) else {
                turns.next_weight -= old.weight;
                continue;
            };
            if turns.places.len() <= to {
                turns.places.resize(to + 1, Place::default());
            }
            if let Some(new) = turns.places.get_mut(to) {
                *new = *old;
            }
        }
        turns
    }

    /// The next whose turn it is and who is free.
    pub(super) fn next(&mut self, free: impl Fn(usize) -> bool) -> Option<usize> {
        let mut skipped: Vec<usize> = Vec::new();
        let mut switched = false;
        let found = loop {
            if self.round_weight == 0 {
                self.round_weight = self.next_weight;
                self.position = self.next_weight;
            }
            let Some(index) = self.foremost() else {
                if switched {
                    break None;
                }
                switched = true;
                self.switch();
                continue;
            };
            self.advance(index);
            self.position += 1;
            if free(index) {
                self.queue(index);
                break Some(index);
            }
            skipped.push(index);
        };
        // The last that was skipped is the first to come back.
        for index in skipped.into_iter().rev() {
            self.queue(index);
        }
        found
    }

    /// At the very beginning: by weight, in the order of the configuration.
    fn start(&mut self, index: usize, weight: i64) {
        if let Some(place) = self.places.get_mut(index) {
            place.weight = weight;
        }
        self.next_weight += weight;
        insert(&mut self.first, (HEAVIEST - weight, index));
    }

    /// One that comes while turns are taken does not get those that it missed.
    fn join(&mut self, index: usize, weight: i64) {
        self.next_weight += weight;
        let ahead = self.next_weight + self.round_weight - self.position;
        if let Some(place) = self.places.get_mut(index) {
            place.weight = weight;
            place.remainder = 0;
            place.next = self.position + ahead / weight.max(1);
        }
        self.queue(index);
    }

    fn leave(&mut self, index: usize) {
        self.take_out(index);
        if let Some(place) = self.places.get_mut(index) {
            self.next_weight -= std::mem::take(&mut place.weight);
        }
    }

    fn take_out(&mut self, index: usize) {
        for list in [&mut self.first, &mut self.now, &mut self.later] {
            list.retain(|(_, it)| *it != index);
        }
    }

    /// Takes the foremost one out: one whose place has come, else one that starts, else the next at all.
    fn foremost(&mut self) -> Option<usize> {
        let waiting = self.now.first().map(|(_, index)| *index);
        let place = waiting.and_then(|index| self.places.get(index));
        if place.is_some_and(|place| place.next <= self.position) {
            self.now.remove(0);
            return waiting;
        }
        if !self.first.is_empty() {
            let (_, index) = self.first.remove(0);
            if let Some(place) = self.places.get_mut(index) {
                (place.next, place.remainder) = (0, 0);
            }
            return Some(index);
        }
        waiting.inspect(|_| {
            self.now.remove(0);
        })
    }

    /// Moves a chosen one to its next place.
    fn advance(&mut self, index: usize) {
        let (position, round) = (self.position, self.next_weight);
        if let Some(place) = self.places.get_mut(index).filter(|it| it.weight > 0) {
            if place.next == 0 {
                place.next = position;
            }
            place.next += round / place.weight;
            place.remainder += round % place.weight;
            if place.remainder >= place.weight {
                place.remainder -= place.weight;
                place.next += 1;
            }
        }
    }

    fn queue(&mut self, index: usize) {
        let (round, next) = (self.round_weight, self.next_weight);
        let Some(place) = self.places.get_mut(index).filter(|it| it.weight > 0) else {
            return;
        };
        if place.next >= 2 * round || place.next >= round + next {
            place.next -= round;
            let key = HEAVIEST - place.weight;
            insert(&mut self.later, (key, index));
        } else {
            let rest = (HEAVIEST + place.remainder - place.weight).div_euclid(STEPS);
            let key = WEIGHT_RANGE * place.next + rest;
            insert(&mut self.now, (key, index));
        }
    }

    fn switch(&mut self) {
        std::mem::swap(&mut self.first, &mut self.later);
        self.round_weight = self.next_weight;
        self.position = self.round_weight;
    }
}

/// Behind all of the same key.
fn insert(list: &mut Vec<(i64, usize)>, entry: (i64, usize)) {
    let place = list.partition_point(|(key, _)| *key <= entry.0);
    list.insert(place, entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Orders that HAProxy 2.6 was seen to have.
    #[test]
    fn the_order_of_haproxy() {
        let check = |weights: &[u32], expected: &str| {
            let mut turns = Turns::default();
            let members = weights.iter().map(|weight| weight * 16).enumerate();
            turns.know(0, members);
            let order: String = expected
                .chars()
                .map(|_| turns.next(|_| true).expect("a target"))
                .map(|index| char::from(b'a' + u8::try_from(index).expect("few")))
                .collect();
            assert_eq!(order, expected, "{weights:?}");
        };
        check(&[1, 1, 1], "abcabcabc");
        check(&[1, 2, 3], "cbcacbcbcacbcbcacbcbcacbcbcacbcbcacbcbca");
        check(&[5, 1, 1], "aaabaacaaabaacaaabaacaaabaacaaabaacaaaba");
        check(&[3, 1], "aaabaaabaaabaaabaaabaaabaaabaaabaaabaaab");
        check(&[2, 4, 2], "babcbabcbabcbabcbabcbabcbabcbabcbabcbabc");
        check(&[10, 1, 3, 7], "adacadadabdacadadacadadacadadabdacadadac");
        check(&[4, 3, 2, 1], "abacbadabcabacbadabcabacbadabcabacbadabc");
        check(&[7, 7, 7, 7, 1], "abcdabcdabcdabcdabcdabcdabcdeabcdabcdabc");
    }

    #[test]
    fn those_that_are_not_free_are_passed_over_and_come_back() {
        let mut turns = Turns::default();
        let all = || [(0, 16), (1, 32), (2, 48)].into_iter();
        turns.know(0, all());
        for _ in 0..50 {
            assert_ne!(turns.next(|index| index != 2), Some(2));
            assert_eq!(turns.next(|_| false), None);
        }
        // Who was passed over has lost its turns, but not for long.
        for _ in 0..60 {
            assert!(turns.next(|_| true).is_some());
        }
        let mut counts = [0; 3];
        for _ in 0..60 {
            counts[turns.next(|_| true).expect("a target")] += 1;
        }
        let expected = [9..=11, 19..=21, 29..=31];
        let near = counts
            .iter()
            .zip(&expected)
            .all(|(count, expected)| expected.contains(count));
        assert!(near, "{counts:?}");
    }

    #[test]
    fn whoever_goes_takes_no_turn_and_who_comes_gets_its_share() {
        let mut turns = Turns::default();
        turns.know(0, [(0, 16), (1, 32), (2, 48)].into_iter());
        assert!(turns.next(|_| true).is_some());
        turns.know(1, [(0, 16), (2, 48)].into_iter());
        let mut counts = [0; 3];
        for _ in 0..40 {
            counts[turns.next(|_| true).expect("a target")] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((9..=11).contains(&counts[0]), "{counts:?}");
        turns.know(2, [(0, 16), (1, 32), (2, 48)].into_iter());
        let mut counts = [0; 3];
        for _ in 0..60 {
            counts[turns.next(|_| true).expect("a target")] += 1;
        }
        assert!((18..=22).contains(&counts[1]), "{counts:?}");
        turns.know(3, std::iter::empty());
        assert_eq!(turns.next(|_| true), None);
    }
}
