//! The contenders that load the same objects into the same table: the server alone, this program,
//! and the tools in use today.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;

use super::measure::{Run, watch};
use super::scene::{BUCKET, Scene};
use super::workload::Workload;

pub(crate) const SESSIONS: usize = 4;
/// The concurrency of both of today's tools.
const CONCURRENCY: &str = "10";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// Server-side LOAD DATA INFILE of files on the server's own disk, each in its own statement
    /// and transaction, in [`SESSIONS`] sessions.
    Floor,
    /// This program.
    Ours,
    /// Another build of this program, whose path is in `S3_TO_MYSQL_BENCH_OTHER`.
    OtherBuild,
    /// This program with additional arguments.
    OursWith(&'static [&'static str]),
    /// This program, over the objects in one folder below `seed/`, with additional arguments.
    OursFrom(Folder),
    /// `s5cmd cp` to a folder, then `mariadb-import --local --use-threads=4` of its files.
    Pipeline,
    /// `s5cmd cat`, `gunzip` and the `mariadb` client in a pipe, four pipes at a time, over the
    /// objects below `seed/gzip/`.
    Gunzip,
    /// A script with boto3 and aiomysql: `loader.py`.
    Python,
}

/// The same rows in one of several forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) name: &'static str,
    /// The command that packs a file and writes to standard output; empty for none.
    pub(crate) packed_by: &'static [&'static str],
    pub(crate) rows: Rows,
}

/// The text of rows before they are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    Csv,
    JsonLines,
    Hive,
}

impl Folder {
    /// Returns the program's arguments for the text.
    fn args(self) -> &'static [&'static str] {
        match self.rows {
            Rows::Csv => &["load", "--preset", "csv", "--ignore-lines", "1"],
            Rows::JsonLines => &["load", "--format", "jsonl"],
            Rows::Hive => &["load", "--preset", "hive"],
        }
    }
}

/// The paths of today's tools, and of another build of this program.
pub(crate) struct Tools {
    pub(crate) other_build: Option<PathBuf>,
    pub(crate) s5cmd: Option<PathBuf>,
    pub(crate) import: Option<PathBuf>,
    pub(crate) client: Option<PathBuf>,
    pub(crate) python: Option<PathBuf>,
}

impl Tools {
    /// Finds the tools in a Python environment (see `scripts/bench.sh`) and on the PATH.
    pub(crate) fn find(environment: Option<&Path>) -> Self {
        let of = |name: &str| {
            environment.map(|home| home.join("bin").join(name)).filter(|path| path.exists())
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let installed = |name: &str| {
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|it| it.exists())
        };
        Self {
            other_build: std::env::var_os("S3_TO_MYSQL_BENCH_OTHER").map(PathBuf::from),
            s5cmd: of("s5cmd").or_else(|| installed("s5cmd")),
            import: installed("mariadb-import").or_else(|| installed("mysqlimport")),
            client: installed("mariadb"),
            python: of("python"),
        }
    }

    /// Leaves out today's tools.
    pub(crate) fn without_others(self) -> Self {
        Self { s5cmd: None, import: None, client: None, python: None, ..self }
    }
}

