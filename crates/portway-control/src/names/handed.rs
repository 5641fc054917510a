//! What the process before knew of names: it counts here until something is heard, so that servers of names which are silent at the
//! moment of an upgrade cost nobody his target.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portway_core::dns::{Data, Known, Outcome, Terms};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{Key, NameBook, chance_of};

/// The addresses of a name, for another process.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NamePart {
    name: String,
    /// Who was asked for it; none: those of the system.
    nameservers: Vec<SocketAddr>,
    addresses: Vec<IpAddr>,
    /// Milliseconds since a good answer had them.
    age: u64,
}

impl NamePart {
    fn is_of(&self, key: &Key) -> bool {
        !key.is_service && key.name == self.name && key.resolver.nameservers == self.nameservers
    }

    /// What a server would have said to the question for one family.
    fn outcome(&self, is_ipv4: bool) -> Outcome {
        let of_family = self.addresses.iter().filter(|ip| ip.is_ipv4() == is_ipv4);
        // Over at once: it is asked for anyway.
        Outcome::Found(
            of_family.map(|ip| Data::Address(*ip)).collect(),
            Duration::ZERO,
        )
    }

    /// Takes it in where nothing was heard yet; true where it counts now. Where it was heard that there are no addresses, what was
    /// good counts as long as it is held then.
    pub(super) fn settle(&self, families: &mut [Known; 2], begun: Instant, terms: &Terms) -> bool {
        if families.iter().any(|it| it.good_at().is_some()) {
            return false;
        }
        let age = Duration::from_millis(self.age);
        let is_over = terms.hold.missing.is_some_and(|hold| age >= hold);
        if is_over && families.iter().any(Known::is_denied) {
            return false;
        }
        // At the earliest when this process began to ask.
        let at = begun.elapsed().saturating_sub(age);
        let mut is_news = false;
        for (known, is_ipv4) in families.iter_mut().zip([true, false]) {
            is_news |= known.heard(&self.outcome(is_ipv4), at, chance_of(), terms);
        }
        is_news
    }
}

/// Where a part waits for the task that asks for its name.
#[derive(Debug, Default)]
pub(super) struct Handed {
    part: Mutex<Option<NamePart>>,
    bell: Notify,
}

impl Handed {
    fn put(&self, part: NamePart) {
        *self.lock() = Some(part);
        self.bell.notify_one();
    }

    /// Waits for one; may be given up.
    pub(super) async fn taken(&self) -> NamePart {
        loop {
            self.bell.notified().await;
            if let Some(part) = self.lock().take() {
                return part;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<NamePart>> {
        self.part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NameBook {
    /// What is known now, for another process.
    pub(crate) fn parts(&self) -> Vec<NamePart> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let part = |(key, asked): (&Key, &std::sync::Weak<super::Asked>)| {
            let answer = asked.upgrade().filter(|_| !key.is_service)?.answer();
            let age = answer.good_at?.elapsed().as_millis();
            Some(NamePart {
                name: key.name.clone(),
                nameservers: key.resolver.nameservers.clone(),
                addresses: answer.addresses,
                age: u64::try_from(age).unwrap_or(u64::MAX),
            })
        };
        let parts = asked.iter().filter_map(part);
        parts.filter(|part| !part.addresses.is_empty()).collect()
    }

    /// Gives those who ask what another process knew.
    pub(crate) fn hand(&self, parts: Vec<NamePart>) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts {
            let of_it = asked.iter().filter(|(key, _)| part.is_of(key));
            for asked in of_it.filter_map(|(_, asked)| asked.upgrade()) {
                asked.handed.put(part.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::resolution::Hold;

    #[test]
    fn what_another_process_knew_is_not_put_above_what_was_heard() {
        const TTL: Option<Duration> = Some(Duration::from_secs(9));
        let denied = Outcome::Nothing {
            exists: false,
            ttl: TTL,
        };
        let hour = Duration::from_secs(3600);
        let found = || Outcome::Found(vec![], hour);
        let good = |outcome: &Outcome| vec![outcome.clone()];
        let cases = [
            ("nothing", vec![], Some(Duration::ZERO), 0, true),
            (
                "silence",
                vec![Outcome::Silent],
                Some(Duration::ZERO),
                0,
                true,
            ),
            ("an answer", good(&found()), None, 0, false),
            ("a denial", good(&denied), Some(Duration::ZERO), 0, false),
            (
                "a denial, and failures",
                vec![denied.clone(), Outcome::Failed],
                Some(Duration::ZERO),
                0,
                false,
            ),
            ("a denial, held", good(&denied), Some(hour), 3_599_000, true),
            (
                "a denial, held no more",
                good(&denied),
                Some(hour),
                3_600_000,
                false,
            ),
            (
                "a denial, held for ever",
                good(&denied),
                None,
                3_600_000,
                true,
            ),
        ];
        for (heard, outcomes, missing, age, expected) in cases {
            let terms = Terms {
                min_ttl: Duration::ZERO,
                max_ttl: hour,
                hold: Hold {
                    missing,
                    ..Hold::default()
                },
            };
            let mut families = [Known::default(), Known::default()];
            for outcome in &outcomes {
                for known in &mut families {
                    known.heard(outcome, Duration::ZERO, 0, &terms);
                }
            }
            let part = NamePart {
                addresses: vec!["10.0.0.1".parse().unwrap()],
                age,
                ..NamePart::default()
            };
            let counts = part.settle(&mut families, Instant::now(), &terms);
            assert_eq!(counts, expected, "{heard}");
            let has_any = families.iter().any(|it| it.data().next().is_some());
            assert_eq!(has_any, expected, "{heard}");
        }
    }
}
