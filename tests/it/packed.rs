//! Packed objects: loaded as the text that they hold, or refused whole.

mod memory;
mod packers;
mod parts;

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::lines::{expect_failure, outcome};
use crate::support::program::{Ended, TestEnv};
use crate::support::s3::Operation;
use crate::support::values::ensure_values;

/// Files of the usual programs, with sixty rows each: name, codec, base64.
const SAMPLES: &str = include_str!("../../src/unpack/tests/samples.txt");

fn samples() -> Result<Vec<(&'static str, &'static str, Vec<u8>)>> {
    let sample = |line: &'static str| {
        let mut words = line.split(' ');
        let mut word = || words.next().context("a sample has three words");
        Ok((word()?, word()?, STANDARD.decode(word()?)?))
    };
    SAMPLES.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

pub(crate) fn gzip(text: &[u8]) -> Result<Vec<u8>> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text)?;
    Ok(packed.finish()?)
}

async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    let ended = env.load_ending(code, "t", &[&["--report", &report], args].concat()).await?;
    env.ensure_nothing_staged()?;
    Ok(ended)
}

async fn ensure_sums(env: &TestEnv, sums: &hive::Sums) -> Result<()> {
    let found: (u64, u64) = env.schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (sums.rows, sums.checksum), "{found:?}, not {sums:?}");
    Ok(())
}

#[apply(load_test)]
async fn files_of_other_programs_give_the_rows_of_the_plain_object(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, name VARCHAR(9), square INT)").await?;
    let samples = samples()?;
    for (name, _, packed) in &samples {
        env.put(&format!("{name}.txt"), packed.clone())?;
    }
    let text: String =
        (0..60).map(|row| format!("{row},name {},{}\n", row % 7, row * row)).collect();
    env.put("plain.gz", text)?;
    load(&env, 0, &["--preset", "csv"]).await?;
    for (name, codec, _) in &samples {
        let line = outcome(&env, "report", &format!("{name}.txt"))?;
        ensure!(line["codec"] == *codec && line["rows"] == 60, "{line}");
    }
    let objects = samples.len() + 1;
    let sql = format!(
        "SELECT COUNT(*), SUM(id), SUM(objects = {objects}) FROM (SELECT id, COUNT(*) AS objects \
         FROM t WHERE name = CONCAT('name ', id % 7) AND square = id * id GROUP BY id) AS rows_of_t"
    );
    ensure_values(&env.schema, &sql, &["60|1770|60"]).await
}

#[apply(load_test)]
async fn a_damaged_object_is_refused_with_its_place_and_leaves_nothing(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    // One object fits into memory, the other does not.
    for (key, rows) in [("small", 100), ("large", 20_000)] {
        let packed = gzip(&hive::object(0, rows).0)?;
        let middle = packed.len() / 2;
        env.put(&format!("{key} cut"), packed[..packed.len() - 1].to_vec())?;
        env.put(&format!("{key} cut in the middle"), packed[..middle].to_vec())?;
        for at in [middle, packed.len() - 6, packed.len() - 2] {
            let mut flipped = packed.clone();
            flipped[at] ^= 1;
            env.put(&format!("{key} flipped at {at}"), flipped)?;
        }
        env.put(&format!("{key} longer"), [&packed[..], b"rows\n"].concat())?;
    }
    for split in ["--no-split", "--split"] {
        load(&env, 3, &["--preset", "hive", split]).await?;
        ensure!(env.count("t").await? == 0);
        for key in env.s3.backend().keys("etl") {
            expect_failure(&env, "report", &key, "malformed")?;
            let message = outcome(&env, "report", &key)?["error"]["message"].to_string();
            // A flipped bit may show in the text before the checksum does.
            ensure!(message.contains(" its gzip "), "{message}");
        }
    }
    let message = outcome(&env, "report", "small cut")?["error"]["message"].to_string();
    ensure!(message.contains("s3://etl/small cut: its gzip data ends too early (at"), "{message}");
    Ok(())
}

#[apply(load_test)]
async fn packed_objects_wait_for_the_space_that_they_unpack_to(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    let mut all = hive::Sums::default();
    for number in 0..8 {
        let (text, sums) = hive::object(number * 5000, (number + 1) * 5000);
        ensure!(sums.bytes > 300 * 1024);
        env.put(&number.to_string(), gzip(&text)?)?;
        all.rows += sums.rows;
        all.checksum += sums.checksum;
    }
    // One fits, and two of them do not.
    let args = ["--preset", "hive", "--staging-budget", "700KiB", "--no-split"];
    load(&env, 0, &args).await?;
    ensure_sums(&env, &all).await
}

