//! Reads as the splitter does, as the reference for the tests: in its plainest form, over the whole
//! object, one byte at a time, with no chunks and no shortcuts. The fast reader must agree with it.

use super::malformed::{Malformed, MalformedKind};
use super::row_reader::Scan;
use crate::dialect::{Charset, Dialect, LineTerminator};

pub(super) fn read(
    dialect: &Dialect,
    charset: &Charset,
    fields_per_row: usize,
    ignore_lines: u64,
    object: &[u8],
) -> Result<Scan, Malformed> {
    if charset.is_utf8()
        && let Err(error) = std::str::from_utf8(object)
    {
        let valid = error.valid_up_to();
        let (reading, _) =
            ReferenceReader::of(dialect, charset, fields_per_row, ignore_lines, &object[..valid])?;
        let charset = charset.name().to_owned();
        return reading.fail(MalformedKind::InvalidUtf8 { charset }, valid);
    }
    let (reading, end) =
        ReferenceReader::of(dialect, charset, fields_per_row, ignore_lines, object)?;
    let line = reading.line.clone().unwrap_or(b"\n".to_vec());
    let mut scan = Scan {
        data_start: reading.data_start as u64,
        rows: reading.rows,
        lines_terminated_by: line.clone(),
        needs_terminator: false,
    };
    match end {
        ReadingEnd::BetweenRows => {}
        ReadingEnd::InQuotes { opened_at } => {
            return reading.fail(MalformedKind::UnclosedQuote, opened_at);
        }
        ReadingEnd::AfterEscape => {
            return reading.fail(MalformedKind::EscapeAtEnd, object.len() - 1);
        }
        ReadingEnd::InRow => {
            let is_data = reading.headers_left == 0;
            let sent = [object, &line].concat();
            let (completed, end) =
                ReferenceReader::of(dialect, charset, fields_per_row, ignore_lines, &sent)
                    .map_err(|error| Malformed {
                        offset: error.offset.min(object.len() as u64),
                        ..error
                    })?;
            let lines =
                |reading: &ReferenceReader| reading.rows + (ignore_lines - reading.headers_left);
            if end != ReadingEnd::BetweenRows || lines(&completed) != lines(&reading) + 1 {
                return reading
                    .fail(MalformedKind::TruncatedTerminator { expected: line }, object.len());
            }
            scan.rows = completed.rows;
            scan.needs_terminator = is_data;
        }
    }
    if reading.headers_left > 0 {
        scan.data_start = object.len() as u64;
    }
    Ok(scan)
}

/// The place of a data row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowPlace {
    pub(super) start: usize,
    /// The end of the row, without its terminator.
    pub(super) end: usize,
    pub(super) line: u64,
}

/// Returns the places of an object's rows, for an object that [`read`] accepts.
pub(super) fn places(
    dialect: &Dialect,
    charset: &Charset,
    fields_per_row: usize,
    ignore_lines: u64,
    object: &[u8],
) -> Result<Vec<RowPlace>, Malformed> {
    let (reading, _) = ReferenceReader::of(dialect, charset, fields_per_row, ignore_lines, object)?;
    let line_break = match &dialect.lines_terminated_by {
        LineTerminator::Exact(line) if !line.contains(&b'\n') => line.clone(),
        _ => b"\n".to_vec(),
    };
    let mut places = Vec::new();
    let mut lines_before = 0;
    let mut at = 0;
    for unit in &reading.units {
        lines_before += breaks(&object[at..unit.start], &line_break);
        if unit.is_data {
            places.push(RowPlace { start: unit.start, end: unit.end, line: lines_before + 1 });
        }
        lines_before += breaks(&object[unit.start..unit.next], &line_break);
        at = unit.next;
    }
    Ok(places)
}

fn breaks(text: &[u8], line_break: &[u8]) -> u64 {
    let mut count = 0;
    let mut at = 0;
    while at < text.len() {
        let found = text[at..].starts_with(line_break);
        count += u64::from(found);
        at += if found { line_break.len() } else { 1 };
    }
    count
}

