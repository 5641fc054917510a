//! Rules: a condition and what is done where it holds.
//!
//! Rules run in order within their [`Phase`]. An action that ends its phase is the last that runs in it; every
//! other lets the next rule run.

use crate::authorize::Authorize;
use crate::choice::{StickTo, StickinessUse};
use crate::compression::Compression;
use crate::cors::{Cors, SecurityHeaders};
use crate::digest_auth::DigestAuth;
use crate::expression::{
    Condition, Counter, Expression, PriorityPart, Template, TextMatch, Variable,
};
use crate::jwt::Jwt;
use crate::limit::Limit;
use crate::log::LogLevel;
use crate::mirror::Mirror;
use crate::name::Name;
use crate::page::PageFrom;
use crate::settings::ProxyHeader;
use crate::span::{Origin, Span};
use crate::stage::Stage;
use std::sync::Arc;
use std::time::Duration;

/// A step of a listener or a target group.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule<S: Stage> {
    /// When it runs.
    pub phase: Phase,
    /// Where it applies; `Condition::All(vec![])`: always.
    pub condition: Condition<S>,
    /// What is done, in order.
    pub actions: Vec<Action<S>>,
    /// The text that made it.
    pub origin: Origin,
    /// The texts that made its actions.
    pub places: Places,
}

impl<S: Stage> Rule<S> {
    /// Where the action with this index stands: within the rule where that is known, else the rule.
    pub fn place_of(&self, action: usize) -> Span {
        let places = self.places.0.get(action).copied();
        places.filter(|it| !it.is_none()).unwrap_or(self.origin.0)
    }
}

/// Where the actions of a rule stand, in their order; those beyond the end where their rule does. All are equal, as
/// origins are.
#[derive(Debug, Clone, Default)]
pub struct Places(pub Vec<Span>);

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// When a rule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// A connection was accepted, nothing was read.
    Connection,
    /// The PROXY protocol and TLS towards the client are done, nothing else was read.
    Session,
    /// What the client sends first is looked at, in the clear where TLS is terminated here; as more of it comes, until
    /// a rule decides or the `inspect` timeout ends. On a listener or group that speaks HTTP: the request head was
    /// read, before the request phase.
    ClientHello,
    /// The request head was read.
    Request,
    /// The response head of the target was read.
    Response,
    /// A response is about to be sent, also one of our own.
    AfterResponse,
}

impl Phase {
    /// Every phase in the order of time.
    pub const ALL: [Phase; 6] = [
        Phase::Connection,
        Phase::Session,
        Phase::ClientHello,
        Phase::Request,
        Phase::Response,
        Phase::AfterResponse,
    ];

