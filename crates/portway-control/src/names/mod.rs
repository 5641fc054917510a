//! Names that are asked for: each one once, however many targets have it, and again when its answer is over.
//!
//! ```text
//!   target ─▶ NameBook::ask ─▶ Asked ◀── task: look up ▸ take in ▸ tell ▸ wait until it is due
//!                                          system.rs, client.rs   core::dns::Known
//! ```
//!
//! [`Asked`] lives as long as somebody holds it: with the last target that has the name its task ends. What a target makes of the
//! addresses is decided in [`crate::resolve`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use portway_core::dns::{Data, Known, Outcome, Terms, settle};
use portway_dataplane::live::TargetState;
use portway_model::address::{Host, TargetAddress};
use portway_model::members::Member;
use portway_model::resolution::{Family, Resolution, Resolver, Take};
use portway_telemetry::metrics::{NameFigures, NameResult};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

mod client;
mod handed;
mod services;
mod system;
#[cfg(test)]
mod tests;

use crate::health::chance;
use handed::Handed;
pub(crate) use handed::NamePart;

/// Names that are asked for, by what is asked of whom.
#[derive(Debug, Default)]
pub(crate) struct NameBook {
    asked: Mutex<HashMap<Key, Weak<Asked>>>,
    counters: Arc<Counters>,
    /// Rung when other addresses count.
    news: Arc<Notify>,
}

/// Names that nobody asks for any more are forgotten when so many are known, and twice as many as were left then.
const FORGET_FROM: usize = 64;

/// What a target is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named<'t> {
    /// The name.
    pub(crate) name: &'t str,
    /// Its port; `None`: SRV records of the name say it.
    pub(crate) port: Option<u16>,
}

impl<'t> Named<'t> {
    /// Of what lives there; `None`: it has no name.
    pub(crate) fn of(address: &'t TargetAddress) -> Option<Self> {
        match address {
            TargetAddress::Tcp {
                host: Host::Name(name),
                port,
            } => Some(Self {
                name,
                port: Some(*port),
            }),
            TargetAddress::Service(name) => Some(Self { name, port: None }),
            _ => None,
        }
    }
}

/// A name, and who is asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    name: String,
    /// By SRV records.
    is_service: bool,
    resolver: Arc<Resolver>,
}

/// Look-ups by how they went.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    results: [AtomicU64; NameResult::ALL.len()],
}

impl Counters {
    pub(crate) fn count(&self, outcome: &Outcome) {
        let result = match outcome {
            Outcome::Found(..) => NameResult::Found,
            Outcome::Nothing { .. } => NameResult::Nothing,
            Outcome::Refused => NameResult::Refused,
            Outcome::Silent => NameResult::Timeout,
            Outcome::Failed => NameResult::Failed,
        };
        if let Some(counter) = self.results.get(result as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is known of a name now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// Addresses that count: those first that this machine rather reaches.
    pub(crate) addresses: Vec<IpAddr>,
    /// Hosts of a service that count.
    services: Vec<services::Placed>,
    /// Why the latest look-up gave no address; `None` where it gave one.
    pub(crate) why: Option<&'static str>,
    /// There were addresses, and the time is over for which they hold.
    pub(crate) is_lost: bool,
    /// Look-ups so far.
    looks: u64,
    /// When the oldest of what counts was heard.
    good_at: Option<Instant>,
}

/// A name that is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    answer: watch::Receiver<Answer>,
    task: AbortHandle,
    /// Addresses that targets have which share none.
    taken: Mutex<Vec<Taken>>,
    /// What another process knew.
    handed: Arc<Handed>,
}

/// An address that one target of a group has, and no other of this name.
#[derive(Debug)]
struct Taken {
    group: String,
    by: Weak<TargetState>,
    at: SocketAddr,
}

impl NameBook {
    /// Asks for a name of this resolver from now on, until nobody holds what is given. To be called within a runtime.
    pub(crate) fn ask(&self, named: Named<'_>, resolver: &Arc<Resolver>) -> Arc<Asked> {
        let key = Key {
            name: named.name.to_owned(),
            is_service: named.port.is_none(),
            resolver: resolver.clone(),
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = asked.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        if asked.len() >= FORGET_FROM && asked.len() == asked.capacity() {
            asked.retain(|_, it| it.strong_count() > 0);
        }
        let (sender, answer) = watch::channel(Answer::default());
        let told = (self.counters.clone(), self.news.clone());
        let handed = Arc::new(Handed::default());
        let task = match key.is_service {
            true => tokio::spawn(services::keep_asking(key.clone(), sender, told)),
            false => tokio::spawn(keep_asking(key.clone(), sender, told, handed.clone())),
        };
        let new = Arc::new(Asked {
            answer,
            task: task.abort_handle(),
            taken: Mutex::default(),
            handed,
        });
        asked.insert(key, Arc::downgrade(&new));
        new
    }

    /// Waits until other addresses count for any name; what came since the call before counts. For one who waits.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// What is told of them in metrics.
    pub(crate) fn figures(&self) -> NameFigures {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let living = asked.values().filter_map(Weak::upgrade);
        let ages = living.filter_map(|it| it.answer.borrow().good_at.map(|at| at.elapsed()));
        let value = |it: &AtomicU64| it.load(Ordering::Relaxed);
        NameFigures {
            results: self.counters.results.each_ref().map(value),
            oldest: ages.max().unwrap_or_default(),
        }
    }
}

impl Asked {
    /// What is known now.
    pub(crate) fn answer(&self) -> Answer {
        self.answer.borrow().clone()
    }

