//! `check` reports everything that is wrong and touches nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use serde_json::Value;

use crate::registry::{apply, load_test};
use crate::support::many_bad_rows::{ARGS, Badness, ManyBadRows, create_table};
use crate::support::program::{Ended, TestEnv, finish, row_error_numbers};
use crate::support::s3::{Fault, Times};
use crate::support::servers::ServerKind;

/// Runs `s3-to-mysql check s3://etl/ --table TABLE --report report ARGS...`, which must end with
/// this code.
async fn check(env: &TestEnv, code: i32, table: &str, args: &[&str]) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    let ended = env
        .run(&[&["check", "s3://etl/", "--table", table, "--report", &report], args].concat())
        .await?;
    ended.expect(code)?;
    env.ensure_nothing_staged()?;
    Ok(ended)
}

/// Returns the report's line about an object.
fn object(env: &TestEnv, key: &str) -> Result<Value> {
    let mut lines = env.report("report")?.into_iter();
    lines.find(|line| line["key"] == key).with_context(|| format!("no line about {key}"))
}

/// Returns everything that a check might change.
async fn state(env: &TestEnv, table: &str) -> Result<String> {
    let definition: (String, String) =
        env.schema.query_one(&format!("SHOW CREATE TABLE {table}")).await?;
    let tables: Vec<String> = env.schema.query("SHOW TABLES").await?;
    let mut state = format!("{definition:?}\n");
    for table in tables {
        let sum: (String, Option<u64>) =
            env.schema.query_one(&format!("CHECKSUM TABLE `{table}`")).await?;
        state.extend([format!("{sum:?}\n")]);
    }
    Ok(state)
}

fn numbers(line: &Value) -> (Option<u64>, Option<u64>, Option<u64>) {
    (line["rows"].as_u64(), line["bad_rows"].as_u64(), line["duplicates"].as_u64())
}

#[apply(load_test)]
async fn where_nothing_is_wrong_nothing_is_touched(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(9)) ENGINE=InnoDB")
        .await?;
    env.schema.exec("INSERT INTO t VALUES (5, 'a')").await?;
    // 5 is in the table, which a check cannot see.
    env.put("1", "5\tx\n6\ty\n")?;
    env.put("2", "5\tx\n0\ty\n7\t\\N\n")?;
    let before = state(&env, "t").await?;
    let ended = check(&env, 0, "t", &[]).await?;
    ensure!(ended.summary("objects checked")? == "2" && ended.summary("rows")? == "5", "{ended}");
    ensure!(ended.summary("would load")? == "2" && ended.summary("would fail")? == "0", "{ended}");
    ended.says("duplicates of rows in the table or in other objects")?;
    ensure!(!ended.stderr.contains("loading into"), "{ended}");
    ensure!(state(&env, "t").await? == before, "{}", state(&env, "t").await?);
    let line = object(&env, "2")?;
    ensure!(
        line["status"] == "checked" && line["would"] == "load" && line["error"].is_null(),
        "{line:#}"
    );
    ensure!(
        numbers(&line) == (Some(3), Some(0), Some(0)) && !line["verified"].is_null(),
        "{line:#}"
    );
    let summary = env.report("report")?.pop().context("an empty report")?;
    ensure!(summary["type"] == "summary" && summary["objects_checked"] == 2, "{summary:#}");
    ensure!(summary["not_seen"].as_array().is_some_and(|unseen| unseen.len() >= 3), "{summary:#}");
    Ok(())
}

#[apply(load_test)]
async fn what_is_loaded_already_is_checked_and_the_ledger_left_alone(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY)").await?;
    env.put("1", "1\n2\n")?;
    env.load_ending(0, "t", &[]).await?;
    env.put("2", "3\n3\n")?;
    let before = state(&env, "t").await?;
    ensure!(before.contains("s3_to_mysql_objects"), "{before}");
    let ended = check(&env, 3, "t", &[]).await?;
    ensure!(
        ended.summary("objects checked")? == "2" && ended.summary("would fail")? == "1",
        "{ended}"
    );
    ensure!(state(&env, "t").await? == before);
    Ok(())
}

