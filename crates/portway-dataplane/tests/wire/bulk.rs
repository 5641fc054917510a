//! Bulk that goes from socket to socket through pipes of the kernel: every byte arrives, however its peers behave, and
//! every pipe comes back.

use crate::harness::{Proxy, simple};
use portway_dataplane::pipe;
use portway_testkit::peer::{BETWEEN_PIECES, End, Target, Wire, eventually};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const MIB: usize = 1024 * 1024;
/// More than all buffers of sockets on the way hold together.
const MUCH: usize = 24 * MIB;

/// Bytes of which no two places close to each other look the same.
fn pattern(bytes: usize) -> Vec<u8> {
    let words = (0_u64..).map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    words.flatten().take(bytes).collect()
}

fn tcp(target: SocketAddr) -> String {
    format!(
        "[listener.raw]\nbind = \"@0\"\nprotocol = \"tcp\"\nforward = \"raw\"\n\
         [target_group.raw]\ntargets = [\"{target}\"]\n"
    )
}

/// Sends this and ends its direction, then reads until the other side has ended.
fn sender(bytes: Vec<u8>) -> Target {
    Target::start(move |_, mut wire| {
        wire.receive(1)?;
        wire.send(&bytes)?;
        wire.half_close()?;
        wire.until_end().map(drop)
    })
    .unwrap()
}

/// Sends this and ends its direction while it receives everything that comes.
fn both_ways(wire: &mut Wire, bytes: &[u8]) -> std::io::Result<(Vec<u8>, End)> {
    let mut writer = wire.another()?;
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || {
            writer.send(bytes)?;
            writer.half_close()
        });
        let received = wire.until_end();
        sending.join().unwrap()?;
        received
    })
}

/// What is known of pipes is known of the process: where tests share one, they take turns. At most so many pipes.
fn with(most: u32) -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    pipe::set_most(most);
    turn
}

/// Reads so many bytes slowly, at first with nothing on the way at all.
fn sip(wire: &mut Wire, bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        std::thread::sleep(Duration::from_millis(2));
        all.extend(wire.receive((bytes - all.len()).min(40_000)).unwrap());
    }
    all
}

