//! Digest authorization: whether a request proves that its user knows the password, and the question where it does not.
//!
//! The counts of nonces are of the whole process: a request may come by any worker, and a proof must not come twice. The lock
//! is held for a look-up in a map, and only for proofs that are right.

use crate::answers::{self, Answer};
use crate::exchange::{Exchange, How};
use crate::jwt::forget;
use crate::policy::Decision;
use crate::quota;
use portway_core::digest_auth::{Counted, Nonces, Said};
use portway_core::evaluate::{Facts, write_sanitised};
use portway_model::digest_auth::DigestAuth;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Where credentials stand.
const AUTHORIZATION: &str = "Authorization";

/// The nonces of this process: they outlive every plane.
#[derive(Debug)]
pub(crate) struct Digests {
    began: Instant,
    nonces: Mutex<Nonces>,
}

impl Default for Digests {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            nonces: Mutex::new(Nonces::new(quota::secret())),
        }
    }
}

impl Digests {
    fn make(&self, chance: u64) -> String {
        let nonces = self.nonces.lock();
        let nonces = nonces.unwrap_or_else(PoisonError::into_inner);
        nonces.make(self.began.elapsed(), chance)
    }

    fn count(&self, said: &Said) -> Counted {
        let nonces = self.nonces.lock();
        let mut nonces = nonces.unwrap_or_else(PoisonError::into_inner);
        nonces.count(&said.nonce, said.count, self.began.elapsed())
    }
}

/// Lets the request go on, or says what becomes of it.
pub(crate) fn ask(x: &mut Exchange<'_>, digest: &DigestAuth) -> Option<Decision> {
    let proved = judge(x, digest);
    let counted = proved.as_ref().map(|said| {
        let process = &x.connection.generation.plane.process;
        process.digests.count(said)
    });
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
    // Whom nobody knows takes as long.
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
