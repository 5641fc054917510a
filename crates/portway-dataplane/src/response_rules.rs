//! The rules on a response: the group's, then the listener's, which may want to see what has come of its body.

use crate::answers::Answer;
use crate::body::{Coming, LOOKED_AT_BODY};
use crate::buffer::BUFFER_BYTES;
use crate::connect::Upstream;
use crate::exchange::{Exchange, How};
use crate::fault::Fault;
use crate::policy::{self, Decision, Position, Side};
use crate::statistics;
use crate::stream::Stream;
use crate::upload::Upload;
use portway_core::http1::ResponseBody;
use portway_telemetry::metrics::Limit;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Which rules on a response have run: the group's, then the listener's.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    list: usize,
    position: Position,
}

/// What rules on a response want.
pub(crate) enum Ruled {
    /// That it goes on.
    Passed,
    /// This in its place.
    Answer(Answer, How),
    /// To see its body: not later than this, so many bytes of it.
    WaitForBody(Duration, u32),
}

/// Runs the rules on the response; what they answer in its place.
pub(crate) async fn ruled(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    upstream: &mut Upstream,
    upload: &mut Upload,
    (body, head_len): (ResponseBody, usize),
) -> Result<Option<(Answer, How)>, Fault> {
    let mut progress = Progress::default();
    loop {
        match run_response_rules(x, &mut progress)? {
            Ruled::Passed => return Ok(None),
            Ruled::Answer(answer, how) => return Ok(Some((answer, how))),
            Ruled::WaitForBody(time, at_least) => {
                let coming = Coming::of_response(body, at_least);
                let wait = Wait {
                    head_len,
                    coming,
                    time,
                };
                // Boxed because it is rare, and every exchange would carry it along.
                Box::pin(body_of_response(x, downstream, upstream, upload, wait)).await?;
            }
        }
    }
}

/// Runs the rules on the response from where a wait stopped them.
pub(crate) fn run_response_rules(
    x: &mut Exchange<'_>,
    progress: &mut Progress,
) -> Result<Ruled, Fault> {
    let generation = Rc::clone(&x.connection.generation);
    let group = x.attempt.group.and_then(|group| generation.group(group));
    let listener = generation.plane.listener(x.connection.listener);
    let lists = [
        group.map(|(group, _, _)| group.rules.response.as_slice()),
        listener.map(|(listener, _)| listener.rules.response.as_slice()),
    ];
    while let Some(rules) = lists.get(progress.list) {
        let rules = rules.unwrap_or_default();
        if !rules.is_empty() {
            match policy::resume(x, rules, None, Side::Response, &mut progress.position) {
                Decision::Close(_) => {
                    statistics::response_denied(x);
                    return Err(Fault::rejected());
                }
                Decision::Answer(answer, how) => return Ok(Ruled::Answer(answer, how)),
                Decision::WaitForBody(patience, at_least, _) => {
                    return Ok(Ruled::WaitForBody(patience.time, at_least));
                }
                // All but the last are not possible in this phase.
                Decision::Forward(_)
                | Decision::Tarpit(..)
                | Decision::Authorize(..)
                | Decision::Service(_)
                | Decision::WaitForPassword
                | Decision::WaitForKeys(_)
                | Decision::NoGroup
                | Decision::Undecided => {}
            }
        }
        progress.list += 1;
        progress.position = Position::default();
    }
    Ok(Ruled::Passed)
}

/// A wait for the body of a response.
pub(crate) struct Wait {
    pub(crate) head_len: usize,
    pub(crate) coming: Coming,
    pub(crate) time: Duration,
}

/// Waits until enough of the body stands behind the head in `x.response`, or all that is looked at; the request goes on
/// meanwhile.
pub(crate) async fn body_of_response(
    x: &mut Exchange<'_>,
    downstream: &mut Stream,
    upstream: &mut Upstream,
    upload: &mut Upload,
    mut wait: Wait,
) -> Result<(), Fault> {
    let mut response = x.response.take().ok_or_else(Fault::internal)?;
    let mut data = std::mem::take(&mut x.scratch.response_body);
    data.clear();
    x.connection.timer.set(wait.time);
    let result = poll_fn(|cx| {
        upload.poll_beside(cx, x, downstream, &mut upstream.link.stream);
        loop {
            let here = response.filled().get(wait.head_len..).unwrap_or_default();
            match wait.coming.is_enough(here, &mut data) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(refusal) => return Poll::Ready(Err(Fault::bad_response(refusal))),
            }
            let room = LOOKED_AT_BODY.saturating_sub(here.len());
            if room == 0 || !response.make_room(wait.head_len + LOOKED_AT_BODY + BUFFER_BYTES) {
                crate::record::limit_reached(x, Limit::LookedAtBody);
                return Poll::Ready(Ok(()));
            }
            let spare = response.spare();
            let most = spare.len().min(room);
            let into = spare.get_mut(..most).unwrap_or_default();
            match upstream.link.stream.poll_read(cx, into) {
                Poll::Ready(Ok(n)) if n > 0 => response.received(n),
                // Whether that may be its end is seen when it is sent.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        let timer = &x.connection.timer;
        timer.poll(cx).map(|()| Err(Fault::response_timeout()))
    })
    .await;
    x.response = Some(response);
    x.scratch.response_body = data;
    result
}
