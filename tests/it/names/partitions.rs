//! The `NAME=VALUE` parts of keys.

use anyhow::{Result, ensure};

use super::{BY_NAME, ensure_failed, load, start_afresh};
use crate::registry::{apply, load_test};
use crate::support::lines::outcome;
use crate::support::program::TestEnv;
use crate::support::values::ensure_values;

const KEYS: [(&str, &str); 4] = [
    ("dt=2024-01-01/region=eu/000000_0", "1\u{1}ann\n"),
    ("dt=2024-01-02/region=us%2Fwest/000000_0", "2\u{1}bob\n"),
    ("dt=__HIVE_DEFAULT_PARTITION__/region=eu/000000_0", "3\u{1}cyd\n"),
    ("DT=2024-01-02/region=a b/000000_0", "4\u{1}dee\n"),
];
const ALL: &str = "SELECT id, name, dt, region FROM t ORDER BY id";
const ROWS: [&str; 4] = [
    "1|ann|2024-01-01|eu",
    "2|bob|2024-01-02|us/west",
    "3|cyd|\u{2205}|eu",
    "4|dee|2024-01-02|a b",
];

async fn table(env: &TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(10), dt DATE, region VARCHAR(20))")
        .await
}

#[apply(load_test)]
async fn partitions_of_the_key_fill_the_columns_that_the_rows_lack(env: TestEnv) -> Result<()> {
    table(&env).await?;
    for (key, text) in KEYS {
        env.put(key, text)?;
    }
    let dir = env.path("rejects").display().to_string();
    for args in [
        &["--partition-columns", "dt,region"][..],
        &["--partition-columns", "auto"],
        &["--partition-columns", "region,DT", "--no-batch"],
        &["--partition-columns", "auto", "--part-size", "3"],
        &["--partition-columns", "auto", "--columns", "id,name"],
        &["--partition-columns", "auto", "--on-duplicate", "update"],
        &["--partition-columns", "dt,region", "--on-bad-row", "reject", "--rejects", &dir],
    ] {
        load(&env, 0, &[&["--preset", "hive"], args].concat()).await?;
        ensure_values(&env.schema, ALL, &ROWS).await?;
        start_afresh(&env).await?;
    }
    // Without the option, the rows are too short, or the columns stay empty because they are asked
    // to.
    load(&env, 3, &["--preset", "hive"]).await?;
    ensure!(env.count("t").await? == 0);
    load(&env, 0, &["--preset", "hive", "--columns", "id,name"]).await?;
    ensure_values(&env.schema, "SELECT COUNT(*), COUNT(dt), COUNT(region) FROM t", &["4|0|0"]).await
}

#[apply(load_test)]
async fn a_partition_must_be_there_and_fit_its_column(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("dt=2024-13-01/region=eu/a", "1\tann\n")?;
    env.put("dt=2024-01-01/a", "2\tbob\n")?;
    env.put("dt=2024-01-01/DT=2024-01-02/region=x/a", "3\tcyd\n")?;
    env.put("dt=2024-01-01/region=eu/a", "4\tdee\n")?;
    load(&env, 3, &["--partition-columns", "dt,region"]).await?;
    ensure_values(&env.schema, ALL, &["4|dee|2024-01-01|eu"]).await?;
    let failed = |key, says| ensure_failed(&env, key, says, "");
    failed("dt=2024-13-01/region=eu/a", "the partition dt of its key, for column dt: ")?;
    failed("dt=2024-01-01/a", "its key has no partition region (region=VALUE/)")?;
    failed("dt=2024-01-01/DT=2024-01-02/region=x/a", "its key has the partition dt twice")?;
    let ended = load(&env, 6, &["--partition-columns", "day"]).await?;
    ended.says("there is no column \"day\", named in --partition-columns")?;
    // Tabs without quotes or escapes have no text for NULL.
    env.put("dt=__HIVE_DEFAULT_PARTITION__/region=eu/a", "5\teve\n")?;
    load(&env, 3, &["--partition-columns", "dt,region", "--preset", "tsv"]).await?;
    ensure_failed(
        &env,
        "dt=__HIVE_DEFAULT_PARTITION__/region=eu/a",
        "the delimiters of the objects cannot express NULL",
        "",
    )
}

