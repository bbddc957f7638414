//! The command line.
//!
//! Every command answers with a text for people or, with `--json`, with one object for programs, both on stdout.
//! Progress and errors go to stderr, an error in one line wherever one line can say it. The exit code is 0 for done or
//! yes, 1 for a valid question answered no, 2 for bad input or usage, 3 for a failure of this program or the machine.

mod args;
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

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::error::{Error, Exit};
use crate::progress::Progress;
use args::{Cli, Command};
use style::Style;

/// What a command found out.
#[derive(Debug)]
pub(crate) struct Answer {
    json: Value,
    text: String,
    exit: Exit,
}

impl Answer {
    fn yes(json: Value, text: String) -> Self {
        Self {
            json,
            text,
            exit: Exit::Yes,
        }
    }
}

/// What all commands share.
#[derive(Debug)]
pub(crate) struct Session {
    cache: Cache,
    progress: Progress,
    style: Style,
}

/// Parses the command line, does what it says, and answers.
pub fn main() -> ExitCode {
    install_panic_hook();
    let cli = Cli::parse();
    let session = Session {
        cache: cli.cache.clone().map_or_else(Cache::of_user, Cache::at),
        progress: if cli.quiet {
            Progress::hidden()
        } else {
            Progress::stderr()
        },
        style: Style::of_stdout(cli.json),
    };
    let answer = execute(&cli.command, &session);
    session.progress.clear();
    let exit = match answer {
        Ok(answer) => {
            let text = if cli.json {
                line(&answer.json)
            } else {
                answer.text
            };
            print(&text).map_or_else(|error| complain(&error), |()| answer.exit)
        }
        Err(error) => {
            if cli.json {
                // The line on stderr says it already, so a broken stdout changes nothing.
                let _ = print(&line(
                    &json!({"error": error.to_string(), "exit_code": error.exit() as u8}),
                ));
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
        Command::Inspect(args) => inspect::inspect(args, session),
        Command::Quantize(args) => quantize::quantize(args, session),
        Command::Demo(args) => demo::demo(args, session),
        Command::Ops(args) => Ok(ops::ops(args)),
    }
}

/// What one command line, without the name of the program, answers with `--json`, and its exit code: for programs that
/// ask many questions and would otherwise start a process for each.
pub fn answer(arguments: &[String]) -> (Exit, Value) {
    let named = std::iter::once("zkonnx").chain(arguments.iter().map(String::as_str));
    let failed =
        |exit: Exit, error: String| (exit, json!({"error": error, "exit_code": exit as u8}));
    let cli = match Cli::try_parse_from(named) {
        Ok(cli) => cli,
        Err(error) => return failed(Exit::BadInput, error.to_string()),
    };
    let session = Session {
        cache: cli.cache.clone().map_or_else(Cache::of_user, Cache::at),
        progress: Progress::hidden(),
        style: Style::of_stdout(true),
    };
    match execute(&cli.command, &session) {
        Ok(answer) => (answer.exit, answer.json),
        Err(error) => failed(error.exit(), error.to_string()),
    }
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
    let _ = writeln!(std::io::stderr(), "{} {error}", style.bad("error:"));
    error.exit()
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
        let _ = writeln!(
            std::io::stderr(),
            "error: internal error: {what}{}; please report it with the command and the files",
            place.unwrap_or_default()
        );
        std::process::exit(Exit::Failure as i32);
    }));
}
