//! Reads the row number and the column name from the text of a server's warning.

use crate::mysql::codes;
use crate::sql_text::last_identifier;

/// Returns the row, in the statement's own numbering, and the column that a message names.
pub(crate) fn named(code: u16, message: &str) -> (Option<u64>, Option<String>) {
    match code {
        // Too few fields, too many fields: `Row 2 was truncated; ...`.
        codes::TOO_FEW_FIELDS | codes::TOO_MANY_FIELDS => {
            let number = message.strip_prefix("Row ").and_then(|rest| rest.split(' ').next());
            (number.and_then(|number| number.parse().ok()), None)
        }
        // `... for column 'a' at row 2`, in MariaDB also ``... for column `d`.`t`.`a` at row 2``.
        // The quoted value stands before that and may contain anything, so the text is parsed from
        // its end.
        codes::NULL_REPLACED
        | codes::OUT_OF_RANGE
        | codes::DATA_TRUNCATED
        | codes::TRUNCATED_WRONG_VALUE
        | codes::INVALID_TIMESTAMP
        | codes::WRONG_VALUE_FOR_FIELD
        | codes::DATA_TOO_LONG => {
            let Some((rest, number)) = message.rsplit_once(" at row ") else { return (None, None) };
            let Ok(row) = number.parse() else { return (None, None) };
            (Some(row), rest.rsplit_once(" column ").and_then(|(_, name)| unquoted(name)))
        }
        // MySQL on deprecated date notations: `... in datetime value '2026/01/01' at row 2 is
        // deprecated. ...`.
        code if codes::is_deprecated_date(code) => {
            let number =
                message.rsplit_once(" at row ").and_then(|(_, rest)| rest.split(' ').next());
            (number.and_then(|number| number.parse().ok()), None)
        }
        // The message does not name the row.
        codes::NULL_REFUSED => (
            None,
            message.strip_prefix("Column ").and_then(|rest| unquoted(rest.split(' ').next()?)),
        ),
        _ => (None, None),
    }
}

/// Returns the message without the number at its end, which counts the rows of one statement. The
/// line of the object stands beside it.
pub(crate) fn without_row(code: u16, message: &str) -> &str {
    match message.rsplit_once(" at row ") {
        Some((before, number))
            if number.parse::<u64>().is_ok() && named(code, message).0.is_some() =>
        {
            before
        }
        _ => message,
    }
}

/// Returns the last part of a quoted name, or `None` if the text is anything else than a quoted
/// name.
pub(super) fn unquoted(name: &str) -> Option<String> {
    if let Some(inner) = name.strip_prefix('\'') {
        return inner.strip_suffix('\'').map(ToOwned::to_owned);
    }
    last_identifier(name)
}
