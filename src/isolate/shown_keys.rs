//! Finds the rows that the server's warnings about duplicate keys are about, by comparing the key
//! in the warning with the texts of the rows.
//!
//! This is possible only for keys whose value the server prints as it stands in the row. The other
//! conditions are in [`ShownKeys::read`]. `docs/design/row-isolation.md` has the argument.

use std::collections::{BTreeMap, HashMap};

use crate::dialect::{ColumnOrVariable, FormatConfig};
use crate::error::Result;
use crate::load_data::{Diagnostic, Layout, Plan};
use crate::mysql::{Conn, Phase, TableSchema, UniqueKey, classify};
use crate::policy::OnDuplicate;
use crate::split::{CutRow, Field, FieldReader};
use crate::sql_text::same_name;
use crate::values::ColumnType;

/// The longest text of a key that the servers show whole.
const MAX_SHOWN_BYTES: usize = 60;

/// The unique keys of a table, as far as the rows' own texts show their values.
#[derive(Debug)]
pub(crate) struct ShownKeys {
    reader: FieldReader,
    keys: Vec<ShownKey>,
}

/// A unique key whose value the server shows as it stands in the row.
#[derive(Debug)]
struct ShownKey {
    name: String,
    /// The parts: for each column the index of its field, and the texts that the server shows
    /// unchanged.
    parts: Vec<(usize, ShownText)>,
}

/// The texts of a column that the server shows unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShownText {
    /// Digits, perhaps after a minus, without zeros before them. `is_counter` is true for
    /// `AUTO_INCREMENT`, where 0 becomes another number.
    Integer { is_counter: bool },
    /// `YYYY-MM-DD`.
    Date,
    /// Printable ASCII without blanks at the end.
    Text,
}

/// The warnings that show one value of a key, and the rows that have it.
#[derive(Default)]
struct Group {
    warnings: Vec<usize>,
    rows: Vec<usize>,
}

impl Group {
    /// Returns true if `row` is the first of the rows, and all others have a warning.
    fn stores_first(&self, row: usize) -> bool {
        self.rows.first() == Some(&row) && self.rows.len() == self.warnings.len() + 1
    }
}

impl ShownKeys {
    /// Returns the keys by which the server names duplicates, if it does. Asks the server.
    pub(super) async fn read(
        plan: &Plan,
        layout: &Layout,
        conn: &mut Conn,
    ) -> Result<Option<Self>> {
        let Plan { schema, policy, format, .. } = plan;
        let columns = &layout.columns;
        let (OnDuplicate::Reject, true, Some(flavor)) =
            (policy.on_duplicate, policy.skips_only_duplicates, plan.flavor)
        else {
            return Ok(None);
        };
        let failed = |error| classify(Phase::Transaction, &format!("table {}", plan.table), &error);
        // A trigger can change a key.
        let are_unchanged = schema.triggers.is_empty()
            && schema.shows_triggers(conn, flavor).await.map_err(failed)?;
        if !are_unchanged {
            return Ok(None);
        }
        let keys =
            Self::new(schema.unique_keys(conn).await.map_err(failed)?, schema, columns, format);
        Ok((!keys.is_empty()).then_some(keys))
    }

    /// Returns the keys of a table without triggers whose rows are read in this way.
    fn new(
        keys: Vec<UniqueKey>,
        schema: &TableSchema,
        columns: &[ColumnOrVariable],
        format: &FormatConfig,
    ) -> Self {
        let part = |column: &String| {
            let is_it = |item: &ColumnOrVariable| match item {
                ColumnOrVariable::Column(name) => same_name(name, column),
                ColumnOrVariable::Variable(_) => false,
            };
            let is_set = format.set.iter().any(|(name, _)| same_name(name, column));
            let index = columns.iter().position(is_it).filter(|_| !is_set)?;
            Some((index, ShownText::of(schema, column)?))
        };
        let keys = keys.into_iter().filter_map(|key| {
            let parts = key.columns?.iter().map(part).collect::<Option<Vec<_>>>()?;
            Some(ShownKey { name: key.name, parts })
        });
        // A text that means NULL is no key.
        let keys = if format.null_strings.is_empty() { keys.collect() } else { Vec::new() };
        Self { reader: FieldReader::new(&format.dialect, columns.len()), keys }
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the rows that the server skipped, by their index in `rows`, each with the index of
    /// its warning. `warnings` are all of the statement's warnings about rows that it skipped.
    /// Returns `None` if that is not certain.
    pub(super) fn find(
        &self,
        rows: &[&[u8]],
        warnings: &[&Diagnostic],
    ) -> Option<Vec<(usize, usize)>> {
        let mut groups: Vec<Group> = Vec::new();
        // For each key and text, its group.
        let mut named: BTreeMap<usize, HashMap<&[u8], usize>> = BTreeMap::new();
        for (index, warning) in warnings.iter().enumerate() {
            let (text, name) = shown(&warning.message)?;
            let of_key = named.entry(self.key(name)?).or_default();
            let group = *of_key.entry(text.as_bytes()).or_insert(groups.len());
            if group == groups.len() {
                groups.push(Group::default());
            }
            groups[group].warnings.push(index);
        }
        let mut of_several_groups = Vec::new();
        let mut text = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let fields = self.reader.read(&CutRow::whole(row));
            let mut last = None;
            for (key, of_key) in &named {
                text.clear();
                self.keys[*key].write(&fields, &mut text)?;
                if let Some(&group) = of_key.get(text.as_slice()) {
                    groups[group].rows.push(index);
                    if let Some(last) = last.replace(group) {
                        of_several_groups.extend([(index, last), (index, group)]);
                    }
                }
            }
        }
        // If two keys of a row exist, the server names only one of them. So each row must belong to
        // one group, unless the counts show that the server stored it.
        if !of_several_groups.iter().all(|&(row, group)| groups[group].stores_first(row)) {
            return None;
        }
        let mut found = Vec::with_capacity(warnings.len());
        for Group { warnings, rows } in groups {
            let stored = rows.len().checked_sub(warnings.len()).filter(|stored| *stored <= 1)?;
            found.extend(rows.into_iter().skip(stored).zip(warnings));
        }
        found.sort_unstable();
        Some(found)
    }

