//! The targets of the next configuration: who stays, who is another from now on, who comes and who goes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portway_dataplane::live::Health;
use portway_model::address::TargetAddress;
use portway_model::name::Name;
use portway_model::settings::TargetSendProxy;
use portway_model::snapshot::{Snapshot, Target, TargetGroup, TargetTls};

use super::company::{Targets, follow};
use super::found::Found;
use super::{WatchedTarget, health, join, observed};
use crate::certificates::GroupTls;
use crate::drains::GoneTarget;
use crate::resolve::settle_all;

/// The targets of a configuration that follows another.
pub(crate) struct NextTargets {
    /// By group, in the order of the configuration.
    pub(crate) targets: Vec<Targets>,
    /// For each of them whether nobody looks after it yet.
    pub(crate) alone: Vec<Vec<bool>>,
    /// Those that nobody is to look after any more.
    pub(crate) left: Vec<Arc<WatchedTarget>>,
    /// Those of them that no target has followed.
    pub(crate) gone: Vec<Arc<WatchedTarget>>,
    became: Became,
}

/// Targets that are watched: those of a configuration, by group, and what is spoken to them.
pub(crate) struct Watching<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) targets: &'a [Targets],
    pub(crate) tls: &'a [GroupTls],
    /// Those that are no more and drain.
    pub(crate) leaving: &'a [GoneTarget],
    /// What follows is the same configuration: what came by command stays as it is.
    pub(crate) stays: bool,
}

/// Finds for each target of `next` the one that it was. One that says the same is the same; one of the same name and address, or
/// of the same address where its name is gone, keeps its health and its connections.
pub(crate) fn watch_next(before: &Watching<'_>, next: &Snapshot, tls: &[GroupTls]) -> NextTargets {
    let old = before.snapshot.groups.iter();
    let old = old.zip(before.targets).zip(before.tls);
    let known: HashMap<&Name, Known<'_>> = old
        .map(|((group, targets), tls)| {
            let known = Known {
                group,
                targets,
                tls,
            };
            (&group.name, known)
        })
        .collect();
    let mut found = NextTargets {
        targets: Vec::with_capacity(next.groups.len()),
        alone: Vec::with_capacity(next.groups.len()),
        left: Vec::new(),
        gone: Vec::new(),
        became: Became {
            all: Vec::new(),
            stays: before.stays,
        },
    };
    for (group, tls) in next.groups.iter().zip(tls) {
        let mut returning = Returning::to(group, before.leaving);
        let known = known.get(&group.name);
        let known = known.filter(|it| it.group.protocol.is_http() == group.protocol.is_http());
        let (targets, alone) = match known {
            Some(known) => known.go_on(group, tls, &mut returning, &mut found.became),
            None => all_new(group, &mut returning, &mut found.became),
        };
        found.targets.push(targets);
        found.alone.push(alone);
    }
    found.part_from(before.targets);
    found
}

impl NextTargets {
    /// Those of a configuration that follows none.
    pub(crate) fn first(targets: Vec<Targets>) -> Self {
        Self {
            alone: targets.iter().map(|it| vec![true; it.len()]).collect(),
            targets,
            left: Vec::new(),
            gone: Vec::new(),
            became: Became::default(),
        }
    }

    /// Puts them to work: until here nothing has changed of what is. To be called once nobody looks after those that are left.
    pub(crate) fn settle(&self) {
        self.gone.iter().for_each(|it| it.gives_its_address_up());
        for (before, next) in &self.became.all {
            if before.target.resolve.resolver != next.target.resolve.resolver {
                before.gives_its_address_up();
            }
            next.goes_on_as(before);
        }
        settle_all(&self.strangers());
        follow(&self.targets);
        self.join();
        let all = self.targets.iter().flat_map(|it| it.iter());
        all.filter(|it| it.is_followed()).for_each(|it| it.lead());
    }

    /// Those that nothing was known of have come to others.
    fn join(&self) {
        let became = self.became.all.iter();
        let became = became.map(|(_, next)| Arc::as_ptr(next));
        let became: HashSet<*const WatchedTarget> = became.collect();
        for (targets, alone) in self.targets.iter().zip(&self.alone) {
            let is_new = |index: usize| {
                let known = targets.get(index).map(Arc::as_ptr);
                alone.get(index) == Some(&true) && known.is_some_and(|it| !became.contains(&it))
            };
            join(targets, is_new);
        }
    }

