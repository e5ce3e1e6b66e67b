//! A refused object is reported with the lines, columns and bytes of its first bad rows, and never
//! with a wrong line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use mysql_async::prelude::Queryable as _;
use serde_json::{Value, json};

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv};
use crate::support::servers::ServerKind;

/// Loads one object, whose rows must be refused, and returns the output and the report's error.
async fn refused(
    env: &TestEnv,
    table: &str,
    object: impl AsRef<[u8]>,
    args: &[&str],
) -> Result<(Ended, Value)> {
    env.put("one", object.as_ref().to_vec())?;
    let report = env.path("report");
    let base =
        ["load", "s3://etl/one", "--table", table, "--report", report.to_str().context("path")?];
    let ended = env.run(&[&base, args].concat()).await?;
    ended.expect(3)?;
    let line = env.report("report")?.into_iter().next().context("an empty report")?;
    let error = line["error"].clone();
    ensure!(error["code"] == "bad_rows" && error["hint"].is_string(), "{error:#}");
    Ok((ended, error))
}

fn rows(error: &Value) -> Result<&Vec<Value>> {
    error["rows"].as_array().context("no rows in the error")
}

#[apply(load_test)]
async fn the_line_is_the_one_that_an_editor_shows(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT NOT NULL, b VARCHAR(9) NOT NULL)").await?;
    // The bad row begins with BAD.
    let cases: [(&[&str], &str, u64); 17] = [
        (&[], "1\tx\nBAD\ty\n3\tz\n", 2),
        (&[], "BAD\tx\n2\ty\n", 1),
        (&[], "1\tx\n2\ty\nBAD\tz", 3),
        (&["--ignore-lines", "2"], "a\tb\nanother\n1\tx\nBAD\ty\n", 2),
        (&[], "1\tx\\\ny\\\nz\nBAD\t\\\ny\n", 2),
        (&["--ignore-lines", "1"], "a\\\nb\nBAD\ty\n", 1),
        (&["--preset", "hive"], "1\x01x\\\ny\nBAD\x01y\n", 2),
        (&["--preset", "csv"], "1,\"x\ny\nz\"\n2,y\nBAD,\"y\n\"\n", 3),
        (&["--preset", "csv"], "1,\"x\r\n\"\r\n2,y\r\nBAD,\"y\"\r\n", 3),
        (&["--preset", "csv"], "1,x\r\n2,y\r\nBAD,z", 3),
        (&["--preset", "csv", "--ignore-lines", "1"], "\u{feff}a,\"b\nc\"\nBAD,y\n", 1),
        (&["--preset", "csv"], "\u{feff}BAD,y\n1,x\n", 1),
        (&["--preset", "csv-unix", "--charset", "latin1"], "1,x\n\"BAD\",y\n", 2),
        (&["--lines-terminated-by", ";\\n"], "1\tx\n;\n2\ty;\nBAD\tz;\n", 3),
        (&["--lines-terminated-by", "##"], "1\tx##2\ty##BAD\tz#", 3),
        (&["--lines-terminated-by", "\\r"], "1\tx\r2\ty\rBAD\tz\r", 3),
        (&["--null-string", "-", "--columns", "a,b"], "1\tx\n2\ty\nBAD\tz\n", 3),
    ];
    for (args, object, row) in cases {
        // An unfinished terminator is not the subject here.
        let object =
            object.strip_suffix("z#").map_or(object.to_owned(), |rest| format!("{rest}z##"));
        let (ended, error) = refused(&env, "t", &object, args)
            .await
            .with_context(|| format!("{args:?} {object:?}"))?;
        let rows = rows(&error)?;
        ensure!(
            rows.len() == 1 && rows[0]["row"] == row && rows[0]["column"] == "a",
            "{args:?}: {error:#}"
        );
        ensure!(
            rows[0]["code"] == 1366
                && rows[0]["reason"].as_str().is_some_and(|reason| reason.contains("'BAD'"))
        );
        let raw = rows[0]["raw"].as_str().context("no raw row")?;
        // The position of the row, by its bytes.
        let offset = object.find(raw).context("not in the object")?;
        ensure!(
            raw.trim_start_matches(['"', '>']).starts_with("BAD") && rows[0]["raw_is_cut"] == false,
            "{error:#}"
        );
        let ends =
            args.iter().position(|arg| *arg == "--lines-terminated-by").map_or(
                "\n",
                |at| match args[at + 1] {
                    "\\r" => "\r",
                    "##" => "##",
                    _ => "\n",
                },
            );
        let line = object[..offset].matches(ends).count() + 1;
        ensure!(rows[0]["line"] == line, "{args:?}: line {line}, not {error:#}");
        ended.says(&format!("line {line}, column a (int): 'BAD' is not an integer"))?;
        // The whole row, without its terminator.
        let rest = &object[offset + raw.len()..];
        ensure!(
            rest.is_empty()
                || ["\n", "\r\n", ";\n", "##", "\r"].iter().any(|end| rest.starts_with(end)),
            "{rest:?}"
        );
    }
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn the_message_names_line_column_and_reason_and_quotes_the_row(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, s VARCHAR(3))").await?;
    let args = ["--ignore-lines", "1"];
    let (ended, error) = refused(&env, "t", "id\ts\n1\tok\n2\tlong\n3\n4\tok\tx\n", &args).await?;
    let expected = "failed: s3://etl/one: 3 of 4 rows are bad; no row was loaded
  line 3, column s (varchar(3)): 'long' has more than 3 characters
    2\\tlong
  line 4: 1 field, 2 are listed: id, s
    3
  line 5: more than 2 fields, 2 are listed: id, s
    4\\tok\\tx
