//! Instants, and the wall clocks that show them.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::calendar::{Clock, Date};
use super::verdict::BadKind;

/// A date and a time of day without its fraction, which no conversion changes.
pub(super) type WallTime = (Date, u8, u8, u8);

/// Returns the time in UTC of a wall clock that is this many minutes east of UTC.
pub(super) fn utc_of_offset(date: Date, clock: &Clock<'_>, minutes: i16) -> Option<WallTime> {
    if minutes == 0 {
        return Some((date, clock.hour, clock.minute, clock.second));
    }
    let offset = SignedDuration::from_mins(minutes.into());
    wall_time(civil(date, clock)?.checked_sub(offset).ok()?)
}

/// Returns the time in UTC at which the wall clock of a zone shows this.
pub(super) fn utc_of_zone(
    date: Date,
    clock: &Clock<'_>,
    zone: &TimeZone,
) -> Result<WallTime, BadKind> {
    let local = civil(date, clock).ok_or(BadKind::OutOfRange)?;
    let offset = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { .. } => return Err(BadKind::SkippedByZone),
        AmbiguousOffset::Fold { .. } => return Err(BadKind::TwiceInZone),
    };
    let utc = local.checked_sub(SignedDuration::from_secs(offset.seconds().into())).ok();
    utc.and_then(wall_time).ok_or(BadKind::OutOfRange)
}

/// Returns what the wall clock of a zone shows at a time in UTC.
pub(super) fn zone_of_utc(utc: WallTime, zone: &TimeZone) -> Option<WallTime> {
    let (date, hour, minute, second) = utc;
    let civil = civil(date, &Clock { hour, minute, second, fraction: b"" })?;
    wall_time(zone.to_datetime(TimeZone::UTC.to_timestamp(civil).ok()?))
}

/// Returns the time in UTC, this many seconds after 1970 began.
pub(super) fn utc_of_seconds(seconds: i64) -> Option<WallTime> {
    wall_time(TimeZone::UTC.to_datetime(Timestamp::from_second(seconds).ok()?))
}

fn civil(date: Date, clock: &Clock<'_>) -> Option<DateTime> {
    let year = i16::try_from(date.year).ok()?;
    let narrow = |value: u8| i8::try_from(value).ok();
    let (month, day) = (narrow(date.month)?, narrow(date.day)?);
    let (hour, minute, second) =
        (narrow(clock.hour)?, narrow(clock.minute)?, narrow(clock.second)?);
    DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

fn wall_time(civil: DateTime) -> Option<WallTime> {
    let narrow = |value: i8| u8::try_from(value).ok();
    let year = u16::try_from(civil.year()).ok().filter(|year| *year <= 9999)?;
    let date = Date::new(year, narrow(civil.month())?, narrow(civil.day())?)?;
    Some((date, narrow(civil.hour())?, narrow(civil.minute())?, narrow(civil.second())?))
}
