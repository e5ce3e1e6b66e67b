//! What the program writes to S3: whole objects from files, and their deletion. One request per
//! call, as for reading.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, Length};

use super::S3;
use crate::error::{Error, ErrorKind, Result};
use crate::source::s3_error::{Asked, classify};

/// `PutObject` takes no more: 5 GiB.
pub(crate) const PUT_LIMIT_BYTES: u64 = 5 << 30;

/// An upload on a slower line than 1 Mbit/s is taken for one that stands still.
const SLOWEST_BYTES_PER_SECOND: u64 = 128 * 1024;

const READ_BUFFER_BYTES: usize = 256 * 1024;

impl S3 {
    /// `PutObject`: the whole of `file`, with the SDK's checksum. Nobody may write to the file
    /// meanwhile.
    ///
    /// If the future is dropped, or fails otherwise than by a refusal, the object may have been
    /// written or not; never a part of it.
    ///
    /// # Errors
    /// `RejectsUnwritable` where the store refuses, `BucketMissing`, `SourceBusy`,
    /// `SourceUnreachable`, and what any request can meet.
    pub(crate) async fn put_file(&self, bucket: &str, key: &str, file: &File) -> Result<()> {
        let what = format!("s3://{}/{}", bucket.escape_debug(), key.escape_debug());
        let unreadable = |error: std::io::Error| {
            Error::new(
                ErrorKind::RejectsUnwritable,
                format!("{what}: its local file can't be read"),
            )
            .caused_by(error)
        };
        // Opened anew, for a position of its own: a try that was given up may still be reading. The
        // file has no name, but Linux has one for its descriptor.
        let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(unreadable)?;
        let size_bytes = file.metadata().map_err(unreadable)?.len();
        let body = ByteStream::read_from()
            .file(tokio::fs::File::from_std(file))
            .length(Length::Exact(size_bytes))
            .buffer_size(READ_BUFFER_BYTES)
            .build()
            .await
            .map_err(|error| {
                Error::new(
                    ErrorKind::RejectsUnwritable,
                    format!("{what}: its local file can't be read"),
                )
                .caused_by(error)
            })?;

        // The read timeout runs while the body is being sent, too: it would forbid large ones. One
        // value for all, since the SDK keeps a pool of connections for each.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .disable_read_timeout()
            .build();
        let limit = self.stall_timeout + Duration::from_secs(size_bytes / SLOWEST_BYTES_PER_SECOND);
        let sent = self
            .client
            .put_object()
            .bucket(bucket)
            .key(key)
            .set_request_payer(self.request_payer.clone())
            .body(body)
            .customize()
            .config_override(Builder::new().timeout_config(timeouts))
            .send();
        match tokio::time::timeout(limit, sent).await {
            Ok(sent) => sent.map(drop).map_err(|error| classify(Asked::Write, &what, &error)),
            Err(_) => {
                let message = format!("{what}: {size_bytes} bytes were not taken within {limit:?}");
                Err(Error::new(ErrorKind::SourceBusy, message))
            }
        }
    }

    /// `DeleteObject`: a key that is not there is no error.
    pub(crate) async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        let what = format!("s3://{}/{}", bucket.escape_debug(), key.escape_debug());
        let request = self
            .client
            .delete_object()
            .bucket(bucket)
            .key(key)
            .set_request_payer(self.request_payer.clone());
        request.send().await.map(drop).map_err(|error| classify(Asked::Write, &what, &error))
    }

    /// HeadObject: whether the key is there. Without the right to list, S3 does not tell a missing
    /// key from a denied one.
    pub(crate) async fn exists(&self, bucket: &str, key: &str) -> Result<bool> {
        let what = format!("s3://{}/{}", bucket.escape_debug(), key.escape_debug());
        let request = self
            .client
            .head_object()
            .bucket(bucket)
            .key(key)
            .set_request_payer(self.request_payer.clone());
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) => match classify(Asked::Write, &what, &error) {
                missing if missing.kind == ErrorKind::ObjectMissing => Ok(false),
                error => Err(error),
            },
        }
    }

    /// Whether no key begins with `prefix`: one page of the listing, of one key.
    pub(crate) async fn is_empty(&self, bucket: &str, prefix: &str) -> Result<bool> {
        Ok(self.list_page(bucket, prefix, None, Some(1)).await?.objects.is_empty())
    }
}
