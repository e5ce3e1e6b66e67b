//! Rows in the order of their key, from the first deadlock on: that they are, that it helps, and
//! that nobody can tell.
//!
//! Tables have a column `seen` that counts up with every row that the server reads.

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use s3_to_mysql::config::{ColumnOrVariable, FormatConfig};
use s3_to_mysql::dialect::{Charset, Preset};
use s3_to_mysql::load::{KeyColumn, KeyPart, UniqueKey};

use crate::support::program::{Ended, World, finish, wait_for_log};
use crate::support::values::{ensure_values, values};
use crate::transaction::wait_for_waiting;

crate::load_tests![
    after_a_deadlock_rows_go_in_the_order_of_their_key,
    the_same_row_of_a_key_wins_in_whatever_order_they_go,
    a_bad_row_is_told_with_its_own_line_also_after_a_deadlock,
    objects_that_are_sent_together_are_sorted_together,
    parts_are_sorted_too,
    rows_stay_in_their_order_where_it_could_be_told,
    a_key_that_the_server_changes_leaves_rows_in_their_order,
    what_the_server_holds_for_equal_is_equal_to_us,
    runs_that_sort_do_not_deadlock_over_hot_keys,
];

const SEEN: &str = "seen BIGINT UNSIGNED DEFAULT (UUID_SHORT())";
const ONE_BY_ONE: [&str; 2] = ["--batch-objects", "1"];

/// Loads all objects into `t`, whose column `id` is a key, and makes the load the victim of a
/// deadlock once: it must have read row 9 when it comes to row 5.
async fn load_with_a_deadlock(world: &World, code: i32, args: &[&str]) -> Result<Ended> {
    let mut other = world.schema.conn().await?;
    other.query_drop("START TRANSACTION").await?;
    // More work than the loader's, so that the server chooses the loader.
    let many: Vec<String> = (100_000..102_000).map(|id| format!("({id})")).collect();
    other.query_drop(format!("INSERT INTO t (id) VALUES (5), {}", many.join(", "))).await?;
    let base = [
        "load",
        "s3://etl/",
        "--table",
        "t",
        "-v",
        "--load-concurrency",
        "1",
        "--batch-wait",
        "60s",
    ];
    let mut command = world.command(base.iter().chain(args));
    let mut child = command.env("S3_TO_MYSQL_REPORT", world.path("report")).spawn()?;
    wait_for_waiting(&world.schema, "LOAD DATA").await?;
    other.query_drop("INSERT INTO t (id) VALUES (9)").await?;
    let log = wait_for_log(&mut child, "trying again").await?;
    other.query_drop("ROLLBACK").await?;
    let ended = finish(child).await?;
    let ended = Ended { stderr: log.await?, ..ended };
    ended.expect(code)?;
    ended.says("ERROR 1213 (40001)")?;
    Ok(ended)
}

const SORTED: &str = "rows are sent in the order of their unique key";

async fn after_a_deadlock_rows_go_in_the_order_of_their_key(world: World) -> Result<()> {
    world.schema.exec(&format!("CREATE TABLE t (id INT PRIMARY KEY, {SEEN})")).await?;
    world.put("1", "9\n1\n5\n-3\n10\n")?;
    let args = ["--columns", "id"];
    world
        .load_ending(0, "t", &[&args[..], &ONE_BY_ONE, &["--load-concurrency", "1"]].concat())
        .await?;
    let unsorted = ["9", "1", "5", "-3", "10"];
    ensure_values(&world.schema, "SELECT id FROM t ORDER BY seen", &unsorted).await?;
    world.start_afresh("t").await?;
    let ended = load_with_a_deadlock(&world, 0, &[&args[..], &ONE_BY_ONE].concat()).await?;
    ended.says(SORTED)?;
    let sorted = ["-3", "1", "5", "9", "10"];
    ensure_values(&world.schema, "SELECT id FROM t ORDER BY seen", &sorted).await
}

