//! Drains by command: a target, a group of targets, a listener, the process; and the way back.
//!
//! What is told to drain stays out of service until it is told otherwise, also over reloads. It is the same notion of it that HAProxy's
//! control socket has: a target is in drain, then in maintenance, a listener is paused.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use portway_core::drain::Terms;
use portway_core::health::HealthState;
use portway_dataplane::live::Gate;
use portway_model::diagnostic::nearest;
use portway_model::name::Name;
use portway_model::settings::NoneHealthy;
use portway_model::snapshot::Process;
use portway_telemetry::metrics::Drained;

use crate::drains::{Again, By, Draining, OrderedListener, Return, Stage, delay_of};
use crate::figures::Installed;
use crate::operations::TargetOrder;
use crate::running::Running;
use crate::supervisor::Doing;
use crate::targets::{Targets, WatchedTarget};

/// What is to drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The process: it stops.
    Process,
    /// All listeners that are known by this name, or the one that has it.
    Listener(String),
    /// All targets of this group.
    Group(String),
    /// A target: `GROUP/TARGET`.
    Target(String),
}

/// How long a drain takes; what is not said is as the configuration says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// How long a listener, or all of the process, takes what comes while it says that it leaves.
    pub leave: Option<Duration>,
    /// How long what is in progress has then.
    pub deadline: Option<Duration>,
}

/// What a command has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// What drains of what was named.
    pub draining: Vec<Draining>,
    /// What whoever asked should know.
    pub warnings: Vec<String>,
}

/// Why nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotOrdered {
    /// What is wrong.
    pub error: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl NotOrdered {
    fn because(error: String) -> Self {
        Self { error, help: None }
    }

    /// There is no object of this kind with this name.
    fn no_such<'k>(kind: &str, name: &str, known: impl IntoIterator<Item = &'k str>) -> Self {
        Self {
            error: format!("there is no {kind} `{name}`"),
            help: nearest(name, known).map(|it| format!("did you mean `{it}`?")),
        }
    }
}

/// What a command names, found.
enum Named {
    Listener(Name),
    Targets(Targets),
    Target(Arc<WatchedTarget>),
}

impl Running {
    /// Has something drain. `times` are by default as the configuration says.
    ///
    /// # Errors
    /// There is no such thing, or it is out of service already.
    pub async fn drain(&self, what: &What, times: Times) -> Result<Ordered, NotOrdered> {
        let mut done = self.take_out(what, times)?;
        if *what != What::Process {
            done.warnings.extend(self.earlier_hear().await);
            self.drains.look();
            done.draining = self.draining(what);
        }
        Ok(done)
    }

    /// Comes back once the processes before this one have heard what drains; which have not, in words.
    async fn earlier_hear(&self) -> Option<String> {
        let silent = self.drains.earlier.all_hear().await;
        let silent: Vec<String> = silent.iter().map(ToString::to_string).collect();
        (!silent.is_empty()).then(|| {
            let numbers = silent.join(", ");
            format!("process {numbers}, which served before, does not answer: what it has in progress ends as it was told last")
        })
    }

