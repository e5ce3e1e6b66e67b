//! The guess of a table: its columns in the order in which their names appear.

use std::collections::HashMap;

use super::column_guess::{ColumnGuess, Sample};
use super::names::{MOST_COLUMNS, ensure_valid};
use super::new_table::{NewColumn, NewTable};
use super::options::{GuessOptions, Head};
use crate::columns::partitions;
use crate::dialect::{ColumnOrVariable, PartitionColumns};
use crate::error::{Error, ErrorKind, Result};
use crate::sql_text::{option_identifier, same_name};
use crate::values::FormReader;

/// The most rows of an object that are looked at.
pub(super) const MOST_ROWS: u64 = 10_000;

/// One column.
#[derive(Clone, Debug)]
struct Column {
    name: String,
    forms: FormReader,
    guess: ColumnGuess,
}

/// A table that is being guessed.
pub(crate) struct Guess<'a> {
    pub(super) options: GuessOptions<'a>,
    columns: Vec<Column>,
    /// The columns by their names in lower case.
    by_name: HashMap<String, usize>,
    /// The columns that the keys of the objects fill.
    partitions: Vec<Column>,
    /// The header of the first object, if fields go by position, and the object.
    pub(super) header: Option<(Vec<String>, String)>,
    objects: Vec<String>,
    pub(super) rows: u64,
}

impl<'a> Guess<'a> {
    /// Begins a guess, with the columns that the settings name.
    ///
    /// # Errors
    /// `Usage` if no table can be guessed with these settings.
    pub(crate) fn new(options: GuessOptions<'a>) -> Result<Self> {
        let GuessOptions { format, .. } = options;
        let refused = |message: &str, hint: &str| {
            Err(Error::new(ErrorKind::Usage, format!("--create-table: {message}")).with_hint(hint))
        };
        if let Some((column, _)) = format.set.first() {
            let message =
                format!("nothing tells the type of column {column}, which --set computes");
            return refused(&message, "create the table yourself");
        }
        if format.charset.name() == "binary" {
            return refused(
                "fields in the character set binary are bytes, which have no types",
                "name the character set of the texts in --charset, or create the table yourself",
            );
        }
        let is_text = format.json.is_none();
        if is_text && format.columns.is_none() && format.ignore_lines == 0 {
            return refused(
                "nothing names the columns, because the objects have no header lines",
                "--columns a,b,c names them; --match-columns name or --ignore-lines 1 takes the \
                 names from a header line",
            );
        }
        let mut guess = Self {
            options,
            columns: Vec::new(),
            by_name: HashMap::new(),
            partitions: Vec::new(),
            header: None,
            objects: Vec::new(),
            rows: 0,
        };
        let fields = format.json.iter().flat_map(|json| json.fields.iter().map(|(item, _)| item));
        for item in format.columns.iter().flatten().chain(fields) {
            if let ColumnOrVariable::Column(name) = item {
                guess.column(name, "--columns or --field", "give the column another name")?;
            }
        }
        Ok(guess)
    }

    /// Adds the beginning of an object.
    ///
    /// # Errors
    /// `Malformed` if it cannot be read, or if a name in it can be no column.
    pub(crate) fn add(&mut self, head: &Head<'_>) -> Result<()> {
        self.objects.push(head.object.to_string());
        if self.options.format.json.is_some() {
            self.add_records(head)?;
        } else {
            self.add_delimited(head)?;
        }
        self.add_partitions(head)
    }

    /// Returns the column with this name, which is new if there is none. `what` names the object.
    pub(super) fn column(&mut self, name: &str, what: &str, remedy: &str) -> Result<usize> {
        if let Some(&index) = self.by_name.get(name) {
            return Ok(index);
        }
        let lower = name.to_lowercase();
        if let Some(&index) = self.by_name.get(&lower) {
            return Ok(index);
        }
        ensure_valid(name, what, remedy)?;
        if self.columns.len() == MOST_COLUMNS {
            let message = format!("{what}: a table has at most {MOST_COLUMNS} columns");
            return Err(Error::new(ErrorKind::Malformed, message).with_hint(remedy));
        }
        self.columns.push(self.new_column(name));
        self.by_name.insert(lower, self.columns.len() - 1);
        self.by_name.insert(name.to_owned(), self.columns.len() - 1);
        Ok(self.columns.len() - 1)
    }

    fn new_column(&self, name: &str) -> Column {
        let GuessOptions { format, readings, server, .. } = self.options;
        Column {
            name: name.to_owned(),
            forms: FormReader::new(name, server, &format.charset, readings),
            guess: ColumnGuess::default(),
        }
    }

