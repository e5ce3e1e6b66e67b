//! `status`: what the ledger has on a table.

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use s3_to_mysql::ledger::Tables;
use s3_to_mysql::sql_text::TableName;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    ALL_SUFFIXES, account_with, ensure_keys, forget, insert_failure, insert_job, insert_loaded,
    insert_part, lines_table, make_ledger, object_id, object_row, one_table, quoted,
};
use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish, signal};
use crate::support::proxy::{Break, Broken, Proxy, Step};
use crate::support::values::ensure_values;

/// Inserts a run. `ended` has the values of the remaining columns.
async fn insert_run(env: &TestEnv, id: &str, started_at: &str, ended: &str) -> Result<()> {
    let sql = format!(
        "INSERT INTO s3_to_mysql_runs VALUES ('{id}', {}, 1, 'append', 's3://etl/', 'host-1:7', \
         '0.1.0', '{started_at}', {ended})",
        quoted(env, "t")
    );
    env.schema.exec(&sql).await
}

const NO_END: &str = "NULL, NULL, 0, 0, 0, 0, 0";
const GOOD_END: &str = "'2026-01-02 04:00:00', 0, 3, 4, 0, 30, 300";

async fn status(env: &TestEnv) -> Result<Ended> {
    let ended = env.run(&["status", "--table", "t"]).await?;
    ended.expect(0)?;
    Ok(ended)
}

async fn status_json(env: &TestEnv) -> Result<Value> {
    let ended = env.run(&["status", "--table", "t", "--json"]).await?;
    ended.expect(0)?;
    serde_json::from_str(&ended.stdout).with_context(|| format!("no JSON document\n{ended}"))
}

#[apply(load_test)]
async fn without_a_ledger_status_says_so_and_makes_none(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    let ended = status(&env).await?;
    ensure!(!ended.stderr.contains("error") && !ended.stderr.contains("WARN"), "{ended}");
    ended.says(&format!(
        "none: no run has loaded into this database with `{}`.`s3_to_mysql`",
        env.schema.name
    ))?;
    let document = status_json(&env).await?;
    ensure!(document["ledger"].is_null() && document["table"].is_null(), "{document}");
    ensure!(
        document["target"] == json!({ "database": env.schema.name, "table": "t" }),
        "{document}"
    );
    ensure_values(&env.schema, "SHOW TABLES", &["t"]).await
}

#[apply(load_test)]
async fn status_sums_what_is_in_the_table_and_in_the_shadow_of_a_swap(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_job(&env, "t", (1, 1), "append", "done").await?;
    insert_loaded(&env, "t", 1, &["a", "b", "c"]).await?;
    // Rows of another table, and of an earlier generation.
    insert_loaded(&env, "other", 1, &["a"]).await?;
    insert_loaded(&env, "t", 7, &["a"]).await?;
    let ended = status(&env).await?;
    for (label, value) in [
        ("target", format!("`{}`.`t`", env.schema.name)),
        ("ledger", format!("`{}`.`s3_to_mysql`", env.schema.name)),
        ("mode", "append".to_owned()),
        ("generation", "1, since 2026-01-02T03:04:05Z".to_owned()),
        ("objects loaded", "3".to_owned()),
        ("rows ", "30".to_owned()),
        ("rows skipped", "3".to_owned()),
        ("size", "300 B".to_owned()),
        ("objects failed", "0".to_owned()),
        ("objects in flight", "0".to_owned()),
    ] {
        ensure!(ended.summary(label)? == value, "{label}\n{ended}");
    }
    ensure!(!ended.stdout.contains("swap"), "{ended}");

    env.schema
        .exec(
            "UPDATE s3_to_mysql_jobs SET generation = 7, mode = 'swap', state = 'loading', \
             old_table = 't_old'",
        )
        .await?;
    let document = status_json(&env).await?;
    let sums = |generation: u32, objects: u64| {
        json!({
            "generation": generation, "objects_loaded": objects, "objects_partial": 0,
            "rows": objects * 10,
            "skipped": objects, "deleted": 0, "rejected": 0, "warnings": 0, "bytes": objects * 100,
        })
    };
    ensure!(document["table"] == sums(1, 3), "{document:#}");
    ensure!(document["shadow"] == sums(7, 1), "{document:#}");
    status(&env).await?.says(
        "in the table that the swap will put in its place, generation 7:\nobjects loaded     1\n",
    )
}

