//! What is checked of tokens that are asked for.

use super::expressions::Place;
use super::limits::{MAX_TOKEN_LEEWAY, MIN_KEY_REFRESH};
use super::rules::place_error;
use super::text::{Use, check_header_name, check_header_written, check_text};
use super::{Compiler, limits};
use crate::diagnostic::{Code, Diagnostic};
use crate::expression::{Given, JwtVerify};
use crate::jwt::{ClaimForm, Jwt, JwtAlgorithm, KeySource, KeyUrl, TokenFrom, UrlParts};
use crate::span::Spanned;
use std::net::IpAddr;

impl Compiler<'_> {
    /// What a signature is held against; a file with a key is kept in mind.
    pub(super) fn check_verified(&mut self, place: Place, verify: &JwtVerify) {
        if let Given::Text(algorithm) = &verify.algorithm
            && JwtAlgorithm::named(algorithm.as_bytes()).is_none()
            && algorithm != "none"
        {
            let message = format!("`{algorithm}` is no algorithm of signatures");
            self.wrong_token(place, &message, "such as `RS256`, `ES256` or `HS256`");
        }
        if let Some(file) = verify.key_file() {
            if file.is_empty() {
                self.wrong_token(
                    place,
                    "a key without a file",
                    "say the path of a public key",
                );
            }
            let file = Spanned::new(file.to_owned(), place.span);
            if !self.token_keys.contains(&file) {
                self.token_keys.push(file);
            }
        }
    }

    pub(super) fn check_jwt(&mut self, place: Place, jwt: &Jwt) {
        let span = place.span;
        self.check_algorithms(place, jwt);
        if let KeySource::Url(url) = &jwt.keys {
            self.check_key_url(place, url);
        }
        if jwt.token.is_empty() {
            self.wrong_token(
                place,
                "the token stands nowhere",
                "such as `{ header = \"Authorization\" }`",
            );
        }
        for from in &jwt.token {
            match from {
                TokenFrom::Header(name) => {
                    check_header_name(&mut self.found, name, span);
                }
                TokenFrom::Cookie(name) | TokenFrom::Query(name) => {
                    let empty = name.is_empty();
                    check_text(&mut self.found, "a name", name, Use::Target, span);
                    if empty {
                        self.wrong_token(
                            place,
                            "a name is empty",
                            "say the name of a cookie, or of an argument",
                        );
                    }
                }
            }
        }
        self.check_parties(place, jwt);
        if jwt.leeway > MAX_TOKEN_LEEWAY {
            self.wrong_token(place, "clocks do not differ by so much", "the most is `1h`");
        }
        for claim in &jwt.claims {
            let spaces = claim.values.iter().any(|it| it.contains(' '));
            if claim.values.is_empty() || claim.name.is_empty() {
                self.wrong_token(
                    place,
                    "a claim without a name, or without values",
                    "such as `{ scope = { words = [\"read\"] } }`",
                );
            } else if claim.form == ClaimForm::Words && spaces {
                self.wrong_token(
                    place,
                    "a word with a space in it",
                    "write each word by itself",
                );
            }
        }
        for (name, claim) in &jwt.headers {
            check_header_written(&mut self.found, name, span);
            if claim.is_empty() {
                self.wrong_token(
                    place,
                    "a header of a claim without a name",
                    "such as `{ X-User = \"sub\" }`",
                );
            }
        }
        if let Some(realm) = &jwt.realm {
            check_text(&mut self.found, "a realm", realm, Use::HeaderValue, span);
        }
    }

    /// Keys alone say little: an issuer signs tokens for many with the same ones.
    fn check_parties(&mut self, place: Place, jwt: &Jwt) {
        let is_shared = matches!(jwt.keys, KeySource::Secret(_));
        let says_whom = !jwt.issuers.is_empty() || !jwt.audiences.is_empty();
        if is_shared || says_whom || !jwt.claims.is_empty() {
            return;
        }
        let message =
            "every token that was signed with these keys is believed, for whomever it was made";
        let warning = Diagnostic::warning(Code::Unprotected, place.span, message);
        let help = "say the `audience` that tokens for this service have, and their `issuer`";
        self.found.push(warning.help(help));
    }

    fn wrong_token(&mut self, place: Place, message: &str, help: &str) {
        let wrong = place_error(place, Code::OutOfRange, message.to_owned());
        self.found.push(wrong.help(help));
    }

    /// Nobody signs with what everybody may know.
    fn check_algorithms(&mut self, place: Place, jwt: &Jwt) {
        let shared = matches!(jwt.keys, KeySource::Secret(_));
        if jwt.algorithms.is_empty() {
            self.wrong_token(place, "no algorithm is accepted", "such as `[\"RS256\"]`");
        }
        if let Some(odd) = jwt.algorithms.iter().find(|it| it.is_shared() != shared) {
            let (message, help) = match shared {
                true => (
                    format!("`{}` is no algorithm of a shared secret", odd.name()),
                    "name `HS256`, `HS384` or `HS512`, or say `keys` in place of `secret`",
                ),
                false => (
                    format!(
                        "`{}` is signed with a shared secret, and public keys are none",
                        odd.name()
                    ),
                    "leave it away, or say `secret` in place of `keys`",
                ),
            };
            self.wrong_token(place, &message, help);
        }
    }

    fn check_key_url(&mut self, place: Place, url: &KeyUrl) {
        let Some(parts) = UrlParts::of(&url.url) else {
            let message = format!(
                "`{}` is no URL that keys could be fetched from",
                url.url.escape_debug()
            );
            return self.wrong_token(
                place,
                &message,
                "such as `https://login.example/.well-known/jwks.json`",
            );
        };
        if url.refresh < MIN_KEY_REFRESH {
            self.wrong_token(
                place,
                "keys would be fetched too often",
                "the shortest time is `10s`",
            );
        } else {
            limits::check_duration(&mut self.found, "the time", url.refresh, place.span);
        }
        if !parts.tls && url.ca.is_some() {
            self.wrong_token(
                place,
                "`ca` is for `https`, and this is `http`",
                "write `https`, or leave `ca` away",
            );
        }
        let near = parts.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if !parts.tls && !near && parts.host != "localhost" {
            let message = format!(
                "keys come in the clear from `{}`: whoever stands between can give his own",
                parts.host
            );
            let warning = Diagnostic::warning(Code::Unprotected, place.span, message);
            self.found.push(warning.help("write `https`"));
        }
    }
}
