//! The end of a run over a jobs file: a line for each job, for people, programs and CI systems.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;
use strum::IntoStaticStr;

use super::causes::counted;
use super::document::{ErrorFields, LoadTotals};
use super::markdown::escaped;
use super::run_facts::RunFacts;
use super::table::duration;
use super::timing::shown_time;
use crate::error::Error;
use crate::printable::printable;
use crate::terminal::Paint;

/// The end of a job.
#[derive(Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Every object is in the table, and this run loaded some of them.
    #[strum(serialize = "loaded")]
    Loaded,
    /// Every object was in the table already.
    #[strum(serialize = "nothing left")]
    NothingLeft,
    /// Some objects are not in the table.
    #[strum(serialize = "incomplete")]
    Incomplete,
    /// The job failed before its first object.
    #[strum(serialize = "failed")]
    Failed,
    /// The job did not begin, because the run was stopped or a job that it depends on is not
    /// complete.
    #[strum(serialize = "not begun")]
    NotBegun,
}

/// The end of a job, for the summary of all.
#[derive(Clone, Debug)]
pub struct JobLine {
    pub name: String,
    pub table: String,
    pub status: JobStatus,
    pub exit_code: u8,
    pub totals: LoadTotals,
    pub elapsed: Duration,
    pub error: Option<String>,
}

impl JobLine {
    /// Returns the end of a job that did not begin, with the code of the run for it.
    #[must_use]
    pub fn not_begun(name: &str, table: String, exit_code: u8) -> Self {
        Self {
            name: name.to_owned(),
            table,
            status: JobStatus::NotBegun,
            exit_code,
            totals: LoadTotals::default(),
            elapsed: Duration::ZERO,
            error: None,
        }
    }

    fn is_complete(&self) -> bool {
        matches!(self.status, JobStatus::Loaded | JobStatus::NothingLeft)
    }
}

/// The end of the run of all jobs.
#[derive(Clone, Copy, Debug)]
pub struct JobsEnd<'a> {
    pub lines: &'a [JobLine],
    pub elapsed: Duration,
    pub exit_code: u8,
    /// False if something was wrong before the first job.
    pub did_begin: bool,
}

/// The last line in the report of a load with `--jobs`. The lines before it have the summaries of
/// the jobs.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "jobs")]
pub(super) struct JobsSummary<'a> {
    /// The ID of the run of all jobs. Each job has another one.
    run_id: &'a str,
    /// The start of the run, as RFC 3339 in UTC.
    started_at: String,
    /// The end of the run, as RFC 3339 in UTC.
    ended_at: String,
    /// Seconds that the run took.
    seconds: f64,
    /// The exit code of the program.
    exit_code: u8,
    /// The version of the program.
    version: &'static str,
    /// The jobs, in the order of the file. Empty if none could begin.
    jobs: Vec<JobSummary<'a>>,
    /// The error that prevented or ended the run. `null` if there was none.
    error: Option<ErrorFields<'a>>,
}

/// The end of one job.
#[derive(Debug, Serialize)]
struct JobSummary<'a> {
    /// The name of the job.
    job: &'a str,
    /// The table, as the file names it.
    table: &'a str,
    /// The end of the job.
    status: JobStatus,
    /// The exit code that a load of this job alone would have had.
    exit_code: u8,
    /// Objects that this run loaded.
    objects_loaded: u64,
    /// Objects that were loaded already.
    objects_already_loaded: u64,
    /// Objects that failed.
    objects_failed: u64,
    /// Rows that this run loaded.
    loaded: u64,
    /// Rows that this run rejected.
    rejected: u64,
    /// Seconds that the job took.
    seconds: f64,
    /// The error that prevented the job or ended it early. `null` if there was none.
    error: Option<&'a str>,
}

