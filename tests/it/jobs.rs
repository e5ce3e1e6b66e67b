//! Truncate and swap: a job is done once, whoever dies, and readers see the old rows or the new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio::process::{Child, Command};

use crate::support::hive;
use crate::support::program::{Ended, World, finish, wait_for_log};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::s3::{Fault, Operation, Times};
use crate::support::servers::{Schema, ServerKind};
use crate::support::values::{ensure_values, values};

crate::load_tests![
    a_truncate_job_empties_the_table_once_and_the_next_one_again,
    a_swap_with_a_failed_object_leaves_the_table_as_it_was,
    the_old_table_is_kept_under_its_name_and_replaced_by_the_next_swap,
    a_table_that_no_swap_has_made_is_not_replaced,
    what_a_swap_would_lose_is_named_before_anything_is_read,
    what_keeps_a_table_from_being_truncated_is_named_before_anything_is_read,
    triggers_that_the_account_can_not_see_are_a_warning,
    views_and_grants_stay_with_the_name,
    a_foreign_key_that_can_not_be_seen_keeps_the_old_table,
    an_account_that_may_not_empty_the_table_is_told_so_at_once,
    a_truncate_job_killed_between_any_two_states_is_resumed,
    a_swap_job_killed_between_any_two_states_is_resumed,
    a_lost_answer_at_any_step_of_a_job_is_recovered_by_the_same_run,
    a_truncate_left_behind_by_a_dead_run_does_not_empty_what_the_next_one_loads,
    a_rename_left_behind_by_a_dead_run_swaps_once,
    a_reader_sees_the_old_rows_or_the_new_ones_whoever_dies,
    two_runs_share_a_swap_job_and_swap_once,
    an_append_whose_table_is_swapped_meanwhile_fails_and_says_why,
    an_append_is_refused_while_an_unfinished_truncate_is_to_come,
    a_live_job_keeps_another_from_beginning_and_a_dead_one_is_given_up,
    a_shadow_that_has_not_the_rows_of_the_ledger_is_not_swapped,
    a_shadow_that_has_gone_begins_the_job_anew,
    rows_of_earlier_generations_leave_the_ledger,
    a_job_ends_within_the_bounds_where_a_reader_does_not,
];

/// Rows of an object.
const ROWS: u64 = 300;
const TRUNCATE: [&str; 4] = ["--preset", "hive", "--mode", "truncate"];
const SWAP: [&str; 4] = ["--preset", "hive", "--mode", "swap"];
const APPEND: [&str; 2] = ["--preset", "hive"];

fn add(sums: &mut hive::Sums, more: hive::Sums) {
    sums.rows += more.rows;
    sums.checksum += more.checksum;
}

/// Puts `count` objects `in/0`, `in/1`, ... with rows from `first_row` on.
fn put_objects(world: &World, first_row: u64, count: u64) -> Result<hive::Sums> {
    let mut sums = hive::Sums::default();
    for number in 0..count {
        let from = first_row + number * ROWS;
        let (bytes, more) = hive::object(from, from + ROWS);
        world.put(&format!("in/{number}"), bytes)?;
        add(&mut sums, more);
    }
    Ok(sums)
}

/// Makes table `t` with rows that no object has.
async fn old_rows(world: &World) -> Result<hive::Sums> {
    world.schema.exec(&hive::create_table("t")).await?;
    let (bytes, sums) = hive::object(900_000, 900_000 + ROWS);
    world.put("old/0", bytes)?;
    // Without a ledger, so that what the tests see of it is the jobs' alone.
    let args = ["load", "s3://etl/old/", "--table", "t", "--preset", "hive", "--no-ledger"];
    world.run(&args).await?.expect(0)?;
    Ok(sums)
}

/// `load s3://etl/in/ --table t ARGS`.
async fn load(world: &World, args: &[&str]) -> Result<Ended> {
    world.run(&[&["load", "s3://etl/in/", "--table", "t"], args].concat()).await
}

/// The same through a proxy.
fn through(world: &World, proxy: &Proxy, args: &[&str]) -> Command {
    let port = proxy.port().to_string();
    let base = ["load", "s3://etl/in/", "--table", "t", "--ssl-mode", "DISABLED", "--port", &port];
    world.command(base.iter().chain(args))
}

async fn sums_of(schema: &Schema<'_>, table: &str) -> Result<(u64, u64)> {
    schema.query_one(&hive::checksum_query(table)).await
}

async fn ensure_rows(world: &World, table: &str, sums: hive::Sums) -> Result<()> {
    let found = sums_of(&world.schema, table).await?;
    ensure!(found == (sums.rows, sums.checksum), "{table} has {found:?}, not {sums:?}");
    Ok(())
}

