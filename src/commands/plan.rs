//! The command `s3-to-mysql plan`: does the listing, the preflight and the comparison with the
//! ledger like a load, then shows what would be loaded. It changes nothing.

use std::io::Write;
use std::sync::Arc;

use indicatif::HumanBytes;
use tokio_util::sync::CancellationToken;

use super::outcome::RunResult;
use super::startup::{look_into_ledger, prepare};
use crate::config::Config;
use crate::dialect::LineTerminator;
use crate::error::{Error, ErrorKind};
use crate::exit_code::{self, End};
use crate::ledger::ObjectState;
use crate::pipeline::{Decision, Disposition, Prepared, decide, split_object};
use crate::policy::Mode;
use crate::printable::printable;
use crate::progress::ListingProgress;
use crate::s3_uri::key_line;
use crate::source::Listed;

/// The errors that end a plan early.
enum Broken {
    Output(std::io::Error),
    Ledger(Error),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Ledger(error)
    }
}

/// Writes a line for each object to `output` during the listing, then the sums and the statement.
pub async fn plan(config: Config, output: &mut (dyn Write + Send)) -> RunResult {
    let options = config.pipeline();
    let found = Arc::new(ListingProgress::default());
    let mut prepared = match prepare(&config, &found, &CancellationToken::new()).await {
        Ok(prepared) => prepared,
        Err(problems) => return RunResult::before_it_began(problems),
    };
    for warning in &prepared.warnings {
        tracing::warn!("{warning}");
    }
    // A truncate or a swap begins a new generation, in which nothing is loaded yet.
    let ledger = match config.load.mode {
        Mode::Append => look_into_ledger(&config, &mut prepared).await,
        Mode::Truncate | Mode::Swap => Ok(None),
    };
    let Prepared { preflight, listing, mut objects, budget, .. } = prepared;
    let ledger = match ledger {
        Ok(ledger) => ledger,
        Err(error) => {
            listing.abort();
            return RunResult::before_it_began(vec![error]);
        }
    };
    let mut errors = Vec::new();
    let (mut object_count, mut total_bytes, mut unloadable) = (0_u64, 0_u128, 0_u64);
    let (mut already_loaded, mut skipped_changed) = (0_u64, 0_u64);
    let written = async {
        loop {
            let listed = objects.next_page().await;
            if listed.is_empty() {
                break;
            }
            let mut page = Vec::new();
            for listed in listed {
                match listed {
                    Listed::Object(object) => page.push(object),
                    Listed::Failed { error, .. } => {
                        unloadable += 1;
                        tracing::warn!("{}", error.one_line());
                    }
                }
            }
            let known = match &ledger {
                Some((ledger, generation)) => ledger.look_up(*generation, &page).await?,
                None => vec![ObjectState::default(); page.len()],
            };
            for (object, known) in page.into_iter().zip(known) {
                match decide(&config.ledger, &object, &known) {
                    Decision::Load { .. } => {}
                    Decision::Over(Disposition::AlreadyLoaded) => {
                        already_loaded += 1;
                        continue;
                    }
                    Decision::Over(Disposition::SkippedChanged) => {
                        skipped_changed += 1;
                        continue;
                    }
                    Decision::Over(Disposition::Failed(error)) => {
                        unloadable += 1;
                        tracing::warn!("{}", error.one_line());
                        continue;
                    }
                }
                object_count += 1;
                total_bytes += u128::from(object.size_bytes);
                writeln!(
                    output,
                    "{:>15}  {}",
                    object.size_bytes,
                    key_line(&object.bucket, &object.key)
                )?;
                let is_split = split_object::is_large(
                    &options,
                    &budget,
                    config.ledger.table.is_some(),
                    object.size_bytes,
                );
                if object.size_bytes > budget.total().bytes() && !is_split {
                    unloadable += 1;
                    tracing::warn!(
                        "{object}: does not fit into the staging budget of {}",
                        budget.total()
                    );
                }
            }
        }
        if already_loaded > 0 {
            writeln!(output, "{already_loaded} objects are already loaded")?;
        }
        if skipped_changed > 0 {
            writeln!(
                output,
                "{skipped_changed} objects have changed since they were loaded, and are skipped"
            )?;
        }
        writeln!(
            output,
            "{object_count} objects, {total_bytes} bytes ({})",
            HumanBytes(u64::try_from(total_bytes).unwrap_or(u64::MAX))
        )?;
        if unloadable > 0 {
            writeln!(output, "{unloadable} of the keys cannot be loaded; see the warnings")?;
        }
        for remark in preflight.values.remarks() {
            writeln!(output, "{}", printable(&remark))?;
        }
        // If the line terminator is detected for each object, show LF as an example.
        let lines_terminated_by: &[u8] = match &config.format.dialect.lines_terminated_by {
            LineTerminator::Exact(terminator) => terminator,
            LineTerminator::Detect => b"\n",
        };
        writeln!(output, "{};", preflight.statement.sql(lines_terminated_by))?;
        output.flush()?;
        Ok(())
    }
    .await;
    if let Some((ledger, _)) = &ledger {
        ledger.close().await;
    }
    if written.is_err() {
        // Its next page may take a long time.
        listing.abort();
    }
    match (written, listing.await) {
        // `plan | head` is not a failure.
        (Err(Broken::Output(error)), _) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        (Err(Broken::Output(error)), _) => {
            errors.push(
                Error::new(ErrorKind::Usage, "standard output cannot be written").caused_by(error),
            );
        }
        (Err(Broken::Ledger(error)), _) => errors.push(error),
        (Ok(()), Ok(Err(error))) => errors.push(error),
        (Ok(()), Ok(Ok(_)) | Err(_)) => {}
    }
    let exit_code = exit_code::decide(End::Run {
        signal: None,
        errors: &errors,
        is_complete: unloadable == 0,
        rows_rejected: 0,
    });
    RunResult { exit_code, output: String::new(), errors }
}
