//! TCP listeners: which group takes the connection, then a tunnel, or requests where the group speaks HTTP.

use crate::connect::{self, Wanted};
use crate::connection::Connection;
use crate::fault::Fault;
use crate::h1;
use crate::policy::draw;
use crate::record::{self, Passed};
use crate::statistics::{self, Flow};
use crate::stream::Stream;
use crate::transfer::Transfer;
use crate::tunnel;
use portway_core::balance::Tried;
use portway_core::evaluate::{Facts, TlsFacts, holds};
use portway_core::retry::{Stage, may_retry};
use portway_model::action::{Action, Rule};
use portway_model::expression::Variable;
use portway_model::snapshot::GroupId;
use portway_model::stage::Resolved;
use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

/// What rules of the connection phase say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Goes to this group.
    Forward(GroupId),
    /// Closed.
    Reject,
    /// No rule says.
    Undecided,
}

/// Runs the rules of the connection phase.
pub(crate) fn judge(connection: &Connection, rules: &[Rule<Resolved>]) -> Verdict {
    for rule in rules
        .iter()
        .filter(|rule| holds(&rule.condition, connection))
    {
        for action in &rule.actions {
            match action {
                Action::Forward(groups) => {
                    let group = draw(groups, connection.worker.random());
                    return group.map_or(Verdict::Reject, Verdict::Forward);
                }
                Action::Reject { .. } => return Verdict::Reject,
                Action::Accept => return Verdict::Undecided,
                // Compile allows no other in this phase, or `support` refuses it.
                _ => {}
            }
        }
    }
    Verdict::Undecided
}

/// Serves a connection of a TCP listener that goes to this group.
pub(crate) async fn run(mut connection: Connection, mut stream: Stream, group: GroupId) {
    let speaks_http = connection
        .generation
        .group(group)
        .is_some_and(|(group, _, _)| group.protocol.is_http());
    if speaks_http {
        return h1::run(&mut connection, &mut stream, Some(group)).await;
    }
    pass(&connection, stream, group).await;
}

/// Leaves the record of a connection however it ends.
struct Passing<'c> {
    connection: &'c Connection,
    passed: Passed,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        if self.connection.worker.is_cutting_off() {
            self.passed.fault.get_or_insert(Fault::shutdown());
        }
        record::close_connection(self.connection, &self.passed);
    }
}

async fn pass(connection: &Connection, mut downstream: Stream, group: GroupId) {
    let passed = Passed {
        group: Some(group),
        ..Passed::new(Instant::now())
    };
    let mut passing = Passing { connection, passed };
    statistics::session(connection, group);
    match upstream(connection, group, &mut passing.passed).await {
        Ok(mut upstream) => {
            passing.passed.connected = Some(passing.passed.started.elapsed());
            let counted = &passing.passed.counted;
            let flow = Flow::of(connection, Some(group), passing.passed.target);
            let fault = tunnel::run(
                &connection.timer,
                connection.tunnel_timeout(),
                &connection.worker.buffers,
                |up, down| counted.count(&flow, up, down),
                (&mut downstream, Transfer::tunnel(Vec::new(), None)),
                (
                    &mut upstream.link.stream,
                    Transfer::tunnel(Vec::new(), None),
                ),
            )
            .await;
            passing.passed.fault = fault;
        }
        Err(fault) => passing.passed.fault = Some(fault),
    }
}

/// Connects to a target of the group; another where one fails.
async fn upstream(
    connection: &Connection,
    group: GroupId,
    passed: &mut Passed,
) -> Result<connect::Upstream, Fault> {
    let generation = Rc::clone(&connection.generation);
    let retries = generation
        .group(group)
        .map_or(0, |(group, _, _)| group.retries);
    let mut tried = Tried::default();
    loop {
        let source = connection.peer.ip().to_canonical();
        let choice = generation
            .choose(group, source, &connection.worker, &mut tried)
            .map_err(|_| Fault::no_target())?;
        passed.attempts += 1;
        passed.target = Some(choice.index);
        let wanted = Wanted {
            group,
            target: choice.index,
            host: b"",
            pooled: false,
            surely: false,
        };
        match connect::connect(connection, wanted).await {
            Ok(upstream) => return Ok(upstream),
            Err(error) => {
                let metrics = connection.worker.shard();
                metrics
                    .target(group.index(), choice.index)
                    .connect_failures
                    .add(1);
                if !may_retry(Stage::Connect, true, true, passed.attempts, retries + 1) {
                    return Err(Fault::connect(&error));
                }
                metrics.group(group.index()).retries.add(1);
                let target = metrics.target(group.index(), choice.index);
                target.retries.add(1);
                statistics::redispatched(connection, group, choice.index);
                tried.insert(choice.index);
            }
        }
    }
}

impl Facts for Connection {
    fn source(&self) -> Option<IpAddr> {
        Some(self.peer.ip().to_canonical())
    }

    fn source_port(&self) -> Option<u16> {
        Connection::source_port(self)
    }

    fn destination(&self) -> Option<IpAddr> {
        Connection::destination(self)
    }

    fn destination_port(&self) -> Option<u16> {
        Connection::destination_port(self)
    }

    fn listener_name(&self) -> Option<&str> {
        Connection::listener_name(self)
    }

    fn listener_connections(&self) -> Option<u32> {
        Connection::listener_connections(self)
    }

    fn tls(&self) -> Option<TlsFacts<'_>> {
        self.tls_facts()
    }

    fn variable(&self, variable: &Variable) -> Option<Cow<'_, [u8]>> {
        Connection::variable(self, variable).map(Cow::Owned)
    }

    fn hostname(&self) -> Option<&str> {
        let hostname = &self.generation.plane.machine.hostname;
        Some(hostname.as_str()).filter(|name| !name.is_empty())
    }

    fn environment(&self, name: &str) -> Option<&str> {
        let environment = &self.generation.plane.machine.environment;
        environment.get(name).map(String::as_str)
    }

    fn random(&self) -> Option<u64> {
        Some(self.worker.random())
    }
}
