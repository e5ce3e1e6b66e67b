//! The exit codes, and the one decision which of them a command ends with.
//!
//! The codes are a contract with scripts, so the meaning of a code never changes. [`decide`] is
//! pure: a command describes its end as an [`End`], and gets the code.

use std::fmt::Write as _;

use crate::error::{Error, ErrorKind};

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

/// `status --check` found nothing to complain about.
pub const HEALTH_OK: u8 = 0;
/// `status --check` found something that a person should look at.
pub const HEALTH_WARNING: u8 = 1;
/// `status --check` found that the table is not loaded as it should be.
pub const HEALTH_CRITICAL: u8 = 2;

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

/// The end of a command, as far as the exit code depends on it.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// The command ended before its first object, with all problems that it found. `signal` is the
    /// code of the signal that stopped it.
    NotBegun { signal: Option<u8>, problems: &'a [Error] },
    /// A run over objects ended. `errors` are those that ended it early, with the first one first.
    /// The run is complete if every object is in the table, or would be after a load.
    Run { signal: Option<u8>, errors: &'a [Error], is_complete: bool, rows_rejected: u64 },
    /// The jobs of a jobs file ended, with these codes.
    Jobs { signal: Option<u8>, codes: &'a [u8] },
    /// A command that only reads or changes the ledger ended, with an error or without.
    LedgerCommand(Option<ErrorKind>),
    /// `status --check` ended with this verdict, one of the codes `HEALTH_…`.
    Health(u8),
}

/// Returns the exit code of a command that ended like this.
///
/// A bug comes first, then the signal that ended the run, then the error that did; then objects
/// that failed, then rows that were rejected. Before the first object, the signal comes first, and
/// then the class of problems that the operator should fix first.
#[must_use]
pub fn decide(end: End<'_>) -> u8 {
    match end {
        End::NotBegun { signal: Some(code), .. } => code,
        End::NotBegun { signal: None, problems } => gravest(problems),
        End::Run { signal, errors, is_complete, rows_rejected } => match (signal, errors.first()) {
            (_, Some(error)) if error.kind == ErrorKind::Bug => BUG,
            (Some(code), _) => code,
            (None, Some(error)) => of_error(error.kind),
            (None, None) if !is_complete => OBJECTS_FAILED,
            (None, None) if rows_rejected > 0 => ROWS_REJECTED,
            (None, None) => ALL_LOADED,
        },
        End::Jobs { signal, codes } => match signal {
            Some(code) if !codes.contains(&BUG) => code,
            _ => worst(codes),
        },
        End::Health(code) => code,
        End::LedgerCommand(None) => ALL_LOADED,
        // Without objects, all other errors concern the target.
        End::LedgerCommand(Some(kind)) => match kind {
            ErrorKind::Usage => USAGE,
            ErrorKind::Bug => BUG,
            _ if of_error(kind) == SOURCE_UNAVAILABLE => SOURCE_UNAVAILABLE,
            _ => TARGET_UNAVAILABLE,
        },
    }
}

/// Returns the worst code of several jobs: what prevents a job comes before objects that failed.
fn worst(codes: &[u8]) -> u8 {
    const FROM_WORST: [u8; 7] = [
        BUG,
        USAGE,
        SOURCE_UNAVAILABLE,
        TARGET_UNAVAILABLE,
        OBJECTS_FAILED,
        NOTHING_MATCHED,
        ROWS_REJECTED,
    ];
    let known = FROM_WORST.into_iter().find(|code| codes.contains(code));
    known.or_else(|| codes.iter().copied().max()).unwrap_or(ALL_LOADED)
}

/// Returns the code of the problems that the operator should fix first.
fn gravest(problems: &[Error]) -> u8 {
    let codes: Vec<u8> = problems.iter().map(|problem| of_error(problem.kind)).collect();
    [BUG, USAGE, SOURCE_UNAVAILABLE, TARGET_UNAVAILABLE]
        .into_iter()
        .find(|code| codes.contains(code))
        .or_else(|| codes.first().copied())
        .unwrap_or(BUG)
}

/// Returns the exit code of a run that this kind of error ended.
#[must_use]
pub fn of_error(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::SourceUnreachable
        | ErrorKind::SourceBusy
        | ErrorKind::SourceCredentials
        | ErrorKind::BucketMissing
        | ErrorKind::ListingDenied
        | ErrorKind::ListingBroken
        | ErrorKind::SourceProtocol => SOURCE_UNAVAILABLE,
        ErrorKind::TargetUnreachable
        | ErrorKind::TargetLogin
        | ErrorKind::TargetTls
        | ErrorKind::TargetBusy
        | ErrorKind::ConnectionLost
        | ErrorKind::TargetEmptied
        | ErrorKind::TargetRefused => TARGET_UNAVAILABLE,
        ErrorKind::NothingMatched => NOTHING_MATCHED,
        ErrorKind::Usage => USAGE,
        ErrorKind::Bug => BUG,
        _ => OBJECTS_FAILED,
    }
}

/// Returns the exit code of a command that cannot write its output. Only a success becomes another
/// code.
#[must_use]
pub fn without_output(code: u8) -> u8 {
    if code == ALL_LOADED { USAGE } else { code }
}

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

    fn errors(kinds: &[ErrorKind]) -> Vec<Error> {
        kinds.iter().map(|kind| Error::new(*kind, "e")).collect()
    }

    #[test]
    fn the_gravest_reason_decides_the_code_of_a_run() {
        let run = |signal, kinds: &[ErrorKind], is_complete, rows_rejected| {
            let errors = errors(kinds);
            decide(End::Run { signal, errors: &errors, is_complete, rows_rejected })
        };
        let (bug, lost) = (ErrorKind::Bug, ErrorKind::TargetUnreachable);
        assert_eq!(run(Some(TERMINATED), &[bug], false, 1), BUG);
        assert_eq!(run(Some(TERMINATED), &[lost], false, 1), TERMINATED);
        assert_eq!(run(None, &[lost], false, 1), TARGET_UNAVAILABLE);
        assert_eq!(run(None, &[], false, 1), OBJECTS_FAILED);
        assert_eq!(run(None, &[], true, 1), ROWS_REJECTED);
        assert_eq!(run(None, &[], true, 0), ALL_LOADED);
    }

    #[test]
    fn the_worst_code_of_several_jobs_is_that_of_all() {
        let jobs = |signal, codes: &[u8]| decide(End::Jobs { signal, codes });
        assert_eq!(jobs(None, &[0, 0]), ALL_LOADED);
        assert_eq!(jobs(None, &[0, 7, 4]), NOTHING_MATCHED);
        assert_eq!(jobs(None, &[7, 3, 4, 0]), OBJECTS_FAILED);
        assert_eq!(jobs(None, &[3, 6, 5]), SOURCE_UNAVAILABLE);
        assert_eq!(jobs(Some(INTERRUPTED), &[0, 3]), INTERRUPTED);
        assert_eq!(jobs(Some(INTERRUPTED), &[BUG]), BUG);
    }

    #[test]
    fn what_the_operator_should_fix_first_decides_the_code_of_a_run_that_did_not_begin() {
        let not_begun = |signal, kinds: &[ErrorKind]| {
            decide(End::NotBegun { signal, problems: &errors(kinds) })
        };
        let (source, target) = (ErrorKind::ListingDenied, ErrorKind::TargetRefused);
        assert_eq!(not_begun(None, &[target, source]), SOURCE_UNAVAILABLE);
        assert_eq!(not_begun(None, &[target, ErrorKind::Usage]), USAGE);
        assert_eq!(not_begun(None, &[ErrorKind::Usage, ErrorKind::Bug]), BUG);
        assert_eq!(not_begun(None, &[ErrorKind::NothingMatched]), NOTHING_MATCHED);
        assert_eq!(not_begun(Some(INTERRUPTED), &[ErrorKind::Interrupted]), INTERRUPTED);
    }

    #[test]
    fn a_command_of_the_ledger_fails_because_of_its_target_unless_it_is_used_wrongly() {
        assert_eq!(decide(End::LedgerCommand(None)), ALL_LOADED);
        assert_eq!(decide(End::LedgerCommand(Some(ErrorKind::Usage))), USAGE);
        assert_eq!(decide(End::LedgerCommand(Some(ErrorKind::LockConflict))), TARGET_UNAVAILABLE);
    }
}
