//! HTTP/2 with clients: `proto`, `alpn` and `option disable-h2-upgrade`.

use super::Lowering;
use crate::haproxy::proxy::{Bind, MUXES, Mux};
use crate::haproxy::proxy::{Mode, Proxy};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::ListenerDraft;
use portway_model::http2::PriorKnowledge;
use portway_model::span::Spanned;

impl Lowering<'_, '_, '_> {
    /// What clients of a bind may begin with: HAProxy looks at the first bytes of each, with TLS too.
    pub(super) fn prior_knowledge(
        &mut self,
        listener: &mut ListenerDraft,
        proxy: &Proxy,
        bind: &Bind,
    ) {
        let mux = self.usable(proxy, bind.mux);
        if proxy.mode() != Mode::Http {
            return;
        }
        let disabled = proxy.flags.on("disable-h2-upgrade");
        listener.http2.prior_knowledge = match mux {
            Some(mux) if mux.value == Mux::H2 => Some(mux.map(|_| PriorKnowledge::Required)),
            Some(mux) => {
                self.one_version(listener);
                Some(mux.map(|_| PriorKnowledge::Refused))
            }
            None => Some(match disabled {
                Some(span) => Spanned::new(PriorKnowledge::Refused, span),
                None => Spanned::bare(PriorKnowledge::Optional),
            }),
        };
    }

    /// What is said, where the proxy can speak it.
    fn usable(&mut self, proxy: &Proxy, mux: Option<Spanned<Mux>>) -> Option<Spanned<Mux>> {
        let mux = mux?;
        let (fits, help) = match (proxy.mode(), mux.value) {
            (Mode::Tcp, Mux::None) | (Mode::Http, Mux::H1 | Mux::H2) => (true, ""),
            (Mode::Tcp, _) => (false, "leave `proto` out: bytes are passed on as they come"),
            (Mode::Http, _) => (false, "write `proto h1` or `proto h2`, or leave it out"),
        };
        if fits {
            return Some(mux);
        }
        let word = MUXES.iter().find(|(_, it)| *it == mux.value);
        let word = word.map_or("", |(word, _)| word);
        let message = format!("`proto {word}` cannot be spoken by {}", proxy.words());
        let one = Diagnostic::error(Code::Conflict, mux.span, message);
        self.reader.push(one.help(help));
        None
    }

    /// Takes `h2` out of what is offered where HTTP/1 alone is spoken: HAProxy drops those who agree on it.
    fn one_version(&mut self, listener: &mut ListenerDraft) {
        let Some(alpn) = &mut listener.tls.alpn else {
            return;
        };
        let before = alpn.value.len();
        alpn.value.retain(|name| name != "h2");
        if alpn.value.len() < before {
            let message = "`alpn` has `h2`, and `proto h1` speaks HTTP/1 alone: it is not offered";
            let help = "leave `proto` out: what a client agrees on is spoken";
            let one = Diagnostic::warning(Code::Conflict, alpn.span, message);
            self.reader.push(one.help(help));
        }
    }
}
