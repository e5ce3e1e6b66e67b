//! The target: names, accounts, passwords, TLS, and everything that the program notices before it
//! reads the first byte.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use tokio::net::{TcpListener, TcpStream};

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish};
use crate::support::servers::{Server, ServerKind};
use crate::support::values::{ensure_values, values};

/// Runs `load s3://etl/ --table TABLE ARGS...` into the database at this URL.
async fn load_at(env: &TestEnv, url: &str, table: &str, args: &[&str]) -> Result<Ended> {
    let all = [&["load", "s3://etl/", "--table", table], args].concat();
    finish(env.command(all).env("DATABASE_URL", url).spawn()?).await
}

/// Creates an account that has these privileges on the test's table `t`, and returns its URL.
async fn account(env: &TestEnv, privileges: &str) -> Result<String> {
    let (name, schema) = (format!("few_{}", env.schema.name), &env.schema.name);
    env.schema.exec(&format!("CREATE USER {name}@'%' IDENTIFIED BY ''")).await?;
    env.schema.exec(&format!("GRANT {privileges} ON {schema}.t TO {name}@'%'")).await?;
    Ok(env.server.url(&name, schema))
}

#[apply(load_test)]
async fn tables_and_columns_of_any_name_are_loaded(env: TestEnv) -> Result<()> {
    env.put("1", "1\t2\t3\t4\t5\n")?;
    let columns = "`a b` INT, `a``b` INT, `a.b` INT, `select` INT, `\u{540d}\u{524d}` INT";
    let named = "`a b`,`a``b`,`a.b`,`select`,`\u{540d}\u{524d}`";
    for (given, quoted) in [
        ("a b", "`a b`"),
        ("`a.b`", "`a.b`"),
        ("`a``b`", "`a``b`"),
        ("select", "`select`"),
        ("\u{540d}\u{524d}", "`\u{540d}\u{524d}`"),
        ("it's \"x\"; --", "`it's \"x\"; --`"),
    ] {
        env.schema.exec(&format!("CREATE TABLE {quoted} ({columns})")).await?;
        env.load_ending(0, given, &[]).await?;
        env.load_ending(0, given, &["--force", "--columns", named]).await?;
        ensure_values(&env.schema, &format!("SELECT * FROM {quoted}"), &["1|2|3|4|5", "1|2|3|4|5"])
            .await?;
    }

    let database = format!("`odd.{} ``x`", env.schema.name);
    env.schema.exec(&format!("CREATE DATABASE {database}")).await?;
    env.schema.exec(&format!("GRANT ALL ON {database}.* TO {}@'%'", env.schema.user)).await?;
    env.schema.exec(&format!("CREATE TABLE {database}.`a.b` ({columns})")).await?;
    env.load_ending(0, &format!("{database}.`a.b`"), &[]).await?;
    env.load_ending(0, &format!("{database}.a.b"), &["--force"]).await?;
    ensure!(env.count(&format!("{database}.`a.b`")).await? == 2);
    Ok(())
}

