//! How the name of a target becomes addresses: who is asked, how often, and how long an answer holds.

use ipnet::IpNet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::span::Spanned;

/// Which addresses of an answer a target takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Take {
    /// One: the one in use as long as it is among the answers, else the first.
    #[default]
    First,
    /// One that no other target of its group with the same name has (HAProxy's servers of one name).
    Distinct,
    /// Every one, each a target of its own.
    All,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// A records.
    Ipv4,
    /// AAAA records.
    Ipv6,
}

/// Who is asked for a name, and for how long what they say counts. Names that are asked of the same are asked for once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resolver {
    /// Servers to ask; none: those of `/etc/resolv.conf`, after `/etc/hosts`.
    pub nameservers: Vec<SocketAddr>,
    /// How often each of them is asked in one look-up; `None`: as `/etc/resolv.conf` says, twice by default.
    pub attempts: Option<u16>,
    /// Time for one answer; `None`: as `/etc/resolv.conf` says, 5 s by default.
    pub timeout: Option<Duration>,
    /// An answer holds at least so long, whatever its TTL says.
    pub min_ttl: Duration,
    /// And at most so long.
    pub max_ttl: Duration,
    /// Bytes of an answer over UDP that are announced as welcome.
    pub payload_size: u16,
    /// How long the last good answer counts while there is no other.
    pub hold: Hold,
}

/// How long the last good answer counts from when it came, by what came after it; `None`: until there is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hold {
    /// The name does not exist, or has no address.
    pub missing: Option<Duration>,
    /// Servers refuse to answer.
    pub refused: Option<Duration>,
    /// Servers are silent.
    pub timeout: Option<Duration>,
    /// Servers fail, or answer what cannot be read.
    pub other: Option<Duration>,
    /// An address that good answers do not name any more; zero, the default, is at once.
    pub obsolete: Duration,
}

/// How the name of a target is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resolution {
    /// Which addresses it takes.
    pub take: Take,
    /// The family it takes where the answers have both; `None`: the one that this machine rather reaches.
    pub prefer: Option<Family>,
    /// Networks of which it takes an address where it takes another one, and there is one of that family.
    pub networks: Vec<IpNet>,
    /// Addresses that it takes at most, with [`Take::All`].
    pub most: u16,
    /// Who is asked.
    pub resolver: Arc<Resolver>,
}

/// See [`Resolution`] and [`Resolver`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResolutionDraft {
    /// Which addresses.
    pub take: Option<Spanned<Take>>,
    /// The family.
    pub prefer: Option<Spanned<Family>>,
    /// The networks.
    pub networks: Vec<Spanned<IpNet>>,
    /// At most so many.
    pub most: Option<Spanned<u16>>,
    /// Servers.
    pub nameservers: Option<Spanned<Vec<Spanned<SocketAddr>>>>,
    /// Questions to each.
    pub attempts: Option<Spanned<u16>>,
    /// Time for one answer.
    pub timeout: Option<Spanned<Duration>>,
    /// Floor of the TTL.
    pub min_ttl: Option<Spanned<Duration>>,
    /// Ceiling of the TTL.
    pub max_ttl: Option<Spanned<Duration>>,
    /// Bytes over UDP.
    pub payload_size: Option<Spanned<u16>>,
    /// How long the last good answer counts where the name is gone.
    pub hold_missing: Option<Spanned<Duration>>,
    /// Where servers refuse.
    pub hold_refused: Option<Spanned<Duration>>,
    /// Where they are silent.
    pub hold_timeout: Option<Spanned<Duration>>,
    /// Where they fail.
    pub hold_other: Option<Spanned<Duration>>,
    /// Where an address is gone from the answers.
    pub hold_obsolete: Option<Spanned<Duration>>,
}

/// An answer holds at least so long: a server that says 0 is not asked all the time.
pub const MIN_TTL: Duration = Duration::from_secs(1);
/// An answer holds at most so long: servers of containers say ten minutes, and know of new ones at once.
pub const MAX_TTL: Duration = Duration::from_secs(30);
/// Bytes of an answer over UDP: what passes every path unfragmented (DNS flag day 2020).
pub const PAYLOAD_SIZE: u16 = 1232;
/// Addresses of one name that become targets: more than any service has, few enough to be checked.
pub const MOST: u16 = 256;

impl Default for Resolver {
    fn default() -> Self {
        Self {
            nameservers: Vec::new(),
            attempts: None,
            timeout: None,
            min_ttl: MIN_TTL,
            max_ttl: MAX_TTL,
            payload_size: PAYLOAD_SIZE,
            hold: Hold::default(),
        }
    }
}

impl Default for Resolution {
    fn default() -> Self {
        Self {
            take: Take::default(),
            prefer: None,
            networks: Vec::new(),
            most: MOST,
            resolver: Arc::default(),
        }
    }
}

impl Resolution {
    /// What a draft says of it: nothing where it is as it is by default.
    pub(crate) fn lift(&self) -> Option<Spanned<ResolutionDraft>> {
        let (own, hold) = (&*self.resolver, self.resolver.hold);
        let plain = Self::default();
        let bare = |it: Option<Duration>| it.map(Spanned::bare);
        let servers =
            || Spanned::bare(own.nameservers.iter().copied().map(Spanned::bare).collect());
        let draft = ResolutionDraft {
            take: unless(self.take, plain.take),
            prefer: self.prefer.map(Spanned::bare),
            networks: self.networks.iter().copied().map(Spanned::bare).collect(),
            most: unless(self.most, plain.most),
            nameservers: (!own.nameservers.is_empty()).then(servers),
            attempts: own.attempts.map(Spanned::bare),
            timeout: bare(own.timeout),
            min_ttl: unless(own.min_ttl, MIN_TTL),
            max_ttl: unless(own.max_ttl, MAX_TTL.max(own.min_ttl)),
            payload_size: unless(own.payload_size, PAYLOAD_SIZE),
            hold_missing: bare(hold.missing),
            hold_refused: bare(hold.refused),
            hold_timeout: bare(hold.timeout),
            hold_other: bare(hold.other),
            hold_obsolete: unless(hold.obsolete, Duration::ZERO),
        };
        (draft != ResolutionDraft::default()).then(|| Spanned::bare(draft))
    }
}

fn unless<T: PartialEq>(value: T, default: T) -> Option<Spanned<T>> {
    (value != default).then(|| Spanned::bare(value))
}
