//! The peak of memory with packed objects, whatever they need to be unpacked.
//!
//! The long form packs by the commands `gzip`, `zstd` and `xz`, and loads one object of each and
//! one large gzip object in parts. It prints the peak of each run:
//!
//! ```text
//! export S3_TO_MYSQL_TEST_MEMORY_MIB=4096    # what the large object unpacks to
//! cargo test --test it -- packed::memory --nocapture
//! ```

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::gzip;
use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, peak_kib};

/// The peaks of a debug build, whose program alone takes more than that of a package.
const PEAK_KIB: u64 = 96 * 1024;
/// The time between two looks at the memory, of which the system keeps the peak.
const PEAK_INTERVAL: Duration = Duration::from_millis(20);
/// The size of the long form's texts, more than the window of any packer.
const TEXT_MIB: usize = 160;

/// Returns text of about this size whose rows are hard to pack, and the number of rows.
fn text(mib: usize, seed: u64) -> (String, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut text, mut rows) = (String::with_capacity((mib << 20) + 200), 0_u64);
    while text.len() < mib << 20 {
        let _ = write!(text, "{rows}\t");
        for _ in 0..10 {
            let _ = write!(text, "{:016x}", random.u64(..));
        }
        text.push('\n');
        rows += 1;
    }
    (text, rows)
}

fn pack(command: &str, text: &str, times: usize) -> Result<Vec<u8>> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    let text = text.to_owned();
    let writer =
        std::thread::spawn(move || (0..times).try_for_each(|_| input.write_all(text.as_bytes())));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    ensure!(output.status.success(), "{command}");
    Ok(output.stdout)
}

/// Loads the one object, and returns the peak in KiB.
async fn peak(env: &TestEnv, packed: Vec<u8>, rows: u64, args: &[&str]) -> Result<u64> {
    env.put("a", packed)?;
    // The server keeps next to nothing, because its time is not the question.
    let all = ["load", "s3://etl/", "--table", "t", "--columns", "id,@payload"];
    // It may run for longer than other tests allow.
    let mut child = env.command([&all[..], args].concat()).stdout(Stdio::null()).spawn()?;
    let id = child.id().context("it has ended")?;
    let mut most_kib = 0;
    let status = loop {
        most_kib = most_kib.max(peak_kib(id).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        tokio::time::sleep(PEAK_INTERVAL).await;
    };
    ensure!(status.success() && most_kib > 0, "{status}, {most_kib} KiB");
    ensure!(env.count("t").await? == rows);
    env.start_afresh("t").await?;
    env.schema.exec("DELETE FROM s3_to_mysql_parts").await?;
    Ok(most_kib)
}

#[apply(load_test)]
async fn unpacking_takes_no_more_memory_than_is_promised(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id BIGINT)").await?;
    let large_mib: Option<usize> = match std::env::var("S3_TO_MYSQL_TEST_MEMORY_MIB") {
        Ok(text) => Some(text.parse().context("S3_TO_MYSQL_TEST_MEMORY_MIB is no number")?),
        Err(_) => None,
    };
    let Some(large_mib) = large_mib else {
        let (text, rows) = text(12, 1);
        for packed in [gzip(text.as_bytes())?, zstd::stream::encode_all(text.as_bytes(), 3)?] {
            let most_kib = peak(&env, packed, rows, &["--part-size", "2MiB"]).await?;
            ensure!(most_kib < PEAK_KIB, "the run took {most_kib} KiB of memory");
        }
        return Ok(());
    };
    let kind = env.server.kind();
    let (some, rows) = text(TEXT_MIB, 1);
    for command in
        ["gzip -1 -c", "zstd -q -3 -c", "zstd -q -3 --long=27 -c", "xz -0 -c", "xz -9 -T2 -c"]
    {
        let packed = pack(command, &some, 1)?;
        let size_mib = packed.len() >> 20;
        let most_kib = peak(&env, packed, rows, &[]).await?;
        println!("{kind}: {command}: {TEXT_MIB} MiB in {size_mib} MiB: peak {most_kib} KiB");
    }
    let (some, rows) = text(16, 2);
    let times = large_mib / 16;
    let packed = pack("gzip -1 -c", &some, times)?;
    let size_mib = packed.len() >> 20;
    let most_kib = peak(&env, packed, rows * times as u64, &[]).await?;
    println!("{kind}: gzip, {large_mib} MiB in {size_mib} MiB, in parts: peak {most_kib} KiB");
    Ok(())
}
