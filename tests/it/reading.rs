//! Reading an object: the bytes that were listed are the bytes that are loaded, whatever happens on
//! the way.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::lines::{self, expect, expect_failure, outcome};
use crate::support::program::{BUCKET, Ended, TestEnv, finish};
use crate::support::s3::{Algorithm, Backend, Fault, Keys, Object, Operation, Refusal, Times};

/// Enough rows for an object that the download reads in several blocks.
const ROWS: u64 = 20_000;

/// Puts an object of a megabyte and a half under `big`, and creates the table for its rows.
pub(crate) async fn put_big(env: &TestEnv) -> Result<hive::Sums> {
    env.schema.exec(&hive::create_table("t")).await?;
    let (bytes, sums) = hive::object(0, ROWS);
    ensure!(bytes.len() > 1_200_000, "{} bytes are too few", bytes.len());
    env.put("big", bytes)?;
    Ok(sums)
}

/// Loads everything with a report. The run must end with this code and leave nothing on disk.
pub(crate) async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report");
    let ended = env
        .load_ending(code, "t", &[&["--report", &report.to_string_lossy()], args].concat())
        .await?;
    env.ensure_nothing_staged()?;
    Ok(ended)
}

/// Loads the whole big object, by reads of exactly these ranges.
async fn load_big(
    env: &TestEnv,
    sums: hive::Sums,
    ranges: &[Option<&str>],
    args: &[&str],
) -> Result<()> {
    load(env, 0, &[&["--preset", "hive"], args].concat()).await?;
    expect_big(env, sums).await?;
    let gets = env.s3.log().gets_of("big");
    let asked: Vec<_> = gets.iter().map(|get| get.range.as_deref()).collect();
    ensure!(asked == ranges, "asked for {asked:?}, not {ranges:?}");
    let etag = env.s3.backend().newest(BUCKET, "big").context("it was put")?.quoted_etag();
    ensure!(
        gets.iter().all(|get| get.if_match.as_ref() == Some(&etag)),
        "not pinned to {etag}: {gets:?}"
    );
    let line = outcome(env, "report", "big")?;
    ensure!(line["attempts"] == ranges.len() && line["verified"] == "checksum", "{line}");
    Ok(())
}

/// Requires that the big object is refused with this code and that none of its rows are loaded.
async fn refuse_big(env: &TestEnv, code: &str, args: &[&str]) -> Result<()> {
    load(env, 3, &[&["--preset", "hive"], args].concat()).await?;
    expect_failure(env, "report", "big", code)?;
    ensure!(env.count("t").await? == 0, "rows of a refused object are in the table");
    Ok(())
}

#[apply(load_test)]
async fn every_read_is_pinned_to_the_listed_etag(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for key in ["a", "b"] {
        env.put(key, format!("{key}\n"))?;
    }
    load(&env, 0, &[]).await?;
    for key in ["a", "b"] {
        let etag = env.s3.backend().newest(BUCKET, key).context("it was put")?.quoted_etag();
        let gets = env.s3.log().gets_of(key);
        ensure!(
            gets.len() == 1 && gets[0].if_match.as_ref() == Some(&etag) && gets[0].asks_checksum,
            "{gets:?}"
        );
        ensure!(outcome(&env, "report", key)?["etag"] == etag, "another ETag is reported");
    }
    Ok(())
}

/// Overwrites `a` with other bytes of the same length at the moment of its first read.
async fn overwrite_on_reading(env: &TestEnv) -> Result<Ended> {
    lines::create(env, "t").await?;
    for key in ["a", "b"] {
        env.put(key, format!("old {key}\n"))?;
    }
    let backend = env.s3.backend().clone();
    let overwrite = Fault::before(move |_| {
        let backend = backend.clone();
        async move { drop(backend.put(BUCKET, "a", "new a\n")) }
    });
    env.s3.faults().on_get("a", Times::Next(1), overwrite);
    let ended = load(env, 3, &[]).await?;
    expect_failure(env, "report", "a", "object_changed")?;
    expect(env, "t", &["old b"]).await?;
    ensure!(env.s3.log().gets_of("a").len() == 1, "what was overwritten is not read again");
    Ok(ended)
}

#[apply(load_test)]
async fn an_object_overwritten_after_listing_is_refused(env: TestEnv) -> Result<()> {
    let ended = overwrite_on_reading(&env).await?;
    ended.says("s3://etl/a: the object was overwritten after it was listed")
}

