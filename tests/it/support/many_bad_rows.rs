//! One object with many rows that are bad in every way, and the knowledge of which ones.
//!
//! Rows come from a seed, so that every run makes the same bytes. Which rows are bad is random, but
//! their number is exact. The rows that must be loaded and the rows that must be rejected are known
//! as checksums, so that an object of any size needs no memory. The bad rows themselves are kept as
//! numbers.

use std::io::Write;

use crc_fast::{CrcAlgorithm, Digest};
use fastrand::Rng;

/// The options with which the objects here are read.
pub const ARGS: [&str; 4] = ["--preset", "csv", "--ignore-lines", "1"];

/// The same dialect for the server.
#[allow(dead_code, reason = "for the benchmarks")]
pub const DIALECT: &str = "CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY \
     '\"' ESCAPED BY '' \
     LINES TERMINATED BY '\\n' IGNORE 1 LINES";

pub const HEADER: &str = "id,code,n,amount,day,note\n";

/// Rows that are in the table before. Some rows of the object have their keys.
const ROWS_BEFORE: u64 = 1000;

/// Returns the statements that create the table and its rows.
pub fn create_table(name: &str) -> [String; 2] {
    let rows: Vec<String> = (0..ROWS_BEFORE)
        .map(|id| format!("({id}, 'c{id}', 0, 0, '2026-01-01', 'before')"))
        .collect();
    [
        format!(
            "CREATE TABLE {name} (id INT NOT NULL PRIMARY KEY, code VARCHAR(20) NOT NULL UNIQUE, n \
             INT NOT NULL, \
             amount DECIMAL(10,2) NOT NULL, day DATE NOT NULL, note VARCHAR(20) NULL) ENGINE=InnoDB"
        ),
        format!("INSERT INTO {name} VALUES {}", rows.join(", ")),
    ]
}

/// Returns a query for COUNT(*) and a checksum of the object's rows, comparable with
/// [`ManyBadRows`].
pub fn checksum_query(name: &str) -> String {
    format!(
        "SELECT COUNT(*), CAST(COALESCE(SUM(CRC32(CONCAT_WS('|', id, code, n, amount, day, \
         note))), 0) AS UNSIGNED) \
         FROM {name} WHERE id >= {ROWS_BEFORE}"
    )
}

/// The reason why a row is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Badness {
    NoNumber,
    OutOfRange,
    NoDate,
    TooLong,
    FieldsMissing,
    FieldTooMany,
    /// The key is that of an earlier row of the object.
    SameIdAsBefore,
    SameCodeAsBefore,
    /// The key is that of a row of the table.
    SameIdAsInTable,
    SameCodeAsInTable,
}

impl Badness {
    const ALL: [Self; 10] = [
        Self::NoNumber,
        Self::OutOfRange,
        Self::NoDate,
        Self::TooLong,
        Self::FieldsMissing,
        Self::FieldTooMany,
        Self::SameIdAsBefore,
        Self::SameCodeAsBefore,
        Self::SameIdAsInTable,
        Self::SameCodeAsInTable,
    ];

    pub fn is_duplicate(self) -> bool {
        matches!(
            self,
            Self::SameIdAsBefore
                | Self::SameCodeAsBefore
                | Self::SameIdAsInTable
                | Self::SameCodeAsInTable
        )
    }
}

/// A row that must not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The row's number among the data rows, from 1.
    pub number: u64,
    /// The line on which it begins, from 1, the header's included.
    pub line: u64,
    pub badness: Badness,
}

impl BadRow {
    /// Returns its own id, unless it has that of another row.
    pub fn id(&self) -> u64 {
        ROWS_BEFORE + self.number
    }
}

/// The result of generating an object.
#[derive(Debug)]
pub struct ManyBadRows {
    pub rows: u64,
    pub bytes: u64,
    pub bad: Vec<BadRow>,
    /// The sum of the good rows' CRC32s.
    pub checksum: u64,
    /// The CRC32 of the header and all bad rows, as in a reject file.
    pub rejects_checksum: u64,
}

