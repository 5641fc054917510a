//! Who is being served now: control asks for a list of all connections, or that one of them is cut off.
//!
//! What is known of a connection lies in its timer slot, which only its worker sees. Each worker looks for questions with
//! its ticks and adds what it has: an answer takes two ticks, and nothing is done on the path of a request for it.

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

/// Questions to all workers.
#[derive(Debug, Default)]
pub struct RollCall {
    /// How often something was asked or ordered.
    number: AtomicU64,
    questions: Mutex<Vec<Question>>,
    /// Connections to be cut off, each with the number of the order.
    cuts: Mutex<Vec<(u64, Whom)>>,
}

/// Which connections are to be cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The one with this id.
    Session(u64),
    /// All that came in on this listener.
    OfListener(ListenerKey),
}

/// Orders that are remembered: workers look for them ten times a second.
const MAX_CUTS: usize = 4096;

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
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        if cuts.len() >= MAX_CUTS {
            cuts.remove(0);
        }
        cuts.push((self.number.fetch_add(1, Ordering::AcqRel) + 1, whom));
    }

    /// A worker that has seen all up to `seen` does its part; gives up to where it has seen now.
    pub(crate) fn answer(
        &self,
        seen: u64,
        cut_off: impl Fn(Whom),
        sessions: impl Fn(&mut Vec<Session>),
    ) -> u64 {
        let now = self.number.load(Ordering::Acquire);
        if now == seen {
            return now;
        }
        let cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        let later = |number: u64| number > seen && number <= now;
        let due = cuts.iter().filter(|(number, _)| later(*number));
        due.for_each(|(_, whom)| cut_off(*whom));
        drop(cuts);
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
        let seen = call.answer(0, |_| panic!("nothing was ordered"), none);
        assert!(answer.try_recv().is_err());
        assert_eq!(call.answer(seen, |_| (), |_| panic!("asked twice")), seen);
        call.answer(0, |_| (), none);
        assert_eq!(answer.try_recv(), Ok(Vec::new()));
        call.cut_off(Whom::Session(7));
        let cut = RefCell::new(Vec::new());
        call.answer(seen, |whom| cut.borrow_mut().push(whom), none);
        assert_eq!(*cut.borrow(), [Whom::Session(7)]);
    }
}
