//! The session is the same whatever the server's defaults are, and what the server answers is
//! checked.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;

use crate::registry::{apply, load_test};
use crate::support::program::{BUCKET, Ended, TestEnv, finish};
use crate::support::servers::{Schema, Server, ServerKind};
use crate::throttle::Replicated;
use crate::worst_variables::{
    FREE, FREE_ON_MYSQL, LEFT, NEEDS_PRIVILEGE, PRIVILEGED, SESSION_ONLY, WORST,
};

const ROWS: u32 = 300;

/// A server whose variables may be spoiled.
struct Spoiled {
    env: TestEnv,
    server: Server,
    /// The variables that this server has, each with its worst value.
    worst: Vec<(&'static str, &'static str)>,
    /// True if the account may set every variable.
    is_privileged: bool,
}

impl Spoiled {
    async fn new(env: TestEnv, options: &[&str]) -> Result<Self> {
        let server = Server::start(env.server.kind(), options)?;
        let mut conn = server.root().await?;
        let names: Vec<(String, String)> = conn.query("SHOW SESSION VARIABLES").await?;
        conn.disconnect().await?;
        let has = |name: &str| names.iter().any(|(other, _)| other == name);
        let worst = WORST.iter().copied().filter(|(name, _)| has(name)).collect();
        Ok(Self { env, server, worst, is_privileged: false })
    }

    /// Lets MySQL's accounts set every variable, and spoils also those that need it.
    async fn privileged(env: TestEnv) -> Result<Self> {
        let mut spoiled = Self::new(env, &[]).await?;
        let mut conn = spoiled.server.root().await?;
        let names: Vec<(String, String)> = conn.query("SHOW SESSION VARIABLES").await?;
        conn.disconnect().await?;
        let more = NEEDS_PRIVILEGE.iter().copied();
        spoiled.worst.extend(more.filter(|(name, _)| names.iter().any(|(it, _)| it == name)));
        spoiled.is_privileged = true;
        Ok(spoiled)
    }

    /// Runs these statements as root, on a connection that was made before any of them.
    async fn run(&self, statements: Vec<String>) -> Result<()> {
        let mut conn = self.server.root().await?;
        for sql in statements {
            conn.query_drop(&sql).await.context(sql)?;
        }
        Ok(conn.disconnect().await?)
    }

    async fn spoil_globals(&self) -> Result<()> {
        let mut statements = Vec::new();
        for (name, worst) in &self.worst {
            if !SESSION_ONLY.contains(name) {
                statements.push(format!("SET GLOBAL {name} = {worst}"));
            }
        }
        self.run(statements).await
    }

    async fn restore_globals(&self) -> Result<()> {
        // First what keeps root from doing the rest.
        let first = ["max_statement_time", "max_execution_time", "sql_select_limit", "sql_mode"];
        let mut conn = self.server.root().await?;
        conn.query_drop("SET SESSION sql_mode = '', SESSION autocommit = 1").await?;
        let all: Vec<&str> = self.worst.iter().map(|(name, _)| *name).collect();
        for name in first.into_iter().chain(all.clone()) {
            if SESSION_ONLY.contains(&name) || !all.contains(&name) {
                continue;
            }
            let sql = format!("SET GLOBAL {name} = DEFAULT");
            conn.query_drop(&sql).await.context(sql)?;
        }
        Ok(conn.disconnect().await?)
    }

    /// Returns the statement that spoils the session of an ordinary account.
    fn spoiling(&self) -> String {
        let may = |name| self.is_privileged || !PRIVILEGED.contains(name);
        let spoiled = self.worst.iter().filter(|(name, _)| may(name));
        let all: Vec<String> =
            spoiled.map(|(name, worst)| format!("SESSION {name} = {worst}")).collect();
        format!("SET {}", all.join(", "))
    }

    async fn command(&self, schema: &Schema<'_>, args: &[&str]) -> Result<Ended> {
        let mut command = self.env.command(args);
        command.env("DATABASE_URL", schema.url());
        finish(command.spawn()?).await
    }

