//! Forms of single values: numbers, durations, addresses, names, and what stands as text within a text.

use super::form::{Form, Out, Reader};
use super::{pairs, size};
use crate::expression::{self, template};
use crate::tree::{Content, Item};
use ipnet::IpNet;
use portway_model::address::{BindAddress, Host, TargetAddress, UnixSocket, domain_of_service};
use portway_model::compile::limits;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Expression, NumberRange, Template};
use portway_model::name::Name;
use portway_model::settings::Tags;
use portway_model::span::Span;
use portway_model::stage::Named;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

impl Form for bool {
    const WHAT: &'static str = "true or false";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        match item.content {
            Content::Boolean(value) => Some(value),
            _ => reader.wrong_type(item, Self::WHAT),
        }
    }

    fn write(&self) -> Out {
        Out::Boolean(*self)
    }
}

/// A number, or a size with its unit where one is read.
fn whole(item: &Item, reader: &mut Reader<'_>) -> Option<i64> {
    match (&item.content, reader.is_size) {
        (Content::Integer(number), _) => Some(*number),
        (Content::Text { .. }, true) => {
            let written = reader.text(item, u64::WHAT)?;
            size::read(written, reader)
        }
        (_, true) => reader.wrong_type(item, "a number of bytes, or a size such as \"4MiB\""),
        (_, false) => reader.wrong_type(item, u64::WHAT),
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Form for $number {
            const WHAT: &'static str = "a number";
            const ALONE: bool = true;

            fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
                let number = whole(item, reader)?;
                match Self::try_from(number) {
                    Ok(number) => Some(number),
                    Err(_) => {
                        let type_range = (u32::from(Self::MIN), u32::from(Self::MAX));
                        let (min, max) = reader.range.unwrap_or(type_range);
                        let message = format!("{number} is out of range: {min}–{max}");
                        reader.refuse(item.span, message, "")
                    }
                }
            }

            fn write(&self) -> Out {
                Out::Integer(i64::from(*self))
            }
        }
    )*};
}

numbers!(u8, u16, u32);

impl Form for i16 {
    const WHAT: &'static str = "a number";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let Content::Integer(number) = item.content else {
            return reader.wrong_type(item, Self::WHAT);
        };
        let read = Self::try_from(number).ok();
        if read.is_none() {
            let (min, max) = (Self::MIN, Self::MAX);
            let message = format!("{number} is out of range: {min}–{max}");
            return reader.refuse(item.span, message, "");
        }
        read
    }

    fn write(&self) -> Out {
        Out::Integer(i64::from(*self))
    }
}

impl Form for u64 {
    const WHAT: &'static str = "a number";
    const ALONE: bool = true;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let number = whole(item, reader)?;
        match Self::try_from(number) {
            Ok(number) => Some(number),
            Err(_) => reader.refuse(item.span, format!("{number} is below 0"), ""),
        }
    }

    fn write(&self) -> Out {
        Out::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

/// What compile allows of the number under this key, where that is less than its type holds.
pub(crate) fn range_of_key(key: &str) -> Option<(u32, u32)> {
    Some(match key {
        "retries" => (0, limits::MAX_RETRIES),
        "pool_size" => (0, limits::MAX_POOL_SIZE),
        "workers" => (0, u32::from(limits::MAX_WORKERS)),
        "head_bytes" => (limits::MIN_HEAD_BYTES, limits::MAX_HEAD_BYTES),
        "max_head_fields" => (
            u32::from(limits::MIN_HEAD_FIELDS),
            u32::from(limits::MAX_HEAD_FIELDS),
        ),
        "max_target_bytes" => (limits::MIN_TARGET_BYTES, limits::MAX_HEAD_BYTES),
        "healthy_threshold" | "unhealthy_threshold" => (1, u32::from(limits::MAX_THRESHOLD)),
        "max_concurrent_streams" => (1, limits::MAX_HTTP2_STREAMS),
        "initial_window" | "max_window" => (limits::MIN_HTTP2_WINDOW, limits::MAX_HTTP2_WINDOW),
        "connection_window" => (
            limits::MIN_HTTP2_CONNECTION_WINDOW,
            limits::MAX_HTTP2_WINDOW,
        ),
        "max_reset_rate" | "max_idle_frame_rate" => (1, limits::MAX_HTTP2_RATE),
        "size" => (1, limits::MAX_TABLE_SIZE),
        "port" => (1, u32::from(u16::MAX)),
        "percent" | "sampled" | "failure_percent" | "max_ejected_percent" | "min_zone_healthy" => {
            (0, 100)
        }
        "jitter_percent" => (0, u32::from(limits::MAX_JITTER)),
        "retry_budget" => (0, limits::MAX_RETRY_BUDGET),
        "average" | "burst" | "amount" | "min_requests" => (1, limits::MAX_REQUESTS),
        "status" => (100, 599),
        "slot" => (0, u32::from(limits::TRACK_SLOTS) - 1),
        _ => return None,
    })
}

impl Form for String {
    const WHAT: &'static str = "a text";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        reader.text(item, Self::WHAT).map(|w| w.text.to_owned())
    }

    fn write(&self) -> Out {
        Out::text(self)
    }
}