    /// Those that have another name now: their group, the new name and the one before.
    pub(crate) fn renamed(&self) -> impl Iterator<Item = (String, String, String)> {
        let became = self.became.all.iter();
        became
            .filter(|(before, next)| before.target.name != next.target.name)
            .map(|(before, next)| {
                let [group, now, was] = [&next.group, &next.target.name, &before.target.name];
                (group.to_string(), now.to_string(), was.to_string())
            })
    }

    /// Those of which nothing is known yet.
    pub(crate) fn strangers(&self) -> Vec<Arc<WatchedTarget>> {
        let all = self.targets.iter().flat_map(|it| it.iter());
        let strangers = all.filter(|it| it.state.address().is_none());
        strangers.cloned().collect()
    }

    /// Finds those that are no more.
    fn part_from(&mut self, watched: &[Targets]) {
        let all = || self.targets.iter().flat_map(|it| it.iter());
        let same: HashSet<*const WatchedTarget> = all().map(Arc::as_ptr).collect();
        let lives: HashSet<*const _> = all().map(|it| Arc::as_ptr(&it.state)).collect();
        let before = watched.iter().flat_map(|it| it.iter());
        let left = before.filter(|it| !same.contains(&Arc::as_ptr(it)));
        self.left = left.cloned().collect();
        let gone = self.left.iter();
        let gone = gone.filter(|it| !lives.contains(&Arc::as_ptr(&it.state)));
        self.gone = gone.cloned().collect();
    }
}

/// Targets that others have become, each with the other.
#[derive(Default)]
struct Became {
    all: Vec<(Arc<WatchedTarget>, Arc<WatchedTarget>)>,
    /// The configuration is the one that was.
    stays: bool,
}

/// Targets that had left a group and may come back to it.
struct Returning<'b>(Vec<&'b Arc<WatchedTarget>>);

impl<'b> Returning<'b> {
    fn to(group: &TargetGroup, leaving: &'b [GoneTarget]) -> Self {
        let is_of_it = |it: &&GoneTarget| {
            it.group.name == group.name && it.group.protocol.is_http() == group.protocol.is_http()
        };
        let targets = leaving.iter().filter(is_of_it).map(|it| &it.target);
        Self(targets.collect())
    }

    /// The one that this target was: of its address and name, or of its address.
    fn find(&mut self, target: &Target) -> Option<&'b Arc<WatchedTarget>> {
        let lives_there = |it: &Arc<WatchedTarget>| it.target.address == target.address;
        let named = |it: &Arc<WatchedTarget>| lives_there(it) && it.target.name == target.name;
        let at = self.0.iter().position(|it| named(it));
        let at = at.or_else(|| self.0.iter().position(|it| lives_there(it)));
        at.map(|at| self.0.remove(at))
    }
}

fn all_new(
    group: &TargetGroup,
    returning: &mut Returning<'_>,
    became: &mut Became,
) -> (Targets, Vec<bool>) {
    let target = |target: &Target| match returning.find(target) {
        Some(known) => follower(known, group, target, became),
        None => Arc::new(WatchedTarget::new(group, target)),
    };
    let targets = group.targets.iter().map(target).collect();
    (targets, vec![true; group.targets.len()])
}

/// What a target is from now on.
fn follower(
    known: &Arc<WatchedTarget>,
    group: &TargetGroup,
    target: &Target,
    became: &mut Became,
) -> Arc<WatchedTarget> {
    let next = WatchedTarget::following(known, group, target, became.stays);
    let next = Arc::new(next);
    became.all.push((known.clone(), next.clone()));
    next
}

/// A group as it was.
struct Known<'b> {
    group: &'b TargetGroup,
    targets: &'b Targets,
    /// What is spoken to its targets and in their checks.
    tls: &'b GroupTls,
}

