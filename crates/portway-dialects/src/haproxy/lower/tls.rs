//! TLS of binds and of servers.

use super::{Lowering, path_in};
use crate::haproxy::proxy::{
    Bind, BindTls, Mode, Proxy, ServerTls, Verification, Versions, certificate_options,
};
use crate::haproxy::{Reader, Word};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{
    CertificateDraft, CertificateTlsDraft, ClientsDraft, ListenerDraft, TlsPolicyDraft,
    UpstreamTlsDraft, Verify,
};
use portway_model::name::Name;
use portway_model::ocsp::OcspDraft;
use portway_model::settings::{CertificateJudge, ClientAuth, ServerName, VerifyName};
use portway_model::span::{Span, Spanned};
use std::time::Duration;

/// Files beside a certificate that are no certificates themselves.
const BESIDE: [&str; 4] = [".key", ".ocsp", ".issuer", ".sctl"];
/// HAProxy's default of `tune.ssl.ocsp-update.maxdelay`.
const LONGEST_OCSP_DELAY: Duration = Duration::from_secs(3_600);
/// A certificate of several keys: one file each.
const BUNDLE: [&str; 3] = [".rsa", ".ecdsa", ".dsa"];

/// What a line of a list says of its certificate.
#[derive(Debug, Default)]
struct Own {
    /// As it is written, in brackets; empty where nothing is.
    words: String,
    tls: CertificateTlsDraft,
    /// `ocsp-update`.
    ocsp_update: Option<Spanned<bool>>,
}

