//! Random tables and rows: compares what the dry run predicts for each row with what the server's
//! own LOAD DATA does when it loads that row alone.
//!
//! Tables have unique keys with several collations, prefixes, expressions and generated columns,
//! CHECKs, foreign keys (also to themselves), partitions, triggers, and views with a CHECK OPTION.
//! For each row the prediction must say whether the server refuses it, with the server's code and
//! text. `max_error_count` is small, so that rows go in many statements and some lists are cut.

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use mysql_async::Row;
use s3_to_mysql::dialect::ColumnOrVariable;
use s3_to_mysql::isolate::{OnConflict, ScratchTable, dry_run_insert};
use s3_to_mysql::load_data::Diagnostic;
use s3_to_mysql::mysql::{Conn, TableSchema};
use s3_to_mysql::sql_text::TableName;

use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::servers::{Schema, ServerKind};

const STRICT: &str = "SET SESSION sql_mode = \
     'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
     ERROR_FOR_DIVISION_BY_ZERO,\
     NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', SESSION time_zone = '+00:00'";

/// A table, and rows for it.
#[derive(Debug)]
struct Case {
    /// Statements that create `t`, and the view `v` if the rows go there.
    ddl: Vec<String>,
    into: &'static str,
    columns: Vec<&'static str>,
    /// Lines in LOAD DATA's default dialect that are in the table before.
    there: Vec<String>,
    rows: Vec<String>,
    max_error_count: u32,
    increment: u32,
}

const WORDS: [&str; 14] =
    ["", "a", "A", "á", "a ", " a", "ab", "AB", "abc", "ss", "ß", "b", "B", "😀"];