async fn the_same_row_of_a_key_wins_in_whatever_order_they_go(world: World) -> Result<()> {
    let sql = format!(
        "CREATE TABLE t (id VARCHAR(9) COLLATE utf8mb4_general_ci PRIMARY KEY, v VARCHAR(9) NOT NULL DEFAULT '', {SEEN})"
    );
    world.schema.exec(&sql).await?;
    world.put("1", "9\ta\nkey\tb\n5\tc\nKEY \td\nx\te\nKey\tf\n")?;
    let sql = "SELECT id, v FROM t ORDER BY seen";
    for (how, expected) in
        [("replace", ["5|c", "9|a", "Key|f", "x|e"]), ("ignore", ["5|c", "9|a", "key|b", "x|e"])]
    {
        let args = ["--columns", "id, v", "--on-duplicate", how, "--force"];
        let ended = load_with_a_deadlock(&world, 0, &args).await?;
        ended.says(SORTED)?;
        let found = values(&world.schema, sql).await?;
        ensure!(found == expected, "{how}: {found:?}\n{ended}");
        world.start_afresh("t").await?;
    }
    Ok(())
}

async fn a_bad_row_is_told_with_its_own_line_also_after_a_deadlock(world: World) -> Result<()> {
    world.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v DATE)").await?;
    world.put("1", "9\t2026-01-01\n5\t2026-01-01\n7\tsome day\n10\t2026-01-01\n")?;
    for how in ["error", "replace"] {
        let ended = load_with_a_deadlock(&world, 3, &["--on-duplicate", how]).await?;
        ended.says(SORTED)?;
        let line = world.report("report")?.into_iter().next().context("an empty report")?;
        let rows = line["error"]["rows"].as_array().context("no rows in the error")?;
        ensure!(
            !rows.is_empty() && rows.iter().all(|row| row["line"] == 3 && row["row"] == 3),
            "{line:#}"
        );
        ensure!(rows[0]["raw"].as_str().is_some_and(|raw| raw.starts_with("7\t")), "{line:#}");
        ensure!(world.count("t").await? == 0);
    }
    Ok(())
}

async fn objects_that_are_sent_together_are_sorted_together(world: World) -> Result<()> {
    world
        .schema
        .exec(&format!("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9), {SEEN})"))
        .await?;
    world.put("1", "\u{feff}id,v\n9,\"a\nb\"\n3,c\n5,\"d\"")?;
    world.put("2", "id,v\n")?;
    world.put("3", "id,v\n10,\"x\"\n4,e\n11,f")?;
    world.put("4", "id,v\r\n8,g\r\n7,h")?;
    let args = ["--preset", "csv", "--ignore-lines", "1", "--columns", "id, v"];
    let ended = load_with_a_deadlock(&world, 0, &args).await?;
    ended.says(SORTED)?;
    ensure!(!ended.stderr.contains("one by one"), "{ended}");
    // The last one has another line terminator, and so a statement of its own.
    for (ids, sorted) in [
        ("id NOT IN (7, 8)", &["3|c", "4|e", "5|d", "9|a\\nb", "10|x", "11|f"][..]),
        ("id IN (7, 8)", &["7|h", "8|g"]),
    ] {
        ensure_values(
            &world.schema,
            &format!("SELECT id, v FROM t WHERE {ids} ORDER BY seen"),
            sorted,
        )
        .await?;
    }
    let transactions =
        "SELECT COUNT(*), COUNT(DISTINCT loaded_at), SUM(row_count) FROM s3_to_mysql_objects";
    let found = values(&world.schema, transactions).await?;
    ensure!(found[0].starts_with("4|1|8"), "{found:?}");
    Ok(())
}

async fn parts_are_sorted_too(world: World) -> Result<()> {
    world.schema.exec(&format!("CREATE TABLE t (id INT PRIMARY KEY, {SEEN})")).await?;
    // The second part begins behind the row that has byte 16.
    world.put("1", "id\n9\n8\n5\n7\n1\n6\n4\n12\n11\n10")?;
    let args = ["--columns", "id", "--ignore-lines", "1", "--part-size", "16"];
    let ended = load_with_a_deadlock(&world, 0, &args).await?;
    ended.says(SORTED)?;
    let sorted = ["1", "4", "5", "6", "7", "8", "9", "10", "11", "12"];
    ensure_values(&world.schema, "SELECT id FROM t ORDER BY seen", &sorted).await?;
    ensure_values(
        &world.schema,
        "SELECT row_count FROM s3_to_mysql_parts ORDER BY part_number",
        &["7", "3"],
    )
    .await
}

