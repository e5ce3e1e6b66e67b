//! Lists, maps and groups as JSON.
//!
//! Integers and floating-point numbers are numbers of JSON. Decimals, dates and times are strings,
//! because programs that read JSON would change their digits, and bytes are strings of Base64. A
//! value that is no number (NaN) is written as a word, which no JSON column takes.

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, MapArray};
use arrow_schema::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cells::cell;
use super::civil::Calendar;
use super::pairing::TextForm;

/// Returns true if values of this type can be written.
pub(super) fn is_known(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::FixedSizeList(item, _) | DataType::LargeList(item) => {
            is_known(item.data_type())
        }
        DataType::Map(entries, _) => is_known(entries.data_type()),
        DataType::Struct(members) => members.iter().all(|member| is_known(member.data_type())),
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale >= 0,
        DataType::Binary | DataType::FixedSizeBinary(_) | DataType::Null => true,
        _ => scalar(data_type).is_some(),
    }
}

/// Returns the text of values without members, and true if it is a string of JSON.
fn scalar(data_type: &DataType) -> Option<(TextForm, bool)> {
    Some(match data_type {
        DataType::Boolean => (TextForm::Word, false),
        integer if integer.is_integer() => (TextForm::Digits, false),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => (TextForm::Shortest, false),
        DataType::Decimal128(..) | DataType::Decimal256(..) => (TextForm::Decimal, true),
        DataType::Date32 => (TextForm::Day, true),
        DataType::Time32(_) | DataType::Time64(_) => (TextForm::TimeOfDay, true),
        DataType::Timestamp(_, None) => (TextForm::Clock, true),
        DataType::Timestamp(_, Some(_)) => (TextForm::ClockWithZ, true),
        DataType::Utf8 => (TextForm::Text, true),
        _ => return None,
    })
}

/// Writes the value in a row as JSON.
pub(super) fn push_json(
    array: &dyn Array,
    row: usize,
    calendar: &Calendar,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        DataType::List(_) => push_list(array.as_list::<i32>().value(row).as_ref(), calendar, out),
        DataType::LargeList(_) => {
            push_list(array.as_list::<i64>().value(row).as_ref(), calendar, out)
        }
        DataType::FixedSizeList(..) => {
            push_list(array.as_fixed_size_list().value(row).as_ref(), calendar, out)
        }
        DataType::Map(..) => push_map(array.as_map(), row, calendar, out),
        DataType::Struct(members) => {
            out.push(b'{');
            for (index, (member, values)) in
                members.iter().zip(array.as_struct().columns()).enumerate()
            {
                if index > 0 {
                    out.push(b',');
                }
                push_string(member.name(), out);
                out.push(b':');
                push_json(values.as_ref(), row, calendar, out)?;
            }
            out.push(b'}');
            Ok(())
        }
        DataType::Utf8 => {
            push_string(array.as_string::<i32>().value(row), out);
            Ok(())
        }
        DataType::Binary => {
            push_string(&STANDARD.encode(array.as_binary::<i32>().value(row)), out);
            Ok(())
        }
        DataType::FixedSizeBinary(_) => {
            push_string(&STANDARD.encode(array.as_fixed_size_binary().value(row)), out);
            Ok(())
        }
        other => {
            let unknown = || format!("{other} is no type of JSON");
            let (form, is_string) = scalar(other).ok_or_else(unknown)?;
            let write = cell(array, form, calendar).ok_or_else(unknown)?;
            if is_string {
                out.push(b'"');
            }
            write(row, out)?;
            if is_string {
                out.push(b'"');
            }
            Ok(())
        }
    }
}

fn push_list(items: &dyn Array, calendar: &Calendar, out: &mut Vec<u8>) -> Result<(), String> {
    out.push(b'[');
    for item in 0..items.len() {
        if item > 0 {
            out.push(b',');
        }
        push_json(items, item, calendar, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Writes a map as an object if its keys are texts, and as a list of pairs otherwise.
fn push_map(
    array: &MapArray,
    row: usize,
    calendar: &Calendar,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let entries = array.value(row);
    let [keys, values] = entries.columns() else {
        return Err("a map has keys and values, and this one has not".to_owned());
    };
    let is_object = keys.data_type() == &DataType::Utf8;
    out.push(if is_object { b'{' } else { b'[' });
    for entry in 0..entries.len() {
        if entry > 0 {
            out.push(b',');
        }
        if !is_object {
            out.push(b'[');
        }
        push_json(keys.as_ref(), entry, calendar, out)?;
        out.push(if is_object { b':' } else { b',' });
        push_json(values.as_ref(), entry, calendar, out)?;
        if !is_object {
            out.push(b']');
        }
    }
    out.push(if is_object { b'}' } else { b']' });
    Ok(())
}

fn push_string(text: &str, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}
