//! A dialect prepared for reading: which bytes need a decision in which state, and what ends a
//! line.

use super::malformed::MalformedKind;
use crate::dialect::{Dialect, LineTerminator, RowFormat};

pub(super) const LF: &[u8] = b"\n";
pub(super) const CRLF: &[u8] = b"\r\n";
const CRCRLF: &[u8] = b"\r\r\n";

/// One flag per byte value, true if the byte needs a decision.
pub(super) type ByteSet = [bool; 256];

#[derive(Clone, Debug)]
pub(super) struct Grammar {
    pub(super) field: Vec<u8>,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    /// The escape, if it has a meaning within the fields that are read. An escape that equals the
    /// quote only doubles there.
    pub(super) field_escape: Option<u8>,
    pub(super) lines: Lines,
    /// The number of fields that are read. The rest of a line is skipped.
    pub(super) fields_per_row: usize,
    /// True if the end of a row depends on the field that a byte is in. Otherwise a row is read as
    /// one long field.
    pub(super) tracks_fields: bool,
    /// The number of bytes with which a decision is always possible, counting the byte that needs
    /// it.
    pub(super) lookahead_bytes: usize,
    pub(super) plain_set: ByteSet,
    pub(super) quoted_set: ByteSet,
    pub(super) skipped_set: ByteSet,
}

/// The line terminator, by the checks that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// LF. A CRLF is a mistake.
    Lf,
    /// CRLF. A bare LF is a mistake.
    CrLf,
    /// CRLF or LF, decided by the first line. The other one and a bare CR are mistakes.
    Detect,
    /// Anything else, unchecked.
    Other(Vec<u8>),
    /// LF. A line of nothing but the white space of JSON and byte order marks is no row.
    Json,
}

/// The line ending that a reader has detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnding {
    Lf,
    CrLf,
}

impl LineEnding {
    #[must_use]
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => LF,
            Self::CrLf => CRLF,
        }
    }

    /// Returns the line ending that `bytes` are, or `None` if they are neither.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        [Self::Lf, Self::CrLf].into_iter().find(|ending| ending.bytes() == bytes)
    }
}

/// The result of a test for a line ending.
pub(super) enum LineTest {
    Ends {
        terminator_bytes: usize,
        detected: Option<LineEnding>,
    },
    /// A certain mistake, which starts `bytes_before` bytes before the place of the test.
    Mistaken {
        kind: MalformedKind,
        bytes_before: u64,
    },
    No,
}

