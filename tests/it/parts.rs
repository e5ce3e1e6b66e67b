//! Large objects are split: every part commits by itself, the whole is in the table once, and a
//! later run can load what is missing.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::lines::{expect_failure, outcome};
use crate::support::numbered_rows::{expect_rows, rows};
use crate::support::program::{
    BUCKET, Ended, TestEnv, finish, finish_with_peak, signal, wait_for_log,
};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::s3::{Algorithm, Fault, Keys, Object, Operation, Refusal, Times};

const PART: [&str; 2] = ["--part-size", "1KiB"];
/// The number of parts of that size in 1000 rows.
const PARTS: u64 = 24;

async fn table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT NOT NULL, v VARCHAR(10000) NOT NULL)").await
}

async fn state(env: &TestEnv) -> Result<(String, u64)> {
    env.schema.query_one("SELECT state, row_count FROM s3_to_mysql_objects").await
}

async fn parts(env: &TestEnv) -> Result<u64> {
    env.schema.query_one("SELECT COUNT(*) FROM s3_to_mysql_parts WHERE loaded_at IS NOT NULL").await
}

async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    env.load_ending(code, "t", &[&PART[..], &["--report", &report], args].concat()).await
}

/// Requires this text in the hint for a failed key.
fn expect_hint(env: &TestEnv, key: &str, text: &str) -> Result<()> {
    let line = outcome(env, "report", key)?;
    ensure!(line["error"]["hint"].as_str().is_some_and(|hint| hint.contains(text)), "{line:#}");
    Ok(())
}

/// Loads through a proxy whose rules are set.
fn start(env: &TestEnv, proxy: &Proxy, args: &[&str]) -> Result<tokio::process::Child> {
    let args = [&["--part-size", "1KiB"], args].concat();
    Ok(env.load_through(proxy.port(), &args).spawn()?)
}

