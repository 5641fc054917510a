//! The options of `server` and `default-server`.

use super::bind::{Versions, alpn, version, version_flag};
use super::keyword::whole;
use super::{Args, ProxyKind, keep_alive, source};
use crate::haproxy::keywords::{self, OptionOf};
use crate::haproxy::patterns::network;
use crate::haproxy::units::{self, Unit};
use crate::haproxy::{Reader, SectionKind, Word};
use ipnet::IpNet;
use portway_model::check::{ObservedLayer, OnErrors};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::FirstAddress;
use portway_model::resolution::Family;
use portway_model::settings::{ProxyPart, ProxyProtocol, SourceAddress};
use portway_model::span::{Span, Spanned};
use std::net::IpAddr;
use std::time::Duration;

/// Largest weight, as in HAProxy.
const MAX_WEIGHT: u64 = 256;

/// TLS towards a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ServerTls {
    /// `ssl` was said.
    pub(crate) enabled: Option<Span>,
    /// `verify none` or `verify required`.
    pub(crate) verify: Option<Spanned<bool>>,
    pub(crate) ca_file: Option<Spanned<String>>,
    pub(crate) certificate: Option<Spanned<String>>,
    pub(crate) sni: Option<Spanned<String>>,
    pub(crate) verify_host: Option<Spanned<String>>,
    pub(crate) crl_file: Option<Spanned<String>>,
    pub(crate) alpn: Option<Spanned<Vec<String>>>,
    pub(crate) versions: Versions,
    pub(crate) ciphers: Option<Spanned<String>>,
    pub(crate) ciphersuites: Option<Spanned<String>>,
    /// Sessions are not resumed.
    pub(crate) no_reuse: Option<Span>,
}

/// `send-proxy` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) version: ProxyProtocol,
    pub(crate) parts: Vec<ProxyPart>,
    pub(crate) span: Span,
}

/// How a server is checked, beside what its backend says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CheckPlan {
    /// `check` was said.
    pub(crate) enabled: Option<Span>,
    pub(crate) inter: Option<Spanned<Duration>>,
    pub(crate) fastinter: Option<Spanned<Duration>>,
    pub(crate) downinter: Option<Spanned<Duration>>,
    pub(crate) rise: Option<Spanned<u16>>,
    pub(crate) fall: Option<Spanned<u16>>,
    pub(crate) port: Option<Spanned<u16>>,
    pub(crate) address: Option<Spanned<IpAddr>>,
    pub(crate) tls: Option<Spanned<bool>>,
    pub(crate) send_proxy: Option<Spanned<bool>>,
    pub(crate) sni: Option<Spanned<String>>,
    pub(crate) alpn: Option<Spanned<Vec<String>>>,
    pub(crate) observe: Option<Spanned<ObservedLayer>>,
    pub(crate) error_limit: Option<Spanned<u16>>,
    pub(crate) on_error: Option<OnErrors>,
}

/// The agent of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct AgentPlan {
    /// `agent-check` was said.
    pub(crate) enabled: Option<Span>,
    pub(crate) port: Option<Spanned<u16>>,
    pub(crate) address: Option<Spanned<IpAddr>>,
    pub(crate) inter: Option<Spanned<Duration>>,
    pub(crate) send: Option<Spanned<String>>,
}

