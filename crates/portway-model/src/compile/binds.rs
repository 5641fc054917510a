//! Addresses that listeners and the admin address accept on: each is possible, none is taken twice.
//!
//! Of two that cover each other, as `:80` and `127.0.0.1:80`, the kernel gives a connection to the one that says more.

use super::limits::MAX_SOCKET_PATH;
use crate::address::{BindAddress, UnixSocket};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::Draft;
use crate::name::Name;
use crate::span::{Span, Spanned};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

/// An address with who accepts on it.
struct Bound<'a> {
    /// Index of the listener; `None`: the admin address.
    listener: Option<usize>,
    name: Option<&'a Name>,
    address: BindAddress,
    interface: Option<&'a str>,
    shared: bool,
    span: Span,
}

impl Bound<'_> {
    fn owner(&self) -> String {
        match self.name {
            Some(name) => format!("listener `{name}`"),
            None => "the admin address".to_owned(),
        }
    }
}

/// Reports impossible addresses and those that two accept on.
pub(super) fn check(draft: &Draft, admin: SocketAddr, found: &mut Diagnostics) {
    let mut bound = Vec::new();
    for (index, listener) in draft.listeners.iter().enumerate() {
        let interface = listener.socket.interface.as_ref();
        for bind in &listener.binds {
            if possible(bind, found) {
                bound.push(Bound {
                    listener: Some(index),
                    name: Some(&listener.name.value),
                    address: bind.value.clone(),
                    interface: interface.map(|it| it.value.as_str()),
                    shared: listener.socket.shared.is_some_and(|it| it.value),
                    span: bind.span,
                });
            }
        }
    }
    bound.push(Bound {
        listener: None,
        name: None,
        address: BindAddress::tcp(Some(admin.ip()), admin.port()),
        interface: None,
        shared: false,
        span: draft.process.admin.map_or(Span::NONE, |admin| admin.span),
    });
    check_ports(&bound, found);
    check_others(&bound, found);
}

pub(super) fn possible(bind: &Spanned<BindAddress>, found: &mut Diagnostics) -> bool {
    let wrong = match &bind.value {
        BindAddress::Tcp { first_port: 0, .. } => "port 0 cannot be accepted on",
        BindAddress::Tcp {
            first_port,
            last_port,
            ..
        } if first_port > last_port => "the range of ports ends before it begins",
        BindAddress::Unix(socket) => match wrong_socket(socket) {
            Some(wrong) => wrong,
            None => return true,
        },
        _ => return true,
    };
    found.push(Diagnostic::error(Code::OutOfRange, bind.span, wrong));
    false
}

/// What is wrong with a UNIX socket.
fn wrong_socket(socket: &UnixSocket) -> Option<&'static str> {
    let path = socket.path.as_str();
    let owned = socket.mode.is_some() || socket.user.is_some() || socket.group.is_some();
    let empty = |name: &Option<String>| name.as_deref().is_some_and(str::is_empty);
    if path.is_empty() || path == "@" {
        Some("the socket has no path")
    } else if path.len() > MAX_SOCKET_PATH {
        Some("the path of the socket is longer than 107 bytes")
    } else if path.contains('\0') {
        Some("the path of the socket holds a NUL")
    } else if path.starts_with('@') && owned {
        Some("an abstract socket has neither mode nor owner")
    } else if socket.mode.is_some_and(|mode| mode.0 > 0o777) {
        Some("the mode of a socket is at most 777")
    } else if empty(&socket.user) || empty(&socket.group) {
        Some("the owner of the socket has no name")
    } else {
        None
    }
}

/// Compares what overlaps in ports; sorted by first port, so that many listeners stay cheap.
fn check_ports(bound: &[Bound<'_>], found: &mut Diagnostics) {
    let mut ports: Vec<(u16, u16, Option<IpAddr>, usize)> = Vec::new();
    for (index, bound) in bound.iter().enumerate() {
        if let BindAddress::Tcp {
            ip,
            first_port,
            last_port,
        } = bound.address
        {
            ports.push((first_port, last_port, ip, index));
        }
    }
    ports.sort_by_key(|&(first, _, _, index)| (first, index));
    // One conflict is enough for an address: thousands on one port are not millions of diagnostics.
    let mut reported: HashSet<usize> = HashSet::new();
    for (position, &(_, last, ip, index)) in ports.iter().enumerate() {
        if found.is_full() {
            return;
        }
        let after = ports.iter().skip(position + 1);
        for &(_, _, other_ip, other) in after.take_while(|&&(first, ..)| first <= last) {
            let pair = (bound.get(index.min(other)), bound.get(index.max(other)));
            let (Some(first), Some(second)) = pair else {
                continue;
            };
            // The admin address is nobody else's.
            let meets = match second.listener {
                None => overlap(ip, other_ip),
                Some(_) if first.shared && second.shared => false,
                Some(_) => same(ip, other_ip) && first.interface == second.interface,
            };
            if meets && !found.is_full() && reported.insert(other) {
                found.push(conflict(first, second));
            }
        }
    }
}

/// True where neither says more than the other of which connections are meant.
fn same(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    let everywhere = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
    a == b || overlap(a, b) && everywhere(a) && everywhere(b)
}

/// True where a connection could be meant for both.
fn overlap(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return true;
    };
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}

fn check_others(bound: &[Bound<'_>], found: &mut Diagnostics) {
    let mut seen: HashMap<&BindAddress, &Bound<'_>> = HashMap::new();
    for second in bound {
        if matches!(second.address, BindAddress::Tcp { .. }) {
            continue;
        }
        match seen.get(&second.address) {
            Some(first) => found.push(conflict(first, second)),
            None => {
                seen.insert(&second.address, second);
            }
        }
    }
}

fn conflict(first: &Bound<'_>, second: &Bound<'_>) -> Diagnostic {
    if first.listener == second.listener {
        return Diagnostic::error(
            Code::Duplicate,
            second.span,
            format!("{} accepts on `{}` twice", second.owner(), second.address),
        )
        .label(first.span, format!("here it does on `{}`", first.address));
    }
    // The admin address stands last: the listener is the place that has a text for sure.
    let (shown, other) = if second.listener.is_none() {
        (first, second)
    } else {
        (second, first)
    };
    let found = Diagnostic::error(
        Code::AddressInUse,
        shown.span,
        format!(
            "{} and {} both accept on `{}`",
            other.owner(),
            shown.owner(),
            shown.address
        ),
    )
    .label(
        other.span,
        format!("{} accepts on `{}`", other.owner(), other.address),
    );
    if second.listener.is_none() {
        found.help("give the process another `admin` address, or the listener another port")
    } else {
        found
    }
}
