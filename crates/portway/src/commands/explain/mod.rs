//! `portway explain`: which listener, rules and target a request would take, and why.

mod text;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use clap::Parser;
use portway_admin::client;
use portway_admin::explanation::{Explanation, Question};
use portway_control::explain::{NotExplained, explain_at_start};
use portway_control::sources::{Reading, compile_files_with};
use portway_dialects::cloudformation::Unset;
use portway_model::defaults;

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
    let request = match Request::try_parse_from(&arguments.request) {
        Ok(request) => request,
        Err(error) => error.exit(),
    };
    let question = match question(&request, arguments) {
        Ok(question) => question,
        Err(message) => return super::fail(&message),
    };
    let explained = match arguments.running || arguments.sources.is_empty() {
        true => {
            let admin = request.admin.or(arguments.admin);
            let admin = admin.map_or_else(|| defaults::ADMIN.parse().map_err(|_| ()), Ok);
            let Ok(admin) = admin else {
                return super::fail("the admin address is none");
            };
            client::explain(admin, &question).map_err(|error| error.to_string())
        }
        false => match at_start(&question, arguments, quiet) {
            Ok(explained) => explained,
            Err(code) => return code,
        },
    };
    match explained {
        Ok(it) if arguments.json || request.json => match serde_json::to_string_pretty(&it) {
            Ok(json) => super::print(&format!("{json}\n")),
            Err(error) => return super::fail(&error.to_string()),
        },
        Ok(it) => super::print(&text::text(&it, text::Look::of_output(), arguments.all)),
        Err(message) => return super::fail(&message),
    }
    ExitCode::SUCCESS
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

/// Of files: as if they had just begun to serve.
fn at_start(
    question: &Question,
    arguments: &Explain,
    quiet: bool,
) -> Result<Result<Explanation, String>, ExitCode> {
    let reading = Reading {
        certificates_may_be_missing: true,
        ..reading(&arguments.language, &arguments.templates, Unset::Refused)
    };
    let compiled = compile_files_with(&arguments.sources, &reading);
    let Some(snapshot) = compiled.snapshot else {
        render::to_stderr(&compiled.sources, &compiled.diagnostics, quiet);
        return Err(ExitCode::FAILURE);
    };
    let asked = question.clone().into();
    match explain_at_start(snapshot, &compiled.sources, &asked) {
        Ok(it) => {
            let request = format!("{} {}", question.method, question.url);
            Ok(Ok(Explanation::of(&request, it)))
        }
        Err(NotExplained::Question(message)) => Ok(Err(message)),
        Err(NotExplained::Configuration(found)) => {
            render::to_stderr(&compiled.sources, &found, quiet);
            Err(ExitCode::FAILURE)
        }
    }
}
