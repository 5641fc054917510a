//! What rules changed in the fields of a head, kept beside the head until it is written.
//!
//! A field is changed by dropping all of its name from what was received and adding what shall be there. Texts lie
//! in one arena that is used again by the next exchange.

use portway_core::http1::{Field, FieldList, Known, KnownSet, copy_end_to_end_but, write_field};
use std::ops::{ControlFlow, Range};

/// Changes to the fields of one head.
#[derive(Debug, Default)]
pub(crate) struct FieldEdits {
    text: Vec<u8>,
    /// Names outside [`Known`] that are dropped.
    dropped: Vec<Range<usize>>,
    dropped_known: Vec<Known>,
    added: Vec<Added>,
}

#[derive(Debug, Clone)]
struct Added {
    name: Range<usize>,
    value: Range<usize>,
}

impl FieldEdits {
    /// Forgets all and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.dropped.clear();
        self.dropped_known.clear();
        self.added.clear();
    }

    fn text(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        start..self.text.len()
    }

    /// Drops every field of this name, received or added.
    pub(crate) fn remove(&mut self, name: &[u8]) {
        let mut added = std::mem::take(&mut self.added);
        added.retain(|field| !self.text(&field.name).eq_ignore_ascii_case(name));
        self.added = added;
        if self.drops(Known::of(name), name) {
            return;
        }
        match Known::of(name) {
            Known::Other => {
                let range = self.keep(name);
                self.dropped.push(range);
            }
            known => self.dropped_known.push(known),
        }
    }

    /// Drops every field, received or added, whose name and value fit.
    pub(crate) fn remove_where(
        &mut self,
        fields: &FieldList,
        arena: &[u8],
        fits: impl Fn(&[u8], &[u8]) -> bool,
    ) {
        let fitting = |field: &&Field| fits(field.name.of(arena), field.value.of(arena));
        let names: Vec<&[u8]> = fields
            .as_slice()
            .iter()
            .filter(fitting)
            .map(|field| field.name.of(arena))
            .collect();
        for name in names {
            if self.drops(Known::of(name), name) {
                continue;
            }
            // Dropping is by name: what does not fit is there again as if a rule had added it.
            let mut kept: Vec<Vec<u8>> = Vec::new();
            self.visit(fields, arena, name, &mut |value| {
                if !fits(name, value) {
                    kept.push(value.to_vec());
                }
                ControlFlow::Continue(())
            });
            self.remove(name);
            for value in kept {
                self.add(name, |out| out.extend_from_slice(&value));
            }
        }
        let mut added = std::mem::take(&mut self.added);
        added.retain(|field| !fits(self.text(&field.name), self.text(&field.value)));
        self.added = added;
    }

    /// Adds a field; `write` appends its value, which goes on as it is, blanks around it too.
    pub(crate) fn add(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let name = self.keep(name);
        let start = self.text.len();
        write(&mut self.text);
        self.added.push(Added {
            name,
            value: start..self.text.len(),
        });
    }

    /// True where fields of this name that were received do not go on.
    fn drops(&self, known: Known, name: &[u8]) -> bool {
        match known {
            Known::Other => self
                .dropped
                .iter()
                .any(|range| self.text(range).eq_ignore_ascii_case(name)),
            known => self.dropped_known.contains(&known),
        }
    }

    /// True where nothing of this name that was received goes on.
    pub(crate) fn removes(&self, known: Known) -> bool {
        self.dropped_known.contains(&known)
    }

    /// Every value of this name as it stands after the changes so far, without blanks around it.
    pub(crate) fn visit<'a>(
        &'a self,
        fields: &'a FieldList,
        arena: &'a [u8],
        name: &[u8],
        visit: &mut dyn FnMut(&'a [u8]) -> ControlFlow<()>,
    ) {
        let known = Known::of(name);
        if !self.drops(known, name) {
            for field in fields.as_slice() {
                let same = field.known == known
                    && (known != Known::Other || field.name.of(arena).eq_ignore_ascii_case(name));
                if same && visit(field.value.of(arena)).is_break() {
                    return;
                }
            }
        }
        for field in &self.added {
            if self.text(&field.name).eq_ignore_ascii_case(name)
                && visit(self.text(&field.value).trim_ascii()).is_break()
            {
                return;
            }
        }
    }

    /// Every name and value as they stand after the changes so far.
    pub(crate) fn visit_all<'a>(
        &'a self,
        fields: &'a FieldList,
        arena: &'a [u8],
        visit: &mut dyn FnMut(&'a [u8], &'a [u8]) -> ControlFlow<()>,
    ) {
        for field in fields.as_slice() {
            let name = field.name.of(arena);
            if !self.drops(field.known, name) && visit(name, field.value.of(arena)).is_break() {
                return;
            }
        }
        for field in &self.added {
            if visit(self.text(&field.name), self.text(&field.value)).is_break() {
                return;
            }
        }
    }

    /// Writes the fields that go on: those received without `drop`, in which are those of the hop, and without what rules
    /// dropped; then those added.
    pub(crate) fn write(
        &self,
        fields: &FieldList,
        arena: &[u8],
        drop: KnownSet,
        out: &mut Vec<u8>,
    ) {
        self.write_but(fields, arena, (drop, |_| false), out);
    }

    /// The same without the fields whose name `unwanted` says as well.
    pub(crate) fn write_but(
        &self,
        fields: &FieldList,
        arena: &[u8],
        (drop, unwanted): (KnownSet, impl Fn(&[u8]) -> bool),
        out: &mut Vec<u8>,
    ) {
        let drop = self
            .dropped_known
            .iter()
            .fold(drop, |set, known| set.with(*known));
        let leaves_out = |name: &[u8]| self.drops(Known::Other, name) || unwanted(name);
        copy_end_to_end_but(fields, arena, drop, leaves_out, out);
        for field in &self.added {
            let name = self.text(&field.name);
            if !unwanted(name) {
                write_field(out, name, self.text(&field.value));
            }
        }
    }
}
