//! Passive health at work: one task for each group that has it looks at what its targets serve, ejects outliers and takes them
//! back.
//!
//! What is known of a target lies with its live state, so a reload starts the task anew and nothing is forgotten. What is an outlier
//! is decided in [`portway_core::outlier`], a failure in the data plane.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use portway_core::outlier::{
    Cause, Counts, Policy, STEPS, Seat, Standing, State, may_eject, median,
};
use portway_dataplane::live::Passive;
use portway_dataplane::queue::GroupState;
use portway_model::passive::PassiveHealth;
use portway_model::snapshot::TargetGroup;
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::{CheckFigures, TargetFigures, TargetHealth};
use tokio::task::JoinSet;

use crate::live_state::EjectionPart;
use crate::targets::{Peers, Targets, WatchedTarget, in_telemetry};

/// How long there is between two looks at most: the health of others may decide who is taken back.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Looks after a group from now on as its configuration says, and not any more as one before said.
pub(crate) fn look_after(
    group: &Arc<TargetGroup>,
    state: &Arc<GroupState>,
    peers: &Arc<Peers>,
    tasks: &mut JoinSet<()>,
) {
    for target in peers.all().iter() {
        judge(target, group);
    }
    peers.set_task(group.passive_health.as_ref().map(|_| {
        let watch = watch(
            Arc::clone(group),
            Arc::downgrade(state),
            Arc::downgrade(peers),
        );
        tasks.spawn(watch)
    }));
}

/// What a target serves counts, or not.
pub(crate) fn judge(target: &WatchedTarget, group: &TargetGroup) {
    let policy = group.passive_health.as_ref();
    target.state.judge_by(policy, group.protocol.is_http());
}

async fn watch(group: Arc<TargetGroup>, state: Weak<GroupState>, peers: Weak<Peers>) {
    let Some(said) = &group.passive_health else {
        return;
    };
    let pause = (said.window / STEPS).min(LOOK_AGAIN);
    let mut told = None;
    loop {
        let (Some(state), Some(peers)) = (state.upgrade(), peers.upgrade()) else {
            return;
        };
        let targets = peers.all();
        drop(peers);
        let now = Instant::now();
        Look::new(&targets, said, now).around(&mut told);
        let next = next_return(&targets).map_or(pause, |at| pause.min(at - now.min(at)));
        // Rung or not, there is another look then.
        let _ = tokio::time::timeout(next, state.outlier.notified()).await;
    }
}

/// When the next target comes back.
fn next_return(targets: &Targets) -> Option<Instant> {
    let until = |standing: &Standing| match standing.state() {
        State::Ejected { until, .. } => Some(*until),
        State::Serving | State::Trial { .. } => None,
    };
    let passive = |target: &Arc<WatchedTarget>| target.state.passive()?.look(until);
    targets.iter().filter_map(passive).min()
}

/// The settings of the decisions.
fn policy(said: &PassiveHealth) -> Policy {
    Policy {
        time: said.eject_time,
        longest: said.max_eject_time,
        trial: said.failures,
        window: said.window,
        least: said.min_requests,
        failed: said.failure_percent,
        slower: said.slower_than_others,
    }
}

/// One look at a group.
struct Look<'t> {
    targets: Vec<(&'t WatchedTarget, &'t Passive, Counts)>,
    policy: Policy,
    most: u32,
    now: Instant,
}

