//! Who waits, who is served, and that nobody is forgotten.

use super::*;
use crate::live::Health;
use portway_core::balance::{Algorithm, Candidate, Candidates, Policy, WhenNoneUsable};
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

/// Targets by the names `0`, `1` and so on.
fn members(targets: &[Arc<TargetState>]) -> Members {
    let name = |nth: usize| nth.to_string().as_str().into();
    Members {
        targets: Arc::from(targets),
        names: (0..targets.len()).map(name).collect(),
        choosers: Choosers::default(),
    }
}

fn group(limits: &[u32]) -> (GroupParts, Vec<Arc<TargetState>>) {
    let target = |_: &u32| Arc::new(TargetState::new(Health::Healthy, None));
    let targets: Vec<_> = limits.iter().map(target).collect();
    let state = Arc::new(GroupState {
        members: RwLock::new(Arc::new(members(&targets))),
        limited: AtomicBool::new(true),
        ..GroupState::empty()
    });
    for (target, most) in targets.iter().zip(limits) {
        let limits = Limits {
            most: AtomicU32::new(*most),
            configured: AtomicU32::new(*most),
            least: AtomicU32::new(0),
            queue: AtomicU32::new(0),
            backup: AtomicBool::new(false),
            weight: AtomicU32::new(1),
        };
        target.belong(&state, limits);
        target.tell();
    }
    let parts = GroupParts {
        tls: None,
        own_tls: Vec::new(),
        targets: Arc::clone(&state.members().targets),
        numbers: Vec::new(),
        turns: Arc::default(),
        seal: None,
        state,
    };
    (parts, targets)
}

fn poll(place: &Place) -> Option<InFlight> {
    match place.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(given) => given,
        Poll::Pending => None,
    }
}

/// The index of the target that has given a place.
fn at(targets: &[Arc<TargetState>], slot: Option<InFlight>) -> Option<usize> {
    let given = slot?;
    targets
        .iter()
        .position(|it| Arc::ptr_eq(it, given.target()))
}

#[test]
fn who_waits_turns_to_the_targets_of_now() {
    let (parts, old) = group(&[1]);
    let slot = parts.enter(0).unwrap();
    let bound = parts
        .join(Wanted::One(0), Tried::default(), Priority::default())
        .unwrap();
    let any = parts
        .join(Wanted::Any, Tried::default(), Priority::default())
        .unwrap();
    let (next, new) = group(&[1]);
    let before = parts.state.members();
    let members = next.state.members();
    *parts.state.members.write().unwrap() = Arc::clone(&members);
    parts.state.turn_to(&before, &members);
    assert_eq!((old[0].queued(), new[0].queued()), (0, 1));
    // What is gone serves nobody who waits.
    drop(slot);
    assert!(poll(&bound).is_none() && poll(&any).is_none());
    parts.state.has_room(&new[0]);
    let given = poll(&bound);
    assert!(poll(&any).is_none());
    assert_eq!(at(&new, given), Some(0));
    parts.state.has_room(&new[0]);
    assert_eq!(at(&new, poll(&any)), Some(0));
    assert_eq!((old[0].in_flight(), new[0].queued()), (0, 0));
}

#[test]
fn first_come_first_served() {
    let (group, targets) = group(&[1, 1]);
    let (a, b) = (group.enter(0).unwrap(), group.enter(1).unwrap());
    assert!(group.enter(0).is_none() && group.is_full(1));
    let bound = group
        .join(Wanted::One(1), Tried::new(), Priority::default())
        .unwrap();
    let [first, second] = [(); 2].map(|()| {
        group
            .join(Wanted::Any, Tried::new(), Priority::default())
            .unwrap()
    });
    assert_eq!((group.state.waiting(), targets[1].queued()), (3, 1));
    drop(a);
    assert_eq!(at(&targets, poll(&first)), Some(0));
    // What was given was dropped at once: the next has it.
    assert_eq!(at(&targets, poll(&second)), Some(0));
    assert!(poll(&bound).is_none());
    drop(b);
    assert_eq!(at(&targets, poll(&bound)), Some(1));
    assert_eq!((group.state.waiting(), targets[1].queued()), (0, 0));
    assert_eq!((targets[0].in_flight(), targets[1].in_flight()), (0, 0));
}

