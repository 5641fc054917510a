//! Logs: where lines go, how each is wrapped for syslog, and which are sent.
//!
//! Levels, facilities and forms are closed sets; their words are those of RFC 5424 section 6.2.1 and of HAProxy, which
//! native files use too.

use std::net::{AddrParseError, IpAddr};

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogDestination {
    /// Standard output, lines as they are.
    Stdout,
    /// Appended to this file, lines as they are.
    File(String),
    /// One message a line, wrapped, to a syslog server or a descriptor.
    Syslog(Syslog),
}

/// A receiver of syslog messages and what it gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Syslog {
    /// Where.
    pub to: SyslogAddress,
    /// What each message begins with.
    pub form: SyslogForm,
    /// Who speaks.
    pub facility: Facility,
    /// Messages less important than this are not sent. [`LogLevel::Debug`]: all are.
    pub max_level: LogLevel,
    /// Messages more important than this are sent with this level. [`LogLevel::Emerg`]: none is changed.
    pub min_level: LogLevel,
    /// Bytes of a message at most, with its header, without its line feed; the rest is cut off. 80–65535. `None`: as many as what is
    /// sent there needs, [`Self::most`].
    pub length: Option<u16>,
    /// The tag of the header; `None`: the name of the program.
    pub tag: Option<String>,
    /// The host name of the header; `None`: none in [`SyslogForm::Local`], `localhost` in [`SyslogForm::Rfc3164`], `-` in
    /// [`SyslogForm::Rfc5424`], as HAProxy has it.
    pub hostname: Option<LogHostname>,
    /// Which messages are sent, of each so many; `None`: all.
    pub sample: Option<Sample>,
    /// Where one message ends and the next begins; over TCP only.
    pub framing: SyslogFraming,
}

impl Syslog {
    /// Everything by default but the address.
    pub fn new(to: SyslogAddress) -> Self {
        Self {
            to,
            form: SyslogForm::Local,
            facility: Facility::Local0,
            max_level: LogLevel::Debug,
            min_level: LogLevel::Emerg,
            length: None,
            tag: None,
            hostname: None,
            sample: None,
            framing: SyslogFraming::LineFeed,
        }
    }

    /// Bytes of a message at most, where it is a record that is of no use once it is cut (`whole`), or a line for people.
    pub fn most(&self, whole: bool) -> u16 {
        let default = match whole {
            true => u16::MAX,
            false => crate::defaults::SYSLOG_LENGTH,
        };
        let length = self.length.unwrap_or(default);
        match &self.to {
            SyslogAddress::Udp { .. } => length.min(crate::defaults::SYSLOG_DATAGRAM),
            _ => length,
        }
    }
}

/// The name of this machine in messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogHostname {
    /// What it is called: `node` of the process, else its host name.
    Machine,
    /// This.
    Named(String),
}

/// Where a syslog server is, or what stands for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SyslogAddress {
    /// Datagrams over UDP.
    Udp {
        /// Address or name.
        host: String,
        /// Port.
        port: u16,
    },
    /// A stream over TCP.
    Tcp {
        /// Address or name.
        host: String,
        /// Port.
        port: u16,
    },
    /// A UNIX datagram socket.
    Unix(String),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A descriptor that the process was started with.
    Descriptor(u16),
}

/// The port of syslog over UDP (RFC 5426) and over TCP by custom.
pub const SYSLOG_PORT: u16 = 514;

impl SyslogAddress {
    /// Reads `stdout`, `stderr`, `fd@N`, a path, `HOST`, `HOST:PORT`, `[IPv6]:PORT`, `IPv6:PORT` as HAProxy takes it, each with
    /// `udp@` or `tcp@` before it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "stdout" => return Some(Self::Stdout),
            "stderr" => return Some(Self::Stderr),
            _ => {}
        }
        if let Some(number) = text.strip_prefix("fd@") {
            return number.parse().ok().map(Self::Descriptor);
        }
        if text.starts_with('/') {
            return Some(Self::Unix(text.to_owned()));
        }
        let (tcp, address) = match text.split_once('@') {
            Some(("udp", rest)) => (false, rest),
            Some(("tcp", rest)) => (true, rest),
            Some(_) => return None,
            None => (false, text),
        };
        let (host, port) = host_and_port(address)?;
        Some(match tcp {
            true => Self::Tcp { host, port },
            false => Self::Udp { host, port },
        })
    }
}

