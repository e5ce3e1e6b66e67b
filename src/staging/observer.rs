//! The interface of whoever looks at the text of an object while it arrives.

use super::text_check::ExpectedText;
use crate::error::{Error, Result};
use crate::file_slice::FileSlice;
use crate::unpack::RecordsAt;

/// Receives an object's text in order as they arrive, on a blocking thread.
pub trait ByteObserver: Send + 'static {
    /// # Errors
    /// An error ends the download, because the rest is useless. If bytes to come can still tell
    /// text from another format, they are fetched first.
    fn feed(&mut self, chunk: &[u8]) -> Result<()>;

    /// Returns true if the observer needs no more bytes. The rest is not fetched then, and nothing
    /// is verified.
    fn is_satisfied(&self) -> bool {
        false
    }

    /// Returns the observer's error with the place that it is about, which `received` holds.
    fn locate(&self, refusal: Error, received: &FileSlice) -> Error {
        let _ = received;
        refusal
    }

    /// Returns the place of the records, if it wants each on a line of its own.
    fn records(&self) -> Option<RecordsAt> {
        None
    }

    /// Returns the decoder of the object, if it is no text and must be whole to be read. The
    /// observer then gets the text that the decoder writes.
    fn decoder(&self) -> Option<Box<dyn FileDecoder>> {
        None
    }

    /// Learns the number of rows that the decoder wrote.
    fn expect_rows(&mut self, rows: u64) {
        let _ = rows;
    }

    /// Returns the text that the observer wants.
    fn expected_text(&self) -> ExpectedText {
        ExpectedText::default()
    }
}

/// Decodes one object that is no text, on blocking threads.
pub trait FileDecoder: Send + 'static {
    /// Returns the first bytes of each object in this format, and the format's name.
    fn magic(&self) -> (&'static [u8], &'static str);

    /// Reads what says how the object is to be decoded. Returns the memory that decoding takes.
    ///
    /// # Errors
    /// The object is damaged, or does not fit the table.
    fn open(&mut self, file: &FileSlice) -> Result<u64>;

    /// Passes the text to `text`, block by block, until that returns false. Returns the number of
    /// rows.
    ///
    /// # Errors
    /// The object is damaged; the errors of `text`.
    fn decode(&mut self, text: &mut dyn FnMut(&[u8]) -> Result<bool>) -> Result<u64>;
}
