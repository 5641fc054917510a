//! What comes before a connection is served: the header of the PROXY protocol, TLS, the rules of the session phase.
//!
//! Each is left out where it is not asked for; a connection that fails here leaves its record and is closed.

use crate::buffer::Buffer;
use crate::client_tls::{AnswersHello, Judged, begin_session, take_judged, take_session};
use crate::connection::{Connection, TlsDetails};
use crate::fault::Fault;
use crate::handshake_failure::failure;
use crate::record;
use crate::rules::{Rules, Verdict};
use crate::stream::Stream;
use portway_core::proxy_protocol::{MAX_HEADER, Read, begins_header, read};
use portway_model::settings::ProxyHeader;
use portway_model::snapshot::GroupId;
use rustls::ServerConnection;
use rustls::server::Acceptor;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// How a connection is served, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Requests are read.
    Http,
    /// Bytes are passed on to this group, or to one that later rules name.
    Stream(Option<GroupId>),
}

/// What there is to do before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// TLS or rules; and first a header of the PROXY protocol, where `proxy` says what it is.
    Something { proxy: Option<ProxyHeader> },
}

/// Does it. `None`: the connection is over.
pub(crate) async fn run(
    connection: &mut Connection,
    mut stream: Stream,
    proxy: Option<ProxyHeader>,
    way: Way,
) -> Option<(Way, Stream)> {
    if let Some(header) = proxy
        && !behind_proxy(connection, &mut stream, header).await
    {
        return None;
    }
    let (way, stream, _) = secure(connection, stream, (way, None)).await?;
    Some((way, stream))
}

/// What comes behind the PROXY protocol. `first`: what was read of the client already; what of it is not used up is given
/// back.
pub(crate) async fn secure(
    connection: &mut Connection,
    mut stream: Stream,
    (way, mut first): (Way, Option<Buffer>),
) -> Option<(Way, Stream, Option<Buffer>)> {
    let generation = Rc::clone(&connection.generation);
    let (listener, parts) = generation.plane.listener(connection.listener)?;
    let takes_clear = listener.tls.as_ref().is_some_and(|tls| tls.accept_clear);
    if let Some(tls) = &parts.tls
        && (!takes_clear || begins_with_tls(connection, &mut stream, first.as_ref()).await?)
    {
        stream = handshake(connection, stream, tls.as_ref(), first.take()).await?;
    }
    let rules = &listener.rules.session;
    if rules.is_empty() {
        return Some((way, stream, first));
    }
    match (Rules::new(rules).run(connection, None), way) {
        (Some(Verdict::Reject { silent }), _) => {
            reject(connection, &mut stream, silent);
            None
        }
        (Some(Verdict::Forward(group)), Way::Stream(None)) => {
            Some((Way::Stream(Some(group)), stream, first))
        }
        _ => Some((way, stream, first)),
    }
}

/// The first byte of a TLS connection: the type of a record of the handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// Looks whether the client begins with TLS, for as long as a handshake may take. `None`: nothing came.
async fn begins_with_tls(
    connection: &mut Connection,
    stream: &mut Stream,
    first: Option<&Buffer>,
) -> Option<bool> {
    if let Some(first) = first.and_then(|first| first.filled().first()) {
        return Some(*first == HANDSHAKE);
    }
    let begun = Instant::now();
    connection.timer.set(connection.head_timeout());
    let first = poll_fn(|cx| match poll_first(stream, cx) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => {
            let timer = &connection.timer;
            timer.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
        }
    })
    .await;
    match first {
        Ok(first) => Some(first == HANDSHAKE),
        Err(error) => {
            let why = handshake_error(&error, None);
            record::closed_early(connection, begun, Fault::client_tls(), Some(why));
            None
        }
    }
}

