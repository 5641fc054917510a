//! Maps and lists that are changed while Portway runs.
//!
//! A set is what one file holds, however many maps are made of it: they change together. Its entries have an order and
//! a number each. A change is made of all maps or, where an entry fits one of them not, of none. Beside what counts now, a
//! set may have versions that somebody prepares, unseen by rules until they are committed. The file is never written.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portway_core::lookup::Lookup;
use portway_dataplane::map::{EntriesChange, LiveMap};
use portway_model::expression::TextMatch;
use portway_model::settings::{MapLines, MapMatch};
use portway_model::snapshot::{Map, Snapshot};
use portway_model::span::Sources;

use super::{MAX_MAP_BYTES, Pairs, lookup};

/// Versions of a set that are prepared at once. Tools prepare one and commit it.
pub const MAX_VERSIONS: usize = 8;

/// All sets, in the order in which the configuration names them.
#[derive(Debug, Clone, Default)]
pub struct MapSets {
    sets: Vec<Arc<MapSet>>,
    /// By map id, each with the index of its set.
    live: Vec<(Arc<LiveMap>, usize)>,
}

/// What one file holds, or one map that has none.
#[derive(Debug)]
pub struct MapSet {
    /// The file as the configuration names it; without one, the name of the map.
    pub name: String,
    /// It has keys alone.
    pub is_list: bool,
    /// The file and line that first name it.
    pub place: String,
    lines: MapLines,
    /// So many entries at first are the configuration's own.
    own: usize,
    members: Vec<Member>,
    /// Of the entries as they were read.
    read: u64,
    state: Mutex<State>,
}

/// A map that is made of a set.
#[derive(Debug)]
struct Member {
    compare: MapMatch,
    ignore_case: bool,
    live: Arc<LiveMap>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, which no other entry of its set had or will have.
    pub number: u64,
    /// Its key.
    pub key: String,
    /// Its value; empty in a list.
    pub value: String,
}

/// Which entries are meant.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// All with this key.
    Key(&'a str),
    /// The one with this number.
    Number(u64),
}

/// Versions of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The one that counts.
    pub current: u32,
    /// The latest one that was prepared.
    pub latest: u32,
    /// Entries of all versions.
    pub entries: usize,
}

/// Why a set stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotChanged {
    /// No entry is meant.
    NoEntry,
    /// A key that some map of the set cannot have, and why.
    Key(String),
    /// Nobody has prepared this version.
    NoVersion,
    /// It would hold more than a file may, or too many versions are prepared.
    TooMuch,
}

/// What is known of a key that is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// How keys are compared.
    pub compare: MapMatch,
    /// Whether letters of either case are equal.
    pub ignore_case: bool,
    /// Whether entries are found without trying each.
    pub is_indexed: bool,
    /// The entry that fits.
    pub entry: Option<Entry>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    prepared: BTreeMap<u32, Vec<Entry>>,
    current: u32,
    latest: u32,
    next_number: u64,
}

impl MapSets {
    pub(super) fn push(&mut self, map: &Map, sources: &Sources, lookup: Lookup, entries: Pairs) {
        let live = Arc::new(LiveMap::from(lookup));
        let member = Member {
            compare: map.compare,
            ignore_case: map.ignore_case,
            live: live.clone(),
        };
        let of_file = |set: &Arc<MapSet>| {
            map.file.as_ref() == Some(&set.name)
                && map.entries.is_empty()
                && set.lines == map.lines
                && set.own == 0
        };
        let at = match self.sets.iter().position(of_file) {
            Some(at) => {
                if let Some(set) = self.sets.get_mut(at).and_then(Arc::get_mut) {
                    set.members.push(member);
                }
                at
            }
            None => {
                let read = hashed(&entries);
                let mut state = State::default();
                state.entries = state.numbered(entries);
                self.sets.push(Arc::new(MapSet {
                    name: map.file.clone().unwrap_or_else(|| map.name.to_string()),
                    is_list: map.lines == MapLines::Keys,
                    place: place(map, sources),
                    lines: map.lines,
                    own: map.entries.len(),
                    members: vec![member],
                    read,
                    state: Mutex::new(state),
                }));
                self.sets.len() - 1
            }
        };
        self.live.push((live, at));
    }

