//! The options that say how texts are to be read.

use jiff::tz::{Offset, TimeZone};
use thiserror::Error;

use super::calendar::offset;
use super::date_format::DateFormat;
use crate::sql_text::same_name;

/// How fields of binary columns are written.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case", ascii_case_insensitive)]
pub enum BinaryReading {
    /// The bytes themselves.
    #[default]
    Raw,
    /// Pairs of hexadecimal digits, perhaps after `0x` or `\x`.
    Hex,
    Base64,
}

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
            binary: BinaryReading::Raw,
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

    /// Returns the format of this column's dates, if it has one.
    pub(super) fn date_format(&self, column: &str) -> Option<&DateFormat> {
        let is_same = |item: &&(String, DateFormat)| same_name(&item.0, column);
        self.date_formats.iter().find(is_same).map(|(_, format)| format)
    }
}
