//! The command `s3-to-mysql status`: shows the state of a table in the ledger, as text for people,
//! as one JSON document, or as a verdict for monitoring.

mod answer;
mod comparison;
mod document;
mod health;
mod overview;
mod text;

use tokio_util::sync::CancellationToken;

use super::outcome::RunResult;
use super::waiting::Waiting;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::LedgerAdmin;
use crate::retry::Attempts;
use crate::s3_uri::SourceUri;
pub use answer::StatusForm;
pub(crate) use answer::is_tried_again;
use answer::{NAMED, StatusAnswer};

/// Reads the ledger, without changing anything. Shows all tables of the ledger if none is named.
/// Compares the objects that are loaded with those of `sources`, if any are given.
pub async fn status(mut config: Config, form: StatusForm, sources: Vec<SourceUri>) -> RunResult {
    config.source.uris.clone_from(&sources);
    let waiting = Waiting::new(config.wait);
    if let Err(problems) = waiting.until_ready(&config, &CancellationToken::new()).await {
        // A verdict says itself that the server does not answer.
        if !matches!(form, StatusForm::Check { .. }) {
            return RunResult::before_it_began(problems);
        }
    }
    if config.target.table.table.is_empty() {
        if sources.is_empty() {
            return overview::status_of_all(&config, form).await;
        }
        let error = Error::new(ErrorKind::Usage, "the table to compare with the source is missing")
            .with_hint("give --table TABLE or --table DATABASE.TABLE");
        return RunResult::of_ledger_failed(error);
    }
    let failures_listed = if form == StatusForm::Json { u64::MAX } else { NAMED as u64 };
    let mut attempts = Attempts::new(&config.retry);
    let answer = loop {
        match ask(&config, failures_listed).await {
            Ok(answer) => break Ok(answer),
            Err(error) if is_tried_again(&mut attempts, &error).await => {}
            Err(error) => break Err(error),
        }
    };
    let compared = match (&answer, sources.is_empty()) {
        (Ok(StatusAnswer::Status(status)), false) => {
            comparison::compare(&config, sources, status.table.generation).await.map(Some)
        }
        _ => Ok(None),
    };
    let compared = match compared {
        Ok(compared) => compared,
        Err(error) => return RunResult::of_ledger_failed(error),
    };
    match (form, answer) {
        (StatusForm::Check { max_age }, answer) => health::verdict(&answer, max_age),
        (_, Err(error)) => RunResult::of_ledger_failed(error),
        (StatusForm::Json, Ok(answer)) => {
            RunResult::of_ledger(document::of_table(&answer, compared.as_ref()))
        }
        (StatusForm::Text { has_details }, Ok(answer)) => {
            RunResult::of_ledger(text::text(&answer, compared.as_ref(), has_details))
        }
    }
}

async fn ask(config: &Config, failures_listed: u64) -> Result<StatusAnswer> {
    let mut records = LedgerAdmin::open(&config.ledger_admin()).await?;
    if !records.is_there() {
        let answer =
            StatusAnswer::NoLedger { target: records.target().name(), ledger: records.ledger() };
        let missing = records.missing_target().await;
        records.close().await;
        return missing.map_or(Ok(answer), Err);
    }
    match records.status(failures_listed).await {
        Ok(status) => {
            // The ledger may know a table that has been dropped since.
            let missing = match &status.job {
                None => records.missing_target().await,
                Some(_) => None,
            };
            records.close().await;
            missing.map_or_else(|| Ok(StatusAnswer::Status(Box::new(status))), Err)
        }
        Err(error) => {
            records.destroy().await;
            Err(error)
        }
    }
}
