//! Commands that change something.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portway_control::operations::{Gate, NoSuch, NotDone, RateOf, TargetOrder};
use portway_control::services::ControlLevel;
use portway_control::targets::{CheckPlace, WatchedTarget};
use portway_core::agent::AgentState;

use super::command::{Answer, Eventually};
use super::{Session, Severity, Tone};

/// What `set server` understands.
const SERVER_USAGE: &str = "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | \
    check-addr | check-port | fqdn | health | ssl | state | weight\n";

/// Why a server cannot be found.
const NO_SERVER_GIVEN: &str = "Require 'backend/server'.\n";

/// The server that a word means.
fn target(session: &Session, word: Option<&&str>) -> Result<Arc<WatchedTarget>, String> {
    let Some((group, target)) = word.and_then(|word| word.split_once('/')) else {
        return Err(NO_SERVER_GIVEN.to_owned());
    };
    match session.running.statistics().target(group, target) {
        Ok(target) => Ok(target),
        Err(NoSuch::Group | NoSuch::Listener) => Err("No such backend.\n".to_owned()),
        Err(NoSuch::Target) => Err("No such server.\n".to_owned()),
    }
}

/// Gives an order to the server that the first word means.
fn order(session: &Session, words: &[&str], order: TargetOrder) -> Answer {
    order_to(&*target(session, words.first())?, order)
}

/// `disable server`.
pub(super) fn disable_server(session: &mut Session, words: &[&str]) -> Answer {
    order(session, words, TargetOrder::Maintain)
}

/// `enable server`.
pub(super) fn enable_server(session: &mut Session, words: &[&str]) -> Answer {
    order(session, words, TargetOrder::Ready)
}

/// `set server BACKEND/SERVER …`.
pub(super) fn server(session: &mut Session, words: &[&str]) -> Answer {
    let target = target(session, words.first())?;
    let more = words.get(1..).unwrap_or_default();
    match more {
        ["state", state] => match *state {
            "ready" => order_to(&target, TargetOrder::Ready),
            "drain" => order_to(&target, TargetOrder::Drain),
            "maint" => order_to(&target, TargetOrder::Maintain),
            _ => Err(STATES.to_owned()),
        },
        ["state", ..] => Err(STATES.to_owned()),
        ["health", health] => match *health {
            "up" => order_to(&target, TargetOrder::Up),
            "stopping" => order_to(&target, TargetOrder::Drain),
            "down" => order_to(&target, TargetOrder::Down),
            _ => Err(HEALTHS.to_owned()),
        },
        ["health", ..] => Err(HEALTHS.to_owned()),
        ["weight", weight @ ..] => set_weight(&target, weight),
        ["addr", address @ ..] => set_address(session, &target, address),
        ["check-port", rest @ ..] => set_check_port(&target, rest),
        ["check-addr", rest @ ..] => set_check_address(&target, rest),
        ["agent" | "agent-addr" | "agent-port" | "agent-send", ..] => set_agent(&target, more),
        ["fqdn", ..] => {
            Err("set server <b>/<s> fqdn failed because no resolution is configured.\n".to_owned())
        }
        ["ssl", ..] => Err(
            "'set server <srv> ssl' cannot be set.  default-server should define ssl settings\n"
                .to_owned(),
        ),
        _ => Err(SERVER_USAGE.to_owned()),
    }
}

const STATES: &str = "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n";
const HEALTHS: &str = "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n";

fn order_to(target: &WatchedTarget, order: TargetOrder) -> Answer {
    target.order(order);
    Ok(String::new())
}

/// `set weight BACKEND/SERVER WEIGHT`.
pub(super) fn weight(session: &mut Session, words: &[&str]) -> Answer {
    let target = target(session, words.first())?;
    set_weight(&target, words.get(1..).unwrap_or_default())
}

/// A weight, or a percentage of the configured one.
fn set_weight(target: &WatchedTarget, words: &[&str]) -> Answer {
    let text = words.first().ok_or("Require <weight> or <weight%>.\n")?;
    target.weigh(text)?;
    Ok(String::new())
}

