//! The file that says which process serves, for service scripts.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::Spanned;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A file with the number of this process; it goes when this is dropped, if it still says the same and no other process has it
/// open as its own: each locks it together with the others, and only the last can lock it alone.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// Open, so that it can be written when the process has become another user.
    file: File,
}

impl PidFile {
    /// Writes the number of this process and a line feed, replacing what was there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(path: &Path) -> io::Result<Self> {
        let file = Self::open(path)?;
        file.write_number(std::process::id())?;
        Ok(file)
    }

    /// Opens it and leaves what it says.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::options();
        let file = file.write(true).create(true).truncate(false);
        let file = file.open(path)?;
        // Without a lock it may be taken away in the moment in which another process writes its number.
        let _ = flock(&file, FlockOperation::NonBlockingLockShared);
        Ok(Self {
            path: path.to_path_buf(),
            file,
        })
    }

    /// Writes the number of a process: at no moment the file is empty, and one that is as long as that before needs no room.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write_number(&self, process: u32) -> io::Result<()> {
        let text = line(process);
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)
    }

    /// One that another process has opened.
    pub(crate) fn given(path: &Path, file: File) -> Self {
        let path = path.to_path_buf();
        Self { path, file }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The file that a configuration names, not written yet.
    pub(crate) fn of(written: &Spanned<String>) -> Result<Self, Diagnostic> {
        Self::open(Path::new(&written.value)).map_err(|error| {
            let message = format!("cannot write the pid file `{}`: {error}", written.value);
            Diagnostic::error(Code::Install, written.span, message)
        })
    }
}

fn line(process: u32) -> String {
    format!("{process}\n")
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let alone = flock(&self.file, FlockOperation::NonBlockingLockExclusive);
        if alone == Err(Errno::WOULDBLOCK) {
            return;
        }
        // After a change of root or user it may be out of reach, and a process that took over wrote its own number.
        let ours =
            fs::read_to_string(&self.path).is_ok_and(|text| text == line(std::process::id()));
        if ours {
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_unless_another_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        fs::write(&path, "1\n2\n").unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), line(std::process::id()));
        drop(file);
        assert!(!path.exists());
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        // One that another is about to write is that one's.
        let file = PidFile::write(&path).unwrap();
        let next = PidFile::open(&path).unwrap();
        drop(file);
        assert!(path.exists());
        drop(next);
        assert!(!path.exists());
        assert!(PidFile::write(&folder.path().join("none/pid")).is_err());
    }
}
