//! What a connection says first, where it is not decrypted here: is it TLS, and what does its ClientHello ask for?
//!
//! [`look`] is given all bytes that have come so far and is asked again as more come. It reads records as RFC 8446
//! section 5.1 has them, also where the ClientHello is spread over several, and takes nothing for granted: whatever
//! does not fit is [`Looked::Other`]. Nothing is verified; who terminates the connection does that.

/// Bytes of a ClientHello at most. Those of browsers with post-quantum keys have under 2 KiB; OpenSSL refuses more
/// than 128 KiB, and what is inspected has to fit into one buffer anyway.
pub const MAX_HELLO: usize = 16 * 1024;

/// Content type of a handshake record, RFC 8446 section 5.1.
const HANDSHAKE: u8 = 22;
/// Handshake type of a ClientHello, RFC 8446 section 4.
const CLIENT_HELLO: u8 = 1;
/// Most bytes in a record, RFC 8446 section 5.1.
const MAX_RECORD: usize = 1 << 14;
/// Extension `server_name`, RFC 6066 section 3.
const SERVER_NAME: u16 = 0;
/// Extension `application_layer_protocol_negotiation`, RFC 7301 section 3.1.
const ALPN: u16 = 16;

/// What the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// The beginning of a TLS handshake, or nothing yet.
    Partial,
    /// Not a ClientHello; the type of the first message where it is a handshake nevertheless.
    Other(Option<u8>),
    /// A whole ClientHello.
    Hello(Box<ClientHello>),
}

impl Looked {
    /// True where more bytes cannot say anything else.
    pub fn is_settled(&self) -> bool {
        *self != Looked::Partial
    }

    /// The type of the first handshake message, 1 for a ClientHello. As with HAProxy it is known once a whole ClientHello
    /// has come: who waits for it has the server name too.
    pub fn handshake_type(&self) -> Option<u8> {
        match self {
            Looked::Partial => None,
            Looked::Other(kind) => *kind,
            Looked::Hello(_) => Some(CLIENT_HELLO),
        }
    }

    /// The ClientHello.
    pub fn hello(&self) -> Option<&ClientHello> {
        match self {
            Looked::Hello(hello) => Some(hello),
            _ => None,
        }
    }
}

/// The id of a TLS session: at most 32 bytes (RFC 8446 section 4.1.2), none where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionId {
    bytes: [u8; 32],
    length: u8,
}

impl SessionId {
    /// `None`: it is too long for one.
    pub fn of(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        let length = u8::try_from(id.len()).ok()?;
        Some(Self { bytes, length })
    }

    /// Its bytes; `None` where it is empty.
    pub fn given(&self) -> Option<&[u8]> {
        let bytes = self.bytes.get(..self.length.into())?;
        (!bytes.is_empty()).then_some(bytes)
    }
}

/// What a ClientHello asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// Its `legacy_version`: 0x0303 for TLS 1.2 and later.
    pub version: u16,
    /// The session that it asks to resume; in TLS 1.3, and beside a ticket, an id that the client has made up.
    pub session_id: SessionId,
    /// The server name, as sent.
    pub server_name: Option<Vec<u8>>,
    /// The ALPN protocols that are offered, separated by commas; `None` without that extension.
    pub alpn: Option<Vec<u8>>,
    /// The numbers of its extensions, in order.
    pub extensions: Vec<u16>,
}

/// Looks at the first bytes of a connection, all that have come.
pub fn look(bytes: &[u8]) -> Looked {
    match message(bytes, CLIENT_HELLO) {
        Ok(Message::Whole(body)) => match parse(&body) {
            Some(hello) => Looked::Hello(Box::new(hello)),
            None => Looked::Other(Some(CLIENT_HELLO)),
        },
        Ok(Message::Part) => Looked::Partial,
        Err(kind) => Looked::Other(kind),
    }
}

/// The first handshake message of a connection.
pub(crate) enum Message<'b> {
    /// Its body.
    Whole(std::borrow::Cow<'b, [u8]>),
    /// Not all of it has come.
    Part,
}

