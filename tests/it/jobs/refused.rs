//! Conflicts of a truncate or a swap: whatever they would break is named, and nothing is done.

use anyhow::{Result, ensure};
use mysql_async::prelude::Queryable as _;

use super::{
    APPEND, ROWS, SWAP, TRUNCATE, ensure_job, ensure_no_leftovers, ensure_rows, killed_at, load,
    old_rows, open_reader, put_objects, shadow, sums_of,
};
use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, finish};
use crate::support::proxy::Break;
use crate::support::s3::{Fault, Operation, Times};
use crate::support::servers::ServerKind;
use crate::support::values::ensure_values;

#[apply(load_test)]
async fn a_table_that_no_swap_has_made_is_not_replaced(env: TestEnv) -> Result<()> {
    let old = old_rows(&env).await?;
    put_objects(&env, 0, 1)?;
    env.schema.exec("CREATE TABLE t_old (a INT)").await?;
    env.schema.exec("INSERT INTO t_old VALUES (7)").await?;
    let keep = [&SWAP[..], &["--swap-keep-old"]].concat();
    let refused = load(&env, &keep).await?;
    refused.expect(6)?;
    refused.says("`t_old`, a table that no swap has made")?;
    ensure_values(&env.schema, "SELECT a FROM t_old", &["7"]).await?;
    ensure_rows(&env, "t", old).await?;
    load(&env, &SWAP).await?.expect(0)?;
    ensure_values(&env.schema, "SELECT a FROM t_old", &["7"]).await?;

    let long = "x".repeat(61);
    env.schema.exec(&format!("CREATE TABLE {long} LIKE t")).await?;
    let args = [&["load", "s3://etl/in/", "--table", &long], &keep[..]].concat();
    let refused = env.run(&args).await?;
    refused.expect(6)?;
    refused.says("a name that is too long")
}

#[apply(load_test)]
async fn what_a_swap_would_lose_is_named_before_anything_is_read(env: TestEnv) -> Result<()> {
    env.put("in/0", "1\n")?;
    for statement in [
        "CREATE TABLE parent (a INT PRIMARY KEY)",
        "CREATE TABLE t (a INT PRIMARY KEY, CONSTRAINT up FOREIGN KEY (a) REFERENCES parent (a))",
        "CREATE TABLE child (a INT, CONSTRAINT down FOREIGN KEY (a) REFERENCES t (a))",
        "CREATE TRIGGER tick BEFORE INSERT ON t FOR EACH ROW SET NEW.a = NEW.a",
        "CREATE VIEW v AS SELECT a FROM parent",
        "INSERT INTO parent VALUES (1), (2)",
    ] {
        env.schema.exec(statement).await?;
    }
    let refused = load(&env, &["--mode", "swap"]).await?;
    refused.expect(6)?;
    refused.says("its foreign key up would be lost")?;
    refused.says(&format!("foreign key down of {}.child refers to it", env.schema.name))?;
    refused.says("its trigger tick would be lost")?;
    let view = env.run(&["load", "s3://etl/in/", "--table", "v", "--mode", "swap"]).await?;
    view.expect(6)?;
    view.says("is a view, which cannot be swapped")?;
    if env.server.kind() == ServerKind::Mariadb {
        env.schema.exec("CREATE TABLE h (a INT) WITH SYSTEM VERSIONING").await?;
        let versioned =
            env.run(&["load", "s3://etl/in/", "--table", "h", "--mode", "swap"]).await?;
        versioned.expect(6)?;
        versioned.says("is system-versioned: a swap would lose its history")?;
    }
    ensure!(env.s3.log().count(Operation::GetObject) == 0, "nothing needs to be read to know this");
    ensure!(env.count("t").await? == 0);
    ensure_no_leftovers(&env).await
}

#[apply(load_test)]
async fn what_keeps_a_table_from_being_truncated_is_named_before_anything_is_read(
    env: TestEnv,
) -> Result<()> {
    env.put("in/0", "2\n")?;
    for statement in [
        "CREATE TABLE t (a INT PRIMARY KEY, b INT, CONSTRAINT itself FOREIGN KEY (b) REFERENCES t \
         (a))",
        "INSERT INTO t VALUES (1, NULL)",
        "CREATE TABLE child (a INT, CONSTRAINT down FOREIGN KEY (a) REFERENCES t (a))",
        "CREATE VIEW v AS SELECT a FROM t",
    ] {
        env.schema.exec(statement).await?;
    }
    let args = ["--mode", "truncate", "--columns", "a"];
    let refused = load(&env, &args).await?;
    refused.expect(6)?;
    refused.says(&format!(
        "foreign key down of {}.child refers to it, so it cannot be truncated",
        env.schema.name
    ))?;
    ensure_values(&env.schema, "SELECT a FROM t", &["1"]).await?;
    let view = env.run(&["load", "s3://etl/in/", "--table", "v", "--mode", "truncate"]).await?;
    view.expect(6)?;
    view.says("is a view, which cannot be emptied")?;
    ensure_values(&env.schema, "SELECT a FROM t", &["1"]).await?;
    // A table that refers to itself is no obstacle.
    env.schema.exec("DROP TABLE child").await?;
    load(&env, &args).await?.expect(0)?;
    ensure_values(&env.schema, "SELECT a FROM t", &["2"]).await
}

