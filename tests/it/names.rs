//! Columns that are found by the names in headers, and values that come from keys.

mod key_facts;
mod partitions;

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::lines::{expect_failure, outcome};
use crate::support::program::{Ended, TestEnv, finish, signal};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::values::ensure_values;

const BY_NAME: [&str; 4] = ["--preset", "csv", "--match-columns", "name"];
const ALL: &str = "SELECT sku, qty, cost FROM t ORDER BY sku";

async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    let ended = env.load_ending(code, "t", &[&["--report", &report], args].concat()).await?;
    env.ensure_nothing_staged()?;
    Ok(ended)
}

/// Requires that an object failed, and that its message and its hint say this.
fn ensure_failed(env: &TestEnv, key: &str, says: &str, hint: &str) -> Result<()> {
    expect_failure(env, "report", key, "malformed")?;
    let error = &outcome(env, "report", key)?["error"];
    let (message, found) = (error["message"].to_string(), error["hint"].to_string());
    ensure!(message.contains(says), "{message} lacks {says}");
    ensure!(found.contains(hint), "{found} lacks {hint}");
    Ok(())
}

async fn start_afresh(env: &TestEnv) -> Result<()> {
    env.start_afresh("t").await?;
    env.schema.exec("DELETE FROM s3_to_mysql_parts").await
}

fn gzip(text: &str) -> Result<Vec<u8>> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes())?;
    Ok(packed.finish()?)
}

async fn table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (sku INT PRIMARY KEY, qty INT, cost INT)").await
}

/// The order, the spelling and the number of the names differ.
const OBJECTS: [(&str, &str); 6] = [
    ("1.csv", "sku,qty,cost\n1,10,100\n"),
    ("2.csv", "qty,sku,cost\n20,2,200\n"),
    ("3.csv", "SKU, QTY ,\"cost\"\n3,30,300\n"),
    ("4.csv", "sku,cost\n4,400\n"),
    ("5.csv", "\u{feff}sku,color,qty,cost\n5,55,50,500\n"),
    ("6.csv", "sku,qty,sku\n6,60,61\n"),
];

#[apply(load_test)]
async fn each_header_finds_the_columns_of_its_object(env: TestEnv) -> Result<()> {
    table(&env).await?;
    for (key, text) in OBJECTS {
        env.put(key, text)?;
    }
    let dir = env.path("rejects").display().to_string();
    for args in [
        &[][..],
        &["--no-batch"],
        &["--on-bad-row", "reject", "--rejects", &dir],
        &["--part-size", "4"],
        &["--no-ledger"],
    ] {
        load(&env, 3, &[&BY_NAME[..], args].concat()).await?;
        ensure_values(&env.schema, ALL, &["1|10|100", "2|20|200", "3|30|300", "4|\u{2205}|400"])
            .await?;
        let extra = "its header (sku, color, qty, cost): color is no column that can be loaded";
        ensure_failed(&env, "5.csv", extra, "--extra-columns ignore leaves such fields out")?;
        ensure_failed(&env, "6.csv", "it has sku twice", "each name must be there once")?;
        if args == ["--no-ledger"] {
            env.schema.exec("TRUNCATE TABLE t").await?;
        } else {
            start_afresh(&env).await?;
        }
    }
    load(&env, 3, &[&BY_NAME[..], &["--extra-columns", "ignore"]].concat()).await?;
    let four = ["1|10|100", "2|20|200", "3|30|300", "4|\u{2205}|400"];
    ensure_values(&env.schema, ALL, &[&four[..], &["5|50|500"]].concat()).await?;
    start_afresh(&env).await?;
    load(&env, 3, &[&BY_NAME[..], &["--missing-columns", "error"]].concat()).await?;
    ensure_values(&env.schema, ALL, &four[..3]).await?;
    ensure_failed(&env, "4.csv", "it lacks the column qty", "--missing-columns is error")
}

#[apply(load_test)]
async fn objects_of_one_header_share_a_statement_and_others_do_not(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b INT, c VARCHAR(9))").await?;
    for key in 0..30 {
        let (text, gz) = match key % 3 {
            0 => (format!("a,b,c\n{key},{key}1,x\n"), false),
            1 => (format!("c,b,a\n\"x\",{key}1,{key}\n"), false),
            _ => (format!("b,c,a\r\n{key}1,x,{key}"), true),
        };
        let name = format!("{key:02}");
        if gz { env.put(&name, gzip(&text)?)? } else { env.put(&name, text)? }
    }
    load(&env, 0, &[&BY_NAME[..], &["--load-concurrency", "1"]].concat()).await?;
    let right = "SELECT COUNT(*), COUNT(IF(b = a * 10 + 1 AND c = 'x', 1, NULL)) FROM t";
    ensure_values(&env.schema, right, &["30|30"]).await
}

