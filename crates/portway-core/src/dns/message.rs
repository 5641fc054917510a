//! Questions to servers of names, and what their answers say (RFC 1035, RFC 2782, RFC 6891).
//!
//! An answer comes from the network, and perhaps from somebody else than who was asked: it counts only where number and question
//! are those that were sent. Aliases are followed within the message, whatever the order of its records.

use std::collections::HashSet;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::name::{ParsedName, ToName};
use domain::base::{Message, MessageBuilder, Name, Ttl};
use domain::rdata::{A, Aaaa, Cname, Soa, Srv};

/// Bytes of an answer that are read: what a length of two bytes over TCP can say.
pub const MAX_MESSAGE: usize = 65_535;
/// Aliases on the way from a name to its addresses.
const MAX_ALIASES: usize = 16;
/// Records of an answer that are looked at: more than fit into 64 KiB with a name each would not be addresses.
const MAX_RECORDS: usize = 4096;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Hosts and ports of a service.
    Srv,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    name: Name<Vec<u8>>,
    kind: Kind,
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Data {
    /// An address.
    Address(IpAddr),
    /// A host that offers a service.
    Service(Service),
}

/// A host that offers a service (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service {
    /// The lowest of them is asked first.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its name, without a dot at the end.
    pub host: Box<str>,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// These, as long as their TTL says.
    Found(Vec<Data>, Duration),
    /// There is nothing of this kind; as long as the SOA record says, where there is one.
    Nothing {
        /// The name is known: it has other records.
        exists: bool,
        /// How long that holds.
        ttl: Option<Duration>,
    },
    /// It does not fit: ask over TCP.
    Truncated,
    /// It does not want to answer.
    Refused,
    /// It does not understand the question, perhaps for its extension.
    NotUnderstood,
    /// It could not find out.
    Failed,
}

/// Why bytes are no answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAnswered {
    /// They answer something else, or nothing: the answer may still come.
    Other,
    /// They answer it, and cannot be read.
    Malformed,
}

impl Question {
    /// Asks for a name; `None` where DNS knows no such names.
    pub fn new(name: &str, kind: Kind) -> Option<Self> {
        let name = Name::<Vec<u8>>::from_str(name.strip_suffix('.').unwrap_or(name)).ok()?;
        Some(Self { name, kind })
    }

    fn rtype(&self) -> Rtype {
        match self.kind {
            Kind::A => Rtype::A,
            Kind::Aaaa => Rtype::AAAA,
            Kind::Srv => Rtype::SRV,
        }
    }
}

/// True for what can be asked for as the name of a host.
pub fn is_host_name(name: &str) -> bool {
    Question::new(name, Kind::A).is_some()
}

/// The bytes of a question with this number. `payload`: how many bytes of an answer over UDP are welcome; `None`: without the
/// extension that says so.
pub fn question(number: u16, asked: &Question, payload: Option<u16>) -> Option<Vec<u8>> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(number);
    message.header_mut().set_rd(true);
    let mut message = message.question();
    message.push((&asked.name, asked.rtype())).ok()?;
    let mut message = message.additional();
    if let Some(payload) = payload {
        let sized = message.opt(|opt| {
            opt.set_udp_payload_size(payload);
            Ok(())
        });
        sized.ok()?;
    }
    Some(message.finish())
}

/// What `bytes` say to a question that was sent with this number.
///
/// # Errors
/// They do not answer it.
pub fn read(bytes: &[u8], number: u16, asked: &Question) -> Result<Reply, NotAnswered> {
    let message = Message::from_slice(bytes).map_err(|_| NotAnswered::Other)?;
    let header = message.header();
    if header.id() != number || !header.qr() || header.opcode() != Opcode::QUERY {
        return Err(NotAnswered::Other);
    }
    // Who does not understand a question may not be able to repeat it.
    let counts = message.header_counts();
    if matches!(header.rcode(), Rcode::FORMERR | Rcode::NOTIMP) && counts.qdcount() == 0 {
        return Ok(Reply::NotUnderstood);
    }
    let repeated = message.sole_question().map_err(|_| NotAnswered::Other)?;
    let same = repeated.qname().name_eq(&asked.name)
        && repeated.qtype() == asked.rtype()
        && repeated.qclass() == Class::IN;
    if !same {
        return Err(NotAnswered::Other);
    }
    if header.tc() {
        return Ok(Reply::Truncated);
    }
    match header.rcode() {
        Rcode::NOERROR | Rcode::NXDOMAIN => records(message, asked).ok_or(NotAnswered::Malformed),
        Rcode::REFUSED | Rcode::NOTAUTH => Ok(Reply::Refused),
        Rcode::FORMERR | Rcode::NOTIMP => Ok(Reply::NotUnderstood),
        _ => Ok(Reply::Failed),
    }
}

