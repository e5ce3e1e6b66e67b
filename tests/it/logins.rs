//! Logging in: what becomes known of a password on the way, the plugins of accounts, and the
//! reasons for which an account cannot log in.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish};
use crate::support::servers::{Schema, Server, ServerKind};
use crate::support::thief::{Ask, ENCRYPTED_BYTES, KEY, Thief};
use crate::support::values::ensure_values;

const PASSWORD: &str = "Open-Sesame-17";
const REFUSED: &str = "the server asks for the password itself, without TLS";

/// Every command that logs in.
const COMMANDS: [&[&str]; 5] = [
    &["load", "s3://etl/", "--table", "t"],
    &["check", "s3://etl/", "--table", "t"],
    &["plan", "s3://etl/", "--table", "t"],
    &["status", "--table", "t"],
    &["forget", "s3://etl/", "--table", "t", "--yes"],
];

/// Runs a command against the server at `url`, with busy servers tried again for a second only.
async fn run_at(env: &TestEnv, url: &str, command: &[&str], args: &[&str]) -> Result<Ended> {
    let mut program = env.command([command, args].concat());
    program.env("DATABASE_URL", url).env("S3_TO_MYSQL_RETRY_MAX_ELAPSED", "1s");
    finish(program.spawn()?).await
}

async fn load_at(env: &TestEnv, url: &str, args: &[&str]) -> Result<Ended> {
    run_at(env, url, COMMANDS[0], args).await
}

fn thiefs_url(thief: &Thief) -> String {
    format!("mysql://loader:{PASSWORD}@127.0.0.1:{}/db", thief.port())
}

/// Creates a table `t` and an account with a password.
async fn with_password(server: &Server) -> Result<Schema<'_>> {
    let schema = server.schema_with_password(Some(PASSWORD)).await?;
    schema.exec("CREATE TABLE t (a INT)").await?;
    Ok(schema)
}

/// Makes MySQL forget the hashes of passwords.
async fn forget_hashes(schema: &Schema<'_>) -> Result<()> {
    schema.exec("FLUSH PRIVILEGES").await
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not text")
}

#[apply(load_test)]
async fn a_server_that_asks_for_the_password_without_tls_does_not_get_it(
    env: TestEnv,
) -> Result<()> {
    env.put("1", "1\n")?;
    for ask in [Ask::Password, Ask::PasswordAfterSwitch, Ask::PasswordInOneSegment] {
        let thief = Thief::start(ask).await?;
        for command in COMMANDS {
            let ended = run_at(&env, &thiefs_url(&thief), command, &[]).await?;
            ended.expect(6)?;
            ended.says("the database server refused the login")?;
            ended.says(REFUSED)?;
            ended.says("--server-public-key-path")?;
        }
        ensure!(thief.asked() as usize >= COMMANDS.len(), "{ask:?}: {}", thief.asked());
        ensure!(thief.taken().is_empty(), "{ask:?}: {:?}", thief.taken());
        // It is a thief: where any key will do, it gets the question for its key, and the password.
        load_at(&env, &thiefs_url(&thief), &["--get-server-public-key"]).await?;
        ensure!(thief.taken().len() == 1 + ENCRYPTED_BYTES, "{ask:?}: {:?}", thief.taken());
    }
    Ok(())
}

/// An address of this machine that does not count as one, so that it is as good as another host.
const ELSEWHERE: [&str; 2] = ["--host", "0.0.0.0"];

#[apply(load_test)]
async fn preferring_tls_gives_no_password_to_another_host_without_it(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    let thief = Thief::start(Ask::Password).await?;
    let url = thiefs_url(&thief);
    let any_key = [&ELSEWHERE[..], &["--get-server-public-key"]].concat();
    for args in [ELSEWHERE.to_vec(), any_key.clone()] {
        let ended =
            load_at(&env, &url, &[&args[..], &["--ssl-mode", "PREFERRED"]].concat()).await?;
        ended.expect(6)?;
        ended.says("the server offers no TLS: rows travel unencrypted")?;
        ended.says(REFUSED)?;
    }
    let ended = load_at(&env, &url, &any_key).await?;
    ended.expect(6)?;
    ended.says("no TLS connection to the database server")?;
    ensure!(thief.taken().is_empty(), "{:?}", thief.taken());
    load_at(&env, &url, &[&any_key[..], &["--ssl-mode", "DISABLED"]].concat()).await?;
    ensure!(thief.taken().len() == 1 + ENCRYPTED_BYTES, "{:?}", thief.taken());
    Ok(())
}