#[apply(load_test)]
async fn status_has_a_stable_json_shape(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_job(&env, "t", (1, 1), "append", "done").await?;
    insert_loaded(&env, "t", 1, &["a"]).await?;
    env.schema.exec(&object_row(&env, "t", 1, "half", "partial")).await?;
    insert_failure(&env, "t", 1, "bad").await?;
    insert_run(&env, "run-1", "2026-01-02 03:04:05", GOOD_END).await?;
    let document = status_json(&env).await?;
    let expected = json!({
        "target": { "database": env.schema.name, "table": "t" },
        "ledger": { "database": env.schema.name, "stem": "s3_to_mysql" },
        "job": {
            "generation": 1, "table_generation": 1, "mode": "append", "state": "done",
            "old_table": null,
            "run_id": "run-1", "tool_version": "0.1.0", "begun_at": "2026-01-02T03:04:05.678901Z",
            "changed_at": "2026-01-02T03:04:06.000000Z", "deferred_indexes": [],
        },
        "table": {
            "generation": 1, "objects_loaded": 1, "objects_partial": 1, "rows": 20, "skipped": 2,
            "deleted": 0,
            "rejected": 0, "warnings": 0, "bytes": 100,
        },
        "shadow": null,
        "objects_failed": 1,
        "objects_acknowledged": 0,
        "acknowledged": [],
        "source": null,
        "last_success_at": "2026-01-02T04:00:00.000000Z",
        "oldest_failure_at": "2026-01-02T03:04:05.000000Z",
        "partial": [{
            "bucket": "etl", "key": "half", "etag": "e1", "generation": 1, "size_bytes": 100,
            "part_size_bytes": 30,
            "parts": 4, "parts_loaded": 0,
        }],
        "in_flight": [],
        "failed": [{
            "bucket": "etl", "key": "bad", "etag": "e1", "generation": 1,
            "error": { "code": "bad_rows", "message": "row 3: not\na number" }, "attempts": 2,
            "first_failed_at": "2026-01-02T03:04:05.000000Z",
            "last_failed_at": "2026-01-03T03:04:05.000000Z",
            "worker": "host-1:7", "run_id": "run-1",
        }],
        "runs": [{
            "run_id": "run-1", "worker": "host-1:7", "generation": 1, "mode": "append",
            "source": "s3://etl/",
            "tool_version": "0.1.0", "state": "ended", "started_at": "2026-01-02T03:04:05.000000Z",
            "ended_at": "2026-01-02T04:00:00.000000Z", "exit_code": 0, "objects_loaded": 3,
            "objects_already_loaded": 4, "objects_failed": 0, "rows": 30, "bytes": 300,
        }],
    });
    ensure!(document == expected, "{document:#}");
    // Without any tables the document still has every field.
    env.schema
        .exec(
            "DROP TABLE s3_to_mysql_objects, s3_to_mysql_parts, s3_to_mysql_jobs, \
         s3_to_mysql_failures, s3_to_mysql_runs",
        )
        .await?;
    let (with, without) = (document, status_json(&env).await?);
    let names = |document: &Value| {
        document.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>())
    };
    ensure!(names(&with) == names(&without), "{without:#}");
    Ok(())
}

#[apply(load_test)]
async fn failures_are_told_with_reason_attempts_and_times(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_job(&env, "t", (1, 1), "append", "done").await?;
    for number in 0..12 {
        insert_failure(&env, "t", 1, &format!("bad-{number:02}")).await?;
    }
    insert_failure(&env, "other", 1, "bad").await?;
    let ended = status(&env).await?;
    ensure!(ended.summary("objects failed")? == "12", "{ended}");
    let failed: Vec<&str> =
        ended.stdout.lines().filter(|line| line.starts_with("failed: ")).collect();
    ensure!(
        failed.len() == 11 && failed[10] == "failed: and 2 more; --json has them all",
        "{ended}"
    );
    let first = "failed: s3://etl/bad-00: bad_rows since 2026-01-02, 2 attempts: row 3: not";
    ensure!(failed[0] == first, "{ended}");
    ensure!(ended.summary("oldest failure")? == "2026-01-02T03:04:05Z", "{ended}");
    let detailed = env.run(&["status", "--table", "t", "--details"]).await?;
    detailed.says(
        "failed: s3://etl/bad-00: bad_rows, 2 attempts from 2026-01-02T03:04:05Z to \
         2026-01-03T03:04:05Z\n  row 3: not\n  a number\nfailed: s3://etl/bad-01: ",
    )?;
    // However long a message or a key is, a line fits a terminal.
    let long = format!("UPDATE s3_to_mysql_failures SET message = '{}'", "long ".repeat(100));
    env.schema.exec(&long).await?;
    let ended = status(&env).await?;
    let widest = ended.stdout.lines().map(|line| line.chars().count()).max();
    ensure!(widest == Some(120), "{ended}");
    let document = status_json(&env).await?;
    let keys: Vec<&str> = document["failed"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|line| line["key"].as_str())
        .collect();
    let expected: Vec<String> = (0..12).map(|number| format!("bad-{number:02}")).collect();
    ensure!(keys == expected, "{document:#}");
    Ok(())
}

