//! Makes the flags of a command from the table of settings.
//!
//! No flag has a default, because a default here would override the configuration file.

use std::marker::PhantomData;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use crate::settings::{Default, Flag, Layer, Origin, Scope, Setting, Value, ValueKind, table};

/// A command as a type, because clap makes the options of a command from types only.
pub trait Scoped {
    const SCOPE: Scope;
}

pub enum ForLoad {}

pub enum ForStatus {}

pub enum ForForget {}

pub enum ForAck {}

pub enum ForWait {}

impl Scoped for ForLoad {
    const SCOPE: Scope = Scope::Load;
}

impl Scoped for ForStatus {
    const SCOPE: Scope = Scope::Status;
}

impl Scoped for ForForget {
    const SCOPE: Scope = Scope::Forget;
}

impl Scoped for ForAck {
    const SCOPE: Scope = Scope::Ack;
}

impl Scoped for ForWait {
    const SCOPE: Scope = Scope::Wait;
}

/// The values of the flags that are made from the table of settings.
pub(super) struct SettingArgs<S> {
    pub(super) layer: Layer,
    scope: PhantomData<S>,
}

/// Returns the settings that a command uses.
fn used<S: Scoped>() -> impl Iterator<Item = &'static Setting> {
    table::ALL.iter().copied().filter(|setting| S::SCOPE.uses(setting))
}

impl<S: Scoped> Args for SettingArgs<S> {
    fn augment_args(command: Command) -> Command {
        // A heading stands where its first option does, so the common options come first.
        let (common, others): (Vec<_>, Vec<_>) = used::<S>().partition(|it| is_common::<S>(it));
        let command = common
            .into_iter()
            .chain(others)
            .fold(command, |command, setting| with_setting::<S>(command, setting));
        match S::SCOPE {
            Scope::Forget => command.mut_arg(table::URIS.name, to_forget),
            Scope::Ack => command.mut_arg(table::URIS.name, to_acknowledge),
            Scope::Wait => command.mut_arg(table::URIS.name, to_wait_for),
            Scope::Load => command.after_help(SHORT_HELP_END),
            Scope::Status => command,
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
    only_here(
        uris,
        "The objects to forget: s3://BUCKET/KEY, or s3://BUCKET/PREFIX/ for everything below it",
    )
}

fn to_acknowledge(uris: Arg) -> Arg {
    only_here(
        uris,
        "The failed objects: s3://BUCKET/KEY, or s3://BUCKET/PREFIX/ for all that failed below it",
    )
}

fn to_wait_for(uris: Arg) -> Arg {
    let help = "The buckets that must answer, as s3://BUCKET/PREFIX/. Without any, only the \
                database is waited for";
    uris.help(help).long_help(format!("{help}."))
}

fn only_here(uris: Arg, help: &'static str) -> Arg {
    uris.help(help).long_help(format!(
        "{help}.\n\nOnly the command line counts here. The URIs in a configuration file are meant \
         to be loaded."
    ))
}

const VERBOSE: &str = "verbose";

const QUIET: &str = "quiet";

/// The end of the short help of a load, which shows only the common options.
const SHORT_HELP_END: &str = "--help shows all options, and says more about each.";

/// Returns true if the option stands among the common ones of a load, or is a URI.
fn is_common<S: Scoped>(setting: &Setting) -> bool {
    S::SCOPE == Scope::Load && (setting.common || setting.flag == Flag::Positional)
}

fn with_setting<S: Scoped>(command: Command, setting: &'static Setting) -> Command {
    let is_common = is_common::<S>(setting);
    let heading = if is_common { "Common options" } else { setting.section.title() };
    let mut arg = Arg::new(setting.name)
        .help(help(setting))
        .hide_short_help(S::SCOPE == Scope::Load && !is_common);
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
    if let Some(bare) = setting.bare {
        arg = arg.num_args(0..=1).require_equals(true).default_missing_value(bare);
    }
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
