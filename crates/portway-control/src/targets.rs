//! Targets as control watches them: the live state that workers read, and what is known about its reasons.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use portway_core::agent::AgentState;
use portway_core::health::{
    Failure, HealthMachine, HealthState, InitialState, Probe, Reason, Thresholds, Transition,
};
use portway_dataplane::live::{Health, TargetState};
use portway_model::address::{Host, TargetAddress};
use portway_model::check::{CheckWord, ObservedLayer, OnErrors};
use portway_model::name::Name;
use portway_model::snapshot::{HealthCheck, Snapshot, Target, TargetCheck, TargetGroup};
use portway_telemetry::metrics::TargetHealth;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

mod company;
mod found;
mod handed;
mod named;
mod next;
mod rise;
mod told;

pub use company::{Peers, Targets};
pub(crate) use handed::parts_of;
pub(crate) use next::{NextTargets, Watching, is_same, watch_next};
pub(crate) use rise::{join, ramp};

use crate::health::announce;
use crate::operations::TargetOrder;
use crate::outliers;
use crate::tidings::Teller;

/// One target of one group.
#[derive(Debug)]
pub struct WatchedTarget {
    /// The group.
    pub group: Name,
    /// What the configuration says.
    pub target: Target,
    /// What workers read.
    pub state: Arc<TargetState>,
    /// It is checked.
    is_checked: bool,
    /// Checks are left out for a while.
    rests: AtomicBool,
    /// The next check comes sooner.
    pub(crate) hurry: Notify,
    /// Its slow start has begun.
    rises: Notify,
    /// Where it is checked since somebody said so.
    check_place: Mutex<CheckPlace>,
    /// Its agent is not asked for a while.
    agent_rests: AtomicBool,
    /// Where its agent is, and what it is sent, since somebody said so.
    agent_place: Mutex<(CheckPlace, Option<String>)>,
    /// Those that are as it is.
    followers: Mutex<Vec<Arc<WatchedTarget>>>,
    /// What looks after it, and ends with it.
    tasks: Mutex<Vec<AbortHandle>>,
    /// It came while the process ran.
    pub is_added: bool,
    known: Mutex<Known>,
    /// Where its changes are told in HAProxy's words.
    teller: Mutex<Option<Arc<Teller>>>,
    /// What is known of its name.
    naming: Mutex<named::Naming>,
}

/// One result is enough.
const AT_ONCE: Thresholds = Thresholds {
    healthy: 1,
    unhealthy: 1,
};

/// Another place than the target's own where it is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckPlace {
    /// Another address.
    pub address: Option<IpAddr>,
    /// Another port.
    pub port: Option<u16>,
}

/// What is known about the health of a target.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Its state.
    pub state: HealthState,
    /// Since when.
    pub since: SystemTime,
    /// Why, in words.
    pub reason: String,
    /// It would take traffic and is ejected.
    pub ejected: bool,
    /// The latest check; `None` before the first.
    pub last_check: Option<LastCheck>,
    /// Checks that passed.
    pub passed: u64,
    /// Checks that failed.
    pub failed: u64,
    /// Those that failed while it took traffic.
    pub failed_up: u64,
    /// The reason as it is.
    pub why: Reason,
    /// What the checks alone have found: the same, where its agent does not hold it down.
    pub by_checks: (HealthState, Reason),
    /// How often it became unhealthy.
    pub downs: u64,
    /// How long it was unhealthy.
    pub down_time: Duration,
    /// What its agent has said.
    pub agent: AgentVerdict,
}

/// What is known of the agent of a target.
#[derive(Debug, Clone, Default)]
pub struct AgentVerdict {
    /// The latest question; `None` before the first.
    pub last: Option<LastCheck>,
    /// It says that the target is down: no check makes that healthy.
    pub down: bool,
    /// The latest change of the target's state was its doing.
    pub changed: bool,
}