/// `generation|table_generation|mode|state` of the one job.
async fn ensure_job(world: &World, expected: &str) -> Result<()> {
    let query = "SELECT generation, table_generation, mode, state FROM s3_to_mysql_jobs";
    ensure_values(&world.schema, query, &[expected]).await
}

/// No table of a swap may be left.
async fn ensure_no_leftovers(world: &World) -> Result<()> {
    let tables = values(&world.schema, "SHOW TABLES").await?;
    let left: Vec<&String> = tables.iter().filter(|name| name.starts_with("s3_to_mysql_") && name.len() > 24).collect();
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}

async fn shadow(world: &World) -> Result<String> {
    world
        .schema
        .query_one(&format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{}' AND TABLE_NAME LIKE 's3\\_to\\_mysql\\_shadow\\_%'",
            world.schema.name
        ))
        .await
}

/// Between two looks at the server's state.
const POLL: std::time::Duration = std::time::Duration::from_millis(20);

/// What the account's connections run: their ids and statements.
async fn statements(world: &World, conn: &mut Conn) -> Result<Vec<(u64, String)>> {
    let connections: Vec<mysql_async::Row> = conn.query("SHOW PROCESSLIST").await?;
    let own = connections.iter().filter(|row| row.get::<String, _>("User").as_ref() == Some(&world.schema.user));
    Ok(own
        .filter_map(|row| Some((row.get::<u64, _>("Id")?, row.get::<Option<String>, _>("Info").flatten()?)))
        .collect())
}

/// Waits until what the account's connections run is as wanted.
async fn wait_until<T>(world: &World, mut wanted: impl FnMut(Vec<(u64, String)>) -> Option<T>) -> Result<T> {
    let mut conn = world.schema.conn().await?;
    for _ in 0..1500 {
        if let Some(found) = wanted(statements(world, &mut conn).await?) {
            conn.disconnect().await?;
            return Ok(found);
        }
        tokio::time::sleep(POLL).await;
    }
    let last = statements(world, &mut conn).await?;
    anyhow::bail!("what was waited for did not come; at last there was {last:?}")
}

async fn kill(mut child: Child) -> Result<()> {
    Ok(child.kill().await?)
}

/// A transaction that has `t` open.
async fn open_reader(world: &World) -> Result<Conn> {
    let mut reader = world.schema.conn().await?;
    reader.query_drop("START TRANSACTION").await?;
    reader.query_drop("SELECT * FROM t LIMIT 1").await?;
    Ok(reader)
}

async fn a_truncate_job_empties_the_table_once_and_the_next_one_again(world: World) -> Result<()> {
    old_rows(&world).await?;
    let mut sums = put_objects(&world, 0, 2)?;
    world.put("in/bad", "no row of this table\n")?;
    load(&world, &TRUNCATE).await?.expect(3)?;
    ensure_rows(&world, "t", sums).await?;
    ensure_job(&world, "2|2|truncate|loading").await?;

    // Loaded by nobody, so that an emptied table shows.
    world.schema.exec("CREATE TABLE mark LIKE t").await?;
    world.schema.exec("INSERT INTO t SELECT * FROM t LIMIT 1").await?;
    let with_mark = world.count("t").await?;
    let (bytes, more) = hive::object(5000, 5000 + ROWS);
    world.put("in/bad", bytes)?;
    let resumed = load(&world, &TRUNCATE).await?;
    resumed.expect(0)?;
    ensure!(resumed.summary("objects loaded")? == "1" && resumed.summary("already loaded")? == "2", "{resumed}");
    ensure!(world.count("t").await? == with_mark + more.rows, "the resumed run has emptied the table");
    ensure_job(&world, "2|2|truncate|done").await?;

    add(&mut sums, more);
    let tonight = load(&world, &TRUNCATE).await?;
    tonight.expect(0)?;
    ensure!(tonight.summary("objects loaded")? == "3", "{tonight}");
    ensure_rows(&world, "t", sums).await?;
    ensure_job(&world, "3|3|truncate|done").await
}

async fn a_swap_with_a_failed_object_leaves_the_table_as_it_was(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    let mut sums = put_objects(&world, 0, 2)?;
    world.put("in/bad", "no row of this table\n")?;
    load(&world, &SWAP).await?.expect(3)?;
    ensure_rows(&world, "t", old).await?;
    ensure_job(&world, "2|1|swap|loading").await?;

    let (bytes, more) = hive::object(5000, 5000 + ROWS);
    world.put("in/bad", bytes)?;
    add(&mut sums, more);
    let resumed = load(&world, &SWAP).await?;
    resumed.expect(0)?;
    ensure!(resumed.summary("objects loaded")? == "1" && resumed.summary("already loaded")? == "2", "{resumed}");
    ensure_rows(&world, "t", sums).await?;
    ensure_job(&world, "2|2|swap|swapped").await?;
    ensure_no_leftovers(&world).await?;

    // Appending knows what the swap has brought.
    let appended = load(&world, &APPEND).await?;
    appended.expect(0)?;
    ensure!(appended.summary("already loaded")? == "3", "{appended}");
    let tonight = load(&world, &SWAP).await?;
    tonight.expect(0)?;
    ensure!(tonight.summary("objects loaded")? == "3", "{tonight}");
    ensure_rows(&world, "t", sums).await?;
    ensure_job(&world, "3|3|swap|swapped").await?;
    ensure_no_leftovers(&world).await
}

