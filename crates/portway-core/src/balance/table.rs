//! How a number finds a target as in HAProxy: by a table of turns (`map-based`), or on a ring (`consistent`).
//!
//! Both must choose what HAProxy chooses for the same servers, since clients move from one program to the other; so the
//! table is filled and points are placed exactly as there.

use super::digest::full_avalanche;

/// Points on the ring for each unit of weight.
const POINTS: u32 = 16;
/// Numbers of points that are kept apart for each target id.
const POINTS_OF_ID: u32 = 256 * POINTS;
/// The largest weight that a target of a table or a ring has; HAProxy knows no larger ones.
pub const MAX_SHARES: u32 = 256;

/// Targets by turns: the table of `map-based` and of `static-rr`. `members`: index and weight.
pub(super) fn table(members: &[(usize, u32)], divisor: u32) -> Vec<usize> {
    let divisor = divisor.max(1);
    let share = |weight: u32| i64::from(weight.min(MAX_SHARES).div_ceil(divisor));
    let mut scores: Vec<i64> = vec![0; members.len()];
    let total: i64 = members.iter().map(|(_, weight)| share(*weight)).sum();
    let mut table = Vec::new();
    for _ in 0..total {
        if total == 1 {
            table.extend(members.first().map(|(index, _)| *index));
            break;
        }
        let mut best: Option<(i64, usize)> = None;
        for (place, ((_, weight), score)) in members.iter().zip(&mut scores).enumerate() {
            *score += share(*weight);
            let value = (*score + total) / total;
            if best.is_none_or(|(most, _)| value > most) {
                best = Some((value, place));
            }
        }
        let Some((_, place)) = best else {
            break;
        };
        if let (Some(score), Some((index, _))) = (scores.get_mut(place), members.get(place)) {
            *score -= total;
            table.push(*index);
        }
    }
    table
}

/// The points of all targets, in order. `members`: index, id, weight in sixteenths.
pub(super) fn ring(members: impl Iterator<Item = (usize, u32, u32)>) -> Vec<(u32, usize)> {
    let mut points = Vec::new();
    for (index, id, sixteenths) in members {
        for point in 0..sixteenths.min(MAX_SHARES * POINTS) {
            let number = id.wrapping_mul(POINTS_OF_ID).wrapping_add(point);
            points.push((full_avalanche(number), index));
        }
    }
    points.sort_by_key(|(key, _)| *key);
    points
}

/// The target nearest to `hash` on the ring that is not avoided; from there on the next.
pub(super) fn nearest(
    ring: &[(u32, usize)],
    hash: u32,
    avoid: impl Fn(usize) -> bool,
) -> Option<usize> {
    let after = ring.partition_point(|(key, _)| *key < hash) % ring.len().max(1);
    let before = after.checked_sub(1).unwrap_or(ring.len().saturating_sub(1));
    let (next, previous) = (ring.get(after)?, ring.get(before)?);
    let start = if hash.wrapping_sub(previous.0) <= next.0.wrapping_sub(hash) {
        before
    } else {
        after
    };
    let behind = ring.get(start..)?.iter().chain(ring.get(..start)?);
    behind.map(|(_, index)| *index).find(|index| !avoid(*index))
}

/// The greatest common divisor of weights that are not 0; 1 where there are none.
pub(super) fn divisor(weights: impl Iterator<Item = u32>) -> u32 {
    let of_two = |mut a: u32, mut b: u32| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    weights
        .filter(|weight| *weight > 0)
        .reduce(of_two)
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Orders that HAProxy 2.6 was seen to have with `static-rr`.
    #[test]
    fn the_table_of_haproxy() {
        let check = |weights: &[u32], expected: &str| {
            let members: Vec<(usize, u32)> = weights.iter().copied().enumerate().collect();
            let table = table(&members, divisor(weights.iter().copied()));
            let order: String = (0..expected.len())
                .map(|turn| table[turn % table.len()])
                .map(|index| char::from(b'a' + u8::try_from(index).expect("few")))
                .collect();
            assert_eq!(order, expected, "{weights:?}");
        };
        check(&[1, 2, 3], "acbcbcacbcbcacbcbcacbcbc");
        check(&[5, 1, 1], "aaabaacaaabaacaaabaacaaa");
        check(&[4, 3, 2, 1], "ababcabacdababcabacdabab");
        check(&[2, 4, 2], "abbcabbcabbcabbcabbcabbc");
        check(&[7], "aaa");
    }

    #[test]
    fn the_ring_has_no_end() {
        let ring = ring([(0, 1, 16), (1, 2, 16)].into_iter());
        assert_eq!(ring.len(), 32);
        for hash in [0, u32::MAX, 1 << 31] {
            let found = nearest(&ring, hash, |_| false).expect("a target");
            assert_eq!(
                nearest(&ring, hash, |index| index == found),
                Some(1 - found)
            );
            assert_eq!(nearest(&ring, hash, |_| true), None);
        }
        assert_eq!(nearest(&[], 7, |_| false), None);
    }
}
