//! The equality of texts under a collation, as far as it is known for certain.

/// A collation, by the texts that it takes for equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Equality {
    /// The same characters.
    Binary,
    /// The same characters apart from the case of letters, in printable ASCII. Unknown for all
    /// others.
    IgnoresCase,
    /// The same characters, in printable ASCII. Unknown for all others.
    KeepsCase,
    /// Languages join letters, or tell them apart, in ways of their own.
    Unknown,
}

/// Collations that have no rules of a language for ASCII.
const IGNORE_CASE: [&str; 10] = [
    "ascii_general_ci",
    "latin1_general_ci",
    "latin1_swedish_ci",
    "utf8mb3_general_ci",
    "utf8mb3_unicode_ci",
    "utf8mb4_0900_ai_ci",
    "utf8mb4_0900_as_ci",
    "utf8mb4_general_ci",
    "utf8mb4_unicode_520_ci",
    "utf8mb4_unicode_ci",
];

/// The names of the root collation on newer versions of MariaDB.
const SUFFIXES_OF_ROOT: [&str; 4] =
    ["uca1400_ai_ci", "uca1400_as_ci", "uca1400_nopad_ai_ci", "uca1400_nopad_as_ci"];

impl Equality {
    /// Returns the equality of the server's collation with this name.
    pub(super) fn of(collation: &str) -> Self {
        let name = collation.to_ascii_lowercase();
        let name =
            name.strip_prefix("utf8_").map_or(name.clone(), |rest| format!("utf8mb3_{rest}"));
        let padded = name.replace("_nopad", "");
        if name == "binary" || name.ends_with("_bin") {
            Self::Binary
        } else if name == "utf8mb4_0900_as_cs" {
            Self::KeepsCase
        } else if IGNORE_CASE.contains(&padded.as_str())
            || SUFFIXES_OF_ROOT.iter().any(|suffix| {
                name == *suffix
                    || name.strip_suffix(suffix).is_some_and(|set| {
                        set.ends_with('_') && !set.trim_end_matches('_').contains('_')
                    })
            })
        {
            Self::IgnoresCase
        } else {
            Self::Unknown
        }
    }

    /// Returns true if the texts are equal, false if they differ, and `None` if that is unknown.
    pub(super) fn are_equal(self, one: &[u8], other: &[u8]) -> Option<bool> {
        if one == other {
            return Some(true);
        }
        let are_plain = || is_printable_ascii(one) && is_printable_ascii(other);
        match self {
            Self::Binary => Some(false),
            Self::IgnoresCase if are_plain() => Some(one.eq_ignore_ascii_case(other)),
            Self::KeepsCase if are_plain() => Some(false),
            _ => None,
        }
    }
}

fn is_printable_ascii(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b' '..=b'~'))
}
