//! Rows: the rows of the objects are in the table exactly, or the object is refused.

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::{Ended, TestEnv};
use crate::support::values::ensure_values;

/// Puts one object, and loads it alone.
async fn load_text(
    env: &TestEnv,
    table: &str,
    text: impl AsRef<[u8]>,
    args: &[&str],
) -> Result<Ended> {
    env.put("one", text.as_ref().to_vec())?;
    // Several texts share one key, and some tests empty the table in between.
    let base = ["load", "s3://etl/one", "--force", "--table", table];
    env.run(&[&base, args].concat()).await
}

#[apply(load_test)]
async fn hive_files_land_to_the_row(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    let mut rows = 0;
    let mut checksum = 0;
    for number in 0..5 {
        let (bytes, sums) = hive::object(number * 1000, (number + 1) * 1000);
        env.put(&format!("in/part-{number}"), bytes)?;
        rows += sums.rows;
        checksum += sums.checksum;
    }
    let ended = env.load_ending(0, "t", &["--preset", "hive"]).await?;
    ensure!(ended.summary("rows")? == rows.to_string(), "{ended}");
    let found: (u64, u64) = env.schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (rows, checksum), "{found:?}");
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn an_object_without_rows_is_loaded_as_none(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b VARCHAR(9))").await?;
    for (number, header) in
        ["", "a,b\n", "a,b", "\u{feff}", "\u{feff}a,b\r\n"].into_iter().enumerate()
    {
        env.put(&format!("{number}"), header.as_bytes().to_vec())?;
    }
    let ended = env.load_ending(0, "t", &["--preset", "csv", "--ignore-lines", "1"]).await?;
    ensure!(ended.summary("objects loaded")? == "5" && ended.summary("rows")? == "0", "{ended}");
    ensure!(env.count("t").await? == 0);
    let empty = load_text(&env, "t", "", &["--preset", "hive"]).await?;
    empty.expect(0)?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn a_last_row_without_its_newline_is_a_row(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b VARCHAR(9))").await?;
    for (preset, text) in [
        ("csv", "1,x\r\n2,y"),
        ("csv-unix", "3,x\n4,\"y\""),
        ("mysql", "5\tx\n6\ty"),
        ("tsv", "7\t"),
    ] {
        load_text(&env, "t", text, &["--preset", preset]).await?.expect(0)?;
    }
    let expected = ["1|x", "2|y", "3|x", "4|y", "5|x", "6|y", "7|"];
    ensure_values(&env.schema, "SELECT a, b FROM t ORDER BY a", &expected).await
}

#[apply(load_test)]
async fn csv_takes_crlf_and_lf_for_each_object(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b VARCHAR(9))").await?;
    env.put("crlf", "1,x\r\n2,\"p\nq\"\r\n")?;
    env.put("lf", "3,y\n4,\"p\r\nq\"\n")?;
    env.put("mixed", "5,z\r\n6,z\n7,z\r\n")?;
    let ended = env.load_ending(3, "t", &["--preset", "csv"]).await?;
    ended.says("s3://etl/mixed: line 2, column 4 (byte 8)")?;
    let expected = ["1|x", "2|p\\nq", "3|y", "4|p\\r\\nq"];
    ensure_values(&env.schema, "SELECT a, b FROM t ORDER BY a", &expected).await
}

#[apply(load_test)]
async fn a_byte_order_mark_is_dropped(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (a VARCHAR(9) CHARACTER SET utf8mb4, b VARCHAR(9) CHARACTER SET \
             utf8mb4)",
        )
        .await?;
    load_text(&env, "t", "\u{feff}1,\u{feff}x\n", &["--preset", "csv"]).await?.expect(0)?;
    load_text(&env, "t", "\u{feff}\"2\",y\n", &["--preset", "csv"]).await?.expect(0)?;
    load_text(&env, "t", "\u{feff}a,b\n3,z\n", &["--preset", "csv", "--ignore-lines", "1"])
        .await?
        .expect(0)?;
    let expected = ["1|\\u{feff}x", "2|y", "3|z"];
    ensure_values(&env.schema, "SELECT a, b FROM t ORDER BY a", &expected).await
}

