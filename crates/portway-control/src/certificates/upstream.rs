//! TLS towards the targets of a group: of the group, of targets with settings of their own, of its checks.

use super::{SYSTEM_BUNDLES, policy, read_pem, read_pems, revocation};
use crate::renewal::Certificates;
use crate::sources::folder_of;
use crate::tls::client::{
    RenewableKey, Target, Verification, apart, client_config, client_config_as,
};
use crate::tls::identity::{Identity, PemSource, load_identity};
use crate::tls::policy::Policy;
use portway_model::check::{CheckKind, CheckStep};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::Verify;
use portway_model::settings::ServerName as NameToSend;
use portway_model::snapshot::{TargetGroup, TargetTls, UpstreamTls};
use portway_model::span::{Sources, Span};
use rustls::ClientConfig;
use rustls_pki_types::{ServerName, UnixTime};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// TLS towards the targets of a group.
#[derive(Debug, Clone, Default)]
pub struct GroupTls {
    /// `Some` exactly where TLS is spoken to targets and nothing was wrong.
    pub group: Option<Arc<ClientConfig>>,
    /// Of targets, by index, with settings or sessions of their own; empty where no target has.
    pub own: Vec<Option<Arc<ClientConfig>>>,
    /// `Some` exactly where the health check speaks TLS and nothing was wrong: the group's own, or one
    /// that trusts everybody where the group itself speaks none, as an ALB does.
    pub check: Option<Arc<ClientConfig>>,
}

impl GroupTls {
    /// True where it is spoken at all.
    #[must_use]
    pub fn is_spoken(&self) -> bool {
        self.group.is_some() || self.check.is_some() || self.own.iter().any(Option::is_some)
    }

    /// True where the same is spoken as here: it was made of the same files, when they were read once.
    pub(crate) fn is(&self, other: &GroupTls) -> bool {
        let same = |a: &Option<Arc<ClientConfig>>, b: &Option<Arc<ClientConfig>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let mut own = self.own.iter().zip(&other.own);
        same(&self.group, &other.group)
            && same(&self.check, &other.check)
            && self.own.len() == other.own.len()
            && own.all(|(a, b)| same(a, b))
    }

    /// What the check of a target speaks.
    #[must_use]
    pub fn of_check(&self, target: usize) -> Option<&Arc<ClientConfig>> {
        let own = self.own.get(target).and_then(Option::as_ref);
        own.or(self.check.as_ref())
    }
}

/// The group that is being looked at, with what is needed for that.
pub(super) struct Loading<'a> {
    pub(super) group: &'a TargetGroup,
    pub(super) identities: &'a [Option<Arc<Identity>>],
    pub(super) sources: &'a Sources,
    pub(super) now: UnixTime,
    pub(super) renewable: &'a mut Certificates,
    pub(super) found: &'a mut Diagnostics,
}

