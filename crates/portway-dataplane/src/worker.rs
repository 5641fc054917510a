//! Workers: one thread each, with a single-threaded runtime, sockets and pools of its own.
//!
//! Nothing on a worker waits for another worker. What control wants of them comes over a channel: a graceful stop.

use crate::accept::{self, Acceptor};
use crate::access_log::Mark;
use crate::buffer::Buffers;
use crate::credentials::Credentials;
use crate::exchange::Scratch;
use crate::group::Generation;
use crate::live::{ProcessState, gates};
use crate::plane::Plane;
use crate::scarce;
use crate::timer::{TICK, Timers};
use portway_model::log::LogLevel;
use portway_model::snapshot::ListenerId;
use portway_telemetry::access_log::{Dates, Formatter};
use portway_telemetry::metrics::{ListenerMetrics, Shard, WorkerMetrics};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};
use tokio::sync::{mpsc, oneshot, watch};

/// Scratch memories that a worker keeps for the next exchanges.
const FREE_SCRATCHES: usize = 64;
/// Ticks after which a log buffer is handed over though it is not full: half a second; to syslog it goes with each tick.
const LOG_TICKS: u64 = 5;
/// Ticks that a connection without a request has from the beginning of a stop to send its first: a second. It was let
/// in, so its request is probably on its way.
const FIRST_REQUEST_TICKS: u64 = 10;
/// Ticks between two looks at the pools: a second.
const SWEEP_TICKS: u64 = 10;

/// A socket that is bound and listening, non-blocking.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// UNIX stream.
    Unix(std::os::unix::net::UnixListener),
}

/// Which of all addresses that a process has listened on: it stays the same as long as its sockets are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId(pub u64);

/// A socket for one worker.
#[derive(Debug)]
pub struct BoundSocket {
    /// The address that it is one of the sockets of: the plane says whose connections come in there.
    pub id: SocketId,
    /// The socket.
    pub socket: Socket,
}

/// What control tells workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Serve,
    /// Accept no more, and finish.
    Drain,
    /// Cut off what is left.
    CutOff,
}

/// What a worker hears of control.
struct Orders {
    stop: watch::Receiver<Order>,
    planes: mpsc::Receiver<Publication>,
}

/// All workers of the process.
#[derive(Debug)]
pub struct Workers {
    orders: watch::Sender<Order>,
    threads: Vec<JoinHandle<u32>>,
    publisher: Publisher,
}

/// The way on which planes come to all workers.
#[derive(Debug, Clone)]
pub struct Publisher(Vec<mpsc::Sender<Publication>>);

/// The next plane; who takes it over says so.
#[derive(Debug)]
struct Publication {
    plane: NextPlane,
    /// Sockets that this worker is to accept on beside those that it has.
    sockets: Vec<BoundSocket>,
    done: oneshot::Sender<io::Result<()>>,
}

struct NextPlane(Arc<Plane>);

impl fmt::Debug for NextPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextPlane")
    }
}

impl Publisher {
    /// Has every exchange that begins from now on served by `plane`, and connections accepted on these sockets too: a list
    /// for each worker. Comes back when all workers have taken it over; one that is stopping has nothing to take over.
    ///
    /// # Errors
    /// A worker could not take a socket; all else is as the plane says.
    pub async fn publish(
        &self,
        plane: &Arc<Plane>,
        sockets: Vec<Vec<BoundSocket>>,
    ) -> io::Result<()> {
        let mut taken = Vec::with_capacity(self.0.len());
        let mut sockets = sockets.into_iter();
        for worker in &self.0 {
            let (done, is_done) = oneshot::channel();
            let publication = Publication {
                plane: NextPlane(Arc::clone(plane)),
                sockets: sockets.next().unwrap_or_default(),
                done,
            };
            if worker.send(publication).await.is_ok() {
                taken.push(is_done);
            }
        }
        let mut result = Ok(());
        for is_done in taken {
            // Who says nothing went away meanwhile.
            let done = is_done.await.unwrap_or(Ok(()));
            result = result.and(done);
        }
        result
    }
}