";
    ended.says(expected)?;
    let expected = json!([
        {"line": 3, "row": 2, "column": "s", "code": 1406, "raw": "2\tlong", "raw_is_cut": false,
         "reason": "column s (varchar(3)): 'long' has more than 3 characters"},
        {"line": 4, "row": 3, "column": null, "code": 1261, "raw": "3", "raw_is_cut": false,
         "reason": "1 field, 2 are listed: id, s"},
        {"line": 5, "row": 4, "column": null, "code": 1262, "raw": "4\tok\tx", "raw_is_cut": false,
         "reason": "more than 2 fields, 2 are listed: id, s"},
    ]);
    ensure!(error["rows"] == expected, "{error:#}");
    // Other failures have no rows, and the same field says so.
    env.put("packed", [&[0x1f, 0x8b, 8, 0][..], &[0; 30]].concat())?;
    let report = env.path("report").display().to_string();
    env.run(&["load", "s3://etl/packed", "--table", "t", "--report", &report]).await?.expect(3)?;
    ensure!(env.report("report")?[0]["error"]["rows"] == json!([]));
    Ok(())
}

#[apply(load_test)]
async fn what_is_said_of_one_row_stands_above_it(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b INT, s VARCHAR(3))").await?;
    let (ended, error) = refused(&env, "t", "1\t1\tok\nx\ty\tlong\n2\t2\tok\n", &[]).await?;
    ensure!(rows(&error)?.iter().all(|row| row["line"] == 2 && row["row"] == 2), "{error:#}");
    let columns: Vec<&Value> = rows(&error)?.iter().map(|row| &row["column"]).collect();
    ensure!(columns == ["a", "b", "s"], "{columns:?}");
    ensure!(ended.stderr.matches("\n    x\\ty\\tlong\n").count() == 1, "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn the_first_ten_rows_are_told_in_order_and_the_rest_is_counted(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b VARCHAR(5))").await?;
    // Every third row is bad in both columns, below two header lines. Every row takes two lines.
    let mut object = "one\ntwo\n".to_owned();
    for row in 1..=300 {
        let (a, b) =
            if row % 3 == 0 { (format!("x{row}"), "too\nlong") } else { (row.to_string(), "a\nb") };
        writeln!(object, "\"{a}\",\"{b}\"")?;
    }
    let args = ["--preset", "csv", "--ignore-lines", "2"];
    let (ended, error) = refused(&env, "t", &object, &args).await?;
    let found: Vec<(u64, u64)> = rows(&error)?
        .iter()
        .filter(|row| row["column"] == "a")
        .map(|row| {
            Ok((row["row"].as_u64().context("no row")?, row["line"].as_u64().context("no line")?))
        })
        .collect::<Result<_>>()?;
    let expected: Vec<(u64, u64)> =
        (1..=10).map(|number| (3 * number, 2 + 2 * (3 * number - 1) + 1)).collect();
    ensure!(found == expected, "{found:?}");
    ensure!(rows(&error)?.len() == 20, "{error:#}");
    ended.says("100 of 300 rows are bad")?;
    ended.says("\n  and 90 more\n")
}

