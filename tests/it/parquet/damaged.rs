//! Damaged objects are malformed, and load nothing.
//!
//! The long form damages more files in more places: `S3_TO_MYSQL_TEST_PARQUET_CASES=5000`. It
//! cannot notice a value that another value has replaced, which only a checksum of the page shows.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow_array::{ArrayRef, Float64Array, StringArray};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::write::file_with;
use super::{ids, load, names};
use crate::registry::{apply, load_test};
use crate::support::lines::expect_failure;
use crate::support::program::TestEnv;

fn sample(codec: Compression) -> Result<Vec<u8>> {
    let texts = (0..300).map(|row| (row % 3 > 0).then(|| "x".repeat(row % 7)));
    let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
    let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values((0..300).map(f64::from)));
    let properties = WriterProperties::builder().set_compression(codec).build();
    let columns = [("id", ids(0..300)), ("s", texts), ("d", numbers), ("name", names(0..300))];
    file_with(&columns, properties)
}

#[apply(load_test)]
async fn an_object_with_changed_bytes_is_malformed_and_never_a_defect(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id BIGINT, s VARCHAR(40), d DOUBLE, name VARCHAR(40))")
        .await?;
    let cases = std::env::var("S3_TO_MYSQL_TEST_PARQUET_CASES").ok();
    let cases: usize = cases.map_or(Ok(120), |text| text.parse())?;
    let mut random = fastrand::Rng::with_seed(20_261_128);
    let samples =
        [sample(Compression::UNCOMPRESSED)?, sample(Compression::ZSTD(ZstdLevel::default()))?];
    for case in 0..cases {
        let mut object = samples[case % 2].clone();
        // The footer says where everything is, so most of the damage is there.
        let from = if case % 3 == 0 { 4 } else { object.len() - object.len() / 3 };
        for _ in 0..random.usize(1..4) {
            let at = random.usize(from..object.len());
            object[at] ^= 1 << random.u8(0..8);
        }
        if case % 10 == 9 {
            object.truncate(random.usize(4..object.len()));
        }
        env.put(&format!("{case:05}"), object)?;
    }
    let report = env.path("report").display().to_string();
    let args = ["--format", "parquet", "--report", &report, "--no-ledger"];
    let ended = env.load("t", &args).await?;
    ensure!(matches!(ended.code, Some(0 | 3)), "{ended:?}");
    ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let lines = env.report("report")?;
    let mut failed = 0;
    for line in lines.iter().filter(|line| line["status"] == "failed") {
        failed += 1;
        let code = line["error"]["code"].as_str().unwrap_or_default();
        ensure!(["malformed", "unsupported_format", "bad_rows"].contains(&code), "{line:#}");
    }
    ensure!(failed > cases / 4, "only {failed} of {cases} objects failed");
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn an_object_that_is_cut_is_malformed(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id BIGINT, s VARCHAR(40), d DOUBLE, name VARCHAR(40))")
        .await?;
    let whole = sample(Compression::SNAPPY)?;
    for length in [4, 8, 100, whole.len() - 1] {
        env.put("a", whole[..length].to_vec())?;
        load(&env, 3, &[]).await?;
        expect_failure(&env, "report", "a", "malformed")?;
        env.start_afresh("t").await?;
    }
    ensure!(env.count("t").await? == 0);
    Ok(())
}
