//! Names an object's reject files. The names are readable, the same at every attempt, and never
//! shared with another object.

use std::fmt;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::printable::printable;

/// The number of bytes that are kept of a key's last component, enough to recognize it.
const COMPONENT_LIMIT_BYTES: usize = 80;
/// The length of the hash, 128 bits. Even someone who chooses keys freely cannot find two with the
/// same name.
const HASH_DIGITS: usize = 32;

const DATA_SUFFIX: &str = ".rejected";
const SIDECAR_SUFFIX: &str = ".rejected.jsonl";

/// The length of the longest name: component, hash, highest part number, suffix.
pub(crate) const NAME_LIMIT_BYTES: usize =
    COMPONENT_LIMIT_BYTES + 1 + HASH_DIGITS + 12 + SIDECAR_SUFFIX.len();

/// An object, and the load it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    pub bucket: String,
    pub key: String,
    pub etag: String,
    /// The ledger's ID of the object in hexadecimal, which distinguishes target tables and their
    /// generations. Without a ledger, it is any text that is the same at every attempt.
    pub object_id: String,
}

impl fmt::Display for ObjectName {
    /// Writes the escaped name, so that a newline in a key cannot forge a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", printable(&self.bucket), printable(&self.key))
    }
}

/// The names of the two files of an object or a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) data: String,
    pub(super) sidecar: String,
}

impl Names {
    /// Builds the names from three things: the plain characters of the key's last component, so
    /// that people find the file; a hash, so that no other object has the same name, even where
    /// case is ignored; and the number of the part.
    pub(super) fn new(object: &ObjectName, part: Option<u32>) -> Self {
        let mut stem = format!("{}-{}", component(&object.key), hash(object));
        if let Some(part) = part {
            // Writing to a String cannot fail.
            let _ = write!(stem, "-p{part}");
        }
        Self { data: format!("{stem}{DATA_SUFFIX}"), sidecar: format!("{stem}{SIDECAR_SUFFIX}") }
    }
}

