//! Draws the charts of a run as SVG. Their width is that of the page: a picture is stretched, and
//! texts stand beside it.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "places in a picture need few digits"
)]

use std::fmt::Write as _;

use super::super::html::escaped;
use super::density::Density;
use super::run::{STAGES, WorkSpan};
use super::text::{shown_seconds, span_text};

/// The width of a drawing in its own units, and the number of its columns.
const COLUMNS: usize = 1000;
/// The number of points of a curve.
const POINTS: usize = 200;
/// The height of a lane: downloads and waits are above, loads and commits below.
const LANE_HEIGHT: u32 = 20;
/// The height of a curve.
const CURVE_HEIGHT: f64 = 60.0;
/// The parts of a column above which it is drawn full, medium or faint.
const LEVELS: [(f64, &str); 3] = [(0.6, "full"), (0.2, "medium"), (0.001, "faint")];
/// The most divisions of the axis.
const MOST_TICKS: f64 = 6.0;

/// The time that a chart shows.
#[derive(Clone, Copy)]
pub(super) struct TimeAxis {
    /// The start, in seconds since 1970.
    pub(super) start: f64,
    pub(super) seconds: f64,
}

impl TimeAxis {
    /// Returns the place of a time in the units of a drawing.
    fn x(self, time: f64) -> f64 {
        ((time - self.start) / self.seconds * COLUMNS as f64).clamp(0.0, COLUMNS as f64)
    }

    /// Returns the axis with its ticks.
    pub(super) fn drawn(self) -> String {
        let mut svg = String::from("<svg class=\"axis\" role=\"presentation\">");
        let step = tick_seconds(self.seconds);
        let mut tick = 0.0;
        while tick <= self.seconds {
            let percent = tick / self.seconds * 100.0;
            // A text near the right edge ends there.
            let anchor = match percent {
                ..5.0 => "start",
                88.0.. => "end",
                _ => "middle",
            };
            push(
                &mut svg,
                format_args!(
                    "<line x1=\"{percent:.2}%\" x2=\"{percent:.2}%\" y1=\"0\" y2=\"4\"/>\
                     <text x=\"{percent:.2}%\" y=\"17\" text-anchor=\"{anchor}\">{}</text>",
                    shown_seconds(tick)
                ),
            );
            tick += step;
        }
        svg + "</svg>"
    }
}

/// Returns a round number of seconds between two ticks.
fn tick_seconds(seconds: f64) -> f64 {
    const MINUTES_UP: [f64; 11] =
        [60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 21_600.0, 43_200.0, 86_400.0];
    let least = seconds / MOST_TICKS;
    if least > 30.0 {
        let days = || (least / 86_400.0).ceil() * 86_400.0;
        return MINUTES_UP.into_iter().find(|step| *step >= least).unwrap_or_else(days);
    }
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|step| *step >= least * 0.999).unwrap_or(least);
    // 20 and 50 seconds are no parts of minutes.
    if step >= 20.0 { if step > 30.0 { 60.0 } else { 30.0 } } else { step }
}

/// Draws the lane of a connection, with `spans` to point at.
pub(super) fn lane(stages: &[Density; 4], spans: &[&WorkSpan], axis: TimeAxis) -> String {
    let mut svg = format!(
        "<svg class=\"lane\" viewBox=\"0 0 {COLUMNS} {LANE_HEIGHT}\" preserveAspectRatio=\"none\">"
    );
    for ((density, stage), (y, height)) in
        stages.iter().zip(STAGES).zip([(1, 7), (1, 7), (9, 10), (9, 10)])
    {
        let column_seconds = axis.seconds / COLUMNS as f64;
        let columns = density.columns(axis.start, axis.seconds, COLUMNS);
        let covered: Vec<f64> = columns.iter().map(|amount| amount / column_seconds).collect();
        svg.push_str(&covered_paths(&covered, (y, height), stage));
    }
    for span in spans {
        let begin = axis.x(span.start);
        // Wide enough to be hit.
        let width = (axis.x(span.start + span.seconds()) - begin).max(2.0);
        push(
            &mut svg,
            format_args!(
                "<rect class=\"hit\" x=\"{begin:.1}\" y=\"0\" width=\"{width:.1}\" \
                 height=\"{LANE_HEIGHT}\"><title>{}</title></rect>",
                escaped(&span_text(span))
            ),
        );
    }
    svg + "</svg>"
}

/// Returns a path for each level of covered columns, in which equal neighbors are one rectangle.
fn covered_paths(covered: &[f64], (y, height): (u32, u32), class: &str) -> String {
    let level = |part: f64| LEVELS.iter().position(|(least, _)| part >= *least);
    let mut paths = [const { String::new() }; LEVELS.len()];
    let mut at = 0;
    while at < covered.len() {
        let found = level(covered[at]);
        let width = covered[at..].iter().take_while(|part| level(**part) == found).count();
        if let Some(path) = found.and_then(|index| paths.get_mut(index)) {
            push(path, format_args!("M{at} {y}h{width}v{height}h-{width}z"));
        }
        at += width;
    }
    let mut svg = String::new();
    for (path, (_, name)) in paths.iter().zip(LEVELS).filter(|(path, _)| !path.is_empty()) {
        push(&mut svg, format_args!("<path class=\"{class} {name}\" d=\"{path}\"/>"));
    }
    svg
}

