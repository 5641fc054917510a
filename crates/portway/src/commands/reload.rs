//! `portway reload`: has the running Portway read its configuration again.

use std::fmt::Write;
use std::process::ExitCode;

use portway_admin::client;
use portway_admin::json;

use crate::cli::Reload;

/// Runs the command. Exit code 1 where the configuration stays as it is.
pub(crate) fn run(arguments: &Reload, quiet: bool) -> ExitCode {
    let answer = match client::reload(arguments.admin) {
        Ok(answer) => answer,
        Err(error) => return super::fail(&error.to_string()),
    };
    if arguments.json {
        match serde_json::to_string_pretty(&answer) {
            Ok(json) => super::print(&format!("{json}\n")),
            Err(error) => return super::fail(&error.to_string()),
        }
    } else {
        eprint!("{}", findings(&answer, quiet));
        if answer.ok && !quiet {
            super::print(&done(&answer));
        }
    }
    match answer.ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What was found, each with its place and what to do about it.
fn findings(answer: &json::Reload, errors_only: bool) -> String {
    let mut text = String::new();
    let told = answer.diagnostics.iter();
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
    if !answer.ok {
        text.push_str("not reloaded: the configuration at work stays as it is\n");
    }
    text
}

fn done(answer: &json::Reload) -> String {
    let mut text = String::new();
    for step in &answer.plan {
        let _ = writeln!(text, "{step}");
    }
    if answer.plan.is_empty() {
        text.push_str("nothing has changed\n");
    }
    let _ = writeln!(
        text,
        "configuration {} is at work, after {:.0} ms",
        answer.generation,
        answer.took * 1000.0
    );
    text
}
