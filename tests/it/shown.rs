//! Nothing from outside controls a terminal or forges a line.

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv};
use crate::support::s3::{Fault, Refusal, Times};

/// Erases the screen, forges a line, and reorders and hides text.
const HOSTILE: &str = "\u{9b}2J\u{1b}[2J\r\nerror: forged\n\u{202e}\u{2066}\u{200b}\u{7f}é日";
/// The same without characters that XML cannot hold.
const HOSTILE_XML: &str = "\u{9b}2J\r\nerror: forged\n\u{202e}\u{2066}\u{200b}\u{7f}é日";
const SHOWN_XML: &str = "\\u{9b}2J\\r\\nerror: forged\\n\\u{202e}\\u{2066}\\u{200b}\\u{7f}é日";
const SHOWN: &str =
    "\\u{9b}2J\\u{1b}[2J\\r\\nerror: forged\\n\\u{202e}\\u{2066}\\u{200b}\\u{7f}é日";

/// Runs the command with logs as text and as JSON, and requires that its outputs are harmless.
/// Returns the end of the run with logs as text.
async fn run_harmless(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    for more in [["--log-format", "json", "-v"], ["--log-format", "text", "-v"]] {
        let ended = env.run(&[args, &more].concat()).await?;
        ended.expect(code)?;
        ensure_harmless(&ended)?;
        if more[1] == "text" {
            return Ok(ended);
        }
    }
    anyhow::bail!("no run")
}

fn ensure_harmless(ended: &Ended) -> Result<()> {
    for output in [&ended.stdout, &ended.stderr] {
        let controls = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
                || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        let found = output.find(controls).and_then(|at| output[at..].chars().next());
        ensure!(found.is_none(), "{found:?} is in the output\n{ended}");
        ensure!(!output.lines().any(|line| line.starts_with("error: forged")), "forged\n{ended}");
    }
    Ok(())
}

async fn create(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a VARCHAR(20)) ENGINE=InnoDB").await
}

#[apply(load_test)]
async fn what_a_store_says_is_escaped(env: TestEnv) -> Result<()> {
    create(&env).await?;
    env.put("a", "1\n")?;
    let refusal = Refusal { status: 403, code: "Access\u{9b}Denied", message: HOSTILE_XML };
    env.s3.faults().on_get("a", Times::Always, Fault::Refuse(refusal));
    let load = ["load", "s3://etl/", "--table", "t", "--report", "/dev/null"];
    let ended = run_harmless(&env, 3, &load).await?;
    ended.says(SHOWN_XML)?;
    ended.says("Access\\u{9b}Denied")?;
    let status = run_status(&env, &[]).await?;
    status.says("Access\\u{9b}Denied")?;
    // For machines it is as it was said.
    let json: serde_json::Value =
        serde_json::from_str(&run_status(&env, &["--json"]).await?.stdout)?;
    let said = json["failed"][0]["error"]["message"].as_str().context("no message")?;
    ensure!(said.contains("Access\u{9b}Denied"), "{said}");
    env.s3.faults().on_list(Times::Always, Fault::Refuse(refusal));
    run_harmless(&env, 5, &load).await?.says(SHOWN_XML)?;
    run_harmless(&env, 5, &["plan", "s3://etl/", "--table", "t"]).await?.says(SHOWN_XML)
}

async fn run_status(env: &TestEnv, args: &[&str]) -> Result<Ended> {
    let ended = env.run(&[&["status", "--table", "t"], args].concat()).await?;
    ended.expect(0)?;
    ensure_harmless(&ended)?;
    Ok(ended)
}

