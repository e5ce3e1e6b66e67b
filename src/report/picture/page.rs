//! Writes the page: one file without scripts, which loads nothing.
//!
//! Everything in it that comes from a report goes through [`escaped`]. The content security policy
//! forbids the rest of what a browser could do.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indicatif::{HumanBytes, HumanCount};
use sha2::{Digest as _, Sha256};

use super::super::causes::ShownCause;
use super::super::html::escaped;
use super::chart::{TimeAxis, curve, lane, marks, stretches};
use super::lines::{RunCounts, SummaryLine, duration_seconds, unix_seconds};
use super::run::{RunPicture, STAGES, WorkSpan};
use super::text::{byte_rate, row_rate, shown_seconds};
use super::verdict::{Tone, counts, verdict};
use crate::exit_code;

const STYLE: &str = include_str!("page.css");
/// The number of objects in the table of those that took the longest.
const SLOWEST: usize = 15;
/// The number of causes whose objects are shown unfolded.
const OPEN_CAUSES: usize = 10;
/// The number of pauses in their table.
const PAUSES: usize = 50;

/// Returns the page of these runs.
pub(super) fn page(runs: &[RunPicture]) -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let tables: Vec<&str> = runs.iter().map(table_of).collect();
    let title = match tables.as_slice() {
        [one] => format!("s3-to-mysql: {one}"),
        all => format!("s3-to-mysql: {} runs", all.len()),
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; \
         form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        escaped(&title)
    );
    if runs.len() > 1 {
        push(&mut page, format_args!("<h1>{}</h1>\n", escaped(&title)));
        index(&mut page, runs);
    }
    for (number, run) in runs.iter().enumerate() {
        push(&mut page, format_args!("<section id=\"run{}\">\n", number + 1));
        section(&mut page, run);
        page.push_str("</section>\n");
    }
    page + "</body>\n</html>\n"
}

fn table_of(run: &RunPicture) -> &str {
    run.end.as_ref().map_or("a run that did not end", |(end, _)| end.table.as_str())
}

/// Lists the runs with links to them.
fn index(page: &mut String, runs: &[RunPicture]) {
    page.push_str(
        "<div class=\"scroll\"><table>\n<tr><th>table</th><th>start</th><th>end</th></tr>\n",
    );
    for (number, run) in runs.iter().enumerate() {
        let (sentence, tone) = verdict(run);
        let start = run.end.as_ref().map_or("", |(end, _)| end.started_at.as_str());
        push(
            page,
            format_args!(
                "<tr><td><a href=\"#run{}\">{}</a></td><td>{}</td><td class=\"{}\">{}</td></tr>\n",
                number + 1,
                escaped(table_of(run)),
                escaped(start),
                tone.class(),
                escaped(&sentence)
            ),
        );
    }
    page.push_str("</table></div>\n");
}

fn section(page: &mut String, run: &RunPicture) {
    let (start, seconds) = run.time();
    let axis = TimeAxis { start, seconds };
    let (sentence, tone) = verdict(run);
    push(page, format_args!("<h1>{}</h1>\n", escaped(table_of(run))));
    push(page, format_args!("<p class=\"verdict {}\">{}</p>\n", tone.class(), escaped(&sentence)));
    match &run.end {
        Some((end, _)) => facts(page, end),
        None => page.push_str(
            "<p class=\"bad\">The report has no summary: the run was killed, or is still going \
             on.</p>\n",
        ),
    }
    if let Some(error) = run.end.as_ref().and_then(|(end, _)| end.error.as_ref()) {
        let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        push(page, format_args!("<pre>{}</pre>\n", lines(&(error.message.clone() + &hint))));
    }
    table_of_counts(page, run);
    failures(page, run);
    timeline(page, run, axis);
    throughput(page, run, axis);
    if let Some((end, _)) = &run.end {
        pauses(page, end, axis);
    }
    slowest(page, run);
    if let Some((end, _)) = &run.end {
        settings(page, end);
    }
}

