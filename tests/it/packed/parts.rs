//! Large packed objects: split by what they unpack to.

use std::io::Write as _;

use anyhow::{Result, ensure};

use super::{gzip, load};
use crate::registry::{apply, load_test};
use crate::support::lines::{expect_failure, outcome};
use crate::support::numbered_rows;
use crate::support::numbered_rows::expect_rows;
use crate::support::program::{TestEnv, finish, signal};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::s3::{Algorithm, Object};

const PART: [&str; 2] = ["--part-size", "16KiB"];
const ROWS: u64 = 5000;

fn text(rows: u64) -> Vec<u8> {
    numbered_rows::rows(rows).into_bytes()
}

async fn table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT NOT NULL, v VARCHAR(40) NOT NULL)").await
}

async fn parts(env: &TestEnv) -> Result<u64> {
    env.schema.query_one("SELECT COUNT(*) FROM s3_to_mysql_parts WHERE loaded_at IS NOT NULL").await
}

#[apply(load_test)]
async fn the_header_of_a_packed_object_in_parts_is_checked_however_large_its_blocks_are(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT NOT NULL, qty INT NOT NULL)").await?;
    let mut random = fastrand::Rng::with_seed(3);
    let rows = (0..100_000).map(|id| format!("{},{id}\n", random.u32(..1 << 30)));
    let text = format!("qty,id\n{}", rows.collect::<String>()).into_bytes();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(&text)?;
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 9);
    xz.write_all(&text)?;
    for (codec, packed) in [
        ("bzip2", bzip2.finish()?),
        ("xz", xz.finish()?),
        ("zstd", zstd::stream::encode_all(&text[..], 22)?),
        ("gzip", gzip(&text)?),
    ] {
        env.put("a", packed)?;
        let args = ["--preset", "csv", "--ignore-lines", "1", "--part-size", "256KiB"];
        load(&env, 3, &args).await?;
        let message = outcome(&env, "report", "a")?["error"]["message"].to_string();
        ensure!(message.contains("header"), "{codec}: {message}");
        ensure!(env.count("t").await? == 0, "{codec}");
    }
    Ok(())
}

#[apply(load_test)]
async fn a_packed_object_is_split_by_what_it_unpacks_to(env: TestEnv) -> Result<()> {
    table(&env).await?;
    let text = text(ROWS);
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
    xz.write_all(&text)?;
    // The first is smaller than a part until it is unpacked, and the second is not.
    let packed = [
        ("zstd", zstd::stream::encode_all(&text[..], 19)?),
        ("gzip", gzip(&text)?),
        ("gzip+gzip", gzip(&gzip(&text)?)?),
        ("xz", xz.finish()?),
    ];
    ensure!(packed[0].1.len() < 16 * 1024 && packed[1].1.len() > 16 * 1024);
    for (codec, packed) in packed {
        env.put("a", Object::new(packed).with_checksum(Algorithm::Crc64Nvme))?;
        load(&env, 0, &PART).await?;
        expect_rows(&env, ROWS).await?;
        ensure!(parts(&env).await? == (text.len() as u64).div_ceil(16 * 1024));
        let line = outcome(&env, "report", "a")?;
        ensure!(
            line["codec"] == codec && line["verified"] == "checksum" && line["rows"] == ROWS,
            "{line}"
        );
        let ended = load(&env, 0, &PART).await?;
        ensure!(ended.summary("already loaded")? == "1", "{ended}");
        env.start_afresh("t").await?;
        env.schema.exec("DELETE FROM s3_to_mysql_parts").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_packed_object_with_missing_parts_is_completed(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("a", gzip(&text(ROWS))?)?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.after(4, Step::LoadCommit, Break::Hold);
    let args = [&PART[..], &["--load-concurrency", "1"]].concat();
    let child = env.load_through(proxy.port(), &args).spawn()?;
    held.wait().await?;
    signal(&child, "KILL")?;
    finish(child).await?;
    held.release();
    // A gap before the loaded parts, and one after them.
    env.schema
        .exec(
            "DELETE t, parts FROM t JOIN s3_to_mysql_parts AS parts \
             WHERE part_number = 1 AND id > rows_before AND id <= rows_before + row_count",
        )
        .await?;
    load(&env, 0, &PART).await?;
    expect_rows(&env, ROWS).await?;
    // All parts are there, and only the object's own row lacks.
    env.schema.exec("UPDATE s3_to_mysql_objects SET state = 'partial', loaded_at = NULL").await?;
    load(&env, 0, &PART).await?;
    expect_rows(&env, ROWS).await
}

#[apply(load_test)]
async fn the_last_part_of_a_damaged_packed_object_is_never_loaded(env: TestEnv) -> Result<()> {
    table(&env).await?;
    // Too large for its end to be seen before its parts are loaded.
    let text = text(10 * ROWS);
    let packed = gzip(&text)?;
    ensure!(packed.len() > 96 * 1024);
    let last = packed.len() - 6;
    for (how, damaged) in [
        ("has a member with a wrong checksum", {
            let mut flipped = packed.clone();
            flipped[last] ^= 1;
            flipped
        }),
        ("ends too early", packed[..packed.len() - 1].to_vec()),
        ("is followed by bytes that are no gzip data", [&packed[..], b"x"].concat()),
    ] {
        env.put("a", damaged)?;
        for _ in 0..2 {
            load(&env, 3, &PART).await?;
            expect_failure(&env, "report", "a", "malformed")?;
            let message = outcome(&env, "report", "a")?["error"]["message"].to_string();
            ensure!(message.contains(how) && message.contains(" parts of the object"), "{message}");
            let all = (text.len() as u64).div_ceil(16 * 1024);
            ensure!(parts(&env).await? == all - 1);
        }
        env.start_afresh("t").await?;
        env.schema.exec("DELETE FROM s3_to_mysql_parts").await?;
    }
    Ok(())
}
