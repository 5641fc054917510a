//! Portway called by the name `haproxy`: HAProxy's flags, messages, exit codes, signals and background, so that service
//! scripts, units and tools made for it work unchanged.
//!
//! A process plays one of three parts. The one that was called checks the configuration; unless it stays in the foreground
//! it starts itself again in the background and leaves once that one serves. With `-W` the one that goes on is a
//! `master`, which starts workers and serves nothing. A worker, or the only process, is `serve`.

mod flags;
mod master;
mod master_socket;
mod messages;
mod version;

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use flags::Flags;
use messages::Voice;
use portway_control::bind::{Handover, Neighbour};
use portway_control::descriptors;
use portway_control::install::{self, Running};
use portway_control::sources::{Compiled, Reading, compile_files_with, configurations_in};
use portway_control::upgrade::StateFrom;
use portway_dialects::Dialect;
use portway_model::diagnostic::{Diagnostics, Severity};
use portway_model::draft::Verify;
use portway_model::snapshot::{Snapshot, TargetTls};
use portway_model::span::Spanned;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;

use crate::background::{self, Itself, Nobody};
use crate::cli::Level;
use crate::serve::{self, Manners, Setting};
use crate::system;

/// The part of a process that serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A master started it and watches it; it leaves its terminal where the master did.
    Worker { background: bool },
    /// It left its terminal.
    Background,
    /// It stays where it was started.
    Foreground,
}

/// How this process was called.
struct Call {
    itself: Itself,
    arguments: Vec<OsString>,
    /// A master started it.
    is_worker: bool,
}

/// True where this is the name that HAProxy is called by.
pub(crate) fn is_name(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new("haproxy"))
}

/// Runs as HAProxy would with these arguments.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let (arguments, is_worker) = master::part(arguments);
    let flags = match flags::read(&arguments) {
        Ok(flags) => flags,
        Err(message) => return misused(&message),
    };
    if let Some(how) = flags.version {
        crate::commands::print(&version::text(how));
        return ExitCode::SUCCESS;
    }
    if let Some(condition) = &flags.condition {
        return evaluate(condition, &flags);
    }
    if flags.files.is_empty() {
        return misused("");
    }
    match Itself::find() {
        Ok(itself) => {
            let call = Call {
                itself,
                arguments,
                is_worker,
            };
            process(&call, &flags)
        }
        Err(error) => fail(&flags, &format!("cannot find this program: {error}")),
    }
}

/// What a wrong command line gets: what is wrong, and the help.
fn misused(message: &str) -> ExitCode {
    if !message.is_empty() {
        crate::commands::tell(&format!("haproxy: {message}\n"));
    }
    crate::commands::print(&(version::text(flags::Version::Short) + flags::USAGE));
    ExitCode::FAILURE
}

/// `-cc`.
fn evaluate(condition: &str, flags: &Flags) -> ExitCode {
    match portway_dialects::haproxy::condition_holds(condition, &|name| std::env::var(name).ok()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            let voice = voice(flags);
            voice.introduce();
            let text = format!("config : Failed to evaluate condition: {message}");
            voice.tell(Severity::Error, &text);
            ExitCode::from(2)
        }
    }
}

fn voice(flags: &Flags) -> Voice {
    Voice {
        quiet: flags.quiet,
        errors_only: background::parent_waits(),
        all_notes: flags.verbose || flags.diagnose,
    }
}

fn fail(flags: &Flags, message: &str) -> ExitCode {
    voice(flags).tell(Severity::Error, message);
    ExitCode::FAILURE
}

