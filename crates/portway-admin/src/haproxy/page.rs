//! The page of statistics: HAProxy's tables and columns in our own dress, without scripts or files of its own.

use std::fmt::{self, Write};
use std::time::Duration;

use portway_control::figures::{
    BackendFigures, CheckFigures, CompressedTotals, Figures, FrontendFigures, ProcessFigures,
    ProxyFigures, RateFigures, ServerFigures, ServerStatus,
};

use super::asked::Outcome;
use super::info::uptime;
use super::row;
use crate::page::Escaped;

/// Texts have a contrast of at least 4.5 to 1 on their ground (WCAG 2.2, 1.4.3 AA), light and dark.
const STYLE: &str = include_str!("page.css");

/// What the page is made with beside the figures.
pub(crate) struct Look<'a> {
    /// What the page's address begins with.
    pub(crate) address: &'a str,
    /// Seconds until it is loaded again.
    pub(crate) refresh: Option<u64>,
    /// The page is configured to be loaded again.
    pub(crate) refreshes: bool,
    /// Servers that are down are left out.
    pub(crate) hides_down: bool,
    /// Only proxies whose names hold this.
    pub(crate) scope: &'a str,
    /// The name of the machine, where it is shown.
    pub(crate) node: Option<&'a str>,
    /// A description.
    pub(crate) description: Option<&'a str>,
    /// The version is not told.
    pub(crate) hides_version: bool,
    /// Addresses, algorithms and cookies are shown.
    pub(crate) legends: bool,
    /// States may be changed.
    pub(crate) admin: bool,
    /// What became of a change.
    pub(crate) outcome: Option<Outcome>,
}

/// What may be done to checked servers: HAProxy's word, and what people read.
pub(crate) const ACTIONS: [(&str, &str); 13] = [
    ("ready", "Set state to READY"),
    ("drain", "Set state to DRAIN"),
    ("maint", "Set state to MAINT"),
    ("dhlth", "Health: disable checks"),
    ("ehlth", "Health: enable checks"),
    ("hrunn", "Health: force UP"),
    ("hnolb", "Health: force NOLB"),
    ("hdown", "Health: force DOWN"),
    ("dagent", "Agent: disable checks"),
    ("eagent", "Agent: enable checks"),
    ("arunn", "Agent: force UP"),
    ("adown", "Agent: force DOWN"),
    ("shutdown", "Kill Sessions"),
];

/// The page, of these proxies.
pub(crate) fn render(figures: &Figures, proxies: &[&ProxyFigures], look: &Look<'_>) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut page, figures, proxies, look);
    page
}

fn write(
    out: &mut String,
    figures: &Figures,
    proxies: &[&ProxyFigures],
    look: &Look<'_>,
) -> fmt::Result {
    let on = look
        .node
        .map_or_else(String::new, |node| format!(" on {}", Escaped(node)));
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\">"
    )?;
    if let Some(seconds) = look.refresh {
        write!(out, "<meta http-equiv=\"refresh\" content=\"{seconds}\">")?;
    }
    write!(
        out,
        "<title>Statistics{on}</title><style>{STYLE}</style></head><body>"
    )?;
    let process = &figures.process;
    let version = match look.hides_version {
        true => String::new(),
        false => format!(" <small>HAProxy {}</small>", Escaped(&process.version)),
    };
    write!(out, "<h1>Portway{on}{version}</h1>")?;
    if let Some(description) = look.description {
        write!(out, "<p>{}</p>", Escaped(description))?;
    }
    if let Some(outcome) = look.outcome {
        let address = Escaped(look.address);
        write!(
            out,
            "<p class=outcome>{} <a href=\"{address}\">Close</a></p>",
            outcome.says()
        )?;
    }
    out.write_str("<div class=top>")?;
    general(out, process)?;
    out.write_str(LEGEND)?;
    options(out, look)?;
    out.write_str("</div>")?;
    for proxy in proxies {
        table(out, proxy, look)?;
    }
    out.write_str("</body></html>\n")
}