impl Loading<'_> {
    pub(super) fn load(&mut self) -> GroupTls {
        let group_tls = self.group.tls.as_ref();
        let key = group_tls.and_then(|tls| self.own(tls));
        let of_group = group_tls.and_then(|tls| self.config(tls, key.clone()));
        let check = self.of_check(of_group.as_ref());
        let has_own =
            |target: &portway_model::snapshot::Target| matches!(target.tls, TargetTls::Own(_));
        let mut own = Vec::new();
        let targets = &self.group.targets;
        let several = targets.len() > 1 && of_group.is_some();
        if several || targets.iter().any(has_own) {
            own.extend(targets.iter().map(|target| match &target.tls {
                TargetTls::Own(tls) => {
                    let key = self.own(tls);
                    self.config(tls, key)
                }
                TargetTls::Group => {
                    let resume = group_tls.is_some_and(|tls| tls.resume);
                    let config = of_group.as_deref();
                    config.map(|config| apart(config, key.as_deref(), resume))
                }
                TargetTls::Off => None,
            }));
        }
        GroupTls {
            group: of_group,
            own,
            check,
        }
    }

    /// What targets are shown. Where it could not be loaded, that has been said.
    fn own(&mut self, tls: &UpstreamTls) -> Option<Arc<RenewableKey>> {
        let at = tls.certificate?.index();
        let identity = self.identities.get(at)?.as_ref()?;
        let key = Arc::new(RenewableKey::new(identity.certified_key.clone()));
        self.renewable.add_target(at, key.clone());
        Some(key)
    }

    fn config(
        &mut self,
        tls: &UpstreamTls,
        own: Option<Arc<RenewableKey>>,
    ) -> Option<Arc<ClientConfig>> {
        let (group, found) = (self.group, &mut *self.found);
        let span = group.origin.0;
        let who = format!("target group `{}`", group.name);
        let policy = policy(&who, &tls.policy, span, found);
        let name = match &tls.server_name {
            NameToSend::Fixed(name) => Some(verified_name(&who, name, span, found)?),
            NameToSend::Client | NameToSend::Host | NameToSend::None => None,
        };
        let folder = folder_of(self.sources, span);
        let place = (span, self.sources);
        let (file, text) = match &tls.verify {
            Verify::Off => (PathBuf::new(), Vec::new()),
            Verify::System => {
                let bundle = system_bundle(&who, span, found)?;
                let text = read_pem(&bundle, place, found)?;
                (bundle, text)
            }
            Verify::Ca(files) => {
                let text = read_pems(&folder, files, place, found)?;
                (folder.join(files.join(", ")), text)
            }
        };
        let crl = match &tls.crl {
            Some(path) => {
                let text = read_pem(&folder.join(path), place, found)?;
                revocation::note(&who, &text, (span, self.now), self.renewable, found);
                Some(text)
            }
            None => None,
        };
        // The files are looked at also where the policy is wrong.
        let policy = policy?;
        let target = Target {
            name,
            otherwise: tls.verify_name.clone(),
            crl: crl.as_deref(),
            judge: tls.judge,
        };
        let verification = match &tls.verify {
            Verify::Off => Verification::Off,
            Verify::System => Verification::Roots {
                bundle: &text,
                target,
            },
            Verify::Ca(_) => Verification::Ca { pem: &text, target },
        };
        let alpn = tls.alpn.iter().map(|it| it.clone().into_bytes());
        let alpn: Vec<Vec<u8>> = alpn.collect();
        client_config_as(&verification, &policy, &alpn, own, tls.resume)
            .map_err(|error| {
                let message = format!("{who} cannot speak TLS: {}: {error}", file.display());
                found.push(Diagnostic::error(Code::Certificate, span, message));
            })
            .ok()
    }

    fn of_check(&mut self, of_group: Option<&Arc<ClientConfig>>) -> Option<Arc<ClientConfig>> {
        let group = self.group;
        let check = group.health_check.as_ref()?;
        let by_kind = match &check.kind {
            CheckKind::Tls | CheckKind::Https(_) | CheckKind::Grpcs(_) => true,
            CheckKind::Script(steps) => steps
                .iter()
                .any(|step| matches!(step, CheckStep::Connect(connect) if connect.tls)),
            CheckKind::Tcp | CheckKind::Http(_) | CheckKind::Grpc(_) | CheckKind::Service(_) => {
                false
            }
        };
        let own = |target: &portway_model::snapshot::Target| {
            target.check.as_ref().is_some_and(|it| it.tls == Some(true))
        };
        if !by_kind && !group.targets.iter().any(own) {
            return None;
        }
        if group.tls.is_some() {
            return of_group.cloned();
        }
        client_config(&Verification::Off, &Policy::default(), &[])
            .map_err(|error| {
                let name = &group.name;
                let message =
                    format!("the checks of target group `{name}` cannot speak TLS: {error}");
                let found = Diagnostic::error(Code::Certificate, check.origin.0, message);
                self.found.push(found);
            })
            .ok()
    }
}

