//! Reject files through the library, at the real endpoint: the requests to S3, their order, and
//! what is left after a failure.

use crate::registry::{apply, plain_test};
use crate::support::read_all::source_config;
use crate::support::s3::{Backend, Endpoint, Fault, Keys, Operation, Refusal, Times, client};
use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::types::ChecksumMode;
use s3_to_mysql::error::{Error, ErrorKind};
use s3_to_mysql::rejects::RejectsTo;
use s3_to_mysql::rejects::{
    ObjectName, Published, Reason, ReasonKind, RejectFile, RejectedRow, Rejects,
};
use s3_to_mysql::retry::RetryConfig;
use s3_to_mysql::source::S3;
use std::time::Duration;
use tempfile::TempDir;

const BUCKET: &str = "held-back";

struct Store {
    endpoint: Endpoint,
    staging: TempDir,
}

impl Store {
    fn start() -> Result<Self> {
        Ok(Self {
            endpoint: Endpoint::start(Backend::new().with_bucket(BUCKET))?,
            staging: tempfile::tempdir()?,
        })
    }

    async fn open(&self, bucket: &str) -> std::result::Result<Rejects, Error> {
        let config = source_config(self.endpoint.url());
        let to = RejectsTo::S3 { bucket: bucket.to_owned(), prefix: "p/".to_owned() };
        let retry = RetryConfig { max_attempts: 3, max_elapsed: Duration::from_secs(60) };
        Rejects::open(&to, S3::new(&config).await?, self.staging.path(), &retry).await
    }

    async fn content(&self, uri: &str) -> Result<Vec<u8>> {
        let key = uri.strip_prefix("s3://held-back/").context("another bucket")?;
        let request = client(&self.endpoint)
            .get_object()
            .bucket(BUCKET)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled);
        let got = request.send().await?;
        // If none is sent, the store computes a checksum of another kind.
        ensure!(got.checksum_crc32().is_some(), "{key} was put without the SDK's checksum");
        Ok(got.body.collect().await?.to_vec())
    }

    fn keys(&self) -> Vec<String> {
        self.endpoint.backend().keys(BUCKET)
    }

    /// Returns the requests after the opening ones, as the operation and the end of the key.
    fn asked(&self) -> Vec<(Operation, &'static str)> {
        let requests = self.endpoint.log().all();
        let kept = requests.into_iter().filter(|request| {
            !matches!(request.operation, Operation::ListObjectsV2 | Operation::GetObject)
        });
        kept.map(|request| {
            (
                request.operation,
                if request.key.ends_with(".rejected.jsonl") { "sidecar" } else { "data" },
            )
        })
        .collect()
    }
}

fn object() -> ObjectName {
    ObjectName {
        bucket: "b".into(),
        key: "dir/k.csv".into(),
        etag: "\"e\"".into(),
        object_id: "0".into(),
    }
}

fn begin(rejects: &Rejects) -> RejectFile {
    rejects.begin(object(), None, b"head\n".to_vec())
}

/// Returns a reject file with this many rows of 9 bytes.
fn with_rows(rejects: &Rejects, rows: u64) -> Result<RejectFile> {
    let mut file = begin(rejects);
    for row in 1..=rows {
        let raw = format!("{row:08}");
        let reason = Reason {
            kind: ReasonKind::BadRow,
            code: 1265,
            column: Some("n"),
            reason: "Data truncated",
        };
        file.add(&RejectedRow {
            row,
            line: row + 1,
            offset: 5 + (row - 1) * 9,
            raw: raw.as_bytes(),
            terminator: b"\n",
            reasons: &[reason],
        })?;
    }
    Ok(file)
}

fn expected(rows: u64) -> Vec<u8> {
    let rows: String = (1..=rows).map(|row| format!("{row:08}\n")).collect();
    format!("head\n{rows}").into_bytes()
}

async fn publish(file: RejectFile) -> Result<Published> {
    file.publish().await?.context("nothing was published")
}

#[apply(plain_test)]
async fn rejects_are_put_whole_with_a_checksum_the_sidecar_first() -> Result<()> {
    let store = Store::start()?;
    let rejects = store.open(BUCKET).await?;
    // Larger than any buffer on the way.
    let file = with_rows(&rejects, 15_000)?;
    ensure!(std::fs::read_dir(store.staging.path())?.next().is_none(), "a spool has a name");
    let published = publish(file).await?;
    ensure!(published.rows == 15_000);
    ensure!(
        published.data.starts_with("s3://held-back/p/k.csv-")
            && published.data.ends_with(".rejected")
    );
    ensure!(published.sidecar == format!("{}.jsonl", published.data));
    ensure!(store.content(&published.data).await? == expected(15_000), "other bytes arrived");
    let sidecar = String::from_utf8(store.content(&published.sidecar).await?)?;
    ensure!(sidecar.lines().count() == 15_000 && sidecar.ends_with("\"kind\":\"bad_row\"}\n"));
    ensure!(store.asked() == [(Operation::PutObject, "sidecar"), (Operation::PutObject, "data")]);
    Ok(())
}

