//! The files of `deploy/`: they follow the schemas that Kubernetes and AWS Batch publish, and the
//! program accepts their command lines.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::registry::{apply, plain_test};
use crate::support::program::{Ended, bare_command, finish};

const JOB: &str = "kubernetes-indexed-job.yaml";
const DEFINITION: &str = "aws-batch-job-definition.json";
const ARRAY_JOB: &str = "aws-batch-array-job.json";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// Runs `scripts/check-manifests.sh ARGS... FILE` to its end.
async fn check(args: &[&str], file: &Path) -> Result<Ended> {
    let mut command =
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/check-manifests.sh"));
    command
        .args(args)
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    finish(command.spawn()?).await
}

/// Returns the Job after checking it against its schema.
async fn job() -> Result<Value> {
    let ended = check(&["kubernetes"], &path(JOB)).await?;
    ended.expect(0)?;
    let mut documents: Vec<Value> = serde_json::from_str(&ended.stdout)?;
    ensure!(documents.len() == 1, "{} documents", documents.len());
    Ok(documents.remove(0))
}

fn json(name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(path(name))?)?)
}

fn strings(list: &Value) -> Result<Vec<String>> {
    let items = list.as_array().with_context(|| format!("{list} is no list"))?;
    items
        .iter()
        .map(|item| Ok(item.as_str().with_context(|| format!("{item} is no text"))?.to_owned()))
        .collect()
}

/// A container's command line: the program's name, its arguments, and its environment with a word
/// in place of every secret.
struct CommandLine {
    words: Vec<String>,
    variables: Vec<(String, String)>,
}

impl CommandLine {
    fn of_job(job: &Value) -> Result<Self> {
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        let words = [strings(&container["command"])?, strings(&container["args"])?].concat();
        Ok(Self { words, variables: variables(&container["env"])? })
    }

    fn of_batch() -> Result<Self> {
        let (definition, job) = (json(DEFINITION)?, json(ARRAY_JOB)?);
        let container = &definition["containerProperties"];
        let words = strings(&container["command"])?;
        let words = words.into_iter().map(|word| match word.strip_prefix("Ref::") {
            Some(name) => Ok(job["parameters"][name]
                .as_str()
                .with_context(|| format!("no parameter {name}"))?
                .to_owned()),
            None => Ok(word),
        });
        let mut all = variables(&container["environment"])?;
        all.extend(variables(&container["secrets"])?);
        Ok(Self { words: words.collect::<Result<_>>()?, variables: all })
    }

    /// Returns the configuration that the program prints for it.
    async fn printed_config(&self) -> Result<String> {
        let dir = tempfile::tempdir()?;
        let mut command = bare_command(dir.path());
        command
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .args(&self.words[1..])
            .arg("--print-config");
        let ended = finish(command.spawn()?).await?;
        ended.expect(0)?;
        ensure!(ended.stderr.is_empty(), "{ended}");
        Ok(ended.stdout)
    }
}

fn variables(list: &Value) -> Result<Vec<(String, String)>> {
    let list = list.as_array().with_context(|| format!("{list} is no list"))?;
    let all = list.iter().map(|variable| {
        let name = variable["name"].as_str().with_context(|| format!("{variable} has no name"))?;
        Ok((name.to_owned(), variable["value"].as_str().unwrap_or("a-secret").to_owned()))
    });
    all.collect()
}

#[apply(plain_test)]
async fn the_kubernetes_manifest_is_of_the_published_schema() -> Result<()> {
    let job = job().await?;
    ensure!(job["kind"] == "Job" && job["apiVersion"] == "batch/v1", "{job}");
    ensure!(job["spec"]["completionMode"] == "Indexed", "{job}");
    // The schema allows each number alone. Together they must be fifty pods at once.
    ensure!(job["spec"]["completions"] == 50 && job["spec"]["parallelism"] == 50, "{job}");
    // The API accepts one only with the other.
    let (spec, pod) = (&job["spec"], &job["spec"]["template"]["spec"]);
    ensure!(spec["backoffLimitPerIndex"].is_u64() && pod["restartPolicy"] == "Never", "{job}");
    let mounts = strings_of(&pod["containers"][0]["volumeMounts"], "name")?;
    ensure!(
        mounts == strings_of(&pod["volumes"], "name")?,
        "not every mount has its volume: {mounts:?}"
    );
    for rule in spec["podFailurePolicy"]["rules"].as_array().context("no rules")? {
        let meant = &rule["onExitCodes"]["containerName"];
        ensure!(
            meant.is_null() || *meant == pod["containers"][0]["name"],
            "{rule} means no container"
        );
    }
    Ok(())
}

fn strings_of(list: &Value, field: &str) -> Result<Vec<String>> {
    let items = list.as_array().with_context(|| format!("{list} is no list"))?;
    strings(&items.iter().map(|item| item[field].clone()).collect())
}

#[apply(plain_test)]
async fn the_aws_batch_files_are_of_the_published_service_model() -> Result<()> {
    check(&["aws-batch", "RegisterJobDefinition"], &path(DEFINITION)).await?.expect(0)?;
    check(&["aws-batch", "SubmitJob"], &path(ARRAY_JOB)).await?.expect(0)?;
    let (definition, job) = (json(DEFINITION)?, json(ARRAY_JOB)?);
    ensure!(
        job["jobDefinition"] == definition["jobDefinitionName"],
        "{job} uses another definition"
    );
    ensure!(job["arrayProperties"]["size"] == 50, "{job}");
    Ok(())
}

