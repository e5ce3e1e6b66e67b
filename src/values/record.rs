//! Finds the values of a record: a line that holds a JSON object. Values stay texts, as they are
//! written, so no number loses a digit.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde::de::{DeserializeSeed as _, Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::record_fault::{RecordFault, Twice};
use crate::dialect::{ColumnOrVariable, ExtraColumns, JsonFormat, JsonStep, MissingKeys};
use crate::sql_text::TableName;

/// The most keys without a column that a message names.
const MAX_EXTRA: usize = 5;
const MARK: &str = "\u{feff}";

/// Finds the value of each item of the column list.
#[derive(Clone, Debug)]
pub(super) struct RecordReader {
    keys: Vec<Key>,
    exact: HashMap<String, usize>,
    /// The keys that are names of columns or variables, without regard to case.
    folded: HashMap<String, usize>,
    /// The items that get the whole record.
    whole: Vec<usize>,
    items: usize,
    pub(super) table: Option<TableName>,
    /// The names of the table's columns, without regard to case.
    pub(super) columns: HashSet<String>,
    refuses_extra: bool,
    pub(super) refuses_missing: bool,
}

/// A key of records that is looked for.
#[derive(Clone, Debug)]
struct Key {
    name: String,
    /// The item that gets the value.
    item: Option<usize>,
    /// The items that get something inside the value, with the rest of their paths.
    inside: Vec<(usize, Vec<JsonStep>)>,
}

/// The values of a record.
#[derive(Debug)]
pub(super) struct Record<'line> {
    /// The text of the value of each item; `None` if the record does not have it.
    pub(super) values: Vec<Option<&'line str>>,
    /// The first keys without a column, if there must be none, each with the place of its value.
    pub(super) extra: Vec<(Cow<'line, str>, usize)>,
    /// The record without white space around it.
    text: &'line str,
}

impl Record<'_> {
    /// Returns true if the record has values, but none that is looked for.
    pub(super) fn is_foreign(&self) -> bool {
        let inner = self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default();
        !self.values.is_empty()
            && self.values.iter().all(Option::is_none)
            && !inner.trim().is_empty()
    }
}

impl RecordReader {
    pub(super) fn new(items: &[ColumnOrVariable], json: &JsonFormat) -> Self {
        let mut reader = Self {
            keys: Vec::new(),
            exact: HashMap::new(),
            folded: HashMap::new(),
            whole: Vec::new(),
            items: items.len(),
            table: None,
            columns: HashSet::new(),
            refuses_extra: json.extra_columns == ExtraColumns::Error,
            refuses_missing: json.missing_keys == MissingKeys::Error,
        };
        for (index, item) in items.iter().enumerate() {
            let (ColumnOrVariable::Column(name) | ColumnOrVariable::Variable(name)) = item;
            match json.path_of(item).map(|path| path.steps.as_slice()) {
                None => {
                    let key = reader.key(name);
                    reader.folded.entry(name.to_lowercase()).or_insert(key);
                    reader.take(key, index, &[]);
                }
                Some([]) => reader.whole.push(index),
                Some([JsonStep::Member(name), inside @ ..]) => {
                    let key = reader.key(name);
                    reader.take(key, index, inside);
                }
                // A record is no array, so it never has this value.
                Some([JsonStep::Element(_), ..]) => {}
            }
        }
        reader
    }

    fn key(&mut self, name: &str) -> usize {
        if let Some(&key) = self.exact.get(name) {
            return key;
        }
        self.keys.push(Key { name: name.to_owned(), item: None, inside: Vec::new() });
        self.exact.insert(name.to_owned(), self.keys.len() - 1);
        self.keys.len() - 1
    }

    fn take(&mut self, key: usize, item: usize, inside: &[JsonStep]) {
        let key = &mut self.keys[key];
        if inside.is_empty() && key.item.is_none() {
            key.item = Some(item);
        } else {
            key.inside.push((item, inside.to_vec()));
        }
    }

