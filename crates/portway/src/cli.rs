//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use portway_control::sources::Reading;
use portway_control::upgrade::MOST_PATIENCE;
use portway_dialects::cloudformation::{Given, Unset};
use portway_dialects::{Dialect, traefik};
use portway_model::defaults;

/// A load balancer that runs the configuration its users already have.
#[derive(Debug, Parser)]
#[command(
    name = "portway",
    version,
    max_term_width = 100,
    infer_long_args = true
)]
#[command(after_help = "Try it: `portway demo` needs no configuration.")]
pub(crate) struct Cli {
    /// Print errors only
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Two built-in targets behind HTTP and HTTPS, to try things out
    Demo(Demo),
    /// Run configurations until SIGTERM or Ctrl-C
    Run(Run),
    /// Say everything that is wrong with configurations; exit code 1 if they cannot run
    #[command(after_long_help = CHECK_JSON)]
    Check(Check),
    /// Print configurations in the native form
    Convert(Convert),
    /// Send the same requests to the balancer you have and to Portway, and say what differs
    #[command(after_long_help = COMPARE_FILES)]
    Compare(Compare),
    /// Show listeners and targets of the running Portway
    Status(Status),
    /// Have the running Portway read its configuration again; exit code 1 if it does not
    #[command(after_long_help = RELOAD_JSON)]
    Reload(Reload),
    /// List the last good configurations of the running Portway, or show what one has changed
    History(History),
    /// Put one of the last good configurations to work again; exit code 1 if that fails
    Rollback(Rollback),
    /// Say which listener, rules and target a request would take, and why
    #[command(after_long_help = EXPLAIN_REQUEST, override_usage = "portway explain [SOURCE]... [OPTIONS] -- [METHOD] URL [-H 'NAME: VALUE']... [--data TEXT]")]
    Explain(Explain),
    /// Have the program on disk take over from the running Portway; exit code 1 if that goes on
    #[command(after_long_help = UPGRADE_JSON)]
    Upgrade(Upgrade),
    /// Take a target, a group of targets, a listener or the process out of service politely
    #[command(after_long_help = DRAIN_JSON)]
    Drain(Drain),
    /// Put back to work what drains or has drained
    Undrain(Undrain),
    /// Say what a reload would change; exit code 1 if it would fail
    #[command(after_long_help = PLAN_JSON)]
    Plan(Plan),
    /// Make and look at certificates
    #[command(subcommand)]
    Cert(Cert),
}

/// What `compare --from` reads.
const COMPARE_FILES: &str = "\
A FILE is an access log (of HAProxy, nginx, Apache, an AWS balancer, or Portway's JSON), of which the request lines are sent
again with the host that the log or --host gives. Or it has whole requests as they go over the wire, lines that begin with
`###` between them:
  ### a title for the report
  POST /login HTTP/1.1
  Host: shop.example
  Content-Length: auto

  user=a
Exit code 0: nothing differs, 1: something does, or it could not be done.";

/// What `explain` is asked.
const EXPLAIN_REQUEST: &str = "\
Behind `--` stands the request, as curl has it; --from, --listener, --admin and --json may stand there too:
  portway explain web.cfg -- GET https://flow.example.com/x -H 'Cookie: a=b'
  portway explain -- https://flow.example.com/     the running Portway: nothing changes by that
  portway explain web.toml -- tls://mail.example.com:993     a connection on which nothing else is said
With --json one object is printed; docs/cli.md describes it.";

