//! The limits on answers that are read into memory, and the check that a listing is whole.
//!
//! The SDK reads the body of every answer but an object's content into memory, without a limit in
//! size or time. [`AnswerLimits`] sets both. An object's content has its own limits, where it is
//! read.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::document::{Damage, check_whole};
use crate::units::ByteSize;

/// The size limit of an answer: a page of a listing has at most 1,000 keys of 1,024 bytes, which
/// take 3 KiB each when encoded.
const ANSWER_BYTES: usize = 32 << 20;
/// The size limit of an error. S3's own are below a KiB; a proxy may send a page of HTML.
const ERROR_BYTES: usize = 1 << 20;
/// The time in which an answer must arrive, in stall timeouts. It ends answers that send a byte
/// before each stall timeout.
const STALL_TIMEOUTS: u32 = 5;

/// The reason why an answer was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenAnswer {
    #[error("the answer stalled: no byte of it arrived for {0:?}")]
    Stalled(Duration),
    #[error("the answer is too slow: it did not arrive within {0:?}")]
    Slow(Duration),
    #[error("the answer is larger than {}", ByteSize::from_bytes(*.0 as u64))]
    TooLarge(usize),
    #[error("the answer broke off")]
    CutOff(#[source] BoxError),
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Applies the limits to every answer of a client.
#[derive(Debug)]
pub(super) struct AnswerLimits {
    pub(super) stall_timeout: Duration,
}

impl Intercept for AnswerLimits {
    fn name(&self) -> &'static str {
        "AnswerLimits"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let is_success = response.status().is_success();
        if is_success && operation(config) == "GetObject" {
            return Ok(());
        }
        let limit_bytes = if is_success { ANSWER_BYTES } else { ERROR_BYTES };
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        let limited = LimitedBody(Box::pin(limited(body, limit_bytes, self.stall_timeout)));
        *response.body_mut() = SdkBody::from_body_1_x(limited);
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        // There are no bytes if they could not be read, which is an error already.
        if operation(config) == "ListObjectsV2"
            && response.status().is_success()
            && let Some(body) = response.body().bytes()
        {
            check_whole(body).map_err(BrokenAnswer::from)?;
        }
        Ok(())
    }
}

fn operation(config: &ConfigBag) -> &str {
    config.load::<Metadata>().map_or("", Metadata::name)
}

/// Returns the bytes of a body. The stream ends with an error where a limit is reached.
fn limited(
    body: SdkBody,
    limit_bytes: usize,
    stall_timeout: Duration,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + Sync {
    let time = stall_timeout.saturating_mul(STALL_TIMEOUTS);
    let deadline = Instant::now() + time;
    stream::unfold(Some((ByteStream::new(body), limit_bytes)), move |state| async move {
        let (mut body, left_bytes) = state?;
        let stalled_at = Instant::now() + stall_timeout;
        let broken = match tokio::time::timeout_at(stalled_at.min(deadline), body.next()).await {
            Ok(None) => return None,
            Ok(Some(Ok(chunk))) => match left_bytes.checked_sub(chunk.len()) {
                Some(left_bytes) => return Some((Ok(chunk), Some((body, left_bytes)))),
                None => BrokenAnswer::TooLarge(limit_bytes),
            },
            Ok(Some(Err(error))) => BrokenAnswer::CutOff(error.into()),
            Err(_) if stalled_at < deadline => BrokenAnswer::Stalled(stall_timeout),
            Err(_) => BrokenAnswer::Slow(time),
        };
        Some((Err(broken.into()), None))
    })
    // A body is asked once more after its end, for trailers.
    .fuse()
}

struct LimitedBody(Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send + Sync>>);

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll_next(cx).map_ok(Frame::data)
    }
}
