//! The command line: help, configuration, `plan` and `completions`.

use anyhow::{Context as _, Result, ensure};
use s3_to_mysql::exit_code;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::registry::{apply, load_test, plain_test};
use crate::support::program::{Ended, TestEnv, bare_command, finish};
use crate::support::s3::{Fault, Keys, Operation, Times};

/// Runs the program without any server, in a directory of its own.
async fn run_in(dir: &std::path::Path, variables: &[(&str, &str)], args: &[&str]) -> Result<Ended> {
    let mut command = bare_command(dir);
    // Help is as wide as the terminal. Here the width is fixed.
    command.current_dir(dir).env("COLUMNS", "100").envs(variables.iter().copied()).args(args);
    finish(command.spawn()?).await
}

async fn run(args: &[&str]) -> Result<Ended> {
    run_in(tempfile::tempdir()?.path(), &[], args).await
}

#[apply(plain_test)]
async fn help_is_as_documented() -> Result<()> {
    for (name, args) in [
        ("help", ["--help"].as_slice()),
        ("load_help", &["load", "-h"]),
        ("load_long_help", &["load", "--help"]),
        ("plan_help", &["plan", "-h"]),
        ("check_help", &["check", "-h"]),
        ("status_long_help", &["status", "--help"]),
        ("forget_help", &["forget", "-h"]),
    ] {
        let ended = run(args).await?;
        ended.expect(0)?;
        ensure!(ended.stderr.is_empty(), "{ended}");
        insta::assert_snapshot!(name, ended.stdout);
    }
    Ok(())
}

#[apply(plain_test)]
async fn help_lists_every_exit_code_with_its_meaning() -> Result<()> {
    for args in [["--help"].as_slice(), &["load", "--help"], &["plan", "--help"]] {
        let help = run(args).await?.stdout;
        let (_, listed) = help.split_once("Exit codes:\n").context("no list of exit codes")?;
        let listed: Vec<(&str, &str)> =
            listed.lines().filter_map(|line| line.trim().split_once("  ")).collect();
        let meanings: Vec<(String, &str)> = exit_code::MEANINGS
            .iter()
            .map(|(code, meaning)| (code.to_string(), *meaning))
            .collect();
        let meanings: Vec<(&str, &str)> =
            meanings.iter().map(|(code, meaning)| (code.as_str(), *meaning)).collect();
        ensure!(listed == meanings, "{args:?}: {listed:?}");
    }
    Ok(())
}

#[apply(plain_test)]
async fn an_unknown_option_is_a_usage_error_that_suggests_the_right_one() -> Result<()> {
    let ended = run(&["load", "s3://etl/", "--on-duplicates", "ignore"]).await?;
    ended.expect(2)?;
    ended.says("unexpected argument '--on-duplicates'")?;
    ended.says("'--on-duplicate'")?;
    ensure!(ended.stdout.is_empty(), "{ended}");
    run(&["lode"]).await?.expect(2)?;
    run(&["load", "s3://etl/", "--password=secret"]).await?.expect(2)
}

#[apply(plain_test)]
async fn everything_wrong_with_the_configuration_is_told_at_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = "prot = 3307\n\
                on-duplicates = \"ignore\"\n\
                load-concurrency = \"four\"\n\
                download-concurrency = 0\n\
                stall-timeout = \"soon\"\n\
                password = \"hunter2\"\n\
                [target]\n\
                host = \"db\"\n";
    std::fs::write(dir.path().join("config.toml"), file)?;
    let variables = [("S3_TO_MYSQL_ON_BAD_ROWS", "accept"), ("S3_TO_MYSQL_STAGING_BUDGET", "much")];
    let args = [
        "load",
        "etl/in/",
        "--config",
        "config.toml",
        "--preset",
        "hive2",
        "--key-regex",
        "(",
        "--password=x",
    ];
    let ended = run_in(dir.path(), &variables, &args).await?;
    ended.expect(2)?;
    ensure!(ended.stdout.is_empty() && !ended.stderr.contains("hunter2"), "{ended}");
    insta::assert_snapshot!("configuration_problems", ended.stderr);
    Ok(())
}

/// Returns the printed line of a setting.
fn line<'a>(printed: &'a str, setting: &str) -> Result<&'a str> {
    let mut lines = printed.lines().filter(|line| line.starts_with(&format!("{setting} = ")));
    let line = lines.next().with_context(|| format!("{setting} is not in\n{printed}"))?;
    ensure!(lines.next().is_none(), "{setting} is there twice");
    Ok(line)
}

