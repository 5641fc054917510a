//! The last good configurations: when each was put to work, by what, and what it says.
//!
//! Kept is the canonical text of each, so that one can be put to work again whatever its files say meanwhile; certificates, maps
//! and other files that it names are read as they are then. With a folder for state each stands there in a file too. What goes
//! wrong with that is told, and never stops anything.

mod cookie_keys;
mod diff;
mod lock;
mod ocsp_answers;
mod store;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use portway_dataplane::seal;
use portway_dialects::native;
use portway_model::lift::lift;
use portway_model::snapshot::{Process, Snapshot};
use portway_model::span::Sources;
use serde::{Deserialize, Serialize};

use crate::history::lock::Owned;
pub(crate) use crate::history::ocsp_answers::KeptAnswers;
use crate::plan::Plan;
use crate::privileges;
use crate::reload::{NotReloaded, Reloaded, on_a_thread, unread};
use crate::running::Running;
use crate::sources::{Compiled, compile_kept, folders_of, to_native};

/// Configurations that are kept: enough for a bad day.
pub const KEPT: usize = 20;

/// Bytes of their texts; of more, the oldest go first. The one at work is kept whatever it has.
pub const KEPT_BYTES: usize = 32 * 1024 * 1024;

/// A configuration that was at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// The last number that says the same: it was put to work again without a change.
    pub until: u64,
    /// When it was put to work, seconds since 1970.
    pub at: f64,
    /// By what: `start`, `upgrade`, `SIGHUP`, `portway reload`, `rollback to 3`, …
    pub by: String,
    /// Objects that came, changed and went.
    pub counts: [usize; 3],
    /// Its canonical text.
    text: String,
    /// Where its relative paths begin; `None`: its files lay in several folders.
    folder: Option<String>,
}

/// The last good configurations, the latest at the end.
#[derive(Debug, Default)]
pub struct History {
    kept: Vec<Generation>,
    /// The folder where they are kept.
    owned: Option<Arc<Owned>>,
    /// The number of the one that a rollback has put to work, until something else is.
    rolled_back: Option<u64>,
}

/// A generation as people see it.
#[derive(Debug, Clone)]
pub struct Viewed {
    /// What is kept of it.
    pub generation: Generation,
    /// It is at work.
    pub is_at_work: bool,
}

/// What a generation has changed.
#[derive(Debug)]
pub struct Shown {
    /// It.
    pub viewed: Viewed,
    /// The number of the one before it; `None`: that is not kept.
    pub before: Option<u64>,
    /// What leads to it from there; from nothing where that is not kept.
    pub plan: Plan,
    /// The same as a difference of texts, without secrets.
    pub diff: String,
}

/// Why nothing was rolled back.
#[derive(Debug)]
pub enum NotRolledBack {
    /// There is no such generation, in words.
    Unknown(String),
    /// It cannot be put to work.
    Failed(Box<NotReloaded>),
}

impl History {
    /// What was kept in a folder for state, and where it is kept from now on, unless another process does so. `takes_over`: the one
    /// before has the folder still, and will let go of it.
    pub fn open(folder: Option<PathBuf>, takes_over: bool) -> Self {
        let Some(owned) = folder.map(Owned::new) else {
            return Self::default();
        };
        if !takes_over && let Err(of_another) = owned.take(false) {
            tracing::warn!("{of_another}");
            return Self::default();
        }
        if !takes_over {
            cookie_keys::load(&owned.folder);
        }
        Self {
            kept: store::read(&owned.folder),
            owned: Some(Arc::new(owned)),
            rolled_back: None,
        }
    }

    /// Makes the folder before the process becomes somebody else, who writes there. In another root it is made later.
    pub(crate) fn make_folder(&self, process: &Process) {
        let changes = process.user.is_some() || process.group.is_some();
        let folder = self.owned.as_ref().map(|it| it.folder.as_path());
        let Some(folder) = folder.filter(|_| changes) else {
            return;
        };
        if process.chroot.is_none()
            && let Err(error) = privileges::make_folder(process, &store::within(folder))
        {
            tracing::warn!(
                "the history cannot be kept in {}: {error}",
                folder.display()
            );
        }
    }

