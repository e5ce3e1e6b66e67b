//! Sends single requests to S3. Each call sends one request, without retries, and returns the
//! program's own errors.

mod answer;
mod document;
mod encoding;
mod error;
mod list;
mod write;

pub(super) use list::Page;
pub(crate) use write::PUT_LIMIT_BYTES;

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::SdkConfig;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Region, ResponseChecksumValidation};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumType, RequestPayer};
use aws_types::service_config::ServiceConfigKey;
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;

use super::options::SourceConfig;
use super::rate::Rate;
use super::sdk_files;
use crate::error::{Error, ErrorKind, Result};
use crate::object::{Body, Checksum, ChecksumAlgorithm, Object, ReadFrom, Stat};
use crate::units::ByteSize;
use answer::AnswerLimits;
use encoding::AsStored;
use error::{Asked, classify};

/// The region that signs requests to a custom endpoint if none is configured. Most S3-compatible
/// stores ignore the region.
const FALLBACK_REGION: &str = "us-east-1";

/// A handle to S3 that is cheap to clone.
#[derive(Clone, Debug)]
pub struct S3 {
    client: Client,
    request_payer: Option<RequestPayer>,
    connect_timeout: Duration,
    stall_timeout: Duration,
    rate: Rate,
}

impl S3 {
    /// Creates a client with credentials from the SDK's default chain. Sends nothing to S3 yet.
    ///
    /// # Errors
    /// `Usage` if a file that the SDK reads is not a small regular one.
    pub async fn new(config: &SourceConfig) -> Result<Self> {
        sdk_files::check()?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(config.connect_timeout)
            // Ends at the first byte of the response; the body has its own limit.
            .read_timeout(config.stall_timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // The staging layer hashes the bytes. Unlike the SDK, it can do so across a body that
            // was resumed by range.
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(profile) = &config.profile {
            // As in the aws command line, keys in the environment must not override a profile that
            // the user named. A role in the profile is assumed in the run's region.
            let region = match &config.region {
                Some(region) => Some(Region::new(region.clone())),
                None => environment_or_profile_region(Some(profile)).region().await,
            };
            let credentials = ProfileFileCredentialsProvider::builder()
                .configure(&ProviderConfig::without_region().with_region(region))
                .profile_name(profile);
            loader = loader.profile_name(profile).credentials_provider(credentials.build());
        }
        if let Some(endpoint_url) = &config.endpoint_url {
            loader = loader.endpoint_url(endpoint_url);
        }
        if config.no_sign_request {
            loader = loader.no_credentials();
        }
        loader = match (&config.region, &config.endpoint_url) {
            (Some(region), _) => loader.region(Region::new(region.clone())),
            // Without this, a machine outside EC2 waits until the metadata service times out.
            (None, Some(_)) => loader.region(
                environment_or_profile_region(config.profile.as_deref())
                    .or_else(Region::new(FALLBACK_REGION)),
            ),
            (None, None) => loader,
        };
        let sdk_config = loader.load().await;
        let endpoint = endpoint_url(&sdk_config, config.endpoint_url.as_deref());
        let path_style = config.path_style.unwrap_or_else(|| {
            let is_local = endpoint.as_deref().is_some_and(is_local);
            if let (true, Some(endpoint)) = (is_local, &endpoint) {
                tracing::debug!(
                    "{endpoint} is a local endpoint, so the bucket goes into the path, as with \
                     --path-style"
                );
            }
            is_local
        });
        let s3_config = aws_sdk_s3::config::Builder::from(&sdk_config)
            .force_path_style(path_style)
            .region(sdk_config.region().cloned().unwrap_or_else(|| Region::new(FALLBACK_REGION)))
            .interceptor(AnswerLimits { stall_timeout: config.stall_timeout })
            .interceptor(AsStored)
            .build();
        Ok(Self {
            client: Client::from_conf(s3_config),
            request_payer: config.request_payer.then_some(RequestPayer::Requester),
            connect_timeout: config.connect_timeout,
            stall_timeout: config.stall_timeout,
            rate: Rate::default(),
        })
    }

    /// Limits the rate at which this client and all its clones together read bodies.
    #[must_use]
    pub fn with_max_rate(self, bytes_a_second: Option<ByteSize>) -> Self {
        Self { rate: Rate::new(bytes_a_second), ..self }
    }

    /// Returns how many of `wanted` objects to read at once.
    #[must_use]
    pub fn readers(&self, wanted: usize) -> usize {
        self.rate.readers(wanted)
    }

    /// Sends HeadObject and returns the object as it is now.
    ///
    /// # Errors
    /// `ObjectMissing`, `ObjectDenied`, and the errors of any request.
    pub(super) async fn head(&self, bucket: &str, key: &str) -> Result<Object> {
        let what = format!("s3://{bucket}/{key}");
        let output = self
            .client
            .head_object()
            .bucket(bucket)
            .key(key)
            .set_request_payer(self.request_payer.clone())
            .send()
            .await;
        let output = match output {
            Ok(output) => output,
            Err(error) => {
                let status = error.raw_response().map_or(0, |response| response.status().as_u16());
                let classified = classify(Asked::Object, &what, &error);
                return Err(match status {
                    400..=403 => self.refusal(bucket, key, &what).await.unwrap_or(classified),
                    _ => classified,
                });
            }
        };
        let unusable =
            |why: String| Error::new(ErrorKind::SourceProtocol, format!("{what}: {why}"));
        let etag = output.e_tag.filter(|etag| !etag.trim_matches('"').is_empty());
        let etag = etag.ok_or_else(|| {
            unusable("the store gives no ETag, so reads cannot be pinned to its bytes".to_owned())
        })?;
        usable_etag(&etag).map_err(unusable)?;
        let size_bytes = output.content_length.and_then(|size| u64::try_from(size).ok());
        Ok(Object {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag,
            size_bytes: size_bytes
                .ok_or_else(|| unusable("the store does not give its size".to_owned()))?,
            last_modified: output.last_modified.as_ref().and_then(timestamp),
        })
    }

    /// Returns the reason why the store refuses an object. A HEAD response has no body, so it
    /// cannot distinguish a wrong secret, which affects every object, from a permission that is
    /// missing for this one. A GET response can.
    async fn refusal(&self, bucket: &str, key: &str, what: &str) -> Option<Error> {
        let request = self
            .client
            .get_object()
            .bucket(bucket)
            .key(key)
            .set_request_payer(self.request_payer.clone());
        // If a body arrives after all, it is dropped unread.
        request.send().await.err().map(|error| classify(Asked::Object, &what, &error))
    }

    /// Returns true if the store says that the object does not exist.
    pub async fn is_gone(&self, bucket: &str, key: &str) -> bool {
        matches!(self.head(bucket, key).await, Err(error) if error.kind == ErrorKind::ObjectMissing)
    }

    /// Sends HeadObject, pinned to the object's ETag, for what a ranged GET does not report.
    ///
    /// # Errors
    /// `ObjectMissing`; `ObjectChanged` if the store honors If-Match; and the errors of any
    /// request.
    pub async fn stat(&self, object: &Object) -> Result<Stat> {
        let output = self
            .client
            .head_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .if_match(&object.etag)
            .set_request_payer(self.request_payer.clone())
            .customize()
            .mutate_request(|request| {
                request.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
            })
            .send()
            .await
            .map_err(|error| classify(Asked::Object, object, &error))?;
        let is_composite = output.checksum_type() == Some(&ChecksumType::Composite);
        let checksum = whole_checksum(
            is_composite,
            [
                output.checksum_crc64_nvme(),
                output.checksum_crc32_c(),
                output.checksum_crc32(),
                output.checksum_sha256(),
                output.checksum_sha1(),
            ],
        );
        Ok(Stat {
            etag: output.e_tag().map(str::to_owned),
            size_bytes: output.content_length().and_then(|size| u64::try_from(size).ok()),
            version_id: named_version(output.version_id()),
            checksum,
        })
    }

    /// Sends GetObject for some bytes, pinned to the object's ETag, and to a version if `from`
    /// names one.
    ///
    /// # Errors
    /// `ObjectMissing` if the object or that version of it is gone; `ObjectChanged` if the store
    /// honors If-Match. For stores that do not, the caller compares the ETag of the response. The
    /// stream yields `BodyBroken` if the connection breaks, or if no byte arrives within the stall
    /// timeout.
    pub async fn get(&self, object: &Object, from: ReadFrom) -> Result<Body> {
        let output = self
            .client
            .get_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .if_match(&object.etag)
            .set_version_id(from.version_id)
            .set_range(match from.end {
                Some(end) => Some(format!("bytes={}-{}", from.offset, end.saturating_sub(1))),
                None => (from.offset > 0).then(|| format!("bytes={}-", from.offset)),
            })
            .set_request_payer(self.request_payer.clone())
            .customize()
            // Requests the stored checksum without the SDK's own validation.
            .mutate_request(|request| {
                request.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
            })
            .send()
            .await
            .map_err(|error| classify(Asked::Object, object, &error))?;

        let (offset, size_bytes) = extent(&output);
        Ok(Body {
            offset,
            etag: output.e_tag().map(str::to_owned),
            size_bytes,
            version_id: named_version(output.version_id()),
            checksum: full_object_checksum(&output),
            stream: Box::pin(chunks(
                output.body,
                object.to_string(),
                self.stall_timeout,
                self.rate.clone(),
            )),
        })
    }
}

/// Returns the custom endpoint, which the SDK finds in the environment and in its files, too.
fn endpoint_url(sdk_config: &SdkConfig, named: Option<&str>) -> Option<String> {
    let of_s3 = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    named
        .map(str::to_owned)
        .or_else(|| sdk_config.service_config()?.load_config(of_s3.ok()?))
        .or_else(|| sdk_config.endpoint_url().map(str::to_owned))
}

/// Returns true if no name in front of the host of this URL could be found: the host is an address,
/// localhost, or a name without a dot, as containers have.
fn is_local(endpoint_url: &str) -> bool {
    let url = url::Url::parse(endpoint_url).ok();
    match url.as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            !name.contains('.') || name.ends_with(".localhost")
        }
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        None => false,
    }
}