async fn rows_stay_in_their_order_where_it_could_be_told(world: World) -> Result<()> {
    world.put("1", "9\ta\n1\tb\n5\tc\n3\td\n")?;
    let cases: [(&str, &str, &[&str]); 8] = [
        ("two keys", "id INT PRIMARY KEY, v VARCHAR(9) UNIQUE", &["--columns", "id, v"]),
        (
            "a key of its own",
            "n INT AUTO_INCREMENT PRIMARY KEY, id INT UNIQUE, v VARCHAR(9)",
            &["--columns", "id, v"],
        ),
        (
            "what is computed",
            "id INT PRIMARY KEY, v VARCHAR(9)",
            &["--columns", "id, @v", "--set", "v = @v"],
        ),
        (
            "a key that is",
            "id INT PRIMARY KEY, v VARCHAR(9)",
            &["--columns", "@id, v", "--set", "id = @id + 0"],
        ),
        (
            "a parent in the table",
            "id INT PRIMARY KEY, v VARCHAR(9), p INT, FOREIGN KEY (p) REFERENCES t (id)",
            &["--columns", "id, v"],
        ),
        (
            "a collation of a language",
            "id VARCHAR(9) COLLATE utf8mb4_lithuanian_ci PRIMARY KEY, v VARCHAR(9)",
            &["--columns", "id, v"],
        ),
        (
            "the beginning of a column",
            "id VARCHAR(9), v VARCHAR(9), UNIQUE (id(6))",
            &["--columns", "id, v"],
        ),
        ("a trigger", "id INT PRIMARY KEY, v VARCHAR(9)", &["--columns", "id, v"]),
    ];
    for (case, columns, args) in cases {
        world.schema.exec("DROP TABLE IF EXISTS t").await?;
        world
            .schema
            .exec(&format!("CREATE TABLE t ({columns}, {SEEN}) CHARACTER SET utf8mb4"))
            .await?;
        if case == "a trigger" {
            world
                .schema
                .exec("CREATE TRIGGER before_t BEFORE INSERT ON t FOR EACH ROW SET @last = NEW.id")
                .await?;
        }
        let args = [args, &["--force", "--on-duplicate", "ignore"]].concat();
        let ended = load_with_a_deadlock(&world, 0, &args).await.context(case)?;
        ensure!(!ended.stderr.contains(SORTED), "{case}: {ended}");
        let found = values(&world.schema, "SELECT id FROM t ORDER BY seen").await?;
        ensure!(found == ["9", "1", "5", "3"], "{case}: {found:?}");
    }
    Ok(())
}

async fn a_key_that_the_server_changes_leaves_rows_in_their_order(world: World) -> Result<()> {
    world
        .schema
        .exec(&format!("CREATE TABLE t (id VARBINARY(2) PRIMARY KEY, v VARCHAR(9), {SEEN})"))
        .await?;
    // Too long, and equal when they are cut.
    world.put("1", "9\ta\n5\tb\nccz\tlost\ncca\tkept\n1\tc\n")?;
    let args = ["--columns", "id, v", "--on-duplicate", "replace", "--on-bad-row", "accept"];
    let mut other = world.schema.conn().await?;
    other.query_drop("START TRANSACTION").await?;
    let many: Vec<String> = (0..2000_u32).map(|id| format!("(X'{:04X}')", 0x8000 + id)).collect();
    other.query_drop(format!("INSERT INTO t (id) VALUES ('5'), {}", many.join(", "))).await?;
    let base = ["load", "s3://etl/", "--table", "t", "-v"];
    let mut child = world.command(base.iter().chain(&args)).spawn()?;
    wait_for_waiting(&world.schema, "LOAD DATA").await?;
    other.query_drop("INSERT INTO t (id) VALUES ('9')").await?;
    let log = wait_for_log(&mut child, "trying again").await?;
    other.query_drop("ROLLBACK").await?;
    finish(child).await?.expect(0)?;
    let log = log.await?;
    ensure!(log.contains("the server has changed keys"), "{log}");
    ensure_values(
        &world.schema,
        "SELECT id, v FROM t ORDER BY seen",
        &["9|a", "5|b", "cc|kept", "1|c"],
    )
    .await
}

