//! DATETIME and TIMESTAMP columns.

use jiff::tz::TimeZone;

use super::calendar::{Clock, Date, loses_fraction};
use super::date::moment;
use super::date_format::DateFormat;
use super::server::Server;
use super::verdict::{BadKind, LossKind, Verdict};
use super::zone::{WallTime, utc_of_offset, utc_of_zone, zone_of_utc};

/// The rule of a DATETIME or TIMESTAMP column.
#[derive(Clone, Debug)]
pub(super) struct DateTimeRule {
    is_timestamp: bool,
    digits: usize,
    format: Option<DateFormat>,
    zone: TimeZone,
    is_utc: bool,
    server: Server,
}

/// The first and the last second of a TIMESTAMP, in UTC.
const FIRST: WallTime = (Date { year: 1970, month: 1, day: 1 }, 0, 0, 1);
const LAST: WallTime = (Date { year: 2038, month: 1, day: 19 }, 3, 14, 7);
/// The last second of a TIMESTAMP on MariaDB from 11.5 on.
const LAST_OF_32_BITS: WallTime = (Date { year: 2106, month: 2, day: 7 }, 6, 28, 15);

impl DateTimeRule {
    pub(super) fn new(
        is_timestamp: bool,
        digits: u8,
        format: Option<DateFormat>,
        zone: &TimeZone,
        server: Server,
    ) -> Self {
        let is_utc = *zone == TimeZone::UTC;
        Self { is_timestamp, digits: digits.into(), format, zone: zone.clone(), is_utc, server }
    }

    pub(super) fn has_format(&self) -> bool {
        self.format.is_some()
    }

    pub(super) fn check(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        let moment = match moment(text, self.format.as_ref()) {
            Ok(moment) => moment,
            Err(BadKind::NotADate) => return Verdict::Bad(BadKind::NotADateTime),
            Err(kind) => return Verdict::Bad(kind),
        };
        if moment.offset.is_some() && moment.clock.is_none() {
            return Verdict::Bad(BadKind::NotADateTime);
        }
        let clock = moment.clock.unwrap_or(Clock::MIDNIGHT);
        let written = (moment.date, clock.hour, clock.minute, clock.second);
        let stored = match self.stored(written, &clock, moment.offset) {
            Ok(stored) => stored,
            Err(kind) => return Verdict::Bad(kind),
        };
        let is_as_written =
            moment.is_plain && stored == written && clock.fraction.len() <= self.digits;
        if self.is_timestamp && !(FIRST..=LAST).contains(&stored) {
            return self.beyond(stored, &clock, is_as_written);
        }
        if is_as_written {
            return Verdict::Exact;
        }
        let (date, hour, minute, second) = stored;
        date.write(out);
        out.push(b' ');
        Clock { hour, minute, second, fraction: clock.fraction }.write(self.digits, out);
        if loses_fraction(clock.fraction, self.digits) {
            Verdict::Loss(LossKind::Fraction)
        } else {
            Verdict::ExactAs
        }
    }

    /// Returns the wall clock that the server must get: that of the zone for a DATETIME, and that
    /// of UTC for a TIMESTAMP.
    fn stored(
        &self,
        written: WallTime,
        clock: &Clock<'_>,
        offset: Option<i16>,
    ) -> Result<WallTime, BadKind> {
        let utc = match offset {
            Some(offset) => utc_of_offset(written.0, clock, offset).ok_or(BadKind::OutOfRange)?,
            None if self.is_timestamp && !self.is_utc => {
                return utc_of_zone(written.0, clock, &self.zone);
            }
            None => return Ok(written),
        };
        if self.is_timestamp || self.is_utc {
            return Ok(utc);
        }
        zone_of_utc(utc, &self.zone).ok_or(BadKind::OutOfRange)
    }

    /// Returns the verdict on a time outside the years that all servers have in a TIMESTAMP. What
    /// only some versions of MariaDB have is left to the server, which warns, but only if it can
    /// get the text as it is written.
    fn beyond(&self, stored: WallTime, clock: &Clock<'_>, is_as_written: bool) -> Verdict {
        let is_before = stored < FIRST && (FIRST.0, 0, 0, 0) != stored;
        let is_zero = stored < FIRST && clock.fraction.iter().all(|&digit| digit == b'0');
        let is_known = is_before || is_zero || stored > LAST_OF_32_BITS;
        if self.server == Server::MySql || is_known || !is_as_written {
            Verdict::Bad(BadKind::OutOfRange)
        } else {
            Verdict::ServerDecides
        }
    }
}