#[apply(plain_test)]
async fn a_flag_beats_a_variable_which_beats_the_file_which_beats_the_default() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = "\nload-concurrency = 5\ndownload-concurrency = 5\nport = 5000\ndatabase-url = \
         \"mysql://u@h/db\"\n";
    std::fs::write(dir.path().join("c.toml"), file)?;
    let variables = [
        ("S3_TO_MYSQL_CONFIG", "c.toml"),
        ("S3_TO_MYSQL_LOAD_CONCURRENCY", "6"),
        ("S3_TO_MYSQL_DOWNLOAD_CONCURRENCY", "6"),
        ("S3_TO_MYSQL_INCLUDE", "a\nb"),
        ("DATABASE_URL", "mysql://weakest@elsewhere/db"),
    ];
    let args = ["load", "s3://etl/", "--table", "t", "--print-config", "--load-concurrency", "7"];
    let ended = run_in(dir.path(), &variables, &args).await?;
    ended.expect(0)?;
    for (setting, expected) in [
        ("uris", "[\"s3://etl/\"]  # command line, S3_URI"),
        ("load-concurrency", "7  # command line, --load-concurrency"),
        ("download-concurrency", "6  # environment variable S3_TO_MYSQL_DOWNLOAD_CONCURRENCY"),
        ("include", "[\"a\", \"b\"]  # environment variable S3_TO_MYSQL_INCLUDE"),
        ("port", "5000  # c.toml line 4"),
        ("host", "\"h\"  # database URL from c.toml line 5"),
        ("max-attempts", "8  # default"),
    ] {
        ensure!(
            line(&ended.stdout, setting)? == format!("{setting} = {expected}"),
            "{setting}: {}",
            ended.stdout
        );
    }
    Ok(())
}

#[apply(plain_test)]
async fn a_printed_configuration_hides_secrets_and_reads_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let variables =
        [("DATABASE_URL", "mysql://loader:hunter2@db:3307/bench"), ("MYSQL_PWD", "hunter3")];
    let args =
        ["load", "s3://etl/a b/", "s3://etl/k\"'\\", "--table", "`odd.db`.t", "--preset", "hive"];
    let more =
        ["--null-string", "", "--null-string", "\\N", "-vv", "--set", "a=@b", "--columns", "a,@b"];
    let args = [args.as_slice(), &more, &["--print-config"]].concat();
    let first = run_in(dir.path(), &variables, &args).await?;
    first.expect(0)?;
    ensure!(!first.to_string().contains("hunter"), "a secret shows:\n{first}");
    ensure!(first.stdout.contains("\n#password = (hidden)  # "), "{first}");

    std::fs::write(dir.path().join("printed.toml"), &first.stdout)?;
    let second =
        run_in(dir.path(), &[], &["load", "--config", "printed.toml", "--print-config"]).await?;
    second.expect(0)?;
    let values = |printed: &str| -> Vec<String> {
        let settings = printed.lines().filter(|line| !line.starts_with('#'));
        settings
            .map(|line| line.rsplit_once("  # ").map_or(line, |(value, _)| value).to_owned())
            .collect()
    };
    ensure!(values(&first.stdout) == values(&second.stdout), "{first}\n{second}");
    Ok(())
}

#[apply(plain_test)]
async fn completions_are_scripts_that_the_shell_accepts() -> Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(&["completions", shell]).await?;
        ended.expect(0)?;
        ensure!(ended.stderr.is_empty(), "{ended}");
        for word in ["s3-to-mysql", "on-duplicate", "hive-raw", "status", "forget"] {
            ensure!(ended.stdout.contains(word), "{shell}: no {word}");
        }
        if shell == "bash" {
            let dir = tempfile::tempdir()?;
            let script = dir.path().join("completions.bash");
            std::fs::write(&script, &ended.stdout)?;
            let checked = std::process::Command::new("bash").arg("-n").arg(&script).output()?;
            ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        }
    }
    run(&["completions", "tcsh"]).await?.expect(2)
}

