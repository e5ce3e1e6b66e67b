//! Parses the command line.
//!
//! Flags are made from the table of settings and have no defaults, because a default here would
//! override the configuration file. The parsed values become the strongest layer of
//! [`crate::config::resolve()`], which finds all problems at once. clap itself only refuses
//! arguments that are not options at all.

mod help;
mod setting_args;
mod tips;

pub use setting_args::{ForAck, ForForget, ForLoad, ForStatus, Scoped};

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::commands::StatusForm;
use crate::config::{Inputs, Resolved, resolve};
use crate::printable::printable;
use crate::s3_uri::{SourceUri, SourceUriError};
use crate::settings::{ENVIRONMENT_PREFIX, Origin, Problem};
use crate::small_file;
use crate::units::parse_duration;
use help::{after_long_help, check_help, ledger_help, report_help};
use setting_args::SettingArgs;
use tips::with_tip;

/// Load the objects under an S3 prefix into a MySQL or MariaDB table, and report on every row.
#[derive(Parser)]
#[command(name = "s3-to-mysql", version, after_long_help = after_long_help())]
pub struct Cli {
    #[command(subcommand)]
    pub command: Cmd,
}

#[derive(Subcommand)]
pub enum Cmd {
    /// Load objects into a table.
    Load(LoadArgs),
    /// Show what `load` would do, without changing anything.
    Plan(LoadArgs),
    /// Find the problems that a load would have, by loading into a temporary table.
    Check(CheckArgs),
    /// Show the state of a table in the ledger: objects loaded, failed and in flight, and the last
    /// runs. Without --table, show a line for each table.
    Status(StatusArgs),
    /// Remove objects from the ledger, so that the next run loads them again. Their rows stay in
    /// the table.
    Forget(ForgetArgs),
    /// Acknowledge failed objects: load skips them, and they count as settled, until they change.
    Ack(AckArgs),
    /// Draw the reports of runs as one page of HTML: what failed, a timeline, the throughput.
    Report(ReportArgs),
    /// Print a shell script that completes the options of this program.
    Completions(CompletionsArgs),
}

#[derive(Args)]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Args)]
#[command(after_long_help = report_help())]
pub struct ReportArgs {
    /// The files that --report has written, one run after the other on the page; - is standard
    /// input. Also a file that a killed run has left: NAME.RUN_ID.partial.
    #[arg(required = true, value_name = "REPORT", value_hint = ValueHint::FilePath)]
    pub reports: Vec<PathBuf>,

    /// The file for the page, which only you can read; - is standard output.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
}

/// The arguments of `load`, `plan` and `check`.
pub type LoadArgs = ScopedArgs<ForLoad>;

#[derive(Args)]
#[command(after_long_help = check_help())]
pub struct CheckArgs {
    #[command(flatten)]
    pub settings: ScopedArgs<ForLoad>,

    /// Check only the first N data rows of each object, and do not fetch the rest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub sample: Option<u64>,
}

#[derive(Args)]
#[command(after_long_help = ledger_help("the state was shown, even if no ledger exists"))]
pub struct StatusArgs {
    #[command(flatten)]
    pub settings: ScopedArgs<ForStatus>,

    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,

    /// Show the whole messages of failures, with their rows, and all objects that are gone.
    #[arg(long, conflicts_with = "json")]
    pub details: bool,

    /// Print a verdict for monitoring, and exit with 0 (fine), 1 (warning) or 2 (critical).
    #[arg(long, conflicts_with_all = ["json", "details"])]
    pub check: bool,

    /// Compare what is loaded with these prefixes, as in `s3://BUCKET/PREFIX/`. Names the objects
    /// that are loaded and gone, and the age of the newest one.
    #[arg(
        long,
        value_name = "S3_URI",
        num_args = 1..,
        conflicts_with = "check",
        value_parser = parse_uri
    )]
    pub compare_source: Vec<SourceUri>,

    /// Make --check critical if the last success is older than this, such as 26h.
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = parse_duration)]
    pub max_age: Option<Duration>,
}

fn parse_uri(text: &str) -> Result<SourceUri, SourceUriError> {
    SourceUri::parse(text, false)
}

