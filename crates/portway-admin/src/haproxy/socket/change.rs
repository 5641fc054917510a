//! Commands that change something.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portway_control::operations::{Gate, NoSuch, NotDone, TargetOrder};
use portway_control::services::ControlLevel;
use portway_control::targets::WatchedTarget;

use super::Session;

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
        Ok(target) => Ok(target.clone()),
        Err(NoSuch::Group | NoSuch::Listener) => Err("No such backend.\n".to_owned()),
        Err(NoSuch::Target) => Err("No such server.\n".to_owned()),
    }
}

/// Gives an order to the server that the first word means.
fn order(session: &Session, words: &[&str], order: TargetOrder) -> String {
    match target(session, words.first()) {
        Ok(target) => order_to(&target, order),
        Err(text) => text,
    }
}

/// `disable server`.
pub(super) fn disable_server(session: &mut Session, words: &[&str]) -> String {
    order(session, words, TargetOrder::Maintain)
}

/// `enable server`.
pub(super) fn enable_server(session: &mut Session, words: &[&str]) -> String {
    order(session, words, TargetOrder::Ready)
}

/// `set server BACKEND/SERVER …`.
pub(super) fn server(session: &mut Session, words: &[&str]) -> String {
    let target = match target(session, words.first()) {
        Ok(target) => target,
        Err(text) => return text,
    };
    let more = words.get(1..).unwrap_or_default();
    match more {
        ["state", state] => match *state {
            "ready" => order_to(&target, TargetOrder::Ready),
            "drain" => order_to(&target, TargetOrder::Drain),
            "maint" => order_to(&target, TargetOrder::Maintain),
            _ => STATES.to_owned(),
        },
        ["state", ..] => STATES.to_owned(),
        ["health", health] => match *health {
            "up" => order_to(&target, TargetOrder::Up),
            "stopping" => order_to(&target, TargetOrder::Drain),
            "down" => order_to(&target, TargetOrder::Down),
            _ => HEALTHS.to_owned(),
        },
        ["health", ..] => HEALTHS.to_owned(),
        ["weight", weight @ ..] => set_weight(&target, weight),
        ["addr", address @ ..] => set_address(&target, address),
        ["agent" | "agent-addr" | "agent-port" | "agent-send", ..] => {
            "agent checks are not enabled on this server.\n".to_owned()
        }
        ["fqdn", ..] => {
            "set server <b>/<s> fqdn failed because no resolution is configured.\n".to_owned()
        }
        ["ssl", ..] => {
            "'set server <srv> ssl' cannot be set.  default-server should define ssl settings\n"
                .to_owned()
        }
        _ => SERVER_USAGE.to_owned(),
    }
}

const STATES: &str = "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n";
const HEALTHS: &str = "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n";

fn order_to(target: &WatchedTarget, order: TargetOrder) -> String {
    target.order(order);
    String::new()
}

/// `set weight BACKEND/SERVER WEIGHT`.
pub(super) fn weight(session: &mut Session, words: &[&str]) -> String {
    match target(session, words.first()) {
        Ok(target) => set_weight(&target, words.get(1..).unwrap_or_default()),
        Err(text) => text,
    }
}

/// The heaviest that HAProxy knows.
const HEAVIEST: u32 = 256;

/// A weight, or a percentage of the configured one.
fn set_weight(target: &WatchedTarget, words: &[&str]) -> String {
    let Some(text) = words.first() else {
        return "Require <weight> or <weight%>.\n".to_owned();
    };
    let digits = text.find(|letter: char| !letter.is_ascii_digit());
    let (number, unit) = text
        .split_at_checked(digits.unwrap_or(text.len()))
        .unwrap_or((text, ""));
    let Ok(number) = number.parse::<u32>() else {
        return "Empty weight string empty or preceded by garbage".to_owned();
    };
    let weight = match unit {
        "" if number > HEAVIEST => {
            return "Absolute weight can only be between 0 and 256 inclusive.\n".to_owned();
        }
        "" => number,
        "%" => {
            let configured = u32::from(target.target.weight);
            (configured.saturating_mul(number) / 100).min(HEAVIEST)
        }
        _ => return "Trailing garbage in weight string".to_owned(),
    };
    target.set_weight(weight);
    String::new()
}

/// `get weight BACKEND/SERVER`.
pub(super) fn get_weight(session: &mut Session, words: &[&str]) -> String {
    match target(session, words.first()) {
        Ok(target) => format!("{} (initial {})\n", target.weight(), target.target.weight),
        Err(text) => text,
    }
}

/// Who changes an address, in HAProxy's words.
const BY: &str = "'stats socket command'";

