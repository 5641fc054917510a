//! The shapes of `/explain`: what is asked, and what is told. Also what `portway explain --json` prints.
//!
//! Fields may be added; a field that is here keeps its name and meaning.

use std::net::IpAddr;

use portway_control::explain as control;
use serde::{Deserialize, Serialize};

/// A request that somebody asks about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The method; GET where none is said.
    #[serde(default = "get")]
    pub method: String,
    /// `https://HOST[:PORT]/PATH`.
    pub url: String,
    /// Headers, in order.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// Who asks; 127.0.0.1 where nobody is said.
    #[serde(default)]
    pub from: Option<IpAddr>,
    /// The listener that it comes to; found out by the URL where none is said.
    #[serde(default)]
    pub listener: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

impl From<Question> for control::Asked {
    fn from(it: Question) -> Self {
        Self {
            method: it.method,
            url: it.url,
            headers: it.headers,
            body: it.body.into_bytes(),
            from: it.from,
            listener: it.listener,
        }
    }
}

/// Why nothing is explained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong.
    pub error: String,
}

/// What would become of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What is asked: method and URL.
    pub request: String,
    /// Who asks.
    pub from: IpAddr,
    /// What objects are called in the language of the configuration.
    pub words: Words,
    /// The listener that it comes to, and those that it is handed over to.
    pub listeners: Vec<Listener>,
    /// The names of the certificate that the client is shown; `null`: none, or it is not known.
    pub certificate: Option<String>,
    /// Rules in the order in which they are asked.
    pub rules: Vec<Rule>,
    /// Rules on the response, in the order in which they run, where a target is to answer.
    #[serde(default)]
    pub response_rules: Vec<Rule>,
    /// Circuit breakers that are asked, in order.
    #[serde(default)]
    pub circuit_breakers: Vec<CircuitBreaker>,
    /// What the target is asked, as rules leave it; `null` where no target is, or it is none of HTTP.
    pub sent: Option<String>,
    /// The group that it goes to.
    pub target_group: Option<TargetGroup>,
    /// What becomes of it.
    pub end: End,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// What objects are called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Words {
    /// `listener`, `frontend`, `entry point`.
    pub listener: String,
    /// `target group`, `backend`, `service`.
    pub target_group: String,
    /// `target`, `server`.
    pub target: String,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// `http`, `https`, `tcp` or `tls`.
    pub protocol: String,
    /// The address that the connection comes to; empty where it is handed over.
    pub address: String,
    /// `FILE:LINE`.
    pub place: Option<String>,
}

/// A rule that was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The listener.
    pub listener: String,
    /// The group whose rule it is; `null`: the listener's.
    pub target_group: Option<String>,
    /// `connection`, `session`, `client_hello` or `request`; of a response `response` or `after_response`.
    pub phase: String,
    /// Its place in its list, from 1.
    pub number: usize,
    /// `FILE:LINE`.
    pub place: Option<String>,
    /// Its text on one line.
    pub text: Option<String>,
    /// `matched`, `not_matched`, `skipped`: its condition holds, but a rule before it accepted; or, of a rule on a response, `depends`
    /// on that.
    pub outcome: String,
    /// The tests that say so, each with the value that the request has.
    pub why: Vec<String>,
    /// What it did.
    pub did: Vec<String>,
}

/// A circuit breaker that a rule asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    /// Its name.
    pub name: String,
    /// `FILE:LINE` of the rule.
    pub place: Option<String>,
    /// `closed`, `open` or `recovering`.
    pub state: String,
    /// Seconds for which it is so at most; `null` where it is closed.
    pub left: Option<u64>,
    /// Of a hundred requests so many pass.
    pub percent: f64,
    /// It answers in place of what the request goes to.
    pub answers: bool,
    /// The condition that opens it.
    pub opens_when: String,
    /// From so many requests on the condition counts.
    pub min_requests: u32,
    /// Seconds for which nothing passes once it is open.
    pub open_for: f64,
    /// Seconds in which the share that passes rises after that.
    pub recover_over: f64,
    /// The status of its answer.
    pub status: u16,
}