impl Contender {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Floor => "floor".to_owned(),
            Self::Ours => "ours".to_owned(),
            Self::OtherBuild => "other build".to_owned(),
            Self::OursWith(args) => format!("ours {}", args.join(" ")),
            Self::OursFrom(folder) => format!("ours {}", folder.name),
            Self::Pipeline => "s5cmd+import".to_owned(),
            Self::Gunzip => "gunzip+client".to_owned(),
            Self::Python => "Python".to_owned(),
        }
    }

    /// Returns what is missing to run the contender here.
    pub(crate) fn lacks(self, tools: &Tools) -> Option<&'static str> {
        match self {
            Self::Pipeline | Self::Gunzip if tools.s5cmd.is_none() => Some("s5cmd"),
            Self::Gunzip if tools.client.is_none() => Some("the mariadb client"),
            Self::Pipeline if tools.import.is_none() => Some("mariadb-import"),
            Self::Python if tools.python.is_none() => Some("a Python with boto3 and aiomysql"),
            _ => None,
        }
    }

    pub(crate) fn run(self, scene: &Scene, workload: &Workload, tools: &Tools) -> Result<Run> {
        match self {
            Self::Floor => floor(scene, workload),
            Self::Ours => ours(scene, workload, &["load"]),
            Self::OtherBuild => {
                let program = tools.other_build.as_deref().context("there is no other build")?;
                this_program(program, scene, workload, "", &["load"])
            }
            Self::OursWith(args) => ours(scene, workload, &[&["load"], args].concat()),
            Self::OursFrom(folder) => {
                let program = Path::new(env!("CARGO_BIN_EXE_s3-to-mysql"));
                this_program(program, scene, workload, &format!("{}/", folder.name), folder.args())
            }
            Self::Pipeline => pipeline(scene, workload, tools),
            Self::Gunzip => gunzip(scene, workload, tools),
            Self::Python => python(scene, workload, tools),
        }
    }
}

fn floor(scene: &Scene, workload: &Workload) -> Result<Run> {
    let files = Arc::new(Mutex::new(workload.floor_files.clone()));
    let began = Instant::now();
    scene.runtime.block_on(async {
        let sessions = (0..SESSIONS).map(|_| async {
            let mut conn = scene.server.root().await?;
            loop {
                let next = files.lock().ok().and_then(|mut files| files.pop());
                let Some(path) = next else { break };
                conn.query_drop(format!(
                    "LOAD DATA INFILE '{}' {} bench.{} {}",
                    path.display(),
                    workload.into,
                    workload.table,
                    workload.dialect
                ))
                .await?;
            }
            conn.disconnect().await?;
            anyhow::Ok(())
        });
        futures_util::future::try_join_all(sessions).await
    })?;
    Ok(Run { wall_seconds: began.elapsed().as_secs_f64(), ..Run::default() })
}

pub(crate) fn ours(scene: &Scene, workload: &Workload, args: &[&str]) -> Result<Run> {
    this_program(Path::new(env!("CARGO_BIN_EXE_s3-to-mysql")), scene, workload, "", args)
}

/// Runs a build of this program over the objects in `folder`, which is empty for all, and measures
/// it from its start to its end.
fn this_program(
    program: &Path,
    scene: &Scene,
    workload: &Workload,
    folder: &str,
    args: &[&str],
) -> Result<Run> {
    // The arguments of a folder's form stand in the place of the workload's.
    let workload_args: &[String] = if folder.is_empty() { &workload.args } else { &[] };
    let url = format!("mysql://loader@127.0.0.1:{}/bench", scene.database_port());
    let began = Instant::now();
    let child = Command::new(program)
        .args(args)
        .args([&format!("s3://{BUCKET}/seed/{folder}"), "--table", workload.table, "-q"])
        .args(workload_args)
        .env("DATABASE_URL", url)
        .envs(scene.environment())
        .stdout(Stdio::null())
        .spawn()?;
    let (run, status) = watch(child, began)?;
    let code = status.code();
    // `plan` rejects no rows.
    let is_expected =
        code == Some(workload.exit_code) || code == Some(0) && args.first() != Some(&"load");
    ensure!(is_expected, "the program ended with {code:?}");
    Ok(run)
}

