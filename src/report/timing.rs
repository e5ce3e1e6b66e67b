//! Measures the stages of an object or part on its way into the table.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

/// A stage of an object or part on its way into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The download, with the check of the staged rows.
    Download,
    /// The wait of staged rows for a connection.
    Wait,
    /// The statements of the transaction before its COMMIT, with all retries.
    Load,
}

/// The times of an object or part that has ended. The duration of a stage is missing if it was not
/// reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub started_at: Timestamp,
    pub elapsed: Duration,
    pub download: Option<Duration>,
    pub wait: Option<Duration>,
    pub load: Option<Duration>,
    pub commit: Option<Duration>,
    /// The number of the connection that loaded it, from 1.
    pub connection: Option<u32>,
    /// The number of objects that its transaction loaded.
    pub objects_in_transaction: Option<u32>,
}

/// A clock that runs from the start of a download to the end of the object or part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    began: Instant,
    /// The end of the last stage.
    lap: Instant,
    timing: Timing,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let began = Instant::now();
        let timing = Timing::starting_at(Timestamp::now());
        Self { began, lap: began, timing }
    }

    /// Ends a stage, which began when the last one ended. A stage that comes again goes on.
    pub(crate) fn end(&mut self, stage: Stage) {
        let now = Instant::now();
        let time = match stage {
            Stage::Download => &mut self.timing.download,
            Stage::Wait => &mut self.timing.wait,
            Stage::Load => &mut self.timing.load,
        };
        *time = Some(time.unwrap_or_default() + (now - self.lap));
        self.lap = now;
    }

    /// Takes the COMMIT out of the time of the load that has just ended. The time is not known if
    /// the connection was lost in it.
    pub(crate) fn committed(&mut self, commit: Option<Duration>) {
        self.timing.commit = commit;
        if let (Some(load), Some(commit)) = (&mut self.timing.load, commit) {
            *load = load.saturating_sub(commit);
        }
    }

    /// Records which connection loads, and how many objects in the same transaction.
    pub(crate) fn loads_on(&mut self, connection: u32, objects: usize) {
        self.timing.connection = Some(connection);
        self.timing.objects_in_transaction = Some(u32::try_from(objects).unwrap_or(u32::MAX));
    }

    /// Returns the times up to now.
    pub(crate) fn timing(&self) -> Timing {
        Timing { elapsed: self.began.elapsed(), ..self.timing }
    }
}

impl Timing {
    /// Returns the times of something that starts now and has no stages.
    #[must_use]
    pub fn starting_at(started_at: Timestamp) -> Self {
        Self {
            started_at,
            elapsed: Duration::ZERO,
            download: None,
            wait: None,
            load: None,
            commit: None,
            connection: None,
            objects_in_transaction: None,
        }
    }
}

/// The times of an object or part, from which a timeline can be drawn.
#[derive(Debug, Default, Serialize)]
pub(super) struct TimeFields {
    /// The start of the download, as RFC 3339 in UTC. `null` if the object was not tried.
    pub(super) started_at: Option<String>,
    /// The seconds of the download and of the check of the rows. This and the next three are `null`
    /// for a stage that was not reached, and for an object that was loaded in parts, because each
    /// part has its own.
    pub(super) download_seconds: Option<f64>,
    /// The seconds that the staged rows waited for a connection.
    pub(super) wait_seconds: Option<f64>,
    /// The seconds of the statements before COMMIT, with all retries.
    pub(super) load_seconds: Option<f64>,
    /// The seconds of COMMIT. `null` also if the connection was lost in it.
    pub(super) commit_seconds: Option<f64>,
    /// The number of the connection that loaded it, from 1 to `--load-concurrency`.
    pub(super) connection: Option<u32>,
    /// The number of objects that the same transaction loaded. They have the same times of load and
    /// commit.
    pub(super) objects_in_transaction: Option<u32>,
}

impl TimeFields {
    pub(super) fn new(timing: &Timing) -> Self {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        Self {
            started_at: Some(shown_time(timing.started_at)),
            download_seconds: seconds(timing.download),
            wait_seconds: seconds(timing.wait),
            load_seconds: seconds(timing.load),
            commit_seconds: seconds(timing.commit),
            connection: timing.connection,
            objects_in_transaction: timing.objects_in_transaction,
        }
    }
}

/// Returns a time as reports have it: RFC 3339 in UTC, to the millisecond.
pub(super) fn shown_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_take_together_the_time_up_to_the_last_of_them() {
        let mut watch = Stopwatch::start();
        watch.end(Stage::Download);
        assert_eq!(watch.timing().wait, None);
        for stage in [Stage::Wait, Stage::Load, Stage::Wait, Stage::Load] {
            std::thread::sleep(Duration::from_millis(2));
            watch.end(stage);
        }
        let load = watch.timing().load.unwrap();
        assert!(load >= Duration::from_millis(4), "{load:?}");
        watch.committed(Some(Duration::from_millis(1)));
        let Timing { download, wait, load, commit, .. } = watch.timing();
        let sum = [download, wait, load, commit].into_iter().map(Option::unwrap).sum::<Duration>();
        assert_eq!(sum, watch.lap - watch.began);
        assert!(watch.timing().elapsed >= sum);
    }

    #[test]
    fn a_commit_of_unknown_length_stays_in_the_load() {
        let mut watch = Stopwatch::start();
        watch.end(Stage::Load);
        let load = watch.timing().load;
        watch.committed(None);
        assert_eq!((watch.timing().load, watch.timing().commit), (load, None));
    }

    #[test]
    fn a_time_has_its_milliseconds_also_where_they_are_none() {
        let time = |text: &str| shown_time(text.parse().unwrap());
        assert_eq!(time("2026-01-31T18:00:00Z"), "2026-01-31T18:00:00.000Z");
        assert_eq!(time("2026-01-31T19:00:00.123456+01:00"), "2026-01-31T18:00:00.123Z");
    }
}