#[test]
fn who_leaves_frees_its_place() {
    let (group, targets) = group(&[1]);
    let one = group.enter(0).unwrap();
    let first = group
        .join(Wanted::Any, Tried::new(), Priority::default())
        .unwrap();
    let second = group
        .join(Wanted::Any, Tried::new(), Priority::default())
        .unwrap();
    drop(one);
    // Granted, and never taken.
    drop(first);
    assert!(poll(&second).is_some());
    assert_eq!((group.state.waiting(), targets[0].in_flight()), (0, 0));
    let gone = group
        .join(Wanted::Any, Tried::new(), Priority::default())
        .unwrap();
    assert!(poll(&gone).is_some());
}

#[test]
fn a_target_that_comes_back_serves_who_waits() {
    let (group, targets) = group(&[1]);
    targets[0].set_health(Health::Unhealthy);
    let waits = group
        .join(Wanted::Any, Tried::new(), Priority::default())
        .unwrap();
    assert!(poll(&waits).is_none());
    targets[0].set_health(Health::Healthy);
    assert!(poll(&waits).is_some());
}

struct Woken(std::thread::Thread);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Threads that come with these classes, wait, work and go: no more than `most` ever work at once, nobody is forgotten, and nothing is
/// left over.
fn come_and_go((group, targets): (&GroupParts, &[Arc<TargetState>]), most: usize, classes: i64) {
    const THREADS: i64 = 8;
    let start = Barrier::new(usize::try_from(THREADS).unwrap());
    let (now, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (start, now, seen) = (&start, &now, &seen);
            scope.spawn(move || {
                let waker = Waker::from(Arc::new(Woken(std::thread::current())));
                start.wait();
                for turn in 0..2_000_usize {
                    let slot = group.enter(turn % 2).unwrap_or_else(|| {
                        let class = (i64::try_from(turn).unwrap() + thread) % classes;
                        let bound = match turn % 5 {
                            0 => Wanted::One(0),
                            _ => Wanted::Any,
                        };
                        let place = group.join(bound, Tried::new(), of_class(class)).unwrap();
                        if turn % 7 == 0 {
                            // Some lose patience; they come again.
                            drop(place);
                            let again = group
                                .join(Wanted::Any, Tried::new(), of_class(-class))
                                .unwrap();
                            return wait(&again, &waker);
                        }
                        wait(&place, &waker)
                    });
                    seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    drop(slot);
                }
            });
        }
    });
    assert!(seen.into_inner() <= most);
    assert_eq!((group.state.waiting(), group.is_group_full()), (0, None));
    let left = |it: &Arc<TargetState>| it.in_flight() == 0 && it.queued() == 0;
    assert!(targets.iter().all(left));
}

#[test]
fn nobody_is_forgotten() {
    let (group, targets) = group(&[1, 2]);
    come_and_go((&group, &targets), 3, 1);
}

#[test]
fn nobody_is_forgotten_whatever_the_classes() {
    let (group, targets) = group(&[1, 2]);
    come_and_go((&group, &targets), 3, 5);
}

#[test]
fn nobody_is_forgotten_where_the_group_has_a_limit() {
    let (group, targets) = limited(3, &[2, 0]);
    come_and_go((&group, &targets), 3, 3);
}

fn wait(place: &Place, waker: &Waker) -> InFlight {
    loop {
        if let Poll::Ready(slot) = place.poll(&mut Context::from_waker(waker)) {
            return slot.unwrap();
        }
        std::thread::park();
    }
}

fn of_class(class: i64) -> Priority {
    Priority::default().with_class(class)
}

#[test]
fn lower_classes_go_first_and_offsets_move_arrivals() {
    let (group, targets) = group(&[1]);
    let busy = group.enter(0).unwrap();
    let join = |priority| group.join(Wanted::Any, Tried::new(), priority).unwrap();
    let (slow, later) = (
        join(of_class(5)),
        join(Priority::default().with_offset(60_000)),
    );
    let (one, other) = (join(Priority::default()), join(Priority::default()));
    let early = join(Priority::default().with_offset(-60_000));
    let (first, bound) = (
        join(of_class(-1)),
        group
            .join(Wanted::One(0), Tried::new(), of_class(-2))
            .unwrap(),
    );
    drop(busy);
    for place in [&bound, &first, &early, &one, &other, &later, &slow] {
        assert_eq!(at(&targets, poll(place)), Some(0));
    }
    assert_eq!(group.state.waiting(), 0);
}

