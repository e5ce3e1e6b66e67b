//! Reports a value that the rules take, but that the server does not keep.

use crate::error::BadRow;
use crate::values::RowRules;

/// Logs a warning if the server calls a value bad that the rules take: the rules have a hole there.
/// The row is treated as a bad one in any case.
pub(crate) fn warn_of_rule_hole(rules: &RowRules, what: &str, bad: &BadRow) {
    // The program's own message has no level.
    let is_by_server = !bad.level.is_empty();
    let (Some(column), Some(raw)) = (&bad.column, bad.raw.as_ref().filter(|raw| !raw.is_cut))
    else {
        return;
    };
    if is_by_server && rules.takes(&raw.bytes, column) {
        tracing::warn!(
            "{what}: line {}, column {column}: the server does not keep a value that the rules \
             for values take: {}; please report this with the column's type and the value",
            bad.line.unwrap_or_default(),
            bad.reason
        );
    }
}
