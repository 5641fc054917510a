//! Targets that come and go while exchanges are served: what the change leaves as it was feels nothing.

use crate::harness::{Proxy, simple};
use crate::row::OK;

use portway_testkit::peer::{Target, Wire, eventually};
use std::io;
use std::sync::{Mutex, mpsc};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers every request with this body.
fn says(body: &'static str) -> Target {
    Target::start(move |_, mut wire| {
        loop {
            wire.message()?;
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{body}"
            ))?;
        }
    })
    .unwrap()
}

fn body(client: &mut Wire) -> String {
    client.send(GET).unwrap();
    let message = String::from_utf8(client.message().unwrap()).unwrap();
    message[message.len() - 1..].to_owned()
}

#[test]
fn those_that_stay_keep_their_connections_and_counts() {
    let (a, b, c) = (says("a"), says("b"), says("c"));
    let mut proxy = Proxy::start(&simple("", "", &[a.address(), b.address()]));
    let mut client = proxy.client();
    let mut asked: Vec<String> = (0..4).map(|_| body(&mut client)).collect();
    proxy.change_targets(&[0, 1], Some(c.address()));
    asked.extend((0..3).map(|_| body(&mut client)));
    proxy.change_targets(&[1, 2], None);
    asked.extend((0..4).map(|_| body(&mut client)));
    let of = |letter: &str| asked.iter().filter(|it| *it == letter).count();
    // Turns go on where they were.
    assert_eq!(asked[..4].concat(), "abab");
    assert_eq!((of("a"), of("b"), of("c")), (3, 5, 3), "{asked:?}");
    assert_eq!(asked[7..].iter().filter(|it| *it == "a").count(), 0);
    let of_b = proxy.target(0, 0);
    assert!(eventually(|| of_b.in_flight() == 0));
    assert_eq!(of_b.peak(), 1);
    drop(client);
    proxy.finish(11);
    assert_eq!(
        (a.connections(), b.connections(), c.connections()),
        (1, 1, 1)
    );
}

#[test]
fn a_client_that_rests_keeps_nothing_of_what_was() {
    let (a, b) = (says("a"), says("b"));
    let mut proxy = Proxy::start(&simple("", "", &[a.address()]));
    let (mut rests, came) = (proxy.client(), proxy.client());
    assert_eq!(body(&mut rests), "a");
    let before = proxy.plane();
    proxy.change_targets(&[], Some(b.address()));
    assert!(eventually(|| before.strong_count() == 0));
    assert_eq!(body(&mut rests), "b");
    drop((rests, came));
    proxy.finish(2);
}

#[test]
fn what_is_in_progress_ends_as_it_began() {
    let (go, going) = mpsc::channel::<()>();
    let going = Mutex::new(going);
    let slow = Target::start(move |_, mut wire| {
        wire.message()?;
        going.lock().unwrap().recv().map_err(io::Error::other)?;
        wire.send(OK)
    })
    .unwrap();
    let other = says("o");
    let mut proxy = Proxy::start(&simple("", "", &[slow.address()]));
    let mut waits = proxy.client();
    waits.send(GET).unwrap();
    assert!(eventually(|| proxy.target(0, 0).in_flight() == 1));
    proxy.change_targets(&[], Some(other.address()));
    assert_eq!(body(&mut proxy.client()), "o");
    go.send(()).unwrap();
    assert_eq!(waits.message().unwrap(), OK.as_bytes());
    assert_eq!(body(&mut waits), "o");
    drop(waits);
    proxy.finish(3);
}

/// Answers a request for each word that is sent.
fn on_demand() -> (Target, mpsc::Sender<()>) {
    let (go, going) = mpsc::channel::<()>();
    let going = Mutex::new(going);
    let target = Target::start(move |_, mut wire| {
        loop {
            wire.message()?;
            going.lock().unwrap().recv().map_err(io::Error::other)?;
            wire.send(OK)?;
        }
    });
    (target.unwrap(), go)
}

