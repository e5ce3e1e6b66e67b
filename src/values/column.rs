//! The rule of a column, made once from its definition.

use jiff::tz::TimeZone;

use super::binary::BinaryRule;
use super::bit::BitRule;
use super::charset::ColumnCharset;
use super::column_type::ColumnType;
use super::date::DateRule;
use super::date_time::DateTimeRule;
use super::decimal::DecimalRule;
use super::decimal_comma::with_point;
use super::float::FloatRule;
use super::integer::IntegerRule;
use super::json;
use super::labels::LabelRule;
use super::number_notation::comes_back;
use super::ordinary::Ordinary;
use super::readings::Readings;
use super::server::Server;
use super::text::{ObjectText, TextLimit, TextRule};
use super::time::TimeRule;
use super::verdict::{BadKind, Field, Verdict};
use super::year;
use crate::choices::BinaryReading;
use crate::dialect::Charset;

/// The definition of a column, as far as its values depend on it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "these are independent facts")]
pub struct ColumnFacts<'schema> {
    pub name: &'schema str,
    /// The type as `information_schema` writes it.
    pub column_type: &'schema str,
    /// The character set of a text, ENUM or SET column.
    pub charset: Option<&'schema str>,
    pub collation: Option<&'schema str>,
    pub is_nullable: bool,
    pub is_auto_increment: bool,
    pub is_generated: bool,
    /// True for a text column of MariaDB whose CHECK is `json_valid` of itself: a JSON column.
    pub is_json: bool,
}

/// The meaning of fields in one column.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "these are independent facts")]
pub struct ColumnRule {
    pub(super) name: String,
    /// The type as messages name it.
    pub(super) type_name: String,
    pub(super) column_type: ColumnType,
    pub(super) takes_null: bool,
    /// True if the server computes the column, and ignores a field for it.
    pub(super) is_generated: bool,
    empty_is_null: bool,
    has_decimal_comma: bool,
    /// True if a number must come back as it is written.
    pub(super) keeps_forms: bool,
    ordinary: Ordinary,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Integer(IntegerRule),
    Decimal(DecimalRule),
    Float(FloatRule),
    Bit(BitRule),
    Labels(LabelRule),
    Date(DateRule),
    DateTime(DateTimeRule),
    Time(TimeRule),
    Year(Server),
    Text(TextRule),
    Binary(BinaryRule),
    Json { server: Server, is_utf8: bool },
    Other,
}

impl ColumnRule {
    /// Creates the rule of a column for fields of objects in `charset`.
    #[must_use]
    pub fn new(
        facts: &ColumnFacts<'_>,
        server: Server,
        charset: &Charset,
        readings: &Readings,
    ) -> Self {
        let mut column_type = ColumnType::parse(facts.column_type);
        if facts.is_json && column_type.is_text() {
            column_type = ColumnType::Json;
        }
        let empty_is_null = readings.empty_as_null && !column_type.is_text();
        let has_decimal_comma = readings.decimal_comma && column_type.is_number();
        let keeps_forms = readings.keeps_forms && column_type.is_number();
        let kind = Kind::new(facts, &column_type, server, charset, readings);
        let ordinary = match &kind {
            Kind::Text(rule) => rule.short().map_or(Ordinary::Nothing, Ordinary::Short),
            _ if has_decimal_comma || keeps_forms || readings.date_format(facts.name).is_some() => {
                Ordinary::Nothing
            }
            _ => Ordinary::of(&column_type, readings.time_zone == TimeZone::UTC),
        };
        Self {
            name: facts.name.to_owned(),
            type_name: type_name(facts.column_type, &column_type),
            takes_null: facts.is_nullable || facts.is_auto_increment,
            is_generated: facts.is_generated,
            empty_is_null,
            has_decimal_comma,
            keeps_forms,
            ordinary,
            kind,
            column_type,
        }
    }

