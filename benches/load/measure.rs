//! Measures a run: time, CPU and memory, as the kernel counts them.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// The kernel's unit of time in /proc/PID/stat, on all current Linux systems.
const TICKS_PER_SECOND: f64 = 100.0;
/// The interval of the checks whether a process has ended. It is short beside anything measured
/// here.
const POLL: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Default)]
pub(crate) struct Run {
    pub(crate) wall_seconds: f64,
    pub(crate) client_cpu_seconds: f64,
    pub(crate) server_cpu_seconds: f64,
    pub(crate) endpoint_cpu_seconds: f64,
    /// The peak of the largest process, also if several ran one after the other.
    pub(crate) peak_memory_kib: f64,
}

impl Run {
    /// Adds a run that began when this one had ended.
    pub(crate) fn then(self, next: Self) -> Self {
        Self {
            wall_seconds: self.wall_seconds + next.wall_seconds,
            client_cpu_seconds: self.client_cpu_seconds + next.client_cpu_seconds,
            peak_memory_kib: self.peak_memory_kib.max(next.peak_memory_kib),
            ..self
        }
    }

    pub(crate) fn peak_megabytes(&self) -> f64 {
        self.peak_memory_kib * 1024.0 / 1e6
    }
}

/// Measures a child that was started at `began`, and waits for it.
pub(crate) fn watch(mut child: Child, began: Instant) -> Result<(Run, ExitStatus)> {
    let mut run = Run::default();
    // The kernel keeps the CPU time of a process that has ended until it is reaped, but not its
    // memory.
    while process_state(child.id())? != 'Z' {
        run.peak_memory_kib = run.peak_memory_kib.max(peak_memory_kib(child.id()).unwrap_or(0.0));
        std::thread::sleep(POLL);
    }
    run.wall_seconds = began.elapsed().as_secs_f64();
    run.client_cpu_seconds = cpu_seconds(child.id())?;
    Ok((run, child.wait()?))
}

/// Returns the fields of /proc/PID/stat after the command's name, which may contain anything.
fn stat(pid: u32) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(')').context("unknown format of /proc/PID/stat")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn process_state(pid: u32) -> Result<char> {
    stat(pid)?.first().and_then(|state| state.chars().next()).context("no state")
}

/// Returns the user and system time of a process with all its threads, and of its children that
/// have ended.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let fields = stat(pid)?;
    let ticks = |index: usize| {
        fields.get(index).context("no times")?.parse::<f64>().context("not a number")
    };
    Ok((ticks(11)? + ticks(12)? + ticks(13)? + ticks(14)?) / TICKS_PER_SECOND)
}

fn peak_memory_kib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.as_slice() {
        [] => f64::NAN,
        values if values.len() % 2 == 1 => values[middle],
        values => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
