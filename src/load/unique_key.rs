//! The target's unique key, read from a row's bytes before a server has seen them.
//!
//! What comes of it is bytes to [sort](super::sorting) rows by, and one thing has to be true of
//! those: **what the server holds to be equal is equal here.** Rows of one key keep their order
//! then, so that the same of them wins, and all transactions take their locks in one order. Which
//! order that is does not matter, nor whether some keys are equal here that are not there.
//!
//! So a key is *plain* or it is not used at all. There must be one alone: of two, an order by the
//! one says nothing of the other, and who wins by it would change. Its columns are filled from
//! fields as they are. Nothing else may depend on the order of rows either: no trigger, no `--set`,
//! no number that the server counts up, no foreign key (to the table itself). And each value must
//! be written so that it can have no second text: [`Form`].

use super::target_columns::same_name;
use crate::config::{ColumnOrVariable, FormatConfig};
use crate::split::{Field, FieldReader};

/// A column of the target, as `information_schema` describes it.
#[derive(Clone, Debug)]
pub struct KeyColumn {
    pub name: String,
    /// `DATA_TYPE`, without length and sign.
    pub data_type: String,
    /// Of text.
    pub collation: Option<String>,
    pub is_generated: bool,
    pub is_auto_increment: bool,
}

/// A part of a PRIMARY or UNIQUE key.
#[derive(Clone, Debug)]
pub struct KeyPart {
    pub key: String,
    /// `None` of an expression.
    pub column: Option<String>,
    /// Whether only the beginning of the column counts.
    pub is_prefix: bool,
    pub is_btree: bool,
}

/// A plain key.
#[derive(Clone, Debug)]
pub struct UniqueKey {
    parts: Vec<Part>,
    fields: FieldReader,
    /// Words that mean NULL.
    nulls: Vec<String>,
}

#[derive(Clone, Debug)]
struct Part {
    column: String,
    /// Which field of a row is its.
    field: usize,
    form: Form,
}

/// How the values of a key's column must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A sign or none, and digits.
    Integer,
    /// Bytes, but for those at the end that the server may not mind.
    Bytes { pad: u8, is_ascii_only: bool },
    /// Printable ASCII, of which the collation tells letters apart, though perhaps not their case.
    Word,
    /// As in `0000-00-00`, every digit written.
    Moment(&'static [u8]),
}

/// Collations in which two texts of printable ASCII are equal only if they differ in nothing but
/// case and spaces at the end. In languages' own ones `i` may be `y`.
const WORDS: [&str; 9] = [
    "general_ci",
    "unicode_ci",
    "unicode_520_ci",
    "0900_ai_ci",
    "0900_as_ci",
    "0900_as_cs",
    "uca1400_ai_ci",
    "uca1400_as_ci",
    "uca1400_as_cs",
];

impl Form {
    fn of(column: &KeyColumn, format: &FormatConfig) -> Option<Self> {
        match column.data_type.to_ascii_lowercase().as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Some(Self::Integer),
            "date" => Some(Self::Moment(b"0000-00-00")),
            "datetime" => Some(Self::Moment(b"0000-00-00 00:00:00")),
            "binary" | "varbinary" => Some(Self::Bytes { pad: 0, is_ascii_only: false }),
            "char" | "varchar" => {
                let collation = column.collation.as_deref()?.to_ascii_lowercase();
                let (charset, rest) = collation.split_once('_')?;
                let is_utf8 = charset.starts_with("utf8");
                if matches!(rest, "bin" | "nopad_bin" | "0900_bin") {
                    // What is converted on its way may lose what told it apart.
                    let is_converted =
                        charset != format.charset.name() && !(is_utf8 && format.charset.is_utf8());
                    return Some(Self::Bytes { pad: b' ', is_ascii_only: is_converted });
                }
                let is_known = is_utf8 && WORDS.contains(&rest)
                    || matches!(collation.as_str(), "latin1_swedish_ci" | "ascii_general_ci");
                is_known.then_some(Self::Word)
            }
            _ => None,
        }
    }

    /// Adds a value to the bytes of a key; false where it is not of this form.
    fn put(self, value: &[u8], key: &mut Vec<u8>) -> bool {
        match self {
            Self::Integer => match integer(value) {
                // Nine bytes hold it, as it has no more than 19 digits.
                Some(number) => key.extend_from_slice(&(number + (1 << 64)).to_be_bytes()[7..]),
                None => return false,
            },
            Self::Bytes { is_ascii_only: true, .. } if !value.is_ascii() => return false,
            Self::Bytes { pad, .. } => put_text(value, pad, false, key),
            Self::Word if value.iter().all(|byte| matches!(byte, b' '..=b'~')) => {
                put_text(value, b' ', true, key)
            }
            Self::Word => return false,
            Self::Moment(pattern) => {
                let fits = |(byte, like): (&u8, &u8)| {
                    if *like == b'0' { byte.is_ascii_digit() } else { byte == like }
                };
                if value.len() != pattern.len() || !value.iter().zip(pattern).all(fits) {
                    return false;
                }
                key.extend_from_slice(value);
            }
        }
        true
    }
}

