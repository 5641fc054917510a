//! Servers that come and go by commands of a control socket, while exchanges go on.
//!
//! `TargetsPlan` compares two snapshots; `apply` makes everything that can fail, then swaps what control and workers
//! look at. A target that is in both keeps its live state (health, counters, connections, whoever waits for it); one that
//! is new begins in maintenance; one that is gone ends what looks after it. [`Running::add_server`] and
//! [`Running::remove_server`] compile the texts anew with one server more or less, so that a server means what it would
//! mean in the text. Everything else changes by a reload ([`crate::reload`]).

use std::sync::{Arc, PoisonError};

use portway_core::health::HealthState;
use portway_dataplane::plane::{GroupParts, ListenerKey};
use portway_dataplane::support;
use portway_model::choice::{Algorithm, HashMethod};
use portway_model::diagnostic::{Diagnostic, Diagnostics, Severity};
use portway_model::snapshot::{Listener, Snapshot, Target, TargetGroup, TargetTls};
use portway_model::span::{FileId, Sources};
use portway_telemetry::metrics::Past;
use rustls_pki_types::UnixTime;

use crate::bind::Held;
use crate::certificates::{self, GroupTls};
use crate::drains::GoneListener;
use crate::figures::Installed;
use crate::health;
use crate::outliers;
use crate::parts;
use crate::planning::Adjust;
use crate::reload::{Reader, on_a_thread};
use crate::resolve;
use crate::running::Running;
use crate::sources::{Compiled, Reading, ServerChange, compile_changed};
use crate::targets::{Targets, WatchedTarget};
use crate::targets_plan::{GroupPlan, TargetsPlan};
use crate::tidings;
use crate::tls::tickets::TicketKeys;

/// The next of a group: what `next` says of targets that are new, and of others what is at work. The process may have been
/// told something else than its texts say when it began.
fn together(live: &TargetGroup, next: &TargetGroup, kept: &[Option<usize>]) -> TargetGroup {
    let (tls, protocol) = match &live.tls {
        Some(tls) => (Some(tls.clone()), live.protocol),
        None => (next.tls.clone(), next.protocol),
    };
    let new = |target: &Target| Target {
        tls: match next.tls_of(target) {
            None => TargetTls::Off,
            Some(own) if Some(own) == tls.as_ref() => TargetTls::Group,
            Some(own) => TargetTls::Own(Box::new(own.clone())),
        },
        ..target.clone()
    };
    let stays = |known: &Target, target: &Target| Target {
        tls: match &known.tls {
            TargetTls::Group if live.tls.is_none() => TargetTls::Off,
            tls => tls.clone(),
        },
        send_proxy: target.send_proxy.clone(),
        track: target.track,
        ..known.clone()
    };
    let places = next.targets.iter().zip(kept);
    let targets = places.map(|(target, place)| {
        let known = place.and_then(|place| live.targets.get(place));
        known.map_or_else(|| new(target), |known| stays(known, target))
    });
    TargetGroup {
        targets: targets.collect(),
        tls: tls.clone(),
        protocol,
        ..next.clone()
    }
}

/// What changes are made of.
pub(crate) struct Changing {
    sources: Sources,
    /// How they were read.
    reading: Reading,
    tickets: Arc<TicketKeys>,
    /// Servers that came and went since the texts were read; one that came and went is not among them.
    changes: Vec<ServerChange>,
    /// What all of that says; made when it is first asked for.
    said: Option<Arc<Snapshot>>,
    /// The addresses that are listened on.
    held: Held,
    /// How many listeners there have been.
    listeners: u64,
    /// Listeners whose clients were judged by other CAs, each with the one that it became.
    rejudged: Vec<(ListenerKey, ListenerKey)>,
    /// Reads the texts again.
    reader: Option<Reader>,
    /// What the command line makes of a configuration.
    adjust: Option<Adjust>,
}

impl Changing {
    pub(crate) fn new(
        sources: Sources,
        tickets: Arc<TicketKeys>,
        held: Held,
        listeners: u64,
    ) -> Self {
        Self {
            sources,
            reading: Reading::default(),
            tickets,
            changes: Vec::new(),
            said: None,
            held,
            listeners,
            rejudged: Vec::new(),
            reader: None,
            adjust: None,
        }
    }

