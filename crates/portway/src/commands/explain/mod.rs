//! `portway explain`: which listener, rules and target a request would take, and why.

mod text;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use portway_admin::client;
use portway_admin::explanation::{Explanation, Question};
use portway_admin::json::Finding;
use portway_control::explain::{NotExplained, explain_at_start};
use portway_control::reload::findings;
use portway_control::sources::{Reading, compile_files_with};
use portway_dialects::cloudformation::Unset;
use portway_model::defaults;
use portway_model::diagnostic::Diagnostics;

use crate::cli::{Explain, header, reading};
use crate::render;

/// What stands behind `--`, as `curl` has it.
#[derive(Debug, Parser)]
#[command(name = "portway explain SOURCE... --", no_binary_name = true)]
struct Request {
    /// `GET https://flow.example.com/x`; without a method it is GET, or POST with --data
    #[arg(required = true, num_args = 1..=2, value_name = "METHOD URL")]
    what: Vec<String>,
    /// A header: `-H 'Cookie: a=b'`
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The body, or `@FILE` with it
    #[arg(short = 'd', long, value_name = "TEXT")]
    data: Option<String>,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// The listener that it comes to
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The admin address of the running Portway
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
}

/// Runs the command. Exit code 1 where nothing could be explained.
pub(crate) fn run(arguments: &Explain, quiet: bool) -> ExitCode {
    let Some((sources, words)) = apart(arguments) else {
        super::tell(
            "error: which request? Write it behind `--`: `portway explain SOURCE... -- GET http://HOST/PATH`\n",
        );
        return ExitCode::from(2);
    };
    let request = match Request::try_parse_from(words) {
        Ok(request) => request,
        Err(error) => error.exit(),
    };
    let as_json = arguments.json || request.json;
    let question = match question(&request, arguments) {
        Ok(question) => question,
        Err(message) => return super::fail_as(as_json, &message),
    };
    let explained = match arguments.running || sources.is_empty() {
        true => {
            let admin = request.admin.or(arguments.admin);
            let admin = admin.map_or_else(|| defaults::ADMIN.parse().map_err(|_| ()), Ok);
            let Ok(admin) = admin else {
                return super::fail("the admin address is none");
            };
            client::explain(admin, &question).map_err(|error| error.to_string())
        }
        false => match at_start(&question, (sources, arguments), quiet) {
            Ok(explained) => explained,
            Err(wrong) => {
                if as_json {
                    super::print_json(&serde_json::json!({
                        "ok": false,
                        "error": "the configuration has errors",
                        "diagnostics": wrong,
                    }));
                }
                return ExitCode::FAILURE;
            }
        },
    };
    match explained {
        Ok(it) if as_json => super::print_json(&it),
        Ok(it) => super::print(&text::text(&it, text::Look::of_output(), arguments.all)),
        Err(message) => return super::fail_as(as_json, &message),
    }
    ExitCode::SUCCESS
}

/// The files and the request, which begins behind `--`, or with what can only be one. `None`: there is none.
fn apart(arguments: &Explain) -> Option<(&[PathBuf], Vec<String>)> {
    let all = arguments.sources.as_slice();
    if !arguments.request.is_empty() {
        return Some((all, arguments.request.clone()));
    }
    let words: Vec<&str> = all.iter().filter_map(|it| it.to_str()).collect();
    let url = all
        .iter()
        .position(|it| it.to_str().is_some_and(|it| it.contains("://")))?;
    let is_method = |it: &&str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_uppercase());
    let before = url.checked_sub(1);
    let method = before.filter(|at| words.get(*at).is_some_and(is_method));
    let (sources, _) = all.split_at_checked(method.unwrap_or(url))?;
    let request = words.get(sources.len()..)?;
    Some((sources, request.iter().map(|it| (*it).to_owned()).collect()))
}

fn question(request: &Request, arguments: &Explain) -> Result<Question, String> {
    let data = request.data.as_deref().or(arguments.data.as_deref());
    let body = match data.map(|it| (it, it.strip_prefix('@'))) {
        None => String::new(),
        Some((_, Some(file))) => {
            std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?
        }
        Some((text, None)) => text.to_owned(),
    };
    let (method, url) = match request.what.as_slice() {
        [method, url] => (method.clone(), url.clone()),
        [url] if data.is_some() => ("POST".to_owned(), url.clone()),
        [url] => ("GET".to_owned(), url.clone()),
        _ => return Err("write `-- METHOD URL`".to_owned()),
    };
    let from = request.from.or(arguments.from);
    Ok(Question {
        method,
        url,
        headers: [&arguments.headers[..], &request.headers].concat(),
        body,
        from,
        listener: request
            .listener
            .clone()
            .or_else(|| arguments.listener.clone()),
    })
}

/// Of files: as if they had just begun to serve. What is wrong with them has been told.
fn at_start(
    question: &Question,
    (sources, arguments): (&[PathBuf], &Explain),
    quiet: bool,
) -> Result<Result<Explanation, String>, Vec<Finding>> {
    let reading = Reading {
        certificates_may_be_missing: true,
        ..reading(&arguments.language, &arguments.templates, Unset::Refused)
    };
    let compiled = compile_files_with(sources, &reading);
    let wrong = |found: &Diagnostics| {
        render::to_stderr(&compiled.sources, found, quiet);
        let found = findings(found, &compiled.sources);
        Err(found.into_iter().map(Into::into).collect())
    };
    let Some(snapshot) = compiled.snapshot else {
        return wrong(&compiled.diagnostics);
    };
    let asked = question.clone().into();
    match explain_at_start(snapshot, &compiled.sources, &asked) {
        Ok(it) => {
            let request = format!("{} {}", question.method, question.url);
            Ok(Ok(Explanation::of(&request, it)))
        }
        Err(NotExplained::Question(message)) => Ok(Err(message)),
        Err(NotExplained::Configuration(found)) => wrong(&found),
    }
}
