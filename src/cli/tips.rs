//! Tips for options that other programs have, and this one has under another name.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};

/// The names of foreign options, and the tip for them.
const TIPS: &[(&[&str], &str)] = &[
    (
        &["header", "headers", "skip-header", "skip-lines", "skip-rows", "ignore-header"],
        "'--ignore-lines 1' skips a header line; '--match-columns name' finds columns by it",
    ),
    (
        &["delimiter", "delim", "separator", "sep", "field-delimiter", "fields-separated-by"],
        "'--fields-terminated-by' sets the separator, and '--preset csv' or 'tsv' a whole format",
    ),
    (
        &["quote", "quotechar", "enclosure", "enclosed-by"],
        "'--fields-optionally-enclosed-by' sets the quote character",
    ),
    (&["escape", "escapechar", "escaped-by"], "'--fields-escaped-by' sets the escape character"),
    (&["null", "null-value", "nullstr", "na"], "'--null-string' sets a text that means NULL"),
    (&["truncate", "overwrite"], "'--mode truncate' empties the table first"),
    (&["swap"], "'--mode swap' loads into a new table, which then replaces the old one"),
    (&["delete"], "'--mode truncate' empties the table first, and '--mode swap' replaces it"),
    (&["replace"], "'--on-duplicate replace' lets new rows replace those with the same key"),
    (&["ignore"], "'--on-duplicate ignore' skips rows whose key exists"),
    (&["upsert", "update"], "'--on-duplicate update' updates rows whose key exists"),
    (
        &["gzip", "gunzip", "decompress", "compressed"],
        "compressed objects are recognized by their bytes, without an option",
    ),
    (
        &["threads", "parallel", "concurrency", "workers", "use-threads"],
        "'--load-concurrency' sets the number of connections that load",
    ),
    (
        &["dry-run", "dryrun", "simulate"],
        "'s3-to-mysql check' is a dry run, and 's3-to-mysql plan' shows the statement",
    ),
    (&["json", "jsonl"], "'--format jsonl' or '--format json' reads JSON"),
    (&["csv", "tsv"], "'--preset csv' or '--preset tsv' sets the format"),
    (&["recursive", "recurse"], "a prefix is always read with all keys below it"),
];

/// Replaces clap's guess, which goes by the letters, if the unknown option has a tip.
pub(super) fn with_tip(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let name = option.trim_start_matches('-').split('=').next().unwrap_or_default();
    let name = name.to_ascii_lowercase().replace('_', "-");
    let tip = TIPS.iter().find(|(names, _)| names.contains(&name.as_str()));
    if let Some((_, tip)) = tip {
        error.remove(ContextKind::SuggestedArg);
        let tip = ContextValue::StyledStrs(vec![StyledStr::from(*tip)]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::*;
    use clap::Parser as _;

    fn said(option: &str) -> String {
        let args = ["s3-to-mysql", "load", "s3://b/", option];
        with_tip(Cli::try_parse_from(args).err().unwrap()).to_string()
    }

    #[test]
    fn an_option_of_another_program_gets_the_tip_that_it_deserves() {
        let text = said("--header");
        assert!(text.contains("tip: '--ignore-lines 1' skips a header line"), "{text}");
        assert!(!text.contains("--ledger"), "{text}");
        assert!(said("--skip_header=1").contains("'--ignore-lines 1'"));
        assert!(said("--truncate").contains("'--mode truncate'"));
        assert!(said("--delimiter=;").contains("'--fields-terminated-by'"));
        // Other slips keep clap's guess.
        assert!(said("--tabel").contains("'--table'"));
    }

    #[test]
    fn no_tip_is_for_an_option_that_exists() {
        for (names, _) in TIPS {
            for name in *names {
                let text = said(&format!("--{name}"));
                assert!(text.contains("unexpected argument"), "{name}: {text}");
            }
        }
    }
}
