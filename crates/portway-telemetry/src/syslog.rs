//! Messages of syslog: what stands before a line, which lines are sent, and where they are cut off.
//!
//! As HAProxy 2.6 sends them, byte for byte: the time is that of this machine, a line feed ends each message and does
//! not count to its length.

use crate::access_log::Dates;
use crate::zone::Zone;
use portway_model::log::{LogHostname, LogLevel, Syslog, SyslogForm};
use std::io::Write;
use std::time::SystemTime;

/// Who this process is in the headers of messages.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// The tag where none is configured: the program's name.
    pub program: String,
    /// What this machine is called.
    pub hostname: String,
    /// The number of the process.
    pub pid: u32,
    /// The zone of dates.
    pub zone: Zone,
}

/// One message, before it has a header.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// How important it is.
    pub level: LogLevel,
    /// When it was written.
    pub at: SystemTime,
    /// Structured data; empty: none.
    pub structured: &'a [u8],
    /// What it says, without a line feed.
    pub text: &'a [u8],
}

/// Makes messages for one destination.
#[derive(Debug)]
pub struct Framer {
    syslog: Syslog,
    /// What stands between the time and the text, for the forms that have it.
    middle: Vec<u8>,
    dates: Dates,
    /// The position of the last message in its round of the sample.
    position: u32,
    /// Bytes of a message at most.
    most: usize,
    /// Messages that were longer, since that was asked last.
    cut: u64,
}

impl Framer {
    /// A maker of messages as `syslog` says; `whole`: they are records that are of no use once they are cut.
    pub fn new(syslog: Syslog, speaker: &Speaker, whole: bool) -> Framer {
        Framer {
            most: syslog.most(whole).into(),
            cut: 0,
            middle: middle(&syslog, speaker),
            dates: Dates::new(speaker.zone.clone()),
            syslog,
            position: 0,
        }
    }

    /// Appends a message with its line feed; false where it is not sent.
    pub fn write(&mut self, message: &Message<'_>, out: &mut Vec<u8>) -> bool {
        if message.level > self.syslog.max_level || !self.is_sampled() {
            return false;
        }
        let start = out.len();
        self.header(message, out);
        out.extend_from_slice(message.text);
        if out.len() > start + self.most {
            out.truncate(start + self.most);
            self.cut += 1;
        }
        out.push(b'\n');
        true
    }

    /// Messages that were cut off because they were too long, since this was asked last.
    pub fn take_cut(&mut self) -> u64 {
        std::mem::take(&mut self.cut)
    }

    /// Whether the next message is one of those that are sent.
    fn is_sampled(&mut self) -> bool {
        let Some(sample) = &self.syslog.sample else {
            return true;
        };
        self.position = self.position % sample.size + 1;
        sample.takes(self.position)
    }

    fn header(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        let level = message.level.max(self.syslog.min_level).code();
        let priority = u16::from(self.syslog.facility.code()) * 8 + u16::from(level);
        let form = self.syslog.form;
        match form {
            SyslogForm::Local
            | SyslogForm::Rfc3164
            | SyslogForm::Rfc5424
            | SyslogForm::Priority => angle(priority, out),
            SyslogForm::Short | SyslogForm::Timed => angle(level.into(), out),
            SyslogForm::Iso | SyslogForm::Raw => {}
        }
        match form {
            SyslogForm::Local | SyslogForm::Rfc3164 => {
                self.dates.at(message.at).write_syslog(out);
                out.extend_from_slice(&self.middle);
            }
            SyslogForm::Rfc5424 => {
                out.extend_from_slice(b"1 ");
                self.dates.at(message.at).write_microseconds(out);
                out.extend_from_slice(&self.middle);
                match message.structured {
                    [] => out.push(b'-'),
                    structured => out.extend_from_slice(structured),
                }
                out.push(b' ');
            }
            SyslogForm::Timed | SyslogForm::Iso => {
                self.dates.at(message.at).write_microseconds(out);
                out.push(b' ');
            }
            SyslogForm::Priority | SyslogForm::Short | SyslogForm::Raw => {}
        }
    }
}

