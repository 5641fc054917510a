//! Certificates that are replaced while Portway runs, as HAProxy's users do it: a file is offered anew and counts once it
//! is committed. What is on the disk is not touched.
//!
//! One file is offered at a time, its certificate and its key together or one after the other. Handshakes see either
//! the old one or the new one; sessions and tickets go on.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use portway_core::certificate::Certificate as Parts;
use portway_model::snapshot::Snapshot;
use rustls_pki_types::UnixTime;

use crate::certificates::{NotAsked, Staples};
use crate::ocsp::Stapler;
use crate::tls::client::RenewableKey;
use crate::tls::identity::{Identity, IdentityError, PemSource, load_identity};
use crate::tls::pem::{self, PemError};
use crate::tls::resolver::{CertificateResolver, NoMatch, RenewableResolver};
use crate::tls::revocation::RevocationList;
use crate::tls::staple::Staple;
use crate::tls::x509::{CertificateFacts, PublicKeyKind, moment};

/// All certificates of the configuration.
#[derive(Debug, Default)]
pub struct Certificates {
    listeners: Vec<OfListener>,
    /// Targets are shown these, by the position of the certificate.
    targets: Vec<(usize, Arc<RenewableKey>)>,
    /// What clients and targets are judged by.
    lists: Vec<RevocationList>,
    state: Mutex<State>,
    /// Who fetches answers of OCSP, once this is at work.
    stapler: OnceLock<Arc<Stapler>>,
}

/// What the clients of a listener are shown.
#[derive(Debug)]
struct OfListener {
    resolver: Arc<RenewableResolver>,
    no_match: NoMatch,
    /// Positions of certificates, the default first.
    certificates: Vec<usize>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<CertificateFile>,
    offered: Option<Offered>,
}

/// A certificate with its texts.
#[derive(Clone)]
pub(crate) struct CertificateFile {
    /// The file as the configuration names it.
    pub(crate) name: String,
    /// That of the key, where it is another.
    pub(crate) key_name: Option<String>,
    /// What the first holds.
    pub(crate) text: Vec<u8>,
    /// What the second holds.
    pub(crate) key_text: Option<Vec<u8>>,
    pub(crate) identity: Arc<Identity>,
    /// What it is shown for in place of its names, as the configuration says it.
    pub(crate) hosts: Vec<String>,
    /// How what its authority says of it is come by.
    pub(crate) staples: Staples,
}

/// What is to replace a certificate.
struct Offered {
    position: usize,
    text: Option<Vec<u8>>,
    key_text: Option<Vec<u8>>,
}

/// A certificate with other texts; the error: answers of OCSP are wanted for it, and nobody can be asked.
type Renewed = (CertificateFile, Result<(), NotAsked>);

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRenewed {
    /// No certificate is read from this file.
    NoSuchFile,
    /// The text is no PEM with a certificate or a key.
    Unreadable(String),
    /// Nothing is offered.
    NothingOffered,
    /// Another file is offered, this one.
    Another(String),
    /// What is offered has no certificate or no key.
    Incomplete,
    /// What is offered cannot be used.
    Unusable(String),
}

/// What a certificate says, in OpenSSL's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateText {
    /// True where somebody is shown it.
    pub is_used: bool,
    /// In hexadecimal.
    pub serial: String,
    /// `Nov 29 03:45:11 2026 GMT`.
    pub not_before: String,
    /// The same for the last second.
    pub not_after: String,
    /// Alternative DNS names.
    pub names: Vec<String>,
    /// `RSA2048`, `EC256`.
    pub algorithm: String,
    /// SHA-1 of the certificate in hexadecimal.
    pub sha1: String,
    /// `/C=FR/CN=a`.
    pub subject: String,
    /// The same for the issuer.
    pub issuer: String,
    /// Subjects and issuers of the certificates above it.
    pub chain: Vec<(String, String)>,
}

impl Certificates {
    pub(crate) fn add_file(&self, file: CertificateFile) {
        self.state().files.push(file);
    }

    pub(crate) fn add_listener(
        &mut self,
        resolver: Arc<RenewableResolver>,
        no_match: NoMatch,
        certificates: Vec<usize>,
    ) {
        self.listeners.push(OfListener {
            resolver,
            no_match,
            certificates,
        });
    }

