//! JSON Lines: records go into columns by the names of their keys, with every digit.

mod documents;
mod second_reader;
mod values;

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::lines::{expect_failure, outcome};
use crate::support::program::{Ended, TestEnv};
use crate::support::values::ensure_values;

/// Loads everything as JSON Lines. The report is `report`, and rejects go to `rejects`.
async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    let args = [&["--format", "jsonl", "--report", &report], args].concat();
    let ended = env.load_ending(code, "t", &args).await?;
    env.ensure_nothing_staged()?;
    Ok(ended)
}

/// Returns the text of the one reject file.
fn rejected(env: &TestEnv) -> Result<Vec<u8>> {
    let files: Vec<_> = std::fs::read_dir(env.path("rejects"))?.collect::<Result<_, _>>()?;
    let is_text =
        |file: &&std::fs::DirEntry| file.path().extension().is_some_and(|it| it == "rejected");
    let mut texts = files.iter().filter(is_text);
    let text = texts.next().context("no reject file")?;
    ensure!(texts.next().is_none(), "{files:?}");
    Ok(std::fs::read(text.path())?)
}

const RECORDS: &str = concat!(
    r#"{"id":1,"name":"Ada","tags":["x","y"],"pay":null,"ok":true,"#,
    r#""nest":{"a":{"b":"q\"uo\\te"}},"big":9007199254740993}
{"nest":null,"id":2,"ok":false,"name":"null","pay":12.50}
{"id":3,"name":"smile 🙂 \u00e9 \ud83d\ude42","tags":[],"pay":1e2,"ok":null,"big":-1}

{"id":4,"name":"line\nbreak,\ttab","pay":"7.25"}"#
);

async fn table(env: &TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(40), tags JSON, pay DECIMAL(10,2), \
             ok TINYINT(1), nest JSON, big BIGINT) CHARSET utf8mb4",
        )
        .await
}

#[apply(load_test)]
async fn records_go_into_columns_by_the_names_of_their_keys(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("rows", RECORDS)?;
    load(&env, 0, &[]).await?;
    ensure_values(
        &env.schema,
        "SELECT id, name, JSON_EXTRACT(tags, '$[1]'), pay, ok, \
         JSON_UNQUOTE(JSON_EXTRACT(nest, '$.a.b')), big FROM t ORDER BY id",
        &[
            "1|Ada|\\\"y\\\"|∅|1|q\\\"uo\\\\te|9007199254740993",
            "2|null|∅|12.50|0|∅|∅",
            "3|smile 🙂 é 🙂|∅|100.00|∅|∅|-1",
            "4|line\\nbreak,\\ttab|∅|7.25|∅|∅|∅",
        ],
    )
    .await?;
    let line = outcome(&env, "report", "rows")?;
    ensure!(line["rows"] == 4 && line["format"] == "jsonl", "{line}");
    // Case does not matter, and neither do blanks, CR and a byte order mark.
    env.start_afresh("t").await?;
    env.put("rows", "\u{feff} {\"ID\" : 5, \"Name\":\"a\"} \r\n \t\r\n{\"id\":6}\r\n   ")?;
    load(&env, 0, &[]).await?;
    ensure_values(&env.schema, "SELECT id, name FROM t ORDER BY id", &["5|a", "6|∅"]).await
}

#[apply(load_test)]
async fn a_key_without_a_column_fails_the_object_unless_it_is_ignored(env: TestEnv) -> Result<()> {
    table(&env).await?;
    env.put("a", "{\"id\":10,\"name\":\"x\",\"nmae\":\"not in the table\"}\n")?;
    let ended = load(&env, 3, &[]).await?;
    ended.says("the key \"nmae\" is no column of the table (column 28 of the record)")?;
    ended.says("did you mean \"name\"?")?;
    ended.says("--extra-columns ignore passes over keys that have no column")?;
    ensure!(env.count("t").await? == 0);
    load(&env, 0, &["--extra-columns", "ignore"]).await?;
    ensure_values(&env.schema, "SELECT id, name FROM t", &["10|x"]).await?;
    // Other columns of the table are known, and are left alone.
    env.start_afresh("t").await?;
    env.put("a", "{\"id\":10,\"name\":\"x\"}\n")?;
    load(&env, 0, &["--columns", "id"]).await?;
    ensure_values(&env.schema, "SELECT id, name FROM t", &["10|∅"]).await
}

