//! The record of which objects are loaded. It lives in the target's own database, and it makes
//! loading exactly once.
//!
//! # Why it is right
//!
//! - An object's rows and the ledger row that records them commit in one transaction ([`Entry`]).
//!   Whatever dies, and whenever, either both are there or neither is.
//! - The primary key of the ledger row is the object's identity: table, generation, bucket, key and
//!   `ETag`. Two runs that load the same object at the same time meet at this key: one waits, and
//!   then finds the other's row.
//! - An overwritten object has two identities. So each transaction also reads all rows of its key,
//!   under a lock and after it has inserted its own: of two contents of one key, only the first is
//!   loaded, unless `--on-changed load` wants both ([`KeyPolicy`]).
//! - A COMMIT whose answer is lost may still be in progress. A locking read on a new connection
//!   waits for it, and then knows its outcome ([`Ledger::resolve_commit`]). Until the server has
//!   decided, nothing is loaded again.
//! - A split object has a row for each part, under the same rules. The object's own row says
//!   `partial` until all parts are there ([`SplitObject`]).
//! - Everything else is convenience. The comparison of the listing with the ledger
//!   ([`Ledger::look_up`]) saves work, claims ([`Claims`]) divide it among runs, and failures and
//!   runs are recorded for people. If any of this is wrong or lost, still no row is loaded twice or
//!   left out.
//!
//! # Generations
//!
//! Emptying or replacing the table begins a new generation. Ledger rows of earlier generations do
//! not count for it. The job's row ([`Job`]) says which generation the table holds, and every load
//! reads it under a shared lock.
//!
//! # When it fails
//!
//! A ledger that cannot be reached ends the run, because what the run would load may be loaded
//! already. A ledger of a newer version, or tables that are not a ledger, are refused before any
//! object is read.

mod acks;
mod admin;
mod batch;
mod begin;
mod claims;
mod contents;
mod control;
mod counts;
mod failures;
mod forget;
mod handle;
mod history;
mod identity;
mod job;
mod jobs;
mod loaded_keys;
mod options;
mod part;
mod part_entry;
mod partial_objects;
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
pub use contents::KeyPolicy;
pub(crate) use contents::{content_changed, partial_changed};
pub use counts::LoadCounts;
pub use forget::{Forgotten, Removed};
pub use handle::Ledger;
pub use history::{EarlierFailure, ObjectState};
pub use identity::{RunId, Target};
pub use job::Job;
pub use jobs::Finished;
pub use options::{AdminOptions, JobOptions, LedgerConfig};
pub use part::Part;
pub use part_entry::PartEntry;
pub use parts::{Completed, SplitObject, SplitProgress};
pub use runs::{JobTotals, RunTotals};
pub use schema::Tables;
pub use status::{
    AcknowledgedObject, FailedObject, InFlight, JobStatus, Partial, Run, RunState, Status, Sums,
};
pub use transaction::{CommitOutcome, Entry, LedgerEntry};
