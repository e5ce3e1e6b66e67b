//! S3's and the SDK's errors, folded into our kinds.

use std::fmt;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::{Error, ErrorKind};

/// What was being asked, because the same answer means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `ListObjectsV2` or `HeadBucket`.
    Bucket,
    /// GetObject or HeadObject.
    Object,
    /// `PutObject` or `DeleteObject`, or HeadObject of what one of them wrote.
    Write,
}

/// What an error and its causes say. The SDK's own `DisplayErrorContext` adds their `Debug` text,
/// which is several lines of its inner workings.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // Some repeat their cause in their own text.
        if !said.iter().any(|earlier| earlier.contains(&text)) {
            said.push(text);
        }
        next = error.source();
    }
    said.join(": ")
}

/// Our error for `error`, which happened while asking for `what`.
pub(super) fn classify<E>(
    asked: Asked,
    what: &dyn fmt::Display,
    error: &SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let code = error.code().unwrap_or_default().to_owned();
    let message = error.message().unwrap_or_default().to_owned();
    let region = error
        .raw_response()
        .and_then(|response| response.headers().get("x-amz-bucket-region"))
        .map(str::to_owned);

    let (kind, hint) = match error {
        SdkError::ServiceError(_) => match answer(asked, status, &code, &message) {
            Some(kind) => (kind, None),
            None => (ErrorKind::SourceProtocol, None),
        },
        SdkError::ConstructionFailure(_) => (ErrorKind::SourceCredentials, None),
        SdkError::TimeoutError(_) => (ErrorKind::SourceUnreachable, None),
        SdkError::DispatchFailure(failure) => {
            // What failed is told by its Debug text alone in some versions.
            let text = format!("{} {error:?}", causes(error));
            if text.contains("credentials") && !failure.is_io() && !failure.is_timeout() {
                (ErrorKind::SourceCredentials, None)
            } else {
                (ErrorKind::SourceUnreachable, None)
            }
        }
        // An answer that could not be read: cut off, or not S3 at all.
        _ if status >= 500 => (ErrorKind::SourceBusy, None),
        _ if status == 0 => (ErrorKind::SourceUnreachable, None),
        _ => (ErrorKind::SourceProtocol, None),
    };
    let hint = hint.or_else(|| {
        (matches!(status, 301 | 307 | 400) && region.is_some()).then(|| {
            format!("the bucket is in region {0}: use --region {0}", region.unwrap_or_default())
        })
    });

    let said = if code.is_empty() && message.is_empty() {
        causes(error)
    } else {
        format!("{status} {code}: {message}")
    };
    let folded =
        Error::new(kind, format!("{what}: {}", headline(kind))).caused_by(anyhow::anyhow!(said));
    match hint {
        Some(hint) => folded.with_hint(hint),
        None => folded,
    }
}

/// The kind of an S3 error answer, by its code first: some stores give the right code with an odd
/// status.
fn answer(asked: Asked, status: u16, code: &str, message: &str) -> Option<ErrorKind> {
    Some(match code {
        "NoSuchBucket" => ErrorKind::BucketMissing,
        "NoSuchKey" | "NoSuchVersion" => ErrorKind::ObjectMissing,
        "PreconditionFailed" => ErrorKind::ObjectChanged,
        "InvalidObjectState" => ErrorKind::ObjectArchived,
        "SlowDown"
        | "InternalError"
        | "ServiceUnavailable"
        | "RequestTimeout"
        | "Throttling"
        | "RequestLimitExceeded"
        | "TooManyRequests" => ErrorKind::SourceBusy,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "RequestTimeTooSkewed"
        | "AuthorizationHeaderMalformed" => ErrorKind::SourceCredentials,
        _ if code.starts_with("KMS.") || (status == 403 && message.contains("kms:Decrypt")) => {
            ErrorKind::ObjectEncrypted
        }
        "PermanentRedirect" | "TemporaryRedirect" => ErrorKind::BucketMissing,
        // The body did not arrive as it was sent.
        "BadDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch" if asked == Asked::Write => {
            ErrorKind::SourceBusy
        }
        // Another writer of the same key.
        "OperationAborted" | "ConditionalRequestConflict" if asked == Asked::Write => {
            ErrorKind::SourceBusy
        }
        _ => match (status, asked) {
            (404, Asked::Bucket) => ErrorKind::BucketMissing,
            (404, Asked::Object) => ErrorKind::ObjectMissing,
            (401 | 403, Asked::Bucket) => ErrorKind::ListingDenied,
            (401 | 403, Asked::Object) => ErrorKind::ObjectDenied,
            (404, Asked::Write) => ErrorKind::ObjectMissing,
            (412, _) => ErrorKind::ObjectChanged,
            (301 | 307, _) => ErrorKind::BucketMissing,
            (408 | 429, _) => ErrorKind::SourceBusy,
            // Not implemented: asking again won't change that.
            (501, _) => return None,
            (500.., _) => ErrorKind::SourceBusy,
            (400..500, Asked::Write) => ErrorKind::RejectsUnwritable,
            _ => return None,
        },
    })
}

