//! What a machine says of names in its files: `/etc/resolv.conf` (resolv.conf(5)), `/etc/hosts` (hosts(5)) and the line `hosts`
//! of `/etc/nsswitch.conf` (nsswitch.conf(5)). Lines that are not understood are passed over, as every resolver does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// The port of servers of names.
const PORT: u16 = 53;
/// Servers that are asked, as everywhere.
const MAX_SERVERS: usize = 3;
/// Domains that are tried behind a name.
const MAX_SEARCH: usize = 32;
/// The longest time for an answer that the file may ask for.
const MAX_TIMEOUT: u64 = 30;
/// Most attempts that it may ask for.
const MAX_ATTEMPTS: u16 = 5;
/// Most dots that it may ask for.
const MAX_DOTS: usize = 15;

/// Whom to ask, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    /// Servers, in their order.
    pub nameservers: Vec<SocketAddr>,
    /// Domains to try behind a name.
    pub search: Vec<String>,
    /// A name with so many dots is tried as it is first.
    pub ndots: usize,
    /// Time for one answer.
    pub timeout: Duration,
    /// How often each server is asked.
    pub attempts: u16,
}

impl ResolvConf {
    /// Reads the text of the file; an empty one asks this machine.
    pub fn read(text: &str) -> Self {
        let mut conf = Self {
            nameservers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let mut words = line.split([' ', '\t']).filter(|it| !it.is_empty());
            match words.next() {
                Some("nameserver") => conf.nameservers.extend(words.next().and_then(server)),
                Some("search" | "domain") => {
                    let domains = words.map(|it| it.trim_end_matches('.').to_owned());
                    conf.search = domains
                        .filter(|it| !it.is_empty())
                        .take(MAX_SEARCH)
                        .collect();
                }
                Some("options") => words.for_each(|it| conf.option(it)),
                _ => {}
            }
        }
        conf.nameservers.truncate(MAX_SERVERS);
        if conf.nameservers.is_empty() {
            conf.nameservers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        conf
    }

    fn option(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else {
            return;
        };
        let Ok(value) = value.parse::<u16>() else {
            return;
        };
        match name {
            "ndots" => self.ndots = usize::from(value).min(MAX_DOTS),
            "timeout" => self.timeout = Duration::from_secs(u64::from(value).clamp(1, MAX_TIMEOUT)),
            "attempts" => self.attempts = value.clamp(1, MAX_ATTEMPTS),
            _ => {}
        }
    }

    /// The names to ask for in place of `name`, one after the other until one is known.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut names: Vec<String> = self
            .search
            .iter()
            .map(|it| format!("{name}.{it}"))
            .collect();
        let dots = name.bytes().filter(|it| *it == b'.').count();
        let at = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(at, name.to_owned());
        names
    }
}

fn server(text: &str) -> Option<SocketAddr> {
    let (address, scope) = text.split_once('%').unwrap_or((text, "0"));
    match address.parse().ok()? {
        IpAddr::V4(ip) => Some((ip, PORT).into()),
        IpAddr::V6(ip) => Some(SocketAddrV6::new(ip, PORT, 0, scope.parse().ok()?).into()),
    }
}

/// Addresses by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Vec<(IpAddr, Vec<String>)>);

impl Hosts {
    /// Reads the text of the file.
    pub fn read(text: &str) -> Self {
        let line = |line: &str| {
            let line = line.split('#').next()?;
            let mut words = line.split_whitespace();
            let ip = words.next()?.parse().ok()?;
            let names: Vec<String> = words.map(str::to_ascii_lowercase).collect();
            (!names.is_empty()).then_some((ip, names))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The addresses of a name, in their order. `localhost` and what is below it is this machine, whatever is said of it (RFC 6761
    /// section 6.3).
    pub fn find(&self, name: &str) -> Vec<IpAddr> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let lines = self.0.iter().filter(|(_, names)| names.contains(&name));
        let mut found: Vec<IpAddr> = Vec::new();
        for (ip, _) in lines {
            if !found.contains(ip) {
                found.push(*ip);
            }
        }
        if found.is_empty() && (name == "localhost" || name.ends_with(".localhost")) {
            found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        found
    }
}

/// True where the text of `nsswitch.conf` names others than files and DNS who know hosts: machines of the network, containers.
pub fn asks_others(text: &str) -> bool {
    let line = text.lines().find_map(|it| it.trim().strip_prefix("hosts:"));
    let words = line
        .unwrap_or_default()
        .split('#')
        .next()
        .unwrap_or_default();
    let mut in_action = false;
    for word in words.split_whitespace() {
        let is_action = in_action || word.starts_with('[');
        in_action = is_action && !word.ends_with(']');
        if !is_action && !matches!(word, "files" | "dns") {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_ask() {
        let conf = ResolvConf::read(
            "# made by hand\nnameserver 10.0.0.53\nnameserver fe80::1%3\nnameserver nobody\n\
             nameserver 10.0.0.54\nnameserver 10.0.0.55\nsearch a.example b.example.\n\
             options ndots:5 timeout:0 attempts:99 rotate edns0\n",
        );
        let servers: Vec<String> = conf.nameservers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.53:53", "[fe80::1%3]:53", "10.0.0.54:53"]);
        assert_eq!(conf.search, ["a.example", "b.example"]);
        assert_eq!((conf.ndots, conf.attempts), (5, 5));
        assert_eq!(conf.timeout, Duration::from_secs(1));
        let empty = ResolvConf::read("");
        assert_eq!(empty.nameservers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!((empty.ndots, empty.attempts), (1, 2));
        assert_eq!(empty.timeout, Duration::from_secs(5));
    }

    #[test]
    fn which_names_are_tried() {
        let check = |options: &str, name: &str, expected: &[&str]| {
            let conf = ResolvConf::read(&format!("search a.example b.example\n{options}"));
            assert_eq!(conf.candidates(name), expected, "{name} {options}");
        };
        check("", "app", &["app.a.example", "app.b.example", "app"]);
        check(
            "",
            "app.x",
            &["app.x", "app.x.a.example", "app.x.b.example"],
        );
        check(
            "options ndots:2",
            "app.x",
            &["app.x.a.example", "app.x.b.example", "app.x"],
        );
        check("", "app.", &["app"]);
    }

    #[test]
    fn names_in_files() {
        let hosts = Hosts::read(
            "127.0.0.1 localhost\n10.0.0.1\tApp app.example # the first\n# 10.0.0.2 app\n\
             10.0.0.3 app\n10.0.0.1 app\nnothing here\nfd00::1 app\n",
        );
        let check = |name: &str, expected: &[&str]| {
            let found: Vec<String> = hosts.find(name).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{name}");
        };
        check("app", &["10.0.0.1", "10.0.0.3", "fd00::1"]);
        check("APP.example.", &["10.0.0.1"]);
        check("localhost", &["127.0.0.1"]);
        check("a.localhost", &["127.0.0.1", "::1"]);
        check("first", &[]);
        assert_eq!(Hosts::read("").find("LOCALHOST").len(), 2);
    }

    #[test]
    fn who_else_knows_hosts() {
        for (line, expected) in [
            ("hosts: files dns", false),
            ("hosts:      files dns # mdns4", false),
            ("hosts: files [NOTFOUND=return] dns", false),
            ("hosts: files [ NOTFOUND=return ] dns", false),
            ("hosts: files mdns4_minimal [NOTFOUND=return] dns", true),
            ("passwd: files systemd\nhosts: files resolve dns", true),
            ("passwd: files systemd", false),
            ("", false),
        ] {
            assert_eq!(asks_others(line), expected, "{line}");
        }
    }
}
