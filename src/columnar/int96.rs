//! INT96: a day of the Julian count, and nanoseconds of the day.
//!
//! Arrow has no such type. As nanoseconds since 1970, instants before 1677 and after 2262 overflow,
//! and as microseconds they lose digits. So these columns are read beside the others, value by
//! value.

use std::sync::Arc;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{Int96, Int96Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::civil::DAY_NANOS;
use super::slice_reader::SliceReader;
use crate::file_slice::FileSlice;

/// The day of 1970-01-01 in the Julian count.
const EPOCH: i64 = 2_440_588;

/// A day, counted from 1970-01-01, and nanoseconds of it.
pub(super) type DayAndNanos = (i64, i64);

/// Reads the values of one column in one row group.
pub(super) struct Int96Column {
    reader: ColumnReaderImpl<Int96Type>,
    is_optional: bool,
}

impl Int96Column {
    /// Opens the column with this index among all columns without members.
    pub(super) fn open(file: &FileSlice, group: &RowGroupMetaData, leaf: usize) -> Result<Self> {
        let column = group.column(leaf);
        let rows = usize::try_from(group.num_rows()).unwrap_or_default();
        let reader = Arc::new(SliceReader(file.clone()));
        let pages = SerializedPageReader::new(reader, column, rows, None)?;
        let is_optional = column.column_descr().max_def_level() > 0;
        match get_column_reader(column.column_descr_ptr(), Box::new(pages)) {
            ColumnReader::Int96ColumnReader(reader) => Ok(Self { reader, is_optional }),
            _ => Err(ParquetError::General("a column of INT96 has another type".to_owned())),
        }
    }

    /// Returns the values of the next rows, of which there must be this many.
    pub(super) fn next(&mut self, rows: usize) -> Result<Vec<Option<DayAndNanos>>> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let mut read_rows = 0;
        while read_rows < rows {
            let levels = self.is_optional.then_some(&mut levels);
            let (read, ..) =
                self.reader.read_records(rows - read_rows, levels, None, &mut values)?;
            if read == 0 {
                return Err(ParquetError::EOF("a column of INT96 ends too early".to_owned()));
            }
            read_rows += read;
        }
        let mut present = values.iter().map(read);
        let all: Vec<Option<DayAndNanos>> = if self.is_optional {
            levels.iter().map(|level| if *level > 0 { present.next() } else { None }).collect()
        } else {
            present.map(Some).collect()
        };
        if all.len() != rows {
            return Err(ParquetError::General("a column of INT96 has other rows".to_owned()));
        }
        Ok(all)
    }
}

fn read(value: &Int96) -> DayAndNanos {
    let words = value.data();
    let word = |index: usize| i64::from(words.get(index).copied().unwrap_or_default());
    let nanos = word(1) << 32 | word(0);
    (word(2) - EPOCH + nanos.div_euclid(DAY_NANOS), nanos.rem_euclid(DAY_NANOS))
}
