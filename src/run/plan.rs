//! `s3-to-mysql plan`: the same listing and preflight, then what would be loaded, touching nothing.

use std::io::Write;
use std::sync::Arc;

use indicatif::HumanBytes;

use super::Ended;
use super::prepare::{Prepared, prepare};
use crate::config::{Config, key_line};
use crate::dialect::LineTerminator;
use crate::error::{Error, Kind};
use crate::exit_code;
use crate::progress::Found;
use crate::source::Listed;

/// Writes a line per object to `output` while the listing goes on, then the sums and the statement.
pub async fn plan(config: Config, output: &mut (dyn Write + Send)) -> Ended {
    let found = Arc::new(Found::default());
    let Prepared { preflight, listing, mut objects, budget, warnings, .. } = match prepare(&config, &found).await {
        Ok(prepared) => prepared,
        Err(problems) => return Ended::before_it_began(problems),
    };
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let mut errors = Vec::new();
    let (mut object_count, mut total_bytes, mut unloadable) = (0_u64, 0_u64, 0_u64);
    let written = async {
        while let Some(listed) = objects.next().await {
            match listed {
                Listed::Object(object) => {
                    object_count += 1;
                    total_bytes += object.size_bytes;
                    writeln!(output, "{:>15}  {}", object.size_bytes, key_line(&object.bucket, &object.key))?;
                    if object.size_bytes > budget.total().bytes() {
                        unloadable += 1;
                        tracing::warn!("{object}: does not fit into the staging budget of {}", budget.total());
                    }
                }
                Listed::Failed { error, .. } => {
                    unloadable += 1;
                    tracing::warn!("{}", error.one_line());
                }
            }
        }
        writeln!(output, "{object_count} objects, {total_bytes} bytes ({})", HumanBytes(total_bytes))?;
        if unloadable > 0 {
            writeln!(output, "{unloadable} of the keys can't be loaded; see the warnings")?;
        }
        // Where the ending is detected per object, LF is as good an example as CRLF.
        let lines_terminated_by: &[u8] = match &config.format.dialect.lines_terminated_by {
            LineTerminator::Exact(terminator) => terminator,
            LineTerminator::Detect => b"\n",
        };
        writeln!(output, "{};", preflight.statement.sql(lines_terminated_by))?;
        output.flush()
    }
    .await;
    if written.is_err() {
        // A page of it may be a long time coming.
        listing.abort();
    }
    match (written, listing.await) {
        // `plan | head` is no failure.
        (Err(error), _) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        (Err(error), _) => errors.push(Error::new(Kind::Usage, "standard output can't be written").caused_by(error)),
        (Ok(()), Ok(Err(error))) => errors.push(error),
        (Ok(()), Ok(Ok(_)) | Err(_)) => {}
    }
    let exit_code = match errors.first() {
        Some(error) => error.kind.exit_code(),
        None if unloadable > 0 => exit_code::OBJECTS_FAILED,
        None => exit_code::ALL_LOADED,
    };
    Ended { exit_code, output: String::new(), errors }
}
