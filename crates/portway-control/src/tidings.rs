//! Changes of targets and proxies in HAProxy's words, told where the configuration says: for people and programs that read
//! HAProxy's logs. The log of the process has its own words for them ([`portway_telemetry::events`]).

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portway_core::health::{HealthState, Transition};
use portway_dataplane::access_log::LogSink;
use portway_dataplane::live::Health;
use portway_model::check::CheckWord;
use portway_model::log::LogLevel;
use portway_model::snapshot::{Snapshot, TargetGroup};

use crate::figures::{CheckFigures, Statistics, agent_figures, check_figures};
use crate::logs::tell;
use crate::targets::{Peers, WatchedTarget};

/// Where changes of one target are told.
#[derive(Debug)]
pub struct Teller {
    sink: LogSink,
    group: Arc<TargetGroup>,
    /// Clients are accepted under the name of the group.
    accepts: bool,
    /// The targets of its group, itself included.
    peers: Arc<Peers>,
    /// What the latest check found, and how healthy it left the target.
    latest: Mutex<(Option<CheckWord>, u32)>,
    /// The same of its agent.
    latest_of_agent: Mutex<(Option<CheckWord>, u32)>,
}

/// Tells changes of the targets of a group to `sink` from now on; `None`: nowhere.
pub fn listen(
    group: &Arc<TargetGroup>,
    targets: &[Arc<WatchedTarget>],
    peers: &Arc<Peers>,
    snapshot: &Snapshot,
    sink: Option<&LogSink>,
) {
    let mut listeners = snapshot.listeners.iter();
    let accepts = listeners.any(|it| it.known_as == group.name);
    for target in targets {
        let teller = sink.map(|sink| {
            let before = target.teller();
            let latest = before.as_ref().map(|it| copied(&it.latest));
            let latest_of_agent = before.map(|it| copied(&it.latest_of_agent));
            let first = || {
                let figures = check_figures(group, &target.target, target);
                (None, figures.map_or(0, |it| it.health))
            };
            Teller {
                sink: sink.clone(),
                group: group.clone(),
                accepts,
                peers: peers.clone(),
                latest_of_agent: Mutex::new(latest_of_agent.unwrap_or((None, 1))),
                latest: Mutex::new(latest.unwrap_or_else(first)),
            }
        });
        target.set_teller(teller.map(Arc::new));
    }
}

fn copied<T: Copy>(of: &Mutex<T>) -> T {
    *of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What changed a target's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// What was found of it.
    Itself,
    /// A person or program on a control socket.
    Order,
}

/// Tells a change of a target's state.
pub fn changed(target: &WatchedTarget, transition: &Transition, by: By) {
    let Some(teller) = target.teller() else {
        return;
    };
    let who = who(target);
    let left = teller.left(target);
    let (level, text) = match (transition.from, transition.to) {
        (_, HealthState::Unhealthy) => {
            let why = teller.why(target, by);
            (LogLevel::Alert, format!("{who} is DOWN{why}. {left}."))
        }
        (HealthState::Unhealthy, HealthState::Healthy) => {
            let why = teller.why(target, by);
            let online = teller.online();
            (LogLevel::Notice, format!("{who} is UP{why}. {online}."))
        }
        (HealthState::Unhealthy, HealthState::Unused) => {
            let text = format!("{who} was DOWN and now enters maintenance.");
            (LogLevel::Notice, text)
        }
        (_, HealthState::Unused) => {
            let text = format!("{who} is going DOWN for maintenance. {left}.");
            (LogLevel::Alert, text)
        }
        (_, HealthState::Draining) => (
            LogLevel::Notice,
            format!("{who} enters drain state. {}.", teller.online()),
        ),
        (HealthState::Unused, _) => {
            let text = format!("{who} is UP/READY (leaving forced maintenance).");
            (LogLevel::Notice, text)
        }
        (HealthState::Draining, _) => (
            LogLevel::Notice,
            format!("{who} is UP (leaving forced drain)."),
        ),
        // It is taken for up before the first check.
        (HealthState::Initial | HealthState::Healthy | HealthState::Unhealthy, _) => return,
    };
    tell(Some(&teller.sink), level, &text);
    let was_usable = matches!(transition.from, HealthState::Initial | HealthState::Healthy);
    if was_usable && transition.to != HealthState::Healthy && teller.usable() == (0, 0) {
        teller.tell_of_none(target);
    }
}

