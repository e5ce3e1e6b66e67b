//! Compares the library's field reader with the servers' on rows made only of special characters:
//! quotes, escapes, separators and the letters behind them, thousands in one load. Rows that the
//! splitter refuses are left out.

use anyhow::{Result, ensure};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::{StreamExt, stream};
use mysql_async::Row;
use mysql_async::prelude::Queryable;
use s3_to_mysql::dialect::{Charset, Dialect, LineTerminator, Preset};
use s3_to_mysql::split::{CutRow, Field, FieldReader, RowCutter};

use super::Case;
use crate::support::servers::Schema;

const COLUMNS: usize = 3;
const ROWS_PER_DIALECT: u64 = 1500;

pub(crate) async fn compare_values(schema: &Schema<'_>, seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    schema
        .exec(
            "CREATE TABLE `values` (id BIGINT AUTO_INCREMENT PRIMARY KEY, c1 VARBINARY(255), c2 \
             VARBINARY(255), c3 VARBINARY(255))",
        )
        .await?;
    for dialect in dialects() {
        ensure!(dialect.validate(&Charset::new("binary")?).is_empty(), "{dialect:?}");
        compare(schema, &dialect, &mut rng).await?;
    }
    Ok(())
}

fn dialects() -> Vec<Dialect> {
    let line = |bytes: &[u8]| LineTerminator::Exact(bytes.to_vec());
    let csv = Preset::CsvUnix.dialect();
    vec![
        Preset::Mysql.dialect(),
        Preset::HiveRaw.dialect(),
        csv.clone(),
        Dialect { fields_escaped_by: Some(b'\\'), ..csv.clone() },
        Dialect { fields_escaped_by: Some(b'"'), ..csv.clone() },
        Dialect {
            fields_escaped_by: Some(b'|'),
            lines_terminated_by: line(b"\r\n"),
            ..csv.clone()
        },
        Dialect {
            fields_terminated_by: b"NN0".to_vec(),
            lines_terminated_by: line(b";;"),
            ..csv.clone()
        },
        Dialect { fields_terminated_by: b"aab".to_vec(), ..Preset::Mysql.dialect() },
        Dialect {
            fields_enclosed_by: Some(b'\''),
            fields_escaped_by: Some(b'\\'),
            ..Preset::Mysql.dialect()
        },
    ]
}

async fn compare(schema: &Schema<'_>, dialect: &Dialect, rng: &mut Rng) -> Result<()> {
    let items = (1..=COLUMNS).map(|number| format!("c{number}")).collect();
    let charset = Charset::new("binary")?;
    let case = Case {
        dialect: dialect.clone(),
        charset,
        items,
        ignore_lines: 0,
        null_string: None,
        pieces: Vec::new(),
    };
    let LineTerminator::Exact(line) = &dialect.lines_terminated_by else { panic!("which?") };
    let mut object = Vec::new();
    for _ in 0..ROWS_PER_DIALECT {
        let row = [random_row(dialect, rng), line.clone()].concat();
        if case.scan(&row).is_ok_and(|scan| scan.rows == 1 && !scan.needs_terminator) {
            object.extend_from_slice(&row);
        }
    }
    let reader = FieldReader::new(dialect, COLUMNS);
    let mut ours: Vec<(Vec<u8>, Vec<Option<Vec<u8>>>)> = Vec::new();
    let value = |field: Field<'_>| match field {
        Field::Value(value) => Some(value.into_owned()),
        Field::Null | Field::Missing => None,
    };
    let mut cutter = RowCutter::new(dialect, line, COLUMNS);
    let mut take = |row: CutRow<'_>| {
        let values = reader.read(&row).into_iter().map(value).collect();
        ours.push((row.bytes.to_vec(), values));
    };
    cutter.feed(&object, &mut take)?;
    cutter.finish(&mut take)?;

    let mut conn = schema.user_conn().await?;
    conn.query_drop("TRUNCATE TABLE `values`").await?;
    conn.set_infile_handler(async move { Ok(stream::iter([Ok(Bytes::from(object))]).boxed()) });
    conn.query_drop(case.statement(
        "LOCAL INFILE 'oracle' INTO TABLE `values`",
        &case.items,
        line,
        0,
    ))
    .await?;
    let stored: Vec<Row> = conn.query("SELECT c1, c2, c3 FROM `values` ORDER BY id").await?;
    ensure!(
        stored.len() == ours.len(),
        "{} rows, ours are {}: {dialect:?}",
        stored.len(),
        ours.len()
    );
    ensure!(
        ours.len() as u64 > ROWS_PER_DIALECT / 10,
        "too few rows were accepted: {}, {dialect:?}",
        ours.len()
    );
    for ((row, ours), stored) in ours.iter().zip(stored) {
        let stored: Vec<Option<Vec<u8>>> = (0..COLUMNS).map(|at| stored.get(at).unwrap()).collect();
        let row = row.escape_ascii();
        ensure!(
            *ours == stored,
            "\"{row}\" under {dialect:?} is {ours:?}, the server has {stored:?}"
        );
    }
    Ok(())
}

fn random_row(dialect: &Dialect, rng: &mut Rng) -> Vec<u8> {
    let quote = dialect.fields_enclosed_by.as_slice();
    let escape = dialect.fields_escaped_by.as_slice();
    let field = dialect.fields_terminated_by.as_slice();
    let mut row = Vec::new();
    for number in 0..rng.usize(0..=COLUMNS + 1) {
        if number > 0 {
            row.extend_from_slice(field);
        }
        let quoted = if rng.bool() { quote } else { b"" };
        row.extend_from_slice(quoted);
        for _ in 0..rng.usize(..4) {
            let any: [&[u8]; 16] = [
                b"N", b"NULL", b"n", b"t", b"r", b"b", b"0", b"Z", b"a", b" ", b"\xE4", escape,
                escape, escape, quote, field,
            ];
            row.extend_from_slice(rng.choice(any).unwrap_or_default());
            if rng.u8(..4) == 0 {
                row.extend_from_slice(escape);
                row.extend_from_slice(
                    rng.choice([&b"N"[..], b"\n", b"\\", escape, quote]).unwrap_or_default(),
                );
            }
        }
        row.extend_from_slice(quoted);
    }
    row
}
