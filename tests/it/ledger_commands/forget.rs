//! `forget`: which entries the ledger drops, and what stays as it is.

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;

use super::{
    ALL_SUFFIXES, account_with, ensure_keys, forget, hex, insert_failure, insert_job,
    insert_loaded, insert_part, lines_table, make_ledger, object_id, object_row, one_table, quoted,
};
use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, bare_command, finish};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::values::ensure_values;

#[apply(load_test)]
async fn forget_changes_nothing_without_yes(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_loaded(&env, "t", 1, &["in/a", "in/b", "out"]).await?;
    insert_failure(&env, "t", 1, "in/bad").await?;
    let ended = forget(&env, &["s3://etl/in/", "s3://etl/out", "s3://etl/none"]).await?;
    ended.expect(2)?;
    let name = &env.schema.name;
    let expected = format!(
        "To be forgotten by the ledger `{name}`.`s3_to_mysql` of `{name}`.`t`:\n\
         s3://etl/in/ and everything below it: 2 ledger rows (20 rows, 200 bytes), 1 failure\n\
         s3://etl/out: 1 ledger row (10 rows, 100 bytes), 0 failures\n\
         s3://etl/none: 0 ledger rows (0 rows, 0 bytes), 0 failures\n\
         The rows stay in the table. The next run loads these objects again: \
         their rows are then in the table twice, unless a unique key prevents it.\n"
    );
    ensure!(ended.stdout == expected, "{ended}");
    let said = "error: nothing was changed, because --yes is missing\n  hint: run it again with \
         --yes to forget this\n";
    ensure!(ended.stderr.ends_with(said), "{ended}");
    ensure_keys(&env, "t", &["in/a", "in/b", "out"]).await?;
    ensure!(env.count("s3_to_mysql_failures").await? == 1);

    let done = forget(&env, &["s3://etl/in/", "s3://etl/out", "s3://etl/none", "--yes"]).await?;
    done.expect(0)?;
    let sums = "forgotten: 3 ledger rows (30 rows, 300 bytes), 1 failure\n";
    ensure!(done.stdout == expected + sums && !done.stderr.contains("error"), "{done}");
    Ok(())
}

#[apply(load_test)]
async fn forget_removes_what_it_names_and_nothing_else(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    env.schema.exec("INSERT INTO t VALUES (1), (2)").await?;
    make_ledger(&env).await?;
    insert_loaded(&env, "t", 1, &["a", "a/", "a/b", "ab", "b"]).await?;
    insert_loaded(&env, "other", 1, &["a", "a/b"]).await?;
    let elsewhere = object_row(&env, "t", 1, "a", "loaded").replace("'etl'", "'etl2'");
    env.schema.exec(&elsewhere).await?;

    forget(&env, &["s3://etl/a", "--yes"]).await?.expect(0)?;
    ensure_keys(&env, "t", &["a", "a/", "a/b", "ab", "b"])
        .await
        .context("the first is of the other bucket")?;
    forget(&env, &["s3://etl/a/", "--yes"]).await?.expect(0)?;
    ensure_keys(&env, "t", &["a", "ab", "b"]).await?;
    forget(&env, &["s3://etl/a", "--prefix", "--yes"]).await?.expect(0)?;
    ensure_keys(&env, "t", &["a", "b"]).await?;
    forget(&env, &["s3://etl", "--yes"]).await?.expect(0)?;
    ensure_keys(&env, "t", &["a"]).await?;
    forget(&env, &["s3://etl2/", "s3://etl2/a", "--yes"]).await?.expect(0)?;
    ensure_keys(&env, "t", &[]).await?;
    ensure_keys(&env, "other", &["a", "a/b"]).await?;
    ensure!(env.count("t").await? == 2, "the table's own rows stay");
    Ok(())
}

