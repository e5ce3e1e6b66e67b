//! The order of precedence, and the [`Config`] that results from it.
//!
//! The order is: the command line, `S3_TO_MYSQL_…` variables, the file, `DATABASE_URL` and
//! `MYSQL_PWD`, defaults. The strongest place wins for each setting separately, and a list from a
//! stronger place replaces a weaker list as a whole. Some settings answer the same question; of
//! these, the strongest place that gives any of them decides for the group:
//!
//! - URIs and `keys-from`, so that a retry with `--keys-from` does not also load the URIs of the
//!   file;
//! - `socket` and `host`/`port`; `password`, `password-file` and the password of the URL;
//! - `fields-enclosed-by` and `fields-optionally-enclosed-by`;
//! - `ledger-table` and `no-ledger`.
//!
//! Only the strongest database URL is used. Its parts rank just below single settings from the
//! same place. If a setting may be unset, an empty value means "not set" and hides weaker places.
//!
//! A command ignores the settings that it does not use, so one file can serve all commands.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use globset::Glob;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use regex::Regex;

use super::{Config, format, load, target, throughput};
use crate::choices::{LogFormat, ProgressMode, SummaryForm};
use crate::ledger::LedgerConfig;
use crate::load_data::LoadConfig;
use crate::policy::{Mode, OnBadRow, OnChanged, OnDuplicate, Verify};
use crate::rejects::RejectsTo;
use crate::report::OutputConfig;
use crate::retry::RetryConfig;
use crate::s3_uri::SourceUri;
use crate::settings::{
    FileLayer, Layer, Origin, Problem, Provenance, Resolver, Scope, Value, count, env, table as s,
    toml_file,
};
use crate::source::SourceConfig;
use crate::sql_text::{TableName, TableNameError};
use crate::staging::StagingConfig;
use crate::units::ByteSize;

/// A validated configuration.
pub struct Resolved {
    pub config: Config,
    /// The place that every value came from.
    pub provenance: Provenance,
    /// Warnings to show before the run.
    pub warnings: Vec<String>,
}

/// The places that give values, before validation.
pub struct Inputs<'a, E> {
    pub scope: Scope,
    pub command_line: Layer,
    pub environment: E,
    /// The configuration file's path and text.
    pub file: Option<(&'a Path, &'a str)>,
    /// Reads `password-file`.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// Resolves the settings of a command.
