//! What people and tools change while Portway runs, without touching the configuration.
//!
//! An order is given to the live state of one object and holds until another order or the end of the process; checks
//! go on meanwhile, and their results count again once the order is taken back.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_core::balance::SIXTEENTHS;
use portway_dataplane::live::ListenerState;
use portway_model::name::Name;
use tokio::time::timeout;

pub use portway_dataplane::live::Gate;
pub use portway_dataplane::sessions::Session;
use portway_dataplane::sessions::Whom;

use crate::figures::{Proxy, Statistics};
use crate::health;
use crate::targets::WatchedTarget;
use crate::tidings::By;

/// What a target is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetOrder {
    /// To take traffic as its checks allow.
    Ready,
    /// To take no new traffic.
    Drain,
    /// To take no traffic and not to be checked.
    Maintain,
    /// To count as healthy until a check says otherwise.
    Up,
    /// To count as unhealthy until a check says otherwise.
    Down,
}

/// What has a limit a second in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateOf {
    /// Connections that are accepted.
    Connections,
    /// Those that rules let in.
    Sessions,
    /// Those of listeners with TLS.
    TlsHandshakes,
}

/// By what a session is served, each with its name and number; `None` while that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedBy {
    /// Where it came in.
    pub frontend: Option<(String, u32)>,
    /// Where it goes.
    pub backend: Option<(String, u32)>,
    /// Who answers it.
    pub server: Option<(String, u32)>,
}

/// How long workers are waited for; they look ten times a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// The heaviest that HAProxy knows.
const HEAVIEST: u32 = 256;

/// Why an order cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDone {
    /// There is nobody to give it to.
    NoSuch(NoSuch),
    /// More than the descriptors of the process allow.
    TooMuch,
    /// It stopped for ever.
    Stopped,
    /// It is so already.
    Already,
}

/// Why there is nobody to give an order to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSuch {
    /// No group of this name or number.
    Group,
    /// No target of this name or number in it.
    Target,
    /// No listener is known by this name.
    Listener,
}

impl fmt::Display for NoSuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoSuch::Group => "no such group",
            NoSuch::Target => "no such target",
            NoSuch::Listener => "no such listener",
        })
    }
}

impl Statistics {
    /// A target by the names of its group and its own; `#2` is a number.
    ///
    /// # Errors
    /// Which of the two is not there.
    pub fn target(&self, group: &str, target: &str) -> Result<Arc<WatchedTarget>, NoSuch> {
        let of_name = |it: &&Proxy| match number(group) {
            Some(number) => it.number == number,
            None => it.name.as_str() == group,
        };
        let installed = self.installed();
        let mut backends = installed.proxies.iter().filter(|it| it.group.is_some());
        let proxy = backends.find(of_name).ok_or(NoSuch::Group)?;
        let index = proxy.group.ok_or(NoSuch::Group)?;
        let targets = installed.targets.get(index).ok_or(NoSuch::Group)?;
        let parts = installed.plane.groups.get(index).ok_or(NoSuch::Group)?;
        let at = match number(target) {
            Some(number) => parts.numbers.iter().position(|it| *it == number),
            None => targets
                .iter()
                .position(|it| it.target.name.as_str() == target),
        };
        let found = at.and_then(|at| targets.get(at));
        found.cloned().ok_or(NoSuch::Target)
    }
}

/// Limits and gates.
impl Statistics {
    /// Says whether the listeners of a name accept.
    ///
    /// # Errors
    /// There is none, it has stopped for ever, or it is so already.
    pub fn set_gate(&self, name: &str, gate: Gate) -> Result<(), NotDone> {
        let state = self.listener(name)?;
        if state.gate() == gate {
            return Err(NotDone::Already);
        }
        match state.set_gate(gate) {
            true => Ok(()),
            false => Err(NotDone::Stopped),
        }
    }