#[apply(load_test)]
async fn partial_objects_are_told_with_the_parts_that_are_loaded(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_job(&env, "t", (1, 1), "append", "done").await?;
    for key in ["half", "new\nline"] {
        env.schema.exec(&object_row(&env, "t", 1, key, "partial")).await?;
    }
    for number in 0..3 {
        insert_part(&env, &object_id(&env, 1, "half"), number).await?;
    }
    insert_part(&env, &object_id(&env, 2, "half"), 0).await?;
    let ended = status(&env).await?;
    ensure!(
        ended.summary("objects partial")? == "2" && ended.summary("objects loaded")? == "0",
        "{ended}"
    );
    ended.says("partial: s3://etl/half: 3 of 4 parts\npartial: s3://etl/new\\nline: 0 of 4 parts\n")
}

#[apply(load_test)]
async fn what_is_in_flight_is_told_with_its_worker_and_is_not_counted(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_job(&env, "t", (1, 1), "append", "done").await?;
    insert_loaded(&env, "t", 1, &["a"]).await?;
    let mut open = env.schema.user_conn().await?;
    open.query_drop("BEGIN").await?;
    open.query_drop(object_row(&env, "t", 1, "b", "loading")).await?;
    let ended = status(&env).await?;
    ensure!(
        ended.summary("objects in flight")? == "1" && ended.summary("objects loaded")? == "1",
        "{ended}"
    );
    ended.says(
        "in flight: s3://etl/b: 100 B by host-1:7, run run-1, since 2026-01-02T03:04:05Z\n",
    )?;
    let document = status_json(&env).await?;
    let expected = json!([{
        "bucket": "etl", "key": "b", "etag": "e1", "generation": 1, "size_bytes": 100,
        "worker": "host-1:7",
        "run_id": "run-1", "since": "2026-01-02T03:04:05.000001Z",
    }]);
    ensure!(document["in_flight"] == expected, "{document:#}");
    open.query_drop("ROLLBACK").await?;
    let document = status_json(&env).await?;
    ensure!(
        document["in_flight"] == json!([]) && document["table"]["objects_loaded"] == 1,
        "{document:#}"
    );
    Ok(())
}