/// `get weight BACKEND/SERVER`.
pub(super) fn get_weight(session: &mut Session, words: &[&str]) -> Answer {
    let target = target(session, words.first())?;
    let whole = target.whole_weight();
    let text = format!("{whole} (initial {})\n", target.target.weight);
    Ok(text)
}

/// Who changes an address, in HAProxy's words.
const BY: &str = "'stats socket command'";

/// `addr ADDRESS [port PORT]`.
fn set_address(session: &mut Session, target: &WatchedTarget, words: &[&str]) -> Answer {
    let (text, port) = match words {
        [text] => (text, None),
        [text, "port", port, ..] => (text, Some(port)),
        _ => {
            return Err(
                "set server <b>/<s> addr requires an address and optionally a port.\n".to_owned(),
            );
        }
    };
    let Some(now) = target.state.address() else {
        return Err(format!(
            "Update for the current server address family is only supported through configuration file. by {BY}\n"
        ));
    };
    let Ok(ip) = text.parse::<IpAddr>() else {
        return Err(format!("Invalid addr '{text}' by {BY}\n"));
    };
    let port = match port {
        None => now.port(),
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("provided port is not an integer by {BY}\n")),
        },
    };
    let address = match ip == now.ip() {
        true => "no need to change the addr".to_owned(),
        false => format!("IP changed from '{}' to '{ip}'", now.ip()),
    };
    let port_says = match (words.len() > 1, port == now.port()) {
        (false, _) => String::new(),
        (true, true) => ", no need to change the port".to_owned(),
        (true, false) => format!(", port changed from '{}' to '{port}'", now.port()),
    };
    target.set_address(SocketAddr::new(ip, port));
    session.tone = Some(Tone::Warning);
    Ok(format!("{address}{port_says} by {BY}\n"))
}

const NOT_CHECKED: &str = "health checks are not enabled on this server";

/// `check-port PORT`.
fn set_check_port(target: &WatchedTarget, words: &[&str]) -> Answer {
    let port = words
        .first()
        .ok_or("set server <b>/<s> check-port requires a port.\n")?;
    if !target.is_checked() {
        return Err(NOT_CHECKED.to_owned());
    }
    let port = Some(check_port(port)?);
    target.set_check_place(CheckPlace {
        address: None,
        port,
    });
    Ok(String::new())
}

fn check_port(text: &str) -> Result<u16, String> {
    let number: i64 = text
        .parse()
        .map_err(|_| "provided port is not an integer")?;
    let port = u16::try_from(number).map_err(|_| "provided port is invalid")?;
    Ok(port)
}

/// `check-addr ADDRESS [port PORT]`.
fn set_check_address(target: &WatchedTarget, words: &[&str]) -> Answer {
    let (text, port) = match words {
        [text, "port", port, ..] => (text, Some(check_port(port)?)),
        [text, ..] => (text, None),
        [] => {
            let text = "set server <b>/<s> check-addr requires an address and optionally a port.\n";
            return Err(text.to_owned());
        }
    };
    if !target.is_checked() {
        return Err(NOT_CHECKED.to_owned());
    }
    let address = text.parse().map_err(|_| format!("invalid addr '{text}'"))?;
    target.set_check_place(CheckPlace {
        address: Some(address),
        port,
    });
    Ok(String::new())
}

/// `enable health`.
pub(super) fn enable_health(session: &mut Session, words: &[&str]) -> Answer {
    rest(session, words, false)
}

/// `disable health`.
pub(super) fn disable_health(session: &mut Session, words: &[&str]) -> Answer {
    rest(session, words, true)
}

fn rest(session: &mut Session, words: &[&str], rests: bool) -> Answer {
    let target = target(session, words.first())?;
    match (target.is_checked(), rests) {
        (true, _) => target.rest(rests),
        // What is not done need not be stopped.
        (false, true) => {}
        (false, false) => {
            let text = "Health check was not configured on this server, cannot enable.\n";
            return Err(text.to_owned());
        }
    }
    Ok(String::new())
}

