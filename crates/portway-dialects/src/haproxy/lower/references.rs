//! What a proxy names, and whether it can work with it.

use super::Lowering;
use crate::haproxy::proxy::{List, Mode, Proxy, Step};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::Spanned;

impl Lowering<'_, '_, '_> {
    /// Backends that are named must be there and fit.
    pub(super) fn check_references(&mut self, proxy: &Proxy) {
        if !proxy.kind.accepts() {
            return;
        }
        for rule in &proxy.rules {
            if let (List::UseBackend, Step::Backend(name)) = (rule.list, &rule.step) {
                self.check_backend(proxy, "use_backend", name);
            }
        }
        if let Some(name) = &proxy.default_backend {
            self.check_backend(proxy, "default_backend", name);
            if proxy.kind.serves() && name.value == proxy.name.value {
                let message = format!("{} is its own `default_backend`", proxy.words());
                let help = "without the line its own servers are used";
                let wrong = Diagnostic::error(Code::Conflict, name.span, message);
                self.reader.push(wrong.help(help));
            }
        }
    }

    fn check_backend(&mut self, proxy: &Proxy, keyword: &str, name: &Spanned<String>) {
        let Some(backend) = self.backend(&name.value) else {
            let message = format!(
                "{}: there is no backend `{}` for this `{keyword}`",
                proxy.words(),
                name.value
            );
            let known = self.proxies.iter().filter(|proxy| proxy.kind.serves());
            let known: Vec<&str> = known.map(|proxy| proxy.name.value.as_str()).collect();
            let found = Diagnostic::error(Code::UnknownReference, name.span, message);
            let found = found.nearest(&name.value, known);
            self.reader.push(match found.help {
                None => {
                    let help = format!("write a section `backend {}`", name.value);
                    found.help(help)
                }
                Some(_) => found,
            });
            return;
        };
        if proxy.mode() == Mode::Http && backend.mode() == Mode::Tcp {
            let message = format!(
                "{} speaks http, and its {} speaks tcp",
                proxy.words(),
                backend.words()
            );
            let place = backend.mode.map_or(backend.name.span, |mode| mode.span);
            self.reader.push(
                Diagnostic::error(Code::ProtocolMismatch, proxy.name.span, message)
                    .label(name.span, "it is named here")
                    .label(place, "the backend is here")
                    .help("write `mode http` in the backend, or `mode tcp` in the frontend"),
            );
        }
    }

    /// The group of this name, where the backend is there and fits.
    pub(super) fn fitting(&self, proxy: &Proxy, name: &str) -> bool {
        let backend = self.backend(name);
        backend.is_some_and(|backend| proxy.mode() == Mode::Tcp || backend.mode() == Mode::Http)
    }

    /// Warns of timeouts without which connections can last for ever.
    pub(super) fn check_timeouts(&mut self, proxy: &Proxy) {
        let timeouts = &proxy.timeouts;
        let missing = |given: Option<Spanned<std::time::Duration>>| {
            given.is_none_or(|given| given.value.is_zero())
        };
        let mut names = Vec::new();
        if proxy.kind.accepts() && missing(timeouts.client) {
            names.push("`timeout client`");
        }
        let serves = proxy.kind.serves() && (!proxy.servers.is_empty() || proxy.dispatch.is_some());
        if serves && missing(timeouts.connect) {
            names.push("`timeout connect`");
        }
        if serves && missing(timeouts.server) {
            names.push("`timeout server`");
        }
        if names.is_empty() {
            return;
        }
        let message = format!("missing timeouts for {}", proxy.words());
        let help = format!(
            "connections that say nothing stay for ever: set {}",
            names.join(", ")
        );
        self.reader
            .push(Diagnostic::warning(Code::Missing, proxy.name.span, message).help(help));
    }
}
