//! A listener whose connections are limited, in number and in silence: what may be open at a time is little, so who says nothing
//! must not keep a place. More connections wait in the kernel.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, Sleep};

use crate::{MAX_BODY_BYTES, MAX_PLAN_BYTES, MAX_PLANS, MAX_QUESTIONS, Shown};

/// Time of a connection between two requests, for the next request to come, and for each piece of an answer to be taken; then it is
/// closed. Half a minute is enough for people and for programs on other machines; scrapers that ask less often connect anew.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// Bytes of a request for which a connection has another [`SILENCE`]: a large configuration may come over a slow line, but not
/// byte by byte.
const PIECE_BYTES: usize = 16 * 1024;

/// The listener.
pub(crate) struct Limited {
    listener: TcpListener,
    free: Arc<Semaphore>,
    shown: Shown,
}

/// A connection, with its place among those that may be open.
pub(crate) struct Connection {
    stream: TcpStream,
    silence: Pin<Box<Sleep>>,
    /// Bytes that came since it had time anew.
    came: usize,
    /// The client has ended its side.
    ended: bool,
    answering: Answering,
    /// Where it is counted that it was silent.
    shown: Shown,
    _place: OwnedSemaphorePermit,
}

/// True while the other side has said everything and waits.
#[derive(Clone, Default)]
pub(crate) struct Answering(Arc<AtomicBool>);

impl Limited {
    /// At most `connections` of `listener` are open at a time. What is silent is counted by what is shown.
    pub(crate) fn new(listener: TcpListener, connections: usize, shown: Shown) -> Self {
        let free = Arc::new(Semaphore::new(connections));
        Self {
            listener,
            free,
            shown,
        }
    }
}

impl axum::serve::Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed; if it were, nothing should be accepted any more.
        let Ok(place) = self.free.clone().acquire_owned().await else {
            return std::future::pending().await;
        };
        // axum's own, which waits and goes on when accept(2) fails.
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            silence: Box::pin(tokio::time::sleep(SILENCE)),
            came: 0,
            ended: false,
            answering: Answering::default(),
            shown: self.shown.clone(),
            _place: place,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Limited>> for Answering {
    fn connect_info(stream: IncomingStream<'_, Limited>) -> Self {
        stream.io().answering.clone()
    }
}

/// Ends it, also where nobody waits for the answer any more.
struct Ends(Answering);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

impl Answering {
    fn begins(&self) -> Ends {
        self.0.store(true, Ordering::Relaxed);
        Ends(self.clone())
    }
}

static QUESTIONS: Semaphore = Semaphore::const_new(MAX_QUESTIONS);
static PLANS: Semaphore = Semaphore::const_new(MAX_PLANS);

/// A place among those that send much; the other side waits for it.
async fn place(
    places: &'static Semaphore,
    answering: &Answering,
) -> Option<SemaphorePermit<'static>> {
    let _waits = answering.begins();
    // They are never closed.
    places.acquire().await.ok()
}

/// True where the answer takes a copy of much.
fn is_question(path: &str) -> bool {
    path == "/explain" || path == "/plan" || path.starts_with("/history/")
}

/// Reads all of a request before it is answered, so that what comes is timed, and what is waited for is not.
pub(crate) async fn whole(
    ConnectInfo(answering): ConnectInfo<Answering>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let may_be_large = parts.uri.path() == "/plan" && parts.method == Method::POST;
    let (most, _large) = match may_be_large {
        true => (MAX_PLAN_BYTES, place(&PLANS, &answering).await),
        false => (MAX_BODY_BYTES, None),
    };
    if body.size_hint().lower() > most as u64 {
        let text = format!("the body has more than {most} bytes\n");
        return (StatusCode::PAYLOAD_TOO_LARGE, text).into_response();
    }
    let Ok(body) = to_bytes(body, most).await else {
        let text = format!("the body breaks off, or has more than {most} bytes\n");
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let _ends = answering.begins();
    let _question = match is_question(parts.uri.path()) {
        true => QUESTIONS.acquire().await.ok(),
        false => None,
    };
    next.run(Request::from_parts(parts, Body::from(body))).await
}

impl Connection {
    /// It has time anew.
    fn renew(&mut self) {
        self.came = 0;
        self.silence.as_mut().reset(Instant::now() + SILENCE);
    }

    /// Nothing moves.
    fn still<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.answering.0.load(Ordering::Relaxed) {
            self.renew();
            return Poll::Pending;
        }
        ready!(self.silence.as_mut().poll(cx));
        if let Some(running) = self.shown.get() {
            running.admin_was_silent();
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            let is_end = read.is_ok() && buffer.filled().len() == before && buffer.remaining() > 0;
            if is_end && !std::mem::replace(&mut self.ended, true) {
                // A request that came with it begins before it is told: it would be thrown away unseen.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let is_first = self.came == 0;
            self.came += buffer.filled().len() - before;
            if is_first || self.came > PIECE_BYTES {
                self.renew();
                self.came = 1;
            }
            return Poll::Ready(read);
        }
        self.still(cx)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(cx, bytes) {
            self.renew();
            return Poll::Ready(written);
        }
        self.still(cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use std::sync::atomic::AtomicUsize;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);

    async fn answer() -> &'static str {
        let now = NOW.fetch_add(1, Ordering::Relaxed) + 1;
        MOST.fetch_max(now, Ordering::Relaxed);
        tokio::time::sleep(SILENCE * 2).await;
        NOW.fetch_sub(1, Ordering::Relaxed);
        "done"
    }

    #[tokio::test(start_paused = true)]
    async fn few_questions_are_answered_at_once_and_others_wait() {
        const ASKED: usize = 6;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Limited::new(listener, ASKED, Shown::default());
        let router = Router::new()
            .route("/explain", get(answer))
            .layer(axum::middleware::from_fn(whole))
            .into_make_service_with_connect_info::<Answering>();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let mut asked = Vec::new();
        for _ in 0..ASKED {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = b"GET /explain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            asked.push(stream);
        }
        for mut stream in asked {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("done"), "{answer}");
        }
        assert_eq!(MOST.load(Ordering::Relaxed), MAX_QUESTIONS);
        server.abort();
    }
}