impl Lowering<'_, '_, '_> {
    /// TLS of a listener, by the first of its binds.
    pub(super) fn listener_tls(
        &mut self,
        listener: &mut ListenerDraft,
        proxy: &Proxy,
        bind: &Bind,
    ) {
        let tls = &bind.tls;
        for path in &tls.certificates {
            let path = path
                .clone()
                .map(|path| path_in(self.base.crt_base.as_ref(), &path));
            self.certificates(listener, &path);
        }
        for list in &tls.certificate_lists {
            self.certificate_list(listener, tls, list);
        }
        if tls.certificates.is_empty() && tls.certificate_lists.is_empty() {
            let message = format!(
                "this `bind` of {} has `ssl` and no certificate",
                proxy.words()
            );
            let help = "write `crt FILE` with a PEM file of certificate and key";
            self.reader
                .push(Diagnostic::error(Code::Missing, bind.span, message).help(help));
        }
        listener.tls.policy = self.bind_policy(tls);
        listener.tls.alpn = match &tls.alpn {
            None if proxy.mode() == Mode::Http => Some(Spanned::bare(Vec::new())),
            alpn => alpn.clone(),
        };
        // OpenSSL goes on without, also with what a certificate's line offers.
        let offers = listener
            .tls
            .alpn
            .as_ref()
            .filter(|alpn| !alpn.value.is_empty());
        let span = offers.map(|alpn| alpn.span).or_else(|| {
            let mut lists = tls.certificate_lists.iter();
            lists.next().map(|list| list.span)
        });
        listener.tls.accept_other_alpn = span.map(|span| Spanned::new(true, span));
        listener.tls.strict_sni = tls.strict_sni.map(|span| Spanned::new(true, span));
        if let Some(asked) = self.client_certificates(tls) {
            listener.tls.clients = asked;
        }
    }

    fn bind_policy(&mut self, tls: &BindTls) -> TlsPolicyDraft {
        let curves = tls.curves.as_ref().or(self.base.bind_curves.as_ref());
        let curves = curves.or(tls.ecdhe.as_ref());
        let policy = policy(
            tls.versions.or(self.base.bind_options),
            tls.ciphers.as_ref().or(self.base.bind_ciphers.as_ref()),
            tls.ciphersuites
                .as_ref()
                .or(self.base.bind_ciphersuites.as_ref()),
            self.reader,
        );
        TlsPolicyDraft {
            curves: curves.map(|curves| {
                let names = curves
                    .value
                    .split(':')
                    .map(|name| curves.as_ref().map(|_| name.to_owned()));
                Spanned::new(names.collect(), curves.span)
            }),
            ..policy
        }
    }

    /// What is asked of clients, by which CAs and revocation lists; `None`: nothing.
    fn client_certificates(&mut self, tls: &BindTls) -> Option<ClientsDraft> {
        let Some(verify) = tls
            .verify
            .filter(|verify| verify.value != Verification::None)
        else {
            // HAProxy reads what it will not use.
            for (file, what) in [
                (&tls.ca_file, "the CA file"),
                (&tls.ca_verify_file, "the CA file"),
                (&tls.crl_file, "the CRL file"),
            ] {
                if let Some(file) = file.as_ref().filter(|file| !file.value.starts_with('@')) {
                    let path = path_in(self.base.ca_base.as_ref(), &file.value);
                    self.exists(&Spanned::new(path, file.span), what);
                }
            }
            return None;
        };
        let auth = verify.map(|verify| match verify {
            Verification::Optional => ClientAuth::Optional,
            _ => ClientAuth::Required,
        });
        if tls.ca_file.is_none() && tls.ca_verify_file.is_none() {
            let message = "`verify` needs the CAs that client certificates come from";
            self.reader.push(
                Diagnostic::error(Code::Missing, verify.span, message).help("write `ca-file FILE`"),
            );
        }
        Some(ClientsDraft {
            auth: Some(auth),
            ca: Vec::from_iter(self.authorities(tls.ca_file.as_ref(), "the CA file")),
            unnamed_ca: self.authorities(tls.ca_verify_file.as_ref(), "the CA file"),
            crl: self.authorities(tls.crl_file.as_ref(), "the CRL file"),
            judge: Some(verify.map(|_| CertificateJudge::Openssl)),
            ignored: tls.crt_ignored,
            ignored_above: tls.ca_ignored,
        })
    }

    /// A file of the folder of CAs.
    fn authorities(
        &mut self,
        path: Option<&Spanned<String>>,
        what: &str,
    ) -> Option<Spanned<String>> {
        let path = path?.clone();
        let path = path.map(|path| path_in(self.base.ca_base.as_ref(), &path));
        self.exists(&path, what);
        Some(path)
    }

    /// A file, or every file of a folder.
    fn certificates(&mut self, listener: &mut ListenerDraft, path: &Spanned<String>) {
        let is_one = |name: &str| {
            !name.starts_with('.')
                && !name.ends_with('/')
                && !BESIDE.iter().any(|end| name.ends_with(end))
        };
        let Some(names) = (self.reader.inputs.list)(&path.value, is_one) else {
            self.certificate(listener, path, &[], &Own::default());
            return;
        };
        let folder = path.value.trim_end_matches('/');
        let names: Vec<String> = names
            .iter()
            .map(|name| format!("{folder}/{name}"))
            .collect();
        for name in names {
            let path = Spanned::new(name, path.span);
            self.certificate(listener, &path, &[], &Own::default());
        }
    }

    /// One file, for these host names or those in it; where it is not there, the files of a bundle of that name.
    fn certificate(
        &mut self,
        listener: &mut ListenerDraft,
        path: &Spanned<String>,
        hosts: &[Spanned<String>],
        own: &Own,
    ) {
        let read = self.reader.inputs.read;
        let failure = match read(&path.value) {
            Ok(bytes) => {
                let base = match path.value.strip_suffix(".crt") {
                    Some(base) if self.base.cut_extension => base,
                    _ => path.value.as_str(),
                };
                let key = format!("{base}.key");
                let has_key = String::from_utf8_lossy(&bytes).contains("PRIVATE KEY-----");
                let beside = !has_key && !self.base.no_key_files && read(&key).is_ok();
                let beside = beside.then_some(key);
                self.add_certificate(listener, path, beside, (hosts, own));
                return;
            }
            Err(failure) => failure,
        };
        let parts: Vec<String> = BUNDLE
            .iter()
            .map(|end| format!("{}{end}", path.value))
            .filter(|part| !self.base.no_bundles && read(part).is_ok())
            .collect();
        if parts.is_empty() {
            let message = format!("cannot read `{}`: {failure}", path.value);
            if self.unreadable(path.span, message) {
                self.add_certificate(listener, path, None, (hosts, own));
            }
        }
        for part in parts {
            self.certificate(listener, &Spanned::new(part, path.span), hosts, own);
        }
    }

    fn add_certificate(
        &mut self,
        listener: &mut ListenerDraft,
        path: &Spanned<String>,
        key: Option<String>,
        (hosts, own): (&[Spanned<String>], &Own),
    ) {
        let words = std::iter::once(&path.value).chain(hosts.iter().map(|it| &it.value));
        let mut words: Vec<&str> = words.map(String::as_str).collect();
        if !own.words.is_empty() {
            words.insert(1, &own.words);
        }
        let name = path.clone().map(|_| Name::from(words.join(" ")));
        if !listener.certificates.contains(&name) {
            listener.certificates.push(name.clone());
        }
        let ocsp = self.ocsp(path, own);
        let mut known = self.draft.certificates.iter();
        match known.find(|known| known.name == name) {
            Some(known) => {
                let [before, now] = [&known.ocsp, &ocsp].map(|it| it.fetch.is_some());
                if before != now {
                    let message = format!(
                        "`{}` stands here with and without `ocsp-update on`",
                        path.value
                    );
                    let help =
                        "a certificate has one answer of OCSP: say the same of it everywhere";
                    self.reader
                        .push(Diagnostic::error(Code::Conflict, path.span, message).help(help));
                }
            }
            None => {
                let is_asked_for = ocsp.file.is_some() || ocsp.fetch.is_some();
                let issuer = self.beside(path, ".issuer", self.base.no_issuer_files);
                self.draft.certificates.push(CertificateDraft {
                    name,
                    file: Some(path.clone()),
                    key: key.map(|key| Spanned::new(key, path.span)),
                    pem: None,
                    names: hosts.to_vec(),
                    issuer: issuer.filter(|_| is_asked_for),
                    ocsp,
                    tls: own.tls.clone(),
                });
            }
        }
    }

    /// What the authority says of a certificate: beside its file, or asked for.
    fn ocsp(&self, path: &Spanned<String>, own: &Own) -> OcspDraft {
        let updates = &self.base.ocsp_updates;
        let update = own.ocsp_update.or(updates.mode).filter(|it| it.value);
        let file = self.beside(path, ".ocsp", self.base.no_ocsp_files);
        let Some(update) = update else {
            return OcspDraft {
                file,
                ..OcspDraft::default()
            };
        };
        let longest = Spanned::new(LONGEST_OCSP_DELAY, update.span);
        OcspDraft {
            file,
            fetch: Some(update),
            responder: None,
            min_refresh: updates.min_delay,
            max_refresh: Some(updates.max_delay.unwrap_or(longest)),
        }
    }

    /// The file beside a certificate with this ending, where there is one.
    fn beside(
        &self,
        path: &Spanned<String>,
        ending: &str,
        is_left_out: bool,
    ) -> Option<Spanned<String>> {
        let file = format!("{}{ending}", path.value);
        let there = !is_left_out && (self.reader.inputs.read)(&file).is_ok();
        there.then(|| Spanned::new(file, path.span))
    }

    /// `crt-list FILE`: a certificate a line, with options of its own and the names that it is for.
    fn certificate_list(
        &mut self,
        listener: &mut ListenerDraft,
        bind: &BindTls,
        list: &Spanned<String>,
    ) {
        let path = self.reader.path(&list.value, list.span);
        let text = match (self.reader.inputs.read)(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(failure) => {
                let message = format!("cannot read `{}`: {failure}", list.value);
                if self.unreadable(list.span, message) {
                    self.add_certificate(listener, list, None, (&[], &Own::default()));
                }
                return;
            }
        };
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let Some((path, rest)) = line.split_once([' ', '\t']).or(Some((line, ""))) else {
                continue;
            };
            if path.is_empty() || path.starts_with('#') {
                continue;
            }
            let (options, hosts) = match rest.trim().strip_prefix('[') {
                Some(rest) => rest.split_once(']').unwrap_or((rest, "")),
                None => ("", rest),
            };
            let own = self.own_options(bind, (list, index + 1), options);
            let hosts = hosts.split_whitespace();
            let hosts = hosts.map(|host| Spanned::new(host.to_owned(), list.span));
            let hosts: Vec<Spanned<String>> = hosts.collect();
            let path = Spanned::new(path_in(self.base.crt_base.as_ref(), path), list.span);
            match hosts.is_empty() && own.words.is_empty() && own.ocsp_update.is_none() {
                true => self.certificates(listener, &path),
                false => self.certificate(listener, &path, &hosts, &own),
            }
        }
    }

    /// What stands in brackets on a line of a list. What it does not say is as the bind has it.
    fn own_options(
        &mut self,
        bind: &BindTls,
        (list, line): (&Spanned<String>, usize),
        options: &str,
    ) -> Own {
        let words = options.split_whitespace();
        let words: Vec<Word> = words
            .map(|word| Word {
                text: word.to_owned(),
                span: list.span,
            })
            .collect();
        let mut tls = BindTls {
            alpn: None,
            ..bind.clone()
        };
        if let Err(wrong) = certificate_options(&mut tls, &words, self.reader) {
            let message = format!("{}:{line}: {wrong}", list.value);
            self.reader.error(Code::Unknown, list.span, message);
        }
        let ocsp_update = tls.ocsp_update.take();
        let unsaid = BindTls {
            alpn: None,
            ..bind.clone()
        };
        if tls == unsaid {
            return Own {
                ocsp_update,
                ..Own::default()
            };
        }
        let clients = self.client_certificates(&tls).unwrap_or(ClientsDraft {
            auth: Some(Spanned::bare(ClientAuth::Off)),
            ..ClientsDraft::default()
        });
        let words: Vec<&str> = words.iter().map(Word::as_str).collect();
        Own {
            ocsp_update,
            words: format!("[{}]", words.join(" ")),
            tls: CertificateTlsDraft {
                policy: self.bind_policy(&tls),
                alpn: tls.alpn.clone(),
                clients,
            },
        }
    }

    /// Says where a file cannot be read.
    fn exists(&mut self, path: &Spanned<String>, what: &str) {
        if let Err(failure) = (self.reader.inputs.read)(&path.value) {
            let message = format!("cannot read {what} `{}`: {failure}", path.value);
            self.unreadable(path.span, message);
        }
    }

    /// A file with certificates cannot be read; true where it may be named all the same.
    fn unreadable(&mut self, span: Span, message: String) -> bool {
        let may_be = self.reader.inputs.certificates_may_be_missing;
        match may_be {
            true => self
                .reader
                .push(Diagnostic::warning(Code::Unreadable, span, message)),
            false => self.reader.error(Code::Unreadable, span, message),
        }
        may_be
    }

    /// Certificates of an address in clear: HAProxy reads them all the same.
    pub(super) fn unused_certificates(&mut self, bind: &Bind) {
        for path in &bind.tls.certificates {
            let path = path
                .clone()
                .map(|path| path_in(self.base.crt_base.as_ref(), &path));
            if (self.reader.inputs.list)(&path.value, |_| false).is_none() {
                self.exists(&path, "the certificate");
            }
        }
    }

    /// TLS towards servers, by what one of them says.
    pub(super) fn upstream_tls(
        &mut self,
        proxy: &Proxy,
        tls: &ServerTls,
        server: &Spanned<String>,
    ) -> UpstreamTlsDraft {
        let none = || Spanned::bare(Vec::new());
        let alpn = tls.alpn.as_ref();
        let alpn = alpn.map_or_else(none, |alpn| self.upstream_alpn(proxy, alpn));
        let verify = match (&tls.verify, &tls.ca_file) {
            (Some(verify), file) if !verify.value => {
                // HAProxy reads what it will not use.
                if let Some(file) = file.as_ref().filter(|file| file.value != "@system-ca") {
                    let file = file.clone();
                    let file = file.map(|path| path_in(self.base.ca_base.as_ref(), &path));
                    self.exists(&file, "the CA file");
                }
                Some(verify.map(|_| Verify::Off))
            }
            (None, None) if self.base.verify_none => Some(Spanned::bare(Verify::Off)),
            (_, Some(file)) if file.value == "@system-ca" => {
                Some(file.clone().map(|_| Verify::System))
            }
            (_, Some(file)) => self
                .authorities(Some(file), "the CA file")
                .map(|file| file.map(|file| Verify::Ca(vec![file]))),
            (_, None) => {
                let message = format!(
                    "server `{}` of {} is verified, and there are no CAs to verify it by",
                    server.value,
                    proxy.words()
                );
                let help =
                    "write `ca-file FILE`, or `verify none` where the network between is trusted";
                self.reader
                    .push(Diagnostic::error(Code::Missing, server.span, message).help(help));
                None
            }
        };
        let verified = verify.as_ref().is_some_and(|it| it.value != Verify::Off);
        let crl = self.authorities(tls.crl_file.as_ref(), "the CRL file");
        // The name that is sent counts before that of `verifyhost`; without either, any will do.
        let otherwise = match &tls.verify_host {
            Some(host) => host.clone().map(VerifyName::SentOr),
            None => Spanned::bare(VerifyName::SentOrAny),
        };
        UpstreamTlsDraft {
            verify,
            server_name: self.server_name(tls),
            resume: tls.no_reuse.map(|span| Spanned::new(false, span)),
            judge: verified.then_some(Spanned::bare(CertificateJudge::Openssl)),
            verify_name: verified.then_some(otherwise),
            alpn: (proxy.mode() == Mode::Http || !alpn.value.is_empty()).then_some(alpn),
            crl: crl.filter(|_| verified),
            policy: policy(
                tls.versions.or(self.base.server_options),
                tls.ciphers.as_ref().or(self.base.server_ciphers.as_ref()),
                tls.ciphersuites
                    .as_ref()
                    .or(self.base.server_ciphersuites.as_ref()),
                self.reader,
            ),
            certificate: tls
                .certificate
                .as_ref()
                .and_then(|path| self.client_certificate(path)),
        }
    }

    /// Protocols that servers are offered: as it stands there, without HTTP/2 in mode http.
    fn upstream_alpn(
        &mut self,
        proxy: &Proxy,
        given: &Spanned<Vec<String>>,
    ) -> Spanned<Vec<String>> {
        let is_h2 = |name: &String| name == "h2";
        if proxy.mode() == Mode::Tcp || !given.value.iter().any(is_h2) {
            return given.clone();
        }
        let mut spoken = given.clone();
        spoken.value.retain(|name| !is_h2(name));
        self.reader.push(if spoken.value.is_empty() {
            let message = "not run yet: servers that do not speak HTTP/1.1";
            Diagnostic::error(Code::NotRun, given.span, message)
        } else {
            let message = "HTTP/2 is not spoken yet: `h2` is not offered to servers";
            Diagnostic::warning(Code::NotRun, given.span, message).help("HTTP/1.1 is used")
        });
        spoken
    }

    /// Our certificate towards servers.
    fn client_certificate(&mut self, path: &Spanned<String>) -> Option<Spanned<Name>> {
        let path = path
            .clone()
            .map(|path| path_in(self.base.crt_base.as_ref(), &path));
        let mut holder = ListenerDraft::new(path.clone().map(Name::from));
        self.certificate(&mut holder, &path, &[], &Own::default());
        holder.certificates.pop()
    }

    /// `sni EXPRESSION`, where the model has it.
    fn server_name(&mut self, tls: &ServerTls) -> Option<Spanned<ServerName>> {
        let Some(sni) = &tls.sni else {
            return Some(Spanned::bare(ServerName::None));
        };
        let text = sni.value.as_str();
        let fixed = text
            .strip_prefix("str(")
            .and_then(|rest| rest.strip_suffix(')'));
        let name = match (fixed, text) {
            (Some(name), _) => ServerName::Fixed(name.trim_matches(['\'', '"']).to_owned()),
            (None, "ssl_fc_sni") => ServerName::Client,
            (
                None,
                "req.hdr(host)"
                | "hdr(host)"
                | "req.hdr(Host)"
                | "hdr(Host)"
                | "req.hdr(host),field(1,:)"
                | "hdr(host),field(1,:)"
                | "req.hdr(host),host_only"
                | "hdr(host),host_only",
            ) => ServerName::Host,
            _ => {
                let message = format!("not run yet: `sni {text}`");
                let help = "run are `sni str(NAME)`, `sni ssl_fc_sni` and `sni req.hdr(host)`";
                self.reader
                    .push(Diagnostic::error(Code::NotRun, sni.span, message).help(help));
                return None;
            }
        };
        Some(Spanned::new(name, sni.span))
    }
}

