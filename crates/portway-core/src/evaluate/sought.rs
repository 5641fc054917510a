//! What is sought in the first bytes of a protocol: it is there, it is not, or more bytes may bring it.

use super::{fix, mqtt, rdp};
use portway_model::expression::Transform;
use portway_model::stage::Resolved;

/// So many fields are looked at; a head with more is one all the same.
const MAX_FIELDS: usize = 64;

/// What was found in bytes of which more may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sought<T> {
    /// It is there.
    Found(T),
    /// It is not, whatever follows.
    Missing,
    /// More bytes may bring it.
    Unfinished,
}

impl<T> Sought<T> {
    /// What is there.
    pub(super) fn found(self) -> Option<T> {
        match self {
            Sought::Found(found) => Some(found),
            Sought::Missing | Sought::Unfinished => None,
        }
    }

    /// Whether it is there, where that is known.
    pub(super) fn known(&self) -> Option<bool> {
        match self {
            Sought::Found(_) => Some(true),
            Sought::Missing => Some(false),
            Sought::Unfinished => None,
        }
    }
}

/// The head of an HTTP/1 request.
pub(super) fn request_head(bytes: &[u8]) -> Sought<()> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::Request::new(&mut fields).parse(bytes) {
        Ok(httparse::Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => {
            Sought::Found(())
        }
        Ok(httparse::Status::Partial) => Sought::Unfinished,
        Err(_) => Sought::Missing,
    }
}

/// Whether more bytes may change what this step makes of them; `None`: the step does not say.
pub(super) fn unfinished(step: &Transform<Resolved>, bytes: &[u8]) -> Option<bool> {
    let known = match step {
        Transform::FixMessage => fix::message(bytes).known(),
        Transform::FixTag(tag) => fix::tag(bytes, *tag).known(),
        Transform::MqttPacket => mqtt::packet(bytes).known(),
        Transform::Mqtt(field) => mqtt::field(bytes, *field).known(),
        Transform::RdpCookie(name) => rdp::cookie(bytes, name.as_deref()).known(),
        _ => return None,
    };
    Some(known.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_requests() {
        for (bytes, expected) in [
            ("", Sought::Unfinished),
            ("GET / HT", Sought::Unfinished),
            ("GET / HTTP/1.1\r\nHost: a\r\n", Sought::Unfinished),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Sought::Found(())),
            ("SSH-2.0-OpenSSH_9.2\r\n", Sought::Missing),
            ("\u{16}\u{3}\u{1}", Sought::Missing),
        ] {
            assert_eq!(request_head(bytes.as_bytes()), expected, "{bytes:?}");
        }
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "A: 1\r\n".repeat(MAX_FIELDS + 1)
        );
        assert_eq!(request_head(many.as_bytes()), Sought::Found(()));
    }
}
