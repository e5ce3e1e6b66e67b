//! The output on a terminal, and the output that a script reads instead.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, finish};
use crate::support::terminal::TerminalScreen;

/// Returns how the program ended on a terminal, and what it showed there.
async fn shown(
    env: &TestEnv,
    code: i32,
    columns: u16,
    variables: &[(&str, &str)],
    args: &str,
) -> Result<String> {
    let mut command = env.on_terminal(columns, args);
    let ended = finish(command.envs(variables.iter().copied()).spawn()?).await?;
    ended.expect(code)?;
    Ok(ended.stdout.replace("\r\n", "\n"))
}

fn without_color(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |plain, piece| plain + piece.split_once('m').map_or("", |(_, rest)| rest))
}

/// Returns the rows of the table: each label and what follows it.
fn rows(screen: &str) -> Vec<(&str, Vec<&str>)> {
    screen
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once("  "))
        .map(|(label, rest)| (label, rest.split_whitespace().collect()))
        .collect()
}

fn row<'a>(screen: &'a str, label: &str) -> Result<Vec<&'a str>> {
    let mut rows = rows(screen).into_iter();
    let row = rows.find(|(name, _)| *name == label);
    row.map(|(_, rest)| rest).with_context(|| format!("no {label:?} in {screen}"))
}

async fn create_table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (n INT NOT NULL, s VARCHAR(10))").await
}

fn put_rows(env: &TestEnv, key: &str, rows: RangeInclusive<u32>) -> Result<()> {
    let text: String = rows.map(|row| format!("{row}\tx\n")).collect();
    env.put(key, text)
}

#[apply(load_test)]
async fn a_load_on_a_terminal_ends_with_a_sentence_and_a_table_of_80_columns(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    put_rows(&env, "in/a", 1000..=1999)?;
    put_rows(&env, "in/b", 2000..=2999)?;
    env.put("in/_hidden", "x")?;
    for columns in [80, 120] {
        let args = "load s3://etl/ --table t --skip-hidden --force 2>/dev/null";
        let screen = shown(&env, 0, columns, &[], args).await?;
        let screen = without_color(&screen);
        ensure!(screen.starts_with("Loaded 2 objects in "), "{screen}");
        ensure!(row(&screen, "objects loaded")? == ["2"], "{screen}");
        ensure!(row(&screen, "rows loaded")? == ["2,000"], "{screen}");
        ensure!(row(&screen, "keys skipped")? == ["1", "1", "hidden"], "{screen}");
        ensure!(row(&screen, "size")? == ["13.67", "KiB"], "{screen}");
        ensure!(row(&screen, "time")?[1] == "s", "{screen}");
        ensure!(row(&screen, "rate")?.last() == Some(&"rows/s"), "{screen}");
        ensure!(!screen.contains("failed"), "{screen}");
        let widest = screen.lines().map(|line| line.chars().count()).max();
        ensure!(widest <= Some(80), "{screen}");
    }
    Ok(())
}

#[apply(load_test)]
async fn what_failed_is_red_and_each_hint_is_shown_once(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    put_rows(&env, "in/a", 1..=2)?;
    for key in ["in/bad1", "in/bad2"] {
        env.put(key, "no number\tx\n")?;
    }
    let screen = shown(&env, 3, 80, &[], "load s3://etl/ --table t --progress off").await?;
    ensure!(screen.contains("\u{1b}[1mLoaded 1 object in "), "{screen:?}");
    ensure!(screen.contains(", but 2 failed.\u{1b}[0m\n"), "{screen:?}");
    let failed = "failed: 2 objects, 2 rows: 'no number' is not an integer (column n)";
    let failed = screen.find(&format!("\u{1b}[31m{failed}\u{1b}[0m\n")).context("no failure")?;
    for key in ["in/bad1", "in/bad2"] {
        let example = format!("  s3://etl/{key}, line 1, column n: 'no number'\n");
        ensure!(screen.contains(&example), "{screen:?}");
    }
    ensure!(screen.find("Loaded 1 object") > Some(failed), "the summary comes last\n{screen:?}");
    ensure!(screen.contains("\u{1b}[31m  objects failed"), "{screen:?}");
    ensure!(screen.matches("\n  hint: ").count() == 1, "{screen}");

    // The error that ended the run already has the same hint.
    let rejects = env.path("rejects");
    let args = format!(
        "load s3://etl/ --table t --force --progress off --on-bad-row reject --rejects {} \
         --max-rejects-total 0",
        rejects.display()
    );
    let screen = shown(&env, 3, 80, &[], &args).await?;
    ensure!(screen.contains("\u{1b}[31merror:\u{1b}[0m this error ended the run: "), "{screen:?}");
    ensure!(screen.contains("The run failed after it loaded "), "{screen:?}");
    ensure!(screen.matches("hint: ").count() == 1, "{screen}");
    Ok(())
}

