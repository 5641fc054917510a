//! A row of statistics: what [`portway_control::figures`] says of a frontend, a server or a backend, by column.
//!
//! A column that has no meaning for a row is left empty, as HAProxy leaves it; what Portway does not have (a cache,
//! HTTP/2 to targets) is 0 where HAProxy would count it.

use std::time::Duration;

use portway_control::figures::{
    AgentFigures, BackendFigures, CheckFigures, CheckWord, FrontendFigures, ProxyFigures,
    RateFigures, ServerFigures, ServerStatus,
};
use portway_control::figures::{CompressedTotals, FailureTotals, TargetTotals, Times};

use super::field::{Field, Tags, Value};

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    Frontend,
    Backend,
    Server,
}

impl Object {
    /// Its bit in the second argument of `show stat`, and the power of two of its `type`.
    pub(crate) fn bit(self) -> u32 {
        1 << self.number()
    }

    /// Its `type`.
    pub(crate) fn number(self) -> u32 {
        match self {
            Object::Frontend => 0,
            Object::Backend => 1,
            Object::Server => 2,
        }
    }

    /// Its letter in `show stat typed`.
    pub(crate) fn letter(self) -> char {
        match self {
            Object::Frontend => 'F',
            Object::Backend => 'B',
            Object::Server => 'S',
        }
    }

    /// Its word in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Object::Frontend => "Frontend",
            Object::Backend => "Backend",
            Object::Server => "Server",
        }
    }
}

/// A row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) object: Object,
    /// The `iid`.
    pub(crate) proxy: u32,
    /// The `sid`; 0 but for servers.
    pub(crate) id: u32,
    /// By column.
    values: Vec<Option<Value>>,
}

impl Row {
    fn new(object: Object, proxy: &ProxyFigures, id: u32, name: &str) -> Self {
        let mut row = Self {
            object,
            proxy: proxy.number,
            id,
            values: vec![None; Field::ALL.len()],
        };
        row.text(Field::Pxname, &proxy.name);
        row.text(Field::Svname, name);
        row.u32(Field::Pid, 1);
        row.u32(Field::Iid, proxy.number);
        row.u32(Field::Sid, id);
        row.u32(Field::Type, object.number());
        row.text(Field::Mode, if proxy.is_http { "http" } else { "tcp" });
        row
    }

    /// The value of a column.
    pub(crate) fn get(&self, field: Field) -> Option<&Value> {
        self.values.get(field as usize)?.as_ref()
    }

    /// What kind of value a column has in this row: HAProxy's own kinds differ between rows here and there.
    pub(crate) fn tags(&self, field: Field) -> Tags {
        match (self.object, field) {
            (Object::Server, Field::Act | Field::Bck) => Tags("SGP"),
            (Object::Backend, Field::Rate | Field::RateMax) => Tags("MGP"),
            (_, field) => field.tags(),
        }
    }

    /// The text of a column; empty where it has none.
    pub(crate) fn show(&self, field: Field) -> String {
        self.get(field).map_or_else(String::new, Value::to_string)
    }

    /// Leaves out what only operators see: addresses, cookies, algorithms.
    pub(crate) fn without_legends(mut self) -> Self {
        for field in [Field::Addr, Field::Cookie, Field::Algo] {
            if let Some(slot) = self.values.get_mut(field as usize) {
                *slot = None;
            }
        }
        self
    }

    fn set(&mut self, field: Field, value: Value) {
        if let Some(slot) = self.values.get_mut(field as usize) {
            *slot = Some(value);
        }
    }

    fn u32(&mut self, field: Field, value: u32) {
        self.set(field, Value::U32(value));
    }

    fn u64(&mut self, field: Field, value: u64) {
        self.set(field, Value::U64(value));
    }

    fn text(&mut self, field: Field, value: &str) {
        self.set(field, Value::Text(value.to_owned()));
    }

