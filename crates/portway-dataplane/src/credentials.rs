//! Who a user is, by Basic authorization and a list of users.
//!
//! A hash of crypt(3) takes milliseconds on purpose. A worker looks at what it remembers; what it does not know, it notes
//! as a question, says "not yet", and the rules are stopped until [`wait`] has the answer. What is asked where nobody can
//! wait, such as in a log, is answered before the rules: see [`settle`].

use crate::digest::Proof;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::live::ProcessState;
use crate::passwords::{Digest, Known, PATIENCE, Question, Reply};
use crate::record::limit_reached;
use crate::stream::Stream;
use portway_core::evaluate::{Facts, credentials};
use portway_core::password;
use portway_model::settings::Password;
use portway_model::snapshot::{User, Userlist, UserlistId};
use portway_telemetry::metrics::Limit;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;

/// What this worker knows of passwords.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    known: RefCell<Known>,
    /// Nobody is served, so that hashes may be computed at once.
    at_once: Cell<bool>,
}

/// What an exchange knows of passwords.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    question: OnceCell<Box<Question>>,
    /// So that what was answered stays so, whatever the worker has forgotten since.
    answers: Vec<(Digest, bool)>,
    /// The proof of Digest authorization that was counted for it.
    pub(crate) proof: Option<Proof>,
}

impl Checks {
    /// True where something was asked that is not answered yet.
    #[inline]
    pub(crate) fn asked(&self) -> bool {
        self.question.get().is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.question.take();
        self.answers.clear();
        self.proof = None;
    }
}

impl Credentials {
    /// Computes hashes where they are asked for.
    pub(crate) fn compute_at_once(&self) {
        self.at_once.set(true);
    }

    /// The user of the list whose name and password a request gives. `None` also where that is not known yet.
    pub(crate) fn user<'l, F: Facts>(
        &self,
        (id, list): (UserlistId, &'l Userlist),
        checks: &Checks,
        facts: &F,
    ) -> Option<&'l User> {
        let (name, given) = credentials(facts)?;
        let user = list
            .users
            .iter()
            .find(|user| user.name.as_bytes() == name)?;
        if !password::takes_long(&user.password) || self.at_once.get() {
            return password::is_right(&user.password, &given).then_some(user);
        }
        let digest = digest((id, user), &given);
        let answered = checks.answers.iter().find(|(it, _)| *it == digest);
        let right = answered.map(|(_, right)| *right);
        match right.or_else(|| self.known.borrow().answer(&digest)) {
            Some(right) => right.then_some(user),
            None => {
                let password: Password = user.password.clone();
                // One after the other: where something was asked already, this is asked when the rules run again.
                let _ = checks.question.set(Box::new(Question {
                    digest,
                    password,
                    given,
                }));
                None
            }
        }
    }
}

/// Everything that the answer depends on: it holds for another configuration too.
fn digest((id, user): (UserlistId, &User), given: &[u8]) -> Digest {
    let list_id = id.0.to_be_bytes();
    password::fingerprint(&user.password, [&list_id, user.name.as_bytes(), given])
}

impl ProcessState {
    /// Whether this is the password of a user of the list, for somebody at `source` whom no worker serves now; `None`: as many
    /// wait to be checked as may. Threads and what is remembered are those of workers.
    pub async fn is_password(
        &self,
        (id, user): (UserlistId, &User),
        given: &[u8],
        source: IpAddr,
    ) -> Option<bool> {
        if !password::takes_long(&user.password) {
            return Some(password::is_right(&user.password, given));
        }
        let question = Question {
            digest: digest((id, user), given),
            password: user.password.clone(),
            given: given.to_vec(),
        };
        self.passwords.answer(question, source).await
    }
}

impl Exchange<'_> {
    /// The user of this list that the request authorizes itself as.
    pub(crate) fn user(&self, users: UserlistId) -> Option<&User> {
        let plane = &self.connection.generation.plane;
        let list = plane.snapshot.userlists.get(users.index())?;
        let credentials = &self.connection.worker.credentials;
        credentials.user((users, list), &self.scratch.checks, self)
    }
}

/// Waits for the answer to what was asked.
pub(crate) async fn wait(x: &mut Exchange<'_>, client: &mut Stream) -> Result<(), Fault> {
    let Some(question) = x.scratch.checks.question.take() else {
        return Ok(());
    };
    let digest = question.digest;
    let passwords = &x.connection.generation.plane.process.passwords;
    let right = match passwords.ask(*question, x.client) {
        Reply::Known(right) => right,
        Reply::Refused => return refused(x),
        Reply::Later(answer) => {
            let timer = &x.connection.timer;
            timer.set(PATIENCE);
            let mut answer = pin!(answer);
            let waited = poll_fn(|cx| match answer.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Ok(answer.ok())),
                Poll::Pending if client.poll_gone(cx).is_ready() => {
                    Poll::Ready(Err(Fault::client_closed()))
                }
                Poll::Pending => timer.poll(cx).map(|()| Ok(None)),
            });
            match waited.await? {
                Some(right) => right,
                None => return refused(x),
            }
        }
    };
    x.scratch.checks.answers.push((digest, right));
    let known = &x.connection.worker.credentials.known;
    known.borrow_mut().remember(digest, right);
    Ok(())
}

fn refused(x: &Exchange<'_>) -> Result<(), Fault> {
    limit_reached(x, Limit::PasswordChecks);
    Err(Fault::passwords_busy())
}

/// Answers what may be asked of the request where nobody can wait.
pub(crate) async fn settle(x: &mut Exchange<'_>, client: &mut Stream) -> Result<(), Fault> {
    let generation = std::rc::Rc::clone(&x.connection.generation);
    for users in &generation.plane.late_users {
        x.authenticated(*users);
        wait(x, client).await?;
    }
    Ok(())
}
