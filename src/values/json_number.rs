//! The numbers in JSON that MySQL keeps. It has integers of 64 bits, and DOUBLE for all others.

use super::number::Number;

/// The part of a number that MySQL keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Whole,
    /// The server shows other digits than the text has.
    InPart,
    TooLarge,
}

/// Every number with this many digits is the only one of them that is nearest to its DOUBLE.
const SAFE_DIGITS: usize = 15;
const SAFE_POINT: i64 = 290;
/// The highest power of ten that a DOUBLE has.
const MAX_POWER: i64 = 308;

/// Returns what MySQL keeps of a number in the notation of JSON.
pub(super) fn kept(text: &[u8]) -> Kept {
    let Some(number) = Number::read(text) else { return Kept::InPart };
    let significant = number.significant();
    // The server looks at the power alone, even that of a zero.
    if significant.is_zero() && number.last_power() > MAX_POWER {
        return Kept::TooLarge;
    }
    let is_safe = significant.digits <= SAFE_DIGITS && significant.point.abs() < SAFE_POINT;
    if significant.is_zero() || is_safe {
        return Kept::Whole;
    }
    let Ok(written) = std::str::from_utf8(text) else { return Kept::InPart };
    if written.parse::<i64>().is_ok() || written.parse::<u64>().is_ok() {
        return Kept::Whole;
    }
    let Ok(value) = written.parse::<f64>() else { return Kept::InPart };
    if value.is_infinite() {
        return Kept::TooLarge;
    }
    // The shortest digits that lead back to the DOUBLE, which is what the server shows.
    let shortest = format!("{value:e}");
    let read_back = Number::read(shortest.as_bytes()).map(Number::significant);
    let shows_it = read_back.is_some_and(|shown| {
        shown.digits == significant.digits
            && shown.point == significant.point
            && (0..).take(shown.digits).all(|at| shown.digit(at) == significant.digit(at))
    });
    if shows_it { Kept::Whole } else { Kept::InPart }
}
