//! Holds the sums over the rows of one or more objects.

/// The number that NULL adds to a column's sum. No CRC-32 is this large.
pub(super) const NULL_VALUE: u64 = 1 << 32;

/// The number of leading bits of a hash that are summed: 15 hexadecimal digits, as on the server.
pub(super) const HASH_BITS: u32 = 60;

/// The version of the stored format. The first one did not count missing values by themselves.
const VERSION: u8 = 2;

/// Sums that do not depend on the order of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The fingerprint of the plan.
    fingerprint: [u8; 8],
    pub(super) rows: u64,
    /// The sum over whole rows, without rows that have a value that cannot be compared.
    pub(super) row_sum: u128,
    pub(super) columns: Vec<ColumnSum>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ColumnSum {
    /// The number of values that cannot be compared. They are not in the sum.
    pub(super) odd_values: u64,
    /// The number of them that objects do not have, so that the server stored a default.
    pub(super) missing_values: u64,
    pub(super) sum: u64,
}

impl Digest {
    pub(super) fn new(columns: usize, fingerprint: [u8; 8]) -> Self {
        Self { fingerprint, rows: 0, row_sum: 0, columns: vec![ColumnSum::default(); columns] }
    }

    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the sum over whole rows. It is meaningless if a column has odd values.
    #[must_use]
    pub fn row_sum(&self) -> u128 {
        self.row_sum
    }

    pub(super) fn column_sum(&self, column: usize) -> u64 {
        self.columns.get(column).map_or(0, |column| column.sum)
    }

    pub(super) fn odd_values(&self, column: usize) -> u64 {
        self.columns.get(column).map_or(0, |column| column.odd_values)
    }

    pub(super) fn missing_values(&self, column: usize) -> u64 {
        self.columns.get(column).map_or(0, |column| column.missing_values)
    }

    /// Adds the rows of another digest. Returns false and adds nothing if the digest belongs to
    /// another plan.
    #[must_use]
    pub fn add(&mut self, other: &Self) -> bool {
        if self.fingerprint != other.fingerprint || self.columns.len() != other.columns.len() {
            return false;
        }
        self.rows = self.rows.wrapping_add(other.rows);
        self.row_sum = self.row_sum.wrapping_add(other.row_sum);
        for (column, more) in self.columns.iter_mut().zip(&other.columns) {
            column.odd_values = column.odd_values.wrapping_add(more.odd_values);
            column.missing_values = column.missing_values.wrapping_add(more.missing_values);
            column.sum = column.sum.wrapping_add(more.sum);
        }
        true
    }

