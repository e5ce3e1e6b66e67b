//! Loads each case into two tables: one by this program's load (`Plan`, `LoadRequest`,
//! `Session::load`), the other by the server's own LOAD DATA INFILE, with a statement written here,
//! from a file of the object's bytes.
//!
//! The rows must be equal to the byte, and the server's `Records:` and `Warnings:` must be ours.
//! The fields that the library's own [`FieldReader`] reads must be what both tables store. Where
//! the program differs from the server by design, one place here has the difference:
//!
//! - [`Reading::of`]: a byte order mark is dropped, while the server reads it into the first field.
//!   Header lines have fields, in whose quotes and separators a line may break, while the server's
//!   IGNORE knows lines only. `auto` settles on one line terminator.
//! - [`Reading::of`] also adds the terminator that the last row lacks, so that an empty last field
//!   is empty as in any other row, while the server takes it for missing.
//! - [`Twins::judge`]: the extra fields of that row therefore make a warning, which the server does
//!   not give.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use fastrand::Rng;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use s3_to_mysql::config::{self, Inputs};
use s3_to_mysql::dialect::{ColumnOrVariable, FormatConfig, LineTerminator, NameConfig};
use s3_to_mysql::file_slice::FileSlice;
use s3_to_mysql::load::LoadOutcome;
use s3_to_mysql::load::Loader;
use s3_to_mysql::load_data::{
    Layout, LoadConfig, LoadRequest, LoadStats, ObjectLayout, Plan, Policy, StagedRows,
};
use s3_to_mysql::mysql::{Connector, Session, Sessions, SqlMode, TableSchema};
use s3_to_mysql::policy::OnDuplicate;
use s3_to_mysql::preflight::preflight;
use s3_to_mysql::settings::{Layer, Scope};
use s3_to_mysql::split::{
    Boundary, CutRow, Field, FieldReader, PartSplitter, RowCutter, RowLocator, RowReader, Scan,
    SplitStep, can_split,
};
use s3_to_mysql::values::{RowRules, ValueCounts};
use tokio_util::sync::CancellationToken;

use super::{CHARSETS, Case, Tally, Verdict, count, play_again, reason};
use crate::support::servers::Schema;

/// Seeds that once found a bug, here or in a deliberate break. Every run begins with them.
const REGRESSION_SEEDS: [u64; 9] = [2, 12, 16, 28, 72, 86, 161, 928, 7_010_213];

/// One case in this many is loaded with row isolation, which costs more.
const ISOLATED_ONE_IN: u32 = 4;

/// Columns that show NULL, the empty string, conversions, truncation and a default that is not
/// NULL. `number` is the case's.
const COLUMNS: &str = "c1 VARBINARY(4096), c2 VARCHAR(2000) CHARACTER SET utf8mb4, c3 INT, \
     c4 VARCHAR(24) CHARACTER SET utf8mb4 NOT NULL DEFAULT 'none', number INT NOT NULL, KEY \
     (number)";

/// Loads `REGRESSION_SEEDS` and `cases` random objects from `seed` on, both ways, in a schema of
/// its own.
pub(crate) async fn compare_rows(schema: &Schema<'_>, cases: u64, seed: u64) -> Result<Tally> {
    let mut twins = Twins::new(schema).await?;
    let mut tally = Tally::default();
    let seeds = (0..cases).map(|number| seed.wrapping_add(number));
    for seed in REGRESSION_SEEDS.into_iter().chain(seeds) {
        let case = Case::random(&mut Rng::with_seed(seed));
        match twins.judge(&case).await.with_context(|| play_again(seed))? {
            Verdict::Agreed { rows } => {
                tally.agreed += 1;
                tally.rows += rows;
            }
            Verdict::Refused(reason) => *tally.refused.entry(reason).or_default() += 1,
            Verdict::Differs(difference) => {
                let (case, difference) = twins.shrink(case, difference).await?;
                return Err(anyhow!("{}: {difference}\n{case:#?}", play_again(seed)));
            }
        }
    }
    // Objects that are prepared for the server prove less, and the regressions alone are mostly
    // those.
    let are_few = tally.agreed <= 2 * REGRESSION_SEEDS.len() as u64;
    anyhow::ensure!(
        are_few || twins.whole > tally.agreed / 2,
        "only {} were read whole: {tally:?}",
        twins.whole
    );
    anyhow::ensure!(
        are_few || twins.split > tally.agreed / 10,
        "only {} were split: {tally:?}",
        twins.split
    );
    Ok(tally)
}

