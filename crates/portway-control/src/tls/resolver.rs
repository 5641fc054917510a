//! Which identity a client is shown.
//!
//! Decides by the name the client asks for (SNI) and by the signatures it can check. The order: the exact name, then a wildcard for
//! its first label, then the default, which is the first identity given; for one name ECDSA before Ed25519 before RSA, so that an RSA
//! certificate serves only those clients that need it. A lookup allocates nothing: rustls gives names in lower case.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::UnixTime;

use super::identity::{Identity, KeyKind};
use super::staple::Staple;

/// Every scheme that the keys of [`KeyKind`] can sign with.
pub(super) const SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// What to do for a client whose name no certificate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoMatch {
    /// Show the default certificate, also when no name was asked for.
    #[default]
    Default,
    /// Refuse the handshake, also when no name was asked for.
    Refuse,
}

/// An identity that is never shown because an earlier one has the same name and kind of key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadowed {
    /// The name.
    pub name: String,
    /// The kind of key.
    pub kind: KeyKind,
    /// Position of the one that is used.
    pub used: usize,
    /// Position of the one that is not used for this name.
    pub unused: usize,
}

impl fmt::Display for Shadowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            kind,
            used,
            unused,
        } = self;
        write!(
            f,
            "two {kind} certificates for `{name}`: number {} is used, number {} is not",
            used + 1,
            unused + 1
        )
    }
}

/// The identities of a listener by name.
pub struct CertificateResolver {
    exact: HashMap<Box<str>, Choices>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Choices>,
    /// All of them, those with the names of the first one before the others.
    default: Choices,
    no_match: NoMatch,
}

/// Identities for one name in order of preference; one, or two, in practice.
#[derive(Default)]
struct Choices(Vec<Arc<Choice>>);

struct Choice {
    key: Arc<CertifiedKey>,
    staple: Option<Arc<Staple>>,
    kind: KeyKind,
    schemes: Vec<SignatureScheme>,
    position: usize,
    /// Names that its wildcards do not serve.
    left_out: Vec<String>,
}

impl CertificateResolver {
    /// Indexes the identities; the first one is the default. Without any, every handshake is refused.
    #[must_use]
    pub fn new(identities: &[Arc<Identity>], no_match: NoMatch) -> (Self, Vec<Shadowed>) {
        let mut resolver = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Choices::default(),
            no_match,
        };
        let mut shadowed = Vec::new();
        let choices: Vec<_> = identities
            .iter()
            .enumerate()
            .map(|(position, identity)| Choice::of(identity, position))
            .collect();
        for (identity, choice) in identities.iter().zip(&choices) {
            for name in &identity.names {
                if let Some(used) = resolver.of_name(name).add(choice) {
                    shadowed.push(Shadowed {
                        name: name.clone(),
                        kind: choice.kind,
                        used,
                        unused: choice.position,
                    });
                }
            }
        }
        for (identity, choice) in identities.iter().zip(&choices) {
            if let Some(name) = &identity.common_name {
                resolver.of_name(name).add(choice);
            }
        }
        let names_of_first = identities.first().map(|first| &first.names);
        let mut ranked: Vec<_> = identities.iter().zip(choices).collect();
        // Stable: within the same rank and kind the order given stays. Of others, the order given alone counts.
        ranked.sort_by_key(|(identity, choice)| {
            let same = Some(&identity.names) == names_of_first;
            (!same, same.then_some(choice.kind))
        });
        resolver.default = Choices(ranked.into_iter().map(|(_, choice)| choice).collect());
        (resolver, shadowed)
    }

    fn of_name(&mut self, name: &str) -> &mut Choices {
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcard.entry(parent.into()).or_default(),
            None => self.exact.entry(name.into()).or_default(),
        }
    }

    /// The identity for a client that asks for `name` and checks `schemes`; `None` refuses the handshake.
    ///
    /// If the client can check none of the certificates for its name, it gets the preferred one and rustls tells it so.
    #[must_use]
    pub fn choose(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<&Arc<CertifiedKey>> {
        self.chosen(name, schemes).map(|choice| &choice.key)
    }

    /// True where an identity is for this name, or for this wildcard.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let name = canonical(name);
        let below = |parent: &str, left_out: &str| {
            let choices = self.wildcard.get(parent).map(|it| it.0.iter());
            let serves = |it: &Arc<Choice>| !it.left_out.iter().any(|it| it == left_out);
            choices.is_some_and(|mut choices| choices.any(serves))
        };
        match name.strip_prefix("*.") {
            Some(parent) => below(parent, ""),
            None => {
                let parent = name.split_once('.').map(|(_, parent)| parent);
                self.exact.contains_key(&*name) || parent.is_some_and(|it| below(it, &name))
            }
        }
    }

    fn chosen(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Choice> {
        let name = name.map(canonical);
        let exact = name.as_deref().and_then(|name| self.exact.get(name));
        let wildcard = name
            .as_deref()
            .and_then(|name| self.wildcard.get(name.split_once('.')?.1));
        let left_out = |choice: &Choice| {
            let mut names = choice.left_out.iter();
            names.any(|it| Some(it.as_str()) == name.as_deref())
        };
        let wildcard = || {
            let choices = wildcard.into_iter().flat_map(|it| &it.0);
            choices.map(AsRef::as_ref).filter(|it| !left_out(it))
        };
        let choice = exact
            .and_then(|choices| choices.usable(schemes))
            .or_else(|| wildcard().find(|it| it.can_sign(schemes)))
            .or_else(|| exact.and_then(Choices::preferred))
            .or_else(|| wildcard().next());
        match (choice, self.no_match) {
            (None, NoMatch::Default) => self
                .default
                .usable(schemes)
                .or_else(|| self.default.preferred()),
            (choice, _) => choice,
        }
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let choice = self.chosen(hello.server_name(), hello.signature_schemes())?;
        Some(choice.shown())
    }
}

