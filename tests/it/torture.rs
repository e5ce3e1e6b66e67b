//! The torture object: every kind of bad value for every common type of column, between good rows.
//!
//! [`cases`] has the bad values and the servers' codes for them. [`object`] writes the rows and
//! knows their positions.

mod cases;
pub(crate) mod check;
pub(crate) mod duplicates;
pub(crate) mod many;
mod object;
pub(crate) mod rejects;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use cases::{CASES, Case, Fate, Field};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use object::{ARGS, DIALECT, Torture};
use serde_json::Value;

use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, row_error_numbers};
use crate::support::servers::ServerKind;
use crate::support::values::values;

/// The settings under which values are converted. `strict` is the mode of `--on-bad-row fail`.
const STRICT: &str = "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
     ERROR_FOR_DIVISION_BY_ZERO,\
     NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO";
const LENIENT: &str = "NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO";

async fn create(env: &TestEnv, table: &str) -> Result<()> {
    for sql in cases::create(table) {
        env.schema.exec(&sql).await?;
    }
    Ok(())
}

async fn session(env: &TestEnv, sql_mode: &str) -> Result<Conn> {
    let mut conn = env.schema.conn().await?;
    conn.query_drop(format!(
        "SET SESSION sql_mode = '{sql_mode}', SESSION max_error_count = 65535"
    ))
    .await?;
    Ok(conn)
}

/// The names of the columns that have a field.
fn names() -> Vec<&'static str> {
    object::columns().map(|column| column.name).collect()
}

/// Returns a literal in the character set of the objects.
fn literal(value: Option<&str>) -> String {
    value.map_or("NULL".to_owned(), |value| {
        format!(
            "_utf8mb4 X'{}'",
            value.bytes().map(|byte| format!("{byte:02X}")).collect::<String>()
        )
    })
}

