//! `portway run`: compiles the sources and serves until told to stop.

use std::cell::Cell;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use portway_control::bind::{self, Neighbour};
use portway_control::descriptors;
use portway_control::files::Record;
use portway_control::install::{self, Running};
use portway_control::sources::{Compiled, Reading, compile_files_with, watches};
use portway_control::upgrade::Predecessor;
use portway_dialects::cloudformation::Unset;
use portway_model::address::BindAddress;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::snapshot::Snapshot;
use portway_model::span::Span;

use crate::background::{self, Itself, Nobody};
use crate::cli::{Run, reading};
use crate::serve::{self, Again, Manners, Setting};
use crate::{render, system, systemd};

/// Runs the command.
pub(crate) fn run(arguments: &Run, quiet: bool) -> ExitCode {
    let predecessor = background::takes_over_from().map(Predecessor::new);
    // Found before anything can take its place.
    let itself = Itself::find();
    system::start_log(arguments.log.log_level, quiet);
    let record = Record::default();
    let mut compiled = record.during(|| compiled(arguments));
    if compiled.snapshot.is_none() {
        install::check_compiled(&mut compiled);
    }
    let say = || render::to_stderr(&compiled.sources, &compiled.diagnostics, quiet);
    let Some(snapshot) = compiled.snapshot else {
        say();
        if let Some(predecessor) = predecessor {
            predecessor.failed(&compiled.diagnostics, &compiled.sources);
        }
        return ExitCode::FAILURE;
    };
    // What takes over is where the process before was.
    let background = snapshot.process.daemon && predecessor.is_none();
    if background && !background::parent_waits() {
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        let gone = itself.and_then(|itself| background::go_on(&itself, &arguments));
        // The one in the background has said what was found.
        return gone.unwrap_or_else(|error| {
            super::fail(&format!("cannot go into the background: {error}"))
        });
    }
    say();
    if background {
        background::leave_session();
    }
    let nobody = Nobody::open();
    let of_system = systemd::sockets(predecessor.is_some());
    for address in bind::unused(&snapshot, &of_system) {
        tracing::warn!(
            "systemd listens on {address}, and no listener does: who connects there is not served"
        );
    }
    // Before others leave it sockets.
    system::raise_descriptor_limit(descriptors::wanted(&snapshot.process));
    let neighbour = match &predecessor {
        None => Neighbour::given(of_system),
        Some(predecessor) => match predecessor.sockets(of_system) {
            Ok(neighbour) => neighbour,
            Err(error) => {
                let code = super::fail(&error.message);
                predecessor.failed(&error.into(), &compiled.sources);
                return code;
            }
        },
    };
    let tell = |running: &Running| {
        if !quiet {
            super::print(&started(running));
        }
        nobody.tell_serving(background, running.in_short());
    };
    let setting = Setting {
        sources: &compiled.sources,
        say: &|found| render::to_stderr(&compiled.sources, found, quiet),
        admin: true,
        neighbour: Cell::new(neighbour),
        predecessor: Cell::new(predecessor),
        state: Cell::new(None),
        itself: itself.ok(),
        handed: Cell::new(None),
        manners: Manners::Server,
        reading: read_as(arguments),
        again: Some(Again {
            watched: (arguments.watch || (!arguments.no_watch && watches(&compiled.sources)))
                .then(|| record.files()),
            reader: {
                let arguments = arguments.clone();
                Arc::new(move || self::compiled(&arguments))
            },
            adjust: {
                let arguments = arguments.clone();
                Arc::new(move |snapshot| {
                    // What cannot be shifted is told of by the reload that finds it.
                    let _ = adjust(&arguments, snapshot);
                })
            },
            state_dir: arguments.state_dir.clone(),
            quiet,
        }),
    };
    match serve::runtime() {
        Ok(runtime) => serve::serve(runtime, snapshot, &setting, tell),
        Err(error) => super::fail(&format!("cannot start the runtime: {error}")),
    }
}

fn read_as(arguments: &Run) -> Reading {
    reading(&arguments.language, &arguments.templates, Unset::Refused)
}

