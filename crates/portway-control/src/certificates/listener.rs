//! TLS of a listener: what its clients are shown, and the settings that go with each certificate.

use super::{policy, read_pems, revocation};
use crate::files;
use crate::renewal::Certificates;
use crate::sources::folder_of;
use crate::tls::client_auth::{self, Asking};
use crate::tls::identity::Identity;
use crate::tls::policy::Policy;
use crate::tls::resolver::{CertificateResolver, NoMatch, RenewableResolver};
use crate::tls::server::{server_config, without_alpn};
use crate::tls::tickets::TicketKeys;
use aws_lc_rs::digest::{Context, SHA256};
use portway_dataplane::client_tls::{AnswersHello, JudgesClients, Terms};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::settings::{CertificateJudge, ClientAuth, Faults};
use portway_model::snapshot::{CertificateId, Clients, Listener, ListenerTls, Snapshot, TlsPolicy};
use portway_model::span::Sources;
use rustls::ServerConfig;
use rustls::server::ClientHello;
use rustls_pki_types::UnixTime;
use std::sync::Arc;

/// Names of certificates that a warning lists.
const SHOWN_NAMES: usize = 10;

/// What a listener has made of its certificates.
#[derive(Debug)]
struct OfListener {
    resolver: Arc<RenewableResolver>,
    /// For clients that are shown a certificate without settings of its own, or none.
    spoken: Spoken,
    /// By the position of the certificate; empty where none has settings of its own.
    own: Vec<Option<Spoken>>,
}

/// What is spoken with a client, and who judged its certificate.
#[derive(Debug)]
struct Spoken {
    config: Arc<ServerConfig>,
    /// For clients that offer only other protocols; `None`: they are refused.
    without_alpn: Option<Arc<ServerConfig>>,
    judge: Option<Arc<dyn JudgesClients>>,
}

impl AnswersHello for OfListener {
    fn answer(&self, hello: &ClientHello<'_>) -> Terms {
        let chosen = self
            .resolver
            .choose(hello.server_name(), hello.signature_schemes());
        let (certificate, position) = chosen.unzip();
        let own = position.and_then(|position| self.own.get(position)?.as_ref());
        let spoken = own.unwrap_or(&self.spoken);
        Terms {
            config: Arc::clone(spoken.config(hello)),
            judge: spoken.judge.clone(),
            certificate,
        }
    }
}

impl Spoken {
    fn config(&self, hello: &ClientHello<'_>) -> &Arc<ServerConfig> {
        let (Some(without), Some(mut offered)) = (&self.without_alpn, hello.alpn()) else {
            return &self.config;
        };
        let ours = &self.config.alpn_protocols;
        match offered.any(|offered| ours.iter().any(|our| our == offered)) {
            true => &self.config,
            false => without,
        }
    }
}

/// The listener that is being looked at, with what is needed for that.
pub(super) struct Loading<'a> {
    pub(super) listener: &'a Listener,
    pub(super) snapshot: &'a Snapshot,
    pub(super) identities: &'a [Option<Arc<Identity>>],
    pub(super) tickets: &'a Arc<TicketKeys>,
    pub(super) sources: &'a Sources,
    pub(super) now: UnixTime,
    pub(super) renewable: &'a mut Certificates,
    pub(super) found: &'a mut Diagnostics,
    /// What tells those who judge clients from others.
    pub(super) judges: String,
}

/// What a configuration of rustls is made of, of a listener or of one of its certificates.
struct Settings<'a> {
    who: String,
    /// Tickets are good for handshakes of the same scope alone.
    scope: String,
    policy: &'a TlsPolicy,
    alpn: &'a [String],
    accept_other_alpn: bool,
    clients: &'a Clients,
}

