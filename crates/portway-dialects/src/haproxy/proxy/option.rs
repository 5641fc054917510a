//! `option`: what is on or off, and the options that say more.

use super::OddNames;
use super::keyword::{extra, missing};
use super::{Args, Proxy, check, log};
use crate::haproxy::keywords::{self, OptionOf};
use crate::haproxy::{Line, Modifier, Reader};
use ipnet::IpNet;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::{Span, Spanned};

/// When connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Neither side before its time.
    KeepAlive,
    /// The server's after each response.
    Server,
    /// Both after each response.
    Both,
}

/// `option forwardfor`, `option originalto`: a header with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientHeader {
    /// Its name, where one is said.
    pub(crate) name: Option<String>,
    /// Addresses that are not told.
    pub(crate) except: Option<IpNet>,
    /// Only where the request has none.
    pub(crate) if_none: bool,
}

/// Options that are on or off, by name. An option that is not said is off.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags(Vec<(String, Span)>);

impl Flags {
    /// Where the option was turned on; `None` where it is off.
    pub(crate) fn on(&self, name: &str) -> Option<Span> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, span)| *span)
    }

    fn set(&mut self, name: &str, span: Option<Span>) {
        self.0.retain(|(known, _)| known != name);
        self.0.extend(span.map(|span| (name.to_owned(), span)));
    }
}

/// Options that cannot be turned off by `no`.
const WITHOUT_NO: [&str; 19] = [
    "forwardfor",
    "originalto",
    "httplog",
    "httpslog",
    "tcplog",
    "tcpka",
    "httpchk",
    "tcp-check",
    "ssl-hello-chk",
    "smtpchk",
    "mysql-check",
    "pgsql-check",
    "redis-check",
    "ldap-check",
    "spop-check",
    "external-check",
    "lb-agent-chk",
    "http-restrict-req-hdr-names",
    "forceclose",
];

/// Reads `option NAME …`.
pub(super) fn option_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let (index, action) = (1, line.modifier);
    let Some(word) = line.word(index) else {
        missing(line, "the name of an option", reader);
        return;
    };
    if !keywords::option(OptionOf::Proxy, word, reader) {
        return;
    }
    let name = word.as_str();
    if action != Modifier::None && WITHOUT_NO.contains(&name) {
        let message = format!("`option {name}` cannot be turned off");
        let help = "write it in another `defaults` section, or in the sections that need it";
        reader.push(Diagnostic::error(Code::Syntax, line.span, message).help(help));
        return;
    }
    let rest = Args::new(line, index + 1);
    match name {
        "httpclose" | "forceclose" => closing(proxy, line, Closing::Both, reader),
        "http-server-close" => closing(proxy, line, Closing::Server, reader),
        "http-keep-alive" => closing(proxy, line, Closing::KeepAlive, reader),
        "forwardfor" => proxy.forwardfor = client_header(rest, reader),
        "originalto" => proxy.originalto = client_header(rest, reader),
        "redispatch" => redispatch(proxy, line, index, action, reader),
        "httplog" | "tcplog" | "httpslog" => log::option(proxy, line, index, reader),
        "httpchk" | "tcp-check" | "ssl-hello-chk" | "smtpchk" | "mysql-check" | "pgsql-check"
        | "redis-check" | "ldap-check" => check::option(proxy, line, reader),
        "http-restrict-req-hdr-names" => restrict(proxy, line, index, reader),
        _ => {
            extra(line, index + 1, reader);
            let span = (action == Modifier::None).then_some(line.span);
            proxy.flags.set(name, span);
        }
    }
}

fn closing(proxy: &mut Proxy, line: &Line, to: Closing, reader: &mut Reader<'_>) {
    extra(line, 2, reader);
    if line.modifier == Modifier::None {
        proxy.closing = Some(Spanned::new(to, line.span));
    } else if proxy.closing.is_some_and(|closing| closing.value == to) {
        proxy.closing = None;
    }
}

/// `http-restrict-req-hdr-names preserve|delete|reject`.
fn restrict(proxy: &mut Proxy, line: &Line, index: usize, reader: &mut Reader<'_>) {
    let odd = match line.text(index + 1) {
        "preserve" => OddNames::Preserve,
        "delete" => OddNames::Delete,
        "reject" => OddNames::Reject,
        other => {
            let span = line.word(index + 1).map_or(line.span, |word| word.span);
            let known = ["preserve", "delete", "reject"];
            reader.push(crate::unknown_word(
                span,
                "word of this option",
                other,
                known,
            ));
            return;
        }
    };
    extra(line, index + 2, reader);
    proxy.odd_names = Some(Spanned::new(odd, line.span));
}

/// `[except NET] [header NAME] [if-none]`.
fn client_header(mut args: Args<'_>, reader: &mut Reader<'_>) -> Option<Spanned<ClientHeader>> {
    let mut header = ClientHeader {
        name: None,
        except: None,
        if_none: false,
    };
    while let Some(word) = args.next() {
        match word.as_str() {
            "except" => header.except = except(&mut args, reader),
            "header" => match args.next() {
                Some(name) => header.name = Some(name.text.clone()),
                None => reader.error(Code::Missing, word.span, "`header` needs a name"),
            },
            "if-none" => header.if_none = true,
            other => {
                let known = ["except", "header", "if-none"];
                reader.push(crate::unknown_word(
                    word.span,
                    "word of this option",
                    other,
                    known,
                ));
            }
        }
    }
    Some(Spanned::new(header, args.line()))
}

fn except(args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<IpNet> {
    let Some(word) = args.next() else {
        reader.error(Code::Missing, args.line(), "`except` needs a network");
        return None;
    };
    let net = word.as_str().parse::<IpNet>().ok();
    let net = net.or_else(|| Some(IpNet::from(word.as_str().parse::<std::net::IpAddr>().ok()?)));
    if net.is_none() {
        let message = format!("`{}` is not a network", word.text);
        reader.error(Code::WrongType, word.span, message);
    }
    net.map(|net| net.trunc())
}

/// `option redispatch [N]`: at every N-th retry; negative counts from the last.
fn redispatch(
    proxy: &mut Proxy,
    line: &Line,
    index: usize,
    action: Modifier,
    reader: &mut Reader<'_>,
) {
    let after = match (action, line.word(index + 1)) {
        (Modifier::None, Some(word)) => match word.as_str().parse::<i32>() {
            Ok(number) => number,
            Err(_) => {
                let message = format!("`{}` is not a number of retries", word.text);
                reader.error(Code::WrongType, word.span, message);
                return;
            }
        },
        (Modifier::None, None) => -1,
        _ => 0,
    };
    proxy.redispatch = (after != 0).then_some(Spanned::new(after, line.span));
}
