//! Binding over real sockets, on ports that the system chooses.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::*;
use crate::sources::compile_text;

fn bind(
    snapshot: &Snapshot,
    workers: usize,
) -> Result<(Vec<Vec<BoundSocket>>, SocketFiles), Diagnostics> {
    placed(snapshot, workers, &Neighbour::None, &Held::default())
        .map(|bound| (bound.sockets, bound.files))
}

/// A port that was free a moment ago.
/// As [`super::bind`], with UNIX sockets under their names.
fn placed(
    snapshot: &Snapshot,
    workers: usize,
    neighbour: &Neighbour,
    held: &Held,
) -> Result<Bound, Diagnostics> {
    let mut bound = super::bind(snapshot, workers, neighbour, held)?;
    bound.put_in_place()?;
    Ok(bound)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn snapshot(binds: &[&str]) -> Snapshot {
    let mut text = "[target_group.app]\ntargets = ['127.0.0.1:1']\n".to_owned();
    for (index, bind) in binds.iter().enumerate() {
        text.push_str(&format!(
            "[listener.l{index}]\nbind = '{bind}'\nforward = 'app'\n"
        ));
    }
    let compiled = compile_text("test.toml", &text);
    compiled
        .snapshot
        .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

fn reachable(address: (Ipv4Addr, u16)) -> bool {
    TcpStream::connect(address).is_ok()
}

/// The message of the only error.
fn refused(binds: &[&str]) -> String {
    let found = bind(&snapshot(binds), 1).unwrap_err();
    let mut messages = found.iter().map(|it| it.message.clone());
    let first = messages.next().unwrap();
    assert_eq!(messages.next(), None);
    first
}

#[test]
fn every_worker_has_every_address() {
    let (one, two) = (free_port(), free_port());
    let snapshot = snapshot(&[&format!("127.0.0.1:{one}"), &format!(":{two}")]);
    let (sockets, _) = bind(&snapshot, 3).unwrap();
    assert_eq!(sockets.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
    assert!(reachable((Ipv4Addr::LOCALHOST, one)) && reachable((Ipv4Addr::LOCALHOST, two)));
    let ids: Vec<u64> = sockets[1].iter().map(|it| it.id.0).collect();
    assert_eq!(ids, [1, 2]);
    drop(sockets);
    assert!(!reachable((Ipv4Addr::LOCALHOST, one)));
}

#[test]
fn a_taken_port_is_an_error_that_names_the_program() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let message = refused(&[&format!("127.0.0.1:{port}")]);
    let expected = format!(
        "listener `l0` cannot listen on 127.0.0.1:{port}: another program is listening there: "
    );
    assert!(message.starts_with(&expected), "{message}");
    let pid = format!("(process {})", std::process::id());
    assert!(message.ends_with(&pid), "{message}");
}

#[test]
fn a_second_portway_does_not_share_the_port() {
    let port = free_port();
    let snapshot = snapshot(&[&format!("127.0.0.1:{port}")]);
    let (_sockets, _) = bind(&snapshot, 2).unwrap();
    let found = bind(&snapshot, 2).unwrap_err();
    assert!(found.has_errors());
    // Nor on all addresses together.
    assert!(refused(&[&format!(":{port}")]).contains("another program"));
}

#[test]
fn all_or_nothing() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let free = free_port();
    refused(&[&format!("127.0.0.1:{free}"), &format!("127.0.0.1:{port}")]);
    assert!(!reachable((Ipv4Addr::LOCALHOST, free)));
}

#[test]
fn two_listeners_of_ours_may_share_a_port() {
    let port = free_port();
    let snapshot = snapshot(&[&format!("127.0.0.1:{port}"), &format!("127.0.0.2:{port}")]);
    assert!(bind(&snapshot, 2).is_ok());
}

#[test]
fn addresses_that_are_not_ours() {
    // TEST-NET-1 of RFC 5737.
    let message = refused(&["192.0.2.1:8080"]);
    assert!(
        message.ends_with("this machine has no such address"),
        "{message}"
    );
    let message = refused(&["fd:987"]);
    assert!(
        message.ends_with("no descriptor of this number is open"),
        "{message}"
    );
}

#[test]
fn unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let address = format!("unix:{}", path.display());
    let answers = |path: &Path| UnixStream::connect(path).is_ok();

    let (sockets, files) = bind(&snapshot(&[&address]), 2).unwrap();
    assert!(answers(&path));
    assert!(refused(&[&address]).ends_with("another program is listening there"));
    drop(sockets);
    // What is left of it does not count.
    assert!(path.exists() && !answers(&path));
    let (sockets, second) = bind(&snapshot(&[&address]), 2).unwrap();
    // The file is another's now.
    drop(files);
    assert!(answers(&path));
    drop((sockets, second));
    assert!(!path.exists());

    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let message = refused(&[&format!("unix:{}", file.display())]);
    assert!(message.ends_with("not a socket"), "{message}");
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");

    let lost = folder.path().join("none/web.sock");
    let message = refused(&[&format!("unix:{}", lost.display())]);
    assert!(message.ends_with("its folder does not exist"), "{message}");
}

