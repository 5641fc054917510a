//! What drains: listeners and targets that a reload has taken away or that were told to, and the process.
//!
//! When something is due, [`portway_core::drain`] says; here is what is left of each thing, and what its steps mean. One task
//! looks ten times a second while anything drains. What comes back while it drains is taken back: `Leaving` is what a reload looks
//! for it in.

mod handed;
mod last;
mod ordered;
mod process;
mod time;
mod told;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use portway_core::drain::{Drain, State, Step, Terms};
use portway_core::health::HealthState;
use portway_dataplane::live::{Gate, Health, ProcessState};
use portway_dataplane::plane::{GroupParts, ListenerKey, ListenerParts};
use portway_dataplane::sessions::{Wanted, Whom};
use portway_model::name::Name;
use portway_model::snapshot::{Listener, TargetGroup};
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::{Drained, GroupNames, Names, ProcessCounters};
use tokio::sync::Notify;

use crate::figures::Installed;
use crate::operations::TargetOrder;
use crate::targets::WatchedTarget;
use crate::upgrade::Earlier;
use handed::Elsewhere;
pub(crate) use handed::HandedDrains;
pub(crate) use last::LastTimes;
pub(crate) use ordered::OrderedListener;
use process::OfProcess;
pub(crate) use process::{Again, Return};
pub(crate) use time::delay_of;
pub(crate) use told::{Heard, Told};

/// How often it is looked what is left.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// What was told to drain and is no more is told of for so long after its end: somebody may wait for that.
const TOLD_FOR: Duration = Duration::from_secs(3);
/// What has just come to a listener that goes has so long for its first request: it is probably on its way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// A listener that is no more.
#[derive(Clone)]
pub(crate) struct GoneListener {
    pub(crate) listener: Arc<Listener>,
    pub(crate) parts: Arc<ListenerParts>,
    /// What judges its clients.
    pub(crate) judges: String,
    /// What it was before other files judged them.
    formers: Vec<ListenerKey>,
}

impl GoneListener {
    fn order(&self, process: &ProcessState, wanted: Wanted) {
        let keys = self.formers.iter().chain(std::iter::once(&self.parts.key));
        keys.for_each(|key| process.roll_call.order(Whom::OfListener(*key), wanted));
    }
}

/// A target that is no more.
#[derive(Clone)]
pub(crate) struct GoneTarget {
    pub(crate) group: Arc<TargetGroup>,
    pub(crate) parts: Arc<GroupParts>,
    pub(crate) target: Arc<WatchedTarget>,
    /// Its group is no more either: who waits there may be served there.
    with_group: bool,
}

impl GoneTarget {
    fn look_for_group(&mut self, now: &Installed) {
        let mut groups = now.plane.groups.iter();
        self.with_group = !groups.any(|it| Arc::ptr_eq(&it.state, &self.parts.state));
    }
}

/// What is no more, and drains.
#[derive(Clone, Default)]
pub(crate) struct Leaving {
    pub(crate) listeners: Vec<GoneListener>,
    pub(crate) targets: Vec<GoneTarget>,
    /// Listeners that others have become, each with the other.
    pub(crate) rejudged: Vec<(ListenerKey, ListenerKey)>,
}

/// One thing that drains, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draining {
    /// What it is.
    pub kind: Drained,
    /// Its name; of a target `GROUP/TARGET`; empty for the process.
    pub name: String,
    /// The group of a target.
    pub group: Option<String>,
    /// What is left of it: connections; of a target requests or TCP connections.
    pub left: u64,
    /// Since when.
    pub since: SystemTime,
    /// When what is left is cut off; `None`: never.
    pub until: Option<SystemTime>,
    /// Who wants it.
    pub by: By,
    /// Where it stands.
    pub stage: Stage,
    /// How many were cut off at its deadline.
    pub cut_off: u64,
    /// What a command called it that has told it to drain, where a reload has given it another name since.
    pub ordered_as: Option<String>,
}

/// Who wants something to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A configuration that does not have it any more.
    Reload,
    /// A command.
    Command,
    /// A stop of the process.
    Stop,
}

