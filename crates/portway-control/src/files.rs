//! The files that a configuration is read from: every one is read here, and noted with what it was like then.
//!
//! What is noted belongs to a [`Record`], which is open on a thread while something is read there ([`Record::during`]). So nobody
//! who reads a file can forget to say so, and what is watched ([`crate::watch`]), what a plan says of contents
//! ([`crate::plan`]) and what was read are one list. A file that could not be read is noted too: it may come.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use portway_dialects::Wanted;

/// Writes so close to each other may leave a file with the same time of change: clocks of file systems go in steps of a few
/// milliseconds, those of old ones in seconds.
const SAME_MOMENT: Duration = Duration::from_secs(2);

/// What is read while it is open.
#[derive(Debug, Clone, Default)]
pub struct Record(Arc<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    notes: Mutex<Vec<Note>>,
    /// How many read at this moment, some of whom nobody may wait for any more.
    reading: AtomicUsize,
}

/// Files that were read, and folders whose files were, each with what it was like.
#[derive(Debug, Clone, Default)]
pub struct Files(Arc<[Note]>);

/// An object of a configuration: its kind and its name.
type Object = (&'static str, String);

/// One of them.
#[derive(Debug, Clone)]
struct Note {
    path: PathBuf,
    /// Whose it is; `None`: it is part of the text.
    of: Option<Object>,
    seen: Seen,
}

#[derive(Debug, Clone)]
enum Seen {
    /// It is being read, and was like this when that began. Where it stays so, it may be a pipe, or lie where nobody answers.
    Begun(Mark),
    File(SeenFile),
    /// The names in it that count; `None`: it was no folder.
    Folder(Wanted, Option<Vec<String>>),
}

#[derive(Debug, Clone)]
struct SeenFile {
    mark: Mark,
    /// Of what it said; `None`: it could not be read, or is longer than may be.
    digest: Option<u64>,
    /// How long it may be.
    limit: u64,
    /// False while it may have been written again without another mark.
    is_sure: Arc<AtomicBool>,
}

/// What tells a state of a file from another: where it lies, when it was written, how long it is. `None`: it is not there.
type Mark = Option<(u64, u64, i64, i64, u64)>;

thread_local! {
    static OPEN: RefCell<Reading> = RefCell::default();
}

/// What is open on a thread.
#[derive(Default)]
struct Reading {
    record: Option<Record>,
    of: Option<Object>,
}

impl Record {
    /// Notes what `work` reads.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        /// One reads less, also where the work panics.
        struct Ends<'r>(&'r AtomicUsize);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let reading = Reading {
            record: Some(self.clone()),
            of: None,
        };
        self.0.reading.fetch_add(1, Ordering::Relaxed);
        let _ends = Ends(&self.0.reading);
        within(reading, work)
    }

    /// What was noted so far.
    pub fn files(&self) -> Files {
        Files(self.notes().as_slice().into())
    }

    /// True once everything was read: what was noted is all there is.
    fn is_whole(&self) -> bool {
        self.0.reading.load(Ordering::Relaxed) == 0
    }

    fn notes(&self) -> MutexGuard<'_, Vec<Note>> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of the note.
    fn add(&self, note: Note) -> usize {
        let mut notes = self.notes();
        notes.push(note);
        notes.len() - 1
    }
}

/// What `work` reads belongs to this object.
pub(crate) fn of<T>(kind: &'static str, name: impl ToString, work: impl FnOnce() -> T) -> T {
    let record = OPEN.with_borrow(|open| open.record.clone());
    let of = Some((kind, name.to_string()));
    within(Reading { record, of }, work)
}

fn within<T>(reading: Reading, work: impl FnOnce() -> T) -> T {
    /// Puts back what was open before, also where the work panics.
    struct Before(Option<Reading>);
    impl Drop for Before {
        fn drop(&mut self) {
            OPEN.set(self.0.take().unwrap_or_default());
        }
    }
    let _before = Before(Some(OPEN.replace(reading)));
    work()
}

