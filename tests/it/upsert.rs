//! `--on-duplicate update`: the effect of single statements, counted to the row.

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use serde_json::Value;

use crate::registry::{apply, load_test};
use crate::rejecting::{Rejects, load};
use crate::support::program::{TestEnv, finish, row_error_numbers};
use crate::support::servers::{Schema, Server, ServerKind};
use crate::support::values::{ensure_values, values};

const UPDATE: [&str; 2] = ["--on-duplicate", "update"];

async fn update(env: &TestEnv, code: i32, object: &str, args: &[&str]) -> Result<Rejects> {
    env.put("data/1", object.to_owned())?;
    load(env, "t", code, &[&UPDATE, args].concat()).await
}

/// Requires these counts of inserted, updated and unchanged rows in the report, and no skipped or
/// rejected ones.
fn ensure_counts(line: &Value, inserted: u64, updated: u64, unchanged: u64) -> Result<()> {
    let number = |name: &str| line[name].as_u64().with_context(|| format!("no {name}: {line:#}"));
    let rows = inserted + updated + unchanged;
    let told = (number("rows")?, number("loaded")?, number("updated")?, number("unchanged")?);
    ensure!(
        told == (rows, rows, updated, unchanged),
        "not {inserted}, {updated}, {unchanged}: {line:#}"
    );
    ensure!(
        number("skipped")? == 0 && number("rejected")? == 0 && number("deleted")? == 0,
        "{line:#}"
    );
    Ok(())
}

#[apply(load_test)]
async fn rows_are_counted_as_single_statements_count_them(env: TestEnv) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(7);
    let rows: Vec<(u32, u32)> = (0..3000).map(|_| (rng.u32(..1500), rng.u32(..3))).collect();
    for table in ["t", "oracle"] {
        env.schema.exec(&format!("CREATE TABLE {table} (id INT PRIMARY KEY, v INT)")).await?;
        let there: Vec<String> = (0..500).map(|id| format!("({id}, {})", id % 3)).collect();
        env.schema.exec(&format!("INSERT INTO {table} VALUES {}", there.join(", "))).await?;
    }
    let mut counts = [0_u64; 3];
    let mut conn = env.schema.conn().await?;
    conn.query_drop("START TRANSACTION").await?;
    for (id, v) in &rows {
        conn.query_drop(format!(
            "INSERT INTO oracle VALUES ({id}, {v}) ON DUPLICATE KEY UPDATE v = {v}"
        ))
        .await?;
        let kind = [2, 0, 1][usize::try_from(conn.affected_rows())?];
        counts[kind] += 1;
    }
    conn.query_drop("COMMIT").await?;
    let object: String = rows.iter().map(|(id, v)| format!("{id}\t{v}\n")).collect();
    let loaded = update(&env, 0, &object, &[]).await?;
    ensure_counts(&loaded.line, counts[0], counts[1], counts[2])?;
    ensure!(counts.iter().all(|count| *count > 100), "{counts:?}");
    let label = loaded.ended.summary("rows updated")?;
    ensure!(
        label == counts[1].to_string()
            && loaded.ended.summary("rows unchanged")? == counts[2].to_string()
    );
    let query = |table: &str| format!("SELECT * FROM {table} ORDER BY id");
    ensure!(
        values(&env.schema, &query("t")).await? == values(&env.schema, &query("oracle")).await?
    );
    Ok(())
}

#[apply(load_test)]
async fn the_last_of_rows_with_one_key_wins_in_the_order_of_the_object(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT)").await?;
    // Across the borders of statements and of chunks of an object.
    let object: String = (1..=40_000).map(|row| format!("{}\t{row}\n", row % 7)).collect();
    let loaded = update(&env, 0, &object, &[]).await?;
    ensure_counts(&loaded.line, 7, 40_000 - 7, 0)?;
    let last: Vec<String> = (0..7)
        .map(|id| format!("{id}|{}", (39_994..=40_000).find(|row| row % 7 == id).unwrap_or(0)))
        .collect();
    let last: Vec<&str> = last.iter().map(String::as_str).collect();
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &last).await
}

