//! Staging: the bytes that were listed are the bytes that are loaded, within bounds, and nothing stays on disk.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use tokio::process::Command;

use crate::support::hive;
use crate::support::lines::{self, expect, expect_failure, outcome};
use crate::support::program::{BUCKET, Ended, World, finish, signal};
use crate::support::s3::{Algorithm, Fault, Keys, Object, Operation, Refusal, Times};

crate::load_tests![
    every_read_is_pinned_to_the_listed_etag,
    an_object_overwritten_after_listing_is_refused,
    an_overwrite_is_noticed_where_the_store_ignores_if_match,
    a_body_that_breaks_off_is_resumed_where_it_broke,
    a_store_that_ignores_ranges_is_read_from_the_start_again,
    an_object_overwritten_before_it_is_resumed_is_refused,
    an_overwrite_before_resuming_is_noticed_where_the_store_ignores_if_match,
    a_body_that_keeps_breaking_fails_after_the_bounded_tries,
    a_body_that_stalls_is_resumed,
    a_busy_store_is_tried_again,
    a_store_that_stays_busy_fails_the_object_after_the_bounded_tries,
    a_store_that_goes_away_ends_the_run,
    a_flipped_bit_is_found_by_every_checksum_and_read_again,
    a_wrong_checksum_fails_the_object,
    the_checksum_covers_a_resumed_body_too,
    without_a_checksum_of_the_whole_object_its_length_is_verified,
    a_body_shorter_than_listed_is_refused,
    objects_that_cannot_be_read_fail_alone,
    downloads_at_once_are_bounded,
    bytes_on_disk_are_bounded_while_downloading,
    bytes_on_disk_are_bounded_while_loading_waits,
    an_object_larger_than_the_budget_is_refused_alone,
    nothing_is_left_on_disk_when_the_program_is_killed,
    a_full_disk_fails_the_object_and_names_the_remedy,
    a_file_size_limit_fails_the_object_and_names_the_remedy,
    a_staging_directory_in_memory_is_warned_of,
    a_staging_directory_that_cannot_be_used_is_a_usage_error,
    packed_and_columnar_objects_are_refused_by_name,
    text_that_begins_like_another_format_is_loaded,
];

/// Some files have been read by then, in several blocks each.
const ROWS: u64 = 20_000;

/// An object of a megabyte and a half under `big`, and the table for its rows.
async fn put_big(world: &World) -> Result<hive::Sums> {
    world.schema.exec(&hive::create_table("t")).await?;
    let (bytes, sums) = hive::object(0, ROWS);
    ensure!(bytes.len() > 1_200_000, "{} bytes are too few", bytes.len());
    world.put("big", bytes)?;
    Ok(sums)
}

/// Loads everything with a report; the run must end with this code and leave nothing on disk.
async fn load(world: &World, code: i32, args: &[&str]) -> Result<Ended> {
    let report = world.path("report");
    let ended = world.load_ending(code, "t", &[&["--report", &report.to_string_lossy()], args].concat()).await?;
    world.ensure_nothing_staged()?;
    Ok(ended)
}

/// Loads the big object, all of it, in so many tries, of which the first is not counted among the ranges.
async fn load_big(world: &World, sums: hive::Sums, ranges: &[Option<&str>], args: &[&str]) -> Result<()> {
    load(world, 0, &[&["--preset", "hive"], args].concat()).await?;
    let found: (u64, u64) = world.schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (sums.rows, sums.checksum), "{found:?} is not {sums:?}");
    let gets = world.s3.log().gets_of("big");
    let asked: Vec<_> = gets.iter().map(|get| get.range.as_deref()).collect();
    ensure!(asked == ranges, "asked for {asked:?}, not {ranges:?}");
    let etag = world.s3.backend().newest(BUCKET, "big").context("it was put")?.quoted_etag();
    ensure!(gets.iter().all(|get| get.if_match.as_ref() == Some(&etag)), "not pinned to {etag}: {gets:?}");
    let line = outcome(world, "report", "big")?;
    ensure!(line["attempts"] == ranges.len() && line["verified"] == "checksum", "{line}");
    Ok(())
}