    fn zero(&mut self, fields: &[Field]) {
        for field in fields {
            self.u64(*field, 0);
        }
    }

    fn rate(&mut self, (now, most): (Field, Field), rate: RateFigures) {
        self.u32(now, narrow(rate.now));
        self.u32(most, narrow(rate.most));
    }

    fn sessions(&mut self, (now, most): (u32, u32)) {
        self.u32(Field::Scur, now);
        self.u32(Field::Smax, most);
    }

    fn queue(&mut self, (now, most): (u32, u32)) {
        self.u32(Field::Qcur, now);
        self.u32(Field::Qmax, most);
    }

    fn classes(&mut self, classes: &[u64; 5], other: u64) {
        let fields = [
            Field::Hrsp1xx,
            Field::Hrsp2xx,
            Field::Hrsp3xx,
            Field::Hrsp4xx,
            Field::Hrsp5xx,
        ];
        for (field, count) in fields.into_iter().zip(classes) {
            self.u64(field, *count);
        }
        self.u64(Field::HrspOther, other);
    }

    fn failures(&mut self, failures: &FailureTotals) {
        self.u64(Field::Econ, failures.connection);
        self.u64(Field::Eresp, failures.response);
        self.u64(Field::CliAbrt, failures.client_aborts);
        self.u64(Field::SrvAbrt, failures.target_aborts);
    }

    fn compressed(&mut self, compressed: &CompressedTotals) {
        self.u64(Field::CompIn, compressed.bytes_in);
        self.u64(Field::CompOut, compressed.bytes_out);
        self.u64(Field::CompByp, compressed.bypassed);
        self.u64(Field::CompRsp, compressed.responses);
    }

    fn times(&mut self, times: &Times) {
        let all = [
            (Field::Qtime, Field::QtimeMax, times.queue),
            (Field::Ctime, Field::CtimeMax, times.connect),
            (Field::Rtime, Field::RtimeMax, times.response),
            (Field::Ttime, Field::TtimeMax, times.total),
        ];
        for (average, most, (now, longest)) in all {
            self.u32(average, millis(now));
            self.u32(most, millis(longest));
        }
    }

    fn last_session(&mut self, last: Option<Duration>) {
        let seconds = last.map_or(-1, |it| i32::try_from(it.as_secs()).unwrap_or(i32::MAX));
        self.set(Field::Lastsess, Value::S32(seconds));
    }

    fn tls(&mut self, sessions: u64, resumed: u64, failed: u64) {
        self.u64(Field::SslSess, sessions);
        self.u64(Field::SslReusedSess, resumed);
        self.u64(Field::SslFailedHandshake, failed);
    }
}

/// Columns of HTTP modules that a frontend and a backend have.
const HTTP_MODULES: std::ops::Range<usize> = 106..127;

/// Every row of a proxy, in HAProxy's order.
pub(crate) fn rows(proxy: &ProxyFigures) -> impl Iterator<Item = Row> {
    let frontend = proxy.frontend.iter().map(|it| frontend(proxy, it));
    let servers = proxy.servers.iter().map(|it| server(proxy, it));
    let backend = proxy.backend.iter().map(|it| backend(proxy, it));
    frontend.chain(servers).chain(backend)
}

