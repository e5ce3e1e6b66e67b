//! Generates Hive's files for the demo, the tests and the benchmarks, with counts and checksums.
//!
//! Rows come from a counter, so that every run produces the same bytes. A value's text and the
//! value that the server must store are produced side by side, and share no code with the loader.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;

/// The columns of the target table.
const COLUMNS: &str = "supplier_id BIGINT NOT NULL, spu_id BIGINT NOT NULL, \
     month CHAR(7) NOT NULL, \
     category VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, orders INT NOT NULL, \
     amount DECIMAL(14,2) NOT NULL, \
     note VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, \
     updated_at DATETIME NOT NULL";

const CATEGORIES: [&str; 6] =
    ["tea", "caf\u{e9}", "\u{8336}\u{53f6}", "back\\slash", "tab\there", "plain goods"];

/// Returns the CREATE TABLE statement for the generated rows. The table has no key, so that a row
/// that is loaded twice shows.
pub fn create_table(name: &str) -> String {
    format!("CREATE TABLE {name} ({COLUMNS}) ENGINE=InnoDB")
}

/// Returns a query for COUNT(*) and a checksum that does not depend on the order of rows. The
/// result compares with [`Sums`].
pub fn checksum_query(name: &str) -> String {
    format!(
        "SELECT COUNT(*), CAST(COALESCE(SUM(CRC32(CONCAT_WS('|', \
         supplier_id, spu_id, month, category, orders, amount, \
         COALESCE(note, 'NULL'), updated_at))), 0) AS UNSIGNED) FROM {name}"
    )
}

/// The counts and the checksum of the generated rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub rows: u64,
    pub bytes: u64,
    /// The sum of the rows' CRC32s.
    pub checksum: u64,
}

/// Writes `file_count` files of `rows_per_file` rows each below `folder`, in one partition folder
/// per twelve files, with the `_SUCCESS` markers that Hadoop leaves.
#[allow(dead_code, reason = "for an example and the benchmarks")]
pub fn write_files(folder: &Path, file_count: u64, rows_per_file: u64) -> anyhow::Result<Sums> {
    let mut sums = Sums::default();
    for file in 0..file_count {
        let partition = folder.join(format!("month={}", month(file / 12)));
        std::fs::create_dir_all(&partition).with_context(|| partition.display().to_string())?;
        std::fs::write(partition.join("_SUCCESS"), [])?;
        let path = partition.join(format!("{:06}_0", file % 12));
        let mut out = std::io::BufWriter::new(
            std::fs::File::create(&path).with_context(|| path.display().to_string())?,
        );
        for row in file * rows_per_file..(file + 1) * rows_per_file {
            let line = line(file / 12, row, &mut sums);
            out.write_all(&line)?;
        }
        out.flush()?;
    }
    Ok(sums)
}

/// Returns one object's bytes, with the rows `from..to` of partition 0.
pub fn object(from: u64, to: u64) -> (Vec<u8>, Sums) {
    let mut sums = Sums::default();
    let bytes = (from..to).flat_map(|row| line(0, row, &mut sums)).collect();
    (bytes, sums)
}

fn month(number: u64) -> String {
    format!("{}-{:02}", 2026 + number / 12, number % 12 + 1)
}

/// Returns one line, and adds its row to the sums.
fn line(partition: u64, row: u64, sums: &mut Sums) -> Vec<u8> {
    let supplier_id = 100_000 + row % 977;
    let spu_id = 7_000_000_000 + row;
    let month = month(partition);
    let category = CATEGORIES[usize::try_from(row % CATEGORIES.len() as u64).unwrap_or(0)];
    let orders = row * 31 % 5000;
    let amount = format!("{}.{:02}", row * 7919 % 1_000_000, row % 100);
    let note = match row % 5 {
        0 => None,
        1 => Some("two\nlines".to_owned()),
        _ => Some(format!("batch number {}", row % 1000)),
    };
    let updated_at = format!(
        "2026-{:02}-{:02} {:02}:{:02}:{:02}",
        row % 12 + 1,
        row % 28 + 1,
        row % 24,
        row % 60,
        row % 59
    );

    let stored = format!(
        "{supplier_id}|{spu_id}|{month}|{category}|{orders}|{amount}|{}|{updated_at}",
        note.as_deref().unwrap_or("NULL")
    );
    let written = note.as_deref().map_or_else(|| "\\N".to_owned(), escape);
    let line = format!(
        "{supplier_id}\x01{spu_id}\x01{month}\x01{}\x01{orders}\x01{amount}\x01{written}\x01\
         {updated_at}\n",
        escape(category)
    );
    sums.rows += 1;
    sums.bytes += line.len() as u64;
    sums.checksum += crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, stored.as_bytes());
    line.into_bytes()
}

/// Escapes a value as Hive writes it with `ESCAPED BY '\\'`.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\\n").replace('\x01', "\\\x01")
}
