//! The footer of a Parquet file: its columns, and what each becomes.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::schema::types::Type;

use super::caught::caught;
use super::civil::Calendar;
use super::fault::ColumnarFault;
use super::nested::is_known;
use super::pairing::{PairingOptions, TextForm, remedy, text_form};
use super::slice_reader::SliceReader;
use super::source_kind::SourceKind;
use super::target_kind::ColumnTarget;
use crate::file_slice::FileSlice;

/// The most columns, with those inside others. A table has at most 4096.
const MAX_LEAVES: usize = 10_000;

/// The footer of a file.
pub(crate) struct ParquetFooter {
    pub(super) metadata: ArrowReaderMetadata,
    pub(super) columns: Vec<SourceColumn>,
    pub(super) rows: u64,
    pub(super) calendar: Calendar,
    pub(super) int96_calendar: Calendar,
}

/// A column of the file, or a member of one.
pub(super) struct SourceColumn {
    /// The name of the column of the table.
    pub(super) name: String,
    /// The index of the column among those that are not inside others.
    pub(super) root: usize,
    /// The names of the members that lead to it.
    pub(super) path: Vec<String>,
    kind: SourceKind,
    /// The index among all columns without members, of one that has none and is inside of none.
    pub(super) leaf: Option<usize>,
    pub(super) is_int96: bool,
    /// The length of all values of a `FIXED_LEN_BYTE_ARRAY`.
    fixed_bytes: Option<u64>,
    /// The type as messages name it.
    type_name: String,
}

/// A column that is written as text.
pub(crate) struct TextColumn {
    /// The index among the columns of the file.
    pub(super) column: usize,
    pub(super) form: TextForm,
}

/// The last bytes of a file.
pub(crate) enum Tail {
    Whole(Box<ParquetFooter>),
    /// The footer has this many bytes.
    Needs(u64),
}

impl ParquetFooter {
    /// Reads the footer of a staged file.
    ///
    /// # Errors
    /// The file is damaged, or has what cannot be read.
    pub(crate) fn read(file: &FileSlice) -> Result<Self, ColumnarFault> {
        let mut magic = [0; 4];
        let end = file.size_bytes().saturating_sub(4);
        if file.read_exact_at(&mut magic, end).is_ok() {
            ensure_plain(&magic)?;
        }
        let reader = SliceReader(file.clone());
        let metadata = caught(|| ParquetMetaDataReader::new().parse_and_finish(&reader))?;
        Self::new(metadata)
    }

    /// Reads the footer of a file of `size_bytes` from its last bytes.
    ///
    /// # Errors
    /// The errors of [`Self::read`].
    pub(crate) fn of_tail(tail: Vec<u8>, size_bytes: u64) -> Result<Tail, ColumnarFault> {
        ensure_plain(&tail[tail.len().saturating_sub(4)..])?;
        let tail = Bytes::from(tail);
        let mut reader = ParquetMetaDataReader::new();
        let parsed = caught(|| match reader.try_parse_sized(&tail, size_bytes) {
            Ok(()) => Ok(None),
            Err(ParquetError::NeedMoreData(bytes)) => Ok(Some(bytes)),
            Err(error) => Err(error),
        })?;
        if let Some(bytes) = parsed {
            return Ok(Tail::Needs(bytes as u64));
        }
        let metadata = caught(|| reader.finish())?;
        Ok(Tail::Whole(Box::new(Self::new(metadata)?)))
    }