#[apply(load_test)]
async fn only_the_columns_that_are_named_are_set(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, c INT)").await?;
    env.schema.exec("INSERT INTO t VALUES (1, 10, 10, 10), (2, 2, 2, 2)").await?;
    let object = "1\t1\t1\t1\n2\t2\t0\t0\n3\t3\t3\t3\n";
    let loaded = update(&env, 0, object, &["--update-columns", "a"]).await?;
    ensure_counts(&loaded.line, 1, 1, 1)?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|1|10|10", "2|2|2|2", "3|3|3|3"])
        .await?;
    let loaded = update(&env, 0, object, &["--update-columns", "C, b"]).await?;
    ensure_counts(&loaded.line, 0, 2, 1)?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|1|1|1", "2|2|0|0", "3|3|3|3"])
        .await?;
    // By default, every loaded column that is in no key is updated.
    let loaded = update(&env, 0, "1\t7\n", &["--columns", "id,b"]).await?;
    ensure_counts(&loaded.line, 0, 1, 0)?;
    ensure_values(&env.schema, "SELECT * FROM t WHERE id = 1", &["1|1|7|1"]).await
}

#[apply(load_test)]
async fn every_part_of_a_composite_key_counts(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (a INT, b VARCHAR(5) CHARACTER SET utf8mb4 COLLATE \
             utf8mb4_general_ci, v INT, PRIMARY KEY (b, a))",
        )
        .await?;
    env.schema.exec("INSERT INTO t VALUES (1, 'x', 0), (2, 'x', 0)").await?;
    let loaded = update(&env, 0, "1\tX\t1\n2\ty\t2\n1\ty\t3\n2\tx\t0\n", &[]).await?;
    ensure_counts(&loaded.line, 2, 1, 1)?;
    // The key keeps the form in which it was first written.
    ensure_values(
        &env.schema,
        "SELECT * FROM t ORDER BY a, b",
        &["1|x|1", "1|y|3", "2|x|0", "2|y|2"],
    )
    .await
}

#[apply(load_test)]
async fn an_update_that_takes_another_rows_key_is_a_bad_row(env: TestEnv) -> Result<()> {
    let create = async || {
        env.schema.exec("DROP TABLE IF EXISTS t").await?;
        env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, u INT UNIQUE, v INT)").await?;
        env.schema.exec("INSERT INTO t VALUES (1, 1, 0), (2, 2, 0), (3, 3, 0)").await
    };
    create().await?;
    // Row 2 would give row 1 of the table the `u` of row 2.
    let object = "4\t4\t1\n1\t2\t1\n2\t7\t1\n";
    let failed = update(&env, 3, object, &["--update-columns", "u,v"]).await?;
    let error = &failed.line["error"];
    ensure!(error["code"] == "bad_rows" && error["rows"][0]["row"] == 2, "{error:#}");
    ensure!(error["rows"][0]["code"] == 1062, "{error:#}");
    ensure_values(&env.schema, "SELECT * FROM t", &["1|1|0", "2|2|0", "3|3|0"]).await?;
    let rejects =
        update(&env, 7, object, &["--update-columns", "u,v", "--on-bad-row", "reject"]).await?;
    ensure!(rejects.text == b"1\t2\t1\n" && rejects.line["rejected"] == 1, "{:#}", rejects.line);
    ensure_values(
        &env.schema,
        "SELECT * FROM t ORDER BY id",
        &["1|1|0", "2|7|1", "3|3|0", "4|4|1"],
    )
    .await?;
    create().await?;
    let accepted =
        update(&env, 0, object, &["--update-columns", "u,v", "--on-bad-row", "accept"]).await?;
    ensure!(accepted.line["skipped"] == 1 && accepted.line["updated"] == 1, "{:#}", accepted.line);
    ensure_values(
        &env.schema,
        "SELECT * FROM t ORDER BY id",
        &["1|1|0", "2|7|1", "3|3|0", "4|4|1"],
    )
    .await?;
    // If only columns without a key are set, a row that meets two others updates one, by the first
    // key, as in the server.
    create().await?;
    let loaded = update(&env, 0, "1\t2\t9\n", &[]).await?;
    ensure_counts(&loaded.line, 0, 1, 0)?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|1|9", "2|2|0", "3|3|0"]).await
}