#[apply(load_test)]
async fn rows_far_into_a_large_object_are_found(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, s VARCHAR(40))").await?;
    let mut object = String::new();
    for row in 1..=200_000 {
        let value =
            if row == 77_777 || row == 199_999 { format!("x{row}") } else { row.to_string() };
        // Every tenth row has a line break in it.
        writeln!(
            object,
            "{value},\"a text{}that goes on\"",
            if row % 10 == 0 { "\n" } else { " " }
        )?;
    }
    let (_, error) = refused(&env, "t", &object, &["--preset", "csv"]).await?;
    let lines: Vec<&Value> = rows(&error)?.iter().map(|row| &row["line"]).collect();
    ensure!(lines == [77_777 + 7777, 199_999 + 19_999], "{lines:?}");
    ensure!(rows(&error)?[1]["raw"] == "x199999,\"a text that goes on\"", "{error:#}");
    Ok(())
}

/// The codes of CHECK, CHECK OPTION, foreign key and partition errors.
const REFUSALS: [u64; 5] = [3819, 4025, 1369, 1452, 1526];

/// A row's fate in the tables below, and the text that causes it. `number` is the row's own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Good,
    /// `x<number>` does not fit.
    Bad,
    /// The value does not fit, and the row is refused as well.
    BadAndRefused,
    Refused,
    Duplicate,
}

/// Loads objects of rows with random fates below a header line, and compares the reported rows with
/// the ones that were made wrong.
async fn compare_lines(
    env: &TestEnv,
    table: &str,
    fates: &[Fate],
    refused_id: impl Fn(u64) -> String,
) -> Result<()> {
    const OBJECTS: u64 = 60;
    let mut expected = BTreeMap::new();
    for seed in 0..OBJECTS {
        let mut rng = Rng::with_seed(seed);
        let mut object = "id,n,s\n".to_owned();
        let mut lines = 1;
        let mut bad = Vec::new();
        for number in 1..=12_u64 {
            let fate = *rng.choice(fates).context("no fates")?;
            let id = match fate {
                Fate::Refused | Fate::BadAndRefused => refused_id(number),
                Fate::Duplicate => "1".to_owned(),
                Fate::Good | Fate::Bad => (number + 1).to_string(),
            };
            let is_bad = matches!(fate, Fate::Bad | Fate::BadAndRefused);
            let value = if is_bad { format!("x{number}") } else { number.to_string() };
            if is_bad || fate == Fate::Refused {
                bad.push((number, lines + 1, value.clone(), is_bad));
            }
            let text = if rng.bool() { "a\nb" } else { "a" };
            writeln!(object, "{id},{value},\"{text}\"")?;
            lines += 1 + text.matches('\n').count() as u64;
        }
        if !bad.is_empty() {
            let key = format!("random/{seed:02}");
            env.put(&key, object.clone())?;
            expected.insert(key, (bad, object));
        }
    }
    let report = env.path("report").display().to_string();
    let mut args = vec!["--report", &report, "--preset", "csv", "--ignore-lines", "1"];
    // A value from an expression is the server's to judge, like what constraints refuse.
    args.extend(["--columns", "id,@n,s", "--set", "n = @n"]);
    if table == "v" {
        // A view has no ledger.
        args.push("--no-ledger");
    }
    let ended = env.load_ending(3, table, &args).await?;
    let mut compared = 0;
    for line in env.report("report")?.into_iter().filter(|line| line["type"] == "object") {
        let (bad, object) = &expected[line["key"].as_str().context("no key")?];
        let error = &line["error"];
        ensure!(error["code"] == "bad_rows", "{line:#}");
        let found = rows(error)?;
        ensure!(found.len() == bad.len().min(10), "{error:#}\n{object}\n{ended}");
        for (row, (number, line, value, is_bad)) in found.iter().zip(bad) {
            let is_reason = if *is_bad {
                row["code"] == 1366
                    && row["reason"]
                        .as_str()
                        .is_some_and(|said| said.contains(&format!("'{value}'")))
            } else {
                row["code"].as_u64().is_some_and(|code| REFUSALS.contains(&code))
            };
            let is_right = is_reason
                && row["row"] == *number
                && row["line"] == *line
                && row["raw"].as_str().is_some_and(|raw| raw.contains(&format!(",{value},")));
            ensure!(is_right, "row {number} is on line {line}: {error:#}\n{object}");
            compared += 1;
        }
    }
    ensure!(compared > OBJECTS, "only {compared} lines were compared");
    ensure!(env.count(table).await? <= 1);
    Ok(())
}