#[apply(load_test)]
async fn a_server_that_turns_bad_after_some_logins_does_not_get_the_password(
    env: TestEnv,
) -> Result<()> {
    let schema = with_password(env.server).await?;
    // Now MySQL has the hash.
    schema.user_conn().await?.disconnect().await?;
    for key in ["1", "2", "3"] {
        env.put(key, "1\n")?;
    }
    // A run makes two connections or more.
    for honest in 0..4 {
        let thief = Thief::behind(env.server.port(), honest, Ask::Password).await?;
        let port = thief.port().to_string();
        let args = ["--port", &port, "--ssl-mode", "DISABLED", "--force"];
        let ended = load_at(&env, &schema.url(), &args).await?;
        ensure!(thief.taken().is_empty(), "{:?}", thief.taken());
        ensure!(thief.asked() > 0 || honest > 1, "only {honest} connections were made\n{ended}");
        if thief.asked() > 0 {
            ensure!(ended.code != Some(0), "{ended}");
            ended.says(REFUSED)?;
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn a_server_that_would_be_logged_into_again_is_refused_without_tls(
    env: TestEnv,
) -> Result<()> {
    env.put("1", "1\n")?;
    let thief = Thief::start(Ask::OldVersion).await?;
    let ended = load_at(&env, &thiefs_url(&thief), &[]).await?;
    ended.expect(6)?;
    ended.says("the server is older than MySQL 5.7.3 or MariaDB 10.2.4")?;
    ensure!(thief.taken().is_empty(), "{:?}", thief.taken());
    Ok(())
}

#[apply(load_test)]
async fn a_server_that_has_the_client_compute_without_end_is_left(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    let thief = Thief::start(Ask::Rounds).await?;
    for command in COMMANDS {
        let began = Instant::now();
        let ended =
            run_at(&env, &thiefs_url(&thief), command, &["--connect-timeout", "1s"]).await?;
        ended.expect(6)?;
        ended.says("no connection within 1s")?;
        ensure!(began.elapsed() < Duration::from_secs(20), "{command:?}: {:?}", began.elapsed());
    }
    ensure!(thief.asked() as usize >= COMMANDS.len(), "{}", thief.asked());
    Ok(())
}

/// Starts a forwarder that keeps the client's bytes.
async fn wiretap(server_port: u16) -> Result<(u16, Arc<Mutex<Vec<u8>>>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
    let tap = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let tap = Arc::clone(&tap);
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) =
                    TcpStream::connect(("127.0.0.1", server_port)).await?.into_split();
                let there = async {
                    let mut block = vec![0; 4096];
                    loop {
                        let length = from_client.read(&mut block).await?;
                        if length == 0 {
                            return to_server.shutdown().await;
                        }
                        if let Ok(mut heard) = tap.lock() {
                            heard.extend(&block[..length]);
                        }
                        to_server.write_all(&block[..length]).await?;
                    }
                };
                tokio::try_join!(there, tokio::io::copy(&mut from_server, &mut to_client))
                    .map(|_| ())
            });
        }
    });
    Ok((port, heard))
}

#[apply(load_test)]
async fn a_password_is_never_sent_in_the_clear(env: TestEnv) -> Result<()> {
    // The account is new, so that MySQL's caching_sha2_password asks for the whole password.
    let schema = with_password(env.server).await?;
    env.put("1", "1\n")?;
    let (port, heard) = wiretap(env.server.port()).await?;
    let port = port.to_string();
    let args = ["--ssl-mode", "DISABLED", "--port", &port];
    if env.server.kind() == ServerKind::Mysql {
        let ended = load_at(&env, &schema.url(), &args).await?;
        ended.expect(6)?;
        ended.says(REFUSED)?;
    }
    load_at(&env, &schema.url(), &[&args[..], &["--get-server-public-key"]].concat())
        .await?
        .expect(0)?;
    // The hash is enough now.
    load_at(&env, &schema.url(), &[&args[..], &["--force"]].concat()).await?.expect(0)?;
    ensure_values(&schema, "SELECT a FROM t", &["1", "1"]).await?;
    let heard = heard.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
    let has = |text: &[u8]| heard.windows(text.len()).any(|window| window == text);
    ensure!(has(b"LOAD DATA LOCAL"), "the wire was not tapped");
    ensure!(!has(PASSWORD.as_bytes()), "the password was on the wire");
    Ok(())
}

