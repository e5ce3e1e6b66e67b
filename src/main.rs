//! The program: parses the command line, starts the runtime, runs a command and exits with its
//! code.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use s3_to_mysql::choices::{LogFormat, ProgressMode};
use s3_to_mysql::cli::{Cli, Cmd, JobsArgs, Scoped, ScopedArgs};
use s3_to_mysql::commands::{RunResult, StatusForm};
use s3_to_mysql::config::{Config, JobConfig, Resolved, ResolvedJobs};
use s3_to_mysql::error::Error;
use s3_to_mysql::printable::{Newlines, escape};
use s3_to_mysql::s3_uri::SourceUri;
use s3_to_mysql::settings::{Problem, Provenance};
use s3_to_mysql::shutdown::Signals;
use s3_to_mysql::terminal::{FOR_PEOPLE, FOR_PROGRAMS, JsonTerminal, Paint, PlainOutput, Terminal};
use s3_to_mysql::{commands, exit_code, limits, memory};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::FormatTime;

/// The command to run, and its options that are not settings.
enum Task {
    Load,
    Plan,
    Check {
        sample: Option<u64>,
    },
    Status(StatusForm, Vec<SourceUri>),
    Forget {
        yes: bool,
    },
    Wait,
    /// Acknowledges with this reason, or takes the acknowledgement back.
    Ack {
        reason: Option<String>,
    },
}

fn main() -> ExitCode {
    memory::give_back_freed_blocks();
    limits::raise_open_files();
    let (task, print_config, resolved) = match Cli::from_process().command {
        Cmd::Load(args) => {
            (Task::Load, args.settings.print_config, resolved(args.settings, &args.jobs))
        }
        Cmd::Plan(args) => {
            (Task::Plan, args.settings.print_config, resolved(args.settings, &args.jobs))
        }
        Cmd::Check(args) => (
            Task::Check { sample: args.sample },
            args.settings.print_config,
            resolved(args.settings, &args.jobs),
        ),
        Cmd::Status(args) => {
            let task = Task::Status(args.form(), args.compare_source);
            (task, args.settings.print_config, resolved(args.settings, &args.jobs))
        }
        Cmd::Forget(args) => (
            Task::Forget { yes: args.yes },
            args.settings.print_config,
            of_one(args.settings.resolve()),
        ),
        Cmd::Ack(args) => (
            Task::Ack { reason: args.reason },
            args.settings.print_config,
            of_one(args.settings.resolve()),
        ),
        Cmd::Wait(args) => {
            (Task::Wait, args.settings.print_config, of_one(args.settings.resolve()))
        }
        Cmd::Report(args) => {
            let ended = commands::report(&args.reports, &args.output);
            let paint = Terminal::new(ProgressMode::Off).error_paint();
            for error in &ended.errors {
                show(error, error.hint(), paint);
            }
            return ExitCode::from(ended.exit_code);
        }
        Cmd::Completions(completions) => {
            return finish(completions.write(&mut std::io::stdout()), exit_code::ALL_LOADED);
        }
    };
    let (work, provenances, warnings) = match resolved {
        Ok(resolved) => resolved,
        Err(problems) => return refuse(&problems),
    };
    if print_config {
        return finish(print(&work, &provenances), exit_code::ALL_LOADED);
    }
    // What does not differ between jobs.
    let Some(config) = work.config() else { return ExitCode::from(exit_code::ALL_LOADED) };
    let terminal = Terminal::new(config.output.progress);
    let log_format = config.output.log_format;
    let quiet = Quiet::of(&task, config.output.verbosity);
    log_to(&terminal, config);
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    // The panic hook has printed the message. Only the documented exit code is missing.
    let started = std::panic::catch_unwind(AssertUnwindSafe(|| start(work, &terminal, task)));
    let ended = match started {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => {
            say("error:", format_args!("{error:#}"));
            return ExitCode::from(exit_code::BUG);
        }
        Err(_) => return ExitCode::from(exit_code::BUG),
    };
    if quiet.hides(ended.exit_code) {
        return ExitCode::from(ended.exit_code);
    }
    // In JSON, each failure was logged by itself.
    if log_format == LogFormat::Text {
        let problems = terminal.error_paint().shown(&ended.problems);
        let _ = write!(std::io::stderr(), "{problems}");
    }
    let mut hints = BTreeSet::new();
    for error in &ended.errors {
        // Show each hint only once.
        let hint = error.hint().filter(|hint| hints.insert(*hint));
        match log_format {
            // With this format, a program reads standard error.
            LogFormat::Json => {
                tracing::error!(
                    code = error.kind.code(),
                    hint = error.hint(),
                    "{}",
                    error.one_line()
                );
            }
            LogFormat::Text => show(error, hint, terminal.error_paint()),
        }
    }
    let shown = terminal.output_paint().shown(&ended.output);
    finish(write!(std::io::stdout(), "{shown}"), ended.exit_code)
}

