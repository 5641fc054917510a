//! What Portway answers itself on a listener: asked of control over a bounded channel, and answered like any other
//! answer of ours.
//!
//! A worker only collects what the question is: it renders nothing and checks no password, so that neither costs the
//! exchanges beside it anything.

use crate::answers::{self, Answer, Body};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::serve::Next;
use crate::stream::Stream;
use crate::{reply, statistics};
use portway_core::evaluate;
use portway_core::http1::{BodyLength, Known, Method, write_field};
use portway_model::action::Service;
use portway_model::settings::OwnAnswers;
use portway_model::snapshot::{GroupId, ListenerId};
use portway_model::stage::Resolved;
use portway_telemetry::record::FaultCode;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Questions that wait for control; more are answered with 503. A page for people and a few scrapers need a dozen.
pub const WAITING_CALLS: usize = 64;

/// How long a worker waits for control's answer before it answers with 503 itself.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's body that a service is given; a longer one is answered with 413. The form of HAProxy's page
/// with a thousand targets has about as many.
pub const SERVICE_BODY_BYTES: usize = 16 * 1024;

/// A question of a client to Portway itself.
#[derive(Debug)]
pub struct ServiceCall {
    /// What is asked for.
    pub service: Service<Resolved>,
    /// The condition under which the page may change something holds.
    pub may_change: bool,
    /// The listener that it came on.
    pub listener: ListenerId,
    /// The target group whose rules say so; `None`: the listener's do.
    pub group: Option<GroupId>,
    /// Who asks.
    pub client: IpAddr,
    /// The method as received.
    pub method: Box<[u8]>,
    /// Path and query as received, from the first slash.
    pub target: Box<[u8]>,
    /// The Authorization field, where there is one.
    pub authorization: Option<Box<[u8]>>,
    /// The body, whole.
    pub body: Box<[u8]>,
    /// Who waits for the answer.
    pub reply: oneshot::Sender<ServiceAnswer>,
}

/// What control says.
#[derive(Debug, Default)]
pub struct ServiceAnswer {
    /// Status.
    pub status: u16,
    /// Fields, without Content-Length.
    pub fields: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The end of the channel that workers hold.
#[derive(Clone)]
pub struct Services(mpsc::Sender<ServiceCall>);

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Services")
    }
}

impl Services {
    /// A channel. Where the receiver is dropped, every service is answered with 503.
    pub fn channel() -> (Self, mpsc::Receiver<ServiceCall>) {
        let (sender, receiver) = mpsc::channel(WAITING_CALLS);
        (Self(sender), receiver)
    }
}

/// What a rule said of a service, with what only the worker can judge.
#[derive(Debug)]
pub(crate) struct Asked {
    service: Service<Resolved>,
    may_change: bool,
}

impl Asked {
    /// Whether the service answers this request: pages are read and sent forms, as in HAProxy; what else is done with
    /// their addresses is left to the rules that follow.
    pub(crate) fn applies(service: &Service<Resolved>, x: &Exchange<'_>) -> bool {
        let method = x.request().method();
        matches!(service, Service::Metrics)
            || matches!(method, Method::Get | Method::Head | Method::Post)
    }

    /// What this service is asked for by this exchange.
    pub(crate) fn of(service: &Service<Resolved>, x: &Exchange<'_>) -> Self {
        let admin = match service {
            Service::Metrics => None,
            Service::Stats(page) => page.admin.as_ref(),
        };
        Self {
            service: service.clone(),
            may_change: admin.is_some_and(|admin| evaluate::holds(admin, x)),
        }
    }
}