/// A request with this body.
fn put(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// No transfer has a pipe any more.
fn all_come_back() {
    assert!(
        eventually(|| pipe::figures().lent == 0),
        "{:?}",
        pipe::figures()
    );
}

#[test]
fn a_stream_is_moved_both_ways_at_once() {
    let _turn = with(8);
    let bytes = pattern(MUCH);
    let back = bytes.clone();
    let target = Target::start(move |_, mut wire| both_ways(&mut wire, &back).map(drop)).unwrap();
    let proxy = Proxy::start(&tcp(target.address()));
    let mut client = proxy.client();
    let (came, end) = both_ways(&mut client, &bytes).unwrap();
    assert!(came == bytes && end == End::Closed, "{}", came.len());
    assert!(eventually(|| target.received(0) == bytes));
    all_come_back();
    // Nobody wants one for some time.
    assert!(eventually(|| pipe::figures().free == 0));
    // Two buffers go by in the ordinary way, and some pieces are small.
    let moved = pipe::figures().bytes as usize;
    assert!(moved > MUCH && moved <= 2 * MUCH, "{moved}");
    proxy.finish(1);
}

#[test]
fn bodies_of_known_length_and_up_to_the_end() {
    let _turn = with(8);
    let bytes = pattern(3 * MIB + 1);
    for (number, head) in [
        format!("Content-Length: {}\r\n\r\n", bytes.len()),
        "Connection: close\r\n\r\n".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = [format!("HTTP/1.1 200 OK\r\n{head}").as_bytes(), &bytes].concat();
        let target = Target::start(move |_, mut wire| {
            wire.head()?;
            wire.send(&answer)?;
            match number {
                0 => wire.until_end().map(drop),
                _ => Ok(()),
            }
        })
        .unwrap();
        let proxy = Proxy::start(&simple("", "", &[target.address()]));
        let mut client = proxy.client();
        let before = pipe::figures().bytes;
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
        client.head().unwrap();
        assert!(client.until_end().unwrap().0 == bytes);
        assert!(pipe::figures().bytes > before + 2 * MIB as u64);
        proxy.finish(1);
    }
    all_come_back();
}

#[test]
fn an_upload_leaves_the_next_request_where_it_is() {
    let _turn = with(8);
    let bytes = pattern(2 * MIB);
    let expected = bytes.clone();
    let target = Target::start(move |_, mut wire| {
        let message = wire.message()?;
        assert!(message.ends_with(&expected));
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")?;
        wire.message()?;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    let next = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
    client.send([&*put(&bytes), next].concat()).unwrap();
    assert!(client.message().unwrap().ends_with(b"one"));
    assert!(client.message().unwrap().ends_with(b"two"));
    assert!(pipe::figures().bytes > MIB as u64);
    drop(client);
    proxy.finish(2);
    all_come_back();
}

#[test]
fn who_gets_no_pipe_copies() {
    for most in [0, 1] {
        let _turn = with(most);
        let bytes = pattern(MUCH);
        let target = sender(bytes.clone());
        let proxy = Proxy::start(&tcp(target.address()));
        let mut clients = [proxy.client(), proxy.client()];
        for client in &mut clients {
            client.send("x").unwrap();
        }
        // Both fill what there is before anybody reads.
        std::thread::sleep(10 * BETWEEN_PIECES);
        for client in &mut clients {
            assert!(client.receive(MUCH).unwrap() == bytes);
        }
        let figures = pipe::figures();
        match most {
            0 => assert_eq!((figures.bytes, figures.refused, figures.free), (0, 0, 0)),
            _ => assert!(figures.bytes > 0 && figures.refused > 0, "{figures:?}"),
        }
        drop(clients);
        proxy.finish(2);
        all_come_back();
    }
}

#[test]
fn a_pipe_with_something_in_it_serves_nobody_else() {
    let _turn = with(8);
    let bytes = pattern(MUCH);
    // Its sending fails where the client goes.
    let target = sender(bytes.clone());
    let proxy = Proxy::start(&tcp(target.address()));
    for _ in 0..4 {
        // Takes nothing until the pipe is full, then goes.
        let mut client = Wire::connect_small(proxy.address(0)).unwrap();
        client.send("x").unwrap();
        assert!(eventually(|| pipe::figures().lent == 1));
        client.reset().unwrap();
        all_come_back();
    }
    let mut client = proxy.client();
    client.send("x").unwrap();
    assert!(client.receive(MUCH).unwrap() == bytes);
    drop(client);
    proxy.finish(5);
    all_come_back();
}

#[test]
fn what_a_slow_client_has_not_taken_leaves_before_what_comes_next() {
    let _turn = with(8);
    // Of several lengths, so that the last piece of some waits in the pipe when the body is over.
    for length in [MIB, MIB + 70_000, 2 * MIB + 200_000] {
        let body = pattern(length);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let answer = [head.as_bytes(), &body].concat();
        let target = Target::start(move |_, mut wire| {
            while wire.head().is_ok() {
                wire.send(&answer)?;
            }
            Ok(())
        })
        .unwrap();
        let proxy = Proxy::start(&simple("", "", &[target.address()]));
        let mut client = Wire::connect_small(proxy.address(0)).unwrap();
        for _ in 0..3 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            client.head().unwrap();
            assert!(sip(&mut client, length) == body);
        }
        drop(client);
        proxy.finish(3);
        all_come_back();
    }
}

#[test]
fn a_slow_target_gets_a_body_before_the_next_request() {
    let _turn = with(8);
    let body = pattern(MIB + 70_000);
    let expected = body.clone();
    let target = Target::start_small(move |_, mut wire| {
        for _ in 0..3 {
            wire.head()?;
            assert!(sip(&mut wire, expected.len()) == expected);
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&simple("", "", &[target.address()]));
    let mut client = proxy.client();
    let request = put(&body);
    for _ in 0..3 {
        client.send(&request).unwrap();
        assert!(client.head().unwrap().starts_with(b"HTTP/1.1 200"));
    }
    assert!(pipe::figures().bytes > MIB as u64);
    drop(client);
    proxy.finish(3);
    all_come_back();
}

#[test]
fn little_after_much_keeps_its_place() {
    let _turn = with(8);
    let bytes = pattern(3 * MIB);
    let sent = bytes.clone();
    let target = Target::start(move |_, mut wire| {
        wire.receive(1)?;
        // Much, then pieces that are too small for a pipe, while the client has not taken what came before.
        let (much, little) = sent.split_at(2 * MIB);
        wire.send(much)?;
        for piece in little.chunks(20_000) {
            std::thread::sleep(Duration::from_millis(1));
            wire.send(piece)?;
        }
        wire.half_close()?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let proxy = Proxy::start(&tcp(target.address()));
    let mut client = Wire::connect_small(proxy.address(0)).unwrap();
    client.send("x").unwrap();
    assert!(sip(&mut client, bytes.len()) == bytes);
    assert_eq!(client.until_end().unwrap(), (Vec::new(), End::Closed));
    drop(client);
    proxy.finish(1);
    all_come_back();
}

#[test]
fn a_target_that_is_reset_in_the_middle() {
    let _turn = with(8);
    let target = Target::start(|_, mut wire| {
        wire.receive(1)?;
        wire.send(pattern(4 * MIB))?;
        wire.receive(1)?;
        wire.reset()
    })
    .unwrap();
    let proxy = Proxy::start(&tcp(target.address()));
    let mut client = proxy.client();
    client.send("x").unwrap();
    assert!(client.receive(4 * MIB).unwrap() == pattern(4 * MIB));
    client.send("x").unwrap();
    client.until_end().unwrap();
    drop(client);
    proxy.finish(1);
    all_come_back();
}
