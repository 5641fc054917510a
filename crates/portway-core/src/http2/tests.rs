//! Frames as a peer may send them, and what comes of each; then two connections that talk to each other.

use super::frame::{self, FrameHead};
use super::{
    Block, Broken, Connection, ErrorCode, HEAD_BYTES, Limits, PREFACE, Rate, Reached, Role, Sink,
    hpack,
};
use proptest::prelude::*;
use std::time::Duration;

/// Writes down what it hears.
#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    fields: Vec<String>,
    /// What is answered to a block whose fields have `refuse`.
    refusal: Option<ErrorCode>,
}

impl Sink for Notes {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.fields.push(format!("{}={}", text(name), text(value)));
    }

    fn block(&mut self, stream: u32, what: Block, end: bool) -> Result<bool, ErrorCode> {
        let fields = std::mem::take(&mut self.fields).join(",");
        self.lines
            .push(format!("{stream} {what:?} {fields}{}", ending(end)));
        let is_interim = fields.starts_with(":status=1");
        self.refusal
            .filter(|_| fields.contains("refuse"))
            .map_or(Ok(is_interim), Err)
    }

    fn forget(&mut self) {
        self.fields.clear();
    }

    fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> Result<(), ErrorCode> {
        self.lines
            .push(format!("{stream} data {}{}", bytes.len(), ending(end)));
        Ok(())
    }

    fn reset(&mut self, stream: u32, code: ErrorCode, by_peer: bool) {
        let by = if by_peer { "peer" } else { "us" };
        self.lines
            .push(format!("{stream} reset {} by {by}", code.0));
    }

    fn opened(&mut self, stream: u32) {
        self.lines.push(format!("{stream} opened"));
    }

    fn refused(&mut self, limit: Reached) {
        self.lines.push(format!("refused for {limit:?}"));
    }

    fn going_away(&mut self, last: u32, code: ErrorCode) {
        self.lines.push(format!("away {last} {}", code.0));
    }
}

fn ending(end: bool) -> &'static str {
    if end { " end" } else { "" }
}

fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_head(kind, flags, stream, payload.len(), &mut out);
    out.extend(payload);
    out
}

fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_settings(all, &mut out);
    out
}

fn fields(all: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in all {
        hpack::field(name.as_bytes(), value.as_bytes(), false, &mut block);
    }
    block
}

/// HEADERS of a whole block with a field.
fn headers(stream: u32, flags: u8) -> Vec<u8> {
    raw(1, flags | 4, stream, &fields(&[("a", "b")]))
}

fn data(stream: u32, bytes: usize, flags: u8) -> Vec<u8> {
    raw(0, flags, stream, &vec![b'x'; bytes])
}

/// What frames say, a word for each.
fn told(mut out: &[u8]) -> String {
    let mut words = Vec::new();
    while let Some(head) = FrameHead::read(out) {
        let payload = &out[HEAD_BYTES..HEAD_BYTES + head.length];
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        let stream = head.stream;
        words.push(match out[3] {
            3 => format!("reset {stream} {}", number(0)),
            4 => ["settings", "ack"][usize::from(head.flags)].to_owned(),
            6 => ["ping", "pong"][usize::from(head.flags)].to_owned(),
            7 => format!("goaway {} {}", number(0), number(4)),
            8 => format!("window {stream} {}", number(0)),
            kind => format!("{kind} {stream} {}", head.length),
        });
        out = &out[HEAD_BYTES + head.length..];
    }
    words.join(", ")
}

fn limits() -> Limits {
    Limits {
        streams: 3,
        block_bytes: 40_000,
        continuations: 3,
        connection_window: 200_000,
        resets: Rate {
            burst: 2,
            per_second: 1,
        },
        idle_frames: Rate {
            burst: 4,
            per_second: 1,
        },
        ..Limits::default()
    }
}

/// A server that has been greeted.
fn server() -> Connection {
    let mut server = Connection::new(Role::Server, limits());
    let greeting = [PREFACE.as_slice(), &settings(&[])].concat();
    let taken = server.receive(&greeting, Duration::ZERO, &mut Notes::default());
    assert_eq!(taken, Ok(greeting.len()));
    assert_eq!(told(&server.out), "settings, window 0 134465, ack");
    server.out.clear();
    server
}

