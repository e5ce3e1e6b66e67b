//! The outcome of every object: a summary for people, JSON Lines for programs, and the keys to
//! retry.
//!
//! Both files are opened before the run, so that a path that cannot be written is a usage error
//! rather than a surprise at the end. They are written as objects finish, under temporary names,
//! and get their own at the end. So a reader finds whole files, and a process that is killed leaves
//! what it has written up to that moment.

mod annotations;
mod causes;
mod checked;
mod destination;
mod document;
mod given_setting;
mod html;
mod job_end;
mod jobs;
mod line_file;
mod markdown;
mod notes;
mod object_line;
mod options;
mod outcome;
mod part;
mod pause;
mod picture;
mod run_end;
mod run_facts;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod timing;

pub use destination::{ReportTo, ReportToError, parse_path};
pub use document::{CheckTotals, LoadTotals};
pub use given_setting::GivenSetting;
pub use job_end::JobEnd;
pub use jobs::{JobLine, JobStatus, JobsEnd};
pub use line_file::Upload;
pub use options::OutputConfig;
pub use outcome::Outcome;
pub use part::{EndedPart, PartStatus};
pub use picture::Picture;
pub use run_end::{CheckEnd, CreatedTable, RunEnd};
pub use run_facts::RunFacts;
pub use timing::Timing;
pub(crate) use timing::{Stage, Stopwatch};

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::check::{Checked, Prediction};
use crate::choices::{FailOn, ReportOnly};
use crate::dialect::ObjectFormat;
use crate::error::{Error, Result};
use crate::load_data::LoadStats;
use crate::object::shown_uri;
use crate::s3_uri::key_line;
use crate::terminal::{FOR_PROGRAMS, Paint, SummaryStyle};
pub(crate) use causes::counted;
use causes::{Causes, Finding, Verdict};
use checked::CheckReport;
use destination::fill_path;
use document::{ErrorFields, JobFields, LoadSummary, ObjectLine, VerifiedAs, to_line};
use jobs::JobsSummary;
use line_file::{LineFile, SharedLines};
use markdown::Page;
use notes::Notes;
use part::PartLine;
use run_end::LoadReport;
use table::SummaryTable;

impl LoadTotals {
    fn add(&mut self, stats: &LoadStats) {
        let loaded = &stats.loaded;
        self.rows += loaded.rows;
        self.rows_skipped += loaded.skipped;
        self.rows_deleted += loaded.deleted;
        self.rows_updated += stats.updated;
        self.rows_unchanged += stats.unchanged;
        self.rows_rejected += loaded.rejected;
        self.rejected_duplicates += stats.rejected_duplicates;
        self.note_rows += stats.note_rows;
        self.changed_rows += stats.changed_rows;
        self.warnings += loaded.warnings;
        self.notes += stats.notes;
        for (code, count) in &stats.warnings_by_code {
            *self.warnings_by_code.entry(*code).or_default() += count;
        }
    }

    /// Returns the number of rows that are now in the table: all but the rejected and skipped ones.
    #[must_use]
    pub fn rows_loaded(&self) -> u64 {
        self.rows - self.rows_rejected - self.rows_skipped
    }

    /// Returns true if every listed object is in the table, was left out on purpose, or is
    /// acknowledged.
    #[must_use]
    pub fn is_everything_loaded(&self) -> bool {
        self.objects_failed == 0 && self.objects_not_reached == 0
    }

    /// Returns true if no object failed that counts by the policy, and none was left.
    #[must_use]
    pub fn is_success(&self, fail_on: FailOn) -> bool {
        let failed = match fail_on {
            FailOn::Any => self.objects_failed,
            FailOn::New => self.objects_failed_new,
        };
        failed == 0 && self.objects_not_reached == 0
    }
}

/// Collects the outcomes and writes them to the files.
#[derive(Debug)]
pub struct Report {
    run: RunFacts,
    lines: SharedLines,
    failed_keys: SharedLines,
    only: ReportOnly,
    format: ObjectFormat,
    totals: LoadTotals,
    check_totals: CheckTotals,
    /// The causes of what is wrong with the objects.
    causes: Causes,
    notes: Notes,
    style: SummaryStyle,
    /// The paint for standard error.
    error_paint: Paint,
    /// The page about the run, if one is wanted.
    picture: Option<Arc<Mutex<Picture>>>,
    /// The totals for those who watch the run.
    shared_totals: Option<Arc<Mutex<LoadTotals>>>,
}

/// The texts for the end of a run.
#[derive(Debug, Default)]
pub struct EndTexts {
    /// The text for standard error: the objects in which something is wrong. Empty if nothing is.
    pub problems: String,
    /// The text for standard output.
    pub summary: String,
    /// The end of the run as Markdown.
    pub page: String,
    /// The run as a page of HTML, if one is wanted.
    pub picture: Option<String>,
    /// The failures as commands of GitHub Actions.
    pub annotations: String,
}