impl Known<'_> {
    /// The targets that it has from now on, and which of them nobody looks after yet.
    fn go_on(
        &self,
        group: &TargetGroup,
        tls: &GroupTls,
        returning: &mut Returning<'_>,
        became: &mut Became,
    ) -> (Targets, Vec<bool>) {
        let names: HashSet<&Name> = group.targets.iter().map(|it| &it.name).collect();
        let by_name: HashMap<&Name, &Arc<WatchedTarget>> = self
            .targets
            .iter()
            .map(|it| (&it.target.name, it))
            .collect();
        let renamed = self.targets.iter();
        let renamed = renamed.filter(|it| !names.contains(&it.target.name));
        let mut renamed: HashMap<&TargetAddress, &Arc<WatchedTarget>> =
            renamed.map(|it| (&it.target.address, it)).collect();
        let checked_as_before = self.is_checked_as(group, tls);
        let mut alone = Vec::with_capacity(group.targets.len());
        let targets = group.targets.iter().map(|target| {
            let known = match by_name.get(&target.name) {
                Some(known) => Some(*known).filter(|it| it.target.address == target.address),
                None => renamed.remove(&target.address),
            };
            let same = |known: &&Arc<WatchedTarget>| {
                let may_stay = became.stays || !known.is_added;
                let stays = checked_as_before && may_stay && target.track.is_none();
                stays && is_same((self.group, &known.target), (group, target))
            };
            alone.push(known.is_none_or(|known| !same(&known)));
            if let Some(known) = known.filter(same) {
                return known.clone();
            }
            match known.or_else(|| returning.find(target)) {
                Some(known) => follower(known, group, target, became),
                None => Arc::new(WatchedTarget::new(group, target)),
            }
        });
        let targets = targets.collect();
        (targets, alone)
    }

    /// Whether what looks after its targets would do the same for those of another. What TLS is spoken with is read from files
    /// each time, so that is another.
    fn is_checked_as(&self, next: &TargetGroup, tls: &GroupTls) -> bool {
        let old = self.group;
        old.health_check == next.health_check
            && old.none_healthy == next.none_healthy
            && old.send_proxy == next.send_proxy
            && self.tls.is(tls)
    }
}

/// Whether two targets are one: what they say means the same in their groups.
pub(crate) fn is_same(
    (old, a): (&TargetGroup, &Target),
    (new, b): (&TargetGroup, &Target),
) -> bool {
    let meant = |target: &Target| Target {
        tls: TargetTls::Off,
        send_proxy: TargetSendProxy::Group,
        // Whom it follows has another place where others have gone.
        track: None,
        member_of: None,
        ..target.clone()
    };
    a.track.is_some() == b.track.is_some()
        && old.send_proxy_of(a) == new.send_proxy_of(b)
        && old.tls_of(a) == new.tls_of(b)
        && meant(a) == meant(b)
}

impl WatchedTarget {
    /// The target that another becomes: it serves what that served. One that came by command is as the configuration says once
    /// there is another: `stays` where there is none.
    fn following(before: &Self, group: &TargetGroup, target: &Target, stays: bool) -> Self {
        let mut next = Self::new(group, target);
        next.state = before.state.clone();
        next.is_added = before.is_added && stays;
        let goes_on = next.is_added == before.is_added;
        let copy = |flag: &AtomicBool| flag.load(Ordering::Relaxed) && goes_on;
        next.rest(copy(&before.rests));
        next.rest_agent(copy(&before.agent_rests));
        next.set_check_place(before.check_place());
        *next.agent_told_place() = before.agent_told_place().clone();
        next
    }

    fn found(&self, known: &super::Known) -> Found {
        Found {
            machine: known.machine.clone(),
            without_agent: known.without_agent.clone(),
            follows_into_rest: known.follows_into_rest,
            since: known.since,
            last_check: known.last_check.clone(),
            is_checked: self.is_checked,
            has_agent: self.target.agent.is_some(),
            follows: self.target.track.is_some(),
        }
    }

