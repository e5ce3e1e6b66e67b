//! Loads the objects under an S3 prefix into a MySQL or MariaDB table, and accounts for every row.
//!
//! The library exists so that tests can reach the parts of the `s3-to-mysql` program. It is not an
//! interface for other programs.
//!
//! # How data flows
//!
//! ```text
//! cli, config -> commands -> preflight -> source -> ledger -> staging  -> split -> load_data
//! (settings)               (the target)  (list)   (what    (download)   (rows)  (statement)
//!                                                 is left)
//!                                      -> isolate -> rejects -> load          -> report
//!                                       (bad rows)  (files)  (transaction)
//! ```
//!
//! [`pipeline`] runs the stages from the listing to the report, and owns all their tasks. `source`,
//! `staging` and `load` do not import each other; they share the types in [`object`].
//!
//! # Layers
//!
//! Each folder imports only from layers below it, and no two files import each other in a circle.
//! The exact list of allowed imports is the table in `tests/layers/main.rs`, and tests hold the
//! sources and this list to it. These are the layers, from top to bottom:
//!
//! - [`cli`]: the command line, as clap parses it.
//! - [`commands`]: one function for each command. Only this layer sees the whole configuration.
//! - [`config`] and [`settings`]: a flag overrides the environment, the environment overrides the
//!   configuration file, and the file overrides the default. All problems are reported at once.
//!   `settings` is the engine, `config` the meaning of the values.
//! - [`pipeline`]: one run, with its tasks and channels.
//! - [`report`] and [`progress`]: the results and the state of a run, for people and machines.
//! - [`metrics`]: what a run tells Prometheus.
//! - [`preflight`] and [`check`]: the checks of the target before the first byte is read, and the
//!   dry run of an object.
//! - [`load`]: the transaction of an object, of a part of a split object, or of a batch.
//! - [`isolate`]: row isolation, which finds the rows that the server does not accept.
//! - [`load_data`]: one LOAD DATA statement, the bytes that it asks for, and the assessment of its
//!   counts and warnings.
//! - [`ledger`]: the record of loaded objects in the target's database, with claims, jobs, failures
//!   and runs.
//! - [`rejects`]: the reject files, written before the COMMIT that leaves their rows out.
//! - [`staging`]: the disk budget, unnamed temporary files, and the verification of length and
//!   checksum. Large objects arrive in ranges, part by part.
//! - [`source`]: S3. Only its folder `s3` imports the SDK.
//! - [`throttle`]: the limits on concurrent transactions, and the pauses.
//! - [`create_table`]: the guess of a table from the first rows of objects. Pure.
//! - [`columnar`]: the rows of Parquet objects, as text.
//! - [`columns`]: the names in headers and keys, and the columns that they stand for. Pure.
//! - [`verify`]: the checksums that compare the table with the objects at the end of a job. Pure.
//! - [`mysql`]: connections, the properties and errors of servers, and the definitions of tables.
//! - [`values`]: what the text of a field means in a column of the table, for all types of both
//!   servers. Pure.
//! - [`split`] and [`dialect`]: the meaning of delimited text, and a reader that counts rows
//!   exactly as the servers do and refuses data that they would silently lose. Both are pure,
//!   without I/O.
//! - [`unpack`]: the text of compressed objects, block by block. Pure.
//! - [`exit_code`] and [`shutdown`]: the one decision about the exit code of a command, and the
//!   signals that stop it.
//! - [`object`]: the nouns that `source`, `staging` and `load` share.
//! - [`error`], [`retry`] and [`blocking`]: one table of the consequences of failures, one layer
//!   that retries, and one way to run work that blocks.
//! - [`choices`], [`file_slice`], [`limits`], [`memory`], [`nearest`], [`policy`], [`printable`],
//!   [`s3_uri`], [`small_file`], [`sql_text`], [`terminal`] and [`units`]: small types and
//!   functions that several layers share.
//!
//! # What it promises
//!
//! 1. **Exactly once.** The rows of an object, a part or a batch commit in one transaction with the
//!    ledger rows that say they are loaded. [`ledger`] explains why that is enough.
//! 2. **Nothing is silent.** The program counts rows while they download, and compares the count
//!    with the server's `Records:` before COMMIT. A warning or a skipped row that the policy does
//!    not accept rolls the object back.
//! 3. **The loaded bytes are the listed bytes.** Reads are pinned to the listed `ETag`. The length,
//!    and the store's checksum if it has one, are verified before the first byte goes to MySQL or,
//!    for a split object, before the first byte of its last part.
//! 4. **Resources are bounded.** Memory does not grow with the number or size of objects. Disk
//!    usage stays within a budget. Concurrency has separate limits at S3 and at MySQL.

pub mod blocking;
pub mod check;
pub mod choices;
pub mod cli;
pub mod columnar;
pub mod columns;
pub mod commands;
pub mod config;
pub mod create_table;
pub mod dialect;
pub mod error;
pub mod exit_code;
pub mod file_slice;
pub mod isolate;
pub mod ledger;
pub mod limits;
pub mod load;
pub mod load_data;
pub mod memory;
pub mod metrics;
pub mod mysql;
pub mod nearest;
pub mod object;
pub mod pipeline;
pub mod policy;
pub mod preflight;
pub mod printable;
pub mod progress;
pub mod rejects;
pub mod report;
pub mod retry;
pub mod s3_uri;
pub mod settings;
pub mod shutdown;
pub mod small_file;
pub mod source;
pub mod split;
pub mod sql_text;
pub mod staging;
pub mod terminal;
pub mod throttle;
pub mod units;
pub mod unpack;
pub mod values;
pub mod verify;
