//! Files of whole responses: what HAProxy does not take for one.

use super::respond::readable;
use crate::haproxy::{Reader, Word};
use portway_model::diagnostic::{Code, Diagnostic};

/// The path of a file that can be read and holds a response, or nothing.
pub(super) fn error_file(word: &Word, reader: &mut Reader<'_>) -> Option<String> {
    let path = readable(word, reader)?;
    let fault = (reader.inputs.read)(&path)
        .ok()
        .and_then(|bytes| fault(&bytes));
    let Some(fault) = fault else {
        return Some(path);
    };
    let message = format!("`{path}` is no response: {fault}");
    let wrong = Diagnostic::error(Code::OutOfRange, word.span, message);
    reader.push(
        wrong.help("it holds a status line, headers, an empty line and the body, as they are sent"),
    );
    None
}

/// What is wrong with a response; nothing at all is none, and right.
fn fault(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    let mut rest = bytes;
    let Some(status) = line(&mut rest).and_then(status) else {
        return Some("it does not begin with a status line".to_owned());
    };
    let mut length = None;
    loop {
        let Some(line) = line(&mut rest) else {
            return Some("its headers do not end with an empty line".to_owned());
        };
        if line.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(line);
        let Some((name, value)) = text.split_once(':').filter(|(name, _)| is_name(name)) else {
            return Some(format!("`{text}` is no header"));
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        }
        let chunked = value.to_ascii_lowercase().contains("chunked");
        if name.eq_ignore_ascii_case("transfer-encoding") && chunked {
            return Some("its body comes in chunks".to_owned());
        }
    }
    if matches!(status, 204 | 304) {
        let body = !rest.is_empty();
        return body.then(|| format!("an answer with status {status} has no body"));
    }
    let said = length.filter(|said| *said != rest.len())?;
    let has = rest.len();
    Some(format!(
        "its Content-Length is {said}, and its body has {has} bytes"
    ))
}

/// The next line without its end; `None` where there is no end.
fn line<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = rest.get(..end)?;
    *rest = rest.get(end + 1..)?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// The status of a status line.
fn status(line: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(line).ok()?;
    let (version, rest) = text.split_once(' ')?;
    let is_version = version.len() == 8 && version.starts_with("HTTP/");
    let status = rest.split(' ').next().filter(|_| is_version)?;
    status.parse().ok().filter(|_| status.len() == 3)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                fault(text.as_bytes()).unwrap_or_default(),
                expected,
                "{text}"
            );
        };
        check("", "");
        check("HTTP/1.0 503 no\r\n\r\nbody", "");
        check("HTTP/1.1 503 no\nContent-Length: 4\n\nbody", "");
        check("HTTP/1.1 503\r\n\r\n", "");
        check("no status line\n", "it does not begin with a status line");
        check(
            "HTTP/1.1 503 no\r\nA: b\r\n",
            "its headers do not end with an empty line",
        );
        check("HTTP/1.1 503 no\r\n<html>\r\n\r\n", "`<html>` is no header");
        check(
            "HTTP/1.1 503 no\r\nContent-Length: 3\r\n\r\nbody",
            "its Content-Length is 3, and its body has 4 bytes",
        );
        check(
            "HTTP/1.1 503 no\r\nTransfer-Encoding: chunked\r\n\r\n",
            "its body comes in chunks",
        );
        check(
            "HTTP/1.1 204 no\r\n\r\nbody",
            "an answer with status 204 has no body",
        );
    }
}