    /// The names of the maps of `snapshot`, which these are of, whose files say something else than those of `before`.
    pub(crate) fn changed_since(&self, before: &MapSets, snapshot: &Snapshot) -> Vec<String> {
        let changed = |at: usize| {
            let set = self.sets.get(at);
            let known = set.and_then(|set| before.sets.iter().find(|it| it.name == set.name));
            known
                .zip(set)
                .is_some_and(|(known, set)| known.read != set.read)
        };
        let maps = snapshot.maps.iter().zip(&self.live);
        let changed = maps.filter(|(_, (_, at))| changed(*at));
        changed.map(|(map, _)| map.name.to_string()).collect()
    }

    /// Takes over the sets of `before` whose files say what they said then, with what was changed of them since.
    pub(crate) fn take_over(&mut self, before: &MapSets) {
        for (at, set) in self.sets.iter_mut().enumerate() {
            let Some(known) = before.sets.iter().find(|it| it.is_same(set)) else {
                continue;
            };
            let lives = self.live.iter_mut().filter(|(_, of)| *of == at);
            for ((live, _), member) in lives.zip(&known.members) {
                *live = member.live.clone();
            }
            *set = known.clone();
        }
    }

    /// The maps as rules ask them, by id.
    pub(crate) fn live(&self) -> Vec<Arc<LiveMap>> {
        self.live.iter().map(|(live, _)| live.clone()).collect()
    }

    /// The sets as rules change them, by map id.
    pub(crate) fn for_rules(&self) -> Vec<Arc<dyn EntriesChange>> {
        let sets = self.live.iter().filter_map(|(_, at)| self.sets.get(*at));
        sets.map(|set| set.clone() as Arc<dyn EntriesChange>)
            .collect()
    }

    /// The sets, each with its number.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &MapSet)> {
        self.sets.iter().map(Arc::as_ref).enumerate()
    }

    /// The list or the map that is called so: by its file, or by `#` and its number.
    pub fn named(&self, name: &str, is_list: bool) -> Option<Arc<MapSet>> {
        let number: Option<usize> = name
            .strip_prefix('#')
            .and_then(|number| number.parse().ok());
        let mut sets = self.sets.iter().enumerate();
        let found = sets.find(|(at, set)| {
            let is_it = number.map_or(set.name == name, |number| *at == number);
            is_it && set.is_list == is_list
        });
        found.map(|(_, set)| set.clone())
    }
}

fn place(map: &Map, sources: &Sources) -> String {
    let span = map.origin.0;
    let file = sources.get(span.file).map_or("", |it| &it.name);
    let file = Path::new(file).display();
    let line = sources.position(span).map_or(0, |it| it.line);
    format!("'{file}' line {line}")
}

/// What tells entries from others.
fn hashed(entries: &Pairs) -> u64 {
    let mut hasher = DefaultHasher::new();
    entries.hash(&mut hasher);
    hasher.finish()
}

impl MapSet {
    /// True where another was read from the same file, in the same state, for the same uses.
    fn is_same(&self, other: &Self) -> bool {
        let uses = |of: &Self| {
            let members = of.members.iter();
            members
                .map(|it| (it.compare, it.ignore_case))
                .collect::<Vec<_>>()
        };
        self.name == other.name
            && self.lines == other.lines
            && (self.own, self.read) == (other.own, other.read)
            && uses(self) == uses(other)
    }

    /// Entries in their order: those of a version, or those that count.
    pub fn entries(&self, version: Option<u32>) -> Vec<Entry> {
        let state = self.state();
        match version.filter(|version| *version != state.current) {
            None => state.entries.clone(),
            Some(version) => state.prepared.get(&version).cloned().unwrap_or_default(),
        }
    }

    /// Its entries, where they are not as they were read any more, with what tells what was read.
    pub(crate) fn changed(&self) -> Option<(u64, Pairs)> {
        let is_changed = self.members.iter().any(|it| it.live.is_changed());
        is_changed.then(|| {
            let state = self.state();
            let entries = state.entries.iter();
            let pairs = entries.map(|it| (it.key.clone(), it.value.clone()));
            (self.read, pairs.collect())
        })
    }