    fn take_out(&self, what: &What, times: Times) -> Result<Ordered, NotOrdered> {
        let Times { leave, deadline } = times;
        let installed = self.statistics.installed();
        let process = &installed.plane.snapshot.process;
        let terms = |leave| Terms {
            leave,
            deadline: Some(deadline.unwrap_or(process.drain_deadline)),
        };
        let of_target = |it: &WatchedTarget| Terms {
            leave: Duration::ZERO,
            deadline: deadline
                .or_else(|| delay_of(&it.group, &installed))
                .or(Some(process.drain_deadline)),
        };
        let mut warnings = Vec::new();
        if leave.is_some() && matches!(what, What::Group(_) | What::Target(_)) {
            return Err(NotOrdered {
                error: "targets take nothing new from the beginning: there is no `--ready-delay` for them".to_owned(),
                help: Some("leave it out; it is for listeners and the process".to_owned()),
            });
        }
        match find(what, &installed)? {
            None => {
                let within = deadline.unwrap_or(process.shutdown_deadline);
                let delay = leave.unwrap_or(process.ready_delay);
                match self.drains.process_again(delay, within) {
                    Again::AtWork => {}
                    Again::Begun => {
                        let draining = self.draining(what);
                        return Ok(Ordered { draining, warnings });
                    }
                    Again::Over => {
                        let why = "the deadline of the process is over: it is ending";
                        return Err(NotOrdered::because(why.to_owned()));
                    }
                }
                *self.stop_within() = Some((delay, within));
                self.stop_asked.notify_one();
                let until = SystemTime::now().checked_add(delay.saturating_add(within));
                return Ok(Ordered {
                    draining: vec![Draining {
                        kind: Drained::Process,
                        name: String::new(),
                        group: None,
                        left: self.process.open_connections().into(),
                        since: SystemTime::now(),
                        until,
                        by: By::Command,
                        stage: Stage::Leaving,
                        cut_off: 0,
                        ordered_as: None,
                    }],
                    warnings,
                });
            }
            Some(Named::Listener(name)) => {
                let listener = OrderedListener::of(&name, &installed);
                let listener = listener.filter(|it| it.state.gate() != Gate::Closed);
                let stopped = || NotOrdered::because(format!("listener `{name}` has stopped"));
                let listener = listener.ok_or_else(stopped)?;
                self.drains
                    .order_listener(listener, terms(leave.unwrap_or(process.ready_delay)));
            }
            Some(Named::Targets(targets)) => {
                if let Some(first) = targets.first() {
                    self.drains.groups().insert(first.group.clone());
                }
                let at_work = targets.iter().filter(|it| !is_out(it));
                at_work.for_each(|it| self.drains.order_target(it, of_target(it)));
                warnings.extend(without_targets(&targets, &installed));
            }
            Some(Named::Target(target)) => {
                if is_out(&target) && self.draining(what).is_empty() {
                    let error = format!("target `{}` is out of service already", name(&target));
                    return Err(NotOrdered::because(error));
                }
                self.drains.order_target(&target, of_target(&target));
                let mut groups = installed.targets.iter();
                let of_group = groups.find(|it| it.iter().any(|it| it.group == target.group));
                warnings.extend(of_group.and_then(|it| without_targets(it, &installed)));
            }
        }
        let draining = self.draining(what);
        Ok(Ordered { draining, warnings })
    }

    /// Puts something to work again that drains or has drained. A listener accepts when this comes back.
    ///
    /// # Errors
    /// There is no such thing, or it is at work, or it is to be and cannot listen.
    pub async fn undrain(&self, what: &What) -> Result<Ordered, NotOrdered> {
        let mut done = self.put_to_work_again(what);
        if let Ok(done) = &mut done
            && *what != What::Process
        {
            done.warnings.extend(self.earlier_hear().await);
        }
        if let What::Listener(name) = what
            && let Some(name) = listener(name, &self.statistics.installed())
        {
            self.statistics.listens(&name).await?;
        }
        done
    }

