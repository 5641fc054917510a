//! Who is being served now: control asks for a list of all connections, or that one of them is cut off.
//!
//! What is known of a connection lies in its timer slot, which only its worker sees. Each worker looks for questions with
//! its ticks and adds what it has: an answer takes two ticks, and nothing is done on the path of a request for it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::plane::ListenerKey;
use portway_model::snapshot::{GroupId, ListenerId};
use tokio::sync::oneshot;

/// Bits of an id that number the connections of a worker; the others are the worker's.
const WORKER_SHIFT: u32 = 48;

/// One connection, as it was at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Never the same for two connections of a process.
    pub id: u64,
    /// The client; unspecified for a UNIX socket.
    pub peer: SocketAddr,
    /// Where it connected to; unspecified for a UNIX socket.
    pub local: SocketAddr,
    /// The number of the plane that it is served by, in which ids and indices are places.
    pub plane: u32,
    /// Where it came in, and on which of the listener's addresses, from 1.
    pub listener: ListenerId,
    /// See `listener`.
    pub socket_number: u16,
    /// The group that serves it, if one does, with the number of the plane that it is a place in, and the target by its index.
    pub group: Option<(u32, GroupId)>,
    /// See `group`.
    pub target: Option<usize>,
    /// It waits for nothing but a request.
    pub rests: bool,
    /// Since it was accepted, or its exchange before had ended.
    pub age: Duration,
    /// Until it is given up; `None`: never.
    pub expires: Option<Duration>,
}

impl Session {
    /// The worker that serves it, from 1.
    pub fn worker(&self) -> u64 {
        self.id >> WORKER_SHIFT
    }
}

/// The id of a worker's nth connection.
pub(crate) fn id(worker: u32, nth: u64) -> u64 {
    (u64::from(worker) << WORKER_SHIFT) | (nth & ((1 << WORKER_SHIFT) - 1))
}

/// A question that some workers have not answered yet.
#[derive(Debug)]
struct Question {
    number: u64,
    left: usize,
    found: Vec<Session>,
    asks: oneshot::Sender<Vec<Session>>,
}

/// Questions and orders to all workers.
#[derive(Debug, Default)]
pub struct RollCall {
    /// How often something was asked or ordered.
    number: AtomicU64,
    questions: Mutex<Vec<Question>>,
    orders: Mutex<Orders>,
}

/// Orders that some worker has not carried out yet, each with its number.
#[derive(Debug, Default)]
struct Orders {
    list: VecDeque<(u64, Whom, Wanted)>,
    /// Up to where each worker has seen them; `None`: it is no more.
    seen: Vec<Option<u64>>,
}

impl Orders {
    /// Forgets those that everybody has seen.
    fn forget(&mut self) {
        let seen = self.seen.iter().flatten().min();
        let is_done = |number: u64| seen.is_none_or(|seen| number <= *seen);
        while self
            .list
            .front()
            .is_some_and(|(number, ..)| is_done(*number))
        {
            self.list.pop_front();
        }
    }
}

/// Which connections are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The one with this id.
    Session(u64),
    /// All that came in on this listener.
    OfListener(ListenerKey),
}

/// What is to become of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// They are cut off.
    CutOff,
    /// Those that wait for a request are closed.
    Rest {
        /// Also those that wait for their first, which is probably on its way.
        first: bool,
    },
}

impl RollCall {
    /// Asks `workers` workers for their connections.
    pub fn ask(&self, workers: usize) -> oneshot::Receiver<Vec<Session>> {
        let (asks, answer) = oneshot::channel();
        let mut questions = self.lock();
        // Those who asked and went have had no answer for long.
        questions.retain(|it| !it.asks.is_closed());
        questions.push(Question {
            number: self.number.fetch_add(1, Ordering::AcqRel) + 1,
            left: workers,
            found: Vec::new(),
            asks,
        });
        answer
    }

    /// Cuts connections off within a few ticks.
    pub fn cut_off(&self, whom: Whom) {
        self.order(whom, Wanted::CutOff);
    }

