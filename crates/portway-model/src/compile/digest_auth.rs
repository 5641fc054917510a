//! Checks `digest_auth`.

use super::Compiler;
use super::expressions::Place;
use super::text::{Use, check_header_written, check_text};
use crate::diagnostic::{Code, Diagnostic};
use crate::digest_auth::DigestAuth;
use std::collections::HashSet;

impl Compiler<'_> {
    pub(super) fn check_digest_auth(&mut self, place: Place, digest: &DigestAuth) {
        let span = place.span;
        check_text(
            &mut self.found,
            "a realm",
            &digest.realm,
            Use::HeaderValue,
            span,
        );
        if digest.users.is_empty() {
            let message = "nobody may pass: there are no users";
            let wrong = Diagnostic::error(Code::Missing, span, message);
            self.found.push(wrong.help(
                "write `users = { NAME = \"HA1\" }`, HA1 being the MD5 of NAME:REALM:PASSWORD",
            ));
        }
        let mut names = HashSet::new();
        for user in &digest.users {
            check_text(
                &mut self.found,
                "a user's name",
                &user.name,
                Use::HeaderValue,
                span,
            );
            if user.name.is_empty() || user.name.contains(':') {
                let message = format!("`{}` is no name of a user", user.name.escape_debug());
                let wrong = Diagnostic::error(Code::OutOfRange, span, message);
                self.found
                    .push(wrong.help("a name is not empty and has no colon"));
            }
            if !names.insert(user.name.as_str()) {
                let message = format!("there are two users `{}`", user.name);
                self.found
                    .push(Diagnostic::error(Code::Duplicate, span, message));
            }
        }
        if let Some(header) = &digest.user_header {
            check_header_written(&mut self.found, header, span);
        }
    }
}
