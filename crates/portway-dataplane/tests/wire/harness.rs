//! Runs a configuration on one worker of this process, between scripted peers, and holds every test to what every
//! run must keep true: one record per exchange, and gauges back to zero.

use portway_core::route::Router;
use portway_core::stick::Table;
use portway_dataplane::access_log::{self, LogSink};
use portway_dataplane::live::{Entrance, Health, ListenerState, ProcessState, TargetState};
use portway_dataplane::plane::{GroupParts, ListenerKey, ListenerParts, Plane, SocketPlace};
use portway_dataplane::service::Services;
use portway_dataplane::support;
use portway_dataplane::wants::{self, Wants};
use portway_dataplane::worker::{BoundSocket, Socket, SocketId, Workers};
use portway_model::address::{BindAddress, Host, TargetAddress};
use portway_model::compile::compile;
use portway_model::draft::LogFormat;
use portway_model::log::LogDestination;
use portway_model::snapshot::{AccessLog, ListenerId, Snapshot, Target as Configured, TargetGroup};
use portway_model::span::Sources;
use portway_telemetry::metrics::{
    GroupNames, MemoryFigures, NameFigures, Names, Past, PipeFigures, ProcessFigures, Registry,
    TargetHealth,
};
use portway_telemetry::zone::Zone;
use portway_testkit::peer::{PATIENCE, Wire, eventually};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// Addresses that a configuration may name: `@0` to `@3` stand for these with a free port each.
const PLACES: [Ipv4Addr; 4] = [
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::new(127, 0, 0, 2),
];

/// A running worker, or several.
pub(crate) struct Proxy {
    plane: Arc<Plane>,
    workers: Workers,
    places: Vec<SocketAddr>,
    log: JoinHandle<Vec<String>>,
}

/// What a run came to.
pub(crate) struct Outcome {
    /// Lines of the access log.
    pub(crate) log: Vec<String>,
    /// Nothing had to be cut off.
    pub(crate) graceful: bool,
}

impl Proxy {
    /// Runs this configuration in the native dialect.
    pub(crate) fn start(text: &str) -> Self {
        Self::start_with(text, |_| {})
    }

    /// The same; `prepare` sees the plane before it is installed.
    pub(crate) fn start_with(text: &str, prepare: impl FnOnce(&mut Plane)) -> Self {
        Self::start_on(text, prepare, |sockets| vec![sockets])
    }

    /// The same with a worker for each listener.
    pub(crate) fn start_apart(text: &str) -> Self {
        let apart = |sockets: Vec<BoundSocket>| sockets.into_iter().map(|one| vec![one]).collect();
        Self::start_on(text, |_| {}, apart)
    }

    fn start_on(
        text: &str,
        prepare: impl FnOnce(&mut Plane),
        by_worker: impl FnOnce(Vec<BoundSocket>) -> Vec<Vec<BoundSocket>>,
    ) -> Self {
        let listeners: Vec<TcpListener> = PLACES
            .iter()
            .map(|ip| TcpListener::bind((*ip, 0)).unwrap())
            .collect();
        let places: Vec<SocketAddr> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        let mut text = text.to_owned();
        for (index, place) in places.iter().enumerate() {
            text = text.replace(&format!("@{index}"), &place.to_string());
        }
        let snapshot = compiled(&text);
        let by_address: HashMap<SocketAddr, TcpListener> =
            places.iter().copied().zip(listeners).collect();
        let sockets = by_worker(sockets(&snapshot, by_address));
        let (sink, stream) = access_log::channel();
        let mut plane = plane(snapshot, &LogSink::from(sink.clone()), sockets.len());
        drop(sink);
        prepare(&mut plane);
        let plane = Arc::new(plane);
        let log = std::thread::spawn(move || {
            let batches =
                stream.map(|packet| String::from_utf8(packet.batch.lines.clone()).unwrap());
            let all: String = batches.collect();
            all.lines().map(str::to_owned).collect()
        });
        let workers = Workers::start(Arc::clone(&plane), sockets).unwrap();
        Self {
            plane,
            workers,
            places,
            log,
        }
    }