impl By {
    /// The word in status.
    pub const fn word(self) -> &'static str {
        match self {
            By::Reload => "reload",
            By::Command => "command",
            By::Stop => "stop",
        }
    }
}

/// Where something that drains stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It takes what comes for a while, and says that it leaves.
    Leaving,
    /// It takes nothing new.
    Draining,
    /// Nothing is left.
    Drained,
}

impl Stage {
    /// The word in status.
    pub const fn word(self) -> &'static str {
        match self {
            Stage::Leaving => "leaving",
            Stage::Draining => "draining",
            Stage::Drained => "drained",
        }
    }
}

/// All that drains in a process.
pub(crate) struct Drains {
    /// Moments count from here.
    zero: (Instant, SystemTime),
    process: Arc<ProcessState>,
    counters: Arc<ProcessCounters>,
    entries: Mutex<Vec<Entry>>,
    of_process: OfProcess,
    /// Processes that have served before this one.
    pub(crate) earlier: Earlier,
    /// See [`Self::groups`].
    groups: Mutex<HashSet<Name>>,
    more: Notify,
}

struct Entry {
    thing: Thing,
    since: Duration,
    /// When it takes nothing new any more.
    closes_at: Duration,
    drain: Drain,
    /// When connections that rest are closed once more.
    rests_at: Duration,
    /// Something was left when it was looked for the first time.
    told: bool,
    /// How many were cut off.
    cut_off: u64,
    /// What the processes before this one have of it.
    elsewhere: Vec<Elsewhere>,
    /// What a command called it that has told it to drain; `None`: a reload has taken it away, or the process stops.
    ordered_as: Option<String>,
    /// When it was over, where it is no more and somebody may wait for that.
    over_at: Option<Duration>,
    /// Processes before this one are to hear of it first: see [`Earlier::ask`].
    asked: u64,
    /// The process that serves in place of this one has said it.
    is_told_of: bool,
}

enum Thing {
    Process,
    Listener(GoneListener),
    Target(GoneTarget),
    /// By a command: it is there, and out of service until another command.
    OrderedListener(OrderedListener),
    OrderedTarget(Arc<WatchedTarget>),
}

impl Thing {
    fn kind(&self) -> Drained {
        match self {
            Thing::Process => Drained::Process,
            Thing::Listener(_) | Thing::OrderedListener(_) => Drained::Listener,
            Thing::Target(_) | Thing::OrderedTarget(_) => Drained::Target,
        }
    }

    /// Begins what it is told.
    fn leave(&self) {
        match self {
            Thing::OrderedListener(it) => it.state.set_leaving(true),
            Thing::OrderedTarget(it) => it.order(TargetOrder::Drain),
            Thing::Process | Thing::Listener(_) | Thing::Target(_) => {}
        }
    }

    /// Takes nothing new from now on.
    fn close(&self) {
        if let Thing::OrderedListener(it) = self {
            it.state.set_gate(Gate::Paused);
        }
    }

    /// Puts it to work again.
    fn come_back(&self) {
        match self {
            Thing::OrderedListener(it) => {
                it.state.set_leaving(false);
                it.state.set_gate(Gate::Open);
            }
            Thing::OrderedTarget(it) => it.order(TargetOrder::Ready),
            Thing::Process | Thing::Listener(_) | Thing::Target(_) => {}
        }
    }

    /// Somebody has put it to work by other means: HAProxy's control socket.
    fn is_back(&self, accepts: bool) -> bool {
        match self {
            Thing::OrderedListener(it) => !accepts && it.state.gate() == Gate::Open,
            Thing::OrderedTarget(it) => {
                !matches!(it.state_now(), HealthState::Draining | HealthState::Unused)
            }
            Thing::Process | Thing::Listener(_) | Thing::Target(_) => false,
        }
    }

    fn is_process(&self) -> bool {
        matches!(self, Thing::Process)
    }

