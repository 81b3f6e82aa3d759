//! The kernel side against the real kernel. Every test runs in a process of its own inside a fresh network namespace; where
//! namespaces are not permitted the tests are reported as ignored, never as passed.

mod netlink;
mod sockets;
mod stations;
mod support;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Names the one test that a child process runs.
const CHILD: &str = "L3ROAMD_DRIVER_TEST";

/// A test by name.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    let tests: Vec<Test> =
        netlink::TESTS.iter().chain(sockets::TESTS).chain(stations::TESTS).copied().collect();
    let roles = sockets::ROLES;
    if let Ok(name) = std::env::var(CHILD) {
        let (_, test) =
            tests.iter().chain(roles).find(|(known, _)| *known == name).expect("a test of this name");
        test();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let refused = permission_problem();
    let trials = tests.into_iter().map(|(name, _)| {
        let title = match &refused {
            Some(reason) => format!("{name} ({reason})"),
            None => name.to_owned(),
        };
        Trial::test(title, move || in_namespace(name)).with_ignored_flag(refused.is_some())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Why the tests cannot run here.
fn permission_problem() -> Option<&'static str> {
    let works = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    if !works("ip", &["-V"]) || !works("bridge", &["-V"]) {
        return Some("needs iproute2");
    }
    if !works("unshare", &["-n", "sh", "-c", "exec 3<>/dev/net/tun && ip link set lo up"]) {
        return Some("needs the right to make network namespaces and /dev/net/tun");
    }
    None
}

fn in_namespace(name: &str) -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let output = Command::new("unshare")
        .arg("-n")
        .arg(program)
        .env(CHILD, name)
        .env("RUST_BACKTRACE", "0")
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{}\n{}{said}", output.status, String::from_utf8_lossy(&output.stdout)).into())
}
