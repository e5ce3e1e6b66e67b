//! The fast path: skips ordinary text 64 bytes at a time.
//!
//! Each word of 64 bytes becomes a few bit masks with one bit per byte: one for quotes, one for
//! line feeds and so on. The masks show, without a branch per byte, which bytes are escaped and
//! which are inside quotes. This holds *provided that* each quote opens at the start of a field and
//! closes at its end or is doubled, that no row has more fields than are read, and that every line
//! ending is correct. If the masks do not prove this for a word, [`FieldMachine::run`] reads it. It
//! also reads every dialect with longer delimiters. So nothing here decides what is correct; this
//! module only recognizes what is ordinary.

#![allow(clippy::inline_always, reason = "must become part of the loop that is compiled for AVX2")]

use super::byte_masks;
use super::byte_masks::MaskBlock;
use super::grammar::{Grammar, LineEnding, Lines};
use super::machine::{FieldMachine, FieldState};

/// The number of bytes that are skipped, or left to the machine, at a time.
pub(crate) const WORD_BYTES: usize = 64;

/// The bytes that matter in a dialect whose words can be skipped.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScanPlan {
    line: Line,
    /// The quote and the field terminator, if fields are tracked.
    fields: Option<FieldCount>,
    escape: Option<u8>,
}

#[derive(Clone, Copy, Debug)]
struct FieldCount {
    quote: Option<u8>,
    terminator: u8,
    /// A row with as many field terminators, or more, is not ordinary.
    per_row: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    /// LF. No CR may stand before it.
    Lf,
    /// LF. No CR may stand anywhere outside quotes.
    LfOnly,
    CrLf,
    Other(u8),
}

impl ScanPlan {
    fn new(grammar: &Grammar, machine: &FieldMachine) -> Option<Self> {
        if machine.header_lines_left > 0 {
            return None;
        }
        let line = Line::new(grammar, machine.detected)?;
        let escape = grammar.field_escape;
        // The masks treat every line break as a line ending.
        if escape.is_some_and(is_line_break) {
            return None;
        }
        let fields = if grammar.tracks_fields {
            Some(FieldCount::new(grammar).filter(|fields| fields.quote.is_some())?)
        } else {
            None
        };
        Some(Self { line, fields, escape })
    }

    /// Returns a plan that finds the ends of fields in every dialect, in data without header lines
    /// whose line terminator is known. Returns `None` for terminators of more than one byte, other
    /// than CRLF.
    pub(super) fn with_fields(grammar: &Grammar) -> Option<Self> {
        let line = Line::new(grammar, None)?;
        let fields = FieldCount::new(grammar)?;
        let escape = grammar.field_escape;
        let special = [Some(fields.terminator), fields.quote, escape];
        let is_taken = |byte: u8| is_line_break(byte) || line == Line::Other(byte);
        (!special.into_iter().flatten().any(is_taken)).then_some(Self {
            line,
            // Without quotes, it does not matter in which field a byte is.
            fields: Some(FieldCount {
                per_row: if fields.quote.is_some() { fields.per_row } else { u32::MAX },
                ..fields
            }),
            escape,
        })
    }
}

impl FieldCount {
    fn new(grammar: &Grammar) -> Option<Self> {
        let &[terminator] = grammar.field.as_slice() else { return None };
        if is_line_break(terminator) || grammar.quote.is_some_and(is_line_break) {
            return None;
        }
        // Larger numbers do not fit into the counter, and no table has that many columns.
        let per_row = u32::try_from(grammar.fields_per_row).unwrap_or(u32::MAX);
        Some(Self { quote: grammar.quote, terminator, per_row })
    }
}