/// Everything behind a server's address.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ServerOptions {
    pub(crate) weight: Option<Spanned<u16>>,
    pub(crate) backup: Option<Span>,
    pub(crate) disabled: Option<Span>,
    pub(crate) maxconn: Option<Spanned<u32>>,
    pub(crate) minconn: Option<Spanned<u32>>,
    pub(crate) maxqueue: Option<Spanned<u32>>,
    pub(crate) cookie: Option<Spanned<String>>,
    pub(crate) stick: Option<Spanned<bool>>,
    pub(crate) id: Option<Spanned<u32>>,
    pub(crate) slowstart: Option<Spanned<Duration>>,
    pub(crate) shutdown_on_down: Option<Spanned<bool>>,
    pub(crate) shutdown_backups_on_up: Option<Spanned<bool>>,
    pub(crate) track: Option<Spanned<String>>,
    pub(crate) first_address: Option<Spanned<Vec<FirstAddress>>>,
    /// `resolvers`, with which a name may resolve later.
    pub(crate) resolvers: Option<Spanned<String>>,
    pub(crate) resolve_prefer: Option<Spanned<Family>>,
    pub(crate) resolve_net: Vec<Spanned<IpNet>>,
    /// `resolve-opts allow-dup-ip`.
    pub(crate) shares_addresses: bool,
    pub(crate) sent: Option<Sent>,
    pub(crate) check: CheckPlan,
    pub(crate) agent: AgentPlan,
    pub(crate) tls: ServerTls,
    pub(crate) redirect: Option<Spanned<String>>,
    pub(crate) source: Option<Spanned<SourceAddress>>,
    pub(crate) user_timeout: Option<Spanned<Duration>>,
    pub(crate) pool_max: Option<Spanned<u32>>,
    pub(crate) max_reuse: Option<Spanned<u32>>,
    pub(crate) pool_idle: Option<Spanned<Duration>>,
}

/// Reads options to the end of the line; false where one is wrong.
pub(super) fn options(
    own: &mut ServerOptions,
    args: &mut Args<'_>,
    kind: ProxyKind,
    reader: &mut Reader<'_>,
) -> bool {
    let _ = kind;
    let mut good = true;
    while let Some(word) = args.next() {
        let option = word.as_str();
        let takes = keywords::arguments(OptionOf::Server, option);
        if !keywords::option(OptionOf::Server, word, reader) {
            if !keywords::is_option(OptionOf::Server, option) {
                // What follows an unknown word may belong to it.
                return false;
            }
            keywords::skip(OptionOf::Server, word, args, reader);
            continue;
        }
        if flag(own, word) || version_flag(&mut own.tls.versions, word, reader) || takes == 0 {
            continue;
        }
        let Some(value) = args.next() else {
            let message = format!("`{option}` needs a value");
            reader.error(Code::Missing, word.span, message);
            return false;
        };
        if option == "source" {
            own.source = source::read(value, source::Ports::Range, args, reader);
            good &= own.source.is_some();
            continue;
        }
        good &= valued(own, word, value, reader).is_some();
    }
    good
}

/// Options without a value.
fn flag(own: &mut ServerOptions, word: &Word) -> bool {
    let here = Some(word.span);
    let sent = |version, parts: &[ProxyPart]| {
        Some(Sent {
            version,
            parts: parts.to_vec(),
            span: word.span,
        })
    };
    match word.as_str() {
        "backup" => own.backup = here,
        "no-backup" => own.backup = None,
        "disabled" => own.disabled = here,
        "enabled" => own.disabled = None,
        "stick" => own.stick = Some(word.spanned(true)),
        "non-stick" => own.stick = Some(word.spanned(false)),
        "check" => own.check.enabled = here,
        "no-check" => own.check.enabled = None,
        "agent-check" => own.agent.enabled = here,
        "no-agent-check" => own.agent.enabled = None,
        "check-ssl" => own.check.tls = Some(word.spanned(true)),
        "no-check-ssl" => own.check.tls = Some(word.spanned(false)),
        "check-send-proxy" => own.check.send_proxy = Some(word.spanned(true)),
        "no-check-send-proxy" => own.check.send_proxy = Some(word.spanned(false)),
        "ssl" => own.tls.enabled = here,
        "no-ssl" => own.tls.enabled = None,
        "no-ssl-reuse" => own.tls.no_reuse = here,
        "ssl-reuse" => own.tls.no_reuse = None,
        "send-proxy" => own.sent = sent(ProxyProtocol::V1, &[]),
        "send-proxy-v2" => own.sent = sent(ProxyProtocol::V2, &[]),
        "send-proxy-v2-ssl" => own.sent = sent(ProxyProtocol::V2, &[ProxyPart::Tls]),
        "send-proxy-v2-ssl-cn" => {
            own.sent = sent(ProxyProtocol::V2, &[ProxyPart::Tls, ProxyPart::CommonName]);
        }
        "no-send-proxy"
        | "no-send-proxy-v2"
        | "no-send-proxy-v2-ssl"
        | "no-send-proxy-v2-ssl-cn" => {
            own.sent = None;
        }
        _ => return false,
    }
    true
}

