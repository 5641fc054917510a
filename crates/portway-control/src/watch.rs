//! Files that a configuration is made of, looked at again and again: a change of one is a reason to reload.
//!
//! Watched is what the latest reload has read ([`crate::files`]), or wanted to read, whether it succeeded or not: a file that is
//! missing may come. Files are looked at by their paths, so one that is replaced (as editors, `mv` and the mounts of Kubernetes do
//! it) is seen as well as one that is written, on any file system. A change counts once nothing has changed for a moment more:
//! nobody wants what is half written.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use crate::files::Files;
use crate::running::Running;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long nothing changes before a change counts.
const SETTLES: Duration = Duration::from_millis(100);
/// A file that never stops changing is read nevertheless after this time.
const SETTLES_AT_LAST: Duration = Duration::from_secs(10);
/// A file system that does not answer for so long is told of.
const SILENCE: Duration = Duration::from_secs(10);

impl Running {
    /// The texts at work were read from these files.
    pub fn was_read_from(&self, texts: &Files) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        *files = texts.with(&files);
    }

    /// Waits until a file is not what it was when the latest reload read it; its path.
    pub async fn changed(&self) -> PathBuf {
        loop {
            if self.change().await.is_some() {
                self.settled().await;
                // Somebody may have reloaded meanwhile.
                if let Some(path) = self.change().await {
                    return path;
                }
            }
            sleep(LOOK).await;
        }
    }

    /// A file that is not what it was. A rollback is undone by what files say alone: they said something else before.
    async fn change(&self) -> Option<PathBuf> {
        let files = self.files();
        let of_contents = self.rolled_back_to().is_some();
        let changed = move || match of_contents {
            true => files.says_something_else().map(Path::to_owned),
            false => files.changed().map(Path::to_owned),
        };
        look(changed).await
    }

    async fn settled(&self) {
        let files = self.files();
        let look_at = |files: Files| look(move || files.look());
        let begun = Instant::now();
        let mut before = look_at(files.clone()).await;
        while begun.elapsed() < SETTLES_AT_LAST {
            sleep(SETTLES).await;
            let now = look_at(files.clone()).await;
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// What the latest reload has read.
    fn files(&self) -> Files {
        let files = self.files.lock();
        files.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Looks at files on a thread that may wait for them: where they lie, nobody may answer.
async fn look<T: Default + Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let mut looking = spawn_blocking(work);
    let looked = match timeout(SILENCE, &mut looking).await {
        Ok(looked) => looked,
        Err(_) => {
            tracing::warn!(
                "files of the configuration cannot be looked at: their file system does not answer. Changes are seen once it does"
            );
            looking.await
        }
    };
    looked.unwrap_or_default()
}