    /// The texts are read again so.
    pub(crate) fn is_read_by(&mut self, reader: Reader) {
        self.reader = Some(reader);
    }

    /// The command line makes this of a configuration.
    pub(crate) fn is_adjusted_by(&mut self, adjust: Adjust) {
        self.adjust = Some(adjust);
    }

    /// What the command line makes of a configuration.
    pub(crate) fn adjust(&self) -> Option<Adjust> {
        self.adjust.clone()
    }

    /// What reads the texts again.
    pub(crate) fn reader(&self) -> Option<Reader> {
        self.reader.clone()
    }

    /// What tickets of TLS are made with.
    pub(crate) fn tickets(&self) -> &Arc<TicketKeys> {
        &self.tickets
    }

    /// The addresses that are listened on.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// Which listeners those of the next configuration are.
    pub(crate) fn keys(
        &mut self,
        before: &Installed,
        leaving: &[GoneListener],
        next: (&Snapshot, &[String]),
    ) -> Vec<ListenerKey> {
        parts::keys(Some(before), leaving, next, &mut self.listeners)
    }

    /// The listeners that `next` has no more, by `keys` of what it has. One whose clients are judged by other files, and which says
    /// the same, is not gone: what is in progress on it goes on until it is gone itself.
    pub(crate) fn gone(
        &mut self,
        before: &Installed,
        next: &Snapshot,
        keys: &[ListenerKey],
    ) -> Vec<ListenerKey> {
        let clients = |it: &Listener| it.tls.as_ref().map(|tls| tls.clients.clone());
        let known = before.plane.snapshot.listeners.iter();
        let known = known.zip(before.plane.listeners.iter().map(|it| it.key));
        let mut gone = Vec::new();
        for (listener, key) in known.filter(|(_, key)| !keys.contains(key)) {
            let is_it = |it: &Listener| {
                let says = (&it.name, it.protocol) == (&listener.name, listener.protocol);
                says && clients(it).is_some() && clients(it) == clients(listener)
            };
            let mut same = next.listeners.iter().zip(keys);
            match same.find(|(it, _)| is_it(it)) {
                Some((_, now)) => self.rejudged.push((key, *now)),
                None => gone.push(key),
            }
        }
        let mut at = 0;
        while let Some(key) = gone.get(at).copied() {
            at += 1;
            self.rejudged.retain(|(former, now)| {
                let goes = *now == key;
                gone.extend(goes.then_some(*former));
                !goes
            });
        }
        gone
    }

    /// Listeners whose clients are judged by other files now, each with the one that it has become.
    pub(crate) fn rejudged(&self) -> &[(ListenerKey, ListenerKey)] {
        &self.rejudged
    }

    /// These are not gone, but what others have become.
    pub(crate) fn became(&mut self, rejudged: Vec<(ListenerKey, ListenerKey)>) {
        self.rejudged.extend(rejudged);
    }

    /// Other texts are at work, and these addresses are listened on; servers that came and went are forgotten.
    pub(crate) fn now_reads(&mut self, sources: Sources, held: Held) {
        (self.sources, self.held) = (sources, held);
        self.changes.clear();
        self.said = None;
    }

    /// These addresses are listened on.
    pub(crate) fn now_holds(&mut self, held: Held) {
        self.held = held;
    }

    /// The texts are read so.
    pub(crate) fn read_as(&mut self, reading: Reading) {
        self.reading = reading;
        self.said = None;
    }

    /// What the texts and the changes so far say.
    async fn said(&mut self) -> Result<Arc<Snapshot>, String> {
        if let Some(said) = &self.said {
            return Ok(said.clone());
        }
        let said = Arc::new(self.compile(self.changes.clone()).await?);
        self.said = Some(said.clone());
        Ok(said)
    }

    /// What the texts say with these changes; what is wrong in words.
    async fn compile(&self, changes: Vec<ServerChange>) -> Result<Snapshot, String> {
        let (sources, reading) = (self.sources.clone(), self.reading.clone());
        let compiled =
            tokio::task::spawn_blocking(move || compile_changed(&sources, &reading, &changes));
        let Compiled {
            snapshot,
            sources,
            diagnostics,
            ..
        } = compiled.await.map_err(|error| error.to_string())?;
        match snapshot {
            Some(snapshot) => {
                in_words(&support::not_run(&snapshot), None).map_or(Ok(snapshot), Err)
            }
            None => {
                let last = sources.iter().map(|(id, _)| id).last();
                Err(in_words(&diagnostics, last).unwrap_or_default())
            }
        }
    }
}

