//! Who the process is: the user, group and root that it takes once everything is bound and read.
//!
//! Sockets below port 1024, keys and log files need root; serving does not. The order is that of HAProxy: chroot, then
//! groups, then the user, after which none of it can be undone.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown, chroot};
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, setgid, setgroups, setuid};
use portway_dataplane::source;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::ProcessDraft;
use portway_model::snapshot::{Process, Snapshot, Target};
use portway_model::span::{Span, Spanned};

/// Whom the process becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    user: Option<Uid>,
    group: Option<Gid>,
}

/// What `check` can say: users and groups that do not exist.
pub(crate) fn check(process: &Process) -> Diagnostics {
    check_names(process.user.as_ref(), process.group.as_ref())
}

/// What stands in the way of connections to targets that come from addresses of others.
pub(crate) fn check_borrowing(snapshot: &Snapshot) -> Diagnostics {
    let mut found = Diagnostics::default();
    let borrows = |target: &&Target| {
        target
            .source
            .as_ref()
            .is_some_and(|it| it.borrowed.is_some())
    };
    let mut targets = snapshot.groups.iter().flat_map(|group| &group.targets);
    let Some(target) = targets.find(borrows) else {
        return found;
    };
    let process = &snapshot.process;
    let user = process.user.as_ref().or(process.group.as_ref());
    let becomes = identity(process).is_ok_and(|it| it.user.is_some_and(|user| !user.is_root()));
    let message = match (source::may_borrow(), user) {
        (Ok(()), Some(_)) if becomes => {
            "the process is to become a user who may not borrow addresses for connections to targets".to_owned()
        }
        (Ok(()), _) => return found,
        (Err(error), _) => {
            format!("this process may not borrow addresses for connections to targets: {error}")
        }
    };
    let wrong = Diagnostic::error(Code::Install, target.origin.0, message);
    found.push(wrong.help(
        "it takes CAP_NET_ADMIN: run as root without `user`, or give the service that capability",
    ));
    found
}

/// As [`check`], of a configuration with errors.
pub(crate) fn check_draft(process: &ProcessDraft) -> Diagnostics {
    check_names(process.user.as_ref(), process.group.as_ref())
}

fn check_names(user: Option<&Spanned<String>>, group: Option<&Spanned<String>>) -> Diagnostics {
    let mut found = Diagnostics::default();
    for wrong in [
        user.and_then(|user| user_of(user).err()),
        group.and_then(|group| group_of(group).err()),
    ] {
        wrong.into_iter().for_each(|it| found.push(it));
    }
    found
}

/// Takes the root, the groups and the user that `process` names. Does nothing where it names none.
///
/// # Errors
/// A user or group that does not exist, rights that are missing, a folder that is none.
pub(crate) fn take(process: &Process) -> Result<(), Diagnostic> {
    let identity = identity(process)?;
    if let Some(folder) = &process.chroot {
        let entered = chroot(&folder.value).and_then(|()| std::env::set_current_dir("/"));
        entered.map_err(|error| {
            let message = format!("cannot make `{}` the root: {error}", folder.value);
            Diagnostic::error(Code::Install, folder.span, message)
                .help("start as root, name a folder that exists, or remove `chroot`")
        })?;
    }
    if let Some(group) = identity.group.filter(|group| *group != getegid()) {
        setgroups(&[])
            .and_then(|()| setgid(group))
            .map_err(|error| refused("group", place(&process.group, &process.user), error))?;
    }
    if let Some(user) = identity.user.filter(|user| *user != geteuid()) {
        setuid(user).map_err(|error| refused("user", place(&process.user, &None), error))?;
    }
    Ok(())
}

/// Makes a folder in which the process writes once it is somebody else: what was not there is theirs.
///
/// # Errors
/// Those of the system.
pub(crate) fn make_folder(process: &Process, folder: &Path) -> io::Result<()> {
    let is_new = |it: &&Path| !it.as_os_str().is_empty() && !it.exists();
    let new: Vec<&Path> = folder.ancestors().take_while(is_new).collect();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // Who nobody knows is told of when the process is to be them.
    let Ok(identity) = identity(process) else {
        return Ok(());
    };
    new.iter().try_for_each(|it| {
        let (user, group) = (identity.user, identity.group);
        chown(it, user.map(Uid::as_raw), group.map(Gid::as_raw))
    })
}