    /// Returns the values of a line's record.
    pub(super) fn read<'line>(&self, line: &'line [u8]) -> Result<Record<'line>, RecordFault> {
        let Ok(line) = simdutf8::basic::from_utf8(line) else {
            return Err(RecordFault::not_utf8(line));
        };
        // Files that are put together have marks anywhere.
        let text = line.strip_prefix(MARK).unwrap_or(line);
        let mut record =
            Record { values: vec![None; self.items], extra: Vec::new(), text: text.trim() };
        let mut members = Members { reader: self, record: &mut record, line, fault: None };
        let mut parser = serde_json::Deserializer::from_str(text);
        let read = parser.deserialize_map(&mut members).and_then(|()| parser.end());
        if let Some(fault) = members.fault {
            return Err(fault);
        }
        read.map_err(|error| RecordFault::not_json(line, line.len() - text.len(), &error))?;
        for &item in &self.whole {
            record.values[item] = Some(record.text);
        }
        Ok(record)
    }

    /// Returns the key that this one is, if it is looked for. `next` is likely.
    fn find(&self, key: &str, next: usize) -> Option<usize> {
        if self.keys.get(next).is_some_and(|likely| likely.name == key) {
            return Some(next);
        }
        let folded = || self.folded.get(&key.to_lowercase()).copied();
        self.exact.get(key).copied().or_else(folded)
    }

    fn is_extra(&self, key: &str) -> bool {
        self.refuses_extra && !self.columns.contains(&key.to_lowercase())
    }
}

/// Reads the members of a record.
struct Members<'reader, 'line> {
    reader: &'reader RecordReader,
    record: &'reader mut Record<'line>,
    line: &'line str,
    fault: Option<RecordFault>,
}

impl<'line> Visitor<'line> for &mut Members<'_, 'line> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'line>>(self, mut map: A) -> Result<(), A::Error> {
        let Members { reader, record, line, fault } = self;
        let place = |text: &str| text.as_ptr().addr() - line.as_ptr().addr();
        let mut seen = vec![false; reader.keys.len()];
        let mut next = 0;
        while let Some(Name(name)) = map.next_key()? {
            let value: &'line RawValue = map.next_value()?;
            let value = value.get();
            let Some(found) = reader.find(&name, next) else {
                if reader.is_extra(&name) && record.extra.len() < MAX_EXTRA {
                    record.extra.push((name, place(value)));
                }
                continue;
            };
            next = found + 1;
            let key = &reader.keys[found];
            if std::mem::replace(&mut seen[found], true) {
                fault.get_or_insert_with(|| RecordFault::twice(line, place(value), &name));
                continue;
            }
            if let Some(item) = key.item {
                record.values[item] = Some(value);
            }
            for (item, steps) in &key.inside {
                match inside(value, steps) {
                    Ok(found) => record.values[*item] = found,
                    Err(Twice(name)) => {
                        fault.get_or_insert_with(|| RecordFault::twice(line, place(value), &name));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The name of a member, without escapes.
struct Name<'line>(Cow<'line, str>);

impl<'line> Deserialize<'line> for Name<'line> {
    fn deserialize<D: serde::Deserializer<'line>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'line> Visitor<'line> for Text {
            type Value = Name<'line>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'line str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Returns the value at these steps of a record, which is known to be JSON. `None` if it has none,
/// or more than one.
pub(crate) fn value_at<'line>(record: &'line str, steps: &[JsonStep]) -> Option<&'line str> {
    inside(record, steps).ok().flatten()
}

/// Returns the value inside of `value`, which is known to be JSON.
fn inside<'line>(value: &'line str, steps: &[JsonStep]) -> Result<Option<&'line str>, Twice> {
    let mut value = value;
    for step in steps {
        let mut parser = serde_json::Deserializer::from_str(value);
        let found = match step {
            JsonStep::Member(name) if value.starts_with('{') => {
                let mut member = Member { name, found: None, is_twice: false };
                if parser.deserialize_map(&mut member).is_err() || member.is_twice {
                    return Err(Twice(name.clone()));
                }
                member.found
            }
            JsonStep::Element(index) if value.starts_with('[') => {
                Element(*index).deserialize(&mut parser).unwrap_or_default()
            }
            _ => None,
        };
        match found {
            Some(found) => value = found,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// Finds one member of an object.
struct Member<'path, 'line> {
    name: &'path str,
    found: Option<&'line str>,
    is_twice: bool,
}

impl<'line> Visitor<'line> for &mut Member<'_, 'line> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'line>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let value: &'line RawValue = map.next_value()?;
            if name == self.name {
                self.is_twice |= self.found.replace(value.get()).is_some();
            }
        }
        Ok(())
    }
}

/// Finds one element of an array.
struct Element(usize);

impl<'line> serde::de::DeserializeSeed<'line> for Element {
    type Value = Option<&'line str>;

    fn deserialize<D: serde::Deserializer<'line>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'line> Visitor<'line> for Element {
    type Value = Option<&'line str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'line>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let mut index = 0;
        while let Some(value) = seq.next_element::<&'line RawValue>()? {
            if index == self.0 {
                found = Some(value.get());
            }
            index += 1;
        }
        Ok(found)
    }
}
