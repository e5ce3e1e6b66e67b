//! The value of each kind of JSON in each kind of column.

use anyhow::Result;

use super::load;
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::servers::ServerKind;
use crate::support::values::ensure_values;

/// A column's type, a value of JSON, and what the server stores. `!` and words are in the message
/// of a bad row.
const CASES: &[(&str, &str, &str)] = &[
    ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615"),
    ("BIGINT", "9007199254740993", "9007199254740993"),
    ("BIGINT", "1e3", "1000"),
    ("BIGINT", "12.0", "12"),
    ("BIGINT", "1.5", "!is not a whole number"),
    ("BIGINT", "\" 17\"", "17"),
    ("BIGINT", "\"x\"", "!is not an integer"),
    ("BIGINT", "true", "1"),
    ("BIGINT", "false", "0"),
    ("BIGINT", "null", "∅"),
    ("BIGINT", "[]", "!is an array of JSON"),
    (
        "DECIMAL(65,30)",
        "12345678901234567890123456789012345.012345678901234567890123456789",
        "12345678901234567890123456789012345.012345678901234567890123456789",
    ),
    ("DECIMAL(10,2)", "-1.25E1", "-12.50"),
    ("DECIMAL(10,2)", "true", "1.00"),
    ("DOUBLE", "1.5e-7", "0.00000015"),
    ("BIT(8)", "5", "5"),
    ("BIT(1)", "true", "1"),
    ("YEAR", "2024", "2024"),
    ("YEAR", "24", "!is not a year"),
    ("DATE", "\"2024-02-29\"", "2024-02-29"),
    ("DATE", "20240229", "!is a number of JSON, which the column does not take"),
    ("DATETIME(3)", "\"2024-02-29T10:00:00.123Z\"", "2024-02-29 10:00:00.123"),
    ("DATETIME", "\"2024-02-29T10:00:00+02:00\"", "2024-02-29 08:00:00"),
    ("TIMESTAMP NULL", "\"2024-02-29T10:00:00Z\"", "2024-02-29 10:00:00"),
    ("DATETIME", "1712010101", "!--date-format 'v=%s'"),
    ("DATETIME", "true", "!is a truth value of JSON"),
    ("TIME", "\"10:00:00\"", "10:00:00"),
    ("TIME", "100000", "!a time must have a colon"),
    ("VARCHAR(40)", "12.50", "12.50"),
    ("VARCHAR(40)", "1E400", "1E400"),
    ("VARCHAR(40)", "true", "true"),
    ("VARCHAR(40)", "{\"a\": [1, \"\\u00e9\"]}", "{\\\"a\\\": [1, \\\"\\\\u00e9\\\"]}"),
    ("VARCHAR(40)", "\"a\\\"\\\\\\n\\t\\u0000\\r\"", "a\\\"\\\\\\n\\t\\0\\r"),
    ("VARCHAR(40)", "\"\\\\N\"", "\\\\N"),
    ("VARCHAR(40)", "\"NULL\"", "NULL"),
    ("VARCHAR(40)", "\"\"", ""),
    ("VARCHAR(40)", "\"\\ud83d\\ude42\"", "🙂"),
    ("VARCHAR(40)", "\"\\ude42\"", "!has half of a surrogate pair"),
    ("VARCHAR(3)", "\"abcd\"", "!has more than 3 characters"),
    ("TEXT", "[1,2]", "[1,2]"),
    ("ENUM('x','1')", "1", "1"),
    ("ENUM('x','y')", "1", "!is no label"),
    ("ENUM('x','true')", "true", "true"),
    ("VARBINARY(9)", "\"a\\u00e9\"", "aé"),
    ("VARBINARY(9)", "1", "!is a number of JSON"),
    ("JSON", "\"1\"", "\\\"1\\\""),
    ("JSON", "12.50", "12.50"),
    ("JSON", "true", "true"),
    ("JSON", "null", "∅"),
    ("JSON", "{\"b\":1,\"c\":[]}", "{\\\"b\\\":1,\\\"c\\\":[]}"),
    ("JSON", "\"\\ud800\"", "!is not JSON"),
];

#[apply(load_test)]
async fn each_kind_of_value_is_stored_or_refused(env: TestEnv) -> Result<()> {
    for (number, (column_type, value, expected)) in CASES.iter().enumerate() {
        env.schema.exec("DROP TABLE IF EXISTS t").await?;
        env.schema
            .exec(&format!("CREATE TABLE t (id INT, v {column_type}) CHARSET utf8mb4"))
            .await?;
        env.put("a", format!("{{\"id\":{number},\"v\":{value}}}\n"))?;
        if let Some(message) = expected.strip_prefix('!') {
            let ended = load(&env, 3, &[]).await?;
            ended.says(message)?;
            continue;
        }
        load(&env, 0, &[]).await?;
        // MySQL writes JSON with blanks, and numbers in it as it likes.
        let shown = match *column_type {
            "BIT(8)" | "BIT(1)" => "v + 0",
            "JSON" => "REPLACE(REPLACE(v, ' ', ''), '12.5', '12.5')",
            "DOUBLE" => "CAST(v AS DECIMAL(20,8))",
            _ => "v",
        };
        let expected = if *value == "12.50" && *column_type == "JSON" {
            let kept = "SELECT IF(VERSION() LIKE '%MariaDB%', '12.50', '12.5')";
            env.schema.query_one::<String>(kept).await?
        } else {
            (*expected).to_owned()
        };
        ensure_values(&env.schema, &format!("SELECT {shown} FROM t"), &[&expected]).await?;
        env.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn options_for_texts_leave_numbers_of_json_alone(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, d DECIMAL(10,3), at DATETIME)").await?;
    env.put(
        "a",
        "{\"id\":1,\"d\":1.234,\"at\":1712010101}\n{\"id\":2,\"d\":\"1.234,5\",\"at\":\"\"}\n",
    )?;
    load(&env, 0, &["--decimal-comma", "--empty-as-null", "--date-format", "at=%s"]).await?;
    ensure_values(
        &env.schema,
        "SELECT * FROM t ORDER BY id",
        &["1|1.234|2024-04-01 22:21:41", "2|1234.500|∅"],
    )
    .await
}

/// MySQL fails the whole statement for such a key, and so would the load of all other rows.
#[apply(load_test)]
async fn a_key_that_is_too_long_for_mysql_is_in_one_bad_row(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, v JSON) CHARSET utf8mb4").await?;
    let line = |id: u32, length: usize| {
        format!("{{\"id\":{id},\"v\":{{\"{}\":1}}}}\n", "k".repeat(length))
    };
    env.put("a", line(1, 65_535) + &line(2, 65_536))?;
    let rejects = env.path("rejects").display().to_string();
    let args = ["--on-bad-row", "reject", "--rejects", &rejects];
    if env.server.kind() == ServerKind::Mysql {
        load(&env, 7, &args).await?;
        ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1"]).await
    } else {
        load(&env, 0, &args).await?;
        ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1", "2"]).await
    }
}
