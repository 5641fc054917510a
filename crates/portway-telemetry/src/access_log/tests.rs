//! Golden lines, and what holds for every line.

use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::record::{Durations, FaultCode, Tls, Upstream};
use portway_model::name::Name;

static EARLIER: OnceLock<Vec<Name>> = OnceLock::new();

fn full() -> Record<'static> {
    let start = UNIX_EPOCH + Duration::from_millis(971_186_136_042);
    let client = "203.0.113.7:51234".parse().ok();
    let mut record = Record::new(start, "web", client, 443);
    record.tls = Some(Tls {
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
    });
    record.sni = Some("app.example.com");
    record.method = b"GET";
    record.scheme = "https";
    record.host = Some(b"app.example.com");
    record.request_target = b"/a?b=c";
    record.version = "HTTP/1.1";
    record.request_id = Some(b"018f-1");
    record.trace_id = Some(b"4bf9");
    record.span_id = Some(b"00f0");
    record.status = 200;
    record.bytes_in = 120;
    record.bytes_out = 2_500;
    record.body_bytes_in = 0;
    record.body_bytes_out = 2_326;
    record.upstream = Upstream {
        target_group: Some("app"),
        target: Some("app1"),
        address: "[2001:db8::1]:8080".parse().ok(),
        attempts: 2,
        earlier: EARLIER.get_or_init(|| vec![Name::new("app2")]),
        status: Some(200),
        connection_reused: true,
    };
    record.durations = Durations {
        request_head: Some(Duration::from_micros(15)),
        queue: Some(Duration::ZERO),
        connect: Some(Duration::from_micros(1_234)),
        response_head: Some(Duration::from_millis(1_500)),
        total: Some(Duration::from_secs(61)),
    };
    record.fault = Some(FaultCode::BadResponse("bare_lf"));
    record.user_agent = Some(b"Mozilla/5.0");
    record.referer = Some(b"https://example.com/");
    record.client_connection_reused = true;
    record
}

fn tcp() -> ConnectionRecord<'static> {
    let record = full();
    let mut tcp = ConnectionRecord::new(record.start, "raw", record.client, 8800);
    tcp.bytes_in = 17;
    tcp.bytes_out = 42;
    tcp.upstream = record.upstream;
    tcp
}

