//! Begins and ends a command: its report, its signals, and the [`RunResult`] that it ends with.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::choices::SummaryForm;
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::exit_code::{self, End};
use crate::ledger::RunId;
use crate::preflight::Preflight;
use crate::progress::ListingProgress;
use crate::report::{
    CreatedTable, EndTexts, OutputConfig, Report, ReportTo, RunEnd, RunFacts, Upload,
};
use crate::retry::{Attempts, RetryConfig};
use crate::s3_uri::SourceUri;
use crate::shutdown::{Shutdown, Signals};
use crate::small_file;
use crate::source::{S3, SourceConfig};
use crate::terminal::Terminal;

/// The result of a run.
#[derive(Debug, Default)]
pub struct RunResult {
    pub exit_code: u8,
    /// The text for standard output.
    pub output: String,
    /// The text for standard error, about the objects in which something is wrong.
    pub problems: String,
    /// The errors that prevented or ended the run, for standard error.
    pub errors: Vec<Error>,
}

impl RunResult {
    pub(crate) fn before_it_began(errors: Vec<Error>) -> Self {
        let exit_code = exit_code::decide(End::NotBegun { signal: None, problems: &errors });
        Self { exit_code, errors, ..Self::default() }
    }

    /// Returns the result of a command that only reads or changes the ledger, and did it.
    pub(super) fn of_ledger(output: String) -> Self {
        let exit_code = exit_code::decide(End::LedgerCommand(None));
        Self { exit_code, output, ..Self::default() }
    }

    /// Returns the result of a command that only reads or changes the ledger, and failed.
    pub(super) fn of_ledger_failed(error: Error) -> Self {
        let exit_code = exit_code::decide(End::LedgerCommand(Some(error.kind)));
        Self { exit_code, errors: vec![error], ..Self::default() }
    }
}

/// Returns the error of a run that a signal ended, for the report and standard error.
pub(crate) fn interrupted(exit_code: u8) -> Error {
    let signal = if exit_code == exit_code::TERMINATED { "SIGTERM" } else { "SIGINT" };
    Error::new(ErrorKind::Interrupted, format!("the run was stopped by {signal}"))
}

/// The files for the end of a run as Markdown and as HTML.
#[derive(Default)]
struct Pages {
    html: Option<PathBuf>,
    summary_file: Option<PathBuf>,
    step_summary: Option<PathBuf>,
}

impl Pages {
    fn of(output: &OutputConfig, facts: &RunFacts) -> Self {
        let OutputConfig { summary_file, step_summary, .. } = output;
        Self {
            html: output.html_of(&facts.run_id, facts.started_at),
            summary_file: summary_file.clone(),
            step_summary: step_summary.clone(),
        }
    }

    /// Writes the files. One that cannot be written is a warning, because it says nothing about
    /// the table.
    fn write(&self, page: &str, picture: Option<&str>) {
        if let (Some(path), Some(picture)) = (&self.html, picture)
            && let Err(error) = small_file::replace_private(path, picture)
        {
            tracing::warn!("--html {} cannot be written: {error}", path.display());
        }
        let summary_file = self.summary_file.as_ref();
        let replaced = summary_file.map(|path| (path, small_file::replace(path, page)));
        let appended = self.step_summary.as_ref().map(|path| (path, append(path, page)));
        for (path, written) in replaced.into_iter().chain(appended) {
            if let Err(error) = written {
                tracing::warn!("the summary cannot be written to {}: {error}", path.display());
            }
        }
    }
}

fn append(path: &Path, page: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(page.as_bytes())
}

/// A run of `load` or `check` from its first moment to its last: the clock, the signals, the count
/// of what is listed, and the report.
pub(super) struct OpenRun {
    started: Instant,
    pub(super) run: RunId,
    pub(super) shutdown: Shutdown,
    pub(super) listed: Arc<ListingProgress>,
    pub(super) report: Report,
    /// The table that the run has created.
    pub(super) created_table: Option<CreatedTable>,
    /// True if the report goes to standard output, so that nothing else may.
    has_report_on_output: bool,
    has_json_summary: bool,
    pages: Pages,
    has_annotations: bool,
    /// The settings with which a report is uploaded.
    uploads_by: (SourceConfig, RetryConfig),
    /// The name of the job, if this is the run of one among several tables.
    pub(super) job: Option<String>,
}