#[apply(load_test)]
async fn an_overwrite_is_noticed_where_the_store_ignores_if_match(env: TestEnv) -> Result<()> {
    env.s3.faults().inject(Operation::GetObject, Keys::Any, Times::Always, Fault::IgnoreIfMatch);
    let ended = overwrite_on_reading(&env).await?;
    let new = env.s3.backend().newest(BUCKET, "a").context("it was put")?.quoted_etag();
    ended.says(&format!("its ETag is {new} now"))
}

#[apply(load_test)]
async fn a_body_that_breaks_off_is_resumed_where_it_broke(env: TestEnv) -> Result<()> {
    let sums = put_big(&env).await?;
    env.s3.faults().on_get("big", Times::Next(1), Fault::CutBody { after_bytes: 700_001 });
    env.s3.faults().on_get("big", Times::Next(2), Fault::CutBody { after_bytes: 1 });
    let ranges = [None, Some("bytes=700001-"), Some("bytes=700002-")];
    // Both cuts match the first answer, but the rule that was injected first wins. So the second
    // answer meets the second cut.
    load_big(&env, sums, &ranges, &[]).await
}

#[apply(load_test)]
async fn a_store_that_ignores_ranges_is_read_from_the_start_again(env: TestEnv) -> Result<()> {
    let sums = put_big(&env).await?;
    env.s3.faults().on_get("big", Times::Next(1), Fault::CutBody { after_bytes: 700_000 });
    env.s3.faults().on_get("big", Times::Always, Fault::IgnoreRange);
    load_big(&env, sums, &[None, Some("bytes=700000-"), None], &[]).await
}

/// Cuts the big object's first body, and overwrites the object with as many other bytes before the
/// second read.
async fn overwrite_before_resuming(env: &TestEnv) -> Result<()> {
    put_big(env).await?;
    env.s3.faults().on_get("big", Times::Next(1), Fault::CutBody { after_bytes: 700_000 });
    let backend = env.s3.backend().clone();
    let overwrite = Fault::before(move |_| {
        let backend = backend.clone();
        async move {
            let (mut bytes, _) = hive::object(0, ROWS);
            bytes[0] ^= 1;
            drop(backend.put(BUCKET, "big", bytes));
        }
    });
    env.s3.faults().on_get("big", Times::After(1), overwrite);
    refuse_big(env, "object_changed", &[]).await?;
    let ranges: Vec<_> = env.s3.log().gets_of("big").into_iter().map(|get| get.range).collect();
    ensure!(ranges == [None, Some("bytes=700000-".to_owned())], "{ranges:?}");
    Ok(())
}

#[apply(load_test)]
async fn an_object_overwritten_before_it_is_resumed_is_refused(env: TestEnv) -> Result<()> {
    overwrite_before_resuming(&env).await
}

#[apply(load_test)]
async fn an_overwrite_before_resuming_is_noticed_where_the_store_ignores_if_match(
    env: TestEnv,
) -> Result<()> {
    env.s3.faults().on_get("big", Times::Always, Fault::IgnoreIfMatch);
    overwrite_before_resuming(&env).await
}

/// Returns the range and the version of each GET of a key.
fn asked(env: &TestEnv, key: &str) -> Vec<(Option<String>, Option<String>)> {
    env.s3.log().gets_of(key).into_iter().map(|get| (get.range, get.version_id)).collect()
}

/// Changes the store before every read of `key` but the first.
fn before_reading_on(env: &TestEnv, key: &str, change: impl Fn(&Backend) + Send + Sync + 'static) {
    let backend = env.s3.backend().clone();
    let change = Fault::before(move |_| {
        change(&backend);
        async {}
    });
    env.s3.faults().on_get(key, Times::After(1), change);
}

/// Requires that the table has the bytes of the listed big object.
async fn expect_big(env: &TestEnv, sums: hive::Sums) -> Result<()> {
    let found: (u64, u64) = env.schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (sums.rows, sums.checksum), "{found:?} is not {sums:?}");
    Ok(())
}

/// Puts the big object into a bucket that keeps versions, and cuts its first body.
async fn put_big_version(env: &TestEnv) -> Result<(hive::Sums, Arc<Object>)> {
    env.s3.backend().enable_versions(BUCKET);
    let sums = put_big(env).await?;
    env.s3.faults().on_get("big", Times::Next(1), Fault::CutBody { after_bytes: 700_000 });
    let listed = env.s3.backend().newest(BUCKET, "big").context("it was put")?;
    Ok((sums, listed))
}

