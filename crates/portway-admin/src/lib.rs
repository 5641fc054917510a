//! Shows things over HTTP: metrics, readiness, status as JSON and as a page.
//!
//! Owns no truth: everything comes from [`portway_control`] at the moment it is asked for. The address is meant for
//! loopback and is plain and open there; it changes nothing but what is asked for with the header field `Portway-Command`,
//! which pages of other sites cannot send from a browser, and by an address or `localhost` as host, so that a page whose name leads
//! here cannot either.
//!
//! | path | answer |
//! |---|---|
//! | `/` | a page for people |
//! | `/status` | the same as JSON, see [`json`] |
//! | `/metrics` | Prometheus text |
//! | `/livez` | 200 while the process runs |
//! | `/readyz` | 200 while new connections are welcome, else 503; `?listener=NAME`: to that listener |
//! | `POST /drain`, `POST /undrain` | something goes out of service, or comes back, see [`drain`]: 200, or 422 where nothing has changed, 409 as below |
//! | `POST /upgrade` | another process of the program takes over, see [`json::Upgrade`]: 200 if it serves, 422 if this one goes on |
//! | `POST /reload` | the configuration is read again, see [`json::Reload`]: 200 if it is at work, 422 if nothing has changed, 409 if another process has taken over meanwhile, which is to be asked at the same address |
//! | `POST /reload?certificates` | the same of certificates and all else that TLS is spoken with, and nothing but that |
//! | `/plan` | what a reload would change, see [`json::Planned`]: 200, or 422 where it would fail; with POST and a native file, what that would change |
//! | `/history` | the last good configurations, see [`generations`]; `/history/NUMBER`: what one has changed |
//! | `POST /rollback/NUMBER` | one of them is put to work again: as `POST /reload`, 404 where it is not kept |
//! | `POST /explain` | what would become of a request, see [`explanation`]: 200, or 422 and what is wrong with the question |

mod asked;
pub mod client;
pub mod explanation;
pub mod drain;
pub mod generations;
mod haproxy;
pub mod json;
mod limit;
mod page;
mod upgrade;
#[cfg(test)]
mod tests;

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use portway_control::install::Running;
use tokio::sync::mpsc;

use crate::asked::Asked;
use crate::limit::Answering;

pub use haproxy::socket::{Handed, incoming};

/// Connections at the same time; more wait. A scraper, a few people and a health check need a dozen.
pub const MAX_CONNECTIONS: usize = 64;

/// Bytes of a request's body: `/explain` is told a request whose head and body are in it.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// Until there is something to show.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Bytes of a configuration that `/plan` is given: the largest file that we have seen, 50,000 generated rules, had 6 MB. This is the
/// native form of all files together, each of which may have 8 MiB (`MAX_FILE_BYTES`).
pub const MAX_PLAN_BYTES: usize = 32 * 1024 * 1024;

/// Questions at the same time whose answer is worked out with a copy of much (tables, a whole configuration): `/explain`, `/plan` and
/// `/history/NUMBER`. More wait: they are asked by people.
pub const MAX_QUESTIONS: usize = 2;

/// Configurations that are on their way to `/plan` at the same time; more wait.
pub const MAX_PLANS: usize = 4;

/// The content type of Prometheus text.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What an unknown path is answered with.
const PATHS: &str = "nothing is here; there are:\n\
    /         a page for people\n\
    /status   the same as JSON\n\
    /metrics  Prometheus text\n\
    /livez    200 while the process runs\n\
    /readyz   200 while new connections are welcome\n\
    POST /drain, POST /undrain   something goes out of service, or comes back (need the header field Portway-Command)\n\
    POST /reload   the configuration is read again (needs the header field Portway-Command)\n\
    POST /reload?certificates   certificates, keys and CAs alone (the same)\n\
    POST /explain  what would become of a request (needs it too)\n\
    POST /upgrade  another process of the program takes over (the same)\n\
    /plan          what a reload would change (the same)\n\
    /history       the last good configurations; /history/NUMBER: one of them (that needs it too)\n\
    POST /rollback/NUMBER   one of them is put to work again (the same)\n";

/// Behind `/reload?`: only what TLS is spoken with is read again.
pub(crate) const CERTIFICATES: &str = "certificates";

/// The header field that requests which change something have.
pub(crate) const COMMAND: &str = "Portway-Command";