#[apply(plain_test)]
async fn a_closed_standard_output_is_no_failure_of_help_and_completions() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for args in [["completions", "zsh"], ["load", "--help"]] {
        let mut command = bare_command(dir.path());
        // The pipe is closed before the program can write to standard output.
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        command.args(args).stdout(writer);
        let child = command.spawn()?;
        drop(command);
        let ended = finish(child).await?;
        ensure!(!ended.stderr.contains("panicked"), "{ended}");
        ended.expect(0)?;
    }
    Ok(())
}

async fn create_table(env: &TestEnv, name: &str) -> Result<()> {
    env.schema
        .exec(&format!(
            "CREATE TABLE {name} (a INT NOT NULL, b VARCHAR(20) NOT NULL) ENGINE=InnoDB"
        ))
        .await
}

#[apply(load_test)]
async fn the_strongest_place_decides_which_table_is_loaded(env: TestEnv) -> Result<()> {
    for table in ["of_file", "of_variable", "of_flag"] {
        create_table(&env, table).await?;
    }
    env.put("in/a", "1\tx\n2\ty\n")?;
    std::fs::write(env.path("c.toml"), "table = \"of_file\"\n")?;
    let config = env.path("c.toml").display().to_string();
    let load = ["load", "s3://etl/", "--config", &config];
    finish(env.command(load).spawn()?).await?.expect(0)?;
    finish(env.command(load).env("S3_TO_MYSQL_TABLE", "of_variable").spawn()?).await?.expect(0)?;
    let flag = [load.as_slice(), &["--table", "of_flag"]].concat();
    finish(env.command(flag).env("S3_TO_MYSQL_TABLE", "of_variable").spawn()?).await?.expect(0)?;
    for table in ["of_file", "of_variable", "of_flag"] {
        ensure!(env.count(table).await? == 2, "{table}");
    }
    Ok(())
}

/// Loads the example file with a few lines added, and with every setting active at its default.
#[apply(load_test)]
async fn the_example_file_works_as_a_configuration_file(env: TestEnv) -> Result<()> {
    for table in ["t0", "t1"] {
        create_table(&env, table).await?;
    }
    env.put("in/a", "1\tx\n2\ty\n")?;
    let example =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml"))?;
    // After the comment sign, an explanation starts with a blank and a setting does not.
    let is_setting =
        |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let is_ours =
        |line: &str| ["#uris ", "#table ", "#user "].iter().any(|ours| line.starts_with(ours));
    let active: Vec<&str> = example
        .lines()
        .filter(|line| !is_ours(line))
        .map(|line| if is_setting(line) { &line[1..] } else { line })
        .collect();
    ensure!(
        active.iter().filter(|line| line.contains(" = ") && !line.starts_with('#')).count() > 50
    );
    let added = format!("uris = [\"s3://etl/in/\"]\nuser = \"{}\"\n", env.schema.user);
    for (number, text) in
        [format!("{example}{added}"), format!("{}\n{added}", active.join("\n"))].iter().enumerate()
    {
        let table = format!("t{number}");
        std::fs::write(env.path("c.toml"), format!("{text}table = \"{table}\"\n"))?;
        let mut command = env.command(["load"]);
        command.env("S3_TO_MYSQL_CONFIG", env.path("c.toml"));
        // The address of the test's server, which no file can know.
        command.env_remove("DATABASE_URL").env("S3_TO_MYSQL_PORT", env.server.port().to_string());
        command.env("S3_TO_MYSQL_DATABASE", &env.schema.name);
        finish(command.spawn()?).await?.expect(0)?;
        ensure!(env.count(&table).await? == 2, "{table}");
    }
    Ok(())
}

#[apply(load_test)]
async fn plan_shows_every_object_and_the_exact_statement(env: TestEnv) -> Result<()> {
    create_table(&env, "t").await?;
    env.put("in/a", "1\tx\n")?;
    env.put("in/b c", vec![b'x'; 1500])?;
    env.put("in/new\nline", "")?;
    for preset in ["mysql", "hive", "hive-raw", "csv", "csv-unix", "tsv"] {
        let ended = env.run(&["plan", "s3://etl/", "--table", "t", "--preset", preset]).await?;
        ended.expect(0)?;
        insta::assert_snapshot!(format!("plan_{preset}"), ended.stdout);
    }
    let columns = [
        "--columns",
        "a,@x",
        "--set",
        "b=UPPER(@x)",
        "--null-string",
        "NULL",
        "--on-duplicate",
        "replace",
    ];
    let ended =
        env.run(&[["plan", "s3://etl/", "--table", "t"].as_slice(), &columns].concat()).await?;
    ended.expect(0)?;
    insta::assert_snapshot!("plan_with_columns", ended.stdout);

    env.schema.exec("CREATE TABLE flags (id INT, flag BIT(8))").await?;
    let remark = "column flag (bit(8)): its fields are read as numbers; --binary raw reads them as";
    let plan = ["plan", "s3://etl/", "--table", "flags"];
    env.run(&plan).await?.says(remark)?;
    let raw = env.run(&[&plan[..], &["--binary", "raw"]].concat()).await?;
    ensure!(!raw.stdout.contains("column flag"), "{raw}");
    Ok(())
}

