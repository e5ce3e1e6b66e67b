//! The facts about a run that its report names.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::document::RunFields;
use super::given_setting::GivenSetting;
use super::run_end::RunEnd;
use super::timing::shown_time;

/// The facts about a run that its report names. They hold no secret.
#[derive(Clone, Debug)]
pub struct RunFacts {
    pub run_id: String,
    /// The table, as `database.table`.
    pub table: String,
    /// The family and the version of the server, once it has answered.
    pub server: Option<(String, String)>,
    /// The S3 URIs of the objects and prefixes.
    pub sources: Vec<String>,
    pub keys_from: Option<String>,
    pub started_at: Timestamp,
    /// The settings that were given, by name.
    pub settings: BTreeMap<String, GivenSetting>,
    /// The name of the job in the jobs file.
    pub job: Option<String>,
}

impl RunFacts {
    /// Returns the fields of the summary.
    pub(super) fn fields(&self, end: &RunEnd<'_>) -> RunFields<'_> {
        let (server, server_version) = self
            .server
            .as_ref()
            .map(|(server, version)| (server.as_str(), version.as_str()))
            .unzip();
        RunFields {
            run_id: &self.run_id,
            job_name: self.job.as_deref(),
            table: &self.table,
            server,
            server_version,
            sources: &self.sources,
            keys_from: self.keys_from.as_deref(),
            started_at: shown_time(self.started_at),
            ended_at: shown_time(self.ended_at(end.elapsed)),
            exit_code: end.exit_code,
            version: env!("CARGO_PKG_VERSION"),
            objects_listed: end.objects_listed,
            settings: &self.settings,
        }
    }

    /// Returns the time at which a run of this duration ended.
    pub(super) fn ended_at(&self, elapsed: Duration) -> Timestamp {
        // Beyond the year 9999 it ends when it started.
        self.started_at.checked_add(elapsed).unwrap_or(self.started_at)
    }
}