/// The last colon divides, but for an IPv6 address without port.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let as_address = |text: &str| -> Result<IpAddr, AddrParseError> {
        text.trim_start_matches('[').trim_end_matches(']').parse()
    };
    let (host, port) = match text.rsplit_once(':') {
        Some(_) if as_address(text).is_ok() => (text, SYSLOG_PORT),
        Some((host, "")) => (host, SYSLOG_PORT),
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
        None => (text, SYSLOG_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let good = as_address(host).is_ok() || (!host.is_empty() && host.bytes().all(plain));
    good.then(|| (host.to_owned(), port))
}

impl std::fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (before, host, port) = match self {
            Self::Udp { host, port } => ("", host, port),
            Self::Tcp { host, port } => ("tcp@", host, port),
            Self::Unix(path) => return f.write_str(path),
            Self::Stdout => return f.write_str("stdout"),
            Self::Stderr => return f.write_str("stderr"),
            Self::Descriptor(number) => return write!(f, "fd@{number}"),
        };
        match host.contains(':') {
            true => write!(f, "{before}[{host}]:{port}"),
            false => write!(f, "{before}{host}:{port}"),
        }
    }
}

/// Some messages of every `size`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Positions from 1 up to `size`, both ends included, in rising order.
    pub ranges: Vec<(u32, u32)>,
    /// How many messages make a round.
    pub size: u32,
}

impl Sample {
    /// Reads `1,3-5:8`: the first and the third to fifth of every eight.
    pub fn parse(text: &str) -> Option<Self> {
        let (ranges, size) = text.split_once(':')?;
        let size: u32 = size.parse().ok()?;
        let mut ranges = ranges
            .split(',')
            .map(|range| {
                let (low, high) = range.split_once('-').unwrap_or((range, range));
                let (low, high) = (low.parse().ok()?, high.parse().ok()?);
                (1 <= low && low <= high && high <= size).then_some((low, high))
            })
            .collect::<Option<Vec<(u32, u32)>>>()?;
        ranges.sort_unstable();
        let apart = |pair: &[(u32, u32)]| matches!(pair, [a, b] if a.1 < b.0);
        ranges
            .windows(2)
            .all(apart)
            .then_some(Self { ranges, size })
    }

    /// Whether the message at this position, from 1, is sent.
    pub fn takes(&self, position: u32) -> bool {
        let within = |(low, high): &(u32, u32)| (*low..=*high).contains(&position);
        self.ranges.iter().any(within)
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (low, high)) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match low == high {
                true => write!(f, "{comma}{low}")?,
                false => write!(f, "{comma}{low}-{high}")?,
            }
        }
        write!(f, ":{}", self.size)
    }
}

macro_rules! word_set {
    ($(#[doc = $set_doc:literal])+ $set:ident { $($(#[doc = $doc:literal])+ $member:ident = $word:literal,)+ }) => {
        $(#[doc = $set_doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $set {
            $($(#[doc = $doc])+ $member,)+
        }

        impl $set {
            /// Every member, in the order of the declaration.
            pub const ALL: &'static [$set] = &[$($set::$member),+];

            /// Its word in configurations.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($set::$member => $word,)+
                }
            }

            /// The member of this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.as_str() == word)
            }

            /// Its number: the place in the declaration.
            pub const fn code(self) -> u8 {
                self as u8
            }
        }
    };
}

word_set! {
    /// How important a message is; smaller numbers are more important (RFC 5424 section 6.2.1).
    LogLevel {
        /// The system is unusable.
        Emerg = "emerg",
        /// Something must be done at once: a target group has no target left, a server is down.
        Alert = "alert",
        /// Critical.
        Crit = "crit",
        /// An error.
        Err = "err",
        /// A warning.
        Warning = "warning",
        /// Normal, worth knowing: a server is up.
        Notice = "notice",
        /// Traffic.
        Info = "info",
        /// For looking into something.
        Debug = "debug",
    }
}

word_set! {
    /// What a record may be without, so that it says less of people.
    RecordPart {
        /// Address and port of the client.
        Client = "client",
        /// The host that the request was for.
        Host = "host",
        /// Path and query.
        RequestTarget = "request_target",
        /// The User-Agent field.
        UserAgent = "user_agent",
        /// The Referer field.
        Referer = "referer",
        /// The server name of the client's ClientHello.
        Sni = "sni",
        /// Name, address and port of the target.
        TargetAddress = "target_address",
    }
}