const LEGEND: &str = "<div class=box><h2>Colours</h2><div class=legend>\
    <span class=up>active UP</span><span class=backup>backup UP</span>\
    <span class=falling>UP, going down</span><span class=rising>DOWN, going up</span>\
    <span class=down>DOWN</span><span class=unchecked>not checked</span>\
    <span class=maint>maintenance (MAINT)</span><span class=drain>soft stopped (DRAIN, NOLB)</span></div></div>";

fn general(out: &mut String, process: &ProcessFigures) -> fmt::Result {
    let limit = |limit: u64| match limit {
        0 => "unlimited".to_owned(),
        limit => grouped(limit),
    };
    write!(
        out,
        "<div class=box><h2>General process information</h2><dl>\
         <dt>pid<dd>{} ({} {})\
         <dt>uptime<dd>{}\
         <dt>open files<dd>at most {}\
         <dt>maxconn<dd>{}\
         <dt>current conns<dd>{}\
         <dt>conn rate<dd>{}/s\
         <dt>bit rate<dd>{}</dl></div>",
        process.pid,
        process.workers,
        if process.workers == 1 {
            "worker"
        } else {
            "workers"
        },
        uptime(process.uptime),
        limit(process.max_descriptors),
        limit(process.max_connections.into()),
        grouped(process.connections.into()),
        grouped(process.connection_rate.now),
        bits(process.sent_rate.now),
    )
}

fn options(out: &mut String, look: &Look<'_>) -> fmt::Result {
    let address = Escaped(look.address).to_string();
    let scope = match look.scope {
        "" => String::new(),
        scope => format!("?scope={}", Escaped(scope)),
    };
    let up = if look.hides_down { ";up" } else { "" };
    let still = look.refreshes && look.refresh.is_none();
    let no_refresh = if still { ";norefresh" } else { "" };
    write!(
        out,
        "<div class=box><h2>Display options</h2><ul>\
         <li><form method=get action=\"{address}\"><label>Scope <input name=scope size=8 maxlength=20 value=\"{}\">\
         </label></form>",
        Escaped(look.scope)
    )?;
    let (toggle, says) = match look.hides_down {
        true => ("", "Show all servers"),
        false => (";up", "Hide servers that are down"),
    };
    write!(
        out,
        "<li><a href=\"{address}{toggle}{no_refresh}{scope}\">{says}</a>"
    )?;
    if look.refreshes {
        let (toggle, says) = match still {
            true => ("", "Enable refresh"),
            false => (";norefresh", "Disable refresh"),
        };
        write!(
            out,
            "<li><a href=\"{address}{up}{toggle}{scope}\">{says}</a>"
        )?;
    }
    write!(
        out,
        "<li><a href=\"{address}{up}{no_refresh}{scope}\">Refresh now</a>\
         <li><a href=\"{address};csv;norefresh{scope}\">CSV</a> · \
         <a href=\"{address};json;norefresh{scope}\">JSON</a> (<a href=\"{address};json-schema\">schema</a>)\
         </ul></div>"
    )
}

/// The head of every table: groups of columns, and columns.
const HEAD: &str = "<th colspan=3 class=g>Queue<th colspan=3 class=g>Session rate<th colspan=6 class=g>Sessions\
    <th colspan=2 class=g>Bytes<th colspan=2 class=g>Denied<th colspan=3 class=g>Errors<th colspan=2 class=g>Warnings\
    <th colspan=9 class=g>Server</tr><tr>\
    <th class=g>Cur<th>Max<th>Limit<th class=g>Cur<th>Max<th>Limit\
    <th class=g>Cur<th>Max<th>Limit<th>Total<th>LbTot<th>Last<th class=g>In<th>Out<th class=g>Req<th>Resp\
    <th class=g>Req<th>Conn<th>Resp<th class=g>Retr<th>Redis<th class=\"g t\">Status<th class=t>LastChk<th>Wght\
    <th>Act<th>Bck<th>Chk<th>Dwn<th>Dwntme<th>Thrtle</tr></thead><tbody>";

