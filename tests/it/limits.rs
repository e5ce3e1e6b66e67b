//! Limits of the machine, of files and of the server are named where they end something.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test, plain_test};
use crate::staging::behind;
use crate::support::lines;
use crate::support::program::{Ended, TestEnv, bare_command, finish, finish_with_peak};
use crate::support::s3::{Fault, Times};
use crate::support::servers::Server;

/// Runs `s3-to-mysql load s3://etl/ --table t ARGS...` in a shell after this command.
async fn load_after(env: &TestEnv, command: &str, args: &[&str]) -> Result<Ended> {
    let script = format!("{command}; exec \"$@\"");
    let args = [&["load", "s3://etl/", "--table", "t"], args].concat();
    finish(behind(env, &["sh", "-c", &script, "sh"], &args).spawn()?).await
}

#[apply(load_test)]
async fn a_report_that_outgrows_the_file_size_limit_is_an_error(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for number in 0..60 {
        env.put(&format!("{number:03}{}", "k".repeat(900)), "a\n")?;
    }
    let report = env.path("report").display().to_string();
    let ended = load_after(&env, "ulimit -f 64", &["--report", &report]).await?;
    ended.expect(2)?;
    ended.says(&format!("--report {report} cannot be written"))?;
    ended.says("hint: raise ulimit -f, which limits the size of a file to 32768 bytes")?;
    ensure!(env.count("t").await? == 60, "objects are missing");
    Ok(())
}

#[apply(load_test)]
async fn too_few_open_files_are_named(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for number in 0..100 {
        env.put(&format!("{number}"), "a\n".repeat(1000))?;
    }
    let args = ["--download-concurrency", "32", "--max-attempts", "1", "--no-ledger"];
    for limit in [14, 20, 28] {
        let ended = load_after(&env, &format!("ulimit -n {limit}"), &args).await?;
        ensure!(ended.code != Some(0), "{limit} files are enough\n{ended}");
        ended
            .says(&format!("too many open files: raise ulimit -n (now {limit})"))
            .with_context(|| limit.to_string())?;
    }
    env.schema.exec("TRUNCATE TABLE t").await?;
    // Only the soft limit is that low, so the program may raise it.
    let ended = load_after(&env, "ulimit -Sn 28", &args).await?;
    ended.expect(0)?;
    let ended = load_after(&env, "ulimit -n 90", &args).await?;
    ended.says("ulimit -n is 90, and this run may need 112 open files")
}

#[apply(load_test)]
async fn a_file_without_an_end_is_refused_where_a_small_one_belongs(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let cases: [(&[&str], &str); 6] = [
        (&["--config", "/dev/zero"], "the configuration file /dev/zero cannot be read: "),
        (&["--password-file", "/dev/zero"], "\"/dev/zero\": cannot be read: "),
        (&["--ssl-mode", "VERIFY_CA", "--ssl-ca", "/dev/zero"], "--ssl-ca /dev/zero cannot be"),
        (
            &["--ssl-mode", "REQUIRED", "--ssl-cert", "/dev/zero", "--ssl-key", "/dev/zero"],
            "--ssl-cert /dev/zero cannot be read",
        ),
        (
            &["--ssl-mode", "REQUIRED", "--ssl-cert", "/etc/passwd", "--ssl-key", "/dev/zero"],
            "--ssl-key /dev/zero cannot be read",
        ),
        (&["--keys-from", "/dev/zero"], "--keys-from /dev/zero cannot be read"),
    ];
    for (args, said) in cases {
        let ended = load_after(&env, "ulimit -v 4000000", args).await?;
        ended.expect(2).with_context(|| format!("{args:?}"))?;
        ended.says(said)?;
        ensure!(ended.stderr.contains("4 MiB") || ended.stderr.contains("64 KiB"), "{ended}");
    }
    Ok(())
}