/// The first error, rather one of this text.
fn in_words(found: &Diagnostics, file: Option<FileId>) -> Option<String> {
    let errors = || found.iter().filter(|one| one.severity == Severity::Error);
    let here = |one: &&Diagnostic| one.labels.first().map(|label| label.span.file) == file;
    let error = errors().find(here).or_else(|| errors().next())?;
    let help = error.help.as_ref().map(|help| format!(": {help}"));
    Some(format!("{}{}", error.message, help.unwrap_or_default()))
}

/// Why a server did not come or go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotChanged {
    /// No backend of this name.
    NoGroup,
    /// No server of this name.
    NoTarget,
    /// The backend's algorithm knows its servers from the beginning.
    StaticAlgorithm,
    /// It has no address.
    NoAddress,
    /// There is one of this name.
    Exists,
    /// Something in the configuration names it.
    Referenced,
    /// It is not in maintenance.
    InService,
    /// It serves, or somebody waits for it.
    Busy,
    /// In words.
    Wrong(String),
}

impl Running {
    /// The texts are read so again where servers come and go.
    pub async fn read_as(&self, reading: Reading) {
        self.changing.lock().await.read_as(reading);
    }

    /// Adds a server to a backend, with what would follow its name in the text; it is in maintenance then.
    ///
    /// # Errors
    /// Why that cannot be.
    pub async fn add_server(
        &self,
        backend: &str,
        server: &str,
        words: &[&str],
    ) -> Result<(), NotChanged> {
        let mut changing = self.changing.lock().await;
        let installed = self.statistics().installed();
        let group = group_named(&installed, backend)?;
        may_be_added(&installed, group, server, words)?;
        self.is_no_kept_text()?;
        let mut changes = changing.changes.clone();
        changes.push(ServerChange::Added {
            backend: backend.to_owned(),
            server: server.to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        });
        let compiled = changing.compile(changes.clone()).await;
        let snapshot = compiled.map_err(NotChanged::Wrong)?;
        if !has(&snapshot, backend, server) {
            return Err(only_by_its_file(backend));
        }
        number_is_free(&installed, group, &snapshot)?;
        let applied = self.apply(snapshot, changes, &mut changing).await;
        applied.map_err(NotChanged::Wrong)
    }

    /// Takes a server out of a backend.
    ///
    /// # Errors
    /// Why that cannot be.
    pub async fn remove_server(&self, backend: &str, server: &str) -> Result<(), NotChanged> {
        let mut changing = self.changing.lock().await;
        let installed = self.statistics().installed();
        let group = group_named(&installed, backend)?;
        let targets = installed.targets.get(group).ok_or(NotChanged::NoGroup)?;
        let named = |it: &&Arc<WatchedTarget>| it.target.name.as_str() == server;
        let target = targets.iter().find(named).ok_or(NotChanged::NoTarget)?;
        self.is_no_kept_text()?;
        let is_it = |change: &ServerChange| match change {
            ServerChange::Added {
                backend: of,
                server: name,
                ..
            } => of == backend && name == server,
            ServerChange::Removed { .. } => false,
        };
        let mut changes = changing.changes.clone();
        changes.retain(|change| !is_it(change));
        if changes.len() == changing.changes.len() {
            changes.push(ServerChange::Removed {
                backend: backend.to_owned(),
                server: server.to_owned(),
            });
        }
        // The rest does not hold without what it names.
        let compiled = changing.compile(changes.clone()).await;
        let snapshot = compiled.map_err(|_| NotChanged::Referenced)?;
        if has(&snapshot, backend, server) {
            return Err(only_by_its_file(backend));
        }
        if target.is_followed() {
            return Err(NotChanged::Referenced);
        }
        if target.state_now() != HealthState::Unused {
            return Err(NotChanged::InService);
        }
        if target.state.in_flight() > 0 || target.state.queued() > 0 {
            return Err(NotChanged::Busy);
        }
        let applied = self.apply(snapshot, changes, &mut changing).await;
        applied.map_err(NotChanged::Wrong)
    }