/// Values that a column may hold for equal.
fn candidates(declared: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    if declared.starts_with("INT") {
        return texts(&[
            "0", "-0", "+0", "00", "1", "01", "+1", "-1", "-01", "10", "1 ", " 1", "1.0", "1e0",
            "0.9", "'1'",
        ]);
    }
    if declared.starts_with("DATE") {
        return texts(&[
            "2026-01-02",
            "2026-1-2",
            "20260102",
            "26-01-02",
            "2026/01/02",
            "2026-01-02 00:00:00",
            "2026-01-03",
            "2026-01-02 00:00:00.0",
            "2026-01-02T00:00:00",
            "2026-01-02 00:00:01",
        ]);
    }
    // But for the separators.
    let ascii: Vec<u8> = (0..=127).filter(|byte| !matches!(byte, 0x01 | b'\n')).collect();
    let mut all: Vec<Vec<u8>> = ascii.iter().map(|byte| vec![*byte]).collect();
    // Every pair, for characters that are one where they meet.
    all.extend(ascii.iter().flat_map(|left| ascii.iter().map(|right| vec![*left, *right])));
    all.extend(
        ["", "a  ", "\u{e9}", "e\u{301}", "\u{df}", "ss", "\u{fb01}", "fi", "\u{ff21}"]
            .map(|text| text.as_bytes().to_vec()),
    );
    all
}

async fn what_the_server_holds_for_equal_is_equal_to_us(world: World) -> Result<()> {
    let mut declarations: Vec<(String, &str, Option<String>)> = vec![
        ("INT".to_owned(), "int", None),
        ("DATE".to_owned(), "date", None),
        ("DATETIME".to_owned(), "datetime", None),
        ("BINARY(4)".to_owned(), "binary", None),
        ("VARBINARY(4)".to_owned(), "varbinary", None),
    ];
    let collations: Vec<(String, String)> = world
        .schema
        .query("SELECT COLLATION_NAME, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE CHARACTER_SET_NAME IN ('utf8mb4', 'utf8mb3', 'latin1', 'ascii') ORDER BY 1")
        .await?;
    for (collation, charset) in collations {
        let declared = format!("VARCHAR(9) CHARACTER SET {charset} COLLATE {collation}");
        declarations.push((declared, "varchar", Some(collation.clone())));
        if collation.ends_with("_bin") {
            declarations.push((
                format!("CHAR(9) CHARACTER SET {charset} COLLATE {collation}"),
                "char",
                Some(collation),
            ));
        }
    }
    let mut conn = world.schema.conn().await?;
    conn.query_drop("SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION', NAMES utf8mb4").await?;
    let format = FormatConfig {
        dialect: Preset::HiveRaw.dialect(),
        charset: Charset::default(),
        ignore_lines: 0,
        columns: None,
        set: Vec::new(),
        null_strings: Vec::new(),
    };
    let part = KeyPart {
        key: "PRIMARY".to_owned(),
        column: Some("v".to_owned()),
        is_prefix: false,
        is_btree: true,
    };
    let items = [ColumnOrVariable::Column("v".to_owned())];
    let (mut plain_columns, mut equal_pairs) = (0, 0);
    for (declared, data_type, collation) in declarations {
        let column = KeyColumn {
            name: "v".to_owned(),
            data_type: data_type.to_owned(),
            collation,
            is_generated: false,
            is_auto_increment: false,
        };
        let Some(key) = UniqueKey::plain(&[column], std::slice::from_ref(&part), &items, &format)
        else {
            continue;
        };
        plain_columns += 1;
        let of = |value: &[u8]| {
            let mut bytes = Vec::new();
            key.put(value, &mut bytes).then_some(bytes)
        };
        let plain: Vec<(Vec<u8>, Vec<u8>)> = candidates(&declared)
            .into_iter()
            .filter_map(|value| of(&value).map(|key| (value, key)))
            .collect();
        ensure!(!plain.is_empty(), "{declared}: nothing is plain");
        conn.query_drop("DROP TABLE IF EXISTS w").await?;
        conn.query_drop(format!(
            "CREATE TABLE w (n INT PRIMARY KEY, v {declared} NOT NULL, KEY (v))"
        ))
        .await?;
        let hex = |value: &[u8]| value.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        let introducer = if data_type.ends_with("binary") { "_binary" } else { "_utf8mb4" };
        let rows: Vec<String> = plain
            .iter()
            .enumerate()
            .map(|(n, (value, _))| format!("({n}, {introducer} X'{}')", hex(value)))
            .collect();
        conn.query_drop(format!("INSERT INTO w VALUES {}", rows.join(", "))).await?;
        let equal: Vec<(usize, usize)> = conn
            .query("SELECT a.n, b.n FROM w a JOIN w b ON a.v = b.v AND a.n < b.n")
            .await
            .with_context(|| declared.clone())?;
        for (left, right) in &equal {
            let ((left, left_key), (right, right_key)) = (&plain[*left], &plain[*right]);
            let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
            ensure!(left_key == right_key, "{declared}: {:?} = {:?}", show(left), show(right));
        }
        equal_pairs += equal.len();
    }
    ensure!(
        plain_columns >= 15 && equal_pairs > 10_000,
        "{plain_columns} columns, {equal_pairs} equal pairs"
    );
    Ok(())
}