fn line(format: Format, record: &Record<'_>) -> String {
    let mut out = Vec::new();
    Formatter::new(format).exchange(record, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn golden_json() {
    assert_eq!(
        line(Format::Json, &full()),
        concat!(
            r#"{"time":"2000-10-10T13:55:36.042Z","kind":"http","listener":"web","#,
            r#""client":"203.0.113.7","client_port":51234,"local_port":443,"#,
            r#""tls_version":"TLSv1.3","tls_cipher":"TLS_AES_128_GCM_SHA256","sni":"app.example.com","#,
            r#""method":"GET","scheme":"https","host":"app.example.com","request_target":"/a?b=c","#,
            r#""version":"HTTP/1.1","request_id":"018f-1","#,
            r#""trace_id":"4bf9","span_id":"00f0","status":200,"bytes_in":120,"bytes_out":2500,"#,
            r#""body_bytes_in":0,"body_bytes_out":2326,"target_group":"app","target":"app1","#,
            r#""target_address":"2001:db8::1","target_port":8080,"attempts":2,"targets_attempted":["app2","app1"],"target_connection_reused":true,"#,
            r#""request_head_seconds":0.000015,"queue_seconds":0.000000,"connect_seconds":0.001234,"#,
            r#""response_head_seconds":1.500000,"total_seconds":61.000000,"#,
            r#""fault":"bad_response:bare_lf","user_agent":"Mozilla/5.0","#,
            r#""referer":"https://example.com/","client_connection_reused":true}"#,
            "\n"
        )
    );
    let bare = Record::new(UNIX_EPOCH, "web", None, 80);
    assert_eq!(
        line(Format::Json, &bare),
        concat!(
            r#"{"time":"1970-01-01T00:00:00.000Z","kind":"http","listener":"web","local_port":80,"#,
            r#""method":"","scheme":"http","request_target":"","version":"","status":0,"bytes_in":0,"#,
            r#""bytes_out":0,"body_bytes_in":0,"body_bytes_out":0,"attempts":0,"client_connection_reused":false}"#,
            "\n"
        )
    );
}

#[test]
fn golden_combined() {
    let check = |record: &Record<'_>, expected: &str| {
        assert_eq!(line(Format::Combined, record), format!("{expected}\n"));
    };
    let mut record = full();
    check(
        &record,
        r#"203.0.113.7 - - [10/Oct/2000:13:55:36 +0000] "GET /a?b=c HTTP/1.1" 200 2326 "https://example.com/" "Mozilla/5.0""#,
    );
    record.client = "[::ffff:192.0.2.1]:1".parse().ok();
    record.referer = None;
    record.user_agent = Some(b"a\"b\\c\n\x7f\xc3\xa9 d");
    check(
        &record,
        r#"192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET /a?b=c HTTP/1.1" 200 2326 "-" "a\x22b\x5Cc\x0A\x7F\xC3\xA9 d""#,
    );
    let bare = Record::new(UNIX_EPOCH, "web", None, 80);
    check(
        &bare,
        r#"- - - [01/Jan/1970:00:00:00 +0000] "-" 000 0 "-" "-""#,
    );
}

#[test]
fn golden_alb() {
    let check = |record: &Record<'_>, expected: &str| {
        assert_eq!(line(Format::Alb, record), format!("{expected}\n"));
    };
    let mut record = full();
    check(
        &record,
        concat!(
            r#"https 2000-10-10T13:56:37.042Z web 203.0.113.7:51234 [2001:db8::1]:8080 0.001 1.498 59.499 200 200 120 2500 "#,
            r#""GET https://app.example.com:443/a?b=c HTTP/1.1" "Mozilla/5.0" TLS_AES_128_GCM_SHA256 TLSv1.3 app "4bf9" "#,
            r#""app.example.com" "-" - 2000-10-10T13:55:36.042Z "forward" "-" "bad_response" "[2001:db8::1]:8080" "200" "-" "-" -"#
        ),
    );
    // The target said something else than the client was told, or nothing in time.
    for (of_target, expected) in [(Some(404), "404"), (None, "-")] {
        record.upstream.status = of_target;
        let line = line(Format::Alb, &record);
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!(fields.get(8..10), Some(&["200", expected][..]));
        let last = format!("\"{expected}\" \"-\" \"-\" -\n");
        assert!(line.ends_with(&last), "{line}");
    }
    // An answer of our own, to a host with a port.
    record.upstream = Upstream::default();
    record.durations = Durations {
        total: Some(Duration::from_millis(1)),
        ..Durations::default()
    };
    (record.status, record.fault, record.tls, record.sni) = (301, None, None, None);
    (record.scheme, record.host) = ("http", Some(&b"[::1]:8080"[..]));
    (record.trace_id, record.user_agent) = (None, Some(&b"a\"b\\c\n\xc3\xa9"[..]));
    record.listener = "my web";
    check(
        &record,
        concat!(
            r#"http 2000-10-10T13:55:36.043Z my\x20web 203.0.113.7:51234 - -1 -1 -1 301 - 120 2500 "#,
            r#""GET http://[::1]:8080/a?b=c HTTP/1.1" "a\x22b\x5Cc\x0A\xC3\xA9" - - - "018f-1" "#,
            r#""-" "-" - 2000-10-10T13:55:36.042Z "redirect" "-" "-" "-" "-" "-" "-" -"#
        ),
    );
    let bare = Record::new(UNIX_EPOCH, "web", None, 80);
    check(
        &bare,
        concat!(
            r#"http 1970-01-01T00:00:00.000Z web - - -1 -1 -1 - - 0 0 "- - -" "-" - - - "-" "-" "-" - "#,
            r#"1970-01-01T00:00:00.000Z "-" "-" "-" "-" "-" "-" "-" -"#
        ),
    );
}

#[test]
fn golden_connections() {
    let check = |format, expected: &str| {
        let mut out = Vec::new();
        Formatter::new(format).connection(&tcp(), &mut out);
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            format!("{expected}\n")
        );
    };
    check(
        Format::Combined,
        r#"203.0.113.7 - - [10/Oct/2000:13:55:36 +0000] "TCP raw" 000 42 "-" "-""#,
    );
    check(
        Format::Alb,
        concat!(
            r#"tcp 2000-10-10T13:55:36.042Z raw 203.0.113.7:51234 [2001:db8::1]:8080 0.000 -1 -1 - - 17 42 "#,
            r#""- - -" "-" - - app "-" "-" "-" - 2000-10-10T13:55:36.042Z "forward" "-" "-" "[2001:db8::1]:8080" "-" "-" "-" -"#
        ),
    );
    check(
        Format::Json,
        concat!(
            r#"{"time":"2000-10-10T13:55:36.042Z","kind":"tcp","listener":"raw","client":"203.0.113.7","#,
            r#""client_port":51234,"local_port":8800,"bytes_in":17,"bytes_out":42,"target_group":"app","#,
            r#""target":"app1","target_address":"2001:db8::1","target_port":8080,"attempts":2,"targets_attempted":["app2","app1"],"#,
            r#""target_connection_reused":true}"#
        ),
    );
}

