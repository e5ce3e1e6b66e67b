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

mod batch;
mod transaction;

pub use batch::{Batch, BatchOutcome};
pub use transaction::LoadOutcome;
