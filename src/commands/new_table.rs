//! The table that `--create-table` creates: finds out if it is missing, looks at the first objects
//! of the listing, and runs the statement.
//!
//! Nothing is changed before the statement is complete. An object that cannot be read ends the
//! guess: without it, the guess might be wrong about most rows.

use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::startup::{listing_error, nothing_matched};
use crate::config::Config;
use crate::create_table::{Guess, GuessOptions, Head};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Connector, Flavor};
use crate::object::Object;
use crate::pipeline::{PipelineOptions, pin};
use crate::preflight::{MissingTable, create_table, find_missing};
use crate::report::CreatedTable;
use crate::source::{Listed, Listing, ListingSink, S3};
use crate::staging::{Budget, ExpectedText, FirstText, StagingArea, first_text};
use crate::unpack::{Codec, HEAD_BYTES, TextForm};
use crate::values::Server;

/// The most objects that are looked at.
const MOST_OBJECTS: usize = 8;
/// The most text of an object that is looked at, for 10,000 rows of 200 bytes. Four of them are in
/// memory at once.
const TEXT_BYTES: usize = 2 * 1024 * 1024;
/// The number of objects that are read at once.
const READ_AT_ONCE: usize = 4;

/// All problems that prevent a run.
type Problems = Vec<Error>;

/// Returns the statement that creates the target, and the number of its columns. Returns `None` if
/// the target exists, or if no object was found and none is needed.
///
/// # Errors
/// Everything that prevents a guess.
pub(super) async fn guess(
    config: &Config,
    abandoning: &CancellationToken,
) -> std::result::Result<Option<CreatedTable>, Problems> {
    let Some(settings) = &config.create_table else { return Ok(None) };
    let Some(missing) = find(config, abandoning).await.map_err(|error| vec![error])? else {
        return Ok(None);
    };
    let options = GuessOptions {
        format: &config.format,
        readings: &config.load.readings,
        primary_key: &settings.primary_key,
        server: match missing.flavor {
            Flavor::Mysql => Server::MySql,
            Flavor::Mariadb => Server::MariaDb,
        },
    };
    let guess = Guess::new(options).map_err(|error| vec![error])?;
    let s3 = S3::new(&config.source).await.map_err(|error| vec![error])?;
    let s3 = s3.with_max_rate(config.throughput.max_rate);
    let objects = first_objects(config, &s3).await?;
    if objects.is_empty() {
        return Ok(None);
    }
    let guessed = look_at(config, &s3, objects, guess).await;
    let table = guessed.map_err(|error| vec![error])?;
    Ok(Some(CreatedTable {
        statement: table.sql(&missing.name, options.server),
        columns: table.column_count(),
    }))
}

/// Creates the target if it is missing. Returns the table that was created.
///
/// Notes are bad in a run that finds no table, and so are numbers that would come back in another
/// form. The types are guesses, and no value may lose anything by a wrong one.
///
/// # Errors
/// Everything that prevents a guess; the answer of the server.
pub(super) async fn create(
    config: &mut Config,
    shutdown: &crate::shutdown::Shutdown,
) -> std::result::Result<Option<CreatedTable>, Problems> {
    let guessed = tokio::select! {
        biased;
        () = shutdown.draining.cancelled() => return Err(Vec::new()),
        guessed = guess(config, &shutdown.abandoning) => guessed?,
    };
    let Some(table) = guessed else { return Ok(None) };
    config.load.notes_as_bad = true;
    config.load.readings.keeps_forms = true;
    let created = async {
        let mut connector =
            Connector::new(&config.target, config.timeouts())?.until(&shutdown.abandoning);
        create_table(&mut connector, &config.preflight(), &table.statement).await
    };
    let name = &config.target.table;
    if created.await.map_err(|error| vec![error])? {
        tracing::info!("created table {name} with {} columns", table.columns);
        Ok(Some(table))
    } else {
        tracing::info!("table {name} was created by another session in the meantime");
        Ok(None)
    }
}

/// Refuses a command that needs the target and creates none.
///
/// # Errors
/// `TargetRefused` if the target is missing; the errors of a connection.
pub(super) async fn refuse_missing(
    config: &Config,
    abandoning: &CancellationToken,
) -> std::result::Result<(), Problems> {
    if config.create_table.is_none() {
        return Ok(());
    }
    match find(config, abandoning).await {
        Ok(None) => Ok(()),
        Ok(Some(missing)) => {
            let message = format!(
                "table {} does not exist, and a check creates none: it compares objects with a \
                 table",
                missing.name
            );
            Err(vec![Error::new(ErrorKind::TargetRefused, message).with_hint(
                "`s3-to-mysql plan --create-table` prints the statement that creates it",
            )])
        }
        Err(error) => Err(vec![error]),
    }
}

