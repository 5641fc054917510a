//! What compression made of responses, by listener and by target group.

use super::Registry;
use super::cell::Counter;
use super::family::Family;
use super::render::Page;

/// What a worker counts of responses that were compressed.
#[derive(Debug, Default)]
pub struct Compressed {
    /// Responses that were compressed to their end.
    pub responses: Counter,
    /// Bytes of content that were compressed.
    pub bytes_in: Counter,
    /// Bytes that were made of them.
    pub bytes_out: Counter,
    /// Bytes of content in the coding that changes nothing, HAProxy's `identity`.
    pub bypassed: Counter,
}

/// The sums of all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompressedTotals {
    /// Responses that were compressed to their end.
    pub responses: u64,
    /// Bytes of content that were compressed.
    pub bytes_in: u64,
    /// Bytes that were made of them.
    pub bytes_out: u64,
    /// Bytes of content in the coding that changes nothing.
    pub bypassed: u64,
}

impl CompressedTotals {
    pub(super) fn add(&mut self, compressed: &Compressed) {
        self.responses += compressed.responses.value();
        self.bytes_in += compressed.bytes_in.value();
        self.bytes_out += compressed.bytes_out.value();
        self.bypassed += compressed.bypassed.value();
    }

    /// What was counted since it was `zero`.
    pub fn since(self, zero: Self) -> Self {
        Self {
            responses: self.responses.saturating_sub(zero.responses),
            bytes_in: self.bytes_in.saturating_sub(zero.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(zero.bytes_out),
            bypassed: self.bypassed.saturating_sub(zero.bypassed),
        }
    }

    /// The value of one of the families.
    fn of(self, family: Family) -> u64 {
        match family {
            Family::ListenerUncompressedBytes | Family::GroupUncompressedBytes => self.bytes_in,
            Family::ListenerCompressedBytes | Family::GroupCompressedBytes => self.bytes_out,
            _ => self.responses,
        }
    }
}

impl Registry {
    pub(super) fn listeners_compressed(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_listener() {
            compressed(page, name, blocks.map(|it| &it.compressed));
        }
    }

    pub(super) fn groups_compressed(&self, page: &mut Page<'_>) {
        for (name, blocks) in self.by_group() {
            compressed(page, name, blocks.map(|it| &it.compressed));
        }
    }
}

fn compressed<'b>(page: &mut Page<'_>, name: &str, blocks: impl Iterator<Item = &'b Compressed>) {
    let mut sum = CompressedTotals::default();
    blocks.for_each(|it| sum.add(it));
    page.unless_zero(&[name], sum.of(page.family).into());
}