    /// Has these entries, as another process had them that read the same. False where it did not, or they do not fit.
    pub(crate) fn restore(&self, read: u64, pairs: Pairs) -> bool {
        if read != self.read {
            return false;
        }
        let mut state = self.state();
        let entries = state.numbered(pairs);
        self.replace(&mut state, entries).is_ok()
    }

    /// Its versions.
    pub fn versions(&self) -> Versions {
        let state = self.state();
        let prepared: usize = state.prepared.values().map(Vec::len).sum();
        Versions {
            current: state.current,
            latest: state.latest,
            entries: state.entries.len() + prepared,
        }
    }

    /// Adds entries behind the others.
    ///
    /// # Errors
    /// A key is none, the version was not prepared, or it is too much.
    pub fn add(&self, version: Option<u32>, pairs: Pairs) -> Result<(), NotChanged> {
        let mut state = self.state();
        let more = state.numbered(pairs);
        match version.filter(|version| *version != state.current) {
            None => self.append(&mut state, more),
            Some(version) => {
                for member in &self.members {
                    member.ready(0, &more)?;
                }
                let room = state.room();
                let prepared = state.prepared.get_mut(&version);
                let prepared = prepared.ok_or(NotChanged::NoVersion)?;
                if bytes(&more) > room {
                    return Err(NotChanged::TooMuch);
                }
                prepared.extend(more);
                Ok(())
            }
        }
    }

    /// Gives entries another value.
    ///
    /// # Errors
    /// No entry is meant, or it is too much.
    pub fn set(&self, which: Which<'_>, value: &str) -> Result<(), NotChanged> {
        let mut state = self.state();
        match state.places(which) {
            meant if meant.is_empty() => Err(NotChanged::NoEntry),
            meant => self.give(&mut state, &meant, value),
        }
    }

    /// Takes entries away.
    ///
    /// # Errors
    /// No entry is meant.
    pub fn remove(&self, which: Which<'_>) -> Result<(), NotChanged> {
        let mut state = self.state();
        let gone = state.places(which);
        if gone.is_empty() {
            return Err(NotChanged::NoEntry);
        }
        // Behind one of several with its key, the next comes to count.
        if matches!(which, Which::Key(_)) && self.is_edited() && self.is_exact() {
            let edited = self.members.iter();
            edited.for_each(|member| member.live.edit(|it| it.remove(&gone)));
            state.entries.retain(|it| !which.is(it));
            return Ok(());
        }
        let mut entries = state.entries.clone();
        entries.retain(|it| !which.is(it));
        self.replace(&mut state, entries)
    }

    /// Takes all entries away, of a version or those that count.
    pub fn clear(&self, version: Option<u32>) {
        let mut state = self.state();
        match version.filter(|version| *version != state.current) {
            // Without entries there is no wrong one.
            None => drop(self.replace(&mut state, Vec::new())),
            Some(version) => {
                if let Some(prepared) = state.prepared.get_mut(&version) {
                    prepared.clear();
                }
            }
        }
    }

    /// Begins a version without entries, and gives its number.
    ///
    /// # Errors
    /// So many are prepared already that no more can be.
    pub fn prepare(&self) -> Result<u32, NotChanged> {
        let mut state = self.state();
        if state.prepared.len() >= MAX_VERSIONS {
            return Err(NotChanged::TooMuch);
        }
        state.latest = state.latest.wrapping_add(1);
        let version = state.latest;
        state.prepared.insert(version, Vec::new());
        Ok(version)
    }

    /// Makes a prepared version the one that counts; older ones are forgotten.
    ///
    /// # Errors
    /// It was not prepared.
    pub fn commit(&self, version: u32) -> Result<(), NotChanged> {
        let mut state = self.state();
        let entries = state.prepared.get(&version).cloned();
        self.replace(&mut state, entries.ok_or(NotChanged::NoVersion)?)?;
        state.current = version;
        state.prepared.retain(|it, _| *it > version);
        Ok(())
    }

