//! `portway status`: listeners and targets of the running Portway.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use portway_admin::client;
use portway_admin::json::{
    Certificate, CircuitBreaker, Draining, Earlier, RevocationList, Status as Shown, Target,
    TargetGroup,
};

use super::table;
use crate::cli::Status;

/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// Certificates that expire in fewer days are shown.
const SOON: f64 = 30.0;
/// Revocation lists that are over in fewer hours are shown: authorities make new ones every few days or hours.
const SOON_OF_LISTS: f64 = 6.0;

/// Runs the command. Exit code 1 only where no answer came.
pub(crate) fn run(arguments: &Status) -> ExitCode {
    match client::status(arguments.admin) {
        Ok(status) if arguments.json => {
            super::print_json(&status);
            ExitCode::SUCCESS
        }
        Ok(status) => {
            super::print(&as_text(&status));
            ExitCode::SUCCESS
        }
        Err(error) => super::fail_as(arguments.json, &error.to_string()),
    }
}

fn as_text(status: &Shown) -> String {
    let process = &status.process;
    let mut text = format!(
        "Portway {}, process {}, up {:.0} s, {} {}{}\n\n",
        process.version,
        process.pid,
        process.uptime,
        process.workers,
        if process.workers == 1 {
            "worker"
        } else {
            "workers"
        },
        if process.draining { ", stopping" } else { "" },
    );
    if let Some(number) = process.rolled_back_to {
        text.push_str(&format!(
            "rolled back to generation {number}: the files say something else, and the next reload follows them\n\n"
        ));
    }
    if let Some(memory) = process.memory.as_ref().filter(|it| it.level != "free") {
        let what = match memory.level.as_str() {
            "full" => "new requests are turned away",
            _ => "new clients wait",
        };
        text.push_str(&format!(
            "memory is {}: connections and exchanges take {} bytes of {}: {what}\n\n",
            memory.level, memory.used, memory.budget
        ));
    }
    let mut listeners = vec![row([
        "LISTENER",
        "PROTOCOL",
        "ADDRESS",
        "STATE",
        "CONNECTIONS",
        "REQUESTS",
    ])];
    for it in &status.listeners {
        listeners.push(vec![
            it.name.clone(),
            it.protocol.clone(),
            it.addresses.join(", "),
            it.state.clone(),
            it.connections.to_string(),
            it.requests.to_string(),
        ]);
    }
    text.push_str(&table(&listeners));
    text.push('\n');
    let mut targets = vec![row([
        "TARGET GROUP",
        "TARGET",
        "ADDRESS",
        "HEALTH",
        "IN FLIGHT",
        "QUEUED",
        "WHY",
    ])];
    for group in &status.target_groups {
        for it in &group.targets {
            targets.push(vec![
                group.name.clone(),
                it.name.clone(),
                address(it),
                it.shown_health().to_owned(),
                it.in_flight.to_string(),
                it.queued.to_string(),
                it.reason.clone(),
            ]);
        }
    }
    text.push_str(&table(&targets));
    let queues = queues(&status.target_groups);
    if queues.len() > 1 {
        text.push('\n');
        text.push_str(&table(&queues));
    }
    let certificates = certificates(&status.certificates, &status.revocation_lists);
    if certificates.len() > 1 {
        text.push('\n');
        text.push_str(&table(&certificates));
    }
    if !status.circuit_breakers.is_empty() {
        text.push('\n');
        text.push_str(&table(&circuits(&status.circuit_breakers)));
    }
    if !status.draining.is_empty() {
        text.push('\n');
        text.push_str(&table(&drains(&status.draining)));
    }
    if !status.earlier.is_empty() {
        text.push('\n');
        text.push_str(&table(&earlier(&status.earlier)));
    }
    text
}