impl Case {
    fn random(rng: &mut Rng, kind: ServerKind) -> Self {
        let is_mysql = kind == ServerKind::Mysql;
        let collations: &[&str] = if is_mysql {
            &[
                "utf8mb4_bin",
                "utf8mb4_general_ci",
                "utf8mb4_0900_ai_ci",
                "utf8mb4_0900_bin",
                "utf8mb4_unicode_ci",
            ]
        } else {
            &[
                "utf8mb4_bin",
                "utf8mb4_general_ci",
                "utf8mb4_nopad_bin",
                "utf8mb4_unicode_520_ci",
                "utf8mb4_unicode_nopad_ci",
            ]
        };
        let mut collation = || collations[rng.usize(..collations.len())];
        let (first, second) = (collation(), collation());
        let stored = ["VIRTUAL", "STORED"][rng.usize(..2)];
        let mut lines = vec![
            ["id INT NOT NULL", "id INT NOT NULL AUTO_INCREMENT"][rng.usize(..2)].to_owned(),
            "n INT".to_owned(),
            format!("w VARCHAR(20) CHARACTER SET utf8mb4 COLLATE {first}"),
            format!("x TEXT CHARACTER SET utf8mb4 COLLATE {second}"),
            "d DECIMAL(4,1)".to_owned(),
            "ts TIMESTAMP NULL".to_owned(),
            "e ENUM('a','B','c')".to_owned(),
            "p INT".to_owned(),
            "k INT DEFAULT 3".to_owned(),
            format!("g INT GENERATED ALWAYS AS (n % 4) {stored}"),
            format!(
                "gw VARCHAR(30) CHARACTER SET utf8mb4 COLLATE {first} GENERATED ALWAYS AS \
                 (CONCAT(w, '!')) {stored}"
            ),
        ];
        let is_partitioned = rng.u8(..4) == 0;
        // Each key of a partitioned table has the column that it is partitioned by.
        let by = if is_partitioned { "n, " } else { "" };
        lines.push(if is_partitioned {
            "KEY (id)".to_owned()
        } else {
            "PRIMARY KEY (id)".to_owned()
        });
        let mut keys = vec![
            "n", "w", "w(2)", "x(1)", "x(3)", "d", "ts", "e", "p, w", "n, x(2)", "k, n", "d DESC",
            "g, w(1)", "gw(2)",
        ];
        if is_mysql {
            keys.extend(["(LOWER(w))", "(n % 6)", "(CAST(d AS SIGNED)), p"]);
        }
        for _ in 0..rng.usize(..4) {
            let key = keys[rng.usize(..keys.len())];
            if !(is_partitioned && (key.contains('n') || key.contains('('))) {
                lines.push(format!("UNIQUE ({by}{key})"));
            }
        }
        let checks = [
            "n % 7 <> 3",
            "CHAR_LENGTH(w) < 3",
            "w <> 'AB'",
            "g <> 2 OR p IS NULL",
            "d * 2 < 12",
            "e <> 'b'",
            "x NOT LIKE 'a%c'",
        ];
        for _ in 0..rng.usize(..3) {
            lines.push(format!("CHECK ({})", checks[rng.usize(..checks.len())]));
        }
        let mut ddl = Vec::new();
        if !is_partitioned && rng.bool() {
            ddl.push("CREATE TABLE parent (id INT PRIMARY KEY)".to_owned());
            ddl.push("INSERT INTO parent VALUES (1), (2), (3), (5), (8)".to_owned());
            lines.push("FOREIGN KEY (p) REFERENCES parent (id)".to_owned());
        }
        if !is_partitioned && rng.u8(..4) == 0 {
            lines.push("KEY (k), FOREIGN KEY (k) REFERENCES t (id)".to_owned());
        }
        let partitions = [
            "PARTITION BY RANGE (n) (PARTITION a VALUES LESS THAN (4), PARTITION b VALUES LESS \
             THAN (9))",
            "PARTITION BY LIST (n) (PARTITION a VALUES IN (1, 2, 3, NULL), PARTITION b VALUES IN \
             (5, 6, 7))",
            "PARTITION BY RANGE COLUMNS (n) (PARTITION a VALUES LESS THAN (7))",
        ];
        let partition = if is_partitioned { partitions[rng.usize(..partitions.len())] } else { "" };
        ddl.push(format!("CREATE TABLE t ({}) ENGINE=InnoDB {partition}", lines.join(", ")));
        if rng.u8(..5) == 0 {
            ddl.push(
                "CREATE TRIGGER b BEFORE INSERT ON t FOR EACH ROW SET NEW.d = NEW.d + 1, NEW.w = \
                 UPPER(NEW.w)"
                    .to_owned(),
            );
        }
        if rng.u8(..5) == 0 {
            ddl.push("CREATE TABLE log (id INT PRIMARY KEY, n INT)".to_owned());
            // The trigger warns of duplicates that are not the row's own.
            ddl.push(
                "CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW INSERT IGNORE INTO log VALUES \
                 (NEW.n % 3, NEW.id)"
                    .to_owned(),
            );
        }
        let mut columns = vec!["id", "n", "w", "x", "d", "ts", "e", "p"];
        if rng.u8(..4) == 0 {
            columns.push("k");
        }
        if rng.u8(..4) == 0 {
            columns.push("g");
        }
        let mut into = "t";
        if rng.u8(..6) == 0 {
            into = "v";
            columns.retain(|column| *column != "g");
            ddl.push(
                "CREATE VIEW v AS SELECT id, n, w, x, d, ts, e, p, k FROM t WHERE n < 9 WITH CHECK \
                 OPTION".to_owned(),
            );
        }
        let ids = rng.i32(10..60);
        let mut line = |null: u8| {
            let fields: Vec<String> =
                columns.iter().map(|column| field(rng, column, ids, null)).collect();
            fields.join("\t") + "\n"
        };
        let there = (0..5).map(|_| line(0)).collect();
        let rows = (0..20).map(|_| line(40)).collect();
        Self {
            ddl,
            into,
            columns,
            there,
            rows,
            max_error_count: [6, 20, 64, 1024][rng.usize(..4)],
            increment: [1, 1, 7][rng.usize(..3)],
        }
    }

    async fn create(&self, conn: &mut Conn) -> Result<()> {
        for sql in
            ["DROP VIEW IF EXISTS v", "DROP TABLE IF EXISTS t, log", "DROP TABLE IF EXISTS parent"]
        {
            conn.query_drop(sql).await?;
        }
        for sql in &self.ddl {
            conn.query_drop(sql).await.with_context(|| sql.clone())?;
        }
        Ok(())
    }
}

