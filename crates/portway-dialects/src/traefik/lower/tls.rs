//! TLS: certificates, options of entry points, and files that they name.

use super::super::model::Provider;
use super::super::schema::Section;
use super::{Lowering, Speech};
use crate::traefik::entry_point::EntryPoint;
use portway_model::compile::limits::MAX_HTTP2_STREAMS;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{
    CertificateDraft, CertificateTlsDraft, ListenerDraft, ListenerTlsDraft, TlsPolicyDraft,
};
use portway_model::http2::PriorKnowledge;
use portway_model::name::Name;
use portway_model::ocsp::{OcspDraft, Responder};
use portway_model::settings::{ClientAuth, TlsVersion};
use portway_model::span::{Span, Spanned};

/// Values of `clientAuthType`.
const AUTH_TYPES: [(&str, ClientAuth); 5] = [
    ("NoClientCert", ClientAuth::Off),
    ("RequestClientCert", ClientAuth::OptionalAny),
    ("RequireAnyClientCert", ClientAuth::RequiredAny),
    ("VerifyClientCertIfGiven", ClientAuth::Optional),
    ("RequireAndVerifyClientCert", ClientAuth::Required),
];

/// A certificate or key itself, where a file may be named.
fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN")
}

/// What Traefik offers by ALPN without being told, and we speak of that.
const HTTP: [&str; 2] = ["h2", "http/1.1"];
/// Streams of HTTP/2 that a client has at a time where nothing is said.
const STREAMS: u32 = 250;

