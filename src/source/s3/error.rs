//! Maps errors of S3 and of the SDK to the program's error kinds.

use std::fmt;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::answer::BrokenAnswer;
use crate::error::{Error, ErrorKind};

/// The kind of request, because the same response has a different meaning for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `ListObjectsV2` or `HeadBucket`.
    Bucket,
    /// GetObject or HeadObject.
    Object,
    /// `PutObject` or `DeleteObject`, or HeadObject for a key that the program writes.
    Write,
}

/// Returns the messages of an error and its causes. The SDK's own `DisplayErrorContext` would add
/// their `Debug` text, which is several lines of SDK internals.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // Some errors repeat their cause in their own text.
        if !said.iter().any(|earlier| earlier.contains(&text)) {
            said.push(text);
        }
        next = error.source();
    }
    said.join(": ")
}

/// Returns the program's error for `error`, which a request for `what` met.
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

    let broken = broken_answer(error);
    let (kind, hint) = match error {
        // A size that is beyond all sense would come again.
        _ if broken.is_some_and(|broken| !matches!(broken, BrokenAnswer::TooLarge(_))) => {
            (did_not_arrive(asked), None)
        }
        SdkError::ServiceError(_) => match answer(asked, status, &code, &message) {
            Some(kind) => (kind, None),
            None => (ErrorKind::SourceProtocol, None),
        },
        // Something that a header cannot hold, for example. Retries cannot change that.
        SdkError::ConstructionFailure(_) => (ErrorKind::SourceProtocol, None),
        SdkError::TimeoutError(_) => (ErrorKind::SourceUnreachable, None),
        SdkError::DispatchFailure(failure) => {
            // In some SDK versions, only the Debug text names what failed.
            let text = format!("{} {error:?}", causes(error));
            if text.contains("credentials") && !failure.is_io() && !failure.is_timeout() {
                (ErrorKind::SourceCredentials, None)
            } else {
                (ErrorKind::SourceUnreachable, None)
            }
        }
        // The response could not be read: it was cut off, or did not come from S3.
        _ if status >= 500 => (ErrorKind::SourceBusy, None),
        _ if status == 0 => (ErrorKind::SourceUnreachable, None),
        _ => (ErrorKind::SourceProtocol, None),
    };
    let hint = hint.or_else(|| {
        (matches!(status, 301 | 307 | 400) && region.is_some()).then(|| {
            format!("the bucket is in region {0}: use --region {0}", region.unwrap_or_default())
        })
    });

    let said = match broken {
        Some(broken) if status >= 300 => format!("{status}: {}", causes(broken)),
        Some(broken) => causes(broken),
        None if code.is_empty() && message.is_empty() => causes(error),
        None if message.is_empty() => format!("{status} {code}"),
        None => format!("{status} {code}: {message}"),
    };
    let headline = match error {
        SdkError::ConstructionFailure(_) => "the request cannot be made",
        _ => headline(kind),
    };
    let classified =
        Error::new(kind, format!("{what}: {headline}")).caused_by(anyhow::anyhow!(said));
    let classified = classified.limited_by(error);
    match hint {
        Some(hint) => classified.with_hint(hint),
        None => classified,
    }
}

/// Returns the reason why the answer was given up, if it was.
fn broken_answer<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a BrokenAnswer> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(broken) = error.downcast_ref() {
            return Some(broken);
        }
        next = error.source();
    }
    None
}

/// Returns the kind of an answer that did not arrive whole. All of these are retried.
fn did_not_arrive(asked: Asked) -> ErrorKind {
    match asked {
        Asked::Bucket => ErrorKind::ListingBroken,
        Asked::Object => ErrorKind::BodyBroken,
        Asked::Write => ErrorKind::SourceBusy,
    }
}

/// Returns the kind of an S3 error response. The code takes precedence, because some stores send
/// the right code with an odd status.
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
        // The body was damaged on the way.
        "BadDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch" if asked == Asked::Write => {
            ErrorKind::SourceBusy
        }
        // Another client writes the same key.
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
            // Not implemented: a retry cannot change that.
            (501, _) => return None,
            (500.., _) => ErrorKind::SourceBusy,
            (400..500, Asked::Write) => ErrorKind::RejectsUnwritable,
            _ => return None,
        },
    })
}

fn headline(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::SourceUnreachable => "S3 cannot be reached",
        ErrorKind::SourceBusy => "S3 is busy and asks for a retry",
        ErrorKind::SourceCredentials => "the S3 credentials were refused, or none were found",
        ErrorKind::BucketMissing => "the bucket does not exist at this endpoint and region",
        ErrorKind::ListingDenied => "listing the bucket is denied",
        ErrorKind::ListingBroken => {
            "a page of the listing did not arrive whole, and nothing was decided from it"
        }
        ErrorKind::BodyBroken => "the answer did not arrive whole",
        ErrorKind::ObjectMissing => "the object does not exist",
        ErrorKind::ObjectDenied => "reading the object is denied",
        ErrorKind::ObjectArchived => "the object is archived",
        ErrorKind::ObjectEncrypted => {
            "the object is encrypted with a key that the credentials may not use"
        }
        ErrorKind::RejectsUnwritable => "the store refuses the write",
        ErrorKind::ObjectChanged => "the object was overwritten after it was listed",
        _ => "the response is not a valid S3 response",
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
    fn throttling_is_recognized_under_every_status() {
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
