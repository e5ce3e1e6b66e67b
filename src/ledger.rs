//! The record of what is loaded, in the target's own database: what makes loading exactly once.
//!
//! # Why it is right
//!
//! - An object's rows and the ledger row that says they are loaded commit in one transaction
//!   ([`Entry`]). So whatever dies, and whenever, both are there or neither.
//! - The row's primary key is the object's identity: table, generation, bucket, key and `ETag`. Two
//!   runs that load the same object at the same time meet there; one waits, and finds the other's
//!   row.
//! - A COMMIT whose answer is lost may still be under way. A locking read on a new connection waits
//!   for it, and then knows ([`Ledger::resolve_commit`]). Until the server has decided, nothing is loaded
//!   again.
//! - An object that is split has a row for each part, with the same rules, below its own row, which
//!   says `partial` until all of them are there ([`SplitObject`]).
//! - Everything else is convenience: the comparison of the listing with the ledger
//!   ([`Ledger::look_up`]) spares work, claims ([`Claims`]) share it out, failures and runs are for
//!   people. All of it may be wrong or lost without a row too many or too few.
//!
//! # Generations
//!
//! A table that is emptied or replaced begins a new generation, which the rows of earlier ones do
//! not satisfy. The job's row ([`Job`]) says which generation the table holds, and every load reads
//! it under a shared lock.
//!
//! # When it fails
//!
//! A ledger that can't be reached ends the run: what it would load might be loaded. One that was
//! made by a newer version, or is no ledger, is refused before anything is read.

mod admin;
mod batch;
mod begin;
mod claims;
mod control;
mod counts;
mod failures;
mod forget;
mod handle;
mod history;
mod identity;
mod job;
mod jobs;
mod options;
mod parts;
mod runs;
mod schema;
pub mod status;
mod transaction;
mod verification;

pub use admin::LedgerAdmin;
pub use batch::{BatchEntry, Member};
pub use begin::BeginOutcome;
pub use claims::{Claim, Claimed, Claims, InHand};
pub use counts::LoadCounts;
pub use forget::{Forgotten, Removed};
pub use handle::Ledger;
pub use history::{EarlierFailure, ObjectState};
pub use identity::{RunId, Target};
pub use job::Job;
pub use jobs::Finished;
pub use options::{AdminOptions, JobOptions, LedgerConfig};
pub use parts::{Completed, Part, PartEntry, SplitObject, SplitProgress};
pub use runs::RunTotals;
pub use schema::Tables;
pub use status::{FailedObject, InFlight, JobStatus, Partial, Run, Status, Sums};
pub use transaction::{CommitOutcome, Entry, LedgerEntry};
