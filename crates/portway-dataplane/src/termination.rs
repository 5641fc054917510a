//! HAProxy's letters for how an exchange or a TCP connection ended (its manual, section 8.5): who ended it, how far it had
//! come, and what became of the cookie of stickiness.

use crate::exchange::{Exchange, How};
use crate::fault::Fault;
use crate::policy::Side;
use crate::record::Passed;
use portway_telemetry::record::FaultCode;

/// How far an exchange had come when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Request,
    Queue,
    Connect,
    Headers,
    Data,
}

impl Progress {
    fn letter(self) -> u8 {
        match self {
            Progress::Request => b'R',
            Progress::Queue => b'Q',
            Progress::Connect => b'C',
            Progress::Headers => b'H',
            Progress::Data => b'D',
        }
    }
}

/// The first two letters of an exchange.
pub(crate) fn of_exchange(x: &Exchange<'_>) -> [u8; 2] {
    let ledger = &x.ledger;
    let Some(fault) = ledger.fault else {
        return match ledger.answered.map(|answered| answered.side) {
            // A target was chosen, which sends its clients on.
            Some(Side::Request) if ledger.attempts > 0 => *b"LC",
            Some(Side::Request) => *b"LR",
            Some(Side::Response) => *b"LH",
            None if ledger.service.is_some() => *b"LR",
            None => *b"--",
        };
    };
    if fault.code == FaultCode::Denied {
        let by = ledger
            .answered
            .map(|answered| (answered.side, answered.how));
        return match by {
            Some((_, How::Tarpit)) => *b"PT",
            Some((Side::Response, _)) => *b"PH",
            // A question for a password is an answer like any other.
            Some((_, How::Challenge)) => *b"LR",
            _ => *b"PR",
        };
    }
    let progress = if ledger.response_head.is_some() && !ledger.failed {
        Progress::Data
    } else if ledger.connected.is_some() {
        Progress::Headers
    } else if ledger.attempts > 0 {
        Progress::Connect
    } else if fault == Fault::gave_up(false) && ledger.queued.is_some() {
        Progress::Queue
    } else {
        Progress::Request
    };
    letters(fault, progress)
}

/// The two letters of a TCP connection.
pub(crate) fn of_connection(passed: &Passed) -> [u8; 2] {
    let Some(fault) = passed.fault else {
        return *b"--";
    };
    let progress = match (passed.connected, passed.attempts) {
        (Some(_), _) => Progress::Data,
        (None, 0) => Progress::Request,
        (None, _) => Progress::Connect,
    };
    letters(fault, progress)
}

fn letters(fault: Fault, progress: Progress) -> [u8; 2] {
    let how_far = progress.letter();
    match fault.code {
        // While it sends its body it counts as data, whatever the target does.
        FaultCode::ClientClosed if progress == Progress::Headers && fault.stage.is_none() => *b"CD",
        FaultCode::ClientClosed => [b'C', how_far],
        FaultCode::ClientTimeout | FaultCode::ClientTooSlow => [b'c', how_far],
        FaultCode::ClientTls | FaultCode::ClientProxy => *b"CR",
        FaultCode::QueueTimeout => *b"sQ",
        FaultCode::QueueFull => *b"SQ",
        FaultCode::RefusedRequest(_)
        | FaultCode::Rejected
        | FaultCode::Denied
        | FaultCode::CircuitOpen
        | FaultCode::PasswordsBusy
        | FaultCode::NotAuthorized(_) => [b'P', how_far],
        FaultCode::NoRule | FaultCode::NoHealthyTarget => *b"SC",
        FaultCode::ConnectRefused
        | FaultCode::ConnectFailed
        | FaultCode::NotResolved
        | FaultCode::TargetTls => *b"SC",
        // Before there is a target, it is the request that there is no memory for.
        FaultCode::Exhausted if progress == Progress::Request => *b"RR",
        FaultCode::Exhausted => *b"RC",
        FaultCode::ConnectTimeout => *b"sC",
        FaultCode::TargetClosed => [b'S', how_far],
        FaultCode::TotalTimeout if progress == Progress::Request => *b"sQ",
        FaultCode::ResponseTimeout | FaultCode::AttemptTimeout | FaultCode::TotalTimeout => {
            [b's', how_far]
        }
        FaultCode::BadResponse("rejected_by_rule") => *b"PD",
        FaultCode::BadResponse(_) => [b'P', how_far],
        FaultCode::IdleTimeout => *b"cD",
        FaultCode::TargetDown => [b'D', how_far],
        FaultCode::Shutdown => [b'K', how_far],
        FaultCode::Internal => [b'I', how_far],
    }
}

/// True where the first letter says that something went wrong, as HAProxy takes it for `dontlog-normal` and
/// `log-separate-errors`.
pub(crate) fn is_abnormal(letters: [u8; 2]) -> bool {
    !matches!(letters, [b'-' | b'L', _])
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_core::http1::Refusal;
    use portway_core::retry::Stage;
    use std::io::ErrorKind;

    #[test]
    fn faults_have_letters() {
        let check = |fault: Fault, progress, expected: &[u8; 2]| {
            assert_eq!(letters(fault, progress), *expected, "{fault:?}");
        };
        use Progress::{Connect, Data, Headers, Queue, Request};
        check(Fault::client_closed(), Request, b"CR");
        check(Fault::client_closed(), Connect, b"CC");
        check(Fault::client_closed(), Headers, b"CD");
        check(Fault::client_closed(), Data, b"CD");
        check(Fault::gave_up(false), Queue, b"CQ");
        check(Fault::gave_up(false), Connect, b"CC");
        check(Fault::gave_up(true), Headers, b"CH");
        check(Fault::client_timeout(), Request, b"cR");
        check(Fault::client_timeout(), Headers, b"cH");
        check(Fault::client_timeout(), Data, b"cD");
        check(Fault::refused(Refusal::BareCr), Request, b"PR");
        check(Fault::closed_by_rule(), Request, b"PR");
        check(Fault::exhausted(), Request, b"RR");
        check(Fault::exhausted(), Connect, b"RC");
        check(Fault::no_rule(), Request, b"SC");
        check(Fault::no_target(), Request, b"SC");
        let connect = |kind: ErrorKind| Fault::connect(&kind.into());
        check(connect(ErrorKind::ConnectionRefused), Connect, b"SC");
        check(connect(ErrorKind::TimedOut), Connect, b"sC");
        check(connect(ErrorKind::Other), Connect, b"SC");
        check(Fault::target_closed(Stage::Sent), Headers, b"SH");
        check(Fault::target_closed(Stage::ResponseStarted), Data, b"SD");
        check(Fault::response_timeout(), Headers, b"sH");
        check(Fault::response_timeout(), Data, b"sD");
        check(Fault::attempt_timeout(Stage::Connect), Connect, b"sC");
        check(Fault::attempt_timeout(Stage::TimedOut), Headers, b"sH");
        check(Fault::total_timeout(), Request, b"sQ");
        check(Fault::total_timeout(), Data, b"sD");
        check(Fault::rejected(), Headers, b"PD");
        check(Fault::shutdown(), Data, b"KD");
        check(Fault::internal(), Headers, b"IH");
    }

    #[test]
    fn what_is_normal() {
        for (letters, abnormal) in [(b"--", false), (b"LR", false), (b"PR", true), (b"sQ", true)] {
            assert_eq!(is_abnormal(*letters), abnormal);
        }
    }
}
