//! The variables that stand for facts about an object.

use anyhow::{Result, ensure};

use super::{BY_NAME, ensure_failed, load, start_afresh};
use crate::registry::{apply, load_test};
use crate::support::lines::outcome;
use crate::support::program::TestEnv;
use crate::support::values::ensure_values;

const SET: [&str; 14] = [
    "--set",
    "k=@object_key",
    "--set",
    "n=UPPER(@Object_Name)",
    "--set",
    "b=@object_bucket",
    "--set",
    "e=@object_etag",
    "--set",
    "s=@object_size",
    "--set",
    "m=@object_modified",
    "--set",
    "r=COALESCE(@partition_region, 'none')",
];

async fn table(env: &TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), k VARCHAR(99), n VARCHAR(99), \
             b VARCHAR(20), e VARCHAR(99), s BIGINT, m DATETIME, mt TIMESTAMP NULL, r VARCHAR(9), \
             at DATETIME, att TIMESTAMP NULL) DEFAULT CHARSET utf8mb4",
        )
        .await
}

const KEYS: [&str; 5] = [
    "region=eu/a.csv",
    "region=us/b, \"c\\d\".csv",
    "region=__HIVE_DEFAULT_PARTITION__/NULL",
    "region=x/it's\t\u{e9}\u{1f600}",
    "region=y/e",
];

/// Requires that every row has the facts of the object that it came from, which its `v` names.
async fn ensure_facts(env: &TestEnv, rows: u64) -> Result<()> {
    ensure!(env.count("t").await? == rows, "{} rows", env.count("t").await?);
    for (index, key) in KEYS.iter().enumerate() {
        let line = outcome(env, "report", key)?;
        let etag = line["etag"].as_str().unwrap_or_default().trim_matches('"').to_owned();
        let (_, name) = key.rsplit_once('/').unwrap_or_default();
        let region = ["eu", "us", "none", "x", "y"][index];
        let wrong: Vec<(u64, String)> = env
            .schema
            .query(&format!(
                "SELECT id, CONCAT_WS('|', k, n, b, e, s, m, mt, r, at) FROM t \
                 WHERE v LIKE 'o{index}%' AND NOT (k <=> {} AND n <=> UPPER({}) AND b <=> 'etl' \
                 AND e <=> '{etag}' AND s <=> {} AND r <=> '{region}' \
                 AND m <=> CONVERT_TZ(mt, @@time_zone, '+00:00') \
                 AND m BETWEEN UTC_TIMESTAMP() - INTERVAL 1 DAY AND UTC_TIMESTAMP() + INTERVAL 1 \
                 DAY AND at <=> CONVERT_TZ(att, @@time_zone, '+00:00') \
                 AND ABS(TIMESTAMPDIFF(MINUTE, at, UTC_TIMESTAMP())) < 10)",
                literal(key),
                literal(name),
                line["size_bytes"],
            ))
            .await?;
        ensure!(wrong.is_empty(), "{key}: {wrong:?}");
    }
    Ok(())
}

fn literal(text: &str) -> String {
    let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
    format!("CONVERT(X'{hex}' USING utf8mb4) COLLATE utf8mb4_bin")
}

/// Sets the time columns, too. A TIMESTAMP gets the same clock, since sessions are in UTC.
const TIMES: [&str; 6] =
    ["--set", "mt=@object_modified", "--set", "at=@loaded_at", "--set", "att=@loaded_at"];

