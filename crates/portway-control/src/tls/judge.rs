//! Judges chains of certificates as OpenSSL does, with its numbers of faults (`X509_V_ERR_…` of version 3.0) in its order.
//!
//! A chain must lead to a self-signed authority among the given ones; its own version of X.509 does not matter. Every fault is
//! found, because each may be one that is let pass: a chain is good where nothing is left that is not. The hard thing is that what
//! is not found is let pass too, so what cannot be looked at (a signature of an unknown kind, constraints of names) is a fault.

use std::fmt;
use std::sync::Arc;

use portway_dataplane::client_tls::{JudgesClients, Verdict};
use portway_model::settings::Faults;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{CertificateError, OtherError, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::client::MIN_RSA_BITS;
use super::link::{Link, List, Scope};

/// Certificates of a chain at most, the client's own and the root included; OpenSSL takes as many.
pub(super) const MAX_CHAIN: usize = 100;

/// Certificates that a client may send beside its own for a chain to be made of; more are not looked at.
pub(super) const MAX_SENT: usize = 32;

/// A fault: its number, and how far above the client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) number: u8,
    pub(super) depth: u8,
}

impl Fault {
    /// In rustls's words, by which the client is told nearly what OpenSSL tells it.
    pub(super) fn error(self) -> CertificateError {
        match self.number {
            number::NO_ISSUER
            | number::NO_LIST
            | number::SELF_SIGNED
            | number::SELF_SIGNED_ABOVE
            | number::NO_ISSUER_HERE
            | number::LEAF_UNVERIFIED
            | number::NO_AUTHORITY
            | number::PATH_LENGTH
            | number::TOO_LONG => CertificateError::UnknownIssuer,
            number::BAD_SIGNATURE | number::BAD_LIST_SIGNATURE => CertificateError::BadSignature,
            number::EXPIRED => CertificateError::Expired,
            number::NOT_YET_VALID => CertificateError::NotValidYet,
            number::LIST_EXPIRED | number::LIST_NOT_YET_VALID => {
                CertificateError::ExpiredRevocationList
            }
            number::REVOKED => CertificateError::Revoked,
            number::PURPOSE => CertificateError::InvalidPurpose,
            number => CertificateError::Other(OtherError(Arc::new(Unnamed(number)))),
        }
    }
}

/// A fault that rustls has no word for.
#[derive(Debug)]
struct Unnamed(u8);

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {} by OpenSSL's numbers", self.0)
    }
}

impl std::error::Error for Unnamed {}

/// OpenSSL's numbers.
pub(super) mod number {
    pub(in super::super) const UNSPECIFIED: u8 = 1;
    pub(in super::super) const NO_ISSUER: u8 = 2;
    pub(in super::super) const NO_LIST: u8 = 3;
    pub(in super::super) const BAD_SIGNATURE: u8 = 7;
    pub(in super::super) const BAD_LIST_SIGNATURE: u8 = 8;
    pub(in super::super) const NOT_YET_VALID: u8 = 9;
    pub(in super::super) const EXPIRED: u8 = 10;
    pub(in super::super) const LIST_NOT_YET_VALID: u8 = 11;
    pub(in super::super) const LIST_EXPIRED: u8 = 12;
    pub(in super::super) const SELF_SIGNED: u8 = 18;
    pub(in super::super) const SELF_SIGNED_ABOVE: u8 = 19;
    pub(in super::super) const NO_ISSUER_HERE: u8 = 20;
    pub(in super::super) const LEAF_UNVERIFIED: u8 = 21;
    pub(in super::super) const TOO_LONG: u8 = 22;
    pub(in super::super) const REVOKED: u8 = 23;
    pub(in super::super) const PATH_LENGTH: u8 = 25;
    pub(in super::super) const PURPOSE: u8 = 26;
    pub(in super::super) const NO_LIST_ISSUER: u8 = 33;
    pub(in super::super) const UNKNOWN_EXTENSION: u8 = 34;
    pub(in super::super) const NO_LIST_SIGNING: u8 = 35;
    pub(in super::super) const UNKNOWN_LIST_EXTENSION: u8 = 36;
    pub(in super::super) const LIST_SCOPE: u8 = 44;
    pub(in super::super) const NAME_CONSTRAINTS: u8 = 47;
    pub(in super::super) const SHORT_KEY: u8 = 66;
    pub(in super::super) const SHORT_KEY_ABOVE: u8 = 67;
    pub(in super::super) const WEAK_SIGNATURE: u8 = 68;
    pub(in super::super) const NO_AUTHORITY: u8 = 79;
}

/// Who judges.
#[derive(Debug)]
pub(super) struct Judge {
    authorities: Vec<Link>,
    /// The same for the constraints of names.
    anchors: RootCertStore,
    /// `None`: nothing is asked about revocation.
    lists: Option<Vec<List>>,
    ignored: Faults,
    ignored_above: Faults,
    algorithms: WebPkiSupportedAlgorithms,
    of_servers: bool,
}

