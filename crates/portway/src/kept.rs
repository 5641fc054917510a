//! The first process of a container (process 1) after an upgrade: the container ends with it, so it stays as a thin parent of the
//! process that serves. It passes signals on, waits for whoever ends, and ends with the exit code of the last that serves.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use portway_control::install::Running;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use tokio::signal::unix::{self, SignalKind, signal};

/// How long news of a successor may take, where the one before has ended already.
const NEWS: Duration = Duration::from_millis(500);

/// The process that serves, as its parent sees it.
pub(crate) struct Kept {
    process: Arc<AtomicU32>,
    children: unix::Signal,
    /// The latest that has ended and was the one that serves, as far as is known: who waits may be called away.
    ended: Option<(u32, WaitStatus)>,
}

impl Kept {
    /// Stays with `process`, if this is process 1.
    pub(crate) fn begin(running: &Running, process: u32) -> Option<Self> {
        if std::process::id() != 1 {
            return None;
        }
        let children = signal(SignalKind::child()).ok()?;
        let process = Arc::new(AtomicU32::new(process));
        if let Some(news) = running.news() {
            let process = process.clone();
            let hear = move || news.for_each(|next| process.store(next, Ordering::Release));
            // Without it, the end of the next process would be that of the container.
            drop(
                thread::Builder::new()
                    .name("portway-news".to_owned())
                    .spawn(hear),
            );
        }
        Some(Self {
            process,
            children,
            ended: None,
        })
    }

    /// Passes a signal on.
    pub(crate) fn pass_on(&self, signal: Signal) {
        let process = self.process.load(Ordering::Acquire);
        if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            // One that has just ended needs no telling.
            let _ = kill_process(process, signal);
        }
    }

    /// Waits until the process that serves has ended; with what it did. For ever where there is none.
    pub(crate) async fn ended(kept: &mut Option<Self>) -> ExitCode {
        let Some(kept) = kept else {
            return std::future::pending().await;
        };
        loop {
            while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) {
                let ended = u32::try_from(process.as_raw_nonzero().get()).unwrap_or(0);
                if ended == kept.process.load(Ordering::Acquire) {
                    kept.ended = Some((ended, status));
                }
            }
            if let Some((ended, status)) = kept.ended {
                tokio::time::sleep(NEWS).await;
                if ended == kept.process.load(Ordering::Acquire) {
                    return code(status);
                }
                kept.ended = None;
            }
            if kept.children.recv().await.is_none() {
                return std::future::pending().await;
            }
        }
    }
}

/// As a shell says it: 128 and the number of the signal.
fn code(status: WaitStatus) -> ExitCode {
    let code = status
        .exit_status()
        .or(status.terminating_signal().map(|number| 128 + number));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