async fn the_old_table_is_kept_under_its_name_and_replaced_by_the_next_swap(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    let first = put_objects(&world, 0, 2)?;
    let keep = [&SWAP[..], &["--swap-keep-old"]].concat();
    load(&world, &keep).await?.expect(0)?;
    ensure_rows(&world, "t", first).await?;
    ensure_rows(&world, "t_old", old).await?;

    let second = put_objects(&world, 10_000, 2)?;
    load(&world, &keep).await?.expect(0)?;
    ensure_rows(&world, "t", second).await?;
    ensure_rows(&world, "t_old", first).await?;

    // One that keeps none leaves the one that was kept.
    let third = put_objects(&world, 20_000, 2)?;
    load(&world, &SWAP).await?.expect(0)?;
    ensure_rows(&world, "t", third).await?;
    ensure_rows(&world, "t_old", first).await?;
    ensure_no_leftovers(&world).await
}

async fn a_table_that_no_swap_has_made_is_not_replaced(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    put_objects(&world, 0, 1)?;
    world.schema.exec("CREATE TABLE t_old (a INT)").await?;
    world.schema.exec("INSERT INTO t_old VALUES (7)").await?;
    let keep = [&SWAP[..], &["--swap-keep-old"]].concat();
    let refused = load(&world, &keep).await?;
    refused.expect(6)?;
    refused.says("`t_old`, a table that no swap has made")?;
    ensure_values(&world.schema, "SELECT a FROM t_old", &["7"]).await?;
    ensure_rows(&world, "t", old).await?;
    load(&world, &SWAP).await?.expect(0)?;
    ensure_values(&world.schema, "SELECT a FROM t_old", &["7"]).await?;

    let long = "x".repeat(61);
    world.schema.exec(&format!("CREATE TABLE {long} LIKE t")).await?;
    let args = [&["load", "s3://etl/in/", "--table", &long], &keep[..]].concat();
    let refused = world.run(&args).await?;
    refused.expect(6)?;
    refused.says("a name that is too long")
}

async fn what_a_swap_would_lose_is_named_before_anything_is_read(world: World) -> Result<()> {
    world.put("in/0", "1\n")?;
    for statement in [
        "CREATE TABLE parent (a INT PRIMARY KEY)",
        "CREATE TABLE t (a INT PRIMARY KEY, CONSTRAINT up FOREIGN KEY (a) REFERENCES parent (a))",
        "CREATE TABLE child (a INT, CONSTRAINT down FOREIGN KEY (a) REFERENCES t (a))",
        "CREATE TRIGGER tick BEFORE INSERT ON t FOR EACH ROW SET NEW.a = NEW.a",
        "CREATE VIEW v AS SELECT a FROM parent",
        "INSERT INTO parent VALUES (1), (2)",
    ] {
        world.schema.exec(statement).await?;
    }
    let refused = load(&world, &["--mode", "swap"]).await?;
    refused.expect(6)?;
    refused.says("its foreign key up would be lost")?;
    refused.says(&format!("foreign key down of {}.child refers to it", world.schema.name))?;
    refused.says("its trigger tick would be lost")?;
    let view = world.run(&["load", "s3://etl/in/", "--table", "v", "--mode", "swap"]).await?;
    view.expect(6)?;
    view.says("is a view, which can't be swapped")?;
    if world.server.kind() == ServerKind::Mariadb {
        world.schema.exec("CREATE TABLE h (a INT) WITH SYSTEM VERSIONING").await?;
        let versioned = world.run(&["load", "s3://etl/in/", "--table", "h", "--mode", "swap"]).await?;
        versioned.expect(6)?;
        versioned.says("is system-versioned: a swap would lose its history")?;
    }
    ensure!(world.s3.log().count(Operation::GetObject) == 0, "nothing needs to be read to know this");
    ensure!(world.count("t").await? == 0);
    ensure_no_leftovers(&world).await
}

