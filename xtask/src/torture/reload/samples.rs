//! What a process takes after so many reloads, whether that is flat, and the report.

use std::fs;

use rustix::process::Pid;

use super::super::tally::Tally;
use super::load::Figures;

/// Memory may grow by so many percent, and so many KiB, from the first tenth of a process' life to its end: allocators keep what
/// bursts have left, and what drains is remembered until its deadline.
const GROWTH_PERCENT: u64 = 10;
const GROWTH_KIB: u64 = 6 * 1024;

/// Threads that may have come besides: the runtime of control has some for files, which end when they were idle for a while.
const MORE_THREADS: u64 = 8;

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) all: Vec<Sample>,
}

#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) reloads: u64,
    /// Which process it was: so many have been before.
    process: u64,
    /// KiB.
    pub(super) rss: u64,
    descriptors: u64,
    threads: u64,
}

impl Sample {
    pub(super) fn of(reloads: u64, process: u64, pid: Pid) -> Result<Self, String> {
        let folder = format!("/proc/{}", pid.as_raw_nonzero());
        let status = fs::read_to_string(format!("{folder}/status"));
        let status = status.map_err(|e| format!("portway has ended: {e}"))?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.and_then(|rest| rest.split_whitespace().next());
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        let descriptors = fs::read_dir(format!("{folder}/fd")).map_or(0, Iterator::count);
        Ok(Self {
            reloads,
            process,
            rss: number("VmRSS:"),
            descriptors: descriptors as u64,
            threads: number("Threads:"),
        })
    }
}

impl Samples {
    /// The reloads of the latest.
    pub(super) fn last(&self) -> u64 {
        self.all.last().map_or(0, |it| it.reloads)
    }

    /// True where `sample` has no more descriptors than the first one.
    pub(super) fn holds_no_more(&self, sample: &Sample) -> bool {
        let first = self.all.first();
        first.is_none_or(|it| sample.descriptors <= it.descriptors)
    }

    /// Judges what the load has left: the last sample against the first, and each process against itself under load.
    pub(super) fn judge(&self, tally: &Tally) {
        let most = |kib: u64| kib + kib * GROWTH_PERCENT / 100 + GROWTH_KIB;
        let processes = self.all.last().map_or(0, |it| it.process);
        // The first sample is without load, the last is after it.
        let under_load = self.all.get(1..self.all.len().saturating_sub(1));
        let under_load = under_load.unwrap_or_default();
        for process in 0..=processes {
            let of: Vec<&Sample> = under_load
                .iter()
                .filter(|it| it.process == process)
                .collect();
            // Of a process that took over the first sample is before anybody came.
            let of = if process > 0 {
                of.get(1..).unwrap_or_default()
            } else {
                &of
            };
            if let (Some(first), Some(last)) = (of.first(), of.last())
                && last.rss > most(first.rss)
            {
                tally.fail(format_args!(
                    "memory of process {process} grew from {} to {} KiB under load",
                    first.rss, last.rss
                ));
            }
        }
        if let (Some(first), Some(last)) = (self.all.first(), self.all.last()) {
            if !self.holds_no_more(last) {
                let (now, then) = (last.descriptors, first.descriptors);
                tally.fail(format_args!(
                    "{now} descriptors are open, {then} before the load"
                ));
            }
            if last.threads > first.threads + MORE_THREADS {
                let (now, then) = (last.threads, first.threads);
                tally.fail(format_args!("{now} threads, {then} before the load"));
            }
        }
    }

    pub(super) fn report(
        &self,
        counts: &[(&str, u64)],
        figures: &Figures,
        texts: &[String],
        json: bool,
    ) {
        if json {
            let samples: Vec<serde_json::Value> = self.all.iter().map(Sample::json).collect();
            let mut all = serde_json::Map::new();
            for (name, count) in counts {
                all.insert((*name).to_owned(), (*count).into());
            }
            all.insert("wrk".to_owned(), figures.json());
            all.insert("samples".to_owned(), samples.into());
            all.insert("failures_in_words".to_owned(), texts.to_vec().into());
            println!("{:#}", serde_json::Value::from(all));
            return;
        }
        for (name, count) in counts {
            println!("torture: {:<32}{count:>14}", name.replace('_', " "));
        }
        println!("torture: {}", figures.line());
        println!(
            "torture: {:>8} {:>8} {:>10} {:>12} {:>8}",
            "reloads", "process", "KiB", "descriptors", "threads"
        );
        for it in &self.all {
            println!(
                "torture: {:>8} {:>8} {:>10} {:>12} {:>8}",
                it.reloads, it.process, it.rss, it.descriptors, it.threads
            );
        }
    }
}

impl Sample {
    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "reloads": self.reloads, "process": self.process, "rss_kib": self.rss,
            "descriptors": self.descriptors, "threads": self.threads,
        })
    }
}
