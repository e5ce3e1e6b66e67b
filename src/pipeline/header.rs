//! Compares the header line of an object with the columns that its fields are read into.
//!
//! LOAD DATA matches fields by position. If an exporter writes the columns in another order, every
//! value may fit and still be in the wrong column, so nothing but the header tells. An object whose
//! header contradicts the column list fails before it is loaded. A header that is in another
//! language, or has names of its own, contradicts nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::dialect::{ColumnOrVariable, FormatConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::mysql::TableSchema;
use crate::object::Object;
use crate::preflight::Preflight;
use crate::printable::printable;
use crate::split::header_names;
use crate::sql_text::{option_identifier, same_name};

/// The longest header that is compared. A name has at most 64 characters and a table 4096 columns,
/// so whatever is longer is no list of names.
pub(crate) const HEADER_BYTES: u64 = 1024 * 1024;
/// The maximum number of names that a message lists.
const SHOWN_NAMES: usize = 20;
/// The longest name of a column, in characters.
const NAME_CHARACTERS: usize = 64;

/// Compares headers, and remembers if it has warned.
#[derive(Debug)]
pub(crate) struct HeaderCheck {
    format: FormatConfig,
    /// The names of the table's columns, and for each true if the server computes it.
    columns: Vec<(String, bool)>,
    has_warned: AtomicBool,
}

impl HeaderCheck {
    /// Creates the check for a run, or `None` if its objects have no header lines.
    pub(crate) fn new(format: &FormatConfig, preflight: &Preflight) -> Option<Self> {
        if format.ignore_lines == 0 || format.names.by_name() {
            return None;
        }
        let TableSchema { columns, .. } = &*preflight.schema;
        Some(Self {
            format: format.clone(),
            columns: columns
                .iter()
                .map(|column| (column.name.clone(), column.is_generated))
                .collect(),
            has_warned: AtomicBool::new(false),
        })
    }

    /// Compares the header of a staged object whose data begins at `data_start` with `items`, the
    /// column list for its fields.
    ///
    /// # Errors
    /// `Malformed` if the header contradicts the column list. `StagingFailed`.
    pub(crate) fn check_staged(
        &self,
        object: &Object,
        file: &FileSlice,
        data_start: u64,
        items: &[ColumnOrVariable],
    ) -> Result<()> {
        let Some(length) = usize::try_from(data_start).ok().filter(|_| data_start <= HEADER_BYTES)
        else {
            return Ok(());
        };
        let mut head = vec![0; length];
        file.read_exact_at(&mut head, 0).map_err(|error| {
            Error::new(ErrorKind::StagingFailed, format!("{object}: cannot be read back"))
                .caused_by(error)
        })?;
        self.check(object, &head, false, items)
    }

    /// Compares the header in the first bytes of an object. `is_cut` is true if it may go on beyond
    /// them.
    ///
    /// # Errors
    /// `Malformed` if the header contradicts the column list.
    pub(crate) fn check(
        &self,
        object: &Object,
        first: &[u8],
        is_cut: bool,
        items: &[ColumnOrVariable],
    ) -> Result<()> {
        let FormatConfig { dialect, charset, ignore_lines, .. } = &self.format;
        let Some(names) = header_names(dialect, charset, *ignore_lines, first, is_cut) else {
            return Ok(());
        };
        let columns: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        match compare(&names, items, &columns) {
            Agreement::Fits => Ok(()),
            Agreement::InPart(why) => {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "{object}: its header {} fits the columns {} only in part: {why}; fields \
                         are matched by position, and by name with --match-columns name (this \
                         warning appears once per run)",
                        listed(names.iter().map(String::as_str)),
                        listed(items.iter().map(name)),
                    );
                }
                Ok(())
            }
            Agreement::Contradicts(why) => {
                let message = format!(
                    "{object}: its header {} contradicts the columns {}: {why}",
                    listed(names.iter().map(String::as_str)),
                    listed(items.iter().map(name)),
                );
                Err(Error::new(ErrorKind::Malformed, message).with_hint(format!(
                    "fields are matched by position, not by name; --match-columns name goes by \
                     the names of each header, and --columns '{}' has the order of this one",
                    self.columns_of(&names, items).replace('\'', "'\\''")
                )))
            }
        }
    }

    /// Returns the value of `--columns` that reads the fields by these names. A field whose name
    /// says nothing, or is there for the second time, goes to a variable.
    fn columns_of(&self, names: &[String], list: &[ColumnOrVariable]) -> String {
        let mut taken: Vec<&str> = Vec::new();
        let items = names.iter().enumerate().map(|(index, field)| {
            let item = list.iter().find(|item| same_name(name(item), field));
            let column = self.columns.iter().find(|(column, _)| same_name(column, field));
            match (item, column) {
                (None | Some(ColumnOrVariable::Column(_)), Some((column, false)))
                    if !taken.contains(&column.as_str()) =>
                {
                    taken.push(column);
                    option_identifier(column).into_owned()
                }
                _ if field.is_empty() || field.chars().count() > NAME_CHARACTERS => {
                    format!("@field{}", index + 1)
                }
                _ => format!("@{}", option_identifier(field)),
            }
        });
        items.collect::<Vec<_>>().join(",")
    }
}

