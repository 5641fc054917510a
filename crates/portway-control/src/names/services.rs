//! The hosts of a service, by SRV records (RFC 2782), and their addresses: the record is asked for again when it is over, and so is
//! each host by itself.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_core::dns::{Data, Known, Service, Terms, settle};
use portway_model::members::Member;
use portway_model::resolution::Resolution;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::system::{self, Outcomes};
use super::{Answer, Counters, Key, chance_of, of_family, ranked, terms, why};

/// Hosts of a service that are looked up: more targets than a group may have by one name.
const MAX_HOSTS: usize = 512;
/// Hosts of services that are looked up at once, of all services together: servers of names drop what comes in a burst.
const HOSTS_AT_ONCE: usize = 32;
/// Whose turn it is to look a host up.
static TURNS: Semaphore = Semaphore::const_new(HOSTS_AT_ONCE);
/// The largest weight that a member gets: those of the records are brought into this scale.
const MAX_WEIGHT: u32 = 256;

/// A host, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    service: Service,
    addresses: Vec<IpAddr>,
}

/// Looks a service up again and again.
pub(super) async fn keep_asking(
    key: Key,
    sender: watch::Sender<Answer>,
    (counters, news): (Arc<Counters>, Arc<Notify>),
) {
    let begun = Instant::now();
    let terms = terms(&key.resolver);
    let (mut services, mut hosts) = (Known::default(), Hosts::default());
    let mut latest = None;
    loop {
        let mut is_news = false;
        if services.due() <= begun.elapsed() {
            let outcome = system::look_up_service(&key.name, &key.resolver, &counters).await;
            is_news |= services.heard(&outcome, begun.elapsed(), chance_of(), &terms);
            latest = why(&[outcome]);
        }
        is_news |= hosts
            .look_up(&services, &key, &counters, (begun, &terms))
            .await;
        let placed = hosts.placed(&services);
        sender.send_modify(|answer| {
            answer.looks += 1;
            let nowhere = "its hosts have no addresses";
            let found = placed.iter().any(|it| !it.addresses.is_empty());
            answer.why = latest.or((!found).then_some(nowhere));
            answer.is_lost = !found && services.good_at().is_some();
            answer.good_at = services.good_at().and_then(|it| begun.checked_add(it));
            answer.services = placed;
        });
        if is_news {
            news.notify_one();
        }
        let due = hosts.due().into_iter().chain([services.due()]).min();
        let due = due.unwrap_or_default().saturating_sub(begun.elapsed());
        tokio::time::sleep(due).await;
    }
}

/// What is known of the hosts of a service.
#[derive(Default)]
struct Hosts(HashMap<Box<str>, [Known; 2]>);

impl Hosts {
    /// Looks up those that are due; true where other addresses count.
    async fn look_up(
        &mut self,
        services: &Known,
        key: &Key,
        counters: &Arc<Counters>,
        (begun, terms): (Instant, &Terms),
    ) -> bool {
        let named: Vec<&Service> = of_hosts(services).take(MAX_HOSTS).collect();
        let before = self.0.len();
        let hosts: HashSet<&str> = named.iter().map(|it| &*it.host).collect();
        self.0.retain(|host, _| hosts.contains(&**host));
        let mut is_news = self.0.len() != before;
        for service in named {
            self.0.entry(service.host.clone()).or_default();
        }
        let mut tasks: JoinSet<(Box<str>, Outcomes)> = JoinSet::new();
        let now = begun.elapsed();
        let is_due = |known: &[Known; 2]| known.iter().any(|it| it.due() <= now);
        for host in self
            .0
            .iter()
            .filter(|(_, known)| is_due(known))
            .map(|(host, _)| host)
        {
            let (host, resolver, counters) = (host.clone(), key.resolver.clone(), counters.clone());
            tasks.spawn(async move {
                // It is never closed.
                let _turn = TURNS.acquire().await.ok();
                // Names in records are whole.
                let outcomes = system::look_up(&format!("{host}."), &resolver, &counters).await;
                (host, outcomes)
            });
        }
        while let Some(looked) = tasks.join_next().await {
            let Ok((host, outcomes)) = looked else {
                continue;
            };
            let Some(known) = self.0.get_mut(&host) else {
                continue;
            };
            for (known, outcome) in known.iter_mut().zip(&settle(outcomes)) {
                is_news |= known.heard(outcome, begun.elapsed(), chance_of(), terms);
            }
        }
        is_news
    }

