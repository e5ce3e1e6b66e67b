//! Waits for conditions that no event reports.

use std::time::Duration;

use anyhow::Result;

/// The time between two questions.
const PAUSE: Duration = Duration::from_millis(10);

/// Polls until there is an answer, for 30 seconds at least.
pub async fn until<T, F: Future<Output = Result<Option<T>>>>(ask: impl Fn() -> F) -> Result<T> {
    for _ in 0..3000 {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        tokio::time::sleep(PAUSE).await;
    }
    anyhow::bail!("waited 30 seconds in vain")
}
