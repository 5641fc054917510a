//! `bind`: where a frontend accepts, and how.

use super::keyword::{missing, whole};
use super::{Args, Proxy, keep_alive};
use crate::haproxy::keywords::{self, OptionOf};
use crate::haproxy::{Line, Reader, Word, address};
use portway_model::address::BindAddress;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::settings::{Faults, FileMode, TlsVersion};
use portway_model::span::{Span, Spanned};
use std::time::Duration;

/// What is asked of the other side's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verification {
    /// Nothing.
    None,
    /// It may have one.
    Optional,
    /// It must have one.
    Required,
}

/// Versions that are spoken, of the two that exist here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) min: Option<Spanned<TlsVersion>>,
    pub(crate) max: Option<Spanned<TlsVersion>>,
}

/// TLS of a bind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct BindTls {
    /// `ssl` was said; else the rest is kept and not used.
    pub(crate) enabled: bool,
    pub(crate) certificates: Vec<Spanned<String>>,
    pub(crate) certificate_lists: Vec<Spanned<String>>,
    pub(crate) alpn: Option<Spanned<Vec<String>>>,
    /// Only of a certificate in a list.
    pub(crate) ocsp_update: Option<Spanned<bool>>,
    pub(crate) ciphers: Option<Spanned<String>>,
    pub(crate) ciphersuites: Option<Spanned<String>>,
    pub(crate) curves: Option<Spanned<String>>,
    /// What counts where `curves` does not.
    pub(crate) ecdhe: Option<Spanned<String>>,
    pub(crate) versions: Versions,
    pub(crate) strict_sni: Option<Span>,
    pub(crate) verify: Option<Spanned<Verification>>,
    pub(crate) ca_file: Option<Spanned<String>>,
    /// More CAs, whose names clients are not told.
    pub(crate) ca_verify_file: Option<Spanned<String>>,
    /// What may be wrong with the certificate of a client, and with those above it.
    pub(crate) crt_ignored: Option<Spanned<Faults>>,
    pub(crate) ca_ignored: Option<Spanned<Faults>>,
    pub(crate) crl_file: Option<Spanned<String>>,
}

/// What `proto` says is spoken, whatever was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mux {
    H1,
    H2,
    /// Nothing that is read: of `mode tcp`.
    None,
    /// Of servers.
    Fcgi,
}

/// In the words of the file.
pub(crate) const MUXES: [(&str, Mux); 4] = [
    ("h1", Mux::H1),
    ("h2", Mux::H2),
    ("none", Mux::None),
    ("fcgi", Mux::Fcgi),
];

/// One `bind` line.
#[derive(Debug, Clone)]
pub(crate) struct Bind {
    pub(crate) addresses: Vec<Spanned<BindAddress>>,
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) accept_proxy: Option<Span>,
    pub(crate) maxconn: Option<Spanned<u32>>,
    /// Permissions and owner of a UNIX socket.
    pub(crate) socket_mode: Option<Spanned<FileMode>>,
    pub(crate) socket_user: Option<Spanned<String>>,
    pub(crate) socket_group: Option<Spanned<String>>,
    pub(crate) v4v6: Option<Span>,
    pub(crate) v6only: Option<Span>,
    pub(crate) transparent: Option<Span>,
    pub(crate) interface: Option<Spanned<String>>,
    pub(crate) backlog: Option<Spanned<u32>>,
    pub(crate) user_timeout: Option<Spanned<Duration>>,
    pub(crate) mux: Option<Spanned<Mux>>,
    pub(crate) tls: BindTls,
    pub(crate) span: Span,
}

impl Versions {
    /// These where they say something, else the others.
    pub(crate) fn or(self, other: Versions) -> Versions {
        Versions {
            min: self.min.or(other.min),
            max: self.max.or(other.max),
        }
    }
}

impl Bind {
    /// A bind that says nothing but its addresses.
    pub(crate) fn new(addresses: Vec<Spanned<BindAddress>>, span: Span) -> Self {
        Self {
            addresses,
            name: None,
            accept_proxy: None,
            maxconn: None,
            socket_mode: None,
            socket_user: None,
            socket_group: None,
            v4v6: None,
            v6only: None,
            transparent: None,
            interface: None,
            backlog: None,
            user_timeout: None,
            mux: None,
            tls: BindTls::default(),
            span,
        }
    }
}

