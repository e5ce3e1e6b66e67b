//! Nothing that is data, or one expression, becomes a statement.

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};
use s3_to_mysql::dialect::check_expression;

use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;

/// The number of texts that the servers get to read, with each `sql_mode`.
const EXPRESSIONS: usize = 6_000;

/// The pieces of which texts are made, each of which begins, ends or hides something.
const PIECES: &[&str] = &[
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\\\",
    ";",
    ",",
    "(",
    ")",
    "1",
    "a",
    " ",
    "\n",
    "--",
    "-- ",
    "#",
    "/*",
    "*/",
    "/*!",
    "$$",
    "$a$",
    "{",
    "}",
    "@a",
    ":=",
    "?",
    "é",
    "\u{a0}",
    "x'",
    "_utf8mb4'",
    "; SELECT 'escaped'",
    ", 'escaped'",
    ") FROM (SELECT 1) AS t -- ",
    "'ab'",
    "`a`",
    "+",
    "||",
];

async fn create(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b VARCHAR(200)) ENGINE=InnoDB").await?;
    env.schema.exec("CREATE TABLE victim (n INT) ENGINE=InnoDB").await
}

#[apply(load_test)]
async fn an_assignment_that_would_end_the_statement_is_a_usage_error(env: TestEnv) -> Result<()> {
    create(&env).await?;
    env.put("a", "1\n")?;
    for (set, found) in [
        ("b=1; DROP TABLE victim", "character 4 (';'): it would end the statement"),
        ("b=1); DROP TABLE victim; SELECT (1", "character 4 (')'): this parenthesis"),
        ("b=1, a=2", "character 4 (','): the expression would start another assignment"),
        ("b='\\'; DROP TABLE victim; -- '", "character 4 ('\\\\'): whether a quote"),
        ("b=$$'$$; DROP TABLE victim; -- '", "character 3 ('$')"),
        ("b=1 /*! ; DROP TABLE victim */", "character 5 ('/'): a comment"),
        ("b=1 -- ", "character 5 ('-'): a comment"),
    ] {
        for command in ["plan", "load", "check"] {
            let args = [command, "s3://etl/", "--table", "t", "--columns", "a", "--set", set];
            let ended = env.run(&args).await?;
            ended.expect(2)?;
            ended.says(found).context(set)?;
        }
    }
    // Outside of the expression's parentheses, these words would belong to the statement.
    for set in ["b=1 ALGORITHM = BULK", "b=1 PARALLEL = 2"] {
        let args = ["plan", "s3://etl/", "--table", "t", "--columns", "a", "--set", set];
        let ended = env.run(&args).await?;
        ended.expect(6)?;
        ended.says("1064").context(set)?;
    }
    ensure!(env.count("victim").await? == 0, "the other table has gone");
    Ok(())
}

#[apply(load_test)]
async fn an_assignment_has_any_one_expression(env: TestEnv) -> Result<()> {
    create(&env).await?;
    env.put("a", "7\n")?;
    for (set, stored) in [
        ("b=CONCAT(@x, '; it''s', \"#\", ',')", "7; it's#,"),
        ("b=(SELECT COUNT(*) FROM victim)", "0"),
        ("b=DEFAULT", "NULL"),
        ("b=5--3", "8"),
        ("b=CASE WHEN @x = 7 THEN\n 'seven' ELSE REPLACE(@x, '\\\\', '/') END", "seven"),
    ] {
        env.schema.exec("TRUNCATE TABLE t").await?;
        env.load_ending(0, "t", &["--columns", "@x", "--set", set, "--no-ledger"])
            .await
            .context(set)?;
        let found: String = env.schema.query_one("SELECT COALESCE(b, 'NULL') FROM t").await?;
        ensure!(found == stored, "{set}: {found}");
    }
    Ok(())
}

#[apply(load_test)]
async fn an_accepted_expression_is_one_value_under_every_sql_mode(env: TestEnv) -> Result<()> {
    let mut conn = env.schema.conn().await?;
    let mut random = fastrand::Rng::with_seed(20_261_127);
    let (mut accepted, mut valued) = (0, 0);
    while accepted < EXPRESSIONS {
        let length = random.usize(1..9);
        let text: String = (0..length).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
        if check_expression(&text).is_err() {
            continue;
        }
        accepted += 1;
        for mode in ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"]
        {
            conn.query_drop(format!("SET sql_mode = '{mode}'")).await?;
            match values(&mut conn, &format!("SELECT ({text}), 'end'")).await? {
                None => {}
                Some(2) => valued += 1,
                Some(other) => anyhow::bail!("{text:?} under {mode:?} has {other} values"),
            }
        }
    }
    // What escapes has another number of values.
    for text in ["1); SELECT (2", "1, 2", "1), (2", "1 -- )"] {
        let found = values(&mut conn, &format!("SELECT ({text}), 'end'")).await?;
        ensure!(found != Some(2), "{text:?} goes unnoticed");
    }
    conn.disconnect().await?;
    ensure!(valued > EXPRESSIONS, "only {valued} of the texts have a value");
    Ok(())
}

/// Returns the number of values in all rows of all answers, or `None` if the server refuses one of
/// the statements.
async fn values(conn: &mut Conn, sql: &str) -> Result<Option<usize>> {
    let mut results = match conn.query_iter(sql).await {
        Ok(results) => results,
        Err(mysql_async::Error::Server(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut count = 0;
    loop {
        match results.collect::<Row>().await {
            Ok(rows) => count += rows.iter().map(Row::len).sum::<usize>(),
            // The first statement was right, and what follows it was not.
            Err(mysql_async::Error::Server(_)) => return Ok(Some(count + 100)),
            Err(error) => return Err(error.into()),
        }
        if results.is_empty() {
            return Ok(Some(count));
        }
    }
}

#[apply(load_test)]
async fn a_check_runs_nothing_that_stands_in_the_names_of_columns(env: TestEnv) -> Result<()> {
    create(&env).await?;
    let statement = " int); DROP TABLE victim; #";
    env.schema
        .exec(&format!(
            "CREATE TABLE named (`{statement}` INT NOT NULL, `a,\nz` INT, \
             PRIMARY KEY (`{statement}`)) ENGINE=InnoDB"
        ))
        .await?;
    env.put("a", "1\t2\n")?;
    let ended = env.run(&["check", "s3://etl/", "--table", "named"]).await?;
    ensure!(env.count("victim").await? == 0, "a name was run as a statement\n{ended}");
    ended.expect(0)
}