/// Requests of so many clients at a group whose one target takes one at a time: the first is served, the others wait.
fn queue_at(slow: &Target, more: &str, count: u32) -> (Proxy, Vec<Wire>) {
    let target = format!("{{ address = '{}', max_connections = 1 }}", slow.address());
    let text = format!(
        "[listener.web]\nbind = '@0'\nforward = 'app'\n[target_group.app]\ntargets = [{target}]\n{more}\n"
    );
    let proxy = Proxy::start(&text);
    let clients = (0..count).map(|place| {
        let mut client = proxy.client();
        let request = GET.replace("/ ", &format!("/{place} "));
        client.send(request).unwrap();
        let waits = || proxy.target(0, 0).in_flight() == 1 && proxy.waiting(0) == place;
        assert!(eventually(waits));
        client
    });
    let clients = clients.collect();
    (proxy, clients)
}

#[test]
fn who_waits_is_served_by_the_targets_of_now() {
    let ((slow, go), (new, goes)) = (on_demand(), on_demand());
    let (mut proxy, mut clients) = queue_at(&slow, "", 4);
    proxy.change_targets(&[0], Some(new.address()));
    assert!(eventually(|| proxy.target(0, 1).in_flight() == 1));
    assert_eq!(proxy.waiting(0), 2);
    // One that comes later waits behind the others.
    let mut late = proxy.client();
    late.send(GET).unwrap();
    assert!(eventually(|| proxy.waiting(0) == 3));
    for client in &mut clients[1..] {
        goes.send(()).unwrap();
        assert_eq!(client.message().unwrap(), OK.as_bytes());
    }
    goes.send(()).unwrap();
    assert_eq!(late.message().unwrap(), OK.as_bytes());
    go.send(()).unwrap();
    assert_eq!(clients[0].message().unwrap(), OK.as_bytes());
    let metric = "portway_target_requests_total{target_group=\"app\",target=\"new\",code=\"2xx\"}";
    assert_eq!(proxy.metric(metric), 4);
    drop((clients, late));
    proxy.finish(5);
}

#[test]
fn who_waits_for_a_target_that_goes_is_served_by_another() {
    for more in ["", "algorithm = { source_hash = { ring = 'sdbm' } }"] {
        let (slow, go) = on_demand();
        let other = says("o");
        let (mut proxy, mut clients) = queue_at(&slow, more, 3);
        proxy.change_targets(&[], Some(other.address()));
        for client in &mut clients[1..] {
            let message = String::from_utf8(client.message().unwrap()).unwrap();
            assert!(message.ends_with("\r\no"), "{more}: {message}");
        }
        assert_eq!(proxy.waiting(0), 0);
        go.send(()).unwrap();
        assert_eq!(clients[0].message().unwrap(), OK.as_bytes());
        drop(clients);
        let records = proxy.finish(3);
        let by_new = records.iter().filter(|it| it.contains("new")).count();
        assert_eq!(by_new, 2, "{records:?}");
    }
}

#[test]
fn who_waits_by_the_choice_of_an_algorithm_is_chosen_for_again() {
    let ((slow, go), (new, goes)) = (on_demand(), on_demand());
    let algorithm = "algorithm = { hash = \"path\", method = { ring = 'sdbm' } }";
    let (mut proxy, clients) = queue_at(&slow, algorithm, 8);
    assert_eq!(proxy.target(0, 0).queued(), 7);
    proxy.change_targets(&[0], Some(new.address()));
    // Those whose target is the new one now wait for it, behind the first of them.
    let queued = |nth| proxy.target(0, nth).queued();
    assert!(eventually(|| proxy.target(0, 1).in_flight() == 1));
    assert!(eventually(|| queued(0) + queued(1) == 6 && queued(1) > 0));
    for _ in &clients {
        go.send(()).unwrap();
        goes.send(()).unwrap();
    }
    for mut client in clients {
        assert_eq!(client.message().unwrap(), OK.as_bytes());
    }
    proxy.finish(8);
}
