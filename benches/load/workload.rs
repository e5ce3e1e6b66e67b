//! The data to load, and the checks that it was loaded.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use test_tools::hive;

use super::contender::{Folder, Rows};
use super::{many_bad_rows, tpch};

#[derive(Clone, Copy)]
pub(crate) enum Data {
    /// Hive's files, with `rows` rows each.
    Hive { files: u64, rows: u64 },
    /// The same, into a table with three secondary indexes.
    Indexed { files: u64, rows: u64 },
    /// All rows in one object. The floor loads them from 16 files.
    Large { rows: u64 },
    /// TPC-H's lineitem as CSV.
    Tpch { files: u64, scale: f64 },
    /// The same in several forms, each in a folder of its own. The floor has the plain files.
    TpchIn { files: u64, scale: f64, folders: &'static [Folder] },
    /// Hive's files in several forms, likewise.
    HiveIn { files: u64, rows: u64, folders: &'static [Folder] },
    /// One object of `rows` rows, of which `bad` are bad or duplicates.
    BadRows { rows: u64, bad: u64 },
}

const FLOOR_FILES: u64 = 16;
const HIVE_TABLE: &str = "bi_supplier_spu_month_detail";
const HIVE_DIALECT: &str =
    "CHARACTER SET utf8mb4 FIELDS TERMINATED BY X'01' ESCAPED BY X'5C' LINES TERMINATED BY X'0A'";

/// The data that the server itself, the program and the tools load.
pub(crate) struct Workload {
    /// The bucket's folder. The objects are below `seed/`.
    pub(crate) folder: PathBuf,
    /// The files that the server itself reads.
    pub(crate) floor_files: Vec<PathBuf>,
    pub(crate) table: &'static str,
    pub(crate) files: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// The statements that create or reset the table.
    pub(crate) prepare: Vec<String>,
    /// A query. It must return the rows in `expected`, with values separated by spaces.
    pub(crate) check: String,
    pub(crate) expected: Vec<String>,
    /// The clause between LOAD DATA INFILE and the table's name.
    pub(crate) into: &'static str,
    /// The clauses after the table's name.
    pub(crate) dialect: &'static str,
    /// The same as arguments of the program.
    pub(crate) args: Vec<String>,
    /// The same as arguments of `mariadb-import`.
    pub(crate) import_args: &'static [&'static str],
    pub(crate) exit_code: i32,
    /// The reject directory, and the CRC32 of the file of rejected rows, if the workload has bad
    /// rows.
    pub(crate) rejects: Option<(PathBuf, u64)>,
}

impl Workload {
    /// Writes the files below `folder`.
    pub(crate) fn write(data: Data, folder: &Path) -> Result<Self> {
        let bucket = folder.join("bucket");
        let seed = bucket.join("seed");
        std::fs::create_dir_all(&seed)?;
        let mut workload = match data {
            Data::Hive { files, rows } => Self::hive(files, rows, &seed, "")?,
            Data::Indexed { files, rows } => {
                let indexes = "ADD INDEX by_spu (spu_id), \
                               ADD INDEX by_supplier (supplier_id, month), \
                               ADD INDEX by_category (category, updated_at)";
                Self::hive(files, rows, &seed, indexes)?
            }
            Data::Large { rows } => {
                let floor = folder.join("floor");
                let workload = Self::hive(FLOOR_FILES, rows / FLOOR_FILES, &floor, "")?;
                let mut object = File::create(seed.join("object"))?;
                for file in files_below(&floor)? {
                    std::io::copy(&mut File::open(file)?, &mut object)?;
                }
                Self { files: 1, floor_files: files_below(&floor)?, ..workload }
            }
            Data::Tpch { files, scale } => Self::tpch(files, scale, &seed, None)?,
            Data::TpchIn { files, scale, folders } => {
                let (floor, json) = (folder.join("floor"), folder.join("json"));
                std::fs::create_dir_all(&floor)?;
                std::fs::create_dir_all(&json)?;
                let workload = Self::tpch(files, scale, &floor, Some(&json))?;
                for form in folders {
                    let is_json = form.rows == Rows::JsonLines;
                    let plain = if is_json { &json } else { &floor };
                    pack(plain, &seed.join(form.name), form.packed_by)?;
                }
                Self { floor_files: files_below(&floor)?, ..workload }
            }
            Data::HiveIn { files, rows, folders } => {
                let floor = folder.join("floor");
                let workload = Self::hive(files, rows, &floor, "")?;
                for form in folders {
                    pack(&floor, &seed.join(form.name), form.packed_by)?;
                }
                Self { floor_files: files_below(&floor)?, ..workload }
            }
            Data::BadRows { rows, bad } => Self::bad_rows(rows, bad, &seed)?,
        };
        if workload.floor_files.is_empty() {
            workload.floor_files = files_below(&seed)?;
        }
        workload.folder = bucket;
        Ok(workload)
    }