impl Grammar {
    pub(super) fn new<'format>(
        format: impl Into<RowFormat<'format>>,
        fields_per_row: usize,
    ) -> Self {
        match format.into() {
            RowFormat::Delimited(dialect) => Self::of_dialect(dialect, fields_per_row),
            RowFormat::JsonLines => Self {
                field: Vec::new(),
                quote: None,
                escape: None,
                field_escape: None,
                lines: Lines::Json,
                fields_per_row: fields_per_row.max(1),
                tracks_fields: false,
                lookahead_bytes: 1,
                plain_set: [false; 256],
                quoted_set: [false; 256],
                skipped_set: [false; 256],
            },
        }
    }

    fn of_dialect(dialect: &Dialect, fields_per_row: usize) -> Self {
        let field = dialect.fields_terminated_by.clone();
        let quote = dialect.fields_enclosed_by;
        let escape = dialect.fields_escaped_by;
        let field_escape = escape.filter(|_| escape != quote);
        let lines = match &dialect.lines_terminated_by {
            LineTerminator::Detect => Lines::Detect,
            LineTerminator::Exact(line) if line == LF => Lines::Lf,
            LineTerminator::Exact(line) if line == CRLF => Lines::CrLf,
            LineTerminator::Exact(line) => Lines::Other(line.clone()),
        };
        let line: &[u8] = match &lines {
            Lines::Lf | Lines::Json => LF,
            Lines::CrLf | Lines::Detect => CRLF,
            Lines::Other(line) => line,
        };
        // A field terminator matters beyond its own field in two cases: it can swallow an escape or
        // a part of a line terminator, or it can hide a carriage return from the checks.
        let swallows = field.iter().skip(1).any(|byte| Some(*byte) == escape)
            || field.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
            || (1..field.len())
                .any(|at| field[at..].starts_with(line) || line.starts_with(&field[at..]));
        let tracks_fields = quote.is_some() || swallows;

        let mut skipped_set = [false; 256];
        let mut mark = |byte: u8| skipped_set[usize::from(byte)] = true;
        line.first().copied().into_iter().for_each(&mut mark);
        if matches!(lines, Lines::CrLf | Lines::Detect) {
            mark(b'\n');
        }
        let mut plain_set = skipped_set;
        let mut quoted_set = [false; 256];
        if let Some(byte) = escape {
            skipped_set[usize::from(byte)] = true;
        }
        if let Some(byte) = field_escape {
            plain_set[usize::from(byte)] = true;
            quoted_set[usize::from(byte)] = true;
        }
        if let Some(byte) = quote {
            quoted_set[usize::from(byte)] = true;
        }
        if let Some(&byte) = field.first().filter(|_| tracks_fields) {
            plain_set[usize::from(byte)] = true;
        }

        Self {
            // A quote and the terminator after it, or an escape and its byte; at least the CRLF
            // after a quote.
            lookahead_bytes: 1 + field.len().max(line.len()).max(CRLF.len()),
            fields_per_row: fields_per_row.max(1),
            field,
            quote,
            escape,
            field_escape,
            lines,
            tracks_fields,
            plain_set,
            quoted_set,
            skipped_set,
        }
    }

    /// Returns the line terminator, if it is known.
    pub(super) fn line_terminator(&self, detected: Option<LineEnding>) -> Option<&[u8]> {
        match &self.lines {
            Lines::Lf | Lines::Json => Some(LF),
            Lines::CrLf => Some(CRLF),
            Lines::Other(line) => Some(line),
            Lines::Detect => detected.map(LineEnding::bytes),
        }
    }

    /// Tests whether a line ends at the start of `rest`. `after_cr` means that the byte before it
    /// is a carriage return that is part of the line, neither escaped nor quoted.
    pub(super) fn line_at(
        &self,
        rest: &[u8],
        detected: Option<LineEnding>,
        after_cr: bool,
    ) -> LineTest {
        let ends = |terminator_bytes| LineTest::Ends { terminator_bytes, detected };
        let wrong = |expected: &[u8], found, bytes_before| LineTest::Mistaken {
            kind: MalformedKind::WrongLineEnding { expected: expected.to_vec(), found },
            bytes_before,
        };
        match &self.lines {
            Lines::Lf if rest.starts_with(LF) && after_cr => wrong(LF, CRLF, 1),
            Lines::Lf if rest.starts_with(LF) => ends(1),
            Lines::CrLf if rest.starts_with(CRLF) && after_cr => wrong(CRLF, CRCRLF, 1),
            Lines::CrLf if rest.starts_with(CRLF) => ends(2),
            Lines::Other(line) if rest.starts_with(line) => ends(line.len()),
            Lines::Detect => {
                let found = match rest {
                    [b'\n', ..] => LineEnding::Lf,
                    [b'\r', b'\n', ..] => LineEnding::CrLf,
                    [b'\r', ..] => {
                        return LineTest::Mistaken {
                            kind: MalformedKind::LoneCarriageReturn,
                            bytes_before: 0,
                        };
                    }
                    _ => return LineTest::No,
                };
                match detected {
                    Some(first) if first != found => LineTest::Mistaken {
                        kind: MalformedKind::MixedLineEndings {
                            first: first.bytes(),
                            found: found.bytes(),
                        },
                        bytes_before: 0,
                    },
                    _ => LineTest::Ends {
                        terminator_bytes: found.bytes().len(),
                        detected: Some(found),
                    },
                }
            }
            Lines::Lf | Lines::CrLf | Lines::Other(_) | Lines::Json => LineTest::No,
        }
    }

    /// Returns the error if `rest` starts with the other line ending, at a place where a line
    /// ending is due or would be read as data.
    pub(super) fn wrong_ending_at(&self, rest: &[u8]) -> Option<MalformedKind> {
        let (expected, found) = match self.lines {
            Lines::Lf if rest.starts_with(CRLF) => (LF, CRLF),
            Lines::CrLf if rest.starts_with(LF) => (CRLF, LF),
            _ => return None,
        };
        Some(MalformedKind::WrongLineEnding { expected: expected.to_vec(), found })
    }
}
