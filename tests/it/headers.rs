//! The names in a header line are compared with the columns that the fields are read into.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::lines::{expect_failure, outcome};
use crate::support::program::{Ended, TestEnv};
use crate::support::values::ensure_values;

const CSV: [&str; 4] = ["--preset", "csv", "--ignore-lines", "1"];

async fn table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (sku INT PRIMARY KEY, qty INT, cost INT)").await
}

async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    env.load_ending(code, "t", &[&CSV[..], &["--report", &report], args].concat()).await
}

/// Requires that an object was refused for its header, with this reason and this hint.
fn expect_refused(env: &TestEnv, key: &str, reason: &str, columns: &str) -> Result<()> {
    expect_failure(env, "report", key, "malformed")?;
    let error = &outcome(env, "report", key)?["error"];
    let (message, hint) = (error["message"].to_string(), error["hint"].to_string());
    ensure!(message.contains(reason), "{message} lacks {reason}");
    ensure!(hint.contains(&format!("--columns '{columns}' has the order of this")), "{hint}");
    Ok(())
}

/// The order, the spelling and the number of the names differ.
const OBJECTS: [(&str, &str); 6] = [
    ("1", "sku,qty,cost\n1,10,100\n"),
    ("2", "qty,sku,cost\n20,2,200\n"),
    ("3", "SKU, QTY ,\"cost\"\n3,30,300\n"),
    ("4", "sku,cost\n4,400\n"),
    ("5", "\u{feff}sku,color,qty,cost\n5,55,50,500\n"),
    ("6", "sku,qty,sku\n6,60,61\n"),
];