fn pipeline(scene: &Scene, workload: &Workload, tools: &Tools) -> Result<Run> {
    let (s5cmd, import) = tools
        .s5cmd
        .as_ref()
        .zip(tools.import.as_ref())
        .context("no s5cmd, or no mariadb-import")?;
    let folder = tempfile::tempdir()?;
    let began = Instant::now();
    let child = Command::new(s5cmd)
        .args([
            "--endpoint-url",
            &scene.endpoint_url(),
            "--log",
            "error",
            "cp",
            "--exclude",
            "*_SUCCESS",
        ])
        .args([&format!("s3://{BUCKET}/seed/*"), &format!("{}/", folder.path().display())])
        .envs(scene.environment())
        .stdout(Stdio::null())
        .spawn()?;
    let (copied, status) = watch(child, began)?;
    ensure!(status.success(), "s5cmd: {status}");

    let began = Instant::now();
    let mut files = Vec::new();
    name_after_table(folder.path(), folder.path(), workload.table, &mut files)?;
    // As root, because it sets character_set_database, which MySQL 9 permits no ordinary account.
    let child = Command::new(import)
        .args([
            "--no-defaults",
            "--host=127.0.0.1",
            "--protocol=tcp",
            "--skip-ssl",
            "--user=root",
            "--silent",
        ])
        .args(["--local", &format!("--use-threads={SESSIONS}"), "--default-character-set=utf8mb4"])
        .arg(format!("--port={}", scene.database_port()))
        .args(workload.import_args)
        .arg("bench")
        .args(&files)
        .stdout(Stdio::null())
        .spawn()?;
    let (imported, status) = watch(child, began)?;
    ensure!(status.success(), "{}: {status}", import.display());
    Ok(copied.then(imported))
}

fn gunzip(scene: &Scene, workload: &Workload, tools: &Tools) -> Result<Run> {
    let (s5cmd, client) =
        tools.s5cmd.as_ref().zip(tools.client.as_ref()).context("no s5cmd, or no client")?;
    let load = format!(
        "LOAD DATA LOCAL INFILE '/dev/stdin' {} bench.{} {}",
        workload.into, workload.table, workload.dialect
    );
    // The script's arguments: s5cmd, the endpoint, the client, its port, the statement, the key.
    let pipe = "\"$0\" --endpoint-url \"$1\" --log error cat \"$5\" | gunzip \
                | \"$2\" --no-defaults --host=127.0.0.1 --protocol=tcp --skip-ssl --user=root \
                --local-infile=1 --port=\"$3\" --execute \"$4\"";
    let began = Instant::now();
    let mut child = Command::new("xargs")
        .args(["-P", &SESSIONS.to_string(), "-I", "{}", "bash", "-o", "pipefail", "-c", pipe])
        .args([s5cmd, Path::new(&scene.endpoint_url()), client])
        .args([&scene.database_port().to_string(), &load, "{}"])
        .envs(scene.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut keys = child.stdin.take().context("no pipe")?;
    for file in &workload.floor_files {
        let name = file.file_name().and_then(|name| name.to_str()).context("no name")?;
        writeln!(keys, "s3://{BUCKET}/seed/gzip/{name}")?;
    }
    drop(keys);
    let (run, status) = watch(child, began)?;
    ensure!(status.success(), "the pipes: {status}");
    Ok(run)
}

/// Gives files names from which `mariadb-import` takes the table: the part up to the first dot.
fn name_after_table(
    root: &Path,
    folder: &Path,
    table: &str,
    files: &mut Vec<PathBuf>,
) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            name_after_table(root, &path, table, files)?;
        } else if path.extension().is_none() || path.file_stem().is_none_or(|stem| stem != table) {
            let named = root.join(format!("{table}.{}", files.len()));
            std::fs::rename(path, &named)?;
            files.push(named);
        }
    }
    Ok(())
}

fn python(scene: &Scene, workload: &Workload, tools: &Tools) -> Result<Run> {
    let python = tools.python.as_ref().context("no Python")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/load/loader.py");
    let began = Instant::now();
    let child = Command::new(python)
        .arg(script)
        .args([
            BUCKET,
            "seed/",
            &scene.database_port().to_string(),
            "bench",
            workload.table,
            workload.dialect,
        ])
        .arg(CONCURRENCY)
        .envs(scene.environment())
        .spawn()?;
    let (run, status) = watch(child, began)?;
    ensure!(status.success(), "loader.py: {status}");
    Ok(run)
}