/// A value for `column`, which is NULL in `null` of 256 cases.
fn field(rng: &mut Rng, column: &str, ids: i32, null: u8) -> String {
    if column != "id" && rng.u8(..) < null {
        return r"\N".to_owned();
    }
    match column {
        "id" => rng.i32(..ids).to_string(),
        "w" | "x" => WORDS[rng.usize(..WORDS.len())].to_owned(),
        "d" => format!("{}.{}", rng.i32(-2..6), rng.u8(..2) * 5),
        "ts" => format!("2026-0{}-01 00:00:0{}", rng.u8(1..4), rng.u8(..4)),
        "e" => ["a", "B", "c"][rng.usize(..3)].to_owned(),
        // At least half of the rows have a parent.
        "p" => [1, 2, 3, rng.i32(..9)][rng.usize(..4)].to_string(),
        _ => rng.i32(..12).to_string(),
    }
}

/// Loads `lines` with LOAD DATA, and returns the number of rows that are stored.
async fn load(
    conn: &mut Conn,
    table: &str,
    columns: &[ColumnOrVariable],
    lines: String,
) -> Result<u64> {
    let columns: Vec<String> = columns
        .iter()
        .map(|item| match item {
            ColumnOrVariable::Column(name) => format!("`{name}`"),
            ColumnOrVariable::Variable(name) => format!("@`{name}`"),
        })
        .collect();
    conn.set_infile_handler(async move {
        Ok(Box::pin(futures_util::stream::iter([Ok(lines.into())])) as _)
    });
    let sql = format!(
        "LOAD DATA LOCAL INFILE 'x' IGNORE INTO TABLE {table} CHARACTER SET utf8mb4 ({})",
        columns.join(", ")
    );
    conn.query_drop(&sql).await.context(sql)?;
    Ok(conn.affected_rows())
}

fn named(columns: &[&str]) -> Vec<ColumnOrVariable> {
    columns.iter().map(|name| ColumnOrVariable::Column((*name).to_owned())).collect()
}

async fn contents(conn: &mut Conn) -> Result<Vec<String>> {
    let rows: Vec<Row> = conn.query("SELECT * FROM t").await?;
    let mut rows: Vec<String> = rows.into_iter().map(|row| format!("{:?}", row.unwrap())).collect();
    rows.sort();
    Ok(rows)
}

/// Creates and fills the scratch table of `into`.
async fn private(
    conn: &mut Conn,
    schema: &Schema<'_>,
    into: &str,
    columns: &[&str],
    rows: &[String],
) -> Result<ScratchTable> {
    let target = TableName { database: Some(schema.name.clone()), table: into.to_owned() };
    let shape = TableSchema::read(conn, &schema.name, into).await?.context("no such table")?;
    let private = ScratchTable::new(&target, &shape, &named(columns), &[]);
    private.create(conn).await?;
    let stored =
        load(conn, &private.table().to_string(), private.load_columns(), rows.concat()).await?;
    ensure!(
        stored == rows.len() as u64,
        "{stored} of {} rows are in the scratch table",
        rows.len()
    );
    Ok(private)
}

/// Loads each row by itself, and returns the refused ones with the first code and message that says
/// why.
async fn one_by_one(conn: &mut Conn, case: &Case) -> Result<Vec<(u64, u16, String)>> {
    let mut refused = Vec::new();
    for (index, row) in case.rows.iter().enumerate() {
        if load(conn, case.into, &named(&case.columns), row.clone()).await? == 0 {
            let warnings: Vec<(String, u16, String)> = conn.query("SHOW WARNINGS").await?;
            let [(_, code, message)] = warnings.as_slice() else {
                anyhow::bail!("row {}: {warnings:?}", index + 1)
            };
            refused.push((index as u64 + 1, *code, message.clone()));
        }
    }
    Ok(refused)
}

fn said(predicted: &[Diagnostic]) -> Vec<(u64, u16, String)> {
    predicted
        .iter()
        .map(|one| (one.row.unwrap_or_default(), one.code, one.message.clone()))
        .collect()
}

