//! A circuit breaker: when it opens, and how it closes again.
//!
//! Decides by what is counted of requests; it leaves to others counting (the data plane keeps the slots that [`Layout`] describes)
//! and looking now and then (control). The hard thing about it: what it sees while it recovers is a part of the traffic, so figures
//! begin anew with every change of state.
//!
//! ```text
//!              its condition holds                  `open_for` is over
//!  CLOSED ───────────────────────────▶ OPEN ─────────────────────────▶ RECOVERING
//!     ▲                                  ▲     its condition holds          │ │
//!     │                                  └──────────────────────────────────┘ │
//!     └──────────────────────── `recover_over` is over ───────────────────────┘
//! ```
//!
//! While it recovers, the share of requests that pass rises evenly from none to all.

use portway_model::circuit::{CircuitBreaker, Figure, WINDOW};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// In so many steps the window moves on.
const STEPS: u32 = 10;
/// All requests pass.
pub const ALL: u32 = 1000;

/// Buckets of times in each doubling: a figure is at most a sixteenth too long.
const PARTS: u64 = 16;
/// Doublings of a microsecond that are told apart: up to 19 hours.
const DOUBLINGS: u64 = 36;
/// Slots of a distribution of times.
const BUCKETS: usize = (PARTS * (DOUBLINGS - 3)) as usize;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was answered.
    pub status: u16,
    /// No target answered.
    pub network_error: bool,
    /// From where it passed to its end.
    pub took: Duration,
}

/// Which slots count what.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Each figure, and its first slot.
    figures: Vec<(Figure, usize)>,
    slots: usize,
}

impl Layout {
    /// The slots of this circuit breaker.
    pub fn of(breaker: &CircuitBreaker) -> Self {
        // The first counts all.
        let mut layout = Self {
            figures: Vec::new(),
            slots: 1,
        };
        for figure in breaker.opens_when.figures() {
            let times = |known: &(Figure, usize)| matches!(known.0, Figure::LatencyAtQuantileMs(_));
            let known = match figure {
                Figure::LatencyAtQuantileMs(_) => layout.figures.iter().find(|it| times(it)),
                _ => layout.figures.iter().find(|it| it.0 == figure),
            };
            let known = known.map(|(_, first)| *first);
            let first = known.unwrap_or(layout.slots);
            if known.is_none() {
                layout.slots += match figure {
                    Figure::NetworkErrorRatio => 1,
                    Figure::ResponseCodeRatio(_) => 2,
                    Figure::LatencyAtQuantileMs(_) => BUCKETS,
                };
            }
            layout.figures.push((figure, first));
        }
        layout
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Counts a request: `add` is called with each slot that is to be one more.
    pub fn count(&self, outcome: &Outcome, mut add: impl FnMut(usize)) {
        add(0);
        let mut last = 0;
        for (figure, first) in &self.figures {
            // What several figures share is counted once; those that share stand in the order of their slots or behind.
            if *first <= last {
                continue;
            }
            last = *first;
            match figure {
                Figure::NetworkErrorRatio if outcome.network_error => add(*first),
                Figure::NetworkErrorRatio => {}
                Figure::ResponseCodeRatio([from, to, of, up_to]) => {
                    if (*from..*to).contains(&outcome.status) {
                        add(*first);
                    }
                    if (*of..*up_to).contains(&outcome.status) {
                        add(first + 1);
                    }
                }
                Figure::LatencyAtQuantileMs(_) => add(first + bucket(outcome.took)),
            }
        }
    }

    /// What a figure is, of what was counted.
    fn value(&self, counted: &[u64], figure: Figure) -> f64 {
        let known = self.figures.iter().find(|it| it.0 == figure);
        let Some((_, first)) = known else {
            return 0.0;
        };
        let slot = |at: usize| counted.get(at).copied().unwrap_or(0);
        match figure {
            Figure::NetworkErrorRatio => ratio(slot(*first), slot(0)),
            Figure::ResponseCodeRatio(_) => ratio(slot(*first), slot(first + 1)),
            Figure::LatencyAtQuantileMs(percent) => {
                let buckets = counted.iter().skip(*first).take(BUCKETS);
                let rank = (percent / 100.0 * slot(0) as f64).ceil().max(1.0) as u64;
                let mut seen = 0;
                let mut at = buckets.enumerate().filter(|(_, count)| {
                    seen += *count;
                    seen >= rank
                });
                let at = at.next().map_or(0, |(at, _)| at);
                longest(at) as f64 / 1000.0
            }
        }
    }
}

fn ratio(some: u64, of: u64) -> f64 {
    if of == 0 {
        0.0
    } else {
        some as f64 / of as f64
    }
}

/// The bucket of a time.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let micros = micros.min((1 << DOUBLINGS) - 1);
    if micros < PARTS {
        return micros as usize;
    }
    let doubling = u64::from(micros.ilog2());
    let part = (micros >> (doubling - 4)) % PARTS;
    ((doubling - 3) * PARTS + part) as usize
}

