//! `portway reload`: has the running Portway read its configuration again.

use std::fmt::Write;
use std::process::ExitCode;

use portway_admin::client;
use portway_admin::json;
use portway_control::tls::x509::day;

use super::steps::{self, Tense};
use crate::cli::Reload;

/// Runs the command. Exit code 1 where the configuration stays as it is.
pub(crate) fn run(arguments: &Reload, quiet: bool) -> ExitCode {
    let answer = match arguments.certificates {
        true => client::reload_certificates(arguments.admin),
        false => client::reload(arguments.admin),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return super::fail_as(arguments.json, &error.to_string()),
    };
    tell(&answer, arguments.json, quiet, arguments.certificates)
}

/// Says how a reload went.
pub(super) fn tell(
    answer: &json::Reload,
    as_json: bool,
    quiet: bool,
    certificates: bool,
) -> ExitCode {
    if as_json {
        super::print_json(answer);
    } else {
        super::tell(&findings(&answer.diagnostics, quiet));
        if !answer.ok {
            super::tell("not reloaded: what is at work stays as it is\n");
        }
        if answer.ok && !quiet {
            super::print(&done(answer, certificates));
        }
    }
    match answer.ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What was found, each with its place and what to do about it.
pub(super) fn findings(found: &[json::Finding], errors_only: bool) -> String {
    let mut text = String::new();
    let told = found.iter();
    for it in told.filter(|it| !errors_only || it.severity == "error") {
        let place = it.place.as_ref().map(|place| format!("{place}: "));
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "{}{}[{}]: {}",
            place.unwrap_or_default(),
            it.severity,
            it.code,
            it.message
        );
        if let Some(help) = &it.help {
            let _ = writeln!(text, "    help: {help}");
        }
    }
    text
}

fn done(answer: &json::Reload, certificates: bool) -> String {
    let mut text = steps::text(&answer.plan, Tense::Done, |step| {
        let is_it = |it: &&json::Certificate| step.kind == "certificate" && it.name == step.name;
        let it = answer.certificates.iter().find(is_it)?;
        let [from, to] = [it.not_before, it.not_after].map(day);
        Some(format!("{}, from {from} to {to}", it.names))
    });
    if answer.plan.is_empty() {
        text.push_str("nothing has changed\n");
    }
    let what = match certificates {
        true => "the certificates of configuration",
        false => "configuration",
    };
    let are = if certificates { "are" } else { "is" };
    let _ = writeln!(
        text,
        "{what} {} {are} at work, after {:.0} ms",
        answer.generation,
        answer.took * 1000.0
    );
    text
}
