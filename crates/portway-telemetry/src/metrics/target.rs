//! What is counted of a target beside its block, and made only when there is something to count: most targets of a large
//! configuration speak no TLS, and a worker has not asked all of them.

use std::sync::OnceLock;

use super::Registry;
use super::cell::{Counter, Histogram};
use super::handshake::{HandshakeFailure, HandshakeFailures};
use super::render::Page;
use super::shard::TargetMetrics;

/// Targets that have histograms of their own, in the order of the configuration: each has 36 samples. Those of its group take all
/// targets in.
pub const MOST_TARGET_HISTOGRAMS: usize = 1_000;

/// Counters that are made when they are first counted in. With a single writer, as they.
#[derive(Debug)]
pub struct Late<T>(OnceLock<Box<T>>);

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T: Default> Late<T> {
    /// What is counted in; only the worker that owns the shard may.
    #[inline]
    pub fn counters(&self) -> &T {
        self.0.get_or_init(Box::default)
    }

    /// What was counted, if anything.
    pub(super) fn counted(&self) -> Option<&T> {
        self.0.get().map(|it| &**it)
    }
}

/// How long a target took: 320 bytes a worker that has asked it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct TargetDurations {
    /// From a request to the head of its response.
    pub response: Histogram,
    /// Until a connection was there.
    pub connect: Histogram,
}

/// TLS with a target: 320 bytes a worker that has begun it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct TargetTls {
    /// Handshakes that succeeded.
    pub ok: Counter,
    /// Those of them that resumed a session.
    pub resumptions: Counter,
    /// Handshakes that failed.
    pub failures: HandshakeFailures,
    /// How long those took that succeeded.
    pub time: Histogram,
}

impl Registry {
    /// Histograms of targets; one that nothing was counted in is left out.
    pub(super) fn target_histograms(
        &self,
        page: &mut Page<'_>,
        of: impl Fn(&TargetMetrics) -> Option<&Histogram>,
    ) {
        for (group, target, blocks) in self.by_target().take(MOST_TARGET_HISTOGRAMS) {
            page.histogram_if_any(&[group, target], blocks.filter_map(&of));
        }
    }

    /// Of targets that TLS was begun with.
    pub(super) fn target_handshakes(&self, page: &mut Page<'_>) {
        for (group, target, blocks) in self.by_target() {
            if let Some([ok, failed]) = sum(blocks, |it| [it.ok.value(), it.failures.total()]) {
                page.sample(&[group, target, "ok"], ok.into());
                page.sample(&[group, target, "failed"], failed.into());
            }
        }
    }

    pub(super) fn target_resumptions(&self, page: &mut Page<'_>) {
        for (group, target, blocks) in self.by_target() {
            if let Some([count]) = sum(blocks, |it| [it.resumptions.value()]) {
                page.sample(&[group, target], count.into());
            }
        }
    }

    pub(super) fn target_handshake_failures(&self, page: &mut Page<'_>) {
        for (group, target, blocks) in self.by_target() {
            for why in HandshakeFailure::ALL {
                let count = sum(blocks.clone(), |it| [it.failures.value(why)]);
                let [count] = count.unwrap_or_default();
                page.unless_zero(&[group, target, why.word()], count.into());
            }
        }
    }

    /// Those of all targets of a group together.
    pub(super) fn group_handshake_time(&self, page: &mut Page<'_>) {
        for (group, names) in self.names.groups.iter().enumerate() {
            let targets = 0..names.targets.len();
            let blocks = self.shards.iter().flat_map(|shard| {
                let blocks = targets.clone().map(move |at| shard.target(group, at));
                blocks.filter_map(|t| Some(&t.tls.counted()?.time))
            });
            page.histogram_if_any(&[&names.name], blocks);
        }
    }
}

/// Counters of all workers together; `None`: there are none.
fn sum<'a, const N: usize>(
    blocks: impl Iterator<Item = &'a TargetMetrics>,
    of: impl Fn(&TargetTls) -> [u64; N],
) -> Option<[u64; N]> {
    let counted = blocks.filter_map(|t| t.tls.counted());
    counted.map(of).reduce(|sums, counts| {
        let mut pairs = sums.into_iter().zip(counts);
        std::array::from_fn(|_| pairs.next().map_or(0, |(sum, count)| sum + count))
    })
}
