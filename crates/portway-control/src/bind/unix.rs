//! UNIX sockets: files that are put in the place of those that a process has left, and taken away at the end.
//!
//! A socket is made under a name beside its own and renamed when its mode and owner are right and it listens: at no
//! moment is it missing, or open to whom it is not meant for. What is not a socket is never replaced, and a socket that
//! somebody answers on only where that is known to leave.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::{Gid, Group, Uid, User};
use portway_model::address::{UnixSocket, abstract_name};

use socket2::{Domain, SockAddr, Type};

use super::{Neighbour, Place};

/// Files of sockets that this process has made; dropping takes away those that are still its own.
#[derive(Debug, Default)]
pub struct SocketFiles {
    files: Vec<SocketFile>,
    /// Sockets that listen under a name beside that which they are to have.
    made: Vec<Made>,
    /// Another process has the sockets now, and with them the files.
    given_away: Arc<AtomicBool>,
}

/// A socket under the name under which it was made; dropping takes that away.
#[derive(Debug)]
struct Made {
    beside: PathBuf,
    path: PathBuf,
}

impl Drop for Made {
    fn drop(&mut self) {
        // Once it has its own name there is none.
        let _ = fs::remove_file(&self.beside);
    }
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// The process before has it as long as this one does not serve.
    is_taken: bool,
}

impl SocketFiles {
    fn add(&mut self, path: &Path, is_taken: bool) {
        if let Ok(identity) = identity(path) {
            self.files.push(SocketFile {
                path: path.to_owned(),
                identity,
                is_taken,
            });
        }
    }

    /// This process serves: files that were taken over are its own.
    pub(crate) fn settle(&mut self) {
        self.files.iter_mut().for_each(|it| it.is_taken = false);
    }

    /// Gives every socket that was made its name: until then nothing has changed of what is.
    ///
    /// # Errors
    /// What the system says, and of which path.
    pub(super) fn put_in_place(&mut self) -> Result<(), (PathBuf, io::Error)> {
        for made in std::mem::take(&mut self.made) {
            if let Err(error) = fs::rename(&made.beside, &made.path) {
                return Err((made.path.clone(), error));
            }
            self.add(&made.path, false);
        }
        Ok(())
    }

    /// Takes over those of `more`, and takes away those that `is_wanted` does not name.
    pub(crate) fn go_on_with(&mut self, mut more: Self, is_wanted: impl Fn(&Path) -> bool) {
        // What was made again is another file.
        self.files
            .retain(|it| more.files.iter().all(|new| new.path != it.path));
        self.files.append(&mut more.files);
        let gone = self.files.extract_if(.., |it| !is_wanted(&it.path));
        let gone = Self {
            files: gone.collect(),
            made: Vec::new(),
            given_away: self.given_away.clone(),
        };
        drop(gone);
    }

    /// True from now on: another process has the sockets, and with them the files.
    pub fn given_away(&self) -> Arc<AtomicBool> {
        self.given_away.clone()
    }
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        if self.given_away.load(Ordering::Relaxed) {
            return;
        }
        for file in self.files.iter().filter(|it| !it.is_taken) {
            if identity(&file.path).is_ok_and(|it| it == file.identity) {
                // A folder that is not ours any more keeps a file that nobody answers on, which the next start replaces.
                let _ = fs::remove_file(&file.path);
            }
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Whether the path could be accepted on: it is free, or left over from a process that is gone.
pub(super) fn is_free(path: &str) -> io::Result<()> {
    if path.starts_with('@') {
        return match somebody_listens(path) {
            Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => Ok(()),
        };
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file with this name that is not a socket",
        )),
        Ok(_) => match somebody_listens(path) {
            Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
        },
    }
}

/// Connects to see, and does not wait: where no more fits into the queue, somebody has one.
fn somebody_listens(path: &str) -> io::Result<()> {
    let name = match abstract_name(path) {
        Some(name) => [&b"\0"[..], &name].concat(),
        None => path.as_bytes().to_owned(),
    };
    let address = SockAddr::unix(OsStr::from_bytes(&name))?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match socket.connect(&address) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        connected => connected,
    }
}

fn abstract_address(path: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(abstract_name(path).unwrap_or_default())
}

