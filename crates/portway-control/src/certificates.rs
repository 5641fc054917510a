//! From the certificates, authorities and policies that a snapshot names to configurations of rustls.
//!
//! Reads the files (paths begin in the folder of the configuration that names them), lets [`crate::tls`] judge them, and says
//! what is wrong at the object that names the file. Everything is read and judged, also after the first error.

mod figures;
mod listener;
mod revocation;
mod staples;
mod upstream;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portway_dataplane::client_tls::AnswersHello;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::settings::TlsVersion as OurVersion;
use portway_model::snapshot::{Certificate, Snapshot, TlsPolicy};
use portway_model::span::{Sources, Span};
use rustls_pki_types::UnixTime;

pub(crate) use figures::{figures as certificate_figures, list_figures};
use staples::staple;
pub(crate) use staples::{NotAsked, Staples};
pub use upstream::GroupTls;
pub(crate) use upstream::{Caller, calling, trusting};

use crate::files::{self, read_limited};
use crate::renewal::{CertificateFile, Certificates};
use crate::sources::folder_of;
use crate::tls::identity::{Identity, PemSource, load_identity};
use crate::tls::pem;
use crate::tls::policy::{Custom, Policy, PolicyError, TlsVersion};
use crate::tls::tickets::TicketKeys;
use crate::tls::x509::DAY;

/// Bytes of one PEM file. The system's bundle of authorities has 220 KB.
pub const MAX_PEM_BYTES: u64 = crate::tls::pem::MAX_PEM_BYTES as u64;

/// Bytes of an answer of OCSP. With the certificate of the responder it has one or two KB.
pub const MAX_OCSP_BYTES: u64 = 64 * 1024;

/// Where systems keep the bundle of authorities they trust: Debian and Alpine, Fedora, openSUSE, BSD.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The TLS configurations of a snapshot.
#[derive(Default)]
pub struct TlsConfigs {
    /// By listener; `Some` exactly where TLS is terminated and nothing was wrong.
    pub listeners: Vec<Option<Arc<dyn AnswersHello>>>,
    /// By listener what the certificates of its clients are judged by, in a few letters; empty where they are not.
    pub judges: Vec<String>,
    /// By target group.
    pub groups: Vec<GroupTls>,
    /// Every certificate that could be loaded.
    pub loaded: Vec<LoadedCertificate>,
    /// The same, for who replaces them.
    pub renewable: Arc<Certificates>,
}

/// What operators want to know about a certificate in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedCertificate {
    /// Its name in the configuration.
    pub name: String,
    /// The host names that it serves; its subject where it has none.
    pub names: String,
    /// Days until it expires; below 0 once it has.
    pub days_left: i64,
    /// Its first second, since 1970.
    pub not_before: i64,
    /// Its last second, since 1970.
    pub not_after: i64,
}

/// Reads and judges everything about TLS that `snapshot` names. The configurations are complete where the diagnostics
/// hold no error. `now` is what expiry is judged by.
pub fn load(
    snapshot: &Snapshot,
    sources: &Sources,
    tickets: &Arc<TicketKeys>,
    now: UnixTime,
) -> (TlsConfigs, Diagnostics) {
    let mut found = Diagnostics::default();
    let files: Vec<Option<CertificateFile>> = snapshot
        .certificates
        .iter()
        .map(|certificate| {
            files::of("certificate", &certificate.name, || {
                identity(certificate, sources, now, &mut found)
            })
        })
        .collect();
    let identities: Vec<Option<Arc<Identity>>> = files
        .iter()
        .map(|file| file.as_ref().map(|it| it.identity.clone()))
        .collect();
    let loaded = snapshot.certificates.iter().zip(&identities);
    let mut configs = TlsConfigs {
        loaded: loaded
            .filter_map(|(certificate, it)| Some(loaded_as(certificate, it.as_ref()?, now)))
            .collect(),
        ..TlsConfigs::default()
    };
    let mut renewable = Certificates::default();
    // Where one is missing, nothing runs.
    for file in files.into_iter().flatten() {
        renewable.add_file(file);
    }
    for listener in &snapshot.listeners {
        let mut loading = listener::Loading {
            listener,
            snapshot,
            identities: &identities,
            tickets,
            sources,
            now,
            renewable: &mut renewable,
            found: &mut found,
            judges: String::new(),
        };
        let config = listener
            .tls
            .as_ref()
            .and_then(|tls| files::of("listener", &listener.name, || loading.load(tls)));
        configs.judges.push(std::mem::take(&mut loading.judges));
        configs.listeners.push(config);
    }
    for group in &snapshot.groups {
        let mut loading = upstream::Loading {
            group,
            identities: &identities,
            sources,
            now,
            renewable: &mut renewable,
            found: &mut found,
        };
        let config = files::of("target_group", &group.name, || loading.load());
        configs.groups.push(config);
    }
    configs.renewable = Arc::new(renewable);
    (configs, found)
}

