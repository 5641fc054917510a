//! What a process tells whoever supervises it, and how that is known to be true: that it serves, reads its configuration again, ends,
//! or has left its place to another; and whether its workers still move.

use std::time::{Duration, Instant};

use crate::running::Running;

/// A worker ticks ten times a second: one that has not for so long hangs, however often somebody looks.
const NO_PULSE: Duration = Duration::from_millis(500);

/// What a process is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// It serves. What there is to say of it, on a line.
    Serving(String),
    /// It reads its configuration again.
    Reloading,
    /// It ends. What there is to say of that, on a line.
    Stopping(String),
    /// The process of this number serves in its place.
    LeftTo(u32),
}

/// Tells it.
pub type Supervisor = Box<dyn Fn(Doing) + Send + Sync>;

/// What was seen of workers when somebody looked last: their ticks, and since when they stand so.
#[derive(Debug, Default)]
pub struct Pulses(Vec<(u64, Instant)>);

impl Running {
    /// From now on this one is told what the process is doing. The first counts.
    pub fn is_supervised_by(&self, supervisor: Supervisor) {
        drop(self.supervisor.set(supervisor));
    }

    pub(crate) fn tell_supervisor(&self, doing: Doing) {
        if let Some(supervisor) = self.supervisor.get() {
            supervisor(doing);
        }
    }

    /// What it does, on a line.
    pub fn in_short(&self) -> String {
        let installed = self.statistics.installed();
        let plural = |count: usize, noun: &str| match count {
            1 => format!("1 {noun}"),
            count => format!("{count} {noun}s"),
        };
        format!(
            "serves {} with {}, configuration {}",
            plural(installed.plane.snapshot.listeners.len(), "listener"),
            plural(self.workers, "worker"),
            installed.generation
        )
    }

    /// The workers that do not move, by their numbers from 1 on: none where all is well, or the process is ending.
    pub fn hanging_workers(&self, seen: &mut Pulses) -> Vec<usize> {
        if self.threads().is_none() {
            return Vec::new();
        }
        let now = Instant::now();
        let installed = self.statistics.installed();
        let shards = (0..self.workers).filter_map(|it| installed.plane.metrics.shard(it));
        let mut hanging = Vec::new();
        for (at, shard) in shards.enumerate() {
            let ticks = shard.worker().ticks.value();
            match seen.0.get_mut(at) {
                Some((known, since)) if *known == ticks => {
                    if now.duration_since(*since) >= NO_PULSE {
                        hanging.push(at + 1);
                    }
                }
                Some(known) => *known = (ticks, now),
                None => seen.0.push((ticks, now)),
            }
        }
        hanging
    }
}
