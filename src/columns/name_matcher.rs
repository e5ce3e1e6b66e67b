//! Finds the columns for the names in an object's header.
//!
//! A name is that of a column if the two are equal without regard to case, as the servers compare
//! the names of columns. Nothing else of a name is changed.

use super::item::is_column;
use crate::dialect::{
    ColumnOrVariable, EXTRA_VARIABLE, ExtraColumns, FormatConfig, MissingColumns, set_variables,
};
use crate::mysql::TableSchema;
use crate::nearest::nearest;
use crate::sql_text::{TableName, option_identifier, quote_identifier, same_name};

/// The maximum number of names that a message lists.
const SHOWN_NAMES: usize = 10;
/// The maximum number of characters of a name in a message. No column has a longer one.
const NAME_CHARACTERS: usize = 64;

/// The columns and variables that names may stand for.
#[derive(Clone, Debug)]
pub(crate) struct NameMatcher {
    table: TableName,
    items: Vec<ColumnOrVariable>,
    /// The variables that an expression of `--set` reads, so that each object must have them.
    variables: Vec<String>,
    /// The columns that must be filled.
    needed: Vec<String>,
    extra_columns: ExtraColumns,
}

/// The reason why a header does not fit the table, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameProblem {
    pub(crate) why: String,
    pub(crate) hint: String,
}

impl NameMatcher {
    /// Creates the matcher for a table. `is_known` returns true for the variables that have a value
    /// from elsewhere.
    pub(crate) fn new(
        schema: &TableSchema,
        format: &FormatConfig,
        is_known: impl Fn(&str) -> bool,
    ) -> Self {
        let FormatConfig { columns, set, names, .. } = format;
        let mut items = columns.clone().unwrap_or_else(|| {
            schema.columns.iter().map(|it| ColumnOrVariable::Column(it.name.clone())).collect()
        });
        let is_set = |column: &str| set.iter().any(|(name, _)| same_name(name, column));
        let variables: Vec<String> =
            set_variables(set).into_iter().filter(|name| !is_known(name)).collect();
        for variable in &variables {
            let item = ColumnOrVariable::Variable(variable.clone());
            match items.iter_mut().find(|item| same_name(name_of(item), variable)) {
                // The field cannot go to both, and the column gets its value from --set.
                Some(column @ ColumnOrVariable::Column(_)) if is_set(name_of(column)) => {
                    *column = item;
                }
                Some(_) => {}
                None => items.push(item),
            }
        }
        let is_listed = |column: &str| {
            columns.is_none() || items.iter().any(|item| same_name(name_of(item), column))
        };
        let needed = schema.columns.iter().filter(|column| {
            let has_value = column.has_default || column.is_auto_increment;
            let is_needed = match names.missing_columns {
                MissingColumns::Default => !has_value,
                MissingColumns::Error => {
                    !has_value || is_listed(&column.name) && !column.is_invisible
                }
            };
            is_needed && !column.is_generated && !is_set(&column.name)
        });
        Self {
            table: schema.name(),
            needed: needed.map(|column| column.name.clone()).collect(),
            items,
            variables,
            extra_columns: names.extra_columns,
        }
    }

    /// Returns the columns and variables that names may stand for.
    pub(crate) fn items(&self) -> &[ColumnOrVariable] {
        &self.items
    }

    /// Returns the variables of `--set` that no field can fill, because a column has their names.
    pub(crate) fn hidden_variables(&self) -> impl Iterator<Item = &str> {
        let is_it = |name: &&String| self.items.iter().any(|item| is_column(item, name));
        self.variables.iter().filter(is_it).map(String::as_str)
    }

    /// Returns what the fields under these names are read into, in their order. `filled` are the
    /// columns that get their values from elsewhere.
    ///
    /// # Errors
    /// Names that are there twice, that are names of no column, and columns that are missing.
    pub(crate) fn columns_of(
        &self,
        names: &[String],
        filled: &[String],
    ) -> Result<Vec<ColumnOrVariable>, NameProblem> {
        let item = |name: &String| {
            let is_it = |item: &&ColumnOrVariable| same_name(name_of(item), name);
            self.items.iter().find(is_it).filter(|_| !name.is_empty())
        };
        let found: Vec<Option<&ColumnOrVariable>> = names.iter().map(item).collect();
        Self::ensure_read(names)?;
        Self::ensure_once(names)?;
        if found.iter().all(Option::is_none) {
            let why = "none of its names is a column of the table".to_owned();
            let hint = "the last ignored line must be the header; --ignore-lines sets their number";
            return Err(NameProblem { why, hint: hint.to_owned() });
        }
        self.ensure_nothing_extra(names, &found)?;
        self.ensure_complete(&found, filled)?;
        let extra = || ColumnOrVariable::Variable(EXTRA_VARIABLE.to_owned());
        Ok(found.into_iter().map(|item| item.cloned().unwrap_or_else(extra)).collect())
    }

