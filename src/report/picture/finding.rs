//! Reads from the line of an object what is wrong with it.

use super::super::causes::{Finding, Verdict};
use super::lines::{ErrorLine, RowLine, WorkLine};
use crate::error::{BadRow, BadRows, RawRow};
use crate::object::shown_uri;

/// Returns what is wrong with the object, if anything is.
pub(super) fn finding(line: &mut WorkLine) -> Option<Finding> {
    let object = shown_uri(&line.bucket, &line.key);
    let rows = bad_rows(line.first_rows.take(), line.bad_rows.zip(line.duplicates));
    if let Some(error) = line.error.take() {
        let verdict = if line.status == "failed" { Verdict::Failed } else { Verdict::WouldFail };
        let message = message(&error, &object);
        let own_rows =
            error.rows.map(|rows| BadRows { count: error.row_count, ..bad_rows(Some(rows), None) });
        let rows = own_rows.unwrap_or(rows);
        let hint = error.hint;
        return Some(Finding { verdict, object, message, rows, details: Vec::new(), hint });
    }
    let of_rows = line.rows.map(|rows| format!(" of {rows}")).unwrap_or_default();
    let (verdict, message) = match (line.would_be_rejected, rows.count) {
        (Some(rejected), _) if rejected > 0 => {
            (Verdict::WouldLoseRows, format!("{rejected}{of_rows} rows would be rejected"))
        }
        (_, Some(bad)) if bad > 0 => {
            (Verdict::WouldLoad, format!("{bad}{of_rows} rows are bad or duplicates"))
        }
        _ => return None,
    };
    Some(Finding { verdict, object, message, rows, details: Vec::new(), hint: None })
}

/// Returns the first line of the message, without the object with which it begins. The others are
/// about rows.
fn message(error: &ErrorLine, object: &str) -> String {
    let line = error.message.lines().next().unwrap_or(&error.code);
    let rest = line.strip_prefix(object).and_then(|rest| rest.strip_prefix(": "));
    rest.unwrap_or(line).to_owned()
}

fn bad_rows(lines: Option<Vec<RowLine>>, counts: Option<(u64, u64)>) -> BadRows {
    let shown = lines.unwrap_or_default().into_iter().map(|line| BadRow {
        line: line.line,
        row: line.row,
        is_misnumbered: false,
        column: line.column,
        // The report does not say whether the server said it.
        level: String::new(),
        code: line.code,
        reason: line.reason,
        raw: line
            .raw
            .map(|raw| RawRow { bytes: raw.into_bytes(), is_cut: line.raw_is_cut == Some(true) }),
    });
    let count = counts.map(|(bad, duplicates)| bad.saturating_add(duplicates));
    BadRows { shown: shown.collect(), more: 0, count }
}
