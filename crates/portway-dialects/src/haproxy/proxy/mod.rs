//! Proxies as settings: what the sections defaults, frontend, backend and listen say, each value with its place.
//!
//! A section begins as a copy of the `defaults` section in force ([`Proxy::begin`]); its lines are read in order, one
//! function a keyword. Nothing is decided here that depends on what may follow: the mode, a backend that is named, the
//! options that a rule needs. That is `lower`'s, when the whole text is read.

mod args;
mod balance;
mod bind;
mod check;
mod check_rule;
mod compression;
mod cookie;
mod error_file;
mod http_rule;
mod keep_alive;
mod keyword;
mod log;
mod map_rule;
mod option;
mod read;
mod redirect;
mod respond;
mod rule;
mod server;
pub(super) mod set_var;
mod server_option;
mod source;
mod stats;
mod stick;
mod table;
mod tcp_rule;

pub(crate) use args::Args;
pub(crate) use balance::{Balance, HashType};
pub(crate) use bind::{
    Bind, BindTls, MUXES, Mux, Verification, Versions, certificate_options, of_files_only,
    on_or_off, permissions, version, version_flag,
};
pub(crate) use check::{CheckMethod, CheckSettings, HttpCheckRequest};
pub(crate) use check_rule::{CheckRule, completed as completed_request};
pub(crate) use compression::CompressionSettings;
pub(crate) use cookie::CookieSettings;
pub(crate) use keep_alive::Probes;
pub(crate) use keyword::timeout as set_timeout;
pub(crate) use log::{LENGTHS, LogForm, LogTarget, known, log_targets};
pub(crate) use option::{ClientHeader, Closing, Flags};
pub(crate) use read::{ErrorSection, read};
pub(crate) use respond::{ErrorLine, ErrorReply, error_section, replace};
pub(crate) use rule::{List, RuleLine, Step, add as add_rule, condition as bare_condition, place};
pub(crate) use server::{Server, ServerAddress, added as added_server};
pub(crate) use server_option::{CheckPlan, ServerOptions, ServerTls};
pub(crate) use stats::{STATS_URI, StatsSettings, StatsStep, is_node, node_fault};
pub use table::COUNTER_WORDS;
pub(in crate::haproxy) use table::remember_servers;

use crate::haproxy::Word;
use crate::haproxy::acl::Acls;
use ipnet::IpNet;
use portway_model::draft::StickTableDraft;
use portway_model::expression::Condition;
use portway_model::settings::{ConnectionReuse, SourceAddress};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::time::Duration;

/// Which kind of section a proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// What others begin with.
    Defaults,
    /// Accepts.
    Frontend,
    /// Has servers.
    Backend,
    /// Both.
    Listen,
}

impl ProxyKind {
    /// The word of the section.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ProxyKind::Defaults => "defaults",
            ProxyKind::Frontend => "frontend",
            ProxyKind::Backend => "backend",
            ProxyKind::Listen => "listen",
        }
    }

    /// True where clients come.
    pub(crate) fn accepts(self) -> bool {
        matches!(self, ProxyKind::Frontend | ProxyKind::Listen)
    }

    /// True where servers are.
    pub(crate) fn serves(self) -> bool {
        matches!(self, ProxyKind::Backend | ProxyKind::Listen)
    }
}

/// What a proxy understands of what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Bytes.
    Tcp,
    /// Requests.
    Http,
}

/// `timeout …`. `None` and zero: no limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeouts {
    pub(crate) client: Option<Spanned<Duration>>,
    pub(crate) server: Option<Spanned<Duration>>,
    pub(crate) connect: Option<Spanned<Duration>>,
    pub(crate) queue: Option<Spanned<Duration>>,
    pub(crate) check: Option<Spanned<Duration>>,
    pub(crate) tunnel: Option<Spanned<Duration>>,
    pub(crate) http_request: Option<Spanned<Duration>>,
    pub(crate) http_keep_alive: Option<Spanned<Duration>>,
    pub(crate) tarpit: Option<Spanned<Duration>>,
    pub(crate) client_fin: Option<Spanned<Duration>>,
    pub(crate) server_fin: Option<Spanned<Duration>>,
}

