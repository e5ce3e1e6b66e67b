//! Objects that are not delimited text are refused by name, and text is never taken for them.

use anyhow::{Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::lines::{expect_failure, outcome};
use crate::support::program::{Ended, TestEnv};
use crate::support::values::ensure_values;

async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    env.load_ending(code, "t", &[&["--report", &report], args].concat()).await
}

/// Returns a tar archive of one file, without the checksum of its header.
fn tar(content: &str) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..8].copy_from_slice(b"data.csv");
    header[257..265].copy_from_slice(b"ustar\x0000");
    let mut archive = [&header, content.as_bytes()].concat();
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

/// Returns a zip archive's beginning, with one file that is not compressed.
fn zip(name: &str, content: &str) -> Vec<u8> {
    let mut header = vec![0; 30];
    header[..6].copy_from_slice(b"PK\x03\x04\x0a\0");
    header[26] = name.len() as u8;
    [&header, name.as_bytes(), content.as_bytes()].concat()
}

fn program() -> Vec<u8> {
    let mut head = vec![0; 512];
    head[..2].copy_from_slice(b"MZ");
    head[0x3c..0x3e].copy_from_slice(&[0x80, 0]);
    head[0x80..0x84].copy_from_slice(b"PE\0\0");
    head
}

fn binaries() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let rows = "1,a\n2,b\n";
    vec![
        ("a tar archive", "tar -xOf", tar(rows)),
        ("a zip archive", "unzip -p", zip("data.csv", rows)),
        ("an Office document (xlsx, docx)", "CSV", zip("[Content_Types].xml", "<x/>")),
        ("an Office document (xls, doc)", "CSV", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\n".into()),
        ("a Java archive", "--exclude", zip("META-INF/MANIFEST.MF", "a: b\n")),
        ("a 7z archive", "7z x", b"7z\xbc\xaf\x27\x1c\0\x04\n".into()),
        ("a rar archive", "unrar", b"Rar!\x1a\x07\x01\0\n".into()),
        ("a PDF document", "CSV", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n".into()),
        ("a SQLite database", "sqlite3 -csv", b"SQLite format 3\0\x10\0\n".into()),
        ("an ELF executable", "--exclude", b"\x7fELF\x02\x01\x01\0\n".into()),
        ("a Windows executable", "--exclude", program()),
        ("a macOS executable", "--exclude", b"\xcf\xfa\xed\xfe\x07\0\0\x01\n".into()),
        ("a Java class", "--exclude", b"\xca\xfe\xba\xbe\0\0\0\x34\0\n".into()),
        ("a PNG image", "--exclude", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".into()),
        ("a JPEG image", "--exclude", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01".into()),
        ("a GIF image", "--exclude", b"GIF89a\x01\0\x01\0\x80\0\0\xff".into()),
        ("a WebP image", "--exclude", b"RIFF\x24\0\0\0WEBPVP8L\x17\0".into()),
        ("a TIFF image", "--exclude", b"II*\0\x08\0\0\0\x0f\0".into()),
    ]
}

#[apply(load_test)]
async fn archives_documents_images_and_programs_are_refused_by_name(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id LONGTEXT, v LONGTEXT)").await?;
    let binaries = binaries();
    for (number, (.., bytes)) in binaries.iter().enumerate() {
        env.put(&format!("{number}.csv"), bytes.clone())?;
    }
    // The policies that take whatever they get must not take these.
    let args = ["--preset", "csv-unix", "--charset", "latin1", "--on-bad-row", "accept"];
    for split in [&[][..], &["--part-size", "16"]] {
        load(&env, 3, &[&args[..], split].concat()).await?;
        for (number, (name, remedy, _)) in binaries.iter().enumerate() {
            let key = format!("{number}.csv");
            expect_failure(&env, "report", &key, "unsupported_format")?;
            let error = &outcome(&env, "report", &key)?["error"];
            let says = format!("s3://etl/{key}: this is {name}, not delimited text");
            ensure!(
                error["message"].as_str().is_some_and(|said| said.starts_with(&says)),
                "{error}"
            );
            ensure!(error["hint"].as_str().is_some_and(|hint| hint.contains(remedy)), "{error}");
        }
    }
    ensure!(env.count("t").await? == 0);
    let report = env.path("report").display().to_string();
    let check = ["check", "s3://etl/", "--table", "t", "--report", &report, "--sample", "1"];
    let ended = env.run(&[&check[..], &args[..4]].concat()).await?;
    ended.expect(3)?;
    ensure!(ended.summary("would fail")? == binaries.len().to_string(), "{ended}");
    Ok(())
}

/// Archives as the usual programs write them.
#[apply(load_test)]
async fn archives_of_tar_and_zip_are_refused(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, v LONGTEXT)").await?;
    std::fs::write(env.path("data.csv"), "1,a\n2,b\n")?;
    let shell = "tar -cf a.tar data.csv && zip -q a.zip data.csv";
    let packed = tokio::process::Command::new("sh")
        .args(["-c", shell])
        .current_dir(env.dir.path())
        .status()
        .await?;
    ensure!(packed.success(), "{shell} failed");
    for name in ["a.tar", "a.zip"] {
        env.put(name, std::fs::read(env.path(name))?)?;
    }
    let args = ["--preset", "csv", "--on-bad-row", "accept"];
    let ended = load(&env, 3, &args).await?;
    ended.says("s3://etl/a.tar: this is a tar archive, not delimited text")?;
    ended.says("s3://etl/a.zip: this is a zip archive, not delimited text")?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn text_that_begins_like_a_picture_or_an_archive_is_loaded(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id VARCHAR(400), v VARCHAR(40))").await?;
    let long = format!("{}ustar", "x".repeat(257));
    let texts = [
        "PK",
        "MZ",
        "BM",
        "GIF89a",
        "GIF87a",
        "RIFF",
        "II*",
        "MM",
        "%PDF-1.4",
        "Rar!",
        "7z",
        "SQLite format 3",
        "ustar",
        "ELF",
        &long,
    ];
    for (number, text) in texts.iter().enumerate() {
        env.put(&format!("{number:02}"), format!("{text},WEBPVP8 PE 1\n{text},2\n"))?;
    }
    load(&env, 0, &["--preset", "csv"]).await?;
    let mut expected: Vec<&str> = texts.to_vec();
    expected.sort_unstable();
    let sql = "SELECT CAST(id AS BINARY) FROM t GROUP BY id HAVING COUNT(*) = 2 ORDER BY 1";
    ensure_values(&env.schema, sql, &expected).await
}

fn json_lines(rows: u32) -> String {
    (1..=rows).map(|id| format!("{{\"id\": {id}, \"v\": \"a,b\"}}\n")).collect()
}

#[apply(load_test)]
async fn json_lines_are_refused_where_rows_have_fields(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id LONGTEXT, v LONGTEXT)").await?;
    env.put("one row", "{\"id\": 1}")?;
    env.put("arrays", "\u{feff}[1, \"a\"]\r\n[2, \"b\"]\r\n")?;
    env.put("large", json_lines(5000))?;
    let says = "this looks like JSON Lines, not delimited text";
    for preset in ["csv", "tsv", "mysql", "hive-raw"] {
        for split in [&[][..], &["--part-size", "8KiB"]] {
            let args = ["--preset", preset, "--on-bad-row", "accept"];
            let ended = load(&env, 3, &[&args[..], split].concat()).await?;
            for key in ["one row", "arrays", "large"] {
                expect_failure(&env, "report", key, "unsupported_format")?;
                ended.says(&format!("s3://etl/{key}"))?;
            }
            // With parts, the large one is told by itself, with the number of its parts.
            let alike = if split.is_empty() { 3 } else { 2 };
            ended.says(&format!("failed: {alike} objects: {says}\n"))?;
            env.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
        }
        let check = ["check", "s3://etl/", "--table", "t", "--preset", preset, "--sample", "2"];
        let ended = env.run(&check).await?;
        ended.expect(3)?;
        ended.says("  s3://etl/large\n")?;
        ended.says(&format!("failed: 3 objects: {says}\n"))?;
    }
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn json_in_fields_and_json_lines_by_name_are_loaded(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id LONGTEXT, v LONGTEXT)").await?;
    // Every row begins like JSON, and none is JSON.
    env.put("fields", "{\"a\":1}\t5\n[2]\t6\n")?;
    // The rows are JSON until the last one.
    env.put("last", "[1]\n[2]\n[3]\t4\n")?;
    load(&env, 3, &[]).await?;
    expect_failure(&env, "report", "last", "bad_rows")?;
    ensure_values(&env.schema, "SELECT id, v FROM t", &["{\\\"a\\\":1}|5", "[2]|6"]).await?;

    // The way that the hint names.
    for key in ["fields", "last"] {
        env.s3.backend().remove("etl", key);
    }
    env.start_afresh("t").await?;
    env.put("lines", json_lines(2))?;
    load(&env, 0, &["--format", "jsonl"]).await?;
    ensure_values(&env.schema, "SELECT id, v FROM t ORDER BY id", &["1|a,b", "2|a,b"]).await
}

