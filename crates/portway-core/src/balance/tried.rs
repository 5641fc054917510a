//! The targets that one exchange has already tried.

/// How many tried targets are remembered. More attempts than this are unusual (the default is 3); beyond it the oldest
/// is forgotten and may be tried again.
pub const TRIED_REMEMBERED: usize = 8;

/// A small set of target indices. It owns no memory, so that an exchange may have one at no cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    indices: [u32; TRIED_REMEMBERED],
    inserted: u32,
}

impl Tried {
    /// An empty set.
    pub const fn new() -> Tried {
        Tried {
            indices: [0; TRIED_REMEMBERED],
            inserted: 0,
        }
    }

    /// Remembers a target.
    pub fn insert(&mut self, index: usize) {
        let place = self.inserted as usize % TRIED_REMEMBERED;
        if let (Some(slot), Ok(index)) = (self.indices.get_mut(place), u32::try_from(index)) {
            *slot = index;
            self.inserted = self.inserted.saturating_add(1);
        }
    }

    /// Was this target tried?
    pub fn contains(&self, index: usize) -> bool {
        let known = (self.inserted as usize).min(TRIED_REMEMBERED);
        self.indices
            .iter()
            .take(known)
            .any(|&tried| tried as usize == index)
    }

    /// Was nothing tried yet?
    pub fn is_empty(&self) -> bool {
        self.inserted == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_latest() {
        let mut tried = Tried::new();
        assert!(tried.is_empty() && !tried.contains(0));
        for index in 0..=TRIED_REMEMBERED {
            tried.insert(index);
            assert!(tried.contains(index));
        }
        assert!(!tried.contains(0), "the oldest is forgotten");
        assert!((1..=TRIED_REMEMBERED).all(|index| tried.contains(index)));
    }
}
