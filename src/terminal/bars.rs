//! The terminal that the bars are drawn on.

use std::ffi::OsStr;
use std::io;

use console::Term;
use indicatif::{ProgressDrawTarget, TermLike};

/// The number of times in a second that the bars are drawn at most.
const DRAWN_PER_SECOND: u8 = 8;

/// Returns the target for bars on standard error. Nothing is drawn if that is not a terminal.
pub(super) fn draw_target(term: Option<&OsStr>) -> ProgressDrawTarget {
    let stderr = Term::buffered_stderr();
    if !stderr.is_term() || term.is_none_or(|term| term == "dumb") {
        return ProgressDrawTarget::hidden();
    }
    ProgressDrawTarget::term_like_with_hz(Box::new(BarTerminal(stderr)), DRAWN_PER_SECOND)
}

/// A terminal whose cursor stands at the start of the last bar after each drawing.
///
/// indicatif pads the last line, and leaves the cursor behind its end. There the terminal's echo of
/// Ctrl-C would go to a new line, and the bars that are cleared next would begin one line too low:
/// the first one would stay on the screen. At the start of the line, the echo overwrites two
/// characters of a bar, which is drawn again.
#[derive(Debug)]
struct BarTerminal<T>(T);

impl<T: TermLike> TermLike for BarTerminal<T> {
    fn width(&self) -> u16 {
        self.0.width()
    }

    fn height(&self) -> u16 {
        self.0.height()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.write_str("\r")?;
        self.0.flush()
    }
}