/// Gives these frames to a server: what it hears and what it says.
fn gives(frames: &[Vec<u8>]) -> (String, String, Result<usize, Broken>) {
    let mut server = server();
    let mut notes = Notes {
        refusal: Some(ErrorCode::PROTOCOL_ERROR),
        ..Notes::default()
    };
    let result = server.receive(&frames.concat(), Duration::from_secs(1), &mut notes);
    (notes.lines.join(", "), told(&server.out), result)
}

#[test]
fn what_is_in_order() {
    let priority = [&[0, 0, 0, 0, 7][..], &fields(&[("a", "b")])].concat();
    let padded = [&[3][..], b"xy", &[0; 3]].concat();
    let long = fields(&[("a", &"b".repeat(30_000))]);
    for (frames, heard, said) in [
        (vec![headers(1, 1)], "1 Head a=b end", ""),
        (
            vec![headers(1, 0), data(1, 5, 0), data(1, 2, 1)],
            "1 Head a=b, 1 data 5, 1 data 2 end",
            "",
        ),
        (
            vec![headers(1, 0), data(1, 5, 0), headers(1, 1)],
            "1 Head a=b, 1 data 5, 1 Trailers a=b end",
            "",
        ),
        (vec![raw(1, 0x24, 1, &priority)], "1 Head a=b", ""),
        (
            vec![headers(1, 0), raw(0, 8, 1, &padded)],
            "1 Head a=b, 1 data 2",
            "",
        ),
        // A block in pieces; what is not known is passed over.
        (
            vec![
                raw(77, 0xFF, 9, b"what"),
                raw(1, 1, 3, &long[..16_000]),
                raw(9, 0, 3, &long[16_000..]),
                raw(9, 4, 3, b""),
            ],
            &format!("3 Head a={} end", "b".repeat(30_000)),
            "",
        ),
        (
            vec![raw(6, 0, 0, b"12345678"), raw(6, 1, 0, b"12345678")],
            "",
            "pong",
        ),
        (
            vec![settings(&[(0x99, 1), (1, 0)]), raw(4, 1, 0, b"")],
            "0 opened",
            "ack",
        ),
        (
            vec![raw(7, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 2, 65])],
            "away 5 2",
            "",
        ),
        (
            vec![headers(1, 0), raw(3, 0, 1, &[0, 0, 0, 8])],
            "1 Head a=b, 1 reset 8 by peer",
            "",
        ),
        (
            vec![
                headers(1, 0),
                raw(8, 0, 1, &[0, 0, 0, 8]),
                raw(8, 0, 0, &[0, 0, 0, 8]),
            ],
            "1 Head a=b, 1 opened, 0 opened",
            "",
        ),
        (
            vec![headers(1, 0), raw(2, 0, 1, &[0, 0, 0, 0, 9])],
            "1 Head a=b",
            "",
        ),
        // A message that is malformed ends its stream alone.
        (
            vec![raw(1, 5, 1, &fields(&[("a", "refuse")])), headers(3, 1)],
            "1 Head a=refuse end, 1 reset 1 by us, 3 Head a=b end",
            "reset 1 1",
        ),
        // A fourth stream is refused, and its fields count for those that follow.
        (
            vec![
                headers(1, 0),
                headers(3, 0),
                headers(5, 0),
                headers(7, 0),
                data(7, 1, 1),
            ],
            "1 Head a=b, 3 Head a=b, 5 Head a=b, refused for Streams",
            "reset 7 7",
        ),
        // What a stream may hold is bounded, and what all hold comes back at once.
        (
            [headers(1, 0)]
                .into_iter()
                .chain((0..5).map(|_| data(1, 14_000, 0)))
                .collect(),
            "1 Head a=b, 1 data 14000, 1 data 14000, 1 data 14000, 1 data 14000, 1 reset 3 by us",
            "reset 1 3",
        ),
        // The other side has ended it.
        (
            vec![headers(1, 1), data(1, 1, 0)],
            "1 Head a=b end, 1 reset 5 by us",
            "reset 1 5",
        ),
        (
            vec![headers(1, 1), headers(1, 1)],
            "1 Head a=b end, 1 reset 5 by us",
            "reset 1 5",
        ),
        (
            vec![headers(1, 0), headers(1, 0)],
            "1 Head a=b, 1 reset 1 by us",
            "reset 1 1",
        ),
        (
            vec![headers(1, 0), raw(8, 0, 1, &[0; 4])],
            "1 Head a=b, 1 reset 1 by us",
            "reset 1 1",
        ),
        (
            vec![headers(1, 0), raw(8, 0, 1, &[0x7F, 0xFF, 0xFF, 0xFF])],
            "1 Head a=b, 1 reset 3 by us",
            "reset 1 3",
        ),
        (
            vec![headers(1, 0), raw(2, 0, 1, &[0, 0, 0, 1, 9])],
            "1 Head a=b, 1 reset 1 by us",
            "reset 1 1",
        ),
    ] {
        let length = frames.concat().len();
        let (heard_now, said_now, result) = gives(&frames);
        assert_eq!(
            (heard_now.as_str(), said_now.as_str(), result),
            (heard, said, Ok(length)),
        );
    }
}

