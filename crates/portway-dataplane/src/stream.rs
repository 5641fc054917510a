//! A connection in clear or over TLS, polled without buffers of its own in clear.
//!
//! Reading uses what tokio knows of readiness: a read that does not fill the buffer has emptied the socket, so
//! waiting for more costs no further system call. TLS is rustls without an adapter between: ciphertext goes
//! straight from and to the socket.

use crate::connection::TlsDetails;
use crate::h2::Mux;
use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use rustls::{ClientConnection, ServerConfig, ServerConnection};
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// UNIX stream.
    Unix(UnixStream),
}

impl Socket {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(into);
        ready!(match self {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, &mut buf),
            Socket::Unix(socket) => Pin::new(socket).poll_read(cx, &mut buf),
        })?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    #[inline]
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Socket::Tcp(socket) => match from {
                [one] => Pin::new(socket).poll_write(cx, one),
                many => Pin::new(socket).poll_write_vectored(cx, many),
            },
            Socket::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, from),
        }
    }

    /// Sends all of this.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        poll_fn(|cx| {
            while !rest.is_empty() {
                match ready!(self.poll_write(cx, &[IoSlice::new(rest)]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    sent => rest = rest.get(sent..).unwrap_or_default(),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Looks at what is there without taking it; 0 at the end. `seen`: bytes that were looked at before and do not
    /// count as something new.
    fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Interest::READABLE, |socket| more(socket, into, seen))
    }

    /// Calls the kernel where the socket can be read, or written, and waits until it can where it says that it would block.
    pub(crate) fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        wanted: Interest,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let done = match self {
                Socket::Tcp(socket) => {
                    ready!(match wanted.is_readable() {
                        true => socket.poll_read_ready(cx),
                        false => socket.poll_write_ready(cx),
                    })?;
                    socket.try_io(wanted, || call(socket.as_fd()))
                }
                Socket::Unix(socket) => {
                    ready!(match wanted.is_readable() {
                        true => socket.poll_read_ready(cx),
                        false => socket.poll_write_ready(cx),
                    })?;
                    socket.try_io(wanted, || call(socket.as_fd()))
                }
            };
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }

    /// The socket in the runtime of this thread; what was known of its readiness is forgotten.
    fn moved_here(self) -> io::Result<Self> {
        Ok(match self {
            Socket::Tcp(socket) => Socket::Tcp(TcpStream::from_std(socket.into_std()?)?),
            Socket::Unix(socket) => Socket::Unix(UnixStream::from_std(socket.into_std()?)?),
        })
    }

    /// True where the peer has closed or sent something although nothing is expected of it. Asks the kernel only
    /// where an event has come, or `surely`.
    fn has_ended(&self, surely: bool) -> bool {
        let mut one = [0];
        match self {
            Socket::Tcp(socket) => {
                let quiet = matches!(socket.try_read(&mut one), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
                !quiet || (surely && crate::sys::has_input(socket))
            }
            Socket::Unix(socket) => {
                let quiet = matches!(socket.try_read(&mut one), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
                !quiet || (surely && crate::sys::has_input(socket))
            }
        }
    }
}

/// What a socket holds, if that is more than was `seen`. Else it would block: the next event is waited for.
fn more(socket: BorrowedFd<'_>, into: &mut [u8], seen: usize) -> io::Result<usize> {
    match crate::sys::peek(&socket, into)? {
        0 => Ok(0),
        count if count <= seen => Err(io::ErrorKind::WouldBlock.into()),
        count => Ok(count),
    }
}

/// The TLS side of a connection.
#[derive(Debug)]
enum Session {
    Server(ServerConnection),
    Client(ClientConnection),
}

/// Calls a method of whichever session it is.
macro_rules! session {
    ($self:expr, $session:ident => $call:expr) => {
        match $self {
            Session::Server($session) => $call,
            Session::Client($session) => $call,
        }
    };
}

/// A TLS connection over a socket.
#[derive(Debug)]
pub(crate) struct Tls {
    socket: Socket,
    session: Session,
    /// The socket has ended, with or without a close_notify.
    ended: bool,
    /// The peer has sent its close_notify.
    closed: bool,
    close_sent: bool,
    /// What was agreed on with a target.
    agreed: Option<Arc<TlsDetails>>,
}

/// What the two directions of an exchange are polled on.
#[derive(Debug)]
pub(crate) enum Stream {
    /// In clear.
    Plain(Socket),
    /// Over TLS; boxed because a session is over a kilobyte.
    Tls(Box<Tls>),
    /// One of those that a connection of HTTP/2 carries.
    Mux(Mux),
}

/// A connection of its own that nobody uses now: another worker may go on with it.
#[derive(Debug)]
pub(crate) enum Parked {
    /// In clear.
    Plain(Socket),
    /// Over TLS.
    Tls(Box<Tls>),
}

impl From<Parked> for Stream {
    fn from(parked: Parked) -> Self {
        match parked {
            Parked::Plain(socket) => Stream::Plain(socket),
            Parked::Tls(tls) => Stream::Tls(tls),
        }
    }
}

/// Lets rustls read from and write to a socket that is polled.
struct Polled<'a, 'b> {
    socket: &'a mut Socket,
    cx: &'a mut Context<'b>,
}

fn would_block(poll: Poll<io::Result<usize>>) -> io::Result<usize> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Polled<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        would_block(self.socket.poll_read(self.cx, into))
    }
}