/// Everything that loads a case both ways.
struct Twins {
    sessions: Sessions,
    /// The sessions by character set, as each run has one: on MySQL a session's variables keep the
    /// character set of the previous load even if the next one sets another. A session is replaced
    /// after an error.
    loading: BTreeMap<String, Session>,
    policy: Policy,
    load: LoadConfig,
    target: Arc<TableSchema>,
    /// Loads and reads as root, with the settings of the loading session.
    oracle: Conn,
    /// The file that the server reads.
    path: PathBuf,
    /// The number of the case that was loaded last.
    number: u32,
    /// Objects that agreed and that the server read unchanged.
    whole: u64,
    /// Objects that were loaded in several parts.
    split: u64,
}

/// A stretch of an object that is loaded at once.
struct Stretch {
    from: Boundary,
    to: Boundary,
}

impl Twins {
    async fn new(schema: &Schema<'_>) -> Result<Self> {
        for table in ["ours", "servers"] {
            schema.exec(&format!("CREATE TABLE {table} ({COLUMNS}) ENGINE=InnoDB")).await?;
        }
        let settings = [
            ("DATABASE_URL", schema.url()),
            ("S3_TO_MYSQL_URIS", "s3://nowhere/".to_owned()),
            ("S3_TO_MYSQL_TABLE", "ours".to_owned()),
            ("S3_TO_MYSQL_NO_LEDGER", "true".to_owned()),
            ("S3_TO_MYSQL_ON_BAD_ROW", "accept".to_owned()),
            ("S3_TO_MYSQL_ON_DUPLICATE", "ignore".to_owned()),
        ];
        let resolved = config::resolve(Inputs {
            scope: Scope::Load,
            command_line: Layer::default(),
            environment: settings.map(|(name, value)| (name.into(), value.into())),
            file: None,
            read_file: &|path: &Path| std::fs::read_to_string(path),
        });
        let config = resolved.map_err(|problems| anyhow!("{problems:?}"))?.config;
        let mut connector = Connector::new(&config.target, config.timeouts())?;
        let (ready, _) = preflight(&mut connector, &config.preflight())
            .await
            .map_err(|problems| anyhow!("{problems:?}"))?;
        let mut oracle = schema.conn().await?;
        let sql_mode = SqlMode::of(ready.policy.on_bad_row);
        oracle.query_drop(ready.server.setup(sql_mode, config.timeouts())).await?;
        Ok(Self {
            sessions: connector.pool(&ready.server, sql_mode, CHARSETS),
            loading: BTreeMap::new(),
            policy: ready.policy,
            load: config.load,
            target: ready.schema,
            oracle,
            path: schema.server.files().join(&schema.name),
            number: 0,
            whole: 0,
            split: 0,
        })
    }

    async fn judge(&mut self, case: &Case) -> Result<Verdict> {
        let object = case.object();
        let scan = match case.scan(&object) {
            Ok(scan) => scan,
            Err(malformed) => return Ok(Verdict::Refused(reason(&malformed.kind))),
        };
        self.number += 1;
        let ours = self.load(case, &object, &scan).await?;
        let reading = Reading::of(case, &object, &scan);
        let servers = self.load_by_the_server(case, &object, &reading).await;
        let (ours, servers) = match (ours, servers) {
            (Ok(ours), Ok(servers)) => (ours, servers),
            (ours, servers) => {
                return Ok(Verdict::Differs(format!("ours: {ours:?}\nthe server's: {servers:?}")));
            }
        };
        if servers.records != scan.rows || ours.records != scan.rows {
            let (ours, servers) = (ours.records, servers.records);
            let difference = format!(
                "the server has {servers} records, our load {ours}, the splitter: {scan:?}"
            );
            return Ok(Verdict::Differs(difference));
        }
        if ours.rows != servers.rows {
            return Ok(Verdict::Differs(show_difference(&ours.rows, &servers.rows)));
        }
        if let Some(difference) = values_differ(case, &object, &scan, &ours.rows)? {
            return Ok(Verdict::Differs(difference));
        }
        let extra_fields = u64::from(scan.needs_terminator && reading.terminator.is_empty());
        if ours.warnings != servers.warnings && ours.warnings != servers.warnings + extra_fields {
            let difference =
                format!("{} warnings, the server has {}", ours.warnings, servers.warnings);
            return Ok(Verdict::Differs(difference));
        }
        self.whole += u64::from(reading.is_whole);
        Ok(Verdict::Agreed { rows: scan.rows })
    }