/// The checks above would be worth nothing if anything passed.
#[apply(plain_test)]
async fn a_misspelled_field_of_a_manifest_is_noticed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cases: [(&[&str], &str, &str, &str); 7] = [
        (&["kubernetes"], JOB, "completionMode:", "completionsMode:"),
        (&["kubernetes"], JOB, "backoffLimitPerIndex: 3", "backoffLimitPerIndex: three"),
        (&["kubernetes"], JOB, "terminationGracePeriodSeconds:", "terminationGracePeriod:"),
        (&["kubernetes"], JOB, "secretKeyRef:", "secretRef:"),
        (
            &["aws-batch", "RegisterJobDefinition"],
            DEFINITION,
            "attemptDurationSeconds",
            "attemptDuration",
        ),
        (
            &["aws-batch", "RegisterJobDefinition"],
            DEFINITION,
            "\"attempts\": 4",
            "\"attempts\": \"4\"",
        ),
        (&["aws-batch", "SubmitJob"], ARRAY_JOB, "arrayProperties", "arrayPropertys"),
    ];
    for (args, name, right, wrong) in cases {
        let text = std::fs::read_to_string(path(name))?;
        ensure!(text.contains(right), "{name} has no {right:?}");
        let file = dir.path().join(name);
        std::fs::write(&file, text.replacen(right, wrong, 1))?;
        let ended = check(args, &file).await?;
        ended.expect(1)?;
        let named =
            wrong.trim_matches(|letter: char| !letter.is_alphanumeric()).rsplit([' ', '"']).next();
        ended.says(named.context("nothing is wrong")?)?;
    }
    Ok(())
}

#[apply(plain_test)]
async fn the_program_takes_the_command_lines_of_the_manifests() -> Result<()> {
    for line in [CommandLine::of_job(&job().await?)?, CommandLine::of_batch()?] {
        ensure!(line.words[0] == "s3-to-mysql", "{:?}", line.words);
        let printed = line.printed_config().await?;
        for setting in [
            "uris = [\"s3://my-bucket/exports/orders/\"]",
            "table = \"orders\"",
            "host = \"mysql.example.internal\"",
            "database = \"shop\"",
            "#password = (hidden)",
            "mode = \"append\"",
            "no-ledger = false",
            "ssl-mode = \"REQUIRED\"",
        ] {
            ensure!(
                printed.lines().any(|line| line.starts_with(setting)),
                "no {setting} in\n{printed}"
            );
        }
    }
    Ok(())
}

/// Nothing in the command may depend on the pod's number: the program shares out the work.
#[apply(plain_test)]
async fn every_pod_has_the_same_command_line() -> Result<()> {
    let job = job().await?;
    for line in [CommandLine::of_job(&job)?, CommandLine::of_batch()?] {
        let all: Vec<_> =
            line.words.iter().chain(line.variables.iter().map(|(_, value)| value)).collect();
        ensure!(!all.iter().any(|word| word.contains("INDEX") || word.contains("$(")), "{all:?}");
    }
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .context("no environment")?;
    ensure!(env.iter().all(|variable| variable["valueFrom"]["fieldRef"].is_null()), "{env:?}");
    // A secret must come from a Secret.
    let plain = env.iter().filter(|variable| variable["valueFrom"].is_null());
    let plain: Vec<&str> = plain.filter_map(|variable| variable["name"].as_str()).collect();
    ensure!(plain == ["DATABASE_URL", "AWS_REGION"], "{plain:?}");
    Ok(())
}

#[apply(plain_test)]
async fn a_pod_has_the_disk_and_the_time_that_its_arguments_need() -> Result<()> {
    let job = job().await?;
    let pod = &job["spec"]["template"]["spec"];
    let args = strings(&pod["containers"][0]["args"])?;
    let argument = |name: &str| {
        let prefix = format!("--{name}=");
        args.iter()
            .find_map(|arg| arg.strip_prefix(&prefix))
            .with_context(|| format!("no --{name}"))
    };
    let gibibytes = |text: &str, unit: &str| -> Result<u64> {
        Ok(text.strip_suffix(unit).with_context(|| format!("{text} is not in {unit}"))?.parse()?)
    };
    let staged = gibibytes(argument("staging-budget")?, "GiB")?;
    let volume =
        gibibytes(pod["volumes"][0]["emptyDir"]["sizeLimit"].as_str().unwrap_or_default(), "Gi")?;
    let resources = &pod["containers"][0]["resources"];
    let disk =
        gibibytes(resources["limits"]["ephemeral-storage"].as_str().unwrap_or_default(), "Gi")?;
    ensure!(staged < volume && volume < disk, "{staged} GiB are staged in {volume} GiB of {disk}");
    // In memory, it would count towards the pod's memory.
    ensure!(pod["volumes"][0]["emptyDir"]["medium"].is_null(), "staged in memory");
    ensure!(
        argument("staging-dir")? == pod["containers"][0]["volumeMounts"][0]["mountPath"],
        "staged elsewhere"
    );
    ensure!(pod["terminationGracePeriodSeconds"].as_u64() >= Some(300), "{pod}");
    Ok(())
}
