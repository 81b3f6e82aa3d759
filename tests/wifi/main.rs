//! The virtual Wi-Fi laboratory, from inside: what `tests/wifi/run` boots in its machine. See tests/README.md.
//!
//! Mesh, correspondent and route watcher are those of tests/netns. Two of its nodes have an access point each; the
//! third, in the middle, only forwards. Times are those of the machine's virtual clock, which counts instructions.
#![allow(missing_docs, reason = "a program of tests: the names are sentences")]
#![allow(clippy::disallowed_methods, reason = "it measures: the clock is its instrument")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failing test panics, and says what it measured"
)]

#[path = "../netns/daemon.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod daemon;
#[path = "../netns/isolate.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod isolate;
#[path = "../netns/lab.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod lab;
#[path = "../netns/measure.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod measure;
#[path = "../netns/probe.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod probe;
#[path = "../netns/routing.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod routing;
#[path = "../netns/sys.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod sys;
#[path = "../netns/topology.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod topology;
#[path = "../netns/watch.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod watch;

mod air;
mod roam;
mod signs;
mod site;
mod stay;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Trial};

use daemon::Kind;
use measure::{Outcome, Trouble, must};
use site::Site;

/// A test: its name, the program it measures, what it does.
type Test = (&'static str, Kind, fn(&mut Site) -> Outcome);

/// Everything is built once: booting is what costs.
static SITE: Mutex<Option<Site>> = Mutex::new(None);
static BUILT: AtomicBool = AtomicBool::new(false);

/// Whether the whole of every test is asked for.
fn long() -> bool {
    std::env::var_os("L3ROAMD_LONG").is_some()
}

/// Runs a test; a bound that is missed is tried no second time, as the clock is virtual.
fn run(test: fn(&mut Site) -> Outcome) -> Result<Completion, libtest_mimic::Failed> {
    println!();
    let mut site = SITE.lock().unwrap_or_else(PoisonError::into_inner);
    let attempt = || {
        if site.is_none() && BUILT.swap(true, Ordering::Relaxed) {
            return must(false, "the laboratory could not be built");
        }
        test(site.get_or_insert_with(Site::new))
    };
    let why = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)) {
        Ok(Ok(())) => return Ok(Completion::Completed),
        Ok(Err(Trouble::Broken(why) | Trouble::Bound(why))) => why,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            text.unwrap_or_else(|| "panicked".into())
        }
    };
    site::print_logs();
    Err(why.into())
}

fn main() -> ExitCode {
    if !Path::new("/modules/radio").exists() {
        println!("This runs inside a virtual machine: start tests/wifi/run.");
        return ExitCode::FAILURE;
    }
    let arguments = Arguments {
        test_threads: Some(1),
        color: Some(libtest_mimic::ColorSetting::Never),
        filter: std::env::var("WIFI_FILTER").ok(),
        ..Arguments::default()
    };
    let tests = [stay::TESTS, roam::TESTS].concat();
    let trials = tests.into_iter().filter(|(_, kind, _)| *kind == Kind::Ours || kind.program().is_some());
    let trials: Vec<Trial> =
        trials.map(|(name, _, test)| Trial::ignorable_test(name, move || run(test))).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    measure::print_table();
    conclusion.exit_code()
}
