//! The filters that decide which listed keys a run loads.
//!
//! Filters apply to the keys that a prefix listing finds. A key that the user named exactly is
//! always loaded.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use jiff::Timestamp;
use regex::Regex;

use super::options::SourceConfig;
use crate::error::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Filter {
    /// `None` includes every key.
    include: Option<GlobSet>,
    exclude: GlobSet,
    key_regex: Option<Regex>,
    modified_after: Option<Timestamp>,
    modified_before: Option<Timestamp>,
    skip_hidden: bool,
}

/// The decision about a listed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyMatch {
    Take,
    FolderMarker,
    Hidden,
    FilteredOut,
}

impl Filter {
    pub(super) fn new(config: &SourceConfig) -> Result<Self> {
        let key_regex = config
            .key_regex
            .as_ref()
            .map(|pattern| {
                Regex::new(pattern).map_err(|error| {
                    Error::new(ErrorKind::Usage, format!("--key-regex {pattern:?}"))
                        .caused_by(error)
                })
            })
            .transpose()?;
        Ok(Self {
            include: (!config.include.is_empty())
                .then(|| globs("--include", &config.include))
                .transpose()?,
            exclude: globs("--exclude", &config.exclude)?,
            key_regex,
            modified_after: config.modified_after,
            modified_before: config.modified_before,
            skip_hidden: config.skip_hidden,
        })
    }

    /// Decides about `key`, which was found by listing its first `prefix_length` bytes.
    pub(super) fn match_key(
        &self,
        key: &str,
        prefix_length: usize,
        size_bytes: u64,
        modified: Option<Timestamp>,
    ) -> KeyMatch {
        // "Create folder" in consoles leaves `name/`; Hadoop leaves `name_$folder$`.
        if size_bytes == 0 && (key.ends_with('/') || key.ends_with("_$folder$")) {
            return KeyMatch::FolderMarker;
        }
        let below = key.get(prefix_length..).unwrap_or(key);
        if self.skip_hidden && below.split('/').any(|component| component.starts_with(['_', '.'])) {
            return KeyMatch::Hidden;
        }
        // Spark and Hadoop mark a folder as complete.
        if size_bytes == 0 && below.rsplit('/').next() == Some("_SUCCESS") {
            return KeyMatch::FolderMarker;
        }
        let wanted = self.include.as_ref().is_none_or(|globs| globs.is_match(below))
            && !self.exclude.is_match(below)
            && self.key_regex.as_ref().is_none_or(|regex| regex.is_match(key))
            && self
                .modified_after
                .is_none_or(|bound| modified.is_some_and(|modified| modified >= bound))
            && self
                .modified_before
                .is_none_or(|bound| modified.is_some_and(|modified| modified < bound));
        if wanted { KeyMatch::Take } else { KeyMatch::FilteredOut }
    }
}

fn globs(flag: &str, patterns: &[String]) -> Result<GlobSet> {
    let refused = |pattern: &str, error: globset::Error| {
        Error::new(ErrorKind::Usage, format!("{flag} {pattern:?} is not a valid pattern"))
            .caused_by(error)
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // As in the aws command line, `*` matches `/` too. A backslash makes the next character
        // literal.
        let glob = GlobBuilder::new(pattern)
            .literal_separator(false)
            .backslash_escape(true)
            .build()
            .map_err(|error| refused(pattern, error))?;
        set.add(glob);
    }
    set.build().map_err(|error| refused(&patterns.join(" "), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter() -> Filter {
        Filter {
            include: None,
            exclude: GlobSet::empty(),
            key_regex: None,
            modified_after: None,
            modified_before: None,
            skip_hidden: false,
        }
    }

    #[test]
    fn a_folder_marker_is_known_by_its_slash_and_its_emptiness() {
        assert_eq!(filter().match_key("a/b/", 2, 0, None), KeyMatch::FolderMarker);
        assert_eq!(filter().match_key("a/b_$folder$", 2, 0, None), KeyMatch::FolderMarker);
        assert_eq!(filter().match_key("a/b/", 2, 9, None), KeyMatch::Take);
        assert_eq!(filter().match_key("a/empty", 2, 0, None), KeyMatch::Take);
        assert_eq!(filter().match_key("a/_SUCCESS", 2, 0, None), KeyMatch::FolderMarker);
        assert_eq!(filter().match_key("a/_SUCCESS", 2, 1, None), KeyMatch::Take);
        assert_eq!(filter().match_key("a/MY_SUCCESS", 2, 0, None), KeyMatch::Take);
    }

    #[test]
    fn hidden_components_count_only_below_the_prefix() {
        let filter = Filter { skip_hidden: true, ..filter() };
        assert_eq!(filter.match_key("_etl/part-0", 5, 1, None), KeyMatch::Take);
        assert_eq!(filter.match_key("_etl/_SUCCESS", 5, 0, None), KeyMatch::Hidden);
        assert_eq!(filter.match_key("_etl/_temporary/0/part-0", 5, 1, None), KeyMatch::Hidden);
        assert_eq!(filter.match_key("_etl/.part-0.crc", 5, 1, None), KeyMatch::Hidden);
        assert_eq!(filter.match_key("_etl/dt=1/part_0", 5, 1, None), KeyMatch::Take);
    }

    #[test]
    fn exclude_beats_include_and_a_star_crosses_slashes() {
        let filter = Filter {
            include: Some(globs("--include", &["*.csv".into()]).unwrap()),
            exclude: globs("--exclude", &["old/*".into()]).unwrap(),
            ..filter()
        };
        assert_eq!(filter.match_key("in/2026/a.csv", 3, 1, None), KeyMatch::Take);
        assert_eq!(filter.match_key("in/old/2026/a.csv", 3, 1, None), KeyMatch::FilteredOut);
        assert_eq!(filter.match_key("in/a.json", 3, 1, None), KeyMatch::FilteredOut);
    }

    #[test]
    fn the_lower_time_bound_is_inclusive_and_an_unknown_time_is_outside_both() {
        let at: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-11-20T00:00:01Z".parse().unwrap();
        let filter = Filter { modified_after: Some(at), modified_before: Some(later), ..filter() };
        assert_eq!(filter.match_key("k", 0, 1, Some(at)), KeyMatch::Take);
        assert_eq!(filter.match_key("k", 0, 1, Some(later)), KeyMatch::FilteredOut);
        assert_eq!(filter.match_key("k", 0, 1, None), KeyMatch::FilteredOut);
    }
}
