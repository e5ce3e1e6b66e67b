//! The settings of the objects' text format: a preset, the options that override parts of it, and
//! the columns that the fields go to.

use crate::dialect::{
    Charset, ColumnOrVariable, Dialect, ExtraColumns, FormatConfig, JsonFormat, LineTerminator,
    MatchColumns, NameConfig, ParquetFormat, PartitionColumns, Preset, SqlError, check_expression,
    parse_delimiter, parse_delimiter_byte, show_delimiter,
};
use crate::settings::{Origin, Problem, Resolver, Setting, Value, table as s};
use crate::sql_text::quoted_identifier;

/// Returns the format, the preset, and the dialect of objects that are text.
pub(super) fn resolve(
    resolver: &mut Resolver,
    json: Option<JsonFormat>,
    parquet: Option<ParquetFormat>,
) -> (FormatConfig, Preset, Dialect) {
    let preset = resolver.choice(&s::PRESET).unwrap_or(Preset::Mysql);
    let charset = resolver.optional(&s::CHARSET, Charset::new).unwrap_or_default();
    let problems_before = resolver.problems.len();
    let dialect = dialect(resolver, preset);
    // A part that could not be parsed has a placeholder, which must not count as a contradiction.
    if resolver.problems.len() == problems_before {
        for error in dialect.validate(&charset) {
            resolver.problems.push(Problem {
                what: error.to_string(),
                origin: None,
                remedy: String::new(),
            });
        }
    }
    let null_strings = if resolver.find(&s::NULL_STRING).is_some() {
        resolver.list(&s::NULL_STRING).0
    } else {
        let strings: Vec<String> =
            preset.null_strings().iter().map(|text| (*text).to_owned()).collect();
        let origin =
            if strings.is_empty() { Origin::Default } else { Origin::Preset(preset.name()) };
        resolver.record(&s::NULL_STRING, Value::List(strings.clone()), origin);
        strings
    };
    let (assignments, origin) = resolver.list(&s::SET);
    let mut set = Vec::new();
    for text in assignments {
        match assignment(&text) {
            Ok(pair) => set.push(pair),
            Err(why) => resolver.bad(&s::SET, &text, &origin, why),
        }
    }
    let names = names(resolver, json.as_ref(), parquet.as_ref());
    let ignore_lines = if parquet.is_some() {
        resolver.record_derived(&s::IGNORE_LINES, "1", Origin::Default);
        1
    } else {
        ignore_lines(resolver, names.by_name() && json.is_none())
    };
    let is_text = json.is_none() && parquet.is_none();
    let format = FormatConfig {
        // What the server gets of JSON and Parquet.
        dialect: if is_text { dialect.clone() } else { Preset::Mysql.dialect() },
        json,
        parquet,
        charset,
        ignore_lines,
        columns: resolver.optional(&s::COLUMNS, columns),
        set,
        null_strings,
        readings: Vec::new(),
        names,
    };
    (format, preset, dialect)
}

/// Resolves the settings by which names decide where fields go. [`JsonFormat`] has those of JSON.
fn names(
    resolver: &mut Resolver,
    json: Option<&JsonFormat>,
    parquet: Option<&ParquetFormat>,
) -> NameConfig {
    let match_columns = match parquet {
        Some(_) => super::parquet::match_columns(resolver),
        None => resolver.choice(&s::MATCH_COLUMNS).unwrap_or_default(),
    };
    let partition_columns = if resolver.find(&s::PARTITION_COLUMNS).is_some() {
        resolver.optional(&s::PARTITION_COLUMNS, partition_columns).unwrap_or_default()
    } else if match_columns == MatchColumns::Name || json.is_some() {
        resolver.record_derived(&s::PARTITION_COLUMNS, "auto", Origin::Default);
        PartitionColumns::Auto
    } else {
        resolver.record_derived(&s::PARTITION_COLUMNS, "none", Origin::Default);
        PartitionColumns::None
    };
    NameConfig {
        match_columns,
        extra_columns: match (json, parquet) {
            (Some(_), _) => ExtraColumns::default(),
            (None, Some(parquet)) => parquet.extra_columns,
            (None, None) => resolver.choice(&s::EXTRA_COLUMNS).unwrap_or_default(),
        },
        missing_columns: resolver.choice(&s::MISSING_COLUMNS).unwrap_or_default(),
        partition_columns,
    }
}

