//! The answer of a target that is asked for elsewhere: kept while others are tried, and the client's where none of them gives one.
//!
//! What is tried again because it is safe was wanted by nobody: its answer is never lost for it. One that cannot be kept
//! whole, because it is long or slow, is passed on at once. Where the configuration names the status, the other target is what is wanted,
//! and the answer is kept where it is there at once. HAProxy keeps none: its users find its own 503.
//!
//! The record of an exchange that ends so is that of the answer: who gave it, and when. What failed behind it was counted when it
//! did.

use crate::answers::{Answer, Body};
use crate::attempt::{self, Attempt};
use crate::body::{Coming, LOOKED_AT_BODY};
use crate::buffer::Buffer;
use crate::connect::Upstream;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::forward;
use crate::pages;
use crate::policy::Side;
use crate::record;
use crate::refused::Why;
use crate::reply;
use crate::response_rules::{Progress, Ruled, Wait, body_of_response, run_response_rules};
use crate::serve::Next;
use crate::stream::Stream;
use crate::upload::Upload;
use portway_core::http1::{Known, ResponseBody, copy_end_to_end};
use portway_model::settings::OwnAnswers;
use portway_model::snapshot::GroupId;
use portway_telemetry::metrics::Limit;
use portway_telemetry::record::FaultCode;
use std::time::Duration;

/// How long the body of an answer may take that is to be kept. Those that say "not by me" come in one piece.
const REST: Duration = Duration::from_secs(1);

/// What was set aside in an exchange.
#[derive(Debug, Default)]
pub(crate) struct SetAside {
    /// An answer that says that nothing was done was tried again for that: it is once.
    pub(crate) undone: bool,
    answer: Option<Box<KeptAnswer>>,
}

impl SetAside {
    /// True where there is an answer.
    pub(crate) fn is_there(&self) -> bool {
        self.answer.is_some()
    }

    /// The answer is passed on.
    pub(crate) fn forget_answer(&mut self) {
        self.answer = None;
    }
}

/// An answer that was kept.
#[derive(Debug)]
pub(crate) struct KeptAnswer {
    answer: Answer,
    /// Whose it is.
    group: Option<GroupId>,
    target: Option<usize>,
    /// From the beginning of the exchange until its head came.
    came: Duration,
}

/// Keeps the answer in `x.response`, whose head is so long and `came` then, where another one is to be asked for. False where it is to be
/// passed on all the same. One that breaks off, or that only the end of its connection ends, is no answer to be kept.
pub(crate) async fn keep(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    (upstream, upload): (&mut Upstream, &mut Upload),
    head_len: usize,
    (why, came): (Why, Duration),
) -> Result<bool, Fault> {
    let is_named = why == Why::Named;
    if is_named && x.connection.own_answers() == OwnAnswers::Haproxy {
        return Ok(true);
    }
    let framing = {
        let response = x.response.as_ref().ok_or_else(Fault::internal)?;
        forward::framing_of(x, response)?.body
    };
    let mut body = body_of(x, framing, head_len);
    let may_come = match framing {
        ResponseBody::Length(length) => length <= LOOKED_AT_BODY as u64,
        ResponseBody::Chunked => true,
        ResponseBody::UntilClose => return Ok(true),
        ResponseBody::None => false,
    };
    if body.is_none() && may_come && !is_named {
        let wait = Wait {
            head_len,
            coming: Coming::of_response(framing, 0),
            time: REST.min(forward::patience(x).target),
        };
        let came = body_of_response(x, downstream, upstream, upload, wait).await;
        body = body_of(x, framing, head_len);
        let here = x.response.as_ref().map_or(0, Buffer::len);
        let is_long = here >= head_len + LOOKED_AT_BODY;
        if body.is_none() && came != Err(Fault::response_timeout()) && !is_long {
            return Ok(true);
        }
    }
    let Some(body) = body else {
        return Ok(is_named);
    };
    let arena = x.response.as_ref().map(Buffer::filled).unwrap_or_default();
    let head = &x.scratch.response;
    let mut answer = Answer {
        status: head.status(),
        reason: head.reason(arena).to_vec(),
        body: Body::Made(body),
        // To HEAD the length says nothing of what is sent.
        unsized_body: framing == ResponseBody::None,
        ..Answer::default()
    };
    let drop = x.connection.hop_by_hop().with(Known::ContentLength);
    copy_end_to_end(head.fields(), arena, drop, &mut answer.fields);
    x.scratch.set_aside.answer = Some(Box::new(KeptAnswer {
        answer,
        group: x.attempt.group,
        target: x.attempt.target,
        came,
    }));
    Ok(true)
}