#[apply(load_test)]
async fn a_strict_mode_takes_and_refuses_what_the_cases_say(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let mut conn = session(&env, STRICT).await?;
    let kind = env.server.kind();
    let good = &CASES
        .iter()
        .find(|case| matches!(case.field, Field::Missing))
        .context("no case of a missing field")?;
    let mut wrong = Vec::new();
    // Row 1 is the one that others duplicate.
    let fields = CASES.iter().filter(|case| !matches!(case.field, Field::Missing | Field::Extra));
    for (id, case) in (1..).zip(std::iter::once(*good).chain(fields)) {
        let row: Vec<String> = object::columns()
            .map(|column| literal(object::value(case, column, id, 1).as_deref()))
            .collect();
        let sql = format!("INSERT INTO t ({}) VALUES ({})", names().join(", "), row.join(", "));
        let inserted = conn.query_drop(sql).await;
        let code = match inserted {
            Ok(()) => None,
            Err(mysql_async::Error::Server(error)) => Some(error.code),
            Err(error) => return Err(error.into()),
        };
        let fate = if id == 1 { Fate::Good } else { case.fate(kind) };
        let is_right = match fate.itself() {
            Fate::Good | Fate::Noted | Fate::Remark(_) => code.is_none(),
            // The codes differ from a load's: 1406 where a load has 1265.
            Fate::Bad(_) | Fate::BadByMode { .. } | Fate::Disguised(_) | Fate::ZeroDate(_) => {
                code.is_some_and(|code| matches!(code, 1048 | 1264..=1366 | 1406))
            }
            Fate::Refused(expected) | Fate::Error(expected) => code == Some(expected),
            Fate::Duplicate => code == Some(1062),
            Fate::After(..) => false,
        };
        if !is_right {
            wrong.push(format!("{} {}: {fate:?}, but INSERT: {code:?}", case.column, case.what));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// The result of the server's own LOAD DATA for an object's rows, on a session of its own.
struct Servers {
    /// `Records`, `Deleted`, `Skipped`, `Warnings`.
    info: String,
    warnings: Vec<(String, u16, String)>,
}

/// Loads rows that the server itself reads from a file on its disk.
async fn load_by_the_server(
    env: &TestEnv,
    conn: &mut Conn,
    table: &str,
    data: &[u8],
) -> Result<Servers> {
    let path = env.server.files().join(&env.schema.name);
    std::fs::write(&path, data)?;
    let path = path.to_str().context("a path in UTF-8")?;
    conn.query_drop(format!(
        "LOAD DATA INFILE '{path}' IGNORE INTO TABLE {table} {DIALECT} ({})",
        names().join(", ")
    ))
    .await?;
    let info = conn.info().into_owned();
    let warnings = conn.query("SHOW WARNINGS").await?;
    Ok(Servers { info, warnings })
}

#[apply(load_test)]
async fn the_servers_own_load_says_of_every_row_what_the_cases_say(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    let mut wrong = Vec::new();
    for (sql_mode, is_lenient) in [(STRICT, false), (LENIENT, true)] {
        let mut conn = session(&env, sql_mode).await?;
        for case in CASES {
            let fate = case.fate(kind);
            let torture = Torture::new([case], 1);
            conn.query_drop("DELETE FROM t").await?;
            let loaded = load_by_the_server(&env, &mut conn, "t", torture.data()).await;
            let stored: u64 =
                conn.query_first("SELECT COUNT(*) FROM t").await?.context("no count")?;
            let (codes, levels) = match loaded {
                Ok(servers) => {
                    servers.warnings.into_iter().map(|(level, code, _)| (code, level)).unzip()
                }
                Err(error) => match error.downcast::<mysql_async::Error>()? {
                    mysql_async::Error::Server(error) => {
                        (vec![error.code], vec!["Error".to_owned()])
                    }
                    error => return Err(error.into()),
                },
            };
            let (expected, level) = match fate.itself() {
                Fate::Good
                | Fate::Noted
                | Fate::Remark(4095)
                | Fate::Bad(_)
                | Fate::BadByMode { .. }
                | Fate::ZeroDate(_) => (3, "Warning"),
                Fate::Remark(_) | Fate::Disguised(_) => (3, "Note"),
                Fate::Refused(_) | Fate::Duplicate | Fate::After(..) => (2, "Warning"),
                Fate::Error(_) => (0, "Error"),
            };
            let is_level = levels.last().is_none_or(|last: &String| last == level);
            if codes != fate.codes(is_lenient) || stored != expected || !is_level {
                wrong.push(format!(
                    "{} {}: {fate:?}, but {codes:?} {levels:?}",
                    case.column, case.what
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// Loads one object of its own, and returns the report's line about it.
async fn load(env: &TestEnv, torture: &Torture, code: i32, args: &[&str]) -> Result<Value> {
    env.put("torture", torture.bytes.clone())?;
    let report = env.path("report").display().to_string();
    env.load_ending(
        code,
        "t",
        &[&ARGS[..], &["--columns", &names().join(","), "--report", &report], args].concat(),
    )
    .await?;
    env.report("report")?.into_iter().next().context("an empty report")
}

#[apply(load_test)]
async fn every_row_is_told_with_its_line_column_and_code(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    // A row that the program finds bad keeps its object from the server, which judges the others.
    let (by_rules, by_server): (Vec<&Case>, Vec<&Case>) = CASES
        .iter()
        .filter(|case| {
            matches!(
                case.verdict(kind).itself(),
                Fate::Bad(_)
                    | Fate::BadByMode { .. }
                    | Fate::Disguised(_)
                    | Fate::ZeroDate(_)
                    | Fate::Refused(_)
            )
        })
        .partition(|case| case.is_bad_by_rules(kind));
    for cases in by_rules.chunks(7).chain(by_server.chunks(7)) {
        let torture = Torture::new(cases.iter().copied(), 1);
        let error = load(&env, &torture, 3, &[]).await?["error"].clone();
        ensure!(error["code"] == "bad_rows", "{error:#}");
        let mut shown = error["rows"].as_array().context("no rows")?.iter();
        for (row, case) in torture.cases() {
            // Remarks before it are no row errors.
            for code in case.verdict(kind).itself().codes(false) {
                let told =
                    shown.next().with_context(|| format!("{case:?} is not told of: {error:#}"))?;
                let reason = told["reason"].as_str().context("no reason")?;
                let is_told = match case.named_column() {
                    _ if !case.is_bad_by_rules(kind) => told["code"] == code,
                    Some(column) => reason.starts_with(&format!("column {column} (")),
                    None => reason.contains(" are listed: id, tiny, "),
                };
                ensure!(is_told, "{case:?}: {told:#}");
                ensure!(
                    told["row"] == row.number && told["line"] == row.line,
                    "{case:?}, {}: {told:#}",
                    row.line
                );
                let text = torture.text(row);
                let raw = told["raw"].as_str().context("no raw row")?;
                ensure!(raw == text, "{text:?}: {told:#}");
                let is_unnamed = matches!(case.verdict(kind).itself(), Fate::Refused(_));
                ensure!(
                    is_unnamed || told["column"] == Value::from(case.named_column()),
                    "{told:#}"
                );
            }
        }
        ensure!(shown.next().is_none(), "{error:#}");
        ensure!(env.count("t").await? == 0);
    }
    // All cases at once: the first ten are shown.
    let torture = Torture::new(by_rules.iter().chain(&by_server).copied(), 1);
    let error = load(&env, &torture, 3, &[]).await?["error"].clone();
    let lines = row_error_numbers(&error["rows"], "line")?;
    let expected: Vec<u64> = torture.cases().take(10).map(|(row, _)| row.line).collect();
    ensure!(lines == expected, "{lines:?}, not {expected:?}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn what_is_accepted_is_what_the_servers_own_load_makes_of_it(env: TestEnv) -> Result<()> {
    let kind = env.server.kind();
    for table in ["t", "servers"] {
        create(&env, table).await?;
    }
    // Bad rows go to the server as they are. What the program reads otherwise has tests elsewhere.
    let is_in = |case: &&Case| {
        let (fate, verdict) = (case.fate(kind), case.verdict(kind));
        !matches!(fate, Fate::Error(_)) && (verdict == fate || case.is_bad_by_rules(kind))
    };
    let cases: Vec<&Case> = CASES.iter().filter(is_in).collect();
    let torture = Torture::new(cases.iter().copied(), 1);
    let mut conn = session(&env, LENIENT).await?;
    let servers = load_by_the_server(&env, &mut conn, "servers", torture.data()).await?;
    let mut expected: BTreeMap<u16, u64> = BTreeMap::new();
    let (mut warnings, mut missing) = (0, 0);
    for case in cases {
        for code in case.fate(kind).codes(true) {
            *expected.entry(code).or_default() += 1;
            warnings += 1;
        }
        missing +=
            u64::from(matches!(case.fate(kind).itself(), Fate::Refused(_) | Fate::Duplicate));
    }
    let mut by_code: BTreeMap<u16, u64> = BTreeMap::new();
    servers.warnings.iter().for_each(|(_, code, _)| *by_code.entry(*code).or_default() += 1);
    ensure!(by_code == expected, "{by_code:?}, not {expected:?}");
    ensure!(servers.info.ends_with(&format!("Warnings: {warnings}")), "{}", servers.info);

    let line =
        load(&env, &torture, 0, &["--on-bad-row", "accept", "--on-duplicate", "ignore"]).await?;
    let rows = torture.rows.len() as u64;
    ensure!(
        line["rows"] == rows && line["warnings"] == warnings && line["skipped"] == missing,
        "{line:#}"
    );
    let select = |table| format!("SELECT * FROM {table} ORDER BY id");
    let (ours, servers) =
        (values(&env.schema, &select("t")).await?, values(&env.schema, &select("servers")).await?);
    ensure!(
        ours.len() as u64 == rows - missing,
        "{} of {rows} rows, {missing} missing",
        ours.len()
    );
    for (ours, servers) in ours.iter().zip(&servers) {
        ensure!(ours == servers, "ours:     {ours}\nserver's: {servers}");
    }
    ensure!(ours.len() == servers.len());
    Ok(())
}

#[apply(load_test)]
async fn an_error_of_the_statement_fails_its_object(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    let mut codes = Vec::new();
    for case in CASES {
        let Fate::Error(code) = case.fate(kind) else { continue };
        for on_bad_row in ["fail", "accept"] {
            let line =
                load(&env, &Torture::new([case], 1), 3, &["--on-bad-row", on_bad_row]).await?;
            let message = line["error"]["message"].as_str().context("no message")?;
            let is_by_rules = on_bad_row == "fail" && case.is_bad_by_rules(kind);
            let expected =
                if is_by_rules { "column document (json)" } else { &format!("ERROR {code} ") };
            ensure!(message.contains(expected), "{case:?}: {message}");
            ensure!(env.count("t").await? == 0);
        }
        codes.push(code);
    }
    ensure!(
        codes.contains(&1416) && codes.contains(&3140) == (kind == ServerKind::Mysql),
        "{codes:?}"
    );
    Ok(())
}

#[apply(load_test)]
async fn duplicates_fail_their_object(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    let cases: Vec<&Case> =
        CASES.iter().filter(|case| case.fate(kind) == Fate::Duplicate).collect();
    let torture = Torture::new(cases.iter().copied(), 1);
    let error = load(&env, &torture, 3, &[]).await?["error"].clone();
    ensure!(error["code"] == "duplicates", "{error:#}");
    let rows = error["rows"].as_array().context("no rows")?;
    ensure!(rows.len() == cases.len() && rows.iter().all(|row| row["code"] == 1062), "{error:#}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn every_bad_row_has_a_good_one_that_loads_without_a_word(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let torture = Torture::new(CASES, 1);
    let mut mended = torture.header.clone();
    for row in &torture.rows {
        let good = object::good_row(row.id);
        ensure!((torture.text(row) == good) == row.case.is_none(), "row {}", row.number);
        mended.extend([&good, "\n"]);
    }
    env.put("mended", mended)?;
    let ended =
        env.load_ending(0, "t", &[&ARGS[..], &["--columns", &names().join(",")]].concat()).await?;
    ensure!(
        ended.summary("rows")? == torture.rows.len().to_string()
            && ended.summary("warnings")? == "0",
        "{ended}"
    );
    ensure!(env.count("t").await? == torture.rows.len() as u64);
    Ok(())
}

#[apply(load_test)]
async fn a_time_that_the_clocks_skip_is_a_bad_value(env: TestEnv) -> Result<()> {
    // Servers know no zones by name until their tables are filled. This zone puts its clocks
    // forward at 1 in the morning.
    let mut conn = env.schema.conn().await?;
    for sql in [
        "REPLACE INTO mysql.time_zone VALUES (7001, 'N')",
        "REPLACE INTO mysql.time_zone_name VALUES ('Test/Skip', 7001)",
        "REPLACE INTO mysql.time_zone_transition_type VALUES (7001, 0, 0, 0, 'STD'), (7001, 1, \
         3600, 1, 'DST')",
        "REPLACE INTO mysql.time_zone_transition VALUES (7001, -2147483648, 0), (7001, 1774746000, \
         1)",
        "CREATE TABLE t (id INT, stamp TIMESTAMP NULL, instant DATETIME)",
    ] {
        conn.query_drop(sql).await.context(sql)?;
    }
    let skipped = "2026-03-29 01:30:00";
    conn.query_drop(format!("SET SESSION sql_mode = '{STRICT}', SESSION time_zone = 'Test/Skip'"))
        .await?;
    let inserted =
        conn.query_drop(format!("INSERT INTO t VALUES (1, '{skipped}', '{skipped}')")).await;
    ensure!(
        matches!(&inserted, Err(mysql_async::Error::Server(error)) if error.code == 1292),
        "{inserted:?}"
    );
    conn.disconnect().await?;

    env.put(
        "torture",
        format!(
            "1\t2026-03-29 00:59:59\t\\N\n2\t{skipped}\t\\N\n3\t\\N\t{skipped}\n4\t2026-03-29 \
             02:00:00\t\\N\n"
        ),
    )?;
    let report = env.path("report").display().to_string();
    let args = ["--init-sql", "SET time_zone = 'Test/Skip'", "--report", &report];
    env.load_ending(3, "t", &args).await?;
    let error = env.report("report")?[0]["error"].clone();
    let rows = error["rows"].as_array().context("no rows")?;
    ensure!(rows.len() == 1 && rows[0]["code"] == 1299, "{error:#}");
    ensure!(rows[0]["line"] == 2 && rows[0]["column"] == "stamp", "{error:#}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}
