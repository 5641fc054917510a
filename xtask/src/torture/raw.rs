//! Streams through the TCP listener: random lengths, half-closed from either side.
//!
//! A stream begins with a head of 32 bytes that says what follows. The content upwards is that of the key, the content
//! downwards that of the next key.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Ground;
use super::chance::Chance;
use super::client::Scene;
use super::tally::{Class, Count, Trouble};
use super::wire::Line;

/// Longest content of a stream in one direction, in bytes.
const MAX_STREAM: usize = 2 << 20;

const HEAD_BYTES: usize = 32;
const MAGIC: &[u8; 4] = b"PWT1";

/// In which order the two directions flow and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The client sends and ends; the target answers when it has seen the end.
    UpThenDown,
    /// The target sends and ends; the client sends when it has seen the end.
    DownThenUp,
    /// Every piece comes back before the next one.
    Echo,
}

const ORDERS: [Order; 3] = [Order::UpThenDown, Order::DownThenUp, Order::Echo];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    order: Order,
    /// The client will reset in the middle.
    aborts: bool,
    key: u64,
    up: usize,
    down: usize,
}

impl Plan {
    fn draw(chance: &mut Chance, aborts: bool) -> Self {
        Self {
            order: chance.pick(&ORDERS).copied().unwrap_or(Order::Echo),
            aborts,
            key: chance.next() >> 1,
            up: chance.size(MAX_STREAM),
            down: chance.size(MAX_STREAM),
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&[self.order as u8, u8::from(self.aborts), 0, 0]);
        for number in [self.key, self.up as u64, self.down as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    fn from_bytes(head: &[u8]) -> Option<Self> {
        let rest = head.strip_prefix(MAGIC)?;
        let (flags, numbers) = rest.split_at_checked(4)?;
        let mut numbers = numbers
            .chunks_exact(8)
            .filter_map(|bytes| bytes.try_into().ok().map(u64::from_le_bytes));
        Some(Self {
            order: *ORDERS.get(usize::from(*flags.first()?))?,
            aborts: flags.get(1) == Some(&1),
            key: numbers.next()?,
            up: usize::try_from(numbers.next()?).ok()?,
            down: usize::try_from(numbers.next()?).ok()?,
        })
    }
}

fn moved(result: io::Result<()>) -> Result<(), Trouble> {
    result.map_err(|e| Trouble::within(format_args!("not taken: {e}")))
}

/// The target's side of a stream.
pub(super) fn serve(ground: &Ground, mut line: Line, gone: &AtomicBool) {
    let Ok(head) = line.exactly(HEAD_BYTES) else {
        // A health check, or a client that went before it said anything.
        return;
    };
    let Some(plan) = Plan::from_bytes(&head) else {
        return ground
            .tally
            .fail("a TCP stream began with something that nobody sent");
    };
    if let Err(trouble) = answer(ground, &mut line, plan)
        && !plan.aborts
        && !gone.load(Ordering::Relaxed)
    {
        let text = trouble.text;
        ground
            .tally
            .fail(format_args!("the target of {plan:?}: {text}"));
    }
}

fn answer(ground: &Ground, line: &mut Line, plan: Plan) -> Result<(), Trouble> {
    let down = ground.pattern.content(plan.key + 1, plan.down);
    let judge = |line: &mut Line| {
        let content = line.rest()?;
        let verdict = ground.pattern.compare(plan.key, plan.up, &content);
        verdict.map_err(Trouble::wrong)?;
        ground
            .tally
            .bytes_up
            .fetch_add(content.len() as u64, Ordering::Relaxed);
        Ok(())
    };
    match plan.order {
        Order::UpThenDown => {
            judge(line)?;
            moved(line.send(down))?;
            moved(line.end())
        }
        Order::DownThenUp => {
            moved(line.send(down))?;
            moved(line.end())?;
            judge(line)
        }
        Order::Echo => {
            while let Some(bytes) = line.some().map_err(Trouble::within)? {
                moved(line.send(&bytes))?;
            }
            moved(line.end())
        }
    }
}

/// A client that lets streams flow until the run ends.
pub(super) fn client(scene: &Scene, mut chance: Chance, class: Class) {
    while !scene.ground.is_over() {
        let aborts = class == Class::RawAborting;
        let plan = Plan::draw(&mut chance, aborts);
        scene.ground.tally.add(class, Count::Sent);
        let result = Line::connect(scene.raw).and_then(|line| {
            if aborts {
                abort(scene, line, &mut chance, plan);
                return Ok(());
            }
            stream(scene, line, &mut chance, plan)
        });
        let result = result.map_err(|trouble| Trouble {
            text: format!("{plan:?}: {}", trouble.text),
            ..trouble
        });
        scene.ground.tally.close(class, result);
        std::thread::sleep(chance.millis(0, 100));
    }
}

fn stream(scene: &Scene, mut line: Line, chance: &mut Chance, plan: Plan) -> Result<(), Trouble> {
    let pattern = &scene.ground.pattern;
    let up = pattern.content(plan.key, plan.up);
    moved(line.send(&plan.to_bytes()))?;
    let down = match plan.order {
        Order::UpThenDown => {
            moved(line.send(up))?;
            moved(line.end())?;
            line.rest()?
        }
        Order::DownThenUp => {
            let down = line.rest()?;
            moved(line.send(up))?;
            moved(line.end())?;
            down
        }
        Order::Echo => {
            let mut rest = up;
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(chance.between(1, 64 << 10).min(rest.len()));
                moved(line.send(piece))?;
                if line.exactly(piece.len())? != piece {
                    return Err(Trouble::wrong("corrupt content came back"));
                }
                rest = after;
            }
            moved(line.end())?;
            let beyond = line.rest()?;
            return match beyond.len() {
                0 => Ok(()),
                more => Err(Trouble::wrong(format_args!(
                    "{more} bytes too many came back"
                ))),
            };
        }
    };
    let verdict = pattern.compare(plan.key + 1, plan.down, &down);
    verdict.map_err(Trouble::wrong)?;
    scene
        .ground
        .tally
        .bytes_down
        .fetch_add(down.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Sends a part and resets. Whatever fails on the way was about to be broken.
fn abort(scene: &Scene, mut line: Line, chance: &mut Chance, plan: Plan) {
    let up = scene.ground.pattern.content(plan.key, plan.up);
    let part = up.get(..chance.below(plan.up)).unwrap_or_default();
    let _ = line.send(&plan.to_bytes());
    let _ = line.send(part);
    std::thread::sleep(chance.millis(0, 50));
    line.reset();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_survive_the_wire() {
        let mut chance = Chance::new(5, 5);
        for n in 0..100 {
            let plan = Plan::draw(&mut chance, n % 2 == 0);
            let head = plan.to_bytes();
            assert_eq!(head.len(), HEAD_BYTES);
            assert_eq!(Plan::from_bytes(&head), Some(plan));
        }
        assert_eq!(Plan::from_bytes(b"GET / HTTP/1.1"), None);
    }
}
