//! Listening sockets that one process leaves to the next, in HAProxy's way, so that either may be the other's predecessor:
//! `_getsocks` on a control socket is answered with their count, then with messages that carry them.
//!
//! Connections that wait in a socket's queue belong to the socket: whoever has it serves them. An abstract UNIX socket can be
//! had in no other way while its owner lives. Sockets of listeners that are paused or have drained are handed over too, as HAProxy
//! does: they do not listen, and do not before somebody says so.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portway_dataplane::live::shut_sockets;
use portway_model::address::abstract_name;
use portway_model::settings::SocketOptions;
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Resource, getrlimit};
use socket2::Type;

use super::{Place, unix};
use crate::own_descriptors::Ourselves;

/// What asks for the sockets.
pub const REQUEST: &str = "_getsocks";

/// Sockets in a message, the most that Linux lets through.
const SOCKETS_A_MESSAGE: usize = 253;

/// Sockets that this process puts into one: so many duplicates it needs room for.
const SOCKETS_AT_ONCE: usize = 16;

/// Bytes that a message says of one socket: two lengths, two empty names, four bytes of options.
const BYTES_A_SOCKET: usize = 6;

/// Bytes of a message of HAProxy: the names of a name space (4096 bytes) and an interface (16) may stand in it.
const MESSAGE_BYTES: usize = SOCKETS_A_MESSAGE * (1 + 4096 + 1 + 16 + 4);

/// Sockets that are taken from one process at most; it may have one for each address and worker.
const MAX_SOCKETS: usize = 1 << 20;

/// In place of their count: no more of them are wanted.
const REFUSED: i32 = -1;

/// Descriptors that a start needs beside those of its sockets.
const OTHERS: usize = 48;

/// How long the other process may be silent.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sockets of listeners of a process that is about to leave. Those that nobody has taken are closed with the last clone.
#[derive(Debug, Clone, Default)]
pub struct Handover(Arc<Handed>);

/// Sockets by what they listen on: each address asks for those of its port alone.
#[derive(Debug, Default)]
struct Handed {
    all: Vec<socket2::Socket>,
    /// Places among all of them, each with its address.
    ports: HashMap<u16, Vec<(usize, SocketAddr)>>,
    /// Places of others.
    others: Vec<usize>,
}

impl From<Vec<socket2::Socket>> for Handover {
    fn from(all: Vec<socket2::Socket>) -> Self {
        let (mut ports, mut others) = (HashMap::<_, Vec<_>>::new(), Vec::new());
        for (at, socket) in all.iter().enumerate() {
            match socket.local_addr().ok().and_then(|it| it.as_socket()) {
                Some(local) => ports.entry(local.port()).or_default().push((at, local)),
                None => others.push(at),
            }
        }
        Self(Arc::new(Handed { all, ports, others }))
    }
}

impl Handover {
    /// Asks for the sockets over a connection to a control socket of the other process. Blocks for some seconds at most.
    ///
    /// # Errors
    /// The other process does not hand them over, or not in this way.
    pub fn fetch(mut stream: &UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{REQUEST}\n").as_bytes())?;
        let mut count = [0; 4];
        stream.read_exact(&mut count)?;
        let count = usize::try_from(i32::from_ne_bytes(count)).unwrap_or(usize::MAX);
        if count > MAX_SOCKETS {
            // A text stands there, such as that the command is unknown.
            let text = "this socket does not hand over listening sockets";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let no_room = || {
            // Behind the last message nobody waits for a word.
            if count > SOCKETS_AT_ONCE {
                let _ = (&*stream).write_all(&REFUSED.to_ne_bytes());
            }
            Err(no_room(count))
        };
        if !has_room(count) {
            return no_room();
        }
        let mut sockets = Vec::new();
        let mut said = vec![0; MESSAGE_BYTES];
        while sockets.len() < count {
            let before = sockets.len();
            let got = receive(stream, &mut said, &mut |fd| sockets.push(fd.into()))?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if sockets.len() == before {
                return no_room();
            }
            if sockets.len() < count {
                // HAProxy closes behind its last message, so nothing is said of that.
                stream.write_all(&i32::try_from(sockets.len()).unwrap_or(0).to_ne_bytes())?;
            }
        }
        Ok(Self::from(sockets))
    }

    /// The sockets of this process that listen among these numbers.
    pub fn of_numbers(numbers: impl Iterator<Item = i32>) -> Self {
        let ourselves = Ourselves::new();
        let sockets = of_listeners(&ourselves, numbers, &BTreeSet::new()).into_iter();
        let sockets = sockets.filter_map(|number| ourselves.duplicate(number).ok());
        Self::from(sockets.map(Into::into).collect::<Vec<_>>())
    }

    /// Each by itself, with its address.
    pub(super) fn each(&self) -> impl Iterator<Item = (String, Self)> {
        self.0.all.iter().filter_map(|it| {
            let local = it.local_addr().ok()?;
            let address = match (local.as_socket(), local.as_pathname()) {
                (Some(address), _) => address.to_string(),
                (None, Some(path)) => path.display().to_string(),
                (None, None) => "a UNIX socket without a path".to_owned(),
            };
            Some((address, Self::from(vec![it.try_clone().ok()?])))
        })
    }

    /// True where there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.0.all.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.all.len()
    }