/// The latest check of a target.
#[derive(Debug, Clone)]
pub struct LastCheck {
    /// When it began.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What it found, in HAProxy's words.
    pub word: CheckWord,
    /// What the answer said in a number.
    pub code: Option<u16>,
    /// What there is to say of it, in HAProxy's words; perhaps nothing.
    pub said: Box<str>,
}

#[derive(Debug)]
struct Known {
    machine: HealthMachine,
    /// What the one that it follows is; `None`: it follows none, or has not heard of that yet.
    leader: Option<HealthMachine>,
    /// It drains or is out of service because the one that it follows is.
    follows_into_rest: bool,
    /// Its agent holds it down: what it is without that.
    without_agent: Option<HealthMachine>,
    since: SystemTime,
    last_check: Option<LastCheck>,
    passed: u64,
    failed: u64,
    /// Those that failed while it took traffic.
    failed_up: u64,
    downs: u64,
    /// How long it was unhealthy, what lasts left out.
    down_time: Duration,
    agent: AgentVerdict,
    rise: rise::Rise,
}

/// Every target of a snapshot, by group and in its order.
pub fn watch(snapshot: &Snapshot) -> Vec<Targets> {
    let of_group = |group: &Arc<TargetGroup>| {
        let targets = group.targets.iter();
        targets
            .map(|target| Arc::new(WatchedTarget::new(group, target)))
            .collect()
    };
    let all: Vec<Targets> = snapshot.groups.iter().map(of_group).collect();
    company::follow(&all);
    all
}

/// What of a target is counted while it serves, and how much of it is told.
fn observed(target: &Target) -> Option<(ObservedLayer, u32)> {
    let observe = target.check.as_ref()?.observe?;
    Some((observe.layer, observe.errors.into()))
}

impl WatchedTarget {
    fn new(group: &TargetGroup, target: &Target) -> Self {
        let is_checked = target.check.is_some();
        let waits = |check: &HealthCheck| check.wait_for_first_check;
        let mut machine = match is_checked {
            true if group.health_check.as_ref().is_some_and(waits) => {
                HealthMachine::new(InitialState::Wait)
            }
            true => HealthMachine::new(InitialState::Usable),
            false => HealthMachine::unchecked(),
        };
        if target.disabled {
            machine.retire();
        }
        let rise = rise::Rise {
            since: None,
            is_due: target.disabled && !target.slow_start.is_zero(),
        };
        let state = TargetState::new(health(&machine), literal(&target.address));
        state.observe(observed(target));
        state.judge_by(group.passive_health.as_ref(), group.protocol.is_http());
        Self {
            group: group.name.clone(),
            target: target.clone(),
            state: Arc::new(state),
            is_checked,
            rests: AtomicBool::new(false),
            hurry: Notify::new(),
            rises: Notify::new(),
            check_place: Mutex::default(),
            agent_rests: AtomicBool::new(false),
            agent_place: Mutex::default(),
            followers: Mutex::default(),
            tasks: Mutex::default(),
            is_added: false,
            known: Mutex::new(Known {
                machine,
                leader: None,
                follows_into_rest: false,
                without_agent: None,
                since: SystemTime::now(),
                last_check: None,
                passed: 0,
                failed: 0,
                failed_up: 0,
                downs: 0,
                down_time: Duration::ZERO,
                agent: AgentVerdict::default(),
                rise,
            }),
            teller: Mutex::default(),
            naming: Mutex::default(),
        }
    }

    /// What is known about its health now.
    pub fn health(&self) -> Verdict {
        let known = self.known();
        Verdict {
            state: known.machine.state(),
            since: known.since,
            reason: match outliers::words(self) {
                Some(words) => format!("{words}; {}", self.why(&known)),
                None => self.why(&known),
            },
            ejected: self.state.is_ejected() && self.state.is_up(),
            last_check: known.last_check.clone(),
            passed: known.passed,
            failed: known.failed,
            failed_up: known.failed_up,
            why: known.machine.reason().clone(),
            by_checks: (known.own().state(), known.own().reason().clone()),
            downs: known.downs,
            agent: known.agent.clone(),
            down_time: match known.machine.state() {
                HealthState::Unhealthy => {
                    known.down_time + known.since.elapsed().unwrap_or_default()
                }
                _ => known.down_time,
            },
        }
    }

