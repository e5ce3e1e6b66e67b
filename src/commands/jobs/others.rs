//! `plan`, `check` and `status` for a jobs file: one job after the other, and the worst exit code.

use std::io::Write;

use tokio_util::sync::CancellationToken;

use super::survey::survey;
use super::{all_sources, names_of};
use crate::commands::check::check_table;
use crate::commands::outcome::{OpenRun, RunResult};
use crate::commands::plan::plan;
use crate::commands::startup::Clients;
use crate::commands::status::{StatusForm, status};
use crate::commands::waiting::Waiting;
use crate::config::{Config, JobConfig};
use crate::error::Error;
use crate::exit_code::{self, End};
use crate::report::EndTexts;
use crate::shutdown::Signals;
use crate::terminal::Terminal;

/// Shows what a load would do for each job, in the order in which it would begin them.
pub async fn plan_jobs(jobs: Vec<JobConfig>, output: &mut (dyn Write + Send)) -> RunResult {
    let ordered = match in_order(jobs).await {
        Ok(ordered) => ordered,
        Err(problems) => return RunResult::before_it_began(problems),
    };
    let mut results = Vec::new();
    for JobConfig { name, config } in ordered {
        let config = Config { wait: None, ..config };
        // What cannot be written, the plan itself reports.
        let _ = writeln!(output, "# job {name}: {}", config.target.table);
        results.push((name, Box::pin(plan(config, output)).await));
    }
    together(results, None)
}

/// Returns the jobs with parents first.
async fn in_order(jobs: Vec<JobConfig>) -> Result<Vec<JobConfig>, Vec<Error>> {
    let Some(first) = jobs.first() else { return Ok(jobs) };
    let config = Config { source: all_sources(first, &jobs), ..first.config.clone() };
    let abandoning = CancellationToken::new();
    Waiting::new(config.wait).until_ready(&config, &abandoning).await?;
    let clients = Clients::open(&config, &abandoning).await?;
    let order = survey(&jobs, &clients).await?;
    for circle in &order.circles {
        let names = names_of(&jobs, circle).join(", ");
        tracing::warn!("the foreign keys of {names} refer to each other in a circle");
    }
    let mut jobs: Vec<Option<JobConfig>> = jobs.into_iter().map(Some).collect();
    Ok(order.jobs.iter().filter_map(|index| jobs.get_mut(*index)?.take()).collect())
}

/// Checks each job.
pub async fn check_jobs(
    jobs: Vec<JobConfig>,
    sample: Option<u64>,
    terminal: &Terminal,
    signals: Signals,
) -> RunResult {
    let Some(first) = jobs.first() else { return RunResult::default() };
    let config = Config { source: all_sources(first, &jobs), ..first.config.clone() };
    let mut open = match OpenRun::open(&config, terminal, signals).await {
        Ok(open) => open,
        Err(result) => return result,
    };
    let waiting = Waiting::new(config.wait);
    let shutdown = open.shutdown.clone();
    let ready = Box::pin(waiting.until_ready(&config, &shutdown.abandoning));
    if let Some(Err(problems)) = shutdown.draining.run_until_cancelled(ready).await {
        return RunResult::before_it_began(problems);
    }
    let waiting = Waiting::new(None);
    let mut results = Vec::new();
    for JobConfig { name, config } in jobs {
        let mut job = open.of_job(&name, &config);
        let checking = Box::pin(check_table(config, sample, &mut job, &waiting, terminal));
        let (exit_code, texts, errors) = checking.await;
        let EndTexts { problems, summary: output, .. } = texts;
        results.push((name, RunResult { exit_code, output, problems, errors }));
        if open.shutdown.draining.is_cancelled() {
            break;
        }
    }
    let mut ended = together(results, open.shutdown.signalled());
    ended.errors.extend(open.publish().await);
    ended
}

/// Shows the state of each job's table.
pub async fn status_jobs(jobs: Vec<JobConfig>, form: StatusForm) -> RunResult {
    let mut results = Vec::new();
    for JobConfig { name, mut config } in jobs {
        if !results.is_empty() {
            // The server has answered.
            config.wait = None;
        }
        results.push((name, Box::pin(status(config, form, Vec::new())).await));
    }
    let worst = results.iter().map(|(_, result): &(String, RunResult)| result.exit_code).max();
    let documents: Vec<String> =
        results.iter().map(|(_, result)| result.output.trim_end().to_owned()).collect();
    let mut ended = together(results, None);
    match form {
        StatusForm::Json if ended.errors.is_empty() => {
            ended.output = format!("[{}]\n", documents.join(",\n"));
        }
        StatusForm::Json => ended.output = String::new(),
        // Of the codes of a verdict, the highest is the worst.
        StatusForm::Check { .. } => ended.exit_code = worst.unwrap_or_default(),
        StatusForm::Text { .. } => {}
    }
    ended
}

/// Returns the result of all jobs: their texts below their names, and the worst exit code.
fn together(results: Vec<(String, RunResult)>, signal: Option<u8>) -> RunResult {
    let codes: Vec<u8> = results.iter().map(|(_, result)| result.exit_code).collect();
    let exit_code = exit_code::decide(End::Jobs { signal, codes: &codes });
    let mut all = RunResult { exit_code, ..RunResult::default() };
    let headed = |name: &str, text: &str| match text {
        "" => String::new(),
        text => format!("# job {name}\n{text}"),
    };
    for (name, RunResult { output, problems, errors, .. }) in results {
        all.output += &headed(&name, &output);
        all.problems += &headed(&name, &problems);
        all.errors.extend(errors.into_iter().map(|error| error.named(&name)));
    }
    all
}
