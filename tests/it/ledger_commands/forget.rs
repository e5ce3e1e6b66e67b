//! `forget`: how the ledger is made to forget, and what stays as it is.

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;

use super::{
    ALL_SUFFIXES, account_with, ensure_keys, forget, hex, insert_failure, insert_job,
    insert_loaded, insert_part, lines_table, make_ledger, object_id, object_row, one_table, quoted,
};
use crate::support::program::{World, bare_command, finish};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::values::ensure_values;

crate::load_tests![
    forget_changes_nothing_without_yes,
    forget_removes_what_it_names_and_nothing_else,
    a_prefix_is_no_pattern,
    forgotten_objects_are_forgotten_in_all_generations_with_failures_and_parts,
    what_is_in_flight_is_not_forgotten_and_not_waited_for,
    thousands_of_objects_are_forgotten_to_the_last,
    without_a_ledger_there_is_nothing_to_forget,
    forgetting_needs_the_delete_privilege,
    what_cannot_be_told_is_not_forgotten,
    a_connection_that_is_lost_is_made_again_and_what_was_forgotten_is_told,
    what_was_forgotten_is_loaded_again,
    a_failure_that_was_forgotten_is_tried_again,
];

async fn forget_changes_nothing_without_yes(world: World) -> Result<()> {
    one_table(&world).await?;
    make_ledger(&world).await?;
    insert_loaded(&world, "t", 1, &["in/a", "in/b", "out"]).await?;
    insert_failure(&world, "t", 1, "in/bad").await?;
    let ended = forget(&world, &["s3://etl/in/", "s3://etl/out", "s3://etl/none"]).await?;
    ended.expect(2)?;
    let name = &world.schema.name;
    let expected = format!(
        "To be forgotten by the ledger `{name}`.`s3_to_mysql` of `{name}`.`t`:\n\
         s3://etl/in/ and all below it: 2 ledger rows (20 rows, 200 bytes = 200 B), 1 failures\n\
         s3://etl/out: 1 ledger rows (10 rows, 100 bytes = 100 B), 0 failures\n\
         s3://etl/none: 0 ledger rows (0 rows, 0 bytes = 0 B), 0 failures\n\
         The rows stay in the table. The next run loads these objects again, beside those rows unless a unique key keeps them out.\n"
    );
    ensure!(ended.stdout == expected, "{ended}");
    let said = "error: nothing was changed, because --yes is missing\n  hint: run it again with --yes to forget this\n";
    ensure!(ended.stderr.ends_with(said), "{ended}");
    ensure_keys(&world, "t", &["in/a", "in/b", "out"]).await?;
    ensure!(world.count("s3_to_mysql_failures").await? == 1);

    let done = forget(&world, &["s3://etl/in/", "s3://etl/out", "s3://etl/none", "--yes"]).await?;
    done.expect(0)?;
    let sums = "forgotten: 3 ledger rows (30 rows, 300 bytes = 300 B), 1 failures\n";
    ensure!(done.stdout == expected + sums && !done.stderr.contains("error"), "{done}");
    Ok(())
}

async fn forget_removes_what_it_names_and_nothing_else(world: World) -> Result<()> {
    one_table(&world).await?;
    world.schema.exec("INSERT INTO t VALUES (1), (2)").await?;
    make_ledger(&world).await?;
    insert_loaded(&world, "t", 1, &["a", "a/", "a/b", "ab", "b"]).await?;
    insert_loaded(&world, "other", 1, &["a", "a/b"]).await?;
    let elsewhere = object_row(&world, "t", 1, "a", "loaded").replace("'etl'", "'etl2'");
    world.schema.exec(&elsewhere).await?;

    forget(&world, &["s3://etl/a", "--yes"]).await?.expect(0)?;
    ensure_keys(&world, "t", &["a", "a/", "a/b", "ab", "b"])
        .await
        .context("the first is of the other bucket")?;
    forget(&world, &["s3://etl/a/", "--yes"]).await?.expect(0)?;
    ensure_keys(&world, "t", &["a", "ab", "b"]).await?;
    forget(&world, &["s3://etl/a", "--prefix", "--yes"]).await?.expect(0)?;
    ensure_keys(&world, "t", &["a", "b"]).await?;
    forget(&world, &["s3://etl", "--yes"]).await?.expect(0)?;
    ensure_keys(&world, "t", &["a"]).await?;
    forget(&world, &["s3://etl2/", "s3://etl2/a", "--yes"]).await?.expect(0)?;
    ensure_keys(&world, "t", &[]).await?;
    ensure_keys(&world, "other", &["a", "a/b"]).await?;
    ensure!(world.count("t").await? == 2, "the table's own rows stay");
    Ok(())
}