#[apply(load_test)]
async fn rows_without_a_key_in_the_object_are_numbered(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, u VARCHAR(9) NOT NULL UNIQUE, v \
             INT)",
        )
        .await?;
    env.schema.exec("INSERT INTO t VALUES (7, 'a', 0), (9, 'b', 0)").await?;
    let loaded = update(&env, 0, "a\t1\nc\t1\nd\t1\nc\t2\n", &["--columns", "u,v"]).await?;
    ensure_counts(&loaded.line, 2, 2, 0)?;
    ensure_values(
        &env.schema,
        "SELECT u, v, id > 9 FROM t ORDER BY u",
        &["a|1|0", "b|0|0", "c|2|1", "d|1|1"],
    )
    .await?;
    ensure_values(&env.schema, "SELECT COUNT(DISTINCT id) FROM t", &["4"]).await?;
    // A NULL and a zero in the object: NULL asks for a number, zero is one.
    let loaded = update(&env, 0, "\\N\te\t1\n0\tf\t1\n", &[]).await?;
    ensure_counts(&loaded.line, 2, 0, 0)?;
    ensure_values(&env.schema, "SELECT u FROM t WHERE id = 0", &["f"]).await
}

#[apply(load_test)]
async fn what_the_object_does_not_have_is_kept_or_made_by_default(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, v INT, d INT NOT NULL DEFAULT 7, at TIMESTAMP \
             NOT NULL DEFAULT CURRENT_TIMESTAMP, touched DATETIME NULL ON UPDATE \
             CURRENT_TIMESTAMP)",
        )
        .await?;
    env.schema
        .exec("INSERT INTO t VALUES (1, 1, 99, '2001-01-01', NULL), (2, 2, 99, '2001-01-01', NULL)")
        .await?;
    let loaded = update(&env, 0, "1\t5\n2\t2\n3\t3\n", &["--columns", "id,v"]).await?;
    ensure_counts(&loaded.line, 1, 1, 1)?;
    let sql = "SELECT id, v, d, at > '2020-01-01', touched IS NULL FROM t ORDER BY id";
    ensure_values(&env.schema, sql, &["1|5|99|0|0", "2|2|99|0|1", "3|3|7|1|1"]).await
}

#[apply(load_test)]
async fn computed_columns_follow_and_set_columns_are_set(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, a INT, double_a INT AS (a * 2) STORED, k INT AS \
             (a + 100) VIRTUAL UNIQUE, by_whom VARCHAR(9))",
        )
        .await?;
    env.schema
        .exec("INSERT INTO t (id, a, by_whom) VALUES (1, 1, 'before'), (2, 2, 'before')")
        .await?;
    let args = ["--columns", "id,@a", "--set", "a=@a+1", "--set", "by_whom='us'"];
    let loaded = update(&env, 0, "1\t9\n3\t2\n", &args).await?;
    ensure_counts(&loaded.line, 2 - 1, 1, 0)?;
    let sql = "SELECT id, a, double_a, k, by_whom FROM t ORDER BY id";
    ensure_values(&env.schema, sql, &["1|10|20|110|us", "2|2|4|102|before", "3|3|6|103|us"])
        .await?;
    // Fields of computed columns are ignored, as in LOAD DATA. A computed key is a key.
    let loaded = update(&env, 0, "8\t2\t555\t555\tthem\n", &[]).await?;
    ensure_counts(&loaded.line, 0, 1, 0)?;
    ensure_values(&env.schema, sql, &["1|10|20|110|us", "2|2|4|102|them", "3|3|6|103|us"]).await
}

#[apply(load_test)]
async fn null_is_never_a_duplicate(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (u INT NULL, w INT NULL, v INT, UNIQUE (u, w))").await?;
    env.schema.exec("INSERT INTO t VALUES (NULL, 1, 0), (1, 1, 0)").await?;
    let args = ["--null-string", "-"];
    let loaded = update(&env, 0, "-\t1\t5\n1\t1\t5\n1\t-\t5\n1\t-\t5\n", &args).await?;
    ensure_counts(&loaded.line, 3, 1, 0)?;
    let sql = "SELECT u, w, v FROM t ORDER BY u, w, v";
    ensure_values(&env.schema, sql, &["∅|1|0", "∅|1|5", "1|∅|5", "1|∅|5", "1|1|5"]).await
}