#[apply(plain_test)]
async fn a_busy_store_gets_the_same_bytes_again() -> Result<()> {
    let store = Store::start()?;
    let rejects = store.open(BUCKET).await?;
    let busy = store.endpoint.faults().inject(
        Operation::PutObject,
        Keys::Any,
        Times::NextOfEachKey(1),
        Fault::Refuse(Refusal::SLOW_DOWN),
    );
    let published = publish(with_rows(&rejects, 1000)?).await?;
    ensure!(busy.effect_count() == 2 && store.endpoint.log().count(Operation::PutObject) == 4);
    ensure!(store.content(&published.data).await? == expected(1000), "other bytes arrived");
    Ok(())
}

#[apply(plain_test)]
async fn a_store_that_takes_nothing_is_given_up_and_tried_again() -> Result<()> {
    let store = Store::start()?;
    let rejects = store.open(BUCKET).await?;
    let held = store.endpoint.faults().inject(
        Operation::PutObject,
        Keys::Any,
        Times::Next(1),
        Fault::Hold,
    );
    let published = publish(with_rows(&rejects, 1000)?).await?;
    ensure!(held.effect_count() == 1 && store.endpoint.log().count(Operation::PutObject) == 3);
    ensure!(store.content(&published.data).await? == expected(1000), "other bytes arrived");
    Ok(())
}

/// The stall timeout is one second, and eight more for a megabyte.
#[apply(plain_test)]
async fn a_large_upload_may_take_longer_than_a_stall() -> Result<()> {
    let store = Store::start()?;
    let mut file = begin(&store.open(BUCKET).await?);
    let raw = vec![b'x'; 1 << 20];
    let reason =
        Reason { kind: ReasonKind::Duplicate, code: 1062, column: None, reason: "Duplicate entry" };
    file.add(&RejectedRow {
        row: 1,
        line: 2,
        offset: 5,
        raw: &raw,
        terminator: b"\n",
        reasons: &[reason],
    })?;
    let slow = Fault::Delay(Duration::from_secs(2));
    let data = Keys::Where(std::sync::Arc::new(|key| key.ends_with(".rejected")));
    let slow = store.endpoint.faults().inject(Operation::PutObject, data, Times::Always, slow);
    let published = publish(file).await?;
    ensure!(slow.effect_count() == 1 && store.endpoint.log().count(Operation::PutObject) == 2);
    ensure!(
        store.content(&published.data).await? == [&b"head\n"[..], &raw, b"\n"].concat(),
        "other bytes arrived"
    );
    Ok(())
}

#[apply(plain_test)]
async fn a_staging_directory_that_is_gone_is_named() -> Result<()> {
    let store = Store::start()?;
    let rejects = store.open(BUCKET).await?;
    std::fs::remove_dir(store.staging.path())?;
    let Err(error) = with_rows(&rejects, 15_000) else { anyhow::bail!("they went somewhere") };
    let error = error.downcast::<Error>()?;
    ensure!(error.kind == ErrorKind::RejectsUnwritable, "{error:?}");
    ensure!(error.one_line().contains(&*store.staging.path().to_string_lossy()), "{error:?}");
    Ok(())
}

#[apply(plain_test)]
async fn a_denied_upload_fails_at_once_and_names_the_rights() -> Result<()> {
    let store = Store::start()?;
    let rejects = store.open(BUCKET).await?;
    store.endpoint.faults().inject(
        Operation::PutObject,
        Keys::Any,
        Times::Always,
        Fault::Refuse(Refusal::ACCESS_DENIED),
    );
    let error = with_rows(&rejects, 1)?.publish().await.err().context("it was let in")?;
    ensure!(error.kind == ErrorKind::RejectsUnwritable, "{error:?}");
    let (line, hint) = (error.one_line(), error.hint().unwrap_or_default());
    ensure!(
        line.starts_with(
            "s3://b/dir/k.csv: its rejects cannot be written to s3://held-back/p/k.csv-"
        ),
        "{line}"
    );
    ensure!(line.contains("AccessDenied") && hint.contains("s3:PutObject"), "{line}: {hint}");
    let uploads = store.endpoint.log().count(Operation::PutObject);
    ensure!(uploads == 1, "{uploads} uploads");
    ensure!(store.keys().is_empty(), "{:?}", store.keys());
    Ok(())
}