impl Form for Name {
    const WHAT: &'static str = "a name";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        reader.text(item, Self::WHAT).map(|w| Name::new(w.text))
    }

    fn write(&self) -> Out {
        Out::text(self.as_str())
    }
}

impl Form for Template<Named> {
    const WHAT: &'static str = "a text, perhaps with `${value}` in it";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let written = reader.text(item, Self::WHAT)?;
        template::parse(written, reader.found)
    }

    fn write(&self) -> Out {
        Out::text(template::print(self))
    }
}

impl Form for Expression<Named> {
    const WHAT: &'static str = "a value in a text, such as \"source\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let written = reader.text(item, Self::WHAT)?;
        expression::parse(written, reader.found)
    }

    fn write(&self) -> Out {
        Out::text(expression::print(self))
    }
}

/// Units of durations with their nanoseconds, largest first.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Form for Duration {
    const WHAT: &'static str = "a duration such as \"10s\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Integer(number) = item.content {
            let message = format!("expected {}, found a number without unit", Self::WHAT);
            let diagnostic = Diagnostic::error(Code::WrongType, item.span, message);
            reader.push(diagnostic.help(format!("write \"{number}s\" or \"{number}ms\"")));
            return None;
        }
        let written = reader.text(item, Self::WHAT)?;
        match read_duration(written.text) {
            Some(duration) => Some(duration),
            None => {
                let message = format!("`{}` is not a duration", written.text);
                let help = "numbers with units d, h, m, s, ms, us, ns: \"500ms\", \"1m30s\"";
                reader.refuse(item.span, message, help)
            }
        }
    }

    fn write(&self) -> Out {
        Out::text(print_duration(*self))
    }
}

/// Reads `1m30s`. `None` where it is no duration or over 580 years.
pub(crate) fn read_duration(text: &str) -> Option<Duration> {
    let mut total: u64 = 0;
    let mut rest = text;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = rest.get(..letters)?;
        let (_, nanos) = UNITS.iter().find(|(known, _)| *known == unit)?;
        total = total.checked_add(number.checked_mul(*nanos)?)?;
        rest = rest.get(letters..)?;
        if rest.is_empty() {
            return Some(Duration::from_nanos(total));
        }
    }
}

/// The shortest text in one unit.
pub(crate) fn print_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    UNITS
        .iter()
        .find(|(_, unit)| nanos.is_multiple_of(u128::from(*unit)))
        .map_or_else(String::new, |(name, unit)| {
            format!("{}{name}", nanos / u128::from(*unit))
        })
}

impl Form for SocketAddr {
    const WHAT: &'static str = "an address such as \"127.0.0.1:9900\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let written = reader.text(item, Self::WHAT)?;
        match written.text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let message = format!("`{}` is not an address with a port", written.text);
                reader.refuse(item.span, message, "write for example \"127.0.0.1:9900\"")
            }
        }
    }

    fn write(&self) -> Out {
        Out::text(self.to_string())
    }
}

impl Form for Tags {
    const WHAT: &'static str = "a table of texts";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let tags = pairs::read::<String>(item, reader).into_iter();
        Some(Tags(
            tags.map(|(name, value)| (name.value, value)).collect(),
        ))
    }

    fn write(&self) -> Out {
        let tags = self.0.iter();
        pairs::write(
            tags.map(|(name, value)| (name.clone(), value.write()))
                .collect(),
        )
    }
}