#[apply(load_test)]
async fn a_key_that_is_named_is_the_only_one_that_counts(env: TestEnv) -> Result<()> {
    // The hashes of all accounts are forgotten together.
    let server = Server::start(env.server.kind(), &[])?;
    let schema = with_password(&server).await?;
    env.put("1", "1\n")?;
    let own = server.files().with_file_name("data").join("public_key.pem");
    let other = env.path("other.pem");
    std::fs::write(&other, KEY)?;
    let plain = ["--ssl-mode", "DISABLED", "--server-public-key-path"];
    let ended = load_at(&env, &schema.url(), &[&plain[..], &["/dev/null"]].concat()).await?;
    ended.expect(2)?;
    ended.says("there is no PUBLIC KEY in it")?;
    if env.server.kind() == ServerKind::Mariadb {
        // It has no such key, and no plugin that would ask for one.
        return load_at(&env, &schema.url(), &[&plain[..], &[text(&other)?]].concat())
            .await?
            .expect(0);
    }
    for also in [&[][..], &["--get-server-public-key"]] {
        let args = [&plain[..], &[text(&other)?], also].concat();
        let ended = load_at(&env, &schema.url(), &args).await?;
        ended.expect(6)?;
        ended.says("the server's public key is not the one in --server-public-key-path")?;
    }
    for command in COMMANDS {
        forget_hashes(&schema).await?;
        run_at(&env, &schema.url(), command, &[&plain[..], &[text(&own)?]].concat())
            .await?
            .expect(0)?;
    }
    // Neither TLS nor a socket needs a key.
    let socket = text(server.socket())?;
    for args in [&["--ssl-mode", "REQUIRED"][..], &["--socket", socket]] {
        forget_hashes(&schema).await?;
        load_at(&env, &schema.url(), &[args, &["--force"]].concat()).await?.expect(0)?;
    }
    ensure_values(&schema, "SELECT a FROM t", &["1", "1", "1"]).await
}

/// A connection that is guarded behaves like any other when the server is not there.
#[apply(load_test)]
async fn a_server_that_is_down_is_unreachable_with_a_password_too(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    drop(listener);
    let url = format!("mysql://loader:{PASSWORD}@127.0.0.1:{port}/db");
    for mode in ["DISABLED", "PREFERRED"] {
        let ended = load_at(&env, &url, &["--ssl-mode", mode]).await?;
        ended.expect(6)?;
        ended.says("the database server cannot be reached")?;
        ended.says("refused")?;
    }
    Ok(())
}

/// Large objects, many connections, and compression go through the guard unchanged.
#[apply(load_test)]
async fn a_guarded_connection_loads_like_any_other(env: TestEnv) -> Result<()> {
    let schema = with_password(env.server).await?;
    schema.user_conn().await?.disconnect().await?;
    let lines: String = (0..200_000).map(|number| format!("{number}\n")).collect();
    for key in 0..8 {
        env.put(&key.to_string(), lines.clone())?;
    }
    for compress in ["off", "zlib"] {
        let args = ["--ssl-mode", "DISABLED", "--compress", compress, "--force"];
        load_at(&env, &schema.url(), &args).await?.expect(0)?;
    }
    ensure_values(
        &schema,
        "SELECT COUNT(*), COUNT(DISTINCT a), SUM(a) FROM t",
        &["3200000|200000|319998400000"],
    )
    .await
}

/// Returns the directory of the plugins of MariaDB that `scripts/setup.sh` fetches.
fn plugins() -> Result<PathBuf> {
    let cache = std::env::var_os("S3_TO_MYSQL_CACHE").map(PathBuf::from).or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
        Some(base.join("s3-to-mysql"))
    });
    [Some("/usr/lib/mysql/plugin".into()), cache.map(|cache| cache.join("mariadb-plugins"))]
        .into_iter()
        .flatten()
        .find(|folder: &PathBuf| folder.join("auth_ed25519.so").exists())
        .context("MariaDB's plugins are missing: scripts/setup.sh fetches them")
}

#[apply(load_test)]
async fn accounts_of_every_plugin_log_in_or_are_told_why_not(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    match env.server.kind() {
        ServerKind::Mariadb => mariadbs_plugins(&env).await,
        ServerKind::Mysql => mysqls_plugins(&env).await,
    }
}

