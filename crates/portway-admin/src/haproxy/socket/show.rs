//! Commands that show.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::SystemTime;

use portway_control::descriptors;
use portway_control::figures::{
    CheckWord, Figures, ProxyFigures, ServerFigures, ServerStatus, local_time,
    version as version_of,
};
use portway_control::world::with_inputs;
use tokio::task::spawn_blocking;

use super::command::{Answer, Eventually};
use super::{Session, Tone};
use crate::haproxy::field::Field;
use crate::haproxy::info as process;
use crate::haproxy::print::{self, Form};
use crate::haproxy::row::{self, Object, Row};

/// The words of `show info` and `show stat` that say how.
#[derive(Debug, Clone, Copy)]
struct How {
    form: Form,
    says: bool,
    float: bool,
    up: bool,
    no_maintenance: bool,
}

fn how(words: &[&str]) -> How {
    let has = |word: &str| words.contains(&word);
    How {
        form: match (has("json"), has("typed")) {
            (true, _) => Form::Json,
            (false, true) => Form::Typed,
            (false, false) => Form::Plain,
        },
        says: has("desc"),
        float: has("float"),
        up: has("up"),
        no_maintenance: has("no-maint"),
    }
}

/// `show info`.
pub(super) fn info(session: &mut Session, words: &[&str]) -> Answer {
    let how = how(words);
    let lines = process::lines(&session.figures(), how.float);
    let mut text = String::new();
    print::table(&lines, how.form, how.says, &mut text);
    Ok(text)
}

/// `show stat [PROXY TYPES SERVER] …`.
pub(super) fn stat(session: &mut Session, words: &[&str]) -> Answer {
    let figures = session.figures();
    let how = how(words);
    let wanted = match words {
        [proxy, types, server, ..] if types.parse::<i64>().is_ok() => {
            let proxy = match proxy.parse::<i64>() {
                Ok(number) => Some(number).filter(|number| *number >= 0),
                Err(_) => match proxy_named(&figures, proxy) {
                    Some(it) => Some(i64::from(it.number)),
                    None => return Err("No such proxy.\n".to_owned()),
                },
            };
            let server = server.parse::<i64>().ok().filter(|number| *number >= 0);
            (proxy, types.parse::<i64>().unwrap_or(-1), server)
        }
        [_, types, _, ..] if !is_word(types) => return Err("No such proxy.\n".to_owned()),
        _ => (None, -1, None),
    };
    let rows = figures.proxies.iter().flat_map(row::rows);
    let rows: Vec<Row> = rows
        .filter(|it| is_wanted(it, wanted) && is_shown(it, how))
        .collect();
    let legends = session.level >= portway_control::services::ControlLevel::Operator;
    let rows = rows.into_iter();
    let rows = rows.map(|it| if legends { it } else { it.without_legends() });
    Ok(written(rows, how))
}

/// A word that says how, and not which.
fn is_word(word: &str) -> bool {
    ["json", "typed", "desc", "up", "no-maint"].contains(&word)
}

fn is_wanted(row: &Row, (proxy, types, server): (Option<i64>, i64, Option<i64>)) -> bool {
    proxy.is_none_or(|number| number == i64::from(row.proxy))
        && types & i64::from(row.object.bit()) != 0
        && (row.object != Object::Server || server.is_none_or(|id| id == i64::from(row.id)))
}

fn is_shown(row: &Row, how: How) -> bool {
    if row.object != Object::Server {
        return true;
    }
    let status = row.show(Field::Status);
    !(how.up && (status.starts_with("DOWN") || status.starts_with("MAINT")))
        && !(how.no_maintenance && status.starts_with("MAINT"))
}

fn written(rows: impl Iterator<Item = Row>, how: How) -> String {
    let mut text = String::new();
    match how.form {
        Form::Plain => {
            print::csv_header(&mut text);
            rows.for_each(|row| print::csv_row(&row, &mut text));
        }
        Form::Typed => rows.for_each(|row| print::typed_row(&row, how.says, &mut text)),
        Form::Json => {
            text.push('[');
            for (nth, row) in rows.enumerate() {
                if nth > 0 {
                    text.push(',');
                }
                print::json_row(&row, how.says, &mut text);
            }
            text.push_str("]\n");
        }
    }
    text
}

/// `show schema json`.
pub(super) fn schema(_: &mut Session, _: &[&str]) -> Answer {
    Ok(print::SCHEMA.to_owned())
}

/// `show backend`.
pub(super) fn backends(session: &mut Session, _: &[&str]) -> Answer {
    let mut text = "# name\n".to_owned();
    for proxy in session
        .figures()
        .proxies
        .iter()
        .filter(|it| it.backend.is_some())
    {
        text.push_str(&proxy.name);
        text.push('\n');
    }
    Ok(text)
}