    fn placed(&self, services: &Known) -> Vec<Placed> {
        let placed = of_hosts(services).filter_map(|service| {
            let known = self.0.get(&service.host)?;
            Some(Placed {
                service: service.clone(),
                addresses: ranked(known),
            })
        });
        placed.collect()
    }

    /// When the next of them is due.
    fn due(&self) -> Option<Duration> {
        self.0.values().flatten().map(Known::due).min()
    }
}

/// The hosts of an answer; one without a name says that there is no service (RFC 2782).
fn of_hosts(services: &Known) -> impl Iterator<Item = &Service> {
    let services = services.data().filter_map(|it| match it {
        Data::Service(service) => Some(service),
        Data::Address(_) => None,
    });
    services.filter(|it| !it.host.is_empty() && it.port != 0)
}

/// The members that hosts are: those of the lowest priority are asked first, the others are backups; weights keep their proportions.
pub(super) fn members(all: &[Placed], of: &Resolution) -> Vec<Member> {
    let there = || all.iter().filter(|it| !it.addresses.is_empty());
    let first = there().map(|it| it.service.priority).min();
    let heaviest = there()
        .map(|it| u32::from(it.service.weight))
        .max()
        .unwrap_or(0);
    let weight = |own: u16| match heaviest {
        0 => None,
        _ if heaviest <= MAX_WEIGHT => Some(own.max(1)),
        _ => {
            let scaled = u32::from(own) * MAX_WEIGHT / heaviest;
            u16::try_from(scaled.max(1)).ok()
        }
    };
    let of_host = |it: &Placed| -> Vec<Member> {
        let addresses = of_family(&it.addresses, of);
        let member = |ip| Member {
            address: SocketAddr::new(ip, it.service.port),
            weight: weight(it.service.weight),
            backup: Some(it.service.priority) != first,
        };
        addresses.into_iter().map(member).collect()
    };
    there().flat_map(of_host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_backups_and_weights_keep_their_proportions() {
        let placed = |priority: u16, weight: u16, port: u16, ips: &[&str]| Placed {
            service: Service {
                priority,
                weight,
                port,
                host: "h".into(),
            },
            addresses: ips.iter().map(|it| it.parse().unwrap()).collect(),
        };
        let check = |all: &[Placed], expected: &[(&str, Option<u16>, bool)]| {
            let found = members(all, &Resolution::default());
            let found: Vec<(String, Option<u16>, bool)> = found
                .iter()
                .map(|it| (it.address.to_string(), it.weight, it.backup))
                .collect();
            let expected: Vec<(String, Option<u16>, bool)> = expected
                .iter()
                .map(|(address, weight, backup)| ((*address).to_owned(), *weight, *backup))
                .collect();
            assert_eq!(found, expected);
        };
        check(&[], &[]);
        let (a, b) = (
            placed(1, 0, 80, &["10.0.0.1"]),
            placed(1, 0, 81, &["10.0.0.1"]),
        );
        check(
            &[a, b],
            &[("10.0.0.1:80", None, false), ("10.0.0.1:81", None, false)],
        );
        check(
            &[
                placed(2, 5, 80, &["10.0.0.2"]),
                placed(1, 10, 80, &["10.0.0.1"]),
            ],
            &[
                ("10.0.0.2:80", Some(5), true),
                ("10.0.0.1:80", Some(10), false),
            ],
        );
        check(
            &[
                placed(1, 60_000, 80, &["10.0.0.1"]),
                placed(1, 30_000, 80, &["10.0.0.2"]),
                placed(1, 0, 80, &["10.0.0.3"]),
            ],
            &[
                ("10.0.0.1:80", Some(256), false),
                ("10.0.0.2:80", Some(128), false),
                ("10.0.0.3:80", Some(1), false),
            ],
        );
        // One without addresses is not there: the next priority is the first.
        check(
            &[placed(1, 1, 80, &[]), placed(7, 1, 80, &["10.0.0.2"])],
            &[("10.0.0.2:80", Some(1), false)],
        );
        // A machine with both families is one target.
        check(
            &[placed(1, 1, 80, &["10.0.0.2", "fd00::2"])],
            &[("10.0.0.2:80", Some(1), false)],
        );
    }
}