    fn new(metadata: ParquetMetaData) -> Result<Self, ColumnarFault> {
        let schema = metadata.file_metadata().schema_descr_ptr();
        if schema.num_columns() > MAX_LEAVES {
            let why = format!("it has {} columns", schema.num_columns());
            return Err(ColumnarFault::unsupported(why, "the limit is 10,000"));
        }
        let rows = rows(&metadata)?;
        ensure_one_file(&metadata)?;
        let (calendar, int96_calendar) = calendars(&metadata);
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = caught(|| ArrowReaderMetadata::try_new(Arc::new(metadata), options))?;
        let fields = schema.root_schema().get_fields();
        let arrow = metadata.schema().fields();
        if fields.len() != arrow.len() {
            return Err(ColumnarFault::unsupported("a column has no members", ""));
        }
        let mut columns = Vec::new();
        for (index, (field, arrow)) in fields.iter().zip(arrow).enumerate() {
            let leaf = (0..schema.num_columns())
                .find(|&leaf| schema.get_column_root_idx(leaf) == index)
                .filter(|_| is_flat(field));
            let name = field.name().to_owned();
            columns.push(SourceColumn::new(name, index, leaf, field, arrow.data_type()));
        }
        Ok(Self { metadata, columns, rows, calendar, int96_calendar })
    }

    /// Adds columns whose values are members of others. A column of the same name gives way, and a
    /// path that leads nowhere adds none.
    #[must_use]
    pub(crate) fn with_fields(mut self, fields: &[(String, Vec<String>)]) -> Self {
        let schema = self.metadata.metadata().file_metadata().schema_descr_ptr();
        let added = fields.iter().filter_map(|(name, path)| {
            let (first, inside) = path.split_first()?;
            let roots = schema.root_schema().get_fields();
            let root = roots.iter().position(|field| field.name() == first)?;
            let (mut field, mut arrow) = (&roots[root], self.metadata.schema().field(root));
            for member in inside {
                let DataType::Struct(members) = arrow.data_type() else { return None };
                field = field.get_fields().iter().find(|field| field.name() == member)?;
                arrow =
                    members.iter().map(AsRef::as_ref).find(|it: &&Field| it.name() == member)?;
            }
            let leaf = self.columns.iter().find(|column| column.root == root);
            let leaf = leaf.and_then(|column| column.leaf).filter(|_| inside.is_empty());
            let column = SourceColumn::new(name.clone(), root, leaf, field, arrow.data_type());
            Some(SourceColumn { path: inside.to_vec(), ..column })
        });
        let added: Vec<SourceColumn> = added.collect();
        let is_replaced = |column: &SourceColumn| {
            let name = column.name.to_lowercase();
            fields.iter().any(|(field, _)| field.to_lowercase() == name)
        };
        self.columns.retain(|column| !is_replaced(column));
        self.columns.extend(added);
        self
    }

    /// Returns the names of the columns, in their order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// Returns what the columns with these indexes, which must ascend, become for their targets.
    ///
    /// # Errors
    /// A column is refused.
    pub(crate) fn text_columns(
        &self,
        wanted: &[(usize, ColumnTarget)],
        options: PairingOptions,
    ) -> Result<Vec<TextColumn>, ColumnarFault> {
        let text_column = |(index, target): &(usize, ColumnTarget)| {
            let Some(source) = self.columns.get(*index) else {
                return Err(ColumnarFault::damaged("a column is missing"));
            };
            let SourceColumn { name, kind, type_name, .. } = source;
            let refused = |why: String| {
                let hint = remedy(*kind, target.kind, name);
                Err(ColumnarFault::unsupported(why, hint))
            };
            let into = &target.type_name;
            let Some(form) = text_form(*kind, target.kind, options) else {
                return refused(format!("column {name}: {type_name} cannot go into {into}"));
            };
            match (source.fixed_bytes, target.fixed_bytes) {
                (Some(bytes), Some(limit)) if form == TextForm::Hex && bytes != limit => refused(
                    format!("column {name}: {type_name} of {bytes} bytes cannot go into {into}"),
                ),
                _ => Ok(TextColumn { column: *index, form }),
            }
        };
        wanted.iter().map(text_column).collect()
    }
}