/// The configuration of one table, or of each job of a jobs file.
enum Work {
    One(Box<Config>),
    Jobs(Vec<JobConfig>),
}

impl Work {
    fn config(&self) -> Option<&Config> {
        match self {
            Self::One(config) => Some(config),
            Self::Jobs(jobs) => jobs.first().map(|job| &job.config),
        }
    }
}

/// The configuration with the places of its values, and warnings.
type Resolution = Result<(Work, Vec<Provenance>, Vec<String>), Vec<Problem>>;

fn of_one(resolved: Result<Resolved, Vec<Problem>>) -> Resolution {
    let Resolved { config, provenance, warnings } = resolved?;
    Ok((Work::One(Box::new(config)), vec![provenance], warnings))
}

/// Resolves the settings of one table, or of the jobs if a jobs file is named.
fn resolved<S: Scoped>(settings: ScopedArgs<S>, jobs: &JobsArgs) -> Resolution {
    if !jobs.is_given() {
        return of_one(settings.resolve());
    }
    let ResolvedJobs { jobs, provenances, warnings } = jobs.resolve(settings)?;
    Ok((Work::Jobs(jobs), provenances, warnings))
}

fn print(work: &Work, provenances: &[Provenance]) -> std::io::Result<()> {
    for (index, provenance) in provenances.iter().enumerate() {
        if let Work::Jobs(jobs) = work
            && let Some(job) = jobs.get(index)
        {
            writeln!(output(), "# ---- job {} ----", job.name)?;
        }
        write!(output(), "{provenance}")?;
    }
    Ok(())
}

fn start(work: Work, terminal: &Terminal, task: Task) -> anyhow::Result<RunResult> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        limits::outlive_file_size_limit()?;
        let config = match work {
            Work::One(config) => *config,
            Work::Jobs(jobs) => return start_jobs(jobs, terminal, task).await,
        };
        Ok::<_, std::io::Error>(match task {
            Task::Load => Box::pin(commands::load(config, terminal, Signals::catch()?)).await,
            Task::Plan => Box::pin(commands::plan(config, &mut output())).await,
            Task::Check { sample } => {
                Box::pin(commands::check(config, sample, terminal, Signals::catch()?)).await
            }
            Task::Status(form, sources) => Box::pin(commands::status(config, form, sources)).await,
            Task::Forget { yes } => commands::forget(config, yes, &mut output()).await,
            Task::Wait => Box::pin(commands::wait(config)).await,
            Task::Ack { reason } => commands::ack(config, reason.as_deref()).await,
        })
    });
    // A thread may be reading standard input for --keys-from -, and cannot be cancelled. Waiting
    // for it would prevent a stopped run from ending.
    runtime.shutdown_background();
    Ok(ended?)
}

async fn start_jobs(
    jobs: Vec<JobConfig>,
    terminal: &Terminal,
    task: Task,
) -> std::io::Result<RunResult> {
    Ok(match task {
        Task::Load => Box::pin(commands::load_jobs(jobs, terminal, Signals::catch()?)).await,
        Task::Plan => Box::pin(commands::plan_jobs(jobs, &mut output())).await,
        Task::Check { sample } => {
            Box::pin(commands::check_jobs(jobs, sample, terminal, Signals::catch()?)).await
        }
        Task::Status(form, _) => Box::pin(commands::status_jobs(jobs, form)).await,
        // These take no jobs file.
        Task::Forget { .. } | Task::Ack { .. } | Task::Wait => RunResult::default(),
    })
}

