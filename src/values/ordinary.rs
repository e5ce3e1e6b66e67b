//! Recognizes the texts that most fields of a column have, without parsing them.
//!
//! Every field of every object goes through this, so it must be fast. It accepts only texts that
//! the column's rule calls exact, and leaves all others to the rule.

use super::column_type::ColumnType;

/// The ordinary texts of a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ordinary {
    /// The rule must read every text.
    Nothing,
    /// There is no rule.
    Anything,
    /// Texts of at most this many bytes.
    Short(usize),
    Number(Digits),
    /// `YYYY-MM-DD`.
    Date,
    /// `YYYY-MM-DD hh:mm:ss`.
    DateTime,
    /// The same, in the years that a TIMESTAMP covers completely.
    Timestamp,
}

/// Numbers with few enough digits that any of them fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digits {
    takes_minus: bool,
    /// The number of digits before the point.
    whole: usize,
    /// The number of digits after the point. Without any, a point is not ordinary.
    decimals: usize,
}

/// Every FLOAT has room for numbers of so many digits before the point and as many after it.
const FLOAT_DIGITS: usize = 20;

impl Ordinary {
    /// Returns the ordinary texts of numbers, dates and times that are read without a format.
    pub(super) fn of(column_type: &ColumnType, is_utc: bool) -> Self {
        let number = |is_unsigned: bool, whole, decimals| {
            Self::Number(Digits { takes_minus: !is_unsigned, whole, decimals })
        };
        let size = |digits: u32| usize::try_from(digits).unwrap_or(0);
        match *column_type {
            ColumnType::Integer { size, is_unsigned, .. } => {
                let value_bits = size.bits() - u32::from(!is_unsigned);
                let highest = u64::MAX >> (64 - value_bits);
                number(is_unsigned, highest.ilog10() as usize, 0)
            }
            ColumnType::Decimal { precision, scale, is_unsigned } => {
                number(is_unsigned, size(precision.saturating_sub(scale)), size(scale))
            }
            ColumnType::Float { digits: None, is_unsigned, .. } => {
                number(is_unsigned, FLOAT_DIGITS, FLOAT_DIGITS)
            }
            ColumnType::Date => Self::Date,
            ColumnType::DateTime { .. } => Self::DateTime,
            ColumnType::Timestamp { .. } if is_utc => Self::Timestamp,
            _ => Self::Nothing,
        }
    }

    /// Returns true if every text of at most this many bytes is ordinary.
    #[inline]
    pub(super) fn takes_all_of(self, bytes: usize) -> bool {
        match self {
            Self::Anything => true,
            Self::Short(limit) => bytes <= limit,
            _ => false,
        }
    }

    /// Returns true if the text is ordinary.
    #[inline]
    pub(super) fn takes(self, text: &[u8]) -> bool {
        match self {
            Self::Nothing => false,
            Self::Anything => true,
            Self::Short(limit) => text.len() <= limit,
            Self::Number(digits) => digits.takes(text),
            Self::Date => text.try_into().is_ok_and(is_date),
            Self::DateTime => is_date_time(text),
            Self::Timestamp => {
                is_date_time(text) && (b"1971".as_slice()..=b"2037").contains(&&text[..4])
            }
        }
    }
}

impl Digits {
    /// Returns true if the text is ordinary. `before` are the bytes that end with it. If there are
    /// enough of them, most numbers are read without a branch that depends on the text.
    #[inline]
    pub(super) fn takes_end(self, before: &[u8], text: &[u8]) -> bool {
        let minus = usize::from(self.takes_minus && text.first() == Some(&b'-'));
        let bytes = text.len() - minus;
        // The shift to the byte of the point, or beyond all bytes if there is none.
        let (point_bytes, shift) = match self.decimals {
            0 => (0, 128),
            decimals @ 1..=14 => (decimals + 1, 8 * (15 - u32::try_from(decimals).unwrap_or(0))),
            _ => return self.takes(text),
        };
        let whole = bytes.wrapping_sub(point_bytes);
        if let Some(last) = before.last_chunk::<16>()
            && whole.wrapping_sub(1) < self.whole
            && bytes <= 16
        {
            let at_point = |byte: u8| u128::from(byte).unbounded_shl(shift);
            // The byte that should be the point becomes a zero if it is one.
            let zeros = u128::from_le_bytes([b'0'; 16]) ^ at_point(b'.' ^ b'0');
            let digits = (u128::from_le_bytes(*last) ^ zeros) & u128::MAX << (128 - 8 * bytes);
            // A digit above nine, or a point above zero, gets a high half.
            let limits = u128::from_le_bytes([6; 16]) ^ at_point(6 ^ 15);
            let above = digits.wrapping_add(limits);
            if (digits | above) & u128::from_le_bytes([0xF0; 16]) == 0 {
                return true;
            }
        }
        self.takes(text)
    }

