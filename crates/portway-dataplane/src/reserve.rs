//! A place at a target: the one the request is bound to, or one that the group's algorithm chooses; waits where all are
//! full.

use crate::connection::Connection;
use crate::fault::Fault;
use crate::group::Generation;
use crate::live::{InFlight, TargetState};
use crate::plane::GroupParts;
use crate::queue::{Place, Wanted};
use crate::statistics;
use portway_core::balance::{Key, NoTarget, Tried};
use portway_core::priority::Priority;
use portway_model::choice::RetryTo;
use portway_model::snapshot::{GroupId, TargetGroup};
use portway_telemetry::metrics::{GroupMetrics, Limit, TargetMetrics};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// How often another target is chosen because somebody else was faster at the one that was chosen.
const RACES: usize = 8;

/// Ticks are as late as the machine is busy, and what is told by them is as early then: so much later than a wait has ended by itself
/// they would end it.
const SPARE: Duration = Duration::from_secs(1);

/// A place at a target. The target counts it as in flight while it lives.
#[derive(Debug)]
pub(crate) struct Reserved {
    /// The group that was asked for, or the same with the targets of now.
    pub(crate) group: GroupId,
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
    /// And it may not go to another, even where that one is down.
    pub(crate) forced: bool,
    /// What its rules say of its place among those that wait; `None`: what those of its connection do.
    pub(crate) priority: Option<Priority>,
}

/// How a place was waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waited {
    pub(crate) took: Duration,
    /// The places in the queues of the group and of the target, from 1.
    pub(crate) positions: (u32, u32),
}

/// What came of asking.
pub(crate) enum Asked {
    Reserved(Reserved),
    /// In a queue.
    Waits(Place),
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
        Asked::Waits(place) => {
            let positions = place.positions;
            let began = Instant::now();
            let result = Box::pin(counted(connection, ask, tried, place)).await;
            if let Ok(reserved) = &result
                && ask.bound != Some(reserved.target)
            {
                statistics::selected(connection, reserved.group, reserved.target);
            }
            waited(Waited {
                took: began.elapsed(),
                positions,
            });
            result
        }
    }
}

pub(crate) fn at_once(
    connection: &Connection,
    ask: Ask,
    tried: &mut Tried,
) -> Result<Asked, Fault> {
    let generation = &connection.generation;
    let (_, parts, _) = generation.group(ask.group).ok_or(Fault::no_target())?;
    if let Some(target) = ask.bound {
        if !parts.is_full(target)
            && let Some(slot) = parts.enter(target)
        {
            let group = ask.group;
            return Ok(Asked::Reserved(Reserved {
                group,
                target,
                slot,
            }));
        }
        return queue(connection, (ask, parts), Some(target), *tried);
    }
    for _ in 0..RACES {
        let worker = &connection.worker;
        match generation.choose(ask.group, ask.key, worker, tried) {
            Ok(choice) => {
                if let Some(slot) = parts.enter(choice.index) {
                    let (group, target) = (ask.group, choice.index);
                    statistics::selected(connection, group, target);
                    return Ok(Asked::Reserved(Reserved {
                        group,
                        target,
                        slot,
                    }));
                }
            }
            Err(NoTarget::Full(target)) => {
                return queue(connection, (ask, parts), target, *tried);
            }
            Err(NoTarget::Empty | NoTarget::NoneUsable | NoTarget::AllTried) => {
                return Err(Fault::no_target());
            }
        }
    }
    queue(connection, (ask, parts), None, *tried)
}

fn queue(
    connection: &Connection,
    (ask, parts): (Ask, &GroupParts),
    target: Option<usize>,
    tried: Tried,
) -> Result<Asked, Fault> {
    let metrics = connection.shard().worker();
    metrics.limit_reached(match parts.is_group_full() {
        Some(_) => Limit::GroupConnections,
        None => Limit::TargetConnections,
    });
    let group = connection.generation.group(ask.group);
    let stays =
        |group: &TargetGroup| ask.forced || group.keep_when_down || group.retry_to == RetryTo::Same;
    let stays = ask.bound.is_some() && group.is_some_and(|(group, _, _)| stays(group));
    let wanted = match target {
        None => Wanted::Any,
        Some(target) if stays => Wanted::Alone(target),
        Some(target) => Wanted::One(target),
    };
    let place = parts.join(wanted, tried, ask.priority.unwrap_or(connection.priority()));
    place.map(Asked::Waits).ok_or(Fault::queue_full())
}

/// As [`wait`], counted while it waits and when it ends, however it does.
async fn counted(
    connection: &Connection,
    ask: Ask,
    tried: &mut Tried,
    place: Place,
) -> Result<Reserved, Fault> {
    let alone = place.awaited();
    let alone = alone.map(|target| connection.of_target(ask.group, target));
    let _pending = Pending::new(connection.of_group(ask.group), alone);
    wait(connection, ask, tried, place).await
}

