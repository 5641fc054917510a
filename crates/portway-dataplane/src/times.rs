//! The parts of the time of an exchange or a TCP connection, as HAProxy counts them (its manual, section 8.4).
//!
//! All of them are milliseconds since the connection was accepted, or since the response before had ended. What it did
//! not come to is `None`, and so is all that would follow.

use crate::connection::Connection;
use crate::exchange::{Exchange, How};
use crate::policy::Side;
use crate::record::Passed;
use portway_model::expression::LogValue;
use portway_telemetry::record::FaultCode;
use std::time::{Duration, Instant};

/// How much of a request HAProxy had looked at when it was ended, which its logs tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookedAt {
    Everything,
    /// Its rules waited for its body.
    Head,
    /// Rules over first bytes ended it: it is none yet.
    FirstBytes,
}

/// The moments of an exchange or connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    /// The handshake was over.
    handshake: i64,
    /// The first byte of the request came.
    idle: Option<i64>,
    /// The whole head of the request was there.
    request: Option<i64>,
    /// It left the queue.
    queue: Option<i64>,
    /// The connection to the target was there.
    connect: Option<i64>,
    /// The head of the response was there; the connection for TCP.
    data: Option<i64>,
    /// The end, or now.
    close: i64,
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Times {
    /// Those of an exchange, at its end or so far.
    pub(crate) fn of_exchange(x: &Exchange<'_>) -> Self {
        let connection = x.connection;
        let ledger = &x.ledger;
        let accepted = connection.since();
        let since = |moment: Instant| milliseconds(moment.duration_since(accepted));
        let begun = |after: Duration| since(ledger.started + after);
        let times = Times {
            handshake: handshake(connection),
            close: since(ledger.ended.unwrap_or_else(Instant::now)),
            ..Times::default()
        };
        if x.head_len == 0 {
            return times;
        }
        let times = Times {
            idle: Some(since(ledger.started)),
            ..times
        };
        // What is closed without an answer, and what nobody takes, HAProxy does not count as having come.
        let code = ledger.fault.map(|fault| fault.code);
        let answered = ledger.answered;
        let held = answered.is_some_and(|it| it.how == How::Tarpit);
        let replaced = answered.is_some_and(|it| it.side == Side::Response);
        let came = !held
            && ledger.looked_at == LookedAt::Everything
            && !matches!(code, Some(FaultCode::Rejected | FaultCode::NoRule));
        Times {
            request: Some(begun(ledger.head_took)).filter(|_| came),
            // What never had a place has at least waited for one.
            queue: match (ledger.reserved, ledger.queued) {
                (Some(reserved), _) => Some(begun(reserved)),
                (None, Some(waited)) => Some(begun(ledger.head_took + waited)),
                (None, None) if held => Some(times.close),
                (None, None) => None,
            },
            connect: ledger.connected.map(begun),
            // A response that broke, or that a rule answers in place of, does not count as one.
            data: ledger
                .response_head
                .filter(|_| !ledger.failed && !replaced)
                .map(begun),
            ..times
        }
    }

    /// Those of a TCP connection.
    pub(crate) fn of_connection(connection: &Connection, passed: &Passed) -> Self {
        let accepted = connection.since();
        let since = |moment: Instant| milliseconds(moment.duration_since(accepted));
        let connected = passed.connected.map(|after| since(passed.started + after));
        Times {
            handshake: handshake(connection),
            idle: Some(handshake(connection)),
            request: Some(handshake(connection)),
            queue: passed.queued.map(|after| since(passed.started + after)),
            connect: connected,
            data: connected,
            close: since(Instant::now()),
        }
    }

    /// The value of a time; -1 where it did not come to that. `None` for a value that is no time.
    pub(crate) fn value(&self, value: LogValue) -> Option<i64> {
        let between = |from: Option<i64>, to: Option<i64>| match (from, to) {
            (Some(from), Some(to)) => to - from,
            (None, Some(to)) => to,
            (_, None) => -1,
        };
        let idle = self.idle.unwrap_or(0);
        Some(match value {
            LogValue::HandshakeTime => self.handshake,
            LogValue::IdleTime => (idle - self.handshake).max(0),
            LogValue::RequestTime => between(self.idle, self.request),
            LogValue::UntilRequestTime => self.request.unwrap_or(-1),
            LogValue::QueueTime => between(self.request, self.queue),
            LogValue::ConnectTime => between(self.queue, self.connect),
            LogValue::ResponseTime => between(self.connect, self.data),
            LogValue::DataTime => between(self.data, self.data.map(|_| self.close)),
            LogValue::TotalTime => self.close - idle,
            LogValue::SessionTime => self.close,
            LogValue::UserTime => self.close - (idle - self.handshake).max(0),
            _ => return None,
        })
    }
}

fn handshake(connection: &Connection) -> i64 {
    match &connection.tls {
        Some(tls) if connection.exchanges == 0 => tls.took.into(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: Times, expected: [i64; 11]) {
        let values = [
            LogValue::HandshakeTime,
            LogValue::IdleTime,
            LogValue::RequestTime,
            LogValue::UntilRequestTime,
            LogValue::QueueTime,
            LogValue::ConnectTime,
            LogValue::ResponseTime,
            LogValue::DataTime,
            LogValue::TotalTime,
            LogValue::SessionTime,
            LogValue::UserTime,
        ];
        assert_eq!(values.map(|value| times.value(value).unwrap()), expected);
    }

    #[test]
    fn parts_of_the_time() {
        let whole = Times {
            handshake: 5,
            idle: Some(106),
            request: Some(206),
            queue: Some(207),
            connect: Some(210),
            data: Some(250),
            close: 300,
        };
        check(whole, [5, 101, 100, 206, 1, 3, 40, 50, 194, 300, 199]);
        let nothing = Times {
            close: 101,
            ..Times::default()
        };
        check(nothing, [0, 0, -1, -1, -1, -1, -1, -1, 101, 101, 101]);
        let refused = Times {
            connect: None,
            data: None,
            ..whole
        };
        check(refused, [5, 101, 100, 206, 1, -1, -1, -1, 194, 300, 199]);
        let denied = Times {
            queue: None,
            ..refused
        };
        check(denied, [5, 101, 100, 206, -1, -1, -1, -1, 194, 300, 199]);
        assert!(whole.value(LogValue::BytesIn).is_none());
    }
}
