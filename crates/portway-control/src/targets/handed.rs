//! What is known of targets, on its way to the process that takes over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portway_core::health::{Failure, HealthMachine, HealthState, InitialState, Reason};
use portway_dataplane::live::Health;
use portway_model::check::CheckWord;

use super::found::Found;
use super::rise::Rise;
use super::{CheckPlace, LastCheck, WatchedTarget, health, literal};
use crate::live_state::{CheckPart, FailurePart, HealthPart, TargetPart};
use crate::outliers;

/// Finds for each target of a group the part that speaks of it: as a reload finds who is who, by name and address, or by address
/// where the name is gone.
pub(crate) fn parts_of<'p>(
    targets: &[Arc<WatchedTarget>],
    parts: &[&'p TargetPart],
) -> Vec<Option<&'p TargetPart>> {
    let names: HashSet<&str> = targets.iter().map(|it| it.target.name.as_str()).collect();
    let by_name: HashMap<&str, &'p TargetPart> =
        parts.iter().map(|it| (it.name.as_str(), *it)).collect();
    let renamed = parts.iter().filter(|it| !names.contains(it.name.as_str()));
    let mut renamed: HashMap<&str, &'p TargetPart> =
        renamed.map(|it| (it.address.as_str(), *it)).collect();
    let of = |target: &Arc<WatchedTarget>| {
        let address = target.target.address.to_string();
        match by_name.get(target.target.name.as_str()) {
            Some(part) => Some(*part).filter(|it| it.address == address),
            None => renamed.remove(address.as_str()),
        }
    };
    targets.iter().map(of).collect()
}

impl WatchedTarget {
    /// What is known of it, and of its number in its group.
    pub(crate) fn part(&self, number: u32) -> TargetPart {
        let (check, agent) = (self.check_place(), self.agent_told_place().clone());
        let known = self.known();
        TargetPart {
            group: self.group.to_string(),
            name: self.target.name.to_string(),
            address: self.target.address.to_string(),
            number,
            checked: self.is_checked,
            disabled: self.target.disabled,
            configured_weight: self.target.weight,
            configured_most: self.target.max_connections,
            has_agent: self.target.agent.is_some(),
            follows: self.target.track.is_some(),
            weight: self.state.told_weight(),
            most: self.state.told_most(),
            resolved: self.state.address(),
            health: of_machine(&known.machine),
            without_agent: known.without_agent.as_ref().map(of_machine),
            leaving: known.machine.usable() && self.state.health() == Health::Draining,
            follows_into_rest: known.follows_into_rest,
            since: microseconds(known.since),
            last_check: known.last_check.as_ref().map(of_check),
            passed: known.passed,
            failed: known.failed,
            failed_up: known.failed_up,
            downs: known.downs,
            down_time: u64::try_from(known.down_time.as_millis()).unwrap_or(u64::MAX),
            rises_since: known.rise.since.map(microseconds),
            rise_is_due: known.rise.is_due,
            ejection: outliers::part(self),
            agent_down: known.agent.down,
            agent_changed: known.agent.changed,
            agent_last: known.agent.last.as_ref().map(of_check),
            checks_rest: self.rests(),
            check_address: check.address,
            check_port: check.port,
            agent_rests: self.agent_rests.load(Ordering::Relaxed),
            agent_address: agent.0.address,
            agent_port: agent.0.port,
            agent_send: agent.1,
        }
    }

    /// Goes on as another process knew it, where the configuration says of it what it said there. False where the verdict of its
    /// checks is of a kind that is not known here.
    pub(crate) fn go_on(&self, part: &TargetPart) -> bool {
        if part.configured_weight == self.target.weight {
            self.state.set_weight(part.weight);
        }
        if let Some(most) = part.most
            && part.configured_most == self.target.max_connections
        {
            self.state.set_most(most);
        }
        // A name was resolved anew; what has no name has another address only where somebody said so.
        if literal(&self.target.address).is_some() || self.state.address().is_none() {
            self.state
                .set_address(part.resolved.or(self.state.address()));
        }
        if let Some(ejection) = &part.ejection {
            outliers::go_on(self, ejection);
        }
        self.rest(part.checks_rest);
        self.rest_agent(part.agent_rests);
        self.set_check_place(CheckPlace {
            address: part.check_address,
            port: part.check_port,
        });
        self.set_agent_place(CheckPlace {
            address: part.agent_address,
            port: part.agent_port,
        });
        if let Some(text) = &part.agent_send {
            self.set_agent_send(text);
        }
        self.take_verdict(part)
    }

