//! A job's row that somebody else has written: what it says is never executed, and no table is
//! dropped because it says so.

use anyhow::{Result, ensure};
use mysql_async::prelude::Queryable as _;

use super::{SWAP, TRUNCATE, ensure_rows, load, old_rows, put_objects};
use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv};
use crate::support::values::{ensure_values, values};

/// An account that may only write the ledger, and what it wants.
struct Intruder {
    name: String,
}

impl Intruder {
    async fn new(env: &TestEnv) -> Result<Self> {
        let name = format!("intruder_{}", env.schema.name);
        env.schema.exec(&format!("CREATE USER {name}@'%' IDENTIFIED BY ''")).await?;
        for table in ["objects", "parts", "jobs", "failures", "runs"] {
            env.schema
                .exec(&format!(
                    "GRANT SELECT, INSERT, UPDATE, DELETE ON s3_to_mysql_{table} TO {name}@'%'"
                ))
                .await?;
        }
        env.schema.exec("CREATE TABLE victim (a INT)").await?;
        env.schema.exec("INSERT INTO victim VALUES (1)").await?;
        Ok(Self { name })
    }

    /// Changes the job's row.
    async fn write(&self, env: &TestEnv, assignments: &str) -> Result<()> {
        let mut conn = env.server.connect(&self.name, None, Some(&env.schema.name)).await?;
        conn.query_drop(format!("UPDATE s3_to_mysql_jobs SET {assignments}")).await?;
        ensure!(conn.affected_rows() == 1, "{assignments}");
        Ok(conn.disconnect().await?)
    }

    async fn ensure_nothing_gained(&self, env: &TestEnv) -> Result<()> {
        ensure_values(&env.schema, "SELECT a FROM victim", &["1"]).await?;
        let grants = values(&env.schema, &format!("SHOW GRANTS FOR {}@'%'", self.name)).await?;
        ensure!(
            grants.iter().all(|grant| grant.contains("USAGE") || grant.contains("s3_to_mysql_")),
            "{grants:?}"
        );
        Ok(())
    }
}

/// Runs `load` as root.
async fn load_as_root(env: &TestEnv, args: &[&str]) -> Result<Ended> {
    let url = env.server.url("root", &env.schema.name);
    let base = ["load", "s3://etl/in/", "--table", "t", "--database-url", &url];
    env.run(&[&base[..], args].concat()).await
}

#[apply(load_test)]
async fn indexes_in_the_ledger_are_never_executed(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let sums = put_objects(&env, 0, 2)?;
    load(&env, &TRUNCATE).await?.expect(0)?;
    let intruder = Intruder::new(&env).await?;
    let column = &values(
        &env.schema,
        "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND \
         table_name = 't' AND data_type IN ('int', 'bigint') ORDER BY ordinal_position LIMIT 1",
    )
    .await?[0];
    let gain = format!(
        "GRANT ALL PRIVILEGES ON *.* TO {}@'%'; DROP TABLE {}.victim; -- ",
        intruder.name, env.schema.name
    );
    let definitions = [
        format!("KEY `kx` (`{column}`); {gain}"),
        format!("KEY `kx` (`{column}`), DROP COLUMN `{column}`; {gain}"),
        format!("KEY `kx` (`{column}`) COMMENT 'x'; {gain}"),
        gain.clone(),
    ];
    let part = serde_json::json!({"column": column});
    let index = |name: &str| serde_json::json!({"name": name, "kind": "plain", "columns": [part]});
    let mut objects = vec![
        index(&format!("x` (`{column}`); {gain}")),
        index(&format!("x'; {gain}")),
        serde_json::json!({"name": "k1", "kind": format!("plain; {gain}"), "columns": [part]}),
        serde_json::json!({
            "name": "k2",
            "kind": "plain",
            "columns": [{"column": format!("{column}`); {gain}")}],
        }),
        serde_json::json!({
            "name": "k3",
            "kind": "plain",
            "columns": [{"column": column, "prefix_length": format!("1); {gain}")}],
        }),
    ];
    for (number, comment) in
        [format!("'; {gain}"), format!("\\'; {gain}"), format!("\\\\'; {gain}")].iter().enumerate()
    {
        let mut commented = index(&format!("c{number}"));
        commented["comment"] = comment.as_str().into();
        objects.push(commented);
    }
    for option in ["algorithm", "parser", "visibility", "unknown"] {
        let mut changed = index("k4");
        changed[option] = format!("btree; {gain}").into();
        objects.push(changed);
    }
    let lists = definitions
        .iter()
        .map(|definition| serde_json::json!([definition]))
        .chain(objects.into_iter().map(|object| serde_json::json!([object])));
    let mut refused = 0;
    for list in lists {
        let text: String = list.to_string().bytes().map(|byte| format!("{byte:02X}")).collect();
        for args in [&TRUNCATE, &SWAP] {
            let hostile =
                format!("mode = 'truncate', state = 'loading', deferred_indexes = X'{text}'");
            intruder.write(&env, &hostile).await?;
            let ended = load_as_root(&env, args).await?;
            intruder.ensure_nothing_gained(&env).await?;
            if ended.code == Some(6) {
                refused += 1;
                ended.says("table `")?;
            } else {
                ended.expect(0)?;
            }
            // The remedy.
            intruder.write(&env, "deferred_indexes = NULL, changed_at = UTC_TIMESTAMP(6)").await?;
            load_as_root(&env, args).await?.expect(0)?;
            ensure_rows(&env, "t", sums).await?;
        }
    }
    ensure!(refused >= 2 * definitions.len(), "only {refused} were refused");
    ensure_rows(&env, "t", sums).await?;
    intruder.ensure_nothing_gained(&env).await
}

