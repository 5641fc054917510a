//! HAProxy's command line (its management guide, chapter 3), and what is said about a wrong one.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::process::Pid;

/// What the command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// `-f` and what follows `--`: files and folders, in order.
    pub(super) files: Vec<PathBuf>,
    /// `-c`: check only.
    pub(super) check: bool,
    /// `-cc`: the condition to evaluate.
    pub(super) condition: Option<String>,
    /// `-v` and `-vv`.
    pub(super) version: Option<Version>,
    /// `-D`.
    pub(super) daemon: bool,
    /// `-d` or `-db`: stay in the foreground, whatever else says otherwise.
    pub(super) foreground: bool,
    /// `-d`: tell more.
    pub(super) debug: bool,
    /// `-W` or `-Ws`.
    pub(super) master: bool,
    /// `-Ws`: systemd is told.
    pub(super) systemd: bool,
    /// `-S`: where the master understands commands, with its options behind commas.
    pub(super) master_sockets: Vec<String>,
    /// `-q`.
    pub(super) quiet: bool,
    /// `-V`.
    pub(super) verbose: bool,
    /// `-C`.
    pub(super) folder: Option<PathBuf>,
    /// `-p`.
    pub(super) pid_file: Option<PathBuf>,
    /// `-n`.
    pub(super) max_connections: Option<u32>,
    /// `-N`.
    pub(super) proxy_connections: Option<u32>,
    /// `-m`, MiB.
    pub(super) memory: Option<u64>,
    /// `-dS`: nothing is spliced.
    pub(super) no_splice: bool,
    /// `-L`.
    pub(super) local_peer: Option<String>,
    /// `-sf`: processes that are asked to finish.
    pub(super) finish: Vec<Pid>,
    /// `-st`: processes that are ended.
    pub(super) terminate: Vec<Pid>,
    /// `-x`: the stats socket of the old process.
    pub(super) old_socket: Option<PathBuf>,
    /// `-dD`: tell what is suspicious, too.
    pub(super) diagnose: bool,
    /// `-dW`: warnings are fatal.
    pub(super) zero_warnings: bool,
    /// `-dr`: names of servers need not resolve.
    pub(super) unresolved: bool,
    /// `-dV`: certificates of servers are not verified.
    pub(super) no_verify: bool,
    /// Flags that tune what is HAProxy's own, as written.
    pub(super) without_effect: Vec<String>,
}

/// How much `-v` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// `-v`: version alone.
    Short,
    /// `-vv`: everything it was built with.
    Long,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// What is wrong with them, in words; empty where nothing was asked for.
pub(super) fn read(arguments: &[OsString]) -> Result<Flags, String> {
    let mut flags = Flags::default();
    let mut rest = arguments
        .iter()
        .map(|it| it.to_string_lossy().into_owned())
        .peekable();
    while let Some(word) = rest.next() {
        let mut value = |flag: &str| {
            rest.next()
                .ok_or_else(|| format!("the option `{flag}` needs a value"))
        };
        match word.as_str() {
            "--" => flags.files.extend(rest.by_ref().map(PathBuf::from)),
            "-f" => flags.files.push(value("-f")?.into()),
            "-c" => flags.check = true,
            "-cc" => flags.condition = Some(value("-cc")?),
            "-v" => flags.version = Some(Version::Short),
            "-vv" => flags.version = Some(Version::Long),
            "-D" => flags.daemon = true,
            "-d" => (flags.foreground, flags.debug) = (true, true),
            "-db" => flags.foreground = true,
            "-W" => flags.master = true,
            "-Ws" => (flags.master, flags.systemd) = (true, true),
            "-q" => flags.quiet = true,
            "-V" => flags.verbose = true,
            "-C" => flags.folder = Some(value("-C")?.into()),
            "-p" => flags.pid_file = Some(value("-p")?.into()),
            "-n" => flags.max_connections = Some(number("-n", &value("-n")?)?),
            "-N" => flags.proxy_connections = Some(number("-N", &value("-N")?)?),
            "-m" => flags.memory = Some(number("-m", &value("-m")?)?),
            "-L" => flags.local_peer = Some(value("-L")?),
            "-x" => flags.old_socket = Some(value("-x")?.into()),
            "-S" => flags.master_sockets.push(value("-S")?),
            "-sf" | "-st" => {
                let mut pids = Vec::new();
                while let Some(pid) = rest.next_if(|it| !it.starts_with('-')) {
                    pids.push(process(&word, &pid)?);
                }
                let list = if word == "-sf" {
                    &mut flags.finish
                } else {
                    &mut flags.terminate
                };
                list.extend(pids);
            }
            "-dW" => flags.zero_warnings = true,
            "-dD" => flags.diagnose = true,
            "-dr" => flags.unresolved = true,
            "-dV" => flags.no_verify = true,
            "-dS" => flags.no_splice = true,
            "-de" | "-dp" | "-dG" | "-dR" | "-dL" | "-dk" => flags.without_effect.push(word),
            _ if word.starts_with("-dM") || word.starts_with("-dK") => {
                flags.without_effect.push(word)
            }
            _ => return Err(format!("unknown option `{word}`")),
        }
    }
    // Of the two the later counts in HAProxy; both at once make no sense, and telling is the safer one.
    flags.quiet &= !flags.verbose;
    flags.daemon &= !flags.foreground;
    Ok(flags)
}

fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("`{flag} {text}`: expected a number"))
}

fn process(flag: &str, text: &str) -> Result<Pid, String> {
    let number: i32 = number(flag, text)?;
    let pid = (number > 0).then(|| Pid::from_raw(number)).flatten();
    pid.ok_or_else(|| format!("`{flag} {text}`: no process has this number"))
}

/// The help, as HAProxy's scripts expect it on standard output.
pub(super) const USAGE: &str = "\
Usage : haproxy [-f <cfgfile|cfgdir>]* [ -vdVD ] [ -n <maxconn> ] [ -N <maxpconn> ]
        [ -p <pidfile> ] [ -m <max megs> ] [ -C <dir> ] [-- <cfgfile>*]
        -v   shows the version; -vv what it was built with
        -c   checks the configuration files and exits
        -cc  evaluates a condition as in `.if` and exits: 0 true, 1 false, 2 error
        -D   goes into the background; -d and -db stay in the foreground
        -W   has a master that starts workers, SIGUSR2 reloads; -Ws tells systemd too
        -q   says nothing; -V says more
        -C   changes to this folder first
        -p   writes the number of the process to this file
        -n   connections of the process at most; -N those of each frontend that says none
        -m   memory at most, MiB
        -L   name of this machine among peers ($HAPROXY_LOCALPEER)
        -sf  asks these processes to finish once this one serves; -st ends them
        -x   takes the listening sockets of the process that answers on this socket
        -S   with -W: commands for the master and its workers on this address, options behind commas
        -dD  says what is suspicious, too
        -dW  warnings are errors
        -dr  names of servers need not resolve
        -dV  certificates of servers are not verified
        -dS  nothing is spliced: all bytes are copied
        -de -dp -dG -dR -dL -dM -dK   accepted, without effect
";

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Result<Flags, String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        read(&words)
    }

    #[test]
    fn what_service_scripts_write() {
        let check = |line: &str, expected: Flags| assert_eq!(flags(line), Ok(expected), "{line}");
        let pid = |number| Pid::from_raw(number).unwrap();
        check("", Flags::default());
        check(
            "-f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid -D -sf 12 13",
            Flags {
                files: vec!["/etc/haproxy/haproxy.cfg".into()],
                pid_file: Some("/run/haproxy.pid".into()),
                daemon: true,
                finish: vec![pid(12), pid(13)],
                ..Flags::default()
            },
        );
        check(
            "-Ws -f a.cfg -q -sf -c -- b.cfg -c",
            Flags {
                files: vec!["a.cfg".into(), "b.cfg".into(), "-c".into()],
                master: true,
                systemd: true,
                quiet: true,
                check: true,
                ..Flags::default()
            },
        );
        check(
            "-D -d -dS -st 7 -n 100 -L a -dMno-merge,tag",
            Flags {
                foreground: true,
                debug: true,
                no_splice: true,
                terminate: vec![pid(7)],
                max_connections: Some(100),
                local_peer: Some("a".into()),
                without_effect: vec!["-dMno-merge,tag".into()],
                ..Flags::default()
            },
        );
        check(
            "-cc version_atleast(2.4)",
            Flags {
                condition: Some("version_atleast(2.4)".into()),
                ..Flags::default()
            },
        );
    }

    #[test]
    fn mistakes() {
        for (line, expected) in [
            ("-f", "the option `-f` needs a value"),
            ("-Z", "unknown option `-Z`"),
            ("a.cfg", "unknown option `a.cfg`"),
            ("-n x", "`-n x`: expected a number"),
            ("-sf 0", "`-sf 0`: no process has this number"),
        ] {
            assert_eq!(flags(line), Err(expected.to_owned()), "{line}");
        }
    }
}
