//! The members of an object of JSON, in their order.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a record, with their values as they are written.
pub(super) struct Members<'line>(pub(super) Vec<(Cow<'line, str>, &'line str)>);

impl<'line> Deserialize<'line> for Members<'line> {
    fn deserialize<D: Deserializer<'line>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'line> Visitor<'line> for Reader {
            type Value = Members<'line>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'line>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Key<'line>>()? {
                    let value: &'line RawValue = map.next_value()?;
                    members.push((name.0, value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[derive(Deserialize)]
struct Key<'line>(#[serde(borrow)] Cow<'line, str>);
