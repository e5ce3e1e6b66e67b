//! Staging: downloads stay within their bounds, nothing stays on disk, and objects that are not
//! text are recognized.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use tokio::process::Command;

use crate::reading::{load, put_big};
use crate::registry::{apply, load_test};
use crate::support::lines::{self, expect, expect_failure, outcome};
use crate::support::program::{BUCKET, TestEnv, finish, signal};
use crate::support::s3::{Fault, Injection, Keys, Operation, Times, client};
use crate::support::until::until;

/// Makes enough requests of the test's own, one after the other, for the program to do whatever it
/// would do next.
async fn let_time_pass(env: &TestEnv) -> Result<()> {
    let client = client(&env.s3);
    for _ in 0..40 {
        client.list_objects_v2().bucket(BUCKET).send().await?;
    }
    Ok(())
}

/// Starts a load that stops at the first byte of every body.
async fn start_stalled(
    env: &TestEnv,
    objects: usize,
    bytes: usize,
    args: &[&str],
) -> Result<Stalled> {
    lines::create(env, "t").await?;
    for number in 0..objects {
        env.put(&format!("{number:02}"), "x".repeat(99).repeat(bytes / 99) + "\n")?;
    }
    let stall = Fault::StallBody { after_bytes: 1 };
    let stalled = env.s3.faults().inject(Operation::GetObject, Keys::Any, Times::Always, stall);
    // The rows are longer than the column. How they are stored does not matter here.
    let args = [&["load", "s3://etl/", "--table", "t", "--on-bad-row", "accept"], args].concat();
    Ok(Stalled { running: env.command(args).spawn()?, stalled })
}

struct Stalled {
    running: tokio::process::Child,
    stalled: Injection,
}

#[apply(load_test)]
async fn downloads_at_once_are_bounded(env: TestEnv) -> Result<()> {
    let Stalled { running, stalled } =
        start_stalled(&env, 12, 100_000, &["--download-concurrency", "3"]).await?;
    stalled.wait_for_effects(3).await;
    let_time_pass(&env).await?;
    stalled.release();
    finish(running).await?.expect(0)?;
    let most = env.s3.log().max_gets_in_flight();
    ensure!(most == 3, "{most} downloads at once");
    ensure!(env.count("t").await? == 12, "not all were loaded");
    env.ensure_nothing_staged()
}

const BUDGET: [&str; 2] = ["--staging-budget", "1MiB"];

#[apply(load_test)]
async fn bytes_on_disk_are_bounded_while_downloading(env: TestEnv) -> Result<()> {
    let Stalled { running, stalled } = start_stalled(&env, 8, 300 * 1024, &BUDGET).await?;
    stalled.wait_for_effects(3).await;
    let_time_pass(&env).await?;
    // A fourth would not fit, although sixteen downloads may run.
    let most = env.s3.log().max_gets_in_flight();
    ensure!(most == 3, "{most} downloads at once");
    stalled.release();
    finish(running).await?.expect(0)?;
    let most = env.s3.log().max_outstanding_bytes();
    ensure!(most <= 1 << 20, "{most} bytes were on their way");
    ensure!(env.count("t").await? == 8, "not all were loaded");
    env.ensure_nothing_staged()
}

