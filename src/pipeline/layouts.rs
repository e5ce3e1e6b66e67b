//! Finds the layout of each object: by the names in its header, and with what its key adds.
//!
//! Most objects of a run have the same names in the same order, and partitions of the same names.
//! They share a layout, and with it statements.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::columns::{KeyFact, NameProblem, Partition, partition, partitions};
use crate::dialect::{Charset, ColumnOrVariable, FormatConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::load_data::{
    AddedField, Layout, LayoutKey, LayoutMaker, ObjectLayout, Plan, RequiredValue,
};
use crate::object::Object;
use crate::printable::printable;

/// The number of layouts that are kept. Objects of other layouts have one of their own.
const MAX_KEPT: usize = 64;
/// The maximum number of characters of a header in a message.
const SHOWN_CHARACTERS: usize = 300;

/// The layouts of a run.
pub(crate) struct Layouts {
    /// The layout of objects about which nothing decides.
    pub(crate) ordinary: ObjectLayout,
    maker: LayoutMaker,
    kept: Mutex<Vec<(LayoutKey, Arc<Layout>)>>,
    /// The time at which the run began.
    began: Timestamp,
}

impl Layouts {
    /// Creates the layouts of a run that loads by `plan`.
    pub(crate) fn new(maker: LayoutMaker, plan: &Plan) -> Self {
        Self {
            ordinary: maker.ordinary_layout(plan).into(),
            maker,
            kept: Mutex::new(Vec::new()),
            began: Timestamp::now(),
        }
    }

    /// Returns true if the header of an object decides its layout.
    pub(crate) fn go_by_name(&self) -> bool {
        self.maker.goes_by_name()
    }

    /// Returns the layout of an object with these names in its header. An object without rows needs
    /// no header.
    ///
    /// # Errors
    /// `Malformed` if the header does not fit the table, or if the key lacks what the settings ask
    /// for, or has a value that its column does not take.
    pub(crate) fn of(
        &self,
        plan: &Plan,
        format: &FormatConfig,
        object: &Object,
        header: Option<Vec<String>>,
    ) -> Result<ObjectLayout> {
        if header.is_none() && !self.maker.may_add() {
            return Ok(self.ordinary.clone());
        }
        let partitions = partitions(&object.key);
        if let Some(name) = self.maker.unclear_partition(&partitions) {
            let why = format!("its key has {name}=, and its records may have {name}, too");
            return Err(malformed(object, &why).with_hint(format!(
                "--set '{name}=@partition_{name}' takes it from the key, and --partition-columns \
                 none from the records"
            )));
        }
        let key = self.maker.key(header, &partitions);
        let shared = self.shared(plan, &key).map_err(|NameProblem { why, hint }| {
            let shown: String =
                key.header.unwrap_or_default().join(", ").chars().take(SHOWN_CHARACTERS).collect();
            let header = if shown.is_empty() {
                String::new()
            } else {
                let names = if format.parquet.is_some() { "columns" } else { "header" };
                format!("its {names} ({}): ", printable(&shown))
            };
            let message = format!("{object}: {header}{}", printable(&why));
            Error::new(ErrorKind::Malformed, message).with_hint(hint)
        })?;
        let mut added = Vec::new();
        for field in &shared.added {
            let value = self.value(object, &partitions, field);
            value
                .and_then(|value| append(&shared, format, field, value.as_deref(), &mut added))
                .map_err(|why| malformed(object, &why))?;
        }
        let required = shared.repeated.iter().map(|(field, name)| {
            let found = partition(&partitions, name).map_err(|why| malformed(object, &why))?;
            let (field, name, value) = (*field, name.clone(), found.value.clone());
            Ok(RequiredValue { field, name, value })
        });
        Ok(ObjectLayout { required: required.collect::<Result<_>>()?, added: added.into(), shared })
    }

    fn value(
        &self,
        object: &Object,
        partitions: &[Partition],
        field: &AddedField,
    ) -> std::result::Result<Option<String>, String> {
        field.fact.value(object, partitions, self.began).map_err(|why| match &field.item {
            ColumnOrVariable::Variable(name) => format!("@{name}: {why}"),
            ColumnOrVariable::Column(_) => why,
        })
    }

    /// Returns the layout with this key. It is made once.
    fn shared(
        &self,
        plan: &Plan,
        key: &LayoutKey,
    ) -> std::result::Result<Arc<Layout>, NameProblem> {
        // A panic leaves nothing half-done under this lock.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, layout)) = kept.iter().find(|(of, _)| of == key) {
            return Ok(Arc::clone(layout));
        }
        let layout = Arc::new(self.maker.make(plan, key)?);
        if kept.len() < MAX_KEPT {
            kept.push((key.clone(), Arc::clone(&layout)));
        }
        Ok(layout)
    }
}

/// Appends the value to what is added to each row.
fn append(
    layout: &Layout,
    format: &FormatConfig,
    field: &AddedField,
    value: Option<&str>,
    added: &mut Vec<u8>,
) -> std::result::Result<(), String> {
    let name = match (&field.item, &field.fact) {
        (ColumnOrVariable::Column(column), KeyFact::Partition(name)) => {
            format!("the partition {name} of its key, for column {column}")
        }
        (ColumnOrVariable::Column(name) | ColumnOrVariable::Variable(name), _) => {
            format!("@{name}")
        }
    };
    if value.is_some_and(|value| !can_hold(&format.charset, value)) {
        return Err(format!("{name}: the character set {} lacks it", format.charset.name()));
    }
    layout.values.append(field.rule.as_ref(), value, added).map_err(|why| format!("{name}: {why}"))
}

/// Returns true if a text in this character set has the same bytes as in UTF-8.
fn can_hold(charset: &Charset, text: &str) -> bool {
    let is_short = |character: char| character.len_utf8() < 4 || charset.has_four_byte_characters();
    text.is_ascii() || charset.is_utf8() && text.chars().all(is_short)
}

fn malformed(object: &Object, why: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("{object}: {}", printable(why)))
}