    /// Another process keeps its history in the folder from now on.
    pub(crate) fn let_go(&self) {
        if let Some(owned) = &self.owned {
            owned.let_go();
        }
    }

    /// Takes over what the process before has kept, which is newer than what lies in a folder.
    pub(crate) fn take_over(&mut self, kept: Vec<Generation>) {
        if !kept.is_empty() {
            self.kept = kept;
        }
    }

    /// What is kept, for the process that takes over.
    pub(crate) fn parts(&self) -> Vec<Generation> {
        self.kept.clone()
    }

    /// A rollback has put this one to work; `None`: what files say is at work again.
    pub(crate) fn is_rollback_to(&mut self, number: Option<u64>) {
        self.rolled_back = number;
    }

    /// The number of a configuration that a process begins with.
    pub(crate) fn begin(&self, snapshot: &Snapshot, sources: &Sources) -> u64 {
        let is_said_by = |it: &Generation| it.says(&to_native(snapshot), &folder(sources));
        match self.kept.last() {
            Some(last) if is_said_by(last) => last.until,
            Some(last) => last.until + 1,
            None => 1,
        }
    }

    /// Adds one that is at work now; that which says the same as the one before is that one still. Gives what is to be written.
    fn add(&mut self, next: Generation) -> Option<store::Change> {
        match self.kept.last_mut() {
            Some(last) if last.says(&next.text, &next.folder) => {
                last.until = next.until;
            }
            _ => self.kept.push(next),
        }
        let mut bytes = 0;
        let stays = self.kept.iter().rev().enumerate().take_while(|(at, it)| {
            bytes += it.text.len();
            *at == 0 || (*at < KEPT && bytes <= KEPT_BYTES)
        });
        let gone = self.kept.len() - stays.count();
        let gone: Vec<u64> = self.kept.drain(..gone).map(|it| it.number).collect();
        Some(store::Change {
            owned: self.owned.clone()?,
            written: self.kept.last()?.clone(),
            gone,
        })
    }

    fn find(&self, number: u64) -> Option<usize> {
        let is_it = |it: &Generation| (it.number..=it.until).contains(&number);
        self.kept.iter().position(is_it)
    }

    /// That there is no such generation.
    fn unknown(&self, number: u64) -> String {
        let known: Vec<String> = self.kept.iter().map(Generation::numbers).collect();
        match known.is_empty() {
            true => "no generation is kept: this process cannot be reloaded".to_owned(),
            false => format!(
                "generation {number} is not kept: there are {}",
                known.join(", ")
            ),
        }
    }

    fn viewed(&self, at: usize) -> Option<Viewed> {
        Some(Viewed {
            generation: self.kept.get(at)?.clone(),
            is_at_work: at + 1 == self.kept.len(),
        })
    }
}

impl Generation {
    /// Its number, or those that say the same: `3–5`.
    pub fn numbers(&self) -> String {
        match self.until > self.number {
            true => format!("{}–{}", self.number, self.until),
            false => self.number.to_string(),
        }
    }

    /// True where it says this text, with relative paths from this folder.
    fn says(&self, text: &str, folder: &Option<String>) -> bool {
        self.text == text && self.folder == *folder
    }

    fn compiled(&self) -> Compiled {
        let name = format!("generation {}", self.number);
        match &self.folder {
            Some(folder) => compile_kept(&name, &self.text, folder),
            None => unread(format!(
                "{name} was read from files in several folders, and names others by relative paths: it cannot be put to work \
                 again, but by its files"
            )),
        }
    }
}

impl Running {
    /// Keeps the configuration at work in mind, and the keys of its cookies; `by` says what has put it to work.
    pub async fn remember(&self, by: &str, counts: [usize; 3]) {
        self.keep_generation(by, counts).await;
        self.keep_cookie_keys().await;
    }