    fn hive(files: u64, rows: u64, folder: &Path, indexes: &str) -> Result<Self> {
        let sums = hive::write_files(folder, files, rows)?;
        let mut create = vec![hive::create_table(&format!("bench.{HIVE_TABLE}"))];
        if !indexes.is_empty() {
            create.push(format!("ALTER TABLE bench.{HIVE_TABLE} {indexes}"));
        }
        Ok(Self {
            folder: PathBuf::new(),
            floor_files: Vec::new(),
            table: HIVE_TABLE,
            files,
            rows: sums.rows,
            bytes: sums.bytes,
            prepare: prepared(HIVE_TABLE, create),
            check: hive::checksum_query(&format!("bench.{HIVE_TABLE}")),
            expected: vec![format!("{} {}", sums.rows, sums.checksum)],
            into: "INTO TABLE",
            dialect: HIVE_DIALECT,
            args: words(&["--preset", "hive"]),
            import_args: &[
                "--fields-terminated-by=0x01",
                "--fields-escaped-by=0x5C",
                "--lines-terminated-by=0x0A",
            ],
            exit_code: 0,
            rejects: None,
        })
    }

    /// Writes CSV, and JSON Lines beside it if there is a folder for them.
    fn tpch(files: u64, scale: f64, folder: &Path, json: Option<&Path>) -> Result<Self> {
        let parts = i32::try_from(files)?;
        let generator = tpch::Generator::new(scale, parts);
        let (mut sums, mut bytes) = (tpch::Sums::default(), 0);
        for part in 1..=parts {
            let path = folder.join(format!("lineitem-{part:02}"));
            let mut out = BufWriter::new(File::create(&path)?);
            let json = json.map(|json| json.join(format!("lineitem-{part:02}")));
            match json.map(File::create).transpose()?.map(BufWriter::new) {
                None => generator.write(part, &mut sums, &mut [(tpch::Form::Csv, &mut out)])?,
                Some(mut json) => {
                    let outs: &mut [(_, &mut dyn Write)] =
                        &mut [(tpch::Form::Csv, &mut out), (tpch::Form::JsonLines, &mut json)];
                    generator.write(part, &mut sums, outs)?;
                    json.flush()?;
                }
            }
            out.flush()?;
            bytes += path.metadata()?.len();
        }
        Ok(Self {
            folder: PathBuf::new(),
            floor_files: Vec::new(),
            table: "lineitem",
            files,
            rows: sums.rows,
            bytes,
            prepare: prepared("lineitem", vec![tpch::create_table("bench.lineitem")]),
            check: tpch::sums_query("bench.lineitem"),
            expected: sums.lines(),
            into: "INTO TABLE",
            dialect: "CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' \
                      OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' \
                      LINES TERMINATED BY X'0A' IGNORE 1 LINES",
            args: words(&["--preset", "csv", "--ignore-lines", "1"]),
            import_args: &[
                "--fields-terminated-by=,",
                "--fields-optionally-enclosed-by=\"",
                "--fields-escaped-by=",
                "--lines-terminated-by=0x0A",
                "--ignore-lines=1",
            ],
            exit_code: 0,
            rejects: None,
        })
    }

    fn bad_rows(rows: u64, bad: u64, folder: &Path) -> Result<Self> {
        let mut out = BufWriter::new(File::create(folder.join("object"))?);
        let made = many_bad_rows::ManyBadRows::write(rows, bad, &mut out)?;
        out.flush()?;
        let rejects =
            std::env::temp_dir().join(format!("s3-to-mysql-bench-rejects-{}", std::process::id()));
        let mut args = words(&many_bad_rows::ARGS);
        args.extend(words(&["--on-bad-row", "reject", "--on-duplicate", "reject", "--rejects"]));
        args.push(rejects.display().to_string());
        Ok(Self {
            folder: PathBuf::new(),
            floor_files: Vec::new(),
            table: "many",
            files: 1,
            rows: made.rows,
            bytes: made.bytes,
            prepare: prepared("many", many_bad_rows::create_table("bench.many").to_vec()),
            check: many_bad_rows::checksum_query("bench.many"),
            expected: vec![format!("{} {}", made.good(), made.checksum)],
            into: "IGNORE INTO TABLE",
            dialect: many_bad_rows::DIALECT,
            args,
            import_args: &[],
            exit_code: 7,
            rejects: Some((rejects, made.rejects_checksum)),
        })
    }

    /// Checks the reject file against its checksum, and deletes it.
    pub(crate) fn check_rejects(&self) -> Result<()> {
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

/// Packs each file below a folder into a file of the same name below another one.
fn pack(from: &Path, to: &Path, command: &[&str]) -> Result<()> {
    for file in files_below(from)? {
        let packed = to.join(file.strip_prefix(from)?);
        std::fs::create_dir_all(packed.parent().context("no folder")?)?;
        let Some((program, args)) = command.split_first() else {
            std::fs::hard_link(&file, &packed)?;
            continue;
        };
        let status = Command::new(program)
            .args(args)
            .stdin(File::open(&file)?)
            .stdout(File::create(&packed)?)
            .status()
            .with_context(|| format!("{program} cannot be run"))?;
        ensure!(status.success(), "{command:?}: {status}");
    }
    Ok(())
}

/// Returns the files below a folder in order, without the markers.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if path.file_name().is_some_and(|name| name != "_SUCCESS") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn prepared(table: &str, create: Vec<String>) -> Vec<String> {
    std::iter::once(format!("DROP TABLE IF EXISTS bench.{table}")).chain(create).collect()
}
