//! How much a target may have in flight before a consistent hash leads on to another one.
//!
//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018), as HAProxy's `hash-balance-factor`: all
//! places together are the factor times what is in flight, the request that is being led included; each target has its
//! share of them by weight, and at least one. So there is always a target with room: places are more than requests.

use super::Live;
use super::members::Member;

/// The places of one choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    places: u64,
    weight: u64,
}

impl Bound {
    /// `factor` in percent, above 100.
    pub(super) fn new(factor: u32, members: &[Member], live: &impl Live) -> Bound {
        let in_flight = members.iter().map(|it| u64::from(live.in_flight(it.index)));
        let requests = in_flight.sum::<u64>() + 1;
        Bound {
            places: (requests * u64::from(factor)).div_ceil(100),
            weight: members.iter().map(|it| u64::from(it.weight)).sum(),
        }
    }

    /// Has the target a place for one more?
    pub(super) fn has_room(&self, members: &[Member], index: usize, live: &impl Live) -> bool {
        let mut before = 0;
        for member in members {
            if member.index == index {
                let places = self.up_to(before + u64::from(member.weight)) - self.up_to(before);
                return u64::from(live.in_flight(index)) < places.max(1);
            }
            before += u64::from(member.weight);
        }
        false
    }

    /// The places of the first targets that have this weight together: rounded so, all get exactly what there is.
    fn up_to(&self, weight: u64) -> u64 {
        let share = u128::from(self.places) * u128::from(weight);
        u64::try_from(share.checked_div(self.weight.into()).unwrap_or(0)).unwrap_or(u64::MAX)
    }
}
