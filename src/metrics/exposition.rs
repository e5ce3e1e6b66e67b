//! Writes the metrics in the text format of Prometheus.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::options::Label;

const PREFIX: &str = "s3_to_mysql";
const LAST_SUCCESS: &str = "last_success_timestamp_seconds";
const LAST_END: &str = "last_run_end_timestamp_seconds";
const EXIT_CODE: &str = "exit_code";

type Seconds = Gauge<f64, AtomicU64>;
type Count = Gauge<u64, AtomicU64>;
type Counts = Family<Vec<(String, String)>, Count>;

/// The facts that the metrics tell about the last run, which may still be going on.
#[derive(Clone, Debug)]
pub struct RunMetrics {
    /// The table, as `database.table`.
    pub target: String,
    pub started_at: Timestamp,
    /// The duration, so far if the run is going on.
    pub elapsed: Duration,
    pub is_running: bool,
    /// The end of the last run that has ended, as far as it is known.
    pub ended: EndMetrics,
    pub objects_listed: u64,
    pub objects: ObjectCounts,
    pub rows_loaded: u64,
    pub rows_rejected: u64,
    pub rows_skipped: u64,
    pub rows_deleted: u64,
    pub bytes: u64,
    /// True if every object was listed, so that what is left is known.
    pub is_listing_complete: bool,
    /// The time of the last modification of any listed object.
    pub newest_object: Option<Timestamp>,
    /// The seconds of its pauses by their reason.
    pub paused_seconds: Vec<(&'static str, f64)>,
}

/// The facts that are known only when a run has ended. A run that is going on leaves those of the
/// run before in the metrics, so that alerts stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EndMetrics {
    /// The end of the last run that ended well, in seconds since 1970.
    pub last_success_seconds: Option<f64>,
    /// The end of the last run.
    pub end_seconds: Option<f64>,
    pub exit_code: Option<u8>,
}

/// The number of objects by their outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObjectCounts {
    pub loaded: u64,
    pub already_loaded: u64,
    pub skipped_changed: u64,
    pub acknowledged: u64,
    pub failed: u64,
    /// The number of them that no earlier run failed to load.
    pub failed_new: u64,
    pub not_reached: u64,
}

impl RunMetrics {
    /// Returns the metrics as text.
    ///
    /// # Errors
    /// The error of writing to a text, which does not occur.
    pub fn text(&self, labels: &[Label]) -> Result<String, std::fmt::Error> {
        let target = [("target".into(), self.target.clone().into())];
        let labels =
            labels.iter().map(|label| (label.name.clone().into(), label.value.clone().into()));
        let mut registry =
            Registry::with_prefix_and_labels(PREFIX, target.into_iter().chain(labels));
        let objects = &self.objects;
        let started = unix_seconds(self.started_at);

        seconds(
            &mut registry,
            "last_run_start_timestamp_seconds",
            "Start of the last run",
            started,
        );
        count(&mut registry, "running", "1 while the run goes on", self.is_running.into());
        if let Some(time) = self.ended.end_seconds {
            seconds(&mut registry, LAST_END, "End of the last run that has ended", time);
        }
        if let Some(time) = self.ended.last_success_seconds {
            let help = "End of the last run that left every object in the table";
            seconds(&mut registry, LAST_SUCCESS, help, time);
        }
        let help = "Duration of the last run";
        seconds(&mut registry, "duration_seconds", help, self.elapsed.as_secs_f64());
        if let Some(code) = self.ended.exit_code {
            let help = "Exit code of the last run that has ended";
            count(&mut registry, EXIT_CODE, help, code.into());
        }
        let help = "Objects that the last run has listed";
        count(&mut registry, "listed_objects", help, self.objects_listed);
        counts(
            &mut registry,
            "objects",
            "Objects of the last run by their outcome",
            "status",
            [
                ("loaded", objects.loaded),
                ("already_loaded", objects.already_loaded),
                ("skipped_changed", objects.skipped_changed),
                ("acknowledged", objects.acknowledged),
                ("failed", objects.failed),
                ("not_reached", objects.not_reached),
            ],
        );
        let help = "Failed objects of the last run whose content no earlier run failed to load";
        count(&mut registry, "new_failed_objects", help, objects.failed_new);
        counts(
            &mut registry,
            "rows",
            "Rows of the last run by their outcome",
            "outcome",
            [
                ("loaded", self.rows_loaded),
                ("rejected", self.rows_rejected),
                ("skipped", self.rows_skipped),
                ("deleted", self.rows_deleted),
            ],
        );
        count(&mut registry, "bytes", "Bytes of the objects that the last run loaded", self.bytes);
        if self.is_listing_complete {
            let help = "Objects that the last run found and left out of the table";
            count(&mut registry, "backlog_objects", help, objects.failed + objects.not_reached);
        }
        if let Some(time) = self.newest_object {
            let help = "Last modification of the newest object that the last run found";
            let name = "newest_object_timestamp_seconds";
            seconds(&mut registry, name, help, unix_seconds(time));
        }
        let paused = Family::<Vec<(String, String)>, Seconds>::default();
        for (reason, time) in &self.paused_seconds {
            paused.get_or_create(&vec![("reason".to_owned(), (*reason).to_owned())]).set(*time);
        }
        let help = "Seconds in which the last run began no load, by the reason";
        registry.register("paused_seconds", help, paused);
        let version = [(env!("CARGO_PKG_VERSION"), 1)];
        let help = "Version of the program, with the value 1";
        counts(&mut registry, "build_info", help, "version", version);

        let mut text = String::new();
        encode_registry(&mut text, &registry)?;
        Ok(text)
    }
}