#[apply(load_test)]
async fn a_header_in_another_order_fails_its_object(env: TestEnv) -> Result<()> {
    table(&env).await?;
    for (key, text) in OBJECTS {
        env.put(key, text)?;
    }
    for args in [
        &[][..],
        &["--no-batch"],
        &["--on-bad-row", "accept", "--on-duplicate", "ignore"],
        &["--on-bad-row", "reject", "--rejects", "rejects"],
        &["--part-size", "4"],
        &["--part-size", "4", "--on-bad-row", "reject", "--rejects", "rejects"],
    ] {
        let ended = load(&env, 3, args).await?;
        ended.says("s3://etl/2: its header (qty, sku, cost) contradicts the columns (sku, qty")?;
        expect_refused(&env, "2", "field 1 is qty, and goes to sku", "qty,sku,cost")?;
        expect_refused(&env, "4", "field 2 is cost, and goes to qty", "sku,cost")?;
        expect_refused(&env, "5", "field 3 is qty, and goes to cost", "sku,@color,qty,cost")?;
        expect_refused(&env, "6", "it has sku twice", "sku,qty,@sku")?;
        ensure!(!ended.stderr.contains("only in part"), "{ended}");
        let all = "SELECT * FROM t ORDER BY sku";
        ensure_values(&env.schema, all, &["1|10|100", "3|30|300"]).await?;
        // Nothing of them is in the ledger, so that the next run may read them in another way.
        let begun: u64 = env.schema.query_one("SELECT COUNT(*) FROM s3_to_mysql_objects").await?;
        ensure!(begun == 2, "{begun} objects");
        env.start_afresh("t").await?;
        env.schema.exec("DELETE FROM s3_to_mysql_parts").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn the_hint_for_a_header_loads_the_object(env: TestEnv) -> Result<()> {
    table(&env).await?;
    for (key, text, columns, row) in [
        ("2", OBJECTS[1].1, "qty,sku,cost", "2|20|200"),
        ("4", OBJECTS[3].1, "sku,cost", "4|\u{2205}|400"),
        ("5", OBJECTS[4].1, "sku,@color,qty,cost", "5|50|500"),
        ("6", OBJECTS[5].1, "sku,qty,@sku", "6|60|\u{2205}"),
    ] {
        for size in ["1GiB", "4"] {
            env.put(key, text)?;
            load(&env, 3, &["--part-size", size]).await?;
            expect_failure(&env, "report", key, "malformed")?;
            load(&env, 0, &["--part-size", size, "--columns", columns]).await?;
            ensure_values(&env.schema, "SELECT * FROM t", &[row]).await?;
            env.s3.backend().remove("etl", key);
            env.start_afresh("t").await?;
            env.schema.exec("DELETE FROM s3_to_mysql_parts").await?;
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn a_check_tells_of_headers_in_another_order(env: TestEnv) -> Result<()> {
    table(&env).await?;
    for (key, text) in OBJECTS {
        env.put(key, text)?;
    }
    let long = (1..2000).fold("cost,sku,qty\n".to_owned(), |mut text, id| {
        let _ = writeln!(text, "{id},{id},{id}");
        text
    });
    env.put("7", long)?;
    let report = env.path("report").display().to_string();
    for sample in [&[][..], &["--sample", "1"]] {
        let check = ["check", "s3://etl/", "--table", "t", "--report", &report];
        let ended = env.run(&[&check[..], &CSV, sample].concat()).await?;
        ended.expect(3)?;
        ensure!(ended.summary("would fail")? == "5", "{ended}");
        ended.says("s3://etl/7: its header (cost, sku, qty) contradicts")?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_header_that_fits_in_part_is_warned_of_once(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (sku INT PRIMARY KEY, qty INT, cost INT, g INT)").await?;
    for key in 0..5 {
        env.put(&format!("{key}"), format!("sku,amount,cost\n{key},1,2\n"))?;
    }
    let ended = load(&env, 0, &["--columns", "sku,qty,cost"]).await?;
    let warnings = ended.stderr.matches("only in part").count();
    ensure!(warnings == 1, "{warnings} warnings\n{ended}");
    ended.says("its header (sku, amount, cost) fits the columns (sku, qty, cost) only in part")?;
    ended.says("field 2 is amount, and goes to qty")?;

    // Another number of names is a remark of its own; the rows are judged by themselves.
    env.start_afresh("t").await?;
    for key in 0..5 {
        env.put(&format!("{key}"), format!("sku,qty\n{key},1,2\n"))?;
    }
    let args = ["--columns", "sku,qty,cost", "--part-size", "4"];
    load(&env, 0, &args).await?.says("it has 2 fields for 3 columns")?;
    Ok(())
}

#[apply(load_test)]
async fn a_header_with_names_of_its_own_is_nobodys_business(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("1", "Artikel,Menge,Preis\n1,10,100\n")?;
    // An object without rows cannot be read in a wrong order.
    env.put("3", "cost,qty,sku\n")?;
    let ended = load(&env, 0, &[]).await?;
    ensure!(!ended.stderr.contains("its header"), "{ended}");
    // The last ignored line counts.
    for (key, lines, names) in [("4", "x,y,z\n", "sku,qty,cost"), ("5", "cost,sku\n", "SKU,Qty,")] {
        env.put(key, format!("{lines}{names}\n{key},40,400\n"))?;
    }
    for key in ["1", "3"] {
        env.s3.backend().remove("etl", key);
    }
    let two = ["--preset", "csv", "--ignore-lines", "2"];
    let ended = env.load_ending(0, "t", &two).await?;
    ensure!(!ended.stderr.contains("its header"), "{ended}");
    // Objects that end before their header does.
    for (key, text) in [("6", "qty,sku\n"), ("7", "x\nqty,sku"), ("8", "x\nqty,sku\n")] {
        env.put(key, text)?;
    }
    env.load_ending(0, "t", &[&two[..], &["--part-size", "99"]].concat()).await?;
    for key in ["6", "7", "8"] {
        env.put(key, format!("{}\n", "x".repeat(99)))?;
    }
    env.load_ending(0, "t", &[&two[..], &["--part-size", "4", "--on-changed", "load"]].concat())
        .await?;
    let all = "SELECT * FROM t ORDER BY sku";
    ensure_values(&env.schema, all, &["1|10|100", "4|40|400", "5|40|400"]).await
}

#[apply(load_test)]
async fn variables_count_by_their_names(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("1", "sku,qty,cost\n1,10,100\n")?;
    let set = ["--set", "qty=@a", "--set", "cost=@b"];
    load(&env, 0, &[&["--columns", "sku,@a,@b"][..], &set].concat()).await?;
    env.start_afresh("t").await?;
    let swapped = ["--columns", "sku,@cost,@qty", "--set", "qty=@qty", "--set", "cost=@cost"];
    load(&env, 3, &swapped).await?;
    expect_refused(&env, "1", "field 2 is qty, and goes to @cost", "sku,@qty,@cost")?;
    let right = ["--columns", "sku,@qty,@cost", "--set", "qty=@qty", "--set", "cost=@cost"];
    load(&env, 0, &right).await?;
    ensure_values(&env.schema, "SELECT * FROM t", &["1|10|100"]).await
}
