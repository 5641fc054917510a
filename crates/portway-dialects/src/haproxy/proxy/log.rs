//! Logs of a proxy: where lines go, and which form they have.

use super::Proxy;
use super::keyword::{extra, missing, word};
use crate::haproxy::{Line, Modifier, Reader, Word, ring};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::log::{Facility, LogLevel, Sample, Syslog, SyslogAddress, SyslogForm};
use portway_model::span::Spanned;

/// Shortest and longest message, as in HAProxy.
pub(crate) const LENGTHS: (u64, u64) = (80, 65_535);

/// Where syslog listens.
const SYSLOG_PORT: u16 = 514;

/// One `log` line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LogTarget {
    /// `log global`: what the global section says.
    Global,
    /// Here.
    Own(Spanned<Syslog>),
}

/// The form of a frontend's log lines.
#[derive(Debug, Clone)]
pub(crate) enum LogForm {
    /// `option tcplog`.
    Tcp,
    /// `option httplog`.
    Http,
    /// `option httplog clf`.
    CommonLog,
    /// `option httpslog`.
    Https,
    /// `log-format`.
    Own(Word),
}

/// `log`, `log-format`, `log-format-sd`, `error-log-format`, `log-tag`.
pub(super) fn log_line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    match line.text(0) {
        "log" if line.modifier == Modifier::No => {
            extra(line, 1, reader);
            proxy.logs.clear();
        }
        "log" if line.text(1) == "global" => {
            extra(line, 2, reader);
            proxy.logs.retain(|target| *target != LogTarget::Global);
            proxy.logs.push(LogTarget::Global);
        }
        "log" => {
            let targets = log_targets(line, reader);
            proxy.logs.extend(targets.into_iter().map(LogTarget::Own));
        }
        "log-tag" => proxy.log_tag = word(line, 1, "a tag", reader),
        keyword => {
            let Some(format) = line.word(1) else {
                missing(line, "a format", reader);
                return;
            };
            extra(line, 2, reader);
            match keyword {
                "log-format" => {
                    let form = LogForm::Own(format.clone());
                    proxy.log_form = Some(Spanned::new(form, line.span));
                }
                "log-format-sd" => proxy.log_sd = Some(format.clone()),
                _ => proxy.error_log = Some(format.clone()),
            }
        }
    }
}

/// `option httplog [clf]`, `option tcplog`, `option httpslog`.
pub(super) fn option(proxy: &mut Proxy, line: &Line, index: usize, reader: &mut Reader<'_>) {
    let form = match (line.text(index), line.text(index + 1)) {
        ("tcplog", _) => LogForm::Tcp,
        ("httpslog", _) => LogForm::Https,
        (_, "clf") => LogForm::CommonLog,
        _ => LogForm::Http,
    };
    let last = if matches!(form, LogForm::CommonLog) {
        index + 2
    } else {
        index + 1
    };
    extra(line, last, reader);
    proxy.log_form = Some(Spanned::new(form, line.span));
}

/// `log ADDRESS …` or `log ring@NAME …`, which means every server of the ring.
pub(crate) fn log_targets(line: &Line, reader: &mut Reader<'_>) -> Vec<Spanned<Syslog>> {
    let Some(address) = line.word(1) else {
        missing(line, "an address and a facility", reader);
        return Vec::new();
    };
    if let Some(name) = address.as_str().strip_prefix("ring@") {
        // Its servers say where messages go.
        let target = log_target(SyslogAddress::Stdout, line, reader);
        return target.map_or_else(Vec::new, |it| {
            ring::destinations(address, name, &it, reader)
        });
    }
    let to = log_address(address, reader);
    let target = to.and_then(|to| log_target(to, line, reader));
    target.into_iter().collect()
}

/// `log ADDRESS [len N] [format F] [sample RANGES:SIZE] FACILITY [LEVEL [MINIMUM]]`.
fn log_target(to: SyslogAddress, line: &Line, reader: &mut Reader<'_>) -> Option<Spanned<Syslog>> {
    let mut syslog = Syslog::new(to);
    let mut index = 2;
    while let ("len" | "format" | "sample", Some(value)) = (line.text(index), line.word(index + 1))
    {
        match line.text(index) {
            "len" => {
                let length = super::keyword::whole(value, LENGTHS.0, LENGTHS.1, reader)?;
                syslog.length = Some(u16::try_from(length).ok()?);
            }
            "format" => {
                syslog.form = known(
                    value,
                    "format of `log`",
                    SyslogForm::ALL,
                    SyslogForm::as_str,
                    reader,
                )?
            }
            _ => {
                let sample = Sample::parse(value.as_str());
                if sample.is_none() {
                    let found = Diagnostic::error(
                        Code::WrongType,
                        value.span,
                        format!("`{}` is not a sample", value.text),
                    );
                    reader.push(found.help("write ranges and a size, such as `1,3-5:8`"));
                }
                syslog.sample = Some(sample?);
            }
        }
        index += 2;
    }
    let Some(facility) = line.word(index) else {
        missing(
            line,
            "a facility, such as `local0`, behind the address",
            reader,
        );
        return None;
    };
    syslog.facility = known(
        facility,
        "facility",
        Facility::ALL,
        Facility::as_str,
        reader,
    )?;
    if let Some(level) = line.word(index + 1).filter(|level| !level.text.is_empty()) {
        syslog.max_level = known(level, "level", LogLevel::ALL, LogLevel::as_str, reader)?;
    }
    if let Some(level) = line.word(index + 2) {
        syslog.min_level = known(level, "level", LogLevel::ALL, LogLevel::as_str, reader)?;
    }
    extra(line, index + 3, reader);
    Some(Spanned::new(syslog, line.span))
}

fn log_address(word: &Word, reader: &mut Reader<'_>) -> Option<SyslogAddress> {
    let text = crate::haproxy::address::expanded(word.as_str(), reader);
    // As in HAProxy: no host is this machine, no port is that of syslog.
    let text = match text.split_once(':') {
        Some(("", "")) => format!("127.0.0.1:{SYSLOG_PORT}"),
        Some(("", port)) if port.parse::<u16>().is_ok() => format!("127.0.0.1:{port}"),
        Some((host, "")) => format!("{host}:{SYSLOG_PORT}"),
        _ => text,
    };
    let address = SyslogAddress::parse(&text);
    if address.is_none() {
        let message = format!("`{text}` is not an address that logs can go to");
        let help =
            "write `ADDRESS:PORT`, the path of a socket, `stdout`, `stderr`, `fd@N` or `ring@NAME`";
        reader.push(Diagnostic::error(Code::WrongType, word.span, message).help(help));
    }
    address
}

pub(crate) fn known<T: Copy>(
    word: &Word,
    what: &str,
    all: &[T],
    name: fn(T) -> &'static str,
    reader: &mut Reader<'_>,
) -> Option<T> {
    let found = all
        .iter()
        .copied()
        .find(|member| name(*member) == word.as_str());
    if found.is_none() {
        let names = all.iter().map(|member| name(*member));
        reader.push(crate::unknown_word(word.span, what, word.as_str(), names));
    }
    found
}