#[apply(load_test)]
async fn a_prefix_is_no_pattern(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    let keys = [
        "100%_off",
        "100%x",
        "100x_off",
        "1007_off",
        "A",
        "a",
        "\u{e1}",
        "it's",
        "new\nline",
        "z\u{10ffff}end",
        "zz",
    ];
    insert_loaded(&env, "t", 1, &keys).await?;
    let forget_prefix = async |prefix: &str| {
        let ended = forget(&env, &[&format!("s3://etl/{prefix}"), "--prefix", "--yes"]).await?;
        ended.expect(0)?;
        Ok::<_, anyhow::Error>(ended)
    };
    let mut left: Vec<&str> = keys.to_vec();
    for (prefix, gone) in [
        ("100%_", &["100%_off"][..]),
        ("100%", &["100%x"]),
        ("a", &["a"]),
        ("it'", &["it's"]),
        ("new\n", &["new\nline"]),
        ("z\u{10ffff}", &["z\u{10ffff}end"]),
    ] {
        let ended = forget_prefix(prefix).await?;
        ended.says(&format!("forgotten: {} ledger row", gone.len()))?;
        left.retain(|key| !gone.contains(key));
        left.sort_unstable();
        let expected: Vec<String> = left.iter().map(|key| key.escape_debug().to_string()).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        ensure_keys(&env, "t", &expected).await.context(prefix.to_owned())?;
    }
    Ok(())
}

#[apply(load_test)]
async fn forgotten_objects_are_forgotten_in_all_generations_with_failures_and_parts(
    env: TestEnv,
) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_job(&env, "t", (3, 2), "swap", "loading").await?;
    for generation in [1, 2, 3] {
        insert_loaded(&env, "t", generation, &["a", "b"]).await?;
        insert_failure(&env, "t", generation, "a").await?;
    }
    env.schema.exec(&object_row(&env, "t", 3, "a/half", "partial")).await?;
    env.schema.exec(&object_row(&env, "t", 3, "other", "partial")).await?;
    for key in ["a/half", "other"] {
        for number in 0..2 {
            insert_part(&env, &object_id(&env, 3, key), number).await?;
        }
    }
    let ended = forget(&env, &["s3://etl/a", "--prefix", "--yes"]).await?;
    ended.expect(0)?;
    ended.says("forgotten: 4 ledger rows (40 rows, 400 bytes), 3 failures\n")?;
    ensure_keys(&env, "t", &["b", "b", "b", "other"]).await?;
    ensure!(env.count("s3_to_mysql_failures").await? == 0);
    let parts = "SELECT LOWER(HEX(object_id)), COUNT(*) FROM s3_to_mysql_parts GROUP BY object_id";
    ensure_values(&env.schema, parts, &[&format!("{}|2", object_id(&env, 3, "other"))]).await?;
    ensure!(env.count("s3_to_mysql_jobs").await? == 1, "the job is no object");
    Ok(())
}

#[apply(load_test)]
async fn what_is_in_flight_is_not_forgotten_and_not_waited_for(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_loaded(&env, "t", 1, &["a", "c"]).await?;
    insert_failure(&env, "t", 1, "b").await?;
    insert_failure(&env, "t", 1, "c").await?;
    let mut open = env.schema.user_conn().await?;
    open.query_drop("BEGIN").await?;
    open.query_drop(object_row(&env, "t", 1, "b", "loading")).await?;
    // The row is addressed by its whole key, as a load clears it, so no other row is locked.
    let failure = format!(
        "target = {} AND generation = 1 AND bucket = 'etl' AND object_key = 'b'",
        quoted(&env, "t")
    );
    open.query_drop(format!("DELETE FROM s3_to_mysql_failures WHERE {failure}")).await?;
    // If it waited, it would end with a lock wait timeout, far beyond this test's patience.
    let ended =
        forget(&env, &["s3://etl/", "--yes", "--max-attempts", "1", "--stall-timeout", "20s"])
            .await?;
    ended.expect(0)?;
    ended.says("forgotten: 2 ledger rows (20 rows, 200 bytes), 1 failure\n")?;
    open.query_drop("UPDATE s3_to_mysql_objects SET state = 'loaded' WHERE object_key = 'b'")
        .await?;
    open.query_drop("COMMIT").await?;
    ensure_keys(&env, "t", &["b"]).await
}

