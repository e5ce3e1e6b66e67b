//! Finds the records in a text of JSON, and writes each on a line of its own.
//!
//! Records stand one after the other, with or without white space between them, or in an array, or
//! in the array at a path. They are found byte by byte, whatever they contain, and never held. So
//! neither a document nor a record has to fit into memory.
//!
//! The brackets, commas, colons and quotes must be right: otherwise nobody knows where the next
//! record begins. Numbers and words are not looked at, nor are the characters of strings. Who reads
//! the lines finds what is wrong with them, and loses only the one record.

#[cfg(test)]
mod tests;

use std::fmt::{Display, Formatter};
use std::sync::Arc;

/// The members that lead from a document to the array of its records. Without any, records stand
/// anywhere outside of other values, or in an array there.
pub type RecordsAt = Arc<[String]>;

/// The deepest nesting. Both servers take less, except in text columns.
const MAX_DEPTH: usize = 10_000;

/// Files that are put together have it before any document.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The reason why a text is not read any further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenJson {
    pub what: &'static str,
    /// The offset in the text.
    pub offset: u64,
}

impl Display for BrokenJson {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "its JSON is broken at byte {}: {}", self.offset, self.what)
    }
}

/// A value that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Object,
    Array,
    /// An array whose elements are records.
    Records,
    /// An object on the path, after so many of its members.
    OnPath(usize),
}

/// The tokens that may come next, apart from white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A value or the end, outside of all values.
    Document,
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// The token that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    None,
    String {
        is_key: bool,
        is_escaped: bool,
    },
    /// A number or a word.
    Scalar,
}

/// Finds the records of one object.
#[derive(Clone, Debug)]
pub(super) struct Records {
    path: RecordsAt,
    open: Vec<Open>,
    expected: Expected,
    token: Token,
    /// The number of open values around the record that has begun.
    record: Option<usize>,
    /// True if a line has been written.
    has_line: bool,
    /// The last key of an object on the path, with its quotes, as far as it may be a name of the
    /// path.
    key: Vec<u8>,
    /// True if the document has had an array at the path.
    is_found: bool,
    /// The number of bytes of a byte order mark that has begun.
    mark_bytes: usize,
    position: u64,
}

impl Records {
    pub(super) fn new(path: RecordsAt) -> Self {
        Self {
            path,
            open: Vec::new(),
            expected: Expected::Document,
            token: Token::None,
            record: None,
            has_line: false,
            key: Vec::new(),
            is_found: false,
            mark_bytes: 0,
            position: 0,
        }
    }

