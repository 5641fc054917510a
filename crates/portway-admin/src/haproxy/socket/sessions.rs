//! `show sess` and `shutdown session`: who is served now.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use portway_control::figures::{Figures, local_time};
use portway_control::operations::Session as Seen;

use super::Session;
use super::command::{Answer, Eventually};

const NOT_FOUND: &str = "Session not found.\n";

/// `show sess [ID|all]`. A connection that waits for its next request is none, as in HAProxy.
pub(super) fn show<'s>(session: &'s mut Session, words: &'s [&'s str]) -> Eventually<'s> {
    Box::pin(async move {
        let seen = session.running.statistics().sessions().await;
        let mut seen = seen.ok_or("the workers are about to end\n")?;
        seen.sort_by_key(|it| it.id);
        listed(session, words, &seen)
    })
}

fn listed(session: &Session, words: &[&str], seen: &[Seen]) -> Answer {
    let figures = session.figures();
    let served = seen.iter().filter(|it| !it.rests);
    let mut text = String::new();
    match words.first() {
        None => {
            served.for_each(|it| line(session, it, &mut text));
            own(session, &mut text);
        }
        Some(&"all") => served.for_each(|it| details(session, &figures, it, &mut text)),
        Some(id) => {
            let id = number(id).ok_or(NOT_FOUND)?;
            let found = seen.iter().find(|it| it.id == id).ok_or(NOT_FOUND)?;
            details(session, &figures, found, &mut text);
        }
    }
    Ok(text)
}

/// `shutdown session ID`.
pub(super) fn shut_down<'s>(session: &'s mut Session, words: &'s [&'s str]) -> Eventually<'s> {
    Box::pin(async move {
        let id = words.first().and_then(|word| number(word));
        let id = id.ok_or("Session pointer expected (use 'show sess').\n")?;
        let statistics = session.running.statistics();
        let seen = statistics.sessions().await.unwrap_or_default();
        if !seen.iter().any(|it| it.id == id) {
            return Err("No such session (use 'show sess').\n".to_owned());
        }
        statistics.cut_off_session(id);
        Ok(String::new())
    })
}

/// An id, in hexadecimal digits with or without `0x`.
fn number(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
}

/// HAProxy's word for what a connection goes over, and its address there.
fn source(peer: SocketAddr) -> (&'static str, String) {
    let address = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    match address {
        it if it.ip().is_unspecified() => ("unix_stream", "unix:1".to_owned()),
        SocketAddr::V4(_) => ("tcpv4", address.to_string()),
        SocketAddr::V6(it) => ("tcpv6", format!("{}:{}", it.ip(), it.port())),
    }
}

fn line(session: &Session, it: &Seen, text: &mut String) {
    let by = session.running.statistics().served_by(it);
    let name = |of: Option<(String, u32)>, none: &str| of.map_or(none.to_owned(), |it| it.0);
    let (protocol, source) = source(it.peer);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:#x}: proto={protocol} src={source} fe={} be={} srv={} age={} exp={}",
        it.id,
        name(by.frontend, "<NONE>"),
        name(by.backend, "<NONE>"),
        by.server.map_or("<none>".to_owned(), |it| it.0),
        time(it.age),
        it.expires.map(time).unwrap_or_default(),
    );
}

/// The connection that asks, which no worker knows.
fn own(session: &Session, text: &mut String) {
    let (protocol, source) = match session.peer {
        Some(peer) => source(peer),
        None => ("unix_stream", "unix:1".to_owned()),
    };
    let _ = writeln!(
        text,
        "0x0: proto={protocol} src={source} fe=GLOBAL be=<NONE> srv=<none> age={} exp={}",
        time(session.since.elapsed()),
        time(session.timeout),
    );
}

fn details(session: &Session, figures: &Figures, it: &Seen, text: &mut String) {
    let by = session.running.statistics().served_by(it);
    let mode = |number: u32| {
        let proxy = figures.proxies.iter().find(|it| it.number == number);
        proxy.map_or("-", |it| if it.is_http { "http" } else { "tcp" })
    };
    let (protocol, from) = source(it.peer);
    let begun = SystemTime::now()
        .checked_sub(it.age)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    let _ = writeln!(
        text,
        "{:#x}: [{}] id={} proto={protocol} source={from}",
        it.id,
        local_time(begun),
        it.id & 0xffff_ffff_ffff,
    );
    let (name, number) = by.frontend.unwrap_or(("<NONE>".to_owned(), 0));
    let _ = writeln!(
        text,
        "  frontend={name} (id={number} mode={}), listener=? (id={}) addr={}",
        mode(number),
        it.socket_number,
        source(it.local).1,
    );
    let _ = match by.backend {
        Some((name, number)) => {
            writeln!(text, "  backend={name} (id={number} mode={})", mode(number))
        }
        None => writeln!(text, "  backend=<NONE> (id=-1 mode=-)"),
    };
    let _ = match by.server {
        Some((name, number)) => writeln!(text, "  server={name} (id={number})"),
        None => writeln!(text, "  server=<NONE> (id=-1)"),
    };
    let rests = if it.rests { " waits for a request" } else { "" };
    let _ = writeln!(
        text,
        "  thread={} age={} exp={}{rests}",
        it.worker(),
        time(it.age),
        it.expires.map_or("<NEVER>".to_owned(), time),
    );
}

/// A time as HAProxy shows it: its two largest units.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m{rest}s"),
        (0, ..) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}