    /// Counts checks and failures from 0 again.
    pub fn clear(&self) {
        let mut known = self.known();
        (known.passed, known.failed) = (0, 0);
        (known.failed_up, known.downs) = (0, 0);
        known.down_time = Duration::ZERO;
    }

    /// True where it is checked.
    pub fn is_checked(&self) -> bool {
        self.is_checked
    }

    /// Where somebody said that it is checked, in place of what the configuration says.
    pub fn check_place(&self) -> CheckPlace {
        *self
            .check_place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where it is checked from now on; what is `None` stays as it is.
    pub fn set_check_place(&self, place: CheckPlace) {
        let mut told = self
            .check_place
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        told.address = place.address.or(told.address);
        told.port = place.port.or(told.port);
    }

    /// Leaves checks out from now on, or goes on with them; its state stays as it is.
    pub fn rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }

    /// True where its checks are left out.
    pub fn rests(&self) -> bool {
        self.rests.load(Ordering::Relaxed)
    }

    /// True where it is to be checked now: it is in service, and its checks are not left out.
    pub fn is_due(&self) -> bool {
        !self.rests() && self.state_now() != HealthState::Unused
    }

    /// Its state now.
    pub fn state_now(&self) -> HealthState {
        self.known().machine.state()
    }

    /// True where there is nothing to connect to: its name does not resolve.
    pub fn is_lost(&self) -> bool {
        matches!(
            self.target.address,
            TargetAddress::Tcp { .. } | TargetAddress::Service(_)
        ) && self.state.address().is_none()
    }

    /// How long until the next check, from the start of the latest: less where the state is about to change.
    pub(crate) fn interval(&self, check: &TargetCheck) -> Duration {
        let known = self.known();
        match (known.own().state(), known.own().reason()) {
            (HealthState::Unhealthy, Reason::Passed(_)) => check.fast_interval,
            (HealthState::Unhealthy, _) => check.unhealthy_interval,
            (HealthState::Initial, _) | (_, Reason::Failed(..)) => check.fast_interval,
            _ => check.interval,
        }
    }

    /// What HAProxy tells servers of themselves with `http-check send-state`.
    pub(crate) fn state_text(&self, check: &TargetCheck) -> String {
        let (rise, fall) = (check.healthy_threshold, check.unhealthy_threshold);
        let known = self.known();
        let (word, of) = match (known.machine.state(), known.machine.reason()) {
            (HealthState::Unhealthy, Reason::Passed(times)) => {
                (format!("DOWN {times}/{rise}"), String::new())
            }
            (HealthState::Unhealthy, _) => (format!("DOWN 0/{rise}"), String::new()),
            (HealthState::Initial, _) => ("UP".to_owned(), format!(" 1/{fall}")),
            (_, Reason::Failed(times, _)) => {
                let left = u32::from(fall).saturating_sub(*times);
                ("UP".to_owned(), format!(" {left}/{fall}"))
            }
            _ => ("UP".to_owned(), String::new()),
        };
        let address = self.state.address();
        let ip = address.map_or_else(String::new, |address| address.ip().to_string());
        let port = address.map_or(0, |address| address.port());
        let (weight, open) = (self.target.weight, self.state.in_flight());
        format!(
            "{word}{of}; address={ip}; port={port}; name={}/{}; node=; weight={weight}/{weight}; scur={open}/{open}; qcur={}",
            self.group,
            self.target.name,
            self.state.queued()
        )
    }