impl SourceColumn {
    fn new(name: String, root: usize, leaf: Option<usize>, field: &Type, arrow: &DataType) -> Self {
        let is_int96 = is_flat(field) && field.get_physical_type() == Physical::INT96;
        let kind = if is_int96 && leaf.is_none() {
            // Arrow shows it as nanoseconds, which overflow.
            SourceKind::Unsupported
        } else if is_flat(field) {
            kind_of(field, arrow)
        } else if is_known(arrow) && has_json(field) {
            SourceKind::Nested
        } else {
            SourceKind::Unsupported
        };
        Self {
            name,
            root,
            path: Vec::new(),
            kind,
            leaf,
            is_int96: is_int96 && leaf.is_some(),
            fixed_bytes: match arrow {
                DataType::FixedSizeBinary(length) => u64::try_from(*length).ok(),
                _ => None,
            },
            type_name: type_name(field, kind),
        }
    }
}

fn ensure_plain(magic: &[u8]) -> Result<(), ColumnarFault> {
    if magic == b"PARE" {
        let why = "its footer is encrypted";
        return Err(ColumnarFault::unsupported(why, "this program has no keys"));
    }
    Ok(())
}

/// Returns the number of rows, if the footer and its row groups agree on it.
fn rows(metadata: &ParquetMetaData) -> Result<u64, ColumnarFault> {
    let of_file = metadata.file_metadata().num_rows();
    let groups = metadata.row_groups().iter();
    let of_groups = groups
        .map(|group| u64::try_from(group.num_rows()).ok())
        .try_fold(0_u64, |sum, rows| sum.checked_add(rows?));
    match (u64::try_from(of_file).ok(), of_groups) {
        (Some(rows), Some(sum)) if rows == sum => Ok(rows),
        (_, sum) => Err(ColumnarFault::damaged(format!(
            "its footer counts {of_file} rows, and its row groups have {}",
            sum.map_or_else(|| "an impossible number".to_owned(), |sum| sum.to_string())
        ))),
    }
}

fn ensure_one_file(metadata: &ParquetMetaData) -> Result<(), ColumnarFault> {
    let mut columns = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
    match columns.find_map(|column| column.file_path()) {
        None => Ok(()),
        Some(path) => Err(ColumnarFault::unsupported(
            format!("its values are in another file: {path}"),
            "it is the summary of a folder; load the files of the folder without it",
        )),
    }
}

/// Returns the calendars of dates and times, and of INT96.
fn calendars(metadata: &ParquetMetaData) -> (Calendar, Calendar) {
    let pairs = metadata.file_metadata().key_value_metadata();
    let find = |key: &str| {
        let found = pairs.into_iter().flatten().find(|pair| pair.key == key)?;
        Some(found.value.clone().unwrap_or_default())
    };
    let version = find("org.apache.spark.version").map(|text| {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    });
    let is_before = |limit| version.is_some_and(|version| version < limit);
    let zone = find("org.apache.spark.timeZone").filter(|zone| zone != "UTC" && zone != "Etc/UTC");
    let calendar =
        |is_hybrid| Calendar { is_hybrid, unclear_zone: zone.clone().filter(|_| is_hybrid) };
    (
        calendar(is_before((3, 0)) || find("org.apache.spark.legacyDateTime").is_some()),
        calendar(is_before((3, 1)) || find("org.apache.spark.legacyINT96").is_some()),
    )
}

/// Returns true if each row has one value or none.
fn is_flat(field: &Type) -> bool {
    let info = field.get_basic_info();
    field.is_primitive() && !(info.has_repetition() && info.repetition() == Repetition::REPEATED)
}

/// Returns true if everything inside of a column has a text in JSON. What Arrow shows as bytes or
/// as nanoseconds, and is something else, has none.
fn has_json(field: &Type) -> bool {
    if !field.is_primitive() {
        let is_variant =
            matches!(field.get_basic_info().logical_type_ref(), Some(LogicalType::Variant { .. }));
        return !is_variant && field.get_fields().iter().all(|member| has_json(member));
    }
    let info = field.get_basic_info();
    let is_plain = matches!(
        info.logical_type_ref(),
        None | Some(
            LogicalType::String
                | LogicalType::Json
                | LogicalType::Bson
                | LogicalType::Decimal { .. }
                | LogicalType::Date
                | LogicalType::Time { .. }
                | LogicalType::Timestamp { .. }
                | LogicalType::Integer { .. }
                | LogicalType::Float16
                | LogicalType::Unknown
        )
    );
    is_plain
        && info.converted_type() != ConvertedType::ENUM
        && field.get_physical_type() != Physical::INT96
}