    fn ensure_read(names: &[String]) -> Result<(), NameProblem> {
        let is_unreadable = |name: &String| name.starts_with(char::REPLACEMENT_CHARACTER);
        let Some(index) = names.iter().position(is_unreadable) else { return Ok(()) };
        Err(NameProblem {
            why: format!("the name of field {} cannot be read", index + 1),
            hint: "names that are not ASCII must be in UTF-8, which --charset then names"
                .to_owned(),
        })
    }

    fn ensure_once(names: &[String]) -> Result<(), NameProblem> {
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if names[..index].iter().any(|other| same_name(other, name)) {
                return Err(NameProblem {
                    why: format!("it has {} twice", shortened(name)),
                    hint: "each name must be there once, because a column takes one field"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    fn ensure_nothing_extra(
        &self,
        names: &[String],
        found: &[Option<&ColumnOrVariable>],
    ) -> Result<(), NameProblem> {
        if self.extra_columns == ExtraColumns::Ignore {
            return Ok(());
        }
        let extra: Vec<(usize, &String)> =
            names.iter().enumerate().filter(|(index, _)| found[*index].is_none()).collect();
        let Some((_, first)) = extra.first() else { return Ok(()) };
        let names: Vec<&str> = extra.iter().map(|(_, name)| name.as_str()).collect();
        let listed = listed(extra.iter().map(|(index, name)| match name.as_str() {
            "" => format!("field {} (without a name)", index + 1),
            name => name.to_owned(),
        }));
        let verb = if extra.len() == 1 { "is no column" } else { "are no columns" };
        // No longer name is close to any.
        let is_short = (1..=NAME_CHARACTERS).contains(&first.chars().count());
        let near = is_short.then(|| nearest(first, self.items.iter().map(name_of))).flatten();
        let near = near.map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
        Err(NameProblem {
            why: format!("{listed} {verb} that can be loaded"),
            hint: format!(
                "{near}--extra-columns ignore leaves such fields out{}",
                self.alter(&names)
            ),
        })
    }

    /// Returns the statement that makes columns of the names that are none, as the end of a hint.
    fn alter(&self, names: &[&str]) -> String {
        let columns = names.iter().filter(|name| !name.is_empty()).take(SHOWN_NAMES);
        let columns: Vec<String> = columns
            .map(|name| format!("ADD COLUMN {} VARCHAR(255)", quote_identifier(name)))
            .collect();
        if columns.is_empty() {
            return String::new();
        }
        let (table, columns) = (&self.table, columns.join(", "));
        format!("; ALTER TABLE {table} {columns}; adds what is missing, if that is its type")
    }

    fn ensure_complete(
        &self,
        found: &[Option<&ColumnOrVariable>],
        filled: &[String],
    ) -> Result<(), NameProblem> {
        let is_read = |name: &String, is_variable: bool| {
            found.iter().flatten().any(|item| {
                matches!(item, ColumnOrVariable::Variable(_)) == is_variable
                    && same_name(name_of(item), name)
            })
        };
        let unread: Vec<&String> =
            self.variables.iter().filter(|variable| !is_read(variable, true)).collect();
        if !unread.is_empty() {
            return Err(NameProblem {
                why: format!(
                    "it lacks {}, which --set reads as a variable",
                    listed(unread.into_iter().cloned())
                ),
                hint: "load objects without it by a command of their own".to_owned(),
            });
        }
        let is_filled = |name: &String| {
            is_read(name, false) || filled.iter().any(|filled| same_name(filled, name))
        };
        let missing: Vec<&String> = self.needed.iter().filter(|it| !is_filled(it)).collect();
        let Some(first) = missing.first() else { return Ok(()) };
        let (noun, pronoun) =
            if missing.len() == 1 { ("column", "it") } else { ("columns", "they") };
        let hint = format!(
            "--set '{0}=EXPRESSION' gives a value, and NULL is enough where a trigger replaces it; \
             --partition-columns '{0}' takes it from keys with {0}=VALUE/; a column with a DEFAULT \
             may be missing unless --missing-columns is error",
            option_identifier(first)
        );
        let why = format!(
            "it lacks the {noun} {}, and {pronoun} must have a value",
            listed(missing.into_iter().cloned())
        );
        Err(NameProblem { why, hint })
    }
}

fn name_of(item: &ColumnOrVariable) -> &str {
    match item {
        ColumnOrVariable::Column(name) | ColumnOrVariable::Variable(name) => name,
    }
}

/// Returns a name for a message, not too long.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARACTERS) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

/// Returns names for a message, not too many.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(SHOWN_NAMES);
    let mut shown: Vec<String> = names.take(SHOWN_NAMES).map(|name| shortened(&name)).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dialect::{Charset, MatchColumns, NameConfig, PartitionColumns, Preset};
    use crate::mysql::ColumnSchema;

    const NAMES: [&str; 5] = ["id", "qty", "größe", "day", "at"];

    fn matcher(
        columns: Option<&str>,
        set: &[(&str, &str)],
        extra_columns: ExtraColumns,
        missing_columns: MissingColumns,
    ) -> NameMatcher {
        let column = |name: &&str| ColumnSchema {
            name: (*name).to_owned(),
            has_default: *name != "qty",
            ..ColumnSchema::default()
        };
        let schema =
            TableSchema { columns: NAMES.iter().map(column).collect(), ..TableSchema::default() };
        let format = FormatConfig {
            json: None,
            parquet: None,
            dialect: Preset::Csv.dialect(),
            charset: Charset::default(),
            ignore_lines: 1,
            columns: columns.map(|list| list.split(',').map(item).collect()),
            set: set.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect(),
            null_strings: Vec::new(),
            readings: Vec::new(),
            names: NameConfig {
                match_columns: MatchColumns::Name,
                extra_columns,
                missing_columns,
                partition_columns: PartitionColumns::Auto,
            },
        };
        NameMatcher::new(&schema, &format, |name| name == "session")
    }

    fn item(text: &str) -> ColumnOrVariable {
        match text.strip_prefix('@') {
            Some(name) => ColumnOrVariable::Variable(name.to_owned()),
            None => ColumnOrVariable::Column(text.to_owned()),
        }
    }

    /// Returns the column list for a header, or the problem.
    fn found(matcher: &NameMatcher, header: &str, filled: &str) -> String {
        let list = |text: &str| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
        let show = |item: &ColumnOrVariable| match item {
            ColumnOrVariable::Column(name) => name.clone(),
            ColumnOrVariable::Variable(name) if name == EXTRA_VARIABLE => "-".to_owned(),
            ColumnOrVariable::Variable(name) => format!("@{name}"),
        };
        match matcher.columns_of(&list(header), &list(filled)) {
            Ok(items) => items.iter().map(show).collect::<Vec<_>>().join(","),
            Err(NameProblem { why, .. }) => why,
        }
    }

    #[test]
    fn names_are_those_of_columns_whatever_their_case() {
        let strict = matcher(None, &[], ExtraColumns::Error, MissingColumns::Default);
        for (header, expected) in [
            ("QTY,id", "qty,id"),
            ("GRÖSSE,qty", "GRÖSSE is no column that can be loaded"),
            ("GRÖßE,qty", "größe,qty"),
            ("qty,id,Qty", "it has Qty twice"),
            ("qty,x,", "x, field 3 (without a name) are no columns that can be loaded"),
            ("id,day", "it lacks the column qty, and it must have a value"),
            ("a,b", "none of its names is a column of the table"),
            ("", "none of its names is a column of the table"),
        ] {
            assert_eq!(found(&strict, header, "").as_str(), expected, "{header}");
        }
        assert_eq!(found(&strict, "id", "QTY"), "id");
        let lenient = matcher(None, &[], ExtraColumns::Ignore, MissingColumns::Default);
        assert_eq!(found(&lenient, "x,qty,", ""), "-,qty,-");
        assert_eq!(found(&lenient, "x,qty,x", ""), "it has x twice");
        let full = matcher(None, &[("at", "NOW()")], ExtraColumns::Error, MissingColumns::Error);
        assert_eq!(found(&full, "id,qty,größe,day", ""), "id,qty,größe,day");
        assert!(found(&full, "id,qty", "day").starts_with("it lacks the column größe"));
    }

    #[test]
    fn expressions_read_fields_by_their_names() {
        let set = [("day", "DATE(@day)"), ("at", "CONCAT(@other, @session, @n := 1)")];
        let all = matcher(None, &set, ExtraColumns::Error, MissingColumns::Default);
        assert_eq!(found(&all, "other,day,qty", ""), "@other,@day,qty");
        assert!(found(&all, "day,qty", "").starts_with("it lacks other, which --set reads"));
        assert_eq!(all.hidden_variables().count(), 0);
        let hidden = [("day", "DATE(@at)")];
        let hidden = matcher(None, &hidden, ExtraColumns::Error, MissingColumns::Default);
        assert_eq!(hidden.hidden_variables().collect::<Vec<_>>(), ["at"]);
        let listed = matcher(
            Some("qty,@note"),
            &[("day", "@when")],
            ExtraColumns::Error,
            MissingColumns::Error,
        );
        assert_eq!(found(&listed, "note,when,qty", ""), "@note,@when,qty");
        assert_eq!(found(&listed, "when,qty,id", ""), "id is no column that can be loaded");
    }

    proptest! {
        #[test]
        fn each_field_goes_to_the_column_of_its_name_in_any_order(
            names in Just(NAMES.to_vec()).prop_shuffle(),
            count in 1_usize..=5,
            upper in any::<bool>(),
        ) {
            let matcher = matcher(None, &[], ExtraColumns::Error, MissingColumns::Default);
            let header: Vec<String> = names[..count]
                .iter()
                .map(|name| if upper { name.to_ascii_uppercase() } else { (*name).to_owned() })
                .collect();
            let expected: Vec<ColumnOrVariable> =
                names[..count].iter().map(|name| item(name)).collect();
            match matcher.columns_of(&header, &[]) {
                Ok(items) => prop_assert_eq!(items, expected),
                Err(problem) => prop_assert!(
                    !names[..count].contains(&"qty"), "{}: {}", header.join(","), problem.why
                ),
            }
        }
    }
}