/// The configuration as its files and the command line say it now.
fn compiled(arguments: &Run) -> Compiled {
    let mut compiled = compile_files_with(&arguments.sources, &read_as(arguments));
    let Some(snapshot) = &mut compiled.snapshot else {
        return compiled;
    };
    if snapshot.process.master {
        compiled.diagnostics.push(no_master());
    }
    if let Err(message) = adjust(arguments, snapshot) {
        let error = Diagnostic::error(Code::OutOfRange, Span::NONE, message);
        compiled.diagnostics.push(error);
        compiled.snapshot = None;
    }
    compiled
}

/// What the command line says in place of the configuration, and the environment beside it.
fn adjust(arguments: &Run, snapshot: &mut Snapshot) -> Result<(), String> {
    if let Ok(zone) = std::env::var("PORTWAY_ZONE")
        && !zone.is_empty()
    {
        snapshot.enter_zone(&zone);
    }
    if let Some(workers) = arguments.workers {
        snapshot.process.workers = workers;
    }
    if let Some(admin) = arguments.admin {
        snapshot.process.admin = admin;
    }
    shift_listeners(snapshot, arguments.port_offset)
}

/// That no master is started, whatever the text says.
fn no_master() -> Diagnostic {
    let message = "`portway run` starts no master: this process serves alone";
    Diagnostic::warning(Code::NotRun, Span::NONE, message).help(
        "call the program by the name `haproxy`, as in `haproxy -W -f FILE`, or remove `master` (`master-worker`)",
    )
}

/// Adds `offset` to the port of every listener. What has no port stays where it is; so does the admin address.
fn shift_listeners(snapshot: &mut Snapshot, offset: u16) -> Result<(), String> {
    for listener in snapshot.listeners.iter_mut().map(Arc::make_mut) {
        for bind in &mut listener.binds {
            let BindAddress::Tcp {
                first_port,
                last_port,
                ..
            } = &mut bind.value
            else {
                continue;
            };
            for port in [first_port, last_port] {
                *port = port.checked_add(offset).ok_or_else(|| {
                    let name = &listener.name;
                    format!("--port-offset {offset}: listener {name} would have a port above 65535")
                })?;
            }
        }
    }
    Ok(())
}

/// What was started, for people.
pub(crate) fn started(running: &Running) -> String {
    let status = running.status();
    let mut text = String::new();
    for listener in &status.listeners {
        let addresses = listener.addresses.join(", ");
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "listener {}: {} on {addresses}",
            listener.name, listener.protocol
        );
    }
    for group in &status.groups {
        let count = group.targets.len();
        let noun = if count == 1 { "target" } else { "targets" };
        let _ = writeln!(text, "target group {}: {count} {noun}", group.name);
    }
    let admin = running.snapshot().process.admin;
    let _ = writeln!(text, "admin: http://{admin}/");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_control::sources::compile_files;

    fn check(binds: &str, offset: u16, expected: Result<&[&str], &str>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        let text = format!(
            "[listener.web]\nbind = {binds}\nforward = 'app'\n[target_group.app]\ntargets = ['127.0.0.1:1']\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut snapshot = compile_files(&[file]).snapshot.unwrap();
        let admin = snapshot.process.admin;
        let shifted = shift_listeners(&mut snapshot, offset);
        assert_eq!(snapshot.process.admin, admin);
        match expected {
            Ok(expected) => {
                assert_eq!(shifted, Ok(()));
                let binds = snapshot.listeners[0].binds.iter();
                let binds: Vec<String> = binds.map(ToString::to_string).collect();
                assert_eq!(binds, expected);
            }
            Err(expected) => assert!(shifted.unwrap_err().contains(expected)),
        }
    }

    #[test]
    fn listeners_are_shifted() {
        check("':443'", 0, Ok(&[":443"]));
        check("':443'", 10_000, Ok(&[":10443"]));
        check(
            "['127.0.0.1:80', '[::1]:8000-8010', 'unix:/run/web.sock']",
            100,
            Ok(&["127.0.0.1:180", "[::1]:8100-8110", "unix:/run/web.sock"]),
        );
        check("':65000-65535'", 1, Err("listener web would have a port"));
    }
}