    fn put_to_work_again(&self, what: &What) -> Result<Ordered, NotOrdered> {
        let installed = self.statistics.installed();
        let (at_work, changed) = match find(what, &installed)? {
            None => return self.undrain_process(&installed.plane.snapshot.process),
            Some(Named::Listener(known_as)) => {
                let back = self
                    .drains
                    .take_back_ordered(Drained::Listener, |it| it == known_as.as_str());
                let listener = OrderedListener::of(&known_as, &installed);
                let gate = listener.as_ref().map(|it| it.state.gate());
                if gate == Some(Gate::Closed) {
                    return Err(NotOrdered {
                        error: format!(
                            "listener `{known_as}` has stopped for good, by `shutdown frontend` on a control socket"
                        ),
                        help: Some(
                            "restart, or remove it by a reload and bring it back by another"
                                .to_owned(),
                        ),
                    });
                }
                // Paused on a control socket, or before an upgrade.
                let paused = listener.filter(|it| it.state.gate() == Gate::Paused);
                if let Some(it) = &paused {
                    it.state.set_leaving(false);
                    it.state.set_gate(Gate::Open);
                }
                (known_as.to_string(), back || paused.is_some())
            }
            Some(Named::Targets(targets)) => {
                let group = targets.first().map(|it| it.group.clone());
                let told = group
                    .as_ref()
                    .is_some_and(|it| self.drains.groups().remove(it));
                let mut back = told;
                for target in targets.iter() {
                    back |= self.put_back(target);
                }
                (group.map_or_else(String::new, |it| it.to_string()), back)
            }
            Some(Named::Target(target)) => {
                let back = self.put_back(&target);
                if !back && is_out(&target) {
                    let (own, why) = (name(&target), target.health().reason);
                    return Err(NotOrdered::because(format!(
                        "target `{own}` does not drain, and stays out of service: {why}"
                    )));
                }
                (name(&target), back)
            }
        };
        match changed {
            true => Ok(Ordered {
                draining: Vec::new(),
                warnings: Vec::new(),
            }),
            false => Err(NotOrdered::because(format!(
                "`{at_work}` is at work already"
            ))),
        }
    }

    /// Takes back a stop that a command has begun: readiness and keep-alive are as before.
    fn undrain_process(&self, process: &Process) -> Result<Ordered, NotOrdered> {
        let returned = match self.stop_within().take() {
            // It has not even begun.
            Some(_) => Some(Return::AtWork),
            None => self.drains.take_back_process(),
        };
        match returned {
            Some(Return::AtWork) => Ok(Ordered {
                draining: Vec::new(),
                warnings: Vec::new(),
            }),
            Some(Return::TooLate) => Err(NotOrdered {
                error: "the listeners of the process are closed already: it ends once nothing is left; start another".to_owned(),
                help: Some(format!(
                    "it can be taken back as long as listeners accept: for `--ready-delay` of `portway drain process`, by default `ready_delay` of `[process]` ({} s)",
                    process.ready_delay.as_secs_f64()
                )),
            }),
            None if self.drains.process_is_over() => Err(NotOrdered::because(
                "the deadline of the process is over: it is ending; start another".to_owned(),
            )),
            None if self.process.is_draining() => Err(NotOrdered::because(
                "the process stops by a signal or for another that has taken over: who has asked for that waits for its end".to_owned(),
            )),
            None => Err(NotOrdered::because("the process is at work already".to_owned())),
        }
    }

    fn put_back(&self, target: &Arc<WatchedTarget>) -> bool {
        let own = name(target);
        let back = self
            .drains
            .take_back_ordered(Drained::Target, |it| it == own);
        // By a control socket, or before an upgrade.
        let drains = target.state_now() == HealthState::Draining;
        let rests = is_out(target) && target.is_out_by_command();
        if drains || rests {
            target.order(TargetOrder::Ready);
        }
        back || drains || rests
    }

    /// What drains by command of what this names.
    pub fn draining(&self, what: &What) -> Vec<Draining> {
        let mut all = self.drains.all();
        all.retain(|it| match what {
            What::Process => it.kind == Drained::Process,
            What::Listener(_) => it.kind == Drained::Listener,
            What::Group(_) | What::Target(_) => it.kind == Drained::Target,
        });
        let is_it = |it: &Draining| match what {
            What::Process => true,
            What::Listener(name) | What::Target(name) => it.is_called(name),
            What::Group(name) => it.group.as_ref() == Some(name),
        };
        all.retain(|it| is_it(it) && it.by != By::Reload);
        all
    }

    /// True where new connections to this listener are welcome; `None`: there is none of the name.
    pub fn is_listener_ready(&self, name: &str) -> Option<bool> {
        let installed = self.statistics.installed();
        let found = listener(name, &installed)?;
        let state = OrderedListener::of(&found, &installed)?.state;
        Some(self.is_ready() && !state.is_leaving() && state.accepts())
    }

