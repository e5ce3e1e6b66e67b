//! Objects of packers that are not ours, whole and damaged, beside the plain object.
//!
//! Whole, each gives the rows of the plain object, in one transaction and in parts. Damaged, by a
//! cut at every byte or by flipped bits, it fails, or gives exactly those rows. There are only the
//! exceptions that the format makes: data without a checksum may give other rows, and data that is
//! cut between two members, frames or chunks is whole.
//!
//! An ordinary run packs by libraries. The long form packs by commands, which Debian's packages
//! `pigz tabix zstd xz-utils bzip2 pbzip2 lbzip2 lz4 7zip python3-snappy` hold, and flips as many
//! bits of each object as it is told to. The `python3` of the path must have `python-snappy` of
//! `PyPI`, because Debian's cannot write frames:
//!
//! ```text
//! export S3_TO_MYSQL_TEST_PACKER_FLIPS=200 S3_TO_MYSQL_TEST_PACKER_SEED=7
//! cargo test --test it -- packers:: --nocapture
//! ```
//!
//! It does not notice damage that the checksum of the store shows, because the test's objects have
//! none.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::{gzip, load};
use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::TestEnv;

const FLIPS: &str = "S3_TO_MYSQL_TEST_PACKER_FLIPS";
const SEED: &str = "S3_TO_MYSQL_TEST_PACKER_SEED";

/// The proof that the format itself has of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// It proves every byte.
    Whole,
    /// Data that is cut between two members, frames or chunks is whole.
    Pieces,
    /// It has no checksum, so a flipped bit may give another text.
    Length,
    /// Neither a checksum nor an end.
    Chunks,
}
use Proof::{Chunks, Length, Pieces, Whole};

/// The commands, which pack standard input to standard output.
const COMMANDS: &[(&str, &str, Proof)] = &[
    ("gzip", "gzip -1 -c", Whole),
    ("gzip", "gzip -9 -c", Whole),
    ("gzip", "pigz -p 2 -b 128 -c", Whole),
    ("gzip", "pigz -i -9 -c", Whole),
    ("gzip", "bgzip -c", Pieces),
    ("gzip", "7zz a -tgzip -si -so -an", Whole),
    (
        "gzip",
        "(for row in 1 2 3; do IFS= read -r line; printf '%s\\n' \"$line\"; done | gzip -c; \
      gzip -c; gzip -c < /dev/null)",
        Pieces,
    ),
    (
        "gzip",
        "python3 -c 'import gzip,sys; \
      sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read()))'",
        Whole,
    ),
    ("zstd", "zstd -q -3 -c", Whole),
    ("zstd", "zstd -q -19 --long=27 -c", Whole),
    ("zstd", "zstd -q --ultra -22 -T2 -c", Whole),
    ("zstd", "zstd -q --no-check -c", Length),
    ("zstd", "pzstd -q -p 2 -c", Pieces),
    ("bzip2", "bzip2 -c", Whole),
    ("bzip2", "pbzip2 -p2 -b1 -c", Pieces),
    ("bzip2", "lbzip2 -n 2 -c", Whole),
    ("bzip2", "7zz a -tbzip2 -si -so -an", Whole),
    ("xz", "xz -6 -c", Whole),
    ("xz", "xz -9 -c --check=sha256", Whole),
    ("xz", "xz -T 2 --block-size=65536 -c", Whole),
    ("xz", "7zz a -txz -si -so -an", Whole),
    (
        "xz",
        "(for row in 1 2 3; do IFS= read -r line; printf '%s\\n' \"$line\"; done | xz -c; \
      xz -c)",
        Pieces,
    ),
    ("lz4", "lz4 -q -c", Whole),
    ("lz4", "lz4 -q -9 -BD -B4 -BX -c", Whole),
    ("lz4", "lz4 -q --no-frame-crc -c", Length),
    ("snappy", "python3 -m snappy -c -t framing", Chunks),
    ("hadoop-snappy", "/usr/bin/python3 -m snappy -c -t hadoop_snappy", Chunks),
    ("gzip+gzip", "gzip -c | gzip -c", Whole),
    ("gzip+zstd", "zstd -q -c | gzip -c", Whole),
];

