//! Which program listens on a port, as far as /proc tells us.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Processes that are looked at. A machine with more keeps its secret.
const MAX_PROCESSES: usize = 4096;
/// Descriptors of one process that are looked at.
const MAX_DESCRIPTORS: usize = 4096;

/// A program that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its name.
    pub(super) name: String,
    /// Its process id.
    pub(super) pid: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// Who listens, looked up once for as many addresses as are taken: /proc is long.
#[derive(Debug, Default)]
pub(super) struct Owners(OnceCell<Known>);

#[derive(Debug, Default)]
struct Known {
    listening: Vec<Listening>,
    /// Who has the socket of an inode.
    holders: HashMap<u64, Owner>,
}

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listening {
    ip: IpAddr,
    port: u16,
    inode: u64,
}

impl Owners {
    /// Who listens on `port` of an address that overlaps `ip` (`None`: any). Needs the right to look at that process.
    pub(super) fn of_port(&self, ip: Option<IpAddr>, port: u16) -> Option<&Owner> {
        let known = self.0.get_or_init(Known::look);
        let is_it = |it: &&Listening| it.port == port && overlaps(ip, it.ip);
        let found = known.listening.iter().find(is_it)?;
        known.holders.get(&found.inode)
    }
}

impl Known {
    fn look() -> Self {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        let tables = tables
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok());
        let listening: Vec<Listening> = tables.flat_map(|table| listening(&table)).collect();
        let holders = holders(&listening.iter().map(|it| it.inode).collect());
        Self { listening, holders }
    }
}

/// The sockets that listen, out of a table in the form of /proc/net/tcp.
fn listening(table: &str) -> Vec<Listening> {
    const LISTEN: &str = "0A";
    let lines = table.lines().skip(1);
    let sockets = lines.filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let local = words.next()?;
        let state = words.nth(1)?;
        let inode = words.nth(5)?.parse().ok()?;
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let ip = hex_address(address).filter(|_| state == LISTEN)?;
        Some(Listening { ip, port, inode })
    });
    sockets.collect()
}

fn overlaps(wanted: Option<IpAddr>, used: IpAddr) -> bool {
    match wanted {
        Some(wanted) => wanted.is_unspecified() || used.is_unspecified() || wanted == used,
        None => true,
    }
}

/// The kernel prints words of 32 bits in the order of the machine.
fn hex_address(text: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..text.len() / 8)
        .map(|i| text.get(i * 8..i * 8 + 8))
        .map(|word| Some(u32::from_str_radix(word?, 16).ok()?.to_ne_bytes()))
        .collect::<Option<_>>()?;
    match words.as_slice() {
        [v4] => Some(IpAddr::V4(Ipv4Addr::from(*v4))),
        [_, _, _, _] => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// Who has a descriptor of each of these sockets.
fn holders(inodes: &HashSet<u64>) -> HashMap<u64, Owner> {
    let mut holders = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids.take(MAX_PROCESSES) {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        let descriptors = descriptors.into_iter().flatten().flatten();
        let links = descriptors
            .take(MAX_DESCRIPTORS)
            .filter_map(|it| fs::read_link(it.path()).ok());
        let held = links.filter_map(|it| {
            let inode = it.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse::<u64>().ok().filter(|it| inodes.contains(it))
        });
        let held: Vec<u64> = held.collect();
        if held.is_empty() {
            continue;
        }
        let Ok(name) = fs::read_to_string(format!("/proc/{pid}/comm")) else {
            continue;
        };
        for inode in held {
            // The first that is found.
            holders.entry(inode).or_insert_with(|| Owner {
                name: name.trim().to_owned(),
                pid,
            });
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
   x: nonsense
";

    #[test]
    fn finds_the_inode() {
        let check = |ip: Option<&str>, port, expected: Option<u64>| {
            let ip: Option<IpAddr> = ip.map(|ip| ip.parse().unwrap());
            let owner = |it: &Listening| Owner {
                name: it.inode.to_string(),
                pid: 1,
            };
            let listening = listening(TABLE);
            let holders = listening.iter().map(|it| (it.inode, owner(it))).collect();
            let owners = Owners(Known { listening, holders }.into());
            let found = owners.of_port(ip, port).map(|it| it.name.parse().unwrap());
            assert_eq!(found, expected, "{ip:?} {port}");
        };
        if cfg!(target_endian = "big") {
            return;
        }
        check(Some("127.0.0.1"), 8080, Some(4711));
        check(Some("127.0.0.2"), 8080, None);
        check(Some("0.0.0.0"), 8080, Some(4711));
        check(None, 8080, Some(4711));
        check(Some("127.0.0.1"), 8081, None); // established, not listening
        check(Some("127.0.0.1"), 80, Some(4713));
        check(None, 9999, None);
    }

    #[test]
    fn finds_ourselves() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let owners = Owners::default();
        let owner = owners.of_port(Some(address.ip()), address.port()).unwrap();
        assert_eq!(owner.pid, std::process::id());
        // What comes later is not looked for: it was looked once.
        let later = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = later.local_addr().unwrap();
        assert_eq!(owners.of_port(Some(address.ip()), address.port()), None);
    }
}
