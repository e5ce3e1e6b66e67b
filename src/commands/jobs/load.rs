//! Loads the tables of a jobs file, several at once and parents first.

use std::fmt::Write as _;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::order::JobOrder;
use super::survey::survey;
use super::{all_sources, names_of};
use crate::commands::load::{EndedTable, load_table};
use crate::commands::outcome::{OpenRun, RunResult, interrupted};
use crate::commands::startup::Clients;
use crate::commands::waiting::Waiting;
use crate::config::{Config, JobConfig};
use crate::error::{Error, ErrorKind};
use crate::exit_code::{self, End};
use crate::report::{EndTexts, JobLine, JobStatus, JobsEnd};
use crate::shutdown::Signals;
use crate::terminal::Terminal;

/// The most tables that are loaded at once. Each has a connection for its ledger besides those that
/// load, which all tables share.
const TABLES_AT_ONCE: usize = 8;

/// Loads all jobs. The settings that are not of one job are the same in each of them.
pub async fn load_jobs(jobs: Vec<JobConfig>, terminal: &Terminal, signals: Signals) -> RunResult {
    let Some(first) = jobs.first() else { return RunResult::default() };
    let config = Config { source: all_sources(first, &jobs), ..first.config.clone() };
    let open = match OpenRun::open(&config, terminal, signals).await {
        Ok(open) => open,
        Err(result) => return result,
    };
    let waiting = Waiting::new(config.wait);
    let (ended, errors, did_begin) = match begin(&config, &jobs, &open, &waiting).await {
        Ok((clients, order)) => {
            let ended = run(&jobs, &order, &open, &clients, &waiting, terminal).await;
            clients.close().await;
            (ended, Vec::new(), true)
        }
        Err(problems) => (Vec::new(), problems, false),
    };
    end(&jobs, ended, errors, did_begin, open).await
}

/// Waits if that is wanted, and looks at all tables.
async fn begin(
    config: &Config,
    jobs: &[JobConfig],
    open: &OpenRun,
    waiting: &Waiting,
) -> Result<(Clients, JobOrder), Vec<Error>> {
    let shutdown = &open.shutdown;
    loop {
        let beginning = async {
            waiting.until_ready(config, &shutdown.abandoning).await?;
            let clients = Clients::open(config, &shutdown.abandoning).await?;
            let clients = clients.for_several(config.load.load_concurrency);
            let order = survey(jobs, &clients).await?;
            Ok::<_, Vec<Error>>((clients, order))
        };
        let begun = shutdown.draining.run_until_cancelled(Box::pin(beginning)).await;
        match begun.unwrap_or_else(|| Err(Vec::new())) {
            Err(problems)
                if !shutdown.draining.is_cancelled() && waiting.goes_on_after(&problems) => {}
            Err(problems) => return Err(problems),
            Ok((clients, order)) => {
                for circle in &order.circles {
                    let names = names_of(jobs, circle).join(", ");
                    tracing::warn!(
                        "the foreign keys of {names} refer to each other in a circle: these jobs \
                         are loaded in the order of the file, and rows may lack their parents"
                    );
                }
                return Ok((clients, order));
            }
        }
    }
}

