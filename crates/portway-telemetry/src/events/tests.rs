//! What events say, and how loud.

use super::*;

#[test]
fn lines() {
    let check = |event: Event<'_>, code: &str, level: Level, line: &str| {
        assert_eq!((event.code(), event.level()), (code, level), "{line}");
        assert_eq!(event.to_string(), line);
        emit(&event);
    };
    let address: SocketAddr = "127.0.0.1:8080".parse().expect("address");
    check(
        Event::Started {
            version: "0.1.0",
            workers: 1,
        },
        "started",
        Level::INFO,
        "Portway 0.1.0 serves with 1 worker",
    );
    check(
        Event::ListenerStarted {
            listener: "web",
            protocol: "https",
            address: &address,
        },
        "listener_started",
        Level::INFO,
        "listener web accepts https on 127.0.0.1:8080",
    );
    let change = |from, to| Event::TargetHealthChanged {
        target_group: "app",
        target: "app1",
        from,
        to,
        reason: &"connection refused",
    };
    check(
        change(TargetHealth::Healthy, TargetHealth::Unhealthy),
        "target_health_changed",
        Level::WARN,
        "target app1 of app is unhealthy (was healthy): connection refused",
    );
    assert_eq!(
        change(TargetHealth::Initial, TargetHealth::Healthy).level(),
        Level::INFO
    );
    check(
        Event::TargetGroupDown {
            target_group: "app",
            fail_open: false,
        },
        "target_group_down",
        Level::ERROR,
        "target group app has no usable target: what comes to it is refused, unless another group takes over",
    );
    check(
        Event::TargetGroupDown {
            target_group: "app",
            fail_open: true,
        },
        "target_group_down",
        Level::ERROR,
        "target group app has no usable target; all targets take traffic (fail-open)",
    );
    check(
        Event::TargetHandshakeFailed {
            target_group: "app",
            target: "app1",
            error: &"the certificate has expired",
            times: 2,
        },
        "target_handshake_failed",
        Level::WARN,
        "TLS with target app1 of app failed 2 times: the certificate has expired",
    );
    check(
        Event::TargetResolved {
            target_group: "app",
            target: "app1",
            address: Ok(address),
        },
        "target_resolved",
        Level::INFO,
        "target app1 of app has the address 127.0.0.1:8080",
    );
    check(
        Event::TargetResolved {
            target_group: "app",
            target: "app1",
            address: Err("no such name"),
        },
        "target_resolved",
        Level::WARN,
        "target app1 of app has no address: no such name",
    );
    check(
        Event::KeysFetched {
            url: "https://login.example/keys",
            keys: Ok(2),
        },
        "keys_fetched",
        Level::INFO,
        "2 keys of tokens are known from https://login.example/keys",
    );
    let ocsp = |answer, until, is_must| Event::OcspFetched {
        certificate: "site",
        url: "http://ocsp.example/",
        answer,
        until,
        is_must,
    };
    check(
        ocsp(Ok(()), Some("Nov 30 03:45:11 2026 GMT"), true),
        "ocsp_fetched",
        Level::INFO,
        "an answer of OCSP for certificate site is known from http://ocsp.example/; clients are shown one that is true until Nov 30 03:45:11 2026 GMT",
    );
    check(
        ocsp(Err("the answer was 500"), None, false),
        "ocsp_fetched",
        Level::WARN,
        "there is no new answer of OCSP for certificate site from http://ocsp.example/: the answer was 500; clients are shown none",
    );
    check(
        ocsp(Err("the answer was 500"), None, true),
        "ocsp_fetched",
        Level::ERROR,
        "there is no new answer of OCSP for certificate site from http://ocsp.example/: the answer was 500; clients are shown none, and those that heed the certificate (must-staple) refuse it",
    );
    check(
        Event::KeysFetched {
            url: "https://login.example/keys",
            keys: Err("the answer was 500"),
        },
        "keys_fetched",
        Level::WARN,
        "the keys of tokens cannot be fetched from https://login.example/keys: the answer was 500",
    );
    check(
        Event::MembersChanged {
            target_group: "app",
            came: "app@10.0.0.3:80, app@10.0.0.4:80",
            left: "app@10.0.0.1:80",
        },
        "members_changed",
        Level::INFO,
        "targets of app by name: app@10.0.0.3:80, app@10.0.0.4:80 came; app@10.0.0.1:80 left",
    );
    check(
        Event::MemoryShort {
            used: 900,
            budget: 1000,
        },
        "memory_short",
        Level::WARN,
        "connections and exchanges take 900 bytes of 1000 that they may: new clients wait, and beyond that requests get 503",
    );
    check(
        Event::MemoryEnough {
            used: 20,
            budget: 1000,
            after: Duration::from_secs(7),
        },
        "memory_enough",
        Level::INFO,
        "there is memory again: connections and exchanges take 20 bytes of 1000 after 7s",
    );
    check(
        Event::CertificateLoaded {
            certificate: "site",
            names: "a.example",
            days_left: 90,
        },
        "certificate_loaded",
        Level::INFO,
        "certificate site for a.example expires in 90 days",
    );
    check(
        Event::CertificateLoaded {
            certificate: "site",
            names: "a.example",
            days_left: -1,
        },
        "certificate_loaded",
        Level::WARN,
        "certificate site for a.example expired 1 day ago",
    );
    check(
        Event::Reloaded {
            by: "SIGHUP",
            generation: 2,
            changes: 1,
        },
        "reloaded",
        Level::INFO,
        "reloaded (SIGHUP): configuration 2 is at work, 1 change",
    );
    check(
        Event::ReloadFailed {
            by: "SIGHUP",
            error: "a.toml:1:1: no",
        },
        "reload_failed",
        Level::ERROR,
        "not reloaded (SIGHUP), the configuration stays as it is: a.toml:1:1: no",
    );
    check(
        Event::UpgradeStarted { by: "SIGUSR2" },
        "upgrade_started",
        Level::INFO,
        "upgrade (SIGUSR2): the program is started again",
    );
    check(
        Event::Upgraded {
            by: "SIGUSR2",
            process: 7,
            took: Duration::from_millis(120),
        },
        "upgraded",
        Level::INFO,
        "upgraded (SIGUSR2): process 7 serves, after 120 ms",
    );
    check(
        Event::UpgradeFailed {
            by: "SIGUSR2",
            error: "a.toml:1:1: no",
        },
        "upgrade_failed",
        Level::ERROR,
        "not upgraded (SIGUSR2), this process goes on: a.toml:1:1: no",
    );
    check(
        Event::ShutdownStarted {
            by: "SIGTERM",
            deadline: Duration::from_secs(30),
        },
        "shutdown_started",
        Level::INFO,
        "stopping (SIGTERM): what is in progress has 30s",
    );
    check(
        Event::DrainDeadlineReached { connections: 3 },
        "drain_deadline_reached",
        Level::WARN,
        "deadline of the stop reached: 3 connections cut",
    );
    check(
        Event::ShutdownEnded {
            after: Duration::from_millis(250),
        },
        "shutdown_ended",
        Level::INFO,
        "stopped after 250ms",
    );
    check(
        Event::AccessLogFailed {
            log: "a.log",
            error: &"disk full",
            records: 9,
            in_all: 9,
        },
        "access_log_failed",
        Level::ERROR,
        "access log a.log lost 9 records: disk full",
    );
    check(
        Event::AccessLogFailed {
            log: "a.log",
            error: &"cannot open it",
            records: 0,
            in_all: 0,
        },
        "access_log_failed",
        Level::ERROR,
        "access log a.log: cannot open it",
    );
    check(
        Event::AccessLogFailed {
            log: "a.log",
            error: &"disk full",
            records: 9,
            in_all: 700,
        },
        "access_log_failed",
        Level::ERROR,
        "access log a.log lost 9 records more, 700 since it began: disk full",
    );
    check(
        Event::AccessLogRecovered {
            log: "a.log",
            records: 700,
            after: Duration::from_secs(93),
        },
        "access_log_recovered",
        Level::INFO,
        "access log a.log loses nothing any more: 700 records were lost in 93s",
    );
    check(
        Event::AccessLogRecovered {
            log: "a.log",
            records: 0,
            after: Duration::from_secs(3),
        },
        "access_log_recovered",
        Level::INFO,
        "access log a.log is written again, after 3s",
    );
}