    /// Loads the case by the program, as a run loads a staged object.
    async fn load(
        &mut self,
        case: &Case,
        object: &[u8],
        scan: &Scan,
    ) -> Result<Result<Loaded, String>> {
        let item = |item: &String| match item.strip_prefix('@') {
            Some(variable) => ColumnOrVariable::Variable(variable.to_owned()),
            None => ColumnOrVariable::Column(item.clone()),
        };
        let columns: Vec<ColumnOrVariable> = case.items.iter().map(item).collect();
        let format = FormatConfig {
            dialect: case.dialect.clone(),
            json: None,
            parquet: None,
            charset: case.charset.clone(),
            ignore_lines: case.ignore_lines,
            columns: Some(columns.clone()),
            set: vec![("number".to_owned(), self.number.to_string())],
            null_strings: case.null_string.into_iter().map(str::to_owned).collect(),
            readings: Vec::new(),
            names: NameConfig::default(),
        };
        // Rejecting duplicates means row isolation. The tables have no key, so nothing else
        // changes.
        let is_isolated = self.number.is_multiple_of(ISOLATED_ONE_IN);
        let on_duplicate = if is_isolated { OnDuplicate::Reject } else { OnDuplicate::Ignore };
        let policy = Policy { on_duplicate, ..self.policy };
        // Without rules for values, the server decides about all of them.
        let values = Arc::new(RowRules::new(&columns, &format, false, |_| None));
        let loader = Loader::new(Plan::new(
            self.target.name(),
            Arc::clone(&self.target),
            &format,
            &self.load,
            policy,
        ));
        let statement = loader.plan.statement(&columns);
        let layout: ObjectLayout = Layout::new(columns, values, statement, &format).into();
        let mut session = match self.loading.remove(case.charset.name()) {
            Some(session) => session,
            None => self.sessions.get().await?,
        };
        let (mut records, mut warnings) = (0, 0);
        for part in self.parts(case, object, scan)? {
            let file = tempfile::tempfile()?;
            let bytes =
                &object[usize::try_from(part.from.offset)?..usize::try_from(part.to.offset)?];
            file.write_all_at(bytes, part.from.offset)?;
            let locator = RowLocator::every(
                &case.dialect,
                &case.charset,
                case.items.len(),
                case.ignore_lines,
            );
            let is_last = part.to.offset == object.len() as u64;
            let request = LoadRequest {
                what: "the case".to_owned(),
                sql: layout.statement.sql(&scan.lines_terminated_by),
                layout: layout.clone(),
                staged: StagedRows {
                    file: FileSlice::new(Arc::new(file), 0, part.to.offset),
                    locator: locator.beginning_at(&part.from),
                    from: part.from.offset,
                    data_start: scan.data_start.max(part.from.offset),
                    head_bytes: 0,
                    lines_terminated_by: scan.lines_terminated_by.clone(),
                    needs_terminator: scan.needs_terminator && is_last,
                    last_row: part.to.rows,
                    end: part.to.offset,
                    rewriter: None,
                    meter: None,
                },
                rows: part.to.rows - part.from.rows,
                entry: None,
                name: None,
                part: None,
                digest: None,
                values: ValueCounts::default(),
            };
            let mut stats = LoadStats::default();
            match session
                .load(&request, &loader, &CancellationToken::new(), &mut stats, &mut Vec::new())
                .await
            {
                Ok(LoadOutcome::Committed) => {
                    records += stats.rows_loaded();
                    warnings += stats.loaded.warnings;
                }
                Ok(LoadOutcome::AlreadyLoaded) => {
                    return Err(anyhow!("there is no ledger that could say so"));
                }
                Err(error) => {
                    session.destroy().await;
                    return Ok(Err(error.one_line()));
                }
            }
        }
        self.loading.insert(case.charset.name().to_owned(), session);
        Ok(Ok(Loaded {
            records,
            warnings,
            rows: rows(&mut self.oracle, "ours", self.number).await?,
        }))
    }