impl Form for IpNet {
    const WHAT: &'static str = "a network such as \"10.0.0.0/8\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let written = reader.text(item, Self::WHAT)?;
        match expression::read_network(written.text) {
            Some(network) => Some(network),
            None => {
                let message = format!("`{}` is not an address or a network", written.text);
                reader.refuse(item.span, message, "write for example \"10.0.0.0/8\"")
            }
        }
    }

    fn write(&self) -> Out {
        Out::text(expression::print_network(self))
    }
}

impl Form for BindAddress {
    const WHAT: &'static str = "an address such as \":80\"";
    const ALONE: bool = true;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Integer(port) = item.content {
            let message = format!("expected {}, found a number", Self::WHAT);
            let diagnostic = Diagnostic::error(Code::WrongType, item.span, message);
            reader
                .push(diagnostic.help(format!("write \":{port}\" for every address of this host")));
            return None;
        }
        if matches!(item.content, Content::Table(_)) {
            return read_unix(item, reader).map(BindAddress::Unix);
        }
        let text = reader.text(item, Self::WHAT)?.text;
        if let Some(path) = text.strip_prefix("unix:") {
            return Some(BindAddress::unix(non_empty(path, item.span, reader)?));
        }
        if let Some(number) = text.strip_prefix("fd:") {
            return match number.parse() {
                Ok(number) => Some(BindAddress::Inherited(number)),
                Err(_) => reader.refuse(
                    item.span,
                    format!("`{number}` is not a descriptor's number"),
                    "write for example \"fd:3\"",
                ),
            };
        }
        let port_alone = |c: char| c.is_ascii_digit() || c == '-';
        if !text.is_empty() && text.chars().all(port_alone) {
            let help = format!("write \":{text}\" for every address of this host");
            return reader.refuse(
                item.span,
                format!("`{text}` has no colon before the port"),
                &help,
            );
        }
        let (host, ports) = host_and_port(text, item.span, reader)?;
        let ip = match host {
            "" | "*" => None,
            "[::]" => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            host => Some(read_ip(host, item.span, reader)?),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let first_port = read_port(first, item.span, reader)?;
        let last_port = read_port(last, item.span, reader)?;
        if last_port < first_port {
            let message = format!("the range of ports {ports} is empty");
            return reader.refuse(item.span, message, "the smaller port stands first");
        }
        Some(BindAddress::Tcp {
            ip,
            first_port,
            last_port,
        })
    }

    fn write(&self) -> Out {
        match self {
            BindAddress::Unix(socket) => write_unix(socket),
            plain => Out::text(plain.to_string()),
        }
    }
}

/// The keys of a UNIX socket with mode or owner.
pub(crate) const UNIX_SOCKET_KEYS: &[&str] = &["unix", "mode", "user", "group"];

fn read_unix(item: &Item, reader: &mut Reader<'_>) -> Option<UnixSocket> {
    let table = reader.keyed(item, BindAddress::WHAT, UNIX_SOCKET_KEYS)?;
    Some(UnixSocket {
        path: table.required("unix", reader)?,
        mode: table.optional("mode", reader),
        user: table.optional("user", reader),
        group: table.optional("group", reader),
    })
}

fn write_unix(socket: &UnixSocket) -> Out {
    if *socket == UnixSocket::at(socket.path.as_str()) {
        return Out::text(format!("unix:{}", socket.path));
    }
    let fields = [
        ("unix", Some(socket.path.write())),
        ("mode", socket.mode.as_ref().map(Form::write)),
        ("user", socket.user.as_ref().map(Form::write)),
        ("group", socket.group.as_ref().map(Form::write)),
    ];
    let said = fields.into_iter();
    Out::Table(
        said.filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect(),
    )
}

