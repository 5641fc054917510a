//! Connections that end without the client hearing of it.
//!
//! A socket that is closed leaves nothing behind, and the kernel answers the next packet of the client with a reset. So some
//! are held on: a filter lets nothing in where the kernel allows it, nobody writes, and the client waits until its own patience is at an end.

use socket2::{SockFilter, SockRef};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Sockets that a worker holds on; the oldest is closed for a new one. Browsers and scanners give up within a minute or two;
/// beyond 256 in that time the descriptors are of more use than the silence, which then lasts until the client sends.
const MAX_HELD: usize = 256;

/// Instruction of a socket filter: the packet is cut to so many bytes (`BPF_RET | BPF_K`); to 0, it is dropped.
const CUT_TO: u16 = 0x06;

thread_local! {
    static HELD: RefCell<VecDeque<OwnedFd>> = const { RefCell::new(VecDeque::new()) };
}

/// Lets a TCP socket that is closed next end unheard. Whoever may not ask for that (CAP_NET_ADMIN) gets a reset that goes no
/// further than the next router, at the time when the socket is not held on any more.
pub(crate) fn leave(socket: &impl AsFd) {
    let options = SockRef::from(socket);
    if crate::sys::close_unheard(socket).is_err() {
        // One of the two is the socket's family.
        let _ = options.set_ttl_v4(1).or(options.set_unicast_hops_v6(1));
    }
    // Without descriptors to spare it ends now.
    if let Ok(deaf) = deafened(socket) {
        let oldest = HELD.with_borrow_mut(|held| {
            held.push_back(deaf);
            (held.len() > MAX_HELD).then(|| held.pop_front())
        });
        drop(oldest);
    }
}

/// A second descriptor of the socket, which takes in and sends nothing.
fn deafened(socket: &impl AsFd) -> io::Result<OwnedFd> {
    let options = SockRef::from(socket);
    // Some kernels let nobody but root do this. What comes is then taken in until the receive buffer is full, in silence too.
    let _ = options.attach_filter(&[SockFilter::new(CUT_TO, 0, 0, 0)]);
    options.set_keepalive(false)?;
    socket.as_fd().try_clone_to_owned()
}
