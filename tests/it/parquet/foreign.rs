//! Files that other programs wrote: those of apache/parquet-testing.
//!
//! They are not part of the project. `S3_TO_MYSQL_TEST_FOREIGN` names the folder that has
//! `parquet-testing`; without it, nothing runs. Where `S3_TO_MYSQL_TEST_PYTHON` names a Python with
//! pyarrow (see [`super::oracle`]), the values are compared with what pyarrow reads.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use mysql_async::{Row, Value};
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::oracle::{python, script};
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;

/// Files that must fail, each with what is said of it.
const BAD: &[(&str, &str)] = &[
    ("data/datapage_v1-corrupt-checksum.parquet", "row group 0"),
    ("data/rle-dict-uncompressed-corrupt-checksum.parquet", "row group 0"),
    ("data/encrypt_columns_and_footer.parquet.encrypted", "its footer is encrypted"),
    ("data/encrypt_columns_plaintext_footer.parquet.encrypted", ""),
    ("bad_data/PARQUET-1481.parquet", ""),
    ("bad_data/ARROW-RS-GH-6229-DICTHEADER.parquet", ""),
    ("bad_data/ARROW-RS-GH-6229-LEVELS.parquet", ""),
    ("bad_data/ARROW-GH-41317.parquet", ""),
    ("bad_data/ARROW-GH-41321.parquet", ""),
    ("bad_data/ARROW-GH-47662.parquet", ""),
];

/// Flat files, and of how many rows.
const GOOD: &[(&str, u64)] = &[
    ("alltypes_dictionary.parquet", 2),
    ("alltypes_plain.parquet", 8),
    ("alltypes_plain.snappy.parquet", 2),
    ("alltypes_tiny_pages.parquet", 7300),
    ("alltypes_tiny_pages_plain.parquet", 7300),
    ("binary.parquet", 12),
    ("byte_array_decimal.parquet", 24),
    ("byte_stream_split.zstd.parquet", 300),
    ("byte_stream_split_extended.gzip.parquet", 200),
    ("concatenated_gzip_members.parquet", 513),
    ("data_index_bloom_encoding_stats.parquet", 14),
    ("datapage_v1-snappy-compressed-checksum.parquet", 5120),
    ("datapage_v1-uncompressed-checksum.parquet", 5120),
    ("datapage_v2_empty_datapage.snappy.parquet", 1),
    ("delta_binary_packed.parquet", 200),
    ("delta_byte_array.parquet", 1000),
    ("delta_encoding_optional_column.parquet", 100),
    ("delta_encoding_required_column.parquet", 100),
    ("delta_length_byte_array.parquet", 1000),
    ("fixed_length_byte_array.parquet", 1000),
    ("fixed_length_decimal.parquet", 24),
    ("fixed_length_decimal_legacy.parquet", 24),
    ("float16_nonzeros_and_nans.parquet", 8),
    ("hadoop_lz4_compressed.parquet", 4),
    ("hadoop_lz4_compressed_larger.parquet", 10_000),
    ("int32_decimal.parquet", 24),
    ("int32_with_null_pages.parquet", 1000),
    ("int64_decimal.parquet", 24),
    ("int96_from_spark.parquet", 6),
    ("lz4_raw_compressed.parquet", 4),
    ("lz4_raw_compressed_larger.parquet", 10_000),
    ("nation.dict-malformed.parquet", 25),
    ("non_hadoop_lz4_compressed.parquet", 4),
    ("overflow_i16_page_cnt.parquet", 40_000),
    ("page_v2_empty_compressed.parquet", 10),
    ("plain-dict-uncompressed-checksum.parquet", 1000),
    ("rle-dict-snappy-checksum.parquet", 1000),
    ("rle_boolean_encoding.parquet", 68),
    ("sort_columns.parquet", 6),
];

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("S3_TO_MYSQL_TEST_FOREIGN");
    if folder.is_none() {
        println!("S3_TO_MYSQL_TEST_FOREIGN is not set: no files of other programs are loaded");
    }
    folder.map(|folder| Path::new(&folder).join("parquet-testing"))
}

