//! A connection to a target that has several addresses: the first that answers is it (RFC 8305, "Happy Eyeballs").
//!
//! One address after the other is tried, the next one a moment after the one before, or at once where that has failed; all of them go on
//! until one connects. The others are closed then. What comes first is decided by whoever knows the name; here nobody waits long for an
//! address that is dead.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long an address is tried alone: what RFC 8305 section 8 recommends.
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first of these addresses that answers, each tried by `connect`.
///
/// # Errors
/// What the last attempt that failed says, where all have; `NotFound` where there is no address.
pub async fn first_of<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    mut connect: impl FnMut(SocketAddr) -> F,
) -> io::Result<(SocketAddr, T)> {
    let mut waiting = addresses.into_iter();
    let mut running: Vec<(SocketAddr, Pin<Box<F>>)> = Vec::new();
    let mut latest = io::Error::from(io::ErrorKind::NotFound);
    let mut pause = pin!(sleep_until(Instant::now()));
    let mut begun = false;
    poll_fn(|cx| {
        loop {
            let mut failed = false;
            let mut at = 0;
            while let Some((address, attempt)) = running.get_mut(at) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(found)) => return Poll::Ready(Ok((*address, found))),
                    Poll::Ready(Err(error)) => {
                        latest = error;
                        failed = true;
                        drop(running.remove(at));
                    }
                    Poll::Pending => at += 1,
                }
            }
            let is_due = !begun || failed || pause.as_mut().poll(cx).is_ready();
            let next = is_due.then(|| waiting.next()).flatten();
            match next {
                Some(address) => {
                    begun = true;
                    running.push((address, Box::pin(connect(address))));
                    pause.as_mut().reset(Instant::now() + STAGGER);
                }
                None if is_due && running.is_empty() => {
                    let error = std::mem::replace(&mut latest, io::ErrorKind::NotFound.into());
                    return Poll::Ready(Err(error));
                }
                None => return Poll::Pending,
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// What becomes of an attempt at a port: after so many milliseconds.
    #[derive(Clone, Copy)]
    enum Then {
        Connects(u64),
        Fails(u64),
        Never,
    }

    /// Which port is connected to, or the last that failed, and which were tried.
    fn race(all: &[(u16, Then)]) -> (Result<u16, String>, Vec<u16>) {
        let tried = RefCell::new(Vec::new());
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let connect = |to: SocketAddr| {
            tried.borrow_mut().push(to.port());
            let then = all.iter().find(|(port, _)| *port == to.port()).unwrap().1;
            async move {
                let wait = |it| tokio::time::sleep(Duration::from_millis(it));
                match then {
                    Then::Connects(after) => wait(after).await,
                    Then::Fails(after) => {
                        wait(after).await;
                        return Err(io::Error::other(to.port().to_string()));
                    }
                    Then::Never => std::future::pending().await,
                }
                Ok(())
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let won = runtime.unwrap().block_on(first_of(
            all.iter().map(|it| address(it.0)).collect(),
            connect,
        ));
        let won = won
            .map(|(address, ())| address.port())
            .map_err(|error| error.to_string());
        (won, tried.into_inner())
    }

    #[test]
    fn the_first_that_answers_is_it_and_nobody_waits_for_a_dead_one() {
        use Then::{Connects, Fails, Never};
        let check = |all: &[(u16, Then)], won: Result<u16, &str>, tried: &[u16]| {
            let (result, order) = race(all);
            assert_eq!(
                (result, order.as_slice()),
                (won.map_err(str::to_owned), tried)
            );
        };
        check(&[(1, Connects(0)), (2, Connects(0))], Ok(1), &[1]);
        check(
            &[(1, Never), (2, Connects(0)), (3, Connects(0))],
            Ok(2),
            &[1, 2],
        );
        // The next one is tried at once where one has failed.
        check(
            &[(1, Fails(0)), (2, Fails(5)), (3, Connects(0)), (4, Never)],
            Ok(3),
            &[1, 2, 3],
        );
        check(&[(1, Fails(0)), (2, Fails(0))], Err("2"), &[1, 2]);
        check(&[(1, Fails(600)), (2, Fails(0))], Err("1"), &[1, 2]);
        check(&[], Err("entity not found"), &[]);
        // One that is late, and earlier than the next.
        check(
            &[(1, Connects(400)), (2, Never), (3, Never)],
            Ok(1),
            &[1, 2],
        );
    }
}
