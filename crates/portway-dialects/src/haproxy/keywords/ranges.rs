//! Numbers of processes, threads and processors, as HAProxy takes them. Nothing is bound to them here; what it refuses is
//! refused.

use std::collections::BTreeSet;

/// Threads at most.
const THREADS: u32 = 64;
/// Processes that a `cpu-map` may name; there is one.
const MAPPED: u32 = 64;
/// Processors at most.
const PROCESSORS: u32 = 1024;

/// Holds the value of an option of `bind`. Others than those of processes and threads are not looked at.
pub(super) fn of_option(name: &str, text: &str) -> Result<(), String> {
    match name {
        "process" => {
            let (process, threads) = parts(text);
            set(process, 1)?;
            threads.map_or(Ok(()), |threads| set(threads, THREADS).map(drop))
        }
        "thread" => match text.split_once('/') {
            Some(("1", threads)) => set(threads, THREADS).map(drop),
            Some((group, _)) => Err(format!("`{group}` is no group of threads: there is 1")),
            None => set(text, THREADS).map(drop),
        },
        _ => Ok(()),
    }
}

/// Holds a word of `bind-process`.
pub(super) fn process(text: &str) -> Result<(), String> {
    set(text, 1).map(drop)
}

/// Holds `cpu-map [auto:]PROCESSES[/THREADS] PROCESSORS…`; what is wrong, and with which word.
pub(super) fn map<'t>(words: impl Iterator<Item = &'t str>) -> Result<(), (usize, String)> {
    let mut words = words.enumerate();
    let first = words.next().map_or("", |(_, word)| word);
    let (auto, sets) = match first.strip_prefix("auto:") {
        Some(rest) => (true, rest),
        None => (false, first),
    };
    let (processes, threads) = parts(sets);
    let of_first = |message| (0, message);
    let processes = set(processes, MAPPED).map_err(of_first)?;
    let threads = threads.map(|threads| set(threads, THREADS)).transpose();
    let threads = threads
        .map_err(of_first)?
        .map_or(0, |threads| threads.len());
    let mut processors = BTreeSet::new();
    for (index, word) in words {
        processors.extend(processor(word).ok_or_else(|| {
            let message = format!("`{word}` is no range of processors from 0 to {PROCESSORS}");
            (index, message)
        })?);
    }
    if auto && ![processes.len(), threads].contains(&processors.len()) {
        let message = "with `auto:` there must be as many processors as threads";
        return Err((0, message.to_owned()));
    }
    Ok(())
}

fn parts(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((first, second)) => (first, Some(second)),
        None => (text, None),
    }
}

/// `all`, `odd`, `even`, a number from 1 to `most`, or two with a dash between them.
fn set(text: &str, most: u32) -> Result<BTreeSet<u32>, String> {
    let all = 1..=most;
    match text {
        "all" => return Ok(all.collect()),
        "odd" => return Ok(all.step_by(2).collect()),
        "even" => return Ok((2..=most).step_by(2).collect()),
        _ => {}
    }
    let found = range(text, most).filter(|(low, high)| *low >= 1 && *high <= most);
    let (low, high) = found.ok_or_else(|| {
        format!("`{text}` is no number from 1 to {most}, no range of them, `all`, `odd` or `even`")
    })?;
    Ok((low..=high).collect())
}

fn processor(text: &str) -> Option<impl Iterator<Item = u32> + use<>> {
    let (low, high) = range(text, PROCESSORS - 1)?;
    (high < PROCESSORS).then_some(low..=high)
}

/// The two ends of a range, the lower one first; `last` is the end of one that is open.
fn range(text: &str, last: u32) -> Option<(u32, u32)> {
    let (low, high) = match text.split_once('-') {
        Some((low, "")) => (low.parse().ok()?, last),
        Some((low, high)) => (low.parse().ok()?, high.parse().ok()?),
        None => {
            let number = text.parse().ok()?;
            (number, number)
        }
    };
    Some((low.min(high), low.max(high)))
}
