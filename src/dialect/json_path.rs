//! Paths to a value in a record, such as `$.user.tags[0]['odd key']`: members and indexes alone.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A path to a value in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    pub steps: Vec<JsonStep>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonStep {
    Member(String),
    /// The index of an element, from 0.
    Element(usize),
}

/// The reason why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JsonPathError {
    #[error("a path begins with $, as in $.user.id")]
    NoRoot,
    #[error("a name is empty; write ['name'] for an odd one")]
    NoName,
    #[error("character {0}: after a step comes .name, ['name'], [0] or the end")]
    NoStep(usize),
    #[error("a bracket is not closed; write ['name'] or [0]")]
    Open,
    #[error("a path names one value: there are no wildcards, filters or negative indexes")]
    Several,
}

impl FromStr for JsonPath {
    type Err = JsonPathError;

    fn from_str(text: &str) -> Result<Self, JsonPathError> {
        let mut rest = text.trim().strip_prefix('$').ok_or(JsonPathError::NoRoot)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(name) = rest.strip_prefix('.') {
                member(name)?
            } else if let Some(inner) = rest.strip_prefix('[') {
                bracket(inner)?
            } else {
                let read = text.trim().len() - rest.len();
                return Err(JsonPathError::NoStep(text.trim()[..read].chars().count() + 1));
            };
            steps.push(step);
            rest = after;
        }
        Ok(Self { steps })
    }
}

/// Reads a name behind its point.
fn member(text: &str) -> Result<(JsonStep, &str), JsonPathError> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match name {
        "" if text.is_empty() || text.starts_with('[') => Err(JsonPathError::NoName),
        "" | "*" => Err(JsonPathError::Several),
        name => Ok((JsonStep::Member(name.to_owned()), rest)),
    }
}

/// Reads what stands behind an opening bracket.
fn bracket(text: &str) -> Result<(JsonStep, &str), JsonPathError> {
    let Some(quote) = text.chars().next().filter(|first| matches!(first, '\'' | '"')) else {
        let (index, rest) = text.split_once(']').ok_or(JsonPathError::Open)?;
        let is_number = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        let index = index.parse().ok().filter(|_| is_number).ok_or(JsonPathError::Several)?;
        return Ok((JsonStep::Element(index), rest));
    };
    let mut name = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == quote {
            let rest = text[at + 1..].strip_prefix(']').ok_or(JsonPathError::Open)?;
            return Ok((JsonStep::Member(name), rest));
        }
        let escaped = if character == '\\' { characters.next() } else { Some((at, character)) };
        name.push(escaped.ok_or(JsonPathError::Open)?.1);
    }
    Err(JsonPathError::Open)
}

impl fmt::Display for JsonPath {
    /// Writes the form that `from_str` reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.steps {
            match step {
                JsonStep::Element(index) => write!(f, "[{index}]")?,
                JsonStep::Member(name)
                    if !name.is_empty()
                        && name.chars().all(|it| it.is_alphanumeric() || it == '_') =>
                {
                    write!(f, ".{name}")?;
                }
                JsonStep::Member(name) => {
                    write!(f, "['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<JsonStep>, JsonPathError> {
        text.parse().map(|path: JsonPath| path.steps)
    }

    fn name(name: &str) -> JsonStep {
        JsonStep::Member(name.to_owned())
    }

    #[test]
    fn a_path_has_members_and_indexes() {
        assert_eq!(read("$"), Ok(vec![]));
        assert_eq!(
            read(r"$.a.b-c[0]['odd.key']['it\'s'][17]"),
            Ok(vec![
                name("a"),
                name("b-c"),
                JsonStep::Element(0),
                name("odd.key"),
                name("it's"),
                JsonStep::Element(17)
            ])
        );
        assert_eq!(read(r#"$["a"]['']"#), Ok(vec![name("a"), name("")]));
    }

    #[test]
    fn other_paths_are_refused() {
        assert_eq!(read("a.b"), Err(JsonPathError::NoRoot));
        assert_eq!(read("$."), Err(JsonPathError::NoName));
        assert_eq!(read("$.[0]"), Err(JsonPathError::NoName));
        assert_eq!(read("$a"), Err(JsonPathError::NoStep(2)));
        assert_eq!(read("$.a['b'"), Err(JsonPathError::Open));
        assert_eq!(read("$.a[0"), Err(JsonPathError::Open));
        for text in ["$..a", "$.*", "$[*]", "$[-1]", "$[+1]", "$[?(@.a)]", "$[0:2]", "$[]"] {
            assert_eq!(read(text), Err(JsonPathError::Several), "{text}");
        }
    }

    proptest! {
        #[test]
        fn paths_read_back_as_they_are_shown(
            steps in proptest::collection::vec(
                prop_oneof![
                    any::<String>().prop_map(JsonStep::Member),
                    any::<usize>().prop_map(JsonStep::Element),
                ],
                0..5,
            ),
        ) {
            let path = JsonPath { steps };
            prop_assert_eq!(path.to_string().parse::<JsonPath>(), Ok(path));
        }
    }
}