    fn take_verdict(&self, part: &TargetPart) -> bool {
        let said = part.disabled == self.target.disabled;
        let found = found(part);
        let is_understood = found.is_some();
        let mut known = self.known();
        (known.passed, known.failed) = (part.passed, part.failed);
        (known.failed_up, known.downs) = (part.failed_up, part.downs);
        known.down_time = Duration::from_millis(part.down_time);
        if said && part.has_agent && self.target.agent.is_some() {
            known.agent.down = part.agent_down;
            known.agent.changed = part.agent_changed;
            known.agent.last = part.agent_last.as_ref().and_then(check);
        }
        match found.filter(|_| said) {
            Some(found) => self.take_found(&mut known, found),
            None => self.judge_by_name(&mut known),
        }
        let rise = Rise {
            since: part.rises_since.map(moment),
            is_due: part.rise_is_due,
        };
        self.take_rise(&mut known, rise);
        self.state
            .set_health(match known.machine.usable() && part.leaving {
                true => Health::Draining,
                false => health(&known.machine),
            });
        is_understood
    }
}

/// `None` where its verdict is of a kind that is not known here.
fn found(part: &TargetPart) -> Option<Found> {
    Some(Found {
        machine: machine(&part.health)?,
        without_agent: part.without_agent.as_ref().and_then(machine),
        follows_into_rest: part.follows_into_rest,
        since: moment(part.since),
        last_check: part.last_check.as_ref().and_then(check),
        is_checked: part.checked,
        has_agent: part.has_agent,
        follows: part.follows,
    })
}

