//! The text of the values of one column in a batch of rows.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, FixedSizeBinaryArray, GenericBinaryArray};
use arrow_schema::{DataType, TimeUnit};

use super::civil::{Calendar, DAY_NANOS, NANOS, push_time_of_day};
use super::int96::DayAndNanos;
use super::pairing::TextForm;

/// Writes the text of the value in a row. The error says why it has none.
pub(super) type Cell<'batch> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<(), String> + 'batch>;

const NULL: &[u8] = b"\\N";

/// Returns the writer of the values of a column, or `None` if the column has another type than its
/// schema says.
pub(super) fn cell<'batch>(
    array: &'batch dyn Array,
    form: TextForm,
    calendar: &'batch Calendar,
) -> Option<Cell<'batch>> {
    let values = value(array, form, calendar)?;
    if array.null_count() == 0 {
        return Some(values);
    }
    let nulls = array.nulls()?;
    Some(Box::new(move |row, out| {
        if nulls.is_null(row) {
            out.extend_from_slice(NULL);
            return Ok(());
        }
        values(row, out)
    }))
}

/// Returns the writer of a column of INT96.
pub(super) fn int96_cell<'batch>(
    values: &'batch [Option<DayAndNanos>],
    form: TextForm,
    calendar: &'batch Calendar,
) -> Cell<'batch> {
    Box::new(move |row, out| match values.get(row).copied().flatten() {
        None => {
            out.extend_from_slice(NULL);
            Ok(())
        }
        Some((day, nanos)) => push_clock(calendar, form, day, nanos, out),
    })
}

fn value<'batch>(
    array: &'batch dyn Array,
    form: TextForm,
    calendar: &'batch Calendar,
) -> Option<Cell<'batch>> {
    use TextForm as F;
    Some(match (form, array.data_type()) {
        (F::Null, DataType::Null) => plain(|_, out| out.extend_from_slice(NULL)),
        (F::Flag, DataType::Boolean) => {
            let array = array.as_boolean_opt()?;
            plain(move |row, out| out.push(if array.value(row) { b'1' } else { b'0' }))
        }
        (F::Word, DataType::Boolean) => {
            let array = array.as_boolean_opt()?;
            let word = move |row| if array.value(row) { "true" } else { "false" };
            plain(move |row, out| out.extend_from_slice(word(row).as_bytes()))
        }
        (F::Digits | F::Year, DataType::Int8) => integer::<Int8Type>(array, form)?,
        (F::Digits | F::Year, DataType::Int16) => integer::<Int16Type>(array, form)?,
        (F::Digits | F::Year, DataType::Int32) => integer::<Int32Type>(array, form)?,
        (F::Digits | F::Year, DataType::Int64) => integer::<Int64Type>(array, form)?,
        (F::Digits | F::Year, DataType::UInt8) => integer::<UInt8Type>(array, form)?,
        (F::Digits | F::Year, DataType::UInt16) => integer::<UInt16Type>(array, form)?,
        (F::Digits | F::Year, DataType::UInt32) => integer::<UInt32Type>(array, form)?,
        (F::Digits | F::Year, DataType::UInt64) => integer::<UInt64Type>(array, form)?,
        (F::Shortest, DataType::Float64) => {
            let array = array.as_primitive_opt::<Float64Type>()?;
            plain(move |row, out| push_float(array.value(row), out))
        }
        (F::Shortest, DataType::Float32) => {
            let array = array.as_primitive_opt::<Float32Type>()?;
            plain(move |row, out| push_float(array.value(row), out))
        }
        (F::Widened, DataType::Float32) => {
            let array = array.as_primitive_opt::<Float32Type>()?;
            plain(move |row, out| push_float(f64::from(array.value(row)), out))
        }
        // All values of FLOAT16 are values of FLOAT, and far from its limits.
        (F::Shortest | F::Widened, DataType::Float16) => {
            let array = array.as_primitive_opt::<Float16Type>()?;
            plain(move |row, out| push_float(array.value(row).to_f32(), out))
        }
        (F::Decimal, DataType::Decimal128(_, scale)) => {
            let (array, scale) = (array.as_primitive_opt::<Decimal128Type>()?, scale_of(*scale)?);
            plain(move |row, out| {
                let value = array.value(row);
                let mut digits = itoa::Buffer::new();
                push_decimal(value < 0, digits.format(value.unsigned_abs()), scale, out);
            })
        }
        (F::Decimal, DataType::Decimal256(_, scale)) => {
            let (array, scale) = (array.as_primitive_opt::<Decimal256Type>()?, scale_of(*scale)?);
            plain(move |row, out| {
                let text = array.value(row).to_string();
                let digits = text.trim_start_matches('-');
                push_decimal(digits.len() < text.len(), digits, scale, out);
            })
        }
        (F::Day, DataType::Date32) => {
            let array = array.as_primitive_opt::<Date32Type>()?;
            plain(move |row, out| calendar.push_day(i64::from(array.value(row)), out))
        }
        (F::TimeOfDay, DataType::Time32(TimeUnit::Millisecond)) => {
            time::<Time32MillisecondType>(array, NANOS / 1000)?
        }
        (F::TimeOfDay, DataType::Time64(TimeUnit::Microsecond)) => {
            time::<Time64MicrosecondType>(array, 1000)?
        }
        (F::TimeOfDay, DataType::Time64(TimeUnit::Nanosecond)) => {
            time::<Time64NanosecondType>(array, 1)?
        }
        (F::Clock | F::ClockWithZ, DataType::Timestamp(unit, _)) => match unit {
            TimeUnit::Second => clock::<TimestampSecondType>(array, form, NANOS, calendar)?,
            TimeUnit::Millisecond => {
                clock::<TimestampMillisecondType>(array, form, NANOS / 1000, calendar)?
            }
            TimeUnit::Microsecond => {
                clock::<TimestampMicrosecondType>(array, form, 1000, calendar)?
            }
            TimeUnit::Nanosecond => clock::<TimestampNanosecondType>(array, form, 1, calendar)?,
        },
        (F::Text, DataType::Utf8) => {
            let array = array.as_string_opt::<i32>()?;
            plain(move |row, out| push_text(array.value(row).as_bytes(), out))
        }
        (F::Hex, DataType::Utf8) => {
            let array = array.as_string_opt::<i32>()?;
            plain(move |row, out| push_hex(array.value(row).as_bytes(), out))
        }
        (_, DataType::Binary) => {
            let array: &GenericBinaryArray<i32> = array.as_binary_opt()?;
            bytes(form, move |row| array.value(row))?
        }
        (_, DataType::FixedSizeBinary(_)) => {
            let array: &FixedSizeBinaryArray = array.as_fixed_size_binary_opt()?;
            bytes(form, move |row| array.value(row))?
        }
        _ => return None,
    })
}

