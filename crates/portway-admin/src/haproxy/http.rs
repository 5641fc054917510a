//! Answers what listeners leave to Portway: the page of statistics with its other forms, and metrics.

use std::sync::Arc;

use portway_control::figures::{Figures, ProxyFigures};
use portway_control::install::Running;
use portway_control::services::{Service, ServiceAnswer, ServiceCall, StatsPage, UserlistId};
use tokio::task::JoinSet;

use super::action::{Action, Carried};
use super::asked::{self, Asked, How, Outcome};
use super::page::{self, Look};
use super::print::{self, Form};
use super::prometheus::{self, Wanted};
use super::row;
use super::socket::tables;

/// Answers until the listeners are gone.
pub(crate) async fn serve(running: Arc<Running>) {
    let Some(mut calls) = running.service_calls() else {
        return;
    };
    let mut waiting = JoinSet::new();
    while let Some(call) = calls.recv().await {
        while waiting.try_join_next().is_some() {}
        if may_wait(&call) {
            let running = running.clone();
            waiting.spawn(async move { wait_and_answer(&running, call).await });
        } else {
            reply(call, |call| answer(&running, call));
        }
    }
    // What has begun is finished.
    while waiting.join_next().await.is_some() {}
}

/// Its password takes a while to check, or it has its turn to change something: others are answered meanwhile.
fn may_wait(call: &ServiceCall) -> bool {
    users(call).is_some() || changes(call)
}

fn changes(call: &ServiceCall) -> bool {
    &*call.method == b"POST" && call.may_change
}

/// Who may see the page.
fn users(call: &ServiceCall) -> Option<UserlistId> {
    match &call.service {
        Service::Metrics => None,
        Service::Stats(page) => page.users,
    }
}

async fn wait_and_answer(running: &Running, call: ServiceCall) {
    if let Some(refused) = refused(running, &call).await {
        return reply(call, |_| refused);
    }
    if !changes(&call) {
        return reply(call, |call| answer(running, call));
    }
    match running.may_change().await {
        Ok(_may) => reply(call, |call| answer(running, call)),
        Err(process) => {
            let says = format!("Process {process} has taken over meanwhile: ask again.");
            reply(call, |_| error(503, "Service Unavailable", &says));
        }
    }
}

fn reply(call: ServiceCall, answer: impl FnOnce(&ServiceCall) -> ServiceAnswer) {
    let answer = answer(&call);
    // Whoever asked may have gone.
    let _ = call.reply.send(answer);
}

/// What is said to one who may not see the page, or of whom that cannot be found out now.
async fn refused(running: &Running, call: &ServiceCall) -> Option<ServiceAnswer> {
    let Service::Stats(page) = &call.service else {
        return None;
    };
    let authorization = call.authorization.as_deref();
    match running
        .knows_user(page.users?, authorization, call.client)
        .await
    {
        Some(true) => None,
        Some(false) => Some(unauthorized(page)),
        None => {
            let says = "Too many passwords wait to be checked: ask again.";
            let mut answer = error(503, "Service Unavailable", says);
            answer.fields.push(("retry-after", "1".to_owned()));
            Some(answer)
        }
    }
}

fn unauthorized(page: &StatsPage) -> ServiceAnswer {
    let mut answer = error(
        401,
        "Unauthorized",
        "You need a valid user and password to access this content.",
    );
    let realm = page.realm.replace('\\', "\\\\").replace('"', "\\\"");
    let challenge = format!("Basic realm=\"{realm}\"");
    answer.fields.push(("www-authenticate", challenge));
    answer
}

fn answer(running: &Running, call: &ServiceCall) -> ServiceAnswer {
    let target = String::from_utf8_lossy(&call.target);
    match &call.service {
        Service::Metrics => metrics(running, &target),
        Service::Stats(page) => stats(running, call, page, &target),
    }
}

fn metrics(running: &Running, target: &str) -> ServiceAnswer {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let Ok(wanted) = Wanted::of(query) else {
        return error(400, "Bad request", "Your browser sent an invalid request.");
    };
    let tables = tables::sizes(running);
    let text = prometheus::render(&running.statistics().figures(), &tables, wanted);
    whole(prometheus::CONTENT_TYPE, None, text)
}

fn stats(running: &Running, call: &ServiceCall, page: &StatsPage, target: &str) -> ServiceAnswer {
    let address = match &page.uri_prefix {
        Some(prefix) => prefix.as_str(),
        None => target.split([';', '?']).next().unwrap_or_default(),
    };
    let asked = asked::read(target.strip_prefix(address).unwrap_or_default());
    if &*call.method == b"POST" {
        let outcome = match call.may_change {
            true => change(running, &String::from_utf8_lossy(&call.body)),
            false => Outcome::Denied,
        };
        return see_other(address, &asked, outcome);
    }
    let figures = running.statistics().figures();
    show(&figures, page, call.may_change, (address, &asked))
}

/// After a change browsers are sent back to the page, so that loading it again does not change anything once more.
fn see_other(address: &str, asked: &Asked, outcome: Outcome) -> ServiceAnswer {
    let up = if asked.hides_down { ";up" } else { "" };
    let still = if asked.no_refresh { ";norefresh" } else { "" };
    let scope = match asked.scope.as_str() {
        "" => String::new(),
        scope => format!("?scope={scope}"),
    };
    let location = format!("{address};st={}{up}{still}{scope}", outcome.code());
    ServiceAnswer {
        status: 303,
        fields: vec![
            ("cache-control", "no-cache".to_owned()),
            ("content-type", "text/plain".to_owned()),
            ("location", location),
        ],
        body: Vec::new(),
    }
}