/// The big object was refused with this code, and not a row of it is there.
async fn refuse_big(world: &World, code: &str, args: &[&str]) -> Result<()> {
    load(world, 3, &[&["--preset", "hive"], args].concat()).await?;
    expect_failure(world, "report", "big", code)?;
    ensure!(world.count("t").await? == 0, "rows of a refused object are in the table");
    Ok(())
}

/// Enough requests of the test's own, one after the other, for anything that the program would do next.
async fn let_time_pass(world: &World) -> Result<()> {
    let client = world.s3.client();
    for _ in 0..40 {
        client.list_objects_v2().bucket(BUCKET).send().await?;
    }
    Ok(())
}

async fn every_read_is_pinned_to_the_listed_etag(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    for key in ["a", "b"] {
        world.put(key, format!("{key}\n"))?;
    }
    load(&world, 0, &[]).await?;
    for key in ["a", "b"] {
        let etag = world.s3.backend().newest(BUCKET, key).context("it was put")?.quoted_etag();
        let gets = world.s3.log().gets_of(key);
        ensure!(gets.len() == 1 && gets[0].if_match.as_ref() == Some(&etag) && gets[0].asks_checksum, "{gets:?}");
        ensure!(outcome(&world, "report", key)?["etag"] == etag, "another ETag is reported");
    }
    Ok(())
}

/// Overwrites `a` with as many other bytes at the moment of its first read.
async fn overwrite_on_reading(world: &World) -> Result<Ended> {
    lines::create(world, "t").await?;
    for key in ["a", "b"] {
        world.put(key, format!("old {key}\n"))?;
    }
    let backend = world.s3.backend().clone();
    let overwrite = Fault::before(move |_| {
        let backend = backend.clone();
        async move { drop(backend.put(BUCKET, "a", "new a\n")) }
    });
    world.s3.faults().on_get("a", Times::Next(1), overwrite);
    let ended = load(world, 3, &[]).await?;
    expect_failure(world, "report", "a", "object_changed")?;
    expect(world, "t", &["old b"]).await?;
    ensure!(world.s3.log().gets_of("a").len() == 1, "what was overwritten is not read again");
    Ok(ended)
}

async fn an_object_overwritten_after_listing_is_refused(world: World) -> Result<()> {
    let ended = overwrite_on_reading(&world).await?;
    ended.says("s3://etl/a: the object was overwritten after it was listed")
}

async fn an_overwrite_is_noticed_where_the_store_ignores_if_match(world: World) -> Result<()> {
    world.s3.faults().inject(Operation::GetObject, Keys::Any, Times::Always, Fault::IgnoreIfMatch);
    let ended = overwrite_on_reading(&world).await?;
    let new = world.s3.backend().newest(BUCKET, "a").context("it was put")?.quoted_etag();
    ended.says(&format!("its ETag is {new} now"))
}

async fn a_body_that_breaks_off_is_resumed_where_it_broke(world: World) -> Result<()> {
    let sums = put_big(&world).await?;
    world.s3.faults().on_get("big", Times::Next(1), Fault::CutBody { after_bytes: 700_001 });
    world.s3.faults().on_get("big", Times::Next(2), Fault::CutBody { after_bytes: 1 });
    let ranges = [None, Some("bytes=700001-"), Some("bytes=700002-")];
    // The first answer meets both cuts, of which the first one injected counts; so the second one meets its own.
    load_big(&world, sums, &ranges, &[]).await
}

async fn a_store_that_ignores_ranges_is_read_from_the_start_again(world: World) -> Result<()> {
    let sums = put_big(&world).await?;
    world.s3.faults().on_get("big", Times::Next(1), Fault::CutBody { after_bytes: 700_000 });
    world.s3.faults().on_get("big", Times::Always, Fault::IgnoreRange);
    load_big(&world, sums, &[None, Some("bytes=700000-"), None], &[]).await
}

/// Cuts the big object's first body and overwrites it with the same number of other bytes before the second read.
async fn overwrite_before_resuming(world: &World) -> Result<()> {
    put_big(world).await?;
    world.s3.faults().on_get("big", Times::Next(1), Fault::CutBody { after_bytes: 700_000 });
    let backend = world.s3.backend().clone();
    let overwrite = Fault::before(move |_| {
        let backend = backend.clone();
        async move {
            let (mut bytes, _) = hive::object(0, ROWS);
            bytes[0] ^= 1;
            drop(backend.put(BUCKET, "big", bytes));
        }
    });
    world.s3.faults().on_get("big", Times::After(1), overwrite);
    refuse_big(world, "object_changed", &[]).await?;
    let ranges: Vec<_> = world.s3.log().gets_of("big").into_iter().map(|get| get.range).collect();
    ensure!(ranges == [None, Some("bytes=700000-".to_owned())], "{ranges:?}");
    Ok(())
}

