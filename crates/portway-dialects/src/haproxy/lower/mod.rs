//! Settings to the model: when the whole text is read, each proxy that accepts becomes listeners and each that has servers
//! a group.
//!
//! One frontend becomes one listener, or several that are known by its name where its binds differ in TLS. A `listen`
//! section becomes both; its HTTP rules are the listener's, as HAProxy runs them once. Rules keep their order within
//! their lists, and lists run in HAProxy's order: content, http-request, statistics, redirect, use_backend.

mod answers;
mod check;
mod client_header;
mod group;
mod http2;
mod listener;
mod log;
mod rdp;
mod references;
mod rules;
mod shared;
mod stats;
mod tls;
mod track;

use super::Reader;
use super::proxy::{Proxy, remember_servers};
use portway_model::action::Action;
use portway_model::draft::Draft;
use portway_model::log::{LogHostname, Syslog};
use portway_model::span::Spanned;
use std::time::Duration;

/// What the global section says that proxies need.
#[derive(Debug, Clone, Default)]
pub(crate) struct Base {
    /// Where the paths of certificates begin.
    pub(crate) crt_base: Option<String>,
    /// Where the paths of CA files begin.
    pub(crate) ca_base: Option<String>,
    /// `log` lines, for `log global`.
    pub(crate) logs: Vec<Spanned<Syslog>>,
    pub(crate) log_tag: Option<String>,
    /// `log-send-hostname`, of every `log` line.
    pub(crate) log_hostname: Option<LogHostname>,
    pub(crate) bind_ciphers: Option<Spanned<String>>,
    pub(crate) bind_ciphersuites: Option<Spanned<String>>,
    pub(crate) bind_curves: Option<Spanned<String>>,
    pub(crate) bind_options: super::proxy::Versions,
    pub(crate) server_ciphers: Option<Spanned<String>>,
    pub(crate) server_ciphersuites: Option<Spanned<String>>,
    pub(crate) server_options: super::proxy::Versions,
    /// What `ssl-load-extra-files` leaves out: bundles, and files of keys.
    pub(crate) no_bundles: bool,
    pub(crate) no_key_files: bool,
    /// Answers of OCSP that lie beside a certificate are not sent.
    pub(crate) no_ocsp_files: bool,
    /// Issuers that lie beside a certificate are not read.
    pub(crate) no_issuer_files: bool,
    /// `tune.ssl.ocsp-update.…`
    pub(crate) ocsp_updates: OcspUpdates,
    /// `ssl-load-extra-del-ext`.
    pub(crate) cut_extension: bool,
    /// `spread-checks`: how far checks are from their interval, in percent.
    pub(crate) jitter_percent: Option<Spanned<u16>>,
    /// `ssl-server-verify none`.
    pub(crate) verify_none: bool,
}

/// How answers of OCSP are fetched, as of HAProxy 2.8.
#[derive(Debug, Clone, Default)]
pub(crate) struct OcspUpdates {
    /// They are of every certificate that says nothing else.
    pub(crate) mode: Option<Spanned<bool>>,
    pub(crate) min_delay: Option<Spanned<Duration>>,
    pub(crate) max_delay: Option<Spanned<Duration>>,
}

/// No limit: the longest time of the model, HAProxy's own.
const NO_LIMIT: Duration = Duration::from_millis(i32::MAX as u64);

/// Everything at hand while drafts are made.
struct Lowering<'a, 'r, 'i> {
    proxies: &'a [Proxy],
    base: &'a Base,
    draft: &'a mut Draft,
    reader: &'r mut Reader<'i>,
}

/// Adds the listeners and groups of every proxy to the draft.
pub(crate) fn lower(proxies: &[Proxy], base: &Base, draft: &mut Draft, reader: &mut Reader<'_>) {
    let mut lowering = Lowering {
        proxies,
        base,
        draft,
        reader,
    };
    for proxy in proxies {
        lowering.reader.proxy = Some(proxy.name.value.clone());
        let table = proxy.stick_table.as_ref();
        let table = table.map(|table| table.value.clone());
        lowering.draft.stick_tables.extend(table);
        lowering.check_references(proxy);
        lowering.check_timeouts(proxy);
        if proxy.kind.accepts() {
            lowering.listeners(proxy);
        }
        if proxy.kind.serves() {
            lowering.group(proxy);
        }
    }
    lowering.reader.proxy = None;
    lowering.stored_servers();
    lowering.shared_addresses();
}

impl<'a> Lowering<'a, '_, '_> {
    /// Tables by which rules keep clients store servers, whether they say so or not.
    fn stored_servers(&mut self) {
        let Draft {
            groups,
            stick_tables,
            ..
        } = &mut *self.draft;
        let rules = groups.iter().flat_map(|group| &group.rules);
        for action in rules.flat_map(|rule| &rule.actions) {
            let Action::Stick { table: name, .. } = action else {
                continue;
            };
            let mut tables = stick_tables.iter_mut();
            if let Some(table) = tables.find(|table| table.name.value == name.value) {
                remember_servers(table, name.span);
            }
        }
    }

    /// The proxy with servers of this name.
    fn backend(&self, name: &str) -> Option<&'a Proxy> {
        self.proxies
            .iter()
            .find(|proxy| proxy.kind.serves() && proxy.name.value == name)
    }
}

/// A timeout as the model has it: none and zero are no limit.
fn limit(given: Option<Spanned<Duration>>) -> Option<Spanned<Duration>> {
    Some(match given {
        Some(given) if given.value.is_zero() => given.map(|_| NO_LIMIT),
        Some(given) => given,
        None => Spanned::bare(NO_LIMIT),
    })
}

/// A file of which the path may begin in a base folder.
fn path_in(base: Option<&String>, path: &str) -> String {
    match base {
        Some(base) if !path.starts_with('/') => format!("{}/{path}", base.trim_end_matches('/')),
        _ => path.to_owned(),
    }
}
