//! The verdict about a run and its counts, in the words of the summary on a terminal.

use std::time::Duration;

use super::super::checked::CheckReport;
use super::super::run_end::{CheckEnd, LoadReport, RunEnd};
use super::super::run_facts::RunFacts;
use super::super::table;
use super::lines::{RunCounts, SummaryLine};
use super::run::RunPicture;
use crate::error::{Error, ErrorKind};
use crate::exit_code;

/// A grade of the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Mixed,
    Bad,
}

/// Returns the sentence about the end of the run, and how good it is.
pub(super) fn verdict(run: &RunPicture) -> (String, Tone) {
    let Some((end, counts)) = &run.end else {
        return ("The run did not end.".to_owned(), Tone::Bad);
    };
    let tone = match end.exit_code {
        exit_code::ALL_LOADED => Tone::Good,
        exit_code::ROWS_REJECTED | exit_code::NOTHING_MATCHED => Tone::Mixed,
        _ => Tone::Bad,
    };
    let errors = errors(end);
    let sentence = match counts {
        RunCounts::Load(totals) => {
            table::load_sentence(&LoadReport { totals, end: run_end(end, &errors) })
        }
        RunCounts::Check(totals) => {
            let facts = facts(end);
            let end = CheckEnd { run: run_end(end, &errors), not_checked: &[], sample: end.sample };
            table::check_sentence(&CheckReport { run: &facts, totals, end })
        }
    };
    (sentence, tone)
}

/// Returns a label, a figure and a remark for each count.
pub(super) fn counts(run: &RunPicture) -> Vec<(String, String, String)> {
    let Some((end, counts)) = &run.end else {
        let statuses = run.statuses.iter();
        return statuses
            .map(|(status, count)| (status.replace('_', " "), count.to_string(), String::new()))
            .collect();
    };
    let errors = errors(end);
    let table = match counts {
        RunCounts::Load(totals) => {
            table::load_counts(&LoadReport { totals, end: run_end(end, &errors) })
        }
        RunCounts::Check(totals) => {
            let facts = facts(end);
            let end = CheckEnd { run: run_end(end, &errors), not_checked: &[], sample: end.sample };
            table::check_counts(&CheckReport { run: &facts, totals, end })
        }
    };
    // The ledger itself is not in a report, but the generation of its rows is.
    let has_ledger = end.generation.is_some();
    let cells = table.cells().filter(|(label, ..)| !(has_ledger && *label == "ledger"));
    cells
        .map(|(label, figure, remark)| (label.to_owned(), figure.to_owned(), remark.to_owned()))
        .collect()
}

/// Returns the error that ended the run. Of its kind, only the interruption matters here.
fn errors(end: &SummaryLine) -> Vec<Error> {
    let error = end.error.iter().map(|error| {
        let interrupted: &str = ErrorKind::Interrupted.into();
        let kind =
            if error.code == interrupted { ErrorKind::Interrupted } else { ErrorKind::Usage };
        Error::new(kind, error.message.clone())
    });
    error.collect()
}

fn run_end<'a>(end: &SummaryLine, errors: &'a [Error]) -> RunEnd<'a> {
    RunEnd {
        skipped_keys: end.skipped_keys,
        is_listing_complete: end.listing_complete,
        elapsed: Duration::try_from_secs_f64(end.seconds).unwrap_or_default(),
        exit_code: end.exit_code,
        errors,
        did_begin: true,
        ..RunEnd::default()
    }
}

/// The counts of a check need no fact about the run.
fn facts(end: &SummaryLine) -> RunFacts {
    RunFacts {
        run_id: end.run_id.clone(),
        table: end.table.clone(),
        server: None,
        sources: Vec::new(),
        keys_from: None,
        started_at: jiff::Timestamp::UNIX_EPOCH,
        settings: std::collections::BTreeMap::new(),
        job: end.job_name.clone(),
    }
}