#[apply(load_test)]
async fn a_table_without_a_unique_key_only_grows(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, v INT, KEY (id))").await?;
    env.schema.exec("INSERT INTO t VALUES (1, 1)").await?;
    let loaded = update(&env, 0, "1\t1\n1\t2\n", &[]).await?;
    ensure_counts(&loaded.line, 2, 0, 0)?;
    ensure!(env.count("t").await? == 3);
    Ok(())
}

#[apply(load_test)]
async fn a_table_of_keys_alone_changes_nothing(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b INT, PRIMARY KEY (a, b))").await?;
    env.schema.exec("INSERT INTO t VALUES (1, 1)").await?;
    let loaded = update(&env, 0, "1\t1\n1\t2\n1\t2\n", &[]).await?;
    ensure_counts(&loaded.line, 1, 0, 2)?;
    ensure!(env.count("t").await? == 2);
    Ok(())
}

#[apply(load_test)]
async fn values_that_do_not_fit_keep_their_policy(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id INT PRIMARY KEY, n TINYINT NOT NULL, s VARCHAR(3) NULL)")
        .await?;
    env.schema.exec("INSERT INTO t VALUES (1, 1, 'old'), (2, 2, 'old')").await?;
    let object = "1\t300\tnew\n2\t3\tnew\n3\t4\ttoo long\n4\t5\n5\t\\N\tnew\n6\t6\tnew\n";
    let failed = update(&env, 3, object, &[]).await?;
    let error = &failed.line["error"];
    let rows = row_error_numbers(&error["rows"], "row")?;
    ensure!(error["code"] == "bad_rows" && rows == [1, 3, 4, 5], "{error:#}");
    ensure_values(&env.schema, "SELECT * FROM t", &["1|1|old", "2|2|old"]).await?;
    let rejects = update(&env, 7, object, &["--on-bad-row", "reject"]).await?;
    ensure!(
        rejects.text == b"1\t300\tnew\n3\t4\ttoo long\n4\t5\n5\t\\N\tnew\n",
        "{:?}",
        String::from_utf8_lossy(&rejects.text)
    );
    ensure!(rejects.line["updated"] == 1 && rejects.line["loaded"] == 2, "{:#}", rejects.line);
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|1|old", "2|3|new", "6|6|new"])
        .await?;
    let accepted = update(&env, 0, object, &["--on-bad-row", "accept"]).await?;
    ensure_counts(&accepted.line, 3, 1, 2)?;
    ensure!(
        accepted.line["warnings"].as_u64().is_some_and(|warnings| warnings >= 4),
        "{:#}",
        accepted.line
    );
    let expected = ["1|127|new", "2|3|new", "3|4|too", "4|5|∅", "5|0|new", "6|6|new"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &expected).await
}

#[apply(load_test)]
async fn rows_that_a_constraint_refuses_keep_their_policy(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE p (id INT PRIMARY KEY)").await?;
    env.schema.exec("INSERT INTO p VALUES (1), (2)").await?;
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, p INT, n INT CHECK (n < 100), FOREIGN KEY (p) \
             REFERENCES p (id))",
        )
        .await?;
    env.schema.exec("INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 1, 3)").await?;
    // CHECK and the foreign key refuse both new rows and updates.
    let object = "1\t7\t5\n2\t1\t500\n3\t2\t6\n4\t8\t1\n5\t1\t600\n6\t2\t7\n";
    let failed = update(&env, 3, object, &[]).await?;
    let error = &failed.line["error"];
    let rows = row_error_numbers(&error["rows"], "row")?;
    ensure!(error["code"] == "bad_rows" && rows == [1, 2, 4, 5], "{error:#}");
    ensure!(env.count("t").await? == 3);
    let rejects = update(&env, 7, object, &["--on-bad-row", "reject"]).await?;
    ensure!(
        rejects.text == b"1\t7\t5\n2\t1\t500\n4\t8\t1\n5\t1\t600\n",
        "{:?}",
        String::from_utf8_lossy(&rejects.text)
    );
    let expected = ["1|1|1", "2|2|2", "3|2|6", "6|2|7"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &expected).await?;
    let accepted = update(&env, 0, object, &["--on-bad-row", "accept"]).await?;
    ensure!(
        accepted.line["skipped"] == 4 && accepted.line["unchanged"] == 2,
        "{:#}",
        accepted.line
    );
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &expected).await
}

