//! `jwt_verify(ALGORITHM,KEY)`: whether a token was signed with a key.

use super::arguments::Call;
use super::sample::Refusal;
use super::{Reader, variable};
use portway_model::expression::{Given, JwtVerify};
use portway_model::jwt::JwtAlgorithm;
use portway_model::span::Span;

/// What the converter holds signatures against. Each argument may be a variable; HAProxy takes a name that can be one for
/// that.
pub(super) fn verified(
    call: &Call<'_>,
    span: Span,
    reader: &Reader<'_>,
) -> Result<JwtVerify, Refusal> {
    let given = |index| match variable::variable(call.text(index)) {
        Ok(variable) => Given::Variable(variable),
        Err(_) => Given::Text(call.text(index).to_owned()),
    };
    if call.given(1).is_none() {
        return Err(Refusal::wrong("say the algorithm and the key, or its file"));
    }
    let algorithm = given(0);
    let mut key = given(1);
    if let Given::Text(name) = &algorithm {
        let known = JwtAlgorithm::named(name.as_bytes());
        match known {
            None if name == "none" => {}
            None | Some(JwtAlgorithm::EdDsa) => {
                return Err(Refusal::Wrong(format!("there is no algorithm '{name}'")));
            }
            Some(JwtAlgorithm::Ps256 | JwtAlgorithm::Ps384 | JwtAlgorithm::Ps512) => {
                let why = format!("'{name}' is not known to HAProxy 2.6");
                return Err(Refusal::Wrong(why));
            }
            Some(_) => {}
        }
        if let (true, Given::Text(file)) = (known.is_some_and(|it| !it.is_shared()), &key) {
            key = Given::Text(reader.path(file, span));
        }
    }
    Ok(JwtVerify { algorithm, key })
}
