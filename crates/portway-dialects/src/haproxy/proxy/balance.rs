//! `balance` and `hash-type`: who is chosen.

use super::keyword::{missing, whole};
use super::rule::place;
use super::{Args, Proxy};
use crate::haproxy::keywords;
use crate::haproxy::place::Step as Moment;
use crate::haproxy::{Line, Reader, Word, sample};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{HashFunction, HashMethod};
use portway_model::expression::{Expression, HeaderPart, Message, Transform, Value};
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// The algorithm of a backend.
#[derive(Debug, Clone)]
pub(crate) enum Balance {
    RoundRobin,
    StaticRoundRobin,
    LeastConnections,
    First,
    Source,
    Random {
        draws: u16,
    },
    /// By the argument of this name, of the URL or of a form that is posted.
    UrlOrBody(String),
    /// By the cookie of this name that a terminal client sends.
    RdpCookie(String),
    /// By the hash of this.
    Hash(Expression<Named>),
}

/// `hash-type METHOD [FUNCTION [avalanche]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashType(pub(crate) HashMethod);

impl Default for HashType {
    /// `map-based sdbm`.
    fn default() -> Self {
        HashType(HashMethod::Table {
            function: HashFunction::Sdbm,
            avalanche: false,
        })
    }
}

const KNOWN: [&str; 11] = [
    "roundrobin",
    "static-rr",
    "leastconn",
    "first",
    "source",
    "random",
    "uri",
    "url_param",
    "hdr",
    "hash",
    "rdp-cookie",
];

/// The cookie of `balance rdp-cookie` where none is named.
const BALANCE_COOKIE: &str = "mstshash";
/// The cookie of `persist rdp-cookie` where none is named.
const PERSIST_COOKIE: &str = "msts";

/// `persist rdp-cookie[(NAME)]`.
pub(super) fn persist_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(word) = line.word(1) else {
        missing(line, "`rdp-cookie`", reader);
        return;
    };
    let (_, name) = super::http_rule::call(word.as_str());
    if name == Some("") {
        reader.error(Code::Missing, word.span, "a cookie needs a name");
        return;
    }
    let name = name.unwrap_or(PERSIST_COOKIE).to_owned();
    proxy.persist_rdp_cookie = Some(word.spanned(name));
}

/// `balance …`.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    // HAProxy takes a bare `balance` for roundrobin.
    let Some(word) = line.word(1) else {
        proxy.balance = Some(Spanned::new(Balance::RoundRobin, line.span));
        return;
    };
    let mut args = Args::new(line, 2);
    let found = algorithm(proxy, word, &mut args, reader);
    if let (Some(extra), Some(_)) = (args.next(), &found) {
        // HAProxy looks for more only where an algorithm takes more.
        let message = format!("`balance {}` takes no `{}`", word.text, extra.text);
        let wrong = match word.as_str().split('(').next() {
            Some("url_param" | "hdr" | "hash" | "uri") => Diagnostic::error,
            _ => Diagnostic::warning,
        };
        reader.push(wrong(Code::Syntax, extra.span, message));
    }
    if let Some(balance) = found {
        proxy.balance = Some(Spanned::new(balance, line.span));
    }
}