#[apply(load_test)]
async fn an_overwrite_between_two_reads_is_no_matter_where_versions_are_kept(
    env: TestEnv,
) -> Result<()> {
    let (sums, listed) = put_big_version(&env).await?;
    before_reading_on(&env, "big", |backend| drop(backend.put(BUCKET, "big", "something else\n")));
    load(&env, 0, &["--preset", "hive"]).await?;
    expect_big(&env, sums).await?;
    let version = listed.version_id().map(str::to_owned);
    ensure!(version.is_some(), "the bucket keeps no versions");
    let expected = [(None, None), (Some("bytes=700000-".to_owned()), version)];
    ensure!(asked(&env, "big") == expected, "{:?}", asked(&env, "big"));
    let etag = listed.quoted_etag();
    ensure!(
        env.s3.log().gets_of("big").iter().all(|get| get.if_match.as_ref() == Some(&etag)),
        "not pinned to {etag}"
    );
    ensure!(
        env.s3.backend().newest(BUCKET, "big").context("it was put")?.quoted_etag() != etag,
        "not overwritten"
    );
    Ok(())
}

#[apply(load_test)]
async fn reading_from_the_start_again_asks_for_the_listed_version_too(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.s3.backend().enable_versions(BUCKET);
    env.put("a", "row 2\n")?;
    let version =
        env.s3.backend().newest(BUCKET, "a").context("it was put")?.version_id().map(str::to_owned);
    env.s3.faults().on_get("a", Times::Next(1), Fault::FlipBit { at_byte: 4 });
    before_reading_on(&env, "a", |backend| drop(backend.put(BUCKET, "a", "row 9\n")));
    load(&env, 0, &[]).await?;
    expect(&env, "t", &["row 2"]).await?;
    ensure!(asked(&env, "a") == [(None, None), (None, version)], "{:?}", asked(&env, "a"));
    Ok(())
}

#[apply(load_test)]
async fn a_version_that_is_gone_before_it_is_resumed_fails_the_object(env: TestEnv) -> Result<()> {
    let (_, listed) = put_big_version(&env).await?;
    let version = listed.version_id().context("the bucket keeps no versions")?.to_owned();
    before_reading_on(&env, "big", move |backend| {
        drop(backend.put(BUCKET, "big", "something else\n"));
        backend.remove_version(BUCKET, "big", &version);
    });
    refuse_big(&env, "object_missing", &[]).await?;
    ensure!(asked(&env, "big").len() == 2, "{:?}", asked(&env, "big"));
    Ok(())
}

/// Amazon requires a separate permission, s3:GetObjectVersion. Some stores name versions but cannot
/// read by them.
#[apply(load_test)]
async fn where_a_version_may_not_be_read_the_etag_alone_pins(env: TestEnv) -> Result<()> {
    for refusal in [Refusal::ACCESS_DENIED, Refusal::new(501, "NotImplemented", "Not implemented.")]
    {
        let (sums, listed) = put_big_version(&env).await?;
        let faults = env.s3.faults().clone();
        let refuse_next = Fault::before(move |_| {
            faults.on_get("big", Times::Next(1), Fault::Refuse(refusal));
            async {}
        });
        env.s3.faults().on_get("big", Times::Next(1), refuse_next);
        load(&env, 0, &["--preset", "hive"]).await?;
        expect_big(&env, sums).await?;
        let range = Some("bytes=700000-".to_owned());
        let version = listed.version_id().map(str::to_owned);
        let expected = [(None, None), (range.clone(), version), (range, None)];
        ensure!(asked(&env, "big") == expected, "{refusal:?}: {:?}", asked(&env, "big"));
        env.s3.faults().clear();
        env.s3.log().clear();
        env.start_afresh("t").await?;
        env.schema.exec("DROP TABLE t").await?;
    }
    Ok(())
}

/// An object that was put before the bucket kept versions, or while versioning was suspended: an
/// overwrite takes its version name as well.
#[apply(load_test)]
async fn a_null_version_is_never_asked_for(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    let (bytes, sums) = hive::object(0, ROWS);
    env.put("big", Object::new(bytes).with_version_id("null"))?;
    env.s3.faults().on_get("big", Times::Next(1), Fault::CutBody { after_bytes: 700_000 });
    load(&env, 0, &["--preset", "hive"]).await?;
    expect_big(&env, sums).await?;
    let expected = [(None, None), (Some("bytes=700000-".to_owned()), None)];
    ensure!(asked(&env, "big") == expected, "{:?}", asked(&env, "big"));
    Ok(())
}