#[apply(load_test)]
async fn every_row_gets_the_facts_of_its_object(env: TestEnv) -> Result<()> {
    table(&env).await?;
    for (index, key) in KEYS.iter().enumerate() {
        let rows: String =
            (0..40).map(|row| format!("{},\"o{index}, {row}\"\n", index * 100 + row)).collect();
        env.put(key, rows)?;
    }
    let base = [&["--preset", "csv", "--columns", "id,v"], &SET[..], &TIMES].concat();
    let dir = env.path("rejects").display().to_string();
    for args in [
        &["--load-concurrency", "1"][..],
        &["--no-batch"],
        &["--part-size", "64"],
        &["--on-duplicate", "update"],
        &["--on-duplicate", "replace"],
        &["--on-duplicate", "reject", "--rejects", &dir],
    ] {
        load(&env, 0, &[&base[..], args].concat()).await?;
        ensure_facts(&env, 200).await?;
        start_afresh(&env).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn facts_are_added_to_good_rows_and_rejects_are_as_they_stand(env: TestEnv) -> Result<()> {
    table(&env).await?;
    for (index, key) in KEYS.iter().enumerate() {
        let first = index * 100;
        // Too few fields, too many, a bad value, a duplicate, and a terminator at the end.
        let text = format!(
            "{first},o{index}\n{}\n{},o,3\nx,o\n{first},o\n{},o{index},\n",
            first + 1,
            first + 2,
            first + 3
        );
        env.put(key, text)?;
    }
    let base = [&["--preset", "csv", "--columns", "id,v"], &SET[..], &TIMES].concat();
    let dir = env.path("rejects").display().to_string();
    let rejects = ["--on-bad-row", "reject", "--on-duplicate", "reject", "--rejects", &dir];
    for size in ["1GiB", "8"] {
        load(&env, 7, &[&base[..], &rejects, &["--part-size", size]].concat()).await?;
        ensure_facts(&env, 10).await?;
        if size == "1GiB" {
            let mut files = Vec::new();
            for entry in walk(&env.path("rejects"))? {
                if entry.extension().is_some_and(|it| it == "rejected") {
                    files.push(std::fs::read_to_string(entry)?);
                }
            }
            files.sort();
            ensure!(files.len() == 5 && files[0] == "1\n2,o,3\nx,o\n0,o\n", "{files:?}");
        }
        start_afresh(&env).await?;
        std::fs::remove_dir_all(env.path("rejects"))?;
    }
    let ended = load(&env, 3, &base).await?;
    ended.says("failed: 5 objects, 15 rows: 1 field, 2 are listed: id, v\n")?;
    ended.says("  s3://etl/region=eu/a.csv, line 2: 1\n")
}

fn walk(dir: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { files.extend(walk(&path)?) } else { files.push(path) }
    }
    Ok(files)
}

#[apply(load_test)]
async fn accepted_short_rows_keep_their_facts_in_place(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, v VARCHAR(9), w INT, k VARCHAR(99))").await?;
    env.put("key", "1,a,5\n2\n3,c,7,8\n")?;
    let args = ["--preset", "csv", "--columns", "id,v,w", "--set", "k=@object_key"];
    load(&env, 0, &[&args[..], &["--on-bad-row", "accept"]].concat()).await?;
    let rows = ["1|a|5|key", "2|\u{2205}|\u{2205}|key", "3|c|7|key"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &rows).await
}

#[apply(load_test)]
async fn facts_that_cannot_be_told_fail_their_object(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, k VARCHAR(99))").await?;
    env.put("a\tb", "1\n")?;
    env.put("\u{e9}", "2\n")?;
    env.put("good", "3\n")?;
    let set = ["--columns", "id", "--set", "k=@object_key"];
    load(&env, 3, &[&["--preset", "tsv"][..], &set].concat()).await?;
    ensure_failed(&env, "a\tb", "@object_key: the delimiters of the objects cannot express", "")?;
    start_afresh(&env).await?;
    load(&env, 3, &[&["--charset", "latin1"][..], &set].concat()).await?;
    ensure_failed(&env, "\u{e9}", "@object_key: the character set latin1 lacks it", "")?;
    ensure_values(&env.schema, "SELECT id, k FROM t ORDER BY id", &["1|a\\tb", "3|good"]).await?;
    start_afresh(&env).await?;
    load(&env, 3, &["--columns", "id", "--set", "k=@partition_dt"]).await?;
    ensure_failed(&env, "good", "@partition_dt: its key has no partition dt", "")?;
    // A field may have the name of a fact.
    load(&env, 0, &["--columns", "@object_key", "--set", "id=@object_key"]).await?;
    ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1", "2", "3"]).await
}

#[apply(load_test)]
async fn facts_go_with_names(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, v INT, dt DATE, k VARCHAR(99))").await?;
    env.put("dt=2026-01-01/a", "v,id\n1,2\n")?;
    env.put("dt=2026-01-02/b", "id,v\n3,4\n")?;
    let set = ["--set", "k=CONCAT(@object_name, '/', @partition_dt)"];
    load(&env, 0, &[&BY_NAME[..], &set].concat()).await?;
    let rows = ["2|1|2026-01-01|a/2026-01-01", "3|4|2026-01-02|b/2026-01-02"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &rows).await
}