/// Returns the text in UTF-16.
fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[apply(load_test)]
async fn other_formats_are_named_where_json_is_expected_too(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id LONGTEXT, v LONGTEXT)").await?;
    let rows = json_lines(3);
    let mut objects = binaries();
    let parquet = [&b"PAR1\x15\x04"[..], rows.as_bytes(), b"PAR1"].concat();
    objects.push(("Parquet data", "--format parquet", parquet));
    objects.push(("text in UTF-16", "iconv", utf16(&format!("\u{feff}{rows}"), u16::to_le_bytes)));
    objects.push(("text in UTF-16", "iconv", utf16(&format!("\u{feff}{rows}"), u16::to_be_bytes)));
    objects.push(("text in UTF-16", "UTF-16LE", utf16(&rows, u16::to_le_bytes)));
    objects.push(("text in UTF-16", "UTF-16BE", utf16(&rows, u16::to_be_bytes)));
    for (number, (.., bytes)) in objects.iter().enumerate() {
        env.put(&number.to_string(), bytes.clone())?;
        let packed = zstd::stream::encode_all(&bytes[..], 1)?;
        env.put(&format!("{number} packed"), packed)?;
    }
    for format in [&["--format", "json"][..], &["--format", "jsonl"], &["--preset", "csv"]] {
        for split in [&[][..], &["--part-size", "16"]] {
            load(&env, 3, &[format, split].concat()).await?;
            for (number, (name, remedy, _)) in objects.iter().enumerate() {
                for key in [number.to_string(), format!("{number} packed")] {
                    expect_failure(&env, "report", &key, "unsupported_format")?;
                    let error = &outcome(&env, "report", &key)?["error"];
                    let (message, hint) = (error["message"].to_string(), error["hint"].to_string());
                    let says = format!("s3://etl/{key}: this is {name}, ");
                    ensure!(message.contains(&says) && hint.contains(remedy), "{format:?} {error}");
                }
            }
            env.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
        }
    }
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn a_plan_names_objects_whose_names_are_those_of_other_formats(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (s TEXT)").await?;
    for key in ["a.csv", "b.csv.gz", "c.parquet", "d.PARQUET", "e.zip", "f"] {
        env.put(key, "x\n")?;
    }
    let planned = env.run(&["plan", "s3://etl/", "--table", "t"]).await?;
    planned.expect(0)?;
    planned.says(
        "6 objects, 12 bytes (12 B)\n\
         2 objects: the name ends in .parquet, but a load reads text (delimited) and fails objects \
         that are not; --exclude '*.parquet' leaves them out\n\
         1 object: the name ends in .zip, but ",
    )?;
    ensure!(!planned.stdout.contains(".gz, but"), "{planned}");
    Ok(())
}
