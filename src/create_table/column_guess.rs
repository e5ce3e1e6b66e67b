//! The type of one column, from the values that have been looked at.

use indicatif::HumanCount;

use crate::printable::{printable, shortened};
use crate::values::{Form, NumberForm};

/// The digits before the point of a DECIMAL: as many as a text of digits may have.
const WHOLE_DIGITS: usize = 18;
/// The most characters of a value in a remark.
const SHOWN_CHARACTERS: usize = 40;
/// The lengths of VARCHAR columns.
const VARCHAR_LENGTHS: [usize; 3] = [64, 255, 1024];
/// The length of a VARCHAR in a key. Three of them fit into the 3,072 bytes of an InnoDB key.
const KEY_LENGTH: usize = 255;

/// The type of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SqlType {
    BigInt,
    Decimal {
        precision: usize,
        scale: usize,
    },
    Double,
    Date,
    DateTime {
        fraction_digits: usize,
    },
    Json,
    Varchar(usize),
    /// TEXT, MEDIUMTEXT or LONGTEXT.
    Text(&'static str),
}

impl std::fmt::Display for SqlType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BigInt => f.write_str("BIGINT"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision},{scale})"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Date => f.write_str("DATE"),
            Self::DateTime { fraction_digits: 0 } => f.write_str("DATETIME"),
            Self::DateTime { fraction_digits } => write!(f, "DATETIME({fraction_digits})"),
            Self::Json => f.write_str("JSON"),
            Self::Varchar(characters) => write!(f, "VARCHAR({characters})"),
            Self::Text(name) => f.write_str(name),
        }
    }
}

/// The kind of values that all have had so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Date,
    DateTime,
    Boolean,
    Text,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Date => "date",
            Self::DateTime => "time",
            Self::Boolean => "boolean",
            Self::Text => "text",
        }
    }
}

/// A value and its place, for the remark.
pub(super) struct Sample<'a> {
    pub(super) text: &'a [u8],
    /// The number of characters, or of bytes if they are not known.
    pub(super) characters: usize,
    pub(super) place: &'a dyn Fn() -> String,
}

impl Sample<'_> {
    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(self.text);
        let start: String = text.chars().take(SHOWN_CHARACTERS + 1).collect();
        format!("\"{}\" in {}", shortened(&printable(&start), SHOWN_CHARACTERS), (self.place)())
    }
}

/// The values of one column.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "these are independent facts")]
pub(super) struct ColumnGuess {
    values: u64,
    nulls: u64,
    empties: u64,
    /// The place of the first empty value.
    first_empty: Option<String>,
    kind: Option<Kind>,
    /// The reason why the column is a text, if that needs one.
    why_text: Option<String>,
    has_nested: bool,
    /// The first object or array that a JSON column would change.
    changed_nested: Option<String>,
    longest_characters: usize,
    longest_bytes: usize,
    decimals: usize,
    has_exponent: bool,
    /// The first number that a DOUBLE would change.
    changed_number: Option<String>,
    fraction_digits: usize,
    has_instants: bool,
    has_local_times: bool,
    range: Option<Range>,
}

/// The lowest and the highest value.
#[derive(Clone, Debug)]
struct Range {
    lowest: (f64, i64, String),
    highest: (f64, i64, String),
    /// False if some values could not be compared.
    is_known: bool,
}

impl ColumnGuess {
    pub(super) fn add_null(&mut self) {
        self.nulls += 1;
    }

    pub(super) fn nulls(&self) -> u64 {
        self.nulls
    }

