//! Resolves a jobs file: the settings of each job are its own, then those above all jobs, then
//! those of the configuration file. The command line and the environment still come first.

use std::ffi::OsString;
use std::path::Path;

use super::resolve::{Inputs, Places, places, resolve_in};
use super::{Config, Resolved};
use crate::nearest::nearest;
use crate::s3_uri::SourceUri;
use crate::settings::{
    FileLayer, JobLayer, JobsFile, Origin, Problem, Provenance, Resolver, Scope, Setting, Value,
    names_job, table as s, toml_file,
};

/// The configuration of one job.
#[derive(Clone, Debug)]
pub struct JobConfig {
    pub name: String,
    pub config: Config,
}

/// The validated jobs of a jobs file, in its order.
pub struct ResolvedJobs {
    pub jobs: Vec<JobConfig>,
    /// The place that every value of each job came from.
    pub provenances: Vec<Provenance>,
    pub warnings: Vec<String>,
}

/// Resolves the jobs of a file, or only those that are named in `only`.
///
/// # Errors
/// Returns all problems in all places at once.
pub fn resolve_jobs<E>(
    inputs: Inputs<'_, E>,
    (path, text): (&Path, &str),
    only: &[String],
) -> Result<ResolvedJobs, Vec<Problem>>
where
    E: IntoIterator<Item = (OsString, OsString)>,
{
    let (scope, read_file) = (inputs.scope, inputs.read_file);
    let places = places(inputs);
    let JobsFile { top, jobs } = toml_file::read_jobs(path, text);
    let mut problems = places.problems.clone();
    problems.extend(top.problems.iter().cloned());
    problems.extend(named_for_all(&places));
    if jobs.is_empty() && problems.is_empty() {
        let what = format!("the jobs file {} has no jobs", path.display());
        problems.push(unplaced(what, "begin each job with [[job]]"));
    }
    let named = named(jobs, &mut problems);
    for name in only.iter().filter(|name| !named.iter().any(|(known, _)| known == *name)) {
        let near = nearest(name, named.iter().map(|(name, _)| name.as_str()));
        let remedy = match near {
            Some(near) => format!("did you mean {near}?"),
            None => String::new(),
        };
        let origin = Origin::CommandLine("--only".to_owned());
        let what = format!("there is no job {name:?} in {}", path.display());
        problems.push(Problem::new(what, &origin, remedy));
    }

    let mut top_layer = top.layer;
    top_layer.retain(|setting| scope.uses(setting));
    let mut found = Found::default();
    let mut jobs = Vec::new();
    let mut provenances = Vec::new();
    for (name, job) in named {
        let missing = missing(&job, scope);
        let FileLayer { mut layer, suggested, problems: of_file } = job.file;
        let mut explained = places.explained.clone();
        explained.extend(&top.suggested);
        explained.extend(suggested);
        // Each has a problem of its own.
        explained.extend([s::TABLE.name, s::URIS.name]);
        layer.retain(|setting| scope.uses(setting));
        let mut layers = places.layers.clone();
        // Below the command line and the environment.
        layers.insert(2, top_layer.clone());
        layers.insert(2, layer);
        let resolver = Resolver {
            layers,
            problems: Vec::new(),
            explained: explained.into_iter().collect(),
            ..Resolver::default()
        };
        problems.extend(of_file);
        problems.extend(missing);
        match resolve_in(resolver, &places, scope, read_file) {
            Ok(Resolved { config, provenance, warnings }) => {
                found.add_warnings(warnings);
                provenances.push(provenance);
                jobs.push(JobConfig { name, config });
            }
            Err(of_job) => found.add(&name, of_job),
        }
    }
    let count = jobs.len() + found.jobs;
    problems.extend(found.problems(count));
    problems.extend(overlapping(&jobs));
    problems.extend(same_files(&jobs));
    if !problems.is_empty() {
        return Err(problems);
    }
    let is_wanted = |name: &String| only.is_empty() || only.contains(name);
    let (jobs, provenances) =
        jobs.into_iter().zip(provenances).filter(|(job, _)| is_wanted(&job.name)).unzip();
    Ok(ResolvedJobs { jobs, provenances, warnings: found.warnings })
}

fn unplaced(what: String, remedy: &str) -> Problem {
    Problem { what, origin: None, remedy: remedy.to_owned() }
}

/// Reports what the command line or the environment says for all jobs, and what only a job can say.
fn named_for_all(places: &Places) -> Vec<Problem> {
    let stronger = places.layers.iter().take(2);
    let given = stronger.flat_map(|layer| {
        s::ALL.iter().filter(|setting| names_job(setting)).filter_map(move |setting| {
            let given = layer.get(setting)?;
            Some((setting.name, given.origin.clone()))
        })
    });
    given
        .map(|(name, origin)| {
            let what = format!("{name} is for one job, and would hold for all of them");
            Problem::new(what, &origin, "leave it out, or leave out --jobs")
        })
        .collect()
}

