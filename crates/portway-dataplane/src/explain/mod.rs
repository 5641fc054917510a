//! What would become of a request, without its being served: the same rules, the same choice, beside everything that
//! counts.
//!
//! A plane is copied aside: what rules, limits, stick tables and balancers of the copy say is what those
//! of the plane would say, and what happens to them happens to the copy alone. On it runs what exchanges run. What is
//! not known before a request has come is left out: what a target answers, and chance.

mod beside;
mod choice;
mod later;
mod notes;
mod walk;

pub use choice::{Bound, Choice, Chosen, Standing, TargetView};

use crate::plane::Plane;
use portway_core::balance::Ability;
use portway_core::breaker::State;
use portway_core::evaluate::Judged;
use portway_model::action::{End, Phase};
use portway_model::circuit::CircuitBreaker;
use portway_model::expression::{Matched, Test, Variable};
use portway_model::snapshot::{GroupId, ListenerId, StickTableId};
use portway_model::span::{Origin, Span, Spanned};
use portway_model::stage::Resolved;
use portway_telemetry::metrics::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A request that somebody asks about.
#[derive(Debug, Clone)]
pub struct Question {
    /// Where it comes in.
    pub listener: ListenerId,
    /// The number of the socket among the addresses of the listener, from 1 on.
    pub socket_number: u16,
    /// The client.
    pub peer: SocketAddr,
    /// What it connects to.
    pub local: SocketAddr,
    /// The client speaks TLS, and what it says first.
    pub tls: Option<Tls>,
    /// The request as it goes over the wire, head and body.
    pub request: Vec<u8>,
}

/// A client's TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The name that it asks for.
    pub server_name: Option<String>,
    /// Its ClientHello, in its record.
    pub hello: Vec<u8>,
}

/// What would become of it.
#[derive(Debug)]
pub struct Told {
    /// Every listener that it comes to: the first, and those that it is handed over to.
    pub listeners: Vec<ListenerId>,
    /// The certificate that the client is shown, DER; `None`: TLS is not terminated, or nothing is known of it.
    pub certificate: Option<Vec<u8>>,
    /// Rules in the order in which they are asked.
    pub steps: Vec<Step>,
    /// Rules on the response, in the order in which they run; none where no target is to answer.
    pub later: Vec<Later>,
    /// Where some of them look at what the target of a stream sends first: how long that is waited for.
    pub waits_for_answer: Option<Duration>,
    /// What its target is asked, where it is a request of HTTP: the head, as rules leave it.
    pub sent: Option<Sent>,
    /// Its end.
    pub end: Ending,
}

/// A request as rules leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The method.
    pub method: Vec<u8>,
    /// The host.
    pub host: Vec<u8>,
    /// Path and query.
    pub target: Vec<u8>,
}

/// One rule that was asked.
#[derive(Debug)]
pub struct Step {
    /// The group whose rule it is; `None`: the listener's.
    pub group: Option<GroupId>,
    /// The listener that it came on.
    pub listener: ListenerId,
    /// The list that it stands in.
    pub phase: Phase,
    /// Its place there, from 0.
    pub index: usize,
    /// The text that made it.
    pub origin: Origin,
    /// Whether its condition holds.
    pub holds: bool,
    /// It holds, but a rule before it lets only those run that forward.
    pub skipped: bool,
    /// The tests that make its condition so.
    pub reasons: Vec<Reason>,
    /// What it did.
    pub done: Vec<Done>,
}

/// A rule on the response, as far as it is known before there is one.
#[derive(Debug)]
pub struct Later {
    /// The group whose rule it is; `None`: the listener's.
    pub group: Option<GroupId>,
    /// The listener that the request came on.
    pub listener: ListenerId,
    /// The list that it stands in.
    pub phase: Phase,
    /// Its place there, from 0.
    pub index: usize,
    /// The text that made it.
    pub origin: Origin,
    /// Whether its condition holds; `None`: that depends on the response.
    pub truth: Option<bool>,
    /// It is left out: a rule before it, which holds for certain, accepts or ends the phase.
    pub skipped: bool,
    /// The tests that say so, of those that are known.
    pub reasons: Vec<Reason>,
    /// The tests on which it depends.
    pub open: Vec<Spanned<Test<Resolved>>>,
    /// What regular expressions of its condition found, as far as its actions say it and it is known; none where it is not known that it
    /// runs.
    pub found: Vec<Done>,
}

/// A test that matters.
#[derive(Debug, Clone)]
pub struct Reason {
    /// The test.
    pub test: Test<Resolved>,
    /// Where it stands.
    pub span: Span,
    /// What was compared; empty: there is no such value.
    pub values: Vec<Vec<u8>>,
    /// Whether it passed.
    pub passed: bool,
}