#[apply(load_test)]
async fn a_missing_key_is_null_or_an_error(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, n INT)").await?;
    env.put("a", "{\"id\":1}\n{\"id\":2,\"n\":null}\n{\"id\":3,\"n\":3}\n")?;
    let ended = load(&env, 3, &["--missing-keys", "error"]).await?;
    ended.says("1 of 3 rows are bad")?;
    ended.says("line 1, column n (int): the record does not have it")?;
    load(&env, 0, &[]).await?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|∅", "2|∅", "3|3"]).await
}

#[apply(load_test)]
async fn broken_lines_are_rejected_byte_for_byte(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT NOT NULL, s VARCHAR(9)) CHARSET utf8mb4").await?;
    let lines: [(&[u8], &str); 12] = [
        (b"{\"id\":1,\"s\":\"a\"}", ""),
        (b" {\"id\":2 \r", "the record is not JSON: it ends inside an object (column "),
        (b"[3]", "the record is JSON, but not an object"),
        (b"{\"id\":4}{\"id\":5}", "the record is not JSON: more follows the record (column 9)"),
        (b"{\"id\":6,\"s\":\"\xe4\"}", "the record is not UTF-8 (column 14)"),
        (b"{\"id\":7,\"id\":8}", "the record has the key id more than once (column 14)"),
        (b"{\"id\":9,\"s\":\"\\ud800\"}", "has half of a surrogate pair"),
        (b"  ", ""),
        (b"{\"id\":1.5}", "column id (int): '1.5' is not a whole number"),
        (b"{\"id\":{}}", "'{}' is an object of JSON, which the column does not take"),
        (b"{\"s\":\"x\"}", "NULL in a NOT NULL column"),
        (b"{\"id\":10,\"s\":\"tab\\t\xc3\xa9\\\\\"}", ""),
    ];
    let object: Vec<u8> = lines.iter().flat_map(|(line, _)| [line, &b"\n"[..]].concat()).collect();
    env.put("a", object.clone())?;
    let rejects = env.path("rejects").display().to_string();
    let args = ["--on-bad-row", "reject", "--rejects", &rejects];
    load(&env, 7, &args).await?;
    let good = ["1|a", "10|tab\\té\\\\"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &good).await?;
    let bad: Vec<_> = lines.iter().filter(|(_, why)| !why.is_empty()).collect();
    let expected: Vec<u8> = bad.iter().flat_map(|(line, _)| [line, &b"\n"[..]].concat()).collect();
    let text = rejected(&env)?;
    ensure!(text == expected, "{}", text.escape_ascii());
    // Each is found at its line, with its reason.
    env.start_afresh("t").await?;
    load(&env, 3, &["--show-bad-rows", "20"]).await?;
    let line = outcome(&env, "report", "a")?;
    let rows = line["error"]["rows"].as_array().context("no rows")?;
    ensure!(rows.len() == bad.len(), "{line:#}");
    for (row, (_, why)) in rows.iter().zip(bad) {
        let number = row["line"].as_u64().context("no line")?;
        let expected = lines[usize::try_from(number)? - 1].1;
        let reason = row["reason"].as_str().or(row["message"].as_str()).unwrap_or_default();
        ensure!(expected == *why && reason.contains(why), "{row:#}\nnot {why}");
    }
    // What is rejected loads again, once it is mended.
    let mended = String::from_utf8_lossy(&text).replace("1.5", "15").replace('\u{fffd}', "ä");
    env.put("a", mended.replace("[3]", ""))?;
    std::fs::remove_dir_all(env.path("rejects"))?;
    load(&env, 7, &args).await?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["6|ä", "15|∅"]).await
}

