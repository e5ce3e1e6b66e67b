//! Writes Hive-style files for the demo and the benchmarks, and prints what the table must hold
//! once they are loaded.
//!
//! ```text
//! hive_files FOLDER FILES ROWS_PER_FILE [TABLE]
//! ```
//!
//! Standard output has three lines: `rows=N bytes=N checksum=N`, the CREATE TABLE statement, and
//! the query whose two columns must equal the rows and the checksum.

use std::path::Path;

use anyhow::bail;
use test_tools::hive;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, files, rows, rest @ ..] = arguments.as_slice() else {
        bail!("usage: hive_files FOLDER FILES ROWS_PER_FILE [TABLE]");
    };
    let table = rest.first().map_or("bi_supplier_spu_month_detail", String::as_str);
    let sums = hive::write_files(Path::new(folder), files.parse()?, rows.parse()?)?;
    println!("rows={} bytes={} checksum={}", sums.rows, sums.bytes, sums.checksum);
    println!("{}", hive::create_table(table));
    println!("{}", hive::checksum_query(table));
    Ok(())
}