/// The row of a frontend.
pub(crate) fn frontend(proxy: &ProxyFigures, it: &FrontendFigures) -> Row {
    let mut row = Row::new(Object::Frontend, proxy, 0, "FRONTEND");
    let totals = &it.totals;
    row.sessions(it.sessions);
    row.u32(Field::Slim, it.limit);
    row.u64(
        Field::Stot,
        totals.connections.saturating_sub(totals.denied_connections),
    );
    row.u64(Field::Bin, totals.received_bytes);
    row.u64(Field::Bout, totals.sent_bytes);
    row.u64(Field::Dreq, totals.denied_requests);
    row.u64(Field::Dresp, totals.denied_responses);
    row.u64(Field::Ereq, totals.request_errors);
    row.text(Field::Status, frontend_status(it));
    row.rate((Field::Rate, Field::RateMax), it.session_rate);
    row.u32(Field::RateLim, it.session_rate_limit);
    row.rate((Field::ReqRate, Field::ReqRateMax), it.request_rate);
    row.u64(Field::ReqTot, it.requests());
    row.compressed(&totals.compressed);
    row.rate((Field::ConnRate, Field::ConnRateMax), it.session_rate);
    row.u64(Field::ConnTot, totals.connections);
    row.u64(Field::Dcon, totals.denied_connections);
    row.zero(&[Field::Dses, Field::Wrew]);
    row.u64(Field::Eint, totals.internal_errors);
    if proxy.is_http {
        row.classes(&totals.requests, totals.unanswered);
        row.u64(Field::Intercepted, totals.intercepted);
        row.zero(&[Field::CacheLookups, Field::CacheHits]);
    }
    row.tls(
        totals.tls_handshakes,
        totals.tls_resumptions,
        totals.tls_failures,
    );
    modules(&mut row);
    if proxy.is_http {
        row.u64(Field::H1OpenConnections, totals.connections_open);
        row.u64(Field::H1OpenStreams, totals.requests_open);
        row.u64(Field::H1TotalConnections, totals.connections);
        row.u64(Field::H1TotalStreams, it.requests());
        row.u64(Field::H1BytesIn, totals.received_bytes);
        row.u64(Field::H1BytesOut, totals.sent_bytes);
    }
    row
}

fn modules(row: &mut Row) {
    let fields = Field::ALL.get(HTTP_MODULES).unwrap_or_default();
    row.zero(fields);
}

/// The word for a frontend's state.
pub(crate) fn frontend_status(it: &FrontendFigures) -> &'static str {
    match (it.is_stopped, it.is_paused) {
        (true, _) => "STOP",
        (false, true) => "PAUSED",
        (false, false) => "OPEN",
    }
}

/// The row of a server.
pub(crate) fn server(proxy: &ProxyFigures, it: &ServerFigures) -> Row {
    let mut row = Row::new(Object::Server, proxy, it.number, &it.name);
    let totals = &it.totals;
    row.queue(it.queue);
    row.sessions(it.sessions);
    if it.limit > 0 {
        row.u32(Field::Slim, it.limit);
    }
    row.u64(Field::Stot, totals.sessions);
    row.u64(Field::Bin, totals.received_bytes);
    row.u64(Field::Bout, totals.sent_bytes);
    row.u64(Field::Dresp, totals.denied_responses);
    row.failures(&totals.failures);
    row.u64(
        Field::Wretr,
        totals.retries.saturating_sub(totals.redispatches),
    );
    row.u64(Field::Wredis, totals.redispatches);
    row.text(Field::Status, &server_status(it));
    row.u32(Field::Weight, it.weight);
    row.u32(Field::Uweight, it.whole_weight);
    if let Some(percent) = it.rises {
        row.u32(Field::Throttle, percent);
    }
    row.u32(Field::Act, u32::from(!it.is_backup));
    row.u32(Field::Bck, u32::from(it.is_backup));
    row.u32(Field::Lastchg, seconds(it.since));
    row.u64(Field::Lbtot, totals.selections);
    row.rate((Field::Rate, Field::RateMax), it.session_rate);
    row.last_session(it.last_session);
    row.times(&totals.times);
    row.zero(&[Field::Wrew, Field::Eint]);
    row.u64(Field::Connect, totals.connections);
    row.u64(Field::Reuse, totals.connections_reused);
    connections(&mut row, it);
    if proxy.is_http {
        row.classes(&totals.requests, 0);
        row.u64(Field::ReqTot, totals.requests.iter().sum());
    }
    if let Some(check) = &it.check {
        checks(&mut row, it, check);
    }
    if let Some(agent) = &it.agent {
        agents(&mut row, agent);
    }
    let address = it
        .address
        .map_or_else(|| no_address(it), |it| it.to_string());
    row.text(Field::Addr, &address);
    if let Some(cookie) = &it.cookie {
        row.text(Field::Cookie, cookie);
    }
    row.tls(0, 0, 0);
    row
}

