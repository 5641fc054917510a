//! Files that a configuration is made of, looked at again and again: a change of one is a reason to reload.
//!
//! They are looked at by their paths, without opening them: so a file that is replaced (as editors, `mv` and the mounts of
//! Kubernetes do it) is seen as well as one that is written, on any file system. A change counts once nothing has changed for a
//! moment more: nobody wants what is half written.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portway_model::span::Span;
use tokio::time::sleep;

use crate::running::Running;
use crate::sources::folder_of;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long nothing changes before a change counts.
const SETTLES: Duration = Duration::from_millis(100);

/// What tells a state of a file from another: where it lies, when it was written, how long it is. `None`: it is not there.
type Mark = Option<(u64, u64, i64, i64, u64)>;

fn mark(path: &Path) -> Mark {
    let it = fs::metadata(path).ok()?;
    Some((it.dev(), it.ino(), it.mtime(), it.mtime_nsec(), it.size()))
}

/// The marks of files; of a folder, which may have been given, what it holds.
fn marks(paths: &[PathBuf]) -> Vec<(PathBuf, Mark)> {
    let mut marks: Vec<(PathBuf, Mark)> = Vec::with_capacity(paths.len());
    for path in paths {
        match path.is_dir() {
            true => marks.extend(inside(path).into_iter().map(|it| (it, None))),
            false => marks.push((path.clone(), mark(path))),
        }
    }
    marks
}

/// What a configuration may be made of in a folder: the names tell of files that come and go.
fn inside(folder: &Path) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        let kind = path.extension().and_then(|it| it.to_str());
        kind.is_some_and(|it| ["cfg", "toml", "yml", "yaml"].contains(&it))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut inside: Vec<PathBuf> = entries.map(|it| it.path()).filter(is_one).collect();
    inside.sort();
    inside
}

impl Running {
    /// Waits until a file of the configuration changes, `given` or named in it, from what was `seen` of them on.
    pub async fn changed(&self, given: &[PathBuf], seen: &mut Seen) {
        let look = || marks(&self.files(given));
        let mut before = match seen.0.take() {
            Some(before) => before,
            None if self.is_behind() => Vec::new(),
            None => look(),
        };
        let mut now = look();
        while now == before {
            sleep(LOOK).await;
            now = look();
        }
        while now != before {
            sleep(SETTLES).await;
            before = std::mem::replace(&mut now, look());
        }
        seen.0 = Some(now);
    }

    /// True where a text of the configuration at work is not what its file says.
    fn is_behind(&self) -> bool {
        let sources = &self.statistics().installed().plane.sources;
        let says = |path: &str| fs::read(path).unwrap_or_default();
        sources
            .iter()
            .any(|(_, it)| says(&it.name) != it.text.as_bytes())
    }

    /// Everything that the configuration at work is read from.
    fn files(&self, given: &[PathBuf]) -> Vec<PathBuf> {
        let plane = &self.statistics().installed().plane;
        let (snapshot, sources) = (&plane.snapshot, &plane.sources);
        let texts = || sources.iter().map(|(_, it)| PathBuf::from(&*it.name));
        // Where a file comes to others, it may be one of them.
        let folders = texts().filter_map(|path| match path.parent() {
            Some(here) if here.as_os_str().is_empty() => Some(PathBuf::from(".")),
            folder => folder.map(Path::to_owned),
        });
        let beside = |span: Span, file: &str| folder_of(sources, span).join(file);
        let certificates = snapshot.certificates.iter().filter(|it| it.pem.is_none());
        let certificates = certificates.flat_map(|it| {
            let files = [Some(&it.file), it.key.as_ref()].into_iter().flatten();
            files
                .map(|file| beside(it.origin.0, file))
                .collect::<Vec<_>>()
        });
        let maps = snapshot.maps.iter().filter_map(|it| {
            let file = it.file.as_ref()?;
            Some(beside(it.origin.0, file))
        });
        let given = given.iter().cloned();
        let all = given
            .chain(texts())
            .chain(folders)
            .chain(certificates)
            .chain(maps);
        let mut all: Vec<PathBuf> = all.collect();
        all.sort();
        all.dedup();
        all
    }
}

/// What was seen of the files; nothing before the first look.
#[derive(Debug, Default)]
pub struct Seen(Option<Vec<(PathBuf, Mark)>>);
