//! The dynamic table (RFC 7541 section 2.3.2 and 4).

use std::collections::VecDeque;

/// What an entry counts for beside its bytes (section 4.1).
const OVERHEAD: usize = 32;

/// Where an entry stands in the bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    name: usize,
    value: usize,
}

/// The entries that came last. Holds no memory before the first.
#[derive(Debug)]
pub(super) struct Table {
    /// Names and values of all entries, the oldest first.
    bytes: VecDeque<u8>,
    /// The newest first.
    entries: VecDeque<Entry>,
    /// What its entries count for together at most.
    most: usize,
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            entries: VecDeque::new(),
            most,
        }
    }

    fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * OVERHEAD
    }

    /// Has room for so much only from now on.
    pub(super) fn resize(&mut self, most: usize) {
        self.most = most;
        self.make_room(0);
        if self.entries.is_empty() {
            (self.bytes, self.entries) = (VecDeque::new(), VecDeque::new());
        }
    }

    /// Lets go of the oldest until there is room for so much more.
    fn make_room(&mut self, more: usize) {
        while self.size() + more > self.most
            && let Some(oldest) = self.entries.pop_back()
        {
            self.bytes.drain(..oldest.name + oldest.value);
        }
    }

    /// Puts an entry in front. One that is larger than the table empties it (section 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        self.make_room(size);
        if size <= self.most {
            self.bytes.extend(name);
            self.bytes.extend(value);
            self.entries.push_front(Entry {
                name: name.len(),
                value: value.len(),
            });
        }
    }

    /// Appends name and value of an entry, 0 the newest, to these; `None` where there is none.
    pub(super) fn copy(
        &self,
        place: usize,
        name: &mut Vec<u8>,
        value: Option<&mut Vec<u8>>,
    ) -> Option<()> {
        let entry = self.entries.get(place)?;
        let newer = self.entries.iter().take(place);
        let behind: usize = newer.map(|it| it.name + it.value).sum();
        let end = self.bytes.len().checked_sub(behind)?;
        let middle = end.checked_sub(entry.value)?;
        append(&self.bytes, middle.checked_sub(entry.name)?..middle, name);
        if let Some(value) = value {
            append(&self.bytes, middle..end, value);
        }
        Some(())
    }
}

fn append(bytes: &VecDeque<u8>, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    let (front, back) = bytes.as_slices();
    let split = front.len();
    let of_front = range.start.min(split)..range.end.min(split);
    let of_back = range.start.saturating_sub(split)..range.end.saturating_sub(split);
    out.extend_from_slice(front.get(of_front).unwrap_or_default());
    out.extend_from_slice(back.get(of_back).unwrap_or_default());
}
