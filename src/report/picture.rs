//! Draws reports as a page of HTML: the verdict, the counts, what failed and why, a timeline of the
//! connections, the throughput and the settings.
//!
//! A picture is made from the lines of a report, one by one, whether they come from a file or from
//! the run itself. The memory that it takes does not grow with their number.

mod chart;
mod density;
mod finding;
mod lines;
mod page;
mod run;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

use std::io::{BufRead, Read as _};

use super::causes::counted;
use crate::error::{Error, ErrorKind, Result};
use lines::{BadLine, ReportLine};
use run::RunPicture;

/// The longest line that is read. A report has no line that is nearly as long.
const LINE_LIMIT_BYTES: u64 = 64 << 20;

/// The runs of one page.
#[derive(Default)]
pub struct Picture {
    runs: Vec<RunPicture>,
    /// The index of the first run of the report that is being read.
    first_of_report: usize,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture of {}", counted(self.runs.len() as u64, "run"))
    }
}

impl Picture {
    /// Adds a line of a report. A summary ends the run to which the lines before it belong. The
    /// lines of several jobs are mixed, and each job is a run of its own.
    fn add(&mut self, text: &str) -> std::result::Result<(), BadLine> {
        let line = ReportLine::parse(text)?;
        if matches!(line, ReportLine::Jobs(_)) {
            return Ok(());
        }
        let mut in_report = self.runs.iter().skip(self.first_of_report);
        let found = in_report.position(|run| run.goes_on_with(line.job_name()));
        let index = found.map_or(self.runs.len(), |found| self.first_of_report + found);
        if found.is_none() {
            self.runs.push(RunPicture::default());
        }
        self.runs[index].add(line, text)
    }

    /// Adds a line that this run itself has written.
    pub(super) fn add_own(&mut self, line: &str) {
        if let Err(error) = self.add(line) {
            tracing::debug!("the page lacks a line: {error}");
        }
    }

    /// Adds the runs in a report of this name, which may hold those of several runs.
    ///
    /// # Errors
    /// `Usage` for a report that cannot be read, is empty, or has a line that is not whole.
    pub fn read(&mut self, name: &str, mut from: impl BufRead) -> Result<()> {
        // Another file is another run, even if the last one did not end.
        self.first_of_report = self.runs.len();
        self.runs.push(RunPicture::default());
        let mut bytes = Vec::new();
        for number in 1_u64.. {
            bytes.clear();
            let refused = |why: String| {
                Error::new(ErrorKind::Usage, format!("{name}, line {number}: {why}"))
                    .with_hint("name files that --report has written; this one may be cut")
            };
            let mut limited = (&mut from).take(LINE_LIMIT_BYTES);
            let read = limited.read_until(b'\n', &mut bytes);
            let length = read.map_err(|error| {
                Error::new(ErrorKind::Usage, format!("{name} cannot be read")).caused_by(error)
            })?;
            if length == 0 {
                break;
            }
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| refused("it is not a line of a report: it is not UTF-8".to_owned()))?;
            if text.trim().is_empty() {
                continue;
            }
            self.add(text.trim_end()).map_err(|error| refused(error.to_string()))?;
        }
        if self.runs.last().is_some_and(RunPicture::is_empty) {
            return Err(Error::new(ErrorKind::Usage, format!("{name} is empty"))
                .with_hint("name files that --report has written"));
        }
        Ok(())
    }

    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        page::page(&self.runs)
    }
}
