//! Tunnels: after an upgrade or CONNECT, and on TCP listeners. Bytes flow both ways until both sides have ended.
//!
//! An end of one side is passed on as an end of ours (half-close); the other direction goes on. Timeouts count from the
//! last byte in either direction. Each side has its own: a side that is silent for longer has ended for the other.

use crate::buffer::{BUFFER_BYTES, Buffer, Buffers};
use crate::connect::Upstream;
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::keep_alive;
use crate::serve::Next;
use crate::statistics::Flow;
use crate::stream::Stream;
use crate::timer::Timer;
use crate::transfer::{Broken, Transfer};
use portway_model::snapshot::GroupId;
use portway_telemetry::record::FaultCode;
use std::cmp::Ordering;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
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

/// How long each side of a tunnel may be silent. What moves is heard of both: it comes from one and is taken by the
/// other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence {
    client: Duration,
    target: Duration,
    /// Of the client, once the target has ended; `None`: as before.
    client_alone: Option<Duration>,
    /// Of the target, once the client has ended; `None`: as before.
    target_alone: Option<Duration>,
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
        let both = changed.or(group.and_then(|group| group.tunnel));
        let target = group.and_then(|group| group.tunnel_target);
        Self {
            client: both.unwrap_or(listener.tunnel),
            target: both.or(target).unwrap_or(listener.tunnel),
            client_alone: listener.tunnel_ending,
            target_alone: group.and_then(|group| group.tunnel_ending),
        }
    }
}

/// Both directions and how long nothing has moved.
pub(crate) struct Sides {
    up: Direction,
    down: Direction,
    silence: Silence,
    /// Moves that were seen, and which directions flowed.
    seen: Option<(u64, bool, bool)>,
    /// What ended a side, if it was not that side.
    lost: Option<Fault>,
}

impl Sides {
    /// Sends `up` to the target, and `down` to the client.
    pub(crate) fn new(silence: Silence, up: Transfer, down: Transfer) -> Self {
        Self {
            up: Direction::new(up),
            down: Direction::new(down),
            silence,
            seen: None,
            lost: None,
        }
    }