#[apply(load_test)]
async fn a_swap_is_refused_where_the_account_does_not_see_triggers(env: TestEnv) -> Result<()> {
    let old = old_rows(&env).await?;
    let sums = put_objects(&env, 0, 1)?;
    let TestEnv { schema, server, .. } = &env;
    let (name, user) = (&schema.name, &schema.user);
    schema
        .exec(
            "CREATE TRIGGER stamp BEFORE INSERT ON t FOR EACH ROW SET NEW.orders = NEW.orders + 1",
        )
        .await?;
    // Exactly what a swap needs, but for TRIGGER.
    schema.exec(&format!("REVOKE ALL ON {name}.* FROM {user}@'%'")).await?;
    schema
        .exec(&format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, CREATE TEMPORARY TABLES \
             ON {name}.* TO {user}@'%'"
        ))
        .await?;
    let refused = load(&env, &SWAP).await?;
    refused.expect(6)?;
    match server.kind() {
        ServerKind::Mysql => refused.says("the account does not see its triggers")?,
        ServerKind::Mariadb => refused.says("its trigger stamp would be lost")?,
    }
    // Without triggers the account does not see that there are none.
    schema.exec("DROP TRIGGER stamp").await?;
    let swapped = load(&env, &SWAP).await?;
    if server.kind() == ServerKind::Mysql {
        swapped.expect(6)?;
        swapped.says("GRANT the account the TRIGGER privilege")?;
        ensure_rows(&env, "t", old).await?;
        // By a role, which information_schema does not show.
        let role = format!("{name}role");
        schema.exec(&format!("CREATE ROLE {role}")).await?;
        schema.exec(&format!("GRANT TRIGGER ON {name}.t TO {role}")).await?;
        schema.exec(&format!("GRANT {role} TO {user}@'%'")).await?;
        load(&env, &SWAP).await?.expect(6)?;
        schema.exec(&format!("SET DEFAULT ROLE ALL TO {user}@'%'")).await?;
        load(&env, &SWAP).await?.expect(0)?;
        schema.exec(&format!("DROP ROLE {role}")).await?;
        schema.exec(&format!("GRANT TRIGGER ON *.* TO {user}@'%'")).await?;
        load(&env, &SWAP).await?.expect(0)?;
    } else {
        swapped.expect(0)?;
    }
    ensure_rows(&env, "t", sums).await
}

#[apply(load_test)]
async fn a_foreign_key_that_the_account_does_not_see_keeps_the_table_from_being_swapped(
    env: TestEnv,
) -> Result<()> {
    env.put("in/0", "3\n")?;
    let hidden = format!("{}hidden", env.schema.name);
    env.schema.exec("CREATE TABLE t (a INT PRIMARY KEY)").await?;
    env.schema.exec("INSERT INTO t VALUES (1)").await?;
    env.schema.exec(&format!("CREATE DATABASE {hidden}")).await?;
    env.schema
        .exec(&format!(
            "CREATE TABLE {hidden}.child (a INT, FOREIGN KEY (a) REFERENCES {}.t (a))",
            env.schema.name
        ))
        .await?;
    env.schema.exec(&format!("INSERT INTO {hidden}.child VALUES (1)")).await?;
    for args in [&["--mode", "swap"][..], &["--mode", "swap", "--swap-keep-old"]] {
        let refused = load(&env, args).await?;
        refused.expect(6)?;
        refused.says("a foreign key that the account does not see refers to it")?;
        ensure_values(&env.schema, "SELECT a FROM t", &["1"]).await?;
    }
    let emptied = load(&env, &["--mode", "truncate"]).await?;
    emptied.expect(6)?;
    emptied.says("foreign keys of other tables refer to it, so it cannot be emptied")?;
    ensure_values(&env.schema, "SELECT a FROM t", &["1"]).await?;
    env.schema.exec(&format!("DROP DATABASE {hidden}")).await?;
    load(&env, &["--mode", "swap"]).await?.expect(0)?;
    ensure_values(&env.schema, "SELECT a FROM t", &["3"]).await?;
    ensure_no_leftovers(&env).await
}