/// What HAProxy says of a server without an address of the network.
fn no_address(it: &ServerFigures) -> String {
    match it.configured_address.starts_with("unix:") {
        true => "unix".to_owned(),
        false => String::new(),
    }
}

fn connections(row: &mut Row, it: &ServerFigures) {
    let totals = &it.totals;
    let idle = narrow(totals.connections_idle);
    row.u32(Field::SrvIcur, idle);
    row.u32(Field::IdleConnCur, idle);
    row.u32(Field::SafeConnCur, 0);
    let used = totals
        .connections_open
        .saturating_sub(totals.connections_idle);
    row.u32(Field::UsedConnCur, narrow(used));
    row.u32(Field::NeedConnEst, it.sessions.0);
}

fn checks(row: &mut Row, it: &ServerFigures, check: &CheckFigures) {
    // What maintenance keeps from being checked says nothing of checks.
    row.u64(Field::Chkfail, check.failed);
    row.u64(Field::Chkdown, it.downs);
    row.u32(Field::Downtime, seconds(it.down_time));
    if matches!(
        it.status,
        ServerStatus::Maintenance | ServerStatus::Unresolved
    ) {
        return;
    }
    row.u32(Field::CheckRise, check.rise);
    row.u32(Field::CheckFall, check.fall);
    row.u32(Field::CheckHealth, check.health);
    let (word, says) = check.outcome.map_or(("INI", "Initializing"), |it| {
        (it.as_str(), it.description())
    });
    row.text(Field::CheckStatus, word);
    row.text(Field::CheckDesc, says);
    row.text(Field::LastChk, check.reason.as_deref().unwrap_or_default());
    if let Some(code) = check.code {
        row.u32(Field::CheckCode, code.into());
    }
    if let Some(took) = check.took {
        row.u64(Field::CheckDuration, u64::from(millis(took)));
    }
}

fn agents(row: &mut Row, agent: &AgentFigures) {
    row.u32(Field::AgentRise, 1);
    row.u32(Field::AgentFall, 1);
    row.u32(Field::AgentHealth, u32::from(!agent.is_down));
    let (word, says) = agent.outcome.map_or(("INI", "Initializing"), |it| {
        (it.as_str(), it.description())
    });
    row.text(Field::AgentStatus, word);
    row.text(Field::AgentDesc, says);
    row.text(Field::LastAgt, agent.reason.as_deref().unwrap_or_default());
    if agent.outcome.is_some_and(CheckWord::has_code) {
        row.u32(Field::AgentCode, 0);
    }
    if let Some(took) = agent.took {
        row.u64(Field::AgentDuration, u64::from(millis(took)));
    }
}

/// The words for a server's state.
pub(crate) fn server_status(it: &ServerFigures) -> String {
    let check = it.check.as_ref();
    let agent = it.agent.as_ref();
    match it.status {
        ServerStatus::Down | ServerStatus::GoingUp if agent.is_some_and(|it| it.is_down) => {
            "DOWN (agent)".to_owned()
        }
        ServerStatus::Stopping => "NOLB".to_owned(),
        ServerStatus::StoppingDown => {
            let (now, of) = check.map_or((0, 0), |it| {
                ((it.health + 1).saturating_sub(it.rise), it.fall)
            });
            format!("NOLB {now}/{of}")
        }
        ServerStatus::Drain if agent.is_some() => "DRAIN (agent)".to_owned(),
        ServerStatus::Unchecked => "no check".to_owned(),
        ServerStatus::Up => "UP".to_owned(),
        ServerStatus::Down => "DOWN".to_owned(),
        ServerStatus::Drain => "DRAIN".to_owned(),
        ServerStatus::Maintenance => "MAINT".to_owned(),
        ServerStatus::Unresolved => "MAINT (resolution)".to_owned(),
        ServerStatus::GoingDown => {
            let (now, of) = check.map_or((0, 0), |it| {
                ((it.health + 1).saturating_sub(it.rise), it.fall)
            });
            format!("UP {now}/{of}")
        }
        ServerStatus::GoingUp => {
            let (now, of) = check.map_or((0, 0), |it| (it.health, it.rise));
            format!("DOWN {now}/{of}")
        }
    }
}

