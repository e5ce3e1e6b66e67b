//! Reads and quotes the warnings of a LOAD DATA statement that the server accepted.

use super::diagnostic::Diagnostic;
use crate::error::{BadRow, BadRows};
use crate::mysql::Conn;

/// The maximum number of warnings that an error quotes per row, on average over its rows.
const QUOTED_PER_ROW: usize = 3;

/// Quotes the first of `count` warnings: those of the first `limit` rows. A warning that names no
/// row counts as a row.
pub(crate) fn quote<'a>(
    count: u64,
    limit: usize,
    shown: impl IntoIterator<Item = &'a Diagnostic>,
) -> BadRows {
    let mut quoted: Vec<BadRow> = Vec::new();
    let mut rows = 0;
    for warning in shown {
        let is_same_row =
            quoted.last().is_some_and(|last| last.row.is_some() && last.row == warning.row);
        rows += usize::from(!is_same_row);
        if rows > limit || quoted.len() == limit * QUOTED_PER_ROW {
            break;
        }
        quoted.push(warning.bad_row());
    }
    BadRows { more: count.saturating_sub(quoted.len() as u64), shown: quoted, count: None }
}

/// Returns the warnings of the last statement that `max_error_count` kept.
pub(crate) async fn show(conn: &mut Conn) -> mysql_async::Result<Vec<Diagnostic>> {
    let shown: Vec<(String, u16, Vec<u8>)> = conn.query("SHOW WARNINGS").await?;
    let diagnostic = |(level, code, message): (String, u16, Vec<u8>)| {
        // The message quotes the data, which may be anything.
        Diagnostic::new(level, code, String::from_utf8_lossy(&message).into_owned())
    };
    Ok(shown.into_iter().map(diagnostic).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_data::diagnostic::ServerCounts;

    #[test]
    fn the_info_text_is_read_beyond_sixteen_bits() {
        let counts =
            ServerCounts::parse("Records: 200000  Deleted: 1  Skipped: 2  Warnings: 100000");
        assert_eq!(
            counts,
            Some(ServerCounts { records: 200_000, deleted: 1, skipped: 2, warnings: 100_000 })
        );
    }

    #[test]
    fn a_text_in_another_form_is_not_guessed_at() {
        for text in [
            "",
            "Records: 1",
            "Datensaetze: 1  Deleted: 0  Skipped: 0  Warnings: 0",
            "Records: x  Deleted: 0  Skipped: 0  Warnings: 0",
        ] {
            assert_eq!(ServerCounts::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_warnings_of_ten_rows_are_quoted_and_the_rest_is_counted() {
        let warning = |row| {
            Diagnostic::new(
                "Warning".into(),
                1265,
                format!("Data truncated for column 's' at row {row}"),
            )
        };
        let rows =
            |quoted: &BadRows| quoted.shown.iter().filter_map(|bad| bad.row).collect::<Vec<_>>();
        let pairs: Vec<Diagnostic> = (0..40).map(|index| warning(1 + index / 2)).collect();
        let quoted = quote(100, 10, &pairs);
        assert_eq!(
            (rows(&quoted), quoted.more),
            ((0..20).map(|index| 1 + index / 2).collect(), 80)
        );
        let wide: Vec<Diagnostic> = (0..40).map(|_| warning(7)).collect();
        assert_eq!((quote(40, 10, &wide).shown.len(), quote(40, 10, &wide).more), (30, 10));
        let unnumbered: Vec<Diagnostic> =
            (0..40).map(|_| Diagnostic::new("Warning".into(), 1062, "m".into())).collect();
        assert_eq!(
            (quote(40, 10, &unnumbered).shown.len(), quote(40, 10, &unnumbered).more),
            (10, 30)
        );
    }
}
