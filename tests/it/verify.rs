//! `--verify checksum`: a job ends only if the table holds what the objects hold, and reports what
//! was compared.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::{Ended, TestEnv, finish};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::servers::Server;
use crate::support::values::ensure_values;

const ROWS: u64 = 300;

const MODES: [&str; 2] = ["truncate", "swap"];

/// Runs `load s3://etl/in/ --table t --verify checksum --report report --mode MODE ARGS`.
async fn load(env: &TestEnv, mode: &str, args: &[&str]) -> Result<Ended> {
    env.run(
        &[&command(env, mode)?.iter().map(String::as_str).collect::<Vec<_>>()[..], args].concat(),
    )
    .await
}

fn command(env: &TestEnv, mode: &str) -> Result<Vec<String>> {
    let report = env.path("report");
    let report = report.to_str().context("a path in UTF-8")?;
    let words = [
        "load",
        "s3://etl/in/",
        "--table",
        "t",
        "--verify",
        "checksum",
        "--report",
        report,
        "--mode",
        mode,
    ];
    Ok(words.map(str::to_owned).to_vec())
}

fn summary(env: &TestEnv) -> Result<Value> {
    env.report("report")?.pop().context("an empty report")
}

fn put_objects(env: &TestEnv, count: u64) -> Result<()> {
    for number in 0..count {
        env.put(&format!("in/{number}"), hive::object(number * ROWS, (number + 1) * ROWS).0)?;
    }
    Ok(())
}

fn ensure_equal<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Result<()> {
    ensure!(found == expected, "{found:?} is not {expected:?}");
    Ok(())
}

#[apply(load_test)]
async fn tables_that_hold_what_their_objects_hold_are_verified(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    put_objects(&env, 3)?;
    env.put("in/empty", "")?;
    for mode in MODES {
        let ended = load(&env, mode, &["--preset", "hive"]).await?;
        ended.expect(0)?;
        ensure_equal(&ended.summary("verified")?, &"900 rows, 8 of 8 columns".to_owned())?;
        ensure!(!ended.stdout.contains("not verified"), "{ended}");
        let summary = summary(&env)?;
        ensure_equal(&summary["verified_rows"], &json!(900))?;
        ensure_equal(&summary["verified_as"], &json!("rows"))?;
        ensure_equal(&summary["verified_columns"].as_array().map(Vec::len), &Some(8))?;
        ensure_equal(&summary["unverified_columns"], &json!([]))?;
    }
    // Without the option, nothing is said about it.
    let words = ["load", "s3://etl/in/", "--table", "t", "--mode", "swap", "--preset", "hive"];
    let ended = env.run(&words).await?;
    ended.expect(0)?;
    ensure!(!ended.stdout.contains("verified"), "{ended}");
    ensure_values(&env.schema, "SELECT COUNT(content_digest) FROM s3_to_mysql_objects", &["0"])
        .await
}

const TYPES: &str = "id INT NOT NULL PRIMARY KEY, i8 TINYINT, u64 BIGINT UNSIGNED, z INT(8) \
     UNSIGNED ZEROFILL, \
     d DECIMAL(12,3), big DECIMAL(65,30), day DATE, at DATETIME(3), seen TIMESTAMP(2) NULL, span \
     TIME(1), y YEAR, \
     e ENUM('red','it''s','a,b'), c CHAR(6), v VARCHAR(40), ascii_only VARCHAR(9) CHARACTER SET \
     ascii, body LONGTEXT, \
     b BINARY(4), vb VARBINARY(40), bl BLOB, ml MEDIUMBLOB, r DOUBLE, s SET('a','b'), l VARCHAR(9) \
     CHARACTER SET cp932, w VARCHAR(9) CHARACTER SET latin1, \
     u CHAR(9) CHARACTER SET utf16, el ENUM('é','ß') CHARACTER SET latin1,      twice INT AS (id * \
     2), note VARCHAR(9) DEFAULT 'none'";

/// The columns that have fields.
const FIELDS: &str =
    "id,i8,u64,z,d,big,day,at,seen,span,y,e,c,v,ascii_only,body,b,vb,bl,ml,r,s,l,w,u,el";

