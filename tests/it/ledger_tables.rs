//! The ledger's tables: who creates them, what they are called, and which targets and servers
//! cannot have them.

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::lines::{self, expect};
use crate::support::program::{Ended, TestEnv, finish};
use crate::support::s3::{Fault, Operation, Refusal, Times};
use crate::support::servers::{Server, ServerKind};
use crate::support::values::{ensure_values, values};

/// Runs `load s3://etl/ --table TABLE ARGS...` into the database at this URL.
async fn load_at(env: &TestEnv, url: &str, table: &str, args: &[&str]) -> Result<Ended> {
    let all = [&["load", "s3://etl/", "--table", table], args].concat();
    finish(env.command(all).env("DATABASE_URL", url).spawn()?).await
}

/// Puts an object of one row, which is its key, under each key.
fn put(env: &TestEnv, keys: &[&str]) -> Result<()> {
    keys.iter().try_for_each(|key| env.put(key, format!("{key}\n")))
}

fn no_object_was_read(env: &TestEnv) -> Result<()> {
    ensure!(env.s3.log().count(Operation::GetObject) == 0, "objects were read");
    Ok(())
}

/// Returns the statements of `deploy/ledger.sql`, for the current database.
fn documented_statements() -> Vec<String> {
    let file = include_str!("../../deploy/ledger.sql");
    let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with("--")).collect();
    statements(lines.join("\n").trim())
}

fn statements(block: &str) -> Vec<String> {
    block.split(";\n").map(|statement| statement.trim_end_matches(';').trim().to_owned()).collect()
}

/// Returns the server's definition of every ledger table in this database.
async fn tables(env: &TestEnv) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for table in ["objects", "parts", "jobs", "failures", "runs"] {
        all.extend(values(&env.schema, &format!("SHOW CREATE TABLE s3_to_mysql_{table}")).await?);
    }
    Ok(all)
}

#[apply(load_test)]
async fn tables_made_by_hand_are_those_that_the_program_makes(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a"])?;
    env.load_ending(0, "t", &[]).await?;
    let by_program = tables(&env).await?;
    for table in ["objects", "parts", "jobs", "failures", "runs"] {
        env.schema.exec(&format!("DROP TABLE s3_to_mysql_{table}")).await?;
    }
    for statement in documented_statements() {
        env.schema.exec(&statement).await?;
    }
    ensure!(tables(&env).await? == by_program, "they differ: {by_program:#?}");
    Ok(())
}

#[apply(load_test)]
async fn the_documented_queries_find_what_is_loaded_and_what_failed(env: TestEnv) -> Result<()> {
    lines::create(&env, "orders").await?;
    put(&env, &["good", "r\u{e9}fus\u{e9}"])?;
    env.s3.faults().on_get(
        "r\u{e9}fus\u{e9}",
        Times::Always,
        Fault::Refuse(Refusal::ACCESS_DENIED),
    );
    env.load_ending(3, "orders", &[]).await?;
    let page = include_str!("../../docs/ledger.md");
    let (_, block) = page.split_once("```sql\nSELECT ").context("the page has no queries")?;
    let (block, _) = block.split_once("\n```").context("the queries do not end")?;
    let queries =
        statements(&format!("SELECT {block}").replace("`shop`", &format!("`{}`", env.schema.name)));
    let found = [values(&env.schema, &queries[0]).await?, values(&env.schema, &queries[1]).await?];
    ensure!(queries.len() == 2 && found[0].len() == 1 && found[1].len() == 1, "{found:?}");
    ensure!(found[0][0].starts_with("good|1|20"), "{found:?}");
    ensure!(
        found[1][0].starts_with(
            "r\u{e9}fus\u{e9}|s3://etl/r\u{e9}fus\u{e9}: reading the object is denied"
        ),
        "{found:?}"
    );
    Ok(())
}

