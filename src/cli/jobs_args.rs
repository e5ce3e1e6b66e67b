//! The options that name a jobs file and some of its jobs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::scoped_args::ScopedArgs;
use super::setting_args::Scoped;
use crate::config::{ResolvedJobs, resolve_jobs};
use crate::settings::{Origin, Problem};
use crate::small_file;

/// The options that name a jobs file and some of its jobs.
#[derive(Args)]
pub struct JobsArgs {
    /// Do this for each job of this TOML file, which has a `[[job]]` for each table, with the
    /// keys of the configuration file. Settings above the first job are for all of them.
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        help_heading = "Configuration"
    )]
    jobs: Option<PathBuf>,

    /// Take only this job of the jobs file (repeatable).
    #[arg(long, value_name = "NAME", requires = "jobs", help_heading = "Configuration")]
    only: Vec<String>,
}

impl JobsArgs {
    /// Returns true if a jobs file is named.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.jobs.is_some()
    }

    /// Resolves the jobs with the settings of the command.
    ///
    /// # Errors
    /// Returns all problems at once.
    pub fn resolve<S: Scoped>(
        &self,
        settings: ScopedArgs<S>,
    ) -> Result<ResolvedJobs, Vec<Problem>> {
        self.resolve_in(settings, std::env::vars_os(), small_file::read_text)
    }

    pub(crate) fn resolve_in<S: Scoped>(
        &self,
        settings: ScopedArgs<S>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> std::io::Result<String>,
    ) -> Result<ResolvedJobs, Vec<Problem>> {
        let path = self.jobs.clone().unwrap_or_default();
        let text = read_file(&path).map_err(|error| {
            let what = format!("the jobs file {} cannot be read: {error}", path.display());
            let origin = Some(Origin::CommandLine("--jobs".to_owned()));
            vec![Problem { what, origin, remedy: String::new() }]
        })?;
        settings.resolve_with(environment, &read_file, |inputs| {
            resolve_jobs(inputs, (&path, &text), &self.only)
        })
    }
}
