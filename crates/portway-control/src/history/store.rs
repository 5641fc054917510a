//! Generations in files: `DIR/generations/NUMBER.toml`, each a native file behind a few comments.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lock::{self, Owned};
use super::{Generation, KEPT_BYTES};
use crate::files::read_limited;

/// What begins each line of the head.
const HEAD: &str = "# portway ";

/// What is to be written.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) owned: Arc<Owned>,
    pub(super) written: Generation,
    /// The numbers of those that go.
    pub(super) gone: Vec<u64>,
}

impl Change {
    /// Writes it: each file is whole or as it was.
    ///
    /// # Errors
    /// In words, with the path.
    pub(super) fn write(&self) -> Result<(), String> {
        let folder = within(&self.owned.folder);
        let path = folder.join(name(self.written.number));
        let wrong = |error: io::Error| format!("{}: {error}", path.display());
        lock::make(&folder).map_err(wrong)?;
        if !self.owned.take(true).map_err(|it| it.to_string())? {
            return Ok(());
        }
        write_whole(&path, text(&self.written).as_bytes()).map_err(wrong)?;
        for number in &self.gone {
            // Somebody may have taken it away.
            let _ = fs::remove_file(folder.join(name(*number)));
        }
        Ok(())
    }
}

/// Writes a file for its user alone: it is whole or as it was.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let whole = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    let written = whole();
    if written.is_err() {
        // Half a file helps nobody.
        let _ = fs::remove_file(&beside);
    }
    written
}

pub(super) fn within(folder: &Path) -> PathBuf {
    folder.join("generations")
}

fn name(number: u64) -> String {
    format!("{number:08}.toml")
}

fn text(it: &Generation) -> String {
    let [add, change, remove] = it.counts;
    // A line end would end the comment.
    let one_line = |text: &str| text.replace(['\n', '\r'], " ");
    let folder = it.folder.as_deref().map_or(String::new(), |folder| {
        format!("{HEAD}folder {}\n", one_line(folder))
    });
    format!(
        "{HEAD}generation {} {}\n{HEAD}at {}\n{HEAD}by {}\n{HEAD}changes {add} {change} {remove}\n{folder}\n{}",
        it.number,
        it.until,
        it.at,
        one_line(&it.by),
        it.text
    )
}

/// What a file says; `None`: it is none of ours.
fn parsed(text: &str) -> Option<Generation> {
    let mut rest = text;
    let mut head = Vec::new();
    while let Some((line, after)) = rest.split_once('\n') {
        let Some(line) = line.strip_prefix(HEAD) else {
            break;
        };
        head.push(line.split_once(' ').unwrap_or((line, "")));
        rest = after;
    }
    let said = |key: &str| {
        head.iter()
            .find(|(it, _)| *it == key)
            .map(|(_, value)| *value)
    };
    let numbers = |key: &str| {
        let words = said(key)?.split(' ').map(|it| it.parse().ok());
        words.collect::<Option<Vec<u64>>>()
    };
    let &[number, until] = numbers("generation")?.as_slice() else {
        return None;
    };
    let &[add, change, remove] = numbers("changes")?.as_slice() else {
        return None;
    };
    let count = |number: u64| usize::try_from(number).ok();
    Some(Generation {
        number,
        until: until.max(number),
        at: said("at")?.parse().ok()?,
        by: said("by")?.to_owned(),
        counts: [count(add)?, count(change)?, count(remove)?],
        text: rest.strip_prefix('\n')?.to_owned(),
        folder: said("folder").map(str::to_owned),
    })
}

/// What lies in a folder, in the order of numbers. What is broken is told and left out.
pub(super) fn read(folder: &Path) -> Vec<Generation> {
    let folder = within(folder);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!("the history cannot be read: {}: {error}", folder.display());
            return Vec::new();
        }
    };
    let paths = entries.flatten().map(|it| it.path());
    let paths = paths.filter(|it| it.extension().is_some_and(|it| it == "toml"));
    let mut all: Vec<Generation> = paths
        .filter_map(|path| {
            let bytes = read_limited(&path, KEPT_BYTES as u64 * 2).ok();
            let text = bytes.and_then(|it| String::from_utf8(it).ok());
            let found = text.as_deref().and_then(parsed);
            if found.is_none() {
                tracing::warn!(
                    "{} is no generation of a history: it is left out",
                    path.display()
                );
            }
            found
        })
        .collect();
    all.sort_by_key(|it| it.number);
    all
}
