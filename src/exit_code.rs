//! The exit codes: a contract for scripts, so a code is never given another meaning.

use std::fmt::Write as _;

/// All objects are in the table, whoever loaded them.
pub const ALL_LOADED: u8 = 0;
/// The program is broken: a panic or a state that cannot be.
pub const BUG: u8 = 1;
/// Flags, environment, configuration file, or something that they name is wrong. clap uses the same
/// code.
pub const USAGE: u8 = 2;
/// Some objects are not in the table.
pub const OBJECTS_FAILED: u8 = 3;
/// No object matched, and `--allow-empty` was not given.
pub const NOTHING_MATCHED: u8 = 4;
/// S3 could not be reached, or refused the listing.
pub const SOURCE_UNAVAILABLE: u8 = 5;
/// MySQL could not be reached, or cannot take the load.
pub const TARGET_UNAVAILABLE: u8 = 6;
/// All objects are in the table, but this run held rows of them back.
pub const ROWS_REJECTED: u8 = 7;
/// 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;
/// 128 + SIGTERM.
pub const TERMINATED: u8 = 143;

/// Every code with its meaning, for `--help` and the documentation.
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

/// The section of `--help` that lists the codes.
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
