//! The documents of the report: a line of JSON for each object, and the summary in the last line.
//!
//! The names and values are a contract with the programs that read the report: new ones may be
//! added, but existing ones never change. Every document of a type has all names of that type, with
//! `null` for a missing value. The exceptions are the fields that only loaded, checked or failed
//! objects have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::given_setting::GivenSetting;
use super::job_end::JobEnd;
use super::pause::PauseFields;
use super::timing::TimeFields;
use crate::error::{BadRow, Error, ErrorKind, RawRow};
use crate::load_data::LoadStats;
use crate::printable::escape_json;
use crate::source::SkippedKeys;
use crate::{staging, verify};

/// The line of one object.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "object")]
pub(super) struct ObjectLine<'a> {
    /// The name of the job in the jobs file. `null` without `--jobs`.
    pub(super) job_name: Option<&'a str>,
    /// The outcome of the object.
    pub(super) status: ObjectStatus,
    /// The object's bucket.
    pub(super) bucket: &'a str,
    /// The object's whole key.
    pub(super) key: &'a str,
    /// The `ETag` as listed, with its quotes. `null` if the object failed before it was known.
    pub(super) etag: Option<&'a str>,
    /// The listed size in bytes. `null` if the object failed before it was known.
    pub(super) size_bytes: Option<u64>,
    /// The format in which it was read: `delimited`, `jsonl` or `json`.
    pub(super) format: &'static str,
    /// The compression of the object, found by its first bytes: `gzip`, `zstd`, `bzip2`, `xz`,
    /// `lz4`, `snappy` or `hadoop-snappy`; `gzip+gzip` if it was compressed twice. `null` if the
    /// object is plain text, or was not loaded or checked whole.
    pub(super) codec: Option<String>,
    /// The number of data rows in the object. `null` if it was not read to its end.
    pub(super) rows: Option<u64>,
    /// True if the object failed, and no earlier run failed to load the same content. `null` if it
    /// did not fail.
    pub(super) new: Option<bool>,
    /// The number of attempts, including the first. 0 if the object was not tried.
    pub(super) attempts: u32,
    /// The seconds from the start of the download to the end of everything. `null` if the object
    /// was not tried.
    pub(super) seconds: Option<f64>,
    #[serde(flatten)]
    pub(super) times: TimeFields,
    /// The reason why the object failed or would fail. `null` if there is no problem.
    pub(super) error: Option<ErrorFields<'a>>,
    #[serde(flatten)]
    pub(super) loaded: Option<LoadedFields<'a>>,
    #[serde(flatten)]
    pub(super) checked: Option<CheckedFields<'a>>,
}

/// The outcome of an object.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ObjectStatus {
    /// This run loaded it.
    Loaded,
    /// `check` assessed it.
    Checked,
    /// An earlier run loaded it, or another run did so in the meantime.
    AlreadyLoaded,
    /// It was loaded with other content, and skipped because of `--on-changed skip`.
    SkippedChanged,
    /// `s3-to-mysql ack` has settled that it cannot be loaded, and it has not changed since.
    Acknowledged,
    /// It could not be loaded or checked.
    Failed,
    /// It was listed, but the run ended first.
    NotReached,
}