/// A note that has been made.
struct Noted(Record, usize);

impl Noted {
    /// What there is to say in the end.
    fn becomes(self, seen: Seen) {
        if let Some(note) = self.0.notes().get_mut(self.1) {
            note.seen = seen;
        }
    }
}

/// Nothing is noted where nobody records.
fn note(path: &Path, seen: impl FnOnce() -> Seen) -> Option<Noted> {
    let (record, of) = OPEN.with_borrow(|open| Some((open.record.clone()?, open.of.clone())))?;
    let at = record.add(Note {
        path: path.to_owned(),
        of,
        seen: seen(),
    });
    Some(Noted(record, at))
}

/// The contents of a file whose size is limited.
///
/// # Errors
/// In words: it does not exist, is a folder, is too large, or what the system says.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let looked = SystemTime::now();
    // First: what is a pipe may be opened for ever.
    let noted = note(path, || Seen::Begun(mark(path)));
    let opened = File::open(path);
    let mark = match &opened {
        Ok(file) => mark_of(file.metadata()),
        Err(_) => mark(path),
    };
    let read = opened.and_then(|file| read_up_to(file, limit));
    if let Some(noted) = noted {
        noted.becomes(Seen::File(SeenFile {
            mark,
            digest: read.as_ref().ok().and_then(Option::as_deref).map(digest),
            limit,
            is_sure: Arc::new(AtomicBool::new(!path.is_file() || is_old(mark, looked))),
        }));
    }
    read.map_err(in_words)?
        .ok_or_else(|| format!("it has more than {limit} bytes"))
}

