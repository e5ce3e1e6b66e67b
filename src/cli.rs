//! The command line.
//!
//! Flags are made from the table of settings and have no defaults, because a default here would
//! override the configuration file. The parsed values become the strongest layer of
//! [`crate::config::resolve()`], which finds all problems at once. clap itself only refuses
//! arguments that are not options at all.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser, ValueParser};
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand,
    ValueHint,
};
use clap_complete::Shell;

use crate::config::{Inputs, Resolved, resolve};
use crate::exit_code;
use crate::printable::printable;
use crate::settings::{
    Default, Flag, Layer, Origin, Problem, Scope, Setting, Value, ValueKind, table,
};
use crate::small_file;

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
    /// runs.
    Status(StatusArgs),
    /// Remove objects from the ledger, so that the next run loads them again. Their rows stay in
    /// the table.
    Forget(ForgetArgs),
    /// Print a shell script that completes the options of this program.
    Completions(CompletionsArgs),
}

#[derive(Args)]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    pub shell: Shell,
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

/// A command as a type, because clap makes the options of a command from types only.
pub trait Scoped {
    const SCOPE: Scope;
}

pub enum ForLoad {}
pub enum ForStatus {}
pub enum ForForget {}

impl Scoped for ForLoad {
    const SCOPE: Scope = Scope::Load;
}

impl Scoped for ForStatus {
    const SCOPE: Scope = Scope::Status;
}

impl Scoped for ForForget {
    const SCOPE: Scope = Scope::Forget;
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
            Self::try_parse_from(shown).err().unwrap_or(error).exit()
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
    /// All problems at once.
    pub fn resolve(self) -> Result<Resolved, Vec<Problem>> {
        self.resolve_in(std::env::vars_os(), small_file::read_text)
    }

