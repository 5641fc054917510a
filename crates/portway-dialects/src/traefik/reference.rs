//! `docs/traefik.md` is what the tables say. `PORTWAY_BLESS=1 cargo test -p portway-dialects --lib reference` writes it
//! anew.

use super::schema::{FIXED, Kind, LABELS, Row, State, dynamic_rows};
use std::fmt::Write;

/// What stands before the tables.
const HEAD: &str = "\
# Traefik

Portway runs what its users say to Traefik: labels of compose files, dynamic files and static files in YAML and TOML, in the
words of version 3 and of version 2. This page says what becomes of each option. It is made from the tables in the code
(`PORTWAY_BLESS=1 cargo test -p portway-dialects --lib reference` writes it anew).

```sh
portway check compose.yml                 # everything that is wrong, what has no effect, and what is not done yet
portway run compose.yml                   # runs it
portway run traefik.yml dynamic.yml       # static and dynamic files; those that `providers.file` names are read too
portway run compose.yml certificates.yml  # several files are one configuration
portway convert compose.yml               # the same in the native form, docs/native.md
```

A file is known by its keys: `services` (a compose file), `http`, `tcp`, `tls` (dynamic), `entryPoints`, `providers`
(static, perhaps with dynamic configuration in it). `--as traefik` says it. Relative paths begin in the folder of the file that
names them. Dynamic files are watched, and static files with them: a change is put to work without a restart,
unless `providers.file.watch` is `false`. Compose files are watched with `portway run --watch`.

## Compose files

Labels of all services are read, and those of `deploy`, as Traefik's Docker provider reads them. A service that is not
exposed (`traefik.enable=false`, or `exposedByDefault` of the provider) is left out. Where labels say no port, the lowest one of
`ports` and `expose` counts; ports that only an image exposes are not known here. A Traefik among the services is not a
server: its `command` is the static configuration, or the file that it has at `/etc/traefik/traefik.yml`. Paths of
`providers.file` are looked for where its volumes come from.

Servers are looked for

1. where `--address SERVICE=ADDRESS[:PORT]` says, once for each container;
2. at the port that the host publishes; replicas have the ports of a range (`9021-9023:9021`) one each;
3. under the name of the service (with `replicas`, of each container), as Docker's own DNS gives it.

Services that state the same objects with the same settings are one: their servers come together. With other settings they are an
error. Profiles are asked for by `COMPOSE_PROFILES`; several compose files are
not merged (`docker compose config` prints one of all). `${VARIABLES}` come from the environment and from `.env` beside the file. A `healthcheck` that asks the container itself
with curl or wget becomes a health check of Portway, where labels have none.

## Entry points

Without static configuration there are `web` (`:80`) and `websecure` (`:443`); a router that names none is on `web`, and with TLS on
`websecure`. With static configuration, those that it states. What no router takes is answered with `404 page not found`.

* An entry point takes TLS where one of its routers has it, and clients that speak in the clear where one has not. Traefik would
  answer 404 where no router is for what the client speaks; here the connection is closed.
* TLS needs certificates, in `tls.certificates` of a dynamic file. Where there are some, `certResolver` has no effect; where there
  are none, it is an error. A host of a router with TLS that none of them is for is a warning: its clients are shown the first.
* X-Forwarded-For, -Host, -Port, -Proto, -Server and X-Real-Ip are what Traefik sends: what an untrusted client says of them is
  removed, and X-Forwarded-Proto is `ws` or `wss` for WebSockets. What the middleware `headers` sets counts before all of it.
* To an `ipStrategy` a client that no trusted proxy speaks for has its own address as X-Forwarded-For; in Traefik it has none there, so
  that a `depth` finds nobody.
* A connection that does not come about is tried at another server, whether there is a `retry` or not.
* A service that routers try again in different ways (`retry`) is one group for each way, with health checks and figures of its own.
* Silence of servers and tunnels is bounded by a day where nothing is said.

| state | what it means |
|---|---|
| yes | It does what it does in Traefik, but for what the remark names. |
| no effect | It changes nothing here, for the reason that is given. A warning says so. |
| not yet | An error at its line. |
| no | An error at its line: it will not be done, for the reason that is given. |
";