/// `None`: there are more.
fn read_up_to(file: File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

fn in_words(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "the file system does not permit it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// The names in a folder that are `wanted`, sorted; of folders in it with `/` at the end. `None`: it is no folder that can be read.
pub(crate) fn list(path: &Path, wanted: Wanted) -> Option<Vec<String>> {
    let names = names(path, wanted);
    let _ = note(path, || Seen::Folder(wanted, names.clone()));
    names
}

fn names(path: &Path, wanted: Wanted) -> Option<Vec<String>> {
    let named = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
        Some(if is_folder { name + "/" } else { name })
    };
    let entries = fs::read_dir(path).ok()?.flatten();
    let mut names: Vec<String> = entries.filter_map(named).filter(|it| wanted(it)).collect();
    names.sort();
    Some(names)
}

fn mark(path: &Path) -> Mark {
    mark_of(fs::metadata(path))
}

fn mark_of(metadata: io::Result<Metadata>) -> Mark {
    let it = metadata.ok()?;
    // A folder in the place of a file is none, whatever comes into it.
    let (seconds, nanos, size) = match it.is_dir() {
        true => (0, 0, 0),
        false => (it.mtime(), it.mtime_nsec(), it.size()),
    };
    Some((it.dev(), it.ino(), seconds, nanos, size))
}

/// True where whatever is written after `looked` gives it another mark.
fn is_old(mark: Mark, looked: SystemTime) -> bool {
    let Some((.., seconds, _, _)) = mark else {
        return true;
    };
    let since = looked.duration_since(SystemTime::UNIX_EPOCH);
    let now = since.unwrap_or_default().as_secs();
    u64::try_from(seconds).is_ok_and(|seconds| seconds + SAME_MOMENT.as_secs() < now)
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// What files are like at a moment: compared with another look, it says whether something changes still.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Look(Vec<Looked>);

#[derive(Debug, PartialEq, Eq)]
enum Looked {
    File(Mark),
    Folder(Option<Vec<String>>),
}

impl Files {
    /// These and others.
    #[must_use]
    pub fn with(&self, more: &Files) -> Files {
        Files(self.0.iter().chain(&*more.0).cloned().collect())
    }

    /// These, those among them that have been read again as they were then.
    pub(crate) fn renewed(&self, again: &Files) -> Files {
        let known: HashMap<(&Option<Object>, &Path), &Note> =
            again.0.iter().map(|it| ((&it.of, &*it.path), it)).collect();
        let renewed = self.0.iter().map(|it| {
            let again = known.get(&(&it.of, &*it.path));
            again.map_or(it, |again| again).clone()
        });
        Files(renewed.collect())
    }

    /// What is watched once `record` was made, where these were until then. Where whoever reads is not waited for any more, that is also
    /// what was not read: it stays as it was.
    pub(crate) fn after(&self, record: &Record) -> Files {
        let is_whole = record.is_whole();
        let read = record.files();
        if is_whole {
            return read;
        }
        let known: HashSet<(&Option<Object>, &Path)> =
            self.0.iter().map(|it| (&it.of, &*it.path)).collect();
        let new = read.0.iter();
        let new = new.filter(|it| !known.contains(&(&it.of, &*it.path)));
        let new = Files(new.cloned().collect());
        self.renewed(&read).with(&new)
    }

    /// Looks at all of them. May wait for a file system.
    pub(crate) fn look(&self) -> Look {
        let looked = self.0.iter().map(|note| match &note.seen {
            Seen::Begun(_) | Seen::File(_) => Looked::File(mark(&note.path)),
            Seen::Folder(wanted, _) => Looked::Folder(names(&note.path, *wanted)),
        });
        Look(looked.collect())
    }

    /// One that is not what it was when it was read. May wait for a file system.
    pub(crate) fn changed(&self) -> Option<&Path> {
        self.all_changed().next().map(|note| &*note.path)
    }

    /// The same by what files say: who has only touched one has not changed it.
    pub(crate) fn says_something_else(&self) -> Option<&Path> {
        let is_touched = |note: &Note| match &note.seen {
            Seen::File(seen) => seen.says_the_same(&note.path),
            Seen::Begun(_) | Seen::Folder(..) => false,
        };
        let changed = self.all_changed().find(|note| !is_touched(note));
        changed.map(|note| &*note.path)
    }

    fn all_changed(&self) -> impl Iterator<Item = &Note> {
        let has_changed = |note: &&Note| match &note.seen {
            // A file that answers now can be read.
            Seen::Begun(then) => mark(&note.path) != *then || note.path.is_file(),
            Seen::File(seen) => seen.has_changed(&note.path),
            Seen::Folder(wanted, seen) => names(&note.path, *wanted) != *seen,
        };
        self.0.iter().filter(has_changed)
    }

    /// The objects whose files say something else than those of the same objects in `before`.
    pub(crate) fn changed_since(&self, before: &Files) -> Vec<(&'static str, &str)> {
        let of_file = |note: &Note| match &note.seen {
            Seen::File(seen) => seen.digest,
            Seen::Begun(_) | Seen::Folder(..) => None,
        };
        let mut known: HashMap<(&Option<Object>, &Path), Option<u64>> = HashMap::new();
        for note in &*before.0 {
            known.insert((&note.of, &note.path), of_file(note));
        }
        let is_changed = |note: &&Note| {
            let then = known.get(&(&note.of, &*note.path));
            then.is_some_and(|then| *then != of_file(note))
        };
        let changed = self
            .0
            .iter()
            .filter(|it| it.of.is_some())
            .filter(is_changed);
        let mut objects: Vec<(&'static str, &str)> = changed
            .filter_map(|note| note.of.as_ref())
            .map(|(kind, name)| (*kind, name.as_str()))
            .collect();
        let mut told = HashSet::new();
        objects.retain(|it| told.insert(*it));
        objects
    }
}

impl SeenFile {
    fn says_the_same(&self, path: &Path) -> bool {
        let says = File::open(path).and_then(|file| read_up_to(file, self.limit));
        self.digest.is_some() && says.ok().flatten().as_deref().map(digest) == self.digest
    }

    fn has_changed(&self, path: &Path) -> bool {
        let looked = SystemTime::now();
        let now = mark(path);
        if now != self.mark {
            return true;
        }
        if self.is_sure.load(Ordering::Relaxed) {
            return false;
        }
        let says = File::open(path).and_then(|file| read_up_to(file, self.limit));
        if says.ok().flatten().as_deref().map(digest) != self.digest {
            return true;
        }
        self.is_sure.store(is_old(now, looked), Ordering::Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(paths: &[&Path]) -> Files {
        let record = Record::default();
        record.during(|| {
            for path in paths {
                let _ = of("map", "a", || read_limited(path, 10));
            }
        });
        record.files()
    }

    #[test]
    fn what_is_read_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "1").unwrap();
        let files = read(&[&at("a"), &at("b"), folder.path()]);
        assert!(files.changed().is_none());
        // At once, as long as before.
        fs::write(at("a"), "2").unwrap();
        assert!(files.changed().is_some());
        let later = read(&[&at("a"), &at("b"), folder.path()]);
        assert!(later.changed().is_none());
        assert_eq!(later.changed_since(&files), [("map", "a")]);
        assert!(later.changed_since(&later).is_empty());
        fs::write(at("b"), "").unwrap();
        assert!(later.changed().is_some());
        let outside = read_limited(&at("a"), 10);
        assert_eq!(outside, Ok(b"2".to_vec()));
    }

    #[test]
    fn what_is_too_long_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "more than ten bytes").unwrap();
        let files = read(&[&path]);
        assert!(files.changed().is_none());
        // What it says does not matter, how long it is does.
        fs::write(&path, "ten bytes!").unwrap();
        assert!(files.changed().is_some());
    }

    #[test]
    fn what_could_not_be_read_in_time_is_watched_on() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let all = ["a", "b", "c"].map(at);
        for path in &all {
            fs::write(path, "1").unwrap();
        }
        let before = read(&[&all[0], &all[1], &all[2]]);
        fs::remove_file(&all[1]).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&all[1]).status();
        assert!(made.unwrap().success());
        assert!(before.changed().is_some());
        let record = Record::default();
        let (reads, paths) = (
            record.clone(),
            [&all[0], &at("d"), &all[1], &all[2]].map(Clone::clone),
        );
        let left = std::thread::spawn(move || {
            reads.during(|| {
                for path in &paths {
                    let _ = of("map", "a", || read_limited(path, 10));
                }
            });
        });
        while record.notes().len() < 3 {
            std::thread::yield_now();
        }
        let watched = before.after(&record);
        // The pipe is one still.
        assert!(watched.changed().is_none());
        for path in [at("d"), all[2].clone()] {
            fs::write(&path, "22").unwrap();
            assert_eq!(watched.changed(), Some(&*path));
            match path == all[2] {
                true => fs::write(&path, "1").unwrap(),
                false => fs::remove_file(&path).unwrap(),
            }
        }
        // Somebody writes into it: it is read to the end.
        fs::write(&all[1], "2").unwrap();
        left.join().unwrap();
        assert_eq!(before.after(&record).0.len(), 4);
        fs::remove_file(&all[1]).unwrap();
        fs::write(&all[1], "2").unwrap();
        assert_eq!(watched.changed(), Some(&*all[1]));
    }

    #[test]
    fn of_folders_what_counts_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let wanted: Wanted = |name| name.ends_with(".yml") || name.ends_with('/');
        let listed = || {
            let record = Record::default();
            let names = record.during(|| list(&at("c"), wanted));
            (names, record.files())
        };
        let (none, files) = listed();
        assert!(none.is_none() && files.changed().is_none());
        fs::create_dir_all(at("c/d")).unwrap();
        fs::write(at("c/a.yml"), "").unwrap();
        assert!(files.changed().is_some());
        let (names, files) = listed();
        assert_eq!(names.unwrap(), ["a.yml", "d/"]);
        fs::write(at("c/a.txt"), "").unwrap();
        assert!(files.changed().is_none());
        fs::remove_file(at("c/a.yml")).unwrap();
        assert!(files.changed().is_some());
    }
}