async fn a_prefix_is_no_pattern(world: World) -> Result<()> {
    one_table(&world).await?;
    make_ledger(&world).await?;
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
    insert_loaded(&world, "t", 1, &keys).await?;
    let forget_prefix = async |prefix: &str| {
        let ended = forget(&world, &[&format!("s3://etl/{prefix}"), "--prefix", "--yes"]).await?;
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
        ended.says(&format!("forgotten: {} ledger rows", gone.len()))?;
        left.retain(|key| !gone.contains(key));
        left.sort_unstable();
        let expected: Vec<String> = left.iter().map(|key| key.escape_debug().to_string()).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        ensure_keys(&world, "t", &expected).await.context(prefix.to_owned())?;
    }
    Ok(())
}

async fn forgotten_objects_are_forgotten_in_all_generations_with_failures_and_parts(
    world: World,
) -> Result<()> {
    one_table(&world).await?;
    make_ledger(&world).await?;
    insert_job(&world, "t", (3, 2), "swap", "loading").await?;
    for generation in [1, 2, 3] {
        insert_loaded(&world, "t", generation, &["a", "b"]).await?;
        insert_failure(&world, "t", generation, "a").await?;
    }
    world.schema.exec(&object_row(&world, "t", 3, "a/half", "partial")).await?;
    world.schema.exec(&object_row(&world, "t", 3, "other", "partial")).await?;
    for key in ["a/half", "other"] {
        for number in 0..2 {
            insert_part(&world, &object_id(&world, 3, key), number).await?;
        }
    }
    let ended = forget(&world, &["s3://etl/a", "--prefix", "--yes"]).await?;
    ended.expect(0)?;
    ended.says("forgotten: 4 ledger rows (40 rows, 400 bytes = 400 B), 3 failures\n")?;
    ensure_keys(&world, "t", &["b", "b", "b", "other"]).await?;
    ensure!(world.count("s3_to_mysql_failures").await? == 0);
    let parts = "SELECT LOWER(HEX(object_id)), COUNT(*) FROM s3_to_mysql_parts GROUP BY object_id";
    ensure_values(&world.schema, parts, &[&format!("{}|2", object_id(&world, 3, "other"))]).await?;
    ensure!(world.count("s3_to_mysql_jobs").await? == 1, "the job is no object");
    Ok(())
}

async fn what_is_in_flight_is_not_forgotten_and_not_waited_for(world: World) -> Result<()> {
    one_table(&world).await?;
    make_ledger(&world).await?;
    insert_loaded(&world, "t", 1, &["a", "c"]).await?;
    insert_failure(&world, "t", 1, "b").await?;
    insert_failure(&world, "t", 1, "c").await?;
    let mut open = world.schema.user_conn().await?;
    open.query_drop("BEGIN").await?;
    open.query_drop(object_row(&world, "t", 1, "b", "loading")).await?;
    // By its whole key, as a load clears it: no other row is locked.
    let failure = format!(
        "target = {} AND generation = 1 AND bucket = 'etl' AND object_key = 'b'",
        quoted(&world, "t")
    );
    open.query_drop(format!("DELETE FROM s3_to_mysql_failures WHERE {failure}")).await?;
    // It would end with a lock wait timeout, far beyond this test's patience, if it waited.
    let ended =
        forget(&world, &["s3://etl/", "--yes", "--max-attempts", "1", "--stall-timeout", "20s"])
            .await?;
    ended.expect(0)?;
    ended.says("forgotten: 2 ledger rows (20 rows, 200 bytes = 200 B), 1 failures\n")?;
    open.query_drop("UPDATE s3_to_mysql_objects SET state = 'loaded' WHERE object_key = 'b'")
        .await?;
    open.query_drop("COMMIT").await?;
    ensure_keys(&world, "t", &["b"]).await
}