    /// Adds a value.
    pub(super) fn add(&mut self, form: Form, sample: &Sample<'_>) {
        if form == Form::Empty {
            self.empties += 1;
            self.first_empty.get_or_insert_with(|| (sample.place)());
            return;
        }
        self.values += 1;
        self.longest_characters = self.longest_characters.max(sample.characters);
        self.longest_bytes = self.longest_bytes.max(sample.text.len());
        let kind = match form {
            Form::Number(number) => {
                self.add_number(number, sample);
                Kind::Number
            }
            Form::Date => Kind::Date,
            Form::DateTime { fraction_digits, is_instant } => {
                self.fraction_digits = self.fraction_digits.max(fraction_digits);
                if is_instant && self.has_local_times || !is_instant && self.has_instants {
                    let has = if is_instant { "has an offset" } else { "has no offset" };
                    self.be_text(|| format!("{} {has}, unlike others", sample.shown()));
                }
                Kind::DateTime
            }
            Form::Boolean => Kind::Boolean,
            Form::Nested { is_kept } => {
                self.has_nested = true;
                if !is_kept {
                    self.changed_nested.get_or_insert_with(|| sample.shown());
                }
                return;
            }
            Form::Text(why) => {
                if let Some(why) = why {
                    self.be_text(|| format!("{} {why}", sample.shown()));
                }
                Kind::Text
            }
            Form::Empty => return,
        };
        self.has_instants |= matches!(form, Form::DateTime { is_instant: true, .. });
        self.has_local_times |=
            matches!(form, Form::Date | Form::DateTime { is_instant: false, .. });
        self.add_to_range(kind, sample.text);
        let merged = match (self.kind, kind) {
            (None, kind) => kind,
            (Some(before), kind) if before == kind => kind,
            (Some(Kind::Text), _) => Kind::Text,
            (Some(Kind::Date), Kind::DateTime) | (Some(Kind::DateTime), Kind::Date) => {
                Kind::DateTime
            }
            (Some(before), _) => {
                self.be_text(|| format!("{} is no {}", sample.shown(), before.noun()));
                Kind::Text
            }
        };
        self.kind = Some(merged);
    }

    /// Makes the column a text, unless it is one for another reason.
    fn be_text(&mut self, why: impl FnOnce() -> String) {
        if self.kind != Some(Kind::Text) {
            self.kind = Some(Kind::Text);
            self.why_text = Some(why());
        }
    }

    fn add_number(&mut self, number: NumberForm, sample: &Sample<'_>) {
        let NumberForm { decimals, has_exponent, fits_double } = number;
        self.decimals = self.decimals.max(decimals);
        self.has_exponent |= has_exponent;
        if !fits_double {
            self.changed_number.get_or_insert_with(|| sample.shown());
        }
    }

    fn add_to_range(&mut self, kind: Kind, text: &[u8]) {
        if matches!(kind, Kind::Text | Kind::Boolean) || self.kind == Some(Kind::Text) {
            return;
        }
        let text = String::from_utf8_lossy(text);
        let number = text.parse::<f64>().ok();
        let is_padded = text.len() >= 10 && text.as_bytes().get(7) == Some(&b'-');
        let is_comparable = match kind {
            Kind::Number => number.is_some(),
            _ => is_padded && !self.has_instants,
        };
        // Many whole numbers have the same DOUBLE.
        let is_number = kind == Kind::Number;
        let whole = text.parse().ok().filter(|_| is_number).unwrap_or(0);
        let place = (number.filter(|_| is_number).unwrap_or(0.0), whole);
        let is_before = |one: &(f64, i64, String), other: &str| {
            (one.0, one.1) < place || (one.0, one.1) == place && *one.2 < *other
        };
        let value = || (place.0, place.1, text.clone().into_owned());
        let range = self.range.get_or_insert_with(|| Range {
            lowest: value(),
            highest: value(),
            is_known: true,
        });
        range.is_known &= is_comparable;
        if is_before(&range.highest, &text) {
            range.highest = value();
        } else if !is_before(&range.lowest, &text) {
            range.lowest = value();
        }
    }

