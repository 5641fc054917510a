//! Which targets of a snapshot are those of the one before, where servers come and go by commands.

use std::collections::HashMap;

use portway_model::name::Name;
use portway_model::snapshot::{Snapshot, Target, TargetGroup};

use crate::targets::is_same;

/// What leads from one snapshot to the next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TargetsPlan {
    /// The groups whose targets are others.
    pub(crate) groups: Vec<GroupPlan>,
}

/// What becomes of the targets of a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupPlan {
    /// The index of the group.
    pub(crate) group: usize,
    /// For each target of the next snapshot its place in the one before; `None`: it is new.
    pub(crate) kept: Vec<Option<usize>>,
}

impl TargetsPlan {
    /// What leads from `old` to `new`; `None` where that is more than targets that come and go.
    pub(crate) fn between(old: &Snapshot, new: &Snapshot) -> Option<Self> {
        let of_both = || old.groups.iter().zip(&new.groups);
        if old.groups.len() != new.groups.len() || of_both().any(|(old, new)| old.name != new.name)
        {
            return None;
        }
        let plans = of_both().enumerate().map(|(group, (old, new))| GroupPlan {
            group,
            kept: kept(old, new),
        });
        let changes = |it: &GroupPlan| {
            let before = old.groups.get(it.group).map_or(0, |old| old.targets.len());
            let same = |(at, kept): (usize, &Option<usize>)| *kept == Some(at);
            before != it.kept.len() || !it.kept.iter().enumerate().all(same)
        };
        Some(Self {
            groups: plans.filter(changes).collect(),
        })
    }
}

fn kept(old: &TargetGroup, new: &TargetGroup) -> Vec<Option<usize>> {
    let before = old.targets.iter().enumerate();
    let before: HashMap<&Name, (usize, &Target)> = before
        .map(|(at, target)| (&target.name, (at, target)))
        .collect();
    let place = |target: &Target| {
        let (at, known) = before.get(&target.name)?;
        is_same((old, known), (new, target)).then_some(*at)
    };
    new.targets.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::compile_text;

    fn snapshot(groups: &str) -> Snapshot {
        let text = format!("[listener.web]\nbind = '127.0.0.1:80'\nforward = 'a'\n{groups}");
        let compiled = compile_text("test.toml", &text);
        compiled
            .snapshot
            .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
    }

    #[test]
    fn what_came_and_what_went() {
        let group = |name: &str, targets: &[&str]| {
            let target = |it: &&str| format!("{{ name = '{it}', address = '10.0.0.1:80' }}");
            let targets: Vec<String> = targets.iter().map(target).collect();
            format!(
                "[target_group.{name}]\ntargets = [{}]\n",
                targets.join(", ")
            )
        };
        let both = |a: &[&str]| snapshot(&format!("{}{}", group("a", a), group("b", &["x"])));
        let check = |before: &[&str], after: &[&str], expected: Option<&[Option<usize>]>| {
            let found = TargetsPlan::between(&both(before), &both(after)).map(|it| it.groups);
            let expected = expected.map(|kept| GroupPlan {
                group: 0,
                kept: kept.to_vec(),
            });
            assert_eq!(
                found,
                Some(expected.into_iter().collect()),
                "{before:?} {after:?}"
            );
        };
        check(&["x", "y"], &["x", "y"], None);
        check(
            &["x", "y"],
            &["x", "y", "z"],
            Some(&[Some(0), Some(1), None]),
        );
        check(&["x", "y"], &["y"], Some(&[Some(1)]));
        check(&["x", "y"], &["y", "x"], Some(&[Some(1), Some(0)]));
        let other = snapshot(&format!("{}{}", group("a", &["x"]), group("c", &["x"])));
        assert_eq!(TargetsPlan::between(&both(&["x"]), &other), None);
    }

    #[test]
    fn a_target_that_says_something_else_is_another() {
        let group = |more: &str| {
            snapshot(&format!(
                "[target_group.a]\ntargets = [{{ name = 'x', address = '10.0.0.1:80'{more} }}]\n"
            ))
        };
        let kept =
            |more: &str| TargetsPlan::between(&group(""), &group(more)).map(|it| it.groups.len());
        assert_eq!(kept(", weight = 1"), Some(0));
        assert_eq!(kept(", weight = 2"), Some(1));
        // There is no TLS to speak.
        assert_eq!(kept(", tls = false"), Some(0));
    }
}