fn table(out: &mut String, proxy: &ProxyFigures, look: &Look<'_>) -> fmt::Result {
    let name = Escaped(&proxy.name).to_string();
    let admin = look.admin && proxy.backend.is_some() && !proxy.servers.is_empty();
    let about = match look.legends {
        true => legend_of(proxy),
        false => String::new(),
    };
    write!(
        out,
        "<section><h2 id=\"{name}\"><a href=\"#{name}\">{name}</a>{about}</h2>"
    )?;
    if admin {
        let address = Escaped(look.address);
        write!(out, "<form method=post action=\"{address}\">")?;
    }
    write!(out, "<div class=wide><table><thead><tr>")?;
    if admin {
        out.write_str("<th rowspan=2>")?;
    }
    write!(out, "<th rowspan=2>{HEAD}")?;
    if let Some(it) = &proxy.frontend {
        frontend(out, proxy, it, admin)?;
    }
    let down = |it: &ServerFigures| !it.status.takes_traffic() && !it.status.is_leaving();
    for it in proxy
        .servers
        .iter()
        .filter(|it| !(look.hides_down && down(it)))
    {
        server(out, proxy, it, admin, look.legends)?;
    }
    if let Some(it) = &proxy.backend {
        backend(out, proxy, it, admin, look.legends)?;
    }
    out.write_str("</tbody></table>")?;
    if admin {
        actions(out, proxy)?;
    }
    out.write_str("</div>")?;
    out.write_str(if admin {
        "</form></section>"
    } else {
        "</section>"
    })
}

fn legend_of(proxy: &ProxyFigures) -> String {
    let side = match (&proxy.frontend, &proxy.backend) {
        (Some(_), Some(_)) => "proxy",
        (Some(_), None) => "frontend",
        _ => "backend",
    };
    let mode = if proxy.is_http { "http" } else { "tcp" };
    format!(" <small>{side}, mode {mode}, id {}</small>", proxy.number)
}

fn actions(out: &mut String, proxy: &ProxyFigures) -> fmt::Result {
    write!(
        out,
        "<div class=admin><label>With the checked servers: <select name=action><option value=\"\"></option>"
    )?;
    for (word, says) in ACTIONS {
        write!(out, "<option value={word}>{says}</option>")?;
    }
    write!(
        out,
        "</select></label><input type=hidden name=b value=\"#{}\"> <button>Apply</button></div>",
        proxy.number
    )
}

/// The first cells of a row.
fn begin(
    out: &mut String,
    class: &str,
    name: &str,
    tick: Option<&str>,
    about: &str,
) -> fmt::Result {
    write!(out, "<tr class=\"{class}\">")?;
    if let Some(tick) = tick {
        out.write_str("<td>")?;
        if !tick.is_empty() {
            let tick = Escaped(tick);
            write!(
                out,
                "<input type=checkbox name=s value=\"{tick}\" aria-label=\"{tick}\">"
            )?;
        }
    }
    write!(out, "<th>{name}")?;
    if !about.is_empty() {
        write!(out, " <small>{about}</small>")?;
    }
    out.write_str("</th>")
}

