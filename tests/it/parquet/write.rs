//! Writes Parquet for tests.

use std::sync::Arc;

use anyhow::Result;
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::data_type::{DataType, Int96};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// Returns a file with these columns.
pub(super) fn file(columns: &[(&str, ArrayRef)]) -> Result<Vec<u8>> {
    file_with(columns, WriterProperties::builder().build())
}

/// Returns a file with these columns, written in this way.
pub(super) fn file_with(
    columns: &[(&str, ArrayRef)],
    properties: WriterProperties,
) -> Result<Vec<u8>> {
    let named = columns.iter().map(|(name, array)| (*name, Arc::clone(array), true));
    let batch = RecordBatch::try_from_iter_with_nullable(named)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

/// Returns a file of one required column, whose type the schema has, with these pairs in its
/// footer.
pub(super) fn raw_file<T: DataType>(
    schema: &str,
    values: &[T::T],
    pairs: &[(&str, &str)],
) -> Result<Vec<u8>> {
    let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} }}"))?);
    let pairs =
        pairs.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), (*value).to_owned()));
    let properties =
        WriterProperties::builder().set_key_value_metadata(Some(pairs.collect())).build();
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    while let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, None, None)?;
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(file)
}

/// Returns the INT96 of a day, counted from 1970-01-01, and nanoseconds of it.
pub(super) fn int96(day: i64, nanos: u64) -> Int96 {
    let mut value = Int96::new();
    let low = u32::try_from(nanos & 0xFFFF_FFFF).unwrap_or_default();
    let high = u32::try_from(nanos >> 32).unwrap_or_default();
    value.set_data(low, high, u32::try_from(day + 2_440_588).unwrap_or_default());
    value
}
