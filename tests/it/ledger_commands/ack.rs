//! `ack`: failures that are settled until their objects change.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{account_with, insert_loaded, lines_table, make_ledger, one_table};
use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv};
use crate::support::values::ensure_values;

async fn ack(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let ended = env.run(&[&["ack", "--table", "t"], args].concat()).await?;
    ended.expect(code)?;
    Ok(ended)
}

async fn status(env: &TestEnv) -> Result<Ended> {
    let ended = env.run(&["status", "--table", "t"]).await?;
    ended.expect(0)?;
    Ok(ended)
}

async fn status_json(env: &TestEnv) -> Result<Value> {
    let ended = env.run(&["status", "--table", "t", "--json"]).await?;
    ended.expect(0)?;
    Ok(serde_json::from_str(&ended.stdout)?)
}

/// Loads one good object and fails with another.
async fn with_failure(env: &TestEnv) -> Result<()> {
    lines_table(env).await?;
    env.put("in/good", "1\n")?;
    env.put("in/bad", "no number\n")?;
    env.load_ending(3, "t", &[]).await.map(|_| ())
}

const BAD: &str = "s3://etl/in/bad";

#[apply(load_test)]
async fn an_acknowledged_failure_is_settled_until_the_object_changes(env: TestEnv) -> Result<()> {
    with_failure(&env).await?;
    let ended = ack(&env, 0, &[BAD, "--reason", "the supplier's test\nfile"]).await?;
    ensure!(ended.stdout.starts_with("acknowledged: s3://etl/in/bad: bad_rows since 2"), "{ended}");
    ended.says("1 object: acknowledged. Until they change, load skips them.\n")?;

    // It is not read, counts on its own, and the run succeeds.
    let report = env.path("report").display().to_string();
    let tried = env.s3.log().gets_of("in/bad").len();
    let ended = env.load_ending(0, "t", &["--report", &report]).await?;
    ensure!(ended.summary("objects acknowledged")? == "1", "{ended}");
    ensure!(ended.summary("objects failed")? == "0", "{ended}");
    ensure!(env.s3.log().gets_of("in/bad").len() == tried, "it was read again");
    let lines = env.report("report")?;
    let line = lines.iter().find(|line| line["key"] == "in/bad");
    ensure!(line.is_some_and(|line| line["status"] == "acknowledged"), "{lines:?}");
    ensure!(lines.last().is_some_and(|line| line["objects_acknowledged"] == 1), "{lines:?}");
    for args in [["--fail-on", "new"].as_slice(), &["--no-retry-failed"]] {
        env.load_ending(0, "t", args).await?;
    }
    let planned = env.run(&["plan", "s3://etl/", "--table", "t"]).await?;
    planned.expect(0)?;
    planned.says("1 failed object skipped: acknowledged")?;

    // For status it is fine, and said so.
    let ended = status(&env).await?;
    ensure!(ended.summary("objects failed")? == "0", "{ended}");
    ensure!(ended.summary("objects acknowledged")? == "1", "{ended}");
    let line = ended.stdout.lines().find(|line| line.starts_with("acknowledged: "));
    let line = line.unwrap_or_default();
    ensure!(line.starts_with("acknowledged: s3://etl/in/bad: bad_rows, since 2"), "{ended}");
    ensure!(line.contains(" by loader"), "{ended}");
    ensure!(line.ends_with(": the supplier's test\\nfile"), "{ended}");
    let details = env.run(&["status", "--table", "t", "--details"]).await?;
    details.says("'no number'")?;
    let check = env.run(&["status", "--table", "t", "--check"]).await?;
    check.expect(0)?;
    let document = status_json(&env).await?;
    ensure!(document["objects_failed"] == 0 && document["failed"] == Value::Array(Vec::new()));
    let acknowledged = &document["acknowledged"][0];
    ensure!(document["objects_acknowledged"] == 1 && acknowledged["key"] == "in/bad");
    ensure!(acknowledged["reason"] == "the supplier's test\nfile", "{document:#}");
    ensure!(acknowledged["error"]["code"] == "bad_rows", "{document:#}");
    ensure!(document["oldest_failure_at"].is_null(), "{document:#}");

    // Other content is a new failure.
    env.put("in/bad", "still none\n")?;
    let ended = env.load_ending(3, "t", &["--fail-on", "new"]).await?;
    ensure!(ended.summary("objects failed")? == "1", "{ended}");
    let ended = status(&env).await?;
    ensure!(ended.summary("objects failed")? == "1", "{ended}");
    ensure!(!ended.stdout.contains("acknowledged"), "{ended}");
    ack(&env, 0, &["s3://etl/in/", "--reason", "again"]).await?;
    status(&env).await?.says(": again\n")?;
    // The corrected object is loaded, and nothing is left to settle.
    env.put("in/bad", "2\n")?;
    let ended = env.load_ending(0, "t", &[]).await?;
    ensure!(ended.summary("objects loaded")? == "1", "{ended}");
    let ended = status(&env).await?;
    ensure!(!ended.stdout.contains("acknowledged"), "{ended}");
    ensure!(env.count("t").await? == 2);
    Ok(())
}