/// Parses `auto`, `none` or a list of columns.
fn partition_columns(text: &str) -> Result<PartitionColumns, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "auto" => Ok(PartitionColumns::Auto),
        "none" => Ok(PartitionColumns::None),
        _ => column_names(text).map(PartitionColumns::Named),
    }
}

/// Resolves the number of header lines: by names, an object has one.
fn ignore_lines(resolver: &mut Resolver, has_header: bool) -> u64 {
    if resolver.find(&s::IGNORE_LINES).is_some() {
        return resolver.integer(&s::IGNORE_LINES);
    }
    let lines = u64::from(has_header);
    resolver.record_derived(&s::IGNORE_LINES, lines.to_string(), Origin::Default);
    lines
}

fn dialect(resolver: &mut Resolver, preset: Preset) -> Dialect {
    let base = preset.dialect();
    let (fields_enclosed_by, fields_optionally_enclosed) = enclosure(resolver, preset, &base);
    Dialect {
        fields_terminated_by: part(
            resolver,
            &s::FIELDS_TERMINATED_BY,
            preset,
            base.fields_terminated_by,
            parse_delimiter,
            |bytes| show_delimiter(bytes),
        ),
        fields_enclosed_by,
        fields_optionally_enclosed,
        fields_escaped_by: part(
            resolver,
            &s::FIELDS_ESCAPED_BY,
            preset,
            base.fields_escaped_by,
            parse_delimiter_byte,
            |byte| show_byte(*byte),
        ),
        lines_terminated_by: part(
            resolver,
            &s::LINES_TERMINATED_BY,
            preset,
            base.lines_terminated_by,
            str::parse::<LineTerminator>,
            ToString::to_string,
        ),
    }
}

/// Returns the given part, or the part of the preset.
fn part<T, E: std::fmt::Display>(
    resolver: &mut Resolver,
    setting: &'static Setting,
    preset: Preset,
    base: T,
    parse: impl FnOnce(&str) -> Result<T, E>,
    show: impl FnOnce(&T) -> String,
) -> T {
    if resolver.find(setting).is_some() {
        resolver.optional(setting, parse).unwrap_or(base)
    } else {
        resolver.record_derived(setting, show(&base), Origin::Preset(preset.name()));
        base
    }
}

/// Resolves the two settings that together name the enclosing byte and set OPTIONALLY in the SQL.
fn enclosure(resolver: &mut Resolver, preset: Preset, base: &Dialect) -> (Option<u8>, bool) {
    let always = resolver.find(&s::FIELDS_ENCLOSED_BY);
    let optionally = resolver.find(&s::FIELDS_OPTIONALLY_ENCLOSED_BY);
    let is_empty = |value: &Value| *value == Value::Text(String::new());
    let (use_optionally, use_always) = match (&always, &optionally) {
        (None, None) => (false, false),
        (Some(_), None) => (false, true),
        (None, Some(_)) => (true, false),
        (Some((always_rank, always)), Some((optionally_rank, optionally)))
            if always_rank == optionally_rank =>
        {
            if !is_empty(&always.value) && !is_empty(&optionally.value) {
                resolver.problems.push(Problem::new(
                    "fields-enclosed-by and fields-optionally-enclosed-by are both set",
                    &optionally.origin,
                    "set one of them",
                ));
            }
            let optional = !is_empty(&optionally.value);
            (optional, !optional)
        }
        (Some((always_rank, _)), Some((optionally_rank, _))) => {
            (optionally_rank < always_rank, always_rank < optionally_rank)
        }
    };
    let none =
        |resolver: &mut Resolver, setting| resolver.record_derived(setting, "", Origin::Default);
    if use_optionally || use_always {
        let (used, other) = if use_optionally {
            (&s::FIELDS_OPTIONALLY_ENCLOSED_BY, &s::FIELDS_ENCLOSED_BY)
        } else {
            (&s::FIELDS_ENCLOSED_BY, &s::FIELDS_OPTIONALLY_ENCLOSED_BY)
        };
        none(resolver, other);
        let byte = resolver.optional(used, parse_delimiter_byte).flatten();
        return (byte, use_optionally && byte.is_some());
    }
    let shown = show_byte(base.fields_enclosed_by);
    let (used, other) = if base.fields_optionally_enclosed {
        (&s::FIELDS_OPTIONALLY_ENCLOSED_BY, &s::FIELDS_ENCLOSED_BY)
    } else {
        (&s::FIELDS_ENCLOSED_BY, &s::FIELDS_OPTIONALLY_ENCLOSED_BY)
    };
    resolver.record_derived(used, shown, Origin::Preset(preset.name()));
    none(resolver, other);
    (base.fields_enclosed_by, base.fields_optionally_enclosed)
}