impl Line {
    fn new(grammar: &Grammar, detected: Option<LineEnding>) -> Option<Self> {
        Some(match (&grammar.lines, detected) {
            (Lines::Lf, _) => Self::Lf,
            (Lines::Detect, Some(LineEnding::Lf)) => Self::LfOnly,
            (Lines::CrLf, _) | (Lines::Detect, Some(LineEnding::CrLf)) => Self::CrLf,
            (Lines::Detect, None) | (Lines::Json, _) => return None,
            (Lines::Other(line), _) => match line.as_slice() {
                &[byte] => Self::Other(byte),
                _ => return None,
            },
        })
    }
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// The effect of the bytes before a word, one bit per property, for the word's first byte.
#[derive(Clone, Copy)]
pub(super) struct Carry {
    escaped: u64,
    after_cr: u64,
    /// Set after a field or line terminator: a quote opens here.
    at_field_start: u64,
    after_closing_quote: u64,
    /// All ones inside quotes, otherwise zero.
    in_quotes: u64,
}

impl Carry {
    /// The effect of the bytes before a row.
    pub(super) const AT_ROW: Self =
        Self { escaped: 0, after_cr: 0, at_field_start: 1, after_closing_quote: 0, in_quotes: 0 };
}

/// The result of one word.
pub(super) struct Passed {
    pub(super) carry: Carry,
    rows: u32,
    /// The number of fields that have ended in the row that continues after the word.
    pub(super) field: u32,
    pub(super) marks: Marks,
    opening_quote: Option<u32>,
    /// True if the last two bytes are a closing quote and the CR of an unfinished CRLF.
    quote_then_cr: bool,
}

/// The bytes of a word that end fields and rows, one bit for each.
pub(super) struct Marks {
    pub(super) field_ends: u64,
    /// The first bytes of the line terminators.
    pub(super) row_ends: u64,
    /// The bytes after an escape, and the second ones of doubled quotes. A field with such a byte
    /// has another value than its text.
    pub(super) resolved: u64,
}

/// Skips ordinary text in `data` from index `from` on, and returns the index of the first byte that
/// the machine must read. Returns `None` if that is impossible in this dialect, in header lines, or
/// before the line ending is known.
pub(crate) fn skip_ordinary(
    grammar: &Grammar,
    machine: &mut FieldMachine,
    data: &[u8],
    from: usize,
    base: u64,
) -> Option<usize> {
    if let Some(found) = pass_by_search(grammar, machine, &data[from..]) {
        return Some(from + found);
    }
    let plan = ScanPlan::new(grammar, machine)?;
    if data.len() - from < WORD_BYTES
        || machine.state == FieldState::Skipped
        || plan.line == Line::CrLf && machine.after_cr
    {
        return Some(from);
    }
    #[cfg(target_arch = "x86_64")]
    if byte_masks::has_avx2() {
        // SAFETY: the processor has AVX2, which is all that this function requires.
        #[allow(
            unsafe_code,
            reason = "the only way to call code for a processor that is detected at run time"
        )]
        return Some(unsafe { pass_words_avx2(plan, machine, data, from, base) });
    }
    Some(plan.pass_words(machine, data, from, base, byte_masks::equal_portable))
}

