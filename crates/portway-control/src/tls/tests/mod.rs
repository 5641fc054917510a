//! Fixtures and an in-memory wire for the tests of this folder.
//!
//! Certificates come from rcgen where any will do and from the real `openssl` where its very output is the point.

mod client;
mod handshake;
mod identity;
mod pem;
mod policy;
mod resolver;
mod tickets;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    RsaKeySize, SignatureAlgorithm,
};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConnection, ServerConnection};
use rustls_pki_types::UnixTime;

use super::identity::{Finding, Identity, IdentityError, PemSource, load_identity};
use super::x509::DAY;

/// 2026-11-21, the `now` of tests that ask for one.
pub(super) const NOW: i64 = 1_795_219_200;

pub(super) fn at(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap()))
}

/// A clock that tests turn.
#[derive(Debug)]
pub(super) struct TestClock(AtomicU64);

impl TestClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NOW.try_into().unwrap())))
    }

    pub(super) fn advance(&self, hours: u64) {
        self.0.fetch_add(hours * 3600, Ordering::SeqCst);
    }
}

impl TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            self.0.load(Ordering::SeqCst),
        )))
    }
}

/// What a fixture certificate is like.
pub(super) struct Wanted<'a> {
    pub(super) names: &'a [&'a str],
    pub(super) common_name: &'a str,
    pub(super) algorithm: &'static SignatureAlgorithm,
    /// First and last day, counted from [`NOW`].
    pub(super) days: (i64, i64),
    pub(super) is_ca: bool,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            names: &[],
            common_name: "fixture",
            algorithm: &rcgen::PKCS_ECDSA_P256_SHA256,
            days: (-1, 365),
            is_ca: false,
        }
    }
}

/// A certificate with its key, both as PEM.
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

impl Made {
    pub(super) fn both(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }
}

pub(super) fn make(wanted: &Wanted<'_>, by: Option<&Made>) -> Made {
    let names: Vec<String> = wanted.names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, wanted.common_name);
    let moment = |days: i64| {
        x509_parser::time::ASN1Time::from_timestamp(NOW + days * DAY)
            .unwrap()
            .to_datetime()
    };
    (params.not_before, params.not_after) = (moment(wanted.days.0), moment(wanted.days.1));
    if wanted.is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = if std::ptr::eq(wanted.algorithm, &rcgen::PKCS_RSA_SHA256) {
        KeyPair::generate_rsa_for(wanted.algorithm, RsaKeySize::_2048).unwrap()
    } else {
        KeyPair::generate_for(wanted.algorithm).unwrap()
    };
    let certificate = match by {
        Some(by) => params.signed_by(&key, &by.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Made {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        issuer: Issuer::new(params, key),
    }
}

/// Root ▸ intermediate ▸ leaf for `a.example`.
pub(super) struct Chain {
    pub(super) root: Made,
    pub(super) middle: Made,
    pub(super) leaf: Made,
}

pub(super) fn chain() -> &'static Chain {
    static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
        let root = make(
            &Wanted {
                common_name: "root",
                is_ca: true,
                ..Wanted::default()
            },
            None,
        );
        let middle = make(
            &Wanted {
                common_name: "middle",
                is_ca: true,
                ..Wanted::default()
            },
            Some(&root),
        );
        let leaf = make(
            &Wanted {
                common_name: "leaf",
                names: &["a.example"],
                ..Wanted::default()
            },
            Some(&middle),
        );
        Chain { root, middle, leaf }
    });
    &CHAIN
}

pub(super) fn load(texts: &[&str]) -> Result<(Identity, Vec<Finding>), IdentityError> {
    let names: Vec<_> = (1..=texts.len())
        .map(|number| format!("{number}.pem"))
        .collect();
    let sources: Vec<_> = names
        .iter()
        .zip(texts)
        .map(|(name, text)| PemSource {
            name,
            text: text.as_bytes(),
        })
        .collect();
    load_identity(&sources, at(NOW))
}

pub(super) fn identity(wanted: &Wanted<'_>) -> Arc<Identity> {
    Arc::new(load(&[&make(wanted, None).both()]).unwrap().0)
}

