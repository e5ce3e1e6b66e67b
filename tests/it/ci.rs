//! The summary and the annotations of a run on the pages of CI systems.

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish};

/// A key that is markup in every language of these pages.
const HOSTILE: &str = "in/\"><script>alert(1)</script>|`x`</pre>";

async fn create_table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT NOT NULL, b VARCHAR(20) NOT NULL) ENGINE=InnoDB").await
}

/// Runs a command as a step of GitHub Actions.
async fn step(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let mut command = env.command(args);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", env.path("step.md"));
    let ended = finish(command.spawn()?).await?;
    ended.expect(code)?;
    Ok(ended)
}

/// Returns the annotations, without the name of the table.
fn annotations(env: &TestEnv, ended: &Ended) -> Vec<String> {
    let start = format!("::error title=s3-to-mysql%3A {}.t::", env.schema.name);
    ended.stderr.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}

#[apply(load_test)]
async fn a_step_of_github_actions_gets_a_summary_and_annotations(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    for key in ["in/bad", HOSTILE] {
        env.put(key, "100%\tz\n")?;
    }
    env.put("in/short", "3\n")?;
    std::fs::write(env.path("step.md"), "of an earlier step\n")?;
    let ended = step(&env, 3, &["load", "s3://etl/in/", "--table", "t"]).await?;
    let page = std::fs::read_to_string(env.path("step.md"))?;
    ensure!(page.starts_with("of an earlier step\n### s3\\-to\\-mysql load: "), "{page}");
    ensure!(page.contains(", but 3 failed\\.** Exit code 3.\n"), "{page}");
    for row in
        ["| objects loaded | 1 |  |\n", "| objects failed | 3 |  |\n", "| rows loaded | 2 |  |\n"]
    {
        ensure!(page.contains(row), "no {row:?} in {page}");
    }
    ensure!(page.matches("<details>").count() == 2 && !page.contains("<script>"), "{page}");
    let key = "s3://etl/in/&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;|`x`&lt;/pre&gt;, line 1";
    ensure!(page.contains(key) && page.matches("</pre>").count() == 2, "{page}");
    ensure!(page.contains("failed: 2 objects, 2 rows: &#39;100%&#39; is not an integer"), "{page}");

    let annotations = annotations(&env, &ended);
    ensure!(annotations.len() == 2, "{annotations:?}\n{ended}");
    let two = "failed: 2 objects, 2 rows: '100%25' is not an integer (column a)%0A  s3://etl/in/";
    ensure!(annotations[0].starts_with(two), "{annotations:?}");
    ensure!(annotations[0].contains("%0A  hint: "), "{annotations:?}");
    ensure!(!ended.stdout.contains("::error"), "{ended}");

    // A check has the same, and so has a run that does not begin.
    let ended = step(&env, 3, &["check", "s3://etl/in/", "--table", "t"]).await?;
    ensure!(!ended.stderr.is_empty());
    let page = std::fs::read_to_string(env.path("step.md"))?;
    ensure!(page.contains("### s3\\-to\\-mysql check: "), "{page}");
    let ended = step(&env, 6, &["load", "s3://etl/in/", "--table", "missing"]).await?;
    let line = ended.stderr.lines().find(|line| line.starts_with("::error title="));
    let line = line.with_context(|| format!("no annotation\n{ended}"))?;
    ensure!(line.contains(".missing::table `missing` does not exist"), "{line}");
    let page = std::fs::read_to_string(env.path("step.md"))?;
    ensure!(page.ends_with("</details>\n\n"), "{page}");
    ensure!(page.contains("**The run did not begin\\.** Exit code 6.\n"), "{page}");
    ensure!(page.contains("<summary>error: table `missing` does not exist"), "{page}");
    Ok(())
}

#[apply(load_test)]
async fn a_summary_file_is_replaced_and_one_that_cannot_be_written_is_a_warning(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    let page = env.path("page.md").display().to_string();
    std::fs::write(&page, "of an earlier run")?;
    let ended = env.load_ending(0, "t", &["--summary-file", &page]).await?;
    ensure!(!ended.stderr.contains("::error"), "{ended}");
    let text = std::fs::read_to_string(&page)?;
    ensure!(text.starts_with("### s3\\-to\\-mysql load: "), "{text}");
    ensure!(text.contains(" s\\.** Exit code 0.\n") && !text.contains("<details>"), "{text}");

    let missing = env.path("no/such/page.md").display().to_string();
    let mut command = env.command(["load", "s3://etl/", "--table", "t"]);
    command.args(["--summary-file", &missing]).env("GITHUB_STEP_SUMMARY", &missing);
    let ended = finish(command.spawn()?).await?;
    ended.expect(0)?;
    let warning = format!("the summary cannot be written to {missing}: No such file");
    ensure!(ended.stderr.matches(&warning).count() == 2, "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn annotations_are_few_and_stay_out_of_a_log_in_json(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    for (key, row) in
        ["a\tx\n", "1\n", "1\tx\ty\n", "1\t123456789012345678901\n", "1\t\\N\n", "99999999999\tx\n"]
            .iter()
            .enumerate()
    {
        env.put(&format!("in/{key}"), *row)?;
    }
    let ended = step(&env, 3, &["load", "s3://etl/in/", "--table", "t"]).await?;
    ensure!(annotations(&env, &ended).len() == 5, "{ended}");
    let json = ["load", "s3://etl/in/", "--table", "t", "--log-format", "json"];
    let ended = step(&env, 3, &json).await?;
    ensure!(ended.stderr.lines().all(|line| line.starts_with('{')), "{ended}");
    Ok(())
}