    /// Looks a key up as rules do; once for each way in which the maps of the set compare.
    pub fn ask(&self, key: &str) -> Vec<Asked> {
        let state = self.state();
        let asked = self.members.iter().filter_map(|member| {
            let own = self.own.min(state.entries.len());
            let lookup = member.ready(own, &state.entries).ok()?;
            let at = lookup.position(key.as_bytes());
            Some(Asked {
                compare: member.compare,
                ignore_case: member.ignore_case,
                is_indexed: lookup.is_indexed(),
                entry: at.and_then(|at| state.entries.get(at)).cloned(),
            })
        });
        asked.collect()
    }

    /// True where the maps are no longer as they were read: the first change makes all of them anew, those after it cost what
    /// they change.
    fn is_edited(&self) -> bool {
        self.members.iter().all(|it| it.live.is_changed())
    }

    /// True where all its maps compare whole texts.
    fn is_exact(&self) -> bool {
        let exact = MapMatch::Text(TextMatch::Exact);
        let mut members = self.members.iter();
        members.all(|it| it.compare == exact && !it.ignore_case)
    }

    /// Gives the entries at these places another value.
    fn give(&self, state: &mut State, meant: &[usize], value: &str) -> Result<(), NotChanged> {
        if !self.is_edited() {
            let mut entries = state.entries.clone();
            give(&mut entries, meant, value);
            return self.replace(state, entries);
        }
        let more = (meant.len() * value.len()) as u64;
        let room = MAX_MAP_BYTES.saturating_sub(bytes(&state.entries));
        if more > room {
            return Err(NotChanged::TooMuch);
        }
        for member in &self.members {
            member
                .live
                .edit(|it| meant.iter().for_each(|at| it.set_value(*at, value)));
        }
        give(&mut state.entries, meant, value);
        Ok(())
    }

    /// Adds entries behind the others.
    fn append(&self, state: &mut State, more: Vec<Entry>) -> Result<(), NotChanged> {
        if !(self.is_edited() && self.is_exact()) {
            let entries = state.entries.iter().cloned().chain(more).collect();
            return self.replace(state, entries);
        }
        if bytes(&state.entries) + bytes(&more) > MAX_MAP_BYTES {
            return Err(NotChanged::TooMuch);
        }
        for member in &self.members {
            let push = |it: &mut Lookup| more.iter().for_each(|new| it.push(&new.key, &new.value));
            member.live.edit(push);
        }
        state.entries.extend(more);
        Ok(())
    }

    /// Makes these the entries that count.
    fn replace(&self, state: &mut State, entries: Vec<Entry>) -> Result<(), NotChanged> {
        if bytes(&entries) > MAX_MAP_BYTES {
            return Err(NotChanged::TooMuch);
        }
        // The configuration's own are written in another notation as long as they are there.
        let kept = entries.iter().zip(&state.entries).take(self.own);
        let own = kept
            .take_while(|(new, old)| new.number == old.number)
            .count();
        let ready: Result<Vec<Lookup>, _> = self
            .members
            .iter()
            .map(|member| member.ready(own, &entries))
            .collect();
        for (member, lookup) in self.members.iter().zip(ready?) {
            member.live.change(lookup);
        }
        state.entries = entries;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EntriesChange for MapSet {
    fn put(&self, key: &[u8], value: Option<&[u8]>) {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let (Some(key), Some(value)) = (text(key), text(value.unwrap_or_default())) else {
            return;
        };
        let mut state = self.state();
        let known = state.places(Which::Key(key));
        let has = |at: &usize| state.entries.get(*at).is_some_and(|it| it.value == value);
        // What changes nothing costs nothing. A key that is none for one of the maps leaves all as they are.
        let _ = match known {
            known if known.is_empty() => {
                let more = state.numbered(vec![(key.to_owned(), value.to_owned())]);
                self.append(&mut state, more)
            }
            known if known.iter().all(has) => Ok(()),
            known => self.give(&mut state, &known, value),
        };
    }

    fn remove(&self, key: &[u8]) {
        if let Ok(key) = std::str::from_utf8(key) {
            // Nothing to take away is no fault.
            let _ = MapSet::remove(self, Which::Key(key));
        }
    }
}

impl Member {
    fn ready(&self, own: usize, entries: &[Entry]) -> Result<Lookup, NotChanged> {
        let pairs = entries.iter();
        let pairs: Pairs = pairs.map(|it| (it.key.clone(), it.value.clone())).collect();
        lookup(self.compare, self.ignore_case, own, &pairs)
            .map_err(|wrong| NotChanged::Key(wrong.message))
    }
}

impl Which<'_> {
    fn is(self, entry: &Entry) -> bool {
        match self {
            Which::Key(key) => entry.key == key,
            Which::Number(number) => entry.number == number,
        }
    }
}

impl State {
    /// Where the entries stand that are meant.
    fn places(&self, which: Which<'_>) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        let meant = entries.filter(|(_, it)| which.is(it));
        meant.map(|(at, _)| at).collect()
    }

