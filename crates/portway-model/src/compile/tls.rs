//! TLS towards clients and towards targets.

use super::limits::MAX_ALPN_BYTES;
use super::text::{check_dns_name, check_file};
use super::{Compiler, Reported};
use crate::convert::each;
use crate::defaults;
use crate::diagnostic::{Code, Diagnostic};
use crate::draft::{
    CertificateDraft, CertificateTlsDraft, ClientsDraft, GroupDraft, ListenerDraft,
    ListenerTlsDraft, TlsPolicyDraft, UpstreamTlsDraft, Verify,
};
use crate::name::Name;
use crate::settings::{CertificateJudge, ClientAuth, Faults, Protocol, ServerName, VerifyName};
use crate::snapshot::{CertificateTls, Clients, ListenerTls, TlsPolicy, UpstreamTls};
use crate::span::{Origin, Span, Spanned};
use std::collections::HashMap;

/// ALPN protocols that an https listener may speak.
const HTTP_ALPN: [&str; 3] = ["h2", "http/1.1", "http/1.0"];

/// What a listener offers by ALPN where it does not say.
pub(crate) fn default_alpn(protocol: Protocol) -> Vec<String> {
    match protocol {
        Protocol::Https => defaults::HTTPS_ALPN.map(str::to_owned).to_vec(),
        Protocol::Http | Protocol::Tcp | Protocol::Tls => Vec::new(),
    }
}

/// What targets are offered where nothing is said.
pub(crate) fn default_upstream_alpn(protocol: Protocol) -> Vec<String> {
    match protocol {
        Protocol::Http | Protocol::Https => vec!["http/1.1".to_owned()],
        Protocol::Tcp | Protocol::Tls => Vec::new(),
    }
}