#[apply(load_test)]
async fn duplicates_and_rows_without_a_partition_do_not_move_the_lines(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, n INT, s VARCHAR(9)) PARTITION BY RANGE (id) \
             (PARTITION p VALUES LESS THAN (100))",
        )
        .await?;
    env.schema.exec("INSERT INTO t VALUES (1, 1, 'old')").await?;
    let fates = [Fate::Good, Fate::Bad, Fate::Duplicate, Fate::Refused, Fate::BadAndRefused];
    compare_lines(&env, "t", &fates, |number| (100 + number).to_string()).await
}

#[apply(load_test)]
async fn rows_that_constraints_refuse_do_not_move_the_lines(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, n INT, s VARCHAR(9), CHECK (id < 100), CHECK \
             (id < 105))",
        )
        .await?;
    env.schema.exec("INSERT INTO t VALUES (1, 1, 'old')").await?;
    let fates = [Fate::Good, Fate::Bad, Fate::Duplicate, Fate::Refused, Fate::BadAndRefused];
    compare_lines(&env, "t", &fates, |number| (100 + number).to_string()).await
}

#[apply(load_test)]
async fn rows_that_a_view_refuses_do_not_move_the_lines(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE base (id INT PRIMARY KEY, n INT, s VARCHAR(9))").await?;
    env.schema.exec("INSERT INTO base VALUES (1, 1, 'old')").await?;
    env.schema.exec("CREATE VIEW v AS SELECT * FROM base WHERE id < 100 WITH CHECK OPTION").await?;
    let fates = [Fate::Good, Fate::Bad, Fate::Duplicate, Fate::Refused, Fate::BadAndRefused];
    compare_lines(&env, "v", &fates, |number| (100 + number).to_string()).await
}

#[apply(load_test)]
async fn rows_without_a_parent_do_not_move_the_lines(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE p (id INT PRIMARY KEY)").await?;
    env.schema
        .exec(&format!(
            "INSERT INTO p VALUES {}",
            (0..99).map(|id| format!("({id})")).collect::<Vec<_>>().join(", ")
        ))
        .await?;
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, n INT, s VARCHAR(9), CHECK (id < 105), FOREIGN \
             KEY (id) REFERENCES p (id))",
        )
        .await?;
    env.schema.exec("INSERT INTO t VALUES (1, 1, 'old')").await?;
    let fates = [Fate::Good, Fate::Bad, Fate::Duplicate, Fate::Refused, Fate::BadAndRefused];
    // The CHECK refuses some, the foreign key the others.
    compare_lines(&env, "t", &fates, |number| (100 + number).to_string()).await
}

#[apply(load_test)]
async fn a_refused_row_among_more_warnings_than_are_shown_has_its_line(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, n INT, CHECK (id < 1000000))").await?;
    let mut object = "1\t1\n2\tx2\n1000000\t3\n4\tx4\n".to_owned();
    (5..3000).try_for_each(|id| writeln!(object, "{id}\tx{id}"))?;
    // A value from an expression is the server's to judge, like what a CHECK refuses.
    let args = ["--columns", "id,@n", "--set", "n = @n"];
    let (ended, error) = refused(&env, "t", &object, &args).await?;
    let rows = rows(&error)?;
    let lines: Vec<&Value> = rows.iter().map(|row| &row["line"]).take(4).collect();
    ensure!(lines == [2, 3, 4, 5], "{error:#}");
    ensure!(
        rows[1]["code"] == if env.server.kind() == ServerKind::Mysql { 3819 } else { 4025 },
        "{error:#}"
    );
    ended.says("\n  line 4, column n: Warning 1366: Incorrect integer value: 'x4'")?;
    ended.says("s3://etl/one: 2998 warnings about bad rows among 2999")?;
    ended.says("and 2988 more")
}