/// Checks the configuration and plays the part that is due.
fn process(call: &Call, flags: &Flags) -> ExitCode {
    if let Some(folder) = &flags.folder
        && let Err(error) = std::env::set_current_dir(folder)
    {
        let text = format!(
            "Could not change to directory {} : {error}",
            folder.display()
        );
        return fail(flags, &text);
    }
    let voice = voice(flags);
    for flag in &flags.without_effect {
        voice.tell(Severity::Note, &format!("`{flag}` has no effect here"));
    }
    let mut compiled = match files(&flags.files) {
        Ok(files) => {
            let dialect = Some(Dialect::Haproxy);
            compile_files_with(
                &files,
                &Reading {
                    dialect,
                    ..reading(flags)
                },
            )
        }
        Err(message) => {
            voice.introduce();
            return fail(flags, &message);
        }
    };
    let serves = compiled.snapshot.as_ref().is_none_or(Snapshot::serves);
    if let Some(snapshot) = compiled.snapshot.as_mut().filter(|_| serves) {
        apply(flags, snapshot);
        let found = install::check(snapshot, &compiled.sources);
        compiled.diagnostics.extend(found);
        compiled.diagnostics.sort();
    }
    voice.say(&compiled.sources, &compiled.diagnostics);
    let warnings = compiled.diagnostics.count(Severity::Warning);
    if compiled.diagnostics.has_errors() {
        voice.fatal(&compiled.sources, &compiled.diagnostics);
        return ExitCode::FAILURE;
    }
    if flags.zero_warnings && warnings > 0 {
        return fail(
            flags,
            "config : Some warnings were found and 'zero-warning' is set. Aborting.",
        );
    }
    if flags.check {
        return valid(flags, warnings, serves);
    }
    if !serves {
        let text =
            "[haproxy.main()] No enabled listener found (check for 'bind' directives) ! Exiting.";
        return fail(flags, text);
    }
    let Compiled {
        snapshot: Some(snapshot),
        sources,
        ..
    } = compiled
    else {
        return ExitCode::FAILURE;
    };
    let in_background = (flags.daemon || snapshot.process.daemon) && !flags.foreground;
    let background = in_background && !call.is_worker;
    if background && !background::parent_waits() {
        return match background::go_on(&call.itself, &call.arguments) {
            Ok(code) => code,
            Err(error) => fail(flags, &format!("cannot go into the background: {error}")),
        };
    }
    if background {
        background::leave_session();
    }
    let has_master = flags.master || snapshot.process.master;
    if !flags.master_sockets.is_empty() && !has_master {
        let text = "a master CLI socket was defined, but master-worker mode (-W) is not enabled.";
        voice.tell(Severity::Warning, text);
    }
    if has_master && !call.is_worker {
        return master::run(&call.itself, &call.arguments, flags, &snapshot, background);
    }
    let part = match (call.is_worker, background) {
        (true, _) => Part::Worker {
            background: in_background,
        },
        (false, true) => Part::Background,
        (false, false) => Part::Foreground,
    };
    serve(flags, snapshot, &sources, part)
}

/// What `-c` says of a configuration without errors.
fn valid(flags: &Flags, warnings: usize, serves: bool) -> ExitCode {
    if !flags.quiet {
        let found = if warnings > 0 {
            "Warnings were found.\n"
        } else {
            ""
        };
        let verdict = if serves {
            "Configuration file is valid"
        } else {
            "Configuration file has no error but will not start (no listener) => exit(2)."
        };
        crate::commands::print(&format!("{found}{verdict}\n"));
    }
    if serves {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    }
}

/// How HAProxy reads: names of servers must resolve, where neither they nor `-dr` say otherwise.
fn reading(flags: &Flags) -> Reading {
    Reading {
        names_must_resolve: !flags.unresolved,
        ..Reading::default()
    }
}

/// The files to read: of a folder those that end in `.cfg` and are not hidden, in the order of their bytes.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in named {
        let unreadable = |error: std::io::Error| {
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => "No such file or directory".to_owned(),
                _ => error.to_string(),
            };
            format!(
                "config : Cannot open configuration file/directory {} : {reason}",
                path.display()
            )
        };
        if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        files.extend(configurations_in(path).map_err(unreadable)?);
    }
    if files.is_empty() {
        return Err(
            "config : there is no file that ends in `.cfg` in the folders that were named"
                .to_owned(),
        );
    }
    Ok(files)
}

/// What flags say against the configuration.
fn apply(flags: &Flags, snapshot: &mut Snapshot) {
    let process = &mut snapshot.process;
    if let Some(limit) = flags.max_connections {
        process.max_connections = limit;
    }
    // In HAProxy 0 is no limit.
    if let Some(megabytes) = flags.memory.filter(|it| *it > 0) {
        process.max_memory = megabytes.saturating_mul(1024 * 1024);
    }
    if flags.no_splice {
        process.max_pipes = 0;
    }
    if let Some(path) = &flags.pid_file {
        process.pid_file = Some(Spanned::bare(path.display().to_string()));
    }
    // As HAProxy: only who stays in the background, or has workers, writes its number.
    let in_background = (flags.daemon || process.daemon) && !flags.foreground;
    if !in_background || flags.master || process.master {
        process.pid_file = None;
    }
    if let Some(limit) = flags.proxy_connections {
        for listener in snapshot.listeners.iter_mut().map(Arc::make_mut) {
            if listener.max_connections == 0 {
                listener.max_connections = limit;
            }
        }
    }
    if flags.no_verify {
        for group in snapshot.groups.iter_mut().map(Arc::make_mut) {
            let own = group.targets.iter_mut().filter_map(|it| match &mut it.tls {
                TargetTls::Own(own) => Some(own.as_mut()),
                TargetTls::Group | TargetTls::Off => None,
            });
            for tls in own.chain(group.tls.as_mut()) {
                tls.verify = Verify::Off;
            }
        }
    }
}

