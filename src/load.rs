//! Loads objects in transactions: one object (`transaction`), or a batch of small ones (`batch`).
//! The loads of a run share a [`Loader`].
//!
//! Every load is an explicit transaction. It commits only after the server's own counts agree with
//! ours and the policy accepts every warning. After an error nothing is continued: the transaction
//! is rolled back and the connection is destroyed. The infile handler is armed for the one LOAD
//! DATA statement and yields that object's bytes, whatever file name the server asks for. A server
//! that asks during any other statement gets nothing.
//!
//! An object goes in one statement, unless the policy rejects rows or updates, or one statement
//! does not tell enough about the rows. Then row isolation ([`crate::isolate`]) loads it piece by
//! piece. A batch of small objects is either completely clean, or it is rolled back and its objects
//! are loaded one by one.
//!
//! ```text
//! batch ------(in doubt)--> each object alone
//! transaction --(whole)---> load_data --> assess --> stats
//!       \--(in doubt)-----> isolate: chunks --> load_data --> assess --> flagged
//!                               \--> scratch table --> insert_select
//! ```

mod batch;
mod loader;
mod transaction;

pub use batch::{Batch, BatchOutcome};
pub use loader::Loader;
pub use transaction::LoadOutcome;