#[apply(load_test)]
async fn names_that_do_not_fit_the_table_fail_their_object(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, customer VARCHAR(9) NOT NULL, \
             at TIMESTAMP NOT NULL DEFAULT '2026-01-01 00:00:00', note TEXT, \
             twice VARCHAR(18) AS (CONCAT(customer, customer)) VIRTUAL)",
        )
        .await?;
    for (key, text) in [
        ("typo", "id,costumer\n1,a\n"),
        ("short", "id,note\n2,a\n"),
        ("none", "1,a\n2,b\n"),
        ("nameless", ",customer\n0,a\n"),
        ("empty", "a,b,c\n"),
        ("open", "id,\"customer\n5,a\n"),
        ("good", "customer\nann\n"),
    ] {
        env.put(key, text)?;
    }
    load(&env, 3, &BY_NAME).await?;
    ensure_failed(&env, "typo", "costumer is no column", "did you mean \\\"customer\\\"?")?;
    ensure_failed(&env, "short", "it lacks the column customer", "--set 'customer=EXPRESSION'")?;
    ensure_failed(&env, "none", "none of its names is a column", "--ignore-lines")?;
    ensure_failed(&env, "nameless", "field 1 (without a name)", "--extra-columns ignore")?;
    expect_failure(&env, "report", "open", "malformed")?;
    let all = "SELECT customer, at, twice, note FROM t";
    ensure_values(&env.schema, all, &["ann|2026-01-01 00:00:00|annann|\u{2205}"]).await?;
    // With every name unknown, nothing but defaults would be loaded.
    load(&env, 3, &[&BY_NAME[..], &["--extra-columns", "ignore"]].concat()).await?;
    ensure_failed(&env, "none", "none of its names is a column", "--ignore-lines")?;
    ensure!(outcome(&env, "report", "nameless")?["status"] == "loaded");
    Ok(())
}

#[apply(load_test)]
async fn names_go_to_listed_columns_and_to_variables_of_expressions(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, day DATE, note VARCHAR(9), v INT)").await?;
    env.put("1", "day,v,id,note\n31.12.2025,7,1,x\n")?;
    env.put("2", "id,day\n2,01.01.2026\n")?;
    let set = ["--set", "day=STR_TO_DATE(@day, '%d.%m.%Y')"];
    load(&env, 0, &[&BY_NAME[..], &set].concat()).await?;
    let all = "SELECT id, day, note, v FROM t ORDER BY id";
    let two = "2|2026-01-01|\u{2205}|\u{2205}";
    ensure_values(&env.schema, all, &["1|2025-12-31|x|7", two]).await?;
    start_afresh(&env).await?;
    let listed = ["--columns", "id,day", "--extra-columns", "ignore"];
    load(&env, 0, &[&BY_NAME[..], &set, &listed].concat()).await?;
    ensure_values(&env.schema, all, &["1|2025-12-31|\u{2205}|\u{2205}", two]).await?;
    start_afresh(&env).await?;
    load(&env, 3, &[&BY_NAME[..], &set, &["--columns", "id,day"]].concat()).await?;
    ensure_failed(&env, "1", "v, note are no columns that can be loaded", "--extra-columns")?;
    // A variable keeps its value in a session, so that it must not come from another object.
    start_afresh(&env).await?;
    load(&env, 3, &[&BY_NAME[..], &set, &["--set", "v=LENGTH(@other)"]].concat()).await?;
    ensure_failed(&env, "2", "it lacks other, which --set reads as a variable", "of their own")?;
    let ended = load(&env, 6, &[&BY_NAME[..], &["--set", "v=LENGTH(@note)"]].concat()).await?;
    ended.says("--set reads @note, but the field note goes to the column")?;
    load(&env, 2, &[&BY_NAME[..], &["--ignore-lines", "0"]].concat()).await?;
    let ended = load(&env, 2, &["--extra-columns", "ignore"]).await?;
    ended.says("add --match-columns name")
}

fn long(names: [&str; 3], rows: u64) -> String {
    let mut text = format!("# an export\n{}\n", names.join(","));
    for id in 1..=rows {
        let value = |name: &str| match name {
            "id" => id.to_string(),
            "v" => format!("\"value, {id:06}\""),
            _ => (id * 3).to_string(),
        };
        let values: Vec<String> = names.iter().map(|name| value(name)).collect();
        let _ = writeln!(text, "{}", values.join(","));
    }
    text
}

