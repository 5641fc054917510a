//! `portway drain` and `portway undrain`: something of the running Portway goes out of service, or comes back.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use portway_admin::client::{self, AskError};
use portway_admin::drain::{Answer, Order};
use portway_admin::json::Draining;

use crate::cli::{Drain, Leaves, Undrain};

/// How often it is asked what is left.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How often in a row there may be no answer.
const MOST_FAILED: usize = 20;
/// How long a process may take to say that it drains.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);

/// Runs `drain`. Exit code 1 where nothing has changed.
pub(crate) fn run(arguments: &Drain, quiet: bool) -> ExitCode {
    let order = Order {
        deadline: arguments.deadline.map(|it| it.as_secs_f64()),
        ready_delay: arguments.ready_delay.map(|it| it.as_secs_f64()),
        ..order(&arguments.what)
    };
    let answer = match client::drain(arguments.admin, &order, false) {
        Ok(answer) => answer,
        Err(error) => return super::fail_as(arguments.json, &error.to_string()),
    };
    if !answer.ok || !arguments.wait {
        return tell(&answer, arguments.json, quiet, "drains");
    }
    warn(&answer, quiet);
    let begun = Instant::now();
    let known = answer.draining.clone();
    match wait(arguments, &order, known, quiet) {
        Ok(draining) if arguments.json => {
            let answer = Answer { draining, ..answer };
            tell(&answer, true, quiet, "")
        }
        Ok(draining) => {
            let cut: u64 = draining.iter().map(|it| it.cut_off).sum();
            if !quiet {
                let took = begun.elapsed().as_secs_f64();
                let what = named(&order);
                super::print(&match cut {
                    0 => format!("{what} has drained after {took:.1} s\n"),
                    _ => format!("{what} has drained for {took:.1} s: {cut} cut off\n"),
                });
            }
            ExitCode::SUCCESS
        }
        Err(error) => super::fail_as(arguments.json, &error.to_string()),
    }
}

/// Runs `undrain`. Exit code 1 where nothing has changed.
pub(crate) fn undo(arguments: &Undrain, quiet: bool) -> ExitCode {
    match client::drain(arguments.admin, &order(&arguments.what), true) {
        Ok(answer) => {
            let done = tell(&answer, arguments.json, quiet, "");
            if answer.ok && !arguments.json && !quiet {
                let what = named(&order(&arguments.what));
                super::print(&format!("{what} is at work again\n"));
            }
            done
        }
        Err(error) => super::fail_as(arguments.json, &error.to_string()),
    }
}

fn order(what: &Leaves) -> Order {
    let (kind, name) = match what {
        Leaves::Process => ("process", ""),
        Leaves::Listener { name } => ("listener", name.as_str()),
        Leaves::Group { name } => ("group", name.as_str()),
        Leaves::Target { name } => ("target", name.as_str()),
    };
    Order {
        kind: kind.to_owned(),
        name: name.to_owned(),
        deadline: None,
        ready_delay: None,
    }
}

fn named(order: &Order) -> String {
    format!("{} {}", order.kind, order.name)
        .trim_end()
        .to_owned()
}

fn warn(answer: &Answer, quiet: bool) {
    if !quiet {
        let warnings = answer.warnings.iter();
        warnings.for_each(|it| super::tell(&format!("warning: {it}\n")));
    }
}

fn tell(answer: &Answer, json: bool, quiet: bool, verb: &str) -> ExitCode {
    if json {
        super::print_json(answer);
    } else if let Some(error) = &answer.error {
        super::tell(&format!("error: {error}\n"));
        if let Some(help) = &answer.help {
            super::tell(&format!("    help: {help}\n"));
        }
    } else {
        warn(answer, quiet);
        let lines = answer.draining.iter().map(|it| line(it, verb));
        if !quiet {
            super::print(&lines.collect::<String>());
        }
    }
    match answer.ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// `target app/a drains: 3 left, cut off in 27 s`.
fn line(it: &Draining, verb: &str) -> String {
    let what = format!("{} {}", it.kind, it.name);
    let what = what.trim_end();
    if it.state == "drained" {
        return format!("{what} has drained\n");
    }
    let left = match it.until {
        Some(until) => format!(
            "cut off in {:.0} s",
            super::status::seconds_to(until).max(0.0)
        ),
        None => "for as long as that takes".to_owned(),
    };
    format!("{what} {verb}: {} left, {left}\n", it.left)
}

/// Waits until nothing is left, and says meanwhile what is. What was named, in the end; `known`: what drains of it now.
fn wait(
    arguments: &Drain,
    order: &Order,
    mut known: Vec<Draining>,
    quiet: bool,
) -> Result<Vec<Draining>, AskError> {
    let is_process = order.kind == "process";
    let mut last = String::new();
    // A process says that it drains a moment later.
    let mut has_begun = !is_process && !known.is_empty();
    let begun = Instant::now();
    let mut failed = 0;
    loop {
        let status = match client::status(arguments.admin) {
            Ok(status) => status,
            // It has ended.
            Err(AskError::NobodyThere(_) | AskError::Ended(_)) if is_process => return Ok(known),
            // It is busy, or another process takes over.
            Err(AskError::Ended(_) | AskError::Connection(..)) if failed < MOST_FAILED => {
                failed += 1;
                thread::sleep(ASK_AGAIN);
                continue;
            }
            Err(error) => return Err(error),
        };
        failed = 0;
        known = status.draining;
        known.retain(|it| is_meant(it, order));
        let now: String = known.iter().map(|it| line(it, "drains")).collect();
        if !quiet && now != last {
            super::tell(&now);
            last = now;
        }
        let is_late = is_process && begun.elapsed() > BEGINS_WITHIN;
        if known.is_empty() && (has_begun || is_late) {
            let what = named(order);
            let why = format!(
                "{what} drains no more: somebody has taken it back, or a reload has removed it"
            );
            return Err(AskError::Not(why));
        }
        has_begun |= !known.is_empty();
        if !is_process && known.iter().all(|it| it.state == "drained") {
            return Ok(known);
        }
        thread::sleep(ASK_AGAIN);
    }
}

fn is_meant(it: &Draining, order: &Order) -> bool {
    match order.kind.as_str() {
        "process" => it.kind == "process",
        "group" => {
            let of_group = it.group.as_deref() == Some(order.name.as_str());
            it.by == "command" && it.kind == "target" && of_group
        }
        kind => it.by == "command" && it.kind == kind && it.is_called(&order.name),
    }
}
