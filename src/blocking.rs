//! Runs work that blocks its thread, such as reading a staged file again, on a thread where that
//! disturbs no other task.

use crate::error::{Error, ErrorKind, Result};

/// The size of the blocks in which staged files are read again. Smaller ones cost more calls of the
/// operating system, and larger ones only memory.
pub(crate) const BLOCK_BYTES: usize = 256 * 1024;

/// Runs `work` on a thread that may block, and returns its result. A panic of `work` goes on in the
/// caller.
///
/// If this future is dropped, the work still runs to its end, and its result is lost.
///
/// # Errors
/// `Interrupted` if the program exits before the work has begun.
pub(crate) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
        Err(died) => {
            Err(Error::new(ErrorKind::Interrupted, "the program is exiting").caused_by(died))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_work_goes_on_in_the_caller() {
        assert_eq!(run_blocking(|| 1).await.unwrap(), 1);
        let caller = tokio::spawn(run_blocking(|| panic!("on purpose")));
        assert!(caller.await.unwrap_err().is_panic());
    }
}
