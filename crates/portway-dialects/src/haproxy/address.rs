//! Addresses as HAProxy writes them: where a frontend accepts, where a server is.
//!
//! The port stands after the last colon, brackets or none. `*` and nothing are every IPv4 address. Unlike elsewhere,
//! `$NAME` and `${NAME}` are filled in here outside of quotes too.

use super::reader::Reader;
use super::word::Word;
use portway_model::address::{BindAddress, Host, TargetAddress, domain_of_service};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::Spanned;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of the path of a UNIX socket, as in HAProxy, which keeps ten of the system's 107 for a temporary name.
pub(crate) const MAX_SOCKET_PATH: usize = 97;

/// The kind of address that a prefix or the text itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// IPv4 or IPv6, as the address says.
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// A path.
    Unix,
    /// A name among the system's abstract sockets.
    Abstract,
    /// An inherited descriptor.
    Descriptor,
    /// What TCP and UNIX streams are not.
    Other(&'static str),
}

/// Every prefix that HAProxy knows.
const PREFIXES: [(&str, Family); 24] = [
    ("unix@", Family::Unix),
    ("stream+unix@", Family::Unix),
    ("uxst@", Family::Unix),
    ("abns@", Family::Abstract),
    ("stream+abns@", Family::Abstract),
    ("fd@", Family::Descriptor),
    ("ip@", Family::Any),
    ("tcp@", Family::Any),
    ("stream+ip@", Family::Any),
    ("ipv4@", Family::V4),
    ("tcp4@", Family::V4),
    ("stream+ipv4@", Family::V4),
    ("ipv6@", Family::V6),
    ("tcp6@", Family::V6),
    ("stream+ipv6@", Family::V6),
    ("quic4@", Family::Other("HTTP/3 (QUIC) is not spoken yet")),
    ("quic6@", Family::Other("HTTP/3 (QUIC) is not spoken yet")),
    (
        "sockpair@",
        Family::Other("it is for processes of one HAProxy"),
    ),
    ("udp@", Family::Other(NO_DATAGRAMS)),
    ("udp4@", Family::Other(NO_DATAGRAMS)),
    ("udp6@", Family::Other(NO_DATAGRAMS)),
    ("uxdg@", Family::Other(NO_DATAGRAMS)),
    ("dgram+ip@", Family::Other(NO_DATAGRAMS)),
    ("dgram+unix@", Family::Other(NO_DATAGRAMS)),
];

const NO_DATAGRAMS: &str = "datagrams cannot be used here";

fn family(text: &str) -> (Family, &str) {
    for (prefix, family) in PREFIXES {
        if let Some(rest) = text.strip_prefix(prefix) {
            return (family, rest);
        }
    }
    match text.starts_with('/') {
        true => (Family::Unix, text),
        false => (Family::Any, text),
    }
}

/// The addresses of a `bind`: a list with commas. What is wrong is said and left out.
pub(crate) fn bind(word: &Word, reader: &mut Reader<'_>) -> Vec<Spanned<BindAddress>> {
    let mut addresses = Vec::new();
    let list = word.as_str();
    // A comma at the end is no further address.
    for item in list.strip_suffix(',').unwrap_or(list).split(',') {
        let item = expanded(item, reader);
        match bind_one(&item, word, reader) {
            Ok(address) => addresses.push(word.spanned(address)),
            Err(wrong) => reader.push(wrong.at(word)),
        }
    }
    addresses
}

/// `text` with `$NAME` and `${NAME}` filled in, as HAProxy does with every address whatever its quotes were. What is
/// not set is empty.
pub(crate) fn expanded(text: &str, reader: &Reader<'_>) -> String {
    let mut parts = text.split('$');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (braced, part) = match part.strip_prefix('{') {
            Some(rest) => (true, rest),
            None => (false, part),
        };
        let end = part
            .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
            .unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        whole += &reader.environment.value(name).unwrap_or_default();
        whole += rest.strip_prefix('}').filter(|_| braced).unwrap_or(rest);
    }
    whole
}

/// A message without its place.
struct Wrong {
    code: Code,
    message: String,
    help: String,
}

impl Wrong {
    fn new(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: help.into(),
        }
    }

    fn at(self, word: &Word) -> Diagnostic {
        Diagnostic::error(self.code, word.span, self.message).help(self.help)
    }
}

