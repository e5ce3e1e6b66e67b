//! The place of a byte as an editor shows it.

use std::io;

use memchr::memmem;

use super::grammar::{Grammar, LF, Lines};
use super::malformed::TextPlace;
use super::row_reader::RowReader;

const BLOCK_BYTES: usize = 64 * 1024;

/// Finds the places of bytes in objects of one format.
#[derive(Clone, Debug)]
pub struct TextPlaces {
    line_break: Vec<u8>,
    is_utf8: bool,
}

/// The sequence that ends a line in an editor: a line feed, or the line terminator if that contains
/// none.
pub(super) fn line_break(grammar: &Grammar) -> Vec<u8> {
    match &grammar.lines {
        Lines::Other(line) if !line.contains(&b'\n') => line.clone(),
        _ => LF.to_vec(),
    }
}

impl TextPlaces {
    /// Finds places in the objects that `reader` reads.
    #[must_use]
    pub fn new(reader: &RowReader) -> Self {
        Self { line_break: line_break(&reader.grammar), is_utf8: reader.text.is_some() }
    }

    /// Returns the place of the byte at `offset`. `read` reads bytes of the object from an offset
    /// on. It is asked for those from `start` on, which is the beginning of a line with `lines`
    /// lines before it.
    ///
    /// # Errors
    /// The errors of `read`; `UnexpectedEof` if there are fewer bytes.
    pub fn find(
        &self,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
        start: u64,
        lines: u64,
        offset: u64,
    ) -> io::Result<TextPlace> {
        let (mut line, mut column) = (lines + 1, 1);
        // The bytes that have been read, but belong neither to a line break nor to a column yet.
        let mut bytes: Vec<u8> = Vec::new();
        let mut position = start;
        while position < offset {
            let kept = bytes.len();
            let left = usize::try_from(offset - position).unwrap_or(usize::MAX);
            bytes.resize(kept + left.min(BLOCK_BYTES), 0);
            read(&mut bytes[kept..], position)?;
            position += (bytes.len() - kept) as u64;
            let mut counted = 0;
            for at in memmem::find_iter(&bytes, &self.line_break) {
                line += 1;
                column = 1;
                counted = at + self.line_break.len();
            }
            // A line break may continue in the next bytes.
            let is_end = position == offset;
            let keep = if is_end { 0 } else { self.line_break.len() - 1 };
            let end = bytes.len().saturating_sub(keep).max(counted);
            column += self.characters(&bytes[counted..end]);
            bytes.drain(..end);
        }
        Ok(TextPlace { line, column })
    }

    fn characters(&self, bytes: &[u8]) -> u64 {
        let begins = |byte: &&u8| !self.is_utf8 || **byte & 0xC0 != 0x80;
        bytes.iter().filter(begins).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Charset, Preset};

    fn place(text: &[u8], offset: usize, terminator: Option<&[u8]>) -> (u64, u64) {
        let mut dialect = Preset::Csv.dialect();
        if let Some(line) = terminator {
            dialect.lines_terminated_by = crate::dialect::LineTerminator::Exact(line.to_vec());
        }
        let charset = Charset::new("utf8mb4").unwrap();
        let places = TextPlaces::new(&RowReader::new(&dialect, &charset, 2, 0));
        let read = |buffer: &mut [u8], from: u64| {
            let from = usize::try_from(from).unwrap();
            buffer.copy_from_slice(&text[from..from + buffer.len()]);
            Ok(())
        };
        let found = places.find(read, 0, 0, offset as u64).unwrap();
        (found.line, found.column)
    }

    #[test]
    fn a_place_is_a_line_and_a_character_from_1() {
        assert_eq!(place(b"a,b\n", 0, None), (1, 1));
        assert_eq!(place(b"1,x\n2,\"open\n3,y\n", 6, None), (2, 3));
        assert_eq!(place("é,ü\r\nä,ö".as_bytes(), 10, None), (2, 3));
        assert_eq!(place(b"a|b||c|d", 6, Some(b"||")), (2, 2));
    }

    #[test]
    fn a_line_break_may_lie_across_two_blocks() {
        let mut text = vec![b'x'; 3 * BLOCK_BYTES];
        text[BLOCK_BYTES - 1..=BLOCK_BYTES].copy_from_slice(b"||");
        assert_eq!(place(&text, BLOCK_BYTES + 3, Some(b"||")), (2, 3));
        assert_eq!(place(&text, 2 * BLOCK_BYTES + 1, Some(b"||")), (2, BLOCK_BYTES as u64 + 1));
        text[2 * BLOCK_BYTES] = b'\n';
        assert_eq!(place(&text, 2 * BLOCK_BYTES + 2, None), (2, 2));
    }
}