impl Lowering<'_> {
    /// A file's name; a certificate in the text itself is not one.
    pub(super) fn file(&mut self, said: Spanned<&str>) -> Option<Spanned<String>> {
        if is_pem(said.value) {
            let one = Diagnostic::error(
                Code::NotRun,
                said.span,
                "a text in place of a file is not done yet here",
            );
            self.found
                .push(one.help("put it into a file, and write its name here"));
            return None;
        }
        // Compile takes a relative path from the folder of the file that says it.
        Some(said.map(|path| (self.mounted)(path).unwrap_or_else(|| path.to_owned())))
    }

    pub(super) fn files(&mut self, said: &[Spanned<String>]) -> Vec<Spanned<String>> {
        let said = said.iter().map(|it| it.as_ref().map(String::as_str));
        said.filter_map(|it| self.file(it)).collect()
    }

    /// All certificates of the configuration, the default first; made when they are first asked for.
    pub(super) fn certificates(&mut self) -> Vec<Spanned<Name>> {
        if let Some(names) = &self.certificates {
            return names.clone();
        }
        let model = self.model;
        let mut names = Vec::new();
        for store in &model.stores.list {
            if store.name != "default" {
                let message = format!(
                    "Traefik has one store, `default`: `{}` is not used",
                    store.name
                );
                self.found
                    .push(Diagnostic::warning(Code::Unused, store.key, message));
                continue;
            }
            if let Some(section) = store.section.section("defaultCertificate") {
                names.extend(self.certificate(section));
            }
        }
        for section in &model.certificates {
            let name = self.certificate(section);
            names.extend(name.filter(|name| !names.contains(name)));
        }
        self.staple(&names);
        self.certificates = Some(names.clone());
        names
    }

    /// `ocsp`: what authorities say of these certificates is asked for.
    fn staple(&mut self, names: &[Spanned<Name>]) {
        let Some(section) = &self.settings.ocsp else {
            return;
        };
        let overrides = section.map("responderOverrides");
        let pairs = overrides
            .iter()
            .map(|(from, to)| (from.value.clone(), to.value.clone()));
        let responder = Responder::InPlaceOf(pairs.collect());
        let at = overrides.first().map(|(from, _)| from.span);
        let responder = at.map(|at| Spanned::new(responder, at));
        let all = self.draft.certificates.iter_mut();
        for certificate in all.filter(|it| names.iter().any(|name| name.value == it.name.value)) {
            certificate.ocsp.fetch = Some(Spanned::new(true, section.span));
            certificate.ocsp.responder.clone_from(&responder);
        }
    }

    fn certificate(&mut self, section: &Section) -> Option<Spanned<Name>> {
        let Some(file) = section.some_text("certFile") else {
            self.error(
                Code::Missing,
                section.span,
                "a certificate without `certFile`",
            );
            return None;
        };
        let stores = section.list("stores");
        if let Some(other) = stores.iter().find(|it| it.value != "default") {
            let message = format!(
                "Traefik has one store, `default`, and takes the certificate into it: `{}` has no effect",
                other.value
            );
            let one = Diagnostic::warning(Code::Unused, other.span, message);
            self.refused(one);
        }
        self.certificate_of(file, section.some_text("keyFile"), section.span)
    }

    /// The certificate in a file or text, with its key.
    pub(super) fn certificate_of(
        &mut self,
        file: Spanned<&str>,
        key: Option<Spanned<&str>>,
        at: Span,
    ) -> Option<Spanned<Name>> {
        let mut draft = CertificateDraft {
            name: Spanned::new(Name::new(file.value), at),
            file: None,
            key: None,
            pem: None,
            names: Vec::new(),
            issuer: None,
            ocsp: OcspDraft::default(),
            tls: CertificateTlsDraft::default(),
        };
        if is_pem(file.value) && key.is_none_or(|key| is_pem(key.value)) {
            let text = [file.value, key.map_or("", |key| key.value)].join("\n");
            let same = |it: &&CertificateDraft| it.pem.as_ref().is_some_and(|it| it.value == text);
            if let Some(known) = self.draft.certificates.iter().find(same) {
                return Some(Spanned::new(known.name.value.clone(), at));
            }
            let name = format!("certificate {}", self.draft.certificates.len() + 1);
            draft.name = Spanned::new(Name::new(name), at);
            draft.pem = Some(Spanned::new(text, file.span));
        } else {
            draft.file = Some(self.file(file)?);
            draft.key = match key {
                Some(key) => Some(self.file(key)?),
                None => None,
            };
        }
        let name = draft.name.clone();
        if !self.draft.certificates.iter().any(|it| it.name == name) {
            self.draft.certificates.push(draft);
        }
        Some(name)
    }

    /// Our certificate towards servers.
    pub(super) fn transport_certificate(&mut self, section: &Section) -> Option<Spanned<Name>> {
        let [first, more @ ..] = section.objects("certificates") else {
            return None;
        };
        if let Some(more) = more.first() {
            self.error(
                Code::NotRun,
                more.span,
                "several certificates towards servers are not done yet",
            );
        }
        self.certificate(first)
    }

    pub(super) fn versions(&mut self, section: &Section, policy: &mut TlsPolicyDraft) {
        for (name, version) in [
            ("minVersion", &mut policy.min_version),
            ("maxVersion", &mut policy.max_version),
        ] {
            let Some(said) = section.some_text(name) else {
                continue;
            };
            let known = match said.value {
                "VersionTLS12" => TlsVersion::V12,
                "VersionTLS13" => TlsVersion::V13,
                "VersionTLS10" | "VersionTLS11" if name == "minVersion" => {
                    let message = "TLS 1.0 and 1.1 are not spoken: TLS 1.2 is the least";
                    let one = Diagnostic::warning(Code::PolicyReduced, said.span, message);
                    self.found.push(one);
                    TlsVersion::V12
                }
                other => {
                    let message = format!("`{other}` is no version of TLS that is spoken");
                    let one = Diagnostic::error(Code::OutOfRange, said.span, message);
                    self.found.push(one.help("VersionTLS12 or VersionTLS13"));
                    continue;
                }
            };
            *version = Some(Spanned::new(known, said.span));
        }
        let suites = section.list("cipherSuites");
        if let Some(first) = suites.first() {
            policy.suites = Some(Spanned::new(suites.to_vec(), first.span));
        }
    }

    /// The options of this name; those called `default` where none is said.
    pub(super) fn tls_options(
        &mut self,
        name: Option<(Spanned<&str>, Provider)>,
    ) -> ListenerTlsDraft {
        let model = self.model;
        let object = match name {
            Some((name, from)) if name.value != "default" => {
                model.tls_options.find(name, from, self.found)
            }
            _ => model
                .tls_options
                .list
                .iter()
                .find(|it| it.name == "default"),
        };
        let mut tls = ListenerTlsDraft::default();
        let Some(object) = object else {
            return tls;
        };
        let section = &object.section;
        self.versions(section, &mut tls.policy);
        tls.strict_sni = section.flag("sniStrict");
        let alpn = section.list("alpnProtocols");
        if let Some(first) = alpn.first() {
            let spoken = |it: &&Spanned<String>| HTTP.contains(&it.value.as_str());
            let spoken = alpn.iter().filter(spoken).map(|it| it.value.clone());
            tls.alpn = Some(Spanned::new(spoken.collect(), first.span));
        }
        self.client_auth(section, &mut tls);
        tls
    }

    fn client_auth(&mut self, section: &Section, tls: &mut ListenerTlsDraft) {
        let Some(section) = section.section("clientAuth") else {
            return;
        };
        let files = section.list("caFiles");
        let Some(said) = section.some_text("clientAuthType") else {
            // Traefik asks for good ones as soon as it is told which are good.
            if let Some(first) = files.first() {
                tls.clients.auth = Some(Spanned::new(ClientAuth::Required, first.span));
                tls.clients.ca = self.files(files);
            }
            return;
        };
        let known = AUTH_TYPES.iter().find(|(name, _)| *name == said.value);
        let Some((_, auth)) = known.copied() else {
            let message = format!("`{}` is no `clientAuthType`", said.value);
            let one = Diagnostic::error(Code::OutOfRange, said.span, message);
            let names = AUTH_TYPES.map(|(name, _)| name);
            let one = one.help(format!("one of: {}", names.join(", ")));
            self.found.push(one.nearest(said.value, names));
            return;
        };
        tls.clients.auth = Some(Spanned::new(auth, said.span));
        if auth == ClientAuth::Off {
            return;
        }
        tls.clients.ca = self.files(files);
        if files.is_empty() && !auth.takes_any() {
            self.error(Code::Missing, section.span, "`caFiles` is missing");
        }
    }

    /// HTTP/2 with clients: in clear for those that begin with it, over TLS for those that agree on it.
    pub(super) fn http2(&mut self, entry: &EntryPoint, listener: &mut ListenerDraft) {
        let said = entry.section.section("http2");
        let said = said.and_then(|it| it.number("maxConcurrentStreams"));
        listener.http2.max_streams = Some(match said.filter(|it| it.value != 0) {
            Some(said) => {
                let streams = u32::try_from(said.value).unwrap_or(0);
                if streams == 0 || streams > MAX_HTTP2_STREAMS {
                    let message = format!("{} is out of range for streams at a time", said.value);
                    let one = Diagnostic::error(Code::OutOfRange, said.span, message);
                    let help = format!("from 1 to {MAX_HTTP2_STREAMS}, or 0 for {STREAMS}");
                    self.found.push(one.help(help));
                }
                Spanned::new(streams.clamp(1, MAX_HTTP2_STREAMS), said.span)
            }
            None => Spanned::bare(STREAMS),
        });
        if self.speech != Speech::Tls {
            listener.http2.prior_knowledge = Some(Spanned::bare(PriorKnowledge::Optional));
        }
        if self.speech.has_tls() && listener.tls.alpn.is_none() {
            let all = HTTP.map(str::to_owned).to_vec();
            listener.tls.alpn = Some(Spanned::bare(all));
        }
    }
}
