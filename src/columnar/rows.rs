//! Writes the rows of a Parquet file as text.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::caught::caught;
use super::cells::{Cell, cell, int96_cell, push_text};
use super::civil::Calendar;
use super::fault::{ColumnarFault, WriteFault};
use super::footer::{ParquetFooter, TextColumn};
use super::int96::{DayAndNanos, Int96Column};
use super::nested::push_json;
use super::pairing::TextForm;
use super::slice_reader::SliceReader;
use crate::error::Result;
use crate::file_slice::FileSlice;

/// The number of rows that are decoded at once. More are hardly faster.
const BATCH_ROWS: usize = 1024;
/// The size of a batch, if its rows are long.
const BATCH_BYTES: u64 = 1024 * 1024;
/// The size of a block of text.
const BLOCK_BYTES: usize = 128 * 1024;
/// The size to which the usual writers limit a page with its dictionary.
const PAGE_BYTES: u64 = 2 * 1024 * 1024;

/// The rows of a staged file.
pub(crate) struct ParquetRows {
    footer: ParquetFooter,
    columns: Vec<TextColumn>,
    file: FileSlice,
}

impl ParquetRows {
    /// Creates the reader of these columns of a file.
    pub(crate) fn new(footer: ParquetFooter, columns: Vec<TextColumn>, file: FileSlice) -> Self {
        Self { footer, columns, file }
    }