/// The additional fields of a loaded object.
#[derive(Debug, Serialize)]
pub(super) struct LoadedFields<'a> {
    /// True if the ledger recorded the object as loaded, and `--force` loaded it again.
    pub(super) loaded_again: bool,
    /// Rows that are now in the table: `rows` without `skipped` and `rejected`.
    pub(super) loaded: u64,
    /// Rows that the server did not store, because of their keys or for a reason that the policy
    /// accepts.
    pub(super) skipped: u64,
    /// Rows of the table that `--on-duplicate replace` deleted. The server does not count a row
    /// that equals the one that replaces it.
    pub(super) deleted: u64,
    /// Rows of the table that `--on-duplicate update` changed.
    pub(super) updated: u64,
    /// Rows of the table that already had the values of `--on-duplicate update`.
    pub(super) unchanged: u64,
    /// Rows that were written to the reject file instead of the table.
    pub(super) rejected: u64,
    /// The number of rejected rows whose unique key was already in the table.
    pub(super) rejected_duplicates: u64,
    /// The path or URI of the file that holds the rejected rows. `null` if no row was rejected.
    pub(super) reject_file: Option<&'a str>,
    /// The path or URI of the file that holds the reasons. `null` if no row was rejected.
    pub(super) reject_reasons: Option<&'a str>,
    /// The reject files of the other parts, if the object was loaded in parts.
    pub(super) more_reject_files: Vec<&'a str>,
    /// Rows with a value that lost something that is only noted, such as digits that a DECIMAL
    /// column does not keep.
    pub(super) note_rows: u64,
    /// Bad rows that `--on-bad-row accept` let the server store with other values.
    pub(super) changed_rows: u64,
    /// The first rows of `note_rows` and `changed_rows`. `--show-bad-rows` sets their maximum
    /// number.
    pub(super) first_notes: Vec<RowFields<'a>>,
    /// Warnings from the server, including notes.
    pub(super) warnings: u64,
    /// The number of warnings with the level Note.
    pub(super) notes: u64,
    /// The number of warnings for each error number of the server. 0 means warnings that the server
    /// counted without a number.
    pub(super) warnings_by_code: &'a BTreeMap<u16, u64>,
    /// The proof that the bytes are those of the listed object: `checksum`, or `length` if the
    /// store has no checksum of it.
    pub(super) verified: Option<staging::Integrity>,
}

/// The additional fields of a checked object.
#[derive(Debug, Serialize)]
pub(super) struct CheckedFields<'a> {
    /// The outcome that a load of the object would have.
    pub(super) would: Would,
    /// Rows with a value that does not fit, with too few or too many fields, or refused by a CHECK.
    pub(super) bad_rows: u64,
    /// Good rows with a unique key that an earlier good row of the object has.
    pub(super) duplicates: u64,
    /// Rows that a load would reject.
    pub(super) would_be_rejected: u64,
    /// Good rows with a value that loses something that is only noted.
    pub(super) note_rows: u64,
    /// The first of them. `--show-bad-rows` sets their maximum number.
    pub(super) first_notes: Vec<RowFields<'a>>,
    /// Notes from the server.
    pub(super) notes: u64,
    /// The columns that `--set` makes NULL although the fields that it reads are neither NULL nor
    /// empty.
    pub(super) set_nulls: Vec<SetNullFields<'a>>,
    /// The number of warnings for each error number of the server.
    pub(super) warnings_by_code: &'a BTreeMap<u16, u64>,
    /// The same as for a load. `null` if only the beginning of the object was fetched.
    pub(super) verified: Option<staging::Integrity>,
    /// The first bad rows and duplicates. `--show-bad-rows` sets their maximum number.
    pub(super) first_rows: Vec<RowFields<'a>>,
}

/// A column that an expression of `--set` makes NULL.
#[derive(Debug, Serialize)]
pub(super) struct SetNullFields<'a> {
    /// The column.
    pub(super) column: &'a str,
    /// The number of rows.
    pub(super) rows: u64,
    /// The fields of one of the rows, separated by commas.
    pub(super) example: String,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Would {
    Load,
    Fail,
}

/// An error of an object or of the run.
#[derive(Debug, Serialize)]
pub(super) struct ErrorFields<'a> {
    /// The stable name of the kind of error.
    pub(super) code: ErrorKind,
    /// The error and its causes.
    pub(super) message: String,
    /// The remedy for the operator. `null` if the message is enough.
    pub(super) hint: Option<&'a str>,
    /// The rows with errors, as far as they are known. Only objects that failed have this field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<Vec<RowFields<'a>>>,
    /// The number of rows with errors. Only objects that failed have this field, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) row_count: Option<u64>,
}