#[apply(load_test)]
async fn no_table_is_dropped_because_the_ledger_calls_it_an_old_one(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let first = put_objects(&env, 0, 2)?;
    let keep = [&SWAP[..], &["--swap-keep-old"]].concat();
    load(&env, &SWAP).await?.expect(0)?;
    let intruder = Intruder::new(&env).await?;
    env.schema.exec("CREATE TABLE t_old (a INT)").await?;
    env.schema.exec("INSERT INTO t_old VALUES (7)").await?;
    intruder.write(&env, "old_table = 't_old'").await?;
    put_objects(&env, 10_000, 2)?;
    let ended = load_as_root(&env, &keep).await?;
    ensure_values(&env.schema, "SELECT a FROM t_old", &["7"]).await?;
    ended.expect(6)?;
    ended.says("`t_old`, a table that no swap has made")?;
    ensure_rows(&env, "t", first).await?;
    // Any other table is safe, too, and so is the name of a database.
    for name in ["victim", "mysql.user", "victim`; DROP TABLE `victim"] {
        env.schema.exec("DROP TABLE t_old").await?;
        intruder.write(&env, &format!("old_table = '{name}'")).await?;
        load_as_root(&env, &keep).await?.expect(0)?;
        intruder.ensure_nothing_gained(&env).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_job_that_no_run_can_have_begun_is_refused(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let sums = put_objects(&env, 0, 2)?;
    load(&env, &TRUNCATE).await?.expect(0)?;
    let intruder = Intruder::new(&env).await?;
    let row = "generation = 2, table_generation = 2, state = 'done'";
    for args in [&TRUNCATE, &SWAP] {
        intruder.write(&env, "generation = 4294967295").await?;
        let ended = load_as_root(&env, args).await?;
        ended.expect(6)?;
        ended.says("generation 4294967295, which this program never wrote")?;
        intruder.write(&env, row).await?;
    }
    ensure_rows(&env, "t", sums).await?;
    // Bytes that are no text are shown as well as they can be.
    intruder.write(&env, "state = 'loading', run_id = X'FF1B5B', old_table = X'FF'").await?;
    let mut conn = env.server.connect(&intruder.name, None, Some(&env.schema.name)).await?;
    conn.query_drop("UPDATE s3_to_mysql_runs SET ended_at = NULL, worker = X'FF0D1B'").await?;
    let ended =
        load_as_root(&env, &["--preset", "hive", "--mode", "truncate", "--ignore-lines", "1"])
            .await?;
    ended.expect(0)?;
    ensure!(!ended.stderr.contains('\u{1b}'), "{ended}");
    Ok(())
}
