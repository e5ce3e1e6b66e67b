//! The torture object under `--on-bad-row reject`: the good rows are loaded, the bad ones are
//! written to files, and once corrected those load.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::cases::{CASES, Case, Fate};
use super::object::{ARGS, Torture, good_row};
use super::{STRICT, create, load_by_the_server, names, session};
use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv};
use crate::support::servers::ServerKind;
use crate::support::values::values;

/// Returns true for bad values and refused rows, which a load with `reject` must reject.
fn is_bad(fate: Fate) -> bool {
    matches!(
        fate.itself(),
        Fate::Bad(_)
            | Fate::BadByMode { .. }
            | Fate::Disguised(_)
            | Fate::ZeroDate(_)
            | Fate::Refused(_)
    )
}

fn select_cases(kind: ServerKind, is_chosen: impl Fn(Fate) -> bool) -> Vec<&'static Case> {
    let is_in = |case: &&Case| is_chosen(case.verdict(kind)) && !case.is_read_otherwise(kind);
    CASES.iter().filter(is_in).collect()
}

/// The two files of one object.
pub(crate) struct Rejected {
    pub(crate) path: PathBuf,
    pub(crate) text: Vec<u8>,
    pub(crate) sidecar: Vec<Value>,
}

/// Returns the content of the directory of rejects, which must be the files of one object or none.
pub(crate) fn rejected(env: &TestEnv) -> Result<Option<Rejected>> {
    let (mut data, mut sidecars) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(env.path("rejects"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).context("a name in UTF-8")?;
        let is_sidecar = name.ends_with(".rejected.jsonl");
        ensure!(is_sidecar || name.ends_with(".rejected"), "{name} is in the directory of rejects");
        ensure!(
            std::fs::metadata(&path)?.permissions().mode() & 0o7777 == 0o600,
            "{name} can be read by others"
        );
        if is_sidecar { sidecars.push(path) } else { data.push(path) }
    }
    ensure!(data.len() == sidecars.len() && data.len() <= 1, "{data:?} {sidecars:?}");
    let (Some(path), Some(sidecar)) = (data.pop(), sidecars.pop()) else { return Ok(None) };
    let lines = std::fs::read_to_string(&sidecar)?;
    let sidecar = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(Some(Rejected { text: std::fs::read(&path)?, path, sidecar }))
}

/// Loads the bucket's objects into `t`, with rejects in the test's own directory.
async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let (rejects, report) =
        (env.path("rejects").display().to_string(), env.path("report").display().to_string());
    let columns = names().join(",");
    let base = [
        "--columns",
        &columns,
        "--report",
        &report,
        "--on-bad-row",
        "reject",
        "--rejects",
        &rejects,
    ];
    env.load_ending(code, "t", &[&ARGS[..], &base, args].concat()).await
}

/// Requires that the table holds the server's own version of these rows.
async fn expect_rows(env: &TestEnv, rows: &[&str]) -> Result<()> {
    env.schema.exec("DROP TABLE IF EXISTS expected, expected_parents").await?;
    create(env, "expected").await?;
    let mut conn = session(env, STRICT).await?;
    let data: String = rows.iter().map(|row| format!("{row}\n")).collect();
    load_by_the_server(env, &mut conn, "expected", data.as_bytes()).await?;
    let found = values(&env.schema, "SELECT * FROM t ORDER BY id, single").await?;
    let expected = values(&env.schema, "SELECT * FROM expected ORDER BY id, single").await?;
    ensure!(
        expected.len() == rows.len(),
        "the server took {} of {} rows",
        expected.len(),
        rows.len()
    );
    for (found, expected) in found.iter().zip(&expected) {
        ensure!(found == expected, "found:    {found}\nexpected: {expected}");
    }
    ensure!(found.len() == expected.len(), "{} rows, not {}", found.len(), expected.len());
    Ok(())
}

/// Returns the rows of an object that are loaded if the ones with some fates are rejected.
fn kept(torture: &Torture, kind: ServerKind, is_held_back: impl Fn(Fate) -> bool) -> Vec<&str> {
    let rows = torture
        .rows
        .iter()
        .filter(|row| !row.case.is_some_and(|case| is_held_back(case.verdict(kind))));
    rows.map(|row| torture.text(row)).collect()
}