    fn name(&self) -> String {
        match self {
            Thing::Process => String::new(),
            Thing::Listener(it) => it.listener.name.to_string(),
            Thing::Target(it) => format!("{}/{}", it.group.name, it.target.target.name),
            Thing::OrderedListener(it) => it.name.to_string(),
            Thing::OrderedTarget(it) => format!("{}/{}", it.group, it.target.name),
        }
    }

    fn group(&self) -> Option<String> {
        match self {
            Thing::Process | Thing::Listener(_) | Thing::OrderedListener(_) => None,
            Thing::Target(it) => Some(it.group.name.to_string()),
            Thing::OrderedTarget(it) => Some(it.group.to_string()),
        }
    }

    fn left(&self, process: &ProcessState) -> u64 {
        match self {
            Thing::Process => process.open_connections().into(),
            Thing::Listener(it) => it.parts.entrance.open_connections().into(),
            Thing::Target(it) => {
                let waiting = if it.with_group {
                    it.parts.state.waiting()
                } else {
                    0
                };
                u64::from(it.target.state.in_flight()) + u64::from(waiting)
            }
            Thing::OrderedListener(it) => it.state.open_connections().into(),
            Thing::OrderedTarget(it) => it.state.in_flight().into(),
        }
    }

    fn cut_off(&self, process: &ProcessState) {
        match self {
            // Its workers do it.
            Thing::Process => {}
            Thing::Listener(it) => it.order(process, Wanted::CutOff),
            Thing::OrderedListener(it) => it.order(process, Wanted::CutOff),
            Thing::OrderedTarget(it) => it.state.cut_off(process),
            Thing::Target(it) => {
                // Nobody begins there any more who has waited for it since.
                it.target.state.set_health(Health::Unused);
                it.target.state.cut_off(process);
                if it.with_group {
                    it.parts.state.dismiss();
                }
            }
        }
    }
}

impl Drains {
    pub(crate) fn new(process: Arc<ProcessState>, counters: Arc<ProcessCounters>) -> Self {
        Self {
            zero: (Instant::now(), SystemTime::now()),
            process,
            counters,
            of_process: OfProcess::default(),
            earlier: Earlier::default(),
            entries: Mutex::default(),
            groups: Mutex::default(),
            more: Notify::new(),
        }
    }

    /// What a reload has taken away and is not gone yet.
    pub(crate) fn leaving(&self) -> Leaving {
        let mut leaving = Leaving::default();
        for entry in self.entries().iter().filter(|it| it.drain.is_leaving()) {
            match &entry.thing {
                Thing::Process | Thing::OrderedListener(_) | Thing::OrderedTarget(_) => {}
                Thing::Listener(it) => leaving.listeners.push(it.clone()),
                Thing::Target(it) => leaving.targets.push(it.clone()),
            }
        }
        leaving
    }

    /// These are no more: what is in progress on them has so long. What is at work now is taken back; the listeners that those had
    /// become, each with the one that it is now.
    pub(crate) fn follow(
        &self,
        gone: Leaving,
        (before, now): (&Installed, &Installed),
        deadline: Duration,
    ) -> Vec<(ListenerKey, ListenerKey)> {
        // What somebody has put back to work by other means is so.
        self.look();
        let excepted = self.excepted(before);
        let became = self.take_back(now);
        self.keep_orders(&gone, &excepted, now, deadline);
        for entry in self.entries().iter_mut() {
            if let Thing::Target(it) = &mut entry.thing {
                it.look_for_group(now);
            }
        }
        let listeners = gone.listeners.into_iter().map(Thing::Listener);
        let targets = gone.targets.into_iter().map(|mut it| {
            it.look_for_group(now);
            Thing::Target(it)
        });
        let things = listeners.chain(targets);
        for thing in things {
            let known = self.entries().iter().any(|it| it.thing.is(&thing));
            if !known {
                let terms = thing.terms(now, deadline);
                self.begin(thing, terms);
            }
        }
        self.look();
        self.more.notify_one();
        became
    }

