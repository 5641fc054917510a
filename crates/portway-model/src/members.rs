//! Targets whose name stands for many: each address of the name is a target of its own, a member.
//!
//! A compiled snapshot has the target as it is written. [`expand`] puts its members in its place, [`collapse`] goes back; where the
//! name has no address the target itself stays, which has none. A member keeps the target that it is of, so that what is at work can
//! be shown and compared as it was written.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::address::TargetAddress;
use crate::name::Name;
use crate::resolution::Take;
use crate::snapshot::{Snapshot, Target, TargetGroup, TargetRef};

/// One address of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// Where it is.
    pub address: SocketAddr,
    /// Its weight, in place of what the target says.
    pub weight: Option<u16>,
    /// Others are asked first.
    pub backup: bool,
}

impl Member {
    /// One that is as the target says.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            weight: None,
            backup: false,
        }
    }
}

/// True for a target whose name stands for many, and for none of its members.
pub fn stands_for_many(target: &Target) -> bool {
    let is_name = target.address.is_named();
    is_name && target.resolve.take == Take::All && target.member_of.is_none() && !target.disabled
}

/// Puts members in the place of every target whose name stands for many; `of` says which. `None`: there is no such target.
pub fn expand(
    snapshot: &Snapshot,
    of: impl FnMut(&TargetGroup, &Target) -> Vec<Member>,
) -> Option<Snapshot> {
    let all = snapshot.groups.iter().flat_map(|it| &it.targets);
    all.clone().any(stands_for_many).then(|| {
        let mut of = of;
        replaced(snapshot, |group, at| {
            let target = group.targets.get(at)?;
            if !stands_for_many(target) {
                return None;
            }
            let template = Arc::new(target.clone());
            let members = of(group, target);
            let targets: Vec<Target> = members.iter().map(|it| member(&template, it)).collect();
            (!targets.is_empty()).then_some(Others {
                targets,
                count: 1,
                as_written: false,
            })
        })
    })
}

/// Puts every target back whose members stand in its place. `None`: there are no members.
pub fn collapse(snapshot: &Snapshot) -> Option<Snapshot> {
    let all = snapshot.groups.iter().flat_map(|it| &it.targets);
    all.clone().any(|it| it.member_of.is_some()).then(|| {
        replaced(snapshot, |group, at| {
            let template = group.targets.get(at)?.member_of.as_ref()?;
            let rest = group.targets.get(at..)?.iter();
            let is_of_it = |it: &&Target| {
                let of = it.member_of.as_ref();
                of.is_some_and(|it| it.name == template.name)
            };
            let count = rest.take_while(is_of_it).count();
            Some(Others {
                targets: vec![Target::clone(template)],
                count: count.max(1),
                as_written: true,
            })
        })
    })
}

/// The member at this address and port.
pub fn at(group: &TargetGroup, address: &str) -> Option<usize> {
    let wanted = TargetAddress::socket(address.parse().ok()?);
    let mut targets = group.targets.iter();
    targets.position(|it| it.member_of.is_some() && it.address == wanted)
}

/// Whether a target may get a member of this name, or at this address.
pub(crate) fn may_be_named(target: &Target, name: &str) -> bool {
    let address = match name.split_once('@') {
        Some((of, address)) if of == target.name.as_str() => address,
        Some(_) => return false,
        None => name,
    };
    stands_for_many(target) && address.parse::<SocketAddr>().is_ok()
}

/// The name of a target as it is written: of a member that of its target.
pub fn written_name(target: &Target) -> &Name {
    target
        .member_of
        .as_ref()
        .map_or(&target.name, |it| &it.name)
}

/// Where a target lives as it is written: of a member the name that it has its address by.
pub fn written_address(target: &Target) -> &TargetAddress {
    let written = target.member_of.as_ref();
    written.map_or(&target.address, |it| &it.address)
}

fn member(template: &Arc<Target>, member: &Member) -> Target {
    Target {
        name: Name::new(format!("{}@{}", template.name, member.address)),
        address: TargetAddress::socket(member.address),
        weight: member.weight.unwrap_or(template.weight),
        backup: template.backup || member.backup,
        member_of: Some(template.clone()),
        ..Target::clone(template)
    }
}

/// What stands in the place of targets.
struct Others {
    targets: Vec<Target>,
    /// How many they replace.
    count: usize,
    /// They are as they are written: what they follow has the place that it has there.
    as_written: bool,
}