/// Runs the real `openssl` in a folder.
pub(super) fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output();
    let output = output.unwrap_or_else(|error| {
        panic!("these tests need the `openssl` program (apt-get install openssl): {error}")
    });
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A folder with files made by `openssl`, among them those of the ElectricFlow document (KBEC-00281), by its own commands.
pub(super) fn openssl_files() -> &'static Path {
    static FOLDER: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let run = |arguments: &str| openssl(&path, arguments);
        // The document's four commands; what it is asked at the prompt is given as -subj and -passout.
        run(
            "req -new -out server.csr -text -newkey rsa:2048 -keyout privkey.pem -subj /CN=flow.example.com -passout pass:secret",
        );
        run("rsa -in privkey.pem -out server.key -passin pass:secret");
        run("x509 -in server.csr -out server.crt -req -signkey server.key -days 3650 -text");
        let both = [
            std::fs::read(path.join("server.crt")).unwrap(),
            std::fs::read(path.join("server.key")).unwrap(),
        ]
        .concat();
        std::fs::write(path.join("server.pem"), both).unwrap();

        run("rsa -in server.key -traditional -out pkcs1.key");
        run(
            "rsa -in server.key -traditional -aes256 -passout pass:secret -out legacy-encrypted.key",
        );
        run("x509 -in server.crt -trustout -addtrust serverAuth -out trusted.crt");
        run("x509 -in server.crt -outform DER -out server.der");
        run("pkey -in server.key -outform DER -out key.der");
        run("pkey -in server.key -pubout -out public.pem");
        run("pkcs12 -export -in server.crt -inkey server.key -passout pass:secret -out server.p12");
        run("pkcs12 -in server.p12 -passin pass:secret -nodes -out bags.pem");
        run("crl2pkcs7 -nocrl -certfile server.crt -out server.p7b");
        run("ecparam -name prime256v1 -genkey -out ec.key");
        run(
            "req -new -x509 -key ec.key -subj /CN=ec.example -addext subjectAltName=DNS:ec.example,IP:192.0.2.1 -out ec.crt",
        );
        for (name, curve) in [
            ("p384", "secp384r1"),
            ("p521", "secp521r1"),
            ("k1", "secp256k1"),
        ] {
            run(&format!(
                "ecparam -name {curve} -genkey -noout -out {name}.key"
            ));
            run(&format!(
                "req -new -x509 -key {name}.key -subj /CN={name}.example -out {name}.crt"
            ));
        }
        run("genpkey -algorithm ed25519 -out ed25519.key");
        run("req -new -x509 -key ed25519.key -subj /CN=ed25519.example -out ed25519.crt");
        run(
            "req -new -x509 -newkey rsa:1024 -nodes -keyout short.key -subj /CN=short.example -out short.crt",
        );
        (folder, path)
    };
    &FOLDER.get_or_init(make).1
}

pub(super) fn openssl_file(name: &str) -> Vec<u8> {
    std::fs::read(openssl_files().join(name)).unwrap()
}

pub(super) fn openssl_text(name: &str) -> String {
    String::from_utf8(openssl_file(name)).unwrap()
}

/// Carries bytes to and fro until both ends rest; the error is that of the end that found it first.
pub(super) fn shake(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> Result<(), rustls::Error> {
    let mut wire = Vec::new();
    while client.wants_write() || server.wants_write() {
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        feed(&wire, |bytes| server.read_tls(bytes))?;
        let of_server = server.process_new_packets().map(drop);
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        feed(&wire, |bytes| client.read_tls(bytes))?;
        let of_client = client.process_new_packets().map(drop);
        wire.clear();
        of_server.and(of_client)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

fn feed(
    mut wire: &[u8],
    mut read: impl FnMut(&mut dyn std::io::Read) -> std::io::Result<usize>,
) -> Result<(), rustls::Error> {
    while !wire.is_empty() {
        read(&mut wire).map_err(|error| rustls::Error::General(error.to_string()))?;
    }
    Ok(())
}