fn algorithm(
    proxy: &Proxy,
    word: &Word,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<Balance> {
    let (name, argument) = super::http_rule::call(word.as_str());
    if !keywords::balance(name, word, reader) {
        return None;
    }
    Some(match name {
        "roundrobin" => Balance::RoundRobin,
        "static-rr" => Balance::StaticRoundRobin,
        "leastconn" => Balance::LeastConnections,
        "first" => Balance::First,
        "source" => Balance::Source,
        "random" => Balance::Random {
            draws: match argument.map(str::parse) {
                None => 2,
                Some(Ok(draws @ 1..)) => draws,
                Some(_) => {
                    let message = "`random` takes a number of draws above 0";
                    reader.error(Code::OutOfRange, word.span, message);
                    return None;
                }
            },
        },
        "uri" => Balance::Hash(uri(args, reader)?),
        "url_param" => {
            let Some(name) = args.next() else {
                reader.error(
                    Code::Missing,
                    word.span,
                    "`balance url_param` needs the name of a parameter",
                );
                return None;
            };
            if args.take("check_post") {
                // How much of the body older versions waited for: 2.6 reads the number and no more of it.
                let number = |word: &Word| word.text.bytes().all(|byte| byte.is_ascii_digit());
                if args.peek().is_some_and(number) {
                    args.next();
                }
                return Some(Balance::UrlOrBody(name.text.clone()));
            }
            Balance::Hash(Value::QueryParameter(name.text.clone()).into())
        }
        "hdr" => {
            let Some(header) = argument.filter(|name| !name.is_empty()) else {
                reader.error(
                    Code::Missing,
                    word.span,
                    "`balance hdr` needs the name of a header, such as `hdr(host)`",
                );
                return None;
            };
            let first = Value::HeaderPart {
                of: Message::Request,
                name: header.to_ascii_lowercase(),
                part: HeaderPart::Item(Some(1)),
            };
            let mut expression: Expression<Named> = first.into();
            if args.take("use_domain_only") {
                expression.transforms = domain_only();
            }
            Balance::Hash(expression)
        }
        "hash" => {
            let Some(expression) = args.next() else {
                reader.error(
                    Code::Missing,
                    word.span,
                    "`balance hash` needs an expression",
                );
                return None;
            };
            let at = place(Moment::Balance, proxy.kind);
            Balance::Hash(sample::expression(expression, at, reader)?.value)
        }
        "rdp-cookie" => Balance::RdpCookie(argument.unwrap_or(BALANCE_COOKIE).to_owned()),
        other => {
            reader.push(crate::unknown_word(word.span, "algorithm", other, KNOWN));
            return None;
        }
    })
}

/// What stands between the last two dots: of `www.example.com`, `example`. Without a dot it is all of it.
fn domain_only() -> Vec<Transform<Named>> {
    vec![Transform::Replace {
        pattern: Spanned::bare(r"^(?:.*\.)?([^.]+)\.[^.]*$".to_owned()),
        with: "${1}".to_owned(),
        all: false,
    }]
}

/// `uri [whole] [len N] [depth N] [path-only]`.
fn uri(args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<Expression<Named>> {
    let mut expression = Expression::from(Value::Path);
    let (mut length, mut depth) = (None, None);
    while let Some(word) = args.next() {
        match word.as_str() {
            "whole" => expression.value = Value::Target,
            // Ours never sees the authority.
            "path-only" => {}
            name @ ("len" | "depth") => {
                let Some(number) = args.next() else {
                    let message = format!("`{name}` needs a number");
                    reader.error(Code::Missing, word.span, message);
                    return None;
                };
                let number = whole(number, 1, u64::from(u32::MAX), reader)?;
                let place = if name == "len" {
                    &mut length
                } else {
                    &mut depth
                };
                *place = Some((number, word));
            }
            other => {
                let known = ["whole", "path-only", "len", "depth"];
                reader.push(crate::unknown_word(
                    word.span,
                    "word of `balance uri`",
                    other,
                    known,
                ));
                return None;
            }
        }
    }
    if let Some((depth, word)) = depth {
        // A level for each slash: everything before the slash after the last of them.
        let pattern = format!("^((?:/[^/]*){{1,{depth}}}).*$");
        expression.transforms.push(Transform::Replace {
            pattern: word.spanned(pattern),
            with: "${1}".to_owned(),
            all: false,
        });
    }
    if let Some((length, _)) = length {
        expression.transforms.push(Transform::Bytes {
            offset: 0,
            length: u32::try_from(length).ok(),
        });
    }
    Some(expression)
}

/// `hash-type map-based|consistent [sdbm|djb2|wt6|crc32] [avalanche]`.
pub(super) fn hash_type_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(method) = line.word(1) else {
        missing(line, "`map-based` or `consistent`", reader);
        return;
    };
    let consistent = match method.as_str() {
        "map-based" | "avalanche" => false,
        "consistent" => true,
        other => {
            let known = ["map-based", "consistent"];
            reader.push(crate::unknown_word(method.span, "hash type", other, known));
            return;
        }
    };
    let function = match line.text(2) {
        "" | "sdbm" => HashFunction::Sdbm,
        "djb2" => HashFunction::Djb2,
        "wt6" => HashFunction::Wt6,
        "crc32" => HashFunction::Crc32,
        other => {
            let span = line.word(2).map_or(line.span, |word| word.span);
            let known = ["sdbm", "djb2", "wt6", "crc32"];
            reader.push(crate::unknown_word(span, "hash function", other, known));
            return;
        }
    };
    let avalanche = match line.text(3) {
        // `consistent` alone is sdbm with avalanche; the old word `avalanche` is sdbm with avalanche too.
        "" => line.text(2).is_empty() && (consistent || method.as_str() == "avalanche"),
        "avalanche" => true,
        other => {
            let span = line.word(3).map_or(line.span, |word| word.span);
            reader.push(crate::unknown_word(span, "modifier", other, ["avalanche"]));
            return;
        }
    };
    let method = if consistent {
        HashMethod::Ring {
            function,
            avalanche,
        }
    } else {
        HashMethod::Table {
            function,
            avalanche,
        }
    };
    proxy.hash_type = Some(Spanned::new(HashType(method), line.span));
}
