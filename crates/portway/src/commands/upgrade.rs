//! `portway upgrade`: has the program as it is on disk now take over from the running Portway.

use std::process::ExitCode;

use portway_admin::client;
use portway_admin::json;

use super::reload::findings;
use crate::cli::Upgrade;

/// Runs the command. Exit code 1 where the process before goes on.
pub(crate) fn run(arguments: &Upgrade, quiet: bool) -> ExitCode {
    let answer = match client::upgrade(arguments.admin, arguments.timeout) {
        Ok(answer) => answer,
        Err(error) => return super::fail_as(arguments.json, &error.to_string()),
    };
    if arguments.json {
        super::print_json(&answer);
    } else {
        super::tell(&findings(&answer.diagnostics, quiet));
        match &answer.error {
            Some(why) => super::tell(&format!(
                "not upgraded, process {} goes on: {why}\n",
                answer.pid
            )),
            None if quiet => {}
            None => super::print(&done(&answer)),
        }
    }
    match answer.ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn done(answer: &json::Upgrade) -> String {
    let mut text = format!(
        "process {} serves, after {:.0} ms\n",
        answer.pid,
        answer.took * 1000.0
    );
    if let Some(state) = &answer.state {
        text += &format!(
            "handed over: {} entries of stick tables, {:.1} MB of live state in {:.0} ms\n",
            state.entries,
            state.bytes as f64 / 1e6,
            state.took * 1000.0
        );
    }
    if let Some(before) = &answer.before {
        text += &format!(
            "process {} finishes {} connections within {:.0} s\n",
            before.pid, before.connections, before.deadline
        );
    }
    if let Some(by) = &answer.supervisor {
        text += &format!(
            "started by {} (process {}): if that supervises Portway, have it follow `pid_file`; the end of the process before is not that of the service\n",
            by.name, by.pid
        );
    }
    text
}