impl OpenRun {
    /// Opens the report's files and listens for signals.
    ///
    /// # Errors
    /// The result of a run whose report cannot be opened.
    pub(super) async fn open(
        config: &Config,
        terminal: &Terminal,
        signals: Signals,
    ) -> Result<Self, RunResult> {
        let started = Instant::now();
        let shutdown = Shutdown::default();
        // Ends with the process.
        tokio::spawn(shutdown.clone().listen(signals));
        let summary = config.output.summary;
        let has_report_on_output = matches!(config.output.report, Some(ReportTo::StandardOutput));
        let style = if has_report_on_output {
            terminal.error_summary_style(summary)
        } else {
            terminal.summary_style(summary)
        };
        let keys_from = config.source.keys_from.as_deref();
        let run = RunId::new();
        let facts = facts(config, &run);
        let pages = Pages::of(&config.output, &facts);
        let report = match check_bucket(config, &shutdown).await {
            Some(error) => Err(error),
            None => Report::open(
                &config.output,
                facts,
                (keys_from, &config.staging.dir),
                style,
                terminal.error_paint(),
            ),
        };
        let report = report.map_err(|error| RunResult::before_it_began(vec![error]))?;
        let (source, retry) = (config.source.clone(), config.retry.clone());
        let uploads_by = (source, retry);
        let listed = Arc::default();
        Ok(Self {
            started,
            run,
            shutdown,
            listed,
            report,
            has_report_on_output,
            has_json_summary: summary == SummaryForm::Json,
            pages,
            has_annotations: config.output.has_annotations,
            uploads_by,
            created_table: None,
            job: None,
        })
    }

    /// Returns the run of one job of this run, which writes to the same report.
    pub(super) fn of_job(&self, name: &str, config: &Config) -> Self {
        let run = RunId::new();
        let facts = RunFacts { job: Some(name.to_owned()), ..facts(config, &run) };
        Self {
            started: Instant::now(),
            report: self.report.of_job(facts, config.output.format),
            run,
            shutdown: self.shutdown.child(),
            listed: Arc::default(),
            created_table: None,
            has_report_on_output: false,
            has_json_summary: false,
            // The run of all jobs has them.
            pages: Pages::default(),
            has_annotations: false,
            uploads_by: self.uploads_by.clone(),
            job: Some(name.to_owned()),
        }
    }