async fn an_object_overwritten_before_it_is_resumed_is_refused(world: World) -> Result<()> {
    overwrite_before_resuming(&world).await
}

async fn an_overwrite_before_resuming_is_noticed_where_the_store_ignores_if_match(world: World) -> Result<()> {
    world.s3.faults().on_get("big", Times::Always, Fault::IgnoreIfMatch);
    overwrite_before_resuming(&world).await
}

async fn a_body_that_keeps_breaking_fails_after_the_bounded_tries(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    world.put("bad", "bad 1\nbad 2\n")?;
    world.put("good", "good\n")?;
    let cut = world.s3.faults().on_get("bad", Times::Always, Fault::CutBody { after_bytes: 3 });
    load(&world, 3, &["--max-attempts", "3"]).await?;
    ensure!(cut.effect_count() == 3, "{} tries", cut.effect_count());
    expect_failure(&world, "report", "bad", "body_broken")?;
    expect(&world, "t", &["good"]).await
}

async fn a_body_that_stalls_is_resumed(world: World) -> Result<()> {
    let sums = put_big(&world).await?;
    world.s3.faults().on_get("big", Times::Next(1), Fault::StallBody { after_bytes: 300_000 });
    load_big(&world, sums, &[None, Some("bytes=300000-")], &["--stall-timeout", "1s"]).await
}

async fn a_busy_store_is_tried_again(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    for key in ["a", "b"] {
        world.put(key, format!("{key}\n"))?;
    }
    for (times, refusal) in [(1, Refusal::SLOW_DOWN), (2, Refusal::SERVICE_UNAVAILABLE), (3, Refusal::INTERNAL_ERROR)] {
        world.s3.faults().on_get("a", Times::Next(times), Fault::Refuse(refusal));
    }
    load(&world, 0, &[]).await?;
    expect(&world, "t", &["a", "b"]).await?;
    let line = outcome(&world, "report", "a")?;
    ensure!(line["attempts"] == 4, "{line}");
    ensure!(world.s3.log().gets_of("a").len() == 4, "the SDK tries again too");
    Ok(())
}

async fn a_store_that_stays_busy_fails_the_object_after_the_bounded_tries(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    for key in ["a", "b"] {
        world.put(key, format!("{key}\n"))?;
    }
    world.s3.faults().on_get("a", Times::Always, Fault::Refuse(Refusal::SLOW_DOWN));
    load(&world, 3, &["--max-attempts", "3"]).await?;
    expect_failure(&world, "report", "a", "source_busy")?;
    let gets = world.s3.log().gets_of("a").len();
    ensure!(gets == 3, "{gets} requests");
    expect(&world, "t", &["b"]).await
}

async fn a_store_that_goes_away_ends_the_run(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    for key in ["a", "b"] {
        world.put(key, format!("{key}\n"))?;
    }
    let held = world.s3.faults().on_get("b", Times::Always, Fault::Hold);
    let running = world.command(["load", "s3://etl/", "--table", "t", "--max-attempts", "2"]).spawn()?;
    held.wait_for_effects(1).await;
    while world.count("t").await? == 0 {}
    let World { s3, schema, dir, .. } = world;
    s3.stop().await;
    let ended = finish(running).await?;
    ended.expect(5)?;
    ended.says("S3 can't be reached")?;
    let rows: Vec<String> = schema.query("SELECT v FROM t").await?;
    ensure!(rows == ["a"], "{rows:?}");
    ensure!(std::fs::read_dir(dir.path().join("staging"))?.next().is_none(), "something is left on disk");
    Ok(())
}

const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

