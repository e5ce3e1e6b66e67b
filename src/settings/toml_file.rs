//! Reads the configuration file: TOML with every key at top level, named like its flag. Reads also
//! the jobs file, which has a table for each job besides.
//!
//! One pass finds every problem in the file. Messages name the line but never show its text, which
//! may hold a secret.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::job_settings::{is_of_job, names_job};
use super::layer::{Layer, Origin, Problem, Value, closest};
use super::setting::{Setting, ValueKind};
use crate::printable::printable;

/// The values in a file, as far as it could be read.
pub(crate) struct FileLayer {
    pub layer: Layer,
    pub problems: Vec<Problem>,
    /// Settings that misspelled keys most likely mean. Their absence is not reported again.
    pub suggested: Vec<&'static str>,
}

impl FileLayer {
    fn empty() -> Self {
        Self { layer: Layer::default(), problems: Vec::new(), suggested: Vec::new() }
    }

    /// Takes the value of a key. `refuse` returns the problem with a setting that has no place
    /// here.
    fn take(
        &mut self,
        (name, value): (&str, &DeValue<'_>),
        origin: Origin,
        refuse: &dyn Fn(&'static Setting) -> Option<(String, &'static str)>,
    ) {
        // Many files of TOML write their keys with underscores.
        let Some(setting) = Setting::by_name(&name.replace('_', "-")) else {
            self.suggested.extend(closest(name).map(|setting| setting.name));
            let is_table = matches!(value, DeValue::Table(_));
            self.problems.push(unknown(name, is_table, &origin));
            return;
        };
        if let Some((what, remedy)) = refuse(setting) {
            self.problems.push(Problem::new(what, &origin, remedy));
            return;
        }
        if let Some(given) = self.layer.get(setting) {
            let what = format!("{name} is also given as {} ({})", setting.name, given.origin);
            self.problems.push(Problem::new(what, &origin, "leave one of them out"));
            return;
        }
        match typed(setting, value) {
            Some(value) => self.layer.insert(setting, value, origin),
            None => self.problems.push(Problem::new(
                format!(
                    "{name} is {}, but must be {}",
                    with_article(value.type_str()),
                    expected(setting)
                ),
                &origin,
                "",
            )),
        }
    }
}

/// A file that is parsed, as far as it could be.
struct Parsed<'a> {
    path: &'a Path,
    text: &'a str,
    table: DeTable<'a>,
    /// The problems with its syntax.
    problems: Vec<Problem>,
}

impl<'a> Parsed<'a> {
    fn new(path: &'a Path, text: &'a str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut parsed = Self { path, text, table: table.into_inner(), problems: Vec::new() };
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            let what = format!("not valid TOML: {}", error.message());
            parsed.problems.push(Problem::new(what, &parsed.origin(offset), ""));
        }
        parsed
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line: line_of(self.text, offset) }
    }

    /// Returns the keys of a table with their values and places, in the order of the file.
    fn entries<'t>(&self, table: &'t DeTable<'a>) -> Vec<(&'t str, &'t DeValue<'a>, Origin)> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries.into_iter();
        entries
            .map(|(key, value)| {
                (key.get_ref().as_ref(), value.get_ref(), self.origin(key.span().start))
            })
            .collect()
    }
}

pub(crate) fn read(path: &Path, text: &str) -> FileLayer {
    let parsed = Parsed::new(path, text);
    let mut file = FileLayer { problems: parsed.problems.clone(), ..FileLayer::empty() };
    for (name, value, origin) in parsed.entries(&parsed.table) {
        if name == JOB {
            let what = "a file with jobs is no configuration file";
            file.problems.push(Problem::new(what, &origin, "give it as --jobs FILE"));
            continue;
        }
        file.take((name, value), origin, &|_| None);
    }
    file
}

/// The key of the tables of a jobs file.
const JOB: &str = "job";
/// The key of a job's name.
const NAME: &str = "name";

/// A jobs file: the settings of all jobs, and those of each.
pub(crate) struct JobsFile {
    pub top: FileLayer,
    pub jobs: Vec<JobLayer>,
}