/// Reports a job that does not say what it loads, or where.
fn missing(job: &JobLayer, scope: Scope) -> Vec<Problem> {
    let FileLayer { layer, suggested, .. } = &job.file;
    let lacks = |names: &[&'static Setting]| {
        !names.iter().any(|name| layer.get(name).is_some() || suggested.contains(&name.name))
    };
    let mut problems = Vec::new();
    if lacks(&[&s::TABLE]) {
        problems.push(Problem::new("the job has no table", &job.origin, "add table = \"TABLE\""));
    }
    if scope == Scope::Load && lacks(&[&s::URIS, &s::KEYS_FROM]) {
        let remedy = "add uris = \"s3://BUCKET/PREFIX/\"";
        problems.push(Problem::new("the job has nothing to load", &job.origin, remedy));
    }
    problems
}

/// Returns the jobs with their names, of which each stands for one job.
fn named(jobs: Vec<JobLayer>, problems: &mut Vec<Problem>) -> Vec<(String, JobLayer)> {
    let mut named: Vec<(String, JobLayer)> = Vec::new();
    for (index, job) in jobs.into_iter().enumerate() {
        let table = job.file.layer.get(&s::TABLE).map(|given| given.value.clone());
        let name = match (&job.name, table) {
            (Some(name), _) => name.clone(),
            (None, Some(Value::Text(table))) => table,
            (None, _) => format!("job {}", index + 1),
        };
        if let Some((_, other)) = named.iter().find(|(known, _)| *known == name) {
            let what = format!("there is a job {name:?} already ({})", other.origin);
            problems.push(Problem::new(what, &job.origin, "give each job its own name"));
        }
        named.push((name, job));
    }
    named
}

/// The problems and warnings of jobs. Those of settings for all jobs are found for each of them.
#[derive(Default)]
struct Found {
    /// Each problem with the jobs that have it.
    problems: Vec<(Problem, Vec<String>)>,
    warnings: Vec<String>,
    /// The number of jobs that have problems.
    jobs: usize,
}

impl Found {
    fn add(&mut self, job: &str, problems: Vec<Problem>) {
        self.jobs += 1;
        for problem in problems {
            match self.problems.iter_mut().find(|(known, _)| *known == problem) {
                Some((_, jobs)) => jobs.push(job.to_owned()),
                None => self.problems.push((problem, vec![job.to_owned()])),
            }
        }
    }

    fn add_warnings(&mut self, warnings: Vec<String>) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// Returns each problem once. One without a place, and not of all jobs, names the jobs.
    fn problems(&mut self, count: usize) -> Vec<Problem> {
        let named = |(problem, jobs): (Problem, Vec<String>)| {
            if problem.origin.is_some() || jobs.len() == count && count > 1 {
                return problem;
            }
            let label = if jobs.len() == 1 { "job" } else { "jobs" };
            Problem { what: format!("{label} {}: {}", jobs.join(", "), problem.what), ..problem }
        };
        std::mem::take(&mut self.problems).into_iter().map(named).collect()
    }
}

/// Reports jobs whose prefix holds the objects of another job for another table: they would go into
/// both tables.
fn overlapping(jobs: &[JobConfig]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for outer in jobs {
        for inner in jobs.iter().filter(|inner| inner.name != outer.name) {
            if is_filtered(outer) || outer.config.target.table == inner.config.target.table {
                continue;
            }
            let covered =
                inner.config.source.uris.iter().find(|uri| {
                    outer.config.source.uris.iter().any(|outer| lies_within(uri, outer))
                });
            if let Some(uri) = covered {
                let what = format!(
                    "job {} would load what job {} loads, too: {uri}",
                    outer.name, inner.name
                );
                let remedy = "name a prefix for each table, or use include, exclude or key-regex";
                problems.push(unplaced(what, remedy));
            }
        }
    }
    problems
}

/// Returns true if a job does not load all that is below its prefixes.
fn is_filtered(job: &JobConfig) -> bool {
    let source = &job.config.source;
    !source.include.is_empty() || !source.exclude.is_empty() || source.key_regex.is_some()
}

fn lies_within(uri: &SourceUri, outer: &SourceUri) -> bool {
    let (SourceUri::Prefix { bucket, prefix: key } | SourceUri::Key { bucket, key }) = uri;
    match outer {
        SourceUri::Prefix { bucket: outer, prefix } => outer == bucket && key.starts_with(prefix),
        SourceUri::Key { .. } => uri == outer,
    }
}

/// Reports a file of metrics that several jobs would write.
fn same_files(jobs: &[JobConfig]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        let Some(file) = &job.config.metrics.file else { continue };
        let earlier = jobs[..index].iter();
        for other in earlier.filter(|other| other.config.metrics.file.as_ref() == Some(file)) {
            let what = format!(
                "jobs {} and {} have the same metrics-file, {}",
                other.name,
                job.name,
                file.display()
            );
            problems.push(unplaced(what, "give each job its own file"));
        }
    }
    problems
}
