//! The commands of README.md and docs/quickstart.md, run in a shell as a reader runs them: by their
//! account, on their table and their bucket. Only the database's address is another one.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio::process::Command;

use crate::registry::{apply, load_test, plain_test};
use crate::support::program::{Ended, TestEnv, finish};
use crate::support::s3::{ACCESS_KEY, Backend, Endpoint, REGION, SECRET_KEY};
use crate::support::servers::Server;

const README: &str = "README.md";
const QUICK_START: &str = "docs/quickstart.md";

/// The languages of code blocks. `sh` and `sql` are run, and `toml` is a configuration file for one
/// more run.
const LANGUAGES: &[&str] = &["sh", "sql", "toml", "console", "json", "text"];

/// Returns the language and the text of each fenced block of a document.
fn fences(document: &str) -> Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document))?;
    Ok(fences_in(&text))
}

fn fences_in(text: &str) -> Vec<(String, String)> {
    let mut fences = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let inside = lines.by_ref().take_while(|line| line.trim() != "```");
            let text = inside.map(|line| format!("{line}\n")).collect();
            fences.push((language.to_owned(), text));
        }
    }
    fences
}

/// The fenced blocks below a heading, each with its language.
type Section = (String, Vec<(String, String)>);

/// Returns the fenced blocks below each `## ` heading of a document.
pub(crate) fn fences_below(document: &str) -> Result<Vec<Section>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document))?;
    let sections = text.split("\n## ").skip(1).map(|section| {
        let (heading, rest) = section.split_once('\n').unwrap_or((section, ""));
        (heading.to_owned(), fences_in(rest))
    });
    Ok(sections.collect())
}

/// Returns the text of all blocks in this language, one after another.
fn blocks(document: &str, wanted: &str) -> Result<String> {
    let all = fences(document)?.into_iter().filter(|(language, _)| language == wanted);
    Ok(all.map(|(_, text)| text).collect())
}

/// Returns `PATH` with the built program's folder first.
fn search_path() -> Result<OsString> {
    let folder = Path::new(env!("CARGO_BIN_EXE_s3-to-mysql")).parent().context("no folder")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(folders)?)
}

/// Runs the SQL of a document as the server's administrator, on a server that has TLS, which the
/// account must use.
async fn prepare_server(env: &TestEnv, document: &str) -> Result<(Server, Conn)> {
    let server = Server::start(env.server.kind(), &["--tls"])?;
    let mut root = server.root().await?;
    let sql = blocks(document, "sql")?;
    let sql: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    for statement in sql.join("\n").split(';').filter(|statement| !statement.trim().is_empty()) {
        root.query_drop(statement).await.with_context(|| statement.to_owned())?;
    }
    Ok((server, root))
}

/// Starts the bucket of a document, with these objects below `exports/`.
fn bucket(objects: [(&str, &str); 2]) -> Result<Endpoint> {
    let s3 = Endpoint::start(Backend::new().with_bucket("my-bucket"))?;
    for (name, rows) in objects {
        let key = format!("exports/{name}");
        s3.backend().put("my-bucket", &key, format!("id,qty,day\n{rows}"))?;
    }
    Ok(s3)
}

/// Puts the server's address in place of the one in a document.
fn at_server(text: &str, server: &Server) -> Result<String> {
    let address = "@db.example.com:3306/";
    ensure!(text.contains(address), "no block has the address {address}: {text}");
    Ok(text.replace(address, &format!("@127.0.0.1:{}/", server.port())))
}

/// Runs a script in one shell, because later blocks need what earlier ones export.
pub(crate) async fn run_in_shell(env: &TestEnv, s3: &Endpoint, script: &str) -> Result<Ended> {
    let mut shell = Command::new("sh");
    shell
        .env_clear()
        .env("HOME", env.dir.path())
        .env("PATH", search_path()?)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_REGION", REGION)
        .env("AWS_ENDPOINT_URL", s3.url())
        .current_dir(env.dir.path())
        .args(["-euc", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let ended = finish(shell.spawn()?).await?;
    ended.expect(0)?;
    Ok(ended)
}

#[apply(load_test)]
async fn every_shell_block_of_the_readme_does_what_it_says(env: TestEnv) -> Result<()> {
    let (server, mut root) = prepare_server(&env, README).await?;
    // README.md asks for it beside the recipe that empties the table.
    root.query_drop("GRANT DROP ON shop.* TO loader").await?;
    let s3 = bucket([
        ("1.csv", "1,10,2026-01-30\n2,20,2026-01-30\n"),
        ("2.csv", "3,10,2026-01-31\n4,20,2026-01-31\n"),
    ])?;

    let folder = env.dir.path().to_str().context("path")?;
    let settings = at_server(&blocks(README, "toml")?, &server)?;
    let settings = settings.replace("/etc/s3-to-mysql", folder);
    std::fs::write(env.dir.path().join("load.toml"), settings)?;
    std::fs::write(env.dir.path().join("password"), "my-password\n")?;
    let script = at_server(&blocks(README, "sh")?, &server)?
        + "s3-to-mysql load --config load.toml --progress off\n";
    let ended = run_in_shell(&env, &s3, &script).await?;

    let objects = ended.stdout.lines().filter_map(|line| line.strip_prefix("objects loaded "));
    let objects: Vec<&str> = objects.map(str::trim).collect();
    // The first load, the one that finds nothing left, `status`, the one that empties the table
    // first, and the one from cron.
    ensure!(objects == ["2", "0", "2", "2", "0"], "{objects:?}\n{ended}");
    let loaded: (u64, u64, u64) = root
        .query_first("SELECT COUNT(*), SUM(id), COUNT(DISTINCT day) FROM shop.orders")
        .await?
        .context("no row")?;
    ensure!(loaded == (4, 10, 2), "{loaded:?}\n{ended}");
    ensure!(env.report("run.jsonl")?.len() == 3, "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn every_shell_block_of_the_quick_start_does_what_it_says(env: TestEnv) -> Result<()> {
    let (server, mut root) = prepare_server(&env, QUICK_START).await?;
    let s3 = bucket([
        ("2026-01-30.csv", "1,10,2026-01-30\n2,20,2026-01-30\n"),
        ("2026-01-31.csv", "3,10,2026-01-31\n4,ten,2026-01-31\n"),
    ])?;
    // The page shows what a terminal shows.
    let script = "export S3_TO_MYSQL_SUMMARY=table\n".to_owned()
        + &at_server(&blocks(QUICK_START, "sh")?, &server)?;
    let ended = run_in_shell(&env, &s3, &script).await?;

    // The width of a table's columns depends on the times in it.
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed = ended.stdout.lines().chain(ended.stderr.lines());
    let printed: Vec<String> = printed.map(squeezed).collect();
    for line in blocks(QUICK_START, "text")?.lines().filter(|line| *line != "...") {
        ensure!(printed.contains(&squeezed(line)), "not printed: {line}\n{ended}");
    }
    let ids: Vec<u32> = root.query("SELECT id FROM shop.orders ORDER BY id").await?;
    ensure!(ids == [1, 2, 3], "{ids:?}\n{ended}");
    Ok(())
}

/// A shell block under another name would not be run.
#[apply(plain_test)]
async fn every_block_of_these_documents_has_a_known_language() -> Result<()> {
    for (language, text) in [fences(README)?, fences(QUICK_START)?].concat() {
        ensure!(LANGUAGES.contains(&language.as_str()), "a block is of {language:?}:\n{text}");
    }
    Ok(())
}