    /// Where listener `@index` accepts.
    pub(crate) fn address(&self, index: usize) -> SocketAddr {
        self.places[index]
    }

    /// A client of listener `@0`.
    pub(crate) fn client(&self) -> Wire {
        Wire::connect(self.places[0]).unwrap()
    }

    /// What is at work now, without keeping it.
    pub(crate) fn plane(&self) -> Weak<Plane> {
        Arc::downgrade(&self.plane)
    }

    /// Serves what begins from now on with other targets in the first group: those of its places that are `kept`, in
    /// this order, and then a new one.
    pub(crate) fn change_targets(&mut self, kept: &[usize], new: Option<SocketAddr>) {
        let before = &self.plane;
        let mut snapshot = Snapshot::clone(&before.snapshot);
        let group = Arc::make_mut(&mut snapshot.groups[0]);
        let kept = kept.iter();
        let (mut targets, mut states): (Vec<Configured>, Vec<Arc<TargetState>>) = kept
            .map(|it| {
                (
                    group.targets[*it].clone(),
                    before.groups[0].targets[*it].clone(),
                )
            })
            .unzip();
        if let Some(address) = new {
            let mut target = group.targets[0].clone();
            target.name = "new".into();
            target.address = TargetAddress::Tcp {
                host: Host::Ip(address.ip()),
                port: address.port(),
            };
            states.push(live(&target));
            targets.push(target);
        }
        group.targets = targets;
        let parts = before.groups[0].next(group, (None, Vec::new()), states);
        let metrics = before.metrics.renewed(names(&snapshot), &Past::default());
        let mut groups = before.groups.clone();
        groups[0] = Arc::new(parts);
        let plane = Arc::new(before.next(Arc::new(snapshot), groups, Arc::new(metrics)));
        let publisher = self.workers.publisher();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime
            .unwrap()
            .block_on(publisher.publish(&plane, Vec::new()))
            .unwrap();
        self.plane = plane;
    }

    /// How many wait for a target of a group.
    pub(crate) fn waiting(&self, group: usize) -> u32 {
        self.plane.groups[group].state.waiting()
    }

    /// The live state of a target.
    pub(crate) fn target(&self, group: usize, target: usize) -> &TargetState {
        &self.plane.groups[group].targets[target]
    }

    /// Ends what a target serves now.
    pub(crate) fn cut_off(&self, group: usize, target: usize) {
        self.target(group, target).cut_off(&self.plane.process);
    }

    /// All counters as Prometheus text.
    pub(crate) fn metrics(&self) -> String {
        rendered(&self.plane)
    }

