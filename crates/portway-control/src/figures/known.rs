//! What was counted before a change, for the objects that have the same names after it.

use std::collections::HashMap;

use portway_model::name::Name;
use portway_model::snapshot::{Snapshot, TargetGroup};
use portway_telemetry::metrics::TargetTotals;

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
        let own = known.map(|(_, rates)| rates.clone());
        let own = own.unwrap_or_else(|| begun(proxy, next));
        ProxyRates { servers, ..own }
    };
    next.proxies.iter().map(of_proxy).collect()
}

/// Those of a proxy of which nothing is known. Its counters may go on from another name, or from before it left.
fn begun(proxy: &Proxy, next: &Installed) -> ProxyRates {
    let metrics = &next.plane.metrics;
    let mut rates = ProxyRates::default();
    if let Some(listener) = proxy.listeners.first() {
        let totals = metrics.listener_totals(*listener);
        rates.connections = Rate::begun(totals.connections);
        rates.requests = Rate::begun(totals.requests());
        if let Some(parts) = next.plane.listeners.get(*listener) {
            rates.connections.tell(&parts.state.connection_rate);
            rates.requests.tell(&parts.state.request_rate);
        }
    }
    if let Some(group) = proxy.group {
        rates.sessions = Rate::begun(metrics.group_totals(group).sessions);
        if let Some(parts) = next.plane.groups.get(group) {
            rates.sessions.tell(&parts.state.session_rate);
        }
    }
    rates
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
    let begun = |target: usize| {
        let group = proxy.group.unwrap_or_default();
        let rate = Rate::begun(next.plane.metrics.target_totals(group, target).sessions);
        let parts = next.plane.groups.get(group);
        if let Some(state) = parts.and_then(|it| it.targets.get(target)) {
            rate.tell(&state.session_rate);
        }
        rate
    };
    let names = names(proxy, next);
    let rates = names.iter().enumerate();
    let rates = rates.map(|(at, name)| known.get(name).copied().unwrap_or_else(|| begun(at)));
    rates.collect()
}

/// What is taken off the totals of `next`: of what has no such name before all that was counted for it.
pub(super) fn zero((before, zero): (&Installed, &Zero), next: &Installed) -> Zero {
    if zero.listeners.is_empty() && zero.groups.is_empty() {
        return Zero::default();
    }
    let now = super::totals(&next.plane);
    let (old, new) = (&before.plane.snapshot, &next.plane.snapshot);
    let groups = |of: &Snapshot| -> Vec<Name> {
        let groups = of.groups.iter();
        groups.map(|it| it.name.clone()).collect()
    };
    let listeners = |of: &Snapshot| -> Vec<Name> {
        let listeners = of.listeners.iter();
        listeners.map(|it| it.known_as.clone()).collect()
    };
    let names = |group: &TargetGroup| -> Vec<Name> {
        let targets = group.targets.iter();
        targets.map(|it| it.name.clone()).collect()
    };
    let known = old.groups.iter().zip(&zero.targets);
    let known: HashMap<&Name, (Vec<Name>, &Vec<TargetTotals>)> = known
        .map(|(group, totals)| (&group.name, (names(group), totals)))
        .collect();
    let targets = new.groups.iter().zip(now.targets);
    let targets = targets.map(|(group, now)| match known.get(&group.name) {
        Some((old, totals)) => moved(old, totals, &names(group), now),
        None => now,
    });
    let targets = targets.collect();
    Zero {
        listeners: moved(
            &listeners(old),
            &zero.listeners,
            &listeners(new),
            now.listeners,
        ),
        groups: moved(&groups(old), &zero.groups, &groups(new), now.groups),
        targets,
    }
}

/// What was known of names, for the same names in another order, and `now` for others.
fn moved<T: Copy>(old: &[Name], known: &[T], new: &[Name], now: Vec<T>) -> Vec<T> {
    let known: HashMap<&Name, T> = old.iter().zip(known.iter().copied()).collect();
    let of_new = new.iter().zip(now);
    let of_new = of_new.map(|(name, now)| known.get(name).copied().unwrap_or(now));
    of_new.collect()
}