    /// Returns the stretches in which the program loads the object: parts of a few bytes in half of
    /// the cases that it can split.
    fn parts(&mut self, case: &Case, object: &[u8], scan: &Scan) -> Result<Vec<Stretch>> {
        let whole = Stretch {
            from: Boundary::default(),
            to: Boundary { offset: object.len() as u64, rows: scan.rows, ..Boundary::default() },
        };
        if !self.number.is_multiple_of(2) || !can_split(&case.dialect, &case.charset) {
            return Ok(vec![whole]);
        }
        let reader =
            RowReader::new(&case.dialect, &case.charset, case.items.len(), case.ignore_lines);
        let size = u64::from(self.number / 2 % 60 + 1);
        let mut splitter = PartSplitter::new(reader, &whole.from, size);
        let mut steps = splitter.feed(Bytes::copy_from_slice(object));
        steps.extend(splitter.finish());
        let mut from = whole.from;
        let mut parts = Vec::new();
        for step in steps {
            match step {
                SplitStep::Boundary(to) | SplitStep::End(to, _) => {
                    parts.push(Stretch { from, to });
                    from = to;
                }
                SplitStep::Bytes(_) => {}
                SplitStep::Broken(malformed) => return Err(anyhow!("{malformed} in parts only")),
            }
        }
        self.split += u64::from(parts.len() > 1);
        Ok(parts)
    }

    async fn load_by_the_server(
        &mut self,
        case: &Case,
        object: &[u8],
        reading: &Reading,
    ) -> Result<Loaded> {
        let mut file = File::create(&self.path)?;
        file.write_all(&object[reading.from..])?;
        file.write_all(&reading.terminator)?;
        let path = self.path.to_str().context("a path in UTF-8")?;
        let source = format!("INFILE '{path}' IGNORE INTO TABLE servers");
        let mut items = case.items.clone();
        let charset = case.charset.name();
        let mut set = vec![format!("number = {}", self.number)];
        if let Some(null_string) = case.null_string {
            for item in items.iter_mut().filter(|item| !item.starts_with('@')) {
                // In hexadecimal, no collation matters.
                set.push(format!(
                    "{item} = CASE HEX(@{charset}_{item}) WHEN HEX('{null_string}') THEN NULL ELSE \
                     @{charset}_{item} END"
                ));
                *item = format!("@{charset}_{item}");
            }
        }
        let statement =
            case.statement(&source, &items, &reading.lines_terminated_by, reading.ignore_lines);
        self.oracle.query_drop("START TRANSACTION").await?;
        let loaded = self.oracle.query_drop(format!("{statement} SET {}", set.join(", "))).await;
        let info = self.oracle.info().into_owned();
        let rows = rows(&mut self.oracle, "servers", self.number).await;
        self.oracle.query_drop("ROLLBACK").await?;
        loaded.context(statement)?;
        Ok(Loaded {
            records: count(&info, "Records: "),
            warnings: count(&info, "Warnings: "),
            rows: rows?,
        })
    }

    /// Removes pieces as long as a difference remains.
    async fn shrink(&mut self, mut case: Case, mut difference: String) -> Result<(Case, String)> {
        let mut at = 0;
        while at < case.pieces.len() {
            let mut smaller = case.clone();
            smaller.pieces.remove(at);
            if let Verdict::Differs(found) = self.judge(&smaller).await? {
                (case, difference) = (smaller, found);
            } else {
                at += 1;
            }
        }
        Ok((case, difference))
    }
}

/// The way in which the server must read an object to read the same as the program.
#[derive(Debug)]
struct Reading {
    /// The offset of the first byte that it gets.
    from: usize,
    ignore_lines: u64,
    lines_terminated_by: Vec<u8>,
    /// The bytes that it gets after the object's last one.
    terminator: Vec<u8>,
    /// True if it gets the object unchanged.
    is_whole: bool,
}

impl Reading {
    fn of(case: &Case, object: &[u8], scan: &Scan) -> Self {
        const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
        let dialect = &case.dialect;
        let has = |bytes: &[u8], byte: Option<u8>| byte.is_some_and(|byte| bytes.contains(&byte));
        let lines_terminated_by = match &dialect.lines_terminated_by {
            LineTerminator::Exact(line) => line.clone(),
            LineTerminator::Detect => {
                let first_line =
                    object.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
                let is_plain = !has(first_line, dialect.fields_enclosed_by)
                    && !has(first_line, dialect.fields_escaped_by);
                match first_line {
                    [.., b'\r', b'\n'] if is_plain => b"\r\n".to_vec(),
                    _ if is_plain => b"\n".to_vec(),
                    // Only the splitter can tell here where the first line ends.
                    _ => scan.lines_terminated_by.clone(),
                }
            }
        };
        let header = &object[..usize::try_from(scan.data_start).unwrap()];
        let field = dialect.fields_terminated_by.as_slice();
        let hides_a_line_break = has(header, dialect.fields_enclosed_by)
            || field.iter().any(|byte| {
                lines_terminated_by.contains(byte) || dialect.fields_escaped_by == Some(*byte)
            }) && header.windows(field.len()).any(|bytes| bytes == field);
        let (from, ignore_lines) = if case.ignore_lines > 0 && hides_a_line_break {
            (header.len(), 0)
        } else if case.ignore_lines == 0
            && case.charset.is_utf8()
            && object.starts_with(BYTE_ORDER_MARK)
        {
            (BYTE_ORDER_MARK.len(), 0)
        } else {
            (0, case.ignore_lines)
        };
        let terminator = if scan.needs_terminator && object.ends_with(field) {
            lines_terminated_by.clone()
        } else {
            Vec::new()
        };
        let is_whole = from == 0 && terminator.is_empty();
        Self { from, ignore_lines, lines_terminated_by, terminator, is_whole }
    }
}