word_set! {
    /// Who speaks, RFC 5424 section 6.2.1, by HAProxy's words.
    Facility {
        /// 0
        Kern = "kern",
        /// 1
        User = "user",
        /// 2
        Mail = "mail",
        /// 3
        Daemon = "daemon",
        /// 4
        Auth = "auth",
        /// 5
        Syslog = "syslog",
        /// 6
        Lpr = "lpr",
        /// 7
        News = "news",
        /// 8
        Uucp = "uucp",
        /// 9
        Cron = "cron",
        /// 10
        Auth2 = "auth2",
        /// 11
        Ftp = "ftp",
        /// 12
        Ntp = "ntp",
        /// 13
        Audit = "audit",
        /// 14
        Alert = "alert",
        /// 15
        Cron2 = "cron2",
        /// 16
        Local0 = "local0",
        /// 17
        Local1 = "local1",
        /// 18
        Local2 = "local2",
        /// 19
        Local3 = "local3",
        /// 20
        Local4 = "local4",
        /// 21
        Local5 = "local5",
        /// 22
        Local6 = "local6",
        /// 23
        Local7 = "local7",
    }
}

word_set! {
    /// Where a message ends in a stream.
    SyslogFraming {
        /// A line feed after each (RFC 6587 section 3.4.2).
        LineFeed = "line_feed",
        /// Its length and a blank before each, and no line feed (RFC 6587 section 3.4.1).
        OctetCount = "octet_count",
    }
}

word_set! {
    /// What a message begins with.
    SyslogForm {
        /// `<134>Nov 21 10:00:00 tag[pid]: `: RFC 3164 without the host name, as a local syslog server expects it.
        Local = "local",
        /// `<134>Nov 21 10:00:00 host tag[pid]: ` (RFC 3164 section 4.1).
        Rfc3164 = "rfc3164",
        /// `<134>1 2026-11-21T10:00:00.000000+00:00 host tag pid - - ` (RFC 5424 section 6), with structured data where the
        /// access log has some.
        Rfc5424 = "rfc5424",
        /// `<134>`.
        Priority = "priority",
        /// `<6>`, without the facility, as systemd takes it.
        Short = "short",
        /// `<6>2026-11-21T10:00:00.000000+00:00 `.
        Timed = "timed",
        /// `2026-11-21T10:00:00.000000+00:00 `.
        Iso = "iso",
        /// Nothing.
        Raw = "raw",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, printed: Option<&str>| {
            let parsed = SyslogAddress::parse(text);
            assert_eq!(
                parsed.as_ref().map(ToString::to_string).as_deref(),
                printed,
                "{text}"
            );
            if let Some(address) = parsed {
                assert_eq!(
                    SyslogAddress::parse(&address.to_string()),
                    Some(address),
                    "{text}"
                );
            }
        };
        check("127.0.0.1", Some("127.0.0.1:514"));
        check("127.0.0.1:5140", Some("127.0.0.1:5140"));
        check("loghost", Some("loghost:514"));
        check("log.example.com:515", Some("log.example.com:515"));
        check("::1", Some("[::1]:514"));
        check("[::1]:515", Some("[::1]:515"));
        check("::1:", Some("[::1]:514"));
        check("[2001:db8::1]", Some("[2001:db8::1]:514"));
        check("udp@10.0.0.1:1", Some("10.0.0.1:1"));
        check("tcp@10.0.0.1:1", Some("tcp@10.0.0.1:1"));
        check("tcp@loghost", Some("tcp@loghost:514"));
        check("/dev/log", Some("/dev/log"));
        check("stdout", Some("stdout"));
        check("stderr", Some("stderr"));
        check("fd@3", Some("fd@3"));
        for wrong in [
            "",
            ":514",
            "fd@",
            "fd@x",
            "a b",
            "1.2.3.4:0",
            "h:x",
            "ring@a",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn samples() {
        let check = |text: &str, printed: Option<&str>, taken: &[u32]| {
            let parsed = Sample::parse(text);
            assert_eq!(parsed.as_ref().map(ToString::to_string).as_deref(), printed);
            let takes = |position: &u32| parsed.as_ref().is_some_and(|it| it.takes(*position));
            assert_eq!((0..10).filter(takes).collect::<Vec<_>>(), taken, "{text}");
        };
        check("1:4", Some("1:4"), &[1]);
        check("3-5,1:8", Some("1,3-5:8"), &[1, 3, 4, 5]);
        for wrong in [
            "", "1", "0:1", "2:1", "3-2:4", "1,1:2", "1-3,2:4", "a:1", "1:a",
        ] {
            check(wrong, None, &[]);
        }
    }

    #[test]
    fn words_and_codes() {
        assert_eq!(LogLevel::parse("notice"), Some(LogLevel::Notice));
        assert_eq!(LogLevel::Info.code(), 6);
        assert_eq!(Facility::Local0.code(), 16);
        assert_eq!(Facility::Local7.code(), 23);
        assert_eq!(Facility::ALL.len(), 24);
        assert_eq!(SyslogForm::parse("rfc5424"), Some(SyslogForm::Rfc5424));
        assert_eq!(SyslogForm::parse("x"), None);
    }
}