/// A group with a limit of its own; the targets have these, 0: none.
fn limited(most: u32, limits: &[u32]) -> (GroupParts, Vec<Arc<TargetState>>) {
    let (parts, targets) = group(limits);
    parts.state.total.set_most(most);
    (parts, targets)
}

#[test]
fn all_targets_together_have_a_limit() {
    let (group, targets) = limited(2, &[0, 0]);
    let (a, b) = (group.enter(0).unwrap(), group.enter(0).unwrap());
    assert!(group.enter(1).is_none() && group.is_full(1));
    assert_eq!(group.is_group_full(), Some((2, 2)));
    let places: Vec<Place> = (0..3)
        .map(|_| {
            group
                .join(Wanted::Any, Tried::new(), Priority::default())
                .unwrap()
        })
        .collect();
    assert!(places.iter().all(|it| poll(it).is_none()));
    drop(a);
    // Wherever there is less to do.
    let next = poll(&places[0]);
    assert_eq!(at(&targets, next), Some(1));
    // It was dropped at once, and b is at the first target.
    assert_eq!(at(&targets, poll(&places[1])), Some(1));
    let last = poll(&places[2]);
    assert!(last.is_some());
    drop((b, last));
    assert_eq!((group.state.waiting(), group.is_group_full()), (0, None));
    assert!(targets.iter().all(|it| it.in_flight() == 0));
}

#[test]
fn a_limit_that_is_new_holds_for_what_was_there_before() {
    let (group, _targets) = group(&[0, 0]);
    let before = [group.enter(0).unwrap(), group.enter(1).unwrap()];
    group.state.total.set_most(2);
    assert!(group.enter(0).is_none());
    let waits = group
        .join(Wanted::Any, Tried::new(), Priority::default())
        .unwrap();
    assert!(poll(&waits).is_none());
    drop(before);
    let given = poll(&waits);
    assert!(given.is_some());
    // One that is gone is none for those who wait.
    group.state.total.set_most(0);
    let free = group
        .join(Wanted::Any, Tried::new(), Priority::default())
        .unwrap();
    assert!(poll(&free).is_some());
    drop(given);
    assert_eq!(group.is_group_full(), None);
}

#[test]
fn who_may_not_be_served_keeps_nobody_else_waiting() {
    let (group, targets) = limited(3, &[1, 2]);
    let (a, b) = (group.enter(0).unwrap(), group.enter(1).unwrap());
    // The first waits for a target that is full, the second may go to the other.
    let bound = group
        .join(Wanted::One(0), Tried::new(), Priority::default())
        .unwrap();
    let any = group
        .join(Wanted::Any, Tried::new(), Priority::default())
        .unwrap();
    assert!(poll(&bound).is_none());
    let second = poll(&any);
    assert!(second.is_some());
    targets[1].set_health(Health::Unhealthy);
    drop((b, second));
    let waits = group
        .join(Wanted::Any, Tried::new(), Priority::default())
        .unwrap();
    drop(a);
    assert_eq!(at(&targets, poll(&bound)), Some(0));
    assert_eq!(at(&targets, poll(&waits)), Some(0));
    assert_eq!(group.state.waiting(), 0);
}

#[test]
fn who_waits_for_a_target_that_is_lost_goes_elsewhere_unless_no_other_will_do() {
    let lose: [fn(&TargetState); 3] = [
        |it| it.set_ejected(true),
        |it| it.set_health(Health::Unhealthy),
        |it| it.set_health(Health::Unused),
    ];
    for of_group in [0, 2] {
        for lose in lose {
            let (group, targets) = group(&[1, 1]);
            group.state.total.set_most(of_group);
            let [a, b] = [0, 1].map(|index| group.enter(index));
            assert!(a.is_some() && b.is_some());
            let join = |wanted| {
                group
                    .join(wanted, Tried::new(), Priority::default())
                    .unwrap()
            };
            let [stays, moves] = [Wanted::Alone(0), Wanted::One(0)].map(join);
            assert_eq!(targets[0].queued(), 2);
            lose(&targets[0]);
            assert_eq!((targets[0].queued(), group.state.waiting()), (1, 2));
            assert!(poll(&moves).is_none());
            drop(b);
            let given = poll(&moves);
            assert_eq!(at(&targets, given), Some(1));
            // Who was about to wait for it does not, either.
            let late = join(Wanted::One(0));
            assert_eq!(targets[0].queued(), 1);
            assert_eq!(at(&targets, poll(&late)), Some(1));
            assert!(poll(&stays).is_none());
            drop(a);
            assert_eq!(at(&targets, poll(&stays)), Some(0));
            assert_eq!((targets[0].queued(), group.state.waiting()), (0, 0));
        }
    }
}