/// The shape of `plan --json`.
const PLAN_JSON: &str = "\
With --json one object is printed:
  { \"ok\": true, \"generation\": 1 (of the running Portway),
    \"plan\": [ { \"action\": \"change\" (or \"add\", \"remove\"), \"kind\": \"listener\", \"name\": \"web\",
                \"fields\": [ { \"name\": \"bind\", \"old\": \"…\" (or null), \"new\": \"…\" (or null), \"fixed\": true } ],
                \"contents\": true } ],
    \"counts\": { \"add\": 0, \"change\": 1, \"remove\": 0 },
    \"diagnostics\": [ as those of `portway reload` ] }
Names and values are those of the native form, secrets aside; null: nothing is said, the default holds. `element` (left out
where false): it is an element that a list gains or loses. `fixed` (the same): a reload leaves it as it is. `contents` (the
same): what a file says that the object names is something else.";

/// The shape of `reload --json`.
const RELOAD_JSON: &str = "\
With --json one object is printed:
  { \"ok\": true, \"generation\": 2, \"took\": 0.012 (seconds),
    \"plan\": [ { \"action\": \"add\" (or \"change\", \"remove\"), \"kind\": \"listener\", \"name\": \"web\" } ],
    \"certificates\": [ { \"name\": \"site\", \"names\": \"a.example\",
                        \"not_before\": 1795248364, \"not_after\": 1803024363 (seconds since 1970) } ],
    \"diagnostics\": [ { \"severity\": \"warning\", \"code\": \"P0101\", \"message\": \"what is wrong\",
                       \"place\": \"web.toml:3:1\" (or null), \"help\": \"what to write instead\" (or null) } ] }";

/// The shape of `drain --json`.
const DRAIN_JSON: &str = "\
With --json one object is printed:
  { \"ok\": true,
    \"draining\": [ { \"kind\": \"target\" (or \"listener\", \"process\"), \"name\": \"app/a\", \"by\": \"command\",
                    \"state\": \"draining\" (or \"leaving\", \"drained\"), \"left\": 3, \"cut_off\": 0,
                    \"since\": 1795248370.02, \"until\": 1795248670.02 (seconds since 1970) } ],
    \"warnings\": [ \"what you should know\" ],
    \"error\": \"why nothing has changed\", \"help\": \"what to write instead\" (left out where there is nothing to say) }";

/// The shape of `upgrade --json`.
const UPGRADE_JSON: &str = "\
With --json one object is printed:
  { \"ok\": true, \"pid\": 4711 (the process that serves), \"took\": 0.4 (seconds),
    \"before\": { \"pid\": 4242, \"connections\": 3, \"deadline\": 300.0 } (what finishes; null where nothing does),
    \"supervisor\": { \"pid\": 812, \"name\": \"runit\" } (what has started that one, where it is not told of the next),
    \"state\": { \"entries\": 1200, \"bytes\": 81000, \"took\": 0.01 } (null where nothing was handed over),
    \"error\": \"why the process before goes on\" (left out where it does not),
    \"diagnostics\": [ { \"severity\": \"error\", \"code\": \"P0101\", \"message\": \"what is wrong\",
                       \"place\": \"web.toml:3:1\" (or null), \"help\": \"what to write instead\" (or null) } ] }";

/// The shape of `check --json`.
const CHECK_JSON: &str = "\
With --json one object is printed:
  { \"files\": [\"web.toml\"],
    \"errors\": 1, \"warnings\": 0, \"notes\": 0,
    \"diagnostics\": [
      { \"code\": \"P0101\", \"severity\": \"error\" (or \"warning\", \"note\"),
        \"message\": \"what is wrong\",
        \"labels\": [ { \"file\": \"web.toml\", \"line\": 3, \"column\": 1, \"end_line\": 3, \"end_column\": 8,
                      \"text\": \"what there is to say about this place\" } ],
        \"help\": \"what to write instead\" (or null) } ] }
The first label is the place itself; lines and columns count from 1, columns in characters, the end is one past the
last character. There is no label where no text is to blame.";

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Use the ports N (HTTP), N+1 (HTTPS) and N+2 (admin) instead of 8080, 8443 and 9900
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=65533))]
    pub(crate) port_base: Option<u16>,
    #[command(flatten)]
    pub(crate) log: Log,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// Configuration files
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) language: Language,
    #[command(flatten)]
    pub(crate) templates: Templates,
    /// Data workers; one a core by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// The admin address, in place of the configuration's
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = admin)]
    pub(crate) admin: Option<SocketAddr>,
    /// Reload when a file of the configuration changes; Traefik's dynamic files are watched unless told otherwise
    #[arg(long, conflicts_with = "no_watch")]
    pub(crate) watch: bool,
    /// Reload only when asked: by `portway reload` or SIGHUP
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// Keep the history of configurations in this folder, so that it survives a restart
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Add N to the port of every listener, to try a configuration without the rights that ports below 1024 need
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port_offset: u16,
    #[command(flatten)]
    pub(crate) log: Log,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Language {
    /// The language of the files; found out by their names and contents where it is not given
    #[arg(long = "as", value_name = "LANGUAGE")]
    given: Option<LanguageName>,
    /// Where a container of a compose service is; again for each of several containers
    #[arg(long, value_name = "SERVICE=ADDRESS[:PORT]", value_parser = pair)]
    address: Vec<(String, String)>,
}