fn integer(text: &[u8]) -> Option<i128> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if !matches!(digits.len(), 1..=19) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0, |size, digit| size * 10 + i128::from(digit - b'0'));
    Some(if is_negative { -size } else { size })
}

/// So that what follows in the key can't be taken for a part of the text.
fn put_text(text: &[u8], pad: u8, folds_case: bool, key: &mut Vec<u8>) {
    let length = text.iter().rposition(|&byte| byte != pad).map_or(0, |last| last + 1);
    for byte in &text[..length] {
        match if folds_case { byte.to_ascii_lowercase() } else { *byte } {
            0 => key.extend_from_slice(&[0, 0xFF]),
            byte => key.push(byte),
        }
    }
    key.extend_from_slice(&[0, 0]);
}

impl UniqueKey {
    /// `columns` are all of the table's, `parts` those of all its unique keys, `items` what a row's
    /// fields are read into.
    #[must_use]
    pub fn plain(
        columns: &[KeyColumn],
        parts: &[KeyPart],
        items: &[ColumnOrVariable],
        format: &FormatConfig,
    ) -> Option<Self> {
        let first = parts.first()?;
        let is_one =
            parts.iter().all(|part| part.key == first.key && part.is_btree && !part.is_prefix);
        if !is_one || !format.set.is_empty() {
            return None;
        }
        let parts = parts
            .iter()
            .map(|part| {
                let name = part.column.as_ref()?;
                let column = columns.iter().find(|column| same_name(&column.name, name) && !column.is_generated)?;
                let is_its =
                    |item: &ColumnOrVariable| matches!(item, ColumnOrVariable::Column(item) if same_name(item, name));
                let field = items.iter().position(is_its)?;
                Some(Part { column: name.clone(), field, form: Form::of(column, format)? })
            })
            .collect::<Option<Vec<Part>>>()?;
        let is_key = |name: &str| parts.iter().any(|part| same_name(&part.column, name));
        // The numbers that rows get would follow the order that they are sent in.
        if columns.iter().any(|column| column.is_auto_increment && !is_key(&column.name)) {
            return None;
        }
        let fields = parts.iter().map(|part| part.field + 1).max().unwrap_or(0);
        Some(Self {
            fields: FieldReader::new(&format.dialect, fields),
            parts,
            nulls: format.null_strings.clone(),
        })
    }

    /// Adds the key of a row to `key`; false where it is not written plainly, and then `key` has
    /// some of it.
    pub fn put(&self, row: &[u8], key: &mut Vec<u8>) -> bool {
        let fields = self.fields.read(row);
        self.parts.iter().all(|part| match fields.get(part.field) {
            Some(Field::Value(value))
                if !self.nulls.iter().any(|null| null.as_bytes() == value.as_ref()) =>
            {
                part.form.put(value, key)
            }
            _ => false,
        })
    }

