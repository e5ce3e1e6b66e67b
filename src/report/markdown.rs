//! Writes the end of a run as Markdown, for the page that a CI system shows.
//!
//! Keys, messages and names come from outside. In Markdown, a backslash before each punctuation
//! character keeps them text. In HTML, entities do.

use std::fmt::Write as _;

use super::causes::{Causes, ShownCause};
use super::html;
use super::table::SummaryTable;
use crate::error::Error;
use crate::printable::printable;

/// The number of causes on the page, whose size CI systems limit.
const CAUSES_SHOWN: usize = 20;
/// The length at which a line is cut, in characters.
const LINE_CHARACTERS: usize = 500;

/// Everything that a page shows.
pub(super) struct Page<'a> {
    /// The command, `load` or `check`.
    pub(super) command: &'a str,
    pub(super) table_name: &'a str,
    pub(super) sentence: String,
    pub(super) exit_code: u8,
    /// The counts, unless the run did not begin.
    pub(super) counts: Option<SummaryTable>,
    pub(super) causes: &'a Causes,
    pub(super) errors: &'a [Error],
}

impl Page<'_> {
    pub(super) fn text(&self) -> String {
        let mut page = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "### s3\\-to\\-mysql {}: {}\n\n**{}** Exit code {}.\n",
            self.command,
            escaped(self.table_name),
            escaped(&self.sentence),
            self.exit_code
        );
        if let Some(counts) = &self.counts {
            page.push_str("\n| what | count | remark |\n|---|---:|---|\n");
            for (label, figure, remark) in counts.cells() {
                let _ = writeln!(
                    page,
                    "| {} | {} | {} |",
                    escaped(label),
                    escaped(figure),
                    escaped(remark)
                );
            }
        }
        for error in self.errors {
            let causes = error.causes().into_iter().map(|cause| format!("caused by: {cause}"));
            let hint = error.hint().map(|hint| format!("hint: {hint}"));
            let below: Vec<String> = causes.chain(hint).collect();
            details(&mut page, &format!("error: {error}"), &below);
        }
        let causes = self.causes.shown();
        for ShownCause { headline, below, .. } in causes.iter().take(CAUSES_SHOWN) {
            details(&mut page, headline, below);
        }
        if causes.len() > CAUSES_SHOWN {
            let _ = writeln!(page, "\nand {} other causes", causes.len() - CAUSES_SHOWN);
        }
        page.push('\n');
        page
    }
}

/// Adds lines that a reader can unfold below a headline.
fn details(page: &mut String, headline: &str, below: &[String]) {
    let _ = write!(page, "\n<details>\n<summary>{}</summary>\n", html(headline));
    if !below.is_empty() {
        // An empty line would end the block in which Markdown leaves the text alone.
        page.push_str("<pre>");
        for line in below.iter().filter(|line| !line.trim().is_empty()) {
            let _ = writeln!(page, "{}", html(line));
        }
        page.push_str("</pre>\n");
    }
    page.push_str("</details>\n");
}

/// Returns the line so that Markdown shows it as it is.
pub(super) fn escaped(line: &str) -> String {
    let mut text = String::new();
    for character in cut(line).chars() {
        if character.is_ascii_punctuation() {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

/// Returns the line so that HTML shows it as it is.
fn html(line: &str) -> String {
    html::escaped(&cut(line))
}

/// Returns the line without control characters and of bounded length.
fn cut(line: &str) -> String {
    let line = printable(line);
    match line.char_indices().nth(LINE_CHARACTERS) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_stays_text_in_markdown_and_in_html() {
        assert_eq!(
            escaped("a|b `c` <d> &lt; @e [f](g) *h* \n"),
            "a\\|b \\`c\\` \\<d\\> \\&lt\\; \\@e \\[f\\]\\(g\\) \\*h\\* \\\\n"
        );
        assert_eq!(html("\"><script>&'\n"), "&quot;&gt;&lt;script&gt;&amp;&#39;\\n");
    }

    #[test]
    fn a_long_line_is_cut() {
        assert_eq!(cut(&"ä".repeat(501)), "ä".repeat(500) + "...");
        assert_eq!(cut(&"ä".repeat(500)), "ä".repeat(500));
    }

    #[test]
    fn nothing_in_a_block_ends_it() {
        let mut page = String::new();
        details(&mut page, "</summary>", &[String::new(), "</pre></details>".to_owned()]);
        assert_eq!(
            page,
            "\n<details>\n<summary>&lt;/summary&gt;</summary>\n\
             <pre>&lt;/pre&gt;&lt;/details&gt;\n</pre>\n</details>\n"
        );
    }
}