fn headline(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::SourceUnreachable => "S3 can't be reached",
        ErrorKind::SourceBusy => "S3 asks for another try",
        ErrorKind::SourceCredentials => "the S3 credentials were refused, or there are none",
        ErrorKind::BucketMissing => "there is no such bucket at this endpoint and region",
        ErrorKind::ListingDenied => "listing the bucket is denied",
        ErrorKind::ObjectMissing => "there is no such object",
        ErrorKind::ObjectDenied => "reading the object is denied",
        ErrorKind::ObjectArchived => "the object is archived",
        ErrorKind::ObjectEncrypted => {
            "the object is encrypted with a key that the credentials may not use"
        }
        ErrorKind::RejectsUnwritable => "the store does not take it",
        ErrorKind::ObjectChanged => "the object was overwritten after it was listed",
        _ => "the answer is not one of S3's",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_status_means_different_things_for_a_bucket_and_an_object() {
        assert_eq!(answer(Asked::Bucket, 403, "AccessDenied", ""), Some(ErrorKind::ListingDenied));
        assert_eq!(answer(Asked::Object, 403, "AccessDenied", ""), Some(ErrorKind::ObjectDenied));
        assert_eq!(answer(Asked::Object, 404, "", ""), Some(ErrorKind::ObjectMissing));
        assert_eq!(answer(Asked::Bucket, 404, "", ""), Some(ErrorKind::BucketMissing));
    }

    #[test]
    fn a_store_that_does_not_let_write_is_not_said_to_deny_reading() {
        assert_eq!(
            answer(Asked::Write, 403, "AccessDenied", ""),
            Some(ErrorKind::RejectsUnwritable)
        );
        assert_eq!(
            answer(Asked::Write, 400, "EntityTooLarge", ""),
            Some(ErrorKind::RejectsUnwritable)
        );
        assert_eq!(
            answer(Asked::Write, 403, "SignatureDoesNotMatch", ""),
            Some(ErrorKind::SourceCredentials)
        );
    }

    #[test]
    fn a_body_that_arrived_damaged_is_sent_again() {
        assert_eq!(answer(Asked::Write, 400, "BadDigest", ""), Some(ErrorKind::SourceBusy));
        assert_eq!(answer(Asked::Object, 400, "BadDigest", ""), None);
    }

    #[test]
    fn a_missing_bucket_is_known_by_its_code_also_when_an_object_was_asked_for() {
        assert_eq!(answer(Asked::Object, 404, "NoSuchBucket", ""), Some(ErrorKind::BucketMissing));
    }

    #[test]
    fn a_kms_denial_is_not_taken_for_a_missing_s3_right() {
        let message = "User is not authorized to perform: kms:Decrypt on resource";
        assert_eq!(
            answer(Asked::Object, 403, "AccessDenied", message),
            Some(ErrorKind::ObjectEncrypted)
        );
    }

    #[test]
    fn what_a_store_does_not_implement_is_not_asked_again() {
        assert_eq!(answer(Asked::Object, 501, "NotImplemented", ""), None);
    }

    #[test]
    fn throttling_is_recognised_under_every_status() {
        for (status, code) in [
            (503, "SlowDown"),
            (503, ""),
            (429, ""),
            (500, "InternalError"),
            (400, "RequestTimeout"),
        ] {
            assert_eq!(
                answer(Asked::Object, status, code, ""),
                Some(ErrorKind::SourceBusy),
                "{status} {code}"
            );
        }
    }
}
