//! How sessions of clients are resumed: by tickets, without memory, which all workers share and a new process takes over; and by ids,
//! for clients of TLS 1.2 that have no tickets.
//!
//! Decides which key seals a ticket and which keys still open one. A key seals for eight hours and then opens for twelve more, so that
//! every ticket lives as long as its hint says; after that its secret is dropped, and with it forward secrecy is complete. A ticket is
//!
//! ```text
//! name of the key (16) · nonce (12) · sealed: id of the session (32), state · tag (16)
//! AES-256-GCM, associated data: name, form and scope
//! ```
//!
//! The scope keeps listeners apart that must not resume each other's sessions, such as one that asks for client certificates and one
//! that does not: rustls leaves this to us. Time is asked from a clock given by the caller.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use portway_core::client_hello::SessionId;
use portway_dataplane::client_tls::{leave_session, session_so_far};
use rustls::server::{ProducesTickets, StoresServerSessions};
use rustls::time_provider::TimeProvider;

/// How long a key seals tickets. With random nonces a key may seal 2^32 tickets (NIST SP 800-38D section 8.3): 149,000 a second.
pub const ROTATE_AFTER: Duration = Duration::from_secs(8 * 60 * 60);

/// How long a ticket can be used, as clients are told (RFC 8446 section 4.6.1 allows seven days). Half a day is what rustls does.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// The most keys alive: one that seals and two that still open (twelve hours at eight hours each).
pub const MAX_TICKET_KEYS: usize = 3;

/// The largest ticket we make or open, in bytes. Ours have some 200; a chain of client certificates makes them larger.
pub const MAX_TICKET_BYTES: usize = 16 * 1024;

const NAME_LEN: usize = 16;
const SECRET_LEN: usize = 32;
const TAG_LEN: usize = 16;
const HEAD_LEN: usize = NAME_LEN + NONCE_LEN;
const ID_LEN: usize = 32;

/// The form of tickets: those of another do not open.
const FORM: &[u8] = &[2];

/// Sessions kept per listener for TLS 1.2 clients that resume by session id instead of a ticket, such as Java before version 13.
/// Some 200 bytes each; the oldest make room. They outlive reloads, not the process.
pub const SESSION_ID_CACHE: usize = 1024;

/// First bytes of [`TicketKeys::export`], the last one being the version of the form.
const EXPORT_MAGIC: [u8; 5] = *b"PWTK\x01";

/// The keys of tickets, shared by every worker and listener.
pub struct TicketKeys {
    clock: Arc<dyn TimeProvider>,
    /// The newest first. Written only when a key is due, three times a day.
    keys: RwLock<Vec<TicketKey>>,
    /// Sessions by id, of the scopes in use.
    by_id: Mutex<HashMap<String, Weak<SessionsById>>>,
}

/// How sessions of one scope are resumed.
#[derive(Debug)]
pub struct Resumption {
    pub(super) tickets: Arc<dyn ProducesTickets>,
    pub(super) by_id: Arc<dyn StoresServerSessions>,
}

struct TicketKey {
    name: [u8; NAME_LEN],
    secret: [u8; SECRET_LEN],
    /// Seconds since 1970.
    born: u64,
    aead: LessSafeKey,
}

/// Why keys could not be made or taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketKeyError {
    /// The system gives no randomness, or no time.
    NoRandomness,
    /// What should be exported keys is not: another version, or cut off.
    NotKeys,
}

impl fmt::Display for TicketKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRandomness => "the system gives no randomness for session ticket keys",
            Self::NotKeys => "the session ticket keys of the old process cannot be read",
        })
    }
}

impl std::error::Error for TicketKeyError {}

impl TicketKeys {
    /// Fresh keys.
    ///
    /// # Errors
    /// [`TicketKeyError::NoRandomness`].
    pub fn new(clock: Arc<dyn TimeProvider>) -> Result<Arc<Self>, TicketKeyError> {
        let now = clock
            .current_time()
            .ok_or(TicketKeyError::NoRandomness)?
            .as_secs();
        let first = TicketKey::random(now)?;
        Ok(Arc::new(Self {
            clock,
            keys: RwLock::new(vec![first]),
            by_id: Mutex::default(),
        }))
    }