/// Compares the prediction with single loads, and returns the number of refused rows.
async fn compare(schema: &Schema<'_>, conn: &mut Conn, case: &Case) -> Result<usize> {
    conn.query_drop("SET SESSION max_error_count = 1024, SESSION auto_increment_increment = 1")
        .await?;
    case.create(conn).await?;
    load(conn, case.into, &named(&case.columns), case.there.concat()).await?;
    conn.query_drop("START TRANSACTION").await?;
    conn.query_drop("SAVEPOINT truth").await?;
    let truth = one_by_one(conn, case).await?;
    let stored = contents(conn).await?;
    conn.query_drop("ROLLBACK TO SAVEPOINT truth").await?;
    let before = contents(conn).await?;

    let small = format!(
        "SET SESSION max_error_count = {}, SESSION auto_increment_increment = {}, SESSION \
         auto_increment_offset = {}",
        case.max_error_count,
        case.increment,
        case.increment.min(3)
    );
    conn.query_drop(small).await?;
    let private = private(conn, schema, case.into, &case.columns, &case.rows).await?;
    let predicted = dry_run_insert(conn, &private, true).await?.rejected;
    ensure!(said(&predicted) == truth, "predicted {:?}, but refused {truth:?}", said(&predicted));
    ensure!(contents(conn).await? == before, "the dry run left something behind");
    let others: Vec<_> = truth.iter().filter(|(_, code, _)| *code != 1062).cloned().collect();
    ensure!(
        said(&dry_run_insert(conn, &private, false).await?.rejected) == others,
        "duplicates are predicted unasked"
    );

    conn.query_drop("SAVEPOINT inserted").await?;
    let inserted = private.insert_into(conn, OnConflict::Skip).await?;
    ensure!(
        said(&inserted.rejected) == truth
            && inserted.inserted + truth.len() as u64 == inserted.rows,
        "{inserted:?}"
    );
    ensure!(contents(conn).await? == stored, "the rows are not those that LOAD DATA stores");
    conn.query_drop("ROLLBACK TO SAVEPOINT inserted").await?;
    compare_update(conn, case, &private).await?;
    private.drop(conn).await?;
    conn.query_drop("ROLLBACK").await?;
    Ok(truth.len())
}

/// Does the same for rows that update those with the same key.
async fn compare_update(conn: &mut Conn, case: &Case, private: &ScratchTable) -> Result<()> {
    let columns = ["w", "n", "p"].map(str::to_owned);
    let set: Vec<String> =
        columns.iter().map(|name| format!("{}.{name} = VALUES({name})", case.into)).collect();
    let list = private.insert_columns().join(", ");
    let numbers: Vec<u64> =
        conn.query(format!("SELECT _row FROM {} ORDER BY _row", private.table())).await?;
    let (mut affected, mut refused) = ([0; 3], Vec::new());
    for (index, number) in numbers.into_iter().enumerate() {
        conn.query_drop(format!(
            "INSERT IGNORE INTO {} ({list}) SELECT {list} FROM {} WHERE _row = {number} ON \
             DUPLICATE KEY UPDATE {}",
            case.into,
            private.table(),
            set.join(", ")
        ))
        .await?;
        let rows = usize::try_from(conn.affected_rows())?;
        let warnings: Vec<(String, u16, String)> = conn.query("SHOW WARNINGS").await?;
        match warnings.into_iter().find(|(_, code, _)| *code != 1287) {
            Some((_, code, message)) => refused.push((index as u64 + 1, code, message)),
            None => affected[rows] += 1,
        }
    }
    let stored = contents(conn).await?;
    conn.query_drop("ROLLBACK TO SAVEPOINT inserted").await?;
    let updated = private.insert_into(conn, OnConflict::Update(&columns)).await?;
    ensure!(
        said(&updated.rejected) == refused,
        "update: {:?}, but refused {refused:?}",
        said(&updated.rejected)
    );
    ensure!(
        [updated.unchanged(), updated.inserted, updated.updated] == affected,
        "{updated:?}, but {affected:?}"
    );
    ensure!(contents(conn).await? == stored, "the rows are not those of single updates");
    Ok(())
}

