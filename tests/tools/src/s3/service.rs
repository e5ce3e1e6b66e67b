//! Implements the operations: the responses of S3, as changed by faults.

use super::backend::{Backend, no_bucket};
use super::body::Transfer;
use super::checksum::{Algorithm, StoredChecksum, hex, md5_hex};
use super::fault::{Effects, Fault, Faults, Refusal};
use super::listing::{PAGE_KEYS, Start, url_encoded};
use super::log::{InFlight, Operation, Request, RequestLog};
use super::object::Object;
use super::server::{BodyEdit, Flushes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use hyper::{HeaderMap, StatusCode};
use s3s::dto::{
    BucketVersioningStatus, ChecksumType, CommonPrefix, CreateBucketInput, CreateBucketOutput,
    DeleteObjectInput, DeleteObjectOutput, ETag, ETagCondition, EncodingType, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object as ListedObject, ObjectStorageClass,
    PutBucketVersioningInput, PutBucketVersioningOutput, PutObjectInput, PutObjectOutput,
    StorageClass, Timestamp,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use std::sync::Arc;

pub(super) struct Service {
    pub(super) backend: Backend,
    pub(super) faults: Faults,
    pub(super) log: RequestLog,
}

impl Service {
    /// Logs a request and applies its faults. Returns those that change its response.
    async fn admit(&self, request: Request) -> S3Result<(Option<InFlight>, Effects)> {
        let in_flight = self.log.record(request.clone());
        let mut effects = Effects::default();
        for rule in self.faults.met_by(&request) {
            match &rule.fault {
                Fault::Refuse(refusal) => {
                    rule.took_effect();
                    return Err(refused(refusal));
                }
                Fault::Hold => {
                    rule.took_effect();
                    rule.released().await;
                }
                Fault::Delay(time) => {
                    rule.took_effect();
                    tokio::time::sleep(*time).await;
                }
                Fault::Before(hook) => {
                    hook(request.clone()).await;
                    rule.took_effect();
                }
                _ => effects.push(rule),
            }
        }
        Ok((in_flight, effects))
    }

    fn require_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.backend.is_bucket(bucket) { Ok(()) } else { Err(no_bucket()) }
    }
}

/// Sets the fields of a response that show a checksum. `GetObject` and `HeadObject` have the same
/// fields in two types.
macro_rules! show {
    ($checksum:expr => $output:ident) => {
        let StoredChecksum { algorithm, value, is_composite } = $checksum;
        *match algorithm {
            Algorithm::Crc32 => &mut $output.checksum_crc32,
            Algorithm::Crc32c => &mut $output.checksum_crc32c,
            Algorithm::Crc64Nvme => &mut $output.checksum_crc64nvme,
            Algorithm::Sha1 => &mut $output.checksum_sha1,
            Algorithm::Sha256 => &mut $output.checksum_sha256,
        } = Some(value);
        let kind = if is_composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
        $output.checksum_type = Some(ChecksumType::from_static(kind));
    };
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let is_signed = req.credentials.is_some();
        let region = req.region.as_ref().map(ToString::to_string);
        let input = req.input;
        let prefix = input.prefix.unwrap_or_default();
        let encoding_type = input.encoding_type.map(|encoding| encoding.as_str().to_owned());
        let (_, effects) = self
            .admit(Request {
                region,
                continuation_token: input.continuation_token.clone(),
                start_after: input.start_after.clone(),
                delimiter: input.delimiter.clone(),
                max_keys: input.max_keys,
                encoding_type: encoding_type.clone(),
                payer: input.request_payer.map(|payer| payer.as_str().to_owned()),
                ..Request::new(Operation::ListObjectsV2, &input.bucket, &prefix, is_signed)
            })
            .await?;

        let start = match (&input.continuation_token, &input.start_after) {
            (Some(token), _) => Start::from_token(token).ok_or_else(|| {
                s3_error!(InvalidArgument, "The continuation token provided is incorrect")
            })?,
            (None, Some(key)) if !key.is_empty() => Start::AfterKey(key.clone()),
            (None, _) => Start::Beginning,
        };
        let max_keys = usize::try_from(input.max_keys.unwrap_or(PAGE_KEYS as i32))
            .map_err(|_| s3_error!(InvalidArgument, "max-keys must not be negative"))?
            .min(PAGE_KEYS);
        let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let page = self.backend.page(&input.bucket, &prefix, delimiter, &start, max_keys).await?;

        let is_encoded =
            encoding_type.as_deref() == Some(EncodingType::URL) && !effects.has(&Fault::PlainKeys);
        let text = |text: &str| if is_encoded { url_encoded(text) } else { text.to_owned() };
        let has_etag = !effects.has(&Fault::NoEtag);
        let mut next = page.next.as_ref().and_then(Start::token);
        if effects.has(&Fault::EndlessListing) {
            next = Some(
                input
                    .continuation_token
                    .clone()
                    .or(next)
                    .or_else(|| Start::AfterKey(String::new()).token())
                    .unwrap_or_default(),
            );
        }
        let key_count = page.objects.len() + page.common_prefixes.len();
        let contents = page.objects.iter().map(|(key, object)| ListedObject {
            key: Some(text(key)),
            e_tag: has_etag.then(|| ETag::Strong(object.etag.clone())),
            size: Some(object.length_bytes() as i64),
            last_modified: Some(Timestamp::from(object.modified_second())),
            storage_class: Some(ObjectStorageClass::from_static(object.storage_class)),
            ..ListedObject::default()
        });
        let common_prefixes = page
            .common_prefixes
            .iter()
            .map(|folded| CommonPrefix { prefix: Some(text(folded)) })
            .collect();
        let mut response = S3Response::new(ListObjectsV2Output {
            contents: Some(contents.collect()),
            common_prefixes: Some(common_prefixes),
            prefix: Some(text(&prefix)),
            delimiter: delimiter.map(text),
            start_after: input.start_after.as_deref().map(text),
            encoding_type: is_encoded.then(|| EncodingType::from_static(EncodingType::URL)),
            name: Some(input.bucket),
            max_keys: Some(max_keys as i32),
            key_count: Some(key_count as i32),
            is_truncated: Some(next.is_some()),
            continuation_token: input.continuation_token,
            next_continuation_token: next,
            ..ListObjectsV2Output::default()
        });
        if let Some(edit) = effects.take(|fault| {
            if let Fault::EditListing(edit) = fault { Some(Arc::clone(edit)) } else { None }
        }) {
            response.extensions.insert(BodyEdit(edit));
        }
        Ok(response)
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let is_signed = req.credentials.is_some();
        let flushes = req.extensions.get::<Flushes>().cloned().unwrap_or_default();
        let headers = req.headers;
        let input = req.input;
        let asks_checksum = input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED");
        let (in_flight, effects) = self
            .admit(Request {
                range: input.range.as_ref().map(s3s::dto::Range::to_header_string),
                if_match: input.if_match.as_ref().map(sent),
                version_id: input.version_id.clone(),
                asks_checksum,
                payer: input.request_payer.map(|payer| payer.as_str().to_owned()),
                accept_encoding: header(&headers, "accept-encoding"),
                authorization: header(&headers, "authorization"),
                ..Request::new(Operation::GetObject, &input.bucket, &input.key, is_signed)
            })
            .await?;
        let in_flight =
            in_flight.ok_or_else(|| s3_error!(InternalError, "a GET is always in flight"))?;

        let object =
            self.backend.object(&input.bucket, &input.key, input.version_id.as_deref()).await?;
        check_conditions(&object, input.if_match.as_ref(), input.if_none_match.as_ref(), &effects)?;
        if object.storage_class == "GLACIER" {
            return Err(refused(&Refusal::ARCHIVED));
        }
        let length_bytes = object.length_bytes();
        let asked_range = input.range.filter(|_| !effects.has(&Fault::IgnoreRange));
        let mut range = match &asked_range {
            Some(range) => range.check(length_bytes)?,
            None => 0..length_bytes,
        };
        let content_range = asked_range.map(|_| {
            format!("bytes {}-{}/{length_bytes}", range.start, range.end.saturating_sub(1))
        });
        if let Some(to_bytes) = effects.take(|fault| {
            if let Fault::ShortenBody { to_bytes } = fault { Some(*to_bytes) } else { None }
        }) {
            range.end = range.end.min(range.start + to_bytes);
        }
        // S3 returns no checksum for a range that is not one of the object's parts.
        let checksum =
            object.checksum.as_ref().filter(|_| asks_checksum && content_range.is_none());
        let checksum = checksum.map(|stored| shown_checksum(stored, &effects));
        let has_etag = !effects.has(&Fault::NoEtag);
        let content_length = (range.end - range.start) as i64;
        let body = Transfer { content: object.content.clone(), range, effects, in_flight, flushes }
            .into_blob();
        let mut output = GetObjectOutput {
            body: Some(body),
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(content_length),
            content_range,
            content_type: Some("binary/octet-stream".to_owned()),
            e_tag: has_etag.then(|| ETag::Strong(object.etag.clone())),
            last_modified: Some(Timestamp::from(object.modified_second())),
            version_id: object.version_id.clone(),
            ..GetObjectOutput::default()
        };
        if let Some(checksum) = checksum {
            show!(checksum => output);
        }
        Ok(S3Response::new(output))
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let is_signed = req.credentials.is_some();
        let headers = req.headers;
        let input = req.input;
        let asks_checksum = input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED");
        let (_, effects) = self
            .admit(Request {
                if_match: input.if_match.as_ref().map(sent),
                version_id: input.version_id.clone(),
                asks_checksum,
                payer: input.request_payer.map(|payer| payer.as_str().to_owned()),
                accept_encoding: header(&headers, "accept-encoding"),
                authorization: header(&headers, "authorization"),
                ..Request::new(Operation::HeadObject, &input.bucket, &input.key, is_signed)
            })
            .await?;
        let object =
            self.backend.object(&input.bucket, &input.key, input.version_id.as_deref()).await?;
        check_conditions(&object, input.if_match.as_ref(), input.if_none_match.as_ref(), &effects)?;
        let has_etag = !effects.has(&Fault::NoEtag);
        let mut output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(object.length_bytes() as i64),
            content_type: Some("binary/octet-stream".to_owned()),
            e_tag: has_etag.then(|| ETag::Strong(object.etag.clone())),
            last_modified: Some(Timestamp::from(object.modified_second())),
            version_id: object.version_id.clone(),
            storage_class: (object.storage_class != "STANDARD")
                .then(|| StorageClass::from_static(object.storage_class)),
            ..HeadObjectOutput::default()
        };
        if let Some(stored) = object.checksum.as_ref().filter(|_| asks_checksum) {
            show!(shown_checksum(stored, &effects) => output);
        }
        Ok(S3Response::new(output))
    }

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let bucket = req.input.bucket;
        self.admit(Request::new(Operation::HeadBucket, &bucket, "", req.credentials.is_some()))
            .await?;
        self.require_bucket(&bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let is_signed = req.credentials.is_some();
        let input = req.input;
        let admitted = self
            .admit(Request::new(Operation::PutObject, &input.bucket, &input.key, is_signed))
            .await;
        let mut content = BytesMut::new();
        if let Some(mut body) = input.body {
            while let Some(chunk) = body
                .try_next()
                .await
                .map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error))?
            {
                content.extend_from_slice(&chunk);
            }
        }
        // A refusal comes after the body. A client that is still sending could lose an earlier
        // answer to a reset connection, and would try again.
        admitted?;
        self.require_bucket(&input.bucket)?;
        let content = content.freeze();
        let mut object = Object::new(content.clone());
        // A checksum arrives as a header, or after a body that is sent in chunks.
        let sent_after = |name: &str| {
            let value =
                req.trailing_headers.as_ref()?.read(|headers| headers.get(name).cloned())??;
            Some(value.to_str().ok()?.to_owned())
        };
        for (algorithm, sent, name) in [
            (Algorithm::Crc32, input.checksum_crc32, "x-amz-checksum-crc32"),
            (Algorithm::Crc32c, input.checksum_crc32c, "x-amz-checksum-crc32c"),
            (Algorithm::Crc64Nvme, input.checksum_crc64nvme, "x-amz-checksum-crc64nvme"),
            (Algorithm::Sha1, input.checksum_sha1, "x-amz-checksum-sha1"),
            (Algorithm::Sha256, input.checksum_sha256, "x-amz-checksum-sha256"),
        ] {
            let Some(sent) = sent.or_else(|| sent_after(name)) else { continue };
            let computed = StoredChecksum::of(algorithm, &content);
            if computed.value != sent {
                return Err(s3_error!(
                    BadDigest,
                    "The {name} you specified did not match what we received."
                ));
            }
            object.checksum = Some(computed);
        }
        if let Some(sent) = input.content_md5
            && STANDARD.decode(&sent).ok().map(|md5| hex(&md5)) != Some(md5_hex(&content))
        {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        let stored = self.backend.put(&input.bucket, &input.key, object).map_err(|error| {
            S3Error::with_message(S3ErrorCode::MethodNotAllowed, error.to_string())
        })?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(stored.etag.clone())),
            version_id: stored.version_id.clone(),
            ..PutObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let (bucket, key) = (req.input.bucket, req.input.key);
        self.admit(Request::new(Operation::DeleteObject, &bucket, &key, req.credentials.is_some()))
            .await?;
        self.require_bucket(&bucket)?;
        // S3 returns the same whether the key existed or not.
        match req.input.version_id {
            Some(version_id) => self.backend.remove_version(&bucket, &key, &version_id),
            None => self.backend.remove(&bucket, &key),
        };
        Ok(S3Response::with_status(DeleteObjectOutput::default(), StatusCode::NO_CONTENT))
    }

    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let bucket = req.input.bucket;
        self.admit(Request::new(Operation::CreateBucket, &bucket, "", req.credentials.is_some()))
            .await?;
        let location = Some(format!("/{bucket}"));
        drop(self.backend.clone().with_bucket(&bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn put_bucket_versioning(
        &self,
        req: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let bucket = req.input.bucket;
        self.admit(Request::new(
            Operation::PutBucketVersioning,
            &bucket,
            "",
            req.credentials.is_some(),
        ))
        .await?;
        self.require_bucket(&bucket)?;
        let status = req.input.versioning_configuration.status;
        if status.is_none_or(|status| status.as_str() != BucketVersioningStatus::ENABLED) {
            return Err(s3_error!(NotImplemented, "versions can be switched on only"));
        }
        self.backend.enable_versions(&bucket);
        Ok(S3Response::new(PutBucketVersioningOutput {}))
    }
}

fn check_conditions(
    object: &Arc<Object>,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    effects: &Effects,
) -> S3Result<()> {
    let is_same = |condition: &ETagCondition| {
        condition.as_etag().is_none_or(|etag| etag.value() == object.etag)
    };
    if if_match.is_some_and(|condition| !is_same(condition)) && !effects.has(&Fault::IgnoreIfMatch)
    {
        return Err(refused(&Refusal::PRECONDITION_FAILED));
    }
    if if_none_match.is_some_and(is_same) {
        return Err(S3Error::new(S3ErrorCode::NotModified));
    }
    Ok(())
}

fn shown_checksum(stored: &StoredChecksum, effects: &Effects) -> StoredChecksum {
    if effects.has(&Fault::WrongChecksum) { stored.wrong() } else { stored.clone() }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn sent(condition: &ETagCondition) -> String {
    condition
        .to_http_header()
        .ok()
        .and_then(|value| Some(value.to_str().ok()?.to_owned()))
        .unwrap_or_default()
}

fn refused(refusal: &Refusal) -> S3Error {
    let code =
        S3ErrorCode::from_bytes(refusal.code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, refusal.message);
    if let Ok(status) = StatusCode::from_u16(refusal.status) {
        error.set_status_code(status);
    }
    error
}