    /// What a listener gives to rustls. Sessions of one scope are not resumed in another; those of a scope in use are found
    /// by whoever asks for it again. `until`, in seconds since 1970: no session of the scope is resumed from then on, since the
    /// handshake that it comes from would not succeed any more.
    #[must_use]
    pub fn resumption(self: &Arc<Self>, scope: &str, until: Option<u64>) -> Resumption {
        let mut known = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, sessions| sessions.strong_count() > 0);
        let by_id = known.get(scope).and_then(Weak::upgrade);
        let by_id = by_id.unwrap_or_else(|| {
            let new = Arc::new(SessionsById::default());
            known.insert(scope.to_owned(), Arc::downgrade(&new));
            new
        });
        let keys = Arc::clone(self);
        Resumption {
            tickets: Arc::new(ScopedTickets {
                scope: scope.to_owned(),
                ends: Ends { keys, until },
            }),
            by_id: Arc::new(EndingSessions {
                sessions: by_id,
                ends: Ends {
                    keys: Arc::clone(self),
                    until,
                },
            }),
        }
    }

    /// The tickets of a scope.
    #[must_use]
    pub fn scoped(self: &Arc<Self>, scope: &str) -> Arc<dyn ProducesTickets> {
        self.resumption(scope, None).tickets
    }

    /// The keys that are alive, secrets included, for the process that takes over. To be sent over a private socket only.
    #[must_use]
    pub fn export(&self) -> Vec<u8> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = EXPORT_MAGIC.to_vec();
        for key in keys.iter() {
            bytes.extend(key.born.to_be_bytes());
            bytes.extend(key.name);
            bytes.extend(key.secret);
        }
        bytes
    }

    /// Takes the keys of another process over in place of our own. Those past their time are left out; if none is left, ours stay.
    ///
    /// # Errors
    /// [`TicketKeyError::NotKeys`]; our keys stay then.
    pub fn import(&self, exported: &[u8]) -> Result<(), TicketKeyError> {
        let entries = exported
            .strip_prefix(&EXPORT_MAGIC)
            .ok_or(TicketKeyError::NotKeys)?;
        let (entries, rest) = entries.as_chunks::<{ 8 + NAME_LEN + SECRET_LEN }>();
        if !rest.is_empty() || entries.len() > MAX_TICKET_KEYS {
            return Err(TicketKeyError::NotKeys);
        }
        let now = self.now().ok_or(TicketKeyError::NoRandomness)?;
        let mut imported = entries
            .iter()
            .map(TicketKey::read)
            .collect::<Result<Vec<_>, _>>()?;
        imported.retain(|key| key.opens_at(now));
        imported.sort_by_key(|key| std::cmp::Reverse(key.born));
        if !imported.is_empty() {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = imported;
        }
        Ok(())
    }

    /// Makes a new key if the newest one is due and drops those past their time. Sealing does it too; calling this now and then drops
    /// secrets in time on a listener without traffic.
    pub fn rotate_if_due(&self) {
        let Some(now) = self.now() else { return };
        let is_due = |keys: &[TicketKey]| !keys.first().is_some_and(|newest| newest.seals_at(now));
        if !is_due(&self.keys.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|key| key.opens_at(now));
        if is_due(&keys)
            && let Ok(fresh) = TicketKey::random(now)
        {
            keys.insert(0, fresh);
            keys.truncate(MAX_TICKET_KEYS);
        }
    }

    fn now(&self) -> Option<u64> {
        self.clock.current_time().map(|now| now.as_secs())
    }

    fn seal(&self, scope: &str, id: &[u8; ID_LEN], plain: &[u8]) -> Option<Vec<u8>> {
        let length = HEAD_LEN + ID_LEN + plain.len() + TAG_LEN;
        if length > MAX_TICKET_BYTES {
            return None;
        }
        self.rotate_if_due();
        let now = self.now()?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        // Without randomness for a new key the old one would seal for ever: rather no tickets.
        let key = keys.first().filter(|key| key.seals_at(now))?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(length);
        ticket.extend(key.name);
        ticket.extend(nonce);
        ticket.extend(id);
        ticket.extend(plain);
        let state = ticket.get_mut(HEAD_LEN..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .aead
            .seal_in_place_separate_tag(nonce, associated(&key.name, scope), state)
            .ok()?;
        ticket.extend(tag.as_ref());
        Some(ticket)
    }

    /// The id of the session, and its state.
    fn open(&self, scope: &str, ticket: &[u8]) -> Option<(SessionId, Vec<u8>)> {
        if ticket.len() > MAX_TICKET_BYTES {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let now = self.now()?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        // The name is no secret: comparing it may take any time.
        let key = keys
            .iter()
            .find(|key| key.name == *name && key.opens_at(now))?;
        let mut state = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key
            .aead
            .open_in_place(nonce, associated(name, scope), &mut state)
            .ok()?
            .len();
        state.truncate(length);
        let id = SessionId::of(state.get(..ID_LEN)?)?;
        state.drain(..ID_LEN);
        Some((id, state))
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys")
    }
}

impl TicketKey {
    fn random(born: u64) -> Result<Self, TicketKeyError> {
        let (mut name, mut secret) = ([0; NAME_LEN], [0; SECRET_LEN]);
        let filled =
            aws_lc_rs::rand::fill(&mut name).and_then(|()| aws_lc_rs::rand::fill(&mut secret));
        filled.map_err(|_| TicketKeyError::NoRandomness)?;
        Self::of(born, name, secret)
    }

    fn read(entry: &[u8; 8 + NAME_LEN + SECRET_LEN]) -> Result<Self, TicketKeyError> {
        let parts = || {
            let (born, rest) = entry.split_first_chunk::<8>()?;
            let (name, rest) = rest.split_first_chunk::<NAME_LEN>()?;
            Some((
                u64::from_be_bytes(*born),
                *name,
                *rest.first_chunk::<SECRET_LEN>()?,
            ))
        };
        let (born, name, secret) = parts().ok_or(TicketKeyError::NotKeys)?;
        Self::of(born, name, secret)
    }

    fn of(
        born: u64,
        name: [u8; NAME_LEN],
        secret: [u8; SECRET_LEN],
    ) -> Result<Self, TicketKeyError> {
        let aead = UnboundKey::new(&AES_256_GCM, &secret).map_err(|_| TicketKeyError::NotKeys)?;
        Ok(Self {
            name,
            secret,
            born,
            aead: LessSafeKey::new(aead),
        })
    }

    fn seals_at(&self, now: u64) -> bool {
        now.saturating_sub(self.born) < ROTATE_AFTER.as_secs()
    }

    fn opens_at(&self, now: u64) -> bool {
        now.saturating_sub(self.born) < ROTATE_AFTER.as_secs() + TICKET_LIFETIME.as_secs()
    }
}

fn associated(name: &[u8; NAME_LEN], scope: &str) -> Aad<Vec<u8>> {
    // The name has a fixed length: no two pairs give the same bytes.
    Aad::from([name, FORM, scope.as_bytes()].concat())
}

/// When sessions of a scope are resumed no more, and the clock that says so.
#[derive(Debug)]
struct Ends {
    keys: Arc<TicketKeys>,
    until: Option<u64>,
}

impl Ends {
    fn is_over(&self) -> bool {
        let over = |until| self.keys.now().is_none_or(|now| now >= until);
        self.until.is_some_and(over)
    }
}

/// The keys as one listener sees them.
#[derive(Debug)]
struct ScopedTickets {
    scope: String,
    ends: Ends,
}

impl ProducesTickets for ScopedTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(TICKET_LIFETIME.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let id = id_of_session()?;
        let ticket = self.ends.keys.seal(&self.scope, &id, plain)?;
        leave_session(SessionId::of(&id)?);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if self.ends.is_over() {
            return None;
        }
        let (id, state) = self.ends.keys.open(&self.scope, ticket)?;
        leave_session(id);
        Some(state)
    }
}