/// Options with a value. `None`: it is wrong, and was said so.
fn valued(
    own: &mut ServerOptions,
    word: &Word,
    value: &Word,
    reader: &mut Reader<'_>,
) -> Option<()> {
    let text = || Some(value.spanned(value.text.clone()));
    let large = u64::from(u32::MAX);
    match word.as_str() {
        "weight" => {
            let weight = units::loose_number(value, 0, MAX_WEIGHT, reader)?;
            own.weight = u16::try_from(weight)
                .ok()
                .map(|weight| value.spanned(weight));
        }
        "maxconn" => own.maxconn = Some(number(value, 0, large, reader)?),
        "minconn" => own.minconn = Some(number(value, 0, large, reader)?),
        "maxqueue" => own.maxqueue = Some(number(value, 0, large, reader)?),
        "id" => own.id = Some(number(value, 1, large, reader)?),
        "pool-max-conn" => own.pool_max = limit(value, reader),
        "max-reuse" => own.max_reuse = limit(value, reader),
        "pool-purge-delay" => own.pool_idle = Some(time(value, reader)?),
        "slowstart" => own.slowstart = Some(time(value, reader)?),
        "tcp-ut" => own.user_timeout = keep_alive::user_timeout(value, reader),
        "usesrc" => {
            let message = "`usesrc` stands behind `source` and its address";
            let help = "write for example `source 0.0.0.0 usesrc clientip`";
            reader.push(Diagnostic::error(Code::Syntax, word.span, message).help(help));
            return None;
        }
        "cookie" => own.cookie = text(),
        "track" => own.track = text(),
        "redir" => own.redirect = text(),
        "init-addr" => own.first_address = Some(value.spanned(first_address(value, reader)?)),
        "resolvers" => {
            let asked = (SectionKind::Resolvers, value.spanned(value.text.clone()));
            reader.asked_sections.push(asked);
            own.resolvers = text();
        }
        "resolve-prefer" => own.resolve_prefer = Some(value.spanned(family(value, reader)?)),
        "resolve-net" => own.resolve_net = networks(value, reader)?,
        "resolve-opts" => own.shares_addresses = shares_addresses(value, reader)?,
        "on-marked-down" => {
            own.shutdown_on_down = Some(word_is(value, "shutdown-sessions", reader)?)
        }
        "on-marked-up" => {
            own.shutdown_backups_on_up = Some(word_is(value, "shutdown-backup-sessions", reader)?);
        }
        "agent-port" => own.agent.port = Some(number(value, 1, u64::from(u16::MAX), reader)?),
        "agent-addr" => own.agent.address = Some(address(value, reader)?),
        "agent-inter" => own.agent.inter = Some(some_time(value, reader)?),
        "agent-send" => own.agent.send = text(),
        "proxy-v2-options" => proxy_options(own, value, reader)?,
        "alpn" | "verify" | "verifyhost" | "ca-file" | "crl-file" | "crt" | "sni" | "ciphers"
        | "ciphersuites" | "ssl-min-ver" | "ssl-max-ver" => tls(&mut own.tls, word, value, reader)?,
        _ => check(&mut own.check, word, value, reader)?,
    }
    Some(())
}