#[apply(load_test)]
async fn a_wrong_password_is_told_with_its_remedy(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    env.put("1", "1\n")?;
    let args = ["load", "s3://etl/", "--table", "t"];
    let ended = finish(env.command(args).env("MYSQL_PWD", "wrong-secret").spawn()?).await?;
    ended.expect(6)?;
    ended.says("the database server refused the login")?;
    ended.says("ERROR 1045 (28000): Access denied")?;
    ended.says("hint: check --user, the password and the account's host part")?;
    ensure!(!ended.stderr.contains("wrong-secret"), "{ended}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn an_unknown_database_is_told_with_its_remedy(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    let ended = load_at(&env, &env.server.url("root", "nonesuch"), "t", &[]).await?;
    ended.expect(6)?;
    ended.says("ERROR 1049 (42000): Unknown database 'nonesuch'")?;
    ended.says("hint: create the database first, or check --database")?;
    // An account that cannot see it gets another error, and the same hint.
    let ended = env.load_ending(6, "t", &["--database", "nonesuch"]).await?;
    ended.says("ERROR 1044 (42000): Access denied")?;
    ended.says("hint: create the database first, or check --database")
}

#[apply(load_test)]
async fn a_table_that_is_missing_is_told_with_the_nearest_name(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE orders (a INT)").await?;
    env.put("1", "1\n")?;
    let ended = env.load_ending(6, "ordres", &[]).await?;
    ended.says("table `ordres` does not exist, or the account cannot see it")?;
    ended.says("hint: did you mean \"orders\"?")?;
    let ended = env.load_ending(6, "something_else", &[]).await?;
    ended.says("hint: create the table first, or check --table")
}

#[apply(load_test)]
async fn all_columns_that_are_missing_are_told_at_once(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (amount INT, price INT)").await?;
    env.put("1", "1\n")?;
    let ended =
        env.load_ending(6, "t", &["--columns", "amuont,zzz,@x", "--set", "prize = 1"]).await?;
    ended.says("there is no column \"amuont\", named in --columns")?;
    ended.says("hint: did you mean \"amount\"?")?;
    ended.says("there is no column \"zzz\", named in --columns")?;
    ended.says("there is no column \"prize\", named in --set")?;
    ended.says("hint: did you mean \"price\"?")
}

#[apply(load_test)]
async fn an_account_without_insert_is_refused(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    env.put("1", "1\n")?;
    let url = account(&env, "SELECT, UPDATE, DELETE").await?;
    let ended = load_at(&env, &url, "t", &[]).await?;
    ended.expect(6)?;
    ended.says("ERROR 1142 (42000): INSERT command denied")?;
    ended.says("hint: the account needs the INSERT privilege on the table")?;
    ensure!(env.s3.log().gets_of("1").is_empty(), "nothing was to be read");
    Ok(())
}

#[apply(load_test)]
async fn an_account_with_insert_alone_can_load(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b INT)").await?;
    env.put("1", "1\t2\n")?;
    let url = account(&env, "INSERT").await?;
    load_at(&env, &url, "t", &["--no-ledger"]).await?.expect(0)?;
    ensure_values(&env.schema, "SELECT * FROM t", &["1|2"]).await
}

#[apply(load_test)]
async fn replacing_needs_the_delete_privilege(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT PRIMARY KEY)").await?;
    env.put("1", "1\n")?;
    let url = account(&env, "SELECT, INSERT").await?;
    let ended = load_at(&env, &url, "t", &["--no-ledger", "--on-duplicate", "replace"]).await?;
    ended.expect(6)?;
    ended.says("ERROR 1142 (42000): ")?;
    ended.says("hint: --on-duplicate replace also needs the DELETE privilege")?;
    ensure!(env.count("t").await? == 0);
    load_at(&env, &url, "t", &["--no-ledger"]).await?.expect(0)
}

#[apply(load_test)]
async fn engines_that_do_not_roll_back_are_refused(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    let engines = match env.server.kind() {
        ServerKind::Mysql => vec!["MyISAM", "MEMORY"],
        ServerKind::Mariadb => vec!["MyISAM", "MEMORY", "Aria"],
    };
    for engine in engines {
        let table = format!("t_{engine}");
        env.schema.exec(&format!("CREATE TABLE {table} (a INT) ENGINE={engine}")).await?;
        let ended = env.load_ending(6, &table, &[]).await?;
        ended.says(&format!("its engine {engine} does not roll back"))?;
        ended.says("hint: ALTER TABLE ... ENGINE=InnoDB")?;
        ensure!(env.count(&table).await? == 0);
    }
    Ok(())
}

