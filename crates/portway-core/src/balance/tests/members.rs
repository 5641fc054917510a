//! Among whom is chosen: enough targets, and those of the own zone.

use super::*;

const ONE: Enough = Enough {
    count: 1,
    percent: 0,
};

fn members(policy: Policy, all: Vec<Candidate>, usable: &[bool]) -> Members {
    let candidates = Arc::new(Candidates::new(all));
    Balancer::new(policy, candidates, Arc::default()).members(&state(usable))
}

#[test]
fn how_well_a_group_can_serve() {
    let check = |usable: [u8; 4], enough: (u32, u32), opens: bool, expected| {
        let mut all = candidates(&[1; 4]);
        all[3].backup = true;
        let (count, percent) = enough;
        let policy = Policy {
            enough: Enough { count, percent },
            when_none_usable: match opens {
                true => WhenNoneUsable::FailOpen,
                false => WhenNoneUsable::None,
            },
            ..Algorithm::RoundRobin.into()
        };
        let members = members(policy, all, &usable.map(|it| it == 1));
        let found = (members.tier, members.all.len(), members.ability);
        assert_eq!(found, expected, "{usable:?} {enough:?} {opens}");
    };
    use Tier::{Backup, FailOpen, Primary};
    let (primary, backup, open) = (Some(Primary), Some(Backup), Some(FailOpen));
    // One is enough unless something else is said.
    check([1, 1, 1, 1], (1, 0), false, (primary, 3, Ability::Enough));
    check([0, 0, 1, 0], (1, 0), false, (primary, 1, Ability::Enough));
    check([0, 0, 0, 1], (1, 0), false, (backup, 1, Ability::Enough));
    check([0, 0, 0, 0], (1, 0), false, (None, 0, Ability::None));
    check([0, 0, 0, 0], (1, 0), true, (open, 4, Ability::FailOpen));
    // A number, a share of all, or both; backups are of it.
    check([1, 0, 0, 0], (2, 0), false, (primary, 1, Ability::Some));
    check([1, 0, 0, 1], (2, 0), false, (primary, 1, Ability::Enough));
    check([1, 1, 0, 0], (1, 50), false, (primary, 2, Ability::Enough));
    check([1, 1, 0, 0], (1, 51), false, (primary, 2, Ability::Some));
    check([1, 1, 0, 0], (3, 50), false, (primary, 2, Ability::Some));
    check([0, 0, 0, 1], (2, 0), false, (backup, 1, Ability::Some));
    // Fewer than enough are as good as none where the group then asks all.
    check([1, 0, 0, 0], (2, 0), true, (open, 4, Ability::Some));
    check([1, 1, 0, 0], (2, 0), true, (primary, 2, Ability::Enough));
}

#[test]
fn the_own_zone_serves_alone_while_enough_of_it_is_there() {
    let check = |near: &str, usable: &str, zone: u32, expected: &str| {
        let weights: Vec<u32> = vec![1; near.len()];
        let mut all = candidates(&weights);
        for (candidate, kind) in all.iter_mut().zip(near.chars()) {
            candidate.near = kind.is_ascii_uppercase();
            candidate.backup = kind.eq_ignore_ascii_case(&'b');
            candidate.weight = if kind.eq_ignore_ascii_case(&'h') {
                3
            } else {
                1
            };
        }
        let policy = Policy {
            zone,
            ..Algorithm::RoundRobin.into()
        };
        let usable: Vec<bool> = usable.chars().map(|it| it == '1').collect();
        let members = members(policy, all.clone(), &usable);
        let mut shown = vec!['-'; near.len()];
        members.all.iter().for_each(|it| shown[it.index] = 'x');
        let shown: String = shown.iter().collect();
        assert_eq!(shown, expected, "{near} {usable:?} {zone}");
        let left_out = (0..near.len()).any(|it| {
            let taken = members.all.iter().any(|member| member.index == it);
            usable[it] && !taken && !all[it].backup
        });
        assert_eq!(members.near_only, left_out, "{near} {usable:?} {zone}");
    };
    // No target of the own zone, or no other: all.
    check("ttt", "111", 70, "xxx");
    check("TTT", "101", 70, "x-x");
    check("TTtt", "1111", 70, "xx--");
    // Half of the zone is gone: it is too little of 70 %, and enough of 50 %.
    check("TTtt", "1011", 70, "x-xx");
    check("TTtt", "1011", 50, "x---");
    // Down to the last with 0, and all must be there with 100.
    check("TTTTtt", "100011", 0, "x-----");
    check("TTTTtt", "111011", 100, "xxx-xx");
    check("TTtt", "0011", 0, "--xx");
    // Weights count: three quarters of the zone are there.
    check("THtt", "0111", 75, "-x--");
    check("THtt", "1011", 26, "x-xx");
    check("THtt", "1011", 25, "x---");
    // Backups of the zone neither serve nor count while others serve.
    check("TBtb", "1111", 100, "x---");
    check("tBb", "111", 0, "x--");
    check("TBtb", "0101", 0, "-x--");
}

proptest! {
    /// Whatever is usable: who serves is usable, somebody serves if anybody may, and nobody outside the zone serves
    /// beside those in it unless the zone has too little.
    #[test]
    fn zones_lose_nobody(
        weights in prop::collection::vec(0_u32..4, 1..9),
        near in prop::collection::vec(any::<bool>(), 9),
        usable in prop::collection::vec(any::<bool>(), 9),
        zone in 0_u32..101,
    ) {
        let mut all = candidates(&weights);
        for (candidate, near) in all.iter_mut().zip(&near) {
            candidate.near = *near;
        }
        let policy = Policy { zone, enough: ONE, ..Algorithm::RoundRobin.into() };
        let usable = &usable[..weights.len()];
        let found = members(policy, all.clone(), usable);
        let may = |index: usize| usable[index] && weights[index] > 0;
        let possible = (0..weights.len()).filter(|it| may(*it)).count();
        prop_assert!(found.all.iter().all(|it| may(it.index)));
        prop_assert_eq!(found.all.is_empty(), possible == 0);
        match found.near_only {
            true => prop_assert!(found.all.iter().all(|it| near[it.index])),
            false => prop_assert_eq!(found.all.len(), possible),
        }
    }
}
