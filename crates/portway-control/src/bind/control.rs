//! Control sockets: bound while the process may still do everything, served by whoever takes them.

use std::io;

pub use portway_dataplane::worker::Socket;
use portway_model::address::{BindAddress, UnixSocket};
use portway_model::diagnostic::{Diagnostic, Diagnostics};
use portway_model::settings::{ControlLevel, SocketOptions};
use portway_model::snapshot::{ControlSocket, Process};

use super::{
    Neighbour, Owners, Place, SocketFiles, another_tcp, fault, inherited, is_free, listens,
    taken_tcp, unix,
};

/// Connections to a control socket that wait to be accepted: a few tools at once.
const BACKLOG: i32 = 64;

/// A control socket that is bound and listening, non-blocking.
#[derive(Debug)]
pub struct ControlListener {
    /// The socket.
    pub socket: Socket,
    /// What may be done on it.
    pub level: ControlLevel,
    /// Where it listens, in HAProxy's words.
    pub name: String,
    /// Another process may be given the listening sockets over it.
    pub exposes: bool,
}

/// Binds control sockets.
///
/// # Errors
/// One diagnostic for each that cannot be had; nothing stays bound then.
pub fn bind(
    sockets: &[ControlSocket],
    neighbour: &Neighbour,
    files: &mut SocketFiles,
) -> Result<Vec<ControlListener>, Diagnostics> {
    let mut failed = Diagnostics::default();
    let mut bound = Vec::new();
    for socket in sockets {
        match open(socket, neighbour, files) {
            Ok(listening) => bound.push(ControlListener {
                socket: listening,
                level: socket.level,
                name: name(&socket.bind.value),
                exposes: socket.expose_listeners,
            }),
            Err(diagnostic) => failed.push(diagnostic),
        }
    }
    if failed.has_errors() {
        return Err(failed);
    }
    files.put_in_place().map_err(super::not_in_place)?;
    Ok(bound)
}

fn name(address: &BindAddress) -> String {
    match address {
        BindAddress::Unix(socket) => match socket.path.strip_prefix('@') {
            Some(name) => format!("abns@{name}"),
            None => format!("unix@{}", socket.path),
        },
        BindAddress::Tcp { ip, first_port, .. } => match ip {
            Some(ip) if ip.is_ipv6() => format!("ipv6@{ip}:{first_port}"),
            Some(ip) => format!("ipv4@{ip}:{first_port}"),
            None => format!("ipv4@0.0.0.0:{first_port}"),
        },
        BindAddress::Inherited(number) => format!("fd@{number}"),
    }
}

fn open(
    socket: &ControlSocket,
    neighbour: &Neighbour,
    files: &mut SocketFiles,
) -> Result<Socket, Diagnostic> {
    let place = place(socket);
    let opened = match &place {
        Place::Tcp { ip, port } => {
            let free = match neighbour.may_share(&place) {
                true => Ok(()),
                false => is_free(&place, &SocketOptions::PLAIN),
            };
            let taken = free
                .and_then(|()| taken_tcp(*ip, *port, &SocketOptions::PLAIN, BACKLOG, neighbour));
            let opened = taken.and_then(|taken| match taken.into_iter().find(listens) {
                Some(taken) => Ok(taken),
                None => another_tcp(*ip, *port, &SocketOptions::PLAIN, Some(BACKLOG)),
            });
            opened.map(Socket::Tcp)
        }
        Place::Unix(unix) => unix::listen(unix, BACKLOG, neighbour, files).map(Socket::Unix),
        Place::Inherited(number) => inherited(*number),
    };
    opened.map_err(|error| explain(socket, &place, &error))
}

pub(super) fn place(socket: &ControlSocket) -> Place {
    match &socket.bind.value {
        BindAddress::Tcp { ip, first_port, .. } => Place::Tcp {
            ip: *ip,
            port: *first_port,
        },
        BindAddress::Unix(unix) => Place::Unix(UnixSocket {
            path: unix.path.clone(),
            mode: socket.mode.or(unix.mode),
            user: socket.user.clone().or(unix.user.clone()),
            group: socket.group.clone().or(unix.group.clone()),
        }),
        BindAddress::Inherited(number) => Place::Inherited(*number),
    }
}

fn explain(socket: &ControlSocket, place: &Place, error: &io::Error) -> Diagnostic {
    let owners = Owners::default();
    fault::explain_for(
        "a control socket",
        socket.bind.span,
        (place, error),
        &owners,
    )
}

/// Checks what could be bound now; binds nothing.
pub(super) fn check(process: &Process, neighbour: &Neighbour) -> Diagnostics {
    let mut found = Diagnostics::default();
    for socket in &process.control_sockets {
        let place = place(socket);
        if neighbour.may_share(&place) {
            continue;
        }
        if let Err(error) = is_free(&place, &SocketOptions::PLAIN) {
            found.push(explain(socket, &place, &error));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::settings::FileMode;
    use portway_model::span::Spanned;
    use std::os::unix::fs::PermissionsExt;

    fn leaving() -> Neighbour {
        Neighbour::Leaving(super::super::Handover::default())
    }

    fn process(sockets: Vec<ControlSocket>) -> Process {
        let compiled = crate::sources::compile_text(
            "test.toml",
            "[listener.a]\nbind = '127.0.0.1:1'\nforward = 'b'\n[target_group.b]\ntargets = '127.0.0.1:2'\n",
        );
        let mut process = compiled.snapshot.unwrap().process;
        process.control_sockets = sockets;
        process
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_takes_the_place_of_an_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock").to_str().unwrap().to_owned();
        let socket = ControlSocket {
            bind: Spanned::bare(BindAddress::unix(&path)),
            level: ControlLevel::Admin,
            mode: Some(FileMode(0o640)),
            user: None,
            group: None,
            expose_listeners: true,
        };
        let process = process(vec![socket]);
        let mut files = SocketFiles::default();
        let first = bind(&process.control_sockets, &Neighbour::None, &mut files).unwrap();
        assert_eq!(first[0].name, format!("unix@{path}"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let failed = bind(&process.control_sockets, &Neighbour::None, &mut files).unwrap_err();
        assert!(failed.has_errors());
        let second = bind(&process.control_sockets, &leaving(), &mut files).unwrap();
        let connected = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let Socket::Unix(listener) = &second[0].socket else {
            panic!("not a UNIX socket");
        };
        assert!(listener.accept().is_ok());
        drop((first, connected));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn unknown_owners_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let socket = ControlSocket {
            bind: Spanned::bare(BindAddress::unix(folder.path().join("x").to_str().unwrap())),
            level: ControlLevel::User,
            mode: None,
            user: Some("nobody-of-this-name".to_owned()),
            group: None,
            expose_listeners: false,
        };
        let found = bind(&[socket], &Neighbour::None, &mut SocketFiles::default()).unwrap_err();
        let text: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
        assert!(text[0].contains("nobody-of-this-name"), "{text:?}");
    }
}
