//! What is sought in the first bytes of a protocol: it is there, it is not, or more bytes may bring it.

use super::{fix, mqtt, rdp};
use portway_model::expression::Transform;
use portway_model::stage::Resolved;

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