impl Workers {
    /// Starts a worker for each element of `sockets`. Returns when all of them accept connections.
    pub fn start(plane: Arc<Plane>, sockets: Vec<Vec<BoundSocket>>) -> io::Result<Self> {
        let (orders, _) = watch::channel(Order::Serve);
        let mut threads = Vec::with_capacity(sockets.len());
        let mut publisher = Vec::with_capacity(sockets.len());
        let (ready, started) = std::sync::mpsc::channel();
        let count = sockets.len();
        for (index, sockets) in sockets.into_iter().enumerate() {
            let (plane, ready) = (Arc::clone(&plane), ready.clone());
            // Who publishes waits for all workers: there is never a second one on the way.
            let (sender, planes) = mpsc::channel(1);
            publisher.push(sender);
            let orders = Orders {
                stop: orders.subscribe(),
                planes,
            };
            let thread = std::thread::Builder::new()
                .name(format!("portway-w{index}"))
                .spawn(move || {
                    match run(index, plane, sockets, orders, &ready) {
                        Ok(cut) => cut,
                        Err(error) => {
                            // The receiver is gone only if start has already failed.
                            let _ = ready.send(Err(error));
                            0
                        }
                    }
                })?;
            threads.push(thread);
        }
        drop(ready);
        for _ in 0..count {
            started.recv().map_err(io::Error::other)??;
        }
        Ok(Self {
            orders,
            threads,
            publisher: Publisher(publisher),
        })
    }

    /// The way on which planes come to them.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Begins a graceful stop: no new connections, idle ones are closed, answers say `Connection: close`. What cuts off the
    /// rest; where it is dropped, that stays as long as it takes.
    pub fn drain(&self) -> Axe {
        self.orders.send_replace(Order::Drain);
        Axe(self.orders.clone())
    }

    /// Waits for all workers after [`Workers::drain`]; how many connections had to be cut off.
    pub fn join(self) -> u32 {
        let Self {
            threads,
            orders: _kept,
            ..
        } = self;
        // A worker that panicked has said so already, and has cut off nobody by order.
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(0))
            .sum()
    }
}

/// What cuts off that which is left when workers drain.
#[derive(Debug)]
pub struct Axe(watch::Sender<Order>);

impl Axe {
    /// Cuts it off.
    pub fn fall(&self) {
        self.0.send_replace(Order::CutOff);
    }
}

/// One worker, as its connections see it.
pub(crate) struct Worker {
    generation: RefCell<Rc<Generation>>,
    /// Those before it that some connection still has.
    older: RefCell<Vec<Weak<Generation>>>,
    metrics: Arc<WorkerMetrics>,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) timers: Rc<Timers>,
    #[expect(
        clippy::vec_box,
        reason = "an exchange takes the box: moving a pointer, not half a kilobyte"
    )]
    scratches: RefCell<Vec<Box<Scratch>>>,
    random: Cell<u64>,
    /// Whose turn it is among weighted groups.
    turn: Cell<u64>,
    /// Connections open on this worker.
    open: Cell<u32>,
    draining: Cell<bool>,
    /// The tick at which nothing was found that only waits.
    pub(crate) nothing_waits_at: Cell<u64>,
    /// Clients that rest, as the process was told.
    resting: Cell<(u32, i32)>,
    process: Arc<ProcessState>,
    /// Its sockets, and which state of all gates they are in.
    acceptors: RefCell<Vec<Acceptor>>,
    gates: Cell<u64>,
    cutting_off: Cell<bool>,
    /// Copies of requests that are on their way, and bytes of their bodies.
    pub(crate) mirrored: Cell<(u32, usize)>,
    /// From 1.
    number: u32,
    /// The time of day at a moment of the last tick.
    clock: Cell<(Instant, SystemTime)>,
    /// The dates of log values.
    pub(crate) dates: RefCell<Dates>,
    /// What it knows of passwords.
    pub(crate) credentials: Credentials,
}

impl Worker {
    fn new(index: usize, plane: Arc<Plane>) -> io::Result<Self> {
        let shard = plane
            .metrics
            .shard(index)
            .ok_or_else(|| io::Error::other("no counters for this worker"))?;
        Ok(Self::counted_by(shard, index, plane))
    }