#[apply(load_test)]
async fn local_infile_off_names_the_variable_and_the_remedy(env: TestEnv) -> Result<()> {
    let server = Server::start(env.server.kind(), &["--local-infile=OFF"])?;
    let schema = server.schema().await?;
    schema.exec("CREATE TABLE t (a INT)").await?;
    env.put("1", "1\n")?;
    let ended = load_at(&env, &schema.url(), "t", &[]).await?;
    ended.expect(6)?;
    ended.says(match server.kind() {
        ServerKind::Mysql => "ERROR 3948 (42000)",
        ServerKind::Mariadb => "ERROR 4166 (HY000)",
    })?;
    ended.says(
        "hint: local_infile is OFF on the server; an administrator must run SET GLOBAL \
         local_infile = ON",
    )?;
    ensure!(env.s3.log().gets_of("1").is_empty(), "nothing was to be read");
    schema.exec("SET GLOBAL local_infile = ON").await?;
    load_at(&env, &schema.url(), "t", &[]).await?.expect(0)?;
    ensure_values(&schema, "SELECT a FROM t", &["1"]).await
}

#[apply(load_test)]
async fn a_server_that_is_not_there_is_told(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    // A port that was free a moment ago.
    let port = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port();
    let ended = env.load_ending(6, "t", &["--port", &port.to_string()]).await?;
    ended.says("the database server cannot be reached")?;
    ended.says("hint: check --host, --port, --socket and that the server is running")?;
    let ended = env.load_ending(6, "t", &["--socket", "/nonexistent/socket"]).await?;
    ended.says("/nonexistent/socket")?;
    let ended = env.load_ending(6, "t", &["--host", "no-such-host.invalid", "--port", "1"]).await?;
    ended.says("no-such-host.invalid:1")
}

#[apply(load_test)]
async fn a_server_that_never_answers_costs_the_connect_timeout(env: TestEnv) -> Result<()> {
    env.put("1", "1\n")?;
    let silent = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = silent.local_addr()?.port().to_string();
    let started = Instant::now();
    let ended = env.load_ending(6, "t", &["--port", &port, "--connect-timeout", "300ms"]).await?;
    ended.says("no connection within 300ms")?;
    ensure!(started.elapsed() < Duration::from_secs(9), "the default limit was used");
    Ok(())
}

#[apply(load_test)]
async fn problems_of_source_and_target_are_told_at_once(env: TestEnv) -> Result<()> {
    let args = ["load", "s3://nonesuch/", "--table", "t"];
    let ended = finish(env.command(args).env("MYSQL_PWD", "wrong").spawn()?).await?;
    ended.expect(5)?;
    ended.says("nonesuch")?;
    ended.says("hint: check the bucket's name")?;
    ended.says("ERROR 1045 (28000)")?;

    env.schema.exec("CREATE TABLE t (a INT) ENGINE=MyISAM").await?;
    let ended = env.run(&["load", "s3://nonesuch/", "--table", "t", "--columns", "b"]).await?;
    ended.expect(5)?;
    for problem in
        ["hint: check the bucket's name", "does not roll back", "there is no column \"b\""]
    {
        ended.says(problem)?;
    }
    // An unusable target matters more than an empty listing.
    let ended = env.load_ending(6, "t", &[]).await?;
    ended.says("no object matches")?;
    ended.says("does not roll back")
}

/// Forwards every connection to this address to a server, byte for byte.
async fn forwarder(address: &str, server_port: u16) -> Result<(u16, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind((address, 0)).await?;
    let port = listener.local_addr()?.port();
    let forwarding = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", server_port)).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    Ok((port, forwarding))
}

/// Returns a trigger that records the cipher of every connection that loads.
fn note_cipher(kind: ServerKind) -> String {
    let status = match kind {
        ServerKind::Mysql => "performance_schema.session_status",
        ServerKind::Mariadb => "information_schema.session_status",
    };
    format!(
        "INSERT INTO ciphers SELECT VARIABLE_VALUE FROM {status} WHERE VARIABLE_NAME = 'Ssl_cipher'"
    )
}

