//! Access to the source: who may read, how the program reaches the store, and that the run stops if
//! the store refuses or is down.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::contract::moto;
use crate::registry::{apply, load_test};
use crate::source::{fill, plan, refused};
use crate::support::lines::{self, expect};
use crate::support::program::{BUCKET, Ended, TestEnv, finish};
use crate::support::s3::{
    ACCESS_KEY, Fault, Keys, Operation, Refusal, SECRET_KEY, Times, client_with_keys,
};

#[apply(load_test)]
async fn a_refused_listing_stops_the_run(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    env.s3.faults().on_list(Times::Always, Fault::Refuse(Refusal::ACCESS_DENIED));
    refused(&env, &[], 5, &["s3://etl/: listing the bucket is denied", "s3:ListBucket"]).await
}

#[apply(load_test)]
async fn a_prefix_refused_after_another_was_loaded_is_no_success(env: TestEnv) -> Result<()> {
    fill(&env, &["a/1", "b/1"]).await?;
    let denied = Fault::Refuse(Refusal::ACCESS_DENIED);
    env.s3.faults().inject(
        Operation::ListObjectsV2,
        Keys::Exactly("b/".into()),
        Times::Always,
        denied,
    );
    let ended = env.run(&["load", "s3://etl/a/", "s3://etl/b/", "--table", "t"]).await?;
    ended.expect(5)?;
    ended.says("s3://etl/b/: listing the bucket is denied")?;
    let rows = lines::rows(&env, "t").await?;
    ensure!(rows.is_empty() || rows == ["0"], "{rows:?}");
    Ok(())
}

#[apply(load_test)]
async fn a_missing_bucket_stops_the_run(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    for uri in ["s3://not-there/", "s3://not-there/key"] {
        let ended = env.run(&["load", "s3://etl/", uri, "--table", "t"]).await?;
        ended.expect(5)?;
        ended.says("s3://not-there/: the bucket does not exist at this endpoint and region")?;
        ended.says("check the bucket's name, --region and --endpoint-url")?;
    }
    expect(&env, "t", &[]).await
}

/// Runs `load URI` with keys in the environment that the store refuses.
async fn load_with_keys(
    env: &TestEnv,
    uri: &str,
    access_key: &str,
    secret_key: &str,
) -> Result<Ended> {
    let mut command = env.command(["load", uri, "--table", "t"]);
    finish(
        command
            .env("AWS_ACCESS_KEY_ID", access_key)
            .env("AWS_SECRET_ACCESS_KEY", secret_key)
            .spawn()?,
    )
    .await
}

#[apply(load_test)]
async fn credentials_that_are_refused_stop_the_run(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    let unknown = load_with_keys(&env, "s3://etl/", "AKIAUNKNOWN000000000", SECRET_KEY).await?;
    unknown.expect(5)?;
    unknown.says("the S3 credentials were refused")?;
    unknown.says("AWS_ACCESS_KEY_ID")?;
    let wrong = load_with_keys(&env, "s3://etl/", ACCESS_KEY, "wrong-secret").await?;
    wrong.expect(5)?;
    wrong.says("SignatureDoesNotMatch")?;
    ensure!(!format!("{wrong}").contains("wrong-secret"), "the secret is in the output\n{wrong}");
    env.s3.faults().on_list(Times::Always, Fault::Refuse(Refusal::EXPIRED_TOKEN));
    refused(&env, &[], 5, &["ExpiredToken", "the S3 credentials were refused"]).await
}

#[apply(load_test)]
async fn credentials_that_are_refused_for_an_exact_key_stop_the_run(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    let wrong = load_with_keys(&env, "s3://etl/a", ACCESS_KEY, "wrong-secret").await?;
    wrong.expect(5)?;
    wrong.says("the S3 credentials were refused")?;
    let keys = env.path("keys");
    std::fs::write(&keys, "s3://etl/a\n")?;
    let mut command = env.command(["load", "--keys-from", &keys.to_string_lossy(), "--table", "t"]);
    let wrong = finish(command.env("AWS_SECRET_ACCESS_KEY", "wrong-secret").spawn()?).await?;
    wrong.expect(5)?;
    wrong.says("the S3 credentials were refused")?;
    expect(&env, "t", &[]).await
}

