//! `reject` through the program: which rows it rejects, whatever refuses them, and under which
//! policies for duplicates.
//!
//! [`durable`] tests when their files exist, [`text`] what is in them, and [`duplicates`] which
//! rows are duplicates.

pub mod duplicates;
pub mod durable;
pub mod text;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish, peak_kib, row_error_numbers};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::servers::ServerKind;
use crate::support::values::{ensure_values, values};

/// The result of a load that rejects.
#[derive(Debug)]
pub(crate) struct Rejects {
    pub(crate) ended: Ended,
    /// The report's line for the object.
    pub(crate) line: Value,
    /// The reject file, or nothing if there is no file.
    pub(crate) text: Vec<u8>,
    pub(crate) reasons: Vec<Value>,
}

impl Rejects {
    /// Returns the number and kind of each rejected row, by its first reason that is not a
    /// duplicate key.
    fn rows(&self) -> Vec<(u64, String)> {
        let mut rows: Vec<(u64, String)> = Vec::new();
        for reason in &self.reasons {
            let (row, kind) =
                (reason["row"].as_u64().unwrap_or(0), reason["kind"].as_str().unwrap_or_default());
            match rows.last_mut() {
                Some(last) if last.0 == row => {
                    if kind == "bad_row" {
                        kind.clone_into(&mut last.1);
                    }
                }
                _ => rows.push((row, kind.to_owned())),
            }
        }
        rows
    }

    fn expect(&self, expected: &[(u64, &str)]) -> Result<()> {
        let expected: Vec<(u64, String)> =
            expected.iter().map(|(row, kind)| (*row, (*kind).to_owned())).collect();
        ensure!(
            self.rows() == expected,
            "{:?}, not {expected:?}: {:#?}\n{}",
            self.rows(),
            self.reasons,
            self.ended
        );
        ensure!(self.line["rejected"] == expected.len(), "{:#}", self.line);
        let duplicates = expected.iter().filter(|(_, kind)| kind == "duplicate").count();
        ensure!(self.line["rejected_duplicates"] == duplicates, "{:#}", self.line);
        Ok(())
    }
}

/// Loads the object `data/1` into a table, with rejects in a directory, after forgetting everything
/// that was loaded before.
pub(crate) async fn load(env: &TestEnv, table: &str, code: i32, args: &[&str]) -> Result<Rejects> {
    let (rejects, report) =
        (env.path("rejects").display().to_string(), env.path("report").display().to_string());
    let _ = std::fs::remove_dir_all(&rejects);
    let mut all = vec!["load", "s3://etl/data/1", "--table", table, "--report", &report];
    if !args.contains(&"--no-ledger") {
        all.push("--force");
    }
    if args.contains(&"reject") {
        all.extend(["--rejects", &rejects]);
    }
    all.extend(args);
    let ended = env.run(&all).await?;
    ended.expect(code)?;
    let line = env.report("report")?.into_iter().next().context("an empty report")?;
    let file = |name: &str| line[name].as_str().map(PathBuf::from);
    let text = file("reject_file").map(std::fs::read).transpose()?.unwrap_or_default();
    let reasons =
        file("reject_reasons").map(std::fs::read_to_string).transpose()?.unwrap_or_default();
    let reasons = reasons.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(Rejects { ended, line, text, reasons })
}

