//! NULL for a TIMESTAMP column that is NOT NULL: the servers store the time of loading and say
//! nothing, so the program must.

use anyhow::{Result, ensure};

use crate::registry::{apply, load_test};
use crate::rejecting::load;
use crate::support::program::TestEnv;
use crate::support::values::ensure_values;

/// The second and the fourth of these rows have no time.
const OBJECT: &str = "1\t2020-01-01 00:00:00\n2\t\\N\n3\t2020-01-03 00:00:00\n4\t\\N\n";
const GOOD: [&str; 2] = ["1|2020-01-01 00:00:00", "3|2020-01-03 00:00:00"];
const ALL: &str = "SELECT id, CAST(seen AS CHAR) FROM t ORDER BY id";

async fn create(env: &TestEnv, seen: &str) -> Result<()> {
    env.schema.exec("DROP TABLE IF EXISTS t").await?;
    env.schema.exec(&format!("CREATE TABLE t (id INT PRIMARY KEY, seen {seen})")).await
}

#[apply(load_test)]
async fn null_for_a_timestamp_that_is_not_null_fails_the_object(env: TestEnv) -> Result<()> {
    env.put("data/1", OBJECT)?;
    for seen in [
        "TIMESTAMP NOT NULL",
        "TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)",
        "TIMESTAMP NOT NULL DEFAULT '2020-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP",
    ] {
        create(&env, seen).await?;
        for policy in ["error", "ignore", "replace", "update", "reject"] {
            let failed = load(&env, "t", 3, &["--on-duplicate", policy]).await?.ended;
            let named = seen.split(" NOT").next().unwrap_or_default().to_lowercase();
            for line in [2, 4] {
                let said = format!("line {line}, column seen ({named}): NULL in a NOT NULL column");
                failed.says(&said)?;
            }
            ensure_values(&env.schema, ALL, &[]).await?;
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn null_for_a_timestamp_that_is_not_null_is_rejected(env: TestEnv) -> Result<()> {
    env.put("data/1", OBJECT)?;
    for policy in ["error", "ignore", "replace", "update", "reject"] {
        create(&env, "TIMESTAMP NOT NULL").await?;
        let args = ["--on-bad-row", "reject", "--on-duplicate", policy];
        let rejected = load(&env, "t", 7, &args).await?;
        ensure!(rejected.text == b"2\t\\N\n4\t\\N\n", "{rejected:?}");
        // A dry run of the rows may give one reason twice.
        let mut lines: Vec<u64> =
            rejected.reasons.iter().filter_map(|reason| reason["line"].as_u64()).collect();
        lines.dedup();
        ensure!(lines == [2, 4], "{rejected:?}");
        for reason in &rejected.reasons {
            let text = "column seen (timestamp): NULL in a NOT NULL column";
            ensure!(reason["reason"] == text && reason["column"] == "seen", "{rejected:?}");
        }
        ensure_values(&env.schema, ALL, &GOOD).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn null_for_a_timestamp_is_warned_about_where_bad_rows_are_accepted(
    env: TestEnv,
) -> Result<()> {
    env.put("data/1", OBJECT)?;
    for policy in ["error", "replace", "update"] {
        create(&env, "TIMESTAMP NOT NULL").await?;
        let args = ["--on-bad-row", "accept", "--on-duplicate", policy];
        let accepted = load(&env, "t", 0, &args).await?;
        ensure!(accepted.line["warnings"] == 2, "{accepted:?}");
        ensure_values(
            &env.schema,
            ALL,
            &[GOOD[0], "2|0000-00-00 00:00:00", GOOD[1], "4|0000-00-00 00:00:00"],
        )
        .await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_check_predicts_what_null_for_a_timestamp_does(env: TestEnv) -> Result<()> {
    create(&env, "TIMESTAMP NOT NULL").await?;
    env.put("data/1", OBJECT)?;
    let checked = env.run(&["check", "s3://etl/data/", "--table", "t"]).await?;
    checked.expect(3)?;
    checked.says("line 4, column seen (timestamp): NULL in a NOT NULL column")?;
    ensure!(checked.summary("bad rows")? == "2", "{checked}");
    Ok(())
}

#[apply(load_test)]
async fn null_is_bad_for_a_timestamp_however_it_is_written(env: TestEnv) -> Result<()> {
    create(&env, "TIMESTAMP NOT NULL").await?;
    let csv = "1,NULL\r\n2,\"2020-01-02\"\r\n";
    let words = "1\tnone\n2\t2020-01-02\n";
    let cases: [(&str, &[&str]); 3] = [
        (csv, &["--preset", "csv"]),
        (words, &["--null-string", "none"]),
        (words, &["--columns", "id,@seen", "--set", "seen=NULLIF(@seen, 'none')"]),
    ];
    for (object, args) in cases {
        env.put("data/1", object)?;
        let failed = load(&env, "t", 3, args).await?.ended;
        failed.says("line 1, column seen")?;
        ensure!(env.count("t").await? == 0, "{args:?} has loaded rows: {failed}");
        let rejecting = [args, &["--on-bad-row", "reject"]].concat();
        load(&env, "t", 7, &rejecting).await?;
        ensure_values(&env.schema, ALL, &["2|2020-01-02 00:00:00"]).await?;
        env.schema.exec("TRUNCATE TABLE t").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn the_line_of_null_for_a_timestamp_is_known_in_a_split_object(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, seen TIMESTAMP NOT NULL)").await?;
    let row = |id: u32| if id == 190 { "\\N" } else { "2020-01-01 00:00:00" };
    let object: String = (1..=200).map(|id| format!("{id}\t{}\n", row(id))).collect();
    env.put("data/1", object)?;
    let args = ["--part-size", "1KiB"];
    let failed = load(&env, "t", 3, &args).await?.ended;
    failed.says("line 190, column seen (timestamp): NULL in a NOT NULL column")?;
    env.schema.exec("CREATE TABLE u LIKE t").await?;
    let args = [&args[..], &["--on-bad-row", "reject"]].concat();
    let rejected = load(&env, "u", 7, &args).await?;
    ensure!(rejected.line["rejected"] == 1, "{rejected:?}");
    ensure!(env.count("u").await? == 199);
    Ok(())
}

#[apply(load_test)]
async fn an_object_of_a_batch_with_null_for_a_timestamp_fails_alone(env: TestEnv) -> Result<()> {
    create(&env, "TIMESTAMP NOT NULL").await?;
    env.put("data/1", "1\t2020-01-01\n")?;
    env.put("data/2", "2\t\\N\n")?;
    env.put("data/3", "3\t2020-01-03\n")?;
    let failed = env.load("t", &[]).await?;
    failed.expect(3)?;
    failed.says("line 1, column seen (timestamp): ")?;
    ensure_values(&env.schema, ALL, &GOOD).await
}

#[apply(load_test)]
async fn what_else_takes_null_or_a_clock_is_not_touched(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a TIMESTAMP NULL, \
             seen TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), \
             b TIMESTAMP(6) NOT NULL DEFAULT '2021-01-01')",
        )
        .await?;
    env.put("data/1", "\\N\t\\N\t2020-02-03 04:05:06.789012\n\\N\t2020-01-01\t2020-02-03\n")?;
    load(&env, "t", 0, &["--columns", "id,a,b"]).await?;
    let values = "SELECT id, CAST(a AS CHAR), CAST(b AS CHAR), seen > '2024-01-01' FROM t \
                  ORDER BY id";
    ensure_values(
        &env.schema,
        values,
        &["1|∅|2020-02-03 04:05:06.789012|1", "2|2020-01-01 00:00:00|2020-02-03 00:00:00.000000|1"],
    )
    .await?;
    env.schema.exec("TRUNCATE TABLE t").await?;
    let set = ["--columns", "@id,a,b", "--set", "seen=NOW(6)"];
    load(&env, "t", 0, &set).await?;
    ensure!(env.count("t").await? == 2);
    Ok(())
}