/// Runs the jobs, each when its parents are complete. Returns their ends by their indexes; `None`
/// for a job that did not begin.
async fn run(
    jobs: &[JobConfig],
    order: &JobOrder,
    open: &OpenRun,
    clients: &Clients,
    waiting: &Waiting,
    terminal: &Terminal,
) -> Vec<Option<EndedTable>> {
    let mut ended: Vec<Option<EndedTable>> = jobs.iter().map(|_| None).collect();
    let mut left = order.jobs.clone();
    let mut is_running = vec![false; jobs.len()];
    let mut running = FuturesUnordered::new();
    loop {
        let is_waiting = |parent: usize| is_running[parent] || left.contains(&parent);
        let is_ready = |job: &usize| !order.parents[*job].iter().any(|parent| is_waiting(*parent));
        let next = left.iter().position(is_ready).filter(|_| running.len() < TABLES_AT_ONCE);
        if let Some(next) = next {
            let index = left.remove(next);
            let lacks = order.parents[index]
                .iter()
                .any(|parent| !ended[*parent].as_ref().is_some_and(|ended| ended.is_complete));
            // Whoever depends on this job finds that it is not complete.
            if lacks || open.shutdown.draining.is_cancelled() {
                continue;
            }
            is_running[index] = true;
            running.push(Box::pin(async move {
                let JobConfig { name, config } = &jobs[index];
                let mut job = open.of_job(name, config);
                let config = config.clone();
                let clients = Some(clients);
                let ended =
                    Box::pin(load_table(config, &mut job, clients, waiting, terminal)).await;
                (index, ended)
            }));
            continue;
        }
        let Some((index, table)) = running.next().await else { return ended };
        is_running[index] = false;
        ended[index] = Some(table);
    }
}

/// Ends the run: its report, its summary and its exit code.
async fn end(
    jobs: &[JobConfig],
    ended: Vec<Option<EndedTable>>,
    mut errors: Vec<Error>,
    did_begin: bool,
    mut open: OpenRun,
) -> RunResult {
    let signal = open.shutdown.signalled();
    let not_begun = signal.unwrap_or(exit_code::OBJECTS_FAILED);
    let (mut lines, mut texts) = (Vec::new(), EndTexts::default());
    for (job, ended) in jobs.iter().zip(ended) {
        let table = job.config.target.table.plain();
        let Some(ended) = ended else {
            lines.push(JobLine::not_begun(&job.name, table, not_begun));
            continue;
        };
        let status = status_of(&ended);
        let EndedTable { exit_code, texts: of_job, errors: of_table, .. } = ended;
        if !of_job.problems.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(texts.problems, "job {}:\n{}", job.name, of_job.problems);
        }
        texts.annotations += &of_job.annotations;
        lines.push(JobLine {
            name: job.name.clone(),
            table,
            status,
            exit_code,
            totals: ended.totals,
            elapsed: ended.elapsed,
            error: of_table.first().map(Error::one_line),
        });
        let of_table = of_table.into_iter().filter(|it| it.kind != ErrorKind::Interrupted);
        errors.extend(of_table.map(|error| error.named(&job.name)));
    }
    let codes: Vec<u8> = lines.iter().map(|line| line.exit_code).collect();
    let first_errors = errors.len();
    errors.extend(signal.map(interrupted));
    let code = |errors: &[Error]| {
        if did_begin {
            exit_code::decide(End::Jobs { signal, codes: &codes })
        } else {
            exit_code::decide(End::NotBegun { signal, problems: errors })
        }
    };
    let exit_code = code(&errors);
    let jobs_end = JobsEnd { lines: &lines, elapsed: open.elapsed(), exit_code, did_begin };
    let unwritten = open.report.write_jobs_end(&jobs_end, &errors);
    errors.extend(unwritten);
    errors.extend(open.publish().await);
    let exit_code = if errors.len() > first_errors && exit_code == exit_code::ALL_LOADED {
        exit_code::USAGE
    } else {
        exit_code
    };
    let jobs_end = JobsEnd { exit_code, ..jobs_end };
    let (summary, page) = open.report.jobs_end_texts(&jobs_end, &errors);
    let picture = open.report.picture_page();
    let texts = EndTexts { summary, page, picture, ..texts };
    open.result(exit_code, texts, errors)
}

fn status_of(ended: &EndedTable) -> JobStatus {
    match ended {
        EndedTable { did_begin: false, .. } => JobStatus::Failed,
        EndedTable { is_complete: true, totals, .. } if totals.objects_loaded == 0 => {
            JobStatus::NothingLeft
        }
        EndedTable { is_complete: true, .. } => JobStatus::Loaded,
        EndedTable { .. } => JobStatus::Incomplete,
    }
}