    /// Takes the result of a check into account; gives the change of state, if it made one.
    pub fn checked(
        &self,
        check: LastCheck,
        probe: Probe,
        thresholds: Thresholds,
    ) -> Option<Transition> {
        let mut known = self.known();
        let leaving = check.word == CheckWord::L7OkConditionally;
        known.last_check = Some(check);
        match probe {
            Probe::Passed => known.passed += 1,
            Probe::Failed(_) => known.failed += 1,
        }
        if matches!(probe, Probe::Failed(_)) && known.machine.usable() {
            known.failed_up += 1;
        }
        let passed = probe == Probe::Passed;
        let held = known.agent.down && self.agent_is_asked();
        let before = known.machine.clone();
        let mut transition = known.own_mut().observe(probe, thresholds);
        if known.without_agent.is_some() {
            transition = match passed && !held {
                true => known.release(),
                false => None,
            };
        } else if held && !before.usable() && known.machine.usable() {
            let own = std::mem::replace(&mut known.machine, before);
            known.without_agent = Some(own);
            transition = None;
        }
        known.agent.changed = false;
        let transition = self.publish(&mut known, transition);
        if known.machine.usable() && leaving != (self.state.health() == Health::Draining) {
            // It keeps its clients and takes no new ones, until a check passes without a condition.
            self.state.set_health(match leaving {
                true => Health::Draining,
                false => health(&known.machine),
            });
        }
        transition
    }

    /// A check could not be made, which says nothing of it. True where the one before was.
    pub(crate) fn not_checked(&self, check: LastCheck) -> bool {
        let was = |last: &LastCheck| last.word == CheckWord::SocketError;
        let mut known = self.known();
        let before = known.last_check.replace(check);
        !before.as_ref().is_some_and(was)
    }

    /// Takes errors in a row of what it serves into account; gives the change of state, if they made one.
    pub(crate) fn failed_to_serve(
        &self,
        check: LastCheck,
        failure: Failure,
        then: OnErrors,
        thresholds: Thresholds,
    ) -> Option<Transition> {
        let mut known = self.known();
        known.last_check = Some(check);
        known.failed += 1;
        known.agent.changed = false;
        if known.machine.usable() {
            known.failed_up += 1;
        }
        let transition = match then {
            OnErrors::CheckSooner => None,
            OnErrors::FailCheck => known.own_mut().observe(Probe::Failed(failure), thresholds),
            OnErrors::LastChance => known.own_mut().wear(failure, thresholds),
            OnErrors::MarkDown => {
                let at_once = Thresholds {
                    unhealthy: 1,
                    ..thresholds
                };
                known.own_mut().observe(Probe::Failed(failure), at_once)
            }
        };
        let transition = transition.filter(|_| known.without_agent.is_none());
        self.publish(&mut known, transition)
    }

    /// An agent could not be asked: nothing changes.
    pub(crate) fn agent_failed(&self, mut last: LastCheck) {
        let mut known = self.known();
        if let (CheckWord::Checked, Some(before)) = (last.word, &known.agent.last) {
            last.word = before.word;
        }
        known.agent.last = Some(last);
    }

    /// Takes what an agent says into account; gives the change of state, if it made one.
    pub(crate) fn agent_said(
        &self,
        state: Option<AgentState>,
        check: impl FnOnce(CheckWord) -> LastCheck,
    ) -> Option<Transition> {
        let mut known = self.known();
        let word = match state {
            None => CheckWord::Checked,
            Some(AgentState::Up) => CheckWord::L7Ok,
            Some(AgentState::Down) => CheckWord::L7Status,
        };
        let last = check(word);
        let said = last.said.clone();
        known.agent.last = Some(last);
        let state = state?;
        known.agent.down = state == AgentState::Down;
        let transition = match state {
            AgentState::Down => known.hold(Failure::Step {
                word,
                code: None,
                said,
            }),
            AgentState::Up => match known.release() {
                // Nothing but its agent could heal it.
                None if !self.is_checked && self.target.track.is_none() && !self.is_lost() => {
                    known.machine.observe(Probe::Passed, AT_ONCE)
                }
                released => released,
            },
        };
        known.agent.changed = transition.is_some();
        self.publish(&mut known, transition)
    }