#[apply(load_test)]
async fn many_failures_with_two_causes_take_half_a_screen(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    for key in 0..35 {
        let row = if key % 3 == 0 { "1\ttoo long a text\n" } else { "no number\tx\n" };
        env.put(&format!("in/{key:02}"), format!("1\tx\n{row}").repeat(4))?;
    }
    for columns in [80, 120] {
        for (command, verb) in [("load", "failed"), ("check", "would fail")] {
            let args = format!("{command} s3://etl/ --table t --progress off -q");
            let screen = without_color(&shown(&env, 3, columns, &[], &args).await?);
            let width = usize::from(columns);
            let lines = screen.lines().map(|line| line.chars().count().max(1).div_ceil(width));
            // The summary of a check has more to say.
            ensure!(command == "check" || lines.sum::<usize>() <= 20, "{screen}");
            let causes = [
                "23 objects, 92 rows: 'no number' is not an integer (column n)\n  \
                 s3://etl/in/01, line 2, column n: 'no number'\n  s3://etl/in/02, ",
                "12 objects, 48 rows: 'too long a text' has more than 10 characters (column s)",
            ];
            for cause in causes {
                ensure!(screen.contains(&format!("{verb}: {cause}")), "{screen}");
            }
            ensure!(screen.contains("\n  and 20 more\n  hint: "), "{screen}");
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn no_color_takes_away_the_color_and_nothing_else(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/bad", "no number\tx\n")?;
    let args = "load s3://etl/ --table t --progress off";
    let colored = shown(&env, 3, 80, &[("NO_COLOR", "")], args).await?;
    ensure!(colored.contains("\u{1b}[31m"), "{colored:?}");
    let plain = shown(&env, 3, 80, &[("NO_COLOR", "1")], args).await?;
    ensure!(!plain.contains('\u{1b}'), "{plain:?}");
    let labels = |screen: &str| -> Vec<String> {
        rows(screen).into_iter().map(|(label, _)| label.to_owned()).collect()
    };
    ensure!(labels(&plain) == labels(&without_color(&colored)), "{plain}{colored}");
    Ok(())
}

#[apply(load_test)]
async fn a_check_on_a_terminal_ends_with_a_sentence_and_a_table(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    put_rows(&env, "in/a", 1..=1000)?;
    env.put("in/bad", "no number\tx\n")?;
    let screen = shown(&env, 3, 80, &[], "check s3://etl/ --table t --progress off").await?;
    ensure!(screen.contains("\u{1b}[31mwould fail: s3://etl/in/bad"), "{screen:?}");
    let screen = without_color(&screen);
    ensure!(screen.contains("\n\nChecked 2 objects in "), "{screen}");
    ensure!(screen.contains(" s: 1 would fail.\n"), "{screen}");
    ensure!(row(&screen, "rows")? == ["1,001"], "{screen}");
    ensure!(row(&screen, "would load")? == ["1"], "{screen}");
    ensure!(screen.matches("\n  hint: ").count() == 1, "{screen}");
    Ok(())
}

#[apply(load_test)]
async fn a_summary_has_the_form_that_was_asked_for(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    put_rows(&env, "in/a", 1..=2)?;
    let screen =
        shown(&env, 0, 80, &[], "load s3://etl/ --table t --summary text 2>/dev/null").await?;
    ensure!(screen.starts_with("objects loaded     1\n"), "{screen:?}");
    let piped = env.load_ending(0, "t", &["--force", "--summary", "table"]).await?;
    ensure!(piped.stdout.starts_with("Loaded 1 object in "), "{piped}");
    ensure!(!piped.stdout.contains('\u{1b}'), "{piped}");
    let piped = env.load_ending(0, "t", &["--force"]).await?;
    ensure!(piped.summary("objects loaded")? == "1", "{piped}");
    Ok(())
}

#[apply(load_test)]
async fn a_json_summary_is_the_last_line_of_the_report_even_where_nothing_began(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    put_rows(&env, "in/a", 1..=2)?;
    let report = env.path("report").display().to_string();
    for (code, args) in [
        (0, ["load", "s3://etl/", "--table", "t"]),
        (0, ["check", "s3://etl/", "--table", "t"]),
        (4, ["load", "s3://etl/nothing/", "--table", "t"]),
        (4, ["check", "s3://etl/nothing/", "--table", "t"]),
    ] {
        let more = ["--summary", "json", "--report", &report];
        let ended = env.run(&[args.as_slice(), &more].concat()).await?;
        ended.expect(code)?;
        let lines = std::fs::read_to_string(&report)?;
        let last = lines.lines().last().context("the report is empty")?;
        ensure!(ended.stdout == format!("{last}\n"), "not {last}\n{ended}");
        ensure!(last.contains("\"type\":\"summary\""), "{last}");
    }
    Ok(())
}

#[apply(load_test)]
async fn log_lines_bear_the_time_of_day_on_a_terminal_and_full_stamps_elsewhere(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    put_rows(&env, "in/a", 1..=2)?;
    let log_line = |text: &str| -> Result<String> {
        let line = text.lines().find(|line| line.contains("target `t` on"));
        line.map(str::to_owned).with_context(|| format!("no log line in {text}"))
    };
    // 2026-11-27T04:10:32.123456Z
    let is_full = |stamp: &str| stamp.len() == 27 && stamp.as_bytes()[10] == b'T';
    let args = "load s3://etl/ --table t --progress off --force";
    let screen = shown(&env, 0, 80, &[("NO_COLOR", "1")], args).await?;
    let line = log_line(&screen)?;
    let stamp = line.split(' ').next().unwrap_or_default();
    let is_time = stamp.len() == 8 && stamp.split(':').all(|part| part.parse::<u8>().is_ok());
    ensure!(is_time, "{line}");
    let screen = shown(&env, 0, 80, &[], &format!("{args} --log-format json")).await?;
    let line: serde_json::Value = serde_json::from_str(&log_line(&screen)?)?;
    ensure!(line["timestamp"].as_str().is_some_and(is_full), "{line}");
    let piped = env.load_ending(0, "t", &["--force"]).await?;
    let line = log_line(&piped.stderr)?;
    ensure!(is_full(line.split(' ').next().unwrap_or_default()), "{line}");
    Ok(())
}

/// Returns the text without the sequences that move the cursor, in the pieces between its moves.
fn pieces(screen: &str) -> Vec<String> {
    let mut text = String::new();
    let mut sequences = screen.split("\u{1b}[");
    text.push_str(sequences.next().unwrap_or_default());
    for sequence in sequences {
        let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        text.push('\n');
        text.push_str(sequence.get(end + 1..).unwrap_or_default());
    }
    text.split(['\r', '\n']).map(str::to_owned).collect()
}

#[apply(load_test)]
async fn the_bar_of_bytes_moves_while_one_large_object_loads(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    let key = format!("in/{}", "a-long-name-".repeat(12));
    put_rows(&env, &key, 1_000_000..=1_899_999)?;
    for columns in [80, 120] {
        let args = "load s3://etl/in/ --table t --force --part-size 1MiB --max-rate 3MiB";
        let screen = shown(&env, 0, columns, &[], args).await?;
        let pieces = pieces(&screen);
        // The object counts as loaded only at its end.
        let position = |piece: &String| -> Option<String> {
            let (before, _) = piece.split_once("/8.58 MiB")?;
            let words: Vec<&str> = before.split_whitespace().rev().take(2).collect();
            Some(words.join(" "))
        };
        let positions: BTreeSet<String> = pieces.iter().filter_map(position).collect();
        ensure!(positions.len() > 4, "{positions:?}");
        // Each of the three lines is padded to the width of the terminal, and none is longer.
        let columns = usize::from(columns);
        let drawn = pieces.iter().filter(|it| it.contains('\u{2591}'));
        let widths: BTreeSet<usize> = drawn.map(|it| it.chars().count()).collect();
        ensure!(widths.last() == Some(&(3 * columns)), "{widths:?}");
        ensure!(widths.iter().all(|width| width % columns == 0), "{widths:?}");
        ensure!(
            pieces.iter().any(|it| it.starts_with("1 in flight: s3://etl/in/a-")),
            "{pieces:#?}"
        );
        ensure!(pieces.iter().any(|it| it.trim_end().ends_with(" seconds left")), "{pieces:#?}");
    }
    Ok(())
}

/// A program on a terminal with a keyboard.
struct Interactive {
    child: Child,
    keyboard: ChildStdin,
    output: ChildStdout,
    seen: Vec<u8>,
}

const CTRL_C: &[u8] = b"\x03";

impl Interactive {
    fn start(env: &TestEnv, columns: u16, args: &str) -> Result<Self> {
        let mut child = env.on_terminal(columns, args).stdin(Stdio::piped()).spawn()?;
        let keyboard = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Self { child, keyboard, output, seen: Vec::new() })
    }

    /// Reads on until the output of the last step is as wanted, or has ended. Returns that output.
    async fn read_until(&mut self, is_there: impl Fn(&str) -> bool) -> Result<String> {
        let start = self.seen.len();
        let mut chunk = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&self.seen[start..]).into_owned();
            if is_there(&text) {
                return Ok(text);
            }
            let length = self.output.read(&mut chunk).await?;
            ensure!(length > 0, "the output ended\n{text:?}");
            self.seen.extend(&chunk[..length]);
        }
    }

    fn screen(&self, columns: u16) -> Vec<String> {
        TerminalScreen::showing(columns, &String::from_utf8_lossy(&self.seen)).lines()
    }
}

