//! Answers of OCSP beyond the end of the process: `DIR/ocsp/FINGERPRINT.der`, each as its responder has signed it.
//!
//! They are judged anew when they are read: a file that somebody has changed is no answer.

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

/// Files that were not written for so long are of certificates that are gone.
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

    /// Writes one: the file is whole or as it was.
    ///
    /// # Errors
    /// In words, with the path.
    pub(crate) fn write(&self, certificate: &Fingerprint, der: &[u8]) -> Result<(), String> {
        let path = self.path(certificate);
        let wrong = |error: io::Error| format!("{}: {error}", path.display());
        lock::make(&self.folder()).map_err(wrong)?;
        if !self.0.take(true).map_err(|it| it.to_string())? {
            return Ok(());
        }
        self.forget();
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

    /// Takes away what nobody has written for long.
    fn forget(&self) {
        let is_old = |modified: SystemTime| {
            let age = SystemTime::now().duration_since(modified);
            age.is_ok_and(|age| age > FORGOTTEN_AFTER)
        };
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        for entry in entries {
            let modified = entry.metadata().and_then(|it| it.modified());
            if modified.is_ok_and(is_old) {
                // Somebody else may have.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