/// Says what was run, where and when.
fn facts(page: &mut String, end: &SummaryLine) {
    let code = end.exit_code;
    let meaning = exit_code::MEANINGS.iter().find(|(known, _)| *known == code);
    let meaning = meaning.map(|(_, meaning)| format!(": {meaning}")).unwrap_or_default();
    let server = match (&end.server, &end.server_version) {
        (Some(server), Some(version)) => format!("{server} {version}, "),
        _ => String::new(),
    };
    let mut sources = end.sources.join(" ");
    if let Some(file) = &end.keys_from {
        let _ = write!(sources, " keys from {file}");
    }
    for line in [
        format!("Exit code {code}{meaning}."),
        format!("{} to {} ({})", end.started_at, end.ended_at, shown_seconds(end.seconds)),
        format!("From {}", sources.trim()),
        format!("{server}s3-to-mysql {}, run {}", end.version, end.run_id),
    ] {
        push(page, format_args!("<p class=\"dim\">{}</p>\n", escaped(&line)));
    }
}

fn table_of_counts(page: &mut String, run: &RunPicture) {
    page.push_str("<h2>Counts</h2>\n<div class=\"scroll\"><table>\n");
    for (label, figure, remark) in counts(run) {
        push(
            page,
            format_args!(
                "<tr><th>{}</th><td class=\"number\">{}</td><td>{}</td></tr>\n",
                escaped(&label),
                escaped(&figure),
                escaped(&remark)
            ),
        );
    }
    page.push_str("</table></div>\n");
}

fn failures(page: &mut String, run: &RunPicture) {
    let causes = run.causes.shown();
    if causes.is_empty() {
        return;
    }
    page.push_str("<h2>What is wrong, by cause</h2>\n");
    for (index, ShownCause { headline, below, is_failure }) in causes.iter().enumerate() {
        let open = if index < OPEN_CAUSES { " open" } else { "" };
        let class = if *is_failure { "bad" } else { "warn" };
        push(
            page,
            format_args!(
                "<details{open}><summary class=\"{class}\">{}</summary>",
                escaped(headline)
            ),
        );
        if !below.is_empty() {
            push(page, format_args!("<pre>{}</pre>", lines(&below.join("\n"))));
        }
        page.push_str("</details>\n");
    }
    let others = run.causes.not_kept();
    if others > 0 {
        push(page, format_args!("<p>And {} objects with other causes.</p>\n", HumanCount(others)));
    }
}

fn timeline(page: &mut String, run: &RunPicture, axis: TimeAxis) {
    if run.lanes.is_empty() {
        return;
    }
    page.push_str("<h2>Timeline by connection</h2>\n<p class=\"legend\">");
    for (stage, seconds) in STAGES.iter().zip(run.stage_seconds) {
        push(
            page,
            format_args!(
                "<span><svg viewBox=\"0 0 1 1\"><rect class=\"{stage}\" width=\"1\" \
                 height=\"1\"/></svg>{stage}, {} in all</span> ",
                shown_seconds(seconds)
            ),
        );
    }
    page.push_str(
        "</p>\n<p class=\"dim\">In each lane, downloads and waits are above, loads and commits \
         below. Paler stretches were not busy all the time. Point at a stretch to see its \
         object.</p>\n<div class=\"chart\">\n",
    );
    let longest = run.longest();
    for (&connection, stages) in &run.lanes {
        let name = match connection {
            0 => "not loaded".to_owned(),
            number => number.to_string(),
        };
        let spans: Vec<&WorkSpan> =
            longest.iter().filter(|span| span.connection == connection).collect();
        push(page, format_args!("<span>{name}</span>{}\n", lane(stages, &spans, axis)));
    }
    if !run.failures.is_empty() {
        push(page, format_args!("<span>failures</span>{}\n", marks(&run.failures, axis)));
    }
    push(page, format_args!("<span></span>{}\n</div>\n", axis.drawn()));
    if !run.other_lanes.is_empty() {
        let count = run.other_lanes.len();
        push(page, format_args!("<p>{count} more connections are not drawn.</p>\n"));
    }
}

fn throughput(page: &mut String, run: &RunPicture, axis: TimeAxis) {
    if run.bytes.is_empty() {
        return;
    }
    let (bytes, most_bytes) = curve(&run.bytes, axis, "bytes");
    let (rows, most_rows) = curve(&run.rows, axis, "rows");
    let noun = match run.end {
        Some((_, RunCounts::Check(_))) => "checked",
        _ => "loaded",
    };
    push(
        page,
        format_args!(
            "<h2>Throughput</h2>\n<p class=\"dim\">What was {noun} over time, at most {} and \
             {}.</p>\n<div class=\"chart\">\n<span>bytes</span>{bytes}\n<span>rows</span>{rows}\n\
             <span></span>{}\n</div>\n",
            byte_rate(most_bytes),
            row_rate(most_rows),
            axis.drawn()
        ),
    );
}