    /// A worker with these counters. It serves nobody yet.
    pub(crate) fn counted_by(shard: Arc<Shard>, index: usize, plane: Arc<Plane>) -> Self {
        Self {
            buffers: Rc::new(Buffers::of(Arc::clone(&plane.process))),
            timers: Rc::default(),
            scratches: RefCell::default(),
            random: Cell::new(crate::sys::seed()),
            turn: Cell::new(0),
            open: Cell::new(0),
            draining: Cell::new(false),
            nothing_waits_at: Cell::new(u64::MAX),
            resting: Cell::default(),
            process: Arc::clone(&plane.process),
            acceptors: RefCell::default(),
            older: RefCell::default(),
            gates: Cell::new(0),
            cutting_off: Cell::new(false),
            mirrored: Cell::default(),
            clock: Cell::new((Instant::now(), SystemTime::now())),
            dates: RefCell::new(Dates::new(plane.zone.clone())),
            metrics: Arc::clone(shard.worker()),
            generation: RefCell::new(Rc::new(Generation::new(plane, shard, None))),
            credentials: Credentials::default(),
            number: u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1),
        }
    }

    /// Shuts sockets whose listeners are told not to accept, where one was told so since the last look.
    fn look_at_gates(self: &Rc<Self>) {
        let now = gates();
        if self.gates.replace(now) != now {
            accept::look_at_gates(self, &self.acceptors.borrow());
        }
    }

    /// What new exchanges are served by.
    pub(crate) fn generation(&self) -> Rc<Generation> {
        Rc::clone(&self.generation.borrow())
    }

    /// True where new exchanges are served by this one.
    #[inline]
    pub(crate) fn is_current(&self, generation: &Rc<Generation>) -> bool {
        Rc::ptr_eq(&self.generation.borrow(), generation)
    }

    /// Serves exchanges that begin from now on by another plane; those in progress end as they began.
    fn take_over(self: &Rc<Self>, plane: Arc<Plane>, sockets: Vec<BoundSocket>) -> io::Result<()> {
        // The next registry has as many workers as the one before.
        let Some(shard) = plane.metrics.shard(self.index()) else {
            return Ok(());
        };
        let goes = |it: &mut Acceptor| !plane.sockets.contains_key(&it.id());
        let gone: Vec<Acceptor> = self.acceptors.borrow_mut().extract_if(.., goes).collect();
        // Those who wait there came to the listener that goes.
        accept::stop(self, gone);
        let before = self.generation();
        let next = Rc::new(Generation::new(plane, shard, Some(&before)));
        before.make_way(&next);
        let mut older = self.older.borrow_mut();
        older.retain(|it| it.strong_count() > 0);
        older.push(Rc::downgrade(&before));
        drop(older);
        accept::move_to(&self.acceptors.borrow(), &next.plane);
        self.generation.replace(next);
        drop(before);
        let started = match self.draining.get() {
            true => Ok(()),
            false => self.accept_on(sockets),
        };
        accept::look_at_gates(self, &self.acceptors.borrow());
        // So that none keeps what was before it only because its client is silent.
        self.timers.wake_waiting();
        started
    }

    /// Accepts on these sockets too.
    fn accept_on(self: &Rc<Self>, sockets: Vec<BoundSocket>) -> io::Result<()> {
        let mut result = Ok(());
        for socket in sockets {
            match accept::start(self, socket) {
                Ok(acceptor) => self.acceptors.borrow_mut().push(acceptor),
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// Accepts no more.
    fn accept_no_more(self: &Rc<Self>) {
        let acceptors = self.acceptors.take();
        accept::stop(self, acceptors);
    }

    /// What this worker counts by itself.
    pub(crate) fn metrics(&self) -> &WorkerMetrics {
        &self.metrics
    }

    /// What this worker counts for a listener.
    pub(crate) fn listener_metrics(&self, listener: ListenerId) -> Arc<ListenerMetrics> {
        let generation = self.generation.borrow();
        Arc::clone(generation.shard.listener(listener.index()))
    }

    fn index(&self) -> usize {
        usize::try_from(self.number).map_or(usize::MAX, |number| number.saturating_sub(1))
    }

    /// Which worker this is, from 1.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// What the process is doing.
    pub(crate) fn process(&self) -> &Arc<ProcessState> {
        &self.process
    }

    /// True from the beginning of a graceful stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get() || self.process.is_draining()
    }

    /// True once the deadline of a graceful stop has passed: what ends now is cut off.
    pub(crate) fn is_cutting_off(&self) -> bool {
        self.cutting_off.get()
    }

    /// Scratch memory for one exchange.
    pub(crate) fn take_scratch(&self) -> Box<Scratch> {
        self.scratches.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes scratch memory back.
    pub(crate) fn give_scratch(&self, mut scratch: Box<Scratch>) {
        let mut free = self.scratches.borrow_mut();
        if free.len() < FREE_SCRATCHES {
            scratch.clear();
            free.push(scratch);
        }
    }

    /// 64 bits for choices in proportion to weights: a Weyl sequence of the golden ratio, so that few choices keep the
    /// proportion as well as many do, also where several rules take turns.
    pub(crate) fn turn(&self) -> u64 {
        let next = self.turn.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.turn.set(next);
        next
    }

    /// 64 bits for choices that nobody gains from guessing (xorshift64*).
    pub(crate) fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// 128 bits for request ids: unique, not secret.
    pub(crate) fn random_128(&self) -> u128 {
        (u128::from(self.random()) << 64) | u128::from(self.random())
    }

    /// Counts a connection of this worker that came (1) or went (−1).
    pub(crate) fn count_open(&self, change: i32) {
        self.open.set(self.open.get().saturating_add_signed(change));
    }

    /// The time of day of a moment.
    pub(crate) fn wall(&self, moment: Instant) -> SystemTime {
        let (at, day) = self.clock.get();
        let day = match moment.checked_duration_since(at) {
            Some(after) => day.checked_add(after),
            None => day.checked_sub(at.saturating_duration_since(moment)),
        };
        day.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Writes a record of a listener of a generation. `write` appends structured data, gives back how many bytes that is, and
    /// appends the line with its line feed.
    pub(crate) fn log(
        &self,
        (generation, listener): (&Generation, ListenerId),
        level: LogLevel,
        write: impl FnOnce(&mut Formatter, &mut Vec<u8>) -> usize,
    ) {
        let mark = || Mark {
            level,
            at: self.wall(Instant::now()),
            structured: 0,
            end: 0,
        };
        generation
            .logs
            .add(&generation.plane, listener, mark, write);
    }

    /// Tells the process how many clients rest here, and how many streams there are beside.
    pub(crate) fn tell_resting(&self) {
        let now = (self.timers.resting(), self.timers.beside());
        let before = self.resting.replace(now);
        if now != before {
            let resting = i64::from(now.0) - i64::from(before.0);
            let resting = i32::try_from(resting).unwrap_or(0);
            self.process.count_resting(resting, now.1 - before.1);
        }
    }

    /// Closes connections to targets that wait for a request, `most` at most; how many.
    pub(crate) fn close_idle_upstream(&self, most: u32) -> u32 {
        let mut closed = self.generation().close_idle(most);
        let older = self.older.borrow();
        for generation in older.iter().filter_map(Weak::upgrade) {
            closed += generation.close_idle(most.saturating_sub(closed));
        }
        closed
    }

    /// Closes pooled connections that have waited for too long.
    fn sweep(&self) {
        let now = self.timers.now();
        self.buffers.pipes.sweep();
        self.generation().sweep(now);
        if self.number == 1 {
            self.generation().fade_times();
        }
        let older = self.older.borrow();
        let older = older.iter().filter_map(Weak::upgrade);
        older.for_each(|it| it.sweep(now));
    }

    /// Hands over what waits: all of it, or only what goes to syslog, which people watch.
    fn flush_logs(&self, all: bool) {
        self.generation().flush_logs(all);
        let older = self.older.borrow();
        let older = older.iter().filter_map(Weak::upgrade);
        older.for_each(|it| it.flush_logs(all));
    }
}

/// The life of a worker's thread; how many connections had to be cut off at its end.
fn run(
    index: usize,
    plane: Arc<Plane>,
    sockets: Vec<BoundSocket>,
    orders: Orders,
    ready: &std::sync::mpsc::Sender<io::Result<()>>,
) -> io::Result<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let (worker, cut) = runtime.block_on(async {
        let worker = Rc::new(Worker::new(index, plane)?);
        worker.accept_on(sockets)?;
        // A listener may be paused from the start: so it was in the process before.
        accept::look_at_gates(&worker, &worker.acceptors.borrow());
        let ticker = tokio::task::spawn_local(tick(Rc::clone(&worker)));
        // The receiver is gone only if start has already failed.
        let _ = ready.send(Ok(()));
        let follower = tokio::task::spawn_local(follow(Rc::clone(&worker), orders.planes));
        let mut stop = orders.stop;
        until_told(&mut stop, |order| order != Order::Serve).await;
        worker.draining.set(true);
        // A socket that stayed open would go on taking connections that nobody accepts.
        worker.accept_no_more();
        worker.timers.expire_resting(false);
        worker.timers.wake_waiting();
        let cut = finish(&worker, stop).await;
        ticker.abort();
        follower.abort();
        io::Result::Ok((worker, cut))
    })?;
    worker.process.roll_call.leave(worker.index());
    worker.cutting_off.set(true);
    // Ends what is left; each leaves its record.
    drop(runtime);
    worker.flush_logs(true);
    Ok(cut)
}

/// Takes over every plane that is published.
async fn follow(worker: Rc<Worker>, mut planes: mpsc::Receiver<Publication>) {
    while let Some(publication) = planes.recv().await {
        let Publication {
            plane,
            sockets,
            done,
        } = publication;
        let taken = worker.take_over(plane.0, sockets);
        // Nobody waits any more.
        let _ = done.send(taken);
    }
}

/// Waits for an order. A process that drops its `Workers` wants them to stop at once.
async fn until_told(orders: &mut watch::Receiver<Order>, is_it: impl Fn(Order) -> bool) {
    while !is_it(*orders.borrow_and_update()) {
        if orders.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until no connection is open, or the order to cut off what is; how many are open then.
async fn finish(worker: &Rc<Worker>, mut orders: watch::Receiver<Order>) -> u32 {
    let mut cut_off = pin!(until_told(&mut orders, |order| order == Order::CutOff));
    while worker.open.get() > 0 {
        let look = tokio::time::timeout(TICK / 5, cut_off.as_mut());
        if look.await.is_ok() {
            break;
        }
    }
    worker.open.get()
}

/// Looks after deadlines, pools and logs.
async fn tick(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = Instant::now();
    let (mut ticks, mut drained) = (0_u64, 0_u64);
    let (mut cuts, mut asked) = (0, 0);
    let mut answered = worker.process.roll_call.join(worker.index());
    loop {
        interval.tick().await;
        let passed =
            u64::try_from(last.elapsed().as_millis() / TICK.as_millis()).unwrap_or(u64::MAX);
        last += TICK * u32::try_from(passed).unwrap_or(u32::MAX);
        worker.timers.tick(passed);
        worker.metrics.ticks.add(1);
        worker.look_at_gates();
        let cuts_now = worker.generation().plane.process.cuts();
        if cuts != cuts_now {
            cuts = cuts_now;
            worker.timers.wake_all();
        }
        worker.tell_resting();
        worker.buffers.tell();
        worker.buffers.pipes.tick();
        let asked_now = worker.process.room_asked();
        if std::mem::replace(&mut asked, asked_now) != asked_now {
            scarce::close_waiting(&worker);
        }
        let process = &worker.process;
        answered = process.roll_call.answer(
            (worker.index(), answered),
            |whom, what| worker.timers.carry_out(whom, what),
            |found| worker.timers.sessions(found),
        );
        if worker.draining.get() {
            drained += 1;
            worker.timers.expire_resting(drained > FIRST_REQUEST_TICKS);
        }
        ticks += 1;
        worker.clock.set((Instant::now(), SystemTime::now()));
        worker.flush_logs(ticks.is_multiple_of(LOG_TICKS));
        if ticks.is_multiple_of(SWEEP_TICKS) {
            worker.sweep();
        }
    }
}
