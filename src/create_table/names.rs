//! The names that columns can have.

use crate::error::{Error, ErrorKind};
use crate::printable::{printable, shortened};
use crate::sql_text::same_name;

/// The longest name of a column, in characters.
const MOST_CHARACTERS: usize = 64;
/// The most columns of an InnoDB table.
pub(super) const MOST_COLUMNS: usize = 1017;
/// The most characters of a name in a message.
const SHOWN_CHARACTERS: usize = 80;

/// Requires that the servers take the name for a column. `what` is the object, and `remedy` the
/// way to another name.
pub(super) fn ensure_valid(name: &str, what: &str, remedy: &str) -> Result<(), Error> {
    let why = if name.is_empty() {
        "is empty"
    } else if name.starts_with(char::REPLACEMENT_CHARACTER) {
        "cannot be read in the character set of the objects"
    } else if name.chars().count() > MOST_CHARACTERS {
        "has more than 64 characters"
    } else if name.chars().any(char::is_control) {
        "has a control character"
    } else if name.chars().any(|character| character > '\u{FFFF}') {
        "has a character that names cannot have"
    } else if name.ends_with(char::is_whitespace) {
        "ends with a blank"
    } else {
        return Ok(());
    };
    let shown = shortened(&printable(name), SHOWN_CHARACTERS);
    let message = format!("{what}: the name \"{shown}\" {why}, so no column can have it");
    Err(Error::new(ErrorKind::Malformed, message).with_hint(remedy))
}

/// Requires that no two of the names stand for the same column.
pub(super) fn ensure_distinct<'name>(
    names: impl IntoIterator<Item = &'name str>,
    what: &str,
    remedy: &str,
) -> Result<(), Error> {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if let Some(other) = seen.iter().find(|other| same_name(other, name)) {
            let (shown, other_shown) = (printable(name), printable(other));
            let message = if *other == name {
                format!("{what}: it has the name {shown} twice, and a table has each name once")
            } else {
                format!(
                    "{what}: the names {other_shown} and {shown} differ only in case, and are one \
                     name to the server"
                )
            };
            return Err(Error::new(ErrorKind::Malformed, message).with_hint(remedy));
        }
        seen.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_column_can_have_are_refused() {
        for name in ["id", "a`b", "O'Reilly", "x; DROP TABLE t", "größe", " a", "1", "a.b"] {
            ensure_valid(name, "o", "r").unwrap();
        }
        let long = "x".repeat(65);
        for name in ["", "a\nb", "\0", "a\u{9b}", "🙂", "a ", "\u{fffd}", &long] {
            assert!(ensure_valid(name, "o", "r").is_err(), "{name:?}");
        }
    }

    #[test]
    fn names_that_are_one_to_the_server_are_refused() {
        ensure_distinct(["a", "b", "ab"], "o", "r").unwrap();
        let error = ensure_distinct(["a", "b", "A"], "o", "r").unwrap_err();
        assert!(error.message().contains("a and A differ only in case"), "{error:?}");
        let error = ensure_distinct(["a", "a"], "o", "r").unwrap_err();
        assert!(error.message().contains("the name a twice"), "{error:?}");
    }
}
