//! A guess that is refused or stopped leaves no table behind.

use anyhow::Result;

use super::{BY_NAME, BY_POSITION, create, ensure_no_table, ensure_types, plan};
use crate::packed::gzip;
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;

#[apply(load_test)]
async fn what_tells_no_types_is_refused(env: TestEnv) -> Result<()> {
    env.put("a.csv", "id,v\n1,2\n")?;
    let by_name = |args: &[&'static str]| [&BY_NAME[..], args].concat();
    for (args, why, remedy) in [
        (
            by_name(&["--set", "v=@v+1"]),
            "nothing tells the type of column v, which --set computes",
            "create the table yourself",
        ),
        (
            by_name(&["--charset", "binary"]),
            "fields in the character set binary are bytes",
            "--charset",
        ),
        (
            vec!["--preset", "csv"],
            "nothing names the columns, because the objects have no header lines",
            "--columns a,b,c names them",
        ),
        (
            by_name(&["--primary-key", "idd"]),
            "--primary-key: there is no column \"idd\"",
            "the columns are id,v",
        ),
    ] {
        let ended = create(&env, 2, &args).await?;
        ended.says(why)?;
        ended.says(remedy)?;
        plan(&env, &args).await?.expect(2)?;
        ensure_no_table(&env).await?;
    }
    let ended = env.load("t", &["--primary-key", "id"]).await?;
    ended.expect(2)?;
    ended.says("primary-key is set, but create-table is not")?;
    let args = ["load", "--keys-from", "-", "--table", "t", "--create-table"];
    let ended = env.run(&[&args[..], &BY_NAME].concat()).await?;
    ended.expect(2)?;
    ended.says("standard input can be read only once")?;
    ensure_no_table(&env).await
}

#[apply(load_test)]
async fn a_check_creates_no_table(env: TestEnv) -> Result<()> {
    env.put("a.csv", "id,v\n1,2\n")?;
    let args = ["check", "s3://etl/", "--table", "t", "--create-table"];
    let ended = env.run(&[&args[..], &BY_NAME].concat()).await?;
    ended.expect(6)?;
    ended.says("does not exist, and a check creates none")?;
    ended.says("plan --create-table` prints the statement")?;
    ensure_no_table(&env).await?;
    create(&env, 0, &BY_NAME).await?;
    env.run(&[&args[..], &BY_NAME].concat()).await?.expect(0)
}

#[apply(load_test)]
async fn an_object_that_cannot_be_read_stops_the_guess(env: TestEnv) -> Result<()> {
    env.put("a.csv", "id,v\n1,2\n")?;
    let mut packed = gzip(b"id,v\n1,2\n")?;
    packed.truncate(packed.len() - 3);
    env.put("b.csv", packed)?;
    let ended = create(&env, 3, &BY_NAME).await?;
    ended.says("s3://etl/b.csv: its gzip data ends too early")?;
    ensure_no_table(&env).await?;
    env.put("b.csv", gzip(b"id,v\n1,\"2\"3\n")?)?;
    let ended = create(&env, 3, &BY_NAME).await?;
    ended.says("s3://etl/b.csv: ")?;
    ended.says("(in its gzip content)")?;
    ensure_no_table(&env).await?;
    env.put("b.csv", "PK\x03\x04 zip")?;
    create(&env, 3, &BY_NAME).await?;
    ensure_no_table(&env).await
}

#[apply(load_test)]
async fn nothing_to_look_at_makes_no_table(env: TestEnv) -> Result<()> {
    let ended = create(&env, 4, &BY_NAME).await?;
    ended.says("no object matches")?;
    ensure_no_table(&env).await?;
    env.put("empty", "")?;
    let ended = create(&env, 3, &BY_NAME).await?;
    ended.says("all objects are empty")?;
    ensure_no_table(&env).await?;
    env.put("header", "id,v\n")?;
    create(&env, 0, &[&BY_NAME[..], &["--include", "header"]].concat()).await?;
    ensure_types(&env, &["id varchar(255)", "v varchar(255)"]).await
}

#[apply(load_test)]
async fn an_account_that_may_not_create_is_refused(env: TestEnv) -> Result<()> {
    env.put("a.csv", "id,v\n1,2\n")?;
    let user = &env.schema.user;
    let schema = &env.schema.name;
    env.schema.exec(&format!("REVOKE CREATE ON `{schema}`.* FROM `{user}`@'%'")).await?;
    let ended = create(&env, 6, &BY_POSITION).await?;
    ended.says("the table could not be created")?;
    ensure_no_table(&env).await
}