#[apply(load_test)]
async fn a_partition_that_is_a_field_too_must_equal_it_in_every_row(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("dt=2024-01-01/1", "name,dt,id,region\nann,2024-01-01,1,x\nbob,2024-01-01,2,y\n")?;
    env.put("dt=2024-01-01/2", "id,dt,name\n3,2024-01-01,cyd\n4,2024-01-02,dee\n")?;
    env.put("dt=2024-01-01/3", "id,dt\n5,NULL\n")?;
    env.put("dt=__HIVE_DEFAULT_PARTITION__/4", "id,dt\n6,NULL\n")?;
    env.put("dt=2024-01-01/other=x/region=/5", "id,name\n7,gil\n")?;
    let rows = [
        "1|ann|2024-01-01|x",
        "2|bob|2024-01-01|y",
        "6|\u{2205}|\u{2205}|\u{2205}",
        "7|gil|2024-01-01|",
    ];
    for args in [&[][..], &["--part-size", "16"]] {
        let ended = load(&env, 3, &[&BY_NAME[..], args].concat()).await?;
        let found: u64 = env.schema.query_one("SELECT COUNT(*) FROM t WHERE id IN (4, 5)").await?;
        ensure!(found == 0);
        env.schema.exec("DELETE FROM t WHERE id = 3").await?;
        ensure_values(&env.schema, ALL, &rows).await?;
        ensure_failed(&env, "dt=2024-01-01/2", "the key differ in dt", "--partition-columns none")?;
        ended.says("line 3, '2024-01-02' is not the value in the key, '2024-01-01'")?;
        ended.says("NULL is not the value in the key, '2024-01-01'")?;
        start_afresh(&env).await?;
    }
    load(&env, 0, &[&BY_NAME[..], &["--partition-columns", "none"]].concat()).await?;
    ensure_values(&env.schema, "SELECT dt FROM t WHERE id IN (4, 7)", &["2024-01-02", "\u{2205}"])
        .await
}

#[apply(load_test)]
async fn a_listed_partition_is_compared_by_position_too(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("dt=2024-01-01/region=eu/1", "1\t2024-01-01\tann\n2\t2024-01-01\tbob\n")?;
    env.put("dt=2024-01-02/region=eu/2", "3\t2024-01-01\tcyd\n")?;
    let columns = ["--columns", "id,dt,name", "--partition-columns", "dt,region"];
    load(&env, 3, &columns).await?;
    ensure_values(&env.schema, ALL, &["1|ann|2024-01-01|eu", "2|bob|2024-01-01|eu"]).await?;
    ensure_failed(&env, "dt=2024-01-02/region=eu/2", "the key differ in dt", "none reads")
}

#[apply(load_test)]
async fn partitions_are_verified_like_fields(env: TestEnv) -> Result<()> {
    table(&env).await?;
    for (key, text) in KEYS {
        env.put(key, text)?;
    }
    let args = ["--preset", "hive", "--partition-columns", "auto", "--mode", "truncate"];
    let ended = load(&env, 0, &[&args[..], &["--verify", "checksum"]].concat()).await?;
    ensure!(ended.summary("verified")?.starts_with("4 rows, 4 of 4 columns"), "{ended}");
    ensure!(outcome(&env, "report", KEYS[0].0)?["rows"] == 1);
    Ok(())
}

#[apply(load_test)]
async fn a_needed_column_that_the_key_lacks_fails_the_object(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (dt DATE NOT NULL, id INT PRIMARY KEY)").await?;
    env.put("dt=2024-01-01/a", "1\n")?;
    env.put("b", "2\n")?;
    let args = ["--preset", "csv", "--partition-columns", "auto"];
    load(&env, 3, &args).await?;
    ensure_values(&env.schema, "SELECT id, dt FROM t", &["1|2024-01-01"]).await
}

