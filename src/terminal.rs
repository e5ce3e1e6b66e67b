//! Decides how the program's outputs look: bars and color on a terminal, plain lines elsewhere.

mod bars;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::io::{IsTerminal, Write};

use indicatif::MultiProgress;

use crate::choices::{ProgressMode, SummaryForm};
use crate::printable::{Newlines, escape, escape_json, printable};

/// The target of log events that only programs read. A log as text leaves them out.
pub const FOR_PROGRAMS: &str = "s3_to_mysql::for_programs";
/// The target of log events that only people read. A log in JSON leaves them out.
pub const FOR_PEOPLE: &str = "s3_to_mysql::for_people";

/// Standard error, shared by bars and logs so that neither garbles the other, and the properties of
/// standard output.
#[derive(Clone, Debug)]
pub struct Terminal {
    pub(crate) bars: Option<MultiProgress>,
    is_output_interactive: bool,
    is_error_interactive: bool,
    /// True unless the environment forbids color.
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
        let term = std::env::var_os("TERM");
        let draw = || MultiProgress::with_draw_target(bars::draw_target(term.as_deref()));
        Self {
            bars: has_bars.then(draw),
            is_output_interactive: io::stdout().is_terminal(),
            is_error_interactive,
            may_color: may_color(std::env::var_os("NO_COLOR").as_deref(), term.as_deref()),
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

    /// Returns the paint for standard output.
    #[must_use]
    pub fn output_paint(&self) -> Paint {
        Paint { has_color: self.is_output_interactive && self.may_color }
    }

    /// Returns the style of the summary on standard output.
    #[must_use]
    pub fn summary_style(&self, form: SummaryForm) -> SummaryStyle {
        style(form, self.is_output_interactive, self.output_paint())
    }

    /// Returns the style of a summary that goes to standard error.
    #[must_use]
    pub fn error_summary_style(&self, form: SummaryForm) -> SummaryStyle {
        style(form, self.is_error_interactive, self.error_paint())
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

/// Standard error for logs in JSON.
#[derive(Clone, Debug)]
pub struct JsonTerminal(pub Terminal);

impl Write for JsonTerminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The log writes whole lines.
        self.0.write_all(escape_json(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// An output that people read, in which nothing but line breaks has an effect on a terminal.
#[derive(Debug)]
pub struct PlainOutput<W>(pub W);

impl<W: Write> Write for PlainOutput<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(escape(&text, Newlines::Kept).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
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

fn style(form: SummaryForm, is_interactive: bool, paint: Paint) -> SummaryStyle {
    match form {
        SummaryForm::Auto if is_interactive => SummaryStyle::Table(paint),
        SummaryForm::Auto | SummaryForm::Text => SummaryStyle::Text,
        SummaryForm::Table => SummaryStyle::Table(paint),
        SummaryForm::Json => SummaryStyle::Json,
    }
}

/// The sequences that begin red and bold text, and end both.
const RED: &str = "\u{1b}[31m";
const BOLD: &str = "\u{1b}[1m";
const END: &str = "\u{1b}[0m";

/// A painter that colors text if its output supports color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    has_color: bool,
}

impl Paint {
    /// The painter that leaves text unchanged.
    pub const PLAIN: Self = Self { has_color: false };

    /// Returns true if this painter colors text.
    #[must_use]
    pub fn has_color(self) -> bool {
        self.has_color
    }

    /// Returns the text in red, for failures.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.with(RED, text)
    }

    /// Returns the text in bold.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.with(BOLD, text)
    }

    fn with(self, start: &str, text: &str) -> String {
        if self.has_color { format!("{start}{text}{END}") } else { text.to_owned() }
    }

    /// Returns the lines with all control sequences escaped, except line breaks and, in color, this
    /// painter's own codes.
    #[must_use]
    pub fn shown(self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while self.has_color
            && let Some(at) = rest.find('\u{1b}')
        {
            let (before, escape_sequence) = rest.split_at(at);
            let paint = [RED, BOLD, END].into_iter().find(|it| escape_sequence.starts_with(it));
            shown.push_str(&escape(before, Newlines::Kept));
            let taken = paint.map_or(1, str::len);
            shown.push_str(&paint.map_or_else(|| printable("\u{1b}"), Cow::Borrowed));
            rest = &escape_sequence[taken..];
        }
        shown + &escape(rest, Newlines::Kept)
    }
}

/// Returns false if the user forbids color (see no-color.org), or if the terminal has none.
fn may_color(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_in_no_color_forbids_color_and_an_empty_one_does_not() {
        let may_color = |no_color: Option<&str>, term: Option<&str>| {
            super::may_color(no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(may_color(None, None) && may_color(Some(""), Some("xterm")));
        assert!(!may_color(Some("0"), Some("xterm")) && !may_color(None, Some("dumb")));
    }

    #[test]
    fn only_the_painters_own_colors_reach_an_output() {
        let text = "\u{1b}[31mfailed\u{1b}[0m \u{1b}[2J\u{9b}\n";
        let shown = "\u{1b}[31mfailed\u{1b}[0m \\u{1b}[2J\\u{9b}\n";
        assert_eq!(Paint { has_color: true }.shown(text), shown);
        let shown = "\\u{1b}[31mfailed\\u{1b}[0m \\u{1b}[2J\\u{9b}\n";
        assert_eq!(Paint::PLAIN.shown(text), shown);
    }

    #[test]
    fn only_a_terminal_gets_a_table_unasked_and_only_there_in_color() {
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