/// Reads a line of addresses and options.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(first) = line.word(1) else {
        missing(line, "an address, such as `:80`", reader);
        return;
    };
    let option = first.as_str();
    if keywords::is_option(OptionOf::Bind, option) {
        let message = format!("`bind` without an address: `{option}` stands in its place");
        let help = format!("write an address and a port before it, such as `bind :443 {option}`");
        reader.push(Diagnostic::error(Code::Missing, first.span, message).help(help));
        proxy.bind_failed = true;
        return;
    }
    let addresses = address::bind(first, reader);
    let mut bind = Bind::new(addresses, line.span);
    options(&mut bind, &mut Args::new(line, 2), reader);
    let owner = [&bind.socket_user, &bind.socket_group];
    let said = owner.into_iter().flatten().map(|it| it.span);
    let said = said.chain(bind.socket_mode.map(|it| it.span));
    of_files_only(&bind.addresses, said, reader);
    if bind.addresses.is_empty() {
        proxy.bind_failed = true;
    } else {
        proxy.binds.push(bind);
    }
}

/// Warns of an owner and permissions where no address is a file.
pub(crate) fn of_files_only(
    addresses: &[Spanned<BindAddress>],
    said: impl Iterator<Item = Span>,
    reader: &mut Reader<'_>,
) {
    let is_file = |it: &Spanned<BindAddress>| matches!(it.value, BindAddress::Unix(_));
    if addresses.is_empty() || addresses.iter().any(is_file) {
        return;
    }
    for span in said {
        let message = "only the file of a UNIX socket has an owner and permissions";
        reader.warn(Code::NotRun, span, message);
    }
}

/// Everything behind the address.
fn options(bind: &mut Bind, args: &mut Args<'_>, reader: &mut Reader<'_>) {
    while let Some(word) = args.next() {
        let option = word.as_str();
        if !keywords::option(OptionOf::Bind, word, reader) {
            if !keywords::is_option(OptionOf::Bind, option) {
                // What follows an unknown word may belong to it.
                return;
            }
            keywords::skip(OptionOf::Bind, word, args, reader);
            continue;
        }
        if flag(bind, word) || version_flag(&mut bind.tls.versions, word, reader) {
            continue;
        }
        if keywords::arguments(OptionOf::Bind, option) == 0 {
            continue;
        }
        let Some(value) = args.next() else {
            let message = format!("`{option}` needs a value");
            reader.error(Code::Missing, word.span, message);
            return;
        };
        valued(bind, word, value, reader);
    }
}

/// Options without a value.
fn flag(bind: &mut Bind, word: &Word) -> bool {
    match word.as_str() {
        "ssl" => bind.tls.enabled = true,
        "strict-sni" => bind.tls.strict_sni = Some(word.span),
        "accept-proxy" => bind.accept_proxy = Some(word.span),
        "v4v6" => bind.v4v6 = Some(word.span),
        "v6only" => bind.v6only = Some(word.span),
        "transparent" => bind.transparent = Some(word.span),
        _ => return false,
    }
    true
}

/// Options with a value.
fn valued(bind: &mut Bind, word: &Word, value: &Word, reader: &mut Reader<'_>) {
    let text = || Some(value.spanned(value.text.clone()));
    match word.as_str() {
        "name" => bind.name = text(),
        "maxconn" => {
            bind.maxconn = whole(value, 0, u64::from(u32::MAX), reader)
                .and_then(|n| u32::try_from(n).ok())
                .map(|n| value.spanned(n));
        }
        "mode" => bind.socket_mode = permissions(value, reader),
        "interface" => bind.interface = text(),
        "backlog" => {
            bind.backlog = whole(value, 0, u64::from(u32::MAX), reader)
                .and_then(|n| u32::try_from(n).ok())
                .map(|n| value.spanned(n));
        }
        "proto" => bind.mux = mux(value, reader),
        "tcp-ut" => bind.user_timeout = keep_alive::user_timeout(value, reader),
        "user" | "uid" => bind.socket_user = text(),
        "group" | "gid" => bind.socket_group = text(),
        "crt" => bind.tls.certificates.extend(text()),
        "crt-list" => bind.tls.certificate_lists.extend(text()),
        "ciphers" => bind.tls.ciphers = text(),
        "ciphersuites" => bind.tls.ciphersuites = text(),
        "curves" => bind.tls.curves = text(),
        "ecdhe" => bind.tls.ecdhe = text(),
        "ca-file" => bind.tls.ca_file = text(),
        "ca-verify-file" => bind.tls.ca_verify_file = text(),
        "crt-ignore-err" => ignored(&mut bind.tls.crt_ignored, word, value, reader),
        "ca-ignore-err" => ignored(&mut bind.tls.ca_ignored, word, value, reader),
        "crl-file" => bind.tls.crl_file = text(),
        "alpn" => bind.tls.alpn = alpn(value),
        "verify" => bind.tls.verify = verification(value, reader),
        "ssl-min-ver" | "ssl-max-ver" => {
            version(&mut bind.tls.versions, word, value, reader);
        }
        // They are of control sockets; a listener of a frontend only holds them to be right.
        "level" => known(word, value, &["user", "operator", "admin"], reader),
        "expose-fd" => known(word, value, &["listeners"], reader),
        _ => {}
    }
}