#[apply(load_test)]
async fn records_of_json_and_keys_do_not_compete_in_silence(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, dt VARCHAR(9))").await?;
    env.put("dt=k/a", "{\"id\":1,\"dt\":\"r\"}\n")?;
    let json = ["--format", "jsonl"];
    load(&env, 3, &json).await?;
    ensure_failed(&env, "dt=k/a", "its key has dt=", "--set 'dt=@partition_dt'")?;
    load(&env, 2, &["--format", "jsonl", "--partition-columns", "dt"])
        .await?
        .says("use --set 'dt=@partition_dt'")?;
    load(&env, 0, &["--format", "jsonl", "--set", "dt=@partition_dt"]).await?;
    ensure_values(&env.schema, "SELECT id, dt FROM t", &["1|k"]).await?;
    start_afresh(&env).await?;
    load(&env, 0, &["--format", "jsonl", "--partition-columns", "none"]).await?;
    ensure_values(&env.schema, "SELECT id, dt FROM t", &["1|r"]).await
}

#[apply(load_test)]
async fn a_key_holds_any_characters_as_they_are_or_encoded(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id INT, city VARCHAR(20)) CHARSET utf8mb4 COLLATE utf8mb4_bin")
        .await?;
    for (id, city) in
        ["Z%C3%BCrich", "Z\u{fc}rich", "%E6%9D%B1%E4%BA%AC", "%F0%9F%99%82", "%ff", "a%2Fb%3D%25"]
            .iter()
            .enumerate()
    {
        env.put(&format!("city={city}/a"), format!("{id}\n"))?;
    }
    load(&env, 0, &["--preset", "csv", "--partition-columns", "auto"]).await?;
    let rows =
        ["0|Z\u{fc}rich", "1|Z\u{fc}rich", "2|\u{6771}\u{4eac}", "3|\u{1f642}", "4|%ff", "5|a/b=%"];
    ensure_values(&env.schema, "SELECT id, city FROM t ORDER BY id", &rows).await?;
    // A column of another character set cannot hold them.
    env.schema.exec("CREATE TABLE u (id INT, city VARCHAR(20) CHARSET latin1)").await?;
    let report = env.path("report").display().to_string();
    let args = ["--preset", "csv", "--partition-columns", "auto", "--report", &report];
    env.load_ending(3, "u", &args).await?;
    ensure_failed(&env, "city=%E6%9D%B1%E4%BA%AC/a", "the partition city of its key", "")
}

/// MariaDB warns of a statement that leaves such a column out, and the keys fill it.
#[apply(load_test)]
async fn a_key_fills_a_needed_column_that_is_not_listed(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, v INT, dt DATE NOT NULL)").await?;
    env.put("dt=2024-01-01/a", "1,10\n")?;
    env.put("b", "2,20\n")?;
    let args = ["--preset", "csv", "--columns", "id,v"];
    load(&env, 6, &args).await?.says("--partition-columns 'dt' takes it from keys with dt=")?;
    load(&env, 3, &[&args[..], &["--partition-columns", "auto"]].concat()).await?;
    ensure_values(&env.schema, "SELECT id, v, dt FROM t", &["1|10|2024-01-01"]).await?;
    ensure_failed(&env, "b", "column dt must have a value", "--set 'dt=EXPRESSION'")?;
    // By name, a list is all that keys may fill.
    env.put("dt=2024-01-01/a", "id,v\n1,10\n")?;
    load(&env, 6, &[&BY_NAME[..], &["--columns", "id,v"]].concat())
        .await?
        .says("column dt is NOT NULL without a default")?;
    Ok(())
}

#[apply(load_test)]
async fn rows_that_lack_the_columns_of_their_key_are_told_how_to_get_them(
    env: TestEnv,
) -> Result<()> {
    table(&env).await?;
    for (key, text) in KEYS {
        env.put(key, text)?;
    }
    load(&env, 3, &["--preset", "hive"]).await?;
    let hint = outcome(&env, "report", KEYS[0].0)?["error"]["hint"].to_string();
    let says = "--partition-columns 'dt,region' takes from the key what the rows may lack";
    ensure!(hint.contains(says), "{hint}");
    Ok(())
}