#[apply(load_test)]
async fn settings_that_contradict_each_other_are_refused_with_both_names(
    env: TestEnv,
) -> Result<()> {
    let cases: [(&[&str], [&str; 2]); 12] = [
        (&["--on-bad-row", "reject"], ["--on-bad-row", "--rejects"]),
        (&["--on-duplicate", "reject"], ["--on-duplicate", "--rejects"]),
        (&["--rejects", "d"], ["--rejects", "--on-bad-row"]),
        (&["--max-rejects", "1"], ["--max-rejects", "--on-bad-row"]),
        (&["--max-rejects-total", "1"], ["--max-rejects-total", "--on-bad-row"]),
        (&["--on-bad-row", "reject", "--rejects", "s3://etl/data/held/"], ["--rejects", "URI"]),
        (
            &["--on-bad-row", "reject", "--rejects", "s3://etl/held/", "--no-sign-request"],
            ["--rejects", "--no-sign-request"],
        ),
        (&["--update-columns", "a"], ["--update-columns", "--on-duplicate"]),
        (
            &["--update-columns", "a", "--on-duplicate", "replace"],
            ["--update-columns", "--on-duplicate"],
        ),
        (
            &["--on-bad-row", "reject", "--rejects", "d", "--max-rejects", "1.5"],
            ["--max-rejects", "number of rows"],
        ),
        (
            &["--on-bad-row", "reject", "--rejects", "d", "--max-rejects", "101%"],
            ["--max-rejects", "number of rows"],
        ),
        (&["--on-bad-row", "reject", "--rejects", "https://etl/held"], ["--rejects", "s3://"]),
    ];
    for (args, names) in cases {
        let ended = env.run(&[&["load", "s3://etl/data/", "--table", "t"], args].concat()).await?;
        ended.expect(2).with_context(|| format!("{args:?}"))?;
        for name in names {
            ensure!(ended.stderr.contains(name), "{args:?}: {name} is not named\n{ended}");
        }
    }
    ensure!(env.s3.log().all().is_empty(), "S3 was asked all the same");
    Ok(())
}

#[apply(load_test)]
async fn a_row_that_only_a_rejected_duplicate_would_collide_with_is_loaded(
    env: TestEnv,
) -> Result<()> {
    let create = "CREATE TABLE t (a INT PRIMARY KEY, b INT UNIQUE, v VARCHAR(5) NULL)";
    env.schema.exec(create).await?;
    // Row 2 duplicates row 1 by `a`. Row 3 would duplicate row 2 by `b`, but row 2 is not loaded.
    // Row 4 duplicates row 3.
    let rows = "1\t1\tx\n1\t2\tx\n3\t2\tx\n4\t2\tx\n5\t1\tx\n6\t6\ttoo long\n7\t6\tx\n";
    env.put("data/1", rows)?;
    let rejects =
        load(&env, "t", 7, &["--on-duplicate", "reject", "--on-bad-row", "reject"]).await?;
    rejects.expect(&[(2, "duplicate"), (4, "duplicate"), (5, "duplicate"), (6, "bad_row")])?;
    let kept = ["1|1|x", "3|2|x", "7|6|x"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY a", &kept).await?;
    env.schema.exec("TRUNCATE TABLE t").await?;
    let rejects =
        load(&env, "t", 7, &["--on-duplicate", "ignore", "--on-bad-row", "reject"]).await?;
    rejects.expect(&[(6, "bad_row")])?;
    ensure!(rejects.line["skipped"] == 3 && rejects.line["loaded"] == 3, "{:#}", rejects.line);
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY a", &kept).await?;
    env.schema.exec("TRUNCATE TABLE t").await?;
    let rejects =
        load(&env, "t", 3, &["--on-duplicate", "error", "--on-bad-row", "reject"]).await?;
    let error = &rejects.line["error"];
    ensure!(error["code"] == "bad_rows" || error["code"] == "duplicates", "{error:#}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn the_first_of_rows_with_one_key_is_loaded_across_statements(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, u INT UNIQUE, v INT)").await?;
    // Rows 1..=40,000 over three chunks. Some rows of each have the id or `u` of one just before
    // the border, of the first row, or of the row before.
    let borders = [16_384_u64, 32_768];
    let mut object = String::new();
    let mut duplicates = Vec::new();
    for row in 1..=40_000_u64 {
        let (mut id, mut u) = (row, row);
        for border in borders {
            match row.wrapping_sub(border) {
                1 => id = border,
                2 => u = border - 1,
                3 => id = 1,
                5 => u = border + 4,
                _ => {}
            }
        }
        if (id, u) != (row, row) {
            duplicates.push((row, "duplicate"));
        }
        writeln!(object, "{id}\t{u}\t{row}")?;
    }
    env.put("data/1", object)?;
    let rejects = load(&env, "t", 7, &["--on-duplicate", "reject"]).await?;
    rejects.expect(&duplicates)?;
    let found: (u64, u64) = env
        .schema
        .query_one("SELECT COUNT(*), CAST(SUM(id = v AND u = v) AS UNSIGNED) FROM t")
        .await?;
    ensure!(found == (40_000 - 8, 40_000 - 8), "{found:?}");
    Ok(())
}

#[apply(load_test)]
async fn rows_that_a_trigger_refuses_are_held_back(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, n INT)").await?;
    env.schema
        .exec(
            "CREATE TRIGGER no_sevens BEFORE INSERT ON t FOR EACH ROW IF NEW.n % 7 = 0 THEN \
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no sevens'; END IF",
        )
        .await?;
    env.put(
        "data/1",
        (1..=40).map(|id| format!("{id}\t{id}\n")).collect::<String>() + "1\t50\n41\tx\n",
    )?;
    let rejects =
        load(&env, "t", 7, &["--on-bad-row", "reject", "--on-duplicate", "reject"]).await?;
    let refused = [7, 14, 21, 28, 35].map(|row| (row, "bad_row"));
    rejects.expect(&[&refused[..], &[(41, "duplicate"), (42, "bad_row")]].concat())?;
    let signalled = rejects.reasons.iter().filter(|reason| reason["code"] == 1644).count();
    ensure!(signalled == 5, "{:#?}", rejects.reasons);
    ensure!(
        rejects.reasons[0]["reason"].as_str().is_some_and(|text| text.contains("no sevens")),
        "{:#?}",
        rejects.reasons
    );
    ensure!(env.count("t").await? == 35);
    Ok(())
}