/// A group that chooses like this among these, of whose targets each may have one in flight.
fn choosing(
    policy: Policy,
    all: &[Candidate],
    of_group: u32,
) -> (GroupParts, Vec<Arc<TargetState>>) {
    let (mut parts, targets) = limited(of_group, &vec![1; all.len()]);
    let choosers = Choosers::with(policy, Candidates::new(all.to_vec()));
    let members = Arc::new(Members {
        choosers,
        ..members(&targets)
    });
    parts.targets = Arc::clone(&members.targets);
    *parts.state.members.write().unwrap() = members;
    (parts, targets)
}

/// Who is busy while four wait, what becomes of the targets then, and which serve of those who wait.
struct Turn {
    policy: Policy,
    all: [Candidate; 4],
    busy: &'static [usize],
    turn: fn(&[Arc<TargetState>]),
    serve: &'static [usize],
    /// And which do once all that are busy have a place again.
    serve_then: &'static [usize],
}

#[test]
fn who_waits_goes_where_those_who_come_go() {
    const PRIMARY: Candidate = Candidate {
        weight: 1,
        backup: false,
        identity: 0,
        id: 0,
        near: false,
    };
    const BACKUP: Candidate = Candidate {
        backup: true,
        ..PRIMARY
    };
    const NEAR: Candidate = Candidate {
        near: true,
        ..PRIMARY
    };
    const NONE: Candidate = Candidate {
        weight: 0,
        ..PRIMARY
    };
    let plain = Policy::from(Algorithm::RoundRobin);
    let opens = Policy {
        when_none_usable: WhenNoneUsable::FailOpen,
        ..plain
    };
    let together = Policy {
        backups_together: true,
        ..plain
    };
    let [primaries, backups, zones] = [
        [PRIMARY; 4],
        [PRIMARY, BACKUP, BACKUP, NONE],
        [NEAR, PRIMARY, BACKUP, NONE],
    ];
    let row = |policy, all, busy, turn, serve, serve_then| Turn {
        policy,
        all,
        busy,
        turn,
        serve,
        serve_then,
    };
    let all_fail = |all: &[Arc<TargetState>]| {
        let all = all.iter();
        all.for_each(|it| it.set_health(Health::Unhealthy));
    };
    // Backups stand beside one that has no room.
    let alone = |turn, serve, serve_then| row(plain, backups, &[0], turn, serve, serve_then);
    let turns = [
        row(
            opens,
            primaries,
            &[0, 1, 2, 3],
            all_fail,
            &[],
            &[0, 1, 2, 3],
        ),
        row(plain, primaries, &[0, 1, 2, 3], all_fail, &[], &[]),
        alone(|all| all[0].set_health(Health::Unhealthy), &[1], &[]),
        alone(|all| all[0].set_health(Health::Draining), &[1], &[]),
        alone(|all| all[0].set_weight(Some(0)), &[1], &[]),
        row(
            together,
            backups,
            &[0],
            |all| all[0].set_ejected(true),
            &[1, 2],
            &[],
        ),
        alone(|all| all[3].set_weight(Some(16)), &[3], &[0]),
        // One backup at a time, and one's own zone alone.
        row(
            plain,
            backups,
            &[0, 1],
            |all| all[0].set_ejected(true),
            &[],
            &[1],
        ),
        alone(|_| {}, &[], &[0]),
        row(plain, zones, &[0], |_| {}, &[], &[0]),
        row(
            plain,
            zones,
            &[0],
            |all| all[0].set_health(Health::Unhealthy),
            &[1],
            &[],
        ),
    ];
    for (number, turn) in turns.iter().enumerate() {
        for of_group in [0, 20] {
            let (group, targets) = choosing(turn.policy, &turn.all, of_group);
            let busy: Vec<_> = turn.busy.iter().map(|it| group.enter(*it)).collect();
            assert!(busy.iter().all(Option::is_some));
            let join = |_| {
                group
                    .join(Wanted::Any, Tried::new(), Priority::default())
                    .unwrap()
            };
            let places: Vec<Place> = (0..4).map(join).collect();
            let mut held = Vec::new();
            let mut served = || {
                let given: Vec<_> = places.iter().filter_map(poll).collect();
                let is =
                    |it: &InFlight| targets.iter().position(|its| Arc::ptr_eq(its, it.target()));
                let mut by: Vec<_> = given.iter().filter_map(is).collect();
                held.extend(given);
                by.sort_unstable();
                by
            };
            assert_eq!(served(), [0; 0], "row {number}, before");
            (turn.turn)(&targets);
            assert_eq!(served(), turn.serve, "row {number}");
            drop(busy);
            assert_eq!(served(), turn.serve_then, "row {number}, then");
        }
    }
}

