//! The command `s3-to-mysql plan`: does the listing, the preflight and the comparison with the
//! ledger like a load, then shows what would be loaded. It changes nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use indicatif::HumanBytes;
use tokio_util::sync::CancellationToken;

use super::new_table;
use super::outcome::RunResult;
use super::startup::{Clients, look_into_ledger, prepare};
use super::waiting::Waiting;
use crate::config::Config;
use crate::dialect::{LineTerminator, ObjectFormat};
use crate::error::{Error, ErrorKind};
use crate::exit_code::{self, End};
use crate::ledger::{Ledger, ObjectState};
use crate::pipeline::{Decision, Disposition, ObjectStream, Prepared, decide, split_object};
use crate::policy::Mode;
use crate::preflight::Preflight;
use crate::printable::printable;
use crate::progress::ListingProgress;
use crate::report::{CreatedTable, counted};
use crate::s3_uri::key_line;
use crate::source::Listed;
use crate::staging::Budget;

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

/// The sums over the objects of a plan.
#[derive(Default)]
struct PlanTotals {
    objects: u64,
    bytes: u128,
    /// The keys that a load would fail for. Each has a warning.
    unloadable: u64,
    already_loaded: u64,
    skipped_changed: u64,
    acknowledged: u64,
    /// The number of objects by the end of their names, for names of other formats.
    other_formats: BTreeMap<&'static str, u64>,
}

/// The ends of the names of objects that are not text, whatever compression they have.
const OTHER_FORMATS: [&str; 9] =
    [".parquet", ".orc", ".avro", ".xlsx", ".xls", ".zip", ".tar", ".tgz", ".pdf"];

