//! How the system watches over TCP connections: probes of silent ones (keepalive), and how long what was sent may stay
//! unacknowledged.
//!
//! Both find a peer that has gone without a word: a machine that lost its power, a cable, a NAT that forgot. Timeouts of
//! Portway find it as well where somebody waits; a tunnel may wait for hours.

use crate::settings::Protocol;
use std::time::Duration;

/// The watch over the connections of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpWatch {
    /// Whether silent connections are probed.
    pub keep_alive: TcpKeepAlive,
    /// How long what was sent may stay unacknowledged before the connection is given up (TCP_USER_TIMEOUT of tcp(7)); it
    /// then counts in place of the number of probes too. `None`: as the system has it, about 15 minutes.
    pub user_timeout: Option<Duration>,
}

/// Whether silent connections are probed (SO_KEEPALIVE of socket(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpKeepAlive {
    /// None is.
    Off,
    /// Those on which a tunnel begins (WebSocket, CONNECT), at [`KeepAliveTimes::OURS`]; where nothing but bytes is passed
    /// on, compile makes it [`Self::All`].
    Tunnels,
    /// All are.
    All(KeepAliveTimes),
}

/// When a silent connection is probed, and given up. `None`: as the system has it, on Linux 2 hours, 75 s and 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeepAliveTimes {
    /// Silence before the first probe; whole seconds.
    pub idle: Option<Duration>,
    /// Between probes; whole seconds.
    pub interval: Option<Duration>,
    /// Unanswered probes after which the connection is over.
    pub count: Option<u8>,
}

impl KeepAliveTimes {
    /// Two minutes keep the state of a NAT alive, whose times for silent connections begin at four; four probes every
    /// thirty seconds are too many to be lost by chance. A peer that is gone is known to be after four minutes.
    pub const OURS: Self = Self {
        idle: Some(Duration::from_secs(120)),
        interval: Some(Duration::from_secs(30)),
        count: Some(4),
    };

    /// As the system has them.
    pub const SYSTEM: Self = Self {
        idle: None,
        interval: None,
        count: None,
    };
}

impl TcpKeepAlive {
    /// Where nothing is said of a listener or a group that speaks this: what only passes bytes on has nothing but tunnels.
    pub fn default_of(protocol: Protocol) -> Self {
        Self::Tunnels.of(protocol)
    }

    /// What it comes to for a listener or a group that speaks this.
    pub(crate) fn of(self, protocol: Protocol) -> Self {
        match self {
            Self::Tunnels if !protocol.is_http() => Self::All(KeepAliveTimes::OURS),
            other => other,
        }
    }
}
