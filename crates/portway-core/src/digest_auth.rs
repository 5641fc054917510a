//! Digest authorization (RFC 7616 with MD5 and `qop=auth`): what a client says, whether it knows the password, and whether it
//! says so for the first time.
//!
//! A nonce carries when it was made and a proof that it is ours, so that nothing is kept of those that nobody uses, and making
//! and reading one needs no more than a key ([`Nonces`]). Of those that a user has used it is kept which counts have come
//! ([`Uses`]): each may come once, and within a window in any order, because clients send requests at once over several
//! connections. What is kept is bounded; a nonce that was forgotten is stale, for which a client makes its proof anew with the next
//! one, without asking its user. No count of a nonce is fresh twice, whatever is forgotten.

use crate::seed::Seed;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use std::collections::HashMap;
use std::time::Duration;

/// How long a nonce may be used.
pub const NONCE_LIFE: Duration = Duration::from_secs(3600);
/// Nonces in use that are remembered, all parts together: about 40 bytes each.
pub const MAX_NONCES: usize = 65_536;
/// Parameters of a header, of which the standard has eleven.
const MAX_PARAMETERS: usize = 32;
/// Bytes of the proof in a nonce.
const PROOF: usize = 16;
/// How far behind the highest count one may still come for the first time.
const WINDOW: u32 = 64;

/// What a client says in `Authorization: Digest …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who it is.
    pub username: Vec<u8>,
    realm: Vec<u8>,
    /// One of ours, as it says.
    pub nonce: Vec<u8>,
    uri: Vec<u8>,
    response: Vec<u8>,
    cnonce: Vec<u8>,
    /// The count as it is written, which is part of the proof.
    nc: Vec<u8>,
    /// How often it has used the nonce, from 1.
    pub count: u32,
}

impl Said {
    /// Reads the value of `Authorization`; `None`: another scheme, not well formed, or of an algorithm or quality that we do
    /// not offer.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (scheme, rest) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"digest") || !rest.starts_with(b" ") {
            return None;
        }
        let all = parameters(rest)?;
        let taken = |name: &str| {
            let found = all.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        let algorithm = taken("algorithm");
        let is_md5 = algorithm.is_none_or(|it| it.eq_ignore_ascii_case(b"md5"));
        if !is_md5 || taken("qop")? != b"auth" || taken("userhash").is_some_and(|it| it == b"true")
        {
            return None;
        }
        let nc = taken("nc").filter(|it| it.len() == 8)?;
        let digits = std::str::from_utf8(&nc).ok()?;
        let is_hex = digits.bytes().all(|it| it.is_ascii_hexdigit());
        let count = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
        Some(Self {
            username: taken("username")?,
            realm: taken("realm")?,
            nonce: taken("nonce")?,
            uri: taken("uri")?,
            response: taken("response")?,
            cnonce: taken("cnonce")?,
            nc,
            count,
        })
    }

    /// Whether it proves to know what HA1 was made of, for this request. How long that takes says nothing of how much of a proof
    /// is right; realm and target, of which it may, are no secrets.
    pub fn proves(&self, ha1: &str, realm: &str, method: &[u8], target: &[u8]) -> bool {
        if self.realm != realm.as_bytes() || self.uri != target {
            return false;
        }
        let ha2 = md5(&[method, &self.uri]);
        let made = md5(&[
            ha1.as_bytes(),
            &self.nonce,
            &self.nc,
            &self.cnonce,
            b"auth",
            ha2.as_bytes(),
        ]);
        let given = self.response.to_ascii_lowercase();
        let differs = made
            .bytes()
            .zip(&given)
            .fold(0, |differs, (a, b)| differs | (a ^ b));
        given.len() == made.len() && differs == 0
    }
}

/// MD5 of these with colons between, in hexadecimal.
fn md5(parts: &[&[u8]]) -> String {
    let mut hash = Md5::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `name=token` and `name="quoted"` between commas, names in lower case; `None`: not well formed, or one stands twice.
fn parameters(mut rest: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(all);
        }
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let (name, value) = rest.split_at_checked(equals)?;
        let name = std::str::from_utf8(name.trim_ascii_end()).ok()?;
        let name = name.to_ascii_lowercase();
        let (value, after) = value_of(value.get(1..)?.trim_ascii_start())?;
        let twice = all.iter().any(|(known, _)| *known == name);
        if twice || name.is_empty() || all.len() == MAX_PARAMETERS {
            return None;
        }
        all.push((name, value));
        rest = match after.trim_ascii_start() {
            [] => return Some(all),
            [b',', after @ ..] => after,
            _ => return None,
        };
    }
}

