//! The comment of a swap's marker table, which says what must still be done after the RENAME.

/// The comment before the generation.
const PREFIX: &str = "s3-to-mysql swap, generation ";
/// The comment before the fingerprint of the old table's definition.
const DEFINITION: &str = ", definition ";
/// The comment's end, if the old table is kept.
const KEEPS_OLD: &str = ", old table kept";

/// The content of a marker's comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// The generation of the job, so that the marker of an earlier swap is not mistaken for its.
    pub(super) generation: u32,
    /// The fingerprint of the target's definition at the last look before the RENAME. A marker that
    /// an older version has made does not have it.
    pub(super) definition: Option<String>,
    /// True if the old table is kept.
    pub(super) keeps_old: bool,
}

impl Marker {
    pub(super) fn comment(&self) -> String {
        let definition = self
            .definition
            .as_ref()
            .map(|known| format!("{DEFINITION}{known}"))
            .unwrap_or_default();
        let keeps_old = if self.keeps_old { KEEPS_OLD } else { "" };
        format!("{PREFIX}{}{definition}{keeps_old}", self.generation)
    }

    /// Reads a comment. Returns `None` if it is not a marker's.
    pub(super) fn parse(comment: &str) -> Option<Self> {
        let rest = comment.strip_prefix(PREFIX)?;
        let (rest, keeps_old) =
            rest.strip_suffix(KEEPS_OLD).map_or((rest, false), |rest| (rest, true));
        let (generation, definition) = match rest.split_once(DEFINITION) {
            Some((generation, definition)) => (generation, Some(definition.to_owned())),
            None => (rest, None),
        };
        Some(Self { generation: generation.parse().ok()?, definition, keeps_old })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_says_what_was_written_into_it() {
        for definition in [None, Some("0123abcd".to_owned())] {
            for keeps_old in [false, true] {
                let marker = Marker { generation: 12, definition: definition.clone(), keeps_old };
                assert_eq!(Marker::parse(&marker.comment()), Some(marker));
            }
        }
    }

    #[test]
    fn another_comment_is_no_marker() {
        for comment in ["", "s3-to-mysql swap, generation 12x", "s3-to-mysql swap, generation "] {
            assert_eq!(Marker::parse(comment), None);
        }
    }
}