impl Write for Polled<'_, '_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        would_block(self.socket.poll_write(self.cx, &[IoSlice::new(from)]))
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        would_block(self.socket.poll_write(self.cx, from))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pending_if_blocked<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        other => Poll::Ready(other),
    }
}

impl Tls {
    /// Sends what rustls has ready.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while session!(&self.session, s => s.wants_write()) {
            let mut socket = Polled {
                socket: &mut self.socket,
                cx,
            };
            let sent = session!(&mut self.session, s => s.write_tls(&mut socket));
            if ready!(pending_if_blocked(sent))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes ciphertext from the socket once. Ready(false): the socket has ended.
    fn poll_ciphertext(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut socket = Polled {
            socket: &mut self.socket,
            cx,
        };
        let received = session!(&mut self.session, s => s.read_tls(&mut socket));
        let received = ready!(pending_if_blocked(received))?;
        if received == 0 {
            self.ended = true;
        }
        match session!(&mut self.session, s => s.process_new_packets()) {
            Ok(state) => self.closed |= state.peer_has_closed(),
            Err(e) => {
                // The alert that says why; whether it arrives is the peer's concern.
                let _ = self.poll_flush(cx);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, e)));
            }
        }
        Poll::Ready(Ok(received > 0))
    }

    /// Ready where the peer has said that nothing follows, or has gone; what it sent before is kept.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.ended && !self.closed {
            // No more than one record is taken ahead of who reads.
            if session!(&self.session, s => !s.wants_read()) {
                return Poll::Pending;
            }
            if ready!(self.poll_ciphertext(cx)).is_err() {
                break;
            }
        }
        Poll::Ready(())
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !session!(&self.session, s => s.is_handshaking()) {
                return Poll::Ready(Ok(()));
            }
            if !ready!(self.poll_ciphertext(cx))? {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let read = session!(&mut self.session, s => s.reader().read(into));
            match read {
                Ok(n) => return Poll::Ready(Ok(n)),
                // Ended without close_notify. HTTP/1 framing and the peer's own protocol tell whether that cut
                // something off; a message that only the end of the connection delimits is taken as complete,
                // as every server does it, because so many peers never send close_notify.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(e)),
                Err(_) if self.ended => return Poll::Ready(Ok(0)),
                Err(_) => {}
            }
            ready!(self.poll_ciphertext(cx))?;
            // Session tickets and key updates; a socket that takes nothing now is tried again by the next write.
            if let Poll::Ready(Err(e)) = self.poll_flush(cx) {
                return Poll::Ready(Err(e));
            }
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Nothing new is encrypted before the old is sent: what waits in memory stays below rustls's limit.
        ready!(self.poll_flush(cx))?;
        let taken = session!(&mut self.session, s => s.writer().write_vectored(from))?;
        if let Poll::Ready(Err(e)) = self.poll_flush(cx) {
            return Poll::Ready(Err(e));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.close_sent {
            self.close_sent = true;
            session!(&mut self.session, s => s.send_close_notify());
        }
        ready!(self.poll_flush(cx))?;
        self.socket.poll_shutdown(cx)
    }
}

impl Stream {
    /// A connection on which TLS is to be terminated.
    pub(crate) fn accept_tls(socket: Socket, session: ServerConnection) -> Self {
        Stream::Tls(Box::new(Tls {
            socket,
            session: Session::Server(session),
            ended: false,
            closed: false,
            close_sent: false,
            agreed: None,
        }))
    }