/// Returns the target if it is missing, and says once if it is not.
async fn find(config: &Config, abandoning: &CancellationToken) -> Result<Option<MissingTable>> {
    let mut connector = Connector::new(&config.target, config.timeouts())?.until(abandoning);
    let missing = find_missing(&mut connector, &config.preflight()).await?;
    if missing.is_none() {
        let table = &config.target.table;
        tracing::info!("table {table} exists, so --create-table does nothing");
    }
    Ok(missing)
}

/// Returns the first objects of the listing that have any bytes.
async fn first_objects(config: &Config, s3: &S3) -> std::result::Result<Vec<Object>, Problems> {
    let alone = |error| vec![error];
    if config.source.keys_from.as_deref() == Some(Path::new("-")) {
        let message = "--create-table: standard input can be read only once, and a guess needs the \
                       keys before the load does";
        return Err(vec![
            Error::new(ErrorKind::Usage, message)
                .with_hint("write the keys to a file, and name it in --keys-from"),
        ]);
    }
    let listing = Listing::new(s3.clone(), &config.source, &config.retry).map_err(alone)?;
    let problems = listing.check().await;
    if !problems.is_empty() {
        return Err(problems);
    }
    let listing = Arc::new(listing);
    let (sender, mut listed) = mpsc::channel(MOST_OBJECTS);
    // It ends when nobody receives any more.
    let running = tokio::spawn({
        let listing = Arc::clone(&listing);
        async move { listing.run(ListingSink::new(sender, |_| {})).await }
    });
    let mut objects = Vec::new();
    let mut is_any_listed = false;
    while objects.len() < MOST_OBJECTS
        && let Some(next) = listed.recv().await
    {
        is_any_listed = true;
        match next {
            Listed::Object(object) if object.size_bytes > 0 => objects.push(object),
            Listed::Object(_) => {}
            Listed::Failed { error, .. } => return Err(vec![error]),
        }
    }
    drop(listed);
    let ended = running.await;
    match ended {
        Ok(Ok(skipped_keys)) if !is_any_listed && !config.source.allow_empty => {
            Err(vec![nothing_matched(skipped_keys)])
        }
        Ok(Ok(_)) if objects.is_empty() && is_any_listed => {
            let message = "--create-table: all objects are empty, so nothing names the columns";
            Err(vec![
                Error::new(ErrorKind::Malformed, message).with_hint("create the table yourself"),
            ])
        }
        Ok(Ok(_)) => Ok(objects),
        Ok(Err(error)) => Err(vec![error]),
        Err(error) => Err(vec![listing_error(error)]),
    }
}

/// Adds the beginnings of the objects to the guess, and ends it.
async fn look_at(
    config: &Config,
    s3: &S3,
    objects: Vec<Object>,
    mut guess: Guess<'_>,
) -> Result<crate::create_table::NewTable> {
    let options = config.pipeline();
    // Only the memory of decoders is used: nothing is staged.
    let area = StagingArea::new(&config.staging.dir, 0, Budget::new(&config.staging)?);
    let (options, area) = (&options, &area);
    let mut heads = stream::iter(objects)
        .map(|object| async move {
            let first = head(s3, &object, options, area).await;
            first.map(|first| (object, first))
        })
        .buffered(READ_AT_ONCE);
    while let Some(head) = heads.next().await {
        let (object, FirstText { text, is_whole, codecs, damage }) = head?;
        if let Some(damage) = damage {
            return Err(damage);
        }
        let added = guess.add(&Head { object: &object, text: &text, is_whole });
        added.map_err(|error| match codecs {
            Some(codecs) => error.adding(&format!(" (in its {codecs} content)")),
            None => error,
        })?;
    }
    guess.finish()
}

/// Returns the first text of an object.
async fn head(
    s3: &S3,
    object: &Object,
    options: &PipelineOptions,
    area: &StagingArea,
) -> Result<FirstText> {
    let pinned = pin(s3, object, options).await?;
    let first = pinned.head((HEAD_BYTES as u64).min(object.size_bytes)).await?;
    let is_json = options.format.json.is_some();
    let form = TextForm {
        codec: Codec::of(&first, object.size_bytes <= HEAD_BYTES as u64),
        records: options
            .format
            .json
            .as_ref()
            .and_then(crate::dialect::JsonFormat::records_at)
            .map(Into::into),
    };
    // Without a list, the header has the number of fields.
    let fields_per_row = options.format.columns.as_ref().map_or(usize::MAX, Vec::len);
    let expected_text = ExpectedText::of(is_json, fields_per_row);
    first_text(&pinned, area, &form, TEXT_BYTES, expected_text).await
}
