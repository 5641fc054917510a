//! `digestAuth`: who may pass by Digest authorization.

use super::super::schema::Section;
use super::Lowering;
use super::chain::Chain;
use portway_model::action::Action;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::digest_auth::{DigestAuth, DigestUser, Ha1};
use portway_model::span::Span;
use std::sync::Arc;

/// The realm where nothing is said.
const REALM: &str = "traefik";

impl Lowering<'_> {
    pub(super) fn digest_auth(&mut self, section: &Section, chain: &mut Chain, at: Span) {
        let realm = section.some_text("realm").map_or(REALM, |it| it.value);
        let errors = self.found.has_errors();
        let users = self.digest_users(section, realm, at);
        if users.is_empty() && self.found.has_errors() && !errors {
            return;
        }
        let digest = DigestAuth {
            realm: realm.to_owned(),
            users,
            user_header: section
                .some_text("headerField")
                .map(|it| it.value.to_owned()),
        };
        chain.always(Action::DigestAuth(Arc::new(digest)), at);
        if section.is_on("removeHeader") {
            let name = "Authorization".to_owned();
            chain.always(Action::RemoveHeader { name }, at);
        }
    }

    /// Each `name:realm:HA1`.
    fn digest_users(&mut self, section: &Section, realm: &str, at: Span) -> Vec<DigestUser> {
        let mut users: Vec<DigestUser> = Vec::new();
        for line in self.lines_of_users(section, at) {
            let parts: Vec<&str> = line.value.split(':').collect();
            let [name, of, ha1] = parts.as_slice() else {
                let message = "a user is `name:realm:HA1`";
                let one = Diagnostic::error(Code::Syntax, line.span, message);
                self.found
                    .push(one.help("such as `htdigest -c FILE REALM USER` writes"));
                continue;
            };
            let Some(ha1) = Ha1::new(ha1) else {
                let message = format!("what user `{name}` must know is no MD5");
                let one = Diagnostic::error(Code::OutOfRange, line.span, message);
                self.found.push(one.help("32 hexadecimal digits, the MD5 of `name:realm:password`: `htdigest -c FILE REALM USER` writes them"));
                continue;
            };
            if *of != realm {
                let message = format!(
                    "user `{name}` is of the realm `{of}`, and `{realm}` is asked for: it never passes"
                );
                let one = Diagnostic::warning(Code::Unused, line.span, message);
                self.refused(one.help(
                    "give the middleware this `realm`, or the user a hash for the other one",
                ));
                continue;
            }
            // The last of a name counts.
            users.retain(|it| it.name != *name);
            users.push(DigestUser {
                name: (*name).to_owned(),
                ha1,
            });
        }
        users
    }
}