/// Requires that the files hold exactly the rows with these fates, unchanged and with their
/// reasons.
fn expect_rejected(
    env: &TestEnv,
    torture: &Torture,
    is_held_back: impl Fn(Fate) -> bool,
) -> Result<()> {
    let kind = env.server.kind();
    let rejected = rejected(env)?.context("there are no rejects")?;
    let held_back = || torture.cases().filter(|(_, case)| is_held_back(case.verdict(kind)));
    let mut text = torture.header.clone();
    held_back().for_each(|(row, _)| text.extend([torture.text(row), "\n"]));
    ensure!(
        rejected.text == text.as_bytes(),
        "{}\n{}\nnot\n{text}",
        rejected.path.display(),
        String::from_utf8_lossy(&rejected.text)
    );
    let mut reasons: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for line in &rejected.sidecar {
        ensure!(line["bucket"] == "etl" && line["key"] == "torture", "{line:#}");
        reasons.entry(line["row"].as_u64().context("no row")?).or_default().push(line);
    }
    ensure!(reasons.len() == held_back().count(), "{} rows have reasons", reasons.len());
    for (row, case) in held_back() {
        let fate = case.verdict(kind);
        let reasons =
            reasons.get(&row.number).with_context(|| format!("no reason for {case:?}"))?;
        // The code is a load's own, or that of a strict mode if it showed there.
        let codes = fate.codes(false);
        let code = codes.last().copied();
        let is_told = reasons.iter().any(|reason| {
            let found = reason["code"].as_u64();
            let is_by_rules = case.is_bad_by_rules(kind) || fate == Fate::Noted;
            let is_code = found == code.map(u64::from) || is_by_rules;
            // CHECK, a foreign key, a key, or a whole statement: the server names no column.
            let is_unnamed = matches!(
                fate.itself(),
                Fate::Refused(_) | Fate::Duplicate | Fate::Error(_) | Fate::Remark(_) | Fate::Noted
            );
            is_code && (is_unnamed || reason["column"] == Value::from(case.named_column()))
        });
        let is_placed = reasons.iter().all(|reason| {
            reason["line"] == row.line
                && reason["offset"] == row.range.start
                && reason["reason"].is_string()
        });
        ensure!(
            is_told && is_placed,
            "{case:?}, row {}, line {}: {reasons:#?}",
            row.number,
            row.line
        );
    }
    Ok(())
}