#[apply(load_test)]
async fn an_object_larger_than_a_part_is_loaded_in_parts_and_is_there_once(
    env: TestEnv,
) -> Result<()> {
    table(&env).await?;
    let text = rows(1000);
    env.put("a", Object::new(text.clone()).with_checksum(Algorithm::Crc64Nvme))?;
    let ended = load(&env, 0, &[]).await?;
    expect_rows(&env, 1000).await?;
    ensure!(state(&env).await? == ("loaded".to_owned(), 1000));
    let found: (u64, u64, u64, u64) = env
        .schema
        .query_one(
            "SELECT COUNT(*), SUM(row_count), SUM(size_bytes), MAX(size_bytes) FROM \
             s3_to_mysql_parts",
        )
        .await?;
    let (count, sum, bytes, most) = found;
    let expected = (text.len() as u64).div_ceil(1024);
    ensure!(
        count == expected && sum == 1000 && bytes == text.len() as u64 && most < 1024 + 40,
        "{found:?}"
    );
    ensure!(ended.summary("objects loaded")? == "1" && ended.summary("rows")? == "1000", "{ended}");
    ensure!(outcome(&env, "report", "a")?["verified"] == "checksum");
    let misplaced: u64 = env
        .schema
        .query_one(
            "SELECT COUNT(*) FROM s3_to_mysql_parts WHERE start_offset < part_number * 1024 \
             OR start_offset >= (part_number + 1) * 1024",
        )
        .await?;
    ensure!(misplaced == 0);
    // Nothing is left to do.
    env.s3.log().clear();
    let ended = load(&env, 0, &[]).await?;
    ensure!(ended.summary("already loaded")? == "1", "{ended}");
    ensure!(env.s3.log().gets_of("a").is_empty());
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn quoted_line_breaks_across_boundaries_belong_to_their_row(env: TestEnv) -> Result<()> {
    table(&env).await?;
    let mut text = String::new();
    for id in 1..=200 {
        let _ = write!(
            text,
            "{id},\"{}\r\n\"\"{}\"\"\n\"\r\n",
            "x\ny,".repeat(id % 50),
            "\"\"".repeat(id % 7)
        );
    }
    env.put("a", text)?;
    for (round, args) in [&["--no-split"][..], &["--part-size", "64"], &["--part-size", "1000"]]
        .into_iter()
        .enumerate()
    {
        let args = [&["--preset", "csv"][..], args].concat();
        env.load_ending(0, "t", &args).await?;
        let sum: (u64, u64) =
            env.schema.query_one("SELECT COUNT(*), BIT_XOR(CRC32(CONCAT(id, v))) FROM t").await?;
        env.schema.exec(&format!("RENAME TABLE t TO t{round}")).await?;
        let sql = format!("SELECT COUNT(*), BIT_XOR(CRC32(CONCAT(id, v))) FROM t{round}");
        ensure!(sum == env.schema.query_one(&sql).await? && sum.0 == 200, "{sum:?}");
        let first: (u64, u64) =
            env.schema.query_one("SELECT COUNT(*), BIT_XOR(CRC32(CONCAT(id, v))) FROM t0").await?;
        ensure!(sum == first, "{sum:?} in parts, {first:?} whole");
        table(&env).await?;
        env.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
        let split: u64 = env.schema.query_one("SELECT COUNT(*) FROM s3_to_mysql_parts").await?;
        ensure!((round == 0) == (split == 0), "{split} parts in round {round}");
        env.schema.exec("DELETE FROM s3_to_mysql_parts").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_row_longer_than_a_part_is_in_one_part(env: TestEnv) -> Result<()> {
    table(&env).await?;
    let long = "z".repeat(9000);
    env.put("a", format!("{}1000\t{long}\n{}2000\t{long}", rows(60), rows(60)))?;
    load(&env, 0, &[]).await?;
    let found: (u64, u64, u64) = env
        .schema
        .query_one(
            "SELECT COUNT(*), COUNT(DISTINCT id), COUNT(IF(LENGTH(v) = 9000, 1, NULL)) FROM t",
        )
        .await?;
    ensure!(found == (122, 62, 2), "{found:?}");
    ensure!(state(&env).await? == ("loaded".to_owned(), 122));
    Ok(())
}

#[apply(load_test)]
async fn headers_a_byte_order_mark_and_crlf_are_those_of_the_object(env: TestEnv) -> Result<()> {
    table(&env).await?;
    let text = rows(300).replace('\n', "\r\n").replace('\t', ",");
    // The last row has no terminator.
    env.put("a", format!("\u{feff}id,\"v\r\nv\"\r\nsecond,line\r\n{}", text.trim_end()))?;
    load(&env, 0, &["--preset", "csv", "--ignore-lines", "2"]).await?;
    expect_rows(&env, 300).await?;
    let ending: Vec<String> =
        env.schema.query("SELECT DISTINCT HEX(line_ending) FROM s3_to_mysql_parts").await?;
    ensure!(ending == ["0D0A"], "{ending:?}");
    Ok(())
}

#[apply(load_test)]
async fn an_object_larger_than_the_staging_budget_is_loaded(env: TestEnv) -> Result<()> {
    table(&env).await?;
    let text = rows(100_000);
    ensure!(text.len() > 2_400_000);
    env.put("a", text)?;
    let ended = env.load_ending(0, "t", &["--staging-budget", "600KiB"]).await?;
    ensure!(ended.summary("rows")? == "100000", "{ended}");
    expect_rows(&env, 100_000).await?;
    ensure!(parts(&env).await? > 10);
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn several_objects_larger_than_the_budget_do_not_wait_for_each_other(
    env: TestEnv,
) -> Result<()> {
    table(&env).await?;
    for key in 0..6 {
        env.put(&format!("large{key}"), rows(12_000))?;
        env.put(&format!("small{key}"), rows(2_000))?;
    }
    let ended =
        env.load_ending(0, "t", &["--staging-budget", "200KiB", "--part-size", "60KiB"]).await?;
    ensure!(ended.summary("rows")? == "84000", "{ended}");
    ensure!(env.count("t").await? == 84_000);
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn a_row_that_needs_more_than_is_free_is_read_again_and_loaded(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT NOT NULL, v LONGTEXT NOT NULL)").await?;
    let long = "z".repeat(300_000);
    for key in ["a", "b", "c"] {
        env.put(key, format!("{}1000\t{long}\n{}", rows(4000), rows(4000)))?;
    }
    let args = ["--staging-budget", "400KiB", "--part-size", "50KiB"];
    env.load_ending(0, "t", &args).await?;
    ensure!(env.count("t").await? == 24_003);
    let long: u64 = env.schema.query_one("SELECT COUNT(*) FROM t WHERE LENGTH(v) = 300000").await?;
    ensure!(long == 3);
    // A row that can never fit is refused by its name.
    env.put("d", format!("{}1000\t{}\n", rows(4000), "z".repeat(500_000)))?;
    let report = env.path("report").display().to_string();
    env.load_ending(3, "t", &[&args[..], &["--report", &report]].concat()).await?;
    expect_failure(&env, "report", "d", "object_too_large")?;
    expect_hint(&env, "d", "--staging-budget")?;
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn what_is_not_to_be_split_is_loaded_whole(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("a", rows(1000))?;
    for args in
        [&["--no-split"][..], &["--no-ledger"], &["--charset", "gbk", "--fields-escaped-by", ""]]
    {
        load(&env, 0, args).await?;
        expect_rows(&env, 1000).await?;
        let whole = env.s3.log().gets_of("a").into_iter().all(|get| get.range.is_none());
        ensure!(whole, "it was read in ranges with {args:?}");
        env.schema.exec("TRUNCATE TABLE t").await?;
        env.run(&["forget", "s3://etl/", "--table", "t", "--yes"]).await?;
        env.s3.log().clear();
    }
    env.run(&["check", "s3://etl/", "--table", "t", "--part-size", "1KiB"]).await?.expect(0)?;
    ensure!(parts(&env).await? == 0);
    Ok(())
}

/// Puts 1000 rows in [`PARTS`] parts, of which row 500 does not fit.
async fn break_part(env: &TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id INT NOT NULL, v VARCHAR(30) NOT NULL, CHECK (id <> 500))")
        .await?;
    env.put("a", Object::new(rows(1000)).with_checksum(Algorithm::Crc64Nvme))?;
    load(env, 3, &["--load-concurrency", "1"]).await?;
    Ok(())
}

/// Changes the table so that this row fits.
async fn mend(env: &TestEnv) -> Result<()> {
    let name: String = env
        .schema
        .query_one(
            "SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE \
             TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 't' AND CONSTRAINT_TYPE = 'CHECK'",
        )
        .await?;
    env.schema.exec(&format!("ALTER TABLE t DROP CONSTRAINT `{name}`")).await
}

#[apply(load_test)]
async fn a_bad_row_leaves_the_object_partial_and_a_rerun_loads_what_is_missing(
    env: TestEnv,
) -> Result<()> {
    break_part(&env).await?;
    let (there, stored): (u64, u64) = (env.count("t").await?, parts(&env).await?);
    let rows_stored: u64 =
        env.schema.query_one("SELECT SUM(row_count) FROM s3_to_mysql_parts").await?;
    ensure!(
        there == rows_stored && stored > 0 && stored < PARTS,
        "{there} rows, {rows_stored} in {stored} parts"
    );
    ensure!(state(&env).await? == ("partial".to_owned(), 0));
    let line = outcome(&env, "report", "a")?;
    let message = line["error"]["message"].as_str().unwrap_or_default().to_owned();
    ensure!(line["error"]["code"] == "bad_rows", "{line}");
    ensure!(
        message.contains("part 11: ") && message.contains(&format!("{stored} of {PARTS} parts")),
        "{message}"
    );
    let ended = env.run(&["status", "--table", "t"]).await?;
    ended.says(&format!("partial: s3://etl/a: {stored} of {PARTS} parts"))?;
    let ended = env.run(&["status", "--table", "t", "--json"]).await?;
    let json: serde_json::Value = serde_json::from_str(&ended.stdout)?;
    ensure!(
        json["partial"][0]["parts_loaded"] == stored && json["partial"][0]["parts"] == PARTS,
        "{json}"
    );
    mend(&env).await?;
    let ended = load(&env, 0, &[]).await?;
    ensure!(ended.summary("rows")? == (1000 - there).to_string(), "{ended}");
    expect_rows(&env, 1000).await?;
    ensure!(state(&env).await? == ("loaded".to_owned(), 1000) && parts(&env).await? == PARTS);
    ensure!(outcome(&env, "report", "a")?["verified"] == "checksum");
    let failures: u64 = env.schema.query_one("SELECT COUNT(*) FROM s3_to_mysql_failures").await?;
    ensure!(failures == 0);
    Ok(())
}

#[apply(load_test)]
async fn a_resumed_run_reads_only_what_is_missing(env: TestEnv) -> Result<()> {
    break_part(&env).await?;
    mend(&env).await?;
    load(&env, 0, &[]).await?;
    // The state if these parts had never been loaded: two neighbors, and the last.
    env.schema
        .exec(
            "DELETE FROM t WHERE id IN (SELECT id FROM (SELECT t.id FROM t JOIN \
         s3_to_mysql_parts AS p ON t.id > p.rows_before AND t.id <= p.rows_before + p.row_count \
         WHERE p.part_number IN (3, 4, 23)) AS gone)",
        )
        .await?;
    let missing: Vec<(u64, u64)> = env
        .schema
        .query(
            "SELECT start_offset, size_bytes FROM s3_to_mysql_parts WHERE part_number IN (3, 4, \
             23) ORDER BY part_number",
        )
        .await?;
    env.schema.exec("DELETE FROM s3_to_mysql_parts WHERE part_number IN (3, 4, 23)").await?;
    env.schema
        .exec("UPDATE s3_to_mysql_objects SET state = 'partial', row_count = 0, loaded_at = NULL")
        .await?;
    env.s3.log().clear();
    load(&env, 0, &[]).await?;
    expect_rows(&env, 1000).await?;
    ensure!(state(&env).await? == ("loaded".to_owned(), 1000) && parts(&env).await? == PARTS);
    let ranges: BTreeSet<String> =
        env.s3.log().gets_of("a").into_iter().filter_map(|get| get.range).collect();
    let range = |from: u64, to: u64| format!("bytes={from}-{}", to - 1);
    let expected = BTreeSet::from([
        // The first bytes tell if the object is packed.
        range(0, 32),
        range(missing[0].0, missing[1].0 + missing[1].1),
        range(missing[2].0, missing[2].0 + missing[2].1),
    ]);
    ensure!(ranges == expected, "{ranges:?}, not {expected:?}");
    ensure!(outcome(&env, "report", "a")?["verified"] == "checksum");
    Ok(())
}

#[apply(load_test)]
async fn the_ledger_decides_on_the_size_of_parts(env: TestEnv) -> Result<()> {
    break_part(&env).await?;
    mend(&env).await?;
    // A part size larger than the object.
    env.load_ending(0, "t", &["--part-size", "1GiB"]).await?;
    expect_rows(&env, 1000).await?;
    ensure!(parts(&env).await? == PARTS);
    Ok(())
}

#[apply(load_test)]
async fn another_format_or_no_split_can_not_go_on_with_a_partial_object(
    env: TestEnv,
) -> Result<()> {
    break_part(&env).await?;
    mend(&env).await?;
    let before = env.count("t").await?;
    for args in [
        &["--no-split"][..],
        &["--fields-escaped-by", ""],
        &["--ignore-lines", "1"],
        &["--no-split", "--force"],
    ] {
        load(&env, 3, args).await?;
        expect_failure(&env, "report", "a", "partial_conflict")?;
        expect_hint(&env, "a", "s3-to-mysql forget")?;
    }
    ensure!(env.count("t").await? == before && state(&env).await?.0 == "partial");
    load(&env, 0, &["--force"]).await?;
    expect_rows(&env, 1000).await
}

#[apply(load_test)]
async fn a_partial_object_that_was_overwritten_is_an_error_of_its_own(env: TestEnv) -> Result<()> {
    break_part(&env).await?;
    mend(&env).await?;
    let before = env.count("t").await?;
    env.put("a", rows(1001))?;
    for args in [&[][..], &["--on-changed", "load"], &["--on-changed", "skip"], &["--no-split"]] {
        load(&env, 3, args).await?;
        expect_failure(&env, "report", "a", "partial_changed")?;
        expect_hint(&env, "a", "s3-to-mysql forget")?;
    }
    ensure!(env.count("t").await? == before);
    Ok(())
}

#[apply(load_test)]
async fn a_partial_object_that_is_gone_is_an_error_of_its_own(env: TestEnv) -> Result<()> {
    break_part(&env).await?;
    mend(&env).await?;
    env.put("b", rows(10))?;
    ensure!(env.s3.backend().remove(BUCKET, "a"));
    let ended = load(&env, 3, &[]).await?;
    expect_failure(&env, "report", "a", "partial_changed")?;
    ended.says("was deleted from the store")?;
    ensure!(outcome(&env, "report", "b")?["status"] == "loaded");
    // Another prefix is independent of it.
    env.put("other/c", rows(10))?;
    env.run(&["load", "s3://etl/other/", "--table", "t"]).await?.expect(0)
}

#[apply(load_test)]
async fn a_partial_object_is_forgotten_with_its_parts(env: TestEnv) -> Result<()> {
    break_part(&env).await?;
    mend(&env).await?;
    let before = env.count("t").await?;
    let ended = env.run(&["forget", "s3://etl/a", "--table", "t", "--yes"]).await?;
    ended.expect(0)?;
    ensure!(ended.stdout.contains(&before.to_string()), "{before} rows\n{ended}");
    ensure!(parts(&env).await? == 0);
    // The ledger no longer knows of it.
    env.schema.exec("DELETE FROM t").await?;
    load(&env, 0, &[]).await?;
    expect_rows(&env, 1000).await?;
    // Nor does the object count as loaded when somebody empties the table.
    env.schema
        .exec(
            "UPDATE s3_to_mysql_objects SET state = 'partial'; DELETE FROM \
         s3_to_mysql_parts WHERE part_number = 7; TRUNCATE TABLE t",
        )
        .await?;
    let ended = load(&env, 6, &[]).await?;
    ended.says("somebody has emptied it")
}

#[apply(load_test)]
async fn an_object_that_is_forgotten_while_it_loads_gets_no_further_part(
    env: TestEnv,
) -> Result<()> {
    table(&env).await?;
    env.put("a", rows(1000))?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.after(3, Step::StatementWithBoth("INSERT INTO", "_parts` ("), Break::Hold);
    let report = env.path("report").display().to_string();
    let child = start(&env, &proxy, &["--load-concurrency", "1", "--report", &report])?;
    held.wait().await?;
    let before = env.count("t").await?;
    env.run(&["forget", "s3://etl/a", "--table", "t", "--yes"]).await?.expect(0)?;
    held.release();
    finish(child).await?.expect(3)?;
    expect_failure(&env, "report", "a", "partial_conflict")?;
    ensure!(env.count("t").await? == before && before > 0 && parts(&env).await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn killed_between_parts_and_run_again_every_row_is_there_once(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("a", Object::new(rows(1000)).with_checksum(Algorithm::Crc32))?;
    let proxy = Proxy::start(env.server.port()).await?;
    let part_insert = Step::StatementWithBoth("INSERT INTO", "_parts` (");
    let part_update = Step::StatementWithBoth("UPDATE", "_parts` SET");
    let completion = Step::StatementWithBoth("UPDATE", "_objects` SET state = 'loaded'");
    for (skip, step, what) in [
        (0, part_insert, Break::Hold),
        (2, part_insert, Break::HoldAnswer),
        (3, Step::InfileBytes(100), Break::Hold),
        (1, part_update, Break::HoldAnswer),
        (4, Step::LoadCommit, Break::Hold),
        (1, Step::LoadCommit, Break::HoldAnswer),
        (0, completion, Break::Hold),
        (0, completion, Break::HoldAnswer),
    ] {
        let held = proxy.after(skip, step, what);
        let mut child = start(&env, &proxy, &["--load-concurrency", "2"])?;
        held.wait().await?;
        signal(&child, "KILL")?;
        child.wait().await?;
        held.cut();
        held.remove();
        // The server either rolls back what it had begun when it notices, or has committed it.
        let there = env.count("t").await?;
        let open: u64 = 40 * 2;
        let stored: u64 = env
            .schema
            .query_one("SELECT COALESCE(SUM(row_count), 0) FROM s3_to_mysql_parts")
            .await?;
        ensure!(
            there.abs_diff(stored) <= open,
            "{there} rows in the table, {stored} in the ledger after {step:?}"
        );
    }
    let ended = load(&env, 0, &[]).await?;
    expect_rows(&env, 1000).await?;
    ensure!(
        state(&env).await? == ("loaded".to_owned(), 1000) && parts(&env).await? == PARTS,
        "{ended}"
    );
    Ok(())
}

#[apply(load_test)]
async fn a_lost_commit_answer_of_a_part_is_settled(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("a", rows(1000))?;
    let proxy = Proxy::start(env.server.port()).await?;
    for what in [Break::SwallowAnswer, Break::Cut, Break::CutBehind] {
        let broken = proxy.after(5, Step::LoadCommit, what);
        let ended = finish(start(&env, &proxy, &[])?).await?;
        ended.expect(0)?;
        ensure!(broken.count() == 1);
        ensure!(ended.summary("rows")? == "1000", "{ended}");
        expect_rows(&env, 1000).await?;
        ensure!(state(&env).await? == ("loaded".to_owned(), 1000) && parts(&env).await? == PARTS);
        env.schema
            .exec(
                "DELETE FROM s3_to_mysql_parts; DELETE FROM s3_to_mysql_objects; TRUNCATE TABLE t",
            )
            .await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_wrong_checksum_keeps_the_last_part_out(env: TestEnv) -> Result<()> {
    for algorithm in [Algorithm::Crc64Nvme, Algorithm::Sha256] {
        table(&env).await?;
        env.put("a", Object::new(rows(1000)).with_checksum(algorithm))?;
        let wrong = env.s3.faults().inject(
            Operation::HeadObject,
            Keys::Any,
            Times::Always,
            Fault::WrongChecksum,
        );
        load(&env, 3, &[]).await?;
        expect_failure(&env, "report", "a", "checksum_mismatch")?;
        let last: u64 = env.schema.query_one("SELECT COUNT(*) FROM t WHERE id = 1000").await?;
        ensure!(last == 0 && parts(&env).await? == PARTS - 1 && state(&env).await?.0 == "partial");
        // The content stays out of the table.
        load(&env, if algorithm == Algorithm::Sha256 { 0 } else { 3 }, &[]).await?;
        wrong.remove();
        let ended = load(&env, 0, &[]).await?;
        expect_rows(&env, 1000).await?;
        if algorithm != Algorithm::Sha256 {
            ensure!(outcome(&env, "report", "a")?["verified"] == "checksum", "{ended}");
        }
        env.schema
            .exec("DELETE FROM s3_to_mysql_parts; DELETE FROM s3_to_mysql_objects; DROP TABLE t")
            .await?;
    }
    Ok(())
}

/// Returns rows with header lines and line breaks in quotes, of which every hundredth does not fit.
fn quoted_rows() -> (String, Vec<(u64, u64)>) {
    let mut text = "id,v\n\"two\nlines\",h\n".to_owned();
    let mut bad = Vec::new();
    for id in 1..=1000_u64 {
        let line = text.matches('\n').count() as u64 + 1;
        if id % 100 == 50 {
            bad.push((id, line));
            let _ = writeln!(text, "no{id},\"bad\nvalue\"");
        } else {
            let _ = writeln!(text, "{id},\"value\nnumber\"");
        }
    }
    (text, bad)
}

#[apply(load_test)]
async fn rejects_have_the_numbers_and_lines_of_the_object(env: TestEnv) -> Result<()> {
    table(&env).await?;
    let (text, bad) = quoted_rows();
    env.put("a", text)?;
    let rejects = env.path("rejects");
    let rejects = rejects.to_str().context("a path")?;
    let args = [
        "--preset",
        "csv-unix",
        "--ignore-lines",
        "2",
        "--on-bad-row",
        "reject",
        "--rejects",
        rejects,
    ];
    let ended = load(&env, 7, &args).await?;
    ensure!(ended.summary("rows rejected")? == "10", "{ended}");
    ensure!(env.count("t").await? == 990);
    let (mut found, mut held) = (Vec::new(), 0);
    for entry in std::fs::read_dir(rejects)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            for line in text.lines() {
                let line: serde_json::Value = serde_json::from_str(line)?;
                let number = |name: &str| line[name].as_u64().unwrap_or_default();
                found.push((number("row"), number("line")));
            }
        } else {
            // Every file has the header, so that the same options load it.
            ensure!(text.starts_with("id,v\n\"two\nlines\",h\nno"), "{text}");
            held += text.matches("bad\nvalue").count();
        }
    }
    found.sort_unstable();
    ensure!(found == bad && held == 10, "{found:?}, not {bad:?}");
    let line = outcome(&env, "report", "a")?;
    let more = line["more_reject_files"].as_array().map_or(0, Vec::len);
    ensure!(line["reject_file"].is_string() && more == 9, "{line}");
    Ok(())
}

#[apply(load_test)]
async fn max_rejects_counts_over_parts_and_runs(env: TestEnv) -> Result<()> {
    table(&env).await?;
    let (text, _) = quoted_rows();
    env.put("a", text)?;
    let rejects = env.path("rejects");
    let rejects = rejects.to_str().context("a path")?;
    let base = [
        "--preset",
        "csv-unix",
        "--ignore-lines",
        "2",
        "--on-bad-row",
        "reject",
        "--rejects",
        rejects,
    ];
    for _ in 0..2 {
        load(&env, 3, &[&base[..], &["--max-rejects", "6"]].concat()).await?;
        expect_failure(&env, "report", "a", "too_many_rejects")?;
        let rejected: u64 =
            env.schema.query_one("SELECT SUM(rejected_count) FROM s3_to_mysql_parts").await?;
        ensure!(rejected <= 6, "{rejected} rejected");
    }
    load(&env, 7, &[&base[..], &["--max-rejects", "10"]].concat()).await?;
    ensure!(env.count("t").await? == 990);
    let rejected: u64 =
        env.schema.query_one("SELECT rejected_count FROM s3_to_mysql_objects").await?;
    ensure!(rejected == 10);
    Ok(())
}

#[apply(load_test)]
async fn bad_rows_are_named_by_their_numbers_in_the_object(env: TestEnv) -> Result<()> {
    table(&env).await?;
    let mut text = rows(1000);
    text = text.replace("\n777\t", "\nno777\t");
    env.put("a", format!("h\nh\n{text}"))?;
    for args in [&[][..], &["--on-duplicate", "replace"]] {
        load(&env, 3, &[&["--ignore-lines", "2"][..], args].concat()).await?;
        let line = outcome(&env, "report", "a")?;
        let row = &line["error"]["rows"][0];
        ensure!(row["row"] == 777 && row["line"] == 779, "{line:#}");
        ensure!(row["raw"].as_str().is_some_and(|raw| raw.starts_with("no777")), "{line:#}");
        let said = line["error"]["rows"].to_string();
        ensure!(!said.contains("at row") || said.contains("at row 777"), "{line:#}");
    }
    Ok(())
}

#[apply(load_test)]
async fn two_runs_on_one_object_load_it_once(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("a", rows(2000))?;
    let args = ["load", "s3://etl/", "--table", "t", "--part-size", "1KiB"];
    let (one, other) = tokio::join!(env.run(&args), env.run(&args));
    one?.expect(0)?;
    other?.expect(0)?;
    expect_rows(&env, 2000).await
}

#[apply(load_test)]
async fn a_broken_range_is_resumed(env: TestEnv) -> Result<()> {
    table(&env).await?;
    let text = rows(100_000);
    env.put("a", Object::new(text).with_checksum(Algorithm::Crc32c))?;
    let cut =
        env.s3.faults().on_get("a", Times::NextOfEachKey(3), Fault::CutBody { after_bytes: 5000 });
    let report = env.path("report").display().to_string();
    env.load_ending(0, "t", &["--part-size", "500KiB", "--report", &report]).await?;
    cut.wait_for_effects(2).await;
    expect_rows(&env, 100_000).await?;
    let line = outcome(&env, "report", "a")?;
    ensure!(line["verified"] == "checksum" && line["attempts"] == 3, "{line}");
    let ranges: Vec<String> =
        env.s3.log().gets_of("a").into_iter().filter_map(|get| get.range).collect();
    // The first bytes, three ranges, of which any two may come first, and the rest of these two.
    let resumed = ["bytes=5000-", "bytes=1053576-", "bytes=2102152-"];
    let is_resumed = |range: &&String| resumed.iter().any(|from| range.starts_with(from));
    let resumed = ranges.iter().filter(is_resumed).count();
    ensure!(ranges.len() == 6 && resumed == 2, "{ranges:?}");
    Ok(())
}

#[apply(load_test)]
async fn ranges_are_fetched_side_by_side(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("a", rows(300_000))?;
    // The first bytes tell if the object is packed.
    let first = env.s3.faults().on_get("a", Times::Next(1), Fault::Hold);
    let child =
        env.command(["load", "s3://etl/", "--table", "t", "--part-size", "2MiB"]).spawn()?;
    first.wait_for_effects(1).await;
    let held = env.s3.faults().on_get("a", Times::Next(4), Fault::Hold);
    first.release();
    held.wait_for_effects(4).await;
    held.release();
    finish(child).await?.expect(0)?;
    ensure!(
        env.s3.log().max_gets_in_flight() == 4,
        "{} ranges at once",
        env.s3.log().max_gets_in_flight()
    );
    let pins = env.s3.log().gets_of("a").iter().all(|get| get.if_match.is_some());
    ensure!(pins, "a range was not pinned");
    expect_rows(&env, 300_000).await
}

#[apply(load_test)]
async fn memory_does_not_grow_with_the_object(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT NOT NULL, v VARCHAR(8000) NOT NULL)").await?;
    let row = format!("1\t{}\n", "x".repeat(7997));
    for key in ["a", "b", "c"] {
        env.put(key, Object::repeated(row.clone().into_bytes(), 8000 * 4000))?;
    }
    let child =
        env.command(["load", "s3://etl/", "--table", "t", "--part-size", "4MiB"]).spawn()?;
    let (ended, most_kib) = finish_with_peak(child).await?;
    ended.expect(0)?;
    ensure!(env.count("t").await? == 12_000);
    // The code of a debug build alone takes some 43 MiB, more than twice as much as that of a
    // package.
    ensure!(most_kib < 80 * 1024, "{most_kib} KiB resident at most");
    Ok(())
}

#[apply(load_test)]
async fn force_loads_a_split_object_again(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("a", rows(1000))?;
    load(&env, 0, &[]).await?;
    let ended = load(&env, 0, &["--force"]).await?;
    ensure!(ended.summary("rows")? == "1000", "{ended}");
    ensure!(env.count("t").await? == 2000 && parts(&env).await? == PARTS);
    Ok(())
}

#[apply(load_test)]
async fn an_object_whose_ledger_row_was_removed_by_hand_is_loaded_again(
    env: TestEnv,
) -> Result<()> {
    table(&env).await?;
    env.put("a", rows(1000))?;
    load(&env, 0, &[]).await?;
    env.start_afresh("t").await?;
    load(&env, 0, &[]).await?;
    expect_rows(&env, 1000).await
}

#[apply(load_test)]
async fn a_store_that_tells_no_checksum_is_verified_by_length(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("a", Object::new(rows(1000)).with_checksum(Algorithm::Crc32))?;
    let refused = Fault::Refuse(Refusal::BAD_REQUEST);
    env.s3.faults().inject(Operation::HeadObject, Keys::Any, Times::Always, refused);
    load(&env, 0, &[]).await?;
    expect_rows(&env, 1000).await?;
    ensure!(outcome(&env, "report", "a")?["verified"] == "length");
    Ok(())
}

#[apply(load_test)]
async fn what_is_no_text_is_known_before_anything_is_loaded(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("gzip", [b"\x1f\x8b\x08", rows(500).as_bytes()].concat())?;
    env.put("parquet", format!("PAR1\t1\n{}PAR1", rows(500)))?;
    load(&env, 3, &[]).await?;
    expect_failure(&env, "report", "gzip", "malformed")?;
    expect_failure(&env, "report", "parquet", "unsupported_format")?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn a_stopped_run_finishes_the_parts_it_has_begun(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("a", rows(1000))?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.after(3, Step::LoadCommit, Break::Hold);
    let mut child = start(&env, &proxy, &["--load-concurrency", "1"])?;
    held.wait().await?;
    signal(&child, "TERM")?;
    let said = wait_for_log(&mut child, "stopping: current loads").await?;
    held.release();
    let ended = finish(child).await?;
    ended.expect(143)?;
    ensure!(parts(&env).await? == 4 && state(&env).await?.0 == "partial", "{ended}{}", said.await?);
    ensure!(ended.summary("objects not reached")? == "1", "{ended}");
    load(&env, 0, &[]).await?;
    expect_rows(&env, 1000).await
}

#[apply(load_test)]
async fn a_malformed_row_leaves_the_parts_before_it(env: TestEnv) -> Result<()> {
    table(&env).await?;
    let text = rows(1000).replace('\t', ",").replace("\n777,", "\n777,\"x\"y");
    env.put("a", text)?;
    load(&env, 3, &["--preset", "csv"]).await?;
    expect_failure(&env, "report", "a", "malformed")?;
    let message = outcome(&env, "report", "a")?["error"]["message"].to_string();
    ensure!(
        message.contains("line 777, column ") && message.contains("18 of 24 parts"),
        "{message}"
    );
    let (rows, last): (u64, u64) = env.schema.query_one("SELECT COUNT(*), MAX(id) FROM t").await?;
    ensure!(rows == last && rows < 777 && rows > 700, "{rows} rows, the last {last}");
    Ok(())
}

#[apply(load_test)]
async fn a_swap_with_parts_is_verified_by_sums(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.schema.exec("INSERT INTO t VALUES (0, 'old')").await?;
    env.put("a", rows(1000).replace("\n777\t", "\nno777\t"))?;
    let args = ["--mode", "swap", "--verify", "checksum"];
    load(&env, 3, &args).await?;
    ensure!(env.count("t").await? == 1, "it was swapped with a part missing");
    env.put("a", rows(1000))?;
    load(&env, 3, &args).await?;
    expect_failure(&env, "report", "a", "partial_changed")?;
    load(&env, 0, &[&args[..], &["--force"]].concat()).await?;
    expect_rows(&env, 1000).await
}