fn bind_one(item: &str, word: &Word, reader: &mut Reader<'_>) -> Result<BindAddress, Wrong> {
    if item.is_empty() {
        let help = "write `ADDRESS:PORT`; a variable that is not set leaves nothing";
        return Err(Wrong::new(Code::Missing, "this address is empty", help));
    }
    let (family, rest) = family(item);
    match family {
        Family::Unix => Ok(BindAddress::unix(socket_path(rest)?)),
        Family::Abstract => Ok(BindAddress::unix(format!("@{rest}"))),
        Family::Descriptor => match rest.parse() {
            Ok(descriptor) => Ok(BindAddress::Inherited(descriptor)),
            Err(_) => {
                let message = format!("`{rest}` is not the number of a descriptor");
                Err(Wrong::new(Code::WrongType, message, "write `fd@3`"))
            }
        },
        Family::Other(reason) => Err(not_a_stream(item, reason)),
        Family::Any | Family::V4 | Family::V6 => {
            let Some((host, ports)) = rest.rsplit_once(':').filter(|(_, port)| !port.is_empty())
            else {
                let message = format!("there is no port in `{item}`");
                let help = "write `ADDRESS:PORT`, or `:PORT` for every IPv4 address";
                return Err(Wrong::new(Code::Missing, message, help));
            };
            let (first_port, last_port) = port_range(ports, word, reader)?;
            let ip = bind_ip(host, family, reader)?;
            Ok(BindAddress::Tcp {
                ip: Some(ip),
                first_port,
                last_port,
            })
        }
    }
}

fn bind_ip(host: &str, family: Family, reader: &Reader<'_>) -> Result<IpAddr, Wrong> {
    if matches!(host, "" | "*") {
        return Ok(match family {
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        });
    }
    let found = match literal(host) {
        Some(ip) => vec![ip],
        None if is_host_name(host) => (reader.inputs.resolve)(host),
        None => Vec::new(),
    };
    found
        .into_iter()
        .find(|ip| fits(*ip, family))
        .ok_or_else(|| {
            let message = format!("`{host}` is no address of this kind and no name that has one");
            let help = "write an address, or `*` for every IPv4 address";
            Wrong::new(Code::WrongType, message, help)
        })
}