impl Compiler<'_> {
    /// TLS of a listener; `None` where it speaks none.
    pub(super) fn listener_tls(
        &mut self,
        listener: &ListenerDraft,
        protocol: Protocol,
    ) -> Result<Option<ListenerTls>, Reported> {
        let certificates = each(self, &listener.certificates, Self::certificate);
        if !protocol.is_tls() {
            self.no_listener_tls(listener, protocol);
            return certificates.map(|_| None);
        }
        if listener.certificates.is_empty() {
            let name = &listener.name;
            let missing = Diagnostic::error(
                Code::Missing,
                name.span,
                format!(
                    "{} listener `{}` has no certificate",
                    protocol.as_str(),
                    name.value
                ),
            );
            self.found.push(
                missing.help("name a file with certificate and key in `certificate_files`, or a `certificate` in `certificates`"),
            );
        }
        self.certificate_twice(listener);
        let tls = &listener.tls;
        let clients = self.clients(&tls.clients, listener.name.span);
        self.check_alpn(tls.alpn.as_ref(), protocol);
        Ok(Some(ListenerTls {
            certificates: certificates?,
            policy: self.tls_policy(&tls.policy, listener.name.span),
            alpn: match &tls.alpn {
                Some(alpn) => alpn.value.clone(),
                None => default_alpn(protocol),
            },
            accept_other_alpn: tls.accept_other_alpn.is_some_and(|x| x.value),
            strict_sni: tls.strict_sni.is_some_and(|x| x.value),
            accept_clear: tls.accept_clear.is_some_and(|x| x.value),
            clients,
            expected_names: self.expected_names(&tls.expected_names),
        }))
    }

    /// Names that certificates should be for, each once.
    fn expected_names(&mut self, names: &[Spanned<String>]) -> Vec<Spanned<String>> {
        let mut all: Vec<Spanned<String>> = Vec::new();
        for name in names {
            let host = name.value.strip_prefix("*.").unwrap_or(&name.value);
            if host.is_empty() || host.contains(['*', ' ', '/', ':']) {
                let message = format!("`{}` is no host name", name.value);
                let wrong = Diagnostic::error(Code::OutOfRange, name.span, message);
                self.found
                    .push(wrong.help("such as `shop.example` or `*.shop.example`"));
                continue;
            }
            let name = name.as_ref().map(|it| it.to_ascii_lowercase());
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    /// Reports TLS settings on a listener that speaks none.
    fn no_listener_tls(&mut self, listener: &ListenerDraft, protocol: Protocol) {
        let named = listener.certificates.iter().map(|name| name.span);
        let word = protocol.as_str();
        let settings = listener_tls_spans(&listener.tls);
        for (what, span) in [
            ("certificates", named.reduce(Span::to)),
            ("TLS settings", settings.into_iter().reduce(Span::to)),
        ] {
            let Some(span) = span else { continue };
            let conflict = Diagnostic::error(
                Code::Conflict,
                span,
                format!("{what} on a listener that speaks {word}"),
            );
            let place = listener.protocol.map_or(Span::NONE, |x| x.span);
            let help = match (listener.protocol.is_some(), protocol.is_http()) {
                (false, _) => "give it `certificates`: it then speaks https",
                (true, true) => "let it speak `https`",
                (true, false) => "let it speak `tls`, which a preset calls `SSL`",
            };
            self.found.push(
                conflict
                    .label(place, format!("it speaks {word}"))
                    .help(help),
            );
        }
    }

    fn certificate_twice(&mut self, listener: &ListenerDraft) {
        let mut places: HashMap<&Name, Span> = HashMap::new();
        for name in &listener.certificates {
            if let Some(first) = places.get(&name.value) {
                self.found.push(
                    Diagnostic::warning(
                        Code::Duplicate,
                        name.span,
                        format!("certificate `{}` is named twice", name.value),
                    )
                    .label(*first, "the first is here"),
                );
            }
            places.entry(&name.value).or_insert(name.span);
        }
    }

    /// What a certificate asks of the clients that are shown it; `None` where it says nothing.
    pub(super) fn certificate_tls(&mut self, draft: &CertificateDraft) -> Option<CertificateTls> {
        let tls = &draft.tls;
        if *tls == CertificateTlsDraft::default() {
            return None;
        }
        let clients = self.clients(&tls.clients, draft.name.span);
        // Whatever its listeners speak.
        self.check_alpn(tls.alpn.as_ref(), Protocol::Tls);
        Some(CertificateTls {
            policy: self.tls_policy(&tls.policy, draft.name.span),
            alpn: tls.alpn.as_ref().map(|it| it.value.clone()),
            clients,
        })
    }

    /// What is asked of clients.
    fn clients(&mut self, draft: &ClientsDraft, object: Span) -> Clients {
        let others = [&draft.unnamed_ca, &draft.crl].into_iter().flatten();
        for file in draft.ca.iter().chain(others) {
            check_file(&mut self.found, "this", &file.value, file.span);
        }
        let asked = draft.auth.filter(|auth| auth.value != ClientAuth::Off);
        let authorities = draft.ca.first().or(draft.unnamed_ca.as_ref());
        match (asked, authorities) {
            (Some(asked), None) if !asked.value.takes_any() => self.found.push(
                Diagnostic::error(
                    Code::Missing,
                    if asked.span.is_none() {
                        object
                    } else {
                        asked.span
                    },
                    "client certificates are asked for, and no CA says which are good",
                )
                .help("name a file of CA certificates in `client_ca`"),
            ),
            (None, Some(ca)) => self.found.push(
                Diagnostic::warning(
                    Code::Conflict,
                    ca.span,
                    "a CA for client certificates that nothing asks for",
                )
                .help("set `client_auth` to `required` or `optional`"),
            ),
            (Some(_), _) | (None, None) => {}
        }
        let clients = Clients {
            auth: draft.auth.map_or(ClientAuth::Off, |it| it.value),
            ca: draft.ca.iter().map(|it| it.value.clone()).collect(),
            unnamed_ca: draft.unnamed_ca.as_ref().map(|it| it.value.clone()),
            crl: draft.crl.as_ref().map(|it| it.value.clone()),
            judge: draft.judge.map_or(CertificateJudge::Portway, |it| it.value),
            ignored: value_or(&draft.ignored, Faults::default()),
            ignored_above: value_or(&draft.ignored_above, Faults::default()),
        };
        let ignored = [draft.ignored, draft.ignored_above];
        let ignored = ignored.into_iter().flatten().next();
        if let Some(ignored) = ignored.filter(|_| clients.judge != CertificateJudge::Openssl) {
            self.found.push(
                Diagnostic::error(
                    Code::Conflict,
                    ignored.span,
                    "faults of certificates are told apart by the judge `openssl` alone",
                )
                .help("set `client_judge` to `openssl`"),
            );
        }
        let judged = draft.judge.map(|it| it.span).or(ignored.map(|it| it.span));
        if let (Some(judged), true) = (judged, clients.auth.takes_any()) {
            self.found.push(
                Diagnostic::error(
                    Code::Conflict,
                    judged,
                    "any certificate is taken, whatever is wrong with it",
                )
                .help("take this out, or set `client_auth` to `optional` or `required`"),
            );
        }
        clients
    }

    fn check_alpn(&mut self, alpn: Option<&Spanned<Vec<String>>>, protocol: Protocol) {
        let Some(alpn) = alpn else { return };
        for (index, word) in alpn.value.iter().enumerate() {
            let wrong = if word.is_empty() || word.len() > MAX_ALPN_BYTES {
                Diagnostic::error(
                    Code::OutOfRange,
                    alpn.span,
                    "an ALPN protocol has from 1 to 255 bytes",
                )
            } else if protocol.is_http() && !HTTP_ALPN.contains(&word.as_str()) {
                Diagnostic::error(
                    Code::Unknown,
                    alpn.span,
                    format!("an https listener does not speak the ALPN protocol `{word}`"),
                )
                .help("known: `h2`, `http/1.1`, `http/1.0`")
                .nearest(word, HTTP_ALPN)
            } else if alpn.value.iter().take(index).any(|before| before == word) {
                Diagnostic::error(
                    Code::Duplicate,
                    alpn.span,
                    format!("the ALPN protocol `{word}` is named twice"),
                )
            } else {
                continue;
            };
            self.found.push(wrong);
        }
    }

    /// Versions and suites. `object` is the place of what has them.
    fn tls_policy(&mut self, policy: &TlsPolicyDraft, object: Span) -> TlsPolicy {
        if let Some(name) = policy.name.as_ref().filter(|name| name.value.is_empty()) {
            self.found.push(Diagnostic::error(
                Code::OutOfRange,
                name.span,
                "the name of the TLS policy is empty",
            ));
        }
        if let (Some(min), Some(max)) = (policy.min_version, policy.max_version)
            && min.value > max.value
        {
            self.found.push(
                Diagnostic::error(
                    Code::Conflict,
                    min.span,
                    "the lowest TLS version is above the highest",
                )
                .label(max.span, "the highest is here"),
            );
        }
        let lists = [
            (&policy.suites, "a list of no cipher suites"),
            (&policy.curves, "a list of no curves"),
        ];
        for (list, message) in lists {
            if let Some(list) = list.as_ref().filter(|it| it.value.is_empty()) {
                self.found.push(
                    Diagnostic::error(Code::Missing, list.span, message)
                        .help("leave it out to have those of the policy"),
                );
            }
        }
        let words = |list: &Option<Spanned<Vec<Spanned<String>>>>| {
            let list = list.as_ref()?.value.iter();
            Some(list.map(|word| word.value.clone()).collect())
        };
        TlsPolicy {
            name: match &policy.name {
                Some(name) => name.value.clone(),
                None => defaults::TLS_POLICY.to_owned(),
            },
            min_version: policy.min_version.map(|x| x.value),
            max_version: policy.max_version.map(|x| x.value),
            suites: words(&policy.suites),
            curves: words(&policy.curves),
            origin: Origin(
                policy_spans(policy)
                    .into_iter()
                    .reduce(Span::to)
                    .unwrap_or(object),
            ),
        }
    }

    /// TLS of a group; `None` where it speaks none.
    pub(super) fn upstream_tls(
        &mut self,
        group: &GroupDraft,
        protocol: Protocol,
    ) -> Result<Option<UpstreamTls>, Reported> {
        let tls = &group.tls;
        if !protocol.is_tls() {
            let certificate = tls.certificate.as_ref().map(|name| self.certificate(name));
            let certificate = certificate.transpose();
            if let Some(span) = upstream_tls_spans(tls).into_iter().reduce(Span::to) {
                let word = protocol.as_str();
                let place = group.protocol.map_or(Span::NONE, |x| x.span);
                let conflict = Diagnostic::error(
                    Code::Conflict,
                    span,
                    format!("TLS settings on a target group that speaks {word}"),
                );
                let other = if protocol.is_http() { "https" } else { "tls" };
                self.found.push(
                    conflict
                        .label(place, format!("it speaks {word}"))
                        .help(format!(
                            "let it speak `{other}`, and give targets `tls = false` of which checks alone do"
                        )),
                );
            }
            return certificate.map(|_| None);
        }
        self.upstream(tls, protocol, group.name.span).map(Some)
    }

    /// What a group or one of its targets says of TLS.
    pub(super) fn upstream(
        &mut self,
        tls: &UpstreamTlsDraft,
        protocol: Protocol,
        object: Span,
    ) -> Result<UpstreamTls, Reported> {
        let certificate = tls.certificate.as_ref().map(|name| self.certificate(name));
        let certificate = certificate.transpose();
        if let Some(verify) = &tls.verify
            && let Verify::Ca(files) = &verify.value
        {
            for file in files {
                check_file(&mut self.found, "the CA", file, verify.span);
            }
            if files.is_empty() {
                let message = "no file of CAs is named";
                self.found
                    .push(Diagnostic::error(Code::Missing, verify.span, message));
            }
        }
        if let Some(name) = &tls.server_name
            && let ServerName::Fixed(text) = &name.value
        {
            check_dns_name(&mut self.found, text, name.span);
        }
        if let Some(name) = &tls.verify_name
            && let VerifyName::SentOr(text) = &name.value
        {
            check_dns_name(&mut self.found, text, name.span);
        }
        self.check_alpn(tls.alpn.as_ref(), protocol);
        if let Some(crl) = &tls.crl {
            check_file(&mut self.found, "the CRL", &crl.value, crl.span);
            if tls
                .verify
                .as_ref()
                .is_some_and(|it| it.value == Verify::Off)
            {
                let message = "a CRL, and certificates are not verified";
                let found = Diagnostic::error(Code::Conflict, crl.span, message);
                self.found.push(found.help("leave one of the two out"));
            }
        }
        Ok(UpstreamTls {
            verify: value_or(&tls.verify, defaults::VERIFY),
            server_name: value_or(&tls.server_name, defaults::SERVER_NAME),
            judge: tls.judge.map_or(CertificateJudge::Portway, |it| it.value),
            verify_name: value_or(&tls.verify_name, defaults::VERIFY_NAME),
            alpn: match &tls.alpn {
                Some(alpn) => alpn.value.clone(),
                None => default_upstream_alpn(protocol),
            },
            crl: tls.crl.as_ref().map(|it| it.value.clone()),
            policy: self.tls_policy(&tls.policy, object),
            certificate: certificate?,
            resume: value_or(&tls.resume, true),
        })
    }
}

fn value_or<T: Clone>(given: &Option<Spanned<T>>, default: T) -> T {
    given.as_ref().map_or(default, |given| given.value.clone())
}

fn place<T>(setting: &Option<Spanned<T>>) -> Option<Span> {
    setting.as_ref().map(|setting| setting.span)
}

fn policy_spans(policy: &TlsPolicyDraft) -> Vec<Span> {
    [
        place(&policy.name),
        place(&policy.min_version),
        place(&policy.max_version),
        place(&policy.suites),
        place(&policy.curves),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn listener_tls_spans(tls: &ListenerTlsDraft) -> Vec<Span> {
    let own = [
        place(&tls.alpn),
        place(&tls.accept_other_alpn),
        place(&tls.strict_sni),
        place(&tls.accept_clear),
        place(&tls.clients.auth),
        tls.clients.ca.first().map(|it| it.span),
        place(&tls.clients.unnamed_ca),
        place(&tls.clients.crl),
        place(&tls.clients.judge),
        place(&tls.clients.ignored),
        place(&tls.clients.ignored_above),
    ];
    let mut spans = policy_spans(&tls.policy);
    spans.extend(own.into_iter().flatten());
    spans.extend(tls.expected_names.iter().map(|name| name.span));
    spans
}

fn upstream_tls_spans(tls: &UpstreamTlsDraft) -> Vec<Span> {
    let own = [
        place(&tls.verify),
        place(&tls.judge),
        place(&tls.server_name),
        place(&tls.verify_name),
        place(&tls.alpn),
        place(&tls.crl),
        place(&tls.certificate),
        place(&tls.resume),
    ];
    let mut spans = policy_spans(&tls.policy);
    spans.extend(own.into_iter().flatten());
    spans
}