#[apply(load_test)]
async fn rows_that_an_expression_cannot_take_are_held_back(env: TestEnv) -> Result<()> {
    // A warning about an expression's value names no row, wherever the row is loaded to.
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, n DOUBLE)").await?;
    let rows = (1..=300).map(|id| match id {
        70 | 71 | 299 => format!("{id}\tmany\n"),
        200 => "1\t2\n".to_owned(),
        _ => format!("{id}\t{id}\n"),
    });
    env.put("data/1", rows.collect::<String>())?;
    let set = ["--columns", "id,@x", "--set", "n=CAST(@x AS SIGNED)+1"];
    let reject = ["--on-bad-row", "reject", "--on-duplicate", "reject"];
    let rejects = load(&env, "t", 7, &[&set[..], &reject].concat()).await?;
    rejects.expect(&[(70, "bad_row"), (71, "bad_row"), (200, "duplicate"), (299, "bad_row")])?;
    ensure!(rejects.reasons[0]["code"] == 1292, "{:#?}", rejects.reasons);
    let sum: u64 = env.schema.query_one("SELECT CAST(SUM(n - id) AS UNSIGNED) FROM t").await?;
    ensure!(sum == 296 && env.count("t").await? == 296);
    env.schema.exec("DELETE FROM t").await?;
    let failed = load(&env, "t", 3, &set).await?;
    let lines = row_error_numbers(&failed.line["error"]["rows"], "line")?;
    ensure!(lines == [70, 71, 299], "{:#}", failed.line);
    Ok(())
}

#[apply(load_test)]
async fn rows_that_a_view_refuses_are_held_back(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE base (id INT PRIMARY KEY, n TINYINT)").await?;
    env.schema
        .exec("CREATE VIEW v AS SELECT id, n FROM base WHERE n < 50 WITH CHECK OPTION")
        .await?;
    env.put("data/1", "1\t1\n2\t60\n3\t300\n1\t2\n4\t4\n4\t70\n5\t49\n")?;
    let rejects =
        load(&env, "v", 7, &["--no-ledger", "--on-bad-row", "reject", "--on-duplicate", "reject"])
            .await?;
    let rows = rejects.rows();
    // A row that is bad in two ways is one bad row.
    let row_six = rows
        .iter()
        .find(|(row, _)| *row == 6)
        .map(|(_, kind)| kind.as_str())
        .unwrap_or_default()
        .to_owned();
    rejects.expect(&[(2, "bad_row"), (3, "bad_row"), (4, "duplicate"), (6, &row_six)])?;
    ensure_values(&env.schema, "SELECT * FROM base ORDER BY id", &["1|1", "4|4", "5|49"]).await
}