/// Two runs, as one lowers its concurrency and two can't go below two connections.
async fn runs_that_sort_do_not_deadlock_over_hot_keys(world: World) -> Result<()> {
    const FILES: u32 = 24;
    const HOT: u32 = 1000;
    const OWN: u32 = 300;
    world.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL DEFAULT 0)").await?;
    // What each run has read when it comes to a row that is locked, so that it can be made the
    // victim of a deadlock.
    let runs = [("ignore", 200, 300), ("replace", 700, 800)];
    let mut random = fastrand::Rng::with_seed(7);
    for (number, (run, first, locked)) in (0..).zip(runs) {
        for file in 0..FILES {
            let own = HOT + (number * FILES + file) * OWN;
            let mut rest: Vec<u32> = (0..HOT)
                .chain(own..own + OWN)
                .filter(|key| ![first, locked].contains(key))
                .collect();
            random.shuffle(&mut rest);
            let keys = [first, locked].into_iter().chain(rest);
            let text: String = keys.map(|key| format!("{key}\t{}\n", key % 100)).collect();
            world.put(&format!("{run}/{file}"), text)?;
        }
    }
    let mut running = Vec::new();
    let mut others = Vec::new();
    for ((_, _, locked), many) in runs.into_iter().zip([1_000_000.., 2_000_000..]) {
        let mut other = world.schema.conn().await?;
        other.query_drop("START TRANSACTION").await?;
        // More work than the run's, so that the server chooses the run.
        let many: Vec<String> = many.take(3000).map(|id| format!("({id})")).collect();
        other
            .query_drop(format!("INSERT INTO t (id) VALUES ({locked}), {}", many.join(", ")))
            .await?;
        others.push(other);
    }
    for ((run, first, _), other) in runs.into_iter().zip(&mut others) {
        let (uri, load) =
            (format!("s3://etl/{run}/"), format!("{} INTO TABLE", run.to_uppercase()));
        let args = ["load", &uri, "--table", "t", "--on-duplicate", run, "--load-concurrency", "1"];
        let mut child = world.command(args.iter().chain(&ONE_BY_ONE)).spawn()?;
        wait_for_waiting(&world.schema, &load).await?;
        other.query_drop(format!("INSERT INTO t (id) VALUES ({first})")).await?;
        let log = wait_for_log(&mut child, "trying again").await?;
        running.push((child, log));
    }
    for mut other in others {
        other.query_drop("ROLLBACK").await?;
    }
    for (child, log) in running {
        let ended = finish(child).await?;
        let log = log.await?;
        ended.expect(0).with_context(|| log.clone())?;
        ensure!(log.contains(SORTED), "{log}");
        let conflicts = log.matches("met another one's locks").count();
        ensure!(conflicts == 1, "{conflicts} conflicts, of which one was made:\n{log}");
    }
    let rows = u64::from(HOT + 2 * FILES * OWN);
    let found: (u64, u64) =
        world.schema.query_one("SELECT COUNT(*), SUM(id % 100 = v) FROM t").await?;
    ensure!(found == (rows, rows), "{found:?}, not {rows}");
    Ok(())
}
