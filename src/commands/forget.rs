//! The command `s3-to-mysql forget`: shows what the ledger would forget, then removes it.

use std::io::Write;

use indicatif::HumanBytes;

use super::outcome::RunResult;
use super::status::is_tried_again;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Forgotten, LedgerAdmin, Removed};
use crate::object::shown_uri;
use crate::report::counted;
use crate::retry::Attempts;
use crate::s3_uri::SourceUri;

/// Writes to `output` what will be forgotten and, if `yes`, forgets it. If the output cannot be
/// written, nothing is forgotten.
pub async fn forget(config: Config, yes: bool, output: &mut (dyn Write + Send)) -> RunResult {
    let mut attempts = Attempts::new(&config.retry);
    let mut progress = ForgetTotals::default();
    loop {
        match take(&config, yes, &mut progress, output).await {
            Ok(()) => break,
            Err(error) if is_tried_again(&mut attempts, &error).await => {}
            Err(error) => {
                let mut ended = RunResult::of_ledger_failed(error);
                if progress.removed != Removed::default() {
                    // These removals are committed, despite the later error.
                    ended.output = count_line("forgotten before the error", &progress.removed.sums);
                    ended.output.push_str(&unanswered(&progress.removed, "possibly removed"));
                }
                return ended;
            }
        }
    }
    if !yes {
        let error = Error::new(ErrorKind::Usage, "nothing was changed, because --yes is missing")
            .with_hint("run it again with --yes to forget this");
        return RunResult::of_ledger_failed(error);
    }
    RunResult::of_ledger(if progress.is_there {
        count_line("forgotten", &progress.removed.sums)
            + &unanswered(&progress.removed, "removed too, or counted above")
    } else {
        String::new()
    })
}

/// The progress over all attempts.
#[derive(Default)]
struct ForgetTotals {
    is_shown: bool,
    /// True if the ledger exists.
    is_there: bool,
    removed: Removed,
}

async fn take(
    config: &Config,
    yes: bool,
    progress: &mut ForgetTotals,
    output: &mut (dyn Write + Send),
) -> Result<()> {
    let mut records = LedgerAdmin::open(&config.ledger_admin()).await?;
    let taken = take_from(&mut records, &config.source.uris, yes, progress, output).await;
    match &taken {
        Ok(()) => records.close().await,
        Err(_) => records.destroy().await,
    }
    taken
}

async fn take_from(
    records: &mut LedgerAdmin,
    uris: &[SourceUri],
    yes: bool,
    progress: &mut ForgetTotals,
    output: &mut (dyn Write + Send),
) -> Result<()> {
    progress.is_there = records.is_there();
    if !progress.is_shown {
        let text = if progress.is_there {
            intention(records, uris).await?
        } else {
            format!(
                "The ledger {} does not exist, or the account cannot see its tables: \
                 there is nothing to forget.\n",
                records.ledger()
            )
        };
        output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(|error| {
            Error::new(ErrorKind::Usage, "standard output cannot be written").caused_by(error)
        })?;
        progress.is_shown = true;
    }
    if yes && progress.is_there {
        for uri in uris {
            records.forget(uri, &mut progress.removed).await?;
        }
    }
    Ok(())
}

async fn intention(records: &mut LedgerAdmin, uris: &[SourceUri]) -> Result<String> {
    let mut text = format!(
        "To be forgotten by the ledger {} of {}:\n",
        records.ledger(),
        records.target().name()
    );
    for named in uris {
        let found = records.survey(named).await?;
        let what = match named {
            SourceUri::Key { bucket, key } => shown_uri(bucket, key),
            SourceUri::Prefix { bucket, prefix } => {
                format!("{} and everything below it", shown_uri(bucket, prefix))
            }
        };
        text.push_str(&count_line(&what, &found));
    }
    text.push_str(
        "The rows stay in the table. The next run loads these objects again: \
         their rows are then in the table twice, unless a unique key prevents it.\n",
    );
    Ok(text)
}

fn count_line(what: &str, sums: &Forgotten) -> String {
    let Forgotten { objects, rows, bytes, failures, acknowledgements } = sums;
    let (objects, failures) = (counted(*objects, "ledger row"), counted(*failures, "failure"));
    // Below 1 KiB, both forms of the size would say the same.
    let size = if *bytes < 1024 {
        counted(*bytes, "byte")
    } else {
        format!("{bytes} bytes = {}", HumanBytes(*bytes))
    };
    let acknowledged = match acknowledgements {
        0 => String::new(),
        more => format!(", {}", counted(*more, "acknowledgement")),
    };
    format!("{what}: {objects} ({}, {size}), {failures}{acknowledged}\n", counted(*rows, "row"))
}

/// Returns the line about transactions whose COMMIT was not answered, or nothing if all were.
fn unanswered(removed: &Removed, fate: &str) -> String {
    if removed.unanswered == Forgotten::default() {
        return String::new();
    }
    count_line(
        &format!("in transactions whose COMMIT was not answered, {fate}"),
        &removed.unanswered,
    )
}
