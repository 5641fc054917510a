//! What leads from one configuration to the next, object by object: a function of the two, for people and programs to read before
//! or after it happens.
//!
//! Objects are compared by name, as their texts say it: a place in a list, or the place of what an object refers to, does not matter.
//! What changes within one is read off the canonical text, so that nothing has to be listed twice; secrets are not shown.

use std::collections::{HashMap, HashSet};
use std::fmt;

use portway_dialects::native::{self, OutlinedField};
use portway_model::draft::{Draft, GroupDraft, TargetDraft};
use portway_model::lift::lift;
use portway_model::name::Name;
use portway_model::snapshot::Snapshot;

/// What a change does, in the order of the objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Empty where nothing changes.
    pub steps: Vec<Step>,
}

/// What becomes of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What happens to it.
    pub action: Action,
    /// What it is, in the words of the native form: `listener`, `target_group`, `target`, `certificate`, …
    pub kind: &'static str,
    /// Its name; of a target `GROUP/TARGET`; empty for the process.
    pub name: String,
    /// What is said of it: what changes, or all of it where it comes or goes. Empty where only [`Step::contents`] change.
    pub fields: Vec<FieldChange>,
    /// What a file says that it names is something else.
    pub contents: bool,
}

/// A key of an object, in the words of the native form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The key; `timeouts.connect` where it stands in a table.
    pub name: String,
    /// What it says, as the canonical text has it; `None`: nothing, which means the default.
    pub old: Option<String>,
    /// What it is to say; `None`: nothing.
    pub new: Option<String>,
    /// It is an element of a list, which comes or goes.
    pub element: bool,
    /// A process keeps it from its start to its end.
    pub fixed: bool,
}

/// Settings of a process that stay as they are from its start to its end.
pub const FIXED: [&str; 10] = [
    "workers",
    "admin",
    "user",
    "group",
    "chroot",
    "pid_file",
    "daemon",
    "master",
    "variables",
    "control_sockets",
];

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It comes.
    Add,
    /// It says something else.
    Change,
    /// It goes.
    Remove,
}

impl Action {
    /// The sign in front of a line, as `diff` has it: `+`, `~`, `-`.
    pub fn sign(self) -> char {
        match self {
            Action::Add => '+',
            Action::Change => '~',
            Action::Remove => '-',
        }
    }

    /// The action that is called so in JSON.
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [Action::Add, Action::Change, Action::Remove];
        all.into_iter().find(|it| it.word() == word)
    }

    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Action::Add => "add",
            Action::Change => "change",
            Action::Remove => "remove",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step {
            action, kind, name, ..
        } = self;
        write!(f, "{} {kind}", action.sign())?;
        match name.is_empty() {
            true => Ok(()),
            false => write!(f, " {name}"),
        }
    }
}