async fn thousands_of_objects_are_forgotten_to_the_last(world: World) -> Result<()> {
    one_table(&world).await?;
    make_ledger(&world).await?;
    let mut conn = world.schema.conn().await?;
    let numbers: Vec<String> = (0..1000).map(|number| format!("SELECT {number} AS n")).collect();
    // Keys with several ETags, and prefixes that share their beginning; an even batch and an odd
    // one.
    conn.query_drop("CREATE TABLE numbers (n INT)").await?;
    conn.query_drop(format!("INSERT INTO numbers {}", numbers.join(" UNION ALL "))).await?;
    for (etag, folder) in [("e1", "in"), ("e2", "in"), ("e1", "in2")] {
        let row = object_row(&world, "t", 1, "KEY", "loaded").replace("'e1'", &format!("'{etag}'"));
        let (head, values) = row.split_once(" VALUES (").context("no values")?;
        let values =
            values.trim_end_matches(')').replace(&hex("KEY"), &format!("CONCAT('{folder}/', n)"));
        // The parenthesis of the last function is not the list's.
        conn.query_drop(format!("{head} SELECT {values}) FROM numbers")).await?;
    }
    conn.query_drop(format!(
        "INSERT INTO s3_to_mysql_failures SELECT {}, 1, 'etl', CONCAT('in/', n), '', 'bad_rows', '', 1, NOW(), NOW(), '', '' FROM numbers",
        quoted(&world, "t")
    ))
    .await?;
    let ended = forget(&world, &["s3://etl/in/", "--yes"]).await?;
    ended.expect(0)?;
    ended.says(
        "forgotten: 2000 ledger rows (20000 rows, 200000 bytes = 195.31 KiB), 1000 failures\n",
    )?;
    let left =
        "SELECT COUNT(*), COUNT(IF(object_key LIKE 'in2/%', 1, NULL)) FROM s3_to_mysql_objects";
    ensure_values(&world.schema, left, &["1000|1000"]).await
}

async fn without_a_ledger_there_is_nothing_to_forget(world: World) -> Result<()> {
    one_table(&world).await?;
    let ended = forget(&world, &["s3://etl/", "--yes"]).await?;
    ended.expect(0)?;
    ended.says(&format!("There is no ledger `{}`.`s3_to_mysql`", world.schema.name))?;
    forget(&world, &["s3://etl/"]).await?.expect(2)?;
    forget(&world, &["--yes"]).await?.expect(2)?;
    forget(&world, &["etl/in", "--yes"]).await?.expect(2)?;
    ensure_values(&world.schema, "SHOW TABLES", &["t"]).await
}

async fn forgetting_needs_the_delete_privilege(world: World) -> Result<()> {
    one_table(&world).await?;
    make_ledger(&world).await?;
    insert_loaded(&world, "t", 1, &["a"]).await?;
    let tables = ALL_SUFFIXES.map(|suffix| format!("s3_to_mysql_{suffix}"));
    // UPDATE, as a load has it: MySQL locks rows for nobody who may not change them.
    let grants: Vec<(&str, &str)> =
        tables.iter().map(|table| ("SELECT, INSERT, UPDATE", table.as_str())).collect();
    let user = account_with(&world, &grants).await?;
    let ended = forget(&world, &["s3://etl/a", "--yes", "--user", &user]).await?;
    ended.expect(6)?;
    ended.says("DELETE command denied")?;
    ended.says("to forget also DELETE; an administrator must GRANT them")?;
    ensure_keys(&world, "t", &["a"]).await
}