#[apply(load_test)]
async fn values_of_every_compared_type_are_verified_and_what_is_not_is_named(
    env: TestEnv,
) -> Result<()> {
    env.schema
        .exec(&format!("CREATE TABLE t ({TYPES}) ENGINE=InnoDB CHARACTER SET utf8mb4"))
        .await?;
    let nulls = "NULL,".repeat(24);
    let rows = [
        "1,127,18446744073709551615,1,1.5,1.5,2026-01-02,2026-01-02 03:04:05.678,2026-07-01 \
         00:00:00.5,01:02:03.4,2026,red,ab,\"x,\"\"y\"\"\",abc,body,ab,ab,ab,ab,1.5,\"a,b\
         \",x,x,x,é",
        "+02,-0,0,00000007,-.5,-0.000000000000000000000000000001,1000-01-01,2026-01-02,\
         2026-07-01T00:00:00,-838:59:59,1901,it's,ab   \
         ,äö😀,,\"long\nbody\",abcd,\0\x01\x7f,,,1e3,,,é€ÿ,a😀 ,ß",
        "-3,-128,007,4294967295,-0.000,\
         99999999999999999999999999999999999.999999999999999999999999999999,9999-12-31,9999-12-31 \
         23:59:59.999,1970-01-02 00:00:00.00,00:00:00,2155,\"a,b\",,\"NULL\",\" z \
         \",\"\",,N,0:1,\"a,b\",0,b,,,,NULL",
        &format!("4,{nulls}NULL"),
    ];
    env.put("in/0", format!("{}\n", rows[..2].join("\n")))?;
    env.put("in/1", format!("{}\n", rows[2..].join("\n")))?;
    for mode in MODES {
        let ended = load(&env, mode, &["--preset", "csv-unix", "--columns", FIELDS]).await?;
        ended.expect(0)?;
        let summary = summary(&env)?;
        let expected: Vec<&str> =
            FIELDS.split(',').filter(|name| !["r", "s", "l"].contains(name)).collect();
        ensure_equal(&summary["verified_columns"], &json!(expected))?;
        ensure_equal(&summary["verified_as"], &json!("rows"))?;
        ensure_equal(
            &summary["unverified_columns"],
            &json!([
                {"column": "r", "reason": "double values are not kept as they are written"},
                {"column": "s", "reason": "type set is not compared"},
                {"column": "l", "reason": "its character set is cp932, the objects' is utf8mb4"},
                {"column": "twice", "reason": "the server computes it"},
                {"column": "note", "reason": "no field of the objects goes into it"},
            ]),
        )?;
        ensure_equal(&ended.summary("verified")?, &"4 rows, 23 of 28 columns".to_owned())?;
        ended.says("not verified       l: its character set is cp932, the objects' is utf8mb4")?;
    }
    Ok(())
}

#[apply(load_test)]
async fn variables_set_and_words_for_null_are_taken_into_account(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b VARBINARY(20), c INT, d VARCHAR(9))").await?;
    env.put("in/0", b"1\t\x00\xff\\t\tx\t-\n2\t-\ty\td\n\\N\t\\-\t\t\\N\n".to_vec())?;
    let args = [
        "--columns",
        "A,b,@x,d",
        "--set",
        "c = LENGTH(@x)",
        "--null-string",
        "-",
        "--charset",
        "binary",
    ];
    for mode in MODES {
        let ended = load(&env, mode, &args).await?;
        ended.expect(0)?;
        let summary = summary(&env)?;
        ensure_equal(&summary["verified_columns"], &json!(["a", "b", "d"]))?;
        ensure_equal(
            &summary["unverified_columns"],
            &json!([{"column": "c", "reason": "--set fills it"}]),
        )?;
    }
    let rows = ["1|00FF09|1|∅", "2|∅|1|64", "∅|∅|0|∅"];
    ensure_values(&env.schema, "SELECT a, HEX(b), c, HEX(d) FROM t ORDER BY a IS NULL, a", &rows)
        .await
}

/// Runs the load, which is held before it looks at the table for as long as `change` takes. `{t}`
/// in it is the table that is being loaded.
async fn changed_before_the_end(
    env: &TestEnv,
    mode: &str,
    args: &[&str],
    changes: &[&str],
) -> Result<Ended> {
    let proxy = Proxy::start(env.server.port()).await?;
    let port = proxy.port().to_string();
    let held = proxy.next(Step::StatementWith("WITH CONSISTENT SNAPSHOT"), Break::Hold);
    let words = [&["--ssl-mode", "DISABLED", "--port", &port], args].concat();
    let child = env.command(command(env, mode)?.iter().map(String::as_str).chain(words)).spawn()?;
    held.wait().await?;
    let table = loading(env, mode).await?;
    for change in changes {
        env.schema.exec(&change.replace("{t}", &table)).await?;
    }
    held.release();
    finish(child).await
}

