//! Targets whose name stands for many: which addresses are targets of their own, now and while the process runs.
//!
//! ```text
//!   configuration ─▶ expanded ─▶ snapshot at work          (start, reload)
//!   answers change ─▶ collapse ▸ expand ▸ put_to_work      (while it runs)
//! ```
//!
//! What comes and goes by its name does so on the way of a reload ([`crate::reload`]): one that comes is checked and rises as any
//! new target, one that goes drains, what stays keeps its state. No file is read for that: what was loaded for the configuration at
//! work goes on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use portway_model::diagnostic::Diagnostics;
use portway_model::members::{self, Member, written_name};
use portway_model::snapshot::{Snapshot, Target, TargetGroup};
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::{Limit, ProcessCounters};
use tokio::time::timeout;

use crate::certificates::{GroupTls, TlsConfigs};
use crate::change::Changing;
use crate::figures::Installed;
use crate::install::Loaded;
use crate::maps::MapSets;
use crate::names::{Asked, NameBook, Named};
use crate::resolve;
use crate::running::Running;

/// Answers for IPv4 and IPv6, and of several names, come together: so long is waited for the rest.
const SETTLES: Duration = Duration::from_millis(50);
/// What could not be put to work is tried again after this time, and after twice as long each time it fails again, up to
/// [`AGAIN_AT_LAST`].
const AGAIN: Duration = Duration::from_secs(1);
/// Addresses that cannot be put to work are tried again this often at least.
const AGAIN_AT_LAST: Duration = Duration::from_secs(60);

/// The name of a target that stands for many.
fn name_of(target: &Target) -> Option<Named<'_>> {
    let named = Named::of(&target.address);
    named.filter(|_| members::stands_for_many(target))
}

/// The name that a target has its address by, where it is a member; and that target as it is written.
pub(crate) fn name_of_member(target: &Target) -> Option<(Named<'_>, &Target)> {
    let written = target.member_of.as_deref()?;
    name_of(written).map(|named| (named, written))
}

/// A configuration with members in the place of every target that stands for many, as far as their names are known within a while;
/// and what is asked for them, which is to be held until its targets hold it.
pub(crate) async fn expanded(snapshot: Snapshot, names: &NameBook) -> (Snapshot, Vec<Arc<Asked>>) {
    let all = snapshot.groups.iter().flat_map(|it| &it.targets);
    let many = all.filter_map(|it| Some((it, name_of(it)?)));
    let asked: Vec<Arc<Asked>> = many
        .map(|(target, named)| names.ask(named, &target.resolve.resolver))
        .collect();
    if asked.is_empty() {
        return (snapshot, asked);
    }
    let heard = async {
        for one in &asked {
            one.heard().await;
        }
    };
    // Who is late comes later.
    let _ = timeout(resolve::TIMEOUT, heard).await;
    let expanded = members::expand(&snapshot, |_, target| of_target(target, names).0);
    (expanded.unwrap_or(snapshot), asked)
}

/// The members of a target that stands for many, and how many were too many.
fn of_target(target: &Target, names: &NameBook) -> (Vec<Member>, usize) {
    let Some(named) = name_of(target) else {
        return (Vec::new(), 0);
    };
    let asked = names.ask(named, &target.resolve.resolver);
    let mut places = asked.places(&target.resolve, named.port);
    // Which order an answer has says nothing; backups give way where there are too many.
    places.sort_by_key(|it| (it.address, it.backup));
    places.dedup_by_key(|it| it.address);
    places.sort_by_key(|it| (it.backup, it.address));
    let most = usize::from(target.resolve.most);
    let too_many = places.len().saturating_sub(most);
    places.truncate(most);
    (places, too_many)
}

impl Running {
    /// Takes in what becomes of names that stand for many, for as long as this process serves.
    pub async fn keep_members(&self) {
        // How long until the next attempt, where the last one has failed.
        let mut again = None;
        loop {
            let names = self.statistics().installed().names.clone();
            match again {
                Some(pause) => drop(timeout(pause, names.news()).await),
                None => names.news().await,
            }
            tokio::time::sleep(SETTLES).await;
            let Ok(mut changing) = self.turn().await else {
                return;
            };
            again = match self.take_in_members(&mut changing).await {
                true => None,
                false => Some(again.map_or(AGAIN, |it| (it * 2).min(AGAIN_AT_LAST))),
            };
        }
    }

