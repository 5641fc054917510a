//! Which trace a request belongs to: what a trusted proxy says goes on, what others say is no trace of ours.

use crate::exchange::Exchange;
use portway_core::evaluate::Facts;
use portway_core::trace::{TraceContext, TracePart, is_acceptable_state};
use std::ops::ControlFlow;

/// What stands for the step before the first.
const NO_PARENT: [u8; 16] = [b'-'; 16];
const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// Makes the request a step of its trace, or the first of one; of a hundred new traces so many are sampled.
pub(crate) fn take_part(x: &mut Exchange<'_>, sampled: u8) {
    if x.scratch.trace.is_some() {
        return;
    }
    let worker = &x.connection.worker;
    let span = worker.random();
    let parent = said(x, PARENT).and_then(|it| TraceContext::parse(&it));
    let continues = parent.is_some();
    x.scratch.parent_span = parent
        .and_then(|parent| parent.part(TracePart::Span).try_into().ok())
        .unwrap_or(NO_PARENT);
    let trace = match parent {
        Some(parent) => parent.step(span),
        None => {
            let turn = (u128::from(worker.turn()) * 100) >> 64;
            TraceContext::begin(worker.random_128(), span, turn < u128::from(sampled))
        }
    };
    let state = said(x, STATE).filter(|it| continues && is_acceptable_state(it));
    let edits = &mut x.scratch.request_edits;
    edits.remove(PARENT.as_bytes());
    edits.add(PARENT.as_bytes(), |out| {
        out.extend_from_slice(trace.as_bytes())
    });
    edits.remove(STATE.as_bytes());
    if let Some(state) = state {
        edits.add(STATE.as_bytes(), |out| out.extend_from_slice(&state));
    }
    x.scratch.trace = Some(trace);
}

/// What a trusted proxy says in fields of this name, as one list.
fn said(x: &Exchange<'_>, name: &str) -> Option<Vec<u8>> {
    let mut said: Option<Vec<u8>> = None;
    if x.trusted {
        x.header(name, &mut |value| {
            match &mut said {
                Some(said) => said.extend([b",", value].concat()),
                None => said = Some(value.to_vec()),
            }
            ControlFlow::Continue(())
        });
    }
    said
}
