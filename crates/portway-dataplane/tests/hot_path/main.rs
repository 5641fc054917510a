//! One worker, one client, one target, and exchanges of fixed bytes one after the other: what the path of a request
//! costs when nothing else happens.
//!
//! Every test holds the number of allocations in steady state. `cargo xtask instructions` runs the same tests with
//! [`EXCHANGES`] set, under callgrind, and takes the instructions of the worker's thread from two runs of different
//! length. Client and target allocate nothing and are not counted, or counted as nothing.

#![cfg(test)]

#[path = "../wire/harness.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests in `wire`, which use all of it"
)]
mod harness;

use harness::Proxy;
use portway_testkit::peer::PATIENCE;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Names the number of exchanges to be made by a measurement, which counts no allocations.
const EXCHANGES: &str = "PORTWAY_EXCHANGES";

/// Exchanges before allocations are counted: pools and scratch memories are filled by then.
const WARM_UP: usize = 200;

/// Exchanges during which allocations are counted.
const COUNTED: usize = 1000;

/// Allocations that are no exchange's: what grows once, and the worker's clock.
const STRAY: usize = 100;

/// Allocations are counted for the whole process: one test at a time where a runner has no process for each.
static ALONE: Mutex<()> = Mutex::new(());

const REQUEST: &[u8] = b"GET /shop/items?page=2 HTTP/1.1\r\nHost: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,*/*;q=0.8\r\n\
    Accept-Encoding: gzip, deflate\r\nCookie: session=0123456789abcdef\r\n\r\n";

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: target\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 46\r\nConnection: keep-alive\r\n\r\n\
    hello world 1234567890 hello world 1234567890\n";

/// What most requests meet: one listener, one group.
const PLAIN: &str = "
[listener.web]
bind = '@0'
forward = 'app'
[target_group.app]
targets = ['TARGET']
";

/// Ten rules, the last of which takes the request, and edits of fields in both directions.
const RULES: &str = "
[listener.web]
bind = '@0'
forward = 'other'
[[listener.web.rule]]
when = 'Host(`a.example.com`)'
forward = 'other'
[[listener.web.rule]]
when = 'Host(`*.b.example.com`)'
forward = 'other'
[[listener.web.rule]]
when = 'Host(`www.example.com`) && PathPrefix(`/api`)'
forward = 'other'
[[listener.web.rule]]
when = 'Host(`www.example.com`) && Path(`/shop`)'
forward = 'other'
[[listener.web.rule]]
when = 'PathPrefix(`/static`) || PathPrefix(`/images`)'
forward = 'other'
[[listener.web.rule]]
when = 'Method(`POST`)'
forward = 'other'
[[listener.web.rule]]
when = 'Header(`X-Tenant`, `blue`)'
forward = 'other'
[[listener.web.rule]]
when = 'Query(`page`, `1`)'
forward = 'other'
[[listener.web.rule]]
actions = [
    { set_header = { X-Real-IP = '${source}', X-Host = '${host}' } },
    { remove_header = ['X-Debug', 'X-Internal'] },
]
[[listener.web.rule]]
when = 'PathPrefix(`/shop`)'
forward = 'app'
[target_group.other]
targets = ['TARGET']
[target_group.app]
targets = ['TARGET']
[[target_group.app.rule]]
phase = 'response'
actions = [{ set_header = { X-Group = 'app' } }, { remove_header = ['Server'] }]
";

/// A target that answers everything with [`RESPONSE`], one connection at a time.
fn target() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            connection.set_nodelay(true).unwrap();
            while receive(&mut connection, |head| head.ends_with(b"\r\n\r\n")) {
                connection.write_all(RESPONSE).unwrap();
            }
        }
    });
    address
}

/// Reads until `is_whole` of what was received; false where the peer closed instead.
fn receive(connection: &mut TcpStream, is_whole: impl Fn(&[u8]) -> bool) -> bool {
    let mut bytes = [0; 2048];
    let mut filled = 0;
    while !is_whole(&bytes[..filled]) {
        match connection.read(&mut bytes[filled..]).unwrap() {
            0 => return false,
            n => filled += n,
        }
    }
    true
}

fn exchange(client: &mut TcpStream) {
    client.write_all(REQUEST).unwrap();
    assert!(receive(client, |response| {
        response.starts_with(b"HTTP/1.1 200 OK\r\n") && response.ends_with(b"1234567890\n")
    }));
}

/// Makes exchanges; outside of a measurement `allocations` is what each of them may allocate.
fn check(configuration: &str, allocations: usize) {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let configuration = configuration.replace("TARGET", &target().to_string());
    let proxy = Proxy::start_with(&configuration, |plane| {
        let listener = std::sync::Arc::get_mut(&mut plane.listeners[0]);
        listener.unwrap().log = None;
    });
    let mut client = TcpStream::connect(proxy.address(0)).unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let measured = std::env::var(EXCHANGES).ok();
    let first = measured.as_ref().map_or(WARM_UP, |n| n.parse().unwrap());
    (0..first).for_each(|_| exchange(&mut client));
    if measured.is_none() {
        let region = Region::new(ALLOCATOR);
        (0..COUNTED).for_each(|_| exchange(&mut client));
        let seen = region.change();
        let made = seen.allocations + seen.reallocations;
        assert!(
            made <= allocations * COUNTED + STRAY,
            "{made} allocations in {COUNTED} exchanges; {allocations} for each are stated: {seen:?}"
        );
        assert!(
            allocations == 0 || made > (allocations - 1) * COUNTED + STRAY,
            "only {made} allocations in {COUNTED} exchanges: state less than {allocations}"
        );
    }
    drop(client);
    proxy.finish(0);
}

/// The one allocation is the future of the exchange, which only lives while there is one.
#[test]
fn plain() {
    check(PLAIN, 1);
}

/// Rules and edits of fields allocate nothing.
#[test]
fn rules() {
    check(RULES, 1);
}