fn run_lock(run_id: &str) -> String {
    Sha256::digest(format!("s3-to-mysql run {run_id}"))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Returns run ids with their states, from the JSON document.
async fn run_states(env: &TestEnv) -> Result<Vec<(String, String)>> {
    let document = status_json(env).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let runs = document["runs"].as_array().context("no runs")?;
    Ok(runs.iter().map(|run| (text(&run["run_id"]), text(&run["state"]))).collect())
}

#[apply(load_test)]
async fn runs_are_running_ended_or_dead(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_job(&env, "t", (1, 1), "append", "done").await?;
    insert_run(&env, "20260102-1", "2026-01-02 01:00:00", GOOD_END).await?;
    insert_run(&env, "20260102-2", "2026-01-02 02:00:00", NO_END).await?;
    insert_run(&env, "20260102-3", "2026-01-02 03:00:00", NO_END).await?;
    let mut alive = env.schema.user_conn().await?;
    // Lock names are server-wide: another test's run with the same name would be the same run.
    let id = format!("20260102-3-{}", env.schema.name);
    env.schema
        .exec(&format!("UPDATE s3_to_mysql_runs SET run_id = '{id}' WHERE run_id = '20260102-3'"))
        .await?;
    alive.query_drop(format!("DO GET_LOCK('{}', 0)", run_lock(&id))).await?;
    let states = run_states(&env).await?;
    let expected = |running: &str| {
        [(id.as_str(), running), ("20260102-2", "died"), ("20260102-1", "ended")]
            .map(|(run, state)| (run.to_owned(), state.to_owned()))
    };
    ensure!(states == expected("running"), "{states:?}");
    let ended = status(&env).await?;
    let cells = |start: &str| -> Result<Vec<String>> {
        let line = ended.stdout.lines().find(|line| line.starts_with(start)).context("no line")?;
        Ok(line.split_whitespace().skip(1).map(str::to_owned).collect())
    };
    let zeros = ["append", "host-1:7", "-", "0", "0", "0", "0", "0", "B"];
    ensure!(cells("2026-01-02T03:00:00Z")? == [&["running"][..], &zeros].concat(), "{ended}");
    ensure!(cells("2026-01-02T02:00:00Z")? == [&["died"][..], &zeros].concat(), "{ended}");
    let good = "2026-01-02T04:00:00Z append host-1:7 0 3 4 0 30 300 B";
    ensure!(cells("2026-01-02T01:00:00Z")?.join(" ") == good, "{ended}");
    ensure!(ended.summary("mode")? == "append, a run is at work", "{ended}");

    alive.query_drop("DO RELEASE_ALL_LOCKS()").await?;
    let states = run_states(&env).await?;
    ensure!(states == expected("died"), "{states:?}");
    Ok(())
}

#[apply(load_test)]
async fn a_run_that_is_alive_is_listed_however_old(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    let old = format!("old-{}", env.schema.name);
    insert_run(&env, &old, "2026-01-01 00:00:00", NO_END).await?;
    insert_run(&env, "old-and-dead", "2026-01-01 00:00:01", NO_END).await?;
    for number in 0..12 {
        insert_run(
            &env,
            &format!("{number:02}"),
            &format!("2026-01-02 {number:02}:00:00"),
            GOOD_END,
        )
        .await?;
    }
    let latest: Vec<String> = (2..12).rev().map(|number| format!("{number:02}")).collect();
    let listed =
        |states: Vec<(String, String)>| states.into_iter().map(|(run, _)| run).collect::<Vec<_>>();
    let states = listed(run_states(&env).await?);
    ensure!(states == latest, "{states:?}");
    let mut alive = env.schema.user_conn().await?;
    alive.query_drop(format!("DO GET_LOCK('{}', 0)", run_lock(&old))).await?;
    let states = listed(run_states(&env).await?);
    ensure!(states == [latest, vec![old]].concat(), "{states:?}");
    Ok(())
}

const AWKWARD: [&str; 6] =
    ["it's", "new\nline", "\"quoted\"\\", "caf\u{e9} \u{1f375}", "100%_", " blank "];

#[apply(load_test)]
async fn awkward_keys_are_told_as_they_are(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_job(&env, "t", (1, 1), "append", "done").await?;
    for key in AWKWARD {
        insert_failure(&env, "t", 1, key).await?;
    }
    let document = status_json(&env).await?;
    let mut keys: Vec<&str> = document["failed"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|line| line["key"].as_str())
        .collect();
    let mut expected = AWKWARD.to_vec();
    keys.sort_unstable();
    expected.sort_unstable();
    ensure!(keys == expected, "{document:#}");
    let ended = status(&env).await?;
    for key in AWKWARD {
        ended.says(&format!("failed: s3://etl/{}: bad_rows", key.replace('\n', "\\n")))?;
    }
    // The last row of this kind would otherwise end in mid-line.
    ensure!(
        ended.stdout.lines().filter(|line| line.contains("s3://etl/")).count() == AWKWARD.len(),
        "{ended}"
    );
    Ok(())
}

#[apply(load_test)]
async fn a_target_that_is_gone_still_has_its_history(env: TestEnv) -> Result<()> {
    make_ledger(&env).await?;
    insert_job(&env, "t", (1, 1), "append", "done").await?;
    insert_loaded(&env, "t", 1, &["a"]).await?;
    ensure!(status(&env).await?.summary("objects loaded")? == "1");
    forget(&env, &["s3://etl/a", "--yes"]).await?.expect(0)?;
    ensure_keys(&env, "t", &[]).await
}

#[apply(load_test)]
async fn a_ledger_elsewhere_is_found_where_it_is_named(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    let stem = TableName { database: None, table: "odd name".to_owned() };
    for statement in Tables::new(&stem, &env.schema.name).ddl() {
        env.schema.exec(&statement).await?;
    }
    let row = object_row(&env, "t", 1, "a", "loaded")
        .replace("s3_to_mysql_objects", "`odd name_objects`");
    env.schema.exec(&row).await?;
    let name = format!("`{}`.`odd name`", env.schema.name);
    let ended = env.run(&["status", "--table", "t", "--ledger-table", &name]).await?;
    ended.expect(0)?;
    ensure!(ended.summary("objects loaded")? == "1" && ended.summary("ledger")? == name, "{ended}");
    ended.says("nothing has been loaded into this table with this ledger")?;
    status(&env).await?.says("none: no run has loaded")
}

#[apply(load_test)]
async fn a_ledger_that_cannot_be_read_names_the_privilege(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_job(&env, "t", (1, 1), "append", "done").await?;
    let tables = ALL_SUFFIXES.map(|suffix| format!("s3_to_mysql_{suffix}"));
    let grants: Vec<(&str, &str)> = tables.iter().map(|table| ("INSERT", table.as_str())).collect();
    let user = account_with(&env, &grants).await?;
    let ended = env.run(&["status", "--table", "t", "--user", &user]).await?;
    ended.expect(6)?;
    ended.says("ERROR 1142")?;
    ended.says("needs the SELECT privilege on the ledger's tables")?;
    ensure!(ended.stdout.is_empty(), "{ended}");
    for table in &tables {
        env.schema.exec(&format!("GRANT SELECT ON {table} TO '{user}'@'%'")).await?;
    }
    env.run(&["status", "--table", "t", "--user", &user]).await?.expect(0)
}

#[apply(load_test)]
async fn a_ledger_of_another_version_is_left_alone(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_loaded(&env, "t", 1, &["a"]).await?;
    env.schema
        .exec("ALTER TABLE s3_to_mysql_objects COMMENT = 's3-to-mysql ledger, schema 99'")
        .await?;
    for args in
        [["status", "--table", "t"].as_slice(), &["forget", "--table", "t", "s3://etl/", "--yes"]]
    {
        let ended = env.run(args).await?;
        ended.expect(6)?;
        ended.says("has schema 99, made by a newer s3-to-mysql")?;
    }
    ensure_keys(&env, "t", &["a"]).await
}

#[apply(load_test)]
async fn the_configuration_of_a_load_serves_status_and_forget(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_loaded(&env, "t", 1, &["a", "nightly/b"]).await?;
    let file = "uris = [\"s3://etl/nightly/\"]\ntable = \"t\"\nmode = \"truncate\"\nno-ledger = \
         true\n\
                preset = \"hive\"\nreport = \"/nowhere/report\"\n";
    std::fs::write(env.path("c.toml"), file)?;
    let config = env.path("c.toml").display().to_string();
    let ended = env.run(&["status", "--config", &config]).await?;
    ended.expect(0)?;
    ensure!(ended.summary("objects loaded")? == "2", "{ended}");
    let refused = env.run(&["forget", "--config", &config, "--yes"]).await?;
    refused.expect(2)?;
    refused.says("there is nothing to forget; on the command line, name s3://BUCKET/KEY")?;
    ensure_keys(&env, "t", &["a", "nightly/b"]).await?;
    env.run(&["forget", "--config", &config, "--yes", "s3://etl/a"]).await?.expect(0)?;
    ensure_keys(&env, "t", &["nightly/b"]).await
}

#[apply(load_test)]
async fn status_tells_what_the_runs_have_done(env: TestEnv) -> Result<()> {
    lines_table(&env).await?;
    env.put("in/a", "1\n2\n")?;
    env.put("in/b'\n%", "3\n")?;
    env.put("in/bad", "4\nfive\n")?;
    env.load_ending(3, "t", &[]).await?;
    env.put("in/c", "6\n")?;
    env.load_ending(3, "t", &[]).await?;

    let document = status_json(&env).await?;
    let job = &document["job"];
    ensure!(
        job["generation"] == 1 && job["mode"] == "append" && job["state"] == "done",
        "{document:#}"
    );
    let table = json!({
        "generation": 1, "objects_loaded": 3, "objects_partial": 0, "rows": 4, "skipped": 0,
        "deleted": 0,
        "rejected": 0, "warnings": 0, "bytes": 8,
    });
    ensure!(document["table"] == table && document["shadow"].is_null(), "{document:#}");
    ensure!(env.count("t").await? == 4, "the table agrees");
    let [failed] = document["failed"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        anyhow::bail!("{document:#}")
    };
    ensure!(failed["key"] == "in/bad" && failed["error"]["code"] == "bad_rows", "{failed:#}");
    ensure!(
        failed["attempts"] == 2 && failed["first_failed_at"] != failed["last_failed_at"],
        "{failed:#}"
    );
    let runs: Vec<Value> = document["runs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|run| {
            json!([
                run["state"],
                run["exit_code"],
                run["objects_loaded"],
                run["objects_already_loaded"],
                run["objects_failed"],
                run["rows"],
                run["bytes"]
            ])
        })
        .collect();
    ensure!(
        runs == [json!(["ended", 3, 1, 2, 1, 1, 2]), json!(["ended", 3, 2, 0, 1, 3, 6])],
        "{runs:#?}"
    );
    ensure!(document["runs"][0]["run_id"] == failed["run_id"], "{document:#}");
    Ok(())
}

