//! Commands about answers of OCSP.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portway_control::figures::local_time;
use portway_control::ocsp::OcspAnswer;

use super::Session;
use super::command::Answer;

const OF_NONE: &str = "Certificate ID does not match any certificate.\n";

/// `show ssl ocsp-response [[text|base64] <id|certfile>]`.
pub(super) fn show(session: &mut Session, words: &[&str]) -> Answer {
    let answers = session.running.certificates().ocsp_answers();
    let (in_base64, asked) = match words {
        [] => return Ok(list(&answers)),
        ["base64", asked, ..] => (true, *asked),
        ["text", asked, ..] => (false, *asked),
        [asked, ..] => (false, *asked),
    };
    let is_asked = |it: &&OcspAnswer| hexadecimal(&it.id) == asked || it.file == asked;
    let found = answers.iter().find(is_asked).ok_or(OF_NONE)?;
    let der = found.der.as_ref();
    let der = der.ok_or("There is no answer for this certificate now.\n")?;
    match in_base64 {
        true => Ok(format!("{}\n", STANDARD.encode(der))),
        false => Ok(text(found)),
    }
}

fn list(answers: &[OcspAnswer]) -> String {
    let mut out = "# Certificate IDs\n".to_owned();
    let mut seen: Vec<&[u8]> = Vec::new();
    for it in answers {
        if seen.contains(&it.id.as_slice()) {
            continue;
        }
        seen.push(&it.id);
        let [name, key, serial] = &it.parts;
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            out,
            "Certificate ID key : {}\nCertificate path : {}\n Certificate ID:\n   Issuer Name Hash: {name}\n   Issuer Key Hash: {key}\n   Serial Number: {serial}\n",
            hexadecimal(&it.id),
            it.file
        );
    }
    out
}

/// As OpenSSL prints it, without the signature.
fn text(it: &OcspAnswer) -> String {
    let [name, key, serial] = &it.parts;
    let mut out =
        "OCSP Response Data:\n    OCSP Response Status: successful (0x0)\n    Response Type: Basic OCSP Response\n    Version: 1 (0x0)\n"
            .to_owned();
    let Some([produced, this, next]) = &it.times else {
        return out;
    };
    let _ = write!(
        out,
        "    Produced At: {produced}\n    Responses:\n    Certificate ID:\n      Hash Algorithm: sha1\n      Issuer Name Hash: {name}\n      Issuer Key Hash: {key}\n      Serial Number: {serial}\n    Cert Status: good\n    This Update: {this}\n"
    );
    if !next.is_empty() {
        let _ = writeln!(out, "    Next Update: {next}");
    }
    out
}

/// `set ssl ocsp-response <base64|payload>`.
pub(super) fn set(session: &mut Session, words: &[&str]) -> Answer {
    let Some(written) = words.first().copied().or(session.payload.as_deref()) else {
        return Err("'set ssl ocsp-response' expects response in base64 encoding.\n".to_owned());
    };
    let letters: String = written.split_whitespace().collect();
    let Ok(der) = STANDARD.decode(letters) else {
        let text = "'set ssl ocsp-response' received invalid base64 encoded response.\n";
        return Err(text.to_owned());
    };
    match session.running.certificates().put_ocsp_answer(&der) {
        Ok(()) => Ok("OCSP Response updated!\n".to_owned()),
        Err(why) => Err(format!("This OCSP response is not shown: {why}.\n")),
    }
}

/// `update ssl ocsp-response <certfile>`.
pub(super) fn update(session: &mut Session, words: &[&str]) -> Answer {
    let file = words
        .first()
        .ok_or("'update ssl ocsp-response' expects a filename\n")?;
    match session.running.certificates().update_ocsp_answer(file) {
        true => Ok(String::new()),
        false => Err(
            "'update ssl ocsp-response' only works on certificates whose answers are fetched.\n"
                .to_owned(),
        ),
    }
}

/// `show ssl ocsp-updates`.
pub(super) fn updates(session: &mut Session, _: &[&str]) -> Answer {
    let mut out =
        "OCSP Certid | Path | Next Update | Last Update | Successes | Failures | Last Update Status | Last Update Status (str)\n"
            .to_owned();
    for it in session.running.certificates().ocsp_updates() {
        let (last, status, said) = match &it.last {
            None => ("-".to_owned(), 0, "Unknown".to_owned()),
            Some((at, Ok(()))) => (local_time(*at), 1, "Update successful".to_owned()),
            Some((at, Err(why))) => (local_time(*at), 2, why.replace(['|', '\n'], " ")),
        };
        let _ = writeln!(
            out,
            "{} | {} | {} | {last} | {} | {} | {status} | {said}",
            hexadecimal(&it.id),
            it.file,
            local_time(it.next),
            it.counts.0,
            it.counts.1
        );
    }
    Ok(out)
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
