//! Many rows at a time get the verdicts that each of them gets alone.

use proptest::prelude::*;

use super::rows::{SERVERS, facts};
use crate::dialect::{Charset, ColumnOrVariable, Dialect, FormatConfig, LineTerminator, Preset};
use crate::split::{CutRow, RowCutter};
use crate::values::{ColumnFacts, ColumnRule, Readings, RowRules, RowScratch, Server, ValueCounts};

const TYPES: [&str; 14] = [
    "int",
    "tinyint unsigned",
    "bigint",
    "decimal(5,2)",
    "decimal(40,16) unsigned",
    "double",
    "date",
    "datetime",
    "timestamp",
    "varchar(5)",
    "text",
    "enum('a','7','NULL')",
    "json",
    "point",
];

const TEXTS: [&str; 40] = [
    "7",
    "-7",
    "127",
    "128",
    "-128",
    "999999999",
    "9999999999",
    "2147483648",
    "12345678901234567",
    "1.5",
    "123.45",
    "123,45",
    "12/50",
    "-12-50",
    "12&50",
    "-123.45",
    "1234.56",
    "1.239",
    ".5",
    "5.",
    "1e3",
    "1:5",
    "1/5",
    "",
    "-",
    "2026-01-28",
    "2026-02-30",
    "2026-13-01",
    "2026/01/28",
    "2026-01-28 23:59:58",
    "2026-01-28 24:00:00",
    "2040-01-28 23:59:58",
    "abcde",
    "caf\u{e9}s!",
    "a long text of more bytes",
    "NULL",
    "\\N",
    "\\\\",
    "\"7\"",
    "\"NULL\"",
];

fn rules(
    types: &[(&str, bool)],
    (dialect, null_strings): (&Dialect, &[&str]),
    notes_as_bad: bool,
    server: Server,
) -> RowRules {
    let names: Vec<String> = (0..types.len()).map(|at| format!("c{at}")).collect();
    let columns: Vec<ColumnOrVariable> =
        names.iter().cloned().map(ColumnOrVariable::Column).collect();
    let charset = Charset::new("utf8mb4").unwrap();
    let format = FormatConfig {
        dialect: dialect.clone(),
        json: None,
        parquet: None,
        charset: charset.clone(),
        ignore_lines: 0,
        columns: None,
        set: Vec::new(),
        null_strings: null_strings.iter().map(|&text| text.to_owned()).collect(),
        readings: Vec::new(),
        names: crate::dialect::NameConfig::default(),
    };
    RowRules::new(&columns, &format, notes_as_bad, |name| {
        let at = names.iter().position(|other| other == name)?;
        let (column_type, is_nullable) = types[at];
        let facts = ColumnFacts { name, is_nullable, ..facts(column_type) };
        Some(ColumnRule::new(&facts, server, &charset, &Readings::default()))
    })
}

proptest! {
    #[test]
    fn rows_get_the_same_verdicts_together_and_alone(
        types in proptest::collection::vec((prop::sample::select(&TYPES[..]), any::<bool>()), 1..5),
        fields in proptest::collection::vec(prop::sample::select(&TEXTS[..]), 0..400),
        odd_rows in proptest::collection::vec((0_usize..100, 0_usize..7), 0..3),
        extra_fields in 0_usize..3,
        chunk_bytes in 1_usize..2000,
        notes_as_bad in any::<bool>(),
        has_null_string in any::<bool>(),
    ) {
        let width = types.len() + extra_fields;
        let lf = LineTerminator::Exact(b"\n".to_vec());
        let crlf = LineTerminator::Exact(b"\r\n".to_vec());
        let dialects = [
            Dialect { lines_terminated_by: lf.clone(), ..Preset::Csv.dialect() },
            Dialect { lines_terminated_by: crlf, ..Preset::Csv.dialect() },
            Dialect { lines_terminated_by: lf.clone(), ..Preset::Hive.dialect() },
            Dialect { lines_terminated_by: lf, ..Preset::Mysql.dialect() },
        ];
        let null_strings: &[&str] = if has_null_string { &["7"] } else { &[] };
        for (dialect, server) in dialects.iter().zip(SERVERS.into_iter().cycle()) {
            let LineTerminator::Exact(line) = &dialect.lines_terminated_by else { continue };
            let terminator = &dialect.fields_terminated_by;
            let mut object = Vec::new();
            for (number, row) in fields.chunks_exact(types.len()).enumerate() {
                let odd = odd_rows.iter().find(|(odd, _)| *odd == number);
                let width = odd.map_or(width, |(_, width)| *width);
                let more = if number % 3 == 0 { "" } else { "more" };
                let texts = row.iter().copied().chain(std::iter::repeat(more));
                let texts: Vec<&[u8]> = texts.take(width).map(str::as_bytes).collect();
                object.extend_from_slice(&texts.join(terminator.as_slice()));
                object.extend_from_slice(line);
            }
            let rules = rules(&types, (dialect, null_strings), notes_as_bad, server);
            let mut alone = ValueCounts::default();
            let mut together = ValueCounts::default();
            let mut scratch = RowScratch::default();
            let mut text = Vec::new();
            let mut cutter = RowCutter::new(dialect, line, types.len());
            for chunk in object.chunks(chunk_bytes) {
                let cut = cutter.feed_blocks(chunk, |block| {
                    rules.count(&block, &mut scratch, &mut together);
                    for row in block.rows() {
                        alone.add(rules.judge(&CutRow::whole(row.bytes), &mut text));
                    }
                    assert_eq!(together, alone, "{dialect:?}");
                });
                // An object that is refused is not judged.
                if cut.is_err() {
                    break;
                }
            }
        }
    }
}