#[apply(load_test)]
async fn without_the_create_privilege_the_documented_statements_are_enough(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b"])?;
    let (name, schema) = (format!("few_{}", env.schema.name), &env.schema.name);
    env.schema.exec(&format!("CREATE USER {name}@'%' IDENTIFIED BY ''")).await?;
    // The privileges that docs/databases.md names: the target's and the ledger's.
    env.schema
        .exec(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.* TO {name}@'%'"))
        .await?;
    let url = env.server.url(&name, schema);
    let ended = load_at(&env, &url, "t", &[]).await?;
    ended.expect(6)?;
    ended.says("CREATE")?;
    ended.says(
        "hint: the account needs the CREATE privilege once, or somebody who has it must run \
         deploy/ledger.sql",
    )?;
    ended.says("--no-ledger")?;
    no_object_was_read(&env)?;
    expect(&env, "t", &[]).await?;
    ensure_values(&env.schema, "SHOW TABLES", &["t"]).await?;

    for statement in documented_statements() {
        env.schema.exec(&statement).await?;
    }
    for _ in 0..2 {
        load_at(&env, &url, "t", &[]).await?.expect(0)?;
        expect(&env, "t", &["a", "b"]).await?;
    }
    Ok(())
}

/// The account has the ledger's privileges, and only INSERT on the target, without SELECT.
#[apply(load_test)]
async fn the_documented_privileges_are_enough(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b"])?;
    let (name, schema) = (format!("few_{}", env.schema.name), &env.schema.name);
    env.schema.exec(&format!("CREATE USER {name}@'%' IDENTIFIED BY ''")).await?;
    for statement in documented_statements() {
        env.schema.exec(&statement).await?;
    }
    for table in ["objects", "parts", "jobs", "failures", "runs"] {
        let grant = format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.s3_to_mysql_{table} TO {name}@'%'"
        );
        env.schema.exec(&grant).await?;
    }
    env.schema.exec(&format!("GRANT INSERT ON {schema}.t TO {name}@'%'")).await?;
    let url = env.server.url(&name, schema);
    env.s3.faults().on_get("b", Times::Next(1), Fault::Refuse(Refusal::ACCESS_DENIED));
    load_at(&env, &url, "t", &[]).await?.expect(3)?;
    for _ in 0..2 {
        load_at(&env, &url, "t", &[]).await?.expect(0)?;
        expect(&env, "t", &["a", "b"]).await?;
    }
    load_at(&env, &url, "t", &["--force"]).await?.expect(0)?;
    expect(&env, "t", &["a", "a", "b", "b"]).await
}

#[apply(load_test)]
async fn a_ledger_of_a_newer_version_is_refused(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a"])?;
    env.load_ending(0, "t", &[]).await?;
    put(&env, &["b"])?;
    for table in ["objects", "parts", "jobs", "failures", "runs"] {
        let comment = |version| {
            format!(
                "ALTER TABLE s3_to_mysql_{table} COMMENT = 's3-to-mysql ledger, schema {version}'"
            )
        };
        env.schema.exec(&comment(2)).await?;
        env.s3.log().clear();
        let ended = env.load_ending(6, "t", &[]).await?;
        ended.says(&format!(
            "table s3_to_mysql_{table} has schema 2, made by a newer s3-to-mysql"
        ))?;
        ended.says("hint: use the newer s3-to-mysql, or another --ledger-table")?;
        no_object_was_read(&env)?;
        // `--force` does not help either.
        env.load_ending(6, "t", &["--force"]).await?;
        env.schema.exec(&comment(1)).await?;
    }
    expect(&env, "t", &["a"]).await?;
    env.load_ending(0, "t", &[]).await?;
    expect(&env, "t", &["a", "b"]).await
}

#[apply(load_test)]
async fn a_table_that_is_no_ledger_is_left_alone(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a"])?;
    env.schema.exec("CREATE TABLE s3_to_mysql_runs (mine INT) COMMENT = 'the marathon'").await?;
    env.schema.exec("INSERT INTO s3_to_mysql_runs VALUES (42)").await?;
    let ended = env.load_ending(6, "t", &[]).await?;
    ended.says("table s3_to_mysql_runs is not a ledger table of this program")?;
    ended.says("the marathon")?;
    ended.says("--ledger-table")?;
    no_object_was_read(&env)?;
    ensure_values(&env.schema, "SHOW TABLES", &["s3_to_mysql_runs", "t"]).await?;
    ensure_values(&env.schema, "SELECT * FROM s3_to_mysql_runs", &["42"]).await?;
    // The same happens if the name belongs to a view.
    env.schema.exec("CREATE VIEW other_objects AS SELECT * FROM s3_to_mysql_runs").await?;
    env.load_ending(6, "t", &["--ledger-table", "other"])
        .await?
        .says("table other_objects is not a ledger table")?;
    expect(&env, "t", &[]).await?;
    env.load_ending(0, "t", &["--ledger-table", "another"]).await?;
    expect(&env, "t", &["a"]).await
}

