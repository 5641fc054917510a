//! Sessions with targets, kept for resumption until they are forgotten.
//!
//! A resumed session stands for the handshake that began it, our certificate included; so sessions end where another certificate is
//! to be shown.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls_pki_types::ServerName;

use super::client::RenewableKey;

/// Sessions of one configuration. The lock is written where certificates are renewed.
#[derive(Debug)]
pub(super) struct Sessions {
    kept: RwLock<Arc<ClientSessionMemoryCache>>,
    most: usize,
}

/// How sessions with targets are resumed, with so many servers at most; `own` is what those are shown.
pub(super) fn resumption(most: usize, resume: bool, own: Option<&RenewableKey>) -> Resumption {
    if !resume {
        return Resumption::disabled();
    }
    let Some(own) = own else {
        return Resumption::in_memory_sessions(most);
    };
    let sessions = Arc::new(Sessions {
        kept: RwLock::new(Arc::new(ClientSessionMemoryCache::new(most))),
        most,
    });
    own.shown_in(&sessions);
    Resumption::store(sessions)
}

impl Sessions {
    /// Forgets all of them.
    pub(super) fn forget(&self) {
        let none = Arc::new(ClientSessionMemoryCache::new(self.most));
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = none;
    }

    fn kept(&self) -> Arc<ClientSessionMemoryCache> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&kept)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.kept().set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept().kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.kept().set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept().tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.kept().remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.kept().insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept().take_tls13_ticket(server)
    }
}