/// What is kept of requests or responses for the log.
#[derive(Debug, Clone)]
pub(crate) enum CaptureSlot {
    /// `capture request|response header NAME len N`.
    Header(String),
    /// `declare capture`, filled by rules.
    Declared,
}

/// One slot of a frontend's captures, in the order of the text.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    pub(crate) slot: CaptureSlot,
    /// Bytes at most.
    pub(crate) length: u16,
    pub(crate) span: Span,
}

/// `capture cookie NAME len N`.
#[derive(Debug, Clone)]
pub(crate) struct CookieCapture {
    /// The beginning of the cookie's name, or with its `=` all of it.
    pub(crate) name: String,
    pub(crate) length: u16,
    pub(crate) span: Span,
}

/// What becomes of headers whose names have other than letters, digits and `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OddNames {
    /// They are left alone.
    Preserve,
    /// They are taken away.
    Delete,
    /// The request is refused.
    Reject,
}

/// A proxy, or what proxies begin with.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) kind: ProxyKind,
    /// The span is that of the header.
    pub(crate) name: Spanned<String>,
    pub(crate) mode: Option<Spanned<Mode>>,
    pub(crate) disabled: Option<Spanned<bool>>,
    pub(crate) number: Option<Spanned<u32>>,
    pub(crate) timeouts: Timeouts,
    /// Options that are on or off.
    pub(crate) flags: Flags,
    pub(crate) closing: Option<Spanned<Closing>>,
    /// Headers whose names have other characters than letters, digits and `-` are removed from requests.
    pub(crate) odd_names: Option<Spanned<OddNames>>,
    pub(crate) forwardfor: Option<Spanned<ClientHeader>>,
    pub(crate) originalto: Option<Spanned<ClientHeader>>,
    pub(crate) maxconn: Option<Spanned<u32>>,
    pub(crate) session_rate: Option<Spanned<u32>>,
    /// The cookie by which terminal clients go back to their server.
    pub(crate) persist_rdp_cookie: Option<Spanned<String>>,
    /// Where connections to servers come from.
    pub(crate) source: Option<Spanned<SourceAddress>>,
    /// When silent connections are probed, where that is asked for.
    pub(crate) client_probes: Probes,
    pub(crate) server_probes: Probes,
    /// What replaces answers of our own; a later line is stronger.
    pub(crate) errors: Vec<ErrorLine>,
    pub(crate) stats: Option<StatsSettings>,
    pub(crate) compression: CompressionSettings,
    pub(crate) acls: Acls,
    pub(crate) rules: Vec<RuleLine>,
    pub(crate) inspect_delay: Option<Spanned<Duration>>,
    /// `tcp-response inspect-delay`.
    pub(crate) response_inspect_delay: Option<Spanned<Duration>>,
    pub(crate) stick_table: Option<Spanned<StickTableDraft>>,
    pub(crate) logs: Vec<LogTarget>,
    pub(crate) log_form: Option<Spanned<LogForm>>,
    pub(crate) log_sd: Option<Word>,
    pub(crate) error_log: Option<Word>,
    pub(crate) log_tag: Option<Spanned<String>>,

    pub(crate) binds: Vec<Bind>,
    /// A `bind` was wrong, and said to be.
    pub(crate) bind_failed: bool,
    pub(crate) backlog: Option<Spanned<u32>>,
    pub(crate) default_backend: Option<Spanned<String>>,
    pub(crate) monitor_uri: Option<Spanned<String>>,
    pub(crate) monitor_net: Option<Spanned<IpNet>>,
    pub(crate) monitor_fail: Vec<Condition<Named>>,
    pub(crate) request_captures: Vec<Capture>,
    pub(crate) response_captures: Vec<Capture>,
    /// Slots that rules of a list name by their number.
    pub(crate) captures_by_id: Vec<(List, Spanned<u16>)>,
    pub(crate) cookie_capture: Option<CookieCapture>,
    pub(crate) unique_id_format: Option<Word>,
    pub(crate) unique_id_header: Option<Spanned<String>>,

    pub(crate) servers: Vec<Server>,
    pub(crate) default_server: ServerOptions,
    pub(crate) dispatch: Option<ServerAddress>,
    pub(crate) balance: Option<Spanned<Balance>>,
    pub(crate) hash_type: Option<Spanned<HashType>>,
    pub(crate) hash_balance_factor: Option<Spanned<u32>>,
    pub(crate) cookie: Option<Spanned<CookieSettings>>,
    pub(crate) dynamic_cookie_key: Option<Spanned<String>>,
    pub(crate) check: CheckSettings,
    pub(crate) retries: Option<Spanned<u32>>,
    pub(crate) retry_on: Option<Spanned<Vec<Spanned<String>>>>,
    /// `option redispatch`: after how many retries; 0 where it is off.
    pub(crate) redispatch: Option<Spanned<i32>>,
    pub(crate) fullconn: Option<Spanned<u32>>,
    pub(crate) http_reuse: Option<Spanned<ConnectionReuse>>,
    pub(crate) send_name_header: Option<Spanned<String>>,
}

