//! Which listener, rules, target group and target a request would take, and why: in words, with the lines of the
//! configuration.
//!
//! What happens is said by the data plane ([`portway_dataplane::explain`]), which runs what exchanges run beside
//! everything that counts. Here it is asked, of the configuration at work or of one that only lies in files.

mod place;
mod request;
mod secrets;
mod words;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use portway_core::balance::Tier;
use portway_dataplane::explain::{
    Answer, Bound, Choice, Chosen, CircuitTold, Done, Ending, Later, Question, Standing, Step,
    TargetView, Tls, Told,
};
use portway_dataplane::live::{Gate, ProcessState};
use portway_dataplane::plane::Plane;
use portway_dataplane::service::Services;
use portway_model::action::{Phase, Rule};
use portway_model::choice::{Algorithm, CookieMode};
use portway_model::diagnostic::Diagnostics;
use portway_model::snapshot::{GroupId, ListenerId, Snapshot, TargetGroup};
use portway_model::span::Sources;
use portway_model::stage::Resolved;
use portway_telemetry::metrics::{Registry, TargetHealth};
use portway_telemetry::zone::Zone;
use rustls_pki_types::UnixTime;

use crate::certificates;
use crate::drains::Leaving;
use crate::error_pages;
use crate::figures::Installed;
use crate::install::{Loaded, machine, ticket_keys};
use crate::key_sets;
use crate::logs::Tellers;
use crate::maps;
use crate::parts::{self, Base, Ready};
use crate::running::Running;
use crate::targets::watch;
use crate::tls::x509::CertificateFacts;
pub use request::Asked;
use request::Parts;
use secrets::{Discretion, HIDDEN};
pub use words::Words;
use words::{Speaker, percent};

/// Bytes of the body of an answer that are shown.
const BODY_SHOWN: usize = 400;

/// What would become of a request.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What objects are called.
    pub words: Words,
    /// Who asks.
    pub from: IpAddr,
    /// The listener that it comes to, and those that it is handed over to.
    pub listeners: Vec<ListenerView>,
    /// The names of the certificate that the client is shown.
    pub certificate: Option<String>,
    /// Rules in the order in which they are asked.
    pub rules: Vec<RuleView>,
    /// Rules on the response, in the order in which they run.
    pub response_rules: Vec<RuleView>,
    /// Circuit breakers that are asked, in order.
    pub circuits: Vec<CircuitView>,
    /// What the target is asked, as rules leave it: method, host, path and query.
    pub sent: Option<String>,
    /// The group that it goes to.
    pub group: Option<GroupView>,
    /// What becomes of it.
    pub end: End,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// A listener.
#[derive(Debug, Clone)]
pub struct ListenerView {
    /// Its name.
    pub name: String,
    /// `http`, `https`, `tcp` or `tls`.
    pub protocol: &'static str,
    /// The address that the connection comes to; empty where it is handed over.
    pub address: String,
    /// `FILE:LINE`.
    pub place: Option<String>,
}

/// A rule that was asked.
#[derive(Debug, Clone)]
pub struct RuleView {
    /// The group whose rule it is; `None`: a listener's.
    pub group: Option<String>,
    /// The listener.
    pub listener: String,
    /// `connection`, `session`, `client_hello` or `request`.
    pub phase: &'static str,
    /// Its place in its list, from 1.
    pub number: usize,
    /// `FILE:LINE`.
    pub place: Option<String>,
    /// Its text.
    pub text: Option<String>,
    /// Whether it applies.
    pub outcome: Outcome,
    /// The tests that say so.
    pub why: Vec<String>,
    /// What it did.
    pub did: Vec<String>,
}

/// A circuit breaker that a rule asks.
#[derive(Debug, Clone)]
pub struct CircuitView {
    /// What is known of it.
    pub told: CircuitTold,
    /// `FILE:LINE` of the rule.
    pub place: Option<String>,
}

/// Whether a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its condition holds.
    Matched,
    /// Its condition does not hold.
    NotMatched,
    /// A rule before it accepted: only rules that forward run; or that one ends the phase.
    Skipped,
    /// That depends on the response.
    Depends,
}

/// A target group.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// `FILE:LINE`.
    pub place: Option<String>,
    /// How a target is chosen, in words.
    pub by: String,
    /// Chance says which: what is named is one that may be.
    pub by_chance: bool,
    /// Its targets.
    pub targets: Vec<TargetInView>,
}