#[test]
fn what_ends_a_connection() {
    const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
    const SIZE: ErrorCode = ErrorCode::FRAME_SIZE_ERROR;
    const FLOW: ErrorCode = ErrorCode::FLOW_CONTROL_ERROR;
    const CALM: ErrorCode = ErrorCode::ENHANCE_YOUR_CALM;
    let reset = |stream| raw(3, 0, stream, &[0, 0, 0, 8]);
    for (name, frames, code, limit) in [
        ("data of nobody", vec![data(0, 1, 0)], PROTOCOL, None),
        (
            "data of an idle stream",
            vec![data(1, 1, 0)],
            PROTOCOL,
            None,
        ),
        (
            "more padding than payload",
            vec![headers(1, 0), raw(0, 8, 1, &[2, 0])],
            PROTOCOL,
            None,
        ),
        (
            "no padding at all",
            vec![headers(1, 0), raw(0, 8, 1, &[])],
            PROTOCOL,
            None,
        ),
        ("fields of nobody", vec![headers(0, 1)], PROTOCOL, None),
        ("a stream of ours", vec![headers(2, 1)], PROTOCOL, None),
        (
            "numbers that go back",
            vec![headers(5, 1), headers(3, 1)],
            ErrorCode::STREAM_CLOSED,
            None,
        ),
        (
            "priority cut off",
            vec![raw(1, 0x24, 1, &[0; 4])],
            SIZE,
            None,
        ),
        (
            "depends on itself",
            vec![raw(1, 0x24, 1, &[0, 0, 0, 1, 9, 0x82])],
            PROTOCOL,
            None,
        ),
        (
            "fields nobody can read",
            vec![raw(1, 5, 1, &[0x80])],
            ErrorCode::COMPRESSION_ERROR,
            None,
        ),
        (
            "a block interrupted",
            vec![raw(1, 0, 1, &[]), data(1, 1, 0)],
            PROTOCOL,
            None,
        ),
        (
            "a block interrupted by another",
            vec![raw(1, 0, 1, &[]), raw(9, 4, 3, &[])],
            PROTOCOL,
            None,
        ),
        (
            "a block interrupted by what is not known",
            vec![raw(1, 0, 1, &[]), raw(99, 0, 1, &[])],
            PROTOCOL,
            None,
        ),
        ("no block", vec![raw(9, 4, 1, &[])], PROTOCOL, None),
        (
            "no end of a block",
            std::iter::once(raw(1, 0, 1, &[]))
                .chain((0..4).map(|_| raw(9, 0, 1, &[])))
                .collect(),
            CALM,
            Some(Reached::Continuations),
        ),
        (
            "a long block",
            std::iter::once(raw(1, 0, 1, &[0; 16_000]))
                .chain((0..2).map(|_| raw(9, 0, 1, &[0; 16_000])))
                .collect(),
            CALM,
            Some(Reached::BlockBytes),
        ),
        (
            "a promise",
            vec![raw(5, 4, 1, &[0, 0, 0, 2])],
            PROTOCOL,
            None,
        ),
        (
            "settings of a stream",
            vec![raw(4, 0, 1, &[])],
            PROTOCOL,
            None,
        ),
        ("settings cut off", vec![raw(4, 0, 0, &[0; 5])], SIZE, None),
        (
            "settings and an answer to some",
            vec![raw(4, 1, 0, &[0; 6])],
            SIZE,
            None,
        ),
        (
            "push is neither on nor off",
            vec![settings(&[(2, 2)])],
            PROTOCOL,
            None,
        ),
        (
            "a window that is none",
            vec![settings(&[(4, 1 << 31)])],
            FLOW,
            None,
        ),
        (
            "frames below the least",
            vec![settings(&[(5, 16_383)])],
            PROTOCOL,
            None,
        ),
        (
            "frames beyond the most",
            vec![settings(&[(5, 1 << 24)])],
            PROTOCOL,
            None,
        ),
        (
            "a ping of a stream",
            vec![raw(6, 0, 1, &[0; 8])],
            PROTOCOL,
            None,
        ),
        ("a short ping", vec![raw(6, 0, 0, &[0; 7])], SIZE, None),
        (
            "an end of a stream",
            vec![raw(7, 0, 1, &[0; 8])],
            PROTOCOL,
            None,
        ),
        ("a short end", vec![raw(7, 0, 0, &[0; 7])], SIZE, None),
        ("a reset of nobody", vec![reset(0)], PROTOCOL, None),
        ("a reset of an idle stream", vec![reset(1)], PROTOCOL, None),
        (
            "a short reset",
            vec![headers(1, 0), raw(3, 0, 1, &[0; 3])],
            SIZE,
            None,
        ),
        ("a short window", vec![raw(8, 0, 0, &[0; 3])], SIZE, None),
        (
            "a window of an idle stream",
            vec![raw(8, 0, 1, &[0, 0, 0, 1])],
            PROTOCOL,
            None,
        ),
        ("nothing more", vec![raw(8, 0, 0, &[0; 4])], PROTOCOL, None),
        (
            "too much more",
            vec![raw(8, 0, 0, &[0x7F, 0xFF, 0xFF, 0xFF])],
            FLOW,
            None,
        ),
        (
            "a window of a stream moved too far",
            vec![
                headers(1, 0),
                raw(8, 0, 1, &[0x7F, 0xFF, 0, 0]),
                settings(&[(4, 0x7FFF_FFFF)]),
            ],
            FLOW,
            None,
        ),
        (
            "streams begun and ended",
            (0..3)
                .flat_map(|at| [headers(2 * at + 1, 1), reset(2 * at + 1)])
                .collect(),
            CALM,
            Some(Reached::Resets),
        ),
        (
            "many more streams than there may be",
            (0..6).map(|at| headers(2 * at + 1, 0)).collect(),
            CALM,
            Some(Reached::Streams),
        ),
        (
            "pings",
            (0..5).map(|_| raw(6, 0, 0, &[0; 8])).collect(),
            CALM,
            Some(Reached::IdleFrames),
        ),
        (
            "empty data",
            std::iter::once(headers(1, 0))
                .chain((0..5).map(|_| data(1, 0, 0)))
                .collect(),
            CALM,
            Some(Reached::IdleFrames),
        ),
        (
            "settings",
            (0..5).map(|_| settings(&[])).collect(),
            CALM,
            Some(Reached::IdleFrames),
        ),
        (
            "data behind the end",
            std::iter::once(headers(1, 1))
                .chain((0..40).map(|at| headers(3 + 2 * at, 5)))
                .chain((0..5).map(|_| data(1, 1, 0)))
                .collect(),
            CALM,
            Some(Reached::Streams),
        ),
    ] {
        let (_, said, result) = gives(&frames);
        assert_eq!(result, Err(Broken { code, limit }), "{name}");
        let told = said.rsplit(", ").next().unwrap_or_default();
        assert!(
            told.starts_with("goaway ") && told.ends_with(&format!(" {}", code.0)),
            "{name}: {said}"
        );
    }
}

