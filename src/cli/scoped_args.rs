//! The options for the settings of a command, which all commands share.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::help::after_long_help;
use super::setting_args::{Scoped, SettingArgs};
use crate::config::{Inputs, Resolved, resolve};
use crate::settings::{ENVIRONMENT_PREFIX, Origin, Problem};
use crate::small_file;

/// The options for the settings that a command uses, and the options that locate and print them.
#[derive(Args)]
#[command(after_long_help = after_long_help())]
pub struct ScopedArgs<S: Scoped> {
    #[command(flatten)]
    pub(super) settings: SettingArgs<S>,

    /// Read settings from this TOML file.
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        help_heading = "Configuration"
    )]
    config: Option<PathBuf>,

    /// Print the effective settings and where each comes from, without secrets, and exit.
    #[arg(long, help_heading = "Configuration")]
    pub print_config: bool,

    /// Hidden option that only yields an error, because users of mysql type it out of habit.
    #[arg(
        long,
        short,
        hide = true,
        num_args = 0..=1,
        default_missing_value = "",
        value_name = "REFUSED"
    )]
    password: Option<OsString>,
}

impl<S: Scoped> ScopedArgs<S> {
    /// Resolves the settings from these arguments, the environment of the process and the named
    /// files.
    ///
    /// # Errors
    ///
    /// Returns all problems at once.
    pub fn resolve(self) -> Result<Resolved, Vec<Problem>> {
        self.resolve_in(std::env::vars_os(), small_file::read_text)
    }

    pub(crate) fn resolve_in(
        self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> std::io::Result<String>,
    ) -> Result<Resolved, Vec<Problem>> {
        self.resolve_with(environment, &read_file, resolve)
    }

    /// Reads the configuration file, and resolves everything by `resolve`.
    pub(super) fn resolve_with<T>(
        self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: &dyn Fn(&Path) -> std::io::Result<String>,
        resolve: impl FnOnce(Inputs<'_, Vec<(OsString, OsString)>>) -> Result<T, Vec<Problem>>,
    ) -> Result<T, Vec<Problem>> {
        let environment: Vec<(OsString, OsString)> = environment.into_iter().collect();
        let variable = format!("{ENVIRONMENT_PREFIX}CONFIG");
        let named =
            environment.iter().find(|(name, value)| *name == *variable && !value.is_empty());
        let file = match (self.config, named) {
            (Some(path), _) => Some((path, Origin::CommandLine("--config".to_owned()))),
            (None, Some((_, path))) => Some((PathBuf::from(path), Origin::Environment(variable))),
            (None, None) => None,
        };
        let mut problems = Vec::new();
        if self.password.is_some() {
            problems.push(Problem {
                what: "a password is not taken from the command line, \
                       where other users can read it (ps)"
                    .to_owned(),
                origin: Some(Origin::CommandLine("--password".to_owned())),
                remedy: "give it in MYSQL_PWD, --password-file or the configuration file"
                    .to_owned(),
            });
        }
        let mut text = String::new();
        if let Some((path, origin)) = &file {
            match read_file(path) {
                Ok(read) => text = read,
                Err(error) => {
                    problems.push(Problem {
                        what: format!(
                            "the configuration file {} cannot be read: {error}",
                            path.display()
                        ),
                        origin: Some(origin.clone()),
                        remedy: String::new(),
                    });
                    // Settings that the file may contain must not be reported as missing.
                    return Err(problems);
                }
            }
        }
        let resolved = resolve(Inputs {
            scope: S::SCOPE,
            command_line: self.settings.layer,
            environment,
            file: file.as_ref().map(|(path, _)| (path.as_path(), text.as_str())),
            read_file,
        });
        match resolved {
            Ok(resolved) if problems.is_empty() => Ok(resolved),
            Ok(_) => Err(problems),
            Err(found) => {
                problems.extend(found);
                Err(problems)
            }
        }
    }
}
