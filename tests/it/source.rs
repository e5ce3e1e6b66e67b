//! The source: which objects a run finds, under which names, and how it handles faulty listings.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::registry::{apply, load_test};
use crate::support::lines::{self, expect, expect_failure, planned};
use crate::support::program::{BUCKET, TestEnv, finish};
use crate::support::s3::{Fault, Keys, Object, Operation, Refusal, Times, client};

/// Creates table `t`, and puts an object of one row under each key. The row is the key's number in
/// the list.
pub(crate) async fn fill(env: &TestEnv, keys: &[&str]) -> Result<()> {
    lines::create(env, "t").await?;
    for (number, key) in keys.iter().enumerate() {
        env.put(key, format!("{number}\n"))?;
    }
    Ok(())
}

/// Runs `plan`, which lists and checks as `load` does.
pub(crate) async fn plan(env: &TestEnv, args: &[&str]) -> Result<BTreeSet<String>> {
    let ended = env.run(&[&["plan", "--table", "t"], args].concat()).await?;
    ended.expect(0)?;
    Ok(planned(&ended))
}

async fn expect_plan(env: &TestEnv, args: &[&str], keys: &[&str]) -> Result<()> {
    let expected: BTreeSet<String> =
        keys.iter().map(|key| format!("s3://{BUCKET}/{key}")).collect();
    let found = plan(env, args).await?;
    ensure!(found == expected, "{args:?} takes {found:?}, not {expected:?}");
    Ok(())
}

/// Requires that a run ends with this code and these words before it loads anything.
pub(crate) async fn refused(env: &TestEnv, args: &[&str], code: i32, words: &[&str]) -> Result<()> {
    let ended = env.load("t", args).await?;
    ended.expect(code)?;
    words.iter().try_for_each(|text| ended.says(text))?;
    expect(env, "t", &[]).await
}

#[apply(load_test)]
async fn every_page_of_a_listing_is_read(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let keys: Vec<String> = (0..2300).map(|number| format!("in/{number:04}")).collect();
    for key in &keys {
        env.put(key, "1\n")?;
    }
    expect_plan(&env, &["s3://etl/in/"], &keys.iter().map(String::as_str).collect::<Vec<_>>())
        .await?;
    let pages = env.s3.log().of(Operation::ListObjectsV2);
    let tokens: BTreeSet<_> =
        pages.iter().filter_map(|page| page.continuation_token.clone()).collect();
    ensure!(tokens.len() == 2, "2300 keys are three pages, but these were asked for: {tokens:?}");
    Ok(())
}

