use std::hint::black_box;
use std::time::Instant;

use super::rows::rule;
use crate::values::{ColumnRule, Field, Readings, Server, Verdict};

/// Prints the time for 100 MB of rows with columns of many types:
/// `cargo test --release --lib -- --ignored --nocapture values::tests::timing`
#[test]
#[ignore = "measures, and has no figure to assert"]
fn the_time_for_a_hundred_megabytes() {
    let columns = [
        ("bigint", "123456789"),
        ("int", "4711"),
        ("varchar(40)", "a name of ordinary length"),
        ("decimal(12,2)", "12345.67"),
        ("datetime", "2026-01-31 23:59:58"),
        ("date", "2026-01-31"),
        ("enum('low','mid','high')", "mid"),
        ("double", "3.14159265"),
        ("tinyint(1)", "1"),
        ("text", "a longer text that says nothing of importance, but has eighty characters in it."),
    ];
    let rules: Vec<(ColumnRule, &str)> = columns
        .iter()
        .map(|(kind, text)| (rule(kind, Server::MySql, &Readings::default()), *text))
        .collect();
    let row_bytes: usize = columns.iter().map(|(_, text)| text.len() + 1).sum();
    let rows = 100_000_000 / row_bytes;
    let mut out = Vec::new();
    let started = Instant::now();
    for _ in 0..rows {
        for (rule, text) in &rules {
            let verdict = rule.check(black_box(Field::Bytes(text.as_bytes())), &mut out);
            assert!(verdict == Verdict::Exact, "{text}");
        }
    }
    println!("all: {rows} rows of {row_bytes} bytes: {:?}", started.elapsed());
    for (rule, text) in &rules {
        let started = Instant::now();
        for _ in 0..1_000_000 {
            black_box(rule.check(black_box(Field::Bytes(text.as_bytes())), &mut out));
        }
        println!("{:?}: {:?} for a field", rule.column_type(), started.elapsed() / 1_000_000);
    }
}
