//! The weight of one target: what is said of it, and the share of that while it comes back slowly.
//!
//! They are two numbers, so that neither forgets the other: a weight that is said while a share rises holds once it has risen.

use super::{AS_CONFIGURED, EPOCH, Health, TargetState};
use portway_core::balance::SIXTEENTHS;
use std::sync::atomic::{AtomicU32, Ordering};

/// The whole of a share: fine enough that steps of a slow start are not seen, and a product with a weight stays small.
pub const WHOLE_SHARE: u32 = 1000;

/// What is said of a weight, and how much of it counts.
#[derive(Debug)]
pub(crate) struct Weight {
    /// In sixteenths; [`AS_CONFIGURED`] where nobody has said another.
    told: AtomicU32,
    /// Of [`WHOLE_SHARE`].
    share: AtomicU32,
}

impl Default for Weight {
    fn default() -> Self {
        Self {
            told: AtomicU32::new(AS_CONFIGURED),
            share: AtomicU32::new(WHOLE_SHARE),
        }
    }
}

impl Weight {
    /// Another that says the same.
    pub(crate) fn copied(&self) -> Self {
        let copy = |it: &AtomicU32| AtomicU32::new(it.load(Ordering::Relaxed));
        Self {
            told: copy(&self.told),
            share: copy(&self.share),
        }
    }
}

impl TargetState {
    /// Its weight in sixteenths, where `configured` is what the configuration says: that which counts now.
    pub fn weight(&self, configured: u32) -> u32 {
        let whole = self.whole_weight(configured);
        match self.share() {
            WHOLE_SHARE => whole,
            share => {
                let part = u64::from(whole) * u64::from(share) / u64::from(WHOLE_SHARE);
                // A target that has weight gets something, however little of its time is over.
                u32::try_from(part).unwrap_or(whole).max(whole.min(1))
            }
        }
    }

    /// The same, with the weight that its group says; 1 before it is of one.
    pub(crate) fn weight_now(&self) -> u32 {
        self.weight(self.limits().map_or(1, crate::queue::Limits::weight))
    }

    /// The same while it is in service, and else nothing: not even where none is healthy and all are tried.
    pub(crate) fn weight_in_service(&self, configured: u32) -> u32 {
        match self.health() {
            Health::Unused => 0,
            _ => self.weight(configured),
        }
    }

    /// The same once its share has risen.
    pub fn whole_weight(&self, configured: u32) -> u32 {
        let configured = configured.saturating_mul(SIXTEENTHS);
        self.told_weight().unwrap_or(configured)
    }

    /// Its weight in sixteenths, where somebody has said another than the configuration.
    pub fn told_weight(&self) -> Option<u32> {
        let weight = self.weight.told.load(Ordering::Relaxed);
        (weight != AS_CONFIGURED).then_some(weight)
    }

    /// Control says another weight, in sixteenths; `None`: as configured.
    pub fn set_weight(&self, sixteenths: Option<u32>) {
        let weight = sixteenths.map_or(AS_CONFIGURED, |it| it.min(AS_CONFIGURED - 1));
        self.weight.told.store(weight, Ordering::Relaxed);
        EPOCH.fetch_add(1, Ordering::Release);
        self.tell_those_who_wait();
    }

    /// How much of its weight counts, of [`WHOLE_SHARE`].
    pub fn share(&self) -> u32 {
        self.weight.share.load(Ordering::Relaxed)
    }

    /// Control says how much of its weight counts.
    pub fn set_share(&self, share: u32) {
        let share = share.min(WHOLE_SHARE);
        if self.weight.share.swap(share, Ordering::Relaxed) != share {
            EPOCH.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_weight_that_is_said() {
        let target = TargetState::new(Health::Healthy, None);
        assert_eq!(target.weight(10), 160);
        target.set_share(250);
        assert_eq!((target.weight(10), target.whole_weight(10)), (40, 160));
        target.set_weight(Some(48));
        assert_eq!((target.weight(10), target.told_weight()), (12, Some(48)));
        target.set_share(0);
        assert_eq!(target.weight(10), 1);
        target.set_weight(Some(0));
        assert_eq!(target.weight(10), 0);
        target.set_share(WHOLE_SHARE);
        target.set_weight(None);
        assert_eq!(target.weight(10), 160);
    }
}