fn loaded_as(certificate: &Certificate, identity: &Identity, now: UnixTime) -> LoadedCertificate {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let names = if identity.names.is_empty() {
        identity.subject.clone()
    } else {
        identity.names.join(", ")
    };
    LoadedCertificate {
        name: certificate.name.to_string(),
        names,
        days_left: identity.not_after.saturating_sub(now).div_euclid(DAY),
        not_before: identity.not_before,
        not_after: identity.not_after,
    }
}

fn identity(
    certificate: &Certificate,
    sources: &Sources,
    now: UnixTime,
    found: &mut Diagnostics,
) -> Option<CertificateFile> {
    let span = certificate.origin.0;
    let name = &certificate.name;
    let folder = folder_of(sources, span);
    let paths: Vec<PathBuf> = [Some(&certificate.file), certificate.key.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| folder.join(path))
        .collect();
    let texts = match &certificate.pem {
        Some(text) => vec![(format!("certificate {name}"), text.clone().into_bytes())],
        None => {
            let texts: Vec<Option<(String, Vec<u8>)>> = paths
                .iter()
                .map(|path| {
                    Some((
                        path.display().to_string(),
                        read_pem(path, (span, sources), found)?,
                    ))
                })
                .collect();
            // All of them are looked at, also after one that is missing.
            let texts: Vec<(String, Vec<u8>)> = texts.into_iter().collect::<Option<_>>()?;
            for (path, (_, text)) in paths.iter().zip(&texts) {
                // Of a text that cannot be read it is said below.
                if pem::read(text).is_ok_and(|it| !it.keys.is_empty()) {
                    judge_permissions(path, span, found);
                }
            }
            texts
        }
    };
    let pem: Vec<PemSource<'_>> = texts
        .iter()
        .map(|(name, text)| PemSource { name, text })
        .collect();
    match load_identity(&pem, now) {
        Ok((identity, findings)) => {
            for finding in findings {
                let message = format!("certificate `{name}`: {finding}");
                found.push(match finding.severity() {
                    crate::tls::identity::Severity::Note => {
                        Diagnostic::note(Code::CertificateWarning, span, message)
                    }
                    crate::tls::identity::Severity::Warning => {
                        Diagnostic::warning(Code::CertificateWarning, span, message)
                    }
                });
            }
            let mut texts = texts.into_iter().map(|(_, text)| text);
            let mut identity = identity.serving(&certificate.names);
            let of_issuer = match &certificate.issuer {
                Some(file) => Some(read_pem(&folder.join(file), (span, sources), found)?),
                None => None,
            };
            let staples = Staples {
                certificate: name.to_string(),
                of_issuer,
                fetch: certificate.ocsp_fetch.clone(),
                has_file: certificate.ocsp.is_some(),
            };
            let answer = certificate.ocsp.as_ref().map(|file| folder.join(file));
            identity.staple = {
                // The answer's own name.
                let at = answer
                    .as_ref()
                    .map(|path| sources.place_of_path(path, span));
                staple(
                    &mut identity,
                    &staples,
                    answer,
                    (at.unwrap_or(span), now),
                    found,
                )?
            };
            Some(CertificateFile {
                name: certificate.file.clone(),
                key_name: certificate.key.clone(),
                text: texts.next().unwrap_or_default(),
                key_text: texts.next(),
                identity: Arc::new(identity),
                hosts: certificate.names.clone(),
                staples,
            })
        }
        Err(error) => {
            let message = format!("certificate `{name}` cannot be used: {error}");
            let file = paths.first().map(|path| sources.place_of_path(path, span));
            let place = file.unwrap_or(span);
            found.push(Diagnostic::error(Code::Certificate, place, message));
            None
        }
    }
}