#[apply(load_test)]
async fn settings_of_delimited_text_are_refused_beside_json(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT)").await?;
    for (args, says) in [
        (&["--format", "jsonl", "--preset", "csv"][..], "preset is for delimited text"),
        (&["--format", "json", "--null-string", "x"], "null-string is for delimited text"),
        (&["--format", "json", "--ignore-lines", "1"], "ignore-lines is for delimited text"),
        (&["--format", "json", "--match-columns", "position"], "the keys of JSON are names"),
        (&["--format", "jsonl", "--match-columns", "name"], "match-columns is for delimited text"),
        (&["--format", "jsonl", "--rows-at", "$.a"], "rows-at is for format json"),
        (&["--field", "id=$.a"], "field is for JSON and Parquet, and format is delimited"),
        (&["--format", "jsonl", "--charset", "latin1"], "charset names another character set"),
        (&["--format", "jsonl", "--field", "id=$.*"], "a path names one value"),
        (&["--format", "jsonl", "--field", "id=$[0]"], "a record has members, and no elements"),
        (&["--format", "jsonl", "--on-bad-row", "accept"], "a line that is not JSON has none"),
    ] {
        let ended = env.load_ending(2, "t", args).await?;
        ended.says(says)?;
    }
    Ok(())
}

#[apply(load_test)]
async fn paths_fill_columns_and_variables(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT, city VARCHAR(20), first INT, odd INT, up VARCHAR(20), raw \
             JSON)",
        )
        .await?;
    env.put(
        "a",
        r#"{"id":1,"user":{"address":{"city":"Rome"},"n":[7,8]},"odd.key":{"it's":3},"x":1}
{"id":2,"user":{"address":null,"n":{}},"name":"b"}
{"id":3,"user":"text","name":"c\u0064"}
"#,
    )?;
    let args = [
        "--field",
        "city=$.user.address.city",
        "--field",
        "first=$.user.n[0]",
        "--field",
        r"odd=$['odd.key']['it\'s']",
        "--field",
        "@name=$.name",
        "--field",
        "raw=$",
        "--set",
        "up=UPPER(@name)",
    ];
    load(&env, 0, &args).await?;
    ensure_values(
        &env.schema,
        "SELECT id, city, first, odd, up, JSON_EXTRACT(raw, '$.id') FROM t ORDER BY id",
        &["1|Rome|7|3|∅|1", "2|∅|∅|∅|B|2", "3|∅|∅|∅|CD|3"],
    )
    .await?;
    env.start_afresh("t").await?;
    let ended = load(&env, 3, &[&args[..], &["--extra-columns", "error"]].concat()).await?;
    ended.says("the key \"x\" is no column of the table")?;
    env.put("a", r#"{"id":1,"user":{"address":{"city":"a","city":"b"}}}"#)?;
    let ended = load(&env, 3, &args).await?;
    ended.says("the record has the key city more than once")
}

#[apply(load_test)]
async fn many_objects_of_records_share_transactions(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, s TEXT)").await?;
    for id in 0..200 {
        // Some end without a line feed, and some in blank lines.
        let end = ["", "\n", "\n\n", "\n  "][id % 4];
        env.put(&format!("{id:03}"), format!("{{\"id\":{id},\"s\":\"a\\tb\"}}{end}"))?;
    }
    env.put("empty", "")?;
    env.put("blank", "\n \n")?;
    let ended = load(&env, 0, &["--load-concurrency", "1"]).await?;
    ensure_values(
        &env.schema,
        "SELECT COUNT(*), COUNT(DISTINCT id), SUM(s = 'a\\tb') FROM t",
        &["200|200|200"],
    )
    .await?;
    ensure!(ended.summary("rows")? == "200", "{ended}");
    let line = outcome(&env, "report", "blank")?;
    ensure!(line["rows"] == 0 && line["status"] == "loaded", "{line}");
    Ok(())
}

