//! What was counted before a change, for the objects that have the same names after it.

use std::collections::HashMap;

use portway_model::name::Name;
use portway_model::snapshot::Snapshot;

use super::layout::Proxy;
use super::rates::Rate;
use super::{Installed, ProxyRates, Zero};

/// The rates of the proxies of `next`; `before`: those of what was at work until now.
pub(super) fn rates(
    before: Option<(&Installed, &[ProxyRates])>,
    next: &Installed,
) -> Vec<ProxyRates> {
    let known: HashMap<_, _> = before.map_or_else(HashMap::new, |(installed, rates)| {
        let proxies = installed.proxies.iter().zip(rates);
        let known = proxies.map(|(proxy, rates)| (identity(proxy), (proxy, rates)));
        known.collect()
    });
    let of_proxy = |proxy: &Proxy| {
        let known = known.get(&identity(proxy)).copied();
        let servers = servers(known, before.map(|it| it.0), proxy, next);
        let known = known.map(|(_, rates)| rates.clone()).unwrap_or_default();
        ProxyRates { servers, ..known }
    };
    next.proxies.iter().map(of_proxy).collect()
}

/// The same name may be that of a frontend and that of a backend.
fn identity(proxy: &Proxy) -> (&Name, bool, bool) {
    (
        &proxy.name,
        proxy.listeners.is_empty(),
        proxy.group.is_some(),
    )
}

/// The rates of the servers of a proxy.
fn servers(
    known: Option<(&Proxy, &ProxyRates)>,
    before: Option<&Installed>,
    proxy: &Proxy,
    next: &Installed,
) -> Vec<Rate> {
    let names = |of: &Proxy, installed: &Installed| {
        let group = of
            .group
            .and_then(|at| installed.plane.snapshot.groups.get(at));
        let targets = group.into_iter().flat_map(|group| &group.targets);
        targets.map(|it| it.name.clone()).collect::<Vec<Name>>()
    };
    let known: HashMap<Name, Rate> = match (known, before) {
        (Some((of, rates)), Some(before)) => {
            let names = names(of, before).into_iter();
            names.zip(rates.servers.iter().copied()).collect()
        }
        _ => HashMap::new(),
    };
    let names = names(proxy, next);
    let rates = names.iter().map(|name| known.get(name).copied());
    rates.map(Option::unwrap_or_default).collect()
}

/// What is taken off the totals of `next`.
pub(super) fn zero((before, zero): (&Installed, &Zero), next: &Installed) -> Zero {
    let (old, new) = (&before.plane.snapshot, &next.plane.snapshot);
    let groups = |of: &Snapshot| {
        of.groups
            .iter()
            .map(|it| it.name.clone())
            .collect::<Vec<_>>()
    };
    let listeners = |of: &Snapshot| {
        let listeners = of.listeners.iter();
        listeners.map(|it| it.known_as.clone()).collect::<Vec<_>>()
    };
    let (old_groups, new_groups) = (groups(old), groups(new));
    let places: HashMap<&Name, usize> = old_groups.iter().zip(0..).collect();
    let targets = new.groups.iter().map(|group| {
        let names = |of: &Snapshot, at: usize| {
            let targets = of.groups.get(at).map(|it| it.targets.iter());
            let targets = targets.into_iter().flatten();
            targets.map(|it| it.name.clone()).collect::<Vec<_>>()
        };
        let own: Vec<Name> = group.targets.iter().map(|it| it.name.clone()).collect();
        let known = places.get(&group.name);
        let known = known.and_then(|at| Some((names(old, *at), zero.targets.get(*at)?)));
        known.map_or_else(Vec::new, |(names, totals)| moved(&names, totals, &own))
    });
    Zero {
        listeners: moved(&listeners(old), &zero.listeners, &listeners(new)),
        groups: moved(&old_groups, &zero.groups, &new_groups),
        targets: targets.collect(),
    }
}

/// What was known of names, for the same names in another order; nothing where nothing was known at all.
fn moved<T: Copy + Default>(old: &[Name], known: &[T], new: &[Name]) -> Vec<T> {
    if known.is_empty() {
        return Vec::new();
    }
    let known: HashMap<&Name, T> = old.iter().zip(known.iter().copied()).collect();
    let of_new = new.iter().map(|name| known.get(name).copied());
    of_new.map(Option::unwrap_or_default).collect()
}