#[test]
fn a_frame_that_is_too_long_is_not_waited_for() {
    let mut server = server();
    let mut head = Vec::new();
    frame::write_head(0, 0, 1, 16_385, &mut head);
    let result = server.receive(&head, Duration::ZERO, &mut Notes::default());
    assert_eq!(result, Err(ErrorCode::FRAME_SIZE_ERROR.into()));
}

#[test]
fn who_does_not_greet_is_no_client() {
    for (bytes, is_one) in [
        (&b"PRI * HTTP/2.0\r\n"[..], true),
        (b"GET / HTTP/1.1\r\n", false),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx", false),
    ] {
        let mut server = Connection::new(Role::Server, limits());
        let result = server.receive(bytes, Duration::ZERO, &mut Notes::default());
        assert_eq!(result.is_ok(), is_one);
    }
    // Settings come first.
    let mut server = Connection::new(Role::Server, limits());
    let bytes = [PREFACE.as_slice(), &raw(6, 0, 0, &[0; 8])].concat();
    let result = server.receive(&bytes, Duration::ZERO, &mut Notes::default());
    assert_eq!(result, Err(ErrorCode::PROTOCOL_ERROR.into()));
}

#[test]
fn time_gives_back_what_rates_have_taken() {
    let mut server = server();
    let ping = raw(6, 0, 0, &[0; 8]);
    for second in 1..50 {
        let now = Duration::from_secs(second);
        assert!(server.receive(&ping, now, &mut Notes::default()).is_ok());
    }
}

