//! Questions to servers of names: over UDP, and over TCP where the answer does not fit.
//!
//! Each question has a number by chance and a port by chance of its own, and whatever does not answer it is passed over: who
//! answers in place of a server must guess both. Servers are asked one after the other, but the next one before the one before has
//! used up its time: a dead server costs a moment, not seconds.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use portway_core::dns::{Kind, MAX_MESSAGE, NotAnswered, Outcome, Question, Reply, question, read};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::health::chance;

/// How long a server is asked alone.
const AHEAD: Duration = Duration::from_millis(400);

/// Who is asked, and how.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    pub(super) nameservers: Vec<SocketAddr>,
    pub(super) attempts: u16,
    pub(super) timeout: Duration,
    pub(super) payload: u16,
}

/// Asks for a name: the first server that knows decides.
pub(super) async fn ask(servers: &Servers, name: &str, kind: Kind) -> Outcome {
    let Some(asked) = Question::new(name, kind) else {
        return Outcome::Nothing {
            exists: false,
            ttl: None,
        };
    };
    let mut tasks = JoinSet::new();
    let mut head_start = Duration::ZERO;
    for server in &servers.nameservers {
        let (server, servers, asked, ahead) = (*server, servers.clone(), asked.clone(), head_start);
        tasks.spawn(async move {
            sleep(ahead).await;
            ask_one(server, &servers, &asked).await
        });
        head_start += AHEAD;
    }
    // What says more than silence is kept.
    let mut latest = Outcome::Silent;
    while let Some(outcome) = tasks.join_next().await {
        match outcome {
            Ok(outcome @ (Outcome::Found(..) | Outcome::Nothing { .. })) => return outcome,
            Ok(Outcome::Silent) | Err(_) => {}
            Ok(outcome) => latest = outcome,
        }
    }
    latest
}

/// Asks one server until it answers, or all attempts are used up.
async fn ask_one(server: SocketAddr, servers: &Servers, asked: &Question) -> Outcome {
    let mut payload = Some(servers.payload);
    let mut latest = Outcome::Silent;
    for _ in 0..servers.attempts {
        let reply = timeout(servers.timeout, over_udp(server, asked, payload)).await;
        let reply = match reply {
            Ok(Ok(Reply::Truncated)) => {
                timeout(servers.timeout, over_tcp(server, asked, payload)).await
            }
            reply => reply,
        };
        latest = match reply {
            Err(_) => Outcome::Silent,
            Ok(Ok(Reply::Found(data, ttl))) => return Outcome::Found(data, ttl),
            Ok(Ok(Reply::Nothing { exists, ttl })) => return Outcome::Nothing { exists, ttl },
            Ok(Ok(Reply::Refused)) => return Outcome::Refused,
            Ok(Ok(Reply::NotUnderstood)) => {
                payload = None;
                Outcome::Failed
            }
            // Nobody listens there: others know it sooner.
            Ok(Err(_)) => return Outcome::Failed,
            Ok(Ok(Reply::Failed | Reply::Truncated)) => return Outcome::Failed,
        };
    }
    latest
}

async fn over_udp(server: SocketAddr, asked: &Question, payload: Option<u16>) -> io::Result<Reply> {
    let own: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    let number = number();
    socket.send(&bytes(number, asked, payload)?).await?;
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match read(buffer.get(..length).unwrap_or_default(), number, asked) {
            Ok(reply) => return Ok(reply),
            Err(NotAnswered::Other) => {}
            Err(NotAnswered::Malformed) => return Ok(Reply::Failed),
        }
    }
}

async fn over_tcp(server: SocketAddr, asked: &Question, payload: Option<u16>) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(server).await?;
    let number = number();
    let message = bytes(number, asked, payload)?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), message.as_slice()].concat();
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    let reply = read(&buffer, number, asked);
    Ok(reply.unwrap_or(Reply::Failed))
}

fn bytes(number: u16, asked: &Question, payload: Option<u16>) -> io::Result<Vec<u8>> {
    question(number, asked, payload).ok_or_else(|| io::Error::other("no question"))
}

/// A number by chance.
fn number() -> u16 {
    (chance() & u64::from(u16::MAX)) as u16
}
