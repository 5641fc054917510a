//! Who waits for a target, and who of them is served first: priorities as HAProxy has them, and limits of a group.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::agents::Agent;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{Scene, eventually, free_port};

/// Targets that answer when they are let, and know what came in which order.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    pub(crate) open: Arc<AtomicBool>,
    /// What was asked for: the path, and the header `X-Priority`.
    seen: Arc<Mutex<Vec<String>>>,
    busy: Arc<AtomicUsize>,
    /// The most that were busy at once.
    pub(crate) most: Arc<AtomicUsize>,
}

impl Gate {
    /// Another target behind the same gate.
    pub(crate) fn target(&self) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let gate = gate.clone();
                thread::spawn(move || gate.serve(stream));
            }
        });
        port
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let (mut path, mut priority) = (String::new(), String::new());
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).map_or(true, |count| count == 0) {
                    return;
                }
                let line = line.trim_end().to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                if path.is_empty() {
                    path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                }
                if let Some(value) = line.strip_prefix("x-priority:") {
                    priority = value.trim().to_owned();
                }
            }
            let seen = format!("{path} {priority}");
            self.seen.lock().unwrap().push(seen.trim().to_owned());
            let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(busy, Ordering::SeqCst);
            while !self.open.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            thread::sleep(Duration::from_millis(20));
            self.busy.fetch_sub(1, Ordering::SeqCst);
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn arrived(&self, count: usize) {
        eventually(format_args!("{count} have arrived"), || {
            (self.seen().len() >= count).then_some(())
        });
    }
}

/// Path, class and offset of those that come while the target is busy, in the order of their coming.
const COMING: [(&str, &str, &str); 9] = [
    ("/plain", "", ""),
    ("/late", "0", "400000"),
    ("/last", "7", "-500000"),
    ("/next", "", ""),
    ("/early", "0", "-400000"),
    ("/first", "-3", ""),
    ("/beyond", "-99999", "0"),
    ("/word", "word", "0"),
    ("/same", "-3", ""),
];

/// In which order they are served where `port` forwards to this gate's only target, which takes one at a time.
fn order(port: u16, gate: &Gate) -> Vec<String> {
    let ask = |path: &str, class: &str, offset: &str| {
        let mut client = Client::new(port);
        client.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-Class: {class}\r\nX-Offset: {offset}\r\n\r\n"
        ));
        client
    };
    let mut clients = vec![ask("/busy", "", "")];
    gate.arrived(1);
    for (path, class, offset) in COMING {
        clients.push(ask(path, class, offset));
        // Nobody tells when one waits in another's queue; this is long enough for it to be there.
        thread::sleep(Duration::from_millis(150));
    }
    gate.open.store(true, Ordering::SeqCst);
    for client in &mut clients {
        assert!(client.answer().starts_with("http/1.1 200 "));
    }
    gate.seen()
}

fn configuration(web: u16, target: u16) -> String {
    format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  timeout queue 30s\n\
         frontend web\n  bind 127.0.0.1:{web}\n  http-request set-priority-class req.hdr(x-class)\n  \
         http-request set-priority-offset req.hdr(x-offset)\n  default_backend app\n\
         backend app\n  http-request set-header X-Priority \"%[prio_class]/%[prio_offset]\"\n  \
         server a 127.0.0.1:{target} maxconn 1\n"
    )
}

#[test]
fn who_waits_is_served_in_the_order_of_haproxy() {
    let mut orders = Vec::new();
    for program in ["haproxy", "portway"] {
        let (scene, gate, web) = (Scene::new(), Gate::default(), free_port());
        scene.file("haproxy.cfg", configuration(web, gate.target()));
        let _running = match program {
            "haproxy" => {
                let haproxy = scene.serve(web, "haproxy", &["-db", "-f", "haproxy.cfg"]);
                (Some(haproxy), None)
            }
            _ => (None, Some(scene.portway_with(&["haproxy.cfg"]))),
        };
        orders.push(order(web, &gate));
    }
    assert_eq!(orders[0], orders[1]);
    let paths: Vec<&str> = orders[1]
        .iter()
        .map(|it| it.split(' ').next().unwrap())
        .collect();
    let expected = "/busy /beyond /first /same /early /plain /next /word /late /last";
    assert_eq!(paths.join(" "), expected);
}

