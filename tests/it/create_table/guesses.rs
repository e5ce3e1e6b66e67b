//! The types, and the values that come back from the table.

use anyhow::{Result, ensure};

use super::{BY_NAME, BY_POSITION, create, created, ensure_types, plan};
use crate::packed::gzip;
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::servers::ServerKind;
use crate::support::values::{ensure_values, values};

const HEADER: &str = "id,eighteen,nineteen,zip,plus,price,float,sci,day,at,ms,utc,flag,mixed,note";
const ROWS: [&str; 3] = [
    "1,123456789012345678,1234567890123456789,007,+1,1.50,0.10000000000000001,1500,2026-01-31,\
     2026-01-31 10:00:00,2026-01-31 10:00:00.250,2026-01-31T10:00:00Z,true,1,a",
    "-2,-999999999999999999,1,12345,2,-20.25,2.00000000000000000,2.5,2024-02-29,\
     2026-02-28 23:59:59,2026-01-31 10:00:00.999,2026-06-30T12:00:00+02:00,false,2026-01-31,\
     a longer text of 42 characters with äöü €",
    "3,0,2,1,3,0.00,0.30000000000000004,6.02e23,0001-01-01,\
     1000-01-01 00:00:00,1999-12-31 00:00:00.000,2026-01-31T10:00:00.500Z,true,x,",
];

#[apply(load_test)]
async fn each_column_gets_the_narrowest_type_that_keeps_its_values(env: TestEnv) -> Result<()> {
    env.put("a.csv", format!("{HEADER}\n{}\n", ROWS.join("\n")))?;
    create(&env, 0, &BY_POSITION).await?;
    ensure_types(
        &env,
        &[
            "id bigint",
            "eighteen bigint",
            "nineteen varchar(64)",
            "zip varchar(64)",
            "plus varchar(64)",
            "price decimal(20,2)",
            "float decimal(35,17)",
            "sci double",
            "day date",
            "at datetime",
            "ms datetime(3)",
            "utc datetime(3)",
            "flag varchar(64)",
            "mixed varchar(64)",
            "note varchar(255)",
        ],
    )
    .await?;
    // What was written comes back, but for instants, which become clocks, and exponents.
    let sql = "SELECT id, eighteen, nineteen, zip, plus, price, `float`, day, at, ms, flag, mixed, \
               note FROM t ORDER BY FIELD(id, 1, -2, 3)";
    let expected: Vec<String> = ROWS
        .iter()
        .map(|row| {
            let fields: Vec<&str> = row.split(',').collect();
            let kept = fields.iter().enumerate().filter(|(index, _)| ![7, 11].contains(index));
            kept.map(|(_, field)| *field).collect::<Vec<_>>().join("|")
        })
        .collect();
    let found = values(&env.schema, sql).await?;
    ensure!(found == expected, "{found:#?}\n{expected:#?}");
    ensure_values(
        &env.schema,
        "SELECT utc, sci = 1500, sci = 2.5, sci = 6.02e23 FROM t ORDER BY FIELD(id, 1, -2, 3)",
        &[
            "2026-01-31 10:00:00.000|1|0|0",
            "2026-06-30 10:00:00.000|0|1|0",
            "2026-01-31 10:00:00.500|0|0|1",
        ],
    )
    .await
}