/// The backends that are asked for, or what to say where there is none of that name.
fn asked_for<'a>(
    figures: &'a Figures,
    words: &[&str],
) -> Result<Vec<&'a ProxyFigures>, &'static str> {
    let backends = figures.proxies.iter().filter(|it| it.backend.is_some());
    let Some(name) = words.first().filter(|name| !name.is_empty()) else {
        return Ok(backends.collect());
    };
    let found: Vec<&ProxyFigures> = backends.filter(|it| it.name == *name).collect();
    match found.is_empty() {
        true => Err("Can't find backend.\n"),
        false => Ok(found),
    }
}

/// The columns of `show servers state`, version 1 of the form.
const STATE: &str = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
    srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
    bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
    srv_agent_addr srv_agent_port\n";

/// `show servers state [BACKEND]`.
pub(super) fn servers_state(session: &mut Session, words: &[&str]) -> Answer {
    let figures = session.figures();
    let backends = asked_for(&figures, words)?;
    let mut text = format!("1\n{STATE}");
    for proxy in backends {
        for server in &proxy.servers {
            state_of(proxy, server, &mut text);
        }
    }
    Ok(text)
}

/// Bits of `srv_admin_state`: told by a person, as configured, drained by a person, name not resolved.
const FORCED_MAINTENANCE: u8 = 0x01;
const CONFIGURED_MAINTENANCE: u8 = 0x04;
const FORCED_DRAIN: u8 = 0x08;
const UNRESOLVED: u8 = 0x20;

fn state_of(proxy: &ProxyFigures, it: &ServerFigures, text: &mut String) {
    // 0: stopped, 2: running, 3: stopping.
    let state = match it.status {
        ServerStatus::Stopping | ServerStatus::StoppingDown => 3,
        status if status.takes_traffic() || status.is_leaving() => 2,
        _ => 0,
    };
    let admin = match it.status {
        ServerStatus::Maintenance if it.is_disabled => FORCED_MAINTENANCE | CONFIGURED_MAINTENANCE,
        ServerStatus::Maintenance => FORCED_MAINTENANCE,
        ServerStatus::Unresolved => UNRESOLVED,
        ServerStatus::Drain => FORCED_DRAIN,
        _ => 0,
    };
    // 1: initialising; results: 2 failed, 3 passed, 4 conditionally; states: 2 configured, 4 enabled, 8 paused.
    let (status, result, health, check_state) = match &it.check {
        None => {
            let state = if it.has_check { 2 } else { 0 };
            (1, 0, u32::from(!it.is_added), state)
        }
        Some(check) => {
            let outcome = check.outcome;
            let result = outcome.map_or(0, |it| match it {
                CheckWord::L7OkConditionally => 4,
                it if it.passed() => 3,
                _ => 2,
            });
            let paused = matches!(
                it.status,
                ServerStatus::Maintenance | ServerStatus::Unresolved
            );
            let state = if paused { 14 } else { 6 };
            (
                outcome.map_or(1, |it| it.number()),
                result,
                check.health,
                state,
            )
        }
    };
    let address = it
        .address
        .map_or_else(|| "-".to_owned(), |it| it.ip().to_string());
    let port = it.address.map_or(0, |it| it.port());
    // 16: of an agent.
    let agent_state = match (it.has_agent, &it.agent) {
        (false, _) => 0,
        (true, None) => 18,
        (true, Some(_)) => 22,
    };
    let (agent_address, agent_port) = it.agent_place;
    let agent_address = agent_address.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let name = it.name_to_resolve.as_deref().unwrap_or("-");
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} {} {} {} {address} {} {admin} {} {} {} {status} {result} {health} {check_state} {agent_state} {} {} {name} {port} - {} \
         {} {} {} {}",
        proxy.number,
        proxy.name,
        it.number,
        it.name,
        state,
        it.whole_weight,
        it.configured_weight,
        it.since.as_secs(),
        u8::from(proxy.is_numbered),
        u8::from(it.is_numbered),
        u8::from(it.is_tls),
        it.check_port,
        it.check_address
            .map_or_else(|| "-".to_owned(), |ip| ip.to_string()),
        agent_address,
        agent_port,
    );
}

/// `show servers conn [BACKEND]`.
pub(super) fn servers_connections(session: &mut Session, words: &[&str]) -> Answer {
    let figures = session.figures();
    let backends = asked_for(&figures, words)?;
    let workers = figures.process.workers;
    let mut text = format!(
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim \
         idle_cur idle_per_thr[{workers}]\n"
    );
    for proxy in backends {
        for it in &proxy.servers {
            let address = it
                .address
                .map_or_else(|| "-".to_owned(), |it| it.ip().to_string());
            let port = it.address.map_or(0, |it| it.port());
            let idle = it.totals.connections_idle;
            let used = it.totals.connections_open.saturating_sub(idle);
            let _ = writeln!(
                text,
                "{}/{} {}/{} {address} {port} - {} {used} {} {} {idle} 0 -1 {idle} {idle}",
                proxy.name,
                it.name,
                proxy.number,
                it.number,
                PURGE_DELAY,
                it.sessions.1,
                it.sessions.0,
            );
        }
    }
    Ok(text)
}

