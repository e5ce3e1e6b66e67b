//! SIGINT and SIGTERM: the first drains, the second abandons, the third leaves at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit_code;

/// What the parts of a run watch to know when to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take nothing new; what is loading is finished. Also cancelled when the run itself has to
    /// end.
    pub draining: CancellationToken,
    /// Roll back what is loading.
    pub abandoning: CancellationToken,
    /// The exit code that the first signal asks for; 0 while there was none.
    exit_code: Arc<AtomicU8>,
}

/// The two signals, caught from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// # Errors
    /// The operating system's, where a handler can't be set.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The exit code that the next signal asks for.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => exit_code::INTERRUPTED,
            _ = self.terminate.recv() => exit_code::TERMINATED,
        }
    }
}

impl Shutdown {
    /// The exit code of the first signal, if there was one.
    #[must_use]
    pub fn signalled(&self) -> Option<u8> {
        Some(self.exit_code.load(Ordering::Acquire)).filter(|&code| code != 0)
    }

    /// Waits for signals and passes them on; ends only with the process.
    pub async fn listen(self, mut signals: Signals) {
        let code = signals.next().await;
        self.exit_code.store(code, Ordering::Release);
        tracing::warn!(
            "stopping: what is loading is finished, nothing new is begun; a second signal rolls it back"
        );
        self.draining.cancel();
        signals.next().await;
        tracing::warn!("rolling back what is loading; a third signal leaves at once");
        self.abandoning.cancel();
        signals.next().await;
        // Open transactions are rolled back by the server when the sockets close; staged files have
        // no names.
        std::process::exit(i32::from(code));
    }
}

/// Waits, unless the run is being stopped meanwhile.
pub(crate) async fn pause(shutdown: &Shutdown, pause: Duration) {
    tokio::select! {
        () = shutdown.draining.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