#[test]
fn json_strings() {
    let check = |text: &[u8], expected: &str| {
        let mut record = full();
        record.user_agent = Some(text);
        let line = line(Format::Json, &record);
        let expected = format!(r#""user_agent":"{expected}","referer""#);
        assert!(line.contains(&expected), "{expected} in {line}");
    };
    check(b"plain", "plain");
    check(b"", "");
    check(br#"a"b\c/"#, r#"a\"b\\c/"#);
    check(b"\r\n\t\0\x7f", r"\u000d\u000a\u0009\u0000\u007f");
    check("é € 😀".as_bytes(), "é € 😀");
    check(
        "\u{85}\u{9b}\u{2028}\u{2029}".as_bytes(),
        r"\u0085\u009b\u2028\u2029",
    );
    check(b"\xe9t\xc3\xa9 \xf0\x9f", "\\u00e9té \\u00f0\\u009f");
    check(b"\xed\xa0\x80", r"\u00ed\u00a0\u0080");
}

/// The list of keys is what the writer writes, in the same order.
#[test]
fn the_keys_are_the_listed_ones() {
    let names = |line: &str| -> Vec<String> {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let mut names: Vec<String> = value.as_object().expect("object").keys().cloned().collect();
        let quoted = |name: &String| line.find(&format!("\"{name}\":"));
        names.sort_by_key(quoted);
        names
    };
    let expected: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names(&line(Format::Json, &full())), expected);

    let mut tcp = tcp();
    tcp.tls = full().tls;
    tcp.sni = full().sni;
    tcp.durations = full().durations;
    tcp.fault = full().fault;
    let mut out = Vec::new();
    Formatter::new(Format::Json).connection(&tcp, &mut out);
    let shared = KEYS.iter().filter(|key| key.scope == Scope::Both);
    let expected: Vec<&str> = shared.map(|key| key.name).collect();
    assert_eq!(names(std::str::from_utf8(&out).expect("UTF-8")), expected);
}

#[test]
fn steady_state_needs_no_memory() {
    let mut formatter = Formatter::new(Format::Json);
    let mut out = Vec::with_capacity(4_096);
    let place = out.as_ptr();
    for _ in 0..100 {
        out.clear();
        formatter.exchange(&full(), &mut out);
        assert_eq!(out.as_ptr(), place);
    }
}

/// As HAProxy 2.6.12 logs them.
#[test]
fn what_clients_chose() {
    let check = |text: &[u8], in_braces, expected: &str| {
        let mut out = Vec::new();
        encode(text, in_braces, &mut out);
        assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
    };
    check(b"/a\"%22[]\\/?u=%0a]", false, "/a#22%22[]\\/?u=%0a]");
    check(b"1{2|3}\"4\"#5]\\6", true, "1#7B2#7C3#7D#224#22#235]\\6");
    check(b"1{2|3}", false, "1{2|3}");
    check(b"\0\t\n\x7f\xe9 ~", false, "#00#09#0A#7F#E9 ~");
}

#[test]
fn numbers() {
    for value in [0, 1, 9, 10, 255, 1_000_000, u64::MAX] {
        let mut out = Vec::new();
        number(value, &mut out);
        assert_eq!(out, value.to_string().as_bytes());
    }
}

proptest! {
    #[test]
    fn every_line_is_one_line_and_json_parses(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 5),
        name in ".{0,20}",
        status in any::<u16>(),
        bytes in any::<u64>(),
        micros in any::<u64>(),
    ) {
        let mut record = full();
        record.listener = &name;
        record.sni = Some(&name);
        record.upstream.target = Some(&name);
        record.method = &texts[0];
        record.request_target = &texts[1];
        record.host = Some(&texts[2]);
        record.user_agent = Some(&texts[3]);
        record.referer = Some(&texts[4]);
        record.status = status;
        record.bytes_out = bytes;
        record.durations.total = Some(Duration::from_micros(micros));
        for format in [Format::Json, Format::Combined, Format::Alb] {
            let line = line(format, &record);
            let body = line.strip_suffix('\n').expect("ends with a line feed");
            let breaks = |c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}';
            prop_assert!(!body.contains(breaks));
            if format == Format::Json {
                let value: Value = serde_json::from_str(body).expect("JSON");
                prop_assert_eq!(value["listener"].as_str(), Some(name.as_str()));
                prop_assert_eq!(value["bytes_out"].as_u64(), Some(bytes));
                if let Ok(agent) = std::str::from_utf8(&texts[3]) {
                    prop_assert_eq!(value["user_agent"].as_str(), Some(agent));
                }
            } else {
                prop_assert!(body.is_ascii());
            }
        }
    }
}