/// Tells that a target has begun to take no new traffic while it passes its checks, or has ceased to; `before`: what held
/// until now.
pub(crate) fn leaving(target: &WatchedTarget, before: Health) {
    let Some(teller) = target.teller() else {
        return;
    };
    let now = target.state.health();
    let (who, why, online) = (who(target), teller.why(target, By::Itself), teller.online());
    if before.is_usable() && now == Health::Draining {
        let text = format!("{who} is stopping{why}. {online}.");
        tell(Some(&teller.sink), LogLevel::Notice, &text);
        if teller.usable() == (0, 0) {
            teller.tell_of_none(target);
        }
    } else if before == Health::Draining && now.is_usable() {
        let text = format!("{who} is UP{why}. {online}.");
        tell(Some(&teller.sink), LogLevel::Notice, &text);
    }
}

/// Tells what a check found, where that is wanted and another thing than before.
pub fn checked(target: &WatchedTarget) {
    let Some(teller) = target.teller().filter(|it| it.group.log_health_checks) else {
        return;
    };
    let Some(figures) = check_figures(&teller.group, &target.target, target) else {
        return;
    };
    let Some(outcome) = figures.outcome else {
        return;
    };
    let now = (Some(outcome), figures.health);
    let mut latest = teller.latest.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::replace(&mut *latest, now) == now {
        return;
    }
    let backup = if target.target.backup { "backup " } else { "" };
    let found = match outcome {
        CheckWord::L7OkConditionally => "conditionally succeeded",
        _ if outcome.passed() => "succeeded",
        _ => "failed",
    };
    let up = figures.health >= figures.rise;
    let (health, of, state) = match up {
        true => (figures.health - figures.rise + 1, figures.fall, "UP"),
        false => (figures.health, figures.rise, "DOWN"),
    };
    let why = why(&figures);
    let (group, name) = (&target.group, &target.target.name);
    let text = format!(
        "Health check for {backup}server {group}/{name} {found}{why}, status: {health}/{of} {state}."
    );
    tell(Some(&teller.sink), LogLevel::Notice, &text);
}

/// Tells what an agent has said, where that is wanted and another thing than before.
pub(crate) fn agent_checked(target: &WatchedTarget) {
    let Some(teller) = target.teller().filter(|it| it.group.log_health_checks) else {
        return;
    };
    let Some(figures) = agent_figures(target, &target.health()) else {
        return;
    };
    let Some(outcome) = figures.outcome else {
        return;
    };
    let up = !figures.is_down;
    let now = (Some(outcome), u32::from(up));
    let mut latest = teller
        .latest_of_agent
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let before = std::mem::replace(&mut *latest, now);
    // What changes nothing is not told.
    if outcome == CheckWord::Checked || before == now {
        return;
    }
    let backup = if target.target.backup { "backup " } else { "" };
    let found = if outcome.passed() {
        "succeeded"
    } else {
        "failed"
    };
    let code = outcome.has_code().then_some(0);
    let why = why_of(outcome, code, figures.reason.as_deref(), figures.took);
    let state = match (up, target.whole_weight()) {
        (false, _) => "0/1 DOWN",
        (true, 0) => "1/1 DRAIN",
        (true, _) => "1/1 UP",
    };
    let (group, name) = (&target.group, &target.target.name);
    let text =
        format!("Agent check for {backup}server {group}/{name} {found}{why}, status: {state}.");
    tell(Some(&teller.sink), LogLevel::Notice, &text);
}