fn seconds(registry: &mut Registry, name: &str, help: &str, seconds: f64) {
    let gauge = Seconds::default();
    gauge.set(seconds);
    registry.register(name, help, gauge);
}

fn count(registry: &mut Registry, name: &str, help: &str, count: u64) {
    let gauge = Count::default();
    gauge.set(count);
    registry.register(name, help, gauge);
}

fn counts<const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &str,
    all: [(&str, u64); N],
) {
    let family = Counts::default();
    for (value, count) in all {
        family.get_or_create(&vec![(label.to_owned(), value.to_owned())]).set(count);
    }
    registry.register(name, help, family);
}

fn unix_seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

/// Returns what the metrics of an earlier run into the same table tell about its end.
#[must_use]
pub fn earlier_end(text: &str, target: &str) -> EndMetrics {
    EndMetrics {
        last_success_seconds: seconds_in(text, LAST_SUCCESS, target),
        end_seconds: seconds_in(text, LAST_END, target),
        exit_code: last_value(text, EXIT_CODE, target).and_then(|code| code.parse().ok()),
    }
}

fn seconds_in(text: &str, name: &str, target: &str) -> Option<f64> {
    let seconds: f64 = last_value(text, name, target)?.parse().ok()?;
    seconds.is_finite().then_some(seconds)
}

/// Returns the value of the last series with this name and target.
fn last_value<'a>(text: &'a str, name: &str, target: &str) -> Option<&'a str> {
    let target = target.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let start = format!("{PREFIX}_{name}{{target=\"{target}\"");
    let line = text.lines().rfind(|line| line.starts_with(&start))?;
    // The value of another label may hold anything, but the number comes last.
    line.rsplit(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> RunMetrics {
        RunMetrics {
            target: "shop.`a\"b`".to_owned(),
            started_at: "2026-01-31T18:00:00Z".parse().unwrap(),
            elapsed: Duration::from_millis(1500),
            is_running: false,
            ended: EndMetrics {
                last_success_seconds: Some(1_769_882_401.5),
                end_seconds: Some(1_769_882_402.5),
                exit_code: Some(3),
            },
            objects_listed: 6,
            objects: ObjectCounts {
                loaded: 4,
                failed: 2,
                failed_new: 1,
                ..ObjectCounts::default()
            },
            rows_loaded: 1000,
            rows_rejected: 2,
            rows_skipped: 0,
            rows_deleted: 0,
            bytes: 123_456,
            is_listing_complete: true,
            newest_object: Some("2026-01-31T17:00:00Z".parse().unwrap()),
            paused_seconds: vec![("threads_running", 1.5), ("replica_lag", 0.0)],
        }
    }

    #[test]
    fn the_names_of_the_metrics_stay_as_they_are() {
        let label = Label { name: "env".to_owned(), value: "a\\b".to_owned() };
        let text = metrics().text(&[label]).unwrap();
        // The library keeps the series of a family in no order.
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let shown = lines.join("\n").replace(env!("CARGO_PKG_VERSION"), "[version]");
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let unknown = RunMetrics {
            ended: EndMetrics::default(),
            is_running: true,
            is_listing_complete: false,
            newest_object: None,
            ..metrics()
        };
        let text = unknown.text(&[]).unwrap();
        for name in ["last_success", "backlog", "newest", "exit_code", "run_end"] {
            assert!(!text.contains(name), "{text}");
        }
        assert_eq!(earlier_end(&text, &unknown.target), EndMetrics::default());
    }

    #[test]
    fn the_end_of_an_earlier_run_is_read_back() {
        let label = Label { name: "env".to_owned(), value: "b} c".to_owned() };
        let text = metrics().text(&[label]).unwrap();
        assert_eq!(earlier_end(&text, &metrics().target), metrics().ended);
        assert_eq!(earlier_end(&text, "shop.other"), EndMetrics::default());
        let last_success = |text: &str, target: &str| seconds_in(text, LAST_SUCCESS, target);
        let line = |value: &str| {
            format!(
                "s3_to_mysql_last_success_timestamp_seconds{{target=\"t\",x=\"a b\"}} {value}\n"
            )
        };
        assert_eq!(last_success(&line("1.5e9"), "t"), Some(1.5e9));
        assert_eq!(last_success(&line("NaN"), "t"), None);
    }
}