    fn take_back(&self, now: &Installed) -> Vec<(ListenerKey, ListenerKey)> {
        let mut became = Vec::new();
        let is_back = |thing: &Thing| match thing {
            Thing::Process | Thing::OrderedListener(_) | Thing::OrderedTarget(_) => false,
            Thing::Listener(it) => {
                let mut listeners = now.plane.listeners.iter();
                listeners.any(|other| other.key == it.parts.key)
            }
            Thing::Target(it) => {
                let mut targets = now.targets.iter().flat_map(|it| it.iter());
                targets.any(|other| Arc::ptr_eq(&other.state, &it.target.state))
            }
        };
        let mut entries = self.entries();
        let back: Vec<Entry> = entries.extract_if(.., |it| is_back(&it.thing)).collect();
        for mut entry in back {
            if let Thing::Listener(it) = &entry.thing {
                became.extend(it.formers.iter().map(|former| (*former, it.parts.key)));
            }
            // What was told to drain goes on doing so.
            match entry
                .ordered_as
                .as_ref()
                .and_then(|_| entry.thing.ordered(now))
            {
                Some(thing) if entries.iter().any(|it| it.thing.is(&thing)) => {}
                Some(thing) => {
                    entry.thing = thing;
                    entries.push(entry);
                }
                None => {
                    entry.drain.take_back();
                    self.tell_of_return(&entry.thing);
                }
            }
        }
        became
    }

    fn begin(&self, thing: Thing, terms: Terms) {
        let now = self.now();
        let ordered_as = thing.is_ordered().then(|| thing.name());
        let mut drain = Drain::default();
        drain.begin(now, terms);
        let mut entries = self.entries();
        // Under the lock: what is asked for is what is there.
        let asked = self.earlier.ask();
        entries.push(Entry {
            thing,
            since: now,
            closes_at: now.saturating_add(terms.leave),
            drain,
            rests_at: now,
            told: false,
            cut_off: 0,
            elsewhere: Vec::new(),
            ordered_as,
            over_at: None,
            asked,
            is_told_of: false,
        });
    }

    fn order(&self, thing: Thing, terms: Terms) {
        thing.leave();
        self.begin(thing, terms);
    }

    /// A listener is told to drain; where it drains already it has these terms from now on.
    pub(crate) fn order_listener(&self, it: OrderedListener, terms: Terms) {
        // What somebody has put back to work by other means begins anew.
        self.look();
        let name = it.name.clone();
        let is_it = |thing: &Thing| matches!(thing, Thing::OrderedListener(it) if it.name == name);
        if !self.begin_again(is_it, terms) {
            self.order(Thing::OrderedListener(it), terms);
        }
        self.look();
        self.more.notify_one();
    }

    /// The same of a target.
    pub(crate) fn order_target(&self, it: &Arc<WatchedTarget>, terms: Terms) {
        self.look();
        let is_it =
            |thing: &Thing| matches!(thing, Thing::OrderedTarget(other) if Arc::ptr_eq(it, other));
        if !self.begin_again(is_it, terms) {
            self.order(Thing::OrderedTarget(it.clone()), terms);
        }
        self.look();
        self.more.notify_one();
    }

    fn begin_again(&self, is_it: impl Fn(&Thing) -> bool, terms: Terms) -> bool {
        let now = self.now();
        let mut entries = self.entries();
        let Some(entry) = entries.iter_mut().find(|it| is_it(&it.thing)) else {
            return false;
        };
        if entry.drain.is_leaving() {
            entry.drain.begin(now, terms);
            entry.asked = self.earlier.ask();
        }
        true
    }

    /// Groups that are told to drain: targets that come to them drain too.
    pub(crate) fn groups(&self) -> MutexGuard<'_, HashSet<Name>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told to drain so is at work again. False where nothing was.
    pub(crate) fn take_back_ordered(&self, kind: Drained, is_it: impl Fn(&str) -> bool) -> bool {
        let is_meant =
            |thing: &Thing| thing.is_ordered() && thing.kind() == kind && is_it(&thing.name());
        let mut entries = self.entries();
        let mut found = false;
        for entry in entries.extract_if(.., |it| is_meant(&it.thing)) {
            entry.thing.come_back();
            self.tell_of_return(&entry.thing);
            found = true;
        }
        found
    }