impl Reason {
    fn of(it: &Judged<'_>) -> Self {
        Self {
            test: it.test.clone(),
            span: it.span,
            values: it.values.clone(),
            passed: it.passed,
        }
    }
}

/// What an action did.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// It says what a regular expression found: this; `None`: nothing.
    Found {
        /// Which part, and of what.
        matched: Box<Matched<Resolved>>,
        /// What is there.
        value: Option<Vec<u8>>,
    },
    /// A circuit breaker was asked.
    Circuit(Box<CircuitTold>),
    /// A header of the request has these values now; none: it is gone.
    Header {
        /// Its name.
        name: String,
        /// Its values.
        values: Vec<Vec<u8>>,
    },
    /// These headers of the request are gone.
    Gone(Vec<String>),
    /// Path and query were rewritten.
    Target {
        /// From what.
        from: Vec<u8>,
        /// To what.
        to: Vec<u8>,
    },
    /// The method is another.
    Method(Vec<u8>),
    /// A variable has this value now; `None`: none.
    Variable {
        /// Which.
        variable: Variable,
        /// Its value.
        value: Option<Vec<u8>>,
    },
    /// An end of the connection counts as this now.
    End {
        /// Which.
        end: End,
        /// As what.
        to: Vec<u8>,
    },
    /// A value was kept for the log.
    Captured(Vec<u8>),
    /// It would be counted in the entry of a stick table.
    Tracked {
        /// The table.
        table: StickTableId,
        /// The key; `None`: there is none, and nothing is counted.
        key: Option<Vec<u8>>,
    },
    /// An entry of a stick table is asked for the target.
    Stuck {
        /// The table.
        table: StickTableId,
        /// The key; `None`: there is none.
        key: Option<Vec<u8>>,
        /// The target that it remembers and that may serve.
        target: Option<usize>,
    },
    /// A target is named.
    Named {
        /// What is named.
        name: Vec<u8>,
        /// Where it may serve.
        target: Option<usize>,
    },
    /// One of several groups is drawn by weight, or by a hash and weight.
    Drawn {
        /// The groups that share what comes, with their weights.
        among: Vec<(GroupId, u16)>,
        /// Those that have weight and no share now, with what they are able to.
        others: Vec<(GroupId, Ability)>,
        /// It is the one that the hash of a value leads to.
        by_hash: bool,
        /// What is gone on with: that one, or else the one with the largest share.
        taken: Option<GroupId>,
    },
    /// It goes to this group.
    Forwarded(GroupId),
    /// It goes on at this listener.
    HandedOver(ListenerId),
    /// A limit or a question for a password lets it pass.
    Passes,
    /// The body is waited for.
    Waits,
    /// A copy of so many in a hundred goes to this group.
    Mirrored(GroupId, u8),
    /// Another service is asked whether it may go on.
    Asks(GroupId),
    /// It is a step of a trace, which is sampled, or not.
    Traced(bool),
    /// Its response is told this of who may read it.
    ToldOrigin(Option<Vec<u8>>),
    /// Asks for a token that is good by keys which are not known here; the request goes on as if it were.
    TokenUnjudged,
    /// An entry of a map would be put, or taken away; rules after it see the map as it was.
    MapChange,
    /// Something that no other rule and no target sees.
    Quiet,
}

/// A circuit breaker that was asked, as it is at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct CircuitTold {
    /// What the configuration says of it.
    pub settings: CircuitBreaker,
    /// Its state.
    pub state: State,
    /// How much longer it is open, or recovers.
    pub left: Option<Duration>,
    /// How many of a hundred requests pass. Where some do, this one is taken to be among them.
    pub percent: f64,
}

impl CircuitTold {
    /// True where it answers in place of what the request goes to.
    pub fn answers(&self) -> bool {
        self.percent <= 0.0
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Ending {
    /// A target of this group takes it.
    Target(Choice),
    /// Portway answers.
    Answer(Answer),
    /// Portway answers itself what the rules leave to it: statistics, metrics.
    Service,
    /// The connection is closed without an answer. `silent`: the client does not hear of it.
    Closed {
        /// See there.
        silent: bool,
        /// Why, where no rule says so.
        why: Option<&'static str>,
    },
}

/// An answer of Portway itself.
#[derive(Debug)]
pub struct Answer {
    /// As it goes over the wire; empty: nothing is sent.
    pub wire: Vec<u8>,
    /// How long the client is held before.
    pub after: Option<Duration>,
    /// Why, where no rule says so.
    pub why: Option<&'static str>,
    /// The group that was to have it, and why it had no target.
    pub choice: Option<Choice>,
}

impl Plane {
    /// Says what would become of a request. Counters are counted in `counters`, which has a shard and all names of the
    /// plane's.
    pub fn explain(&self, counters: &Registry, question: &Question) -> Option<Told> {
        let plane = Arc::new(self.aside());
        walk::walk(plane, counters.shard(0)?, question)
    }
}