/// Tells that every proxy has stopped.
pub(crate) fn all_stopped(statistics: &Statistics) {
    let figures = statistics.figures().proxies;
    let installed = statistics.installed();
    let tellers = &installed.tellers;
    for (proxy, figures) in installed.proxies.iter().zip(&figures) {
        let of_listener = proxy
            .listeners
            .first()
            .and_then(|it| tellers.listeners.get(*it));
        let of_group = proxy.group.and_then(|it| tellers.groups.get(it));
        let Some(sink) = of_listener.or(of_group).and_then(Option::as_ref) else {
            continue;
        };
        let frontend = figures.frontend.as_ref();
        let backend = figures.backend.as_ref();
        let connections = frontend.map_or(0, |it| it.totals.connections);
        let sessions = backend.map_or(0, |it| it.totals.sessions);
        stopped(sink, &figures.name, connections, sessions);
    }
}

/// Tells that a proxy has stopped; `frontend` and `backend`: the connections that its two sides have had.
fn stopped(sink: &LogSink, name: &str, frontend: u64, backend: u64) {
    let text = format!("Proxy {name} stopped (cumulated conns: FE: {frontend}, BE: {backend}).");
    tell(Some(sink), LogLevel::Warning, &text);
}

fn who(target: &WatchedTarget) -> String {
    let backup = if target.target.backup { "Backup " } else { "" };
    format!("{backup}Server {}/{}", target.group, target.target.name)
}

/// The reason of a change, as a check has found it.
fn why(figures: &CheckFigures) -> String {
    figures.outcome.map_or_else(String::new, |outcome| {
        why_of(
            outcome,
            figures.code,
            figures.reason.as_deref(),
            figures.took,
        )
    })
}

fn why_of(
    outcome: CheckWord,
    code: Option<u16>,
    reason: Option<&str>,
    took: Option<Duration>,
) -> String {
    let mut text = String::new();
    // Writing into a String does not fail.
    let _ = write!(text, ", reason: {}", outcome.description());
    if let Some(code) = code {
        let _ = write!(text, ", code: {code}");
    }
    if let Some(reason) = reason {
        let _ = write!(text, ", info: \"{}\"", printable(reason));
    }
    if let Some(took) = took {
        let _ = write!(text, ", check duration: {}ms", took.as_millis());
    }
    text
}

/// A text from outside in a line: what is not printable, and a quote, as the byte's number in angle brackets.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | 0..=0x1f | 0x7f.. => {
                // Writing into a String does not fail.
                let _ = write!(out, "<{byte:02X}>");
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

impl Teller {
    /// The reason of the target's state; nothing where its checks are told one by one.
    fn why(&self, target: &WatchedTarget, by: By) -> String {
        if by == By::Order {
            return ", changed from CLI".to_owned();
        }
        if self.group.log_health_checks {
            return String::new();
        }
        let verdict = target.health();
        let agent = agent_figures(target, &verdict).filter(|_| verdict.agent.changed);
        if let Some((it, word)) = agent.and_then(|it| Some((it.clone(), it.outcome?))) {
            let code = word.has_code().then_some(0);
            return why_of(word, code, it.reason.as_deref(), it.took);
        }
        check_figures(&self.group, &target.target, target).map_or_else(String::new, |it| why(&it))
    }

    /// How many servers may take traffic: those that are no backups, and backups.
    fn usable(&self) -> (usize, usize) {
        let peers = self.peers.all();
        let usable = peers.iter().filter(|it| it.state.health().is_usable());
        let (backups, active): (Vec<_>, Vec<_>) = usable.partition(|peer| peer.target.backup);
        (active.len(), backups.len())
    }

    fn tell_of_none(&self, target: &WatchedTarget) {
        let kind = if self.accepts { "proxy" } else { "backend" };
        let text = format!("{kind} {} has no server available!", target.group);
        tell(Some(&self.sink), LogLevel::Emerg, &text);
    }

    fn left(&self, target: &WatchedTarget) -> String {
        let (active, backup) = self.usable();
        let running = if active == 0 && backup > 0 {
            " Running on backup."
        } else {
            ""
        };
        let (sessions, queue) = (target.state.in_flight(), target.state.queued());
        format!(
            "{active} active and {backup} backup servers left.{running} \
             {sessions} sessions active, 0 requeued, {queue} remaining in queue"
        )
    }