#[apply(load_test)]
async fn quoted_newlines_in_data_and_in_the_header_do_not_end_a_line(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b VARCHAR(99))").await?;
    let text =
        "\"number\n(a)\",\"text\r\n(b)\"\r\n1,\"two\r\nlines, and \"\"quotes\"\"\"\r\n2,\"\"\r\n";
    let ended = load_text(&env, "t", text, &["--preset", "csv", "--ignore-lines", "1"]).await?;
    ended.expect(0)?;
    ensure!(ended.summary("rows")? == "2", "{ended}");
    let expected = ["1|two\\r\\nlines, and \\\"quotes\\\"", "2|"];
    ensure_values(&env.schema, "SELECT a, b FROM t ORDER BY a", &expected).await
}

#[apply(load_test)]
async fn words_that_mean_null_are_told_byte_by_byte(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b VARCHAR(9))").await?;
    let text = "1,NULL\n2,null\n3,\n4,-\n5,NULL \n6,n/a\n";
    let words =
        ["--preset", "csv", "--null-string", "NULL", "--null-string", "n/a", "--null-string="];
    load_text(&env, "t", text, &words).await?.expect(0)?;
    let expected = ["1|∅", "2|null", "3|∅", "4|-", "5|NULL ", "6|∅"];
    ensure_values(&env.schema, "SELECT a, b FROM t ORDER BY a", &expected).await?;

    env.schema.exec("DELETE FROM t").await?;
    load_text(&env, "t", "\\N\t\\N\n1\t\\\\N\n2\t\n3\tNULL\n", &[]).await?.expect(0)?;
    ensure_values(&env.schema, "SELECT a, b FROM t ORDER BY a", &["∅|∅", "1|\\\\N", "2|", "3|NULL"])
        .await
}

#[apply(load_test)]
async fn a_row_of_20_mb_arrives_whole(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b LONGTEXT CHARACTER SET utf8mb4)").await?;
    let value: String = (0..2_000_000).map(|number| format!("{number:07}\n\"\u{e9}")).collect();
    let text = format!("1,small\n2,\"{}\"\n3,small\n", value.replace('"', "\"\""));
    ensure!(text.len() > 20_000_000);
    let ended = load_text(&env, "t", text, &["--preset", "csv"]).await?;
    ended.expect(0)?;
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, value.as_bytes());
    let found: (u64, u64) =
        env.schema.query_one("SELECT LENGTH(b), CRC32(b) FROM t WHERE a = 2").await?;
    ensure!(found == (value.len() as u64, checksum), "{found:?}");
    ensure!(env.count("t").await? == 3);
    Ok(())
}