impl Form for TargetAddress {
    const WHAT: &'static str = "an address such as \"10.0.0.1:8080\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(item, Self::WHAT)?.text;
        if let Some(path) = text.strip_prefix("unix:") {
            return Some(TargetAddress::Unix(non_empty(path, item.span, reader)?));
        }
        if text == "client-destination" {
            return Some(TargetAddress::ClientDestination { port: None });
        }
        if let Some((scheme, _)) = text.split_once("://") {
            let help = format!(
                "leave out `{scheme}://`: a target is host:port; the group's `protocol` says what is spoken"
            );
            return reader.refuse(item.span, format!("`{text}` is a URL"), &help);
        }
        if text.starts_with('_') && !text.contains(':') {
            let Some(_) = domain_of_service(text).filter(|_| is_host_name(text)) else {
                let help = "write for example \"_http._tcp.app.example\", or a name with a port";
                let message = format!("`{text}` is no name of a service over TCP");
                return reader.refuse(item.span, message, help);
            };
            return Some(TargetAddress::Service(text.to_owned()));
        }
        let (host, port) = host_and_port(text, item.span, reader)?;
        let port = read_port(port, item.span, reader)?;
        if host == "client-destination" {
            return Some(TargetAddress::ClientDestination { port: Some(port) });
        }
        let host = match host.parse::<IpAddr>() {
            Ok(ip @ IpAddr::V4(_)) => Host::Ip(ip),
            _ if host.starts_with('[') => Host::Ip(read_ip(host, item.span, reader)?),
            _ if is_host_name(host) => Host::Name(host.to_owned()),
            _ => {
                let message = format!("`{host}` is neither an address nor a host name");
                return reader.refuse(item.span, message, "IPv6 addresses stand in brackets");
            }
        };
        Some(TargetAddress::Tcp { host, port })
    }

    fn write(&self) -> Out {
        Out::text(self.to_string())
    }
}

fn non_empty(path: &str, span: Span, reader: &mut Reader<'_>) -> Option<String> {
    if path.is_empty() {
        return reader.refuse(span, "a path is missing after `unix:`", "");
    }
    Some(path.to_owned())
}

fn host_and_port<'t>(
    text: &'t str,
    span: Span,
    reader: &mut Reader<'_>,
) -> Option<(&'t str, &'t str)> {
    match text.rsplit_once(':') {
        Some(parts) if !text.ends_with(']') => Some(parts),
        _ => reader.refuse(
            span,
            format!("`{text}` has no port"),
            "write the port after a colon",
        ),
    }
}

fn read_ip(host: &str, span: Span, reader: &mut Reader<'_>) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let parsed = match bare {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok().filter(IpAddr::is_ipv4),
    };
    match parsed {
        Some(ip) => Some(ip),
        None => {
            let message = format!("`{host}` is not an IP address");
            reader.refuse(
                span,
                message,
                "IPv6 addresses stand in brackets: \"[::1]:80\"",
            )
        }
    }
}

fn read_port(text: &str, span: Span, reader: &mut Reader<'_>) -> Option<u16> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Some(port),
        _ => reader.refuse(span, format!("`{text}` is not a port"), "ports are 1–65535"),
    }
}

/// Letters, digits, `-`, `_` and dots, at most 253; underscores are in use within containers.
fn is_host_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

impl Form for NumberRange {
    const WHAT: &'static str = "a status or a range such as \"200-299\"";
    const ALONE: bool = true;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Integer(number) = item.content {
            return Some(NumberRange {
                min: number,
                max: number,
            });
        }
        let text = reader.text(item, Self::WHAT)?.text;
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        match (min.trim().parse(), max.trim().parse()) {
            (Ok(min), Ok(max)) if min <= max => Some(NumberRange { min, max }),
            _ => {
                let message = format!("`{text}` is not a range of numbers");
                reader.refuse(item.span, message, "write for example 200 or \"200-299\"")
            }
        }
    }

    fn write(&self) -> Out {
        if self.min == self.max {
            Out::Integer(self.min)
        } else {
            Out::text(format!("{}-{}", self.min, self.max))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("10s", Some(10_000_000_000)),
            ("500ms", Some(500_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("0s", Some(0)),
            ("1ns", Some(1)),
            ("10", None),
            ("s", None),
            ("", None),
            ("1x", None),
            ("-1s", None),
            ("1 s", None),
            ("99999999999999d", None),
        ] {
            let expected = nanos.map(Duration::from_nanos);
            assert_eq!(read_duration(text), expected, "{text}");
        }
        for (text, expected) in [("90s", "90s"), ("60s", "1m"), ("48h", "2d"), ("0ms", "0s")] {
            assert_eq!(print_duration(read_duration(text).unwrap()), expected);
        }
    }
}