fn mux(value: &Word, reader: &mut Reader<'_>) -> Option<Spanned<Mux>> {
    let found = MUXES.iter().find(|(word, _)| *word == value.as_str());
    if found.is_none() {
        let known = MUXES.iter().map(|(word, _)| *word);
        let what = "value of `proto`";
        reader.push(crate::unknown_word(value.span, what, value.as_str(), known));
    }
    found.map(|(_, mux)| value.spanned(*mux))
}

fn known(word: &Word, value: &Word, known: &[&str], reader: &mut Reader<'_>) {
    if !known.contains(&value.as_str()) {
        let what = format!("value of `{}`", word.text);
        let known = known.iter().copied();
        reader.push(crate::unknown_word(
            value.span,
            &what,
            value.as_str(),
            known,
        ));
    }
}

/// What stands in brackets behind a certificate of a list, over what its bind says. `Err`: what is wrong.
pub(crate) fn certificate_options(
    tls: &mut BindTls,
    words: &[Word],
    reader: &mut Reader<'_>,
) -> Result<(), String> {
    let mut bind = Bind::new(Vec::new(), Span::NONE);
    bind.tls = std::mem::take(tls);
    let mut words = words.iter();
    let mut wrong = Ok(());
    while let Some(word) = words.next() {
        let option = word.as_str();
        if option == OCSP_UPDATE {
            let Some(value) = words.next() else {
                wrong = Err(format!("`{option}` needs a value: on or off"));
                break;
            };
            bind.tls.ocsp_update = on_or_off(value, reader);
            continue;
        }
        if !CERTIFICATE_OPTIONS.contains(&option) {
            wrong = Err(format!("`{option}` is no option of a certificate"));
            break;
        }
        let takes = keywords::arguments(OptionOf::Bind, option);
        if !keywords::option(OptionOf::Bind, word, reader) {
            words.by_ref().take(takes).for_each(drop);
            continue;
        }
        if takes == 0 {
            continue;
        }
        let Some(value) = words.next() else {
            wrong = Err(format!("`{option}` needs a value"));
            break;
        };
        valued(&mut bind, word, value, reader);
    }
    *tls = bind.tls;
    wrong
}

/// Of certificates of a list alone, since HAProxy 2.8.
const OCSP_UPDATE: &str = "ocsp-update";

/// `on` or `off`.
pub(crate) fn on_or_off(value: &Word, reader: &mut Reader<'_>) -> Option<Spanned<bool>> {
    match value.as_str() {
        "on" => Some(value.spanned(true)),
        "off" => Some(value.spanned(false)),
        other => {
            let what = "value of `ocsp-update`";
            reader.push(crate::unknown_word(value.span, what, other, ["on", "off"]));
            None
        }
    }
}

/// Options that a certificate of a list may have.
const CERTIFICATE_OPTIONS: [&str; 14] = [
    "allow-0rtt",
    "alpn",
    "ca-file",
    "ca-verify-file",
    "ciphers",
    "ciphersuites",
    "crl-file",
    "curves",
    "ecdhe",
    "no-ca-names",
    "npn",
    "ssl-max-ver",
    "ssl-min-ver",
    "verify",
];