    /// The value of a sample; 0 where there is none.
    pub(crate) fn metric(&self, sample: &str) -> i64 {
        let text = self.metrics();
        let found = text.lines().find_map(|line| line.strip_prefix(sample));
        found.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// The sum of all samples of a family.
    pub(crate) fn sum(&self, family: &str) -> i64 {
        let text = self.metrics();
        let values = text
            .lines()
            .filter(|line| {
                line.strip_prefix(family)
                    .is_some_and(|rest| rest.starts_with('{'))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok());
        values.sum()
    }

    /// Waits until no client is connected.
    pub(crate) fn quiet(&self) {
        let gauges = [
            "portway_listener_connections_open",
            "portway_listener_requests_in_flight",
        ];
        for gauge in gauges {
            let zero = eventually(|| self.sum(gauge) == 0);
            assert!(zero, "{gauge} is {}", self.sum(gauge));
        }
        let groups = self.plane.groups.iter();
        for target in groups.flat_map(|group| group.targets.iter()) {
            assert!(
                eventually(|| target.in_flight() == 0),
                "in flight: {}",
                target.in_flight()
            );
        }
    }

    /// Begins a graceful stop.
    pub(crate) fn drain(&self, deadline: Duration) {
        self.plane.process.set_draining();
        let axe = self.workers.drain();
        // It ends with the test.
        std::thread::spawn(move || {
            std::thread::sleep(deadline);
            axe.fall();
        });
    }

    /// Waits until all clients have gone, stops, and holds the run to its promises: `records` lines in the log.
    pub(crate) fn finish(self, records: usize) -> Vec<String> {
        self.quiet();
        self.drain(PATIENCE);
        let outcome = self.join();
        assert!(outcome.graceful, "something had to be cut off");
        assert_eq!(outcome.log.len(), records, "records: {:#?}", outcome.log);
        outcome.log
    }

    /// Waits for the end of a graceful stop.
    pub(crate) fn join(self) -> Outcome {
        let graceful = self.workers.join() == 0;
        let text = rendered(&self.plane);
        for gauge in GAUGES {
            let samples = text.lines().filter(|line| line.starts_with(gauge));
            for sample in samples {
                assert!(sample.ends_with("} 0"), "{sample}");
            }
        }
        for group in 0..self.plane.groups.len() {
            let open = self.plane.metrics.group_totals(group).sessions_open;
            assert_eq!(open, 0, "sessions of the group with this number: {group}");
        }
        drop(self.plane);
        let log = self.log.join().unwrap();
        Outcome { log, graceful }
    }
}

/// What is counted down again: all of it is 0 when a run has ended.
const GAUGES: [&str; 5] = [
    "portway_listener_connections_open{",
    "portway_listener_requests_in_flight{",
    "portway_target_requests_in_flight{",
    "portway_target_connections_open{",
    "portway_target_connections_idle{",
];

fn rendered(plane: &Plane) -> String {
    let mut text = String::new();
    let figures = ProcessFigures {
        memory: MemoryFigures::default(),
        pipes: PipeFigures::default(),
        tables: &[],
        logs: &[],
        version: "0",
        started: SystemTime::UNIX_EPOCH,
        generation: 1,
        circuits: &[],
        draining: [0; 3],
        names: NameFigures::default(),
        certificates: &[],
        revocation_lists: &[],
    };
    plane
        .metrics
        .render(&figures, &|_, _| TargetHealth::Healthy.into(), &mut text);
    text
}

fn compiled(text: &str) -> Snapshot {
    let mut sources = Sources::default();
    let file = sources.add("test.toml", text);
    let (draft, found) = portway_dialects::native::parse(file, text);
    assert!(!found.has_errors(), "{found:#?}\n{text}");
    let (snapshot, found) = compile(&draft);
    assert!(!found.has_errors(), "{found:#?}\n{text}");
    let snapshot = snapshot.unwrap();
    let missing = support::not_run(&snapshot);
    assert!(!missing.has_errors(), "{missing:#?}\n{text}");
    snapshot
}

fn sockets(
    snapshot: &Snapshot,
    mut by_address: HashMap<SocketAddr, TcpListener>,
) -> Vec<BoundSocket> {
    let mut sockets = Vec::new();
    for (listener, id) in snapshot.listeners.iter().zip(0..) {
        for bind in &listener.binds {
            let BindAddress::Tcp {
                ip: Some(ip),
                first_port,
                ..
            } = bind.value
            else {
                panic!("not TCP: {bind:?}");
            };
            let socket = by_address.remove(&SocketAddr::new(ip, first_port)).unwrap();
            socket.set_nonblocking(true).unwrap();
            sockets.push(BoundSocket {
                id: SocketId(id),
                socket: Socket::Tcp(socket),
            });
        }
    }
    sockets
}

fn names(snapshot: &Snapshot) -> Names {
    Names {
        listeners: snapshot
            .listeners
            .iter()
            .map(|l| l.name.to_string())
            .collect(),
        groups: snapshot
            .groups
            .iter()
            .map(|group| GroupNames {
                name: group.name.to_string(),
                targets: group.targets.iter().map(|t| t.name.to_string()).collect(),
                rules: Vec::new(),
            })
            .collect(),
        rules: Vec::new(),
        refusals: portway_dataplane::refusal_codes(),
    }
}

fn plane(mut snapshot: Snapshot, sink: &LogSink, workers: usize) -> Plane {
    // Every record is looked at, whatever a configuration says.
    for listener in snapshot.listeners.iter_mut().map(Arc::make_mut) {
        let log_null = !listener.protocol.is_http();
        listener
            .access_log
            .get_or_insert_with(|| json_log(log_null));
    }
    let names = names(&snapshot);
    let listeners = snapshot.listeners.iter().zip(0..);
    let listeners = listeners.map(|(listener, key)| {
        let state: Arc<ListenerState> = Arc::default();
        ListenerParts {
            key: ListenerKey(key),
            tls: None,
            router: Router::build(&listener.rules.request),
            log: Some(sink.clone()),
            wants: Wants::of(listener, &snapshot.groups),
            entrance: Arc::new(Entrance::new(state.clone())),
            state,
        }
    });
    let parts = |group: &Arc<TargetGroup>| {
        GroupParts::new(group, None, group.targets.iter().map(live).collect())
    };
    let groups = snapshot.groups.iter().map(parts);
    Plane {
        services: Services::channel().0,
        zone: Zone::utc(),
        numbers_requests: wants::numbers_requests(&snapshot),
        late_users: wants::late_users(&snapshot),
        max_connections: snapshot.process.max_connections,
        listeners: listeners.map(Arc::new).collect(),
        groups: groups.map(Arc::new).collect(),
        metrics: Arc::new(Registry::new(workers, names)),
        process: Arc::new(ProcessState::default()),
        answers: Arc::default(),
        traces: None,
        keys: Arc::default(),
        maps: Vec::new(),
        map_sets: Vec::new(),
        sources: Arc::default(),
        circuits: portway_dataplane::circuit::circuits(&snapshot, None),
        tables: snapshot
            .stick_tables
            .iter()
            .map(|table| Arc::new(Table::new(table, portway_dataplane::seed())))
            .collect(),
        machine: Arc::default(),
        by_name: OnceLock::new(),
        by_key: OnceLock::new(),
        number: 1,
        sockets: (0..snapshot.listeners.len()).map(place).collect(),
        snapshot: Arc::new(snapshot),
    }
}

fn place(listener: usize) -> (SocketId, SocketPlace) {
    let place = SocketPlace {
        listener: ListenerId(u32::try_from(listener).unwrap()),
        number: 1,
    };
    (SocketId(listener as u64), place)
}

fn json_log(log_null: bool) -> AccessLog {
    AccessLog {
        format: LogFormat::Json,
        to: vec![LogDestination::Stdout],
        error_format: None,
        structured_data: None,
        when: None,
        without: Vec::new(),
        log_null,
        only_faults: false,
        raise_faults: false,
        early: false,
    }
}

fn live(target: &Configured) -> Arc<TargetState> {
    let address = match &target.address {
        TargetAddress::Tcp {
            host: Host::Ip(ip),
            port,
        } => Some(SocketAddr::new(*ip, *port)),
        _ => None,
    };
    let health = if target.disabled {
        Health::Unused
    } else {
        Health::Healthy
    };
    Arc::new(TargetState::new(health, address))
}

/// The port of an address of this host, as fields and templates name it.
pub(crate) fn port(address: SocketAddr) -> String {
    assert_eq!(address.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    address.port().to_string()
}

/// A listener `web` on `@0` with these lines more, forwarding to `app`, whose targets these are.
pub(crate) fn simple(listener: &str, group: &str, targets: &[SocketAddr]) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|target| format!("\"{target}\""))
        .collect();
    let targets = targets.join(", ");
    format!(
        "[listener.web]\nbind = \"@0\"\nforward = \"app\"\n{PLAIN}{listener}\n\
         [target_group.app]\ntargets = [{targets}]\n{group}\n"
    )
}

/// Settings that leave a request as the client wrote it, where forwarding fields are not the subject.
pub(crate) const PLAIN: &str = "\
forwarded.x_forwarded_for = \"preserve\"
forwarded.x_forwarded_proto = \"preserve\"
forwarded.x_forwarded_port = \"preserve\"
forwarded.x_forwarded_host = \"preserve\"
";
