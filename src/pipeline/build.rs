//! Builds the context that all tasks of a run share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::task::JoinHandle;

use super::context::{Checking, Context, Purpose};
use super::header::HeaderCheck;
use super::layouts::Layouts;
use super::options::PipelineOptions;
use super::prepared::Prepared;
use super::work::ObjectStream;
use crate::dialect::FormatConfig;
use crate::error::Result;
use crate::ledger::{Job, Ledger};
use crate::load::Loader;
use crate::load_data::Plan;
use crate::mysql::SqlMode;
use crate::preflight::Preflight;
use crate::rejects::Rejects;
use crate::shutdown::Shutdown;
use crate::source::SkippedKeys;
use crate::split::can_split;
use crate::staging::StagingArea;
use crate::throttle::{ConcurrencyLimiter, Throttle};

/// A run whose tasks can be spawned.
pub(crate) struct Built {
    pub(crate) context: Arc<Context>,
    pub(crate) objects: ObjectStream,
    pub(crate) listing: JoinHandle<Result<SkippedKeys>>,
    pub(crate) throttle: Option<Throttle>,
}

/// Builds the context of a load, or of a check if `checking` is set.
pub(crate) fn build(
    options: &PipelineOptions,
    prepared: Prepared,
    ledger: Option<(Ledger, Job)>,
    checking: Option<Checking>,
    shutdown: &Shutdown,
    sent_bytes: Arc<AtomicU64>,
) -> Built {
    let Prepared { s3, budget, connector, downloads, pool, preflight, .. } = prepared;
    let Prepared { rejects, throttle, listing, objects, .. } = prepared;
    let sql_mode = SqlMode::of(preflight.policy.on_bad_row);
    let load_concurrency = preflight.load_concurrency;
    // A small part of the budget, because a shared file frees its space only when all of its
    // objects are loaded.
    let shared_bytes = options.throughput.batch.bytes.min(budget.total().bytes() / 8);
    let FormatConfig { charset, .. } = &options.format;
    let rows = options.format.rows();
    let splits = checking.is_none() && ledger.is_some() && can_split(rows, charset);
    let split_above = options.throughput.part_size.filter(|_| splits);
    let split_above = split_above.map(|size| size.bytes().min(budget.total().bytes()));
    let purpose = match checking {
        Some(checking) => Purpose::Check(checking),
        None => {
            let plan = plan(options, &preflight, ledger.as_ref(), rejects);
            Purpose::Load(Box::new(Loader::new(plan)))
        }
    };
    let (sessions, idle) = match &pool {
        Some(pool) => {
            let (sessions, idle) = pool.of(&connector, &preflight.server, sql_mode);
            (sessions, Some(idle))
        }
        None => (connector.pool(&preflight.server, sql_mode, load_concurrency), None),
    };
    let context = Context {
        layouts: Layouts::new(preflight.layouts.clone(), purpose.plan()),
        header: HeaderCheck::new(&options.format, &preflight),
        options: options.clone(),
        s3,
        staging: StagingArea::new(&options.staging.dir, shared_bytes, budget.clone())
            .splitting_above(split_above),
        budget,
        purpose,
        sessions,
        idle,
        downloads,
        preflight,
        ledger,
        limiter: ConcurrencyLimiter::sharing(load_concurrency, pool.map(|pool| pool.loads)),
        shutdown: shutdown.clone(),
        sent_bytes,
    };
    Built { context: Arc::new(context), objects, listing, throttle }
}

/// Returns the plan by which objects are loaded into the job's table, or into the target if there
/// is no ledger.
fn plan(
    options: &PipelineOptions,
    preflight: &Preflight,
    ledger: Option<&(Ledger, Job)>,
    rejects: Option<Rejects>,
) -> Plan {
    let load_into = match ledger {
        Some((_, job)) => job.load_into.clone(),
        None => preflight.target.name(),
    };
    Plan::new(
        load_into,
        Arc::clone(&preflight.schema),
        &options.format,
        &options.load,
        preflight.policy,
    )
    .on(preflight.server.flavor)
    .rejecting_to(rejects)
}
