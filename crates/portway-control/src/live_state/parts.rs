//! The small parts of the live state, as JSON. Each part is read by itself, and every field may be missing: an older process says
//! less, a newer one more.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use portway_core::evaluate::Fetched;
use portway_dataplane::pace::{Pace, PaceParts};
use portway_dataplane::seal::OwnSecret;
use serde::{Deserialize, Serialize};

/// The process as a whole.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ProcessPart {
    /// Connections at most, where somebody said so.
    pub(super) limit: Option<u32>,
    pub(super) connections: PacePart,
    pub(super) sessions: PacePart,
    pub(super) handshakes: PacePart,
}

/// What was counted of a limit a second.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PacePart {
    limit: Option<u32>,
    before: u64,
    here: u64,
}

impl PacePart {
    pub(super) fn of(pace: &Pace) -> Self {
        let PaceParts {
            limit,
            before,
            here,
        } = pace.parts();
        Self {
            limit,
            before,
            here,
        }
    }

    pub(super) fn put(&self, pace: &Pace) {
        pace.go_on(&PaceParts {
            limit: self.limit,
            before: self.before,
            here: self.here,
        });
    }
}

/// The listeners of one name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ListenerPart {
    pub(super) name: String,
    /// `open`, `paused` or `closed`.
    pub(super) gate: String,
    /// Connections at most, where somebody said so.
    pub(super) limit: Option<u32>,
    /// What the configuration said of that.
    pub(super) configured: u32,
    pub(super) sessions: PacePart,
}

/// A variable of the process.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct VariablePart {
    pub(super) name: String,
    pub(super) value: Option<ValuePart>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ValuePart {
    /// Bytes, in base64.
    Bytes(String),
    Number(i64),
    Boolean(bool),
    Address(IpAddr),
}

impl ValuePart {
    pub(super) fn of(value: &Fetched<'_>) -> Option<Self> {
        Some(match value {
            Fetched::Absent => return None,
            Fetched::Bytes(bytes) => Self::Bytes(to_base64(bytes)),
            Fetched::Number(number) => Self::Number(*number),
            Fetched::Boolean(it) => Self::Boolean(*it),
            Fetched::Address(address) => Self::Address(*address),
        })
    }

    pub(super) fn value(self) -> Option<Fetched<'static>> {
        Some(match self {
            Self::Bytes(text) => Fetched::Bytes(of_base64(&text)?.into()),
            Self::Number(number) => Fetched::Number(number),
            Self::Boolean(it) => Fetched::Boolean(it),
            Self::Address(address) => Fetched::Address(address),
        })
    }
}

/// A map or list that was changed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct MapPart {
    pub(super) name: String,
    pub(super) is_list: bool,
    /// What tells what was read.
    pub(super) read: u64,
    pub(super) entries: Vec<(String, String)>,
}

/// How keys of limits are numbered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct QuotaPart {
    pub(super) seed: String,
    /// The number of a key that is always the same.
    pub(super) probe: u64,
}

/// A circuit breaker that is not closed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CircuitPart {
    pub(crate) name: String,
    /// `open` or `recovering`.
    pub(crate) state: String,
    /// Milliseconds: how long it is open yet, or for how long it has been recovering.
    pub(crate) time: u64,
}

/// A target.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TargetPart {
    pub(crate) group: String,
    pub(crate) name: String,
    /// As the configuration has it.
    pub(crate) address: String,
    /// Its number in its group.
    pub(crate) number: u32,
    /// What the configuration said of it.
    pub(crate) checked: bool,
    pub(crate) disabled: bool,
    pub(crate) configured_weight: u16,
    pub(crate) configured_most: u32,
    pub(crate) has_agent: bool,
    pub(crate) follows: bool,
    /// What somebody said of it: a weight in sixteenths, requests in flight at most.
    pub(crate) weight: Option<u32>,
    pub(crate) most: Option<u32>,
    /// Where it lives.
    pub(crate) resolved: Option<SocketAddr>,
    pub(crate) health: HealthPart,
    /// What it is without its agent, where that holds it down.
    pub(crate) without_agent: Option<HealthPart>,
    /// It passes its checks and says that it is leaving.
    pub(crate) leaving: bool,
    pub(crate) follows_into_rest: bool,
    /// Microseconds since 1970.
    pub(crate) since: u64,
    pub(crate) last_check: Option<CheckPart>,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) failed_up: u64,
    pub(crate) downs: u64,
    /// Milliseconds.
    pub(crate) down_time: u64,
    /// Its slow start: since when, in microseconds since 1970, and that one begins with its next traffic.
    pub(crate) rises_since: Option<u64>,
    pub(crate) rise_is_due: bool,
    /// What passive health knows of it, where that is not all well.
    pub(crate) ejection: Option<EjectionPart>,
    pub(crate) agent_down: bool,
    pub(crate) agent_changed: bool,
    pub(crate) agent_last: Option<CheckPart>,
    /// What somebody said of its checks and its agent.
    pub(crate) checks_rest: bool,
    pub(crate) check_address: Option<IpAddr>,
    pub(crate) check_port: Option<u16>,
    pub(crate) agent_rests: bool,
    pub(crate) agent_address: Option<IpAddr>,
    pub(crate) agent_port: Option<u16>,
    pub(crate) agent_send: Option<String>,
}

/// A target that is ejected, is on trial, or was ejected not long ago.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EjectionPart {
    /// Ejections in succession.
    pub(crate) times: u32,
    /// Milliseconds until it comes back; `None`: it has.
    pub(crate) left: Option<u64>,
    pub(crate) why: String,
    pub(crate) on_trial: bool,
}

/// A verdict of checks.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HealthPart {
    pub(crate) state: String,
    /// It takes no traffic before its first check.
    pub(crate) waits: bool,
    /// `unchecked`, `passed`, `failed`, …
    pub(crate) reason: String,
    pub(crate) times: u32,
    pub(crate) failure: Option<FailurePart>,
}

/// Why a check failed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FailurePart {
    pub(crate) kind: String,
    pub(crate) text: String,
    /// Milliseconds.
    pub(crate) after: u64,
    pub(crate) code: Option<u16>,
    pub(crate) word: String,
}

/// A check.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CheckPart {
    /// Microseconds since 1970.
    pub(crate) at: u64,
    /// Microseconds.
    pub(crate) took: u64,
    pub(crate) word: String,
    pub(crate) code: Option<u16>,
    pub(crate) said: String,
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(crate) fn of_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// Keys of sealed cookies: of each its moment in eight bytes, and its secret.
pub(super) fn cookie_keys(secrets: &[OwnSecret]) -> String {
    let bytes = secrets.iter().map(|it| {
        let born = it.born.to_be_bytes();
        [born.as_slice(), &it.secret].concat()
    });
    to_base64(&bytes.collect::<Vec<_>>().concat())
}

pub(super) fn to_cookie_keys(bytes: &[u8]) -> Option<Vec<OwnSecret>> {
    let (all, rest) = bytes.as_chunks::<40>();
    let secret = |bytes: &[u8; 40]| {
        let (born, secret) = bytes.split_first_chunk::<8>()?;
        Some(OwnSecret {
            born: u64::from_be_bytes(*born),
            secret: secret.try_into().ok()?,
        })
    };
    rest.is_empty().then(|| all.iter().map(secret).collect())?
}

/// That of a process that had one, and did not know since when: it is as good as new.
pub(super) fn first_cookie_key(secret: &[u8]) -> Option<Vec<OwnSecret>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Some(vec![OwnSecret {
        born: now.unwrap_or_default().as_secs(),
        secret: secret.try_into().ok()?,
    }])
}
