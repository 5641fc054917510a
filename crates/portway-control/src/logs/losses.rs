//! When a destination of logs loses records: what the log of the process says of it, and how often.
//!
//! The first loss is told at once, then once in [`AGAIN`] how many have followed, and once that it is over. Decides by the counts
//! and the moments that it is given; who counts are the writer, for what it cannot write, and workers, for what has no room to wait.
//!
//! ```text
//!            a record is lost            none is, for OVER, and nothing is in the way
//!   QUIET ─────────────────────▶ LOSING ─────────────────────────────────────────────▶ QUIET
//!     │      "lost 3 records"    │  ▲ ▲        "no more: 700 in all"                    ▲
//!     │                          └──┘ │                                                │
//!     │         "lost 697 more"       │ a record is lost                               │
//!     └───────────────────────────▶ WAITING ───────────────────────────────────────────┘
//!        something is in the way                 nothing is any more
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portway_dataplane::access_log::Counts;
use portway_telemetry::events::{Event, emit};

/// While records are lost, it is said so often how many.
pub const AGAIN: Duration = Duration::from_secs(60);
/// It is over where none was lost for so long.
pub const OVER: Duration = Duration::from_secs(5);

/// Why a writer cannot write now; `None`: it can.
pub(super) type Trouble = Arc<Mutex<Option<String>>>;

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Saying {
    /// Nothing is lost yet, but something is in the way.
    Waits,
    /// So many were lost, that nobody has been told of; so many in all since the first.
    Lost { new: u64, all: u64 },
    /// None is lost any more.
    Over { all: u64, after: Duration },
}

/// Since records began to be lost.
#[derive(Debug, Clone, Copy)]
struct Losing {
    /// How many were lost before, in all.
    before: u64,
    since: Instant,
    last: Instant,
    told_at: Instant,
}

/// What was said of one destination.
#[derive(Debug, Default)]
struct Losses {
    /// What was seen last.
    seen: u64,
    /// What has been told.
    told: u64,
    losing: Option<Losing>,
    /// It was said that something is in the way.
    waiting: Option<Instant>,
}

impl Losses {
    /// What is to be said, where so many were lost since the start. `is_hindered`: something is in the way now; `is_last`: nobody
    /// looks again.
    fn look(
        &mut self,
        now: Instant,
        lost: u64,
        (is_hindered, is_last): (bool, bool),
    ) -> Option<Saying> {
        let is_more = lost > self.seen;
        self.seen = lost;
        let Some(mut losing) = self.losing else {
            return self.quiet(now, lost, (is_hindered, is_more));
        };
        if is_more {
            losing.last = now;
        }
        let is_due = is_last || now.saturating_duration_since(losing.told_at) >= AGAIN;
        let is_over = !is_hindered && now.saturating_duration_since(losing.last) >= OVER;
        if is_over {
            (self.losing, self.waiting) = (None, None);
            self.told = lost;
            let all = lost.saturating_sub(losing.before);
            let after = losing.last.saturating_duration_since(losing.since);
            return Some(Saying::Over { all, after });
        }
        if is_due && lost > self.told {
            losing.told_at = now;
            self.losing = Some(losing);
            return self.lost(lost, losing.before);
        }
        self.losing = Some(losing);
        None
    }

    /// Nothing was lost until now.
    fn quiet(
        &mut self,
        now: Instant,
        lost: u64,
        (is_hindered, is_more): (bool, bool),
    ) -> Option<Saying> {
        if is_more {
            let before = self.told;
            self.losing = Some(Losing {
                before,
                since: now,
                last: now,
                told_at: now,
            });
            return self.lost(lost, before);
        }
        match (is_hindered, self.waiting) {
            (true, None) => {
                self.waiting = Some(now);
                Some(Saying::Waits)
            }
            (false, Some(since)) => {
                self.waiting = None;
                let after = now.saturating_duration_since(since);
                Some(Saying::Over { all: 0, after })
            }
            _ => None,
        }
    }