/// Faults beside those of an option before.
fn ignored(
    known: &mut Option<Spanned<Faults>>,
    word: &Word,
    value: &Word,
    reader: &mut Reader<'_>,
) {
    let before = known.map_or(Faults::default(), |it| it.value);
    match Faults::read(value.as_str()) {
        Some(faults) => *known = Some(value.spanned(before.and(faults))),
        None => {
            let (option, highest) = (&word.text, Faults::HIGHEST);
            let message = format!(
                "`{option}` takes numbers of OpenSSL from 1 to {highest}, not `{}`",
                value.text
            );
            reader.push(
                Diagnostic::error(Code::OutOfRange, value.span, message)
                    .help(format!("write `{option} 10,23`, or `{option} all`")),
            );
        }
    }
}

/// Permissions in octal digits.
pub(crate) fn permissions(value: &Word, reader: &mut Reader<'_>) -> Option<Spanned<FileMode>> {
    let mode = u16::from_str_radix(value.as_str(), 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        let message = format!("`{}` is not a mode such as 660", value.text);
        reader.error(Code::WrongType, value.span, message);
    }
    mode.map(|mode| value.spanned(FileMode(mode)))
}

/// A comma separated list of protocols.
pub(super) fn alpn(value: &Word) -> Option<Spanned<Vec<String>>> {
    let list = value.as_str().split(',').filter(|name| !name.is_empty());
    Some(value.spanned(list.map(str::to_owned).collect()))
}

fn verification(value: &Word, reader: &mut Reader<'_>) -> Option<Spanned<Verification>> {
    let verify = match value.as_str() {
        "none" => Verification::None,
        "optional" => Verification::Optional,
        "required" => Verification::Required,
        other => {
            let known = ["none", "optional", "required"];
            reader.push(crate::unknown_word(
                value.span,
                "value of `verify`",
                other,
                known,
            ));
            return None;
        }
    };
    Some(value.spanned(verify))
}

/// `no-tlsv12`, `force-tlsv13` and the like; false for other words.
pub(crate) fn version_flag(versions: &mut Versions, word: &Word, reader: &mut Reader<'_>) -> bool {
    let at = |version| Some(word.spanned(version));
    match word.as_str() {
        // Older versions than 1.2 are never spoken.
        "no-sslv3" | "no-tlsv10" | "no-tlsv11" => {}
        "no-tlsv12" => versions.min = at(TlsVersion::V13),
        "no-tlsv13" => versions.max = at(TlsVersion::V12),
        "force-tlsv12" => {
            *versions = Versions {
                min: at(TlsVersion::V12),
                max: at(TlsVersion::V12),
            }
        }
        "force-tlsv13" => {
            *versions = Versions {
                min: at(TlsVersion::V13),
                max: at(TlsVersion::V13),
            }
        }
        "force-sslv3" | "force-tlsv10" | "force-tlsv11" => outdated(word, reader),
        _ => return false,
    }
    true
}

/// `ssl-min-ver`, `ssl-max-ver`.
pub(crate) fn version(versions: &mut Versions, word: &Word, value: &Word, reader: &mut Reader<'_>) {
    let lowest = word.as_str() == "ssl-min-ver";
    let version = match value.as_str() {
        "SSLv3" | "TLSv1.0" | "TLSv1.1" if lowest => {
            let message = format!(
                "Portway speaks no {}: the lowest version is TLSv1.2",
                value.text
            );
            reader.warn(Code::PolicyReduced, value.span, message);
            TlsVersion::V12
        }
        "SSLv3" | "TLSv1.0" | "TLSv1.1" => return outdated(value, reader),
        "TLSv1.2" => TlsVersion::V12,
        "TLSv1.3" => TlsVersion::V13,
        other => {
            let known = ["TLSv1.2", "TLSv1.3", "TLSv1.1", "TLSv1.0", "SSLv3"];
            reader.push(crate::unknown_word(
                value.span,
                "version of TLS",
                other,
                known,
            ));
            return;
        }
    };
    let place = if lowest {
        &mut versions.min
    } else {
        &mut versions.max
    };
    *place = Some(value.spanned(version));
}

fn outdated(word: &Word, reader: &mut Reader<'_>) {
    reader.push(
        Diagnostic::error(
            Code::NotRun,
            word.span,
            format!(
                "`{}` asks for a version below TLS 1.2, which Portway does not speak",
                word.text
            ),
        )
        .help("TLSv1.2 and TLSv1.3 are spoken"),
    );
}