/// A text as one packer packed it.
struct Packed {
    codec: &'static str,
    packer: String,
    proof: Proof,
    bytes: Vec<u8>,
}

fn run(command: &str, text: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    let text = text.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&text));
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() && !output.stdout.is_empty(), "{command}: {said}");
    writer.join().map_err(|_| anyhow::anyhow!("{command}: the writer panicked"))??;
    Ok(output.stdout)
}

fn pack_by_libraries(text: &[u8]) -> Result<Vec<Packed>> {
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(text)?;
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
    xz.write_all(text)?;
    let mut snappy = snap::write::FrameEncoder::new(Vec::new());
    snappy.write_all(text)?;
    let snappy = snappy.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?;
    let all = [
        ("gzip", Whole, gzip(text)?),
        ("zstd", Length, zstd::stream::encode_all(text, 3)?),
        ("bzip2", Whole, bzip2.finish()?),
        ("xz", Whole, xz.finish()?),
        ("snappy", Chunks, snappy),
    ];
    let packed = all.into_iter().map(|(codec, proof, bytes)| Packed {
        codec,
        packer: format!("the library of {codec}"),
        proof,
        bytes,
    });
    Ok(packed.collect())
}

/// Returns a text as all packers pack it.
fn pack(text: &[u8]) -> Result<Vec<Packed>> {
    if std::env::var_os(FLIPS).is_none() {
        return pack_by_libraries(text);
    }
    let packed = |&(codec, command, proof): &(&'static str, &str, Proof)| {
        Ok(Packed { codec, packer: command.to_owned(), proof, bytes: run(command, text)? })
    };
    COMMANDS.iter().map(packed).collect()
}

#[apply(load_test)]
async fn whole_objects_give_the_rows_of_the_plain_one(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    let rows = if std::env::var_os(FLIPS).is_some() { 15_000 } else { 4_000 };
    let (text, sums) = hive::object(0, rows);
    env.put("plain", text.clone())?;
    let all = pack(&text)?;
    for (number, packed) in all.iter().enumerate() {
        env.put(&format!("{number}"), packed.bytes.clone())?;
    }
    for split in [&["--no-split"][..], &["--part-size", "100KiB"]] {
        let args = [&["--preset", "hive"], split].concat();
        load(&env, 0, &args).await?;
        let lines = env.report("report")?;
        for (number, packed) in all.iter().enumerate() {
            let line =
                lines.iter().find(|line| line["key"].as_str() == Some(number.to_string().as_str()));
            let line = line.context("not in the report")?;
            ensure!(
                line["codec"] == packed.codec && line["rows"] == sums.rows,
                "{}: {line}",
                packed.packer
            );
        }
        let found: (u64, u64) = env.schema.query_one(&hive::checksum_query("t")).await?;
        let times = all.len() as u64 + 1;
        ensure!(found == (times * sums.rows, times * sums.checksum), "{found:?}");
        env.start_afresh("t").await?;
        env.schema.exec("DELETE FROM s3_to_mysql_parts").await?;
    }
    Ok(())
}

/// One damaged object.
struct Damaged {
    packer: usize,
    how: String,
    is_cut: bool,
}

/// The number of objects that one run loads.
const OBJECTS_PER_RUN: usize = 200;

