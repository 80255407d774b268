//! The binary: parses the command line, runs the command and returns the exit code. No other file ends the process.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lockkeeper::cli::{self, Cli, Command, PreviewFlags};
use lockkeeper::command::{self, ChangeSummary, CommandOutput};
use lockkeeper::config::{DatabaseConfig, DatabaseNeed, EnvFile, Environment, ProcessConfig};
use lockkeeper::context::RunContext;
use lockkeeper::error::{Cause, Failure, Stage};
use lockkeeper::guarded_command::{SupervisorRequest, supervise};
use lockkeeper::masking;
use lockkeeper::outcome::Outcome;
use lockkeeper::report::{self, ProgressLine};
use lockkeeper::signal::{self, Cancel, CancelReason};
use lockkeeper::watchdog;

fn main() -> ExitCode {
    if let Some(request) = SupervisorRequest::from_arguments(std::env::args_os()) {
        // Lockkeeper sees the end of the connection, whatever the reason is.
        return supervise(request).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    // The message of the last panic, on one line.
    let last_panic = Arc::new(Mutex::new(String::new()));
    let hook_panic = Arc::clone(&last_panic);
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.to_string().replace('\n', " ");
        tracing::error!("this is a bug in lockkeeper: {text}");
        *lock_shared(&hook_panic) = text;
    }));
    let shared = Arc::new(Mutex::new(RunReport::default()));
    let failure = match catch_unwind(AssertUnwindSafe(|| run_supervised(&shared))) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(failure)) => failure,
        Err(_) => {
            // The panic may have happened before the log was started.
            let _ = report::start(None, &lock_shared(&shared).progress);
            Failure::new(Stage::Verify, Cause::Panic(lock_shared(&last_panic).clone()))
        }
    };
    // The exit code is returned even if writing the report panics.
    let run_report = lock_shared(&shared);
    let _ = catch_unwind(AssertUnwindSafe(|| run_report.report(&run_report.failure(&failure))));
    ExitCode::from(failure.exit().code())
}

/// Runs the command, reports the result, and replaces the process with the program after `--`, if there is one.
fn run_supervised(shared: &Arc<Mutex<RunReport>>) -> Result<(), Failure> {
    lock_shared(shared).start = Some(Instant::now());
    let worker_report = Arc::clone(shared);
    let result = watchdog::supervise(move |cancel| run(&worker_report, &cancel))?;
    let mut run_report = lock_shared(shared);
    if let RunEnd::Answered(output) = result {
        // The command has already printed its result to standard output: no JSON follows.
        run_report.json &= !matches!(output, CommandOutput::Printed(_));
        run_report.report(&Outcome::success(output, run_report.database.clone(), run_report.elapsed()));
        run_report.exec()?;
    }
    Ok(())
}

/// Locks a value. A poisoned mutex is accepted: a panic of the working thread leaves nothing half done in it.
fn lock_shared<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The successful end of a run.
enum RunEnd {
    /// The help or the version was printed.
    Printed,
    /// The command has ended with this output.
    Answered(CommandOutput),
}

/// The settings of the final report, and the program that replaces this process.
#[derive(Default)]
struct RunReport {
    /// The start of the run.
    start: Option<Instant>,
    /// The file of the termination message.
    termination_log: Option<PathBuf>,
    /// `true` if the result goes to standard output as JSON.
    json: bool,
    /// The server and the database, or the file, for display.
    database: Option<String>,
    /// The program after `--` and its arguments; empty if there is none.
    program: Vec<OsString>,
    /// The cancellation of this run, once it has begun.
    cancel: Option<Cancel>,
    /// The line of the terminal for progress.
    progress: ProgressLine,
}

impl RunReport {
    /// Writes the termination message, the last line of the log and, with `--json`, the result.
    fn report(&self, outcome: &Outcome) {
        // First, because `terminate` may log a warning, which must not follow the last line of the log.
        if let Some(path) = &self.termination_log {
            outcome.terminate(path);
        }
        outcome.log();
        if self.json {
            report::print(&outcome.json());
        }
    }

    /// Returns the outcome of a failure.
    fn failure(&self, failure: &Failure) -> Outcome {
        Outcome::failure(failure, self.database.clone(), self.elapsed())
    }

    /// Returns the time since the start of the run.
    fn elapsed(&self) -> Duration {
        self.start.map_or(Duration::ZERO, |start| start.elapsed())
    }