    /// Lets the keys of sealed cookies rotate, and writes them where there is a folder for state.
    pub async fn keep_cookie_keys(&self) {
        seal::rotate_own();
        let Some(owned) = self.history().owned.clone() else {
            return;
        };
        let kept = on_a_thread(move || {
            if seal::own_secrets().is_empty() {
                return Ok(());
            }
            let wrong = |error: io::Error| format!("{}: {error}", owned.folder.display());
            lock::make(&owned.folder).map_err(wrong)?;
            match owned.take(true).map_err(|it| it.to_string())? {
                true => cookie_keys::keep(&owned.folder).map_err(wrong),
                false => Ok(()),
            }
        });
        if let Err(error) = kept.await.and_then(|it| it) {
            tracing::warn!("keys of sealed cookies cannot be kept: {error}");
        }
    }

    async fn keep_generation(&self, by: &str, counts: [usize; 3]) {
        let installed = self.statistics.installed();
        let (number, plane) = (installed.generation, installed.plane.clone());
        let (by, at) = (by.to_owned(), SystemTime::now());
        let made = on_a_thread(move || Generation {
            number,
            until: number,
            at: at
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64(),
            by,
            counts,
            text: to_native(&plane.snapshot),
            folder: folder(&plane.sources),
        });
        let Ok(made) = made.await else {
            return;
        };
        let change = self.history().add(made);
        let Some(change) = change else {
            return;
        };
        let written = on_a_thread(move || change.write()).await;
        if let Err(error) = written.and_then(|it| it) {
            tracing::warn!("the history cannot be written: {error}");
        }
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept, the latest first.
    pub fn generations(&self) -> Vec<Viewed> {
        let history = self.history();
        let all = (0..history.kept.len()).rev();
        all.filter_map(|at| history.viewed(at)).collect()
    }

    /// The number of the generation that a rollback has put to work; `None`: what the files said is at work.
    pub fn rolled_back_to(&self) -> Option<u64> {
        self.history().rolled_back
    }

    /// Where they are kept beyond the end of the process.
    pub fn state_dir(&self) -> Option<PathBuf> {
        let history = self.history();
        let owned = history.owned.as_ref().filter(|it| !it.is_lost());
        owned.map(|it| it.folder.clone())
    }

    /// What a generation has changed.
    ///
    /// # Errors
    /// In words: it is not kept.
    pub fn generation(&self, number: u64) -> Result<Shown, String> {
        let (viewed, before) = {
            let history = self.history();
            let at = history
                .find(number)
                .ok_or_else(|| history.unknown(number))?;
            let before = at.checked_sub(1).and_then(|at| history.viewed(at));
            (history.viewed(at), before)
        };
        let viewed = viewed.ok_or("it is gone")?;
        let read = |it: &Generation| {
            // Nothing is read from its folder here.
            let compiled = compile_kept("", &it.text, "");
            compiled.snapshot.ok_or("its text is broken")
        };
        let now = read(&viewed.generation)?;
        let was = match &before {
            Some(before) => read(&before.generation)?,
            None => compile_kept("", "", "")
                .snapshot
                .ok_or("nothing is known before it")?,
        };
        let text = |snapshot: &Snapshot| native::print_discreet(&lift(snapshot));
        let old = before.as_ref().map(|_| text(&was)).unwrap_or_default();
        let names = [before.as_ref(), Some(&viewed)];
        let names = names.map(|it| it.map(|it| format!("generation {}", it.generation.numbers())));
        let names = names.map(|it| it.unwrap_or_else(|| "nothing".to_owned()));
        Ok(Shown {
            plan: Plan::between(&was, &now),
            diff: diff::unified((&names[0], &old), (&names[1], &text(&now))),
            before: before.map(|it| it.generation.until),
            viewed,
        })
    }

    /// Puts a generation to work again, as a reload puts what files say. They still say something else afterwards, and the next
    /// reload follows them.
    ///
    /// # Errors
    /// It is not kept, or everything that stands in the way; nothing has changed then.
    pub async fn roll_back(&self, number: u64) -> Result<Reloaded, NotRolledBack> {
        let known = {
            let history = self.history();
            let known = history.find(number).and_then(|at| history.kept.get(at));
            known.cloned().ok_or_else(|| history.unknown(number))
        };
        let known = known.map_err(NotRolledBack::Unknown)?;
        let by = format!("rollback to {number}");
        let read = move || known.compiled();
        let done = self.reload_kept(&by, (number, Arc::new(read))).await;
        let done = done.map_err(|it| NotRolledBack::Failed(Box::new(it)))?;
        tracing::warn!(
            "the files of the configuration say something else than generation {number}, which is at work: the next reload \
             follows them"
        );
        Ok(done)
    }
}

/// Where relative paths begin, if that is one folder.
fn folder(sources: &Sources) -> Option<String> {
    // The next process may begin somewhere else.
    let whole = |it: PathBuf| std::path::absolute(it.join(".")).unwrap_or(it);
    let mut folders: Vec<PathBuf> = folders_of(sources).into_iter().map(whole).collect();
    folders.dedup();
    match folders.as_slice() {
        [] => Some(String::new()),
        [one] => Some(one.display().to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(number: u64, text: &str) -> Generation {
        Generation {
            number,
            until: number,
            at: 1.5,
            by: "start".to_owned(),
            counts: [0; 3],
            text: text.to_owned(),
            folder: Some("/etc".to_owned()),
        }
    }

    fn numbers(history: &History) -> Vec<String> {
        history.kept.iter().map(Generation::numbers).collect()
    }

    #[test]
    fn the_last_are_kept_and_the_same_is_one() {
        let mut history = History::default();
        for number in 1..=30 {
            let text = format!("text {}", number.min(28));
            history.add(generation(number, &text));
        }
        assert_eq!(history.kept.len(), KEPT);
        assert_eq!(history.find(8), None);
        assert_eq!(history.find(9), Some(0));
        assert_eq!(history.find(29), Some(19));
        assert_eq!(numbers(&history).last().map(String::as_str), Some("28–30"));
        assert!(history.unknown(3).contains("there are 9, 10,"));
        history.add(generation(31, &"x".repeat(KEPT_BYTES + 1)));
        assert_eq!(numbers(&history), ["31"]);
    }

    #[test]
    fn the_same_text_of_another_folder_has_a_number_of_its_own() {
        let text = "[listener.a]\nbind = '127.0.0.1:1'\nforward = 'b'\n[target_group.b]\ntargets = '127.0.0.1:2'\n";
        let compiled = |name: &str| crate::sources::compile_text(name, text);
        let mut history = History::default();
        let mut numbers = Vec::new();
        for name in [
            "/etc/a/web.toml",
            "/etc/a/web.toml",
            "/etc/b/web.toml",
            "/etc/a/web.toml",
        ] {
            let compiled = compiled(name);
            let snapshot = compiled.snapshot.expect("it is right");
            let number = history.begin(&snapshot, &compiled.sources);
            history.add(Generation {
                text: to_native(&snapshot),
                folder: folder(&compiled.sources),
                ..generation(number, "")
            });
            numbers.push(number);
        }
        assert_eq!(numbers, [1, 1, 2, 3]);
        assert_eq!(history.kept.len(), 3);
        assert_eq!(history.find(2), Some(1));
    }

    #[test]
    fn a_folder_keeps_them_over_a_restart_and_what_is_broken_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut history = History::open(Some(folder.path().to_owned()), false);
        for number in 1..=KEPT as u64 + 2 {
            let text = format!("# {number}\n[process]\nnode = \"a\"\n");
            let change = history.add(generation(number, &text)).expect("a folder");
            change.write().expect("written");
        }
        let again = || History::open(Some(folder.path().to_owned()), true);
        assert_eq!(again().kept, history.kept);
        let files = || std::fs::read_dir(folder.path().join("generations")).expect("a folder");
        assert_eq!(files().count(), KEPT);
        for file in files() {
            let mode = std::os::unix::fs::MetadataExt::mode(
                &file.expect("a file").metadata().expect("known"),
            );
            assert_eq!(mode & 0o777, 0o600);
        }
        let broken = folder.path().join("generations/00000005.toml");
        std::fs::write(&broken, b"\xff\xfe").expect("written");
        std::fs::write(folder.path().join("generations/x.toml"), "what").expect("written");
        assert_eq!(again().kept.len(), KEPT - 1);
        // Where nothing can be written that is told, and no more.
        let change = store::Change {
            owned: Arc::new(Owned::new("/proc/nowhere".into())),
            written: generation(1, ""),
            gone: Vec::new(),
        };
        assert!(change.write().is_err());
    }
}