/// Ten rows: two bad values, a missing field, and two rows that repeat the keys of earlier rows,
/// one of a good row and one of a bad one.
const TEN: &str = "1\ta\n2\ttoo long\nx\tb\n3\tc\n4\n1\td\n5\te\n2\tf\n2\tg\n6\th\n";

#[apply(load_test)]
async fn all_is_told_whatever_the_policy_and_the_policy_decides(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(3))").await?;
    env.put("ten", TEN)?;
    let before = state(&env, "t").await?;
    let rejects = env.path("rejects").display().to_string();
    for (code, bad, duplicate) in [
        (3, "fail", "error"),
        (3, "fail", "ignore"),
        (3, "fail", "replace"),
        (3, "fail", "update"),
        (3, "reject", "error"),
        (7, "reject", "ignore"),
        (7, "reject", "replace"),
        (7, "reject", "update"),
        (7, "reject", "reject"),
        (3, "accept", "error"),
        (0, "accept", "ignore"),
        (0, "accept", "replace"),
    ] {
        let mut args = vec!["--on-bad-row", bad, "--on-duplicate", duplicate];
        if bad == "reject" {
            args.extend(["--rejects", &rejects]);
        }
        let ended = check(&env, code, "t", &args).await?;
        ensure!(
            ended.summary("bad rows")? == "3" && ended.summary("duplicates")? == "2",
            "{args:?}\n{ended}"
        );
        let line = object(&env, "ten")?;
        ensure!(numbers(&line) == (Some(10), Some(3), Some(2)), "{args:?} {line:#}");
        let rows = line["first_rows"].as_array().context("no rows")?;
        let told: Vec<(u64, u64)> = rows
            .iter()
            .filter_map(|row| Some((row["line"].as_u64()?, row["code"].as_u64()?)))
            .collect();
        ensure!(
            told == [(2, 1406), (3, 1366), (5, 1261), (6, 1062), (9, 1062)],
            "{args:?} {told:?}"
        );
        ensure!(rows[0]["raw"] == "2\ttoo long" && rows[0]["column"] == "v", "{line:#}");
        ensure!(
            !line.to_string().contains("s3_to_mysql_check")
                && !ended.stdout.contains("s3_to_mysql_check"),
            "{line:#}"
        );
        let codes = &line["warnings_by_code"];
        ensure!(
            codes["1062"] == 2 && codes["1406"] == 1 && codes["1366"] == 1 && codes["1261"] == 1,
            "{line:#}"
        );
        let expected = if code == 3 { "fail" } else { "load" };
        ensure!(
            line["would"] == expected && line["error"].is_null() == (code != 3),
            "{args:?} {line:#}"
        );
        // A load into an equal table agrees.
        let load = env.load("t", &args).await?;
        ensure!(load.code == Some(code), "{args:?}: check {code}, load\n{load}");
        let drop = "DROP TABLE IF EXISTS s3_to_mysql_objects, s3_to_mysql_parts, s3_to_mysql_jobs, \
                    s3_to_mysql_failures, s3_to_mysql_runs";
        env.schema.exec(drop).await?;
        env.schema.exec("DELETE FROM t").await?;
    }
    ensure!(state(&env, "t").await? == before);
    Ok(())
}

#[apply(load_test)]
async fn rejects_are_counted_against_their_limits_and_not_written(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(3))").await?;
    env.put("1", TEN)?;
    let rejects = env.path("rejects").display().to_string();
    let base = ["--on-bad-row", "reject", "--on-duplicate", "reject", "--rejects", &rejects];
    for (code, limit) in
        [(3, ["--max-rejects", "4"]), (7, ["--max-rejects", "5"]), (3, ["--max-rejects", "49%"])]
    {
        check(&env, code, "t", &[&base[..], &limit].concat()).await?;
    }
    let ended = check(&env, 7, "t", &base).await?;
    ended.says("5 of 10 rows would be rejected")?;
    env.put("2", TEN)?;
    check(&env, 3, "t", &[&base[..], &["--max-rejects-total", "9"]].concat()).await?;
    check(&env, 7, "t", &[&base[..], &["--max-rejects-total", "10"]].concat()).await?;
    ensure!(!env.path("rejects").exists(), "the directory of rejects was made");
    Ok(())
}

