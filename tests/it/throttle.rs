//! Pauses: a run that must spare its server or a replica begins nothing while that server is
//! behind.

use anyhow::{Context as _, Result, bail, ensure};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};
use tokio::process::{Child, Command};

use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, finish, signal, wait_for_log};
use crate::support::s3::{Fault, Keys, Operation, Times};
use crate::support::servers::{Schema, Server, ServerKind};

const PAUSED: &str = "paused, no new load begins: ";

fn put_small_objects(env: &TestEnv) -> Result<()> {
    (0..20).try_for_each(|number| env.put(&format!("{number:02}"), format!("{number}\n")))
}

/// Runs `load` into a schema of another server than the shared one.
fn load(env: &TestEnv, schema: &Schema<'_>, args: &[&str]) -> Command {
    let mut command = env.command(["load", "s3://etl/", "--table", "t"]);
    command.args(args).env("DATABASE_URL", schema.url());
    command
}

async fn count(schema: &Schema<'_>) -> Result<u64> {
    schema.query_one("SELECT COUNT(*) FROM t").await
}

/// Requires that the table keeps this many rows for longer than a load of all objects takes without
/// a pause.
async fn ensure_it_stays(schema: &Schema<'_>, rows: u64) -> Result<()> {
    let mut conn = schema.conn().await?;
    for _ in 0..2000 {
        let found: Option<u64> = conn.query_first("SELECT COUNT(*) FROM t").await?;
        ensure!(found == Some(rows), "{found:?} rows, not {rows}");
    }
    Ok(())
}

/// Waits for the program to end, and returns its log.
async fn ended_well(mut child: Child, log: tokio::task::JoinHandle<String>) -> Result<String> {
    let status = child.wait().await?;
    let log = log.await?;
    ensure!(status.code() == Some(0), "{status}\n{log}");
    Ok(log)
}

/// Creates a table on a server of its own, and sessions that keep this many threads busy.
async fn busy(server: &Server, threads: usize) -> Result<(Schema<'_>, Vec<u32>)> {
    let schema = server.schema().await?;
    schema.exec("CREATE TABLE t (a INT)").await?;
    let mut ids = Vec::new();
    for _ in 0..threads {
        let mut conn = schema.conn().await?;
        ids.push(conn.id());
        // It runs until it is killed.
        tokio::spawn(async move { conn.query_drop("SELECT SLEEP(600)").await });
    }
    loop {
        let sleeping: u64 = schema
            .query_one(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE \
                 'SELECT SLEEP%'",
            )
            .await?;
        if sleeping == threads as u64 {
            return Ok((schema, ids));
        }
    }
}

#[apply(load_test)]
async fn a_run_waits_while_too_many_threads_run_on_the_server(env: TestEnv) -> Result<()> {
    let server = Server::start(env.server.kind(), &[])?;
    let (schema, sleepers) = busy(&server, 5).await?;
    put_small_objects(&env)?;
    // Below the threshold, nothing is logged.
    let ended = finish(load(&env, &schema, &["--max-threads-running", "9"]).spawn()?).await?;
    ended.expect(0)?;
    ensure!(!ended.stderr.contains(PAUSED) && count(&schema).await? == 20, "{ended}");

    let (report, metrics) = (env.path("report"), env.path("t.prom"));
    let mut command = load(&env, &schema, &["--max-threads-running", "4", "--force"]);
    command.arg("--report").arg(&report).arg("--metrics-file").arg(&metrics);
    let mut running = command.spawn()?;
    let log = wait_for_log(&mut running, PAUSED).await?;
    ensure_it_stays(&schema, 20).await?;
    for id in sleepers {
        schema.exec(&format!("KILL {id}")).await?;
    }
    let log = ended_well(running, log).await?;
    ensure!(count(&schema).await? == 40);
    ensure!(
        log.matches(PAUSED).count() == 1 && log.matches("resuming after a pause").count() == 1,
        "{log}"
    );
    // The report and the metrics tell how long it took, and why.
    let summary = env.report("report")?.pop().context("an empty report")?;
    let pause = &summary["pauses"][0];
    let message = pause["message"].as_str().unwrap_or_default();
    ensure!(message.contains("--max-threads-running is 4"), "{summary:#}");
    ensure!(pause["reason"] == "threads_running", "{summary:#}");
    let seconds = pause["seconds"].as_f64().context("no seconds")?;
    let sums = serde_json::json!({ "threads_running": pause["seconds"] });
    ensure!(seconds > 0.0 && summary["paused_seconds"] == sums, "{summary:#}");
    let text = std::fs::read_to_string(metrics)?;
    let paused = |reason: &str| -> Result<f64> {
        let end = format!("reason=\"{reason}\"}} ");
        let mut lines = text.lines().filter(|line| line.starts_with("s3_to_mysql_paused_seconds{"));
        let value = lines.find_map(|line| line.split_once(&end)).context(text.clone())?.1;
        Ok(value.parse()?)
    };
    ensure!((paused("threads_running")? - seconds).abs() < 0.01, "{text}");
    ensure!(paused("replica_lag")?.abs() < 1e-9, "{text}");
    Ok(())
}

