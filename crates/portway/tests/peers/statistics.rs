//! The page of statistics and its other forms, beside those of a real HAProxy after the same traffic.

use std::collections::BTreeMap;

use crate::support::{Portway, Process, Scene, eventually, free_port, local};

/// Ports of one balancer: the frontend of requests, and that of bytes.
#[derive(Clone, Copy)]
struct Ports {
    www: u16,
    raw: u16,
}

impl Ports {
    fn new() -> Self {
        let [www, raw] = [(); 2].map(|()| free_port());
        Self { www, raw }
    }
}

/// A target that answers `/STATUS` with that status.
fn target(scene: &Scene, port: u16) -> Process {
    let block = format!(
        r#"server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "fine\n"; }}
    location /404 {{ return 404; }}
    location /302 {{ return 302 /; }}
    location /500 {{ return 500; }}
}}"#
    );
    scene.nginx(port, &block)
}

fn portway(scene: &Scene, ports: Ports, (up, down): (u16, u16)) -> Portway {
    let Ports { www, raw } = ports;
    scene.portway(&format!(
        r#"
[process]
workers = 1
max_connections = 1000
[listener.www]
bind = "127.0.0.1:{www}"
forward = "app"
[[listener.www.rule]]
when = "Path(`/forbidden`)"
respond = 403
[[listener.www.rule]]
when = "Path(`/metrics`)"
service = "metrics"
[[listener.www.rule]]
when = "target starts_with `/statistics`"
service = {{ stats = {{ uri_prefix = "/statistics", refresh = "7s", show_legends = true, admin = true }} }}
[listener.raw]
bind = "127.0.0.1:{raw}"
protocol = "tcp"
forward = "bytes"
[stick_table.clients]
key = "address"
size = 1024
[target_group.bytes]
targets = [{{ address = "127.0.0.1:{up}", name = "t1" }}]
[target_group.app]
targets = [
    {{ address = "127.0.0.1:{up}", name = "a", weight = 3 }},
    {{ address = "127.0.0.1:{down}", name = "b", max_connections = 5 }},
    {{ address = "127.0.0.1:{down}", name = "c", backup = true, disabled = true }},
]
health_check = {{ http = "/", interval = "100ms", unhealthy_threshold = 3 }}
[target_group.clients]
targets = []
"#
    ))
}

fn haproxy(scene: &Scene, ports: Ports, (up, down): (u16, u16)) -> Process {
    let Ports { www, raw } = ports;
    let text = format!(
        "global
    maxconn 1000
    nbthread 1
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 2s
frontend www
    bind 127.0.0.1:{www}
    stats enable
    stats uri /statistics
    stats refresh 7s
    stats show-legends
    stats admin if TRUE
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request return status 403 if {{ path /forbidden }}
    default_backend app
frontend raw
    bind 127.0.0.1:{raw}
    mode tcp
    default_backend bytes
backend bytes
    mode tcp
    server t1 127.0.0.1:{up}
backend app
    option httpchk GET /
    server a 127.0.0.1:{up} check inter 100 weight 3
    server b 127.0.0.1:{down} check inter 100 maxconn 5
    server c 127.0.0.1:{down} check inter 100 backup disabled
backend clients
    stick-table type ip size 1k
"
    );
    let file = scene.file("haproxy.cfg", text);
    scene.serve(www, "haproxy", &["-db", "-f", file.to_str().unwrap()])
}

/// The requests that both balancers get.
fn traffic(scene: &Scene, ports: Ports) {
    let Ports { www, raw } = ports;
    for path in ["/", "/", "/404", "/302", "/500", "/forbidden"] {
        scene.status(&[&format!("http://127.0.0.1:{www}{path}")]);
    }
    scene.status(&[&format!("http://127.0.0.1:{raw}/")]);
}

/// Rows by proxy and server, each with its columns.
type Table = BTreeMap<(String, String), BTreeMap<String, String>>;

fn table(scene: &Scene, www: u16) -> Table {
    let text = scene
        .curl(&[&format!("http://127.0.0.1:{www}/statistics;csv")])
        .good();
    let mut lines = text.lines();
    let header = lines.next().and_then(|it| it.strip_prefix("# ")).unwrap();
    let names: Vec<&str> = header.split(',').collect();
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), names.len(), "{line}");
            let row: BTreeMap<String, String> = names
                .iter()
                .zip(&cells)
                .map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned()))
                .collect();
            ((cells[0].to_owned(), cells[1].to_owned()), row)
        })
        .collect()
}

/// Columns whose values are the same after the same traffic.
const SAME: &[&str] = &[
    "type",
    "pid",
    "iid",
    "sid",
    "mode",
    "status",
    "weight",
    "uweight",
    "act",
    "bck",
    "slim",
    "smax",
    "stot",
    "lbtot",
    "dresp",
    "ereq",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "hrsp_1xx",
    "hrsp_2xx",
    "hrsp_3xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "hrsp_other",
    "req_tot",
    "conn_tot",
    "intercepted",
    "cli_abrt",
    "srv_abrt",
    "rate_lim",
    "qcur",
    "qmax",
    "algo",
    "check_status",
    "last_chk",
    "check_desc",
    "check_rise",
    "check_fall",
    "check_health",
    "chkdown",
    "addr",
    "comp_in",
    "agg_server_status",
    "dcon",
    "dses",
    "tracked",
    "throttle",
    "qlimit",
    "agent_status",
];