#[apply(load_test)]
async fn what_is_accepted_is_loaded_for_a_trial(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY)").await?;
    // Under `accept` both are stored as 0.
    env.put("zeros", "x\ny\n")?;
    let ended = check(&env, 3, "t", &["--on-bad-row", "accept"]).await?;
    ensure!(ended.summary("bad rows")? == "2" && ended.summary("duplicates")? == "0", "{ended}");
    ensure!(object(&env, "zeros")?["error"]["code"] == "duplicates");
    check(&env, 0, "t", &["--on-bad-row", "accept", "--on-duplicate", "ignore"]).await?;
    Ok(())
}

#[apply(load_test)]
async fn an_update_that_meets_another_key_would_fail(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, code INT UNIQUE)").await?;
    env.put("1", "1\t10\n2\t20\n1\t20\n")?;
    check(&env, 0, "t", &["--on-duplicate", "ignore"]).await?;
    check(&env, 3, "t", &["--on-duplicate", "update", "--update-columns", "code"]).await?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn of_many_bad_rows_all_are_counted(env: TestEnv) -> Result<()> {
    for sql in create_table("t") {
        env.schema.exec(&sql).await?;
    }
    let mut bytes = Vec::new();
    let made = ManyBadRows::write(50_000, 10_000, &mut bytes)?;
    env.put("many", bytes)?;
    let before = state(&env, "t").await?;
    let ended = check(&env, 3, "t", &ARGS).await?;
    let count = |is_it: fn(Badness) -> bool| {
        made.bad.iter().filter(|bad| is_it(bad.badness)).count().to_string()
    };
    let bad = count(|badness| !badness.is_duplicate());
    // Duplicates of rows in the table are not seen. These objects have no duplicates among
    // themselves: each row has its own key or repeats another such row.
    let within =
        count(|badness| matches!(badness, Badness::SameIdAsBefore | Badness::SameCodeAsBefore));
    ensure!(ended.summary("bad rows")? == bad, "{bad}\n{ended}");
    let duplicates: u64 = ended.summary("duplicates")?.parse()?;
    ensure!(duplicates >= within.parse()?, "{within}\n{ended}");
    // What the server itself says, on an empty table.
    env.schema.exec("CREATE TABLE fresh LIKE t").await?;
    let rejects = env.path("rejects").display().to_string();
    let reject = [
        "--no-ledger",
        "--on-bad-row",
        "reject",
        "--on-duplicate",
        "reject",
        "--rejects",
        &rejects,
    ];
    let load = env.load_ending(7, "fresh", &[&ARGS[..], &reject].concat()).await?;
    ensure!(load.summary("duplicates among them")? == duplicates.to_string(), "{load}");
    env.schema.exec("DROP TABLE fresh").await?;
    let told = row_error_numbers(&object(&env, "many")?["first_rows"], "line")?;
    ensure!(
        told.first()
            == made.bad.iter().find(|bad| !bad.badness.is_duplicate()).map(|bad| &bad.line),
        "{told:?}"
    );
    ensure!(state(&env, "t").await? == before);
    Ok(())
}

