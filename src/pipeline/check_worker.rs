//! Finds what would go wrong in a load, without loading: `s3-to-mysql check`.
//!
//! A check has the same listing, downloads and workers as a load. But it takes every object,
//! whatever the ledger says, and loads it into temporary tables in a transaction that it rolls
//! back. With a sample, it downloads only the beginning of each object.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::attempt::{Worker, request, session, try_again};
use super::batcher::{Batcher, Work};
use super::context::{Context, Purpose};
use super::events::{Event, emit, failed};
use super::value_pass::first_noted;
use super::work::{FailedBefore, ReadyObject};
use crate::check::Checked;
use crate::error::{Error, ErrorKind, Result};
use crate::load_data::LoadRequest;
use crate::report::{Outcome, Stage};
use crate::retry::Attempts;

/// Checks staged objects one at a time. The session is kept until an error occurs on it.
pub(crate) async fn check_staged(
    context: Arc<Context>,
    staged: Arc<Batcher>,
    events: mpsc::Sender<Event>,
    number: u32,
) {
    let mut worker = Worker::new(&context, number);
    loop {
        worker.wait_for_slot().await;
        // A check neither splits objects nor combines them in a batch.
        let Some(Work::Objects(mut objects)) = staged.next().await else { break };
        let Some(ReadyObject {
            selected,
            layout,
            staged,
            scan,
            values,
            mut watch,
            attempts: downloads,
            ..
        }) = objects.pop()
        else {
            break;
        };
        let object = selected.object;
        if !worker.begin_slot(&context).await {
            emit(&events, Event::ended(Outcome::NotReached { object })).await;
            continue;
        }
        watch.end(Stage::Wait);
        watch.loads_on(worker.number, 1);
        let mut attempts = Attempts::new(&context.options.retry);
        let (verified, codecs) = (staged.verified, staged.codecs);
        let checked = match request(&context, (&object, &layout), &staged, &scan, values, false) {
            Ok(request) => match check_one(&context, &mut worker, &request, &mut attempts).await {
                Ok(mut checked) => {
                    checked.first_notes = first_noted(&context, &request).await;
                    if !context.has_lines() {
                        checked.shown.iter_mut().for_each(|bad| bad.line = None);
                    }
                    Ok(checked)
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        watch.end(Stage::Load);
        drop(staged);
        let attempts = attempts.made() + downloads - 1;
        let outcome = match checked {
            Ok(checked) => {
                let checked = Box::new(checked);
                Outcome::Checked {
                    object,
                    checked,
                    verified,
                    codecs,
                    attempts,
                    timing: watch.timing(),
                }
            }
            Err(error) => failed(None, object, FailedBefore::No, error, (attempts, &watch)).await,
        };
        emit(&events, Event::ended(outcome)).await;
    }
    worker.close().await;
}

/// Checks one object, and retries after a failure that allows it.
async fn check_one(
    context: &Context,
    worker: &mut Worker,
    request: &LoadRequest,
    attempts: &mut Attempts,
) -> Result<Checked> {
    let Purpose::Check(checking) = &context.purpose else {
        return Err(Error::new(ErrorKind::Bug, "a load run was asked to check"));
    };
    loop {
        let error = match session(context, worker, &request.what, "checked").await {
            Err(error) => error,
            Ok(mut session) => {
                match session.check(request, &checking.check, &context.shutdown.abandoning).await {
                    Ok(checked) => {
                        worker.slot.committed();
                        worker.keep(session);
                        return Ok(checked);
                    }
                    Err(error) => {
                        session.destroy().await;
                        error
                    }
                }
            }
        };
        worker.slot.met(&error);
        try_again(context, worker, attempts, &request.what, error).await?;
    }
}
