//! Why an address could not be bound, in words that a person can act on.

use std::io;
use std::net::IpAddr;

use portway_model::address::BindAddress;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::name::Name;
use portway_model::span::Span;
use rustix::io::Errno;

use super::Place;
use super::owner::Owners;

/// What went wrong with `place` of the listener `name`.
pub(super) fn explain(
    (name, span): (&Name, Span),
    place: &Place,
    error: &io::Error,
    owners: &Owners,
) -> Diagnostic {
    explain_for(&format!("listener `{name}`"), span, (place, error), owners)
}

/// As [`explain`], for anything that binds.
pub(super) fn explain_for(
    who: &str,
    span: Span,
    (place, error): (&Place, &io::Error),
    owners: &Owners,
) -> Diagnostic {
    let printed = match place {
        Place::Tcp { ip, port } => BindAddress::tcp(*ip, *port).to_string(),
        Place::Unix(socket) => format!("unix:{}", socket.path),
        Place::Inherited(number) => format!("fd:{number}"),
    };
    let (reason, help) = match place {
        Place::Tcp { ip, port } => tcp_reason(*ip, *port, error, owners),
        Place::Unix(_) => unix_reason(error),
        Place::Inherited(_) => inherited_reason(error),
    };
    let message = format!("{who} cannot listen on {printed}: {reason}");
    let diagnostic = Diagnostic::error(Code::Install, span, message);
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

fn tcp_reason(
    ip: Option<IpAddr>,
    port: u16,
    error: &io::Error,
    owners: &Owners,
) -> (String, Option<String>) {
    match errno(error) {
        Some(Errno::ADDRINUSE) => {
            let reason = match owners.of_port(ip, port) {
                Some(owner) => format!("another program is listening there: {owner}"),
                None => "another program is listening there".to_owned(),
            };
            (reason, Some("stop that program, or choose another port".to_owned()))
        }
        Some(Errno::ACCESS | Errno::PERM) => (
            format!("port {port} needs CAP_NET_BIND_SERVICE or root"),
            Some(
                "give the program the capability (`setcap cap_net_bind_service=+ep`, or \
                 `AmbientCapabilities=CAP_NET_BIND_SERVICE` in a systemd unit), or choose a port from 1024 on"
                    .to_owned(),
            ),
        ),
        Some(Errno::ADDRNOTAVAIL) => (
            "this machine has no such address".to_owned(),
            Some("`ip address` lists those it has; `:PORT` means all of them".to_owned()),
        ),
        Some(Errno::AFNOSUPPORT) => ("this machine has no IPv6".to_owned(), None),
        _ => other(error),
    }
}

fn unix_reason(error: &io::Error) -> (String, Option<String>) {
    match (errno(error), error.kind()) {
        (Some(Errno::ADDRINUSE), _) | (_, io::ErrorKind::AddrInUse) => (
            "another program is listening there".to_owned(),
            Some("stop that program, or choose another path".to_owned()),
        ),
        (_, io::ErrorKind::NotFound) => ("its folder does not exist".to_owned(), None),
        (_, io::ErrorKind::PermissionDenied) => {
            ("the file system does not permit it".to_owned(), None)
        }
        _ => other(error),
    }
}

fn inherited_reason(error: &io::Error) -> (String, Option<String>) {
    match errno(error) {
        Some(Errno::BADF) => (
            "no descriptor of this number is open".to_owned(),
            Some("whoever starts Portway must leave a listening socket open under it".to_owned()),
        ),
        _ => other(error),
    }
}

fn other(error: &io::Error) -> (String, Option<String>) {
    match errno(error) {
        Some(Errno::MFILE | Errno::NFILE) => (
            "the limit of open files is reached".to_owned(),
            Some("raise it: `ulimit -n`, or `LimitNOFILE=` in a systemd unit".to_owned()),
        ),
        _ => (error.to_string(), None),
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}