    /// The first that listens at an address, however it was made.
    pub(super) fn plain(&self, address: SocketAddr) -> io::Result<Option<std::net::TcpListener>> {
        let mut same = self.at(address.port()).filter(|(_, it)| *it == address);
        let first = same.find(|(it, _)| it.is_listener().unwrap_or(false));
        first
            .map(|(it, _)| it.try_clone().map(Into::into))
            .transpose()
    }

    /// Those that listen on a port, each with its address.
    fn at(&self, port: u16) -> impl Iterator<Item = (&socket2::Socket, SocketAddr)> {
        let places = self.0.ports.get(&port).into_iter().flatten();
        places.filter_map(|(at, address)| Some((self.0.all.get(*at)?, *address)))
    }

    /// Those that listen on no port.
    fn others(&self) -> impl Iterator<Item = &socket2::Socket> {
        self.0.others.iter().filter_map(|at| self.0.all.get(*at))
    }

    /// True where one of them is in the way of an address: on its port, or under its path.
    pub(super) fn is_at(&self, place: &Place) -> bool {
        match place {
            Place::Tcp { ip, port } => self.at(*port).any(|(_, local)| {
                let wide = ip.is_none_or(|ip| ip.is_unspecified());
                wide || local.ip().is_unspecified() || *ip == Some(local.ip())
            }),
            Place::Unix(socket) => {
                let path = Path::new(&socket.path);
                let may_be = |it: &socket2::Socket| {
                    let local = it.local_addr().ok();
                    local.is_some_and(|it| {
                        it.as_pathname().is_some_and(|it| unix::may_be_of(it, path))
                    })
                };
                matches!(self.unix(&socket.path), Ok(Some(_))) || self.others().any(may_be)
            }
            Place::Inherited(_) => false,
        }
    }

    /// The sockets at an address: one of each that the other process had. They listen, or its listener was told not to.
    pub(super) fn tcp(
        &self,
        address: SocketAddr,
        options: &SocketOptions,
        dual_stack: bool,
    ) -> io::Result<Vec<std::net::TcpListener>> {
        let is_same = |(it, local): &(&socket2::Socket, SocketAddr)| {
            let interface = it.device().ok().flatten();
            *local == address
                && interface.as_deref() == options.interface.as_deref().map(str::as_bytes)
                && (address.is_ipv4() || it.only_v6().is_ok_and(|only| only != dual_stack))
        };
        let same = self.at(address.port()).filter(is_same);
        same.map(|(it, _)| it.try_clone().map(Into::into)).collect()
    }

    /// The socket that listens under a path, or an abstract name behind an `@`.
    pub(super) fn unix(&self, path: &str) -> io::Result<Option<UnixListener>> {
        let name = abstract_name(path);
        let is_same = |it: &&socket2::Socket| {
            let Ok(local) = it.local_addr() else {
                return false;
            };
            match &name {
                Some(name) => local.as_abstract_namespace() == Some(name),
                None => local
                    .as_pathname()
                    .is_some_and(|it| unix::is_of(it, Path::new(path))),
            }
        };
        let same = self.others().find(is_same);
        let listener = same.map(|it| {
            it.try_clone()
                .map(|it| UnixListener::from(OwnedFd::from(it)))
        });
        listener.transpose()
    }
}

