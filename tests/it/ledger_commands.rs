//! `status` and `forget`: what the ledger has on a table, and how to remove it.
//!
//! Most ledger rows here are inserted by hand, so that each state can be shown by itself. The last
//! tests of each command look at real runs.

mod ack;
mod forget;
mod overview;
mod status;

use anyhow::Result;
use s3_to_mysql::ledger::Tables;
use s3_to_mysql::sql_text::TableName;
use sha2::{Digest as _, Sha256};

use crate::support::program::{Ended, TestEnv};
use crate::support::values::ensure_values;

/// Creates the ledger's tables in the test's schema, as the program would.
async fn make_ledger(env: &TestEnv) -> Result<()> {
    let stem = TableName { database: None, table: "s3_to_mysql".to_owned() };
    for statement in Tables::new(&stem, &env.schema.name).ddl() {
        env.schema.exec(&statement).await?;
    }
    Ok(())
}

fn quoted(env: &TestEnv, table: &str) -> String {
    format!("'`{}`.`{table}`'", env.schema.name)
}

fn hex(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("X'{digits}'")
}

async fn insert_job(
    env: &TestEnv,
    table: &str,
    generations: (u32, u32),
    mode: &str,
    state: &str,
) -> Result<()> {
    let (generation, table_generation) = generations;
    let sql = format!(
        "INSERT INTO s3_to_mysql_jobs VALUES ({}, {generation}, {table_generation}, '{mode}', \
         '{state}', REPEAT('f', 32), '', 'run-1', '0.1.0', '2026-01-02 03:04:05.678901', \
         '2026-01-02 03:04:06', NULL)",
        quoted(env, table)
    );
    env.schema.exec(&sql).await
}

/// Returns the statement that inserts one ledger row of 10 rows and 100 bytes.
fn object_row(env: &TestEnv, table: &str, generation: u32, key: &str, state: &str) -> String {
    format!(
        "INSERT INTO s3_to_mysql_objects (target, generation, bucket, object_key, etag, state, \
         size_bytes, row_count, skipped_count, part_size_bytes, worker, run_id, tool_version, \
         began_at, loaded_at) VALUES ({}, {generation}, 'etl', {}, 'e1', '{state}', 100, 10, 1, \
         30, 'host-1:7', 'run-1', '0.1.0', '2026-01-02 03:04:05.000001', IF('{state}' = 'loaded', \
         '2026-01-02 03:04:06', NULL))",
        quoted(env, table),
        hex(key)
    )
}

async fn insert_loaded(env: &TestEnv, table: &str, generation: u32, keys: &[&str]) -> Result<()> {
    for key in keys {
        env.schema.exec(&object_row(env, table, generation, key, "loaded")).await?;
    }
    Ok(())
}

async fn insert_failure(env: &TestEnv, table: &str, generation: u32, key: &str) -> Result<()> {
    let sql = format!(
        "INSERT INTO s3_to_mysql_failures VALUES ({}, {generation}, 'etl', {}, 'e1', 'bad_rows', \
         'row 3: not\na number', 2, '2026-01-02 03:04:05', '2026-01-03 03:04:05', 'host-1:7', \
         'run-1')",
        quoted(env, table),
        hex(key)
    );
    env.schema.exec(&sql).await
}

async fn one_table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT) ENGINE=InnoDB").await
}

async fn forget(env: &TestEnv, args: &[&str]) -> Result<Ended> {
    env.run(&[&["forget", "--table", "t"], args].concat()).await
}

/// Requires these keys in the ledger for a table, in all generations, with repetitions.
async fn ensure_keys(env: &TestEnv, table: &str, expected: &[&str]) -> Result<()> {
    let sql = format!(
        "SELECT object_key FROM s3_to_mysql_objects WHERE target = {} ORDER BY object_key, \
         generation",
        quoted(env, table)
    );
    ensure_values(&env.schema, &sql, expected).await
}

/// Returns the column that ties a part to its object, as documented: the SHA-256 of the fields of
/// its identity, each after its length.
fn object_id(env: &TestEnv, generation: u32, key: &str) -> String {
    let mut hash = Sha256::new();
    for part in
        ["s3-to-mysql object", &env.schema.name, "t", &generation.to_string(), "etl", key, "e1"]
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn insert_part(env: &TestEnv, id: &str, number: u32) -> Result<()> {
    let sql = format!(
        "INSERT INTO s3_to_mysql_parts (object_id, part_number, size_bytes, worker, run_id, \
         began_at, loaded_at) VALUES (X'{id}', {number}, 30, 'host-1:7', 'run-1', '2026-01-02', \
         '2026-01-02')"
    );
    env.schema.exec(&sql).await
}

/// Creates an account that may log in and has these privileges on the ledger's tables, and returns
/// its URL.
async fn account_with(env: &TestEnv, grants: &[(&str, &str)]) -> Result<String> {
    let user = format!("reader-{}", env.schema.name);
    env.schema.exec(&format!("CREATE USER '{user}'@'%'")).await?;
    for (privileges, table) in grants {
        env.schema
            .exec(&format!("GRANT {privileges} ON {}.{table} TO '{user}'@'%'", env.schema.name))
            .await?;
    }
    Ok(user)
}

const ALL_SUFFIXES: [&str; 5] = ["objects", "parts", "jobs", "failures", "runs"];

async fn lines_table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT NOT NULL) ENGINE=InnoDB").await
}
