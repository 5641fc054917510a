//! `persist rdp-cookie`: a terminal client goes back to the server that its cookie names.
//!
//! The cookie is `ADDRESS.PORT.0000`, both numbers in decimal with their bytes turned round, so that what each server is
//! called in it is known from the configuration: a rule for each.

use super::Lowering;
use super::rules::{always, rule, test};
use crate::haproxy::proxy::{Proxy, Server};
use portway_model::action::{Action, Phase, Rule};
use portway_model::address::{Host, TargetAddress};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Expression, Matcher, Template, TextMatch, Transform, Value};
use portway_model::stage::Named;
use std::net::IpAddr;

/// The cookie of this name in the first packet of a terminal client.
pub(super) fn cookie(name: &str) -> Expression<Named> {
    let mut cookie = Expression::from(Value::Payload {
        offset: 0,
        length: 0,
    });
    let named = Transform::RdpCookie(Some(name.to_owned()));
    cookie.transforms.push(named);
    cookie
}

impl Lowering<'_, '_, '_> {
    /// A rule for each server of a TCP backend.
    pub(super) fn rdp_persistence(
        &mut self,
        proxy: &Proxy,
        servers: &[Server],
    ) -> Vec<Rule<Named>> {
        let Some(name) = &proxy.persist_rdp_cookie else {
            return Vec::new();
        };
        let mut rules = Vec::new();
        if proxy.inspect_delay.is_some() {
            let accept = vec![Action::Accept];
            rules.push(rule(Phase::ClientHello, always(), accept, name.span));
        }
        for server in servers {
            let (ip, port) = match &server.address.value {
                TargetAddress::Tcp {
                    host: Host::Ip(IpAddr::V4(ip)),
                    port,
                } => (ip, port),
                _ => {
                    let message = format!(
                        "`persist rdp-cookie` does not know server `{}`: it has no IPv4 address here",
                        server.name.value
                    );
                    let found = Diagnostic::warning(Code::NotRun, server.address.span, message);
                    self.reader
                        .push(found.help("write its address in place of its name"));
                    continue;
                }
            };
            let called = format!("{}.{}.", u32::from_le_bytes(ip.octets()), port.swap_bytes());
            let begins = Matcher::Text {
                how: TextMatch::Prefix,
                any_of: vec![called],
                ignore_case: false,
            };
            let names_it = test(cookie(&name.value), begins, name.span);
            let goes = vec![Action::UseTarget(Template::text(&server.name.value))];
            rules.push(rule(Phase::ClientHello, names_it, goes, name.span));
        }
        rules
    }
}