/// True where so many sockets can be taken: each is there twice, until it is known which are wanted. One that did not fit would be
/// closed by the system, and nobody told.
fn has_room(count: usize) -> bool {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let most = getrlimit(Resource::Nofile).current;
    let most = most.map_or(usize::MAX, |it| usize::try_from(it).unwrap_or(usize::MAX));
    open + 2 * count + OTHERS <= most
}

fn no_room(count: usize) -> io::Error {
    let most = getrlimit(Resource::Nofile).current.unwrap_or_default();
    let text = format!(
        "{count} sockets need {} descriptors while they are taken over, and this process may have {most}: raise the limit \
         (`ulimit -n`, or `LimitNOFILE=` in a systemd unit) and restart",
        2 * count + OTHERS
    );
    io::Error::other(text)
}

/// Receives one message with what it carries; gives how many bytes it said.
///
/// # Errors
/// Those of the system.
pub fn receive(
    stream: impl AsFd,
    said: &mut [u8],
    take: &mut dyn FnMut(OwnedFd),
) -> io::Result<usize> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_A_MESSAGE))];
    let mut carried = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = retry_on_intr(|| {
        let mut says = [IoSliceMut::new(said)];
        recvmsg(&stream, &mut says, &mut carried, flags)
    })?;
    for message in carried.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptors.for_each(&mut *take);
        }
    }
    Ok(got.bytes)
}

