//! Asks for objects as they are stored.
//!
//! Some stores (Google Cloud Storage, Cloudflare R2) unpack an object whose `Content-Encoding` is
//! gzip while they send it, unless the request accepts gzip. Its length, and on some its `ETag`,
//! would then differ from the listed ones. We unpack objects ourselves.

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;

/// Adds `Accept-Encoding: gzip` to the requests for objects, after they are signed: Google Cloud
/// Storage changes the header on its way, and a signature over it would no longer match.
#[derive(Debug)]
pub(super) struct AsStored;

impl Intercept for AsStored {
    fn name(&self) -> &'static str {
        "AsStored"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // An answer of another kind, such as a listing, must not come packed.
        let operation = config.load::<Metadata>().map_or("", Metadata::name);
        if !matches!(operation, "GetObject" | "HeadObject") {
            return Ok(());
        }
        context.request_mut().headers_mut().insert("accept-encoding", "gzip");
        Ok(())
    }
}