fn expect_counts(ended: &Ended, torture: &Torture, held_back: usize) -> Result<()> {
    let rows = torture.rows.len();
    ensure!(ended.summary("rows")? == rows.to_string(), "{ended}");
    ensure!(ended.summary("rows rejected")? == held_back.to_string(), "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn the_good_rows_are_loaded_and_the_bad_ones_written_down(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    let is_in = |fate: Fate| !matches!(fate, Fate::Error(_) | Fate::Duplicate);
    let torture = Torture::new(select_cases(kind, is_in), 1);
    env.put("torture", torture.bytes.clone())?;
    let ended = load(&env, 7, &[]).await?;
    expect_counts(
        &ended,
        &torture,
        torture.cases().filter(|(_, case)| is_bad(case.verdict(kind))).count(),
    )?;
    expect_rows(&env, &kept(&torture, kind, is_bad)).await?;
    expect_rejected(&env, &torture, is_bad)?;
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn a_reject_file_that_was_mended_loads_whole(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    let torture = Torture::new(select_cases(kind, is_bad), 1);
    env.put("torture", torture.bytes.clone())?;
    load(&env, 7, &[]).await?;
    let mut text = String::from_utf8(rejected(&env)?.context("there are no rejects")?.text)?;
    for (row, case) in torture.cases() {
        let raw = torture.text(row);
        ensure!(text.matches(raw).count() == 1, "{case:?} is not there as it was");
        text = text.replacen(raw, &good_row(row.id), 1);
    }
    env.put("mended", text)?;
    let columns = names().join(",");
    let ended = env.load_ending(0, "t", &[&ARGS[..], &["--columns", &columns]].concat()).await?;
    ensure!(ended.summary("objects loaded")? == "1", "{ended}");
    let rows: Vec<String> = torture.rows.iter().map(|row| good_row(row.id)).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    expect_rows(&env, &rows).await
}

#[apply(load_test)]
async fn remarks_are_bad_only_where_that_is_asked_for(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    // Remarks about a notation are left out, because the server calls them warnings.
    let is_note =
        |fate: Fate| fate == Fate::Noted || matches!(fate, Fate::Remark(code) if code < 4000);
    let torture = Torture::new(select_cases(kind, |fate| is_note(fate) || is_bad(fate)), 1);
    env.put("torture", torture.bytes.clone())?;
    load(&env, 7, &[]).await?;
    expect_rows(&env, &kept(&torture, kind, is_bad)).await?;
    env.start_afresh("t").await?;
    load(&env, 7, &["--notes-as-bad"]).await?;
    expect_rows(&env, &kept(&torture, kind, |fate| is_note(fate) || is_bad(fate))).await?;
    expect_rejected(&env, &torture, |fate| is_note(fate) || is_bad(fate))
}

#[apply(load_test)]
async fn a_number_that_ends_in_words_is_no_rounding(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    // MySQL gives the same note for both.
    let is_in = |fate: Fate| matches!(fate, Fate::Disguised(_) | Fate::Remark(1265));
    let torture = Torture::new(
        CASES.iter().filter(|case| case.column == "money" && is_in(case.fate(ServerKind::Mysql))),
        1,
    );
    env.put("torture", torture.bytes.clone())?;
    load(&env, 7, &[]).await?;
    expect_rows(&env, &kept(&torture, kind, is_bad)).await?;
    expect_rejected(&env, &torture, is_bad)
}

#[apply(load_test)]
async fn an_error_of_the_statement_is_traced_to_its_row(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    let is_bad = |fate: Fate| matches!(fate, Fate::Error(_)) || is_bad(fate);
    let torture = Torture::new(select_cases(kind, is_bad), 1);
    env.put("torture", torture.bytes.clone())?;
    load(&env, 7, &[]).await?;
    expect_rows(&env, &kept(&torture, kind, is_bad)).await?;
    expect_rejected(&env, &torture, is_bad)
}

#[apply(load_test)]
async fn rejected_duplicates_are_written_down_as_well(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    let is_bad = |fate: Fate| fate == Fate::Duplicate || is_bad(fate);
    let torture = Torture::new(select_cases(kind, is_bad), 1);
    env.put("torture", torture.bytes.clone())?;
    load(&env, 7, &["--on-duplicate", "reject"]).await?;
    expect_rows(&env, &kept(&torture, kind, is_bad)).await?;
    expect_rejected(&env, &torture, is_bad)?;
    // Everything but the bad rows is in the table now, so all is rejected.
    env.schema.exec("DELETE FROM s3_to_mysql_objects; DELETE FROM s3_to_mysql_runs").await?;
    load(&env, 7, &["--on-duplicate", "reject"]).await?;
    expect_rows(&env, &kept(&torture, kind, is_bad)).await?;
    let rejected = rejected(&env)?.context("there are no rejects")?;
    ensure!(rejected.text == torture.bytes, "{}", String::from_utf8_lossy(&rejected.text));
    Ok(())
}

#[apply(load_test)]
async fn more_rejects_than_allowed_roll_the_object_back(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    let torture = Torture::new(select_cases(kind, is_bad), 1);
    let (rows, bad) = (torture.rows.len(), torture.cases().count());
    env.put("torture", torture.bytes.clone())?;
    let percent = |count: usize| format!("{}%", 100 * count / rows);
    ensure!(rows == 2 * bad + 1, "half of the rows but one are bad");
    for limit in ["0".to_owned(), (bad - 1).to_string(), percent(bad / 2), "49%".to_owned()] {
        load(&env, 3, &["--max-rejects", &limit]).await?;
        ensure!(env.count("t").await? == 0, "--max-rejects {limit}");
        ensure!(
            rejected(&env)?.is_none(),
            "--max-rejects {limit} left a reject file of rows that were not dropped"
        );
    }
    for limit in [bad.to_string(), "50%".to_owned()] {
        load(&env, 7, &["--max-rejects", &limit]).await?;
        expect_rows(&env, &kept(&torture, kind, is_bad)).await?;
        expect_rejected(&env, &torture, is_bad)?;
        env.start_afresh("t").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn rejects_of_all_objects_are_counted_together(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (n INT)").await?;
    for number in 0..4 {
        env.put(&format!("{number}"), format!("{number}\nx\ny\n"))?;
    }
    let rejects = env.path("rejects").display().to_string();
    let args = [
        "--on-bad-row",
        "reject",
        "--rejects",
        &rejects,
        "--load-concurrency",
        "1",
        "--max-rejects-total",
    ];
    let ended = env.load("t", &[&args[..], &["7"]].concat()).await?;
    ensure!(ended.code == Some(3), "{ended}");
    // Committed objects stay, and never more than allowed.
    let loaded = env.count("t").await?;
    ensure!(loaded <= 3, "{loaded} objects were loaded, with 2 rejects each");
    let ended = env.load("t", &[&args[..], &["8"]].concat()).await?;
    ensure!(ended.code == Some(7) && env.count("t").await? == 4, "{ended}");
    Ok(())
}