#[test]
fn a_group_has_a_limit_over_all_targets_and_workers() {
    let (gate, web, dead) = (Gate::default(), free_port(), free_port());
    let ports = [gate.target(), gate.target(), dead];
    let with = |most: u32| {
        let (listener, group) = (listener("web", web, "app"), group("app", &ports));
        let limit = format!("max_connections = {most}\ntimeouts.queue = '30s'\n");
        format!("{listener}{group}{limit}")
    };
    let stage = Stage::new(&with(2));
    let mut clients: Vec<Client> = (0..12).map(|_| Client::new(web)).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let queued = |count: &str| {
        let line = "portway_target_group_queued{target_group=\"app\"} ";
        eventually(format_args!("{count} wait"), || {
            (stage.metric(line) == count).then_some(())
        });
    };
    queued("10");
    let printed = stage.command(&["status"]).stdout;
    let row = printed
        .lines()
        .skip_while(|it| !it.contains("OF THEM FOR ONE TARGET"));
    let row = row
        .clone()
        .nth(1)
        .map(|it| it.split_whitespace().collect::<Vec<_>>());
    assert_eq!(row, Some(vec!["app", "10", "0"]), "{printed}");
    let admin = format!("http://{}/", stage.portway.admin);
    let page = stage.scene.curl(&["-s", &admin]).good();
    assert!(
        page.contains("<span class=queued>10 queued</span>"),
        "{page}"
    );
    // Nobody waits for one target alone, and that is said of each: the group has a limit.
    let alone =
        format!("portway_target_queued{{target_group=\"app\",target=\"127.0.0.1:{dead}\"}} ");
    assert_eq!(stage.metric(&alone), "0");
    assert_eq!(gate.most.load(Ordering::SeqCst), 2);
    let reached = "portway_limit_reached_total{limit=\"target_group_connections\"} ";
    assert_ne!(stage.metric(reached), "0");
    // A higher limit holds for those who wait already; a lower one takes nobody away.
    stage.becomes(&with(4));
    queued("8");
    stage.becomes(&with(1));
    let explained = stage.command(&["explain", &format!("http://127.0.0.1:{web}/")]);
    assert!(
        explained.stdout.contains("its group is full"),
        "{explained}"
    );
    gate.open.store(true, Ordering::SeqCst);
    for client in &mut clients {
        // A dead target is left for another one, within the same limit.
        assert!(client.answer().starts_with("http/1.1 200 "));
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), 4);
    queued("0");
    gate.most.store(0, Ordering::SeqCst);
    let later: Vec<_> = (0..6)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::new(web);
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                client.answer()
            })
        })
        .collect();
    for one in later {
        assert!(one.join().unwrap().starts_with("http/1.1 200 "));
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), 1);
}

#[test]
fn who_waits_for_a_target_that_goes_down_is_served_by_another() {
    let [a, b] = [(); 2].map(|()| Gate::default());
    let (web, agent) = (free_port(), Agent::start());
    let [of_a, of_b] = [&a, &b].map(Gate::target);
    let text = |retries: u32| {
        format!(
            "{}[target_group.app]\nretries = {retries}\nstickiness = {{ cookie = 'S', values = 'given' }}\n\
             targets = [{{ address = '127.0.0.1:{}', cookie = 'a', max_connections = 1, agent = {{ port = {}, interval = '50ms', \
             timeout = '30s', send = \"how?\\n\" }} }}, {{ address = '127.0.0.1:{}', cookie = 'b' }}]\n[target_group.app.timeouts]\nqueue = '10m'\n",
            listener("web", web, "app"),
            of_a,
            agent.port,
            of_b
        )
    };
    let (first, second) = (text(1), text(2));
    let stage = Stage::with(Scene::new(), &first, &[]);
    b.open.store(true, Ordering::SeqCst);
    let ask = || {
        let mut client = Client::new(web);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nCookie: S=a\r\n\r\n");
        client
    };
    let mut busy = ask();
    a.arrived(1);
    let mut waits = ask();
    let waiting = |wanted: &str| {
        let line = "portway_target_group_queued{target_group=\"app\"} ";
        eventually(format_args!("{wanted} wait"), || {
            (stage.metric(line) == wanted).then_some(())
        });
    };
    waiting("1");
    // It waits on over a reload, and goes elsewhere once there is nothing to wait for.
    stage.becomes(&second);
    waiting("1");
    assert_eq!(b.seen().len(), 0);
    agent.says("down\n");
    let answer = waits.answer();
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
    assert!(answer.contains("set-cookie: s=b"), "{answer}");
    assert_eq!((a.seen().len(), b.seen().len()), (1, 1));
    waiting("0");
    // What is at work there goes on.
    a.open.store(true, Ordering::SeqCst);
    assert!(busy.answer().starts_with("http/1.1 200 "));
    stage.portway.stop();
}

