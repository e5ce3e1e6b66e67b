//! A table that is altered in a swap's last moments: the change is not lost, whoever dies.

use anyhow::{Context as _, Result, ensure};

use super::{
    SWAP, ensure_job, ensure_no_leftovers, ensure_rows, kill, load, old_rows, put_objects, step,
    sums_of, through,
};
use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish};
use crate::support::proxy::{Break, Proxy};
use crate::support::servers::ServerKind;
use crate::support::values::{ensure_values, values};

/// The columns that the objects have.
const COLUMNS: [&str; 2] =
    ["--columns", "supplier_id,spu_id,month,category,orders,amount,note,updated_at"];

/// Runs a swap through a proxy, and `statement` while the statement with `part` is held back.
async fn swap_during(
    env: &TestEnv,
    args: &[&str],
    part: &'static str,
    statement: &str,
) -> Result<Ended> {
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(step(env, part), Break::Hold);
    let args = [&SWAP[..], &COLUMNS, &["--force"], args].concat();
    let running = through(env, &proxy, &args).spawn()?;
    held.wait().await?;
    env.schema.exec(statement).await?;
    held.release();
    finish(running).await
}

async fn definition(env: &TestEnv) -> Result<String> {
    let (_, text): (String, String) = env.schema.query_one("SHOW CREATE TABLE t").await?;
    let triggers = values(
        &env.schema,
        "SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS \
         WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = 't'",
    )
    .await?;
    Ok(format!("{text}\n{triggers:?}"))
}

#[apply(load_test)]
async fn a_table_altered_right_before_the_rename_keeps_the_change(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let changes = [
        ("ALTER TABLE t ADD COLUMN extra INT NULL", "column extra", "`extra`"),
        ("CREATE INDEX by_month ON t (month)", "index by_month", "`by_month`"),
        (
            "CREATE TRIGGER tick BEFORE INSERT ON t FOR EACH ROW SET NEW.orders = NEW.orders",
            "trigger tick",
            "SET NEW.orders",
        ),
    ];
    // While the shadow's rows are counted; after the last look at the target, when its marker is
    // made; when the RENAME is on its way.
    let moments = ["SELECT COUNT(*) FROM `{db}`.`s3_to_mysql_shadow_", "COMMENT='s3-to", "RENAME"];
    let mut first_row = 0;
    for (change, named, lasting) in changes {
        for moment in moments {
            for keep in [&[][..], &["--swap-keep-old"]] {
                first_row += 10_000;
                let before = sums_of(&env.schema, "t").await?;
                put_objects(&env, first_row, 1)?;
                let round = async {
                    let refused = swap_during(&env, keep, moment, change).await?;
                    refused.expect(3)?;
                    refused.says(&format!("not swapped: altered since the job began ({named})"))?;
                    ensure!(sums_of(&env.schema, "t").await? == before);
                    let now = definition(&env).await?;
                    ensure!(now.contains(lasting), "the change is lost: {now}");
                    ensure_values(
                        &env.schema,
                        "SELECT mode, state FROM s3_to_mysql_jobs",
                        &["swap|loading"],
                    )
                    .await
                };
                round.await.with_context(|| format!("{change} at {moment} {keep:?}"))?;
                let undo = match named.split_once(' ') {
                    Some(("column", _)) => "ALTER TABLE t DROP COLUMN extra",
                    Some(("index", _)) => "DROP INDEX by_month ON t",
                    _ => "DROP TRIGGER tick",
                };
                env.schema.exec(undo).await?;
            }
        }
    }
    let sums = put_objects(&env, first_row, 1)?;
    load(&env, &SWAP).await?.expect(0)?;
    ensure_rows(&env, "t", sums).await?;
    ensure_no_leftovers(&env).await
}

#[apply(load_test)]
async fn the_next_swap_has_what_was_altered_right_before_the_rename(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let sums = put_objects(&env, 0, 1)?;
    let change = "CREATE INDEX by_month ON t (month)";
    swap_during(&env, &[], "RENAME", change).await?.expect(3)?;
    load(&env, &SWAP).await?.expect(0)?;
    ensure_rows(&env, "t", sums).await?;
    let now = definition(&env).await?;
    ensure!(now.contains("`by_month`"), "{now}");
    ensure_no_leftovers(&env).await
}