    /// Says how many connections the listeners of a name may have.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn set_listener_limit(&self, name: &str, limit: u32) -> Result<(), NotDone> {
        self.listener(name)?.set_limit(limit);
        Ok(())
    }

    /// Says how many connections the process may have; 0: as many as at the start.
    ///
    /// # Errors
    /// More than at the start.
    pub fn set_process_limit(&self, limit: u32) -> Result<(), NotDone> {
        let most = self.installed().plane.max_connections;
        if most > 0 && limit > most {
            return Err(NotDone::TooMuch);
        }
        self.process.set_limit(limit);
        Ok(())
    }

    /// Says how often something may happen in a second; 0: no limit.
    pub fn set_rate_limit(&self, of: RateOf, limit: u32) {
        let process = &self.process;
        let pace = match of {
            RateOf::Connections => &process.connection_pace,
            RateOf::Sessions => &process.session_pace,
            RateOf::TlsHandshakes => &process.tls_pace,
        };
        pace.set_limit(limit);
    }

    /// Says how many sessions a target may have; 0: no limit.
    ///
    /// # Errors
    /// There is none.
    pub fn set_target_limit(&self, group: &str, target: &str, limit: u32) -> Result<(), NotDone> {
        let watched = self.target(group, target).map_err(NotDone::NoSuch)?;
        watched.state.set_most(limit);
        Ok(())
    }

    /// Cuts off everything that a target serves now.
    pub fn cut_off(&self, target: &WatchedTarget) {
        target.state.cut_off(&self.process);
    }

    /// Connections that are served now. `None`: a worker does not answer, because it is ending.
    pub async fn sessions(&self) -> Option<Vec<Session>> {
        let answer = self.process.roll_call.ask(self.workers);
        timeout(PATIENCE, answer).await.ok()?.ok()
    }

    /// Cuts off a connection within a few ticks.
    pub fn cut_off_session(&self, id: u64) {
        self.process.roll_call.cut_off(Whom::Session(id));
    }

    /// By what a session is served: the names of its frontend, backend and server, and their numbers, which are 0 for what is
    /// there no more.
    pub fn served_by(&self, session: &Session) -> ServedBy {
        let installed = self.installed();
        let plane = self.plane(session.plane);
        let snapshot = plane.as_ref().map(|plane| &plane.snapshot);
        let number = |name: &Name, is_it: &dyn Fn(&Proxy) -> bool| {
            let mut proxies = installed.proxies.iter();
            let found = proxies.find(|it| it.name == *name && is_it(it));
            (name.to_string(), found.map_or(0, |it| it.number))
        };
        let listener = snapshot.and_then(|it| it.listeners.get(session.listener.index()));
        let group = session.group.and_then(|(plane, group)| {
            let plane = self.plane(plane)?;
            let of_snapshot = plane.snapshot.groups.get(group.index())?.clone();
            let parts = plane.groups.get(group.index())?.clone();
            Some((of_snapshot, parts))
        });
        let backend = group.as_ref().map(|(group, _)| group);
        let target = group.as_ref().zip(session.target);
        let target = target.and_then(|((group, parts), target)| {
            let name = &group.targets.get(target)?.name;
            let number = parts.numbers.get(target).copied();
            Some((name.to_string(), number.unwrap_or_default()))
        });
        ServedBy {
            frontend: listener.map(|it| number(&it.known_as, &|it| !it.listeners.is_empty())),
            backend: backend.map(|it| number(&it.name, &|it| it.group.is_some())),
            server: target,
        }
    }

    pub(crate) fn listener(&self, name: &str) -> Result<Arc<ListenerState>, NotDone> {
        let installed = self.installed();
        let mut frontends = installed
            .proxies
            .iter()
            .filter(|it| !it.listeners.is_empty());
        let proxy = frontends.find(|it| match number(name) {
            Some(number) => it.number == number,
            None => it.name.as_str() == name,
        });
        let first = proxy.and_then(|it| it.listeners.first());
        let parts = first.and_then(|first| installed.plane.listeners.get(*first));
        let parts = parts.ok_or(NotDone::NoSuch(NoSuch::Listener))?;
        Ok(parts.state.clone())
    }
}

/// The number in `#2`.
fn number(text: &str) -> Option<u32> {
    text.strip_prefix('#')?.parse().ok()
}

impl WatchedTarget {
    /// Carries an order out, and tells what changed.
    pub fn order(&self, order: TargetOrder) {
        let transition = self.ordered(order);
        health::announce_by(self, transition, By::Order);
    }

    /// Its weight now.
    pub fn weight(&self) -> u32 {
        let configured = self.target.weight.into();
        self.state.weight(configured).div_ceil(SIXTEENTHS)
    }

    /// Its weight once it is through with its slow start.
    pub fn whole_weight(&self) -> u32 {
        let configured = self.target.weight.into();
        self.state.whole_weight(configured).div_ceil(SIXTEENTHS)
    }

    /// Gives it another weight, or a part of the configured one: `50` or `75%`.
    ///
    /// # Errors
    /// What is wrong with the text, in HAProxy's words.
    pub fn weigh(&self, text: &str) -> Result<(), &'static str> {
        let digits = text.find(|letter: char| !letter.is_ascii_digit());
        let (number, unit) = text
            .split_at_checked(digits.unwrap_or(text.len()))
            .unwrap_or((text, ""));
        let Ok(number) = number.parse::<u32>() else {
            return Err("Empty weight string empty or preceded by garbage");
        };
        let weight = match unit {
            "" if number > HEAVIEST => {
                return Err("Absolute weight can only be between 0 and 256 inclusive.\n");
            }
            "" => number,
            "%" => {
                let configured = u32::from(self.target.weight);
                (configured.saturating_mul(number) / 100).min(HEAVIEST)
            }
            _ => return Err("Trailing garbage in weight string"),
        };
        self.set_weight(weight);
        Ok(())
    }

    /// Says how many sessions it may have; 0: no limit.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn limit(&self, text: &str) -> Result<(), &'static str> {
        let limit = text
            .parse()
            .map_err(|_| "maxconn string empty or preceded by garbage")?;
        self.state.set_most(limit);
        Ok(())
    }

    /// Gives it another weight.
    pub fn set_weight(&self, weight: u32) {
        self.state
            .set_weight(Some(weight.saturating_mul(SIXTEENTHS)));
    }

    /// Says where it lives from now on; sessions that it has go on.
    pub fn set_address(&self, address: SocketAddr) {
        health::announce_by(self, self.resolved(address), By::Order);
    }
}
