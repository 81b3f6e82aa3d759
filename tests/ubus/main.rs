//! The daemon's end of ubus: each client against each broker, with the same tests. `L3ROAMD_UBUS_PREFIX` names where OpenWrt's ubus is
//! installed (`sbin/ubusd`, `lib`); without it what needs that is reported as ignored.
#![allow(clippy::print_stdout, reason = "what was measured is read in the output")]
#![allow(clippy::disallowed_methods, reason = "it measures: the clock is its instrument")]

mod broker;
mod cases;
mod faults;
mod lab;
mod layout;
mod peer;
mod watching;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use l3roamd::openwrt::ubus::Carrier;
use libtest_mimic::{Arguments, Failed, Trial};

use broker::Kind;
use lab::World;

/// Names the one test that a child process runs.
const CHILD: &str = "L3ROAMD_UBUS_TEST";

/// A test by name.
pub type Test = (&'static str, fn(&World));

fn main() -> ExitCode {
    if let Ok(socket) = std::env::var(broker::ROLE) {
        broker::serve(socket);
        return ExitCode::SUCCESS;
    }
    let child = std::env::var(CHILD).ok();
    let mut arguments = Arguments::from_args();
    // They wait for most of their time.
    arguments.test_threads.get_or_insert(4);
    let prefix = std::env::var_os("L3ROAMD_UBUS_PREFIX").map(PathBuf::from);
    let mut trials = Vec::new();
    for carrier in Carrier::ALL {
        let carried = lab::name(*carrier);
        let mut all = Vec::new();
        for (name, kind, refused) in brokers(prefix.as_ref()) {
            let tests = cases::TESTS.iter().chain(watching::TESTS);
            all.extend(
                tests.map(|(test, run)| (format!("{carried}, {name}: {test}"), *run, kind.clone(), refused)),
            );
        }
        let embedded = if carried == "embedded" { faults::EMBEDDED } else { &[] };
        let faults = faults::TESTS.iter().chain(embedded);
        all.extend(
            faults.map(|(test, run)| (format!("{carried}, misbehaving: {test}"), *run, Kind::Crate, None)),
        );
        for (mut title, run, broker, refused) in all {
            if child.as_ref() == Some(&title) {
                run(&World { carrier: *carrier, broker });
                return ExitCode::SUCCESS;
            }
            let name = title.clone();
            if let Some(reason) = refused {
                title = format!("{title} ({reason})");
            }
            trials.push(Trial::test(title, move || in_process(&name)).with_ignored_flag(refused.is_some()));
        }
    }
    trials.extend(layout::trials(prefix.as_deref()));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Runs a test in a process of its own: libubus bears one connection in each.
fn in_process(name: &str) -> Result<(), Failed> {
    let output =
        Command::new(std::env::current_exe()?).env(CHILD, name).env("RUST_BACKTRACE", "0").output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().filter(|line| line.starts_with("measure:")).for_each(|line| println!("{line} ({name})"));
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// Every ubusd by name, and why it cannot be had.
fn brokers(prefix: Option<&PathBuf>) -> [(&'static str, Kind, Option<&'static str>); 2] {
    let refused = match std::fs::metadata("/proc/self").map(|data| std::os::unix::fs::MetadataExt::uid(&data))
    {
        Ok(0) => None,
        _ => Some("needs root: ubusd refuses others what no rule permits"),
    };
    let c = Kind::C(prefix.cloned().unwrap_or_default());
    let without = prefix.is_none().then_some("needs OpenWrt's ubusd: L3ROAMD_UBUS_PREFIX is not set");
    [("crate", Kind::Crate, refused), ("C", c, refused.or(without))]
}