    /// Reads the next bytes, and appends the lines that they give, without the last line feed.
    pub(super) fn read(&mut self, text: &[u8], lines: &mut Vec<u8>) -> Result<(), BrokenJson> {
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if let Token::String { is_escaped: false, .. } = self.token {
                let ordinary = text[at..].iter().position(|&byte| is_odd(byte));
                let length = ordinary.unwrap_or(text.len() - at);
                self.keep(&text[at..at + length], lines);
                self.position += length as u64;
                at += length;
                if length > 0 {
                    continue;
                }
            }
            let step = self.step(byte, lines);
            step.map_err(|what| BrokenJson { what, offset: self.position })?;
            self.position += 1;
            at += 1;
        }
        Ok(())
    }

    /// Ends the text.
    pub(super) fn finish(&mut self) -> Result<(), BrokenJson> {
        let what = match self.token {
            Token::String { .. } => "it ends inside a string",
            _ if self.mark_bytes > 0 => "it ends inside a byte order mark",
            Token::None | Token::Scalar if self.open.is_empty() => return Ok(()),
            Token::None | Token::Scalar => match self.open.last() {
                Some(Open::Array | Open::Records) => "it ends inside an array",
                _ => "it ends inside an object",
            },
        };
        Err(BrokenJson { what, offset: self.position })
    }

    /// Keeps bytes of a string, if they belong to a record or to a key that matters.
    fn keep(&mut self, bytes: &[u8], lines: &mut Vec<u8>) {
        if self.record.is_some() {
            lines.extend_from_slice(bytes);
        }
        if let (Token::String { is_key: true, .. }, Some(Open::OnPath(depth))) =
            (self.token, self.open.last())
        {
            // Each character of a name may be written as an escape of six bytes, or of twelve.
            let longest = 2 + 6 * self.path.get(*depth).map_or(0, String::len);
            let room = (longest + 1).saturating_sub(self.key.len());
            self.key.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn step(&mut self, byte: u8, lines: &mut Vec<u8>) -> Result<(), &'static str> {
        match self.token {
            Token::String { is_key, is_escaped } => {
                return self.string_byte(byte, is_key, is_escaped, lines);
            }
            Token::Scalar if is_scalar(byte) => {
                self.keep(&[byte], lines);
                return Ok(());
            }
            Token::Scalar => {
                self.token = Token::None;
                self.end_value();
            }
            Token::None => {}
        }
        let may_begin_mark = self.expected == Expected::Document && byte == BYTE_ORDER_MARK[0];
        if self.mark_bytes > 0 || may_begin_mark {
            if BYTE_ORDER_MARK[self.mark_bytes] != byte {
                return Err("a value is expected");
            }
            self.mark_bytes = (self.mark_bytes + 1) % BYTE_ORDER_MARK.len();
            return Ok(());
        }
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Ok(());
        }
        match self.expected {
            Expected::Document | Expected::Value => self.begin_value(byte, lines),
            Expected::ValueOrEnd if byte == b']' => {
                self.close(byte, lines);
                Ok(())
            }
            Expected::ValueOrEnd => self.begin_value(byte, lines),
            Expected::KeyOrEnd if byte == b'}' => self.close_object(lines),
            Expected::Key | Expected::KeyOrEnd if byte == b'"' => {
                self.key.clear();
                self.token = Token::String { is_key: true, is_escaped: false };
                self.keep(b"\"", lines);
                Ok(())
            }
            Expected::Key | Expected::KeyOrEnd => Err("a key in double quotes is expected"),
            Expected::Colon if byte == b':' => {
                self.keep(b":", lines);
                self.expected = Expected::Value;
                Ok(())
            }
            Expected::Colon => Err("a colon is expected"),
            Expected::CommaOrEnd => self.after_value(byte, lines),
        }
    }

    fn string_byte(
        &mut self,
        byte: u8,
        is_key: bool,
        is_escaped: bool,
        lines: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        if byte < b' ' {
            return Err("a string has a control character, as if its quote had been forgotten");
        }
        if is_escaped && !b"\"\\/bfnrtu".contains(&byte) {
            return Err("a string has a backslash with a character that it does not escape");
        }
        self.keep(&[byte], lines);
        match byte {
            b'"' if !is_escaped => {
                self.token = Token::None;
                if is_key {
                    self.expected = Expected::Colon;
                } else {
                    self.end_value();
                }
            }
            _ => {
                let is_escaped = byte == b'\\' && !is_escaped;
                self.token = Token::String { is_key, is_escaped };
            }
        }
        Ok(())
    }

    fn begin_value(&mut self, byte: u8, lines: &mut Vec<u8>) -> Result<(), &'static str> {
        let container = match (self.open.last().copied(), byte) {
            (_, b'{' | b'[') if self.open.len() >= MAX_DEPTH => {
                return Err("it is nested too deeply");
            }
            (None, b'[') if self.path.is_empty() => Some(Open::Records),
            (None, b'{') if !self.path.is_empty() => {
                self.is_found = false;
                Some(Open::OnPath(0))
            }
            (None, _) if !self.path.is_empty() => {
                return Err("rows-at is a path in an object, and this is none");
            }
            (Some(Open::OnPath(depth)), _) if self.is_on_path(depth) => {
                Some(self.next_on_path(depth, byte)?)
            }
            (None | Some(Open::Records), _) => {
                if std::mem::replace(&mut self.has_line, true) {
                    lines.push(b'\n');
                }
                self.record = Some(self.open.len());
                None
            }
            _ => None,
        };
        let container = container.or(match byte {
            b'{' => Some(Open::Object),
            b'[' => Some(Open::Array),
            _ => None,
        });
        self.token = match byte {
            b'{' | b'[' => Token::None,
            b'"' => Token::String { is_key: false, is_escaped: false },
            byte if is_scalar(byte) => Token::Scalar,
            _ => return Err("a value is expected"),
        };
        self.keep(&[byte], lines);
        if let Some(container) = container {
            self.open.push(container);
            let is_object = byte == b'{';
            self.expected = if is_object { Expected::KeyOrEnd } else { Expected::ValueOrEnd };
        }
        Ok(())
    }

    /// Returns true if the last key is that of the path.
    fn is_on_path(&self, depth: usize) -> bool {
        let name = self.path.get(depth);
        let key = serde_json::from_slice::<String>(&self.key);
        key.is_ok_and(|key| Some(&key) == name)
    }

    fn next_on_path(&mut self, depth: usize, byte: u8) -> Result<Open, &'static str> {
        match (depth + 1 == self.path.len(), byte) {
            (true, b'[') if self.is_found => Err("the path of rows-at is there twice"),
            (true, b'[') => {
                self.is_found = true;
                Ok(Open::Records)
            }
            (true, _) => Err("the value at the path of rows-at is no array"),
            (false, b'{') => Ok(Open::OnPath(depth + 1)),
            (false, _) => Err("the path of rows-at leads through a value that is no object"),
        }
    }

    fn after_value(&mut self, byte: u8, lines: &mut Vec<u8>) -> Result<(), &'static str> {
        let is_array = matches!(self.open.last(), Some(Open::Array | Open::Records));
        match (byte, is_array) {
            (b']', true) => {
                self.close(byte, lines);
                Ok(())
            }
            (b'}', false) => self.close_object(lines),
            (b',', _) => {
                self.keep(b",", lines);
                self.expected = if is_array { Expected::Value } else { Expected::Key };
                Ok(())
            }
            (_, true) => Err("a comma or the end of the array is expected"),
            (_, false) => Err("a comma or the end of the object is expected"),
        }
    }

    fn close(&mut self, bracket: u8, lines: &mut Vec<u8>) {
        self.keep(&[bracket], lines);
        self.open.pop();
        self.end_value();
    }

    fn close_object(&mut self, lines: &mut Vec<u8>) -> Result<(), &'static str> {
        if self.open.last() == Some(&Open::OnPath(0)) && !self.is_found {
            return Err("the document ends, and has no array at the path of rows-at");
        }
        self.close(b'}', lines);
        Ok(())
    }

    fn end_value(&mut self) {
        if self.record == Some(self.open.len()) {
            self.record = None;
        }
        let is_outside = self.open.is_empty();
        self.expected = if is_outside { Expected::Document } else { Expected::CommaOrEnd };
    }
}

/// Returns true for the bytes of a string that are not copied as they are.
fn is_odd(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\')
}

/// Returns true for the bytes of numbers and words.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}
