//! Names of targets to addresses: once before a configuration is installed, and again while it runs, as long as answers hold.
//!
//! `names` asks; here it is decided what an answer means for a target. An address is kept as long as it is among those
//! that count, and the last good one when there is none.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use portway_model::address::{Host, TargetAddress};
use portway_model::choice::FirstAddress;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::resolution::Take;
use portway_model::snapshot::{Snapshot, Target};
use portway_telemetry::events::{Event, emit};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::health::announce;
use crate::members;
use crate::names::{Asked, NameBook, Named};
use crate::targets::WatchedTarget;

/// Addresses of a target that are tried for one connection: with a quarter of a second between two of them, no more have a turn
/// before the time to connect is over.
const MAX_WAYS: usize = 8;
/// Time for the first answers of all names together: whoever waits for them has something better to do.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Why a target has no address whose name nobody has spoken of.
pub(crate) const NO_ANSWER: &str = "no server of names has answered yet";

/// Asks for every name among `targets`, all at the same time, and waits a while for the answers. What is stays as it is:
/// [`settle_all`] takes them in.
pub(crate) async fn hear_all(targets: &[Arc<WatchedTarget>], names: &NameBook) {
    let asked: Vec<Arc<Asked>> = targets
        .iter()
        .filter_map(|target| {
            let named = name_of(target)?;
            let asked = names.ask(named, &target.target.resolve.resolver);
            target.asks(asked.clone());
            Some(asked)
        })
        .collect();
    let all = async {
        for one in &asked {
            one.heard().await;
        }
    };
    // Who is late is heard later.
    let _ = timeout(TIMEOUT, all).await;
}

/// Takes in what is known of the names of these. A name without answer makes its target unhealthy.
pub(crate) fn settle_all(targets: &[Arc<WatchedTarget>]) {
    for target in targets {
        if let Some(asked) = target.asked() {
            settle(target, &asked);
        }
    }
}

/// Starts to listen for what becomes of every name among `targets`; ends with `tasks`.
pub(crate) fn keep_resolving<'t>(
    targets: impl Iterator<Item = &'t Arc<WatchedTarget>>,
    names: &NameBook,
    tasks: &mut JoinSet<()>,
) {
    for target in targets {
        if let Some((named, written)) = members::name_of_member(&target.target) {
            // Its name is asked for as long as there is one of its members.
            target.asks(names.ask(named, &written.resolve.resolver));
        }
        let Some(named) = name_of(target) else {
            continue;
        };
        let asked = names.ask(named, &target.target.resolve.resolver);
        target.asks(asked.clone());
        let told = target.clone();
        let task = tasks.spawn(async move {
            let mut news = asked.follow();
            // It may have come since somebody looked.
            settle(&told, &asked);
            while news.changed().await.is_ok() {
                settle(&told, &asked);
            }
        });
        target.is_looked_after_by(task);
    }
}

/// The name of a target that has one, also where it is disabled: a command may put it to work.
fn name_of(target: &WatchedTarget) -> Option<Named<'_>> {
    Named::of(&target.target.address)
}

/// Takes in what is known of the name of a target.
fn settle(target: &WatchedTarget, asked: &Asked) {
    let Some(Named { port, .. }) = name_of(target) else {
        return;
    };
    let resolution = &target.target.resolve;
    let has_places = !asked.places(resolution, port).is_empty();
    if resolution.take == Take::All && has_places {
        // Its members come in its place.
        return;
    }
    let before = target.state.address();
    let address = asked.choose(target.group.as_str(), &target.state, resolution, port);
    if let Some(port) = port.filter(|_| resolution.take == Take::First) {
        let ways = address.map_or_else(Vec::new, |first| {
            in_turns(first.ip(), asked.addresses(resolution))
        });
        let ways: Vec<SocketAddr> = ways.into_iter().map(|ip| (ip, port).into()).collect();
        target.state.set_others(&ways);
    }
    let first = || before.is_none().then(|| fallback(target, port?)).flatten();
    match address.or_else(first) {
        Some(address) if before == Some(address) => {}
        Some(address) => {
            tell(target, Ok(address));
            announce(target, target.resolved(address));
        }
        None => {
            let answer = asked.answer();
            let others_have_all = resolution.take == Take::Distinct && has_places;
            let why = match answer.why {
                _ if others_have_all => "others of its group have all of its addresses",
                Some(why) => why,
                None => NO_ANSWER,
            };
            // The last good address stays as long as it may.
            let is_lost = answer.is_lost || others_have_all;
            let is_news = match before {
                Some(_) => is_lost,
                None => !target.is_unresolved_because(why),
            };
            if is_news {
                tell(target, Err(why));
                announce(target, target.unresolved(why));
            }
        }
    }
}

/// Addresses in the order in which they are tried: `first`, then the families in turns, the other one to begin with (RFC 8305
/// section 4).
pub(crate) fn in_turns(first: IpAddr, mut all: Vec<IpAddr>) -> Vec<IpAddr> {
    all.retain(|ip| *ip != first);
    let (same, other): (Vec<IpAddr>, Vec<IpAddr>) = all
        .into_iter()
        .partition(|ip| ip.is_ipv4() == first.is_ipv4());
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut ways = vec![first];
    while ways.len() < MAX_WAYS {
        let before = ways.len();
        ways.extend(other.next());
        ways.extend(same.next());
        if ways.len() == before {
            break;
        }
    }
    ways.truncate(MAX_WAYS);
    ways
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
    // What other servers than the system's know is not asked of the system.
    let of_system = |target: &&Target| target.resolve.resolver.nameservers.is_empty();
    let targets = named(snapshot)
        .filter(serves)
        .filter(of_system)
        .filter(may_wait);
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
    fn families_are_tried_in_turns() {
        let check = |first: &str, all: &[&str], expected: &[&str]| {
            let parse = |it: &&str| it.parse::<IpAddr>().unwrap();
            let ways = in_turns(parse(&first), all.iter().map(parse).collect());
            let ways: Vec<String> = ways.iter().map(ToString::to_string).collect();
            assert_eq!(ways, expected);
        };
        check("10.0.0.1", &["10.0.0.1"], &["10.0.0.1"]);
        check(
            "10.0.0.1",
            &["fd00::1", "fd00::2", "10.0.0.1", "10.0.0.2"],
            &["10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2"],
        );
        let many: Vec<String> = (1..20).map(|it| format!("10.0.0.{it}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check("10.0.0.1", &many, &many[..MAX_WAYS]);
    }
}
