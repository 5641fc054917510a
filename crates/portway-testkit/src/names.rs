//! A scripted server of names over UDP and TCP on one port: what it says of a name is set by the test, lies included, and may change
//! at any moment.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a server says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// These addresses, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// These hosts of a service, for so many seconds: priority, weight, port, host.
    Services(Vec<(u16, u16, u16, String)>, u32),
    /// That it is another name, and what is said of that.
    Alias(String, u32),
    /// There is no such name, with an SOA record of so many seconds.
    Missing(u32),
    /// A status (RFC 1035 section 4.1.1) and nothing else.
    Status(u8),
    /// Nothing.
    Silence,
    /// Over UDP that the answer does not fit, over TCP these addresses.
    OverTcp(Vec<IpAddr>, u32),
    /// First answers with another number, with another question and of no form at all, each with another address; then the truth.
    LiesFirst(Vec<IpAddr>, u32),
    /// Bytes that begin as an answer does, and are none.
    Junk,
}

/// The server; it ends with the process.
#[derive(Debug, Clone)]
pub struct NameServer {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    says: HashMap<String, Says>,
    asked: HashMap<String, usize>,
}

const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const SRV: u16 = 33;

impl NameServer {
    /// Starts one on a free port of 127.0.0.1.
    pub fn start() -> Self {
        loop {
            let Ok(tcp) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) else {
                continue;
            };
            let Ok(address) = tcp.local_addr() else {
                continue;
            };
            if let Ok(udp) = UdpSocket::bind(address) {
                return Self::serve(address, udp, tcp);
            }
        }
    }

    fn serve(address: SocketAddr, udp: UdpSocket, tcp: TcpListener) -> Self {
        let script: Arc<Mutex<Script>> = Arc::default();
        let server = Self { address, script };
        let over_udp = server.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let question = buffer.get(..length).unwrap_or_default();
                for answer in over_udp.answers(question, false) {
                    let _ = udp.send_to(&answer, from);
                }
            }
        });
        let over_tcp = server.clone();
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let _ = over_tcp.talk(stream);
            }
        });
        server
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is said of a name; of others it is said that there are none.
    pub fn say(&self, name: &str, says: Says) {
        self.script().says.insert(name.to_owned(), says);
    }

    /// From now on these are the addresses of a name, for a second.
    pub fn say_addresses(&self, name: &str, addresses: &[&str]) {
        let parsed: Vec<IpAddr> = addresses.iter().filter_map(|it| it.parse().ok()).collect();
        assert_eq!(parsed.len(), addresses.len(), "{addresses:?}");
        self.say(name, Says::Addresses(parsed, 1));
    }

    /// How many questions there were for a name.
    pub fn asked(&self, name: &str) -> usize {
        self.script().asked.get(name).copied().unwrap_or_default()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn talk(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question)?;
        for answer in self.answers(&question, true) {
            let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
            stream.write_all(&length.to_be_bytes())?;
            stream.write_all(&answer)?;
        }
        Ok(())
    }

    /// The answers to a question, in their order.
    fn answers(&self, question: &[u8], over_tcp: bool) -> Vec<Vec<u8>> {
        let Some(asked) = Asked::read(question) else {
            return Vec::new();
        };
        let mut script = self.script();
        *script.asked.entry(asked.name.clone()).or_default() += 1;
        let says = script.says.get(&asked.name).cloned();
        let aliased = match &says {
            Some(Says::Alias(to, _)) => script.says.get(to).cloned(),
            _ => None,
        };
        drop(script);
        let number = asked.number;
        match says.unwrap_or(Says::Missing(1)) {
            Says::Addresses(all, ttl) => vec![asked.answer(number, 0, &asked.addresses(&all, ttl))],
            Says::Services(all, ttl) => vec![asked.answer(number, 0, &asked.services(&all, ttl))],
            Says::Alias(to, ttl) => {
                let mut records = vec![record(&asked.name, CNAME, ttl, &encoded(&to))];
                if let Some(Says::Addresses(all, ttl)) = aliased {
                    let of_alias = Asked {
                        name: to,
                        ..asked.clone()
                    };
                    records.extend(of_alias.addresses(&all, ttl));
                }
                vec![asked.answer(number, 0, &records)]
            }
            Says::Missing(ttl) => vec![asked.missing(ttl)],
            Says::Status(status) => vec![asked.answer(number, status.into(), &[])],
            Says::Silence => Vec::new(),
            Says::OverTcp(all, ttl) if over_tcp => {
                vec![asked.answer(number, 0, &asked.addresses(&all, ttl))]
            }
            Says::OverTcp(..) => vec![asked.answer(number, 0x0200, &[])],
            Says::LiesFirst(all, ttl) => asked.lies(&all, ttl),
            Says::Junk => {
                let mut answer = asked.answer(number, 0, &[]);
                // It says that there is a record, and there is half of one.
                answer.splice(6..8, [0, 1]);
                answer.extend([0xc0, 12, 0, 1]);
                vec![answer]
            }
        }
    }
}