fn fits(ip: IpAddr, family: Family) -> bool {
    match family {
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
        _ => true,
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

/// Letters, digits, `-`, `_` and dots.
fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn port_range(ports: &str, word: &Word, reader: &mut Reader<'_>) -> Result<(u16, u16), Wrong> {
    let (first, last) = match ports.split_once('-') {
        Some((first, last)) => (port(first, word, reader)?, port(last, word, reader)?),
        None => {
            let port = port(ports, word, reader)?;
            (port, port)
        }
    };
    if first > last {
        let message = format!("the range `{ports}` ends before it begins");
        return Err(Wrong::new(
            Code::OutOfRange,
            message,
            "the lower port stands first",
        ));
    }
    Ok((first, last))
}

/// The number that `text` begins with; of what follows it HAProxy says nothing, so it is a warning here.
fn port(text: &str, word: &Word, reader: &mut Reader<'_>) -> Result<u16, Wrong> {
    let end = text.find(|character: char| !character.is_ascii_digit());
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    let Some(port) = number.parse::<u16>().ok().filter(|port| *port > 0) else {
        let message = format!("`{text}` is not a port");
        let help = "a port is a number from 1 to 65535";
        return Err(Wrong::new(Code::OutOfRange, message, help));
    };
    if !rest.is_empty() {
        let message = format!("`{rest}` after the port {port} is not read");
        let help = "options stand in words of their own, not in the variable of an address";
        reader.push(Diagnostic::warning(Code::WrongType, word.span, message).help(help));
    }
    Ok(port)
}

fn socket_path(path: &str) -> Result<String, Wrong> {
    if path.len() > MAX_SOCKET_PATH {
        let message = format!("the path of this socket has more than {MAX_SOCKET_PATH} bytes");
        let help = "UNIX sockets cannot have longer paths";
        return Err(Wrong::new(Code::TooLarge, message, help));
    }
    if path.is_empty() {
        let message = "there is no path after `unix@`";
        return Err(Wrong::new(
            Code::Missing,
            message,
            "write `unix@/run/NAME.sock`",
        ));
    }
    Ok(path.to_owned())
}

fn not_a_stream(item: &str, reason: &str) -> Wrong {
    let help = "write `ADDRESS:PORT`, `unix@PATH` or `abns@NAME`";
    let message = format!("`{item}` cannot be used: {reason}");
    Wrong::new(Code::NotRun, message, help)
}

/// The address of a server.
pub(crate) fn server(word: &Word, reader: &mut Reader<'_>) -> Option<Spanned<TargetAddress>> {
    let item = expanded(word.as_str(), reader);
    match server_one(&item, word, reader) {
        Ok(address) => Some(word.spanned(address)),
        Err(wrong) => {
            reader.push(wrong.at(word));
            None
        }
    }
}

fn server_one(item: &str, word: &Word, reader: &mut Reader<'_>) -> Result<TargetAddress, Wrong> {
    if item.is_empty() {
        let help = "write `ADDRESS:PORT`; a variable that is not set leaves nothing";
        return Err(Wrong::new(Code::Missing, "this address is empty", help));
    }
    let (family, rest) = family(item);
    match family {
        Family::Unix => return Ok(TargetAddress::Unix(socket_path(rest)?)),
        Family::Abstract => return Ok(TargetAddress::Unix(format!("@{rest}"))),
        Family::Descriptor => {
            return Err(not_a_stream(item, "a server cannot be a descriptor"));
        }
        Family::Other(reason) => return Err(not_a_stream(item, reason)),
        Family::Any | Family::V4 | Family::V6 => {}
    }
    let (host, port_text) = match rest.rsplit_once(':') {
        // `[::1]` has no port: the last colon is within the brackets.
        Some((_, after)) if after.ends_with(']') => (rest, ""),
        Some((host, port)) => (host, port),
        None => (rest, ""),
    };
    let port = match port_text.trim_start_matches('0') {
        "" => None,
        _ if port_text.starts_with(['+', '-']) => {
            let message = format!("`{item}` takes the client's port and adds to it");
            let help = "this is not done yet: write a server for each port";
            return Err(Wrong::new(Code::NotRun, message, help));
        }
        _ if port_text.contains('-') => {
            let message = format!("`{item}` is a range of ports, but a server has one");
            return Err(Wrong::new(
                Code::Conflict,
                message,
                "write a server for each port",
            ));
        }
        _ => Some(self::port(port_text, word, reader)?),
    };
    let host = match (host, literal(host)) {
        ("" | "*", _) => return Ok(TargetAddress::ClientDestination { port }),
        (_, Some(ip)) if ip.is_unspecified() => {
            return Ok(TargetAddress::ClientDestination { port });
        }
        (_, Some(ip)) if fits(ip, family) => Host::Ip(ip),
        (name, None) if is_host_name(name) => Host::Name(name.to_owned()),
        _ => {
            let message = format!("`{host}` is neither an address of this kind nor a host name");
            let help = "write `ADDRESS:PORT` or `NAME:PORT`";
            return Err(Wrong::new(Code::WrongType, message, help));
        }
    };
    match port {
        Some(port) => Ok(TargetAddress::Tcp { host, port }),
        None => {
            if domain_of_service(item).is_some() {
                return Ok(TargetAddress::Service(item.to_owned()));
            }
            let message = format!("there is no port in `{item}`");
            let help = "HAProxy takes the port that the client connected to; this is not done yet: write `ADDRESS:PORT`";
            Err(Wrong::new(Code::NotRun, message, help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::Inputs;
    use portway_model::span::{FileId, Span};

    const INPUTS: Inputs<'static> = Inputs {
        certificates_may_be_missing: false,
        environment: &|name| match name {
            "P" => Some("80".to_owned()),
            "B" => Some("[::1]:81".to_owned()),
            "S" => Some("80 v4v6".to_owned()),
            _ => None,
        },
        resolve: &|name| match name {
            "localhost" => vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
            _ => Vec::new(),
        },
        ..Inputs::NOTHING
    };

    fn word(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            span: Span::new(FileId(0), 0..text.len()),
        }
    }

    fn message(reader: &Reader<'_>) -> String {
        let messages = reader.diagnostics.iter().map(|it| it.message.clone());
        messages.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn binds() {
        let check = |text: &str, expected: &[&str], wrong: &str| {
            let mut reader = Reader::new(FileId(0), &INPUTS);
            let found = bind(&word(text), &mut reader);
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{text}");
            assert_eq!(wrong.is_empty(), reader.diagnostics.is_empty(), "{text}");
            assert!(
                message(&reader).contains(wrong),
                "{text}: {}",
                message(&reader)
            );
        };
        check(":80", &["0.0.0.0:80"], "");
        check("*:80", &["0.0.0.0:80"], "");
        check("127.0.0.1:80-90", &["127.0.0.1:80-90"], "");
        check("[::]:80", &["[::]:80"], "");
        check(":::80", &["[::]:80"], "");
        check("::1:80", &["[::1]:80"], "");
        check("2001:db8::1:8080", &["[2001:db8::1]:8080"], "");
        check("[1.2.3.4]:80", &["1.2.3.4:80"], "");
        check("ipv4@:80", &["0.0.0.0:80"], "");
        check("ipv6@:80,tcp6@*:81", &["[::]:80", "[::]:81"], "");
        check(
            "localhost:80,ipv6@localhost:80",
            &["127.0.0.1:80", "[::1]:80"],
            "",
        );
        check(":80,:81,", &["0.0.0.0:80", "0.0.0.0:81"], "");
        check("/run/a.sock", &["unix:/run/a.sock"], "");
        check("unix@run/a,abns@web", &["unix:run/a", "unix:@web"], "");
        check("fd@3", &["fd:3"], "");
        check("$B", &["[::1]:81"], "");
        check(":$P,:${P", &["0.0.0.0:80", "0.0.0.0:80"], "");
        check("1.1.1.1:$P-${P}0", &["1.1.1.1:80-800"], "");
        check(":$S", &["0.0.0.0:80"], "` v4v6` after the port 80");
        check("$NO", &[], "is empty");
        check(":$P_", &[], "no port");
        check("80", &[], "no port in `80`");
        check("1.2.3.4:", &[], "no port");
        check("*", &[], "no port");
        check("::1", &[], "`:` is no address");
        check("*:http", &[], "`http` is not a port");
        check(":0", &[], "`0` is not a port");
        check(":65536", &[], "not a port");
        check(":80-", &[], "`` is not a port");
        check(":+80", &[], "not a port");
        check(":8-0x", &[], "`0x` is not a port");
        check(":90-80", &[], "ends before it begins");
        check(":80,,:81", &["0.0.0.0:80", "0.0.0.0:81"], "is empty");
        check("", &[], "is empty");
        check("ipv4@[::1]:80", &[], "no address of this kind");
        check("nohost.invalid:80", &[], "no name");
        check("fd@x", &[], "descriptor");
        check("udp@:80", &[], "datagrams");
        check("quic4@:80", &[], "QUIC");
        check(&format!("/{}", "x".repeat(97)), &[], "more than 97 bytes");
    }

    #[test]
    fn servers() {
        let check = |text: &str, expected: &str, wrong: &str| {
            let mut reader = Reader::new(FileId(0), &INPUTS);
            let found = server(&word(text), &mut reader);
            let found = found.map_or(String::new(), |it| it.value.to_string());
            assert_eq!(found, expected, "{text}");
            assert_eq!(wrong.is_empty(), reader.diagnostics.is_empty(), "{text}");
            assert!(
                message(&reader).contains(wrong),
                "{text}: {}",
                message(&reader)
            );
        };
        check("10.0.0.1:80", "10.0.0.1:80", "");
        check("app.example:80", "app.example:80", "");
        check("my_app:80", "my_app:80", "");
        check("[::1]:80", "[::1]:80", "");
        check("::1:80", "[::1]:80", "");
        check("ipv4@app:80", "app:80", "");
        check("unix@/run/a", "unix:/run/a", "");
        check("/run/a", "unix:/run/a", "");
        check("abns@a", "unix:@a", "");
        check(":80", "client-destination:80", "");
        check("*:80", "client-destination:80", "");
        check("*", "client-destination", "");
        check("$NO", "", "is empty");
        check("10.0.0.1:$P", "10.0.0.1:80", "");
        check("0.0.0.0", "client-destination", "");
        check("[::]:0", "client-destination", "");
        check("10.0.0.1", "", "no port");
        check("[::1]", "", "no port");
        check("10.0.0.1:+10", "", "adds to it");
        check("10.0.0.1:80-90", "", "range of ports");
        check("10.0.0.1:x", "", "`x` is not a port");
        check("10.0.0.1:99999", "", "not a port");
        check("::1", "", "neither an address");
        check("ipv6@10.0.0.1:80", "", "neither an address");
        check("10.0.0.1:80,10.0.0.2:80", "", "neither an address");
        check("fd@3", "", "descriptor");
    }
}