fn frontend(
    out: &mut String,
    proxy: &ProxyFigures,
    it: &FrontendFigures,
    admin: bool,
) -> fmt::Result {
    begin(out, "frontend", "Frontend", admin.then_some(""), "")?;
    let totals = &it.totals;
    out.write_str("<td class=g colspan=3>")?;
    rate(out, it.session_rate)?;
    let requests = match proxy.is_http {
        true => classes(
            "Requests",
            it.requests(),
            &totals.requests,
            totals.unanswered,
        ),
        false => String::new(),
    };
    sessions(
        out,
        it.sessions,
        Some(it.limit.into()),
        totals.connections,
        &requests,
    )?;
    out.write_str("<td><td>")?;
    let compressed = compression(&totals.compressed);
    bytes(out, totals.received_bytes, (totals.sent_bytes, &compressed))?;
    write!(
        out,
        "<td class=g>{}<td>{}<td class=g>{}<td><td><td class=g><td>",
        grouped(totals.denied_requests),
        grouped(totals.denied_responses),
        grouped(totals.request_errors),
    )?;
    let status = row::frontend_status(it);
    write!(out, "<td class=\"g t\">{status}<td colspan=8></tr>")
}

fn server(
    out: &mut String,
    proxy: &ProxyFigures,
    it: &ServerFigures,
    admin: bool,
    legends: bool,
) -> fmt::Result {
    let about = match legends {
        true => server_legend(it),
        false => String::new(),
    };
    let tick = admin.then_some(it.name.as_str());
    let name = Escaped(&it.name).to_string();
    begin(out, server_class(it), &name, tick, &about)?;
    queue(out, it.queue, None)?;
    rate(out, it.session_rate)?;
    let totals = &it.totals;
    let limit = Some(it.limit.into()).filter(|limit: &u64| *limit > 0);
    let mut details = String::new();
    if proxy.is_http {
        let requests = totals.requests.iter().sum();
        details = classes("Requests", requests, &totals.requests, 0);
    }
    details.push_str(&times(&totals.times));
    sessions(out, it.sessions, limit, totals.sessions, &details)?;
    write!(
        out,
        "<td>{}<td>{}",
        grouped(totals.selections),
        last(it.last_session)
    )?;
    bytes(out, totals.received_bytes, (totals.sent_bytes, ""))?;
    write!(out, "<td class=g><td>{}", grouped(totals.denied_responses))?;
    out.write_str("<td class=g>")?;
    failures(out, &totals.failures)?;
    warnings(
        out,
        totals.retries - totals.redispatches.min(totals.retries),
        totals.redispatches,
    )?;
    let status = row::server_status(it);
    write!(
        out,
        "<td class=\"g t\">{} {}<td class=t>{}<td>{}<td>{}<td>{}",
        age(it.since),
        Escaped(&status),
        it.check
            .as_ref()
            .map(|check| last_check(it, check))
            .unwrap_or_default(),
        it.weight,
        if it.is_backup { "-" } else { "Y" },
        if it.is_backup { "Y" } else { "-" },
    )?;
    match &it.check {
        Some(check) => write!(
            out,
            "<td>{}<td>{}<td>{}<td>-</tr>",
            grouped(check.failed),
            grouped(it.downs),
            age(it.down_time)
        ),
        None => out.write_str("<td><td><td><td>-</tr>"),
    }
}

fn server_legend(it: &ServerFigures) -> String {
    let address = match it.address {
        Some(address) => address.to_string(),
        None => it.configured_address.clone(),
    };
    let mut about = format!("{}, id {}", Escaped(&address), it.number);
    if let Some(cookie) = &it.cookie {
        let _ = write!(about, ", cookie {}", Escaped(cookie));
    }
    about
}

fn server_class(it: &ServerFigures) -> &'static str {
    match it.status {
        ServerStatus::Up if it.is_backup => "backup",
        ServerStatus::Up => "up",
        ServerStatus::GoingDown => "falling",
        ServerStatus::GoingUp => "rising",
        ServerStatus::Down => "down",
        ServerStatus::Unchecked => "unchecked",
        ServerStatus::Stopping | ServerStatus::StoppingDown | ServerStatus::Drain => "drain",
        ServerStatus::Maintenance | ServerStatus::Unresolved => "maint",
    }
}

