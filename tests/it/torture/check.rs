//! The torture object under `check`: everything that a scratch table can refuse is counted and
//! reported.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::cases::{CASES, Case, Fate};
use super::object::{ARGS, Torture};
use super::{create, names};
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;

#[apply(load_test)]
async fn every_class_of_badness_is_told(env: TestEnv) -> Result<()> {
    create(&env, "t").await?;
    let kind = env.server.kind();
    // A temporary table has no foreign keys.
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| !matches!(case.fate(kind).itself(), Fate::Refused(1452)))
        .collect();
    let torture = Torture::new(cases.iter().copied(), 1);
    env.put("torture", torture.bytes.clone())?;
    let is_bad = |fate: Fate| {
        matches!(
            fate.itself(),
            Fate::Bad(_)
                | Fate::Disguised(_)
                | Fate::BadByMode { .. }
                | Fate::ZeroDate(_)
                | Fate::Refused(_)
                | Fate::Error(_)
        )
    };
    let report = env.path("report").display().to_string();
    for accept in [false, true] {
        let columns = names().join(",");
        let mut args =
            vec!["check", "s3://etl/", "--table", "t", "--columns", &columns, "--report", &report];
        args.extend(ARGS);
        args.extend(["--show-bad-rows", "1000", "--on-duplicate", "ignore"]);
        if accept {
            args.extend(["--on-bad-row", "accept"]);
        }
        let ended = env.run(&args).await?;
        ended.expect(3)?;
        let line = env.report("report")?.into_iter().next().context("an empty report")?;
        let mut told: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for row in line["first_rows"].as_array().with_context(|| format!("no rows: {line:#}"))? {
            let code = row["code"].as_u64().context("no code")?;
            told.entry(row["row"].as_u64().context("no row")?).or_default().push(code);
        }
        let (mut bad, mut duplicates, mut wrong) = (0_u64, 0_u64, Vec::new());
        for (row, case) in torture.cases() {
            let fate = case.verdict(kind);
            let is_held = is_bad(fate);
            bad += u64::from(is_held);
            duplicates += u64::from(fate == Fate::Duplicate);
            let codes = told.remove(&row.number);
            if codes.is_some() != (is_held || fate == Fate::Duplicate) {
                wrong.push(format!(
                    "accept {accept}, {} {}: {fate:?}, told: {codes:?}",
                    case.column, case.what
                ));
            }
        }
        ensure!(wrong.is_empty(), "{wrong:#?}");
        ensure!(told.is_empty(), "good rows are told of: {told:?}");
        ensure!(
            line["bad_rows"] == bad && line["duplicates"] == duplicates,
            "{bad} {duplicates}: {line:#}"
        );
        ensure!(env.count("t").await? == 0);
    }
    Ok(())
}