#[apply(load_test)]
async fn every_ssl_mode_does_what_its_name_says(env: TestEnv) -> Result<()> {
    let server = Server::start(env.server.kind(), &["--tls"])?;
    let schema = server.schema().await?;
    schema.exec("CREATE TABLE t (a INT)").await?;
    schema.exec("CREATE TABLE ciphers (cipher VARCHAR(99))").await?;
    env.put("1", "1\n")?;
    let folder = server.certificates();
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    // A certificate that has signed nothing.
    let (ca, wrong_ca) = (path("ca.pem"), path("client-cert.pem"));
    // The server's certificate names 127.0.0.1 and localhost, but not this address.
    let (other_port, forwarding) = forwarder("127.0.0.2", server.port()).await?;
    let elsewhere = ["--host", "127.0.0.2", "--port", &other_port.to_string()].map(str::to_owned);
    let here: [String; 2] = ["--host", "localhost"].map(str::to_owned);

    let cases: [(&[String], &str, Option<&str>, Option<bool>); 11] = [
        (&[], "DISABLED", None, Some(false)),
        (&[], "preferred", None, Some(true)),
        (&[], "REQUIRED", None, Some(true)),
        (&elsewhere, "REQUIRED", None, Some(true)),
        (&[], "VERIFY_CA", Some(&ca), Some(true)),
        (&elsewhere, "VERIFY_CA", Some(&ca), Some(true)),
        (&[], "VERIFY_CA", Some(&wrong_ca), None),
        (&[], "VERIFY_CA", None, None),
        (&here, "VERIFY_IDENTITY", Some(&ca), Some(true)),
        (&elsewhere, "VERIFY_IDENTITY", Some(&ca), None),
        (&[], "VERIFY_IDENTITY", Some(&wrong_ca), None),
    ];
    for (place, mode, ca, encrypted) in cases {
        schema.exec("DELETE FROM ciphers").await?;
        let note = note_cipher(server.kind());
        let mut args: Vec<&str> = vec!["--force", "--ssl-mode", mode, "--init-sql", &note];
        args.extend(place.iter().map(String::as_str));
        args.extend(ca.map(|ca| ["--ssl-ca", ca]).into_iter().flatten());
        let ended = load_at(&env, &schema.url(), "t", &args).await?;
        let case = || format!("{mode} {place:?} {ca:?}");
        match encrypted {
            None => {
                ended.expect(6).with_context(case)?;
                ended.says("no TLS connection to the database server").with_context(case)?;
                ended.says("hint: check --ssl-mode and --ssl-ca").with_context(case)?;
            }
            Some(encrypted) => {
                ended.expect(0).with_context(case)?;
                let ciphers = values(&schema, "SELECT cipher FROM ciphers").await?;
                ensure!(!ciphers.is_empty(), "nothing was noted");
                ensure!(
                    ciphers.iter().all(|cipher| cipher.is_empty() != encrypted),
                    "{}: {ciphers:?}",
                    case()
                );
            }
        }
    }
    forwarding.abort();
    let loads = cases.iter().filter(|(.., encrypted)| encrypted.is_some()).count();
    let rows: u64 = schema.query_one("SELECT COUNT(*) FROM t").await?;
    ensure!(rows == loads as u64, "{rows}");
    Ok(())
}

#[apply(load_test)]
async fn a_server_without_trusted_tls_is_refused_where_tls_is_required(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    env.put("1", "1\n")?;
    match env.server.kind() {
        // It makes its own certificates, signed by no authority that a client knows.
        ServerKind::Mysql => {
            for mode in ["VERIFY_CA", "VERIFY_IDENTITY"] {
                env.load_ending(6, "t", &["--ssl-mode", mode]).await?;
            }
            ensure!(env.count("t").await? == 0);
            env.load_ending(0, "t", &["--ssl-mode", "REQUIRED"]).await?;
        }
        // It has no TLS.
        ServerKind::Mariadb => {
            for mode in ["REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"] {
                let ended = env.load_ending(6, "t", &["--ssl-mode", mode]).await?;
                ended.says("no TLS connection to the database server")?;
            }
            ensure!(env.count("t").await? == 0);
            let ended = env.load_ending(0, "t", &["--ssl-mode", "PREFERRED"]).await?;
            ended.says("the server offers no TLS")?;
        }
    }
    ensure!(env.count("t").await? == 1);
    Ok(())
}