#[apply(load_test)]
async fn objects_that_are_no_text_do_not_end_a_check(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9))").await?;
    env.put("1", "1,\"never closed\n")?;
    env.put("2", b"7z\xbc\xaf\x27\x1c an archive".to_vec())?;
    env.put("3", "1,a\n2,b\n")?;
    let failed = env.path("failed").display().to_string();
    let ended = check(&env, 3, "t", &["--preset", "csv", "--failed-keys", &failed]).await?;
    ensure!(
        ended.summary("objects checked")? == "3" && ended.summary("would fail")? == "2",
        "{ended}"
    );
    ensure!(object(&env, "1")?["error"]["code"] == "malformed");
    ensure!(object(&env, "2")?["error"]["code"] == "unsupported_format");
    ensure!(std::fs::read_to_string(&failed)?.lines().count() == 2);
    env.s3.backend().remove("etl", "1");
    env.s3.backend().remove("etl", "2");
    check(&env, 0, "t", &["--preset", "csv"]).await?;
    Ok(())
}

#[apply(load_test)]
async fn modes_that_empty_the_table_empty_nothing(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY)").await?;
    env.schema.exec("INSERT INTO t VALUES (1), (2)").await?;
    env.put("1", "1\n2\n3\n")?;
    let before = state(&env, "t").await?;
    for args in [["--mode", "truncate"], ["--mode", "swap"]] {
        check(&env, 0, "t", &args).await?;
        ensure!(state(&env, "t").await? == before);
    }
    Ok(())
}

#[apply(load_test)]
async fn a_partitioned_table_is_checked_but_for_its_partitions(env: TestEnv) -> Result<()> {
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL CHECK (n < 50)) \
               PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS \
               THAN (20))";
    env.schema.exec(sql).await?;
    env.put("1", "1\t1\n1\t2\n2\t50\n3\tx\n99\t1\n")?;
    let before = state(&env, "t").await?;
    let ended = check(&env, 3, "t", &[]).await?;
    ensure!(numbers(&object(&env, "1")?) == (Some(5), Some(2), Some(1)), "{ended}");
    ended.says("rows that belong to no partition")?;
    ensure!(state(&env, "t").await? == before);
    Ok(())
}

#[apply(load_test)]
async fn generated_columns_checks_and_defaults_are_the_targets(env: TestEnv) -> Result<()> {
    let sql = "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT COMMENT 'a,\\n  KEY `x` \
         (`y`)', twice TINYINT AS (n * 2) STORED, \
               word VARCHAR(9) CHARACTER SET latin1 NOT NULL DEFAULT 'd', zero DATE NOT NULL \
               DEFAULT '2026-01-01', \
               UNIQUE KEY twice (twice), CONSTRAINT few CHECK (n <> 13)) AUTO_INCREMENT=40 \
               COMMENT ') ENGINE=MyISAM\\n PARTITION BY'";
    env.schema.exec(sql).await?;
    // A default that strict mode refuses. MariaDB does not load into such a table.
    if env.server.kind() == ServerKind::Mysql {
        let mut conn = env.schema.conn().await?;
        conn.query_drop("SET sql_mode = ''").await?;
        conn.query_drop("ALTER TABLE t ALTER zero SET DEFAULT '0000-00-00'").await?;
    }
    env.put("1", "1\n100\n1\n13\n2\n")?;
    let before = state(&env, "t").await?;
    let ended = check(&env, 3, "t", &["--columns", "n"]).await?;
    let line = object(&env, "1")?;
    ensure!(numbers(&line) == (Some(5), Some(2), Some(1)), "{ended}");
    let reasons: Vec<&str> = line["first_rows"]
        .as_array()
        .context("no rows")?
        .iter()
        .filter_map(|row| row["reason"].as_str())
        .collect();
    ensure!(reasons.iter().any(|reason| reason.contains("few")), "{reasons:?}");
    ensure!(reasons.iter().any(|reason| reason.contains("twice")), "{reasons:?}");
    ensure!(!reasons.iter().any(|reason| reason.contains("s3_to_mysql_check")), "{reasons:?}");
    ensure!(state(&env, "t").await? == before);
    Ok(())
}