/// Asks control and sends what it says.
pub(crate) async fn serve(x: &mut Exchange<'_>, stream: &mut Stream, asked: Asked) -> Next {
    statistics::intercepted(x);
    x.ledger.service = Some(name_in_logs(&asked));
    // HAProxy's services are servers to its logs: they are waited for and connected to in no time.
    let so_far = x.ledger.started.elapsed();
    x.ledger.reserved = Some(so_far);
    x.ledger.connected = Some(so_far);
    if let Err(fault) = read_body(x, stream).await {
        return reply::fault(x, stream, fault).await;
    }
    let (call, answer) = call(x, asked);
    if x.connection
        .generation
        .plane
        .services
        .0
        .try_send(call)
        .is_err()
    {
        return reply::fault(x, stream, unavailable()).await;
    }
    match wait(x, answer).await {
        Some(ServiceAnswer {
            status,
            fields,
            body,
        }) => {
            // The page asks for a password as rules do: with the proxy's own page.
            let asks = status == 401 && x.connection.own_answers() == OwnAnswers::Haproxy;
            let mut reply = match asks {
                true => answers::own(x, status, ""),
                false => Answer {
                    status,
                    body: Body::Made(body),
                    ..Answer::default()
                },
            };
            if !asks {
                x.ledger.response_head = Some(x.ledger.started.elapsed());
            }
            for (name, value) in &fields {
                if !asks || name.eq_ignore_ascii_case("www-authenticate") {
                    write_field(&mut reply.fields, name.as_bytes(), value.as_bytes());
                }
            }
            reply::answer(x, stream, reply, false).await
        }
        None => reply::fault(x, stream, unavailable()).await,
    }
}

/// What HAProxy calls a service in its logs.
fn name_in_logs(asked: &Asked) -> &'static str {
    match asked.service {
        Service::Stats(_) => "<STATS>",
        Service::Metrics => "<PROMEX>",
    }
}

/// Control does not answer, or too many ask.
fn unavailable() -> Fault {
    Fault {
        code: FaultCode::Internal,
        stage: None,
        status: Some(503),
    }
}

fn too_large() -> Fault {
    Fault {
        code: FaultCode::RefusedRequest("body_too_large"),
        stage: None,
        status: Some(413),
    }
}

fn call(x: &Exchange<'_>, asked: Asked) -> (ServiceCall, oneshot::Receiver<ServiceAnswer>) {
    let (reply, answer) = oneshot::channel();
    let arena = x.arena();
    let head = x.request();
    let mut target = head.path(arena).to_vec();
    if let Some(query) = head.query(arena) {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let call = ServiceCall {
        service: asked.service,
        may_change: asked.may_change,
        listener: x.connection.listener,
        group: x.attempt.group,
        client: x.client,
        method: head.method_bytes(arena).into(),
        target: target.into(),
        authorization: x.received(Known::Authorization).map(Into::into),
        body: arena.get(x.head_len..).unwrap_or_default().into(),
        reply,
    };
    (call, answer)
}

/// Waits for control; `None` where it does not answer in time, or never will.
async fn wait(x: &Exchange<'_>, answer: oneshot::Receiver<ServiceAnswer>) -> Option<ServiceAnswer> {
    let timer = &x.connection.timer;
    timer.set(ANSWER_TIMEOUT);
    let mut answer = pin!(answer);
    poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(answer.ok()),
        Poll::Pending => timer.poll(cx).map(|()| None),
    })
    .await
}

/// Reads the whole body behind the head. What comes behind the body is read too, and left out.
async fn read_body(x: &mut Exchange<'_>, stream: &mut Stream) -> Result<(), Fault> {
    let length = match x.framing.body {
        BodyLength::None => 0,
        BodyLength::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        // A form is never sent so.
        BodyLength::Chunked => return Err(too_large()),
    };
    if length > SERVICE_BODY_BYTES {
        return Err(too_large());
    }
    let whole = x.head_len + length;
    let limit = x.connection.client_timeout();
    x.connection.timer.set(limit);
    while x.arena.len() < whole {
        let received = {
            let timer = &x.connection.timer;
            let arena = &mut x.arena;
            if !arena.make_room(whole + crate::buffer::BUFFER_BYTES) {
                return Err(Fault::internal());
            }
            poll_fn(|cx| match stream.poll_read(cx, arena.spare()) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => timer.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            })
            .await
        };
        match received {
            Ok(n) if n > 0 => x.arena.received(n),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Fault::client_timeout());
            }
            _ => return Err(Fault::client_closed()),
        }
    }
    x.ledger.body_in.set(length as u64);
    Ok(())
}
