//! The names of columns come from outside, and stay names.

use anyhow::{Result, ensure};

use super::{BY_NAME, BY_POSITION, create, ensure_no_table, ensure_types};
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::values::ensure_values;

#[apply(load_test)]
async fn names_stay_names_whatever_they_contain(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE victim (id INT)").await?;
    let names = [
        "a`b",
        "it's \"\"odd\"\"",
        "x` INT); DROP TABLE victim; -- ",
        "/*! DROP TABLE victim */",
        "größe",
        "select",
        "1",
        "a.b",
        "\\",
    ];
    let header: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let row: Vec<String> = (1..=names.len()).map(|field| field.to_string()).collect();
    let values = "\"*/ ; \n-- DROP TABLE victim\"";
    env.put("a'`;\n-- b.csv", format!("{},v\n{},{values}\n", header.join(","), row.join(",")))?;
    create(&env, 0, &BY_NAME).await?;
    let names: Vec<String> = names.iter().map(|name| name.trim().replace("\"\"", "\"")).collect();
    ensure_types(
        &env,
        &[
            &names.iter().map(|name| format!("{} bigint", name.escape_debug())).collect::<Vec<_>>()
                [..],
            &["v varchar(64)".to_owned()],
        ]
        .concat()
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>(),
    )
    .await?;
    let columns: Vec<String> =
        names.iter().map(|name| format!("`{}`", name.replace('`', "``"))).collect();
    let sql = format!("SELECT {} FROM t", columns.join(", "));
    ensure_values(&env.schema, &sql, &["1|2|3|4|5|6|7|8|9"]).await?;
    ensure!(env.count("victim").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn names_that_no_column_can_have_are_refused(env: TestEnv) -> Result<()> {
    let long = "x".repeat(65);
    for (header, why) in [
        ("id,\"a\nb\"", "the name \"a\\nb\" has a control character"),
        ("id,a\u{1b}[2J", "has a control character"),
        ("id,🙂", "has a character that names cannot have"),
        ("id,Id", "the names id and Id differ only in case"),
        ("id,id", "it has the name id twice"),
        ("id,,v", "the name \"\" is empty"),
        (&format!("id,{long}"), "has more than 64 characters"),
    ] {
        env.put("a.csv", format!("{header}\n1,2,3\n"))?;
        for args in [&BY_NAME[..], &BY_POSITION] {
            let ended = create(&env, 3, args).await?;
            ended.says(why)?;
            ended.says("s3://etl/a.csv: ")?;
            ended.says("--columns ")?;
        }
        ensure_no_table(&env).await?;
    }
    for (record, why) in [
        (r#"{"a":1,"A":2}"#, "line 1: the names a and A differ only in case"),
        (r#"{"a\u0000b":1}"#, "has a control character"),
        (r#"{"":1}"#, "the name \"\" is empty"),
        (r#"{"a ":1}"#, "the name \"a \" ends with a blank"),
    ] {
        env.put("a.csv", record)?;
        let ended = create(&env, 3, &["--format", "jsonl"]).await?;
        ended.says(why)?;
        ended.says("--field COLUMN='$.key' gives a key the name of a column")?;
        ensure_no_table(&env).await?;
    }
    create(&env, 0, &["--format", "jsonl", "--field", "a=$['a ']"]).await?;
    ensure_values(&env.schema, "SELECT a FROM t", &["1"]).await
}