/// Somebody has moved the ledger to an engine that does not roll back.
#[apply(load_test)]
async fn a_ledger_that_does_not_roll_back_is_refused(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a"])?;
    env.load_ending(0, "t", &[]).await?;
    put(&env, &["b"])?;
    env.s3.log().clear();
    env.schema.exec("ALTER TABLE s3_to_mysql_jobs ENGINE = MyISAM").await?;
    let ended = env.load_ending(6, "t", &[]).await?;
    ended.says("the engine of table s3_to_mysql_jobs is MyISAM")?;
    ended.says("hint: ALTER TABLE ... ENGINE=InnoDB")?;
    no_object_was_read(&env)?;
    env.schema.exec("ALTER TABLE s3_to_mysql_jobs ENGINE = InnoDB").await?;
    env.load_ending(0, "t", &[]).await?;
    expect(&env, "t", &["a", "b"]).await
}

#[apply(load_test)]
async fn two_ledgers_know_nothing_of_each_other(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b"])?;
    for (ledger, expected) in [("one", &["a", "b"][..]), ("odd `name`", &["a", "a", "b", "b"])] {
        // The name is quoted as in SQL.
        let quoted = format!("`{}`", ledger.replace('`', "``"));
        for _ in 0..2 {
            env.load_ending(0, "t", &["--ledger-table", &quoted]).await?;
            expect(&env, "t", expected).await?;
        }
        let table = format!("`{}_objects`", ledger.replace('`', "``"));
        ensure!(env.count(&table).await? == 2, "{ledger} has not both objects");
    }
    Ok(())
}

#[apply(load_test)]
async fn a_ledger_may_have_a_database_of_its_own(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a"])?;
    let other = env.server.schema().await?;
    env.schema.exec(&format!("GRANT ALL ON {}.* TO {}@'%'", other.name, env.schema.user)).await?;
    let stem = format!("{}.books", other.name);
    for _ in 0..2 {
        env.load_ending(0, "t", &["--ledger-table", &stem]).await?;
        expect(&env, "t", &["a"]).await?;
    }
    ensure_values(&env.schema, "SHOW TABLES", &["t"]).await?;
    let target = "SELECT CONVERT(target USING utf8mb4), state FROM books_objects";
    ensure_values(&other, target, &[&format!("`{}`.`t`|loaded", env.schema.name)]).await
}

/// Several tables that differ in their names alone share one ledger.
#[apply(load_test)]
async fn targets_of_any_name_are_told_apart(env: TestEnv) -> Result<()> {
    let names = [
        "orders",
        "Orders",
        "ORDERS",
        "a`b",
        "a``b",
        "a.b",
        "\u{fc}",
        "u\u{308}",
        "\u{6771}\u{4eac}",
        "with space",
    ];
    put(&env, &["a", "b"])?;
    for name in names {
        let quoted = format!("`{}`", name.replace('`', "``"));
        lines::create(&env, &quoted).await?;
        for _ in 0..2 {
            env.load_ending(0, &quoted, &[]).await?;
            expect(&env, &quoted, &["a", "b"]).await?;
        }
        let target = format!("`{}`.{quoted}", env.schema.name);
        let hex: String = target.bytes().map(|byte| format!("{byte:02x}")).collect();
        let recorded = format!("SELECT COUNT(*) FROM s3_to_mysql_objects WHERE target = X'{hex}'");
        let recorded: u64 = env.schema.query_one(&recorded).await?;
        ensure!(recorded == 2, "{recorded} objects are recorded for {target}");
    }
    ensure!(env.count("s3_to_mysql_objects").await? == 2 * names.len() as u64);
    // It is the same table with and without the database's name.
    env.load_ending(0, &format!("{}.orders", env.schema.name), &[]).await?;
    expect(&env, "orders", &["a", "b"]).await
}

