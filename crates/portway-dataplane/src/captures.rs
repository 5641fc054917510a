//! What rules keep of an exchange for its record: texts in slots, those of requests apart from those of responses.

use crate::policy::Side;
use std::ops::Range;

/// What was captured. Texts lie in one arena that is used again by the next exchange.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captures {
    text: Vec<u8>,
    kept: Vec<(Side, u16, Range<usize>)>,
}

impl Captures {
    /// Forgets all and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.kept.clear();
    }

    /// Forgets those of one side.
    pub(crate) fn forget(&mut self, side: Side) {
        self.kept.retain(|(of, _, _)| *of != side);
    }

    /// Keeps the first `length` bytes of `value`, in place of what was in the slot.
    pub(crate) fn keep(&mut self, side: Side, slot: u16, value: &[u8], length: u16) {
        let start = self.text.len();
        let value = value.get(..usize::from(length)).unwrap_or(value);
        self.text.extend_from_slice(value);
        self.kept
            .retain(|(of, known, _)| (*of, *known) != (side, slot));
        self.kept.push((side, slot, start..self.text.len()));
    }

    /// What is in a slot.
    pub(crate) fn get(&self, side: Side, slot: u16) -> Option<&[u8]> {
        let found = |kept: &&(Side, u16, Range<usize>)| (kept.0, kept.1) == (side, slot);
        let (_, _, range) = self.kept.iter().find(found)?;
        self.text.get(range.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_two_sides() {
        let mut captures = Captures::default();
        captures.keep(Side::Request, 1, b"abcdef", 3);
        captures.keep(Side::Response, 1, b"x", 3);
        captures.keep(Side::Request, 0, b"", 3);
        let of = |captures: &Captures, side, slot| captures.get(side, slot).map(<[u8]>::to_vec);
        assert_eq!(of(&captures, Side::Request, 1), Some(b"abc".to_vec()));
        assert_eq!(of(&captures, Side::Response, 1), Some(b"x".to_vec()));
        assert_eq!(of(&captures, Side::Request, 0), Some(Vec::new()));
        assert_eq!(of(&captures, Side::Request, 2), None);
        captures.keep(Side::Request, 1, b"new", 30);
        assert_eq!(of(&captures, Side::Request, 1), Some(b"new".to_vec()));
        captures.forget(Side::Response);
        assert_eq!(of(&captures, Side::Response, 1), None);
        assert_eq!(of(&captures, Side::Request, 1), Some(b"new".to_vec()));
        captures.clear();
        assert_eq!(of(&captures, Side::Request, 1), None);
    }
}