#[apply(load_test)]
async fn an_empty_field_is_null_only_if_an_option_says_so(env: TestEnv) -> Result<()> {
    env.put("a.csv", "id,n,s\n1,10,x\n2,,\n")?;
    let planned = plan(&env, &BY_POSITION).await?;
    planned.says("`n` VARCHAR(64),")?;
    planned.says("text: empty in a.csv line 3; --empty-as-null reads that as NULL")?;
    create(&env, 0, &BY_POSITION).await?;
    ensure_types(&env, &["id bigint", "n varchar(64)", "s varchar(64)"]).await?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|10|x", "2||"]).await?;
    for (args, second) in [(&["--empty-as-null"][..], "2|∅|"), (&["--null-string", ""], "2|∅|∅")]
    {
        env.schema.exec("DROP TABLE t").await?;
        env.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
        create(&env, 0, &[&BY_POSITION[..], args].concat()).await?;
        ensure_types(&env, &["id bigint", "n bigint", "s varchar(64)"]).await?;
        ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|10|x", second]).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn options_of_values_count_for_the_guess(env: TestEnv) -> Result<()> {
    env.put("a.csv", "day;price;at;word\n31.01.2026;1.234,50;1775001600;-\n")?;
    create(
        &env,
        0,
        &[
            &BY_NAME[..],
            &["--fields-terminated-by", ";", "--decimal-comma", "--null-string", "-"],
            &["--date-format", "day=%d.%m.%Y", "--date-format", "at=%s"],
        ]
        .concat(),
    )
    .await?;
    ensure_types(&env, &["day date", "price decimal(20,2)", "at datetime", "word varchar(255)"])
        .await?;
    let row = "2026-01-31|1234.50|2026-04-01 00:00:00|∅";
    ensure_values(&env.schema, "SELECT * FROM t", &[row]).await
}

#[apply(load_test)]
async fn records_of_json_have_columns_of_all_kinds(env: TestEnv) -> Result<()> {
    let records = concat!(
        r#"{"id":1,"zip":"00501","tags":["x","y"],"nest":{"a":{"b":1}},"ok":true,"pay":1.50}"#,
        "\nno json\n",
        r#"{"id":2,"at":"2026-01-31T10:00:00Z","ok":false,"pay":2,"nest":null,"mix":1}"#,
        "\n",
        r#"{"id":3,"at":"2026-01-31T11:00:00Z","mix":"one","name":"line\nbreak"}"#,
    );
    env.put("a.jsonl", records)?;
    let rejects = env.path("rejects").display().to_string();
    let args = ["--format", "jsonl", "--on-bad-row", "reject", "--rejects", &rejects];
    let planned = plan(&env, &args).await?;
    planned.says("text: \"one\" in a.jsonl line 4 is no number")?;
    planned.says("2 values, true or false")?;
    create(&env, 7, &args).await?;
    let json = if env.server.kind() == ServerKind::Mysql { "json" } else { "longtext" };
    ensure_types(
        &env,
        &[
            "id bigint",
            "zip varchar(64)",
            &format!("tags {json}"),
            &format!("nest {json}"),
            "ok varchar(64)",
            "pay decimal(20,2)",
            "at datetime",
            "mix varchar(64)",
            "name varchar(64)",
        ],
    )
    .await?;
    ensure_values(
        &env.schema,
        "SELECT id, zip, JSON_EXTRACT(tags, '$[1]'), JSON_EXTRACT(nest, '$.a.b'), ok, pay, at, \
         mix, name FROM t ORDER BY id",
        &[
            "1|00501|\\\"y\\\"|1|true|1.50|∅|∅|∅",
            "2|∅|∅|∅|false|2.00|2026-01-31 10:00:00|1|∅",
            "3|∅|∅|∅|∅|∅|2026-01-31 11:00:00|one|line\\nbreak",
        ],
    )
    .await
}

#[apply(load_test)]
async fn fields_of_json_name_the_columns_of_a_document(env: TestEnv) -> Result<()> {
    let document = r#"{"Records": [{"eventID": "e-1", "user": {"id": 5}}, {"eventID": "e-2"}]}"#;
    env.put("trail.json.gz", gzip(document.as_bytes())?)?;
    create(
        &env,
        0,
        &[
            "--format",
            "json",
            "--rows-at",
            "$.Records",
            "--field",
            "event=$.eventID",
            "--field",
            "user_id=$.user.id",
            "--primary-key",
            "event",
        ],
    )
    .await?;
    ensure_types(&env, &["event varchar(64)!", "user_id bigint"]).await?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY event", &["e-1|5", "e-2|∅"]).await
}

#[apply(load_test)]
async fn packed_objects_partitions_and_other_headers_make_one_table(env: TestEnv) -> Result<()> {
    env.put("dt=2026-01-01/hour=00/a.csv.gz", gzip(b"id,v\n1,1.5\n2,2.25\n")?)?;
    env.put("dt=2026-01-02/hour=12/b.csv", "color,id\nred,3\n")?;
    create(&env, 0, &BY_NAME).await?;
    ensure_types(
        &env,
        &["id bigint", "v decimal(20,2)", "color varchar(64)", "dt date", "hour varchar(64)"],
    )
    .await?;
    let rows = ["1|1.50|∅|2026-01-01|00", "2|2.25|∅|2026-01-01|00", "3|∅|red|2026-01-02|12"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &rows).await?;
    // By position, all objects must have the same names.
    env.schema.exec("DROP TABLE t").await?;
    let ended = create(&env, 3, &BY_POSITION).await?;
    ended.says("its header (color, id) is not that of")?;
    ended.says("--match-columns name makes a table with the columns of all objects")
}

#[apply(load_test)]
async fn columns_without_a_header_have_the_names_of_the_list(env: TestEnv) -> Result<()> {
    env.put("dt=2026-01-31/a.tsv", "1\tskipped\tx\n2\tskipped\t\\N\n")?;
    create(&env, 0, &["--columns", "a,@skip,`b c`", "--partition-columns", "dt"]).await?;
    ensure_types(&env, &["a bigint", "b c varchar(64)", "dt date"]).await?;
    let rows = ["1|x|2026-01-31", "2|∅|2026-01-31"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY a", &rows).await
}

#[apply(load_test)]
async fn texts_in_a_key_are_told_apart_byte_for_byte(env: TestEnv) -> Result<()> {
    let long = "x".repeat(200);
    env.put("a.csv", format!("Name,n,v\na,1,x\nA,1,y\na ,1,z\na,2,z\n{long},1,{long}\n"))?;
    create(&env, 0, &[&BY_NAME[..], &["--primary-key", "name,n"]].concat()).await?;
    ensure_types(&env, &["Name varchar(255)!", "n bigint!", "v varchar(1024)"]).await?;
    ensure!(env.count("t").await? == 5);
    ensure_values(&env.schema, "SELECT v FROM t WHERE name = 'A'", &["y"]).await
}

#[apply(load_test)]
async fn many_long_texts_fit_into_a_row(env: TestEnv) -> Result<()> {
    let header: Vec<String> = (0..60).map(|column| format!("c{column}")).collect();
    let row = vec!["y".repeat(400); 60].join(",");
    env.put("a.csv", format!("{}\n{row}\n{row}\n", header.join(",")))?;
    create(&env, 0, &BY_NAME).await?;
    let statement = created(&env, "report")?.unwrap_or_default();
    ensure!(statement.contains("VARCHAR(1024)") && statement.contains(" TEXT"), "{statement}");
    ensure!(env.count("t").await? == 2);
    ensure_values(&env.schema, "SELECT SUM(LENGTH(c0) + LENGTH(c59)) FROM t", &["1600"]).await
}
