//! What is seen of a target while it serves, where its health depends on that: for control, which decides what follows.
//!
//! Two listen: the check of a target (`observed.rs`), and passive health, whose counts are here. Both hide behind one byte, so that
//! where neither listens nothing is counted.

use super::{EPOCH, Health, Seen, TargetState};
use crate::observed::{COUNTED, TIMED};
use portway_core::outlier::{Cause, Counts, Failing, Standing};
use portway_model::check::ObservedLayer;
use portway_model::passive::PassiveHealth;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Beside the health of a target: it is ejected.
pub(super) const EJECTED: u8 = 0x80;

impl Health {
    /// As workers see it: who is ejected is as one that is down.
    pub(super) fn while_ejected(self) -> Self {
        match self {
            Health::Initial | Health::Healthy | Health::Unhealthy => Health::Unhealthy,
            Health::Draining | Health::Unused => self,
        }
    }
}

/// Failures in a row.
#[derive(Debug, Default)]
struct Row {
    count: AtomicU32,
    /// When the first of them was, in microseconds of [`Passive::born`].
    since: AtomicU64,
}

impl Row {
    /// One more; how many there are. A row that is longer than `within` begins anew; 0: however long it is.
    fn add(&self, now: u64, within: u64) -> u32 {
        let before = self.count.load(Ordering::Relaxed);
        let since = self.since.load(Ordering::Relaxed);
        if before == 0 || (within > 0 && now.saturating_sub(since) > within) {
            self.since.store(now, Ordering::Relaxed);
            self.count.store(1, Ordering::Relaxed);
            return 1;
        }
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn end(&self) {
        // Mostly there is none: nothing is written then that all workers read.
        if self.count.load(Ordering::Relaxed) != 0 {
            self.count.store(0, Ordering::Relaxed);
        }
    }
}

/// Why the bell was rung.
const ALARMS: [fn(u32, Failing) -> Cause; 3] = [Cause::Failures, Cause::Connections, |_, last| {
    Cause::Trial(last)
}];

/// What passive health knows of a target. All but what control decides is an atomic.
#[derive(Debug)]
pub struct Passive {
    born: Instant,
    /// Responses count; else connections do.
    of_responses: AtomicBool,
    /// Failures in a row that ring; 0: none do.
    row_limit: AtomicU32,
    /// The same of those without a response.
    lost_limit: AtomicU32,
    /// Microseconds.
    within: AtomicU64,
    /// Microseconds from which on a response is late; 0: never.
    late: AtomicU64,
    /// A bit for each status that is a failure.
    statuses: [AtomicU64; 16],
    /// The next failure rings.
    on_trial: AtomicBool,
    /// When it was ejected last, in microseconds of `born`; 0: never. What was asked before says nothing of it any more.
    ejected_at: AtomicU64,
    row: Row,
    lost: Row,
    asked: AtomicU64,
    failed: AtomicU64,
    good: AtomicU64,
    micros: AtomicU64,
    /// What rang last; 0: nothing.
    alarm: AtomicU64,
    ejections: [AtomicU64; Cause::WORDS.len()],
    /// Only control looks at it.
    judged: Mutex<Judged>,
}

/// What control has decided, and whether it may decide.
#[derive(Debug)]
struct Judged {
    /// What the target serves counts: it may be ejected.
    counts: bool,
    standing: Standing,
}

impl Passive {
    fn new() -> Self {
        let born = Instant::now();
        Self {
            born,
            of_responses: AtomicBool::default(),
            row_limit: AtomicU32::default(),
            lost_limit: AtomicU32::default(),
            within: AtomicU64::default(),
            late: AtomicU64::default(),
            statuses: Default::default(),
            on_trial: AtomicBool::default(),
            ejected_at: AtomicU64::default(),
            row: Row::default(),
            lost: Row::default(),
            asked: AtomicU64::default(),
            failed: AtomicU64::default(),
            good: AtomicU64::default(),
            micros: AtomicU64::default(),
            alarm: AtomicU64::default(),
            ejections: Default::default(),
            judged: Mutex::new(Judged {
                counts: false,
                standing: Standing::new(born),
            }),
        }
    }