    /// Somebody says what its agent would.
    pub fn agent_told(&self, state: AgentState) {
        let last = self.known().agent.last.clone();
        let transition = self.agent_said(Some(state), |word| LastCheck {
            at: SystemTime::now(),
            took: Duration::ZERO,
            word,
            code: None,
            said: "".into(),
        });
        self.known().agent.last = last;
        announce(self, transition);
    }

    /// True where its agent is asked now.
    pub fn agent_is_asked(&self) -> bool {
        self.target.agent.is_some() && !self.agent_rests.load(Ordering::Relaxed)
    }

    /// Does not ask its agent from now on, or asks again.
    pub fn rest_agent(&self, rests: bool) {
        self.agent_rests.store(rests, Ordering::Relaxed);
    }

    /// Where its agent is, in place of what the configuration says.
    pub fn agent_place(&self) -> CheckPlace {
        self.agent_told_place().0
    }

    /// Says where its agent is from now on; what is `None` stays as it is.
    pub fn set_agent_place(&self, place: CheckPlace) {
        let told = &mut self.agent_told_place().0;
        told.address = place.address.or(told.address);
        told.port = place.port.or(told.port);
    }

    /// What its agent is sent, in place of what the configuration says.
    pub fn agent_send(&self) -> Option<String> {
        self.agent_told_place().1.clone()
    }

    /// Says what its agent is sent from now on.
    pub fn set_agent_send(&self, text: &str) {
        self.agent_told_place().1 = Some(text.to_owned());
    }

    fn agent_told_place(&self) -> MutexGuard<'_, (CheckPlace, Option<String>)> {
        self.agent_place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out an order; gives the change of state, if it made one.
    pub(crate) fn ordered(&self, order: TargetOrder) -> Option<Transition> {
        let mut known = self.known();
        let from = known.machine.state();
        let wakes = matches!(from, HealthState::Unused | HealthState::Draining);
        if order == TargetOrder::Ready && !wakes {
            return None;
        }
        // What is said holds, whatever its agent said before.
        known.without_agent = None;
        known.follows_into_rest = false;
        match order {
            TargetOrder::Maintain => drop(known.machine.retire()),
            TargetOrder::Ready | TargetOrder::Drain | TargetOrder::Up | TargetOrder::Down => {
                if wakes && self.is_checked {
                    drop(known.machine.restore());
                } else if wakes && order == TargetOrder::Ready {
                    known.begin_again();
                } else if wakes {
                    known.machine = HealthMachine::unchecked();
                }
                self.judge_by_name(&mut known);
            }
        }
        match order {
            TargetOrder::Drain => drop(known.machine.drain()),
            TargetOrder::Up if self.is_lost() => {
                drop(known.machine.observe(self.not_resolved(), AT_ONCE));
            }
            TargetOrder::Up => drop(known.machine.observe(Probe::Passed, AT_ONCE)),
            TargetOrder::Down => {
                let failure = Failure::ConnectFailed("said to be down".into());
                drop(known.machine.observe(Probe::Failed(failure), AT_ONCE));
            }
            TargetOrder::Ready if known.agent.down && self.agent_is_asked() => {
                let why = "its agent says that it is down";
                drop(known.hold(Failure::ConnectFailed(why.into())));
            }
            TargetOrder::Ready | TargetOrder::Maintain => {}
        }
        let transition = known.change_from(from);
        self.publish(&mut known, transition)
    }

    /// Makes those that are as this one is what it is now, and tells of them.
    pub(crate) fn lead(&self) {
        let followers = self.followers().clone();
        // HAProxy tells of the latest first.
        for follower in followers.iter().rev() {
            let machine = self.known().machine.clone();
            announce(follower, follower.follow(machine));
        }
    }

