//! How TLS of clients is terminated: what a ClientHello is answered with, and what is found of a client's certificate.

use portway_core::client_hello::SessionId;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// What control made of a listener's certificates.
pub trait AnswersHello: Send + Sync + fmt::Debug {
    /// Decides by what the client asks for.
    fn answer(&self, hello: &ClientHello<'_>) -> Terms;
}

/// Who knows faults of clients' certificates that are let pass.
pub trait JudgesClients: Send + Sync + fmt::Debug {
    /// What there is to say of this chain now; it begins with the client's own.
    fn judge(&self, chain: &[CertificateDer<'_>]) -> Verdict;
}

/// How a handshake goes on.
#[derive(Debug)]
pub struct Terms {
    /// What is spoken.
    pub config: Arc<ServerConfig>,
    /// What the client is shown; `None`: it is refused.
    pub certificate: Option<Arc<CertifiedKey>>,
    /// Judges the certificate of a session that is resumed; `None`: no fault is let pass.
    pub judge: Option<Arc<dyn JudgesClients>>,
}

/// Faults of a client's certificate and of those above it, by OpenSSL's numbers; 0: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The last that was found.
    pub last: u8,
    /// The first of its own.
    pub first: u8,
    /// The first of one above it.
    pub above: u8,
    /// How far above it that one is.
    pub depth: u8,
}

impl Verdict {
    /// One more fault, of the certificate that is so far above the client's.
    pub fn add(&mut self, fault: u8, depth: u8) {
        self.last = fault;
        if depth == 0 && self.first == 0 {
            self.first = fault;
        }
        if depth > 0 && self.above == 0 {
            (self.above, self.depth) = (fault, depth);
        }
    }
}

/// What a verifier found in a handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// What was found.
    pub verdict: Verdict,
    /// The certificate, DER, where the handshake fails by it.
    pub refused: Option<Box<[u8]>>,
    /// The handshake fails by one above it.
    pub ends_above: bool,
}

thread_local! {
    /// What the verifier found while this thread's last bytes were looked at. rustls shares one verifier between all
    /// connections and hands nothing of what it found back; it is called on the worker's thread, so the connection that gave
    /// it the bytes takes this before any other can run.
    static JUDGED: Cell<Option<Judged>> = const { Cell::new(None) };
}

/// Leaves what was found for the connection.
pub fn leave_judged(judged: Judged) {
    JUDGED.set(Some(judged));
}

/// What was found since it was last asked for.
pub(crate) fn take_judged() -> Option<Judged> {
    JUDGED.take()
}

thread_local! {
    /// By which id the session can be resumed that this thread looks at now. As with what was judged: what keeps sessions is
    /// shared and is not told for which connection it is asked.
    static SESSION: Cell<Option<SessionId>> = const { Cell::new(None) };
}

/// Tells the connection by which id its session can be resumed.
pub fn leave_session(id: SessionId) {
    SESSION.set(Some(id));
}

/// The id of the session so far, which its next ticket is to have too; `None`: it is a new one.
pub fn session_so_far() -> Option<SessionId> {
    SESSION.get()
}

/// What is found of sessions from now on is that of a connection whose session has this id so far.
pub(crate) fn begin_session(id: Option<SessionId>) {
    SESSION.set(id);
}

/// The id of a session after its last bytes were looked at. What was offered, and is not resumed after all, does not count:
/// nobody has shown that the session is theirs.
pub(crate) fn take_session(session: &rustls::ServerConnection) -> Option<SessionId> {
    let is_resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    let counts = is_resumed || !session.is_handshaking();
    SESSION.take().filter(|_| counts)
}
