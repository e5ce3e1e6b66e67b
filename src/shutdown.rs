//! SIGINT and SIGTERM: the first drains, the second rolls back, the third exits at once. Whatever
//! the second cannot roll back within `ABANDON_LIMIT` is left to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit_code;

/// The time between the second signal and the end of the process, whatever the server does. A
/// COMMIT in progress gets two seconds of it, a statement one, and destroying a connection up to
/// four.
const ABANDON_LIMIT: Duration = Duration::from_secs(8);

/// The tokens that tell the tasks of a run to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// When cancelled, current loads finish and no new ones begin. It is also cancelled if the run
    /// itself has to end.
    pub draining: CancellationToken,
    /// When cancelled, current loads roll back.
    pub abandoning: CancellationToken,
    /// The exit code for the first signal; 0 until it arrives.
    exit_code: Arc<AtomicU8>,
}

/// The two signals, caught as soon as this exists.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// # Errors
    /// The error of the operating system, if it refuses a signal handler.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal and returns its exit code.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => exit_code::INTERRUPTED,
            _ = self.terminate.recv() => exit_code::TERMINATED,
        }
    }
}

impl Shutdown {
    /// Returns the exit code of the first signal, if one arrived.
    #[must_use]
    pub fn signalled(&self) -> Option<u8> {
        Some(self.exit_code.load(Ordering::Acquire)).filter(|&code| code != 0)
    }

    /// Returns the shutdown of one table among several: it drains with all of them, and by itself
    /// without the others.
    #[must_use]
    pub(crate) fn child(&self) -> Self {
        Self {
            draining: self.draining.child_token(),
            abandoning: self.abandoning.child_token(),
            exit_code: Arc::clone(&self.exit_code),
        }
    }

    /// Waits for signals and passes them on. Ends only with the process.
    pub async fn listen(self, mut signals: Signals) {
        let code = signals.next().await;
        self.exit_code.store(code, Ordering::Release);
        tracing::warn!(
            "stopping: current loads finish, no new ones begin; a second signal rolls them back"
        );
        self.draining.cancel();
        signals.next().await;
        tracing::warn!("rolling back current loads; a third signal exits at once");
        self.abandoning.cancel();
        tokio::select! {
            _ = signals.next() => {}
            // Rolling back takes milliseconds, unless the server does not answer.
            () = tokio::time::sleep(ABANDON_LIMIT) => {
                tracing::warn!("the server does not answer; it rolls back by itself");
            }
        }
        // The server rolls back open transactions when the sockets close, and staged files have no
        // names.
        std::process::exit(i32::from(code));
    }
}

/// Waits for `pause`, or until the run stops.
pub(crate) async fn pause(shutdown: &Shutdown, pause: Duration) {
    tokio::select! {
        () = shutdown.draining.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
