//! `track`: a server that is up where another one is, held against the servers of the whole text as HAProxy does.

use super::Lowering;
use crate::haproxy::proxy::{Proxy, Server};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::TrackedDraft;
use portway_model::name::Name;
use portway_model::span::Spanned;

/// A server and its backend.
type Placed<'a> = (&'a Proxy, &'a Server);

impl<'a> Lowering<'a, '_, '_> {
    /// The server that `server` is up with. `None`: none, or it cannot be, and that was said.
    pub(super) fn tracked(
        &mut self,
        proxy: &Proxy,
        server: &Server,
    ) -> Option<Spanned<TrackedDraft>> {
        let track = server.options.track.as_ref()?;
        if let Err(message) = self.check_track(proxy, server, track) {
            self.reader
                .push(Diagnostic::error(Code::Conflict, track.span, message));
            return None;
        }
        let name = |text: &str| Spanned::new(Name::from(text), track.span);
        let (group, target) = match track.value.split_once('/') {
            Some((group, target)) => (Some(name(group)), name(target)),
            None => (None, name(&track.value)),
        };
        Some(Spanned::new(TrackedDraft { group, target }, track.span))
    }

    fn check_track(
        &self,
        proxy: &Proxy,
        server: &Server,
        track: &Spanned<String>,
    ) -> Result<(), String> {
        if is_checked(server) {
            return Err("a server cannot be checked and track another one at the same time".into());
        }
        let mut at = self.followed(proxy, &track.value)?;
        // The chain is as long as there are servers at most.
        let longest = self.proxies.iter().map(|proxy| proxy.servers.len()).sum();
        for _ in 0..=longest {
            let Some(next) = &at.1.options.track else {
                return match is_checked(at.1) {
                    true => Ok(()),
                    false => Err(format!(
                        "`{}/{}` cannot be tracked: it is not checked",
                        at.0.name.value, at.1.name.value
                    )),
                };
            };
            at = self.followed(at.0, &next.value)?;
        }
        Err(format!(
            "`{}` cannot be tracked: the chain of servers leads back to where it began",
            track.value
        ))
    }

    /// The server of this name, of the proxy where it names no backend.
    fn followed(&self, proxy: &Proxy, name: &str) -> Result<Placed<'a>, String> {
        let (backend, name) = name.split_once('/').unwrap_or((&proxy.name.value, name));
        let backend = self
            .backend(backend)
            .ok_or_else(|| format!("there is no backend `{backend}` to be tracked"))?;
        let mut servers = backend.servers.iter();
        let found = servers.find(|server| server.name.value == name);
        found.map(|server| (backend, server)).ok_or_else(|| {
            let words = backend.words();
            format!("there is no server `{name}` in {words} to be tracked")
        })
    }
}

fn is_checked(server: &Server) -> bool {
    let own = &server.options;
    own.check.enabled.is_some() || own.agent.enabled.is_some()
}
