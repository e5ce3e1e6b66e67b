//! What can be loaded, and how it is known that it was.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::{Options, hive, many_bad_rows, tpch};

#[derive(Clone, Copy)]
pub(super) enum Data {
    Hive,
    Tpch { scale: f64 },
    BadRows { bad: u64 },
}

/// What is loaded, by the server itself and by the program.
pub(super) struct Workload {
    pub(super) table: &'static str,
    pub(super) files: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Makes the table, or makes it what it was.
    pub(super) prepare: Vec<String>,
    /// A query, and the rows that it must give: values separated by blanks.
    pub(super) check: String,
    pub(super) expected: Vec<String>,
    /// Between LOAD DATA INFILE and the table's name.
    pub(super) into: &'static str,
    /// Behind the table's name.
    pub(super) dialect: &'static str,
    /// The same for the program.
    pub(super) args: Vec<String>,
    pub(super) exit_code: i32,
    /// Where rows are held back: the directory, and the CRC32 of the file of rejected rows.
    pub(super) rejects: Option<(PathBuf, u64)>,
}

impl Workload {
    /// Writes the files into `folder`.
    pub(super) fn write(options: &Options, folder: &Path) -> Result<Self> {
        match options.data {
            Data::Hive => Self::hive(options, folder),
            Data::Tpch { scale } => Self::tpch(options, scale, folder),
            Data::BadRows { bad } => Self::bad_rows(options, bad, folder),
        }
    }

    fn hive(options: &Options, folder: &Path) -> Result<Self> {
        let sums = hive::write_files(folder, options.files, options.rows)?;
        let table = "bi_supplier_spu_month_detail";
        Ok(Self {
            table,
            files: options.files,
            rows: sums.rows,
            bytes: sums.bytes,
            prepare: prepared(table, [hive::create_table(&format!("bench.{table}"))]),
            check: hive::checksum_query(&format!("bench.{table}")),
            expected: vec![format!("{} {}", sums.rows, sums.checksum)],
            into: "INTO TABLE",
            dialect: "CHARACTER SET utf8mb4 FIELDS TERMINATED BY X'01' ESCAPED BY X'5C' LINES TERMINATED BY X'0A'",
            args: words(&["--preset", "hive"]),
            exit_code: 0,
            rejects: None,
        })
    }

    fn tpch(options: &Options, scale: f64, folder: &Path) -> Result<Self> {
        let folder = folder.join("lineitem");
        std::fs::create_dir_all(&folder)?;
        let generator = tpch::Generator::new(scale, i32::try_from(options.files)?);
        let (mut sums, mut bytes) = (tpch::Sums::default(), 0);
        for part in 1..=i32::try_from(options.files)? {
            let path = folder.join(format!("lineitem.tbl.{part}"));
            let mut out = BufWriter::new(File::create(&path)?);
            generator.write(part, &mut sums, &mut [(tpch::Form::Bars, &mut out)])?;
            out.flush()?;
            bytes += path.metadata()?.len();
        }
        Ok(Self {
            table: "lineitem",
            files: options.files,
            rows: sums.rows,
            bytes,
            prepare: prepared("lineitem", [tpch::create_table("bench.lineitem")]),
            check: tpch::sums_query("bench.lineitem"),
            expected: sums.lines(),
            into: "INTO TABLE",
            dialect: "CHARACTER SET utf8mb4 FIELDS TERMINATED BY '|' ESCAPED BY X'5C' LINES TERMINATED BY X'7C0A'",
            args: words(&["--fields-terminated-by", "|", "--lines-terminated-by", "|\\n"]),
            exit_code: 0,
            rejects: None,
        })
    }

    fn bad_rows(options: &Options, bad: u64, folder: &Path) -> Result<Self> {
        let folder = folder.join("many");
        std::fs::create_dir_all(&folder)?;
        let mut out = BufWriter::new(File::create(folder.join("object"))?);
        let made = many_bad_rows::ManyBadRows::write(options.rows, bad, &mut out)?;
        out.flush()?;
        let rejects = std::env::temp_dir().join(format!("s3-to-mysql-bench-rejects-{}", std::process::id()));
        let mut args = words(&many_bad_rows::ARGS);
        args.extend(words(&["--on-bad-row", "reject", "--on-duplicate", "reject", "--rejects"]));
        args.push(rejects.display().to_string());
        Ok(Self {
            table: "many",
            files: 1,
            rows: made.rows,
            bytes: made.bytes,
            prepare: prepared("many", many_bad_rows::create_table("bench.many")),
            check: many_bad_rows::checksum_query("bench.many"),
            expected: vec![format!("{} {}", made.good(), made.checksum)],
            into: "IGNORE INTO TABLE",
            dialect: many_bad_rows::DIALECT,
            args,
            exit_code: 7,
            rejects: Some((rejects, made.rejects_checksum)),
        })
    }

    /// The reject file has what it must, and is gone then.
    pub(super) fn check_rejects(&self) -> Result<()> {
        let Some((directory, checksum)) = &self.rejects else { return Ok(()) };
        let mut found = None;
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rejected") {
                let bytes = std::fs::read(path)?;
                found = Some(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &bytes));
            }
        }
        ensure!(found == Some(*checksum), "the reject file has other rows than it must");
        Ok(std::fs::remove_dir_all(directory)?)
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn prepared<const N: usize>(table: &str, create: [String; N]) -> Vec<String> {
    std::iter::once(format!("DROP TABLE IF EXISTS bench.{table}")).chain(create).collect()
}