#[test]
fn who_is_bound_stays_so_where_all_are_tried() {
    let opens = Policy {
        when_none_usable: WhenNoneUsable::FailOpen,
        ..Policy::from(Algorithm::RoundRobin)
    };
    let one = Candidate {
        weight: 1,
        backup: false,
        identity: 0,
        id: 0,
        near: false,
    };
    let (group, targets) = choosing(opens, &[one; 2], 0);
    let [first, second] = [0, 1].map(|index| group.enter(index));
    targets[0].set_health(Health::Unhealthy);
    targets[1].set_health(Health::Unhealthy);
    let bound = group
        .join(Wanted::One(0), Tried::new(), Priority::default())
        .unwrap();
    assert!(bound.is_bound());
    drop(second);
    assert!(poll(&bound).is_none());
    // The other is up again: now the first is out for it.
    targets[1].set_health(Health::Healthy);
    assert_eq!(at(&targets, poll(&bound)), Some(1));
    drop(first);
}

#[test]
fn a_target_that_drains_keeps_those_who_wait_for_it() {
    let (group, targets) = group(&[1, 1]);
    let [a, _b] = [0, 1].map(|index| group.enter(index));
    let join = |wanted| {
        group
            .join(wanted, Tried::new(), Priority::default())
            .unwrap()
    };
    let [any, bound] = [Wanted::Any, Wanted::One(0)].map(join);
    targets[0].set_health(Health::Draining);
    drop(a);
    assert_eq!(at(&targets, poll(&bound)), Some(0));
    assert!(poll(&any).is_none());
}

/// Those that come at once do not share the last place of a queue: whoever is not turned away waits, and no more wait than may.
#[test]
fn no_more_wait_than_may() {
    const THREADS: u32 = 6;
    for (of_group, of_target, wanted) in [
        (4, 0, Wanted::Any),
        (0, 4, Wanted::One(0)),
        (4, 5, Wanted::One(0)),
    ] {
        for _ in 0..300 {
            let (group, targets) = group(&[1]);
            group.state.max_pending.store(of_group, Ordering::SeqCst);
            let limits = targets[0].limits().unwrap();
            limits.queue.store(of_target, Ordering::SeqCst);
            let slot = group.enter(0).unwrap();
            let start = Barrier::new(THREADS as usize);
            let places: Vec<Option<Place>> = std::thread::scope(|scope| {
                let threads = (0..THREADS).map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        group.join(wanted, Tried::new(), Priority::default())
                    })
                });
                let threads: Vec<_> = threads.collect();
                threads.into_iter().map(|it| it.join().unwrap()).collect()
            });
            assert_eq!(group.state.waiting(), 4);
            let mut positions: Vec<(u32, u32)> =
                places.iter().flatten().map(|it| it.positions).collect();
            positions.sort_unstable();
            let expected = |nth| match wanted {
                Wanted::Any => (nth, 0),
                Wanted::One(_) | Wanted::Alone(_) => (0, nth),
            };
            assert_eq!(positions, [1, 2, 3, 4].map(expected));
            drop((places, slot));
            assert_eq!((group.state.waiting(), targets[0].queued()), (0, 0));
        }
    }
}
