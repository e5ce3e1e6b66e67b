//! A process dies between any two states of a job: the next run of the same command notices and
//! goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use super::{
    APPEND, ROWS, SWAP, TRUNCATE, add, ensure_job, ensure_no_leftovers, ensure_rows, kill,
    killed_at, load, old_rows, open_reader, put_objects, step, sums_of, through,
};
use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::{TestEnv, finish};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::values::ensure_values;

/// The interval between two looks at the server's state.
const POLL: std::time::Duration = std::time::Duration::from_millis(20);

/// Returns the ids and statements of the account's connections.
async fn statements(env: &TestEnv, conn: &mut Conn) -> Result<Vec<(u64, String)>> {
    let connections: Vec<mysql_async::Row> = conn.query("SHOW PROCESSLIST").await?;
    let own = connections
        .iter()
        .filter(|row| row.get::<String, _>("User").as_ref() == Some(&env.schema.user));
    Ok(own
        .filter_map(|row| {
            Some((row.get::<u64, _>("Id")?, row.get::<Option<String>, _>("Info").flatten()?))
        })
        .collect())
}

/// Waits until the account's connections run what the test wants.
async fn wait_until<T>(
    env: &TestEnv,
    mut wanted: impl FnMut(Vec<(u64, String)>) -> Option<T>,
) -> Result<T> {
    let mut conn = env.schema.conn().await?;
    for _ in 0..1500 {
        if let Some(found) = wanted(statements(env, &mut conn).await?) {
            conn.disconnect().await?;
            return Ok(found);
        }
        tokio::time::sleep(POLL).await;
    }
    let last = statements(env, &mut conn).await?;
    anyhow::bail!("what was waited for did not come; at last there was {last:?}")
}

/// The steps at which a job can be interrupted, by a part of the statement. `{db}` is the schema's
/// name.
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

/// The steps that differ under `--swap-keep-old`.
const KEEP_STEPS: [&str; 5] = [
    "RENAME TABLE `{db}`.`t` TO",
    "state = 'swapped', source",
    "DROP TABLE `{db}`.`t_old`",
    "DROP TABLE `{db}`.`s3_to_mysql_kept_",
    "RENAME TABLE `{db}`.`s3_to_mysql_old_",
];

/// A kill before a statement is also a kill after the previous one. For the most important
/// statements both are tested.
fn hows(part: &str) -> &'static [Break] {
    if ["state = 'begun'", "TRUNCATE", "RENAME", "COMMIT"]
        .iter()
        .any(|start| part.starts_with(start))
    {
        &[Break::Hold, Break::HoldAnswer]
    } else {
        &[Break::HoldAnswer]
    }
}