#[apply(load_test)]
async fn a_view_is_checked_for_its_types(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(3))").await?;
    env.schema.exec("CREATE VIEW w AS SELECT id, v FROM t WHERE id < 10 WITH CHECK OPTION").await?;
    env.put("1", "1\ta\n1\tb\n20\tc\n2\tlong\n")?;
    let ended = check(&env, 3, "w", &["--no-ledger"]).await?;
    // The row violates neither the key nor the CHECK.
    ensure!(numbers(&object(&env, "1")?) == (Some(4), Some(1), Some(0)), "{ended}");
    ended.says("the target is a view, and its CHECK OPTION")?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn tables_that_no_temporary_one_can_be_like_are_checked(env: TestEnv) -> Result<()> {
    let columns = "id INT PRIMARY KEY, text VARCHAR(9), FULLTEXT KEY (text)";
    env.put("1", "1\ta\n1\tb\nx\tc\n")?;
    for (engine, args) in
        [("InnoDB ROW_FORMAT=COMPRESSED", [].as_slice()), ("MyISAM", &["--no-ledger"])]
    {
        env.schema.exec("DROP TABLE IF EXISTS t").await?;
        env.schema.exec(&format!("CREATE TABLE t ({columns}) ENGINE={engine}")).await?;
        env.schema.exec("INSERT INTO t VALUES (7, 'seven')").await?;
        let before = state(&env, "t").await?;
        let ended = check(&env, 3, "t", args).await?;
        ensure!(numbers(&object(&env, "1")?) == (Some(3), Some(1), Some(1)), "{engine}\n{ended}");
        ensure!(state(&env, "t").await? == before);
    }
    // The message is the one that a load gives.
    let ended = check(&env, 6, "t", &[]).await?;
    ended.says("does not roll back")
}

#[apply(load_test)]
async fn foreign_keys_and_triggers_are_named(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE p (id INT PRIMARY KEY)").await?;
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, p INT, CONSTRAINT of_p FOREIGN KEY (p) \
             REFERENCES p (id))",
        )
        .await?;
    env.schema
        .exec("CREATE TRIGGER watch BEFORE INSERT ON t FOR EACH ROW SET NEW.p = NULL")
        .await?;
    env.put("1", "1\t1\n2\t2\n")?;
    let ended = check(&env, 0, "t", &[]).await?;
    ended.says("rows without a parent row: foreign keys of_p")?;
    ended.says("what triggers refuse or change: watch (BEFORE INSERT)")
}

/// Returns `count` rows of 100 bytes.
fn rows(count: usize) -> String {
    (1..=count).map(|id| format!("{id:>9}\t{:>89}\n", "v")).collect()
}

#[apply(load_test)]
async fn a_sample_fetches_no_more_than_it_needs(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(100))").await?;
    env.put("1", rows(100_000))?;
    // A check that wants the whole object never ends.
    let stall = Fault::StallBody { after_bytes: 2_000_000 };
    let stalled = env.s3.faults().on_get("1", Times::Always, stall);
    let ended =
        check(&env, 0, "t", &["--sample", "1000", "--stall-timeout", "20s", "--max-attempts", "1"])
            .await?;
    drop(stalled);
    let line = object(&env, "1")?;
    ensure!(
        numbers(&line) == (Some(1000), Some(0), Some(0)) && line["verified"].is_null(),
        "{line:#}"
    );
    ensure!(ended.summary("of each")? == "the first 1000 rows", "{ended}");
    ensure!(env.s3.log().gets_of("1").len() == 1);
    Ok(())
}

#[apply(load_test)]
async fn a_sample_ends_with_its_last_row(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9))").await?;
    env.put("1", "id,v\r\n1,\"a\r\nb\"\r\n1,c\r\n3,d\r\n4,e\n5,\"f\" g\r\n")?;
    env.put("2", "id,v\n1,a\n2,b")?;
    let csv = ["--preset", "csv", "--ignore-lines", "1", "--sample"];
    for (sample, first, second, code) in [("1", 1, 1, 0), ("2", 2, 2, 3), ("3", 3, 2, 3)] {
        let ended = check(&env, code, "t", &[&csv[..], &[sample]].concat()).await?;
        let duplicates = u64::from(sample != "1");
        ensure!(
            numbers(&object(&env, "1")?) == (Some(first), Some(0), Some(duplicates)),
            "{sample}\n{ended}"
        );
        ensure!(
            numbers(&object(&env, "2")?) == (Some(second), Some(0), Some(0)),
            "{sample}\n{ended}"
        );
    }
    // The mixed line ending is within the sample now.
    check(&env, 3, "t", &[&csv[..], &["4"]].concat()).await?;
    ensure!(object(&env, "1")?["error"]["code"] == "malformed");
    env.run(&["check", "s3://etl/", "--table", "t", "--sample", "0"]).await?.expect(2)
}