/// The results that `-q` hides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quiet {
    Nothing,
    /// `-q` hides the end of a run in which all is well.
    WhatIsWell,
    /// `-qq` hides everything but the exit code.
    Everything,
}

impl Quiet {
    /// The results of other tasks are what the user asks for, and always shown.
    fn of(task: &Task, verbosity: i8) -> Self {
        match (task, verbosity) {
            (Task::Load | Task::Check { .. }, ..=-2) => Self::Everything,
            (Task::Load | Task::Check { .. }, -1) => Self::WhatIsWell,
            _ => Self::Nothing,
        }
    }

    fn hides(self, exit_code: u8) -> bool {
        match self {
            Self::Nothing => false,
            Self::WhatIsWell => exit_code == exit_code::ALL_LOADED,
            Self::Everything => true,
        }
    }
}

/// Sets up logging for this crate only: logs of the SDK and the driver may contain secrets.
fn log_to(terminal: &Terminal, config: &Config) {
    let level = match config.output.verbosity {
        ..=-2 => "off",
        -1 => "error",
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    let (is_interactive, paint) = (terminal.is_interactive(), terminal.error_paint());
    let terminal = terminal.clone();
    // Messages hold texts of stores and servers. Nothing in them may control a terminal or begin a
    // line of its own.
    let fields = debug_fn(|writer: &mut Writer<'_>, field, value: &dyn Debug| {
        let text = format!("{value:?}");
        let text = escape(&text, Newlines::BeforeBlanks);
        match field.name() {
            "message" => write!(writer, "{text}"),
            name => write!(writer, "{name}={text}"),
        }
    });
    let for_others = match config.output.log_format {
        LogFormat::Text => FOR_PROGRAMS,
        LogFormat::Json => FOR_PEOPLE,
    };
    let json_terminal = JsonTerminal(terminal.clone());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("off,s3_to_mysql={level},{for_others}=off")))
        .with_target(false)
        // They would be printed with eprintln!, which panics if the reader of standard error has
        // gone.
        .log_internal_errors(false)
        .with_writer(move || terminal.clone());
    match config.output.log_format {
        LogFormat::Text if is_interactive => {
            let logs = logs.fmt_fields(fields.delimited(" "));
            logs.with_ansi(paint.has_color()).with_timer(TimeOfDay).init();
        }
        LogFormat::Text => logs.with_ansi(false).fmt_fields(fields.delimited(" ")).init(),
        LogFormat::Json => logs.with_writer(move || json_terminal.clone()).json().init(),
    }
}

/// A timer that stamps log lines with the local time of day, which is enough on a terminal.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", jiff::Zoned::now().strftime("%H:%M:%S"))
    }
}

fn refuse(problems: &[Problem]) -> ExitCode {
    for problem in problems {
        say("error:", problem);
    }
    ExitCode::from(exit_code::USAGE)
}

fn show(error: &Error, hint: Option<&str>, paint: Paint) {
    say(&paint.red("error:"), error);
    for cause in error.causes() {
        say("  caused by:", cause);
    }
    if let Some(hint) = hint {
        say("  hint:", hint);
    }
}

/// Prints a line on standard error. If that is closed (`2>&1 | head`), eprintln! would panic.
fn say(label: &str, text: impl Display) {
    let text = text.to_string();
    let text = escape(&text, Newlines::BeforeBlanks);
    let _ = writeln!(std::io::stderr(), "{label} {text}");
}

/// Returns standard output for what people read.
fn output() -> PlainOutput<std::io::Stdout> {
    PlainOutput(std::io::stdout())
}

/// Returns the exit code. A closed standard output (`... | head`) does not change it, because the
/// objects are loaded all the same.
fn finish(written: std::io::Result<()>, code: u8) -> ExitCode {
    match written.and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            say("error:", format_args!("standard output cannot be written: {error}"));
            if let Some(hint) = limits::remedy(&error) {
                say("  hint:", hint);
            }
            ExitCode::from(exit_code::without_output(code))
        }
        _ => ExitCode::from(code),
    }
}