    /// Creates what [`Spoiled::load_all`] loads.
    async fn prepare(&self) -> Result<Schema<'_>> {
        let schema = self.server.schema().await?;
        for table in ["t", "`a誠`", "swapped"] {
            let sql = format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, n VARCHAR(20) CHARACTER SET utf8mb4, \
                 d DECIMAL(5, 2), at TIMESTAMP NULL, c VARCHAR(20) CHARACTER SET utf8mb4, KEY (n), \
                 CHECK (id > 0))"
            );
            schema.exec(&format!("SET NAMES utf8mb4; {sql}")).await?;
        }
        schema.exec("INSERT INTO swapped (id) VALUES (1), (2), (3)").await?;
        let line = |id: u32| format!("{id}\té{id}\t1.5\t2026-01-02 03:04:05\n");
        let good: String = (1..=ROWS).map(line).collect();
        self.env.put("good/1", good.clone())?;
        self.env.put("bad/1", format!("{good}{}", "0\té\t1\t2026-01-02 03:04:05\n"))?;
        Ok(schema)
    }

    /// Loads, checks and swaps. Every answer must be the one of an unspoiled server.
    async fn load_all(&self, schema: &Schema<'_>) -> Result<()> {
        let rejects = self.env.path("rejects").display().to_string();
        let columns = ["--columns", "id,n,d,at", "--set", "c='é日'"];
        let rejecting = ["--on-bad-row", "reject", "--rejects", &rejects];
        let good = format!("s3://{BUCKET}/good/");
        let bad = format!("s3://{BUCKET}/bad/");
        let to_t = [&["load", &bad, "--table", "t"], &columns[..], &rejecting[..]].concat();
        let to_named = [&["load", &good, "--table", "`a誠`"], &columns[..]].concat();
        let check = [&["check", &bad, "--table", "`a誠`"], &columns[..]].concat();
        let job = |mode| {
            let base = ["load", &good, "--table", "swapped", "--mode", mode, "--defer-indexes"];
            [&base[..], &["--verify", "checksum"], &columns[..2]].concat()
        };
        for (expected, args) in [
            (7, to_t.clone()),
            // All of it is in the ledger.
            (0, to_t),
            (0, to_named),
            (3, check),
            (0, job("swap")),
            (0, job("truncate")),
            (0, vec!["status", "--table", "t"]),
        ] {
            let ended = self.command(schema, &args).await?;
            ended.expect(expected).with_context(|| args.join(" "))?;
        }
        Ok(())
    }

    async fn ensure_loaded(&self, schema: &Schema<'_>) -> Result<()> {
        for (table, c) in [("t", "'é日'"), ("`a誠`", "'é日'"), ("swapped", "NULL")] {
            let mut conn = schema.conn().await?;
            conn.query_drop("SET NAMES utf8mb4").await?;
            let sums: Option<(u32, u32)> = conn
                .query_first(format!(
                    "SELECT COUNT(*), CAST(SUM(n = CONCAT('é', id) AND d = 1.5 AND \
                     at = '2026-01-02 03:04:05' AND c <=> {c}) AS UNSIGNED) FROM {table}"
                ))
                .await?;
            ensure!(sums == Some((ROWS, ROWS)), "{table}: all rows and right ones: {sums:?}");
        }
        let indexes: u64 = schema
            .query_one(&format!(
                "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = '{}' AND \
                 table_name = 'swapped'",
                schema.name
            ))
            .await?;
        ensure!(indexes == 2, "{indexes} indexes");
        let engines: Vec<String> = schema
            .query(
                "SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema = \
                    DATABASE()",
            )
            .await?;
        ensure!(engines == ["InnoDB"], "{engines:?}");
        let runs: (u64, u64) =
            schema.query_one("SELECT COUNT(*), COUNT(ended_at) FROM s3_to_mysql_runs").await?;
        ensure!(runs == (5, 5), "runs and recorded ends: {runs:?}");
        Ok(())
    }
}

#[apply(load_test)]
async fn the_worst_global_variables_change_nothing(env: TestEnv) -> Result<()> {
    let spoiled = Spoiled::new(env, &[]).await?;
    let schema = spoiled.prepare().await?;
    spoiled.spoil_globals().await?;
    let loaded = spoiled.load_all(&schema).await;
    spoiled.restore_globals().await?;
    loaded?;
    spoiled.ensure_loaded(&schema).await
}

