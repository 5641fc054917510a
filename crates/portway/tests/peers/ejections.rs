//! Targets that are ejected for a share of failures or for being slow: they stay out over a reload and an upgrade, others and a dead
//! one beside them or not, and come back.

use std::cell::Cell;

use crate::passive::{Moody, answers, ejections, metrics};
use crate::stage::{group, listener};
use crate::support::{Scene, eventually, free_port};
use crate::upgrade::Stage;

/// A way to be an outlier.
struct Way {
    /// What looks for it.
    policy: &'static str,
    /// The mood of `a` while it is one, by the number of the round.
    sick: fn(usize) -> u16,
    /// Moods while all is well: of `a`, and of the others.
    well: (u16, u16),
    /// Why it is ejected.
    words: &'static str,
    reason: &'static str,
    /// It sees the dead one too.
    sees_dead: bool,
}

fn holds(way: &Way) {
    let [a, b, c] = ["a", "b", "c"].map(Moody::start);
    let [web, dead] = [(); 2].map(|()| free_port());
    // The dead one is tried past.
    let text = |time: &str, policy: bool| {
        let base = listener("web", web, "app") + &group("app", &[a.port, b.port, c.port, dead]);
        let policy = match policy {
            true => format!(
                "passive_health = {{ window = '10s', eject_time = '{time}', max_eject_time = '{time}', {} }}\n",
                way.policy
            ),
            false => String::new(),
        };
        base + "retries = 2\n" + &policy
    };
    let is_well = || {
        a.is(way.well.0);
        b.is(way.well.1);
        c.is(way.well.1);
    };
    is_well();
    let stage = Stage::with(Scene::new(), &text("1h", true), &[]);
    let round = Cell::new(0);
    let falls_out = || {
        eventually(format!("a is ejected: {}", way.policy), || {
            for _ in 0..4 {
                a.is((way.sick)(round.get()));
                round.set(round.get() + 1);
                answers(web, 3);
            }
            let (health, reason) = stage.health(0);
            (health == "ejected").then_some(reason)
        })
    };
    let is_out = |what: &str| {
        let found = answers(web, 20);
        let are_others = found.iter().all(|it| it == "200 b" || it == "200 c");
        assert!(are_others, "{what}: {found:?}");
        let (health, reason) = stage.health(0);
        assert!(
            health == "ejected" && reason.contains(way.words),
            "{what}: {health} {reason}"
        );
    };
    let is_back = |what: &str| {
        eventually(what, || {
            let found = answers(web, 8);
            assert!(found.iter().all(|it| it.starts_with("200 ")), "{found:?}");
            let (health, _) = stage.health(0);
            (health != "ejected" && found.contains(&"200 a".to_owned())).then_some(())
        });
    };
    let reason = falls_out();
    assert!(reason.contains(way.words), "{reason}");
    is_well();
    is_out("at once");
    let counted = ejections(&metrics(&stage.scene, &stage.admin), way.reason);
    assert!(counted >= 1, "{counted}");
    if way.sees_dead {
        eventually("the dead one is ejected", || {
            answers(web, 4);
            let (health, _) = stage.health(3);
            (health == "ejected").then_some(())
        });
    }
    stage.becomes(&(text("1h", true) + "[target_group.app.timeouts]\nresponse = '21s'\n"));
    is_out("after a reload");
    stage.upgrade();
    is_out("after an upgrade");
    stage.upgrade();
    is_out("after another");
    // What is no longer asked for ends at once.
    stage.becomes(&text("1h", false));
    is_back("it is asked for no more");
    // Time passes in whichever process serves.
    stage.becomes(&text("3s", true));
    falls_out();
    is_well();
    stage.upgrade();
    is_back("its time is over");
    falls_out();
    is_well();
    is_back("its time is over again");
}

#[test]
fn a_share_of_failures_ejects_until_the_time_is_over() {
    holds(&Way {
        policy: "failures = 0, failure_percent = 40, min_requests = 3",
        // Not always.
        sick: |round| if round % 4 == 3 { 200 } else { 502 },
        well: (200, 200),
        words: "requests failed",
        reason: "failure_percent",
        sees_dead: true,
    });
}

#[test]
fn slowness_ejects_until_the_time_is_over() {
    holds(&Way {
        policy: "failures = 0, slower_than_others = 4, min_requests = 3",
        sick: |_| 60,
        well: (8, 8),
        words: "it took ",
        reason: "slow",
        sees_dead: false,
    });
}

#[test]
fn late_responses_eject_until_the_time_is_over() {
    holds(&Way {
        policy: "failures = 2, slow_after = '500ms'",
        sick: |_| 90,
        well: (200, 200),
        words: "a late response",
        reason: "failures",
        sees_dead: true,
    });
}