    pub(crate) fn add_list(&mut self, list: RevocationList) {
        self.lists.push(list);
    }

    /// Of each authority the revocation list that is the first to be over.
    pub(crate) fn lists(&self) -> Vec<&RevocationList> {
        let mut lists: Vec<&RevocationList> = self.lists.iter().collect();
        lists.sort();
        lists.dedup_by(|next, kept| next.issuer == kept.issuer);
        lists
    }

    /// Has answers of OCSP fetched from now on.
    pub(crate) fn look_after(&self, stapler: &Arc<Stapler>) {
        let _ = self.stapler.set(stapler.clone());
        stapler.attach(&self.staples());
    }

    /// The places of answers of OCSP.
    pub(crate) fn staples(&self) -> Vec<Arc<Staple>> {
        let state = self.state();
        let files = state.files.iter();
        files.filter_map(|it| it.identity.staple.clone()).collect()
    }

    /// The same with the file of each certificate.
    pub(crate) fn stapled(&self) -> Vec<(String, Arc<Staple>)> {
        let state = self.state();
        let files = state.files.iter();
        let stapled = files.filter_map(|it| Some((it.name.clone(), it.identity.staple.clone()?)));
        stapled.collect()
    }

    /// Who fetches answers.
    pub(crate) fn stapler(&self) -> Option<&Arc<Stapler>> {
        self.stapler.get()
    }

    /// Of each certificate, in the order of the configuration.
    pub(crate) fn identities(&self) -> Vec<Arc<Identity>> {
        let state = self.state();
        state.files.iter().map(|it| it.identity.clone()).collect()
    }

    pub(crate) fn add_target(&mut self, certificate: usize, key: Arc<RenewableKey>) {
        self.targets.push((certificate, key));
    }

    /// The names of the certificates of `snapshot`, which these are of, whose files say something else than those of `before`.
    pub(crate) fn renewed_since(&self, before: &Certificates, snapshot: &Snapshot) -> Vec<String> {
        if std::ptr::eq(self, before) {
            // Nothing was read.
            return Vec::new();
        }
        let (now, then) = (self.state(), before.state());
        let is_renewed = |file: &CertificateFile| {
            let mut known = then
                .files
                .iter()
                .filter(|it| it.name == file.name)
                .peekable();
            let is_same =
                |it: &CertificateFile| it.text == file.text && it.key_text == file.key_text;
            known.peek().is_some() && !known.any(is_same)
        };
        let files = snapshot.certificates.iter().zip(&now.files);
        let renewed = files.filter(|(_, file)| is_renewed(file));
        renewed.map(|(it, _)| it.name.to_string()).collect()
    }

    /// The file that is offered, and all that certificates are read from.
    pub fn files(&self) -> (Option<String>, Vec<String>) {
        let state = self.state();
        let mut names: Vec<String> = Vec::new();
        for file in &state.files {
            if !names.contains(&file.name) {
                names.push(file.name.clone());
            }
        }
        (state.offered_name().map(str::to_owned), names)
    }

    /// Offers the text of a file anew. Gives whether nothing was offered before, and the file of the certificate.
    ///
    /// # Errors
    /// No certificate is read from it, another one is offered, or the text is none.
    pub fn offer(&self, file: &str, text: &str) -> Result<(bool, String), NotRenewed> {
        let mut state = self.state();
        let is_key = |it: &CertificateFile| {
            it.key_name.as_deref() == Some(file)
                || file.strip_suffix(".key") == Some(it.name.as_str())
        };
        let fits = |it: &CertificateFile| it.name == file || is_key(it);
        // Where a certificate has several keys, the rest goes to the pair that was begun.
        let begun = state.offered.as_ref().map(|it| it.position);
        let begun = begun.filter(|at| state.files.get(*at).is_some_and(fits));
        let position = begun.or_else(|| state.files.iter().position(fits));
        let position = position.ok_or(NotRenewed::NoSuchFile)?;
        let is_certificate = state.files.get(position).is_some_and(|it| it.name == file);
        if let Some(offered) = &state.offered
            && offered.position != position
        {
            let name = state.offered_name().unwrap_or_default();
            return Err(NotRenewed::Another(name.to_owned()));
        }
        let contents = pem::read(text.as_bytes());
        let contents = contents.map_err(|it| NotRenewed::Unreadable(it.to_string()))?;
        if match is_certificate {
            true => contents.certificates.is_empty(),
            false => contents.keys.is_empty(),
        } {
            return Err(NotRenewed::Unreadable(String::new()));
        }
        let is_first = state.offered.is_none();
        let offered = state.offered.get_or_insert(Offered {
            position,
            text: None,
            key_text: None,
        });
        let text = Some(text.as_bytes().to_vec());
        match is_certificate {
            true => offered.text = text,
            false => offered.key_text = text,
        }
        Ok((is_first, state.offered_name().unwrap_or(file).to_owned()))
    }

