//! Copies of requests for other groups.
//!
//! A copy is made of what is sent to the request's own target, when that is about to be sent, and goes its own way from there: a
//! task of the worker with timers of its own, which nobody waits for. Its answer is thrown away. A worker has a bounded number of
//! them on their way; beyond that, copies are dropped and counted. One whose target a reload takes away ends then.

use crate::body::Patience;
use crate::buffer::BUFFER_BYTES;
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::group;
use crate::head;
use crate::memory::{Held, Level};
use crate::policy::Decision;
use crate::record::limit_reached;
use crate::subrequest::{self, Ask};
use crate::{body, worker};
use portway_core::balance::Key;
use portway_core::http1::{BodyLength, Method};
use portway_model::mirror::Mirror;
use portway_model::snapshot::GroupId;
use portway_model::stage::Resolved;
use portway_telemetry::metrics::{Limit, ListenerMetrics};
use std::cell::{Cell, OnceCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Copies that a worker has on their way: with head and answer each takes up to some 160 KiB beside its body. A mirror that
/// is slow, or hangs, reaches it; more are not made until it answers.
pub(crate) const MIRRORED_AT_ONCE: u32 = 256;

/// Bytes of bodies of copies that a worker has on their way; more are not made until there is room. With all else 56 MiB.
pub(crate) const MIRRORED_BYTES: usize = 16 * 1024 * 1024;

/// How long an attempt of a copy may take, whatever its group's timeouts are: a mirror that hangs must not keep the places of copies.
pub(crate) const MIRRORED_FOR: Duration = Duration::from_secs(60);

/// Bytes of an answer that are read so that its connection can be kept; of a longer one the connection is closed.
const ANSWER_BYTES: usize = 2 * BUFFER_BYTES;

/// Copies that an exchange is to make.
#[derive(Debug, Default)]
pub(crate) struct Mirrors(Vec<(GroupId, Option<u32>)>);

impl Mirrors {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Notes that a copy is to be made, if it is this request's turn; its body is waited for, where it goes along.
pub(crate) fn say(x: &mut Exchange<'_>, mirror: &Mirror<Resolved>) -> Option<Decision> {
    let turn = u128::from(x.connection.worker.turn()) * 100;
    // A tunnel is no request that could be made twice.
    let tunnel = x.framing.upgrade || x.request().method() == Method::Connect;
    if (turn >> 64) >= u128::from(mirror.percent) || tunnel {
        return None;
    }
    x.scratch.mirrors.0.push((mirror.group, mirror.body_bytes));
    let most = mirror.body_bytes.map(u64::from);
    let waits = match (x.framing.body, most) {
        (BodyLength::Length(length), Some(most)) => (1..=most).contains(&length),
        (BodyLength::Chunked, Some(_)) => true,
        _ => false,
    };
    let patience = Patience::with_client(x);
    let (at_least, room) = body::one_beyond(mirror.body_bytes.unwrap_or(0));
    waits.then_some(Decision::WaitForBody(patience, at_least, room))
}

/// Sends the copies that rules have asked for.
pub(crate) fn send(x: &mut Exchange<'_>) {
    let mirrors = std::mem::take(&mut x.scratch.mirrors.0);
    for (group, most) in mirrors {
        let metrics = Arc::clone(x.connection.shard().listener(x.connection.listener.index()));
        let whole = match most {
            None => Some(Vec::new()),
            Some(most) => body::whole(x).filter(|body| body.len() <= most as usize),
        };
        let bytes = whole.as_ref().map_or(0, Vec::len);
        let room = Place::take(&x.connection.worker, bytes);
        if room.is_none() {
            limit_reached(x, Limit::MirroredRequests);
        }
        match (whole, room) {
            (Some(body), Some(place)) => {
                let copy = Copy::of(x, group, &body);
                drop(tokio::task::spawn_local(copy.go(place, metrics)));
            }
            _ => metrics.mirrored.dropped.add(1),
        }
    }
}

/// One of the places of a worker with room for a body, given back when it is dropped.
struct Place {
    worker: Rc<worker::Worker>,
    bytes: usize,
    _memory: Held,
}

impl Place {
    fn take(worker: &Rc<worker::Worker>, bytes: usize) -> Option<Self> {
        let (taken, bytes_taken) = worker.mirrored.get();
        let all = bytes_taken + bytes;
        let has_memory = worker.process().memory_level() == Level::Free;
        (taken < MIRRORED_AT_ONCE && all <= MIRRORED_BYTES && has_memory).then(|| {
            worker.mirrored.set((taken + 1, all));
            let worker = Rc::clone(worker);
            let memory = Held::new(&worker.buffers, bytes);
            Self {
                worker,
                bytes,
                _memory: memory,
            }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (taken, bytes) = self.worker.mirrored.get();
        let left = (taken.saturating_sub(1), bytes.saturating_sub(self.bytes));
        self.worker.mirrored.set(left);
    }
}

/// All that a copy needs once its request goes on without it.
struct Copy {
    connection: Connection,
    group: GroupId,
    key: Key,
    host: Vec<u8>,
    ends: (SocketAddr, SocketAddr),
    request_id: Option<Vec<u8>>,
    method: Method,
    wire: Vec<u8>,
}

impl Copy {
    fn of(x: &mut Exchange<'_>, group: GroupId, body: &[u8]) -> Self {
        let mut wire = head::copy_of_request(x, body.len());
        wire.extend_from_slice(body);
        let configured = x.connection.generation.group(group);
        Self {
            connection: beside(x.connection),
            group,
            key: configured.map_or(Key::None, |(it, _, _)| group::key(it, x.client, &*x)),
            host: x.scratch.host.clone(),
            ends: (x.source_end(), x.destination_end()),
            request_id: x.id().map(<[u8]>::to_vec),
            method: x.sent_method(),
            wire,
        }
    }

    async fn go(self, place: Place, metrics: Arc<ListenerMetrics>) {
        let asked = Cell::new(None);
        let ask = Ask {
            group: self.group,
            key: self.key,
            host: &self.host,
            ends: self.ends,
            request_id: self.request_id.as_deref(),
            method: self.method,
            wire: &self.wire,
            most: ANSWER_BYTES,
            patience: MIRRORED_FOR,
            asked: &asked,
        };
        self.connection.timer.set_looks_around();
        let mut asking = pin!(subrequest::ask(&self.connection, &ask));
        let answered = poll_fn(|cx| match asking.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.is_ok()),
            Poll::Pending if self.is_left(asked.get()) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        })
        .await;
        let counter = match answered {
            true => &metrics.mirrored.answered,
            false => &metrics.mirrored.failed,
        };
        counter.add(1);
        drop(place);
    }

    /// True where the configuration of now has not the group, or not the target that is asked: a mirror that hung and was taken away
    /// must not keep the places of copies for the one that took over.
    fn is_left(&self, asked: Option<(GroupId, usize)>) -> bool {
        let Connection {
            generation, worker, ..
        } = &self.connection;
        if worker.is_current(generation) {
            return false;
        }
        let (id, target) = asked.map_or((self.group, None), |(id, target)| (id, Some(target)));
        let Some((_, parts, _)) = generation.group(id) else {
            return true;
        };
        let now = worker.generation();
        let groups = &now.plane.groups;
        let Some(here) = groups
            .iter()
            .find(|it| Arc::ptr_eq(&it.state, &parts.state))
        else {
            return true;
        };
        let target = target.and_then(|target| parts.targets.get(target));
        target.is_some_and(|target| !here.targets.iter().any(|it| Arc::ptr_eq(it, target)))
    }
}

/// What a copy goes by: as the client's connection, with a timer of its own.
fn beside(connection: &Connection) -> Connection {
    let mut beside = Connection {
        worker: Rc::clone(&connection.worker),
        generation: Rc::clone(&connection.generation),
        listener: connection.listener,
        socket_number: connection.socket_number,
        peer: connection.peer,
        local: connection.local,
        timer: connection.worker.timers.register(),
        tls: None,
        behind_proxy: connection.behind_proxy,
        exchanges: connection.exchanges,
        born: connection.born,
        is_stream: false,
        captures: None,
        rare: OnceCell::new(),
    };
    if let Some(parts) = connection.proxied() {
        beside.keep_proxied(parts);
    }
    beside
}
