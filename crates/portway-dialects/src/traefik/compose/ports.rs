//! Ports of a service in a compose file: which it has, and where the host publishes them.

use std::net::IpAddr;

/// A port of a container, or a run of them, with where the host publishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) host: Option<HostPorts>,
}

/// Ports of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPorts {
    pub(super) ip: Option<IpAddr>,
    pub(super) first: u16,
    pub(super) last: u16,
}

impl Port {
    /// `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, each a number or a range. `None`: it is none; `Some(None)`: it is not TCP.
    pub(super) fn of_text(text: &str) -> Option<Option<Self>> {
        let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (host, container) = match text.rsplit_once(':') {
            Some((host, container)) => (Some(host), container),
            None => (None, text),
        };
        let (first, last) = range(container)?;
        let host = match host {
            None => None,
            Some(host) => {
                let (ip, ports) = match host.rsplit_once(':') {
                    Some((ip, ports)) => (Some(ip), ports),
                    None if host.parse::<IpAddr>().is_ok() => (Some(host), ""),
                    None => (None, host),
                };
                let ip = match ip.map(|ip| ip.trim_matches(['[', ']'])) {
                    None | Some("") => None,
                    Some(ip) => Some(ip.parse().ok()?),
                };
                match ports {
                    "" => None,
                    ports => {
                        let (first, last) = range(ports)?;
                        Some(HostPorts { ip, first, last })
                    }
                }
            }
        };
        Some((protocol == "tcp").then_some(Self { first, last, host }))
    }

    /// The port of the host that leads to `port` of the container with this number, counted from 0.
    pub(super) fn published(&self, port: u16, replica: u16) -> Option<(Option<IpAddr>, u16)> {
        let host = self.host.as_ref()?;
        let within = port.checked_sub(self.first)?;
        if port > self.last {
            return None;
        }
        // As many ports of the host as of the container belong to each other; else each replica has one of them.
        let offset = if self.first == self.last {
            replica
        } else {
            within
        };
        let published = host.first.checked_add(offset)?;
        (published <= host.last).then_some((host.ip, published))
    }
}

/// A port, or a range of them.
pub(super) fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first > 0 && first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let check = |text: &str, port: u16, replica: u16, expected: Option<&str>| {
            let published = Port::of_text(text)
                .flatten()
                .and_then(|it| it.published(port, replica));
            let shown = published.map(|(ip, port)| match ip {
                Some(ip) => format!("{ip} {port}"),
                None => port.to_string(),
            });
            assert_eq!(shown.as_deref(), expected, "{text} {port} {replica}");
        };
        check("8080:80", 80, 0, Some("8080"));
        check("8080:80/tcp", 80, 0, Some("8080"));
        check("8080:80/udp", 80, 0, None);
        check("80", 80, 0, None);
        check("127.0.0.1:8080:80", 80, 0, Some("127.0.0.1 8080"));
        check("[::1]:8080:80", 80, 0, Some("::1 8080"));
        check("127.0.0.1::80", 80, 0, None);
        check("9021-9023:9021", 9021, 2, Some("9023"));
        check("9021-9023:9021", 9021, 3, None);
        check("8000-8002:80-82", 81, 0, Some("8001"));
        check("8080:80", 81, 0, None);
        assert_eq!(Port::of_text("x"), None);
        assert_eq!(Port::of_text("x:80"), None);
    }
}