/// A target.
#[derive(Debug, Clone)]
pub struct TargetInView {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// `initial`, `healthy`, `unhealthy`, `draining` or `unused`.
    pub health: &'static str,
    /// `taken`, `in`, `full`, `down`, `weightless`, `backup`, `aside`.
    pub standing: &'static str,
    /// Why it is not among those that may be taken.
    pub why: Option<String>,
    /// Its share among those that may be taken.
    pub share: Option<String>,
    /// What it serves now.
    pub in_flight: u32,
    /// What it may serve at most; 0: no limit.
    pub max_connections: u32,
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum End {
    /// This target takes it.
    Target {
        /// Its name.
        name: String,
        /// Where it is.
        address: String,
    },
    /// It waits for room: at this target, or at any.
    Waits(Option<String>),
    /// Portway answers.
    Answer {
        /// The status; 0: the connection is closed in place of an answer.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// The beginning of the body.
        body: String,
        /// All bytes of it.
        body_bytes: usize,
        /// How long the client is held before.
        after: Option<std::time::Duration>,
        /// Why, where no rule says so.
        why: Option<String>,
    },
    /// Portway shows a page of its own.
    Service,
    /// The connection is closed.
    Closed {
        /// The client does not hear of it.
        silent: bool,
        /// Why, where no rule says so.
        why: Option<String>,
    },
}

impl Running {
    /// Says what would become of a request now. Nothing changes by that. Takes as long as a copy of what is known of all
    /// targets does.
    ///
    /// # Errors
    /// What is wrong with the question.
    pub fn explain(&self, asked: &Asked) -> Result<Explanation, String> {
        let installed = self.statistics.installed();
        explain(&installed, asked, true)
    }
}

/// Says what would become of a request where a configuration has just begun to serve.
///
/// # Errors
/// What is wrong with the question, or what the configuration names and cannot be read.
pub fn explain_at_start(
    snapshot: Snapshot,
    sources: &Sources,
    asked: &Asked,
) -> Result<Explanation, NotExplained> {
    let installed = at_start(snapshot, sources).map_err(NotExplained::Configuration)?;
    explain(&installed, asked, false).map_err(NotExplained::Question)
}

/// Why nothing is explained.
#[derive(Debug)]
pub enum NotExplained {
    /// The question.
    Question(String),
    /// The configuration.
    Configuration(Diagnostics),
}

/// What would be at work, without anything that takes part in the world. A certificate that cannot be read is none.
fn at_start(snapshot: Snapshot, sources: &Sources) -> Result<Installed, Diagnostics> {
    let tickets = ticket_keys().map_err(Diagnostics::from)?;
    let (tls, _) = certificates::load(&snapshot, sources, &tickets, UnixTime::now());
    let (answers, mut found) = error_pages::load(&snapshot, sources);
    let (maps, of_maps) = maps::load(&snapshot, sources);
    found.extend(of_maps);
    let (keys, of_keys) = key_sets::load(&snapshot, sources);
    found.extend(of_keys);
    if found.has_errors() {
        return Err(found);
    }
    let targets = watch(&snapshot);
    let mut listeners = 0;
    let ready = Ready {
        keys: parts::keys(None, &[], (&snapshot, &[]), &mut listeners),
        sinks: (
            snapshot.listeners.iter().map(|_| None).collect(),
            Tellers::default(),
        ),
        metrics: Arc::new(Registry::new(1, parts::names(&snapshot, sources))),
        loaded: Loaded {
            answers: Arc::new(answers),
            files: Default::default(),
            tls,
            maps,
            keys,
        },
        sources: Arc::new(sources.clone()),
        targets: &targets,
        places: Default::default(),
        leaving: &Leaving::default(),
        snapshot,
    };
    let installed = Installed::first(
        ready,
        Base {
            process: Arc::new(ProcessState::default()),
            machine: Arc::new(machine()),
            zone: Zone::system(),
            services: Services::channel().0,
            names: Arc::default(),
            stapler: Arc::default(),
        },
    );
    installed.plane.set_initial_variables();
    Ok(installed)
}

fn explain(installed: &Installed, asked: &Asked, discreet: bool) -> Result<Explanation, String> {
    let plane = &installed.plane;
    let snapshot = &plane.snapshot;
    let parts = Parts::of(&asked.url)?;
    let place = place::find(snapshot, &parts, asked.listener.as_deref())?;
    let request = request::wire(asked, &parts)?;
    let from = asked.from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let tls = match parts.is_secure {
        true => Some(Tls {
            server_name: parts.address().is_none().then(|| parts.host.clone()),
            hello: request::hello(&parts.host)
                .ok_or_else(|| format!("`{}` is no name that a client may ask for", parts.host))?,
        }),
        false => None,
    };
    let question = Question {
        listener: place.listener,
        socket_number: place.socket_number,
        // A port as clients have them.
        peer: SocketAddr::new(from, 50_000),
        local: place.local,
        tls,
        request,
    };
    let counters = Registry::new(1, parts::names(snapshot, &plane.sources));
    let told = plane.explain(&counters, &question);
    let told = told.ok_or("there is no such listener")?;
    let through = told.listeners.clone();
    let view = View {
        installed,
        speaker: Speaker::new(snapshot, &plane.sources, discreet),
        words: words_of(installed, place.listener),
    };
    let mut explanation = view.whole(told, &place.address, from);
    explanation.notes.extend(place.note);
    explanation.notes.extend(nobody_comes(plane, &through));
    Ok(explanation)
}

/// That nobody can come in now by these listeners, where that is so.
fn nobody_comes(plane: &Plane, through: &[ListenerId]) -> Option<String> {
    let listeners = through.iter().filter_map(|id| plane.listener(*id));
    let mut shut = listeners.filter(|(_, parts)| !parts.state.accepts());
    let (listener, parts) = shut.next()?;
    let name = &listener.known_as;
    Some(match parts.state.gate() {
        Gate::Open => format!("nobody can connect now: listener `{name}` cannot listen yet"),
        Gate::Paused => format!(
            "nobody can connect now: listener `{name}` has drained or was paused; `portway undrain listener {name}` puts it to work"
        ),
        Gate::Closed => format!("nobody can connect any more: listener `{name}` was stopped"),
    })
}

fn words_of(installed: &Installed, listener: ListenerId) -> Words {
    let plane = &installed.plane;
    let listener = plane.snapshot.listeners.get(listener.index());
    let span = listener.map(|it| it.origin.0);
    Words::of(
        &plane.sources,
        span.unwrap_or(portway_model::span::Span::NONE),
    )
}

/// Looks at what was told, with everything that names it.
struct View<'i> {
    installed: &'i Installed,
    speaker: Speaker<'i>,
    words: Words,
}