#[derive(Debug)]
struct Loaded {
    records: u64,
    warnings: u64,
    /// The sorted rows.
    rows: Vec<Fields>,
}

/// A row's bytes as they are stored, with numbers in decimal.
type Fields = Vec<Option<Vec<u8>>>;

async fn rows(conn: &mut Conn, table: &str, number: u32) -> Result<Vec<Fields>> {
    let query = format!(
        "SELECT c1, CAST(c2 AS BINARY), c3, CAST(c4 AS BINARY) FROM {table} WHERE number = {number}"
    );
    let rows: Vec<Row> = conn.query(query).await?;
    let field = |value| match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        other => panic!("not text: {other:?}"),
    };
    let mut rows: Vec<Fields> =
        rows.into_iter().map(|row| row.unwrap().into_iter().map(field).collect()).collect();
    rows.sort_unstable();
    Ok(rows)
}

/// Returns the first difference between the fields that the library reads and the stored values of
/// the columns that take any bytes. `stored` has all columns. Returns `None` also if a value does
/// not fit.
fn values_differ(
    case: &Case,
    object: &[u8],
    scan: &Scan,
    stored: &[Fields],
) -> Result<Option<String>> {
    const FITS_BYTES: usize = 2000;
    let mut cutter = RowCutter::new(&case.dialect, &scan.lines_terminated_by, case.items.len());
    let reader = FieldReader::new(&case.dialect, case.items.len());
    // In latin1, `c2` would get other bytes. `c3` and `c4` convert their values.
    let columns = if case.charset.is_utf8() { vec!["c1", "c2"] } else { vec!["c1"] };
    let mut read: Vec<Fields> = Vec::new();
    let mut take = |row: CutRow<'_>| {
        let fields = reader.read(&row);
        let value = |column: &&str| {
            let at = case.items.iter().position(|item| item == column)?;
            match &fields[at] {
                Field::Value(value)
                    if Some(value.as_ref()) == case.null_string.map(str::as_bytes) =>
                {
                    None
                }
                Field::Value(value) => Some(value.to_vec()),
                Field::Null | Field::Missing => None,
            }
        };
        read.push(columns.iter().map(value).collect());
    };
    cutter.feed(&object[usize::try_from(scan.data_start)?..], &mut take)?;
    if scan.needs_terminator {
        cutter.feed(&scan.lines_terminated_by, &mut take)?;
    }
    cutter.finish(&mut take)?;
    if read.iter().flatten().flatten().any(|value| value.len() > FITS_BYTES) {
        return Ok(None);
    }
    let mut stored: Vec<Fields> = stored.iter().map(|row| row[..columns.len()].to_vec()).collect();
    stored.sort_unstable();
    read.sort_unstable();
    Ok((read != stored).then(|| show_difference(&read, &stored)))
}

/// Returns the rows of each side that the other lacks.
fn show_difference(ours: &[Fields], servers: &[Fields]) -> String {
    let only = |left: &[Fields], right: &[Fields]| {
        let mut right = right.to_vec();
        let mut only = Vec::new();
        for row in left {
            match right.iter().position(|other| other == row) {
                Some(at) => drop(right.swap_remove(at)),
                None => only.push(show(row)),
            }
        }
        only.join("\n  ")
    };
    format!("only ours:\n  {}\nonly the server's:\n  {}", only(ours, servers), only(servers, ours))
}

fn show(row: &Fields) -> String {
    let field = |field: &Option<Vec<u8>>| match field {
        None => "NULL".to_owned(),
        Some(bytes) => format!("\"{}\"", bytes.escape_ascii()),
    };
    row.iter().map(field).collect::<Vec<String>>().join(", ")
}