/// A header line or a row.
struct Unit {
    is_data: bool,
    start: usize,
    end: usize,
    /// The index at which the next unit may begin.
    next: usize,
}

struct ReferenceReader<'a> {
    dialect: &'a Dialect,
    text: &'a [u8],
    at: usize,
    /// The line terminator. `None` until it has been detected.
    line: Option<Vec<u8>>,
    headers_left: u64,
    data_start: usize,
    rows: u64,
    units: Vec<Unit>,
}

#[derive(PartialEq)]
enum ReadingEnd {
    BetweenRows,
    InRow,
    InQuotes { opened_at: usize },
    AfterEscape,
}

enum ReferenceStep {
    Field,
    Line,
    Text(ReadingEnd),
}

impl<'a> ReferenceReader<'a> {
    fn of(
        dialect: &'a Dialect,
        charset: &Charset,
        fields_per_row: usize,
        ignore_lines: u64,
        text: &'a [u8],
    ) -> Result<(Self, ReadingEnd), Malformed> {
        let line = match &dialect.lines_terminated_by {
            LineTerminator::Exact(line) => Some(line.clone()),
            LineTerminator::Detect => None,
        };
        let at = if charset.is_utf8() && text.starts_with("\u{FEFF}".as_bytes()) { 3 } else { 0 };
        let mut reading = ReferenceReader {
            dialect,
            text,
            at,
            line,
            headers_left: ignore_lines,
            data_start: at,
            rows: 0,
            units: Vec::new(),
        };
        loop {
            if reading.at == text.len() {
                return Ok((reading, ReadingEnd::BetweenRows));
            }
            let is_data = reading.headers_left == 0;
            let start = reading.at;
            if let Some(end) = reading.row(if is_data { fields_per_row } else { usize::MAX })? {
                reading.units.push(Unit { is_data, start, end: text.len(), next: text.len() });
                return Ok((reading, end));
            }
            let terminator_bytes = reading.line.as_ref().map_or(0, Vec::len);
            reading.units.push(Unit {
                is_data,
                start,
                end: reading.at - terminator_bytes,
                next: reading.at,
            });
            if is_data {
                reading.rows += 1;
            } else {
                reading.headers_left -= 1;
                reading.data_start = reading.at;
            }
        }
    }

    fn fail<T>(&self, kind: MalformedKind, offset: usize) -> Result<T, Malformed> {
        let row = if self.headers_left > 0 { 0 } else { self.rows + 1 };
        Err(Malformed {
            kind,
            row,
            offset: offset as u64,
            place: None,
            quote_offset: None,
            quote_place: None,
        })
    }

    fn here(&self, what: &[u8]) -> bool {
        self.text[self.at..].starts_with(what)
    }

    fn row(&mut self, fields: usize) -> Result<Option<ReadingEnd>, Malformed> {
        for _ in 0..fields {
            let quote = self.dialect.fields_enclosed_by;
            let step = if quote.is_some() && self.text.get(self.at).copied() == quote {
                self.quoted()?
            } else {
                self.unquoted(
                    self.dialect
                        .fields_escaped_by
                        .filter(|_| self.dialect.fields_escaped_by != quote),
                    true,
                )?
            };
            match step {
                ReferenceStep::Field => {}
                ReferenceStep::Line => return Ok(None),
                ReferenceStep::Text(end) => return Ok(Some(end)),
            }
        }
        match self.unquoted(self.dialect.fields_escaped_by, false)? {
            ReferenceStep::Text(end) => Ok(Some(end)),
            _ => Ok(None),
        }
    }