/// Milliseconds after which HAProxy begins to close idle connections, where it is not told.
const PURGE_DELAY: u32 = 5000;

/// `show errors`: refused messages are counted, and stand in access logs; they are not kept.
pub(super) fn errors(session: &mut Session, words: &[&str]) -> Answer {
    let figures = session.figures();
    if let Some(name) = words
        .first()
        .filter(|it| !["-1", "request", "response"].contains(it))
        && proxy_named(&figures, name).is_none()
    {
        return Err("No such proxy.\n".to_owned());
    }
    let now = local_time(SystemTime::now());
    Ok(format!("Total events captured on [{now}] : 0\n"))
}

fn proxy_named<'a>(figures: &'a Figures, name: &str) -> Option<&'a ProxyFigures> {
    figures.proxies.iter().find(|it| it.name == name)
}

/// `show version`.
pub(super) fn version(session: &mut Session, _: &[&str]) -> Answer {
    session.tone = Some(Tone::Information);
    Ok(format!("{}\n", version_of()))
}

/// `show cli level`.
pub(super) fn level(session: &mut Session, _: &[&str]) -> Answer {
    session.tone = Some(Tone::Information);
    Ok(format!("{}\n", session.level.as_str()))
}

/// `show cli sockets`.
pub(super) fn sockets(session: &mut Session, _: &[&str]) -> Answer {
    let mut text = "# socket lvl processes\n".to_owned();
    for (name, level) in session.sockets.iter() {
        let _ = writeln!(text, "{name} {} all", level.as_str());
    }
    Ok(text)
}

/// `show env [NAME]`.
pub(super) fn environment(_: &mut Session, words: &[&str]) -> Answer {
    let mut variables: BTreeMap<String, String> = std::env::vars_os()
        .map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            (name, value.to_string_lossy().into_owned())
        })
        .collect();
    // What a configuration may name without anybody having set it.
    for name in ["HAPROXY_LOCALPEER", "HAPROXY_STARTUP_VERSION"] {
        let value = with_inputs(&[], |inputs| (inputs.environment)(name));
        variables.extend(value.map(|value| (name.to_owned(), value)));
    }
    match words.first() {
        Some(wanted) => match variables.get(*wanted) {
            Some(value) => Ok(format!("{wanted}={value}\n")),
            None => Err("Variable not found\n".to_owned()),
        },
        None => Ok(variables.iter().fold(String::new(), |text, (name, value)| {
            format!("{text}{name}={value}\n")
        })),
    }
}

/// `show pools`: memory is the allocator's.
pub(super) fn pools(_: &mut Session, _: &[&str]) -> Answer {
    let text = "Dumping pools usage. Use SIGQUIT to flush them.\nTotal: 0 pools, 0 bytes allocated, 0 used.\n";
    Ok(text.to_owned())
}

/// `show activity`: what all workers did together.
pub(super) fn activity(session: &mut Session, _: &[&str]) -> Answer {
    let process = session.figures().process;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let workers = process.workers;
    Ok(format!(
        "thread_id: {workers} (1..{workers})\ndate_now: {}.{:06}\naccepted: {}\nrequests: {}\nopen: {}\n",
        now.as_secs(),
        now.subsec_micros(),
        process.connections_total,
        process.requests_total,
        process.connections
    ))
}

/// `show threads`.
pub(super) fn threads(session: &mut Session, _: &[&str]) -> Answer {
    let workers = 1..=session.figures().process.workers;
    Ok(workers.fold(String::new(), |text, worker| {
        format!("{text}  Thread {worker} : act=1 stuck=0\n")
    }))
}

/// `show tasks`: what a worker does is no task with a function of its own; its connections stand in `show sess`.
pub(super) fn tasks(session: &mut Session, _: &[&str]) -> Answer {
    let process = session.figures().process;
    Ok(format!(
        "Running tasks: {} ({} threads)\n",
        process.connections, process.workers
    ))
}

/// `show fd [NUMBER]`: the descriptors of the process. `st` are the flags that the system has for one.
pub(super) fn descriptors<'s>(_: &'s mut Session, words: &'s [&'s str]) -> Eventually<'s> {
    Box::pin(async move {
        let wanted = match words.first() {
            None => None,
            Some(word) => Some(word.parse().map_err(|_| "Expects an integer value.\n")?),
        };
        // Each is some questions to the system, and there may be many.
        let all = spawn_blocking(descriptors::open).await.unwrap_or_default();
        let mut text = String::new();
        for it in all {
            if wanted.is_none_or(|number: i32| number == it.number) {
                let (number, flags, leads_to) = (it.number, it.flags, it.leads_to);
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{number:>7} : st=0x{flags:06x} {leads_to}");
            }
        }
        Ok(text)
    })
}

/// What has nothing to show.
pub(super) fn nothing(_: &mut Session, _: &[&str]) -> Answer {
    Ok(String::new())
}
