//! Names of targets to addresses: once before a configuration is installed, and again while it runs.
//!
//! The system's resolver answers, without telling how long its answer holds: so each name is asked again every
//! [`AGAIN`]. An address is kept as long as it is among the answers, and the last good one when there is none.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use portway_model::address::{Host, TargetAddress};
use portway_model::choice::FirstAddress;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::snapshot::{Snapshot, Target};
use portway_telemetry::events::{Event, emit};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use crate::health::announce;
use crate::targets::WatchedTarget;

/// Time between two questions for the same name.
pub const AGAIN: Duration = Duration::from_secs(30);
/// Time for one answer; the system's resolver tries each server for five seconds by default.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Resolves every name among `targets` once, all at the same time. A name without answer makes its target unhealthy.
pub async fn resolve_all(targets: &[Arc<WatchedTarget>]) {
    let mut tasks = JoinSet::new();
    for target in targets.iter().filter(|target| name_of(target).is_some()) {
        let target = target.clone();
        tasks.spawn(async move { resolve(&target).await });
    }
    tasks.join_all().await;
}

/// Starts to ask again for every name among `targets`; ends with `tasks`.
pub fn keep_resolving<'t>(
    targets: impl Iterator<Item = &'t Arc<WatchedTarget>>,
    tasks: &mut JoinSet<()>,
) {
    for target in targets.filter(|target| name_of(target).is_some()) {
        let asked = target.clone();
        let task = tasks.spawn(async move {
            let target = asked;
            let mut ticks = interval_at(tokio::time::Instant::now() + AGAIN, AGAIN);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                resolve(&target).await;
            }
        });
        target.is_looked_after_by(task);
    }
}

fn name_of(target: &WatchedTarget) -> Option<(&str, u16)> {
    match &target.target.address {
        TargetAddress::Tcp {
            host: Host::Name(name),
            port,
        } if !target.target.disabled => Some((name, *port)),
        _ => None,
    }
}

async fn resolve(target: &WatchedTarget) {
    let Some((name, port)) = name_of(target) else {
        return;
    };
    let answer = match timeout(TIMEOUT, tokio::net::lookup_host((name, port))).await {
        Ok(answer) => answer.map(Iterator::collect::<Vec<_>>),
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    };
    let before = target.state.address();
    let answer = match (
        answer,
        before.is_none().then(|| fallback(target, port)).flatten(),
    ) {
        (Err(_), Some(address)) => Ok(vec![address]),
        (answer, _) => answer,
    };
    let answer = answer.map_err(|error| in_words(&error));
    let found = answer.and_then(|list| choose(before, &list).ok_or("it has no address".to_owned()));
    match found {
        Ok(address) if before == Some(address) => {}
        Ok(address) => {
            tell(target, Ok(address));
            target.resolved(address);
        }
        Err(why) => {
            tell(target, Err(&why));
            // Else the last good address stays.
            if before.is_none() {
                announce(target, target.unresolved(&why));
            }
        }
    }
}

/// The address that a target begins with where its name does not resolve.
fn fallback(target: &WatchedTarget, port: u16) -> Option<SocketAddr> {
    target
        .target
        .first_address
        .iter()
        .find_map(|from| match from {
            FirstAddress::Ip(ip) => Some(SocketAddr::new(*ip, port)),
            FirstAddress::Last | FirstAddress::Resolver | FirstAddress::None => None,
        })
}

/// Targets whose names must resolve before anything serves, and do not, as HAProxy refuses them at the start, those that are
/// disabled too. Asks the system's resolver, and waits for it.
pub fn check(snapshot: &Snapshot) -> Diagnostics {
    let mut found = Diagnostics::default();
    for target in named(snapshot).filter(|target| !may_wait(target)) {
        if let Err(message) = resolved(target) {
            found.push(
                Diagnostic::error(Code::Install, target.origin.0, message).help(
                    "`first_address = \"none\"` (`init-addr none`) lets it wait for its name",
                ),
            );
        }
    }
    found
}

/// Targets that are down until their names resolve, which they do not now. Asks and waits as [`check`] does.
pub fn waiting(snapshot: &Snapshot) -> Diagnostics {
    let mut found = Diagnostics::default();
    let takes_one = |target: &&Target| {
        let mut from = target.first_address.iter();
        !from.any(|from| matches!(from, FirstAddress::Ip(_)))
    };
    let serves = |target: &&Target| !target.disabled;
    let targets = named(snapshot).filter(serves).filter(may_wait);
    for target in targets.filter(takes_one) {
        if let Err(message) = resolved(target) {
            let help = "it is down until the name resolves";
            found.push(Diagnostic::warning(Code::Install, target.origin.0, message).help(help));
        }
    }
    found
}

/// Targets whose address is a name.
fn named(snapshot: &Snapshot) -> impl Iterator<Item = &Target> {
    let targets = snapshot.groups.iter().flat_map(|group| &group.targets);
    targets.filter(|target| {
        matches!(
            &target.address,
            TargetAddress::Tcp {
                host: Host::Name(_),
                ..
            }
        )
    })
}

fn may_wait(target: &&Target) -> bool {
    let may_wait = |from: &FirstAddress| matches!(from, FirstAddress::None | FirstAddress::Ip(_));
    target.first_address.iter().any(may_wait)
}

/// Whether the name of a target resolves; the error is a message.
fn resolved(target: &Target) -> Result<(), String> {
    let TargetAddress::Tcp {
        host: Host::Name(name),
        port,
    } = &target.address
    else {
        return Ok(());
    };
    let resolved = (name.as_str(), *port).to_socket_addrs();
    let failed =
        |error: &io::Error| format!("could not resolve address `{name}`: {}", in_words(error));
    resolved.map(drop).map_err(|error| failed(&error))
}

fn tell(target: &WatchedTarget, address: Result<SocketAddr, &str>) {
    emit(&Event::TargetResolved {
        target_group: target.group.as_str(),
        target: target.target.name.as_str(),
        address,
    });
}

/// The address in use if it is still among the answers, else the first.
fn choose(before: Option<SocketAddr>, answers: &[SocketAddr]) -> Option<SocketAddr> {
    before
        .filter(|address| answers.contains(address))
        .or_else(|| answers.first().copied())
}

fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    // std's prefix says what the reason says already.
    let known = "failed to lookup address information: ";
    text.strip_prefix(known).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_an_address_that_is_still_good() {
        let check = |before: Option<&str>, answers: &[&str], expected: Option<&str>| {
            let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
            let answers: Vec<_> = answers.iter().map(|it| parse(it)).collect();
            assert_eq!(choose(before.map(parse), &answers), expected.map(parse));
        };
        check(None, &[], None);
        check(None, &["10.0.0.1:80", "10.0.0.2:80"], Some("10.0.0.1:80"));
        check(
            Some("10.0.0.2:80"),
            &["10.0.0.1:80", "10.0.0.2:80"],
            Some("10.0.0.2:80"),
        );
        check(Some("10.0.0.3:80"), &["10.0.0.1:80"], Some("10.0.0.1:80"));
    }
}
