//! Pins an object before it is read in ranges.

use std::sync::Arc;

use super::options::PipelineOptions;
use crate::error::{ErrorKind, Result};
use crate::object::{Object, Stat};
use crate::retry::Attempts;
use crate::source::S3;
use crate::staging::PinnedObject;

/// The number of range requests in flight for one object.
const RANGE_WINDOW: usize = 4;

/// Asks the store for the properties of the object that a range request does not return, and pins
/// the object to what they are now.
///
/// # Errors
/// The errors of the request when no retries are left; `ObjectChanged`.
pub(crate) async fn pin(
    s3: &S3,
    object: &Object,
    options: &PipelineOptions,
) -> Result<PinnedObject> {
    let mut attempts = Attempts::new(&options.retry);
    let stat = loop {
        let error = match s3.stat(object).await {
            Ok(stat) => break stat,
            Err(error) => error,
        };
        if matches!(error.kind, ErrorKind::ObjectMissing | ErrorKind::ObjectChanged) {
            return Err(error);
        }
        if !attempts.wait_after(&error).await {
            if matches!(error.kind, ErrorKind::SourceUnreachable | ErrorKind::SourceBusy) {
                return Err(error);
            }
            // Some stores do not answer a request for the checksum. Any other problem shows when
            // the bytes are requested.
            tracing::debug!("{}; its checksum is unknown", error.one_line());
            break Stat::default();
        }
    };
    let (s3, asked) = (s3.clone(), object.clone());
    let open = Arc::new(move |from| {
        let (s3, object) = (s3.clone(), asked.clone());
        Box::pin(async move { s3.get(&object, from).await }) as _
    });
    let window = RANGE_WINDOW.min(options.staging.download_concurrency);
    PinnedObject::new(object.clone(), stat, open, options.retry.clone(), window)
}
