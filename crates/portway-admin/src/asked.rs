//! What commands ask of the running process, and what they are answered: explain.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::explanation::{Explanation, Question, Refusal};
use crate::{COMMAND, Shown, starting};

/// `POST /explain`: what would become of a request.
pub(crate) async fn explain(
    State(shown): State<Shown>,
    headers: HeaderMap,
    Json(question): Json<Question>,
) -> Response {
    let Some(running) = shown.get().cloned() else {
        return starting();
    };
    if let Some(refused) = refused(&headers, "explain") {
        return refused;
    }
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

/// The answer to a request without the header field of commands.
pub(crate) fn refused(headers: &HeaderMap, command: &str) -> Option<Response> {
    (!headers.contains_key(COMMAND)).then(|| {
        let text = format!("send the header field {COMMAND} too: `portway {command}` does\n");
        (StatusCode::FORBIDDEN, text).into_response()
    })
}
