//! The metrics of a run: the file for `node_exporter`, and the push to a gateway.
//!
//! `scripts/check-metrics.sh` checks the same with Prometheus' own tools.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish};
use crate::support::s3::{Fault, Times};
use crate::support::until::until;

async fn create_table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT NOT NULL, b VARCHAR(20) NOT NULL) ENGINE=InnoDB").await
}

/// Returns the value of each series by its name and labels, without the label of the target, which
/// all have.
fn series(env: &TestEnv, text: &str) -> Result<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    let target = format!("target=\"{}.t\"", env.schema.name);
    let mut described = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            described.extend(comment.split(' ').nth(1).map(str::to_owned));
            continue;
        }
        let (labeled, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        let (name, labels) = labeled.split_once('{').with_context(|| line.to_owned())?;
        let is_described = described.iter().filter(|other| *other == name).count() == 2;
        ensure!(is_described, "{name} has no HELP or no TYPE:\n{text}");
        let rest = labels.strip_prefix(&target).with_context(|| format!("{target}: {line}"))?;
        let rest = rest.trim_start_matches(',').trim_end_matches('}');
        let name = name.strip_prefix("s3_to_mysql_").with_context(|| line.to_owned())?;
        let key = if rest.is_empty() { name.to_owned() } else { format!("{name} {rest}") };
        ensure!(found.insert(key, value.parse()?).is_none(), "twice: {line}");
    }
    Ok(found)
}

fn written(env: &TestEnv) -> Result<BTreeMap<String, f64>> {
    series(env, &std::fs::read_to_string(env.path("t.prom"))?)
}

fn value(series: &BTreeMap<String, f64>, name: &str) -> Result<f64> {
    series.get(name).copied().with_context(|| format!("no {name} in {series:#?}"))
}

fn is_just_now(seconds: f64) -> bool {
    let now = Timestamp::now().as_duration().as_secs_f64();
    (now - 60.0..=now + 0.001).contains(&seconds)
}

const LAST_SUCCESS: &str = "last_success_timestamp_seconds";

#[apply(load_test)]
async fn a_file_of_metrics_tells_how_the_last_run_ended(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    let file = env.path("t.prom").display().to_string();
    let args = ["--metrics-file", &file];
    env.load_ending(0, "t", &args).await?;
    let mode = std::fs::metadata(&file)?.permissions().mode() & 0o777;
    ensure!(mode == 0o644, "{mode:o}");
    let good = written(&env)?;
    for (name, expected) in [
        ("exit_code", 0.0),
        ("objects status=\"loaded\"", 1.0),
        ("objects status=\"failed\"", 0.0),
        ("rows outcome=\"loaded\"", 2.0),
        ("bytes", 8.0),
        ("backlog_objects", 0.0),
    ] {
        ensure!((value(&good, name)? - expected).abs() < 1e-9, "{name}: {good:#?}");
    }
    let success = value(&good, LAST_SUCCESS)?;
    let (start, end) = (
        value(&good, "last_run_start_timestamp_seconds")?,
        value(&good, "last_run_end_timestamp_seconds")?,
    );
    ensure!(is_just_now(start) && start < end && (success - end).abs() < 1e-3, "{good:#?}");
    ensure!(is_just_now(value(&good, "newest_object_timestamp_seconds")?), "{good:#?}");
    ensure!(
        good.contains_key(&format!("build_info version=\"{}\"", env!("CARGO_PKG_VERSION"))),
        "{good:#?}"
    );

    // The last success outlives failures: the ledger knows it, also if the file is gone.
    env.put("in/bad", "no number\tx\n")?;
    std::fs::remove_file(&file)?;
    env.load_ending(3, "t", &args).await?;
    let bad = written(&env)?;
    let known = value(&bad, LAST_SUCCESS)?;
    // The ledger has the time at which the run was recorded as ended, by the server's clock.
    ensure!(
        (known - success).abs() < 5.0 && known < value(&bad, "last_run_start_timestamp_seconds")?,
        "{bad:#?}"
    );
    ensure!((value(&bad, "exit_code")? - 3.0).abs() < 1e-9, "{bad:#?}");
    ensure!((value(&bad, "backlog_objects")? - 1.0).abs() < 1e-9, "{bad:#?}");
    ensure!((value(&bad, "new_failed_objects")? - 1.0).abs() < 1e-9, "{bad:#?}");

    // A run that cannot begin asks the file. It does not know what is left.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    env.load_ending(6, "t", &["--metrics-file", &file, "--port", &closed, "--max-attempts", "1"])
        .await?;
    let none = written(&env)?;
    ensure!((value(&none, LAST_SUCCESS)? - known).abs() < 1e-3, "{none:#?}");
    ensure!((value(&none, "exit_code")? - 6.0).abs() < 1e-9, "{none:#?}");
    ensure!(!none.contains_key("backlog_objects"), "{none:#?}");
    // Nor can one that does not get as far as its report.
    let report = env.path("no/such/report").display().to_string();
    env.load_ending(2, "t", &["--metrics-file", &file, "--report", &report]).await?;
    let none = written(&env)?;
    ensure!((value(&none, LAST_SUCCESS)? - known).abs() < 1e-3, "{none:#?}");
    ensure!((value(&none, "exit_code")? - 2.0).abs() < 1e-9, "{none:#?}");
    Ok(())
}

