//! The request on its way to its target, which may go on while the response comes back, and how fast its client is.

use crate::buffer::Buffer;
use crate::client_rate::{ClientRate, Flow};
use crate::compress;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::head;
use crate::record;
use crate::stream::Stream;
use crate::timer::TICK;
use crate::transfer::{Broken, Transfer};
use portway_core::http1::BodyLength;
use portway_telemetry::metrics::Limit;
use std::task::{Context, Poll};
use std::time::Duration;

/// The request on its way out, which may go on while the response comes back.
pub(crate) struct Upload {
    pub(crate) transfer: Transfer,
    pub(crate) done: bool,
    /// The target gets no more of it; it may still answer.
    pub(crate) cut: bool,
    /// What cut it off once the response had begun.
    pub(crate) fault: Option<Fault>,
    /// How fast the client must be, where that is said.
    pub(crate) rate: Option<Box<ClientRate>>,
}

/// The rate that the listener demands of the client.
pub(crate) fn demanded(x: &Exchange<'_>) -> Option<Box<ClientRate>> {
    let plane = &x.connection.generation.plane;
    let (listener, _) = plane.listener(x.connection.listener)?;
    let wanted = listener.min_rate?;
    Some(Box::new(ClientRate::new(wanted, x.connection.timer.now())))
}

impl Upload {
    pub(crate) fn begin(x: &mut Exchange<'_>) -> Self {
        if x.scratch.compression.is_some() {
            compress::choose(x);
        }
        let head = head::request(x);
        let has_body = !matches!(x.framing.body, BodyLength::None | BodyLength::Length(0));
        let first =
            (has_body && x.arena.len() > x.head_len).then(|| match x.scratch.body_limits.held {
                true => x.arena.copy_off(x.head_len),
                false => x.arena.split_off(x.head_len),
            });
        Self {
            transfer: Transfer::request(x.framing.body, head, first)
                .allowing(x.scratch.body_limits.request),
            done: false,
            cut: false,
            fault: None,
            rate: demanded(x),
        }
    }

    /// What has come of the client's body.
    fn flow(&self) -> Flow {
        Flow {
            waits: self.waits_for_client(),
            bytes: self.transfer.body_bytes(),
        }
    }

    /// Goes on with the request. What the target does not take is no fault yet: it may have answered early.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        x: &Exchange<'_>,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Result<(), Fault> {
        if self.done || self.cut {
            return Ok(());
        }
        match self
            .transfer
            .poll(cx, from, to, &x.connection.worker.buffers)
        {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                self.done = true;
                x.scratch.deadlines.uploaded(&x.connection.timer);
            }
            Poll::Ready(Err(Broken::Sink)) => {
                self.cut = true;
                x.scratch.deadlines.uploaded(&x.connection.timer);
            }
            Poll::Ready(Err(Broken::Source)) => return Err(Fault::client_closed()),
            Poll::Ready(Err(Broken::Refused(refusal))) => return Err(Fault::refused(refusal)),
            Poll::Ready(Err(Broken::Encoder)) => return Err(Fault::internal()),
            Poll::Ready(Err(Broken::TooLong)) => {
                crate::record::limit_reached(x, Limit::RequestBodyBytes);
                return Err(Fault::request_too_long());
            }
        }
        Ok(())
    }

    /// Goes on beside the response, which does so whatever becomes of the request: the target learns that nothing more
    /// comes. Its own direction tells the rest.
    pub(crate) fn poll_beside(
        &mut self,
        cx: &mut Context<'_>,
        x: &Exchange<'_>,
        from: &mut Stream,
        to: &mut Stream,
    ) {
        if let Err(fault) = self.poll(cx, x, from, to) {
            self.cut = true;
            self.fault = Some(fault);
            let _ = to.poll_shutdown(cx);
        }
    }

    /// Where the request's body was read to its end: what has come behind it.
    pub(crate) fn beyond(&mut self) -> Option<Option<Buffer>> {
        let over = self.transfer.source_is_over();
        over.then(|| self.transfer.take_beyond())
    }

    pub(crate) fn waits_for_client(&self) -> bool {
        !self.done && !self.cut && self.transfer.waits_for_source()
    }

    /// Sets the timer for the rate that is demanded of the client too, or says that the client is too slow.
    pub(crate) fn keep_up(
        &mut self,
        x: &Exchange<'_>,
        response: Option<Flow>,
        moved: bool,
        silence: Duration,
    ) -> Result<(), Fault> {
        let timer = &x.connection.timer;
        let (now, request) = (timer.now(), self.flow());
        let Some(rate) = &mut self.rate else {
            return Ok(());
        };
        if moved {
            rate.moved_at = now;
        }
        let looked = rate.look(now, request, response);
        let left = looked.inspect_err(|_| record::limit_reached(x, Limit::ClientRate))?;
        let silent = u32::try_from(now.saturating_sub(rate.moved_at)).unwrap_or(u32::MAX);
        timer.set(left.min(silence.saturating_sub(TICK.saturating_mul(silent))));
        Ok(())
    }
}