/// The variables that the program does not pin, each with a bad value, and all switches of the
/// optimizer that can be turned off.
#[apply(load_test)]
async fn variables_that_are_left_to_the_server_change_nothing(env: TestEnv) -> Result<()> {
    let mut spoiled = Spoiled::new(env, &[]).await?;
    let mut conn = spoiled.server.root().await?;
    let names: Vec<(String, String)> = conn.query("SHOW GLOBAL VARIABLES").await?;
    conn.disconnect().await?;
    let value = |name: &str| names.iter().find(|(it, _)| it == name).map(|(_, value)| value);
    spoiled.worst = LEFT.iter().copied().filter(|(name, _)| value(name).is_some()).collect();
    ensure!(spoiled.worst.len() > 30, "{:?}", spoiled.worst);
    let switches = value("optimizer_switch").context("no switches")?;
    let off: Vec<String> = switches
        .split(',')
        .filter_map(|switch| switch.strip_suffix("=on"))
        // Some algorithm must be left to a subquery.
        .filter(|switch| *switch != "in_to_exists")
        .map(|switch| format!("{switch}=off"))
        .collect();
    let schema = spoiled.prepare().await?;
    spoiled.spoil_globals().await?;
    spoiled.run(vec![format!("SET GLOBAL optimizer_switch = '{}'", off.join(","))]).await?;
    spoiled.load_all(&schema).await?;
    spoiled.ensure_loaded(&schema).await
}

/// The administrator decides if replaced parents run the triggers of child tables. Only MySQL has
/// the variable; MariaDB runs none. The rows are the same.
#[apply(load_test)]
async fn the_server_decides_if_replaced_parents_run_triggers_of_child_tables(
    env: TestEnv,
) -> Result<()> {
    let server = Server::start(env.server.kind(), &[])?;
    env.put("1", "2\t1\t9\n")?;
    let values: &[u64] = if server.kind() == ServerKind::Mysql { &[0, 1] } else { &[0] };
    for &is_on in values {
        let schema = server.schema().await?;
        for sql in [
            "CREATE TABLE parent (id INT PRIMARY KEY, u INT UNIQUE, v INT)",
            "CREATE TABLE child (p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
            "CREATE TABLE deleted (p INT)",
            "CREATE TRIGGER record AFTER DELETE ON child FOR EACH ROW \
             INSERT INTO deleted VALUES (OLD.p)",
            "INSERT INTO parent VALUES (1, 1, 1)",
            "INSERT INTO child VALUES (1)",
        ] {
            schema.exec(sql).await?;
        }
        if server.kind() == ServerKind::Mysql {
            schema.exec(&format!("SET GLOBAL enable_cascade_triggers = {is_on}")).await?;
        }
        let args = ["load", "s3://etl/1", "--table", "parent", "--on-duplicate", "replace"];
        let mut command = env.command(args);
        finish(command.env("DATABASE_URL", schema.url()).spawn()?).await?.expect(0)?;
        let parents: Vec<(u32, u32, u32)> = schema.query("SELECT * FROM parent").await?;
        ensure!(parents == [(2, 1, 9)], "{is_on}: {parents:?}");
        let counts: (u64, u64) = schema
            .query_one("SELECT (SELECT COUNT(*) FROM child), (SELECT COUNT(*) FROM deleted)")
            .await?;
        ensure!(counts == (0, is_on), "{is_on}: {counts:?}");
    }
    Ok(())
}

#[apply(load_test)]
async fn the_worst_init_connect_changes_nothing(env: TestEnv) -> Result<()> {
    let spoiled = Spoiled::new(env, &[]).await?;
    let schema = spoiled.prepare().await?;
    let init_connect = spoiled.spoiling().replace('\'', "''");
    spoiled.run(vec![format!("SET GLOBAL init_connect = '{init_connect}'")]).await?;
    spoiled.load_all(&schema).await?;
    spoiled.run(vec!["SET GLOBAL init_connect = ''".to_owned()]).await?;
    spoiled.ensure_loaded(&schema).await
}

#[apply(load_test)]
async fn what_init_connect_has_begun_is_ended(env: TestEnv) -> Result<()> {
    for begun in [
        "START TRANSACTION",
        "START TRANSACTION READ ONLY",
        "SET SESSION completion_type = ''RELEASE''; START TRANSACTION READ ONLY",
        "LOCK TABLES swapped READ",
    ] {
        let env = TestEnv::new(env.server).await?;
        let mut spoiled = Spoiled::new(env, &[]).await?;
        spoiled.worst.clear();
        let schema = spoiled.prepare().await?;
        spoiled.run(vec![format!("SET GLOBAL init_connect = '{begun}'")]).await?;
        spoiled.load_all(&schema).await.context(begun)?;
        spoiled.run(vec!["SET GLOBAL init_connect = ''".to_owned()]).await?;
        spoiled.ensure_loaded(&schema).await.context(begun)?;
    }
    Ok(())
}