impl View<'_> {
    fn whole(&self, told: Told, address: &str, from: IpAddr) -> Explanation {
        let is_stream = told.sent.is_none();
        let waited = told.waits_for_answer.map(|it| {
            format!("rules look at what the target sends first: the client gets nothing of it before they have, or {it:?} are over")
        });
        let (choice, mut end) = self.end(&told.end);
        self.hide_answer(&mut end, &told);
        let facts = told.certificate.as_deref().map(CertificateFacts::read);
        let names = facts.and_then(Result::ok).map(|it| match it.names() {
            names if names.is_empty() => it.subject,
            names => names.join(", "),
        });
        Explanation {
            words: self.words,
            from,
            listeners: self.listeners(&told.listeners, address),
            certificate: names,
            rules: told.steps.iter().map(|step| self.rule(step)).collect(),
            response_rules: told
                .later
                .iter()
                .map(|it| self.later(it, is_stream))
                .collect(),
            circuits: self.circuits(&told.steps),
            sent: told.sent.map(|sent| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let hides = told.steps.iter().any(|it| self.hides_target(it));
                let target = match hides {
                    true => format!(" {HIDDEN}"),
                    false => self.kept(text(&sent.target)),
                };
                format!("{} {}{target}", text(&sent.method), text(&sent.host))
            }),
            group: choice.map(|choice| self.group(choice)),
            end,
            notes: waited.into_iter().collect(),
        }
    }

    /// The circuit breakers that rules ask.
    fn circuits(&self, steps: &[Step]) -> Vec<CircuitView> {
        let asked = steps.iter().flat_map(|step| {
            let done = step.done.iter();
            done.filter_map(move |it| match it {
                Done::Circuit(told) => Some((step, &**told)),
                _ => None,
            })
        });
        let view = |(step, told): (&Step, &CircuitTold)| CircuitView {
            told: told.clone(),
            place: self.speaker.place(step.origin.0),
        };
        asked.map(view).collect()
    }

    fn listeners(&self, ids: &[ListenerId], address: &str) -> Vec<ListenerView> {
        let listeners = &self.speaker.snapshot.listeners;
        let known = ids.iter().filter_map(|id| listeners.get(id.index()));
        let view =
            |(nth, listener): (usize, &Arc<portway_model::snapshot::Listener>)| ListenerView {
                name: listener.name.to_string(),
                protocol: listener.protocol.as_str(),
                address: if nth == 0 { address } else { "" }.to_owned(),
                place: self.speaker.place(listener.origin.0),
            };
        known.enumerate().map(view).collect()
    }

    /// Without arguments that are secret.
    fn kept(&self, text: String) -> String {
        self.speaker.discretion.kept(text)
    }

    /// True where path or query may not be told after a rule has run.
    fn hides_target(&self, step: &Step) -> bool {
        let hides = |it: &Rule<Resolved>| {
            let mut actions = it.actions.iter();
            actions.any(|it| self.speaker.discretion.makes_target(it))
        };
        step.holds && !step.skipped && self.rule_of(step).is_some_and(hides)
    }

    fn rule_of(&self, step: &Step) -> Option<&Rule<Resolved>> {
        self.rule_at(step.group, step.listener, step.phase, step.index)
    }

    fn rule_at(
        &self,
        group: Option<GroupId>,
        listener: ListenerId,
        phase: Phase,
        index: usize,
    ) -> Option<&Rule<Resolved>> {
        let snapshot = self.speaker.snapshot;
        let group = group.and_then(|id| snapshot.group(id));
        let listener = snapshot.listeners.get(listener.index());
        let rules = group.map(|it| &it.rules).or(listener.map(|it| &it.rules));
        rules?.of(phase).get(index)
    }

    fn rule(&self, step: &Step) -> RuleView {
        let snapshot = self.speaker.snapshot;
        let listener = snapshot.listeners.get(step.listener.index());
        let group = step.group.and_then(|id| snapshot.group(id));
        let rule = self.rule_of(step);
        let target = |index: usize| {
            let target = group?.targets.get(index)?;
            Some(format!("{} {}", self.words.target, target.name))
        };
        let done = step.done.iter();
        RuleView {
            group: group.map(|it| it.name.to_string()),
            listener: listener.map(|it| it.name.to_string()).unwrap_or_default(),
            phase: step.phase.as_str(),
            number: step.index + 1,
            place: self.speaker.place(step.origin.0),
            text: rule
                .and_then(|rule| self.speaker.text_of(rule))
                .map(|it| self.kept(it)),
            outcome: match (step.holds, step.skipped) {
                (_, true) => Outcome::Skipped,
                (true, _) => Outcome::Matched,
                (false, _) => Outcome::NotMatched,
            },
            why: step
                .reasons
                .iter()
                .map(|it| self.kept(self.speaker.reason(it)))
                .collect(),
            did: done
                .filter_map(|it| self.speaker.done(it, rule, self.words, target))
                .map(|it| self.kept(it))
                .collect(),
        }
    }

    /// Takes out of an answer what the rule that gives it made of secrets.
    fn hide_answer(&self, end: &mut End, told: &Told) {
        let End::Answer { headers, body, .. } = end else {
            return;
        };
        let answers = told.steps.iter().filter(|it| it.holds && !it.skipped);
        for rule in answers.filter_map(|it| self.rule_of(it)) {
            let (hides_body, names) = self.speaker.discretion.hides_answer(rule);
            if hides_body {
                HIDDEN.clone_into(body);
            }
            for (name, value) in headers.iter_mut() {
                if names.contains(&name.to_ascii_lowercase()) {
                    HIDDEN.clone_into(value);
                }
            }
        }
    }

    /// A rule on the response.
    fn later(&self, later: &Later, is_stream: bool) -> RuleView {
        let snapshot = self.speaker.snapshot;
        let listener = snapshot.listeners.get(later.listener.index());
        let group = later.group.and_then(|id| snapshot.group(id));
        let known = later.reasons.iter().map(|it| self.speaker.reason(it));
        let open = later.open.iter().map(|it| self.speaker.open(it, is_stream));
        let why: Vec<String> = match later.truth {
            Some(_) => known.collect(),
            None => open.collect(),
        };
        let rule = self.rule_at(later.group, later.listener, later.phase, later.index);
        let found = later.found.iter();
        let did = found.filter_map(|it| self.speaker.done(it, rule, self.words, |_| None));
        RuleView {
            group: group.map(|it| it.name.to_string()),
            listener: listener.map(|it| it.name.to_string()).unwrap_or_default(),
            phase: later.phase.as_str(),
            number: later.index + 1,
            place: self.speaker.place(later.origin.0),
            text: rule
                .and_then(|rule| self.speaker.text_of(rule))
                .map(|it| self.kept(it)),
            outcome: match (later.truth, later.skipped) {
                (Some(false), _) => Outcome::NotMatched,
                (_, true) => Outcome::Skipped,
                (Some(true), _) => Outcome::Matched,
                (None, _) => Outcome::Depends,
            },
            why: why.into_iter().map(|it| self.kept(it)).collect(),
            did: did.map(|it| self.kept(it)).collect(),
        }
    }

    fn group(&self, choice: &Choice) -> GroupView {
        let snapshot = self.speaker.snapshot;
        let group = snapshot.group(choice.group);
        let targets = group.map_or(&[][..], |it| &it.targets);
        let is_in = |it: &&TargetView| it.standing == Standing::In;
        let sum = choice
            .targets
            .iter()
            .filter(is_in)
            .map(|it| it.weight)
            .sum();
        let watched = self.installed.targets.get(choice.group.index());
        let views = targets.iter().zip(&choice.targets).enumerate();
        let view =
            |(index, (target, view)): (usize, (&portway_model::snapshot::Target, &TargetView))| {
                let taken = choice.chosen == Chosen::Target(index);
                let verdict = || Some(watched?.get(index)?.health());
                let reason = || Some(verdict()?.reason);
                let is_ejected = verdict().is_some_and(|it| it.ejected);
                TargetInView {
                    name: target.name.to_string(),
                    address: target.address.to_string(),
                    health: match is_ejected {
                        true => TargetHealth::Ejected.word(),
                        false => view.health.as_str(),
                    },
                    standing: standing(view.standing, taken),
                    why: why_not(view, taken, reason),
                    share: match choice.bound {
                        Some(_) => taken.then(|| percent(1, 1)),
                        None => (view.standing == Standing::In).then(|| percent(view.weight, sum)),
                    },
                    in_flight: view.in_flight,
                    max_connections: view.most,
                }
            };
        GroupView {
            name: group.map(|it| it.name.to_string()).unwrap_or_default(),
            place: group.and_then(|it| self.speaker.place(it.origin.0)),
            by: group.map(|it| by(it, choice)).unwrap_or_default(),
            by_chance: choice.bound.is_none()
                && group.is_some_and(|it| matches!(it.algorithm, Algorithm::Random { .. }))
                && choice.targets.iter().filter(is_in).count() > 1,
            targets: views.map(view).collect(),
        }
    }

    fn end<'t>(&self, end: &'t Ending) -> (Option<&'t Choice>, End) {
        match end {
            Ending::Target(choice) => {
                let group = self.speaker.snapshot.group(choice.group);
                let target = |index: usize| group?.targets.get(index);
                let end = match choice.chosen {
                    Chosen::Target(index) => {
                        let target = target(index);
                        End::Target {
                            name: target.map(|it| it.name.to_string()).unwrap_or_default(),
                            address: target.map(|it| it.address.to_string()).unwrap_or_default(),
                        }
                    }
                    Chosen::Waits(index) => {
                        End::Waits(index.and_then(target).map(|it| it.name.to_string()))
                    }
                    Chosen::QueueFull | Chosen::Nobody => End::Closed {
                        silent: false,
                        why: None,
                    },
                };
                (Some(choice), end)
            }
            Ending::Answer(answer) => (
                answer.choice.as_ref(),
                answered(answer, &self.speaker.discretion),
            ),
            Ending::Service => (None, End::Service),
            Ending::Closed { silent, why } => {
                let why = why.map(str::to_owned);
                (
                    None,
                    End::Closed {
                        silent: *silent,
                        why,
                    },
                )
            }
        }
    }
}