impl Report {
    /// Creates the files.
    ///
    /// # Errors
    /// `Usage` for a file that cannot be written or that has another use: `--keys-from k
    /// --failed-keys k` would empty the list before it is read.
    pub fn open(
        config: &OutputConfig,
        run: RunFacts,
        (keys_from, staging_dir): (Option<&Path>, &Path),
        style: SummaryStyle,
        error_paint: Paint,
    ) -> Result<Self> {
        let report = config.report.as_ref().map(|to| to.filled(&run.run_id, run.started_at));
        let failed_keys = config.failed_keys.as_ref();
        let failed_keys = failed_keys.map(|path| fill_path(path, &run.run_id, run.started_at));
        let report_path = match &report {
            Some(ReportTo::File(path)) => Some(path.as_path()),
            _ => None,
        };
        let other_uses = [("--keys-from", keys_from), ("--report", report_path)];
        if let Some(path) = report_path {
            LineFile::ensure_alone("--report", path, &other_uses[..1])?;
        }
        if let Some(path) = &failed_keys {
            LineFile::ensure_alone("--failed-keys", path, &other_uses)?;
        }
        let failed_keys = failed_keys.map(ReportTo::File);
        let create = |flag: &str, to: Option<&ReportTo>| {
            LineFile::create(flag, to, &run.run_id, staging_dir)
        };
        Ok(Self {
            lines: SharedLines::new(create("--report", report.as_ref())?),
            failed_keys: SharedLines::new(create("--failed-keys", failed_keys.as_ref())?),
            only: config.report_only,
            run,
            format: config.format,
            totals: LoadTotals::default(),
            check_totals: CheckTotals::default(),
            causes: Causes::default(),
            notes: Notes::default(),
            style,
            error_paint,
            picture: config.html.is_some().then(Arc::default),
            shared_totals: None,
        })
    }

    /// Returns the totals of a load, which follow the run.
    pub fn share_totals(&mut self) -> Arc<Mutex<LoadTotals>> {
        let shared = Arc::new(Mutex::new(self.totals.clone()));
        self.shared_totals = Some(Arc::clone(&shared));
        shared
    }

    /// Returns the report of one job among several, which writes to the same files.
    #[must_use]
    pub fn of_job(&self, run: RunFacts, format: ObjectFormat) -> Self {
        Self {
            run,
            lines: self.lines.clone(),
            failed_keys: self.failed_keys.clone(),
            only: self.only,
            format,
            totals: LoadTotals::default(),
            check_totals: CheckTotals::default(),
            causes: Causes::default(),
            notes: Notes::default(),
            style: self.style,
            error_paint: self.error_paint,
            picture: self.picture.clone(),
            shared_totals: None,
        }
    }

    /// Records the outcome of one object.
    ///
    /// # Errors
    /// `Usage` if a file can no longer be written. This is reported once for each file, which is
    /// then no longer written.
    pub fn record(&mut self, outcome: &Outcome) -> Result<()> {
        let kept = match outcome {
            Outcome::Loaded { object, stats, again, .. } => {
                self.totals.objects_loaded += 1;
                self.totals.objects_loaded_again += u64::from(*again);
                self.totals.bytes_loaded =
                    self.totals.bytes_loaded.saturating_add(object.size_bytes);
                self.totals.add(stats);
                let LoadStats { note_rows, changed_rows, first_inexact, .. } = &**stats;
                let rows = stats.loaded.rows;
                if *changed_rows > 0 {
                    let noted = match note_rows {
                        0 => String::new(),
                        noted => format!("; {noted} have notes"),
                    };
                    let headline = format!(
                        "loaded with other values: {object}: {changed_rows} of {rows} rows{noted}"
                    );
                    self.notes.add(&headline, first_inexact);
                } else if *note_rows > 0 {
                    let headline =
                        format!("loaded with notes: {object}: {note_rows} of {rows} rows");
                    self.notes.add(&headline, first_inexact);
                }
                Ok(())
            }
            Outcome::Checked { object, checked, .. } => {
                self.check_totals.add(object, checked);
                if let Some(finding) = checked::finding(object, checked) {
                    self.causes.add(finding);
                }
                let Checked { note_rows, rows, first_notes, prediction, .. } = &**checked;
                if *note_rows > 0 && !matches!(prediction, Prediction::Fails(_)) {
                    let headline =
                        format!("would load with notes: {object}: {note_rows} of {rows} rows");
                    self.notes.add(&headline, first_notes);
                }
                if let Prediction::Fails(error) = &checked.prediction {
                    log_failure("would fail", &object.to_string(), error);
                    self.failed_keys.add(&key_line(&object.bucket, &object.key))
                } else {
                    Ok(())
                }
            }
            Outcome::Failed { bucket, key, error, is_known, .. } => {
                self.totals.objects_failed += 1;
                self.totals.objects_failed_new += u64::from(!is_known);
                let object = shown_uri(bucket, key);
                log_failure("failed", &object, error);
                self.causes.add(Finding {
                    verdict: Verdict::Failed,
                    message: error.line_without(&object),
                    object,
                    rows: error.all_bad_rows(),
                    details: Vec::new(),
                    hint: error.hint().map(str::to_owned),
                });
                // A line without a key could not be read back.
                if key.is_empty() { Ok(()) } else { self.failed_keys.add(&key_line(bucket, key)) }
            }
            Outcome::AlreadyLoaded { .. } => {
                self.totals.objects_already_loaded += 1;
                Ok(())
            }
            Outcome::SkippedChanged { .. } => {
                self.totals.objects_skipped_changed += 1;
                Ok(())
            }
            Outcome::Acknowledged { .. } => {
                self.totals.objects_acknowledged += 1;
                Ok(())
            }
            Outcome::NotReached { .. } => {
                self.totals.objects_not_reached += 1;
                Ok(())
            }
        };
        if let Some(shared) = &self.shared_totals {
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = self.totals.clone();
        }
        let is_left_out =
            self.only == ReportOnly::New && matches!(outcome, Outcome::AlreadyLoaded { .. });
        if is_left_out || !self.wants_lines() {
            return kept;
        }
        let job_name = self.run.job.as_deref();
        let line = to_line(&ObjectLine { job_name, ..ObjectLine::new(outcome, self.format) });
        self.add_line(&line).and(kept)
    }

