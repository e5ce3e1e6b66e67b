//! `--wait` and the command `wait`: a database or a store that starts late is waited for, and what
//! no wait can change is said at once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::registry::{apply, load_test};
use crate::support::lines;
use crate::support::program::{Ended, TestEnv, finish, wait_for_log};
use crate::support::s3::{Backend, Endpoint};
use crate::support::servers::{Schema, Server};
use crate::support::values::ensure_values;

/// A private server with a table `t` of one column, and what a program needs to reach it.
struct LateServer {
    server: Server,
    name: String,
    user: String,
    url: String,
}

impl LateServer {
    async fn create(env: &TestEnv) -> Result<Self> {
        let server = Server::start(env.server.kind(), &[])?;
        let schema = server.schema().await?;
        schema.exec("CREATE TABLE t (v VARCHAR(100) NOT NULL)").await?;
        let (name, user, url) = (schema.name.clone(), schema.user.clone(), schema.url());
        drop(schema);
        Ok(Self { server, name, user, url })
    }

    fn command(&self, env: &TestEnv, args: &[&str]) -> Command {
        let mut command = env.command(args);
        command.env("DATABASE_URL", &self.url);
        command
    }

    fn kill(&mut self) -> Result<()> {
        self.server.kill9()
    }

    fn restart(&mut self) -> Result<()> {
        tokio::task::block_in_place(|| self.server.restart())
    }

    async fn ensure_rows(&self, rows: &[&str]) -> Result<()> {
        let (name, user) = (self.name.clone(), self.user.clone());
        let schema = Schema { server: &self.server, name, user, password: None };
        ensure_values(&schema, "SELECT v FROM t", rows).await
    }
}

const LOAD: [&str; 5] = ["load", "s3://etl/", "--table", "t", "--wait"];

#[apply(load_test)]
async fn a_load_waits_for_a_server_that_starts_late_and_once_more(env: TestEnv) -> Result<()> {
    env.put("a", "one\n")?;
    let mut late = LateServer::create(&env).await?;
    late.kill()?;
    let mut child = late.command(&env, &LOAD).spawn()?;
    // One line at once, and after five seconds the reason.
    let told = wait_for_log(&mut child, "still waiting").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // As an image of a database does: it initializes, and starts once more.
    late.restart()?;
    late.kill()?;
    late.restart()?;
    let ended = finish(child).await?;
    let log = told.await?;
    let ended = Ended { stderr: log, ..ended };
    ended.expect(0)?;
    ended.says("waiting up to 60 s for")?;
    ended.says("the database server cannot be reached")?;
    late.ensure_rows(&["one"]).await
}

#[apply(load_test)]
async fn check_plan_status_and_wait_wait_too(env: TestEnv) -> Result<()> {
    env.put("a", "one\n")?;
    let mut late = LateServer::create(&env).await?;
    late.kill()?;
    let commands: [&[&str]; 4] = [
        &["check", "s3://etl/", "--table", "t", "--wait=30s"],
        &["plan", "s3://etl/", "--table", "t", "--wait=30s"],
        &["status", "--table", "t", "--wait=30s"],
        &["wait", "s3://etl/"],
    ];
    let mut waiting = Vec::new();
    for args in commands {
        let mut child = late.command(&env, args).spawn()?;
        let log = wait_for_log(&mut child, "waiting up to").await?;
        waiting.push((child, log));
    }
    late.restart()?;
    for (child, log) in waiting {
        let ended = finish(child).await?;
        let ended = Ended { stderr: log.await?, ..ended };
        ended.expect(0)?;
    }
    late.ensure_rows(&[]).await
}

#[apply(load_test)]
async fn a_store_that_starts_late_is_waited_for(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let store = Endpoint::start(Backend::new())?;
    let (address, url) = (store.address(), store.url().to_owned());
    store.stop().await;
    let mut command = env.command(LOAD);
    command.env("AWS_ENDPOINT_URL", &url);
    let mut child = command.spawn()?;
    let log = wait_for_log(&mut child, "waiting up to").await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    // The store is there, and its bucket is not yet.
    let backend = Backend::new();
    let store = Endpoint::start_on(backend.clone(), address)?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let backend = backend.with_bucket("etl");
    backend.put("etl", "a", "one\n")?;
    let ended = finish(child).await?;
    let ended = Ended { stderr: log.await?, ..ended };
    ended.expect(0)?;
    store.stop().await;
    lines::expect(&env, "t", &["one"]).await
}

#[apply(load_test)]
async fn a_wait_ends_with_the_last_reason_when_its_time_is_over(env: TestEnv) -> Result<()> {
    let mut late = LateServer::create(&env).await?;
    late.kill()?;
    env.put("a", "one\n")?;
    let began = Instant::now();
    let args = ["load", "s3://etl/", "--table", "t", "--wait=2s"];
    let ended = finish(late.command(&env, &args).spawn()?).await?;
    ended.expect(6)?;
    ended.says("cannot be reached (waited 2 s)")?;
    ensure!(began.elapsed() >= Duration::from_secs(2), "it gave up after {:?}", began.elapsed());
    let ended = finish(late.command(&env, &["wait", "--wait=1s"]).spawn()?).await?;
    ended.expect(6)?;
    // Without a wait, the first try is the last one.
    finish(late.command(&env, &["load", "s3://etl/", "--table", "t"]).spawn()?).await?.expect(6)
}

#[apply(load_test)]
async fn a_wrong_password_or_a_missing_table_is_not_waited_for(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "one\n")?;
    let began = Instant::now();
    let mut command = env.command(LOAD);
    command.env("S3_TO_MYSQL_PASSWORD", "wrong");
    let ended = finish(command.spawn()?).await?;
    ended.expect(6)?;
    ended.says("refused the login")?;
    let ended = env.run(&["load", "s3://etl/", "--table", "nosuch", "--wait"]).await?;
    ended.expect(6)?;
    ended.says("does not exist")?;
    ensure!(began.elapsed() < Duration::from_secs(20), "it waited: {:?}", began.elapsed());
    Ok(())
}

#[apply(load_test)]
async fn a_database_that_is_created_late_is_waited_for(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "one\n")?;
    let (late, user) = (format!("{}late", env.schema.name), &env.schema.user);
    env.schema.exec(&format!("GRANT ALL ON {late}.* TO {user}@'%'")).await?;
    let mut command = env.command(LOAD);
    command.args(["--database", &late]);
    let mut child = command.spawn()?;
    let log = wait_for_log(&mut child, "waiting up to").await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    env.schema.exec(&format!("CREATE DATABASE {late}")).await?;
    env.schema.exec(&format!("CREATE TABLE {late}.t (v VARCHAR(100) NOT NULL)")).await?;
    let ended = finish(child).await?;
    let ended = Ended { stderr: log.await?, ..ended };
    // The table may have come too late, which is not waited for.
    ensure!(ended.code == Some(0) || ended.stderr.contains("does not exist"), "{ended}");
    ensure!(!ended.stderr.contains("Unknown database"), "{ended}");
    env.schema.exec(&format!("DROP DATABASE {late}")).await
}