/// Staged bytes stay in the budget until they are loaded.
#[apply(load_test)]
async fn bytes_on_disk_are_bounded_while_loading_waits(env: TestEnv) -> Result<()> {
    let Stalled { running, stalled } = start_stalled(&env, 8, 300 * 1024, &BUDGET).await?;
    stalled.wait_for_effects(3).await;
    let mut conn = env.schema.conn().await?;
    conn.query_drop("LOCK TABLES t WRITE").await?;
    stalled.release();
    env.s3.log().wait_until(|log| log.gets_in_flight() == 0).await;
    let_time_pass(&env).await?;
    let gets = env.s3.log().count(Operation::GetObject);
    ensure!(gets == 3, "{gets} objects were read while none could be loaded");
    conn.query_drop("UNLOCK TABLES").await?;
    finish(running).await?.expect(0)?;
    ensure!(env.count("t").await? == 8, "not all were loaded");
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn an_object_larger_than_the_budget_is_refused_alone(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("large", "x\n".repeat(1 << 19) + "y\n")?;
    for key in ["a", "z"] {
        env.put(key, format!("{key}\n"))?;
    }
    let ended = load(&env, 3, &[&BUDGET[..], &["--no-split"]].concat()).await?;
    ended.says("does not fit into the staging budget of 1MiB")?;
    expect_failure(&env, "report", "large", "object_too_large")?;
    let line = outcome(&env, "report", "large")?;
    ensure!(
        line["error"]["hint"].as_str().is_some_and(|hint| hint.contains("--staging-budget")),
        "{line}"
    );
    ensure!(env.s3.log().gets_of("large").is_empty(), "it was read all the same");
    expect(&env, "t", &["a", "z"]).await
}

#[apply(load_test)]
async fn nothing_is_left_on_disk_when_the_program_is_killed(env: TestEnv) -> Result<()> {
    put_big(&env).await?;
    let stall = Fault::StallBody { after_bytes: 1_000_000 };
    let stalled = env.s3.faults().on_get("big", Times::Always, stall);
    let running = env.command(["load", "s3://etl/", "--table", "t", "--preset", "hive"]).spawn()?;
    stalled.wait_for_effects(1).await;
    let pid = running.id().context("it runs")?;
    // The file exists, without a name. Otherwise this test would show nothing.
    let staging = env.path("staging");
    until(|| async { Ok(has_open_file_in(pid, &staging)?.then_some(())) }).await?;
    signal(&running, "KILL")?;
    ensure!(finish(running).await?.code.is_none(), "a signal ended it");
    ensure!(env.count("t").await? == 0, "rows of half an object are in the table");
    env.ensure_nothing_staged()
}

fn has_open_file_in(pid: u32, folder: &Path) -> Result<bool> {
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed during the look.
        if std::fs::read_link(entry?.path()).is_ok_and(|path| path.starts_with(folder)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the command of the program behind another command, in the same environment.
pub fn behind(env: &TestEnv, wrapper: &[&str], args: &[&str]) -> Command {
    let inner = env.command(args);
    let inner = inner.as_std();
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(inner.get_program()).args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Loads one object that does not fit between two that do, one after the other.
async fn load_with_little_space(
    env: &TestEnv,
    wrapper: &[&str],
    reason: &str,
    remedy: &str,
) -> Result<()> {
    lines::create(env, "t").await?;
    env.put("a", "a\n")?;
    env.put("big", "x\n".repeat(100 * 1024))?;
    env.put("z", "z\n")?;
    let report = env.path("report");
    let report = report.to_string_lossy();
    let options =
        ["--staging-budget", "1MiB", "--download-concurrency", "1", "--max-attempts", "2"];
    let args =
        [&["load", "s3://etl/", "--table", "t", "--report", &report], options.as_slice()].concat();
    let ended = finish(behind(env, wrapper, &args).spawn()?).await?;
    ended.expect(3)?;
    ended.says(reason)?;
    expect_failure(env, "report", "big", "staging_failed")?;
    let line = outcome(env, "report", "big")?;
    ensure!(line["error"]["hint"].as_str().is_some_and(|hint| hint.contains(remedy)), "{line}");
    expect(env, "t", &["a", "z"]).await?;
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn a_full_disk_fails_the_object_and_names_the_remedy(env: TestEnv) -> Result<()> {
    // A mount that only the program sees, and that ends with it. A user other than root needs a
    // user namespace for that.
    let mount = "mount -t tmpfs -o size=64k none \"$S3_TO_MYSQL_STAGING_DIR\" && exec \"$@\"";
    for unshare in ["-m", "-rm"] {
        let wrapper = ["unshare", unshare, "sh", "-c", mount, "sh"];
        if behind(&env, &wrapper, &["--version"])
            .status()
            .await
            .is_ok_and(|status| status.success())
        {
            return load_with_little_space(
                &env,
                &wrapper,
                "No space left on device",
                "--staging-dir",
            )
            .await;
        }
    }
    // If that is forbidden, another failing write takes the same path.
    eprintln!("a small file system can't be mounted here: tested with a file size limit instead");
    load_with_little_space(&env, &FILE_SIZE_LIMIT, "File too large", "raise ulimit -f").await
}

const FILE_SIZE_LIMIT: [&str; 4] = ["sh", "-c", "ulimit -f 64; exec \"$@\"", "sh"];

#[apply(load_test)]
async fn a_file_size_limit_fails_the_object_and_names_the_remedy(env: TestEnv) -> Result<()> {
    load_with_little_space(&env, &FILE_SIZE_LIMIT, "File too large", "raise ulimit -f").await
}

#[apply(load_test)]
async fn a_staging_directory_in_memory_is_warned_of(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "a\n")?;
    let memory =
        tempfile::tempdir_in("/dev/shm").context("there is no /dev/shm, which every Linux has")?;
    let path = memory.path().to_string_lossy();
    let ended = load(&env, 0, &["--staging-dir", &path, "--staging-budget", "3MiB"]).await?;
    ended.says(&format!(
        "--staging-dir {path} is on tmpfs: staged objects may use up to 3MiB of \
         memory"
    ))?;
    ensure!(std::fs::read_dir(memory.path())?.next().is_none(), "something is left");
    expect(&env, "t", &["a"]).await
}

#[apply(load_test)]
async fn a_staging_directory_that_cannot_be_used_is_a_usage_error(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "a\n")?;
    let file = env.path("file");
    std::fs::write(&file, "")?;
    for path in [file, env.path("missing")] {
        let path = path.to_string_lossy();
        let ended = load(&env, 2, &["--staging-dir", &path]).await?;
        ended.says(&format!("--staging-dir {path} cannot be used"))?;
    }
    expect(&env, "t", &[]).await
}

/// `1\n2\n`, packed by gzip, zstd, bzip2 and xz.
const PACKED: [(&str, &[u8]); 4] = [
    ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\x33\xe4\x32\xe2\x02\0\x61\x78\xe1\x69\x04\0\0\0"),
    ("zstd", b"\x28\xb5\x2f\xfd\x04\x58\x21\0\x001\n2\n\x91\x47\xa7\x39"),
    (
        "bzip2",
        b"BZh91AY&SY\x4b\x95\x0b\xbb\0\0\x01\x48\0\0\x10\x30\0\x20\0\x30\xcc\x0c\x7a\x82\x71\x77\
          \x24\x53\x85\x09\x04\
          \xb9\x50\xbb\xb0",
    ),
    (
        "xz",
        b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21\x01\x16\0\0\0\x74\x2f\xe5\xa3\x01\0\x031\n2\n\
          \0\x66\x96\x70\x33\
          \xc5\xba\xb0\xe3\0\x01\x1c\x04\x6f\x2c\x9c\xc1\x1f\xb6\xf3\x7d\x01\0\0\0\0\x04YZ",
    ),
];

/// Heads and tails by specification, around bytes that are not text.
const COLUMNAR: [(&str, &[u8]); 3] = [
    ("Parquet", b"PAR1\x15\x04\x15\x10\xff\xfe\x00\x01\n\x15\x04\x10\0\0\0PAR1"),
    ("ORC", b"ORC\x0a\x0b\xff\xfe\x00\n\x08\x03\x10\0\x82\xf4\x03\x03ORC\x17"),
    ("Avro", b"Obj\x01\x04\x14avro.codec\x08null\0\xff\xfe\n"),
];

#[apply(load_test)]
async fn packed_objects_are_unpacked_whatever_their_names(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for (name, bytes) in PACKED {
        env.put(&format!("{name}.csv"), bytes)?;
    }
    // The name says what the bytes do not.
    env.put("plain.gz", "1\n2\n")?;
    load(&env, 0, &[]).await?;
    for (name, _) in PACKED {
        let line = lines::outcome(&env, "report", &format!("{name}.csv"))?;
        ensure!(line["codec"] == name && line["rows"] == 2, "{line}");
    }
    ensure!(lines::outcome(&env, "report", "plain.gz")?["codec"].is_null());
    expect(&env, "t", &[["1"; 5], ["2"; 5]].concat()).await
}

#[apply(load_test)]
async fn columnar_objects_are_refused_by_name(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for (name, bytes) in COLUMNAR {
        // The name does not match the format, as in practice.
        env.put(&format!("{name}.csv"), bytes)?;
    }
    // An object that does not arrive in one piece.
    env.put(
        "long Parquet.csv",
        [b"PAR1".to_vec(), vec![0xff; 600_000], b"PAR1".to_vec()].concat(),
    )?;
    env.put("z", "text\n")?;
    let ended = load(&env, 3, &[]).await?;
    for (name, _) in COLUMNAR {
        ended.says(&format!("this is {name} data, not delimited text\n"))?;
        ended.says(&format!("s3://etl/{name}.csv"))?;
        expect_failure(&env, "report", &format!("{name}.csv"), "unsupported_format")?;
    }
    expect_failure(&env, "report", "long Parquet.csv", "unsupported_format")?;
    expect(&env, "t", &["text"]).await
}

#[apply(load_test)]
async fn text_that_begins_like_another_format_is_loaded(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let texts = [
        "ORC,elf",
        "ORC and then ORC",
        "PAR1 score",
        "BZh 91",
        "BZh9 rows",
        "Obj1",
        "B",
        "ORC",
        "7z",
        "(\u{b5}/",
    ];
    for (number, text) in texts.iter().enumerate() {
        env.put(&number.to_string(), format!("{text}\n"))?;
    }
    // Without a line end, the magic is the file's first and last bytes at once.
    env.put("PAR1", "PAR1")?;
    load(&env, 0, &[]).await?;
    expect(&env, "t", &[&texts[..], &["PAR1"]].concat()).await?;
    // Its errors are those of text, not of the format.
    env.start_afresh("t").await?;
    for key in env.s3.backend().keys(BUCKET) {
        env.s3.backend().remove(BUCKET, &key);
    }
    env.put("bad", b"ORC\xff\n".as_slice())?;
    load(&env, 3, &[]).await?;
    expect_failure(&env, "report", "bad", "malformed")?;
    expect(&env, "t", &[]).await
}