    /// A generation that a rollback has put to work is a native text, of whatever it was made.
    fn is_no_kept_text(&self) -> Result<(), NotChanged> {
        match self.rolled_back_to() {
            None => Ok(()),
            Some(number) => Err(NotChanged::Wrong(format!(
                "generation {number} is at work by a rollback: servers do not come and go by command before a reload"
            ))),
        }
    }

    /// Puts the targets of `new` to work; comes back when every exchange that begins sees them.
    async fn apply(
        &self,
        new: Snapshot,
        changes: Vec<ServerChange>,
        changing: &mut Changing,
    ) -> Result<(), String> {
        let said = changing.said().await?;
        let plan = TargetsPlan::between(&said, &new).ok_or(MORE_CHANGED)?;
        let before = self.statistics().installed();
        let mut next = Next {
            snapshot: Snapshot::clone(&before.plane.snapshot),
            groups: before.plane.groups.clone(),
            targets: before.targets.clone(),
            tls: before.tls.clone(),
        };
        let loaded = load_all(&plan, &new, changing).await?;
        for (it, tls) in plan.groups.iter().zip(loaded) {
            next.take_in(it, &new, &tls)?;
        }
        let past = Past {
            leaving: before.plane.metrics.leaving().clone(),
            ..Past::default()
        };
        let names = parts::names(&next.snapshot, &before.plane.sources);
        let metrics = before.plane.metrics.renewed(names, &past);
        let snapshot = Arc::new(next.snapshot);
        let plane = before.plane.next(snapshot, next.groups, Arc::new(metrics));
        let plane = Arc::new(plane);
        let installed = Installed {
            plane: plane.clone(),
            targets: next.targets,
            tls: next.tls,
            ..Installed::clone(&before)
        };
        self.look_after(&before, &installed, &plan);
        self.statistics().replace(installed);
        // Before anything is waited for: who asked may go away meanwhile, and this is at work already.
        (changing.said, changing.changes) = (Some(Arc::new(new)), changes);
        if let Some(publisher) = self.publisher() {
            let published = publisher.publish(&plane, Vec::new()).await;
            published.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Begins to look after targets that are new, and ends it for those that are gone.
    fn look_after(&self, before: &Installed, next: &Installed, plan: &TargetsPlan) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that ended with their target.
        while tasks.try_join_next().is_some() {}
        for GroupPlan { group: at, kept } in &plan.groups {
            let (group, peers) = (next.plane.snapshot.groups.get(*at), next.peers.get(*at));
            let (Some(group), Some(peers), Some(targets)) = (group, peers, next.targets.get(*at))
            else {
                continue;
            };
            peers.set(targets);
            targets.iter().for_each(|it| outliers::judge(it, group));
            let is_new = |place: &usize| kept.get(*place) == Some(&None);
            let new = || {
                targets
                    .iter()
                    .enumerate()
                    .filter(|(place, _)| is_new(place))
            };
            for (_, target) in new() {
                if let Some(leader) = leader(target, next) {
                    leader.follow_with(target);
                }
            }
            let sink = next.tellers.groups.get(*at).and_then(Option::as_ref);
            let told: Vec<_> = new().map(|(_, target)| target.clone()).collect();
            tidings::listen(group, &told, peers, &next.plane.snapshot, sink);
            if let Some(tls) = next.tls.get(*at) {
                health::start(group, tls, new(), peers, &self.process, &mut tasks);
            }
            resolve::keep_resolving(new().map(|(_, it)| it), &next.names, &mut tasks);
            let known = before.targets.get(*at).into_iter().flat_map(|it| it.iter());
            let gone = known
                .enumerate()
                .filter(|(place, _)| !kept.contains(&Some(*place)));
            for (_, gone) in gone {
                gone.leave_alone();
                gone.gives_its_address_up();
                let all = next.targets.iter().flat_map(|it| it.iter());
                all.for_each(|it| it.forget_follower(gone));
            }
        }
    }
}

/// What comes to work, on its way.
struct Next {
    snapshot: Snapshot,
    groups: Vec<Arc<GroupParts>>,
    targets: Vec<Targets>,
    tls: Vec<GroupTls>,
}

impl Next {
    /// Takes in the targets that a group of `new` has.
    /// They speak TLS with what is `loaded`.
    fn take_in(
        &mut self,
        plan: &GroupPlan,
        new: &Snapshot,
        loaded: &GroupTls,
    ) -> Result<(), String> {
        let GroupPlan { group: at, kept } = plan;
        let (Some(said), Some(live), Some(parts), Some(watched), Some(tls)) = (
            new.groups.get(*at),
            self.snapshot.groups.get_mut(*at),
            self.groups.get_mut(*at),
            self.targets.get_mut(*at),
            self.tls.get_mut(*at),
        ) else {
            return Err(MORE_CHANGED.to_owned());
        };
        let group = Arc::new(together(live, said, kept));
        *tls = tls_together(tls, loaded, (live, said, &group), kept);
        let targets: Targets = kept
            .iter()
            .zip(&group.targets)
            .map(|(place, target)| {
                let known = place.and_then(|place| watched.get(place)).cloned();
                known.unwrap_or_else(|| Arc::new(WatchedTarget::added(&group, target)))
            })
            .collect();
        let states = targets.iter().map(|it| it.state.clone()).collect();
        let spoken = (tls.group.clone(), tls.own.clone());
        *parts = Arc::new(parts.next(&group, spoken, states));
        (*live, *watched) = (group, targets);
        Ok(())
    }
}

/// What new targets of each group speak TLS with, on a thread that may wait for files.
async fn load_all(
    plan: &TargetsPlan,
    new: &Snapshot,
    of: &Changing,
) -> Result<Vec<GroupTls>, String> {
    let groups = plan.groups.iter().map(|it| {
        let group = new.groups.get(it.group).ok_or(MORE_CHANGED)?;
        Ok((group.clone(), it.kept.clone()))
    });
    let groups = groups.collect::<Result<Vec<_>, &str>>()?;
    let (new, sources, tickets) = (new.clone(), of.sources.clone(), of.tickets.clone());
    let loaded = on_a_thread(move || {
        let of_group = |(group, kept): &(Arc<TargetGroup>, Vec<_>)| {
            load(&new, group, kept, (&sources, &tickets))
        };
        groups.iter().map(of_group).collect()
    });
    loaded.await?
}

/// What new targets of a group speak TLS with. Files are read where one speaks it, or is checked.
fn load(
    new: &Snapshot,
    group: &Arc<TargetGroup>,
    kept: &[Option<usize>],
    (sources, tickets): (&Sources, &Arc<TicketKeys>),
) -> Result<GroupTls, String> {
    let may_speak = |target: &Target| group.tls_of(target).is_some() || target.check.is_some();
    let places = group.targets.iter().zip(kept);
    let mut added = places.filter(|(_, place)| place.is_none());
    if !added.any(|(target, _)| may_speak(target)) {
        return Ok(GroupTls::default());
    }
    let alone = Snapshot {
        listeners: Vec::new(),
        groups: vec![group.clone()],
        certificates: match group.tls {
            Some(_) => new.certificates.clone(),
            None => Vec::new(),
        },
        ..new.clone()
    };
    let (mut tls, found) = certificates::load(&alone, sources, tickets, UnixTime::now());
    in_words(&found, None).map_or(Ok(tls.groups.pop().unwrap_or_default()), Err)
}

/// What is spoken to the targets of a group: what stays speaks as before.
fn tls_together(
    before: &GroupTls,
    loaded: &GroupTls,
    (live, said, group): (&TargetGroup, &TargetGroup, &TargetGroup),
    kept: &[Option<usize>],
) -> GroupTls {
    let of_new = |at: usize| match said.targets.get(at).map(|it| &it.tls) {
        Some(TargetTls::Group) => {
            let own = loaded.own.get(at).cloned().flatten();
            own.or_else(|| loaded.group.clone())
        }
        Some(TargetTls::Own(_)) => loaded.own.get(at).cloned().flatten(),
        Some(TargetTls::Off) | None => None,
    };
    let own = |(at, (target, place)): (usize, (&Target, &Option<usize>))| match target.tls {
        TargetTls::Off => None,
        TargetTls::Group | TargetTls::Own(_) => match place {
            Some(place) => before.own.get(*place).cloned().flatten(),
            None => of_new(at),
        },
    };
    let own: Vec<_> = group
        .targets
        .iter()
        .zip(kept)
        .enumerate()
        .map(own)
        .collect();
    GroupTls {
        group: match live.tls {
            Some(_) => before.group.clone(),
            None => loaded.group.clone(),
        },
        own: if own.iter().any(Option::is_some) {
            own
        } else {
            Vec::new()
        },
        check: before.check.clone().or_else(|| loaded.check.clone()),
    }
}

/// Texts are compiled anew for each change, and files that they name may say something else by now.
const MORE_CHANGED: &str =
    "files that the configuration names have changed: restart to take them in";

/// Whom a target is as.
fn leader<'i>(target: &WatchedTarget, installed: &'i Installed) -> Option<&'i Arc<WatchedTarget>> {
    let track = target.target.track?;
    let index = usize::try_from(track.target).ok()?;
    installed.targets.get(track.group.index())?.get(index)
}