    /// False where what has changed could not be put to work.
    async fn take_in_members(&self, changing: &mut Changing) -> bool {
        let before = self.statistics().installed();
        let at_work = &before.plane.snapshot;
        let written = members::collapse(at_work);
        let written = written.as_ref().unwrap_or(at_work);
        let mut too_many = 0;
        let next = members::expand(written, |_, target| {
            let (members, left) = of_target(target, &before.names);
            too_many += left;
            members
        });
        let Some(next) = next.filter(|next| next.groups != at_work.groups) else {
            return true;
        };
        if too_many > 0 {
            let counters: &ProcessCounters = before.plane.metrics.process();
            counters.limit_reached(Limit::NameMembers);
        }
        let changed: Vec<Changed> = of_groups(at_work, &next).collect();
        let loaded = as_loaded(&before, &next);
        let sources = before.plane.sources.clone();
        let next = (next, loaded, before.generation);
        let done = self.put_to_work(next, &sources, changing, Diagnostics::default());
        match done.await {
            Ok(_) => {
                changed.iter().for_each(Changed::tell);
                true
            }
            Err(found) => {
                let why = found.iter().next().map_or("", |it| it.message.as_str());
                tracing::error!("addresses that have changed are not taken in: {why}");
                false
            }
        }
    }
}

/// What was loaded for the configuration at work, for one that has other members.
fn as_loaded(before: &Installed, next: &Snapshot) -> Loaded {
    let plane = &before.plane;
    let groups = next.groups.iter().zip(&plane.snapshot.groups);
    let groups = groups.zip(&before.tls);
    let tls = TlsConfigs {
        listeners: plane.listeners.iter().map(|it| it.tls.clone()).collect(),
        judges: before.judges.clone(),
        groups: groups
            .map(|((next, old), tls)| tls_of(next, old, tls))
            .collect(),
        loaded: Vec::new(),
        renewable: before.certificates.clone(),
    };
    Loaded {
        tls,
        answers: plane.answers.clone(),
        maps: MapSets::clone(&before.maps),
        keys: before.keys.clone(),
        files: before.files.clone(),
    }
}

/// What is spoken to the targets of a group: to a new member what is spoken to the others of its name.
fn tls_of(next: &TargetGroup, old: &TargetGroup, tls: &GroupTls) -> GroupTls {
    let own = |target: &Target| {
        let is_it = |it: &Target| it.name == target.name;
        let is_like_it = |it: &Target| written_name(it) == written_name(target);
        let at = old.targets.iter().position(is_it);
        let at = at.or_else(|| old.targets.iter().position(is_like_it))?;
        tls.own.get(at).cloned().flatten()
    };
    let own = match tls.own.is_empty() {
        true => Vec::new(),
        false => next.targets.iter().map(own).collect(),
    };
    GroupTls { own, ..tls.clone() }
}

/// What becomes of the members of a group.
struct Changed {
    group: String,
    came: Vec<String>,
    left: Vec<String>,
}

impl Changed {
    fn tell(&self) {
        emit(&Event::MembersChanged {
            target_group: &self.group,
            came: &self.came.join(", "),
            left: &self.left.join(", "),
        });
    }
}

fn of_groups<'s>(old: &'s Snapshot, new: &'s Snapshot) -> impl Iterator<Item = Changed> + use<'s> {
    let groups = old.groups.iter().zip(&new.groups);
    groups.filter(|(old, new)| old != new).map(|(old, new)| {
        let names = |group: &TargetGroup| -> HashSet<String> {
            let members = group.targets.iter().filter(|it| it.member_of.is_some());
            members.map(|it| it.name.to_string()).collect()
        };
        let (before, after) = (names(old), names(new));
        let only = |some: &HashSet<String>, others: &HashSet<String>| {
            let mut only: Vec<String> = some.difference(others).cloned().collect();
            only.sort_unstable();
            only
        };
        Changed {
            group: new.name.to_string(),
            came: only(&after, &before),
            left: only(&before, &after),
        }
    })
}