#[apply(load_test)]
async fn rows_of_a_tree_need_their_parents_before_them(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, parent INT NULL, n TINYINT, FOREIGN KEY \
             (parent) REFERENCES t (id))",
        )
        .await?;
    // The parent of 3 comes after it, 5 does not fit, the parent of 6 is 5, 7 is its own parent,
    // and 8 is good.
    env.put(
        "data/1",
        "1\t\\N\t1\n2\t1\t1\n3\t4\t1\n4\t2\t1\n5\t1\t300\n6\t5\t1\n7\t7\t1\n8\t4\t1\n",
    )?;
    let rejects = load(&env, "t", 7, &["--on-bad-row", "reject"]).await?;
    rejects.expect(&[(3, "bad_row"), (5, "bad_row"), (6, "bad_row")])?;
    ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1", "2", "4", "7", "8"]).await?;
    // Once corrected, the rest loads in the order of the object.
    let mended = String::from_utf8(rejects.text)?.replace("300", "100");
    env.put("data/1", mended)?;
    load(&env, "t", 0, &[]).await?;
    ensure!(env.count("t").await? == 8);
    Ok(())
}

const CHECKED: &str = "CREATE TABLE t (id INT PRIMARY KEY, n INT NULL, p INT NULL, s VARCHAR(9) \
     NULL, CHECK (n < 100), CONSTRAINT of_p FOREIGN KEY (p) REFERENCES p (id)) ENGINE=InnoDB";

/// Creates the table with a CHECK and a foreign key, the ids 1 to 3, and the parents 1 to 9.
async fn checked(env: &TestEnv) -> Result<()> {
    env.schema.exec("DROP TABLE IF EXISTS t, p").await?;
    env.schema.exec("CREATE TABLE p (id INT PRIMARY KEY)").await?;
    env.schema.exec("INSERT INTO p VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)").await?;
    env.schema.exec(CHECKED).await?;
    env.schema
        .exec("INSERT INTO t VALUES (1, 1, 1, 'old'), (2, 2, 2, 'old'), (3, 3, 3, 'old')")
        .await
}

/// Rows that are good, duplicates, refused by CHECK, without a parent, not fitting, and several of
/// these at once.
const MIXED: &str = "10\t1\t1\tnew\n1\t1\t1\tnew\n11\t100\t1\tnew\n12\t1\t77\tnew\n2\t200\t1\tnew\
     \n13\tx\t1\tnew\n10\t2\t1\tagain\n11\t1\t1\tnew\n3\t1\t88\tnew\n14\t1\t9\tnew\n";

#[apply(load_test)]
async fn checks_and_duplicates_in_one_object_are_told_apart(env: TestEnv) -> Result<()> {
    checked(&env).await?;
    env.put("data/1", MIXED)?;
    // Row 8 has the id of row 3, which is not loaded.
    let kept = ["1|1|1|old", "2|2|2|old", "3|3|3|old", "10|1|1|new", "11|1|1|new", "14|1|9|new"];
    let rejects =
        load(&env, "t", 7, &["--on-bad-row", "reject", "--on-duplicate", "reject"]).await?;
    let rows = rejects.rows();
    let numbers: Vec<u64> = rows.iter().map(|(row, _)| *row).collect();
    ensure!(numbers == [2, 3, 4, 5, 6, 7, 9], "{:#?}", rejects.reasons);
    for (row, kind) in
        [(2, "duplicate"), (3, "bad_row"), (4, "bad_row"), (6, "bad_row"), (7, "duplicate")]
    {
        ensure!(
            rows.contains(&(row, kind.to_owned())),
            "row {row} is no {kind}: {:#?}",
            rejects.reasons
        );
    }
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &kept).await?;
    // Row 5 is checked before its key. The server decides if row 9 lacks its parent or is a
    // duplicate.
    checked(&env).await?;
    let ignoring =
        load(&env, "t", 7, &["--on-bad-row", "reject", "--on-duplicate", "ignore"]).await?;
    let mut expected = vec![(3, "bad_row"), (4, "bad_row"), (5, "bad_row"), (6, "bad_row")];
    if env.server.kind() == ServerKind::Mysql {
        expected.push((9, "bad_row"));
    }
    ignoring.expect(&expected)?;
    ensure!(
        ignoring.line["skipped"] == 7 - expected.len() && ignoring.line["loaded"] == 3,
        "{:#}",
        ignoring.line
    );
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &kept).await?;
    checked(&env).await?;
    let failing = load(&env, "t", 3, &["--on-bad-row", "fail", "--on-duplicate", "reject"]).await?;
    ensure!(failing.line["error"]["code"] == "bad_rows", "{:#}", failing.line);
    ensure!(env.count("t").await? == 3);
    Ok(())
}