async fn a_flipped_bit_is_found_by_every_checksum_and_read_again(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    for algorithm in ALGORITHMS {
        world.put(&format!("{algorithm:?}"), Object::new("row 2\n").with_checksum(algorithm))?;
    }
    // `row 2` becomes `row 3`: nothing else would notice.
    let flip = Fault::FlipBit { at_byte: 4 };
    world.s3.faults().inject(Operation::GetObject, Keys::Any, Times::NextOfEachKey(1), flip);
    load(&world, 0, &[]).await?;
    expect(&world, "t", &["row 2"; 5]).await?;
    for algorithm in ALGORITHMS {
        let line = outcome(&world, "report", &format!("{algorithm:?}"))?;
        ensure!(line["verified"] == "checksum" && line["attempts"] == 2, "{algorithm:?}: {line}");
    }
    Ok(())
}

async fn a_wrong_checksum_fails_the_object(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    for algorithm in ALGORITHMS {
        world.put(&format!("bad/{algorithm:?}"), Object::new("bad\n").with_checksum(algorithm))?;
    }
    world.put("good", "good\n")?;
    let bad = Keys::StartingWith("bad/".to_owned());
    world.s3.faults().inject(Operation::GetObject, bad, Times::Always, Fault::WrongChecksum);
    load(&world, 3, &["--max-attempts", "2"]).await?;
    for algorithm in ALGORITHMS {
        expect_failure(&world, "report", &format!("bad/{algorithm:?}"), "checksum_mismatch")?;
    }
    expect(&world, "t", &["good"]).await
}

async fn the_checksum_covers_a_resumed_body_too(world: World) -> Result<()> {
    put_big(&world).await?;
    world.s3.faults().on_get("big", Times::Next(1), Fault::CutBody { after_bytes: 700_000 });
    // In the answer to the range, which has no checksum of its own, and in all later ones.
    world.s3.faults().on_get("big", Times::After(1), Fault::FlipBit { at_byte: 0 });
    refuse_big(&world, "checksum_mismatch", &["--max-attempts", "3"]).await?;
    let ranges: Vec<_> = world.s3.log().gets_of("big").into_iter().map(|get| get.range).collect();
    ensure!(ranges == [None, Some("bytes=700000-".to_owned()), None], "{ranges:?}");
    Ok(())
}

async fn without_a_checksum_of_the_whole_object_its_length_is_verified(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    world.put("composite", Object::new("1\n2\n").with_composite_checksum(Algorithm::Crc32, 2))?;
    world.put("none", Object::new("3\n").without_checksum())?;
    world.put("whole", "4\n")?;
    load(&world, 0, &[]).await?;
    expect(&world, "t", &["1", "2", "3", "4"]).await?;
    for (key, verified) in [("composite", "length"), ("none", "length"), ("whole", "checksum")] {
        let line = outcome(&world, "report", key)?;
        ensure!(line["verified"] == verified, "{line}");
    }
    Ok(())
}

/// `Content-Length` says that this is all, at the end of a row, under the listed ETag.
async fn a_body_shorter_than_listed_is_refused(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    world.put("bad", Object::new("1\n2\n3\n").without_checksum())?;
    world.put("good", "good\n")?;
    world.s3.faults().on_get("bad", Times::Always, Fault::ShortenBody { to_bytes: 4 });
    let ended = load(&world, 3, &["--max-attempts", "2"]).await?;
    ended.says("s3://etl/bad: it has 4 bytes now, 6 were listed")?;
    expect(&world, "t", &["good"]).await
}

async fn objects_that_cannot_be_read_fail_alone(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    let cases = [
        ("denied", Refusal::ACCESS_DENIED, "object_denied", "s3:GetObject"),
        ("archived", Refusal::ARCHIVED, "object_archived", "restore the object"),
        ("encrypted", Refusal::KMS_DENIED, "object_encrypted", "kms:Decrypt"),
        ("vanished", Refusal::NO_SUCH_KEY, "object_missing", "deleted after it was listed"),
    ];
    for (key, refusal, ..) in cases {
        world.put(key, format!("{key}\n"))?;
        world.s3.faults().on_get(key, Times::Always, Fault::Refuse(refusal));
    }
    world.put("glacier", Object::new("glacier\n").archived())?;
    world.put("a good one", "first\n")?;
    world.put("z good one", "last\n")?;
    let ended = load(&world, 3, &[]).await?;
    for (key, _, code, hint) in cases {
        expect_failure(&world, "report", key, code)?;
        let line = outcome(&world, "report", key)?;
        ensure!(line["error"]["hint"].as_str().is_some_and(|said| said.contains(hint)), "{line}");
        ensure!(world.s3.log().gets_of(key).len() == 1, "{key} was tried again for nothing");
        ended.says(&format!("s3://etl/{key}: "))?;
    }
    expect_failure(&world, "report", "glacier", "object_archived")?;
    ensure!(ended.summary("objects failed")? == "5" && ended.summary("objects loaded")? == "2", "{ended}");
    expect(&world, "t", &["first", "last"]).await
}

