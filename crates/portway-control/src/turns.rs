//! Whose turn it is to change what is at work: one change is made at a time, and none while another process takes over.
//!
//! Commands that change something smaller (a drain, a weight, an entry of a map) need no turn: they wait only from the moment at
//! which the live state is given to that process, since what comes later would be lost.
//!
//! Reloads that wait are one: a reload reads every file after it has its turn, so whoever asks while one waits asks for what that
//! one does, and has its answer. However many ask, one reads and one waits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{MutexGuard as Turn, RwLockReadGuard, watch};

use crate::change::Changing;
use crate::reload::{NotReloaded, Reloaded};
use crate::running::Running;

/// How a reload went, for whoever has asked for it.
#[derive(Debug)]
pub struct Answered {
    /// What it has done, or why it has done nothing.
    pub done: Result<Reloaded, NotReloaded>,
    /// Somebody else has asked for it before, and is told the same.
    pub is_shared: bool,
}

/// The answer of a reload, once there is one.
type Answer = Option<Result<Reloaded, NotReloaded>>;

/// The reload that waits for its turn, if one does.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<Option<watch::Receiver<Answer>>>);

/// What is to be done by somebody who asks for a reload.
enum Part {
    /// To reload, and to tell the others.
    Reload(watch::Sender<Answer>),
    /// To wait for whoever does.
    Wait(watch::Receiver<Answer>),
}

/// Nothing is handed over to another process as long as this is there.
pub struct MayChange<'r>(
    #[expect(dead_code, reason = "it is there to be dropped")] RwLockReadGuard<'r, ()>,
);

impl Waiting {
    fn join(&self) -> Part {
        let mut waiting = self.lock();
        // One whose sender is gone was called away before it had its turn.
        let others = waiting.as_ref().filter(|it| it.has_changed().is_ok());
        match others {
            Some(others) => Part::Wait(others.clone()),
            None => {
                let (tell, hear) = watch::channel(None);
                *waiting = Some(hear);
                Part::Reload(tell)
            }
        }
    }

    /// The one that waits has its turn: who asks from now on may know of a later change.
    pub(crate) fn begins(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<watch::Receiver<Answer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Reads the configuration again and puts it to work in place of the one that is. Comes back when every exchange that begins
    /// sees it. `by`: what asks, for the log. While another process is getting ready to take over it waits; where that serves
    /// then, nothing is done ([`Running::successor`]).
    pub async fn reload(&self, by: &str) -> Answered {
        loop {
            let mut others = match self.waiting.join() {
                Part::Reload(tell) => {
                    let done = self.reload_files(by).await;
                    tell.send_replace(Some(done.clone()));
                    let is_shared = false;
                    return Answered { done, is_shared };
                }
                Part::Wait(others) => others,
            };
            // Without an answer: whoever was to give it was called away.
            let answer = others.wait_for(Option::is_some).await;
            if let Some(done) = answer.ok().and_then(|it| it.clone()) {
                let is_shared = true;
                return Answered { done, is_shared };
            }
        }
    }

    /// The right to change by command what goes over to a process that takes over. Waits where one has been given that already and
    /// does not serve yet.
    ///
    /// # Errors
    /// The number of the process that serves in place of this one: it is the one to ask.
    pub async fn may_change(&self) -> Result<MayChange<'_>, u32> {
        let may = self.upgrades.commands().read().await;
        match self.successor() {
            Some(process) => Err(process),
            None => Ok(MayChange(may)),
        }
    }

    /// The right to change what is at work.
    ///
    /// # Errors
    /// The number of the process that serves in place of this one.
    pub(crate) async fn turn(&self) -> Result<Turn<'_, Changing>, u32> {
        loop {
            if let Some(process) = self.upgrade_is_over().await {
                return Err(process);
            }
            let changing = self.changing.lock().await;
            if !self.upgrades.is_under_way() {
                return Ok(changing);
            }
        }
    }
}