/// Columns that stand in one and not in the other: the status of a check's answer is not kept, and maintenance of a
/// server that would be checked.
const KNOWN: &[&str] = &["check_code", "chkfail", "chkdown", "downtime"];

#[test]
fn the_same_rows_and_columns_as_haproxy() {
    let scene = Scene::new();
    let [up, down] = [(); 2].map(|()| free_port());
    let _target = target(&scene, up);
    let (ours, theirs) = (Ports::new(), Ports::new());
    let _portway = portway(&scene, ours, (up, down));
    let _haproxy = haproxy(&scene, theirs, (up, down));
    for ports in [ours, theirs] {
        let state =
            |name: &str| table(&scene, ports.www)[&("app".into(), name.into())]["status"].clone();
        eventually("checks", || {
            (state("a") == "UP" && state("b") == "DOWN").then_some(())
        });
    }
    // Looking counts as traffic too, equally often from here on.
    let before = [ours, theirs].map(|ports| table(&scene, ports.www));
    for ports in [ours, theirs] {
        traffic(&scene, ports);
    }
    let after = [ours, theirs].map(|ports| table(&scene, ports.www));
    let [ours, theirs] = &after;
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        theirs.keys().collect::<Vec<_>>()
    );
    let mut wrong = Vec::new();
    for (key, their) in theirs {
        let our = &ours[key];
        assert_eq!(
            our.keys().collect::<Vec<_>>(),
            their.keys().collect::<Vec<_>>()
        );
        for (name, their_value) in their {
            let grown = |which: usize, value: &str| -> String {
                let first = &before[which][key][name];
                match (first.parse::<u64>(), value.parse::<u64>()) {
                    // What was looked at before the traffic is not compared.
                    (Ok(first), Ok(value)) if name != "slim" && name != "iid" => {
                        value.saturating_sub(first).to_string()
                    }
                    _ => value.to_owned(),
                }
            };
            let (mine, theirs) = (grown(0, &our[name]), grown(1, their_value));
            let differs = match SAME.contains(&name.as_str()) {
                true => mine != theirs,
                false => mine.is_empty() != theirs.is_empty(),
            };
            if differs && !KNOWN.contains(&name.as_str()) {
                wrong.push(format!(
                    "{}/{} {name}: {mine:?}, HAProxy {theirs:?}",
                    key.0, key.1
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_metrics_as_haproxy() {
    let scene = Scene::new();
    let [up, down] = [(); 2].map(|()| free_port());
    let _target = target(&scene, up);
    let (ours, theirs) = (Ports::new(), Ports::new());
    let _portway = portway(&scene, ours, (up, down));
    let _haproxy = haproxy(&scene, theirs, (up, down));
    let samples = |ports: Ports| -> Vec<String> {
        let text = scene
            .curl(&[&format!("http://127.0.0.1:{}/metrics", ports.www)])
            .good();
        let lines = text.lines().filter(|line| !line.starts_with("# HELP"));
        let names = lines.map(|line| match line.starts_with('#') {
            true => line.to_owned(),
            false => line.rsplit_once(' ').unwrap().0.to_owned(),
        });
        names.filter(|line| !line.contains("build_info{")).collect()
    };
    for ports in [ours, theirs] {
        eventually("a check", || {
            samples(ports)
                .iter()
                .any(|it| it.contains("check_duration") && it.contains("server=\"a\""))
                .then_some(())
        });
    }
    let (mut mine, mut their) = (samples(ours), samples(theirs));
    mine.sort();
    their.sort();
    let missing: Vec<_> = their.iter().filter(|it| !mine.contains(it)).collect();
    let more: Vec<_> = mine.iter().filter(|it| !their.contains(it)).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "missing: {missing:#?}\nmore: {more:#?}"
    );
}

#[test]
fn states_are_changed_on_the_page() {
    let scene = Scene::new();
    let [up, down] = [(); 2].map(|()| free_port());
    let _target = target(&scene, up);
    let ports = Ports::new();
    let portway = portway(&scene, ports, (up, down));
    portway.wait_for_health("app", local(up), "healthy");
    portway.wait_for_health("app", local(down), "unhealthy");
    let page = format!("http://127.0.0.1:{}/statistics", ports.www);
    let post = |form: &str| {
        let head = scene
            .curl(&["-D", "-", "-o", "/dev/null", "-d", form, &page])
            .good();
        let location = head.lines().find_map(|it| it.strip_prefix("location: "));
        location.map(str::to_owned).unwrap_or(head)
    };
    let state = || table(&scene, ports.www)[&("app".into(), "a".into())]["status"].clone();
    let check = |form: &str, outcome: &str, after: &str| {
        assert_eq!(post(form), format!("/statistics;st={outcome}"), "{form}");
        eventually(form, || (state() == after).then_some(()));
    };
    check("s=a&action=drain&b=app", "DONE", "DRAIN");
    assert_eq!(
        scene.status(&[&format!("http://127.0.0.1:{}/", ports.www)]),
        "503"
    );
    check("s=a&action=ready&b=%234", "DONE", "UP");
    check("s=a&action=maint&b=app", "DONE", "MAINT");
    check("s=a&s=nobody&action=ready&b=app", "PART", "UP");
    // Words of older versions, which do nothing where nothing is to be done.
    check("s=a&action=enable&b=app", "NONE", "UP");
    check("s=a&action=disable&b=app", "DONE", "MAINT");
    check("s=a&action=disable&b=app", "NONE", "MAINT");
    check("s=a&action=enable&b=app", "DONE", "UP");
    check("s=a&action=stop&b=app", "DONE", "DRAIN");
    check("s=a&action=start&b=app", "DONE", "UP");
    check("s=a&action=dhlth&b=app", "DONE", "no check");
    check("s=a&action=ehlth&b=app", "DONE", "UP");
    check("s=a&action=hnolb&b=app", "DONE", "DRAIN");
    check("s=a&action=hrunn&b=app", "DONE", "UP");
    check("s=a&action=dagent&b=app", "NONE", "UP");
    check("s=a&action=adown&b=app", "NONE", "UP");
    check("s=a&action=shutdown&b=app", "DONE", "UP");
    check("s=a&action=dance&b=app", "ERRP", "UP");
    check("s=a&action=drain&b=nobody", "ERRP", "UP");
    check("action=drain&b=app", "NONE", "UP");
    assert_eq!(
        scene.status(&[&format!("http://127.0.0.1:{}/", ports.www)]),
        "200"
    );
    let html = scene.curl(&[&format!("{page};st=DONE")]).good();
    assert!(
        html.contains("Done.") && html.contains("value=ready"),
        "{html}"
    );
}

/// Both run this file.
fn compressing(www: u16, up: u16) -> String {
    format!(
        "defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 2s
frontend www
    bind 127.0.0.1:{www}
    stats enable
    stats uri /statistics
    use_backend same if {{ path_beg /same }}
    default_backend app
backend app
    compression algo gzip
    compression type text/plain
    server a 127.0.0.1:{up}
backend same
    compression algo identity
    compression type text/plain
    server a 127.0.0.1:{up}
"
    )
}

#[test]
fn compression_is_counted_as_haproxy_counts_it() {
    let scene = Scene::new();
    let [up, ours, theirs] = [(); 3].map(|()| free_port());
    let part = "All work and no play. ".repeat(50);
    let long = part.repeat(4);
    let block = format!(
        "server {{ listen 127.0.0.1:{up}; default_type text/plain; set $part \"{part}\";
         location / {{ return 200 \"$part$part$part$part\"; }} }}"
    );
    let _target = scene.nginx(up, &block);
    scene.file("ours.cfg", compressing(ours, up));
    let file = scene.file("theirs.cfg", compressing(theirs, up));
    let portway = scene.portway_with(&["ours.cfg"]);
    let _haproxy = scene.serve(theirs, "haproxy", &["-db", "-f", file.to_str().unwrap()]);
    let counted = |www: u16| {
        for (path, accepts) in [
            ("/", "gzip"),
            ("/", "gzip"),
            ("/", "br"),
            ("/same", "identity"),
            ("/same", "gzip"),
        ] {
            let accepts = format!("Accept-Encoding: {accepts}");
            scene.status(&["-H", &accepts, &format!("http://127.0.0.1:{www}{path}")]);
        }
        let table = table(&scene, www);
        let rows = [("www", "FRONTEND"), ("app", "BACKEND"), ("same", "BACKEND")];
        rows.map(|(proxy, name)| {
            let row = &table[&(proxy.into(), name.into())];
            let number = |column: &str| row[column].parse::<u64>().unwrap();
            let out = number("comp_out");
            assert!(out * 4 <= number("comp_in"), "{proxy}: {out}");
            assert_eq!(out > 0, number("comp_in") > 0, "{proxy}");
            ["comp_in", "comp_byp", "comp_rsp"].map(number)
        })
    };
    let (counts, expected) = (counted(ours), counted(theirs));
    assert_eq!(counts, expected);
    let all = 2 * long.len() as u64;
    assert_eq!((counts[0][0], counts[1][0]), (all, all));
    let page = scene.curl(&[&format!("http://127.0.0.1:{ours}/statistics")]);
    assert!(page.good().contains("Compressed: "));
    // And in figures of our own.
    let url = format!("http://{}/metrics", portway.admin);
    let text = scene.curl(&["-s", &url]).good();
    for line in [
        format!("portway_listener_uncompressed_bytes_total{{listener=\"www\"}} {all}"),
        format!("portway_target_group_uncompressed_bytes_total{{target_group=\"app\"}} {all}"),
    ] {
        assert!(text.contains(&line), "{line}");
    }
    let none = "portway_target_group_compressed_bytes_total{target_group=\"same\"}";
    assert!(!text.contains(none));
}