/// `addr ADDRESS [port PORT]`.
fn set_address(target: &WatchedTarget, words: &[&str]) -> String {
    let (text, port) = match words {
        [text] => (text, None),
        [text, "port", port, ..] => (text, Some(port)),
        _ => {
            return "set server <b>/<s> addr requires an address and optionally a port.\n"
                .to_owned();
        }
    };
    let Some(now) = target.state.address() else {
        return format!(
            "Update for the current server address family is only supported through configuration file. by {BY}\n"
        );
    };
    let Ok(ip) = text.parse::<IpAddr>() else {
        return format!("Invalid addr '{text}' by {BY}\n");
    };
    let port = match port {
        None => now.port(),
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return format!("provided port is not an integer by {BY}\n"),
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
    format!("{address}{port_says} by {BY}\n")
}

/// `enable health`.
pub(super) fn enable_health(session: &mut Session, words: &[&str]) -> String {
    rest(session, words, false)
}

/// `disable health`.
pub(super) fn disable_health(session: &mut Session, words: &[&str]) -> String {
    rest(session, words, true)
}

fn rest(session: &mut Session, words: &[&str], rests: bool) -> String {
    match target(session, words.first()) {
        Ok(target) if !target.is_checked() => {
            "Health checks are not configured on this server, cannot enable.\n".to_owned()
        }
        Ok(target) => {
            target.rest(rests);
            String::new()
        }
        Err(text) => text,
    }
}

/// `enable agent` and `disable agent`: there are no agents.
pub(super) fn agent(session: &mut Session, words: &[&str]) -> String {
    match target(session, words.first()) {
        Ok(_) => "Agent was not configured on this server, cannot enable.\n".to_owned(),
        Err(text) => text,
    }
}

const NO_FRONTEND_GIVEN: &str = "A frontend name is expected.\n";
const NO_FRONTEND: &str = "No such frontend.\n";

fn gate(session: &Session, words: &[&str], gate: Gate, already: &str) -> String {
    let Some(name) = words.first() else {
        return NO_FRONTEND_GIVEN.to_owned();
    };
    match session.running.statistics().set_gate(name, gate) {
        Ok(()) => String::new(),
        Err(NotDone::Already) => already.to_owned(),
        Err(NotDone::Stopped) => "Frontend was already shut down.\n".to_owned(),
        Err(_) => NO_FRONTEND.to_owned(),
    }
}

/// `disable frontend`.
pub(super) fn disable_frontend(session: &mut Session, words: &[&str]) -> String {
    gate(
        session,
        words,
        Gate::Paused,
        "All sockets are already disabled.\n",
    )
}

/// `enable frontend`.
pub(super) fn enable_frontend(session: &mut Session, words: &[&str]) -> String {
    gate(
        session,
        words,
        Gate::Open,
        "All sockets are already enabled.\n",
    )
}

/// `shutdown frontend`.
pub(super) fn shutdown_frontend(session: &mut Session, words: &[&str]) -> String {
    gate(
        session,
        words,
        Gate::Closed,
        "Frontend was already shut down.\n",
    )
}

/// `shutdown sessions server`.
pub(super) fn shutdown_sessions(session: &mut Session, words: &[&str]) -> String {
    match target(session, words.first()) {
        Ok(target) => {
            session.running.statistics().cut_off(&target);
            String::new()
        }
        Err(text) => text,
    }
}

/// `set maxconn frontend NAME VALUE`.
pub(super) fn frontend_limit(session: &mut Session, words: &[&str]) -> String {
    let Some(name) = words.first() else {
        return NO_FRONTEND_GIVEN.to_owned();
    };
    let Some(limit) = words.get(1).and_then(|it| it.parse().ok()) else {
        return "Integer value expected.\n".to_owned();
    };
    match session.running.statistics().set_listener_limit(name, limit) {
        Ok(()) => String::new(),
        Err(_) => NO_FRONTEND.to_owned(),
    }
}

/// `set maxconn server BACKEND/SERVER VALUE`.
pub(super) fn server_limit(session: &mut Session, words: &[&str]) -> String {
    if let Err(text) = target(session, words.first()) {
        return text;
    }
    let Some(limit) = words.get(1) else {
        return "Require <maxconn>.\n".to_owned();
    };
    let Ok(limit) = limit.parse() else {
        return "maxconn string empty or preceded by garbage".to_owned();
    };
    let (group, name) = words
        .first()
        .and_then(|it| it.split_once('/'))
        .unwrap_or_default();
    match session
        .running
        .statistics()
        .set_target_limit(group, name, limit)
    {
        Ok(()) => String::new(),
        Err(NotDone::Unlimited) => {
            "No server of this backend has a maxconn in the configuration: none can be set here.\n"
                .to_owned()
        }
        Err(_) => "No such server.\n".to_owned(),
    }
}

/// `set maxconn global VALUE`.
pub(super) fn process_limit(session: &mut Session, words: &[&str]) -> String {
    let Some(limit) = words.first() else {
        return "Expects an integer value.\n".to_owned();
    };
    let Ok(limit) = limit.parse() else {
        return "Expects an integer value.\n".to_owned();
    };
    match session.running.statistics().set_process_limit(limit) {
        Ok(()) => String::new(),
        Err(_) => "Value out of range.\n".to_owned(),
    }
}

/// `set timeout cli DELAY`.
pub(super) fn timeout(session: &mut Session, words: &[&str]) -> String {
    match words {
        ["cli", delay, ..] => match duration(delay) {
            Some(delay) if !delay.is_zero() => {
                session.timeout = delay;
                String::new()
            }
            _ => "Invalid timeout value.\n".to_owned(),
        },
        ["cli"] => "Expects an integer value.\n".to_owned(),
        _ => "'set timeout' only supports 'cli'.\n".to_owned(),
    }
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
pub(super) fn clear_counters(session: &mut Session, words: &[&str]) -> String {
    let all = words.first() == Some(&"all");
    if all && session.level < ControlLevel::Admin {
        return "Permission denied\n".to_owned();
    }
    session.running.statistics().clear(all);
    String::new()
}

/// `operator`.
pub(super) fn operator(session: &mut Session, _: &[&str]) -> String {
    session.level = ControlLevel::Operator;
    String::new()
}

/// `user`.
pub(super) fn user(session: &mut Session, _: &[&str]) -> String {
    session.level = ControlLevel::User;
    String::new()
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
