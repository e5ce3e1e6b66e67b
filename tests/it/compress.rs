//! Compression of what is sent to the server: the same rows in fewer bytes, and only on request or
//! on a long path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::{TestEnv, finish};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::servers::{Server, ServerKind};

/// Counts the bytes that go to the server, and delays each of its answers.
struct Counter {
    port: u16,
    sent: Arc<AtomicU64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Counter {
    async fn start(server_port: u16, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let sent: Arc<AtomicU64> = Arc::default();
        let count = Arc::clone(&sent);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, server_port, Arc::clone(&count), delay));
            }
        });
        Ok(Self { port, sent, accepting })
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass_on(
    client: TcpStream,
    server_port: u16,
    sent: Arc<AtomicU64>,
    delay: Duration,
) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server_port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let mut block = vec![0; 64 * 1024];
        loop {
            let length = from_client.read(&mut block).await?;
            sent.fetch_add(length as u64, Ordering::Relaxed);
            to_server.write_all(&block[..length]).await?;
            if length == 0 {
                return anyhow::Ok(());
            }
        }
    };
    let back = async {
        let mut block = vec![0; 64 * 1024];
        loop {
            let length = from_server.read(&mut block).await?;
            tokio::time::sleep(delay).await;
            to_client.write_all(&block[..length]).await?;
            if length == 0 {
                return anyhow::Ok(());
            }
        }
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}

/// Loads everything through a proxy, and returns the number of bytes that went through.
async fn sent(env: &TestEnv, delay: Duration, args: &[&str]) -> Result<(u64, String)> {
    let counter = Counter::start(env.server.port(), delay).await?;
    let mut command =
        env.command(["load", "s3://etl/", "--table", "t", "--preset", "hive", "--force"]);
    command.args(["--port", &counter.port.to_string()]).args(args);
    let ended = finish(command.spawn()?).await?;
    ended.expect(0)?;
    Ok((counter.sent.load(Ordering::Relaxed), ended.stderr))
}

#[apply(load_test)]
async fn compression_sends_fewer_bytes_and_the_same_rows(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    // More than one packet of the protocol can hold, in one statement.
    let (object, sums) = hive::object(0, 220_000);
    ensure!(sums.bytes > 17 << 20);
    env.put("1", object)?;
    for (compress, is_compressed) in [("zlib", true), ("off", false), ("auto", false)] {
        env.schema.exec("TRUNCATE TABLE t").await?;
        let args = ["--compress", compress, "--no-split", "--ssl-mode", "DISABLED"];
        let (sent_bytes, log) = sent(&env, Duration::ZERO, &args).await?;
        let found: (u64, u64) = env.schema.query_one(&hive::checksum_query("t")).await?;
        ensure!(found == (sums.rows, sums.checksum), "{compress}: {found:?}");
        let is_fewer = sent_bytes < sums.bytes / 2;
        ensure!(is_fewer == is_compressed, "{compress}: {sent_bytes} bytes for {}", sums.bytes);
        ensure!(
            log.contains("the connection to the server is compressed") == is_compressed,
            "{log}"
        );
    }
    Ok(())
}

#[apply(load_test)]
async fn compression_is_chosen_by_itself_where_the_server_is_far(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    let (object, sums) = hive::object(0, 10_000);
    env.put("1", object)?;
    let (sent_bytes, log) =
        sent(&env, Duration::from_millis(15), &["--ssl-mode", "DISABLED"]).await?;
    ensure!(sent_bytes < sums.bytes / 2, "{sent_bytes} bytes for {}\n{log}", sums.bytes);
    let found: (u64, u64) = env.schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (sums.rows, sums.checksum), "{found:?}");
    Ok(())
}

#[apply(load_test)]
async fn compression_works_with_encryption_and_a_password(env: TestEnv) -> Result<()> {
    let server = Server::start(env.server.kind(), &["--tls"])?;
    let schema = server.schema_with_password(Some("a 'secret")).await?;
    schema.exec(&hive::create_table("t")).await?;
    let (object, sums) = hive::object(0, 10_000);
    env.put("1", object)?;
    let counter = Counter::start(server.port(), Duration::ZERO).await?;
    let mut command = env.command([
        "load",
        "s3://etl/",
        "--table",
        "t",
        "--preset",
        "hive",
        "--compress",
        "zlib",
    ]);
    command
        .args(["--ssl-mode", "REQUIRED", "--port", &counter.port.to_string()])
        .env("DATABASE_URL", schema.url());
    finish(command.spawn()?).await?.expect(0)?;
    let sent_bytes = counter.sent.load(Ordering::Relaxed);
    ensure!(sent_bytes < sums.bytes / 2, "{sent_bytes} bytes for {}", sums.bytes);
    let found: (u64, u64) = schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (sums.rows, sums.checksum), "{found:?}");
    if env.server.kind() == ServerKind::Mysql {
        // A server that does not offer compression is reported.
        let plain =
            Server::start(ServerKind::Mysql, &["--protocol-compression-algorithms=uncompressed"])?;
        let schema = plain.schema().await?;
        schema.exec(&hive::create_table("t")).await?;
        let mut command = env.command(["load", "s3://etl/", "--table", "t", "--preset", "hive"]);
        command.args(["--compress", "zlib"]).env("DATABASE_URL", schema.url());
        let ended = finish(command.spawn()?).await?;
        ended.expect(0)?;
        ended.says("the server does not offer zlib compression")?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_server_or_proxy_whose_greeting_offers_no_compression_gets_plain_packets(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    env.put("1", hive::object(0, 100).0)?;
    // The proxy reads the packets, and waits for the rest of one that it misunderstands.
    let proxy = Proxy::start(env.server.port()).await?;
    let ends = proxy.times(u32::MAX, Step::InfileEnd, Break::Watch);
    let args = ["--preset", "hive", "--compress", "zlib", "--max-attempts", "1"];
    finish(env.load_through(proxy.port(), &args).spawn()?).await?.expect(0)?;
    ensure!(env.count("t").await? == 100 && ends.count() == 1, "{} files", ends.count());
    Ok(())
}

#[apply(load_test)]
async fn bytes_that_cannot_be_compressed_arrive_all_the_same(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (v MEDIUMBLOB)").await?;
    let mut random = fastrand::Rng::with_seed(7);
    let value: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .filter(|byte| !matches!(byte, b'\\' | b'\n' | b'\t'))
        .take(3 << 20)
        .collect();
    env.put("1", [&value[..], b"\n"].concat())?;
    let args =
        ["--preset", "mysql", "--charset", "binary", "--compress", "zlib", "--max-attempts", "2"];
    env.load_ending(0, "t", &args).await?;
    let found: Vec<u8> = env.schema.query_one("SELECT v FROM t").await?;
    ensure!(found == value, "{} bytes are other ones", found.len());
    Ok(())
}
