//! The budget of retries: a share of the requests of the last seconds.
//!
//! Retries help where a few attempts fail and harm where most do: each adds to the load of targets that cannot bear what they
//! have. So they are bounded by what came, and not by what failed. A few are always allowed, or a group with few requests
//! would never try again.

/// What a budget looks back over, in ticks of 100 ms: long enough that a burst of failures is not most of it.
pub const BUDGET_TICKS: u64 = 100;
/// Retries that are allowed in that time whatever came: ten a second.
pub const BUDGET_FLOOR: u64 = 100;

/// What one worker has spent for one group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// The tick at which the window of now began.
    since: u64,
    /// Requests that there had been then.
    requests: u64,
    /// Retries in it.
    taken: u64,
    /// Requests and retries of the window before.
    before: (u64, u64),
}

impl Budget {
    /// Takes a retry, where at the tick `now`, after so many requests in all, there may be one. `percent`: of requests.
    pub fn take(&mut self, now: u64, requests: u64, percent: u32) -> bool {
        self.move_to(now, requests);
        let passed = now.saturating_sub(self.since).min(BUDGET_TICKS);
        // Of the window before counts what does not lie too far back.
        let left = |it: u64| it.saturating_mul(BUDGET_TICKS - passed) / BUDGET_TICKS;
        let came = requests.saturating_sub(self.requests) + left(self.before.0);
        let spent = self.taken + left(self.before.1);
        let allowed = came.saturating_mul(u64::from(percent)) / 100;
        let may = spent < allowed.saturating_add(BUDGET_FLOOR);
        self.taken += u64::from(may);
        may
    }

    fn move_to(&mut self, now: u64, requests: u64) {
        let passed = now.saturating_sub(self.since);
        if passed < BUDGET_TICKS {
            return;
        }
        let (came, taken) = (requests.saturating_sub(self.requests), self.taken);
        let next = self.since + BUDGET_TICKS;
        *self = match passed < 2 * BUDGET_TICKS {
            true => Self {
                since: next,
                requests,
                taken: 0,
                before: (came, taken),
            },
            false => Self {
                since: now,
                requests,
                taken: 0,
                before: (0, 0),
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `wanted` retries there may be, after `requests`, at the tick.
    fn taken(budget: &mut Budget, (now, requests): (u64, u64), percent: u32, wanted: u32) -> u32 {
        let all = (0..wanted).map(|_| u32::from(budget.take(now, requests, percent)));
        all.sum()
    }

    #[test]
    fn a_share_of_what_came_and_a_few_more() {
        let mut budget = Budget::default();
        assert_eq!(taken(&mut budget, (1_000, 0), 20, 500), 100);
        assert_eq!(taken(&mut budget, (1_001, 0), 20, 500), 0);
        // A thousand requests allow 200 more.
        assert_eq!(taken(&mut budget, (1_050, 1_000), 20, 500), 200);
        // Half of them lies too far back, and so do half of the retries.
        assert_eq!(taken(&mut budget, (1_150, 1_000), 20, 500), 50);
        // All of it does.
        assert_eq!(taken(&mut budget, (2_000, 1_000), 20, 500), 100);
        assert_eq!(taken(&mut budget, (2_000, 2_000), 0, 500), 0);
    }
}
