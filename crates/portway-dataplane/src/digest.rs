//! Digest authorization: whether a request proves that its user knows the password, and the question where it does not.
//!
//! The counts of nonces are of the whole process: a request may come by any worker, and a proof must not come twice. They are spread over
//! parts with a lock each, which is held for a look-up in a map, and only for proofs that are right: to ask, and to refuse a proof
//! that is wrong, takes none.

use crate::answers::{self, Answer};
use crate::exchange::{Exchange, How};
use crate::jwt::forget;
use crate::policy::Decision;
use crate::quota;
use portway_core::digest_auth::{Counted, MAX_NONCES, Nonces, Said, Uses};
use portway_core::evaluate::{Facts, write_sanitised};
use portway_model::digest_auth::DigestAuth;
use portway_telemetry::metrics::Proofs;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Where credentials stand.
const AUTHORIZATION: &str = "Authorization";

/// Locks that nonces in use are spread over, by their numbers, which are of chance.
const PARTS: usize = 16;

/// The nonces of this process: they outlive every plane.
#[derive(Debug)]
pub(crate) struct Digests {
    began: Instant,
    nonces: Nonces,
    uses: [Mutex<Uses>; PARTS],
}

impl Default for Digests {
    fn default() -> Self {
        let seed = quota::random();
        Self {
            began: Instant::now(),
            nonces: Nonces::new(quota::secret()),
            uses: std::array::from_fn(|_| Mutex::new(Uses::new(MAX_NONCES / PARTS, seed))),
        }
    }
}

impl Digests {
    fn make(&self, chance: u64) -> String {
        self.nonces.make(self.began.elapsed(), chance)
    }

    fn count(&self, said: &Said) -> Counted {
        let part = |number: u64| self.uses.get(usize::try_from(number % PARTS as u64).ok()?);
        let nonce = self.nonces.read(&said.nonce);
        let Some((nonce, part)) = nonce.and_then(|it| Some((it, part(it.number)?))) else {
            return Counted::Stale;
        };
        let mut uses = part.lock().unwrap_or_else(PoisonError::into_inner);
        uses.count(nonce, said.count, self.began.elapsed())
    }
}

/// A proof that was counted for the exchange: what it proves holds for every rule that asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    nonce: Vec<u8>,
    count: u32,
}

/// Lets the request go on, or says what becomes of it.
pub(crate) fn ask(x: &mut Exchange<'_>, digest: &DigestAuth) -> Option<Decision> {
    let proved = judge(x, digest);
    let counted = proved.as_ref().map(|said| once(x, said));
    let result = match (&proved, counted) {
        (_, Some(Counted::Fresh)) => Proofs::VALID,
        (_, Some(Counted::Stale)) => Proofs::STALE,
        _ if has_credentials(x) => Proofs::WRONG,
        _ => Proofs::MISSING,
    };
    let metrics = x.connection.shard().listener(x.connection.listener.index());
    metrics.proofs.count(result);
    match (proved, counted) {
        (Some(said), Some(Counted::Fresh)) => {
            pass(x, digest, &said);
            None
        }
        (_, counted) => {
            let answer = question(x, digest, counted.is_some());
            Some(Decision::Answer(answer, How::Challenge))
        }
    }
}

/// Counts a proof that is right, once in an exchange: several rules may ask for it.
fn once(x: &mut Exchange<'_>, said: &Said) -> Counted {
    let proof = Proof {
        nonce: said.nonce.clone(),
        count: said.count,
    };
    if x.scratch.checks.proof.as_ref() == Some(&proof) {
        return Counted::Fresh;
    }
    let process = &x.connection.generation.plane.process;
    let counted = process.digests.count(said);
    if counted == Counted::Fresh {
        x.scratch.checks.proof = Some(proof);
    }
    counted
}

/// True where the request has something that is to be a proof.
fn has_credentials(x: &Exchange<'_>) -> bool {
    let mut is_there = false;
    x.header(AUTHORIZATION, &mut |_| {
        is_there = true;
        ControlFlow::Break(())
    });
    is_there
}

/// Tells the target who it is, where it is to be told.
pub(crate) fn pass(x: &mut Exchange<'_>, digest: &DigestAuth, said: &Said) {
    if let Some(header) = &digest.user_header {
        forget(x, [header.as_str()]);
        let edits = &mut x.scratch.request_edits;
        edits.add(header.as_bytes(), |out| {
            write_sanitised(&said.username, out)
        });
    }
}

/// What the request says, where that proves that its user knows the password. Nothing is counted.
pub(crate) fn judge(x: &Exchange<'_>, digest: &DigestAuth) -> Option<Said> {
    let mut found = None;
    let mut is_twice = false;
    x.header(AUTHORIZATION, &mut |value| {
        is_twice = found.is_some();
        found = Some(Said::parse(value));
        match is_twice {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    let said = found.flatten().filter(|_| !is_twice)?;
    let mut users = digest.users.iter();
    let user = users.find(|user| user.name.as_bytes() == said.username);
    // For whom nobody knows the same is computed.
    let ha1 = user.map_or("", |user| user.ha1.as_str());
    let (head, arena) = (x.request(), x.arena());
    let (method, target) = (head.method_bytes(arena), head.target(arena));
    let proves = said.proves(ha1, &digest.realm, method, target);
    (proves && user.is_some()).then_some(said)
}

/// 401 with a new nonce. `stale`: the proof was right, and is to be made anew with it.
fn question(x: &Exchange<'_>, digest: &DigestAuth, stale: bool) -> Answer {
    let process = &x.connection.generation.plane.process;
    let nonce = process.digests.make(x.connection.worker.random());
    let realm = digest.realm.replace('\\', "\\\\").replace('"', "\\\"");
    let stale = if stale { ", stale=true" } else { "" };
    answers::unauthorized(
        x,
        &format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"{stale}"),
    )
}