/// Several files, one after the other.
fn read_pems(
    folder: &Path,
    files: &[String],
    place: (Span, &Sources),
    found: &mut Diagnostics,
) -> Option<Vec<u8>> {
    let texts: Vec<Option<Vec<u8>>> = files
        .iter()
        .map(|file| read_pem(&folder.join(file), place, found))
        .collect();
    let texts: Option<Vec<Vec<u8>>> = texts.into_iter().collect();
    Some(texts?.join(&b'\n'))
}

/// What is wrong with it is said where the text around `span` names it.
fn read_pem(
    path: &Path,
    (span, sources): (Span, &Sources),
    found: &mut Diagnostics,
) -> Option<Vec<u8>> {
    read_limited(path, MAX_PEM_BYTES)
        .map_err(|reason| {
            let message = format!("cannot read `{}`: {reason}", path.display());
            found.push(
                Diagnostic::error(Code::Unreadable, sources.place_of_path(path, span), message)
                    .help("a relative path begins in the folder of this file"),
            );
        })
        .ok()
}

fn judge_permissions(key_file: &Path, span: Span, found: &mut Diagnostics) {
    /// Others may read.
    const WORLD_READABLE: u32 = 0o004;
    let mode = std::fs::metadata(key_file).map(|it| it.permissions().mode());
    if mode.is_ok_and(|mode| mode & WORLD_READABLE != 0) {
        let path = key_file.display();
        let message =
            format!("the private key in `{path}` can be read by every user of this machine");
        found.push(
            Diagnostic::warning(Code::CertificateWarning, span, message)
                .help(format!("`chmod 600 {path}`")),
        );
    }
}

/// The policy, with a warning that names what is not spoken of it.
fn policy(who: &str, asked: &TlsPolicy, fallback: Span, found: &mut Diagnostics) -> Option<Policy> {
    let span = if asked.origin.0.is_none() {
        fallback
    } else {
        asked.origin.0
    };
    let spoken = narrowed(asked).and_then(|policy| match &asked.curves {
        Some(curves) => policy.with_curves(curves),
        None => Ok(policy),
    });
    match spoken {
        Ok(policy) => {
            if !policy.dropped.is_empty() {
                let message = format!(
                    "{who}: the TLS policy asks for what is not spoken here and is left out: {}",
                    policy.dropped.join(", ")
                );
                let help = "clients or targets that speak nothing else cannot connect";
                found.push(Diagnostic::warning(Code::PolicyReduced, span, message).help(help));
            }
            Some(policy)
        }
        Err(error) => {
            let code = match error {
                PolicyError::UnknownName { .. } | PolicyError::UnknownCipher { .. } => {
                    Code::Unknown
                }
                PolicyError::MinAboveMax { .. } => Code::Conflict,
                PolicyError::NothingLeft { .. } => Code::PolicyReduced,
            };
            found.push(Diagnostic::error(code, span, format!("{who}: {error}")));
            None
        }
    }
}