/// Skips data by searching for the line terminator alone, if it ends a line wherever it stands.
/// Returns the index up to which nothing is left to decide.
fn pass_by_search(grammar: &Grammar, machine: &mut FieldMachine, data: &[u8]) -> Option<usize> {
    if grammar.tracks_fields
        || grammar.escape.is_some()
        || machine.header_lines_left > 0
        || machine.after_cr
    {
        return None;
    }
    let (line, checks_returns): (&[u8], bool) = match (&grammar.lines, machine.detected) {
        (Lines::Lf, _) | (Lines::Detect, Some(LineEnding::Lf)) => (b"\n", true),
        (Lines::Other(line), _) => (line, false),
        (Lines::CrLf | Lines::Detect | Lines::Json, _) => return None,
    };
    if checks_returns && memchr::memchr(b'\r', data).is_some() {
        return None;
    }
    let (passed, ends_line) = if let &[byte] = line {
        machine.rows += memchr::memchr_iter(byte, data).count() as u64;
        (data.len(), data.last() == Some(&byte))
    } else {
        let mut after_last = 0;
        for at in memchr::memmem::find_iter(data, line) {
            machine.rows += 1;
            after_last = at + line.len();
        }
        // A terminator may have begun at the end.
        let passed = after_last.max(data.len().saturating_sub(line.len() - 1));
        (passed, passed == after_last)
    };
    if passed > 0 {
        machine.field = 0;
        machine.state = if ends_line { FieldState::FieldStart } else { FieldState::Plain };
    }
    Some(passed)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn pass_words_avx2(
    plan: ScanPlan,
    machine: &mut FieldMachine,
    data: &[u8],
    from: usize,
    base: u64,
) -> usize {
    plan.pass_words(machine, data, from, base, |block, byte| byte_masks::equal_avx2(block, byte))
}

const LAST: u32 = u64::BITS - 1;

impl ScanPlan {
    /// Skips whole words for as long as they are ordinary.
    #[inline(always)]
    fn pass_words(
        self,
        machine: &mut FieldMachine,
        data: &[u8],
        from: usize,
        base: u64,
        equal: impl Fn(&MaskBlock, u8) -> u64,
    ) -> usize {
        let mut carry = Carry {
            escaped: 0,
            after_cr: u64::from(machine.after_cr),
            at_field_start: u64::from(machine.state == FieldState::FieldStart),
            after_closing_quote: 0,
            in_quotes: if machine.state == FieldState::Quoted { u64::MAX } else { 0 },
        };
        let mut field = u32::try_from(machine.field).unwrap_or(u32::MAX);
        let mut quote_then_cr = false;
        let mut at = from;
        for word in data[from..].as_chunks::<WORD_BYTES>().0 {
            let Some(passed) = self.pass(|byte| equal(word, byte), carry, field) else {
                break;
            };
            carry = passed.carry;
            field = passed.field;
            quote_then_cr = passed.quote_then_cr;
            machine.rows += u64::from(passed.rows);
            if let Some(bit) = passed.opening_quote {
                machine.quote_offset = base + at as u64 + u64::from(bit);
            }
            at += WORD_BYTES;
        }
        if at == from {
            return from;
        }

        // The machine must see the first byte of an escape, a closing quote or a line ending to
        // decide about it. If one has only begun, the last one or two bytes are therefore given
        // back.
        machine.field = field as usize;
        machine.after_cr = false;
        let in_quotes = carry.in_quotes != 0;
        let unfinished_crlf = self.line == Line::CrLf && carry.after_cr != 0;
        let (state, taken_back) = if carry.escaped != 0 {
            (if in_quotes { FieldState::Quoted } else { FieldState::Plain }, 1)
        } else if in_quotes {
            (FieldState::Quoted, 0)
        } else if carry.after_closing_quote != 0 {
            (FieldState::Quoted, 1)
        } else if unfinished_crlf {
            if quote_then_cr { (FieldState::Quoted, 2) } else { (FieldState::Plain, 1) }
        } else {
            machine.after_cr = carry.after_cr != 0;
            (if carry.at_field_start != 0 { FieldState::FieldStart } else { FieldState::Plain }, 0)
        };
        machine.state = state;
        at - taken_back
    }

    /// Returns `None` if the masks do not prove that the word is ordinary.
    #[inline(always)]
    pub(super) fn pass(
        self,
        equal: impl Fn(u8) -> u64,
        before: Carry,
        field: u32,
    ) -> Option<Passed> {
        let (escaped, next_escaped) = match self.escape {
            Some(escape) => escaped_bytes(equal(escape), before.escaped),
            None => (0, 0),
        };
        let mut quotes = 0;
        let mut inside = 0;
        let mut field_ends = 0;
        if let Some(fields) = self.fields {
            if let Some(quote) = fields.quote {
                quotes = equal(quote) & !escaped;
                inside = prefix_xor(quotes) ^ before.in_quotes;
            }
            field_ends = equal(fields.terminator) & !escaped & !inside;
        }
        let outside = !escaped & !inside;

        let line_feeds = match self.line {
            Line::Other(byte) => equal(byte) & outside,
            Line::Lf | Line::LfOnly | Line::CrLf => equal(b'\n') & outside,
        };
        let returns = match self.line {
            Line::Other(_) => 0,
            Line::Lf | Line::LfOnly | Line::CrLf => equal(b'\r') & outside,
        };
        let after_returns = returns << 1 | before.after_cr;
        let (odd, line_starts) = match self.line {
            Line::Other(_) => (0, line_feeds),
            Line::Lf => (line_feeds & after_returns, line_feeds),
            Line::LfOnly => (returns, line_feeds),
            Line::CrLf => (line_feeds ^ after_returns, returns),
        };
        if odd != 0 {
            return None;
        }

        let mut opening_quote = None;
        let mut doubled = 0;
        let mut after_closing_quote = 0;
        let mut quote_then_cr = false;
        if self.fields.is_some_and(|fields| fields.quote.is_some()) {
            let opening = quotes & inside;
            let closing = quotes & !inside;
            let after_closing = closing << 1 | before.after_closing_quote;
            let field_starts = (field_ends | line_feeds) << 1 | before.at_field_start;
            doubled = opening & after_closing;
            let first = opening & field_starts;
            if opening & !(first | doubled) != 0
                || after_closing & !(field_ends | line_starts | doubled) != 0
            {
                return None;
            }
            opening_quote = (first != 0).then(|| LAST - first.leading_zeros());
            after_closing_quote = closing >> LAST;
            quote_then_cr = returns >> LAST != 0 && closing >> (LAST - 1) & 1 != 0;
        }

        let field = match self.fields {
            Some(fields) => fields_after(field_ends, line_feeds, field, fields.per_row)?,
            None => 0,
        };
        Some(Passed {
            carry: Carry {
                escaped: next_escaped,
                after_cr: returns >> LAST,
                at_field_start: (field_ends | line_feeds) >> LAST,
                after_closing_quote,
                in_quotes: 0_u64.wrapping_sub(inside >> LAST),
            },
            rows: line_feeds.count_ones(),
            field,
            marks: Marks { field_ends, row_ends: line_starts, resolved: escaped | doubled },
            opening_quote,
            quote_then_cr,
        })
    }
}

/// Returns the number of fields that have ended since the last line ending, or `None` if a row has
/// more fields than are read: quotes mean nothing in the rest of such a row.
#[inline(always)]
fn fields_after(field_ends: u64, line_ends: u64, field: u32, per_row: u32) -> Option<u32> {
    let in_word = field_ends.count_ones();
    if line_ends == 0 {
        let field = field + in_word;
        return (field < per_row).then_some(field);
    }
    // The usual case of wide tables: even if all fields were in one row, it would not have too
    // many.
    let after_last = !(u64::MAX >> line_ends.leading_zeros());
    if field + in_word < per_row {
        return Some((field_ends & after_last).count_ones());
    }
    let mut field = field;
    let mut row_ends = line_ends;
    let mut unread = u64::MAX;
    while row_ends != 0 {
        let through_row = row_ends ^ (row_ends - 1);
        if field + (field_ends & unread & through_row).count_ones() >= per_row {
            return None;
        }
        field = 0;
        unread = !through_row;
        row_ends &= row_ends - 1;
    }
    let field = (field_ends & unread).count_ones();
    (field < per_row).then_some(field)
}

/// Returns the escaped bytes, and 1 if the first byte of the next word is escaped too.
#[inline(always)]
fn escaped_bytes(escapes: u64, first_is_escaped: u64) -> (u64, u64) {
    let mut found = first_is_escaped;
    let mut left = escapes & !first_is_escaped;
    while left != 0 {
        let escape = left & left.wrapping_neg();
        if escape >> LAST != 0 {
            return (found, 1);
        }
        found |= escape << 1;
        left &= !(escape | escape << 1);
    }
    (found, 0)
}

/// Sets each bit to the parity of itself and all lower bits.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}
