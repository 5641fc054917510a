//! `POST /upgrade`: another process of the program takes over. What is started is what this process was started from: nothing that
//! comes over the wire says what.

use std::time::Duration;

use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use portway_control::upgrade::{MOST_PATIENCE, READY_WITHIN};

use crate::asked::Asked;
use crate::json;

/// Answers once the other process serves, or does not. `?timeout=SECONDS` says how long it has.
pub(crate) async fn upgrade(Asked(running): Asked, RawQuery(query): RawQuery) -> Response {
    let Some(within) = within(query.as_deref()) else {
        let most = MOST_PATIENCE.as_secs();
        let text = format!("`?timeout=` is a number of seconds, up to {most}\n");
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    // Whoever asks may go away meanwhile: what has begun is finished.
    let upgrade = tokio::spawn(async move { running.upgrade("portway upgrade", within).await });
    let Ok(upgraded) = upgrade.await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    match upgraded {
        Ok(done) => axum::Json(json::Upgrade::done(&done)).into_response(),
        Err(failed) => {
            let answer = axum::Json(json::Upgrade::failed(failed));
            (StatusCode::UNPROCESSABLE_ENTITY, answer).into_response()
        }
    }
}

fn within(query: Option<&str>) -> Option<Duration> {
    let Some(query) = query else {
        return Some(READY_WITHIN);
    };
    let seconds: f64 = query.strip_prefix("timeout=")?.parse().ok()?;
    let within = Duration::try_from_secs_f64(seconds).ok()?;
    (!within.is_zero() && within <= MOST_PATIENCE).then_some(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_it_has() {
        let check = |query, expected: Option<u64>| {
            assert_eq!(
                within(query),
                expected.map(Duration::from_millis),
                "{query:?}"
            );
        };
        check(None, Some(60_000));
        check(Some("timeout=90"), Some(90_000));
        check(Some("timeout=0.5"), Some(500));
        for wrong in [
            "",
            "timeout=",
            "timeout=0",
            "timeout=-1",
            "timeout=3601",
            "timeout=1e300",
            "program=/bin/sh",
        ] {
            check(Some(wrong), None);
        }
    }
}