async fn loading(env: &TestEnv, mode: &str) -> Result<String> {
    if mode == "truncate" {
        return Ok("t".to_owned());
    }
    let sql = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
         AND TABLE_NAME LIKE '%shadow%'";
    env.schema.query_one(sql).await
}

#[apply(load_test)]
async fn a_table_that_was_changed_before_its_job_ended_is_found_and_not_swapped(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    env.schema.exec(&hive::create_table("safe")).await?;
    env.schema
        .exec("INSERT INTO t VALUES (1, 2, '2020-01', 'old', 3, 4.00, NULL, '2020-01-01')")
        .await?;
    put_objects(&env, 2)?;
    let first = "spu_id = 7000000000";
    let changes: [(&[&str], &str); 6] = [
        (&["UPDATE {t} SET amount = amount + 0.01 WHERE {first}"], "columns that differ: amount"),
        (&["UPDATE {t} SET note = '' WHERE {first}"], "columns that differ: note"),
        (
            &["UPDATE {t} SET note = NULL, category = 'Tea' WHERE spu_id = 7000000006"],
            "columns that differ: category, note",
        ),
        // Each column by itself is right.
        (
            &["UPDATE {t} SET orders = IF({first}, 31, 0) WHERE spu_id IN (7000000000, \
                 7000000001)"],
            "values have changed places between rows",
        ),
        (
            &[
                "DELETE FROM {t} WHERE {first}",
                "INSERT INTO {t} SELECT * FROM {t} WHERE spu_id = 7000000001",
            ],
            "columns that differ",
        ),
        (
            &[
                "INSERT INTO safe SELECT * FROM {t} WHERE {first}",
                "INSERT INTO {t} SELECT * FROM safe",
                "DELETE FROM safe",
            ],
            "has 601 rows",
        ),
    ];
    for mode in MODES {
        for (change, said) in changes {
            // A swap counts its rows before.
            if mode == "swap" && said.contains("601") {
                continue;
            }
            let change: Vec<String> =
                change.iter().map(|sql| sql.replace("{first}", first)).collect();
            let change: Vec<&str> = change.iter().map(String::as_str).collect();
            let ended =
                changed_before_the_end(&env, mode, &["--preset", "hive", "--force"], &change)
                    .await?;
            ended.expect(3)?;
            ended.says("does not hold what the objects hold")?;
            ended.says(said).with_context(|| format!("{mode}, {change:?}"))?;
            let summary = summary(&env)?;
            ensure_equal(&summary["error"]["code"], &json!("checksum_differs"))?;
            ensure_equal(&summary["verified_rows"], &Value::Null)?;
            ensure!(!ended.stdout.contains("verified"), "{ended}");
            ensure_values(
                &env.schema,
                "SELECT mode, state FROM s3_to_mysql_jobs",
                &[&format!("{mode}|loading")],
            )
            .await?;
            // The failure persists.
            load(&env, mode, &["--preset", "hive"]).await?.expect(3)?;
        }
        if mode == "truncate" {
            // It succeeds once the table is corrected.
            env.schema.exec("DELETE FROM t WHERE spu_id = 7000000000 LIMIT 1").await?;
            let ended = load(&env, mode, &["--preset", "hive"]).await?;
            ended.expect(0)?;
            ensure_equal(&ended.summary("verified")?, &"600 rows, 8 of 8 columns".to_owned())?;
            env.schema.exec("TRUNCATE TABLE t").await?;
            env.schema
                .exec("INSERT INTO t VALUES (1, 2, '2020-01', 'old', 3, 4.00, NULL, '2020-01-01')")
                .await?;
        } else {
            ensure_values(&env.schema, "SELECT spu_id FROM t", &["2"]).await?;
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn a_job_that_was_killed_is_verified_by_the_run_that_ends_it(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    put_objects(&env, 3)?;
    for mode in MODES {
        for step in [Step::LoadCommit, Step::StatementWith("WITH CONSISTENT SNAPSHOT")] {
            let proxy = Proxy::start(env.server.port()).await?;
            let port = proxy.port().to_string();
            let skipped = u32::from(matches!(step, Step::LoadCommit));
            let held = proxy.after(skipped, step, Break::Hold);
            let words = [
                "--preset",
                "hive",
                "--load-concurrency",
                "1",
                "--no-batch",
                "--ssl-mode",
                "DISABLED",
                "--port",
                &port,
            ];
            let mut child = env
                .command(command(&env, mode)?.iter().map(String::as_str).chain(words))
                .spawn()?;
            held.wait().await?;
            child.kill().await?;
            held.cut();
            let ended = load(&env, mode, &["--preset", "hive"]).await?;
            ended.expect(0)?;
            let loaded = if skipped == 1 { "2" } else { "0" };
            ensure_equal(&ended.summary("objects loaded")?.as_str(), &loaded)?;
            ensure_equal(&ended.summary("verified")?, &"900 rows, 8 of 8 columns".to_owned())?;
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn objects_that_were_loaded_without_sums_are_named_before_anything_is_loaded(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    put_objects(&env, 2)?;
    for mode in MODES {
        env.put("in/bad", "no row of this table\n")?;
        let without = ["load", "s3://etl/in/", "--table", "t", "--mode", mode, "--preset", "hive"];
        env.run(&without).await?.expect(3)?;
        env.put("in/bad", hive::object(9000, 9000 + ROWS).0)?;
        env.s3.log().clear();
        let ended = load(&env, mode, &["--preset", "hive"]).await?;
        ended.expect(3)?;
        ended.says("2 objects of this job were loaded without --verify checksum")?;
        ended.says("such as s3://etl/in/")?;
        ended.says("hint: start the job over with --force, or end it without --verify")?;
        ensure_values(
            &env.schema,
            "SELECT COUNT(*) FROM s3_to_mysql_objects JOIN s3_to_mysql_jobs USING (target, \
             generation)",
            &["2"],
        )
        .await?;
        let ended = load(&env, mode, &["--preset", "hive", "--force"]).await?;
        ended.expect(0)?;
        ensure_equal(&ended.summary("verified")?, &"900 rows, 8 of 8 columns".to_owned())?;
    }
    // The table is not the one for which the sums were made.
    put_objects(&env, 2)?;
    env.put("in/bad", "no row of this table\n")?;
    load(&env, "truncate", &["--preset", "hive"]).await?.expect(3)?;
    env.put("in/bad", hive::object(9000, 9000 + ROWS).0)?;
    env.schema.exec("ALTER TABLE t MODIFY amount DECIMAL(14,3) NOT NULL").await?;
    let ended = load(&env, "truncate", &["--preset", "hive"]).await?;
    ended.expect(3)?;
    ended.says("or before the table was altered, such as s3://etl/in/")
}

#[apply(load_test)]
async fn a_value_that_is_kept_otherwise_takes_its_column_out_and_no_other(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a TIME, b DATE, c VARCHAR(20), d INT NOT NULL)").await?;
    env.put("in/0", "01:00:00\t2026-01-01\tx\t1\n02:00:00\t2026-01-02\ty\t2\n")?;
    env.put("in/1", "3:04\t2026-1-3\tz\t3\n4:05:06\t2026-01-04\tz\t4\n")?;
    for mode in MODES {
        let ended = load(&env, mode, &[]).await?;
        ended.expect(0)?;
        let times = ["01:00:00", "02:00:00", "03:04:00", "04:05:06"];
        ensure_values(&env.schema, "SELECT CAST(a AS CHAR) FROM t ORDER BY a", &times).await?;
        ensure_equal(
            &ended.summary("verified")?,
            &"4 rows, 2 of 4 columns, each by itself".to_owned(),
        )?;
        let summary = summary(&env)?;
        ensure_equal(&summary["verified_columns"], &json!(["c", "d"]))?;
        ensure_equal(&summary["verified_as"], &json!("columns"))?;
        ensure_equal(
            &summary["unverified_columns"],
            &json!([
                {"column": "a", "reason": "2 of its values are not written the way the server \
                     prints them"},
                {"column": "b", "reason": "one of its values is not written the way the server \
                     prints it"},
            ]),
        )?;
        // The other columns are still compared, and those two are not.
        let changes = ["UPDATE {t} SET a = 7 WHERE d = 1"];
        changed_before_the_end(&env, mode, &[], &changes).await?.expect(0)?;
        let changes = ["UPDATE {t} SET c = 'X' WHERE d = 1"];
        let ended = changed_before_the_end(&env, mode, &[], &changes).await?;
        ended.expect(3)?;
        ended.says("columns that differ: c\n")?;
    }
    Ok(())
}

#[apply(load_test)]
async fn objects_of_another_run_without_sums_keep_a_job_from_ending(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    put_objects(&env, 2)?;
    // Another run of the same job without the option has loaded one of them meanwhile.
    let change = ["UPDATE s3_to_mysql_objects SET content_digest = NULL WHERE object_key = 'in/1'"];
    for mode in MODES {
        let ended = changed_before_the_end(&env, mode, &["--preset", "hive"], &change).await?;
        ended.expect(3)?;
        ended.says("1 objects of this job were loaded without --verify checksum")?;
        ended.says("such as s3://etl/in/1")?;
        ensure_equal(&summary(&env)?["error"]["code"], &json!("checksum_missing"))?;
        ensure_values(
            &env.schema,
            "SELECT mode, state FROM s3_to_mysql_jobs",
            &[&format!("{mode}|loading")],
        )
        .await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn what_can_not_be_verified_is_refused_before_anything_is_read(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b DOUBLE)").await?;
    env.put("in/0", "1\t2\n")?;
    let usage = [
        (&["--mode", "append"][..], "mode append keeps other rows in it"),
        (
            &["--mode", "swap", "--on-duplicate", "ignore"],
            "on-duplicate leaves some out of the table",
        ),
        (
            &["--mode", "truncate", "--on-bad-row", "accept"],
            "on-bad-row accept lets the server change them",
        ),
        (&["--mode", "truncate", "--no-ledger"], "mode truncate needs the ledger"),
    ];
    for (args, said) in usage {
        let words =
            [&["load", "s3://etl/in/", "--table", "t", "--verify", "checksum"], args].concat();
        let ended = env.run(&words).await?;
        ended.expect(2)?;
        ended.says(said)?;
    }
    env.schema
        .exec("CREATE TRIGGER changer BEFORE INSERT ON t FOR EACH ROW SET NEW.a = NEW.a + 1")
        .await?;
    let ended = load(&env, "truncate", &[]).await?;
    ended.expect(6)?;
    ended.says("its trigger changer may change what is inserted")?;
    env.schema.exec("DROP TRIGGER changer").await?;
    env.schema.exec("ALTER TABLE t DROP COLUMN a").await?;
    let ended = load(&env, "swap", &[]).await?;
    ended.expect(6)?;
    ended.says(
        "it has no column that can be compared with the objects (b: double values are not kept as \
         they are written)",
    )?;
    ensure_values(&env.schema, "SHOW TABLES", &["t"]).await
}

#[apply(load_test)]
async fn a_row_that_the_server_can_not_make_into_one_text_is_told(env: TestEnv) -> Result<()> {
    // The smallest value that takes the packets of a load.
    let server = Server::start(env.server.kind(), &["--max-allowed-packet=512K"])?;
    let schema = server.schema().await?;
    let columns: Vec<String> = (0..12).map(|number| format!("c{number} BLOB")).collect();
    schema.exec(&format!("CREATE TABLE t ({}, l LONGBLOB)", columns.join(", "))).await?;
    let load = async || {
        let url = schema.url();
        finish(env.command(command(&env, "swap")?).env("DATABASE_URL", url).spawn()?).await
    };
    let row = |letter: &str, long: usize| {
        format!("{}{}\n", format!("{}\t", letter.repeat(50_000)).repeat(12), "l".repeat(long))
    };
    // A long column alone does not exceed the packet size.
    env.put("in/0", format!("{}{}\n", "short\t".repeat(12), "l".repeat(500_000)))?;
    let ended = load().await?;
    ended.expect(0)?;
    ensure_equal(&ended.summary("verified")?, &"1 rows, 13 of 13 columns".to_owned())?;
    env.put("in/1", [row("a", 1), row("b", 1)].concat())?;
    let ended = load().await?;
    ended.expect(6)?;
    ended.says("2 rows are longer than its max_allowed_packet")?;
    ended.says("hint: raise max_allowed_packet on the server, or leave out --verify")
}

#[apply(load_test)]
async fn binary_fields_in_hex_or_base64_are_not_compared(env: TestEnv) -> Result<()> {
    for (binary, text) in [("base64", "AAH/"), ("hex", "0001ff")] {
        env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, b VARBINARY(10))").await?;
        env.put("in/a", format!("1,{text}\n"))?;
        for mode in MODES {
            let args = ["--preset", "csv", "--binary", binary, "--force"];
            let ended = load(&env, mode, &args).await?;
            ended.expect(0)?;
            ended.says(&format!("b: its fields are written in {binary}"))?;
        }
        ensure_values(&env.schema, "SELECT id, HEX(b) FROM t", &["1|0001FF"]).await?;
        env.schema.exec("DROP TABLE t").await?;
    }
    Ok(())
}