fn state(state: State) -> &'static str {
    match state {
        State::Yes => "yes",
        State::NoEffect => "no effect",
        State::NotYet => "not yet",
        State::No => "no",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::List => "list",
        Kind::Flag => "boolean",
        Kind::Number => "number",
        Kind::Duration => "duration",
        Kind::Section | Kind::Free => "options",
        Kind::Objects => "list of options",
        Kind::Names => "options by name",
        Kind::Map => "texts by name",
    }
}

fn table(page: &mut String, title: &str, rows: &[&Row], above: &str) {
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        page,
        "\n## {title}\n\n| option | type | state | remark |\n|---|---|---|---|"
    );
    for row in rows {
        let path = row.path.strip_prefix(above).unwrap_or(row.path);
        let path = path.replace('*', "NAME");
        let (kind, state) = (kind(row.kind), state(row.state));
        let remark = row.remark.replace('|', "\\|");
        let _ = writeln!(page, "| `{path}` | {kind} | {state} | {remark} |");
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    let all = || dynamic_rows().chain(FIXED).chain(LABELS);
    let count = |wanted| all().filter(|row| row.state == wanted).count();
    let _ = writeln!(
        page,
        "\nOf {} options {} work; {} have no effect, {} are not done yet, {} will not be.",
        all().count(),
        count(State::Yes),
        count(State::NoEffect),
        count(State::NotYet),
        count(State::No),
    );
    let below = |start: &str| -> Vec<&Row> {
        let rows = dynamic_rows().filter(|row| row.path.starts_with(start) && row.path != start);
        rows.filter(|row| !row.path.ends_with(".*")).collect()
    };
    table(
        &mut page,
        "Labels, below `traefik.`",
        &LABELS.iter().collect::<Vec<_>>(),
        "",
    );
    for (title, start) in [
        ("HTTP routers, `http.routers.NAME`", "http.routers.*."),
        ("HTTP services, `http.services.NAME`", "http.services.*."),
        (
            "HTTP middlewares, `http.middlewares.NAME`",
            "http.middlewares.*.",
        ),
        (
            "Transports, `http.serversTransports.NAME`",
            "http.serversTransports.*.",
        ),
        ("TCP, `tcp`", "tcp."),
        ("UDP", "udp"),
        ("TLS, `tls`", "tls."),
    ] {
        let mut rows = below(start);
        if start == "udp" {
            rows = dynamic_rows().filter(|row| row.path == "udp").collect();
        }
        table(&mut page, title, &rows, start);
    }
    table(
        &mut page,
        "Static configuration, and flags",
        &FIXED.iter().collect::<Vec<_>>(),
        "",
    );
    page.push_str(FOOT);
    page
}

/// What stands after them.
const FOOT: &str = "
## Rules

Matchers of version 3 (`Host`, `HostRegexp`, `Path`, `PathPrefix`, `PathRegexp`, `Method`, `Header`, `HeaderRegexp`, `Query`,
`QueryRegexp`, `ClientIP`) and of version 2 (several values, `HostHeader`, `Headers`, `HeadersRegexp`, templates such as
`{id:[0-9]+}`); of TCP `HostSNI`, `HostSNIRegexp`, `ALPN`, `ClientIP`. Without `ruleSyntax` forms of either are read; with a Traefik of
version 2 in the compose file, those of 2. The longest rule is asked first, unless a `priority` says otherwise; rules of one
priority stand in the order of their routers' names.

Before rules see a path, and servers get it, what need not be percent-encoded in it is decoded, and `//`, `/./` and `/../` are
resolved (`sanitizePath`). `Path` and `PathPrefix` may be written without encoding: ``Path(`/a b`)`` is for `/a%20b`. Patterns see
the path as it is sent on.

Several routers on one entry point share its port: over TLS, HTTP routers that name the server (`Host`) come before TCP routers that
name it (`HostSNI`), then HTTP routers for any server, then TCP routers for any; in the clear, TCP routers come before HTTP.
`tls.options` belong to server names; where routers for one name ask for different ones it has the default ones, and a request
for another name than that of its connection, with other options, is answered with 421.
";

#[cfg(test)]
#[test]
fn the_reference_is_what_the_tables_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/traefik.md");
    let page = page();
    if std::env::var_os("PORTWAY_BLESS").is_some() {
        std::fs::write(path, page).unwrap();
        return;
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/traefik.md is not what the tables say: PORTWAY_BLESS=1 cargo test -p portway-dialects --lib reference writes it anew"
    );
}