#[apply(load_test)]
async fn thousands_of_objects_are_forgotten_to_the_last(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    let mut conn = env.schema.conn().await?;
    let numbers: Vec<String> = (0..1000).map(|number| format!("SELECT {number} AS n")).collect();
    // Keys with several ETags, prefixes that share their beginning, and batches of even and odd
    // size.
    conn.query_drop("CREATE TABLE numbers (n INT)").await?;
    conn.query_drop(format!("INSERT INTO numbers {}", numbers.join(" UNION ALL "))).await?;
    for (etag, folder) in [("e1", "in"), ("e2", "in"), ("e1", "in2")] {
        let row = object_row(&env, "t", 1, "KEY", "loaded").replace("'e1'", &format!("'{etag}'"));
        let (head, values) = row.split_once(" VALUES (").context("no values")?;
        let values =
            values.trim_end_matches(')').replace(&hex("KEY"), &format!("CONCAT('{folder}/', n)"));
        // The last function's parenthesis is not that of the list.
        conn.query_drop(format!("{head} SELECT {values}) FROM numbers")).await?;
    }
    conn.query_drop(format!(
        "INSERT INTO s3_to_mysql_failures SELECT {}, 1, 'etl', CONCAT('in/', n), '', 'bad_rows', \
         '', 1, NOW(), NOW(), '', '' FROM numbers",
        quoted(&env, "t")
    ))
    .await?;
    let ended = forget(&env, &["s3://etl/in/", "--yes"]).await?;
    ended.expect(0)?;
    ended.says(
        "forgotten: 2,000 ledger rows (20,000 rows, 200000 bytes = 195.31 KiB), 1,000 failures\n",
    )?;
    let left =
        "SELECT COUNT(*), COUNT(IF(object_key LIKE 'in2/%', 1, NULL)) FROM s3_to_mysql_objects";
    ensure_values(&env.schema, left, &["1000|1000"]).await
}

#[apply(load_test)]
async fn without_a_ledger_there_is_nothing_to_forget(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    let ended = forget(&env, &["s3://etl/", "--yes"]).await?;
    ended.expect(0)?;
    ended.says(&format!("The ledger `{}`.`s3_to_mysql` does not exist", env.schema.name))?;
    forget(&env, &["s3://etl/"]).await?.expect(2)?;
    forget(&env, &["--yes"]).await?.expect(2)?;
    forget(&env, &["etl/in", "--yes"]).await?.expect(2)?;
    ensure_values(&env.schema, "SHOW TABLES", &["t"]).await
}

#[apply(load_test)]
async fn forgetting_needs_the_delete_privilege(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_loaded(&env, "t", 1, &["a"]).await?;
    let tables = ALL_SUFFIXES.map(|suffix| format!("s3_to_mysql_{suffix}"));
    // The account has UPDATE, as for a load: MySQL locks no rows for an account that cannot change
    // them.
    let grants: Vec<(&str, &str)> =
        tables.iter().map(|table| ("SELECT, INSERT, UPDATE", table.as_str())).collect();
    let user = account_with(&env, &grants).await?;
    let ended = forget(&env, &["s3://etl/a", "--yes", "--user", &user]).await?;
    ended.expect(6)?;
    ended.says("DELETE command denied")?;
    ended.says("to forget also DELETE, and to acknowledge also")?;
    ensure_keys(&env, "t", &["a"]).await
}

#[apply(load_test)]
async fn what_cannot_be_told_is_not_forgotten(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_loaded(&env, "t", 1, &["a"]).await?;
    let mut command = bare_command(env.dir.path());
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    command.env("DATABASE_URL", env.schema.url()).args([
        "forget",
        "--table",
        "t",
        "s3://etl/a",
        "--yes",
    ]);
    command.stdout(writer);
    let child = command.spawn()?;
    drop(command);
    let ended = finish(child).await?;
    ended.expect(2)?;
    ended.says("standard output cannot be written")?;
    ensure_keys(&env, "t", &["a"]).await
}

