//! Fits objects of Parquet to the table, before they are fetched and when they are decoded.

use std::sync::Arc;

use super::context::Context;
use super::pin::pin;
use crate::columnar::{
    ColumnTarget, ColumnarFault, PairingOptions, ParquetFooter, ParquetRows, Tail, TextColumn,
    WriteFault,
};
use crate::dialect::{ColumnOrVariable, EXTRA_VARIABLE};
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::object::Object;
use crate::staging::{FileDecoder, Wanted};

/// The size up to which an object is fetched whole at once. Beyond that, a request for the footer
/// costs little beside the rest.
const SMALL_BYTES: u64 = 4 * 1024 * 1024;
/// The bytes at the end of an object that are fetched first. Most footers are shorter.
const TAIL_BYTES: u64 = 64 * 1024;
/// The longest footer. It says where 10,000 columns of a thousand row groups are.
const MAX_FOOTER_BYTES: u64 = 1 << 30;
/// The usual limit on how far Parquet expands to text.
const USUAL_RATIO: u64 = 4;

/// Returns the space that an object and its text usually take.
pub(super) fn usual_space(context: &Context, object: &Object) -> Option<Wanted> {
    context.options.format.parquet.as_ref()?;
    let most_bytes = object.size_bytes.max(context.budget.total().bytes() / 4);
    let bytes = object.size_bytes.saturating_mul(USUAL_RATIO + 1).min(most_bytes);
    Some(Wanted { text_bytes: bytes, memory_bytes: 0 })
}

/// Fetches the footer of a large object of Parquet, and compares it with the table.
///
/// # Errors
/// The object does not fit the table; the errors of requests.
pub(super) async fn check_footer(context: &Context, object: &Object) -> Result<()> {
    if context.options.format.parquet.is_none() || object.size_bytes <= SMALL_BYTES {
        return Ok(());
    }
    let pinned = pin(&context.s3, object, &context.options).await?;
    let mut tail_bytes = TAIL_BYTES;
    loop {
        let tail = pinned.tail(tail_bytes).await?;
        match ParquetFooter::of_tail(tail, object.size_bytes) {
            Ok(Tail::Whole(footer)) => {
                let footer = footer.with_fields(&fields(context));
                return fit(context, object, &footer).map(drop);
            }
            Ok(Tail::Needs(bytes)) if (tail_bytes + 1..=MAX_FOOTER_BYTES).contains(&bytes) => {
                tail_bytes = bytes;
            }
            Ok(Tail::Needs(bytes)) => {
                let why = format!("its footer has {bytes} bytes");
                return Err(Error::new(ErrorKind::Malformed, format!("{object}: {why}")));
            }
            Err(fault) => return Err(refused(object, &fault)),
        }
    }
}

/// Returns the names of the columns whose values are inside of others, with their paths.
fn fields(context: &Context) -> Vec<(String, Vec<String>)> {
    let format = context.options.format.parquet.iter();
    let fields = format.flat_map(|format| &format.fields);
    fields
        .map(|(item, path)| match item {
            ColumnOrVariable::Column(name) | ColumnOrVariable::Variable(name) => {
                (name.clone(), path.clone())
            }
        })
        .collect()
}

/// Returns the columns of a file that are loaded, and what their values become.
fn fit(context: &Context, object: &Object, footer: &ParquetFooter) -> Result<Vec<TextColumn>> {
    let format = context.options.format.parquet.as_ref();
    let layout = context.layout(object, Some(footer.names()))?;
    let schema = &context.preflight.schema;
    let target = |item: &ColumnOrVariable| match item {
        ColumnOrVariable::Variable(name) if name == EXTRA_VARIABLE => None,
        ColumnOrVariable::Variable(_) => Some(ColumnTarget::variable()),
        ColumnOrVariable::Column(name) => schema
            .column(name)
            .map(|column| ColumnTarget::column(&column.column_type, column.is_json)),
    };
    let wanted = layout.columns.iter().enumerate();
    let wanted: Vec<(usize, ColumnTarget)> =
        wanted.filter_map(|(index, item)| Some((index, target(item)?))).collect();
    let options = PairingOptions {
        has_time_zone: format.is_some_and(|format| format.has_time_zone),
        is_utc: format.is_none_or(|format| format.is_utc),
    };
    footer.text_columns(&wanted, options).map_err(|fault| refused(object, &fault))
}

/// Decodes one object.
pub(super) struct ParquetDecoder {
    context: Arc<Context>,
    object: Object,
    rows: Option<ParquetRows>,
}

impl ParquetDecoder {
    pub(super) fn new(context: &Arc<Context>, object: &Object) -> Self {
        Self { context: Arc::clone(context), object: object.clone(), rows: None }
    }
}

impl FileDecoder for ParquetDecoder {
    fn magic(&self) -> (&'static [u8], &'static str) {
        (b"PAR", "Parquet data")
    }

    fn open(&mut self, file: &FileSlice) -> Result<u64> {
        let footer = ParquetFooter::read(file).map_err(|fault| refused(&self.object, &fault))?;
        let footer = footer.with_fields(&fields(&self.context));
        let columns = fit(&self.context, &self.object, &footer)?;
        let rows = ParquetRows::new(footer, columns, file.clone());
        let memory_bytes = rows.memory_bytes();
        self.rows = Some(rows);
        Ok(memory_bytes)
    }

    fn decode(&mut self, text: &mut dyn FnMut(&[u8]) -> Result<bool>) -> Result<u64> {
        let abandoning = self.context.shutdown.abandoning.clone();
        let Some(rows) = self.rows.take() else {
            let message = format!("{}: it is decoded before it is opened", self.object);
            return Err(Error::new(ErrorKind::Bug, message));
        };
        let written = rows.write(&mut |block| {
            if abandoning.is_cancelled() {
                let message = format!("{}: the run was stopped", self.object);
                return Err(Error::new(ErrorKind::Interrupted, message));
            }
            text(block)
        });
        written.map_err(|fault| match fault {
            WriteFault::File(fault) => refused(&self.object, &fault),
            WriteFault::Text(error) => error,
        })
    }
}

fn refused(object: &Object, fault: &ColumnarFault) -> Error {
    let message = format!("{object}: {}", crate::printable::printable(&fault.to_string()));
    match fault {
        ColumnarFault::Damaged(_) => Error::new(ErrorKind::Malformed, message),
        ColumnarFault::Unsupported { hint, .. } if hint.is_empty() => {
            Error::new(ErrorKind::UnsupportedFormat, message)
        }
        ColumnarFault::Unsupported { hint, .. } => {
            Error::new(ErrorKind::UnsupportedFormat, message).with_hint(hint.clone())
        }
    }
}
