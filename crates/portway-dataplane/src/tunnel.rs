//! Tunnels: after an upgrade or CONNECT, and on TCP listeners. Bytes flow both ways until both sides have ended.
//!
//! An end of one side is passed on as an end of ours (half-close); the other direction goes on. The idle timeout
//! counts from the last byte in either direction.

use crate::buffer::{Buffer, Buffers};
use crate::connect::Upstream;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::serve::Next;
use crate::statistics::Flow;
use crate::stream::Stream;
use crate::timer::Timer;
use crate::transfer::{Broken, Transfer};
use portway_telemetry::record::FaultCode;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// One direction and how far it has come.
struct Direction {
    transfer: Transfer,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Bytes flow.
    Flowing,
    /// The source has ended; the sink is being told.
    Ending,
    /// Both know.
    Ended,
}

impl Direction {
    fn new(transfer: Transfer) -> Self {
        Self {
            transfer,
            stage: Stage::Flowing,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        buffers: &Rc<Buffers>,
    ) -> Result<(), Broken> {
        if self.stage == Stage::Flowing {
            match self.transfer.poll(cx, from, to, buffers) {
                Poll::Pending => return Ok(()),
                Poll::Ready(result) => result?,
            }
            self.stage = Stage::Ending;
        }
        if self.stage == Stage::Ending && to.poll_shutdown(cx).is_ready() {
            // An error here says that the sink has gone altogether; its own direction finds that out.
            self.stage = Stage::Ended;
        }
        Ok(())
    }
}

/// Runs a tunnel between a client and a target; gives what ended it if it was not its two sides. `flowed` hears how
/// many bytes have come up and gone down, whenever it is more.
pub(crate) async fn run(
    timer: &Timer,
    idle: Duration,
    buffers: &Rc<Buffers>,
    flowed: impl Fn(u64, u64),
    (downstream, up): (&mut Stream, Transfer),
    (upstream, down): (&mut Stream, Transfer),
) -> Option<Fault> {
    let (mut up, mut down) = (Direction::new(up), Direction::new(down));
    let mut moves = u64::MAX;
    let mut lost = None;
    poll_fn(|cx| {
        let ends = [
            (true, up.poll(cx, downstream, upstream, buffers)),
            (false, down.poll(cx, upstream, downstream, buffers)),
        ];
        flowed(up.transfer.body_bytes(), down.transfer.body_bytes());
        for (upwards, end) in ends {
            let Err(broken) = end else { continue };
            lost.get_or_insert(ended_by(&broken, upwards));
            match broken {
                // A side that takes no more may have sent its last words before: they still arrive.
                Broken::Sink if upwards => up.stage = Stage::Ended,
                Broken::Sink => down.stage = Stage::Ended,
                Broken::Source | Broken::Refused(_) => return Poll::Ready(lost),
            }
        }
        if (up.stage, down.stage) == (Stage::Ended, Stage::Ended) {
            return Poll::Ready(lost);
        }
        let moved = up.transfer.moves().wrapping_add(down.transfer.moves());
        if moved != moves {
            moves = moved;
            timer.set(idle);
        }
        timer.poll(cx).map(|()| {
            Some(Fault {
                code: FaultCode::IdleTimeout,
                stage: None,
                status: None,
            })
        })
    })
    .await
}

/// Who ended a tunnel by an error: the side that failed to give or to take.
fn ended_by(broken: &Broken, upwards: bool) -> Fault {
    let by_client = matches!(broken, Broken::Source) == upwards;
    let code = if by_client {
        FaultCode::ClientClosed
    } else {
        FaultCode::TargetClosed
    };
    Fault {
        code,
        stage: None,
        status: None,
    }
}

/// Goes on as a tunnel after the head of a response that says so.
pub(crate) async fn after_upgrade(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    mut upstream: Upstream,
    upload: Transfer,
    head: Vec<u8>,
    response: Buffer,
) -> Next {
    let early = match x.rest() {
        Some(Next::Again(Some(rest))) => Some(rest),
        _ => upload.into_rest().0,
    };
    let up = Transfer::tunnel(Vec::new(), early);
    let down = Transfer::tunnel(head, Some(response));
    let connection = x.connection;
    let changed = x.scratch.timeouts.tunnel;
    let idle = changed.unwrap_or_else(|| connection.tunnel_timeout());
    let ledger = &x.ledger;
    let (before_in, before_out) = (ledger.body_in.get(), ledger.body_out.get());
    let flow = Flow::of(connection, x.attempt.group, x.attempt.target);
    let fault = run(
        &connection.timer,
        idle,
        &connection.worker.buffers,
        |up, down| {
            ledger.body_in.set(before_in + up);
            ledger.body_out.set(before_out + down);
            ledger.counted.count(&flow, up, down);
        },
        (downstream, up),
        (&mut upstream.link.stream, down),
    )
    .await;
    x.ledger.fault = fault;
    Next::Close
}