#[apply(load_test)]
async fn every_preset_reads_what_it_says(env: TestEnv) -> Result<()> {
    let cases: [(&str, &str, [&str; 2]); 6] = [
        (
            "mysql",
            "1\ta\\\tb\\\\c\\nd\\\ne\t2026-01-31\t1.50\n2\t\\N\t\\N\t-3\n",
            ["1|a\\tb\\\\c\\nd\\ne|2026-01-31|1.50", "2|∅|∅|-3.00"],
        ),
        (
            "hive",
            "1\x01a\\\nb\\\x01c\\\\d\x012026-01-31\x011.50\n2\x01\\N\x01\\N\x01-3\n",
            ["1|a\\nb\\u{1}c\\\\d|2026-01-31|1.50", "2|∅|∅|-3.00"],
        ),
        (
            "hive-raw",
            "1\x01a\\nb\\\x012026-01-31\x011.50\n2\x01\\N\x01\\N\x01-3\n",
            ["1|a\\\\nb\\\\|2026-01-31|1.50", "2|∅|∅|-3.00"],
        ),
        (
            "csv",
            "1,\"a, \"\"b\"\"\r\n\\nc\",2026-01-31,1.50\r\n2, d\\N ,\"2026-02-01\",-3\r\n",
            ["1|a, \\\"b\\\"\\r\\n\\\\nc|2026-01-31|1.50", "2| d\\\\N |2026-02-01|-3.00"],
        ),
        (
            "csv-unix",
            "1,\"a, \"\"b\"\"\n\\nc\",2026-01-31,1.50\n2,c:\\dir\",\"2026-02-01\",-3\n",
            ["1|a, \\\"b\\\"\\n\\\\nc|2026-01-31|1.50", "2|c:\\\\dir\\\"|2026-02-01|-3.00"],
        ),
        (
            "tsv",
            "1\t\"a,\\tb\t2026-01-31\t1.50\r\n2\t\\N\"\t2026-02-01\t-3\r\n",
            ["1|\\\"a,\\\\tb|2026-01-31|1.50", "2|\\\\N\\\"|2026-02-01|-3.00"],
        ),
    ];
    for (number, (preset, text, expected)) in cases.into_iter().enumerate() {
        let table = format!("t{number}");
        env.schema
            .exec(&format!("CREATE TABLE {table} (a INT, b VARCHAR(99), c DATE, d DECIMAL(9,2))"))
            .await?;
        let ended = load_text(&env, &table, text, &["--preset", preset]).await?;
        ended.expect(0).context(preset)?;
        let query = format!("SELECT * FROM {table} ORDER BY a");
        ensure_values(&env.schema, &query, &expected).await.context(preset)?;
    }
    Ok(())
}

#[apply(load_test)]
async fn every_part_of_a_dialect_can_be_overridden(env: TestEnv) -> Result<()> {
    let cases: [(&[&str], &str, [&str; 2]); 6] = [
        (&["--fields-terminated-by", "||"], "1||a|b\n2||c\td\n", ["1|a|b", "2|c\\td"]),
        (&["--fields-enclosed-by", "'"], "'1'\t'a\tb'\n'2'\t'c''d'\n", ["1|a\\tb", "2|c\\'d"]),
        (&["--fields-optionally-enclosed-by", "'"], "1\t'a\nb'\n2\tc'd\n", ["1|a\\nb", "2|c\\'d"]),
        (&["--fields-escaped-by", "%"], "1\ta%\tb\\n\n2\t%%%N\n", ["1|a\\tb\\\\n", "2|%N"]),
        (&["--fields-escaped-by", ""], "1\ta\\\n2\t\\N\n", ["1|a\\\\", "2|\\\\N"]),
        (&["--lines-terminated-by", ";\\n"], "1\ta;b\nc;\n2\td;\n", ["1|a;b\\nc", "2|d"]),
    ];
    for (number, (args, text, expected)) in cases.into_iter().enumerate() {
        let table = format!("t{number}");
        env.schema.exec(&format!("CREATE TABLE {table} (a INT, b VARCHAR(99))")).await?;
        let ended = load_text(&env, &table, text, args).await?;
        ended.expect(0).with_context(|| format!("{args:?}"))?;
        let query = format!("SELECT * FROM {table} ORDER BY a");
        ensure_values(&env.schema, &query, &expected).await.with_context(|| format!("{args:?}"))?;
    }
    Ok(())
}

#[apply(load_test)]
async fn delimiters_are_understood_in_every_notation(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b VARCHAR(9))").await?;
    for (number, notation) in ["\\x01", "\\u0001", "^A", "\x01"].into_iter().enumerate() {
        let text = format!("{number}\x01x^A\n");
        load_text(&env, "t", text, &["--fields-terminated-by", notation]).await?.expect(0)?;
    }
    ensure_values(
        &env.schema,
        "SELECT a, b FROM t ORDER BY a",
        &["0|x^A", "1|x^A", "2|x^A", "3|x^A"],
    )
    .await
}

