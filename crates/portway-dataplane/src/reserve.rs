//! A place at a target: the one the request is bound to, or one that the group's algorithm chooses; waits where all are
//! full.

use crate::connection::Connection;
use crate::fault::Fault;
use crate::live::InFlight;
use crate::plane::GroupParts;
use crate::queue::Place;
use crate::statistics;
use portway_core::balance::{Key, NoTarget, Tried};
use portway_model::snapshot::GroupId;
use portway_telemetry::metrics::Limit;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

/// How often another target is chosen because somebody else was faster at the one that was chosen.
const RACES: usize = 8;

/// A place at a target. The target counts it as in flight while it lives.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) target: usize,
    pub(crate) slot: InFlight,
}

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) group: GroupId,
    /// What the request is known by.
    pub(crate) key: Key,
    /// The target that it is bound to.
    pub(crate) bound: Option<usize>,
}

/// How a place was waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waited {
    pub(crate) took: Duration,
    /// The places in the queues of the group and of the target, from 1.
    pub(crate) positions: (u32, u32),
}

/// What came of asking.
enum Asked {
    Reserved(Reserved),
    /// In a queue, so many in that of the group and in that of the target, this one included.
    Waits(Place, (u32, u32)),
}

/// Reserves a place, and waits for one for as long as the group says; `waited` is told how long that took, where it did.
///
/// # Errors
/// The group has no target that may take traffic, or none had room in time.
pub(crate) async fn reserve(
    connection: &Connection,
    ask: Ask,
    tried: &mut Tried,
    waited: impl FnOnce(Waited),
) -> Result<Reserved, Fault> {
    match at_once(connection, ask, tried)? {
        Asked::Reserved(reserved) => Ok(reserved),
        // Boxed because it is rare, and every exchange would carry it along.
        Asked::Waits(place, positions) => {
            let began = Instant::now();
            let result = Box::pin(wait(connection, ask.group, place)).await;
            if let (Ok(reserved), None) = (&result, ask.bound) {
                statistics::selected(connection, ask.group, reserved.target);
            }
            waited(Waited {
                took: began.elapsed(),
                positions,
            });
            result
        }
    }
}

fn at_once(connection: &Connection, ask: Ask, tried: &mut Tried) -> Result<Asked, Fault> {
    let generation = &connection.generation;
    let (_, parts, _) = generation.group(ask.group).ok_or(Fault::no_target())?;
    if let Some(target) = ask.bound {
        if !parts.is_full(target)
            && let Some(slot) = parts.enter(target)
        {
            return Ok(Asked::Reserved(Reserved { target, slot }));
        }
        return queue(connection, parts, Some(target), *tried);
    }
    for _ in 0..RACES {
        let worker = &connection.worker;
        match generation.choose(ask.group, ask.key, worker, tried) {
            Ok(choice) => {
                if let Some(slot) = parts.enter(choice.index) {
                    let target = choice.index;
                    statistics::selected(connection, ask.group, target);
                    return Ok(Asked::Reserved(Reserved { target, slot }));
                }
            }
            Err(NoTarget::Full(target)) => return queue(connection, parts, target, *tried),
            Err(NoTarget::Empty | NoTarget::NoneUsable | NoTarget::AllTried) => {
                return Err(Fault::no_target());
            }
        }
    }
    queue(connection, parts, None, *tried)
}

fn queue(
    connection: &Connection,
    parts: &GroupParts,
    target: Option<usize>,
    tried: Tried,
) -> Result<Asked, Fault> {
    let metrics = connection.shard().worker();
    metrics.limit_reached(Limit::TargetConnections);
    if target.is_some_and(|target| parts.is_queue_full(target)) {
        return Err(Fault::queue_full());
    }
    let place = parts.join(target, tried);
    let positions = match target.and_then(|target| parts.targets.get(target)) {
        Some(target) => (0, target.queued()),
        None => (parts.state.waiting(), 0),
    };
    Ok(Asked::Waits(place, positions))
}

async fn wait(connection: &Connection, group: GroupId, place: Place) -> Result<Reserved, Fault> {
    let generation = &connection.generation;
    let patience = generation
        .group(group)
        .map_or(Duration::ZERO, |(group, _, _)| group.timeouts.queue);
    connection.timer.set(patience);
    poll_fn(|cx| match place.poll(cx) {
        Poll::Ready((target, slot)) => Poll::Ready(Ok(Reserved { target, slot })),
        Poll::Pending => connection
            .timer
            .poll(cx)
            .map(|()| Err(Fault::queue_timeout())),
    })
    .await
}