    /// Comes when a command wants the process to stop.
    pub async fn is_asked_to_stop(&self) {
        loop {
            self.stop_asked.notified().await;
            // Somebody may have taken it back.
            if self.stop_within().is_some() {
                return;
            }
        }
    }

    /// A stop that a command has begun `since` so long, if one has, is one by a signal from now on: it is as long as the configuration
    /// says, and nobody takes it back. `by`: what asks.
    pub fn stop_for_good(&self, by: &str, since: Duration) {
        let snapshot = self.snapshot();
        let process = &snapshot.process;
        let delay = process.ready_delay.saturating_sub(since);
        self.drains
            .process_for_good(delay, process.shutdown_deadline);
        tracing::info!("{by}: the process stops for good");
        self.tell_supervisor(Doing::Stopping(format!("stops ({by})")));
    }

    /// How long the process takes what comes once a command wants it to stop, and how long what is in progress has then.
    pub(crate) fn stop_within(&self) -> std::sync::MutexGuard<'_, Option<(Duration, Duration)>> {
        let within = self.stop_within.lock();
        within.unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GROUP/TARGET`.
fn name(target: &WatchedTarget) -> String {
    format!("{}/{}", target.group, target.target.name)
}

fn is_out(target: &WatchedTarget) -> bool {
    target.state_now() == HealthState::Unused
}

/// What the listener of this name is known by.
fn listener(name: &str, installed: &Installed) -> Option<Name> {
    let listeners = || installed.plane.snapshot.listeners.iter();
    let known = listeners().find(|it| it.known_as.as_str() == name);
    let found = known.or_else(|| listeners().find(|it| it.name.as_str() == name));
    found.map(|it| it.known_as.clone())
}

/// `None`: it is the process.
fn find(what: &What, installed: &Installed) -> Result<Option<Named>, NotOrdered> {
    let snapshot = &installed.plane.snapshot;
    let group = |name: &str| {
        let at = snapshot
            .groups
            .iter()
            .position(|it| it.name.as_str() == name);
        let groups = snapshot.groups.iter().map(|it| it.name.as_str());
        let targets = at.and_then(|at| installed.targets.get(at));
        targets.ok_or_else(|| NotOrdered::no_such("target group", name, groups))
    };
    Ok(Some(match what {
        What::Process => return Ok(None),
        What::Listener(name) => {
            let known = snapshot.listeners.iter().map(|it| it.known_as.as_str());
            let no_such = || NotOrdered::no_such("listener", name, known);
            Named::Listener(listener(name, installed).ok_or_else(no_such)?)
        }
        What::Group(name) => Named::Targets(group(name)?.clone()),
        What::Target(name) => {
            // Both may have a slash in them.
            let mut all = installed.targets.iter().flat_map(|it| it.iter());
            if let Some(found) = all.find(|it| self::name(it) == *name) {
                return Ok(Some(Named::Target(found.clone())));
            }
            let Some((of, _)) = name.split_once('/') else {
                let help = "a target is named with its group: GROUP/TARGET".to_owned();
                return Err(NotOrdered {
                    error: format!("there is no target `{name}`"),
                    help: Some(help),
                });
            };
            let known: Vec<String> = group(of)?.iter().map(|it| self::name(it)).collect();
            let known = known.iter().map(String::as_str);
            return Err(NotOrdered::no_such("target", name, known));
        }
    }))
}

/// What it means that none of these takes traffic any more, where that is so.
fn without_targets(targets: &Targets, installed: &Installed) -> Option<String> {
    if targets.iter().any(|it| it.state.health().is_usable()) {
        return None;
    }
    let group = &targets.first()?.group;
    let mut groups = installed.plane.snapshot.groups.iter();
    let configured = groups.find(|it| it.name == *group)?;
    Some(match configured.none_healthy {
        NoneHealthy::Refuse => {
            format!(
                "target group `{group}` has no target left that takes traffic: its clients get 503"
            )
        }
        NoneHealthy::FailOpen => format!(
            "target group `{group}` has no target left that takes traffic: those that drain get it until they have drained"
        ),
    })
}
