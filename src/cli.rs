//! Parses the command line.
//!
//! Flags are made from the table of settings and have no defaults, because a default here would
//! override the configuration file. The parsed values become the strongest layer of
//! [`crate::config::resolve()`], which finds all problems at once. clap itself only refuses
//! arguments that are not options at all.

mod help;
mod jobs_args;
mod scoped_args;
mod setting_args;
mod tips;

pub use jobs_args::JobsArgs;
pub use scoped_args::ScopedArgs;
pub use setting_args::{ForAck, ForForget, ForLoad, ForStatus, ForWait, Scoped};

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::commands::StatusForm;
use crate::printable::printable;
use crate::s3_uri::{SourceUri, SourceUriError};
use crate::units::parse_duration;
use help::{after_long_help, check_help, ledger_help, report_help, wait_help};
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
    /// Wait until the database, and the buckets that are named, answer. Loads nothing.
    Wait(WaitArgs),
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
    /// input. Also a file that a killed run has left: `NAME.RUN_ID.partial`.
    #[arg(required = true, value_name = "REPORT", value_hint = ValueHint::FilePath)]
    pub reports: Vec<PathBuf>,

    /// The file for the page, which only you can read; - is standard output.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
}

/// The arguments of `load` and `plan`.
#[derive(Args)]
#[command(after_long_help = after_long_help())]
pub struct LoadArgs {
    #[command(flatten)]
    pub settings: ScopedArgs<ForLoad>,

    #[command(flatten)]
    pub jobs: JobsArgs,
}

#[derive(Args)]
#[command(after_long_help = check_help())]
pub struct CheckArgs {
    #[command(flatten)]
    pub settings: ScopedArgs<ForLoad>,

    #[command(flatten)]
    pub jobs: JobsArgs,

    /// Check only the first N data rows of each object, and do not fetch the rest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub sample: Option<u64>,
}

#[derive(Args)]
#[command(after_long_help = ledger_help("the state was shown, even if no ledger exists"))]
pub struct StatusArgs {
    #[command(flatten)]
    pub settings: ScopedArgs<ForStatus>,

    #[command(flatten)]
    pub jobs: JobsArgs,

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
        conflicts_with_all = ["check", "jobs"],
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
#[command(after_long_help = wait_help())]
pub struct WaitArgs {
    #[command(flatten)]
    pub settings: ScopedArgs<ForWait>,
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
            assert!(args.settings.settings.layer.get(setting).is_none(), "{}", setting.name);
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
            ("wait", Scope::Wait),
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
