//! Agents: programs beside targets that say how the targets are. One task asks one agent again and again.
//!
//! Decides when an agent is asked and what its answer changes; what its words mean is [`portway_core::agent`]. An agent
//! that cannot be reached changes nothing: only `down` and its like take a target out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use portway_core::agent::{AgentAnswer, AgentOrder};
use portway_core::health::Failure;
use portway_dataplane::{connect_from, unless_itself};
use portway_model::check::CheckWord;
use portway_model::snapshot::Agent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::probe::{refused, shortened};
use super::talk::failed;
use super::{Told, chance, next_probe_delay};
use crate::operations::TargetOrder;
use crate::targets::{LastCheck, WatchedTarget};
use crate::tidings;

/// Bytes of an answer that are waited for at most, as in HAProxy's buffer: its end must be among them.
const MOST_BYTES: u64 = 16 << 10;

/// Asks the agent of a target from now on.
pub(super) async fn watch(agent: Agent, target: Arc<WatchedTarget>, told: Arc<Told>) {
    let count = u32::try_from(told.peers.all().len())
        .unwrap_or(u32::MAX)
        .max(1);
    // As HAProxy: the first at once, the others spread over the interval.
    let mut next = Instant::now() + agent.interval.saturating_mul(told.place) / count;
    loop {
        sleep_until(next).await;
        let start = Instant::now();
        if target.agent_is_asked() {
            once(&agent, &target, &told).await;
        }
        let interval = next_probe_delay(agent.interval, agent.jitter_percent, chance());
        next = (start + interval).max(Instant::now());
    }
}

/// Asks once, and does what the answer says.
pub(super) async fn once(agent: &Agent, target: &Arc<WatchedTarget>, told: &Told) {
    let (at, start) = (SystemTime::now(), Instant::now());
    let answer = ask(agent, target).await;
    // It may have been told to rest meanwhile.
    if target.agent_is_asked() {
        take(answer, target, told, |word, said| LastCheck {
            at,
            took: start.elapsed(),
            word,
            code: None,
            said: shortened(said),
        });
    }
}

/// Asks once; what came.
async fn ask(agent: &Agent, target: &WatchedTarget) -> Result<Vec<u8>, Failure> {
    let place = target.agent_place();
    let ip = place.address.or(agent.address);
    let ip = ip.or_else(|| target.state.address().map(|it| it.ip()));
    let ip = ip.ok_or_else(|| Failure::NotResolved("it has no address".into()))?;
    let address = SocketAddr::new(ip, place.port.unwrap_or(agent.port));
    let connecting = async {
        match &target.target.source {
            None => unless_itself(TcpStream::connect(address).await?, address),
            Some(source) => connect_from(source, address, |_| Ok(())).await,
        }
    };
    let mut stream = timeout(agent.timeout, connecting)
        .await
        .map_err(|_| Failure::ConnectTimedOut(agent.timeout))?
        .map_err(refused)?;
    let send = target.agent_send().unwrap_or_else(|| agent.send.clone());
    let talk = async {
        stream.write_all(send.as_bytes()).await.map_err(refused)?;
        let mut came = Vec::new();
        let mut rest = stream.take(MOST_BYTES);
        while AgentAnswer::read(&came).is_none() {
            // What came before a reset counts.
            if rest.read_buf(&mut came).await.unwrap_or(0) == 0 {
                break;
            }
        }
        Ok(came)
    };
    timeout(agent.timeout, talk)
        .await
        .map_err(|_| Failure::TimedOut(agent.timeout))?
}

/// Does what an agent says.
fn take(
    answer: Result<Vec<u8>, Failure>,
    target: &Arc<WatchedTarget>,
    told: &Told,
    check: impl Fn(CheckWord, String) -> LastCheck,
) {
    let came = match answer {
        Ok(came) if came.is_empty() => {
            let said = "TCPCHK got an empty response at step 2";
            Err(failed(CheckWord::L7Response, None, said))
        }
        other => other,
    };
    let came = match came {
        Ok(came) => came,
        Err(failure) => {
            target.agent_failed(check(failure.word(), failure.said()));
            return tidings::agent_checked(target);
        }
    };
    let Some(answer) = AgentAnswer::read(&came) else {
        let said = "Ignoring incomplete line from agent".to_owned();
        return target.agent_failed(check(CheckWord::Checked, said));
    };
    if let Some(order) = answer.order {
        let transition = target.ordered(match order {
            AgentOrder::Ready => TargetOrder::Ready,
            AgentOrder::Drain => TargetOrder::Drain,
            AgentOrder::Maintain => TargetOrder::Maintain,
        });
        told.changed(target, transition);
    }
    let weighed = answer.weight.map(|weight| target.weigh(weight));
    let limited = answer.limit.map(|limit| target.limit(limit));
    let warning = weighed
        .into_iter()
        .chain(limited)
        .find_map(Result::err)
        .map(str::trim_end);
    let said = answer.report(warning);
    let transition = target.agent_said(answer.state.map(|(state, _)| state), |word| {
        check(word, said.clone())
    });
    tidings::agent_checked(target);
    told.changed(target, transition);
}
