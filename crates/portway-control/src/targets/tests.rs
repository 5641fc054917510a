//! Names that resolve late, errors that count, and targets that wait for their first check.

use super::*;
use crate::sources::compile_text;

fn target(check: &str) -> Arc<WatchedTarget> {
    let text = format!(
        "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['name.invalid:80']\n{check}"
    );
    let compiled = compile_text("test.toml", &text);
    let snapshot = compiled
        .snapshot
        .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
    watch(&snapshot)[0][0].clone()
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
    let compiled = compile_text("test.toml", text);
    let snapshot = compiled
        .snapshot
        .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
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