#[apply(load_test)]
async fn an_account_that_may_not_empty_the_table_is_told_so_at_once(env: TestEnv) -> Result<()> {
    let old = old_rows(&env).await?;
    put_objects(&env, 0, 1)?;
    // The ledger's tables exist by then.
    load(&env, &[&APPEND[..], &["--include", "nothing", "--allow-empty"]].concat())
        .await?
        .expect(0)?;
    env.schema
        .exec(&format!("REVOKE DROP ON {}.* FROM {}@'%'", env.schema.name, env.schema.user))
        .await?;
    let refused = load(&env, &TRUNCATE).await?;
    refused.expect(6)?;
    refused.says("--mode truncate needs the DROP privilege")?;
    ensure_rows(&env, "t", old).await?;
    ensure!(env.s3.log().gets_of("in/0").is_empty(), "nothing needs to be read to know this");
    Ok(())
}

#[apply(load_test)]
async fn a_shadow_that_has_not_the_rows_of_the_ledger_is_not_swapped(env: TestEnv) -> Result<()> {
    let old = old_rows(&env).await?;
    let sums = put_objects(&env, 0, 2)?;
    killed_at(&env, &SWAP, "state = 'swapping', source", Break::Hold).await?;
    let shadow = shadow(&env).await?;
    env.schema.exec(&format!("DELETE FROM {shadow} LIMIT 1")).await?;
    let refused = load(&env, &SWAP).await?;
    refused.expect(3)?;
    refused.says(&format!("`{shadow}` has {} rows, the ledger says {}", 2 * ROWS - 1, 2 * ROWS))?;
    ensure_rows(&env, "t", old).await?;
    ensure_job(&env, "2|1|swap|loading").await?;
    // The hint says so.
    env.schema.exec(&format!("DROP TABLE {shadow}")).await?;
    load(&env, &SWAP).await?.expect(0)?;
    ensure_rows(&env, "t", sums).await?;
    ensure_no_leftovers(&env).await
}

#[apply(load_test)]
async fn a_table_altered_while_a_swap_is_loading_is_not_replaced(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let alterations = [
        ("ALTER TABLE t ADD COLUMN extra INT NULL", "column extra"),
        ("ALTER TABLE t ADD INDEX by_month (month)", "index by_month"),
        ("ALTER TABLE t COMMENT 'altered'", "a table option"),
        (
            "CREATE TRIGGER tick BEFORE INSERT ON t FOR EACH ROW SET NEW.orders = NEW.orders",
            "trigger tick",
        ),
        ("ALTER TABLE t PARTITION BY HASH (spu_id) PARTITIONS 3", "partition"),
    ];
    let columns = "supplier_id,spu_id,month,category,orders,amount,note,updated_at";
    let args = [&SWAP[..], &["--columns", columns]].concat();
    for (round, (alteration, named)) in alterations.into_iter().enumerate() {
        let before = sums_of(&env.schema, "t").await?;
        let sums = put_objects(&env, 10_000 * (round as u64 + 1), 2)?;
        let held = env.s3.faults().on_get("in/1", Times::Always, Fault::Hold);
        let running =
            env.command([&["load", "s3://etl/in/", "--table", "t"], &args[..]].concat()).spawn()?;
        held.wait_for_effects(1).await;
        env.schema.exec(alteration).await?;
        held.release();
        let refused = finish(running).await?;
        refused.expect(3)?;
        refused.says(&format!("not swapped: altered since the job began ({named}"))?;
        ensure!(sums_of(&env.schema, "t").await? == before);
        held.remove();
        if named.starts_with("trigger") {
            env.schema.exec("DROP TRIGGER tick").await?;
        }
        let anew = load(&env, &args).await?;
        anew.expect(0)?;
        ensure_rows(&env, "t", sums).await?;
        let definition: (String, String) = env.schema.query_one("SHOW CREATE TABLE t").await?;
        let lasting = [
            ("column", "`extra`"),
            ("index", "`by_month`"),
            ("a table option", "altered"),
            ("partition", "PARTITIONS 3"),
        ];
        for (_, lasting) in lasting.iter().filter(|(kind, _)| named.starts_with(kind)) {
            ensure!(definition.1.contains(lasting), "{}", definition.1);
        }
    }
    ensure_no_leftovers(&env).await
}

#[apply(load_test)]
async fn a_job_ends_within_the_bounds_where_a_reader_does_not(env: TestEnv) -> Result<()> {
    let old = old_rows(&env).await?;
    let sums = put_objects(&env, 0, 1)?;
    let mut reader = open_reader(&env).await?;
    for args in [&SWAP[..], &TRUNCATE[..]] {
        let ended = load(&env, &[args, &["--max-attempts", "1"]].concat()).await?;
        ended.expect(3)?;
        ended.says("waits for a transaction that has the table open")?;
        ensure_rows(&env, "t", old).await?;
    }
    reader.query_drop("COMMIT").await?;
    load(&env, &SWAP).await?.expect(0)?;
    ensure_rows(&env, "t", sums).await
}