fn show(
    figures: &Figures,
    page: &StatsPage,
    may_change: bool,
    (address, asked): (&str, &Asked),
) -> ServiceAnswer {
    let refresh = page.refresh.map(|time| time.as_secs());
    let refresh = refresh.filter(|_| !asked.no_refresh);
    let in_scope = |proxy: &&ProxyFigures| {
        let name = proxy.name.as_str();
        (page.scope.is_empty() || page.scope.iter().any(|it| it.as_str() == name))
            && name.contains(&asked.scope)
    };
    let proxies: Vec<&ProxyFigures> = figures.proxies.iter().filter(in_scope).collect();
    match asked.how {
        How::Schema => whole("application/json", refresh, print::SCHEMA.to_owned()),
        How::List(form) => {
            let content_type = match form {
                Form::Json => "application/json",
                Form::Plain | Form::Typed => "text/plain",
            };
            let text = list(&proxies, form, asked.hides_down, page.show_legends);
            whole(content_type, refresh, text)
        }
        How::Page => {
            let process = &figures.process;
            let own = |said: &Option<String>, own: Option<&str>| match said.as_deref() {
                Some("") => own.map(str::to_owned),
                said => said.map(str::to_owned),
            };
            let node = own(&page.node, Some(&process.node));
            let description = own(&page.description, process.description.as_deref());
            let look = Look {
                address,
                refresh,
                refreshes: page.refresh.is_some(),
                hides_down: asked.hides_down,
                scope: &asked.scope,
                node: node.as_deref(),
                description: description.as_deref(),
                hides_version: page.hide_version,
                legends: page.show_legends,
                admin: may_change,
                outcome: asked.outcome,
            };
            whole("text/html", refresh, page::render(figures, &proxies, &look))
        }
    }
}

/// Rows in one of the forms for programs.
fn list(proxies: &[&ProxyFigures], form: Form, hides_down: bool, legends: bool) -> String {
    let mut out = String::new();
    let down = |it: &row::Row| {
        let status = it.show(super::field::Field::Status);
        it.object == row::Object::Server
            && (status.starts_with("DOWN") || status.starts_with("MAINT"))
    };
    let rows = proxies.iter().flat_map(|proxy| row::rows(proxy));
    let rows = rows.filter(|it| !(hides_down && down(it)));
    let rows = rows.map(|it| if legends { it } else { it.without_legends() });
    match form {
        Form::Plain => {
            print::csv_header(&mut out);
            rows.for_each(|row| print::csv_row(&row, &mut out));
        }
        Form::Typed => rows.for_each(|row| print::typed_row(&row, false, &mut out)),
        Form::Json => {
            out.push('[');
            for (nth, row) in rows.enumerate() {
                if nth > 0 {
                    out.push(',');
                }
                print::json_row(&row, false, &mut out);
            }
            out.push_str("]\n");
        }
    }
    out
}

fn whole(content_type: &str, refresh: Option<u64>, text: String) -> ServiceAnswer {
    let mut fields = vec![
        ("cache-control", "no-cache".to_owned()),
        ("content-type", content_type.to_owned()),
    ];
    if let Some(seconds) = refresh {
        fields.push(("refresh", seconds.to_string()));
    }
    ServiceAnswer {
        status: 200,
        fields,
        body: text.into_bytes(),
    }
}

/// An answer in the form that HAProxy's own have.
fn error(status: u16, title: &str, says: &str) -> ServiceAnswer {
    let body = format!("<html><body><h1>{status} {title}</h1>\n{says}\n</body></html>\n");
    ServiceAnswer {
        status,
        fields: vec![
            ("cache-control", "no-cache".to_owned()),
            ("content-type", "text/html".to_owned()),
        ],
        body: body.into_bytes(),
    }
}

/// Carries out what a form of the page asks for: `s=SERVER` as often as wanted, `action=WORD`, `b=BACKEND` or `b=#ID`.
fn change(running: &Running, body: &str) -> Outcome {
    let (mut servers, mut action, mut backend) = (Vec::new(), String::new(), String::new());
    for (name, value) in asked::form(body) {
        match name.as_str() {
            "s" => servers.push(value),
            "action" => action = value,
            "b" => backend = value,
            _ => {}
        }
    }
    if servers.is_empty() || action.is_empty() {
        return Outcome::Nothing;
    }
    let Some(action) = Action::of(&action) else {
        return Outcome::Wrong;
    };
    let statistics = running.statistics();
    let (mut asked, mut done) = (0, 0);
    for server in &servers {
        match statistics.target(&backend, server) {
            Ok(target) => match action.carry_out(statistics, &target) {
                Carried::Out => (asked, done) = (asked + 1, done + 1),
                Carried::NoNeed => {}
            },
            Err(_) => asked += 1,
        }
    }
    if asked == 0 {
        return Outcome::Nothing;
    }
    match done {
        0 => Outcome::Wrong,
        all if all == asked => Outcome::Done,
        _ => Outcome::Part,
    }
}
