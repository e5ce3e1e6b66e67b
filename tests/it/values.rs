//! The rules of `s3_to_mysql::values`, compared with the servers, type by type.
//!
//! Values of each type, chosen and generated, are loaded as they are and as the rules would send
//! them, and read back. [`meaning`] says independently what each text means. Then:
//!
//! - An exact value is stored as that, without a warning. So is the text that is sent instead.
//! - The server warns about a bad value or one with a loss, refuses it, or stores something else
//!   than the text means.
//! - The server is never silent about a value that it changes and that was left to it.
//!
//! [`exceptions`] lists what does not hold, with the reasons.
//!
//! ```console
//! $ export S3_TO_MYSQL_TEST_VALUE_CASES=5000 S3_TO_MYSQL_TEST_VALUE_SEED=7
//! $ cargo test --locked --test it -- values::
//! ```

mod exceptions;
mod generate;
mod json;
mod kinds;
mod load;
mod meaning;
mod numbers;
mod others;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use kinds::{Kind, kinds};
use load::{Stored, load};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use s3_to_mysql::dialect::Charset;
use s3_to_mysql::mysql::TableSchema;
use s3_to_mysql::values::{ColumnFacts, ColumnRule, Field, Server, Verdict};

use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::servers::ServerKind;

const CASES: usize = 300;
const SEED: u64 = 20_261_127;
/// More findings of a type are not shown.
const SHOWN: usize = 12;

/// The settings that a load makes.
const SESSION: &str = "SET SESSION sql_mode = \
     'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
     ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', max_error_count = \
     65535, sql_notes = 1, time_zone = '+00:00'";

/// A value, with what the rules make of it.
struct Case {
    text: String,
    verdict: Verdict,
    out: String,
    /// The value as the server reads it back if it stores what the text means.
    meaning: Option<String>,
}

fn number_from_environment(name: &str) -> Result<Option<u64>> {
    let Some(text) = std::env::var_os(name) else { return Ok(None) };
    let text = text.to_str().with_context(|| format!("{name} is not text"))?;
    Ok(Some(text.parse().with_context(|| format!("{name} is not a number"))?))
}

#[apply(load_test)]
async fn every_verdict_is_what_the_server_does(env: TestEnv) -> Result<()> {
    let cases = number_from_environment("S3_TO_MYSQL_TEST_VALUE_CASES")?;
    let cases = cases.map_or(Ok(CASES), usize::try_from)?;
    let seed = number_from_environment("S3_TO_MYSQL_TEST_VALUE_SEED")?.unwrap_or(SEED);
    let server = match env.server.kind() {
        ServerKind::Mysql => Server::MySql,
        ServerKind::Mariadb => Server::MariaDb,
    };
    let mut conn = env.schema.conn().await?;
    conn.query_drop(SESSION).await?;
    let mut findings = Vec::new();
    let (mut loaded, mut excepted) = (0, 0);
    for (number, kind) in kinds().iter().enumerate() {
        let mut rng = Rng::with_seed(seed ^ (number as u64) << 32);
        let table = format!("t{number}");
        conn.query_drop(kind.create(&table)).await?;
        let rule = rule(&env, &table, kind, server).await?;
        let texts = generate::values(kind, cases, &mut rng);
        loaded += texts.len();
        let cases = texts.into_iter().map(|text| case(kind, &rule, text)).collect::<Result<_>>()?;
        let found = compare(&mut conn, &table, kind, cases).await.context(kind.column_type)?;
        let (known, new): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|finding| exceptions::is_listed(kind, server, &finding.text));
        excepted += known.len();
        findings.extend(new.iter().take(SHOWN).map(|finding| finding.line.clone()));
        if new.len() > SHOWN {
            findings.push(format!("{}: {} more", kind.column_type, new.len() - SHOWN));
        }
    }
    println!("{server:?}: seed {seed}: {loaded} values, {excepted} listed exceptions");
    ensure!(
        findings.is_empty(),
        "S3_TO_MYSQL_TEST_VALUE_CASES={cases} S3_TO_MYSQL_TEST_VALUE_SEED={seed}\n{}",
        findings.join("\n")
    );
    Ok(())
}

/// Returns the rule of the table's column `v`, made as for a load.
async fn rule(env: &TestEnv, table: &str, kind: &Kind, server: Server) -> Result<ColumnRule> {
    let mut conn = s3_to_mysql::mysql::Conn::from(env.schema.conn().await?);
    let schema =
        TableSchema::read(&mut conn, &env.schema.name, table).await?.context("no table")?;
    let column = schema.column("v").context("no column")?;
    let facts = ColumnFacts {
        name: &column.name,
        column_type: &column.column_type,
        charset: column.charset.as_deref(),
        collation: column.collation.as_deref(),
        is_nullable: column.is_nullable,
        is_auto_increment: false,
        is_generated: false,
        is_json: kind.is_json,
    };
    Ok(ColumnRule::new(&facts, server, &Charset::new("utf8mb4")?, &kind.readings()?))
}