/// The row of a backend.
pub(crate) fn backend(proxy: &ProxyFigures, it: &BackendFigures) -> Row {
    let mut row = Row::new(Object::Backend, proxy, 0, "BACKEND");
    let totals = &it.totals;
    row.queue(it.queue);
    row.sessions((narrow(totals.sessions_open), narrow(totals.sessions_peak)));
    row.u32(Field::Slim, it.limit);
    row.u64(Field::Stot, totals.sessions);
    row.u64(Field::Bin, totals.received_bytes);
    row.u64(Field::Bout, totals.sent_bytes);
    row.u64(Field::Dreq, totals.denied_requests);
    row.u64(Field::Dresp, totals.denied_responses);
    row.failures(&totals.failures);
    row.u64(
        Field::Wretr,
        totals.retries.saturating_sub(totals.redispatches),
    );
    row.u64(Field::Wredis, totals.redispatches);
    row.text(Field::Status, if it.is_up { "UP" } else { "DOWN" });
    row.u32(Field::Weight, it.weight);
    row.u32(Field::Uweight, it.weight);
    row.u32(Field::Act, it.active);
    row.u32(Field::Bck, it.backups);
    row.u64(Field::Chkdown, it.downs);
    row.u32(Field::Lastchg, seconds(it.since));
    if !proxy.servers.is_empty() {
        row.u32(Field::Downtime, seconds(it.down_time));
    }
    row.u64(Field::Lbtot, it.selections);
    row.rate((Field::Rate, Field::RateMax), it.session_rate);
    row.last_session(it.last_session);
    row.times(&it.times);
    row.compressed(&totals.compressed);
    row.zero(&[Field::Wrew, Field::Eint]);
    row.u64(Field::Connect, it.connections.0);
    row.u64(Field::Reuse, it.connections.1);
    row.text(Field::Algo, it.algorithm);
    let fields = [
        Field::AggServerStatus,
        Field::AggServerCheckStatus,
        Field::AggCheckStatus,
    ];
    for field in fields {
        row.u32(field, 0);
    }
    if proxy.is_http {
        row.classes(&totals.answers, totals.unanswered);
        row.u64(Field::ReqTot, totals.sessions);
        row.zero(&[Field::CacheLookups, Field::CacheHits]);
    }
    if let Some(cookie) = &it.cookie {
        row.text(Field::Cookie, cookie);
    }
    row.tls(0, 0, 0);
    modules(&mut row);
    if proxy.is_http {
        let servers = proxy.servers.iter().map(|it| &it.totals);
        let sum = |of: fn(&TargetTotals) -> u64| servers.clone().map(of).sum();
        row.u64(Field::H1OpenConnections, sum(|it| it.connections_open));
        row.u64(Field::H1TotalConnections, sum(|it| it.connections));
        row.u64(Field::H1TotalStreams, sum(|it| it.sessions));
        row.u64(Field::H1BytesIn, sum(|it| it.sent_bytes));
        row.u64(Field::H1BytesOut, sum(|it| it.received_bytes));
    }
    row
}

/// Counters that HAProxy keeps in 32 bits.
pub(crate) fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn seconds(time: Duration) -> u32 {
    narrow(time.as_secs())
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