/// A resolver that another one may take the place of. The lock is written a few times a year and held for an instant.
#[derive(Debug)]
pub struct RenewableResolver(RwLock<Arc<CertificateResolver>>);

impl RenewableResolver {
    /// Begins with this one.
    #[must_use]
    pub fn new(resolver: CertificateResolver) -> Self {
        Self(RwLock::new(Arc::new(resolver)))
    }

    /// As [`CertificateResolver::choose`], with the position of the identity.
    pub fn choose(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<(Arc<CertifiedKey>, usize)> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let choice = current.chosen(name, schemes)?;
        Some((Arc::clone(&choice.key), choice.position))
    }

    /// Asks this one from now on.
    pub fn renew(&self, resolver: CertificateResolver) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(resolver);
    }
}

impl ResolvesServerCert for RenewableResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        current.resolve(hello)
    }
}

impl fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateResolver")
            .field("exact", &self.exact.len())
            .field("wildcard", &self.wildcard.len())
            .field("identities", &self.default.0.len())
            .field("no_match", &self.no_match)
            .finish()
    }
}

impl Choices {
    /// Adds behind those of the same kind; gives the position of one that takes precedence for good.
    fn add(&mut self, choice: &Arc<Choice>) -> Option<usize> {
        let same = self
            .0
            .iter()
            .find(|other| other.kind == choice.kind)
            .map(|other| other.position);
        let at = self.0.partition_point(|other| other.kind <= choice.kind);
        // A certificate that names a host twice is no second certificate.
        if same != Some(choice.position) {
            self.0.insert(at, Arc::clone(choice));
        }
        same.filter(|position| *position != choice.position)
    }

    fn usable(&self, schemes: &[SignatureScheme]) -> Option<&Choice> {
        self.0
            .iter()
            .map(AsRef::as_ref)
            .find(|choice: &&Choice| choice.can_sign(schemes))
    }

    fn preferred(&self) -> Option<&Choice> {
        self.0.first().map(AsRef::as_ref)
    }
}

impl Choice {
    /// With what its authority says of it, while that is true.
    fn shown(&self) -> Arc<CertifiedKey> {
        let stapled = self.staple.as_ref();
        let stapled = stapled.and_then(|staple| staple.key(UnixTime::now()));
        stapled.unwrap_or_else(|| Arc::clone(&self.key))
    }

    fn can_sign(&self, schemes: &[SignatureScheme]) -> bool {
        self.schemes.iter().any(|scheme| schemes.contains(scheme))
    }

    fn of(identity: &Identity, position: usize) -> Arc<Self> {
        let key = Arc::clone(&identity.certified_key);
        let can_sign = |scheme: &SignatureScheme| key.key.choose_scheme(&[*scheme]).is_some();
        let schemes = SCHEMES.into_iter().filter(can_sign).collect();
        Arc::new(Self {
            key,
            staple: identity.staple.clone(),
            kind: identity.key_kind,
            schemes,
            position,
            left_out: identity.left_out.clone(),
        })
    }
}

/// Lower case without a last dot; borrowed if it is so already.
fn canonical(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}
