//! The command `s3-to-mysql ack`: acknowledges failures, or takes acknowledgements back.

use std::fmt::Write as _;

use super::outcome::RunResult;
use super::status::is_tried_again;
use crate::config::Config;
use crate::error::Result;
use crate::ledger::{AcknowledgedObject, LedgerAdmin};
use crate::object::shown_uri;
use crate::printable::printable;
use crate::report::counted;
use crate::retry::Attempts;

/// The number of objects that the text names.
const NAMED: usize = 10;

/// Acknowledges the failures with this reason. Without one, takes the acknowledgements back.
pub async fn ack(config: Config, reason: Option<&str>) -> RunResult {
    let mut attempts = Attempts::new(&config.retry);
    let objects = loop {
        match change(&config, reason).await {
            Ok(objects) => break objects,
            // If the answer to a COMMIT was lost, the second time changes nothing.
            Err(error) if is_tried_again(&mut attempts, &error).await => {}
            Err(error) => return RunResult::of_ledger_failed(error),
        }
    };
    RunResult::of_ledger(text(&objects, reason.is_some()))
}

async fn change(config: &Config, reason: Option<&str>) -> Result<Vec<AcknowledgedObject>> {
    let mut records = LedgerAdmin::open(&config.ledger_admin()).await?;
    let changed = match reason {
        Some(reason) => records.acknowledge(&config.source.uris, reason).await,
        None => records.take_back(&config.source.uris).await,
    };
    match &changed {
        Ok(_) => records.close().await,
        Err(_) => records.destroy().await,
    }
    changed
}

fn text(objects: &[AcknowledgedObject], is_acknowledged: bool) -> String {
    let (label, end) = if is_acknowledged {
        ("acknowledged", "acknowledged. Until they change, load skips them.")
    } else {
        ("failed again", "no longer acknowledged. The next load tries them again.")
    };
    let mut text = String::new();
    for object in objects.iter().take(NAMED) {
        let AcknowledgedObject { bucket, key, error, first_failed_at, .. } = object;
        let day = first_failed_at.split('T').next().unwrap_or_default();
        let line = format!("{label}: {}: {} since {day}", shown_uri(bucket, key), error.code);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", printable(&line));
    }
    let more = objects.len().saturating_sub(NAMED);
    if more > 0 {
        let _ = writeln!(text, "{label}: and {more} more");
    }
    let _ = writeln!(text, "{}: {end}", counted(objects.len() as u64, "object"));
    text
}
