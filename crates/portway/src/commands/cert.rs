//! `portway cert`: makes self-signed certificates and looks at any.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use portway_control::certificates::MAX_PEM_BYTES;
use portway_control::files::read_limited;
use portway_control::tls::identity::{Identity, PemSource, load_identity};
use portway_control::tls::pem;
use portway_control::tls::self_signed::self_signed;
use portway_control::tls::x509::{CertificateFacts, Validity, day};
use rustls_pki_types::UnixTime;

use crate::cli::{Cert, Inspect, SelfSigned};

/// Readable and writable by the owner alone.
const PRIVATE: u32 = 0o600;

/// Runs the command.
pub(crate) fn run(arguments: &Cert) -> ExitCode {
    let result = match arguments {
        Cert::SelfSigned(arguments) => make(arguments),
        Cert::Inspect(arguments) => inspect(arguments),
    };
    match result {
        Ok(text) => {
            super::print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => super::fail(&error),
    }
}

/// Writes a file that only its owner can read, and that did not exist before.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path)?;
    file.write_all(bytes)
}

fn make(arguments: &SelfSigned) -> Result<String, String> {
    let (cert, key) = (&arguments.out_cert, &arguments.out_key);
    let made = self_signed(&arguments.names, arguments.days, UnixTime::now())
        .map_err(|error| format!("no certificate for {}: {error}", arguments.names.join(", ")))?;
    let failed = |path: &Path| {
        let name = path.display().to_string();
        move |error: io::Error| format!("cannot write `{name}`: {error}")
    };
    write_private(key, made.key_pem.as_bytes()).map_err(failed(key))?;
    std::fs::write(cert, &made.certificate_pem).map_err(failed(cert))?;
    Ok(format!(
        "certificate for {} in {}, its key in {}\n",
        arguments.names.join(", "),
        cert.display(),
        key.display()
    ))
}

fn inspect(arguments: &Inspect) -> Result<String, String> {
    let mut texts = Vec::new();
    for path in &arguments.files {
        let text = read_limited(path, MAX_PEM_BYTES)
            .map_err(|reason| format!("cannot read `{}`: {reason}", path.display()))?;
        texts.push((path.display().to_string(), text));
    }
    let now = UnixTime::now();
    let mut report = String::new();
    let mut keys = 0;
    for (name, text) in &texts {
        let contents = pem::read(text).map_err(|error| match error.line() {
            Some(line) => format!("{name}:{line}: {error}"),
            None => format!("{name}: {error}"),
        })?;
        keys += contents.keys.len();
        for certificate in &contents.certificates {
            let facts = CertificateFacts::read(&certificate.der)
                .map_err(|_| format!("{name}:{}: this is not a certificate", certificate.line))?;
            report.push_str(&describe(name, certificate.line, &facts, now));
        }
    }
    if report.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    if keys > 0 {
        let sources: Vec<PemSource<'_>> = texts
            .iter()
            .map(|(name, text)| PemSource { name, text })
            .collect();
        let (identity, findings) = load_identity(&sources, now).map_err(|it| it.to_string())?;
        report.push_str(&chosen(&identity));
        for finding in findings {
            report.push_str(&format!("  {finding}\n"));
        }
    }
    Ok(report)
}

fn describe(name: &str, line: u32, facts: &CertificateFacts, now: UnixTime) -> String {
    let validity = match facts.validity_at(now) {
        Validity::NotYet => "not valid yet".to_owned(),
        Validity::Expired => "expired".to_owned(),
        Validity::Valid { seconds_left } => format!("{} days left", seconds_left / 86_400),
    };
    let mut names = facts.names();
    names.extend(facts.ip_addresses.iter().map(ToString::to_string));
    format!(
        "{name}:{line}\n  subject      {}\n  issuer       {}{}\n  names        {}\n  valid        {} to {} ({validity})\n  \
         key          {}\n  fingerprint  {}\n\n",
        facts.subject,
        facts.issuer,
        if facts.self_signed {
            " (self-signed)"
        } else {
            ""
        },
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        },
        day(facts.not_before),
        day(facts.not_after),
        facts.key,
        facts.fingerprint,
    )
}

fn chosen(identity: &Identity) -> String {
    format!("the key belongs to `{}`\n", identity.subject)
}
