//! Refuses objects that are not delimited text, by name and before any of their rows are loaded.

use super::json_lines::{SAMPLE_BYTES, is_json_lines, may_be_json_lines};
use super::signature::{Format, HEAD_BYTES, depends_on_end, recognise, recognise_broken};
use crate::error::{Error, ErrorKind, Result};
use crate::object::Object;

/// The text that an object should hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpectedText {
    /// Rows of one field, which may be anything, also JSON.
    #[default]
    Lines,
    /// Rows of several fields, which lines of JSON are not.
    Fields,
    Json,
}

impl ExpectedText {
    /// Returns the text of objects in JSON, or of rows with this number of fields.
    #[must_use]
    pub fn of(is_json: bool, fields_per_row: usize) -> Self {
        match (is_json, fields_per_row) {
            (true, _) => Self::Json,
            (false, 0 | 1) => Self::Lines,
            (false, _) => Self::Fields,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lines | Self::Fields => "delimited text",
            Self::Json => "JSON",
        }
    }
}

/// Looks at the first bytes of one object as they arrive.
pub(super) struct TextCheck {
    /// The first bytes, as far as they have arrived and are needed.
    head: Vec<u8>,
    expected: ExpectedText,
    /// True if no further bytes at the start can change the result.
    is_settled: bool,
}

impl TextCheck {
    pub(super) fn new(expected: ExpectedText) -> Self {
        Self { head: Vec::new(), expected, is_settled: false }
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// `UnsupportedFormat` as soon as the format is certain.
    pub(super) fn feed(&mut self, object: &Object, bytes: &[u8]) -> Result<()> {
        if self.is_settled {
            return Ok(());
        }
        let had = self.head.len();
        self.keep(bytes, HEAD_BYTES);
        let limit = if self.may_be_json_lines() { SAMPLE_BYTES } else { HEAD_BYTES };
        self.keep(&bytes[self.head.len() - had..], limit);
        if had < HEAD_BYTES
            && let Some(format) = recognise(&self.head, None)
        {
            return Err(self.unsupported(object, format));
        }
        self.is_settled = self.head.len() >= limit;
        if self.is_settled && self.may_be_json_lines() && is_json_lines(&self.head, false) {
            return Err(json_lines(object));
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8], limit: usize) {
        let missing = limit.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
    }

    fn may_be_json_lines(&self) -> bool {
        self.expected == ExpectedText::Fields && may_be_json_lines(&self.head)
    }

    /// Returns true if [`Self::finish`] needs the end of the object.
    pub(super) fn needs_tail(&self) -> bool {
        depends_on_end(&self.head)
    }

    /// Returns true if the bytes to come may still show that the object is not text.
    pub(super) fn is_open(&self) -> bool {
        !self.is_settled || self.needs_tail()
    }

    /// Decides about an object of which no further bytes are needed. `is_whole` means that all of
    /// it has been fed, and `tail` holds its last bytes if they are needed.
    ///
    /// # Errors
    /// `UnsupportedFormat`.
    pub(super) fn finish(
        &self,
        object: &Object,
        is_whole: bool,
        tail: Option<&[u8]>,
    ) -> Result<()> {
        if let Some(format) = recognise(&self.head, tail) {
            return Err(self.unsupported(object, format));
        }
        if !self.is_settled && self.may_be_json_lines() && is_json_lines(&self.head, is_whole) {
            return Err(json_lines(object));
        }
        Ok(())
    }

    /// Returns the error of an object that cannot be read as JSON, if these first bytes of its text
    /// are those of another format.
    pub(super) fn broken_json(&self, object: &Object, head: &[u8]) -> Option<Error> {
        let head = &head[..head.len().min(HEAD_BYTES)];
        Some(self.unsupported(object, recognise_broken(head)?))
    }

    /// Returns the error of an object that begins with `head`, and should be in the format of this
    /// name.
    pub(super) fn other_than(object: &Object, head: &[u8], name: &str) -> Error {
        let message = match recognise_broken(head) {
            Some(format) => format!("{object}: this is {}, not {name}", format.name),
            None => format!("{object}: this is not {name}"),
        };
        Error::new(ErrorKind::UnsupportedFormat, message)
            .with_hint("load the objects of each format by a command of their own")
    }

    fn unsupported(&self, object: &Object, format: &Format) -> Error {
        let Format { name, remedy, is_text } = format;
        let contrast = if *is_text {
            ", which LOAD DATA cannot read".to_owned()
        } else {
            format!(", not {}", self.expected.name())
        };
        let message = format!("{object}: this is {name}{contrast}");
        Error::new(ErrorKind::UnsupportedFormat, message).with_hint(*remedy)
    }
}

fn json_lines(object: &Object) -> Error {
    let message = format!("{object}: this looks like JSON Lines, not delimited text");
    Error::new(ErrorKind::UnsupportedFormat, message)
        .with_hint("--format jsonl loads each line into the columns that its keys are named after")
}