fn angle(number: u16, out: &mut Vec<u8>) {
    // Writing into a Vec does not fail.
    let _ = write!(out, "<{number}>");
}

fn middle(syslog: &Syslog, speaker: &Speaker) -> Vec<u8> {
    let tag = syslog.tag.as_deref().unwrap_or(&speaker.program);
    let hostname = syslog.hostname.as_ref().map(|hostname| match hostname {
        LogHostname::Machine => speaker.hostname.as_str(),
        LogHostname::Named(name) => name.as_str(),
    });
    let pid = speaker.pid;
    let text = match (syslog.form, hostname) {
        (SyslogForm::Local, None) => format!(" {tag}[{pid}]: "),
        (SyslogForm::Local | SyslogForm::Rfc3164, _) => {
            format!(" {} {tag}[{pid}]: ", hostname.unwrap_or("localhost"))
        }
        (SyslogForm::Rfc5424, _) => format!(" {} {tag} {pid} - ", hostname.unwrap_or("-")),
        _ => String::new(),
    };
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::log::{Facility, Sample, SyslogAddress};
    use std::time::{Duration, UNIX_EPOCH};

    fn speaker() -> Speaker {
        Speaker {
            program: "haproxy".into(),
            hostname: "vm".into(),
            pid: 23_815,
            zone: Zone::posix("CET-1"),
        }
    }

    fn syslog(form: SyslogForm) -> Syslog {
        Syslog {
            form,
            ..Syslog::new(SyslogAddress::Stdout)
        }
    }

    fn written(framer: &mut Framer, level: LogLevel, text: &str) -> Option<String> {
        let mut out = b"before".to_vec();
        let message = Message {
            level,
            at: UNIX_EPOCH + Duration::from_micros(1_795_259_126_017_545),
            structured: b"",
            text: text.as_bytes(),
        };
        let sent = framer.write(&message, &mut out);
        let out = String::from_utf8(out.split_off(6)).expect("UTF-8");
        assert_eq!(sent, !out.is_empty());
        sent.then_some(out)
    }

    #[track_caller]
    fn check(syslog: Syslog, expected: &str) {
        let mut framer = Framer::new(syslog, &speaker(), false);
        let out = written(&mut framer, LogLevel::Info, "a b");
        assert_eq!(out.as_deref(), Some(expected));
    }

    /// As HAProxy 2.6.12 sends them.
    #[test]
    fn headers() {
        check(
            syslog(SyslogForm::Local),
            "<134>Nov 21 12:05:26 haproxy[23815]: a b\n",
        );
        check(
            syslog(SyslogForm::Rfc3164),
            "<134>Nov 21 12:05:26 localhost haproxy[23815]: a b\n",
        );
        check(
            syslog(SyslogForm::Rfc5424),
            "<134>1 2026-11-21T12:05:26.017545+01:00 - haproxy 23815 - - a b\n",
        );
        check(syslog(SyslogForm::Priority), "<134>a b\n");
        check(syslog(SyslogForm::Short), "<6>a b\n");
        check(
            syslog(SyslogForm::Timed),
            "<6>2026-11-21T12:05:26.017545+01:00 a b\n",
        );
        check(
            syslog(SyslogForm::Iso),
            "2026-11-21T12:05:26.017545+01:00 a b\n",
        );
        check(syslog(SyslogForm::Raw), "a b\n");
    }

    #[test]
    fn names_and_facilities() {
        let with = |form, hostname| Syslog {
            facility: Facility::Daemon,
            tag: Some("foo".into()),
            hostname: Some(hostname),
            ..syslog(form)
        };
        let named = || LogHostname::Named("xy".into());
        check(
            with(SyslogForm::Local, named()),
            "<30>Nov 21 12:05:26 xy foo[23815]: a b\n",
        );
        check(
            with(SyslogForm::Rfc3164, LogHostname::Machine),
            "<30>Nov 21 12:05:26 vm foo[23815]: a b\n",
        );
        check(
            with(SyslogForm::Rfc5424, named()),
            "<30>1 2026-11-21T12:05:26.017545+01:00 xy foo 23815 - - a b\n",
        );
        check(with(SyslogForm::Short, named()), "<6>a b\n");
    }

    #[test]
    fn levels() {
        let check = |max, min, level, expected: Option<&str>| {
            let syslog = Syslog {
                max_level: max,
                min_level: min,
                ..syslog(SyslogForm::Short)
            };
            let mut framer = Framer::new(syslog, &speaker(), false);
            assert_eq!(written(&mut framer, level, "a").as_deref(), expected);
        };
        use LogLevel::{Debug, Emerg, Info, Notice, Warning};
        check(Debug, Emerg, Emerg, Some("<0>a\n"));
        check(Debug, Notice, Emerg, Some("<5>a\n"));
        check(Notice, Emerg, Info, None);
        check(Notice, Emerg, Notice, Some("<5>a\n"));
        check(Debug, Notice, Debug, Some("<7>a\n"));
        check(Warning, Notice, Notice, None);
    }

    #[test]
    fn structured_data_and_length() {
        let message = Message {
            level: LogLevel::Info,
            at: UNIX_EPOCH,
            structured: b"[a@1 b=\"c\"]",
            text: &[b'x'; 300],
        };
        let mut out = Vec::new();
        Framer::new(syslog(SyslogForm::Rfc5424), &speaker(), false).write(&message, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(
            text.contains(" haproxy 23815 - [a@1 b=\"c\"] xxx"),
            "{text}"
        );
        for form in SyslogForm::ALL {
            let syslog = Syslog {
                length: Some(100),
                ..syslog(*form)
            };
            let mut out = Vec::new();
            let mut framer = Framer::new(syslog, &speaker(), true);
            framer.write(&message, &mut out);
            assert_eq!((out.len(), out.last()), (101, Some(&b'\n')), "{form:?}");
            assert_eq!((framer.take_cut(), framer.take_cut()), (1, 0));
        }
    }

    #[test]
    fn records_that_must_be_whole_have_more_room() {
        let udp = SyslogAddress::Udp {
            host: "a".into(),
            port: 514,
        };
        let unix = SyslogAddress::Unix("/dev/log".into());
        for (to, whole, most) in [
            (&udp, false, 1024),
            (&unix, false, 1024),
            (&udp, true, 65_507),
            (&unix, true, 65_535),
            (&SyslogAddress::Stdout, true, 65_535),
        ] {
            let syslog = Syslog {
                form: SyslogForm::Raw,
                ..Syslog::new(to.clone())
            };
            for (length, cut) in [(most, 0), (most + 1, 1)] {
                let mut framer = Framer::new(syslog.clone(), &speaker(), whole);
                let mut out = Vec::new();
                let message = Message {
                    level: LogLevel::Info,
                    at: UNIX_EPOCH,
                    structured: b"",
                    text: &vec![b'x'; length],
                };
                framer.write(&message, &mut out);
                assert_eq!(
                    (out.len(), framer.take_cut()),
                    (most + 1, cut),
                    "{to} {whole}"
                );
            }
        }
    }

    #[test]
    fn samples() {
        let syslog = Syslog {
            sample: Sample::parse("1,3:3"),
            max_level: LogLevel::Info,
            ..syslog(SyslogForm::Raw)
        };
        let mut framer = Framer::new(syslog, &speaker(), false);
        let mut sent = Vec::new();
        for (index, level) in [LogLevel::Info; 7].into_iter().enumerate() {
            // What the level leaves out does not count.
            assert_eq!(written(&mut framer, LogLevel::Debug, "x"), None);
            if written(&mut framer, level, "x").is_some() {
                sent.push(index + 1);
            }
        }
        assert_eq!(sent, [1, 3, 4, 6, 7]);
    }
}