/// `enable agent`.
pub(super) fn enable_agent(session: &mut Session, words: &[&str]) -> Answer {
    let target = target(session, words.first())?;
    match target.target.agent {
        Some(_) => target.rest_agent(false),
        None => {
            let text = "Agent was not configured on this server, cannot enable.\n";
            return Err(text.to_owned());
        }
    }
    Ok(String::new())
}

/// `disable agent`.
pub(super) fn disable_agent(session: &mut Session, words: &[&str]) -> Answer {
    target(session, words.first())?.rest_agent(true);
    Ok(String::new())
}

const NO_AGENT: &str = "agent checks are not enabled on this server.\n";

/// `agent up|down`, `agent-addr`, `agent-port`, `agent-send`.
fn set_agent(target: &WatchedTarget, words: &[&str]) -> Answer {
    const ADDRESS: &str =
        "set server <b>/<s> agent-addr requires an address and optionally a port.\n";
    const PORT: &str = "set server <b>/<s> agent-port requires a port.\n";
    const STATES: &str = "'set server <srv> agent' expects 'up' or 'down'.\n";
    match words {
        ["agent-addr"] => return Err(ADDRESS.to_owned()),
        ["agent-port"] => return Err(PORT.to_owned()),
        _ if !target.agent_is_asked() => return Err(NO_AGENT.to_owned()),
        ["agent", "up", ..] => target.agent_told(AgentState::Up),
        ["agent", "down", ..] => target.agent_told(AgentState::Down),
        ["agent-addr", text, rest @ ..] => {
            let port = match rest {
                ["port", port, ..] => Some(check_port(port)?),
                _ => None,
            };
            let address = text.parse().map_err(|_| format!("invalid addr '{text}'"))?;
            let address = Some(address);
            target.set_agent_place(CheckPlace { address, port });
        }
        ["agent-port", port, ..] => target.set_agent_place(CheckPlace {
            address: None,
            port: Some(check_port(port)?),
        }),
        ["agent-send", text @ ..] => {
            target.set_agent_send(text.first().copied().unwrap_or_default());
        }
        _ => return Err(STATES.to_owned()),
    }
    Ok(String::new())
}

const NO_FRONTEND_GIVEN: &str = "A frontend name is expected.\n";
const NO_FRONTEND: &str = "No such frontend.\n";
const CANNOT_RESUME: &str =
    "Failed to resume frontend, check logs for precise cause (port conflict?).\n";

/// Whether the listeners of a frontend accept; `already` and `stopped` are said where it is too late.
fn gate(session: &Session, words: &[&str], gate: Gate, (already, stopped): (&str, &str)) -> Answer {
    let name = words.first().ok_or(NO_FRONTEND_GIVEN)?;
    let done = session.running.statistics().set_gate(name, gate);
    done.map(|()| String::new()).map_err(|why| match why {
        NotDone::Already => already.to_owned(),
        NotDone::Stopped => stopped.to_owned(),
        _ => NO_FRONTEND.to_owned(),
    })
}

/// `disable frontend`.
pub(super) fn disable_frontend(session: &mut Session, words: &[&str]) -> Answer {
    let says = (
        "All sockets are already disabled.\n",
        "Frontend was previously shut down, cannot disable.\n",
    );
    gate(session, words, Gate::Paused, says)
}

/// `enable frontend`. It accepts when this comes back.
pub(super) fn enable_frontend<'s>(
    session: &'s mut Session,
    words: &'s [&'s str],
) -> Eventually<'s> {
    let says = (
        "All sockets are already enabled.\n",
        "Frontend was previously shut down, cannot enable.\n",
    );
    Box::pin(async move {
        let answer = gate(session, words, Gate::Open, says)?;
        let statistics = session.running.statistics().clone();
        let name = words.first().ok_or(NO_FRONTEND_GIVEN)?;
        match statistics.frontend_listens(name).await {
            true => Ok(answer),
            false => Err(CANNOT_RESUME.to_owned()),
        }
    })
}

