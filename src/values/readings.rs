//! The options that say how texts are to be read.

use jiff::tz::{Offset, TimeZone};
use thiserror::Error;

use super::calendar::offset;
use super::date_format::DateFormat;
use crate::choices::BinaryReading;
use crate::sql_text::same_name;

/// The readings of a load.
#[derive(Clone, Debug)]
pub struct Readings {
    /// The zone of times without an offset, and of DATETIME columns.
    pub time_zone: TimeZone,
    /// True if a comma separates the decimals of numbers, and a point or a blank their groups.
    pub decimal_comma: bool,
    /// True if an empty field means NULL in every column but text ones.
    pub empty_as_null: bool,
    pub binary: BinaryReading,
    /// True if a number must come back from its column as it is written, because the type of the
    /// column is a guess: 007 may be a name.
    pub keeps_forms: bool,
    /// The columns whose dates have another form.
    pub date_formats: Vec<(String, DateFormat)>,
}

/// A text that is no time zone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no time zone; use a name such as Europe/Rome, an offset such as +02:00, or UTC")]
pub struct TimeZoneError(String);

impl Default for Readings {
    fn default() -> Self {
        Self {
            time_zone: TimeZone::UTC,
            decimal_comma: false,
            empty_as_null: false,
            binary: BinaryReading::Auto,
            keeps_forms: false,
            date_formats: Vec::new(),
        }
    }
}

impl Readings {
    /// Returns the time zone that a text names: `UTC`, an offset, or a name of the IANA database.
    ///
    /// # Errors
    ///
    /// A name that the database lacks is refused.
    pub fn time_zone_named(text: &str) -> Result<TimeZone, TimeZoneError> {
        if let Some(minutes) = offset(text.as_bytes()) {
            let offset = Offset::from_seconds(i32::from(minutes) * 60).ok();
            // An offset of zero must equal UTC.
            return match offset {
                Some(Offset::UTC) => Ok(TimeZone::UTC),
                Some(offset) => Ok(TimeZone::fixed(offset)),
                None => Err(TimeZoneError(text.to_owned())),
            };
        }
        TimeZone::get(text).map_err(|_| TimeZoneError(text.to_owned()))
    }

    /// Returns the settings that are not the defaults, each as a text of its own.
    #[must_use]
    pub fn canonical(&self) -> Vec<String> {
        let Self {
            time_zone: _,
            decimal_comma,
            empty_as_null,
            binary,
            // Only the first run has it.
            keeps_forms: _,
            date_formats,
        } = self;
        let mut texts = Vec::new();
        if self.time_zone != TimeZone::UTC {
            texts.push(format!("time-zone {}", self.time_zone_name()));
        }
        let switches = [("decimal-comma", *decimal_comma), ("empty-as-null", *empty_as_null)];
        texts.extend(
            switches.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| (*name).to_owned()),
        );
        if *binary != BinaryReading::Auto {
            texts.push(format!("binary {binary}"));
        }
        let formats = date_formats.iter();
        texts.extend(formats.map(|(column, format)| format!("{column}={}", format.text())));
        texts
    }

    /// Returns the name or the offset of the time zone.
    #[must_use]
    pub fn time_zone_name(&self) -> String {
        let zone = &self.time_zone;
        let offset = || zone.to_fixed_offset().map_or_else(|_| "?".to_owned(), |it| it.to_string());
        zone.iana_name().map_or_else(offset, str::to_owned)
    }

    /// Returns the format of this column's dates, if it has one.
    pub(super) fn date_format(&self, column: &str) -> Option<&DateFormat> {
        let is_same = |item: &&(String, DateFormat)| same_name(&item.0, column);
        self.date_formats.iter().find(is_same).map(|(_, format)| format)
    }
}