#[apply(load_test)]
async fn replacing_loads_hold_back_what_constraints_refuse(env: TestEnv) -> Result<()> {
    checked(&env).await?;
    env.put("data/1", MIXED)?;
    let rejects =
        load(&env, "t", 7, &["--on-bad-row", "reject", "--on-duplicate", "replace"]).await?;
    rejects.expect(&[3, 4, 5, 6, 9].map(|row| (row, "bad_row")))?;
    ensure!(rejects.line["deleted"] == 2 && rejects.line["loaded"] == 5, "{:#}", rejects.line);
    let kept = ["1|1|1|new", "2|2|2|old", "3|3|3|old", "10|2|1|again", "11|1|1|new", "14|1|9|new"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &kept).await?;

    env.schema
        .exec(
            "CREATE TABLE q (id INT PRIMARY KEY, n TINYINT) PARTITION BY RANGE (id) \
         (PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS THAN (20))",
        )
        .await?;
    env.schema.exec("INSERT INTO q VALUES (1, 0), (11, 0)").await?;
    env.put("data/1", "1\t1\n20\t1\n11\t2\n12\t300\n1\t3\n30\t1\n13\n14\t1\t1\n15\t1\n")?;
    let rejects =
        load(&env, "q", 7, &["--on-bad-row", "reject", "--on-duplicate", "replace"]).await?;
    rejects.expect(&[2, 4, 6, 7, 8].map(|row| (row, "bad_row")))?;
    ensure!(rejects.line["deleted"] == 3, "{:#}", rejects.line);
    ensure_values(&env.schema, "SELECT * FROM q ORDER BY id", &["1|3", "11|2", "15|1"]).await
}

#[apply(load_test)]
async fn replacing_loads_that_fail_or_accept_keep_their_meaning(env: TestEnv) -> Result<()> {
    checked(&env).await?;
    env.put("data/1", MIXED)?;
    // The server judges all rows if the number goes through a variable.
    let by_server = ["--on-duplicate", "replace", "--columns", "id,@n,p,s", "--set", "n=@n"];
    let failed = load(&env, "t", 3, &by_server).await?;
    let error = &failed.line["error"];
    let rows = row_error_numbers(&error["rows"], "row")?;
    ensure!(error["code"] == "bad_rows" && rows == [3, 4, 5, 6, 9], "{error:#}");
    // What the program sees by itself fails the object before the server gets a row.
    let failed = load(&env, "t", 3, &["--on-duplicate", "replace"]).await?;
    let error = &failed.line["error"];
    let rows = row_error_numbers(&error["rows"], "row")?;
    ensure!(error["code"] == "bad_rows" && rows == [6], "{error:#}");
    let old = ["1|1|1|old", "2|2|2|old", "3|3|3|old"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &old).await?;
    // The server's conversion of a value stands, and a row that a constraint refuses is an error of
    // its own REPLACE as well.
    let failed =
        load(&env, "t", 3, &["--on-duplicate", "replace", "--on-bad-row", "accept"]).await?;
    let error = &failed.line["error"];
    let rows = row_error_numbers(&error["rows"], "row")?;
    ensure!(error["code"] == "bad_rows" && rows == [3, 4, 5, 9], "{error:#}");
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &old).await?;
    env.put("data/1", "2\t1\t1\tnew\n13\tx\t1\tmuch too long\n")?;
    let accepted =
        load(&env, "t", 0, &["--on-duplicate", "replace", "--on-bad-row", "accept"]).await?;
    ensure!(accepted.line["warnings"] == 2 && accepted.line["deleted"] == 1, "{:#}", accepted.line);
    ensure_values(
        &env.schema,
        "SELECT * FROM t WHERE id IN (2, 13) ORDER BY id",
        &["2|1|1|new", "13|0|1|much too "],
    )
    .await
}

