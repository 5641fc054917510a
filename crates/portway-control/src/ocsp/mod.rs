//! Answers of OCSP that are fetched (RFC 6960, RFC 5019): what authorities say of our certificates, for clients to be shown.
//!
//! One task asks for all certificates, a few at a time: when half of the time that an answer is true is over, and again after a
//! growing pause where none came that may be shown. The last good one is shown as long as it is true; only one that says, signed,
//! that the certificate is revoked takes it away. What is known of a certificate stays over reloads, since it belongs to the
//! certificate and not to a configuration, and over the end of the process where there is a folder for state.

mod commands;
mod fetch;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use portway_model::jwt::UrlParts;
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::{OcspResult, ProcessCounters};
use rustls_pki_types::UnixTime;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use commands::{OcspAnswer, OcspUpdate};

use crate::history::KeptAnswers;
use crate::tls::staple::{Asked, NotShown, Staple, Validity};
use crate::tls::x509::{Fingerprint, moment};
use fetch::fetch;

/// Fetches at once.
pub const OCSP_FETCHES_AT_ONCE: usize = 8;
/// Fetches at once from one responder (its host and port), once it has given an answer; until then, and where it gave none the last
/// time, one.
pub const OCSP_FETCHES_PER_RESPONDER: usize = 2;
/// Fetches at once from all responders together that gave no answer the last time: however many are silent, half of the places stay
/// for the others.
pub const OCSP_FETCHES_OF_SILENT: usize = 4;
/// The pause after the first fetch that failed; it doubles with each that follows.
pub const OCSP_FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause between fetches that fail.
pub const OCSP_LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// Who fetches.
#[derive(Default)]
pub(crate) struct Stapler {
    entries: Mutex<HashMap<Key, Entry>>,
    bell: Notify,
    kept: OnceLock<KeptAnswers>,
}

/// A certificate, and who is asked about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    certificate: Fingerprint,
    url: String,
}

/// What is known of a certificate.
#[derive(Debug)]
struct Entry {
    asked: Asked,
    /// Where answers go: several where several objects of the configuration, or configurations, have the certificate.
    staples: Vec<Weak<Staple>>,
    due: Instant,
    is_asked: bool,
    /// Fetches that failed since the last that did not.
    failures: u32,
    /// Fetches that did not fail, and those that did.
    counts: (u64, u64),
    /// When the last one ended, and how.
    last: Option<(SystemTime, Result<(), String>)>,
    /// The same by the clock of pauses, and whether its responder gave an answer.
    answered: Option<(Instant, bool)>,
    /// The last answer says that it is revoked.
    is_revoked: bool,
    told: Option<Told>,
}

/// What was last said of a certificate in the log.
type Told = (Result<(), String>, bool);

/// What is asked next.
struct Job {
    key: Key,
    staple: Arc<Staple>,
}

impl Stapler {
    /// Keeps answers there from now on.
    pub(crate) fn keep_in(&self, kept: KeptAnswers) {
        let _ = self.kept.set(kept);
    }

    /// Has these filled, from what is known at once.
    pub(crate) fn attach(&self, staples: &[Arc<Staple>]) {
        let mut entries = self.entries();
        for staple in staples {
            let Some(asked) = &staple.asked else {
                continue;
            };
            let key = Key {
                certificate: staple.fingerprint(),
                url: asked.url.clone(),
            };
            let entry = entries.entry(key);
            let entry = entry.or_insert_with_key(|key| self.begin(key, staple, asked));
            entry.add(staple, asked);
        }
        drop(entries);
        self.bell.notify_one();
    }

    /// What is known of a certificate that is new.
    fn begin(&self, key: &Key, staple: &Arc<Staple>, asked: &Asked) -> Entry {
        let now = UnixTime::now();
        let mut validity = staple.validity(now);
        if validity.is_none() {
            let kept = self.kept.get().and_then(|it| it.read(&key.certificate));
            validity = kept.and_then(|der| staple.take(&der, now).ok());
        }
        let due = match validity {
            Some(validity) => Instant::now() + refresh_after(asked, validity, now, chance()),
            None => Instant::now(),
        };
        Entry {
            asked: asked.clone(),
            staples: Vec::new(),
            due,
            is_asked: false,
            failures: 0,
            counts: (0, 0),
            last: None,
            answered: None,
            is_revoked: false,
            told: None,
        }
    }

