//! The verdict of `status --check`, in the form that monitoring systems such as Nagios expect: one
//! line, and 0, 1 or 2 as the exit code.

use std::time::Duration;

use strum::Display;

use super::super::outcome::RunResult;
use super::answer::{StatusAnswer, shown_age};
use crate::error::{Error, Result};
use crate::exit_code::{self, End};
use crate::ledger::{RunState, Status};
use crate::sql_text::TableName;

/// The verdict, from good to bad.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, PartialOrd, Ord)]
#[strum(serialize_all = "UPPERCASE")]
enum Level {
    Ok,
    Warning,
    Critical,
}

/// Returns the line and the exit code. An answer that could not be had is critical.
pub(super) fn verdict(answer: &Result<StatusAnswer>, max_age: Option<Duration>) -> RunResult {
    let (level, what) = match answer {
        Err(error) => (Level::Critical, vec![error.one_line()]),
        Ok(StatusAnswer::NoLedger { target, .. }) => {
            (Level::Critical, vec![format!("nothing was ever loaded into {target}")])
        }
        Ok(StatusAnswer::Status(status)) => assess(status, max_age),
    };
    ended(level, &what)
}

/// Returns the verdict on all tables of a ledger, of which the gravest counts. Tables that are fine
/// are only counted.
pub(super) fn verdict_of_all(
    tables: std::result::Result<(&TableName, &[Status]), &Error>,
    max_age: Option<Duration>,
) -> RunResult {
    let tables = match tables {
        Ok((ledger, [])) => {
            let what = format!("nothing was ever loaded with the ledger {ledger}");
            return ended(Level::Critical, &[what]);
        }
        Ok((_, tables)) => tables,
        Err(error) => return ended(Level::Critical, &[error.one_line()]),
    };
    let mut assessed: Vec<(Level, String)> = tables
        .iter()
        .map(|status| {
            let (level, what) = assess(status, max_age);
            (level, format!("{}: {}", status.target, what.join(", ")))
        })
        .collect();
    assessed.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    let level = assessed.first().map_or(Level::Ok, |(level, _)| *level);
    let fine = assessed.iter().filter(|(level, _)| *level == Level::Ok).count();
    let mut what: Vec<String> = assessed
        .into_iter()
        .filter(|(level, _)| *level != Level::Ok)
        .map(|(_, text)| text)
        .collect();
    what.push(format!("{fine} of {} tables are fine", tables.len()));
    ended(level, &what)
}

fn ended(level: Level, what: &[String]) -> RunResult {
    let exit_code = exit_code::decide(End::Health(match level {
        Level::Ok => exit_code::HEALTH_OK,
        Level::Warning => exit_code::HEALTH_WARNING,
        Level::Critical => exit_code::HEALTH_CRITICAL,
    }));
    let output = format!("{level}: {}\n", what.join("; "));
    RunResult { exit_code, output, ..RunResult::default() }
}

/// Returns the level, and what to say, with the gravest first.
fn assess(status: &Status, max_age: Option<Duration>) -> (Level, Vec<String>) {
    let mut found: Vec<(Level, String)> = Vec::new();
    let age = status.last_success_age_seconds.map(Duration::from_secs);
    match (age, max_age) {
        (None, _) => {
            found.push((Level::Critical, "no run has loaded everything yet".to_owned()));
        }
        (Some(age), Some(max)) if age > max => {
            let text = format!("the last success was {} ago", shown_age(age));
            found.push((Level::Critical, text));
        }
        (Some(age), _) => found.push((Level::Ok, format!("last success {} ago", shown_age(age)))),
    }
    let mut ended = status.runs.iter().filter(|run| run.state != RunState::Running);
    match ended.next().map(|run| (run.state, run.exit_code, &run.worker)) {
        Some((RunState::Died, _, worker)) => {
            found.push((Level::Critical, format!("the last run died, on {worker}")));
        }
        Some((_, Some(code), _)) => match level_of(code) {
            Level::Ok => {}
            level => found.push((level, format!("the last run ended with {code}"))),
        },
        _ => {}
    }
    let failed = status.objects_failed;
    let level = if failed > 0 { Level::Warning } else { Level::Ok };
    let plural = if failed == 1 { "object" } else { "objects" };
    let since = match status.oldest_failure_at.as_deref().and_then(|time| time.get(..10)) {
        Some(day) if failed > 0 => format!(", the oldest since {day}"),
        _ => String::new(),
    };
    found.push((level, format!("{failed} {plural} failed{since}")));
    found.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    let level = found.first().map_or(Level::Ok, |(level, _)| *level);
    (level, found.into_iter().map(|(_, text)| text).collect())
}

/// Returns the level of a run that ended with this code.
fn level_of(code: u64) -> Level {
    let is = |of: u8| code == u64::from(of);
    if is(exit_code::ALL_LOADED) {
        Level::Ok
    } else if [exit_code::OBJECTS_FAILED, exit_code::NOTHING_MATCHED, exit_code::ROWS_REJECTED]
        .into_iter()
        .any(is)
    {
        Level::Warning
    } else {
        Level::Critical
    }
}