/// `L7OK/200 in 3ms`.
fn last_check(it: &ServerFigures, check: &CheckFigures) -> String {
    if matches!(
        it.status,
        ServerStatus::Maintenance | ServerStatus::Unresolved
    ) {
        return String::new();
    }
    let Some(outcome) = check.outcome else {
        return "-".to_owned();
    };
    let (word, says) = (outcome.as_str(), outcome.description());
    let code = check
        .code
        .map_or_else(String::new, |code| format!("/{code}"));
    let took = check
        .took
        .map_or_else(String::new, |took| format!(" in {}ms", took.as_millis()));
    let why = check
        .reason
        .as_deref()
        .map_or_else(String::new, |why| format!(": {why}"));
    format!(
        "<span title=\"{}\">{word}{code}{took}</span>",
        Escaped(&format!("{says}{why}"))
    )
}

fn backend(
    out: &mut String,
    proxy: &ProxyFigures,
    it: &BackendFigures,
    admin: bool,
    legends: bool,
) -> fmt::Result {
    let about = match (legends, &it.cookie) {
        (false, _) => String::new(),
        (true, None) => it.algorithm.to_owned(),
        (true, Some(cookie)) => format!("{}, cookie {}", it.algorithm, Escaped(cookie)),
    };
    begin(out, "backend", "Backend", admin.then_some(""), &about)?;
    queue(out, it.queue, None)?;
    rate(out, it.session_rate)?;
    let totals = &it.totals;
    let mut details = match proxy.is_http {
        true => classes(
            "Requests",
            totals.sessions,
            &totals.answers,
            totals.unanswered,
        ),
        false => String::new(),
    };
    details.push_str(&times(&it.times));
    let now = (
        row::narrow(totals.sessions_open),
        row::narrow(totals.sessions_peak),
    );
    sessions(out, now, Some(it.limit.into()), totals.sessions, &details)?;
    write!(
        out,
        "<td>{}<td>{}",
        grouped(it.selections),
        last(it.last_session)
    )?;
    let compressed = compression(&totals.compressed);
    bytes(out, totals.received_bytes, (totals.sent_bytes, &compressed))?;
    write!(
        out,
        "<td class=g>{}<td>{}<td class=g>",
        grouped(totals.denied_requests),
        grouped(totals.denied_responses)
    )?;
    failures(out, &totals.failures)?;
    warnings(
        out,
        totals.retries - totals.redispatches.min(totals.retries),
        totals.redispatches,
    )?;
    write!(
        out,
        "<td class=\"g t\">{} {}<td><td>{}<td>{}<td>{}<td><td>{}<td>{}<td></tr>",
        age(it.since),
        if it.is_up { "UP" } else { "DOWN" },
        it.weight,
        it.active,
        it.backups,
        grouped(it.downs),
        age(it.down_time),
    )
}

fn queue(out: &mut String, (now, most): (u32, u32), limit: Option<u32>) -> fmt::Result {
    let limit = limit.map_or_else(|| "-".to_owned(), |limit| grouped(limit.into()));
    write!(
        out,
        "<td class=g>{}<td>{}<td>{limit}",
        grouped(now.into()),
        grouped(most.into())
    )
}

fn rate(out: &mut String, rate: RateFigures) -> fmt::Result {
    write!(
        out,
        "<td class=g>{}<td>{}<td>-",
        grouped(rate.now),
        grouped(rate.most)
    )
}

fn sessions(
    out: &mut String,
    (now, most): (u32, u32),
    limit: Option<u64>,
    total: u64,
    details: &str,
) -> fmt::Result {
    let limit = limit.map_or_else(|| "-".to_owned(), grouped);
    write!(
        out,
        "<td class=g>{}<td>{}<td>{limit}",
        grouped(now.into()),
        grouped(most.into())
    )?;
    match details.trim_end() {
        "" => write!(out, "<td>{}", grouped(total)),
        details => write!(
            out,
            "<td><span title=\"{}\">{}</span>",
            Escaped(details),
            grouped(total)
        ),
    }
}

