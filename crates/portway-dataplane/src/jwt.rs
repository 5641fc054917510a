//! Whether a request may go on, as its token says.
//!
//! A signature costs a worker tens of microseconds (RSA of 2048 bits, P-256, Ed25519) to hundreds (P-384, P-521): most cost less
//! than handing them to another thread and back would. What a token gives the request (an identity in a header) never comes from the client: its fields
//! of those names are taken away whatever is found.

use crate::answers::{self, Answer};
use crate::exchange::{Exchange, How};
use crate::fault::Fault;
use crate::keys::{FETCH_PATIENCE, KeySet};
use crate::policy::Decision;
use crate::serve::while_there;
use crate::stream::Stream;
use portway_core::evaluate::{Facts, Fetched, fetch_each, write_sanitised};
use portway_core::http1::write_field;
use portway_core::jwt::{Refusal, Token};
use portway_model::alike::is_alike;
use portway_model::expression::Value;
use portway_model::jwt::{AUTHORIZATION, Jwt, OnBadToken, TokenFrom};
use portway_model::span::Origin;
use portway_model::stage::Resolved;
use portway_telemetry::metrics::Tokens;
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// What is found of a request's token.
pub(crate) enum Found {
    /// It is believed: these headers say what it gives.
    Good(Vec<(String, Vec<u8>)>),
    /// It is not.
    Bad(Refusal),
    /// That cannot be said before keys are fetched.
    Later(Arc<KeySet>),
    /// That cannot be said: there are no keys.
    Unknown,
}

/// What is answered where keys are missing.
const NO_KEYS: &str = "no_keys";

/// Lets the request go on, or says what becomes of it.
pub(crate) fn ask(x: &mut Exchange<'_>, jwt: &Jwt, origin: Origin) -> Option<Decision> {
    let found = judge(x, jwt, origin);
    let result = match &found {
        Found::Good(_) => Some(Tokens::VALID),
        Found::Bad(refusal) => Some(refusal.word()),
        Found::Unknown => Some(NO_KEYS),
        Found::Later(_) => None,
    };
    if let Some(result) = result {
        let metrics = x.connection.shard().listener(x.connection.listener.index());
        metrics.tokens.count(result);
    }
    match found {
        Found::Later(set) => return Some(Decision::WaitForKeys(Some(set))),
        Found::Unknown => return Some(Decision::WaitForKeys(None)),
        Found::Good(headers) => {
            forget(x, jwt.headers.iter().map(|(name, _)| name.as_str()));
            for (name, value) in headers {
                let edits = &mut x.scratch.request_edits;
                edits.add(name.as_bytes(), |out| write_sanitised(&value, out));
            }
        }
        Found::Bad(refusal) => {
            forget(x, jwt.headers.iter().map(|(name, _)| name.as_str()));
            if !passes(jwt, refusal) {
                let how = How::Challenge;
                return Some(Decision::Answer(answer(x, jwt, refusal), how));
            }
        }
    }
    None
}

/// True where a request goes on without a good token.
pub(crate) fn passes(jwt: &Jwt, refusal: Refusal) -> bool {
    match jwt.on_failure {
        OnBadToken::Refuse => false,
        OnBadToken::PassMissing => refusal == Refusal::Missing,
        OnBadToken::Pass => true,
    }
}

/// Looks at the token, and changes nothing.
pub(crate) fn judge(x: &Exchange<'_>, jwt: &Jwt, origin: Origin) -> Found {
    let text = match token(x, jwt) {
        Ok(Some(text)) => text,
        Ok(None) => return Found::Bad(Refusal::Missing),
        Err(refusal) => return Found::Bad(refusal),
    };
    let Some(token) = Token::parse(&text).filter(|token| !token.is_critical()) else {
        return Found::Bad(Refusal::Malformed);
    };
    let accepted = token.algorithm().filter(|it| jwt.algorithms.contains(it));
    let Some(algorithm) = accepted else {
        return Found::Bad(Refusal::Algorithm);
    };
    let plane = &x.connection.generation.plane;
    let Some(set) = plane.keys.of(origin.0.file, &jwt.keys) else {
        return Found::Unknown;
    };
    let verified = match set.keys() {
        Some(keys) => keys.verify(&token, algorithm),
        None if set.may_be_asked_for() => return Found::Later(set.clone()),
        None => return Found::Unknown,
    };
    match verified.and_then(|()| token.check(jwt, x.now().unwrap_or_default())) {
        Err(Refusal::UnknownKey) if set.may_be_asked_for() => Found::Later(set.clone()),
        Err(refusal) => Found::Bad(refusal),
        Ok(()) => {
            let said = |(name, claim): &(String, String)| {
                let value = token.claim(claim)?;
                Some((name.clone(), value.into_owned()))
            };
            Found::Good(jwt.headers.iter().filter_map(said).collect())
        }
    }
}

/// The token as it stands in the request, in the first place that has one; `Err`: it stands there twice, or is cut off, and
/// whoever asks the target could read another one than was looked at here.
fn token(x: &Exchange<'_>, jwt: &Jwt) -> Result<Option<Vec<u8>>, Refusal> {
    for from in &jwt.token {
        let found = match from {
            TokenFrom::Header(name) => header(x, name)?,
            TokenFrom::Cookie(name) => only(x, &Value::Cookie(name.clone()))?,
            TokenFrom::Query(name) => only(x, &Value::QueryParameter(name.clone()))?,
        };
        if let Some(token) = found.filter(|token| !token.is_empty()) {
            return Ok(Some(token));
        }
    }
    Ok(None)
}

