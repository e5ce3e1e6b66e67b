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

    /// Returns the text that the observer wants.
    fn expected_text(&self) -> ExpectedText {
        ExpectedText::default()
    }
}
