//! Several runs at once: they share a job, or the job belongs to one of them.

use anyhow::{Context as _, Result, ensure};

use super::{
    APPEND, ROWS, SWAP, TRUNCATE, ensure_job, ensure_no_leftovers, ensure_rows, kill, killed_at,
    load, old_rows, put_objects, sums_of, through,
};
use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::{Ended, TestEnv, finish, wait_for_log};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::s3::{Fault, Times};
use crate::support::values::ensure_values;

#[apply(load_test)]
async fn two_runs_share_a_job_which_is_done_once(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    for (generation, args) in [(2, &TRUNCATE), (3, &SWAP)] {
        let before = sums_of(&env.schema, "t").await?;
        let sums = put_objects(&env, 10_000 * generation, 8)?;
        // Neither run gets far before the other one has started.
        let held = env.s3.faults().on_get("in/7", Times::Always, Fault::Hold);
        let command =
            || env.command([&["load", "s3://etl/in/", "--table", "t"], &args[..]].concat());
        let mut first = command().spawn()?;
        let first_log = wait_for_log(&mut first, "beginning a ").await?;
        let mut second = command().spawn()?;
        let second_log = wait_for_log(&mut second, "going on with the ").await?;
        held.wait_for_effects(1).await;
        if args == &SWAP {
            ensure!(sums_of(&env.schema, "t").await? == before);
        }
        held.release();
        let (first, second) = (finish(first).await?, finish(second).await?);
        held.remove();
        let logs = first_log.await? + &second_log.await?;
        ensure!((first.code, second.code) == (Some(0), Some(0)), "{logs}");
        let loaded =
            |ended: &Ended| -> Result<u64> { Ok(ended.summary("objects loaded")?.parse()?) };
        ensure!(loaded(&first)? + loaded(&second)? == 8, "{first}{second}");
        ensure_rows(&env, "t", sums).await?;
        let job = "SELECT generation, table_generation FROM s3_to_mysql_jobs WHERE state IN \
             ('done', 'swapped')";
        ensure_values(&env.schema, job, &[&format!("{generation}|{generation}")]).await?;
    }
    ensure_no_leftovers(&env).await
}

#[apply(load_test)]
async fn an_append_whose_table_is_swapped_meanwhile_fails_and_says_why(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let (bytes, sums) = hive::object(0, ROWS);
    env.put("in/0", bytes)?;
    let (bytes, _) = hive::object(5000, 5000 + ROWS);
    env.put("late/0", bytes)?;
    let held = env.s3.faults().on_get("late/0", Times::Always, Fault::Hold);
    let append =
        env.command(["load", "s3://etl/late/", "--table", "t", "--preset", "hive"]).spawn()?;
    held.wait_for_effects(1).await;
    load(&env, &SWAP).await?.expect(0)?;
    held.release();
    let append = finish(append).await?;
    ensure!(append.code != Some(0), "{append}");
    append.says("generation")?;
    ensure_rows(&env, "t", sums).await?;
    // The next run uses the table as it is.
    env.run(&["load", "s3://etl/late/", "--table", "t", "--preset", "hive"]).await?.expect(0)?;
    ensure!(env.count("t").await? == 2 * ROWS);
    Ok(())
}

#[apply(load_test)]
async fn an_append_does_not_get_in_while_a_table_is_being_swapped(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let sums = put_objects(&env, 0, 1)?;
    let (bytes, _) = hive::object(5000, 5000 + ROWS);
    env.put("late/0", bytes)?;
    let append = ["load", "s3://etl/late/", "--table", "t", "--preset", "hive"];
    let download = env.s3.faults().on_get("late/0", Times::Always, Fault::Hold);
    let appending = env.command(append).spawn()?;
    download.wait_for_effects(1).await;
    // The table has been replaced, but the job's row does not say so yet.
    let proxy = Proxy::start(env.server.port()).await?;
    let renamed = proxy.next(Step::Statement("RENAME TABLE"), Break::HoldAnswer);
    let swapping = through(&env, &proxy, &SWAP).spawn()?;
    renamed.wait().await?;
    download.release();
    let ended = finish(appending).await?;
    ensure!(ended.code != Some(0), "{ended}");
    ended.says("another run has emptied or replaced the table")?;
    renamed.cut();
    finish(swapping).await?.expect(0)?;
    ensure_rows(&env, "t", sums).await?;
    env.run(&append).await?.expect(0)?;
    ensure!(env.count("t").await? == 2 * ROWS);
    Ok(())
}

#[apply(load_test)]
async fn an_append_is_refused_while_an_unfinished_truncate_is_to_come(env: TestEnv) -> Result<()> {
    let old = old_rows(&env).await?;
    let sums = put_objects(&env, 0, 2)?;
    killed_at(&env, &TRUNCATE, "TRUNCATE TABLE", Break::Hold).await?;
    ensure_job(&env, "2|2|truncate|begun").await?;
    let refused = load(&env, &APPEND).await?;
    refused.expect(6)?;
    refused.says("an unfinished truncate job, generation 2 of run ")?;
    ensure_rows(&env, "t", old).await?;
    load(&env, &TRUNCATE).await?.expect(0)?;
    ensure_rows(&env, "t", sums).await?;
    let appended = load(&env, &APPEND).await?;
    appended.expect(0)?;
    ensure!(appended.summary("already loaded")? == "2", "{appended}");
    Ok(())
}

#[apply(load_test)]
async fn a_live_job_keeps_another_from_beginning_and_a_dead_one_is_given_up(
    env: TestEnv,
) -> Result<()> {
    let old = old_rows(&env).await?;
    put_objects(&env, 0, 2)?;
    let held = env.s3.faults().on_get("in/1", Times::Always, Fault::Hold);
    let mut live =
        env.command([&["load", "s3://etl/in/", "--table", "t"], &SWAP[..]].concat()).spawn()?;
    let _log = wait_for_log(&mut live, "beginning a swap job").await?;
    held.wait_for_effects(1).await;

    for args in [&TRUNCATE[..], &[&SWAP[..], &["--include", "0"]].concat()] {
        let refused = load(&env, args).await?;
        refused.expect(6)?;
        refused.says("is at work on an unfinished swap job, generation 2")?;
        refused.says(&format!(":{}", live.id().context("it lives")?))?;
    }
    ensure_job(&env, "2|1|swap|loading").await?;
    ensure_rows(&env, "t", old).await?;

    kill(live).await?;
    held.remove();
    let (bytes, sums) = hive::object(0, ROWS);
    env.put("in/0", bytes)?;
    let other = load(&env, &[&TRUNCATE[..], &["--include", "0"]].concat()).await?;
    other.expect(0)?;
    other.says("giving up the unfinished swap job")?;
    ensure_rows(&env, "t", sums).await?;
    ensure_job(&env, "3|3|truncate|done").await?;
    ensure_no_leftovers(&env).await
}
