//! The LuCI app in Chromium, against a real daemon's ubus object behind a bridge that asks the app's own access rules. See tests/README.md.
//!
//! The mesh is that of tests/netns, the broker that of tests/ubus; everything vanishes with the process.
#![allow(missing_docs, reason = "a program of tests: the names are sentences")]
#![allow(clippy::disallowed_methods, reason = "it measures: the clock is its instrument")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failing test panics, and says what it measured"
)]

#[path = "../ubus/broker.rs"]
#[allow(dead_code, reason = "shared with tests/ubus")]
mod broker;
#[path = "../netns/client.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod client;
#[path = "../netns/daemon.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod daemon;
#[path = "../netns/frames.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod frames;
#[path = "../netns/isolate.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod isolate;
#[path = "../netns/lab.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod lab;
#[path = "../netns/measure.rs"]
#[allow(dead_code, reason = "shared with tests/netns")]
mod measure;
#[path = "../ubus/peer.rs"]
#[allow(dead_code, reason = "shared with tests/ubus")]
mod peer;
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

mod access;
mod bridge;
mod browser;
mod config;
mod live;
mod router;
mod scripted;
mod sources;
mod stage;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use measure::Outcome;

/// A test: its name and what it does.
pub type Test = (&'static str, fn() -> Outcome);

/// Why the views cannot be shown here.
fn missing() -> Option<String> {
    if daemon::Kind::Ours.program().is_none() {
        return Some("no daemon: build with --release or set L3ROAMD_BIN".into());
    }
    browser::program().is_none().then(|| "needs chromium".into())
}

fn main() -> ExitCode {
    if let Ok(socket) = std::env::var(broker::ROLE) {
        broker::serve(socket);
        return ExitCode::SUCCESS;
    }
    // Wrong arguments, and --help, end here already.
    let mut arguments = Arguments::from_args();
    let impossible = isolate::isolate().err().or_else(missing);
    arguments.test_threads = Some(1);
    let mut trials: Vec<Trial> =
        sources::TESTS.iter().map(|(name, test)| Trial::ignorable_test(*name, test)).collect();
    for (name, test) in [live::TESTS, scripted::TESTS, config::TESTS].concat() {
        trials.push(match impossible.clone() {
            None => Trial::ignorable_test(name, move || measure::judge(name, test).completion()),
            Some(reason) => Trial::ignorable_test(name, move || Ok(Completion::ignored_with(&reason))),
        });
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    measure::print_table();
    conclusion.exit_code()
}