fn bytes(out: &mut String, received: u64, (sent, details): (u64, &str)) -> fmt::Result {
    write!(out, "<td class=g>{}", grouped(received))?;
    match details {
        "" => write!(out, "<td>{}", grouped(sent)),
        _ => write!(
            out,
            "<td><span title=\"{details}\">{}</span>",
            grouped(sent)
        ),
    }
}

/// What compression made of responses; nothing where there were none.
fn compression(it: &CompressedTotals) -> String {
    if it.responses + it.bytes_in + it.bypassed == 0 {
        return String::new();
    }
    let percent = (it.bytes_out * 100).checked_div(it.bytes_in).unwrap_or(0);
    format!(
        "Compressed: {} responses, {} bytes to {} ({percent} %), {} bytes saved; {} bytes went around it",
        grouped(it.responses),
        grouped(it.bytes_in),
        grouped(it.bytes_out),
        grouped(it.bytes_in.saturating_sub(it.bytes_out)),
        grouped(it.bypassed),
    )
}

fn failures(out: &mut String, failures: &portway_control::figures::FailureTotals) -> fmt::Result {
    write!(
        out,
        "<td>{}<td><span title=\"Given up while they went on: {} by clients, {} by servers\">{}</span>",
        grouped(failures.connection),
        grouped(failures.client_aborts),
        grouped(failures.target_aborts),
        grouped(failures.response),
    )
}

fn warnings(out: &mut String, retries: u64, redispatches: u64) -> fmt::Result {
    write!(
        out,
        "<td class=g>{}<td>{}",
        grouped(retries),
        grouped(redispatches)
    )
}

fn classes(what: &str, total: u64, classes: &[u64; 5], other: u64) -> String {
    let mut text = format!("{what}: {}\n", grouped(total));
    for (class, count) in (1..).zip(classes) {
        let _ = writeln!(text, "{class}xx: {}", grouped(*count));
    }
    let _ = writeln!(text, "other: {}", grouped(other));
    text
}

fn times(times: &portway_control::figures::Times) -> String {
    if times.count == 0 {
        return String::new();
    }
    let mut text = "Longest / average ms of the latest:\n".to_owned();
    for (what, (average, longest)) in [
        ("queue", times.queue),
        ("connect", times.connect),
        ("response", times.response),
        ("total", times.total),
    ] {
        let _ = writeln!(
            text,
            "{what}: {} / {}",
            longest.as_millis(),
            average.as_millis()
        );
    }
    text
}

fn last(time: Option<Duration>) -> String {
    time.map_or_else(|| "?".to_owned(), age)
}

/// The two largest units: `3m20s`.
pub(crate) fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            // A space that does not break the line.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn bits(bytes: u64) -> String {
    let bits = bytes.saturating_mul(8);
    match bits {
        0..1_000 => format!("{bits} bps"),
        1_000..1_000_000 => format!("{}.{} kbps", bits / 1_000, bits / 100 % 10),
        1_000_000..1_000_000_000 => format!("{}.{} Mbps", bits / 1_000_000, bits / 100_000 % 10),
        _ => format!("{}.{} Gbps", bits / 1_000_000_000, bits / 100_000_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1\u{202f}000"),
            (1_234_567, "1\u{202f}234\u{202f}567"),
        ] {
            assert_eq!(grouped(number), expected);
        }
        for (seconds, expected) in [(0, "0s"), (61, "1m1s"), (7_265, "2h1m"), (180_000, "2d2h")] {
            assert_eq!(age(Duration::from_secs(seconds)), expected);
        }
        for (bytes, expected) in [
            (0, "0 bps"),
            (200, "1.6 kbps"),
            (1_000_000, "8.0 Mbps"),
            (2_000_000_000, "16.0 Gbps"),
        ] {
            assert_eq!(bits(bytes), expected);
        }
    }
}
