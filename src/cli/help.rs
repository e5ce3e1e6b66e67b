//! Writes the help texts about settings and exit codes.

use std::fmt::Write as _;

use crate::exit_code;

pub(super) fn after_long_help() -> String {
    format!("{}\n{}", settings_help(), exit_code::help())
}

fn settings_help() -> &'static str {
    "Settings:\n  \
     Every setting of load, plan and check can also be an environment variable,\n  \
     S3_TO_MYSQL_ and its name in capitals with _ for -, or a key in a\n  \
     configuration file; see config.example.toml. A flag overrides a variable, and\n  \
     a variable overrides the file. DATABASE_URL and MYSQL_PWD are used if nothing\n  \
     else sets these values. In a variable, each line is an item of a list. Every\n  \
     switch has an opposite, such as --no-path-style.\n"
}

pub(super) fn check_help() -> String {
    let mut text = format!(
        "{}
Exit codes:",
        settings_help()
    );
    for &(code, meaning) in exit_code::MEANINGS {
        let meaning = match code {
            exit_code::ALL_LOADED => "nothing would go wrong, as far as a check can see",
            exit_code::OBJECTS_FAILED => "some objects would fail",
            exit_code::ROWS_REJECTED => "every object would load, but some rows would be rejected",
            _ => meaning,
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {code:>3}  {meaning}");
    }
    text
}

/// Returns the help text about settings and exit codes for commands that load nothing.
pub(super) fn ledger_help(success: &str) -> String {
    let codes = [exit_code::BUG, exit_code::USAGE, exit_code::TARGET_UNAVAILABLE];
    help_with_codes(success, &codes)
}

/// Returns the help text about settings and exit codes of the command that only waits.
pub(super) fn wait_help() -> String {
    let codes = [
        exit_code::BUG,
        exit_code::USAGE,
        exit_code::SOURCE_UNAVAILABLE,
        exit_code::TARGET_UNAVAILABLE,
    ];
    help_with_codes("everything answers", &codes)
}

fn help_with_codes(success: &str, codes: &[u8]) -> String {
    let mut text = String::from(
        "Settings:\n  \
         You can use the environment and the configuration file of a load unchanged:\n  \
         this command ignores settings that it does not need. See load --help.\n\n\
         Exit codes:",
    );
    for (code, meaning) in std::iter::once((exit_code::ALL_LOADED, success))
        .chain(exit_code::MEANINGS.iter().copied().filter(|(code, _)| codes.contains(code)))
    {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {code:>3}  {meaning}");
    }
    text
}

/// Returns the help text about exit codes for `report`.
pub(super) fn report_help() -> String {
    let codes = [
        (exit_code::ALL_LOADED, "the page is written, whatever it tells"),
        (exit_code::USAGE, "a report cannot be read or is not whole, or the page not written"),
    ];
    let mut text = String::from("Exit codes:");
    for (code, meaning) in codes {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {code:>3}  {meaning}");
    }
    text
}