/// Starts a load that has to stop at the first byte of every body.
async fn start_stalled(world: &World, objects: usize, bytes: usize, args: &[&str]) -> Result<Stalled> {
    lines::create(world, "t").await?;
    for number in 0..objects {
        world.put(&format!("{number:02}"), "x".repeat(99).repeat(bytes / 99) + "\n")?;
    }
    let stall = Fault::StallBody { after_bytes: 1 };
    let stalled = world.s3.faults().inject(Operation::GetObject, Keys::Any, Times::Always, stall);
    // Rows longer than the column: what they become does not matter here.
    let args = [&["load", "s3://etl/", "--table", "t", "--on-bad-row", "accept"], args].concat();
    Ok(Stalled { running: world.command(args).spawn()?, stalled })
}

struct Stalled {
    running: tokio::process::Child,
    stalled: crate::support::s3::Injection,
}

async fn downloads_at_once_are_bounded(world: World) -> Result<()> {
    let Stalled { running, stalled } = start_stalled(&world, 12, 1000, &["--download-concurrency", "3"]).await?;
    stalled.wait_for_effects(3).await;
    let_time_pass(&world).await?;
    stalled.release();
    finish(running).await?.expect(0)?;
    let most = world.s3.log().max_gets_in_flight();
    ensure!(most == 3, "{most} downloads at once");
    ensure!(world.count("t").await? == 12, "not all were loaded");
    world.ensure_nothing_staged()
}

const BUDGET: [&str; 2] = ["--staging-budget", "1MiB"];

async fn bytes_on_disk_are_bounded_while_downloading(world: World) -> Result<()> {
    let Stalled { running, stalled } = start_stalled(&world, 8, 300 * 1024, &BUDGET).await?;
    stalled.wait_for_effects(3).await;
    let_time_pass(&world).await?;
    // A fourth would not fit, though sixteen downloads may run.
    let most = world.s3.log().max_gets_in_flight();
    ensure!(most == 3, "{most} downloads at once");
    stalled.release();
    finish(running).await?.expect(0)?;
    let most = world.s3.log().max_outstanding_bytes();
    ensure!(most <= 1 << 20, "{most} bytes were on their way");
    ensure!(world.count("t").await? == 8, "not all were loaded");
    world.ensure_nothing_staged()
}

/// What is staged stays in the budget until it is loaded.
async fn bytes_on_disk_are_bounded_while_loading_waits(world: World) -> Result<()> {
    let Stalled { running, stalled } = start_stalled(&world, 8, 300 * 1024, &BUDGET).await?;
    stalled.wait_for_effects(3).await;
    let mut conn = world.schema.conn().await?;
    conn.query_drop("LOCK TABLES t WRITE").await?;
    stalled.release();
    world.s3.log().wait_until(|log| log.gets_in_flight() == 0).await;
    let_time_pass(&world).await?;
    let gets = world.s3.log().count(Operation::GetObject);
    ensure!(gets == 3, "{gets} objects were read while none could be loaded");
    conn.query_drop("UNLOCK TABLES").await?;
    finish(running).await?.expect(0)?;
    ensure!(world.count("t").await? == 8, "not all were loaded");
    world.ensure_nothing_staged()
}

async fn an_object_larger_than_the_budget_is_refused_alone(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    world.put("large", "x\n".repeat(1 << 19) + "y\n")?;
    for key in ["a", "z"] {
        world.put(key, format!("{key}\n"))?;
    }
    let ended = load(&world, 3, &BUDGET).await?;
    ended.says("do not fit into the staging budget of 1MiB")?;
    expect_failure(&world, "report", "large", "object_too_large")?;
    let line = outcome(&world, "report", "large")?;
    ensure!(line["error"]["hint"].as_str().is_some_and(|hint| hint.contains("--staging-budget")), "{line}");
    ensure!(world.s3.log().gets_of("large").is_empty(), "it was read all the same");
    expect(&world, "t", &["a", "z"]).await
}

