//! Consistent hashing with bounded load, beside HAProxy's.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::stage::Client;
use crate::support::{PORTWAY, Scene, eventually, free_port, local};

/// Who got requests, in order; they are answered once the gate is open.
#[derive(Default)]
struct Arrivals {
    order: Mutex<Vec<String>>,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Arrivals {
    /// A target that holds what it gets.
    fn target(self: &Arc<Self>, name: &'static str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let arrivals = Arc::clone(self);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let arrivals = Arc::clone(&arrivals);
                thread::spawn(move || arrivals.serve(stream, name));
            }
        });
        port
    }

    fn serve(&self, mut stream: TcpStream, name: &str) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).is_ok_and(|count| count == 0) {
                    return;
                }
            }
            self.order.lock().unwrap().push(name.to_owned());
            let open = self.open.lock().unwrap();
            let open = self.opened.wait_while(open, |open| !*open).unwrap();
            drop(open);
            let answer =
                format!("HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Length: 0\r\n\r\n");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn count(&self) -> usize {
        self.order.lock().unwrap().len()
    }
}

/// Who gets each of so many requests that are all under way, asked with these keys in turn.
fn led(program: &str, factor: u32, weights: [u32; 3], keys: &[&str]) -> Vec<String> {
    let scene = Scene::new();
    let arrivals = Arc::new(Arrivals::default());
    let web = free_port();
    let servers: String = ["a", "b", "c"]
        .into_iter()
        .zip(weights)
        .map(|(name, weight)| {
            let port = arrivals.target(name);
            format!("  server {name} 127.0.0.1:{port} weight {weight}\n")
        })
        .collect();
    // Ids, not addresses, say where servers are on the ring: both programs have the same ones.
    let text = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend web\n  bind 127.0.0.1:{web}\n  default_backend app\n\
         backend app\n  balance hdr(x-key)\n  hash-type consistent sdbm avalanche\n  hash-balance-factor {factor}\n{servers}"
    );
    scene.file("web.cfg", &text);
    let _running = match program {
        "haproxy" => scene.serve(web, "haproxy", &["-db", "-f", "web.cfg"]),
        _ => {
            let admin = format!("127.0.0.1:{}", free_port());
            let arguments = ["run", "--workers", "2", "--admin", &admin, "web.cfg"];
            let mut process = scene.spawn(PORTWAY, &arguments);
            process.wait_for(local(web));
            process
        }
    };
    let mut clients = Vec::new();
    for (number, key) in (1..=24).zip(keys.iter().cycle()) {
        let mut client = Client::new(web);
        client.send(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n"
        ));
        eventually("it arrives", || (arrivals.count() == number).then_some(()));
        clients.push(client);
    }
    *arrivals.open.lock().unwrap() = true;
    arrivals.opened.notify_all();
    for client in &mut clients {
        assert!(client.answer().starts_with("http/1.1 200 "));
    }
    std::mem::take(&mut *arrivals.order.lock().unwrap())
}

#[test]
fn requests_that_are_led_on_go_where_haproxy_leads_them() {
    let cases: [(u32, [u32; 3], &[&str]); 4] = [
        (0, [1, 1, 1], &["one"]),
        (125, [1, 1, 1], &["one"]),
        (150, [3, 1, 2], &["one", "one", "two"]),
        (300, [1, 2, 1], &["one", "two", "three", "four", "five"]),
    ];
    for (factor, weights, keys) in cases {
        let ours = led("portway", factor, weights, keys);
        let theirs = led("haproxy", factor, weights, keys);
        assert_eq!(ours, theirs, "{factor} {weights:?} {keys:?}");
        let busiest = ["a", "b", "c"].map(|it| ours.iter().filter(|name| *name == it).count());
        // One key is not one target where there is a bound.
        assert_eq!(factor > 0, busiest.iter().all(|it| *it < 24), "{busiest:?}");
    }
}