/// The first byte of what the client sent; it stays in the socket.
fn poll_first(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<u8>> {
    let mut first = [0];
    match ready!(stream.poll_peek(cx, &mut first, 0))? {
        0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        _ => {
            let [first] = first;
            Poll::Ready(Ok(first))
        }
    }
}

/// Closes without a word, or so that the client does not hear of it where that is to be `silent`.
pub(crate) fn reject(connection: &Connection, stream: &mut Stream, silent: bool) {
    if silent {
        stream.vanish();
    }
    record::closed_early(connection, Instant::now(), Fault::closed_by_rule(), None);
}

/// Takes the header of the PROXY protocol, bounded like a request head; the client is then who it says. False where
/// there is none that has to be, or a damaged one.
async fn behind_proxy(
    connection: &mut Connection,
    stream: &mut Stream,
    header: ProxyHeader,
) -> bool {
    let begun = Instant::now();
    connection.timer.set(connection.head_timeout());
    let mut seen = 0;
    let believed = header != ProxyHeader::Ignored;
    let told = poll_fn(
        |cx| match poll_header(connection, stream, &mut seen, believed, cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => {
                let timer = &connection.timer;
                let absent = seen == 0;
                timer
                    .poll(cx)
                    .map(|()| Err(NoHeader::of(io::ErrorKind::TimedOut, absent)))
            }
        },
    )
    .await;
    match told {
        Ok(ends) => {
            if let Some(ends) = ends.filter(|_| believed) {
                (connection.peer, connection.local) = (ends.source, ends.destination);
                connection.timer.set_ends((ends.source, ends.destination));
            }
            true
        }
        // What came is what the client has to say, or it waits to be spoken to.
        Err(NoHeader::Absent(_)) if header != ProxyHeader::Required => true,
        Err(why) => {
            let (error, absent) = match why {
                NoHeader::Absent(error) => (error, true),
                NoHeader::Broken(error) => (error, false),
            };
            let fault = Fault::client_proxy();
            let why = match (error.kind(), absent) {
                (io::ErrorKind::InvalidData, false) => "Received an invalid PROXY protocol header",
                _ => proxy_error(&error),
            };
            record::closed_early(connection, begun, fault, Some(why));
            tracing::debug!(listener = connection.listener_name(), peer = %connection.peer, %error, "no PROXY header");
            false
        }
    }
}

type Ends = Option<portway_core::proxy_protocol::Ends>;

/// Why there is no header of the PROXY protocol.
enum NoHeader {
    /// The client began with something else, or with nothing.
    Absent(io::Error),
    /// It began with one.
    Broken(io::Error),
}

impl NoHeader {
    fn of(kind: io::ErrorKind, absent: bool) -> Self {
        match absent {
            true => Self::Absent(kind.into()),
            false => Self::Broken(kind.into()),
        }
    }
}

/// Looks at the header until it is whole, remembers what it tells where it is `believed`, and takes it off the socket: what follows it may be TLS, which reads from
/// the socket itself.
fn poll_header(
    connection: &mut Connection,
    stream: &mut Stream,
    seen: &mut usize,
    believed: bool,
    cx: &mut Context<'_>,
) -> Poll<Result<Ends, NoHeader>> {
    let worker = Rc::clone(&connection.worker);
    loop {
        let mut buffer = worker.buffers.lease();
        let spare = buffer.spare();
        let count = ready!(stream.poll_peek(cx, spare, *seen)).map_err(NoHeader::Broken)?;
        if count == 0 {
            return Poll::Ready(Err(NoHeader::of(io::ErrorKind::UnexpectedEof, *seen == 0)));
        }
        let came = spare.get(..count).unwrap_or_default();
        let (ends, length) = match read(came) {
            Read::Whole(header, length) => {
                if believed {
                    connection.keep_proxied(header.parts);
                }
                (header.ends, length)
            }
            Read::Partial if count < MAX_HEADER => {
                *seen = count;
                continue;
            }
            Read::Partial | Read::Refused => {
                let absent = !begins_header(came);
                return Poll::Ready(Err(NoHeader::of(io::ErrorKind::InvalidData, absent)));
            }
        };
        let header = spare.get_mut(..length).unwrap_or_default();
        let taken = ready!(stream.poll_take(cx, header)).map_err(NoHeader::Broken)?;
        return Poll::Ready(if taken == length {
            Ok(ends)
        } else {
            // It was there a moment ago.
            Err(NoHeader::of(io::ErrorKind::UnexpectedEof, false))
        });
    }
}

/// The TLS handshake, bounded like a request head; `None` where it failed. `first`: what was read of it.
async fn handshake(
    connection: &mut Connection,
    mut stream: Stream,
    tls: &dyn AnswersHello,
    first: Option<Buffer>,
) -> Option<Stream> {
    let begun = Instant::now();
    connection.timer.set(connection.head_timeout());
    let timer = &connection.timer;
    let in_time = |cx: &mut Context<'_>| timer.poll(cx).map(|()| io::ErrorKind::TimedOut.into());
    let mut acceptor = Acceptor::default();
    let mut read = first.as_ref().map_or(&[][..], Buffer::filled);
    let hello = poll_fn(|cx| match stream.poll_hello(&mut acceptor, &mut read, cx) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => in_time(cx).map(Err),
    })
    .await;
    let (mut shown, mut judge) = (None, None);
    let is_answered = hello.is_ok();
    begin_session(None);
    let session = hello.and_then(|hello| {
        let terms = tls.answer(&hello.client_hello());
        (shown, judge) = (terms.certificate, terms.judge);
        let mut session = stream.begin(hello, terms.config)?;
        read_on(&mut session, read)?;
        Ok(session)
    });
    drop(first);
    let (mut judged, mut session_id) = (None, None);
    let done = match session {
        Ok(session) => {
            session_id = take_session(&session);
            stream = Stream::accept_tls(stream.into_socket().ok()?, session);
            poll_fn(|cx| {
                begin_session(session_id);
                let done = stream.poll_handshake(cx);
                judged = take_judged().or(judged.take());
                session_id = stream.server_session().and_then(take_session);
                match done {
                    Poll::Ready(result) => Poll::Ready(result),
                    Poll::Pending => in_time(cx).map(Err),
                }
            })
            .await
        }
        Err(error) => Err(error),
    };
    let metrics = connection.shard().listener(connection.listener.index());
    if let Err(error) = done {
        let reason = failure(&error, is_answered, shown.is_some());
        metrics.tls_handshakes_failed.count(reason);
        let why = handshake_error(&error, judged.as_ref());
        if let Some(session) = stream.server_session() {
            let judged = judged.unwrap_or_default();
            let details = TlsDetails::of(session, begun.elapsed(), shown, judged, None);
            connection.tls = Some(Rc::new(details.of_failed()));
        }
        record::closed_early(connection, begun, Fault::client_tls(), Some(why));
        tracing::debug!(listener = connection.listener_name(), peer = %connection.peer, %error, "TLS handshake failed");
        return None;
    }
    metrics.tls_handshakes_ok.add(1);
    metrics.tls_handshake_time.observe(begun.elapsed());
    if let Some(session) = stream.server_session() {
        let judged = judged.unwrap_or_default();
        let mut details = TlsDetails::of(session, begun.elapsed(), shown, judged, session_id);
        if details.resumed {
            metrics.tls_resumptions.add(1);
            let chain = session.peer_certificates();
            if let (Some(judge), Some(chain)) = (judge, chain) {
                // Nothing was looked at in this handshake, and what is wrong stays wrong.
                details.verdict.last = judge.judge(chain).last;
            }
        }
        connection.tls = Some(Rc::new(details));
    }
    Some(stream)
}

/// Gives a session what was read of the client behind its ClientHello.
fn read_on(session: &mut ServerConnection, mut read: &[u8]) -> io::Result<()> {
    while !read.is_empty() {
        if session.read_tls(&mut read)? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let read_so_far = session.process_new_packets();
        read_so_far.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(())
}

/// Why a handshake failed, in HAProxy's words.
fn handshake_error(error: &io::Error, judged: Option<&Judged>) -> &'static str {
    if let Some(judged) = judged.filter(|it| it.refused.is_some()) {
        return match judged.ends_above {
            true => "SSL client CA chain cannot be verified",
            false => "SSL client certificate not trusted",
        };
    }
    match error.kind() {
        io::ErrorKind::TimedOut => "Timeout during SSL handshake",
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "Connection closed during SSL handshake"
        }
        _ => "SSL handshake failure",
    }
}

/// Why there was no header of the PROXY protocol, in HAProxy's words.
fn proxy_error(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::TimedOut => "Timeout while waiting for PROXY protocol header",
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "Connection closed while waiting for PROXY protocol header"
        }
        _ => "Received something which does not look like a PROXY protocol header",
    }
}
