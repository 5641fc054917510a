//! The keys of sealed cookies beyond the end of the process: `DIR/cookie-keys`, for its user alone.
//!
//! A line for each: when it was made, in seconds since 1970, and the secret in base64. What is broken is told and left
//! out; the file is whole or as it was.

use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portway_dataplane::seal::{self, MAX_OWN_KEYS, OwnSecret};

use super::store;
use crate::files::read_limited;

const NAME: &str = "cookie-keys";
const HEAD: &str =
    "# Keys of sealed cookies, the newest first. Whoever has them can make such cookies.\n";
/// More than [`MAX_OWN_KEYS`] lines have.
const MAX_BYTES: u64 = 4096;

/// Takes over what lies in the folder, unless this process has keys already.
pub(super) fn load(folder: &Path) {
    let path = folder.join(NAME);
    let bytes = match read_limited(&path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(_) if !path.exists() => return,
        Err(error) => {
            tracing::warn!(
                "keys of cookies cannot be read: {}: {error}",
                path.display()
            );
            return;
        }
    };
    match parsed(&String::from_utf8_lossy(&bytes)) {
        Some(secrets) => {
            seal::put_own(secrets);
        }
        None => tracing::warn!(
            "{} holds no keys of cookies: new ones are made, and clients are sent to any target once",
            path.display()
        ),
    }
}

/// Writes the keys that this process has, where they are others than those that lie there.
pub(super) fn keep(folder: &Path) -> io::Result<()> {
    let secrets = seal::own_secrets();
    let path = folder.join(NAME);
    let there = read_limited(&path, MAX_BYTES).ok();
    let there = there.and_then(|it| parsed(&String::from_utf8_lossy(&it)));
    if secrets.is_empty() || there.is_some_and(|there| there == secrets) {
        return Ok(());
    }
    store::write_whole(&path, text(&secrets).as_bytes())
}

fn text(secrets: &[OwnSecret]) -> String {
    let line = |it: &OwnSecret| format!("{} {}\n", it.born, STANDARD.encode(it.secret));
    let lines: String = secrets.iter().map(line).collect();
    format!("{HEAD}{lines}")
}

/// `None`: they are none, or not all of them are.
fn parsed(text: &str) -> Option<Vec<OwnSecret>> {
    let lines = text.lines().filter(|it| !it.starts_with('#'));
    let secret = |line: &str| {
        let (born, secret) = line.split_once(' ')?;
        Some(OwnSecret {
            born: born.parse().ok()?,
            secret: STANDARD.decode(secret).ok()?.try_into().ok()?,
        })
    };
    let secrets: Vec<_> = lines.map(secret).collect::<Option<_>>()?;
    (1..=MAX_OWN_KEYS)
        .contains(&secrets.len())
        .then_some(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let secrets = [(9, [7; 32]), (3, [1; 32])].map(|(born, secret)| OwnSecret { born, secret });
        let text = text(&secrets);
        assert_eq!(parsed(&text).as_deref(), Some(&secrets[..]));
        for wrong in [
            "",
            HEAD,
            "9",
            "9 AAAA\n",
            "x AAAA",
            text.trim_end_matches("=\n"),
            &text.repeat(2),
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
