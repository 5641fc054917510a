//! The shapes of `/history`: the last good configurations, and what one of them has changed.
//!
//! Fields may be added; a field that is here keeps its name and meaning.

use portway_control::history::{self, KEPT};
use portway_control::install::Running;
use serde::{Deserialize, Serialize};

use crate::json::{self, Counts, Step};

/// What is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The latest first.
    pub generations: Vec<Generation>,
    /// So many are kept at most.
    pub kept: usize,
    /// The one that a rollback has put to work, while the files say something else; left out where what they say is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<u64>,
    /// Where they stand in files too, beyond the end of the process (`--state-dir`); left out where they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<String>,
}

/// A configuration that was at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// The last number that says the same.
    pub until: u64,
    /// When it was put to work, seconds since 1970.
    pub at: f64,
    /// By what: `start`, `upgrade`, `SIGHUP`, `portway reload`, `rollback to 3`, …
    pub by: String,
    /// How many objects it has changed.
    pub counts: Counts,
    /// It is at work.
    pub at_work: bool,
}

/// What a generation has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// It.
    pub generation: Generation,
    /// The number of the one before it; `null`: that is not kept, and all of it is new.
    pub before: Option<u64>,
    /// What leads to it from there.
    pub plan: Vec<Step>,
    /// The same as a unified difference of the native texts, without secrets.
    pub diff: String,
}

impl History {
    /// All that is kept.
    pub fn of(running: &Running) -> Self {
        let all = running.generations().into_iter();
        Self {
            generations: all.map(Generation::from).collect(),
            kept: KEPT,
            rolled_back_to: running.rolled_back_to(),
            state_dir: running.state_dir().map(|it| it.display().to_string()),
        }
    }
}

impl From<history::Viewed> for Generation {
    fn from(it: history::Viewed) -> Self {
        let history::Viewed {
            generation,
            is_at_work,
        } = it;
        let [add, change, remove] = generation.counts;
        Self {
            number: generation.number,
            until: generation.until,
            at: (generation.at * 1000.0).round() / 1000.0,
            by: generation.by,
            counts: Counts {
                add,
                change,
                remove,
            },
            at_work: is_at_work,
        }
    }
}

impl From<history::Shown> for Shown {
    fn from(it: history::Shown) -> Self {
        Self {
            generation: it.viewed.into(),
            before: it.before,
            plan: json::steps(&it.plan),
            diff: it.diff,
        }
    }
}