#[apply(load_test)]
async fn a_run_that_waits_is_stopped_by_a_signal(env: TestEnv) -> Result<()> {
    let server = Server::start(env.server.kind(), &[])?;
    let (schema, _sleepers) = busy(&server, 5).await?;
    put_small_objects(&env)?;
    let mut running = load(&env, &schema, &["--max-threads-running", "1"]).spawn()?;
    let log = wait_for_log(&mut running, PAUSED).await?;
    ensure_it_stays(&schema, 0).await?;
    signal(&running, "TERM")?;
    let status = running.wait().await?;
    ensure!(status.code() == Some(143), "{status}\n{}", log.await?);
    ensure!(count(&schema).await? == 0);
    env.ensure_nothing_staged()
}

/// A server and a replica of it.
pub(crate) struct Replicated {
    primary: Server,
    replica: Server,
}

impl Replicated {
    async fn start(kind: ServerKind) -> Result<Self> {
        let logged = ["--server-id=1", "--log-bin=binlog", "--binlog-format=ROW"];
        Self::start_with(kind, &logged, &[]).await
    }

    /// Starts both with these options.
    pub(crate) async fn start_with(
        kind: ServerKind,
        primary: &[&str],
        replica: &[&str],
    ) -> Result<Self> {
        let primary = Server::start(kind, primary)?;
        let replica = Server::start(kind, &[&["--server-id=2"], replica].concat())?;
        let servers = Self { primary, replica };
        servers.follow().await?;
        Ok(servers)
    }