    /// Replaces this process with the program after `--`. Returns `Ok` if there is none, and an error if a signal has
    /// arrived or the program cannot be started.
    fn exec(&self) -> Result<(), Failure> {
        let Some((program, arguments)) = self.program.split_first() else {
            return Ok(());
        };
        // Printing the result may have waited for its reader. Whoever has sent a signal meanwhile does not want the
        // program, and the program would never receive that signal.
        if let Some(reason) = self.cancel.as_ref().and_then(Cancel::signal) {
            return Err(Failure::new(Stage::Exec, Cause::Stopped(reason)));
        }
        let mut command = std::process::Command::new(program);
        command.args(arguments);
        // The settings may contain the URL of the schema's owner, which the program must not have.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        signal::keep_ignored(&mut command);
        let error = command.exec();
        let program = program.to_string_lossy().into_owned();
        Err(Failure::new(Stage::Exec, Cause::Exec { program, error }))
    }
}

/// Returns whether an environment variable is a setting of Lockkeeper.
fn is_setting(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"LOCKKEEPER_")
}

/// Reads the settings, starts the log and runs the command.
fn run(shared: &Mutex<RunReport>, cancel: &Cancel) -> Result<RunEnd, Failure> {
    {
        let mut run_report = lock_shared(shared);
        run_report.cancel = Some(cancel.clone());
        // Set before parsing: a command line that cannot be parsed is reported as JSON, too.
        run_report.json = wants_json(std::env::args_os());
    }
    let configure = |cause| Failure::new(Stage::Configure, cause);
    hide_urls(std::env::args_os());
    let parsed = cli::parse(std::env::args_os());
    let flags = parsed.as_ref().map(|cli| cli.flags.clone()).unwrap_or_default();
    let (file, env_file_result) = match EnvFile::read(flags.env_file.as_deref()) {
        Ok(file) => (file, Ok(())),
        Err(cause) => (EnvFile::default(), Err(cause)),
    };
    let environment = Environment::read(std::env::vars_os(), file);
    let style = environment.as_ref().ok().map(|environment| environment.log_style(&flags));
    if let Ok(environment) = &environment {
        lock_shared(shared).termination_log = environment.termination_log();
    }
    let log_result = report::start(style, &lock_shared(shared).progress);
    let cli = match parsed {
        Err(error) if !error.use_stderr() => {
            report::print(&error.to_string());
            return Ok(RunEnd::Printed);
        }
        Err(error) => {
            return Err(configure(Cause::Usage(usage_error(&error.to_string()))));
        }
        Ok(cli) => cli,
    };
    lock_shared(shared).json = cli.flags.json;
    log_result.map_err(configure)?;
    env_file_result.map_err(configure)?;
    let environment = environment.map_err(configure)?;
    // Set before anything is read that may block.
    let process = ProcessConfig::new(&cli.flags, &environment).map_err(configure)?;
    if let Some(deadline) = process.deadline {
        cancel.set_deadline(deadline);
    }
    let config = database_config(&cli, environment, shared).map_err(configure)?;
    lock_shared(shared).program = program(&cli).map_err(configure)?;
    let context = RunContext::new(cancel, &lock_shared(shared).progress);
    execute(&cli, process, &config, &context, cancel).map(RunEnd::Answered)
}

/// Validates the settings. The first line of the log says which database they name, and the next one which file they
/// were taken from.
fn database_config(cli: &Cli, environment: Environment, shared: &Mutex<RunReport>) -> Result<DatabaseConfig, Cause> {
    let (unknown, notice) = (environment.unknown(), environment.taken_from_file());
    let config = DatabaseConfig::new(&cli.flags, environment, need(cli.command.as_ref()));
    let database = config.as_ref().ok().and_then(|config| config.shown.clone());
    lock_shared(shared).database.clone_from(&database);
    if let Some(database) = database {
        tracing::info!("using the database {database}");
    }
    let layout = config.as_ref().ok().and_then(DatabaseConfig::layout_note);
    for notice in notice.into_iter().chain(layout) {
        tracing::info!("{notice}");
    }
    for name in unknown {
        tracing::warn!("{name} is not a setting of this version and is ignored");
    }
    config
}

/// Returns how much a command needs to know of the database.
fn need(command: Option<&Command>) -> DatabaseNeed {
    match command {
        Some(Command::Check { offline: true }) => DatabaseNeed::Dialect,
        Some(Command::Completions { .. } | Command::Revision { .. } | Command::Merge { .. }) => DatabaseNeed::Nothing,
        Some(Command::Transfer(args)) if args.write_revision => DatabaseNeed::Nothing,
        _ => DatabaseNeed::Url,
    }
}

