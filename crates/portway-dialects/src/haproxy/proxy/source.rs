//! `source`: where connections to servers come from, as a line of a backend and as an option of a server.

use super::keyword::missing;
use super::{Args, Proxy};
use crate::haproxy::{Line, Reader, Word};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::settings::{Borrowed, SourceAddress};
use portway_model::span::Spanned;
use std::net::{IpAddr, Ipv4Addr};

/// `source ADDRESS[:PORT] …`, for all servers that say nothing of it themselves.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(place) = line.word(1) else {
        missing(line, "an address", reader);
        return;
    };
    let mut args = Args::new(line, 2);
    if let Some(source) = read(place, &mut args, reader) {
        proxy.source = Some(source);
    }
    if let Some(word) = args.next() {
        let message =
            "`source` takes an address, `interface` with a name and `usesrc` with an address";
        reader.error(Code::NotRun, word.span, message);
    }
}

/// `ADDRESS[:PORT] [interface NAME] [usesrc …]`; nothing is said by an address of zeros.
pub(super) fn read(
    value: &Word,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<Spanned<SourceAddress>> {
    let (ip, port) = address(value, reader)?;
    let mut source = SourceAddress {
        address: Some(ip).filter(|ip| !ip.is_unspecified()),
        port,
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
            let (ip, port) = address(word, reader)?;
            if ip.is_unspecified() {
                return Some(None);
            }
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

/// An address, and a port that is not 0.
fn address(word: &Word, reader: &mut Reader<'_>) -> Option<(IpAddr, Option<u16>)> {
    let text = word.as_str();
    // `*` is every address, as in `bind`.
    let named = |text: &str| match text {
        "" | "*" => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        text => text.trim_matches(['[', ']']).parse::<IpAddr>().ok(),
    };
    let split = text.rsplit_once(':').filter(|(before, _)| {
        named(before).is_some_and(|ip| ip.is_ipv4() || before.starts_with('['))
    });
    let (ip, port) = match split {
        Some((ip, port)) => (named(ip), port.parse::<u16>().ok()),
        None => (named(text), Some(0)),
    };
    let (Some(ip), Some(port)) = (ip, port) else {
        let message = format!("`{text}` is not an address, or one with a port");
        let help = "write for example `source 10.0.0.9`; a range of ports is not taken";
        reader.push(Diagnostic::error(Code::WrongType, word.span, message).help(help));
        return None;
    };
    Some((ip, Some(port).filter(|port| *port > 0)))
}
