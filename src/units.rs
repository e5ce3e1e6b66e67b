//! Quantities as people write them: byte sizes and durations.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

/// A number of bytes.
///
/// `KiB`, `MiB` … are powers of 1024; `kB`, `MB` … are powers of 1000. A bare `K`, `M`, `G` or `T`
/// is a power of 1024, as in MySQL's own options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// The reason why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    #[error("a size starts with a number, as in 64MiB")]
    NoNumber,
    #[error("`{0}` is not a unit of size; use B, KiB, MiB, GiB, TiB, kB, MB, GB or TB")]
    UnknownUnit(String),
    #[error("the size does not fit into 64 bits")]
    Overflow,
}

const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let text = text.trim();
        let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty()
            || fraction.contains('.')
            || (number.contains('.') && fraction.is_empty())
        {
            return Err(ByteSizeError::NoNumber);
        }
        let unit = unit.trim_start();
        let (_, unit_bytes) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(|| ByteSizeError::UnknownUnit(unit.to_owned()))?;
        let unit_bytes = u128::from(*unit_bytes);

        // Integers only: a float would round 9007199254740993.
        let whole: u128 = whole.parse().map_err(|_| ByteSizeError::Overflow)?;
        let mut bytes = whole.checked_mul(unit_bytes).ok_or(ByteSizeError::Overflow)?;
        // Beyond 18 digits, no fraction of a unit adds up to a byte.
        let fraction = &fraction[..fraction.len().min(18)];
        if !fraction.is_empty() {
            let numerator: u128 = fraction.parse().map_err(|_| ByteSizeError::Overflow)?;
            let denominator =
                10_u128.pow(u32::try_from(fraction.len()).map_err(|_| ByteSizeError::Overflow)?);
            bytes = bytes
                .checked_add(numerator * unit_bytes / denominator)
                .ok_or(ByteSizeError::Overflow)?;
        }
        u64::try_from(bytes).map(Self).map_err(|_| ByteSizeError::Overflow)
    }
}

impl fmt::Display for ByteSize {
    /// Writes the exact size in the largest binary unit that divides it, so that it parses back to
    /// the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]
            .into_iter()
            .find(|(_, shift)| self.0 > 0 && self.0.trailing_zeros() >= *shift);
        match unit {
            Some((name, shift)) => write!(f, "{}{name}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The reason why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    #[error("a duration needs a unit, as in 30s")]
    NoUnit,
    #[error("a duration is written like 500ms, 30s, 15m or 1h30m")]
    Syntax,
    #[error("a duration must be longer than zero")]
    NotPositive,
}

/// Parses a duration such as `10s`, `15m`, `1h30m` or `500ms`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(DurationError::NoUnit);
    }
    let duration: SignedDuration = text.parse().map_err(|_| DurationError::Syntax)?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(DurationError::NotPositive),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<u64, ByteSizeError> {
        text.parse::<ByteSize>().map(ByteSize::bytes)
    }

    #[test]
    fn sizes_are_read_in_decimal_and_binary_units() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("1024"), Ok(1024));
        assert_eq!(bytes("64MiB"), Ok(67_108_864));
        assert_eq!(bytes("8 MB"), Ok(8_000_000));
        assert_eq!(bytes("1.5GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("2g"), Ok(2_147_483_648));
        assert_eq!(bytes("0.3KiB"), Ok(307), "rounded down to a whole byte");
        assert_eq!(bytes("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn sizes_that_make_no_sense_are_refused() {
        assert_eq!(bytes(""), Err(ByteSizeError::NoNumber));
        assert_eq!(bytes("MiB"), Err(ByteSizeError::NoNumber));
        assert_eq!(bytes("-1"), Err(ByteSizeError::NoNumber));
        assert_eq!(bytes("1.2.3MB"), Err(ByteSizeError::NoNumber));
        assert_eq!(bytes("1.MB"), Err(ByteSizeError::NoNumber));
        assert_eq!(bytes("1 Mb s"), Err(ByteSizeError::UnknownUnit("Mb s".into())));
        assert_eq!(bytes("5EiB"), Err(ByteSizeError::UnknownUnit("EiB".into())));
        assert_eq!(bytes("18446744073709551616"), Err(ByteSizeError::Overflow));
        assert_eq!(bytes("99999999TiB"), Err(ByteSizeError::Overflow));
        assert_eq!(bytes(&"9".repeat(60)), Err(ByteSizeError::Overflow));
    }

    #[test]
    fn a_size_reads_back_as_it_was_written() {
        for size in [0, 1, 1023, 1024, 1025, 3 << 20, 5 << 30, 7 << 40, u64::MAX] {
            assert_eq!(bytes(&ByteSize(size).to_string()), Ok(size));
        }
        assert_eq!(ByteSize(3 << 20).to_string(), "3MiB");
    }

    #[test]
    fn durations_need_a_unit_and_are_longer_than_zero() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("10"), Err(DurationError::NoUnit));
        assert_eq!(parse_duration(""), Err(DurationError::Syntax));
        assert_eq!(parse_duration("soon"), Err(DurationError::Syntax));
        assert_eq!(parse_duration("0s"), Err(DurationError::NotPositive));
        assert_eq!(parse_duration("-5s"), Err(DurationError::NotPositive));
    }
}
