//! Columns that are NOT NULL, have no default, and are filled by nothing.

use anyhow::{Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, finish};
use crate::support::servers::ServerKind;
use crate::support::values::ensure_values;

const FILLED_BY_NOTHING: &str =
    "are NOT NULL without a default, and neither --columns nor --set fills them";

#[apply(load_test)]
async fn all_columns_that_nothing_fills_are_told_before_anything_is_read(
    env: TestEnv,
) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, v INT, `a b` VARCHAR(9) NOT NULL, `day` DATE NOT \
             NULL, kind ENUM('x', 'y') NOT NULL, t TEXT NOT NULL)",
        )
        .await?;
    env.put("1", "1\t5\n2\t6\n")?;
    let report = env.path("report").display().to_string();
    for args in [
        &["--columns", "@day,v"][..],
        &["--columns", "@day,v", "--on-bad-row", "accept", "--on-duplicate", "ignore"],
        &["--columns", "@day,v", "--on-bad-row", "reject", "--rejects", "rejects"],
    ] {
        let ended = env.load_ending(6, "t", args).await?;
        ended.says(&format!("table `t`: columns id, a b, day, kind, t {FILLED_BY_NOTHING}"))?;
        ended.says(
            "hint: list the fields in --columns, set a value with --set 'id=EXPRESSION', or",
        )?;
    }
    let check = ["check", "s3://etl/", "--table", "t", "--columns", "id,v", "--report", &report];
    let ended = env.run(&check).await?;
    ended.expect(6)?;
    ended.says(&format!("columns a b, day, kind, t {FILLED_BY_NOTHING}"))?;
    ended.says("--set '`a b`=EXPRESSION'")?;
    ensure!(env.s3.log().gets_of("1").is_empty(), "nothing was to be read");

    let given = ["--columns", "id,@day", "--set", "`A B`='-'", "--set", "day='2026-01-01'"];
    let ended = env.load_ending(6, "t", &given).await?;
    ended.says(&format!("columns kind, t {FILLED_BY_NOTHING}"))?;
    // The first label of an ENUM is wanted only if somebody says so.
    let kind = ["--set", "kind=DEFAULT"];
    let ended = env.load_ending(6, "t", &[&given[..], &kind].concat()).await?;
    ended
        .says("column t is NOT NULL without a default, and neither --columns nor --set fills it")?;
    env.load_ending(0, "t", &[&given[..], &kind, &["--set", "T=''"]].concat()).await?;
    ensure_values(
        &env.schema,
        "SELECT id, v, `a b`, day, kind, t FROM t",
        &["1|\u{2205}|-|2026-01-01|x|", "2|\u{2205}|-|2026-01-01|x|"],
    )
    .await
}

#[apply(load_test)]
async fn an_invisible_column_that_nothing_fills_is_told(env: TestEnv) -> Result<()> {
    // MariaDB wants a default for an invisible column that is NOT NULL.
    if env.server.kind() == ServerKind::Mariadb {
        return Ok(());
    }
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL INVISIBLE)").await?;
    env.put("1", "1\n")?;
    env.load_ending(6, "t", &[]).await?.says("column n is NOT NULL without a default")?;
    env.load_ending(0, "t", &["--set", "n=7"]).await?;
    ensure_values(&env.schema, "SELECT id, n FROM t", &["1|7"]).await
}