#[apply(load_test)]
async fn an_account_that_requires_a_certificate_gets_one(env: TestEnv) -> Result<()> {
    let server = Server::start(env.server.kind(), &["--tls"])?;
    let schema = server.schema().await?;
    schema.exec("CREATE TABLE t (a INT)").await?;
    env.put("1", "1\n")?;
    schema.exec(&format!("ALTER USER {}@'%' REQUIRE SSL", schema.user)).await?;
    load_at(&env, &schema.url(), "t", &["--ssl-mode", "DISABLED"]).await?.expect(6)?;
    load_at(&env, &schema.url(), "t", &["--ssl-mode", "PREFERRED"]).await?.expect(0)?;

    schema.exec(&format!("ALTER USER {}@'%' REQUIRE X509", schema.user)).await?;
    load_at(&env, &schema.url(), "t", &["--ssl-mode", "REQUIRED"]).await?.expect(6)?;
    let folder = server.certificates();
    let (cert, key) = (folder.join("client-cert.pem"), folder.join("client-key.pem"));
    let own =
        ["--ssl-cert", cert.to_str().context("path")?, "--ssl-key", key.to_str().context("path")?];
    load_at(&env, &schema.url(), "t", &[&["--force", "--ssl-mode", "REQUIRED"], &own[..]].concat())
        .await?
        .expect(0)?;
    load_at(&env, &schema.url(), "t", &own[..2]).await?.expect(2)?;
    ensure_values(&schema, "SELECT COUNT(*) FROM t", &["2"]).await
}

#[apply(load_test)]
async fn a_unix_socket_is_used_when_asked_for(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, host VARCHAR(99))").await?;
    env.put("1", "1\n")?;
    let socket = env.server.socket().to_str().context("path")?;
    let host = ["--columns", "a", "--set", "host = SUBSTRING_INDEX(USER(), '@', -1)"];
    env.load_ending(0, "t", &[&["--socket", socket], &host[..]].concat()).await?;
    env.load_ending(0, "t", &[&["--force"], &host[..]].concat()).await?;
    ensure_values(&env.schema, "SELECT host FROM t ORDER BY host", &["127.0.0.1", "localhost"])
        .await?;
    let ended = env.load_ending(2, "t", &["--socket", socket, "--ssl-mode", "REQUIRED"]).await?;
    ended.says("TLS over a unix socket is not supported")
}