/// Counts somebody who waits.
struct Pending {
    group: Arc<GroupMetrics>,
    /// That of the target that was waited for alone at first.
    target: Option<Arc<TargetMetrics>>,
    since: Instant,
}

impl Pending {
    fn new(group: &Arc<GroupMetrics>, target: Option<&Arc<TargetMetrics>>) -> Self {
        group.queued.up();
        Self {
            group: Arc::clone(group),
            target: target.cloned(),
            since: Instant::now(),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let waited = self.since.elapsed();
        self.group.queued.down();
        self.group.queue_time.observe(waited);
        if let Some(target) = &self.target {
            target.queue_time.counters().observe(waited);
        }
    }
}

/// Waits for a place among the targets of now: those that come meanwhile, too.
async fn wait(
    connection: &Connection,
    ask: Ask,
    tried: &mut Tried,
    place: Place,
) -> Result<Reserved, Fault> {
    let generation = &connection.generation;
    let patience = generation
        .group(ask.group)
        .map_or(Duration::ZERO, |(group, _, _)| group.timeouts.queue);
    connection.timer.set(patience.saturating_add(SPARE));
    connection.timer.set_queued(true);
    let mut wait = Wait {
        connection,
        ask,
        place,
        seen: generation.plane.number,
        given: None,
    };
    // Ticks are too coarse for what is as short as queues are; who waits is rare, and may have a timer of its own. That of the
    // connection ends the wait where it is cut off, or the whole exchange is over.
    let mut over = pin!(tokio::time::sleep(patience));
    let result = poll_fn(|cx| match wait.poll(cx, tried) {
        Poll::Ready(reserved) => Poll::Ready(reserved.ok_or(Fault::no_target())),
        Poll::Pending => match over.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => connection.timer.poll(cx),
        }
        .map(|()| Err(Fault::queue_timeout())),
    })
    .await;
    connection.timer.set_queued(false);
    result
}

/// Somebody who waits.
struct Wait<'c> {
    connection: &'c Connection,
    ask: Ask,
    place: Place,
    /// The number of the plane whose targets it knows.
    seen: u32,
    /// A place at a target that it does not know yet: its worker is about to take over the plane that has it.
    given: Option<InFlight>,
}

impl Wait<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, tried: &mut Tried) -> Poll<Option<Reserved>> {
        let connection = self.connection;
        if !connection.worker.is_current(&connection.generation) {
            let now = connection.worker.generation();
            if now.plane.number != self.seen {
                self.seen = now.plane.number;
                if let Some(reserved) = self.look_around(&now, tried) {
                    return Poll::Ready(Some(reserved));
                }
            }
        }
        let slot = match self.given.take() {
            Some(slot) => slot,
            None => match ready!(self.place.poll(cx)) {
                Some(slot) => slot,
                None => return Poll::Ready(None),
            },
        };
        let generation = &connection.generation;
        match generation.place_of(self.ask.group, slot.target()) {
            Some((group, target)) => {
                *tried = tried_in(generation, (self.ask.group, tried), group);
                Poll::Ready(Some(Reserved {
                    group,
                    target,
                    slot,
                }))
            }
            None => {
                self.given = Some(slot);
                Poll::Pending
            }
        }
    }

    /// Gets to know the targets of another generation. Who waits for one that the algorithm has chosen chooses among them.
    fn look_around(&mut self, now: &Generation, tried: &Tried) -> Option<Reserved> {
        let (connection, ask) = (self.connection, self.ask);
        let generation = &connection.generation;
        let group = generation.follow(ask.group, now)?;
        let is_chosen = ask.bound.is_none() && self.place.is_bound();
        if !is_chosen || self.given.is_some() {
            return None;
        }
        let (_, parts, _) = generation.group(group)?;
        let mut tried = tried_in(generation, (ask.group, tried), group);
        match generation.choose(group, ask.key, &connection.worker, &mut tried) {
            Ok(choice) => {
                let slot = parts.enter(choice.index)?;
                Some(Reserved {
                    group,
                    target: choice.index,
                    slot,
                })
            }
            Err(NoTarget::Full(Some(target))) => {
                self.place.wait_for(parts.targets.get(target)?);
                None
            }
            Err(_) => None,
        }
    }
}

/// Which targets of the group `to` were tried, where those of another one are known.
fn tried_in(generation: &Generation, (from, tried): (GroupId, &Tried), to: GroupId) -> Tried {
    if from == to {
        return *tried;
    }
    let mut found = Tried::default();
    let both = generation.group(from).zip(generation.group(to));
    let Some(((_, from, _), (_, to, _))) = both else {
        return found;
    };
    let was_tried = |target: &Arc<TargetState>| {
        let place = from.targets.iter().position(|it| Arc::ptr_eq(it, target));
        place.is_some_and(|place| tried.contains(place))
    };
    let places = to.targets.iter().enumerate();
    let places = places.filter(|(_, target)| was_tried(target));
    places.for_each(|(place, _)| found.insert(place));
    found
}