#[apply(load_test)]
async fn what_a_listing_holds_is_escaped(env: TestEnv) -> Result<()> {
    create(&env).await?;
    let listing = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult \
                   xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>etl</Name><Prefix/>\
                   <KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>\
                   <Contents><Key>a&#x9b;&#x202e;</Key><LastModified>2026-01-01T00:00:00.000Z\
                   </LastModified><ETag>&quot;e&#13;&#10;error: forged&#10;&#x9b;&quot;</ETag>\
                   <Size>2</Size><StorageClass>STANDARD</StorageClass></Contents>\
                   </ListBucketResult>";
    env.s3.faults().on_list(Times::Always, Fault::edit_listing(|_| listing.to_owned()));
    for command in ["load", "check", "plan"] {
        for format in ["text", "json"] {
            let args = [command, "s3://etl/", "--table", "t", "-v", "--log-format", format];
            let ended = env.run(&args).await?;
            ensure_harmless(&ended)?;
            ensure!(ended.stdout.contains("\\u") || ended.stderr.contains("\\u"), "{ended}");
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn what_a_server_says_is_escaped(env: TestEnv) -> Result<()> {
    create(&env).await?;
    env.put("a", "1\n")?;
    env.schema
        .exec(&format!(
            "CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW \
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{HOSTILE}'"
        ))
        .await?;
    let ended = run_harmless(&env, 3, &["load", "s3://etl/", "--table", "t"]).await?;
    ended.says("error: forged\\n")?;
    ended.says("é日")
}

#[apply(load_test)]
async fn what_the_ledger_holds_is_escaped(env: TestEnv) -> Result<()> {
    create(&env).await?;
    env.put("a", "1\n")?;
    env.load_ending(0, "t", &[]).await?;
    env.schema
        .exec(&format!("UPDATE s3_to_mysql_runs SET run_id = '{HOSTILE}', worker = '{HOSTILE}'"))
        .await?;
    env.schema
        .exec(&format!(
            "INSERT INTO s3_to_mysql_failures SELECT target, generation, '{HOSTILE}', '{HOSTILE}', \
             '{HOSTILE}', '{HOSTILE}', '{HOSTILE}', 1, NOW(), NOW(), '{HOSTILE}', '{HOSTILE}' \
             FROM s3_to_mysql_objects"
        ))
        .await?;
    env.schema
        .exec(&format!("UPDATE s3_to_mysql_jobs SET old_table = '{}'", &HOSTILE[..30]))
        .await?;
    let ended = run_status(&env, &[]).await?;
    let lines = ended.stdout.lines().filter(|line| line.contains("\\nerror: forged\\n")).count();
    ensure!(lines >= 2, "{ended}");
    ended.says(SHOWN)?;
    let json: serde_json::Value =
        serde_json::from_str(&run_status(&env, &["--json"]).await?.stdout)?;
    ensure!(json["runs"][0]["run_id"] == HOSTILE, "{json}");
    Ok(())
}

#[apply(load_test)]
async fn what_a_user_gives_is_escaped_in_messages(env: TestEnv) -> Result<()> {
    create(&env).await?;
    env.put("a", "1\n")?;
    let uri = format!("s3://etl/{HOSTILE}");
    let report = env.path("none").join(HOSTILE).display().to_string();
    let cases: &[(i32, &[&str])] = &[
        (6, &["load", "s3://etl/", "--table", HOSTILE]),
        (6, &["load", "s3://etl/", "--table", "t", "--user", HOSTILE]),
        (6, &["load", "s3://etl/", "--table", "t", "--columns", HOSTILE]),
        (3, &["load", &uri, "--table", "t"]),
        (2, &["load", "s3://etl/", "--table", "t", "--report", &report]),
        (2, &["load", "s3://etl/", "--table", "t", "--set", HOSTILE]),
        (2, &["load", "s3://etl/", "--table", "t", HOSTILE]),
        (2, &["load", "s3://etl/", "--table", "t", "--charset", HOSTILE]),
    ];
    for (code, args) in cases {
        let ended = run_harmless(&env, *code, args).await.with_context(|| format!("{args:?}"))?;
        ended.says("\\u{9b}")?;
    }
    let status = env.run(&["status", "--table", HOSTILE]).await?;
    ensure_harmless(&status)?;
    let unknown = env.run(&["load", &format!("--{HOSTILE}")]).await?;
    unknown.expect(2)?;
    ensure_harmless(&unknown)
}
