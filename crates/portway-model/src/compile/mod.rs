//! From a draft to a snapshot: names become indices, defaults are filled in, everything is checked.
//!
//! Decides what a configuration means and whether it can run; leaves reading files (certificates, maps, error
//! pages) to whoever installs the snapshot. Every part is looked at also after an error, so that one run shows all
//! of them; a snapshot exists only where there is none. The one hard thing is to say each error once and at the
//! text that a person would change: checks read the draft, with its places, and conversion reports only names
//! and patterns.

mod authorize;
mod binds;
mod check;
mod check_grpc;
mod circuit;
mod choice;
mod control;
mod cors;
mod expressions;
mod futile;
mod group;
mod digest_auth;
mod jwt;
mod http2;
mod life;
pub mod limits;
mod listener;
pub mod log;
mod matched;
pub(crate) mod names;
mod never;
mod ocsp;
mod passive;
mod process;
pub(crate) mod protocols;
mod resolution;
mod resolve;
mod responses;
mod rules;
mod simplify;
mod tables;
pub mod tcp;
mod text;
mod tls;
mod traces;
mod types;
mod wanted;
mod words;

use crate::defaults;
use crate::diagnostic::Diagnostics;
use crate::draft::Draft;
use crate::limit::Limit;
use crate::name::Name;
use crate::snapshot::{Snapshot, TokenKeys};
use crate::span::{Span, Spanned};
use crate::stage::Named;
pub(crate) use check::default_check_timeout;
pub(crate) use group::default_target_name;
use names::Names;
use protocols::Protocols;
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
pub(crate) use tls::{default_alpn, default_upstream_alpn};

/// Resolves, checks and completes a draft. The snapshot is `Some` exactly where no error was found; warnings
/// may stand beside it. Diagnostics are sorted by place.
pub fn compile(draft: &Draft) -> (Option<Snapshot>, Diagnostics) {
    let (snapshot, found) = run(draft, false);
    (snapshot.filter(|_| !found.has_errors()), found)
}

/// What can be made of a draft with errors, without the objects and rules that cannot: for who looks at the files that it
/// names. It must not be run.
pub fn compile_partly(draft: &Draft) -> Option<Snapshot> {
    run(draft, true).0
}

fn run(draft: &Draft, partly: bool) -> (Option<Snapshot>, Diagnostics) {
    let mut found = Diagnostics::default();
    let names = Names::collect(draft, &mut found);
    let mut compiler = Compiler {
        draft,
        names,
        protocols: Protocols::of_draft(draft),
        shared: HashMap::new(),
        token_keys: Vec::new(),
        set_by_rules: None,
        wanted: wanted::Wanted::default(),
        partly,
        found,
    };
    let snapshot = compiler.snapshot();
    // A name that is written wrong would make what it means look unused.
    if !compiler.found.has_errors() {
        compiler.names.report_unused(draft, &mut compiler.found);
    }
    let mut found = compiler.found;
    found.sort();
    (snapshot, found)
}

/// What was wrong has been reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reported;

/// A run of compile.
struct Compiler<'a> {
    draft: &'a Draft,
    names: Names,
    protocols: Protocols,
    /// Limits with a name that rules have said, and where.
    shared: HashMap<(circuit::Shared, Name), (Limit<Named>, Span)>,
    /// Files with public keys that signatures are held against.
    token_keys: Vec<Spanned<String>>,
    /// Names of variables that rules set, once somebody needs them.
    set_by_rules: Option<HashSet<Name>>,
    /// What listeners want to know of their clients.
    wanted: wanted::Wanted,
    /// What cannot be made is left out.
    partly: bool,
    found: Diagnostics,
}

impl Compiler<'_> {
    fn snapshot(&mut self) -> Option<Snapshot> {
        let draft = self.draft;
        let process = self.process();
        binds::check(draft, process.admin, &mut self.found);
        // Nobody goes by the ids of a snapshot that does not run.
        let partly = self.partly;
        let listeners = self.every(&draft.listeners, partly, Self::listener);
        self.check_wanted();
        let groups = self.every(&draft.groups, partly, Self::target_group);
        let certificates = self.every(&draft.certificates, false, Self::certificate_files);
        let stick_tables = self.every(&draft.stick_tables, false, Self::table_of_counters);
        let maps = self.every(&draft.maps, false, Self::map_of_texts);
        let userlists = self.every(&draft.userlists, false, Self::list_of_users);
        Some(Snapshot {
            process,
            listeners: listeners?.into_iter().map(Arc::new).collect(),
            groups: groups?.into_iter().map(Arc::new).collect(),
            certificates: certificates?,
            stick_tables: stick_tables?,
            maps: maps?,
            userlists: userlists?,
            token_keys: TokenKeys(std::mem::take(&mut self.token_keys)),
        })
    }

    /// Compiles each object, also those after a failure; `partly`: without those that fail.
    fn every<T, U>(
        &mut self,
        drafts: &[T],
        partly: bool,
        mut compile: impl FnMut(&mut Self, usize, &T) -> Result<U, Reported>,
    ) -> Option<Vec<U>> {
        let done: Vec<Result<U, Reported>> = drafts
            .iter()
            .enumerate()
            .map(|(index, draft)| compile(self, index, draft))
            .collect();
        match partly {
            true => Some(done.into_iter().filter_map(Result::ok).collect()),
            false => done.into_iter().collect::<Result<_, _>>().ok(),
        }
    }
}

/// [`defaults::ADMIN`], parsed.
pub(crate) fn default_admin() -> SocketAddr {
    defaults::ADMIN
        .parse()
        .unwrap_or(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9900))
}