    fn online(&self) -> String {
        let (active, backup) = self.usable();
        let running = if active == 0 && backup > 0 {
            " Running on backup."
        } else {
            ""
        };
        format!(
            "{active} active and {backup} backup servers online.{running} \
             0 sessions requeued, 0 total in queue"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use portway_core::health::{Failure, Probe, Thresholds};
    use portway_dataplane::access_log::{LogStream, channel};

    use super::*;
    use crate::operations::TargetOrder;
    use crate::sources::compile_text;
    use crate::targets::{LastCheck, watch};

    const TWICE: Thresholds = Thresholds {
        healthy: 1,
        unhealthy: 2,
    };

    fn group(more: &str) -> (Vec<Arc<WatchedTarget>>, LogStream) {
        let text = format!(
            "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n\
             [target_group.app]\n{more}\n\
             targets = [{{ name = 'a', address = '10.0.0.1:80' }}, {{ name = 'b', address = '10.0.0.2:80', backup = true }}]\n\
             health_check = {{ http = '/', healthy_threshold = 1, unhealthy_threshold = 2 }}\n"
        );
        let compiled = compile_text("test.toml", &text);
        let snapshot = compiled
            .snapshot
            .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
        let targets = watch(&snapshot).remove(0);
        let peers = Arc::new(Peers::default());
        peers.set(&targets);
        let (sender, stream) = channel();
        let sink = LogSink::new(vec![(sender, 0)], true);
        listen(
            &snapshot.groups[0],
            &targets,
            &peers,
            &snapshot,
            Some(&sink),
        );
        (targets.to_vec(), stream)
    }

    fn told(stream: &mut LogStream) -> Vec<String> {
        std::iter::from_fn(|| stream.try_next())
            .flat_map(|packet| {
                let records = packet.batch.marked();
                let texts = records.map(|(mark, _, text)| {
                    format!("{}: {}", mark.level.as_str(), String::from_utf8_lossy(text))
                });
                texts.collect::<Vec<_>>()
            })
            .collect()
    }

    fn check(target: &WatchedTarget, probe: Probe) {
        let (word, code, said) = match &probe {
            Probe::Passed => (CheckWord::L7Ok, None, String::new()),
            Probe::Failed(failure) => (failure.word(), failure.code(), failure.said()),
        };
        let check = LastCheck {
            at: SystemTime::now(),
            took: Duration::from_millis(3),
            word,
            code,
            said: said.into(),
        };
        let transition = target.checked(check, probe, TWICE);
        checked(target);
        if let Some(transition) = transition {
            changed(target, &transition, By::Itself);
        }
    }

    fn status() -> Probe {
        Probe::Failed(Failure::UnexpectedStatus {
            status: 500,
            expected: "200-399".into(),
        })
    }

    #[test]
    fn servers_go_down_and_come_up() {
        let (targets, mut stream) = group("");
        let [a, b] = &targets[..] else { panic!() };
        check(a, Probe::Passed);
        check(a, Probe::Failed(Failure::ConnectionRefused));
        assert_eq!(told(&mut stream), Vec::<String>::new());
        check(a, Probe::Failed(Failure::ConnectionRefused));
        assert_eq!(
            told(&mut stream),
            [
                "alert: Server app/a is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", \
                 check duration: 3ms. 0 active and 1 backup servers left. Running on backup. \
                 0 sessions active, 0 requeued, 0 remaining in queue."
            ]
        );
        check(b, status());
        check(b, status());
        let said = told(&mut stream);
        assert!(
            said[0].starts_with(
                "alert: Backup Server app/b is DOWN, reason: Layer7 wrong status, code: 500"
            ),
            "{said:?}"
        );
        assert_eq!(said[1], "emerg: backend app has no server available!");
        check(a, Probe::Passed);
        assert_eq!(
            told(&mut stream),
            [
                "notice: Server app/a is UP, reason: Layer7 check passed, code: 0, check duration: 3ms. \
                 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue."
            ]
        );
    }

    #[test]
    fn servers_that_take_no_new_traffic_are_stopping() {
        let (targets, mut stream) = group("");
        let [a, b] = &targets[..] else { panic!() };
        let conditionally = |target: &WatchedTarget, word| {
            let check = LastCheck {
                at: SystemTime::now(),
                took: Duration::from_millis(3),
                word,
                code: Some(404),
                said: "".into(),
            };
            let before = target.state.health();
            assert_eq!(target.checked(check, Probe::Passed, TWICE), None);
            leaving(target, before);
        };
        for target in [a, b] {
            check(target, Probe::Passed);
            conditionally(target, CheckWord::L7OkConditionally);
            conditionally(target, CheckWord::L7OkConditionally);
        }
        let why = "reason: Layer7 check conditionally passed, code: 404, check duration: 3ms";
        let rest = "servers online. 0 sessions requeued, 0 total in queue.";
        let running = rest.replace("online.", "online. Running on backup.");
        assert_eq!(
            told(&mut stream),
            [
                format!("notice: Server app/a is stopping, {why}. 0 active and 1 backup {running}"),
                format!(
                    "notice: Backup Server app/b is stopping, {why}. 0 active and 0 backup {rest}"
                ),
                "emerg: backend app has no server available!".to_owned(),
            ]
        );
        conditionally(a, CheckWord::L7Ok);
        let said = told(&mut stream);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("notice: Server app/a is UP, reason"),
            "{said:?}"
        );
    }

    #[test]
    fn checks_are_told_when_they_say_something_new() {
        let (targets, mut stream) = group("log_health_checks = true");
        let a = &targets[0];
        for probe in [
            Probe::Passed,
            Probe::Passed,
            Probe::Failed(Failure::ConnectionRefused),
            Probe::Failed(Failure::ConnectionRefused),
            Probe::Failed(Failure::ConnectionRefused),
            Probe::Passed,
        ] {
            check(a, probe);
        }
        let refused =
            "reason: Layer4 connection problem, info: \"Connection refused\", check duration: 3ms";
        let expected = [
            "notice: Health check for server app/a succeeded, reason: Layer7 check passed, code: 0, check duration: 3ms, status: 2/2 UP.".to_owned(),
            format!("notice: Health check for server app/a failed, {refused}, status: 1/2 UP."),
            format!("notice: Health check for server app/a failed, {refused}, status: 0/1 DOWN."),
            "alert: Server app/a is DOWN. 0 active and 1 backup servers left. Running on backup. 0 sessions active, 0 requeued, 0 remaining in queue.".to_owned(),
            "notice: Health check for server app/a succeeded, reason: Layer7 check passed, code: 0, check duration: 3ms, status: 2/2 UP.".to_owned(),
            "notice: Server app/a is UP. 1 active and 1 backup servers online. 0 sessions requeued, 0 total in queue.".to_owned(),
        ];
        assert_eq!(told(&mut stream), expected);
    }

    #[test]
    fn people_take_servers_out() {
        let (targets, mut stream) = group("");
        targets[0].order(TargetOrder::Maintain);
        targets[0].order(TargetOrder::Ready);
        targets[0].order(TargetOrder::Drain);
        let said = told(&mut stream);
        let begins = [
            "alert: Server app/a is going DOWN for maintenance. 0 active and 1 backup servers left.",
            "notice: Server app/a is UP/READY (leaving forced maintenance).",
            "notice: Server app/a enters drain state.",
        ];
        assert_eq!(said.len(), begins.len(), "{said:?}");
        for (said, begin) in said.iter().zip(begins) {
            assert!(said.starts_with(begin), "{said}");
        }
    }

    #[test]
    fn proxies_stop() {
        let (sender, mut stream) = channel();
        stopped(&LogSink::new(vec![(sender, 0)], true), "web", 6, 5);
        assert_eq!(
            told(&mut stream),
            ["warning: Proxy web stopped (cumulated conns: FE: 6, BE: 5)."]
        );
    }
}