#[test]
fn a_stream_that_is_used_as_it_comes_gets_a_wider_window() {
    let mut server = server();
    let take = |server: &mut Connection, bytes: &[u8]| {
        server
            .receive(bytes, Duration::ZERO, &mut Notes::default())
            .unwrap();
    };
    take(&mut server, &headers(1, 0));
    let mut widest = 0;
    for _ in 0..400 {
        take(&mut server, &data(1, 16_000, 0));
        server.used(1, 16_000);
        let said = told(&std::mem::take(&mut server.out));
        let of_stream = said.split(", ").find_map(|it| it.strip_prefix("window 1 "));
        widest = widest.max(of_stream.map_or(0, |more| more.parse().unwrap()));
    }
    assert!(widest > 512 * 1024, "{widest}");
}

#[test]
fn draining() {
    let mut server = server();
    let mut notes = Notes::default();
    let mut take = |server: &mut Connection, bytes: &[u8]| {
        server.receive(bytes, Duration::ZERO, &mut notes).unwrap();
    };
    take(&mut server, &headers(1, 1));
    server.drain();
    take(&mut server, &headers(3, 1));
    server.finish(ErrorCode::NO_ERROR);
    // On its way when we said so: nobody looks at it, and it is no fault.
    take(&mut server, &[headers(5, 0), data(5, 10, 1)].concat());
    assert_eq!(told(&server.out), "goaway 2147483647 0, goaway 3 0");
    assert!(!server.is_finished());
    for stream in [1, 3] {
        server.send_block(stream, &[0x88], true);
    }
    assert!(server.is_finished());
    assert_eq!(notes.lines, ["1 Head a=b end", "3 Head a=b end"]);
}

#[test]
fn a_client_opens_as_many_streams_as_it_may() {
    let mut client = Connection::new(Role::Client, limits());
    let mut notes = Notes::default();
    let open = |client: &mut Connection| client.open(&fields(&[("a", "b")]), false);
    assert_eq!(open(&mut client), Some(1));
    let greeting = settings(&[(3, 2), (4, 10), (8, 1)]);
    client
        .receive(&greeting, Duration::ZERO, &mut notes)
        .unwrap();
    assert_eq!((open(&mut client), open(&mut client)), (Some(3), None));
    assert!(client.remote().connect_protocol);
    assert_eq!((client.room(1), client.room(3)), (10, 10));
    client.sent(1, 10, true);
    assert_eq!(client.room(1), 0);
    // The answer, and what the peer may not do.
    let interim = raw(1, 4, 1, &fields(&[(":status", "103")]));
    let answer = [interim, headers(1, 0), data(1, 3, 0), headers(1, 1)].concat();
    client.receive(&answer, Duration::ZERO, &mut notes).unwrap();
    assert_eq!(open(&mut client), Some(5));
    for (wrong, code) in [
        (headers(2, 1), ErrorCode::PROTOCOL_ERROR),
        (headers(9, 1), ErrorCode::PROTOCOL_ERROR),
        (data(9, 1, 1), ErrorCode::PROTOCOL_ERROR),
        (settings(&[(2, 1)]), ErrorCode::PROTOCOL_ERROR),
        (settings(&[(8, 0)]), ErrorCode::PROTOCOL_ERROR),
    ] {
        let mut client = Connection::new(Role::Client, limits());
        client
            .receive(&greeting, Duration::ZERO, &mut notes)
            .unwrap();
        let result = client.receive(&wrong, Duration::ZERO, &mut notes);
        assert_eq!(result, Err(code.into()));
    }
}

