//! Which listener a connection comes to: by the address and port that it is opened to, as the kernel takes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portway_model::address::BindAddress;
use portway_model::snapshot::{Listener, ListenerId, Snapshot};

use super::request::Parts;

/// Where a connection comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) listener: ListenerId,
    /// From 1.
    pub(super) socket_number: u16,
    pub(super) local: SocketAddr,
    /// The address, as the configuration has it.
    pub(super) address: String,
    /// What there is to say about the choice.
    pub(super) note: Option<String>,
}

/// An address of a listener that may be it.
struct Candidate<'s> {
    id: u32,
    listener: &'s Listener,
    number: u16,
    bind: &'s BindAddress,
    ip: Option<IpAddr>,
    port: u16,
}

/// Finds the listener.
///
/// # Errors
/// Why there is none, with those that there are.
pub(super) fn find(
    snapshot: &Snapshot,
    parts: &Parts,
    named: Option<&str>,
) -> Result<Place, String> {
    let all = candidates(snapshot, parts, named);
    let mut note = None;
    let at_port: Vec<&Candidate<'_>> = all.iter().filter(|it| it.port == parts.port).collect();
    let mut fitting: Vec<&Candidate<'_>> = match at_port.is_empty() {
        false => at_port,
        // Who names a listener, or no port, means what there is.
        true if named.is_some() || !parts.says_port => {
            let speaks = |it: &&Candidate<'_>| speaks(it.listener, parts);
            let speaking: Vec<&Candidate<'_>> = all.iter().filter(speaks).collect();
            match speaking.is_empty() {
                true if named.is_some() => all.iter().collect(),
                _ => speaking,
            }
        }
        true => Vec::new(),
    };
    if let Some(address) = parts.address() {
        let is_it = |it: &&Candidate<'_>| it.ip.is_none_or(|ip| reaches(ip, address));
        let reached: Vec<&Candidate<'_>> = fitting.iter().copied().filter(is_it).collect();
        if !reached.is_empty() {
            fitting = reached;
        }
        // The kernel takes the socket that is bound most closely.
        let exact = |it: &&Candidate<'_>| it.ip == Some(address);
        let exact: Vec<&Candidate<'_>> = fitting.iter().copied().filter(exact).collect();
        if !exact.is_empty() {
            fitting = exact;
        }
    } else {
        let speaking = fitting.iter().copied();
        let speaking: Vec<_> = speaking.filter(|it| speaks(it.listener, parts)).collect();
        if !speaking.is_empty() {
            fitting = speaking;
        }
    }
    let Some(first) = fitting.first() else {
        return Err(nobody(snapshot, parts, named));
    };
    if first.port != parts.port && named.is_none() {
        note = Some(format!("no listener accepts on port {}", parts.port));
    }
    let others = fitting.iter().skip(1).filter(|it| it.id != first.id);
    let others: Vec<&str> = others.map(|it| it.listener.name.as_str()).collect();
    if !others.is_empty() && named.is_none() {
        let others = others.join(", ");
        note = Some(format!(
            "{others} might take it too: name one with --listener"
        ));
    }
    Ok(Place {
        listener: ListenerId(first.id),
        socket_number: first.number,
        local: SocketAddr::new(local(first.ip, parts), first.port),
        address: first.bind.to_string(),
        note,
    })
}

/// Every address of the listeners that are asked for.
fn candidates<'s>(
    snapshot: &'s Snapshot,
    parts: &Parts,
    named: Option<&str>,
) -> Vec<Candidate<'s>> {
    let listeners = (0..).zip(&snapshot.listeners);
    let named = listeners.filter(|(_, it)| {
        named.is_none_or(|name| it.name.as_str() == name || it.known_as.as_str() == name)
    });
    let of_one = |(id, listener): (u32, &'s std::sync::Arc<Listener>)| {
        let binds = (1..).zip(&listener.binds);
        binds
            .map(|(number, bind)| {
                let (ip, port) = match &bind.value {
                    BindAddress::Tcp {
                        ip,
                        first_port,
                        last_port,
                    } => {
                        let ip = ip.filter(|ip| !ip.is_unspecified());
                        (ip, parts.port.clamp(*first_port, *last_port))
                    }
                    BindAddress::Unix(_) | BindAddress::Inherited(_) => (None, 0),
                };
                Candidate {
                    id,
                    listener,
                    number,
                    bind: &bind.value,
                    ip,
                    port,
                }
            })
            .collect::<Vec<_>>()
    };
    named.flat_map(of_one).collect()
}

/// True where a listener may be meant by the scheme of a URL.
fn speaks(listener: &Listener, parts: &Parts) -> bool {
    let protocol = listener.protocol;
    match (parts.is_http, protocol.is_http()) {
        // A request may come to a listener that passes bytes on.
        (true, false) | (false, false) => !protocol.is_tls() || parts.is_secure,
        (true, true) => protocol.is_tls() == parts.is_secure,
        (false, true) => false,
    }
}

fn reaches(bound: IpAddr, address: IpAddr) -> bool {
    bound == address
}

/// Our end of the connection.
fn local(bound: Option<IpAddr>, parts: &Parts) -> IpAddr {
    let usual = match bound {
        Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    bound.or(parts.address()).unwrap_or(usual)
}

fn nobody(snapshot: &Snapshot, parts: &Parts, named: Option<&str>) -> String {
    let one = |it: &std::sync::Arc<Listener>| {
        let addresses: Vec<String> = it.binds.iter().map(ToString::to_string).collect();
        let addresses = match addresses.is_empty() {
            true => "without an address: others hand connections over to it".to_owned(),
            false => addresses.join(", "),
        };
        format!("{} ({} {addresses})", it.name, it.protocol.as_str())
    };
    let known: Vec<String> = snapshot.listeners.iter().map(one).collect();
    let known = match known.is_empty() {
        true => "there is none at all".to_owned(),
        false => format!("there are {}", known.join("; ")),
    };
    let has = |name: &str| snapshot.listeners.iter().any(|it| it.name.as_str() == name);
    match named {
        Some(name) if has(name) => format!("nobody connects to listener `{name}`: {known}"),
        Some(name) => format!("no listener is called `{name}`: {known}"),
        None => format!("no listener accepts on port {}: {known}", parts.port),
    }
}
