//! The program under test, run as a user runs it, against one test's own bucket and schema.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::s3::{ACCESS_KEY, Backend, Endpoint, Object, REGION, SECRET_KEY};
use super::servers::{Schema, Server};

/// The time limit for a run, far beyond any test's need on a busy machine. A program that hangs
/// must fail its test, not the suite.
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// The time between two looks at the memory of a run, of which the system keeps the peak.
const PEAK_INTERVAL: Duration = Duration::from_millis(20);

/// The bucket that every test has to itself, on an endpoint of its own.
pub const BUCKET: &str = "etl";

/// One test's endpoint, schema and directory.
pub struct TestEnv {
    pub server: &'static Server,
    pub schema: Schema<'static>,
    pub s3: Endpoint,
    /// The test's directory; `staging` in it is the program's staging directory.
    pub dir: tempfile::TempDir,
}

/// The end of the program, and its output.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl TestEnv {
    pub async fn new(server: &'static Server) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("staging"))?;
        let s3 = Endpoint::start(Backend::new().with_bucket(BUCKET))?;
        Ok(Self { server, schema: server.schema().await?, s3, dir })
    }

    pub fn put(&self, key: &str, object: impl Into<Object>) -> Result<()> {
        self.s3.backend().put(BUCKET, key, object)?;
        Ok(())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the program with its environment: nothing of this process's, but credentials,
    /// region, endpoint, database and staging directory. Later options override all of these,
    /// because these are in the environment.
    pub fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = bare_command(self.dir.path());
        command
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_REGION", REGION)
            .env("AWS_ENDPOINT_URL", self.s3.url())
            .env("DATABASE_URL", self.schema.url())
            .env("S3_TO_MYSQL_STAGING_DIR", self.dir.path().join("staging"))
            .args(args);
        command
    }

    /// Returns `s3-to-mysql ARGS...` on a terminal of its own, `columns` wide and with color. Its
    /// screen is the command's standard output. `args` is a shell's text, which may redirect one of
    /// the outputs.
    pub fn on_terminal(&self, columns: u16, args: &str) -> Command {
        // util-linux's script runs its command under a terminal and passes its output on.
        let mut command = Command::new("script");
        // Without a number of rows, the size counts as unknown.
        let line = format!("stty rows 40 cols {columns} echo; exec \"$PROGRAM\" {args}");
        command.args(["-qefc", &line, "/dev/null"]);
        command.env_clear().envs(
            self.command(["load"])
                .as_std()
                .get_envs()
                .map(|(name, value)| (name.to_owned(), value.unwrap_or_default().to_owned())),
        );
        command
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env("PROGRAM", env!("CARGO_BIN_EXE_s3-to-mysql"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs `s3-to-mysql ARGS...` to its end.
    pub async fn run(&self, args: &[&str]) -> Result<Ended> {
        finish(self.command(args).spawn()?).await
    }

    /// Runs `s3-to-mysql load s3://etl/ --table TABLE ARGS...` to its end.
    pub async fn load(&self, table: &str, args: &[&str]) -> Result<Ended> {
        self.run(&[&["load", "s3://etl/", "--table", table], args].concat()).await
    }

    /// Runs [`TestEnv::load`], which must end with this code.
    pub async fn load_ending(&self, code: i32, table: &str, args: &[&str]) -> Result<Ended> {
        let ended = self.load(table, args).await?;
        ended.expect(code)?;
        Ok(ended)
    }

    /// Returns `s3-to-mysql load s3://etl/ --table t ARGS...` through a proxy of the server.
    pub fn load_through(&self, port: u16, args: &[&str]) -> Command {
        let port = port.to_string();
        // The proxy cannot read encrypted packets. It offers no compression.
        let plain = ["--ssl-mode", "DISABLED", "--port", &port];
        self.command([&["load", "s3://etl/", "--table", "t"], &plain[..], args].concat())
    }

    /// Empties a table and the ledger.
    pub async fn start_afresh(&self, table: &str) -> Result<()> {
        self.schema.exec(&format!("TRUNCATE TABLE {table}")).await?;
        self.schema.exec("DELETE FROM s3_to_mysql_objects").await
    }

    pub async fn count(&self, table: &str) -> Result<u64> {
        self.schema.query_one(&format!("SELECT COUNT(*) FROM {table}")).await
    }

    /// Returns the lines of a report file, without those of parts.
    pub fn report(&self, name: &str) -> Result<Vec<serde_json::Value>> {
        let lines = self.report_with_parts(name)?;
        Ok(lines.into_iter().filter(|line| line["type"] != "part").collect())
    }

    /// Returns all lines of a report file.
    pub fn report_with_parts(&self, name: &str) -> Result<Vec<serde_json::Value>> {
        let text = std::fs::read_to_string(self.path(name))?;
        text.lines()
            .map(|line| serde_json::from_str(line).context("a line of the report is not JSON"))
            .collect()
    }

    /// Returns the name of the file in which the lines of a report are until the end of its run.
    pub fn partial(&self, report: &str) -> Result<String> {
        for entry in std::fs::read_dir(self.dir.path())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.strip_prefix(report).is_some_and(|rest| rest.ends_with(".partial")) {
                return Ok(name);
            }
        }
        anyhow::bail!("no partial {report}")
    }

    /// Requires that nothing is left in the staging directory.
    pub fn ensure_nothing_staged(&self) -> Result<()> {
        let left: Vec<_> =
            std::fs::read_dir(self.path("staging"))?.collect::<std::io::Result<_>>()?;
        ensure!(left.is_empty(), "left in the staging directory: {left:?}");
        Ok(())
    }
}

impl Ended {
    pub fn expect(&self, code: i32) -> Result<()> {
        ensure!(self.code == Some(code), "exit code {:?}, not {code}\n{self}", self.code);
        Ok(())
    }

    pub fn says(&self, text: &str) -> Result<()> {
        ensure!(
            self.stderr.contains(text) || self.stdout.contains(text),
            "neither output says {text:?}\n{self}"
        );
        Ok(())
    }

    /// Returns the number after a label of the summary.
    pub fn summary(&self, label: &str) -> Result<String> {
        self.stdout
            .lines()
            .find_map(|line| line.strip_prefix(label).map(|rest| rest.trim().to_owned()))
            .with_context(|| format!("no {label:?} in the summary\n{self}"))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// Returns the program in an empty environment, with its output piped. It is killed when dropped.
pub fn bare_command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3-to-mysql"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Waits for a started program to end.
pub async fn finish(child: Child) -> Result<Ended> {
    let output = tokio::time::timeout(RUN_LIMIT, child.wait_with_output())
        .await
        .context("the program did not end")??;
    let ended = Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let has_hole = ended.stderr.contains("a value that the rules for values take");
    ensure!(!has_hole, "the rules take a value that the server does not keep\n{ended}");
    Ok(ended)
}

/// Waits for a started program to end. Returns also the most memory that it had, in KiB.
pub async fn finish_with_peak(child: Child) -> Result<(Ended, u64)> {
    let id = child.id().context("it has ended")?;
    let mut most_kib = 0;
    let mut ending = Box::pin(finish(child));
    loop {
        // There is nothing to read as soon as the process has ended.
        most_kib = most_kib.max(peak_kib(id).unwrap_or(0));
        tokio::select! {
            ended = &mut ending => {
                ensure!(most_kib > 0, "it ended before its memory was read");
                return Ok((ended?, most_kib));
            }
            () = tokio::time::sleep(PEAK_INTERVAL) => {}
        }
    }
}

/// Returns the most memory that a running process has had, in KiB.
pub fn peak_kib(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse()?)
}

/// Returns one of the numbers of each row error in a report, such as `row` or `line`.
pub fn row_error_numbers(row_errors: &serde_json::Value, name: &str) -> Result<Vec<u64>> {
    let row_errors = row_errors.as_array().context("no row errors")?;
    Ok(row_errors.iter().filter_map(|row| row[name].as_u64()).collect())
}

/// Waits until the program's log says `text`, then keeps collecting the log.
pub async fn wait_for_log(
    child: &mut Child,
    text: &str,
) -> Result<tokio::task::JoinHandle<String>> {
    let mut lines =
        BufReader::new(child.stderr.take().context("standard error is not piped")?).lines();
    let mut seen = String::new();
    loop {
        let line = tokio::time::timeout(RUN_LIMIT, lines.next_line())
            .await
            .context("the log went silent")??;
        let line = line.with_context(|| format!("the log ended without {text:?}:\n{seen}"))?;
        seen.push_str(&line);
        seen.push('\n');
        if line.contains(text) {
            break;
        }
    }
    Ok(tokio::spawn(async move {
        let mut rest = String::new();
        let _ = lines.into_inner().read_to_string(&mut rest).await;
        seen + &rest
    }))
}

/// Sends a signal to a running program by its process id.
pub fn signal(child: &Child, name: &str) -> Result<()> {
    let pid = child.id().context("the program has ended already")?;
    let status =
        std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status()?;
    ensure!(status.success(), "kill failed");
    Ok(())
}
