//! moto's server, a store that others wrote. The first check that runs against it starts it, once
//! per process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

/// The limit includes its installation, if `scripts/setup.sh` was not run.
const START_LIMIT: Duration = Duration::from_mins(3);

/// moto accepts any key pair.
pub const ACCESS_KEY: &str = "moto";
pub const SECRET_KEY: &str = "moto-secret";

/// Returns its URL. Blocks until it listens. A store that cannot be started is an error that every
/// check reports.
pub fn url() -> Result<&'static str> {
    /// It runs until its standard input closes, which happens when this process ends.
    static RUNNING: OnceLock<Result<(String, Child), String>> = OnceLock::new();
    let running = RUNNING.get_or_init(|| start().map_err(|error| format!("{error:#}")));
    running.as_ref().map(|(url, _)| url.as_str()).map_err(|reason| anyhow!("{reason}"))
}

fn start() -> Result<(String, Child)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/independent-store.sh");
    let mut child = Command::new(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", script.display()))?;
    let stdout = child.stdout.take().context("standard output was piped")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // If the receiver is gone, it has given up waiting.
        let _ = sender.send(BufReader::new(stdout).read_line(&mut line).map(|_| line));
    });
    let line = receiver
        .recv_timeout(START_LIMIT)
        .context("the independent store was not ready in time")??;
    let url = line.trim_end().strip_prefix("ready ").unwrap_or_default().to_owned();
    ensure!(
        !url.is_empty(),
        "the independent store did not start (scripts/setup.sh installs what is missing)"
    );
    Ok((url, child))
}
