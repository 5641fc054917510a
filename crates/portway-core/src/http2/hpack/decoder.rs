//! Blocks of fields as they come.

use super::static_table::ENTRIES;
use super::table::Table;
use super::{huffman, integer};

/// Why a block cannot be read. All of them end the connection with COMPRESSION_ERROR: what comes later could not be read either
/// (RFC 9113 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It ends in the middle.
    Truncated,
    /// A number is larger than any that makes sense.
    Number,
    /// There is no entry of this index.
    Index,
    /// A coded string has the end of strings in it, or padding that is none.
    Coding,
    /// The table is to be larger than we allow, or its size stands behind a field.
    TableSize,
    /// Its fields have more bytes than is read: a byte may stand for a whole entry of the table.
    TooLarge,
}

/// Reads the blocks of a connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The largest table that we allow.
    allowed: usize,
    /// Bytes of names and values that the block may still have.
    left: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// One whose peer may make a table of so many bytes: what we say as SETTINGS_HEADER_TABLE_SIZE.
    pub fn new(allowed: usize) -> Self {
        Self {
            table: Table::new(allowed),
            allowed,
            left: 0,
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Reads a whole block, of `most` bytes of names and values, and gives each field to `take`. A block is read to its end
    /// whatever becomes of its fields, since what it says of the table counts for later ones.
    ///
    /// # Errors
    /// The block is not as it should be, or too large; nothing more can be read on the connection.
    pub fn decode(
        &mut self,
        block: &[u8],
        most: usize,
        mut take: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Fault> {
        self.left = most;
        let mut rest = block;
        let mut begun = false;
        while let Some(first) = rest.first().copied() {
            if first & 0xE0 == 0x20 {
                let (size, behind) = integer::read(rest, 5)?;
                if begun || size > self.allowed {
                    return Err(Fault::TableSize);
                }
                self.table.resize(size);
                rest = behind;
                continue;
            }
            begun = true;
            rest = self.field(first, rest, &mut take)?;
        }
        Ok(())
    }

    /// Reads one field; what follows it.
    fn field<'b>(
        &mut self,
        first: u8,
        bytes: &'b [u8],
        take: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<&'b [u8], Fault> {
        self.name.clear();
        self.value.clear();
        if first & 0x80 != 0 {
            let (index, rest) = integer::read(bytes, 7)?;
            match of_static(index) {
                Some((name, value)) => take(name, value),
                None => {
                    self.of_table(index, true)?;
                    self.left = less(self.left, &self.name, &self.value)?;
                    take(&self.name, &self.value);
                }
            }
            return Ok(rest);
        }
        let indexed = first & 0x40 != 0;
        let (index, rest) = integer::read(bytes, if indexed { 6 } else { 4 })?;
        // `None`: it is in the memory for decoded ones.
        let (name, rest) = match (index, of_static(index)) {
            (0, _) => string(rest, &mut self.name)?,
            (_, Some((name, _))) => (Some(name), rest),
            (_, None) => {
                self.of_table(index, false)?;
                (None, rest)
            }
        };
        let (value, rest) = string(rest, &mut self.value)?;
        let name = name.unwrap_or(&self.name);
        let value = value.unwrap_or(&self.value);
        self.left = less(self.left, name, value)?;
        take(name, value);
        if indexed {
            self.table.insert(name, value);
        }
        Ok(rest)
    }

    fn of_table(&mut self, index: usize, with_value: bool) -> Result<(), Fault> {
        let place = index.checked_sub(ENTRIES.len() + 1).ok_or(Fault::Index)?;
        let value = with_value.then_some(&mut self.value);
        let found = self.table.copy(place, &mut self.name, value);
        found.ok_or(Fault::Index)
    }
}

/// What is left of so many bytes behind a field.
fn less(left: usize, name: &[u8], value: &[u8]) -> Result<usize, Fault> {
    let left = left.checked_sub(name.len() + value.len());
    left.ok_or(Fault::TooLarge)
}

fn of_static(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    ENTRIES.get(index.checked_sub(1)?).copied()
}

/// Reads a string, and what follows it. `None`: it is coded, and `decoded` has it now.
#[inline]
fn string<'b>(
    bytes: &'b [u8],
    decoded: &mut Vec<u8>,
) -> Result<(Option<&'b [u8]>, &'b [u8]), Fault> {
    let coded = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let (length, rest) = integer::read(bytes, 7)?;
    let (text, rest) = rest.split_at_checked(length).ok_or(Fault::Truncated)?;
    if !coded {
        return Ok((Some(text), rest));
    }
    huffman::decode(text, decoded)?;
    Ok((None, rest))
}
