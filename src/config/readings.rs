//! The settings that say how the texts of values are to be read.

use crate::settings::{Problem, Resolver, Value, table as s};
use crate::sql_text::{may_set_time_zone, quoted_identifier};
use crate::values::{DateFormat, Readings};

pub(super) fn resolve(resolver: &mut Resolver) -> Readings {
    let (texts, origin) = resolver.list(&s::DATE_FORMAT);
    let mut date_formats = Vec::new();
    for text in texts {
        match date_format(&text) {
            Ok(format) => date_formats.push(format),
            Err(why) => resolver.bad(&s::DATE_FORMAT, &text, &origin, why),
        }
    }
    let init_sql = resolver.find(&s::INIT_SQL).map(|(_, given)| given.value);
    let sets_time_zone = match init_sql {
        Some(Value::List(statements)) => statements.iter().any(|sql| may_set_time_zone(sql)),
        _ => false,
    };
    if sets_time_zone && resolver.find_set(&s::TIME_ZONE).is_some() {
        resolver.problems.push(Problem {
            what: "time-zone is set, and init-sql sets the time zone, too".to_owned(),
            origin: None,
            remedy: "leave one of them out; time-zone alone reads times by the zone".to_owned(),
        });
    }
    Readings {
        time_zone: resolver
            .optional(&s::TIME_ZONE, Readings::time_zone_named)
            .unwrap_or_else(|| Readings::default().time_zone),
        decimal_comma: resolver.switch(&s::DECIMAL_COMMA),
        empty_as_null: resolver.switch(&s::EMPTY_AS_NULL),
        binary: resolver.choice(&s::BINARY).unwrap_or_default(),
        keeps_forms: false,
        date_formats,
    }
}

/// Parses `column=format`.
fn date_format(text: &str) -> Result<(String, DateFormat), String> {
    let (column, format) = text
        .split_once('=')
        .ok_or_else(|| "it must be COLUMN=FORMAT, as in day=%d.%m.%Y".to_owned())?;
    let column = column.trim();
    let column = quoted_identifier(column)
        .filter(|(_, rest)| rest.is_empty())
        .map_or_else(|| column.to_owned(), |(name, _)| name);
    let format = DateFormat::new(format.trim()).map_err(|error| error.to_string())?;
    Ok((column, format))
}