    /// Returns the index of the key with this name, `key` or `table.key`.
    fn key(&self, name: &str) -> Option<usize> {
        let is_it = |key: &ShownKey| {
            name.strip_suffix(&key.name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let index = self.keys.iter().position(is_it)?;
        (!self.keys[index + 1..].iter().any(is_it)).then_some(index)
    }
}

impl ShownKey {
    /// Writes the row's value of the key as the server shows it, or nothing if it has a NULL and is
    /// therefore no duplicate. Returns `None` if the server may show another text.
    fn write(&self, fields: &[Field<'_>], out: &mut Vec<u8>) -> Option<()> {
        for (at, (index, kind)) in self.parts.iter().enumerate() {
            match fields.get(*index)? {
                Field::Value(text) if kind.is_shown(text, self.parts.len() > 1) => {
                    if at > 0 {
                        out.push(b'-');
                    }
                    out.extend_from_slice(text);
                }
                // The server gives the row the next number.
                Field::Null if *kind == (ShownText::Integer { is_counter: true }) => return None,
                Field::Null => {
                    out.clear();
                    return Some(());
                }
                _ => return None,
            }
        }
        (out.len() <= MAX_SHOWN_BYTES).then_some(())
    }
}

impl ShownText {
    fn of(schema: &TableSchema, column: &str) -> Option<Self> {
        let column = schema.column(column)?;
        match ColumnType::parse(&column.column_type) {
            ColumnType::Integer { .. } if !column.column_type.contains("zerofill") => {
                Some(Self::Integer { is_counter: column.is_auto_increment })
            }
            ColumnType::Date => Some(Self::Date),
            ColumnType::Characters(_) => Some(Self::Text),
            _ => None,
        }
    }

    /// Returns true if the server shows this text unchanged. In a key of several columns, whose
    /// texts are joined by `-`, no two rows with other values may look alike.
    fn is_shown(self, text: &[u8], is_joined: bool) -> bool {
        match self {
            Self::Integer { is_counter } => {
                let digits = text.strip_prefix(b"-").unwrap_or(text);
                let is_plain = digits.iter().all(u8::is_ascii_digit) && !digits.starts_with(b"0");
                !digits.is_empty() && is_plain || (text == b"0" && !is_counter)
            }
            Self::Date => {
                text.len() == 10
                    && text.iter().enumerate().all(|(at, byte)| match at {
                        4 | 7 => *byte == b'-',
                        _ => byte.is_ascii_digit(),
                    })
            }
            Self::Text => {
                let is_plain = |byte: &u8| {
                    matches!(byte, b' '..=b'~')
                        && !matches!(byte, b'\'' | b'\\')
                        && !(is_joined && *byte == b'-')
                };
                text.iter().all(is_plain) && !text.ends_with(b" ")
            }
        }
    }
}

/// Returns the value and the key that a warning shows.
fn shown(message: &str) -> Option<(&str, &str)> {
    let (text, key) = message.strip_prefix("Duplicate entry '")?.rsplit_once("' for key '")?;
    Some((text, key.strip_suffix('\'')?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Preset;

    fn keys(parts: &[(&str, &[(usize, ShownText)])]) -> ShownKeys {
        let key = |(name, parts): &(&str, &[(usize, ShownText)])| ShownKey {
            name: (*name).to_owned(),
            parts: parts.to_vec(),
        };
        ShownKeys {
            reader: FieldReader::new(&Preset::Mysql.dialect(), 2),
            keys: parts.iter().map(key).collect(),
        }
    }

    /// Returns the numbers of the rows, from 0, that are duplicates by these values and keys.
    fn found(keys: &ShownKeys, rows: &[&str], warnings: &[(&str, &str)]) -> Option<Vec<usize>> {
        let rows: Vec<&[u8]> = rows.iter().map(|row| row.as_bytes()).collect();
        let warning = |(text, key): &(&str, &str)| {
            let message = format!("Duplicate entry '{text}' for key '{key}'");
            Diagnostic::new("Warning".to_owned(), 1062, message)
        };
        let warnings: Vec<Diagnostic> = warnings.iter().map(warning).collect();
        let found = keys.find(&rows, &warnings.iter().collect::<Vec<_>>())?;
        Some(found.into_iter().map(|(row, _)| row).collect())
    }

    const INTEGER: ShownText = ShownText::Integer { is_counter: false };

    #[test]
    fn of_rows_with_one_key_the_first_or_none_is_stored() {
        let keys = keys(&[("PRIMARY", &[(0, INTEGER)])]);
        let rows = ["1\ta", "2\tb", "1\tc", "3\td", "1\te"];
        let named = ("1", "t.PRIMARY");
        assert_eq!(found(&keys, &rows, &[named; 3]), Some(vec![0, 2, 4]));
        assert_eq!(found(&keys, &rows, &[named; 2]), Some(vec![2, 4]));
        assert_eq!(found(&keys, &rows, &[("1", "PRIMARY"), named]), Some(vec![2, 4]));
        // The server must have stored one of them twice, or skipped one that is not there.
        assert_eq!(found(&keys, &rows, &[named; 1]), None);
        assert_eq!(found(&keys, &rows, &[named; 4]), None);
        assert_eq!(found(&keys, &rows, &[("4", "t.PRIMARY")]), None);
        assert_eq!(found(&keys, &rows, &[("1", "t.other")]), None);
    }

    #[test]
    fn a_row_with_two_keys_that_exist_is_not_certain() {
        let keys = keys(&[("PRIMARY", &[(0, INTEGER)]), ("u", &[(1, INTEGER)])]);
        let rows = ["1\t5", "2\t6"];
        assert_eq!(found(&keys, &rows, &[("1", "PRIMARY"), ("6", "u")]), Some(vec![0, 1]));
        assert_eq!(found(&keys, &rows, &[("1", "PRIMARY"), ("5", "u")]), None);
    }

    #[test]
    fn a_row_whose_two_keys_return_is_stored_if_all_others_with_them_are_named() {
        let keys = keys(&[("PRIMARY", &[(0, INTEGER)]), ("u", &[(1, INTEGER)])]);
        let rows = ["1\t5", "1\t6", "2\t5"];
        let named = [("1", "PRIMARY"), ("5", "u")];
        assert_eq!(found(&keys, &rows, &named), Some(vec![1, 2]));
        // The first row may have been skipped for its 5, and then the second was stored.
        assert_eq!(found(&keys, &rows, &[("5", "u"), ("5", "u")]), Some(vec![0, 2]));
        let again = ["1\t5", "1\t6", "2\t5", "2\t7"];
        let named = [("1", "PRIMARY"), ("5", "u"), ("2", "PRIMARY")];
        assert_eq!(found(&keys, &again, &named), None);
        assert_eq!(found(&keys, &["3\t5", "1\t5", "1\t6"], &named[..2]), None);
    }

    #[test]
    fn a_text_that_the_server_shows_otherwise_makes_all_uncertain() {
        let integer = keys(&[("k", &[(0, INTEGER)])]);
        for text in ["07", "+7", "7.0", " 7", "-07", "x", ""] {
            let row = format!("{text}\t1");
            assert_eq!(found(&integer, &["7\t1", &row], &[("7", "k")]), None, "{text}");
        }
        let counter = keys(&[("k", &[(0, ShownText::Integer { is_counter: true })])]);
        for text in ["0", "\\N"] {
            let row = format!("{text}\t1");
            assert_eq!(found(&counter, &["7\t1", &row], &[("7", "k")]), None, "{text}");
        }
        let text = keys(&[("k", &[(0, ShownText::Text)])]);
        for other in ["a ", "\u{e1}", "a'", "a\\b"] {
            let row = format!("{other}\t1");
            assert_eq!(found(&text, &["a\t1", &row], &[("a", "k")]), None, "{other}");
        }
        let long = "x".repeat(MAX_SHOWN_BYTES + 1);
        assert_eq!(found(&text, &[&long, "a\t1"], &[("a", "k")]), None);
    }

    #[test]
    fn a_key_of_several_columns_is_joined() {
        let both = keys(&[("k", &[(0, INTEGER), (1, INTEGER)])]);
        let rows = ["1\t-2", "1\t2", "1\t\\N", "1\t2"];
        assert_eq!(found(&both, &rows, &[("1--2", "k")]), Some(vec![0]));
        assert_eq!(found(&both, &rows, &[("1-2", "k")]), Some(vec![3]));
        let texts = keys(&[("k", &[(0, ShownText::Text), (1, ShownText::Text)])]);
        assert_eq!(found(&texts, &["a-b\tc", "a\tb-c"], &[("a-b-c", "k")]), None);
        assert_eq!(found(&texts, &["a\tc", "a\tb"], &[("a-b", "k")]), Some(vec![1]));
    }
}
