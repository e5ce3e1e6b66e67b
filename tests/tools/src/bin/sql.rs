//! Runs SQL statements on one connection and prints their rows, tab-separated.
//!
//! The demo and the benchmarks use it, because they must not depend on an installed client.
//!
//! ```text
//! sql mysql://USER@HOST:PORT/DATABASE STATEMENT...
//! ```

use std::io::Write as _;

use anyhow::{Context as _, bail};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, Row, Value};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, statements @ ..] = arguments.as_slice() else {
        bail!("usage: sql URL STATEMENT...");
    };
    let opts = OptsBuilder::from_opts(Opts::from_url(url)?).prefer_socket(false);
    let mut conn = Conn::new(opts).await?;
    for statement in statements {
        let rows: Vec<Row> = conn.query(statement).await.with_context(|| statement.clone())?;
        for row in rows {
            let fields: Vec<String> = row.unwrap().iter().map(shown).collect();
            writeln!(std::io::stdout(), "{}", fields.join("\t"))?;
        }
    }
    conn.disconnect().await?;
    Ok(())
}

/// Formats a value. In the text protocol every value except NULL is bytes.
fn shown(value: &Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    }
}
