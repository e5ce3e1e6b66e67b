//! The page about a run: `--html` at its end, and `report` from its report.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, finish};

const EVIL: &str = "in/\"><script>alert(1)</script>";

async fn create_table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (n INT PRIMARY KEY, s VARCHAR(10)) ENGINE=InnoDB").await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/b", "3\tx\n")
}

fn read(env: &TestEnv, name: &str) -> Result<String> {
    std::fs::read_to_string(env.path(name)).with_context(|| format!("no {name}"))
}

#[apply(load_test)]
async fn a_page_at_the_end_of_a_run_is_the_one_that_its_report_makes(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put(EVIL, "no number\t<b>\n")?;
    let (html, report) = (env.path("{run_id}.html"), env.path("run.jsonl"));
    let (html, report) = (html.display().to_string(), report.display().to_string());
    let mut command = env.command(["load", "s3://etl/", "--table", "t"]);
    command.args(["--html", &html, "--report", &report]);
    // Nobody listens there, which is only a warning.
    let gateway = "http://me:not-to-be-shown@127.0.0.1:1";
    let child = command.env("S3_TO_MYSQL_METRICS_PUSH", gateway).spawn()?;
    finish(child).await?.expect(3)?;
    let summary = env.report("run.jsonl")?.pop().context("an empty report")?;
    let own = format!("{}.html", summary["run_id"].as_str().unwrap_or_default());
    let page = read(&env, &own)?;
    let mode = std::fs::metadata(env.path(&own))?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "{mode:o}");
    for text in [
        "<p class=\"verdict bad\">Loaded 2 objects in ",
        ", but 1 failed.</p>",
        "Exit code 3: some objects failed.",
        "<th>rows loaded</th><td class=\"number\">3</td>",
        "failed: s3://etl/in/&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;: ",
        "no number\\t&lt;b&gt;",
        "hint: ",
        "class=\"load ",
        "class=\"hit\"",
        "<th>html</th>",
    ] {
        ensure!(page.contains(text), "no {text}\n{page}");
    }
    ensure!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    ensure!(page.contains("<th>metrics-push</th>"), "{page}");
    ensure!(!page.contains("not-to-be-shown"), "the page has a password");

    let again = env.path("again.html").display().to_string();
    env.run(&["report", &report, "-o", &again]).await?.expect(0)?;
    ensure!(read(&env, "again.html")? == page, "another page");
    let ended = env.run(&["report", &report, "-o", "-"]).await?;
    ended.expect(0)?;
    ensure!(ended.stdout == page, "another page on standard output");

    // The next run has nothing new but the failure, and both are on one page.
    let second = env.path("second.jsonl").display().to_string();
    env.load_ending(3, "t", &["--report", &second]).await?;
    env.run(&["report", &report, &second, "-o", &again]).await?.expect(0)?;
    let both = read(&env, "again.html")?;
    ensure!(both.matches("<section ").count() == 2, "{both}");
    ensure!(both.contains("<th>already loaded</th><td class=\"number\">2</td>"), "{both}");
    Ok(())
}

#[apply(load_test)]
async fn a_check_and_a_run_that_does_not_begin_have_a_page(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/bad", "no number\tx\n")?;
    let html = env.path("page.html").display().to_string();
    env.run(&["check", "s3://etl/", "--table", "t", "--html", &html]).await?.expect(3)?;
    let page = read(&env, "page.html")?;
    ensure!(page.contains("Checked 3 objects in ") && page.contains(": 1 would fail."), "{page}");
    ensure!(page.contains("would fail: s3://etl/in/bad"), "{page}");
    ensure!(page.contains("class=\"load "), "no timeline\n{page}");

    env.run(&["load", "s3://etl/none/", "--table", "t", "--html", &html]).await?.expect(4)?;
    let page = read(&env, "page.html")?;
    ensure!(page.contains("<p class=\"verdict warn\">"), "{page}");

    // A page that cannot be written says nothing about the table.
    let nowhere = env.path("no/such/page.html").display().to_string();
    let ended = env.load("t", &["--on-bad-row", "accept", "--html", &nowhere]).await?;
    ended.expect(0)?;
    ended.says("page.html cannot be written: ")?;
    Ok(())
}

#[apply(load_test)]
async fn a_large_object_has_its_parts_on_the_page(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/large", (10..200_000).map(|row| format!("{row}\tx\n")).collect::<String>())?;
    let html = env.path("page.html").display().to_string();
    env.load_ending(0, "t", &["--part-size", "256KiB", "--html", &html]).await?;
    let page = read(&env, "page.html")?;
    ensure!(page.contains("s3://etl/in/large, part 1: loaded, "), "{page}");
    Ok(())
}

#[apply(load_test)]
async fn a_report_that_is_cut_is_refused_with_its_name_and_line(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    let report = env.path("run.jsonl").display().to_string();
    env.load_ending(0, "t", &["--report", &report]).await?;
    let text = read(&env, "run.jsonl")?;
    let cut = env.path("cut.jsonl").display().to_string();
    std::fs::write(&cut, &text[..text.len() - 20])?;
    let page = env.path("page.html");
    let html = page.display().to_string();
    let lines = text.lines().count();
    let expected = format!("error: {cut}, line {lines}: it is not a line of a report: EOF while");
    let missing = env.path("none").display().to_string();
    for (file, expected) in
        [(&cut, expected), (&missing, format!("error: {missing} cannot be read"))]
    {
        let ended = env.run(&["report", &report, file, "-o", &html]).await?;
        ended.expect(2)?;
        ended.says(&expected)?;
        ended.says("hint: name files that --report has written")?;
        ensure!(!page.exists(), "a page was written");
    }
    // A run that was killed leaves whole lines and no summary.
    let whole: String = text.lines().take(lines - 1).map(|line| format!("{line}\n")).collect();
    std::fs::write(&cut, whole)?;
    env.run(&["report", &cut, "-o", &html]).await?.expect(0)?;
    ensure!(read(&env, "page.html")?.contains("The run did not end."));
    Ok(())
}