    /// Its word in the native form.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Connection => "connection",
            Phase::Session => "session",
            Phase::ClientHello => "client_hello",
            Phase::Request => "request",
            Phase::Response => "response",
            Phase::AfterResponse => "after_response",
        }
    }
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action<S: Stage> {
    /// Ends the phase: to one of these groups, in proportion to the weights of those that are able to serve. Request phase, or connection and
    /// client-hello phase of a TCP listener.
    Forward(Vec<Weighted<S>>),
    /// Ends the phase: to the one of these groups that a value leads to, by weighted rendezvous hashing: one value stays with
    /// its group while that is able to serve, and a group that is not able moves only its own. By weight alone where the
    /// value is absent. Phases as of `Forward`.
    ForwardByHash {
        /// The value.
        hash: Expression<S>,
        /// The groups, with what part of all values each takes.
        groups: Vec<Weighted<S>>,
    },
    /// Ends the phase: to the group of this name; to `fallback` where there is none of that name.
    ForwardByName {
        /// The name of a group.
        name: Template<S>,
        /// Where there is no such group; answered with 503 without one.
        fallback: Option<S::Group>,
    },
    /// Ends the phase: the connection goes on at this listener, with what was looked at of it, as if that had accepted
    /// it; its rules of the connection phase do not run. Client-hello phase of a TCP listener.
    HandOver(S::Listener),
    /// Ends the phase: answers with a redirect.
    Redirect {
        /// The `Location`.
        location: Template<S>,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// Ends the phase: answers.
    Respond(FixedResponse<S>),
    /// Ends the phase: answers, and counts and logs the request (or, in the response phase, the response) as denied.
    Deny(FixedResponse<S>),
    /// Ends the phase: asks for Basic authorization unless a user of the list is authorized.
    Authenticate {
        /// Who may pass; `None`: nobody, because the rule's condition decides.
        users: Option<S::Userlist>,
        /// Shown to the user.
        realm: String,
    },
    /// Asks for Digest authorization unless the request has it. Request phase.
    DigestAuth(Arc<DigestAuth>),
    /// Ends the phase unless another service lets the request go on. Request phase.
    Authorize(Arc<Authorize<S>>),
    /// Ends the phase unless the request has a token that is believed. Request phase.
    Jwt(Arc<Jwt>),
    /// Ends the phase: nothing more is checked or waited for. On a listener, rules after it are still looked at for one
    /// that forwards.
    Accept,
    /// The PROXY protocol is expected on this connection. Connection phase.
    ExpectProxy(ProxyHeader),
    /// Ends the phase: closes the connection without an answer, with a reset where nothing of it was looked at.
    Reject {
        /// Leaves the client waiting instead of telling it.
        silent: bool,
    },
    /// Ends the phase: waits, then answers. A brake for attackers.
    Tarpit {
        /// How long.
        delay: Duration,
        /// What is answered then.
        response: FixedResponse<S>,
    },
    /// Ends the phase: answered by Portway itself.
    Service(Service<S>),
    /// Sets a header, replacing all of that name. In the request phases it goes to the target, in the response
    /// phases to the client; so for all header actions.
    SetHeader {
        /// Header name.
        name: String,
        /// Its value.
        value: Template<S>,
    },
    /// Adds a header beside those of that name.
    AddHeader {
        /// Header name.
        name: String,
        /// Its value.
        value: Template<S>,
    },
    /// Removes all headers of that name.
    RemoveHeader {
        /// Header name.
        name: String,
    },
    /// Removes all headers whose name fits. What frames a message, and `Host`, stays.
    RemoveHeaders(NamePattern<S>),
    /// Rewrites the values of a header.
    ReplaceHeader {
        /// Header name.
        name: String,
        /// What is searched in each value.
        pattern: S::Pattern,
        /// What comes in its place; its texts may say `$1`.
        with: Template<S>,
        /// Each element of a list between commas is a value of its own.
        elements: bool,
    },
    /// Sets the path.
    SetPath(Template<S>),
    /// Rewrites the path.
    ReplacePath {
        /// What is searched.
        pattern: S::Pattern,
        /// What comes in its place; its texts may say `$1`.
        with: Template<S>,
    },
    /// Rewrites path and query.
    ReplaceTarget {
        /// What is searched.
        pattern: S::Pattern,
        /// What comes in its place; its texts may say `$1`.
        with: Template<S>,
    },
    /// Rewrites path and query with what the request has before them.
    ReplaceUrl {
        /// What is searched.
        pattern: S::Pattern,
        /// What comes in its place; its texts may say `$1`.
        with: Template<S>,
    },
    /// Takes the first of these prefixes off the path and says so in X-Forwarded-Prefix.
    StripPrefix(Vec<String>),
    /// Puts a prefix before the path.
    AddPrefix(String),
    /// Sets an argument of the query, in place of those of that name; the others stay as they are written.
    SetArgument {
        /// Its name.
        name: String,
        /// Its value, before it is percent-encoded.
        value: Template<S>,
    },
    /// Takes all arguments of that name out of the query.
    RemoveArgument(String),
    /// Sets the query string.
    SetQuery(Template<S>),
    /// Sets path and query.
    SetTarget(Template<S>),
    /// Sets path and query with the scheme and the authority before them, or without. The authority is the Host then.
    SetUrl(Template<S>),
    /// Brings path and query into a normal form (RFC 3986 section 6).
    Normalize(Normalization),
    /// Sets the method; it stays where that is none.
    SetMethod(Template<S>),
    /// Sets what counts as the client's address or port, or as those it connected to: for rules, logs, targets and the
    /// choice among them. It stays where that is none.
    SetEnd {
        /// Which.
        end: End,
        /// To what: an address or a number.
        to: Expression<S>,
    },
    /// Sets the status of a response.
    SetStatus {
        /// The status.
        status: u16,
        /// The reason phrase; `None`: the usual one.
        reason: Option<String>,
    },
    /// Sets a variable. Where the template is one expression and that is absent, the variable stays as it is.
    SetVariable {
        /// Which.
        variable: Variable,
        /// To what.
        value: Template<S>,
    },
    /// Unsets a variable.
    UnsetVariable(Variable),
    /// Adds an entry to a map or a list, or gives those with its key another value, in all maps of the same file. Nothing
    /// happens where the key is none for them.
    PutEntry {
        /// One of the maps.
        map: S::Map,
        /// The key, as it would stand in the file.
        key: Template<S>,
        /// The value; `None` in a list.
        value: Option<Template<S>>,
    },
    /// Takes the entries with a key out of a map or a list, and all others of the same file.
    RemoveEntry {
        /// One of the maps.
        map: S::Map,
        /// The key, as it would stand in the file.
        key: Template<S>,
    },
    /// Counts this connection or exchange in an entry of a stick table.
    Track {
        /// Where later rules find the entry, 0–11.
        slot: u8,
        /// The entry's key.
        key: Expression<S>,
        /// The table.
        table: S::StickTable,
    },
    /// Raises a general counter of the tracked entry.
    Increment {
        /// The slot of a `Track`.
        slot: u8,
        /// Which; a general counter.
        counter: Counter,
    },
    /// Sets a mark of the tracked entry.
    SetMark {
        /// The slot of a `Track`.
        slot: u8,
        /// Which; a mark.
        mark: Counter,
        /// To what; nothing happens where it is no number from 0 to 2³² − 1.
        to: Expression<S>,
    },
    /// Keeps a value for the log. What is captured from requests and what from responses have slots of their own.
    Capture {
        /// What.
        value: Expression<S>,
        /// At most so many bytes.
        length: u16,
        /// Where it is kept, from 0; `None`: in the next slot. A group's rule must say.
        slot: Option<u16>,
    },
    /// Replaces a timeout for this exchange.
    SetTimeout {
        /// Which.
        which: TimeoutKind,
        /// To what.
        to: NewTimeout<S>,
    },
    /// Says a part of its place among those that wait for a target. A number beyond the limits is the nearest within them, and
    /// what is no number changes nothing.
    SetPriority {
        /// Which part.
        part: PriorityPart,
        /// To what.
        to: Expression<S>,
    },
    /// Waits for the body before the next rule runs, so that rules can look at it. In the response phase it is the
    /// target's. What is looked at has a limit, whatever is asked for.
    WaitForBody {
        /// How long at most; then a request is answered with 408, and a response is passed on.
        time: Duration,
        /// Bytes that are enough; 0: the whole body.
        at_least: u32,
    },
    /// Limits bodies, or how many requests are served. Request phase.
    Limit(Limit<S>),
    /// What may have reached a target is not tried again, whatever its group says; connections that did not come about are.
    /// Request phase.
    DisableL7Retry,
    /// The request takes part in a trace (W3C Trace Context): a step of the one that a trusted proxy names, or the first of
    /// a new one, of which so many in a hundred are sampled. Request phase.
    TraceContext(u8),
    /// A copy goes to another group too. Request phase.
    Mirror(Mirror<S>),
    /// Compresses the target's response, where the client takes that. The last one counts. Request phase.
    Compress(Arc<Compression>),
    /// Answers browsers that ask whether pages of other origins may ask, and tells the response who may read it; the last one
    /// counts. Request phase.
    Cors(Arc<Cors>),
    /// Tells browsers to be careful. Response phases.
    SecurityHeaders(Arc<SecurityHeaders>),
    /// Answers with certain statuses, also our own, to what this rule and later ones let on have their page from another
    /// group: it is asked for with GET and the headers of the request, and answered with the status of the answer that
    /// it stands for. Rules on the response see the variables of an exchange as they are now. Of several such actions
    /// the last is asked first; of the cases of one, the first that fits counts. Request phase of a listener.
    PageFrom(Arc<Vec<PageFrom<S>>>),
    /// The level with which this exchange is logged; `None`: it is not logged.
    SetLog(Option<LogLevel>),
    /// Says whether the client is kept with its target. Request phase of a target group.
    SetStickiness(StickinessUse),
    /// The target of this name serves, before stickiness and the algorithm are asked, if it may take traffic; else
    /// what later rules say counts. Request phase of a target group, client-hello phase of one that passes bytes on.
    UseTarget(Template<S>),
    /// Keeps the client with a target by an entry of a stick table. Request and response phase of a target group,
    /// client-hello phase of one that passes bytes on; in the response phase it only remembers. Where no rule has chosen
    /// a target and no cookie names one, the entry's serves, if it may take traffic. Of the rules on a request that
    /// remember in one table, the first that has a key counts; so for those on a response.
    Stick {
        /// What is done.
        to: StickTo,
        /// The entry's key.
        key: Expression<S>,
        /// The table.
        table: S::StickTable,
    },
}

/// A normal form of path and query. The strict ones answer 400 where something percent-encoded is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Normalization {
    /// Several slashes in a row are one.
    MergeSlashes,
    /// Segments `.` are taken out of the path.
    StripDot,
    /// Segments `..` are taken out of the path with the segment before each.
    StripDotdot,
    /// The same, and those that have no segment before them too.
    StripDotdotFull,
    /// Slashes of the path that are percent-encoded are not.
    DecodeSlashes,
    /// Backslashes of the path are slashes, percent-encoded ones too.
    TurnBackslashes,
    /// The arguments of the query stand in the order of their names.
    SortQuery,
    /// What need not be percent-encoded is not.
    DecodeUnreserved,
    /// The same, strictly.
    DecodeUnreservedStrict,
    /// The digits of what is percent-encoded are upper case.
    UppercasePercent,
    /// The same, strictly.
    UppercasePercentStrict,
}