/// A question.
#[derive(Debug, Clone)]
struct Asked {
    number: u16,
    name: String,
    kind: u16,
}

impl Asked {
    fn read(bytes: &[u8]) -> Option<Self> {
        let number = u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
        let mut at = 12;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            let label = bytes.get(at..at + length)?;
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
        let name = labels.join(".");
        Some(Self { number, name, kind })
    }

    fn addresses(&self, all: &[IpAddr], ttl: u32) -> Vec<Vec<u8>> {
        let all = all.iter().filter_map(|ip| match (ip, self.kind) {
            (IpAddr::V4(ip), A) => Some(record(&self.name, A, ttl, &ip.octets())),
            (IpAddr::V6(ip), AAAA) => Some(record(&self.name, AAAA, ttl, &ip.octets())),
            _ => None,
        });
        all.collect()
    }

    fn services(&self, all: &[(u16, u16, u16, String)], ttl: u32) -> Vec<Vec<u8>> {
        let all = all.iter().filter(|_| self.kind == SRV);
        all.map(|(priority, weight, port, host)| {
            let numbers = [priority, weight, port].map(|it| it.to_be_bytes()).concat();
            record(&self.name, SRV, ttl, &[numbers, encoded(host)].concat())
        })
        .collect()
    }

    fn answer(&self, number: u16, flags: u16, answers: &[Vec<u8>]) -> Vec<u8> {
        let count = u16::try_from(answers.len()).unwrap_or(u16::MAX);
        let mut bytes = self.begin(number, 0x8180 | flags, count, 0);
        answers.iter().for_each(|it| bytes.extend(it));
        bytes
    }

    fn missing(&self, ttl: u32) -> Vec<u8> {
        let mut bytes = self.begin(self.number, 0x8183, 0, 1);
        let mut soa = [encoded("ns.test"), encoded("root.test")].concat();
        for number in [1, 60, 60, 60, ttl] {
            soa.extend(number.to_be_bytes());
        }
        bytes.extend(record("test", SOA, ttl, &soa));
        bytes
    }

    fn lies(&self, all: &[IpAddr], ttl: u32) -> Vec<Vec<u8>> {
        let evil = self.addresses(&[Ipv4Addr::new(192, 0, 2, 66).into()], ttl);
        let other = Self {
            name: format!("other.{}", self.name),
            ..self.clone()
        };
        vec![
            vec![0xff; 3],
            self.answer(self.number.wrapping_add(1), 0, &evil),
            other.answer(self.number, 0, &evil),
            self.answer(self.number, 0, &self.addresses(all, ttl)),
        ]
    }

    fn begin(&self, number: u16, flags: u16, answers: u16, authority: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        for it in [number, flags, 1, answers, authority, 0] {
            bytes.extend(it.to_be_bytes());
        }
        bytes.extend(encoded(&self.name));
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend(1_u16.to_be_bytes());
        bytes
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|it| !it.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn record(name: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = encoded(name);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend(data);
    bytes
}