/// Serves until a signal ends it.
fn serve(
    flags: &Flags,
    snapshot: Snapshot,
    sources: &portway_model::span::Sources,
    part: Part,
) -> ExitCode {
    let level = if flags.verbose || flags.debug {
        Level::Info
    } else {
        Level::Warn
    };
    system::start_log(level, flags.quiet);
    let voice = voice(flags);
    let old: Vec<(Pid, Signal)> = flags
        .finish
        .iter()
        .map(|pid| (*pid, Signal::USR1))
        .chain(flags.terminate.iter().map(|pid| (*pid, Signal::TERM)))
        .collect();
    // Before others leave it sockets.
    system::raise_descriptor_limit(descriptors::wanted(&snapshot.process));
    let (handover, state) = match predecessor(flags, &voice) {
        Ok(before) => before,
        Err(message) => return fail(flags, &message),
    };
    let neighbour = match handover {
        Some(handover) => Neighbour::Leaving(handover),
        None if old.is_empty() => Neighbour::None,
        None => Neighbour::Leaving(Handover::default()),
    };
    let (hand, handed) = mpsc::channel(HANDED);
    let say = |found: &Diagnostics| {
        voice.say(sources, found);
        // What has no place stands in the way of all of it, not of a listener.
        if found
            .iter()
            .any(|it| it.severity == Severity::Error && !it.labels.is_empty())
        {
            voice.tell(
                Severity::Error,
                "[haproxy.main()] Some protocols failed to start their listeners! Exiting.",
            );
        }
    };
    let setting = Setting {
        sources,
        say: &say,
        admin: false,
        neighbour: Cell::new(neighbour),
        handed: Cell::new(Some(handed)),
        manners: Manners::Haproxy,
        reading: reading(flags),
        // A process of HAProxy is replaced as a whole.
        again: None,
        predecessor: Cell::new(None),
        state: Cell::new(state),
        itself: None,
    };
    let nobody = Nobody::open();
    let tell = move |running: &Running| {
        for (pid, signal) in &old {
            // One that has gone already needs no telling.
            let _ = kill_process(*pid, *signal);
        }
        match part {
            Part::Worker { background } => {
                if let Err(error) = background::tell_master(hand) {
                    tracing::warn!("cannot watch the master: {error}");
                }
                if background {
                    nobody.leave_terminal();
                }
            }
            part => nobody.tell_serving(part == Part::Background, running.in_short()),
        }
    };
    match serve::runtime() {
        Ok(runtime) => serve::serve(runtime, snapshot, &setting, tell),
        Err(error) => fail(flags, &format!("cannot start the runtime: {error}")),
    }
}

/// Connections that a master may hand over before one of them is looked at.
const HANDED: usize = 16;

/// The listening sockets of the process before, and where its live state is asked for: of the worker before, or of whoever answers on
/// the socket of `-x`.
fn predecessor(flags: &Flags, voice: &Voice) -> Result<Before, String> {
    let mut streams = background::predecessor().into_iter();
    if let Some(stream) = streams.next() {
        let handover = Handover::fetch(&stream).unwrap_or_else(|error| {
            let text = format!("the worker before does not hand over its sockets ({error}): addresses are bound beside it");
            voice.tell(Severity::Warning, &text);
            Handover::default()
        });
        return Ok((
            Some(handover),
            streams.next().map(StateFrom::control_socket),
        ));
    }
    let Some(path) = flags
        .old_socket
        .as_deref()
        .filter(|it| *it != Path::new("/dev/null"))
    else {
        return Ok((None, None));
    };
    let fetched = UnixStream::connect(path).and_then(|it| Handover::fetch(&it));
    let handover = fetched.map_err(|error| {
        format!(
            "Failed to get the sockets from the old process! ({}: {error}; is it `expose-fd listeners` with `level admin`?)",
            path.display()
        )
    })?;
    let state = UnixStream::connect(path)
        .ok()
        .map(StateFrom::control_socket);
    Ok((Some(handover), state))
}

/// What the process before leaves.
type Before = (Option<Handover>, Option<StateFrom>);