#[apply(load_test)]
async fn fields_go_to_the_columns_that_are_named(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (a INT, b VARCHAR(9), `c, d` VARCHAR(9), e DATE DEFAULT '2026-01-01')",
        )
        .await?;
    let columns =
        ["--columns", "`c, d`,@skip,@word,a", "--set", "b = CONCAT(UPPER(@word), ',', a + 1)"];
    let preset = ["--preset", "csv"];
    load_text(&env, "t", "x,zzz,w,1\ny,zzz,v,2\n", &[&preset[..], &columns[..]].concat())
        .await?
        .expect(0)?;
    let expected = ["1|W,2|x|2026-01-01", "2|V,3|y|2026-01-01"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY a", &expected).await?;

    // Null strings reach the columns that --columns names, and --set may still read its variables.
    env.schema.exec("DELETE FROM t").await?;
    let columns = ["--null-string", "-", "--columns", "a,b,@word", "--set", "`c, d` = @word"];
    load_text(&env, "t", "1,-,-\n", &[&preset[..], &columns[..]].concat()).await?.expect(0)?;
    ensure_values(&env.schema, "SELECT * FROM t", &["1|∅|-|2026-01-01"]).await
}

#[apply(load_test)]
async fn generated_and_invisible_columns_are_left_to_the_server(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (a INT, g INT GENERATED ALWAYS AS (a * 2) STORED, i INT DEFAULT 7 \
             INVISIBLE, b VARCHAR(9))",
        )
        .await?;
    // The column list leaves both out.
    load_text(&env, "t", "1,x\n", &["--preset", "csv", "--columns", "a,b"]).await?.expect(0)?;
    // Without it the object has a field for the generated column, and the server computes the value
    // all the same.
    let ended = load_text(&env, "t", "2,99,y\n", &["--preset", "csv"]).await?;
    ended.expect(0)?;
    ended.says("the server computes g and ignores")?;
    // The invisible column takes its value when it is named.
    load_text(&env, "t", "3,5\n", &["--preset", "csv", "--columns", "a,i"]).await?.expect(0)?;
    let expected = ["1|2|7|x", "2|4|7|y", "3|6|5|∅"];
    ensure_values(&env.schema, "SELECT a, g, i, b FROM t ORDER BY a", &expected).await
}

#[apply(load_test)]
async fn text_arrives_as_the_same_characters(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (a INT, u VARCHAR(9) CHARACTER SET utf8mb4, l VARCHAR(9) CHARACTER \
             SET latin1)",
        )
        .await?;
    load_text(&env, "t", "1\tcaf\u{e9} \u{1f375}\tcaf\u{e9}\n", &[]).await?.expect(0)?;
    load_text(&env, "t", b"2\tcaf\xE9\tcaf\xE9\n", &["--charset", "latin1"]).await?.expect(0)?;
    load_text(&env, "t", b"3\t\xC4\xE3\\\t\n", &["--charset", "gbk", "--fields-escaped-by", ""])
        .await?
        .expect(0)?;
    let expected = ["1|636166C3A920F09F8DB5|636166E9", "2|636166C3A9|636166E9", "3|E4BDA05C|"];
    ensure_values(&env.schema, "SELECT a, HEX(u), HEX(l) FROM t ORDER BY a", &expected).await?;

    // A character that the column cannot store is a bad value, not a question mark.
    let ended = load_text(&env, "t", "4\t\t\u{8336}\n", &[]).await?;
    ended.expect(3)?;
    ended.says("'\u{8336}' has a character that the column's character set lacks")?;
    ensure!(env.count("t").await? == 3);
    Ok(())
}

