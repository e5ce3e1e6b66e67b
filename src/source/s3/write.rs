//! Writes to S3: uploads of whole objects from files, and deletions. As for reads, each call sends
//! one request.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, Length};

use super::S3;
use super::error::{Asked, classify};
use crate::error::{Error, ErrorKind, Result};

/// The largest object that `PutObject` accepts: 5 GiB.
pub(crate) const PUT_LIMIT_BYTES: u64 = 5 << 30;

/// An upload slower than 1 Mbit/s counts as stalled.
const SLOWEST_BYTES_PER_SECOND: u64 = 128 * 1024;

const READ_BUFFER_BYTES: usize = 256 * 1024;

impl S3 {
    /// Sends the whole of `file` with `PutObject` and the SDK's checksum. Nothing may write to the
    /// file meanwhile.
    ///
    /// If the future is dropped, or fails with anything but a refusal, the object may or may not
    /// have been written, but never only a part of it.
    ///
    /// # Errors
    /// `RejectsUnwritable` if the store refuses, `BucketMissing`, `SourceBusy`,
    /// `SourceUnreachable`, and the errors of any request.
    pub(crate) async fn put_file(&self, bucket: &str, key: &str, file: &File) -> Result<()> {
        let what = format!("s3://{bucket}/{key}");
        let unreadable = |error: std::io::Error| {
            Error::new(
                ErrorKind::RejectsUnwritable,
                format!("{what}: its local file cannot be read"),
            )
            .caused_by(error)
        };
        // Reopened for its own position: an abandoned attempt may still be reading. The file has no
        // name, but Linux names its descriptor.
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
                    format!("{what}: its local file cannot be read"),
                )
                .caused_by(error)
            })?;

        // The read timeout also runs while the body is sent, so it would forbid large bodies. All
        // uploads share these values, because the SDK keeps a connection pool for each set.
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
                let message =
                    format!("{what}: the upload of {size_bytes} bytes took longer than {limit:?}");
                Err(Error::new(ErrorKind::SourceBusy, message))
            }
        }
    }

    /// Sends `DeleteObject`. A key that does not exist is not an error.
    pub(crate) async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        let what = format!("s3://{bucket}/{key}");
        let request = self
            .client
            .delete_object()
            .bucket(bucket)
            .key(key)
            .set_request_payer(self.request_payer.clone());
        request.send().await.map(drop).map_err(|error| classify(Asked::Write, &what, &error))
    }

    /// Returns true if the key exists, by HeadObject. Without the permission to list, S3 does not
    /// distinguish a missing key from a denied one.
    pub(crate) async fn exists(&self, bucket: &str, key: &str) -> Result<bool> {
        let what = format!("s3://{bucket}/{key}");
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

    /// Returns true if no key begins with `prefix`. Lists at most one key.
    pub(crate) async fn is_empty(&self, bucket: &str, prefix: &str) -> Result<bool> {
        Ok(self.list_page(bucket, prefix, None, Some(1)).await?.entries.is_empty())
    }
}
