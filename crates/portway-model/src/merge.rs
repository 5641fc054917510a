//! Several sources become one draft.
//!
//! Every source states all it knows. Objects stand in the order of the sources and, within one, of its text, so
//! that the same sources always give the same whole. Two sources that state an object of one name, or different
//! values of one setting of the process, contradict each other: both places are shown, and the first counts for
//! what is checked further.

use crate::compile::names::{Kind, taken_twice};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::{Draft, ProcessDraft};
use crate::name::Name;
use crate::span::{Span, Spanned};
use std::collections::HashMap;

/// One draft of all, and where they contradict each other. Names that one source takes twice are left to
/// compile.
pub fn merge(drafts: Vec<Draft>) -> (Draft, Diagnostics) {
    let mut found = Diagnostics::default();
    let mut whole = Draft::default();
    let mut taken = HashMap::new();
    for draft in drafts {
        let mut seen = Seen {
            taken: &mut taken,
            fresh: Vec::new(),
            found: &mut found,
        };
        seen.add(Kind::Listener, &mut whole.listeners, draft.listeners, |x| {
            &x.name
        });
        seen.add(Kind::Group, &mut whole.groups, draft.groups, |x| &x.name);
        seen.add(
            Kind::Certificate,
            &mut whole.certificates,
            draft.certificates,
            |x| &x.name,
        );
        seen.add(
            Kind::StickTable,
            &mut whole.stick_tables,
            draft.stick_tables,
            |x| &x.name,
        );
        seen.add(Kind::Map, &mut whole.maps, draft.maps, |x| &x.name);
        seen.add(Kind::Userlist, &mut whole.userlists, draft.userlists, |x| {
            &x.name
        });
        let fresh = seen.fresh;
        whole.unfinished |= draft.unfinished;
        taken.extend(fresh);
        merge_process(&mut whole.process, draft.process, &mut found);
    }
    (whole, found)
}

/// Names of the sources so far.
struct Seen<'a> {
    taken: &'a mut HashMap<(Kind, Name), Span>,
    /// Those of the source that is being added.
    fresh: Vec<((Kind, Name), Span)>,
    found: &'a mut Diagnostics,
}

impl Seen<'_> {
    fn add<T>(
        &mut self,
        kind: Kind,
        whole: &mut Vec<T>,
        part: Vec<T>,
        name: impl Fn(&T) -> &Spanned<Name>,
    ) {
        for object in part {
            let name = name(&object);
            let key = (kind, name.value.clone());
            if let Some(first) = self.taken.get(&key) {
                self.found.push(taken_twice(kind, name, *first));
                continue;
            }
            self.fresh.push((key, name.span));
            whole.push(object);
        }
    }
}

fn merge_process(whole: &mut ProcessDraft, part: ProcessDraft, found: &mut Diagnostics) {
    let ProcessDraft {
        workers,
        admin,
        max_connections,
        strict_limits,
        max_memory,
        max_pipes,
        max_connection_rate,
        max_session_rate,
        max_tls_rate,
        max_tls_connections,
        ready_delay,
        shutdown_deadline,
        drain_deadline,
        zone,
        user,
        group,
        chroot,
        pid_file,
        daemon,
        master,
        max_reloads,
        node,
        description,
        control_sockets,
        control_timeout,
        control_connections,
        variables,
        log,
        traces,
    } = part;
    one_of(&mut whole.workers, workers, "workers", found);
    one_of(&mut whole.admin, admin, "admin", found);
    let name = "max_connections";
    one_of(&mut whole.max_connections, max_connections, name, found);
    one_of(&mut whole.max_memory, max_memory, "max_memory", found);
    one_of(&mut whole.max_pipes, max_pipes, "max_pipes", found);
    let name = "strict_limits";
    one_of(&mut whole.strict_limits, strict_limits, name, found);
    let name = "max_connection_rate";
    one_of(
        &mut whole.max_connection_rate,
        max_connection_rate,
        name,
        found,
    );
    let name = "max_session_rate";
    one_of(&mut whole.max_session_rate, max_session_rate, name, found);
    let name = "max_tls_rate";
    one_of(&mut whole.max_tls_rate, max_tls_rate, name, found);
    let name = "max_tls_connections";
    one_of(
        &mut whole.max_tls_connections,
        max_tls_connections,
        name,
        found,
    );
    one_of(&mut whole.ready_delay, ready_delay, "ready_delay", found);
    let name = "shutdown_deadline";
    one_of(&mut whole.shutdown_deadline, shutdown_deadline, name, found);
    let name = "drain_deadline";
    one_of(&mut whole.drain_deadline, drain_deadline, name, found);
    one_of(&mut whole.zone, zone, "zone", found);
    one_of(&mut whole.user, user, "user", found);
    one_of(&mut whole.group, group, "group", found);
    one_of(&mut whole.chroot, chroot, "chroot", found);
    one_of(&mut whole.pid_file, pid_file, "pid_file", found);
    one_of(&mut whole.daemon, daemon, "daemon", found);
    one_of(&mut whole.master, master, "master", found);
    one_of(&mut whole.max_reloads, max_reloads, "max_reloads", found);
    one_of(&mut whole.node, node, "node", found);
    one_of(&mut whole.description, description, "description", found);
    one_of(&mut whole.traces, traces, "traces", found);
    whole.variables.extend(variables);
    whole.log.extend(log);
    whole.control_sockets.extend(control_sockets);
    let name = "control_timeout";
    one_of(&mut whole.control_timeout, control_timeout, name, found);
    let name = "control_connections";
    one_of(
        &mut whole.control_connections,
        control_connections,
        name,
        found,
    );
}