impl StatusArgs {
    #[must_use]
    pub fn form(&self) -> StatusForm {
        if self.check {
            StatusForm::Check { max_age: self.max_age }
        } else if self.json {
            StatusForm::Json
        } else {
            StatusForm::Text { has_details: self.details }
        }
    }
}

#[derive(Args)]
#[command(after_long_help = ledger_help("the objects are forgotten, or nothing was recorded"))]
pub struct ForgetArgs {
    #[command(flatten)]
    pub settings: ScopedArgs<ForForget>,

    /// Forget the objects. Without this, only show what would be forgotten, and exit with code 2.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Args)]
#[command(after_long_help = ledger_help("the failures are acknowledged, or no longer are"))]
pub struct AckArgs {
    #[command(flatten)]
    pub settings: ScopedArgs<ForAck>,

    /// The reason why the objects need not be loaded, for status.
    #[arg(long, value_name = "TEXT", required_unless_present = "undo")]
    pub reason: Option<String>,

    /// Take the acknowledgement back: the objects count as failed, and load tries them again.
    #[arg(long, conflicts_with = "reason")]
    pub undo: bool,
}

/// The options for the settings that a command uses, and the options that locate and print them.
#[derive(Args)]
#[command(after_long_help = after_long_help())]
pub struct ScopedArgs<S: Scoped> {
    #[command(flatten)]
    settings: SettingArgs<S>,

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

impl Cli {
    /// Parses the arguments of the process. Exits the process after `--help`, `--version` or a
    /// usage error, as clap does.
    #[must_use]
    pub fn from_process() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            // The message repeats arguments, which must not reach a terminal as they are.
            let shown =
                std::env::args_os().map(|arg| printable(&arg.to_string_lossy()).into_owned());
            with_tip(Self::try_parse_from(shown).err().unwrap_or(error)).exit()
        })
    }
}

impl CompletionsArgs {
    /// Writes the script.
    ///
    /// # Errors
    ///
    /// The error of `out`.
    pub fn write(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        // Written directly to `out`, clap would panic if a reader such as `head` has gone.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "s3-to-mysql", &mut script);
        out.write_all(&script)
    }
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
            read_file: &read_file,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::table;
    use crate::settings::{Flag, Scope};

    #[test]
    fn clap_finds_no_fault_with_the_command_line() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flag_has_a_default_that_would_beat_the_file() {
        let Cmd::Load(args) = Cli::parse_from(["s3-to-mysql", "load"]).command else {
            unreachable!("load was given")
        };
        for setting in table::ALL {
            assert!(args.settings.layer.get(setting).is_none(), "{}", setting.name);
        }
    }

    #[test]
    fn every_command_takes_the_settings_that_it_uses_but_secrets() {
        let command = Cli::command();
        for (name, scope) in [
            ("load", Scope::Load),
            ("plan", Scope::Load),
            ("check", Scope::Load),
            ("status", Scope::Status),
            ("forget", Scope::Forget),
            ("ack", Scope::Ack),
        ] {
            let command = command.find_subcommand(name).unwrap();
            for setting in table::ALL.iter().filter(|setting| setting.flag != Flag::Counted) {
                let has = command
                    .get_arguments()
                    .any(|arg| arg.get_id() == setting.name && !arg.is_hide_set());
                assert_eq!(has, !setting.secret && scope.uses(setting), "{name} {}", setting.name);
            }
        }
    }

    #[test]
    fn help_lists_the_exit_codes() {
        for name in ["load", "plan", "check"] {
            let help =
                Cli::command().find_subcommand_mut(name).unwrap().render_long_help().to_string();
            assert!(help.contains("Exit codes:") && help.contains("143"), "{help}");
        }
        assert!(Cli::command().render_long_help().to_string().contains("Exit codes:"));
    }

    #[test]
    fn completion_scripts_know_the_words_of_a_choice() {
        let mut script = Vec::new();
        CompletionsArgs { shell: Shell::Bash }.write(&mut script).unwrap();
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("VERIFY_IDENTITY") && script.contains("hive-raw"));
    }
}