async fn what_keeps_a_table_from_being_truncated_is_named_before_anything_is_read(world: World) -> Result<()> {
    world.put("in/0", "2\n")?;
    for statement in [
        "CREATE TABLE t (a INT PRIMARY KEY, b INT, CONSTRAINT itself FOREIGN KEY (b) REFERENCES t (a))",
        "INSERT INTO t VALUES (1, NULL)",
        "CREATE TABLE child (a INT, CONSTRAINT down FOREIGN KEY (a) REFERENCES t (a))",
        "CREATE VIEW v AS SELECT a FROM t",
    ] {
        world.schema.exec(statement).await?;
    }
    let args = ["--mode", "truncate", "--columns", "a"];
    let refused = load(&world, &args).await?;
    refused.expect(6)?;
    refused.says(&format!(
        "foreign key down of {}.child refers to it, so that it can't be truncated",
        world.schema.name
    ))?;
    ensure_values(&world.schema, "SELECT a FROM t", &["1"]).await?;
    let view = world.run(&["load", "s3://etl/in/", "--table", "v", "--mode", "truncate"]).await?;
    view.expect(6)?;
    view.says("is a view, which can't be emptied")?;
    ensure_values(&world.schema, "SELECT a FROM t", &["1"]).await?;
    // A table that refers to itself is none of this.
    world.schema.exec("DROP TABLE child").await?;
    load(&world, &args).await?.expect(0)?;
    ensure_values(&world.schema, "SELECT a FROM t", &["2"]).await
}

async fn triggers_that_the_account_can_not_see_are_a_warning(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    let sums = put_objects(&world, 0, 1)?;
    let warning = "whether it has triggers can't be seen";
    let seen = load(&world, &SWAP).await?;
    seen.expect(0)?;
    ensure!(!seen.stderr.contains(warning), "{seen}");
    ensure_rows(&world, "t", sums).await?;
    ensure!(old != sums);

    world.schema.exec(&format!("REVOKE TRIGGER ON {}.* FROM {}@'%'", world.schema.name, world.schema.user)).await?;
    let unseen = load(&world, &SWAP).await?;
    unseen.expect(0)?;
    unseen.says(warning)
}

async fn views_and_grants_stay_with_the_name(world: World) -> Result<()> {
    old_rows(&world).await?;
    let sums = put_objects(&world, 0, 2)?;
    world.schema.exec("CREATE VIEW v AS SELECT * FROM t").await?;
    load(&world, &SWAP).await?.expect(0)?;
    ensure_rows(&world, "v", sums).await?;
    let sums = put_objects(&world, 10_000, 2)?;
    load(&world, &TRUNCATE).await?.expect(0)?;
    ensure_rows(&world, "v", sums).await
}

async fn a_foreign_key_that_can_not_be_seen_keeps_the_old_table(world: World) -> Result<()> {
    world.put("in/0", "3\n")?;
    let hidden = format!("{}hidden", world.schema.name);
    world.schema.exec("CREATE TABLE t (a INT PRIMARY KEY)").await?;
    world.schema.exec("INSERT INTO t VALUES (1)").await?;
    world.schema.exec(&format!("CREATE DATABASE {hidden}")).await?;
    world
        .schema
        .exec(&format!("CREATE TABLE {hidden}.child (a INT, FOREIGN KEY (a) REFERENCES {}.t (a))", world.schema.name))
        .await?;
    world.schema.exec(&format!("INSERT INTO {hidden}.child VALUES (1)")).await?;

    let swapped = load(&world, &["--mode", "swap"]).await?;
    swapped.expect(0)?;
    swapped.says("the old table stays as")?;
    ensure_values(&world.schema, "SELECT a FROM t", &["3"]).await?;
    ensure_job(&world, "2|2|swap|swapped").await?;
    // The next one says what is in its way before it begins.
    let refused = load(&world, &["--mode", "swap"]).await?;
    refused.expect(6)?;
    refused.says("DROP TABLE")?;
    ensure_values(&world.schema, "SELECT a FROM t", &["3"]).await?;
    world.schema.exec(&format!("DROP DATABASE {hidden}")).await?;
    load(&world, &["--mode", "swap"]).await?.expect(0)?;
    ensure_no_leftovers(&world).await
}

async fn an_account_that_may_not_empty_the_table_is_told_so_at_once(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    put_objects(&world, 0, 1)?;
    // The ledger's tables are there then.
    load(&world, &[&APPEND[..], &["--include", "nothing", "--allow-empty"]].concat()).await?.expect(0)?;
    world.schema.exec(&format!("REVOKE DROP ON {}.* FROM {}@'%'", world.schema.name, world.schema.user)).await?;
    let refused = load(&world, &TRUNCATE).await?;
    refused.expect(6)?;
    refused.says("--mode truncate needs the DROP privilege")?;
    ensure_rows(&world, "t", old).await?;
    ensure!(world.s3.log().gets_of("in/0").is_empty(), "nothing needs to be read to know this");
    Ok(())
}