///
/// # Errors
///
/// All problems in all places at once.
pub fn resolve<E>(inputs: Inputs<'_, E>) -> Result<Resolved, Vec<Problem>>
where
    E: IntoIterator<Item = (OsString, OsString)>,
{
    let scope = inputs.scope;
    let environment = env::read(inputs.environment);
    let file = match inputs.file {
        Some((path, text)) => toml_file::read(path, text),
        None => FileLayer { layer: Layer::default(), problems: Vec::new(), suggested: Vec::new() },
    };
    let mut layers = vec![inputs.command_line, environment.own, file.layer, environment.shared];
    for (rank, layer) in layers.iter_mut().enumerate() {
        // Only the command line names what to forget: the URIs of a file are meant to be loaded.
        let is_elsewhere = scope == Scope::Forget && rank > 0;
        layer.retain(|setting| {
            scope.uses(setting) && !(is_elsewhere && setting.name == s::URIS.name)
        });
    }
    let mut resolver = Resolver {
        layers,
        problems: environment.problems.into_iter().chain(file.problems).collect(),
        explained: environment.suggested.into_iter().chain(file.suggested).collect(),
        ..Resolver::default()
    };

    let (format, preset) = format::resolve(&mut resolver);
    let config = Config {
        source: source(&mut resolver, preset, scope),
        staging: staging(&mut resolver, environment.temporary_dir),
        format,
        target: target::resolve(&mut resolver, inputs.read_file),
        ledger: ledger(&mut resolver),
        load: load::resolve(&mut resolver),
        throughput: throughput::resolve(&mut resolver),
        retry: RetryConfig {
            max_attempts: u32::try_from(resolver.integer(&s::MAX_ATTEMPTS)).unwrap_or(u32::MAX),
            max_elapsed: resolver.duration(&s::RETRY_MAX_ELAPSED),
        },
        output: output(&mut resolver),
    };
    files_that_collide(&mut resolver, &config);
    contradictions(&mut resolver, &config);

    if resolver.problems.is_empty() {
        resolver
            .effective
            .retain(|name, _| s::Setting::by_name(name).is_some_and(|setting| scope.uses(setting)));
        let provenance = Provenance::new(resolver.effective);
        Ok(Resolved { config, provenance, warnings: resolver.warnings })
    } else {
        Err(resolver.problems)
    }
}

/// The maximum number of characters in the stem of a ledger. The longest name made of it,
/// `STEM_shadow_` and 16 digits, then stays within the servers' limit of 64.
const STEM_LIMIT_CHARS: usize = 40;

fn ledger(resolver: &mut Resolver) -> LedgerConfig {
    let table = ledger_table(resolver);
    LedgerConfig {
        table,
        on_changed: resolver.choice(&s::ON_CHANGED).unwrap_or(OnChanged::Error),
        force: resolver.switch(&s::FORCE),
        retry_failed: !resolver.switch(&s::NO_RETRY_FAILED),
    }
}

/// Returns the name of the ledger, or `None` for no ledger, as the stronger place decides.
fn ledger_table(resolver: &mut Resolver) -> Option<TableName> {
    let named = resolver.find(&s::LEDGER_TABLE);
    let without = resolver.find(&s::NO_LEDGER);
    let is_named_stronger = match (&named, &without) {
        (Some((named, _)), Some((without, _))) => named < without,
        _ => false,
    };
    if is_named_stronger {
        resolver.record_derived(&s::NO_LEDGER, "false", Origin::Default);
    } else if resolver.switch(&s::NO_LEDGER) {
        if let (Some((named, given)), Some((without, _))) = (&named, &without)
            && named == without
        {
            resolver.problems.push(Problem::new(
                "ledger-table names the ledger that no-ledger switches off",
                &given.origin,
                "set one of them",
            ));
        }
        // Reading it back would contradict no-ledger.
        resolver.record_unset(&s::LEDGER_TABLE, Origin::Default);
        return None;
    }
    let table = resolver.optional(&s::LEDGER_TABLE, |text| {
        let name: TableName = text.parse().map_err(|error: TableNameError| error.to_string())?;
        let length_chars = name.table.chars().count();
        if length_chars > STEM_LIMIT_CHARS {
            return Err(format!(
                "the name has {length_chars} characters; at most {STEM_LIMIT_CHARS} leave room \
                 for the suffixes of the table names"
            ));
        }
        Ok(name)
    });
    // An invalid name does not mean that there is no ledger.
    Some(table.unwrap_or(TableName { database: None, table: String::new() }))
}

/// Reports settings that contradict each other. Each message says where both come from.
fn contradictions(resolver: &mut Resolver, config: &Config) {
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
    if without_ledger && force {
        contradiction(
            resolver,
            "force overrides the ledger, which no-ledger switches off",
            [&s::FORCE, &s::NO_LEDGER],
            "leave out --force: without a ledger every object is loaded",
        );
    }
    if config.load.verify == Verify::Checksum {
        unverifiable(resolver, &config.load);
    }
    if config.load.swap_keep_old && config.load.mode != Mode::Swap {
        contradiction(
            resolver,
            "swap-keep-old is set, but mode is not swap",
            [&s::SWAP_KEEP_OLD, &s::MODE],
            "add --mode swap, or leave out --swap-keep-old",
        );
    }
    if config.load.defer_indexes && config.load.mode == Mode::Append {
        contradiction(
            resolver,
            "defer-indexes is set, but mode append loads into a table that is in use",
            [&s::DEFER_INDEXES, &s::MODE],
            "add --mode truncate or --mode swap, or leave out --defer-indexes",
        );
    }
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
    let (bad, duplicate) = (
        config.load.on_bad_row == OnBadRow::Reject,
        config.load.on_duplicate == OnDuplicate::Reject,
    );
    if (bad || duplicate)
        && config.load.rejects.is_none()
        && resolver.find_set(&s::REJECTS).is_none()
    {
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
    if config.load.update_columns.is_some() && config.load.on_duplicate != OnDuplicate::Update {
        contradiction(
            resolver,
            "update-columns is set, but on-duplicate is not update",
            [&s::UPDATE_COLUMNS, &s::ON_DUPLICATE],
            "add --on-duplicate update, or leave out --update-columns",
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

fn contradiction(
    resolver: &mut Resolver,
    what: &str,
    between: [&'static s::Setting; 2],
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

fn source(resolver: &mut Resolver, preset: crate::dialect::Preset, scope: Scope) -> SourceConfig {
    let (uris, keys_from) = uris_and_keys_from(resolver, scope);
    let modified_after = resolver.optional(&s::MODIFIED_AFTER, parse_time);
    let modified_before = resolver.optional(&s::MODIFIED_BEFORE, parse_time);
    if let (Some(after), Some(before)) = (modified_after, modified_before)
        && after >= before
    {
        resolver.problems.push(Problem {
            what: "no object can match: modified-after is not before modified-before".to_owned(),
            origin: None,
            remedy: "swap them, or leave one out".to_owned(),
        });
    }
    let skip_hidden = if resolver.find(&s::SKIP_HIDDEN).is_some() {
        resolver.switch(&s::SKIP_HIDDEN)
    } else {
        let skips = preset.skips_hidden();
        resolver.record_derived(&s::SKIP_HIDDEN, skips.to_string(), Origin::Preset(preset.name()));
        skips
    };
    let include = globs(resolver, &s::INCLUDE);
    let exclude = globs(resolver, &s::EXCLUDE);
    SourceConfig {
        uris,
        keys_from,
        include,
        exclude,
        key_regex: resolver.optional(&s::KEY_REGEX, |text| {
            Regex::new(text).map(|_| text.to_owned()).map_err(|error| regex_problem(&error))
        }),
        modified_after,
        modified_before,
        skip_hidden,
        allow_empty: resolver.switch(&s::ALLOW_EMPTY),
        region: resolver.text(&s::REGION).map(|(text, _)| text),
        profile: resolver.text(&s::PROFILE).map(|(text, _)| text),
        endpoint_url: resolver.optional(&s::ENDPOINT_URL, endpoint_url),
        path_style: resolver.switch(&s::PATH_STYLE),
        no_sign_request: resolver.switch(&s::NO_SIGN_REQUEST),
        request_payer: resolver.switch(&s::REQUEST_PAYER),
        connect_timeout: resolver.duration(&s::CONNECT_TIMEOUT),
        stall_timeout: resolver.duration(&s::STALL_TIMEOUT),
    }
}

/// Resolves the two settings that together say what to load. The strongest place that gives either
/// of them hides both in weaker places.
fn uris_and_keys_from(resolver: &mut Resolver, scope: Scope) -> (Vec<SourceUri>, Option<PathBuf>) {
    let rank = |found: Option<(usize, _)>| found.map_or(usize::MAX, |(rank, _)| rank);
    let uris_rank = rank(resolver.find(&s::URIS));
    let keys_rank = rank(resolver.find_set(&s::KEYS_FROM));
    let force_prefix = resolver.switch(&s::PREFIX);

    let keys_from = if keys_rank <= uris_rank {
        resolver.path(&s::KEYS_FROM)
    } else {
        resolver.record_unset(&s::KEYS_FROM, Origin::Default);
        None
    };
    let texts = if uris_rank <= keys_rank {
        let (texts, origin) = resolver.list(&s::URIS);
        texts.into_iter().map(|text| (text, origin.clone())).collect()
    } else {
        resolver.record(&s::URIS, Value::List(Vec::new()), Origin::Default);
        Vec::new()
    };
    if texts.is_empty() && keys_from.is_none() {
        match scope {
            Scope::Load => {
                let remedy = "name an S3 URI such as s3://BUCKET/PREFIX/, or --keys-from FILE";
                resolver.missing(&s::URIS, "there is nothing to load", remedy);
            }
            Scope::Forget => {
                let remedy = "on the command line, name s3://BUCKET/KEY, \
                              or s3://BUCKET/PREFIX/ for everything below it";
                resolver.missing(&s::URIS, "there is nothing to forget", remedy);
            }
            Scope::Status => {}
        }
    }
    let mut uris = Vec::new();
    for (text, origin) in texts {
        match SourceUri::parse(&text, force_prefix) {
            Ok(uri) => uris.push(uri),
            Err(why) => resolver.bad(&s::URIS, &text, &origin, why),
        }
    }
    (uris, keys_from)
}

fn staging(resolver: &mut Resolver, temporary_dir: Option<String>) -> StagingConfig {
    let path = |text: &str| {
        if text.is_empty() { Err("it must be a directory") } else { Ok(PathBuf::from(text)) }
    };
    let dir = if resolver.find(&s::STAGING_DIR).is_some() {
        resolver.optional(&s::STAGING_DIR, path).unwrap_or_default()
    } else {
        let (dir, origin) = match temporary_dir {
            Some(dir) => (dir, Origin::Environment("TMPDIR".to_owned())),
            None => ("/tmp".to_owned(), Origin::Default),
        };
        resolver.record_derived(&s::STAGING_DIR, dir.clone(), origin);
        PathBuf::from(dir)
    };
    StagingConfig {
        dir,
        budget: resolver.optional(&s::STAGING_BUDGET, |text| match text.parse::<ByteSize>() {
            Ok(size) if size.bytes() == 0 => Err("it must be at least 1 byte".to_owned()),
            Ok(size) => Ok(size),
            Err(error) => Err(error.to_string()),
        }),
        download_concurrency: count(resolver.integer(&s::DOWNLOAD_CONCURRENCY)),
    }
}

fn output(resolver: &mut Resolver) -> OutputConfig {
    OutputConfig {
        report: resolver.path(&s::REPORT),
        failed_keys: resolver.path(&s::FAILED_KEYS),
        summary: resolver.choice(&s::SUMMARY).unwrap_or(SummaryForm::Auto),
        log_format: resolver.choice(&s::LOG_FORMAT).unwrap_or(LogFormat::Text),
        verbosity: resolver
            .optional(&s::VERBOSITY, |text| {
                let number: Option<i8> = text.trim().parse().ok();
                number
                    .filter(|number| (-9..=9).contains(number))
                    .ok_or("it must be a whole number from -9 to 9")
            })
            .unwrap_or_default(),
        progress: resolver.choice(&s::PROGRESS).unwrap_or(ProgressMode::Auto),
    }
}

/// Reports files with more than one use: writing a file that is also read would destroy it.
fn files_that_collide(resolver: &mut Resolver, config: &Config) {
    let files = [
        (&s::KEYS_FROM, config.source.keys_from.as_ref()),
        (&s::REPORT, config.output.report.as_ref()),
        (&s::FAILED_KEYS, config.output.failed_keys.as_ref()),
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

fn globs(resolver: &mut Resolver, setting: &'static s::Setting) -> Vec<String> {
    let (globs, origin) = resolver.list(setting);
    for glob in &globs {
        if let Err(why) = Glob::new(glob) {
            resolver.bad(setting, glob, &origin, why.kind());
        }
    }
    globs
}

/// Returns the last line of the error, which has the reason. The lines before it are a drawing.
fn regex_problem(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default();
    format!("not a regular expression: {}", reason.strip_prefix("error: ").unwrap_or(reason))
}

/// Parses RFC 3339 with an offset, or a date, which means midnight UTC, because S3's times are UTC.
fn parse_time(text: &str) -> Result<Timestamp, &'static str> {
    const EXPECTED: &str =
        "it must be a time with its offset, as in 2026-01-31T18:00:00Z, or a date";
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    // The parser of Date would ignore a time of day after the date.
    let is_date =
        text.len() == "2026-01-31".len() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date: Date = is_date.then(|| text.parse().ok()).flatten().ok_or(EXPECTED)?;
    date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|_| EXPECTED)
}

fn endpoint_url(text: &str) -> Result<String, &'static str> {
    let url = url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url =
        url.ok_or("it must be a URL such as https://s3.example.com or http://127.0.0.1:9000")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "it must not contain credentials; put them in the AWS environment variables or files",
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must have no query and no fragment");
    }
    Ok(text.to_owned())
}