/// Who the process is since its start, and where, for whoever wonders why it cannot read a file.
pub(crate) fn since_the_start(process: &Process) -> Option<String> {
    let name = |kind: &str, it: &Option<Spanned<String>>| {
        let it = it.as_ref()?;
        Some(format!("{kind} `{}`", it.value))
    };
    let user = name("the user", &process.user).or(name("of the group", &process.group));
    let root = name("in the root", &process.chroot);
    if user.is_none() && root.is_none() {
        return None;
    }
    let parts: Vec<String> = user.into_iter().chain(root).collect();
    let parts = parts.join(", ");
    Some(format!(
        "since its start the process is {parts}: it reads files again as that"
    ))
}

fn identity(process: &Process) -> Result<Identity, Diagnostic> {
    let user = process.user.as_ref().map(user_of).transpose()?;
    let group = process.group.as_ref().map(group_of).transpose()?;
    Ok(Identity {
        user: user.map(|(user, _)| user),
        group: group.or(user.and_then(|(_, group)| group)),
    })
}

/// A user with the group that the system gives it; a number need not have a name.
fn user_of(written: &Spanned<String>) -> Result<(Uid, Option<Gid>), Diagnostic> {
    let name = &written.value;
    if let Ok(number) = name.parse() {
        return Ok((Uid::from_raw(number), None));
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok((user.uid, Some(user.gid))),
        Ok(None) => Err(unknown("user", written)),
        Err(error) => Err(refused("user", written.span, error)),
    }
}

fn group_of(written: &Spanned<String>) -> Result<Gid, Diagnostic> {
    let name = &written.value;
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(unknown("group", written)),
        Err(error) => Err(refused("group", written.span, error)),
    }
}

fn place(first: &Option<Spanned<String>>, second: &Option<Spanned<String>>) -> Span {
    first
        .as_ref()
        .or(second.as_ref())
        .map_or(Span::NONE, |it| it.span)
}

fn unknown(kind: &str, written: &Spanned<String>) -> Diagnostic {
    let message = format!("this machine has no {kind} `{}`", written.value);
    Diagnostic::error(Code::UnknownReference, written.span, message).help(format!(
        "make it with `{kind}add --system {}`, name another, or remove it",
        written.value
    ))
}

fn refused(kind: &str, place: Span, error: nix::Error) -> Diagnostic {
    let error = io::Error::from(error);
    let message = format!("cannot become this {kind}: {error}");
    Diagnostic::error(Code::Install, place, message)
        .help(format!("start as root, or remove `{kind}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_again() {
        let text = "[process]\nuser = 'nobody'\nchroot = '/srv'\n[listener.a]\nbind = '127.0.0.1:1'\nforward = 'b'\n[target_group.b]\ntargets = ['127.0.0.1:2']\n";
        let compiled = crate::sources::compile_text("a.toml", text);
        let mut process = compiled.snapshot.unwrap().process;
        let said = since_the_start(&process).unwrap();
        assert!(
            said.starts_with(
                "since its start the process is the user `nobody`, in the root `/srv`: "
            )
        );
        (process.user, process.chroot) = (None, None);
        assert_eq!(since_the_start(&process), None);
    }

    #[test]
    fn users_and_groups() {
        let word = |text: &str| Spanned::bare(text.to_owned());
        let root = (Uid::from_raw(0), Some(Gid::from_raw(0)));
        assert_eq!(user_of(&word("root")), Ok(root));
        assert_eq!(user_of(&word("4711")), Ok((Uid::from_raw(4711), None)));
        assert_eq!(group_of(&word("root")), Ok(Gid::from_raw(0)));
        assert_eq!(group_of(&word("4711")), Ok(Gid::from_raw(4711)));
        for text in ["no-such-user-here", "-1", "4294967296"] {
            let message = user_of(&word(text)).unwrap_err().message;
            assert_eq!(message, format!("this machine has no user `{text}`"));
        }
        let message = group_of(&word("no-such-group")).unwrap_err().message;
        assert_eq!(message, "this machine has no group `no-such-group`");
    }
}