#[apply(load_test)]
async fn keys_beyond_the_first_page_are_loaded_once(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let rows: Vec<String> = (0..1010).map(|number| format!("{number:04}")).collect();
    for row in &rows {
        env.put(&format!("in/{row}"), format!("{row}\n"))?;
    }
    let ended = env.load_ending(0, "t", &["--load-concurrency", "8"]).await?;
    ensure!(ended.summary("objects loaded")? == "1010", "{ended}");
    expect(&env, "t", &rows.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn objects_are_loaded_while_the_listing_goes_on(env: TestEnv) -> Result<()> {
    fill(&env, &["a/1", "b/1"]).await?;
    let held = env.s3.faults().inject(
        Operation::ListObjectsV2,
        Keys::Exactly("b/".into()),
        Times::Always,
        Fault::Hold,
    );
    let running = env.command(["load", "s3://etl/a/", "s3://etl/b/", "--table", "t"]).spawn()?;
    held.wait_for_effects(1).await;
    while env.count("t").await? == 0 {}
    expect(&env, "t", &["0"]).await?;
    held.release();
    finish(running).await?.expect(0)?;
    expect(&env, "t", &["0", "1"]).await
}

/// Otherwise a million keys would be in memory while the first ones load.
#[apply(load_test)]
async fn a_listing_does_not_run_ahead_of_the_work(env: TestEnv) -> Result<()> {
    const PAGES: usize = 12;
    lines::create(&env, "t").await?;
    for number in 0..PAGES * 1000 {
        env.put(&format!("in/{number:05}"), "1\n")?;
    }
    let held = env.s3.faults().inject(Operation::GetObject, Keys::Any, Times::Always, Fault::Hold);
    let mut running = env.command(["load", "s3://etl/in/", "--table", "t"]).spawn()?;
    held.wait_for_effects(16).await;
    // Lists everything itself, which takes as long as an unthrottled listing, and longer.
    let client = client(&env.s3);
    let before = own_pages(&env);
    let mut pages = client.list_objects_v2().bucket(BUCKET).into_paginator().send();
    let mut page_count = 0;
    while pages.next().await.transpose()?.is_some() {
        page_count += 1;
    }
    let asked = own_pages(&env) - page_count;
    ensure!(page_count == PAGES, "{page_count} pages were listed");
    // The page in work, the page that waits, the page that is being handed over, and one for the
    // check.
    ensure!(
        asked <= 4,
        "{asked} pages were asked for ({before} before) while no object could be read"
    );
    running.kill().await?;
    Ok(())
}

fn own_pages(env: &TestEnv) -> usize {
    env.s3.log().count(Operation::ListObjectsV2)
}

#[apply(load_test)]
async fn a_plan_whose_reader_leaves_ends_early_and_well(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for number in 0..8000 {
        env.put(&format!("in/{number:05}"), "1\n")?;
    }
    // The last pages never arrive: only a plan that stops listing can end.
    env.s3.faults().on_list(Times::After(5), Fault::Hold);
    let mut running = env.command(["plan", "s3://etl/in/", "--table", "t"]).spawn()?;
    let mut stdout =
        BufReader::new(running.stdout.take().context("standard output is piped")?).lines();
    let first = stdout.next_line().await?.unwrap_or_default();
    ensure!(first.ends_with("s3://etl/in/00000"), "{first:?}");
    drop(stdout);
    finish(running).await?.expect(0)
}

/// Keys with everything that was ever decoded twice, split at, or taken for a pattern.
fn awkward_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "plain",
        "with space",
        " leading",
        "trailing ",
        "a+b",
        "a%2Bb",
        "%2B",
        "%252B",
        "100%",
        "a%20b",
        "q?x=1&y=2",
        "#hash",
        "semi;colon",
        "'single' \"double\"",
        "\"quoted\"",
        "back\\slash\\n",
        "<tag>&amp;",
        "star*[0]{1}?",
        "line\nfeed",
        "ends in a line feed\n",
        "carriage\rreturn\r",
        "tab\there",
        "/leading/slash",
        "double//slash",
        "dots/../x",
        "M\u{fc}nchen/caf\u{e9}.csv",
        "e\u{301}",
        "\u{1f680}/\u{6771}\u{4eac}",
        "nbsp\u{a0}",
        "s3://etl/plain",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.push("k".repeat(1024));
    keys
}

#[apply(load_test)]
async fn awkward_keys_are_loaded_once_and_reported_as_they_are(env: TestEnv) -> Result<()> {
    let keys = awkward_keys();
    fill(&env, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let report = env.path("report");
    env.load_ending(0, "t", &["--report", &report.to_string_lossy()]).await?;
    let numbers: Vec<String> = (0..keys.len()).map(|number| number.to_string()).collect();
    expect(&env, "t", &numbers.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    for key in &keys {
        let line = lines::outcome(&env, "report", key)?;
        ensure!(
            line["status"] == "loaded" && line["rows"] == 1 && line["bucket"] == BUCKET,
            "{line}"
        );
    }
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn failed_keys_are_read_back_by_keys_from(env: TestEnv) -> Result<()> {
    let keys = awkward_keys();
    fill(&env, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    env.put("good", "good\n")?;
    let (failed, report) = (env.path("failed"), env.path("report"));
    let (failed, report) = (failed.to_string_lossy(), report.to_string_lossy());
    let denied = Keys::Where(std::sync::Arc::new(|key| key != "good"));
    let injection = env.s3.faults().inject(
        Operation::GetObject,
        denied,
        Times::Always,
        Fault::Refuse(Refusal::ACCESS_DENIED),
    );
    env.load_ending(3, "t", &["--failed-keys", &failed, "--report", &report]).await?;
    expect(&env, "t", &["good"]).await?;
    for key in &keys {
        expect_failure(&env, "report", key, "object_denied")?;
    }
    injection.remove();
    env.run(&["load", "--keys-from", &failed, "--table", "t"]).await?.expect(0)?;
    let mut numbers: Vec<String> = (0..keys.len()).map(|number| number.to_string()).collect();
    numbers.push("good".to_owned());
    expect(&env, "t", &numbers.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[apply(load_test)]
async fn a_uri_that_ends_in_a_slash_is_a_prefix_and_any_other_a_key(env: TestEnv) -> Result<()> {
    fill(&env, &["a", "ab", "a/1", "a/2/3", "b"]).await?;
    expect_plan(&env, &["s3://etl/a"], &["a"]).await?;
    expect_plan(&env, &["s3://etl/a/"], &["a/1", "a/2/3"]).await?;
    expect_plan(&env, &["s3://etl/a", "--prefix"], &["a", "ab", "a/1", "a/2/3"]).await?;
    expect_plan(&env, &["s3://etl"], &["a", "ab", "a/1", "a/2/3", "b"]).await
}

#[apply(load_test)]
async fn an_exact_key_that_is_missing_fails_alone(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    let report = env.path("report");
    let args =
        ["load", "s3://etl/a", "s3://etl/b", "--table", "t", "--report", &report.to_string_lossy()];
    let ended = env.run(&args).await?;
    ended.expect(3)?;
    expect_failure(&env, "report", "b", "object_missing")?;
    ended.says("s3://etl/b: the object does not exist: 404 NotFound\n")?;
    ended.says("hint: check the key; if this is a prefix, end it with a slash, or use --prefix")?;
    expect(&env, "t", &["0"]).await
}

#[apply(load_test)]
async fn a_prefix_without_its_slash_is_told_and_not_kept(env: TestEnv) -> Result<()> {
    let keys: Vec<String> = (0..37).map(|number| format!("exports/orders/{number}")).collect();
    fill(&env, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let refused = async |uri: &str, hint: &str| {
        let ended = env.run(&["load", uri, "--table", "t"]).await?;
        ended.expect(3)?;
        ended.says(hint)?;
        // Nobody would ever clear it.
        ensure!(env.count("s3_to_mysql_failures").await? == 0, "{ended}");
        anyhow::Ok(())
    };
    let one = "hint: 37 keys begin with exports/orders/: add a slash\n";
    refused("s3://etl/exports/orders", one).await?;
    refused("s3://etl/exp", "hint: 37 keys begin with exp: add --prefix\n").await?;
    refused("s3://etl/exports/orders/36x", "hint: check the key; if this is a prefix").await?;
    refused("s3://etl/exports/*/1", "hint: globs go into --include, beside the URI").await?;
    for number in 0..1000 {
        env.put(&format!("many/{number:04}"), "1\n")?;
    }
    refused("s3://etl/many", "hint: 1,000 keys begin with many/: add a slash\n").await?;
    env.put("many/more", "1\n")?;
    refused("s3://etl/many", "hint: 1,000 or more keys begin with many/: add a slash\n").await?;
    env.s3.faults().inject(
        Operation::ListObjectsV2,
        Keys::Any,
        Times::Always,
        Fault::Refuse(Refusal::ACCESS_DENIED),
    );
    refused("s3://etl/exports/orders", "hint: check the key; if this is a prefix").await
}

#[apply(load_test)]
async fn several_buckets_load_in_one_run(env: TestEnv) -> Result<()> {
    fill(&env, &["a/1", "x"]).await?;
    env.s3.backend().put("second", "a/1", "second\n")?;
    env.s3.backend().put("third", "exact", "third\n")?;
    let ended = env
        .run(&["load", "s3://etl/a/", "s3://second/", "s3://third/exact", "--table", "t"])
        .await?;
    ended.expect(0)?;
    expect(&env, "t", &["0", "second", "third"]).await
}

#[apply(load_test)]
async fn uris_that_overlap_load_an_object_once(env: TestEnv) -> Result<()> {
    fill(&env, &["a/1", "a/b/2", "a/b/3", "c"]).await?;
    let keys = env.path("keys");
    std::fs::write(&keys, "s3://etl/a/b/3\ns3://etl/c\ns3://etl/c\n\"s3://etl/c\"\n")?;
    let keys = keys.to_string_lossy();
    let uris = [
        "s3://etl/a/b/",
        "s3://etl/a/",
        "s3://etl/a/",
        "s3://etl/a/b/2",
        "s3://etl/a/b/2",
        "s3://etl/c",
    ];
    let args = [&["load", "--table", "t", "--keys-from", &keys], uris.as_slice()].concat();
    env.run(&args).await?.expect(0)?;
    expect(&env, "t", &["0", "1", "2", "3"]).await
}

#[apply(load_test)]
async fn keys_are_chosen_by_globs_and_a_regular_expression(env: TestEnv) -> Result<()> {
    fill(&env, &["in/a.csv", "in/old/b.csv", "in/c.json", "in/d[1].csv", "in/E.CSV"]).await?;
    let all = "s3://etl/in/";
    expect_plan(&env, &[all, "--include", "*.csv"], &["in/a.csv", "in/old/b.csv", "in/d[1].csv"])
        .await?;
    expect_plan(
        &env,
        &[all, "--include", "*.csv", "--exclude", "old/*"],
        &["in/a.csv", "in/d[1].csv"],
    )
    .await?;
    expect_plan(&env, &[all, "--include", "a.*", "--include", "c.*"], &["in/a.csv", "in/c.json"])
        .await?;
    expect_plan(&env, &[all, "--exclude", "*.csv", "--exclude", "*.CSV"], &["in/c.json"]).await?;
    expect_plan(&env, &[all, "--include", r"d\[1\]*"], &["in/d[1].csv"]).await?;
    // The regular expression sees the whole key, unlike the globs.
    expect_plan(&env, &[all, "--key-regex", r"^in/[a-c]\."], &["in/a.csv", "in/c.json"]).await?;
    // An exact key is not filtered.
    expect_plan(&env, &["s3://etl/in/c.json", "--include", "*.csv"], &["in/c.json"]).await?;
    let ended = env.run(&["plan", "--table", "t", all, "--key-regex", "("]).await?;
    ended.expect(2)?;
    ended.says("key-regex")
}

#[apply(load_test)]
async fn keys_are_chosen_by_the_time_of_their_last_change(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    // 2026-01-01T00:00:00Z is 1767225600.
    for (key, second) in
        [("before", 1_767_225_599), ("at", 1_767_225_600), ("after", 1_767_225_601)]
    {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        env.put(key, Object::new("1\n").last_modified(modified))?;
    }
    let midnight = "2026-01-01T00:00:00Z";
    expect_plan(&env, &["s3://etl/", "--modified-after", midnight], &["at", "after"]).await?;
    expect_plan(&env, &["s3://etl/", "--modified-before", midnight], &["before"]).await?;
    let second =
        ["--modified-after", "2026-01-01", "--modified-before", "2026-01-01T01:00:01+01:00"];
    expect_plan(&env, &[&["s3://etl/"], second.as_slice()].concat(), &["at"]).await
}

#[apply(load_test)]
async fn keys_come_from_a_file_with_comments_and_quotes(env: TestEnv) -> Result<()> {
    fill(&env, &["a b", "c\nd", "#x", "folder/", "e%20f"]).await?;
    env.s3.backend().put("second", "g", "second\n")?;
    let keys = env.path("keys");
    let text = "\u{feff}# a comment\r\ns3://etl/a \
         b\r\n\n\"s3://etl/c\\nd\"\ns3://etl/#x\ns3://etl/folder/\n   \n\
        s3://etl/e%20f\ns3://second/g";
    std::fs::write(&keys, text)?;
    env.run(&["load", "--keys-from", &keys.to_string_lossy(), "--table", "t"]).await?.expect(0)?;
    expect(&env, "t", &["0", "1", "2", "3", "4", "second"]).await
}

#[apply(load_test)]
async fn keys_come_from_standard_input(env: TestEnv) -> Result<()> {
    fill(&env, &["a", "b", "c"]).await?;
    let mut running =
        env.command(["load", "--keys-from", "-", "--table", "t"]).stdin(Stdio::piped()).spawn()?;
    let mut stdin = running.stdin.take().context("standard input is piped")?;
    stdin.write_all(b"s3://etl/a\n").await?;
    // The first key is loaded before the last one is known: the list is not collected first.
    while env.count("t").await? == 0 {}
    stdin.write_all(b"s3://etl/c\n").await?;
    drop(stdin);
    finish(running).await?.expect(0)?;
    expect(&env, "t", &["0", "2"]).await
}

#[apply(load_test)]
async fn a_bad_line_among_the_keys_is_named_by_its_number(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    let keys = env.path("keys");
    for (line, why) in [
        ("https://host/a", "starts with https://"),
        ("\"s3://etl/a", "not valid"),
        ("s3://etl", "key is missing"),
    ] {
        std::fs::write(&keys, format!("# keys\n{line}\n"))?;
        let ended =
            env.run(&["load", "--keys-from", &keys.to_string_lossy(), "--table", "t"]).await?;
        ended.expect(2)?;
        ended.says("line 2")?;
        ended.says(why)?;
    }
    expect(&env, "t", &[]).await
}

#[apply(load_test)]
async fn a_file_of_keys_that_is_not_there_is_a_usage_error(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let ended = env.run(&["load", "--keys-from", "no-such-file", "--table", "t"]).await?;
    ended.expect(2)?;
    ended.says("no-such-file")
}

#[apply(load_test)]
async fn folder_markers_and_hidden_keys_are_passed_over_and_counted(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for marker in ["_in/", "_in/dt=1/", "_in/dt=1_$folder$"] {
        env.put(marker, "")?;
    }
    for hidden in ["_in/_SUCCESS", "_in/dt=1/.part-0.crc", "_in/_temporary/0/part-0"] {
        env.put(hidden, "hidden\n")?;
    }
    env.put("_in/dt=1/part_0", "shown\n")?;
    let report = env.path("report");
    let report = report.to_string_lossy();
    let args = ["load", "s3://etl/_in/", "--table", "t", "--preset", "hive", "--report", &report];
    let ended = env.run(&args).await?;
    ended.expect(0)?;
    expect(&env, "t", &["shown"]).await?;
    let passed_over = ended.summary("keys skipped")?;
    ensure!(passed_over == "6 (3 folder markers, 3 hidden, 0 filtered out)", "{passed_over}");
    let last = env.report("report")?.pop().context("an empty report")?;
    ensure!(
        last["passed_over"]["folder_markers"] == 3 && last["passed_over"]["hidden"] == 3,
        "{last}"
    );
    // Without a hive preset, a name with an underscore is ordinary.
    env.start_afresh("t").await?;
    env.run(&["load", "s3://etl/_in/", "--table", "t"]).await?.expect(0)?;
    expect(&env, "t", &["shown", "hidden", "hidden", "hidden"]).await
}

#[apply(load_test)]
async fn a_store_that_lists_no_etag_is_asked_for_each_object(env: TestEnv) -> Result<()> {
    fill(&env, &["a", "b"]).await?;
    env.s3.faults().on_list(Times::Always, Fault::NoEtag);
    env.load_ending(0, "t", &[]).await?;
    expect(&env, "t", &["0", "1"]).await?;
    ensure!(env.s3.log().count(Operation::HeadObject) == 2, "each object is asked for once");
    for key in ["a", "b"] {
        let etag = env.s3.backend().newest(BUCKET, key).context("it was put")?.quoted_etag();
        let gets = env.s3.log().gets_of(key);
        ensure!(
            gets.len() == 1 && gets[0].if_match.as_deref() == Some(&etag),
            "not pinned: {gets:?}"
        );
    }
    Ok(())
}

#[apply(load_test)]
async fn an_object_without_any_etag_is_refused(env: TestEnv) -> Result<()> {
    fill(&env, &["a", "b"]).await?;
    let report = env.path("report");
    env.s3.faults().on_list(Times::Always, Fault::NoEtag);
    env.s3.faults().inject(
        Operation::HeadObject,
        Keys::Exactly("a".into()),
        Times::Always,
        Fault::NoEtag,
    );
    let ended = env.load_ending(3, "t", &["--report", &report.to_string_lossy()]).await?;
    ended.says("no ETag")?;
    expect_failure(&env, "report", "a", "source_protocol")?;
    expect(&env, "t", &["1"]).await
}

#[apply(load_test)]
async fn keys_that_the_store_does_not_encode_are_taken_as_they_are(env: TestEnv) -> Result<()> {
    fill(&env, &["a%2Bb", "a+b", "c d"]).await?;
    env.s3.faults().on_list(Times::Always, Fault::PlainKeys);
    env.load_ending(0, "t", &[]).await?;
    expect(&env, "t", &["0", "1", "2"]).await
}

#[apply(load_test)]
async fn a_listing_that_repeats_its_page_is_an_error_and_loads_nothing_twice(
    env: TestEnv,
) -> Result<()> {
    fill(&env, &["a", "b"]).await?;
    env.s3.faults().on_list(Times::Always, Fault::EndlessListing);
    let ended = env.load_ending(5, "t", &[]).await?;
    ended.says("the listing returned the same page twice")?;
    let rows = lines::rows(&env, "t").await?;
    let distinct: BTreeSet<_> = rows.iter().collect();
    ensure!(distinct.len() == rows.len(), "loaded twice: {rows:?}");
    Ok(())
}

#[apply(load_test)]
async fn an_answer_that_is_no_listing_is_an_error(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    env.s3.faults().on_list(Times::Always, Fault::garbage_listing());
    refused(&env, &[], 5, &["error: s3://etl/", "--endpoint-url"]).await
}

#[apply(load_test)]
async fn nothing_matched_is_no_success_unless_allowed(env: TestEnv) -> Result<()> {
    fill(&env, &["in/a", "in/_SUCCESS"]).await?;
    let empty = ["load", "s3://etl/none/", "--table", "t"];
    let ended = env.run(&empty).await?;
    ended.expect(4)?;
    ended.says("no object matches")?;
    ended.says("--allow-empty")?;
    env.run(&[&empty[..], &["--allow-empty"]].concat()).await?.expect(0)?;
    let filtered = ["--exclude", "*a", "--preset", "hive"];
    refused(&env, &filtered, 4, &["0 folder markers, 1 hidden keys, 1 filtered out"]).await?;
    env.load_ending(0, "t", &[&filtered[..], &["--allow-empty"]].concat()).await?;
    let nothing = env.path("nothing");
    std::fs::write(&nothing, "# none\n")?;
    env.run(&["load", "--keys-from", &nothing.to_string_lossy(), "--table", "t"])
        .await?
        .expect(4)?;
    expect(&env, "t", &[]).await
}