/// The longest time of a bucket, in microseconds.
fn longest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let (doubling, part) = (bucket / PARTS + 3, bucket % PARTS);
    ((PARTS + part + 1) << (doubling - 4)) - 1
}

/// Where a circuit breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything passes.
    Closed,
    /// Nothing does.
    Open {
        /// Until then.
        until: Instant,
    },
    /// A share does, which rises.
    Recovering {
        /// Since then.
        since: Instant,
    },
}

impl State {
    /// The words of all, by [`Self::index`].
    pub const WORDS: [&'static str; 3] = ["closed", "open", "recovering"];

    /// Its place in [`Self::WORDS`], which metrics show.
    pub fn index(self) -> usize {
        match self {
            State::Closed => 0,
            State::Open { .. } => 1,
            State::Recovering { .. } => 2,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS.get(self.index()).copied().unwrap_or_default()
    }
}

/// One circuit breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    /// What was counted at the steps of the window, the oldest first.
    steps: VecDeque<(Instant, Box<[u64]>)>,
    /// Requests that were counted at the look before.
    seen: u64,
}

impl Breaker {
    /// One in this state.
    pub fn new(state: State) -> Self {
        Self {
            state,
            steps: VecDeque::new(),
            seen: 0,
        }
    }

    /// Looks at what was counted since the beginning; gives the state before where that has changed.
    pub fn look(
        &mut self,
        now: Instant,
        counted: &[u64],
        layout: &Layout,
        settings: &CircuitBreaker,
    ) -> Option<State> {
        if let State::Open { until } = &mut self.state {
            // Where the configuration has begun to say a shorter time meanwhile.
            *until = (*until).min(now + settings.open_for);
        }
        let before = self.state;
        let all = counted.first().copied().unwrap_or(0);
        // That old requests leave the window is no news of the service.
        let is_news = std::mem::replace(&mut self.seen, all) != all;
        let next = match before {
            State::Open { until } if until <= now => State::Recovering { since: now },
            State::Open { .. } => before,
            _ if is_news && self.opens(counted, layout, settings) => State::Open {
                until: now + settings.open_for,
            },
            State::Recovering { since } if now >= since + settings.recover_over => State::Closed,
            State::Recovering { .. } | State::Closed => before,
        };
        if next != before {
            self.state = next;
            self.steps.clear();
        }
        self.step(now, counted);
        (next != before).then_some(before)
    }

    fn step(&mut self, now: Instant, counted: &[u64]) {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        if self
            .steps
            .back()
            .is_none_or(|(at, _)| age(at) >= WINDOW / STEPS)
        {
            self.steps.push_back((now, counted.into()));
        }
        while self.steps.len() > 1 && self.steps.front().is_some_and(|(at, _)| age(at) > WINDOW) {
            self.steps.pop_front();
        }
    }

