//! Which program listens on a port, as far as /proc tells us.

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

/// Who listens on `port` of an address that overlaps `ip` (`None`: any). Needs the right to look at that process.
pub(super) fn of_port(ip: Option<IpAddr>, port: u16) -> Option<Owner> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|table| listening_inode(&table, ip, port))?;
    holder(inode)
}

/// The inode of the socket that listens, out of a table in the form of /proc/net/tcp.
fn listening_inode(table: &str, ip: Option<IpAddr>, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let local = words.next()?;
        let state = words.nth(1)?;
        let inode = words.nth(5)?.parse().ok()?;
        let (address, local_port) = local.split_once(':')?;
        let same_port = u16::from_str_radix(local_port, 16).ok()? == port;
        let found = state == LISTEN && same_port && overlaps(ip, hex_address(address)?);
        found.then_some(inode)
    })
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

fn holder(inode: u64) -> Option<Owner> {
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.take(MAX_PROCESSES).find_map(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let mut descriptors = descriptors.take(MAX_DESCRIPTORS);
        let holds = descriptors.any(|entry| {
            fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == link.as_str())
        });
        let name = holds.then(|| fs::read_to_string(format!("/proc/{pid}/comm")).ok())??;
        Some(Owner {
            name: name.trim().to_owned(),
            pid,
        })
    })
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
        let check = |ip: Option<&str>, port, expected| {
            let ip = ip.map(|ip| ip.parse().unwrap());
            assert_eq!(listening_inode(TABLE, ip, port), expected, "{ip:?} {port}");
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
        let owner = of_port(Some(address.ip()), address.port()).unwrap();
        assert_eq!(owner.pid, std::process::id());
    }
}