    fn follow(&self, machine: HealthMachine) -> Option<Transition> {
        let mut known = self.known();
        known.leader = Some(machine);
        let from = known.machine.state();
        let itself = from == HealthState::Unused && !known.follows_into_rest;
        if itself {
            return None;
        }
        known.without_agent = None;
        known.begin_again();
        self.judge_by_name(&mut known);
        let transition = known.change_from(from);
        self.publish(&mut known, transition)
    }

    fn publish(&self, known: &mut Known, transition: Option<Transition>) -> Option<Transition> {
        if let Some(transition) = &transition {
            if transition.from == HealthState::Unhealthy {
                known.down_time += known.since.elapsed().unwrap_or_default();
            }
            if transition.to == HealthState::Unhealthy {
                known.downs += 1;
            }
            known.since = SystemTime::now();
            self.begin_rise(known);
            self.state.set_health(health(&known.machine));
        }
        transition
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What it is without its agent.
    fn own(&self) -> &HealthMachine {
        self.without_agent.as_ref().unwrap_or(&self.machine)
    }

    fn own_mut(&mut self) -> &mut HealthMachine {
        self.without_agent.as_mut().unwrap_or(&mut self.machine)
    }

    /// It is, without its agent, what it is where nothing of its own is known: as the one that it follows, or as one that nobody checks.
    fn begin_again(&mut self) {
        let own = self.leader.clone();
        self.follows_into_rest = own.as_ref().is_some_and(is_out);
        *self.own_mut() = own.unwrap_or_else(HealthMachine::unchecked);
    }

    /// Its agent says that it is down.
    fn hold(&mut self, failure: Failure) -> Option<Transition> {
        let state = self.machine.state();
        if !matches!(state, HealthState::Draining | HealthState::Unused) {
            let own = self.machine.clone();
            self.without_agent.get_or_insert(own);
        }
        self.machine.observe(Probe::Failed(failure), AT_ONCE)
    }

    /// Its agent does not hold it down any more: it is what it is without that.
    fn release(&mut self) -> Option<Transition> {
        let from = self.machine.state();
        self.machine = self.without_agent.take()?;
        self.change_from(from)
    }

    /// What changed since it was `from`.
    fn change_from(&self, from: HealthState) -> Option<Transition> {
        let (to, reason) = (self.machine.state(), self.machine.reason().clone());
        (from != to).then_some(Transition { from, to, reason })
    }
}

/// It takes nothing new whatever checks find.
fn is_out(machine: &HealthMachine) -> bool {
    matches!(machine.state(), HealthState::Draining | HealthState::Unused)
}

/// The state as the log of events and metrics call it.
pub fn in_telemetry(state: HealthState) -> TargetHealth {
    match state {
        HealthState::Initial => TargetHealth::Initial,
        HealthState::Healthy => TargetHealth::Healthy,
        HealthState::Unhealthy => TargetHealth::Unhealthy,
        HealthState::Draining => TargetHealth::Draining,
        HealthState::Unused => TargetHealth::Unused,
    }
}

fn literal(address: &TargetAddress) -> Option<SocketAddr> {
    match address {
        TargetAddress::Tcp {
            host: Host::Ip(ip),
            port,
        } => Some(SocketAddr::new(*ip, *port)),
        TargetAddress::Tcp {
            host: Host::Name(_),
            ..
        }
        | TargetAddress::Unix(_)
        | TargetAddress::Service(_)
        | TargetAddress::ClientDestination { .. } => None,
    }
}

/// What workers see. To them a target that waits for its first check is as one that is down.
fn health(machine: &HealthMachine) -> Health {
    match machine.state() {
        HealthState::Initial if !machine.usable() => Health::Unhealthy,
        HealthState::Initial => Health::Initial,
        HealthState::Healthy => Health::Healthy,
        HealthState::Unhealthy => Health::Unhealthy,
        HealthState::Draining => Health::Draining,
        HealthState::Unused => Health::Unused,
    }
}

#[cfg(test)]
mod tests;