    /// Makes the replica follow from the primary's current position.
    async fn follow(&self) -> Result<()> {
        let (Self { primary, replica }, kind) = (self, self.kind());
        let position = match kind {
            ServerKind::Mysql => "SHOW BINARY LOG STATUS",
            ServerKind::Mariadb => "SHOW MASTER STATUS",
        };
        let row: Option<Row> = primary.root().await?.query_first(position).await?;
        let row = row.context("no binary log")?;
        let (file, position): (String, u64) =
            row.get(0).zip(row.get(1)).context("the binary log has no position")?;
        let port = primary.port();
        // A replica that was killed may not know its position, and would refuse a new one without a
        // reset.
        let (stop, reset, change, start) = match kind {
            ServerKind::Mysql => (
                "STOP REPLICA",
                "RESET REPLICA",
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, \
                     SOURCE_USER = 'root', \
                     GET_SOURCE_PUBLIC_KEY = 1, SOURCE_LOG_FILE = '{file}', SOURCE_LOG_POS = \
                     {position}"
                ),
                "START REPLICA",
            ),
            ServerKind::Mariadb => (
                "STOP SLAVE",
                "RESET SLAVE",
                format!(
                    "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER \
                     = 'root', \
                     MASTER_LOG_FILE = '{file}', MASTER_LOG_POS = {position}"
                ),
                "START SLAVE",
            ),
        };
        let mut conn = replica.root().await?;
        for sql in [stop, reset, &change, start] {
            conn.query_drop(sql).await?;
        }
        Ok(())
    }

    fn kind(&self) -> ServerKind {
        self.primary.kind()
    }

    /// Returns the replica's lag; `None` if it does not replicate.
    async fn lag(&self, conn: &mut Conn) -> Result<Option<u64>> {
        let (sql, column) = match self.kind() {
            ServerKind::Mysql => ("SHOW REPLICA STATUS", "Seconds_Behind_Source"),
            ServerKind::Mariadb => ("SHOW SLAVE STATUS", "Seconds_Behind_Master"),
        };
        let row: Option<Row> = conn.query_first(sql).await?;
        row.context("it is not a replica")?.get(column).context("it tells no lag")
    }

    async fn wait_for_lag(&self, is_it: impl Fn(Option<u64>) -> bool) -> Result<()> {
        let mut conn = self.replica.root().await?;
        for _ in 0..3000 {
            if is_it(self.lag(&mut conn).await?) {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        bail!("the replica's lag is {:?}", self.lag(&mut conn).await?)
    }

    pub(crate) fn replica(&self) -> &Server {
        &self.replica
    }

    /// Creates a schema on both, with a table. Its account may ask the replica for its state.
    pub(crate) async fn schema(&self) -> Result<Schema<'_>> {
        let schema = self.primary.schema().await?;
        let privilege = match self.kind() {
            ServerKind::Mysql => "REPLICATION CLIENT",
            ServerKind::Mariadb => "REPLICA MONITOR",
        };
        schema.exec(&format!("GRANT {privilege} ON *.* TO {}@'%'", schema.user)).await?;
        schema.exec("CREATE TABLE t (a INT)").await?;
        let mut conn = self.replica.root().await?;
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{}'",
            schema.name
        );
        for _ in 0..3000 {
            if conn.query_first::<u64, _>(&sql).await? == Some(1) {
                self.wait_for_lag(|lag| lag == Some(0)).await?;
                return Ok(schema);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        bail!("the table does not come to the replica")
    }

    fn name(&self) -> String {
        format!("127.0.0.1:{}", self.replica.port())
    }
}

#[apply(load_test)]
async fn a_run_waits_for_a_replica_that_is_behind_or_has_stopped(env: TestEnv) -> Result<()> {
    let servers = Replicated::start(env.server.kind()).await?;
    let schema = servers.schema().await?;
    put_small_objects(&env)?;
    let name = servers.name();
    let args = ["--max-lag", "1s", "--replica", &name];
    let ended = finish(load(&env, &schema, &args).spawn()?).await?;
    ended.expect(0)?;
    ensure!(!ended.stderr.contains(PAUSED), "{ended}");
    servers.wait_for_lag(|lag| lag == Some(0)).await?;

    // A lock on the replica keeps it from following.
    let mut reader = servers.replica.root().await?;
    reader.query_drop(format!("LOCK TABLES {}.t READ", schema.name)).await?;
    schema.exec("INSERT INTO t VALUES (100)").await?;
    servers.wait_for_lag(|lag| lag.is_some_and(|lag| lag >= 2)).await?;
    let args = [&args[..], &["--force"]].concat();
    let mut running = load(&env, &schema, &args).spawn()?;
    let log = wait_for_log(&mut running, "s behind, --max-lag is 1s").await?;
    ensure_it_stays(&schema, 21).await?;
    reader.query_drop("UNLOCK TABLES").await?;
    ended_well(running, log).await?;
    ensure!(count(&schema).await? == 41);

    let (stop, start) = match servers.kind() {
        ServerKind::Mysql => ("STOP REPLICA SQL_THREAD", "START REPLICA SQL_THREAD"),
        ServerKind::Mariadb => ("STOP SLAVE SQL_THREAD", "START SLAVE SQL_THREAD"),
    };
    reader.query_drop(stop).await?;
    let mut running = load(&env, &schema, &args).spawn()?;
    let log = wait_for_log(&mut running, "is not replicating, so its lag keeps growing").await?;
    ensure_it_stays(&schema, 41).await?;
    reader.query_drop(start).await?;
    ended_well(running, log).await?;
    ensure!(count(&schema).await? == 61);
    Ok(())
}

#[apply(load_test)]
async fn a_replica_that_is_lost_counts_as_behind(env: TestEnv) -> Result<()> {
    let mut servers = Replicated::start(env.server.kind()).await?;
    let url = servers.schema().await?.url();
    put_small_objects(&env)?;
    let name = servers.name();
    let held = env.s3.faults().inject(Operation::GetObject, Keys::Any, Times::Always, Fault::Hold);
    let mut command =
        env.command(["load", "s3://etl/", "--table", "t", "--max-lag", "60s", "--replica", &name]);
    let mut running = command.env("DATABASE_URL", &url).spawn()?;
    // The load began, because the replica was available.
    held.wait_for_effects(1).await;
    servers.replica.kill9()?;
    let log = wait_for_log(&mut running, PAUSED).await?;
    held.release();
    let mut primary = servers.primary.root().await?;
    let table =
        "SELECT CONCAT(table_schema, '.t') FROM information_schema.tables WHERE table_name = 't'";
    let table: String = primary.query_first(table).await?.context("no table")?;
    let count = format!("SELECT COUNT(*) FROM {table}");
    ensure!(primary.query_first::<u64, _>(&count).await? == Some(0));
    servers.replica.restart()?;
    servers.follow().await?;
    let log = ended_well(running, log).await?;
    ensure!(
        primary.query_first::<u64, _>(&count).await? == Some(20)
            && log.contains("resuming after a pause"),
        "{log}"
    );
    Ok(())
}

#[apply(load_test)]
async fn a_replica_that_cannot_be_asked_is_told_at_the_start(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    put_small_objects(&env)?;
    let itself = format!("127.0.0.1:{}", env.server.port());
    let ended = env.load_ending(6, "t", &["--max-lag", "1s", "--replica", &itself]).await?;
    ended.says(&format!("replica {itself}"))?;
    ended.says("hint: an administrator must GRANT REPLICATION CLIENT")?;

    // The account may ask, but the server is not a replica.
    let privilege = if env.server.kind() == ServerKind::Mysql {
        "REPLICATION CLIENT"
    } else {
        "REPLICA MONITOR"
    };
    env.schema.exec(&format!("GRANT {privilege} ON *.* TO {}@'%'", env.schema.user)).await?;
    let ended = env.load_ending(6, "t", &["--max-lag", "1s", "--replica", &itself]).await?;
    ended.says("it is not a replica, so it has no lag")?;

    let gone = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string();
    let ended = env.load_ending(6, "t", &["--max-lag", "1s", "--replica", &gone]).await?;
    ended.says("the database server cannot be reached")?;
    let ended = env.load_ending(2, "t", &["--max-lag", "1s", "--replica", "db:x"]).await?;
    ended.says("it must be HOST or HOST:PORT")?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}