#[apply(load_test)]
async fn a_bomb_is_stopped_by_the_staging_budget(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (line LONGTEXT)").await?;
    let bomb = gzip(&gzip(&b"a\n".repeat(16 << 20))?)?;
    ensure!(bomb.len() < 16 * 1024, "{}", bomb.len());
    env.put("bomb", bomb)?;
    env.put("text", "b\n")?;
    let ended = load(&env, 3, &["--staging-budget", "1MiB", "--no-split"]).await?;
    expect_failure(&env, "report", "bomb", "object_too_large")?;
    ended.says("s3://etl/bomb: what it unpacks to does not fit into the staging budget of 1")?;
    ensure_values(&env.schema, "SELECT line FROM t", &["b"]).await
}

#[apply(load_test)]
async fn errors_of_the_text_count_its_lines(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, v VARCHAR(9))").await?;
    env.put("quote", gzip(b"1,a\n2,\"b\"c\n")?)?;
    env.put("value", gzip(b"1,a\nx,b\n")?)?;
    env.put("tar", gzip(&[&[0; 257][..], b"ustar\x0000", &[0; 247]].concat())?)?;
    env.put("thrice", gzip(&gzip(&gzip(b"1,a\n")?)?)?)?;
    let ended = load(&env, 3, &["--preset", "csv"]).await?;
    expect_failure(&env, "report", "quote", "malformed")?;
    let message = outcome(&env, "report", "quote")?["error"]["message"].to_string();
    ensure!(
        message.contains("line 2, column ") && message.contains(" (in its gzip content)"),
        "{message}"
    );
    expect_failure(&env, "report", "value", "bad_rows")?;
    ensure!(outcome(&env, "report", "value")?["error"]["rows"][0]["line"] == 2);
    ended.says("this is a tar archive, not delimited text (in its gzip content)")?;
    ended.says("this is gzip data, not delimited text (in its gzip+gzip content)")?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn a_sample_of_a_packed_object_is_checked(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    env.put("a", gzip(&hive::object(0, 50_000).0)?)?;
    env.put("b", gzip(&hive::object(0, 10).0)?)?;
    let ended = env
        .run(&["check", "s3://etl/", "--table", "t", "--preset", "hive", "--sample", "5"])
        .await?;
    ended.expect(0)?;
    ensure!(ended.summary("rows")? == "10", "{ended}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}

/// Stores that unpack such objects by themselves send them as they are if the request accepts gzip.
/// One of them changes the header on its way, so it must not be signed.
#[apply(load_test)]
async fn objects_are_asked_for_as_they_are_stored(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT)").await?;
    env.put("a", gzip(b"1\n")?)?;
    env.run(&["load", "s3://etl/a", "--table", "t"]).await?.expect(0)?;
    for operation in [Operation::HeadObject, Operation::GetObject] {
        let requests = env.s3.log().of(operation);
        ensure!(!requests.is_empty());
        for request in requests {
            let signed = request.authorization.as_deref().unwrap_or_default();
            ensure!(
                request.accept_encoding.as_deref() == Some("gzip")
                    && signed.contains("SignedHeaders=")
                    && !signed.contains("accept-encoding"),
                "{request:?}"
            );
        }
    }
    ensure_values(&env.schema, "SELECT id FROM t", &["1"]).await
}

/// Whatever is left of a magic number is no text, and an empty file of Hadoop is one block.
#[apply(load_test)]
async fn an_object_that_is_cut_in_its_first_bytes_is_said_to_end_too_early(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (line VARCHAR(9)) CHARSET latin1").await?;
    for (key, bytes) in [
        ("gzip", &b"\x1f\x8b"[..]),
        ("zstd", b"\x28\xb5\x2f"),
        ("xz", b"\xfd7zX"),
        ("lz4", b"\x04\x22"),
        ("snappy", b"\xff\x06\0\0sNaP"),
        ("bzip2", b"BZh91AY"),
    ] {
        env.put(key, bytes.to_vec())?;
    }
    env.put("empty file", vec![0; 4])?;
    load(&env, 3, &["--preset", "csv-unix", "--charset", "latin1"]).await?;
    for codec in ["gzip", "zstd", "xz", "lz4", "snappy", "bzip2"] {
        expect_failure(&env, "report", codec, "malformed")?;
        let message = outcome(&env, "report", codec)?["error"]["message"].to_string();
        let says = format!("s3://etl/{codec}: its {codec} data ends too early (at byte ");
        ensure!(message.contains(&says), "{message}");
    }
    let line = outcome(&env, "report", "empty file")?;
    ensure!(line["codec"] == "hadoop-snappy" && line["rows"] == 0, "{line}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}
