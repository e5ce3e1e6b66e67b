//! Writes failures as the commands with which GitHub Actions shows annotations.

use super::causes::{Causes, ShownCause};
use crate::error::Error;
use crate::printable::printable;

/// The number of annotations. GitHub shows ten of a step, and the summary has the others.
const SHOWN: usize = 5;

/// Returns a line for each of the first errors and causes of failures.
pub(super) fn text(table_name: &str, errors: &[Error], causes: &Causes) -> String {
    let title = format!("s3-to-mysql: {table_name}");
    let errors = errors.iter().map(|error| {
        let hint = error.hint().map(|hint| format!("\nhint: {hint}"));
        error.one_line() + &hint.unwrap_or_default()
    });
    let causes = causes.shown().into_iter().filter(|cause| cause.is_failure);
    let causes = causes.map(|ShownCause { headline, below, .. }| {
        below.iter().fold(headline, |text, line| text + "\n" + line)
    });
    let all = errors.chain(causes).take(SHOWN);
    all.map(|message| command(&title, &message)).collect()
}

fn command(title: &str, message: &str) -> String {
    // Line breaks are ours, and everything else is not to control anything.
    let message: Vec<_> = message.lines().map(printable).collect();
    format!("::error title={}::{}\n", property(&printable(title)), data(&message.join("\n")))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_its_command() {
        assert_eq!(
            command("s3-to-mysql: a,b", "100%: x\n::error::y\r\n\tz"),
            "::error title=s3-to-mysql%3A a%2Cb::100%25: x%0A::error::y%0A\\tz\n"
        );
    }
}