    fn lost(&mut self, lost: u64, before: u64) -> Option<Saying> {
        let new = lost.saturating_sub(self.told);
        self.told = lost;
        Some(Saying::Lost {
            new,
            all: lost.saturating_sub(before),
        })
    }
}

/// Says what one destination loses.
#[derive(Debug)]
pub(super) struct Watched {
    place: String,
    pub(super) counts: Arc<Counts>,
    trouble: Trouble,
    losses: Losses,
}

impl Watched {
    pub(super) fn new(place: String, counts: Arc<Counts>, trouble: Trouble) -> Self {
        let losses = Losses::default();
        Self {
            place,
            counts,
            trouble,
            losses,
        }
    }

    /// Looks, and says what is to be said. `is_last`: nobody looks again.
    pub(super) fn look(&mut self, now: Instant, is_last: bool) {
        let lost = self.counts.dropped.value();
        let log = self.place.as_str();
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = trouble.clone();
        match self.losses.look(now, lost, (trouble.is_some(), is_last)) {
            None => {}
            Some(Saying::Waits) => {
                let why = trouble.unwrap_or_default();
                emit(&Event::AccessLogFailed {
                    log,
                    error: &format_args!("{why}; what comes waits, as long as there is room"),
                    records: 0,
                    in_all: 0,
                });
            }
            Some(Saying::Lost { new, all }) => emit(&Event::AccessLogFailed {
                log,
                error: &trouble.as_deref().unwrap_or("it takes them too slowly"),
                records: new,
                in_all: all,
            }),
            Some(Saying::Over { all, after }) => emit(&Event::AccessLogRecovered {
                log,
                records: all,
                after,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_with_counts_until_they_are_over() {
        let mut losses = Losses::default();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut look = |seconds: u64, lost| losses.look(at(seconds), lost, (false, false));
        assert_eq!(look(0, 0), None);
        assert_eq!(look(1, 3), Some(Saying::Lost { new: 3, all: 3 }));
        let mut told = Vec::new();
        // A record a second is lost for two minutes and a half.
        for second in 2..=150 {
            told.extend(look(second, second + 2));
        }
        let expected = [(60, 63), (60, 123)].map(|(new, all)| Saying::Lost { new, all });
        assert_eq!(told, expected);
        assert_eq!(look(154, 152), None);
        let over = Saying::Over {
            all: 152,
            after: Duration::from_secs(149),
        };
        assert_eq!(look(155, 152), Some(over));
        assert_eq!(look(999, 152), None);
        // The next time counts for itself.
        assert_eq!(look(1000, 160), Some(Saying::Lost { new: 8, all: 8 }));
        assert_eq!(look(1001, 161), None);
        let last = losses.look(at(1002), 165, (false, true));
        assert_eq!(last, Some(Saying::Lost { new: 5, all: 13 }));
        assert_eq!(losses.look(at(1003), 165, (false, true)), None);
    }

    #[test]
    fn what_waits_is_told_once_and_losses_are_not_over_while_something_is_in_the_way() {
        let mut losses = Losses::default();
        let start = Instant::now();
        let mut look = |seconds: u64, lost, is_hindered| {
            let now = start + Duration::from_secs(seconds);
            losses.look(now, lost, (is_hindered, false))
        };
        assert_eq!(look(0, 0, true), Some(Saying::Waits));
        assert_eq!(look(9, 0, true), None);
        let over = |all, seconds| {
            let after = Duration::from_secs(seconds);
            Some(Saying::Over { all, after })
        };
        assert_eq!(look(10, 0, false), over(0, 10));
        assert_eq!(look(11, 0, false), None);
        assert_eq!(look(20, 0, true), Some(Saying::Waits));
        assert_eq!(look(30, 7, true), Some(Saying::Lost { new: 7, all: 7 }));
        assert_eq!(look(50, 7, true), None);
        assert_eq!(look(51, 7, false), over(7, 0));
        assert_eq!(look(60, 7, false), None);
    }
}