impl fmt::Display for Plan {
    /// A line for each step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl Plan {
    /// What leads from `old` to `new`.
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let mut plan = Plan::default();
        let targets = [old, new].map(target_names);
        let (old, new) = (lift(old), lift(new));
        if old.process != new.process {
            let said = [&old.process, &new.process].map(native::outline_process);
            let mut fields = changes(&said[0], &said[1]);
            for field in &mut fields {
                let top = field.name.split('.').next();
                field.fixed = top.is_some_and(|top| FIXED.contains(&top));
            }
            plan.add(Action::Change, "process", String::new(), fields);
        }
        let listeners = Kind("listener", native::outline_listener);
        plan.compare(listeners, &old.listeners, &new.listeners, |it| {
            &it.name.value
        });
        plan.groups(&old, &new, &targets);
        let certificates = Kind("certificate", native::outline_certificate);
        plan.compare(certificates, &old.certificates, &new.certificates, |it| {
            &it.name.value
        });
        let tables = Kind("stick_table", native::outline_stick_table);
        plan.compare(tables, &old.stick_tables, &new.stick_tables, |it| {
            &it.name.value
        });
        let maps = Kind("map", native::outline_map);
        plan.compare(maps, &old.maps, &new.maps, |it| &it.name.value);
        let userlists = Kind("userlist", native::outline_userlist);
        plan.compare(userlists, &old.userlists, &new.userlists, |it| {
            &it.name.value
        });
        plan
    }

    /// How many objects come, change and go.
    pub fn counts(&self) -> [usize; 3] {
        [Action::Add, Action::Change, Action::Remove]
            .map(|action| self.steps.iter().filter(|it| it.action == action).count())
    }

    /// True where nothing changes.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// One more: an object whose text is the same, but not what a file says that it names.
    pub(crate) fn add_changed(&mut self, kind: &'static str, name: &str) {
        let mut known = self.steps.iter_mut();
        match known.find(|it| it.kind == kind && it.name == name) {
            Some(known) => known.contents = true,
            None => {
                self.add(Action::Change, kind, name.to_owned(), Vec::new());
                if let Some(added) = self.steps.last_mut() {
                    added.contents = true;
                }
            }
        }
    }

    fn add(&mut self, action: Action, kind: &'static str, name: String, fields: Vec<FieldChange>) {
        self.steps.push(Step {
            action,
            kind,
            name,
            fields,
            contents: false,
        });
    }

    fn compare<T: PartialEq>(
        &mut self,
        Kind(kind, outline): Kind<T>,
        old: &[T],
        new: &[T],
        name: impl Fn(&T) -> &Name,
    ) {
        let known: HashMap<&Name, &T> = old.iter().map(|it| (name(it), it)).collect();
        for it in new {
            let said = || outline(it);
            match known.get(name(it)) {
                None => {
                    let fields = changes(&[], &said());
                    self.add(Action::Add, kind, name(it).to_string(), fields);
                }
                Some(before) if *before != it => {
                    let fields = changes(&outline(before), &said());
                    self.add(Action::Change, kind, name(it).to_string(), fields);
                }
                Some(_) => {}
            }
        }
        let names: HashSet<&Name> = new.iter().map(&name).collect();
        for gone in old.iter().filter(|it| !names.contains(name(it))) {
            let fields = changes(&outline(gone), &[]);
            self.add(Action::Remove, kind, name(gone).to_string(), fields);
        }
    }

    /// Groups, each with its targets, which are called so.
    fn groups(&mut self, old: &Draft, new: &Draft, names: &[Vec<Vec<Name>>; 2]) {
        let alone = |group: &GroupDraft| GroupDraft {
            targets: Vec::new(),
            ..group.clone()
        };
        let all = |of: &Draft| of.groups.iter().map(alone).collect::<Vec<_>>();
        let groups = Kind("target_group", native::outline_group);
        self.compare(groups, &all(old), &all(new), |it| &it.name.value);
        let [old_names, new_names] = names;
        let known: HashMap<&Name, Targets<'_>> = old
            .groups
            .iter()
            .zip(old_names)
            .map(|(group, names)| (&group.name.value, named(group, names)))
            .collect();
        for (group, names) in new.groups.iter().zip(new_names) {
            let before = known.get(&group.name.value);
            let before = before.map_or(&[][..], Vec::as_slice);
            let targets = Kind("target", |it: &(Name, &TargetDraft)| {
                native::outline_target(it.1)
            });
            self.compare(targets, before, &named(group, names), |it| &it.0);
        }
    }
}

/// The word for objects of one kind, and what is said of one.
struct Kind<T>(&'static str, fn(&T) -> Vec<OutlinedField>);

/// What the keys of an object say and are to say. Of a list, the elements that come and go; all of it where only their
/// order changes.
fn changes(old: &[OutlinedField], new: &[OutlinedField]) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let mut change = |name: &str, old: Option<String>, new: Option<String>, element| {
        changes.push(FieldChange {
            name: name.to_owned(),
            old,
            new,
            element,
            fixed: false,
        });
    };
    let none = |of: &OutlinedField| OutlinedField {
        key: of.key.clone(),
        values: Vec::new(),
        shown: Vec::new(),
        is_list: of.is_list,
    };
    let known: HashMap<&str, &OutlinedField> = new.iter().map(|it| (it.key.as_str(), it)).collect();
    let gone = old.iter().map(|it| match known.get(it.key.as_str()) {
        Some(after) => (it.clone(), (*after).clone()),
        None => (it.clone(), none(it)),
    });
    let was: HashSet<&str> = old.iter().map(|it| it.key.as_str()).collect();
    let come = new.iter().filter(|it| !was.contains(it.key.as_str()));
    let come = come.map(|it| (none(it), it.clone()));
    for (before, after) in gone.chain(come) {
        if before.values == after.values {
            continue;
        }
        let name = after.key.as_str();
        if !(before.is_list && after.is_list) {
            let whole = |it: &OutlinedField| match (it.is_list, it.shown.as_slice()) {
                (_, []) => None,
                (false, [value]) => Some(value.clone()),
                (_, values) => Some(format!("[{}]", values.join(", "))),
            };
            change(name, whole(&before), whole(&after), false);
            continue;
        }
        let (goes, comes) = (without(&before, &after), without(&after, &before));
        if goes.is_empty() && comes.is_empty() {
            let whole = |it: &OutlinedField| Some(format!("[{}]", it.shown.join(", ")));
            change(name, whole(&before), whole(&after), false);
        }
        goes.into_iter()
            .for_each(|it| change(name, Some(it), None, true));
        comes
            .into_iter()
            .for_each(|it| change(name, None, Some(it), true));
    }
    changes
}