impl Language {
    /// The language that is given.
    fn dialect(&self) -> Option<Dialect> {
        self.given.map(|name| match name {
            LanguageName::Native => Dialect::Native,
            LanguageName::Haproxy => Dialect::Haproxy,
            LanguageName::Cloudformation => Dialect::CloudFormation,
            LanguageName::Traefik => Dialect::Traefik,
        })
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LanguageName {
    /// TOML, as in docs/native.md
    Native,
    /// haproxy.cfg, as in docs/haproxy.md
    Haproxy,
    /// A template of AWS CloudFormation, as in docs/cloudformation.md
    Cloudformation,
    /// Compose files with labels, and Traefik's own files, as in docs/traefik.md
    Traefik,
}

/// What is given beside CloudFormation templates.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "For CloudFormation templates")]
pub(crate) struct Templates {
    /// Fill in `{{ NAME }}`; `@FILE` for a certificate is a file with its chain and key
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Give a parameter its value
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    param: Vec<(String, String)>,
    /// Give the value of an export of a stack that is not here
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    import: Vec<(String, String)>,
    /// Register a target with a target group, or say the address of an instance
    #[arg(long, value_name = "GROUP=ADDRESS[:PORT]", value_parser = pair)]
    target: Vec<(String, String)>,
    /// The file with chain and key of a certificate, by logical id or ARN
    #[arg(long, value_name = "ID=FILE", value_parser = pair)]
    certificate: Vec<(String, String)>,
    /// The addresses of the members of a security group that a rule names
    #[arg(long, value_name = "GROUP=CIDR", value_parser = pair)]
    source_group: Vec<(String, String)>,
    /// The address that the listeners of a load balancer accept on, in place of every address
    #[arg(long, value_name = "BALANCER=ADDRESS", value_parser = pair)]
    bind: Vec<(String, String)>,
    /// The secret, or @FILE with it, that encrypts cookies of stickiness: they outlive a restart then
    #[arg(long, value_name = "KEY", value_parser = secret)]
    cookie_key: Option<String>,
    /// Run the load balancers of a template and leave out what else it has
    #[arg(long)]
    ignore_other_resources: bool,
}

impl Templates {
    /// What is given, and what becomes of that which is not.
    fn given(&self, unset: Unset) -> Given {
        Given {
            placeholders: self.set.clone(),
            parameters: self.param.clone(),
            imports: self.import.clone(),
            targets: self.target.clone(),
            certificates: self.certificate.clone(),
            source_groups: self.source_group.clone(),
            binds: self.bind.clone(),
            cookie_key: self.cookie_key.clone(),
            unset,
            ignore_other_resources: self.ignore_other_resources,
        }
    }
}

/// How the files of `run`, `check` and `convert` are read.
pub(crate) fn reading(language: &Language, templates: &Templates, unset: Unset) -> Reading {
    Reading {
        dialect: language.dialect(),
        templates: templates.given(unset),
        containers: traefik::Options {
            addresses: language.address.clone(),
        },
        ..Reading::default()
    }
}

/// A header, as `curl` takes it.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write 'NAME: VALUE'".to_owned()),
    }
}

/// A secret, or what is in the file behind `@`.
fn secret(text: &str) -> Result<String, String> {
    let read = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {file}: {error}"))?
            .trim()
            .to_owned(),
        None => text.to_owned(),
    };
    match read.is_empty() {
        true => Err("it is empty".to_owned()),
        false => Ok(read),
    }
}