#[apply(load_test)]
async fn refused_rows_are_those_that_the_server_refuses_one_by_one(env: TestEnv) -> Result<()> {
    let schema = &env.schema;
    let (cases, seed) = crate::oracle::cases_and_seed(60)?;
    let mut conn = Conn::from(schema.conn().await?);
    conn.query_drop(STRICT).await?;
    let mut refused = 0;
    for seed in (0..cases).map(|number| seed.wrapping_add(number)) {
        let case = Case::random(&mut Rng::with_seed(seed), schema.server.kind());
        refused += compare(schema, &mut conn, &case).await.with_context(|| {
            format!(
                "S3_TO_MYSQL_TEST_ORACLE_SEED={seed} S3_TO_MYSQL_TEST_ORACLE_CASES=1\n{case:#?}"
            )
        })?;
    }
    ensure!(
        refused as u64 > cases * 2,
        "only {refused} rows were refused in {cases} cases: they show little"
    );
    Ok(())
}

#[apply(load_test)]
async fn ten_thousand_rows_are_judged_with_the_default_list_of_warnings(
    env: TestEnv,
) -> Result<()> {
    let schema = &env.schema;
    let mut conn = Conn::from(schema.user_conn().await?);
    conn.query_drop(STRICT).await?;
    conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, n INT, UNIQUE (n), CHECK (n <> 5000))")
        .await?;
    conn.query_drop("INSERT INTO t VALUES (70000, 7)").await?;
    // Row 7 has a key that is in the table, row 5000 violates the CHECK, and each row from 9001 on
    // repeats the row 100 before it.
    let rows: Vec<String> = (1..=10_000)
        .map(|row| format!("{row}\t{}\n", if row > 9000 { row - 100 } else { row }))
        .collect();
    conn.query_drop("START TRANSACTION").await?;
    let private = private(&mut conn, schema, "t", &["id", "n"], &rows).await?;
    let predicted = dry_run_insert(&mut conn, &private, true).await?.rejected;
    let found: Vec<u64> = predicted.iter().filter_map(|one| one.row).collect();
    let expected: Vec<u64> = [7, 5000].into_iter().chain(9001..=9100).collect();
    ensure!(found == expected, "{found:?}");
    Ok(())
}

#[apply(load_test)]
async fn a_signal_of_a_trigger_is_told_of_its_row(env: TestEnv) -> Result<()> {
    let schema = &env.schema;
    let mut conn = Conn::from(schema.user_conn().await?);
    conn.query_drop(STRICT).await?;
    conn.query_drop("CREATE TABLE t (n INT)").await?;
    schema
        .exec(
            "CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW IF NEW.n = 3 THEN SIGNAL SQLSTATE \
             '45000' SET MESSAGE_TEXT = 'no three'; END IF",
        )
        .await?;
    conn.query_drop("START TRANSACTION").await?;
    let rows: Vec<String> = (1..=9).map(|row| format!("{}\n", row % 5)).collect();
    let private = private(&mut conn, schema, "t", &["n"], &rows).await?;
    let predicted = dry_run_insert(&mut conn, &private, true).await?.rejected;
    let expected = [(3, 1644, "no three".to_owned()), (8, 1644, "no three".to_owned())];
    ensure!(said(&predicted) == expected, "{predicted:?}");
    Ok(())
}