/// `shutdown frontend`.
pub(super) fn shutdown_frontend(session: &mut Session, words: &[&str]) -> Answer {
    let says = "Frontend was already shut down.\n";
    gate(session, words, Gate::Closed, (says, says))
}

/// `shutdown sessions server`.
pub(super) fn shutdown_sessions(session: &mut Session, words: &[&str]) -> Answer {
    let target = target(session, words.first())?;
    session.running.statistics().cut_off(&target);
    Ok(String::new())
}

/// `set maxconn frontend NAME VALUE`.
pub(super) fn frontend_limit(session: &mut Session, words: &[&str]) -> Answer {
    let name = words.first().ok_or(NO_FRONTEND_GIVEN)?;
    let limit = words.get(1).ok_or("Integer value expected.\n")?;
    let statistics = session.running.statistics();
    let done = statistics.set_listener_limit(name, leading_number(limit));
    done.map(|()| String::new())
        .map_err(|_| NO_FRONTEND.to_owned())
}

/// `set maxconn server BACKEND/SERVER VALUE`.
pub(super) fn server_limit(session: &mut Session, words: &[&str]) -> Answer {
    target(session, words.first())?;
    let limit = words.get(1).ok_or("Require <maxconn>.\n")?;
    let limit = limit
        .parse()
        .map_err(|_| "maxconn string empty or preceded by garbage")?;
    let (group, name) = words
        .first()
        .and_then(|it| it.split_once('/'))
        .unwrap_or_default();
    let statistics = session.running.statistics();
    let done = statistics.set_target_limit(group, name, limit);
    done.map(|()| String::new())
        .map_err(|_| "No such server.\n".to_owned())
}

/// `set maxconn global VALUE`.
pub(super) fn process_limit(session: &mut Session, words: &[&str]) -> Answer {
    let limit = words.first().ok_or("Expects an integer value.\n")?;
    let statistics = session.running.statistics();
    let done = statistics.set_process_limit(leading_number(limit));
    done.map(|()| String::new())
        .map_err(|_| "Value out of range.\n".to_owned())
}

const RATES: &str = "'set rate-limit' only supports :\n   \
    - 'connections global' to set the per-process maximum connection rate\n   \
    - 'sessions global' to set the per-process maximum session rate\n   \
    - 'ssl-sessions global' to set the per-process maximum SSL session rate\n   \
    - 'http-compression global' to set the per-process maximum compression speed in kB/s\n";

/// `set rate-limit connections|sessions|ssl-sessions global VALUE`.
pub(super) fn rate_limit(session: &mut Session, words: &[&str]) -> Answer {
    let (of, rest) = match words {
        ["connections", "global", rest @ ..] => (RateOf::Connections, rest),
        ["sessions", "global", rest @ ..] => (RateOf::Sessions, rest),
        ["ssl-sessions", "global", rest @ ..] => (RateOf::TlsHandshakes, rest),
        // Nothing is compressed.
        ["http-compression", "global", _, ..] => return Ok(String::new()),
        ["http-compression", "global"] => return Err("Expects an integer value.\n".to_owned()),
        _ => return Err(RATES.to_owned()),
    };
    let limit = rest.first().ok_or("Expects an integer value.\n")?;
    let statistics = session.running.statistics();
    statistics.set_rate_limit(of, leading_number(limit));
    Ok(String::new())
}

/// The number that a word begins with; 0 where it begins with none, as HAProxy has it.
fn leading_number(text: &str) -> u32 {
    let digits = text.find(|letter: char| !letter.is_ascii_digit());
    let number = text.get(..digits.unwrap_or(text.len())).unwrap_or_default();
    number.parse().unwrap_or_default()
}

const PROFILES: &str = "Expects either 'tasks' or 'memory'.\n";