/// The time of a queue is not told by ticks, of which one alone is longer.
#[test]
fn who_waits_does_so_for_no_longer_than_was_said() {
    let (gate, web) = (Gate::default(), free_port());
    let target = gate.target();
    let stage = Stage::new(&format!(
        "{}[target_group.app]\ntargets = [{{ address = '127.0.0.1:{target}', max_connections = 1 }}]\n\
         retries = 0\ntimeouts.queue = '20ms'\n",
        listener("web", web, "app"),
    ));
    let mut busy = comes(web);
    gate.arrived(1);
    let waited = || {
        let began = Instant::now();
        let answer = comes(web).answer();
        assert!(answer.starts_with("http/1.1 503 "), "{answer}");
        began.elapsed()
    };
    let all: Vec<Duration> = (0..8).map(|_| waited()).collect();
    let least = Duration::from_millis(20);
    assert!(all.iter().all(|it| *it >= least), "{all:?}");
    // A busy machine may be late for some of them.
    assert!(all.iter().any(|it| *it < least * 3), "{all:?}");
    let faults = "portway_listener_faults_total{listener=\"web\",fault=\"queue_timeout\"} ";
    assert_eq!(stage.metric(faults), "8");
    gate.open.store(true, Ordering::SeqCst);
    assert!(busy.answer().starts_with("http/1.1 200 "));
}

/// What waits in the queue of the group `app`.
fn waiting(stage: &Stage, wanted: &str) {
    let line = "portway_target_group_queued{target_group=\"app\"} ";
    eventually(format_args!("{wanted} wait"), || {
        (stage.metric(line) == wanted).then_some(())
    });
}

/// A group whose first target has an agent and takes one at a time.
fn guarded(web: u16, first: (&Gate, &Agent), others: &str, more: &str) -> String {
    format!(
        "[process]\nzone = 'here'\n{}[target_group.app]\ntargets = [{{ name = 'a', address = '127.0.0.1:{}', zone = 'here', max_connections = 1, \
         agent = {{ port = {}, interval = '50ms', timeout = '30s', send = \"how?\\n\" }} }}{others}]\n{more}\n[target_group.app.timeouts]\nqueue = '10m'\n",
        listener("web", web, "app"),
        first.0.target(),
        first.1.port,
    )
}

fn comes(web: u16) -> Client {
    let mut client = Client::new(web);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client
}

#[test]
fn who_waits_goes_to_backups_as_soon_as_they_serve() {
    // What is said of the only primary target while three wait for it.
    for word in ["down\n", "drain\n", "0%\n"] {
        let [a, b, c] = [(); 3].map(|()| Gate::default());
        let (web, agent) = (free_port(), Agent::start());
        let [of_b, of_c] = [&b, &c].map(Gate::target);
        let others = format!(
            ", {{ address = '127.0.0.1:{of_b}', backup = true, max_connections = 1 }}, \
             {{ address = '127.0.0.1:{of_c}', backup = true }}"
        );
        let text = guarded(web, (&a, &agent), &others, "");
        let stage = Stage::new(&text);
        for gate in [&b, &c] {
            gate.open.store(true, Ordering::SeqCst);
        }
        let mut busy = comes(web);
        a.arrived(1);
        let mut clients: Vec<Client> = (0..3).map(|_| comes(web)).collect();
        waiting(&stage, "3");
        stage.becomes(&text.replace("queue = '10m'", "queue = '9m'"));
        waiting(&stage, "3");
        agent.says(word);
        for client in &mut clients {
            let answer = client.answer();
            assert!(answer.starts_with("http/1.1 200 "), "{word}: {answer}");
        }
        // One backup serves at a time, however long its queue is.
        let seen = [&a, &b, &c].map(|it| it.seen().len());
        assert_eq!(seen, [1, 3, 0], "{word}");
        a.open.store(true, Ordering::SeqCst);
        assert!(busy.answer().starts_with("http/1.1 200 "));
        waiting(&stage, "0");
        stage.portway.stop();
    }
}

