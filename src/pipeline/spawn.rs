//! Starts the tasks of a run, with the channels between them.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::batcher::Batcher;
use super::check_worker::check_staged;
use super::context::{Context, Purpose};
use super::download::dispatch;
use super::events::Event;
use super::load_worker::load_staged;
use super::select::{InHandLimits, Selector, choose};
use super::work::{ObjectStream, Selected};
use crate::ledger::Claims;
use crate::throttle::{BatchConfig, Throttle};

/// The number of events that may wait for the report. More would only hide that the report is the
/// slow part.
const EVENTS: usize = 256;

/// The maximum number of batches that load, fill up and download. More would only cost memory.
const BATCHES_IN_HAND: usize = 6;

/// The tasks of a run.
pub(crate) struct Tasks {
    pub(crate) workers: JoinSet<()>,
    /// Ends when the last worker has ended.
    pub(crate) events: mpsc::Receiver<Event>,
    /// The task that pauses the workers, if the run has a throttle.
    pub(crate) monitor: Option<Monitor>,
}

/// The task that watches servers and pauses the workers. It runs until it is ended.
pub(crate) struct Monitor {
    ended: CancellationToken,
    task: JoinHandle<()>,
}

impl Monitor {
    fn spawn(throttle: Throttle, context: &Context) -> Self {
        let ended = CancellationToken::new();
        context.limiter.pause(true);
        let task = tokio::spawn(throttle.watch(Arc::clone(&context.limiter), ended.clone()));
        Self { ended, task }
    }

    pub(crate) async fn end(self) {
        self.ended.cancel();
        // A panic in it does not matter any more.
        let _ = self.task.await;
    }
}

/// Starts everything between the listing and the report.
pub(crate) fn spawn(
    context: &Arc<Context>,
    objects: ObjectStream,
    throttle: Option<Throttle>,
) -> Tasks {
    let monitor = throttle.map(|throttle| Monitor::spawn(throttle, context));
    let (sender, events) = mpsc::channel(EVENTS);
    let load_concurrency = context.preflight.load_concurrency;
    let batch = batch_limits(context);
    // The limits on objects in hand bound what waits here.
    let (staged, to_load) = mpsc::channel(load_concurrency.max(batch.objects));
    let to_load = Arc::new(Batcher::new(to_load, batch));
    // The smallest channel: what waits here is claimed, and another run could be loading it.
    let (selected, to_download) = mpsc::channel(1);
    let mut workers = JoinSet::new();
    workers.spawn(choose(selector(context, batch, selected, sender.clone()), objects));
    workers.spawn(dispatch(Arc::clone(context), to_download, staged, sender.clone()));
    for number in (1..).take(load_concurrency) {
        let (context, to_load) = (Arc::clone(context), Arc::clone(&to_load));
        match &context.purpose {
            Purpose::Load(_) => {
                workers.spawn(load_staged(context, to_load, sender.clone(), number))
            }
            Purpose::Check(_) => {
                workers.spawn(check_staged(context, to_load, sender.clone(), number))
            }
        };
    }
    Tasks { workers, events, monitor }
}

/// Returns the limits of a batch, which are those of a single object if nothing can be batched.
fn batch_limits(context: &Context) -> BatchConfig {
    let mut batch = context.options.throughput.batch;
    // A batch relies on rollback to load its objects one by one after a failure, which needs an
    // engine that rolls back.
    if matches!(context.purpose, Purpose::Check(_))
        || !context.preflight.policy.rolls_back
        || !context.options.format.charset.is_self_contained()
    {
        batch.objects = 1;
    }
    batch
}

fn selector(
    context: &Context,
    batch: BatchConfig,
    selected: mpsc::Sender<Selected>,
    events: mpsc::Sender<Event>,
) -> Selector {
    let load_concurrency = context.preflight.load_concurrency;
    let batches_in_hand = BATCHES_IN_HAND.min(load_concurrency + 2);
    Selector {
        ledger: context.ledger.clone(),
        config: context.options.ledger.clone(),
        claims: Arc::new(Claims::default()),
        shutdown: context.shutdown.clone(),
        in_hand: InHandLimits {
            objects: context.options.staging.download_concurrency + 2 * load_concurrency,
            // Those that load, and two more: one that fills up and one that downloads.
            small_bytes: batch.bytes.saturating_mul(batches_in_hand as u64),
            small_objects: batch.objects.saturating_mul(batches_in_hand),
        },
        in_hand_shared: InHandLimits {
            objects: 2 * load_concurrency,
            small_bytes: batch.bytes,
            small_objects: batch.objects,
        },
        selected,
        events,
    }
}