    fn wants_lines(&self) -> bool {
        self.lines.is_open() || self.picture.is_some()
    }

    fn add_line(&self, line: &str) -> Result<()> {
        if let Some(picture) = &self.picture {
            picture.lock().unwrap_or_else(PoisonError::into_inner).add_own(line);
        }
        self.lines.add(line)
    }

    /// Records what was found out about the target.
    pub fn found_target(&mut self, table: String, server: (String, String)) {
        self.run.table = table;
        self.run.server = Some(server);
    }

    /// Records a part that has ended.
    ///
    /// # Errors
    /// The same as for [`Self::record`].
    pub fn record_part(&mut self, part: &EndedPart) -> Result<()> {
        if !self.wants_lines() {
            return Ok(());
        }
        let job_name = self.run.job.as_deref();
        self.add_line(&to_line(&PartLine { job_name, ..PartLine::new(part) }))
    }

    /// Returns the texts of a run that ended, with this summary.
    fn texts(
        &self,
        end: &RunEnd<'_>,
        summary: String,
        (command, sentence, counts): (&str, String, SummaryTable),
    ) -> EndTexts {
        let said: Vec<&str> = end.errors.iter().filter_map(|error| error.hint()).collect();
        let said: Vec<&str> = said.iter().flat_map(|hint| hint.lines()).collect();
        let mut problems = self.notes.text() + &self.causes.text(&said, self.error_paint);
        if !problems.is_empty() && matches!(self.style, SummaryStyle::Table(_)) {
            problems.push('\n');
        }
        let table_name = &self.run.table;
        let page = Page {
            command,
            table_name,
            sentence: if end.did_begin { sentence } else { "The run did not begin.".to_owned() },
            exit_code: end.exit_code,
            counts: end.did_begin.then_some(counts),
            causes: &self.causes,
            errors: end.errors,
        };
        let annotations = annotations::text(table_name, end.errors, &self.causes);
        // Several jobs share one page, which the end of all writes.
        let picture = if self.run.job.is_none() { self.picture_page() } else { None };
        EndTexts { problems, summary, page: page.text(), picture, annotations }
    }

    /// Returns the page about the run, if one is wanted.
    #[must_use]
    pub fn picture_page(&self) -> Option<String> {
        let picture = self.picture.as_ref()?;
        Some(picture.lock().unwrap_or_else(PoisonError::into_inner).page())
    }

    /// Returns the totals so far.
    #[must_use]
    pub fn totals(&self) -> &LoadTotals {
        &self.totals
    }

    /// Returns the totals of a check so far.
    #[must_use]
    pub fn check_totals(&self) -> CheckTotals {
        let LoadTotals { objects_failed, objects_not_reached, .. } = self.totals;
        CheckTotals { objects_failed, objects_not_reached, ..self.check_totals.clone() }
    }