/// Sends one message that carries descriptors, at most 253.
///
/// # Errors
/// Those of the system.
pub fn send(stream: impl AsFd, says: &[u8], carries: &[impl AsFd]) -> io::Result<()> {
    let carries: Vec<_> = carries.iter().map(AsFd::as_fd).collect();
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(carries.len()))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !carries.is_empty() && !message.push(SendAncillaryMessage::ScmRights(&carries)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        stream,
        &[IoSlice::new(says)],
        &mut message,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Gives the sockets of the listeners of this process to whoever asked for them. Blocks while the other process takes them.
///
/// # Errors
/// The other process is silent; `BrokenPipe` where it went away, or does not take them: then it may say why.
pub fn give(mut stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let ourselves = Ourselves::new();
    let sockets = of_listeners(&ourselves, numbers(), &shut_sockets());
    let count = i32::try_from(sockets.len()).unwrap_or(0);
    stream.write_all(&count.to_ne_bytes())?;
    let mut left = sockets.len();
    for some in sockets.chunks(SOCKETS_AT_ONCE) {
        let some = some.iter().map(|number| ourselves.duplicate(*number));
        let some = some.collect::<io::Result<Vec<OwnedFd>>>()?;
        let sent = send(stream, &vec![0; some.len() * BYTES_A_SOCKET], &some);
        left -= some.len();
        // One that has refused them and gone has said so before.
        let has_gone = |it: &io::Error| it.kind() == io::ErrorKind::BrokenPipe;
        if !(left > 0 && sent.as_ref().is_err_and(has_gone)) {
            sent?;
        }
        if left > 0 {
            let mut taken = [0; 4];
            stream.read_exact(&mut taken)?;
            if i32::from_ne_bytes(taken) == REFUSED {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }
    Ok(())
}

/// Those of these numbers under which a socket listens, or is `shut`. One may stand under several: the first is given.
fn of_listeners(
    ourselves: &Ourselves,
    numbers: impl Iterator<Item = i32>,
    shut: &BTreeSet<i32>,
) -> Vec<i32> {
    let mut known = HashSet::new();
    let sockets = numbers.filter(|number| {
        let Ok(fd) = ourselves.duplicate(*number) else {
            return false;
        };
        (shut.contains(number) || listens(&fd).unwrap_or(false))
            && rustix::fs::fstat(fd).is_ok_and(|it| known.insert((it.st_dev, it.st_ino)))
    });
    sockets.collect()
}

/// True for a stream socket that accepts connections.
fn listens(fd: &OwnedFd) -> io::Result<bool> {
    let socket = socket2::SockRef::from(fd);
    Ok(socket.is_listener()? && socket.r#type()? == Type::STREAM)
}

/// The numbers of this process's descriptors; all that it may have where its root does not show /proc.
fn numbers() -> Box<dyn Iterator<Item = i32>> {
    if let Ok(folder) = std::fs::read_dir("/proc/self/fd") {
        let names = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        return Box::new(names.collect::<Vec<i32>>().into_iter());
    }
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    Box::new(0..i32::try_from(most).unwrap_or(i32::MAX).min(MOST_NUMBERS))
}

/// Where /proc is not seen, so many descriptors are looked at: a fraction of a second.
const MOST_NUMBERS: i32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::linux::net::SocketAddrExt;

    #[test]
    fn a_socket_that_is_shut_is_one_of_them() {
        let [open, shut, bound] =
            [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        for it in [&shut, &bound] {
            rustix::net::shutdown(it, rustix::net::Shutdown::Read).unwrap();
        }
        let numbers = [&open, &shut, &bound].map(AsRawFd::as_raw_fd);
        let told = BTreeSet::from([shut.as_raw_fd()]);
        let found = of_listeners(&Ourselves::new(), numbers.into_iter(), &told);
        assert_eq!(found, [open.as_raw_fd(), shut.as_raw_fd()]);
    }

    #[test]
    fn sockets_are_given_and_taken() {
        let name = format!("@portway-takeover-{}", std::process::id());
        let address =
            std::os::unix::net::SocketAddr::from_abstract_name(abstract_name(&name).unwrap())
                .unwrap();
        let _abstract = UnixListener::bind_addr(&address).unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let giving = std::thread::spawn(move || {
            let mut request = [0; REQUEST.len() + 1];
            ours.read_exact(&mut request).unwrap();
            assert_eq!(request, *format!("{REQUEST}\n").as_bytes());
            give(&ours)
        });
        let taken = Handover::fetch(&theirs).unwrap();
        giving.join().unwrap().unwrap();
        assert!(taken.unix(&name).unwrap().is_some());
        assert!(taken.unix("@other").unwrap().is_none());
        let options = SocketOptions::PLAIN;
        let local = tcp.local_addr().unwrap();
        let same = taken.tcp(local, &options, false).unwrap();
        assert_eq!(same.len(), 1);
        assert_eq!(same[0].local_addr().unwrap(), local);
    }

    #[test]
    fn sockets_are_known_by_their_first_names() {
        let check = |made: &str, path: &str, is: bool, may_be: bool| {
            let (made, path) = (Path::new(made), Path::new(path));
            assert_eq!(unix::is_of(made, path), is, "{made:?}");
            assert_eq!(unix::may_be_of(made, path), may_be, "{made:?}");
        };
        check("/run/a.sock", "/run/a.sock", true, false);
        check("/run/a.sock.42.tmp", "/run/a.sock", true, false);
        check("/run/a.sock..tmp", "/run/a.sock", false, false);
        check("/run/a.sock.4x.tmp", "/run/a.sock", false, false);
        check("/run/b.sock.42.tmp", "/run/a.sock", false, false);
        check("/run/.42.new", "/run/a.sock", false, true);
        check("/srv/.42.new", "/run/a.sock", false, false);
    }

    #[test]
    fn each_socket_is_given_once_where_proc_is_not_seen() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let local = tcp.local_addr().unwrap();
        let all = Handover::of_numbers(0..2_000);
        let same = all.0.all.iter().filter(|it| {
            let address = it.local_addr().ok().and_then(|it| it.as_socket());
            address == Some(local)
        });
        assert_eq!(same.count(), 1);
    }

    #[test]
    fn nobody_listens_behind_the_last_socket() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut haproxy, theirs) = UnixStream::pair().unwrap();
        let giving = std::thread::spawn(move || {
            haproxy.read_exact(&mut [0; REQUEST.len() + 1]).unwrap();
            haproxy.shutdown(std::net::Shutdown::Read).unwrap();
            haproxy.write_all(&1i32.to_ne_bytes()).unwrap();
            send(&haproxy, &[0; BYTES_A_SOCKET], &[tcp]).unwrap();
        });
        assert!(!Handover::fetch(&theirs).unwrap().is_empty());
        giving.join().unwrap();
    }

    #[test]
    fn who_does_not_give_is_told_apart() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"Unknown command\n").unwrap();
        assert!(Handover::fetch(&theirs).is_err());
    }
}