#[apply(load_test)]
async fn an_acknowledgement_is_taken_back_with_the_history_of_the_failure(
    env: TestEnv,
) -> Result<()> {
    with_failure(&env).await?;
    let before = status_json(&env).await?["failed"].clone();
    ack(&env, 0, &[BAD, "--reason", "x"]).await?;
    ack(&env, 0, &[BAD, "--undo"]).await?.says("failed again: s3://etl/in/bad: bad_rows since")?;
    let after = status_json(&env).await?["failed"].clone();
    ensure!(before == after, "{before:#}\n{after:#}");
    env.load_ending(3, "t", &[]).await?;
    // It is not news.
    env.load_ending(0, "t", &["--fail-on", "new"]).await?;

    ack(&env, 0, &[BAD, "--reason", "x"]).await?;
    let forgotten = env.run(&["forget", "--table", "t", BAD, "--yes"]).await?;
    forgotten.expect(0)?;
    forgotten
        .says("forgotten: 0 ledger rows (0 rows, 0 bytes), 0 failures, 1 acknowledgement\n")?;
    let ended = env.load_ending(3, "t", &[]).await?;
    ensure!(ended.summary("objects failed")? == "1", "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn what_is_no_failure_is_not_acknowledged(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    let reason = ["--reason", "x"];
    let refused =
        async |uris: &[&str], said: &str| ack(&env, 2, &[uris, &reason].concat()).await?.says(said);
    refused(&[BAD], "does not exist, or the account cannot see its tables").await?;
    env.schema.exec("DROP TABLE t").await?;
    with_failure(&env).await?;
    let loaded = "s3://etl/in/good: no failure to acknowledge: it is loaded, since 2";
    // All or none: the failure stays one.
    refused(&[BAD, "s3://etl/in/good"], loaded).await?;
    ensure!(status(&env).await?.summary("objects failed")? == "1");
    let unseen = "s3://etl/in/bat: no failure to acknowledge: the ledger has never seen it";
    refused(&["s3://etl/in/bat"], unseen).await?;
    refused(&["s3://etl/out/"], "s3://etl/out/: no object below it has failed").await?;
    ack(&env, 2, &[BAD, "--undo"]).await?.says("no failure of it is acknowledged")?;
    ack(&env, 2, &[BAD]).await?.says("--reason <TEXT>")?;
    ack(&env, 2, &[BAD, "--reason", " "]).await?.says("the reason must have 1 to 1000 bytes")?;
    ack(&env, 2, &reason).await?.says("there is nothing to acknowledge")?;
    // Another reason replaces the first one.
    ack(&env, 0, &[BAD, "--reason", "first"]).await?;
    ack(&env, 0, &[BAD, "--reason", "second"]).await?;
    status(&env).await?.says(": second\n")
}

#[apply(load_test)]
async fn a_swap_goes_on_without_what_is_acknowledged(env: TestEnv) -> Result<()> {
    lines_table(&env).await?;
    env.put("in/good", "1\n")?;
    env.put("in/bad", "no number\n")?;
    env.load_ending(3, "t", &["--mode", "swap"]).await?;
    ack(&env, 0, &[BAD, "--reason", "x"]).await?;
    for objects_loaded in ["0", "1"] {
        let ended = env.load_ending(0, "t", &["--mode", "swap"]).await?;
        ensure!(ended.summary("objects acknowledged")? == "1", "{ended}");
        ensure!(ended.summary("objects loaded")? == objects_loaded, "{ended}");
        ensure!(env.count("t").await? == 1);
    }
    Ok(())
}

/// A ledger from before there were acknowledgements has the other tables, and a program from then
/// tries and records what is acknowledged.
#[apply(load_test)]
async fn an_older_ledger_and_an_older_program_go_on_to_work(env: TestEnv) -> Result<()> {
    with_failure(&env).await?;
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() \
                  AND table_name LIKE 's3%acks'";
    ensure_values(&env.schema, tables, &["0"]).await?;
    status(&env).await?;
    // Without CREATE, a load goes on and an acknowledgement says what is missing.
    let grants = [("SELECT, INSERT, UPDATE, DELETE", "*")];
    let user = account_with(&env, &grants).await?;
    env.load_ending(3, "t", &["--user", &user]).await?;
    let args = [BAD, "--reason", "x", "--user", &user];
    ack(&env, 6, &args).await?.says("the account needs the CREATE privilege once")?;
    ack(&env, 0, &[BAD, "--reason", "x"]).await?;
    // The table is there now.
    ack(&env, 0, &args).await?;
    env.load_ending(0, "t", &["--user", &user]).await?;

    let of_an_older_program = "INSERT INTO s3_to_mysql_failures (generation, target, bucket, \
         object_key, etag, error_code, message, attempts, first_failed_at, last_failed_at, \
         worker, run_id) SELECT 1, target, bucket, object_key, etag, error_code, message, 1, \
         first_failed_at, last_failed_at, worker, run_id FROM s3_to_mysql_acks";
    env.schema.exec(of_an_older_program).await?;
    let ended = status(&env).await?;
    ensure!(ended.summary("objects failed")? == "0", "{ended}");
    ensure!(ended.summary("objects acknowledged")? == "1", "{ended}");
    env.run(&["status", "--table", "t", "--check"]).await?.expect(0)?;
    env.load_ending(0, "t", &[]).await?;
    ensure!(env.count("s3_to_mysql_failures").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn a_failure_of_unknown_content_cannot_be_acknowledged(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_loaded(&env, "t", 1, &["a"]).await?;
    super::insert_failure(&env, "t", 1, "in/bad").await?;
    env.schema.exec("UPDATE s3_to_mysql_failures SET etag = ''").await?;
    let ended = ack(&env, 2, &[BAD, "--reason", "x"]).await?;
    ended.says("s3://etl/in/bad: it failed before its ETag was known")
}
