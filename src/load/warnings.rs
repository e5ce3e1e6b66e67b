//! What the server says of a LOAD DATA statement that it calls OK.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// How many warnings an error quotes: enough to see a pattern, few enough to read.
pub(super) const QUOTED: usize = 10;

/// The counts in the OK packet's info text. The packet's own warning count has 16 bits and is not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) deleted: u64,
    pub(super) skipped: u64,
    pub(super) warnings: u64,
}

impl Counts {
    /// `Records: 9  Deleted: 0  Skipped: 2  Warnings: 8`, in English because `lc_messages` is pinned.
    pub(super) fn parse(info: &str) -> Option<Self> {
        let mut counts = Self::default();
        let mut words = info.split_ascii_whitespace();
        for (label, count) in [
            ("Records:", &mut counts.records),
            ("Deleted:", &mut counts.deleted),
            ("Skipped:", &mut counts.skipped),
            ("Warnings:", &mut counts.warnings),
        ] {
            if words.next() != Some(label) {
                return None;
            }
            *count = words.next()?.parse().ok()?;
        }
        words.next().is_none().then_some(counts)
    }
}

/// One row of SHOW WARNINGS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    pub(super) level: String,
    pub(super) code: u16,
    pub(super) message: String,
}

impl Warning {
    /// A row that was not stored because of its key: duplicate entry, duplicate entry in a foreign key's or index' wording.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self.code, 1062 | 1586 | 1761 | 1762)
    }

    /// A row refused by CHECK, by a view's CHECK OPTION or by a foreign key, which some servers count nowhere.
    pub(super) fn is_uncounted_refusal(&self) -> bool {
        matches!(self.code, 3819 | 4025 | 1369 | 1452)
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.level, self.code, self.message)
    }
}

/// The warnings of the last statement, as far as `max_error_count` kept them.
pub(super) async fn show(conn: &mut Conn) -> mysql_async::Result<Vec<Warning>> {
    conn.query_map("SHOW WARNINGS", |(level, code, message): (String, u16, Vec<u8>)| Warning {
        level,
        code,
        // It quotes the data, which may be anything.
        message: String::from_utf8_lossy(&message).into_owned(),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_info_text_is_read_beyond_sixteen_bits() {
        let counts = Counts::parse("Records: 200000  Deleted: 1  Skipped: 2  Warnings: 100000");
        assert_eq!(counts, Some(Counts { records: 200_000, deleted: 1, skipped: 2, warnings: 100_000 }));
    }

    #[test]
    fn a_text_in_another_form_is_not_guessed_at() {
        for text in [
            "",
            "Records: 1",
            "Datensaetze: 1  Deleted: 0  Skipped: 0  Warnings: 0",
            "Records: x  Deleted: 0  Skipped: 0  Warnings: 0",
        ] {
            assert_eq!(Counts::parse(text), None, "{text}");
        }
    }
}