    /// Lets bytes flow up until `judge` says something of what the target has sent first, which is kept and goes down
    /// later. It is asked anew as more comes, for the last time (`true`) when `limit` is over, the target has ended, or a
    /// buffer is full; it must say something then. `flowed` as in [`run`].
    pub(crate) async fn until_answered<T>(
        &mut self,
        (timer, limit): (&Timer, Duration),
        buffers: &Rc<Buffers>,
        flowed: impl Fn(u64, u64),
        (downstream, upstream): (&mut Stream, &mut Stream),
        mut judge: impl FnMut(&[u8], bool) -> Option<T>,
    ) -> Result<T, Fault> {
        let mut buffer: Option<Buffer> = None;
        let (mut ended, mut fresh) = (limit.is_zero(), true);
        timer.set(limit);
        poll_fn(|cx| {
            loop {
                match self.up.poll(cx, downstream, upstream, buffers) {
                    Ok(()) => {}
                    Err(broken @ Broken::Sink) => {
                        // It may have sent its last words before.
                        self.lost.get_or_insert(ended_by(&broken, true));
                        self.up.stage = Stage::Ended;
                    }
                    Err(broken) => return Poll::Ready(Err(ended_by(&broken, true))),
                }
                flowed(self.up.transfer.body_bytes(), 0);
                if std::mem::take(&mut fresh)
                    && let Some(said) =
                        judge(buffer.as_ref().map_or(&[][..], Buffer::filled), ended)
                {
                    self.down = Direction::new(Transfer::tunnel(Vec::new(), buffer.take()));
                    return Poll::Ready(Ok(said));
                }
                let mut room = buffer.take().unwrap_or_else(|| buffers.lease());
                if !room.make_room(BUFFER_BYTES) {
                    (ended, fresh) = (true, true);
                    buffer = Some(room);
                    continue;
                }
                let came = upstream.poll_read(cx, room.spare());
                if let Poll::Ready(Ok(count)) = came {
                    room.received(count);
                }
                buffer = (!room.is_empty()).then_some(room);
                match came {
                    Poll::Ready(Ok(1..)) => fresh = true,
                    Poll::Ready(Err(_)) => {
                        // What is here still goes down; nothing more is to be had, and nobody takes anything.
                        self.lost.get_or_insert(ended_by(&Broken::Source, false));
                        self.up.stage = Stage::Ended;
                        (ended, fresh) = (true, true);
                    }
                    // What follows finds out the same.
                    Poll::Ready(Ok(_)) => (ended, fresh) = (true, true),
                    Poll::Pending if timer.poll(cx).is_ready() => (ended, fresh) = (true, true),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Sets the timer anew where something has moved.
    fn look(&mut self, timer: &Timer) {
        let now = Some(self.now());
        if self.seen != now {
            self.seen = now;
            timer.set(self.limit());
        }
    }

    fn now(&self) -> (u64, bool, bool) {
        let moves = self.up.transfer.moves();
        let moves = moves.wrapping_add(self.down.transfer.moves());
        let flows = |direction: &Direction| direction.stage == Stage::Flowing;
        (moves, flows(&self.up), flows(&self.down))
    }

    /// How long nothing may move now.
    fn limit(&self) -> Duration {
        let Silence { client, target, .. } = self.silence;
        match (self.up.stage, self.down.stage) {
            (Stage::Flowing, Stage::Flowing) => client.min(target),
            (Stage::Flowing, _) => self.silence.client_alone.unwrap_or(client),
            (_, Stage::Flowing) => self.silence.target_alone.unwrap_or(target),
            (_, _) => client.max(target),
        }
    }

    /// Nothing has moved for too long. The side whose time is over has ended for the other, which may have more time, as
    /// HAProxy has it. True where the tunnel has ended.
    fn expire(&mut self, timer: &Timer) -> bool {
        self.lost.get_or_insert(Fault {
            code: FaultCode::IdleTimeout,
            stage: None,
            status: None,
        });
        let Silence { client, target, .. } = self.silence;
        let flowing = (self.up.stage, self.down.stage) == (Stage::Flowing, Stage::Flowing);
        let (ended, alone, left) = match client.cmp(&target) {
            Ordering::Less => (&mut self.up, self.silence.target_alone, target - client),
            Ordering::Greater => (&mut self.down, self.silence.client_alone, client - target),
            Ordering::Equal => return true,
        };
        if !flowing {
            return true;
        }
        ended.stage = Stage::Ending;
        ended.transfer.give_up();
        // This end is nothing that has moved.
        self.seen = Some(self.now());
        timer.set(alone.unwrap_or(left));
        false
    }
}

/// Runs a tunnel between a client and a target; gives what ended it if it was not its two sides. `flowed` hears how
/// many bytes have come up and gone down, whenever it is more.
pub(crate) async fn run(
    timer: &Timer,
    mut sides: Sides,
    buffers: &Rc<Buffers>,
    flowed: impl Fn(u64, u64),
    downstream: &mut Stream,
    upstream: &mut Stream,
) -> Option<Fault> {
    poll_fn(|cx| {
        loop {
            let ends = [
                (true, sides.up.poll(cx, downstream, upstream, buffers)),
                (false, sides.down.poll(cx, upstream, downstream, buffers)),
            ];
            flowed(
                sides.up.transfer.body_bytes(),
                sides.down.transfer.body_bytes(),
            );
            for (upwards, end) in ends {
                let Err(broken) = end else { continue };
                sides.lost.get_or_insert(ended_by(&broken, upwards));
                match broken {
                    // A side that takes no more may have sent its last words before: they still arrive.
                    Broken::Sink if upwards => sides.up.stage = Stage::Ended,
                    Broken::Sink => sides.down.stage = Stage::Ended,
                    Broken::Source | Broken::Refused(_) | Broken::TooLong | Broken::Encoder => {
                        return Poll::Ready(sides.lost);
                    }
                }
            }
            if (sides.up.stage, sides.down.stage) == (Stage::Ended, Stage::Ended) {
                return Poll::Ready(sides.lost);
            }
            sides.look(timer);
            ready!(timer.poll(cx));
            if sides.expire(timer) {
                return Poll::Ready(sides.lost);
            }
        }
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
    let group = x.attempt.group;
    if let Some((group, _, _)) = group.and_then(|it| connection.generation.group(it)) {
        keep_alive::tunnel_begins(connection, downstream, (group, &upstream.link.stream));
    }
    let ledger = &x.ledger;
    let (before_in, before_out) = (ledger.body_in.get(), ledger.body_out.get());
    let flow = Flow::of(connection, x.attempt.group, x.attempt.target);
    let fault = run(
        &connection.timer,
        Sides::new(silence, up, down),
        &connection.worker.buffers,
        |up, down| {
            ledger.body_in.set(before_in + up);
            ledger.body_out.set(before_out + down);
            ledger.counted.count(&flow, up, down);
        },
        downstream,
        &mut upstream.link.stream,
    )
    .await;
    x.ledger.fault = fault;
    Next::Close
}