async fn nothing_is_left_on_disk_when_the_program_is_killed(world: World) -> Result<()> {
    put_big(&world).await?;
    let stall = Fault::StallBody { after_bytes: 1_000_000 };
    let stalled = world.s3.faults().on_get("big", Times::Always, stall);
    let running = world.command(["load", "s3://etl/", "--table", "t", "--preset", "hive"]).spawn()?;
    stalled.wait_for_effects(1).await;
    let pid = running.id().context("it runs")?;
    // It is there, without a name: else this test would show nothing.
    let staging = world.path("staging");
    ensure!(has_open_file_in(pid, &staging)?, "nothing is being staged");
    signal(&running, "KILL")?;
    ensure!(finish(running).await?.code.is_none(), "a signal ended it");
    ensure!(world.count("t").await? == 0, "rows of half an object are in the table");
    world.ensure_nothing_staged()
}

fn has_open_file_in(pid: u32, folder: &Path) -> Result<bool> {
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed while we look.
        if std::fs::read_link(entry?.path()).is_ok_and(|path| path.starts_with(folder)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The program behind another command, in the same environment.
fn behind(world: &World, wrapper: &[&str], args: &[&str]) -> Command {
    let inner = world.command(args);
    let inner = inner.as_std();
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(inner.get_program()).args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// One object that does not fit between two that do, loaded one after the other.
async fn load_with_little_space(world: &World, wrapper: &[&str], reason: &str) -> Result<()> {
    lines::create(world, "t").await?;
    world.put("a", "a\n")?;
    world.put("big", "x\n".repeat(100 * 1024))?;
    world.put("z", "z\n")?;
    let report = world.path("report");
    let report = report.to_string_lossy();
    let options = ["--staging-budget", "1MiB", "--download-concurrency", "1", "--max-attempts", "2"];
    let args = [&["load", "s3://etl/", "--table", "t", "--report", &report], options.as_slice()].concat();
    let ended = finish(behind(world, wrapper, &args).spawn()?).await?;
    ended.expect(3)?;
    ended.says(reason)?;
    expect_failure(world, "report", "big", "staging_failed")?;
    let line = outcome(world, "report", "big")?;
    ensure!(line["error"]["hint"].as_str().is_some_and(|hint| hint.contains("--staging-dir")), "{line}");
    expect(world, "t", &["a", "z"]).await?;
    world.ensure_nothing_staged()
}

async fn a_full_disk_fails_the_object_and_names_the_remedy(world: World) -> Result<()> {
    // A mount that only the program sees, and that goes with it. Who is not root needs a user namespace for that.
    let may = |args: &[&str]| {
        let tried = std::process::Command::new("unshare").args(args).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let unshare = if may(&["-m"]) { "-m" } else { "-rm" };
    ensure!(may(&[unshare]), "a small file system can't be mounted: neither root nor user namespaces");
    let mount = "mount -t tmpfs -o size=64k none \"$S3_TO_MYSQL_STAGING_DIR\" && exec \"$@\"";
    load_with_little_space(&world, &["unshare", unshare, "sh", "-c", mount, "sh"], "No space left on device").await
}

async fn a_file_size_limit_fails_the_object_and_names_the_remedy(world: World) -> Result<()> {
    let limit = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    load_with_little_space(&world, &["sh", "-c", limit, "sh"], "File too large").await
}

async fn a_staging_directory_in_memory_is_warned_of(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    world.put("a", "a\n")?;
    let memory = tempfile::tempdir_in("/dev/shm").context("there is no /dev/shm, which every Linux has")?;
    let path = memory.path().to_string_lossy();
    let ended = load(&world, 0, &["--staging-dir", &path, "--staging-budget", "3MiB"]).await?;
    ended.says(&format!("--staging-dir {path} is on tmpfs: up to 3MiB of memory"))?;
    ensure!(std::fs::read_dir(memory.path())?.next().is_none(), "something is left");
    expect(&world, "t", &["a"]).await
}

async fn a_staging_directory_that_cannot_be_used_is_a_usage_error(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    world.put("a", "a\n")?;
    let file = world.path("file");
    std::fs::write(&file, "")?;
    for path in [file, world.path("missing")] {
        let path = path.to_string_lossy();
        let ended = load(&world, 2, &["--staging-dir", &path]).await?;
        ended.says(&format!("--staging-dir {path} can't be used"))?;
    }
    expect(&world, "t", &[]).await
}

/// `1\n2\n`, as gzip, zstd, bzip2 and xz pack it.
const PACKED: [(&str, &[u8]); 4] = [
    ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\x33\xe4\x32\xe2\x02\0\x61\x78\xe1\x69\x04\0\0\0"),
    ("zstd", b"\x28\xb5\x2f\xfd\x04\x58\x21\0\x001\n2\n\x91\x47\xa7\x39"),
    (
        "bzip2",
        b"BZh91AY&SY\x4b\x95\x0b\xbb\0\0\x01\x48\0\0\x10\x30\0\x20\0\x30\xcc\x0c\x7a\x82\x71\x77\x24\x53\x85\x09\x04\
          \xb9\x50\xbb\xb0",
    ),
    (
        "xz",
        b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21\x01\x16\0\0\0\x74\x2f\xe5\xa3\x01\0\x031\n2\n\0\x66\x96\x70\x33\
          \xc5\xba\xb0\xe3\0\x01\x1c\x04\x6f\x2c\x9c\xc1\x1f\xb6\xf3\x7d\x01\0\0\0\0\x04YZ",
    ),
];

/// Head and tail as their specifications have them, around bytes that are no text.
const COLUMNAR: [(&str, &[u8]); 3] = [
    ("Parquet", b"PAR1\x15\x04\x15\x10\xff\xfe\x00\x01\n\x15\x04\x10\0\0\0PAR1"),
    ("ORC", b"ORC\x0a\x0b\xff\xfe\x00\n\x08\x03\x10\0\x82\xf4\x03\x03ORC\x17"),
    ("Avro", b"Obj\x01\x04\x14avro.codec\x08null\0\xff\xfe\n"),
];

async fn packed_and_columnar_objects_are_refused_by_name(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    for (name, bytes) in PACKED.into_iter().chain(COLUMNAR) {
        // The name says something else, as it does in life.
        world.put(&format!("{name}.csv"), bytes)?;
    }
    // One that does not come in one piece.
    world.put("long Parquet.csv", [b"PAR1".as_slice(), &[0xff; 600_000], b"PAR1"].concat())?;
    world.put("z", "text\n")?;
    let ended = load(&world, 3, &[]).await?;
    for (name, _) in PACKED.into_iter().chain(COLUMNAR) {
        ended.says(&format!("s3://etl/{name}.csv: this is {name} data, not delimited text"))?;
        expect_failure(&world, "report", &format!("{name}.csv"), "unsupported_format")?;
    }
    expect_failure(&world, "report", "long Parquet.csv", "unsupported_format")?;
    expect(&world, "t", &["text"]).await
}

async fn text_that_begins_like_another_format_is_loaded(world: World) -> Result<()> {
    lines::create(&world, "t").await?;
    let texts =
        ["ORC,elf", "ORC and then ORC", "PAR1 score", "BZh 91", "BZh9 rows", "Obj1", "B", "ORC", "7z", "(\u{b5}/"];
    for (number, text) in texts.iter().enumerate() {
        world.put(&number.to_string(), format!("{text}\n"))?;
    }
    // Without a line end, the magic is the file's first and last bytes at once.
    world.put("PAR1", "PAR1")?;
    load(&world, 0, &[]).await?;
    expect(&world, "t", &[&texts[..], &["PAR1"]].concat()).await?;
    // And what is wrong with it is told of the text, not of the format.
    world.schema.exec("TRUNCATE TABLE t").await?;
    for key in world.s3.backend().keys(BUCKET) {
        world.s3.backend().remove(BUCKET, &key);
    }
    world.put("bad", b"ORC\xff\n".as_slice())?;
    load(&world, 3, &[]).await?;
    expect_failure(&world, "report", "bad", "malformed")?;
    expect(&world, "t", &[]).await
}
