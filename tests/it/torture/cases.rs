//! Every kind of bad value for every common type of column, and its fate according to the servers'
//! manuals.
//!
//! A case is one field that replaces the good one of its column in a row that is otherwise good.
//! The tests also ask the server for its fate (a bad value, a note, a statement's error ...) in
//! another way, by INSERT under a strict `sql_mode`.

use Fate::{
    After, Bad, BadByMode, Disguised, Duplicate, Error, Good, Noted, Refused, Remark, ZeroDate,
};

use crate::support::servers::ServerKind;

/// A row's fate, with the server's code for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Stored as it stands, or as what it can be read as, without a warning.
    Good,
    /// Stored with a message that is no error in strict mode either: a rounding, a remark about an
    /// old notation.
    Remark(u16),
    /// Loaded with a note by the program. The server says nothing.
    Noted,
    /// Another value would be stored. This is the warning's code.
    Bad(u16),
    /// The same as `Bad`, but a load calls it a note, as if it were a rounding.
    Disguised(u16),
    /// The same as `Bad`, with another code outside strict mode.
    BadByMode { strict: u16, lenient: u16 },
    /// The same as `Bad` where zero dates are forbidden, and as `Good` elsewhere.
    ZeroDate(u16),
    /// The row is not stored, with a warning that does not name it.
    Refused(u16),
    /// The row is not stored, because its key is taken.
    Duplicate,
    /// The statement fails, and none of its rows is stored.
    Error(u16),
    /// The fate, after a remark.
    After(u16, &'static Self),
}

impl Fate {
    /// Returns the fate without the remarks before it.
    pub(super) fn itself(self) -> Self {
        match self {
            After(_, fate) => fate.itself(),
            fate => fate,
        }
    }