/// Returns true if [`Names`] makes such names.
pub(super) fn is_name(name: &str) -> bool {
    let stem = name.strip_suffix(SIDECAR_SUFFIX).or_else(|| name.strip_suffix(DATA_SUFFIX));
    let Some((rest, last)) = stem.and_then(|stem| stem.rsplit_once('-')) else { return false };
    let is_part = last.strip_prefix('p').is_some_and(|digits| digits.parse::<u32>().is_ok());
    let hash = if is_part { rest.rsplit_once('-').map(|(_, hash)| hash) } else { Some(last) };
    hash.is_some_and(|hash| {
        hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Returns the last component of a key, with `_` for every character other than an ASCII letter, an
/// ASCII digit, `.`, `_` or `-`.
fn component(key: &str) -> String {
    let last = key.rsplit('/').find(|component| !component.is_empty()).unwrap_or_default();
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let mapped: String = last.chars().map(plain).collect();
    // A leading dot hides a file, a dash makes it look like an option, and a dot or an underscore
    // makes the program skip it as an object.
    let visible = mapped.trim_start_matches(['.', '_', '-']);
    // The text is ASCII, so any byte ends a character.
    let kept = &visible[..visible.len().min(COMPONENT_LIMIT_BYTES)];
    if kept.is_empty() { "object".to_owned() } else { kept.to_owned() }
}

fn hash(object: &ObjectName) -> String {
    let ObjectName { bucket, key, etag, object_id } = object;
    let mut hash = Sha256::new();
    for part in ["s3-to-mysql rejects", object_id, bucket, key, etag.trim_matches('"')] {
        // The length makes "a" + "bc" differ from "ab" + "c".
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(HASH_DIGITS / 2).fold(
        String::with_capacity(HASH_DIGITS),
        |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(key: &str) -> ObjectName {
        ObjectName {
            bucket: "b".into(),
            key: key.into(),
            etag: "\"e\"".into(),
            object_id: "00".into(),
        }
    }

    fn readable(key: &str) -> String {
        let data = Names::new(&object(key), None).data;
        data.rsplit_once('-').unwrap().0.to_owned()
    }

    #[test]
    fn the_last_component_of_the_key_is_recognized_in_the_name() {
        assert_eq!(readable("warehouse/t/day=1/000000_0"), "000000_0");
        assert_eq!(readable("a/b.csv/"), "b.csv");
        assert_eq!(readable("sales 2026+é.csv"), "sales_2026__.csv");
        for nothing_plain in ["", "/", "..", "a/..", ".", "-", "日本", "_"] {
            assert_eq!(readable(nothing_plain), "object", "{nothing_plain}");
        }
        assert_eq!(readable(".hidden"), "hidden");
        assert_eq!(readable("a/_-.x"), "x");
        assert_eq!(readable("-rf"), "rf");
    }

    #[test]
    fn a_retry_has_the_same_names_and_a_part_has_its_number() {
        let names = Names::new(&object("k"), Some(7));
        assert_eq!(
            names,
            Names::new(&ObjectName { etag: "e".into(), ..object("k") }, Some(7)),
            "apart from quotes"
        );
        assert!(
            names.data.ends_with("-p7.rejected") && names.sidecar.ends_with("-p7.rejected.jsonl")
        );
        assert_eq!(names.sidecar, format!("{}.jsonl", names.data));
    }

    #[test]
    fn the_longest_name_is_within_its_limit() {
        let names = Names::new(&object(&"k".repeat(1024)), Some(u32::MAX));
        assert_eq!(names.sidecar.len(), NAME_LIMIT_BYTES);
    }

    fn any_object() -> impl Strategy<Value = (ObjectName, Option<u32>)> {
        let text = || prop_oneof![any::<String>(), "[aA./\\\\-]{0,4}", "\\PC{200,300}"];
        (text(), text(), text(), text(), prop_oneof![Just(None), (0..3_u32).prop_map(Some)])
            .prop_map(|(bucket, key, etag, object_id, part)| {
                (ObjectName { bucket, key, etag, object_id }, part)
            })
    }

    proptest! {
        #[test]
        fn a_name_is_one_plain_component_of_bounded_length((object, part) in any_object()) {
            let names = Names::new(&object, part);
            for name in [&names.data, &names.sidecar] {
                prop_assert!(name.len() <= NAME_LIMIT_BYTES);
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                prop_assert!(name.bytes().all(is_plain));
                prop_assert!(name.starts_with(|c: char| c.is_ascii_alphanumeric()));
                prop_assert!(is_name(name));
            }
        }

        #[test]
        fn two_objects_never_share_a_name_whatever_the_case(
            one in any_object(),
            other in any_object(),
        ) {
            let identity = |(object, part): &(ObjectName, Option<u32>)| {
                let ObjectName { bucket, key, etag, object_id } = object.clone();
                (bucket, key, etag.trim_matches('"').to_owned(), object_id, *part)
            };
            prop_assume!(identity(&one) != identity(&other));
            let folded = |(object, part): &(ObjectName, Option<u32>)| {
                let Names { data, sidecar } = Names::new(object, *part);
                [data.to_lowercase(), sidecar.to_lowercase()]
            };
            let theirs = folded(&other);
            prop_assert!(folded(&one).iter().all(|name| !theirs.contains(name)));
        }
    }

    #[test]
    fn keys_that_differ_in_one_place_only_have_names_of_their_own() {
        let part_like = object("k-p1");
        let cases = [
            Names::new(&object("a/x"), None),
            Names::new(&object("b/x"), None),
            Names::new(&object("a/X"), None),
            Names::new(&object("a/x/"), None),
            Names::new(&object("a/x"), Some(0)),
            Names::new(&object("a/x"), Some(1)),
            Names::new(&ObjectName { etag: "f".into(), ..object("a/x") }, None),
            Names::new(&ObjectName { object_id: "01".into(), ..object("a/x") }, None),
            Names::new(&ObjectName { bucket: "ba".into(), ..object("/x") }, None),
            Names::new(&part_like, None),
            Names::new(&object("k"), Some(1)),
        ];
        let mut folded: Vec<String> = cases.iter().map(|names| names.data.to_lowercase()).collect();
        folded.sort();
        folded.dedup();
        assert_eq!(folded.len(), cases.len());
    }
}