fn one_of<T: PartialEq>(
    whole: &mut Option<Spanned<T>>,
    part: Option<Spanned<T>>,
    what: &str,
    found: &mut Diagnostics,
) {
    match (&whole, part) {
        (Some(first), Some(second)) if *first != second => found.push(
            Diagnostic::error(
                Code::Conflict,
                second.span,
                format!("two sources say different things of `{what}`"),
            )
            .label(first.span, "the other is here")
            .help("say it in one of them"),
        ),
        (None, Some(second)) => *whole = Some(second),
        (Some(_), Some(_)) | (_, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::{GroupDraft, ListenerDraft};
    use crate::span::FileId;

    /// A source of group and listener names, each at a place of its own.
    fn source(file: u32, groups: &[&str], listeners: &[&str], workers: Option<u16>) -> Draft {
        let place = |start: usize| Span::new(FileId(file), start..start + 1);
        let name = |(i, name): (usize, &&str)| Spanned::new(Name::from(*name), place(i));
        let mut draft = Draft::default();
        draft.process.workers = workers.map(|workers| Spanned::new(workers, place(90)));
        draft.groups = groups
            .iter()
            .enumerate()
            .map(name)
            .map(GroupDraft::new)
            .collect();
        let listeners = listeners.iter().enumerate().map(name);
        draft.listeners = listeners.map(ListenerDraft::new).collect();
        draft
    }

    fn check(sources: Vec<Draft>, groups: &[&str], listeners: &[&str], expected: &[&str]) {
        let (whole, found) = merge(sources);
        let names: Vec<&str> = whole.groups.iter().map(|x| x.name.value.as_str()).collect();
        assert_eq!(names, groups);
        let names = whole.listeners.iter().map(|x| x.name.value.as_str());
        assert_eq!(names.collect::<Vec<_>>(), listeners);
        let found: Vec<String> = found
            .iter()
            .map(|found| {
                let places = found.labels.iter().map(|label| label.span);
                let places = places.map(|span| format!("{}:{}", span.file.0, span.start));
                let places: Vec<String> = places.collect();
                format!("{}: {} @ {}", found.code, found.message, places.join(" "))
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn sources_add_up() {
        check(vec![], &[], &[], &[]);
        check(
            vec![
                source(0, &["b", "a"], &["web"], Some(2)),
                source(1, &["c"], &["web@docker"], None),
                source(2, &[], &[], Some(2)),
            ],
            &["b", "a", "c"],
            &["web", "web@docker"],
            &[],
        );
        // A listener and a group may share a name; names within one source are compile's.
        check(
            vec![source(0, &["a", "a"], &["a"], None)],
            &["a", "a"],
            &["a"],
            &[],
        );
    }

    #[test]
    fn contradictions_show_both_places() {
        check(
            vec![
                source(0, &["a", "b"], &[], Some(2)),
                source(1, &["c", "b"], &[], Some(3)),
            ],
            &["a", "b", "c"],
            &[],
            &[
                "P0106: two target groups are called `b` @ 1:1 0:1",
                "P0105: two sources say different things of `workers` @ 1:90 0:90",
            ],
        );
    }
}