impl<'t> Look<'t> {
    fn new(targets: &'t Targets, said: &PassiveHealth, now: Instant) -> Self {
        let known = |target: &'t Arc<WatchedTarget>| {
            let passive = target.state.passive()?;
            Some((&**target, passive, passive.counts()))
        };
        Self {
            targets: targets.iter().filter_map(known).collect(),
            policy: policy(said),
            most: said.max_ejected_percent,
            now,
        }
    }

    /// Takes back whose time is over, then ejects outliers. `told`: of whom it was said last that he is kept.
    fn around(&self, told: &mut Option<Instant>) {
        for (target, passive, counts) in &self.targets {
            if passive
                .look(|it| matches!(it.state(), State::Ejected { until, .. } if *until <= self.now))
            {
                // Before it takes traffic: none of that is more than its share.
                target.rises_again();
            }
            let tick = |standing: &mut Standing| standing.tick(self.now, *counts, &self.policy);
            if target.state.decide(tick) == Some(true) {
                back(target, "its time is over");
            }
        }
        let means = self.means();
        for (place, (target, passive, counts)) in self.targets.iter().enumerate() {
            let others = means.iter().enumerate();
            let others = others.filter(|(other, _)| *other != place);
            let mut others: Vec<Duration> = others.filter_map(|(_, mean)| *mean).collect();
            let judge = || {
                let middle = median(&mut others);
                passive.look(|it| it.judge(*counts, middle, &self.policy))
            };
            let Some(cause) = passive.take_alarm().or_else(judge) else {
                continue;
            };
            if passive.look(Standing::is_ejected) {
                continue;
            }
            let is_up = target.state.is_up();
            if is_up && may_eject(&self.seats(), self.most) {
                self.eject(target, passive, &cause);
                continue;
            }
            target.state.decide(|it| it.try_again(*counts));
            if is_up {
                self.keeps(target, &cause, told);
            }
        }
        self.rescue();
    }

    /// The mean times of those that serve.
    fn means(&self) -> Vec<Option<Duration>> {
        if self.policy.slower == 0 {
            return vec![None; self.targets.len()];
        }
        let mean = |(_, passive, counts): &(_, &Passive, Counts)| {
            passive.look(|it| it.mean(*counts, &self.policy))
        };
        self.targets.iter().map(mean).collect()
    }

    fn seats(&self) -> Vec<Seat> {
        let seat = |(target, _, _): &(&WatchedTarget, &Passive, Counts)| Seat {
            // Without weight it takes no traffic in place of others.
            up: target.state.is_up() && target.state.whole_weight(target.target.weight.into()) > 0,
            ejected: target.state.is_ejected(),
        };
        self.targets.iter().map(seat).collect()
    }

    fn eject(&self, target: &WatchedTarget, passive: &Passive, cause: &Cause) {
        let eject = |standing: &mut Standing| standing.eject(self.now, cause, &self.policy);
        let Some(time) = target.state.decide(eject) else {
            return;
        };
        passive.count_ejection(cause);
        emit(&Event::TargetEjected {
            target_group: target.group.as_str(),
            target: target.target.name.as_str(),
            time,
            reason: cause,
        });
    }

    /// An outlier that is not ejected, because too many are or nobody else is left. That is told now and then.
    fn keeps(&self, target: &WatchedTarget, cause: &Cause, told: &mut Option<Instant>) {
        let again = |at: Instant| self.now.saturating_duration_since(at) >= self.policy.time;
        if told.is_none_or(again) {
            *told = Some(self.now);
            emit(&Event::TargetNotEjected {
                target_group: target.group.as_str(),
                target: target.target.name.as_str(),
                reason: cause,
            });
        }
    }

    /// Where nobody else may take traffic, the ejected may: they are better than nobody.
    fn rescue(&self) {
        let seats = self.seats();
        if seats.iter().any(|it| it.up && !it.ejected) {
            return;
        }
        for ((target, _, counts), seat) in self.targets.iter().zip(seats) {
            if seat.up && seat.ejected {
                target.rises_again();
                let release = |standing: &mut Standing| standing.release(self.now, *counts);
                if target.state.decide(release).is_some() {
                    back(target, "no other target may take traffic");
                }
            }
        }
    }
}

/// Tells that a target was taken back.
fn back(target: &WatchedTarget, why: &str) {
    emit(&Event::TargetReturned {
        target_group: target.group.as_str(),
        target: target.target.name.as_str(),
        reason: why,
    });
}

/// What another process is to know of a target.
pub(crate) fn part(target: &WatchedTarget) -> Option<EjectionPart> {
    target.state.passive()?.look(|standing| {
        let (left, why) = match standing.state() {
            State::Ejected { until, why } => {
                let left = until.saturating_duration_since(Instant::now());
                let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                (Some(left), why.to_string())
            }
            State::Serving | State::Trial { .. } => (None, String::new()),
        };
        let part = EjectionPart {
            times: standing.times(),
            left,
            why,
            on_trial: standing.is_on_trial(),
        };
        (part.times > 0).then_some(part)
    })
}

/// Goes on as another process knew it, where the configuration still ejects targets.
pub(crate) fn go_on(target: &WatchedTarget, part: &EjectionPart) {
    let Some(passive) = target.state.passive() else {
        return;
    };
    let now = Instant::now();
    let until = part
        .left
        .and_then(|left| now.checked_add(Duration::from_millis(left)));
    let state = match until {
        Some(until) => State::Ejected {
            until,
            why: part.why.as_str().into(),
        },
        None if part.on_trial => State::Trial {
            from: passive.counts(),
        },
        None => State::Serving,
    };
    let known = Standing::of(state, part.times, now);
    target.state.decide(|standing| *standing = known);
}

/// What metrics say of a target.
pub(crate) fn figures(target: &WatchedTarget) -> TargetFigures {
    let health = match target.state.is_ejected() && target.state.is_up() {
        true => TargetHealth::Ejected,
        false => in_telemetry(target.state_now()),
    };
    let mut figures = TargetFigures::from(health);
    if let Some(passive) = target.state.passive() {
        let counted = Cause::WORDS.into_iter().zip(passive.ejections());
        for (to, of) in figures.ejections.iter_mut().zip(counted) {
            *to = of;
        }
    }
    figures.checks = target.is_checked().then(|| {
        let health = target.health();
        CheckFigures {
            passed: health.passed,
            failed: health.failed,
            took: health.last_check.map(|it| it.took),
        }
    });
    let queued = target.state.queued();
    figures.queued = target.state.may_be_waited_for().then_some(queued);
    figures
}

/// What there is to say of a target beside its health; nothing where all is well.
pub(crate) fn words(target: &WatchedTarget) -> Option<String> {
    let words = |standing: &Standing| match standing.state() {
        State::Serving => None,
        State::Trial { .. } => Some("on trial after it was ejected".to_owned()),
        State::Ejected { until, why } => {
            let left = until.saturating_duration_since(Instant::now());
            let left = left.as_secs_f64().ceil() as u64;
            Some(format!("ejected for {left} s more: {why}"))
        }
    };
    target.state.passive()?.look(words)
}