/// What is shown: empty until the configuration is at work.
#[derive(Clone, Default)]
pub struct Shown(Arc<OnceLock<Arc<Running>>>);

impl Shown {
    /// Shows `running` from now on. Only the first call counts.
    pub fn set(&self, running: Arc<Running>) {
        // A second one is refused by the lock, as promised.
        drop(self.0.set(running));
    }

    fn get(&self) -> Option<&Arc<Running>> {
        self.0.get()
    }

    /// Comes when another process serves in place of what is shown.
    async fn is_succeeded(&self) {
        loop {
            if let Some(running) = self.get() {
                running.is_succeeded().await;
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Serves until another process has taken over and every answer is out, or the task is dropped. To be called within the runtime
/// of control.
///
/// # Errors
/// The listener could not be registered with the runtime.
pub async fn serve(listener: TcpListener, shown: Shown) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let listener = limit::Limited::new(listener, MAX_CONNECTIONS, shown.clone());
    let succeeded = shown.clone();
    let router = router(shown).into_make_service_with_connect_info::<Answering>();
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { succeeded.is_succeeded().await })
        .await
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(drain::readyz))
        .route("/reload", post(reload))
        .route("/drain", post(drain::drain))
        .route("/undrain", post(drain::undrain))
        .route("/explain", post(asked::explain))
        .route("/history", get(asked::history))
        .route("/history/{number}", get(asked::generation))
        .route("/rollback/{number}", post(asked::roll_back))
        .route("/upgrade", post(upgrade::upgrade))
        .route("/plan", get(asked::plan).post(asked::plan_of))
        .fallback(unknown)
        // A body is read before it comes to them.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(limit::whole))
        .with_state(shown)
}

/// Answers what listeners leave to Portway itself, until the task is dropped. To be called within the runtime of control.
pub async fn serve_listeners(running: Arc<Running>) {
    haproxy::http::serve(running).await;
}

/// Serves control sockets and connections that were `handed` to this process, until the task is dropped. To be called within the runtime of control.
///
/// # Errors
/// A socket could not be registered with the runtime.
pub async fn serve_control_sockets(
    running: Arc<Running>,
    handed: Option<mpsc::Receiver<Handed>>,
) -> io::Result<()> {
    haproxy::socket::serve(running, handed).await
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn reload(Asked(running): Asked, uri: Uri) -> Response {
    let certificates = match uri.query() {
        None => false,
        Some(CERTIFICATES) => true,
        Some(_) => {
            let text = format!("`?{CERTIFICATES}` or nothing may follow `/reload`\n");
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    // Whoever asks may go away meanwhile: what has begun is finished.
    let asked = running.clone();
    let reload = tokio::spawn(async move {
        match certificates {
            true => {
                asked
                    .reload_certificates("portway reload --certificates")
                    .await
            }
            false => asked.reload("portway reload").await.done,
        }
    });
    let Ok(reloaded) = reload.await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    match reloaded {
        Ok(done) => axum::Json(json::Reload::done(&done)).into_response(),
        Err(_) if let Some(left) = asked::left(&running) => left,
        Err(failed) => {
            let answer = axum::Json(json::Reload::failed(&failed));
            (StatusCode::UNPROCESSABLE_ENTITY, answer).into_response()
        }
    }
}

async fn metrics(State(shown): State<Shown>) -> Response {
    match shown.get() {
        Some(running) => {
            ([(header::CONTENT_TYPE, PROMETHEUS)], running.metrics_text()).into_response()
        }
        None => starting(),
    }
}

async fn status(State(shown): State<Shown>) -> Response {
    match shown.get() {
        Some(running) => axum::Json(json::Status::from(running.status())).into_response(),
        None => starting(),
    }
}

async fn page(State(shown): State<Shown>) -> Response {
    match shown.get() {
        Some(running) => {
            let policy = "default-src 'none'; style-src 'unsafe-inline'";
            let headers = [(header::CONTENT_SECURITY_POLICY, policy)];
            (headers, Html(page::render(&running.status()))).into_response()
        }
        None => starting(),
    }
}

async fn unknown(uri: Uri) -> Response {
    let text = format!("{}: {PATHS}", uri.path());
    (StatusCode::NOT_FOUND, text).into_response()
}

fn starting() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response()
}
