//! Tunnels: after an upgrade or CONNECT, and on TCP listeners. Bytes flow both ways until both sides have ended.
//!
//! An end of one side is passed on as an end of ours (half-close); the other direction goes on. The idle timeout
//! counts from the last byte in either direction, or from the end of one; the side that is left may have another.

use crate::buffer::{Buffer, Buffers};
use crate::connect::Upstream;
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::serve::Next;
use crate::statistics::Flow;
use crate::stream::Stream;
use crate::timer::Timer;
use crate::transfer::{Broken, Transfer};
use portway_model::settings::GroupTimeouts;
use portway_model::snapshot::GroupId;
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

/// How long nothing may move in a tunnel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence {
    /// While both sides are there.
    pub(crate) both: Duration,
    /// Once the target has ended: its client has so long.
    pub(crate) client_alone: Duration,
    /// Once the client has ended: its target has so long.
    pub(crate) target_alone: Duration,
}

impl Silence {
    /// What is configured for a tunnel to a target of this group; `changed`: what a rule says in its place.
    pub(crate) fn of(
        connection: &Connection,
        group: Option<GroupId>,
        changed: Option<Duration>,
    ) -> Self {
        let listener = connection.timeouts();
        let group = group.and_then(|group| connection.generation.group(group));
        let group = group.map(|(group, _, _)| &group.timeouts);
        let shorter = |group: &GroupTimeouts| {
            let target = group.tunnel_target.unwrap_or(listener.tunnel);
            group.tunnel.unwrap_or(listener.tunnel.min(target))
        };
        let both = changed.unwrap_or_else(|| group.map_or(listener.tunnel, shorter));
        Self {
            both,
            client_alone: listener.tunnel_ending.unwrap_or(both),
            target_alone: group.and_then(|group| group.tunnel_ending).unwrap_or(both),
        }
    }
}

/// Runs a tunnel between a client and a target; gives what ended it if it was not its two sides. `flowed` hears how
/// many bytes have come up and gone down, whenever it is more.
pub(crate) async fn run(
    timer: &Timer,
    silence: Silence,
    buffers: &Rc<Buffers>,
    flowed: impl Fn(u64, u64),
    (downstream, up): (&mut Stream, Transfer),
    (upstream, down): (&mut Stream, Transfer),
) -> Option<Fault> {
    let (mut up, mut down) = (Direction::new(up), Direction::new(down));
    let mut before = None;
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
        let moves = up.transfer.moves().wrapping_add(down.transfer.moves());
        let now = Some((moves, up.stage, down.stage));
        if before != now {
            before = now;
            timer.set(match (up.stage, down.stage) {
                (Stage::Flowing, Stage::Flowing) => silence.both,
                (Stage::Flowing, _) => silence.client_alone,
                (_, _) => silence.target_alone,
            });
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
    let silence = Silence::of(connection, x.attempt.group, changed);
    let ledger = &x.ledger;
    let (before_in, before_out) = (ledger.body_in.get(), ledger.body_out.get());
    let flow = Flow::of(connection, x.attempt.group, x.attempt.target);
    let fault = run(
        &connection.timer,
        silence,
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