/// A name and a value with `=` between them.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Log {
    /// What the log of the process (standard error) tells
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: Level,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Configuration files
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) language: Language,
    #[command(flatten)]
    pub(crate) templates: Templates,
    /// Print one JSON object; `portway check --help` describes it
    #[arg(long, conflicts_with = "short")]
    pub(crate) json: bool,
    /// Print a line for each finding: `file:line:column: error[P0312]: …`
    #[arg(long)]
    pub(crate) short: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// Configuration files
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) language: Language,
    #[command(flatten)]
    pub(crate) templates: Templates,
    /// The form
    #[arg(long, value_name = "FORM", default_value = "toml")]
    pub(crate) to: Form,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Form {
    /// A native file
    Toml,
    /// The same as JSON
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The balancer you have: `host:port`, `http://…` or `https://…`
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) old: String,
    /// Portway, with the same targets
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) new: String,
    /// The requests to send: an access log, or a file of requests
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// The host of requests whose log does not say it; the host of --old by default
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Do not compare this header (Date and Age never are)
    #[arg(long, value_name = "NAME")]
    pub(crate) ignore_header: Vec<String>,
    /// Also send what may change something (POST, DELETE, …) from an access log
    #[arg(long)]
    pub(crate) all_methods: bool,
    /// Listen here for what the old balancer logs by syslog over UDP, and compare the lines too
    #[arg(long, value_name = "ADDRESS:PORT", requires = "new_syslog")]
    pub(crate) old_syslog: Option<SocketAddr>,
    /// The same for Portway
    #[arg(long, value_name = "ADDRESS:PORT", requires = "old_syslog")]
    pub(crate) new_syslog: Option<SocketAddr>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The admin address of the running Portway
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = admin, default_value = defaults::ADMIN)]
    pub(crate) admin: SocketAddr,
    /// A live picture, drawn anew each second: rates, latencies, health, what changes; `q` quits
    #[arg(long)]
    pub(crate) watch: bool,
    /// Between two pictures, such as 500ms or 5s
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration, requires = "watch")]
    pub(crate) interval: Duration,
    /// End after so many pictures
    #[arg(long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Print JSON; with --watch an object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// The admin address of the running Portway
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = admin, default_value = defaults::ADMIN)]
    pub(crate) admin: SocketAddr,
    /// Read certificates, keys, CAs and revocation lists alone, whatever state the configuration files are in
    #[arg(long)]
    pub(crate) certificates: bool,
    /// Print one JSON object; `portway reload --help` describes it
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Show what this generation has changed
    #[arg(value_name = "N")]
    pub(crate) number: Option<u64>,
    /// The admin address of the running Portway
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = admin, default_value = defaults::ADMIN)]
    pub(crate) admin: SocketAddr,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The generation, as `portway history` lists it
    #[arg(value_name = "N")]
    pub(crate) number: u64,
    /// The admin address of the running Portway
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = admin, default_value = defaults::ADMIN)]
    pub(crate) admin: SocketAddr,
    /// Print one JSON object, as `portway reload` does
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Configuration files; without one the running Portway is asked
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) language: Language,
    #[command(flatten)]
    pub(crate) templates: Templates,
    /// Ask the running Portway, with its health, weights, maps and tables as they are now
    #[arg(long, conflicts_with = "sources")]
    pub(crate) running: bool,
    /// The admin address of the running Portway
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = admin)]
    pub(crate) admin: Option<SocketAddr>,
    /// The client's address; 127.0.0.1 where none is given
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: Option<IpAddr>,
    /// The listener that it comes to; found out by scheme, address and port where none is given
    #[arg(long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    /// A header of the request: `-H 'Cookie: a=b'`; it may also stand behind the URL
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// The body of the request, or `@FILE` with it; it may also stand behind the URL
    #[arg(short = 'd', long, value_name = "TEXT")]
    pub(crate) data: Option<String>,
    /// Show every rule that does not match
    #[arg(long)]
    pub(crate) all: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// The request
    #[arg(last = true, value_name = "REQUEST", allow_hyphen_values = true)]
    pub(crate) request: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// The admin address of the running Portway
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = admin, default_value = defaults::ADMIN)]
    pub(crate) admin: SocketAddr,
    /// How long the new process may take to serve, such as 90 or 90s or 2m; then it is killed, and nothing has changed
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Print one JSON object; `portway upgrade --help` describes it
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Leaves {
    /// The whole process: it stops, and can be taken back until its listeners close
    Process,
    /// All listeners of this name
    Listener {
        /// Its name
        name: String,
    },
    /// All targets of this group
    Group {
        /// Its name
        name: String,
    },
    /// One target
    Target {
        /// Its group and its name
        #[arg(value_name = "GROUP/TARGET")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(subcommand)]
    pub(crate) what: Leaves,
    /// The admin address of the running Portway
    #[arg(long, global = true, value_name = "ADDRESS:PORT", value_parser = admin, default_value = defaults::ADMIN)]
    pub(crate) admin: SocketAddr,
    /// How long what is in progress may take, such as 30s or 5m; then it is cut off. As the configuration says unless given
    #[arg(long, global = true, value_name = "DURATION", value_parser = time)]
    pub(crate) deadline: Option<Duration>,
    /// How long a listener or the process goes on taking what comes, while readiness fails and answers say that it leaves. As
    /// `ready_delay` of the configuration unless given
    #[arg(long, global = true, value_name = "DURATION", value_parser = time)]
    pub(crate) ready_delay: Option<Duration>,
    /// Come back once nothing is left, and say meanwhile what is
    #[arg(long, global = true)]
    pub(crate) wait: bool,
    /// Print one JSON object; `portway drain --help` describes it
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Undrain {
    #[command(subcommand)]
    pub(crate) what: Leaves,
    /// The admin address of the running Portway
    #[arg(long, global = true, value_name = "ADDRESS:PORT", value_parser = admin, default_value = defaults::ADMIN)]
    pub(crate) admin: SocketAddr,
    /// Print one JSON object; `portway drain --help` describes it
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// An address of an option, without names: nobody is asked what they are.
pub(crate) fn admin(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let default = defaults::ADMIN.rsplit(':').next().unwrap_or_default();
        let port: u16 = port.parse().or(default.parse()).unwrap_or_default();
        match host {
            "" | "localhost" => format!("write 127.0.0.1:{port}"),
            host => match host.parse::<IpAddr>() {
                Ok(ip) => format!("the port is missing: write {}", SocketAddr::new(ip, port)),
                Err(_) => {
                    "an IP address with a port, such as 127.0.0.1:9900 or [::1]:9900".to_owned()
                }
            },
        }
    })
}

/// A duration of an option that may be nothing, and any length.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "a number with ms, s, m, h or d, or several of them: 1h30m".to_owned();
    let (mut rest, mut seconds) = (text, 0.0);
    loop {
        let is_of_number = |it: char| it.is_ascii_digit() || it == '.';
        let number = rest.len() - rest.trim_start_matches(is_of_number).len();
        let (number, behind) = rest.split_at(number);
        let unit = behind.len() - behind.trim_start_matches(char::is_alphabetic).len();
        let (unit, behind) = behind.split_at(unit);
        let scale = match unit {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        seconds += number * scale;
        if behind.is_empty() {
            break;
        }
        rest = behind;
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A duration of an option.
fn duration(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    match !time.is_zero() && time <= MOST_PATIENCE {
        true => Ok(time),
        false => Err("more than nothing, up to an hour".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// None: what the running Portway would take over of its files now. One: what it would change of the running one. Two:
    /// from the first to the second
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    /// All sources together are the configuration that is to follow the running one
    #[arg(long)]
    pub(crate) running: bool,
    /// The admin address of the running Portway
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = admin, default_value = defaults::ADMIN)]
    pub(crate) admin: SocketAddr,
    #[command(flatten)]
    pub(crate) language: Language,
    #[command(flatten)]
    pub(crate) templates: Templates,
    /// Print one JSON object; `portway plan --help` describes it
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// Make a certificate that nobody but you has a reason to trust
    SelfSigned(SelfSigned),
    /// Say what is in a PEM file and what is wrong with it
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(crate) struct SelfSigned {
    /// Host names (also `*.example.com`) and IP addresses
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Where the certificate goes
    #[arg(long, value_name = "FILE")]
    pub(crate) out_cert: PathBuf,
    /// Where the private key goes; readable by you alone
    #[arg(long, value_name = "FILE")]
    pub(crate) out_key: PathBuf,
    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// PEM files; a certificate and its key may stand in one or in two
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations() {
        let check = |text: &str, millis| {
            let found = time(text).ok().map(|it| it.as_millis());
            assert_eq!(found, millis, "{text}");
        };
        check("5", Some(5000));
        check("1.5s", Some(1500));
        check("250ms", Some(250));
        check("1h30m", Some(5_400_000));
        check("1d", Some(86_400_000));
        for wrong in ["", "s", "-1s", "1 m", "1w", "1h-3m", "1.2.3s", "1mm"] {
            check(wrong, None);
        }
    }

    #[test]
    fn addresses_say_what_to_write() {
        let said = |text: &str| admin(text).unwrap_err();
        assert_eq!(said("localhost:9901"), "write 127.0.0.1:9901");
        assert_eq!(said(":9902"), "write 127.0.0.1:9902");
        let missing = "the port is missing: write";
        assert_eq!(said("10.0.0.1"), format!("{missing} 10.0.0.1:9900"));
        assert!(said("nonsense").starts_with("an IP address with a port"));
        assert!(admin("[::1]:9900").is_ok());
    }
}
