//! The peak of memory does not grow with the number of rows.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use arrow_array::{ArrayRef, StringArray};

use super::ids;
use super::write::file;
use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, peak_kib};

/// The peak of a debug build, whose program alone takes more than that of a package.
const PEAK_KIB: u64 = 96 * 1024;

#[apply(load_test)]
async fn decoding_takes_no_more_memory_than_is_promised(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id BIGINT)").await?;
    let mut random = fastrand::Rng::with_seed(1);
    let rows: i64 = 300_000;
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..rows).map(|_| format!("{:032x}{:032x}", random.u128(..), random.u128(..))),
    ));
    let more: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..rows).map(|_| format!("{:032x}", random.u128(..))),
    ));
    env.put("a", file(&[("id", ids(0..rows)), ("payload", texts), ("more", more)])?)?;
    let mut child = env
        .command([
            "load",
            "s3://etl/",
            "--table",
            "t",
            "--format",
            "parquet",
            "--columns",
            "id,@payload,@more",
        ])
        .stdout(Stdio::null())
        .spawn()?;
    let id = child.id().context("it has ended")?;
    let mut most_kib = 0;
    let status = loop {
        most_kib = most_kib.max(peak_kib(id).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    ensure!(status.success(), "{status}");
    ensure!((1..PEAK_KIB).contains(&most_kib), "the run took {most_kib} KiB of memory");
    ensure!(env.count("t").await? == u64::try_from(rows)?);
    Ok(())
}
