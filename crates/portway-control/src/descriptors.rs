//! How many connections the limit of open files leaves room for.
//!
//! Each exchange may need two descriptors, one towards the client and one towards the target. If clients could take
//! them all, connecting to targets would fail and established exchanges with it; so new connections are refused first.

use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::snapshot::{Process, Snapshot};
use portway_model::span::Span;
use rustix::process::{Resource, getrlimit};

use crate::own_descriptors::Ourselves;

/// Descriptors for everything but connections: logs, the runtimes, health checks, the admin address, sockets that
/// listen on a machine of many cores.
const RESERVED: u64 = 256;

/// Connections of clients at most: as configured, or half of what the limit of open files leaves; 0 is no limit.
pub(crate) fn max_connections(snapshot: &Snapshot) -> u32 {
    match snapshot.process.max_connections {
        0 => room(getrlimit(Resource::Nofile).current),
        configured => configured,
    }
}

/// Descriptors for as many connections of clients as are configured, each with one to a target; `None` where no number
/// is configured.
pub fn wanted(process: &Process) -> Option<u64> {
    let configured = Some(u64::from(process.max_connections)).filter(|most| *most > 0)?;
    Some(configured * 2 + RESERVED)
}

/// A program or library that stands in the memory of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Its first address.
    pub from: u64,
    /// The address behind its last.
    pub to: u64,
    /// Its file.
    pub path: String,
}

/// The programs and libraries in memory; none where the root does not show /proc.
pub fn mapped() -> Vec<Mapped> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    regions(&maps)
}

/// Files with code in the form of /proc/PID/maps, each from its first region to its last.
fn regions(maps: &str) -> Vec<Mapped> {
    let mut all: Vec<(Mapped, bool)> = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let range = words.next().and_then(|it| it.split_once('-'));
        let (Some((from, to)), Some(rights)) = (range, words.next()) else {
            continue;
        };
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let path = words.nth(3).filter(|it| it.starts_with('/'));
        let (Some(from), Some(to), Some(path)) = (number(from), number(to), path) else {
            continue;
        };
        let runs = rights.contains('x');
        match all.iter_mut().find(|(it, _)| it.path == path) {
            Some((it, code)) => (it.to, *code) = (to, *code || runs),
            None => {
                let path = path.to_owned();
                all.push((Mapped { from, to, path }, runs));
            }
        }
    }
    let with_code = all.into_iter().filter(|(_, code)| *code);
    with_code.map(|(it, _)| it).collect()
}

/// A descriptor of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// Its flags, as open(2) has them.
    pub flags: u32,
    /// A file's path, the two ends of a socket, or what else the system says of it.
    pub leads_to: String,
}

/// The descriptors of this process, by their numbers; none where its root does not show /proc.
pub fn open() -> Vec<Descriptor> {
    let Ok(folder) = std::fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let numbers = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut found: Vec<Descriptor> = numbers.filter_map(descriptor).collect();
    found.sort_by_key(|it| it.number);
    found
}

/// `None`: it was closed meanwhile.
fn descriptor(number: i32) -> Option<Descriptor> {
    let link = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let link = link.to_string_lossy().into_owned();
    Some(Descriptor {
        number,
        flags: u32::from_str_radix(flags.trim(), 8).unwrap_or(0),
        leads_to: match link.starts_with("socket:") {
            true => ends(number).unwrap_or(link),
            false => link,
        },
    })
}

/// What a socket is between.
fn ends(number: i32) -> Option<String> {
    let fd = Ourselves::new().duplicate(number).ok()?;
    let socket = socket2::Socket::from(fd);
    let listens = socket.is_listener().unwrap_or(false);
    let address = |it: socket2::SockAddr| match (it.as_socket(), it.as_pathname()) {
        (Some(address), _) => address.to_string(),
        (None, Some(path)) => path.display().to_string(),
        (None, None) => "unix".to_owned(),
    };
    let local = address(socket.local_addr().ok()?);
    Some(match (listens, socket.peer_addr()) {
        (true, _) => format!("socket listens on {local}"),
        (false, Ok(peer)) => format!("socket from {local} to {}", address(peer)),
        (false, Err(_)) => format!("socket on {local}"),
    })
}