    /// What was found of the one before holds, where it is still looked for.
    fn goes_on_as(&self, before: &Self) {
        self.state.observe(observed(&self.target));
        if before.target.weight != self.target.weight {
            self.state.set_weight(None);
        }
        let said =
            before.target.disabled == self.target.disabled && before.is_added == self.is_added;
        let old = before.known();
        let mut known = self.known();
        (known.passed, known.failed, known.failed_up) = (old.passed, old.failed, old.failed_up);
        (known.downs, known.down_time) = (old.downs, old.down_time);
        if self.target.track.is_some() {
            known.leader.clone_from(&old.leader);
        }
        if said {
            if self.target.agent.is_some() && before.target.agent.is_some() {
                known.agent = old.agent.clone();
            }
            self.take_found(&mut known, before.found(&old));
        }
        self.take_rise(&mut known, old.rise);
        // One that passes its checks may have said that it is leaving.
        let leaves = old.machine.usable() && self.state.health() == Health::Draining;
        if !(known.machine.usable() && leaves) {
            self.state.set_health(health(&known.machine));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::TargetOrder;
    use crate::sources::compile_text;
    use crate::targets::watch;
    use portway_core::health::HealthState;

    fn snapshot(group: &str) -> Snapshot {
        let text = format!(
            "[listener.a]\nbind = '127.0.0.1:1'\nforward = 'app'\n[target_group.app]\n{group}\n"
        );
        let compiled = compile_text("test.toml", &text);
        compiled
            .snapshot
            .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
    }

    /// What becomes of the targets of `old`, which are all down: `name same`, `name other`, `name new`, then those that are gone.
    fn becomes(old: &str, new: &str) -> String {
        let (old, new) = (snapshot(old), snapshot(new));
        let targets = watch(&old);
        let tls = [GroupTls::default()];
        for target in targets[0].iter() {
            target.order(TargetOrder::Down);
        }
        let before = Watching {
            snapshot: &old,
            targets: &targets,
            tls: &tls,
            leaving: &[],
            stays: false,
        };
        let next = watch_next(&before, &new, &tls);
        // Until then all may fail, and nothing has changed.
        let is_down = |it: &Arc<WatchedTarget>| it.state.health() == Health::Unhealthy;
        assert!(targets[0].iter().all(is_down));
        next.settle();
        let became = |(target, alone): (&Arc<WatchedTarget>, &bool)| {
            let known = targets[0]
                .iter()
                .find(|it| Arc::ptr_eq(&it.state, &target.state));
            let is_down = target.state_now() == HealthState::Unhealthy;
            assert_eq!(is_down, known.is_some(), "{}", target.target.name);
            let word = match (known, alone) {
                (Some(_), false) => "same",
                (Some(_), true) => "other",
                (None, _) => "new",
            };
            format!("{} {word}", target.target.name)
        };
        let all = next.targets[0].iter().zip(&next.alone[0]);
        let gone = next
            .gone
            .iter()
            .map(|it| format!("{} gone", it.target.name));
        all.map(became).chain(gone).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn who_stays_who_comes_and_who_goes() {
        let check = |old: &str, new: &str, expected: &str| {
            let list = |text: &str| format!("targets = [{text}]");
            assert_eq!(becomes(&list(old), &list(new)), expected, "{old} {new}");
        };
        let [a, b] = [
            "{ name = 'a', address = '10.0.0.1:80' }",
            "{ name = 'b', address = '10.0.0.2:80' }",
        ];
        check(&[a, b].join(", "), &[b, a].join(", "), "b same, a same");
        check(a, &[b, a].join(", "), "b new, a same");
        check(&[a, b].join(", "), b, "b same, a gone");
        // Another address is another target, another name alone is not.
        check(a, &a.replace("10.0.0.1", "10.0.0.9"), "a new, a gone");
        check(a, &a.replace("'a'", "'z'"), "z other");
        // The names change hands: so do the targets.
        let swapped = [b.replace("'b'", "'a'"), a.replace("'a'", "'b'")].join(", ");
        check(&[a, b].join(", "), &swapped, "a new, b new, a gone, b gone");
        check(a, &a.replace(" }", ", weight = 9 }"), "a other");
    }

    #[test]
    fn what_a_group_says_of_its_targets() {
        const TARGETS: &str = "targets = ['10.0.0.1:80']\n";
        let check = |old: &str, new: &str, expected: &str| {
            let text = |more: &str| format!("{TARGETS}{more}");
            let expected = format!("10.0.0.1:80 {expected}");
            assert_eq!(becomes(&text(old), &text(new)), expected, "{old} {new}");
        };
        check("", "retries = 2", "same");
        check("health_check = 'tcp'", "health_check = 'tcp'", "same");
        let slower = "health_check = { tcp = true, interval = '9s' }";
        check("health_check = 'tcp'", slower, "other");
        // Seen otherwise, it is the same target with the same connections.
        let observed = |layer: &str| {
            format!(
                "{{ name = 'a', address = '10.0.0.1:80', check = {{ observe = {{ layer = '{layer}' }} }} }}"
            )
        };
        let text = |layer: &str| format!("health_check = 'tcp'\ntargets = [{}]", observed(layer));
        let became = becomes(&text("connection"), &text("response"));
        assert_eq!(became, "a other");
    }
}
