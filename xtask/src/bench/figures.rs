//! What the system says of a process, and what wrk and strace print.

use std::fs;

/// Bytes of memory of a process that nobody shares with it and that it has written to.
pub(super) fn private_memory(process: u32) -> Result<u64, String> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    private_dirty(&text).ok_or_else(|| format!("{path} has no Private_Dirty"))
}

/// Nanoseconds on a CPU, user and system, of all threads of a process.
pub(super) fn cpu_time(process: u32) -> Result<u64, String> {
    let path = format!("/proc/{process}/task");
    let said = |e: std::io::Error| format!("{path}: {e}");
    let mut sum = 0;
    for entry in fs::read_dir(&path).map_err(said)? {
        let text = fs::read_to_string(entry.map_err(said)?.path().join("schedstat"));
        // a thread that has just ended
        let Ok(text) = text else { continue };
        let first = text.split_whitespace().next();
        sum += first
            .and_then(|number| number.parse::<u64>().ok())
            .ok_or_else(|| format!("{path}: no schedstat"))?;
    }
    Ok(sum)
}

fn private_dirty(rollup: &str) -> Option<u64> {
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What wrk prints at its end: requests, and requests a second. `Err` where some failed.
pub(super) fn wrk_says(text: &str) -> Result<(u64, f64), String> {
    if text.contains("Socket errors") || text.contains("Non-2xx") {
        return Err(format!("wrk met errors:\n{text}"));
    }
    let requests = text
        .lines()
        .find_map(|line| line.split_once(" requests in "))
        .and_then(|(number, _)| number.trim().parse().ok());
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"))
        .and_then(|number| number.trim().parse().ok());
    match (requests, rate) {
        (Some(requests), Some(rate)) if requests > 0 => Ok((requests, rate)),
        _ => Err(format!("wrk printed something we cannot read:\n{text}")),
    }
}

/// The sum of system calls that `strace -c` counted.
pub(super) fn strace_says(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// The middle of these numbers; the mean of the two in the middle. 0 where there are none.
pub(super) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => at(odd / 2),
        even => (at(even / 2 - 1) + at(even / 2)) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_process() {
        let rollup = "00400000-7ffd ---p 00000000 00:00 0 [rollup]\nRss: 9 kB\nPrivate_Dirty:      1234 kB\n";
        assert_eq!(private_dirty(rollup), Some(1234 * 1024));
        assert!(cpu_time(std::process::id()).is_ok());
    }

    #[test]
    fn words_of_wrk() {
        let good = "  442933 requests in 14.05s, 71.81MB read\nRequests/sec:  31525.44\nTransfer/sec: 5MB\n";
        assert_eq!(wrk_says(good), Ok((442_933, 31_525.44)));
        assert!(wrk_says(&format!("{good}Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(wrk_says("").is_err());
    }

    #[test]
    fn words_of_strace() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    100.00    1.116315           7    146073           total\n";
        assert_eq!(strace_says(text), Some(146_073));
        assert_eq!(strace_says(""), None);
    }

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([]), 0.0);
    }
}
