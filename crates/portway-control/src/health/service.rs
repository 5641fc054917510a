//! Services whose protocol is spoken well enough to see that they answer. The bytes and the words are HAProxy's.

use portway_core::health::Failure;
use portway_model::check::{CheckWord, CheckedService};
use std::time::{SystemTime, UNIX_EPOCH};

use super::script::Found;
use super::talk::{Talk, failed};

/// The random part of the ClientHello, by which operators know what checks them.
const HELLO_RANDOM: &[u8; 28] = b"HAPROXYSSLCHK\nHAPROXYSSLCHK\n";

/// Speaks with the service and judges its answer.
pub(super) async fn run(talk: &mut Talk, service: &CheckedService) -> Result<Found, Failure> {
    match service {
        CheckedService::SslHello => ssl_hello(talk).await,
        CheckedService::Smtp { hello, domain } => smtp(talk, hello, domain).await,
        CheckedService::Redis => redis(talk).await,
        CheckedService::Postgres { user } => postgres(talk, user).await,
        CheckedService::Ldap => ldap(talk).await,
        CheckedService::Mysql { user, post_41 } => mysql(talk, user.as_deref(), *post_41).await,
    }
}

fn found(code: u16, said: impl Into<String>) -> Found {
    let mut found = Found::new(CheckWord::L7Ok, Some(code));
    found.said = said.into();
    found
}

/// A service that ends without a word, at the step that HAProxy counts.
fn silent(word: CheckWord, step: u8) -> Failure {
    let said = format!("TCPCHK got an empty response at step {step}");
    failed(word, None, said)
}

fn text(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
}

async fn ssl_hello(talk: &mut Talk) -> Result<Found, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs()) as u32;
    let mut hello = vec![0x16, 3, 0, 0, 0x79, 1, 0, 0, 0x75, 3, 0];
    hello.extend_from_slice(&now.to_be_bytes());
    hello.extend_from_slice(HELLO_RANDOM);
    hello.extend_from_slice(&[0, 0, 0x4e]);
    (0x01..=0x1b)
        .chain(0x2f..=0x3a_u8)
        .for_each(|suite| hello.extend([0, suite]));
    hello.extend_from_slice(&[1, 0]);
    talk.send(&hello).await?;
    let came = talk.at_least(5).await?;
    match talk.received.first() {
        // A handshake or an alert: it speaks TLS.
        Some(0x15 | 0x16) if came => Ok(Found::new(CheckWord::L6Ok, None)),
        None => Err(silent(CheckWord::L6Response, 2)),
        _ => Err(failed(CheckWord::L6Response, None, "")),
    }
}

async fn redis(talk: &mut Talk) -> Result<Found, Failure> {
    const PONG: &[u8] = b"+PONG\r\n";
    talk.send(b"*1\r\n$4\r\nPING\r\n").await?;
    while !talk.received.windows(PONG.len()).any(|it| it == PONG) {
        if talk.more().await? {
            continue;
        }
        return Err(match talk.received.as_slice() {
            [] => silent(CheckWord::L7Status, 2),
            said => failed(CheckWord::L7Status, None, text(said)),
        });
    }
    Ok(found(0, "Redis server is ok"))
}

/// A reply of SMTP: its code and what its last line says. `step`: as HAProxy counts it.
async fn reply(talk: &mut Talk, step: u8) -> Result<(u16, String), Failure> {
    let line = loop {
        if let Some(line) = last_line(&talk.received) {
            break line;
        }
        if !talk.more().await? {
            break text(&talk.received);
        }
    };
    let code = line.get(..3).and_then(|digits| digits.parse().ok());
    let said = line.get(3..).unwrap_or_default().trim_start().to_owned();
    match code {
        Some(code) if (200..300).contains(&code) => Ok((code, said)),
        Some(code) => Err(failed(CheckWord::L7Status, Some(code), said)),
        None if line.is_empty() => Err(silent(CheckWord::L7Response, step)),
        None => Err(failed(CheckWord::L7Response, None, line)),
    }
}

/// The last line of a reply of several, whose other lines have a hyphen behind the code.
fn last_line(received: &[u8]) -> Option<String> {
    let whole = received.split_inclusive(|byte| *byte == b'\n');
    let mut whole = whole.filter(|line| line.ends_with(b"\n"));
    whole.find(|line| line.get(3) != Some(&b'-')).map(text)
}

async fn smtp(talk: &mut Talk, hello: &str, domain: &str) -> Result<Found, Failure> {
    reply(talk, 2).await?;
    talk.send(format!("{hello} {domain}\r\n").as_bytes())
        .await?;
    reply(talk, 5).await?;
    talk.send(b"QUIT\r\n").await?;
    let (code, said) = reply(talk, 7).await?;
    Ok(found(code, said))
}