/// One row error.
#[derive(Debug, Serialize)]
pub(super) struct RowFields<'a> {
    /// The line of the object on which the row begins, from 1. `null` if unknown.
    pub(super) line: Option<u64>,
    /// The number of the row among the data rows of the object, from 1. `null` if unknown.
    pub(super) row: Option<u64>,
    /// The column. `null` if the server names none.
    pub(super) column: Option<&'a str>,
    /// The server's error number.
    pub(super) code: u16,
    /// The server's message.
    pub(super) reason: &'a str,
    /// The row as it stands in the object. `null` if unknown.
    pub(super) raw: Option<String>,
    /// True if the row is longer than `raw`. `null` if `raw` is.
    pub(super) raw_is_cut: Option<bool>,
}

/// The totals of a load, in its summary.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct LoadTotals {
    /// Objects that this run loaded.
    pub objects_loaded: u64,
    /// The number of those objects that were loaded before, and again because of `--force`.
    pub objects_loaded_again: u64,
    /// Objects that an earlier run loaded, or another run in the meantime.
    pub objects_already_loaded: u64,
    /// Objects that were loaded with other content, and skipped because of `--on-changed skip`.
    pub objects_skipped_changed: u64,
    /// Objects that `s3-to-mysql ack` has settled, and that have not changed since. They are not
    /// in the table.
    pub objects_acknowledged: u64,
    /// Objects that could not be loaded.
    pub objects_failed: u64,
    /// The number of those objects whose content no earlier run failed to load.
    pub objects_failed_new: u64,
    /// Objects that were listed, but not tried before the run ended.
    pub objects_not_reached: u64,
    /// Bytes of the objects that this run loaded.
    #[serde(rename = "bytes")]
    pub bytes_loaded: u64,
    /// Data rows in the objects that this run loaded.
    pub rows: u64,
    /// Rows that the server did not store, because of their keys or for a reason that the policy
    /// accepts.
    #[serde(rename = "skipped")]
    pub rows_skipped: u64,
    /// Rows of the table that `--on-duplicate replace` deleted. The server does not count a row
    /// that equals the one that replaces it.
    #[serde(rename = "deleted")]
    pub rows_deleted: u64,
    /// Rows of the table that `--on-duplicate update` changed.
    #[serde(rename = "updated")]
    pub rows_updated: u64,
    /// Rows of the table that already had the values of `--on-duplicate update`.
    #[serde(rename = "unchanged")]
    pub rows_unchanged: u64,
    /// Rows that were written to reject files instead of the table.
    #[serde(rename = "rejected")]
    pub rows_rejected: u64,
    /// The number of rejected rows whose unique key was already in the table.
    pub rejected_duplicates: u64,
    /// Rows with a value that lost something that is only noted, such as digits that a DECIMAL
    /// column does not keep.
    pub note_rows: u64,
    /// Bad rows that `--on-bad-row accept` let the server store with other values.
    pub changed_rows: u64,
    /// Warnings from the server, including notes.
    pub warnings: u64,
    /// The number of warnings with the level Note.
    pub notes: u64,
    /// The number of warnings for each error number of the server. 0 means warnings that the server
    /// counted without a number.
    pub warnings_by_code: BTreeMap<u16, u64>,
}