#[apply(load_test)]
async fn names_that_need_quotes_are_quoted(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE `t` (`the id` INT PRIMARY KEY, `select` INT, `a``b,c` INT)")
        .await?;
    env.schema.exec("INSERT INTO t VALUES (1, 0, 0)").await?;
    let loaded = update(&env, 0, "1\t1\t1\n", &["--update-columns", "`a``b,c`"]).await?;
    ensure_counts(&loaded.line, 0, 1, 0)?;
    ensure_values(&env.schema, "SELECT * FROM t", &["1|0|1"]).await?;
    let loaded = update(&env, 0, "1\t1\t1\n", &[]).await?;
    ensure_counts(&loaded.line, 0, 1, 0)?;
    ensure_values(&env.schema, "SELECT * FROM t", &["1|1|1"]).await
}

#[apply(load_test)]
async fn a_column_that_is_not_there_is_refused_before_the_run(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id INT PRIMARY KEY, amount INT, g INT AS (amount) VIRTUAL)")
        .await?;
    env.put("data/1", "1\t1\n")?;
    let args = [
        "load",
        "s3://etl/data/",
        "--table",
        "t",
        "--columns",
        "id,amount",
        "--on-duplicate",
        "update",
        "--update-columns",
    ];
    for (column, says) in
        [("ammount", "did you mean \"amount\"?"), ("g", "the server computes column \"g\"")]
    {
        let ended = env.run(&[&args[..], &[column]].concat()).await?;
        ended.expect(6).with_context(|| column.to_owned())?;
        ended.says(says)?;
    }
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn missing_privileges_are_told_before_the_run(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT)").await?;
    env.put("data/1", "1\t1\n")?;
    let books = env.server.schema().await?;
    let (schema, user) = (&env.schema.name, &env.schema.user);
    env.schema.exec(&format!("GRANT ALL ON {}.* TO {user}@'%'", books.name)).await?;
    let ledger = format!("{}.books", books.name);
    let args = [
        "load",
        "s3://etl/data/",
        "--table",
        "t",
        "--on-duplicate",
        "update",
        "--ledger-table",
        &ledger,
    ];
    let all = ["SELECT", "INSERT", "UPDATE", "CREATE TEMPORARY TABLES"];
    for missing in all {
        env.schema.exec(&format!("REVOKE ALL ON {schema}.* FROM {user}@'%'")).await?;
        let granted: Vec<&str> =
            all.into_iter().filter(|privilege| *privilege != missing).collect();
        env.schema
            .exec(&format!("GRANT {} ON {schema}.* TO {user}@'%'", granted.join(", ")))
            .await?;
        let ended = env.run(&args).await?;
        ended.expect(6).with_context(|| format!("without {missing}"))?;
        ended.says(&format!("the {missing} privilege"))?;
        ensure!(env.count("t").await? == 0);
    }
    env.schema.exec(&format!("GRANT {} ON {schema}.* TO {user}@'%'", all.join(", "))).await?;
    env.run(&args).await?.expect(0)?;
    ensure!(env.count("t").await? == 1);
    Ok(())
}

#[apply(load_test)]
async fn where_statements_are_logged_it_updates_as_well(env: TestEnv) -> Result<()> {
    let logged = ["--log-bin=binlog", "--binlog-format=STATEMENT", "--server-id=1"];
    // With GTIDs, MySQL then allows no temporary table in a transaction.
    let without_gtids: &[&str] = match env.server.kind() {
        ServerKind::Mysql => &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"],
        ServerKind::Mariadb => &[],
    };
    let server = Server::start(env.server.kind(), &[&logged, without_gtids].concat())?;
    let schema = server.schema().await?;
    schema
        .exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, u INT UNIQUE, v TINYINT)")
        .await?;
    schema.exec("INSERT INTO t VALUES (1, 1, 0), (2, 2, 0)").await?;
    let line =
        load_logged(&env, &schema, "t", &["--columns", "u,v", "--on-duplicate", "update"], 7)
            .await?;
    let counts = ["loaded", "updated", "unchanged", "rejected"].map(|name| line[name].as_u64());
    ensure!(counts == [Some(4), Some(2), Some(1), Some(1)], "{line:#}");
    ensure_values(&schema, "SELECT u, v FROM t ORDER BY u", &["1|6", "2|0", "3|5"]).await?;
    reject_logged(&env, &schema).await
}