#[test]
fn who_waits_is_served_by_a_group_that_fails_open() {
    for more in ["", "algorithm = { hash = 'path' }", "max_connections = 1"] {
        let (a, web, agent) = (Gate::default(), free_port(), Agent::start());
        let more = format!("when_none_healthy = 'fail_open'\n{more}");
        let text = guarded(web, (&a, &agent), "", &more);
        let stage = Stage::new(&text);
        agent.says("down\n");
        let mut clients: Vec<Client> = vec![comes(web)];
        a.arrived(1);
        clients.extend((0..3).map(|_| comes(web)));
        waiting(&stage, "3");
        stage.becomes(&text.replace("queue = '10m'", "queue = '9m'"));
        waiting(&stage, "3");
        a.open.store(true, Ordering::SeqCst);
        for client in &mut clients {
            let answer = client.answer();
            assert!(answer.starts_with("http/1.1 200 "), "{more}: {answer}");
        }
        assert_eq!(a.seen().len(), 4);
        stage.portway.stop();
    }
}

#[test]
fn who_waits_stays_in_the_zone() {
    let [a, b] = [(); 2].map(|()| Gate::default());
    let (web, agent) = (free_port(), Agent::start());
    let others = format!(
        ", {{ address = '127.0.0.1:{}', zone = 'elsewhere' }}",
        b.target()
    );
    let text = guarded(web, (&a, &agent), &others, "");
    let stage = Stage::new(&text);
    b.open.store(true, Ordering::SeqCst);
    let mut clients: Vec<Client> = vec![comes(web)];
    a.arrived(1);
    clients.extend((0..2).map(|_| comes(web)));
    waiting(&stage, "2");
    a.open.store(true, Ordering::SeqCst);
    for client in &mut clients {
        assert!(client.answer().starts_with("http/1.1 200 "));
    }
    assert_eq!((a.seen().len(), b.seen().len()), (3, 0));
    // Without any of the own zone the others serve.
    a.open.store(false, Ordering::SeqCst);
    let mut busy = comes(web);
    a.arrived(4);
    let mut waits = comes(web);
    waiting(&stage, "1");
    agent.says("down\n");
    assert!(waits.answer().starts_with("http/1.1 200 "));
    assert_eq!(b.seen().len(), 1);
    a.open.store(true, Ordering::SeqCst);
    assert!(busy.answer().starts_with("http/1.1 200 "));
}

/// So many that come at once, each on a connection of its own.
fn come(web: u16, count: usize) -> Vec<Client> {
    (0..count).map(|_| comes(web)).collect()
}

fn all_are_served(clients: &mut [Client]) {
    for client in clients {
        let answer = client.answer();
        assert!(answer.starts_with("http/1.1 200 "), "{answer}");
    }
}

/// Targets that take so many at once, one of them dead.
fn crowded(web: u16, most: u32, gates: &[&Gate], more: &str) -> String {
    let ports = gates.iter().map(|it| it.target());
    let targets: Vec<String> = [free_port()]
        .into_iter()
        .chain(ports)
        .map(|port| format!("{{ address = '127.0.0.1:{port}', max_connections = {most} }}"))
        .collect();
    format!(
        "{}[target_group.app]\nretries = 2\ntargets = [{}]\n{more}\n[target_group.app.timeouts]\nqueue = '10m'\n",
        listener("web", web, "app"),
        targets.join(", ")
    )
}