fn show_byte(byte: Option<u8>) -> String {
    show_delimiter(byte.as_slice())
}

/// The reason why a list of columns or an assignment is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ColumnError {
    #[error("a name is empty")]
    EmptyName,
    #[error("a backtick is not closed; to use a backtick in a name, write it twice")]
    UnclosedQuote,
    #[error("only a comma may follow a closing backtick")]
    TextAfterQuote,
    #[error("a name contains a NUL character, which MySQL does not allow")]
    Nul,
    #[error(
        "the column {0} is listed twice; the server would silently keep only one of its fields"
    )]
    Twice(String),
    #[error("it must be COLUMN=EXPRESSION, as in day=DATE(@t)")]
    NoExpression,
    #[error("it must set a column, not a variable")]
    SetVariable,
    #[error("{0}")]
    Expression(SqlError),
}

/// Parses a list such as `` a, @skip, `odd, name` ``.
pub(super) fn columns(text: &str) -> Result<Vec<ColumnOrVariable>, ColumnError> {
    let mut columns = Vec::new();
    let mut rest = text;
    loop {
        let (item, after) = column_or_variable(rest, ',')?;
        if let ColumnOrVariable::Column(name) = &item {
            let lower = name.to_lowercase();
            let same = |other: &ColumnOrVariable| match other {
                ColumnOrVariable::Column(other) => other.to_lowercase() == lower,
                ColumnOrVariable::Variable(_) => false,
            };
            if columns.iter().any(same) {
                return Err(ColumnError::Twice(name.clone()));
            }
        }
        columns.push(item);
        match after {
            Some(after) => rest = after,
            None => return Ok(columns),
        }
    }
}

/// Parses a list such as `a,b`, with the quotes of `--columns`.
pub(super) fn column_names(text: &str) -> Result<Vec<String>, String> {
    columns(text)
        .map_err(|error| error.to_string())?
        .into_iter()
        .map(|item| match item {
            ColumnOrVariable::Column(name) => Ok(name),
            ColumnOrVariable::Variable(name) => Err(format!("@{name} is not a column")),
        })
        .collect()
}

/// Parses an assignment such as `` `odd=name` = EXPR ``.
fn assignment(text: &str) -> Result<(String, String), ColumnError> {
    let (item, expression) = column_or_variable(text, '=').map_err(|error| match error {
        ColumnError::TextAfterQuote => ColumnError::NoExpression,
        error => error,
    })?;
    let expression = expression.map(str::trim).filter(|expression| !expression.is_empty());
    match (item, expression) {
        (ColumnOrVariable::Variable(_), _) => Err(ColumnError::SetVariable),
        (ColumnOrVariable::Column(_), None) => Err(ColumnError::NoExpression),
        (ColumnOrVariable::Column(column), Some(expression)) => {
            check_expression(expression).map_err(|error| {
                let before = text.trim_end().strip_suffix(expression).unwrap_or_default();
                ColumnError::Expression(error.after(before.chars().count()))
            })?;
            Ok((column, expression.to_owned()))
        }
    }
}