/// What there is to say of the limit of open files: too few for the clients alone is an error where limits are strict,
/// too few for the targets too a warning, since not every client has an exchange at the same moment.
pub(crate) fn check(process: &Process) -> Option<Diagnostic> {
    judge(process, getrlimit(Resource::Nofile).current?)
}

fn judge(process: &Process, limit: u64) -> Option<Diagnostic> {
    let wanted = wanted(process).filter(|wanted| limit < *wanted)?;
    let clients = u64::from(process.max_connections);
    let help = format!(
        "raise it to {wanted} (`ulimit -n`, or `LimitNOFILE=` in a systemd unit), or allow {} connections at most \
         (`maxconn`, `max_connections`)",
        room(Some(limit))
    );
    if clients <= limit {
        let message = format!(
            "FD limit ({limit}) too low for {clients} clients with a connection to a server each, which need {wanted}"
        );
        return Some(Diagnostic::warning(Code::Install, Span::NONE, message).help(help));
    }
    let message = format!(
        "Cannot raise FD limit to {wanted}, limit is {limit}: {clients} clients alone need more"
    );
    Some(match process.strict_limits {
        true => Diagnostic::error(Code::Install, Span::NONE, message).help(
            help + ", or start all the same with `no strict-limits` (`strict_limits = false`)",
        ),
        false => Diagnostic::warning(Code::Install, Span::NONE, message).help(help),
    })
}

/// Descriptors that the process may have; 0 is no limit.
pub(crate) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(0)
}

/// Descriptors that connections may have; 0 is no limit.
pub(crate) fn for_connections() -> u32 {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(0, |limit| u32::try_from(free(limit)).unwrap_or(u32::MAX))
}

/// So many pipes may there be: as many as the configuration says, but no more than a sixteenth of the descriptors of connections
/// are enough for, and none that the configured connections may need.
pub(crate) fn for_pipes(process: &Process) -> u32 {
    match for_connections() {
        0 => process.max_pipes,
        descriptors => {
            let connections = process.max_connections.saturating_mul(2);
            let left = descriptors.saturating_sub(connections) / 2;
            process.max_pipes.min(descriptors / 32).min(left)
        }
    }
}

/// What is not reserved, but half of them all at least.
fn free(limit: u64) -> u64 {
    limit.saturating_sub(RESERVED).max(limit / 2).max(2)
}

/// Half of the descriptors that are not reserved, but a quarter of them all at least.
fn room(limit: Option<u64>) -> u32 {
    let Some(limit) = limit else { return 0 };
    let room = free(limit) / 2;
    u32::try_from(room).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{regions, room};

    #[test]
    fn files_with_code_are_what_is_mapped() {
        let maps = "\
55d0-55d8 r--p 00000000 fe:00 1 /usr/bin/a
55d8-55e0 r-xp 00008000 fe:00 1 /usr/bin/a
55e0-55f0 rw-p 00000000 00:00 0 [heap]
7f00-7f08 r--p 00000000 fe:00 2 /usr/share/data
7f10-7f18 r-xp 00000000 fe:00 3 /lib/b.so
7f18-7f20 rw-p 00000000 00:00 0
nonsense
";
        let found = regions(maps);
        let found = found.iter().map(|it| (it.from, it.to, it.path.as_str()));
        let expected = [
            (0x55d0, 0x55e0, "/usr/bin/a"),
            (0x7f10, 0x7f18, "/lib/b.so"),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn half_of_what_is_not_reserved() {
        for (limit, expected) in [
            (None, 0),
            (Some(0), 1),
            (Some(128), 32),
            (Some(1024), 384),
            (Some(20_000), 9_872),
            (Some(1 << 40), u32::MAX),
        ] {
            assert_eq!(room(limit), expected, "{limit:?}");
        }
    }
}
