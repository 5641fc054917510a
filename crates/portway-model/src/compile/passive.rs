//! Passive health of a group.

use super::Compiler;
use super::limits::{MAX_DURATION, MAX_REQUESTS, check_duration, within};
use crate::diagnostic::{Code, Diagnostic};
use crate::passive::PassiveHealth;
use crate::settings::Protocol;
use crate::span::Spanned;
use std::time::Duration;

/// Shortest window: a tenth of it is a step.
pub(super) const MIN_WINDOW: Duration = Duration::from_secs(1);

impl Compiler<'_> {
    /// Checks what ejects targets, and how.
    pub(super) fn passive_health(
        &mut self,
        draft: Option<&Spanned<PassiveHealth>>,
        protocol: Protocol,
    ) -> Option<PassiveHealth> {
        let Spanned { value, span } = draft?;
        let span = *span;
        let found = &mut self.found;
        let counts = [
            ("`failures`", value.failures, (0, MAX_REQUESTS)),
            (
                "`connection_failures`",
                value.connection_failures,
                (0, MAX_REQUESTS),
            ),
            ("`failure_percent`", value.failure_percent, (0, 100)),
            ("`slower_than_others`", value.slower_than_others, (0, 1000)),
            ("`min_requests`", value.min_requests, (1, MAX_REQUESTS)),
            ("`max_ejected_percent`", value.max_ejected_percent, (0, 100)),
        ];
        for (what, count, range) in counts {
            within(found, what, count, range, span);
        }
        check_duration(found, "`eject_time`", value.eject_time, span);
        check_duration(found, "`max_eject_time`", value.max_eject_time, span);
        for (what, time) in [
            ("`within`", value.within),
            ("`slow_after`", value.slow_after),
        ] {
            if !time.is_zero() {
                check_duration(found, what, time, span);
            }
        }
        let mut wrong = |message: &str, help: &str| {
            let one = Diagnostic::error(Code::Conflict, span, message);
            found.push(one.help(help));
        };
        if value.window < MIN_WINDOW || value.window > MAX_DURATION {
            wrong("`window` is out of range", "from 1s to 24 days");
        }
        if value.max_eject_time < value.eject_time {
            let help = "make `max_eject_time` as long as `eject_time`, or longer";
            wrong("`max_eject_time` is shorter than `eject_time`", help);
        }
        if value.slower_than_others == 1 {
            let help = "2 or more: every other target is slower than the middle one";
            wrong("`slower_than_others` is 1", help);
        }
        let ejects = [
            value.failures,
            value.connection_failures,
            value.failure_percent,
            value.slower_than_others,
        ];
        if ejects.iter().all(|it| *it == 0) {
            let help = "give `failures`, `connection_failures`, `failure_percent` or `slower_than_others` more than 0";
            wrong("nothing ejects a target", help);
        }
        let of_responses = !value.slow_after.is_zero() || value.slower_than_others > 0;
        if !protocol.is_http() && of_responses {
            let help = "of connections only their beginning is seen; or say `protocol = \"http\"`";
            wrong("a group of connections has no response times", help);
        }
        Some(value.clone())
    }
}
