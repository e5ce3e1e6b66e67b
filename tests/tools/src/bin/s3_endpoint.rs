//! Serves a folder, or generated objects, as an S3 bucket: for the demo, for benchmarks, and for
//! experiments.
//!
//! ```text
//! s3_endpoint --bucket etl --folder data/ [--port 9000] [--anonymous]
//! s3_endpoint --bucket etl --generate 10000x7500 [--prefix seed/]
//! ```
//!
//! When it is ready, it prints one line to standard output:
//! `ready http://127.0.0.1:PORT access_key=... secret_key=...`, with the credentials that it
//! accepts. It stops when its standard input ends, or on SIGTERM or SIGINT, so it cannot outlive a
//! script that started it with a pipe.

use anyhow::{Context as _, bail};
use std::io::Write as _;
use std::net::SocketAddr;
use test_tools::s3::{self, Backend, Endpoint, Object};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: s3_endpoint --bucket NAME \
                     (--folder DIR | --generate COUNTxBYTES [--prefix PREFIX]) \
                     [--port PORT] [--anonymous]";

/// A meaningless line of text, which a generated object repeats.
const LINE: &[u8] = b"1000001\x01SKU-0001\x012026-01\x0112.50\x01generated for a benchmark\n";

struct Arguments {
    bucket: String,
    folder: Option<String>,
    generate: Option<(u64, u64)>,
    prefix: String,
    port: u16,
    is_anonymous: bool,
}

// One thread, because the endpoint shares the machine with what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = parse(std::env::args().skip(1))?;
    let mut backend = Backend::new();
    if let Some(folder) = &arguments.folder {
        if !std::path::Path::new(folder).is_dir() {
            bail!("{folder} is not a folder");
        }
        backend = backend.with_folder(&arguments.bucket, folder);
    }
    if let Some((object_count, object_bytes)) = arguments.generate {
        // All objects share one block: a clone is a reference.
        let block = bytes::Bytes::from(LINE.repeat(16 * 1024));
        for number in 0..object_count {
            let key = format!("{}part-{number:08}", arguments.prefix);
            backend.put(&arguments.bucket, &key, Object::repeated(block.clone(), object_bytes))?;
        }
    }
    if arguments.is_anonymous {
        backend.allow_anonymous(&arguments.bucket);
    }
    let object_count = backend.warm().await?;
    let endpoint = Endpoint::start_on(backend, SocketAddr::from(([127, 0, 0, 1], arguments.port)))?;
    eprintln!("serving {object_count} objects as s3://{}/", arguments.bucket);
    writeln!(
        std::io::stdout(),
        "ready {} access_key={} secret_key={}",
        endpoint.url(),
        s3::ACCESS_KEY,
        s3::SECRET_KEY
    )
    .context("cannot write the ready line")?;

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        () = input_ended() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    endpoint.stop().await;
    Ok(())
}

/// Waits for the end of standard input on a separate thread, which does not keep the process alive.
async fn input_ended() {
    let (ended, wait) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Input that cannot be read has ended as well.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(ended);
    });
    let _ = wait.await;
}

fn parse(mut given: impl Iterator<Item = String>) -> anyhow::Result<Arguments> {
    let mut arguments = Arguments {
        bucket: String::new(),
        folder: None,
        generate: None,
        prefix: String::new(),
        port: 0,
        is_anonymous: false,
    };
    while let Some(name) = given.next() {
        let mut value = || given.next().with_context(|| format!("{name} needs a value\n{USAGE}"));
        match name.as_str() {
            "--bucket" => arguments.bucket = value()?,
            "--folder" => arguments.folder = Some(value()?),
            "--prefix" => arguments.prefix = value()?,
            "--port" => {
                arguments.port = value()?.parse().context("--port takes a number up to 65535")?;
            }
            "--anonymous" => arguments.is_anonymous = true,
            "--generate" => {
                let text = value()?;
                let (count, bytes) =
                    text.split_once('x').context("--generate takes COUNTxBYTES")?;
                let number = |text: &str| text.parse().context("--generate takes COUNTxBYTES");
                arguments.generate = Some((number(count)?, number(bytes)?));
            }
            _ => bail!("unknown argument {name}\n{USAGE}"),
        }
    }
    if arguments.bucket.is_empty() || arguments.folder.is_some() == arguments.generate.is_some() {
        bail!("{USAGE}");
    }
    Ok(arguments)
}
