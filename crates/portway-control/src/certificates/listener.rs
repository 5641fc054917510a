//! TLS of a listener: what its clients are shown, and the settings that go with each certificate.

use super::{policy, read_pem};
use crate::renewal::Certificates;
use crate::sources::folder_of;
use crate::tls::client_auth::{self, Clients};
use crate::tls::identity::Identity;
use crate::tls::policy::Policy;
use crate::tls::resolver::{CertificateResolver, NoMatch, RenewableResolver};
use crate::tls::server::server_config;
use crate::tls::tickets::TicketKeys;
use portway_dataplane::client_tls::{AnswersHello, Terms};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::settings::ClientAuth;
use portway_model::snapshot::{CertificateId, Listener, ListenerTls, Snapshot, TlsPolicy};
use portway_model::span::Sources;
use rustls::ServerConfig;
use rustls::server::ClientHello;
use rustls::server::danger::ClientCertVerifier;
use std::sync::Arc;

/// What a listener has made of its certificates.
#[derive(Debug)]
struct OfListener {
    resolver: Arc<RenewableResolver>,
    /// For clients that are shown a certificate without settings of its own, or none.
    config: Arc<ServerConfig>,
    /// By the position of the certificate; empty where none has settings of its own.
    own: Vec<Option<Arc<ServerConfig>>>,
}

impl AnswersHello for OfListener {
    fn answer(&self, hello: &ClientHello<'_>) -> Terms {
        let chosen = self
            .resolver
            .choose(hello.server_name(), hello.signature_schemes());
        let (certificate, position) = chosen.unzip();
        let own = position.and_then(|position| self.own.get(position)?.as_ref());
        Terms {
            config: Arc::clone(own.unwrap_or(&self.config)),
            certificate,
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
    pub(super) renewable: &'a mut Certificates,
    pub(super) found: &'a mut Diagnostics,
}

/// What a configuration of rustls is made of, of a listener or of one of its certificates.
struct Settings<'a> {
    who: String,
    /// Tickets are good for handshakes of the same scope alone.
    scope: String,
    policy: &'a TlsPolicy,
    alpn: &'a [String],
    client_auth: ClientAuth,
    client_ca: Option<&'a String>,
    client_crl: Option<&'a String>,
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
        let resolver = Arc::new(RenewableResolver::new(resolver));
        let settings = Settings {
            who,
            scope: name.to_string(),
            policy: &tls.policy,
            alpn: &tls.alpn,
            client_auth: tls.client_auth,
            client_ca: tls.client_ca.as_ref(),
            client_crl: tls.client_crl.as_ref(),
        };
        let config = self.config(&settings, &resolver);
        let own = self.own(tls, &resolver);
        identities?;
        let positions = tls.certificates.iter().map(|id| id.index()).collect();
        self.renewable
            .add_listener(resolver.clone(), no_match, positions);
        Some(Arc::new(OfListener {
            resolver,
            config: config?,
            own: own?,
        }))
    }

    /// Of the certificates that have settings of their own; `None` where something is wrong with them.
    fn own(
        &mut self,
        tls: &ListenerTls,
        resolver: &Arc<RenewableResolver>,
    ) -> Option<Vec<Option<Arc<ServerConfig>>>> {
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
                let config = self.config(
                    &Settings {
                        who: format!("certificate `{}`", certificate.name),
                        scope: format!("{} {}", self.listener.name, certificate.name),
                        policy: &it.policy,
                        alpn: it.alpn.as_ref().unwrap_or(&tls.alpn),
                        client_auth: it.client_auth,
                        client_ca: it.client_ca.as_ref(),
                        client_crl: it.client_crl.as_ref(),
                    },
                    resolver,
                );
                failed |= config.is_none();
                config
            }));
        }
        (!failed).then_some(own)
    }

    fn config(
        &mut self,
        settings: &Settings<'_>,
        resolver: &Arc<RenewableResolver>,
    ) -> Option<Arc<ServerConfig>> {
        let span = self.listener.origin.0;
        let policy = policy(&settings.who, settings.policy, span, self.found)?;
        let clients = match settings.client_auth {
            ClientAuth::Off => None,
            ClientAuth::Optional | ClientAuth::Required => Some(self.clients(settings, &policy)?),
        };
        let alpn = settings.alpn.iter().map(|it| it.clone().into_bytes());
        let alpn: Vec<Vec<u8>> = alpn.collect();
        let scope = self.tickets.scoped(&settings.scope);
        server_config(resolver.clone(), &policy, &alpn, scope, clients)
            .map_err(|error| {
                let message = format!("{} cannot speak TLS: {error}", settings.who);
                self.found
                    .push(Diagnostic::error(Code::Certificate, span, message));
            })
            .ok()
    }

    /// What judges the certificates of clients.
    fn clients(
        &mut self,
        settings: &Settings<'_>,
        policy: &Policy,
    ) -> Option<Arc<dyn ClientCertVerifier>> {
        let span = self.listener.origin.0;
        let folder = folder_of(self.sources, span);
        // Compile asks for the file where certificates are asked for.
        let ca = read_pem(&folder.join(settings.client_ca?), span, self.found);
        let crl = match settings.client_crl {
            Some(file) => Some(read_pem(&folder.join(file), span, self.found)?),
            None => None,
        };
        let clients = Clients {
            ca: &ca?,
            crl: crl.as_deref(),
            required: settings.client_auth == ClientAuth::Required,
        };
        client_auth::verifier(&clients, policy)
            .map_err(|error| {
                let message = format!("{} cannot judge clients: {error}", settings.who);
                self.found
                    .push(Diagnostic::error(Code::Certificate, span, message));
            })
            .ok()
    }
}
