//! `portway demo`: two targets of our own behind HTTP and HTTPS.
//!
//! Writes a native file into a folder of its own and runs it as `portway run` would; nothing is simulated but the targets.

use std::cell::Cell;
use std::error::Error;
use std::fs;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::HeaderName;
use portway_control::bind::Neighbour;
use portway_control::install::Running;
use portway_control::sources::{Reading, compile_files};
use portway_control::tls::self_signed::self_signed;
use portway_model::diagnostic::Diagnostics;
use rustls_pki_types::UnixTime;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::cli::Demo;
use crate::serve::{self, Manners, Setting};
use crate::{render, system};

/// Days that the certificate is valid: nobody runs a demo longer.
const CERTIFICATE_DAYS: u32 = 30;

/// The request headers that targets show.
const SHOWN: [HeaderName; 5] = [
    HeaderName::from_static("host"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-request-id"),
];

/// The ports of the demo on 127.0.0.1.
#[derive(Clone, Copy)]
struct Ports {
    http: u16,
    https: u16,
    admin: u16,
}

impl Ports {
    fn of(base: Option<u16>) -> Self {
        match base {
            // At most 65533, as the command line promises.
            Some(base) => Self {
                http: base,
                https: base.saturating_add(1),
                admin: base.saturating_add(2),
            },
            None => Self {
                http: 8080,
                https: 8443,
                admin: 9900,
            },
        }
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &Demo, quiet: bool) -> ExitCode {
    system::start_log(arguments.log.log_level, quiet);
    match demonstrate(Ports::of(arguments.port_base), quiet) {
        Ok(code) => code,
        Err(error) => super::fail(&format!("the demo cannot start: {error}")),
    }
}

fn demonstrate(ports: Ports, quiet: bool) -> Result<ExitCode, Box<dyn Error>> {
    let runtime = serve::runtime()?;
    let targets = [target(&runtime, "target-1")?, target(&runtime, "target-2")?];
    // Removed when it is dropped, at the end of the demo.
    let folder = tempfile::Builder::new().prefix("portway-demo-").tempdir()?;
    let file = write_files(&folder, ports, &targets)?;
    let compiled = compile_files(&[file]);
    render::to_stderr(&compiled.sources, &compiled.diagnostics, true);
    let Some(snapshot) = compiled.snapshot else {
        return Ok(ExitCode::FAILURE);
    };
    let say = |found: &Diagnostics| {
        render::to_stderr(&compiled.sources, found, true);
        if found.has_errors() {
            super::tell(
                "`portway demo --port-base N` uses the ports N, N+1 and N+2 instead, such as --port-base 18080\n",
            );
        }
    };
    let setting = Setting {
        sources: &compiled.sources,
        say: &say,
        admin: true,
        neighbour: Cell::new(Neighbour::None),
        handed: Cell::new(None),
        manners: Manners::Demo,
        reading: Reading::default(),
        again: None,
        predecessor: Cell::new(None),
        state: Cell::new(None),
        itself: None,
    };
    let tell = |_: &Running| {
        if !quiet {
            super::print(&introduction(ports, &targets));
        }
    };
    system::raise_descriptor_limit(None);
    Ok(serve::serve(runtime, snapshot, &setting, tell))
}

fn write_files(
    folder: &TempDir,
    ports: Ports,
    targets: &[SocketAddr; 2],
) -> Result<PathBuf, Box<dyn Error>> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = self_signed(&names, CERTIFICATE_DAYS, UnixTime::now())?;
    fs::write(folder.path().join("demo.crt"), &made.certificate_pem)?;
    super::cert::write_private(&folder.path().join("demo.key"), made.key_pem.as_bytes())?;
    let file = folder.path().join("demo.toml");
    fs::write(&file, configuration(ports, targets))?;
    Ok(file)
}

fn configuration(ports: Ports, [first, second]: &[SocketAddr; 2]) -> String {
    let Ports { http, https, admin } = ports;
    format!(
        r#"[process]
admin = "127.0.0.1:{admin}"
shutdown_deadline = "5s"

[listener.http]
bind = "127.0.0.1:{http}"
forward = "demo"

[listener.https]
bind = "127.0.0.1:{https}"
certificates = ["demo"]
forward = "demo"

[certificate.demo]
file = "demo.crt"
key = "demo.key"

[target_group.demo]
targets = [
    {{ name = "target-1", address = "{first}" }},
    {{ name = "target-2", address = "{second}" }},
]
health_check = {{ http = "/", interval = "2s" }}
"#
    )
}

fn introduction(ports: Ports, [first, second]: &[SocketAddr; 2]) -> String {
    let Ports { http, https, admin } = ports;
    let option = if admin == Ports::of(None).admin {
        String::new()
    } else {
        format!(" --admin 127.0.0.1:{admin}")
    };
    format!(
        "Portway runs two targets of its own (target-1 on {first}, target-2 on {second}) behind

  HTTP    http://127.0.0.1:{http}/
  HTTPS   https://127.0.0.1:{https}/   (self-signed)
  admin   http://127.0.0.1:{admin}/

Try, in another terminal:

  curl http://127.0.0.1:{http}/hello          again and again: the targets take turns
  curl -k https://127.0.0.1:{https}/hello
  portway status{option}
  curl http://127.0.0.1:{admin}/metrics

Ctrl-C ends it.
"
    )
}

/// Starts a target on a free port; it lives as long as the runtime.
fn target(runtime: &Runtime, name: &'static str) -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let answer = move |request: Request| answer(name, request);
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, axum::Router::new().fallback(answer)).await
    });
    Ok(address)
}

/// The name of the target, and what arrived.
async fn answer(name: &'static str, request: Request) -> String {
    let mut text = format!("{name}\n{} {}\n", request.method(), request.uri());
    for header in SHOWN {
        for value in request.headers().get_all(&header) {
            text.push_str(&format!("{header}: {}\n", value.as_bytes().escape_ascii()));
        }
    }
    let bytes = count(request.into_body()).await;
    if bytes > 0 {
        text.push_str(&format!("body: {bytes} bytes\n"));
    }
    text
}

/// Reads a body to its end and counts it.
async fn count(mut body: Body) -> usize {
    let mut bytes = 0;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        bytes += frame.data_ref().map_or(0, |data| data.len());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_compiles() {
        let folder = tempfile::tempdir().unwrap();
        let targets = ["127.0.0.1:40001", "127.0.0.1:40002"].map(|it| it.parse().unwrap());
        let file = write_files(&folder, Ports::of(None), &targets).unwrap();
        let compiled = compile_files(&[file]);
        assert!(
            compiled.diagnostics.is_empty(),
            "{:?}",
            compiled.diagnostics
        );
        let snapshot = compiled.snapshot.unwrap();
        assert_eq!((snapshot.listeners.len(), snapshot.groups.len()), (2, 1));
        let found = portway_control::install::check(&snapshot, &compiled.sources);
        assert!(found.is_empty(), "{found:?}");
    }
}
