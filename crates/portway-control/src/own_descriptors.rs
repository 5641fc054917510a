//! Descriptors of this process by their numbers, as duplicates: those that it was started with, and all sockets that it listens on.
//!
//! A number alone is no proof that the descriptor is ours. pidfd_getfd(2), Linux 5.6, gives a duplicate without such a claim; many
//! containers deny it, and there the descriptor goes over a pair of sockets to the process itself.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::bind::takeover;

/// This process, as the one that has the descriptors.
pub(crate) struct Ourselves(Option<OwnedFd>);

impl Ourselves {
    pub(crate) fn new() -> Self {
        Self(pidfd_open(getpid(), PidfdFlags::empty()).ok())
    }

    /// A duplicate of the descriptor of this number.
    ///
    /// # Errors
    /// `EBADF` where none is open, else what the system says.
    pub(crate) fn duplicate(&self, number: i32) -> io::Result<OwnedFd> {
        let Some(process) = &self.0 else {
            return over_a_socket(number);
        };
        match pidfd_getfd(process, number, PidfdGetfdFlags::empty()) {
            Ok(duplicate) => Ok(duplicate),
            Err(error @ (Errno::BADF | Errno::MFILE | Errno::NFILE)) => Err(error.into()),
            Err(_) => over_a_socket(number),
        }
    }
}

fn over_a_socket(number: i32) -> io::Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair()?;
    let says = [IoSlice::new(&[0])];
    let carries = [ControlMessage::ScmRights(&[number])];
    sendmsg::<()>(ours.as_raw_fd(), &says, &carries, MsgFlags::empty(), None)?;
    let mut duplicate = None;
    takeover::receive(&theirs, &mut [0], &mut |fd| duplicate = Some(fd))?;
    duplicate.ok_or_else(|| Errno::MFILE.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn both_ways_give_the_same() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        for ourselves in [Ourselves::new(), Ourselves(None)] {
            let duplicate = ourselves.duplicate(socket.as_raw_fd()).unwrap();
            let duplicate = TcpListener::from(duplicate);
            assert_eq!(
                duplicate.local_addr().unwrap(),
                socket.local_addr().unwrap()
            );
            let error = ourselves.duplicate(i32::MAX).unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(Errno::BADF));
        }
    }
}
