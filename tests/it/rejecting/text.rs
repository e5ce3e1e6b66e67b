//! Reject files in the object's own dialect: they have its header and its rows unchanged, and once
//! corrected they load with the same options.

use anyhow::{Context as _, Result, ensure};

use super::load;
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::values::values;

/// An object in pieces: the text before its rows, and each row with its terminator. A row that
/// contains `BAD` is rejected, and is good when `7` replaces it.
struct Case<'a> {
    head: &'a str,
    rows: Vec<String>,
    /// The terminator that the object's last row lacks.
    missing_end: &'a str,
    args: Vec<&'a str>,
}

async fn check(env: &TestEnv, case: &Case<'_>) -> Result<()> {
    let object = format!("{}{}", case.head, case.rows.concat());
    env.put("data/1", object.clone())?;
    env.schema.exec("DROP TABLE IF EXISTS t").await?;
    env.schema.exec("CREATE TABLE t (id INT, n INT, s LONGTEXT CHARACTER SET utf8mb4)").await?;
    let rejects =
        load(env, "t", 7, &[&case.args[..], &["--on-bad-row", "reject"]].concat()).await?;
    let bad: Vec<(usize, &String)> =
        case.rows.iter().enumerate().filter(|(_, row)| row.contains("BAD")).collect();
    let mut expected = case.head.to_owned();
    let mut lines = Vec::new();
    for (_, row) in &bad {
        lines.push(1 + expected.matches('\n').count() as u64);
        expected += row;
    }
    if case.rows.last().is_some_and(|last| last.contains("BAD")) {
        expected += case.missing_end;
    }
    let text = String::from_utf8(rejects.text)?;
    ensure!(text == expected, "{text:?}\nnot\n{expected:?}\n{}", rejects.ended);

    let mut reasons = rejects.reasons;
    reasons.dedup_by(|later, first| later["row"] == first["row"]);
    ensure!(reasons.len() == bad.len(), "{reasons:#?}");
    for ((reason, (index, row)), reject_line) in reasons.iter().zip(&bad).zip(lines) {
        let offset = case.head.len() + case.rows[..*index].iter().map(String::len).sum::<usize>();
        let line = 1 + object[..offset].matches('\n').count();
        ensure!(reason["row"] == index + 1 && reason["offset"] == offset, "{row:?}: {reason:#}");
        // With other terminators, the line numbers count those instead.
        ensure!(!row.contains('\n') || reason["line"] == line, "{row:?}, line {line}: {reason:#}");
        ensure!(
            !row.contains('\n') || reason["reject_line"] == reject_line,
            "{row:?}, line {reject_line}: {reason:#}"
        );
    }
    ensure!(env.count("t").await? as usize == case.rows.len() - bad.len(), "{}", rejects.ended);

    // The corrected file is the rest, and the table is that of the corrected object.
    env.put("data/1", text.replace("BAD", "7"))?;
    load(env, "t", 0, &case.args).await?;
    env.put("data/1", object.replace("BAD", "7"))?;
    env.schema.exec("CREATE TABLE whole LIKE t").await?;
    load(env, "whole", 0, &case.args).await?;
    let query =
        |table: &str| format!("SELECT id, n, CRC32(s), CHAR_LENGTH(s) FROM {table} ORDER BY id");
    let (found, whole) =
        (values(&env.schema, &query("t")).await?, values(&env.schema, &query("whole")).await?);
    env.schema.exec("DROP TABLE whole").await?;
    ensure!(found == whole && found.len() == case.rows.len(), "{found:#?}\nnot\n{whole:#?}");
    Ok(())
}

/// Returns rows of which every third and the last one are bad. `row` makes one from its number and
/// its `n`.
fn rows(count: u64, row: impl Fn(u64, &str) -> String) -> Vec<String> {
    (1..=count).map(|id| row(id, if id % 3 == 2 || id == count { "BAD" } else { "1" })).collect()
}

#[apply(load_test)]
async fn rows_of_a_spreadsheet_are_written_down_as_they_stand(env: TestEnv) -> Result<()> {
    let args = vec!["--preset", "csv", "--ignore-lines", "1"];
    let row = |id: u64, n: &str| format!("{id},{n},\"a \"\"quoted\"\"\r\nline, and \u{e9}\"\r\n");
    for head in ["id,n,s\r\n", "\u{feff}id,n,s\r\n"] {
        let mut case = Case { head, rows: rows(8, row), missing_end: "", args: args.clone() };
        check(&env, &case).await.context("terminated")?;
        let last = case.rows.last_mut().context("no rows")?;
        last.truncate(last.len() - 2);
        case.missing_end = "\r\n";
        check(&env, &case).await.context("not terminated")?;
    }
    // Without a header, only the byte order mark comes before the rows.
    let case = Case {
        head: "\u{feff}",
        rows: rows(5, row),
        missing_end: "",
        args: vec!["--preset", "csv"],
    };
    check(&env, &case).await
}