    /// Makes what is offered the certificate that is shown. Gives how many listeners and groups it has.
    ///
    /// # Errors
    /// It is not offered, or cannot be used; it stays offered then.
    pub fn commit(&self, file: &str) -> Result<usize, NotRenewed> {
        let mut state = self.state();
        let (renewed, asked) = state.renewed(file)?;
        state.offered = None;
        let mut positions = Vec::new();
        for (at, it) in state.files.iter_mut().enumerate() {
            if it.name != renewed.name {
                continue;
            }
            let has_same_key = it.key_name == renewed.key_name;
            let key_text = match has_same_key {
                true => renewed.key_text.as_ref(),
                // It is renewed where its own key fits, and stays what it is elsewhere.
                false => it.key_text.as_ref(),
            };
            let file = match has_same_key && it.staples == renewed.staples {
                true => Ok((renewed.clone(), asked)),
                false => it.with(&renewed.text, key_text),
            };
            if let Ok((file, asked)) = file {
                if let Err(why) = asked {
                    tracing::warn!("{}", why.of(&file.staples.certificate));
                }
                let hosts = std::mem::take(&mut it.hosts);
                let identity = Identity::clone(&file.identity).serving(&hosts);
                *it = CertificateFile {
                    identity: Arc::new(identity),
                    hosts,
                    ..file
                };
                positions.push(at);
            }
        }
        // New ones show what is known before anybody sees them.
        if let Some(stapler) = self.stapler() {
            let renewed = positions.iter().filter_map(|at| state.files.get(*at));
            let staples = renewed.filter_map(|it| it.identity.staple.clone());
            stapler.attach(&staples.collect::<Vec<_>>());
        }
        let mut uses = 0;
        for listener in &self.listeners {
            if !listener
                .certificates
                .iter()
                .any(|it| positions.contains(it))
            {
                continue;
            }
            uses += 1;
            let of = listener.certificates.iter();
            let identities: Vec<Arc<Identity>> = of
                .filter_map(|at| Some(state.files.get(*at)?.identity.clone()))
                .collect();
            let (resolver, _) = CertificateResolver::new(&identities, listener.no_match);
            listener.resolver.renew(resolver);
        }
        for (certificate, key) in &self.targets {
            if positions.contains(certificate)
                && let Some(file) = state.files.get(*certificate)
            {
                uses += 1;
                key.renew(file.identity.certified_key.clone());
            }
        }
        Ok(uses)
    }

    /// Forgets what is offered.
    ///
    /// # Errors
    /// It is not offered.
    pub fn abort(&self, file: &str) -> Result<(), NotRenewed> {
        let mut state = self.state();
        state.is_offered(file)?;
        state.offered = None;
        Ok(())
    }

