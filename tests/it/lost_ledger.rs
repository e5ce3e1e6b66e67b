//! A ledger that has lost what it knew: no run loads again what earlier runs have loaded, as far as
//! anything is left that says so.

use anyhow::{Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::lines::{self, expect};
use crate::support::program::TestEnv;
use crate::support::s3::Operation;

/// Loads two objects into `t`.
async fn loaded(env: &TestEnv) -> Result<()> {
    lines::create(env, "t").await?;
    for key in ["a", "b"] {
        env.put(key, format!("{key}\n"))?;
    }
    env.load_ending(0, "t", &[]).await.map(|_| ())
}

async fn ensure_refused(env: &TestEnv, args: &[&str], texts: &[&str]) -> Result<()> {
    env.s3.log().clear();
    let ended = env.load_ending(6, "t", args).await?;
    for text in texts {
        ended.says(text)?;
    }
    ensure!(env.s3.log().count(Operation::GetObject) == 0, "objects were read");
    expect(env, "t", &["a", "b"]).await
}

#[apply(load_test)]
async fn a_ledger_whose_objects_were_removed_is_missed(env: TestEnv) -> Result<()> {
    const MISSED: [&str; 3] =
        ["its runs have loaded", "restore the ledger's tables", "`s3-to-mysql forget`"];
    loaded(&env).await?;
    for removal in ["DELETE FROM s3_to_mysql_objects", "TRUNCATE TABLE s3_to_mysql_objects"] {
        env.schema.exec(removal).await?;
        ensure_refused(&env, &[], &MISSED).await?;
        // The remedies, one after the other: an empty table, and the user's word.
        env.schema.exec("TRUNCATE TABLE t").await?;
        env.load_ending(0, "t", &[]).await?;
        expect(&env, "t", &["a", "b"]).await?;
    }
    env.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
    env.schema.exec("DELETE FROM s3_to_mysql_runs WHERE objects_loaded = 0").await?;
    ensure_refused(&env, &[], &["its runs have loaded 6"]).await?;
    env.run(&["forget", "s3://etl/", "--table", "t", "--yes"]).await?.expect(0)?;
    env.load_ending(0, "t", &[]).await?;
    expect(&env, "t", &["a", "a", "b", "b"]).await?;

    // What is forgotten is not missed, and force never asks.
    env.run(&["forget", "s3://etl/", "--table", "t", "--yes"]).await?.expect(0)?;
    env.load_ending(0, "t", &[]).await?;
    env.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
    env.load_ending(0, "t", &["--force"]).await?;
    ensure!(env.count("t").await? == 8);
    // A new generation does not depend on what the old one had.
    env.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
    env.load_ending(0, "t", &["--mode", "truncate"]).await?;
    expect(&env, "t", &["a", "b"]).await?;
    env.load_ending(0, "t", &[]).await?;
    env.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
    ensure_refused(&env, &[], &["its runs have loaded 2"]).await
}

#[apply(load_test)]
async fn a_table_of_the_ledger_that_was_dropped_is_missed(env: TestEnv) -> Result<()> {
    loaded(&env).await?;
    for table in ["objects", "parts"] {
        let rename = |from: &str, to: &str| format!("RENAME TABLE {from} TO {to}");
        let name = format!("s3_to_mysql_{table}");
        env.schema.exec(&rename(&name, "backup")).await?;
        for mode in ["append", "truncate", "swap"] {
            ensure_refused(
                &env,
                &["--mode", mode],
                &[&format!("`{name}` has been dropped"), "restore the table"],
            )
            .await?;
        }
        env.schema.exec(&rename("backup", &name)).await?;
        env.load_ending(0, "t", &[]).await?;
        expect(&env, "t", &["a", "b"]).await?;
    }
    // Nothing depends on the others but what is shown to people.
    env.schema.exec("DROP TABLE s3_to_mysql_failures, s3_to_mysql_runs").await?;
    env.load_ending(0, "t", &[]).await?;
    expect(&env, "t", &["a", "b"]).await
}

/// A view and its table would be two targets, and the table's rows would be loaded for each.
#[apply(load_test)]
async fn a_view_is_refused_with_a_ledger(env: TestEnv) -> Result<()> {
    loaded(&env).await?;
    env.schema.exec("CREATE VIEW v AS SELECT * FROM t").await?;
    for command in ["load", "check"] {
        let ended = env.run(&[command, "s3://etl/", "--table", "v"]).await?;
        ended.expect(6)?;
        ended.says("is a view: the ledger would not know which table has the rows")?;
        ended.says("name the base table in --table")?;
    }
    expect(&env, "t", &["a", "b"]).await?;
    env.load_ending(0, "v", &["--no-ledger"]).await?;
    expect(&env, "t", &["a", "a", "b", "b"]).await
}
