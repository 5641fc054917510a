//! Descriptors run out: who is served is served to the end, what only waits makes room, who is new waits, and targets are not to
//! blame. All is as before once there is room.

use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::echo::Echo;
use crate::stage::{Client, group, listener, tunnels};
use crate::support::{Scene, eventually, free_port};
use crate::upgrade::Stage;

/// Half of them are for connections.
const FEW: [&str; 4] = ["sh", "-c", "ulimit -n 160; exec \"$@\"", "sh"];

/// More connections are allowed than there are descriptors for.
const MANY: &str = "[process]\nmax_connections = 1000\nstrict_limits = false\n";

const CHECKED: &str =
    "health_check = { tcp = true, interval = '100ms', unhealthy_threshold = 2 }\n";

fn metrics(stage: &Stage) -> String {
    let url = format!("http://{}/metrics", stage.admin);
    stage.scene.curl(&["-s", &url]).good()
}

/// The sum of the lines that begin so.
fn metric(stage: &Stage, begin: &str) -> u64 {
    let text = metrics(stage);
    let lines = text.lines().filter(|it| it.starts_with(begin));
    let values = lines.map(|it| it.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    values.sum()
}

/// Nothing is counted as open or in flight any more, and nobody was found to be down.
fn is_as_before(stage: &Stage, targets: &str) {
    for gauge in [
        "portway_listener_connections_open",
        "portway_target_requests_in_flight",
    ] {
        eventually(format_args!("{gauge} is 0"), || {
            (metric(stage, gauge) == 0).then_some(())
        });
    }
    assert_eq!(metric(stage, "portway_target_connect_failures_total"), 0);
    // One that could not be checked before is checked by now, or soon.
    eventually("all are healthy", || {
        let status = stage.json(&["status"]).to_string();
        let healthy = status.matches("\"health\":\"healthy\"").count();
        (healthy.to_string() == targets).then_some(())
    });
    let log = stage.first.log();
    assert!(!log.contains("is unhealthy"), "{log}");
}

#[test]
fn more_clients_than_descriptors_are_all_served() {
    let (one, two, web) = (Echo::start("one"), Echo::start("two"), free_port());
    let targets = group("app", &[one.port, two.port]) + CHECKED;
    let text = format!("{MANY}{}{targets}", listener("web", web, "app"));
    let stage = Stage::started_by(Scene::new(), &text, &FEW);
    eventually("checked", || {
        (stage.json(&["status"]).to_string().matches("check").count() > 3).then_some(())
    });
    let clients: Vec<_> = (0..150)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::new(web);
                let answers = [client.ask("/slow/200"), client.ask("/slow/50")];
                answers.iter().all(|it| it == "one" || it == "two")
            })
        })
        .collect();
    // Who asks meanwhile to read the file again is served too.
    stage.command(&["reload"]).good();
    for client in clients {
        assert!(client.join().unwrap());
    }
    let met = metric(
        &stage,
        "portway_limit_reached_total{limit=\"file_descriptors\"}",
    );
    assert!(met > 0, "{}", metrics(&stage));
    is_as_before(&stage, "2");
}

#[test]
fn who_rests_makes_room_and_who_is_served_stays() {
    let (one, chat, web, ws) = (Echo::start("one"), tunnels(), free_port(), free_port());
    let text = format!(
        "{MANY}{}{}{}{}",
        listener("web", web, "app"),
        listener("ws", ws, "chat"),
        group("app", &[one.port]),
        group("chat", &[chat]),
    );
    let stage = Stage::started_by(Scene::new(), &text, &FEW);
    let mut tunnel = Client::tunnel(ws);
    let mut resting: Vec<Client> = (0..60)
        .map(|_| {
            let mut client = Client::new(web);
            assert_eq!(client.ask("/"), "one");
            client
        })
        .collect();
    // Who was just served is not sent away.
    thread::sleep(Duration::from_millis(1300));
    let come: Vec<_> = (0..40)
        .map(|_| thread::spawn(move || Client::new(web).ask("/slow/200")))
        .collect();
    for client in come {
        assert_eq!(client.join().unwrap(), "one");
    }
    tunnel.beats();
    let left = metric(
        &stage,
        "portway_listener_connections_open{listener=\"web\"}",
    );
    assert!(left < 60, "{left}");
    // The first of them rested for the longest time.
    resting.first_mut().unwrap().ends();
    drop((resting, tunnel));
    is_as_before(&stage, "2");
}

#[test]
fn a_lack_of_ours_is_not_the_targets_fault() {
    let (one, two, web) = (Echo::start("one"), Echo::start("two"), free_port());
    let targets = group("app", &[one.port, two.port]) + CHECKED;
    let text = format!(
        "{}{targets}retries = 3\n[target_group.app.timeouts]\nconnect = '500ms'\n",
        listener("web", web, "app")
    );
    let stage = Stage::with(Scene::new(), &text, &[]);
    let process = Pid::from_raw(i32::try_from(stage.process()).unwrap());
    let mut clients = [(); 3].map(|()| Client::new(web));
    eventually("all are let in", || {
        (metric(&stage, "portway_listener_connections_open") == 3).then_some(())
    });
    let before = getrlimit(Resource::Nofile);
    let limit = |current| {
        let limit = Rlimit { current, ..before };
        prlimit(process, Resource::Nofile, limit).unwrap();
    };
    // No more than there are.
    limit(Some(3));
    clients[0].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = clients[0].answer();
    assert!(answer.starts_with("http/1.1 503 "), "{answer}");
    eventually("the checks say so", || {
        let log = stage.first.log();
        log.contains("could not be checked, and stays as it is")
            .then_some(())
    });
    // One that waits for a descriptor gets it.
    clients[1].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    thread::sleep(Duration::from_millis(200));
    limit(before.current);
    let answer = clients[1].answer();
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
    let server = clients[2].ask("/");
    assert!(server == "one" || server == "two", "{server}");
    let fault = "portway_listener_faults_total{listener=\"web\",fault=\"exhausted\"}";
    let faults = metric(&stage, fault);
    assert_eq!(faults, 1, "{}", metrics(&stage));
    assert_eq!(metric(&stage, "portway_target_group_retries_total"), 0);
    drop(clients);
    is_as_before(&stage, "2");
}
