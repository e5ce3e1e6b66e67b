//! Many bad rows in one object: more than a server shows warnings for, and too many to look at one
//! by one.

use anyhow::{Context as _, Result, ensure};

use super::rejects::rejected;
use crate::registry::{apply, load_test};
use crate::support::many_bad_rows::{ARGS, Badness, ManyBadRows, checksum_query, create_table};
use crate::support::program::{TestEnv, row_error_numbers};

const ROWS: u64 = 100_000;
const BAD: u64 = 20_000;

async fn prepare(env: &TestEnv, rows: u64, bad: u64) -> Result<ManyBadRows> {
    for sql in create_table("t") {
        env.schema.exec(&sql).await?;
    }
    let mut object = Vec::new();
    let made = ManyBadRows::write(rows, bad, &mut object)?;
    ensure!(made.bad.len() as u64 == bad && object.len() as u64 == made.bytes);
    env.put("many", object)?;
    Ok(made)
}

#[apply(load_test)]
async fn of_many_bad_rows_the_first_ten_are_told(env: TestEnv) -> Result<()> {
    let made = prepare(&env, ROWS, BAD).await?;
    let before = env.count("t").await?;
    let report = env.path("report").display().to_string();
    env.load_ending(3, "t", &[&ARGS[..], &["--report", &report]].concat()).await?;
    let error = env.report("report")?[0]["error"].clone();
    let lines = row_error_numbers(&error["rows"], "line")?;
    // A duplicate is reported if nothing worse is wrong. A row that lacks several fields has
    // several warnings.
    let bad = made.bad.iter().filter(|bad| !bad.badness.is_duplicate());
    let expected: Vec<u64> = bad.take(10).map(|bad| bad.line).collect();
    let mut told = lines.clone();
    told.dedup();
    ensure!(told == expected, "{told:?}, not {expected:?}: {error:#}");
    ensure!(env.count("t").await? == before);
    Ok(())
}

#[apply(load_test)]
async fn many_bad_rows_that_are_accepted_are_counted(env: TestEnv) -> Result<()> {
    let made = prepare(&env, ROWS, BAD).await?;
    let before = env.count("t").await?;
    let args = ["--on-bad-row", "accept", "--on-duplicate", "ignore"];
    let ended = env.load_ending(0, "t", &[&ARGS[..], &args].concat()).await?;
    ensure!(ended.summary("rows")? == ROWS.to_string(), "{ended}");
    ensure!(ended.summary("rows skipped")? == made.duplicates().to_string(), "{ended}");
    // A short row lacks three fields.
    let short = made.bad.iter().filter(|bad| bad.badness == Badness::FieldsMissing).count() as u64;
    ensure!(ended.summary("warnings")? == (BAD + 2 * short).to_string(), "{ended}");
    ensure!(env.count("t").await? == before + ROWS - made.duplicates());
    // The good rows are right, whatever happened to the others.
    let bad: Vec<String> = made
        .bad
        .iter()
        .filter(|bad| !bad.badness.is_duplicate())
        .map(|bad| bad.id().to_string())
        .collect();
    env.schema.exec(&format!("DELETE FROM t WHERE id IN ({})", bad.join(", "))).await?;
    let found: (u64, u64) = env.schema.query_one(&checksum_query("t")).await?;
    ensure!(
        found == (made.good(), made.checksum),
        "{found:?}, not {:?}",
        (made.good(), made.checksum)
    );
    Ok(())
}

#[apply(load_test)]
async fn of_many_bad_rows_exactly_the_good_ones_are_loaded(env: TestEnv) -> Result<()> {
    let made = prepare(&env, ROWS, BAD).await?;
    let (rejects, report) =
        (env.path("rejects").display().to_string(), env.path("report").display().to_string());
    let args = [
        "--on-bad-row",
        "reject",
        "--on-duplicate",
        "reject",
        "--rejects",
        &rejects,
        "--report",
        &report,
    ];
    let ended = env.load_ending(7, "t", &[&ARGS[..], &args].concat()).await?;
    ensure!(ended.summary("rows rejected")? == BAD.to_string(), "{ended}");
    let found: (u64, u64) = env.schema.query_one(&checksum_query("t")).await?;
    ensure!(
        found == (made.good(), made.checksum),
        "{found:?}, not {:?}",
        (made.good(), made.checksum)
    );
    let rejected = rejected(&env)?.context("there are no rejects")?;
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &rejected.text);
    let mut told = Vec::new();
    for line in &rejected.sidecar {
        let place =
            (line["row"].as_u64().context("no row")?, line["line"].as_u64().context("no line")?);
        if told.last() != Some(&place) {
            told.push(place);
        }
    }
    let expected: Vec<(u64, u64)> = made.bad.iter().map(|bad| (bad.number, bad.line)).collect();
    let difference = told.iter().zip(&expected).find(|(told, expected)| told != expected);
    ensure!(
        told.len() == expected.len() && difference.is_none(),
        "{} rows: {difference:?}",
        told.len()
    );
    ensure!(checksum == made.rejects_checksum, "the reject file has other rows");
    Ok(())
}
