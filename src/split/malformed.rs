//! The input that the splitter refuses, with its place and the remedy.

use thiserror::Error;

use crate::dialect::show_delimiter;

/// A defect of an object that the server would load incorrectly, usually without a warning.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {kind}{}", shown(*.place, *.row, *.offset), opened(*.quote_place))]
pub struct Malformed {
    pub kind: MalformedKind,
    /// The data row, counted from 1, or 0 in the header lines.
    pub row: u64,
    /// The byte of the object, counted from 0. Each kind describes which byte it means.
    pub offset: u64,
    /// The place of that byte, once it is looked up in the bytes that have arrived.
    pub place: Option<TextPlace>,
    /// The byte of the quote that opens the field, if the defect is about the one that closes it.
    pub quote_offset: Option<u64>,
    /// The place of that quote.
    pub quote_place: Option<TextPlace>,
}

/// The place of a byte in an object, as an editor shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPlace {
    /// The line, from 1. Lines end as [`super::LocatedRow::line`] says.
    pub line: u64,
    /// The character in the line, from 1. In a character set other than UTF-8, the byte.
    pub column: u64,
}

impl Malformed {
    /// Looks the places up. They stay unknown if the bytes cannot be read again.
    pub fn find_places(&mut self, find: impl Fn(u64) -> Option<TextPlace>) {
        self.place = find(self.offset);
        self.quote_place = self.quote_offset.and_then(find);
    }
}

fn opened(place: Option<TextPlace>) -> String {
    place.map_or_else(String::new, |TextPlace { line, column }| {
        format!("; the quote that it closes is on line {line}, column {column}")
    })
}

fn shown(place: Option<TextPlace>, row: u64, offset: u64) -> String {
    match (place, row) {
        (Some(TextPlace { line, column }), _) => {
            format!("line {line}, column {column} (byte {offset})")
        }
        (None, 0) => format!("header lines, byte {offset}"),
        (None, row) => format!("row {row}, byte {offset}"),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MalformedKind {
    /// Points at the quote that opens the field.
    #[error(
        "a quote opens here and is never closed, so that the rest of the object would become one \
         field; close it, or set fields-enclosed-by to what encloses fields (empty: nothing does)"
    )]
    UnclosedQuote,
    /// Points at the escape.
    #[error(
        "the object ends in an escape character, which would swallow the line ending; \
         the object may be cut off, or fields-escaped-by should be empty"
    )]
    EscapeAtEnd,
    /// Points at the byte after the quote.
    #[error(
        "a closing quote is followed by neither a field separator nor a line ending, so that \
         the server would read on as if it had not been closed; write a quote inside a quoted \
         field twice, and nothing after the closing one"
    )]
    TextAfterClosingQuote,
    /// Points at the first byte of the ending.
    #[error(
        "this line ends in {}, but lines-terminated-by is {}; \
         set lines-terminated-by to '{}' if all lines do, otherwise quote or escape the line break",
        show_delimiter(.found), show_delimiter(.expected), show_delimiter(.found)
    )]
    WrongLineEnding { expected: Vec<u8>, found: &'static [u8] },
    /// Points at the first byte of the ending.
    #[error(
        "this line ends in {}, but the first line of the object ended in {}; \
         make them all the same, or quote the line break if it belongs to a value",
        show_delimiter(.found), show_delimiter(.first)
    )]
    MixedLineEndings { first: &'static [u8], found: &'static [u8] },
    /// Points at the carriage return.
    #[error(
        "a carriage return without a line feed stands outside quotes, \
         where only CRLF and LF are recognized; \
         set lines-terminated-by to '\\r' if it ends the lines, otherwise quote it"
    )]
    LoneCarriageReturn,
    /// Points at the first byte that is not part of a character.
    #[error(
        "this is not valid {charset}; name the character set that the object is in with charset, \
         or convert it to UTF-8"
    )]
    InvalidUtf8 { charset: String },
    /// Points at the character's first byte.
    #[error(
        "this character takes four bytes, which {charset} does not have; set charset to utf8mb4"
    )]
    FourByteCharacter { charset: String },
    /// Points at the end of the object.
    #[error(
        "the object ends in the middle of a line terminator ({}), and may be cut off; \
         complete it or remove its start",
        show_delimiter(.expected)
    )]
    TruncatedTerminator { expected: Vec<u8> },
}
