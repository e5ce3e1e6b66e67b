//! The program's outputs: bars and colour on a terminal, plain lines elsewhere.

use std::ffi::OsStr;
use std::io;
use std::io::{IsTerminal, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::choices::{ProgressMode, SummaryForm};

/// Standard error, shared by bars and logs so that neither garbles the other, and the properties of
/// standard output.
#[derive(Clone, Debug)]
pub struct Terminal {
    pub(crate) bars: Option<MultiProgress>,
    is_output_interactive: bool,
    is_error_interactive: bool,
    /// True unless the environment forbids colour.
    may_color: bool,
}

impl Terminal {
    /// Examines the outputs of this process. Bars are shown if the user asked for them or, by
    /// default, if standard error is a terminal.
    #[must_use]
    pub fn new(mode: ProgressMode) -> Self {
        let is_error_interactive = io::stderr().is_terminal();
        let has_bars = match mode {
            ProgressMode::Auto => is_error_interactive,
            ProgressMode::Bars => true,
            ProgressMode::Log | ProgressMode::Off => false,
        };
        let draw = || MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        Self {
            bars: has_bars.then(draw),
            is_output_interactive: io::stdout().is_terminal(),
            is_error_interactive,
            may_color: may_color(
                std::env::var_os("NO_COLOR").as_deref(),
                std::env::var_os("TERM").as_deref(),
            ),
        }
    }

    /// Returns true if standard error is a terminal, so that a person reads the logs.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        self.is_error_interactive
    }

    /// Returns the paint for standard error.
    #[must_use]
    pub fn error_paint(&self) -> Paint {
        Paint { has_color: self.is_error_interactive && self.may_color }
    }

    /// Returns the style of the summary on standard output.
    #[must_use]
    pub fn summary_style(&self, form: SummaryForm) -> SummaryStyle {
        match form {
            SummaryForm::Auto if self.is_output_interactive => self.table(),
            SummaryForm::Auto | SummaryForm::Text => SummaryStyle::Text,
            SummaryForm::Table => self.table(),
            SummaryForm::Json => SummaryStyle::Json,
        }
    }

    fn table(&self) -> SummaryStyle {
        SummaryStyle::Table(Paint { has_color: self.is_output_interactive && self.may_color })
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.bars {
            Some(bars) => bars.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The style of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryStyle {
    /// `key value` lines.
    Text,
    /// A sentence and a table.
    Table(Paint),
    /// The last line of the report.
    Json,
}

/// A painter that colours text if its output supports colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    has_color: bool,
}

impl Paint {
    /// The painter that leaves text unchanged.
    pub const PLAIN: Self = Self { has_color: false };

    /// Returns true if this painter colours text.
    #[must_use]
    pub fn has_color(self) -> bool {
        self.has_color
    }

    /// Returns the text in red, for failures.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    /// Returns the text in bold.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.has_color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Returns false if the user forbids colour (see no-color.org), or if the terminal has none.
fn may_color(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_in_no_color_forbids_colour_and_an_empty_one_does_not() {
        let may_color = |no_color: Option<&str>, term: Option<&str>| {
            super::may_color(no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(may_color(None, None) && may_color(Some(""), Some("xterm")));
        assert!(!may_color(Some("0"), Some("xterm")) && !may_color(None, Some("dumb")));
    }

    #[test]
    fn only_a_terminal_gets_a_table_unasked_and_only_there_in_colour() {
        let terminal = |is_output_interactive, may_color| Terminal {
            bars: None,
            is_output_interactive,
            is_error_interactive: true,
            may_color,
        };
        let table = |has_color| SummaryStyle::Table(Paint { has_color });
        assert_eq!(terminal(true, true).summary_style(SummaryForm::Auto), table(true));
        assert_eq!(terminal(true, false).summary_style(SummaryForm::Auto), table(false));
        assert_eq!(terminal(false, true).summary_style(SummaryForm::Auto), SummaryStyle::Text);
        assert_eq!(terminal(false, true).summary_style(SummaryForm::Table), table(false));
        assert_eq!(terminal(true, true).summary_style(SummaryForm::Text), SummaryStyle::Text);
        assert_eq!(terminal(true, true).summary_style(SummaryForm::Json), SummaryStyle::Json);
    }
}