/// What one side does next.
#[derive(Debug, Clone)]
enum Step {
    Open,
    Head(usize, bool),
    Data(usize, usize, bool),
    Reset(usize),
    Drain,
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step, usize)>> {
    let step = prop_oneof![
        3 => Just(Step::Open),
        3 => (0..6_usize, any::<bool>()).prop_map(|(at, end)| Step::Head(at, end)),
        6 => (0..6_usize, 0..40_000_usize, any::<bool>()).prop_map(|(at, most, end)| Step::Data(at, most, end)),
        1 => (0..6_usize).prop_map(Step::Reset),
        1 => Just(Step::Drain),
    ];
    proptest::collection::vec((any::<bool>(), step, 1..5000_usize), 1..60)
}

proptest! {
    /// Whatever two of us do, neither finds fault with the other, however what they send is cut.
    #[test]
    fn two_of_us_get_along(steps in steps()) {
        let generous = Limits {
            resets: Rate { burst: 1000, per_second: 0 },
            idle_frames: Rate { burst: 1000, per_second: 0 },
            ..limits()
        };
        let mut sides = [Connection::new(Role::Client, generous), Connection::new(Role::Server, generous)];
        let mut ways = [Vec::new(), Vec::new()];
        let mut streams: Vec<(u32, [bool; 2])> = Vec::new();
        for (by_server, step, cut) in steps {
            let side = usize::from(by_server);
            let pick = |at: usize| streams.len().checked_sub(1).map(|last| last.saturating_sub(at));
            match step {
                Step::Open => {
                    let mut head = Vec::new();
                    sides[0].begin_block(&mut head);
                    hpack::field(b"a", &[b'x'; 100], false, &mut head);
                    if let Some(stream) = sides[0].open(&head, false) {
                        streams.push((stream, [true, false]));
                    }
                }
                Step::Head(at, end) => if let Some(at) = pick(at) && by_server && !streams[at].1[1] {
                    let known = sides[1].is_open(streams[at].0);
                    let mut block = Vec::new();
                    sides[1].begin_block(&mut block);
                    hpack::field(b"a", &[b'x'; 100], false, &mut block);
                    sides[1].send_block(streams[at].0, &block, end);
                    streams[at].1[1] = known;
                },
                Step::Data(at, most, end) => if let Some(at) = pick(at) && streams[at].1[side] {
                    let stream = streams[at].0;
                    let bytes = sides[side].room(stream).min(most);
                    if bytes > 0 {
                        let out = &mut sides[side].out;
                        frame::write_data_head(stream, bytes, end, out);
                        out.extend(vec![b'x'; bytes]);
                        sides[side].sent(stream, bytes, end);
                    }
                },
                Step::Reset(at) => if let Some(at) = pick(at) && streams[at].1[side] {
                    sides[side].reset(streams[at].0, ErrorCode::CANCEL);
                },
                Step::Drain if by_server => sides[1].drain(),
                Step::Drain => {}
            }
            for from in [0, 1] {
                let said = std::mem::take(&mut sides[from].out);
                ways[from].extend(said);
                let piece = cut.min(ways[from].len());
                let mut notes = Notes::default();
                let taken = sides[1 - from].receive(&ways[from][..piece], Duration::ZERO, &mut notes);
                prop_assert!(taken.is_ok(), "{taken:?}");
                ways[from].drain(..taken.unwrap());
                for line in notes.lines {
                    prop_assert!(!line.contains("by us"), "{line}");
                    let words: Vec<&str> = line.split(' ').collect();
                    if words.get(1) == Some(&"data") {
                        let (stream, bytes) = (words[0].parse().unwrap(), words[2].parse().unwrap());
                        sides[1 - from].used(stream, bytes);
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_panics(frames in proptest::collection::vec((0..11_u8, any::<u8>(), 0..8_u32, proptest::collection::vec(any::<u8>(), 0..40)), 0..30), as_client: bool) {
        let role = if as_client { Role::Client } else { Role::Server };
        let mut connection = Connection::new(role, limits());
        let mut bytes = if as_client { Vec::new() } else { PREFACE.to_vec() };
        bytes.extend(settings(&[]));
        for (kind, flags, stream, payload) in frames {
            bytes.extend(raw(kind, flags, stream, &payload));
        }
        let _ = connection.receive(&bytes, Duration::ZERO, &mut Notes::default());
    }
}