    /// What the certificate of a file says, or what is offered in its place. `None`: there is none.
    pub fn text(&self, file: &str, offered: bool) -> Option<CertificateText> {
        let state = self.state();
        if offered {
            let (renewed, _) = state.renewed(file).ok()?;
            return text_of(&renewed.identity, false);
        }
        let (at, file) = state
            .files
            .iter()
            .enumerate()
            .find(|(_, it)| it.name == file)?;
        let mut listeners = self.listeners.iter();
        let is_used = listeners.any(|it| it.certificates.contains(&at))
            || self.targets.iter().any(|(it, _)| *it == at);
        text_of(&file.identity, is_used)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn offered_name(&self) -> Option<&str> {
        let offered = self.offered.as_ref()?;
        Some(&self.files.get(offered.position)?.name)
    }

    fn is_offered(&self, file: &str) -> Result<(), NotRenewed> {
        match self.offered_name() {
            None => Err(NotRenewed::NothingOffered),
            Some(name) if name == file => Ok(()),
            Some(name) => Err(NotRenewed::Another(name.to_owned())),
        }
    }

    /// The certificate of a file as it is offered.
    fn renewed(&self, file: &str) -> Result<Renewed, NotRenewed> {
        self.is_offered(file)?;
        let offered = self.offered.as_ref().ok_or(NotRenewed::NothingOffered)?;
        let old = self.files.get(offered.position);
        let old = old.ok_or(NotRenewed::NothingOffered)?;
        let text = offered.text.as_ref().unwrap_or(&old.text);
        let key_text = offered.key_text.as_ref().or(old.key_text.as_ref());
        old.with(text, key_text)
    }
}

impl CertificateFile {
    /// The same with other texts, for nothing but its names.
    fn with(&self, text: &[u8], key_text: Option<&Vec<u8>>) -> Result<Renewed, NotRenewed> {
        let name = self.name.as_str();
        // A key in the file itself counts, as at the start.
        let has_key = pem::read(text).is_ok_and(|it| !it.keys.is_empty());
        let key_text = key_text.filter(|_| !has_key);
        let sources = [Some(text), key_text.map(Vec::as_slice)];
        let sources = sources.into_iter().flatten();
        let sources: Vec<PemSource<'_>> = sources.map(|text| PemSource { name, text }).collect();
        let (identity, asked) = match load_identity(&sources, UnixTime::now()) {
            Ok((mut identity, _)) => {
                let place = self.staples.place(&mut identity);
                let (staple, asked) = place.unzip();
                identity.staple = staple;
                (Arc::new(identity), asked.unwrap_or(Ok(())))
            }
            Err(IdentityError::Pem {
                error: PemError::NoKey,
                ..
            }) => return Err(NotRenewed::Incomplete),
            Err(error) => return Err(NotRenewed::Unusable(error.to_string())),
        };
        let file = CertificateFile {
            name: self.name.clone(),
            key_name: self.key_name.clone(),
            text: text.to_vec(),
            key_text: key_text.cloned(),
            identity,
            hosts: Vec::new(),
            staples: self.staples.clone(),
        };
        Ok((file, asked))
    }
}

/// Without the texts: they hold private keys.
impl fmt::Debug for CertificateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateFile")
            .field("name", &self.name)
            .field("key_name", &self.key_name)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// Without the texts: they hold private keys.
impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offered")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for NotRenewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRenewed::NoSuchFile => f.write_str("no certificate is read from this file"),
            NotRenewed::Unreadable(why) => write!(f, "this is no PEM of it: {why}"),
            NotRenewed::NothingOffered => f.write_str("nothing is offered"),
            NotRenewed::Another(name) => write!(f, "`{name}` is offered"),
            NotRenewed::Incomplete => f.write_str("the certificate or its key is missing"),
            NotRenewed::Unusable(why) => f.write_str(why),
        }
    }
}