/// The facts about a run, in its summary.
#[derive(Debug, Serialize)]
pub(super) struct RunFields<'a> {
    /// The ID of the run. If it has a ledger, its row there has the same.
    pub(super) run_id: &'a str,
    /// The name of the job in the jobs file. `null` without `--jobs`.
    pub(super) job_name: Option<&'a str>,
    /// The table, as `database.table`. A name that is not plain is quoted, as in SQL.
    pub(super) table: &'a str,
    /// The server: `MySQL` or `MariaDB`. `null` if it did not answer.
    pub(super) server: Option<&'a str>,
    /// The version of the server. `null` if it did not answer.
    pub(super) server_version: Option<&'a str>,
    /// The S3 URIs of the objects and prefixes.
    pub(super) sources: &'a [String],
    /// The file of `--keys-from`. `null` without one.
    pub(super) keys_from: Option<&'a str>,
    /// The start of the run, as RFC 3339 in UTC.
    pub(super) started_at: String,
    /// The end of the run, as RFC 3339 in UTC.
    pub(super) ended_at: String,
    /// The exit code of the program.
    pub(super) exit_code: u8,
    /// The version of the program.
    pub(super) version: &'static str,
    /// Objects that the listing has found, before the ledger says what is left to load.
    pub(super) objects_listed: u64,
    /// The settings that were given, by name. Secrets are left out.
    pub(super) settings: &'a BTreeMap<String, GivenSetting>,
}

/// The last line in the report of a load.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "summary")]
pub(super) struct LoadSummary<'a> {
    #[serde(flatten)]
    pub(super) run: RunFields<'a>,
    /// The generation of the rows in the table, which a truncate or swap job raises. `null` if the
    /// run has no ledger or did not begin.
    pub(super) generation: Option<u32>,
    #[serde(flatten)]
    pub(super) totals: &'a LoadTotals,
    /// Rows that are now in the table: `rows` without `skipped` and `rejected`.
    pub(super) loaded: u64,
    /// The statement with which the run created the table. `null` if it did not.
    pub(super) created_table: Option<&'a str>,
    /// The job of a truncate or swap, over all its runs. `null` for an append.
    pub(super) job: Option<JobFields>,
    /// True if every object was listed before the run ended.
    pub(super) listing_complete: bool,
    /// Seconds that the run took.
    pub(super) seconds: f64,
    /// Keys that were listed but are not to be loaded.
    #[serde(rename = "passed_over")]
    pub(super) skipped_keys: SkippedKeys,
    /// Rows that `--verify` compared. This and the next three are `null` if nothing was verified.
    pub(super) verified_rows: Option<u64>,
    /// The names of the columns that were compared.
    pub(super) verified_columns: Option<&'a [String]>,
    /// `rows` if whole rows were compared, or `columns` if each column was compared separately.
    pub(super) verified_as: Option<VerifiedAs>,
    /// The columns that could not be compared, with the reasons.
    pub(super) unverified_columns: Option<&'a [verify::Unverified]>,
    /// The first 1,000 pauses.
    pub(super) pauses: Vec<PauseFields<'a>>,
    /// The seconds of all pauses for each reason.
    pub(super) paused_seconds: BTreeMap<&'static str, f64>,
    /// The error that prevented the run or ended it early. `null` if there was none.
    pub(super) error: Option<ErrorFields<'a>>,
}

/// A job that empties or replaces the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct JobFields {
    /// True if an earlier run began it.
    pub(super) resumed: bool,
    /// True if every object is loaded, and the table has been swapped if it was to be.
    pub(super) finished: bool,
    /// The objects that all its runs have loaded.
    pub(super) objects: u64,
    /// Their rows that are in the table.
    pub(super) rows: u64,
}

