//! Many clients, and what they cost.

use std::time::Duration;

use crate::capture::Capture;
use crate::crowd::{self, Crowd};
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan};
use crate::measure::{Outcome, bound, eventually, measure, must};
use crate::watch::{SERVED, What};
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("two_thousand_clients_announce_themselves", Needs::Nothing, announce),
    ("a_thousand_clients_roam_at_once", Needs::Nothing, roam_at_once),
    ("five_hundred_silent_clients_cost_nothing", Needs::Nothing, idle),
];

/// The programs to compare: ours, and the C daemon where there is one.
fn programs() -> Vec<Kind> {
    [Kind::Ours, Kind::C].into_iter().filter(|kind| kind.program().is_some()).collect()
}

fn announce() -> Outcome {
    let count: u32 = 2000;
    let mut results = Vec::new();
    for kind in programs() {
        let mut lab = Lab::new(Plan::default());
        let daemons = Daemon::start_all(&lab, kind);
        let crowd = Crowd::new(&mut lab, count);
        crowd.roam(Some(0));
        std::thread::sleep(Duration::from_millis(500));
        let before = daemons[0].cpu();
        crowd.ask_gateway_each(0..count, 500);
        let learned = || lab.watch.count(0, What::Route(SERVED));
        eventually(Duration::from_secs(30), || learned() == count as usize);
        std::thread::sleep(Duration::from_secs(1));
        let cpu = daemons[0].cpu() - before;
        let (total, anonymous) = daemons[0].memory_kb();
        measure(
            &format!("{count} clients announce themselves at 500/s, {}", kind.name()),
            format!(
                "{} learned; CPU {:.2} s; RSS {total} kB, {anonymous} kB anonymous",
                learned(),
                cpu.as_secs_f64()
            ),
        );
        results.push((learned(), cpu, total));
    }
    let (learned, cpu, memory) = results[0];
    must(learned == count as usize, format!("{learned} of {count} learned"))?;
    must(memory <= 4096, format!("RSS is {memory} kB"))?;
    match results.get(1) {
        Some((_, theirs, _)) => bound(cpu <= *theirs, format!("CPU {cpu:.2?}, the C daemon {theirs:.2?}")),
        None => Ok(()),
    }
}

fn roam_at_once() -> Outcome {
    let count: u32 = 1000;
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let crowd = Crowd::new(&mut lab, count);
    crowd.roam(Some(0));
    std::thread::sleep(Duration::from_millis(500));
    crowd.ask_gateway_each(0..count, 500);
    let all = count as usize;
    let at = |node: usize| lab.watch.count(node, What::Route(SERVED));
    let holds = |node: usize| lab.watch.count(node, What::NodeClient);
    let settled = eventually(crate::measure::LIMIT, || at(0) == all && holds(0) == all);
    must(settled, format!("{} of {count} learned before the move", at(0)))?;
    std::thread::sleep(Duration::from_secs(2));
    let last = lab.nodes.len() - 1;
    let capture = Capture::start(&lab);
    let moved = crowd.roam(Some(last));
    crowd.ask_gateway_each(0..count, 20_000);
    let limit = crate::measure::LIMIT;
    let done = eventually(limit, || at(last) == all && at(0) == 0 && holds(last) == all && holds(0) == 0);
    let after = sys::now() - moved;
    std::thread::sleep(Duration::from_secs(1));
    let packets = capture.stop();
    let sent: usize = packets.values().sum();
    measure(
        &format!("{count} clients roam at once"),
        format!(
            "{} moved, {} stale routes, {} stale node-client addresses, after {:.2} s; {:.2} intercom packets per client {packets:?}",
            at(last),
            at(0),
            holds(0),
            after.as_secs_f64(),
            sent as f64 / f64::from(count)
        ),
    );
    must(done, "not all clients moved")?;
    bound(sent <= 4 * all, format!("{sent} intercom packets for {count} clients"))
}

fn idle() -> Outcome {
    let count: u32 = 500;
    // A silent client is probed every 30 s: at least one round is within.
    let seconds = if long() { 120 } else { 35 };
    let mut shares = Vec::new();
    for kind in programs() {
        let mut lab = Lab::new(Plan::default());
        let daemons = Daemon::start_all(&lab, kind);
        let crowd = Crowd::new(&mut lab, count);
        crowd.roam(Some(0));
        std::thread::sleep(Duration::from_millis(500));
        crowd.ask_gateway_each(0..count, 500);
        std::thread::sleep(Duration::from_secs(3));
        let (before, start) = (daemons[0].cpu(), sys::now());
        std::thread::sleep(Duration::from_secs(seconds));
        let share = (daemons[0].cpu() - before).as_secs_f64() / (sys::now() - start).as_secs_f64() * 100.0;
        let learned = lab.watch.count(0, What::Route(SERVED));
        measure(
            &format!("idle for {seconds} s with {count} silent clients, {}", kind.name()),
            format!("{share:.2} % of a core; {learned} have a route"),
        );
        shares.push((share, (0..count).all(|index| lab.watch.has(0, What::Route(SERVED), crowd::v6(index)))));
    }
    must(shares[0].1, "silent clients that answer probes lost their routes")?;
    bound(shares[0].0 <= 0.5, format!("{:.2} % of a core", shares[0].0))
}