/// Where a job can be interrupted: what the statement has in it. `{db}` is the schema's name.
const TRUNCATE_STEPS: [&str; 8] = [
    "state = 'begun', source",
    "TRUNCATE TABLE",
    "state = 'emptied', source",
    "state = 'loading', source",
    "INSERT INTO `{db}`.`s3_to_mysql_objects`",
    "COMMIT",
    "state = 'done', source",
    "DELETE FROM",
];
const SWAP_STEPS: [&str; 14] = [
    "state = 'begun', source",
    " LIKE `{db}`.`t`",
    "state = 'loading', source",
    "INTO TABLE `{db}`.`s3_to_mysql_shadow_",
    "COMMIT",
    "state = 'swapping', source",
    "SELECT COUNT(*) FROM `{db}`.`s3_to_mysql_shadow_",
    "COMMENT='s3-to-mysql swap",
    "RENAME TABLE",
    "state = 'swapped', source",
    "DROP TABLE `{db}`.`s3_to_mysql_old_",
    "DROP TABLE `{db}`.`s3_to_mysql_done_",
    "DO RELEASE_LOCK",
    "DELETE FROM",
];
/// Those that are other ones with `--swap-keep-old`.
const KEEP_STEPS: [&str; 5] = [
    "RENAME TABLE `{db}`.`t` TO",
    "state = 'swapped', source",
    "DROP TABLE `{db}`.`t_old`",
    "RENAME TABLE `{db}`.`s3_to_mysql_old_",
    "DROP TABLE `{db}`.`s3_to_mysql_done_",
];

/// The steps are few and the process is short: what is leaked is little.
fn step(world: &World, part: &'static str) -> Step {
    if part == "COMMIT" {
        // READ-COMMITTED has it in it.
        return Step::Statement(part);
    }
    Step::StatementWith(Box::leak(part.replace("{db}", &world.schema.name).into_boxed_str()))
}

/// A kill before a statement is one after the statement before it; for the statements that matter most both are shown.
fn hows(part: &str) -> &'static [Break] {
    if ["state = 'begun'", "TRUNCATE", "RENAME", "COMMIT"].iter().any(|start| part.starts_with(start)) {
        &[Break::Hold, Break::HoldAnswer]
    } else {
        &[Break::HoldAnswer]
    }
}

/// Runs a job through a proxy and kills it where it gets to this step, before the statement or after its effect.
async fn killed_at(world: &World, args: &[&str], part: &'static str, how: Break) -> Result<()> {
    let proxy = Proxy::start(world.server.port()).await?;
    let held = proxy.next(step(world, part), how);
    let child = through(world, &proxy, args).spawn()?;
    held.wait().await?;
    kill(child).await?;
    held.cut();
    Ok(())
}

async fn a_truncate_job_killed_between_any_two_states_is_resumed(world: World) -> Result<()> {
    old_rows(&world).await?;
    let mut first_row = 0;
    for part in TRUNCATE_STEPS {
        for &how in hows(part) {
            first_row += 10_000;
            let sums = put_objects(&world, first_row, 2)?;
            let round = async {
                killed_at(&world, &TRUNCATE, part, how).await?;
                let resumed = load(&world, &TRUNCATE).await?;
                resumed.expect(0)?;
                ensure_rows(&world, "t", sums).await?;
                ensure_values(&world.schema, "SELECT DISTINCT mode, state FROM s3_to_mysql_jobs", &["truncate|done"])
                    .await?;
                let loaded = "SELECT COUNT(*) FROM s3_to_mysql_objects JOIN s3_to_mysql_jobs USING (target, generation) WHERE objects.state = 'loaded'";
                let loaded = loaded.replace("objects.state", "s3_to_mysql_objects.state");
                ensure_values(&world.schema, &loaded, &["2"]).await
            };
            round.await.with_context(|| format!("{how:?} at {part}"))?;
        }
    }
    Ok(())
}

async fn a_swap_job_killed_between_any_two_states_is_resumed(world: World) -> Result<()> {
    old_rows(&world).await?;
    let keep = [&SWAP[..], &["--swap-keep-old"]].concat();
    let steps =
        SWAP_STEPS.iter().map(|part| (&SWAP[..], *part)).chain(KEEP_STEPS.iter().map(|part| (&keep[..], *part)));
    // So that there is one to be replaced.
    let mut before = put_objects(&world, 0, 2)?;
    load(&world, &keep).await?.expect(0)?;
    let mut first_row = 0;
    for (args, part) in steps {
        for &how in hows(part) {
            first_row += 10_000;
            let sums = put_objects(&world, first_row, 2)?;
            let is_either = |found: (u64, u64)| -> Result<()> {
                let is_either = [before, sums].iter().any(|whole| found == (whole.rows, whole.checksum));
                ensure!(is_either, "{found:?} is neither {before:?} nor {sums:?}");
                Ok(())
            };
            let round = async {
                killed_at(&world, args, part, how).await?;
                is_either(sums_of(&world.schema, "t").await?)?;
                load(&world, args).await?.expect(0)?;
                ensure_rows(&world, "t", sums).await?;
                ensure_values(&world.schema, "SELECT DISTINCT mode, state FROM s3_to_mysql_jobs", &["swap|swapped"])
                    .await?;
                ensure_no_leftovers(&world).await?;
                if args == keep {
                    is_either(sums_of(&world.schema, "t_old").await?)?;
                }
                anyhow::Ok(())
            };
            round.await.with_context(|| format!("{how:?} at {part}"))?;
            before = sums;
        }
    }
    Ok(())
}

