//! `source`: where connections to servers come from, as a line of a backend and as an option of a server.

use super::keyword::missing;
use super::{Args, Proxy};
use crate::haproxy::{Line, Reader, Word};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::settings::{Borrowed, PortRange, SourceAddress};
use portway_model::span::Spanned;
use std::net::{IpAddr, Ipv4Addr};

/// `source ADDRESS[:PORT] …`, for all servers that say nothing of it themselves.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(place) = line.word(1) else {
        missing(line, "an address", reader);
        return;
    };
    let mut args = Args::new(line, 2);
    if let Some(source) = read(place, Ports::One, &mut args, reader) {
        proxy.source = Some(source);
    }
    if let Some(word) = args.next() {
        let message =
            "`source` takes an address, `interface` with a name and `usesrc` with an address";
        reader.error(Code::NotRun, word.span, message);
    }
}

/// `ADDRESS[:PORT[-PORT]] [interface NAME] [usesrc …]`; nothing is said by an address of zeros.
pub(super) fn read(
    value: &Word,
    ports: Ports,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<Spanned<SourceAddress>> {
    let (ip, ports) = address(value, ports, reader)?;
    let mut source = SourceAddress {
        address: Some(ip).filter(|ip| !ip.is_unspecified()),
        ports,
        ..SourceAddress::default()
    };
    loop {
        if args.take("interface") {
            let Some(name) = args.next() else {
                reader.error(Code::Missing, args.line(), "`interface` needs a name");
                return None;
            };
            source.interface = Some(name.text.clone());
        } else if args.take("usesrc") {
            let Some(whose) = args.next() else {
                let message = "`usesrc` needs `client`, `clientip`, `hdr_ip(NAME)` or an address";
                reader.error(Code::Missing, args.line(), message);
                return None;
            };
            source.borrowed = borrowed(whose, reader)?;
        } else {
            return Some(value.spanned(source));
        }
    }
}

/// What stands behind `usesrc`; `Some(None)`: an address of zeros, which is nobody's.
fn borrowed(word: &Word, reader: &mut Reader<'_>) -> Option<Option<Borrowed>> {
    let text = word.as_str();
    let header = text.strip_prefix("hdr_ip(");
    Some(Some(match (text, header) {
        ("client", _) => Borrowed::Client { port: true },
        ("clientip", _) => Borrowed::Client { port: false },
        (_, Some(arguments)) => header_of(word, arguments, reader)?,
        _ => {
            let (ip, port) = address(word, Ports::One, reader)?;
            if ip.is_unspecified() {
                return Some(None);
            }
            let port = port.map(PortRange::first);
            Borrowed::Address { ip, port }
        }
    }))
}

/// `NAME[,OCCURRENCE])`, the last where it is not said.
fn header_of(word: &Word, arguments: &str, reader: &mut Reader<'_>) -> Option<Borrowed> {
    let inner = arguments.strip_suffix(')').unwrap_or_default();
    let (name, occurrence) = match inner.split_once(',') {
        Some((name, occurrence)) => (name.trim(), occurrence.trim().parse().ok()),
        None => (inner.trim(), Some(-1)),
    };
    match occurrence.filter(|place| *place != 0 && !name.is_empty()) {
        Some(occurrence) => Some(Borrowed::Header {
            name: name.to_ascii_lowercase(),
            occurrence,
        }),
        None => {
            let message = format!("`{}` is not a header, or one with a place", word.text);
            let help = "write for example `hdr_ip(x-forwarded-for,-1)`";
            let wrong = Diagnostic::error(Code::WrongType, word.span, message);
            reader.push(wrong.help(help));
            None
        }
    }
}

/// Whether several ports may be said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    /// One: of all servers of a proxy.
    One,
    /// Or a range: of one server.
    Range,
}

/// An address, and ports; none where 0 is said.
fn address(
    word: &Word,
    ports: Ports,
    reader: &mut Reader<'_>,
) -> Option<(IpAddr, Option<PortRange>)> {
    let text = word.as_str();
    // `*` is every address, as in `bind`.
    let named = |text: &str| match text {
        "" | "*" => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        text => text.trim_matches(['[', ']']).parse::<IpAddr>().ok(),
    };
    let split = text.rsplit_once(':').filter(|(before, _)| {
        named(before).is_some_and(|ip| ip.is_ipv4() || before.starts_with('['))
    });
    let read = |port: &str| match (port, port.split_once('-')) {
        ("0", _) => Some(None),
        (_, Some((first, last))) if ports == Ports::Range => {
            PortRange::new(first.parse().ok()?, last.parse().ok()?).map(Some)
        }
        (port, _) => {
            let port = port.parse().ok()?;
            PortRange::new(port, port).map(Some)
        }
    };
    let (ip, read) = match split {
        Some((ip, port)) => (named(ip), read(port)),
        None => (named(text), Some(None)),
    };
    let (Some(ip), Some(read)) = (ip, read) else {
        let (what, help) = match ports {
            Ports::One if text.contains('-') => (
                "or one with a port",
                "write for example `10.0.0.9:7000`; a range of ports stands in `source` of a server",
            ),
            Ports::One => (
                "or one with a port",
                "write for example `10.0.0.9` or `10.0.0.9:7000`",
            ),
            Ports::Range => (
                "or one with a port or ports from 1 to 65535",
                "write for example `source 10.0.0.9` or `source 10.0.0.9:40000-49999`",
            ),
        };
        let message = format!("`{text}` is not an address, {what}");
        reader.push(Diagnostic::error(Code::WrongType, word.span, message).help(help));
        return None;
    };
    Some((ip, read))
}
