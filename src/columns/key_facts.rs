//! The facts about an object that expressions of `--set` may use: `@object_key` and the like.

use jiff::Timestamp;

use super::partitions::Partition;
use crate::object::Object;
use crate::sql_text::same_name;

/// The prefix of the variables that stand for partitions.
const PARTITION: &str = "partition_";

/// One fact about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyFact {
    Key,
    /// The part of the key after its last slash.
    Name,
    Bucket,
    Etag,
    Size,
    Modified,
    /// The time at which the run began.
    LoadedAt,
    /// The value of the partition with this name.
    Partition(String),
}

impl KeyFact {
    /// The variables of all facts but the partitions, without their `@`.
    pub(crate) const NAMES: [&str; 7] = [
        "object_key",
        "object_name",
        "object_bucket",
        "object_etag",
        "object_size",
        "object_modified",
        "loaded_at",
    ];

    /// Returns the fact that a variable of this name, without its `@`, stands for.
    pub(crate) fn of(variable: &str) -> Option<Self> {
        let lower = variable.to_lowercase();
        Some(match lower.as_str() {
            "object_key" => Self::Key,
            "object_name" => Self::Name,
            "object_bucket" => Self::Bucket,
            "object_etag" => Self::Etag,
            "object_size" => Self::Size,
            "object_modified" => Self::Modified,
            "loaded_at" => Self::LoadedAt,
            _ => Self::Partition(
                lower.strip_prefix(PARTITION).filter(|name| !name.is_empty())?.to_owned(),
            ),
        })
    }

    /// Returns the value for an object with these partitions; `None` for NULL. Times are in UTC.
    ///
    /// # Errors
    /// The reason why the object has no such value.
    pub(crate) fn value(
        &self,
        object: &Object,
        partitions: &[Partition],
        loaded_at: Timestamp,
    ) -> Result<Option<String>, String> {
        let time = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
        Ok(match self {
            Self::Key => Some(object.key.clone()),
            Self::Name => {
                let name = object.key.rsplit_once('/').map_or(object.key.as_str(), |(_, it)| it);
                Some(name.to_owned())
            }
            Self::Bucket => Some(object.bucket.clone()),
            Self::Etag => Some(object.etag.trim_matches('"').to_owned()),
            Self::Size => Some(object.size_bytes.to_string()),
            Self::Modified => object.last_modified.map(time),
            Self::LoadedAt => Some(time(loaded_at)),
            Self::Partition(name) => partition(partitions, name)?.value.clone(),
        })
    }
}

/// Returns the only partition with this name.
///
/// # Errors
/// The reason why there is none.
pub(crate) fn partition<'a>(
    partitions: &'a [Partition],
    name: &str,
) -> Result<&'a Partition, String> {
    let mut named = partitions.iter().filter(|partition| same_name(&partition.name, name));
    match (named.next(), named.next()) {
        (Some(partition), None) => Ok(partition),
        (Some(_), Some(_)) => Err(format!("its key has the partition {name} twice")),
        (None, _) => Err(format!("its key has no partition {name} ({name}=VALUE/)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::partitions;

    #[test]
    fn facts_are_those_of_the_object() {
        let object = Object {
            bucket: "b".into(),
            key: "p/Region=eu/part.csv".into(),
            etag: "\"e-1\"".into(),
            size_bytes: 7,
            last_modified: "2026-03-29T01:30:00.9Z".parse().ok(),
        };
        let loaded_at: Timestamp = "2026-12-31T23:59:59Z".parse().unwrap();
        let partitions = partitions(&object.key);
        let value = |name: &str| {
            let fact = KeyFact::of(name)?;
            Some(fact.value(&object, &partitions, loaded_at).unwrap_or_else(Some))
        };
        for (name, expected) in [
            ("object_key", "p/Region=eu/part.csv"),
            ("Object_Name", "part.csv"),
            ("object_bucket", "b"),
            ("object_etag", "e-1"),
            ("object_size", "7"),
            ("object_modified", "2026-03-29 01:30:00"),
            ("loaded_at", "2026-12-31 23:59:59"),
            ("partition_REGION", "eu"),
            ("partition_dt", "its key has no partition dt (dt=VALUE/)"),
        ] {
            assert_eq!(value(name), Some(Some(expected.to_owned())), "{name}");
        }
        assert_eq!(KeyFact::of("partition_"), None);
        assert_eq!(KeyFact::of("object"), None);
    }

    #[test]
    fn a_partition_that_is_there_twice_has_no_value() {
        let found = partitions("dt=1/DT=2/f");
        assert!(partition(&found, "dt").unwrap_err().contains("twice"));
    }
}
