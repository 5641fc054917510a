//! The few questions to the kernel that tokio has no call for.

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{IpBindAddressNoPort, TcpRepair};
use rustix::net::{RecvFlags, SocketFlags, accept_with, recv};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// True where a read would give bytes, the end or an error at once.
pub(crate) fn has_input(socket: &impl AsFd) -> bool {
    let mut one = [0];
    !matches!(
        recv(socket, &mut one, RecvFlags::PEEK | RecvFlags::DONTWAIT),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR)
    )
}

/// Looks at what a socket holds without taking it; 0 at the end.
pub(crate) fn peek(socket: &impl AsFd, into: &mut [u8]) -> io::Result<usize> {
    let (count, _) = recv(socket, into, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(count)
}

/// Takes a connection from the queue of a listening socket, non-blocking; `None` where it is empty.
pub(crate) fn accept(socket: &impl AsFd) -> io::Result<Option<OwnedFd>> {
    match accept_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(accepted) => Ok(Some(accepted)),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Lets a TCP socket close without a word to the other side; needs CAP_NET_ADMIN.
pub(crate) fn close_unheard(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(&socket.as_fd(), TcpRepair, &1)?)
}

/// A socket that is bound to an address without a port gets its port when it connects.
pub(crate) fn choose_port_late(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(&socket.as_fd(), IpBindAddressNoPort, &true)?)
}

/// True for an address of this machine: a socket can be bound to it.
pub(crate) fn is_local(address: std::net::IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// 64 bits of chance that differ between workers and starts; never 0.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() | 1
}