async fn a_lost_answer_at_any_step_of_a_job_is_recovered_by_the_same_run(world: World) -> Result<()> {
    old_rows(&world).await?;
    let mut first_row = 0;
    let truncate_steps = TRUNCATE_STEPS.iter().map(|part| (&TRUNCATE[..], *part));
    let swap_steps = SWAP_STEPS.iter().map(|part| (&SWAP[..], *part));
    for (args, part) in truncate_steps.chain(swap_steps) {
        first_row += 10_000;
        let sums = put_objects(&world, first_row, 2)?;
        let round = async {
            let proxy = Proxy::start(world.server.port()).await?;
            let swallowed = proxy.next(step(&world, part), Break::SwallowAnswer);
            let ended = finish(through(&world, &proxy, args).spawn()?).await?;
            ended.expect(0)?;
            ensure!(swallowed.count() == 1, "no answer was lost");
            ensure_rows(&world, "t", sums).await?;
            ensure_no_leftovers(&world).await
        };
        round.await.with_context(|| format!("at {part}"))?;
    }
    Ok(())
}

/// A reader keeps `statement` waiting; its client is killed, with or without the server's knowledge, and the next run
/// starts before the reader goes.
async fn left_behind(world: &World, args: &[&str], statement: &'static str, is_noticed: bool) -> Result<()> {
    let mut reader = open_reader(world).await?;
    let proxy = Proxy::start(world.server.port()).await?;
    let held = proxy.next(Step::StatementWith(statement), Break::HoldUnanswered);
    let child = through(world, &proxy, args).spawn()?;
    held.wait().await?;
    let is_it = |text: &str| text.starts_with(statement);
    let left_id = wait_until(world, |found| found.iter().find(|(_, text)| is_it(text)).map(|(id, _)| *id)).await?;
    kill(child).await?;
    if is_noticed {
        held.cut();
    }
    let next = world.command([&["load", "s3://etl/in/", "--table", "t"], args].concat()).spawn()?;
    // It waits for the table, behind the statement that was left, or for the job.
    let waits = |(id, text): &(u64, String)| {
        *id != left_id && (is_it(text) || text.starts_with("SELECT GET_LOCK") || text.starts_with("LOAD DATA"))
    };
    wait_until(world, |found| found.iter().any(waits).then_some(())).await?;
    reader.query_drop("COMMIT").await?;
    if !is_noticed {
        // It has had its effect for nobody, and only now the server learns that nobody is there.
        wait_until(world, |found| (!found.iter().any(|(id, _)| *id == left_id)).then_some(())).await?;
        held.cut();
    }
    finish(next).await?.expect(0)
}

async fn a_truncate_left_behind_by_a_dead_run_does_not_empty_what_the_next_one_loads(world: World) -> Result<()> {
    old_rows(&world).await?;
    for (round, noticed) in [false, true].into_iter().enumerate() {
        let sums = put_objects(&world, 10_000 * round as u64, 3)?;
        left_behind(&world, &TRUNCATE, "TRUNCATE TABLE", noticed).await.with_context(|| format!("{noticed}"))?;
        ensure_rows(&world, "t", sums).await?;
    }
    Ok(())
}

async fn a_rename_left_behind_by_a_dead_run_swaps_once(world: World) -> Result<()> {
    old_rows(&world).await?;
    for (round, noticed) in [false, true].into_iter().enumerate() {
        let sums = put_objects(&world, 10_000 * round as u64, 3)?;
        left_behind(&world, &SWAP, "RENAME TABLE", noticed).await.with_context(|| format!("{noticed}"))?;
        ensure_rows(&world, "t", sums).await?;
        ensure_no_leftovers(&world).await?;
    }
    Ok(())
}