/// Creates a table of texts, or of bytes, for the columns of a file.
async fn create(env: &TestEnv, path: &Path) -> Result<()> {
    let reader = SerializedFileReader::new(std::fs::File::open(path)?)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let columns: Vec<String> = schema
        .columns()
        .iter()
        .map(|column| {
            let is_bytes = column.logical_type_ref().is_none()
                && column.converted_type() == parquet::basic::ConvertedType::NONE
                && matches!(
                    column.physical_type(),
                    parquet::basic::Type::BYTE_ARRAY | parquet::basic::Type::FIXED_LEN_BYTE_ARRAY
                );
            let sql_type = if is_bytes { "BLOB" } else { "TEXT CHARACTER SET utf8mb4" };
            format!("`{}` {sql_type}", column.name())
        })
        .collect();
    env.schema.exec("DROP TABLE IF EXISTS t").await?;
    env.schema.exec(&format!("CREATE TABLE t ({})", columns.join(", "))).await
}

async fn load(env: &TestEnv, path: &Path) -> Result<crate::support::program::Ended> {
    env.put("a", std::fs::read(path)?)?;
    env.load("t", &["--format", "parquet", "--no-ledger"]).await
}

#[apply(load_test)]
async fn files_of_other_programs_have_the_rows_that_other_readers_find(env: TestEnv) -> Result<()> {
    let Some(folder) = folder() else { return Ok(()) };
    let python = python();
    for (name, rows) in GOOD {
        let path = folder.join("data").join(name);
        create(&env, &path).await?;
        load(&env, &path).await?.expect(0).context(*name)?;
        let found = env.count("t").await?;
        ensure!(found == *rows, "{name}: {found} rows");
        if let Some(python) = &python {
            compare(&env, python, &path).await.context(*name)?;
        }
    }
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn bad_files_of_other_programs_fail_with_a_reason(env: TestEnv) -> Result<()> {
    let Some(folder) = folder() else { return Ok(()) };
    for (name, why) in BAD {
        let path = folder.join(name);
        env.schema.exec("DROP TABLE IF EXISTS t").await?;
        if create(&env, &path).await.is_err() {
            env.schema.exec("CREATE TABLE t (a TEXT)").await?;
        }
        let ended = load(&env, &path).await?;
        ended.expect(3).context(*name)?;
        ended.says(why).context(*name)?;
        ensure!(!ended.stderr.contains("panicked"), "{name}: {}", ended.stderr);
        ensure!(env.count("t").await? == 0, "{name}");
    }
    env.ensure_nothing_staged()
}

/// Compares the table with what pyarrow reads. Numbers may be written in several ways.
async fn compare(env: &TestEnv, python: &str, path: &Path) -> Result<()> {
    let mut expected: Vec<Vec<Option<String>>> = Vec::new();
    for line in script(python, &["read", &path.display().to_string()], "")?.lines() {
        expected.push(serde_json::from_str(line)?);
    }
    let rows: Vec<Row> = env.schema.query("SELECT * FROM t").await?;
    let found = rows.into_iter().map(|row| {
        let columns = row.columns();
        let is_bytes = |index: usize| columns[index].character_set() == 63;
        let values = row.clone().unwrap().into_iter().enumerate();
        let shown = values.map(|(index, value)| match value {
            Value::Bytes(bytes) if is_bytes(index) => {
                Some(bytes.iter().map(|byte| format!("{byte:02X}")).collect())
            }
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            _ => None,
        });
        shown.collect::<Vec<Option<String>>>()
    });
    let mut found: Vec<Vec<Option<String>>> = found.collect();
    for row in found.iter_mut().chain(&mut expected) {
        row.iter_mut().flatten().for_each(normalize);
    }
    found.sort();
    expected.sort();
    for (found, expected) in found.iter().zip(&expected) {
        ensure!(found == expected, "found    {found:?}\nexpected {expected:?}");
    }
    ensure!(found.len() == expected.len());
    Ok(())
}

/// Makes all texts of one number or one instant equal.
fn normalize(text: &mut String) {
    match text.as_str() {
        "true" => "1".clone_into(text),
        "false" => "0".clone_into(text),
        _ => {}
    }
    if text.ends_with('Z') && text.starts_with(|first: char| first.is_ascii_digit()) {
        text.pop();
    }
    let is_float = text.contains(['.', 'e', 'N', 'i']) && !text.contains([':', '-']);
    let is_float = is_float || text.starts_with('-');
    if let Some(number) = text.parse::<f64>().ok().filter(|_| is_float) {
        // pyarrow shows a FLOAT as the DOUBLE that it is.
        #[expect(clippy::cast_possible_truncation, reason = "both sides are cut alike")]
        let narrow = number as f32;
        *text = format!("{narrow:?}");
    }
}