#[apply(load_test)]
async fn a_password_is_taken_from_everywhere_and_shown_nowhere(env: TestEnv) -> Result<()> {
    let password = "p\u{e4}ss/w@rd:#?%'\\";
    let schema = env.server.schema_with_password(Some(password)).await?;
    schema.exec("CREATE TABLE t (a INT)").await?;
    env.put("1", "1\n")?;
    env.put("bad", "x\n")?;
    let url = schema.url();
    let without = env.server.url(&schema.user, &schema.name);
    let encoded = url.split([':', '@']).nth(2).context("no password in the URL")?;
    std::fs::write(env.path("password"), format!("{password}\n"))?;
    std::fs::write(
        env.path("config.toml"),
        format!("password = \"\"\"{}\"\"\"\n", password.replace('\\', "\\\\")),
    )?;
    let (file, config, report) =
        (env.path("password"), env.path("config.toml"), env.path("report"));
    let base = [
        "load",
        "s3://etl/",
        "--table",
        "t",
        "--force",
        "-vv",
        "--report",
        report.to_str().context("path")?,
    ];
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();

    let cases: [(&str, &str, Option<&str>, Vec<String>); 5] = [
        ("the environment", &without, Some(password), vec![]),
        ("a file", &without, None, vec!["--password-file".into(), path(&file)]),
        ("the configuration file", &without, None, vec!["--config".into(), path(&config)]),
        ("DATABASE_URL", &url, None, vec![]),
        ("--database-url", &without, None, vec!["--database-url".into(), url.clone()]),
    ];
    for (number, (place, database_url, variable, args)) in cases.into_iter().enumerate() {
        // A run that loads, one that fails at the login, and one that only prints its settings.
        for (more, code) in [(&[][..], 3), (&["--user", "nobody"], 6), (&["--print-config"], 0)] {
            let mut command = env.command(base.iter().copied().chain(more.iter().copied()));
            command.args(&args).env("DATABASE_URL", database_url);
            if let Some(password) = variable {
                command.env("MYSQL_PWD", password);
            }
            let ended = finish(command.spawn()?).await?;
            ended.expect(code).context(place)?;
            for secret in [password, encoded] {
                let said = [&ended.stdout, &ended.stderr, &std::fs::read_to_string(&report)?]
                    .map(String::as_str)
                    .concat();
                ensure!(!said.contains(secret), "{place}: {ended}");
            }
            // Others can read the command line, and the file, which `write` makes readable.
            let warned = ended.stderr.contains("other users of this machine can read the password");
            let is_readable = ["--database-url", "a file"].contains(&place);
            ensure!(warned == (is_readable && code != 0), "{place}: {ended}");
        }
        ensure_values(&schema, "SELECT COUNT(*) FROM t", &[&format!("{}", number + 1)]).await?;
    }
    let ended = env.run(&["load", "s3://etl/", "--table", "t", "--password", password]).await?;
    ended.expect(2)?;
    ended.says("a password is not taken from the command line")?;
    ensure!(!ended.stderr.contains(password), "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn init_sql_runs_on_every_connection(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (a INT, v VARCHAR(9), w VARCHAR(9), connection BIGINT)")
        .await?;
    env.schema.exec("CREATE TABLE connections (id BIGINT)").await?;
    for number in 0..20 {
        env.put(&format!("{number}"), format!("{number}\n"))?;
    }
    let args = ["--load-concurrency", "3", "--columns", "a", "--set", "v = @v", "--set", "w = @w"];
    let note = [
        "--init-sql",
        "INSERT INTO connections VALUES (CONNECTION_ID())",
        "--set",
        "connection = CONNECTION_ID()",
    ];
    let init = ["--init-sql", "SET @v = 'first'", "--init-sql", "SET @w = @v"];
    env.load_ending(0, "t", &[&args[..], &note[..], &init[..]].concat()).await?;
    ensure_values(&env.schema, "SELECT v, w, COUNT(*) FROM t GROUP BY v, w", &["first|first|20"])
        .await?;
    let strangers = "SELECT COUNT(*) FROM t WHERE connection NOT IN (SELECT id FROM connections)";
    ensure_values(&env.schema, strangers, &["0"]).await?;

    let ended = env.load_ending(6, "t", &["--init-sql", "SET @v = nonesuch.f()"]).await?;
    ended.says("nonesuch")
}

#[apply(load_test)]
async fn loads_that_would_wait_for_each_other_get_one_connection(env: TestEnv) -> Result<()> {
    const WHY: &str = "loads wait for each other: only one connection loads";
    env.put("1", "1\n")?;
    let check = async |server: &Server, warned: bool| {
        let schema = server.schema().await?;
        schema.exec("CREATE TABLE plain (a INT)").await?;
        schema.exec("CREATE TABLE ai (a INT AUTO_INCREMENT PRIMARY KEY)").await?;
        let plain = load_at(&env, &schema.url(), "plain", &[]).await?;
        let one = load_at(&env, &schema.url(), "ai", &["--load-concurrency", "1"]).await?;
        let several = load_at(&env, &schema.url(), "ai", &["--on-duplicate", "ignore"]).await?;
        for (ended, warned) in [(plain, false), (one, false), (several, warned)] {
            ended.expect(0)?;
            ensure!(ended.stderr.contains(WHY) == warned, "{ended}");
        }
        anyhow::Ok(())
    };
    match env.server.kind() {
        // The default is 1 here, and 2 on MySQL.
        ServerKind::Mariadb => check(env.server, true).await,
        ServerKind::Mysql => {
            check(env.server, false).await?;
            check(&Server::start(ServerKind::Mysql, &["--innodb-autoinc-lock-mode=1"])?, true).await
        }
    }
}