#[apply(load_test)]
async fn header_lines_may_have_line_breaks_of_their_own(env: TestEnv) -> Result<()> {
    let head = "made by a program\n\"id\nof it\",n,s\n";
    let row = |id: u64, n: &str| format!("{id},{n},\"s\n\n{id}\"\n");
    check(
        &env,
        &Case {
            head,
            rows: rows(7, row),
            missing_end: "",
            args: vec!["--preset", "csv", "--ignore-lines", "2"],
        },
    )
    .await
}

#[apply(load_test)]
async fn escaped_line_breaks_stay_in_their_row(env: TestEnv) -> Result<()> {
    let row = |id: u64, n: &str| format!("{id}\t{n}\ta\\\nb\\\\\n");
    check(&env, &Case { head: "", rows: rows(9, row), missing_end: "", args: Vec::new() }).await?;
    let hive = |id: u64, n: &str| format!("{id}\x01{n}\x01\\N\n");
    check(
        &env,
        &Case { head: "", rows: rows(9, hive), missing_end: "", args: vec!["--preset", "hive"] },
    )
    .await
}

#[apply(load_test)]
async fn any_line_terminator_is_kept(env: TestEnv) -> Result<()> {
    for end in ["|;", "\r", "\x02\x03"] {
        let row = |id: u64, n: &str| format!("{id}\t{n}\ttext{end}");
        let mut case = Case {
            head: "",
            rows: rows(6, row),
            missing_end: "",
            args: vec!["--lines-terminated-by", end],
        };
        check(&env, &case).await.with_context(|| format!("{end:?}"))?;
        let last = case.rows.last_mut().context("no rows")?;
        last.truncate(last.len() - end.len());
        case.missing_end = end;
        check(&env, &case).await.with_context(|| format!("{end:?}, not terminated"))?;
    }
    Ok(())
}

#[apply(load_test)]
async fn rows_on_the_border_of_two_statements_are_told_apart(env: TestEnv) -> Result<()> {
    let is_bad = |id: u64| matches!(id, 1 | 16_383..=16_386 | 32_767..=32_770 | 40_000);
    let row = |id: u64| format!("{id},{},\"two\nlines\"\n", if is_bad(id) { "BAD" } else { "1" });
    let rows = (1..=40_000).map(row).collect();
    let case = Case {
        head: "id,n,s\n",
        rows,
        missing_end: "",
        args: vec!["--preset", "csv", "--ignore-lines", "1"],
    };
    check(&env, &case).await
}

#[apply(load_test)]
async fn rows_longer_than_a_statement_go_alone(env: TestEnv) -> Result<()> {
    // A statement has at most two megabytes, unless a single row is longer.
    let long = "long line\\\n".repeat(250_000);
    let rows = [
        ("1", "x"),
        ("1", &long),
        ("BAD", &long),
        ("BAD", "x"),
        ("1", &long),
        ("BAD", "x"),
        ("1", "x"),
    ];
    let rows = rows
        .iter()
        .enumerate()
        .map(|(index, (n, s))| format!("{}\t{n}\t{s}\n", index + 1))
        .collect();
    check(&env, &Case { head: "", rows, missing_end: "", args: Vec::new() }).await
}

#[apply(load_test)]
async fn null_words_and_empty_lines_are_rows_like_others(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (n INT NULL, s VARCHAR(3) NULL)").await?;
    env.put("data/1", "1\tnil\n\nnil\tlong\nnil\tnil\n")?;
    let args = ["--null-string", "nil"];
    let rejects = load(&env, "t", 7, &[&args[..], &["--on-bad-row", "reject"]].concat()).await?;
    ensure!(rejects.text == b"\nnil\tlong\n", "{:?}", String::from_utf8_lossy(&rejects.text));
    let lines: Vec<_> = rejects.reasons.iter().map(|reason| reason["line"].as_u64()).collect();
    ensure!(
        lines.first() == Some(&Some(2)) && lines.last() == Some(&Some(3)),
        "{:#?}",
        rejects.reasons
    );
    ensure!(
        values(&env.schema, "SELECT n, s FROM t ORDER BY n").await?
            == ["\u{2205}|\u{2205}", "1|\u{2205}"]
    );
    Ok(())
}
