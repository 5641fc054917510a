//! What commands ask of the running process, and what they are answered: explain, plan, history, rollback.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use portway_control::history::NotRolledBack;
use portway_control::install::Running;
use portway_control::planning::Planned;

use crate::explanation::{Explanation, Question, Refusal};
use crate::generations::{History, Shown as ShownGeneration};
use crate::{COMMAND, Shown, json, starting};

/// The running process, asked by a command: the request has the header field that commands have, and means an address. A page in a
/// browser whose name has come to lead here is of the same origin, and can send what it wants but another host.
pub(crate) struct Asked(pub(crate) Arc<Running>);

impl FromRequestParts<Shown> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shown: &Shown) -> Result<Self, Response> {
        let Some(running) = shown.get() else {
            return Err(starting());
        };
        if !parts.headers.contains_key(COMMAND) {
            // Paths begin with the command that asks there.
            let command = parts.uri.path().split('/').nth(1).unwrap_or_default();
            let text = format!("send the header field {COMMAND} too: `portway {command}` does\n");
            return Err((StatusCode::FORBIDDEN, text).into_response());
        }
        let host = parts.headers.get(header::HOST).map(HeaderValue::as_bytes);
        if host.is_some_and(|host| !is_address(host)) {
            let text = "commands ask by an address: the host may be 127.0.0.1, [::1], any other, or localhost, not a name\n";
            return Err((StatusCode::FORBIDDEN, text).into_response());
        }
        Ok(Self(running.clone()))
    }
}

/// True for the host of a URL that is an address, or the one name that leads here and nowhere else; a port may follow.
fn is_address(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else {
        return false;
    };
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let (is_meant, port) = match host.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((ip, port)) => (ip.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            let is_local = name.eq_ignore_ascii_case("localhost");
            (is_local || name.parse::<Ipv4Addr>().is_ok(), port)
        }
    };
    let is_port = |it: &str| {
        it.strip_prefix(':')
            .is_some_and(|it| it.parse::<u16>().is_ok())
    };
    is_meant && (port.is_empty() || is_port(port))
}

/// That another process serves in place of this one, if one does: what this one has not done is to be asked of that, at the same
/// address.
pub(crate) fn left(running: &Running) -> Option<Response> {
    running.successor().map(left_to)
}

/// That this process serves.
pub(crate) fn left_to(process: u32) -> Response {
    let text = format!("process {process} has taken over meanwhile: ask again\n");
    (StatusCode::CONFLICT, text).into_response()
}

/// `POST /explain`: what would become of a request.
pub(crate) async fn explain(Asked(running): Asked, Json(question): Json<Question>) -> Response {
    let request = format!("{} {}", question.method, question.url);
    // As long as a copy of what is known of all targets takes: others are answered meanwhile.
    let explained = tokio::task::spawn_blocking(move || running.explain(&question.into())).await;
    match explained {
        Ok(Ok(it)) => Json(Explanation::of(&request, it)).into_response(),
        Ok(Err(error)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, Json(Refusal { error })).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `GET /plan`: what a reload would change now.
pub(crate) async fn plan(Asked(running): Asked) -> Response {
    planned(running.plan_reload().await)
}

/// `POST /plan`: what would change by a configuration in the native form. No file that it names is read.
pub(crate) async fn plan_of(Asked(running): Asked, text: String) -> Response {
    planned(running.plan_of(text).await)
}

fn planned(planned: Planned) -> Response {
    let status = match planned.plan {
        Some(_) => StatusCode::OK,
        None => StatusCode::UNPROCESSABLE_ENTITY,
    };
    (status, Json(json::Planned::from(planned))).into_response()
}

/// `GET /history`: the last good configurations.
pub(crate) async fn history(State(shown): State<Shown>) -> Response {
    match shown.get() {
        Some(running) => Json(History::of(running)).into_response(),
        None => starting(),
    }
}

/// `GET /history/NUMBER`: what one of them has changed.
pub(crate) async fn generation(Asked(running): Asked, Path(number): Path<u64>) -> Response {
    let found = tokio::task::spawn_blocking(move || running.generation(number)).await;
    match found {
        Ok(Ok(it)) => Json(ShownGeneration::from(it)).into_response(),
        Ok(Err(error)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, Json(Refusal { error })).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `POST /rollback/NUMBER`: one of them is put to work again.
pub(crate) async fn roll_back(Asked(running): Asked, Path(number): Path<u64>) -> Response {
    // Whoever asks may go away meanwhile: what has begun is finished.
    let asked = running.clone();
    let done = tokio::spawn(async move { asked.roll_back(number).await }).await;
    let (status, answer) = match done {
        Ok(Ok(done)) => (StatusCode::OK, json::Reload::done(&done)),
        Ok(Err(_)) if let Some(left) = left(&running) => return left,
        Ok(Err(NotRolledBack::Failed(it))) => {
            (StatusCode::UNPROCESSABLE_ENTITY, json::Reload::failed(&it))
        }
        Ok(Err(NotRolledBack::Unknown(error))) => {
            return (StatusCode::NOT_FOUND, Json(Refusal { error })).into_response();
        }
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    (status, Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_ask_by_an_address() {
        for host in [
            "127.0.0.1:9900",
            "127.0.0.1",
            "[::1]:9900",
            "[::1]",
            "::1",
            "10.1.2.3:80",
            "localhost",
            "LocalHost:9900",
        ] {
            assert!(is_address(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9900",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "localhost:",
            "localhost:x",
            "[evil]",
            "[::1",
            "127.1",
            "\u{e9}",
        ] {
            assert!(!is_address(host.as_bytes()), "{host}");
        }
    }
}
