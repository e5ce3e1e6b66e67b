//! The plan for the comparison of a table with its objects.

use sha2::{Digest as _, Sha256};

use super::column::{Encoding, Unverified};
use super::digest::Digest;
use super::{column, digest};
use crate::choices::BinaryReading;
use crate::dialect::{ColumnOrVariable, Dialect, FormatConfig};
use crate::mysql::ColumnSchema;
use crate::split::FieldReader;
use crate::sql_text::{TableName, quote_identifier, same_name};

/// The plan for the comparison of one table.
#[derive(Debug)]
pub struct ComparePlan {
    pub(crate) columns: Vec<Compared>,
    pub(crate) unverified: Vec<Unverified>,
    pub(crate) reader: FieldReader,
    /// The words that mean NULL.
    pub(crate) null_strings: Vec<Vec<u8>>,
    /// A hash of everything that a digest depends on, so that digests of two plans are never added.
    pub(crate) fingerprint: [u8; 8],
}

impl ComparePlan {
    /// Plans the comparison of a table with the columns `schema` that is loaded through the column
    /// list `items`. `binary` is how the fields of binary data are written. `time_zone` is the time
    /// zone in which the sessions read and show TIMESTAMPs.
    #[must_use]
    pub fn new(
        schema: &[ColumnSchema],
        items: &[ColumnOrVariable],
        format: &FormatConfig,
        binary: BinaryReading,
        time_zone: &str,
    ) -> Self {
        let mut columns = Vec::new();
        let mut unverified = Vec::new();
        for column in schema {
            let is_it = |name: &str| same_name(&column.name, name);
            let places: Vec<usize> = (0..items.len())
                .filter(
                    |&place| matches!(&items[place], ColumnOrVariable::Column(name) if is_it(name)),
                )
                .collect();
            let encoding = if format.set.iter().any(|(name, _)| is_it(name)) {
                Err("--set fills it".to_owned())
            } else {
                match places.as_slice() {
                    [] if column.is_generated => Err(column::IS_GENERATED.to_owned()),
                    [] => Err("no field of the objects goes into it".to_owned()),
                    [place] => column::encoding(column, &format.charset, binary)
                        .map(|encoding| (*place, encoding)),
                    _ => Err("it is in the column list more than once".to_owned()),
                }
            };
            match encoding {
                Ok((item, encoding)) => {
                    let is_converted = column::is_converted(column, &format.charset);
                    let (name, is_nullable) = (column.name.clone(), column.is_nullable);
                    columns.push(Compared { name, item, is_nullable, encoding, is_converted });
                }
                Err(reason) => unverified.push(Unverified { column: column.name.clone(), reason }),
            }
        }
        let mut hash = Sha256::new();
        for Compared { name, is_nullable, encoding, .. } in &columns {
            let of_time_zone =
                if column::depends_on_time_zone(schema, name) { time_zone } else { "" };
            hash.update(format!("{name:?} {is_nullable} {encoding:?} {of_time_zone:?}\n"));
        }
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&hash.finalize()[..8]);
        Self {
            columns,
            unverified,
            reader: FieldReader::new(&format.dialect, items.len()),
            null_strings: format.null_strings.iter().map(|word| word.as_bytes().to_vec()).collect(),
            fingerprint,
        }
    }

    /// Returns the same plan for objects whose fields are read into `items`. A column that is not
    /// among them drops out of the comparison if such an object has a row.
    #[must_use]
    pub fn for_items(&self, items: &[ColumnOrVariable], dialect: &Dialect) -> Self {
        let place = |name: &str| {
            let is_it = |item: &ColumnOrVariable| match item {
                ColumnOrVariable::Column(column) => same_name(column, name),
                ColumnOrVariable::Variable(_) => false,
            };
            items.iter().position(is_it).unwrap_or(usize::MAX)
        };
        let columns = self.columns.iter();
        Self {
            columns: columns.map(|it| Compared { item: place(&it.name), ..it.clone() }).collect(),
            unverified: self.unverified.clone(),
            reader: FieldReader::new(dialect, items.len()),
            null_strings: self.null_strings.clone(),
            fingerprint: self.fingerprint,
        }
    }

    /// Returns true if only the number of rows can be compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Returns the columns of the table that are not compared, whatever the objects contain.
    #[must_use]
    pub fn unverified(&self) -> &[Unverified] {
        &self.unverified
    }

    /// Returns the digest of no rows.
    #[must_use]
    pub fn no_rows(&self) -> Digest {
        Digest::new(self.columns.len(), self.fingerprint)
    }

    /// Returns the query for the number of rows and for the text of a number that [`Self::row_sum`]
    /// reads.
    #[must_use]
    pub fn row_sum_sql(&self, table: &TableName) -> String {
        let texts: Vec<String> = self.columns.iter().map(Compared::row_text_sql).collect();
        let unreadable = 1_u128 << UNREADABLE_ROW_BIT;
        format!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(COALESCE(\
             CAST(CONV(LEFT(SHA2(CONCAT_WS(',', {}), 256), 15), 16, 10) AS UNSIGNED), \
             {unreadable})), 0) AS CHAR) FROM {table}",
            texts.join(", ")
        )
    }

    /// Reads the number that [`Self::row_sum_sql`] selects. Returns `None` for any other text.
    #[must_use]
    pub fn row_sum(text: &str) -> Option<RowSum> {
        let number: u128 = text.parse().ok()?;
        let unreadable_rows = u64::try_from(number >> UNREADABLE_ROW_BIT).ok()?;
        Some(RowSum { sum: number & ((1 << UNREADABLE_ROW_BIT) - 1), unreadable_rows })
    }

    /// Returns the query for the number of rows and for the sum of each compared column, in one
    /// row. Each sum is the text of a number that [`Self::column_sum`] reads.
    #[must_use]
    pub fn column_sums_sql(&self, table: &TableName) -> String {
        let sums: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                format!(
                    "CAST(COALESCE(SUM(COALESCE(CRC32({}), {})), 0) AS CHAR)",
                    column.value_sql(),
                    digest::NULL_VALUE
                )
            })
            .collect();
        format!("SELECT COUNT(*), {} FROM {table}", sums.join(", "))
    }

    /// Reads a column's sum, and drops the bits beyond 64, as [`Digest`] does.
    #[must_use]
    pub fn column_sum(text: &str) -> Option<u64> {
        let number: u128 = text.parse().ok()?;
        u64::try_from(number & u128::from(u64::MAX)).ok()
    }

    /// Returns true if every value of the objects can be compared.
    #[must_use]
    pub fn compares_whole_rows(&self, objects: &Digest) -> bool {
        (0..self.columns.len()).all(|column| objects.odd_values(column) == 0)
    }

    /// Returns the compared columns whose sum in the table differs from that of the objects. `sums`
    /// holds the table's sums in the order of the columns. Columns that dropped out are not
    /// included.
    #[must_use]
    pub fn differing(&self, objects: &Digest, sums: &[u64]) -> Vec<&str> {
        let columns = self.columns.iter().enumerate().zip(sums);
        columns
            .filter(|((at, _), sum)| {
                objects.odd_values(*at) == 0 && objects.column_sum(*at) != **sum
            })
            .map(|((_, column), _)| column.name.as_str())
            .collect()
    }

    /// Returns what was compared, for a comparison that found no difference.
    #[must_use]
    pub fn verified(&self, objects: &Digest) -> TableVerification {
        let mut columns = Vec::new();
        let mut unverified = self.unverified.clone();
        for (at, column) in self.columns.iter().enumerate() {
            match reason(objects.odd_values(at), objects.missing_values(at)) {
                None => columns.push(column.name.clone()),
                Some(reason) => unverified.push(Unverified { column: column.name.clone(), reason }),
            }
        }
        TableVerification {
            rows: objects.rows(),
            are_rows_whole: self.compares_whole_rows(objects),
            columns,
            unverified,
        }
    }
}

