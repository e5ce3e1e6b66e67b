//! The settings of objects that hold JSON.

use super::conflicts::contradiction;
use super::format::column_or_variable;
use super::other_formats::{is_for_another, of_dialect, report};
use crate::dialect::{
    ColumnOrVariable, Dialect, ExtraColumns, FormatConfig, JsonFormat, JsonLayout, JsonPath,
    JsonStep, MissingColumns, MissingKeys, ObjectFormat, PartitionColumns, Preset,
};
use crate::settings::{Origin, Resolver, table as s};

/// Returns the format of the objects, and the reading of those that hold JSON.
pub(super) fn resolve(resolver: &mut Resolver) -> (ObjectFormat, JsonFormat) {
    let format: ObjectFormat = resolver.choice(&s::FORMAT).unwrap_or_default();
    let rows_at = resolver.optional(&s::ROWS_AT, rows_at);
    let fields = fields(resolver);
    let extra_columns = if resolver.find_set(&s::EXTRA_COLUMNS).is_some() {
        resolver.choice(&s::EXTRA_COLUMNS).unwrap_or_default()
    } else {
        let derived = if fields.is_empty() { ExtraColumns::Error } else { ExtraColumns::Ignore };
        resolver.record_derived(&s::EXTRA_COLUMNS, derived.to_string(), Origin::Default);
        derived
    };
    let missing_keys: MissingKeys = resolver.choice(&s::MISSING_KEYS).unwrap_or_default();
    let has_rows_at = rows_at.is_some();
    let layout = match format {
        ObjectFormat::Delimited | ObjectFormat::Jsonl | ObjectFormat::Parquet => JsonLayout::Lines,
        ObjectFormat::Json => JsonLayout::Document(rows_at),
    };
    let json = JsonFormat { layout, fields, extra_columns, missing_keys };
    check(resolver, &json, format, has_rows_at);
    (format, json)
}

/// Reports settings of one format beside another one. What a setting says without being set may be
/// said.
fn check(resolver: &mut Resolver, json: &JsonFormat, format: ObjectFormat, has_rows_at: bool) {
    let why = format!("is for JSON, and format is {format}");
    let is_json = matches!(format, ObjectFormat::Jsonl | ObjectFormat::Json);
    if format == ObjectFormat::Delimited && !json.fields.is_empty() {
        is_for_another(resolver, &s::FIELD, "is for JSON and Parquet, and format is delimited");
    }
    if !is_json && json.missing_keys == MissingKeys::Error {
        is_for_another(resolver, &s::MISSING_KEYS, &why);
    }
    if has_rows_at && format != ObjectFormat::Json {
        is_for_another(resolver, &s::ROWS_AT, "is for format json");
    }
}

/// Reports settings of text with delimiters beside JSON.
pub(super) fn check_text(
    resolver: &mut Resolver,
    preset: Preset,
    format: &FormatConfig,
    dialect: &Dialect,
) {
    if format.json.is_none() {
        return;
    }
    let others = [
        (&s::IGNORE_LINES, format.ignore_lines > 0),
        (&s::NULL_STRING, !format.null_strings.is_empty()),
        (&s::MISSING_COLUMNS, format.names.missing_columns == MissingColumns::Error),
    ];
    let settings = of_dialect(preset, format, dialect).into_iter().chain(others);
    report(resolver, settings, "is for delimited text, and format is JSON");
    if resolver.find_set(&s::MATCH_COLUMNS).is_some() {
        let why = "is for delimited text: the keys of JSON are names, whatever their order";
        is_for_another(resolver, &s::MATCH_COLUMNS, why);
    }
    if let PartitionColumns::Named(names) = &format.names.partition_columns {
        let name = names.first().map_or("dt", String::as_str);
        contradiction(
            resolver,
            "partition-columns is for delimited text, and format is JSON",
            [&s::PARTITION_COLUMNS, &s::FORMAT],
            &format!("use --set '{name}=@partition_{name}'"),
        );
    }
    if !["utf8mb4", "utf8mb3", "utf8"].contains(&format.charset.name()) {
        is_for_another(resolver, &s::CHARSET, "names another character set, but JSON is UTF-8");
    }
}

fn fields(resolver: &mut Resolver) -> Vec<(ColumnOrVariable, JsonPath)> {
    let (texts, origin) = resolver.list(&s::FIELD);
    let mut fields: Vec<(ColumnOrVariable, JsonPath)> = Vec::new();
    for text in texts {
        match field(&text) {
            Ok((item, _)) if fields.iter().any(|(other, _)| *other == item) => {
                resolver.bad(&s::FIELD, &text, &origin, "it has a path already");
            }
            Ok(field) => fields.push(field),
            Err(why) => resolver.bad(&s::FIELD, &text, &origin, why),
        }
    }
    fields
}

/// Parses `column=$.path` or `@variable=$.path`.
fn field(text: &str) -> Result<(ColumnOrVariable, JsonPath), String> {
    let (item, path) = column_or_variable(text, '=').map_err(|error| error.to_string())?;
    let path = path.ok_or("it must be COLUMN=PATH, as in city=$.address.city")?;
    let path: JsonPath = path.parse().map_err(|error| format!("{error}"))?;
    match path.steps.first() {
        Some(JsonStep::Element(_)) => Err("a record has members, and no elements".to_owned()),
        _ => Ok((item, path)),
    }
}

fn rows_at(text: &str) -> Result<JsonPath, String> {
    let path: JsonPath = text.parse().map_err(|error| format!("{error}"))?;
    let is_member = |step: &JsonStep| matches!(step, JsonStep::Member(_));
    if path.steps.iter().all(is_member) {
        Ok(path)
    } else {
        Err("it must have members alone, as in $.data.rows".to_owned())
    }
}
