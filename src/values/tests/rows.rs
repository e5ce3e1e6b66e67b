//! A row of a table of rules, and how it is checked.

use crate::dialect::Charset;
use crate::values::{BadKind, ColumnFacts, ColumnRule, Field, LossKind, Readings, Server, Verdict};

/// The result that is expected of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    /// Sent as it is; reads back as this text.
    Exact(&'static str),
    /// Sent as this text, which also reads back.
    As(&'static str),
    /// Sent as this text with a note.
    Loss(LossKind, &'static str),
    Bad(BadKind),
    Server,
}

/// A table: a type, and for each field what is expected. A field's escapes are Rust's.
pub(crate) type Table = (&'static str, &'static [(&'static str, Expected)]);

pub(crate) const SERVERS: [Server; 2] = [Server::MySql, Server::MariaDb];

pub(crate) fn facts(column_type: &str) -> ColumnFacts<'_> {
    ColumnFacts {
        name: "v",
        column_type,
        charset: Some("utf8mb4"),
        collation: Some("utf8mb4_general_ci"),
        is_nullable: false,
        is_auto_increment: false,
        is_generated: false,
        is_json: false,
    }
}

pub(crate) fn rule(column_type: &str, server: Server, readings: &Readings) -> ColumnRule {
    ColumnRule::new(&facts(column_type), server, &Charset::new("utf8mb4").unwrap(), readings)
}

/// Returns the verdict with the text that is sent.
pub(crate) fn check(rule: &ColumnRule, text: &str) -> (Verdict, String) {
    let mut out = Vec::new();
    let verdict = rule.check(Field::Bytes(text.as_bytes()), &mut out);
    (verdict, String::from_utf8(out).unwrap())
}

pub(crate) fn ensure_table(tables: &[Table], servers: &[Server], readings: &Readings) {
    let mut wrong = Vec::new();
    for (column_type, rows) in tables {
        for &server in servers {
            let rule = rule(column_type, server, readings);
            for (text, expected) in *rows {
                let found = check(&rule, text);
                let sent = |text: &str| text.to_owned();
                let wanted = match *expected {
                    Expected::Exact(_) => (Verdict::Exact, String::new()),
                    Expected::As(text) => (Verdict::ExactAs, sent(text)),
                    Expected::Loss(kind, text) => (Verdict::Loss(kind), sent(text)),
                    Expected::Bad(kind) => (Verdict::Bad(kind), String::new()),
                    Expected::Server => (Verdict::ServerDecides, String::new()),
                };
                if found != wanted {
                    wrong.push(format!("{column_type} {text:?} {server:?}: {found:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the rows of a Markdown table: type, field, verdict, what reads back.
pub(crate) fn markdown(tables: &[Table]) -> String {
    // A bar would end the cell.
    let cell = |text: &str| format!("`{}`", format!("{text:?}").replace('|', "\\|"));
    let words = |kind: &'static str| kind.replace('_', " ");
    let rows = tables.iter().flat_map(|(column_type, rows)| {
        rows.iter().map(move |(text, expected)| {
            let (verdict, reads_back) = match *expected {
                Expected::Exact(text) | Expected::As(text) => ("exact".to_owned(), cell(text)),
                Expected::Loss(kind, text) => (words(kind.into()), cell(text)),
                Expected::Bad(kind) => (format!("bad: {}", words(kind.into())), String::new()),
                Expected::Server => ("server".to_owned(), String::new()),
            };
            format!("| `{column_type}` | {} | {verdict} | {reads_back} |\n", cell(text))
        })
    });
    rows.collect()
}