#[apply(plain_test)]
async fn a_store_that_stays_busy_fails_the_object_within_the_bounds() -> Result<()> {
    let store = Store::start()?;
    let rejects = store.open(BUCKET).await?;
    let busy = Fault::Refuse(Refusal::SERVICE_UNAVAILABLE);
    store.endpoint.faults().inject(Operation::PutObject, Keys::Any, Times::Always, busy);
    let error = with_rows(&rejects, 1)?.publish().await.err().context("it was taken")?;
    // The error is not of a kind that loads the whole object again.
    ensure!(error.kind == ErrorKind::RejectsUnwritable, "{error:?}");
    ensure!(store.endpoint.log().count(Operation::PutObject) == 3);
    Ok(())
}

#[apply(plain_test)]
async fn an_upload_that_fails_leaves_no_data_without_its_sidecar() -> Result<()> {
    let store = Store::start()?;
    let rejects = store.open(BUCKET).await?;
    let denied = store.endpoint.faults().inject(
        Operation::PutObject,
        Keys::Any,
        Times::After(1),
        Fault::Refuse(Refusal::ACCESS_DENIED),
    );
    ensure!(with_rows(&rejects, 1)?.publish().await.is_err());
    ensure!(
        store.keys().iter().all(|key| key.ends_with(".rejected.jsonl")) && store.keys().len() == 1,
        "{:?}",
        store.keys()
    );
    // The next attempt repairs it, whether it has rejects or not.
    denied.remove();
    ensure!(begin(&rejects).publish().await?.is_none());
    ensure!(store.keys().is_empty(), "{:?}", store.keys());
    Ok(())
}

#[apply(plain_test)]
async fn an_object_without_rejects_costs_nothing_where_nothing_can_be_left() -> Result<()> {
    let store = Store::start()?;
    store.endpoint.backend().put(BUCKET, "elsewhere/x", &b"x"[..])?;
    let rejects = store.open(BUCKET).await?;
    ensure!(begin(&rejects).publish().await?.is_none());
    ensure!(store.asked().is_empty(), "{:?}", store.asked());
    Ok(())
}

#[apply(plain_test)]
async fn what_an_earlier_try_put_is_deleted_by_one_without_rejects() -> Result<()> {
    let store = Store::start()?;
    let rejects = store.open(BUCKET).await?;
    publish(with_rows(&rejects, 1)?).await?;
    store.endpoint.log().clear();
    let busy = Fault::Refuse(Refusal::SLOW_DOWN);
    store.endpoint.faults().inject(Operation::DeleteObject, Keys::Any, Times::Next(1), busy);
    ensure!(begin(&rejects).publish().await?.is_none());
    ensure!(store.keys().is_empty(), "{:?}", store.keys());
    let data_goes_first = [
        (Operation::HeadObject, "sidecar"),
        (Operation::DeleteObject, "data"),
        (Operation::DeleteObject, "data"),
        (Operation::DeleteObject, "sidecar"),
    ];
    ensure!(store.asked() == data_goes_first, "{:?}", store.asked());
    Ok(())
}

#[apply(plain_test)]
async fn what_an_earlier_run_left_is_looked_up_and_deleted() -> Result<()> {
    let store = Store::start()?;
    publish(with_rows(&store.open(BUCKET).await?, 1)?).await?;
    store.endpoint.backend().put(BUCKET, "p/other", &b"x"[..])?;

    let rejects = store.open(BUCKET).await?;
    ensure!(begin(&rejects).publish().await?.is_none());
    ensure!(store.keys() == ["p/other"], "{:?}", store.keys());
    store.endpoint.log().clear();
    ensure!(begin(&rejects).publish().await?.is_none());
    ensure!(store.asked() == [(Operation::HeadObject, "sidecar")], "{:?}", store.asked());

    let denied = Fault::Refuse(Refusal::ACCESS_DENIED);
    store.endpoint.faults().inject(Operation::HeadObject, Keys::Any, Times::Always, denied);
    let error = begin(&rejects).publish().await.err().context("what is there can't be known")?;
    ensure!(error.kind == ErrorKind::RejectsUnwritable, "{error:?}");
    Ok(())
}

#[apply(plain_test)]
async fn a_bucket_that_cannot_be_used_is_a_usage_error_before_anything_is_written() -> Result<()> {
    let store = Store::start()?;
    let missing = store.open("nowhere").await.err().context("opened")?;
    ensure!(
        missing.kind == ErrorKind::Usage
            && missing.one_line().starts_with("--rejects s3://nowhere/p/"),
        "{missing:?}"
    );
    let denied =
        store.endpoint.faults().on_list(Times::Always, Fault::Refuse(Refusal::ACCESS_DENIED));
    let error = store.open(BUCKET).await.err().context("opened")?;
    ensure!(
        error.kind == ErrorKind::Usage && error.hint().unwrap_or_default().contains("s3:PutObject"),
        "{error:?}"
    );
    denied.remove();
    store.endpoint.faults().on_list(Times::Next(1), Fault::Refuse(Refusal::SLOW_DOWN));
    store.open(BUCKET).await?;
    ensure!(store.asked().is_empty(), "{:?}", store.asked());
    Ok(())
}