    /// Has this done within a few ticks.
    pub fn order(&self, whom: Whom, wanted: Wanted) {
        let mut orders = self.orders();
        let number = self.number.fetch_add(1, Ordering::AcqRel) + 1;
        orders.list.push_back((number, whom, wanted));
        // Where nobody works, nobody forgets.
        orders.forget();
    }

    /// The worker of this number, from 0, answers from now on what comes after the number that this gives.
    pub(crate) fn join(&self, worker: usize) -> u64 {
        let mut orders = self.orders();
        let count = orders.seen.len().max(worker.saturating_add(1));
        orders.seen.resize(count, None);
        let now = self.number.load(Ordering::Acquire);
        if let Some(seen) = orders.seen.get_mut(worker) {
            *seen = Some(now);
        }
        now
    }

    /// It answers no more.
    pub(crate) fn leave(&self, worker: usize) {
        let mut orders = self.orders();
        if let Some(seen) = orders.seen.get_mut(worker) {
            *seen = None;
        }
        orders.forget();
    }

    /// A worker that has seen all up to `seen` does its part; gives up to where it has seen now.
    pub(crate) fn answer(
        &self,
        (worker, seen): (usize, u64),
        carry_out: impl Fn(Whom, Wanted),
        sessions: impl Fn(&mut Vec<Session>),
    ) -> u64 {
        if self.number.load(Ordering::Acquire) == seen {
            return seen;
        }
        let mut orders = self.orders();
        let now = self.number.load(Ordering::Acquire);
        let later = |number: u64| number > seen && number <= now;
        let due = orders.list.iter().filter(|(number, ..)| later(*number));
        due.for_each(|(_, whom, wanted)| carry_out(*whom, *wanted));
        if let Some(known) = orders.seen.get_mut(worker) {
            *known = Some(now);
        }
        orders.forget();
        drop(orders);
        let mut questions = self.lock();
        for question in questions.iter_mut().filter(|it| later(it.number)) {
            sessions(&mut question.found);
            question.left = question.left.saturating_sub(1);
        }
        let mut at = 0;
        while let Some(question) = questions.get(at) {
            if question.left > 0 {
                at += 1;
                continue;
            }
            let Question { asks, found, .. } = questions.remove(at);
            // Who has gone meanwhile needs no answer.
            drop(asks.send(found));
        }
        now
    }

    fn orders(&self) -> std::sync::MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Question>> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn each_worker_answers_once() {
        let call = RollCall::default();
        let mut answer = call.ask(2);
        let none = |_: &mut Vec<Session>| {};
        let seen = call.answer((0, 0), |_, _| panic!("nothing was ordered"), none);
        assert!(answer.try_recv().is_err());
        let asked_twice = |_: &mut Vec<Session>| panic!("asked twice");
        assert_eq!(call.answer((0, seen), |_, _| (), asked_twice), seen);
        call.answer((1, 0), |_, _| (), none);
        assert_eq!(answer.try_recv(), Ok(Vec::new()));
    }

    #[test]
    fn no_order_is_missed_however_many_there_are() {
        const ORDERS: u64 = 10_000;
        let call = RollCall::default();
        call.cut_off(Whom::Session(0));
        let joined = (0..3).map(|worker| call.join(worker)).max().unwrap();
        (1..=ORDERS).for_each(|id| call.cut_off(Whom::Session(id)));
        let carried_out = |worker| {
            let done = RefCell::new(Vec::new());
            let note = |whom, wanted| done.borrow_mut().push((whom, wanted));
            call.answer((worker, joined), note, |_| ());
            done.into_inner()
        };
        for worker in 0..2 {
            let done = carried_out(worker);
            assert_eq!(done.len(), 10_000);
            assert_eq!(done.last(), Some(&(Whom::Session(ORDERS), Wanted::CutOff)));
        }
        assert_eq!(call.orders().list.len(), 10_000);
        call.leave(2);
        assert_eq!(call.orders().list.len(), 0);
    }
}
