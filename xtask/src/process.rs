//! Starting other programs: which cargo, with which environment, and what to show of their output.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Folders of system programs (nginx, haproxy, ip) that Debian leaves out of an ordinary user's `PATH`.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The cargo that started us, in `folder`, without the variables it set for our own build: build scripts that watch
/// them would run again in every round.
pub(crate) fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("PATH", path_variable());
    for (name, _) in std::env::vars_os() {
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
            .iter()
            .any(|p| name.to_string_lossy().starts_with(p));
        if ours {
            command.env_remove(name);
        }
    }
    command
}

/// A program other than cargo, found in our longer `PATH`.
pub(crate) fn program(name: impl AsRef<Path>) -> Command {
    let mut command = Command::new(name.as_ref());
    command.stdin(Stdio::null()).env("PATH", path_variable());
    command
}

/// Runs to the end and answers with its standard output. `Err` holds all that was printed.
pub(crate) fn quiet(command: &mut Command) -> Result<String, String> {
    let (output, _) = streams(command)?;
    Ok(output)
}

/// As [`quiet`], with the error stream behind the standard output.
pub(crate) fn both(command: &mut Command) -> Result<String, String> {
    let (output, errors) = streams(command)?;
    Ok(output + &errors)
}

fn streams(command: &mut Command) -> Result<(String, String), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|e| format!("cannot start {name}: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() {
        Ok((out, errors))
    } else {
        Err(format!("{out}{errors}({name}: {})", output.status))
    }
}

/// Runs to the end with our own output and error stream.
pub(crate) fn loud(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .map_err(|e| format!("cannot start {name}: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name}: {status}"))
    }
}

/// Where `name` is, by our longer `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&path_variable())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// `12.3 s`, right-aligned to stand in a column.
pub(crate) fn seconds(elapsed: Duration) -> String {
    format!("{:>7.1} s", elapsed.as_secs_f64())
}

fn path_variable() -> OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&own).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    std::env::join_paths(folders).unwrap_or(own)
}