#[apply(load_test)]
async fn parts_of_an_object_are_read_by_its_header_after_a_kill(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT NOT NULL, v VARCHAR(40) NOT NULL, n INT)").await?;
    env.put("a", long(["v", "id", "n"], 3000))?;
    env.put("b", gzip(&long(["n", "v", "id"], 3000))?)?;
    let args = [&BY_NAME[..], &["--ignore-lines", "2", "--part-size", "8KiB"]].concat();
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.after(5, Step::LoadCommit, Break::Hold);
    let one = [&args[..], &["--load-concurrency", "1"]].concat();
    let child = env.load_through(proxy.port(), &one).spawn()?;
    held.wait().await?;
    signal(&child, "KILL")?;
    finish(child).await?;
    held.release();
    load(&env, 0, &args).await?;
    let right = "SELECT COUNT(*), COUNT(DISTINCT id), SUM(n = id * 3), \
                 SUM(v = CONCAT('value, ', LPAD(id, 6, '0'))) FROM t";
    ensure_values(&env.schema, right, &["6000|3000|6000|6000"]).await
}

#[apply(load_test)]
async fn bad_rows_and_samples_are_read_by_the_header(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT)").await?;
    env.put("1", "v,id\n7,1\nx,2\n8,1\n9,3\n")?;
    env.put("2", "id,v\n4,6\n5,5,5\n")?;
    let rejects = env.path("rejects").display().to_string();
    let args = ["--on-bad-row", "reject", "--on-duplicate", "reject", "--rejects", &rejects];
    for size in ["1GiB", "4"] {
        // Of the rows with one key, the first that is loaded stays.
        let more = [&args[..], &["--part-size", size, "--load-concurrency", "1"]].concat();
        load(&env, 7, &[&BY_NAME[..], &more].concat()).await?;
        ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|7", "3|9", "4|6"]).await?;
        ensure!(outcome(&env, "report", "1")?["rejected"] == 2);
        start_afresh(&env).await?;
        std::fs::remove_dir_all(env.path("rejects"))?;
    }
    let report = env.path("report").display().to_string();
    let check = ["check", "s3://etl/", "--table", "t", "--report", &report];
    let ended = env.run(&[&check[..], &BY_NAME].concat()).await?;
    ended.expect(3)?;
    ended.says("line 3, column v (int)")?;
    let ended = env.run(&[&check[..], &BY_NAME, &["--sample", "1"]].concat()).await?;
    ended.expect(0)?;
    let plan = ["plan", "s3://etl/", "--table", "t"];
    let ended = env.run(&[&plan[..], &BY_NAME].concat()).await?;
    ended.expect(0)?;
    ensure!(ended.stdout.contains("the columns that its header names"), "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn updates_and_rejected_duplicates_go_by_each_header(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT)").await?;
    env.put("1", "v,id\n10,1\n20,2\n")?;
    env.put("2", "id,w,v\n3,3,30\n4,4,40\n")?;
    let rejects = env.path("rejects").display().to_string();
    let reject = ["--on-duplicate", "reject", "--rejects", &rejects];
    let before = "INSERT INTO t VALUES (1, 0, 7), (3, 0, 7)";
    let all = "SELECT * FROM t ORDER BY id";
    for one in [&["--load-concurrency", "1"][..], &["--no-batch"], &["--part-size", "4"]] {
        env.schema.exec(before).await?;
        let update = [&BY_NAME[..], &["--on-duplicate", "update"], one].concat();
        load(&env, 0, &update).await?;
        let rows = ["1|10|7", "2|20|\u{2205}", "3|30|3", "4|40|4"];
        ensure_values(&env.schema, all, &rows).await?;
        start_afresh(&env).await?;
        env.schema.exec("DELETE FROM s3_to_mysql_runs").await?;
        env.schema.exec(before).await?;
        load(&env, 7, &[&BY_NAME[..], &reject, one].concat()).await?;
        let rows = ["1|0|7", "2|20|\u{2205}", "3|0|7", "4|40|4"];
        ensure_values(&env.schema, all, &rows).await?;
        start_afresh(&env).await?;
        env.schema.exec("DELETE FROM s3_to_mysql_runs").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_job_by_names_is_verified_by_its_values(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9), n INT)").await?;
    env.put("1", "v,id,n\na,1,1\nb,2,2\n")?;
    env.put("2", "n,id,v\n3,3,c\n")?;
    let verify = ["--mode", "truncate", "--verify", "checksum"];
    let ended = load(&env, 0, &[&BY_NAME[..], &verify].concat()).await?;
    ensure!(ended.summary("verified")?.starts_with("3 rows, 3 of 3 columns"), "{ended}");
    // A column that one of the objects lacks is compared no more.
    env.put("3", "n,id\n4,4\n")?;
    let ended = load(&env, 0, &[&BY_NAME[..], &verify].concat()).await?;
    ensure!(ended.summary("verified")?.starts_with("4 rows, 2 of 3 columns"), "{ended}");
    ended.says("objects with one row do not have it")?;
    env.put("4", "id,v\n6,a\n7,b\n")?;
    let ended = load(&env, 0, &[&BY_NAME[..], &verify].concat()).await?;
    ended.says("not verified       n: objects with 2 rows do not have it")
}