fn kind_of(field: &Type, arrow: &DataType) -> SourceKind {
    let info = field.get_basic_info();
    match info.logical_type_ref() {
        Some(LogicalType::Uuid) => return SourceKind::Uuid,
        Some(LogicalType::Enum) => return SourceKind::Text,
        Some(LogicalType::Bson | LogicalType::Geometry { .. } | LogicalType::Geography { .. }) => {
            return SourceKind::Opaque;
        }
        Some(LogicalType::Variant { .. } | LogicalType::File | LogicalType::_Unknown { .. }) => {
            return SourceKind::Unsupported;
        }
        _ => {}
    }
    match (info.converted_type(), arrow) {
        (ConvertedType::ENUM, _) => SourceKind::Text,
        (ConvertedType::BSON, _) => SourceKind::Opaque,
        (_, DataType::Boolean) => SourceKind::Boolean,
        (_, integer) if integer.is_integer() => SourceKind::Integer,
        (_, DataType::Float16 | DataType::Float32) => SourceKind::Float,
        (_, DataType::Float64) => SourceKind::Double,
        (_, DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale)) if *scale >= 0 => {
            SourceKind::Decimal
        }
        (_, DataType::Date32) => SourceKind::Date,
        (_, DataType::Time32(_) | DataType::Time64(_)) => SourceKind::Time,
        (_, DataType::Timestamp(..)) if field.get_physical_type() == Physical::INT96 => {
            SourceKind::Instant
        }
        (_, DataType::Timestamp(_, None)) => SourceKind::LocalTime,
        (_, DataType::Timestamp(_, Some(_))) => SourceKind::Instant,
        (_, DataType::Utf8) => SourceKind::Text,
        (_, DataType::Binary | DataType::FixedSizeBinary(_)) => SourceKind::Bytes,
        (_, DataType::Null) => SourceKind::Null,
        _ => SourceKind::Unsupported,
    }
}

/// Returns the type of a column as messages name it.
fn type_name(field: &Type, kind: SourceKind) -> String {
    let info = field.get_basic_info();
    let words = match kind {
        SourceKind::LocalTime => "TIMESTAMP not adjusted to UTC",
        SourceKind::Instant if field.get_physical_type() != Physical::INT96 => {
            "TIMESTAMP adjusted to UTC"
        }
        SourceKind::Instant => "INT96",
        SourceKind::Date => "DATE",
        SourceKind::Time => "TIME",
        SourceKind::Uuid => "UUID",
        SourceKind::Nested => match info.logical_type_ref() {
            Some(LogicalType::List) => "a LIST",
            Some(LogicalType::Map) => "a MAP",
            _ if info.converted_type() == ConvertedType::LIST => "a LIST",
            _ if info.converted_type() == ConvertedType::MAP => "a MAP",
            _ if field.is_primitive() => "a repeated column",
            _ => "a group",
        },
        SourceKind::Decimal => "DECIMAL",
        SourceKind::Text => "text",
        SourceKind::Unsupported if !field.is_primitive() => "a group with such members",
        _ => {
            let physical = field.get_physical_type();
            return match (info.logical_type_ref(), info.converted_type()) {
                (Some(LogicalType::_Unknown { .. }), _) => "a type not known".to_owned(),
                (Some(LogicalType::Variant { .. }), _) => "VARIANT".to_owned(),
                (Some(LogicalType::Geometry { .. }), _) => "GEOMETRY".to_owned(),
                (Some(LogicalType::Geography { .. }), _) => "GEOGRAPHY".to_owned(),
                (_, ConvertedType::INTERVAL) => "INTERVAL".to_owned(),
                (_, ConvertedType::BSON) => "BSON".to_owned(),
                _ => physical.to_string(),
            };
        }
    };
    words.to_owned()
}
