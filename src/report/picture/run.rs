//! Gathers what a picture shows of one run from the lines of its report.

use std::collections::{BTreeMap, BTreeSet};

use super::super::causes::Causes;
use super::density::Density;
use super::finding::finding;
use super::lines::{
    BadLine, ReportLine, RunCounts, SummaryLine, WorkLine, duration_seconds, unix_seconds,
};
use crate::object::shown_uri;

/// The stages of the way into the table, in their order.
pub(super) const STAGES: [&str; 4] = ["download", "wait", "load", "commit"];
/// The number of connections whose lanes are drawn.
const LANES: usize = 64;
/// The number of objects and parts that are kept one by one: those that took the longest.
const LONGEST: usize = 300;

/// A run, as far as its report has been read.
#[derive(Default)]
pub(super) struct RunPicture {
    /// The name of the job among several.
    job_name: Option<String>,
    /// The stages over time, by the number of the connection; 0 for what had none.
    pub(super) lanes: BTreeMap<u32, [Density; 4]>,
    /// The connections that are not among the lanes.
    pub(super) other_lanes: BTreeSet<u32>,
    /// The seconds in each stage, of all objects together.
    pub(super) stage_seconds: [f64; 4],
    /// The bytes and rows that were loaded over time.
    pub(super) bytes: Density,
    pub(super) rows: Density,
    /// The failures over time.
    pub(super) failures: Density,
    pub(super) causes: Causes,
    /// The number of objects by their status.
    pub(super) statuses: BTreeMap<String, u64>,
    spans: Vec<WorkSpan>,
    /// The start of the first thing that was begun and the end of the last, in seconds since 1970.
    times: Option<(f64, f64)>,
    pub(super) end: Option<(SummaryLine, RunCounts)>,
}

/// The time that one object or part took.
#[derive(Clone, Debug)]
pub(super) struct WorkSpan {
    /// The URI of the object, and the number of the part.
    pub(super) name: String,
    pub(super) status: String,
    /// The start, in seconds since 1970.
    pub(super) start: f64,
    /// The seconds of each stage.
    pub(super) stages: [f64; 4],
    pub(super) connection: u32,
    pub(super) objects: u32,
    pub(super) attempts: u32,
    pub(super) rows: Option<u64>,
    pub(super) bytes: Option<u64>,
}

impl WorkSpan {
    pub(super) fn seconds(&self) -> f64 {
        self.stages.iter().sum()
    }
}

impl RunPicture {
    pub(super) fn is_empty(&self) -> bool {
        self.end.is_none() && self.statuses.is_empty() && self.times.is_none()
    }

    /// Returns true if lines of this job may follow: its run has not ended, or no run has begun.
    pub(super) fn goes_on_with(&self, job_name: Option<&str>) -> bool {
        self.end.is_none() && (self.job_name.as_deref() == job_name || self.is_empty())
    }

    /// Adds a line of the report, which was read from this text.
    pub(super) fn add(&mut self, line: ReportLine, text: &str) -> Result<(), BadLine> {
        self.job_name = line.job_name().map(str::to_owned);
        match line {
            ReportLine::Jobs(_) => Ok(()),
            ReportLine::Object(line) => {
                *self.statuses.entry(line.status.clone()).or_default() += 1;
                self.add_work(*line)
            }
            ReportLine::Part(line) => self.add_work(*line),
            ReportLine::Summary(line) => {
                let (start, end) = (unix_seconds(&line.started_at)?, unix_seconds(&line.ended_at)?);
                for pause in &line.pauses {
                    unix_seconds(&pause.started_at)?;
                    duration_seconds(Some(pause.seconds))?;
                }
                self.cover(start, end);
                let counts = RunCounts::parse(text, &line)?;
                self.end = Some((*line, counts));
                Ok(())
            }
        }
    }

    fn add_work(&mut self, mut line: WorkLine) -> Result<(), BadLine> {
        let stages = [
            duration_seconds(line.download_seconds)?,
            duration_seconds(line.wait_seconds)?,
            duration_seconds(line.load_seconds)?,
            duration_seconds(line.commit_seconds)?,
        ];
        let elapsed = duration_seconds(line.seconds)?;
        // An object that is loaded in parts has no stages of its own.
        let has_stages = line.download_seconds.is_some();
        let start = line.started_at.as_deref().map(unix_seconds).transpose()?;
        if let Some(start) = start {
            self.cover(start, start + elapsed);
            if line.status == "failed" && line.part.is_none() {
                self.failures.add(start + elapsed, 0.0, 1.0);
            }
        }
        if let Some(start) = start.filter(|_| has_stages) {
            let span = WorkSpan {
                name: name(&line),
                status: line.status.clone(),
                start,
                stages,
                connection: line.connection.unwrap_or(0),
                objects: line.objects_in_transaction.unwrap_or(1).max(1),
                attempts: line.attempts.unwrap_or(1),
                rows: line.rows,
                bytes: line.size_bytes,
            };
            self.add_span(span);
        }
        if let Some(finding) = finding(&mut line) {
            self.causes.add(finding);
        }
        Ok(())
    }

    fn add_span(&mut self, span: WorkSpan) {
        let WorkSpan { start, stages, connection, objects, .. } = span;
        let load_start = start + stages[0] + stages[1];
        if ["loaded", "checked"].contains(&span.status.as_str()) {
            let seconds = stages[2] + stages[3];
            self.bytes.add(load_start, seconds, amount(span.bytes));
            self.rows.add(load_start, seconds, amount(span.rows));
        }
        // Objects in one transaction share its time.
        let share = 1.0 / f64::from(objects);
        let shares = [1.0, 1.0, share, share];
        for ((sum, seconds), share) in self.stage_seconds.iter_mut().zip(stages).zip(shares) {
            *sum += seconds * share;
        }
        if self.lanes.len() < LANES || self.lanes.contains_key(&connection) {
            let lane = self.lanes.entry(connection).or_default();
            let mut from = start;
            for ((density, seconds), share) in lane.iter_mut().zip(stages).zip(shares) {
                if seconds > 0.0 {
                    density.add(from, seconds, seconds * share);
                }
                from += seconds;
            }
        } else {
            self.other_lanes.insert(connection);
        }
        self.spans.push(span);
        if self.spans.len() > 2 * LONGEST {
            keep_longest(&mut self.spans);
        }
    }

    /// Returns what took the longest, the longest first.
    pub(super) fn longest(&self) -> Vec<WorkSpan> {
        let mut spans = self.spans.clone();
        keep_longest(&mut spans);
        spans
    }

    /// Returns the start of the run, in seconds since 1970, and its seconds.
    pub(super) fn time(&self) -> (f64, f64) {
        let (start, end) = self.times.unwrap_or_default();
        (start, (end - start).max(0.001))
    }

    fn cover(&mut self, start: f64, end: f64) {
        let (first, last) = self.times.unwrap_or((start, end));
        self.times = Some((first.min(start), last.max(end)));
    }
}

fn keep_longest(spans: &mut Vec<WorkSpan>) {
    spans.sort_by(|one, other| other.seconds().total_cmp(&one.seconds()));
    spans.truncate(LONGEST);
}

fn name(line: &WorkLine) -> String {
    let uri = shown_uri(&line.bucket, &line.key);
    match line.part {
        Some(part) => format!("{uri}, part {part}"),
        None => uri,
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate in a picture needs few digits")]
fn amount(count: Option<u64>) -> f64 {
    count.unwrap_or(0) as f64
}
