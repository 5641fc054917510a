//! The action `jwt-validation`: a request goes on with a good token only.

use super::Lowering;
use super::listener::Front;
use crate::cloudformation::object::Object;
use portway_model::action::Action;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::jwt::{
    Claim, ClaimForm, EXPIRES, Jwt, JwtAlgorithm, KeySource, KeyUrl, REFRESH, UrlParts,
};
use portway_model::settings::Protocol;
use portway_model::stage::Named;
use std::sync::Arc;

/// Claims that are looked at anyway.
const OWN: [&str; 4] = ["exp", "iss", "nbf", "iat"];
/// Claims, and values of each, at most.
const MOST: usize = 10;
/// A balancer of AWS asks for these, and accepts no other algorithm.
const ISSUER: &str = "iss";

impl Lowering<'_, '_, '_> {
    pub(super) fn jwt_validation(
        &mut self,
        config: &Object,
        front: &Front<'_>,
    ) -> Option<Action<Named>> {
        let issuer = config.text("Issuer")?.value.to_owned();
        let endpoint = config.text("JwksEndpoint")?;
        if !UrlParts::of(endpoint.value).is_some_and(|url| url.tls) {
            let message = format!(
                "`JwksEndpoint` is a URL of HTTPS, and `{}` is none",
                endpoint.value
            );
            self.error(Code::OutOfRange, endpoint.span, message);
            return None;
        }
        if front.protocol.value != Protocol::Https {
            let message = format!("listener `{}` takes tokens in the clear", front.id);
            let clear = Diagnostic::warning(Code::Unprotected, config.span, message);
            self.found.push(
                clear.help("AWS wants `HTTPS` here: whoever listens on the way has the token"),
            );
        }
        let claims = config.objects("AdditionalClaims");
        if claims.len() > MOST {
            let message = format!(
                "`AdditionalClaims` has at most {MOST} claims, and this has {}",
                claims.len()
            );
            self.error(Code::OutOfRange, config.span, message);
            return None;
        }
        let claims: Option<Vec<Claim>> = claims.iter().map(|it| self.claim(it)).collect();
        let keys = KeySource::Url(KeyUrl {
            url: endpoint.value.to_owned(),
            ca: None,
            refresh: REFRESH,
        });
        Some(Action::Jwt(Arc::new(Jwt {
            algorithms: vec![JwtAlgorithm::Rs256],
            issuers: vec![issuer],
            require: vec![EXPIRES.to_owned(), ISSUER.to_owned()],
            claims: claims?,
            ..Jwt::new(keys)
        })))
    }

    fn claim(&mut self, claim: &Object) -> Option<Claim> {
        let (name, format) = (claim.text("Name")?, claim.text("Format")?);
        let form = match format.value {
            "single-string" => ClaimForm::Text,
            "string-array" => ClaimForm::List,
            _ => ClaimForm::Words,
        };
        let values = claim.texts("Values");
        let odd = values
            .iter()
            .find(|it| form == ClaimForm::Words && it.value.contains(' '));
        let wrong = if OWN.contains(&name.value) {
            Some((name.span, format!("`{}` is looked at anyway", name.value)))
        } else if name.value.starts_with('$') {
            Some((name.span, format!("`{}` is no name of a claim", name.value)))
        } else if values.is_empty() || values.len() > MOST {
            let message = format!(
                "a claim has 1 to {MOST} values, and this has {}",
                values.len()
            );
            Some((claim.span, message))
        } else {
            odd.map(|it| (it.span, format!("`{}` is no single word", it.value)))
        };
        if let Some((span, message)) = wrong {
            self.error(Code::OutOfRange, span, message);
            return None;
        }
        Some(Claim {
            name: name.value.to_owned(),
            form,
            values: values.iter().map(|it| it.value.clone()).collect(),
        })
    }
}
