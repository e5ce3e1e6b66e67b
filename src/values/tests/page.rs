//! The page that lists what each type takes, notes and refuses, from the tables of these tests.

use super::rows::{Table, markdown};
use super::{dates, numbers, texts};

const HEAD: &str = "# Values, type by type

<!-- Generated from the tables of the tests of the rules:
     S3_TO_MYSQL_TEST_WRITE_DOCS=1 cargo test --locked --lib -- values_page -->

This page lists fields and what becomes of them in a column of each type, without the options that
change how fields are read. [Bad rows and duplicates](bad-rows.md) explains the words.

- **exact**: the table holds what the field says. The last column is the value that reads back.
- **bad**: the field is no value of the type, for the reason that is given.
- Any other word in the second column names a loss that is only noted.
- **server**: the program does not know, and the server decides.

Fields and values are written as string literals of Rust: `\\0` is a NUL byte, and `\\u{661}` a
character by its number.
";

fn page() -> String {
    let sections: [(&str, &[Table]); 8] = [
        ("Integers", &numbers::INTEGERS),
        ("DECIMAL", &numbers::DECIMALS),
        ("FLOAT and DOUBLE", &numbers::FLOATS),
        ("DATE, DATETIME and TIMESTAMP", &dates::DATES),
        ("TIME", &dates::TIMES),
        ("YEAR", &dates::YEARS),
        ("ENUM and SET", &texts::LABELS),
        ("CHAR, VARCHAR, TEXT, BINARY and BLOB", &texts::TEXTS),
    ];
    let mut page = HEAD.to_owned();
    for (title, tables) in sections {
        page.extend([
            "\n## ",
            title,
            "\n\n| column | field | verdict | reads back as |\n|---|---|---|---|\n",
            &markdown(tables),
        ]);
    }
    page
}

#[test]
fn the_values_page_lists_what_the_rules_do() {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/values.md");
    if std::env::var_os("S3_TO_MYSQL_TEST_WRITE_DOCS").is_some() {
        std::fs::write(PATH, page()).unwrap();
    }
    let written = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(written == page(), "docs/values.md is stale: see its first lines");
}