/// The process dies with the RENAME, to which an ALTER was quicker.
#[apply(load_test)]
async fn a_change_that_a_dead_swap_has_replaced_is_kept_until_somebody_makes_it_again(
    env: TestEnv,
) -> Result<()> {
    for keep in [&[][..], &["--swap-keep-old"]] {
        env.schema.exec("DROP TABLE IF EXISTS t, t_old").await?;
        let old = old_rows(&env).await?;
        let sums = put_objects(&env, 0, 1)?;
        let proxy = Proxy::start(env.server.port()).await?;
        let before = proxy.next(step(&env, "RENAME"), Break::Hold);
        let args = [&SWAP[..], &COLUMNS, keep].concat();
        let running = through(&env, &proxy, &args).spawn()?;
        before.wait().await?;
        env.schema.exec("ALTER TABLE t ADD COLUMN extra INT NULL").await?;
        // The server's answer does not come back, and the next statement is not sent.
        let renamed = proxy.next(step(&env, "SHOW CREATE TABLE"), Break::Hold);
        before.release();
        renamed.wait().await?;
        kill(running).await?;
        renamed.cut();
        ensure_rows(&env, "t", sums).await?;

        for _ in 0..2 {
            let said = load(&env, &args).await?;
            said.expect(6)?;
            said.says("swapped, but its old table, which stays as")?;
            said.says("was altered right before (column extra)")?;
            ensure_rows(&env, "t", sums).await?;
        }
        let kept: String = env
            .schema
            .query_one(
                "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
                 AND TABLE_NAME LIKE 's3\\_to\\_mysql\\_old\\_%'",
            )
            .await?;
        ensure_rows(&env, &kept, old).await?;
        env.schema.exec("ALTER TABLE t ADD COLUMN extra INT NULL").await?;
        env.schema.exec(&format!("DROP TABLE {kept}")).await?;
        load(&env, &args).await?.expect(0)?;
        ensure_no_leftovers(&env).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_foreign_key_that_comes_to_refer_to_the_table_keeps_its_parent(
    env: TestEnv,
) -> Result<()> {
    let hidden = format!("{}hidden", env.schema.name);
    env.schema.exec("CREATE TABLE t (a INT PRIMARY KEY)").await?;
    env.schema.exec("INSERT INTO t VALUES (1)").await?;
    env.schema.exec(&format!("CREATE DATABASE {hidden}")).await?;
    env.put("in/0", "3\n")?;
    let create = format!(
        "CREATE TABLE {hidden}.child (a INT, CONSTRAINT down FOREIGN KEY (a) REFERENCES {}.t (a))",
        env.schema.name
    );
    for moment in ["SELECT COUNT(*) FROM `{db}`.`s3_to_mysql_shadow_", "RENAME"] {
        for keep in [&[][..], &["--swap-keep-old"]] {
            let proxy = Proxy::start(env.server.port()).await?;
            let held = proxy.next(step(&env, moment), Break::Hold);
            let args = [&["--mode", "swap"], keep].concat();
            let running = through(&env, &proxy, &args).spawn()?;
            held.wait().await?;
            env.schema.exec(&create).await?;
            held.release();
            let refused = finish(running).await?;
            refused.expect(3)?;
            refused.says("not swapped: altered since the job began (a foreign key that refers")?;
            ensure_values(&env.schema, "SELECT a FROM t", &["1"]).await?;
            // The old parent is still the parent.
            env.schema.exec(&format!("INSERT INTO {hidden}.child VALUES (1)")).await?;
            let orphan = env.schema.exec(&format!("INSERT INTO {hidden}.child VALUES (3)")).await;
            ensure!(orphan.is_err(), "the foreign key refers to another table");
            env.schema.exec(&format!("DROP TABLE {hidden}.child")).await?;
        }
    }
    load(&env, &["--mode", "swap"]).await?.expect(0)?;
    ensure_values(&env.schema, "SELECT a FROM t", &["3"]).await?;
    ensure_no_leftovers(&env).await?;
    env.schema.exec(&format!("DROP DATABASE {hidden}")).await
}

/// Returns the definition of a table that has everything the server knows.
fn everything(kind: ServerKind) -> String {
    let (column, index, functional) = match kind {
        ServerKind::Mysql => ("SRID 4326", "INVISIBLE", "KEY by_expression ((UPPER(a))),"),
        ServerKind::Mariadb => ("", "IGNORED", ""),
    };
    format!(
        "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT, n INT DEFAULT 3, a VARCHAR(20) NOT NULL \
         DEFAULT 'x;''y' COMMENT 'of a', b TEXT, g POINT NOT NULL {column}, \
         v INT GENERATED ALWAYS AS (n + 1) VIRTUAL, s INT GENERATED ALWAYS AS (n + 2) STORED, \
         ts TIMESTAMP(3) NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), \
         j JSON, e ENUM('a','b') CHARACTER SET latin1, i INT DEFAULT 5 INVISIBLE, \
         x INT DEFAULT (1 + 1), big VARCHAR(3000) CHECK (big <> 'z'), PRIMARY KEY (id), \
         UNIQUE KEY u (a), KEY descending (a DESC, e), KEY commented (e) COMMENT 'of it', \
         KEY unseen (e, a) {index}, {functional} FULLTEXT KEY words (b), SPATIAL KEY place (g), \
         KEY virtual_one (v), KEY prefixed (big(10)), CONSTRAINT small CHECK (n < 1000)) \
         ENGINE=InnoDB ROW_FORMAT=DYNAMIC STATS_PERSISTENT=1 COMMENT='of t' AUTO_INCREMENT=1000"
    )
}

#[apply(load_test)]
async fn every_kind_of_change_to_a_table_keeps_it_from_being_swapped(env: TestEnv) -> Result<()> {
    let kind = env.server.kind();
    env.schema.exec(&everything(kind)).await?;
    env.put("in/0", "1\n")?;
    let point = match kind {
        ServerKind::Mysql => "g=ST_GeomFromText('POINT(1 1)', 4326)",
        ServerKind::Mariadb => "g=ST_GeomFromText('POINT(1 1)')",
    };
    let args = ["--mode", "swap", "--columns", "id", "--set", point];
    // A table and its copy do not differ.
    load(&env, &args).await?.expect(0)?;
    load(&env, &[&args[..], &["--defer-indexes"]].concat()).await?.expect(0)?;

    let visible = match kind {
        ServerKind::Mysql => "ALTER TABLE t ALTER INDEX unseen VISIBLE",
        ServerKind::Mariadb => "ALTER TABLE t ALTER INDEX unseen NOT IGNORED",
    };
    let mut changes = vec![
        ("ALTER TABLE t MODIFY n INT DEFAULT 4", "column n"),
        ("ALTER TABLE t MODIFY n INT DEFAULT 4 COMMENT 'of n'", "column n"),
        ("ALTER TABLE t MODIFY i INT DEFAULT 5", "column i"),
        ("ALTER TABLE t MODIFY n INT DEFAULT 4 AFTER a", "column"),
        ("ALTER TABLE t DROP INDEX descending, ADD INDEX descending (a, e)", "index descending"),
        ("ALTER TABLE t DROP INDEX commented, ADD INDEX commented (e) COMMENT 'x'", "index"),
        (visible, "index unseen"),
        ("ALTER TABLE t DROP CONSTRAINT small, ADD CONSTRAINT small CHECK (n < 99)", "a const"),
        ("ALTER TABLE t COMMENT 'altered'", "a table option"),
        ("ALTER TABLE t STATS_PERSISTENT=0", "a table option"),
    ];
    if kind == ServerKind::Mysql {
        changes.extend([
            ("ALTER TABLE t ALTER CHECK small NOT ENFORCED", "a constraint"),
            (
                "ALTER TABLE t DROP INDEX by_expression, ADD INDEX by_expression ((LOWER(a)))",
                "index by_expression",
            ),
        ]);
    }
    for (change, named) in changes {
        let round = async {
            let proxy = Proxy::start(env.server.port()).await?;
            let held = proxy.next(step(&env, "RENAME"), Break::Hold);
            let running = through(&env, &proxy, &args).spawn()?;
            held.wait().await?;
            env.schema.exec(change).await?;
            let altered = definition(&env).await?;
            held.release();
            let refused = finish(running).await?;
            refused.expect(3)?;
            refused.says(&format!("altered since the job began ({named}"))?;
            ensure!(definition(&env).await? == altered, "{}", definition(&env).await?);
            anyhow::Ok(())
        };
        round.await.context(change)?;
        // MySQL gives the constraint another name with every swap.
        if change.contains("CONSTRAINT") || kind == ServerKind::Mysql {
            env.schema.exec("DROP TABLE t").await?;
            env.schema.exec(&everything(kind)).await?;
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn a_partition_altered_right_before_the_rename_keeps_the_change(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b)) \
             PARTITION BY RANGE (a) SUBPARTITION BY HASH (b) SUBPARTITIONS 2 \
             (PARTITION low VALUES LESS THAN (10) COMMENT = 'of low', \
              PARTITION high VALUES LESS THAN (20))",
        )
        .await?;
    env.put("in/0", "1\t2\n")?;
    load(&env, &["--mode", "swap"]).await?.expect(0)?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(step(&env, "RENAME"), Break::Hold);
    let running = through(&env, &proxy, &["--mode", "swap"]).spawn()?;
    held.wait().await?;
    env.schema.exec("ALTER TABLE t ADD PARTITION (PARTITION top VALUES LESS THAN (30))").await?;
    held.release();
    let refused = finish(running).await?;
    refused.expect(3)?;
    refused.says("altered since the job began (partition)")?;
    let now = definition(&env).await?;
    ensure!(now.contains("top"), "{now}");
    load(&env, &["--mode", "swap"]).await?.expect(0)?;
    let now = definition(&env).await?;
    ensure!(now.contains("top"), "{now}");
    ensure_job(&env, "4|4|swap|swapped").await?;
    ensure_no_leftovers(&env).await
}