    /// Reads the ClientHello of a client that TLS is expected of. `read`: what was read of it before; what of it is used
    /// up is taken off.
    pub(crate) fn poll_hello(
        &mut self,
        acceptor: &mut Acceptor,
        read: &mut &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Accepted>> {
        loop {
            let taken = match read.is_empty() {
                true => match self.socket_mut() {
                    Some(socket) => acceptor.read_tls(&mut Polled { socket, cx }),
                    None => Err(io::ErrorKind::Unsupported.into()),
                },
                false => acceptor.read_tls(read),
            };
            if ready!(pending_if_blocked(taken))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            match acceptor.accept() {
                Ok(Some(hello)) => return Poll::Ready(Ok(hello)),
                Ok(None) => {}
                Err(refused) => return Poll::Ready(Err(self.refuse(refused))),
            }
        }
    }

    /// Goes on with what was read of the client.
    pub(crate) fn begin(
        &mut self,
        hello: Accepted,
        config: Arc<ServerConfig>,
    ) -> io::Result<ServerConnection> {
        hello
            .into_connection(config)
            .map_err(|refused| self.refuse(refused))
    }

    /// Says why; whether it arrives is the peer's concern.
    fn refuse(&mut self, (error, mut alert): (rustls::Error, AcceptedAlert)) -> io::Error {
        let cx = &mut Context::from_waker(Waker::noop());
        if let Some(socket) = self.socket_mut() {
            let _ = alert.write_all(&mut Polled { socket, cx });
        }
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    /// The socket, whatever went over it.
    ///
    /// # Errors
    /// It has none of its own.
    pub(crate) fn into_socket(self) -> io::Result<Socket> {
        match self {
            Stream::Plain(socket) => Ok(socket),
            Stream::Tls(tls) => Ok(tls.socket),
            Stream::Mux(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn socket_mut(&mut self) -> Option<&mut Socket> {
        match self {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(tls) => Some(&mut tls.socket),
            Stream::Mux(_) => None,
        }
    }

    /// A connection on which TLS is to be begun.
    pub(crate) fn begin_tls(socket: Socket, session: ClientConnection) -> Self {
        Stream::Tls(Box::new(Tls {
            socket,
            session: Session::Client(session),
            ended: false,
            closed: false,
            close_sent: false,
            agreed: None,
        }))
    }

    /// Ready when the handshake is done; at once in clear.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) | Stream::Mux(_) => Poll::Ready(Ok(())),
            Stream::Tls(tls) => tls.poll_handshake(cx),
        }
    }

    /// Reads what is there; 0 at the end.
    #[inline]
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(socket) => socket.poll_read(cx, into),
            Stream::Tls(tls) => tls.poll_read(cx, into),
            Stream::Mux(mux) => mux.poll_read(cx, into),
        }
    }

    /// Writes as much as the socket takes. After the last write, [`Stream::poll_flush`].
    #[inline]
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(socket) => socket.poll_write(cx, from),
            Stream::Tls(tls) => tls.poll_write(cx, from),
            Stream::Mux(mux) => mux.poll_write(cx, from),
        }
    }

    /// Ready when everything written is with the kernel.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(tls) => tls.poll_flush(cx),
            Stream::Mux(mux) => mux.poll_flush(cx),
        }
    }

    /// Ends our direction; over TLS with a close_notify.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(socket) => socket.poll_shutdown(cx),
            Stream::Tls(tls) => tls.poll_shutdown(cx),
            Stream::Mux(mux) => mux.poll_shutdown(cx),
        }
    }

    /// Looks at what the socket holds without taking it: before TLS is begun. See [`Socket::poll_peek`].
    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        match self.socket() {
            Some(socket) => socket.poll_peek(cx, into, seen),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Takes bytes off the socket that were looked at.
    pub(crate) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.socket_mut() {
            Some(socket) => socket.poll_read(cx, into),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    fn socket(&self) -> Option<&Socket> {
        match self {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(tls) => Some(&tls.socket),
            Stream::Mux(_) => None,
        }
    }

    /// Makes the end of the connection, which comes when this is dropped, a reset in clear and an end without
    /// close_notify over TLS.
    pub(crate) fn reset(&mut self) {
        if let Stream::Mux(mux) = self {
            return mux.reset();
        }
        if let Some(Socket::Tcp(socket)) = self.socket() {
            // A socket that refuses is closed in the ordinary way.
            let _ = socket2::SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    /// Tells the peer that nothing will come any more. What it sent and nobody read would make a reset of the end otherwise.
    pub(crate) fn say_end(&self) {
        // One that has gone already needs no telling.
        let _ = match self.socket() {
            Some(Socket::Tcp(socket)) => socket2::SockRef::from(socket).shutdown(Shutdown::Write),
            Some(Socket::Unix(socket)) => socket2::SockRef::from(socket).shutdown(Shutdown::Write),
            None => Ok(()),
        };
    }

    /// Makes the end of the connection, which comes when this is dropped, one that the client does not hear of.
    pub(crate) fn vanish(&mut self) {
        if let Stream::Mux(mux) = self {
            return mux.vanish();
        }
        self.reset();
        if let Some(Socket::Tcp(socket)) = self.socket() {
            crate::unheard::leave(socket);
        }
    }

    /// To be used later, perhaps by another worker; `None` for a stream of HTTP/2.
    pub(crate) fn parked(self) -> Option<Parked> {
        match self {
            Stream::Plain(socket) => Some(Parked::Plain(socket)),
            Stream::Tls(tls) => Some(Parked::Tls(tls)),
            Stream::Mux(_) => None,
        }
    }

    /// The connection in the runtime of this thread, which may be another worker's than the one it was opened in.
    pub(crate) fn moved_here(self) -> io::Result<Self> {
        Ok(match self {
            Stream::Plain(socket) => Stream::Plain(socket.moved_here()?),
            Stream::Tls(mut tls) => {
                tls.socket = tls.socket.moved_here()?;
                Stream::Tls(tls)
            }
            Stream::Mux(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// True where an idle connection cannot carry another request. Asks the kernel only if `surely` or an event came.
    pub(crate) fn has_ended(&self, surely: bool) -> bool {
        match self {
            Stream::Plain(socket) => socket.has_ended(surely),
            Stream::Tls(tls) => tls.ended || tls.socket.has_ended(surely),
            Stream::Mux(mux) => mux.has_ended(),
        }
    }

    /// True where the kernel has something of the peer that nobody was told of yet.
    pub(crate) fn has_input(&self) -> bool {
        match self.socket() {
            Some(Socket::Tcp(socket)) => crate::sys::has_input(socket),
            Some(Socket::Unix(socket)) => crate::sys::has_input(socket),
            // It begins with what has come.
            None => false,
        }
    }

    /// True where a peer says so that wants nothing more, and may still hear us otherwise.
    pub(crate) fn tells_of_its_end(&self) -> bool {
        matches!(self, Stream::Mux(_))
    }

    /// Ready where the peer has ended its direction or has gone. Pending, and not woken, while something that it sent waits to
    /// be read.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Stream::Plain(socket) => match ready!(socket.poll_peek(cx, &mut [0], 0)) {
                Ok(1..) => Poll::Pending,
                Ok(0) | Err(_) => Poll::Ready(()),
            },
            Stream::Tls(tls) => tls.poll_gone(cx),
            Stream::Mux(mux) => mux.poll_gone(cx),
        }
    }

    /// Lets the system take no more than so many bytes ahead of what it sends.
    pub(crate) fn hold_back(&self, bytes: u32) {
        if let Some(socket) = self.tcp() {
            // Where that is not possible, a slow client is noticed later.
            let _ = socket2::SockRef::from(socket).set_tcp_notsent_lowat(bytes);
        }
    }

    /// The socket of a connection in clear.
    #[inline]
    pub(crate) fn clear(&self) -> Option<&Socket> {
        match self {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(_) | Stream::Mux(_) => None,
        }
    }

    /// The socket; `None` for a UNIX socket, and for a stream of HTTP/2.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self.socket()? {
            Socket::Tcp(socket) => Some(socket),
            Socket::Unix(_) => None,
        }
    }

    /// Our address; `None` for a UNIX socket.
    pub(crate) fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.tcp()?.local_addr().ok()
    }

    /// Keeps what the finished handshake with a target agreed on.
    pub(crate) fn note_agreed(&mut self) {
        if let Stream::Tls(tls) = self
            && let Session::Client(session) = &tls.session
        {
            tls.agreed = Some(Arc::new(TlsDetails::of_target(session)));
        }
    }

    /// The other side has said which TLS it speaks.
    pub(crate) fn has_agreed(&self) -> bool {
        match self {
            Stream::Plain(_) | Stream::Mux(_) => false,
            Stream::Tls(tls) => session!(&tls.session, s => s.protocol_version().is_some()),
        }
    }

    /// What was agreed on with a target; `None` where TLS is not spoken.
    pub(crate) fn agreed(&self) -> Option<Arc<TlsDetails>> {
        match self {
            Stream::Plain(_) | Stream::Mux(_) => None,
            Stream::Tls(tls) => tls.agreed.clone(),
        }
    }

    /// The TLS session towards a client.
    pub(crate) fn server_session(&self) -> Option<&ServerConnection> {
        match self {
            Stream::Tls(tls) => match &tls.session {
                Session::Server(session) => Some(session),
                Session::Client(_) => None,
            },
            Stream::Plain(_) | Stream::Mux(_) => None,
        }
    }
}