    fn set(&self, policy: &PassiveHealth, of_responses: bool) {
        let set = |it: &AtomicU32, value| it.store(value, Ordering::Relaxed);
        let set_time = |it: &AtomicU64, value: Duration| it.store(micros(value), Ordering::Relaxed);
        self.of_responses.store(of_responses, Ordering::Relaxed);
        set(&self.row_limit, policy.failures);
        set(&self.lost_limit, policy.connection_failures);
        set_time(&self.within, policy.within);
        set_time(&self.late, policy.slow_after);
        for (word, first) in self.statuses.iter().zip((0_i64..).step_by(64)) {
            let is_in = |status: i64| {
                let mut ranges = policy.statuses.iter();
                ranges.any(|it| it.min <= status && status <= it.max)
            };
            let bits = (0..64).filter(|bit| is_in(first + i64::from(*bit)));
            word.store(
                bits.fold(0, |all, bit: u32| all | 1 << bit),
                Ordering::Relaxed,
            );
        }
    }

    fn is_failure(&self, status: u16) -> bool {
        let word = self.statuses.get(usize::from(status / 64));
        word.is_some_and(|it| it.load(Ordering::Relaxed) >> (status % 64) & 1 == 1)
    }

    /// How this fails; `None`: it does not.
    fn failing(&self, seen: Seen, took: u64) -> Option<Failing> {
        let late = self.late.load(Ordering::Relaxed);
        match seen {
            Seen::Connected => None,
            Seen::NotConnected => Some(Failing::NotConnected),
            Seen::ResponseTimeout => Some(Failing::NoResponse),
            Seen::Closed => Some(Failing::Closed),
            Seen::BadResponse => Some(Failing::Malformed),
            Seen::Status(status) if self.is_failure(status) => Some(Failing::Status(status)),
            Seen::Status(_) if late > 0 && took > late => Some(Failing::Late),
            Seen::Status(_) => None,
        }
    }

    /// True where what took so long until now was asked before the last ejection.
    fn is_old(&self, took: u64) -> bool {
        let asked = micros(self.born.elapsed()).saturating_sub(took);
        asked < self.ejected_at.load(Ordering::Relaxed)
    }

    /// Counts; true where control is to look.
    fn saw(&self, seen: Seen, took: u64) -> bool {
        if seen == Seen::Connected && self.of_responses.load(Ordering::Relaxed) {
            return false;
        }
        let Some(failing) = self.failing(seen, took) else {
            self.did_well(took);
            return false;
        };
        if self.is_old(took) {
            return false;
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.failed_so(failing)
    }

    fn did_well(&self, took: u64) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.good.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(took, Ordering::Relaxed);
        self.row.end();
        self.lost.end();
    }

    fn failed_so(&self, failing: Failing) -> bool {
        let now = micros(self.born.elapsed());
        let within = self.within.load(Ordering::Relaxed);
        let row = self.row.add(now, within);
        let lost = match failing.is_of_connection() {
            true => self.lost.add(now, within),
            false => {
                self.lost.end();
                0
            }
        };
        let is_enough = |row: u32, limit: &AtomicU32| {
            let limit = limit.load(Ordering::Relaxed);
            limit > 0 && row >= limit
        };
        let (kind, row) = match () {
            () if self.on_trial.load(Ordering::Relaxed) => (2, row),
            () if is_enough(lost, &self.lost_limit) => (1, lost),
            () if is_enough(row, &self.row_limit) => (0, row),
            () => return false,
        };
        self.row.end();
        self.lost.end();
        self.alarm
            .store(packed(kind, failing, row), Ordering::Release);
        true
    }

