//! Reports settings that contradict each other, with the places that they come from and a remedy.

use super::Config;
use crate::choices::FailOn;
use crate::dialect::{ExtraColumns, FormatConfig, MissingColumns};
use crate::load_data::LoadConfig;
use crate::policy::{Mode, OnBadRow, OnDuplicate, Verify};
use crate::rejects::RejectsTo;
use crate::report::ReportTo;
use crate::settings::{Origin, Problem, Resolver, Setting, table as s};

/// Reports settings that contradict each other. Each message says where both come from.
pub(super) fn contradictions(resolver: &mut Resolver, config: &Config) {
    check_ledger(resolver, config);
    if config.format.json.is_some() && config.load.on_bad_row == OnBadRow::Accept {
        contradiction(
            resolver,
            "on-bad-row accept lets the server change values, but a line that is not JSON has none",
            [&s::ON_BAD_ROW, &s::FORMAT],
            "use --on-bad-row fail or reject",
        );
    }
    if config.load.verify == Verify::Checksum {
        unverifiable(resolver, &config.load);
    }
    check_mode(resolver, &config.load);
    check_names(resolver, &config.format);
    check_lag(resolver, config);
    check_rejects(resolver, &config.load);
    check_place_of_rejects(resolver, config);
    check_place_of_report(resolver, config);
    if config.load.update_columns.is_some() && config.load.on_duplicate != OnDuplicate::Update {
        contradiction(
            resolver,
            "update-columns is set, but on-duplicate is not update",
            [&s::UPDATE_COLUMNS, &s::ON_DUPLICATE],
            "add --on-duplicate update, or leave out --update-columns",
        );
    }
}

/// Reports what needs the ledger and is asked for without one.
fn check_ledger(resolver: &mut Resolver, config: &Config) {
    let (without_ledger, force) = (config.ledger.table.is_none(), config.ledger.force);
    let mode = match config.load.mode {
        Mode::Append => None,
        Mode::Truncate => Some("truncate"),
        Mode::Swap => Some("swap"),
    };
    if without_ledger && let Some(mode) = mode {
        contradiction(
            resolver,
            &format!("mode {mode} needs the ledger, which no-ledger switches off"),
            [&s::MODE, &s::NO_LEDGER],
            "leave out --no-ledger, or use --mode append",
        );
    }
    if without_ledger && config.output.fail_on == FailOn::New {
        contradiction(
            resolver,
            "fail-on new needs the ledger, which no-ledger switches off",
            [&s::FAIL_ON, &s::NO_LEDGER],
            "leave out --no-ledger, or use --fail-on any",
        );
    }
    if config.output.fail_on == FailOn::New && config.load.mode != Mode::Append {
        contradiction(
            resolver,
            "fail-on new is for mode append: another mode is not done before all objects are \
             loaded",
            [&s::FAIL_ON, &s::MODE],
            "leave out --fail-on",
        );
    }
    if without_ledger && force {
        contradiction(
            resolver,
            "force overrides the ledger, which no-ledger switches off",
            [&s::FORCE, &s::NO_LEDGER],
            "leave out --force: without a ledger every object is loaded",
        );
    }
}

/// Reports what only a job with another mode can do.
fn check_mode(resolver: &mut Resolver, load: &LoadConfig) {
    if load.swap_keep_old && load.mode != Mode::Swap {
        contradiction(
            resolver,
            "swap-keep-old is set, but mode is not swap",
            [&s::SWAP_KEEP_OLD, &s::MODE],
            "add --mode swap, or leave out --swap-keep-old",
        );
    }
    if load.defer_indexes && load.mode == Mode::Append {
        contradiction(
            resolver,
            "defer-indexes is set, but mode append loads into a table that is in use",
            [&s::DEFER_INDEXES, &s::MODE],
            "add --mode truncate or --mode swap, or leave out --defer-indexes",
        );
    }
}

/// Reports names that have no header to come from, and settings of names without any.
fn check_names(resolver: &mut Resolver, format: &FormatConfig) {
    // JSON always goes by names.
    if format.json.is_some() {
        return;
    }
    if format.names.by_name() && format.ignore_lines == 0 {
        contradiction(
            resolver,
            "match-columns name reads the names in the last ignored line, but ignore-lines is 0",
            [&s::MATCH_COLUMNS, &s::IGNORE_LINES],
            "leave out --ignore-lines, which is 1 then",
        );
    }
    let unused = [
        (&s::EXTRA_COLUMNS, format.names.extra_columns == ExtraColumns::Ignore, "ignore"),
        (&s::MISSING_COLUMNS, format.names.missing_columns == MissingColumns::Error, "error"),
    ];
    for (setting, _, word) in unused.into_iter().filter(|(_, is_set, _)| *is_set) {
        if !format.names.by_name() {
            contradiction(
                resolver,
                &format!("{} is {word}, but columns go by position", setting.name),
                [setting, &s::MATCH_COLUMNS],
                "add --match-columns name",
            );
        }
    }
}

/// Reports a limit on lag without replicas, and the other way around.
fn check_lag(resolver: &mut Resolver, config: &Config) {
    let is_lag_bounded = config.throughput.max_lag.is_some();
    if is_lag_bounded == config.throughput.replicas.is_empty() {
        let (set, missing) =
            if is_lag_bounded { (&s::MAX_LAG, &s::REPLICAS) } else { (&s::REPLICAS, &s::MAX_LAG) };
        contradiction(
            resolver,
            &format!("{} is set, but {} is not", set.name, missing.name),
            [set, missing],
            &format!("add --{}, or leave out --{}", missing.name, set.name),
        );
    }
}

