//! Commands about certificates.

use std::fmt::Write;

use portway_control::renewal::NotRenewed;

use super::Session;
use super::command::Answer;

const NOT_FOUND: &str =
    "Can't display the certificate: Not found or the certificate is a bundle!\n";

/// `show ssl cert [FILE]`.
pub(super) fn show(session: &mut Session, words: &[&str]) -> Answer {
    let certificates = session.running.certificates();
    let Some(file) = words.first() else {
        let (offered, files) = certificates.files();
        let mut text = String::new();
        if let Some(offered) = offered {
            text.push_str(&format!("# transaction\n*{offered}\n"));
        }
        if !files.is_empty() {
            text.push_str("# filename\n");
        }
        return Ok(files.iter().fold(text, |text, it| format!("{text}{it}\n")));
    };
    let found = match file.strip_prefix('*') {
        Some(file) => certificates.text(file, true),
        None => certificates.text(file, false),
    };
    let it = found.ok_or(NOT_FOUND)?;
    let mut text = format!(
        "Filename: {file}\nStatus: {}\nSerial: {}\nnotBefore: {}\nnotAfter: {}\n",
        if it.is_used { "Used" } else { "Unused" },
        it.serial,
        it.not_before,
        it.not_after
    );
    let names = it.names.iter().map(|name| format!("DNS:{name}"));
    let names = names.collect::<Vec<_>>().join(", ");
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "Subject Alternative Name: {names}\nAlgorithm: {}\nSHA1 FingerPrint: {}\nSubject: {}\nIssuer: {}\n",
        it.algorithm, it.sha1, it.subject, it.issuer
    );
    for (subject, issuer) in &it.chain {
        let _ = write!(text, "Chain Subject: {subject}\nChain Issuer: {issuer}\n");
    }
    let file = file.trim_start_matches('*');
    let answers = certificates.ocsp_answers();
    let key = answers.iter().find(|it| it.file == file);
    let key = key.map(|it| super::ocsp::hexadecimal(&it.id));
    let _ = writeln!(text, "OCSP Response Key: {}", key.unwrap_or_default());
    Ok(text)
}

/// `set ssl cert FILE <<` and its PEM.
pub(super) fn set(session: &mut Session, words: &[&str]) -> Answer {
    let (Some(file), Some(payload)) = (words.first(), &session.payload) else {
        let text = "'set ssl cert expects a filename and a certificate as a payload\n";
        return Err(text.to_owned());
    };
    match session.running.certificates().offer(file, payload) {
        Ok((true, name)) => Ok(format!("Transaction created for certificate {name}!\n")),
        Ok((false, name)) => Ok(format!("Transaction updated for certificate {name}!\n")),
        Err(reason) => {
            let text = match reason {
                NotRenewed::NoSuchFile => {
                    "Can't replace a certificate which is not referenced by the configuration!\n"
                        .to_owned()
                }
                NotRenewed::Unreadable(_) => {
                    format!(
                        "unable to load certificate from file '{file}'.\nCan't load the payload\n"
                    )
                }
                reason => of(reason, file, "set"),
            };
            Err(format!("{text}Can't update {file}!\n"))
        }
    }
}

/// `commit ssl cert FILE`.
pub(super) fn commit(session: &mut Session, words: &[&str]) -> Answer {
    let file = words
        .first()
        .ok_or("'commit ssl cert expects a filename\n")?;
    match session.running.certificates().commit(file) {
        Ok(uses) => Ok(format!("Committing {file}{}\nSuccess!\n", ".".repeat(uses))),
        Err(reason) => {
            let text = match reason {
                NotRenewed::NothingOffered => "No ongoing transaction! !\n".to_owned(),
                reason => of(reason, file, "set"),
            };
            Err(format!("{text}Can't commit {file}!\n"))
        }
    }
}

/// `abort ssl cert FILE`.
pub(super) fn abort(session: &mut Session, words: &[&str]) -> Answer {
    let file = words
        .first()
        .ok_or("'abort ssl cert' expects a filename\n")?;
    match session.running.certificates().abort(file) {
        Ok(()) => Ok(format!("Transaction aborted for certificate '{file}'!\n")),
        Err(reason) => Err(of(reason, file, "abort a transaction for")),
    }
}

/// Why nothing was done, where each command says the same.
fn of(reason: NotRenewed, file: &str, what: &str) -> String {
    match reason {
        NotRenewed::NothingOffered => "No ongoing transaction!\n".to_owned(),
        NotRenewed::Another(name) => format!(
            "The ongoing transaction is about '{name}' but you are trying to {what} '{file}'\n"
        ),
        NotRenewed::Incomplete => {
            "The transaction must contain at least a certificate and a private key!\n".to_owned()
        }
        reason => format!("{reason}\n"),
    }
}