    /// Waits for the first look-up.
    pub(crate) async fn heard(&self) {
        let mut answer = self.answer.clone();
        // It ends with the task, which ends with this.
        let _ = answer.wait_for(|it| it.looks > 0).await;
    }

    /// Comes back after each look-up from now on.
    pub(crate) fn follow(&self) -> watch::Receiver<Answer> {
        let mut answer = self.answer.clone();
        answer.mark_unchanged();
        answer
    }

    /// The addresses of an answer that a target takes into account.
    pub(crate) fn addresses(&self, of: &Resolution) -> Vec<IpAddr> {
        let answer = self.answer.borrow();
        let of_family = |it: &&IpAddr| match of.prefer {
            Some(Family::Ipv4) => it.is_ipv4(),
            Some(Family::Ipv6) => it.is_ipv6(),
            None => true,
        };
        let preferred: Vec<IpAddr> = answer.addresses.iter().filter(of_family).copied().collect();
        match preferred.is_empty() {
            true => answer.addresses.clone(),
            false => preferred,
        }
    }

    /// Every place that a target takes into account which stands for many, or which shares none. A machine with both families is one
    /// place.
    pub(crate) fn places(&self, of: &Resolution, port: Option<u16>) -> Vec<Member> {
        let answer = self.answer.borrow();
        match port {
            Some(port) => {
                let addresses = of_family(&answer.addresses, of).into_iter();
                addresses.map(|ip| Member::at((ip, port).into())).collect()
            }
            None => services::members(&answer.services, of),
        }
    }