    fn numbered(&mut self, pairs: Pairs) -> Vec<Entry> {
        let entries = pairs.into_iter().map(|(key, value)| {
            self.next_number += 1;
            Entry {
                number: self.next_number,
                key,
                value,
            }
        });
        entries.collect()
    }

    /// Bytes that its prepared versions may still grow by.
    fn room(&self) -> u64 {
        let prepared: u64 = self.prepared.values().map(|it| bytes(it)).sum();
        MAX_MAP_BYTES.saturating_sub(prepared)
    }
}

fn give(entries: &mut [Entry], meant: &[usize], value: &str) {
    for at in meant {
        if let Some(entry) = entries.get_mut(*at) {
            value.clone_into(&mut entry.value);
        }
    }
}

fn bytes(entries: &[Entry]) -> u64 {
    let all = entries.iter().map(|it| it.key.len() + it.value.len() + 1);
    all.sum::<usize>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::name::Name;
    use portway_model::span::{Origin, Span};

    /// A set of one file with a map for each way of comparing.
    fn sets(compare: &[MapMatch], file: &[(&str, &str)]) -> MapSets {
        let mut sets = MapSets::default();
        for compare in compare {
            let map = Map {
                name: Name::from("a"),
                file: Some("a.map".to_owned()),
                lines: MapLines::Pairs,
                entries: Vec::new(),
                compare: *compare,
                ignore_case: false,
                origin: Origin(Span::NONE),
            };
            let pairs = file.iter();
            let pairs: Pairs = pairs.map(|(a, b)| (a.to_string(), b.to_string())).collect();
            let lookup = lookup(*compare, false, 0, &pairs).unwrap();
            sets.push(&map, &Sources::default(), lookup, pairs);
        }
        sets
    }

    fn pairs(key: &str, value: &str) -> Pairs {
        vec![(key.to_owned(), value.to_owned())]
    }

    #[test]
    fn maps_of_one_file_change_together() {
        let exact = MapMatch::Text(TextMatch::Exact);
        let prefix = MapMatch::Text(TextMatch::Prefix);
        let sets = sets(&[exact, prefix], &[("/a", "1")]);
        assert_eq!(sets.iter().count(), 1);
        let set = sets.named("a.map", false).unwrap();
        let found = |text: &str| -> Vec<Option<String>> {
            let found = sets.live().into_iter();
            found
                .map(|it| {
                    let found = it.find(text.as_bytes());
                    found.map(|it| String::from_utf8(it.into_owned()).unwrap())
                })
                .collect()
        };
        let some = |text: &str| Some(text.to_owned());
        set.add(None, pairs("/b", "2")).unwrap();
        assert_eq!(found("/b"), [some("2"), some("2")]);
        assert_eq!(found("/bc"), [None, some("2")]);
        set.set(Which::Key("/b"), "3").unwrap();
        assert_eq!(found("/b"), [some("3"), some("3")]);
        assert_eq!(set.set(Which::Key("/c"), "3"), Err(NotChanged::NoEntry));
        let number = set.entries(None)[0].number;
        set.remove(Which::Number(number)).unwrap();
        assert_eq!(found("/a"), [None, None]);
        assert_eq!(set.remove(Which::Number(number)), Err(NotChanged::NoEntry));
        set.clear(None);
        assert_eq!(found("/b"), [None, None]);
    }

    /// What is edited in place is found as what is made anew.
    #[test]
    fn changes_in_place() {
        let exact = MapMatch::Text(TextMatch::Exact);
        let sets = sets(&[exact], &[("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")]);
        let set = sets.named("a.map", false).unwrap();
        let check = |expected: &[(&str, &str)]| {
            let live = sets.live().remove(0);
            let entries = set.entries(None);
            let held: Vec<_> = entries
                .iter()
                .map(|it| (it.key.as_str(), it.value.as_str()))
                .collect();
            assert_eq!(held, expected);
            for key in ["a", "b", "c", "d", "e"] {
                let first = expected.iter().find(|(known, _)| *known == key);
                let found = live.find(key.as_bytes());
                assert_eq!(found.as_deref(), first.map(|(_, value)| value.as_bytes()));
                let asked = set.ask(key).remove(0).entry.map(|it| it.value);
                assert_eq!(asked.as_deref(), first.map(|(_, value)| *value));
            }
        };
        set.add(None, pairs("d", "5")).unwrap();
        set.add(None, pairs("e", "6")).unwrap();
        check(&[
            ("a", "1"),
            ("b", "2"),
            ("a", "3"),
            ("c", "4"),
            ("d", "5"),
            ("e", "6"),
        ]);
        set.put(b"a", Some(b"7"));
        set.put(b"e", Some(b"8"));
        check(&[
            ("a", "7"),
            ("b", "2"),
            ("a", "7"),
            ("c", "4"),
            ("d", "5"),
            ("e", "8"),
        ]);
        set.remove(Which::Key("a")).unwrap();
        check(&[("b", "2"), ("c", "4"), ("d", "5"), ("e", "8")]);
        set.put(b"a", Some(b"9"));
        set.put(b"b", Some(b"0"));
        check(&[("b", "0"), ("c", "4"), ("d", "5"), ("e", "8"), ("a", "9")]);
        set.clear(None);
        set.put(b"c", Some(b"1"));
        check(&[("c", "1")]);
    }

    #[test]
    fn a_wrong_key_changes_nothing() {
        let exact = MapMatch::Text(TextMatch::Exact);
        let sets = sets(&[exact, MapMatch::Address], &[("10.0.0.0/8", "1")]);
        let set = sets.named("#0", false).unwrap();
        let wrong = set.add(None, pairs("x", "2"));
        assert!(matches!(wrong, Err(NotChanged::Key(_))), "{wrong:?}");
        assert_eq!(set.entries(None).len(), 1);
        assert_eq!(sets.live()[0].find(b"x"), None);
        let asked = set.ask("10.1.1.1");
        assert_eq!(asked[0].entry, None);
        assert_eq!(asked[1].entry.as_ref().unwrap().value, "1");
    }

    #[test]
    fn versions() {
        let exact = MapMatch::Text(TextMatch::Exact);
        let sets = sets(&[exact], &[("a", "1")]);
        let set = sets.named("a.map", false).unwrap();
        assert_eq!(
            set.add(Some(1), pairs("b", "2")),
            Err(NotChanged::NoVersion)
        );
        assert_eq!(set.prepare(), Ok(1));
        set.add(Some(1), pairs("b", "2")).unwrap();
        assert_eq!(set.entries(None)[0].key, "a");
        assert_eq!(set.entries(Some(1))[0].key, "b");
        assert_eq!(sets.live()[0].find(b"b"), None);
        assert_eq!(set.commit(2), Err(NotChanged::NoVersion));
        set.commit(1).unwrap();
        assert_eq!(sets.live()[0].find(b"a"), None);
        assert!(sets.live()[0].find(b"b").is_some());
        assert_eq!(set.commit(1), Err(NotChanged::NoVersion));
        let versions = (set.versions().current, set.versions().latest);
        assert_eq!(versions, (1, 1));
        for _ in 0..MAX_VERSIONS {
            set.prepare().unwrap();
        }
        assert_eq!(set.prepare(), Err(NotChanged::TooMuch));
    }
}