#[apply(load_test)]
async fn plan_touches_nothing(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (a INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(20)) ENGINE=InnoDB")
        .await?;
    env.schema.exec("INSERT INTO t VALUES (1, 'there')").await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/bad", "no number\n")?;
    let ended =
        env.run(&["plan", "s3://etl/", "--table", "t", "--on-duplicate", "replace"]).await?;
    ended.expect(0)?;
    let rows: Vec<(u32, String)> = env.schema.query("SELECT a, b FROM t").await?;
    ensure!(rows == [(1, "there".to_owned())], "{rows:?}");
    env.schema.exec("INSERT INTO t (b) VALUES ('next')").await?;
    ensure!(
        env.schema.query_one::<u32>("SELECT MAX(a) FROM t").await? == 2,
        "numbers were used up"
    );
    let asked: Vec<Operation> =
        env.s3.log().all().iter().map(|request| request.operation).collect();
    ensure!(asked.iter().all(|operation| *operation == Operation::ListObjectsV2), "{asked:?}");
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn plan_meets_the_problems_that_load_meets(env: TestEnv) -> Result<()> {
    create_table(&env, "t").await?;
    env.put("in/a", "1\tx\n")?;
    for (code, args) in [
        (6, ["s3://etl/", "--table", "tt"].as_slice()),
        (6, &["s3://etl/", "--table", "t", "--columns", "a,c"]),
        (5, &["s3://elsewhere/", "--table", "t"]),
        (5, &["s3://elsewhere/", "--table", "tt"]),
        (4, &["s3://etl/out/", "--table", "t"]),
        (0, &["s3://etl/out/", "--table", "t", "--allow-empty"]),
    ] {
        let planned = env.run(&[&["plan"], args].concat()).await?;
        planned.expect(code)?;
        let loaded = env.run(&[&["load"], args].concat()).await?;
        loaded.expect(code)?;
        let errors = |ended: &Ended| -> Vec<String> {
            let lines = ended.stderr.lines().filter(|line| {
                ["error:", "  caused", "  hint"].iter().any(|start| line.starts_with(start))
            });
            lines.map(str::to_owned).collect()
        };
        ensure!(errors(&planned) == errors(&loaded), "{planned}\n{loaded}");
        ensure!((code == 0) == errors(&loaded).is_empty(), "{loaded}");
    }
    // Both problems are reported at once, each with a hint.
    let both = env.run(&["plan", "s3://elsewhere/", "--table", "tt"]).await?;
    both.says("elsewhere")?;
    both.says("`tt`")?;
    both.says("did you mean \"t\"?")
}

/// The rest of the listing arrives after the reader has gone.
#[apply(load_test)]
async fn plan_into_head_is_no_failure(env: TestEnv) -> Result<()> {
    create_table(&env, "t").await?;
    for key in ["in/a", "in/b", "later/a", "later/b"] {
        env.put(key, "1\tx\n")?;
    }
    let held = env.s3.faults().inject(
        Operation::ListObjectsV2,
        Keys::Exactly("later/".into()),
        Times::Always,
        Fault::Hold,
    );
    let mut child =
        env.command(["plan", "s3://etl/in/", "s3://etl/later/", "--table", "t"]).spawn()?;
    let mut lines =
        BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
    let first = lines.next_line().await?.context("no line")?;
    ensure!(first == format!("{:>15}  s3://etl/in/a", 4), "{first}");
    held.wait_for_effects(1).await;
    drop(lines);
    held.remove();
    let ended = finish(child).await?;
    ensure!(!ended.stderr.contains("panicked") && !ended.stderr.contains("error"), "{ended}");
    ended.expect(0)
}