    /// Returns true if a name in an object becomes a column.
    pub(super) fn is_wanted(&self, name: &str) -> bool {
        let listed = self.options.format.columns.as_ref();
        listed.is_none_or(|_| self.by_name.contains_key(&name.to_lowercase()))
    }

    pub(super) fn add_null(&mut self, column: usize) {
        self.columns[column].guess.add_null();
    }

    /// Adds a field of text.
    pub(super) fn add_text(&mut self, column: usize, text: &[u8], place: &dyn Fn() -> String) {
        let characters = self.characters(text);
        let Column { forms, guess, .. } = &mut self.columns[column];
        guess.add(forms.of_text(text), &Sample { text, characters, place });
    }

    /// Adds a value of JSON.
    pub(super) fn add_json(&mut self, column: usize, value: &str, place: &dyn Fn() -> String) {
        let Column { forms, guess, .. } = &mut self.columns[column];
        if value == "null" {
            guess.add_null();
            return;
        }
        // The row is bad if the value has no form.
        let Some(form) = forms.of_json(value) else { return };
        let unescaped: Option<String> =
            if value.starts_with('"') { serde_json::from_str(value).ok() } else { None };
        let text = unescaped.as_deref().unwrap_or(value);
        let characters = text.chars().count();
        guess.add(form, &Sample { text: text.as_bytes(), characters, place });
    }

    fn characters(&self, text: &[u8]) -> usize {
        if self.options.format.charset.is_utf8() {
            text.iter().filter(|byte| !(0x80..0xC0).contains(*byte)).count()
        } else {
            text.len()
        }
    }

    /// Adds the values in the object's key.
    fn add_partitions(&mut self, head: &Head<'_>) -> Result<()> {
        let format = self.options.format;
        let is_json = format.json.is_some();
        let what = head.object.to_string();
        for partition in partitions(&head.object.key) {
            let is_wanted = match &format.names.partition_columns {
                PartitionColumns::None => false,
                // The records decide.
                PartitionColumns::Auto => {
                    !is_json && (!format.names.by_name() || self.is_wanted(&partition.name))
                }
                PartitionColumns::Named(names) => {
                    names.iter().any(|name| same_name(name, &partition.name))
                }
            };
            if !is_wanted {
                continue;
            }
            let is_it = |column: &Column| same_name(&column.name, &partition.name);
            let index = match self.partitions.iter().position(is_it) {
                Some(index) => index,
                None => {
                    let remedy = "--partition-columns none leaves the names in keys out";
                    ensure_valid(&partition.name, &what, remedy)?;
                    self.partitions.push(self.new_column(&partition.name));
                    self.partitions.len() - 1
                }
            };
            let Column { forms, guess, .. } = &mut self.partitions[index];
            match &partition.value {
                None => guess.add_null(),
                Some(text) => guess.add(
                    forms.of_text(text.as_bytes()),
                    &Sample {
                        text: text.as_bytes(),
                        characters: text.chars().count(),
                        place: &|| format!("the key {}", head.object.key),
                    },
                ),
            }
        }
        Ok(())
    }

    /// Decides on the types.
    ///
    /// # Errors
    /// `Usage` if the primary key has no such column; `Malformed` if no column is known.
    pub(crate) fn finish(mut self) -> Result<NewTable> {
        let GuessOptions { primary_key, readings, .. } = self.options;
        for partition in std::mem::take(&mut self.partitions) {
            if !self.columns.iter().any(|column| same_name(&column.name, &partition.name)) {
                self.columns.push(partition);
            }
        }
        if self.columns.is_empty() {
            let message =
                "--create-table: the objects that were looked at have no names of columns";
            return Err(Error::new(ErrorKind::Malformed, message)
                .with_hint("--columns a,b,c names the columns"));
        }
        let is_key = |name: &str| primary_key.iter().any(|key| same_name(key, name));
        for key in primary_key {
            if !self.columns.iter().any(|column| same_name(&column.name, key)) {
                let names: Vec<_> =
                    self.columns.iter().map(|column| option_identifier(&column.name)).collect();
                let message = format!("--primary-key: there is no column {key:?}");
                return Err(Error::new(ErrorKind::Usage, message)
                    .with_hint(format!("the columns are {}", names.join(","))));
            }
        }
        let mut columns = Vec::new();
        for Column { name, guess, .. } in self.columns {
            let is_key = is_key(&name);
            let (sql_type, mut remark) = guess.decide(readings.empty_as_null, is_key);
            if is_key && guess.nulls() > 0 {
                remark.push_str("; a row without it is bad");
            }
            let long_text = guess.long_text();
            columns.push(NewColumn { name, sql_type, remark, is_key, long_text });
        }
        NewTable::new(columns, primary_key, self.rows, self.objects)
    }
}