fn case(kind: &Kind, rule: &ColumnRule, text: String) -> Result<Case> {
    let mut out = Vec::new();
    let verdict = rule.check(Field::Bytes(text.as_bytes()), &mut out);
    let has_out = matches!(verdict, Verdict::ExactAs | Verdict::Loss(_));
    ensure!(has_out || out.is_empty(), "{text:?}: {verdict:?} with {out:?}");
    let meaning = (kind.meaning)(&text, kind);
    Ok(Case { verdict, out: String::from_utf8(out)?, meaning, text })
}

struct Finding {
    text: String,
    line: String,
}

async fn compare(
    conn: &mut Conn,
    table: &str,
    kind: &Kind,
    cases: Vec<Case>,
) -> Result<Vec<Finding>> {
    // As the texts are. What an expression must read is left out, unless it is bad.
    let is_raw = |case: &&Case| kind.assigned.is_none() || matches!(case.verdict, Verdict::Bad(_));
    let raw: Vec<&Case> = cases.iter().filter(is_raw).collect();
    let mut findings = Vec::new();
    // Both servers give up the statement, or lose count of the rows, at a text that is no JSON.
    let (alone, together): (Vec<&Case>, Vec<&Case>) =
        raw.into_iter().partition(|case| kind.is_json && matches!(case.verdict, Verdict::Bad(_)));
    let mut stored = load_all(conn, table, kind, &together).await?;
    stored.extend(load_alone(conn, table, kind, &alone).await);
    for (case, stored) in together.into_iter().chain(alone).zip(stored) {
        let is_as_meant = stored.value.is_some() && stored.value == case.meaning;
        let is_silent = stored.value.is_some() && stored.warnings.is_empty();
        let is_right = match case.verdict {
            Verdict::Exact => is_silent && is_as_meant,
            Verdict::ExactAs => case.meaning.is_some(),
            Verdict::Loss(_) | Verdict::Bad(_) => !(is_silent && is_as_meant),
            Verdict::ServerDecides => !is_silent || is_as_meant || case.meaning.is_none(),
            Verdict::ExactNull => false,
        };
        if !is_right {
            findings.push(finding(kind, case, "as it is", &stored));
        }
    }
    // As the rules send them.
    let is_sent = |case: &&Case| match case.verdict {
        Verdict::ExactAs | Verdict::Loss(_) => true,
        Verdict::Exact => kind.assigned.is_some(),
        _ => false,
    };
    let sent: Vec<&Case> = cases.iter().filter(is_sent).collect();
    let texts: Vec<&str> = sent
        .iter()
        .map(|case| if case.verdict == Verdict::Exact { &case.text } else { &case.out })
        .map(String::as_str)
        .collect();
    let stored = load(conn, table, kind, kind.assigned, &texts).await?;
    for (case, stored) in sent.into_iter().zip(stored) {
        let is_lossy = matches!(case.verdict, Verdict::Loss(_));
        let is_as_meant = stored.value.is_some() && stored.value == case.meaning;
        // What is left of a value with a loss is not what it was, but near it.
        let is_left = is_lossy
            && stored.value.is_some()
            && !is_as_meant
            && (kind.is_near)(case.meaning.as_deref(), stored.value.as_deref());
        let is_right = stored.warnings.is_empty() && if is_lossy { is_left } else { is_as_meant };
        if !is_right {
            findings.push(finding(kind, case, &format!("sent {:?}", case.out), &stored));
        }
    }
    Ok(findings)
}

/// Loads the texts as they are, in one statement if the server takes it.
async fn load_all(
    conn: &mut Conn,
    table: &str,
    kind: &Kind,
    cases: &[&Case],
) -> Result<Vec<Stored>> {
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    match load(conn, table, kind, None, &texts).await {
        // MySQL refuses the statement for one time that an offset moves before the year 0.
        Err(error) if error.is::<mysql_async::Error>() => {
            Ok(load_alone(conn, table, kind, cases).await)
        }
        stored => stored,
    }
}

/// Loads each text in a statement of its own. What the server refuses is not stored.
async fn load_alone(conn: &mut Conn, table: &str, kind: &Kind, cases: &[&Case]) -> Vec<Stored> {
    let mut all = Vec::new();
    for case in cases {
        let stored = load(conn, table, kind, None, &[&case.text]).await.unwrap_or_default();
        all.extend(stored.into_iter().chain([Stored::default()]).take(1));
    }
    all
}

fn finding(kind: &Kind, case: &Case, how: &str, stored: &Stored) -> Finding {
    let line = format!(
        "{} {:?}: {:?}, {how}: stored {:?}, meant {:?}, warnings {:?}",
        kind.column_type, case.text, case.verdict, stored.value, case.meaning, stored.warnings
    );
    Finding { text: case.text.clone(), line }
}
