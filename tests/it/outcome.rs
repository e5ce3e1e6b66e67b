//! The end of a run and its reports: exit codes, summary, report, failed keys, logs and progress.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish, wait_for_log};
use crate::support::s3::{Fault, Operation, Refusal, Times};
use crate::support::until::until;

async fn create_table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT NOT NULL, b VARCHAR(20) NOT NULL) ENGINE=InnoDB").await
}

/// Returns a summary without the values that differ from run to run.
fn redacted(stdout: &str) -> String {
    let lines = stdout.lines().map(|line| match line.split_once(' ') {
        Some((label @ ("seconds" | "MB/s"), value)) => {
            let value = value.trim();
            let is_number = value.parse::<f64>().is_ok_and(|value| value > 0.0);
            format!("{label:<18} {}", if is_number { "[number]" } else { value })
        }
        _ => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

#[apply(load_test)]
async fn a_run_that_loads_everything_ends_with_0_and_says_so_on_standard_output_alone(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/b", "3\tz\n")?;
    env.put("in/_SUCCESS", "")?;
    env.put("in/folder/", "")?;
    let ended = env.load_ending(0, "t", &["--skip-hidden"]).await?;
    insta::assert_snapshot!("summary", redacted(&ended.stdout));
    ensure!(ended.stderr.contains("target `t` on"), "{ended}");
    ensure!(!ended.stdout.contains("INFO"), "a log line on standard output\n{ended}");
    ensure!(env.count("t").await? == 3);
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn a_run_with_failures_ends_with_3_and_names_them(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/bad", "3\tz\nno number\tz\n")?;
    for number in 0..11 {
        env.put(&format!("in/packed{number:02}"), [&[0x1f, 0x8b, 8, 0][..], &[0; 30]].concat())?;
    }
    let ended = env
        .load_ending(
            3,
            "t",
            &["--load-concurrency", "1", "--download-concurrency", "1", "--no-batch"],
        )
        .await?;
    ensure!(
        ended.summary("objects loaded")? == "1" && ended.summary("objects failed")? == "12",
        "{ended}"
    );
    ensure!(!ended.stdout.contains("failed: "), "standard output is for the summary\n{ended}");
    let problems = ended.stderr.split_once("failed: ").context("no failure")?.1;
    let expected = "\
        11 objects: its gzip data is damaged (at byte 10 of the gzip data)\n  \
        s3://etl/in/packed00\n  s3://etl/in/packed01\n  s3://etl/in/packed02\n  and 8 more\n\
        failed: s3://etl/in/bad: 1 of 2 rows are bad; no row was loaded\n  \
        line 2, column a (int): 'no number' is not an integer\n    no number\\tz\n  \
        hint: ";
    ensure!(problems.starts_with(expected), "{ended}");
    ensure!(env.count("t").await? == 2);
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn nothing_matched_is_4_unless_it_is_allowed(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    let ended = env.load_ending(4, "t", &["--include", "*.csv"]).await?;
    ended.says(
        "error: no object matches; skipped: 0 folder markers, 0 hidden keys, 1 filtered out",
    )?;
    ended.says("hint: check the URIs and filters; --allow-empty makes this a success")?;
    ensure!(ended.stdout.is_empty(), "{ended}");
    let ended = env.load_ending(0, "t", &["--include", "*.csv", "--allow-empty"]).await?;
    ensure!(ended.summary("objects loaded")? == "0", "{ended}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn a_source_that_is_not_there_is_5(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    let ended = env.run(&["load", "s3://elsewhere/", "--table", "t"]).await?;
    ended.expect(5)?;
    ended.says("elsewhere")?;
    ended.says("hint: check the bucket's name, --region and --endpoint-url")?;
    // A port that was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let url = format!("http://{closed}");
    let ended = env.load_ending(5, "t", &["--endpoint-url", &url, "--max-attempts", "2"]).await?;
    ended.says("hint: check --endpoint-url, the network and the proxy settings")?;
    ended.says("Connection refused (os error 111)")?;
    ensure!(!ended.stderr.contains('{'), "the SDK's inner workings\n{ended}");
    let mut command = env.command(["load", "s3://etl/", "--table", "t"]);
    let ended = finish(
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").spawn()?,
    )
    .await?;
    ended.expect(5)?;
    ended.says("the S3 credentials were refused, or none were found")?;
    ended.says("use --no-sign-request for a public bucket")?;
    ensure!(!ended.stderr.contains('{'), "the SDK's inner workings\n{ended}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn a_target_that_is_not_there_is_6(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    let ended = env.load_ending(6, "missing", &[]).await?;
    ended.says("error: table `missing` does not exist")?;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let ended = env.load_ending(6, "t", &["--port", &closed, "--max-attempts", "2"]).await?;
    ended.says("hint: check --host, --port, --socket and that the server is running")?;
    let ended = env.load_ending(6, "t", &["--user", "nobody"]).await?;
    // MySQL asks for a plugin of its choice if there is no such account.
    ended.says("hint: check --user")?;
    ensure!(env.s3.log().count(Operation::GetObject) == 0 && env.count("t").await? == 0);
    Ok(())
}

fn json_lines(stderr: &str) -> Result<Vec<Value>> {
    stderr.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[apply(load_test)]
async fn every_line_of_a_json_log_is_json_errors_included(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    // A duplicate that causes a warning, in a key with a newline.
    env.put("in/b\nc", "2\tx\n")?;
    env.s3.faults().on_get("in/b\nc", Times::Next(1), Fault::Refuse(Refusal::SLOW_DOWN));
    let ended = env.load_ending(0, "t", &["--log-format", "json"]).await?;
    let lines = json_lines(&ended.stderr)?;
    ensure!(
        lines.iter().any(|line| line["level"] == "INFO")
            && lines.iter().any(|line| line["level"] == "WARN")
    );
    ensure!(
        lines
            .iter()
            .all(|line| line["timestamp"].is_string() && line["fields"]["message"].is_string())
    );

    let ended_event = lines.last().context("no line")?;
    let fields = &ended_event["fields"];
    ensure!(
        fields["message"] == "the run ended"
            && fields["table"] == "`t`"
            && fields["run_id"].is_string()
            && fields["exit_code"] == 0
            && fields["objects_loaded"] == 2
            && fields["rows"] == 2,
        "{ended}"
    );

    // Each failed object is an event of its own, and nothing is told twice.
    env.put("in/bad", "no number\tx\n")?;
    env.put("in/short", "3\n")?;
    let ended = env.load_ending(3, "t", &["--log-format", "json", "-q"]).await?;
    let lines = json_lines(&ended.stderr)?;
    let mut failed: Vec<&Value> = lines.iter().map(|line| &line["fields"]["object"]).collect();
    failed.sort_by_key(ToString::to_string);
    ensure!(failed == ["s3://etl/in/bad", "s3://etl/in/short"], "{ended}");
    ensure!(lines.iter().all(|line| line["fields"]["code"] == "bad_rows"), "{ended}");

    let ended = env.load_ending(6, "missing", &["--log-format", "json", "-q"]).await?;
    let lines = json_lines(&ended.stderr)?;
    ensure!(lines.len() == 1 && lines[0]["level"] == "ERROR", "{ended}");
    ensure!(
        lines[0]["fields"]["code"] == "target_refused" && lines[0]["fields"]["hint"].is_string(),
        "{ended}"
    );
    Ok(())
}

#[apply(load_test)]
async fn quiet_runs_are_quiet_and_verbose_ones_are_not(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    let ended = env.load_ending(0, "t", &[]).await?;
    ensure!(ended.stderr.contains(" INFO "), "{ended}");
    // All is well in the end: the mail of a cron job is empty.
    env.s3.faults().on_get("in/a", Times::Next(2), Fault::Refuse(Refusal::SLOW_DOWN));
    let ended = env.load_ending(0, "t", &["-q", "--force", "--max-attempts", "8"]).await?;
    ensure!(ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended}");
    ensure!(env.count("t").await? == 2);
    env.s3.faults().clear();
    // A failure is told, without the log. Only -qq leaves nothing but the exit code.
    env.put("in/bad", "no number\tx\n")?;
    let ended = env.load_ending(3, "t", &["-q"]).await?;
    ensure!(ended.stderr.starts_with("failed: s3://etl/in/bad: "), "{ended}");
    ensure!(ended.summary("objects failed")? == "1", "{ended}");
    let ended = env.load_ending(3, "t", &["-qq"]).await?;
    ensure!(ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended}");
    let ended = env.load_ending(6, "missing", &["-qq"]).await?;
    ensure!(ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended}");
    Ok(())
}

const FIELDS: [&str; 9] =
    ["type", "status", "bucket", "key", "etag", "size_bytes", "rows", "attempts", "seconds"];

#[apply(load_test)]
async fn the_report_accounts_for_every_object_and_its_sums_are_the_summary(
    env: TestEnv,
) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(20) NOT NULL) ENGINE=InnoDB")
        .await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/b \"q\"", "3\tz\n1\tagain\n")?;
    env.put("in/bad", "no number\tz\n")?;
    let report = env.path("report.jsonl").display().to_string();
    let args = [
        "--report",
        &report,
        "--on-duplicate",
        "ignore",
        "--load-concurrency",
        "1",
        "--download-concurrency",
        "1",
    ];
    let ended = env.load_ending(3, "t", &args).await?;
    let lines = env.report("report.jsonl")?;
    let (summary, objects) = lines.split_last().context("an empty report")?;
    ensure!(
        objects.len() == 3 && objects.iter().all(|line| line["type"] == "object"),
        "{lines:#?}"
    );
    for line in objects {
        let fields = line.as_object().context("not an object")?;
        ensure!(
            FIELDS.iter().chain(&["error"]).all(|field| fields.contains_key(*field)),
            "{line:#}"
        );
        let stored = env
            .s3
            .backend()
            .newest("etl", line["key"].as_str().context("no key")?)
            .context("not stored")?;
        ensure!(
            line["etag"] == stored.quoted_etag() && line["size_bytes"] == stored.length_bytes(),
            "{line:#}"
        );
        ensure!(
            line["attempts"] == 1 && line["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0),
            "{line:#}"
        );
        ensure!(line["error"].is_null() == (line["status"] == "loaded"), "{line:#}");
    }
    let loaded: Vec<&Value> = objects.iter().filter(|line| line["status"] == "loaded").collect();
    let failed: Vec<&Value> = objects.iter().filter(|line| line["status"] == "failed").collect();
    ensure!(loaded.len() == 2 && failed.len() == 1 && failed[0]["key"] == "in/bad", "{lines:#?}");
    ensure!(
        failed[0]["error"]["code"] == "bad_rows" && failed[0]["error"]["hint"].is_string(),
        "{lines:#?}"
    );

    ensure!(summary["type"] == "summary" && summary["listing_complete"] == true, "{summary:#}");
    ensure!(summary["objects_loaded"] == 2 && summary["objects_failed"] == 1, "{summary:#}");
    ensure!(summary["objects_not_reached"] == 0 && summary["error"].is_null(), "{summary:#}");
    let sum = |field: &str| loaded.iter().filter_map(|line| line[field].as_u64()).sum::<u64>();
    for (total, field) in [
        ("rows", "rows"),
        ("skipped", "skipped"),
        ("deleted", "deleted"),
        ("warnings", "warnings"),
        ("bytes", "size_bytes"),
    ] {
        ensure!(summary[total] == sum(field), "{total}: {summary:#}");
    }
    // The report is true: three of the four rows are in the table, and one was skipped.
    ensure!(
        summary["rows"] == 4 && summary["skipped"] == 1 && env.count("t").await? == 3,
        "{summary:#}"
    );
    ensure!(ended.summary("rows skipped")? == "1" && ended.summary("rows")? == "4", "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn the_report_is_written_while_the_run_goes_on(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/b", "3\tz\n")?;
    let held = env.s3.faults().on_get("in/b", Times::Always, Fault::Hold);
    let report = env.path("report.jsonl").display().to_string();
    let child = env.command(["load", "s3://etl/", "--table", "t", "--report", &report]).spawn()?;
    held.wait_for_effects(1).await;
    let line = until(|| async {
        let text = std::fs::read_to_string(env.path(&env.partial("report.jsonl")?))?;
        Ok(text.ends_with('\n').then_some(text))
    })
    .await?;
    let line: Value = serde_json::from_str(&line)?;
    ensure!(
        line["key"] == "in/a" && line["status"] == "loaded" && env.count("t").await? == 2,
        "{line:#}"
    );
    ensure!(!env.path("report.jsonl").exists(), "it has its name before it is whole");
    held.remove();
    finish(child).await?.expect(0)?;
    ensure!(env.report("report.jsonl")?.len() == 3);
    ensure!(env.partial("report.jsonl").is_err(), "the temporary name is left");
    Ok(())
}

#[apply(load_test)]
async fn a_report_tells_why_a_run_did_not_begin(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    let report = env.path("report.jsonl").display().to_string();
    env.load_ending(6, "missing", &["--report", &report]).await?;
    let lines = env.report("report.jsonl")?;
    ensure!(
        lines.len() == 1 && lines[0]["type"] == "summary" && lines[0]["objects_loaded"] == 0,
        "{lines:#?}"
    );
    ensure!(
        lines[0]["error"]["code"] == "target_refused" && lines[0]["listing_complete"] == false,
        "{lines:#?}"
    );
    Ok(())
}

#[apply(load_test)]
async fn tries_are_counted_in_both_stages_and_for_failures_too(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/gone", "1\tx\n")?;
    env.put("in/slow", "2\tx\n")?;
    env.s3.faults().on_get("in/gone", Times::Always, Fault::CutBody { after_bytes: 1 });
    env.s3.faults().on_get("in/slow", Times::Next(2), Fault::Refuse(Refusal::SLOW_DOWN));
    let report = env.path("report.jsonl").display().to_string();
    env.load_ending(3, "t", &["--report", &report, "--max-attempts", "3"]).await?;
    let lines = env.report("report.jsonl")?;
    let attempts = |key: &str| {
        lines.iter().find(|line| line["key"] == key).map(|line| line["attempts"].clone())
    };
    ensure!(
        attempts("in/gone") == Some(3.into()) && attempts("in/slow") == Some(3.into()),
        "{lines:#?}"
    );
    ensure!(
        env.s3.log().gets_of("in/slow").len() == 3 && env.s3.log().gets_of("in/gone").len() == 3
    );
    Ok(())
}

#[apply(load_test)]
async fn a_report_that_cannot_be_written_is_refused_before_anything_is_loaded(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    for flag in ["--report", "--failed-keys"] {
        let path = env.path("no/such/folder/file").display().to_string();
        let ended = env.load_ending(2, "t", &[flag, &path]).await?;
        ended.says(&format!("error: {flag} {path} cannot be written"))?;
        ended.says("caused by: No such file or directory")?;
    }
    let report = env.path("both").display().to_string();
    let ended = env.load_ending(2, "t", &["--report", &report, "--failed-keys", &report]).await?;
    ended.says("report and failed-keys are the same file")?;
    std::os::unix::fs::symlink(&report, env.path("link"))?;
    let link = env.path("link").display().to_string();
    let ended = env.load_ending(2, "t", &["--report", &report, "--failed-keys", &link]).await?;
    ended.says("is also the file of --report, and would overwrite it")?;
    ensure!(env.s3.log().all().is_empty() && env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn a_report_that_fills_its_disk_ends_the_run_with_an_error_and_a_summary(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    for number in 0..3 {
        env.put(&format!("in/{number}"), format!("{number}\tx\n"))?;
    }
    // The others have not been read yet when the first line cannot be written.
    let held = env.s3.faults().on_get("in/1", Times::Always, Fault::Hold);
    let args = ["--report", "/dev/full", "--download-concurrency", "1", "--load-concurrency", "1"];
    let ended = env.load_ending(2, "t", &args).await?;
    held.remove();
    ended.says("error: --report /dev/full cannot be written")?;
    ended.says("caused by: No space left on device")?;
    ensure!(ended.stderr.matches("error: ").count() == 1, "told more than once\n{ended}");
    let loaded = ended.summary("objects loaded")?;
    ensure!(loaded == "1" && ended.summary("objects not reached")? == "2", "{ended}");
    ensure!(env.count("t").await? == 1);

    env.put("in/1", "no number\tx\n")?;
    let ended = env.load("t", &["--failed-keys", "/dev/full"]).await?;
    ended.expect(2)?;
    ended.says("error: --failed-keys /dev/full cannot be written")
}

#[apply(load_test)]
async fn failed_keys_can_be_read_back_and_loaded(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/good", "1\tx\n")?;
    let odd = ["in/a b%20+\u{fc}", "in/new\nline", "in/\"quoted\"", "in/trailing "];
    for key in odd {
        env.put(key, "no number\tz\n")?;
    }
    let failed_keys = env.path("failed.txt").display().to_string();
    env.load_ending(3, "t", &["--failed-keys", &failed_keys]).await?;
    let mut lines: Vec<String> =
        std::fs::read_to_string(&failed_keys)?.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    insta::assert_snapshot!("failed_keys", lines.join("\n"));

    for key in odd {
        env.put(key, "2\tx\n")?;
    }
    env.s3.log().clear();
    let ended = env.run(&["load", "--keys-from", &failed_keys, "--table", "t"]).await?;
    ended.expect(0)?;
    ensure!(env.count("t").await? == 1 + odd.len() as u64);
    ensure!(env.s3.log().gets_of("in/good").is_empty(), "what was loaded is loaded again");
    Ok(())
}

#[apply(load_test)]
async fn a_list_of_keys_is_not_overwritten_by_the_keys_that_fail(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    std::fs::write(env.path("keys"), "s3://etl/in/a\n")?;
    std::os::unix::fs::symlink(env.path("keys"), env.path("link"))?;
    let (keys, link) =
        (env.path("keys").display().to_string(), env.path("link").display().to_string());
    for flag in ["--failed-keys", "--report"] {
        let ended = env.run(&["load", "--keys-from", &keys, flag, &link, "--table", "t"]).await?;
        ended.expect(2)?;
        ended.says("is also the file of --keys-from, and would overwrite it")?;
        ensure!(std::fs::read_to_string(&keys)? == "s3://etl/in/a\n", "the list is gone");
    }
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn progress_is_logged_where_there_is_no_terminal(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/b", "3\tz\n")?;
    let held = env.s3.faults().on_get("in/b", Times::Always, Fault::Hold);
    let mut child = env.command(["load", "s3://etl/", "--table", "t"]).spawn()?;
    let log = wait_for_log(&mut child, "1 of 2 objects, 8 B of 12 B, 2 rows, ").await?;
    held.remove();
    finish(child).await?.expect(0)?;
    let log = log.await?;
    ensure!(log.contains("1 in flight, 0 failed"), "{log}");
    ensure!(
        log.contains("2 of 2 objects, 12 B of 12 B, 3 rows, ")
            && log.contains(" rows/s, 0 in flight"),
        "{log}"
    );
    ensure!(!log.contains('\r') && !log.contains('\u{1b}'), "control characters in {log:?}");
    Ok(())
}

#[apply(load_test)]
async fn progress_off_is_silent(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    let ended = env.load_ending(0, "t", &["--progress", "off"]).await?;
    ensure!(!ended.stderr.contains("objects"), "{ended}");
    let ended = env.load_ending(0, "t", &["--progress", "log"]).await?;
    ensure!(ended.stderr.contains("1 of 1 objects"), "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn bars_on_a_terminal_show_objects_bytes_rows_and_what_is_in_flight(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/held", "3\tz\n")?;
    let held = env.s3.faults().on_get("in/held", Times::Always, Fault::Hold);
    let mut child = env
        .on_terminal(120, "load s3://etl/ --table t")
        .spawn()
        .context("script, of util-linux or bsdutils, is needed for a terminal")?;
    let mut terminal = child.stdout.take().context("standard output is piped")?;
    let mut seen = String::new();
    let mut chunk = [0; 4096];
    let all_seen = |seen: &str| {
        ["1/2 objects", "8 B/12 B", "2 rows", " rows/s", "s3://etl/in/held"]
            .iter()
            .all(|text| seen.contains(text))
    };
    while !all_seen(&seen) {
        let length =
            tokio::time::timeout(std::time::Duration::from_secs(30), terminal.read(&mut chunk))
                .await;
        let length = length.with_context(|| format!("the bars do not show it all: {seen:?}"))??;
        seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
        // A warning would name the object as well.
        ensure!(
            length > 0 && !seen.contains("trying again"),
            "the bars do not show it all: {seen:?}"
        );
    }
    ensure!(seen.contains('\u{1b}'), "no bars in {seen:?}");
    held.remove();
    let mut rest = Vec::new();
    terminal.read_to_end(&mut rest).await?;
    finish(child).await?.expect(0)?;
    // The bars are gone when the summary is printed, and no log line replaces them.
    let rest = String::from_utf8_lossy(&rest);
    ensure!(rest.contains("Loaded 2 objects in "), "{rest:?}");
    ensure!(!(seen + &rest).contains("1 of 2 objects"), "log lines beside the bars: {rest:?}");
    Ok(())
}

/// Returns a pipe whose reader has gone.
fn closed_pipe() -> Result<Stdio> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    Ok(writer.into())
}

#[apply(load_test)]
async fn closed_outputs_change_nothing_about_what_is_loaded(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/bad", "no number\tx\n")?;
    let load = ["load", "s3://etl/in/a", "--table", "t", "--force", "-v"];
    let ended = finish(env.command(load).stdout(closed_pipe()?).spawn()?).await?;
    ensure!(!ended.stderr.contains("panicked") && !ended.stderr.contains("error"), "{ended}");
    ended.expect(0)?;
    // Standard error has the logs, so each line meets the closed pipe.
    for format in ["text", "json"] {
        let args = [load.as_slice(), &["--log-format", format]].concat();
        let ended = finish(env.command(args).stderr(closed_pipe()?).spawn()?).await?;
        ended.expect(0)?;
        ensure!(ended.summary("objects loaded")? == "1", "{ended}");
    }
    ensure!(env.count("t").await? == 6);
    let both = env
        .command(["load", "s3://etl/", "--table", "t", "--force"])
        .stdout(closed_pipe()?)
        .stderr(closed_pipe()?)
        .spawn()?;
    finish(both).await?.expect(3)?;
    ensure!(env.count("t").await? == 8);
    let problems = env.command(["load", "--table", "t"]).stderr(closed_pipe()?).spawn()?;
    finish(problems).await?.expect(2)
}

#[apply(load_test)]
async fn a_full_standard_output_is_an_error(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    for command in ["load", "plan"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
        let child = env.command([command, "s3://etl/", "--table", "t"]).stdout(full).spawn()?;
        let ended: Ended = finish(child).await?;
        ended.expect(2)?;
        ended.says("standard output cannot be written")?;
        ended.says("No space left on device")?;
    }
    ensure!(env.count("t").await? == 2, "what was loaded stays");
    Ok(())
}

#[apply(load_test)]
async fn the_summary_says_what_became_of_a_job_and_what_all_its_runs_loaded(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    let ended = env.load_ending(0, "t", &["--mode", "truncate"]).await?;
    ensure!(ended.summary("job")? == "emptied and loaded: 2 rows of 1 object in all", "{ended}");
    env.put("in/bad", "no number\tz\n")?;
    let report = env.path("report").display().to_string();
    let swap = ["--mode", "swap", "--report", &report];
    let ended = env.load_ending(3, "t", &swap).await?;
    ensure!(ended.summary("job")? == "not swapped yet: 2 rows of 1 object in all", "{ended}");
    ensure!(env.count("t").await? == 2);
    env.put("in/bad", "3\tz\n")?;
    let ended = env.load_ending(0, "t", &swap).await?;
    ensure!(ended.summary("rows")? == "1", "{ended}");
    ensure!(ended.summary("job")? == "swapped: 3 rows of 2 objects in all, resumed", "{ended}");
    let summary = env.report("report")?.pop().context("no summary")?;
    let expected =
        serde_json::json!({ "resumed": true, "finished": true, "objects": 2, "rows": 3 });
    ensure!(summary["job"] == expected, "{summary:#}");
    // An append has no end.
    let ended = env.load_ending(0, "t", &[]).await?;
    ensure!(ended.summary("job").is_err(), "{ended}");
    Ok(())
}