#[apply(load_test)]
async fn a_connection_that_is_lost_is_made_again_and_what_was_forgotten_is_told(
    env: TestEnv,
) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let port = proxy.port().to_string();
    for (start, broken, told) in [
        ("DELETE", Break::Cut, "forgotten: 2 ledger rows (20 rows, 200 bytes), 0 failures\n"),
        (
            "COMMIT",
            Break::SwallowAnswer,
            "forgotten: 0 ledger rows (0 rows, 0 bytes), 0 failures\n\
             in transactions whose COMMIT was not answered, removed too, or counted above: \
             2 ledger rows (20 rows, 200 bytes), 0 failures\n",
        ),
    ] {
        insert_loaded(&env, "t", 1, &["a", "b"]).await?;
        let lost = proxy.next(Step::Statement(start), broken);
        let ended =
            forget(&env, &["s3://etl/", "--yes", "--port", &port, "--ssl-mode", "DISABLED"])
                .await?;
        ended.expect(0)?;
        ensure!(lost.count() == 1 && ended.stdout.ends_with(told), "{start}\n{ended}");
        ensure!(ended.stdout.matches("To be forgotten").count() == 1, "{ended}");
        ensure_keys(&env, "t", &[]).await?;

        insert_loaded(&env, "t", 1, &["a", "b"]).await?;
        let lost = proxy.next(Step::Statement(start), broken);
        let once = [
            "s3://etl/",
            "--yes",
            "--port",
            &port,
            "--ssl-mode",
            "DISABLED",
            "--max-attempts",
            "1",
        ];
        let ended = forget(&env, &once).await?;
        ended.expect(6)?;
        let is_told =
            ended.stdout.contains("COMMIT was not answered, possibly removed: 2 ledger rows");
        ensure!(lost.count() == 1 && is_told == (start == "COMMIT"), "{start}\n{ended}");
        env.schema.exec("DELETE FROM s3_to_mysql_objects; DELETE FROM s3_to_mysql_runs").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn what_was_forgotten_is_loaded_again(env: TestEnv) -> Result<()> {
    lines_table(&env).await?;
    env.put("in/a", "1\n2\n")?;
    env.put("in/b", "3\n")?;
    env.load_ending(0, "t", &[]).await?;
    env.load_ending(0, "t", &[]).await?;
    ensure!(env.count("t").await? == 3, "a second run has nothing to do");
    forget(&env, &["s3://etl/in/b"]).await?.expect(2)?;
    env.load_ending(0, "t", &[]).await?;
    ensure!(env.count("t").await? == 3, "nothing was forgotten without --yes");
    forget(&env, &["s3://etl/in/b", "--yes"]).await?.expect(0)?;
    ensure!(env.count("t").await? == 3, "the rows stay");
    env.load_ending(0, "t", &[]).await?;
    ensure_values(&env.schema, "SELECT a FROM t ORDER BY a", &["1", "2", "3", "3"]).await
}

#[apply(load_test)]
async fn a_failure_that_was_forgotten_is_tried_again(env: TestEnv) -> Result<()> {
    lines_table(&env).await?;
    env.put("in/bad", "x\n")?;
    env.load_ending(3, "t", &[]).await?;
    env.load_ending(3, "t", &["--no-retry-failed"]).await?;
    let attempts = "SELECT attempts, error_code FROM s3_to_mysql_failures";
    ensure_values(&env.schema, attempts, &["1|bad_rows"]).await.context("it was passed over")?;
    forget(&env, &["s3://etl/in/bad", "--yes"])
        .await?
        .says("forgotten: 0 ledger rows (0 rows, 0 bytes), 1 failure")?;
    ensure_values(&env.schema, attempts, &[]).await?;
    env.load_ending(3, "t", &["--no-retry-failed"]).await?;
    ensure_values(&env.schema, attempts, &["1|bad_rows"]).await.context("it was tried")
}
