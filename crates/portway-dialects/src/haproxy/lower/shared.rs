//! Addresses that several accept on: the kernel gives each connection to one of them, as HAProxy lets it.

use super::Lowering;
use portway_model::address::BindAddress;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::{Span, Spanned};
use std::net::{IpAddr, Ipv6Addr};

/// Ports of an address on an interface.
struct Ports<'d> {
    ip: IpAddr,
    interface: Option<&'d str>,
    first: u16,
    last: u16,
    listener: usize,
    span: Span,
}

impl Lowering<'_, '_, '_> {
    /// Lets those that accept on the same addresses share them, and warns of it: nobody knows whose a connection is.
    pub(super) fn shared_addresses(&mut self) {
        let mut ports: Vec<Ports<'_>> = Vec::new();
        for (listener, draft) in self.draft.listeners.iter().enumerate() {
            let interface = draft.socket.interface.as_ref();
            for bind in &draft.binds {
                let BindAddress::Tcp {
                    ip,
                    first_port,
                    last_port,
                } = bind.value
                else {
                    continue;
                };
                ports.push(Ports {
                    ip: ip.unwrap_or(Ipv6Addr::UNSPECIFIED.into()),
                    interface: interface.map(|it| it.value.as_str()),
                    first: first_port,
                    last: last_port,
                    listener,
                    span: bind.span,
                });
            }
        }
        // Those that meet stand near each other; of those that begin together, the first in the text is the first.
        ports.sort_by_key(|it| (it.ip, it.interface, it.first));
        let mut shared: Vec<(usize, Span, usize, Span)> = Vec::new();
        let mut before: Option<&Ports<'_>> = None;
        for one in &ports {
            let met = before.filter(|it| (it.ip, it.interface) == (one.ip, one.interface));
            if let Some(met) = met.filter(|it| one.first <= it.last) {
                shared.push((met.listener, met.span, one.listener, one.span));
            }
            if met.is_none_or(|met| one.last > met.last) {
                before = Some(one);
            }
        }
        for (listener, span, other, other_span) in shared {
            self.share(listener, span);
            self.share(other, other_span);
            let message = "this address is accepted on elsewhere too: each connection goes to one of the two, the system chooses";
            let found = Diagnostic::warning(Code::AddressInUse, other_span, message);
            self.reader.push(found.label(span, "the other is here"));
        }
    }

    fn share(&mut self, listener: usize, span: Span) {
        if let Some(draft) = self.draft.listeners.get_mut(listener) {
            draft.socket.shared = Some(Spanned::new(true, span));
        }
    }
}
