//! Logs: access logs, where events go, request ids, and what is kept for the log.

use super::expressions::{Moment, Place, Side};
use super::text::{check_file, check_header_written};
use super::{Compiler, Reported};
use crate::convert;
use crate::diagnostic::{Code, Diagnostic};
use crate::draft::{AccessLogDraft, LogFormat, RequestIdDraft};
use crate::expression::{Condition, Template};
use crate::log::{LogDestination, LogHostname, Syslog, SyslogAddress, SyslogFraming};
use crate::settings::{CaptureCookie, Protocol};
use crate::snapshot::{AccessLog, RequestId};
use crate::span::Spanned;
use crate::stage::{Named, Resolved};

/// Bytes of a syslog message at least, as HAProxy has it: a header must fit.
pub const MIN_SYSLOG_LENGTH: u16 = 80;
/// Bytes that a message of syslog with a record in JSON should have room for: what receivers should take at least (RFC 5424, section
/// 6.1).
const JSON_SYSLOG_LENGTH: u16 = 2048;

/// What remains of destinations once they are checked.
pub(super) fn destinations(drafts: &[Spanned<LogDestination>]) -> Vec<LogDestination> {
    drafts.iter().map(|it| it.value.clone()).collect()
}

impl Compiler<'_> {
    pub(super) fn access_log(
        &mut self,
        draft: &Spanned<AccessLogDraft>,
        protocol: Protocol,
    ) -> Result<AccessLog, Reported> {
        let AccessLogDraft {
            format,
            to,
            error_format,
            structured_data,
            log_null,
            only_faults,
            raise_faults,
            early,
            when,
            without,
        } = &draft.value;
        let place = Place {
            moment: Moment::Log,
            side: Side::Listener(protocol),
            span: format.as_ref().map_or(draft.span, |form| form.span),
        };
        let form = format.as_ref().map_or(&LogFormat::Json, |form| &form.value);
        if let LogFormat::Template(template) = form {
            self.check_template(place, template);
        }
        let converted = convert::log_format(self, form);
        let when = self.log_condition(place, when.as_ref());
        if let (LogFormat::Template(_), Some(part)) = (form, without.first()) {
            let message = "a template says itself what is in a record";
            let wrong = Diagnostic::error(Code::Conflict, part.span, message);
            let help = "take the value out of the template, and `without` too";
            self.found.push(wrong.help(help));
        }
        let error_format = self.log_template(place, error_format.as_ref());
        let structured_data = self.log_template(place, structured_data.as_ref());
        self.check_log_destinations(to);
        if matches!(form, LogFormat::Json) {
            self.check_room_for_json(to);
        }
        let mut to = destinations(to);
        if to.is_empty() {
            to.push(LogDestination::Stdout);
        }
        let given = |setting: &Option<Spanned<bool>>| setting.is_some_and(|it| it.value);
        Ok(AccessLog {
            format: converted?,
            to,
            error_format: error_format?,
            structured_data: structured_data?,
            log_null: log_null.map_or(!protocol.is_http(), |it| it.value),
            only_faults: given(only_faults),
            raise_faults: given(raise_faults),
            early: given(early),
            when: when?,
            without: without.iter().map(|it| it.value).collect(),
        })
    }

    fn log_template(
        &mut self,
        place: Place,
        template: Option<&Spanned<Template<Named>>>,
    ) -> Result<Option<Template<Resolved>>, Reported> {
        let Some(template) = template else {
            return Ok(None);
        };
        let span = template.span;
        self.check_template(Place { span, ..place }, &template.value);
        convert::template(self, &template.value).map(Some)
    }

    fn log_condition(
        &mut self,
        place: Place,
        condition: Option<&Spanned<Condition<Named>>>,
    ) -> Result<Option<Condition<Resolved>>, Reported> {
        let Some(condition) = condition else {
            return Ok(None);
        };
        let span = condition.span;
        self.check_condition(Place { span, ..place }, &condition.value);
        convert::condition(self, &condition.value).map(Some)
    }

    pub(super) fn request_id(
        &mut self,
        draft: &Spanned<RequestIdDraft>,
        protocol: Protocol,
    ) -> Result<RequestId, Reported> {
        let RequestIdDraft { header, format } = &draft.value;
        if let Some(name) = header {
            check_header_written(&mut self.found, &name.value, name.span);
        }
        let format = match format {
            None => None,
            Some(template) => {
                let place = Place {
                    moment: Moment::Phase(crate::action::Phase::Request),
                    side: Side::Listener(protocol),
                    span: template.span,
                };
                self.check_template(place, &template.value);
                Some(convert::template(self, &template.value))
            }
        };
        Ok(RequestId {
            header: header.as_ref().map(|it| it.value.to_ascii_lowercase()),
            format: format.transpose()?,
        })
    }

    pub(super) fn check_log_destinations(&mut self, drafts: &[Spanned<LogDestination>]) {
        for to in drafts {
            match &to.value {
                LogDestination::Stdout => {}
                LogDestination::File(file) => check_file(&mut self.found, "the log", file, to.span),
                LogDestination::Syslog(syslog) => self.check_syslog(&Spanned::new(syslog, to.span)),
            }
        }
    }

    /// A record that is cut off is no JSON.
    fn check_room_for_json(&mut self, drafts: &[Spanned<LogDestination>]) {
        for to in drafts {
            if let LogDestination::Syslog(syslog) = &to.value
                && let Some(length) = syslog.length
                && (MIN_SYSLOG_LENGTH..JSON_SYSLOG_LENGTH).contains(&length)
            {
                let message = format!(
                    "records in JSON that have more than {length} bytes are cut off here, and are no JSON then"
                );
                let help = format!("take `length` out, or write at least {JSON_SYSLOG_LENGTH}");
                self.found
                    .push(Diagnostic::warning(Code::Conflict, to.span, message).help(help));
            }
        }
    }

    fn check_syslog(&mut self, to: &Spanned<&Syslog>) {
        let Syslog {
            to: address,
            length,
            tag,
            hostname,
            framing,
            ..
        } = to.value;
        let is_tcp = matches!(address, SyslogAddress::Tcp { .. });
        if *framing == SyslogFraming::OctetCount && !is_tcp {
            let message = "messages are counted in streams over TCP alone";
            let wrong = Diagnostic::error(Code::Conflict, to.span, message);
            let help = "write the address as `tcp@HOST:PORT`, or take `framing` out";
            self.found.push(wrong.help(help));
        }
        if let SyslogAddress::Unix(path) = address {
            check_file(&mut self.found, "the syslog socket", path, to.span);
        }
        if let Some(length) = length.filter(|it| *it < MIN_SYSLOG_LENGTH) {
            let message = format!("{length} is out of range for the length of a syslog message");
            let help = format!("from {MIN_SYSLOG_LENGTH} to {}", u16::MAX);
            self.found
                .push(Diagnostic::error(Code::OutOfRange, to.span, message).help(help));
        }
        let hostname = match hostname {
            Some(LogHostname::Named(name)) => Some(name),
            Some(LogHostname::Machine) | None => None,
        };
        for (what, text) in [("tag", tag.as_ref()), ("host name", hostname)] {
            let Some(text) = text else { continue };
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
                let message = format!("`{}` is not a {what} of syslog", text.escape_debug());
                self.found.push(
                    Diagnostic::error(Code::OutOfRange, to.span, message)
                        .help("printable ASCII characters without blanks are allowed"),
                );
            }
        }
    }

    pub(super) fn check_capture_cookie(&mut self, cookie: Option<&Spanned<CaptureCookie>>) {
        let Some(cookie) = cookie else { return };
        let CaptureCookie { name, length, .. } = &cookie.value;
        super::text::check_token(&mut self.found, "a cookie name", name, cookie.span);
        if *length == 0 {
            let message = "0 is out of range for the length of a captured cookie";
            self.found
                .push(Diagnostic::error(Code::OutOfRange, cookie.span, message));
        }
    }
}