async fn what_cannot_be_told_is_not_forgotten(world: World) -> Result<()> {
    one_table(&world).await?;
    make_ledger(&world).await?;
    insert_loaded(&world, "t", 1, &["a"]).await?;
    let mut command = bare_command(world.dir.path());
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    command.env("DATABASE_URL", world.schema.url()).args([
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
    ended.says("standard output can't be written")?;
    ensure_keys(&world, "t", &["a"]).await
}

async fn a_connection_that_is_lost_is_made_again_and_what_was_forgotten_is_told(
    world: World,
) -> Result<()> {
    one_table(&world).await?;
    make_ledger(&world).await?;
    let proxy = Proxy::start(world.server.port()).await?;
    let port = proxy.port().to_string();
    for (start, broken, told) in [
        (
            "DELETE",
            Break::Cut,
            "forgotten: 2 ledger rows (20 rows, 200 bytes = 200 B), 0 failures\n",
        ),
        (
            "COMMIT",
            Break::SwallowAnswer,
            "forgotten: 0 ledger rows (0 rows, 0 bytes = 0 B), 0 failures\n\
             in transactions whose COMMIT had no answer, gone too, or counted above: \
             2 ledger rows (20 rows, 200 bytes = 200 B), 0 failures\n",
        ),
    ] {
        insert_loaded(&world, "t", 1, &["a", "b"]).await?;
        let lost = proxy.next(Step::Statement(start), broken);
        let ended =
            forget(&world, &["s3://etl/", "--yes", "--port", &port, "--ssl-mode", "DISABLED"])
                .await?;
        ended.expect(0)?;
        ensure!(lost.count() == 1 && ended.stdout.ends_with(told), "{start}\n{ended}");
        ensure!(ended.stdout.matches("To be forgotten").count() == 1, "{ended}");
        ensure_keys(&world, "t", &[]).await?;

        insert_loaded(&world, "t", 1, &["a", "b"]).await?;
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
        let ended = forget(&world, &once).await?;
        ended.expect(6)?;
        let is_told =
            ended.stdout.contains("COMMIT had no answer, gone, or still there: 2 ledger rows");
        ensure!(lost.count() == 1 && is_told == (start == "COMMIT"), "{start}\n{ended}");
        world.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
    }
    Ok(())
}

async fn what_was_forgotten_is_loaded_again(world: World) -> Result<()> {
    lines_table(&world).await?;
    world.put("in/a", "1\n2\n")?;
    world.put("in/b", "3\n")?;
    world.load_ending(0, "t", &[]).await?;
    world.load_ending(0, "t", &[]).await?;
    ensure!(world.count("t").await? == 3, "a second run has nothing to do");
    forget(&world, &["s3://etl/in/b"]).await?.expect(2)?;
    world.load_ending(0, "t", &[]).await?;
    ensure!(world.count("t").await? == 3, "nothing was forgotten without --yes");
    forget(&world, &["s3://etl/in/b", "--yes"]).await?.expect(0)?;
    ensure!(world.count("t").await? == 3, "the rows stay");
    world.load_ending(0, "t", &[]).await?;
    ensure_values(&world.schema, "SELECT a FROM t ORDER BY a", &["1", "2", "3", "3"]).await
}

async fn a_failure_that_was_forgotten_is_tried_again(world: World) -> Result<()> {
    lines_table(&world).await?;
    world.put("in/bad", "x\n")?;
    world.load_ending(3, "t", &[]).await?;
    world.load_ending(3, "t", &["--no-retry-failed"]).await?;
    let attempts = "SELECT attempts, error_code FROM s3_to_mysql_failures";
    ensure_values(&world.schema, attempts, &["1|bad_rows"]).await.context("it was passed over")?;
    forget(&world, &["s3://etl/in/bad", "--yes"])
        .await?
        .says("forgotten: 0 ledger rows (0 rows, 0 bytes = 0 B), 1 failures")?;
    ensure_values(&world.schema, attempts, &[]).await?;
    world.load_ending(3, "t", &["--no-retry-failed"]).await?;
    ensure_values(&world.schema, attempts, &["1|bad_rows"]).await.context("it was tried")
}