/// Returns the writer of values that all have a text.
fn plain<'batch>(write: impl Fn(usize, &mut Vec<u8>) + 'batch) -> Cell<'batch> {
    Box::new(move |row, out| {
        write(row, out);
        Ok(())
    })
}

fn integer<T>(array: &dyn Array, form: TextForm) -> Option<Cell<'_>>
where
    T: ArrowPrimitiveType,
    T::Native: itoa::Integer + Default + PartialEq,
{
    let array = array.as_primitive_opt::<T>()?;
    let is_year = form == TextForm::Year;
    Some(plain(move |row, out| {
        let value = array.value(row);
        if is_year && value == T::Native::default() {
            out.extend_from_slice(b"0000");
        } else {
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
    }))
}

fn time<T>(array: &dyn Array, nanos: i64) -> Option<Cell<'_>>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let array = array.as_primitive_opt::<T>()?;
    Some(Box::new(move |row, out| {
        let value: i64 = array.value(row).into();
        match value.checked_mul(nanos) {
            Some(nanos @ 0..=DAY_NANOS) => {
                push_time_of_day(nanos, out);
                Ok(())
            }
            _ => Err(format!("{value} is no time of a day")),
        }
    }))
}

fn clock<'batch, T>(
    array: &'batch dyn Array,
    form: TextForm,
    nanos: i64,
    calendar: &'batch Calendar,
) -> Option<Cell<'batch>>
where
    T: ArrowPrimitiveType<Native = i64>,
{
    let array = array.as_primitive_opt::<T>()?;
    let units_of_day = DAY_NANOS / nanos;
    Some(Box::new(move |row, out| {
        let value = array.value(row);
        let day = value.div_euclid(units_of_day);
        push_clock(calendar, form, day, value.rem_euclid(units_of_day) * nanos, out)
    }))
}

fn push_clock(
    calendar: &Calendar,
    form: TextForm,
    day: i64,
    nanos: i64,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    calendar.push_clock(day, nanos, out)?;
    if form == TextForm::ClockWithZ {
        out.push(b'Z');
    }
    Ok(())
}