/// The settings of one job.
pub(crate) struct JobLayer {
    /// The name; `None` if the job is to be named after its table.
    pub name: Option<String>,
    /// The place where the job begins.
    pub origin: Origin,
    pub file: FileLayer,
}

/// Reads a jobs file. Settings of single jobs may also stand at the top, for all jobs, unless they
/// say what is loaded and where.
pub(crate) fn read_jobs(path: &Path, text: &str) -> JobsFile {
    let parsed = Parsed::new(path, text);
    let mut top = FileLayer { problems: parsed.problems.clone(), ..FileLayer::empty() };
    let mut jobs = Vec::new();
    for (name, value, origin) in parsed.entries(&parsed.table) {
        if name != JOB {
            top.take((name, value), origin, &|setting| {
                let what = || format!("{} is for one job", setting.name);
                names_job(setting).then(|| (what(), "put it below a [[job]]"))
            });
            continue;
        }
        let items = match value {
            DeValue::Array(items) => &**items,
            _ => &[],
        };
        let tables: Vec<&DeTable<'_>> = items
            .iter()
            .filter_map(|item| match item.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => None,
            })
            .collect();
        if tables.is_empty() || tables.len() < items.len() {
            let what = "job must be a table in double brackets";
            top.problems.push(Problem::new(what, &origin, "begin each job with [[job]]"));
        }
        for (item, table) in items.iter().zip(&tables) {
            jobs.push(read_job(&parsed, table, parsed.origin(item.span().start)));
        }
    }
    JobsFile { top, jobs }
}

fn read_job<'a>(parsed: &Parsed<'a>, table: &DeTable<'a>, origin: Origin) -> JobLayer {
    let mut job = JobLayer { name: None, origin, file: FileLayer::empty() };
    for (name, value, origin) in parsed.entries(table) {
        if name != NAME {
            job.file.take((name, value), origin, &|setting| {
                let what = || format!("{} is for all jobs", setting.name);
                (!is_of_job(setting)).then(|| (what(), "put it above the first [[job]]"))
            });
            continue;
        }
        match value.as_str().filter(|name| !name.trim().is_empty()) {
            Some(name) => job.name = Some(name.to_owned()),
            None => {
                let what = "name must be a string that is not empty";
                job.file.problems.push(Problem::new(what, &origin, ""));
            }
        }
    }
    job
}

fn unknown(name: &str, is_table: bool, origin: &Origin) -> Problem {
    let remedy = match closest(name) {
        Some(setting) => format!("did you mean {}?", setting.name),
        None if is_table => "put settings at top level, without [sections]".to_owned(),
        None => "config.example.toml lists all keys".to_owned(),
    };
    Problem::new(format!("there is no setting \"{}\"", printable(name)), origin, remedy)
}

fn typed(setting: &Setting, value: &DeValue<'_>) -> Option<Value> {
    let text = match (setting.kind, value) {
        (ValueKind::List, DeValue::Array(items)) => {
            let items: Option<Vec<String>> =
                items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
            return items.map(Value::List);
        }
        (ValueKind::List, DeValue::String(item)) => {
            return Some(Value::List(vec![item.to_string()]));
        }
        (ValueKind::Switch { .. }, DeValue::Boolean(on)) => on.to_string(),
        (ValueKind::Switch { .. }, DeValue::String(text))
            if text.is_empty() && setting.empty_is_unset() =>
        {
            String::new()
        }
        (
            ValueKind::Integer { .. } | ValueKind::Verbosity | ValueKind::Size,
            DeValue::Integer(number),
        ) => i128::from_str_radix(number.as_str(), number.radix()).ok()?.to_string(),
        (ValueKind::Time, DeValue::Datetime(time)) => time.to_string(),
        (
            ValueKind::Text
            | ValueKind::Path
            | ValueKind::Choice(_)
            | ValueKind::Size
            | ValueKind::Duration
            | ValueKind::Time
            | ValueKind::Delimiter,
            DeValue::String(text),
        ) => text.to_string(),
        _ => return None,
    };
    Some(Value::Text(text))
}