fn group_named(installed: &Installed, name: &str) -> Result<usize, NotChanged> {
    let mut groups = installed.plane.snapshot.groups.iter();
    let found = groups.position(|group| group.name.as_str() == name);
    found.ok_or(NotChanged::NoGroup)
}

fn has(snapshot: &Snapshot, backend: &str, server: &str) -> bool {
    let mut groups = snapshot.groups.iter();
    let group = groups.find(|it| it.name.as_str() == backend);
    group.is_some_and(|it| it.targets.iter().any(|it| it.name.as_str() == server))
}

/// Servers come and go by command in HAProxy's language alone: in others a target may stand in more than one place.
fn only_by_its_file(backend: &str) -> NotChanged {
    NotChanged::Wrong(format!(
        "'{backend}' is no backend of a haproxy.cfg: change its targets in its file, and reload"
    ))
}

/// What stands against a server, as HAProxy finds it and in its order, before its options are read.
fn may_be_added(
    installed: &Installed,
    group: usize,
    server: &str,
    words: &[&str],
) -> Result<(), NotChanged> {
    let groups = &installed.plane.snapshot.groups;
    let (Some(own), Some(targets)) = (groups.get(group), installed.targets.get(group)) else {
        return Err(NotChanged::NoGroup);
    };
    if is_static(own) {
        return Err(NotChanged::StaticAlgorithm);
    }
    if words.is_empty() {
        return Err(NotChanged::NoAddress);
    }
    if targets.iter().any(|it| it.target.name.as_str() == server) {
        return Err(NotChanged::Exists);
    }
    let track = words.windows(2).find_map(|pair| match pair {
        ["track", whom] => Some(*whom),
        _ => None,
    });
    let wrong = |text: String| Err(NotChanged::Wrong(text));
    let Some(whom) = track else { return Ok(()) };
    let (of, name) = whom.rsplit_once('/').unwrap_or((own.name.as_str(), whom));
    let Ok(of_group) = group_named(installed, of) else {
        return wrong(format!(
            "unable to find required proxy '{of}' for tracking."
        ));
    };
    let mut others = installed
        .targets
        .get(of_group)
        .into_iter()
        .flat_map(|it| it.iter());
    let Some(leader) = others.find(|it| it.target.name.as_str() == name) else {
        return wrong(format!(
            "unable to find required server '{name}' for tracking."
        ));
    };
    let target = &leader.target;
    let why = if leader.is_added {
        "it is a dynamic server."
    } else if target.check.is_none() && target.agent.is_none() && target.track.is_none() {
        "it does not have any check nor agent enabled."
    } else {
        return Ok(());
    };
    wrong(format!("unable to use {of}/{name} for tracking as {why}"))
}

/// Whether the targets of a group are settled once for all by its algorithm.
fn is_static(group: &TargetGroup) -> bool {
    let in_table = |method: &HashMethod| matches!(method, HashMethod::Table { .. });
    match &group.algorithm {
        Algorithm::StaticRoundRobin => true,
        Algorithm::SourceHash(method) | Algorithm::Hash { method, .. } => in_table(method),
        _ => false,
    }
}

/// No other target has the number of the last one.
fn number_is_free(installed: &Installed, group: usize, new: &Snapshot) -> Result<(), NotChanged> {
    let added = new.groups.get(group).and_then(|group| group.targets.last());
    let (Some(number), Some(parts)) = (
        added.and_then(|target| target.number),
        installed.plane.groups.get(group),
    ) else {
        return Ok(());
    };
    match parts.numbers.contains(&number) {
        true => Err(NotChanged::Wrong(format!(
            "'id' : custom id {number} already used"
        ))),
        false => Ok(()),
    }
}