#[apply(load_test)]
async fn messages_about_names_are_short_and_show_no_variable_of_ours(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("long", format!("sku,{}\n1,2\n", "x".repeat(900_000)))?;
    env.put("twice", format!("sku,{0},{0}\n1,2,3\n", "y".repeat(300_000)))?;
    env.put("short row", "sku,color,qty\n1,red\n")?;
    let ended = load(&env, 3, &[&BY_NAME[..], &["--extra-columns", "ignore"]].concat()).await?;
    ended.says("sku, (left out), qty")?;
    ensure!(!ended.stderr.contains("s3_to_mysql_extra"), "{ended}");
    ensure!(ended.stderr.len() < 10_000, "{} bytes", ended.stderr.len());
    let ended = load(&env, 3, &BY_NAME).await?;
    ensure!(ended.stderr.len() < 10_000, "{} bytes", ended.stderr.len());
    let by_position = ["--preset", "csv", "--ignore-lines", "1"];
    let ended = load(&env, 3, &by_position).await?;
    ensure!(ended.stderr.len() < 10_000, "{} bytes", ended.stderr.len());
    Ok(())
}

/// The rules take the field, and the server refuses the value of the expression.
#[apply(load_test)]
async fn a_value_of_set_that_does_not_fit_is_said_to_be_one(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, v TINYINT)").await?;
    env.put("a", "id,v\n1,2\n")?;
    for args in [&BY_NAME[..], &["--preset", "csv", "--ignore-lines", "1"]] {
        for set in ["v=999", "v=v*200", "v='x'"] {
            let ended = load(&env, 3, &[args, &["--set", set]].concat()).await?;
            expect_failure(&env, "report", "a", "bad_rows")?;
            let error = &outcome(&env, "report", "a")?["error"];
            let hint = error["hint"].to_string();
            ensure!(hint.contains("--set fills column v, and its expression gives"), "{error}");
            ensure!(!ended.stderr.contains("report this"), "{ended}");
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn an_update_leaves_columns_alone_that_the_object_lacks(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.schema.exec("INSERT INTO t VALUES (1, 1, 111)").await?;
    env.put("1.csv", "sku,qty\n1,10\n")?;
    let update = ["--on-duplicate", "update", "--update-columns", "qty,cost"];
    load(&env, 0, &[&BY_NAME[..], &update].concat()).await?;
    ensure_values(&env.schema, ALL, &["1|10|111"]).await
}

#[apply(load_test)]
async fn a_trigger_is_no_reason_to_leave_a_needed_column_out(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL, b INT)").await?;
    env.schema.exec("CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.b = 1").await?;
    env.put("1.csv", "id\n1\n")?;
    load(&env, 3, &BY_NAME).await?;
    ensure_failed(&env, "1.csv", "it lacks the column a", "--set 'a=EXPRESSION'")
}

#[apply(load_test)]
async fn names_that_cannot_be_read_are_not_left_out(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, `gr\u{f6}\u{df}e` INT)").await?;
    env.put("1.csv", b"id,gr\xf6\xdfe\n1,2\n".to_vec())?;
    let args = ["--charset", "latin1", "--extra-columns", "ignore"];
    load(&env, 3, &[&BY_NAME[..], &args].concat()).await?;
    ensure_failed(&env, "1.csv", "the name of field 2 cannot be read", "UTF-8")
}

#[apply(load_test)]
async fn a_variable_that_nothing_fills_is_a_problem(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))").await?;
    env.put("1", "1\n")?;
    let set = ["--columns", "id", "--set", "v=@object_nmae"];
    let refused = load(&env, 2, &set).await?;
    refused.says("@object_nmae, which is not among --columns; did you mean @object_name?")?;
    let set = ["--columns", "id,@store", "--set", "v=UPPER(@stroe)"];
    load(&env, 2, &set)
        .await?
        .says("@stroe, which is not among --columns; did you mean @store?")?;
    ensure_values(&env.schema, "SELECT COUNT(*) FROM t", &["0"]).await?;
    let set = ["--columns", "id", "--set", "v=@object_name"];
    load(&env, 0, &set).await?;
    ensure_values(&env.schema, "SELECT id, v FROM t", &["1|1"]).await
}