impl Normalization {
    /// Every form.
    pub const ALL: [Normalization; 11] = [
        Normalization::MergeSlashes,
        Normalization::StripDot,
        Normalization::StripDotdot,
        Normalization::StripDotdotFull,
        Normalization::DecodeSlashes,
        Normalization::TurnBackslashes,
        Normalization::SortQuery,
        Normalization::DecodeUnreserved,
        Normalization::DecodeUnreservedStrict,
        Normalization::UppercasePercent,
        Normalization::UppercasePercentStrict,
    ];
}

/// An end of a client's connection, by half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The client's address.
    Source,
    /// The client's port.
    SourcePort,
    /// The address that it connected to.
    Destination,
    /// The port that it connected to.
    DestinationPort,
}

/// A timeout that a rule may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeoutKind {
    /// Silence of a target.
    Response,
    /// Silence of both sides of a tunnel.
    Tunnel,
    /// One attempt, until the head of its response.
    Attempt,
    /// A whole exchange.
    Total,
}

/// What a timeout becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum NewTimeout<S: Stage> {
    /// This.
    Fixed(Duration),
    /// So many milliseconds; the timeout stays where this is no number above 0.
    Milliseconds(Expression<S>),
}

/// Which names of headers fit.
#[derive(Debug, Clone, PartialEq)]
pub enum NamePattern<S: Stage> {
    /// Those that begin, end or otherwise agree with this text; ASCII letters of either case are equal.
    Text {
        /// How it agrees.
        how: TextMatch,
        /// The text.
        text: String,
    },
    /// Those in which this is found.
    Regex(S::Pattern),
    /// Those of the headers in whose whole line this is found: `name: value`, the name in lower case. A header that
    /// occurs several times loses only the lines that fit.
    Line(S::Pattern),
}