/// The first handshake message, put together from its records. `Err`: not one of the type `wanted`, with its type.
pub(crate) fn message(bytes: &[u8], wanted: u8) -> Result<Message<'_>, Option<u8>> {
    let mut rest = Bytes(bytes);
    let mut joined: Vec<u8> = Vec::new();
    let mut kind = None;
    loop {
        let Some(header) = record_header(&mut rest, kind)? else {
            return Ok(Message::Part);
        };
        let here = rest.0.len().min(header);
        let fragment = rest.take(here).unwrap_or_default();
        let first = joined.is_empty();
        kind = kind.or_else(|| fragment.first().copied());
        if kind.is_some_and(|kind| kind != wanted) {
            return Err(kind);
        }
        // A message in one record, which is nearly every one, is not copied.
        let so_far = if first { fragment } else { joined.as_slice() };
        if let Some(length) = message_length(so_far) {
            if length > MAX_HELLO {
                return Err(kind);
            }
            if first && fragment.len() >= 4 + length {
                let body = fragment.get(4..4 + length).unwrap_or_default();
                return Ok(Message::Whole(body.into()));
            }
        }
        joined.extend_from_slice(fragment);
        match message_length(&joined) {
            Some(length) if length > MAX_HELLO => return Err(kind),
            Some(length) if joined.len() >= 4 + length => {
                let body = joined.get(4..4 + length).unwrap_or_default();
                return Ok(Message::Whole(body.to_vec().into()));
            }
            _ => {}
        }
        if here < header {
            return Ok(Message::Part);
        }
    }
}

/// The length of the next record; `None` where its header has not come. `Err`: no record of a handshake.
fn record_header(rest: &mut Bytes<'_>, kind: Option<u8>) -> Result<Option<usize>, Option<u8>> {
    let wrong = rest.0.first().is_some_and(|byte| *byte != HANDSHAKE)
        || rest.0.get(1).is_some_and(|major| *major < 3);
    if wrong {
        return Err(kind);
    }
    let Some(header) = rest.take(5) else {
        return Ok(None);
    };
    let length = match header {
        [_, _, _, high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    };
    // An empty record of a handshake is not allowed.
    if length == 0 || length > MAX_RECORD {
        return Err(kind);
    }
    Ok(Some(length))
}

/// The length of a handshake message's body, if its header has come.
fn message_length(message: &[u8]) -> Option<usize> {
    match message {
        [_, a, b, c, ..] => Some(u32::from_be_bytes([0, *a, *b, *c]) as usize),
        _ => None,
    }
}

/// The body of a ClientHello, RFC 8446 section 4.1.2.
fn parse(body: &[u8]) -> Option<ClientHello> {
    let mut rest = Bytes(body);
    let version = rest.u16()?;
    rest.take(32)?;
    let session_id = SessionId::of(rest.vector8()?)?;
    let suites = rest.vector16()?;
    rest.vector8()?;
    if suites.is_empty() || !suites.len().is_multiple_of(2) {
        return None;
    }
    let mut hello = ClientHello {
        version,
        session_id,
        server_name: None,
        alpn: None,
        extensions: Vec::new(),
    };
    if rest.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Bytes(rest.vector16()?);
    while !extensions.0.is_empty() {
        let number = extensions.u16()?;
        let content = extensions.vector16()?;
        hello.extensions.push(number);
        match number {
            SERVER_NAME => hello.server_name = server_name(content)?,
            ALPN => hello.alpn = Some(alpn(content)?),
            _ => {}
        }
    }
    Some(hello)
}

/// The first host name of the list. `None`: the list is not as it should be.
fn server_name(content: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut names = Bytes(Bytes(content).vector16()?);
    while !names.0.is_empty() {
        let kind = names.u8()?;
        let name = names.vector16()?;
        if kind == 0 {
            return Some(Some(name.to_vec()));
        }
    }
    Some(None)
}

fn alpn(content: &[u8]) -> Option<Vec<u8>> {
    let mut protocols = Bytes(Bytes(content).vector16()?);
    let mut joined = Vec::new();
    while !protocols.0.is_empty() {
        let protocol = protocols.vector8()?;
        if !joined.is_empty() {
            joined.push(b',');
        }
        joined.extend_from_slice(protocol);
    }
    Some(joined)
}

/// What is left to be read.
pub(crate) struct Bytes<'b>(pub(crate) &'b [u8]);