    fn tell_of_return(&self, thing: &Thing) {
        emit(&Event::DrainTakenBack {
            kind: thing.kind().word(),
            name: &thing.name(),
            left: thing.left(&self.process),
        });
    }

    /// Looks again and again, while anything drains.
    pub(crate) async fn keep_looking(self: Arc<Self>) {
        loop {
            if self.entries().is_empty() {
                self.more.notified().await;
            }
            self.look();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Does what is due.
    pub(crate) fn look(&self) {
        let now = self.now();
        self.entries().retain_mut(|entry| match entry.thing {
            // Whoever stops it looks after that.
            Thing::Process => true,
            Thing::Listener(_) | Thing::Target(_) => {
                self.look_at(entry, now);
                if entry.drain.is_leaving() {
                    return true;
                }
                let over_at = *entry.over_at.get_or_insert(now);
                entry.ordered_as.is_some() && now < over_at + TOLD_FOR
            }
            Thing::OrderedListener(_) | Thing::OrderedTarget(_) => {
                let accepts = entry.drain.accepts();
                if entry.thing.is_back(accepts) {
                    if let Thing::OrderedListener(it) = &entry.thing {
                        it.state.set_leaving(false);
                    }
                    self.tell_of_return(&entry.thing);
                    return false;
                }
                self.look_at(entry, now);
                true
            }
        });
    }

    /// Does what is due of one.
    fn look_at(&self, entry: &mut Entry, now: Duration) {
        if entry.ordered_as.is_some() {
            if !self.earlier.have_heard(entry.asked) {
                return;
            }
            entry.look_elsewhere(now);
        }
        let left = entry.left(&self.process);
        let (kind, name) = (entry.thing.kind(), entry.thing.name());
        let (word, name) = (kind.word(), name.as_str());
        while let Some(step) = entry.drain.look(now, left) {
            let counters = self.counters.drained(kind);
            if step == Step::Close {
                entry.thing.close();
            } else if let Thing::OrderedTarget(it) = &entry.thing
                && !self.of_process.has_closed()
            {
                // Those that stickiness has kept there go elsewhere from now on.
                it.order(TargetOrder::Maintain);
            }
            match step {
                Step::Close if left == 0 => {}
                Step::Close => {
                    entry.told = true;
                    let until = entry.drain.until();
                    let deadline = until.map(|until| until.saturating_sub(entry.closes_at));
                    emit(&Event::DrainStarted {
                        kind: word,
                        name,
                        left,
                        deadline,
                    });
                }
                // Nobody has heard of it.
                Step::Ended(_) if !entry.told => {}
                Step::Ended(after) => {
                    counters.ended.add(1);
                    emit(&Event::DrainEnded {
                        kind: word,
                        name,
                        after,
                    });
                }
                Step::CutOff(after) => {
                    counters.cut_off.add(1);
                    counters.connections.add(left);
                    entry.cut_off = left;
                    entry.thing.cut_off(&self.process);
                    emit(&Event::DrainCutOff {
                        kind: word,
                        name,
                        after,
                        left,
                    });
                }
            }
        }
        if entry.drain.accepts() || left == 0 || now < entry.rests_at {
            return;
        }
        let first = now >= entry.closes_at + FIRST_REQUEST;
        entry.rests_at = now + FIRST_REQUEST;
        match &entry.thing {
            Thing::Listener(it) => it.order(&self.process, Wanted::Rest { first }),
            Thing::OrderedListener(it) => it.order(&self.process, Wanted::Rest { first }),
            Thing::Process | Thing::Target(_) | Thing::OrderedTarget(_) => {}
        }
    }

    /// What drains, as people see it.
    pub(crate) fn all(&self) -> Vec<Draining> {
        let wall = |moment| self.zero.1.checked_add(moment);
        let entries = self.entries();
        let all = entries.iter().map(|entry| Draining {
            kind: entry.thing.kind(),
            name: entry.thing.name(),
            group: entry.thing.group(),
            left: entry.left(&self.process),
            since: wall(entry.since).unwrap_or(self.zero.1),
            until: entry.drain.until().and_then(wall),
            by: entry.by(),
            stage: match entry.drain.state() {
                State::AtWork | State::Leaving { .. } => Stage::Leaving,
                State::Draining { .. } => Stage::Draining,
                State::Ended | State::CutOff => Stage::Drained,
            },
            cut_off: entry.cut_off,
            ordered_as: entry
                .ordered_as
                .clone()
                .filter(|it| *it != entry.thing.name()),
        });
        all.collect()
    }

    /// What is left of all of a kind, by [`Drained`].
    pub(crate) fn left(&self) -> [u64; Drained::ALL.len()] {
        let all = self.all();
        Drained::ALL.map(|kind| {
            let of_kind = all.iter().filter(|it| it.kind == kind);
            of_kind.map(|it| it.left).sum()
        })
    }

    fn now(&self) -> Duration {
        self.zero.0.elapsed()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leaving {
    /// What has left with the step from one configuration to another, whose listeners have these keys.
    pub(crate) fn of(
        before: &Installed,
        keys: &[ListenerKey],
        gone: &[Arc<WatchedTarget>],
    ) -> Self {
        let snapshot = &before.plane.snapshot;
        let keys: HashSet<&ListenerKey> = keys.iter().collect();
        let gone: HashSet<*const WatchedTarget> = gone.iter().map(Arc::as_ptr).collect();
        let listeners = snapshot.listeners.iter().zip(&before.plane.listeners);
        let judges = before.judges.iter().cloned();
        let listeners = listeners.zip(judges.chain(std::iter::repeat(String::new())));
        let listeners = listeners.filter(|((_, parts), _)| !keys.contains(&parts.key));
        let listeners = listeners.map(|((listener, parts), judges)| GoneListener {
            listener: listener.clone(),
            parts: parts.clone(),
            judges,
            formers: Vec::new(),
        });
        let of_groups = snapshot.groups.iter().zip(&before.plane.groups);
        let of_groups = of_groups.zip(&before.targets);
        let targets = of_groups.flat_map(|((group, parts), targets)| {
            let targets = targets.iter();
            let targets = targets.filter(|it| gone.contains(&Arc::as_ptr(it)));
            targets.map(move |target| GoneTarget {
                group: group.clone(),
                parts: parts.clone(),
                target: target.clone(),
                with_group: false,
            })
        });
        Self {
            listeners: listeners.collect(),
            targets: targets.collect(),
            rejudged: Vec::new(),
        }
    }

    /// Leaves out listeners that have not gone; with one that has, those go that it was before.
    pub(crate) fn keep(&mut self, gone: &[ListenerKey], rejudged: &[(ListenerKey, ListenerKey)]) {
        self.listeners.retain(|it| gone.contains(&it.parts.key));
        for it in &mut self.listeners {
            let mut keys = vec![it.parts.key];
            let mut at = 0;
            while let Some(key) = keys.get(at).copied() {
                at += 1;
                let became = rejudged.iter().filter(|(_, now)| *now == key);
                keys.extend(became.map(|(former, _)| *former));
            }
            it.formers = keys.split_off(1);
        }
    }

    /// What counts on, and under which names.
    pub(crate) fn names(&self) -> Names {
        let listeners = self.listeners.iter();
        let groups = self.targets.iter().map(|it| GroupNames {
            name: it.group.name.to_string(),
            targets: vec![it.target.target.name.to_string()],
            rules: Vec::new(),
        });
        Names {
            listeners: listeners
                .map(|it| it.listener.known_as.to_string())
                .collect(),
            groups: groups.collect(),
            ..Names::default()
        }
    }

    /// The parts of a group that is no more but for targets that drain.
    pub(crate) fn group(&self, group: &TargetGroup) -> Option<(&TargetGroup, &GroupParts)> {
        let mut targets = self.targets.iter();
        let found = targets.find(|it| it.group.name == group.name)?;
        Some((&found.group, &found.parts))
    }
}