/// A target group with its share.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighted<S: Stage> {
    /// The group.
    pub group: S::Group,
    /// Its share, 0–65535; relative to the sum of its rank. 0 takes nothing.
    pub weight: u16,
    /// Groups of the lowest rank that are able to serve share what comes; ranks are counted from 0 without gaps, in the
    /// order of the list.
    pub rank: u16,
}

impl<S: Stage> Weighted<S> {
    /// The only one, or one of the first rank.
    pub fn new(group: S::Group, weight: u16) -> Self {
        Self {
            group,
            weight,
            rank: 0,
        }
    }
}

/// An answer of our own.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedResponse<S: Stage> {
    /// 200–599.
    pub status: u16,
    /// `Content-Type`; none without a body.
    pub content_type: Option<String>,
    /// The body.
    pub body: AnswerBody<S>,
    /// More headers.
    pub headers: Vec<(String, Template<S>)>,
}

/// The body of an answer of our own.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerBody<S: Stage> {
    /// This text; empty: none.
    Text(Template<S>),
    /// The contents of this file.
    File(String),
    /// What is answered with this status where something fails: the error page of the group or the listener, else
    /// our own words.
    ErrorPage,
    /// The error page in this file: a whole HTTP response where it begins with `HTTP/`, else an HTML body.
    ErrorPageFile(String),
}