fn expected(setting: &Setting) -> &'static str {
    match setting.kind {
        ValueKind::Text | ValueKind::Path | ValueKind::Choice(_) | ValueKind::Delimiter => {
            "a string"
        }
        ValueKind::Switch { .. } => "true or false",
        ValueKind::Integer { .. } | ValueKind::Verbosity => "an integer",
        ValueKind::Size => "a string such as \"64MiB\", or an integer number of bytes",
        ValueKind::Duration => "a string such as \"30s\"",
        ValueKind::Time => "a date, or a time with its offset",
        ValueKind::List => "an array of strings",
    }
}

fn with_article(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {type_name}")
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read(Path::new("c.toml"), text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_misspelled_key_is_an_error_that_suggests_the_right_one() {
        assert_eq!(
            problems("\non_duplicates = 'ignore'"),
            ["c.toml line 2: there is no setting \"on_duplicates\"; did you mean on-duplicate?"]
        );
    }

    #[test]
    fn a_key_may_have_underscores_but_stands_there_once() {
        assert!(problems("on_duplicate = 'ignore'\nport = 1\n").is_empty());
        let twice = problems("on-duplicate = 'ignore'\non_duplicate = 'replace'\n");
        let expected = "c.toml line 2: on_duplicate is also given as on-duplicate (c.toml line 1); \
                        leave one of them out";
        assert_eq!(twice, [expected]);
    }

    #[test]
    fn everything_wrong_with_a_file_is_reported_at_once() {
        let found = problems(
            "prot = 1\nport = '1'\nstall-timeout = 60\ninclude = ['a', 1]\n[target]\nhost = 'h'\n",
        );
        assert_eq!(found.len(), 5, "{found:#?}");
        assert!(
            found.contains(&"c.toml line 2: port is a string, but must be an integer".into()),
            "{found:#?}"
        );
        assert!(found.contains(
            &"c.toml line 4: include is an array, but must be an array of strings".into()
        ));
    }

    #[test]
    fn a_jobs_file_has_the_settings_of_all_jobs_and_of_each() {
        let file = read_jobs(
            Path::new("j.toml"),
            "preset = 'csv'\n[[job]]\nuris = 's3://b/a/'\ntable = 'a'\n\n[[job]]\nname = 'n'\n\
             table = 'b'\nmode = 'swap'\n",
        );
        assert!(file.top.problems.is_empty() && file.top.layer.get(&table::PRESET).is_some());
        let names: Vec<Option<&str>> = file.jobs.iter().map(|job| job.name.as_deref()).collect();
        assert_eq!(names, [None, Some("n")]);
        let origins: Vec<String> = file.jobs.iter().map(|job| job.origin.to_string()).collect();
        assert_eq!(origins, ["j.toml line 2", "j.toml line 6"]);
        assert!(file.jobs[1].file.layer.get(&table::MODE).is_some());
    }

    #[test]
    fn everything_wrong_with_a_jobs_file_is_reported_with_its_line() {
        let file = read_jobs(
            Path::new("j.toml"),
            "table = 't'\n[[job]]\ntabel = 'a'\nhost = 'h'\nname = ''\n[[job]]\nmode = 1\n",
        );
        let mut found = file.top.problems;
        found.extend(file.jobs.into_iter().flat_map(|job| job.file.problems));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "j.toml line 1: table is for one job; put it below a [[job]]",
                "j.toml line 3: there is no setting \"tabel\"; did you mean table?",
                "j.toml line 4: host is for all jobs; put it above the first [[job]]",
                "j.toml line 5: name must be a string that is not empty",
                "j.toml line 7: mode is an integer, but must be a string",
            ]
        );
        let one = read_jobs(Path::new("j.toml"), "[job]\ntable = 't'\n").top.problems;
        assert!(one[0].to_string().contains("begin each job with [[job]]"));
        assert!(problems("[[job]]\n")[0].contains("give it as --jobs FILE"));
    }

    #[test]
    fn a_syntax_error_names_the_line_and_never_shows_it() {
        let found = problems("port = 3306\npassword = \"hunter2\nhost = 'h'\n");
        assert!(!found.is_empty());
        for problem in &found {
            assert!(problem.starts_with("c.toml line 2: not valid TOML: "), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        assert!(!problems("password = hunter2").iter().any(|problem| problem.contains("hunter2")));
        assert!(!problems("hunter2").iter().any(|problem| problem.contains("hunter2")));
    }
}