#[apply(plain_test)]
async fn a_file_of_the_sdk_that_is_endless_or_a_pipe_is_refused_with_its_variable() -> Result<()> {
    const VARIABLES: [&str; 5] = [
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "SSL_CERT_FILE",
    ];
    let home = tempfile::tempdir()?;
    let (pipe, huge) = (home.path().join("pipe"), home.path().join("huge"));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status()?;
    ensure!(made.success(), "mkfifo failed");
    std::fs::File::create(&huge)?.set_len(10 << 30)?;
    let load = || {
        let mut command = bare_command(home.path());
        command
            .env("DATABASE_URL", "mysql://u@127.0.0.1:1/d")
            .args(["load", "s3://etl/", "--table", "t", "--max-attempts", "1"])
            .args(["--endpoint-url", "http://127.0.0.1:1", "--staging-dir", "/tmp"]);
        command
    };
    let refused = async |mut command: tokio::process::Command, said: &str, why: &str| {
        let (ended, peak_kib) = finish_with_peak(command.spawn()?).await?;
        ended.expect(2)?;
        ended.says(&format!("{said} cannot be used"))?;
        ended.says(why)?;
        ensure!(peak_kib < 100 * 1024, "{peak_kib} KiB");
        anyhow::Ok(())
    };
    for variable in VARIABLES {
        for (path, why) in [
            (Path::new("/dev/zero"), "it is not a regular file"),
            (&pipe, "it is not a regular file"),
            (&huge, "it is larger than 4 MiB"),
        ] {
            let mut command = load();
            command.env(variable, path);
            refused(command, &format!("{variable} {}", path.display()), why).await?;
        }
    }
    let mut command = load();
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    // Nothing listens there.
    finish(command.spawn()?).await?.expect(5)?;
    std::fs::create_dir(home.path().join(".aws"))?;
    let default = home.path().join(".aws/config");
    std::fs::rename(&pipe, &default)?;
    let said = format!("the AWS SDK's file {}", default.display());
    refused(load(), &said, "it is not a regular file").await
}

#[apply(load_test)]
async fn reports_are_for_this_user_only(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "a\n")?;
    let mode = |name: &str| {
        std::fs::metadata(env.path(name)).map(|metadata| metadata.permissions().mode() & 0o777)
    };
    let (new, old) = (env.path("new").display().to_string(), env.path("old").display().to_string());
    let keys = env.path("keys").display().to_string();
    std::fs::write(&old, "what was in it")?;
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o640))?;
    for report in [&new, &old] {
        let args = ["--report", report, "--failed-keys", &keys];
        load_after(&env, "umask 0", &args).await?.expect(0)?;
    }
    ensure!(mode("new")? == 0o600 && mode("keys")? == 0o600, "others can read it");
    ensure!(mode("old")? == 0o640, "an existing file has lost its permissions");
    ensure!(!env.report("old")?.is_empty(), "nothing was reported");
    Ok(())
}

#[apply(load_test)]
async fn a_failure_with_names_too_long_for_the_ledger_is_recorded(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let entry = |key: &str, etag: &str| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;{etag}&quot;</ETag><Size>2</Size></Contents>"
        )
    };
    let entries = [
        entry("a", &"e".repeat(300)),
        entry(&format!("{}1", "k".repeat(1100)), "e"),
        entry(&format!("{}2", "k".repeat(1100)), "e"),
    ];
    let listing = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>etl</Name><Prefix></Prefix>\
         <KeyCount>3</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{}\
         </ListBucketResult>",
        entries.concat()
    );
    env.s3.faults().on_list(Times::Always, Fault::edit_listing(move |_| listing.clone()));
    let ended = env.load_ending(3, "t", &[]).await?;
    for lost in ["cannot record a failure", "connection was lost"] {
        ensure!(!ended.stderr.contains(lost), "{ended}");
    }
    ensure!(env.count("s3_to_mysql_failures").await? == 3, "not all are recorded\n{ended}");
    let status = env.run(&["status", "--table", "t", "--details"]).await?;
    status.says("(1101 bytes, sha256 ")
}

#[apply(load_test)]
async fn a_small_max_allowed_packet_divides_what_is_sent(env: TestEnv) -> Result<()> {
    let server = Server::start(env.server.kind(), &["--max-allowed-packet=65536"])?;
    let schema = server.schema().await?;
    schema.exec("CREATE TABLE t (line VARCHAR(20)) ENGINE=InnoDB").await?;
    for number in 0..400 {
        env.put(&format!("{number:04}{}", "k".repeat(900)), "a\n")?;
    }
    env.put("large", "a\n".repeat(300_000))?;
    let url = schema.url();
    let args = ["load", "s3://etl/", "--table", "t", "--database-url", &url];
    for objects in ["401", "0"] {
        let ended = env.run(&args).await?;
        ended.expect(0)?;
        ensure!(ended.summary("objects loaded")? == objects, "{ended}");
        ensure!(!ended.stderr.contains("connection was lost"), "{ended}");
    }
    let rows: u64 = schema.query_one("SELECT COUNT(*) FROM t").await?;
    ensure!(rows == 300_400, "{rows} rows");
    // One expression that does not fit cannot be divided.
    let expression = format!("line=CONCAT('{}')", "x".repeat(70_000));
    let ended = env
        .run(&[args.as_slice(), &["--columns", "@x", "--set", &expression, "--no-ledger"]].concat())
        .await?;
    ensure!(ended.code != Some(0), "{ended}");
    ended.says("but the server's max_allowed_packet is 65536")?;
    ended.says("hint: an administrator must raise max_allowed_packet")
}
