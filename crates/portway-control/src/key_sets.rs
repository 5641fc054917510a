//! Keys that tokens are signed with: read from files before anything serves, fetched while Portway runs.
//!
//! A set that is fetched is fetched again after its `refresh`, and where a worker meets a key that is not in it. It keeps
//! the last keys where a fetch fails, over reloads and upgrades too, and is empty before the first: requests wait for it then.

mod handed;
pub mod jwks;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use portway_dataplane::keys::{FETCH_PAUSE, Key, KeySet, KeySets, Keys};
use portway_model::action::Action;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::jwt::{Jwt, JwtAlgorithm, KeySource, KeyUrl, UrlParts};
use portway_model::snapshot::{Rules, Snapshot};
use portway_model::span::{FileId, Sources, Span, Spanned};
use portway_telemetry::events::{Event, emit};
use portway_telemetry::metrics::ProcessCounters;
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject, SectionKind};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub(crate) use handed::KeySetPart;

use crate::certificates::trusting;
use crate::fetch::Question;
use crate::files::{self, read_limited};
use crate::sources::folder_of;

/// Bytes of a set of keys, or of a file with some. Issuers have a few kilobytes.
pub const MAX_KEYS_BYTES: u64 = 256 * 1024;
/// Bytes of a shared secret.
pub const MAX_SECRET_BYTES: u64 = 64 * 1024;
/// How long an issuer has to give its keys: less than a request waits for them.
const PATIENCE: Duration = Duration::from_secs(4);

/// Sets as they were made ready.
#[derive(Default, Clone)]
pub(crate) struct Loaded {
    pub(crate) sets: Arc<KeySets>,
    fetched: Arc<[Fetched]>,
}

/// A set that is fetched.
struct Fetched {
    url: KeyUrl,
    /// The file of authorities that is believed, from the root.
    ca: Option<String>,
    set: Weak<KeySet>,
    bell: Arc<Notify>,
    tls: Option<Arc<ClientConfig>>,
}

/// Reads the keys that rules name.
pub(crate) fn load(snapshot: &Snapshot, sources: &Sources) -> (Loaded, Diagnostics) {
    let mut load = Load {
        sources,
        sets: KeySets::default(),
        fetched: Vec::new(),
        seen: HashSet::new(),
        found: Diagnostics::default(),
    };
    for listener in &snapshot.listeners {
        files::of("listener", &listener.name, || load.rules(&listener.rules));
    }
    for group in &snapshot.groups {
        files::of("target_group", &group.name, || load.rules(&group.rules));
    }
    for file in &snapshot.token_keys.0 {
        files::of("process", "", || load.of_value(file));
    }
    let loaded = Loaded {
        sets: Arc::new(load.sets),
        fetched: load.fetched.into(),
    };
    (loaded, load.found)
}

/// A run of [`load`].
struct Load<'a> {
    sources: &'a Sources,
    sets: KeySets,
    fetched: Vec<Fetched>,
    seen: HashSet<(FileId, KeySource)>,
    found: Diagnostics,
}