/// Returns the number of bars, which are drawn of these characters.
fn bars(screen: &[String]) -> usize {
    screen.iter().filter(|line| line.contains(['\u{2588}', '\u{2591}'])).count()
}

#[apply(load_test)]
async fn ctrl_c_leaves_no_stale_bar_the_first_time_or_the_second(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.schema.exec("ALTER TABLE t ADD PRIMARY KEY (n)").await?;
    put_rows(&env, "in/a", 1..=9)?;
    // The load waits for this row.
    let mut locker = env.schema.conn().await?;
    locker.query_drop("START TRANSACTION").await?;
    locker.query_drop("INSERT INTO t VALUES (5, 'locked')").await?;
    for columns in [80, 120] {
        let args = "load s3://etl/ --table t --no-batch --force";
        let mut program = Interactive::start(&env, columns, args)?;
        let drawn = |text: &str| text.matches("1 in flight: s3://etl/in/a").count() > 1;
        program.read_until(drawn).await?;
        ensure!(bars(&program.screen(columns)) > 0, "{:#?}", program.screen(columns));

        for (text, drawings) in [("stopping: ", 2), ("rolling back current loads", 0)] {
            program.keyboard.write_all(CTRL_C).await?;
            let said = |seen: &str| {
                let after = seen.split_once(text).map_or("", |(_, after)| after);
                seen.contains(text) && after.matches("1 in flight").count() >= drawings
            };
            let seen = program.read_until(said).await?;
            ensure!(seen.contains("^C"), "the terminal does not echo\n{seen:?}");
            let screen = program.screen(columns);
            // A drawing may have been read in part.
            ensure!(bars(&screen) <= 2, "{screen:#?}");
        }
        let mut rest = Vec::new();
        program.output.read_to_end(&mut rest).await?;
        program.seen.extend(rest);
        let screen = program.screen(columns);
        let status = program.child.wait().await?;
        ensure!(status.code() == Some(130), "{status} {screen:#?}");
        ensure!(bars(&screen) == 0, "{screen:#?}");
        ensure!(screen.iter().any(|line| line.contains("The run was stopped")), "{screen:#?}");
    }
    locker.query_drop("ROLLBACK").await?;
    Ok(())
}
