//! What is known of a name: which records count now, and when it is asked for again.
//!
//! ```text
//!            answer                    TTL is over
//!   new ───────────────▶ good ◀────────────────────── asked again
//!    │                    │  nothing, refused, silence, failure: the last good answer holds
//!    │                    ▼
//!    └─ no answer ─▶ without records ◀── its time to hold is over
//! ```
//!
//! The hard thing is what does not change: a server that fails for an hour must not take the targets of a name away, and records
//! that come in another order are the same. Moments are times since any moment that stays the same.

use std::collections::HashSet;
use std::time::Duration;

use portway_model::resolution::Hold;

use super::message::Data;

/// The first pause after a failure; each one after that is twice as long, up to the ceiling of the TTL.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The least time between two questions, whatever answers and settings say.
const LEAST_PAUSE: Duration = Duration::from_millis(100);
/// Doublings of that pause.
const MAX_DOUBLINGS: u32 = 6;
/// A question comes up to one part in so many later than its answer is over, by chance: processes that began together do not ask
/// together for ever.
const SPREAD: u32 = 10;

/// How a look-up went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Records, for this long.
    Found(Vec<Data>, Duration),
    /// None, for this long.
    Nothing {
        /// The name has other records.
        exists: bool,
        /// How long that holds.
        ttl: Option<Duration>,
    },
    /// Servers refused.
    Refused,
    /// Servers were silent.
    Silent,
    /// Servers failed.
    Failed,
}

/// Where a name has addresses of one family and none of the other, that it has none of the other is a good answer: what it had
/// before counts no longer than an address that has left an answer.
pub fn settle([one, other]: [Outcome; 2]) -> [Outcome; 2] {
    let none =
        |found: Duration, ttl: Option<Duration>| Outcome::Found(Vec::new(), ttl.unwrap_or(found));
    match (one, other) {
        (Outcome::Found(data, found), Outcome::Nothing { ttl, .. }) => {
            [Outcome::Found(data, found), none(found, ttl)]
        }
        (Outcome::Nothing { ttl, .. }, Outcome::Found(data, found)) => {
            [none(found, ttl), Outcome::Found(data, found)]
        }
        (one, other) => [one, other],
    }
}

/// How long answers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// At least so long.
    pub min_ttl: Duration,
    /// At most so long.
    pub max_ttl: Duration,
    /// Where there is no other.
    pub hold: Hold,
}

/// The records of a name.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// With the moment when a good answer had them last.
    records: Vec<(Data, Duration)>,
    /// When the last good answer came.
    good_at: Option<Duration>,
    /// That there is none is what was heard last of those who know.
    is_denied: bool,
    /// Look-ups without an answer, one after the other.
    failures: u32,
    /// When it is asked for again.
    due: Duration,
}

impl Known {
    /// Takes in how a look-up went. True where other records count now. `chance`: any number.
    pub fn heard(&mut self, outcome: &Outcome, now: Duration, chance: u32, terms: &Terms) -> bool {
        let before: Vec<Data> = self.data().cloned().collect();
        let pause = match outcome {
            Outcome::Found(data, ttl) => {
                self.take_in(data, now, terms.hold.obsolete);
                Some(*ttl)
            }
            Outcome::Nothing { ttl, .. } => {
                self.lose(now, terms.hold.missing);
                *ttl
            }
            Outcome::Refused => self.lose(now, terms.hold.refused),
            Outcome::Silent => self.lose(now, terms.hold.timeout),
            Outcome::Failed => self.lose(now, terms.hold.other),
        };
        match outcome {
            Outcome::Found(..) | Outcome::Nothing { .. } => {
                self.is_denied = matches!(outcome, Outcome::Nothing { .. });
                self.failures = 0;
            }
            _ => self.failures = self.failures.saturating_add(1),
        }
        let doublings = self.failures.saturating_sub(1).min(MAX_DOUBLINGS);
        let pause = pause.unwrap_or(FIRST_PAUSE * 2_u32.pow(doublings));
        let least = terms.min_ttl.max(LEAST_PAUSE);
        let pause = pause.clamp(least, terms.max_ttl.max(least));
        let later = pause / SPREAD * (chance % 1000) / 1000;
        self.due = now + pause + later;
        let before: HashSet<&Data> = before.iter().collect();
        let after: HashSet<&Data> = self.data().collect();
        before != after
    }