/// `set profiling WHAT auto|on|off`: the setting is kept and shown; functions are not measured here.
pub(super) fn profiling(session: &mut Session, words: &[&str]) -> Answer {
    let (profile, states): (_, &[&str]) = match words.first() {
        Some(&"tasks") => (0, &["on", "auto", "off"]),
        Some(&"memory") => (1, &["on", "off"]),
        _ => return Err(PROFILES.to_owned()),
    };
    let state = words
        .get(1)
        .and_then(|word| states.iter().position(|it| it == word));
    let state = state.ok_or_else(|| format!("Expects either '{}'.\n", states.join("', '")))?;
    session
        .profiles
        .set(profile, states.get(state).copied().unwrap_or("off"));
    Ok(String::new())
}

/// `show profiling`.
pub(super) fn show_profiling(session: &mut Session, _: &[&str]) -> Answer {
    Ok(format!(
        "Per-task CPU profiling              : {:<13} # set profiling tasks {{on|auto|off}}\n\
         Memory usage profiling              : {:<13} # set profiling memory {{on|off}}\n\
         Functions are not measured in this program: `perf` does that from outside.\n",
        session.profiles.shown(0),
        session.profiles.shown(1),
    ))
}

/// `set timeout cli DELAY`.
pub(super) fn timeout(session: &mut Session, words: &[&str]) -> Answer {
    let delay = match words {
        ["cli", delay, ..] => delay,
        ["cli"] => return Err("Expects an integer value.\n".to_owned()),
        _ => return Err("'set timeout' only supports 'cli'.\n".to_owned()),
    };
    let delay = duration(delay).filter(|delay| !delay.is_zero());
    session.timeout = delay.ok_or("Invalid timeout value.\n")?;
    Ok(String::new())
}

/// `set severity-output none|number|string`.
pub(super) fn severity(session: &mut Session, words: &[&str]) -> Answer {
    session.severity = match words.first() {
        Some(&"none") => Severity::Hidden,
        Some(&"number") => Severity::Number,
        Some(&"string") => Severity::Word,
        _ => {
            let text = "one of 'none', 'number', 'string' is a required argument\n";
            return Err(text.to_owned());
        }
    };
    Ok(String::new())
}

/// `expert-mode [on|off]`.
pub(super) fn expert(session: &mut Session, words: &[&str]) -> Answer {
    Ok(mode(&mut session.expert, "expert-mode", words))
}

/// `experimental-mode [on|off]`.
pub(super) fn experimental(session: &mut Session, words: &[&str]) -> Answer {
    Ok(mode(&mut session.experimental, "experimental-mode", words))
}

/// A mode of this connection: told without a word, else set.
fn mode(mode: &mut bool, name: &str, words: &[&str]) -> String {
    match words.first() {
        None => {
            let state = if *mode { "ON" } else { "OFF" };
            return format!("{name} is {state}\n");
        }
        Some(word) => *mode = *word == "on",
    }
    String::new()
}

/// A time as HAProxy writes it; seconds where no unit is said.
fn duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let factor = match unit {
        "us" => return Some(Duration::from_micros(number)),
        "ms" => return Some(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(factor)?))
}

/// `clear counters [all]`.
pub(super) fn clear_counters(session: &mut Session, words: &[&str]) -> Answer {
    let all = words.first() == Some(&"all");
    if all && session.level < ControlLevel::Admin {
        return Err("Permission denied\n".to_owned());
    }
    session.running.statistics().clear(all);
    Ok(String::new())
}

/// `operator`.
pub(super) fn operator(session: &mut Session, _: &[&str]) -> Answer {
    session.level = ControlLevel::Operator;
    Ok(String::new())
}

/// `user`.
pub(super) fn user(session: &mut Session, _: &[&str]) -> Answer {
    session.level = ControlLevel::User;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(
                duration(text),
                expected.map(Duration::from_millis),
                "{text}"
            );
        };
        check("10", Some(10_000));
        check("10s", Some(10_000));
        check("250ms", Some(250));
        check("2m", Some(120_000));
        check("1d", Some(86_400_000));
        check("", None);
        check("x", None);
        check("1w", None);
        check("99999999999999999999", None);
    }
}
