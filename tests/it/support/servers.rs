//! Real MySQL and MariaDB servers for the tests.
//!
//! A [`Server`] is a private one, with its own data directory, its own port, default durability and
//! `local_infile` on. `scripts/server.sh` runs it, and stops it as soon as the pipe to that
//! script's stdin closes. So no server outlives the test process, however that ends, and its data
//! directory goes with it.
//!
//! Most tests share one server of each kind ([`shared`]) and get a fresh schema in it with an
//! ordinary account ([`Server::schema`]). A test that kills or reconfigures a server starts its
//! own.
//!
//! A server that is missing or does not start is an error that says why, never a reason to skip:
//! the error has the end of the server's log.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tempfile::TempDir;

/// The limit includes creating the pristine data directory on a machine's first run, and crash
/// recovery.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The number of log lines that go into an error.
const LOG_TAIL_LINES: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerKind {
    Mysql,
    Mariadb,
}

impl ServerKind {
    pub const ALL: [Self; 2] = [Self::Mysql, Self::Mariadb];
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        })
    }
}

/// Starts the shared servers of these kinds in parallel, and returns without waiting for them.
pub fn start_shared(kinds: &[ServerKind]) {
    for &kind in kinds {
        // A failure is kept, and reported to every test that asks for this server.
        thread::spawn(move || shared(kind).is_ok());
    }
}

/// Returns the server of this kind that the tests of this process share. The first caller starts
/// it. Blocks until it accepts connections. Never kill or reconfigure it.
pub fn shared(kind: ServerKind) -> anyhow::Result<&'static Server> {
    static MYSQL: OnceLock<Result<Server, String>> = OnceLock::new();
    static MARIADB: OnceLock<Result<Server, String>> = OnceLock::new();
    let cell = match kind {
        ServerKind::Mysql => &MYSQL,
        ServerKind::Mariadb => &MARIADB,
    };
    let started =
        cell.get_or_init(|| Server::start(kind, &[]).map_err(|error| format!("{error:#}")));
    started.as_ref().map_err(|reason| anyhow::anyhow!("{reason}"))
}

/// A running server. Dropping it kills the server and removes its data.
#[derive(Debug)]
pub struct Server {
    kind: ServerKind,
    // This field comes before the directory: the server must be gone when that is removed.
    process: Process,
    extra_options: Vec<String>,
    directory: TempDir,
    schemas: AtomicU32,
}

impl Server {
    /// Starts a server with options besides those of `scripts/server.sh`. The script recognises its
    /// own options (`--tls`) by name. Blocks until the server accepts connections, at most
    /// [`START_LIMIT`].
    pub fn start(kind: ServerKind, extra_options: &[&str]) -> anyhow::Result<Self> {
        // A short path: that of the socket in it is limited to 107 bytes.
        let directory = tempfile::Builder::new()
            .prefix("s3-to-mysql-")
            .tempdir()
            .context("no temporary directory")?;
        let extra_options: Vec<String> =
            extra_options.iter().map(|&option| option.to_owned()).collect();
        let process = Process::spawn(kind, directory.path(), None, &extra_options)?;
        Ok(Self { kind, process, extra_options, directory, schemas: AtomicU32::new(0) })
    }

    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// Returns the version's digits, as in `9.7.4`.
    pub fn version(&self) -> &str {
        &self.process.ready.version
    }

    /// Returns the port, which [`Server::restart`] keeps.
    pub fn port(&self) -> u16 {
        self.process.ready.port
    }

    pub fn socket(&self) -> &Path {
        &self.process.ready.socket
    }

    /// Returns the process id of the server itself, not of the script.
    pub fn pid(&self) -> u32 {
        self.process.ready.pid
    }

    /// Returns the directory in which the server itself may read and write files (`LOAD DATA
    /// INFILE` without `LOCAL`).
    pub fn files(&self) -> PathBuf {
        self.data_dir().join("files")
    }

    /// Returns the directory of `ca.pem`, `client-cert.pem` and `client-key.pem`, if the server
    /// runs with `--tls`.
    pub fn certificates(&self) -> PathBuf {
        self.data_dir().join("tls")
    }

    /// Returns the URL for `user` without a password. `root` may do everything.
    pub fn url(&self, user: &str, database: &str) -> String {
        database_url(self.port(), user, None, database)
    }