    fn opens(&self, counted: &[u64], layout: &Layout, settings: &CircuitBreaker) -> bool {
        let Some((_, before)) = self.steps.front() else {
            return false;
        };
        let all = counted.first().zip(before.first());
        let all = all.map_or(0, |(now, before)| now.saturating_sub(*before));
        if all < u64::from(settings.min_requests.max(1)) {
            return false;
        }
        let since = counted.iter().zip(before.iter());
        let since: Vec<u64> = since
            .map(|(now, before)| now.saturating_sub(*before))
            .collect();
        settings
            .opens_when
            .holds(&|figure| layout.value(&since, figure))
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// How many of [`ALL`] requests pass now.
    pub fn share(&self, now: Instant, settings: &CircuitBreaker) -> u32 {
        match self.state {
            State::Closed => ALL,
            State::Open { .. } => 0,
            State::Recovering { since } => {
                let risen = now
                    .saturating_duration_since(since)
                    .min(settings.recover_over);
                let share = risen.as_secs_f64() / settings.recover_over.as_secs_f64();
                (share * f64::from(ALL)) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::circuit::{Comparison, Opens};
    use proptest::prelude::*;

    fn breaker(opens_when: Opens) -> CircuitBreaker {
        CircuitBreaker {
            name: "a".into(),
            opens_when,
            check_period: Duration::from_millis(100),
            min_requests: 4,
            open_for: Duration::from_secs(10),
            recover_over: Duration::from_secs(20),
            status: 503,
        }
    }

    fn errors() -> CircuitBreaker {
        breaker(Opens::Is(Figure::NetworkErrorRatio, Comparison::Above, 0.3))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Counts so many requests that had an answer, and so many that had none.
    fn count(slots: &mut [u64], layout: &Layout, good: u32, bad: u32) {
        for index in 0..good + bad {
            let outcome = Outcome {
                status: if index < good { 200 } else { 502 },
                network_error: index >= good,
                took: Duration::from_millis(1),
            };
            layout.count(&outcome, |slot| slots[slot] += 1);
        }
    }

    #[test]
    fn it_opens_recovers_and_closes() {
        let (settings, start) = (errors(), Instant::now());
        let layout = Layout::of(&settings);
        let mut slots = vec![0; layout.slots()];
        let mut breaker = Breaker::new(State::Closed);
        let mut at = |second: u64, good: u32, bad: u32| {
            count(&mut slots, &layout, good, bad);
            let now = start + seconds(second);
            breaker.look(now, &slots, &layout, &settings);
            (breaker.state().word(), breaker.share(now, &settings))
        };
        assert_eq!(at(0, 0, 0), ("closed", 1000));
        // Three requests say nothing, a third of them failed is not more than that, and then it is.
        assert_eq!(at(1, 0, 3), ("closed", 1000));
        assert_eq!(at(2, 7, 0), ("closed", 1000));
        assert_eq!(at(3, 0, 1), ("open", 0));
        assert_eq!(at(12, 0, 9), ("open", 0));
        assert_eq!(at(13, 0, 9), ("recovering", 0));
        assert_eq!(at(18, 4, 0), ("recovering", 250));
        assert_eq!(at(23, 4, 1), ("recovering", 500));
        assert_eq!(at(24, 0, 3), ("open", 0));
        assert_eq!(at(34, 0, 0), ("recovering", 0));
        assert_eq!(at(53, 9, 0), ("recovering", 950));
        assert_eq!(at(54, 9, 0), ("closed", 1000));
        // What was long ago is forgotten.
        assert_eq!(at(55, 1, 2), ("closed", 1000));
        for second in 56..70 {
            at(second, 0, 0);
        }
        assert_eq!(at(70, 3, 1), ("closed", 1000));
    }

    #[test]
    fn it_is_open_no_longer_than_the_settings_of_now_say() {
        let (now, mut settings) = (Instant::now(), errors());
        let layout = Layout::of(&settings);
        let slots = vec![0; layout.slots()];
        let until = now + settings.open_for;
        let mut breaker = Breaker::new(State::Open { until });
        settings.open_for = seconds(3);
        assert_eq!(breaker.look(now, &slots, &layout, &settings), None);
        let until = now + seconds(3);
        assert_eq!(breaker.state(), State::Open { until });
        settings.open_for = seconds(60);
        breaker.look(now + seconds(1), &slots, &layout, &settings);
        assert_eq!(breaker.state(), State::Open { until });
    }

    #[test]
    fn figures() {
        let check = |figure: Figure, requests: &[(u16, u64)], expected: f64| {
            let settings = breaker(Opens::Any(vec![
                Opens::Is(Figure::LatencyAtQuantileMs(1.0), Comparison::Above, 0.0),
                Opens::Is(figure, Comparison::Above, 0.0),
                Opens::Is(figure, Comparison::Below, 0.0),
            ]));
            let layout = Layout::of(&settings);
            let mut slots = vec![0; layout.slots()];
            for (status, millis) in requests {
                let outcome = Outcome {
                    status: *status,
                    network_error: matches!(status, 502 | 504),
                    took: Duration::from_millis(*millis),
                };
                layout.count(&outcome, |slot| slots[slot] += 1);
            }
            let value = layout.value(&slots, figure);
            let near = (value - expected).abs() <= expected / 16.0;
            assert!(near, "{figure}: {value} is not {expected}");
        };
        let requests = [(200, 10), (200, 20), (404, 30), (502, 1000)];
        check(Figure::NetworkErrorRatio, &requests, 0.25);
        check(Figure::NetworkErrorRatio, &[], 0.0);
        check(
            Figure::ResponseCodeRatio([500, 600, 0, 600]),
            &requests,
            0.25,
        );
        check(
            Figure::ResponseCodeRatio([400, 500, 200, 500]),
            &requests,
            1.0 / 3.0,
        );
        check(
            Figure::ResponseCodeRatio([400, 404, 200, 500]),
            &requests,
            0.0,
        );
        check(
            Figure::ResponseCodeRatio([400, 500, 700, 800]),
            &requests,
            0.0,
        );
        check(Figure::LatencyAtQuantileMs(50.0), &requests, 20.0);
        check(Figure::LatencyAtQuantileMs(75.0), &requests, 30.0);
        check(Figure::LatencyAtQuantileMs(100.0), &requests, 1000.0);
        check(Figure::LatencyAtQuantileMs(0.0), &requests, 10.0);
    }

    proptest! {
        #[test]
        fn buckets_are_narrow(micros in 0_u64..1 << 36) {
            let bucket = bucket(Duration::from_micros(micros));
            prop_assert!(bucket < BUCKETS);
            let longest = longest(bucket);
            prop_assert!(longest >= micros && longest - micros <= micros / 16);
        }

        /// Whatever comes, it is open for as long as it says and no longer, and closes once all is well.
        #[test]
        fn it_never_stays_open(requests in prop::collection::vec((0_u32..9, 0_u32..9), 1..60)) {
            let (settings, start) = (errors(), Instant::now());
            let layout = Layout::of(&settings);
            let mut slots = vec![0; layout.slots()];
            let mut breaker = Breaker::new(State::Closed);
            let mut now = start;
            for (good, bad) in requests {
                now += seconds(1);
                if breaker.share(now, &settings) > 0 {
                    count(&mut slots, &layout, good, bad);
                }
                breaker.look(now, &slots, &layout, &settings);
                if let State::Open { until } = breaker.state() {
                    prop_assert!(until > now && until <= now + settings.open_for);
                }
            }
            for _ in 0..32 {
                now += seconds(1);
                breaker.look(now, &slots, &layout, &settings);
            }
            prop_assert_eq!(breaker.state(), State::Closed);
        }
    }
}