/// Returns 400 rows of which some are duplicates, some do not fit, some have several warnings, and
/// some have notes only.
fn many_kinds() -> (String, Vec<(u64, &'static str)>) {
    let mut bad = Vec::new();
    let rows = (1..=400_u64).map(|row| match row {
        50..=60 | 200 => {
            bad.push((row, "bad_row"));
            format!("{row}\tx\t1.0\n")
        }
        100 => {
            bad.push((row, "bad_row"));
            format!("{row}\n")
        }
        70..=80 | 300 => {
            bad.push((row, "duplicate"));
            format!("{}\t1\t1.0\n", row - 69)
        }
        400 => {
            bad.push((row, "bad_row"));
            format!("{row}\t500\t1.0\n")
        }
        120 | 121 => format!("{row}\t1\t1.25\n"),
        _ => format!("{row}\t1\t1.0\n"),
    });
    (rows.collect(), bad)
}

/// The options with which the server alone judges the values of [`many_kinds`].
const BY_SERVER: [&str; 6] = ["--columns", "id,@n,@d", "--set", "n=@n", "--set", "d=@d"];

#[apply(load_test)]
async fn a_server_that_shows_few_warnings_changes_nothing(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, n TINYINT CHECK (n < 100), d DECIMAL(4,1)) \
             ENGINE=InnoDB",
        )
        .await?;
    if env.server.kind() == ServerKind::Mysql {
        // If everybody has this default, nobody needs the privilege.
        env.schema
            .exec(&format!("GRANT SESSION_VARIABLES_ADMIN ON *.* TO {}@'%'", env.schema.user))
            .await?;
    }
    let (object, bad) = many_kinds();
    env.put("data/1", object)?;
    let mut counts = Vec::new();
    for limit in [1_u32, 2, 6, 64, 1024] {
        let init = format!("SET SESSION max_error_count = {limit}");
        let init = [&["--init-sql", &init][..], &BY_SERVER].concat();
        let context = || format!("max_error_count = {limit}");
        env.schema.exec("DELETE FROM t").await?;
        let args = [&init[..], &["--on-bad-row", "reject", "--on-duplicate", "reject"]].concat();
        let rejects = load(&env, "t", 7, &args).await.with_context(context)?;
        rejects.expect(&bad).with_context(context)?;
        ensure!(env.count("t").await? == 400 - bad.len() as u64, "{limit}");
        ensure!(rejects.line["notes"] == 2, "{limit}: {:#}", rejects.line);

        env.schema.exec("DELETE FROM t").await?;
        let args = [&init[..], &["--on-bad-row", "reject", "--on-duplicate", "ignore"]].concat();
        let rejects = load(&env, "t", 7, &args).await.with_context(context)?;
        let bad_rows: Vec<_> = bad.iter().copied().filter(|(_, kind)| *kind == "bad_row").collect();
        rejects.expect(&bad_rows).with_context(context)?;
        ensure!(
            rejects.line["skipped"] == bad.len() - bad_rows.len(),
            "{limit}: {:#}",
            rejects.line
        );

        env.schema.exec("DELETE FROM t").await?;
        let args = [&init[..], &["--on-bad-row", "accept", "--on-duplicate", "ignore"]].concat();
        let accepted = load(&env, "t", 0, &args).await.with_context(context)?;
        // Even for a single row, one warning may still be hidden.
        let kinds = (limit > 1).then(|| accepted.line["warnings_by_code"].clone());
        counts.push((
            limit,
            accepted.line["skipped"].clone(),
            accepted.line["warnings"].clone(),
            kinds,
        ));
    }
    let (_, skipped, warnings, kinds) = counts.last().cloned().context("none")?;
    let is_same = |(_, other, told, kind): &(u32, Value, Value, Option<Value>)| {
        *other == skipped && *told == warnings && (kind.is_none() || *kind == kinds)
    };
    ensure!(counts.iter().all(is_same), "{counts:#?}");

    // If nothing is shown, a warning cannot be told from a note, so the program rejects too many
    // rows rather than too few.
    env.schema.exec("DELETE FROM t").await?;
    let args = [
        "--init-sql",
        "SET SESSION max_error_count = 0",
        "--on-bad-row",
        "reject",
        "--on-duplicate",
        "reject",
    ];
    let rejects = load(&env, "t", 7, &[&args[..], &BY_SERVER].concat()).await?;
    let held: Vec<u64> = rejects.rows().into_iter().map(|(row, _)| row).collect();
    let mut expected: Vec<u64> = bad.iter().map(|(row, _)| *row).chain([120, 121]).collect();
    expected.sort_unstable();
    ensure!(held == expected, "{held:?}");
    ensure!(env.count("t").await? == 400 - expected.len() as u64);
    Ok(())
}