/// Returns the error of an object whose header does not end soon enough.
pub(crate) fn header_too_long(object: &Object) -> Error {
    let message =
        format!("{object}: its header lines do not end in the first {HEADER_BYTES} bytes");
    Error::new(ErrorKind::Malformed, message)
        .with_hint("--ignore-lines sets the number of header lines, and the last one has the names")
}

/// The result of a comparison, with the reason in words.
#[derive(Debug, PartialEq, Eq)]
enum Agreement {
    /// The names are those of the list, or say nothing about it.
    Fits,
    /// Some names are those of the list, and none contradicts it.
    InPart(String),
    Contradicts(String),
}

fn name(item: &ColumnOrVariable) -> &str {
    match item {
        ColumnOrVariable::Column(name) | ColumnOrVariable::Variable(name) => name,
    }
}

/// Compares the names of a header with the items that its fields are read into, and with the
/// table's columns. An empty name says nothing.
fn compare(names: &[String], items: &[ColumnOrVariable], columns: &[&str]) -> Agreement {
    // A delimiter at the end of every line is usual.
    let names = match names {
        [before @ .., last] if last.is_empty() && before.len() == items.len() => before,
        names => names,
    };
    let is_column = |field: &str| columns.iter().any(|column| same_name(column, field));
    let fits =
        |index: usize| items.get(index).is_some_and(|item| same_name(name(item), &names[index]));
    let mut fitting = 0;
    let mut stranger = None;
    for (index, field) in names.iter().enumerate().filter(|(_, field)| !field.is_empty()) {
        if fits(index) {
            fitting += 1;
            continue;
        }
        let twice = names.iter().position(|other| same_name(other, field)).filter(|at| *at < index);
        let place = items.iter().position(|item| same_name(name(item), field));
        if twice.is_some() && (place.is_some() || is_column(field)) {
            return Agreement::Contradicts(format!("it has {} twice", shown(field)));
        }
        match items.get(index) {
            Some(item) if place.is_some() => {
                return Agreement::Contradicts(read_into(index, field, item));
            }
            Some(item @ ColumnOrVariable::Column(_)) => {
                let why = read_into(index, field, item);
                if is_column(field) {
                    return Agreement::Contradicts(why);
                }
                stranger.get_or_insert(why);
            }
            // People name variables as they like.
            Some(ColumnOrVariable::Variable(_)) => {}
            None if place.is_some() => {
                return Agreement::Contradicts(format!(
                    "field {} is {}, and the columns end before it",
                    index + 1,
                    shown(field)
                ));
            }
            None => {}
        }
    }
    if fitting == 0 {
        Agreement::Fits
    } else if names.len() != items.len() {
        Agreement::InPart(format!("it has {} fields for {} columns", names.len(), items.len()))
    } else {
        stranger.map_or(Agreement::Fits, Agreement::InPart)
    }
}

fn read_into(index: usize, field: &str, item: &ColumnOrVariable) -> String {
    let sign = if matches!(item, ColumnOrVariable::Variable(_)) { "@" } else { "" };
    format!("field {} is {}, and goes to {sign}{}", index + 1, shown(field), shown(name(item)))
}

/// Returns a name for a message, not too long.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(NAME_CHARACTERS).collect();
    printable(&short).into_owned()
}