/// OpenSSL's words for many suites at once (ciphers(1)); those that end a list are of no suite.
const GROUPS: &[&str] = &[
    "ALL",
    "COMPLEMENTOFALL",
    "COMPLEMENTOFDEFAULT",
    "DEFAULT",
    "HIGH",
    "MEDIUM",
    "LOW",
    "RSA",
    "kRSA",
    "aRSA",
    "DSS",
    "aDSS",
    "DH",
    "kDHE",
    "kEDH",
    "DHE",
    "EDH",
    "ADH",
    "kECDHE",
    "kEECDH",
    "ECDHE",
    "EECDH",
    "ECDH",
    "AECDH",
    "ECDSA",
    "aECDSA",
    "aNULL",
    "eNULL",
    "NULL",
    "AES",
    "AES128",
    "AES256",
    "AESGCM",
    "AESCCM",
    "AESCCM8",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "CHACHA20",
    "3DES",
    "CBC",
    "SHA",
    "SHA1",
    "SHA256",
    "SHA384",
    "PSK",
    "kPSK",
    "aPSK",
    "kECDHEPSK",
    "kDHEPSK",
    "kRSAPSK",
    "SRP",
    "kSRP",
    "aSRP",
    "SSLv3",
    "TLSv1",
    "TLSv1.0",
    "TLSv1.2",
    "SUITEB128",
    "SUITEB128ONLY",
    "SUITEB128C2",
    "SUITEB192",
];