impl<S: Stage> AnswerBody<S> {
    /// No body.
    pub const NONE: Self = AnswerBody::Text(Template(Vec::new()));
}

impl<S: Stage> FixedResponse<S> {
    /// What is answered with this status where something fails.
    pub fn error(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            body: AnswerBody::ErrorPage,
            headers: Vec::new(),
        }
    }
}

/// What Portway answers itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Service<S: Stage> {
    /// The page of statistics, with its CSV and JSON forms.
    Stats(Box<StatsPage<S>>),
    /// The metrics under HAProxy's names, in Prometheus' text format.
    Metrics,
}

/// A page of statistics as HAProxy has it, and what may be done on it.
#[derive(Debug, Clone, PartialEq)]
pub struct StatsPage<S: Stage> {
    /// What path and query of the page begin with; links on the page lead there. `None`: the path of the request up
    /// to its first `;`. The condition of the rule says when the page is shown, not this.
    pub uri_prefix: Option<String>,
    /// After so long browsers are told to load the page again; never without it.
    pub refresh: Option<Duration>,
    /// Who may see the page; everybody without it. Asked for by Basic authorization.
    pub users: Option<S::Userlist>,
    /// The realm that the user is shown.
    pub realm: String,
    /// Where this holds, the page may change states of targets; nowhere without it.
    pub admin: Option<Condition<S>>,
    /// Names of the listeners and groups that are shown; all where empty.
    pub scope: Vec<Name>,
    /// The node's name on the page. `Some("")`: that of the process.
    pub node: Option<String>,
    /// A description on the page. `Some("")`: that of the process.
    pub description: Option<String>,
    /// Addresses, algorithms and cookies are shown with the objects.
    pub show_legends: bool,
    /// Counters of more modules are shown.
    pub show_modules: bool,
    /// The version is not told.
    pub hide_version: bool,
}

/// The realm of a page of statistics where none is said, HAProxy's.
pub const STATS_REALM: &str = "HAProxy Statistics";

impl<S: Stage> Default for StatsPage<S> {
    fn default() -> Self {
        Self {
            uri_prefix: None,
            refresh: None,
            users: None,
            realm: STATS_REALM.to_owned(),
            admin: None,
            scope: Vec::new(),
            node: None,
            description: None,
            show_legends: false,
            show_modules: false,
            hide_version: false,
        }
    }
}

impl<S: Stage> Rule<S> {
    /// The groups that it forwards to, as far as they are named.
    pub fn forwards_to(&self) -> impl Iterator<Item = &S::Group> {
        crate::compile::protocols::forwards_to(self)
    }

    /// Whether it still does this one of its actions after [`Action::Accept`]: what [forwards](Action::forwards), and the
    /// variables that such a rule sets for it.
    pub fn still_does(&self, action: &Action<S>) -> bool {
        let sets = matches!(
            action,
            Action::SetVariable { .. } | Action::UnsetVariable(_)
        );
        action.forwards() || sets && self.actions.iter().any(Action::forwards)
    }
}

impl<S: Stage> Action<S> {
    /// True where it says to which target group or target; it runs also after [`Action::Accept`].
    pub fn forwards(&self) -> bool {
        matches!(
            self,
            Action::Forward(_)
                | Action::ForwardByHash { .. }
                | Action::ForwardByName { .. }
                | Action::HandOver(_)
                | Action::UseTarget(_)
                | Action::Stick { .. }
        )
    }

    /// True where no later action of the phase runs.
    pub fn ends_phase(&self) -> bool {
        matches!(
            self,
            Action::Forward(_)
                | Action::ForwardByHash { .. }
                | Action::ForwardByName { .. }
                | Action::HandOver(_)
                | Action::Redirect { .. }
                | Action::Respond(_)
                | Action::Deny(_)
                | Action::Authenticate { users: None, .. }
                | Action::Accept
                | Action::Reject { .. }
                | Action::Tarpit { .. }
                | Action::Service(_)
        )
    }
}

/// Fields that belong to one connection or frame its messages: the engine alone writes them. RFC 9110 section
/// 7.6.1, RFC 9112 section 6.
const OF_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// True for the name of a field that no rule may write, in letters of either case.
pub fn is_of_connection(name: &str) -> bool {
    OF_CONNECTION
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}
