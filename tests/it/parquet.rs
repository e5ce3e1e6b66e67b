//! Parquet: columns go by names, and values keep what they mean.

mod damaged;
mod foreign;
mod memory;
mod oracle;
mod types;
mod write;

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::registry::{apply, load_test};
use crate::support::lines::{expect_failure, outcome};
use crate::support::program::{Ended, TestEnv};
use crate::support::s3::Operation;
use crate::support::values::ensure_values;
use write::{file, file_with};

/// Loads everything as Parquet. The report is `report`.
async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    let args = [&["--format", "parquet", "--report", &report], args].concat();
    let ended = env.load_ending(code, "t", &args).await?;
    env.ensure_nothing_staged()?;
    Ok(ended)
}

fn ids(ids: std::ops::Range<i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(ids))
}

fn names(ids: std::ops::Range<i64>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(ids.map(|id| format!("name {id}"))))
}

#[apply(load_test)]
async fn columns_go_by_their_names_in_any_order_and_case(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(40), qty DOUBLE DEFAULT 7.5) \
             CHARSET utf8mb4",
        )
        .await?;
    let texts = ["a\tb", "c\\N\nd", "", "\\N", "é🙂\r", "NULL"];
    let texts: ArrayRef = Arc::new(StringArray::from_iter(
        texts.into_iter().map(Some).chain([None]).collect::<Vec<_>>(),
    ));
    env.put("a.parquet", file(&[("NAME", texts), ("id", ids(0..7))])?)?;
    let quantities: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None]));
    env.put("b", file(&[("Qty", quantities), ("id", ids(10..12)), ("name", names(10..12))])?)?;
    env.put("empty", file(&[("id", ids(0..0)), ("name", names(0..0))])?)?;
    // Spark writes such a file into each folder.
    env.put("_SUCCESS", "")?;
    load(&env, 0, &[]).await?;
    ensure_values(
        &env.schema,
        "SELECT * FROM t ORDER BY id",
        &[
            "0|a\\tb|7.5",
            "1|c\\\\N\\nd|7.5",
            "2||7.5",
            "3|\\\\N|7.5",
            "4|é🙂\\r|7.5",
            "5|NULL|7.5",
            "6|∅|7.5",
            "10|name 10|1.5",
            "11|name 11|∅",
        ],
    )
    .await?;
    let line = outcome(&env, "report", "a.parquet")?;
    ensure!(line["rows"] == 7 && line["format"] == "parquet", "{line}");
    ensure!(outcome(&env, "report", "empty")?["rows"] == 0);
    // The ledger knows them.
    let ended = load(&env, 0, &[]).await?;
    ensure!(ended.summary("rows")? == "0", "{}", ended.stdout);
    ensure!(env.count("t").await? == 9);
    Ok(())
}

#[apply(load_test)]
async fn a_column_that_the_table_lacks_fails_the_object_unless_it_is_ignored(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT NOT NULL, name VARCHAR(40))").await?;
    let columns = [("id", ids(0..3)), ("nmae", names(0..3))];
    env.put("a", file(&columns)?)?;
    let ended = load(&env, 3, &[]).await?;
    ended.says("its columns (id, nmae): nmae is no column that can be loaded")?;
    ended.says("did you mean \"name\"?")?;
    expect_failure(&env, "report", "a", "malformed")?;
    load(&env, 0, &["--extra-columns", "ignore"]).await?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["0|∅", "1|∅", "2|∅"]).await?;
    // A column that must have a value, and that the file lacks.
    env.start_afresh("t").await?;
    env.put("a", file(&[("name", names(0..3))])?)?;
    let ended = load(&env, 3, &[]).await?;
    ended.says("it lacks the column id")?;
    // Variables and expressions.
    env.put("a", file(&[("name", names(0..3))])?)?;
    load(&env, 0, &["--set", "id=LENGTH(@name)", "--columns", "@name"]).await?;
    ensure_values(&env.schema, "SELECT * FROM t", &["6|∅", "6|∅", "6|∅"]).await
}