#[apply(load_test)]
async fn credentials_that_expire_during_the_run_end_it(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for number in 0..100 {
        env.put(&format!("{number:02}"), format!("{number}\n"))?;
    }
    let expired = Fault::Refuse(Refusal::EXPIRED_TOKEN);
    env.s3.faults().inject(Operation::GetObject, Keys::Any, Times::After(1), expired);
    let ended = env.load_ending(5, "t", &["--download-concurrency", "1"]).await?;
    ended.says("ExpiredToken")?;
    let refused = env.s3.log().count(Operation::GetObject) - 1;
    ensure!(refused < 50, "{refused} objects were asked for with credentials that had expired");
    let rows = lines::rows(&env, "t").await?;
    // The run may end before or after it loads the first object, but with nothing else.
    ensure!(rows.is_empty() || rows == ["0"], "{rows:?}");
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn no_credentials_at_all_are_said_so(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    let mut command = env.command(["load", "s3://etl/", "--table", "t"]);
    let ended = finish(
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").spawn()?,
    )
    .await?;
    ended.expect(5)?;
    ended.says("the S3 credentials were refused, or none were found")?;
    ended.says("--no-sign-request")?;
    ensure!(env.s3.log().all().is_empty(), "a request was made without credentials");
    expect(&env, "t", &[]).await
}

#[apply(load_test)]
async fn an_endpoint_that_is_down_stops_the_run(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    // Bound but not listening: a connection is refused, and no other process gets the port.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let url = format!("http://{}", socket.local_addr()?);
    refused(
        &env,
        &["--endpoint-url", &url, "--max-attempts", "2"],
        5,
        &["S3 cannot be reached", "--endpoint-url"],
    )
    .await
}

#[apply(load_test)]
async fn a_busy_listing_is_tried_again(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    for refusal in [Refusal::SLOW_DOWN, Refusal::SERVICE_UNAVAILABLE, Refusal::INTERNAL_ERROR] {
        env.s3.faults().on_list(Times::Next(1), Fault::Refuse(refusal));
    }
    env.load_ending(0, "t", &[]).await?;
    expect(&env, "t", &["0"]).await
}

#[apply(load_test)]
async fn a_listing_that_stays_busy_ends_the_run_after_its_tries(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    env.s3.faults().on_list(Times::Always, Fault::Refuse(Refusal::SLOW_DOWN));
    refused(&env, &["--max-attempts", "3"], 5, &["s3://etl/", "SlowDown"]).await?;
    let asked = env.s3.log().count(Operation::ListObjectsV2);
    // The check and the listing run side by side.
    ensure!(asked == 6, "{asked} requests");
    // Both are refused, but a person reads of each retry once, and how long it waits.
    env.s3.faults().on_list(Times::Always, Fault::Refuse(Refusal::SLOW_DOWN));
    let ended = env.load_ending(5, "t", &["--max-attempts", "3"]).await?;
    let retries: Vec<&str> =
        ended.stderr.lines().filter(|line| line.contains("; trying again in ")).collect();
    ensure!(retries.len() == 2, "{ended}");
    ensure!(retries.iter().all(|line| line.ends_with(" ms")), "{ended}");
    ensure!(!ended.stderr.contains("attempt="), "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn unsigned_requests_read_an_open_bucket(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    refused(&env, &["--no-sign-request"], 5, &["s3://etl/: listing the bucket is denied"]).await?;
    env.s3.backend().allow_anonymous(BUCKET);
    env.s3.log().clear();
    let mut command =
        env.command(["load", "s3://etl/", "s3://etl/a", "--table", "t", "--no-sign-request"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    finish(command.spawn()?).await?.expect(0)?;
    expect(&env, "t", &["0"]).await?;
    let requests = env.s3.log().all();
    ensure!(
        !requests.is_empty() && requests.iter().all(|request| !request.is_signed),
        "{requests:?}"
    );
    Ok(())
}

#[apply(load_test)]
async fn the_requester_pays_when_asked_to(env: TestEnv) -> Result<()> {
    fill(&env, &["a", "b/1"]).await?;
    let uris = ["s3://etl/a", "s3://etl/b/"];
    let args = [&["load", "--table", "t", "--request-payer"], uris.as_slice()].concat();
    env.run(&args).await?.expect(0)?;
    for operation in [Operation::ListObjectsV2, Operation::HeadObject, Operation::GetObject] {
        let requests = env.s3.log().of(operation);
        let all_pay = requests.iter().all(|request| request.payer.as_deref() == Some("requester"));
        ensure!(!requests.is_empty() && all_pay, "{operation:?}: {requests:?}");
    }
    env.s3.log().clear();
    env.run(&[&["load", "--table", "t"], uris.as_slice()].concat()).await?.expect(0)?;
    ensure!(
        env.s3.log().all().iter().all(|request| request.payer.is_none()),
        "nobody agreed to pay"
    );
    Ok(())
}

fn regions(env: &TestEnv) -> BTreeSet<String> {
    env.s3
        .log()
        .of(Operation::ListObjectsV2)
        .into_iter()
        .filter_map(|request| request.region)
        .collect()
}

#[apply(load_test)]
async fn requests_are_signed_for_the_region_that_is_given(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    plan(&env, &["s3://etl/"]).await?;
    ensure!(regions(&env) == BTreeSet::from(["us-east-1".to_owned()]), "{:?}", regions(&env));
    env.s3.log().clear();
    plan(&env, &["s3://etl/", "--region", "eu-north-1"]).await?;
    ensure!(regions(&env) == BTreeSet::from(["eu-north-1".to_owned()]), "{:?}", regions(&env));
    Ok(())
}

/// Writes an AWS profile `other` with the right keys into the program's home.
fn write_profile(env: &TestEnv) -> Result<()> {
    let folder = env.path(".aws");
    std::fs::create_dir(&folder)?;
    let keys =
        format!("[other]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n");
    std::fs::write(folder.join("credentials"), keys)?;
    std::fs::write(folder.join("config"), "[profile other]\nregion=eu-west-3\n")?;
    Ok(())
}

#[apply(load_test)]
async fn a_profile_gives_credentials_and_region(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    write_profile(&env)?;
    let mut command = env.command(["load", "s3://etl/", "--table", "t", "--profile", "other"]);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env_remove("AWS_REGION");
    finish(command.spawn()?).await?.expect(0)?;
    expect(&env, "t", &["0"]).await?;
    ensure!(regions(&env) == BTreeSet::from(["eu-west-3".to_owned()]), "{:?}", regions(&env));
    Ok(())
}

/// An option on the command line wins, as it does for the AWS command line.
#[apply(load_test)]
async fn a_profile_that_is_named_beats_the_environments_keys(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    write_profile(&env)?;
    let mut command = env.command(["load", "s3://etl/", "--table", "t", "--profile", "other"]);
    command.env("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000");
    finish(command.spawn()?).await?.expect(0)?;
    expect(&env, "t", &["0"]).await
}

#[apply(load_test)]
async fn path_style_puts_the_bucket_into_the_path(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    // With a host name, unlike an address, the bucket would go in front of it.
    let url = format!("http://localhost:{}", env.s3.address().port());
    let args = ["--endpoint-url", &url, "--max-attempts", "1"];
    let off = [&args[..], &["--no-path-style"]].concat();
    refused(&env, &off, 5, &["s3://etl/"]).await?;
    env.load_ending(0, "t", &[&args[..], &["--path-style"]].concat()).await?;
    expect(&env, "t", &["0"]).await
}

/// Wherever the endpoint is set, as with a store in a container.
#[apply(load_test)]
async fn a_local_endpoint_gets_the_bucket_in_the_path(env: TestEnv) -> Result<()> {
    fill(&env, &["a"]).await?;
    let url = format!("http://localhost:{}", env.s3.address().port());
    let logged = "is a local endpoint, so the bucket goes into the path";
    let load = ["load", "s3://etl/", "--table", "t", "--force", "-v", "--max-attempts", "1"];
    let config = env.path("aws");
    std::fs::write(&config, format!("[default]\nendpoint_url = {url}\n"))?;
    let config = config.display().to_string();
    for (name, value) in
        [("AWS_ENDPOINT_URL", &url), ("AWS_ENDPOINT_URL_S3", &url), ("AWS_CONFIG_FILE", &config)]
    {
        let mut command = env.command(load);
        command.env_remove("AWS_ENDPOINT_URL").env(name, value);
        let ended = finish(command.spawn()?).await?;
        ended.expect(0)?;
        ensure!(ended.stderr.matches(logged).count() == 1, "{name}\n{ended}");
    }
    let mut command = env.command(load);
    command.env("AWS_ENDPOINT_URL", &url).arg("--no-path-style");
    let ended = finish(command.spawn()?).await?;
    ended.expect(5)?;
    ensure!(!ended.stderr.contains(logged), "{ended}");
    Ok(())
}

/// Shows what both the endpoint of the tests and the program get wrong.
#[apply(load_test)]
async fn a_store_that_others_wrote_is_loaded_from(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let client = client_with_keys(moto::url()?, moto::ACCESS_KEY, moto::SECRET_KEY);
    let bucket = format!("{}-{}", env.server.kind(), env.schema.name);
    client.create_bucket().bucket(&bucket).send().await?;
    let keys = ["plain", "with space", "a+b", "%2B", "M\u{fc}nchen", "in/_SUCCESS", "deep/er/key"];
    for (number, key) in keys.iter().enumerate() {
        let body = format!("{number}\n").into_bytes();
        client.put_object().bucket(&bucket).key(*key).body(body.into()).send().await?;
    }
    let packed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    client.put_object().bucket(&bucket).key("packed").body(packed.into()).send().await?;
    let (uri, failed) = (format!("s3://{bucket}/"), env.path("failed"));
    let mut command = env.command([
        "load",
        &uri,
        "--table",
        "t",
        "--preset",
        "hive",
        "--endpoint-url",
        moto::url()?,
    ]);
    let ended = finish(command.arg("--failed-keys").arg(&failed).spawn()?).await?;
    ended.expect(3)?;
    ensure!(std::fs::read_to_string(failed)? == format!("s3://{bucket}/packed\n"), "{ended}");
    expect(&env, "t", &["0", "1", "2", "3", "4", "6"]).await
}