#[apply(load_test)]
async fn session_settings_are_pinned_whatever_the_servers_defaults(env: TestEnv) -> Result<()> {
    let options = [
        "--sql-mode=ANSI,NO_BACKSLASH_ESCAPES",
        "--default-time-zone=+05:00",
        "--autocommit=0",
        "--transaction-isolation=SERIALIZABLE",
        "--completion-type=1",
    ];
    let server = Server::start(env.server.kind(), &options)?;
    let schema = server.schema().await?;
    schema
        .exec(
            "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n TINYINT, at TIMESTAMP NULL, s \
             VARCHAR(9))",
        )
        .await?;
    // The server speaks another language, so that the setting shows.
    schema.exec("SET GLOBAL lc_messages = 'de_DE'").await?;
    let mut conn = schema.conn().await?;
    let refused =
        conn.query_drop("SELECT * FROM nonesuch").await.err().context("no error")?.to_string();
    ensure!(refused.contains("existiert nicht"), "{refused}");
    drop(conn);

    env.put("good", "0\t1\t2026-01-31 12:00:00\ta\\tb\n7\t2\t\\N\t\\N\n")?;
    env.put("bad", "8\t1\t\\N\t\\N\n9\t300\t\\N\t\\N\n")?;
    env.put("duplicate", "5\t1\t\\N\t\\N\n5\t1\t\\N\t\\N\n")?;
    schema
        .exec("CREATE TABLE settings (name VARCHAR(99), value VARCHAR(99)) ENGINE=MyISAM")
        .await?;
    let table = match server.kind() {
        ServerKind::Mysql => "performance_schema.session_variables",
        ServerKind::Mariadb => "information_schema.session_variables",
    };
    let note = format!(
        "INSERT INTO settings SELECT DISTINCT LOWER(VARIABLE_NAME), VARIABLE_VALUE FROM {table} \
         WHERE VARIABLE_NAME IN \
         ('autocommit', 'foreign_key_checks', 'lock_wait_timeout', 'transaction_isolation', \
         'tx_isolation', 'unique_checks', 'wait_timeout')"
    );
    let ended = load_at(&env, &schema.url(), "t", &["--init-sql", &note]).await?;
    ended.expect(3)?;
    let settings =
        values(&schema, "SELECT DISTINCT name, value FROM settings ORDER BY name").await?;
    for setting in [
        "autocommit|ON",
        "foreign_key_checks|ON",
        "lock_wait_timeout|60",
        "unique_checks|ON",
        "wait_timeout|120",
    ] {
        ensure!(settings.iter().any(|found| found == setting), "{setting}: {settings:?}");
    }
    ensure!(
        settings.iter().any(|found| found.ends_with("x_isolation|READ-COMMITTED")
            || found == "transaction_isolation|READ-COMMITTED"),
        "{settings:?}"
    );
    ended.says("column n (tinyint): '300' is out of range: -128 to 127")?;
    ended.says("1 of 2 rows were skipped")?;
    ended.says("time zone UTC")?;
    let expected = ["0|1|1769860800|a\\tb", "7|2|∅|∅"];
    ensure_values(&schema, "SELECT id, n, UNIX_TIMESTAMP(at), s FROM t ORDER BY id", &expected)
        .await
}

#[apply(load_test)]
async fn plan_touches_nothing(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT AUTO_INCREMENT PRIMARY KEY)").await?;
    env.put("1", "1\n")?;
    let ended = env.run(&["plan", "s3://etl/", "--table", "t"]).await?;
    ended.expect(0)?;
    ended.says(
        "LOAD DATA LOCAL INFILE 's3-to-mysql' IGNORE INTO TABLE `t` CHARACTER SET utf8mb4 FIELDS \
         TERMINATED BY X'09'",
    )?;
    ensure!(env.count("t").await? == 0);
    ensure!(env.s3.log().gets_of("1").is_empty(), "plan reads no object");
    Ok(())
}