async fn mariadbs_plugins(env: &TestEnv) -> Result<()> {
    let folder = format!("--plugin-dir={}", text(&plugins()?)?);
    let options = [&folder, "--plugin-load-add=auth_ed25519", "--plugin-load-add=auth_pam_v1"];
    let server = Server::start(ServerKind::Mariadb, &options)?;
    let schema = with_password(&server).await?;
    let identify = async |by: &str| {
        schema.exec(&format!("ALTER USER {}@'%' IDENTIFIED VIA {by}", schema.user)).await
    };
    identify(&format!("ed25519 USING PASSWORD('{PASSWORD}')")).await?;
    for command in COMMANDS {
        run_at(env, &schema.url(), command, &[]).await?.expect(0)?;
        let wrong = server.url(&schema.user, &schema.name).replace('@', ":wrong@");
        run_at(env, &wrong, command, &[]).await?.says("ERROR 1045 (28000)")?;
    }
    ensure_values(&schema, "SELECT a FROM t", &["1"]).await?;

    identify("pam").await?;
    for command in COMMANDS {
        let ended = run_at(env, &schema.url(), command, &[]).await?;
        ended.expect(6)?;
        ended.says("the database server refused the login")?;
        ended.says("`dialog'")?;
        ended.says("hint: this program does not answer the questions of PAM")?;
    }
    logs_in_through_its_socket(env, &schema, "VIA unix_socket").await
}

async fn mysqls_plugins(env: &TestEnv) -> Result<()> {
    const INSTALL: &str = "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'";
    let server = Server::start(ServerKind::Mysql, &[])?;
    let schema = with_password(&server).await?;
    let identify = format!("ALTER USER {}@'%' IDENTIFIED WITH sha256_password", schema.user);
    schema.exec(&format!("{identify} BY '{PASSWORD}'")).await?;
    for command in COMMANDS {
        for mode in ["DISABLED", "REQUIRED"] {
            let ended = run_at(env, &schema.url(), command, &["--ssl-mode", mode]).await?;
            ended.expect(6)?;
            ended.says("the database server refused the login")?;
            ended.says("`sha256_password'")?;
            ended.says("IDENTIFIED WITH caching_sha2_password")?;
        }
    }
    schema.exec(INSTALL).await?;
    schema.exec("CREATE USER orphan IDENTIFIED WITH auth_socket").await?;
    schema.exec("UNINSTALL PLUGIN auth_socket").await?;
    let ended = load_at(env, &server.url("orphan", &schema.name), &[]).await?;
    ended.expect(6)?;
    ended.says("ERROR 1524")?;
    ended.says("hint: the account's plugin is not loaded on the server")?;
    schema.exec(INSTALL).await?;
    logs_in_through_its_socket(env, &schema, "WITH auth_socket").await
}

/// Shows that an account of the operating system's user logs in through the socket and not by TCP.
async fn logs_in_through_its_socket(env: &TestEnv, schema: &Schema<'_>, how: &str) -> Result<()> {
    let output = std::process::Command::new("id").arg("-un").output()?;
    let user = String::from_utf8(output.stdout)?.trim().to_owned();
    for account in [format!("`{user}`@localhost"), format!("`{user}`@'%'")] {
        schema.exec(&format!("CREATE USER IF NOT EXISTS {account}")).await?;
        schema.exec(&format!("GRANT ALL ON *.* TO {account}")).await?;
        schema.exec(&format!("ALTER USER {account} IDENTIFIED {how}")).await?;
    }
    let url = schema.server.url(&user, &schema.name);
    let socket = text(schema.server.socket())?;
    load_at(env, &url, &["--socket", socket, "--force"]).await?.expect(0)?;
    // From 127.0.0.1, root has an account without a password.
    schema.exec(&format!("CREATE USER IF NOT EXISTS `{user}`@'127.0.0.1'")).await?;
    schema.exec(&format!("ALTER USER `{user}`@'127.0.0.1' IDENTIFIED {how}")).await?;
    let ended = load_at(env, &url, &[]).await?;
    ended.expect(6)?;
    ended.says("the database server refused the login")?;
    ended.says("ERROR 1698 (28000)")?;
    ended.says("hint: if the account's plugin is unix_socket or auth_socket")
}

#[apply(load_test)]
async fn a_plugin_that_is_not_known_is_named_with_the_ways_out(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    for (plugin, hint) in [
        ("auth_gssapi_client", "Kerberos"),
        ("authentication_openid_connect_client", "an administrator must give the account one of"),
        ("mysql_clear_password", "in clear text"),
        ("mysql_old_password", "in the format of MySQL 4.0"),
        ("no_such_plugin", "an administrator must give the account one of"),
    ] {
        let thief = Thief::start(Ask::Plugin(plugin)).await?;
        for command in COMMANDS {
            let ended = run_at(&env, &thiefs_url(&thief), command, &[]).await?;
            ended.expect(6)?;
            ended.says("the database server refused the login")?;
            ended.says(plugin)?;
            ended.says(hint)?;
        }
        let taken = thief.taken();
        ensure!(
            !taken.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()),
            "{plugin}: {taken:?}"
        );
    }
    Ok(())
}