type Owner<'m> = ParsedName<&'m [u8]>;

/// The records of an answer, by their owners.
#[derive(Default)]
struct Records<'m> {
    aliases: Vec<(Owner<'m>, Owner<'m>, Ttl)>,
    found: Vec<(Owner<'m>, Data, Ttl)>,
}

/// What an answer says; `None` where it cannot be read.
fn records(message: &Message<[u8]>, asked: &Question) -> Option<Reply> {
    let mut all = Records::default();
    for record in message.answer().ok()?.take(MAX_RECORDS) {
        let record = record.ok()?;
        if record.class() != Class::IN {
            continue;
        }
        let (owner, ttl) = (record.owner(), record.ttl());
        if let Some(alias) = record.to_record::<Cname<_>>().ok()? {
            all.aliases.push((owner, *alias.data().cname(), ttl));
        } else if record.rtype() == asked.rtype() {
            let data = match asked.kind {
                Kind::A => {
                    let it = record.to_record::<A>().ok()??;
                    Data::Address(it.data().addr().into())
                }
                Kind::Aaaa => {
                    let it = record.to_record::<Aaaa>().ok()??;
                    Data::Address(it.data().addr().into())
                }
                Kind::Srv => service(record.to_record::<Srv<_>>().ok()??.data()),
            };
            all.found.push((owner, data, ttl));
        }
    }
    let (data, ttl, aliased) = all.follow(&asked.name)?;
    if !data.is_empty() {
        return Some(Reply::Found(
            data,
            Duration::from_secs(ttl.as_secs().into()),
        ));
    }
    let exists = aliased || message.header().rcode() == Rcode::NOERROR;
    let ttl = negative_ttl(message);
    Some(Reply::Nothing { exists, ttl })
}

impl Records<'_> {
    /// What is found at the end of the aliases, the shortest TTL on the way, and whether there were any; `None`: they go round.
    fn follow(self, name: &Name<Vec<u8>>) -> Option<(Vec<Data>, Ttl, bool)> {
        let mut ttl = Ttl::MAX;
        let mut at: Option<Owner<'_>> = None;
        for _ in 0..=MAX_ALIASES {
            let is_it = |owner: &Owner<'_>| match &at {
                None => owner.name_eq(name),
                Some(at) => owner.name_eq(at),
            };
            let next = self.aliases.iter().find(|(owner, ..)| is_it(owner));
            let Some((_, alias, of_alias)) = next else {
                let here = self.found.iter().filter(|(owner, ..)| is_it(owner));
                let mut data: Vec<Data> = Vec::new();
                // An answer may have thousands of records.
                let mut seen = HashSet::new();
                for (_, one, of_one) in here {
                    ttl = ttl.min(*of_one);
                    if seen.insert(one) {
                        data.push(one.clone());
                    }
                }
                return Some((data, ttl, at.is_some()));
            };
            ttl = ttl.min(*of_alias);
            at = Some(*alias);
        }
        None
    }
}

fn service<N: ToName>(it: &Srv<N>) -> Data {
    let host = it.target().to_vec().to_string();
    Data::Service(Service {
        priority: it.priority(),
        weight: it.weight(),
        port: it.port(),
        host: host.trim_end_matches('.').into(),
    })
}

/// How long it holds that there is nothing (RFC 2308 section 5).
fn negative_ttl(message: &Message<[u8]>) -> Option<Duration> {
    let authority = message.authority().ok()?;
    for record in authority.take(MAX_RECORDS) {
        if let Some(soa) = record.ok()?.to_record::<Soa<ParsedName<&[u8]>>>().ok()? {
            let ttl = soa.ttl().min(soa.data().minimum());
            return Some(Duration::from_secs(ttl.as_secs().into()));
        }
    }
    None
}

#[cfg(test)]
mod tests;
