//! What happens in a run, drawn from its seed: numbers and contents.
//!
//! Every client and target has a [`Chance`] of its own, so that a seed gives each of them the same life again,
//! however threads are scheduled. Contents are cut from one long [`Pattern`] at a place that the key of an exchange
//! decides: who knows key and size knows every byte, and comparing is a comparison of memory.

use std::time::Duration;

/// Bytes of the pattern. Longer than the longest content by far, so that two keys rarely mean the same place.
const PATTERN_BYTES: usize = 8 << 20;

/// Longest content, in bytes.
pub(super) const MAX_CONTENT: usize = 2 << 20;

/// Pseudo-random numbers (splitmix64): repeatable, not secret.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    /// The numbers of one participant of the run with this seed.
    pub(super) fn new(seed: u64, participant: u64) -> Self {
        let mut chance = Self(seed ^ participant.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        chance.next();
        chance
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where that is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    /// A number from `first` to `last`, both included.
    pub(super) fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// True once in `times`.
    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A size from 0 to `most`: every order of magnitude is as likely as another.
    pub(super) fn size(&mut self, most: usize) -> usize {
        let bits = usize::BITS - most.leading_zeros();
        let order = self.below(bits as usize + 1);
        self.below(1 << order).min(most)
    }

    /// A time between two numbers of milliseconds.
    pub(super) fn millis(&mut self, first: usize, last: usize) -> Duration {
        Duration::from_millis(self.between(first, last) as u64)
    }

    /// One of them; nothing where there are none.
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// The bytes that all contents are cut from.
#[derive(Debug)]
pub(super) struct Pattern(Vec<u8>);

impl Pattern {
    /// The pattern of a seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, u64::MAX);
        let mut bytes = Vec::with_capacity(PATTERN_BYTES);
        while bytes.len() < PATTERN_BYTES {
            bytes.extend_from_slice(&chance.next().to_le_bytes());
        }
        Self(bytes)
    }

    /// The content that belongs to a key, at most [`MAX_CONTENT`] bytes.
    pub(super) fn content(&self, key: u64, size: usize) -> &[u8] {
        let place = usize::try_from(key % (PATTERN_BYTES - MAX_CONTENT) as u64).unwrap_or(0);
        self.0
            .get(place..place + size.min(MAX_CONTENT))
            .unwrap_or_default()
    }

    /// What is wrong with `received` as the content of this key, if anything.
    pub(super) fn compare(&self, key: u64, size: usize, received: &[u8]) -> Result<(), String> {
        let expected = self.content(key, size);
        if received == expected {
            return Ok(());
        }
        let same = received
            .iter()
            .zip(expected)
            .take_while(|(a, b)| a == b)
            .count();
        Err(format!(
            "corrupt content: {} of {} bytes, the first {same} are right",
            received.len(),
            expected.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself() {
        let draw = |seed, participant| -> Vec<u64> {
            let mut chance = Chance::new(seed, participant);
            (0..8).map(|_| chance.next()).collect()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut chance = Chance::new(7, 0);
        for most in [0, 1, 2, 255, 256, 1 << 20] {
            for _ in 0..1000 {
                assert!(chance.size(most) <= most, "size({most})");
                assert!(chance.between(most, most + 3) - most <= 3);
                assert!(chance.below(most) < most.max(1));
            }
        }
    }

    #[test]
    fn contents() {
        let pattern = Pattern::new(3);
        for size in [0, 1, 1000, MAX_CONTENT] {
            let content = pattern.content(u64::MAX / 3, size).to_vec();
            assert_eq!(content.len(), size);
            assert_eq!(pattern.compare(u64::MAX / 3, size, &content), Ok(()));
        }
        let other = pattern.content(2, 10).to_vec();
        assert!(pattern.compare(1, 10, &other).is_err());
        assert!(pattern.compare(2, 11, &other).is_err());
    }
}