impl<'a> JobsSummary<'a> {
    pub(super) fn new(run: &'a RunFacts, end: &JobsEnd<'a>, errors: &'a [Error]) -> Self {
        let jobs = end.lines.iter().map(|line| JobSummary {
            job: &line.name,
            table: &line.table,
            status: line.status,
            exit_code: line.exit_code,
            objects_loaded: line.totals.objects_loaded,
            objects_already_loaded: line.totals.objects_already_loaded,
            objects_failed: line.totals.objects_failed,
            loaded: line.totals.rows_loaded(),
            rejected: line.totals.rows_rejected,
            seconds: line.elapsed.as_secs_f64(),
            error: line.error.as_deref(),
        });
        Self {
            run_id: &run.run_id,
            started_at: shown_time(run.started_at),
            ended_at: shown_time(run.ended_at(end.elapsed)),
            seconds: end.elapsed.as_secs_f64(),
            exit_code: end.exit_code,
            version: env!("CARGO_PKG_VERSION"),
            jobs: jobs.collect(),
            error: errors.first().map(ErrorFields::new),
        }
    }
}

/// Returns the sentence about all jobs.
fn sentence(end: &JobsEnd<'_>) -> String {
    let complete = end.lines.iter().filter(|line| line.is_complete()).count();
    let all = counted(end.lines.len() as u64, "job");
    let time = duration(end.elapsed);
    if complete == end.lines.len() {
        format!("{all} complete in {time}.")
    } else {
        format!("{complete} of {all} complete in {time}.")
    }
}

/// Returns the cells of a line: the name, the end, the objects, the rows and the time.
fn cells(line: &JobLine) -> [String; 5] {
    let totals = &line.totals;
    let failed = match totals.objects_failed {
        0 => String::new(),
        failed => format!(", {} failed", HumanCount(failed)),
    };
    let rejected = match totals.rows_rejected {
        0 => String::new(),
        rejected => format!(", {} rejected", HumanCount(rejected)),
    };
    [
        printable(&line.name).into_owned(),
        <&str>::from(line.status).to_owned(),
        counted(totals.objects_loaded, "object") + &failed,
        counted(totals.rows_loaded(), "row") + &rejected,
        duration(line.elapsed),
    ]
}

/// Returns the summary for people and scripts: a line for each job, and one for all.
pub(super) fn text(end: &JobsEnd<'_>, paint: Option<Paint>) -> String {
    let mut text = String::new();
    let rows: Vec<[String; 5]> = end.lines.iter().map(cells).collect();
    let width = |column: usize| {
        rows.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2), width(3), width(4)];
    for (line, cells) in end.lines.iter().zip(&rows) {
        let mut shown = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            // Writing to a String cannot fail.
            let _ = write!(shown, "{cell:<width$}  ");
        }
        let shown = shown.trim_end();
        match paint.filter(|_| !line.is_complete()) {
            Some(paint) => text.push_str(&paint.red(shown)),
            None => text.push_str(shown),
        }
        text.push('\n');
    }
    text + &sentence(end) + "\n"
}

/// Returns the page for CI systems.
pub(super) fn page(end: &JobsEnd<'_>, errors: &[Error]) -> String {
    let mut page = format!(
        "### s3\\-to\\-mysql load: {}\n\n**{}** Exit code {}.\n",
        counted(end.lines.len() as u64, "job"),
        escaped(&sentence(end)),
        end.exit_code
    );
    if !end.lines.is_empty() {
        page.push_str("\n| job | end | objects | rows | time |\n|---|---|---|---|---|\n");
    }
    for cells in end.lines.iter().map(cells) {
        let cells = cells.map(|cell| escaped(&cell));
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
    for error in errors {
        let _ = write!(page, "\n- {}", escaped(&error.one_line()));
    }
    if !errors.is_empty() {
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_has_a_line() {
        let totals = LoadTotals { objects_loaded: 2, rows: 1500, ..LoadTotals::default() };
        let lines = [
            JobLine {
                status: JobStatus::Loaded,
                totals,
                elapsed: Duration::from_millis(1234),
                ..JobLine::not_begun("customers", "d.customers".to_owned(), 0)
            },
            JobLine::not_begun("orders", "d.orders".to_owned(), 3),
        ];
        let elapsed = Duration::from_secs(2);
        let end = JobsEnd { lines: &lines, elapsed, exit_code: 3, did_begin: true };
        assert_eq!(
            text(&end, None),
            "customers  loaded     2 objects  1,500 rows  1.2 s\n\
             orders     not begun  0 objects  0 rows      0.0 s\n\
             1 of 2 jobs complete in 2.0 s.\n"
        );
        let page = page(&end, &[]);
        assert!(page.contains("| customers | loaded | 2 objects |"), "{page}");
    }
}