fn pauses(page: &mut String, end: &SummaryLine, axis: TimeAxis) {
    if end.pauses.is_empty() {
        return;
    }
    let sums: Vec<String> = end
        .paused_seconds
        .iter()
        .map(|(reason, seconds)| {
            format!("{} {}", reason.replace('_', " "), shown_seconds(*seconds))
        })
        .collect();
    let drawn: Vec<(f64, f64, String)> = end
        .pauses
        .iter()
        .filter_map(|pause| {
            let seconds = duration_seconds(Some(pause.seconds)).ok()?;
            let text = format!("{}: {}", shown_seconds(seconds), pause.message);
            Some((unix_seconds(&pause.started_at).ok()?, seconds, text))
        })
        .collect();
    push(
        page,
        format_args!(
            "<h2>Pauses</h2>\n<p class=\"dim\">No load began in these times. In all: {}.</p>\n\
             <div class=\"chart\">\n<span>paused</span>{}\n<span></span>{}\n</div>\n\
             <div class=\"scroll\"><table>\n<tr><th>start</th><th class=\"number\">time</th>\
             <th>reason</th></tr>\n",
            escaped(&sums.join(", ")),
            stretches(&drawn, axis),
            axis.drawn()
        ),
    );
    for pause in end.pauses.iter().take(PAUSES) {
        push(
            page,
            format_args!(
                "<tr><td>{}</td><td class=\"number\">{}</td><td>{}</td></tr>\n",
                escaped(&pause.started_at),
                shown_seconds(pause.seconds),
                escaped(&pause.message)
            ),
        );
    }
    page.push_str("</table></div>\n");
    if end.pauses.len() > PAUSES {
        push(page, format_args!("<p>And {} more.</p>\n", end.pauses.len() - PAUSES));
    }
}

fn slowest(page: &mut String, run: &RunPicture) {
    let longest = run.longest();
    if longest.is_empty() {
        return;
    }
    page.push_str(
        "<h2>What took the longest</h2>\n<div class=\"scroll\"><table>\n<tr><th>object</th>\
         <th>outcome</th><th class=\"number\">rows</th><th class=\"number\">size</th>\
         <th class=\"number\">time</th>",
    );
    for stage in STAGES {
        push(page, format_args!("<th class=\"number\">{stage}</th>"));
    }
    page.push_str("</tr>\n");
    for span in longest.iter().take(SLOWEST) {
        let rows = span.rows.map(|rows| HumanCount(rows).to_string()).unwrap_or_default();
        let size = span.bytes.map(|bytes| HumanBytes(bytes).to_string()).unwrap_or_default();
        push(
            page,
            format_args!(
                "<tr><td class=\"name\">{}</td><td>{}</td>",
                escaped(&span.name),
                escaped(&span.status.replace('_', " "))
            ),
        );
        let times = std::iter::once(span.seconds()).chain(span.stages).map(shown_seconds);
        for cell in [rows, size].into_iter().chain(times) {
            push(page, format_args!("<td class=\"number\">{cell}</td>"));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}

fn settings(page: &mut String, end: &SummaryLine) {
    if end.settings.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Settings that were given</h2>\n<div class=\"scroll\"><table>\n\
         <tr><th>setting</th><th>value</th><th>from</th></tr>\n",
    );
    for (name, setting) in &end.settings {
        push(
            page,
            format_args!(
                "<tr><th>{}</th><td class=\"name\"><code>{}</code></td><td>{}</td></tr>\n",
                escaped(name),
                escaped(&setting.value),
                escaped(&setting.from)
            ),
        );
    }
    page.push_str("</table></div>\n<p class=\"dim\">Secrets are left out.</p>\n");
}

/// Returns the lines so that HTML shows them as they are.
fn lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

/// Appends to a text, which cannot fail.
fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(more);
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Mixed => "warn",
            Self::Bad => "bad",
        }
    }
}