#[apply(load_test)]
async fn without_the_privileges_it_says_which(env: TestEnv) -> Result<()> {
    let schema = &env.schema;
    schema.exec("CREATE TABLE t (id INT PRIMARY KEY)").await?;
    env.put("1", "1\n")?;
    schema
        .exec(&format!(
            "REVOKE CREATE TEMPORARY TABLES ON {}.* FROM {}@'%'",
            schema.name, schema.user
        ))
        .await?;
    let ended = check(&env, 6, "t", &[]).await?;
    ended.says(&format!("GRANT CREATE TEMPORARY TABLES ON `{}`.*", schema.name))?;
    schema.exec(&format!("REVOKE ALL ON {}.* FROM {}@'%'", schema.name, schema.user)).await?;
    // The privileges that a load needs, and the one that a check needs.
    schema
        .exec(&format!("GRANT CREATE TEMPORARY TABLES ON {}.* TO {}@'%'", schema.name, schema.user))
        .await?;
    schema.exec(&format!("GRANT INSERT ON {}.t TO {}@'%'", schema.name, schema.user)).await?;
    check(&env, 0, "t", &[]).await?;
    env.put("2", "2\n2\nx\n")?;
    check(&env, 3, "t", &[]).await?;
    ensure!(numbers(&object(&env, "2")?) == (Some(3), Some(1), Some(1)));
    // For a view, only a query shows the types of the columns.
    schema.exec("CREATE VIEW w AS SELECT * FROM t").await?;
    schema.exec(&format!("GRANT INSERT ON {}.w TO {}@'%'", schema.name, schema.user)).await?;
    let ended = check(&env, 6, "w", &["--no-ledger"]).await?;
    ended.says("on a view the account needs the privileges SELECT and SHOW VIEW")
}

#[apply(load_test)]
async fn tables_of_the_same_names_are_not_hidden(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE s3_to_mysql_check (id INT PRIMARY KEY)").await?;
    env.schema.exec("CREATE TABLE s3_to_mysql_rows (id INT PRIMARY KEY)").await?;
    env.schema.exec("INSERT INTO s3_to_mysql_check VALUES (1)").await?;
    env.schema.exec("INSERT INTO s3_to_mysql_rows VALUES (2)").await?;
    env.put("1", "1\n1\nx\n")?;
    for table in ["s3_to_mysql_check", "s3_to_mysql_rows"] {
        let before = state(&env, table).await?;
        check(&env, 3, table, &[]).await?;
        ensure!(numbers(&object(&env, "1")?) == (Some(3), Some(1), Some(1)), "{table}");
        ensure!(state(&env, table).await? == before);
    }
    // SET sees the table itself: if it were an empty copy, the maximum would be NULL and both rows
    // bad.
    env.put("1", "1\n2\n")?;
    let set = "id=(SELECT MAX(id) FROM s3_to_mysql_check)";
    check(&env, 3, "s3_to_mysql_rows", &["--columns", "@n", "--set", set]).await?;
    ensure!(numbers(&object(&env, "1")?) == (Some(2), Some(0), Some(1)));
    Ok(())
}

/// Waits until a check is loading, and returns the id of its connection.
async fn loading(env: &TestEnv) -> Result<u64> {
    let loads = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{}' AND INFO LIKE 'LOAD \
         DATA%s3_to_mysql_check%'",
        env.schema.user
    );
    let loading = async {
        loop {
            if let Some(id) = env.schema.query::<u64>(&loads).await?.pop() {
                return Ok(id);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), loading).await.context("it never loads")?
}