/// The body of the answer in `x.response`, without its coding, where all of it is there.
fn body_of(x: &Exchange<'_>, framing: ResponseBody, head_len: usize) -> Option<Vec<u8>> {
    let response = x.response.as_ref().map(Buffer::filled).unwrap_or_default();
    let here = response.get(head_len..).unwrap_or_default();
    let mut data = Vec::new();
    let is_whole = Coming::of_response(framing, 0).is_enough(here, &mut data);
    match (is_whole, framing) {
        (Ok(true), ResponseBody::Chunked) => Some(data),
        (Ok(true), ResponseBody::Length(length)) => {
            let length = usize::try_from(length).ok()?;
            here.get(..length).map(<[u8]>::to_vec)
        }
        (Ok(true), ResponseBody::None) => Some(data),
        _ => None,
    }
}

/// The answer that is given in place of what is said of this fault: none where the fault is the client's, or a rule wanted it.
pub(crate) fn in_place_of(x: &mut Exchange<'_>, fault: Fault) -> Option<Box<KeptAnswer>> {
    let is_wanted = matches!(
        fault.code,
        FaultCode::ClientClosed
            | FaultCode::ClientTimeout
            | FaultCode::ClientTooSlow
            | FaultCode::RefusedRequest(_)
            | FaultCode::Denied
    );
    let is_rejected = fault == Fault::rejected();
    let kept = &mut x.scratch.set_aside.answer;
    kept.take_if(|_| !is_wanted && !is_rejected)
}

/// Gives it to the client, as the response of its target that it is.
pub(crate) async fn give(x: &mut Exchange<'_>, stream: &mut Stream, kept: KeptAnswer) -> Next {
    let KeptAnswer {
        answer,
        group,
        target,
        came,
    } = kept;
    let status = answer.status;
    attempt::follows(x);
    x.ledger.fault = None;
    x.ledger.failed = false;
    x.ledger.response_head = Some(came);
    x.attempt = Attempt {
        group,
        target,
        status: Some(status),
        ..Attempt::default()
    };
    let told = pages::status(x, status);
    x.response_status = Some(told);
    if x.scratch.pages.is_some() && pages::takes(x, told) {
        return Next::Elsewhere;
    }
    if !reply::show(x, &answer) {
        return reply::fault(x, stream, Fault::internal()).await;
    }
    x.response_body = Some((0, ResponseBody::Chunked));
    x.scratch
        .response_body
        .extend_from_slice(answer.body.bytes());
    attempt::response_begins(x);
    if let (Some(group), Some(target)) = (group, target) {
        let generation = &x.connection.generation;
        x.kept.sticks.remember(generation, group, target);
    }
    let mut progress = Progress::default();
    loop {
        match run_response_rules(x, &mut progress) {
            Err(fault) => return reply::fault(x, stream, fault).await,
            Ok(Ruled::Answer(answer, how)) => {
                return reply::by_rule(x, stream, answer, how, Side::Response).await;
            }
            // All of it is here.
            Ok(Ruled::WaitForBody(..)) => {}
            Ok(Ruled::Passed) => break,
        }
    }
    if answer.body.bytes().len() as u64 > x.scratch.body_limits.response {
        record::limit_reached(x, Limit::ResponseBodyBytes);
        return reply::fault(x, stream, Fault::response_too_long()).await;
    }
    if let Err(fault) = forward::finish_edits(x, status) {
        return reply::fault(x, stream, fault).await;
    }
    reply::passed_on(x, stream, &answer).await
}
