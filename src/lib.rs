//! Loads the objects under an S3 prefix into a MySQL or MariaDB table, and accounts for every row.
//!
//! The library is the seam for the tests of the `s3-to-mysql` program, not an interface for others.
//!
//! # How data flows
//!
//! ```text
//! config -> source (list) -> ledger (what is left) -> staging (download, verify) -> split (row boundaries, counts)
//!        -> load (transaction: rows and ledger row) -> report
//! ```
//!
//! Modules stand in that order, and nothing imports from its right but [`run`], which owns every
//! task. `source`, `staging` and `load` do not know each other: [`object`] has the nouns that they
//! share.
//!
//! - [`cli`] and [`config`]: flag over environment over file over default, every problem at once.
//! - [`source`]: S3; the only place that imports the SDK.
//! - [`mysql`]: connections, and what servers are and say; left of the ledger and of the load,
//!   which both stand on it.
//! - [`ledger`]: the record of what is loaded, in the target's database; claims, jobs, failures,
//!   runs.
//! - [`staging`]: a byte budget, unnamed temporary files, length and checksum; large objects in
//!   ranges, part by part.
//! - [`dialect`] and [`split`]: what delimited text means, and a field reader that counts rows
//!   exactly as the servers do, and refuses what they would swallow. Pure, no I/O.
//! - [`rejects`]: the rows that are held back, written down before the COMMIT that leaves them out.
//! - [`verify`]: sums over rows that the table and the objects are compared by at the end of a job.
//!   Pure; it stands on [`split`], and the ledger and the load on it.
//! - [`load`]: the statement, and its transaction: of an object, of a part of one that is split, or
//!   of several small objects.
//! - [`file_slice`]: a stretch of a temporary file, as small objects share one.
//! - [`report`] and [`progress`]: what happened, for people and machines; [`terminal`]: what they
//!   may write there.
//! - [`error`] and [`retry`]: one table of what follows from a failure, one layer that tries again.
//!
//! # What it promises today
//!
//! 1. **Exactly once.** The rows of an object, of a part of one, or of several, and the ledger rows
//!    that say they are loaded commit in one transaction; [`ledger`] says why that is enough.
//! 2. **Nothing silent.** Rows are counted here while they download and compared with the server's
//!    `Records:` before COMMIT; a warning or a skipped row that the policy does not accept rolls
//!    the object back.
//! 3. **The bytes that were listed are the bytes that were loaded.** Reads are pinned to the listed
//!    `ETag`; length, and the store's checksum where it has one, are verified before the first byte
//!    goes to MySQL; of an object that is split, before the first byte of its last part.
//! 4. **Bounded.** Memory does not grow with the number or size of objects; disk stays under a
//!    budget; concurrency at S3 and at MySQL is bounded separately.

pub mod check;
pub mod choices;
pub mod cli;
pub mod commands;
pub mod config;
pub mod dialect;
pub mod error;
pub mod exit_code;
pub mod file_slice;
pub mod isolate;
pub mod ledger;
pub mod load;
pub mod load_data;
pub mod mysql;
pub mod object;
pub mod pipeline;
pub mod policy;
pub mod preflight;
pub mod progress;
pub mod rejects;
pub mod report;
pub mod retry;
pub mod s3_uri;
pub mod settings;
pub mod shutdown;
pub mod source;
pub mod split;
pub mod staging;
pub mod terminal;
pub mod throttle;
pub mod units;
pub mod verify;