/// The elements of a list that another does not have, as they are shown.
fn without(list: &OutlinedField, other: &OutlinedField) -> Vec<String> {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for value in &other.values {
        *left.entry(value).or_default() += 1;
    }
    let pairs = list.values.iter().zip(&list.shown);
    let missing = pairs.filter(|(value, _)| match left.get_mut(value.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    missing.map(|(_, shown)| shown.clone()).collect()
}

/// Targets, each with its name and that of its group.
type Targets<'d> = Vec<(Name, &'d TargetDraft)>;

fn named<'d>(group: &'d GroupDraft, names: &[Name]) -> Targets<'d> {
    let full = |name: &Name| Name::new(format!("{}/{name}", group.name.value));
    names.iter().map(full).zip(&group.targets).collect()
}

/// The names of all targets by group, also of those whose texts give none.
fn target_names(snapshot: &Snapshot) -> Vec<Vec<Name>> {
    let of_group = snapshot.groups.iter().map(|group| {
        let targets = group.targets.iter();
        targets.map(|it| it.name.clone()).collect()
    });
    of_group.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::compile_text;

    fn snapshot(text: &str) -> Snapshot {
        let compiled = compile_text("test.toml", text);
        compiled
            .snapshot
            .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
    }

    #[test]
    fn fields() {
        let check = |old: &str, new: &str, expected: &[&str]| {
            let plan = Plan::between(&snapshot(old), &snapshot(new));
            let fields = plan.steps.iter().flat_map(|step| &step.fields);
            let texts = fields.map(|it| {
                let side = |it: &Option<String>| it.clone().unwrap_or_default();
                let fixed = if it.fixed { " fixed" } else { "" };
                format!("{}: {} > {}{fixed}", it.name, side(&it.old), side(&it.new))
            });
            assert_eq!(texts.collect::<Vec<_>>(), expected, "{old} {new}");
        };
        const A: &str = "[target_group.a]\ntargets = ['10.0.0.1:80']\n";
        const WEB: &str = "[listener.web]\nbind = ':80'\nforward = 'a'\n";
        let old = format!("{WEB}{A}");
        check(
            &old,
            &format!("{WEB}{A}retries = 7\ntimeouts = {{ connect = '2s' }}\n"),
            &["retries:  > 7", "timeouts.connect:  > \"2s\""],
        );
        check(
            &old,
            &old.replace("':80'", "[':81', ':80']"),
            &["bind: \":80\" > [\":81\", \":80\"]"],
        );
        check(
            &old,
            &old.replace("'10.0.0.1:80'", "{ address = '10.0.0.1:80', weight = 3 }"),
            &["weight:  > 3"],
        );
        let rule = |when: &str| {
            format!("{WEB}[[listener.web.rule]]\nwhen = 'Path(`/{when}`)'\nrespond = 403\n{A}")
        };
        check(
            &rule("x"),
            &rule("y"),
            &[
                "rule: { when = \"Path(`/x`)\", respond = 403 } > ",
                "rule:  > { when = \"Path(`/y`)\", respond = 403 }",
            ],
        );
        check(
            &old,
            &format!("[process]\nworkers = 3\nready_delay = '3s'\n{old}"),
            &["workers:  > 3 fixed", "ready_delay:  > \"3s\""],
        );
        let user = |hash: &str| format!("{old}[userlist.u]\nusers = {{ anna = '$6${hash}' }}\n");
        check(
            &user("one"),
            &user("two"),
            &["users.anna: \"(secret)\" > \"(secret)\""],
        );
    }

    #[test]
    fn steps() {
        const WEB: &str = "[listener.web]\nbind = '127.0.0.1:80'\nforward = 'a'\n";
        const OTHER: &str = "[listener.other]\nbind = '127.0.0.1:81'\nforward = 'a'\n";
        const A: &str = "[target_group.a]\ntargets = ['10.0.0.1:80', '10.0.0.2:80']\n";
        let check = |old: &[&str], new: &[&str], expected: &str| {
            let plan = Plan::between(&snapshot(&old.concat()), &snapshot(&new.concat()));
            assert_eq!(plan.to_string(), expected, "{old:?} {new:?}");
        };
        check(&[WEB, A], &[A, WEB], "");
        check(&[WEB, A], &[OTHER, WEB, A], "+ listener other\n");
        check(&[WEB, OTHER, A], &[OTHER, A], "- listener web\n");
        let slower = "[target_group.a]\nretries = 7\ntargets = ['10.0.0.3:80', '10.0.0.2:80']\n";
        check(
            &[WEB, A],
            &[WEB, slower],
            "~ target_group a\n+ target a/10.0.0.3:80\n- target a/10.0.0.1:80\n",
        );
        let redirected = WEB.replace(":80", ":8080");
        check(&[WEB, A], &[&redirected, A], "~ listener web\n");
        check(
            &[WEB, A],
            &["[process]\nready_delay = '3s'\n", WEB, A],
            "~ process\n",
        );
    }
}