async fn postgres(talk: &mut Talk, user: &str) -> Result<Found, Failure> {
    let mut start = vec![0, 3, 0, 0];
    start.extend_from_slice(b"user\0");
    start.extend_from_slice(user.as_bytes());
    start.extend_from_slice(&[0, 0]);
    let length = u32::try_from(start.len() + 4).unwrap_or(u32::MAX);
    talk.send(&[&length.to_be_bytes()[..], &start].concat())
        .await?;
    if !talk.at_least(1).await? {
        return Err(silent(CheckWord::L7Response, 2));
    }
    talk.at_least(5).await?;
    if talk.received.first() == Some(&b'E') {
        let said = talk.received.get(6..).unwrap_or_default();
        let said = said.split(|byte| *byte == 0).next().unwrap_or_default();
        let said = String::from_utf8_lossy(said).into_owned();
        return Err(failed(CheckWord::L7Response, None, said));
    }
    talk.at_least(9).await?;
    match talk.received.as_slice() {
        // Authentication: done, or asked for in one of the ways there are.
        [b'R', 0, 0, 0, _, 0, 0, 0, 0 | 2..=7 | 9 | 10, ..] => {
            Ok(found(0, "PostgreSQL server is ok"))
        }
        _ => Err(failed(
            CheckWord::L7Status,
            None,
            "PostgreSQL unknown error",
        )),
    }
}

async fn ldap(talk: &mut Talk) -> Result<Found, Failure> {
    const BIND: [u8; 14] = [0x30, 0x0c, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0];
    const RFC: &str = "See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9";
    talk.send(&BIND).await?;
    if !talk.at_least(1).await? {
        return Err(silent(CheckWord::L7Response, 2));
    }
    if !talk.at_least(14).await? {
        return Err(failed(CheckWord::L7Response, None, ""));
    }
    if talk.received.first() != Some(&0x30) {
        return Err(failed(CheckWord::L7Response, None, "Not LDAPv3 protocol"));
    }
    // The lengths of the message and of the response are of one byte, or of several as their first says.
    let skip = |at: usize| match talk.received.get(at) {
        Some(length) if length & 0x80 != 0 => at + 1 + usize::from(length & 0x7f),
        _ => at + 1,
    };
    let message = skip(1);
    let is_bind = talk.received.get(message + 3) == Some(&0x61);
    // The code stands behind its type and its length.
    let at = skip(message + 4) + 2;
    if is_bind && !talk.at_least(at + 1).await? {
        return Err(failed(CheckWord::L7Response, None, ""));
    }
    match talk.received.get(at).copied() {
        Some(0) if is_bind => Ok(found(0, "Success")),
        Some(code) if is_bind => Err(failed(CheckWord::L7Status, Some(code.into()), RFC)),
        _ => Err(failed(CheckWord::L7Response, None, "Not LDAPv3 protocol")),
    }
}

/// The next packet of MySQL, without its header; what came of the one after it stays. `step`: as HAProxy counts it.
async fn packet(talk: &mut Talk, step: u8) -> Result<Vec<u8>, Failure> {
    let broken = || failed(CheckWord::L7Response, None, "");
    if !talk.at_least(4).await? {
        return Err(match talk.received.as_slice() {
            [] => silent(CheckWord::L7Response, step),
            _ => broken(),
        });
    }
    let length = match talk.received.as_slice() {
        [a, b, c, ..] => usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16,
        _ => return Err(broken()),
    };
    if !talk.at_least(4 + length).await? {
        return Err(broken());
    }
    let rest = talk.received.split_off(4 + length);
    let packet = std::mem::replace(&mut talk.received, rest).split_off(4);
    match packet.first() {
        // An error: its number, then its text.
        Some(0xff) => {
            let code = match packet.as_slice() {
                [_, low, high, ..] => Some(u16::from_le_bytes([*low, *high])),
                _ => None,
            };
            let said = text(packet.get(3..).unwrap_or_default());
            Err(failed(CheckWord::L7Status, code, said))
        }
        Some(_) => Ok(packet),
        None => Err(broken()),
    }
}

async fn mysql(talk: &mut Talk, user: Option<&str>, post_41: bool) -> Result<Found, Failure> {
    let Some(user) = user else {
        return Ok(found(0, version(&packet(talk, 2).await?)));
    };
    let mut login = match post_41 {
        // Capabilities, the largest packet, the character set, 23 zeroes.
        true => [&[0x00, 0x82, 0, 0, 0x00, 0x80, 0, 1, 0x21][..], &[0; 23]].concat(),
        false => vec![0x00, 0x80, 0, 0, 1],
    };
    login.extend_from_slice(user.as_bytes());
    login.extend_from_slice(&[0, 0]);
    let header = u32::try_from(login.len()).unwrap_or(u32::MAX).to_le_bytes();
    let [a, b, c, _] = header;
    // The login, then the command to end.
    let sent = [&[a, b, c, 1][..], &login, &[1, 0, 0, 0, 1]].concat();
    talk.send(&sent).await?;
    let greeting = packet(talk, 2).await?;
    packet(talk, 3).await?;
    Ok(found(0, version(&greeting)))
}

/// The version of a server, which stands behind that of the protocol.
fn version(greeting: &[u8]) -> String {
    let rest = greeting.get(1..).unwrap_or_default();
    text(rest.split(|byte| *byte == 0).next().unwrap_or_default())
}
