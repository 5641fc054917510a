//! Names that resolve late, errors that count, targets that wait for their first check, and what goes on of what was found.

use super::*;
use crate::certificates::GroupTls;
use crate::sources::compile_text;

fn compiled(text: &str) -> Snapshot {
    let compiled = compile_text("test.toml", text);
    compiled
        .snapshot
        .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

fn target(check: &str) -> Arc<WatchedTarget> {
    let text = format!(
        "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['name.invalid:80']\n{check}"
    );
    watch(&compiled(&text))[0][0].clone()
}

#[test]
fn a_name_that_resolves_late() {
    let address = "10.0.0.1:80".parse().unwrap();
    for (check, after) in [
        ("", HealthState::Healthy),
        ("health_check = 'tcp'", HealthState::Unhealthy),
    ] {
        let target = target(check);
        assert!(target.is_lost());
        target.unresolved("nobody knows it");
        let health = target.health();
        assert_eq!(health.state, HealthState::Unhealthy, "{check}");
        assert_eq!(health.reason, "name not resolved: nobody knows it");
        assert_eq!(target.state.health(), Health::Unhealthy);

        target.resolved(address);
        assert!(!target.is_lost());
        assert_eq!(target.state.address(), Some(address));
        assert_eq!(target.health().state, after, "{check}");
    }
}

#[test]
fn errors_while_serving_count_as_configured() {
    let text = "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n\
         [target_group.app]\ntargets = [{ name = 'a', address = '10.0.0.1:80', check = { observe = { layer = 'response' } } }]\n\
         health_check = { http = '/', unhealthy_threshold = 3 }\n";
    let snapshot = compiled(text);
    let thresholds = Thresholds {
        healthy: 1,
        unhealthy: 3,
    };
    for (then, times) in [
        (OnErrors::FailCheck, 3),
        (OnErrors::LastChance, 2),
        (OnErrors::MarkDown, 1),
    ] {
        let target = watch(&snapshot)[0][0].clone();
        let found = (1..=3).find(|_| {
            let check = LastCheck {
                at: SystemTime::now(),
                took: Duration::ZERO,
                word: CheckWord::HealthAnalysis,
                code: None,
                said: "".into(),
            };
            let failure = Failure::ClosedEarly;
            let transition = target.failed_to_serve(check, failure, then, thresholds);
            transition.is_some_and(|it| it.to == HealthState::Unhealthy)
        });
        assert_eq!(found, Some(times), "{then:?}");
    }
}

#[test]
fn a_target_that_waits_takes_no_traffic_before_a_check_passes() {
    let thresholds = Thresholds {
        healthy: 5,
        unhealthy: 2,
    };
    let check = |waits: bool, probe: Probe, before: Health, after: Health| {
        let text = format!("health_check = {{ tcp = true, wait_for_first_check = {waits} }}\n");
        let target = target(&text);
        target.resolved("10.0.0.1:80".parse().unwrap());
        assert_eq!(target.state.health(), before, "{waits}");
        assert_eq!(target.health().state, HealthState::Initial);
        let check = LastCheck {
            at: SystemTime::now(),
            took: Duration::ZERO,
            word: CheckWord::L4Ok,
            code: None,
            said: "".into(),
        };
        target.checked(check, probe, thresholds);
        assert_eq!(target.state.health(), after, "{waits}");
    };
    let failed = || Probe::Failed(Failure::ClosedEarly);
    check(true, Probe::Passed, Health::Unhealthy, Health::Healthy);
    check(true, failed(), Health::Unhealthy, Health::Unhealthy);
    check(false, failed(), Health::Initial, Health::Initial);
}

#[test]
fn what_has_no_address_takes_no_traffic_whatever_is_said_of_it() {
    let address = "10.0.0.1:80".parse().unwrap();
    for check in ["", "health_check = 'tcp'"] {
        for orders in [
            &[TargetOrder::Maintain, TargetOrder::Ready][..],
            &[TargetOrder::Drain, TargetOrder::Ready],
            &[TargetOrder::Maintain, TargetOrder::Up],
            &[TargetOrder::Down, TargetOrder::Up],
            &[TargetOrder::Up],
        ] {
            let target = target(check);
            target.unresolved("nobody knows it");
            orders.iter().for_each(|order| target.order(*order));
            let health = target.health();
            assert_eq!(target.state.health(), Health::Unhealthy, "{orders:?}");
            assert!(health.reason.contains("nobody knows it"), "{orders:?}");
            target.resolved(address);
            // The check finds out about others.
            let serves = target.state.health().is_usable();
            assert_eq!(serves, check.is_empty(), "{orders:?}");
        }
    }
    let target = target("");
    target.unresolved("nobody knows it");
    for order in [TargetOrder::Drain, TargetOrder::Maintain] {
        target.order(order);
        target.resolved(address);
        assert!(!target.state.health().is_usable(), "{order:?}");
    }
}

/// Two groups: `lead` with the target `a`, and `app` with `b`, of which this is said.
fn two(b: &str) -> Snapshot {
    compiled(&format!(
        "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n\
         [listener.other]\nbind = '127.0.0.1:2'\nforward = 'lead'\n\
         [target_group.app]\ntargets = [{{ name = 'b', address = {b} }}]\n\
         [target_group.lead]\ntargets = [{{ name = 'a', address = '10.0.0.1:80' }}]\n"
    ))
}

const FOLLOWS: &str = "'10.0.0.2:80', track = { group = 'lead', target = 'a' }";

#[test]
fn one_without_address_is_not_as_the_one_that_it_follows() {
    let snapshot = two(&FOLLOWS.replace("10.0.0.2", "name.invalid"));
    let all = watch(&snapshot);
    let named = |name: &str| {
        let mut all = all.iter().flat_map(|it| it.iter());
        all.find(|it| it.target.name.as_str() == name).unwrap()
    };
    let (a, b) = (named("a"), named("b"));
    let address = "10.0.0.1:80".parse().unwrap();
    b.unresolved("nobody knows it");
    a.order(TargetOrder::Down);
    a.order(TargetOrder::Up);
    assert!(!b.state.health().is_usable());
    b.resolved(address);
    assert!(b.state.health().is_usable());
    b.unresolved("nobody knows it");
    a.order(TargetOrder::Down);
    b.resolved(address);
    assert!(!b.state.health().is_usable());
    b.order(TargetOrder::Maintain);
    b.order(TargetOrder::Ready);
    assert!(!b.state.health().is_usable());
    a.order(TargetOrder::Up);
    assert!(b.state.health().is_usable());
}

/// What `b` is after a reload, and in a process that takes over, once something was done to `a` and `b`.
fn becomes(
    old: &str,
    new: &str,
    happens: &dyn Fn(&WatchedTarget, &WatchedTarget),
) -> [Arc<WatchedTarget>; 2] {
    let (old, new) = (two(old), two(new));
    let tls = [GroupTls::default(), GroupTls::default()];
    let named = |all: &[Targets], name: &str| {
        let mut all = all.iter().flat_map(|it| it.iter());
        let found = all.find(|it| it.target.name.as_str() == name);
        found.unwrap().clone()
    };
    let before = watch(&old);
    happens(&named(&before, "a"), &named(&before, "b"));
    // Another process has what is handed to it.
    let there = watch(&new);
    for name in ["a", "b"] {
        named(&there, name).go_on(&named(&before, name).part(1));
    }
    let watching = Watching {
        snapshot: &old,
        targets: &before,
        tls: &tls,
        leaving: &[],
        stays: false,
    };
    let next = watch_next(&watching, &new, &tls);
    next.settle();
    [named(&next.targets, "b"), named(&there, "b")]
}

#[test]
fn a_verdict_ends_with_what_has_found_it() {
    const PLAIN: &str = "'10.0.0.2:80'";
    const AGENT: &str = "'10.0.0.2:80', agent = { port = 1 }";
    const NAME: &str = "'name.invalid:80'";
    const HEAVIER: &str = "'name.invalid:80', weight = 2";
    type Happens = fn(&WatchedTarget, &WatchedTarget);
    let says_down: Happens = |_, b| b.agent_told(AgentState::Down);
    let leader_is_down: Happens = |a, _| a.order(TargetOrder::Down);
    let leader_drains: Happens = |a, _| a.order(TargetOrder::Drain);
    let leader_rests: Happens = |a, _| a.order(TargetOrder::Maintain);
    let rests: Happens = |a, b| {
        b.order(TargetOrder::Maintain);
        a.order(TargetOrder::Down);
    };
    let resolves_now: Happens = |_, b| {
        b.unresolved("nobody knows it");
        b.state.set_address(Some("10.0.0.2:80".parse().unwrap()));
    };
    let said_down: Happens = |_, b| b.order(TargetOrder::Down);
    use Health::{Draining, Healthy, Unhealthy, Unused};
    for (old, new, happens, expected) in [
        (AGENT, PLAIN, says_down, Healthy),
        (AGENT, AGENT, says_down, Unhealthy),
        (FOLLOWS, PLAIN, leader_is_down, Healthy),
        (FOLLOWS, FOLLOWS, leader_is_down, Unhealthy),
        (FOLLOWS, PLAIN, leader_drains, Healthy),
        (FOLLOWS, FOLLOWS, leader_drains, Draining),
        (FOLLOWS, PLAIN, leader_rests, Healthy),
        (FOLLOWS, FOLLOWS, leader_rests, Unused),
        (FOLLOWS, PLAIN, rests, Unused),
        (FOLLOWS, FOLLOWS, rests, Unused),
        (NAME, HEAVIER, resolves_now, Healthy),
        // What a command says holds.
        (PLAIN, AGENT, said_down, Unhealthy),
        (AGENT, PLAIN, said_down, Unhealthy),
    ] {
        for (way, b) in ["reload", "upgrade"]
            .iter()
            .zip(becomes(old, new, &happens))
        {
            assert_eq!(b.state.health(), expected, "{way}: {old} to {new}");
        }
    }
    for b in becomes(AGENT, AGENT, &says_down) {
        b.agent_told(AgentState::Up);
        assert_eq!(b.state.health(), Healthy);
    }
}

#[test]
fn what_came_by_command_stays_while_the_configuration_does() {
    for (b, is_same) in [("'10.0.0.2:80'", true), (FOLLOWS, false)] {
        let snapshot = two(b);
        let tls = [GroupTls::default(), GroupTls::default()];
        for stays in [true, false] {
            let mut all = watch(&snapshot);
            let at = all.iter().position(|it| it[0].target.name.as_str() == "b");
            let at = at.unwrap();
            let group = &snapshot.groups[at];
            let added = Arc::new(WatchedTarget::added(group, &group.targets[0]));
            all[at] = Arc::new([added.clone()]);
            let watching = Watching {
                snapshot: &snapshot,
                targets: &all,
                tls: &tls,
                leaving: &[],
                stays,
            };
            let next = watch_next(&watching, &snapshot, &tls);
            next.settle();
            let b = &next.targets[at][0];
            assert_eq!(Arc::ptr_eq(b, &added), stays && is_same);
            let (expected, why) = match stays {
                true => (Health::Unused, "added by command, in maintenance"),
                false => (Health::Healthy, "no health check"),
            };
            assert_eq!((b.state.health(), b.is_added), (expected, stays));
            assert_eq!(b.health().reason, why);
            assert_eq!(b.rests(), stays);
        }
    }
}