    /// Returns an estimate of the memory that [`Self::write`] takes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        // DuckDB writes one page for each column of a row group.
        let metadata = self.footer.metadata.metadata();
        let writer = metadata.file_metadata().created_by().unwrap_or_default();
        let page_bytes = if writer.starts_with("DuckDB") { u64::MAX } else { PAGE_BYTES };
        let of_group = |group: &RowGroupMetaData| {
            let roots = group.schema_descr();
            let columns = group.columns().iter().enumerate();
            let columns = columns.filter(|(leaf, _)| {
                let root = roots.get_column_root_idx(*leaf);
                self.columns.iter().any(|it| self.footer.columns[it.column].root == root)
            });
            columns
                .map(|(_, column)| u64::try_from(column.uncompressed_size()).unwrap_or(0))
                .fold(0, |sum: u64, bytes| sum.saturating_add(bytes.min(page_bytes)))
        };
        let largest = metadata.row_groups().iter().map(of_group).max().unwrap_or(0);
        largest.saturating_add(2 * BATCH_BYTES)
    }

    /// Writes a header line and the rows, block by block, until `text` returns false. Returns the
    /// number of rows of the file.
    ///
    /// # Errors
    /// A fault of the file, or an error of `text`.
    pub(crate) fn write(
        self,
        text: &mut dyn FnMut(&[u8]) -> Result<bool>,
    ) -> std::result::Result<u64, WriteFault> {
        let mut block = Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 2);
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                block.push(b'\t');
            }
            push_text(self.footer.columns[column.column].name.as_bytes(), &mut block);
        }
        block.push(b'\n');
        let mut rows = 0;
        for (index, group) in self.footer.metadata.metadata().row_groups().iter().enumerate() {
            let written = self.write_group(index, group, rows, &mut block, text)?;
            let Some(group_rows) = written else { return Ok(self.footer.rows) };
            if i64::try_from(group_rows) != Ok(group.num_rows()) {
                let why = format!(
                    "row group {index} has {group_rows} rows, and the footer says {}",
                    group.num_rows()
                );
                return Err(ColumnarFault::Damaged(why).into());
            }
            rows += group_rows;
        }
        if rows != self.footer.rows {
            let why = format!("it has {rows} rows, and the footer says {}", self.footer.rows);
            return Err(ColumnarFault::Damaged(why).into());
        }
        text(&block)?;
        Ok(rows)
    }

    /// Writes the rows of a row group, and returns their number, or `None` if no more are wanted.
    /// `rows_before` have been written before it.
    fn write_group(
        &self,
        index: usize,
        group: &RowGroupMetaData,
        rows_before: u64,
        block: &mut Vec<u8>,
        text: &mut dyn FnMut(&[u8]) -> Result<bool>,
    ) -> std::result::Result<Option<u64>, WriteFault> {
        let Self { footer, columns, file } = self;
        let is_int96 = |column: &&TextColumn| footer.columns[column.column].is_int96;
        let mask = ProjectionMask::roots(group.schema_descr(), self.roots());
        let fault = |fault| match fault {
            ColumnarFault::Damaged(why) => {
                ColumnarFault::Damaged(format!("row group {index}: {why}"))
            }
            other @ ColumnarFault::Unsupported { .. } => other,
        };
        let mut reader = caught(|| {
            let reader = SliceReader(file.clone());
            ParquetRecordBatchReaderBuilder::new_with_metadata(reader, footer.metadata.clone())
                .with_row_groups(vec![index])
                .with_projection(mask)
                .with_batch_size(batch_rows(group))
                .build()
        })
        .map_err(fault)?;
        let leaves = columns.iter().filter(is_int96);
        let leaves = leaves.filter_map(|column| footer.columns[column.column].leaf);
        let mut int96 = caught(|| {
            leaves
                .map(|leaf| Int96Column::open(file, group, leaf))
                .collect::<parquet::errors::Result<Vec<_>>>()
        })
        .map_err(fault)?;
        let mut rows = 0;
        loop {
            let batch = caught(|| Ok(reader.next().transpose()?)).map_err(fault)?;
            let Some(batch) = batch else { return Ok(Some(rows)) };
            let instants = caught(|| {
                int96
                    .iter_mut()
                    .map(|column| column.next(batch.num_rows()))
                    .collect::<parquet::errors::Result<Vec<_>>>()
            })
            .map_err(fault)?;
            let cells = self.cells(&batch, &instants)?;
            for row in 0..batch.num_rows() {
                for (column, cell) in cells.iter().enumerate() {
                    if column > 0 {
                        block.push(b'\t');
                    }
                    cell(row, block).map_err(|why| {
                        let name = &footer.columns[columns[column].column].name;
                        let row = rows_before + rows + row as u64 + 1;
                        ColumnarFault::Damaged(format!("row {row}, column {name}: {why}"))
                    })?;
                }
                block.push(b'\n');
                if block.len() >= BLOCK_BYTES {
                    if !text(block)? {
                        return Ok(None);
                    }
                    block.clear();
                }
            }
            rows += batch.num_rows() as u64;
        }
    }

    /// Returns the writers of the columns, in their order.
    fn cells<'batch>(
        &'batch self,
        batch: &'batch RecordBatch,
        instants: &'batch [Vec<Option<DayAndNanos>>],
    ) -> std::result::Result<Vec<Cell<'batch>>, ColumnarFault> {
        let roots = self.roots();
        let mut instants = instants.iter();
        let writer = |column: &TextColumn| {
            let source = &self.footer.columns[column.column];
            let writer = if source.is_int96 {
                let calendar = &self.footer.int96_calendar;
                instants.next().map(|values| int96_cell(values, column.form, calendar))
            } else {
                let index = roots.iter().position(|root| *root == source.root);
                let array = index.and_then(|index| batch.columns().get(index)).map(Arc::as_ref);
                array.and_then(|array| self.member_cell(array, &source.path, column.form))
            };
            writer.ok_or_else(|| {
                ColumnarFault::damaged(format!("column {} has another type", source.name))
            })
        };
        self.columns.iter().map(writer).collect()
    }

    /// Returns the columns of the file that are read as batches, in ascending order.
    fn roots(&self) -> BTreeSet<usize> {
        let sources = self.columns.iter().map(|column| &self.footer.columns[column.column]);
        sources.filter(|source| !source.is_int96).map(|source| source.root).collect()
    }

    /// Returns the writer of the values at a path inside of a column.
    fn member_cell<'batch>(
        &'batch self,
        column: &'batch dyn Array,
        path: &[String],
        form: TextForm,
    ) -> Option<Cell<'batch>> {
        let calendar = &self.footer.calendar;
        let mut array = column;
        let mut groups = Vec::new();
        for member in path {
            groups.extend(array.nulls());
            array = array.as_struct_opt()?.column_by_name(member)?.as_ref();
        }
        let values = match form {
            TextForm::Json => json_cell(array, calendar),
            form => cell(array, form, calendar)?,
        };
        if groups.is_empty() {
            return Some(values);
        }
        // A member of a group that is NULL may have any value.
        Some(Box::new(move |row, out| {
            if groups.iter().any(|group| group.is_null(row)) {
                out.extend_from_slice(b"\\N");
                return Ok(());
            }
            values(row, out)
        }))
    }
}

/// Returns the writer of nested values.
fn json_cell<'batch>(array: &'batch dyn Array, calendar: &'batch Calendar) -> Cell<'batch> {
    Box::new(move |row, out| {
        if array.is_null(row) {
            out.extend_from_slice(b"\\N");
            return Ok(());
        }
        let mut json = Vec::new();
        push_json(array, row, calendar, &mut json)?;
        push_text(&json, out);
        Ok(())
    })
}

/// Returns the number of rows of a batch: fewer if they are long.
fn batch_rows(group: &RowGroupMetaData) -> usize {
    let sizes = group.columns().iter().map(ColumnChunkMetaData::uncompressed_size);
    let bytes =
        sizes.fold(0, |sum: u64, size| sum.saturating_add(u64::try_from(size).unwrap_or(0)));
    let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
    let row_bytes = (bytes / rows).max(1);
    usize::try_from(BATCH_BYTES / row_bytes).map_or(BATCH_ROWS, |rows| rows.clamp(1, BATCH_ROWS))
}