    /// Ends a run that did not begin. `write_end` writes the report's last line, without which the
    /// report would not say why, and `texts` returns the texts. Returns the exit code, the texts
    /// and the problems.
    pub(super) async fn end_before_it_began(
        &mut self,
        mut problems: Vec<Error>,
        write_end: impl FnOnce(&mut Report, RunEnd<'_>) -> Option<Error>,
        texts: impl FnOnce(&Report, RunEnd<'_>) -> EndTexts,
    ) -> (u8, EndTexts, Vec<Error>) {
        let signal = self.shutdown.signalled();
        problems.extend(signal.map(interrupted));
        let code = |problems: &[Error]| exit_code::decide(End::NotBegun { signal, problems });
        let elapsed = self.started.elapsed();
        let objects_listed = self.objects_listed();
        let created_table = self.created_table.clone();
        let created_table = created_table.as_ref();
        let end = RunEnd { elapsed, objects_listed, created_table, ..RunEnd::default() };
        let exit_code = code(&problems);
        let unwritten = write_end(&mut self.report, RunEnd { errors: &problems, exit_code, ..end });
        problems.extend(unwritten);
        problems.extend(self.publish().await);
        let exit_code = code(&problems);
        let texts = texts(&self.report, RunEnd { errors: &problems, exit_code, ..end });
        (exit_code, texts, problems)
    }

    /// Gives the report's files their names, or uploads the report. Returns the errors.
    pub(super) async fn publish(&mut self) -> Vec<Error> {
        if self.job.is_some() {
            // The run of all jobs does that.
            return Vec::new();
        }
        let (upload, mut errors) = self.report.publish();
        if let Some(upload) = upload {
            let uploading = Box::pin(upload_report(&upload, &self.uploads_by));
            let uploaded = self.shutdown.abandoning.run_until_cancelled(uploading).await;
            let stopped =
                || Err(Error::new(ErrorKind::Usage, "the run was stopped before it was uploaded"));
            if let Err(error) = uploaded.unwrap_or_else(stopped) {
                let Upload { bucket, key, .. } = &upload;
                let message = format!("--report s3://{bucket}/{key} cannot be written");
                let hint = match error.kind {
                    ErrorKind::RejectsUnwritable => {
                        "the credentials need s3:PutObject on it; loaded objects stay in the \
                         table, and the summary counts them"
                    }
                    _ => "loaded objects stay in the table, and the summary counts them",
                };
                errors.push(Error::new(ErrorKind::Usage, message).caused_by(error).with_hint(hint));
            }
        }
        errors
    }

    /// Returns the result of a run with these texts.
    pub(super) fn result(self, exit_code: u8, texts: EndTexts, errors: Vec<Error>) -> RunResult {
        let EndTexts { mut problems, summary, page, picture, annotations } = texts;
        self.pages.write(&page, picture.as_deref());
        if self.has_annotations {
            problems += &annotations;
        }
        if self.has_report_on_output {
            // Its last line is the summary in JSON.
            let problems = if self.has_json_summary { problems } else { problems + &summary };
            return RunResult { exit_code, output: String::new(), problems, errors };
        }
        RunResult { exit_code, output: summary, problems, errors }
    }

    /// Adds the signal that ended the run to its errors. Later ones are still listened to: the
    /// run still reports its end to the ledger, which may not answer.
    pub(super) fn add_signal(&self, errors: &mut Vec<Error>) {
        errors.extend(self.shutdown.signalled().map(interrupted));
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
    /// Returns the number of objects that the listing has found so far.
    pub(super) fn objects_listed(&self) -> u64 {
        self.listed.objects.load(Ordering::Relaxed)
    }

    /// Tells the report what the preflight has found out.
    pub(super) fn found_target(&mut self, preflight: &Preflight) {
        let server = (preflight.server.flavor.to_string(), preflight.server.version.clone());
        self.report.found_target(preflight.target.name().plain(), server);
    }
}

/// Returns an error if the bucket of the report does not exist. Whatever else is wrong with the
/// store shows when it is listed.
async fn check_bucket(config: &Config, shutdown: &Shutdown) -> Option<Error> {
    let Some(ReportTo::S3 { bucket, key }) = &config.output.report else { return None };
    let s3 = S3::new(&config.source).await.ok()?;
    let looked = shutdown.draining.run_until_cancelled(s3.is_empty(bucket, key)).await;
    let error = looked?.err().filter(|error| error.kind == ErrorKind::BucketMissing)?;
    let message = format!("--report s3://{bucket}/{key} cannot be written");
    Some(
        Error::new(ErrorKind::Usage, message)
            .caused_by(error)
            .with_hint("name a bucket that exists at this endpoint and region"),
    )
}

async fn upload_report(
    Upload { file, bucket, key }: &Upload,
    (source, retry): &(SourceConfig, RetryConfig),
) -> crate::error::Result<()> {
    let s3 = S3::new(source).await?;
    let mut attempts = Attempts::new(retry);
    loop {
        match s3.put_file(bucket, key, file).await {
            Err(error) if attempts.wait_after(&error).await => {}
            done => return done,
        }
    }
}

fn facts(config: &Config, run: &RunId) -> RunFacts {
    let mut table = config.target.table.clone();
    table.database = table.database.or_else(|| config.target.database.clone());
    RunFacts {
        run_id: run.id.clone(),
        table: table.plain(),
        server: None,
        sources: config.source.uris.iter().map(SourceUri::literal).collect(),
        keys_from: config.source.keys_from.as_ref().map(|path| path.display().to_string()),
        started_at: Timestamp::now(),
        settings: config.output.settings.clone(),
        job: None,
    }
}