#[apply(load_test)]
async fn columns_that_fill_themselves_need_no_field(env: TestEnv) -> Result<()> {
    let generated = match env.server.kind() {
        ServerKind::Mysql => "g INT GENERATED ALWAYS AS (v + 1) STORED NOT NULL",
        ServerKind::Mariadb => "g INT GENERATED ALWAYS AS (v + 1) STORED",
    };
    env.schema
        .exec(&format!(
            "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL, \
             {generated}, zero INT NOT NULL DEFAULT 0, word VARCHAR(9) NOT NULL DEFAULT 'NULL', \
             none VARCHAR(9) NOT NULL DEFAULT '', made VARCHAR(9) NOT NULL DEFAULT (UPPER('x')), \
             at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, nothing INT, null_word VARCHAR(9) \
             DEFAULT NULL)"
        ))
        .await?;
    env.put("1", "5\n")?;
    env.load_ending(0, "t", &["--columns", "v"]).await?;
    let all = "SELECT id, v, g, zero, word, none, made, nothing, null_word FROM t";
    ensure_values(&env.schema, all, &["1|5|6|0|NULL||X|\u{2205}|\u{2205}"]).await?;

    // Under the old rules for TIMESTAMP, the server gives such a column a default.
    let mut conn = env.server.root().await?;
    let name = &env.schema.name;
    for sql in [
        "SET SESSION explicit_defaults_for_timestamp = OFF, SESSION sql_mode = ''",
        &format!("CREATE TABLE {name}.old (v INT, a TIMESTAMP)"),
    ] {
        mysql_async::prelude::Queryable::query_drop(&mut conn, sql).await?;
    }
    env.load_ending(0, "old", &["--columns", "v"]).await?;
    ensure!(env.count("old").await? == 1);
    Ok(())
}

/// Returns the URL of an account with these privileges.
async fn account(env: &TestEnv, privileges: &str) -> Result<String> {
    let (name, schema) = (format!("some_{}", env.schema.name), &env.schema.name);
    env.schema.exec(&format!("CREATE USER {name}@'%' IDENTIFIED BY ''")).await?;
    env.schema.exec(&format!("GRANT {privileges} ON {schema}.* TO {name}@'%'")).await?;
    Ok(env.server.url(&name, schema))
}

#[apply(load_test)]
async fn a_trigger_may_fill_a_column(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL)").await?;
    env.put("1", "1\n")?;
    let trigger =
        |timing: &str| format!("CREATE TRIGGER filled {timing} INSERT ON t FOR EACH ROW SET ");
    env.schema.exec(&format!("{} @n = 7", trigger("AFTER"))).await?;
    env.load_ending(6, "t", &["--columns", "id"]).await?.says("column n is NOT NULL")?;
    env.schema.exec("DROP TRIGGER filled").await?;
    env.schema.exec(&format!("{} NEW.n = 7", trigger("BEFORE"))).await?;

    if env.server.kind() == ServerKind::Mariadb {
        // The server warns of the statement, whatever the trigger does.
        let refused = env.load_ending(6, "t", &["--columns", "id"]).await?;
        refused.says("column n is NOT NULL without a default")?;
        refused.says("MariaDB wants a value even if a trigger replaces it")?;
        env.load_ending(0, "t", &["--columns", "id", "--set", "n=0"]).await?;
    } else {
        // The server hides triggers from an account without the privilege.
        let url = account(&env, "SELECT, INSERT").await?;
        let args = ["load", "s3://etl/", "--table", "t", "--columns", "id", "--no-ledger"];
        let refused = finish(env.command(args).env("DATABASE_URL", url).spawn()?).await?;
        refused.expect(6)?;
        refused.says("if a BEFORE INSERT trigger fills it, GRANT the account the TRIGGER")?;
        env.load_ending(0, "t", &["--columns", "id"]).await?;
    }
    ensure_values(&env.schema, "SELECT id, n FROM t", &["1|7"]).await
}

#[apply(load_test)]
async fn a_view_with_columns_that_nothing_fills_is_told(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INT, n INT NOT NULL)")
        .await?;
    env.schema.exec("CREATE VIEW w AS SELECT id, v, n FROM t").await?;
    env.schema.exec("CREATE TRIGGER filled BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 7").await?;
    env.put("1", "1\n")?;
    let args = ["--columns", "v", "--no-ledger"];
    let told = "column n is NOT NULL without a default, and neither --columns nor --set fills it";
    if env.server.kind() == ServerKind::Mariadb {
        env.load_ending(6, "w", &args).await?.says(told)?;
        env.load_ending(0, "w", &[&args[..], &["--set", "n=0"]].concat()).await?;
    } else {
        let ended = env.load_ending(0, "w", &args).await?;
        ended.says(told)?;
        ended.says("unless a trigger of the table behind the view does")?;
    }
    ensure_values(&env.schema, "SELECT id, v, n FROM t", &["1|1|7"]).await
}