#[apply(load_test)]
async fn nothing_of_a_private_table_commits_the_transaction(env: TestEnv) -> Result<()> {
    let schema = &env.schema;
    let mut conn = Conn::from(schema.user_conn().await?);
    conn.query_drop("CREATE TABLE t (n INT PRIMARY KEY)").await?;
    conn.query_drop("START TRANSACTION").await?;
    conn.query_drop("INSERT INTO t VALUES (1)").await?;
    let rows = ["1\n".to_owned(), "2\n".to_owned()];
    for _ in 0..2 {
        let private = private(&mut conn, schema, "t", &["n"], &rows).await?;
        ensure!(private.insert_into(&mut conn, OnConflict::Skip).await?.rejected[0].row == Some(1));
        private.drop(&mut conn).await?;
    }
    conn.query_drop("ROLLBACK").await?;
    ensure!(schema.query_one::<u64>("SELECT COUNT(*) FROM t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn an_account_without_temporary_tables_is_told_so(env: TestEnv) -> Result<()> {
    let schema = &env.schema;
    schema.exec("CREATE TABLE t (n INT PRIMARY KEY)").await?;
    schema
        .exec(&format!(
            "REVOKE CREATE TEMPORARY TABLES ON {}.* FROM {}@'%'",
            schema.name, schema.user
        ))
        .await?;
    let mut conn = Conn::from(schema.user_conn().await?);
    let Err(refused) = private(&mut conn, schema, "t", &["n"], &[]).await else {
        anyhow::bail!("it may not")
    };
    let error = refused
        .downcast_ref::<s3_to_mysql::error::Error>()
        .context("not an error of the program")?;
    ensure!(error.kind == s3_to_mysql::error::ErrorKind::TargetRefused, "{error:?}");
    // The connection still works.
    ensure!(conn.query_first::<u64, _>("SELECT 1").await? == Some(1));
    Ok(())
}

#[apply(load_test)]
async fn a_default_that_the_mode_forbids_is_no_obstacle(env: TestEnv) -> Result<()> {
    let schema = &env.schema;
    let mut conn = Conn::from(schema.user_conn().await?);
    conn.query_drop("SET SESSION sql_mode = ''").await?;
    conn.query_drop("CREATE TABLE t (n INT PRIMARY KEY, d DATE NOT NULL DEFAULT '0000-00-00')")
        .await?;
    conn.query_drop(STRICT).await?;
    conn.query_drop("START TRANSACTION").await?;
    let rows = ["1\n".to_owned(), "1\n".to_owned()];
    let private = private(&mut conn, schema, "t", &["n"], &rows).await?;
    let mode: Option<String> = conn.query_first("SELECT @@SESSION.sql_mode").await?;
    ensure!(mode.as_deref().is_some_and(|mode| mode.contains("STRICT_ALL_TABLES")), "{mode:?}");
    let predicted = dry_run_insert(&mut conn, &private, true).await?.rejected;
    ensure!(predicted.len() == 1 && predicted[0].row == Some(2), "{predicted:?}");
    Ok(())
}

#[apply(load_test)]
async fn a_row_of_null_is_left_to_the_targets_trigger(env: TestEnv) -> Result<()> {
    let schema = &env.schema;
    let mut conn = Conn::from(schema.user_conn().await?);
    conn.query_drop(STRICT).await?;
    conn.query_drop(
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, w VARCHAR(9) NOT NULL UNIQUE)",
    )
    .await?;
    schema
        .exec(
            "CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW SET NEW.w = COALESCE(NEW.w, 'none')",
        )
        .await?;
    conn.query_drop("START TRANSACTION").await?;
    let rows = [r"\N".to_owned() + "\t\\N\n", "\\N\tx\n".to_owned(), "\\N\tnone\n".to_owned()];
    let private = private(&mut conn, schema, "t", &["id", "w"], &rows).await?;
    let inserted = private.insert_into(&mut conn, OnConflict::Skip).await?;
    ensure!(
        inserted.rejected.iter().map(|one| one.row).eq([Some(3)]) && inserted.warnings.is_empty(),
        "{inserted:?}"
    );
    Ok(())
}

#[apply(load_test)]
async fn a_view_whose_plan_may_not_be_seen_is_asked_row_by_row(env: TestEnv) -> Result<()> {
    let schema = &env.schema;
    for sql in [
        "CREATE TABLE t (n INT PRIMARY KEY, w INT, CHECK (w <> 4))".to_owned(),
        "CREATE VIEW v AS SELECT n, w FROM t".to_owned(),
        format!("REVOKE ALL ON {}.* FROM {}@'%'", schema.name, schema.user),
        format!("GRANT CREATE TEMPORARY TABLES ON {}.* TO {}@'%'", schema.name, schema.user),
        format!("GRANT SELECT, INSERT ON {}.v TO {}@'%'", schema.name, schema.user),
    ] {
        schema.exec(&sql).await?;
    }
    let mut conn = Conn::from(schema.user_conn().await?);
    conn.query_drop(STRICT).await?;
    conn.query_drop("START TRANSACTION").await?;
    let rows: Vec<String> = (1..=9).map(|row| format!("{}\t{row}\n", row % 7)).collect();
    let private = private(&mut conn, schema, "v", &["n", "w"], &rows).await?;
    let predicted = dry_run_insert(&mut conn, &private, true).await?.rejected;
    let rows: Vec<u64> = predicted.iter().filter_map(|one| one.row).collect();
    ensure!(rows == [4, 8, 9], "{predicted:?}");
    Ok(())
}
