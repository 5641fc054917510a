//! Holding a client for a while before it is answered: a brake for attackers that must not cost us what it costs them.
//!
//! A held exchange gives its buffer back but for the request's head. A client that goes away is let go at once.

use crate::exchange::Exchange;
use crate::stream::Stream;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

/// Bytes that a held client may send on and that are thrown away; then it is read no more.
const THROWN_AWAY: usize = 64 * 1024;
/// Bytes of one read of what is thrown away: on the stack, since a held exchange owns no buffer.
const PIECE: usize = 512;

/// Waits for `delay`; false where the client has gone or has sent what nobody will read: it gets no other answer on
/// this connection.
pub(crate) async fn hold(x: &mut Exchange<'_>, stream: &mut Stream, delay: Duration) -> bool {
    x.arena.shrink();
    let timer = &x.connection.timer;
    timer.set(delay);
    let mut left = THROWN_AWAY;
    poll_fn(|cx| {
        if stream.tells_of_its_end() {
            if stream.poll_gone(cx).is_ready() {
                left = 0;
                return Poll::Ready(());
            }
            return timer.poll(cx);
        }
        while left > 0 {
            let mut piece = [0; PIECE];
            match stream.poll_read(cx, &mut piece) {
                Poll::Ready(Ok(n)) if n > 0 => left = left.saturating_sub(n),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        timer.poll(cx)
    })
    .await;
    left == THROWN_AWAY
}