    /// When it is to be asked for again.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// When the last good answer came.
    pub fn good_at(&self) -> Option<Duration> {
        self.good_at
    }

    /// True where the last answer was that there are no such records; silence and failures do not change it.
    pub fn is_denied(&self) -> bool {
        self.is_denied
    }

    /// The records that count, in the order of the answers.
    pub fn data(&self) -> impl Iterator<Item = &Data> {
        self.records.iter().map(|(data, _)| data)
    }

    fn take_in(&mut self, data: &[Data], now: Duration, obsolete: Duration) {
        let named: HashSet<&Data> = data.iter().collect();
        let gone = self.records.iter().filter(|(it, seen)| {
            let holds = now.saturating_sub(*seen) < obsolete;
            holds && !named.contains(it)
        });
        let gone: Vec<_> = gone.cloned().collect();
        self.records = data
            .iter()
            .map(|it| (it.clone(), now))
            .chain(gone)
            .collect();
        self.good_at = Some(now);
    }

    /// There is no good answer: the last one counts as long as it may.
    fn lose(&mut self, now: Duration, hold: Option<Duration>) -> Option<Duration> {
        let hold = hold?;
        let is_over = |good: Duration| now.saturating_sub(good) >= hold;
        if self.good_at.is_none_or(is_over) {
            self.records.clear();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn terms(hold: Hold) -> Terms {
        Terms {
            min_ttl: SECOND,
            max_ttl: 30 * SECOND,
            hold,
        }
    }

    fn addresses(texts: &[&str]) -> Vec<Data> {
        texts
            .iter()
            .map(|it| Data::Address(it.parse().unwrap()))
            .collect()
    }

    fn found(texts: &[&str], ttl: u64) -> Outcome {
        Outcome::Found(addresses(texts), Duration::from_secs(ttl))
    }

    fn data(known: &Known) -> Vec<Data> {
        known.data().cloned().collect()
    }

    #[test]
    fn a_family_that_is_gone_counts_no_more_while_there_is_the_other() {
        let nothing = || Outcome::Nothing {
            exists: true,
            ttl: None,
        };
        let all = terms(Hold::default());
        let mut known = [Known::default(), Known::default()];
        let mut heard = |at: u64, outcomes: [Outcome; 2]| -> Vec<Data> {
            for (known, outcome) in known.iter_mut().zip(settle(outcomes)) {
                known.heard(&outcome, Duration::from_secs(at), 0, &all);
            }
            known.iter().flat_map(|it| it.data().cloned()).collect()
        };
        let both = ["10.0.0.1", "fd00::1"];
        let [v4, v6] = both.map(|it| found(&[it], 5));
        assert_eq!(heard(0, [v4.clone(), v6.clone()]), addresses(&both));
        assert_eq!(heard(5, [v4, nothing()]), addresses(&both[..1]));
        assert_eq!(heard(10, [nothing(), v6]), addresses(&both[1..]));
        // Where there is neither, the last answer holds.
        assert_eq!(heard(15, [nothing(), nothing()]), addresses(&both[1..]));
    }

    #[test]
    fn an_answer_holds_as_long_as_it_says_within_bounds() {
        let check = |ttl: u64, expected: u64| {
            let mut known = Known::default();
            let outcome = found(&["10.0.0.1"], ttl);
            assert!(known.heard(&outcome, 5 * SECOND, 0, &terms(Hold::default())));
            assert_eq!(known.due(), Duration::from_secs(5 + expected), "{ttl}");
            // Chance makes it later by a tenth at most, and never sooner.
            known.heard(&outcome, 5 * SECOND, 999, &terms(Hold::default()));
            let latest =
                Duration::from_secs(5) + SECOND * u32::try_from(expected).unwrap() * 11 / 10;
            assert!((Duration::from_secs(5 + expected)..latest).contains(&known.due()));
        };
        check(0, 1);
        check(7, 7);
        check(86_400, 30);
        check(u64::from(u32::MAX), 30);
    }

    #[test]
    fn the_same_records_in_another_order_are_no_change() {
        let mut known = Known::default();
        let terms = terms(Hold::default());
        assert!(known.heard(&found(&["10.0.0.1", "10.0.0.2"], 1), SECOND, 0, &terms));
        assert!(!known.heard(&found(&["10.0.0.2", "10.0.0.1"], 1), SECOND, 0, &terms));
        assert!(known.heard(&found(&["10.0.0.2"], 1), SECOND, 0, &terms));
        assert!(known.heard(&found(&["10.0.0.3"], 1), SECOND, 0, &terms));
        assert_eq!(data(&known), addresses(&["10.0.0.3"]));
    }

    #[test]
    fn the_last_good_answer_holds_until_its_time_is_over() {
        let nothing = || Outcome::Nothing {
            exists: false,
            ttl: Some(SECOND),
        };
        let holds = |hold: Hold, outcome: Outcome, after: u64| {
            let (mut known, terms) = (Known::default(), terms(hold));
            known.heard(&found(&["10.0.0.1"], 1), SECOND, 0, &terms);
            known.heard(&outcome, Duration::from_secs(1 + after), 0, &terms);
            !data(&known).is_empty()
        };
        let ten = Some(10 * SECOND);
        let cases = [
            (
                nothing(),
                Hold {
                    missing: ten,
                    ..Hold::default()
                },
            ),
            (
                Outcome::Refused,
                Hold {
                    refused: ten,
                    ..Hold::default()
                },
            ),
            (
                Outcome::Silent,
                Hold {
                    timeout: ten,
                    ..Hold::default()
                },
            ),
            (
                Outcome::Failed,
                Hold {
                    other: ten,
                    ..Hold::default()
                },
            ),
        ];
        for (outcome, hold) in cases {
            assert!(holds(hold, outcome.clone(), 9), "{outcome:?}");
            assert!(!holds(hold, outcome.clone(), 10), "{outcome:?}");
            // Without a time it is for ever.
            assert!(
                holds(Hold::default(), outcome.clone(), 1_000_000),
                "{outcome:?}"
            );
        }
        // The time of another kind of failure does not count.
        let hold = Hold {
            timeout: ten,
            ..Hold::default()
        };
        assert!(holds(hold, Outcome::Refused, 1000));
    }

    #[test]
    fn what_good_answers_leave_out_stays_as_long_as_it_may() {
        let hold = Hold {
            obsolete: 10 * SECOND,
            ..Hold::default()
        };
        let (mut known, terms) = (Known::default(), terms(hold));
        let at = |second: u64| Duration::from_secs(second);
        known.heard(&found(&["10.0.0.1", "10.0.0.2"], 1), at(1), 0, &terms);
        assert!(!known.heard(&found(&["10.0.0.2"], 1), at(5), 0, &terms));
        assert_eq!(data(&known), addresses(&["10.0.0.2", "10.0.0.1"]));
        assert!(known.heard(&found(&["10.0.0.2"], 1), at(11), 0, &terms));
        assert_eq!(data(&known), addresses(&["10.0.0.2"]));
    }

    #[test]
    fn pauses_between_failures_grow_up_to_the_ceiling() {
        let (mut known, terms) = (Known::default(), terms(Hold::default()));
        let mut pause = |outcome: Outcome| {
            known.heard(&outcome, SECOND, 0, &terms);
            (known.due() - SECOND).as_secs()
        };
        let pauses: Vec<u64> = (0..8).map(|_| pause(Outcome::Silent)).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause(found(&["10.0.0.1"], 3)), 3);
        assert_eq!(pause(Outcome::Failed), 1);
        // What does not exist is asked for again when its SOA says so.
        let ttl = Some(12 * SECOND);
        assert_eq!(pause(Outcome::Nothing { exists: false, ttl }), 12);
    }
}