    /// Returns the codes of the warnings about one such row, in order.
    pub(super) fn codes(self, is_lenient: bool) -> Vec<u16> {
        match self {
            Good | Noted => Vec::new(),
            ZeroDate(_) if is_lenient => Vec::new(),
            Remark(code) | Bad(code) | Disguised(code) | ZeroDate(code) | Refused(code)
            | Error(code) => vec![code],
            BadByMode { strict, lenient } => vec![if is_lenient { lenient } else { strict }],
            Duplicate => vec![1062],
            After(code, fate) => [vec![code], fate.codes(is_lenient)].concat(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Text(&'static str),
    /// A text repeated this many times.
    Repeated(&'static str, usize),
    Null,
    /// The key of the first row.
    First,
    /// The row ends before its last field.
    Missing,
    /// The row has an extra field.
    Extra,
}

#[derive(Debug)]
pub(super) struct Case {
    /// The name of the badness. With the column's name, it is the name of the case.
    pub(super) what: &'static str,
    pub(super) column: &'static str,
    pub(super) field: Field,
    mysql: Fate,
    mariadb: Fate,
}

impl Case {
    pub(super) fn fate(&self, kind: ServerKind) -> Fate {
        match kind {
            ServerKind::Mysql => self.mysql,
            ServerKind::Mariadb => self.mariadb,
        }
    }

    /// Returns the program's verdict: the server's fate, but for what the rules for values see
    /// otherwise by design.
    pub(super) fn verdict(&self, kind: ServerKind) -> Fate {
        match (self.column, self.what) {
            // The server would round it, and say nothing.
            ("tiny", "a fraction") => Bad(1366),
            // A digit is no label.
            ("choice", "by number") => Bad(1265),
            // MySQL would store midnight.
            ("time_of_day", "nothing") => Bad(1366),
            // MySQL would fail the statement, and MariaDB's CHECK would refuse the row.
            ("document", _) => Bad(3140),
            // An instant is stored, on both servers, as the time in the zone that is asked for.
            ("instant", "a zone's offset" | "UTC as ISO 8601 has it") => Good,
            // The program writes the value as the column keeps it, so the server has no remark.
            ("instant", "a fraction") | ("money", "a digit too many") | ("day", "with a time") => {
                Noted
            }
            // The servers say nothing about blanks that a CHAR drops.
            ("fixed", "too long by blanks") => Noted,
            // The program writes these in the server's own notation.
            ("tiny", "blanks around") | ("day", "slashes") => Good,
            _ => self.fate(kind),
        }
    }

    /// Returns true if the row is stored, but with other values than the server would store.
    pub(super) fn is_read_otherwise(&self, kind: ServerKind) -> bool {
        self.verdict(kind) == Good && matches!(self.fate(kind), Bad(_))
            || self.column == "instant" && self.what == "a zone's offset"
    }

    /// Returns true if the rules for values find the row bad, before the server sees it.
    pub(super) fn is_bad_by_rules(&self, kind: ServerKind) -> bool {
        // The server alone computes the values of generated columns, and reads the bytes of bits.
        // The versions of MariaDB differ in the last year of a TIMESTAMP.
        let is_left_to_server = ["halved", "bits"].contains(&self.column)
            || kind == ServerKind::Mariadb && self.column == "stamp" && self.what == "after 2038";
        !is_left_to_server
            && matches!(
                self.verdict(kind).itself(),
                Bad(_) | BadByMode { .. } | Disguised(_) | ZeroDate(_)
            )
    }

    /// Returns the column that the server's message names.
    pub(super) fn named_column(&self) -> Option<&'static str> {
        match self.field {
            Field::Missing | Field::Extra => None,
            // The value fits, but the value generated from it does not.
            _ if self.column == "halved" => Some("whole"),
            _ => Some(self.column),
        }
    }
}

pub(super) struct Column {
    pub(super) name: &'static str,
    /// Its type and attributes.
    definition: &'static str,
    /// A good field. `#` is the row's number.
    pub(super) good: &'static str,
    /// True if the server makes its values.
    pub(super) is_generated: bool,
}

const fn column(name: &'static str, definition: &'static str, good: &'static str) -> Column {
    Column { name, definition, good, is_generated: false }
}

/// WKB of POINT(0 0) after SRID 0, the only form in which LOAD DATA takes a geometry.
const POINT: &str = "\0\0\0\0\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

pub(super) const COLUMNS: &[Column] = &[
    column("id", "INT NOT NULL PRIMARY KEY", "#"),
    column("tiny", "TINYINT", "-128"),
    column("tiny_unsigned", "TINYINT UNSIGNED", "255"),
    column("small", "SMALLINT", "-32768"),
    column("small_unsigned", "SMALLINT UNSIGNED", "65535"),
    column("medium", "MEDIUMINT", "-8388608"),
    column("medium_unsigned", "MEDIUMINT UNSIGNED", "16777215"),
    column("whole_number", "INT", "-2147483648"),
    column("unsigned_number", "INT UNSIGNED", "4294967295"),
    column("big", "BIGINT", "-9223372036854775808"),
    column("big_unsigned", "BIGINT UNSIGNED", "18446744073709551615"),
    column("money", "DECIMAL(5,2)", "-999.99"),
    column("money_unsigned", "DECIMAL(5,2) UNSIGNED", "999.99"),
    column("float_number", "FLOAT", "1.5"),
    column("double_number", "DOUBLE", "-2.5e300"),
    column("day", "DATE", "2024-02-29"),
    column("instant", "DATETIME", "2026-01-01 23:59:59"),
    column("stamp", "TIMESTAMP NULL", "2026-01-01 00:00:00"),
    column("time_of_day", "TIME", "-838:59:59"),
    column("year_number", "YEAR", "2155"),
    column("bits", "BIT(6)", "1"),
    column("choice", "ENUM('a','b')", "b"),
    column("choices", "SET('a','b')", "a,b"),
    column("document", "JSON", r#"{"a": [1, "x"]}"#),
    column("bytes", "TINYBLOB", "bytes"),
    column("few_bytes", "VARBINARY(3)", "abc"),
    column("place", "GEOMETRY", POINT),
    column("fixed", "CHAR(3) CHARACTER SET utf8mb4", "äöü"),
    column("text", "VARCHAR(3) CHARACTER SET utf8mb4", "a😀c"),
    column("western", "VARCHAR(9) CHARACTER SET latin1", "süß"),
    column("plain", "VARCHAR(9) CHARACTER SET ascii", "plain"),
    column("old_unicode", "VARCHAR(9) CHARACTER SET utf8mb3", "茶"),
    column("halved", "INT", "63"),
    Column {
        name: "whole",
        definition: "TINYINT AS (halved * 2) STORED",
        good: "126",
        is_generated: true,
    },
    column("needed", "INT NOT NULL", "0"),
    column("needed_text", "VARCHAR(9) CHARACTER SET utf8mb4 NOT NULL", ""),
    column("checked", "INT CHECK (checked < 100)", "99"),
    column("parent", "INT", "1"),
    column("single", "VARCHAR(20) CHARACTER SET utf8mb4 UNIQUE", "single #"),
    // The last column, with a line break, so that rows are not lines.
    column("note", "VARCHAR(40) CHARACTER SET utf8mb4", "row #\n, \"and more\""),
];

/// Returns the statements that create `table` and its `parents`, which contain number 1.
pub(super) fn create(table: &str) -> [String; 3] {
    let columns: Vec<String> =
        COLUMNS.iter().map(|column| format!("{} {}", column.name, column.definition)).collect();
    [
        format!("CREATE TABLE {table}_parents (number INT PRIMARY KEY) ENGINE=InnoDB"),
        format!("INSERT INTO {table}_parents VALUES (1)"),
        format!(
            "CREATE TABLE {table} ({}, FOREIGN KEY (parent) REFERENCES {table}_parents (number)) \
             ENGINE=InnoDB",
            columns.join(", ")
        ),
    ]
}

const fn case(
    column: &'static str,
    what: &'static str,
    text: &'static str,
    mysql: Fate,
    mariadb: Fate,
) -> Case {
    Case { what, column, field: Field::Text(text), mysql, mariadb }
}

const fn both(column: &'static str, what: &'static str, text: &'static str, fate: Fate) -> Case {
    case(column, what, text, fate, fate)
}

const fn other(
    column: &'static str,
    what: &'static str,
    field: Field,
    mysql: Fate,
    mariadb: Fate,
) -> Case {
    Case { what, column, field, mysql, mariadb }
}

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    // Whole numbers.
    both("tiny", "a word", "abc", Bad(1366)),
    both("tiny", "nothing", "", Bad(1366)),
    both("tiny", "a word behind a number", "1x", Bad(1265)),
    both("tiny", "two numbers", "1 2", Bad(1265)),
    both("tiny", "hexadecimal", "0x1F", Bad(1265)),
    both("tiny", "too great", "128", Bad(1264)),
    both("tiny", "too small", "-129", Bad(1264)),
    case("tiny", "blanks around", " 12 ", Good, Remark(1265)),
    both("tiny", "an exponent", "1e2", Good),
    both("tiny", "an exponent too great", "1e3", Bad(1264)),
    both("tiny", "a fraction", "1.5", Good),
    both("tiny", "a comma", "1,5", Bad(1265)),
    both("tiny_unsigned", "too great", "256", Bad(1264)),
    both("tiny_unsigned", "negative", "-1", Bad(1264)),
    both("small", "too great", "32768", Bad(1264)),
    both("small", "true", "true", Bad(1366)),
    both("small_unsigned", "negative", "-1", Bad(1264)),
    both("small_unsigned", "too great", "65536", Bad(1264)),
    both("medium", "too small", "-8388609", Bad(1264)),
    both("medium_unsigned", "too great", "16777216", Bad(1264)),
    both("medium_unsigned", "negative", "-1", Bad(1264)),
    both("whole_number", "too great", "2147483648", Bad(1264)),
    both("whole_number", "a date", "2026-01-01", Bad(1265)),
    both("whole_number", "wide digits", "１２", Bad(1366)),
    both("unsigned_number", "negative", "-1", Bad(1264)),
    both("unsigned_number", "too great", "4294967296", Bad(1264)),
    both("big", "too great", "9223372036854775808", Bad(1264)),
    both("big", "far too great", "99999999999999999999999", Bad(1264)),
    both("big", "a word", "NaN", Bad(1366)),
    both("big_unsigned", "negative", "-1", Bad(1264)),
    both("big_unsigned", "too great", "18446744073709551616", Bad(1264)),

    // Numbers with fractions.
    both("money", "a word", "abc", Bad(1366)),
    both("money", "nothing", "", Bad(1366)),
    case("money", "a currency", "12.50 EUR", Disguised(1265), Bad(1265)),
    case("money", "a comma", "12,50", Disguised(1265), Bad(1265)),
    both("money", "too great", "1000", Bad(1264)),
    both("money", "too great when rounded", "999.999", Bad(1264)),
    both("money", "too small", "-1000.00", Bad(1264)),
    both("money", "a digit too many", "1.005", Remark(1265)),
    both("money_unsigned", "negative", "-0.01", Bad(1264)),
    both("float_number", "a word", "abc", Bad(1366)),
    both("float_number", "not a number", "nan", Bad(1366)),
    both("float_number", "nothing", "", Bad(1366)),
    both("float_number", "too great", "1e39", Bad(1264)),
    both("float_number", "digits beyond its own", "0.123456789", Good),
    case("double_number", "a word", "1.5x", Bad(1366), Bad(1265)),
    both("double_number", "too great", "1e400", Bad(1264)),
    both("double_number", "infinite", "Infinity", Bad(1366)),

    // Dates and times.
    both("day", "a word", "soon", Bad(1265)),
    both("day", "nothing", "", Bad(1265)),
    case("day", "a day that is not", "2026-02-30", Bad(1264), Bad(1265)),
    both("day", "a month that is not", "2026-13-01", Bad(1265)),
    case("day", "no leap year", "2026-02-29", Bad(1264), Bad(1265)),
    both("day", "zero", "0000-00-00", ZeroDate(1264)),
    case("day", "zero day", "2026-01-00", ZeroDate(1264), ZeroDate(1265)),
    both("day", "the other way round", "31.12.2026", Bad(1265)),
    both("day", "with a time", "2026-01-01 12:00:00", Remark(1265)),
    both("day", "digits alone", "20260101", Good),
    case("day", "slashes", "2026/01/01", Remark(4095), Good),
    both("instant", "a word", "now", Bad(1265)),
    both("instant", "nothing", "", Bad(1265)),
    case("instant", "a day that is not", "2026-04-31 00:00:00", Bad(1264), Bad(1265)),
    both("instant", "an hour that is not", "2026-01-01 25:00:00", Bad(1265)),
    both("instant", "a second that is not", "2026-01-01 00:00:60", Bad(1265)),
    both("instant", "zero", "0000-00-00 00:00:00", ZeroDate(1264)),
    case("instant", "a zone's offset", "2026-01-01 00:00:00+02:00", Good, Bad(1265)),
    both("instant", "an offset that is not", "2026-01-01 00:00:00+15:00", Bad(1265)),
    case("instant", "UTC as ISO 8601 has it", "2026-01-01T00:00:00Z", Bad(1265), Bad(1265)),
    case("instant", "a zone's name", "2026-01-01 00:00:00 CET", After(4096, &Bad(1265)), Bad(1265)),
    both("instant", "a fraction", "2026-01-01 00:00:00.4", Good),
    both("instant", "seconds since 1970", "1767225600", Bad(1265)),
    both("instant", "a day alone", "2026-01-01", Good),
    both("stamp", "a word", "x", Bad(1265)),
    both("stamp", "before 1970", "1969-12-31 12:00:00", Bad(1264)),
    both("stamp", "after 2038", "2038-01-20 00:00:00", Bad(1264)),
    case("stamp", "a day that is not", "2026-02-30 00:00:00", Bad(1264), Bad(1265)),
    case("stamp", "zero", "0000-00-00 00:00:00", ZeroDate(1264), ZeroDate(1265)),
    both("time_of_day", "a word", "noon", Bad(1265)),
    case("time_of_day", "nothing", "", Good, Bad(1265)),
    case("time_of_day", "a minute that is not", "12:60:00", Bad(1264), Bad(1265)),
    both("time_of_day", "too great", "839:00:00", Bad(1264)),
    case("time_of_day", "with am", "11:00 am", After(4096, &Bad(1265)), Bad(1265)),
    both("year_number", "a word", "abc", Bad(1366)),
    both("year_number", "too early", "1900", Bad(1264)),
    both("year_number", "too late", "2156", Bad(1264)),
    both("year_number", "a date", "2026-01-01", Bad(1265)),

    // Sets of bits and of words.
    case("bits", "too many bits", "A", BadByMode { strict: 1406, lenient: 1264 }, Bad(1264)),
    case("bits", "too many bytes", "12", BadByMode { strict: 1406, lenient: 1264 }, Bad(1264)),
    both("choice", "none of them", "c", Bad(1265)),
    both("choice", "nothing", "", Bad(1265)),
    both("choice", "both", "a,b", Bad(1265)),
    both("choice", "by number", "1", Good),
    both("choice", "a number that is not", "3", Bad(1265)),
    both("choices", "one that is not", "a,c", Bad(1265)),
    both("choices", "a number that is not", "4", Bad(1265)),
    both("choices", "nothing", "", Good),

    // Documents, bytes, places.
    case("document", "cut short", r#"{"a": "#, Error(3140), After(4037, &Refused(4025))),
    case("document", "nothing", "", Error(3140), After(4037, &Refused(4025))),
    case("document", "single quotes", "{'a': 1}", Error(3140), After(4038, &Refused(4025))),
    other("bytes", "too long", Field::Repeated("x", 256), Bad(1265), Bad(1265)),
    both("few_bytes", "too long", "abcd", Bad(1265)),
    both("few_bytes", "two characters of two bytes", "äö", Bad(1265)),
    both("place", "words", "POINT(1 1)", Error(1416)),
    both("place", "nothing", "", Error(1416)),

    // Text.
    both("fixed", "too long", "abcd", Bad(1265)),
    both("fixed", "too long by blanks", "abc  ", Good),
    both("text", "too long", "abcd", Bad(1265)),
    both("text", "too long by blanks", "abc  ", Remark(1265)),
    both("western", "Polish", "Łódź", Bad(1366)),
    both("western", "beyond the first plane", "😀", Bad(1366)),
    both("plain", "German", "süß", Bad(1366)),
    both("old_unicode", "beyond the first plane", "a😀b", Bad(1366)),

    // Constraints.
    both("halved", "what is generated from it is too great", "64", Bad(1264)),
    other("needed", "NULL", Field::Null, Bad(1263), Bad(1263)),
    both("needed", "nothing", "", Bad(1366)),
    other("needed_text", "NULL", Field::Null, Bad(1263), Bad(1263)),
    other("id", "NULL", Field::Null, Bad(1263), Bad(1263)),
    case("checked", "refused", "100", Refused(3819), Refused(4025)),
    other("checked", "NULL", Field::Null, Good, Good),
    both("parent", "none", "2", Refused(1452)),
    other("parent", "NULL", Field::Null, Good, Good),
    other("id", "there twice", Field::First, Duplicate, Duplicate),
    both("single", "there twice", "single 1", Duplicate),
    both("single", "there twice, in capitals", "SINGLE 1", Duplicate),
    other("single", "NULL", Field::Null, Good, Good),

    // Rows.
    other("note", "missing", Field::Missing, Bad(1261), Bad(1261)),
    other("note", "one more", Field::Extra, Bad(1262), Bad(1262)),
];
