//! Among whom is chosen, and whether they are enough: what follows from health, weights and zones, once for each epoch.

use super::{Candidates, Live, Policy, Tier, WhenNoneUsable};

/// How many usable targets are enough; both must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enough {
    /// So many.
    pub count: u32,
    /// So many in a hundred of those in service.
    pub percent: u32,
}

impl Default for Enough {
    fn default() -> Enough {
        Enough {
            count: 1,
            percent: 0,
        }
    }
}

impl Enough {
    /// Are so many of so many enough?
    pub fn holds(self, usable: usize, all: usize) -> bool {
        let (usable, all) = (usable as u64, all as u64);
        usable >= u64::from(self.count) && usable * 100 >= all * u64::from(self.percent)
    }
}

/// How well a group can serve, the best last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// It has nobody to ask.
    #[default]
    None,
    /// No target is usable, and all are asked.
    FailOpen,
    /// Some targets are usable, but fewer than enough.
    Some,
    /// Enough targets are usable.
    Enough,
}

/// Who is there in an epoch.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Where the choice is made; `None`: nobody is there.
    pub tier: Option<Tier>,
    /// How well they can serve.
    pub ability: Ability,
    /// Only those of the own zone.
    pub near_only: bool,
    /// All of them.
    pub all: Vec<Member>,
    /// All have the same weight.
    pub(super) equal: bool,
}

/// One among whom is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Index into [`Candidates`].
    pub index: usize,
    /// In [`SIXTEENTHS`].
    pub weight: u32,
}

/// Who is there now.
pub fn members(policy: &Policy, candidates: &Candidates, live: &impl Live) -> Members {
    let in_service = |index: usize| live.weight(index, candidates.weight(index));
    let of_kind = |backup: Option<bool>, up: bool| -> Vec<Member> {
        let of = |index: usize| {
            let is = candidates.candidate(index)?.backup;
            let wanted = backup.is_none_or(|it| it == is) && (!up || live.up(index));
            let weight = if wanted { in_service(index) } else { 0 };
            (weight > 0).then_some(Member { index, weight })
        };
        (0..candidates.len()).filter_map(of).collect()
    };
    let primaries = of_kind(Some(false), true);
    let backups = of_kind(Some(true), true);
    let all = of_kind(None, false);
    let usable = primaries.len() + backups.len();
    let enough = policy.enough.holds(usable, all.len());
    let opens = policy.when_none_usable == WhenNoneUsable::FailOpen;
    let (tier, all, near_only) = match () {
        () if opens && (usable == 0 || !enough) && !all.is_empty() => {
            (Some(Tier::FailOpen), all, false)
        }
        () if !primaries.is_empty() => {
            let (near_only, primaries) = nearby(policy, candidates, live, primaries);
            (Some(Tier::Primary), primaries, near_only)
        }
        () if !backups.is_empty() => {
            let mut backups = backups;
            if !policy.backups_together {
                backups.truncate(1);
            }
            (Some(Tier::Backup), backups, false)
        }
        () => (None, Vec::new(), false),
    };
    let first = all.first().map(|member| member.weight);
    Members {
        tier,
        ability: match tier {
            _ if enough && usable > 0 => Ability::Enough,
            _ if usable > 0 => Ability::Some,
            Some(_) => Ability::FailOpen,
            None => Ability::None,
        },
        near_only,
        equal: all.iter().all(|member| Some(member.weight) == first),
        all,
    }
}

/// Those of the own zone, where enough of what that zone has is usable; else all. True where some are left out.
///
/// What a zone has is told by configured weights, so that a target whose share still rises does not send its zone's
/// clients away.
fn nearby(
    policy: &Policy,
    candidates: &Candidates,
    live: &impl Live,
    all: Vec<Member>,
) -> (bool, Vec<Member>) {
    let is_near = |index: usize| candidates.candidate(index).is_some_and(|it| it.near);
    let near = all.iter().filter(|it| is_near(it.index)).count();
    if near == 0 || near == all.len() {
        return (false, all);
    }
    let share = |index: usize| u64::from(candidates.weight(index));
    let usable: u64 = all
        .iter()
        .filter(|it| is_near(it.index))
        .map(|it| share(it.index))
        .sum();
    let whole: u64 = (0..candidates.len())
        .filter(|index| {
            is_near(*index) && candidates.candidate(*index).is_some_and(|it| !it.backup)
        })
        .filter(|index| live.weight(*index, candidates.weight(*index)) > 0)
        .map(share)
        .sum();
    if usable * 100 < whole * u64::from(policy.zone) {
        return (false, all);
    }
    let near = all.into_iter().filter(|it| is_near(it.index)).collect();
    (true, near)
}
