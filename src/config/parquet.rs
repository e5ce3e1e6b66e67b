//! The settings of objects of Parquet.

use jiff::tz::TimeZone;

use super::Config;
use super::conflicts::contradiction;
use super::other_formats::{of_dialect, report};
use crate::choices::BinaryReading;
use crate::dialect::{
    Dialect, FormatConfig, JsonFormat, JsonStep, MatchColumns, ObjectFormat, ParquetFormat, Preset,
};
use crate::settings::{Origin, Problem, Resolver, table as s};

/// Returns the reading of Parquet, or `None` for other formats.
pub(super) fn resolve(
    resolver: &mut Resolver,
    format: ObjectFormat,
    json: &JsonFormat,
) -> Option<ParquetFormat> {
    if format != ObjectFormat::Parquet {
        return None;
    }
    if !cfg!(feature = "columnar") {
        resolver.problems.push(Problem {
            what: "format is parquet, and this program was built without it".to_owned(),
            origin: None,
            remedy: "build it with the feature columnar, which is a default".to_owned(),
        });
    }
    let mut fields = Vec::new();
    for (item, path) in &json.fields {
        let members = path.steps.iter().map(|step| match step {
            JsonStep::Member(name) => Some(name.clone()),
            JsonStep::Element(_) => None,
        });
        match members.collect::<Option<Vec<String>>>() {
            Some(members) if !members.is_empty() => fields.push((item.clone(), members)),
            _ => resolver.problems.push(Problem {
                what: format!("field: the path {path} is no path of members, as in $.address.city"),
                origin: None,
                remedy: "load the whole column into a JSON column".to_owned(),
            }),
        }
    }
    let has_time_zone = resolver.find_set(&s::TIME_ZONE).is_some();
    Some(ParquetFormat { fields, extra_columns: json.extra_columns, has_time_zone, is_utc: true })
}

/// Reports settings of text beside Parquet.
pub(super) fn check_text(
    resolver: &mut Resolver,
    preset: Preset,
    format: &FormatConfig,
    dialect: &Dialect,
) {
    if format.parquet.is_none() {
        return;
    }
    let others = [
        (&s::IGNORE_LINES, resolver.find_set(&s::IGNORE_LINES).is_some()),
        (&s::CHARSET, format.charset.name() != "utf8mb4"),
        (&s::DECIMAL_COMMA, resolver.switch(&s::DECIMAL_COMMA)),
        (&s::DATE_FORMAT, !resolver.list(&s::DATE_FORMAT).0.is_empty()),
        (
            &s::BINARY,
            resolver.choice(&s::BINARY).is_some_and(|it: BinaryReading| it != BinaryReading::Auto),
        ),
        (
            &s::MATCH_COLUMNS,
            resolver
                .find_set(&s::MATCH_COLUMNS)
                .and_then(|_| resolver.choice(&s::MATCH_COLUMNS))
                .is_some_and(|it: MatchColumns| it == MatchColumns::Position),
        ),
    ];
    let settings = of_dialect(preset, format, dialect).into_iter().chain(others);
    report(resolver, settings, "is for text, and format is parquet");
}

/// Sets the readings of the text that Parquet becomes.
pub(super) fn set_readings(config: &mut Config) {
    if let Some(parquet) = &mut config.format.parquet {
        config.load.readings.binary = BinaryReading::Hex;
        parquet.is_utc = config.load.readings.time_zone == TimeZone::UTC;
    }
}

/// Reports what cannot be done with Parquet.
pub(super) fn check(resolver: &mut Resolver, config: &Config) {
    if config.format.parquet.is_some() && config.create_table.is_some() {
        contradiction(
            resolver,
            "create-table guesses types from text, and format is parquet",
            [&s::CREATE_TABLE, &s::FORMAT],
            "create the table first",
        );
    }
}

/// Says that columns go by names, whatever the settings say.
pub(super) fn match_columns(resolver: &mut Resolver) -> MatchColumns {
    resolver.record_derived(&s::MATCH_COLUMNS, "name", Origin::Default);
    MatchColumns::Name
}
