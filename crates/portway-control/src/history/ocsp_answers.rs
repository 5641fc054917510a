//! Answers of OCSP beyond the end of the process: `DIR/ocsp/FINGERPRINT.der`, each as its responder has signed it.
//!
//! They are judged anew when they are read: a file that somebody has changed is no answer.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::lock::{self, Owned};
use super::{History, store};
use crate::certificates::MAX_OCSP_BYTES;
use crate::files::read_limited;
use crate::tls::x509::Fingerprint;

/// Files that were not written for so long are taken away, but those of certificates that are known: an answer that is true for long is
/// seldom fetched.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct KeptAnswers(Arc<Owned>);

impl History {
    /// Where answers of OCSP are kept; `None`: nowhere.
    pub(crate) fn kept_answers(&self) -> Option<KeptAnswers> {
        self.owned.clone().map(KeptAnswers)
    }
}

impl KeptAnswers {
    fn folder(&self) -> PathBuf {
        self.0.folder.join("ocsp")
    }

    fn path(&self, certificate: &Fingerprint) -> PathBuf {
        let hex: String = certificate.0.iter().map(|it| format!("{it:02x}")).collect();
        self.folder().join(format!("{hex}.der"))
    }

    pub(crate) fn read(&self, certificate: &Fingerprint) -> Option<Vec<u8>> {
        read_limited(&self.path(certificate), MAX_OCSP_BYTES).ok()
    }

    /// Writes one: the file is whole or as it was. Those of other certificates than `known` are forgotten when they are old.
    ///
    /// # Errors
    /// In words, with the path.
    pub(crate) fn write(
        &self,
        certificate: &Fingerprint,
        der: &[u8],
        known: &[Fingerprint],
    ) -> Result<(), String> {
        let path = self.path(certificate);
        let wrong = |error: io::Error| format!("{}: {error}", path.display());
        lock::make(&self.folder()).map_err(wrong)?;
        if !self.0.take(true).map_err(|it| it.to_string())? {
            return Ok(());
        }
        self.forget(known);
        store::write_whole(&path, der).map_err(wrong)
    }

    /// Takes one away.
    ///
    /// # Errors
    /// In words, with the path.
    pub(crate) fn remove(&self, certificate: &Fingerprint) -> Result<(), String> {
        if self.0.is_lost() {
            return Ok(());
        }
        let path = self.path(certificate);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("{}: {error}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Takes away what nobody has written for long, and nobody knows.
    fn forget(&self, known: &[Fingerprint]) {
        let known: HashSet<PathBuf> = known.iter().map(|it| self.path(it)).collect();
        let is_old = |modified: SystemTime| {
            let age = SystemTime::now().duration_since(modified);
            age.is_ok_and(|age| age > FORGOTTEN_AFTER)
        };
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        for entry in entries {
            let modified = entry.metadata().and_then(|it| it.modified());
            if modified.is_ok_and(is_old) && !known.contains(&entry.path()) {
                // Somebody else may have.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_answers_stay_as_long_as_their_certificates() {
        let folder = std::env::temp_dir().join(format!("portway-answers-{}", std::process::id()));
        let kept = KeptAnswers(Arc::new(Owned::new(folder.clone())));
        let [known, gone, fresh] = [1, 2, 3].map(|it| Fingerprint([it; 32]));
        let all = [known, fresh];
        for it in [known, gone] {
            kept.write(&it, b"old", &all).unwrap();
            let file = fs::File::options().write(true).open(kept.path(&it));
            let long_ago = SystemTime::now() - FORGOTTEN_AFTER * 2;
            file.unwrap().set_modified(long_ago).unwrap();
        }
        kept.write(&fresh, b"new", &all).unwrap();
        let read = [known, gone, fresh].map(|it| kept.read(&it));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(read, [Some(b"old".to_vec()), None, Some(b"new".to_vec())]);
    }
}
