//! Checks of who is chosen: how many targets are enough, how far a hash holds, and in which order groups are asked.

use super::Compiler;
use super::expressions::Place;
use super::limits::{duration_or_zero, given_within};
use super::process::check_line;
use super::rules::place_error;
use crate::action::Weighted;
use crate::address::{Host, TargetAddress};
use crate::choice::{Algorithm, CookieValues, HashMethod, StickyCookie};
use crate::diagnostic::{Code, Diagnostic};
use crate::draft::{GroupDraft, TargetDraft};
use crate::span::{Span, Spanned};
use crate::stage::Named;
use std::time::Duration;

/// The bound of a hash in percent, as in HAProxy: below 101 there would be no room for what comes.
const BALANCE_FACTOR: (u32, u32) = (101, 65_535);

/// The most keys of one sealed cookie: one that seals, and some whose cookies are still out there.
const MAX_COOKIE_KEYS: usize = 8;

impl Compiler<'_> {
    /// Warns of more targets than there are. Names may have any number of them.
    fn check_is_reached(&mut self, draft: &GroupDraft, enough: Spanned<u32>) {
        let is_one = |it: &TargetDraft| match &it.address.value {
            TargetAddress::Tcp { host, .. } => matches!(host, Host::Ip(_)),
            TargetAddress::Service(_) => false,
            _ => true,
        };
        let there = draft.targets.len();
        if enough.value as usize <= there || !draft.targets.iter().all(is_one) {
            return;
        }
        let message = format!(
            "{} targets are to be healthy, and the group has {there}: it never serves while others can",
            enough.value
        );
        let one = Diagnostic::warning(Code::Unused, enough.span, message);
        let help = match there {
            0 | 1 => "leave it out: one is enough then".to_owned(),
            _ => format!("write a number from 1 to {there}, or a share such as `50%`"),
        };
        self.found.push(one.help(help));
    }

    pub(super) fn check_choice(&mut self, draft: &GroupDraft) {
        if let Some(enough) = draft.min_healthy {
            let found = &mut self.found;
            let count = enough.map(|it| it.count);
            given_within(found, "a number of targets", Some(count), (1, u32::MAX));
            let percent = enough.map(|it| it.percent);
            given_within(found, "a share of targets", Some(percent), (0, 100));
            self.check_is_reached(draft, count);
        }
        for target in &draft.targets {
            check_line(&mut self.found, "the zone", target.zone.as_ref());
        }
        let share = draft.min_zone_healthy;
        given_within(&mut self.found, "a share of a zone", share, (0, 100));
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

    /// None is a time as well: what is in progress is cut off at once.
    pub(super) fn deregistration_delay(&mut self, draft: &GroupDraft) -> Option<Duration> {
        let delay = draft.deregistration_delay?;
        let what = "the deregistration delay";
        let delay = duration_or_zero(&mut self.found, what, Some(delay), delay.value);
        Some(delay)
    }

    /// Each cookie that a client brings is held against every key.
    pub(super) fn check_cookie_keys(&mut self, cookie: &StickyCookie, span: Span) {
        let CookieValues::Sealed { keys } = &cookie.values else {
            return;
        };
        let wrong = if keys.iter().any(String::is_empty) {
            "the key of a sealed cookie is empty"
        } else if keys.len() > MAX_COOKIE_KEYS {
            "a sealed cookie has too many keys"
        } else {
            return;
        };
        let help = "the first key seals, up to seven others open what was sealed before";
        let error = Diagnostic::error(Code::OutOfRange, span, wrong);
        self.found.push(error.help(help));
    }

    /// A hash leads to a group by its name: a second share of it would be none.
    pub(super) fn check_named_once(&mut self, place: Place, groups: &[Weighted<Named>]) {
        for (index, weighted) in groups.iter().enumerate() {
            let group = &weighted.group;
            let mut before = groups.iter().take(index);
            let same = |it: &&Weighted<Named>| it.group == *group && it.rank == weighted.rank;
            if before.find(same).is_some() {
                let message = format!("target group `{}` has two shares of a hash", group.value);
                let wrong = place_error(place, Code::Duplicate, message);
                self.found
                    .push(wrong.help("name it once, with the sum of the weights"));
            }
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
