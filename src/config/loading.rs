//! How rows go in, and what becomes of those that don't.

use strum::{EnumString, VariantNames};

use super::rejects::RejectsTo;
use super::resolve::count;
use super::{Mode, Verify};
use crate::settings::{Resolver, table as s};

/// How rows go in.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    pub mode: Mode,
    /// Keep the table that a swap replaced.
    pub swap_keep_old: bool,
    /// Connections that load at once, at most: how many is found out.
    pub load_concurrency: usize,
    /// Secondary indexes are added at the end of the job.
    pub defer_indexes: bool,
    pub on_bad_row: OnBadRow,
    pub on_duplicate: OnDuplicate,
    /// What `OnDuplicate::Update` sets; `None`: every loaded column that is in no unique key.
    pub update_columns: Option<Vec<String>>,
    /// A Note of the server's is about a bad row, as a Warning is.
    pub notes_as_bad: bool,
    /// Bad rows that an error shows.
    pub show_bad_rows: usize,
    /// Where rejected rows are written; set wherever rows may be rejected.
    pub rejects: Option<RejectsTo>,
    /// Of one object.
    pub max_rejects: Option<MaxRejects>,
    /// Of the run.
    pub max_rejects_total: Option<u64>,
    pub verify: Verify,
}

impl LoadConfig {
    /// Whether rows may be held back and written to a reject file.
    #[must_use]
    pub fn may_reject(&self) -> bool {
        self.on_bad_row == OnBadRow::Reject || self.on_duplicate == OnDuplicate::Reject
    }
}

/// What becomes of a row that is not as the table wants it: a value that does not fit its column,
/// too few or too many fields, or one that CHECK, a foreign key, the partitions or a view refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum OnBadRow {
    /// It rolls the object back.
    Fail,
    /// It is written to the reject file, and the others are loaded.
    Reject,
    /// MySQL's own behaviour, counted and reported.
    Accept,
}

/// What a row whose unique key is already there does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum OnDuplicate {
    /// Any such row rolls the object back.
    Error,
    Ignore,
    Replace,
    /// INSERT ... ON DUPLICATE KEY UPDATE.
    Update,
    /// It is written to the reject file, and the others are loaded.
    Reject,
}

/// How many rows of an object may be rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxRejects {
    Rows(u64),
    /// In hundredths of a percent of the object's rows.
    BasisPoints(u64),
}

impl MaxRejects {
    /// The number of rejects that an object of so many rows may have.
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

    /// `100`, `5%` or `0.25%`.
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

pub(super) fn resolve(resolver: &mut Resolver) -> LoadConfig {
    LoadConfig {
        mode: resolver.choice(&s::MODE).unwrap_or(Mode::Append),
        swap_keep_old: resolver.switch(&s::SWAP_KEEP_OLD),
        load_concurrency: count(resolver.integer(&s::LOAD_CONCURRENCY)),
        defer_indexes: resolver.switch(&s::DEFER_INDEXES),
        on_bad_row: resolver.choice(&s::ON_BAD_ROW).unwrap_or(OnBadRow::Fail),
        on_duplicate: resolver.choice(&s::ON_DUPLICATE).unwrap_or(OnDuplicate::Error),
        update_columns: resolver.optional(&s::UPDATE_COLUMNS, column_names),
        notes_as_bad: resolver.switch(&s::NOTES_AS_BAD),
        show_bad_rows: count(resolver.integer(&s::SHOW_BAD_ROWS)),
        rejects: resolver.optional(&s::REJECTS, RejectsTo::parse),
        max_rejects: resolver.optional(&s::MAX_REJECTS, str::parse),
        max_rejects_total: resolver.optional(&s::MAX_REJECTS_TOTAL, |text| {
            text.trim().parse().map_err(|_| "it must be a whole number of rows")
        }),
        verify: resolver.choice(&s::VERIFY).unwrap_or(Verify::None),
    }
}

/// `a,b`, with backticks around odd names, as `--columns` has it.
fn column_names(text: &str) -> Result<Vec<String>, String> {
    super::format::columns(text)
        .map_err(|error| error.to_string())?
        .into_iter()
        .map(|item| match item {
            super::ColumnOrVariable::Column(name) => Ok(name),
            super::ColumnOrVariable::Variable(name) => Err(format!("@{name} is no column")),
        })
        .collect()
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
