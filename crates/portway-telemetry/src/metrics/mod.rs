//! The one list of metrics, their counters and their text.
//!
//! Each worker counts in a shard of its own: a counter is added to by a load and a store, without a locked instruction and
//! without a cache line that another worker writes. A scrape sums the shards. Nothing is looked up by name while serving:
//! listeners, target groups and targets are numbers, as in the snapshot.
//!
//! The hard thing is a reload: [`Registry::renewed`] makes the registry of the next snapshot and keeps the counters of
//! everything that has the same name there, so that a rate never falls and an exchange that began before the reload
//! brings down the gauge that it raised.
//!
//! Sets of labels are bounded by the configuration and by closed lists; nothing that a client sends becomes a label.

mod cell;
mod compressed;
mod family;
mod figures;
mod handshake;
mod render;
mod retries;
mod rules;
mod shard;
mod target;
mod totals;

use std::collections::HashMap;
use std::sync::Arc;

pub use cell::{
    AVERAGED, Average, BUCKET_BOUNDS, Counter, Gauge, Histogram, Level, LongHistogram,
    SharedCounter,
};
pub use compressed::{Compressed, CompressedTotals};
use family::PerLimit;
pub use family::{Drained, Family, Kind, Limit, NameResult, OcspResult};
pub use figures::{CheckFigures, LogFigures, TableFigures};
pub use handshake::{HandshakeFailure, HandshakeFailures};
pub use render::{
    CertificateFigures, CircuitFigures, MOST_CERTIFICATES, MemoryFigures, NameFigures, PipeFigures,
    ProcessFigures, RevocationListFigures, TargetFigures, TargetHealth,
};
pub use retries::{HeldBody, Retries, RetryReason};
pub use shard::{
    Averages, Failures, GroupMetrics, ListenerMetrics, Proofs, Shard, StatusClasses, TargetMetrics,
    Tokens, WorkerMetrics,
};
pub use target::{Late, MOST_TARGET_HISTOGRAMS, TargetDurations, TargetTls};
pub use totals::{FailureTotals, GroupTotals, ListenerTotals, TargetTotals, Times};

/// The names in a snapshot, by number.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Names of listeners; those of one name count together.
    pub listeners: Vec<String>,
    /// What the rules for requests of each listener are called, the first hundred of them; there may be fewer lists than listeners.
    pub rules: Vec<Vec<String>>,
    /// Target groups.
    pub groups: Vec<GroupNames>,
    /// Codes of the reasons for which a request may be refused, by the number that
    /// [`ListenerMetrics::refused`] is called with.
    pub refusals: Vec<&'static str>,
}

/// The names of one target group.
#[derive(Clone, Debug, Default)]
pub struct GroupNames {
    /// Name of the group.
    pub name: String,
    /// Names of its targets.
    pub targets: Vec<String>,
    /// What its rules for requests are called, the first hundred of them.
    pub rules: Vec<String>,
}

/// What the registry of a next snapshot is to keep beside what has the same name.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Listeners that have another name now, each the new one and the one before.
    pub renamed_listeners: Vec<(String, String)>,
    /// Targets that have another name now: their group, the new name and the one before.
    pub renamed_targets: Vec<(String, String, String)>,
    /// What is no more and may come back: it is counted on, and shown to nobody.
    pub leaving: Names,
}

/// All counters of one snapshot.
#[derive(Debug)]
pub struct Registry {
    names: Names,
    /// What is counted besides, behind those of `names`.
    leaving: Names,
    shards: Vec<Arc<Shard>>,
    process: Arc<ProcessCounters>,
}

/// Counters of what no worker does.
#[derive(Debug, Default)]
pub struct ProcessCounters {
    /// Records that the writer of the access log could not write.
    pub access_log_dropped: SharedCounter,
    /// Reloads that succeeded.
    pub reloads: SharedCounter,
    /// Reloads that changed nothing because something was wrong.
    pub failed_reloads: SharedCounter,
    /// Upgrades that made this process.
    pub upgrades: SharedCounter,
    /// Upgrades after which this process went on.
    pub failed_upgrades: SharedCounter,
    /// Sets of keys that were fetched.
    pub key_fetches: SharedCounter,
    /// Fetches that gave none.
    pub failed_key_fetches: SharedCounter,
    /// Spans that a collector has taken.
    pub spans_sent: SharedCounter,
    /// Spans that it has not.
    pub spans_failed: SharedCounter,
    /// What has left, by what it was.
    pub drains: [DrainCounters; Drained::ALL.len()],
    ocsp_fetches: [SharedCounter; OcspResult::ALL.len()],
    limits: PerLimit<SharedCounter>,
}

/// What was counted of things of one kind that have left.
#[derive(Debug, Default)]
pub struct DrainCounters {
    /// Those of which nothing was left in the end.
    pub ended: SharedCounter,
    /// Those of which something was left at the deadline.
    pub cut_off: SharedCounter,
    /// Connections and requests that were left then.
    pub connections: SharedCounter,
}

