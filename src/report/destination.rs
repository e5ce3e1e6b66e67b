//! Parses the destination of the report, and fills in its placeholders.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::s3_uri::{SourceUri, SourceUriError};

const RUN_ID: &str = "{run_id}";
const DATE: &str = "{date}";

/// The place that `--report` names. Paths and keys may have placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportTo {
    StandardOutput,
    File(PathBuf),
    S3 { bucket: String, key: String },
}

/// The reason why a text does not name a place for the report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportToError {
    #[error("there is no placeholder {0}; use {RUN_ID} or {DATE}")]
    Placeholder(String),
    #[error("its key ends in a slash; name one object, as in s3://BUCKET/runs/{RUN_ID}.jsonl")]
    Prefix,
    #[error(transparent)]
    Uri(#[from] SourceUriError),
}

impl ReportTo {
    /// Parses `-`, `s3://BUCKET/KEY` or a path.
    ///
    /// # Errors
    /// Refuses any other URI, and placeholders that are not known.
    pub fn parse(text: &str) -> Result<Self, ReportToError> {
        check_placeholders(text)?;
        if text == "-" {
            return Ok(Self::StandardOutput);
        }
        let is_s3 = text.get(..3).is_some_and(|scheme| scheme.eq_ignore_ascii_case("s3:"));
        if !is_s3 && !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        match SourceUri::parse_key(text)? {
            SourceUri::Key { bucket, key } if !key.ends_with('/') => Ok(Self::S3 { bucket, key }),
            _ => Err(ReportToError::Prefix),
        }
    }

    /// Returns true if `source` contains the report whatever its placeholders stand for, so that
    /// the next run would load it.
    #[must_use]
    pub fn lies_within(&self, source: &SourceUri) -> bool {
        match (self, source) {
            (
                Self::S3 { bucket, key },
                SourceUri::Prefix { bucket: source_bucket, prefix: source_prefix },
            ) => {
                let end = placeholders(key).map(|found| found.0).min().unwrap_or(key.len());
                bucket == source_bucket && key[..end].starts_with(source_prefix.as_str())
            }
            _ => false,
        }
    }

    /// Returns the place of the report of this run.
    #[must_use]
    pub fn filled(&self, run_id: &str, started_at: Timestamp) -> Self {
        match self {
            Self::StandardOutput => Self::StandardOutput,
            Self::File(path) => Self::File(fill_path(path, run_id, started_at)),
            Self::S3 { bucket, key } => {
                Self::S3 { bucket: bucket.clone(), key: fill(key, run_id, started_at) }
            }
        }
    }
}

/// Parses a path that may have placeholders.
///
/// # Errors
/// Refuses placeholders that are not known.
pub fn parse_path(text: &str) -> Result<PathBuf, ReportToError> {
    check_placeholders(text).map(|()| PathBuf::from(text))
}

/// Returns the path with its placeholders filled in.
pub(super) fn fill_path(path: &std::path::Path, run_id: &str, started_at: Timestamp) -> PathBuf {
    match path.to_str() {
        Some(text) => PathBuf::from(fill(text, run_id, started_at)),
        None => path.to_owned(),
    }
}

fn fill(text: &str, run_id: &str, started_at: Timestamp) -> String {
    let date = started_at.strftime("%Y-%m-%d").to_string();
    text.replace(RUN_ID, run_id).replace(DATE, &date)
}

fn check_placeholders(text: &str) -> Result<(), ReportToError> {
    match placeholders(text).find(|(_, found)| ![RUN_ID, DATE].contains(found)) {
        Some((_, unknown)) => Err(ReportToError::Placeholder(unknown.to_owned())),
        None => Ok(()),
    }
}

/// Returns the words in braces, with their offsets. Other braces stand for themselves.
fn placeholders(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices('{').filter_map(|(at, _)| {
        let length = text[at..].find('}')? + 1;
        let word = &text[at + 1..at + length - 1];
        let is_word = !word.is_empty()
            && word.chars().all(|character| character.is_ascii_alphabetic() || character == '_');
        is_word.then(|| (at, &text[at..at + length]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(key: &str) -> ReportTo {
        ReportTo::S3 { bucket: "b".into(), key: key.into() }
    }

    #[test]
    fn a_report_goes_to_standard_output_to_an_object_or_to_a_file() {
        assert_eq!(ReportTo::parse("-"), Ok(ReportTo::StandardOutput));
        assert_eq!(ReportTo::parse("S3://b/runs/a.jsonl"), Ok(s3("runs/a.jsonl")));
        for path in ["report", "/var/lib/{date}/x", "./-", "a:b", "{}", "{0}", "}{", "{a b}"] {
            assert_eq!(ReportTo::parse(path), Ok(ReportTo::File(path.into())));
        }
        assert_eq!(ReportTo::parse("s3://b/runs/"), Err(ReportToError::Prefix));
        for text in ["s3://b", "https://b/r", "s3:/b/r"] {
            assert!(matches!(ReportTo::parse(text), Err(ReportToError::Uri(_))), "{text}");
        }
    }

    #[test]
    fn an_unknown_placeholder_is_refused() {
        let error = ReportTo::parse("run-{runid}.jsonl").unwrap_err();
        assert_eq!(error.to_string(), "there is no placeholder {runid}; use {run_id} or {date}");
        assert!(parse_path("failed-{DATE}").is_err());
    }

    #[test]
    fn placeholders_stand_for_the_run_and_its_day_in_utc() {
        let time = "2026-01-31T23:30:00-02:00".parse().unwrap();
        let to = ReportTo::parse("{date}/{run_id}-{date}.jsonl").unwrap().filled("r1", time);
        assert_eq!(to, ReportTo::File("2026-02-01/r1-2026-02-01.jsonl".into()));
        assert_eq!(s3("{run_id}").filled("r1", time), s3("r1"));
    }

    #[test]
    fn a_report_below_a_source_prefix_would_be_loaded_as_an_object() {
        let source = |prefix: &str| SourceUri::Prefix { bucket: "b".into(), prefix: prefix.into() };
        assert!(s3("data/report").lies_within(&source("data/")));
        assert!(s3("{date}").lies_within(&source("")));
        assert!(s3("data/{date}").lies_within(&source("data/")));
        assert!(!s3("runs/{date}").lies_within(&source("data/")));
        assert!(!s3("{run_id}/data").lies_within(&source("data/")));
        assert!(!ReportTo::File("data/x".into()).lies_within(&source("")));
    }
}
