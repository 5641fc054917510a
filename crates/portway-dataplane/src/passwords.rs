//! Passwords held against hashes that take long on purpose, on threads of their own, so that no worker stands still.
//!
//! What waits is bounded, in all and for each source; sources take turns, so that one that tries passwords delays
//! nobody else by more than a turn. Who asks what is being found out already waits for the same answer. Right and wrong
//! answers are remembered apart: wrong ones, of which anybody makes as many as he likes, never push out the right.

use portway_core::password;
use portway_model::settings::Password;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Threads that hold passwords against hashes: at most so many, and half the processors.
const THREADS: usize = 4;
/// By how much they step back behind workers (nice(2)): a worker that has work gets three times as much.
const NICE: i32 = 5;
/// Passwords that wait to be checked, of all sources: the request with one more is answered 503. About 300 bytes each.
const WAITING: usize = 256;
/// Passwords of one source, an IPv4 address or 64 bits of an IPv6 address, that wait to be checked: the request with one
/// more is answered 503. Enough for people who share an address; who guesses has no use for more.
const WAITING_OF_SOURCE: usize = 8;
/// How long a request waits for its password to be checked before it is answered 503.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Right answers that are remembered, and as many wrong ones; when there are more, all of the kind are forgotten. 32 bytes
/// each.
const REMEMBERED: usize = 4096;

/// By what a question is found again.
pub(crate) type Digest = [u8; 32];

/// Is this the password?
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) digest: Digest,
    pub(crate) password: Password,
    pub(crate) given: Vec<u8>,
}

/// What is said to a question at once.
pub(crate) enum Reply {
    Known(bool),
    Later(oneshot::Receiver<bool>),
    /// Too many wait.
    Refused,
}

/// Answers that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Known {
    right: HashSet<Digest>,
    wrong: HashSet<Digest>,
}

impl Known {
    pub(crate) fn answer(&self, digest: &Digest) -> Option<bool> {
        let right = self.right.contains(digest);
        (right || self.wrong.contains(digest)).then_some(right)
    }

    pub(crate) fn remember(&mut self, digest: Digest, right: bool) {
        let of_kind = match right {
            true => &mut self.right,
            false => &mut self.wrong,
        };
        if of_kind.len() >= REMEMBERED {
            of_kind.clear();
        }
        of_kind.insert(digest);
    }
}

/// Those of a process.
#[derive(Debug, Default)]
pub(crate) struct Passwords {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct State {
    known: Known,
    /// Asked and not answered: those that wait, and those that are at it.
    open: HashMap<Digest, Open>,
    /// What waits, by source; none is empty.
    lines: HashMap<IpAddr, VecDeque<Digest>>,
    /// The sources of these, the next one first.
    turns: VecDeque<IpAddr>,
    waiting: usize,
    threads: usize,
    closed: bool,
}

#[derive(Debug)]
struct Open {
    /// Taken by the thread that is at it.
    question: Option<Question>,
    asked_by: Vec<oneshot::Sender<bool>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passwords {
    /// Asks for somebody at `source`.
    pub(crate) fn ask(&self, question: Question, source: IpAddr) -> Reply {
        let mut state = self.shared.state();
        if let Some(right) = state.known.answer(&question.digest) {
            return Reply::Known(right);
        }
        let (answer, later) = oneshot::channel();
        if let Some(open) = state.open.get_mut(&question.digest) {
            open.asked_by.push(answer);
            return Reply::Later(later);
        }
        if !state.line_up(question, whose(source), answer) || !self.has_threads(&mut state) {
            return Reply::Refused;
        }
        self.shared.more.notify_one();
        Reply::Later(later)
    }

    /// The same for one who can wait; `None`: too many wait.
    pub(crate) async fn answer(&self, question: Question, source: IpAddr) -> Option<bool> {
        match self.ask(question, source) {
            Reply::Known(right) => Some(right),
            Reply::Later(answer) => answer.await.ok(),
            Reply::Refused => None,
        }
    }

    /// Starts one thread more where there may be one; false where there is none at all.
    fn has_threads(&self, state: &mut State) -> bool {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        if state.threads < (processors / 2).clamp(1, THREADS) {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("passwords".to_owned());
            if thread.spawn(move || work(&shared)).is_ok() {
                state.threads += 1;
            }
        }
        state.threads > 0
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.more.notify_all();
    }
}

impl State {
    /// Puts a question to the end of the line of its source; false where that or all lines are full.
    fn line_up(
        &mut self,
        question: Question,
        source: IpAddr,
        answer: oneshot::Sender<bool>,
    ) -> bool {
        let of_source = self.lines.get(&source).map_or(0, VecDeque::len);
        if self.waiting >= WAITING || of_source >= WAITING_OF_SOURCE {
            return false;
        }
        if of_source == 0 {
            self.turns.push_back(source);
        }
        let line = self.lines.entry(source).or_default();
        line.push_back(question.digest);
        self.waiting += 1;
        let open = Open {
            asked_by: vec![answer],
            question: Some(question),
        };
        if let Some(digest) = open.question.as_ref().map(|it| it.digest) {
            self.open.insert(digest, open);
        }
        true
    }