#[apply(load_test)]
async fn an_engine_that_does_not_roll_back_is_refused_unless_there_is_no_ledger(
    env: TestEnv,
) -> Result<()> {
    put(&env, &["a"])?;
    let engines = match env.server.kind() {
        ServerKind::Mysql => vec!["MyISAM", "MEMORY"],
        ServerKind::Mariadb => vec!["MyISAM", "MEMORY", "Aria"],
    };
    for engine in engines {
        let table = format!("t_{engine}");
        env.schema.exec(&format!("CREATE TABLE {table} (v VARCHAR(20)) ENGINE={engine}")).await?;
        let ended = env.load_ending(6, &table, &[]).await?;
        ended.says(&format!("its engine {engine} does not roll back"))?;
        ended.says("no ledger could be right")?;
        ended.says("ENGINE=InnoDB")?;
        ended.says("--no-ledger")?;
        expect(&env, &table, &[]).await?;
        let ended = env.load_ending(0, &table, &["--no-ledger"]).await?;
        ended.says("its engine does not roll back")?;
        expect(&env, &table, &["a"]).await?;
    }
    ensure!(
        !values(&env.schema, "SHOW TABLES")
            .await?
            .iter()
            .any(|table| table.starts_with("s3_to_mysql")),
        "a ledger"
    );
    Ok(())
}

#[apply(load_test)]
async fn a_read_only_server_is_told_and_loads_nothing(env: TestEnv) -> Result<()> {
    let server = Server::start(env.server.kind(), &[])?;
    // The account has no privilege outside its database, so read_only applies to it.
    let schema = server.schema().await?;
    schema.exec("CREATE TABLE t (v VARCHAR(20) NOT NULL)").await?;
    put(&env, &["a"])?;
    let tries = ["--max-attempts", "2"];
    for state in ["without a ledger's tables", "with them"] {
        schema.exec("SET GLOBAL read_only = ON").await?;
        let ended = load_at(&env, &schema.url(), "t", &tries).await?;
        ended.expect(6)?;
        ended.says("read-only").or_else(|_| ended.says("read_only")).context(state)?;
        ended.says("hint: the server is read-only; connect to the primary")?;
        no_object_was_read(&env)?;
        schema.exec("SET GLOBAL read_only = OFF").await?;
        if state.starts_with("without") {
            load_at(&env, &schema.url(), "t", &tries).await?.expect(0)?;
            env.s3.log().clear();
            put(&env, &["b"])?;
        }
    }
    ensure_values(&schema, "SELECT v FROM t", &["a"]).await?;
    load_at(&env, &schema.url(), "t", &tries).await?.expect(0)?;
    ensure_values(&schema, "SELECT v FROM t ORDER BY v", &["a", "b"]).await
}

#[apply(load_test)]
async fn a_server_that_turns_read_only_during_the_run_keeps_ledger_and_table_agreed(
    env: TestEnv,
) -> Result<()> {
    let server = Server::start(env.server.kind(), &[])?;
    let schema = server.schema().await?;
    schema.exec("CREATE TABLE t (v VARCHAR(20) NOT NULL)").await?;
    put(&env, &["a", "b"])?;
    let held = env.s3.faults().on_get("b", Times::Always, Fault::Hold);
    let args = ["load", "s3://etl/", "--table", "t", "--max-attempts", "2"];
    let running = env.command(args).env("DATABASE_URL", schema.url()).spawn()?;
    held.wait_for_effects(1).await;
    while schema.query_one::<u64>("SELECT COUNT(*) FROM t").await? == 0 {
        tokio::task::yield_now().await;
    }
    schema.exec("SET GLOBAL read_only = ON").await?;
    held.release();
    let ended = finish(running).await?;
    ended.expect(6)?;
    ended.says("read-only; connect to the primary")?;
    let agreed = "SELECT CONVERT(object_key USING utf8mb4), state FROM s3_to_mysql_objects ORDER \
         BY object_key";
    ensure_values(&schema, "SELECT v FROM t", &["a"]).await?;
    ensure_values(&schema, agreed, &["a|loaded"]).await?;

    schema.exec("SET GLOBAL read_only = OFF").await?;
    load_at(&env, &schema.url(), "t", &[]).await?.expect(0)?;
    ensure_values(&schema, "SELECT v FROM t ORDER BY v", &["a", "b"]).await?;
    ensure_values(&schema, agreed, &["a|loaded", "b|loaded"]).await
}