/// Returns the writer of bytes.
fn bytes<'batch>(
    form: TextForm,
    value: impl Fn(usize) -> &'batch [u8] + 'batch,
) -> Option<Cell<'batch>> {
    Some(match form {
        TextForm::Hex => plain(move |row, out| push_hex(value(row), out)),
        TextForm::Text | TextForm::Utf8 => Box::new(move |row, out| {
            let bytes = value(row);
            if simdutf8::basic::from_utf8(bytes).is_err() {
                return Err("its bytes are not UTF-8".to_owned());
            }
            push_text(bytes, out);
            Ok(())
        }),
        TextForm::BigEndian => plain(move |row, out| push_number(value(row), out)),
        TextForm::Uuid => Box::new(move |row, out| push_uuid(value(row), out)),
        _ => return None,
    })
}

/// Writes a text, with the escapes of the dialect.
pub(super) fn push_text(text: &[u8], out: &mut Vec<u8>) {
    let mut written = 0;
    for at in memchr::memchr3_iter(b'\\', b'\t', b'\n', text) {
        out.extend_from_slice(&text[written..at]);
        out.push(b'\\');
        out.push(match text[at] {
            b'\t' => b't',
            b'\n' => b'n',
            other => other,
        });
        written = at + 1;
    }
    out.extend_from_slice(&text[written..]);
}

fn push_float(value: impl zmij::Float, out: &mut Vec<u8>) {
    out.extend_from_slice(zmij::Buffer::new().format(value).as_bytes());
}

fn scale_of(scale: i8) -> Option<usize> {
    usize::try_from(scale).ok()
}

/// Writes the digits with a point before the last `scale` of them.
fn push_decimal(is_negative: bool, digits: &str, scale: usize, out: &mut Vec<u8>) {
    if is_negative {
        out.push(b'-');
    }
    let digits = digits.as_bytes();
    match digits.len().checked_sub(scale) {
        Some(0) | None => {
            out.push(b'0');
            if scale > 0 {
                out.push(b'.');
                out.resize(out.len() + scale - digits.len(), b'0');
                out.extend_from_slice(digits);
            }
        }
        Some(whole) => {
            out.extend_from_slice(&digits[..whole]);
            if scale > 0 {
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
    }
}

fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    push_digits(bytes, b"0123456789ABCDEF", out);
}

fn push_digits(bytes: &[u8], digits: &[u8; 16], out: &mut Vec<u8>) {
    out.extend(
        bytes
            .iter()
            .flat_map(|byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]),
    );
}

/// Writes the number that the bytes are, the highest first. One that is longer than any BIT column
/// is written so that the column refuses it.
fn push_number(bytes: &[u8], out: &mut Vec<u8>) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    if bytes.len() > 8 {
        out.extend_from_slice(b"0x");
        push_hex(bytes, out);
        return;
    }
    let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_uuid(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    if bytes.len() != 16 {
        return Err(format!("a UUID has 16 bytes, and this one {}", bytes.len()));
    }
    for (index, part) in [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]]
        .into_iter()
        .enumerate()
    {
        if index > 0 {
            out.push(b'-');
        }
        push_digits(part, b"0123456789abcdef", out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_keep_their_scale() {
        let decimal =
            |is_negative, digits, scale| shown(|out| push_decimal(is_negative, digits, scale, out));
        assert_eq!(decimal(false, "12345", 2), "123.45");
        assert_eq!(decimal(true, "5", 3), "-0.005");
        assert_eq!(decimal(true, "500", 3), "-0.500");
        assert_eq!(decimal(false, "0", 2), "0.00");
        assert_eq!(decimal(false, "7", 0), "7");
        assert_eq!(decimal(false, "0", 0), "0");
    }

    #[test]
    fn texts_are_escaped_and_numbers_are_exact() {
        assert_eq!(shown(|out| push_text(b"a\tb\\N\nc\r", out)), "a\\tb\\\\N\\nc\r");
        assert_eq!(shown(|out| push_number(&[0, 0, 1, 2], out)), "258");
        assert_eq!(shown(|out| push_number(&[255; 8], out)), u64::MAX.to_string());
        assert_eq!(shown(|out| push_number(&[1; 9], out)), "0x010101010101010101");
        assert_eq!(shown(|out| push_float(f64::from(f32::MAX), out)), "3.4028234663852886e+38");
        assert_eq!(shown(|out| push_float(0.1_f32, out)), "0.1");
    }
}