/// A value, and what stands behind it.
fn value_of(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let [b'"', quoted @ ..] = text else {
        let ends = |byte: &u8| matches!(byte, b',' | b' ' | b'\t');
        let end = text.iter().position(ends).unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end)?;
        return (!value.is_empty() && !value.contains(&b'"')).then(|| (value.to_vec(), after));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((value, quoted.get(at + 1..)?)),
            b'\\' => value.push(*bytes.next()?.1),
            byte => value.push(*byte),
        }
    }
    None
}

/// What becomes of a proof by its nonce and count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It comes for the first time.
    Fresh,
    /// It came before, or the nonce is too old, or is not ours any more: the client is to use another.
    Stale,
}

/// A nonce that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce {
    /// In nanoseconds.
    made: u64,
    /// Another one for each.
    pub number: u64,
}

/// What makes nonces, and knows them again.
#[derive(Debug)]
pub struct Nonces {
    key: [u8; 32],
}

impl Nonces {
    /// `key`: of chance, and secret.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A new one. `now`: since a moment that stays the same; `chance`: another one each time.
    pub fn make(&self, now: Duration, chance: u64) -> String {
        let body = [nanoseconds(now).to_be_bytes(), chance.to_be_bytes()].concat();
        hex(&body) + &hex(&self.proof(&body))
    }

    /// `None`: it is not ours.
    pub fn read(&self, nonce: &[u8]) -> Option<Nonce> {
        let text = std::str::from_utf8(nonce).ok()?;
        let digits = (0..text.len()).step_by(2).map(|at| {
            let pair = text.get(at..at + 2)?;
            let is_hex = pair.bytes().all(|it| it.is_ascii_hexdigit());
            u8::from_str_radix(pair, 16).ok().filter(|_| is_hex)
        });
        let bytes = digits.collect::<Option<Vec<u8>>>()?;
        let (body, proof) = bytes.split_at_checked(16)?;
        let mut mac = self.mac()?;
        mac.update(body);
        if proof.len() != PROOF || mac.verify_truncated_left(proof).is_err() {
            return None;
        }
        let (made, number) = body.split_at_checked(8)?;
        Some(Nonce {
            made: u64::from_be_bytes(made.try_into().ok()?),
            number: u64::from_be_bytes(number.try_into().ok()?),
        })
    }

    /// Empty only where there is no proof, which is never: a key may have any length.
    fn proof(&self, body: &[u8]) -> Vec<u8> {
        let Some(mut mac) = self.mac() else {
            return Vec::new();
        };
        mac.update(body);
        let made = mac.finalize().into_bytes();
        made.iter().copied().take(PROOF).collect()
    }

    fn mac(&self) -> Option<Hmac<Sha256>> {
        Hmac::new_from_slice(&self.key).ok()
    }
}

/// What came with one nonce.
#[derive(Debug, Clone, Copy)]
struct Seen {
    made: u64,
    highest: u32,
    /// The highest count and those before it, one bit each.
    counts: u64,
}

/// Which counts have come with nonces in use.
#[derive(Debug)]
pub struct Uses {
    seen: HashMap<u64, Seen, Seed>,
    most: usize,
    /// Nothing is known of those that were made before this.
    forgotten: u64,
}

impl Uses {
    /// `most`: nonces that are remembered.
    pub fn new(most: usize, seed: Seed) -> Self {
        Self {
            seen: HashMap::with_hasher(seed),
            most,
            forgotten: 0,
        }
    }