/// Reports options of rejects if nothing rejects rows, and a missing place for rows that are
/// rejected.
fn check_rejects(resolver: &mut Resolver, load: &LoadConfig) {
    let (bad, duplicate) =
        (load.on_bad_row == OnBadRow::Reject, load.on_duplicate == OnDuplicate::Reject);
    if (bad || duplicate) && load.rejects.is_none() && resolver.find_set(&s::REJECTS).is_none() {
        let rejecting = if bad { &s::ON_BAD_ROW } else { &s::ON_DUPLICATE };
        contradiction(
            resolver,
            &format!(
                "{} is reject, but rejects does not say where the rejected rows go",
                rejecting.name
            ),
            [rejecting, &s::REJECTS],
            "add --rejects DIR, or --rejects s3://BUCKET/PREFIX/",
        );
    }
    if !bad && !duplicate {
        for setting in [&s::REJECTS, &s::MAX_REJECTS, &s::MAX_REJECTS_TOTAL] {
            if resolver.find_set(setting).is_some() {
                contradiction(
                    resolver,
                    &format!("{} is set, but nothing rejects rows", setting.name),
                    [setting, &s::ON_BAD_ROW],
                    "add --on-bad-row reject or --on-duplicate reject",
                );
            }
        }
    }
}

/// Reports a place in S3 that rejects cannot or must not be written to.
fn check_place_of_rejects(resolver: &mut Resolver, config: &Config) {
    if matches!(config.load.rejects, Some(RejectsTo::S3 { .. })) && config.source.no_sign_request {
        contradiction(
            resolver,
            "rejects is in S3, which cannot be written to without credentials",
            [&s::REJECTS, &s::NO_SIGN_REQUEST],
            "leave out --no-sign-request, or write rejects to a directory",
        );
    }
    if let Some(to) = &config.load.rejects
        && config.source.uris.iter().any(|source| to.lies_within(source))
    {
        contradiction(
            resolver,
            "rejects lies below a prefix that is loaded: \
             the next run would load the rows that this run rejects",
            [&s::REJECTS, &s::URIS],
            "choose another bucket or prefix for --rejects",
        );
    }
}

/// Reports a place in S3 that the report cannot or must not be written to.
fn check_place_of_report(resolver: &mut Resolver, config: &Config) {
    let Some(to @ ReportTo::S3 { .. }) = &config.output.report else { return };
    if config.source.no_sign_request {
        contradiction(
            resolver,
            "report is in S3, which cannot be written to without credentials",
            [&s::REPORT, &s::NO_SIGN_REQUEST],
            "leave out --no-sign-request, or write the report to a file",
        );
    }
    if config.source.uris.iter().any(|source| to.lies_within(source)) {
        contradiction(
            resolver,
            "report lies below a prefix that is loaded: the next run would load it",
            [&s::REPORT, &s::URIS],
            "choose another bucket or prefix for --report",
        );
    }
}

/// Reports settings under which the table may hold other rows or values than the objects, so that
/// the two cannot be compared.
fn unverifiable(resolver: &mut Resolver, load: &LoadConfig) {
    if load.mode == Mode::Append {
        contradiction(
            resolver,
            "verify checksum compares the whole table with the objects, \
             but mode append keeps other rows in it",
            [&s::VERIFY, &s::MODE],
            "use --mode truncate or --mode swap, or leave out --verify",
        );
    }
    if matches!(load.on_duplicate, OnDuplicate::Ignore | OnDuplicate::Replace | OnDuplicate::Update)
    {
        contradiction(
            resolver,
            "verify checksum compares every row of the objects, \
             but on-duplicate leaves some out of the table",
            [&s::VERIFY, &s::ON_DUPLICATE],
            "use --on-duplicate error or reject, or leave out --verify",
        );
    }
    if load.on_bad_row == OnBadRow::Accept {
        contradiction(
            resolver,
            "verify checksum compares the values in the objects, \
             but on-bad-row accept lets the server change them",
            [&s::VERIFY, &s::ON_BAD_ROW],
            "use --on-bad-row fail or reject, or leave out --verify",
        );
    }
}

pub(super) fn contradiction(
    resolver: &mut Resolver,
    what: &str,
    between: [&'static Setting; 2],
    remedy: &str,
) {
    let places = between.map(|setting| {
        let origin = resolver
            .effective
            .get(setting.name)
            .map_or(Origin::Default, |effective| effective.origin.clone());
        format!("{}: {origin}", setting.name)
    });
    resolver.problems.push(Problem {
        what: format!("{what} ({})", places.join("; ")),
        origin: None,
        remedy: remedy.to_owned(),
    });
}

/// Reports files with more than one use: writing a file that is also read would destroy it.
pub(super) fn files_that_collide(resolver: &mut Resolver, config: &Config) {
    let report = match &config.output.report {
        Some(ReportTo::File(path)) => Some(path),
        _ => None,
    };
    let files = [
        (&s::KEYS_FROM, config.source.keys_from.as_ref()),
        (&s::REPORT, report),
        (&s::FAILED_KEYS, config.output.failed_keys.as_ref()),
        (&s::HTML, config.output.html.as_ref()),
        (&s::SUMMARY_FILE, config.output.summary_file.as_ref()),
        (&s::METRICS_FILE, config.metrics.file.as_ref()),
    ];
    for (index, (one, one_path)) in files.iter().enumerate() {
        for (other, other_path) in &files[index + 1..] {
            if let (Some(path), Some(other_path)) = (one_path, other_path)
                && path == other_path
                && path.as_os_str() != "-"
            {
                resolver.problems.push(Problem {
                    what: format!(
                        "{} and {} are the same file, {}",
                        one.name,
                        other.name,
                        path.display()
                    ),
                    origin: None,
                    remedy: "give each its own file".to_owned(),
                });
            }
        }
    }
}