#[apply(load_test)]
async fn an_account_that_may_not_log_in_is_told_what_to_do(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    let schema = with_password(env.server).await?;
    schema.user_conn().await?.disconnect().await?;
    let account = format!("{}@'%'", schema.user);
    let (expired, locked) = match env.server.kind() {
        ServerKind::Mysql => ("ERROR 1862", "ERROR 3118"),
        ServerKind::Mariadb => ("ERROR 1820", "ERROR 4151"),
    };
    let alter = async |how: &str| schema.exec(&format!("ALTER USER {account} {how}")).await;
    let refused = async |code: &str, hint: &str| {
        for command in COMMANDS {
            let ended = run_at(&env, &schema.url(), command, &[]).await?;
            ended.expect(6)?;
            ended.says(code)?;
            ended.says(&format!("hint: {hint}"))?;
        }
        Ok::<_, anyhow::Error>(())
    };
    alter("PASSWORD EXPIRE").await?;
    refused(expired, "the account's password has expired").await?;
    alter(&format!("IDENTIFIED BY '{PASSWORD}'")).await?;
    alter("ACCOUNT LOCK").await?;
    refused(locked, "an administrator must run ALTER USER ... ACCOUNT UNLOCK").await?;
    alter("ACCOUNT UNLOCK").await?;
    alter("WITH MAX_CONNECTIONS_PER_HOUR 1").await?;
    let _ = schema.user_conn().await;
    refused("ERROR 1226", "the account has used up a limit of its own").await
}

#[apply(load_test)]
async fn an_account_that_is_blocked_for_its_failed_logins_is_told_what_to_do(
    env: TestEnv,
) -> Result<()> {
    env.put("1", "1\n")?;
    let server = Server::start(env.server.kind(), &[])?;
    let schema = with_password(&server).await?;
    let (code, limit) = match server.kind() {
        ServerKind::Mysql => (
            "ERROR 3955",
            format!("ALTER USER {}@'%' FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1", schema.user),
        ),
        ServerKind::Mariadb => ("ERROR 4150", "SET GLOBAL max_password_errors = 1".to_owned()),
    };
    schema.exec(&limit).await?;
    let wrong = server.url(&schema.user, &schema.name).replace('@', ":wrong@");
    for _ in 0..2 {
        load_at(&env, &wrong, &[]).await?.expect(6)?;
    }
    let ended = load_at(&env, &schema.url(), &[]).await?;
    ended.expect(6)?;
    ended.says(code)?;
    ended.says("hint: the account is blocked, because too many logins")
}

#[apply(load_test)]
async fn a_login_that_is_refused_in_the_middle_of_a_run_is_told_too(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    let schema = with_password(env.server).await?;
    schema.user_conn().await?.disconnect().await?;
    let account = format!("{}@'%'", schema.user);
    schema.exec(&format!("ALTER USER {account} WITH MAX_USER_CONNECTIONS 1")).await?;
    let ended = load_at(&env, &schema.url(), &[]).await?;
    ensure!(ended.code != Some(0), "{ended}");
    ended.says("ERROR 1226")?;
    ended.says("hint: the account has used up a limit of its own")
}

#[apply(load_test)]
async fn a_server_that_is_full_is_told_with_the_variable_that_says_so(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    let options = ["--max-connections=15", "--max-user-connections=10"];
    let server = Server::start(env.server.kind(), &options)?;
    let schema = with_password(&server).await?;
    let mut others = Vec::new();
    for _ in 0..10 {
        others.push(schema.user_conn().await?);
    }
    let ended = load_at(&env, &schema.url(), &[]).await?;
    ended.expect(6)?;
    ended.says("ERROR 1203")?;
    ended.says("hint: the account has as many connections as max_user_connections allows")?;
    while let Ok(one) = server.root().await {
        others.push(one);
    }
    ensure!(others.len() >= 15, "{}", others.len());
    let ended = load_at(&env, &schema.url(), &[]).await?;
    ended.expect(6)?;
    ended.says("ERROR 1040")?;
    ended.says("hint: the server has as many connections as max_connections allows")
}