    /// Fetches as long as the process runs.
    pub(crate) async fn keep_fetching(self: Arc<Self>, counters: Arc<ProcessCounters>) {
        let mut asking = JoinSet::new();
        loop {
            while asking.len() < OCSP_FETCHES_AT_ONCE
                && let Some(job) = self.next(Instant::now())
            {
                asking.spawn(async move {
                    let answer = fetch(&job.staple).await;
                    (job, answer)
                });
            }
            let has_room = asking.len() < OCSP_FETCHES_AT_ONCE;
            let due = self.first_due();
            tokio::select! {
                Some(done) = asking.join_next() => {
                    // A fetch that panicked would be one that never ends.
                    if let Ok((job, answer)) = done {
                        self.ended(&job, answer, &counters).await;
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if has_room && due.is_some() => {}
                () = self.bell.notified() => {}
            }
        }
    }

    /// The next that is due. Certificates that nobody has any more are forgotten.
    fn next(&self, now: Instant) -> Option<Job> {
        let mut entries = self.entries();
        entries.retain(|_, entry| entry.live().next().is_some());
        let (key, due) = next_of(&entries)?;
        if due > now {
            return None;
        }
        let key = key.clone();
        let entry = entries.get_mut(&key)?;
        let staple = entry.live().next()?;
        entry.is_asked = true;
        Some(Job { key, staple })
    }

    fn first_due(&self) -> Option<Instant> {
        next_of(&self.entries()).map(|(_, due)| due)
    }

    /// What became of a fetch.
    async fn ended(&self, job: &Job, answer: Result<Vec<u8>, String>, counters: &ProcessCounters) {
        let now = UnixTime::now();
        let taken = match answer {
            Ok(der) => match job.staple.take(&der, now) {
                Ok(validity) => Ok((der, validity)),
                Err(why) => Err(Failed::Answer(why)),
            },
            Err(why) => Err(Failed::Fetch(why)),
        };
        counters.ocsp_fetched(match &taken {
            Ok(_) => OcspResult::Ok,
            Err(Failed::Fetch(_)) => OcspResult::Failed,
            Err(Failed::Answer(NotShown::Revoked)) => OcspResult::Revoked,
            Err(Failed::Answer(_)) => OcspResult::Refused,
        });
        let change = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(&job.key) else {
                return;
            };
            entry.ended(&taken, now)
        };
        self.keep(&job.key.certificate, change).await;
    }

    /// Writes what has changed, where that is kept.
    async fn keep(&self, certificate: &Fingerprint, change: Change) {
        let Some(kept) = self.kept.get().cloned() else {
            return;
        };
        let certificate = *certificate;
        let known: Vec<Fingerprint> = self.entries().keys().map(|it| it.certificate).collect();
        let written = tokio::task::spawn_blocking(move || match change {
            Change::None => Ok(()),
            Change::Put(der) => kept.write(&certificate, &der, &known),
            Change::Withdrawn => kept.remove(&certificate),
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!("answers of OCSP cannot be kept: {error}");
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a responder.
#[derive(Debug, Clone, Copy, Default)]
struct Responder {
    /// Fetches from it that are under way.
    asked: usize,
    /// When the last one ended, and whether it brought an answer.
    last: Option<(Instant, bool)>,
}

impl Responder {
    fn is_silent(&self) -> bool {
        matches!(self.last, Some((_, false)))
    }

    /// One more may be made, of it alone.
    fn has_room(&self) -> bool {
        self.asked
            < match self.last {
                Some((_, true)) => OCSP_FETCHES_PER_RESPONDER,
                _ => 1,
            }
    }
}

/// What is asked next, and when: of responders that are not asked for as much as they may be.
fn next_of(entries: &HashMap<Key, Entry>) -> Option<(&Key, Instant)> {
    let mut responders: HashMap<&str, Responder> = HashMap::new();
    for (key, entry) in entries {
        let of_it = responders.entry(key.responder()).or_default();
        of_it.asked += usize::from(entry.is_asked);
        of_it.last = of_it.last.max(entry.answered);
    }
    let silent = responders.values().filter(|it| it.is_silent());
    let has_room_for_silent = silent.map(|it| it.asked).sum::<usize>() < OCSP_FETCHES_OF_SILENT;
    let has_room = |key: &Key| {
        let of_it = responders.get(key.responder());
        of_it.is_none_or(|it| it.has_room() && (!it.is_silent() || has_room_for_silent))
    };
    let waiting = entries.iter().filter(|(_, it)| !it.is_asked);
    let next = waiting.filter(|(key, _)| has_room(key));
    let next = next.map(|(key, it)| (key, it.due));
    next.min_by_key(|(_, due)| *due)
}

impl Key {
    /// Whom the answer comes from: host and port.
    fn responder(&self) -> &str {
        UrlParts::of(&self.url).map_or(&self.url, |it| it.authority)
    }
}

impl fmt::Debug for Stapler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.entries().len();
        f.debug_struct("Stapler")
            .field("certificates", &count)
            .finish()
    }
}

/// Why there is no new answer.
enum Failed {
    /// None came.
    Fetch(String),
    /// It may not be shown.
    Answer(NotShown),
}

/// What becomes of what is kept of a certificate.
enum Change {
    None,
    Put(Vec<u8>),
    Withdrawn,
}

impl Entry {
    fn live(&self) -> impl Iterator<Item = Arc<Staple>> {
        self.staples.iter().filter_map(Weak::upgrade)
    }

    /// Fills one more. Its settings count from now on.
    fn add(&mut self, staple: &Arc<Staple>, asked: &Asked) {
        self.staples.retain(|it| it.strong_count() > 0);
        let is_known = self.live().any(|it| Arc::ptr_eq(&it, staple));
        if !is_known {
            let now = UnixTime::now();
            let own = staple.validity(now).map(|it| it.from);
            let known = self.live().find_map(|it| it.answer());
            if let Some((der, validity)) = known
                && own.is_none_or(|own| own <= validity.from)
            {
                // It was good for the same certificate; where its time is over meanwhile, it is not shown.
                let _ = staple.take(&der, now);
            }
            if self.is_revoked {
                staple.revoke();
            }
            self.staples.push(Arc::downgrade(staple));
        }
        if self.asked != *asked {
            let is_paced_otherwise = (self.asked.min_refresh, self.asked.max_refresh)
                != (asked.min_refresh, asked.max_refresh);
            self.asked = asked.clone();
            let now = UnixTime::now();
            if is_paced_otherwise && let Some(validity) = staple.validity(now) {
                let due = Instant::now() + refresh_after(asked, validity, now, chance());
                self.due = self.due.min(due);
            }
        }
    }

    /// A fetch has ended.
    fn ended(&mut self, taken: &Result<(Vec<u8>, Validity), Failed>, now: UnixTime) -> Change {
        self.is_asked = false;
        let has_answered = !matches!(taken, Err(Failed::Fetch(_)));
        self.answered = Some((Instant::now(), has_answered));
        let (said, pause, change) = match taken {
            Ok((der, validity)) => {
                for staple in self.live() {
                    let _ = staple.take(der, now);
                }
                self.is_revoked = false;
                self.failures = 0;
                self.counts.0 += 1;
                let pause = refresh_after(&self.asked, *validity, now, chance());
                (Ok(()), pause, Change::Put(der.clone()))
            }
            Err(failed) => {
                let is_revoked = matches!(failed, Failed::Answer(NotShown::Revoked));
                if is_revoked {
                    self.is_revoked = true;
                    self.live().for_each(|it| it.revoke());
                }
                let why = match failed {
                    Failed::Fetch(why) => why.clone(),
                    Failed::Answer(why) => why.to_string(),
                };
                self.counts.1 += 1;
                let pause = pause_after(&self.asked, self.failures, chance());
                self.failures = self.failures.saturating_add(1);
                let change = match is_revoked {
                    true => Change::Withdrawn,
                    false => Change::None,
                };
                (Err(why), pause, change)
            }
        };
        self.due = Instant::now() + pause;
        self.last = Some((SystemTime::now(), said.clone()));
        self.tell(said, now);
        change
    }

    /// Says what has changed since.
    fn tell(&mut self, said: Result<(), String>, now: UnixTime) {
        let shown = self.live().find_map(|it| it.validity(now));
        let until = shown.map(|it| moment(it.until));
        let told = (said, shown.is_some());
        if self.told.as_ref() == Some(&told) {
            return;
        }
        emit(&Event::OcspFetched {
            certificate: &self.asked.certificate,
            url: &self.asked.url,
            answer: told.0.as_ref().copied().map_err(String::as_str),
            until: until.as_deref(),
            is_must: self.asked.is_must,
        });
        self.told = Some(told);
    }
}

/// How long after an answer the next is asked for: when half of its time is over, a tenth of that sooner or later, so that the
/// certificates of one authority do not come together. `chance` is from 0 to 255.
fn refresh_after(asked: &Asked, validity: Validity, now: UnixTime, chance: u8) -> Duration {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let seconds = |it: i64| Duration::from_secs(u64::try_from(it).unwrap_or(0));
    let half = validity.until.saturating_sub(validity.from) / 2;
    let at_half = seconds(validity.from.saturating_add(half).saturating_sub(now));
    // Responders give the same answer for a while: half of what is left then.
    let left = seconds(validity.until.saturating_sub(now));
    let wanted = match at_half.is_zero() {
        true => left / 2,
        false => at_half,
    };
    let wanted = wanted.min(asked.max_refresh.unwrap_or(Duration::MAX));
    spread(wanted, chance).max(asked.min_refresh)
}

/// How long after a fetch that failed the next is made, where so many had failed before it.
fn pause_after(asked: &Asked, failures: u32, chance: u8) -> Duration {
    let first = OCSP_FIRST_PAUSE.min(asked.min_refresh);
    let longest = OCSP_LONGEST_PAUSE.min(asked.max_refresh.unwrap_or(Duration::MAX));
    let doubled = first.saturating_mul(1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX));
    spread(doubled.min(longest.max(first)), chance)
}

/// From nine to eleven tenths.
fn spread(time: Duration, chance: u8) -> Duration {
    time * 9 / 10 + time / 5 * u32::from(chance) / 255
}

fn chance() -> u8 {
    let mut byte = [128];
    // Without chance, everything is in the middle.
    let _ = rand::fill(&mut byte);
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::identity::{PemSource, load_identity};
    use crate::tls::self_signed::self_signed;

    #[test]
    fn one_responder_does_not_take_all_places() {
        let silent = (0..20).map(|it| place(&format!("http://silent.example/{it}")));
        let silent: Vec<_> = silent.collect();
        let living = [place("http://living.example/")];
        let stapler = Stapler::default();
        stapler.attach(&silent);
        stapler.attach(&living);
        let now = Instant::now() + Duration::from_secs(1);
        let mut asked: Vec<Job> = std::iter::from_fn(|| stapler.next(now)).collect();
        let of_living = asked.iter().filter(|it| it.key.url.contains("living"));
        assert_eq!((of_living.count(), asked.len()), (1, 2));
        // Nothing is waited for but the end of one of these.
        assert_eq!(stapler.first_due(), None);
        let job = asked.remove(0);
        let failed = Err(Failed::Fetch("no answer".to_owned()));
        let mut entries = stapler.entries();
        let entry = entries.get_mut(&job.key).unwrap();
        entry.ended(&failed, UnixTime::now());
        drop(entries);
        assert!(stapler.next(now).is_some_and(|it| it.key != job.key));
        assert!(stapler.next(now).is_none());
    }

    /// A place for an answer from this URL.
    fn place(url: &str) -> Arc<Staple> {
        let made = self_signed(&["a".to_owned()], 9, UnixTime::now()).unwrap();
        let source = |text| PemSource { name: "a", text };
        let sources = [made.certificate_pem.as_bytes(), made.key_pem.as_bytes()].map(source);
        let (identity, _) = load_identity(&sources, UnixTime::now()).unwrap();
        let asked = Asked {
            url: url.to_owned(),
            ..asked(300, None)
        };
        Arc::new(Staple::of(&identity, Some(asked)))
    }

    #[test]
    fn many_silent_responders_leave_half_of_the_places() {
        let all = (0..40).map(|it| place(&format!("http://silent{}.example/{it}", it % 8)));
        let all: Vec<_> = all.collect();
        let stapler = Stapler::default();
        stapler.attach(&all);
        let ask = |places: usize| -> Vec<Job> {
            let now = Instant::now() + Duration::from_secs(7_200);
            std::iter::from_fn(|| stapler.next(now))
                .take(places)
                .collect()
        };
        let end = |jobs: Vec<Job>, result: &Result<(Vec<u8>, Validity), Failed>| {
            let mut entries = stapler.entries();
            for job in jobs {
                entries
                    .get_mut(&job.key)
                    .unwrap()
                    .ended(result, UnixTime::now());
            }
        };
        // Nobody knows them yet: each has one place.
        let first = ask(OCSP_FETCHES_AT_ONCE);
        assert_eq!(first.len(), 8);
        let silent = Err(Failed::Fetch("no answer".to_owned()));
        end(first, &silent);
        // All of them are known to be silent now.
        let held = ask(OCSP_FETCHES_AT_ONCE);
        assert_eq!(held.len(), OCSP_FETCHES_OF_SILENT);
        let living: Vec<_> = (0..3)
            .map(|it| place(&format!("http://living.example/{it}")))
            .collect();
        stapler.attach(&living);
        let asked = ask(OCSP_FETCHES_AT_ONCE);
        assert_eq!(asked.len(), 1);
        assert!(asked.iter().all(|it| it.key.url.contains("living")));
        let refused = Err(Failed::Answer(NotShown::OfAnother));
        end(asked, &refused);
        // It has answered, whatever it said.
        assert_eq!(ask(OCSP_FETCHES_AT_ONCE).len(), OCSP_FETCHES_PER_RESPONDER);
        // One of the silent ones answers: it is none of them any more.
        end(held, &refused);
        let asked = ask(usize::MAX);
        assert_eq!(
            asked.len(),
            4 * OCSP_FETCHES_PER_RESPONDER + OCSP_FETCHES_OF_SILENT
        );
    }

    fn asked(min: u64, max: Option<u64>) -> Asked {
        Asked {
            certificate: "site".to_owned(),
            url: "http://ocsp.example/".to_owned(),
            is_must: false,
            min_refresh: Duration::from_secs(min),
            max_refresh: max.map(Duration::from_secs),
        }
    }

    #[test]
    fn refreshes_at_half_time() {
        let at = |now: u64| UnixTime::since_unix_epoch(Duration::from_secs(now));
        let day = Validity {
            from: 100_000,
            until: 186_400,
        };
        for (asked, validity, now, chance, expected) in [
            // Half a day, from the moment that it speaks of, sooner or later by a tenth.
            (asked(300, None), day, 100_000, 0, 38_880),
            (asked(300, None), day, 100_000, 255, 47_520),
            (asked(300, None), day, 110_000, 0, 29_880),
            // It was known for long: half of what is left.
            (asked(300, None), day, 146_400, 0, 18_000),
            // Within the bounds.
            (asked(300, Some(3_600)), day, 100_000, 0, 3_240),
            (asked(300, None), day, 186_300, 0, 300),
            (asked(300, None), day, 200_000, 0, 300),
            (asked(1, None), day, 186_396, 255, 2),
        ] {
            let pause = refresh_after(&asked, validity, at(now), chance);
            assert_eq!(pause.as_secs(), expected, "{now} {chance}");
        }
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        let pauses = |asked: &Asked| -> Vec<u64> {
            let all = (0..40).map(|failures| pause_after(asked, failures, 0).as_secs());
            all.collect()
        };
        let pauses_of = pauses(&asked(300, None));
        assert_eq!(pauses_of.get(..4).unwrap(), [9, 18, 36, 72]);
        assert_eq!(*pauses_of.last().unwrap(), 3_240);
        assert!(pauses_of.is_sorted());
        assert_eq!(*pauses(&asked(1, Some(4))).last().unwrap(), 3);
    }
}