impl<'b> Bytes<'b> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        match self.take(2)? {
            [high, low] => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        }
    }

    /// Bytes with their number before them in one byte.
    pub(crate) fn vector8(&mut self) -> Option<&'b [u8]> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// Bytes with their number before them in two bytes.
    fn vector16(&mut self) -> Option<&'b [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector16(bytes: &[u8]) -> Vec<u8> {
        let mut out = (bytes.len() as u16).to_be_bytes().to_vec();
        out.extend_from_slice(bytes);
        out
    }

    fn extension(number: u16, content: &[u8]) -> Vec<u8> {
        let mut out = number.to_be_bytes().to_vec();
        out.extend(vector16(content));
        out
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        let mut entry = vec![0];
        entry.extend(vector16(name));
        extension(SERVER_NAME, &vector16(&entry))
    }

    /// A ClientHello message with these extensions.
    fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend(vector16(&[0x13, 0x01]));
        body.extend([1, 0]);
        if !extensions.is_empty() {
            body.extend(vector16(&extensions.concat()));
        }
        let mut message = vec![CLIENT_HELLO];
        message.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        message.extend(body);
        message
    }

    /// The message in records of at most `size` bytes.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message
            .chunks(size)
            .flat_map(|chunk| {
                let mut record = vec![HANDSHAKE, 3, 1];
                record.extend(vector16(chunk));
                record
            })
            .collect()
    }

    #[test]
    fn names_protocols_and_extensions() {
        let alpn = extension(ALPN, &vector16(b"\x02h2\x08http/1.1"));
        let curves = extension(10, &[0, 2, 0, 29]);
        let bytes = records(&hello(&[sni(b"a.example"), alpn, curves]), 16_384);
        let expected = ClientHello {
            version: 0x0303,
            session_id: SessionId::default(),
            server_name: Some(b"a.example".to_vec()),
            alpn: Some(b"h2,http/1.1".to_vec()),
            extensions: vec![0, 16, 10],
        };
        assert_eq!(look(&bytes), Looked::Hello(Box::new(expected)));
        let bare = look(&records(&hello(&[]), 16_384));
        assert_eq!(bare.hello().unwrap().server_name, None);
        assert!(bare.hello().unwrap().extensions.is_empty());
    }

    #[test]
    fn what_is_none() {
        let check = |bytes: &[u8], expected: Looked| assert_eq!(look(bytes), expected, "{bytes:?}");
        check(b"", Looked::Partial);
        check(b"\x16", Looked::Partial);
        check(b"\x16\x03\x01\x00\x05", Looked::Partial);
        check(b"\x16\x03\x01\x00\x05\x01", Looked::Partial);
        check(b"\x16\x03\x01\x00\x05\x02", Looked::Other(Some(2)));
        check(b"\x16\x02", Looked::Other(None));
        check(b"\x16\x03\x01\x00\x00", Looked::Other(None));
        check(b"\x16\x03\x01\x40\x01", Looked::Other(None));
        check(b"GET / HTTP/1.1", Looked::Other(None));
        check(
            b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
            Looked::Other(Some(1)),
        );
        // Extensions that go beyond their list.
        let mut long = hello(&[sni(b"a")]);
        let last = long.len() - 7;
        long[last] = 200;
        check(&records(&long, 16_384), Looked::Other(Some(1)));
        // A record of another kind within.
        let mut other = records(&hello(&[sni(b"a.example")]), 20);
        other[25] = 23;
        check(&other, Looked::Other(Some(1)));
    }

    proptest! {
        #[test]
        fn every_beginning_is_partial_and_records_do_not_matter(
            name in "[a-z]{1,60}", size in 1_usize..300, cut: proptest::sample::Index
        ) {
            let message = hello(&[extension(35, &[]), sni(name.as_bytes())]);
            let bytes = records(&message, size);
            let whole = look(&bytes);
            prop_assert_eq!(&whole, &look(&records(&message, 16_384)));
            prop_assert_eq!(whole.hello().unwrap().server_name.as_deref(), Some(name.as_bytes()));
            let part = look(&bytes[..cut.index(bytes.len())]);
            prop_assert!(!part.is_settled());
            let mut more = bytes.clone();
            more.extend_from_slice(b"\x14anything");
            prop_assert_eq!(look(&more), whole);
        }

        #[test]
        fn nothing_panics_and_what_is_settled_stays(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), cut: proptest::sample::Index
        ) {
            let mut bytes = bytes;
            if let [first, second, ..] = bytes.as_mut_slice() { (*first, *second) = (22, 3); }
            let part = look(&bytes[..cut.index(bytes.len() + 1)]);
            if part.is_settled() {
                prop_assert_eq!(part, look(&bytes));
            }
        }
    }
}