/// A ROLLBACK ends the session with RELEASE, and begins another transaction with CHAIN.
#[apply(load_test)]
async fn a_completion_type_does_not_end_or_chain_the_programs_transactions(
    env: TestEnv,
) -> Result<()> {
    let mut spoiled = Spoiled::new(env, &[]).await?;
    for worst in ["'RELEASE'", "'CHAIN'"] {
        spoiled.worst = vec![("completion_type", worst)];
        let schema = spoiled.prepare().await?;
        spoiled.spoil_globals().await?;
        spoiled.load_all(&schema).await.context(worst)?;
        spoiled.restore_globals().await?;
        spoiled.ensure_loaded(&schema).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_servers_character_set_does_not_replace_that_of_statements(env: TestEnv) -> Result<()> {
    let option = match env.server.kind() {
        ServerKind::Mysql => "--character-set-server=gbk",
        ServerKind::Mariadb => "--skip-character-set-client-handshake",
    };
    for init_connect in ["", "SET NAMES latin1", "SET NAMES gbk", "SET NAMES sjis"] {
        let env = TestEnv::new(env.server).await?;
        let options = ["--character-set-server=latin1", option];
        let mut spoiled = Spoiled::new(env, &options).await?;
        spoiled.worst.clear();
        let schema = spoiled.prepare().await?;
        spoiled.run(vec![format!("SET GLOBAL init_connect = '{init_connect}'")]).await?;
        spoiled.load_all(&schema).await.context(init_connect)?;
        spoiled.run(vec!["SET GLOBAL init_connect = ''".to_owned()]).await?;
        spoiled.ensure_loaded(&schema).await.context(init_connect)?;
    }
    Ok(())
}

/// Every session variable, also one that no list here names: what the program's sessions have is
/// recorded with spoiled globals, with a spoiling `init_connect` and without.
/// Those that may differ are listed.
#[apply(load_test)]
async fn a_session_has_the_same_variables_whatever_the_globals_are(env: TestEnv) -> Result<()> {
    let spoiled = Spoiled::privileged(env).await?;
    let schema = spoiled.prepare().await?;
    schema.exec("CREATE TABLE seen (n INT, name VARCHAR(99), value TEXT)").await?;
    if spoiled.server.kind() == ServerKind::Mysql {
        spoiled
            .run(vec![format!("GRANT SESSION_VARIABLES_ADMIN ON *.* TO {}@'%'", schema.user)])
            .await?;
    }
    let all = match spoiled.server.kind() {
        ServerKind::Mysql => {
            "SELECT 1, variable_name, variable_value FROM \
                              performance_schema.session_variables"
        }
        ServerKind::Mariadb => {
            "SELECT 1, LOWER(variable_name), variable_value FROM \
                                information_schema.session_variables"
        }
    };
    let mut recorded = Vec::new();
    for how in ["", "globals", "init_connect"] {
        match how {
            "globals" => spoiled.spoil_globals().await?,
            "init_connect" => {
                let spoiling = spoiled.spoiling().replace('\'', "''");
                spoiled.run(vec![format!("SET GLOBAL init_connect = '{spoiling}'")]).await?;
            }
            _ => {}
        }
        let good = format!("s3://{BUCKET}/good/");
        let args = ["load", &good, "--table", "t", "--columns", "id,n,d,at", "--force"];
        let more = ["--on-duplicate", "ignore", "--init-sql"];
        let record = format!("INSERT INTO seen {all}");
        let ended = spoiled.command(&schema, &[&args[..], &more[..], &[&record]].concat()).await;
        if how == "globals" {
            spoiled.restore_globals().await?;
        }
        let ended = ended.context(how)?;
        ensure!(matches!(ended.code, Some(0 | 7)), "{how}: {ended}");
        let rows: Vec<(String, String)> = schema
            .query("SELECT DISTINCT name, value FROM seen WHERE value IS NOT NULL ORDER BY 1, 2")
            .await?;
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in rows {
            values.entry(name).or_default().push(value);
        }
        recorded.push(values);
        schema.exec("DELETE FROM seen").await?;
    }
    let usual = &recorded[0];
    ensure!(usual.len() > 100, "{usual:?}");
    let is_free = |name: &str| {
        let on_mysql = spoiled.server.kind() == ServerKind::Mysql;
        FREE.contains(&name) || (on_mysql && FREE_ON_MYSQL.contains(&name))
    };
    let mut wrong = Vec::new();
    for (how, after) in [("globals", &recorded[1]), ("init_connect", &recorded[2])] {
        for name in usual.keys().chain(after.keys()).filter(|name| !is_free(name)) {
            let (before, now) = (usual.get(name), after.get(name));
            if before != now || before.is_none_or(|values| values.len() != 1) {
                wrong.push(format!("{how}: {name}: {before:?} and {now:?}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Starts a source whose replica repeats its statements, and which numbers rows in any order.
async fn repeating_statements(env: &TestEnv) -> Result<Replicated> {
    let options = [
        "--server-id=1",
        "--log-bin=binlog",
        "--binlog-format=STATEMENT",
        "--innodb-autoinc-lock-mode=2",
        // An ordinary account may make a trigger.
        "--log-bin-trust-function-creators=1",
    ];
    Replicated::start_with(env.server.kind(), &options, &["--innodb-autoinc-lock-mode=2"]).await
}

/// MariaDB's loads would get their numbers in turns with lock mode 2, as MySQL's do by default, and
/// a replica that repeats the statements one after the other would number the rows differently.
#[apply(load_test)]
async fn replicas_that_repeat_statements_get_every_row_of_a_table_that_numbers_rows(
    env: TestEnv,
) -> Result<()> {
    let servers = repeating_statements(&env).await?;
    let schema = servers.schema().await?;
    schema.exec("CREATE TABLE numbered (n INT AUTO_INCREMENT PRIMARY KEY, a INT)").await?;
    for object in 0..8 {
        let rows: String = (0..2000).map(|row| format!("{}\n", object * 2000 + row)).collect();
        env.put(&format!("{object}"), rows)?;
    }
    let mut command = env.command(
        ["load", "s3://etl/", "--table", "numbered", "--columns", "a", "--no-batch"].iter(),
    );
    let ended = finish(command.env("DATABASE_URL", schema.url()).spawn()?).await?;
    ended.expect(0)?;
    ended.says("binlog_format is STATEMENT")?;
    ended.says("only one connection loads")?;
    let sum = format!(
        "SELECT COUNT(*), CAST(COALESCE(SUM(n * (a + 1)), 0) AS CHAR) FROM {}.numbered",
        schema.name
    );
    let loaded: (u64, String) = schema.query_one(&sum).await?;
    ensure!(loaded.0 == 16_000, "{loaded:?}");
    let mut replica = servers.replica().root().await?;
    for _ in 0..1000 {
        let found: Option<(u64, String)> = replica.query_first(&sum).await?;
        if found.as_ref() == Some(&loaded) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let found: Option<(u64, String)> = replica.query_first(&sum).await?;
    ensure!(found.as_ref() == Some(&loaded), "{found:?} on the replica, {loaded:?} on its source");
    Ok(())
}

/// Two runs side by side have two connections, and a trigger may number rows of another table.
#[apply(load_test)]
async fn replicas_that_repeat_statements_get_every_row_of_runs_side_by_side(
    env: TestEnv,
) -> Result<()> {
    let servers = repeating_statements(&env).await?;
    let schema = servers.schema().await?;
    schema.exec("CREATE TABLE numbered (n INT AUTO_INCREMENT PRIMARY KEY, a INT)").await?;
    schema.exec("CREATE TABLE plain (a INT)").await?;
    schema
        .exec(
            "CREATE TRIGGER audit AFTER INSERT ON plain FOR EACH ROW \
               INSERT INTO numbered (a) VALUES (NEW.a)",
        )
        .await?;
    for object in 0..8 {
        let rows: String = (0..20_000).map(|row| format!("{}\n", object * 20_000 + row)).collect();
        env.put(&format!("{}/{object}", object % 2), rows)?;
    }
    let load = async |prefix: &str, table: &str| {
        let args = ["load", prefix, "--table", table, "--columns", "a", "--no-batch"];
        finish(env.command(args).env("DATABASE_URL", schema.url()).spawn()?).await?.expect(0)
    };
    let sum = format!(
        "SELECT COUNT(*), CAST(COALESCE(SUM(n * (a + 1)), 0) AS CHAR) FROM {}.numbered",
        schema.name
    );
    let mut replica = servers.replica().root().await?;
    for table in ["numbered", "plain"] {
        schema.exec("DELETE FROM numbered").await?;
        tokio::try_join!(load("s3://etl/0/", table), load("s3://etl/1/", table))?;
        let loaded: (u64, String) = schema.query_one(&sum).await?;
        ensure!(loaded.0 == 160_000, "{table}: {loaded:?}");
        let mut found: Option<(u64, String)> = None;
        for _ in 0..1000 {
            found = replica.query_first(&sum).await?;
            if found.as_ref() == Some(&loaded) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        ensure!(
            found.as_ref() == Some(&loaded),
            "{table}: {found:?} on the replica, {loaded:?} on its source"
        );
    }
    Ok(())
}