/// What stands there, once.
fn only(x: &Exchange<'_>, value: &Value<Resolved>) -> Result<Option<Vec<u8>>, Refusal> {
    let mut found: Option<Vec<u8>> = None;
    let mut is_twice = false;
    fetch_each(value, x, &mut |one| {
        let Fetched::Bytes(bytes) = one else {
            return ControlFlow::Continue(());
        };
        is_twice = found.is_some();
        match is_twice {
            true => ControlFlow::Break(()),
            false => {
                found = Some(bytes.into_owned());
                ControlFlow::Continue(())
            }
        }
    });
    match is_twice {
        true => Err(Refusal::Malformed),
        false => Ok(found),
    }
}

fn header(x: &Exchange<'_>, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let mut found: Option<Vec<u8>> = None;
    let mut is_twice = false;
    x.header(name, &mut |value| {
        is_twice = found.is_some();
        match is_twice {
            true => ControlFlow::Break(()),
            false => {
                found = Some(value.to_vec());
                ControlFlow::Continue(())
            }
        }
    });
    match (is_twice, found) {
        (true, _) => Err(Refusal::Malformed),
        (_, Some(value)) if name.eq_ignore_ascii_case(AUTHORIZATION) => {
            Ok(bearer(&value)?.map(<[u8]>::to_vec))
        }
        (_, found) => Ok(found),
    }
}

/// What stands behind `Bearer` (RFC 6750 section 2.1); `None`: another scheme.
fn bearer(value: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    let is_of_word = |byte: &u8| byte.is_ascii_graphic();
    let end = value.iter().position(|byte| !is_of_word(byte));
    let (scheme, rest) = value.split_at(end.unwrap_or(value.len()));
    match (scheme.eq_ignore_ascii_case(b"bearer"), rest.first()) {
        (false, _) => Ok(None),
        (true, Some(b' ')) => Ok(Some(rest.trim_ascii())),
        (true, _) => Err(Refusal::Malformed),
    }
}

/// Takes away what only we may say, such as what a token gives, also under names that targets may take for the same.
pub(crate) fn forget<'n>(x: &mut Exchange<'_>, names: impl IntoIterator<Item = &'n str>) {
    let scratch = &mut *x.scratch;
    let (request, edits) = (&scratch.request, &mut scratch.request_edits);
    for name in names {
        edits.remove(name.as_bytes());
        edits.remove_where(request.fields(), x.arena.filled(), |other, _| {
            is_alike(name.as_bytes(), other)
        });
    }
}

/// 401 with what is asked for (RFC 6750 section 3).
fn answer(x: &Exchange<'_>, jwt: &Jwt, refusal: Refusal) -> Answer {
    let mut answer = answers::own(x, 401, "A good token is needed.");
    let mut parts = Vec::new();
    if let Some(realm) = &jwt.realm {
        let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
        parts.push(format!("realm=\"{realm}\""));
    }
    if refusal != Refusal::Missing {
        let description = refusal.description();
        parts.push("error=\"invalid_token\"".to_owned());
        parts.push(format!("error_description=\"{description}\""));
    }
    let blank = if parts.is_empty() { "" } else { " " };
    let challenge = format!("Bearer{blank}{}", parts.join(", "));
    write_field(
        &mut answer.fields,
        b"WWW-Authenticate",
        challenge.as_bytes(),
    );
    answer
}

/// Waits for keys.
///
/// # Errors
/// They did not come, or the client has gone.
pub(crate) async fn wait(
    x: &mut Exchange<'_>,
    client: &mut Stream,
    keys: Option<Arc<KeySet>>,
) -> Result<(), Fault> {
    let Some(keys) = keys else {
        return Err(Fault::no_keys(NO_KEYS));
    };
    let timer = &x.connection.timer;
    timer.set(FETCH_PATIENCE);
    let mut fetched = pin!(keys.next());
    let waited = pin!(poll_fn(|cx| match fetched.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending => timer.poll(cx).map(|()| false),
    }));
    match while_there(client, true, waited).await {
        None => Err(Fault::client_closed()),
        Some(true) => Ok(()),
        Some(false) => Err(Fault::no_keys(NO_KEYS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted() {
        let words = Refusal::ALL.map(Refusal::word);
        let all: Vec<&str> = [Tokens::VALID]
            .into_iter()
            .chain(words)
            .chain([NO_KEYS])
            .collect();
        assert_eq!(all, Tokens::RESULTS);
    }

    #[test]
    fn bearers() {
        let check = |value: &str, expected: Result<Option<&str>, Refusal>| {
            let expected = expected.map(|it| it.map(str::as_bytes));
            assert_eq!(bearer(value.as_bytes()), expected, "{value}");
        };
        check("Bearer a.b.c", Ok(Some("a.b.c")));
        check("bEARER  a ", Ok(Some("a")));
        check("Bearera", Ok(None));
        check("Basic a", Ok(None));
        // Others may take what follows for a token.
        check("Bearer", Err(Refusal::Malformed));
        check("Bearer\ta", Err(Refusal::Malformed));
        check("", Ok(None));
    }
}