    #[inline]
    pub(super) fn takes(self, text: &[u8]) -> bool {
        let digits = match text {
            [b'-', digits @ ..] if self.takes_minus => digits,
            digits => digits,
        };
        // Most decimals are written to the last one.
        if self.decimals > 0
            && let Some(at) = digits.len().checked_sub(self.decimals + 1)
            && let (whole, [b'.', decimals @ ..]) = digits.split_at(at)
        {
            return (1..=self.whole).contains(&at) && are_digits(whole) && are_digits(decimals);
        }
        if (1..=self.whole).contains(&digits.len()) && are_digits(digits) {
            return true;
        }
        self.takes_point_anywhere(digits)
    }

    fn takes_point_anywhere(self, digits: &[u8]) -> bool {
        let point = digits.iter().position(|&byte| byte == b'.');
        let Some((whole, [_, decimals @ ..])) = point.map(|at| digits.split_at(at)) else {
            return false;
        };
        (1..=self.whole).contains(&whole.len())
            && (1..=self.decimals).contains(&decimals.len())
            && are_digits(whole)
            && are_digits(decimals)
    }
}

#[inline]
fn are_digits(text: &[u8]) -> bool {
    // The last word may overlap the one before it.
    if let Some(last) = text.last_chunk::<8>() {
        let (words, _) = text.as_chunks::<8>();
        return are_eight_digits(u64::from_le_bytes(*last))
            && words.iter().all(|word| are_eight_digits(u64::from_le_bytes(*word)));
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let halves = [u32::from_le_bytes(*first), u32::from_le_bytes(*last)].map(u64::from);
        return are_eight_digits(halves[0] << 32 | halves[1]);
    }
    text.iter().all(u8::is_ascii_digit)
}

/// Returns true if all eight bytes are digits.
#[inline]
fn are_eight_digits(bytes: u64) -> bool {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    // A byte that is no digit has another high half, or gets one when six is added.
    bytes & HIGH == ZEROS && bytes.wrapping_add(0x0606_0606_0606_0606) & HIGH == ZEROS
}

/// Returns true for a date that every month has, `YYYY-MM-DD`.
#[inline]
fn is_date(text: &[u8; 10]) -> bool {
    let Some((first, last)) = text.first_chunk().zip(text.last_chunk()) else { return false };
    let year_month = Shaped::new(*first, *b"0000-00-");
    let month_day = Shaped::new(*last, *b"00-00-00");
    let (month, day) = (month_day.pair(3), month_day.pair(6));
    year_month.is_right
        & month_day.is_right
        & (month.wrapping_sub(1) < 12)
        & (day.wrapping_sub(1) < 28)
}

#[inline]
fn is_date_time(text: &[u8]) -> bool {
    let Some((date, &[b' ', ref time @ ..])) = text.split_first_chunk::<10>() else {
        return false;
    };
    let Ok(time) = time.try_into() else { return false };
    let time = Shaped::new(time, *b"00:00:00");
    is_date(date)
        & time.is_right
        & (time.pair(0) <= 23)
        & (time.pair(3) <= 59)
        & (time.pair(6) <= 59)
}

/// A text that should have digits where its shape has zeros, and the same bytes elsewhere.
#[derive(Clone, Copy)]
struct Shaped {
    is_right: bool,
    /// Each byte is ten times a digit plus the next one, if all are right.
    pairs: u64,
}

impl Shaped {
    #[inline]
    fn new(text: [u8; 8], shape: [u8; 8]) -> Self {
        let by_digit = |digit, other| {
            u64::from_le_bytes(shape.map(|byte| if byte == b'0' { digit } else { other }))
        };
        let digits = u64::from_le_bytes(text) ^ u64::from_le_bytes(shape);
        // A byte that is no digit has another high half, or gets one when six is added.
        let wrong = (digits | digits.wrapping_add(by_digit(6, 0))) & by_digit(0xF0, 0xFF);
        Self { is_right: wrong == 0, pairs: digits.wrapping_mul(10).wrapping_add(digits >> 8) }
    }

    /// Returns the number that the two digits at this index are.
    #[inline]
    fn pair(self, at: usize) -> u8 {
        self.pairs.to_le_bytes()[at]
    }
}