#[apply(load_test)]
async fn a_body_that_keeps_breaking_fails_after_the_bounded_tries(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("bad", "bad 1\nbad 2\n")?;
    env.put("good", "good\n")?;
    let cut = env.s3.faults().on_get("bad", Times::Always, Fault::CutBody { after_bytes: 3 });
    load(&env, 3, &["--max-attempts", "3"]).await?;
    ensure!(cut.effect_count() == 3, "{} tries", cut.effect_count());
    expect_failure(&env, "report", "bad", "body_broken")?;
    expect(&env, "t", &["good"]).await
}

#[apply(load_test)]
async fn a_body_that_stalls_is_resumed(env: TestEnv) -> Result<()> {
    let sums = put_big(&env).await?;
    env.s3.faults().on_get("big", Times::Next(1), Fault::StallBody { after_bytes: 300_000 });
    load_big(&env, sums, &[None, Some("bytes=300000-")], &["--stall-timeout", "1s"]).await
}

#[apply(load_test)]
async fn a_busy_store_is_tried_again(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for key in ["a", "b"] {
        env.put(key, format!("{key}\n"))?;
    }
    for (times, refusal) in
        [(1, Refusal::SLOW_DOWN), (2, Refusal::SERVICE_UNAVAILABLE), (3, Refusal::INTERNAL_ERROR)]
    {
        env.s3.faults().on_get("a", Times::Next(times), Fault::Refuse(refusal));
    }
    load(&env, 0, &[]).await?;
    expect(&env, "t", &["a", "b"]).await?;
    let line = outcome(&env, "report", "a")?;
    ensure!(line["attempts"] == 4, "{line}");
    ensure!(env.s3.log().gets_of("a").len() == 4, "the SDK tries again too");
    Ok(())
}

#[apply(load_test)]
async fn a_store_that_stays_busy_fails_the_object_after_the_bounded_tries(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "t").await?;
    for key in ["a", "b"] {
        env.put(key, format!("{key}\n"))?;
    }
    env.s3.faults().on_get("a", Times::Always, Fault::Refuse(Refusal::SLOW_DOWN));
    load(&env, 3, &["--max-attempts", "3"]).await?;
    expect_failure(&env, "report", "a", "source_busy")?;
    let gets = env.s3.log().gets_of("a").len();
    ensure!(gets == 3, "{gets} requests");
    expect(&env, "t", &["b"]).await
}

#[apply(load_test)]
async fn a_store_that_goes_away_ends_the_run(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for key in ["a", "b"] {
        env.put(key, format!("{key}\n"))?;
    }
    let held = env.s3.faults().on_get("b", Times::Always, Fault::Hold);
    let running =
        env.command(["load", "s3://etl/", "--table", "t", "--max-attempts", "2"]).spawn()?;
    held.wait_for_effects(1).await;
    while env.count("t").await? == 0 {}
    let TestEnv { s3, schema, dir, .. } = env;
    s3.stop().await;
    let ended = finish(running).await?;
    ended.expect(5)?;
    ended.says("S3 cannot be reached")?;
    let rows: Vec<String> = schema.query("SELECT v FROM t").await?;
    ensure!(rows == ["a"], "{rows:?}");
    ensure!(
        std::fs::read_dir(dir.path().join("staging"))?.next().is_none(),
        "something is left on disk"
    );
    Ok(())
}

const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

#[apply(load_test)]
async fn a_flipped_bit_is_found_by_every_checksum_and_read_again(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for algorithm in ALGORITHMS {
        env.put(&format!("{algorithm:?}"), Object::new("row 2\n").with_checksum(algorithm))?;
    }
    // `row 2` becomes `row 3`, which nothing else would notice.
    let flip = Fault::FlipBit { at_byte: 4 };
    env.s3.faults().inject(Operation::GetObject, Keys::Any, Times::NextOfEachKey(1), flip);
    load(&env, 0, &[]).await?;
    expect(&env, "t", &["row 2"; 5]).await?;
    for algorithm in ALGORITHMS {
        let line = outcome(&env, "report", &format!("{algorithm:?}"))?;
        ensure!(line["verified"] == "checksum" && line["attempts"] == 2, "{algorithm:?}: {line}");
    }
    Ok(())
}