    /// Leaves everything but NULL to the server.
    #[must_use]
    pub fn leaving_values_to_server(self) -> Self {
        Self { kind: Kind::Other, ordinary: Ordinary::Nothing, ..self }
    }

    /// Returns the column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the column's type.
    #[must_use]
    pub fn column_type(&self) -> &ColumnType {
        &self.column_type
    }

    /// Returns the remark about a column whose fields another program may write in another way.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let remark = "its fields are read as numbers; --binary raw reads them as bytes";
        matches!(self.kind, Kind::Bit(_))
            .then(|| format!("column {} ({}): {remark}", self.name, self.type_name))
    }

    /// Returns the texts that are exact without being read as values.
    pub(super) fn ordinary(&self) -> Ordinary {
        self.ordinary
    }

    /// Returns the verdict on a field. If it is [`Verdict::ExactAs`] or [`Verdict::Loss`], the text
    /// for the server has been written to `out`, which must be empty. `out` is empty otherwise.
    pub fn check(&self, field: Field<'_>, out: &mut Vec<u8>) -> Verdict {
        let text = match field {
            Field::Bytes(b"") if self.empty_is_null => {
                return if self.takes_null { Verdict::ExactNull } else { null() };
            }
            Field::Bytes(text) => text,
            Field::Null if self.takes_null => return Verdict::Exact,
            Field::Null => return null(),
        };
        let is_digit = u8::is_ascii_digit;
        if self.has_decimal_comma && text.iter().any(is_digit) && !text.iter().all(is_digit) {
            return self.check_with_comma(text, out);
        }
        self.with_form(self.kind.check(text, out), text, out)
    }

    /// Returns the verdict on a text in which a comma is no decimal point, whatever the options
    /// say. It is like [`Self::check`] otherwise.
    pub(super) fn check_number(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        self.kind.check(text, out)
    }

    /// Returns true if the dates of the column have a format.
    pub(super) fn has_date_format(&self) -> bool {
        match &self.kind {
            Kind::Date(rule) => rule.has_format(),
            Kind::DateTime(rule) => rule.has_format(),
            _ => false,
        }
    }

    /// Returns true if the fields of a BIT column are numbers, and not bytes.
    pub(super) fn reads_numbers(&self) -> bool {
        matches!(self.kind, Kind::Bit(_))
    }

    /// Returns the labels of an ENUM or SET.
    pub(super) fn labels(&self) -> &[String] {
        if let Kind::Labels(rule) = &self.kind { rule.labels() } else { &[] }
    }

    /// Returns the verdict on a text, which is bad if it is a number that must come back as it is
    /// written, and would not.
    fn with_form(&self, verdict: Verdict, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        let is_taken = !matches!(verdict, Verdict::Bad(_));
        let is_float = matches!(self.kind, Kind::Float(_));
        if self.keeps_forms && is_taken && !comes_back(text, is_float) {
            out.clear();
            return Verdict::Bad(BadKind::NumberForm);
        }
        verdict
    }

    fn check_with_comma(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        let Some(number) = with_point(text) else {
            // The rule of the type knows what to say of it, but must not read a point as one.
            let verdict = self.kind.check(text, out);
            out.clear();
            return match verdict {
                Verdict::Bad(kind) => Verdict::Bad(kind),
                _ => Verdict::Bad(BadKind::NotANumber),
            };
        };
        let verdict = self.kind.check(&number, out);
        match self.with_form(verdict, &number, out) {
            Verdict::Exact if number != text => {
                out.extend_from_slice(&number);
                Verdict::ExactAs
            }
            verdict => verdict,
        }
    }
}

fn null() -> Verdict {
    Verdict::Bad(BadKind::Null)
}

/// Returns a type without what values do not depend on: the width of an integer, and labels.
fn type_name(text: &str, column_type: &ColumnType) -> String {
    let name = text.split(['(', ' ']).next().unwrap_or(text);
    match column_type {
        ColumnType::Enum(_) | ColumnType::Set(_) => name.to_owned(),
        ColumnType::Integer { is_unsigned: true, .. } => format!("{name} unsigned"),
        ColumnType::Integer { .. } | ColumnType::Year => name.to_owned(),
        ColumnType::Json => "json".to_owned(),
        _ => text.to_owned(),
    }
}