/// An answer as it is shown.
fn answered(answer: &Answer, discretion: &Discretion<'_>) -> End {
    let wire = &answer.wire;
    let split = wire.windows(4).position(|it| it == b"\r\n\r\n");
    let head = wire.get(..split.unwrap_or(wire.len())).unwrap_or_default();
    let body = split.and_then(|at| wire.get(at + 4..)).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), discretion.header(name, value.trim())))
    };
    let shown = body.get(..body.len().min(BODY_SHOWN)).unwrap_or_default();
    End::Answer {
        status: status.and_then(|it| it.parse().ok()).unwrap_or(0),
        headers: lines.filter_map(header).collect(),
        body: String::from_utf8_lossy(shown).into_owned(),
        body_bytes: body.len(),
        after: answer.after,
        why: answer.why.map(str::to_owned),
    }
}

fn standing(standing: Standing, taken: bool) -> &'static str {
    match standing {
        _ if taken => "taken",
        Standing::In => "in",
        Standing::Full => "full",
        Standing::Down => "down",
        Standing::Weightless => "weightless",
        Standing::Backup => "backup",
        Standing::Aside => "aside",
    }
}

fn why_not(view: &TargetView, taken: bool, reason: impl Fn() -> Option<String>) -> Option<String> {
    match view.standing {
        Standing::In => None,
        _ if taken => None,
        Standing::Full if view.group_full.is_some() => {
            let (now, most) = view.group_full.unwrap_or_default();
            Some(format!("its group is full: {now} of {most} in flight"))
        }
        Standing::Full => Some(format!(
            "full: {} of {} in flight",
            view.in_flight, view.most
        )),
        Standing::Down => reason().filter(|it| !it.is_empty()),
        Standing::Weightless => Some("its weight is 0".to_owned()),
        Standing::Backup => Some("a backup, which is not needed now".to_owned()),
        Standing::Aside => Some("others are asked first".to_owned()),
    }
}