#[apply(load_test)]
async fn a_value_that_its_column_does_not_take_is_a_bad_row(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id TINYINT NOT NULL, name VARCHAR(8))").await?;
    let values = Int64Array::from(vec![Some(1), Some(128), None, Some(-128)]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a\tb", "b", "c", "too long a name"]));
    env.put("a", file(&[("id", Arc::new(values)), ("name", texts)])?)?;
    let ended = load(&env, 3, &[]).await?;
    ended.says("3 of 4 rows are bad")?;
    ended.says("row 2, column id (tinyint): '128' is out of range")?;
    ended.says("row 3, column id (tinyint): NULL in a NOT NULL column")?;
    ensure!(!ended.stderr.contains("line "), "{}", ended.stderr);
    // What is rejected loads again.
    let rejects = env.path("rejects").display().to_string();
    load(&env, 7, &["--on-bad-row", "reject", "--rejects", &rejects]).await?;
    ensure_values(&env.schema, "SELECT * FROM t", &["1|a\\tb"]).await?;
    let files: Vec<_> = std::fs::read_dir(env.path("rejects"))?.collect::<Result<_, _>>()?;
    let is_text =
        |file: &&std::fs::DirEntry| file.path().extension().is_some_and(|it| it == "rejected");
    let found = files.iter().find(is_text).context("no reject file")?;
    let text = std::fs::read_to_string(found.path())?;
    ensure!(text == "id\tname\n128\tb\n\\N\tc\n-128\ttoo long a name\n", "{text}");
    env.start_afresh("t").await?;
    let mended = text.replace("\n128", "\n12").replace("\\N", "3").replace("too long a ", "");
    env.put("a", mended)?;
    env.load_ending(0, "t", &["--match-columns", "name", "--binary", "hex"]).await?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["-128|name", "3|c", "12|b"]).await
}

#[apply(load_test)]
async fn every_codec_page_version_and_encoding_gives_the_same_rows(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id BIGINT, name VARCHAR(40), kind INT)").await?;
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::BROTLI(BrotliLevel::default()),
    ];
    let mut files = 0;
    for codec in codecs {
        for version in [
            parquet::file::properties::WriterVersion::PARQUET_1_0,
            parquet::file::properties::WriterVersion::PARQUET_2_0,
        ] {
            let properties = WriterProperties::builder()
                .set_compression(codec)
                .set_writer_version(version)
                .set_dictionary_enabled(files % 3 == 0)
                .set_max_row_group_row_count(Some(700))
                .set_data_page_row_count_limit(100);
            files += 1;
            let kind: ArrayRef = Arc::new(Int64Array::from(vec![files; 2000]));
            let columns = [("id", ids(0..2000)), ("name", names(0..2000)), ("kind", kind)];
            env.put(&format!("{files}"), file_with(&columns, properties.build())?)?;
        }
    }
    load(&env, 0, &[]).await?;
    let sql = "SELECT COUNT(*), SUM(kind_rows = 2000), SUM(ids) FROM (SELECT COUNT(*) AS \
               kind_rows, SUM(id) AS ids FROM t WHERE name = CONCAT('name ', id) GROUP BY kind) x";
    let sums = 1_999_000 * files;
    ensure_values(&env.schema, sql, &[&format!("{files}|{files}|{sums}")]).await
}

#[apply(load_test)]
async fn many_small_objects_share_transactions(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id BIGINT, name VARCHAR(40))").await?;
    for object in 0..60 {
        let range = object * 10..object * 10 + 10;
        // Every other one has its columns in another order.
        let mut columns = vec![("id", ids(range.clone())), ("name", names(range))];
        if object % 2 == 0 {
            columns.reverse();
        }
        env.put(&format!("{object:03}"), file(&columns)?)?;
    }
    load(&env, 0, &["--load-concurrency", "1"]).await?;
    let sql = "SELECT COUNT(*), COUNT(DISTINCT id), SUM(name = CONCAT('name ', id)) FROM t";
    ensure_values(&env.schema, sql, &["600|600|600"]).await
}

#[apply(load_test)]
async fn check_and_plan_know_parquet(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id TINYINT, name VARCHAR(40))").await?;
    env.put("a", file(&[("name", names(0..500)), ("id", ids(0..500))])?)?;
    let table = ["s3://etl/", "--table", "t", "--format", "parquet"];
    let ended = env.run(&[&["check"], &table[..]].concat()).await?;
    ended.expect(3)?;
    ended.says("row 129, column id (tinyint): '128' is out of range")?;
    let ended = env.run(&[&["check", "--sample", "100"], &table[..]].concat()).await?;
    ended.expect(0)?;
    let ended = env.run(&[&["plan"], &table[..]].concat()).await?;
    ended.expect(0)?;
    ensure!(env.count("t").await? == 0);
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn a_large_object_that_does_not_fit_fails_before_it_is_fetched(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id BIGINT, at DATETIME)").await?;
    let mut random = fastrand::Rng::with_seed(1);
    let numbers = Int64Array::from_iter_values((0..900_000).map(|_| random.i64(..)));
    let object = file(&[("id", ids(0..900_000)), ("at", Arc::new(numbers))])?;
    ensure!(object.len() > 5 << 20, "{}", object.len());
    env.put("a", object)?;
    let ended = load(&env, 3, &[]).await?;
    ended.says("column at: INT64 cannot go into datetime")?;
    ended.says("FROM_UNIXTIME(@at)")?;
    expect_failure(&env, "report", "a", "unsupported_format")?;
    let gets = env.s3.log().gets_of("a");
    ensure!(gets.len() == 1, "{gets:?}");
    ensure!(env.s3.log().count(Operation::HeadObject) <= 1);
    Ok(())
}