    /// Whether a column of that name is part of it.
    pub(super) fn has(&self, column: &str) -> bool {
        self.parts.iter().any(|part| same_name(&part.column, column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Charset, Preset};

    fn column(name: &str, data_type: &str) -> KeyColumn {
        KeyColumn {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            collation: None,
            is_generated: false,
            is_auto_increment: false,
        }
    }

    fn text(name: &str, collation: &str) -> KeyColumn {
        KeyColumn { collation: Some(collation.to_owned()), ..column(name, "varchar") }
    }

    fn part(key: &str, column: &str) -> KeyPart {
        KeyPart {
            key: key.to_owned(),
            column: Some(column.to_owned()),
            is_prefix: false,
            is_btree: true,
        }
    }

    fn items(names: &[&str]) -> Vec<ColumnOrVariable> {
        let item = |name: &&str| match name.strip_prefix('@') {
            Some(name) => ColumnOrVariable::Variable(name.to_owned()),
            None => ColumnOrVariable::Column((*name).to_owned()),
        };
        names.iter().map(item).collect()
    }

    fn format() -> FormatConfig {
        FormatConfig {
            dialect: Preset::Csv.dialect(),
            charset: Charset::default(),
            ignore_lines: 0,
            columns: None,
            set: Vec::new(),
            null_strings: vec!["-".to_owned()],
        }
    }

    /// The key of a row of one field; `None` where it is not plain.
    fn key(column: KeyColumn, value: &[u8]) -> Option<Vec<u8>> {
        let parts = [part("PRIMARY", &column.name)];
        let read = items(&[&column.name]);
        let mut key = Vec::new();
        UniqueKey::plain(&[column], &parts, &read, &format())
            .unwrap()
            .put(value, &mut key)
            .then_some(key)
    }

    #[test]
    fn a_key_is_plain_if_it_is_the_only_one_and_filled_from_fields_as_they_are() {
        let columns = [column("a", "int"), column("b", "date"), column("c", "double")];
        let all = items(&["a", "b", "c"]);
        let is_plain = |columns: &[KeyColumn], parts: &[KeyPart], items: &[ColumnOrVariable]| {
            UniqueKey::plain(columns, parts, items, &format()).is_some()
        };
        let both = [part("PRIMARY", "a"), part("PRIMARY", "B")];
        assert!(is_plain(&columns, &both, &all));
        assert!(is_plain(&columns, &both, &items(&["b", "@skip", "A"])));
        assert!(!is_plain(&columns, &[], &all), "no key");
        assert!(!is_plain(&columns, &[part("PRIMARY", "a"), part("u", "b")], &all), "two keys");
        assert!(!is_plain(&columns, &[part("u", "c")], &all), "a type with many texts for a value");
        assert!(!is_plain(&columns, &both, &items(&["a", "@b"])), "by way of a variable");
        assert!(!is_plain(&columns, &both, &items(&["a", "c"])), "a default");
        assert!(
            !is_plain(&columns, &[KeyPart { column: None, ..part("u", "a") }], &all),
            "an expression"
        );
        assert!(!is_plain(&columns, &[KeyPart { is_prefix: true, ..part("u", "a") }], &all));
        assert!(!is_plain(&columns, &[KeyPart { is_btree: false, ..part("u", "a") }], &all));
        let generated = KeyColumn { is_generated: true, ..column("a", "int") };
        assert!(!is_plain(&[generated], &[part("u", "a")], &all));
        let numbered = KeyColumn { is_auto_increment: true, ..column("n", "int") };
        assert!(!is_plain(&[numbered.clone(), column("a", "int")], &[part("u", "a")], &all));
        assert!(is_plain(&[numbered], &[part("PRIMARY", "n")], &items(&["n"])));
        let computed =
            FormatConfig { set: vec![("c".to_owned(), "@n := @n + 1".to_owned())], ..format() };
        assert!(UniqueKey::plain(&columns, &both, &all, &computed).is_none());
    }

    #[test]
    fn numbers_are_told_apart_by_their_value_and_ordered_by_it() {
        let of = |text: &[u8]| key(column("a", "bigint"), text);
        let ordered: [&[u8]; 8] = [
            b"-9223372036854775808",
            b"-10",
            b"-9",
            b"0",
            b"1",
            b"02",
            b"10",
            b"9223372036854775808",
        ];
        let keys: Vec<Vec<u8>> = ordered.iter().map(|text| of(text).unwrap()).collect();
        assert!(keys.is_sorted() && keys.iter().all(|key| key.len() == 9), "{keys:?}");
        assert_eq!(of(b"+7"), of(b"007"));
        assert_eq!(of(b"-0"), of(b"0"));
        for text in
            ["", "-", "1 ", " 1", "1.0", "1e3", "0x1", "12345678901234567890", "NULL", "\\N"]
        {
            assert_eq!(of(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn texts_are_equal_where_any_server_may_hold_them_to_be() {
        let bytes = |text: &[u8]| key(column("a", "varbinary"), text);
        assert_eq!(bytes(b"a\0"), bytes(b"a"));
        assert_ne!(bytes(b"a\0b"), bytes(b"ab"));
        assert_ne!(bytes(b"A"), bytes(b"a"));
        let exact = |text: &str| key(text_of("utf8mb4_bin"), text.as_bytes());
        assert_eq!(exact("é  "), exact("é"));
        assert_ne!(exact("é"), exact("e"));
        let word = |text: &str| key(text_of("utf8mb4_0900_ai_ci"), text.as_bytes());
        assert_eq!(word("Key-1 "), word("\"key-1\""));
        assert_ne!(word("key-1"), word("key_1"));
        assert_eq!((word("é"), word("a\tb"), word("-")), (None, None, None));
        assert_eq!(key(text_of("latin1_bin"), "é".as_bytes()), None, "converted on its way");
        assert!(key(text_of("latin1_bin"), b"e").is_some());
        let columns = [text("a", "utf8mb4_lt_0900_ai_ci")];
        assert!(UniqueKey::plain(&columns, &[part("u", "a")], &items(&["a"]), &format()).is_none());
    }

    fn text_of(collation: &str) -> KeyColumn {
        text("a", collation)
    }

    #[test]
    fn moments_are_written_in_full() {
        assert_eq!(key(column("a", "date"), b"2026-01-02").unwrap(), b"2026-01-02");
        assert!(key(column("a", "datetime"), b"2026-01-02 03:04:05").is_some());
        for text in ["2026-1-2", "20260102", "2026-01-02 00:00:00", "2026/01/02", "2O26-01-02"] {
            assert_eq!(key(column("a", "date"), text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn the_columns_of_a_key_do_not_run_into_each_other() {
        let columns = [column("a", "varbinary"), column("b", "varbinary")];
        let parts = [part("PRIMARY", "a"), part("PRIMARY", "b")];
        let plain =
            UniqueKey::plain(&columns, &parts, &items(&["b", "x", "a"]), &format()).unwrap();
        let of = |row: &[u8]| {
            let mut key = Vec::new();
            plain.put(row, &mut key).then_some(key)
        };
        assert_ne!(of(b"b,,a"), of(b",,ab"));
        assert!(of(b"b,,a") < of(b"a,,b"), "the key's first column comes first");
        assert_eq!(of(b"b,x"), None, "a field is missing");
        assert!(plain.has("A") && !plain.has("x"));
    }
}
