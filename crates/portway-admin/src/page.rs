//! The page for people: what runs, and which targets are well. Rendered here, without scripts or files of its own.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use portway_control::status::{GroupStatus, ListenerStatus, ProcessStatus, Status, TargetStatus};

/// Seconds between two looks of a browser that shows the page.
const REFRESH_SECONDS: u32 = 5;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8888; --good: #2a8a4a; --bad: #c8372d; --wait: #b07b00 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem }
p { margin: .2rem 0; color: var(--soft) }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600; font-size: .85rem; color: var(--soft) } .n { text-align: right; font-variant-numeric: tabular-nums }
.healthy { color: var(--good) } .unhealthy { color: var(--bad) } .initial, .draining { color: var(--wait) } .unused { color: var(--soft) }
code { font-size: .92em }
";

/// The page.
pub(crate) fn render(status: &Status) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut page, status);
    page
}

fn write(out: &mut String, status: &Status) -> fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">\
         <title>{}</title><style>{STYLE}</style></head><body>",
        title(status)
    )?;
    process(out, &status.process)?;
    listeners(out, &status.listeners)?;
    for group in &status.groups {
        target_group(out, group)?;
    }
    out.write_str(
        "<p style=\"margin-top:2rem\">The same as <a href=\"/status\">JSON</a>; \
         <a href=\"/metrics\">metrics</a> for Prometheus.</p></body></html>\n",
    )
}

/// What a tab in the background should say.
fn title(status: &Status) -> String {
    let targets = || status.groups.iter().flat_map(|group| &group.targets);
    match targets().filter(|it| it.health == "unhealthy").count() {
        0 => "Portway".to_owned(),
        down => format!("{down} down – Portway"),
    }
}

fn process(out: &mut String, process: &ProcessStatus) -> fmt::Result {
    let stopping = if process.draining {
        " – stopping"
    } else {
        ""
    };
    let files: Vec<String> = process
        .files
        .iter()
        .map(|it| format!("<code>{}</code>", Escaped(it)))
        .collect();
    write!(
        out,
        "<h1>Portway {}{stopping}</h1><p>up {} · {} {} · process {} · {}</p>",
        process.version,
        Age(process.uptime),
        process.workers,
        if process.workers == 1 {
            "worker"
        } else {
            "workers"
        },
        process.pid,
        files.join(", "),
    )
}

fn listeners(out: &mut String, listeners: &[ListenerStatus]) -> fmt::Result {
    out.write_str(
        "<h2>Listeners</h2><table><tr><th>name<th>address<th>protocol\
         <th class=n>open connections<th class=n>requests</tr>",
    )?;
    for listener in listeners {
        write!(
            out,
            "<tr><td>{}<td><code>{}</code><td>{}<td class=n>{}<td class=n>{}</tr>",
            Escaped(&listener.name),
            Escaped(&listener.addresses.join(", ")),
            listener.protocol,
            listener.connections,
            listener.requests,
        )?;
    }
    out.write_str("</table>")
}

fn target_group(out: &mut String, group: &GroupStatus) -> fmt::Result {
    write!(
        out,
        "<h2>Target group {}</h2><table><tr><th>target<th>address<th>health<th>why<th>since\
         <th class=n>in flight<th class=n>weight</tr>",
        Escaped(&group.name)
    )?;
    for target in &group.targets {
        write!(
            out,
            "<tr><td>{}<td><code>{}</code><td class={}>{}<td>{}<td>{}<td class=n>{}<td class=n>{}</tr>",
            Escaped(&target.name),
            Escaped(&address(target)),
            target.health,
            target.health,
            Escaped(&target.reason),
            Age(SystemTime::now()
                .duration_since(target.since)
                .unwrap_or_default()),
            target.in_flight,
            target.weight,
        )?;
    }
    out.write_str("</table>")
}

fn address(target: &TargetStatus) -> String {
    match &target.resolved {
        Some(resolved) => format!("{} → {resolved}", target.address),
        None => target.address.clone(),
    }
}

/// A text that means itself in HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

/// A duration in its two largest units.
struct Age(Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, _, _) => write!(f, "{hours} h {minutes} min"),
            (_, _, _) => write!(f, "{days} d {hours} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_mean_themselves() {
        let check = |text: &str, expected: &str| assert_eq!(Escaped(text).to_string(), expected);
        check("web-1", "web-1");
        check(
            "<b onload='x'>\"&",
            "&lt;b onload=&#39;x&#39;&gt;&quot;&amp;",
        );
    }

    #[test]
    fn ages() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(Age(Duration::from_secs(seconds)).to_string(), expected);
        };
        check(0, "0 s");
        check(59, "59 s");
        check(61, "1 min 1 s");
        check(3_661, "1 h 1 min");
        check(90_000, "1 d 1 h");
    }
}