fn check(own: &mut CheckPlan, word: &Word, value: &Word, reader: &mut Reader<'_>) -> Option<()> {
    let most = u64::from(u16::MAX);
    match word.as_str() {
        "inter" => own.inter = Some(some_time(value, reader)?),
        "fastinter" => own.fastinter = Some(some_time(value, reader)?),
        "downinter" => own.downinter = Some(some_time(value, reader)?),
        "rise" => own.rise = Some(number(value, 1, most, reader)?),
        "fall" => own.fall = Some(number(value, 1, most, reader)?),
        "port" => own.port = Some(number(value, 1, most, reader)?),
        "check-sni" => own.sni = Some(value.spanned(value.text.clone())),
        "check-alpn" => own.alpn = alpn(value),
        "error-limit" => own.error_limit = Some(number(value, 1, most, reader)?),
        "observe" => {
            own.observe = match value.as_str() {
                "none" => None,
                "layer4" => Some(value.spanned(ObservedLayer::Connection)),
                "layer7" => Some(value.spanned(ObservedLayer::Response)),
                other => {
                    let known = ["none", "layer4", "layer7"];
                    let found = crate::unknown_word(value.span, "value of `observe`", other, known);
                    reader.push(found);
                    return None;
                }
            };
        }
        "on-error" => {
            own.on_error = match value.as_str() {
                "fastinter" => Some(OnErrors::CheckSooner),
                "fail-check" => Some(OnErrors::FailCheck),
                "sudden-death" => Some(OnErrors::LastChance),
                "mark-down" => Some(OnErrors::MarkDown),
                other => {
                    let known = ["fastinter", "fail-check", "sudden-death", "mark-down"];
                    let found =
                        crate::unknown_word(value.span, "value of `on-error`", other, known);
                    reader.push(found);
                    return None;
                }
            };
        }
        "addr" => own.address = Some(address(value, reader)?),
        _ => {}
    }
    Some(())
}

fn tls(own: &mut ServerTls, word: &Word, value: &Word, reader: &mut Reader<'_>) -> Option<()> {
    let text = || Some(value.spanned(value.text.clone()));
    match word.as_str() {
        "verify" => match value.as_str() {
            "none" => own.verify = Some(value.spanned(false)),
            "required" => own.verify = Some(value.spanned(true)),
            other => {
                let known = ["none", "required"];
                reader.push(crate::unknown_word(
                    value.span,
                    "value of `verify`",
                    other,
                    known,
                ));
                return None;
            }
        },
        "ca-file" => own.ca_file = text(),
        "crt" => own.certificate = text(),
        "sni" => own.sni = text(),
        "verifyhost" => own.verify_host = text(),
        "crl-file" => own.crl_file = text(),
        "alpn" => own.alpn = alpn(value),
        "ciphers" => own.ciphers = text(),
        "ciphersuites" => own.ciphersuites = text(),
        _ => version(&mut own.versions, word, value, reader),
    }
    Some(())
}

fn address(value: &Word, reader: &mut Reader<'_>) -> Option<Spanned<IpAddr>> {
    match value.as_str().parse::<IpAddr>() {
        Ok(ip) => Some(value.spanned(ip)),
        Err(_) => {
            let message = format!("`{}` is not an address", value.text);
            reader.error(Code::WrongType, value.span, message);
            None
        }
    }
}

/// `-1` is no limit.
fn limit(value: &Word, reader: &mut Reader<'_>) -> Option<Spanned<u32>> {
    if value.as_str() == "-1" {
        return None;
    }
    number(value, 0, u64::from(u32::MAX), reader)
}

fn number<T: TryFrom<u64>>(
    value: &Word,
    min: u64,
    max: u64,
    reader: &mut Reader<'_>,
) -> Option<Spanned<T>> {
    let number = whole(value, min, max, reader)?;
    Some(value.spanned(T::try_from(number).ok()?))
}

fn time(value: &Word, reader: &mut Reader<'_>) -> Option<Spanned<Duration>> {
    Some(value.spanned(units::duration(value, Unit::Milliseconds, reader)?))
}

/// A time above zero.
fn some_time(value: &Word, reader: &mut Reader<'_>) -> Option<Spanned<Duration>> {
    let time = time(value, reader)?;
    if time.value.is_zero() {
        let message = format!("`{}` is no time between checks", value.text);
        reader.error(Code::OutOfRange, value.span, message);
        return None;
    }
    Some(time)
}

fn word_is(value: &Word, known: &str, reader: &mut Reader<'_>) -> Option<Spanned<bool>> {
    if value.as_str() == known {
        return Some(value.spanned(true));
    }
    reader.push(crate::unknown_word(
        value.span,
        "word",
        value.as_str(),
        [known],
    ));
    None
}