#[apply(load_test)]
async fn a_truncate_job_killed_between_any_two_states_is_resumed(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let mut first_row = 0;
    for part in TRUNCATE_STEPS {
        for &how in hows(part) {
            first_row += 10_000;
            let sums = put_objects(&env, first_row, 2)?;
            let round = async {
                killed_at(&env, &TRUNCATE, part, how).await?;
                let resumed = load(&env, &TRUNCATE).await?;
                resumed.expect(0)?;
                ensure_rows(&env, "t", sums).await?;
                ensure_values(
                    &env.schema,
                    "SELECT DISTINCT mode, state FROM s3_to_mysql_jobs",
                    &["truncate|done"],
                )
                .await?;
                let loaded = "SELECT COUNT(*) FROM s3_to_mysql_objects JOIN s3_to_mysql_jobs USING \
                     (target, generation) WHERE objects.state = 'loaded'";
                let loaded = loaded.replace("objects.state", "s3_to_mysql_objects.state");
                ensure_values(&env.schema, &loaded, &["2"]).await
            };
            round.await.with_context(|| format!("{how:?} at {part}"))?;
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn a_swap_job_killed_between_any_two_states_is_resumed(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let keep = [&SWAP[..], &["--swap-keep-old"]].concat();
    let steps = SWAP_STEPS
        .iter()
        .map(|part| (&SWAP[..], *part))
        .chain(KEEP_STEPS.iter().map(|part| (&keep[..], *part)));
    // The swap needs an old table to replace.
    let mut before = put_objects(&env, 0, 2)?;
    load(&env, &keep).await?.expect(0)?;
    let mut first_row = 0;
    for (args, part) in steps {
        for &how in hows(part) {
            first_row += 10_000;
            let sums = put_objects(&env, first_row, 2)?;
            let is_either = |found: (u64, u64)| -> Result<()> {
                let is_either =
                    [before, sums].iter().any(|whole| found == (whole.rows, whole.checksum));
                ensure!(is_either, "{found:?} is neither {before:?} nor {sums:?}");
                Ok(())
            };
            let round = async {
                killed_at(&env, args, part, how).await?;
                is_either(sums_of(&env.schema, "t").await?)?;
                load(&env, args).await?.expect(0)?;
                ensure_rows(&env, "t", sums).await?;
                ensure_values(
                    &env.schema,
                    "SELECT DISTINCT mode, state FROM s3_to_mysql_jobs",
                    &["swap|swapped"],
                )
                .await?;
                ensure_no_leftovers(&env).await?;
                if args == keep {
                    is_either(sums_of(&env.schema, "t_old").await?)?;
                }
                anyhow::Ok(())
            };
            round.await.with_context(|| format!("{how:?} at {part}"))?;
            before = sums;
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn a_lost_answer_at_any_step_of_a_job_is_recovered_by_the_same_run(
    env: TestEnv,
) -> Result<()> {
    old_rows(&env).await?;
    let mut first_row = 0;
    let truncate_steps = TRUNCATE_STEPS.iter().map(|part| (&TRUNCATE[..], *part));
    let swap_steps = SWAP_STEPS.iter().map(|part| (&SWAP[..], *part));
    for (args, part) in truncate_steps.chain(swap_steps) {
        first_row += 10_000;
        let sums = put_objects(&env, first_row, 2)?;
        let round = async {
            let proxy = Proxy::start(env.server.port()).await?;
            let swallowed = proxy.next(step(&env, part), Break::SwallowAnswer);
            let ended = finish(through(&env, &proxy, args).spawn()?).await?;
            ended.expect(0)?;
            ensure!(swallowed.count() == 1, "no answer was lost");
            ensure_rows(&env, "t", sums).await?;
            ensure_no_leftovers(&env).await
        };
        round.await.with_context(|| format!("at {part}"))?;
    }
    Ok(())
}

/// A reader keeps `statement` waiting. Its client is killed, with or without the server's
/// knowledge, and the next run starts before the reader leaves.
async fn left_behind(
    env: &TestEnv,
    args: &[&str],
    statement: &'static str,
    is_noticed: bool,
) -> Result<()> {
    let mut reader = open_reader(env).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::StatementWith(statement), Break::HoldUnanswered);
    let child = through(env, &proxy, args).spawn()?;
    held.wait().await?;
    let is_it = |text: &str| text.starts_with(statement);
    let left_id =
        wait_until(env, |found| found.iter().find(|(_, text)| is_it(text)).map(|(id, _)| *id))
            .await?;
    kill(child).await?;
    if is_noticed {
        held.cut();
    }
    let next = env.command([&["load", "s3://etl/in/", "--table", "t"], args].concat()).spawn()?;
    // It waits for the table behind the orphaned statement, or for the job.
    let waits = |(id, text): &(u64, String)| {
        *id != left_id
            && (is_it(text) || text.starts_with("SELECT GET_LOCK") || text.starts_with("LOAD DATA"))
    };
    wait_until(env, |found| found.iter().any(waits).then_some(())).await?;
    reader.query_drop("COMMIT").await?;
    if !is_noticed {
        // The statement took effect for nobody, and only now does the server learn that its client
        // is gone.
        wait_until(env, |found| (!found.iter().any(|(id, _)| *id == left_id)).then_some(()))
            .await?;
        held.cut();
    }
    finish(next).await?.expect(0)
}

#[apply(load_test)]
async fn a_truncate_left_behind_by_a_dead_run_does_not_empty_what_the_next_one_loads(
    env: TestEnv,
) -> Result<()> {
    old_rows(&env).await?;
    for (round, noticed) in [false, true].into_iter().enumerate() {
        let sums = put_objects(&env, 10_000 * round as u64, 3)?;
        left_behind(&env, &TRUNCATE, "TRUNCATE TABLE", noticed)
            .await
            .with_context(|| format!("{noticed}"))?;
        ensure_rows(&env, "t", sums).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_rename_left_behind_by_a_dead_run_swaps_once(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    for (round, noticed) in [false, true].into_iter().enumerate() {
        let sums = put_objects(&env, 10_000 * round as u64, 3)?;
        left_behind(&env, &SWAP, "RENAME TABLE", noticed)
            .await
            .with_context(|| format!("{noticed}"))?;
        ensure_rows(&env, "t", sums).await?;
        ensure_no_leftovers(&env).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_statement_of_a_dead_run_that_arrives_late_changes_nothing_of_the_next(
    env: TestEnv,
) -> Result<()> {
    old_rows(&env).await?;
    for (round, (args, statement)) in
        [(&TRUNCATE, "TRUNCATE TABLE"), (&SWAP, "RENAME TABLE")].into_iter().enumerate()
    {
        let sums = put_objects(&env, 10_000 * round as u64, 3)?;
        let proxy = Proxy::start(env.server.port()).await?;
        let on_its_way = proxy.next(Step::Statement(statement), Break::Hold);
        let child = through(&env, &proxy, args).spawn()?;
        on_its_way.wait().await?;
        kill(child).await?;
        // The next run must wait for the dead client's session. If it does not, it finishes before
        // the statement arrives.
        let mut next =
            env.command([&["load", "s3://etl/in/", "--table", "t"], &args[..]].concat()).spawn()?;
        wait_until(&env, |found| {
            let waits = found.iter().any(|(_, text)| text.starts_with("SELECT GET_LOCK"));
            (waits || matches!(next.try_wait(), Ok(Some(_)))).then_some(())
        })
        .await?;
        on_its_way.release();
        finish(next).await?.expect(0)?;
        wait_until(&env, |found| {
            (!found.iter().any(|(_, text)| text.starts_with(statement))).then_some(())
        })
        .await?;
        ensure_rows(&env, "t", sums).await.context(statement)?;
    }
    ensure_no_leftovers(&env).await
}

#[apply(load_test)]
async fn a_reader_sees_the_old_rows_or_the_new_ones_whoever_dies(env: TestEnv) -> Result<()> {
    let old = old_rows(&env).await?;
    let ended = Arc::new(AtomicBool::new(false));
    let mut conn = env.schema.conn().await?;
    let reader = tokio::spawn({
        let ended = Arc::clone(&ended);
        async move {
            // The contents that a reader saw, each change once.
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
        let sums = put_objects(&env, 10_000 * (round as u64 + 1), 3)?;
        if let Some((part, how)) = killed {
            killed_at(&env, &SWAP, part, how).await?;
        }
        load(&env, &SWAP).await?.expect(0)?;
        expected.push((sums.rows, sums.checksum));
    }
    ended.store(true, Ordering::Relaxed);
    let (seen, looks) = reader.await??;
    // A late look may miss a content, but there is no other content and no way back.
    let mut left = expected.iter();
    for content in &seen {
        ensure!(
            left.any(|known| known == content),
            "{content:?} is no whole content, or not the next: {expected:?}"
        );
    }
    ensure!(looks > 100 && seen.len() > expected.len() / 2, "{looks} looks saw only {seen:?}");
    Ok(())
}

#[apply(load_test)]
async fn an_append_after_a_swap_that_died_knows_what_became_of_it(env: TestEnv) -> Result<()> {
    let old = old_rows(&env).await?;
    let sums = put_objects(&env, 0, 2)?;
    // The RENAME did not happen: appended rows go into the old table, and the job goes on.
    killed_at(&env, &SWAP, "RENAME TABLE", Break::Hold).await?;
    ensure_job(&env, "2|1|swap|swapping").await?;
    let (bytes, more) = hive::object(700_000, 700_000 + ROWS);
    env.put("more/0", bytes)?;
    let append_more = ["load", "s3://etl/more/", "--table", "t", "--preset", "hive"];
    env.run(&append_more).await?.expect(0)?;
    let mut both = old;
    add(&mut both, more);
    ensure_rows(&env, "t", both).await?;
    ensure_job(&env, "2|1|swap|loading").await?;

    // The RENAME happened: the objects of the swap are loaded, and the one that was appended to the
    // old table is not.
    killed_at(&env, &SWAP, "RENAME TABLE", Break::HoldAnswer).await?;
    ensure_job(&env, "2|1|swap|swapping").await?;
    let appended = load(&env, &APPEND).await?;
    appended.expect(0)?;
    ensure!(appended.summary("already loaded")? == "2", "{appended}");
    ensure_rows(&env, "t", sums).await?;
    ensure_job(&env, "2|2|swap|swapped").await?;
    ensure_no_leftovers(&env).await?;
    env.run(&append_more).await?.expect(0)?;
    let mut both = sums;
    add(&mut both, more);
    ensure_rows(&env, "t", both).await
}