    /// The address that a target has from now on, where the name has one for it: the one that it has if it is still good.
    pub(crate) fn choose(
        &self,
        group: &str,
        target: &Arc<TargetState>,
        resolution: &Resolution,
        port: Option<u16>,
    ) -> Option<SocketAddr> {
        let before = target.address();
        if let Some(port) = port.filter(|_| resolution.take != Take::Distinct) {
            let addresses = self.addresses(resolution).into_iter();
            let all: Vec<SocketAddr> = addresses.map(|ip| (ip, port).into()).collect();
            return choose(before, &of_networks(all, resolution));
        }
        let places: Vec<SocketAddr> = {
            let places = self.places(resolution, port).into_iter();
            places.map(|it| it.address).collect()
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|it| {
            let is_own = it.by.as_ptr() == Arc::as_ptr(target);
            let is_there = it.group != group || places.contains(&it.at);
            !is_own && it.by.strong_count() > 0 && is_there
        });
        let is_free = |at: &SocketAddr| !taken.iter().any(|it| it.group == group && it.at == *at);
        let free: Vec<SocketAddr> = places.into_iter().filter(is_free).collect();
        let at = choose(before, &of_networks(free, resolution))?;
        taken.push(Taken {
            group: group.to_owned(),
            by: Arc::downgrade(target),
            at,
        });
        Some(at)
    }
}

impl Asked {
    /// What this one has is free for others that share none: it is no more.
    pub(crate) fn forget(&self, target: &Arc<TargetState>) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|it| it.by.as_ptr() != Arc::as_ptr(target));
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The address in use if it is still among the answers, else the first.
fn choose(before: Option<SocketAddr>, answers: &[SocketAddr]) -> Option<SocketAddr> {
    before
        .filter(|address| answers.contains(address))
        .or_else(|| answers.first().copied())
}

/// Looks a name up again and again.
async fn keep_asking(
    key: Key,
    sender: watch::Sender<Answer>,
    (counters, news): (Arc<Counters>, Arc<Notify>),
    handed: Arc<Handed>,
) {
    let begun = Instant::now();
    let terms = terms(&key.resolver);
    let mut families = [Known::default(), Known::default()];
    let take_over = |part: NamePart, families: &mut [Known; 2]| {
        if part.settle(families, begun, &terms) {
            sender.send_modify(|answer| put(answer, families, begun));
            news.notify_one();
        }
    };
    loop {
        let outcomes = {
            let mut looking = pin!(system::look_up(&key.name, &key.resolver, &counters));
            loop {
                tokio::select! {
                    outcomes = &mut looking => break outcomes,
                    part = handed.taken() => take_over(part, &mut families),
                }
            }
        };
        let settled = settle(outcomes.clone());
        let now = begun.elapsed();
        let chance = chance_of();
        let mut is_news = false;
        for (known, outcome) in families.iter_mut().zip(&settled) {
            is_news |= known.heard(outcome, now, chance, &terms);
        }
        sender.send_modify(|answer| {
            answer.looks += 1;
            answer.why = why(&outcomes);
            put(answer, &families, begun);
        });
        if is_news {
            news.notify_one();
        }
        let due = families.iter().map(Known::due).min().unwrap_or_default();
        let mut pause = pin!(tokio::time::sleep(due.saturating_sub(begun.elapsed())));
        loop {
            tokio::select! {
                () = &mut pause => break,
                part = handed.taken() => take_over(part, &mut families),
            }
        }
    }
}

/// Says what is known of both families, which is asked for since `begun`.
fn put(answer: &mut Answer, families: &[Known; 2], begun: Instant) {
    answer.addresses = ranked(families);
    let good_at = families.iter().filter(|it| it.data().next().is_some());
    let good_at = good_at.filter_map(Known::good_at).min();
    let had_some = families.iter().any(|it| it.good_at().is_some());
    answer.is_lost = answer.addresses.is_empty() && had_some;
    answer.good_at = good_at.and_then(|it| begun.checked_add(it));
}

/// How long answers hold.
fn terms(of: &Resolver) -> Terms {
    Terms {
        min_ttl: of.min_ttl,
        max_ttl: of.max_ttl,
        hold: of.hold,
    }
}

/// Any number.
fn chance_of() -> u32 {
    (chance() % u64::from(u32::MAX)) as u32
}

/// The addresses of one family: the preferred one where it has any, else that of the first.
fn of_family(all: &[IpAddr], of: &Resolution) -> Vec<IpAddr> {
    let is_preferred = |it: &IpAddr| match of.prefer {
        Some(Family::Ipv4) => it.is_ipv4(),
        Some(Family::Ipv6) => it.is_ipv6(),
        None => true,
    };
    let first = all
        .iter()
        .copied()
        .find(is_preferred)
        .or(all.first().copied());
    let is_of_it = |it: &IpAddr| first.is_some_and(|first| first.is_ipv4() == it.is_ipv4());
    all.iter().copied().filter(is_of_it).collect()
}

/// All of them, those of the networks that are preferred first.
fn of_networks(mut all: Vec<SocketAddr>, of: &Resolution) -> Vec<SocketAddr> {
    all.sort_by_key(|it| !of.networks.iter().any(|net| net.contains(&it.ip())));
    all
}

/// Why a look-up gave no address; `None` where it gave one.
fn why(outcomes: &[Outcome]) -> Option<&'static str> {
    let rank = |it: &Outcome| match it {
        Outcome::Found(..) => (0, None),
        Outcome::Nothing { exists: true, .. } => (4, Some("it has no address")),
        Outcome::Nothing { exists: false, .. } => (5, Some("there is no such name")),
        Outcome::Refused => (3, Some("servers of names refuse to answer")),
        Outcome::Silent => (1, Some("no server of names answers in time")),
        Outcome::Failed => (2, Some("servers of names fail")),
    };
    let worst = outcomes.iter().map(rank).min_by_key(|(rank, _)| *rank);
    worst.and_then(|(_, why)| why)
}

/// All addresses: those first that this machine rather reaches (RFC 6724 section 6, rules 1 and 6), else in the order of the
/// answers.
fn ranked(families: &[Known]) -> Vec<IpAddr> {
    let data = families.iter().flat_map(Known::data);
    let mut addresses: Vec<(u8, IpAddr)> = data
        .filter_map(|it| match it {
            Data::Address(ip) => Some((rank(*ip), *ip)),
            Data::Service(_) => None,
        })
        .collect();
    addresses.sort_by_key(|(rank, _)| *rank);
    addresses.into_iter().map(|(_, ip)| ip).collect()
}

fn rank(ip: IpAddr) -> u8 {
    let own: IpAddr = match ip {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    // Nothing is sent: the system only says whether it has a way there.
    let way = UdpSocket::bind((own, 0)).and_then(|socket| socket.connect((ip, 9)));
    match (way, ip) {
        (Err(_), _) => 3,
        (Ok(()), IpAddr::V6(ip)) if ip.is_unique_local() => 2,
        (Ok(()), IpAddr::V4(_)) => 1,
        (Ok(()), IpAddr::V6(_)) => 0,
    }
}