async fn a_reader_sees_the_old_rows_or_the_new_ones_whoever_dies(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    let ended = Arc::new(AtomicBool::new(false));
    let mut conn = world.schema.conn().await?;
    let reader = tokio::spawn({
        let ended = Arc::clone(&ended);
        async move {
            // What was seen, each change once.
            let mut seen: Vec<(u64, u64)> = Vec::new();
            let mut looks = 0_u64;
            while !ended.load(Ordering::Relaxed) {
                let found: Option<(u64, u64)> = conn.query_first(hive::checksum_query("t")).await?;
                looks += 1;
                let found = found.context("no row")?;
                if seen.last() != Some(&found) {
                    seen.push(found);
                }
            }
            anyhow::Ok((seen, looks))
        }
    });
    let mut expected = vec![(old.rows, old.checksum)];
    let rounds = [
        None,
        Some(("COMMIT", Break::Hold)),
        Some(("COMMIT", Break::HoldAnswer)),
        Some(("state = 'swapping', source", Break::HoldAnswer)),
        Some(("RENAME TABLE", Break::Hold)),
        Some(("RENAME TABLE", Break::HoldAnswer)),
        Some(("state = 'swapped', source", Break::HoldAnswer)),
        Some(("DROP TABLE", Break::HoldAnswer)),
        None,
    ];
    for (round, killed) in rounds.into_iter().enumerate() {
        let sums = put_objects(&world, 10_000 * (round as u64 + 1), 3)?;
        if let Some((part, how)) = killed {
            killed_at(&world, &SWAP, part, how).await?;
        }
        load(&world, &SWAP).await?.expect(0)?;
        expected.push((sums.rows, sums.checksum));
    }
    ended.store(true, Ordering::Relaxed);
    let (seen, looks) = reader.await??;
    // A look that comes late may miss a content, but there is no other and no way back.
    let mut left = expected.iter();
    for content in &seen {
        ensure!(left.any(|known| known == content), "{content:?} is no whole content, or not the next: {expected:?}");
    }
    ensure!(looks > 100 && seen.len() > expected.len() / 2, "{looks} looks saw only {seen:?}");
    Ok(())
}

async fn two_runs_share_a_swap_job_and_swap_once(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    let sums = put_objects(&world, 0, 8)?;
    // Neither gets far before the other is there.
    let held = world.s3.faults().on_get("in/7", Times::Always, Fault::Hold);
    let command = || world.command([&["load", "s3://etl/in/", "--table", "t"], &SWAP[..]].concat());
    let mut first = command().spawn()?;
    let first_log = wait_for_log(&mut first, "beginning a swap job").await?;
    let mut second = command().spawn()?;
    let second_log = wait_for_log(&mut second, "going on with the swap job").await?;
    held.wait_for_effects(1).await;
    ensure_rows(&world, "t", old).await?;
    held.release();
    let (first, second) = (finish(first).await?, finish(second).await?);
    let logs = first_log.await? + &second_log.await?;
    ensure!((first.code, second.code) == (Some(0), Some(0)), "{logs}");
    let loaded = |ended: &Ended| -> Result<u64> { Ok(ended.summary("objects loaded")?.parse()?) };
    ensure!(loaded(&first)? + loaded(&second)? == 8, "{first}{second}");
    ensure_rows(&world, "t", sums).await?;
    ensure_job(&world, "2|2|swap|swapped").await?;
    ensure_no_leftovers(&world).await
}

async fn an_append_whose_table_is_swapped_meanwhile_fails_and_says_why(world: World) -> Result<()> {
    old_rows(&world).await?;
    let (bytes, sums) = hive::object(0, ROWS);
    world.put("in/0", bytes)?;
    let (bytes, _) = hive::object(5000, 5000 + ROWS);
    world.put("late/0", bytes)?;
    let held = world.s3.faults().on_get("late/0", Times::Always, Fault::Hold);
    let append = world.command(["load", "s3://etl/late/", "--table", "t", "--preset", "hive"]).spawn()?;
    held.wait_for_effects(1).await;
    load(&world, &SWAP).await?.expect(0)?;
    held.release();
    let append = finish(append).await?;
    ensure!(append.code != Some(0), "{append}");
    append.says("generation")?;
    ensure_rows(&world, "t", sums).await?;
    // The next one finds the table as it is.
    world.run(&["load", "s3://etl/late/", "--table", "t", "--preset", "hive"]).await?.expect(0)?;
    ensure!(world.count("t").await? == 2 * ROWS);
    Ok(())
}

async fn an_append_is_refused_while_an_unfinished_truncate_is_to_come(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    let sums = put_objects(&world, 0, 2)?;
    killed_at(&world, &TRUNCATE, "TRUNCATE TABLE", Break::Hold).await?;
    ensure_job(&world, "2|2|truncate|begun").await?;
    let refused = load(&world, &APPEND).await?;
    refused.expect(6)?;
    refused.says("an unfinished truncate job, generation 2 of run ")?;
    ensure_rows(&world, "t", old).await?;
    load(&world, &TRUNCATE).await?.expect(0)?;
    ensure_rows(&world, "t", sums).await?;
    let appended = load(&world, &APPEND).await?;
    appended.expect(0)?;
    ensure!(appended.summary("already loaded")? == "2", "{appended}");
    Ok(())
}

