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

fn found(code: u16) -> Found {
    Found {
        word: CheckWord::L7Ok,
        code: Some(code),
    }
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
        Some(0x15 | 0x16) if came => Ok(Found {
            word: CheckWord::L6Ok,
            code: None,
        }),
        _ => Err(failed(CheckWord::L6Response, None, "")),
    }
}

async fn redis(talk: &mut Talk) -> Result<Found, Failure> {
    const PONG: &[u8] = b"+PONG\r\n";
    talk.send(b"*1\r\n$4\r\nPING\r\n").await?;
    while !talk.received.windows(PONG.len()).any(|it| it == PONG) {
        if !talk.more().await? {
            return Err(failed(CheckWord::L7Status, None, text(&talk.received)));
        }
    }
    Ok(found(0))
}

/// A reply of SMTP: its code and what follows.
async fn reply(talk: &mut Talk) -> Result<(u16, String), Failure> {
    while !talk.received.contains(&b'\n') && talk.more().await? {}
    let line = text(&talk.received);
    let code = line.get(..3).and_then(|digits| digits.parse().ok());
    let said = line.get(4..).unwrap_or_default().to_owned();
    match code {
        Some(code) if (200..300).contains(&code) => Ok((code, said)),
        Some(code) => Err(failed(CheckWord::L7Status, Some(code), said)),
        None => Err(failed(CheckWord::L7Response, None, line)),
    }
}

async fn smtp(talk: &mut Talk, hello: &str, domain: &str) -> Result<Found, Failure> {
    reply(talk).await?;
    talk.send(format!("{hello} {domain}\r\n").as_bytes())
        .await?;
    let (code, _) = reply(talk).await?;
    talk.send(b"QUIT\r\n").await?;
    reply(talk).await?;
    Ok(found(code))
}

async fn postgres(talk: &mut Talk, user: &str) -> Result<Found, Failure> {
    let mut start = vec![0, 3, 0, 0];
    start.extend_from_slice(b"user\0");
    start.extend_from_slice(user.as_bytes());
    start.extend_from_slice(&[0, 0]);
    let length = u32::try_from(start.len() + 4).unwrap_or(u32::MAX);
    talk.send(&[&length.to_be_bytes()[..], &start].concat())
        .await?;
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
        [b'R', 0, 0, 0, _, 0, 0, 0, 0 | 2..=7 | 9 | 10, ..] => Ok(found(0)),
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
    let came = talk.at_least(14).await?;
    if !came || talk.received.first() != Some(&0x30) {
        return Err(failed(CheckWord::L7Response, None, "Not LDAPv3 protocol"));
    }
    // The lengths of the message and of the response are of one byte, or of several as their first says.
    let skip = |at: usize| match talk.received.get(at) {
        Some(length) if length & 0x80 != 0 => at + 1 + usize::from(length & 0x7f),
        _ => at + 1,
    };
    let message = skip(1);
    let is_bind = talk.received.get(message + 3) == Some(&0x61);
    let code = talk.received.get(skip(message + 4) + 2).copied();
    match code {
        Some(0) if is_bind => Ok(found(0)),
        Some(code) if is_bind => Err(failed(CheckWord::L7Status, Some(code.into()), RFC)),
        _ => Err(failed(CheckWord::L7Response, None, "Not LDAPv3 protocol")),
    }
}

/// The next packet of MySQL, without its header; what came of the one after it stays.
async fn packet(talk: &mut Talk) -> Result<Vec<u8>, Failure> {
    let broken = || failed(CheckWord::L7Response, None, "MySQL packet is not whole");
    if !talk.at_least(4).await? {
        return Err(broken());
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
        packet(talk).await?;
        return Ok(found(0));
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
    packet(talk).await?;
    packet(talk).await?;
    Ok(found(0))
}
