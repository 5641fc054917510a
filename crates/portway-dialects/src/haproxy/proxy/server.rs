//! `server`, `default-server`, `server-template` and `dispatch`: where a backend sends what came.

use super::keyword::{extra, missing};
use super::server_option::{ServerOptions, options};
use super::{Args, Proxy};
use crate::haproxy::keywords::{self, OptionOf};
use crate::haproxy::{Line, Reader, Word, address};
use portway_model::address::TargetAddress;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::{Span, Spanned};

/// Servers that one template makes at most.
const MAX_TEMPLATE: u32 = 4096;

/// Options that are not for servers that are added while the process runs.
const NOT_ADDED: [&str; 22] = [
    "cookie",
    "init-addr",
    "log-proto",
    "max-reuse",
    "namespace",
    "no-agent-check",
    "no-check",
    "no-check-send-proxy",
    "no-check-ssl",
    "no-send-proxy-v2-ssl",
    "no-send-proxy-v2-ssl-cn",
    "no-ssl",
    "non-stick",
    "redir",
    "resolve-net",
    "resolve-opts",
    "resolve-prefer",
    "resolvers",
    "socks4",
    "ssl-reuse",
    "stick",
    "tcp-ut",
];

/// Where a server is.
pub(crate) type ServerAddress = Spanned<TargetAddress>;

/// One server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) name: Spanned<String>,
    pub(crate) address: ServerAddress,
    pub(crate) options: ServerOptions,
    pub(crate) span: Span,
}

/// `server NAME ADDRESS [OPTIONS]`.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let own = proxy.default_server.clone();
    one(proxy, own, line, reader);
}

/// A line `server` that was not in the text when the process began: what `default-server` says is not for it.
pub(crate) fn added(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    if is_for_added(line, reader) {
        one(proxy, ServerOptions::default(), line, reader);
    }
}

/// Whether all options of a line may be said of a server that is added. Those that may not are told in HAProxy's words,
/// which tools look for.
fn is_for_added(line: &Line, reader: &mut Reader<'_>) -> bool {
    let mut args = Args::new(line, 3);
    while let Some(word) = args.next() {
        let option = word.as_str();
        let message = match keywords::is_option(OptionOf::Server, option) {
            false => match keywords::nearest_option(OptionOf::Server, option) {
                Some(near) => format!("unknown keyword '{option}'; did you mean '{near}' maybe ?"),
                None => format!("unknown keyword '{option}'."),
            },
            true if NOT_ADDED.contains(&option) => {
                format!("'{option}' option is not accepted for dynamic server")
            }
            true => {
                for _ in 0..keywords::arguments(OptionOf::Server, option) {
                    args.next();
                }
                continue;
            }
        };
        reader.error(Code::Unknown, word.span, message);
        return false;
    }
    true
}

fn one(proxy: &mut Proxy, mut own: ServerOptions, line: &Line, reader: &mut Reader<'_>) {
    let (Some(name), Some(place)) = (line.word(1), line.word(2)) else {
        missing(line, "a name and an address", reader);
        return;
    };
    if !is_name(name, reader) {
        return;
    }
    let address = address::server(place, reader);
    let good = options(&mut own, &mut Args::new(line, 3), proxy.kind, reader);
    let (Some(address), true) = (address, good) else {
        return;
    };
    if let TargetAddress::ClientDestination { .. } = address.value {
        let message = format!(
            "server `{}` has no address: the one that the client connected to is used",
            name.text
        );
        let help = "write the address of the server before the colon";
        reader.push(Diagnostic::warning(Code::Missing, place.span, message).help(help));
    }
    proxy.servers.push(Server {
        name: name.spanned(name.text.clone()),
        address,
        options: own,
        span: line.span,
    });
}

/// `default-server OPTIONS`.
pub(super) fn default_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let mut own = proxy.default_server.clone();
    options(&mut own, &mut Args::new(line, 1), proxy.kind, reader);
    proxy.default_server = own;
}

/// `server-template PREFIX NUMBER|RANGE ADDRESS [OPTIONS]`.
pub(super) fn template_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let (Some(prefix), Some(count), Some(place)) = (line.word(1), line.word(2), line.word(3))
    else {
        missing(line, "a prefix, a number and an address", reader);
        return;
    };
    let range = match count.as_str().split_once('-') {
        Some((first, last)) => first.parse().ok().zip(last.parse().ok()),
        None => count.as_str().parse().ok().map(|last: u32| (1, last)),
    };
    let Some((first, last)) =
        range.filter(|(first, last)| *first >= 1 && first <= last && last - first < MAX_TEMPLATE)
    else {
        let message = format!("`{}` is not a number or range of servers", count.text);
        reader.error(Code::OutOfRange, count.span, message);
        return;
    };
    if !is_name(prefix, reader) {
        return;
    }
    let address = address::server(place, reader);
    let mut own = proxy.default_server.clone();
    let good = options(&mut own, &mut Args::new(line, 4), proxy.kind, reader);
    let (Some(address), true) = (address, good) else {
        return;
    };
    for number in first..=last {
        proxy.servers.push(Server {
            name: prefix.spanned(format!("{}{number}", prefix.text)),
            address: address.clone(),
            options: own.clone(),
            span: line.span,
        });
    }
}

/// `dispatch ADDRESS:PORT`.
pub(super) fn dispatch_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(place) = line.word(1) else {
        missing(line, "an address", reader);
        return;
    };
    if let Some(address) = address::server(place, reader) {
        extra(line, 2, reader);
        if matches!(address.value, TargetAddress::ClientDestination { .. }) {
            reader.error(
                Code::Missing,
                place.span,
                "`dispatch` needs an address and a port",
            );
            return;
        }
        proxy.dispatch = Some(address);
    }
}

fn is_name(word: &Word, reader: &mut Reader<'_>) -> bool {
    let wrong = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
    if let Some(wrong) = word.as_str().chars().find(wrong) {
        let message = format!("`{wrong}` may not stand in the name of a server");
        reader.error(Code::OutOfRange, word.span, message);
        return false;
    }
    true
}
