//! Resolves the settings by their order of precedence into a [`Config`].
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
//! The strongest database URL alone is used. Its parts rank just below single settings from the
//! same place. If a setting may be unset, an empty value means "not set" and hides weaker places.
//!
//! A command ignores the settings that it does not use, so one file can serve all commands.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::conflicts::{contradictions, files_that_collide};
use super::{
    Config, create_table, format, json, ledger, load, metrics, parquet, source, target, throughput,
    unknown_variables,
};
use crate::choices::{FailOn, LogFormat, ProgressMode, ReportOnly, SummaryForm};
use crate::dialect::ObjectFormat;
use crate::report::{GivenSetting, OutputConfig, ReportTo, parse_path};
use crate::retry::RetryConfig;
use crate::settings::{
    FileLayer, Layer, Origin, Problem, Provenance, Resolver, Scope, Setting, count, env,
    table as s, toml_file,
};
use crate::staging::StagingConfig;
use crate::units::{ByteSize, parse_duration};

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

/// The values that the places give, the strongest first, and what the environment of the process
/// says besides.
pub(super) struct Places {
    /// The layers of the command line, the environment, the file, and the shared variables.
    pub(super) layers: Vec<Layer>,
    pub(super) problems: Vec<Problem>,
    /// Settings whose absence a problem explains.
    pub(super) explained: Vec<&'static str>,
    temporary_dir: Option<String>,
    step_summary: Option<String>,
    is_github: bool,
}

/// Reads the places, and keeps what the command uses.
pub(super) fn places<E>(inputs: Inputs<'_, E>) -> Places
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
        // Only the command line names what to forget or acknowledge: the URIs of a file are meant
        // to be loaded.
        let is_elsewhere = matches!(scope, Scope::Forget | Scope::Ack) && rank > 0;
        layer.retain(|setting| {
            scope.uses(setting) && !(is_elsewhere && setting.name == s::URIS.name)
        });
    }
    Places {
        layers,
        problems: environment.problems.into_iter().chain(file.problems).collect(),
        explained: environment.suggested.into_iter().chain(file.suggested).collect(),
        temporary_dir: environment.temporary_dir,
        step_summary: environment.step_summary,
        is_github: environment.is_github,
    }
}

/// Resolves the settings of a command.
///
/// # Errors
///
/// Returns all problems in all places at once.
pub fn resolve<E>(inputs: Inputs<'_, E>) -> Result<Resolved, Vec<Problem>>
where
    E: IntoIterator<Item = (OsString, OsString)>,
{
    let (scope, read_file) = (inputs.scope, inputs.read_file);
    let places = places(inputs);
    let resolver = Resolver {
        layers: places.layers.clone(),
        problems: places.problems.clone(),
        explained: places.explained.iter().copied().collect(),
        ..Resolver::default()
    };
    resolve_in(resolver, &places, scope, read_file)
}

/// Resolves the settings in the layers of a resolver.
///
/// # Errors
/// Returns all problems, with those that the resolver has already.
pub(super) fn resolve_in(
    mut resolver: Resolver,
    places: &Places,
    scope: Scope,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Resolved, Vec<Problem>> {
    let (object_format, json) = json::resolve(&mut resolver);
    let parquet = parquet::resolve(&mut resolver, object_format, &json);
    let is_json = matches!(object_format, ObjectFormat::Jsonl | ObjectFormat::Json);
    let json = is_json.then_some(json);
    let (format, preset, dialect) = format::resolve(&mut resolver, json, parquet);
    json::check_text(&mut resolver, preset, &format, &dialect);
    parquet::check_text(&mut resolver, preset, &format, &dialect);
    unknown_variables::check(&mut resolver, &format);
    let is_parquet = format.parquet.is_some();
    let mut config = Config {
        source: source::resolve(&mut resolver, preset, is_parquet, scope),
        staging: staging(&mut resolver, places.temporary_dir.clone()),
        format,
        target: target::resolve(&mut resolver, read_file, scope),
        create_table: create_table::resolve(&mut resolver),
        ledger: ledger::resolve(&mut resolver),
        load: load::resolve(&mut resolver),
        throughput: throughput::resolve(&mut resolver),
        retry: RetryConfig {
            max_attempts: u32::try_from(resolver.integer(&s::MAX_ATTEMPTS)).unwrap_or(u32::MAX),
            max_elapsed: resolver.duration(&s::RETRY_MAX_ELAPSED),
        },
        wait: resolver.optional(&s::WAIT, parse_duration),
        output: OutputConfig {
            step_summary: places.step_summary.clone().map(PathBuf::from),
            has_annotations: places.is_github,
            ..output(&mut resolver)
        },
        metrics: metrics::resolve(&mut resolver),
    };
    config.output.format = config.format.object_format();
    parquet::set_readings(&mut config);
    config.format.readings = config.load.readings.canonical();
    files_that_collide(&mut resolver, &config);
    contradictions(&mut resolver, &config);
    parquet::check(&mut resolver, &config);

    if resolver.problems.is_empty() {
        resolver
            .effective
            .retain(|name, _| Setting::by_name(name).is_some_and(|setting| scope.uses(setting)));
        let provenance = Provenance::new(resolver.effective);
        config.output.settings = provenance
            .given()
            // Its parts are there by themselves.
            .filter(|(name, ..)| *name != s::DATABASE_URL.name)
            .map(|(name, value, from)| (name.to_owned(), GivenSetting { value, from }))
            .collect();
        Ok(Resolved { config, provenance, warnings: resolver.warnings })
    } else {
        Err(resolver.problems)
    }
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
        format: ObjectFormat::default(),
        report: resolver.optional(&s::REPORT, ReportTo::parse),
        report_only: resolver.choice(&s::REPORT_ONLY).unwrap_or(ReportOnly::All),
        failed_keys: resolver.optional(&s::FAILED_KEYS, parse_path),
        html: resolver.optional(&s::HTML, parse_path),
        summary_file: resolver.path(&s::SUMMARY_FILE),
        step_summary: None,
        has_annotations: false,
        fail_on: resolver.choice(&s::FAIL_ON).unwrap_or(FailOn::Any),
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
        settings: BTreeMap::new(),
    }
}