    /// The next question that somebody still waits for.
    fn next(&mut self) -> Option<Question> {
        loop {
            let source = self.turns.pop_front()?;
            let line = self.lines.get_mut(&source)?;
            let digest = line.pop_front();
            match line.is_empty() {
                true => drop(self.lines.remove(&source)),
                false => self.turns.push_back(source),
            }
            self.waiting = self.waiting.saturating_sub(1);
            let Some(open) = digest.and_then(|digest| self.open.get_mut(&digest)) else {
                continue;
            };
            open.asked_by.retain(|it| !it.is_closed());
            if open.asked_by.is_empty() {
                digest.map(|digest| self.open.remove(&digest));
                continue;
            }
            return open.question.take();
        }
    }

    fn answer(&mut self, digest: Digest, right: bool) {
        self.known.remember(digest, right);
        let asked_by = self.open.remove(&digest).map(|open| open.asked_by);
        for asker in asked_by.into_iter().flatten() {
            // Who has gone needs no answer.
            let _ = asker.send(right);
        }
    }
}

/// The life of a thread.
fn work(shared: &Shared) {
    // On Linux that of the calling thread; where it is not allowed, hashing has its full share.
    let _ = rustix::process::setpriority_process(None, NICE);
    let mut state = shared.state();
    while !state.closed {
        let Some(question) = state.next() else {
            state = shared
                .more
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(state);
        let right = password::is_right(&question.password, &question.given);
        state = shared.state();
        state.answer(question.digest, right);
    }
}

/// Whom an address counts as: a host has as many IPv6 addresses as it likes.
fn whose(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(number: u8) -> Question {
        Question {
            digest: [number; 32],
            password: Password::Plain("right".to_owned()),
            given: Vec::new(),
        }
    }

    fn line_up(state: &mut State, number: u8, source: &str) -> Option<oneshot::Receiver<bool>> {
        let (answer, later) = oneshot::channel();
        let source = whose(source.parse().unwrap());
        let fits = state.line_up(question(number), source, answer);
        fits.then_some(later)
    }

    #[test]
    fn sources_take_turns_and_have_lines_of_a_length() {
        let mut state = State::default();
        let most = u8::try_from(WAITING_OF_SOURCE).unwrap();
        let all = (0..most).map(|number| line_up(&mut state, number, "192.0.2.1"));
        let _first: Vec<_> = all.map(Option::unwrap).collect();
        assert!(line_up(&mut state, 90, "192.0.2.1").is_none());
        let _second = line_up(&mut state, 100, "2001:db8::1").unwrap();
        let gone = line_up(&mut state, 101, "2001:db8::2").unwrap();
        drop(gone);
        let _third = line_up(&mut state, 102, "2001:db8:0:1::1").unwrap();
        let order: Vec<u8> = std::iter::from_fn(|| state.next())
            .map(|question| question.digest[0])
            .collect();
        assert_eq!(order, [0, 100, 102, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((state.waiting, state.lines.len()), (0, 0));
    }

    #[test]
    fn wrong_answers_do_not_push_out_right_ones() {
        let mut known = Known::default();
        known.remember([1; 32], true);
        for number in 0..=REMEMBERED {
            let mut digest = [2; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            known.remember(digest, false);
        }
        assert_eq!(known.answer(&[1; 32]), Some(true));
        assert_eq!((known.right.len(), known.wrong.len()), (1, 1));
    }
}
