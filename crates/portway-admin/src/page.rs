//! The page for people: what runs, and which targets are well. Rendered here, without scripts or files of its own.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use crate::json;
use portway_control::status::{GroupStatus, ListenerStatus, ProcessStatus, Status, TargetStatus};

/// Seconds between two looks of a browser that shows the page.
const REFRESH_SECONDS: u32 = 5;

/// Texts have a contrast of at least 4.5 to 1 on their ground (WCAG 2.2, 1.4.3 AA), light and dark.
const STYLE: &str = "
:root { color-scheme: light dark; --ground: #fff; --text: #1c1e21; --line: #c9ccd1; --soft: #575d66; --good: #1b6e38; --bad: #b3261e; --wait: #855300; --mark: #fdecea }
@media (prefers-color-scheme: dark) { :root { --ground: #16181b; --text: #e6e8eb; --line: #43484f; --soft: #a9b0b9; --good: #6fd08c; --bad: #ff8f86; --wait: #f0b955; --mark: #3a1d1b } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; background: var(--ground); color: var(--text) }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem } a { color: inherit }
p { margin: .2rem 0; color: var(--soft) } p.summary { color: var(--text); margin-top: .8rem; font-size: 1.05rem; font-weight: 600 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600; font-size: .85rem; color: var(--soft) } .n { text-align: right; font-variant-numeric: tabular-nums }
.healthy { color: var(--good) } .unhealthy, p.unhealthy { color: var(--bad); font-weight: 600 } .initial, .draining, .queued { color: var(--wait) } .unused, .unchecked { color: var(--soft) }
tr.marked td { background: var(--mark) } h2 .unhealthy, h2 .queued { font-size: .9rem }
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
    summary(out, &status.groups)?;
    listeners(out, &status.listeners)?;
    // What needs somebody comes first; else the order of the configuration.
    let (troubled, well): (Vec<_>, Vec<_>) = status.groups.iter().partition(|it| down(it) > 0);
    for group in troubled.into_iter().chain(well) {
        target_group(out, group)?;
    }
    out.write_str(
        "<p style=\"margin-top:2rem\">The same as <a href=\"/status\">JSON</a>; \
         <a href=\"/metrics\">metrics</a> for Prometheus.</p></body></html>\n",
    )
}

/// What a tab in the background should say.
fn title(status: &Status) -> String {
    match status.groups.iter().map(down).sum::<usize>() {
        0 => "Portway".to_owned(),
        down => format!("{down} down – Portway"),
    }
}

/// Targets of the group that are unhealthy.
fn down(group: &GroupStatus) -> usize {
    let targets = group.targets.iter();
    targets.filter(|it| is_down(it)).count()
}

/// True for what takes no traffic because of what was found of it.
fn is_down(target: &TargetStatus) -> bool {
    matches!(target.health, "unhealthy" | "ejected")
}

/// The line that says whether anybody is needed.
fn summary(out: &mut String, groups: &[GroupStatus]) -> fmt::Result {
    let all: usize = groups.iter().map(|it| it.targets.len()).sum();
    let noun = if all == 1 { "target" } else { "targets" };
    match groups.iter().map(down).sum::<usize>() {
        0 => {
            let unchecked = groups.iter().flat_map(|it| &it.targets);
            let unchecked = unchecked.filter(|it| !it.is_checked).count();
            write!(out, "<p class=summary>No unhealthy target of {all}")?;
            if unchecked > 0 {
                write!(out, " ({unchecked} not checked)")?;
            }
            out.write_str("</p>")
        }
        down => write!(
            out,
            "<p class=\"summary unhealthy\">{down} of {all} {noun} unhealthy</p>"
        ),
    }
}

/// The word for the health of a target and its class.
fn shown_health(target: &TargetStatus) -> (&'static str, &'static str) {
    let class = match target.health {
        "healthy" if !target.is_checked => "unchecked",
        "ejected" => "unhealthy",
        word => word,
    };
    (json::shown_health(target.health, target.is_checked), class)
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
    write!(out, "<h2>Target group {}", Escaped(&group.name))?;
    if down(group) > 0 {
        let (down, all) = (down(group), group.targets.len());
        write!(
            out,
            " <span class=unhealthy>{down} of {all} unhealthy</span>"
        )?;
    }
    if group.queued > 0 {
        write!(out, " <span class=queued>{} queued</span>", group.queued)?;
    }
    out.write_str(
        "</h2><table><tr><th>target<th>address<th>health<th>why<th>since\
         <th class=n>in flight<th class=n>queued<th class=n>weight</tr>",
    )?;
    let targets = group.targets.iter();
    let (troubled, well): (Vec<_>, Vec<_>) = targets.partition(|it| is_down(it));
    for target in troubled.into_iter().chain(well) {
        let (word, class) = shown_health(target);
        let row = if class == "unhealthy" {
            "<tr class=marked>"
        } else {
            "<tr>"
        };
        write!(
            out,
            "{row}<td>{}<td><code>{}</code><td class={class}>{word}<td>{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            Escaped(&target.name),
            Escaped(&address(target)),
            Escaped(&target.reason),
            Age(SystemTime::now()
                .duration_since(target.since)
                .unwrap_or_default()),
            target.in_flight,
            target.queued,
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
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

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

    fn sample(targets: &[(&'static str, bool)]) -> Status {
        let target =
            |(number, (health, is_checked)): (usize, &(&'static str, bool))| TargetStatus {
                name: format!("app{number}"),
                address: "10.0.0.1:80".to_owned(),
                resolved: None,
                health,
                is_checked: *is_checked,
                reason: "a reason".to_owned(),
                since: SystemTime::now(),
                last_check: None,
                checks_passed: 0,
                checks_failed: 0,
                in_flight: 0,
                queued: 2,
                weight: 1,
            };
        // Each target in a group of its own, and all of them in the last.
        let each = targets.iter().enumerate();
        let mut groups: Vec<GroupStatus> = each
            .map(|it| GroupStatus {
                queued: 0,
                tags: Vec::new(),
                name: format!("group{}", it.0),
                protocol: "http",
                targets: vec![target(it)],
            })
            .collect();
        groups.push(GroupStatus {
            queued: 3,
            tags: Vec::new(),
            name: "all".to_owned(),
            protocol: "http",
            targets: targets.iter().enumerate().map(target).collect(),
        });
        Status {
            process: ProcessStatus {
                version: "0.1.0",
                pid: 1,
                started: SystemTime::now(),
                uptime: Duration::from_secs(61),
                workers: 1,
                generation: 1,
                draining: false,
                memory: portway_control::status::MemoryStatus {
                    used: 0,
                    budget: 0,
                    resident: None,
                    level: "free",
                },
                files: vec!["web.toml".to_owned()],
                last_reload: None,
                rolled_back_to: None,
                last_upgrade: None,
            },
            listeners: Vec::new(),
            groups,
            circuits: Vec::new(),
            draining: Vec::new(),
            earlier: Vec::new(),
            certificates: Vec::new(),
            revocation_lists: Vec::new(),
        }
    }

    #[test]
    fn what_needs_somebody_is_said_first() {
        let check = |targets: &[(&'static str, bool)], parts: &[&str]| {
            let page = render(&sample(targets));
            let mut rest = page.as_str();
            for part in parts {
                let at = rest.find(part);
                let at =
                    at.unwrap_or_else(|| panic!("{part} is not, or not in its place, in\n{page}"));
                rest = rest.get(at + part.len()..).unwrap();
            }
        };
        check(
            &[("healthy", true), ("healthy", false)],
            &[
                "<title>Portway<",
                "No unhealthy target of 4 (2 not checked)",
                "group group0",
                "<td class=healthy>healthy",
                "group group1",
                "<td class=unchecked>not checked",
            ],
        );
        check(
            &[("healthy", true), ("unhealthy", true)],
            &[
                "<title>2 down – Portway<",
                "2 of 4 targets unhealthy",
                "group group1 <span class=unhealthy>1 of 1 unhealthy<",
                "group all <span class=unhealthy>1 of 2 unhealthy</span> <span class=queued>3 queued<",
                "<th class=n>in flight<th class=n>queued<th",
                "<tr class=marked><td>app1",
                "<td class=n>0<td class=n>2<td class=n>1</tr>",
                "<tr><td>app0",
                "group group0<",
            ],
        );
        check(&[("unhealthy", false)], &["<td class=unhealthy>unhealthy"]);
    }

    /// The relative luminance of `#rgb` or `#rrggbb` (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let digits: Vec<u32> = colour.chars().filter_map(|it| it.to_digit(16)).collect();
        let channel = |index: usize| match digits.len() {
            3 => digits[index] * 17,
            _ => digits[index * 2] * 16 + digits[index * 2 + 1],
        };
        let linear = |value: u32| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(channel(0)) + 0.7152 * linear(channel(1)) + 0.0722 * linear(channel(2))
    }

    #[test]
    fn texts_can_be_read() {
        let schemes: Vec<&str> = STYLE.split(":root {").skip(1).collect();
        assert_eq!(schemes.len(), 2, "light and dark");
        for scheme in schemes {
            let colour = |name: &str| {
                let (_, rest) = scheme.split_once(&format!("{name}: #")).unwrap();
                luminance(rest.split([';', ' ']).next().unwrap())
            };
            for ground in ["--ground", "--mark"] {
                for text in ["--text", "--soft", "--good", "--bad", "--wait"] {
                    let (a, b) = (colour(ground) + 0.05, colour(text) + 0.05);
                    let contrast = a.max(b) / a.min(b);
                    assert!(contrast >= 4.5, "{text} on {ground}: {contrast}");
                }
            }
        }
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
