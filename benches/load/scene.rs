//! The environment of a benchmark: a server, an endpoint, and if required a slow path to both. Each
//! is a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Row, Value};
use test_tools::s3::{ACCESS_KEY, Backend, Endpoint, Fault, REGION, SECRET_KEY, Times};
use tokio::runtime::Runtime;

use super::link::{Link, Shape};
use super::measure::{Run, cpu_seconds};
use super::servers::{Server, ServerKind};
use super::workload::Workload;

pub(crate) const BUCKET: &str = "etl";
/// The size up to which objects are served from memory, because the endpoint's CPU time is taken
/// from the same machine.
const IN_MEMORY_BYTES: u64 = 200_000_000;

/// The distance to the store and the database.
#[derive(Clone, Copy, Default)]
pub(crate) struct Distance {
    /// The delay of every response of the store.
    pub(crate) answer_delay: Duration,
    /// The path to the store, and one like it to the database.
    pub(crate) path: Option<Shape>,
}

pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) runtime: Runtime,
    endpoint: Helper,
    links: Option<(Helper, Helper)>,
}

impl Scene {
    /// Starts a server with an empty database, and an account with all privileges on it.
    /// [`Scene::serve`] starts the endpoint.
    pub(crate) fn start(kind: ServerKind) -> Result<(Server, Runtime)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = Server::start(kind, &[])?;
        runtime.block_on(async {
            let mut conn = server.root().await?;
            for statement in
                ["CREATE DATABASE bench", "CREATE USER loader", "GRANT ALL ON bench.* TO loader"]
            {
                conn.query_drop(statement).await?;
            }
            conn.disconnect().await?;
            anyhow::Ok(())
        })?;
        Ok((server, runtime))
    }

    /// Serves the workload's objects.
    pub(crate) fn serve(
        server: Server,
        runtime: Runtime,
        workload: &Workload,
        distance: Distance,
    ) -> Result<Self> {
        let delay = distance.answer_delay.as_millis().to_string();
        let folder = workload.folder.to_str().context("the folder's name is not UTF-8")?;
        let endpoint = Helper::start(&["--endpoint", folder, &delay])?;
        let link = |port: u16, shape: Shape| {
            let round_trip = shape.round_trip.as_millis().to_string();
            let rate = shape.bytes_per_second.unwrap_or(0).to_string();
            Helper::start(&["--link", &port.to_string(), &round_trip, &rate])
        };
        let links = match distance.path {
            None => None,
            Some(shape) => Some((link(endpoint.port, shape)?, link(server.port(), shape)?)),
        };
        Ok(Self { server, runtime, endpoint, links })
    }

    /// Returns the URL of the store, as clients see it.
    pub(crate) fn endpoint_url(&self) -> String {
        let port = self.links.as_ref().map_or(self.endpoint.port, |(to_store, _)| to_store.port);
        format!("http://127.0.0.1:{port}")
    }

    /// Returns the port of the database, as clients see it.
    pub(crate) fn database_port(&self) -> u16 {
        self.links.as_ref().map_or(self.server.port(), |(_, to_database)| to_database.port)
    }

    /// Returns the environment of a client.
    pub(crate) fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL", self.endpoint_url()),
        ]
    }

    /// Resets the table, runs a contender, and checks the table against the generator's sums.
    pub(crate) fn measured(
        &self,
        workload: &Workload,
        is_checked: bool,
        run: impl FnOnce() -> Result<Run>,
    ) -> Result<Run> {
        let mut conn = self.runtime.block_on(self.server.root())?;
        for statement in &workload.prepare {
            self.runtime.block_on(conn.query_drop(statement))?;
        }
        for name in ["objects", "parts", "jobs", "failures", "runs"] {
            // It does not exist before the first run.
            let _ = self
                .runtime
                .block_on(conn.query_drop(format!("TRUNCATE TABLE bench.s3_to_mysql_{name}")));
        }
        let before = (cpu_seconds(self.server.pid())?, cpu_seconds(self.endpoint.child.id())?);
        let mut figures = run()?;
        figures.server_cpu_seconds = cpu_seconds(self.server.pid())? - before.0;
        figures.endpoint_cpu_seconds = cpu_seconds(self.endpoint.child.id())? - before.1;
        if is_checked {
            let found: Vec<Row> = self.runtime.block_on(conn.query(&workload.check))?;
            let found: Vec<String> = found.into_iter().map(shown).collect();
            ensure!(
                found == workload.expected,
                "the table holds {found:?}, not {:?}",
                workload.expected
            );
        }
        self.runtime.block_on(conn.disconnect())?;
        Ok(figures)
    }
}

fn shown(row: Row) -> String {
    let values = row.unwrap().into_iter().map(|value| match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => format!("{other:?}"),
    });
    values.collect::<Vec<_>>().join(" ")
}

/// A child process of this program, as an endpoint or a link, so that its CPU time is counted
/// separately. It ends when its standard input does.
struct Helper {
    child: Child,
    port: u16,
}

impl Helper {
    fn start(args: &[&str]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut port = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut port)?;
        let port = port.trim().parse().with_context(|| format!("{args:?} did not start"))?;
        Ok(Self { child, port })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // An error here has no one to be reported to.
        let _ = self.child.wait();
    }
}

/// Serves the folder as the bucket until standard input ends.
pub(crate) fn serve_endpoint(folder: &str, answer_delay_ms: u64) -> Result<()> {
    until_input_ends(async {
        let backend = if folder_bytes(Path::new(folder))? < IN_MEMORY_BYTES {
            let backend = Backend::new().with_bucket(BUCKET);
            put_files(&backend, Path::new(folder), Path::new(folder))?;
            backend
        } else {
            Backend::new().with_folder(BUCKET, folder)
        };
        backend.warm().await?;
        let endpoint = Endpoint::start(backend)?;
        if answer_delay_ms > 0 {
            let delay = Fault::Delay(Duration::from_millis(answer_delay_ms));
            endpoint.faults().on_everything(Times::Always, delay);
        }
        let port = endpoint.address().port();
        Ok((endpoint, port))
    })
}

/// Serves a link to the port until standard input ends.
pub(crate) fn serve_link(port: u16, round_trip_ms: u64, bytes_per_second: u64) -> Result<()> {
    let shape = Shape {
        round_trip: Duration::from_millis(round_trip_ms),
        bytes_per_second: Some(bytes_per_second).filter(|rate| *rate > 0),
    };
    until_input_ends(async {
        let link = Link::start(port, shape).await?;
        let port = link.port();
        Ok((link, port))
    })
}

fn until_input_ends<T>(start: impl Future<Output = Result<(T, u16)>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (_serving, port) = start.await?;
        writeln!(std::io::stdout(), "{port}")?;
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
            .await??;
        Ok(())
    })
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn put_files(backend: &Backend, root: &Path, folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            put_files(backend, root, &path)?;
        } else {
            let key = path.strip_prefix(root)?.to_str().context("a name is not UTF-8")?.to_owned();
            backend.put(BUCKET, &key, std::fs::read(path)?)?;
        }
    }
    Ok(())
}
