//! What leads from one configuration to the next, object by object: a function of the two, for people and programs to read before
//! or after it happens.
//!
//! Objects are compared by name, as their texts say it: a place in a list, or the place of what an object refers to, does not matter.

use std::collections::{HashMap, HashSet};
use std::fmt;

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
}

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
        let Step { action, kind, name } = self;
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
            plan.add(Action::Change, "process", String::new());
        }
        plan.compare("listener", &old.listeners, &new.listeners, |it| {
            &it.name.value
        });
        plan.groups(&old, &new, &targets);
        let certificates = (&old.certificates, &new.certificates);
        plan.compare("certificate", certificates.0, certificates.1, |it| {
            &it.name.value
        });
        plan.compare("stick_table", &old.stick_tables, &new.stick_tables, |it| {
            &it.name.value
        });
        plan.compare("map", &old.maps, &new.maps, |it| &it.name.value);
        plan.compare("userlist", &old.userlists, &new.userlists, |it| {
            &it.name.value
        });
        plan
    }

    /// True where nothing changes.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// One more: an object whose text is the same, but not what a file says that it names.
    pub(crate) fn add_changed(&mut self, kind: &'static str, name: &str) {
        let known = self.steps.iter();
        let mut known = known.filter(|it| it.kind == kind && it.name == name);
        if known.next().is_none() {
            self.add(Action::Change, kind, name.to_owned());
        }
    }

    fn add(&mut self, action: Action, kind: &'static str, name: String) {
        self.steps.push(Step { action, kind, name });
    }

    fn compare<T: PartialEq>(
        &mut self,
        kind: &'static str,
        old: &[T],
        new: &[T],
        name: impl Fn(&T) -> &Name,
    ) {
        let known: HashMap<&Name, &T> = old.iter().map(|it| (name(it), it)).collect();
        for it in new {
            match known.get(name(it)) {
                None => self.add(Action::Add, kind, name(it).to_string()),
                Some(before) if *before != it => {
                    self.add(Action::Change, kind, name(it).to_string());
                }
                Some(_) => {}
            }
        }
        let names: HashSet<&Name> = new.iter().map(&name).collect();
        for gone in old.iter().map(&name).filter(|it| !names.contains(it)) {
            self.add(Action::Remove, kind, gone.to_string());
        }
    }

    /// Groups, each with its targets, which are called so.
    fn groups(&mut self, old: &Draft, new: &Draft, names: &[Vec<Vec<Name>>; 2]) {
        let alone = |group: &GroupDraft| GroupDraft {
            targets: Vec::new(),
            ..group.clone()
        };
        let all = |of: &Draft| of.groups.iter().map(alone).collect::<Vec<_>>();
        self.compare("target_group", &all(old), &all(new), |it| &it.name.value);
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
            self.compare("target", before, &named(group, names), |it| &it.0);
        }
    }
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