impl ManyBadRows {
    /// Writes an object of `rows` rows, `bad` of which are bad.
    pub fn write(rows: u64, bad: u64, out: &mut impl Write) -> std::io::Result<Self> {
        let mut rng = Rng::with_seed(rows ^ bad << 32);
        let mut rejects = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
        rejects.update(HEADER.as_bytes());
        out.write_all(HEADER.as_bytes())?;
        let mut made = Self {
            rows,
            bytes: HEADER.len() as u64,
            bad: Vec::new(),
            checksum: 0,
            rejects_checksum: 0,
        };
        let mut line = 2;
        let mut last_good = None;
        for number in 1..=rows {
            let bad_to_come = bad - made.bad.len() as u64;
            let is_bad = rng.u64(0..=rows - number) < bad_to_come;
            let badness = is_bad.then(|| Badness::ALL[rng.usize(..Badness::ALL.len())]);
            let badness = badness
                .filter(|_| last_good.is_some())
                .or_else(|| is_bad.then_some(Badness::NoDate));
            let id = ROWS_BEFORE + number;
            let text = row(&mut rng, id, badness, last_good.unwrap_or_default());
            if let Some(badness) = badness {
                made.bad.push(BadRow { number, line, badness });
                rejects.update(text.as_bytes());
            } else {
                let stored = text
                    .trim_end_matches('\n')
                    .replace(",\"", ",")
                    .trim_end_matches('"')
                    .replace(',', "|");
                made.checksum += crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, stored.as_bytes());
                // The row is not always the one just before.
                if last_good.is_none() || rng.bool() {
                    last_good = Some(id);
                }
            }
            line += text.matches('\n').count() as u64;
            made.bytes += text.len() as u64;
            out.write_all(text.as_bytes())?;
        }
        made.rejects_checksum = rejects.finalize();
        Ok(made)
    }

    pub fn duplicates(&self) -> u64 {
        self.bad.iter().filter(|bad| bad.badness.is_duplicate()).count() as u64
    }

    /// Returns the number of rows that [`checksum_query`] finds.
    pub fn good(&self) -> u64 {
        self.rows - self.bad.len() as u64
    }
}

/// Returns a row with its terminator. Its fields have neither commas nor quotes, and its note
/// sometimes has a line break.
fn row(rng: &mut Rng, id: u64, badness: Option<Badness>, earlier: u64) -> String {
    let mut code = format!("c{id}");
    let mut shown_id = id;
    let mut n = rng.i32(..).to_string();
    let mut day = format!("20{:02}-{:02}-{:02}", rng.u8(0..99), rng.u8(1..=12), rng.u8(1..=28));
    let mut note = if rng.u8(..8) == 0 {
        "two\nlines".to_owned()
    } else {
        format!("note {}", rng.u32(..1_000_000))
    };
    let amount = format!("{}.{:02}", rng.u32(..99_999_999), rng.u8(..100));
    match badness {
        None => {}
        Some(Badness::NoNumber) => n = format!("x{id}"),
        Some(Badness::OutOfRange) => n = format!("{}", 3_000_000_000_u64 + id),
        Some(Badness::NoDate) => day = String::from("2026-02-30"),
        Some(Badness::TooLong) => note = format!("{id} is the number of a note that is too long"),
        Some(Badness::FieldsMissing) => return format!("{id},{code},{n}\n"),
        Some(Badness::FieldTooMany) => {
            return format!("{id},{code},{n},{amount},{day},\"{note}\",more\n");
        }
        Some(Badness::SameIdAsBefore) => shown_id = earlier,
        Some(Badness::SameCodeAsBefore) => code = format!("c{earlier}"),
        Some(Badness::SameIdAsInTable) => shown_id = rng.u64(..ROWS_BEFORE),
        Some(Badness::SameCodeAsInTable) => code = format!("c{}", rng.u64(..ROWS_BEFORE)),
    }
    format!("{shown_id},{code},{n},{amount},{day},\"{note}\"\n")
}
