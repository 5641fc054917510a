//! Brings what the tests need onto the machine: Debian packages, a Python with peers, parts of the Rust
//! toolchain. Each only where it is missing, and with a line that says what and why.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;
use crate::workspace::Workspace;

/// A program that tests start.
#[derive(Debug)]
struct Tool {
    program: &'static str,
    /// Debian's name of the package.
    package: &'static str,
    why: &'static str,
    /// A service that the package starts and nobody asked for.
    service: Option<&'static str>,
}

const TOOLS: [Tool; 13] = [
    tool("git", "git", "lists the files that tidy reads"),
    tool("curl", "curl", "a client that we did not write"),
    tool(
        "openssl",
        "openssl",
        "a TLS client and server, keys and certificates of every shape",
    ),
    Tool {
        service: Some("nginx"),
        ..tool("nginx", "nginx", "real targets")
    },
    Tool {
        service: Some("haproxy"),
        ..tool(
            "haproxy",
            "haproxy",
            "a real target, and the peer of measurements",
        )
    },
    tool("wrk", "wrk", "load with thousands of connections"),
    tool(
        "nghttpx",
        "nghttp2-proxy",
        "makes HTTP/2 of the requests that tests compare",
    ),
    tool(
        "h2load",
        "nghttp2-client",
        "load over HTTP/2, many streams at once",
    ),
    tool(
        "valgrind",
        "valgrind",
        "counts instructions of the hot path",
    ),
    tool(
        "ip",
        "iproute2",
        "addresses and network namespaces of the tests",
    ),
    tool(
        "python3",
        "python3",
        "runs WebSocket, STOMP and gRPC peers that we did not write",
    ),
    Tool {
        service: Some("rabbitmq-server"),
        ..tool("rabbitmq-server", "rabbitmq-server", "a STOMP broker")
    },
    Tool {
        service: Some("prometheus"),
        ..tool(
            "promtool",
            "prometheus",
            "reads our metrics, alerts and the queries of the dashboard",
        )
    },
];

/// Parts of the Rust toolchain that a minimal installation leaves out.
const COMPONENTS: [(&str, &str); 2] = [("fmt", "rustfmt"), ("clippy", "clippy")];

/// Peers in Python: what pip installs, and their modules. Pinned, so that a release elsewhere does not change our tests.
const PYTHON_PEERS: [(&str, &str); 6] = [
    ("websockets==17.4", "websockets"),
    ("stomp.py==9.0.0", "stomp"),
    ("hyperframe==6.1.0", "hyperframe.frame"),
    ("hpack==4.1.0", "hpack"),
    ("grpcio==1.85.3", "grpc"),
    ("grpcio-health-checking==1.85.1", "grpc_health.v1.health"),
];

const fn tool(program: &'static str, package: &'static str, why: &'static str) -> Tool {
    Tool {
        program,
        package,
        why,
        service: None,
    }
}

/// Installs what is missing and answers with the Python that has our peers.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf, String> {
    for (subcommand, component) in COMPONENTS {
        install_component(workspace, subcommand, component)?;
    }
    let missing: Vec<&Tool> = TOOLS
        .iter()
        .filter(|tool| process::find(tool.program).is_none())
        .collect();
    if !missing.is_empty() {
        install_tools(&missing)?;
    }
    python(&workspace.target.join("test-venv"))
}

/// Whether `cargo SUBCOMMAND` exists here.
pub(crate) fn has_subcommand(workspace: &Workspace, subcommand: &str) -> bool {
    process::quiet(process::cargo(&workspace.root).args([subcommand, "--version"])).is_ok()
}

fn install_component(
    workspace: &Workspace,
    subcommand: &str,
    component: &str,
) -> Result<(), String> {
    if has_subcommand(workspace, subcommand) {
        return Ok(());
    }
    if process::find("rustup").is_none() {
        return Err(format!(
            "cargo {subcommand} is missing: install {component} of this Rust toolchain"
        ));
    }
    println!("test: installing {component} with rustup: `check` needs it");
    process::loud(
        process::program("rustup")
            .current_dir(&workspace.root)
            .args(["component", "add", component]),
    )
}