#[apply(load_test)]
async fn a_damaged_object_fails_or_gives_the_rows_of_the_plain_one(env: TestEnv) -> Result<()> {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is not a number")),
        Err(_) => Ok(default),
    };
    let (flips, seed) = (number(FLIPS, 8)?, number(SEED, 1)?);
    let mut random = fastrand::Rng::with_seed(seed);
    let text: String =
        (0..40).map(|row| format!("{row},name {},{}\n", row % 7, row * row)).collect();
    let all = pack(text.as_bytes())?;
    let mut damaged: Vec<(Damaged, Vec<u8>)> = Vec::new();
    for (packer, packed) in all.iter().enumerate() {
        let step = if flips > 8 { 1 } else { 16 };
        for length in (1..packed.bytes.len()).step_by(step) {
            let how = format!("cut at {length}");
            damaged.push((Damaged { packer, how, is_cut: true }, packed.bytes[..length].to_vec()));
        }
        for _ in 0..flips {
            let mut bytes = packed.bytes.clone();
            let (at, bit) = (random.usize(..bytes.len()), random.u8(..8));
            bytes[at] ^= 1 << bit;
            let how = format!("bit {bit} of {at} flipped");
            damaged.push((Damaged { packer, how, is_cut: false }, bytes));
        }
    }
    env.schema
        .exec(
            "CREATE TABLE t (id INT NOT NULL, name VARCHAR(20) NOT NULL, square INT NOT NULL, \
             number INT NOT NULL, KEY (number))",
        )
        .await?;
    let (mut failed, mut loaded, mut open) = (0_u64, 0_u64, BTreeMap::<&str, u64>::new());
    let total = damaged.len();
    let mut rest = damaged.into_iter();
    loop {
        let now: Vec<(Damaged, Vec<u8>)> = rest.by_ref().take(OBJECTS_PER_RUN).collect();
        if now.is_empty() {
            break;
        }
        let mut cases = Vec::new();
        for (number, (case, bytes)) in now.into_iter().enumerate() {
            env.put(&number.to_string(), bytes)?;
            cases.push(case);
        }
        // An expression for the name keeps the rows of the objects apart.
        let args =
            ["--preset", "csv", "--columns", "id,name,square", "--set", "number=@object_name"];
        let ended = env.load("t", &[&args[..], &["--report", &path(&env)]].concat()).await?;
        let code = ended.code;
        let sql = "SELECT number, COUNT(*), CAST(SUM(CRC32(CONCAT_WS(',', id, name, square))) AS \
                   UNSIGNED) FROM t GROUP BY number";
        let found: Vec<(usize, u64, u64)> = env.schema.query(sql).await?;
        let found: BTreeMap<usize, (u64, u64)> =
            found.into_iter().map(|(number, rows, sum)| (number, (rows, sum))).collect();
        let prefixes = prefixes(&text);
        let statuses: BTreeMap<String, bool> = env
            .report("report")?
            .into_iter()
            .filter_map(|line| Some((line["key"].as_str()?.to_owned(), line["status"] == "loaded")))
            .collect();
        let mut is_any_failed = false;
        for (number, case) in cases.iter().enumerate() {
            let packed = &all[case.packer];
            let is_loaded = statuses.get(&number.to_string()).copied().unwrap_or(false);
            let rows = found.get(&number).copied().unwrap_or((0, 0));
            let what = || {
                format!("seed {seed}: {}, {}: {rows:?} are in the table", packed.packer, case.how)
            };
            if !is_loaded {
                ensure!(rows == (0, 0), "it failed: {}", what());
                (failed, is_any_failed) = (failed + 1, true);
                continue;
            }
            loaded += 1;
            if Some(&rows) == prefixes.last() {
                continue;
            }
            let is_open = if case.is_cut {
                matches!(packed.proof, Pieces | Chunks) && prefixes.contains(&rows)
            } else {
                matches!(packed.proof, Length) || packed.codec == "hadoop-snappy"
            };
            ensure!(is_open, "{}", what());
            *open.entry(packed.packer.as_str()).or_default() += 1;
        }
        ensure!(code == Some(if is_any_failed { 3 } else { 0 }), "{ended}");
        for number in 0..cases.len() {
            env.s3.backend().remove("etl", &number.to_string());
        }
        env.start_afresh("t").await?;
    }
    println!(
        "seed {seed}: {total} damaged objects of {} packers: {failed} failed, {loaded} loaded; \
         with other rows, as their formats leave open: {open:?}",
        all.len()
    );
    ensure!(failed > loaded, "{failed} failed, {loaded} loaded");
    Ok(())
}

fn path(env: &TestEnv) -> String {
    env.path("report").display().to_string()
}

/// Returns the number and the checksum of the first rows of the text, for each number of rows.
fn prefixes(text: &str) -> Vec<(u64, u64)> {
    let mut sums = vec![(0, 0)];
    for row in text.lines() {
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, row.as_bytes());
        let (rows, sum) = sums.last().copied().unwrap_or_default();
        sums.push((rows + 1, sum + crc));
    }
    sums
}
