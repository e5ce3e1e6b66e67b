//! Compares the text that `--verify` expects of a stored value with what the servers store. The
//! values are close to the plain ones of each type, and only those count that the server takes
//! without a warning, as in a load.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::{StreamExt, stream};
use mysql_async::Row;
use mysql_async::prelude::Queryable;
use s3_to_mysql::choices::BinaryReading;
use s3_to_mysql::dialect::{Charset, ColumnOrVariable, FormatConfig, NameConfig, Preset};
use s3_to_mysql::mysql::{Conn, TableSchema};
use s3_to_mysql::split::CutRow;
use s3_to_mysql::verify::{ComparePlan, RowDigest};

use crate::support::servers::Schema;

const VALUES_PER_TYPE: usize = 2500;

/// The settings that a load makes.
const SESSION: &str = "SET SESSION sql_mode = \
     'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
     ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', max_error_count = \
     65535, sql_notes = 1";

/// A type, values that are stored as they are and from which others are made, and the characters
/// that go into those.
type Kind = (&'static str, &'static [&'static str], &'static str);

const KINDS: [Kind; 17] = [
    ("INT", &["0", "-1", "+17", "2147483647", "007"], "0159-+.e "),
    ("BIGINT UNSIGNED", &["0", "18446744073709551615", "+1"], "0159-+.e "),
    ("INT(6) UNSIGNED ZEROFILL", &["0", "4294967295", "12"], "0159-+.e "),
    ("DECIMAL(8,3)", &["1.5", "-99999.999", ".5", "0", "1.2345"], "0459-+.e "),
    ("DECIMAL(5,0)", &["12", "-3", "99999", "1.5"], "0459-+.e "),
    ("DECIMAL(65,30)", &["12345678901234567890.123456789012345678901234567890", "-0.5"], "0459-+."),
    ("DATE", &["2026-01-31", "1000-12-01", "0999-02-28"], "012359-/: T"),
    ("DATETIME", &["2026-01-31 23:59:58", "2026-01-31", "2026-02-28T00:00:00"], "012359-:.+ TZ"),
    ("DATETIME(3)", &["2026-01-31 23:59:58.999", "2026-01-31 00:00:00.5"], "012359-:.+ T"),
    ("TIMESTAMP(6) NULL", &["2026-01-31 23:59:58.999999", "2026-06-30 02:30:00"], "012359-:.+ T"),
    ("TIME", &["01:02:03", "-838:59:59", "100:00:00"], "0123589-:. "),
    ("TIME(2)", &["01:02:03.45", "-00:00:00.01", "23:59:59.9"], "0123589-:. "),
    ("YEAR", &["2026", "1901", "2155", "0000"], "012569 -."),
    ("ENUM('red','it''s','2','')", &["red", "it's", "2", ""], "rRed 12'"),
    ("CHAR(8)", &["abc", "a  ", "", "caf\u{e9}"], "a \u{e9}"),
    ("VARCHAR(8)", &["abc", "a  ", ""], "a \u{e9}"),
    ("BINARY(6)", &["abc", "a  ", "", "abcdef"], "a \u{e9}"),
];

pub(crate) async fn compare_plain_values(schema: &Schema<'_>, seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    let mut conn = schema.conn().await?;
    conn.query_drop(SESSION).await?;
    for (number, kind) in KINDS.into_iter().enumerate() {
        let (column_type, usual, alphabet) = kind;
        let table = format!("plain{number}");
        conn.query_drop(format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, v {column_type}) CHARACTER SET utf8mb4"
        ))
        .await?;
        let alphabet: Vec<char> = alphabet.chars().collect();
        let values: Vec<String> =
            (0..VALUES_PER_TYPE).map(|_| near(&mut rng, usual, &alphabet)).collect();
        let rows: Vec<String> =
            values.iter().enumerate().map(|(id, value)| format!("{}\t{value}\n", id + 1)).collect();
        let object = Bytes::from(rows.concat());
        conn.set_infile_handler(async move { Ok(stream::iter([Ok(object)]).boxed()) });
        conn.query_drop(format!(
            "LOAD DATA LOCAL INFILE 'plain' INTO TABLE {table} CHARACTER SET utf8mb4"
        ))
        .await?;
        let mut warned = BTreeSet::new();
        for (_, _, message) in conn.query::<(String, u32, String), _>("SHOW WARNINGS").await? {
            let (_, row) = message.rsplit_once("row ").with_context(|| message.clone())?;
            let digits: String = row.chars().take_while(char::is_ascii_digit).collect();
            warned.insert(digits.parse::<usize>().with_context(|| message.clone())?);
        }

        let plan = plan(schema, &table).await?;
        let sums = plan.column_sums_sql(&s3_to_mysql::sql_text::TableName {
            database: None,
            table: table.clone(),
        });
        let sums =
            format!("{} GROUP BY id ORDER BY id", sums.replace("SELECT COUNT(*)", "SELECT id"));
        let stored: Vec<Row> = conn.query(sums).await?;
        ensure!(stored.len() == values.len(), "{column_type}: rows were refused");
        let mut compared = 0;
        for (row, (text, value)) in stored.into_iter().zip(rows.iter().zip(&values)) {
            let (id, sum): (usize, String) = mysql_async::from_row(row);
            if warned.contains(&id) {
                continue;
            }
            let mut digest = RowDigest::new(Arc::clone(&plan));
            digest.add_row(&CutRow::whole(text.trim_end_matches('\n').as_bytes()));
            let sum = ComparePlan::column_sum(&sum).context("no sum")?;
            compared += usize::from(plan.compares_whole_rows(digest.digest()));
            ensure!(
                plan.differing(digest.digest(), &[sum]).is_empty(),
                "{value:?} in a column {column_type} is not what the server has stored"
            );
        }
        ensure!(
            compared > VALUES_PER_TYPE / 10,
            "{column_type}: only {compared} values were compared"
        );
    }
    Ok(())
}

/// Returns a plain value, unchanged or with some characters removed, inserted or replaced.
fn near(rng: &mut Rng, usual: &[&str], alphabet: &[char]) -> String {
    let mut value: Vec<char> = rng.choice(usual).unwrap_or(&"").chars().collect();
    for _ in 0..rng.usize(..4) {
        let at = rng.usize(..=value.len());
        let new = *rng.choice(alphabet).unwrap_or(&'0');
        match rng.u8(..3) {
            0 => value.insert(at, new),
            1 if at < value.len() => value[at] = new,
            _ if at < value.len() => drop(value.remove(at)),
            _ => {}
        }
    }
    value.into_iter().collect()
}

/// Returns a plan for column `v` alone, after a field that goes nowhere.
async fn plan(schema: &Schema<'_>, table: &str) -> Result<Arc<ComparePlan>> {
    let mut conn = Conn::from(schema.conn().await?);
    let read = TableSchema::read(&mut conn, &schema.name, table).await?.context("no such table")?;
    let column = read.column("v").context("no such column")?.clone();
    let items =
        [ColumnOrVariable::Variable("id".to_owned()), ColumnOrVariable::Column("v".to_owned())];
    let format = FormatConfig {
        dialect: Preset::Mysql.dialect(),
        json: None,
        parquet: None,
        charset: Charset::default(),
        ignore_lines: 0,
        columns: None,
        set: Vec::new(),
        null_strings: Vec::new(),
        readings: Vec::new(),
        names: NameConfig::default(),
    };
    Ok(Arc::new(ComparePlan::new(&[column], &items, &format, BinaryReading::Auto, "")))
}