async fn a_live_job_keeps_another_from_beginning_and_a_dead_one_is_given_up(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    put_objects(&world, 0, 2)?;
    let held = world.s3.faults().on_get("in/1", Times::Always, Fault::Hold);
    let mut live = world.command([&["load", "s3://etl/in/", "--table", "t"], &SWAP[..]].concat()).spawn()?;
    let _log = wait_for_log(&mut live, "beginning a swap job").await?;
    held.wait_for_effects(1).await;

    for args in [&TRUNCATE[..], &[&SWAP[..], &["--include", "0"]].concat()] {
        let refused = load(&world, args).await?;
        refused.expect(6)?;
        refused.says("is at work on an unfinished swap job, generation 2")?;
        refused.says(&format!(":{}", live.id().context("it lives")?))?;
    }
    ensure_job(&world, "2|1|swap|loading").await?;
    ensure_rows(&world, "t", old).await?;

    kill(live).await?;
    held.remove();
    let (bytes, sums) = hive::object(0, ROWS);
    world.put("in/0", bytes)?;
    let other = load(&world, &[&TRUNCATE[..], &["--include", "0"]].concat()).await?;
    other.expect(0)?;
    other.says("giving up the unfinished swap job")?;
    ensure_rows(&world, "t", sums).await?;
    ensure_job(&world, "3|3|truncate|done").await?;
    ensure_no_leftovers(&world).await
}

async fn a_shadow_that_has_not_the_rows_of_the_ledger_is_not_swapped(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    let sums = put_objects(&world, 0, 2)?;
    killed_at(&world, &SWAP, "state = 'swapping', source", Break::Hold).await?;
    let shadow = shadow(&world).await?;
    world.schema.exec(&format!("DELETE FROM {shadow} LIMIT 1")).await?;
    let refused = load(&world, &SWAP).await?;
    refused.expect(3)?;
    refused.says(&format!("`{shadow}` has {} rows, the ledger says {}", 2 * ROWS - 1, 2 * ROWS))?;
    ensure_rows(&world, "t", old).await?;
    ensure_job(&world, "2|1|swap|loading").await?;
    // As its hint says.
    world.schema.exec(&format!("DROP TABLE {shadow}")).await?;
    load(&world, &SWAP).await?.expect(0)?;
    ensure_rows(&world, "t", sums).await?;
    ensure_no_leftovers(&world).await
}

async fn a_shadow_that_has_gone_begins_the_job_anew(world: World) -> Result<()> {
    old_rows(&world).await?;
    let sums = put_objects(&world, 0, 2)?;
    killed_at(&world, &SWAP, "state = 'swapping', source", Break::Hold).await?;
    world.schema.exec(&format!("DROP TABLE {}", shadow(&world).await?)).await?;
    let anew = load(&world, &SWAP).await?;
    anew.expect(0)?;
    anew.says("has gone; beginning anew")?;
    ensure_rows(&world, "t", sums).await?;
    ensure_no_leftovers(&world).await
}

async fn rows_of_earlier_generations_leave_the_ledger(world: World) -> Result<()> {
    old_rows(&world).await?;
    put_objects(&world, 0, 2)?;
    load(&world, &APPEND).await?.expect(0)?;
    world
        .schema
        .exec("INSERT INTO s3_to_mysql_objects (target, generation, bucket, object_key, etag, state, size_bytes, worker, run_id, tool_version, began_at) SELECT o.target, 1, 'b', n, 'e', 'loaded', 1, 'w', 'r', '0', NOW() FROM (SELECT target FROM s3_to_mysql_objects LIMIT 1) o, (SELECT a.i + 10 * b.i + 100 * c.i + 1000 * d.i + 10000 * e.i AS n FROM (SELECT 0 i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) a, (SELECT 0 i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) b, (SELECT 0 i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) c, (SELECT 0 i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) d, (SELECT 0 i UNION SELECT 1 UNION SELECT 2) e) numbers")
        .await?;
    ensure!(world.count("s3_to_mysql_objects").await? == 30_002);
    load(&world, &SWAP).await?.expect(0)?;
    ensure_values(&world.schema, "SELECT generation, COUNT(*) FROM s3_to_mysql_objects GROUP BY generation", &["2|2"])
        .await
}

async fn a_job_ends_within_the_bounds_where_a_reader_does_not(world: World) -> Result<()> {
    let old = old_rows(&world).await?;
    let sums = put_objects(&world, 0, 1)?;
    let mut reader = open_reader(&world).await?;
    for args in [&SWAP[..], &TRUNCATE[..]] {
        let ended = load(&world, &[args, &["--max-attempts", "1"]].concat()).await?;
        ended.expect(3)?;
        ended.says("waits for a transaction that has the table open")?;
        ensure_rows(&world, "t", old).await?;
    }
    reader.query_drop("COMMIT").await?;
    load(&world, &SWAP).await?.expect(0)?;
    ensure_rows(&world, "t", sums).await
}
