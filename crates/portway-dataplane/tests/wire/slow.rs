//! Peers that take nothing: what we hold for them is bounded, and nobody else waits.

use crate::harness::{Proxy, simple};
use crate::row::{OK, same};
use portway_testkit::peer::{Target, Wire, eventually};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const BODY: usize = 64 * 1024 * 1024;
/// What may be on its way: buffers of both sockets of ours, which the kernel lets grow to a few MiB each.
const ON_THE_WAY: usize = 16 * 1024 * 1024;
const QUIET: Duration = Duration::from_millis(500);

/// How many bytes of a body the target could send to a client that reads none.
fn sent_to_a_deaf_client(head: &'static str) -> usize {
    let sent = Arc::new(Mutex::new(None));
    let told = Arc::clone(&sent);
    let target = Target::start_small(move |connection, mut wire| {
        wire.message()?;
        if connection > 0 {
            return wire.send(OK);
        }
        wire.send(head)?;
        let sent = wire.flood(BODY, QUIET)?;
        *told.lock().unwrap() = Some(sent);
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut deaf = Wire::connect_small(proxy.address(0)).unwrap();
    deaf.send(GET).unwrap();
    assert!(eventually(|| target.connections() == 1));
    let mut other = proxy.client();
    other.send(GET).unwrap();
    same("the other", &other.message().unwrap(), OK);
    assert!(eventually(|| sent.lock().unwrap().is_some()));
    drop((deaf, other));
    proxy.finish(2);
    let sent = sent.lock().unwrap().unwrap();
    println!("{sent} bytes sent");
    sent
}

#[test]
fn a_client_that_reads_nothing_stops_its_target() {
    let sent = sent_to_a_deaf_client("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
    assert!(sent < ON_THE_WAY, "{sent}");
    let sent = sent_to_a_deaf_client("HTTP/1.1 200 OK\r\n\r\n");
    assert!(sent < ON_THE_WAY, "{sent}");
}

#[test]
fn a_target_that_reads_nothing_stops_its_client() {
    let over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&over);
    let target = Target::start_small(move |connection, mut wire| {
        if connection > 0 {
            wire.message()?;
            return wire.send(OK);
        }
        wire.head()?;
        eventually(|| until.load(Ordering::SeqCst));
        Ok(())
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = Wire::connect_small(proxy.address(0)).unwrap();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n")
        .unwrap();
    let sent = client.flood(BODY, QUIET).unwrap();
    println!("{sent} bytes sent");
    assert!(sent < ON_THE_WAY, "{sent}");
    let mut other = proxy.client();
    other.send(GET).unwrap();
    same("the other", &other.message().unwrap(), OK);
    over.store(true, Ordering::SeqCst);
    drop((client, other));
    proxy.finish(2);
}

#[test]
fn a_tunnel_holds_no_more_than_its_buffers_in_either_direction() {
    for upwards in [false, true] {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let sent = Arc::new(Mutex::new(None));
        let told = Arc::clone(&sent);
        let target = Target::start_small(move |_, mut wire| {
            if !upwards {
                *told.lock().unwrap() = Some(wire.flood(BODY, QUIET)?);
            }
            eventually(|| until.load(Ordering::SeqCst));
            Ok(())
        })
        .unwrap();
        let text = format!(
            "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\nforward = \"raw\"\n\
             [target_group.raw]\ntargets = [\"{}\"]\n",
            target.address()
        );
        let proxy = Proxy::start(&text);
        let mut client = Wire::connect_small(proxy.address(0)).unwrap();
        if upwards {
            *sent.lock().unwrap() = Some(client.flood(BODY, QUIET).unwrap());
        }
        assert!(eventually(|| sent.lock().unwrap().is_some()));
        over.store(true, Ordering::SeqCst);
        drop(client);
        proxy.finish(1);
        let sent = sent.lock().unwrap().unwrap();
        println!("upwards {upwards}: {sent} bytes sent");
        assert!(sent < ON_THE_WAY, "{sent}");
    }
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let target = Target::start(|_, mut wire| {
        wire.message()?;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")?;
        wire.flood(BODY, Duration::from_secs(20))?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple(
        "timeouts.client = \"500ms\"",
        "",
        &[target.address()],
    ));
    let mut deaf = Wire::connect_small(proxy.address(0)).unwrap();
    deaf.send(GET).unwrap();
    assert!(eventually(
        || target.connections() == 1 && target.open() == 0
    ));
    proxy.quiet();
    drop(deaf);
    let log = proxy.finish(1);
    assert!(log[0].contains("client_timeout"), "{}", log[0]);
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn many_slow_readers_cost_a_bounded_memory() {
    const READERS: usize = 200;
    let target = Target::start_small(|_, mut wire| {
        wire.message()?;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")?;
        wire.flood(BODY, Duration::from_secs(2))?;
        Ok(())
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut readers: Vec<Wire> = (0..READERS)
        .map(|_| Wire::connect_small(proxy.address(0)).unwrap())
        .collect();
    let before = resident();
    for reader in &mut readers {
        reader.send(GET).unwrap();
    }
    for reader in &mut readers {
        reader.receive(1000).unwrap();
    }
    std::thread::sleep(Duration::from_millis(500));
    let grown = resident().saturating_sub(before);
    println!("{} bytes a reader", grown / READERS);
    // One buffer of 32 KiB each, an exchange, and a thread of the target with its stack; twice that for the rest.
    assert!(grown < READERS * 256 * 1024, "{grown}");
    drop(readers);
    proxy.finish(READERS);
}