/// Starts a load that is held in the middle of its file, with an open transaction.
async fn held_load(env: &TestEnv, args: &[&str]) -> Result<(tokio::process::Child, Proxy, Broken)> {
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::InfileBytes(1), Break::Hold);
    let port = proxy.port().to_string();
    let base = ["load", "s3://etl/", "--table", "t", "--ssl-mode", "DISABLED", "--port", &port];
    let child = env.command(base.iter().chain(args)).spawn()?;
    held.wait().await?;
    Ok((child, proxy, held))
}

#[apply(load_test)]
async fn a_load_under_way_is_told_by_its_process_and_a_killed_one_as_dead(
    env: TestEnv,
) -> Result<()> {
    lines_table(&env).await?;
    env.put("in/held", "1\n2\n")?;
    let (child, _proxy, held) = held_load(&env, &[]).await?;
    let pid = format!(":{}", child.id().context("it has ended")?);

    let document = status_json(&env).await?;
    let in_flight = &document["in_flight"];
    ensure!(in_flight.as_array().is_some_and(|all| all.len() == 1), "{document:#}");
    ensure!(in_flight[0]["key"] == "in/held" && in_flight[0]["size_bytes"] == 4, "{document:#}");
    let worker = in_flight[0]["worker"].as_str().unwrap_or_default();
    let run = &document["runs"][0];
    ensure!(worker.ends_with(&pid) && run["worker"] == worker, "{pid}: {document:#}");
    ensure!(run["state"] == "running" && run["run_id"] == in_flight[0]["run_id"], "{document:#}");
    ensure!(document["table"]["objects_loaded"] == 0, "{document:#}");
    // `forget` cannot remove an object while another run is loading it.
    let ended = forget(&env, &["s3://etl/", "--yes", "--stall-timeout", "20s"]).await?;
    ended.expect(0)?;
    ended.says("forgotten: 0 ledger rows")?;

    signal(&child, "KILL")?;
    finish(child).await?;
    // The proxy reads on, and finds that the client has gone.
    held.release();
    for _ in 0..1000 {
        let document = status_json(&env).await?;
        if document["in_flight"] == json!([]) && document["runs"][0]["state"] == "died" {
            ensure!(document["runs"][0]["ended_at"].is_null(), "{document:#}");
            ensure!(env.count("t").await? == 0);
            return Ok(());
        }
    }
    anyhow::bail!("the server never noticed: {:#}", status_json(&env).await?)
}