/// How a target is chosen.
fn by(group: &TargetGroup, choice: &Choice) -> String {
    let cookie = group.stickiness.as_ref();
    let how = match choice.bound {
        Some(Bound::Rule) => "a rule names it".to_owned(),
        Some(Bound::Table) => "a stick table remembers it".to_owned(),
        Some(Bound::Cookie) => {
            let name = cookie.map_or("", |it| it.name.as_str());
            format!("the cookie {name} names it")
        }
        None => algorithm(&group.algorithm, choice.is_keyed),
    };
    let sets = choice.bound.is_none() && cookie.is_some_and(|it| it.mode != CookieMode::Passive);
    let how = match choice.tier {
        Some(Tier::FailOpen) if choice.targets.iter().any(|it| it.health.is_usable()) => {
            format!("{how}, among all: too few are healthy")
        }
        Some(Tier::FailOpen) => format!("{how}, among all: none is healthy"),
        Some(Tier::Backup) => format!("{how}, among backups: no other may take traffic"),
        Some(Tier::Primary) if choice.near_only => format!("{how}, among those of the own zone"),
        _ => how,
    };
    match cookie.filter(|_| sets) {
        Some(cookie) => format!("{how}; the answer sets the cookie {}", cookie.name),
        None => how,
    }
}

fn algorithm(algorithm: &Algorithm<Resolved>, is_keyed: bool) -> String {
    let hashed = |what: &str| match is_keyed {
        true => format!("by a hash of {what}"),
        false => format!("in turn: there is no {what} to hash"),
    };
    match algorithm {
        Algorithm::RoundRobin | Algorithm::StaticRoundRobin => "whose turn it is".to_owned(),
        Algorithm::LeastOutstanding => "the least busy".to_owned(),
        Algorithm::LeastTime => "the one that answers soonest".to_owned(),
        Algorithm::SourceHash(_) => hashed("the client's address"),
        Algorithm::Hash { .. } => hashed("a value of the request"),
        Algorithm::Random { draws } if *draws > 1 => {
            format!("by chance: the less busy of {draws} that are drawn")
        }
        Algorithm::Random { .. } => "by chance".to_owned(),
        Algorithm::First => "the first that has room".to_owned(),
    }
}
