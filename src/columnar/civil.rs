//! Dates and times of day as texts.

/// The number of nanoseconds of a second.
pub(super) const NANOS: i64 = 1_000_000_000;
/// The number of nanoseconds of a day.
pub(super) const DAY_NANOS: i64 = 86_400 * NANOS;
/// The day of 1582-10-15, the first of the Gregorian calendar, counted from 1970-01-01.
const FIRST_GREGORIAN_DAY: i64 = -141_427;
/// The day of 1900-01-01. Before it, the clocks of most zones differed from UTC by odd numbers of
/// seconds.
const FIRST_PLAIN_DAY: i64 = -25_567;

/// The calendar by which a file counts days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Calendar {
    /// True if days before 1582-10-15 are those of the Julian calendar.
    pub(super) is_hybrid: bool,
    /// The zone of the program that wrote instants, if that makes those before 1900 unclear.
    pub(super) unclear_zone: Option<String>,
}

/// A date of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
}

impl Calendar {
    /// Writes the date of a day, counted from 1970-01-01.
    pub(super) fn push_day(&self, day: i64, out: &mut Vec<u8>) {
        let is_julian = self.is_hybrid && day < FIRST_GREGORIAN_DAY;
        let Civil { year, month, day } = if is_julian { julian(day) } else { gregorian(day) };
        match year {
            0..=9999 => push_digits(year, 4, out),
            10_000.. => {
                out.push(b'+');
                push_digits(year, 5, out);
            }
            _ => {
                out.push(b'-');
                push_digits(-year, 4, out);
            }
        }
        for part in [month, day] {
            out.push(b'-');
            push_digits(part, 2, out);
        }
    }

    /// Writes a date and a time of day.
    pub(super) fn push_clock(&self, day: i64, nanos: i64, out: &mut Vec<u8>) -> Result<(), String> {
        if let Some(zone) = self.unclear_zone.as_ref().filter(|_| day < FIRST_PLAIN_DAY) {
            return Err(format!(
                "a time before 1900 that an old version of Spark wrote in the time zone {zone}, \
                 which cannot be read for certain"
            ));
        }
        self.push_day(day, out);
        out.push(b' ');
        push_time_of_day(nanos, out);
        Ok(())
    }
}

/// Writes a time of day, with as many digits after the second as it needs.
pub(super) fn push_time_of_day(nanos: i64, out: &mut Vec<u8>) {
    let seconds = nanos / NANOS;
    push_digits(seconds / 3600, 2, out);
    for part in [seconds / 60 % 60, seconds % 60] {
        out.push(b':');
        push_digits(part, 2, out);
    }
    let fraction = nanos % NANOS;
    if fraction != 0 {
        out.push(b'.');
        push_digits(fraction, 9, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Writes a number that is not negative with at least `width` digits.
fn push_digits(number: i64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    let mut rest = number;
    while rest > 0 || digits.len() - start < width {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    out.extend_from_slice(&digits[start..]);
}

/// Returns the date of a day in the Gregorian calendar, also before it was made.
fn gregorian(day: i64) -> Civil {
    // Years begin in March, so that leap days are at their end. An era has 400 years.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    from_march(year + era * 400, of_year)
}

/// Returns the date of a day in the Julian calendar.
fn julian(day: i64) -> Civil {
    let day = day + 719_470;
    let era = day.div_euclid(1461);
    let of_era = day.rem_euclid(1461);
    let year = (of_era - of_era / 1460) / 365;
    from_march(year + era * 4, of_era - 365 * year)
}

fn from_march(year: i64, day_of_year: i64) -> Civil {
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    Civil { year: year + i64::from(month <= 2), month, day }
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;

    use super::*;

    fn shown(calendar: &Calendar, day: i64) -> String {
        let mut out = Vec::new();
        calendar.push_day(day, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn days_are_those_of_another_calendar_library() {
        let calendar = Calendar::default();
        let epoch = Date::constant(1970, 1, 1);
        for step in 0..24_000 {
            let day = step * 152 - 719_528;
            let Ok(date) = epoch.checked_add(jiff::Span::new().days(day)) else { break };
            assert_eq!(shown(&calendar, day), date.to_string());
        }
        assert_eq!(shown(&calendar, 2_932_896), "9999-12-31");
        assert_eq!(shown(&calendar, 2_932_897), "+10000-01-01");
        assert_eq!(shown(&calendar, -719_529), "-0001-12-31");
        assert_eq!(shown(&calendar, i64::from(i32::MAX)), "+5881580-07-11");
    }

    #[test]
    fn days_before_the_gregorian_calendar_are_those_that_spark_meant() {
        let calendar = Calendar { is_hybrid: true, unclear_zone: None };
        assert_eq!(shown(&calendar, -141_427), "1582-10-15");
        assert_eq!(shown(&calendar, -141_428), "1582-10-04");
        // The first day of the year 1, which a reader without rebasing shows as 0000-12-30.
        assert_eq!(shown(&calendar, -719_164), "0001-01-01");
        assert_eq!(shown(&Calendar::default(), -719_164), "0000-12-30");
        assert_eq!(shown(&calendar, -354_221), "1000-02-29");
        assert_eq!(shown(&calendar, 0), "1970-01-01");
    }

    #[test]
    fn times_of_day_have_the_digits_that_they_need() {
        let shown = |nanos| {
            let mut out = Vec::new();
            push_time_of_day(nanos, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(0), "00:00:00");
        assert_eq!(shown(DAY_NANOS - 1), "23:59:59.999999999");
        assert_eq!(shown(NANOS * 3661 + 250_000_000), "01:01:01.25");
    }

    #[test]
    fn an_instant_before_1900_is_refused_if_its_writer_was_elsewhere() {
        let zone = Some("Europe/Rome".to_owned());
        let calendar = Calendar { is_hybrid: true, unclear_zone: zone };
        assert!(calendar.push_clock(-25_568, 0, &mut Vec::new()).is_err());
        assert!(calendar.push_clock(-25_567, 0, &mut Vec::new()).is_ok());
    }
}