/// A snapshot with other targets in the place of some, as `by` says. What follows another target follows it to its new place.
fn replaced(
    snapshot: &Snapshot,
    mut by: impl FnMut(&TargetGroup, usize) -> Option<Others>,
) -> Snapshot {
    let mut places: Vec<Vec<u32>> = Vec::with_capacity(snapshot.groups.len());
    let mut all: Vec<Vec<(Target, bool)>> = Vec::with_capacity(snapshot.groups.len());
    for group in &snapshot.groups {
        let (mut targets, mut of_group) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(target) = group.targets.get(at) {
            let place = u32::try_from(targets.len()).unwrap_or(u32::MAX);
            let others = by(group, at).unwrap_or_else(|| Others {
                targets: vec![target.clone()],
                count: 1,
                as_written: false,
            });
            of_group.extend(std::iter::repeat_n(place, others.count));
            at += others.count;
            let as_written = others.as_written;
            targets.extend(others.targets.into_iter().map(|it| (it, as_written)));
        }
        places.push(of_group);
        all.push(targets);
    }
    let place_of = |it: TargetRef| {
        let of_group = places.get(it.group.index())?;
        of_group.get(usize::try_from(it.target).ok()?).copied()
    };
    let follows = |(mut target, as_written): (Target, bool)| {
        if let Some(track) = target.track.as_mut().filter(|_| !as_written)
            && let Some(place) = place_of(*track)
        {
            track.target = place;
        }
        target
    };
    let groups = snapshot.groups.iter().zip(all).map(|(group, targets)| {
        let targets: Vec<Target> = targets.into_iter().map(follows).collect();
        match targets == group.targets {
            true => group.clone(),
            false => Arc::new(TargetGroup {
                targets,
                ..TargetGroup::clone(group)
            }),
        }
    });
    Snapshot {
        groups: groups.collect(),
        ..snapshot.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Host;
    use crate::compile::compile;
    use crate::draft::{Draft, GroupDraft, ListenerDraft, TargetDraft};
    use crate::lift::lift;
    use crate::resolution::ResolutionDraft;
    use crate::span::Spanned;

    fn target(name: &str, host: &str, track: Option<&str>) -> TargetDraft {
        let address = TargetAddress::Tcp {
            host: host
                .parse()
                .map_or_else(|_| Host::Name(host.to_owned()), Host::Ip),
            port: 80,
        };
        let many = ResolutionDraft {
            take: Some(Spanned::bare(Take::All)),
            ..ResolutionDraft::default()
        };
        TargetDraft {
            name: Some(Spanned::bare(Name::new(name))),
            resolve: name.starts_with("many").then(|| Spanned::bare(many)),
            track: track.map(|it| {
                Spanned::bare(crate::choice::TrackedDraft {
                    group: None,
                    target: Spanned::bare(Name::new(it)),
                })
            }),
            ..TargetDraft::new(Spanned::bare(address))
        }
    }

    fn snapshot(targets: Vec<TargetDraft>) -> Snapshot {
        let group = GroupDraft {
            targets,
            ..GroupDraft::new(Spanned::bare(Name::new("app")))
        };
        let draft = Draft {
            groups: vec![group],
            listeners: Vec::<ListenerDraft>::new(),
            ..Draft::default()
        };
        let (snapshot, found) = compile(&draft);
        snapshot.unwrap_or_else(|| panic!("{found:?}"))
    }

    /// Names of targets, each with the one that it follows.
    fn described(snapshot: &Snapshot) -> String {
        let targets = &snapshot.groups[0].targets;
        let one = |it: &Target| match it.track {
            None => it.name.to_string(),
            Some(to) => format!("{} > {}", it.name, targets[to.target as usize].name),
        };
        targets.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn members_stand_in_the_place_of_their_target_and_go_back() {
        let plain = snapshot(vec![
            target("many", "many.test", Some("last")),
            target("b", "10.0.0.9", Some("last")),
            target("many2", "many.test", None),
            target("last", "10.0.0.8", None),
        ]);
        assert_eq!(collapse(&plain), None);
        let check = |many: &[&str], many2: &[&str], expected: &str| {
            let expanded = expand(&plain, |_, target| {
                let texts = if target.name.as_str() == "many" {
                    many
                } else {
                    many2
                };
                texts
                    .iter()
                    .map(|it| Member::at(it.parse().unwrap()))
                    .collect()
            });
            let expanded = expanded.unwrap();
            assert_eq!(described(&expanded), expected);
            let back = collapse(&expanded).unwrap_or_else(|| expanded.clone());
            assert_eq!(back, plain);
            // What is at work is shown as it is written.
            assert_eq!(lift(&expanded), lift(&plain));
        };
        check(&[], &[], "many > last, b > last, many2, last");
        check(
            &["10.0.0.1:80", "10.0.0.2:80"],
            &["10.0.0.1:81"],
            "many@10.0.0.1:80 > last, many@10.0.0.2:80 > last, b > last, many2@10.0.0.1:81, last",
        );
        check(
            &[],
            &["[::1]:80"],
            "many > last, b > last, many2@[::1]:80, last",
        );
        assert_eq!(
            expand(&snapshot(vec![target("b", "b.test", None)]), |_, _| vec![]),
            None
        );
    }
}