#[test]
fn unix_sockets_have_mode_and_owner_and_follow_one_that_leaves() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let leaving = Neighbour::Leaving(super::Handover::default());
    let (user, group) = (nix::unistd::getuid(), nix::unistd::getgid());
    let snapshot = |settings: &str| {
        let text = format!(
            "[target_group.app]\ntargets = ['127.0.0.1:1']\n\
             [listener.l]\nbind = {{ unix = '{}', {settings} }}\nforward = 'app'\n",
            path.display()
        );
        compile_text("test.toml", &text).snapshot.unwrap()
    };
    let listens = |settings: &str, neighbour: &Neighbour| {
        placed(&snapshot(settings), 1, neighbour, &Held::default())
    };
    let owner = format!("mode = '620', user = '{user}', group = '{group}'");
    let first = listens(&owner, &Neighbour::None).unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o620);
    assert_eq!(
        (metadata.uid(), metadata.gid()),
        (user.as_raw(), group.as_raw())
    );
    let found = listens("user = 'no-such-user'", &leaving).unwrap_err();
    let message = &found.iter().next().unwrap().message;
    assert!(
        message.ends_with("this machine has no user `no-such-user`"),
        "{message}"
    );
    let check = |settings: &str| super::check_owners(&snapshot(settings)).has_errors();
    assert!(check("user = 'no-such-user'") && check("group = 'no-such-group'"));
    assert!(!check("user = '0', group = '0'"));
    let second = listens("mode = '600'", &leaving).unwrap();
    drop(first);
    assert!(UnixStream::connect(&path).is_ok());
    let names = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(names.count(), 1);
    drop(second);
    assert!(!path.exists());
}

#[test]
fn options_of_sockets() {
    let port = free_port();
    let listens = |address: &str, options: &str| {
        let text = format!(
            "[target_group.app]\ntargets = ['127.0.0.1:1']\n\
             [listener.l]\nbind = '{address}'\nforward = 'app'\nsocket = {{ {options} }}\n"
        );
        let snapshot = compile_text("test.toml", &text).snapshot.unwrap();
        bind(&snapshot, 1)
    };
    let v6 = format!("[::]:{port}");
    let bound = listens(&v6, "v6_only = true").unwrap();
    assert!(!reachable((Ipv4Addr::LOCALHOST, port)));
    drop(bound);
    let bound = listens(&v6, "v6_only = false, backlog = 7").unwrap();
    assert!(reachable((Ipv4Addr::LOCALHOST, port)));
    drop(bound);
    let bound = listens(&format!("127.0.0.1:{port}"), "interface = 'lo'").unwrap();
    assert!(reachable((Ipv4Addr::LOCALHOST, port)));
    drop(bound);
    let found = listens(&format!("127.0.0.1:{port}"), "interface = 'none0'").unwrap_err();
    let message = &found.iter().next().unwrap().message;
    assert!(message.contains("the interface `none0`: "), "{message}");
}

