//! `POST /drain` and `POST /undrain`: something goes out of service, or comes back.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use portway_control::drain_orders::{NotOrdered, Ordered, Times, What};
use serde::{Deserialize, Serialize};

use crate::asked::{Asked, left_to};
use crate::{Shown, json, starting};

/// What is to drain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// `process`, `listener`, `group` or `target`.
    pub kind: String,
    /// Its name; of a target `GROUP/TARGET`; empty for the process.
    #[serde(default)]
    pub name: String,
    /// Seconds that what is in progress has; `null`: as the configuration says.
    #[serde(default)]
    pub deadline: Option<f64>,
    /// Seconds that a listener or the process takes what comes, while it says that it leaves; `null`: as the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_delay: Option<f64>,
}

/// What has become of that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// It was done.
    pub ok: bool,
    /// What drains of what was named.
    pub draining: Vec<json::Draining>,
    /// What whoever asked should know.
    pub warnings: Vec<String>,
    /// Why nothing has changed; left out where something has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to write instead; left out where nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Order {
    fn what(&self) -> Option<What> {
        let name = || self.name.clone();
        Some(match self.kind.as_str() {
            "process" => What::Process,
            "listener" => What::Listener(name()),
            "group" => What::Group(name()),
            "target" => What::Target(name()),
            _ => return None,
        })
    }

    /// # Errors
    /// One is no time.
    fn times(&self) -> Result<Times, String> {
        let time = |name: &str, seconds: Option<f64>| {
            let time = seconds.map(Duration::try_from_secs_f64).transpose();
            time.map_err(|error| format!("`{name}` is no time: {error}"))
        };
        Ok(Times {
            leave: time("ready_delay", self.ready_delay)?,
            deadline: time("deadline", self.deadline)?,
        })
    }
}

/// `POST /drain`.
pub(crate) async fn drain(Asked(running): Asked, Json(order): Json<Order>) -> Response {
    let _may = match running.may_change().await {
        Ok(may) => may,
        Err(process) => return left_to(process),
    };
    let done = match (order.what(), order.times()) {
        (None, _) => Err(no_kind(&order)),
        (_, Err(error)) => Err(NotOrdered { error, help: None }),
        (Some(what), Ok(times)) => running.drain(&what, times).await,
    };
    answer(done)
}

/// `POST /undrain`.
pub(crate) async fn undrain(Asked(running): Asked, Json(order): Json<Order>) -> Response {
    let _may = match running.may_change().await {
        Ok(may) => may,
        Err(process) => return left_to(process),
    };
    answer(match order.what() {
        Some(what) => running.undrain(&what).await,
        None => Err(no_kind(&order)),
    })
}

/// Of what readiness is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadyOf {
    /// A listener; `None`: the process.
    listener: Option<String>,
}

/// `GET /readyz`, of the process or with `?listener=NAME` of a listener.
pub(crate) async fn readyz(
    State(shown): State<Shown>,
    of: Result<Query<ReadyOf>, QueryRejection>,
) -> Response {
    let Ok(Query(ReadyOf { listener })) = of else {
        let text = "`?listener=NAME` or nothing may follow `/readyz`\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let Some(running) = shown.get() else {
        return starting();
    };
    let ready = match listener {
        None => Some(running.is_ready()),
        Some(name) => running.is_listener_ready(&name),
    };
    match ready {
        Some(true) => "ready\n".into_response(),
        Some(false) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such listener\n").into_response(),
    }
}

fn no_kind(order: &Order) -> NotOrdered {
    NotOrdered {
        error: format!("nothing is called `{}` that drains", order.kind),
        help: Some("process, listener, group and target do".to_owned()),
    }
}

fn answer(done: Result<Ordered, NotOrdered>) -> Response {
    match done {
        Ok(done) => Json(Answer {
            ok: true,
            draining: done.draining.into_iter().map(Into::into).collect(),
            warnings: done.warnings,
            error: None,
            help: None,
        })
        .into_response(),
        Err(not) => {
            let answer = Answer {
                ok: false,
                draining: Vec::new(),
                warnings: Vec::new(),
                error: Some(not.error),
                help: not.help,
            };
            (StatusCode::UNPROCESSABLE_ENTITY, Json(answer)).into_response()
        }
    }
}