#[apply(load_test)]
async fn what_a_trigger_does_does_not_move_the_lines(env: TestEnv) -> Result<()> {
    let object = "1\t1\n2\tx2\n300\t3\n4\tx4\n5\tx5\n";
    // 300 does not fit the trigger's own table. The last trigger uses a value of the row itself.
    let triggers = [
        "BEFORE INSERT ON t FOR EACH ROW INSERT IGNORE INTO seen VALUES (NEW.id)",
        "BEFORE INSERT ON t FOR EACH ROW INSERT INTO seen VALUES (NEW.id)",
        "AFTER INSERT ON t FOR EACH ROW INSERT INTO seen SELECT NEW.id UNION ALL SELECT NEW.id",
        "BEFORE INSERT ON t FOR EACH ROW BEGIN INSERT INTO seen VALUES (1), (NEW.id); INSERT INTO \
         seen VALUES (1); END",
        "BEFORE INSERT ON t FOR EACH ROW SET NEW.m = NEW.id",
    ];
    for trigger in triggers {
        let mut conn = env.schema.conn().await?;
        conn.query_drop("DROP TABLE IF EXISTS seen, t").await?;
        conn.query_drop("CREATE TABLE seen (n TINYINT)").await?;
        conn.query_drop("CREATE TABLE t (id INT, n INT, m TINYINT)").await?;
        // A trigger runs under the sql_mode that it was created with.
        conn.query_drop("SET sql_mode = ''").await?;
        conn.query_drop(format!("CREATE TRIGGER t_seen {trigger}")).await?;
        conn.disconnect().await?;
        let (ended, error) = refused(&env, "t", object, &["--columns", "id,n"]).await?;
        let lines: Vec<&Value> = rows(&error)?.iter().map(|row| &row["line"]).collect();
        ensure!(lines == [2, 4, 5], "{trigger}: {error:#}\n{ended}");
    }
    Ok(())
}

#[apply(load_test)]
async fn a_replacing_load_names_the_line_of_its_error(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(5))").await?;
    env.schema.exec("INSERT INTO t VALUES (1, 'old'), (2, 'old')").await?;
    let args = [
        &["--preset", "csv", "--ignore-lines", "1", "--on-duplicate", "replace"][..],
        // A value from an expression is the server's to judge.
        &["--columns", "id,@s", "--set", "s = @s"],
    ]
    .concat();
    let (ended, error) =
        refused(&env, "t", "id,s\n1,\"a\nb\"\n2,much too long\n3,x\n", &args).await?;
    let rows = rows(&error)?;
    ensure!(
        rows.len() == 1 && rows[0]["line"] == 4 && rows[0]["row"] == 2 && rows[0]["column"] == "s",
        "{error:#}"
    );
    ensure!(rows[0]["raw"] == "2,much too long" && rows[0]["code"] == 1265, "{error:#}");
    ended.says(
        "s3://etl/one: a row does not fit; rolled back: ERROR 1406 (22001): Data too long \
         for column 's' at row 2\n  line 4, column s: Warning 1265: Data truncated for column \
         's'\n    2,much too long\n",
    )?;
    ensure!(env.count("t").await? == 2);
    Ok(())
}

#[apply(load_test)]
async fn a_table_that_does_not_roll_back_has_its_lines_told_too(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, s VARCHAR(3)) ENGINE=MyISAM").await?;
    env.put("one", "id\ts\n1\tok\n2\tlong\n")?;
    let report = env.path("report").display().to_string();
    let args = ["--no-ledger", "--ignore-lines", "1", "--report", &report];
    // The server is to find the bad row, so the value goes through a variable.
    let by_server = ["--columns", "id,@s", "--set", "s=@s"];
    let ended = env.load_ending(3, "t", &[&args[..], &by_server].concat()).await?;
    let error = env.report("report")?[0]["error"].clone();
    ensure!(error["code"] == "outcome_unknown", "{error:#}");
    ensure!(
        rows(&error)?.len() == 1
            && error["rows"][0]["line"] == 3
            && error["rows"][0]["raw"] == "2\tlong",
        "{error:#}"
    );
    ended.says("\n  line 3, column s: Warning 1265: Data truncated for column 's'\n    2\\tlong\n")
}

#[apply(load_test)]
async fn what_a_row_quotes_stays_on_its_line_and_is_cut(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, s LONGTEXT CHARACTER SET utf8mb4)").await?;
    let object = format!("x1,\"a\r\nb\x1b[31m\t\u{202e}\\N\"\nx2,{}\n", "\u{e9}".repeat(5000));
    let (ended, error) = refused(&env, "t", &object, &["--preset", "csv"]).await?;
    ended.says("\n    x1,\"a\\r\\nb\\x1B[31m\\t\\u{202e}\\N\"\n")?;
    ended.says(&format!("\n    x2,{}…\n", "\u{e9}".repeat(197)))?;
    let rows = rows(&error)?;
    ensure!(
        rows[0]["raw"] == "x1,\"a\r\nb\x1b[31m\t\u{202e}\\N\"" && rows[0]["raw_is_cut"] == false,
        "{error:#}"
    );
    // 1,024 bytes, the last of which is half a character.
    ensure!(
        rows[1]["raw"] == format!("x2,{}", "\u{e9}".repeat(510)) && rows[1]["raw_is_cut"] == true,
        "{error:#}"
    );
    ensure!(rows[1]["line"] == 3, "{error:#}");
    Ok(())
}