/// The named policy first, then what narrows it: suites in place of its own, versions within its own.
fn narrowed(asked: &TlsPolicy) -> Result<Policy, PolicyError> {
    let mut policy = Policy::named(&asked.name)?;
    let min = asked.min_version.map(version);
    let max = asked.max_version.map(version);
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        return Err(PolicyError::MinAboveMax { min, max });
    }
    if let Some(suites) = &asked.suites {
        let list = suites.join(":");
        let spoken = |v: TlsVersion| policy.versions.iter().any(|it| of_rustls(it) == v);
        let own = [TlsVersion::Tls12, TlsVersion::Tls13]
            .into_iter()
            .filter(|v| spoken(*v));
        let custom = Custom {
            min: min.or(own.clone().min()),
            max: max.or(own.max()),
            ciphers: Some(&list),
        };
        return Policy::custom(&custom);
    }
    let within = |v| min.is_none_or(|min| v >= min) && max.is_none_or(|max| v <= max);
    policy.versions.retain(|it| within(of_rustls(it)));
    policy
        .suites
        .retain(|suite| within(of_rustls(suite.version())));
    if policy.versions.is_empty() {
        return Err(PolicyError::NothingLeft {
            dropped: vec!["the versions of the policy are outside of the given ones".to_owned()],
        });
    }
    Ok(policy)
}

fn version(ours: OurVersion) -> TlsVersion {
    match ours {
        OurVersion::V12 => TlsVersion::Tls12,
        OurVersion::V13 => TlsVersion::Tls13,
    }
}