    pub(crate) fn resolve_in(
        self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        read_file: impl Fn(&Path) -> std::io::Result<String>,
    ) -> Result<Resolved, Vec<Problem>> {
        let environment: Vec<(OsString, OsString)> = environment.into_iter().collect();
        let variable = format!("{}CONFIG", table::ENVIRONMENT_PREFIX);
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

/// The values of the flags that are made from the table of settings.
struct SettingArgs<S> {
    layer: Layer,
    scope: PhantomData<S>,
}

/// Returns the settings that a command uses.
fn used<S: Scoped>() -> impl Iterator<Item = &'static Setting> {
    table::ALL.iter().copied().filter(|setting| S::SCOPE.uses(setting))
}

impl<S: Scoped> Args for SettingArgs<S> {
    fn augment_args(command: Command) -> Command {
        let command = used::<S>().fold(command, with_setting);
        if S::SCOPE == Scope::Forget {
            command.mut_arg(table::URIS.name, to_forget)
        } else {
            command
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Scoped> FromArgMatches for SettingArgs<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut layer = Layer::default();
        for setting in used::<S>() {
            if let Some((value, flag)) = value_of(setting, matches) {
                layer.insert(setting, value, Origin::CommandLine(flag));
            }
        }
        Ok(Self { layer, scope: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn to_forget(uris: Arg) -> Arg {
    let help = "The objects to forget: s3://BUCKET/KEY, \
                or s3://BUCKET/PREFIX/ for everything below it";
    uris.help(help).long_help(format!(
        "{help}.\n\nOnly the command line counts here. The URIs in a configuration file are meant \
         to be loaded."
    ))
}

const VERBOSE: &str = "verbose";
const QUIET: &str = "quiet";

fn with_setting(command: Command, setting: &'static Setting) -> Command {
    let heading = setting.section.title();
    let mut arg = Arg::new(setting.name).help(help(setting));
    if setting.flag != Flag::Positional {
        arg = arg.help_heading(heading);
    }
    if !setting.more.is_empty() {
        arg = arg.long_help(format!("{}.\n\n{}", help(setting), setting.more));
    }
    match setting.flag {
        Flag::None => return command,
        Flag::Counted => {
            let counted = |name: &'static str, short, help: &'static str| {
                Arg::new(name)
                    .long(name)
                    .short(short)
                    .action(ArgAction::Count)
                    .help(help)
                    .help_heading(heading)
            };
            return command.arg(counted(VERBOSE, 'v', "Log more (repeatable)")).arg(counted(
                QUIET,
                'q',
                "Log less (repeatable)",
            ));
        }
        Flag::Positional => arg = arg.num_args(0..),
        Flag::Long => arg = arg.long(setting.name),
        Flag::Short(short) => arg = arg.long(setting.name).short(short),
    }
    if let ValueKind::Switch { opposite } = setting.kind {
        let off = Arg::new(opposite).long(opposite).action(ArgAction::SetTrue).hide(true);
        return command
            .arg(arg.action(ArgAction::SetTrue).overrides_with(opposite))
            .arg(off.overrides_with(setting.name));
    }
    let action = if setting.kind == ValueKind::List { ArgAction::Append } else { ArgAction::Set };
    let hint = match (setting.kind, setting.value) {
        (ValueKind::Path, "DIR") => ValueHint::DirPath,
        (ValueKind::Path, _) => ValueHint::FilePath,
        (_, "URL" | "S3_URI") => ValueHint::Url,
        _ => ValueHint::Other,
    };
    let parser = match setting.kind {
        ValueKind::Choice(words) => ValueParser::new(Words(words)),
        _ => ValueParser::string(),
    };
    // A delimiter, a pattern or an expression may start with a hyphen.
    let hyphens = matches!(setting.kind, ValueKind::Delimiter | ValueKind::List)
        && setting.flag != Flag::Positional;
    command.arg(
        arg.action(action)
            .value_name(setting.value)
            .value_hint(hint)
            .value_parser(parser)
            .allow_hyphen_values(hyphens),
    )
}

fn help(setting: &Setting) -> String {
    match setting.default {
        Default::Text(_) if matches!(setting.kind, ValueKind::Switch { .. }) => {
            setting.doc.to_owned()
        }
        Default::Text(text) => format!("{} [default: {text}]", setting.doc),
        Default::Derived { rule, .. } => format!("{} [default: {rule}]", setting.doc),
        Default::Unset => setting.doc.to_owned(),
    }
}

/// Returns the value from the command line, and the flag that gave it.
fn value_of(setting: &Setting, matches: &ArgMatches) -> Option<(Value, String)> {
    let flag = format!("--{}", setting.name);
    match (setting.flag, setting.kind) {
        (Flag::None, _) => None,
        (Flag::Counted, _) => {
            let (more, less) = (matches.get_count(VERBOSE), matches.get_count(QUIET));
            let flag = if more >= less { "-v" } else { "-q" };
            (more > 0 || less > 0).then(|| {
                (
                    Value::Text((i16::from(more) - i16::from(less)).clamp(-9, 9).to_string()),
                    flag.to_owned(),
                )
            })
        }
        (_, ValueKind::Switch { opposite }) => {
            if matches.get_flag(setting.name) {
                Some((Value::Text(true.to_string()), flag))
            } else {
                matches
                    .get_flag(opposite)
                    .then(|| (Value::Text(false.to_string()), format!("--{opposite}")))
            }
        }
        (kind, ValueKind::List) => {
            let items: Vec<String> = matches.get_many(setting.name)?.cloned().collect();
            Some((
                Value::List(items),
                if kind == Flag::Positional { setting.value.to_owned() } else { flag },
            ))
        }
        _ => matches.get_one(setting.name).map(|text: &String| (Value::Text(text.clone()), flag)),
    }
}

/// A parser that offers words to help and completion. `resolve` checks the word that was given.
#[derive(Clone)]
struct Words(&'static [&'static str]);

impl TypedValueParser for Words {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

fn after_long_help() -> String {
    format!("{}\n{}", settings_help(), exit_code::help())
}

fn settings_help() -> &'static str {
    "Settings:\n  \
     Every setting of load, plan and check can also be an environment variable,\n  \
     S3_TO_MYSQL_ and its name in capitals with _ for -, or a key in a\n  \
     configuration file; see config.example.toml. A flag overrides a variable, and\n  \
     a variable overrides the file. DATABASE_URL and MYSQL_PWD are used if nothing\n  \
     else sets these values. In a variable, each line is an item of a list. Every\n  \
     switch has an opposite, such as --no-path-style.\n"
}

fn check_help() -> String {
    let mut text = format!(
        "{}
Exit codes:",
        settings_help()
    );
    for &(code, meaning) in exit_code::MEANINGS {
        let meaning = match code {
            exit_code::ALL_LOADED => "nothing would go wrong, as far as a check can see",
            exit_code::OBJECTS_FAILED => "some objects would fail",
            exit_code::ROWS_REJECTED => "every object would load, but some rows would be rejected",
            _ => meaning,
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {code:>3}  {meaning}");
    }
    text
}

/// Returns the help text about settings and exit codes for commands that load nothing.
fn ledger_help(success: &str) -> String {
    let mut text = String::from(
        "Settings:\n  \
         You can use the environment and the configuration file of a load unchanged:\n  \
         this command ignores settings that it does not need. See load --help.\n\n\
         Exit codes:",
    );
    let codes = [exit_code::BUG, exit_code::USAGE, exit_code::TARGET_UNAVAILABLE];
    for (code, meaning) in std::iter::once((exit_code::ALL_LOADED, success))
        .chain(exit_code::MEANINGS.iter().copied().filter(|(code, _)| codes.contains(code)))
    {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {code:>3}  {meaning}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