    /// Opens a connection as root, over TCP, without a default database.
    pub async fn root(&self) -> anyhow::Result<Conn> {
        self.connect("root", None, None).await
    }

    /// Creates a fresh database, and an account without a password that may do everything in it and
    /// nothing elsewhere.
    pub async fn schema(&self) -> anyhow::Result<Schema<'_>> {
        self.schema_with_password(None).await
    }

    pub async fn schema_with_password(&self, password: Option<&str>) -> anyhow::Result<Schema<'_>> {
        let number = self.schemas.fetch_add(1, Ordering::Relaxed);
        // Without `_`, which is a wildcard in GRANT.
        let (name, user) = (format!("it{number}"), format!("loader{number}"));
        let password = password.map(str::to_owned);
        let mut conn = self.root().await?;
        conn.query_drop(format!("CREATE DATABASE {name}")).await?;
        let identified_by = format!(
            "'{}'",
            password.as_deref().unwrap_or("").replace('\\', r"\\").replace('\'', "''")
        );
        conn.query_drop(format!("CREATE USER {user}@'%' IDENTIFIED BY {identified_by}")).await?;
        conn.query_drop(format!("GRANT ALL ON {name}.* TO {user}@'%'")).await?;
        conn.disconnect().await?;
        Ok(Schema { server: self, name, user, password })
    }

    /// Kills the server with SIGKILL and returns when it is gone. Its data stays for
    /// [`Server::restart`].
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        let pid = self.pid();
        // The shell's built-in command: minimal systems have no other.
        let status =
            Command::new("sh").args(["-c", "kill -KILL \"$0\""]).arg(pid.to_string()).status()?;
        anyhow::ensure!(status.success(), "could not kill the {} server, pid {pid}", self.kind);
        // `Child::wait` closes stdin, which would ask the script to stop and to remove the data.
        let stdin = self.process.script.stdin.take();
        // The script reaps the server before it ends itself.
        let waited = self.process.script.wait();
        drop(stdin);
        waited?;
        Ok(())
    }

    /// Freezes the server, until [`Server::cont`].
    pub fn stop(&self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    pub fn cont(&self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid();
        let script = format!("kill -{name} \"$0\"");
        let status = Command::new("sh").args(["-c", &script]).arg(pid.to_string()).status()?;
        anyhow::ensure!(status.success(), "could not send {name} to the {} server", self.kind);
        Ok(())
    }

    /// Opens a connection of an account without a password.
    pub async fn user_conn(&self, user: &str, database: &str) -> anyhow::Result<Conn> {
        self.connect(user, None, Some(database)).await
    }

    /// Starts the server again on the same data and the same port, after [`Server::kill9`] or after
    /// it died by itself.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        let port = self.port();
        let ended = self.process.script.try_wait()?;
        anyhow::ensure!(
            ended.is_some(),
            "the {} server still runs: kill it before it is started again",
            self.kind
        );
        self.process =
            Process::spawn(self.kind, &self.data_dir(), Some(port), &self.extra_options)?;
        Ok(())
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub async fn connect(
        &self,
        user: &str,
        password: Option<&str>,
        database: Option<&str>,
    ) -> anyhow::Result<Conn> {
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port())
            // The driver would move the connection to the socket.
            .prefer_socket(false)
            .user(Some(user))
            .pass(password)
            .db_name(database);
        Conn::new(options)
            .await
            .with_context(|| format!("cannot connect to the {} server as {user}", self.kind))
    }
}

/// A database of one test. It stays until the server ends.
#[derive(Debug)]
pub struct Schema<'server> {
    pub server: &'server Server,
    pub name: String,
    /// An account that may do everything in this database and nothing elsewhere.
    pub user: String,
    pub password: Option<String>,
}