/// Whether a list takes suites in: by their names, which are looked at later, or by these words.
fn names_suites(list: &str, words: &[&str]) -> bool {
    let mut parts = list.split([':', ',', ' ']);
    parts.any(|part| {
        let name = part.contains('-') || part.starts_with("TLS_");
        let first = part.split('+').next().unwrap_or_default();
        (name || words.contains(&first)) && !part.starts_with(['!', '-', '+', '@'])
    })
}

/// Versions and suites. The list of TLS 1.2 is in OpenSSL's own language, of which the names are taken.
fn policy(
    versions: Versions,
    ciphers: Option<&Spanned<String>>,
    suites: Option<&Spanned<String>>,
    reader: &mut Reader<'_>,
) -> TlsPolicyDraft {
    for (list, words) in [(ciphers, GROUPS), (suites, &[])] {
        let nothing = list.filter(|list| !names_suites(&list.value, words));
        if let Some(list) = nothing {
            let message = format!("`{}` names no cipher suite", list.value);
            let help =
                "write names such as `ECDHE-ECDSA-AES128-GCM-SHA256` and `TLS_AES_128_GCM_SHA256`";
            reader.push(Diagnostic::error(Code::Unknown, list.span, message).help(help));
        }
    }
    let names = |list: &Spanned<String>| -> Vec<Spanned<String>> {
        let plain = |name: &&str| {
            let keyword = !name.contains('-') && !name.starts_with("TLS_");
            !name.is_empty() && !name.starts_with(['!', '-', '+', '@']) && !keyword
        };
        let parts = list.value.split([':', ',', ' ']).filter(plain);
        parts
            .map(|name| Spanned::new(name.to_owned(), list.span))
            .collect()
    };
    let mut listed: Vec<Spanned<String>> = Vec::new();
    let first = suites.or(ciphers).map(|list| list.span);
    for list in [suites, ciphers].into_iter().flatten() {
        listed.extend(names(list));
    }
    TlsPolicyDraft {
        name: None,
        min_version: versions.min,
        max_version: versions.max,
        suites: first
            .filter(|_| !listed.is_empty())
            .map(|span| Spanned::new(listed, span)),
        curves: None,
    }
}
