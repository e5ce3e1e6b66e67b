//! The load policies: for bad rows, duplicates, changed objects and the rows already in the table.

use strum::{EnumString, IntoStaticStr, VariantNames};

/// The policy for the rows that are already in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum Mode {
    /// They stay.
    Append,
    /// The table is emptied first, once for each job.
    Truncate,
    /// The objects are loaded into a shadow table, which replaces the target when all are loaded.
    Swap,
}

/// The policy for an object whose key was loaded before with another `ETag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum OnChanged {
    Error,
    /// Its rows are added, and the rows of the earlier content stay.
    Load,
    Skip,
}

/// The comparison of the whole table with the objects at the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum Verify {
    None,
    Checksum,
}

/// The policy for a bad row: a value does not fit its column, the row has too few or too many
/// fields, or a CHECK constraint, a foreign key, the partitions or a view refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum OnBadRow {
    /// A bad row rolls the object back.
    Fail,
    /// The row is written to the reject file, and the others are loaded.
    Reject,
    /// MySQL handles the row in its own way; the row is counted and reported.
    Accept,
}

/// The policy for a row whose unique key is already in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum OnDuplicate {
    /// Any such row rolls the object back.
    Error,
    Ignore,
    Replace,
    /// INSERT ... ON DUPLICATE KEY UPDATE.
    Update,
    /// The row is written to the reject file, and the others are loaded.
    Reject,
}

/// The limit on the rejected rows of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxRejects {
    Rows(u64),
    /// A share of the object's rows, in hundredths of a percent.
    BasisPoints(u64),
}

impl MaxRejects {
    /// Returns the number of rejects allowed for an object with this number of rows.
    #[must_use]
    pub fn of(self, rows: u64) -> u64 {
        match self {
            Self::Rows(limit) => limit,
            Self::BasisPoints(points) => {
                u64::try_from(u128::from(rows) * u128::from(points) / 10_000).unwrap_or(u64::MAX)
            }
        }
    }
}

impl std::str::FromStr for MaxRejects {
    type Err = &'static str;

    /// Parses `100`, `5%` or `0.25%`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "it must be a number of rows, or a share from 0% to 100% with at most two decimals";
        let text = text.trim();
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Rows).map_err(|_| EXPECTED);
        };
        let (whole, fraction) =
            percent.trim_end().split_once('.').unwrap_or((percent.trim_end(), "0"));
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > 2 {
            return Err(EXPECTED);
        }
        let hundredths: u64 = format!("{fraction:0<2}").parse().map_err(|_| EXPECTED)?;
        let points = whole
            .parse::<u64>()
            .ok()
            .and_then(|whole| whole.checked_mul(100)?.checked_add(hundredths));
        points.filter(|points| *points <= 10_000).map(Self::BasisPoints).ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_of_rows_or_a_share_of_them() {
        assert_eq!("100".parse(), Ok(MaxRejects::Rows(100)));
        assert_eq!("5%".parse(), Ok(MaxRejects::BasisPoints(500)));
        assert_eq!("0.25 %".parse(), Ok(MaxRejects::BasisPoints(25)));
        assert_eq!("0.5%".parse(), Ok(MaxRejects::BasisPoints(50)));
        assert_eq!("100%".parse(), Ok(MaxRejects::BasisPoints(10_000)));
        for text in [
            "",
            "%",
            "-1",
            "5.",
            "5.%",
            "1.234%",
            "101%",
            "100.01%",
            "x%",
            "+5%",
            "99999999999999999999%",
        ] {
            assert!(text.parse::<MaxRejects>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_rounded_down() {
        assert_eq!(MaxRejects::BasisPoints(500).of(199), 9);
        assert_eq!(MaxRejects::BasisPoints(500).of(10), 0);
        assert_eq!(MaxRejects::BasisPoints(10_000).of(u64::MAX), u64::MAX);
        assert_eq!(MaxRejects::Rows(3).of(1), 3);
    }
}