impl Schema<'_> {
    /// Returns the URL for the ordinary account, into this database.
    pub fn url(&self) -> String {
        database_url(self.server.port(), &self.user, self.password.as_deref(), &self.name)
    }

    /// Opens a connection as root into this database.
    pub async fn conn(&self) -> anyhow::Result<Conn> {
        self.server.connect("root", None, Some(&self.name)).await
    }

    /// Opens a connection as the ordinary account into this database.
    pub async fn user_conn(&self) -> anyhow::Result<Conn> {
        self.server.connect(&self.user, self.password.as_deref(), Some(&self.name)).await
    }

    /// Runs one statement as root.
    pub async fn exec(&self, sql: &str) -> anyhow::Result<()> {
        let mut conn = self.conn().await?;
        conn.query_drop(sql).await.with_context(|| sql.to_owned())?;
        Ok(conn.disconnect().await?)
    }

    /// Returns the first row of a query by root. No row is an error.
    pub async fn query_one<T: FromRow + Send + 'static>(&self, sql: &str) -> anyhow::Result<T> {
        let mut conn = self.conn().await?;
        let row = conn.query_first(sql).await.with_context(|| sql.to_owned())?;
        conn.disconnect().await?;
        row.with_context(|| format!("no row: {sql}"))
    }

    /// Returns all rows of a query by root.
    pub async fn query<T: FromRow + Send + 'static>(&self, sql: &str) -> anyhow::Result<Vec<T>> {
        let mut conn = self.conn().await?;
        let rows = conn.query(sql).await.with_context(|| sql.to_owned())?;
        conn.disconnect().await?;
        Ok(rows)
    }
}

fn database_url(port: u16, user: &str, password: Option<&str>, database: &str) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let password = password.map(|password| format!(":{}", encode(password))).unwrap_or_default();
    format!("mysql://{}{password}@127.0.0.1:{port}/{}", encode(user), encode(database))
}

/// The script's line when the server accepts connections.
#[derive(Debug)]
struct Ready {
    version: String,
    port: u16,
    pid: u32,
    socket: PathBuf,
}

impl Ready {
    fn parse(line: &str) -> anyhow::Result<Self> {
        // The socket comes last, because a path may have spaces.
        let (fields, socket) = line.split_once(" socket=").context("no socket")?;
        let field = |name: &str| {
            let value =
                fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            value.with_context(|| format!("no {name}"))
        };
        Ok(Self {
            version: field("version")?.to_owned(),
            port: field("port")?.parse()?,
            pid: field("pid")?.parse()?,
            socket: PathBuf::from(socket),
        })
    }
}

/// The running `scripts/server.sh`. Only this holds its stdin: when that closes, the server ends.
#[derive(Debug)]
struct Process {
    script: Child,
    ready: Ready,
}

impl Process {
    fn spawn(
        kind: ServerKind,
        data_dir: &Path,
        port: Option<u16>,
        extra_options: &[String],
    ) -> anyhow::Result<Self> {
        let script_path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/server.sh");
        let messages_path = data_dir.with_extension("messages");
        let messages = fs::File::create(&messages_path)?;
        let (own_options, server_options): (Vec<_>, Vec<_>) =
            extra_options.iter().partition(|&option| option == "--tls");
        let mut command = Command::new(&script_path);
        command.arg("--remove").args(port.map(|port| format!("--port={port}"))).args(own_options);
        command.arg(kind.to_string()).arg(data_dir).args(server_options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(messages);
        let mut script =
            command.spawn().with_context(|| format!("cannot run {}", script_path.display()))?;

        let stdout = script.stdout.take().context("stdout was piped")?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            // If the receiver is gone, it has given up waiting.
            let _ = sender.send(BufReader::new(stdout).read_line(&mut line).map(|_| line));
        });
        let answer = receiver.recv_timeout(START_LIMIT);
        let said = fs::read_to_string(&messages_path).unwrap_or_default();
        let _ = fs::remove_file(&messages_path);
        let ready = match answer {
            Ok(Ok(line)) if line.starts_with("ready ") => Ready::parse(line.trim_end_matches('\n')),
            Ok(Ok(_)) => Err(anyhow::anyhow!("it ended before it was ready: {said}")),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(anyhow::anyhow!(
                "it was not ready within {START_LIMIT:?}: {said}\n{}",
                tail(&data_dir.join("log"))
            )),
        };
        match ready {
            Ok(ready) => Ok(Self { script, ready }),
            Err(error) => {
                end(&mut script);
                bail!(
                    "the {kind} server did not start (scripts/setup.sh installs what is missing): \
                     {error:#}"
                )
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.script);
    }
}

/// Closes the script's stdin, whereupon it kills the server, and waits for both.
fn end(script: &mut Child) {
    drop(script.stdin.take());
    // Nobody can act on this error: a script that cannot be waited for is gone.
    let _ = script.wait();
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