#[apply(load_test)]
async fn objects_wait_for_space_and_one_that_cannot_have_it_fails(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id BIGINT, name VARCHAR(200))").await?;
    // Each has far more text than it has bytes.
    for object in 0..6 {
        let text = StringArray::from_iter_values((0..20_000).map(|_| "x".repeat(100)));
        let columns = [
            ("id", ids(object * 20_000..object * 20_000 + 20_000)),
            ("name", Arc::new(text) as ArrayRef),
        ];
        env.put(&format!("{object}"), file(&columns)?)?;
    }
    load(&env, 0, &["--staging-budget", "5MiB", "--download-concurrency", "4"]).await?;
    ensure_values(&env.schema, "SELECT COUNT(*), COUNT(DISTINCT id) FROM t", &["120000|120000"])
        .await?;
    env.start_afresh("t").await?;
    let ended = load(&env, 3, &["--staging-budget", "1MiB"]).await?;
    ended.says("does not fit into the staging budget")?;
    expect_failure(&env, "report", "0", "object_too_large")
}

#[apply(load_test)]
async fn other_objects_are_refused_and_so_is_parquet_elsewhere(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id BIGINT, name VARCHAR(40))").await?;
    env.put("text", "1\ta\n2\tb\n")?;
    env.put("gz", crate::packed::gzip(b"1\ta\n2\tb\n")?)?;
    env.put("nothing", "")?;
    let ended = load(&env, 3, &[]).await?;
    ended.says("2 objects: this is not Parquet data\n  s3://etl/nothing\n  s3://etl/text\n")?;
    ended.says("etl/gz: this is gzip data, not Parquet data")?;
    for key in ["text", "gz", "nothing"] {
        expect_failure(&env, "report", key, "unsupported_format")?;
    }
    env.put("text", file(&[("id", ids(0..3)), ("name", names(0..3))])?)?;
    let ended = env.load_ending(3, "t", &["--include", "text"]).await?;
    ended.says("this is Parquet data, not delimited text")?;
    ended.says("--format parquet loads it")?;
    ensure!(env.count("t").await? == 0);
    let ended =
        env.load("t", &["--format", "parquet", "--preset", "csv", "--create-table"]).await?;
    ended.expect(2)?;
    ended.says("preset is for text, and format is parquet")?;
    ended.says("create-table guesses types from text, and format is parquet")
}

#[apply(load_test)]
async fn folders_of_lake_tables_are_refused(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id BIGINT)").await?;
    env.put("A.parquet", file(&[("id", ids(0..3))])?)?;
    env.put("metadata/00001-a.metadata.json", "{}")?;
    let ended = load(&env, 2, &[]).await?;
    ended.says("this is a table of Iceberg")?;
    ended.says("--allow-lake-files")?;
    env.put("x/_delta_log/00000000000000000000.json", "{}")?;
    env.put("x/part-0.parquet", file(&[("id", ids(3..4))])?)?;
    let table = ["load", "s3://etl/x/", "--table", "t", "--format", "parquet"];
    let ended = env.run(&table).await?;
    ended.expect(2)?;
    ended.says("s3://etl/x/: this is a table of Delta Lake")?;
    ensure!(env.count("t").await? == 0);
    env.run(&[&table[..], &["--allow-lake-files"]].concat()).await?.expect(0)?;
    ensure_values(&env.schema, "SELECT id FROM t", &["3"]).await
}

#[apply(load_test)]
async fn partitions_and_facts_of_the_key_fill_columns(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id BIGINT, day DATE NOT NULL, src VARCHAR(40))").await?;
    env.put("day=2026-04-15/a", file(&[("id", ids(0..2))])?)?;
    env.put("day=2026-04-16/b", file(&[("id", ids(2..3))])?)?;
    load(&env, 0, &["--set", "src=@object_name"]).await?;
    ensure_values(
        &env.schema,
        "SELECT * FROM t ORDER BY id",
        &["0|2026-04-15|a", "1|2026-04-15|a", "2|2026-04-16|b"],
    )
    .await
}