fn environment_or_profile_region(profile: Option<&str>) -> RegionProviderChain {
    let mut builder = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        builder = builder.profile_name(profile);
    }
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(builder.build())
}

/// Accepts an `ETag` that a header can hold, because every read sends it.
fn usable_etag(etag: &str) -> std::result::Result<(), String> {
    if etag.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Ok(())
    } else {
        Err(format!("its ETag {etag:?} cannot be sent in a request"))
    }
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

/// Returns the offset of the response's first byte and the size of the whole object, from
/// `Content-Range: bytes 5-9/10` or `Content-Length`.
fn extent(output: &GetObjectOutput) -> (u64, Option<u64>) {
    let length = output.content_length().and_then(|length| u64::try_from(length).ok());
    let Some(range) = output.content_range() else {
        return (0, length);
    };
    let parsed = range.strip_prefix("bytes ").and_then(|range| {
        let (positions, size) = range.split_once('/')?;
        let (first, _) = positions.split_once('-')?;
        Some((first.parse().ok()?, size.parse().ok()))
    });
    parsed.unwrap_or((0, length))
}

/// Returns the version ID unless it is `null`. That ID names whatever was written while the bucket
/// kept no versions, which is another object after an overwrite.
fn named_version(version_id: Option<&str>) -> Option<String> {
    version_id.filter(|id| !matches!(*id, "" | "null")).map(str::to_owned)
}