#[test]
fn the_first_is_filled_before_the_next() {
    let [a, b] = [(); 2].map(|()| Gate::default());
    let web = free_port();
    let text = crowded(web, 2, &[&a, &b], "algorithm = 'first'");
    let stage = Stage::new(&text);
    let mut clients = Vec::new();
    // Who has come, and where all are then.
    for (number, expected) in [(1, [1, 0]), (2, [2, 0]), (3, [2, 1]), (4, [2, 2])] {
        clients.extend(come(web, 1));
        let now = || [&a, &b].map(|it| it.seen().len());
        eventually("it has arrived", || {
            (now().iter().sum::<usize>() == number).then_some(())
        });
        assert_eq!(now(), expected);
        if number == 2 {
            stage.becomes(&text.replace("retries = 2", "retries = 3"));
        }
    }
    clients.extend(come(web, 2));
    waiting(&stage, "2");
    // A higher limit of now is for those who wait.
    stage.becomes(&text.replace("max_connections = 2", "max_connections = 3"));
    waiting(&stage, "0");
    eventually("they have arrived", || {
        (a.seen().len() + b.seen().len() == 6).then_some(())
    });
    for gate in [&a, &b] {
        gate.open.store(true, Ordering::SeqCst);
    }
    all_are_served(&mut clients);
    assert_eq!((a.seen().len(), b.seen().len()), (3, 3));
}

#[test]
fn the_load_of_a_key_is_bounded_while_all_are_busy() {
    for (factor, bounded) in [("", false), ("hash_balance_factor = 150", true)] {
        let [a, b, c] = [(); 3].map(|()| Gate::default());
        let web = free_port();
        let more = format!("algorithm = {{ hash = 'path' }}\n{factor}");
        let text = crowded(web, 100, &[&a, &b, &c], &more);
        let stage = Stage::new(&text);
        let busiest = || {
            let mut all = [&a, &b, &c].map(|it| it.seen().len());
            all.sort_unstable();
            all
        };
        let mut clients = Vec::new();
        for count in 1..=12 {
            clients.extend(come(web, 1));
            eventually("it has arrived", || {
                (busiest().iter().sum::<usize>() == count).then_some(())
            });
            if count == 6 {
                stage.becomes(&text.replace("retries = 2", "retries = 3"));
            }
        }
        let [_, second, most] = busiest();
        match bounded {
            // Of four targets, one of which is dead, each has half more than its share at most.
            true => assert!(second > 0 && most <= 6, "{:?}", busiest()),
            false => assert_eq!((second, most), (0, 12)),
        }
        for gate in [&a, &b, &c] {
            gate.open.store(true, Ordering::SeqCst);
        }
        all_are_served(&mut clients);
    }
}

#[test]
fn the_queue_has_a_time_over_reloads_with_dead_targets_and_backups() {
    let [a, b] = [(); 2].map(|()| Gate::default());
    let (web, dead) = (free_port(), free_port());
    let [of_a, of_b] = [&a, &b].map(Gate::target);
    let first = format!("{{ address = '127.0.0.1:{of_a}', max_connections = 1 }}");
    let text = |more: &str, time: &str| {
        format!(
            "{}[target_group.app]\nretries = 2\ntargets = [{first}{more}]\n[target_group.app.timeouts]\nqueue = '{time}'\n",
            listener("web", web, "app"),
        )
    };
    let stage = Stage::new(&text("", "900ms"));
    b.open.store(true, Ordering::SeqCst);
    let mut busy = comes(web);
    a.arrived(1);
    let mut refused = 0;
    let mut is_refused = |mut client: Client| {
        let answer = client.answer();
        assert!(answer.starts_with("http/1.1 503 "), "{answer}");
        refused += 1;
        let faults = "portway_listener_faults_total{listener=\"web\",fault=\"queue_timeout\"} ";
        eventually("the fault is counted", || {
            (stage.metric(faults) == refused.to_string()).then_some(())
        });
    };
    is_refused(comes(web));
    // Its time goes on over a reload.
    stage.becomes(&text("", "6s"));
    let waits = comes(web);
    waiting(&stage, "1");
    stage.becomes(&text("", "900ms"));
    is_refused(waits);
    // A target that is dead, and one that serves only where no other does.
    stage.becomes(&text(
        &format!(", {{ address = '127.0.0.1:{dead}', max_connections = 1 }}"),
        "900ms",
    ));
    is_refused(comes(web));
    let backup = format!(", {{ address = '127.0.0.1:{of_b}', backup = true }}");
    stage.becomes(&text(&backup, "900ms"));
    is_refused(comes(web));
    assert_eq!((a.seen().len(), b.seen().len()), (1, 0));
    a.open.store(true, Ordering::SeqCst);
    all_are_served(std::slice::from_mut(&mut busy));
    all_are_served(&mut [comes(web)]);
}