/// The id that the session has, or a new one.
fn id_of_session() -> Option<[u8; ID_LEN]> {
    let so_far = session_so_far();
    let known = so_far.as_ref().and_then(SessionId::given);
    if let Some(known) = known.and_then(|id| id.first_chunk()) {
        return Some(*known);
    }
    let mut id = [0; ID_LEN];
    aws_lc_rs::rand::fill(&mut id).ok()?;
    Some(id)
}

/// Sessions by their ids; the oldest make room.
#[derive(Default)]
struct SessionsById {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    states: HashMap<Vec<u8>, Vec<u8>>,
    oldest_first: VecDeque<Vec<u8>>,
}

impl fmt::Debug for SessionsById {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionsById")
    }
}

impl StoresServerSessions for SessionsById {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let Some(id) = SessionId::of(&key) else {
            return false;
        };
        leave_session(id);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.states.insert(key.clone(), value).is_none() {
            kept.oldest_first.push_back(key);
        }
        while kept.states.len() > SESSION_ID_CACHE
            && let Some(oldest) = kept.oldest_first.pop_front()
        {
            kept.states.remove(&oldest);
        }
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let state = kept.states.get(key)?.clone();
        leave_session(SessionId::of(key)?);
        Some(state)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let state = kept.states.remove(key)?;
        kept.oldest_first.retain(|it| it != key);
        leave_session(SessionId::of(key)?);
        Some(state)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// Sessions by their ids, as one listener sees them.
#[derive(Debug)]
struct EndingSessions {
    sessions: Arc<SessionsById>,
    ends: Ends,
}

impl StoresServerSessions for EndingSessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.sessions.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions.get(key).filter(|_| !self.ends.is_over())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions.take(key).filter(|_| !self.ends.is_over())
    }

    fn can_cache(&self) -> bool {
        true
    }
}
