//! The exit codes. They are a contract with scripts, so the meaning of a code never changes.

use std::fmt::Write as _;

/// All objects are in the table, whichever run loaded them.
pub const ALL_LOADED: u8 = 0;
/// The program has a bug: a panic or an impossible state.
pub const BUG: u8 = 1;
/// A flag, an environment variable, the configuration file, or something that they name is wrong.
/// clap uses the same code.
pub const USAGE: u8 = 2;
/// Some objects are not in the table.
pub const OBJECTS_FAILED: u8 = 3;
/// No object matched, and `--allow-empty` was not given.
pub const NOTHING_MATCHED: u8 = 4;
/// S3 cannot be reached, or refused the listing.
pub const SOURCE_UNAVAILABLE: u8 = 5;
/// MySQL cannot be reached, or cannot accept the load.
pub const TARGET_UNAVAILABLE: u8 = 6;
/// All objects are in the table, but this run rejected some of their rows.
pub const ROWS_REJECTED: u8 = 7;
/// SIGINT stopped the run: 128 + 2.
pub const INTERRUPTED: u8 = 130;
/// SIGTERM stopped the run: 128 + 15.
pub const TERMINATED: u8 = 143;

/// All codes with their meanings, for `--help` and the documentation.
pub const MEANINGS: &[(u8, &str)] = &[
    (ALL_LOADED, "every object is in the table"),
    (BUG, "a bug in s3-to-mysql"),
    (USAGE, "wrong usage or configuration"),
    (OBJECTS_FAILED, "some objects failed"),
    (NOTHING_MATCHED, "nothing matched (0 with --allow-empty)"),
    (SOURCE_UNAVAILABLE, "the source (S3) is unavailable"),
    (TARGET_UNAVAILABLE, "the target (MySQL) is unavailable"),
    (ROWS_REJECTED, "every object is in the table, some rows were rejected"),
    (INTERRUPTED, "interrupted by SIGINT"),
    (TERMINATED, "interrupted by SIGTERM"),
];

/// Returns the section of `--help` that lists the codes.
#[must_use]
pub fn help() -> String {
    let mut text = String::from("Exit codes:");
    for (code, meaning) in MEANINGS {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {code:>3}  {meaning}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_meaning() {
        let mut codes: Vec<u8> = MEANINGS.iter().map(|(code, _)| *code).collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 130, 143]);
    }
}
