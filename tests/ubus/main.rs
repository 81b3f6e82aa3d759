//! The daemon's end of ubus: each client against each broker, with the same tests. `L3ROAMD_UBUS_PREFIX` names where OpenWrt's ubus is
//! installed (`sbin/ubusd`, `lib`); without it what needs that is reported as ignored.
#![allow(clippy::print_stdout, reason = "what was measured is read in the output")]
#![allow(clippy::disallowed_methods, reason = "it measures: the clock is its instrument")]

mod broker;
mod cases;
mod lab;
mod peer;
mod watching;

use std::path::PathBuf;
use std::process::ExitCode;

use l3roamd::openwrt::ubus::Carrier;
use libtest_mimic::{Arguments, Trial};

use broker::Kind;
use lab::World;

/// A test by name.
pub type Test = (&'static str, fn(&World));

fn main() -> ExitCode {
    if let Ok(socket) = std::env::var(broker::ROLE) {
        broker::serve(socket);
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // Some tests count milliseconds.
    arguments.test_threads.get_or_insert(2);
    let prefix = std::env::var_os("L3ROAMD_UBUS_PREFIX").map(PathBuf::from);
    let mut trials = Vec::new();
    for carrier in Carrier::ALL {
        for (name, kind, refused) in brokers(prefix.as_ref()) {
            for (test, run) in cases::TESTS.iter().chain(watching::TESTS).copied() {
                let world = World { carrier: *carrier, broker: kind.clone() };
                let mut title = format!("{}, {name}: {test}", lab::name(*carrier));
                if let Some(reason) = refused {
                    title = format!("{title} ({reason})");
                }
                trials.push(
                    Trial::test(title, move || {
                        run(&world);
                        Ok(())
                    })
                    .with_ignored_flag(refused.is_some()),
                );
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
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