/// Returns an error for a run that a signal reached too late to stop it. Such a run has done its work, but it is no
/// success: no program must be started.
fn unless_stopped(output: CommandOutput, reason: Option<CancelReason>) -> Result<CommandOutput, Failure> {
    match (reason, output) {
        (None, output) => Ok(output),
        (Some(reason), CommandOutput::Migrated(migrated)) => {
            Err(Failure { done: migrated.done, ..Failure::new(Stage::Verify, Cause::Stopped(reason)) })
        }
        (Some(reason), CommandOutput::Text(done) | CommandOutput::Changed(ChangeSummary { message: done, .. })) => {
            Err(Failure::new(Stage::Verify, Cause::Late { reason, done }))
        }
        (Some(reason), CommandOutput::Printed(_)) => Err(Failure::new(Stage::Verify, Cause::Stopped(reason))),
    }
}

/// Returns the program after `--`. Only the commands after which the schema is known to be up to date accept one.
fn program(cli: &Cli) -> Result<Vec<OsString>, Cause> {
    match cli.command {
        _ if cli.program.is_empty() => Ok(Vec::new()),
        None | Some(Command::Guard(_) | Command::Wait { .. } | Command::Check { offline: false }) => {
            Ok(cli.program.clone())
        }
        Some(Command::Upgrade { look: preview, .. }) if preview == PreviewFlags::default() => Ok(cli.program.clone()),
        Some(_) => Err(Cause::Usage("a program after -- goes with upgrade, guard, check and wait only".into())),
    }
}

/// Returns the error message of the command line parser as one line, without the parser's own advice: Lockkeeper's
/// advice names the help already, and the words after `--` are a program here, never a value.
fn usage_error(text: &str) -> String {
    const ADVICE: [&str; 2] = ["For more information", "tip: to pass"];
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:")).map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !ADVICE.iter().any(|advice| line.starts_with(advice)));
    // A line that ends with a colon introduces the next one.
    lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ").trim_start_matches("error: ").into()
}

/// Returns whether the command line asks for the result as JSON, judged by its words before they are parsed.
fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut own_arguments = arguments.skip(1).take_while(|argument| argument != "--");
    // `--json` takes no value; a command line with one is refused, and that error is reported as JSON, too.
    own_arguments.any(|argument| argument == "--json" || argument.as_bytes().starts_with(b"--json="))
}

/// Masks the URLs that are in the wrong place of the command line: the error message about such a word would quote it
/// with its password. The value of `--url` is in the right place, and is shown without its password.
fn hide_urls(arguments: impl Iterator<Item = OsString>) {
    let texts = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let mut previous = String::new();
    for argument in texts.take_while(|argument| argument != "--") {
        let is_misplaced = previous != "--url" && !argument.starts_with("--url=");
        // The URL in `--wrong=URL` is masked as well.
        let value = argument.split_once('=').filter(|(name, _)| !name.contains("://"));
        let url = value.map_or(argument.as_str(), |(_, url)| url);
        // The URLs of SQLite files and of buckets have no password.
        let is_public = ["sqlite:///", "s3://", "gs://", "az://"].iter().any(|scheme| url.starts_with(scheme));
        if is_misplaced && url.contains("://") && (!is_public || url.contains(['@', '?'])) {
            masking::hide(url, &[]);
            masking::hide(&argument, &[]);
        }
        previous = argument;
    }
}

/// Runs the command. After a cancellation of the process, the command has the grace period to end by itself.
fn execute(
    cli: &Cli,
    ProcessConfig { grace, .. }: ProcessConfig,
    config: &DatabaseConfig,
    context: &RunContext,
    cancel: &Cancel,
) -> Result<CommandOutput, Failure> {
    let internal = |error: std::io::Error| Failure::new(Stage::Configure, Cause::Internal(error.to_string()));
    let runtime = watchdog::runtime().map_err(internal)?;
    cancel.begin(grace);
    let result = runtime.block_on(async {
        let overdue = async {
            let reason = cancel.cancelled().await;
            tokio::time::sleep(grace).await;
            Failure::new(Stage::Migrate, Cause::Overdue { reason, grace })
        };
        tokio::select! {
            result = command::run(cli, config, context) => {
                result.and_then(|output| unless_stopped(output, cancel.reason()))
            }
            failure = overdue => Err(failure),
        }
    });
    // A DNS lookup that is still running must not delay the exit.
    runtime.shutdown_background();
    result
}