impl Kind {
    fn new(
        facts: &ColumnFacts<'_>,
        column_type: &ColumnType,
        server: Server,
        charset: &Charset,
        readings: &Readings,
    ) -> Self {
        let is_utf8 = charset.is_utf8();
        let format = || readings.date_format(facts.name).cloned();
        let date_time = |is_timestamp, digits| {
            let zone = &readings.time_zone;
            Self::DateTime(DateTimeRule::new(is_timestamp, digits, format(), zone, server))
        };
        let text = |limit| {
            let name = facts.charset.unwrap_or("utf8mb4");
            let object = if is_utf8 {
                ObjectText::Utf8
            } else if charset.is_self_contained() && charset.name().eq_ignore_ascii_case(name) {
                ObjectText::SameSingleByte
            } else {
                ObjectText::Other
            };
            Self::Text(TextRule::new(limit, ColumnCharset::of(name), object))
        };
        let labels = |labels: &[String], is_set| {
            let collation = facts.collation.unwrap_or_default();
            Self::Labels(LabelRule::new(labels, collation, is_set, is_utf8))
        };
        let binary =
            |limit, is_fixed| Self::Binary(BinaryRule::new(limit, is_fixed, readings.binary));
        match column_type {
            &ColumnType::Integer { size, is_unsigned, is_boolean } => {
                Self::Integer(IntegerRule::new(size, is_unsigned, is_boolean, server))
            }
            &ColumnType::Decimal { precision, scale, is_unsigned } => {
                Self::Decimal(DecimalRule::new(precision, scale, is_unsigned, server))
            }
            &ColumnType::Float { is_double, digits, is_unsigned } => {
                Self::Float(FloatRule::new(is_double, digits, is_unsigned, server))
            }
            ColumnType::Bit(_) if readings.binary == BinaryReading::Raw => Self::Other,
            &ColumnType::Bit(bits) => Self::Bit(BitRule::new(bits, server)),
            ColumnType::Enum(names) => labels(names, false),
            ColumnType::Set(names) => labels(names, true),
            ColumnType::Date => Self::Date(DateRule::new(format())),
            &ColumnType::DateTime { fraction_digits } => date_time(false, fraction_digits),
            &ColumnType::Timestamp { fraction_digits } => date_time(true, fraction_digits),
            &ColumnType::Time { fraction_digits } => {
                Self::Time(TimeRule::new(fraction_digits, server))
            }
            ColumnType::Year => Self::Year(server),
            &ColumnType::Characters(limit) => text(TextLimit::Characters(limit)),
            &ColumnType::Text(limit) => text(TextLimit::Bytes(limit)),
            &ColumnType::FixedBinary(limit) => binary(limit, true),
            &ColumnType::Binary(limit) => binary(limit, false),
            ColumnType::Json => Self::Json { server, is_utf8 },
            ColumnType::Other => Self::Other,
        }
    }

    fn check(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        match self {
            Self::Integer(rule) => rule.check(text, out),
            Self::Decimal(rule) => rule.check(text, out),
            Self::Float(rule) => rule.check(text, out),
            Self::Bit(rule) => rule.check(text, out),
            Self::Labels(rule) => rule.check(text),
            Self::Date(rule) => rule.check(text, out),
            Self::DateTime(rule) => rule.check(text, out),
            Self::Time(rule) => rule.check(text, out),
            Self::Year(server) => year::check(text, *server, out),
            Self::Text(rule) => rule.check(text, out),
            Self::Binary(rule) => rule.check(text, out),
            Self::Json { server, is_utf8 } => json::check(text, *server, *is_utf8, out),
            Self::Other => Verdict::ServerDecides,
        }
    }
}
