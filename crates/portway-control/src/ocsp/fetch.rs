//! One question to a responder, over HTTP (RFC 6960 appendix A, RFC 5019 section 5).
//!
//! With GET where the address with the question in it is short, which caches in between can answer; by POST where it is not, or
//! where what the GET brings is no answer: some responders take no GET, and say so with a status of HTTP or with one of OCSP.
//!
//! A GET that brings nothing at all (no connection, no answer in time) is not followed by a POST: neither RFC asks for that, silence
//! says nothing of the method, and a dead responder would hold a place twice as long. The same is asked again after the pause.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portway_core::ocsp::{Response, request};
use portway_model::jwt::UrlParts;

use crate::certificates::MAX_OCSP_BYTES;
use crate::fetch::{Answer, Question};
use crate::tls::staple::Staple;

/// How long a responder has for its whole answer.
pub(super) const OCSP_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an address that is asked for with GET (RFC 5019 section 5).
const LONGEST_GET: usize = 255;

/// Asks about a certificate. What comes back is not looked at.
///
/// # Errors
/// In words.
pub(super) async fn fetch(staple: &Staple) -> Result<Vec<u8>, String> {
    let asked = staple.asked.as_ref().ok_or("nobody is to be asked")?;
    let id = staple.id().ok_or("its issuer is not known")?;
    let question = request(id);
    let url = with_question(&asked.url, &question);
    let mut by_get = None;
    if url.len() <= LONGEST_GET {
        let answer = ask(&url, "GET", &[]).await?;
        if answer.status == 200 {
            if Response::read(&answer.body).is_ok() {
                return Ok(answer.body);
            }
            by_get = Some(answer.body);
        }
    }
    match (ask(&asked.url, "POST", &question).await, by_get) {
        (Ok(Answer { status: 200, body }), _) => Ok(body),
        // It says more of what is wrong than that there is no POST.
        (_, Some(body)) => Ok(body),
        (Ok(answer), None) => Err(format!("the answer was {}", answer.status)),
        (Err(why), None) => Err(why),
    }
}

async fn ask(url: &str, method: &'static str, body: &[u8]) -> Result<Answer, String> {
    let typed = [
        ("Accept", "application/ocsp-response"),
        ("Content-Type", "application/ocsp-request"),
    ];
    let headers = match method {
        "GET" => typed.get(..1),
        _ => typed.get(..),
    };
    let question = Question {
        url: UrlParts::of(url).ok_or_else(|| format!("`{url}` is no URL"))?,
        tls: None,
        method,
        headers: headers.unwrap_or_default(),
        body,
        most: usize::try_from(MAX_OCSP_BYTES).unwrap_or(usize::MAX),
        patience: OCSP_PATIENCE,
    };
    question.ask().await
}

/// The address with the question behind it, in base64 with what means something in addresses escaped.
fn with_question(url: &str, question: &[u8]) -> String {
    let mut out = url.to_owned();
    if !out.ends_with('/') {
        out.push('/');
    }
    for letter in STANDARD.encode(question).chars() {
        match letter {
            '+' => out.push_str("%2B"),
            '/' => out.push_str("%2F"),
            '=' => out.push_str("%3D"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_in_addresses() {
        for url in ["http://o.example", "http://o.example/"] {
            let asked = with_question(url, &[0xFB, 0xFF, 0xBF, 1]);
            assert_eq!(asked, "http://o.example/%2B%2F%2B%2FAQ%3D%3D");
        }
        let asked = with_question("http://o.example/a/b", b"abc");
        assert_eq!(asked, "http://o.example/a/b/YWJj");
    }
}