/// Returns the reason why a column drops out, if it has so many values that cannot be compared, and
/// so many among them that are missing.
fn reason(odd_values: u64, missing_values: u64) -> Option<String> {
    let missing = match missing_values {
        0 => None,
        1 => Some("objects with one row do not have it".to_owned()),
        rows => Some(format!("objects with {rows} rows do not have it")),
    };
    let odd = match odd_values.saturating_sub(missing_values) {
        0 => None,
        1 => Some("one of its values is not written the way the server prints it".to_owned()),
        count => {
            Some(format!("{count} of its values are not written the way the server prints them"))
        }
    };
    let reasons: Vec<String> = missing.into_iter().chain(odd).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// A column that is compared.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    pub(crate) name: String,
    /// The column's index in the column list.
    pub(crate) item: usize,
    pub(crate) is_nullable: bool,
    pub(super) encoding: Encoding,
    /// True if the column's character set differs from that of the objects.
    pub(crate) is_converted: bool,
}

impl Compared {
    /// Returns an SQL expression for the stored value in the bytes that the objects have.
    fn value_sql(&self) -> String {
        self.encoding.value_sql(&quote_identifier(&self.name), self.is_converted)
    }

    /// Returns the column's part of a row's text, as arguments of `CONCAT_WS`, which skips NULLs. A
    /// text follows its length, so that no two rows have the same text.
    fn row_text_sql(&self) -> String {
        let value = self.value_sql();
        let unless_null =
            |text: String| if self.is_nullable { format!("COALESCE({text}, 'N')") } else { text };
        if self.encoding.is_long() {
            return unless_null(format!("SHA2({value}, 256)"));
        }
        if self.encoding.is_text() {
            return format!("{}, {value}", unless_null(format!("LENGTH({value})")));
        }
        unless_null(value)
    }

    /// Appends the same text for a value, or for NULL if `None`.
    pub(super) fn push_row_text(&self, value: Option<&[u8]>, text: &mut Vec<u8>) {
        if !text.is_empty() {
            text.push(b',');
        }
        match value {
            None => text.push(b'N'),
            Some(value) if self.encoding.is_long() => {
                for byte in Sha256::digest(value) {
                    text.extend_from_slice(format!("{byte:02x}").as_bytes());
                }
            }
            Some(value) if self.encoding.is_text() => {
                text.extend_from_slice(value.len().to_string().as_bytes());
                text.push(b',');
                text.extend_from_slice(value);
            }
            Some(value) => text.extend_from_slice(value),
        }
    }
}

/// The bit that each row adds to the sum of whole rows if the server cannot produce its text. The
/// sum itself stays far below this bit.
pub(crate) const UNREADABLE_ROW_BIT: u32 = 100;

/// The server's sum over whole rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSum {
    pub sum: u128,
    /// The number of rows that are not in `sum`, because the server could not produce their text.
    pub unreadable_rows: u64,
}

/// The result of a comparison that found no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableVerification {
    pub rows: u64,
    /// True if rows were compared as a whole, false if each column was compared by itself.
    pub are_rows_whole: bool,
    pub columns: Vec<String>,
    pub unverified: Vec<Unverified>,
}

impl std::fmt::Display for TableVerification {
    /// Writes how much was compared, for the summary.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rows, are_rows_whole, columns, unverified } = self;
        let all = columns.len() + unverified.len();
        write!(f, "{rows} rows, {} of {all} columns", columns.len())?;
        if *are_rows_whole || columns.is_empty() { Ok(()) } else { f.write_str(", each by itself") }
    }
}
