//! `--defer-indexes`: the load runs without the secondary indexes, and all of them are back at the
//! end, whichever process dies.

use anyhow::{Context as _, Result, ensure};

use super::{
    APPEND, ROWS, SWAP, TRUNCATE, ensure_job, ensure_no_leftovers, ensure_rows, kill, load,
    old_rows, put_objects, shadow, through,
};
use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish, wait_for_log};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::s3::{Fault, Times};
use crate::support::servers::ServerKind;
use crate::support::values::{ensure_values, values};

const DEFER: &str = "--defer-indexes";

/// The indexes of table `t` without the primary key, sorted by name.
const INDEXES: [&str; 3] = ["by_month", "by_note", "by_supplier"];

/// Creates table `t` with three secondary indexes.
async fn indexed_table(env: &TestEnv) -> Result<String> {
    old_rows(env).await?;
    env.schema
        .exec(
            "ALTER TABLE t ADD KEY by_month (month DESC, orders), ADD KEY by_supplier \
             (supplier_id), ADD FULLTEXT KEY by_note (note)",
        )
        .await?;
    definition(env, "t").await
}

/// Returns the output of SHOW CREATE TABLE without the next `AUTO_INCREMENT` value.
async fn definition(env: &TestEnv, table: &str) -> Result<String> {
    let (_, text): (String, String) =
        env.schema.query_one(&format!("SHOW CREATE TABLE {table}")).await?;
    Ok(text
        .split(' ')
        .filter(|word| !word.contains("AUTO_INCREMENT="))
        .collect::<Vec<_>>()
        .join(" "))
}

async fn ensure_definition(env: &TestEnv, before: &str) -> Result<()> {
    let after = definition(env, "t").await?;
    ensure!(before == after, "{before}\n{after}");
    ensure_values(
        &env.schema,
        "SELECT COUNT(*) FROM s3_to_mysql_jobs WHERE deferred_indexes IS NOT NULL",
        &["0"],
    )
    .await
}

async fn indexes(env: &TestEnv, table: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = \
         DATABASE() AND TABLE_NAME = '{table}' AND INDEX_NAME <> 'PRIMARY' ORDER BY 1"
    );
    values(&env.schema, &sql).await
}

/// Requires that every index is either in the table or in the job's row.
async fn ensure_nothing_lost(env: &TestEnv) -> Result<()> {
    let there = indexes(env, "t").await?;
    let owed =
        values(&env.schema, "SELECT CONVERT(deferred_indexes USING utf8mb4) FROM s3_to_mysql_jobs")
            .await?;
    for index in INDEXES {
        let is_owed = owed.iter().any(|text| text.contains(index));
        ensure!(
            there.iter().any(|name| name == index) || is_owed,
            "{index} is neither in {there:?} nor in {owed:?}"
        );
    }
    Ok(())
}