#[apply(load_test)]
async fn a_swap_under_way_is_told_beside_the_table(env: TestEnv) -> Result<()> {
    lines_table(&env).await?;
    env.put("in/a", "1\n2\n")?;
    env.load_ending(0, "t", &[]).await?;
    env.put("in/b", "3\n")?;
    let (child, _proxy, held) =
        held_load(&env, &["--mode", "swap", "--load-concurrency", "1"]).await?;
    let document = status_json(&env).await?;
    let job = &document["job"];
    ensure!(job["mode"] == "swap" && job["state"] == "loading", "{document:#}");
    ensure!(
        document["table"]["objects_loaded"] == 1 && document["table"]["rows"] == 2,
        "{document:#}"
    );
    ensure!(document["shadow"]["objects_loaded"] == 0, "{document:#}");
    ensure!(
        document["in_flight"][0]["generation"] == document["shadow"]["generation"],
        "{document:#}"
    );
    held.release();
    finish(child).await?.expect(0)?;
    let document = status_json(&env).await?;
    ensure!(document["job"]["state"] == "swapped" && document["shadow"].is_null(), "{document:#}");
    ensure!(
        document["table"]["objects_loaded"] == 2 && document["table"]["rows"] == 3,
        "{document:#}"
    );
    ensure!(env.count("t").await? == 3);
    Ok(())
}

