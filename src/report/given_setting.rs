//! A setting of the run in the report.

use serde::Serialize;

/// A setting that has another value than its default, or was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GivenSetting {
    /// The value, as in a configuration file.
    pub value: String,
    /// The place that it comes from.
    pub from: String,
}
