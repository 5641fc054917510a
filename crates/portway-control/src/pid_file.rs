//! The file that says which process serves, for service scripts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::Spanned;

/// A file with the number of this process; it goes when this is dropped, if it still says the same.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the number of this process and a line feed, replacing what was there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(path: &Path) -> io::Result<Self> {
        fs::write(path, line())?;
        Ok(Self {
            path: path.to_path_buf(),
        })
    }

    /// As [`PidFile::write`], for the file that a configuration names.
    pub(crate) fn of(written: &Spanned<String>) -> Result<Self, Diagnostic> {
        Self::write(Path::new(&written.value)).map_err(|error| {
            let message = format!("cannot write the pid file `{}`: {error}", written.value);
            Diagnostic::error(Code::Install, written.span, message)
        })
    }
}

fn line() -> String {
    format!("{}\n", std::process::id())
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // After a change of root or user it may be out of reach, and a process that took over wrote its own number.
        let ours = fs::read_to_string(&self.path).is_ok_and(|text| text == line());
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
        assert_eq!(fs::read_to_string(&path).unwrap(), line());
        drop(file);
        assert!(!path.exists());
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        assert!(PidFile::write(&folder.path().join("none/pid")).is_err());
    }
}