    /// Takes a proof that is right. `now`: since the same moment as for [`Nonces::make`].
    pub fn count(&mut self, nonce: Nonce, count: u32, now: Duration) -> Counted {
        let now = nanoseconds(now);
        if now.saturating_sub(nonce.made) > nanoseconds(NONCE_LIFE) || count == 0 {
            return Counted::Stale;
        }
        if let Some(seen) = self.seen.get_mut(&nonce.number) {
            return match seen.take(count) {
                true => Counted::Fresh,
                false => Counted::Stale,
            };
        }
        if nonce.made < self.forgotten {
            return Counted::Stale;
        }
        if self.seen.len() >= self.most {
            self.make_room(now);
        }
        let seen = Seen {
            made: nonce.made,
            highest: count,
            counts: 1,
        };
        // It may be among the older ones.
        if nonce.made < self.forgotten {
            return Counted::Stale;
        }
        self.seen.insert(nonce.number, seen);
        Counted::Fresh
    }

    /// Forgets the older half for good; those that are dead need not be known.
    #[cold]
    fn make_room(&mut self, now: u64) {
        let dead = now.saturating_sub(nanoseconds(NONCE_LIFE));
        let mut made: Vec<u64> = self.seen.values().map(|it| it.made).collect();
        let half = made.len() / 2;
        let Some((_, middle, _)) = (half < made.len()).then(|| made.select_nth_unstable(half))
        else {
            return;
        };
        self.forgotten = (*middle + 1).max(dead).max(self.forgotten);
        let forgotten = self.forgotten;
        self.seen.retain(|_, it| it.made >= forgotten);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Seen {
    /// True where this count comes for the first time.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            let before = self.counts.checked_shl(ahead).unwrap_or(0);
            (self.highest, self.counts) = (count, before | 1);
            return true;
        }
        let behind = self.highest - count;
        let bit = 1_u64.checked_shl(behind).filter(|_| behind < WINDOW);
        match bit {
            Some(bit) if self.counts & bit == 0 => {
                self.counts |= bit;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 2617 section 3.5.
    const EXAMPLE: &str = r#"Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
    const REALM: &str = "testrealm@host.com";

    fn ha1() -> String {
        md5(&[b"Mufasa", REALM.as_bytes(), b"Circle Of Life"])
    }

    #[test]
    fn the_example_of_the_standard() {
        let said = Said::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(said.username, b"Mufasa");
        assert_eq!(said.count, 1);
        let ha1 = ha1();
        assert_eq!(ha1, "939e7578ed9e3c518a452acee763bce9");
        let proves = |ha1: &str, realm: &str, method: &str, target: &str| {
            said.proves(ha1, realm, method.as_bytes(), target.as_bytes())
        };
        assert!(proves(&ha1, REALM, "GET", "/dir/index.html"));
        assert!(!proves(&ha1, REALM, "HEAD", "/dir/index.html"));
        assert!(!proves(&ha1, REALM, "GET", "/dir/index.htm"));
        assert!(!proves(&ha1, "other", "GET", "/dir/index.html"));
        assert!(!proves(
            &ha1.replace('9', "8"),
            REALM,
            "GET",
            "/dir/index.html"
        ));
    }

    #[test]
    fn what_is_read() {
        let good = "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"/\", qop=auth, nc=0000000a, cnonce=\"c\", response=\"x\"";
        let with = |from: &str, to: &str| good.replace(from, to);
        for (text, read) in [
            (good.to_owned(), true),
            (with("Digest", "dIGEST"), true),
            (with("qop=auth", "qop=\"auth\", algorithm=MD5"), true),
            (with("qop=auth", "QOP = auth ,algorithm=\"md5\""), true),
            (with("\"a\"", "\"a\\\"b\\\\c, d=\""), true),
            (format!("{good},"), true),
            (with("Digest ", "Basic "), false),
            (with("Digest ", "Digest"), false),
            (with("qop=auth", "qop=auth-int"), false),
            (with(" qop=auth,", ""), false),
            (with("qop=auth", "qop=auth, algorithm=MD5-sess"), false),
            (with("qop=auth", "qop=auth, userhash=true"), false),
            (with("nc=0000000a", "nc=a"), false),
            (with("nc=0000000a", "nc=+000000a"), false),
            (with("nc=0000000a", "nc=0000000a, nc=0000000b"), false),
            (with("cnonce=\"c\"", "cnonce=\"c"), false),
            (with("cnonce=\"c\"", "cnonce=\"c\"\"d\""), false),
            (with("cnonce=\"c\"", "cnonce"), false),
            (with("cnonce=\"c\"", "cnonce=\"c\\"), false),
            ("Digest ".to_owned(), false),
            (String::new(), false),
        ] {
            let said = Said::parse(text.as_bytes());
            assert_eq!(said.is_some(), read, "{text}");
            if text.contains("\\\"b") {
                assert_eq!(said.unwrap().username, b"a\"b\\c, d=");
            }
        }
        let many: String = (0..40).map(|it| format!("p{it}=1, ")).collect();
        assert!(Said::parse(with("Digest ", &format!("Digest {many}")).as_bytes()).is_none());
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const SEED: Seed = Seed::new([3; 16]);

    #[test]
    fn a_count_comes_once_and_in_any_order() {
        let (nonces, mut uses) = (Nonces::new([7; 32]), Uses::new(10, SEED));
        let nonce = nonces.read(nonces.make(at(5), 1).as_bytes()).unwrap();
        let mut take = |count: u32| uses.count(nonce, count, at(6)) == Counted::Fresh;
        for (count, fresh) in [
            (0, false),
            (2, true),
            (2, false),
            (1, true),
            (1, false),
            (5, true),
            (3, true),
            (4, true),
            (3, false),
            (100, true),
            (36, false),
            (37, true),
            (37, false),
            (5, false),
            (u32::MAX, true),
            (u32::MAX, false),
            (100, false),
            (u32::MAX - 63, true),
            (u32::MAX - 64, false),
        ] {
            assert_eq!(take(count), fresh, "{count}");
        }
    }

    #[test]
    fn nonces_are_ours_for_their_time() {
        let (nonces, mut uses) = (Nonces::new([7; 32]), Uses::new(10, SEED));
        let nonce = nonces.make(at(5), 1);
        let mut fresh = |nonce: &str, now: u64| {
            let nonce = nonces.read(nonce.as_bytes());
            nonce.is_some_and(|it| uses.count(it, 1, at(now)) == Counted::Fresh)
        };
        let other = Nonces::new([8; 32]).make(at(5), 1);
        assert!(!fresh(&other, 6));
        for at in 0..nonce.len() {
            let mut forged = nonce.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert!(!fresh(std::str::from_utf8(&forged).unwrap(), 6), "{at}");
        }
        let cut = [0..62, 0..32, 1..nonce.len()].map(|part| nonce.get(part).unwrap());
        for short in cut.into_iter().chain(["", "é", "zz"]) {
            assert!(!fresh(short, 6), "{short}");
        }
        assert!(!fresh(&nonce, 5 + NONCE_LIFE.as_secs() + 1));
        assert!(fresh(&nonce, 5 + NONCE_LIFE.as_secs()));
    }

    /// However many are used, and however fast, a count never comes twice, what is remembered is bounded, and those that are new
    /// are taken.
    #[test]
    fn what_is_forgotten_is_stale() {
        const MOST: usize = 1_000;
        for nanoseconds_apart in [1, 1_000, 1_000_000_000] {
            let (nonces, mut uses) = (Nonces::new([7; 32]), Uses::new(MOST, SEED));
            let moment = |number: u64| Duration::from_nanos(number * nanoseconds_apart);
            let all = (0..3 * MOST as u64).map(|number| {
                let nonce = nonces.make(moment(number), number);
                let nonce = nonces.read(nonce.as_bytes()).unwrap();
                let first = uses.count(nonce, 1, moment(number));
                assert_eq!(first, Counted::Fresh, "{number}");
                assert!(uses.seen.len() <= MOST);
                nonce
            });
            let all: Vec<Nonce> = all.collect();
            let now = moment(3 * MOST as u64);
            for nonce in &all {
                assert_eq!(uses.count(*nonce, 1, now), Counted::Stale);
            }
            let last = all.last().unwrap();
            assert_eq!(uses.count(*last, 2, now), Counted::Fresh);
            // Half of them at least are known still.
            let known = all.iter().filter(|it| uses.seen.contains_key(&it.number));
            assert!(known.count() >= MOST / 2 - 1);
        }
    }
}
