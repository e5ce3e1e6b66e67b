//! Access control: one fixed key pair, and buckets that accept unsigned requests.

use super::backend::Backend;
use s3s::S3Result;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};

/// The only access key that the endpoint accepts.
pub const ACCESS_KEY: &str = "AKIATESTENDPOINT0000";
/// The secret that belongs to [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "test-endpoint-secret/with+signs=";
/// The region that clients sign for. Any other region is accepted too.
pub const REGION: &str = "us-east-1";

/// Accepts [`ACCESS_KEY`] and refuses any other key as S3 does, with `InvalidAccessKeyId`.
pub(super) struct FixedKey;

#[async_trait::async_trait]
impl S3Auth for FixedKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == ACCESS_KEY {
            Ok(SecretKey::from(SECRET_KEY))
        } else {
            Err(s3s::s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            ))
        }
    }
}

/// Allows signed requests everywhere, and unsigned ones only for reading a bucket that is open to
/// everyone.
pub(super) struct OpenBuckets(pub(super) Backend);

#[async_trait::async_trait]
impl S3Access for OpenBuckets {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_some() {
            return Ok(());
        }
        let reads = matches!(
            context.s3_op().name(),
            "ListObjectsV2" | "GetObject" | "HeadObject" | "HeadBucket"
        );
        let open =
            context.s3_path().get_bucket_name().is_some_and(|bucket| self.0.is_anonymous(bucket));
        if reads && open { Ok(()) } else { Err(s3s::s3_error!(AccessDenied, "Access Denied")) }
    }
}