    fn quoted(&mut self) -> Result<ReferenceStep, Malformed> {
        let opened_at = self.at;
        let quote = self.dialect.fields_enclosed_by.unwrap();
        self.at += 1;
        loop {
            let Some(&byte) = self.text.get(self.at) else {
                return Ok(ReferenceStep::Text(ReadingEnd::InQuotes { opened_at }));
            };
            let next = self.text.get(self.at + 1).copied();
            if byte == quote && next == Some(quote) {
                self.at += 2;
            } else if byte == quote {
                self.at += 1;
                break;
            } else if Some(byte) == self.dialect.fields_escaped_by {
                self.at += 2;
            } else {
                self.at += 1;
            }
        }
        if self.at == self.text.len() {
            Ok(ReferenceStep::Text(ReadingEnd::InRow))
        } else if self.line_ends(false)? {
            Ok(ReferenceStep::Line)
        } else if self.here(&self.dialect.fields_terminated_by) {
            self.at += self.dialect.fields_terminated_by.len();
            Ok(ReferenceStep::Field)
        } else {
            let detects = self.dialect.lines_terminated_by == LineTerminator::Detect;
            match self.line.as_deref() {
                Some(b"\n") if !detects && self.here(b"\r\n") => self.wrong(b"\r\n", self.at),
                Some(b"\r\n") if !detects && self.here(b"\n") => self.wrong(b"\n", self.at),
                _ => self.fail(MalformedKind::TextAfterClosingQuote, self.at).map_err(
                    |malformed: Malformed| Malformed {
                        quote_offset: Some(opened_at as u64),
                        ..malformed
                    },
                ),
            }
        }
    }

    fn unquoted(
        &mut self,
        escape: Option<u8>,
        ends_by_field: bool,
    ) -> Result<ReferenceStep, Malformed> {
        let mut after_cr = false;
        loop {
            let Some(&byte) = self.text.get(self.at) else {
                return Ok(ReferenceStep::Text(ReadingEnd::InRow));
            };
            if Some(byte) == escape {
                if self.at + 1 == self.text.len() {
                    return Ok(ReferenceStep::Text(ReadingEnd::AfterEscape));
                }
                after_cr = false;
                self.at += 2;
            } else if self.line_ends(after_cr)? {
                return Ok(ReferenceStep::Line);
            } else if ends_by_field && self.here(&self.dialect.fields_terminated_by) {
                self.at += self.dialect.fields_terminated_by.len();
                return Ok(ReferenceStep::Field);
            } else {
                if byte == b'\n'
                    && self.dialect.lines_terminated_by == LineTerminator::Exact(b"\r\n".to_vec())
                {
                    return self.wrong(b"\n", self.at);
                }
                after_cr = byte == b'\r';
                self.at += 1;
            }
        }
    }

    fn wrong<T>(&self, found: &'static [u8], offset: usize) -> Result<T, Malformed> {
        self.fail(
            MalformedKind::WrongLineEnding { expected: self.line.clone().unwrap(), found },
            offset,
        )
    }

    /// Skips a line terminator, if there is one here.
    fn line_ends(&mut self, after_cr: bool) -> Result<bool, Malformed> {
        if self.dialect.lines_terminated_by == LineTerminator::Detect {
            let found: &'static [u8] = if self.here(b"\r\n") {
                b"\r\n"
            } else if self.here(b"\n") {
                b"\n"
            } else if self.here(b"\r") {
                return self.fail(MalformedKind::LoneCarriageReturn, self.at);
            } else {
                return Ok(false);
            };
            let first: &'static [u8] = match self.line.as_deref() {
                Some(b"\n") => b"\n",
                Some(_) => b"\r\n",
                None => found,
            };
            if first != found {
                return self.fail(MalformedKind::MixedLineEndings { first, found }, self.at);
            }
            self.line = Some(first.to_vec());
            self.at += found.len();
            return Ok(true);
        }
        let line = self.line.clone().unwrap();
        if !self.here(&line) {
            return Ok(false);
        }
        match line.as_slice() {
            b"\n" if after_cr => self.wrong(b"\r\n", self.at - 1),
            b"\r\n" if after_cr => self.wrong(b"\r\r\n", self.at - 1),
            _ => {
                self.at += line.len();
                Ok(true)
            }
        }
    }
}