/// A target group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its name.
    pub name: String,
    /// `FILE:LINE`.
    pub place: Option<String>,
    /// How a target is chosen, in words.
    pub by: String,
    /// Chance says which: the target that is named is one that may be.
    pub by_chance: bool,
    /// Its targets.
    pub targets: Vec<Target>,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// `initial`, `healthy`, `unhealthy`, `draining` or `unused`.
    pub health: String,
    /// `taken`; `in`: may be taken; else why not: `full`, `down`, `weightless`, `backup`, `aside`.
    pub standing: String,
    /// The same in words.
    pub why: Option<String>,
    /// Its share among those that may be taken.
    pub share: Option<String>,
    /// What it serves now.
    pub in_flight: u32,
    /// What it may serve at most; 0: no limit.
    pub max_connections: u32,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum End {
    /// A target takes it.
    Target {
        /// Its name.
        name: String,
        /// Where it is.
        address: String,
    },
    /// It waits for room at this target; `null`: at any.
    Waits {
        /// See there.
        target: Option<String>,
    },
    /// Portway answers.
    Answer {
        /// The status; 0: nothing is sent, the connection is closed.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// The beginning of the body.
        body: String,
        /// All bytes of it.
        body_bytes: usize,
        /// Seconds that the client is held before.
        after: Option<f64>,
        /// Why, where no rule says so.
        why: Option<String>,
    },
    /// Portway shows a page of its own: statistics or metrics.
    Service,
    /// The connection is closed without an answer.
    Closed {
        /// The client does not hear of it.
        silent: bool,
        /// Why, where no rule says so.
        why: Option<String>,
    },
}

impl Explanation {
    /// What control says of a request.
    pub fn of(request: &str, it: control::Explanation) -> Self {
        Self {
            request: request.to_owned(),
            from: it.from,
            words: Words {
                listener: it.words.listener.to_owned(),
                target_group: it.words.group.to_owned(),
                target: it.words.target.to_owned(),
            },
            listeners: it.listeners.into_iter().map(Listener::from).collect(),
            certificate: it.certificate,
            rules: it.rules.into_iter().map(Rule::from).collect(),
            response_rules: it.response_rules.into_iter().map(Rule::from).collect(),
            circuit_breakers: it.circuits.into_iter().map(CircuitBreaker::from).collect(),
            sent: it.sent,
            target_group: it.group.map(TargetGroup::from),
            end: it.end.into(),
            notes: it.notes,
        }
    }
}

impl From<control::ListenerView> for Listener {
    fn from(it: control::ListenerView) -> Self {
        Self {
            name: it.name,
            protocol: it.protocol.to_owned(),
            address: it.address,
            place: it.place,
        }
    }
}

impl From<control::RuleView> for Rule {
    fn from(it: control::RuleView) -> Self {
        Self {
            listener: it.listener,
            target_group: it.group,
            phase: it.phase.to_owned(),
            number: it.number,
            place: it.place,
            text: it.text,
            outcome: match it.outcome {
                control::Outcome::Matched => "matched",
                control::Outcome::NotMatched => "not_matched",
                control::Outcome::Skipped => "skipped",
                control::Outcome::Depends => "depends",
            }
            .to_owned(),
            why: it.why,
            did: it.did,
        }
    }
}

impl From<control::CircuitView> for CircuitBreaker {
    fn from(it: control::CircuitView) -> Self {
        let answers = it.told.answers();
        let settings = it.told.settings;
        Self {
            name: settings.name.to_string(),
            place: it.place,
            state: it.told.state.word().to_owned(),
            left: it.told.left.map(|it| it.as_secs()),
            percent: it.told.percent,
            answers,
            opens_when: settings.opens_when.to_string(),
            min_requests: settings.min_requests,
            open_for: settings.open_for.as_secs_f64(),
            recover_over: settings.recover_over.as_secs_f64(),
            status: settings.status,
        }
    }
}

impl From<control::GroupView> for TargetGroup {
    fn from(it: control::GroupView) -> Self {
        Self {
            name: it.name,
            place: it.place,
            by: it.by,
            by_chance: it.by_chance,
            targets: it.targets.into_iter().map(Target::from).collect(),
        }
    }
}

impl From<control::TargetInView> for Target {
    fn from(it: control::TargetInView) -> Self {
        Self {
            name: it.name,
            address: it.address,
            health: it.health.to_owned(),
            standing: it.standing.to_owned(),
            why: it.why,
            share: it.share,
            in_flight: it.in_flight,
            max_connections: it.max_connections,
        }
    }
}

impl From<control::End> for End {
    fn from(it: control::End) -> Self {
        match it {
            control::End::Target { name, address } => End::Target { name, address },
            control::End::Waits(target) => End::Waits { target },
            control::End::Answer {
                status,
                headers,
                body,
                body_bytes,
                after,
                why,
            } => End::Answer {
                status,
                headers,
                body,
                body_bytes,
                after: after.map(|it| it.as_secs_f64()),
                why,
            },
            control::End::Service => End::Service,
            control::End::Closed { silent, why } => End::Closed { silent, why },
        }
    }
}