#[apply(load_test)]
async fn an_account_without_temporary_tables_is_warned_and_nothing_else_changes(
    env: TestEnv,
) -> Result<()> {
    checked(&env).await?;
    env.schema
        .exec(&format!(
            "REVOKE CREATE TEMPORARY TABLES ON {}.* FROM {}@'%'",
            env.schema.name, env.schema.user
        ))
        .await?;
    env.put("data/1", MIXED)?;
    let rejects =
        load(&env, "t", 7, &["--on-bad-row", "reject", "--on-duplicate", "reject"]).await?;
    rejects.ended.says("halving")?;
    let numbers: Vec<u64> = rejects.rows().into_iter().map(|(row, _)| row).collect();
    ensure!(numbers == [2, 3, 4, 5, 6, 7, 9], "{:#?}", rejects.reasons);
    let kept = ["1|1|1|old", "2|2|2|old", "3|3|3|old", "10|1|1|new", "11|1|1|new", "14|1|9|new"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &kept).await?;
    checked(&env).await?;
    let rejects =
        load(&env, "t", 7, &["--on-bad-row", "reject", "--on-duplicate", "replace"]).await?;
    rejects.expect(&[3, 4, 5, 6, 9].map(|row| (row, "bad_row")))?;
    ensure!(values(&env.schema, "SELECT id FROM t").await?.len() == 6);
    Ok(())
}

/// The program's limit in the benchmark. The tests' build stays within it as well.
const MEMORY_LIMIT_KIB: u64 = 64 * 1000;

#[apply(load_test)]
async fn rejects_larger_than_memory_may_be_are_written_down(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(9))").await?;
    let long = "x".repeat(20_000);
    let row = |id: u64| format!("{id}\t{}\n", if id.is_multiple_of(5) { &long } else { "short" });
    let object: String = (1..=20_000).map(row).collect();
    env.put("data/1", object)?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::LoadCommit, Break::Hold);
    let (port, rejects) = (proxy.port().to_string(), env.path("rejects").display().to_string());
    let args = [
        "load",
        "s3://etl/data/1",
        "--table",
        "t",
        "--on-bad-row",
        "reject",
        "--on-duplicate",
        "reject",
    ];
    let through = ["--ssl-mode", "DISABLED", "--port", &port, "--rejects", &rejects];
    let child = env.command(args.iter().chain(&through)).spawn()?;
    held.wait().await?;
    let peak_kib = peak_kib(child.id().context("it has ended")?)?;
    held.release();
    finish(child).await?.expect(7)?;
    ensure!(peak_kib < MEMORY_LIMIT_KIB, "{peak_kib} KiB");
    let largest = std::fs::read_dir(rejects)?
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
        .max();
    ensure!(
        largest.is_some_and(|bytes| bytes > MEMORY_LIMIT_KIB * 1024),
        "{largest:?} bytes were rejected"
    );
    ensure!(env.count("t").await? == 16_000);
    Ok(())
}