#[apply(load_test)]
async fn a_wrong_checksum_fails_the_object(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for algorithm in ALGORITHMS {
        env.put(&format!("bad/{algorithm:?}"), Object::new("bad\n").with_checksum(algorithm))?;
    }
    env.put("good", "good\n")?;
    let bad = Keys::StartingWith("bad/".to_owned());
    env.s3.faults().inject(Operation::GetObject, bad, Times::Always, Fault::WrongChecksum);
    load(&env, 3, &["--max-attempts", "2"]).await?;
    for algorithm in ALGORITHMS {
        expect_failure(&env, "report", &format!("bad/{algorithm:?}"), "checksum_mismatch")?;
    }
    expect(&env, "t", &["good"]).await
}

#[apply(load_test)]
async fn the_checksum_covers_a_resumed_body_too(env: TestEnv) -> Result<()> {
    put_big(&env).await?;
    env.s3.faults().on_get("big", Times::Next(1), Fault::CutBody { after_bytes: 700_000 });
    // The fault is in the answer to the range, which has no checksum of its own, and in all later
    // ones.
    env.s3.faults().on_get("big", Times::After(1), Fault::FlipBit { at_byte: 0 });
    refuse_big(&env, "checksum_mismatch", &["--max-attempts", "3"]).await?;
    let ranges: Vec<_> = env.s3.log().gets_of("big").into_iter().map(|get| get.range).collect();
    ensure!(ranges == [None, Some("bytes=700000-".to_owned()), None], "{ranges:?}");
    Ok(())
}

#[apply(load_test)]
async fn without_a_checksum_of_the_whole_object_its_length_is_verified(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("composite", Object::new("1\n2\n").with_composite_checksum(Algorithm::Crc32, 2))?;
    env.put("none", Object::new("3\n").without_checksum())?;
    env.put("whole", "4\n")?;
    load(&env, 0, &[]).await?;
    expect(&env, "t", &["1", "2", "3", "4"]).await?;
    for (key, verified) in [("composite", "length"), ("none", "length"), ("whole", "checksum")] {
        let line = outcome(&env, "report", key)?;
        ensure!(line["verified"] == verified, "{line}");
    }
    Ok(())
}

/// `Content-Length` says that the body ends here, at the end of a row, under the listed `ETag`.
#[apply(load_test)]
async fn a_body_shorter_than_listed_is_refused(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("bad", Object::new("1\n2\n3\n").without_checksum())?;
    env.put("good", "good\n")?;
    env.s3.faults().on_get("bad", Times::Always, Fault::ShortenBody { to_bytes: 4 });
    let ended = load(&env, 3, &["--max-attempts", "2"]).await?;
    ended.says("s3://etl/bad: it has 4 bytes now, 6 were listed")?;
    expect(&env, "t", &["good"]).await
}

#[apply(load_test)]
async fn objects_that_cannot_be_read_fail_alone(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let cases = [
        ("denied", Refusal::ACCESS_DENIED, "object_denied", "s3:GetObject"),
        ("archived", Refusal::ARCHIVED, "object_archived", "restore the object"),
        ("encrypted", Refusal::KMS_DENIED, "object_encrypted", "kms:Decrypt"),
        ("vanished", Refusal::NO_SUCH_KEY, "object_missing", "deleted after it was listed"),
    ];
    for (key, refusal, ..) in cases {
        env.put(key, format!("{key}\n"))?;
        env.s3.faults().on_get(key, Times::Always, Fault::Refuse(refusal));
    }
    env.put("glacier", Object::new("glacier\n").archived())?;
    env.put("a good one", "first\n")?;
    env.put("z good one", "last\n")?;
    let ended = load(&env, 3, &[]).await?;
    for (key, _, code, hint) in cases {
        expect_failure(&env, "report", key, code)?;
        let line = outcome(&env, "report", key)?;
        ensure!(line["error"]["hint"].as_str().is_some_and(|said| said.contains(hint)), "{line}");
        ensure!(env.s3.log().gets_of(key).len() == 1, "{key} was tried again for nothing");
        ended.says(&format!("s3://etl/{key}"))?;
    }
    ended.says("failed: 2 objects: the object is archived: ")?;
    expect_failure(&env, "report", "glacier", "object_archived")?;
    ensure!(
        ended.summary("objects failed")? == "5" && ended.summary("objects loaded")? == "2",
        "{ended}"
    );
    expect(&env, "t", &["first", "last"]).await
}