/// A chain from the client's certificate upwards.
struct Chain<'a> {
    links: Vec<&'a Link>,
    /// Its end is an authority that is trusted and signed itself.
    is_whole: bool,
    /// Its end is a given authority, whether it signed itself or not.
    ends_known: bool,
}

impl Judge {
    /// Of targets' certificates, with which nothing may be wrong.
    pub(super) fn of_servers(
        authorities: &[CertificateDer<'static>],
        lists: Option<Vec<List>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self {
            of_servers: true,
            ..Self::of_clients(authorities, lists, Default::default(), algorithms)
        }
    }

    /// Of clients' certificates. `authorities` that cannot be read are none.
    pub(super) fn of_clients(
        authorities: &[CertificateDer<'static>],
        lists: Option<Vec<List>>,
        (ignored, ignored_above): (Faults, Faults),
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let mut anchors = RootCertStore::empty();
        anchors.add_parsable_certificates(authorities.iter().cloned());
        Self {
            authorities: authorities.iter().filter_map(|it| Link::read(it)).collect(),
            anchors,
            lists,
            ignored,
            ignored_above,
            algorithms,
            of_servers: false,
        }
    }

    /// Whether any fault is let pass.
    pub(super) fn lets_pass(&self) -> bool {
        let none = Faults::default();
        self.ignored != none || self.ignored_above != none
    }

    /// All that is found, and the first fault that is not let pass.
    pub(super) fn verdict(
        &self,
        own: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> (Verdict, Option<Fault>) {
        let mut verdict = Verdict::default();
        for fault in self.faults(own, sent, now) {
            verdict.add(fault.number, fault.depth);
            let ignored = match fault.depth {
                0 => self.ignored,
                _ => self.ignored_above,
            };
            if !ignored.has(fault.number) {
                return (verdict, Some(fault));
            }
        }
        (verdict, None)
    }

    fn faults(
        &self,
        own: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Vec<Fault> {
        let mut found = Vec::new();
        let Some(leaf) = Link::read(own) else {
            return vec![Fault {
                number: number::UNSPECIFIED,
                depth: 0,
            }];
        };
        let links = sent.iter().take(MAX_SENT);
        let links: Vec<Link> = links.filter_map(|it| Link::read(it)).collect();
        if is_short(&leaf) {
            add(&mut found, number::SHORT_KEY, 0);
        }
        let chain = self.chain(&leaf, &links, now);
        if let Some(number) = chain.fault() {
            add(&mut found, number, chain.links.len() - 1);
        }
        check_uses(&chain, self.of_servers, &mut found);
        for (depth, link) in chain.links.iter().enumerate() {
            let is_top = depth + 1 == chain.links.len();
            if depth > 0 && is_short(link) {
                add(&mut found, number::SHORT_KEY_ABOVE, depth);
            }
            if !is_top && !link.is_signed_well(self.algorithms.all) {
                add(&mut found, number::WEAK_SIGNATURE, depth);
            }
        }
        if let Some(lists) = &self.lists {
            for depth in 0..chain.links.len() {
                self.check_revocation(&chain, depth, lists, now, &mut found);
            }
        }
        self.check_signatures(&chain, now, &mut found);
        let constrained = chain.links.iter().any(|it| it.uses.has_name_constraints);
        if constrained && !self.is_within_names(own, sent, now) {
            add(&mut found, number::NAME_CONSTRAINTS, 0);
        }
        found
    }

    /// The chain that can be made, given authorities before what was sent.
    fn chain<'a>(&'a self, leaf: &'a Link, sent: &'a [Link], now: UnixTime) -> Chain<'a> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let mut links = vec![leaf];
        let mut top = leaf;
        let mut ends_known = false;
        while links.len() < MAX_CHAIN {
            if top.is_self_signed() {
                let is_given = self.authorities.iter().any(|it| it.der == top.der);
                return Chain {
                    links,
                    is_whole: is_given,
                    ends_known: is_given,
                };
            }
            let issued = |it: &&Link| {
                let may_sign = it.uses.signs_certificates;
                may_sign && it.can_have_issued(top) && !links.contains(it)
            };
            // Of several the first that is valid.
            let among = |some: &'a [Link]| {
                let valid = some.iter().filter(issued).find(|it| it.is_valid_at(now));
                valid.or_else(|| some.iter().find(issued))
            };
            let given = among(&self.authorities);
            // What was sent is not looked at above a given authority.
            let next = match given {
                None if !ends_known => among(sent),
                given => given,
            };
            let Some(next) = next else { break };
            ends_known |= given.is_some();
            links.push(next);
            top = next;
        }
        Chain {
            links,
            is_whole: false,
            ends_known,
        }
    }

    /// Whether a certificate of the chain is revoked, or nobody knows.
    fn check_revocation(
        &self,
        chain: &Chain<'_>,
        depth: usize,
        lists: &[List],
        now: UnixTime,
        found: &mut Vec<Fault>,
    ) {
        let Some(link) = chain.links.get(depth) else {
            return;
        };
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let is_over = |list: &List| list.next_update.is_some_and(|next| next < now);
        let is_current = |list: &List| list.this_update <= now && !is_over(list);
        let of_issuer = lists.iter().filter(|it| it.issuer == link.issuer);
        // A current one, and the newest of those.
        let Some(list) = of_issuer.max_by_key(|it| (is_current(it), it.this_update)) else {
            return add(found, number::NO_LIST, depth);
        };
        let issuer = match chain.links.get(depth + 1) {
            Some(issuer) => issuer,
            None if link.is_self_signed() => link,
            None => return add(found, number::NO_LIST_ISSUER, depth),
        };
        let is_about = match list.scope {
            Scope::All => true,
            Scope::Users => !link.uses.is_authority,
            Scope::Authorities => link.uses.is_authority,
            Scope::Other => false,
        };
        let faults = [
            (!issuer.uses.signs_lists, number::NO_LIST_SIGNING),
            (!is_about, number::LIST_SCOPE),
            (list.this_update > now, number::LIST_NOT_YET_VALID),
            (is_over(list), number::LIST_EXPIRED),
            (
                !issuer.signed_list(list, self.algorithms.all),
                number::BAD_LIST_SIGNATURE,
            ),
            (list.has_unknown, number::UNKNOWN_LIST_EXTENSION),
            (list.names(link), number::REVOKED),
        ];
        for (is_so, number) in faults {
            if is_so {
                add(found, number, depth);
            }
        }
    }

    /// Signatures and dates from the top down.
    fn check_signatures(&self, chain: &Chain<'_>, now: UnixTime, found: &mut Vec<Fault>) {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let top = chain.links.len() - 1;
        let signed_itself = chain.links.last().is_some_and(|it| it.is_self_signed());
        if top == 0 && !signed_itself {
            add(found, number::LEAF_UNVERIFIED, 0);
        }
        for (depth, link) in chain.links.iter().enumerate().rev() {
            // Nobody knows who signed the top of a chain that is not whole, nor looks at its dates where others stand below.
            if depth == top && top > 0 && !signed_itself {
                continue;
            }
            let issuer = chain.links.get(depth + 1);
            if issuer.is_some_and(|it| !it.signed(link, self.algorithms.all)) {
                add(found, number::BAD_SIGNATURE, depth);
            }
            if link.not_before > now {
                add(found, number::NOT_YET_VALID, depth);
            }
            if link.not_after < now {
                add(found, number::EXPIRED, depth);
            }
        }
    }

    /// Whether the names are within the constraints of authorities: webpki looks at all else once more.
    fn is_within_names(
        &self,
        own: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        webpki::EndEntityCert::try_from(own).is_ok_and(|certificate| {
            let verified = certificate.verify_for_usage(
                self.algorithms.all,
                &self.anchors.roots,
                sent,
                now,
                match self.of_servers {
                    true => webpki::KeyUsage::server_auth(),
                    false => webpki::KeyUsage::client_auth(),
                },
                None,
                None,
            );
            verified.is_ok()
        })
    }
}

impl JudgesClients for Judge {
    fn judge(&self, chain: &[CertificateDer<'_>]) -> Verdict {
        match chain.split_first() {
            Some((own, sent)) => self.verdict(own, sent, UnixTime::now()).0,
            None => Verdict::default(),
        }
    }
}

impl Chain<'_> {
    /// Why it does not lead to an authority.
    fn fault(&self) -> Option<u8> {
        let signed_itself = self.links.last().is_some_and(|it| it.is_self_signed());
        if self.is_whole {
            None
        } else if signed_itself && self.links.len() == 1 {
            Some(number::SELF_SIGNED)
        } else if signed_itself {
            Some(number::SELF_SIGNED_ABOVE)
        } else if self.links.len() >= MAX_CHAIN {
            Some(number::TOO_LONG)
        } else if self.ends_known {
            Some(number::NO_ISSUER)
        } else {
            Some(number::NO_ISSUER_HERE)
        }
    }
}

fn is_short(link: &Link) -> bool {
    link.rsa_bits.is_some_and(|bits| bits < MIN_RSA_BITS)
}

/// What certificates may be used for, from the client's upwards.
fn check_uses(chain: &Chain<'_>, of_servers: bool, found: &mut Vec<Fault>) {
    let mut below = 0;
    for (depth, link) in chain.links.iter().enumerate() {
        let uses = &link.uses;
        if uses.has_unknown {
            add(found, number::UNKNOWN_EXTENSION, depth);
        }
        if depth > 0 && !uses.is_authority {
            add(found, number::NO_AUTHORITY, depth);
        }
        let (is_meant, proves_itself) = match of_servers {
            true => (uses.is_for_servers, uses.makes_handshakes),
            false => (uses.is_for_clients, uses.signs_handshakes),
        };
        if !is_meant || (depth == 0 && !proves_itself) {
            add(found, number::PURPOSE, depth);
        }
        if depth > 0 && uses.path_length.is_some_and(|most| below > most) {
            add(found, number::PATH_LENGTH, depth);
        }
        if depth > 0 && link.subject != link.issuer {
            below += 1;
        }
    }
}

fn add(found: &mut Vec<Fault>, number: u8, depth: usize) {
    let depth = u8::try_from(depth).unwrap_or(u8::MAX);
    found.push(Fault { number, depth });
}