/// Returns names for a message: not too many, and none too long.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let left = names.len().saturating_sub(SHOWN_NAMES);
    let mut shown: Vec<String> = names.take(SHOWN_NAMES).map(shown).collect();
    if left > 0 {
        shown.push(format!("and {left} more"));
    }
    format!("({})", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: [&str; 4] = ["sku", "qty", "cost", "Größe"];

    fn compared(header: &str, list: &str) -> Agreement {
        let names: Vec<String> = header.split(',').map(str::to_owned).collect();
        let items: Vec<ColumnOrVariable> = list
            .split(',')
            .map(|item| match item.strip_prefix('@') {
                Some(name) => ColumnOrVariable::Variable(name.to_owned()),
                None => ColumnOrVariable::Column(item.to_owned()),
            })
            .collect();
        compare(&names, &items, &TABLE)
    }

    #[test]
    fn a_header_in_the_order_of_the_columns_fits() {
        for (header, list) in [
            ("sku,qty,cost", "sku,qty,cost"),
            ("SKU,Qty,COST", "sku,qty,cost"),
            ("sku,qty,GRÖSSE", "sku,qty,@x"),
            ("größe,sku", "Größe,sku"),
            ("sku,qty,cost,", "sku,qty,cost"),
            ("sku,,cost", "sku,qty,cost"),
            ("sku,x,cost", "sku,@X,cost"),
            ("sku,qty,sku", "sku,qty,@sku"),
            ("sku,qty,sku", "@sku,qty,@sku"),
        ] {
            assert_eq!(compared(header, list), Agreement::Fits, "{header} for {list}");
        }
    }

    #[test]
    fn a_header_without_a_known_name_says_nothing() {
        for header in ["Artikel,Menge,Preis", "a,b", "a,b,c,d,e", "", "1,2,3", ",,"] {
            assert_eq!(compared(header, "sku,qty,cost"), Agreement::Fits, "{header}");
        }
        // Variables have names of their own, and may be for any field.
        assert_eq!(compared("sku,qty", "@a,@b"), Agreement::Fits);
        assert_eq!(compared("sku,qty,cost", "sku,@dummy,cost"), Agreement::Fits);
    }

    #[test]
    fn names_at_the_places_of_other_columns_contradict() {
        for (header, list, why) in [
            ("qty,sku,cost", "sku,qty,cost", "field 1 is qty, and goes to sku"),
            ("sku,cost", "sku,qty,cost", "field 2 is cost, and goes to qty"),
            ("sku,color,qty,cost", "sku,qty,cost", "field 3 is qty, and goes to cost"),
            (",sku,qty", "sku,qty,cost", "field 2 is sku, and goes to qty"),
            ("sku,größe", "sku,qty", "field 2 is größe, and goes to qty"),
            ("a,b,sku,d", "sku,qty,cost", "field 3 is sku, and goes to cost"),
            ("a,b,c,sku", "sku,qty,cost", "field 4 is sku, and the columns end before it"),
            ("sku,x,qty", "sku,qty,@x", "field 2 is x, and goes to qty"),
            ("qty,a", "@qty_text,@qty", "field 1 is qty, and goes to @qty_text"),
        ] {
            let expected = Agreement::Contradicts(why.to_owned());
            assert_eq!(compared(header, list), expected, "{header} for {list}");
        }
    }

    #[test]
    fn a_name_of_the_table_must_not_be_there_twice() {
        for (header, list) in [
            ("sku,qty,sku", "sku,qty,cost"),
            ("sku,qty,sku", "sku,qty,@dummy"),
            ("cost,b,COST", "@a,@b,@c"),
            ("sku,qty,cost,SKU", "sku,qty,cost"),
            ("x,qty,x", "@x,qty,cost"),
        ] {
            let Agreement::Contradicts(why) = compared(header, list) else {
                panic!("{header} for {list}")
            };
            assert!(why.ends_with(" twice"), "{why}");
        }
        assert_eq!(compared("a,a", "sku,qty"), Agreement::Fits);
    }

    #[test]
    fn a_header_that_fits_in_part_is_worth_a_warning() {
        for (header, list, why) in [
            ("sku,amount,cost", "sku,qty,cost", "field 2 is amount, and goes to qty"),
            ("sku,qty", "sku,qty,cost", "it has 2 fields for 3 columns"),
            ("sku,qty,cost,x", "sku,qty,cost", "it has 4 fields for 3 columns"),
            ("sku,qty,Größe", "sku,qty", "it has 3 fields for 2 columns"),
        ] {
            let expected = Agreement::InPart(why.to_owned());
            assert_eq!(compared(header, list), expected, "{header} for {list}");
        }
    }
}
