//! The daemon on real kernels: nodes, clients and routing daemons in network namespaces. See tests/README.md.
//!
//! The process executes itself again inside namespaces of its own; everything it makes vanishes with it.
#![allow(missing_docs, reason = "a program of tests: the names are sentences")]
#![allow(clippy::disallowed_methods, reason = "it measures: the clock is its instrument")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failing test panics, and says what it measured"
)]

#[path = "../luci/access.rs"]
#[allow(dead_code, reason = "shared with tests/luci")]
mod access;
mod addresses;
mod attach;
mod attack;
mod bench;
#[path = "../luci/bridge.rs"]
#[allow(dead_code, reason = "shared with tests/luci")]
mod bridge;
#[path = "../ubus/broker.rs"]
#[allow(dead_code, reason = "shared with the tests of the client")]
mod broker;
mod capture;
mod claims;
mod client;
mod crowd;
mod daemon;
mod demo;
mod dozing;
mod evidence;
mod forwarding;
mod frames;
mod grid;
mod hostile;
mod isolate;
mod journey;
mod lab;
mod life;
mod lossless;
mod lossy;
mod manual;
mod measure;
mod mixed;
mod monitor;
#[path = "../ubus/peer.rs"]
#[allow(dead_code, reason = "shared with the tests of the client")]
mod peer;
mod pool;
mod probe;
mod random;
mod relay;
mod repair;
mod rivals;
mod roam;
#[path = "../luci/router.rs"]
#[allow(dead_code, reason = "shared with tests/luci")]
mod router;
mod routing;
mod scale;
mod snippets;
mod snooping;
mod sys;
mod throughput;
mod topology;
mod trail;
mod ubus;
mod uci;
mod visits;
mod walk;
mod watch;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use daemon::Kind;
use measure::Outcome;
use pool::Share;

/// What a test needs beside the daemon under test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// The long form: it lasts, or is like another test of the short one.
    Long,
    Bird,
    /// And the long form.
    LongBird,
    /// One that withdraws what it should.
    Babeld,
    /// Debian's will do.
    AnyBabeld,
    /// And the long form.
    LongBabeld,
    /// The OLSRv2 daemon of OONF.
    Olsrd2,
    /// The kernel's and the program of nftables.
    Nft,
    /// Links of a given rate.
    Shaping,
    C,
    /// An interpreter for what runs on Lua.
    Lua,
    /// OpenWrt's `ubus` and `jshn`.
    Ubus,
}

/// A test: its name, what it needs, what it does.
type Test = (&'static str, Needs, fn() -> Outcome);

/// Whether the whole of every test is asked for.
fn long() -> bool {
    std::env::var_os("L3ROAMD_LONG").is_some()
}

fn missing(needs: Needs) -> Option<String> {
    let program = |name: &str| std::process::Command::new(name).arg("--version").output().is_ok();
    if Kind::Ours.program().is_none() {
        return Some("no daemon: build with --release or set L3ROAMD_BIN".into());
    }
    match needs {
        Needs::Long | Needs::LongBird | Needs::LongBabeld if !long() => {
            Some("is for the long form: set L3ROAMD_LONG".into())
        }
        Needs::Bird | Needs::LongBird if !program(&routing::bird_program()) => Some("needs bird2".into()),
        Needs::Babeld if std::env::var_os("L3ROAMD_BABELD").is_none() => {
            Some("set L3ROAMD_BABELD to a babeld of 1.13 or newer".into())
        }
        Needs::AnyBabeld | Needs::LongBabeld if !program(&routing::babeld_program()) => {
            Some("needs babeld".into())
        }
        Needs::Olsrd2 if !routing::imports_routes() => {
            Some("set L3ROAMD_OLSRD2 to an olsrd2 with lan_import".into())
        }
        Needs::Nft if !program("nft") => Some("needs nftables".into()),
        Needs::Shaping if !throughput::can_shape() => {
            Some("needs tc and the kernel's sch_tbf, sch_htb and cls_u32".into())
        }
        Needs::Lua if std::process::Command::new("lua5.1").arg("-v").output().is_err() => {
            Some("needs lua5.1".into())
        }
        Needs::Ubus if !monitor::has_ubus() => {
            Some("set L3ROAMD_UBUS_PREFIX to where OpenWrt's libubox (with jshn) and ubus are".into())
        }
        Needs::C if Kind::C.program().is_none() => Some("set L3ROAMD_C to the C daemon".into()),
        _ => None,
    }
}

fn main() -> ExitCode {
    if let Ok(socket) = std::env::var(broker::ROLE) {
        broker::serve(socket);
        return ExitCode::SUCCESS;
    }
    let word = std::env::args().nth(1).unwrap_or_default();
    if word == "demo" {
        return demo::main(std::env::args().skip(2));
    }
    let bench = word == "bench";
    let share = match word.as_str() {
        "patient" => Some(Share::Patient),
        "alone" => Some(Share::Alone),
        _ => None,
    };
    let words = usize::from(share.is_some());
    let tests = tests();
    if let Some(()) = pool::child(&tests) {
        return ExitCode::SUCCESS;
    }
    // Wrong arguments, and --help, end here already.
    let arguments = (!bench)
        .then(|| Arguments::from_iter(std::env::args().take(1).chain(std::env::args().skip(1 + words))));
    let impossible = isolate::isolate().err();
    let Some(mut arguments) = arguments else {
        if let Some(reason) = impossible.or_else(|| missing(Needs::Nothing)) {
            println!("The benchmark cannot run here: {reason}.");
            return ExitCode::FAILURE;
        }
        bench::run();
        return ExitCode::SUCCESS;
    };
    let threads = arguments.test_threads.unwrap_or(1);
    let mut failed = false;
    // Those that measure come last, and one at a time.
    for (share, threads) in [(Share::Patient, threads), (Share::Alone, 1)]
        .into_iter()
        .filter(|(known, _)| share.is_none_or(|share| share == *known))
    {
        arguments.test_threads = Some(threads);
        let trials =
            tests.iter().copied().filter(|(name, ..)| share.has(name)).map(
                |(name, needs, _)| match impossible.clone().or_else(|| missing(needs)) {
                    None => Trial::ignorable_test(name, move || pool::in_process(name, threads == 1)),
                    Some(reason) => {
                        Trial::ignorable_test(name, move || Ok(Completion::ignored_with(&reason)))
                    }
                },
            );
        failed |= libtest_mimic::run(&arguments, trials.collect()).has_failed();
    }
    measure::print_table();
    if failed { ExitCode::from(101) } else { ExitCode::SUCCESS }
}

/// All tests, in the order in which they begin.
fn tests() -> Vec<Test> {
    let mut tests = [
        roam::TESTS,
        snippets::TESTS,
        relay::TESTS,
        lossless::TESTS,
        lossy::TESTS,
        evidence::TESTS,
        dozing::TESTS,
        visits::TESTS,
        repair::TESTS,
        rivals::TESTS,
        throughput::TESTS,
        attach::TESTS,
        snooping::TESTS,
        addresses::TESTS,
        life::TESTS,
        uci::TESTS,
        hostile::TESTS,
        attack::TESTS,
        scale::TESTS,
        grid::TESTS,
        walk::TESTS,
        mixed::TESTS,
        ubus::TESTS,
        monitor::TESTS,
        manual::TESTS,
        demo::TESTS,
    ]
    .concat();
    tests.sort_by_key(|(name, ..)| pool::turn(name));
    tests
}