/// A gateway that answers with one status, and what it has been sent.
struct Gateway {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    async fn start(answer: &'static str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = listener.local_addr()?.to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(request) = receive(stream, answer).await {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                }
            }
        });
        Ok(Self { url, requests })
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns a request whole, after it is answered. Without an answer, the connection stays open.
async fn receive(mut stream: TcpStream, answer: &str) -> Result<String> {
    let mut request = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await?;
        request.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let expected = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let expected: usize = expected.context("no length")?.parse()?;
        ensure!(length > 0, "cut off");
        if body.len() == expected {
            if answer.is_empty() {
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            }
            let answer =
                format!("HTTP/1.1 {answer}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwhy?");
            stream.write_all(answer.as_bytes()).await?;
            return Ok(text);
        }
    }
}

async fn load(env: &TestEnv, code: i32, url: &str, args: &[&str]) -> Result<Ended> {
    let base = ["load", "s3://etl/", "--table", "t"];
    let mut command = env.command(base.iter().chain(args));
    command.env("S3_TO_MYSQL_METRICS_PUSH", url);
    let ended = finish(command.spawn()?).await?;
    ended.expect(code)?;
    Ok(ended)
}

#[apply(load_test)]
async fn metrics_are_pushed_to_the_group_of_the_table_and_the_labels(env: TestEnv) -> Result<()> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    let gateway = Gateway::start("202 Accepted").await?;
    let url = format!("http://me:secret@{}/sub/", gateway.url);
    let file = env.path("t.prom").display().to_string();
    let args = ["--metrics-file", &file, "--metrics-label", "env=a/b"];
    let ended = load(&env, 0, &url, &args).await?;
    ensure!(!ended.stderr.contains("WARN") && !ended.stderr.contains("secret"), "{ended}");
    let requests = gateway.take();
    ensure!(requests.len() == 1, "{requests:?}");
    let (head, body) = requests[0].split_once("\r\n\r\n").context("no body")?;
    let target = URL_SAFE_NO_PAD.encode(format!("{}.t", env.schema.name));
    let line = format!("PUT /sub/metrics/job/s3-to-mysql/target@base64/{target}/env@base64/YS9i ");
    ensure!(head.starts_with(&line), "{head}");
    let lower = head.to_ascii_lowercase();
    ensure!(lower.contains("\r\ncontent-type: text/plain; version=0.0.4"), "{head}");
    ensure!(head.contains("Basic bWU6c2VjcmV0"), "{head}");
    ensure!(body == std::fs::read_to_string(&file)?, "{body}");
    ensure!(body.contains(",env=\"a/b\""), "{body}");

    // A failed run that knows no success leaves the one that the gateway has.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    load(&env, 6, &url, &["--port", &closed, "--max-attempts", "1"]).await?;
    let requests = gateway.take();
    ensure!(requests.len() == 1 && requests[0].starts_with("POST /sub/metrics/"), "{requests:?}");
    ensure!(!requests[0].contains(LAST_SUCCESS), "{requests:?}");
    // With the ledger, it is known.
    env.put("in/bad", "no number\tx\n")?;
    load(&env, 3, &url, &[]).await?;
    let requests = gateway.take();
    ensure!(requests.len() == 1 && requests[0].starts_with("PUT /sub/metrics/"), "{requests:?}");
    ensure!(requests[0].contains(LAST_SUCCESS), "{requests:?}");

    let ended = env
        .run(&["load", "s3://etl/", "--table", "t", "--metrics-push", &url, "--print-config"])
        .await?;
    ensure!(!ended.stdout.contains("secret") && ended.stdout.contains(&gateway.url), "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn metrics_that_go_nowhere_are_a_warning_and_take_ten_seconds_at_most(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    let refusing = Gateway::start("400 Bad Request").await?;
    let url = format!("http://me:secret@{}", refusing.url);
    let missing = env.path("no/such/t.prom").display().to_string();
    let ended = load(&env, 0, &url, &["--metrics-file", &missing]).await?;
    let warning = format!("--metrics-file {missing} cannot be written: No such file");
    ensure!(ended.stderr.contains(&warning), "{ended}");
    let warning =
        format!("the push to http://{} failed: it answered 400 Bad Request why?", refusing.url);
    ensure!(ended.stderr.contains(&warning) && !ended.stderr.contains("secret"), "{ended}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let ended = load(&env, 0, &format!("http://{closed}"), &[]).await?;
    ensure!(ended.stderr.contains("Connection refused"), "{ended}");
    let silent = Gateway::start("").await?;
    let began = std::time::Instant::now();
    let ended = load(&env, 0, &format!("http://{}", silent.url), &[]).await?;
    ensure!(ended.stderr.contains("failed: no answer within 10s"), "{ended}");
    ensure!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    Ok(())
}

#[apply(load_test)]
async fn settings_of_metrics_that_make_no_sense_are_refused(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    for (args, why) in [
        (["--metrics-push", "gateway:9091"], "it must be a URL that starts with http://"),
        (["--metrics-push", "ftp://u:secret@h"], "it must be a URL that starts with http://"),
        (["--metrics-label", "env"], "it must be NAME=VALUE"),
        (["--metrics-label", "target=x"], "the program sets this label itself"),
        (["--metrics-label", "a-b=x"], "a name consists of letters"),
    ] {
        let ended = env.load_ending(2, "t", &args).await?;
        ended.says(why)?;
        ensure!(!ended.stderr.contains("secret"), "{ended}");
    }
    Ok(())
}

#[apply(load_test)]
async fn the_file_follows_a_run_and_keeps_the_end_of_the_one_before(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    let file = env.path("t.prom").display().to_string();
    env.put("in/bad", "no number\tx\n")?;
    env.load_ending(3, "t", &["--metrics-file", &file]).await?;
    let before = written(&env)?;
    ensure!(value(&before, "running")?.abs() < 1e-9, "{before:#?}");

    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/z", "3\tx\n")?;
    let held = env.s3.faults().on_get("in/z", Times::Always, Fault::Hold);
    let mut command = env.command(["load", "s3://etl/", "--table", "t", "--no-batch"]);
    let child = command.args(["--metrics-file", &file]).spawn()?;
    // This is in the file after fifteen seconds.
    let running = until(|| async {
        let found = written(&env)?;
        let loaded = value(&found, "objects status=\"loaded\"")?;
        Ok((loaded > 0.5 && value(&found, "running")? > 0.5).then_some(found))
    })
    .await?;
    for (name, expected) in [
        ("rows outcome=\"loaded\"", 2.0),
        ("objects status=\"failed\"", 1.0),
        ("listed_objects", 3.0),
        ("exit_code", 3.0),
    ] {
        ensure!((value(&running, name)? - expected).abs() < 1e-9, "{name}: {running:#?}");
    }
    let end = "last_run_end_timestamp_seconds";
    ensure!((value(&running, end)? - value(&before, end)?).abs() < 1e-3, "{running:#?}");
    let start = "last_run_start_timestamp_seconds";
    ensure!(value(&running, start)? > value(&before, end)?, "{running:#?}");
    ensure!(value(&running, "duration_seconds")? > 10.0, "{running:#?}");
    ensure!(!running.contains_key("backlog_objects"), "{running:#?}");

    held.remove();
    finish(child).await?.expect(3)?;
    let after = written(&env)?;
    ensure!(value(&after, "running")?.abs() < 1e-9, "{after:#?}");
    ensure!(value(&after, end)? > value(&before, end)?, "{after:#?}");
    ensure!((value(&after, "backlog_objects")? - 1.0).abs() < 1e-9, "{after:#?}");
    Ok(())
}
