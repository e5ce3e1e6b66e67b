//! The texts of a picture.

use std::fmt::Write as _;

use indicatif::{HumanBytes, HumanCount};

use super::run::{STAGES, WorkSpan};

/// Returns `12 ms`, `1.5 s`, `2 min 5 s` or `3 h 2 min`. What is 0 is left out.
pub(super) fn shown_seconds(seconds: f64) -> String {
    if seconds < 1e-4 {
        return "0 s".to_owned();
    }
    if seconds < 0.9995 {
        return format!("{} ms", digits(seconds * 1000.0));
    }
    if seconds < 59.95 {
        return format!("{} s", digits(seconds));
    }
    let parts = |whole: f64, unit: &str, rest: f64, small: &str| {
        if rest < 0.5 {
            format!("{whole:.0} {unit}")
        } else {
            format!("{whole:.0} {unit} {rest:.0} {small}")
        }
    };
    let rounded = seconds.round();
    if rounded < 3600.0 {
        parts((rounded / 60.0).floor(), "min", rounded % 60.0, "s")
    } else {
        let minutes = (seconds / 60.0).round();
        parts((minutes / 60.0).floor(), "h", minutes % 60.0, "min")
    }
}

/// Returns the number with about two digits, without zeros behind the point.
fn digits(number: f64) -> String {
    if number >= 9.95 {
        return format!("{number:.0}");
    }
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Returns a rate for people, such as `1.25 MiB/s`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people needs only three digits"
)]
pub(super) fn byte_rate(rate: f64) -> String {
    format!("{}/s", HumanBytes(rate as u64))
}

/// Returns a rate for people, such as `1,250 rows/s`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people needs only three digits"
)]
pub(super) fn row_rate(rate: f64) -> String {
    format!("{} rows/s", HumanCount(rate as u64))
}

/// Returns what is shown about an object or part that is pointed at.
pub(super) fn span_text(span: &WorkSpan) -> String {
    // Writing to a String cannot fail.
    let mut text = format!("{}: {}", span.name, span.status.replace('_', " "));
    if let Some(rows) = span.rows {
        let _ = write!(text, ", {} rows", HumanCount(rows));
    }
    if let Some(bytes) = span.bytes {
        let _ = write!(text, ", {}", HumanBytes(bytes));
    }
    for (stage, seconds) in STAGES.iter().zip(span.stages).filter(|(_, seconds)| *seconds > 0.0) {
        let _ = write!(text, ", {stage} {}", shown_seconds(seconds));
    }
    if span.objects > 1 {
        let _ = write!(text, " (with {} objects in one transaction)", span.objects);
    }
    if span.attempts > 1 {
        let _ = write!(text, ", {} attempts", span.attempts);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_digits_and_fitting_units() {
        for (seconds, expected) in [
            (0.0, "0 s"),
            (0.0021, "2.1 ms"),
            (0.05, "50 ms"),
            (0.9996, "1 s"),
            (1.54, "1.5 s"),
            (21.4, "21 s"),
            (59.96, "1 min"),
            (125.0, "2 min 5 s"),
            (3599.7, "1 h"),
            (10_920.0, "3 h 2 min"),
        ] {
            assert_eq!(shown_seconds(seconds), expected, "{seconds}");
        }
    }
}