impl JobFields {
    pub(super) fn new(end: &JobEnd) -> Self {
        let JobEnd { is_resumed: resumed, is_finished: finished, totals, .. } = *end;
        Self { resumed, finished, objects: totals.objects, rows: totals.rows }
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VerifiedAs {
    Rows,
    Columns,
}

/// The totals of a check, in its summary.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CheckTotals {
    /// Objects that were checked.
    pub objects_checked: u64,
    /// The number of checked objects that would load.
    pub would_load: u64,
    /// The number of checked objects that would fail.
    pub would_fail: u64,
    /// Objects that would load, but without all of their rows.
    pub would_lose_rows: u64,
    /// Objects that could not be checked, and cannot be loaded either.
    pub objects_failed: u64,
    /// Objects that were listed, but not tried before the run ended.
    pub objects_not_reached: u64,
    /// Data rows that were checked.
    pub rows: u64,
    /// Rows with a value that does not fit, with too few or too many fields, or refused by a CHECK.
    pub bad_rows: u64,
    /// Good rows with a unique key that an earlier good row of their object has.
    pub duplicates: u64,
    /// Rows that a load would reject.
    #[serde(rename = "would_be_rejected")]
    pub rows_rejected: u64,
    /// Good rows with a value that loses something that is only noted.
    pub note_rows: u64,
    /// Notes from the server.
    pub notes: u64,
    /// The number of warnings for each error number of the server.
    pub warnings_by_code: BTreeMap<u16, u64>,
    /// Bytes of the checked objects, as listed.
    pub bytes: u64,
}

/// The last line in the report of a check.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "summary")]
pub(super) struct CheckSummary<'a> {
    #[serde(flatten)]
    pub(super) run: RunFields<'a>,
    #[serde(flatten)]
    pub(super) totals: &'a CheckTotals,
    /// True if every object was listed before the run ended.
    pub(super) listing_complete: bool,
    /// The maximum number of rows checked in each object. `null` without `--sample`.
    pub(super) sample: Option<u64>,
    /// Seconds that the check took.
    pub(super) seconds: f64,
    /// Keys that were listed but are not to be loaded.
    #[serde(rename = "passed_over")]
    pub(super) skipped_keys: SkippedKeys,
    /// Sentences about what a check cannot see for this table.
    pub(super) not_seen: &'a [String],
    /// The error that prevented the check or ended it early. `null` if there was none.
    pub(super) error: Option<ErrorFields<'a>>,
}

/// Returns a document as one line of JSON, with its names in alphabetical order.
pub(super) fn to_line(document: &impl Serialize) -> String {
    // This only fails for maps whose keys are not text, and the documents have none.
    let line = serde_json::to_value(document).unwrap_or_default().to_string();
    escape_json(&line).into_owned()
}

impl<'a> LoadedFields<'a> {
    pub(super) fn new(stats: &'a LoadStats, verified: staging::Integrity, again: bool) -> Self {
        let loaded = &stats.loaded;
        let first = stats.rejects.first();
        Self {
            loaded_again: again,
            loaded: stats.rows_loaded(),
            skipped: loaded.skipped,
            deleted: loaded.deleted,
            updated: stats.updated,
            unchanged: stats.unchanged,
            rejected: loaded.rejected,
            rejected_duplicates: stats.rejected_duplicates,
            reject_file: first.map(|(data, _)| data.as_str()),
            reject_reasons: first.map(|(_, sidecar)| sidecar.as_str()),
            more_reject_files: stats.rejects.iter().skip(1).map(|(data, _)| &**data).collect(),
            note_rows: stats.note_rows,
            changed_rows: stats.changed_rows,
            first_notes: stats.first_inexact.shown.iter().map(Into::into).collect(),
            warnings: loaded.warnings,
            notes: stats.notes,
            warnings_by_code: &stats.warnings_by_code,
            verified: whole(verified),
        }
    }
}

/// Returns how the object was verified, unless only a part of it was fetched.
pub(super) fn whole(verified: staging::Integrity) -> Option<staging::Integrity> {
    (verified != staging::Integrity::Part).then_some(verified)
}

impl<'a> ErrorFields<'a> {
    /// Returns the fields without rows, which belong to objects that failed.
    pub(super) fn new(error: &'a Error) -> Self {
        let (message, hint) = (error.full_text(), error.hint());
        Self { code: error.kind, message, hint, rows: None, row_count: None }
    }
}

impl<'a> From<&'a BadRow> for RowFields<'a> {
    fn from(bad: &'a BadRow) -> Self {
        Self {
            line: bad.line,
            row: bad.row,
            column: bad.column.as_deref(),
            code: bad.code,
            reason: &bad.reason,
            raw: bad.raw.as_ref().map(RawRow::text),
            raw_is_cut: bad.raw.as_ref().map(|raw| raw.is_cut),
        }
    }
}