fn full_object_checksum(output: &GetObjectOutput) -> Option<Checksum> {
    whole_checksum(
        output.checksum_type() == Some(&ChecksumType::Composite),
        [
            output.checksum_crc64_nvme(),
            output.checksum_crc32_c(),
            output.checksum_crc32(),
            output.checksum_sha256(),
            output.checksum_sha1(),
        ],
    )
}

/// Returns the first checksum that is present. The order prefers algorithms whose checksums can be
/// combined, then cheap ones.
fn whole_checksum(is_composite: bool, values: [Option<&str>; 5]) -> Option<Checksum> {
    let algorithms = [
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Crc32c,
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Sha256,
        ChecksumAlgorithm::Sha1,
    ];
    algorithms
        .into_iter()
        .zip(values)
        .find_map(|(algorithm, value)| Some(Checksum { algorithm, value: value?.to_owned() }))
        // Older multipart uploads have no type, but a value that ends in `-N`: a checksum of
        // checksums.
        .filter(|checksum| !is_composite && !checksum.value.contains('-'))
}

/// Returns the body's bytes as a stream that ends after its first error.
fn chunks(
    body: ByteStream,
    what: String,
    stall_timeout: Duration,
    rate: Rate,
) -> impl futures_util::Stream<Item = Result<Bytes>> + Send {
    stream::unfold(Some((body, what, rate)), move |state| async move {
        let (mut body, what, rate) = state?;
        match tokio::time::timeout(stall_timeout, body.next()).await {
            Ok(Some(Ok(chunk))) => {
                // Outside the stall timeout, which applies only to the store.
                rate.take(chunk.len()).await;
                Some((Ok(chunk), Some((body, what, rate))))
            }
            Ok(Some(Err(error))) => Some((
                Err(Error::new(ErrorKind::BodyBroken, format!("{what}: the body broke off"))
                    .caused_by(error)),
                None,
            )),
            Ok(None) => None,
            Err(_) => {
                let stalled = format!("{what}: no byte of the body arrived for {stall_timeout:?}");
                Some((Err(Error::new(ErrorKind::BodyBroken, stalled)), None))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extent_of_a_ranged_answer_is_read_from_its_content_range() {
        let ranged =
            GetObjectOutput::builder().content_range("bytes 5-9/10").content_length(5).build();
        assert_eq!(extent(&ranged), (5, Some(10)));
        let whole = GetObjectOutput::builder().content_length(10).build();
        assert_eq!(extent(&whole), (0, Some(10)));
        let unknown =
            GetObjectOutput::builder().content_range("bytes 5-9/*").content_length(5).build();
        assert_eq!(extent(&unknown), (5, None));
    }

    #[test]
    fn a_bucket_goes_into_the_path_where_no_host_name_could_hold_it() {
        for url in ["http://localhost:9000", "https://127.0.0.1", "http://[::1]:1", "http://minio"]
        {
            assert!(is_local(url), "{url}");
        }
        for url in ["https://s3.example.com", "https://localhost.example.com", "minio", ""] {
            assert!(!is_local(url), "{url}");
        }
    }

    #[test]
    fn a_null_version_names_nothing_that_could_be_pinned() {
        assert_eq!(named_version(Some("null")), None);
        assert_eq!(
            named_version(Some("3HL4kqtJlcpXroDTDmJ")),
            Some("3HL4kqtJlcpXroDTDmJ".to_owned())
        );
    }

    #[test]
    fn a_checksum_of_part_checksums_is_no_checksum_of_the_object() {
        let composite = GetObjectOutput::builder().checksum_crc32("AAAAAA==-3").build();
        assert_eq!(full_object_checksum(&composite), None);
        let composite = GetObjectOutput::builder()
            .checksum_crc32("AAAAAA==")
            .checksum_type(ChecksumType::Composite)
            .build();
        assert_eq!(full_object_checksum(&composite), None);
    }
}