    /// What rang since this was asked.
    pub fn take_alarm(&self) -> Option<Cause> {
        let alarm = self.alarm.swap(0, Ordering::Acquire);
        let cause = ALARMS.get(usize::try_from(alarm >> 56).ok()?.checked_sub(1)?)?;
        Some(cause(alarm as u32, unpacked(alarm)))
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        // Failures first: a verdict never sees more of them than of all.
        let failed = self.failed.load(Ordering::Relaxed);
        Counts {
            failed,
            good: self.good.load(Ordering::Relaxed),
            micros: self.micros.load(Ordering::Relaxed),
            asked: self.asked.load(Ordering::Relaxed),
        }
    }

    /// Looks at what control has decided.
    pub fn look<T>(&self, look: impl FnOnce(&Standing) -> T) -> T {
        look(&self.judged().standing)
    }

    fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing was seen.
    fn forget(&self) {
        self.row.end();
        self.lost.end();
        self.alarm.store(0, Ordering::Relaxed);
    }

    /// How often it was ejected, by [`Cause::WORDS`].
    pub fn ejections(&self) -> [u64; Cause::WORDS.len()] {
        self.ejections
            .each_ref()
            .map(|it| it.load(Ordering::Relaxed))
    }

    /// Counts an ejection.
    pub fn count_ejection(&self, cause: &Cause) {
        if let Some(count) = self.ejections.get(cause.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The kinds of failures in the order of their numbers; a status is the last.
const FAILINGS: [Failing; 5] = [
    Failing::NotConnected,
    Failing::NoResponse,
    Failing::Closed,
    Failing::Malformed,
    Failing::Late,
];

/// The kind from 1 on in the upper byte, then the failure and its status, then how many there were.
fn packed(kind: u64, failing: Failing, row: u32) -> u64 {
    let (place, status) = match failing {
        Failing::Status(status) => (FAILINGS.len() as u64, u64::from(status)),
        other => {
            let place = FAILINGS.iter().position(|it| *it == other);
            (place.unwrap_or(0) as u64, 0)
        }
    };
    (kind + 1) << 56 | place << 48 | status << 32 | u64::from(row)
}

fn unpacked(alarm: u64) -> Failing {
    let place = usize::from((alarm >> 48) as u8);
    let known = FAILINGS.get(place).copied();
    known.unwrap_or(Failing::Status((alarm >> 32) as u16))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl TargetState {
    /// From now on so many errors in a row of a layer are told; nothing is without one.
    pub fn observe(&self, what: Option<(ObservedLayer, u32)>) {
        self.observed.look_at(what);
    }

    /// From now on what it serves is counted for passive health, or not any more; then it is not ejected either.
    pub fn judge_by(&self, policy: Option<&PassiveHealth>, of_responses: bool) {
        match policy {
            Some(policy) => {
                let passive = self.passive.get_or_init(|| Box::new(Passive::new()));
                let mut judged = passive.judged();
                passive.set(policy, of_responses);
                if !judged.counts {
                    // What a worker counted after the end of the last time.
                    passive.forget();
                }
                judged.counts = true;
                self.observed.tell(COUNTED, true);
            }
            None => {
                self.observed.tell(COUNTED, false);
                if let Some(passive) = self.passive() {
                    let mut judged = passive.judged();
                    judged.counts = false;
                    judged.standing = Standing::new(Instant::now());
                    self.show(passive, &judged.standing);
                }
            }
        }
    }

    /// Control decides of it, and workers see that at once. `None` where what it serves does not count any more: then nothing
    /// is decided, as whoever decides may have begun to before.
    pub fn decide<T>(&self, decide: impl FnOnce(&mut Standing) -> T) -> Option<T> {
        let passive = self.passive()?;
        let mut judged = passive.judged();
        if !judged.counts {
            return None;
        }
        let decided = decide(&mut judged.standing);
        self.show(passive, &judged.standing);
        Some(decided)
    }

    /// Has workers see what was decided. The caller holds the lock: nothing is shown that is over.
    fn show(&self, passive: &Passive, standing: &Standing) {
        let on_trial = standing.is_on_trial();
        passive.on_trial.store(on_trial, Ordering::Relaxed);
        if standing.is_ejected() != self.is_ejected() {
            if standing.is_ejected() {
                let now = micros(passive.born.elapsed()).max(1);
                passive.ejected_at.store(now, Ordering::Relaxed);
            }
            self.set_ejected(standing.is_ejected());
        }
    }

    /// What passive health knows of it, where it was ever asked to.
    pub fn passive(&self) -> Option<&Passive> {
        self.passive.get().map(|it| &**it)
    }

    /// Takes note of what was seen; `took` is for how long it was waited for.
    #[inline]
    pub(crate) fn saw(&self, seen: Seen, took: impl FnOnce() -> Duration) {
        match self.observed.saw(seen) {
            0 => {}
            who => self.count(who, seen, took()),
        }
    }

    /// Takes note of the head of a response; `took` is how long it took. `Some`: it counts as a good one once it is whole,
    /// see [`TargetState::was_whole`].
    #[inline]
    pub(crate) fn answered(
        &self,
        status: u16,
        took: impl FnOnce() -> Duration,
    ) -> Option<Duration> {
        match self.observed.saw(Seen::Status(status)) {
            0 => None,
            who => self.count_answer(who, status, took()),
        }
    }

    #[cold]
    fn count_answer(&self, who: u8, status: u16, took: Duration) -> Option<Duration> {
        let passive = self.passive().filter(|_| who & COUNTED != 0);
        let is_good = |it: &Passive| it.failing(Seen::Status(status), micros(took)).is_none();
        if passive.is_some_and(is_good) {
            self.count(who & !COUNTED, Seen::Status(status), took);
            return Some(took);
        }
        self.count(who, Seen::Status(status), took);
        None
    }

    /// A response that took so long until its head came was good to its end.
    #[cold]
    pub(crate) fn was_whole(&self, took: Duration) {
        if let Some(passive) = self.passive() {
            passive.did_well(micros(took));
        }
    }

    #[cold]
    fn count(&self, who: u8, seen: Seen, took: Duration) {
        if who & TIMED != 0 {
            self.note_time(seen, took);
        }
        if who & COUNTED != 0
            && let Some(passive) = self.passive()
            && passive.saw(seen, micros(took))
            && let Some(group) = self.group.get().and_then(Weak::upgrade)
        {
            group.outlier.notify_one();
        }
    }

    /// Waits until there were errors in a row; what is said of the last one. Never where nothing is observed.
    pub async fn alarmed(&self) -> &'static str {
        self.observed.alarmed().await
    }

    /// Counts errors from 0 again.
    pub fn forgive(&self) {
        self.observed.forgive();
    }

    /// It is ejected, or taken back.
    pub(crate) fn set_ejected(&self, ejected: bool) {
        match ejected {
            true => self.health.fetch_or(EJECTED, Ordering::Relaxed),
            false => self.health.fetch_and(!EJECTED, Ordering::Relaxed),
        };
        EPOCH.fetch_add(1, Ordering::Release);
        self.tell_those_who_wait();
    }

    /// True where it is ejected.
    pub fn is_ejected(&self) -> bool {
        self.health.load(Ordering::Relaxed) & EJECTED != 0
    }

    /// True where it would take traffic if it were not ejected.
    pub fn is_up(&self) -> bool {
        Health::from_u8(self.health.load(Ordering::Relaxed) & !EJECTED).is_usable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::expression::NumberRange;

    fn target(policy: &PassiveHealth, of_responses: bool) -> TargetState {
        let target = TargetState::new(Health::Healthy, None);
        target.judge_by(Some(policy), of_responses);
        target
    }

    /// What rings after each of these, in words.
    fn rings(target: &TargetState, all: &[Seen]) -> Vec<String> {
        let ring = |seen: &Seen| {
            target.saw(*seen, || Duration::ZERO);
            target.passive().unwrap().take_alarm()
        };
        let rings = all.iter().filter_map(ring);
        rings.map(|it| it.to_string()).collect()
    }

    #[test]
    fn failures_in_a_row_ring() {
        let policy = PassiveHealth {
            failures: 3,
            connection_failures: 2,
            ..PassiveHealth::default()
        };
        let check = |all: &[Seen], expected: &[&str]| {
            assert_eq!(rings(&target(&policy, true), all), expected, "{all:?}");
        };
        let bad = Seen::Status(503);
        let good = Seen::Status(404);
        check(&[bad, bad, good, bad, bad], &[]);
        check(
            &[bad, bad, Seen::Connected, bad],
            &["3 failures in a row, the last: status 503"],
        );
        check(
            &[bad, bad, bad, bad, bad],
            &["3 failures in a row, the last: status 503"],
        );
        check(
            &[Seen::NotConnected, Seen::Closed],
            &[
                "2 times in a row without a response, the last: closed before its response was whole",
            ],
        );
        check(
            &[Seen::NotConnected, bad, Seen::NotConnected],
            &["3 failures in a row, the last: no connection"],
        );
        check(&[Seen::ResponseTimeout, good, Seen::BadResponse, good], &[]);
    }

    #[test]
    fn the_head_of_a_response_is_not_enough() {
        let policy = PassiveHealth {
            failures: 3,
            ..PassiveHealth::default()
        };
        let target = target(&policy, true);
        let head = || target.answered(200, || Duration::from_millis(1)).unwrap();
        for ring in [false, false, true] {
            head();
            assert_eq!(rings(&target, &[Seen::Closed]).len(), usize::from(ring));
        }
        target.was_whole(head());
        assert_eq!(rings(&target, &[Seen::Closed, Seen::Closed]), [""; 0]);
        let counts = target.passive().unwrap().counts();
        assert_eq!((counts.asked, counts.failed, counts.good), (6, 5, 1));
    }

    #[test]
    fn connections_count_where_nothing_else_is_seen() {
        let policy = PassiveHealth {
            failures: 2,
            ..PassiveHealth::default()
        };
        let target = target(&policy, false);
        let (up, down) = (Seen::Connected, Seen::NotConnected);
        assert_eq!(rings(&target, &[down, up, down]), [""; 0]);
        assert_eq!(
            rings(&target, &[down]),
            ["2 failures in a row, the last: no connection"]
        );
        let counts = target.passive().unwrap().counts();
        assert_eq!((counts.asked, counts.failed, counts.good), (4, 3, 1));
    }

    #[test]
    fn statuses_and_lateness_are_as_they_are_said() {
        let policy = PassiveHealth {
            failures: 1,
            statuses: vec![
                NumberRange { min: 429, max: 429 },
                NumberRange { min: 502, max: 504 },
            ],
            slow_after: Duration::from_millis(100),
            ..PassiveHealth::default()
        };
        let target = target(&policy, true);
        let check = |status: u16, millis: u64, expected: Option<&str>| {
            if let Some(took) = target.answered(status, || Duration::from_millis(millis)) {
                target.was_whole(took);
            }
            let cause = target.passive().unwrap().take_alarm();
            let cause = cause.map(|it| it.to_string());
            assert_eq!(cause.as_deref(), expected, "{status} {millis}");
        };
        check(200, 100, None);
        check(200, 101, Some("a late response"));
        check(428, 0, None);
        check(429, 0, Some("status 429"));
        check(500, 0, None);
        check(504, 0, Some("status 504"));
        check(999, 0, None);
    }

    #[test]
    fn a_row_is_forgotten_in_time() {
        let row = Row::default();
        let times = [0, 5, 10, 11, 12, 40];
        let rows: Vec<u32> = times.iter().map(|now| row.add(*now, 10)).collect();
        assert_eq!(rows, [1, 2, 3, 1, 2, 1]);
        row.end();
        assert_eq!((row.add(50, 0), row.add(5000, 0)), (1, 2));
    }

    #[test]
    fn one_failure_is_enough_on_trial() {
        let target = target(&PassiveHealth::default(), true);
        target.decide(|it| it.release(Instant::now(), Counts::default()));
        let words = rings(&target, &[Seen::Status(200), Seen::Closed]);
        assert_eq!(
            words,
            ["it failed again when it was tried: closed before its response was whole"]
        );
    }

    /// A request that was under way when the target was ejected may fail while it is on trial.
    #[test]
    fn what_was_asked_before_an_ejection_says_nothing() {
        let target = target(&PassiveHealth::default(), true);
        let hour = Duration::from_secs(3600);
        target.saw(Seen::Closed, || Duration::ZERO);
        assert!(eject(&target));
        target.decide(|it| it.release(Instant::now(), Counts::default()));
        let passive = target.passive().unwrap();
        for seen in [Seen::ResponseTimeout, Seen::Closed, Seen::Status(503)] {
            target.saw(seen, || hour);
        }
        assert!(target.answered(503, || hour).is_none());
        assert_eq!((passive.take_alarm(), passive.counts().failed), (None, 1));
        target.saw(Seen::ResponseTimeout, || Duration::ZERO);
        assert!(passive.take_alarm().is_some());
    }

    #[test]
    fn the_ejected_are_down_whatever_checks_find() {
        let target = target(&PassiveHealth::default(), true);
        target.set_ejected(true);
        for (health, seen) in [
            (Health::Healthy, Health::Unhealthy),
            (Health::Initial, Health::Unhealthy),
            (Health::Draining, Health::Draining),
            (Health::Unused, Health::Unused),
            (Health::Healthy, Health::Unhealthy),
        ] {
            target.set_health(health);
            assert_eq!(
                (target.health(), target.is_up()),
                (seen, health.is_usable())
            );
        }
        target.judge_by(None, true);
        assert_eq!(target.health(), Health::Healthy);
        // Nothing is counted any more.
        assert_eq!(rings(&target, &[Seen::Closed; 9]), [""; 0]);
        assert_eq!(target.passive().unwrap().counts().asked, 0);
    }
    /// What control does to one that failed.
    fn eject(target: &TargetState) -> bool {
        let policy = portway_core::outlier::Policy {
            time: Duration::from_secs(60),
            longest: Duration::from_secs(60),
            trial: 1,
            window: Duration::from_secs(10),
            least: 1,
            failed: 0,
            slower: 0,
        };
        let cause = Cause::Trial(Failing::Closed);
        let ejected = target.decide(|it| it.eject(Instant::now(), &cause, &policy));
        ejected.is_some()
    }

    /// Nobody looks after a target any more that was ejected behind the end of it.
    #[test]
    fn nothing_is_decided_where_nothing_counts() {
        let policy = PassiveHealth {
            failures: 1,
            ..PassiveHealth::default()
        };
        let target = target(&policy, true);
        target.saw(Seen::Closed, || Duration::ZERO);
        target.judge_by(None, true);
        assert!(!eject(&target) && !target.is_ejected());
        let released = target.decide(|it| it.release(Instant::now(), Counts::default()));
        assert!(released.is_none() && target.passive().unwrap().look(|it| !it.is_on_trial()));
        // What was seen then is nothing that counts later.
        target.judge_by(Some(&policy), true);
        assert_eq!(target.passive().unwrap().take_alarm(), None);
        assert!(eject(&target) && target.is_ejected());
        target.judge_by(None, true);
        assert!(!target.is_ejected());
    }

    #[test]
    fn an_end_and_an_ejection_at_once() {
        let policy = PassiveHealth::default();
        let mut seed = 0x9E37_79B9_u64;
        for round in 0..2000 {
            let target = target(&policy, true);
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let spins = [seed >> 54, seed >> 44 & 0x3FF];
            let start = std::sync::Barrier::new(2);
            let after = |spins: u64| {
                start.wait();
                (0..spins).for_each(|_| std::hint::spin_loop());
            };
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    after(spins[0]);
                    eject(&target)
                });
                after(spins[1]);
                target.judge_by(None, true);
            });
            let standing = target.passive().unwrap().look(|it| it.state().clone());
            let seen = (target.is_ejected(), standing);
            let expected = (false, portway_core::outlier::State::Serving);
            assert_eq!(seen, expected, "round {round}, spins {spins:?}");
        }
    }
}