#[apply(load_test)]
async fn characters_that_could_hide_a_delimiter_are_refused(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b VARCHAR(9))").await?;
    for (charset, args, part) in [
        ("gbk", &[][..], "fields-escaped-by"),
        ("sjis", &["--preset", "csv", "--fields-terminated-by", "|"][..], "fields-terminated-by"),
        ("utf16", &[][..], "utf16"),
    ] {
        let ended =
            load_text(&env, "t", "1\tx\n", &[args, &["--charset", charset]].concat()).await?;
        ended.expect(2)?;
        ended.says(part)?;
    }
    ensure!(env.count("t").await? == 0);
    ensure!(env.s3.log().all().is_empty(), "nothing needs to be read to know this");
    Ok(())
}

#[apply(load_test)]
async fn malformed_objects_are_refused_with_their_row(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a VARCHAR(99), b VARCHAR(99))").await?;
    let cases: [(&str, &[&str], &[u8], &str); 9] = [
        (
            "csv",
            &[],
            b"1,x\n2,\"open\n3,y\n",
            "line 2, column 3 (byte 6): a quote opens here and is never closed",
        ),
        (
            "csv",
            &[],
            b"1,x\n2,\"a\"b\n3,y\n",
            "line 2, column 6 (byte 9): a closing quote is followed by neither",
        ),
        ("csv-unix", &[], b"1,\"x\"\r\n2,\"y\"\r\n", "line 1, column 6 (byte 5): "),
        ("csv-unix", &[], b"1,x\r\n2,y\r\n", "line 1, column 4 (byte 3): this line ends in \\r\\n"),
        (
            "mysql",
            &["--lines-terminated-by", "\\r\\n"],
            b"1\tx\n2\ty\n",
            "line 1, column 4 (byte 3): this line ends in \\n",
        ),
        (
            "csv",
            &[],
            b"1,x\r2,y\r",
            "line 1, column 4 (byte 3): a carriage return without a line feed",
        ),
        ("csv", &[], b"1,x\n2,\xFF\n", "line 2, column 3 (byte 6): this is not valid utf8mb4"),
        ("mysql", &[], b"1\tx\n2\ty\\", "line 2, column 4 (byte 7): the object ends in an escape"),
        (
            "mysql",
            &["--lines-terminated-by", "||"],
            b"1\tx||2\ty|",
            "line 2, column 5 (byte 9): the object ends in the middle of a line",
        ),
    ];
    for (preset, args, text, message) in cases {
        let ended = load_text(&env, "t", text, &[&["--preset", preset], args].concat()).await?;
        ended
            .expect(3)
            .with_context(|| String::from_utf8_lossy(text).escape_debug().to_string())?;
        ended.says(&format!("s3://etl/one: {message}"))?;
        ensure!(env.count("t").await? == 0, "{ended}");
    }
    // A quote that does not close where its writer thinks swallows what follows. The line of the
    // mistake is that of the quote that opens.
    let ended = load_text(&env, "t", "1,x\n2,\"a\n\nb\"c\n", &["--preset", "csv"]).await?;
    ended.expect(3)?;
    ended.says("s3://etl/one: line 4, column 3 (byte 12): a closing quote")?;
    ended.says("; the quote that it closes is on line 2, column 3\n")?;
    // Header lines are malformed as well if their quote never closes.
    let ended =
        load_text(&env, "t", "\"a,b\n1,x\n", &["--preset", "csv", "--ignore-lines", "1"]).await?;
    ended.expect(3)?;
    ended.says("s3://etl/one: line 1, column 1 (byte 0): a quote opens")
}

#[apply(load_test)]
async fn an_extra_field_in_an_unterminated_last_row_is_caught(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a VARCHAR(9), b VARCHAR(9))").await?;
    // The server gives no warning: it loads the row without its third field.
    let ended = load_text(&env, "t", "1\tx\n2\ty\textra", &[]).await?;
    ended.expect(3)?;
    ended.says("line 2: more than 2 fields, 2 are listed: a, b")?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}
