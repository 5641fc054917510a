//! Whose a folder for state is: one process at a time keeps its generations there.
//!
//! A lock of the system on the file `lock`, which ends with the process, however that ends. The process that takes over by an upgrade
//! has it once the one before has let go of it, which that does before it says so.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A folder for state, as one process has it.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) folder: PathBuf,
    lock: Mutex<Lock>,
}

#[derive(Debug)]
enum Lock {
    /// Nobody has asked for it yet.
    NotYet,
    /// It is ours as long as the file is open; `None`: the file system has no locks.
    Ours { _file: Option<File> },
    /// It is another's, or was given away.
    Lost,
}

/// Another process has the folder.
#[derive(Debug)]
pub(super) struct OfAnother {
    folder: PathBuf,
    process: String,
}

impl fmt::Display for OfAnother {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, process } = self;
        write!(
            f,
            "process {process} keeps its history in `{}`: this one goes on without a folder, and its history ends with it; give it another --state-dir",
            folder.display()
        )
    }
}

impl Owned {
    pub(super) fn new(folder: PathBuf) -> Self {
        let lock = Mutex::new(Lock::NotYet);
        Self { folder, lock }
    }

    fn lock(&self) -> MutexGuard<'_, Lock> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True where another process has it, as far as is known.
    pub(super) fn is_lost(&self) -> bool {
        matches!(*self.lock(), Lock::Lost)
    }

    /// Another process is to have it.
    pub(super) fn let_go(&self) {
        *self.lock() = Lock::Lost;
    }

    /// Takes it, if nobody has it. `made`: the folder is there, or could not be made; else what is not there is nobody's.
    ///
    /// # Errors
    /// Somebody has it, for the first time that this is found.
    pub(super) fn take(&self, made: bool) -> Result<bool, OfAnother> {
        let mut lock = self.lock();
        match *lock {
            Lock::Ours { .. } => return Ok(true),
            Lock::Lost => return Ok(false),
            Lock::NotYet => {}
        }
        let path = self.folder.join("lock");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(made).mode(0o600);
        let mut file = match options.open(&path) {
            Ok(file) => file,
            Err(_) if !made => return Ok(true),
            // Whether files can be written there is told when they are.
            Err(_) => {
                *lock = Lock::Ours { _file: None };
                return Ok(true);
            }
        };
        *lock = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // For people, and whoever finds it taken.
                let _ = write_number(&mut file);
                Lock::Ours { _file: Some(file) }
            }
            Err(Errno::WOULDBLOCK) => {
                *lock = Lock::Lost;
                return Err(OfAnother {
                    folder: self.folder.clone(),
                    process: number(&mut file),
                });
            }
            // Some file systems have none.
            Err(_) => Lock::Ours { _file: None },
        };
        Ok(true)
    }
}

fn write_number(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn number(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "(unknown)".to_owned(),
    }
}

/// Makes the folder of a file in it, for its user alone.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}