impl Load<'_> {
    fn rules(&mut self, rules: &Rules) {
        for rule in rules.iter() {
            for (index, action) in rule.actions.iter().enumerate() {
                if let Action::Jwt(jwt) = action {
                    self.keys(jwt, rule.place_of(index));
                }
            }
        }
    }

    fn keys(&mut self, jwt: &Jwt, span: Span) {
        // Each rule asks for a length of its own.
        let is_secret = matches!(jwt.keys, KeySource::Secret(_));
        if !self.seen.insert((span.file, jwt.keys.clone())) && !is_secret {
            return;
        }
        let set = match &jwt.keys {
            KeySource::File(file) => self.file(file, span),
            KeySource::Secret(file) => self.secret(file, jwt, span),
            KeySource::Url(url) => self.url(url, span),
        };
        if let Some(set) = set {
            self.sets.add(span.file, jwt.keys.clone(), set);
        }
    }

    /// Without its keys a value says that they are not known, as with HAProxy.
    fn of_value(&mut self, file: &Spanned<String>) {
        let path = folder_of(self.sources, file.span).join(Path::new(&file.value));
        let read = read_limited(&path, MAX_KEYS_BYTES).map_err(|reason| reason.to_string());
        match read.and_then(|text| pem(&text)) {
            Ok(keys) => self.sets.add_file(&file.value, keys),
            Err(why) => {
                let message = format!("`{}` has no public key of tokens: {why}", path.display());
                let warning = Diagnostic::warning(Code::Unreadable, file.span, message);
                self.found
                    .push(warning.help("no token is taken for signed with it"));
            }
        }
    }

    fn read(&mut self, file: &str, limit: u64, span: Span) -> Option<Vec<u8>> {
        let path = folder_of(self.sources, span).join(Path::new(file));
        let read = read_limited(&path, limit);
        read.map_err(|reason| {
            let message = format!("cannot read `{}`: {reason}", path.display());
            let help = "a relative path begins in the folder of this file";
            self.found
                .push(Diagnostic::error(Code::Unreadable, span, message).help(help));
        })
        .ok()
    }

    fn wrong(&mut self, span: Span, message: String, help: &str) {
        let wrong = Diagnostic::error(Code::Certificate, span, message);
        self.found.push(wrong.help(help));
    }

    fn file(&mut self, file: &str, span: Span) -> Option<Arc<KeySet>> {
        let text = self.read(file, MAX_KEYS_BYTES, span)?;
        let keys = match text.trim_ascii().first() {
            Some(b'{') => jwks::read(&text),
            _ => pem(&text),
        };
        match keys {
            Ok(keys) => Some(Arc::new(KeySet::fixed(Keys::new(keys)))),
            Err(why) => {
                let help = "a JSON Web Key Set (`{ \"keys\": [ … ] }`) is expected, or PEM with `PUBLIC KEY` or `CERTIFICATE`";
                self.wrong(span, format!("`{file}` has no keys of tokens: {why}"), help);
                None
            }
        }
    }

    fn secret(&mut self, file: &str, jwt: &Jwt, span: Span) -> Option<Arc<KeySet>> {
        let text = self.read(file, MAX_SECRET_BYTES, span)?;
        let secret = text.strip_suffix(b"\n").unwrap_or(&text);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        let key = Key::secret(secret, &JwtAlgorithm::usual(true));
        let is_long = Key::secret(secret, &jwt.algorithms).is_some();
        if !is_long {
            let needed = jwt.algorithms.iter().map(|it| it.secret_bytes()).min();
            let message = format!(
                "the secret in `{file}` has {} bytes, and at least {} are needed",
                secret.len(),
                needed.unwrap_or_default()
            );
            self.wrong(
                span,
                message,
                "such as the output of `openssl rand -base64 48`",
            );
        }
        let key = key.filter(|_| is_long)?;
        Some(Arc::new(KeySet::fixed(Keys::new(vec![key]))))
    }

    fn url(&mut self, url: &KeyUrl, span: Span) -> Option<Arc<KeySet>> {
        let source = KeySource::Url(url.clone());
        // A relative path means another file in another folder.
        let is_same_anywhere = url.ca.as_ref().is_none_or(|ca| Path::new(ca).is_absolute());
        let known = self.sets.fetched_as(&source);
        if let Some(known) = known.filter(|_| is_same_anywhere) {
            return Some(known.clone());
        }
        let parts = UrlParts::of(&url.url)?;
        let folder = folder_of(self.sources, span);
        let ca = url.ca.as_ref().map(|ca| folder.join(ca));
        let tls = match parts.tls {
            true => {
                let who = format!("keys of `{}`", url.url);
                let place = (span, self.sources);
                Some(trusting(&who, ca.as_deref(), place, &mut self.found)?)
            }
            false => None,
        };
        let set = Arc::new(KeySet::fetched());
        self.fetched.push(Fetched {
            url: url.clone(),
            ca: ca.map(|ca| {
                let whole = std::path::absolute(&ca);
                whole.unwrap_or(ca).display().to_string()
            }),
            bell: set.bell(),
            set: Arc::downgrade(&set),
            tls,
        });
        Some(set)
    }
}

/// Public keys, and those of certificates.
fn pem(text: &[u8]) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|error| format!("it is no PEM ({error:?})"))?;
        let key = match kind {
            SectionKind::PublicKey => Key::of_any_kind(&der),
            SectionKind::Certificate => {
                let der = CertificateDer::from(der);
                let certificate = webpki::EndEntityCert::try_from(&der);
                let key = certificate.map(|it| it.subject_public_key_info());
                key.ok().and_then(|key| Key::of_any_kind(&key))
            }
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err("it holds a private key, which only the issuer should have".to_owned());
            }
            _ => continue,
        };
        keys.push(key.ok_or("a key is of a kind or a size that no token is signed with")?);
    }
    match keys.is_empty() {
        true => Err("there is none".to_owned()),
        false => Ok(keys),
    }
}

