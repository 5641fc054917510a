//! How a target is chosen, kept and tried again.

use crate::expression::Expression;
use crate::name::Name;
use crate::settings::SameSite;
use crate::span::Spanned;
use crate::stage::Stage;
use std::net::IpAddr;
use std::time::Duration;

/// Who is chosen among usable targets.
#[derive(Debug, Clone, PartialEq)]
pub enum Algorithm<S: Stage> {
    /// Each in turn, by weight. The default.
    RoundRobin,
    /// Each in turn, in an order that is fixed when the configuration is read (HAProxy's `static-rr`).
    StaticRoundRobin,
    /// Fewest requests in flight for its weight.
    LeastOutstanding,
    /// The shortest time to answer, times one more than it has in flight, for its weight.
    LeastTime,
    /// By the client's address.
    SourceHash(HashMethod),
    /// The best of so many drawn by chance.
    Random {
        /// At least 1.
        draws: u16,
    },
    /// The first that is usable and has room.
    First,
    /// By the hash of a value; by turns where a request does not have it.
    Hash {
        /// The value.
        value: Expression<S>,
        /// How its hash finds a target.
        method: HashMethod,
    },
}

/// From how many usable targets on a group counts as able to serve; both must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MinHealthy {
    /// So many targets, at least 1.
    pub count: u32,
    /// So many in a hundred of those that are in service, 0–100.
    pub percent: u8,
}

/// How a hash finds a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashMethod {
    /// Weighted rendezvous hashing: losing a target moves only its clients. The default.
    Consistent,
    /// HAProxy's `hash-type map-based`: the remainder by the sum of weights, looked up in a table. Losing a target moves
    /// nearly everybody.
    Table {
        /// How bytes become a number. Addresses do not go through it.
        function: HashFunction,
        /// The number is mixed once more.
        avalanche: bool,
    },
    /// HAProxy's `hash-type consistent`: the next of the points that each target has on a ring, by its id.
    Ring {
        /// As in `Table`.
        function: HashFunction,
        /// As in `Table`.
        avalanche: bool,
    },
}

/// How bytes become a number of 32 bits, bit by bit as HAProxy's functions of these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashFunction {
    /// sdbm.
    Sdbm,
    /// Bernstein's, times 33.
    Djb2,
    /// wt6.
    Wt6,
    /// CRC-32 of Ethernet.
    Crc32,
}

/// What a rule does with the target that an entry of a stick table remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StickTo {
    /// The target of the entry serves; where there is no entry, whoever serves is remembered. The default.
    Both,
    /// The target of the entry serves.
    Match,
    /// Whoever serves is remembered.
    Store,
}

/// The cookie of stickiness.
#[derive(Debug, Clone, PartialEq)]
pub struct StickyCookie {
    /// Its name.
    pub name: String,
    /// Who sets it.
    pub mode: CookieMode,
    /// What stands in it.
    pub values: CookieValues,
    /// How long clients keep it; a browser's session where `None`.
    pub max_age: Option<Duration>,
    /// That is said as a date (Expires), not as seconds (Max-Age).
    pub expires: bool,
    /// Its Path.
    pub path: String,
    /// Its Domain; HAProxy allows several.
    pub domains: Vec<String>,
    /// Its Secure.
    pub secure: bool,
    /// Its HttpOnly.
    pub http_only: bool,
    /// Its SameSite.
    pub same_site: Option<SameSite>,
    /// More attributes, as they are to be sent.
    pub attributes: Vec<String>,
    /// Targets do not see it.
    pub indirect: bool,
    /// Responses that set it are marked as private for caches.
    pub no_cache: bool,
    /// Where a target sets it, its own is passed on untouched.
    pub preserve: bool,
    /// Set in answers to POST only.
    pub post_only: bool,
    /// Not believed after so long without use; whole seconds.
    pub max_idle: Option<Duration>,
    /// Not believed after so long; whole seconds.
    pub max_life: Option<Duration>,
    /// The name of a second cookie with the same value, `SameSite=None` and `Secure`, for requests that pages of other sites
    /// make. It counts where the first is not there. `Insert` only.
    pub cross_site: Option<String>,
}

impl StickyCookie {
    /// A cookie of a browser's session that Portway sets.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            mode: CookieMode::Insert,
            values: CookieValues::Generated,
            max_age: None,
            expires: false,
            path: "/".to_owned(),
            domains: Vec::new(),
            secure: false,
            http_only: true,
            same_site: None,
            attributes: Vec::new(),
            indirect: false,
            no_cache: false,
            preserve: false,
            post_only: false,
            max_idle: None,
            max_life: None,
            cross_site: None,
        }
    }
}

/// Who sets the cookie of stickiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CookieMode {
    /// Portway adds it. The default.
    Insert,
    /// The target sets it, Portway puts its own value in.
    Rewrite,
    /// The target sets it, Portway puts its value and `~` before the target's.
    Prefix,
    /// Portway only reads it.
    Passive,
}

/// What stands in the cookie of stickiness.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CookieValues {
    /// What the target says; for others a hash of their name. The default.
    Generated,
    /// What the target says; others have no cookie, and one that a client brings is deleted.
    Given,
    /// HAProxy's `dynamic`: a hash of the target's address and port with this key. What a target says goes before it.
    Dynamic {
        /// `dynamic-cookie-key`.
        key: String,
    },
    /// As `Generated`, encrypted: clients can neither read it nor make one. `Insert` only.
    Sealed {
        /// The first seals, the others open what they have sealed before; several processes with the same know each
        /// other's cookies. None: the process's own.
        keys: Vec<String>,
    },
}

/// What a request does with stickiness, where a rule says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StickinessUse {
    /// The client is not kept, and gets no cookie (`ignore-persist`).
    Ignore,
    /// The client is kept also where its target is down (`force-persist`).
    Force,
}

/// Where a failed attempt is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryTo {
    /// At another target, at once. The default.
    Another,
    /// At the same target, after a second or the connect timeout.
    Same,
    /// At the same; at another where the turn of `every` comes, where the target is known to be down, or at once where
    /// nothing binds the request to it (HAProxy's `option redispatch`).
    SameThenAnother {
        /// Above 0: each so many-th attempt beyond the first. Below 0: counted from the last; −1 is the last.
        every: i16,
    },
}

/// What is tried again, beyond connections that did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryOn {
    /// No connection.
    ConnectFailure,
    /// The target closed without an answer.
    EmptyResponse,
    /// The answer is not HTTP.
    JunkResponse,
    /// No answer in time.
    ResponseTimeout,
    /// The target refused early data.
    EarlyDataRejected,
    /// What Portway holds for safe where nothing is said.
    Safe,
    /// The target is not the one for this request (421), and has not done it: RFC 9110 section 15.5.20.
    Misdirected,
    /// The target does not do what may have come in early data (425), and has not done it: RFC 8470 section 5.2.
    TooEarly,
    /// The target cannot do it now, and says when to come again (503 with Retry-After).
    Unavailable,
    /// This status.
    Status(u16),
    /// A status from the first to the last of these.
    Statuses(u16, u16),
}

/// A target whose state another one shares.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackedDraft {
    /// Its group; the same group where `None`.
    pub group: Option<Spanned<Name>>,
    /// Its name.
    pub target: Spanned<Name>,
}

/// Where the first address of a named target comes from; the first source that has one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FirstAddress {
    /// What a state file says. Portway keeps none.
    Last,
    /// The system's resolver.
    Resolver,
    /// None: the target is down until its name resolves.
    None,
    /// This one.
    Ip(IpAddr),
}