/// Draws a mark at each time at which something is.
pub(super) fn marks(density: &Density, axis: TimeAxis) -> String {
    let columns = density.columns(axis.start, axis.seconds, COLUMNS);
    let mut path = String::new();
    for (at, _) in columns.iter().enumerate().filter(|(_, amount)| **amount > 0.0) {
        let at = at.min(COLUMNS - 3);
        push(&mut path, format_args!("M{at} 1h3v18h-3z"));
    }
    format!(
        "<svg class=\"lane\" viewBox=\"0 0 {COLUMNS} {LANE_HEIGHT}\" preserveAspectRatio=\"none\">\
         <path class=\"failure\" d=\"{path}\"/></svg>"
    )
}

/// Draws stretches of time, each with its start, its seconds and a text to point at.
pub(super) fn stretches(all: &[(f64, f64, String)], axis: TimeAxis) -> String {
    let mut svg = format!(
        "<svg class=\"lane\" viewBox=\"0 0 {COLUMNS} {LANE_HEIGHT}\" preserveAspectRatio=\"none\">"
    );
    for (start, seconds, text) in all {
        let begin = axis.x(*start);
        let width = (axis.x(start + seconds) - begin).max(1.0);
        push(
            &mut svg,
            format_args!(
                "<rect class=\"pause\" x=\"{begin:.1}\" y=\"1\" width=\"{width:.1}\" \
                 height=\"18\"><title>{}</title></rect>",
                escaped(text)
            ),
        );
    }
    svg + "</svg>"
}

/// Draws how much there was in each second. Returns the drawing and the highest rate.
pub(super) fn curve(density: &Density, axis: TimeAxis, class: &str) -> (String, f64) {
    let point_seconds = axis.seconds / POINTS as f64;
    let columns = density.columns(axis.start, axis.seconds, POINTS);
    let rates: Vec<f64> = columns.iter().map(|amount| amount / point_seconds).collect();
    let highest = rates.iter().copied().fold(0.0, f64::max);
    let step = COLUMNS / POINTS;
    let mut path = format!("M0 {CURVE_HEIGHT}");
    for (index, rate) in rates.iter().enumerate() {
        let y = CURVE_HEIGHT - rate / highest.max(f64::MIN_POSITIVE) * (CURVE_HEIGHT - 2.0);
        push(&mut path, format_args!("L{} {y:.1}h{step}", index * step));
    }
    let svg = format!(
        "<svg class=\"curve\" viewBox=\"0 0 {COLUMNS} {CURVE_HEIGHT}\" \
         preserveAspectRatio=\"none\"><path class=\"{class}\" d=\"{path}V{CURVE_HEIGHT}z\"/></svg>"
    );
    (svg, highest)
}

/// Appends to a text, which cannot fail.
fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_of_one_level_are_one_rectangle() {
        let covered = [0.0, 0.9, 0.7, 0.3, 0.0, 0.01];
        assert_eq!(
            covered_paths(&covered, (1, 7), "load"),
            "<path class=\"load full\" d=\"M1 1h2v7h-2z\"/>\
             <path class=\"load medium\" d=\"M3 1h1v7h-1z\"/>\
             <path class=\"load faint\" d=\"M5 1h1v7h-1z\"/>"
        );
    }

    #[test]
    fn a_lane_has_each_stage_where_its_time_was() {
        let mut stages: [Density; 4] = std::array::from_fn(|_| Density::default());
        stages[0].add(100.0, 1.0, 1.0);
        stages[2].add(102.0, 2.0, 2.0);
        let svg = lane(&stages, &[], TimeAxis { start: 100.0, seconds: 10.0 });
        assert!(svg.contains("<path class=\"download full\" d=\"M0 1h100v7h-100z\"/>"), "{svg}");
        assert!(svg.contains("<path class=\"load full\" d=\"M200 9h200v10h-200z\"/>"), "{svg}");
        assert!(!svg.contains("wait") && !svg.contains("commit"), "{svg}");
    }

    #[test]
    fn a_curve_has_its_highest_rate_at_the_top() {
        let mut density = Density::default();
        density.add(100.0, 5.0, 50.0);
        density.add(105.0, 5.0, 25.0);
        let axis = TimeAxis { start: 100.0, seconds: 10.0 };
        let (svg, highest) = curve(&density, axis, "rows");
        assert!((highest - 10.0).abs() < 0.1, "{highest}");
        assert!(svg.contains("L250 2.0h5"), "{svg}");
        assert!(svg.contains("L750 31.0h5"), "{svg}");
    }

    #[test]
    fn ticks_are_at_round_times() {
        for (seconds, expected) in [
            (0.05, 0.01),
            (1.0, 0.2),
            (10.0, 2.0),
            (21.4, 5.0),
            (90.0, 30.0),
            (200.0, 60.0),
            (3600.0, 600.0),
            (86_400.0, 14_400.0),
            (864_000.0, 172_800.0),
        ] {
            let found = tick_seconds(seconds);
            assert!((found - expected).abs() < expected * 1e-6, "{seconds}: {found}");
        }
    }
}