fn of_rustls(version: &rustls::SupportedProtocolVersion) -> TlsVersion {
    match version.version {
        rustls::ProtocolVersion::TLSv1_3 => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustls::time_provider::DefaultTimeProvider;

    use super::*;
    use crate::sources::compile_files;
    use crate::tls::self_signed::self_signed;

    /// Compiles and loads `listener` and `group` (native text of their sections) in a folder with a certificate `a`.
    fn loaded(listener: &str, group: &str) -> (TlsConfigs, Vec<(Code, String)>) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let made = |name: &str| self_signed(&[name.to_owned()], 30, UnixTime::now()).unwrap();
        let (a, b) = (made("a.example"), made("b.example"));
        write("a.crt", &a.certificate_pem, 0o644);
        write("a.key", &a.key_pem, 0o600);
        write("open.key", &a.key_pem, 0o644);
        write("b.key", &b.key_pem, 0o600);
        let both = format!("{}{}", a.certificate_pem, a.key_pem);
        write("both.pem", &both, 0o644);
        let text = format!(
            "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n{listener}\n\
             [target_group.app]\ntargets = ['127.0.0.1:1']\n{group}\n"
        );
        let compiled = compile_files(&[write("web.toml", &text, 0o644)]);
        let snapshot = compiled
            .snapshot
            .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
        let tickets = TicketKeys::new(Arc::new(DefaultTimeProvider)).unwrap();
        let (configs, found) = load(&snapshot, &compiled.sources, &tickets, UnixTime::now());
        let prefix = format!("{}/", folder.path().display());
        let found = found
            .iter()
            .map(|it| (it.code, it.message.replace(&prefix, "")));
        (configs, found.collect())
    }

    #[test]
    fn listeners() {
        let check = |listener: &str, works: bool, expected: &[(Code, &str)]| {
            let (configs, found) = loaded(listener, "");
            assert_eq!(
                configs.listeners[0].is_some(),
                works,
                "{listener}: {found:?}"
            );
            let codes: Vec<Code> = found.iter().map(|it| it.0).collect();
            assert_eq!(
                codes,
                expected.iter().map(|it| it.0).collect::<Vec<_>>(),
                "{found:?}"
            );
            for ((_, message), (_, part)) in found.iter().zip(expected) {
                assert!(message.contains(part), "{part} in {message}");
            }
        };
        let with = |key: &str, tls: &str| {
            format!("certificates = ['a']\n{tls}\n[certificate.a]\nfile = 'a.crt'\nkey = '{key}'\n")
        };
        check("", false, &[]);
        check(&with("a.key", ""), true, &[]);
        let (configs, _) = loaded(&with("a.key", ""), "");
        let expected = LoadedCertificate {
            name: "a".to_owned(),
            names: "a.example".to_owned(),
            days_left: 29,
            ..configs.loaded[0].clone()
        };
        // A second or more has gone by since it was made for 30 days, or none.
        let days_left = configs.loaded[0].days_left;
        assert!((29..=30).contains(&days_left), "{days_left}");
        assert_eq!(
            configs.loaded,
            [LoadedCertificate {
                days_left,
                ..expected
            }]
        );
        check(
            &with("none.key", ""),
            false,
            &[(
                Code::Unreadable,
                "cannot read `none.key`: it does not exist",
            )],
        );
        check(
            &with("b.key", ""),
            false,
            &[(Code::Certificate, "certificate `a` cannot be used: ")],
        );
        let open = "the private key in `open.key` can be read by every user";
        check(
            &with("open.key", ""),
            true,
            &[(Code::CertificateWarning, open)],
        );
        let alone = "certificates = ['a']\n[certificate.a]\nfile = 'FILE'\n";
        let no_key = "certificate `a` cannot be used: ";
        let without = alone.replace("FILE", "a.crt");
        check(&without, false, &[(Code::Certificate, no_key)]);
        let both = "the private key in `both.pem` can be read by every user";
        let together = alone.replace("FILE", "both.pem");
        check(&together, true, &[(Code::CertificateWarning, both)]);
        let reduced = "ECDHE-RSA-AES128-SHA (CBC)";
        let aws = "tls = { policy = 'ELBSecurityPolicy-2016-08' }";
        check(&with("a.key", aws), true, &[(Code::PolicyReduced, reduced)]);
        // Both are said at once.
        let both = [
            (Code::Unreadable, "none.key"),
            (Code::PolicyReduced, reduced),
        ];
        check(&with("none.key", aws), false, &both);
        let narrow = "tls = { min_version = '1.3' }";
        check(&with("a.key", narrow), true, &[]);
        let none_left = "tls = { policy = 'modern', max_version = '1.2' }";
        check(
            &with("a.key", none_left),
            false,
            &[(Code::PolicyReduced, "nothing of this policy is spoken")],
        );
        let names = "tls = { expected_names = ['A.Example', 'b.example', '*.a.example'] }";
        let for_a = "no certificate of listener `web` is for `b.example`: they are for a.example";
        let below = "is for `*.a.example`";
        let missing = [for_a, below].map(|part| (Code::CertificateWarning, part));
        check(&with("a.key", names), true, &missing);
        let suites = "tls = { suites = ['ECDHE-RSA-AES128-GCM-SHA256'], max_version = '1.2' }";
        check(&with("a.key", suites), true, &[]);
    }

    #[test]
    fn groups_and_their_checks() {
        let check = |group: &str, (own, of_check): (bool, bool), codes: &[Code]| {
            let (configs, found) = loaded("", group);
            let works = (
                configs.groups[0].group.is_some(),
                configs.groups[0].check.is_some(),
            );
            assert_eq!(works, (own, of_check), "{group}: {found:?}");
            assert_eq!(
                found.iter().map(|it| it.0).collect::<Vec<_>>(),
                codes,
                "{group}: {found:?}"
            );
        };
        check("", (false, false), &[]);
        check("health_check = 'tcp'", (false, false), &[]);
        check("health_check = { https = '/' }", (false, true), &[]);
        let off = "protocol = 'https'\ntls = { verify = 'off' }";
        check(off, (true, false), &[]);
        check(
            &format!("{off}\nhealth_check = {{ https = '/' }}"),
            (true, true),
            &[],
        );
        check(
            "protocol = 'https'\ntls = { verify = { ca = 'a.crt' } }",
            (true, false),
            &[],
        );
        check(
            "protocol = 'https'\ntls = { verify = { ca = ['a.crt', 'both.pem'] } }",
            (true, false),
            &[],
        );
        check(
            "protocol = 'https'\ntls = { verify = { ca = ['a.crt', 'none.crt'] } }",
            (false, false),
            &[Code::Unreadable],
        );
        check(
            "protocol = 'https'\ntls = { verify = { ca = 'none.crt' } }",
            (false, false),
            &[Code::Unreadable],
        );
        check(
            "protocol = 'https'\ntls = { verify = { ca = 'web.toml' } }",
            (false, false),
            &[Code::Certificate],
        );
    }
}