/// A socket that listens; its file comes into its place with all others ([`SocketFiles::put_in_place`]).
pub(super) fn listen(
    socket: &UnixSocket,
    backlog: i32,
    neighbour: &Neighbour,
    files: &mut SocketFiles,
) -> io::Result<UnixListener> {
    let path = socket.path.as_str();
    if let Some(listener) = taken(path, neighbour)? {
        if !path.starts_with('@') {
            own(socket, Path::new(path))?;
            if !neighbour.has_file(path) {
                files.add(Path::new(path), true);
            }
        }
        return begin(listener, backlog);
    }
    if path.starts_with('@') {
        let listener = UnixListener::bind_addr(&abstract_address(path)?)?;
        return begin(listener, backlog);
    }
    if !neighbour.may_share(&Place::Unix(socket.clone())) {
        is_free(path)?;
    }
    let made = beside(Path::new(path), files.made.len());
    match fs::remove_file(&made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&made)?;
    let finished = own(socket, &made).and_then(|()| begin(listener, backlog));
    // Where it is not finished it is taken away again.
    let made = Made {
        beside: made,
        path: PathBuf::from(path),
    };
    let listener = finished?;
    if made.path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    files.made.push(made);
    Ok(listener)
}

/// True where the file of a socket is gone.
pub(super) fn is_lost(path: &str) -> bool {
    let gone = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    !path.starts_with('@') && fs::symlink_metadata(path).is_err_and(gone)
}

/// The socket that another process handed over, unless its file is gone.
fn taken(path: &str, neighbour: &Neighbour) -> io::Result<Option<UnixListener>> {
    let is_there = || fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    match neighbour.handover() {
        Some(handover) if path.starts_with('@') || is_there() => handover.unix(path),
        _ => Ok(None),
    }
}

/// With our backlog in place of the library's.
fn begin(listener: UnixListener, backlog: i32) -> io::Result<UnixListener> {
    rustix::net::listen(&listener, backlog)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Bytes that the path of a socket may have at most (unix(7)), its end left out.
const MAX_PATH: usize = 107;

/// The name under which a socket is made: HAProxy's, by which the next process knows it for that of `path`, whichever of us it is.
/// One in the same folder where that is too long.
fn beside(path: &Path, nth: usize) -> PathBuf {
    let id = std::process::id();
    let name = path.with_added_extension(format!("{id}.tmp"));
    match name.as_os_str().len() <= MAX_PATH {
        true => name,
        false => path.with_file_name(format!(".{id}{nth}.new")),
    }
}

/// True where a socket that was made under the name `made` is that of `path`: the system knows a socket by its first name.
pub(super) fn is_of(made: &Path, path: &Path) -> bool {
    if made == path {
        return true;
    }
    let rest = made
        .as_os_str()
        .as_bytes()
        .strip_prefix(path.as_os_str().as_bytes());
    let id = rest.and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(b".tmp"));
    id.is_some_and(|id| !id.is_empty() && id.iter().all(u8::is_ascii_digit))
}

/// True where a socket that was made under the name `made` may be that of `path`, which was too long.
pub(super) fn may_be_of(made: &Path, path: &Path) -> bool {
    let name = made.file_name().map(OsStrExt::as_bytes);
    let id = name.and_then(|name| name.strip_prefix(b".")?.strip_suffix(b".new"));
    id.is_some_and(|id| id.iter().all(u8::is_ascii_digit)) && made.parent() == path.parent()
}

/// Gives a socket its mode and owner.
fn own(socket: &UnixSocket, made: &Path) -> io::Result<()> {
    // What is right already may belong to a user that we are not any more.
    let now = fs::metadata(made)?;
    if let Some(mode) = socket.mode
        && now.mode() & 0o7777 != u32::from(mode.0)
    {
        fs::set_permissions(made, fs::Permissions::from_mode(u32::from(mode.0)))?;
    }
    let (user, group) = owner(socket)?;
    let is_new = |wanted: Option<u32>, now: u32| wanted.is_some_and(|wanted| wanted != now);
    if is_new(user.map(Uid::as_raw), now.uid()) || is_new(group.map(Gid::as_raw), now.gid()) {
        std::os::unix::fs::chown(made, user.map(Uid::as_raw), group.map(Gid::as_raw))?;
    }
    Ok(())
}

/// The owner that a socket is to have.
///
/// # Errors
/// This machine does not know it.
pub(super) fn owner(socket: &UnixSocket) -> io::Result<(Option<Uid>, Option<Gid>)> {
    let user = socket.user.as_deref().map(user_of).transpose()?;
    let group = socket.group.as_deref().map(group_of).transpose()?;
    Ok((user, group))
}

fn user_of(name: &str) -> io::Result<Uid> {
    if let Ok(number) = name.parse() {
        return Ok(Uid::from_raw(number));
    }
    let user = User::from_name(name)?;
    user.map(|user| user.uid)
        .ok_or_else(|| unknown("user", name))
}

fn group_of(name: &str) -> io::Result<Gid> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    let group = Group::from_name(name)?;
    group
        .map(|group| group.gid)
        .ok_or_else(|| unknown("group", name))
}

fn unknown(kind: &str, name: &str) -> io::Error {
    let message = format!("this machine has no {kind} `{name}`");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