/// Returns the first name in `text`, and the text after its separator, if one follows.
pub(super) fn column_or_variable(
    text: &str,
    separator: char,
) -> Result<(ColumnOrVariable, Option<&str>), ColumnError> {
    let text = text.trim_start();
    let (is_variable, text) = text.strip_prefix('@').map_or((false, text), |text| (true, text));
    let (name, after) = if text.starts_with('`') {
        let (name, after) = quoted_identifier(text).ok_or(ColumnError::UnclosedQuote)?;
        let after = after.trim_start();
        let follows = after.strip_prefix(separator);
        if follows.is_none() && !after.is_empty() {
            return Err(ColumnError::TextAfterQuote);
        }
        (name, follows)
    } else {
        match text.split_once(separator) {
            Some((name, after)) => (name.trim_end().to_owned(), Some(after)),
            None => (text.trim_end().to_owned(), None),
        }
    };
    if name.is_empty() {
        return Err(ColumnError::EmptyName);
    }
    if name.contains('\0') {
        return Err(ColumnError::Nul);
    }
    Ok((
        if is_variable { ColumnOrVariable::Variable(name) } else { ColumnOrVariable::Column(name) },
        after,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> ColumnOrVariable {
        ColumnOrVariable::Column(name.into())
    }

    fn variable(name: &str) -> ColumnOrVariable {
        ColumnOrVariable::Variable(name.into())
    }

    #[test]
    fn columns_are_separated_by_commas_outside_backticks() {
        assert_eq!(columns("a, @skip ,b"), Ok(vec![column("a"), variable("skip"), column("b")]));
        assert_eq!(
            columns("`a,b`,`c``d` , @`e f`"),
            Ok(vec![column("a,b"), column("c`d"), variable("e f")])
        );
        assert_eq!(
            columns("@x,@x"),
            Ok(vec![variable("x"), variable("x")]),
            "a variable may drop many fields"
        );
    }

    #[test]
    fn a_column_list_that_would_lose_fields_is_refused() {
        assert_eq!(columns("a,,b"), Err(ColumnError::EmptyName));
        assert_eq!(columns("a,"), Err(ColumnError::EmptyName));
        assert_eq!(columns("@"), Err(ColumnError::EmptyName));
        assert_eq!(columns("`a"), Err(ColumnError::UnclosedQuote));
        assert_eq!(columns("`a`b"), Err(ColumnError::TextAfterQuote));
        assert_eq!(columns("a,b,A"), Err(ColumnError::Twice("A".into())));
    }

    #[test]
    fn an_assignment_splits_at_its_first_equals_sign_outside_backticks() {
        let pair = |column: &str, expression: &str| Ok((column.to_owned(), expression.to_owned()));
        assert_eq!(assignment("day=DATE(@t)"), pair("day", "DATE(@t)"));
        assert_eq!(assignment(" a = IF(@x = 1, 2, 3) "), pair("a", "IF(@x = 1, 2, 3)"));
        assert_eq!(assignment("`a=b` = 1"), pair("a=b", "1"));
        assert_eq!(assignment("a"), Err(ColumnError::NoExpression));
        assert_eq!(assignment("a="), Err(ColumnError::NoExpression));
        assert_eq!(assignment("`a` 1"), Err(ColumnError::NoExpression));
        assert_eq!(assignment("=1"), Err(ColumnError::EmptyName));
        assert_eq!(assignment("@a=1"), Err(ColumnError::SetVariable));
    }

    #[test]
    fn an_assignment_has_one_expression() {
        for (text, shown) in [
            ("b=1; DROP TABLE victim", "character 4 (';'): it would end the statement"),
            (" é = 1, c = 2 ", "character 7 (','): the expression would start another assignment"),
            ("b=(1", "character 3 ('('): this parenthesis is not closed"),
            ("b='", "character 3 ('\\''): this quote is not closed"),
        ] {
            let error = assignment(text).unwrap_err().to_string();
            assert!(error.starts_with(shown), "{error}");
        }
    }
}