fn microseconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn moment(microseconds: u64) -> SystemTime {
    let since = Duration::from_micros(microseconds);
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

fn of_check(it: &LastCheck) -> CheckPart {
    CheckPart {
        at: microseconds(it.at),
        took: u64::try_from(it.took.as_micros()).unwrap_or(u64::MAX),
        word: it.word.as_str().to_owned(),
        code: it.code,
        said: it.said.to_string(),
    }
}

fn check(it: &CheckPart) -> Option<LastCheck> {
    Some(LastCheck {
        at: moment(it.at),
        took: Duration::from_micros(it.took),
        word: word(&it.word)?,
        code: it.code,
        said: it.said.as_str().into(),
    })
}

fn word(text: &str) -> Option<CheckWord> {
    let all = CheckWord::ALL.into_iter().chain([CheckWord::Checked]);
    all.into_iter().find(|it| it.as_str() == text)
}

/// What states are called on the way.
const STATES: [HealthState; 5] = [
    HealthState::Initial,
    HealthState::Healthy,
    HealthState::Unhealthy,
    HealthState::Draining,
    HealthState::Unused,
];

fn of_machine(machine: &HealthMachine) -> HealthPart {
    let (reason, times, failure) = match machine.reason() {
        Reason::NotCheckedYet => ("new", 0, None),
        Reason::NoHealthCheck => ("unchecked", 0, None),
        Reason::Passed(times) => ("passed", *times, None),
        Reason::Failed(times, failure) => ("failed", *times, Some(of_failure(failure))),
        Reason::Removed => ("removed", 0, None),
        Reason::NotInUse => ("unused", 0, None),
    };
    HealthPart {
        state: machine.state().word().to_owned(),
        waits: machine.initial() == InitialState::Wait,
        reason: reason.to_owned(),
        times,
        failure,
    }
}

fn machine(part: &HealthPart) -> Option<HealthMachine> {
    let state = STATES.into_iter().find(|it| it.word() == part.state)?;
    let reason = match part.reason.as_str() {
        "new" => Reason::NotCheckedYet,
        "unchecked" => Reason::NoHealthCheck,
        "passed" => Reason::Passed(part.times),
        "failed" => Reason::Failed(part.times, failure(part.failure.as_ref()?)?),
        "removed" => Reason::Removed,
        "unused" => Reason::NotInUse,
        _ => return None,
    };
    let initial = match part.waits {
        true => InitialState::Wait,
        false => InitialState::Usable,
    };
    Some(HealthMachine::of(state, initial, reason))
}

fn of_failure(failure: &Failure) -> FailurePart {
    let mut part = FailurePart::default();
    let mut text = |it: &str| part.text = it.to_owned();
    let mut after = Duration::ZERO;
    let kind = match failure {
        Failure::ConnectionRefused => "refused",
        Failure::ConnectTimedOut(it) => {
            after = *it;
            "connect_timed_out"
        }
        Failure::ConnectFailed(why) => {
            text(why);
            "connect_failed"
        }
        Failure::NotMade(why) => {
            text(why);
            "not_made"
        }
        Failure::NotResolved(why) => {
            text(why);
            "not_resolved"
        }
        Failure::TlsFailed(why) => {
            text(why);
            "tls_failed"
        }
        Failure::TimedOut(it) => {
            after = *it;
            "timed_out"
        }
        Failure::UnexpectedStatus { status, expected } => {
            text(expected);
            part.code = Some(*status);
            "status"
        }
        Failure::UnexpectedBody(pattern) => {
            text(pattern);
            "body"
        }
        Failure::ClosedEarly => "closed_early",
        Failure::MalformedAnswer(why) => {
            text(why);
            "malformed"
        }
        Failure::Step { word, code, said } => {
            text(said);
            part.code = *code;
            part.word = word.as_str().to_owned();
            "step"
        }
    };
    part.kind = kind.to_owned();
    part.after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    part
}

fn failure(part: &FailurePart) -> Option<Failure> {
    let text = || part.text.as_str().into();
    let after = Duration::from_millis(part.after);
    Some(match part.kind.as_str() {
        "refused" => Failure::ConnectionRefused,
        "connect_timed_out" => Failure::ConnectTimedOut(after),
        "connect_failed" => Failure::ConnectFailed(text()),
        "not_made" => Failure::NotMade(text()),
        "not_resolved" => Failure::NotResolved(text()),
        "tls_failed" => Failure::TlsFailed(text()),
        "timed_out" => Failure::TimedOut(after),
        "status" => Failure::UnexpectedStatus {
            status: part.code?,
            expected: text(),
        },
        "body" => Failure::UnexpectedBody(text()),
        "closed_early" => Failure::ClosedEarly,
        "malformed" => Failure::MalformedAnswer(text()),
        "step" => Failure::Step {
            word: word(&part.word)?,
            code: part.code,
            said: text(),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_come_as_they_went() {
        let after = Duration::from_millis(1500);
        let failures = [
            Failure::ConnectionRefused,
            Failure::ConnectTimedOut(after),
            Failure::ConnectFailed("no route".into()),
            Failure::NotResolved("no such name".into()),
            Failure::TlsFailed("expired".into()),
            Failure::TimedOut(after),
            Failure::UnexpectedStatus {
                status: 503,
                expected: "200-399".into(),
            },
            Failure::UnexpectedBody("ok".into()),
            Failure::ClosedEarly,
            Failure::MalformedAnswer("no status line".into()),
            Failure::Step {
                word: CheckWord::L7Status,
                code: Some(55),
                said: "busy".into(),
            },
        ];
        let reasons = failures.map(|it| Reason::Failed(3, it));
        let others = [
            Reason::NotCheckedYet,
            Reason::NoHealthCheck,
            Reason::Passed(9),
            Reason::Removed,
            Reason::NotInUse,
        ];
        for reason in reasons.into_iter().chain(others) {
            for (state, initial) in [
                (HealthState::Unhealthy, InitialState::Wait),
                (HealthState::Initial, InitialState::Usable),
            ] {
                let before = HealthMachine::of(state, initial, reason.clone());
                let text = serde_json::to_string(&of_machine(&before)).unwrap();
                assert_eq!(machine(&serde_json::from_str(&text).unwrap()), Some(before));
            }
        }
        let later = HealthPart {
            state: "healthy".to_owned(),
            reason: "believed".to_owned(),
            ..HealthPart::default()
        };
        assert_eq!(machine(&later), None);
    }
}
