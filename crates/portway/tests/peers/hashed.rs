//! A consistent hash of a cookie under load, over reloads and the death of a target: who stays, who moves, and how much one target
//! gets at most where its load is bounded.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::choice::CHECK;
use crate::serving::{Serving, next_head};
use crate::stage::{Client, Stage, listener, server};
use crate::support::{eventually, free_port, local};

/// A target that takes a moment for each request, and counts how many it has at once.
struct Worker {
    name: &'static str,
    serving: Serving,
    /// The most there ever were.
    most: Arc<AtomicUsize>,
}

impl Worker {
    fn start(name: &'static str) -> Self {
        let (most, busy) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let shared = Arc::clone(&most);
        let head = format!("HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Length: 0\r\n\r\n");
        let serving = Serving::start(0, move |mut stream| {
            let mut reader = BufReader::new(stream);
            while next_head(&mut reader).is_some() {
                let now = busy.fetch_add(1, Ordering::SeqCst) + 1;
                shared.fetch_max(now, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(3));
                busy.fetch_sub(1, Ordering::SeqCst);
                if stream.write_all(head.as_bytes()).is_err() {
                    return;
                }
            }
        });
        Self {
            name,
            serving,
            most,
        }
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Who was served by whom, of clients that ask all the time.
#[derive(Default)]
struct Load {
    seen: Mutex<Vec<(usize, String)>>,
    ended: AtomicBool,
}

/// Ends the clients, also where a test fails.
struct Ends<'l>(&'l Load);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }
}

impl Load {
    /// Asks with one key after the other, until the load ends.
    fn ask(&self, web: u16, keys: &[usize]) {
        let mut client = Client::new(web);
        for key in keys.iter().cycle() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let cookie = format!("Cookie: theme=dark; user=u{key}\r\n");
            let head = client.ask_with("/", &cookie);
            assert!(head.starts_with("http/1.1 200 "), "{key}: {head}");
            let served = (*key, server(&head).unwrap().to_owned());
            self.seen.lock().unwrap().push(served);
        }
    }

    /// So many answers of those that come from now on.
    fn next(&self, count: usize) -> Vec<(usize, String)> {
        self.seen.lock().unwrap().clear();
        eventually("answers", || {
            let mut seen = self.seen.lock().unwrap();
            (seen.len() >= count).then(|| std::mem::take(&mut *seen))
        })
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn text(web: u16, workers: &[Worker], more: &str) -> String {
    let targets = workers.iter().map(|it| {
        let (name, port) = (it.name, it.serving.port);
        format!("{{ name = '{name}', address = '127.0.0.1:{port}' }}")
    });
    let targets: Vec<String> = targets.collect();
    format!(
        "{}[target_group.app]\nalgorithm = {{ hash = 'cookie(`user`)' }}\nretries = 2\ntargets = [{}]\n{CHECK}\n{more}\n",
        listener("web", web, "app"),
        targets.join(", ")
    )
}

/// Portway with all targets up, on a load of so many clients with these keys each.
fn under_load(
    keys: &[Vec<usize>],
    more: &str,
    test: impl FnOnce(&Stage, &dyn Fn(&str) -> String, &[Worker], &Load),
) {
    let web = free_port();
    let workers = NAMES.map(Worker::start);
    let with = |more: &str| text(web, &workers, more);
    let stage = Stage::new(&with(more));
    for worker in &workers {
        let at = local(worker.serving.port);
        stage.portway.wait_for_health("app", at, "healthy");
    }
    let load = Load::default();
    thread::scope(|scope| {
        for keys in keys {
            scope.spawn(|| load.ask(web, keys));
        }
        let _ends = Ends(&load);
        test(&stage, &with, &workers, &load);
    });
    assert_eq!(
        stage.metric("portway_listener_requests_total{listener=\"web\",code=\"5xx\"} "),
        "0"
    );
}

#[test]
fn keys_stay_over_a_reload_and_only_those_of_a_dead_target_move() {
    const CLIENTS: usize = 8;
    const EACH: usize = 8;
    const ROUND: usize = 3 * CLIENTS * EACH;
    let keys: Vec<Vec<usize>> = (0..CLIENTS)
        .map(|client| (client * EACH..(client + 1) * EACH).collect())
        .collect();
    under_load(&keys, "", |stage, with, workers, load| {
        let homes: BTreeMap<usize, String> = eventually("all keys are seen", || {
            let seen: BTreeMap<usize, String> = load.next(ROUND).into_iter().collect();
            (seen.len() == CLIENTS * EACH).then_some(seen)
        });
        for name in NAMES {
            assert!(homes.values().any(|it| it == name), "{homes:?}");
        }
        let all_stay = |seen: &[(usize, String)], but: &str| {
            for (key, name) in seen {
                let home = &homes[key];
                assert!(name == home || home == but, "{key}: {home}, {name}");
            }
        };
        // While it is read, and after it.
        load.seen.lock().unwrap().clear();
        stage.becomes(&with("max_pending = 77"));
        let during = std::mem::take(&mut *load.seen.lock().unwrap());
        all_stay(&during, "");
        all_stay(&load.next(ROUND), "");
        // Dead, and not known to be, then known.
        workers[1].serving.die();
        all_stay(&load.next(ROUND), "b");
        let at = local(workers[1].serving.port);
        stage.portway.wait_for_health("app", at, "unhealthy");
        let mut moved: BTreeMap<usize, String> = BTreeMap::new();
        for more in ["max_pending = 77", "max_pending = 78"] {
            stage.becomes(&with(more));
            // What was under way is over.
            load.next(ROUND);
            let seen = load.next(ROUND);
            all_stay(&seen, "b");
            for (key, name) in seen {
                assert_ne!(name, "b", "{key}");
                // It has one new home.
                let new = moved.entry(key).or_insert_with(|| name.clone());
                assert_eq!(*new, name, "{key}");
            }
        }
    });
}

#[test]
fn no_target_has_more_than_its_bound_under_load() {
    const CLIENTS: usize = 16;
    const ROUND: usize = 40 * CLIENTS;
    // Nearly everybody wants the same.
    let keys: Vec<Vec<usize>> = (0..CLIENTS).map(|it| vec![1, 1, 1, 1, 1 + it]).collect();
    under_load(
        &keys,
        "hash_balance_factor = 125",
        |stage, with, workers, load| {
            // The factor times what there is at most, in equal shares. Another worker may choose at the same moment.
            let holds = |factor: usize, targets: usize| {
                let bound = (CLIENTS * factor).div_ceil(100).div_ceil(targets) + 1;
                let most: Vec<usize> = workers.iter().map(Worker::most).collect();
                assert!(most.iter().all(|it| *it <= bound), "{bound}: {most:?}");
                let busy = most.iter().filter(|it| **it > 1).count();
                assert!(busy > 1, "{most:?}");
            };
            load.next(ROUND);
            holds(125, 4);
            stage.becomes(&with("hash_balance_factor = 125\nmax_pending = 77"));
            load.next(ROUND);
            holds(125, 4);
            stage.becomes(&with("hash_balance_factor = 200"));
            load.next(ROUND);
            holds(200, 4);
            // Dead, and not known to be, then known.
            workers[1].serving.die();
            load.next(ROUND);
            let at = local(workers[1].serving.port);
            stage.portway.wait_for_health("app", at, "unhealthy");
            load.next(ROUND);
            holds(200, 3);
        },
    );
}