impl Proxy {
    /// A section of the documented defaults.
    pub(crate) fn new(kind: ProxyKind, name: Spanned<String>) -> Self {
        Self {
            kind,
            name,
            mode: None,
            disabled: None,
            number: None,
            timeouts: Timeouts::default(),
            flags: Flags::default(),
            closing: None,
            odd_names: None,
            forwardfor: None,
            originalto: None,
            maxconn: None,
            session_rate: None,
            persist_rdp_cookie: None,
            source: None,
            client_probes: Probes::default(),
            server_probes: Probes::default(),
            errors: Vec::new(),
            stats: None,
            compression: CompressionSettings::default(),
            acls: Acls::default(),
            rules: Vec::new(),
            inspect_delay: None,
            response_inspect_delay: None,
            stick_table: None,
            logs: Vec::new(),
            log_form: None,
            log_sd: None,
            error_log: None,
            log_tag: None,
            binds: Vec::new(),
            bind_failed: false,
            backlog: None,
            default_backend: None,
            monitor_uri: None,
            monitor_net: None,
            monitor_fail: Vec::new(),
            request_captures: Vec::new(),
            response_captures: Vec::new(),
            captures_by_id: Vec::new(),
            cookie_capture: None,
            unique_id_format: None,
            unique_id_header: None,
            servers: Vec::new(),
            default_server: ServerOptions::default(),
            dispatch: None,
            balance: None,
            hash_type: None,
            hash_balance_factor: None,
            cookie: None,
            dynamic_cookie_key: None,
            check: CheckSettings::default(),
            retries: None,
            retry_on: None,
            redispatch: None,
            fullconn: None,
            http_reuse: None,
            send_name_header: None,
        }
    }

    /// A section that begins with what `defaults` says. Rules of a defaults section run before the section's own, but a
    /// defaults section does not take them over from another. ACLs are never taken over. (HAProxy's manual, section 4.)
    pub(crate) fn begin(kind: ProxyKind, name: Spanned<String>, defaults: &Proxy) -> Self {
        let mut proxy = Self {
            kind,
            name,
            acls: Acls::default(),
            number: None,
            check: defaults.check.inherited(),
            compression: defaults.compression.inherited(),
            ..defaults.clone()
        };
        if kind == ProxyKind::Defaults {
            proxy.rules.clear();
            proxy.inspect_delay = None;
            proxy.response_inspect_delay = None;
        }
        proxy
    }

    /// What passes: bytes where nothing is said.
    pub(crate) fn mode(&self) -> Mode {
        self.mode.map_or(Mode::Tcp, |mode| mode.value)
    }

    /// The slots that rules of this list capture into.
    pub(crate) fn captures(&self, list: List) -> &[Capture] {
        match list {
            List::HttpResponse | List::AfterResponse => &self.response_captures,
            _ => &self.request_captures,
        }
    }

    /// The proxy in messages: frontend `web`.
    pub(crate) fn words(&self) -> String {
        format!("{} `{}`", self.kind.as_str(), self.name.value)
    }

    /// True where it takes no part.
    pub(crate) fn is_disabled(&self) -> bool {
        self.disabled.is_some_and(|disabled| disabled.value)
    }
}