fn with(args: &[&'static str]) -> Vec<&'static str> {
    [args, &[DEFER]].concat()
}

#[apply(load_test)]
async fn every_kind_of_index_is_away_while_loading_and_the_same_afterwards(
    env: TestEnv,
) -> Result<()> {
    let (hidden, parser) = match env.server.kind() {
        ServerKind::Mysql => ("INVISIBLE", "WITH PARSER ngram"),
        ServerKind::Mariadb => ("IGNORED", ""),
    };
    let awkward = "`odd ``, ( na\u{ef}ve`";
    env.schema
        .exec(&format!(
            "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, a VARCHAR(40) NOT NULL \
             DEFAULT 'KEY `x` (`a`), \\'(', b VARCHAR(200), d DATETIME NOT NULL DEFAULT \
             '2020-01-01', p POINT NOT NULL DEFAULT (POINT(1, 2)), UNIQUE KEY by_pair (a, d), KEY \
             {awkward} (a DESC, b(5)) COMMENT 'it''s; \\n (x', SPATIAL KEY place (p), KEY hidden \
             (b) {hidden}, KEY plain (b, a) USING BTREE, FULLTEXT KEY words (b) {parser}, FULLTEXT \
             KEY more_words (a, b) COMMENT 'two') ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8"
        ))
        .await?;
    // A default that strict mode refuses in every ALTER TABLE.
    env.schema
        .exec("SET SESSION sql_mode = ''; ALTER TABLE t ALTER d SET DEFAULT '0000-00-00'")
        .await?;
    let before = definition(&env, "t").await?;
    env.put("in/0", "1\tone word\n2\ttwo words\n2\tthree words\n")?;
    for mode in ["truncate", "swap"] {
        let held = env.s3.faults().on_get("in/0", Times::Always, Fault::Hold);
        let args = [
            "load",
            "s3://etl/in/",
            "--table",
            "t",
            "--columns",
            "a,b",
            "--set",
            "d = '2021-01-01'",
        ];
        let args = [&args[..], &["--on-duplicate", "ignore", "--mode", mode, DEFER]].concat();
        let child = env.command(args).spawn()?;
        held.wait_for_effects(1).await;
        let loaded = if mode == "swap" { shadow(&env).await? } else { "t".to_owned() };
        let there = indexes(&env, &loaded).await?;
        ensure!(there == ["by_pair"], "{mode}: {there:?}");
        if mode == "swap" {
            ensure_definition_only(&env, &before).await?;
        }
        held.release();
        let ended = finish(child).await?;
        held.remove();
        ended.expect(0).context(mode)?;
        ensure!(ended.summary("rows skipped")? == "1", "{ended}");
        ensure!(
            ended.stderr.matches(": added ").count() == 2,
            "one FULLTEXT index at a time: {ended}"
        );
        ensure_definition(&env, &before).await.context(mode)?;
        ensure!(env.count("t").await? == 2);
        ensure_values(
            &env.schema,
            "SELECT a FROM t WHERE MATCH (b) AGAINST ('two' IN BOOLEAN MODE)",
            &["2"],
        )
        .await?;
    }
    Ok(())
}

async fn ensure_definition_only(env: &TestEnv, before: &str) -> Result<()> {
    let now = definition(env, "t").await?;
    ensure!(now == before, "readers' own table has changed: {now}");
    Ok(())
}

#[apply(load_test)]
async fn an_index_that_something_needs_stays(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE parent (a INT PRIMARY KEY)").await?;
    env.schema.exec("INSERT INTO parent VALUES (1), (2)").await?;
    env.schema
        .exec(
            "CREATE TABLE t (n INT NOT NULL AUTO_INCREMENT, a INT, b INT, v INT AS (b + 1) \
             VIRTUAL, KEY numbered (n), UNIQUE KEY once (b), KEY of_parent (a, b), KEY by_v (v), \
             KEY plain (b, a), CONSTRAINT up FOREIGN KEY (a) REFERENCES parent (a))",
        )
        .await?;
    let mut kept = vec!["by_v", "numbered", "of_parent", "once"];
    if env.server.kind() == ServerKind::Mysql {
        env.schema.exec("ALTER TABLE t ADD KEY by_expression ((b + 1))").await?;
        kept.insert(0, "by_expression");
    }
    env.put("in/0", "1\t1\n2\t2\n")?;
    env.put("in/1", "3\t3\n")?;
    let args = ["--columns", "a,b", "--mode", "truncate", DEFER];
    let ended = load(&env, &args).await?;
    // The keys that stay still refuse rows.
    ended.expect(3)?;
    ensure_values(&env.schema, "SELECT a, b FROM t ORDER BY a", &["1|1", "2|2"]).await?;
    let there = indexes(&env, "t").await?;
    ensure!(there == kept, "{there:?}");
    env.schema.exec("INSERT INTO parent VALUES (3)").await?;
    load(&env, &args).await?.expect(0)?;
    ensure!(indexes(&env, "t").await?.len() == kept.len() + 1);
    ensure!(env.count("t").await? == 3);
    Ok(())
}

const ROW_KNOWS: Step = Step::StatementWithBoth("state = 'emptied'", "deferred_indexes = X'");
const CLEARED: Step = Step::StatementWithBoth("state = 'loading'", "deferred_indexes = NULL");

const TRUNCATE_STEPS: [Step; 8] = [
    Step::StatementWith("TRUNCATE TABLE"),
    ROW_KNOWS,
    Step::StatementWith(" DROP KEY "),
    Step::StatementWithBoth("state = 'loading'", "deferred_indexes = X'"),
    Step::Statement("COMMIT"),
    Step::StatementWith(" ADD KEY "),
    CLEARED,
    Step::StatementWith("state = 'done', source"),
];

const SWAP_STEPS: [Step; 8] = [
    Step::StatementWith(" LIKE `"),
    Step::StatementWith(" DROP KEY "),
    Step::StatementWithBoth("state = 'loading'", "deferred_indexes = X'"),
    Step::Statement("COMMIT"),
    Step::StatementWith(" ADD KEY "),
    CLEARED,
    Step::StatementWith("state = 'swapping', source"),
    Step::StatementWith("RENAME TABLE"),
];

async fn killed_at(env: &TestEnv, args: &[&str], step: Step, how: Break) -> Result<()> {
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(step, how);
    let child = through(env, &proxy, args).spawn()?;
    held.wait().await?;
    kill(child).await?;
    held.cut();
    Ok(())
}

async fn killed_and_resumed(
    env: &TestEnv,
    args: &[&'static str],
    steps: &[Step],
    ended: &str,
) -> Result<()> {
    let before = indexed_table(env).await?;
    let deferring = with(args);
    let mut round = 0;
    for &step in steps {
        for how in [Break::Hold, Break::HoldAnswer] {
            for next in [args, &deferring[..]] {
                round += 1;
                let sums = put_objects(env, round * 10_000, 2)?;
                let resumed = async {
                    killed_at(env, &deferring, step, how).await?;
                    ensure_nothing_lost(env).await?;
                    load(env, next).await?.expect(0)?;
                    ensure_rows(env, "t", sums).await?;
                    ensure_definition(env, &before).await?;
                    ensure_values(&env.schema, "SELECT state FROM s3_to_mysql_jobs", &[ended])
                        .await?;
                    ensure_no_leftovers(env).await
                };
                resumed.await.with_context(|| format!("{how:?} at {step:?}, then {next:?}"))?;
            }
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn a_truncate_job_killed_at_any_step_gets_its_indexes_back(env: TestEnv) -> Result<()> {
    killed_and_resumed(&env, &TRUNCATE, &TRUNCATE_STEPS, "done").await
}

#[apply(load_test)]
async fn a_swap_job_killed_at_any_step_gets_its_indexes_back(env: TestEnv) -> Result<()> {
    killed_and_resumed(&env, &SWAP, &SWAP_STEPS, "swapped").await
}

#[apply(load_test)]
async fn a_lost_answer_at_any_step_is_recovered_by_the_same_run(env: TestEnv) -> Result<()> {
    let before = indexed_table(&env).await?;
    let truncate = TRUNCATE_STEPS.iter().map(|step| (with(&TRUNCATE), *step));
    let swap = SWAP_STEPS.iter().map(|step| (with(&SWAP), *step));
    for (round, (args, step)) in truncate.chain(swap).enumerate() {
        let sums = put_objects(&env, 10_000 * round as u64, 2)?;
        let recovered = async {
            let proxy = Proxy::start(env.server.port()).await?;
            let swallowed = proxy.next(step, Break::SwallowAnswer);
            finish(through(&env, &proxy, &args).spawn()?).await?.expect(0)?;
            ensure!(swallowed.count() == 1, "no answer was lost");
            ensure_rows(&env, "t", sums).await?;
            ensure_definition(&env, &before).await
        };
        recovered.await.with_context(|| format!("{args:?} at {step:?}"))?;
    }
    Ok(())
}

async fn status(env: &TestEnv) -> Result<(Ended, serde_json::Value)> {
    let text = env.run(&["status", "--table", "t"]).await?;
    let json = env.run(&["status", "--table", "t", "--json"]).await?;
    Ok((text, serde_json::from_str(&json.stdout)?))
}

#[apply(load_test)]
async fn status_names_the_indexes_that_are_still_to_be_added(env: TestEnv) -> Result<()> {
    indexed_table(&env).await?;
    put_objects(&env, 0, 2)?;
    for (args, label) in [(&TRUNCATE, "index missing"), (&SWAP, "index to come")] {
        killed_at(&env, &with(args), Step::StatementWith(" ADD KEY "), Break::Hold).await?;
        let (text, json) = status(&env).await?;
        text.says(&format!("{label:<18} KEY `by_supplier` (`supplier_id`)\n"))?;
        ensure!(text.stdout.matches(label).count() == 3, "{text}");
        let listed = json["job"]["deferred_indexes"].as_array().context("no array")?;
        ensure!(listed.len() == 3 && listed[2] == "FULLTEXT KEY `by_note` (`note`)", "{json:#}");
        load(&env, args).await?.expect(0)?;
        let (text, json) = status(&env).await?;
        ensure!(
            !text.stdout.contains(label)
                && json["job"]["deferred_indexes"] == serde_json::json!([]),
            "{text}"
        );
    }
    Ok(())
}

#[apply(load_test)]
async fn two_runs_that_share_a_job_drop_and_add_once(env: TestEnv) -> Result<()> {
    let before = indexed_table(&env).await?;
    for (round, args) in [with(&TRUNCATE), with(&SWAP)].into_iter().enumerate() {
        let sums = put_objects(&env, 10_000 * (round as u64 + 1), 8)?;
        let held = env.s3.faults().on_get("in/7", Times::Always, Fault::Hold);
        let command =
            || env.command([&["load", "s3://etl/in/", "--table", "t"], &args[..]].concat());
        let mut first = command().spawn()?;
        let first_log = wait_for_log(&mut first, "beginning a ").await?;
        let mut second = command().spawn()?;
        let second_log = wait_for_log(&mut second, "going on with the ").await?;
        held.wait_for_effects(1).await;
        held.release();
        let (first, second) = (finish(first).await?, finish(second).await?);
        held.remove();
        let logs = first_log.await? + &second_log.await?;
        ensure!((first.code, second.code) == (Some(0), Some(0)), "{logs}");
        ensure!(logs.matches("loading without 3 secondary").count() == 1, "{logs}");
        ensure!(logs.matches(": added ").count() == 1, "{logs}");
        ensure_rows(&env, "t", sums).await?;
        ensure_definition(&env, &before).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_job_that_takes_the_place_of_a_truncate_owes_its_indexes_too(env: TestEnv) -> Result<()> {
    let before = indexed_table(&env).await?;
    let force = [&TRUNCATE[..], &["--force"]].concat();
    let other = [&TRUNCATE[..], &["--exclude", "none-of-them"]].concat();
    let mut round = 0;
    for next in [force.clone(), with(&force), other, SWAP.to_vec(), with(&SWAP)] {
        for step in [Step::StatementWith(" DROP KEY "), Step::StatementWith(" ADD KEY ")] {
            round += 1;
            let sums = put_objects(&env, round * 10_000, 2)?;
            let owed = async {
                killed_at(&env, &with(&TRUNCATE), step, Break::Hold).await?;
                // Whichever process dies next, the indexes are still owed.
                killed_at(
                    &env,
                    &next,
                    Step::StatementWith("state = 'begun', source"),
                    Break::HoldAnswer,
                )
                .await?;
                ensure_nothing_lost(&env).await?;
                load(&env, &next).await?.expect(0)?;
                ensure_rows(&env, "t", sums).await?;
                ensure_definition(&env, &before).await
            };
            owed.await.with_context(|| format!("{step:?}, then {next:?}"))?;
        }
    }

    // An append is not a job. It reports the missing indexes.
    put_objects(&env, 0, 2)?;
    killed_at(&env, &with(&TRUNCATE), Step::StatementWith(" ADD KEY "), Break::Hold).await?;
    let appended = load(&env, &APPEND).await?;
    appended.expect(0)?;
    appended.says("without 3 secondary indexes")?;
    ensure!(indexes(&env, "t").await?.is_empty());
    load(&env, &TRUNCATE).await?.expect(0)?;
    ensure_definition(&env, &before).await
}

#[apply(load_test)]
async fn an_index_that_can_not_be_added_leaves_a_job_that_only_has_to_add_it(
    env: TestEnv,
) -> Result<()> {
    let before = indexed_table(&env).await?;
    let (database, user) = (&env.schema.name, &env.schema.user);
    for (mode, args) in [("truncate", with(&TRUNCATE)), ("swap", with(&SWAP))] {
        let sums = put_objects(&env, 0, 2)?;
        let held = env.s3.faults().on_get("in/1", Times::Always, Fault::Hold);
        let child =
            env.command([&["load", "s3://etl/in/", "--table", "t"], &args[..]].concat()).spawn()?;
        held.wait_for_effects(1).await;
        env.schema.exec(&format!("REVOKE ALTER ON {database}.* FROM '{user}'@'%'")).await?;
        held.release();
        let ended = finish(child).await?;
        held.remove();
        env.schema.exec(&format!("GRANT ALTER ON {database}.* TO '{user}'@'%'")).await?;
        ensure!(ended.code != Some(0), "{ended}");
        ended.says("adding the secondary indexes `by_month`, `by_supplier`, `by_note`")?;
        ended.says("the same command goes on with the job and adds them")?;
        ensure!(ended.summary("objects loaded")? == "2", "{ended}");
        ensure_nothing_lost(&env).await?;
        let resumed = load(&env, &args).await?;
        resumed.expect(0).context(mode)?;
        ensure!(resumed.summary("already loaded")? == "2", "{resumed}");
        ensure_rows(&env, "t", sums).await?;
        ensure_definition(&env, &before).await?;
    }
    ensure!(env.count("t").await? == 2 * ROWS);
    Ok(())
}

#[apply(load_test)]
async fn an_index_that_was_added_by_hand_or_changed_in_the_target_is_noticed(
    env: TestEnv,
) -> Result<()> {
    let before = indexed_table(&env).await?;
    let sums = put_objects(&env, 0, 2)?;
    // Somebody who did not wait for the job adds the index.
    killed_at(&env, &with(&TRUNCATE), Step::StatementWith(" ADD KEY "), Break::Hold).await?;
    env.schema.exec("ALTER TABLE t ADD KEY by_month (month DESC, orders)").await?;
    load(&env, &TRUNCATE).await?.expect(0)?;
    ensure_definition(&env, &before).await?;

    // If the target changes while a swap loads, the swap must not undo the change.
    killed_at(&env, &with(&SWAP), Step::StatementWith(" ADD KEY "), Break::Hold).await?;
    env.schema
        .exec("ALTER TABLE t DROP KEY by_supplier, ADD KEY by_supplier (supplier_id, spu_id)")
        .await?;
    let changed = definition(&env, "t").await?;
    let anew = load(&env, &with(&SWAP)).await?;
    anew.expect(0)?;
    anew.says("altered since the job began (index by_supplier); starting over")?;
    ensure_rows(&env, "t", sums).await?;
    ensure_definition(&env, &changed).await?;

    let held = env.s3.faults().on_get("in/1", Times::Always, Fault::Hold);
    let child = env
        .command([&["load", "s3://etl/in/", "--table", "t"], &with(&SWAP)[..]].concat())
        .spawn()?;
    held.wait_for_effects(1).await;
    env.schema.exec("ALTER TABLE t DROP KEY by_supplier").await?;
    held.release();
    let ended = finish(child).await?;
    held.remove();
    ended.expect(3)?;
    ended.says("not swapped: altered since the job began (index by_supplier)")
}

#[apply(load_test)]
async fn an_account_that_may_not_drop_indexes_loads_without_the_flag(env: TestEnv) -> Result<()> {
    let before = indexed_table(&env).await?;
    let sums = put_objects(&env, 0, 2)?;
    let (database, user) = (&env.schema.name, &env.schema.user);
    env.schema.exec(&format!("REVOKE ALTER ON {database}.* FROM '{user}'@'%'")).await?;
    let refused = load(&env, &with(&TRUNCATE)).await?;
    refused.expect(6)?;
    refused.says("with --defer-indexes ALTER, CREATE and INSERT")?;
    ensure_job(&env, "2|2|truncate|emptied").await?;
    load(&env, &TRUNCATE).await?.expect(0)?;
    ensure_rows(&env, "t", sums).await?;
    ensure_definition(&env, &before).await
}
