//! The command line.
//!
//! Every command answers with a text for people or, with `--json`, with one object for programs, both on stdout.
//! Progress, warnings and errors go to stderr, an error in one line wherever one line can say it. The exit code is 0
//! for done or yes, 1 for a valid question answered no, 2 for bad input or usage, 3 for a failure of this program or the
//! machine.

mod answer;
mod args;
mod assumed;
mod calibration;
mod check;
mod demo;
mod inspect;
mod mock;
mod ops;
mod prove;
mod quantize;
mod run;
mod setup;
mod style;
mod values;
mod verify;

use std::cell::RefCell;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::error::{Error, Exit};
use crate::operators::{self, Operators};
use crate::progress::Progress;
use answer::{Answer, Warning};
use args::{Cli, Command};
use style::Style;

/// Whether the answer is JSON, for a panic, which has nothing else to ask.
static JSON: AtomicBool = AtomicBool::new(false);

/// What all commands share.
#[derive(Debug)]
pub(crate) struct Session {
    cache: Cache,
    progress: Progress,
    style: Style,
    warnings: RefCell<Vec<Warning>>,
}

impl Session {
    /// Says something that the caller may not have meant, when the command is done.
    fn warn(&self, warning: Warning) {
        self.warnings.borrow_mut().push(warning);
    }
}

/// Parses the command line, does what it says, and answers.
pub fn main() -> ExitCode {
    main_with(Operators::default())
}

/// The same with operators that zkonnx does not know, for a binary of one's own: every command reads models and stored
/// programs that use them. Call it once and first in `main`; the operators of a process do not change.
pub fn main_with(operators: Operators) -> ExitCode {
    JSON.store(asks_for_json(), Ordering::Relaxed);
    install_panic_hook();
    if !operators::settle(operators) {
        let error = Error::Usage(
            "the operators of this process are settled already; call `main_with` once, and first",
        );
        return ExitCode::from(complain(&error) as u8);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(usage(&error) as u8),
    };
    let session = Session {
        cache: cli.cache.clone().map_or_else(Cache::of_user, Cache::at),
        progress: if cli.quiet {
            Progress::hidden()
        } else {
            Progress::stderr()
        },
        style: Style::of_stdout(cli.json),
        warnings: RefCell::default(),
    };
    let answer = execute(&cli.command, &session);
    session.progress.clear();
    let warnings = session.warnings.take();
    warnings.iter().for_each(warn);
    let name = Some(cli.command.name());
    let exit = match answer {
        Ok(answer) => {
            let text = if cli.json {
                line(&answer::framed(name, answer.exit, &warnings, answer.json))
            } else {
                answer.text
            };
            let printed = print(&text);
            answer.errors.iter().for_each(|error| {
                complain(error);
            });
            printed.map_or_else(|error| complain(&error), |()| answer.exit)
        }
        Err(error) => {
            if cli.json {
                let body = answer::error_json(&error);
                // The line on stderr says it already, so a broken stdout changes nothing.
                let _ = print(&line(&answer::framed(name, error.exit(), &warnings, body)));
            }
            complain(&error)
        }
    };
    ExitCode::from(exit as u8)
}

fn execute(command: &Command, session: &Session) -> Result<Answer, Error> {
    match command {
        Command::Check(args) => check::check(args, session),
        Command::Run(args) => run::run(args, session),
        Command::Prove(args) => prove::prove(args, session),
        Command::Setup(args) => setup::setup(args, session),
        Command::Verify(args) => verify::verify(args, session),
        Command::Mock(args) => mock::mock(args, session),
        Command::Inspect(args) => inspect::inspect(args),
        Command::Quantize(args) => quantize::quantize(args, session),
        Command::Demo(args) => demo::demo(args, session),
        Command::Ops(args) => ops::ops(args),
    }
}

/// What one command line, without the name of the program, answers with `--json`, and its exit code: for programs that
/// ask many questions and would otherwise start a process for each.
pub fn answer(arguments: &[String]) -> (Exit, Value) {
    let named = std::iter::once("zkonnx").chain(arguments.iter().map(String::as_str));
    let cli = match Cli::try_parse_from(named) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render().to_string();
            let exit = exit_of(&error);
            return (exit, answer::usage_json(None, exit, &text));
        }
    };
    let session = Session {
        cache: cli.cache.clone().map_or_else(Cache::of_user, Cache::at),
        progress: Progress::hidden(),
        style: Style::of_stdout(true),
        warnings: RefCell::default(),
    };
    let (exit, body) = match execute(&cli.command, &session) {
        Ok(answer) => (answer.exit, answer.json),
        Err(error) => (error.exit(), answer::error_json(&error)),
    };
    let warnings = session.warnings.take();
    let name = Some(cli.command.name());
    (exit, answer::framed(name, exit, &warnings, body))
}

/// Whether `--json` is among the options, for command lines that cannot be parsed.
fn asks_for_json() -> bool {
    let options = std::env::args_os().skip(1).take_while(|arg| arg != "--");
    options.into_iter().any(|arg| arg == "--json")
}

/// Help and the version are what was asked for; anything else is wrong usage.
fn exit_of(error: &clap::Error) -> Exit {
    if error.use_stderr() {
        Exit::BadInput
    } else {
        Exit::Yes
    }
}

/// Help and the version, as asked for; or what is wrong with the command line.
fn usage(error: &clap::Error) -> Exit {
    let exit = exit_of(error);
    if !JSON.load(Ordering::Relaxed) {
        return error.print().map_or(Exit::Failure, |()| exit);
    }
    let commands = Cli::command();
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.find_map(|arg| {
        let mut known = commands.get_subcommands();
        known.find(|c| c.get_name() == arg).map(|c| c.get_name())
    });
    let text = error.render().to_string();
    let printed = print(&line(&answer::usage_json(name, exit, &text)));
    if exit != Exit::Yes {
        let _ = write!(std::io::stderr(), "{text}");
    }
    printed.map_or_else(|error| complain(&error), |()| exit)
}

fn line(json: &Value) -> String {
    format!("{json}\n")
}

/// Writes to stdout. A reader that has seen enough and closed the pipe is no error.
fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::Output(error)),
        _ => Ok(()),
    }
}

fn complain(error: &Error) -> Exit {
    let style = Style::of_stderr();
    let text = style::plain_lines(&error.to_string());
    let _ = writeln!(std::io::stderr(), "{} {text}", style.bad("error:"));
    error.exit()
}

fn warn(warning: &Warning) {
    let style = Style::of_stderr();
    let text = style::plain(&warning.message);
    let _ = writeln!(std::io::stderr(), "{} {text}", style.bold("warning:"));
}

/// A panic is a defect of this program: one line, and the exit code for that.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map(|place| format!(" at {}:{}", place.file(), place.line()));
        let what = info
            .payload_as_str()
            .unwrap_or("unknown cause")
            .replace('\n', " ");
        let message = format!(
            "internal error: {what}{}; please report it with the command and the files",
            place.unwrap_or_default()
        );
        if JSON.load(Ordering::Relaxed) {
            let body = json!({"error": {"kind": "internal", "message": message}});
            let _ = print(&line(&answer::framed(None, Exit::Failure, &[], body)));
        }
        let _ = writeln!(std::io::stderr(), "error: {message}");
        std::process::exit(Exit::Failure as i32);
    }));
}
