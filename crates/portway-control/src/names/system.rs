//! One look-up of a name or a service: in the files of this machine, and at the servers that they or the configuration name.
//!
//! Files are read for each look-up: they are small, and change without telling. Where `nsswitch.conf` names others who know hosts,
//! the system's own resolver is asked for what DNS does not know.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use portway_core::dns::{Data, Hosts, Kind, Outcome, ResolvConf, asks_others};
use portway_model::resolution::Resolver;
use tokio::time::timeout;

use super::Counters;
use super::client::{Servers, ask};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
const NSSWITCH: &str = "/etc/nsswitch.conf";
/// Time for the system's own resolver.
const SYSTEM_TIMEOUT: Duration = Duration::from_secs(5);
/// Questions to one server where the configuration names servers and not how often: as `/etc/resolv.conf` has it by default.
const ATTEMPTS: u16 = 2;
/// Time for its answer: less than that file has by default, for servers that are near.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How a look-up goes: for IPv4, and for IPv6.
pub(super) type Outcomes = [Outcome; 2];

/// Looks a name up once.
pub(super) async fn look_up(name: &str, resolver: &Resolver, counters: &Counters) -> Outcomes {
    if !resolver.nameservers.is_empty() {
        return both(&own(resolver), name, counters).await;
    }
    let listed = Hosts::read(&text(HOSTS)).find(name);
    if !listed.is_empty() {
        return sorted(listed, resolver.max_ttl);
    }
    let conf = ResolvConf::read(&text(RESOLV_CONF));
    let servers = of_system(resolver, &conf);
    let mut found = [Outcome::Failed, Outcome::Failed];
    for candidate in conf.candidates(name) {
        found = both(&servers, &candidate, counters).await;
        if !found.iter().all(|it| matches!(it, Outcome::Nothing { .. })) {
            break;
        }
    }
    let is_found = found.iter().any(|it| matches!(it, Outcome::Found(..)));
    if !is_found && asks_others(&text(NSSWITCH)) {
        let known = timeout(SYSTEM_TIMEOUT, tokio::net::lookup_host((name, 0))).await;
        let known: Vec<IpAddr> = match known {
            Ok(Ok(known)) => known.map(|it: SocketAddr| it.ip()).collect(),
            _ => Vec::new(),
        };
        if !known.is_empty() {
            return sorted(known, resolver.max_ttl);
        }
    }
    found
}

/// Looks a service up once.
pub(super) async fn look_up_service(
    name: &str,
    resolver: &Resolver,
    counters: &Counters,
) -> Outcome {
    let conf = ResolvConf::read(&text(RESOLV_CONF));
    let (servers, candidates) = match resolver.nameservers.is_empty() {
        true => (of_system(resolver, &conf), conf.candidates(name)),
        false => (own(resolver), vec![name.to_owned()]),
    };
    let mut found = Outcome::Failed;
    for candidate in candidates {
        found = ask(&servers, &candidate, Kind::Srv).await;
        counters.count(&found);
        if !matches!(found, Outcome::Nothing { .. }) {
            break;
        }
    }
    found
}

/// The servers that the configuration names.
fn own(resolver: &Resolver) -> Servers {
    Servers {
        nameservers: resolver.nameservers.clone(),
        attempts: resolver.attempts.unwrap_or(ATTEMPTS),
        timeout: resolver.timeout.unwrap_or(TIMEOUT),
        payload: resolver.payload_size,
    }
}

/// Those of the machine.
fn of_system(resolver: &Resolver, conf: &ResolvConf) -> Servers {
    Servers {
        nameservers: conf.nameservers.clone(),
        attempts: resolver.attempts.unwrap_or(conf.attempts),
        timeout: resolver.timeout.unwrap_or(conf.timeout),
        payload: resolver.payload_size,
    }
}

async fn both(servers: &Servers, name: &str, counters: &Counters) -> Outcomes {
    let (four, six) = tokio::join!(ask(servers, name, Kind::A), ask(servers, name, Kind::Aaaa));
    counters.count(&four);
    counters.count(&six);
    [four, six]
}

fn sorted(all: Vec<IpAddr>, ttl: Duration) -> Outcomes {
    let (four, six): (Vec<IpAddr>, Vec<IpAddr>) = all.into_iter().partition(IpAddr::is_ipv4);
    [four, six].map(|of_family| match of_family.is_empty() {
        true => Outcome::Nothing {
            exists: true,
            ttl: Some(ttl),
        },
        false => Outcome::Found(of_family.into_iter().map(Data::Address).collect(), ttl),
    })
}

/// What a file says; nothing where it cannot be read.
fn text(path: &str) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