impl Loading<'_> {
    pub(super) fn load(&mut self, tls: &ListenerTls) -> Option<Arc<dyn AnswersHello>> {
        let name = &self.listener.name;
        let who = format!("listener `{name}`");
        // Where one could not be loaded, that has been said, and the rest is looked at nevertheless.
        let identities: Option<Vec<Arc<Identity>>> = tls
            .certificates
            .iter()
            .map(|id| self.identities.get(id.index()).cloned().flatten())
            .collect();
        let no_match = match tls.strict_sni {
            true => NoMatch::Refuse,
            false => NoMatch::Default,
        };
        let (resolver, shadowed) =
            CertificateResolver::new(identities.as_deref().unwrap_or_default(), no_match);
        for one in shadowed {
            let message = format!("{who} has {one}");
            let span = self.listener.origin.0;
            let found = Diagnostic::warning(Code::CertificateWarning, span, message);
            self.found.push(found);
        }
        if let Some(identities) = &identities {
            self.expect_names(tls, identities, &resolver);
        }
        let resolver = Arc::new(RenewableResolver::new(resolver));
        let settings = Settings {
            who,
            scope: name.to_string(),
            policy: &tls.policy,
            alpn: &tls.alpn,
            accept_other_alpn: tls.accept_other_alpn,
            clients: &tls.clients,
        };
        let spoken = self.spoken(&settings, &resolver);
        let own = self.own(tls, &resolver);
        identities?;
        let positions = tls.certificates.iter().map(|id| id.index()).collect();
        self.renewable
            .add_listener(resolver.clone(), no_match, positions);
        Some(Arc::new(OfListener {
            resolver,
            spoken: spoken?,
            own: own?,
        }))
    }

    /// Warns of names that are spoken of and that no certificate is for.
    fn expect_names(
        &mut self,
        tls: &ListenerTls,
        identities: &[Arc<Identity>],
        resolver: &CertificateResolver,
    ) {
        let mut covered: Vec<&str> = Vec::new();
        for identity in identities {
            let names = identity.names.iter().chain(&identity.common_name);
            covered.extend(names.map(String::as_str));
        }
        let of_names = match covered.len() {
            0 => "they name no host".to_owned(),
            1..=SHOWN_NAMES => format!("they are for {}", covered.join(", ")),
            more => {
                let shown = covered.get(..SHOWN_NAMES).unwrap_or_default().join(", ");
                format!("they are for {shown} and {} more", more - SHOWN_NAMES)
            }
        };
        for name in &tls.expected_names {
            if resolver.has(&name.value) {
                continue;
            }
            let message = format!(
                "no certificate of listener `{}` is for `{}`: {of_names}",
                self.listener.name, name.value
            );
            let become_of = match tls.strict_sni {
                true => "clients that ask for it are refused",
                false => "clients that ask for it are shown another and refuse it",
            };
            let help = format!(
                "{become_of}: add a certificate that has this name; to try, `portway cert self-signed {}` makes one",
                name.value
            );
            let one = Diagnostic::warning(Code::CertificateWarning, name.span, message);
            self.found.push(one.help(help));
        }
    }

    /// Of the certificates that have settings of their own; `None` where something is wrong with them.
    fn own(
        &mut self,
        tls: &ListenerTls,
        resolver: &Arc<RenewableResolver>,
    ) -> Option<Vec<Option<Spoken>>> {
        let snapshot = self.snapshot;
        let of_id = |id: &CertificateId| snapshot.certificates.get(id.index());
        let all = || tls.certificates.iter().filter_map(of_id);
        if all().all(|certificate| certificate.tls.is_none()) {
            return Some(Vec::new());
        }
        let mut own = Vec::new();
        let mut failed = false;
        for certificate in all() {
            own.push(certificate.tls.as_deref().and_then(|it| {
                let spoken = files::of("certificate", &certificate.name, || {
                    self.spoken(
                        &Settings {
                            who: format!("certificate `{}`", certificate.name),
                            scope: format!("{} {}", self.listener.name, certificate.name),
                            policy: &it.policy,
                            alpn: it.alpn.as_ref().unwrap_or(&tls.alpn),
                            accept_other_alpn: tls.accept_other_alpn,
                            clients: &it.clients,
                        },
                        resolver,
                    )
                });
                failed |= spoken.is_none();
                spoken
            }));
        }
        (!failed).then_some(own)
    }

    fn spoken(
        &mut self,
        settings: &Settings<'_>,
        resolver: &Arc<RenewableResolver>,
    ) -> Option<Spoken> {
        let span = self.listener.origin.0;
        let policy = policy(&settings.who, settings.policy, span, self.found);
        // The files are looked at also where the policy is wrong.
        let spoken = policy.clone().unwrap_or_default();
        let asking = match settings.clients.auth {
            ClientAuth::Off => None,
            _ => Some(self.asking(settings, &spoken)?),
        };
        let policy = policy?;
        let alpn = settings.alpn.iter().map(|it| it.clone().into_bytes());
        let alpn: Vec<Vec<u8>> = alpn.collect();
        let (asking, judged_by) = asking.unzip();
        let JudgedBy { words, until } = judged_by.unwrap_or_default();
        self.judges.push_str(&words);
        let scope = format!("{}{words}", settings.scope);
        let resumption = self.tickets.resumption(&scope, until);
        let (clients, judge) = asking.map(|it| (it.verifier, it.judge)).unzip();
        let config = server_config(resolver.clone(), &policy, &alpn, resumption, clients)
            .map_err(|error| {
                let message = format!("{} cannot speak TLS: {error}", settings.who);
                self.found
                    .push(Diagnostic::error(Code::Certificate, span, message));
            })
            .ok()?;
        let other = settings.accept_other_alpn;
        Some(Spoken {
            without_alpn: other.then(|| without_alpn(&config)).flatten(),
            config,
            judge: judge.flatten(),
        })
    }

    /// What judges the certificates of clients, and what tells it from another: a session is good only where it would be judged
    /// as it was.
    fn asking(&mut self, settings: &Settings<'_>, policy: &Policy) -> Option<(Asking, JudgedBy)> {
        let span = self.listener.origin.0;
        let folder = folder_of(self.sources, span);
        let asked = settings.clients;
        // Compile asks for a file of CAs where certificates have to be good.
        let files = [
            asked.ca.as_slice(),
            asked.unnamed_ca.as_slice(),
            asked.crl.as_slice(),
        ];
        let texts = files.map(|files| match files {
            [] => Some(None),
            files => read_pems(&folder, files, (span, self.sources), self.found).map(Some),
        });
        let [ca, unnamed_ca, crl] = texts;
        let (ca, unnamed_ca, crl) = (ca?, unnamed_ca?, crl?);
        if let Some(text) = &crl {
            let at = (span, self.now);
            revocation::note(&settings.who, text, at, self.renewable, self.found);
        }
        // Only OpenSSL's judgement tells what is wrong with a certificate that is let pass.
        let (judge, ignored) = match asked.auth.takes_any() {
            true => (CertificateJudge::Openssl, (Faults::ALL, Faults::ALL)),
            false => (asked.judge, (asked.ignored, asked.ignored_above)),
        };
        let clients = client_auth::Clients {
            ca: ca.as_deref(),
            unnamed_ca: unnamed_ca.as_deref(),
            crl: crl.as_deref(),
            required: asked.auth.is_required(),
            judge,
            ignored,
        };
        let judged_by = JudgedBy {
            words: told_apart(&clients),
            until: crl.as_deref().and_then(revocation::end_of),
        };
        let asking = client_auth::asking(&clients, policy)
            .map_err(|error| {
                let message = format!("{} cannot judge clients: {error}", settings.who);
                self.found
                    .push(Diagnostic::error(Code::Certificate, span, message));
            })
            .ok()?;
        Some((asking, judged_by))
    }
}

/// What clients are judged by.
#[derive(Default)]
struct JudgedBy {
    /// In a few letters.
    words: String,
    /// When it does not count any more, in seconds since 1970.
    until: Option<u64>,
}

/// What clients are judged by, in a few letters.
fn told_apart(clients: &client_auth::Clients<'_>) -> String {
    let mut context = Context::new(&SHA256);
    for text in [clients.ca, clients.unnamed_ca, clients.crl] {
        let text = text.unwrap_or_default();
        context.update(&text.len().to_be_bytes());
        context.update(text);
    }
    let digest = context.finish();
    let letters = digest.as_ref().iter().take(16);
    letters.fold(" ".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