impl ProcessCounters {
    /// What is counted of things of a kind that leave.
    pub fn drained(&self, kind: Drained) -> &DrainCounters {
        let [process, listener, target] = &self.drains;
        match kind {
            Drained::Process => process,
            Drained::Listener => listener,
            Drained::Target => target,
        }
    }

    /// Counts that a limit was reached outside of a worker.
    pub fn limit_reached(&self, limit: Limit) {
        if let Some(counter) = self.limits.of(limit) {
            counter.add(1);
        }
    }

    /// Counts that an answer of OCSP was asked for.
    pub fn ocsp_fetched(&self, result: OcspResult) {
        if let Some(counter) = self.ocsp_fetches.get(result as usize) {
            counter.add(1);
        }
    }

    fn ocsp_fetches(&self, result: OcspResult) -> u64 {
        let counter = self.ocsp_fetches.get(result as usize);
        counter.map_or(0, SharedCounter::value)
    }

    fn limit(&self, limit: Limit) -> u64 {
        self.limits.of(limit).map_or(0, SharedCounter::value)
    }
}

impl Registry {
    /// A registry with all counters at 0.
    pub fn new(workers: usize, names: Names) -> Registry {
        let shards = (0..workers)
            .map(|_| Arc::new(Shard::new(&names, Kept::default())))
            .collect();
        Registry {
            names,
            leaving: Names::default(),
            shards,
            process: Arc::default(),
        }
    }

    /// The registry of the next snapshot: with the same counters for what has the same name, new ones for what is new.
    /// Listeners are known by name, targets by the names of their group and their own.
    pub fn renewed(&self, names: Names, past: &Past) -> Registry {
        let mut all = names.clone();
        // So that those of listeners that leave stand behind theirs.
        all.rules.resize(all.listeners.len(), Vec::new());
        all.rules.extend_from_slice(&past.leaving.rules);
        all.listeners.extend_from_slice(&past.leaving.listeners);
        all.groups.extend_from_slice(&past.leaving.groups);
        let shards = self
            .shards
            .iter()
            .map(|shard| Arc::new(Shard::new(&all, self.kept(shard, past))))
            .collect();
        Registry {
            names,
            leaving: past.leaving.clone(),
            shards,
            process: self.process.clone(),
        }
    }

    /// The counters of one worker, for that worker alone. `None` if there are not so many workers.
    pub fn shard(&self, worker: usize) -> Option<Arc<Shard>> {
        self.shards.get(worker).cloned()
    }

    /// Counters of what no worker does.
    pub fn process(&self) -> &Arc<ProcessCounters> {
        &self.process
    }

    /// Records of access logs that were not written.
    pub fn access_log_dropped(&self) -> u64 {
        let workers = self.shards.iter();
        let workers: u64 = workers.map(|it| it.worker.access_log_dropped.value()).sum();
        workers + self.process.access_log_dropped.value()
    }

    /// The names it was made of.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What is counted besides.
    pub fn leaving(&self) -> &Names {
        &self.leaving
    }

    fn kept<'a>(&'a self, shard: &'a Shard, past: &'a Past) -> Kept<'a> {
        let mut kept = Kept {
            worker: Some(&shard.worker),
            ..Kept::default()
        };
        let (names, leaving) = (&self.names, &self.leaving);
        let listeners = names.listeners.iter().chain(&leaving.listeners);
        for (name, metrics) in listeners.zip(&shard.listeners) {
            kept.listeners.insert(name, metrics);
        }
        let owners = names.rules_of_listeners();
        for (owner, rules) in owners.chain(leaving.rules_of_listeners()).zip(&shard.rules) {
            rules.keep(owner, &mut kept.rules);
        }
        let owners = names.rules_of_groups();
        for (owner, rules) in owners
            .chain(leaving.rules_of_groups())
            .zip(&shard.group_rules)
        {
            rules.keep(owner, &mut kept.group_rules);
        }
        let groups = names.groups.iter().chain(&leaving.groups);
        for (names, group) in groups.zip(&shard.groups) {
            kept.groups.insert(&names.name, &group.metrics);
            for (target, metrics) in names.targets.iter().zip(&group.targets) {
                kept.targets.insert((&names.name, target), metrics);
            }
        }
        for (new, old) in &past.renamed_listeners {
            if let Some(known) = kept.listeners.get(old.as_str()).copied() {
                kept.listeners.entry(new).or_insert(known);
            }
        }
        for (group, new, old) in &past.renamed_targets {
            if let Some(known) = kept.targets.get(&(group.as_str(), old.as_str())).copied() {
                kept.targets.entry((group, new)).or_insert(known);
            }
        }
        kept
    }
}

/// What one worker counted before a reload, by name.
#[derive(Default)]
struct Kept<'a> {
    worker: Option<&'a Arc<WorkerMetrics>>,
    listeners: HashMap<&'a str, &'a Arc<ListenerMetrics>>,
    rules: rules::Kept<'a>,
    group_rules: rules::Kept<'a>,
    groups: HashMap<&'a str, &'a Arc<GroupMetrics>>,
    targets: HashMap<(&'a str, &'a str), &'a Arc<TargetMetrics>>,
}

#[cfg(test)]
mod tests;
