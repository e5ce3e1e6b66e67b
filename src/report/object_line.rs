//! The line of one object in the report.

use super::checked;
use super::document::{ErrorFields, LoadedFields, ObjectLine, ObjectStatus};
use super::outcome::Outcome;
use super::timing::TimeFields;
use crate::dialect::ObjectFormat;
use crate::object::Object;

impl<'a> ObjectLine<'a> {
    pub(super) fn new(outcome: &'a Outcome, format: ObjectFormat) -> Self {
        match outcome {
            Outcome::Loaded { object, stats, verified, codecs, again, attempts, timing } => Self {
                codec: codecs.map(|codecs| codecs.to_string()),
                rows: Some(stats.loaded.rows),
                attempts: *attempts,
                seconds: Some(timing.elapsed.as_secs_f64()),
                times: TimeFields::new(timing),
                loaded: Some(LoadedFields::new(stats, *verified, *again)),
                ..Self::untouched(ObjectStatus::Loaded, object, format)
            },
            Outcome::Checked { object, checked, verified, codecs, attempts, timing } => Self {
                codec: codecs.map(|codecs| codecs.to_string()),
                rows: Some(checked.rows),
                attempts: *attempts,
                seconds: Some(timing.elapsed.as_secs_f64()),
                times: TimeFields::new(timing),
                error: checked::error(checked),
                checked: Some(checked::fields(checked, *verified)),
                ..Self::untouched(ObjectStatus::Checked, object, format)
            },
            Outcome::Failed { bucket, key, object, is_known, error, attempts, timing } => Self {
                job_name: None,
                new: Some(!is_known),
                status: ObjectStatus::Failed,
                bucket,
                key,
                etag: object.as_ref().map(|object| object.etag.as_str()),
                size_bytes: object.as_ref().map(|object| object.size_bytes),
                format: format.into(),
                codec: None,
                rows: None,
                attempts: *attempts,
                seconds: Some(timing.elapsed.as_secs_f64()),
                times: TimeFields::new(timing),
                error: Some(ErrorFields {
                    rows: Some(error.bad_rows().iter().map(Into::into).collect()),
                    row_count: error.all_bad_rows().count,
                    ..ErrorFields::new(error)
                }),
                loaded: None,
                checked: None,
            },
            Outcome::AlreadyLoaded { object } => {
                Self::untouched(ObjectStatus::AlreadyLoaded, object, format)
            }
            Outcome::SkippedChanged { object } => {
                Self::untouched(ObjectStatus::SkippedChanged, object, format)
            }
            Outcome::Acknowledged { object } => {
                Self::untouched(ObjectStatus::Acknowledged, object, format)
            }
            Outcome::NotReached { object } => {
                Self::untouched(ObjectStatus::NotReached, object, format)
            }
        }
    }

    fn untouched(status: ObjectStatus, object: &'a Object, format: ObjectFormat) -> Self {
        Self {
            job_name: None,
            status,
            bucket: &object.bucket,
            key: &object.key,
            etag: Some(&object.etag),
            size_bytes: Some(object.size_bytes),
            format: format.into(),
            codec: None,
            rows: None,
            new: None,
            attempts: 0,
            seconds: None,
            times: TimeFields::default(),
            error: None,
            loaded: None,
            checked: None,
        }
    }
}
