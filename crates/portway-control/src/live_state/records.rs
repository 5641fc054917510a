//! The form in which live state goes from one process to another: records, each with a word of four letters, its length and its
//! content. Who does not know a word passes over the record.
//!
//! ```text
//! LIVE   JSON: everything that is small, by part
//! TABL   JSON: a stick table; its entries follow
//! ENTR   entries, see `tables`
//! BUCK   buckets of limits: number of the key (8), nanoseconds until it is full (8)
//! END.   nothing follows
//! ```
//!
//! Numbers in records are little-endian.

use std::io::{self, Read, Write};

/// Of records of many parts this many bytes are sent at once.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// The most that one record may have: the small things of 100,000 targets fit many times.
const MAX_RECORD_BYTES: usize = 1 << 30;

/// The word of a record.
pub(super) type Word = [u8; 4];

pub(super) const LIVE: Word = *b"LIVE";
pub(super) const TABLE: Word = *b"TABL";
pub(super) const ENTRIES: Word = *b"ENTR";
pub(super) const BUCKETS: Word = *b"BUCK";
pub(super) const END: Word = *b"END.";

/// Writes records and counts what that takes.
pub(super) struct Writer<W> {
    to: W,
    pub(super) bytes: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, bytes: 0 }
    }

    pub(super) fn write(&mut self, word: Word, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.to.write_all(&word)?;
        self.to.write_all(&length.to_le_bytes())?;
        self.to.write_all(content)?;
        self.bytes += 8 + u64::from(length);
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.write(END, &[])?;
        self.to.flush()?;
        Ok(self.bytes)
    }
}

/// Reads the next record into `content`; its word, or `None` at the end.
pub(super) fn read(from: &mut impl Read, content: &mut Vec<u8>) -> io::Result<Option<Word>> {
    let (mut word, mut length) = ([0; 4], [0; 4]);
    from.read_exact(&mut word)?;
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_RECORD_BYTES || !word.iter().all(u8::is_ascii_graphic) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    content.clear();
    let read = from.by_ref().take(length as u64).read_to_end(content)?;
    if read < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((word != END).then_some(word))
}

/// Takes fields off the front of a record's content; `None` where too little is left.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        self.0 = rest;
        Some(bytes)
    }
}

/// Appends bytes with their length. Keys and names have less than 64 KiB.
pub(super) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    to.extend(length.to_le_bytes());
    to.extend(bytes.iter().take(length.into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_as_they_went_and_cut_off_ones_are_errors() {
        let mut wire = Vec::new();
        let mut writer = Writer::new(&mut wire);
        writer.write(LIVE, b"{}").unwrap();
        writer.write(*b"NEW!", &[7; 3]).unwrap();
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes, wire.len() as u64);
        let mut from = &wire[..];
        let mut content = Vec::new();
        let mut next = || read(&mut from, &mut content).map(|word| (word, content.clone()));
        assert_eq!(next().unwrap(), (Some(LIVE), b"{}".to_vec()));
        assert_eq!(next().unwrap(), (Some(*b"NEW!"), vec![7; 3]));
        assert_eq!(next().unwrap().0, None);
        for end in [0, 3, 9, wire.len() - 1] {
            let mut from = &wire[..end];
            let mut content = Vec::new();
            let mut last = Ok(Some(LIVE));
            while let Ok(Some(_)) = last {
                last = read(&mut from, &mut content);
            }
            assert!(last.is_err(), "{end}");
        }
        let text = b"Unknown command\n";
        assert!(read(&mut &text[..], &mut Vec::new()).is_err());
    }

    #[test]
    fn fields_end_with_the_record() {
        let mut content = vec![9];
        content.extend(77_u64.to_le_bytes());
        put_bytes(&mut content, b"key");
        let mut fields = Fields(&content);
        assert_eq!((fields.byte(), fields.number()), (Some(9), Some(77)));
        assert_eq!(fields.bytes(), Some(&b"key"[..]));
        assert_eq!(
            (fields.byte(), fields.number(), fields.bytes()),
            (None, None, None)
        );
        assert_eq!(Fields(&[5, 0, 1]).bytes(), None);
    }
}
