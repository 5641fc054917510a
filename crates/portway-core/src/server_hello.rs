//! What a target says first to a client whose TLS is not ended here: is it a ServerHello, and by which id may its session be
//! resumed?
//!
//! As [`client_hello`](crate::client_hello), of whose records and messages it is made. In TLS 1.2 the id is the server's
//! (RFC 5246 section 7.4.1.3); in TLS 1.3 it repeats what the client sent (RFC 8446 section 4.1.3).

use crate::client_hello::{Bytes, Message, SessionId, message};

/// Handshake type of a ServerHello, RFC 8446 section 4.
const SERVER_HELLO: u8 = 2;

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// The beginning of a TLS handshake, or nothing yet.
    Partial,
    /// Not a ServerHello; the type of the first message where it is a handshake nevertheless.
    Other(Option<u8>),
    /// A whole ServerHello, with the id of its session.
    Hello(SessionId),
}

impl Answered {
    /// True where more bytes cannot say anything else.
    pub fn is_settled(&self) -> bool {
        *self != Self::Partial
    }

    /// The type of the first handshake message, 2 for a ServerHello.
    pub fn handshake_type(&self) -> Option<u8> {
        match self {
            Self::Partial => None,
            Self::Other(kind) => *kind,
            Self::Hello(_) => Some(SERVER_HELLO),
        }
    }

    /// The id of the session, where there is one.
    pub fn session_id(&self) -> Option<&[u8]> {
        match self {
            Self::Hello(id) => id.given(),
            _ => None,
        }
    }
}

/// Looks at the first bytes that a target has sent, all that have come.
pub fn look(bytes: &[u8]) -> Answered {
    match message(bytes, SERVER_HELLO) {
        Ok(Message::Whole(body)) => match parse(&body) {
            Some(id) => Answered::Hello(id),
            None => Answered::Other(Some(SERVER_HELLO)),
        },
        Ok(Message::Part) => Answered::Partial,
        Err(kind) => Answered::Other(kind),
    }
}

/// The body of a ServerHello: version, random bytes, session id, cipher suite, compression.
fn parse(body: &[u8]) -> Option<SessionId> {
    let mut rest = Bytes(body);
    rest.u16()?;
    rest.take(32)?;
    let id = SessionId::of(rest.vector8()?)?;
    rest.take(3)?;
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ServerHello with this id, in records of at most so many bytes, and another message behind it.
    fn hello(id: &[u8], record: usize) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(id.len() as u8);
        body.extend(id);
        body.extend([0xC0, 0x2F, 0, 0, 5, 0xFF, 1, 0, 1, 0]);
        let mut message = vec![SERVER_HELLO, 0, 0, body.len() as u8];
        message.extend(body);
        // A certificate follows in the same record.
        message.extend([11, 0, 0, 2, 0, 0]);
        let mut out = Vec::new();
        for fragment in message.chunks(record) {
            out.extend([22, 3, 3]);
            out.extend((fragment.len() as u16).to_be_bytes());
            out.extend(fragment);
        }
        out
    }

    #[test]
    fn ids_of_sessions() {
        let check = |bytes: &[u8], kind: Option<u8>, id: Option<&[u8]>| {
            let looked = look(bytes);
            assert_eq!(
                (looked.handshake_type(), looked.session_id()),
                (kind, id),
                "{bytes:?}"
            );
        };
        let id = [9; 32];
        for record in [16_384, 40, 7, 1] {
            check(&hello(&id, record), Some(2), Some(&id));
            check(&hello(b"x", record), Some(2), Some(b"x"));
            check(&hello(b"", record), Some(2), None);
        }
        // 33 bytes are no id.
        check(&hello(&[9; 33], 16_384), Some(2), None);
        check(b"", None, None);
        check(b"HTTP/1.1 400 Bad Request\r\n", None, None);
        // An alert, and a ClientHello.
        check(&[21, 3, 3, 0, 2, 2, 40], None, None);
        check(&[22, 3, 1, 0, 4, 1, 0, 0, 0], Some(1), None);
    }

    proptest! {
        #[test]
        fn more_bytes_settle_it_once(id in proptest::collection::vec(any::<u8>(), 0..=32), record in 1..99_usize) {
            let whole = hello(&id, record);
            let looks: Vec<Answered> = (0..=whole.len()).map(|end| look(&whole[..end])).collect();
            let first = looks.iter().position(Answered::is_settled).unwrap();
            prop_assert!(looks[first..].iter().all(|it| *it == looks[first]));
            prop_assert_eq!(looks[first].session_id(), Some(id.as_slice()).filter(|id| !id.is_empty()));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = look(&[&[22, 3, 3][..], &bytes].concat());
            let _ = look(&bytes);
        }
    }
}