impl Loaded {
    /// What was fetched before counts until it is fetched again.
    pub(crate) fn take_over(&self, before: &Loaded) {
        for it in self.fetched.iter() {
            let mut known = before.fetched.iter();
            let known = known.find(|known| known.is_of(&it.url.url, it.ca.as_deref()));
            let keys = known.and_then(Fetched::keys);
            if let (Some(set), Some(keys)) = (it.set.upgrade(), keys) {
                set.take_over(keys);
            }
        }
    }

    /// Begins to fetch what nobody fetches yet; ends with `tasks`, and where nobody has a set any more.
    pub(crate) fn look_after(&self, counters: &Arc<ProcessCounters>, tasks: &mut JoinSet<()>) {
        let is_new = |it: &&Fetched| it.set.upgrade().is_some_and(|set| set.begin_watch());
        for it in self.fetched.iter().filter(is_new) {
            tasks.spawn(keep_fetching(
                it.url.clone(),
                it.tls.clone(),
                (it.set.clone(), it.bell.clone()),
                counters.clone(),
            ));
        }
    }
}

impl Fetched {
    /// Whether it is what this URL has to say to whoever believes these authorities, however often it is asked.
    fn is_of(&self, url: &str, ca: Option<&str>) -> bool {
        self.url.url == url && self.ca.as_deref() == ca
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        self.set.upgrade()?.keys()
    }
}

/// Fetches a set as long as somebody has it.
async fn keep_fetching(
    url: KeyUrl,
    tls: Option<Arc<ClientConfig>>,
    (held, bell): (Weak<KeySet>, Arc<Notify>),
    counters: Arc<ProcessCounters>,
) {
    let mut told = None;
    loop {
        let fetched = fetch(&url, tls.as_ref()).await;
        let Some(set) = held.upgrade() else {
            return;
        };
        let began = Instant::now();
        let counted = match &fetched {
            Ok(_) => &counters.key_fetches,
            Err(_) => &counters.failed_key_fetches,
        };
        counted.add(1);
        tell(&url.url, &fetched, &mut told);
        let again = match &fetched {
            Ok(_) => url.refresh,
            Err(_) => url.refresh.min(FETCH_PAUSE),
        };
        set.put(fetched.ok().map(Keys::new));
        drop(set);
        if !until_wanted(began + again, &held, &bell).await {
            return;
        }
    }
}

/// Waits until a set is to be fetched, because it is time or somebody asks. False: nobody has it any more.
async fn until_wanted(deadline: Instant, set: &Weak<KeySet>, bell: &Notify) -> bool {
    loop {
        tokio::select! {
            () = sleep_until(deadline) => return true,
            () = bell.notified() => match set.upgrade() {
                None => return false,
                // Others may have rung while it was fetched.
                Some(set) if set.may_be_asked_for() => return true,
                Some(_) => {}
            },
        }
    }
}

/// Says what has changed since.
fn tell(url: &str, fetched: &Result<Vec<Key>, String>, told: &mut Option<Result<usize, String>>) {
    let now = match fetched {
        Ok(keys) => Ok(keys.len()),
        Err(why) => Err(why.clone()),
    };
    if told.as_ref() != Some(&now) {
        emit(&Event::KeysFetched {
            url,
            keys: now.as_ref().map(|keys| *keys).map_err(String::as_str),
        });
        *told = Some(now);
    }
}

async fn fetch(url: &KeyUrl, tls: Option<&Arc<ClientConfig>>) -> Result<Vec<Key>, String> {
    let parts = UrlParts::of(&url.url).ok_or("it is no URL")?;
    let question = Question {
        url: parts,
        tls,
        method: "GET",
        headers: &[("Accept", "application/jwk-set+json, application/json")],
        body: &[],
        most: usize::try_from(MAX_KEYS_BYTES).unwrap_or(usize::MAX),
        patience: PATIENCE,
    };
    let answer = question.ask().await?;
    match answer.status {
        200 => jwks::read(&answer.body),
        status => Err(format!("the answer was {status}")),
    }
}
