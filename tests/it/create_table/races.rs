//! Several runs that find no table.

use anyhow::{Result, ensure};

use super::{BY_NAME, created, ensure_types};
use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, finish};
use crate::support::values::ensure_values;

/// The rounds of the race.
const ROUNDS: u32 = 4;
/// The runs of each round.
const RUNS: usize = 3;

#[apply(load_test)]
async fn runs_that_create_at_once_make_one_table_and_load_each_row_once(
    env: TestEnv,
) -> Result<()> {
    for object in 1..=6 {
        env.put(&format!("{object}.csv"), format!("id,v\n{object}1,a\n{object}2,b\n"))?;
    }
    let mut created_by_all = 0;
    for round in 0..ROUNDS {
        let reports: Vec<String> = (0..RUNS).map(|run| format!("report {round} {run}")).collect();
        let mut runs = Vec::new();
        for report in &reports {
            let path = env.path(report).display().to_string();
            let args = ["load", "s3://etl/", "--table", "t", "--create-table", "--report", &path];
            // A ledger that has lost rows would be noticed.
            let of_the_round = ["--ledger-table", &format!("ledger_{round}")];
            let args = args.iter().chain(&BY_NAME).chain(&of_the_round);
            runs.push(finish(env.command(args).spawn()?));
        }
        for ended in futures_util::future::join_all(runs).await {
            ended?.expect(0)?;
        }
        for report in &reports {
            created_by_all += u32::from(created(&env, report)?.is_some());
        }
        ensure_types(&env, &["id bigint", "v varchar(64)"]).await?;
        let sql = "SELECT COUNT(*), COUNT(DISTINCT id), SUM(id) FROM t";
        ensure_values(&env.schema, sql, &["12|12|438"]).await?;
        env.schema.exec("DROP TABLE t").await?;
    }
    ensure!(created_by_all == ROUNDS, "{created_by_all} runs say that they created the table");
    Ok(())
}