/// Returns the line of `status --check`.
async fn verdict(env: &TestEnv, code: i32, args: &[&str]) -> Result<String> {
    let ended = env.run(&[&["status", "--table", "t", "--check", "-q"][..], args].concat()).await?;
    ended.expect(code)?;
    ensure!(ended.stderr.is_empty() && ended.stdout.lines().count() == 1, "{ended}");
    Ok(ended.stdout)
}

#[apply(load_test)]
async fn a_verdict_for_monitoring_is_one_line_and_an_exit_code(env: TestEnv) -> Result<()> {
    lines_table(&env).await?;
    let line = verdict(&env, 2, &[]).await?;
    ensure!(line.starts_with("CRITICAL: nothing was ever loaded into "), "{line}");
    env.put("in/a", "1\n")?;
    env.load_ending(0, "t", &[]).await?;
    let line = verdict(&env, 0, &["--max-age", "26h"]).await?;
    ensure!(
        line.starts_with("OK: last success ") && line.ends_with("0 objects failed\n"),
        "{line}"
    );

    env.put("in/bad", "five\n")?;
    env.load_ending(3, "t", &[]).await?;
    let line = verdict(&env, 1, &[]).await?;
    ensure!(line.starts_with("WARNING: the last run ended with 3; 1 object failed, "), "{line}");
    env.put("in/bad", "5\n")?;
    env.load_ending(0, "t", &[]).await?;
    verdict(&env, 0, &[]).await?;

    let older = "UPDATE s3_to_mysql_runs SET ended_at = ended_at - INTERVAL 27 HOUR";
    env.schema.exec(older).await?;
    let line = verdict(&env, 2, &["--max-age", "26h"]).await?;
    ensure!(line.starts_with("CRITICAL: the last success was 27 h ago; "), "{line}");
    verdict(&env, 0, &["--max-age", "28h"]).await?;
    // A run that never said how it ended.
    insert_run(&env, "later", "2100-01-01 00:00:00", NO_END).await?;
    let line = verdict(&env, 2, &[]).await?;
    ensure!(line.starts_with("CRITICAL: the last run died, on host-1:7; "), "{line}");
    // No answer is no good news either.
    let ended = env.run(&["status", "--table", "t", "--check", "--port", "1"]).await?;
    ended.expect(2)?;
    ensure!(ended.stdout.starts_with("CRITICAL: "), "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn a_killed_run_is_shown_with_what_it_had_loaded(env: TestEnv) -> Result<()> {
    lines_table(&env).await?;
    env.put("in/a", "1\n2\n")?;
    env.load_ending(0, "t", &[]).await?;
    env.put("in/held", "3\n")?;
    env.put("in/b", "4\n5\n6\n")?;
    // One connection, so that the other object is loaded before or after the held one.
    let (child, _proxy, held) = held_load(&env, &["--no-batch", "--load-concurrency", "2"]).await?;
    for _ in 0..1000 {
        if env.count("t").await? > 2 {
            break;
        }
    }
    signal(&child, "KILL")?;
    finish(child).await?;
    held.release();
    let loaded = env.count("t").await? - 2;
    ensure!(loaded > 0, "nothing was loaded beside the held object");
    let run = &status_json(&env).await?["runs"][0];
    ensure!(run["rows"] == loaded && run["objects_loaded"] == 1, "{run:#}");
    Ok(())
}

#[apply(load_test)]
async fn a_table_that_never_was_is_an_error(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    let ended = env.run(&["status", "--table", "tt"]).await?;
    ended.expect(6)?;
    ended.says("error: table ")?;
    ended.says("does not exist, or the account cannot see it")?;
    ended.says("hint: did you mean \"t\"?")?;
    make_ledger(&env).await?;
    env.run(&["status", "--table", "tt"]).await?.expect(6)
}
