//! A secret that hash functions begin with: nobody who does not know it can make keys of one number. Who has the same seed
//! finds the same numbers, so that whatever is kept by them can be played again.

use std::hash::{BuildHasher, DefaultHasher, Hasher};

/// The secret. Of chance where a process makes it.
#[derive(Debug, Clone, Copy)]
pub struct Seed([u8; 16]);

impl Seed {
    /// This one.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of it.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl BuildHasher for Seed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.0);
        hasher
    }
}