#[apply(load_test)]
async fn a_check_reads_json_and_a_sample_of_it(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT)").await?;
    let lines: String = (0..5000).map(|id| format!("{{\"id\":{id}}}\n\n")).collect();
    env.put("good", lines)?;
    env.put("bad", "{\"id\":1}\n{\"id\":\"x\"}\n{")?;
    let check = ["check", "s3://etl/", "--table", "t", "--format", "jsonl"];
    let ended = env.run(&check).await?;
    ended.expect(3)?;
    ended.says("line 2, column id (int): 'x' is not an integer")?;
    let ended = env.run(&[&check[..], &["--sample", "1"]].concat()).await?;
    ended.expect(0)?;
    ensure!(ended.summary("rows")? == "2", "{ended}");
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn records_are_verified_by_the_values_that_the_server_got(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id BIGINT, s VARCHAR(20), d DECIMAL(9,2), ok BOOLEAN) CHARSET utf8mb4",
        )
        .await?;
    env.put(
        "a",
        "{\"id\":9007199254740993,\"s\":\"\\u00e9\\t\",\"d\":1e1,\"ok\":true}\n{\"id\":2}\n",
    )?;
    let args = ["--mode", "truncate", "--verify", "checksum"];
    let ended = load(&env, 0, &args).await?;
    ended.says("2 rows, 4 of 4 columns")?;
    expect_nothing_failed(&env)
}

fn expect_nothing_failed(env: &TestEnv) -> Result<()> {
    ensure!(expect_failure(env, "report", "a", "bad_rows").is_err());
    Ok(())
}

#[apply(load_test)]
async fn a_record_with_nothing_for_any_column_is_bad(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, s VARCHAR(9))").await?;
    env.put("a", r#"{"Records":[{"id":1,"u":{"arn":"x"}}]}"#)?;
    let document = ["--format", "json", "--field", "s=$.u.arn"];
    let report = env.path("report").display().to_string();
    let args = [&document[..], &["--report", &report]].concat();
    env.load_ending(3, "t", &args).await?.says("the record has nothing for any column")?;
    let hint = outcome(&env, "report", "a")?["error"]["hint"].to_string();
    ensure!(hint.contains("--rows-at"), "{hint}");
    env.load_ending(0, "t", &[&args[..], &["--rows-at", "$.Records"]].concat()).await?;
    ensure_values(&env.schema, "SELECT id, s FROM t", &["1|x"]).await
}

#[apply(load_test)]
async fn an_object_of_nothing_but_byte_order_marks_has_no_rows(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT)").await?;
    env.put("mark", "\u{feff}")?;
    env.put("marks", "\u{feff}\n \u{feff}\r\n")?;
    env.put("put together", "\u{feff}{\"id\":1}\n\u{feff}{\"id\":2}\n\u{feff}")?;
    let report = env.path("report").display().to_string();
    for args in [&["jsonl"][..], &["json"], &["jsonl", "--part-size", "1"]] {
        let format = ["--report", &report, "--format"];
        env.load_ending(0, "t", &[&format[..], args].concat()).await?;
        for (key, rows) in [("mark", 0), ("marks", 0), ("put together", 2)] {
            let line = outcome(&env, "report", key)?;
            ensure!(line["rows"] == rows, "{args:?}: {line}");
        }
        ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1", "2"]).await?;
        env.start_afresh("t").await?;
        env.schema.exec("DELETE FROM s3_to_mysql_parts").await?;
    }
    env.put("cut", b"\xef\xbb".to_vec())?;
    for format in ["jsonl", "json"] {
        env.load_ending(3, "t", &["--report", &report, "--format", format]).await?;
        ensure!(outcome(&env, "report", "cut")?["status"] == "failed");
    }
    Ok(())
}