#[apply(load_test)]
async fn where_no_private_table_can_be_made_updates_are_refused_and_rejects_exact(
    env: TestEnv,
) -> Result<()> {
    let args: &[&str] = match env.server.kind() {
        ServerKind::Mysql => &[
            "--log-bin=binlog",
            "--binlog-format=STATEMENT",
            "--server-id=1",
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
        ],
        // MariaDB has no GTID restriction here. The shared server's account is the one without the
        // privilege.
        ServerKind::Mariadb => &[],
    };
    let server = Server::start(env.server.kind(), args)?;
    let schema = server.schema().await?;
    if env.server.kind() == ServerKind::Mariadb {
        schema
            .exec(&format!(
                "REVOKE CREATE TEMPORARY TABLES ON {}.* FROM {}@'%'",
                schema.name, schema.user
            ))
            .await?;
    }
    schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v TINYINT)").await?;
    let refused = load_logged(&env, &schema, "t", &["--on-duplicate", "update"], 6).await?;
    let hint = refused["error"]["hint"].as_str().unwrap_or_default();
    let remedy = match env.server.kind() {
        ServerKind::Mysql => "binlog_format is ROW or MIXED",
        ServerKind::Mariadb => "CREATE TEMPORARY TABLES",
    };
    ensure!(hint.contains(remedy), "{refused:#}");
    reject_logged(&env, &schema).await
}

/// Loads rows with some repeated keys and one row that does not fit, and returns the report's first
/// line.
async fn load_logged(
    env: &TestEnv,
    schema: &Schema<'_>,
    table: &str,
    args: &[&str],
    code: i32,
) -> Result<Value> {
    env.put("data/1", "1\t5\n3\t5\n1\t6\n4\tx\n2\t0\n")?;
    let (rejects, report) =
        (env.path("rejects").display().to_string(), env.path("report").display().to_string());
    let base = [
        "load",
        "s3://etl/data/",
        "--table",
        table,
        "--on-bad-row",
        "reject",
        "--rejects",
        &rejects,
    ];
    let mut command = env.command(base.iter().chain(args));
    command.env("DATABASE_URL", schema.url()).env("S3_TO_MYSQL_REPORT", &report);
    finish(command.spawn()?).await?.expect(code)?;
    env.report("report")?.into_iter().next().context("an empty report")
}

async fn reject_logged(env: &TestEnv, schema: &Schema<'_>) -> Result<()> {
    schema.exec("CREATE TABLE r (id INT PRIMARY KEY, v TINYINT)").await?;
    let line = load_logged(env, schema, "r", &["--on-duplicate", "reject"], 7).await?;
    ensure!(line["rejected"] == 2 && line["rejected_duplicates"] == 1, "{line:#}");
    ensure_values(schema, "SELECT * FROM r ORDER BY id", &["1|5", "2|0", "3|5"]).await
}

#[apply(load_test)]
async fn foreign_keys_and_triggers_see_updates_not_replacements(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT)").await?;
    env.schema
        .exec("CREATE TABLE c (t INT, FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE)")
        .await?;
    env.schema.exec("CREATE TABLE log (what VARCHAR(9), id INT)").await?;
    for what in ["INSERT", "UPDATE", "DELETE"] {
        let row = if what == "DELETE" { "OLD" } else { "NEW" };
        let sql = format!(
            "CREATE TRIGGER on_{what} AFTER {what} ON t FOR EACH ROW INSERT INTO log VALUES \
             ('{what}', {row}.id)"
        );
        env.schema.exec(&sql).await?;
    }
    env.schema.exec("INSERT INTO t VALUES (1, 1), (2, 2)").await?;
    env.schema.exec("INSERT INTO c VALUES (1), (2)").await?;
    env.schema.exec("DELETE FROM log").await?;
    let loaded = update(&env, 0, "1\t5\n3\t3\n", &[]).await?;
    ensure_counts(&loaded.line, 1, 1, 0)?;
    ensure!(env.count("c").await? == 2, "children went with a row that was only updated");
    ensure_values(&env.schema, "SELECT * FROM log ORDER BY id", &["UPDATE|1", "INSERT|3"]).await
}
