//! Checks of who is chosen: how many targets are enough, how far a hash holds, and in which order groups are asked.

use super::Compiler;
use super::expressions::Place;
use super::limits::given_within;
use super::rules::place_error;
use crate::action::Weighted;
use crate::choice::{Algorithm, HashMethod};
use crate::diagnostic::{Code, Diagnostic};
use crate::draft::GroupDraft;
use crate::stage::Named;

/// The bound of a hash in percent, as in HAProxy: below 101 there would be no room for what comes.
const BALANCE_FACTOR: (u32, u32) = (101, 65_535);

impl Compiler<'_> {
    pub(super) fn check_choice(&mut self, draft: &GroupDraft) {
        if let Some(enough) = draft.min_healthy {
            let found = &mut self.found;
            let count = enough.map(|it| it.count);
            given_within(found, "a number of targets", Some(count), (1, u32::MAX));
            let percent = enough.map(|it| it.percent);
            given_within(found, "a share of targets", Some(percent), (0, 100));
        }
        let Some(factor) = draft.hash_balance_factor.filter(|it| it.value > 0) else {
            return;
        };
        let what = "a bound of a hash in percent";
        given_within(&mut self.found, what, Some(factor), BALANCE_FACTOR);
        let bounded = match draft.algorithm.as_ref().map(|it| &it.value) {
            Some(Algorithm::SourceHash(method) | Algorithm::Hash { method, .. }) => {
                !matches!(method, HashMethod::Table { .. })
            }
            _ => false,
        };
        if !bounded {
            let message = "a bound on hashing does nothing without a consistent hash";
            self.found.push(
                Diagnostic::warning(Code::Unused, factor.span, message)
                    .help("choose by a hash, and not by a table (HAProxy's `map-based`)"),
            );
        }
    }

    /// Each rank of the groups must take something.
    pub(super) fn check_weights(&mut self, place: Place, groups: &[Weighted<Named>]) {
        let ranks = groups.chunk_by(|one, next| one.rank == next.rank);
        for rank in ranks {
            if rank.iter().all(|weighted| weighted.weight == 0) {
                self.found.push(
                    place_error(place, Code::OutOfRange, "every weight is 0".to_owned())
                        .help("give at least one target group a weight of 1 or more"),
                );
            }
        }
    }
}