fn text_of(identity: &Identity, is_used: bool) -> Option<CertificateText> {
    let chain = &identity.certified_key.cert;
    let leaf = chain.first()?;
    let facts = CertificateFacts::read(leaf).ok()?;
    let parts = Parts::read(leaf)?;
    let line = |name: &portway_core::certificate::Name<'_>| {
        String::from_utf8_lossy(&name.line()).into_owned()
    };
    let above = chain.iter().skip(1).filter_map(|it| {
        let parts = Parts::read(it)?;
        Some((line(&parts.subject), line(&parts.issuer)))
    });
    Some(CertificateText {
        is_used,
        serial: hexadecimal(parts.serial),
        not_before: moment(identity.not_before),
        not_after: moment(identity.not_after),
        names: facts.dns_names,
        algorithm: match facts.key {
            PublicKeyKind::Rsa { bits } => format!("RSA{bits}"),
            PublicKeyKind::Ecdsa { bits } => format!("EC{bits}"),
            PublicKeyKind::Ed25519 => "ED25519".to_owned(),
            PublicKeyKind::Other(oid) => oid,
        },
        sha1: hexadecimal(digest(&SHA1_FOR_LEGACY_USE_ONLY, leaf).as_ref()),
        subject: line(&parts.subject),
        issuer: line(&parts.issuer),
        chain: above.collect(),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::self_signed::{SelfSigned, self_signed};
    use portway_model::ocsp::{OcspFetch, Responder};
    use std::time::Duration;

    fn make() -> SelfSigned {
        self_signed(&["a.example".to_owned()], 9, UnixTime::now()).unwrap()
    }

    fn file(name: &str, key_name: &str, made: &SelfSigned) -> CertificateFile {
        let (text, key_text) = (&made.certificate_pem, &made.key_pem);
        let source = |text| PemSource { name, text };
        let sources = [source(text.as_bytes()), source(key_text.as_bytes())];
        let (identity, _) = load_identity(&sources, UnixTime::now()).unwrap();
        CertificateFile {
            name: name.to_owned(),
            key_name: Some(key_name.to_owned()),
            text: text.as_bytes().to_vec(),
            key_text: Some(key_text.as_bytes().to_vec()),
            identity: Arc::new(identity),
            hosts: Vec::new(),
            staples: Staples::default(),
        }
    }

    #[test]
    fn each_key_stays_with_its_file() {
        let (old, new) = (make(), make());
        let all = Certificates::default();
        for (name, key_name) in [
            ("a.pem", "one.key"),
            ("b.pem", "b.key"),
            ("a.pem", "one.key"),
            ("a.pem", "two.key"),
        ] {
            all.add_file(file(name, key_name, &old));
        }
        assert_eq!(all.files(), (None, vec!["a.pem".into(), "b.pem".into()]));

        let keys = |expected: [(&str, &SelfSigned); 4]| {
            let state = all.state();
            for (it, (key_name, made)) in state.files.iter().zip(expected) {
                assert_eq!(it.key_name.as_deref(), Some(key_name));
                let key_text = it.key_text.as_deref();
                assert!(key_text == Some(made.key_pem.as_bytes()), "{key_name}");
                assert!(it.text == made.certificate_pem.as_bytes(), "{key_name}");
            }
        };
        all.offer("a.pem", &new.certificate_pem).unwrap();
        all.offer("one.key", &new.key_pem).unwrap();
        all.commit("a.pem").unwrap();
        let (one, two, b) = ("one.key", "two.key", "b.key");
        keys([(one, &new), (b, &old), (one, &new), (two, &old)]);

        // The other pair begins with its key.
        all.offer("two.key", &new.key_pem).unwrap();
        all.offer("a.pem", &new.certificate_pem).unwrap();
        all.commit("a.pem").unwrap();
        keys([(one, &new), (b, &old), (one, &new), (two, &new)]);
    }

    #[test]
    fn each_certificate_has_its_answers_fetched_as_it_says() {
        let (old, new) = (make(), make());
        // It is its own issuer.
        let staples = |responder: Option<&str>| Staples {
            certificate: "second".to_owned(),
            of_issuer: None,
            fetch: Some(OcspFetch {
                responder: responder.map(|it| Responder::At(it.to_owned())),
                min_refresh: Duration::from_secs(300),
                max_refresh: None,
            }),
            has_file: false,
        };
        let all = Certificates::default();
        all.add_file(file("a.pem", "a.key", &old));
        all.add_file(CertificateFile {
            staples: staples(Some("http://ocsp.example/")),
            ..file("a.pem", "a.key", &old)
        });
        all.offer("a.pem", &new.certificate_pem).unwrap();
        all.offer("a.key", &new.key_pem).unwrap();
        all.commit("a.pem").unwrap();
        let asked: Vec<bool> = {
            let state = all.state();
            let files = state.files.iter();
            let staples = files.map(|it| it.identity.staple.as_ref());
            staples
                .map(|it| it.is_some_and(|it| it.asked.is_some()))
                .collect()
        };
        assert_eq!(asked, [false, true]);

        // Whom nobody can be asked about is told.
        let stranger = CertificateFile {
            staples: staples(None),
            ..file("a.pem", "a.key", &new)
        };
        let (_, asked) = stranger
            .with(&stranger.text, stranger.key_text.as_ref())
            .unwrap();
        assert_eq!(asked, Err(NotAsked::NoResponder));
    }

    #[test]
    fn keys_are_not_shown() {
        let made = make();
        let all = Certificates::default();
        all.add_file(file("a.pem", "a.key", &made));
        all.offer("a.key", &made.key_pem).unwrap();
        let shown = format!("{all:?}");
        assert!(shown.contains("a.pem") && shown.contains("position: 0"));
        // Bytes would be numbers in brackets.
        assert!(!shown.contains("text"), "{shown}");
    }
}
