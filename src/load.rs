//! The statement, and the transaction that loads an object.
//!
//! Every load is an explicit transaction that commits only after the server's own counts agree with
//! ours and every warning is one that the policy accepts. After an error nothing is continued: the
//! transaction is rolled back and the connection destroyed. The infile handler is armed for the one
//! LOAD DATA statement and yields that object's bytes, whatever file name the server asks for; in
//! answer to any other statement a server gets nothing.
//!
//! An object goes in one statement (`transaction`) unless the policy holds rows back, or something
//! is said of its rows that one statement can't tell exactly: then it is sifted (`sift`), piece by
//! piece, by what the policies make of each row (`judge`).
//!
//! Several small objects go in one (`batch`), which either is clean or comes to nothing.
//!
//! ```text
//! batch --(in doubt)--> one by one
//! transaction --(whole)--> answer --> judge --> account
//!      \__(in doubt)--> sift: chunks --> answer --> judge
//!                           \--> private_table --> insertion (the server tells row by row what it refuses)
//! ```

mod account;
mod answer;
mod batch;
mod check;
mod check_table;
mod chunks;
mod disguise;
mod infile;
mod insertion;
mod judge;
mod plan;
mod preflight;
mod private_table;
mod row_numbers;
mod sift;
mod statement;
mod target_columns;
mod transaction;
mod warnings;

pub use account::Account;
pub use batch::{Batch, Together};
pub use check::{Check, Checked, Verdict};
pub use check_table::CheckTable;
pub use chunks::Staged;
pub use insertion::{Foreseen, Inserted, OnConflict, foresee};
pub use judge::Policy;
pub use plan::{Plan, RejectsLeft};
pub use preflight::{Preflight, preflight};
pub use private_table::PrivateTable;
pub use statement::Statement;
pub use target_columns::TargetColumns;
pub use transaction::{Attempted, PartOf, Shipment};