    /// Returns the type, and the reason for it.
    pub(super) fn decide(&self, empty_is_null: bool, is_key: bool) -> (SqlType, String) {
        if self.has_nested {
            return match &self.changed_nested {
                None => (SqlType::Json, format!("{}, objects or arrays", self.counted())),
                Some(changed) => {
                    let why = format!("text: {changed} would be changed by the type JSON");
                    (self.text(is_key), why)
                }
            };
        }
        let Some(kind) = self.kind else {
            return (SqlType::Varchar(KEY_LENGTH), format!("no values{}", self.absent()));
        };
        if let (Some(place), false) = (&self.first_empty, empty_is_null || kind == Kind::Text) {
            let why = format!(
                "text: empty in {place}; --empty-as-null reads that as NULL in a column of {}s",
                kind.noun()
            );
            return (self.text(is_key), why);
        }
        let known = match kind {
            Kind::Number if self.has_exponent => match &self.changed_number {
                None => SqlType::Double,
                Some(changed) => {
                    let why = format!(
                        "text: {changed} has more digits than a DOUBLE keeps, and others have \
                         exponents"
                    );
                    return (self.text(is_key), why);
                }
            },
            Kind::Number if self.decimals == 0 => SqlType::BigInt,
            Kind::Number => {
                SqlType::Decimal { precision: WHOLE_DIGITS + self.decimals, scale: self.decimals }
            }
            Kind::Date => SqlType::Date,
            Kind::DateTime => SqlType::DateTime {
                fraction_digits: match self.fraction_digits {
                    0 => 0,
                    1..=3 => 3,
                    _ => 6,
                },
            },
            Kind::Boolean => {
                return (self.text(is_key), format!("{}, true or false", self.counted()));
            }
            Kind::Text => {
                let why = match &self.why_text {
                    Some(why) => format!("text: {why}"),
                    None => self.counted_texts(),
                };
                return (self.text(is_key), why);
            }
        };
        let instants = if kind == Kind::DateTime && self.has_instants {
            "; instants, stored as the clock of --time-zone"
        } else {
            ""
        };
        (known, format!("{}{instants}", self.counted()))
    }

    /// Returns the type of a text: with room for texts that are twice as long as those seen.
    fn text(&self, is_key: bool) -> SqlType {
        let wanted = 2 * self.longest_characters;
        let length = VARCHAR_LENGTHS.into_iter().find(|length| wanted <= *length);
        if is_key && self.longest_characters <= KEY_LENGTH {
            return SqlType::Varchar(length.unwrap_or(KEY_LENGTH).min(KEY_LENGTH));
        }
        match length {
            Some(length) => SqlType::Varchar(length),
            None => self.long_text(),
        }
    }

    /// Returns the type of a text that is stored outside of its row.
    pub(super) fn long_text(&self) -> SqlType {
        SqlType::Text(match 2 * self.longest_bytes {
            0..=0xFFFF => "TEXT",
            0x1_0000..=0xFF_FFFF => "MEDIUMTEXT",
            _ => "LONGTEXT",
        })
    }

    fn counted(&self) -> String {
        let count = count(self.values, "value");
        let range = self.range.as_ref().filter(|range| range.is_known);
        let range = range.filter(|_| !self.has_nested && self.kind != Some(Kind::Text));
        let range = range.map_or_else(String::new, |range| {
            let (lowest, highest) = (printable(&range.lowest.2), printable(&range.highest.2));
            match (lowest == highest, self.values) {
                (true, 1) => format!(": {lowest}"),
                (true, _) => format!(", all {lowest}"),
                (false, _) => format!(" from {lowest} to {highest}"),
            }
        });
        format!("{count}{range}{}", self.absent())
    }

    fn counted_texts(&self) -> String {
        let count = count(self.values, "value");
        let longest = self.longest_characters as u64;
        format!("{count} of up to {} characters{}", HumanCount(longest), self.absent())
    }

    fn absent(&self) -> String {
        let absent = [(self.empties, "empty"), (self.nulls, "NULL")];
        let absent = absent.iter().filter(|(number, _)| *number > 0);
        let absent = absent.map(|(number, word)| format!(", {} {word}", HumanCount(*number)));
        absent.collect::<Vec<_>>().concat()
    }
}

fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", HumanCount(number))
}
