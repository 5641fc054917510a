//! How much memory connections and exchanges may take where nobody has said it, and the log of when that is nearly reached.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use portway_dataplane::live::ProcessState;
use portway_dataplane::memory::Level;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::snapshot::Process;
use portway_model::span::Span;
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::MemoryFigures;
use rustix::process::{Resource, getrlimit};

use crate::install::worker_count;

/// Between two looks at how full the budget is.
const LOOK: Duration = Duration::from_millis(500);

/// The state that began is over once nobody had to wait for so long.
const QUIET: Duration = Duration::from_secs(5);

/// Bytes of addresses that a worker takes beside what it serves: its stack (2 MiB), and what the allocator of the system reserves for a thread.
const WORKER_ADDRESSES: u64 = 66 * 1024 * 1024;

/// Bytes that are too few to serve anybody in: what is allocated beside the budget may end the process.
const LITTLE: u64 = 32 * 1024 * 1024;

/// Bytes that there are at least where a limit is known: 0 would be none.
const LEAST: u64 = 1024 * 1024;

/// Address space that the program had taken when it was looked at first, before anybody was served.
static TAKEN: OnceLock<u64> = OnceLock::new();

/// What was found of the machine last: after a change of root it may not be seen any more.
static FOUND: AtomicU64 = AtomicU64::new(0);

/// Bytes that connections and exchanges may take: as configured, or half of what this process may have. The other half is for what is
/// not counted: the configuration, maps, stick tables, certificates, the kernel's buffers of sockets, and another process that takes over.
/// 0: no limit is known.
pub(crate) fn budget(process: &Process) -> u64 {
    match process.max_memory {
        0 => available(worker_count(process), process.chroot.is_some()) / 2,
        configured => configured,
    }
}

/// Bytes that this process may have: the least of the limits of its control groups, its own, and what the machine has; 0 where none is
/// known. `moved`: the process may have changed its root, and see less than it saw at first; that counts all the same.
pub(crate) fn available(workers: usize, moved: bool) -> u64 {
    let taken = *TAKEN.get_or_init(|| line(&read("/proc/self/status"), "VmSize:").unwrap_or(0));
    let taken = taken + WORKER_ADDRESSES * workers as u64;
    let addresses = getrlimit(Resource::As).current;
    let own = [
        addresses.map(|limit| left_of(limit, taken)),
        getrlimit(Resource::Data).current,
    ];
    let found = of_groups(Path::new("/"))
        .into_iter()
        .chain(own.into_iter().flatten())
        .chain(line(&read("/proc/meminfo"), "MemTotal:"))
        .min();
    let before = FOUND.load(Ordering::Relaxed);
    match found {
        Some(bytes) if moved && before > 0 => bytes.min(before),
        Some(bytes) => {
            FOUND.store(bytes, Ordering::Relaxed);
            bytes
        }
        None => before,
    }
}

/// What a limit of the address space leaves. That counts what is reserved and never used too, of which the program has several times
/// what it needs.
fn left_of(limit: u64, taken: u64) -> u64 {
    limit.saturating_sub(taken).max(LEAST)
}

/// What there is to say of the budget: more than the process may have is no limit, and the system would end it before.
pub(crate) fn check(process: &Process) -> Option<Diagnostic> {
    judge(
        process.max_memory,
        available(worker_count(process), process.chroot.is_some()),
    )
}

fn judge(configured: u64, available: u64) -> Option<Diagnostic> {
    if available > 0 && available < LITTLE && configured == 0 {
        let message = format!(
            "this process may have {available} bytes for what it serves: requests get 503 soon, and the system may end it"
        );
        let help = "raise the limit of its address space (`ulimit -v`) or of its control group, or take fewer `workers`";
        return Some(Diagnostic::warning(Code::Install, Span::NONE, message).help(help));
    }
    if available == 0 || configured <= available {
        return None;
    }
    let message = format!(
        "`max_memory` ({configured}) is more than the {available} bytes that this process may have: the system ends it before that"
    );
    let half = available / 2;
    let help = format!(
        "what is not counted needs room too: {half} is half of it, and what is taken where `max_memory` is not set"
    );
    Some(Diagnostic::warning(Code::Install, Span::NONE, message).help(help))
}

/// Bytes of this process that are in memory now; `None` where the system does not say it.
pub fn resident() -> Option<u64> {
    line(&read("/proc/self/status"), "VmRSS:")
}

