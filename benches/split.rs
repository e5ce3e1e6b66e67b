//! Measures the splitter alone, on one core, in GB/s.
//!
//! It measures what counts rows while an object downloads, and what finds and parses single rows
//! where some are bad.
//!
//! ```text
//! scripts/bench.sh split
//! ```
//!
//! Goals for `count`: 5 GB/s without escapes, 2 with backslash escapes, 1 with quotes and escapes.
//! Bytes are fed as the downloads feed them, including the validation of UTF-8.

#![allow(
    clippy::unwrap_used,
    reason = "where its text is not what it says, a benchmark has no figure to give"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use s3_to_mysql::dialect::{Charset, Dialect, Preset};
use s3_to_mysql::split::{CutRow, FieldReader, RowCutter, RowLocator, RowReader};

/// The size of a download's blocks.
const CHUNK_BYTES: usize = 256 * 1024;
/// More than a processor's second-level cache, so that memory counts too.
const TEXT_BYTES: usize = 16 * 1024 * 1024;
const FIELDS: usize = 8;

struct Case {
    name: &'static str,
    dialect: Dialect,
    text: Vec<u8>,
}

fn cases() -> Vec<Case> {
    // As Hive writes them: three rows in five have no character that must be escaped.
    let escaped = |row: usize| {
        let note = match row % 5 {
            0 => "\\N".to_owned(),
            1 => "two\\\nlines".to_owned(),
            _ => format!("batch number {}", row % 1000),
        };
        let category = if row % 6 == 3 { "back\\\\slash" } else { "plain goods" };
        values(row, category, &note).join("\x01") + "\n"
    };
    let plain = |row: usize| values(row, "plain goods", "batch number 7").join("\x01") + "\n";
    // As a spreadsheet writes them: quoted text, of which one row in five has a quote or a line
    // break.
    let quoted = |row: usize| {
        let note = match row % 5 {
            0 => r#""a ""quoted"" word""#.to_owned(),
            1 => "\"two\nlines\"".to_owned(),
            _ => format!("\"batch number {}\"", row % 1000),
        };
        values(row, r#""tea, green""#, &note).join(",") + "\n"
    };
    let both = |row: usize| quoted(row).replace("tea", r"te\\a");
    let mut quotes_and_escapes = Preset::CsvUnix.dialect();
    quotes_and_escapes.fields_escaped_by = Some(b'\\');
    vec![
        Case { name: "no_escapes", dialect: Preset::HiveRaw.dialect(), text: text(plain) },
        Case { name: "escapes_possible", dialect: Preset::Hive.dialect(), text: text(plain) },
        Case { name: "backslash_escapes", dialect: Preset::Hive.dialect(), text: text(escaped) },
        Case { name: "quotes", dialect: Preset::CsvUnix.dialect(), text: text(quoted) },
        Case { name: "quotes_and_escapes", dialect: quotes_and_escapes, text: text(both) },
    ]
}

fn values(row: usize, category: &str, note: &str) -> [String; FIELDS] {
    [
        format!("{}", 100_000 + row % 977),
        format!("{}", 7_000_000_000_u64 + row as u64),
        "2026-01".to_owned(),
        category.to_owned(),
        format!("{}", row * 31 % 5000),
        format!("{}.{:02}", row * 7919 % 1_000_000, row % 100),
        note.to_owned(),
        format!("2026-{:02}-{:02} {:02}:00:00", row % 12 + 1, row % 28 + 1, row % 24),
    ]
}

fn text(line: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = Vec::with_capacity(TEXT_BYTES + 1024);
    for row in 0.. {
        if text.len() >= TEXT_BYTES {
            break;
        }
        text.extend_from_slice(line(row).as_bytes());
    }
    text
}

fn split(criterion: &mut Criterion) {
    let charset = Charset::new("utf8mb4").unwrap();
    for Case { name, dialect, text } in cases() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let rows = count(&dialect, &charset, &text);
        assert_eq!(
            rows,
            locate(&dialect, &charset, &text).len() as u64,
            "{name}: the two disagree"
        );
        group.bench_function("count", |bencher| {
            bencher.iter(|| count(&dialect, &charset, black_box(&text)));
        });
        group.bench_function("locate", |bencher| {
            bencher.iter(|| locate(&dialect, &charset, black_box(&text)));
        });
        let expected = rows * FIELDS as u64;
        assert_eq!(fields(&dialect, &text), expected, "{name}: fields are missing");
        group.bench_function("fields", |bencher| {
            bencher.iter(|| fields(&dialect, black_box(&text)));
        });
        group.finish();
    }
}

/// Counts rows: every byte of every object goes through this.
fn count(dialect: &Dialect, charset: &Charset, text: &[u8]) -> u64 {
    let mut reader = RowReader::new(dialect, charset, FIELDS, 0);
    for chunk in text.chunks(CHUNK_BYTES) {
        reader.feed(chunk).unwrap();
    }
    reader.finish().unwrap().rows
}

/// Cuts rows and their fields, as for the rules for values, and counts the fields.
fn fields(dialect: &Dialect, text: &[u8]) -> u64 {
    let mut cutter = RowCutter::new(dialect, b"\n", FIELDS);
    let reader = FieldReader::new(dialect, FIELDS);
    let mut fields = 0;
    let mut count = |row: CutRow<'_>| {
        reader.for_each_unknown(&row, |_, _| false, |_, _, _| fields += 1);
    };
    for chunk in text.chunks(CHUNK_BYTES) {
        cutter.feed(chunk, &mut count).unwrap();
    }
    cutter.finish(&mut count).unwrap();
    fields
}

/// Finds each row, without its terminator, as for objects with bad rows.
fn locate(dialect: &Dialect, charset: &Charset, text: &[u8]) -> Vec<(usize, usize)> {
    let mut locator = RowLocator::every(dialect, charset, FIELDS, 0);
    let mut rows = Vec::new();
    for chunk in text.chunks(CHUNK_BYTES) {
        locator.feed(chunk).unwrap();
        rows.extend(locator.take());
    }
    rows.extend(locator.finish().unwrap());
    let place = |bytes: u64| usize::try_from(bytes).unwrap();
    rows.iter().map(|row| (place(row.offset), place(row.offset + row.size_bytes))).collect()
}

criterion_group!(benches, split);
criterion_main!(benches);