    /// Returns the form that the ledger stores. It has the same length for all digests of a plan.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.fingerprint);
        bytes.extend_from_slice(&self.rows.to_be_bytes());
        bytes.extend_from_slice(&self.row_sum.to_be_bytes());
        for column in &self.columns {
            bytes.extend_from_slice(&column.odd_values.to_be_bytes());
            bytes.extend_from_slice(&column.missing_values.to_be_bytes());
            bytes.extend_from_slice(&column.sum.to_be_bytes());
        }
        bytes
    }

    /// Reads that form. Returns `None` for any other bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, bytes) = bytes.split_first()?;
        let (fingerprint, bytes) = bytes.split_first_chunk::<8>()?;
        let (rows, bytes) = bytes.split_first_chunk::<8>()?;
        let (row_sum, bytes) = bytes.split_first_chunk::<16>()?;
        let (numbers, rest) = bytes.as_chunks::<8>();
        let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
        let per_column = if *version == 1 { 2 } else { 3 };
        let is_whole = rest.is_empty() && numbers.len().is_multiple_of(per_column);
        if !(1..=VERSION).contains(version) || !is_whole {
            return None;
        }
        let column = |numbers: &[u64]| match *numbers {
            [odd_values, missing_values, sum] => {
                Some(ColumnSum { odd_values, missing_values, sum })
            }
            [odd_values, sum] => Some(ColumnSum { odd_values, missing_values: 0, sum }),
            _ => None,
        };
        Some(Self {
            fingerprint: *fingerprint,
            rows: u64::from_be_bytes(*rows),
            row_sum: u128::from_be_bytes(*row_sum),
            columns: numbers.chunks(per_column).map(column).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::choices::BinaryReading;
    use crate::mysql::ColumnSchema;
    use std::sync::Arc;

    use super::super::compare_plan::ComparePlan;
    use super::super::row_digest::RowDigest;
    use super::*;
    use crate::dialect::{Charset, ColumnOrVariable, FormatConfig, NameConfig, Preset};
    use crate::split::CutRow;

    fn plan() -> Arc<ComparePlan> {
        let column = |name: &str, data_type: &str, is_nullable| ColumnSchema {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            is_nullable,
            ..ColumnSchema::default()
        };
        let facts = [
            column("a", "int", false),
            column("b", "varbinary", true),
            column("c", "double", true),
        ];
        let items: Vec<ColumnOrVariable> =
            ["a", "b", "c"].map(|name| ColumnOrVariable::Column(name.to_owned())).to_vec();
        let format = FormatConfig {
            dialect: Preset::Mysql.dialect(),
            json: None,
            parquet: None,
            charset: Charset::default(),
            ignore_lines: 0,
            columns: None,
            set: Vec::new(),
            null_strings: vec!["nil".to_owned()],
            readings: Vec::new(),
            names: NameConfig::default(),
        };
        Arc::new(ComparePlan::new(&facts, &items, &format, BinaryReading::Auto, "UTC"))
    }

    fn of(rows: &[&str]) -> Digest {
        let mut digest = RowDigest::new(plan());
        for row in rows {
            digest.add_row(&CutRow::whole(row.as_bytes()));
        }
        digest.into_digest()
    }

    #[test]
    fn rows_in_any_order_and_in_parts_have_one_sum_and_what_is_taken_off_was_never_there() {
        let whole = of(&["1\tx\t2", "2\t\\N\t3", "1e3\ty\t"]);
        let mut parts = of(&["1e3\ty\t", "1\tx\t2"]);
        assert!(parts.add(&of(&["2\t\\N\t3"])));
        assert_eq!(parts, whole);
        let mut more = RowDigest::with(plan(), whole.clone());
        for row in ["7\tz\t", "7\t\\N\t", "7x\tz\t"] {
            more.add_row(&CutRow::whole(row.as_bytes()));
        }
        for row in ["7x\tz\t", "7\tz\t", "7\t\\N\t"] {
            more.subtract_row(row.as_bytes());
        }
        assert_eq!(more.into_digest(), whole);
    }

    #[test]
    fn every_difference_that_can_be_compared_makes_another_sum() {
        let base = of(&["1\tx\t2", "2\ty\t3"]);
        for other in [
            &["1\tx\t2"][..],
            &["1\tx\t2", "2\ty\t3", "2\ty\t3"],
            &["1\ty\t2", "2\tx\t3"],
            &["1\tx\t2", "2\t\\N\t3"],
            &["1\tx\t2", "2\tN\t3"],
            &["1\tx,\t2", "2\ty\t3"],
        ] {
            assert_ne!(of(other).row_sum(), base.row_sum(), "{other:?}");
        }
        // Doubles are not compared, and these are the same numbers and the same NULL.
        assert_eq!(of(&["+01\tx\t7", "2\ty\t7"]).row_sum(), base.row_sum());
        assert_eq!(of(&["1\t\\N\t"]).row_sum(), of(&["1\tnil\t"]).row_sum());
    }

    #[test]
    fn a_value_that_can_t_be_compared_takes_its_column_out_and_leaves_the_others() {
        let plan = plan();
        let odd = of(&["1e3\tx\t2", "2\ty\t3", "\\N\tz\t"]);
        assert!(!plan.compares_whole_rows(&odd));
        let verified = plan.verified(&odd);
        assert_eq!((verified.columns, verified.rows), (vec!["b".to_owned()], 3));
        let reasons: Vec<String> = verified
            .unverified
            .iter()
            .map(|not| format!("{}: {}", not.column, not.reason))
            .collect();
        assert_eq!(
            reasons,
            [
                "c: double values are not kept as they are written",
                "a: 2 of its values are not written the way the server prints them"
            ]
        );
        let sums = [0, of(&["1\tx\t", "1\ty\t", "1\tz\t"]).column_sum(1)];
        assert!(plan.differing(&odd, &sums).is_empty());
        assert_eq!(plan.differing(&odd, &[0, sums[1] + 1]), ["b"]);
    }

    #[test]
    fn a_digest_comes_back_from_its_bytes_and_others_do_not_pass_for_one() {
        let digest = of(&["1\tx\t2", "1e3\ty\t3"]);
        let bytes = digest.to_bytes();
        assert_eq!(Digest::from_bytes(&bytes), Some(digest.clone()));
        assert_eq!(Digest::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Digest::from_bytes(&[&[9], &bytes[1..]].concat()), None);
        assert_eq!(Digest::from_bytes(b""), None);
        // The first version had no count of missing values, which is 0 here.
        let (head, numbers) = bytes[1..].split_at(32);
        let older = numbers.chunks(24).flat_map(|column| [&column[..8], &column[16..]].concat());
        let older = [&[1], head, &older.collect::<Vec<u8>>()].concat();
        assert_eq!(Digest::from_bytes(&older), Some(digest.clone()));
        let mut foreign = digest.clone();
        foreign.fingerprint = [0; 8];
        assert!(!foreign.add(&digest));
    }
}
