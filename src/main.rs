//! The daemon's entry: arguments, then [`l3roamd::daemon::run`]. The only place that ends the process.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use l3roamd::daemon::options::{self, Parsed};
use l3roamd::daemon::{self, Ending, help, one_line};

/// Exit status where the daemon cannot run.
const FAILED: u8 = 1;
/// Exit status where the command line is wrong.
const WRONG_OPTIONS: u8 = 2;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Parsed::Run(options)) => *options,
        Ok(Parsed::Help) => return print(&help::usage()),
        Ok(Parsed::Version) => return print(&format!("{}\n", options::VERSION)),
        Err(problem) => return fail(&problem, WRONG_OPTIONS),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(daemon::run(options)),
        Err(problem) => return fail(&problem, FAILED),
    };
    match outcome {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Again) => fail(&again(), FAILED),
        Err(problem) => fail(&problem, FAILED),
    }
}

/// Executes this program again in this process, as it was executed: by the same path, where a newer version may be by now. Comes back
/// only where that fails, with why.
fn again() -> io::Error {
    let mut arguments = std::env::args_os();
    match arguments.next() {
        Some(program) => Command::new(program).args(arguments).exec(),
        None => io::Error::other("restart in place: the program's name is not known"),
    }
}

/// Prints what was asked for. Who closes the pipe early has read enough.
fn print(text: &str) -> ExitCode {
    let _ = io::stdout().lock().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Says on one line why the daemon does not run.
fn fail(problem: &dyn std::fmt::Display, status: u8) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "l3roamd: {}", one_line(&problem.to_string()));
    ExitCode::from(status)
}