/// What is known of it, for metrics.
pub(crate) fn figures(process: &ProcessState) -> MemoryFigures {
    let used = process.memory_used();
    MemoryFigures {
        budget: process.memory.budget(),
        used: [
            ("buffers", used.buffers),
            ("exchanges", used.exchanges),
            ("connections", used.connections),
            ("tls", used.tls),
        ],
        resident: resident(),
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The bytes that a line of /proc/meminfo or /proc/PID/status says.
fn line(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|it| it.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The least limit of the control groups that this process is in, and those above them. `root` is that of the file system.
fn of_groups(root: &Path) -> Option<u64> {
    let groups = read(root.join("proc/self/cgroup"));
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            it if it.split(',').any(|it| it == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        least(&root.join(mount), group, file)
    });
    limits.min()
}

/// The least limit in a folder and all above it up to the mount. In a container the group's own path may not be there: its limit
/// then lies at the mount.
fn least(mount: &Path, group: &str, file: &str) -> Option<u64> {
    let own = mount.join(group.trim_start_matches('/'));
    let folders = own.ancestors().take_while(|it| it.starts_with(mount));
    let limit = |folder: &Path| -> Option<u64> {
        let path: PathBuf = folder.join(file);
        // `max`, or a number that no machine reaches, is no limit.
        let bytes = read(path).trim().parse().ok()?;
        (bytes < 1 << 50).then_some(bytes)
    };
    folders.filter_map(limit).min()
}

/// Writes to the log when memory begins to be short, and when that is over.
pub(crate) async fn keep_looking(process: Arc<ProcessState>) {
    let mut watch = Watch::default();
    loop {
        tokio::time::sleep(LOOK).await;
        watch.look(&process, Instant::now());
    }
}

#[derive(Debug, Default)]
struct Watch {
    /// How often somebody had to wait.
    reached: u32,
    /// When it began, and when it was seen last.
    short: Option<(Instant, Instant)>,
}

impl Watch {
    fn look(&mut self, process: &ProcessState, now: Instant) {
        let (used, budget) = (process.memory_used().total(), process.memory.budget());
        let reached = process.memory.reached();
        let is_short = process.memory_level() > Level::Free || reached != self.reached;
        self.reached = reached;
        match &mut self.short {
            None if is_short => {
                self.short = Some((now, now));
                emit(&Event::MemoryShort { used, budget });
            }
            Some((_, last)) if is_short => *last = now,
            Some((since, last)) if now.duration_since(*last) >= QUIET => {
                let after = now.duration_since(*since);
                self.short = None;
                emit(&Event::MemoryEnough {
                    used,
                    budget,
                    after,
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_has() {
        let text = "MemTotal:       24688840 kB\nMemFree:         1000 kB\n";
        assert_eq!(line(text, "MemTotal:"), Some(24_688_840 * 1024));
        assert_eq!(line(text, "VmRSS:"), None);
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
        assert!(available(2, false) > 1 << 20);
        assert!(available(2, true) <= available(2, false));
    }

    #[test]
    fn of_addresses_counts_what_is_left() {
        for (limit, taken, expected) in [
            (400 << 20, 262 << 20, 138 << 20),
            (200 << 20, 262 << 20, LEAST),
            (262 << 20, 262 << 20, LEAST),
        ] {
            assert_eq!(left_of(limit, taken), expected, "{limit} {taken}");
        }
    }

    #[test]
    fn more_than_there_is_is_no_limit_and_little_is_told() {
        for (configured, available, is_told) in [
            (0, LITTLE, false),
            (0, LITTLE - 1, true),
            (0, 0, false),
            (100, 100, false),
            (101, 100, true),
            (101, 0, false),
        ] {
            let told = judge(configured, available);
            assert_eq!(told.is_some(), is_told, "{configured} of {available}");
        }
        let told = judge(4096, 1024).unwrap();
        assert!(told.message.contains("(4096) is more than the 1024 bytes"));
        assert!(told.help.unwrap().contains("512 is half of it"));
    }

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let check = |files: &[(&str, &str)], expected: Option<u64>| {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            assert_eq!(of_groups(root.path()), expected, "{files:?}");
        };
        check(&[], None);
        let own = ("proc/self/cgroup", "0::/a/b\n");
        check(&[own], None);
        check(
            &[
                own,
                ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                ("sys/fs/cgroup/a/memory.max", "1000\n"),
                ("sys/fs/cgroup/memory.max", "2000\n"),
            ],
            Some(1000),
        );
        // The path is that of the host, and only the mount is seen.
        check(
            &[own, ("sys/fs/cgroup/memory.max", "536870912\n")],
            Some(536_870_912),
        );
        let older = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n");
        check(
            &[
                older,
                (
                    "sys/fs/cgroup/memory/x/memory.limit_in_bytes",
                    "9223372036854771712\n",
                ),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n"),
            ],
            Some(4096),
        );
    }
}