    /// Writes the last line of the report of a load. Returns an error if it cannot be written.
    #[must_use]
    pub fn write_end(&mut self, end: &RunEnd<'_>) -> Option<Error> {
        let line = to_line(&self.load_summary(end));
        self.add_line(&line).err()
    }

    /// Gives the complete files their names. Returns the report that has to be uploaded, and the
    /// errors of files that cannot have their names.
    pub fn publish(&mut self) -> (Option<Upload>, Vec<Error>) {
        let (mut upload, mut errors) = (None, Vec::new());
        match self.lines.publish() {
            Ok(report) => upload = report,
            Err(error) => errors.push(error),
        }
        errors.extend(self.failed_keys.publish().err());
        (upload, errors)
    }

    /// Returns the texts of a load for the outputs. The summary for people is empty if the run did
    /// not begin, because its errors say everything.
    #[must_use]
    pub fn end_texts(&self, end: RunEnd<'_>) -> EndTexts {
        let report = LoadReport { totals: &self.totals, end };
        let summary = match self.style {
            SummaryStyle::Json => to_line(&self.load_summary(&end)) + "\n",
            _ if !end.did_begin => String::new(),
            SummaryStyle::Text => text::load(&report),
            SummaryStyle::Table(paint) => table::load(&report, paint),
        };
        let sentence = table::load_sentence(&report);
        self.texts(&end, summary, ("load", sentence, table::load_counts(&report)))
    }

    /// Writes the last line of the report of several jobs. Returns an error if that fails.
    #[must_use]
    pub fn write_jobs_end(&mut self, end: &JobsEnd<'_>, errors: &[Error]) -> Option<Error> {
        self.lines.add(&to_line(&JobsSummary::new(&self.run, end, errors))).err()
    }

    /// Returns the summary of several jobs, and their page.
    #[must_use]
    pub fn jobs_end_texts(&self, end: &JobsEnd<'_>, errors: &[Error]) -> (String, String) {
        let summary = match self.style {
            SummaryStyle::Json => to_line(&JobsSummary::new(&self.run, end, errors)) + "\n",
            _ if !end.did_begin => String::new(),
            SummaryStyle::Text => jobs::text(end, None),
            SummaryStyle::Table(paint) => jobs::text(end, Some(paint)),
        };
        (summary, jobs::page(end, errors))
    }

    fn load_summary<'a>(&'a self, end: &RunEnd<'a>) -> LoadSummary<'a> {
        LoadSummary {
            run: self.run.fields(end),
            generation: end.ledger.map(|(_, job)| job.generation),
            totals: &self.totals,
            loaded: self.totals.rows_loaded(),
            created_table: end.created_table.map(|table| table.statement.as_str()),
            job: end.job_end.map(JobFields::new),
            listing_complete: end.is_listing_complete,
            seconds: end.elapsed.as_secs_f64(),
            skipped_keys: end.skipped_keys,
            verified_rows: end.verified.map(|table| table.rows),
            verified_columns: end.verified.map(|table| table.columns.as_slice()),
            verified_as: end.verified.map(|table| {
                if table.are_rows_whole { VerifiedAs::Rows } else { VerifiedAs::Columns }
            }),
            unverified_columns: end.verified.map(|table| table.unverified.as_slice()),
            pauses: end.pauses.iter().flat_map(|all| &all.first).map(Into::into).collect(),
            paused_seconds: end.paused_seconds(),
            error: end.errors.first().map(ErrorFields::new),
        }
    }

    /// Does for a check what [`Self::write_end`] does for a load.
    #[must_use]
    pub fn write_check_end(&mut self, end: &CheckEnd<'_>) -> Option<Error> {
        let totals = self.check_totals();
        let line = to_line(&CheckReport { run: &self.run, totals: &totals, end: *end }.summary());
        self.add_line(&line).err()
    }

    /// Does for a check what [`Self::end_texts`] does for a load.
    #[must_use]
    pub fn check_end_texts(&self, end: CheckEnd<'_>) -> EndTexts {
        let totals = self.check_totals();
        let report = CheckReport { run: &self.run, totals: &totals, end };
        let summary = match self.style {
            SummaryStyle::Json => to_line(&report.summary()) + "\n",
            _ if !end.run.did_begin => String::new(),
            SummaryStyle::Text => text::check(&report),
            SummaryStyle::Table(paint) => table::check(&report, paint),
        };
        let sentence = table::check_sentence(&report);
        self.texts(&end.run, summary, ("check", sentence, table::check_counts(&report)))
    }
}

/// Logs the failure of an object for programs. People read it at the end.
fn log_failure(what: &str, object: &str, error: &Error) {
    tracing::error!(
        target: FOR_PROGRAMS,
        object,
        code = error.kind.code(),
        hint = error.hint(),
        "{what}: {}",
        error.one_line()
    );
}