fn verified_name(
    who: &str,
    name: &str,
    span: Span,
    found: &mut Diagnostics,
) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| {
            let message = format!("{who}: `{name}` is not a host name that TLS can ask for");
            found.push(Diagnostic::error(Code::Certificate, span, message));
        })
        .ok()
}

/// What is spoken to a server of ours whose certificate leads to one of the authorities in a file, or of the system.
pub(crate) fn trusting(
    who: &str,
    ca: Option<&Path>,
    place: (Span, &Sources),
    found: &mut Diagnostics,
) -> Option<Arc<ClientConfig>> {
    let caller = Caller {
        ca,
        verify: true,
        own: &[],
    };
    calling(who, &caller, place, found)
}

/// How control itself speaks to somebody over TLS.
pub(crate) struct Caller<'a> {
    /// Authorities that are trusted; `None`: those of the system.
    pub(crate) ca: Option<&'a Path>,
    /// Whether anybody else is not.
    pub(crate) verify: bool,
    /// The files with the certificate that is shown, and its key; none: nothing is.
    pub(crate) own: &'a [&'a Path],
}

/// As [`trusting`], for one who may have a certificate of its own.
pub(crate) fn calling(
    who: &str,
    caller: &Caller<'_>,
    place: (Span, &Sources),
    found: &mut Diagnostics,
) -> Option<Arc<ClientConfig>> {
    let (span, _) = place;
    let (file, text) = match (caller.verify, caller.ca) {
        (false, _) => (PathBuf::new(), Vec::new()),
        (true, Some(file)) => (file.to_owned(), read_pem(file, place, found)?),
        (true, None) => {
            let bundle = system_bundle(who, span, found)?;
            let text = read_pem(&bundle, place, found)?;
            (bundle, text)
        }
    };
    let target = Target::named(None);
    let verification = match (caller.verify, caller.ca) {
        (false, _) => Verification::Off,
        (true, Some(_)) => Verification::Ca { pem: &text, target },
        (true, None) => Verification::Roots {
            bundle: &text,
            target,
        },
    };
    let own = match caller.own {
        [] => None,
        files => Some(shown(who, files, place, found)?),
    };
    let alpn = [b"http/1.1".to_vec()];
    client_config_as(&verification, &Policy::default(), &alpn, own, true)
        .map_err(|error| {
            let message = format!("{who}: no TLS: `{}`: {error}", file.display());
            found.push(Diagnostic::error(Code::Certificate, span, message));
        })
        .ok()
}

/// The certificate in these files, with its key.
fn shown(
    who: &str,
    files: &[&Path],
    place: (Span, &Sources),
    found: &mut Diagnostics,
) -> Option<Arc<RenewableKey>> {
    let texts = files.iter().map(|path| {
        let text = read_pem(path, place, found)?;
        Some((path.display().to_string(), text))
    });
    let texts: Vec<_> = texts.collect::<Option<_>>()?;
    let sources = texts.iter().map(|(name, text)| PemSource { name, text });
    match load_identity(&sources.collect::<Vec<_>>(), UnixTime::now()) {
        Ok((identity, _)) => Some(Arc::new(RenewableKey::new(identity.certified_key))),
        Err(error) => {
            let message = format!("{who}: {error}");
            found.push(Diagnostic::error(Code::Certificate, place.0, message));
            None
        }
    }
}

fn system_bundle(who: &str, span: Span, found: &mut Diagnostics) -> Option<PathBuf> {
    let given = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let bundle = given
        .into_iter()
        .chain(SYSTEM_BUNDLES.iter().map(PathBuf::from))
        .find(|path| path.is_file());
    if bundle.is_none() {
        let message = format!("{who} trusts the system's authorities, but this machine has none");
        found.push(
            Diagnostic::error(Code::Certificate, span, message)
                .help("install `ca-certificates`, name a CA file, or switch verification off"),
        );
    }
    bundle
}