fn install_tools(missing: &[&Tool]) -> Result<(), String> {
    for tool in missing {
        println!(
            "test: {} is missing: {} (package {})",
            tool.program, tool.why, tool.package
        );
    }
    apt(&missing.iter().map(|tool| tool.package).collect::<Vec<_>>())?;
    for service in missing.iter().filter_map(|tool| tool.service) {
        stop_service(service);
    }
    let still: Vec<&str> = missing
        .iter()
        .map(|tool| tool.program)
        .filter(|program| process::find(program).is_none())
        .collect();
    if still.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "installed, but still not found: {}",
            still.join(", ")
        ))
    }
}

/// Installs Debian packages, as root or through sudo.
fn apt(packages: &[&str]) -> Result<(), String> {
    let names = packages.join(" ");
    if process::find("apt-get").is_none() {
        return Err(format!(
            "the tests need {names} (by their Debian names): this machine has no apt-get, install them by hand"
        ));
    }
    println!("test: installing {names} with apt-get");
    let prepared = "-oDPkg::Lock::Timeout=300";
    process::loud(as_root("apt-get")?.args([prepared, "update", "-q"]))
        .and_then(|()| {
            let mut command = as_root("apt-get")?;
            process::loud(
                command
                    .args([prepared, "install", "-q", "-y", "--no-install-recommends"])
                    .args(packages),
            )
        })
        .map_err(|problem| format!("{problem}\ninstall them by hand: apt-get install {names}"))
}

/// The tests start their own nginx and HAProxy on ports of their own; the ones that Debian starts with the package
/// would only hold ports of the machine.
fn stop_service(service: &str) {
    println!("test: stopping the {service} service that came with the package");
    let stopped = if Path::new("/run/systemd/system").is_dir() {
        as_root("systemctl")
            .and_then(|mut command| process::quiet(command.args(["disable", "--now", service])))
    } else {
        as_root("service").and_then(|mut command| process::quiet(command.args([service, "stop"])))
    };
    if let Err(problem) = stopped {
        println!(
            "test: could not stop {service}, it may not be running: {}",
            problem.trim()
        );
    }
}

fn as_root(name: &str) -> Result<Command, String> {
    let user = std::fs::metadata("/proc/self").map(|own| own.uid()).ok();
    if user == Some(0) {
        let mut command = process::program(name);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        return Ok(command);
    }
    if process::find("sudo").is_none() {
        return Err(format!("{name} must be run as root, and there is no sudo"));
    }
    let mut command = process::program("sudo");
    command.args(["DEBIAN_FRONTEND=noninteractive", name]);
    Ok(command)
}

/// The Python of a virtual environment in `folder` that has our peers.
fn python(folder: &Path) -> Result<PathBuf, String> {
    let python = folder.join("bin/python");
    let proof: String = PYTHON_PEERS
        .iter()
        .filter_map(|(package, module)| {
            let (name, version) = package.split_once("==")?;
            Some(format!(
                "import {module}; from importlib.metadata import version as v; assert v('{name}') == '{version}'\n"
            ))
        })
        .collect();
    if process::quiet(process::program(&python).args(["-c", &proof])).is_ok() {
        return Ok(python);
    }
    if process::quiet(process::program("python3").args(["-c", "import ensurepip, venv"])).is_err() {
        println!("test: python3 cannot make virtual environments (package python3-venv)");
        apt(&["python3-venv"])?;
    }
    println!(
        "test: installing {} from PyPI into {}: peers that we did not write",
        PYTHON_PEERS.map(|(package, _)| package).join(" and "),
        folder.display()
    );
    process::quiet(
        process::program("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder),
    )?;
    let mut install = process::program(&python);
    install.args(["-m", "pip", "install", "-q"]);
    install.args(PYTHON_PEERS.map(|(package, _)| package));
    process::quiet(&mut install)?;
    process::quiet(process::program(&python).args(["-c", &proof]))?;
    Ok(python)
}
