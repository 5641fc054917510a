//! `portway history` and `portway rollback`: the last good configurations, and one of them at work again.

use std::fmt::Write;
use std::process::ExitCode;

use portway_admin::client;
use portway_admin::generations::{Generation, History as Kept, Shown};
use portway_control::tls::x509::day;
use serde::Serialize;

use super::steps::{self, Tense};
use super::{reload, table};
use crate::cli::{History, Rollback};

/// Runs `portway history`. Exit code 1 where there is no answer, or no such generation.
pub(crate) fn run(arguments: &History) -> ExitCode {
    match arguments.number {
        None => match client::history(arguments.admin) {
            Ok(kept) => told(&kept, arguments.json, list),
            Err(error) => super::fail_as(arguments.json, &error.to_string()),
        },
        Some(number) => match client::generation(arguments.admin, number) {
            Ok(it) => told(&it, arguments.json, one),
            Err(error) => super::fail_as(arguments.json, &error.to_string()),
        },
    }
}

/// Runs `portway rollback`. Exit code 1 where what is at work stays.
pub(crate) fn roll_back(arguments: &Rollback, quiet: bool) -> ExitCode {
    let answer = match client::roll_back(arguments.admin, arguments.number) {
        Ok(answer) => answer,
        Err(error) => return super::fail_as(arguments.json, &error.to_string()),
    };
    let code = reload::tell(&answer, arguments.json, quiet, false);
    if answer.ok && !arguments.json && !quiet {
        super::print(&format!(
            "this is generation {}; the files of the configuration say something else, and the next `portway reload` follows \
             them. Certificates, maps and other files that it names were read as they are now.\n",
            arguments.number
        ));
    }
    code
}

fn told<T: Serialize>(it: &T, as_json: bool, text: fn(&T) -> String) -> ExitCode {
    match as_json {
        true => super::print_json(it),
        false => super::print(&text(it)),
    }
    ExitCode::SUCCESS
}

fn numbers(it: &Generation) -> String {
    match it.until > it.number {
        true => format!("{}–{}", it.number, it.until),
        false => it.number.to_string(),
    }
}

/// A moment, in seconds since 1970: `2026-11-29 17:22:15`.
fn moment(at: f64) -> String {
    let at = at as i64;
    let second = at.rem_euclid(86_400);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{} {hour:02}:{minute:02}:{:02}", day(at), second % 60)
}

fn list(kept: &Kept) -> String {
    if kept.generations.is_empty() {
        return "no generation is kept: this process cannot be reloaded\n".to_owned();
    }
    let head = ["GENERATION", "WHEN (UTC)", "BY", "CHANGES", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for it in &kept.generations {
        let counts = it.counts;
        let changes = match counts.all() {
            0 => String::new(),
            _ => format!("+{} ~{} -{}", counts.add, counts.change, counts.remove),
        };
        let at_work = match (it.at_work, kept.rolled_back_to) {
            (true, Some(to)) => {
                format!("at work, a rollback to {to}: the files say something else")
            }
            (true, None) => "at work".to_owned(),
            (false, _) => String::new(),
        };
        rows.push(vec![
            numbers(it),
            moment(it.at),
            it.by.clone(),
            changes,
            at_work,
        ]);
    }
    let mut text = table(&rows);
    if kept.state_dir.is_none() {
        text.push_str("\nan upgrade hands them on, a restart forgets them: `portway run --state-dir DIR` keeps them\n");
    }
    text
}

fn one(it: &Shown) -> String {
    let generation = &it.generation;
    let at_work = if generation.at_work { ", at work" } else { "" };
    let mut out = format!(
        "generation {}, {} UTC, by {}{at_work}\n",
        numbers(generation),
        moment(generation.at),
        generation.by
    );
    // Writing to a String cannot fail.
    let _ = match it.before {
        Some(before) => writeln!(out, "what leads to it from {before}:\n"),
        None => writeln!(out, "what was before it is not kept: all of it\n"),
    };
    out.push_str(&steps::text(&it.plan, Tense::Done, |_| None));
    if !it.diff.is_empty() {
        let _ = write!(out, "\n{}", it.diff);
    }
    out
}