#[apply(load_test)]
async fn a_lost_connection_costs_a_try(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, slow INT)").await?;
    env.put("1", "1\n2\n1\n4\n5\n6\n7\n8\n")?;
    let report = env.path("report").display().to_string();
    let args = [
        "check",
        "s3://etl/",
        "--table",
        "t",
        "--columns",
        "id",
        "--set",
        "slow=SLEEP(0.1)",
        "--report",
        &report,
    ];
    let running = env.command(args).spawn()?;
    env.schema.exec(&format!("KILL {}", loading(&env).await?)).await?;
    let ended = finish(running).await?;
    ended.expect(3)?;
    let line = object(&env, "1")?;
    ensure!(
        numbers(&line) == (Some(8), Some(0), Some(1)) && line["attempts"] == 2,
        "{ended}\n{line:#}"
    );
    Ok(())
}

#[apply(load_test)]
async fn killed_half_way_nothing_is_left(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, slow INT)").await?;
    env.put("1", (0..500).map(|id| format!("{id}\n")).collect::<String>())?;
    let before = state(&env, "t").await?;
    let args =
        ["check", "s3://etl/", "--table", "t", "--columns", "id", "--set", "slow=SLEEP(0.1)"];
    let running = env.command(args).spawn()?;
    loading(&env).await?;
    let user = &env.schema.user;
    crate::support::program::signal(&running, "KILL")?;
    ensure!(finish(running).await?.code.is_none());
    // The server notices when it writes, or at its next read.
    let connections =
        format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{user}'");
    for id in env.schema.query::<u64>(&connections).await? {
        // The connection may have ended by itself.
        let _ = env.schema.exec(&format!("KILL {id}")).await;
    }
    while !env.schema.query::<u64>(&connections).await?.is_empty() {
        tokio::task::yield_now().await;
    }
    ensure!(state(&env, "t").await? == before);
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn null_that_set_makes_of_text_is_counted_and_shown(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id INT PRIMARY KEY, code VARCHAR(9), b VARBINARY(9), n INT)")
        .await?;
    env.put("1", "1\t6162\tx\n2\t0g\ty\n3\t\tz\n4\t\\N\tz\n5\t63\tnone\n1\tzz\tx\n")?;
    let args = [
        "--columns",
        "id,code,@n",
        "--set",
        "b = IF(code REGEXP '^[0-9]+$', code, NULL)",
        "--set",
        "n = LENGTH(@n)",
    ];
    let ignore = ["--on-duplicate", "ignore"];
    let ended = check(&env, 0, "t", &[&args[..], &ignore].concat()).await?;
    // The empty and the NULL field are NULL on purpose, and the last row is a duplicate.
    ended
        .says("column b: --set makes it NULL in 1 rows whose fields are not empty, such as '0g'")?;
    let line = object(&env, "1")?;
    let expected = serde_json::json!([{"column": "b", "rows": 1, "example": "0g"}]);
    ensure!(line["set_nulls"] == expected && line["would"] == "load", "{line:#}");

    // Two expressions, one of which reads two fields; and an object that goes row by row.
    let args = ["--columns", "@id,@c,@n", "--set", "id = @id", "--set", "n = NULLIF(@n, 'none')"];
    let more =
        ["--set", "code = IF(@c = '63' AND @n = 'none', NULL, @c)", "--on-bad-row", "accept"];
    env.put("1", "1\t6162\t7\nx\t0g\t8\n5\t63\tnone\n")?;
    check(&env, 0, "t", &[&args[..], &more].concat()).await?;
    let expected = serde_json::json!([
        {"column": "n", "rows": 1, "example": "none"},
        {"column": "code", "rows": 1, "example": "63, none"},
    ]);
    let line = object(&env, "1")?;
    ensure!(line["set_nulls"] == expected && line["bad_rows"] == 1, "{line:#}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}