/// Certificates that want somebody: they expire soon, are revoked, or lack the answer of OCSP that is wanted of them; and
/// revocation lists that are over, or soon will be.
fn certificates(all: &[Certificate], lists: &[RevocationList]) -> Vec<Vec<String>> {
    let mut rows = vec![row(["CERTIFICATE", "NAMES", "EXPIRES", "WHY"])];
    for it in all {
        let days = (seconds_to(it.not_after as f64) / DAY).floor();
        let lacks = it.ocsp_until == Some(0);
        if days >= SOON && !lacks && !it.revoked {
            continue;
        }
        let expires = match days < 0.0 {
            true => "expired".to_owned(),
            false => format!("in {days:.0} days"),
        };
        let why = match lacks {
            _ if it.revoked => "revoked",
            true => "no answer of OCSP",
            false => "",
        };
        rows.push(vec![
            it.name.clone(),
            it.names.clone(),
            expires,
            why.to_owned(),
        ]);
    }
    for list in lists {
        let hours = (seconds_to(list.next_update as f64) / 3600.0).floor();
        if hours < SOON_OF_LISTS {
            let expires = match hours < 0.0 {
                true => "expired".to_owned(),
                false => format!("in {hours:.0} hours"),
            };
            let why = "revocation list".to_owned();
            rows.push(vec!["-".to_owned(), list.issuer.clone(), expires, why]);
        }
    }
    rows
}

/// Target groups that somebody waits for.
fn queues(groups: &[TargetGroup]) -> Vec<Vec<String>> {
    let mut rows = vec![row(["TARGET GROUP", "QUEUED", "OF THEM FOR ONE TARGET"])];
    for it in groups.iter().filter(|it| it.queued > 0) {
        let alone: u32 = it.targets.iter().map(|it| it.queued).sum();
        rows.push(vec![
            it.name.clone(),
            it.queued.to_string(),
            alone.to_string(),
        ]);
    }
    rows
}

/// Circuit breakers, and how much they let pass.
fn circuits(all: &[CircuitBreaker]) -> Vec<Vec<String>> {
    let titles = ["CIRCUIT BREAKER", "STATE", "PASSES", "ANSWERED"];
    let mut rows = vec![row(titles)];
    for it in all {
        rows.push(vec![
            it.name.clone(),
            it.state.clone(),
            format!("{:.0} %", it.percent),
            it.refused.to_string(),
        ]);
    }
    rows
}

/// Processes that have served before, and how long what they have left has.
fn earlier(all: &[Earlier]) -> Vec<Vec<String>> {
    let titles = ["EARLIER PROCESS", "CONNECTIONS", "FOR", "DEADLINE IN"];
    let mut rows = vec![row(titles)];
    for it in all {
        let silent = if it.answers { "" } else { " (does not answer)" };
        rows.push(vec![
            format!("{}{silent}", it.pid),
            it.connections.to_string(),
            since(it.since),
            it.until.map_or_else(|| "-".to_owned(), deadline),
        ]);
    }
    rows
}

fn since(moment: f64) -> String {
    format!("{:.0} s", -seconds_to(moment).min(0.0))
}

fn deadline(moment: f64) -> String {
    format!("{:.0} s", seconds_to(moment).max(0.0))
}

/// What drains, and how long what is left of it has.
fn drains(draining: &[Draining]) -> Vec<Vec<String>> {
    let titles = [
        "DRAINS",
        "NAME",
        "BY",
        "STATE",
        "LEFT",
        "FOR",
        "DEADLINE IN",
    ];
    let mut rows = vec![row(titles)];
    for it in draining {
        let left = it.until.map(deadline);
        rows.push(vec![
            it.kind.clone(),
            match &it.ordered_as {
                Some(before) => format!("{} (was {before})", it.name),
                None => it.name.clone(),
            },
            it.by.clone(),
            it.state.clone(),
            it.left.to_string(),
            since(it.since),
            left.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    rows
}

/// Seconds from now to a moment, which is in seconds since 1970.
pub(super) fn seconds_to(moment: f64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    moment - now.unwrap_or_default().as_secs_f64()
}

fn address(target: &Target) -> String {
    match &target.resolved {
        Some(resolved) => format!("{} ({resolved})", target.address),
        None => target.address.clone(),
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let rows = [row(["A", "LONG", "C"]), row(["bb", "x", ""])];
        assert_eq!(table(&rows), "A   LONG  C\nbb  x\n");
    }
}