/// Writes a line for each object to `output` during the listing, then the sums and the statement.
/// If the table is missing and is to be created, writes only the statement that creates it.
pub async fn plan(config: Config, output: &mut (dyn Write + Send)) -> RunResult {
    let waiting = Waiting::new(config.wait);
    if let Err(problems) = waiting.until_ready(&config, &CancellationToken::new()).await {
        return RunResult::before_it_began(problems);
    }
    match new_table::guess(&config, &CancellationToken::new()).await {
        Ok(None) => {}
        Ok(Some(table)) => return write_table(&table, output),
        Err(problems) => return RunResult::before_it_began(problems),
    }
    let found = Arc::new(ListingProgress::default());
    let prepared = async {
        let clients = Clients::open(&config, &CancellationToken::new()).await?;
        prepare(&config, clients, &found).await
    };
    let mut prepared = match prepared.await {
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
    let mut sums = PlanTotals::default();
    let written = async {
        write_objects(&config, &budget, ledger.as_ref(), &mut objects, &mut sums, output).await?;
        write_sums(&sums, output)?;
        write_other_formats(&sums, config.format.object_format(), output)?;
        write_statement(&config, &preflight, output)?;
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
    let errors: Vec<Error> = match (written, listing.await) {
        (Err(Broken::Output(error)), _) => unwritten(error),
        (Err(Broken::Ledger(error)), _) | (Ok(()), Ok(Err(error))) => Some(error),
        (Ok(()), Ok(Ok(_)) | Err(_)) => None,
    }
    .into_iter()
    .collect();
    let exit_code = exit_code::decide(End::Run {
        signal: None,
        errors: &errors,
        is_complete: sums.unloadable == 0,
        rows_rejected: 0,
    });
    RunResult { exit_code, errors, ..RunResult::default() }
}

/// Writes the statement that creates the table, and nothing else: it can be run as it is.
fn write_table(table: &CreatedTable, output: &mut (dyn Write + Send)) -> RunResult {
    let written = writeln!(output, "{};", table.statement).and_then(|()| output.flush());
    let errors: Vec<Error> = written.err().and_then(unwritten).into_iter().collect();
    let exit_code = exit_code::decide(End::Run {
        signal: None,
        errors: &errors,
        is_complete: true,
        rows_rejected: 0,
    });
    RunResult { exit_code, errors, ..RunResult::default() }
}

/// Returns the error of standard output. `plan | head` is not a failure.
fn unwritten(error: std::io::Error) -> Option<Error> {
    (error.kind() != std::io::ErrorKind::BrokenPipe)
        .then(|| Error::new(ErrorKind::Usage, "standard output cannot be written").caused_by(error))
}

/// Writes a line for each object that a load would load, and adds all others to the sums.
async fn write_objects(
    config: &Config,
    budget: &Budget,
    ledger: Option<&(Ledger, u32)>,
    objects: &mut ObjectStream,
    sums: &mut PlanTotals,
    output: &mut (dyn Write + Send),
) -> Result<(), Broken> {
    let options = config.pipeline();
    loop {
        let listed = objects.next_page().await;
        if listed.is_empty() {
            return Ok(());
        }
        let mut page = Vec::new();
        for listed in listed {
            match listed {
                Listed::Object(object) => page.push(object),
                Listed::Failed { error, .. } => sums.add_unloadable(&error.one_line()),
            }
        }
        let known = match ledger {
            Some((ledger, generation)) => ledger.look_up(*generation, &page).await?,
            None => vec![ObjectState::default(); page.len()],
        };
        for (object, known) in page.into_iter().zip(known) {
            match decide(&config.ledger, &object, &known) {
                Decision::Load { .. } => {}
                Decision::Over(disposition) => {
                    sums.add_left_out(disposition);
                    continue;
                }
            }
            sums.objects += 1;
            sums.bytes += u128::from(object.size_bytes);
            let line = key_line(&object.bucket, &object.key);
            writeln!(output, "{:>15}  {line}", object.size_bytes)?;
            if let Some(end) = other_format(&object.key) {
                *sums.other_formats.entry(end).or_default() += 1;
            }
            let has_ledger = config.ledger.table.is_some();
            let is_split = split_object::is_large(&options, budget, has_ledger, object.size_bytes);
            if object.size_bytes > budget.total().bytes() && !is_split {
                sums.add_unloadable(&format!(
                    "{object}: does not fit into the staging budget of {}",
                    budget.total()
                ));
            }
        }
    }
}

/// Returns the end of the name if it is one of [`OTHER_FORMATS`].
fn other_format(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    OTHER_FORMATS.into_iter().find(|end| key.ends_with(end))
}

impl PlanTotals {
    fn add_unloadable(&mut self, why: &str) {
        self.unloadable += 1;
        tracing::warn!("{why}");
    }

    fn add_left_out(&mut self, disposition: Disposition) {
        match disposition {
            Disposition::AlreadyLoaded => self.already_loaded += 1,
            Disposition::SkippedChanged => self.skipped_changed += 1,
            Disposition::Acknowledged => self.acknowledged += 1,
            Disposition::Failed(error) => self.add_unloadable(&error.one_line()),
        }
    }
}

fn write_sums(sums: &PlanTotals, output: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let &PlanTotals { objects, bytes, unloadable, already_loaded, .. } = sums;
    let &PlanTotals { skipped_changed, acknowledged, .. } = sums;
    if already_loaded > 0 {
        writeln!(output, "{} already loaded", counted(already_loaded, "object"))?;
    }
    if skipped_changed > 0 {
        let skipped = counted(skipped_changed, "object");
        writeln!(output, "{skipped} skipped: changed since the load")?;
    }
    if acknowledged > 0 {
        let skipped = counted(acknowledged, "failed object");
        writeln!(output, "{skipped} skipped: acknowledged")?;
    }
    let human = HumanBytes(u64::try_from(bytes).unwrap_or(u64::MAX));
    writeln!(output, "{}, {bytes} bytes ({human})", counted(objects, "object"))?;
    if unloadable > 0 {
        writeln!(output, "{} cannot be loaded; see the warnings", counted(unloadable, "key"))?;
    }
    Ok(())
}

/// Names the objects whose names say that they are not what a load reads. A plan reads no object,
/// and a load goes by the content.
fn write_other_formats(
    sums: &PlanTotals,
    format: ObjectFormat,
    output: &mut (dyn Write + Send),
) -> std::io::Result<()> {
    if !matches!(format, ObjectFormat::Delimited | ObjectFormat::Jsonl | ObjectFormat::Json) {
        return Ok(());
    }
    for (end, count) in &sums.other_formats {
        writeln!(
            output,
            "{}: the name ends in {end}, but a load reads text ({format}) and fails objects that \
             are not; --exclude '*{end}' leaves them out",
            counted(*count, "object")
        )?;
    }
    Ok(())
}

/// Writes what the rules for values remark, and the statement of the load.
fn write_statement(
    config: &Config,
    preflight: &Preflight,
    output: &mut (dyn Write + Send),
) -> std::io::Result<()> {
    for remark in preflight.layout.values.remarks() {
        writeln!(output, "{}", printable(&remark))?;
    }
    if config.format.names.by_name() {
        writeln!(
            output,
            "the fields of each object go to the columns that its header names; the statement for \
             a header with all columns, of which other objects have fewer or in another order:"
        )?;
    }
    // If the line terminator is detected for each object, show LF as an example.
    let lines_terminated_by: &[u8] = match &config.format.dialect.lines_terminated_by {
        LineTerminator::Exact(terminator) => terminator,
        LineTerminator::Detect => b"\n",
    };
    writeln!(output, "{};", preflight.layout.statement.sql(lines_terminated_by))?;
    output.flush()
}
