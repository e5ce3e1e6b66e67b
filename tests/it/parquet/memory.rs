//! The peak of memory does not grow with the number of rows.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow_array::{ArrayRef, StringArray};

use super::ids;
use super::write::file;
use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, finish_with_peak};

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
    let args = ["--format", "parquet", "--columns", "id,@payload,@more"];
    let all = [&["load", "s3://etl/", "--table", "t"][..], &args].concat();
    let (ended, most_kib) = finish_with_peak(env.command(all).spawn()?).await?;
    ended.expect(0)?;
    ensure!(most_kib < PEAK_KIB, "the run took {most_kib} KiB of memory");
    ensure!(env.count("t").await? == u64::try_from(rows)?);
    Ok(())
}