/// `ipv4` or `ipv6`.
fn family(value: &Word, reader: &mut Reader<'_>) -> Option<Family> {
    match value.as_str() {
        "ipv4" => Some(Family::Ipv4),
        "ipv6" => Some(Family::Ipv6),
        other => {
            let known = ["ipv4", "ipv6"];
            let found = crate::unknown_word(value.span, "family of addresses", other, known);
            reader.push(found);
            None
        }
    }
}

/// `10.0.0.0/8,192.168.0.0/16`.
fn networks(value: &Word, reader: &mut Reader<'_>) -> Option<Vec<Spanned<IpNet>>> {
    let mut found = Vec::new();
    for part in value.as_str().split(',') {
        match network(part) {
            Ok(network) => found.push(value.spanned(network)),
            Err(message) => {
                reader.push(Diagnostic::error(Code::WrongType, value.span, message));
                return None;
            }
        }
    }
    Some(found)
}

/// `allow-dup-ip,ignore-weight,prevent-dup-ip`; true where servers of one name may have one address.
fn shares_addresses(value: &Word, reader: &mut Reader<'_>) -> Option<bool> {
    let mut shares = false;
    for part in value.as_str().split(',').filter(|part| !part.is_empty()) {
        match part {
            "allow-dup-ip" => shares = true,
            "prevent-dup-ip" => shares = false,
            "ignore-weight" => {}
            other => {
                let known = ["allow-dup-ip", "ignore-weight", "prevent-dup-ip"];
                let found =
                    crate::unknown_word(value.span, "option of `resolve-opts`", other, known);
                reader.push(found);
                return None;
            }
        }
    }
    Some(shares)
}

/// `last,libc,none,10.0.0.1`.
fn first_address(value: &Word, reader: &mut Reader<'_>) -> Option<Vec<FirstAddress>> {
    let mut list = Vec::new();
    for part in value.as_str().split(',').filter(|part| !part.is_empty()) {
        list.push(match part {
            "last" => FirstAddress::Last,
            "libc" => FirstAddress::Resolver,
            "none" => FirstAddress::None,
            other => match other.parse() {
                Ok(ip) => FirstAddress::Ip(ip),
                Err(_) => {
                    let found = Diagnostic::error(
                        Code::Unknown,
                        value.span,
                        format!("`{other}` is no source of a first address"),
                    );
                    reader.push(found.help("known: `last`, `libc`, `none`, or an address"));
                    return None;
                }
            },
        });
    }
    Some(list)
}

/// `ssl,cert-cn,…`; they are said before or behind `send-proxy-v2`.
fn proxy_options(own: &mut ServerOptions, value: &Word, reader: &mut Reader<'_>) -> Option<()> {
    let mut parts = Vec::new();
    for word in value.as_str().split(',') {
        parts.extend(match word {
            "ssl" => vec![ProxyPart::Tls],
            "cert-cn" => vec![ProxyPart::Tls, ProxyPart::CommonName],
            "ssl-cipher" => vec![ProxyPart::Tls, ProxyPart::Cipher],
            "cert-sig" => vec![ProxyPart::Tls, ProxyPart::Signature],
            "cert-key" => vec![ProxyPart::Tls, ProxyPart::Key],
            "authority" => vec![ProxyPart::Authority],
            "crc32c" => vec![ProxyPart::Checksum],
            "unique-id" => vec![ProxyPart::UniqueId],
            other => {
                let known = [
                    "ssl",
                    "cert-cn",
                    "ssl-cipher",
                    "cert-sig",
                    "cert-key",
                    "authority",
                    "crc32c",
                    "unique-id",
                ];
                let what = "word of `proxy-v2-options`";
                reader.push(crate::unknown_word(value.span, what, other, known));
                return None;
            }
        });
    }
    let sent = own.sent.get_or_insert(Sent {
        version: ProxyProtocol::V2,
        parts: Vec::new(),
        span: value.span,
    });
    sent.version = ProxyProtocol::V2;
    for part in parts {
        if !sent.parts.contains(&part) {
            sent.parts.push(part);
        }
    }
    Some(())
}