#[test]
fn inherited_sockets_are_shared() {
    let original = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = original.local_addr().unwrap();
    let (sockets, _) = bind(&snapshot(&[&format!("fd:{}", original.as_raw_fd())]), 1).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let Socket::Tcp(ours) = &sockets[0][0].socket else {
        panic!("not TCP");
    };
    ours.set_nonblocking(false).unwrap();
    let (mut server, _) = ours.accept().unwrap();
    server.write_all(b"x").unwrap();
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn what_is_held_stays_and_what_is_in_the_way_makes_room() {
    let (one, two) = (free_port(), free_port());
    let next = |binds: &[String], held: &Held| {
        let binds: Vec<&str> = binds.iter().map(String::as_str).collect();
        placed(&snapshot(&binds), 2, &Neighbour::None, held).unwrap()
    };
    let ids = |bound: &Bound| {
        let mut ids: Vec<(u64, u32)> = bound
            .places
            .iter()
            .map(|(id, place)| (id.0, place.listener.0))
            .collect();
        ids.sort_unstable();
        ids
    };
    let first = next(
        &[format!(":{one}"), format!("127.0.0.1:{two}")],
        &Held::default(),
    );
    assert_eq!(ids(&first), [(1, 0), (2, 1)]);
    // In another order, and one on a port that is ours already.
    let second = next(
        &[format!("127.0.0.1:{two}"), format!("127.0.0.1:{one}")],
        &first.held,
    );
    assert_eq!(ids(&second), [(2, 0), (3, 1)]);
    assert_eq!(
        second.sockets.iter().map(Vec::len).collect::<Vec<_>>(),
        [1, 1]
    );
    let third = next(&[format!("127.0.0.1:{two}")], &second.held);
    assert_eq!(
        (
            ids(&third),
            third.sockets.iter().map(Vec::len).sum::<usize>()
        ),
        (vec![(2, 0)], 0)
    );
}

#[test]
fn each_of_those_that_share_an_address_keeps_its_sockets() {
    let port = free_port();
    let listener = |name: &str| {
        format!(
            "[listener.{name}]\nbind = '127.0.0.1:{port}'\nforward = 'app'\nsocket = {{ shared = true }}\n"
        )
    };
    let group = "[target_group.app]\ntargets = ['127.0.0.1:1']\n";
    let text = listener("a") + &listener("b") + group;
    let snapshot = compile_text("test.toml", &text).snapshot.unwrap();
    let next = |held: &Held| placed(&snapshot, 1, &Neighbour::None, held).unwrap();
    let first = next(&Held::default());
    let second = next(&first.held);
    assert_eq!(first.places.len(), 2);
    assert_eq!(first.places, second.places);
    assert!(second.sockets[0].is_empty());
}

#[test]
fn what_fails_leaves_the_files_of_sockets_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let port = free_port();
    let snapshot = |mode: &str, bind: &str, interface: &str| {
        let text = format!(
            "[listener.file]\nbind = {{ unix = '{}'{mode} }}\nforward = 'app'\n\
             [listener.web]\nbind = '{bind}:{port}'\nforward = 'app'\n{interface}\n\
             [target_group.app]\ntargets = ['127.0.0.1:1']\n",
            path.display()
        );
        compile_text("test.toml", &text).snapshot.unwrap()
    };
    let next = |snapshot: &Snapshot, held: &Held| placed(snapshot, 1, &Neighbour::None, held);
    let first = next(&snapshot("", "127.0.0.1", ""), &Held::default()).unwrap();
    // The port is ours, so that this is found only when it is bound.
    let wrong = snapshot(", mode = '600'", "", "socket = { interface = 'none-such' }");
    assert!(next(&wrong, &first.held).is_err());
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    drop(first);
}

#[test]
fn a_range_of_all_ports_is_looked_up_port_by_port() {
    let text = "[listener.a]\nbind = '127.0.0.3:1-65535'\nforward = 'b'\n[target_group.b]\ntargets = '127.0.0.1:1'\n";
    let snapshot = compile_text("test.toml", text).snapshot.unwrap();
    let all = wanted(&snapshot, &mut Diagnostics::default());
    let mut held = Held::default();
    for one in &all {
        let id = held.new_id();
        held.keep(one, id);
    }
    let begun = std::time::Instant::now();
    let other = text.replace("127.0.0.3:1-", "127.0.0.2:1-");
    let other = compile_text("test.toml", &other).snapshot.unwrap();
    let beside = wanted(&other, &mut Diagnostics::default());
    assert!(!beside.iter().any(|it| held.is_beside(it)));
    assert!(!check_listeners(&snapshot, &Neighbour::None, &held).has_errors());
    // By comparison with each other it would be minutes.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn who_has_a_full_queue_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let path = path.to_str().unwrap();
    let mut waiting = Vec::new();
    loop {
        let next = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).unwrap();
        if next.connect(&SockAddr::unix(path).unwrap()).is_err() {
            break;
        }
        waiting.push(next);
    }
    let found = unix::is_free(path).unwrap_err();
    assert_eq!(found.kind(), io::ErrorKind::AddrInUse);
}
